//! The place where a decoder leaves a picture and the window finds it.
//!
//! ```text
//! decoder --publish--> [ newest picture ] --take--> window
//! decoder <--wanted--- [ tile size      ] <-want--- window
//! director --hold----> [ pictures held  ]
//! ```
//! Capacity one, newest wins. Pictures are swapped, never copied, and neither side waits for the other's work.
//!
//! Where a person's sound comes so much later than the picture that it is seen, the pictures are held: each is due that long
//! after it arrived, whatever comes after it, so that no stream starves. [`PICTURES_HELD_MAX`] wait at once; when there is no
//! room the youngest makes room, and those before it keep their time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::limits::{PICTURE_HOLD_MS_MAX, PICTURES_HELD_MAX};
use crate::media::picture::Picture;
use crate::time::{NtpTime, Timestamp};

/// What is known of a picture beside its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureInfo {
    /// Counts the pictures published in this slot, from 1.
    pub number: u64,
    /// When the picture was captured, on this machine's wall clock; `None` while the sender's clock offset is unknown.
    pub captured: Option<NtpTime>,
    /// When the last packet of it arrived, or when the own camera delivered it.
    pub arrived: Timestamp,
    /// Size before scaling, in pixels.
    pub true_size: (usize, usize),
}

/// Rouses the window from its wait: something it shows has changed.
///
/// One wake is remembered while nobody waits, so none is lost; waking costs next to nothing when nobody waits.
#[derive(Default)]
pub struct Waker {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    /// Ends the wait in progress, or the next one.
    pub fn wake(&self) {
        let mut raised = self.raised.lock().unwrap_or_else(|e| e.into_inner());
        let raised_before = std::mem::replace(&mut *raised, true);
        drop(raised);
        if !raised_before {
            self.changed.notify_one();
        }
    }

    /// Waits until woken, at most for `at_most`. Returns whether it was woken.
    pub fn wait(&self, at_most: Duration) -> bool {
        let raised = self.raised.lock().unwrap_or_else(|e| e.into_inner());
        let (mut raised, _) =
            self.changed.wait_timeout_while(raised, at_most, |r| !*r).unwrap_or_else(|e| e.into_inner());
        std::mem::take(&mut *raised)
    }
}

/// A picture not taken yet.
#[derive(Default)]
struct Kept {
    picture: Picture,
    info: PictureInfo,
}

#[derive(Default)]
struct Inside {
    /// Oldest first. Without a hold there is one at most.
    waiting: VecDeque<Kept>,
    /// Memory of pictures that were taken or left out.
    spare: Vec<Picture>,
    hold: Duration,
}

impl Inside {
    /// How many of those that wait may be shown at `now`.
    fn due(&self, now: Timestamp) -> usize {
        if self.hold.is_zero() {
            return self.waiting.len();
        }
        self.waiting.iter().take_while(|kept| kept.info.arrived + self.hold <= now).count()
    }

    /// Leaves out the `count` oldest.
    fn leave_out(&mut self, count: usize) {
        for _ in 0..count {
            self.spare.extend(self.waiting.pop_front().map(|kept| kept.picture));
        }
    }

    /// Swaps `picture` in; whether none was left out for it.
    fn put(&mut self, picture: &mut Picture, info: PictureInfo) -> bool {
        let room = if self.hold.is_zero() { 1 } else { PICTURES_HELD_MAX };
        // More than that waited for a hold that has ended: the youngest makes room below, and what is older goes with it.
        self.leave_out(self.waiting.len().saturating_sub(room));
        if self.waiting.len() >= room
            && let Some(youngest) = self.waiting.back_mut()
        {
            std::mem::swap(&mut youngest.picture, picture);
            youngest.info = info;
            return false;
        }
        let mut kept = Kept { picture: self.spare.pop().unwrap_or_default(), info };
        std::mem::swap(&mut kept.picture, picture);
        self.waiting.push_back(kept);
        true
    }
}

/// One tile's picture: newest wins.
#[derive(Default)]
pub struct PictureSlot {
    inside: Mutex<Inside>,
    published: AtomicU64,
    /// Length of `waiting`.
    waiting: AtomicUsize,
    /// Width in the high half, height in the low half; 0 = not shown.
    wanted: AtomicU64,
    waker: OnceLock<Arc<Waker>>,
}

impl PictureSlot {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Swaps `picture` in; afterwards `picture` holds an old one whose memory may be reused. Returns whether no other
    /// picture was left out for it, which was never shown then.
    pub fn publish(&self, picture: &mut Picture, mut info: PictureInfo) -> bool {
        let mut inside = self.inside();
        info.number = self.published.fetch_add(1, Ordering::Release) + 1;
        // Behind another that is held, there is nothing to be woken for: the window wakes when that one is due, and sees then
        // what comes after it.
        let first = inside.waiting.is_empty() || inside.hold.is_zero();
        let none_left_out = inside.put(picture, info);
        self.waiting.store(inside.waiting.len(), Ordering::Release);
        drop(inside);
        if first {
            self.wake();
        }
        none_left_out
    }

    /// From now on pictures wake the window when they are published, and when it is to see when the next one is due; the first
    /// waker given stays.
    pub fn wake_on_publish(&self, waker: &Arc<Waker>) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Number of pictures published so far: cheap to poll for a change.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Pictures not taken so far, those that are held included: cheap to poll.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// From now on each picture is to be shown so long after it arrived, at most [`PICTURE_HOLD_MS_MAX`]; at once when zero, as
    /// at first. What waits already waits as long as what comes.
    pub fn hold(&self, hold: Duration) {
        let hold = hold.min(Duration::from_millis(PICTURE_HOLD_MS_MAX));
        let before = std::mem::replace(&mut self.inside().hold, hold);
        if hold < before {
            // What waits is due sooner.
            self.wake();
        }
    }

    /// Swaps the newest picture out that is due at `now`, when there is one not yet taken.
    pub fn take(&self, now: Timestamp, into: &mut Picture) -> Option<PictureInfo> {
        let mut inside = self.inside();
        let due = inside.due(now);
        inside.leave_out(due.saturating_sub(1));
        let newest = if due > 0 { inside.waiting.pop_front() } else { None };
        let info = newest.map(|mut kept| {
            std::mem::swap(&mut kept.picture, into);
            inside.spare.push(kept.picture);
            kept.info
        });
        if inside.hold.is_zero() {
            // One is swapped to and fro.
            inside.spare.truncate(1);
        }
        self.waiting.store(inside.waiting.len(), Ordering::Release);
        info
    }

    /// When the next picture that waits is due: [`take`](Self::take) gives nothing before.
    pub fn next_due(&self) -> Option<Timestamp> {
        let inside = self.inside();
        inside.waiting.front().map(|kept| kept.info.arrived + inside.hold)
    }

    /// Leaves out what waits: the camera is off.
    pub fn forget(&self) {
        let mut inside = self.inside();
        let count = inside.waiting.len();
        inside.leave_out(count);
        self.waiting.store(0, Ordering::Release);
    }

    /// The window says at which size it shows this picture; `(0, 0)` = not shown, so nothing need be decoded.
    pub fn want(&self, width: usize, height: usize) {
        let size = ((width as u64) << 32) | (height as u64 & 0xffff_ffff);
        self.wanted.store(size, Ordering::Relaxed);
    }

    /// Width and height the window shows this picture at.
    pub fn wanted(&self) -> (usize, usize) {
        let size = self.wanted.load(Ordering::Relaxed);
        ((size >> 32) as usize, (size & 0xffff_ffff) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_picture_wins_and_is_taken_once() {
        let slot = PictureSlot::default();
        let mut p = Picture { width: 1, height: 1, pixels: vec![1] };
        assert!(slot.publish(&mut p, PictureInfo::default()));
        p = Picture { width: 1, height: 1, pixels: vec![2] };
        assert!(!slot.publish(&mut p, PictureInfo::default()), "the first one was never taken");
        assert_eq!(p.pixels, [1], "the memory of the unseen picture comes back");
        let mut shown = Picture::default();
        assert_eq!(slot.take(Timestamp::default(), &mut shown).map(|i| i.number), Some(2));
        assert_eq!(shown.pixels, [2]);
        assert!(slot.take(Timestamp::default(), &mut shown).is_none());
        slot.want(320, 180);
        assert_eq!(slot.wanted(), (320, 180));
    }

    #[test]
    fn a_wake_before_the_wait_is_not_lost_and_counts_once() {
        let (slot, waker) = (PictureSlot::default(), Arc::new(Waker::default()));
        slot.wake_on_publish(&waker);
        slot.publish(&mut Picture::default(), PictureInfo::default());
        slot.publish(&mut Picture::default(), PictureInfo::default());
        assert!(waker.wait(Duration::from_secs(10)));
        assert!(!waker.wait(Duration::ZERO));
    }

    #[test]
    fn publishing_ends_a_wait_in_progress() {
        let (slot, waker) = (PictureSlot::default(), Arc::new(Waker::default()));
        slot.wake_on_publish(&waker);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| waker.wait(Duration::from_secs(10)));
            slot.publish(&mut Picture::default(), PictureInfo::default());
            assert!(waiting.join().is_ok_and(|woken| woken));
        });
    }

    const MS: fn(u64) -> Timestamp = Timestamp::from_millis;

    fn publish(slot: &PictureSlot, at: u64, memory: &mut Picture) -> bool {
        slot.publish(memory, PictureInfo { arrived: MS(at), ..PictureInfo::default() })
    }

    /// Pictures every `interval` ms for two seconds, looked for each ms: when each was shown and how old it was then.
    fn shown(slot: &PictureSlot, interval: u64) -> Vec<(u64, u64)> {
        let (mut memory, mut window, mut shown) = (Picture::default(), Picture::default(), Vec::new());
        for now in 0..2_000 {
            if now % interval == 0 {
                publish(slot, now, &mut memory);
            }
            if let Some(info) = slot.take(MS(now), &mut window) {
                shown.push((now, MS(now).since(info.arrived).as_millis() as u64));
            }
        }
        shown
    }

    #[test]
    fn each_picture_held_is_shown_when_it_is_due_and_none_starves() {
        for (interval, hold) in [(33, 50), (33, 100), (33, 20), (17, 100), (66, 100), (40, 1)] {
            let slot = PictureSlot::default();
            slot.hold(Duration::from_millis(hold));
            let shown = shown(&slot, interval);
            assert!(shown.iter().all(|(_, age)| *age == hold), "{interval} {hold}: {shown:?}");
            let expected = (2_000 - hold).div_ceil(interval) as usize;
            assert_eq!(shown.len(), expected, "{interval} {hold}");
        }
    }

    #[test]
    fn of_more_pictures_than_there_is_room_for_some_are_left_out_and_the_others_are_due_as_ever() {
        let slot = PictureSlot::default();
        slot.hold(Duration::from_millis(100));
        let shown = shown(&slot, 8);
        assert!(shown.iter().all(|(_, age)| *age == 100), "{shown:?}");
        // So many between one that comes when all were taken and the next of that kind, 100 ms and some pictures later.
        let rounds = 2_000 / (100 + 8 * PICTURES_HELD_MAX) - 1;
        assert!(shown.len() >= rounds * PICTURES_HELD_MAX, "{}", shown.len());
        let inside = slot.inside();
        assert!(inside.waiting.len() + inside.spare.len() <= PICTURES_HELD_MAX + 1);
    }

    #[test]
    fn a_window_that_comes_late_gets_the_newest_that_is_due() {
        let (slot, mut memory, mut window) = (PictureSlot::default(), Picture::default(), Picture::default());
        slot.hold(Duration::from_millis(50));
        for at in [0, 33, 66] {
            assert!(publish(&slot, at, &mut memory));
        }
        assert_eq!(slot.next_due(), Some(MS(50)));
        assert!(slot.take(MS(49), &mut window).is_none());
        assert_eq!(slot.take(MS(90), &mut window).map(|i| i.number), Some(2));
        assert_eq!((slot.next_due(), slot.waiting()), (Some(MS(116)), 1));
        slot.forget();
        assert_eq!((slot.next_due(), slot.waiting()), (None, 0));
        assert!(slot.take(MS(200), &mut window).is_none());
    }

    #[test]
    fn nobody_asks_for_more_than_the_longest_hold_and_with_its_end_the_newest_wins_again() {
        let (slot, mut memory, mut window) = (PictureSlot::default(), Picture::default(), Picture::default());
        slot.hold(Duration::from_secs(60));
        for at in [1_000, 1_033, 1_066] {
            publish(&slot, at, &mut memory);
        }
        assert_eq!(slot.next_due(), Some(MS(1_000 + PICTURE_HOLD_MS_MAX)));
        slot.hold(Duration::ZERO);
        assert!(!publish(&slot, 1_070, &mut memory));
        assert_eq!(slot.take(MS(1_070), &mut window).map(|i| i.number), Some(4));
        let inside = slot.inside();
        assert_eq!((inside.waiting.len(), inside.spare.len()), (0, 1), "memory goes with what it was for");
    }

    #[test]
    fn memory_goes_round() {
        let slot = PictureSlot::default();
        slot.hold(Duration::from_millis(50));
        let (mut memory, mut window) = (Picture::default(), Picture::default());
        let mut grown = 0;
        for n in 0..200 {
            // What a decoder does: it grows what it is given when that is too small.
            grown += usize::from(memory.pixels.capacity() == 0);
            memory.pixels.resize(16, n as u32);
            publish(&slot, 33 * n, &mut memory);
            slot.take(MS(33 * n + 20), &mut window);
        }
        assert!(grown <= PICTURES_HELD_MAX + 2, "{grown} pictures were allocated");
    }

    #[test]
    fn the_window_is_woken_for_the_first_that_is_held_and_when_the_hold_becomes_less() {
        let (slot, waker) = (PictureSlot::default(), Arc::new(Waker::default()));
        let (mut memory, mut window) = (Picture::default(), Picture::default());
        slot.wake_on_publish(&waker);
        let woken = || waker.wait(Duration::ZERO);
        slot.hold(Duration::from_millis(50));
        publish(&slot, 0, &mut memory);
        assert!(woken(), "to see when it is due");
        publish(&slot, 33, &mut memory);
        assert!(!woken(), "it wakes before for the one before");
        assert!(slot.take(MS(50), &mut window).is_some());
        assert_eq!(slot.next_due(), Some(MS(83)));
        slot.hold(Duration::from_millis(60));
        assert!(!woken());
        slot.hold(Duration::from_millis(30));
        assert!(woken());
        assert!(slot.take(MS(63), &mut window).is_some());
        publish(&slot, 66, &mut memory);
        assert!(woken(), "none waits before it");
    }
}
