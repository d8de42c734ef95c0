//! The place where a decoder leaves a picture and the window finds it.
//!
//! ```text
//! decoder --publish--> [ newest picture ] --take--> window
//! decoder <--wanted--- [ tile size      ] <-want--- window
//! ```
//! Capacity one, newest wins. Pictures are swapped, never copied, and neither side waits for the other's work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

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
        if !std::mem::replace(&mut *raised, true) {
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

#[derive(Default)]
struct Newest {
    picture: Picture,
    info: PictureInfo,
    fresh: bool,
}

/// One tile's picture: newest wins.
#[derive(Default)]
pub struct PictureSlot {
    newest: Mutex<Newest>,
    published: AtomicU64,
    /// Width in the high half, height in the low half; 0 = not shown.
    wanted: AtomicU64,
    waker: OnceLock<Arc<Waker>>,
}

impl PictureSlot {
    /// Swaps `picture` in; afterwards `picture` holds an old one whose memory may be reused. Returns whether the
    /// picture that was there had been taken (false: it was never shown).
    pub fn publish(&self, picture: &mut Picture, mut info: PictureInfo) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(|e| e.into_inner());
        info.number = self.published.fetch_add(1, Ordering::Release) + 1;
        std::mem::swap(&mut newest.picture, picture);
        newest.info = info;
        let taken = !std::mem::replace(&mut newest.fresh, true);
        drop(newest);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
        taken
    }

    /// From now on each picture published wakes the window; the first waker given stays.
    pub fn wake_on_publish(&self, waker: &Arc<Waker>) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Number of pictures published so far: cheap to poll for a change.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Swaps the newest picture out when there is one not yet taken.
    pub fn take(&self, into: &mut Picture) -> Option<PictureInfo> {
        let mut newest = self.newest.lock().unwrap_or_else(|e| e.into_inner());
        if !std::mem::replace(&mut newest.fresh, false) {
            return None;
        }
        std::mem::swap(&mut newest.picture, into);
        Some(newest.info)
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
        assert_eq!(slot.take(&mut shown).map(|i| i.number), Some(2));
        assert_eq!(shown.pixels, [2]);
        assert!(slot.take(&mut shown).is_none());
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
}
