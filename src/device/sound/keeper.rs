//! The thread that keeps a sound device open: opens it, watches it, drops it, and tries again.
//!
//! ```text
//!  open --ok--> watch --fault, or no callback for 2 s--> drop on a thread of its own            (5 s before the first one)
//!   ^ '--error------------------------------------------------.      |
//!   '------------------ after 0.5, 1, 2, 4, 8, 8 .. s <-------'------'
//! ```
//! What worked once is tried every second at least: a sound server that is started again is found soon. Each second it is
//! looked whether another device is meant by now, which is then opened instead: another default, or the one that was named,
//! which is there again or is there no more.
//!
//! A device that keeps losing sound is opened again with a longer buffer. Some say that they lose it; a speaker whose
//! server runs dry says nothing, but then asks for less sound than the clock says.
//!
//! A broken stream is dropped on a throw-away thread, because dropping it may hang for ever with the server behind it.

use std::any::Any;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::SoundEvent;
use super::native;
use super::quiet::quietly;
use super::ring::Gauge;
use crate::device::clock::Clock;
use crate::time::{Timestamp, media_nanos};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// The same once a device has worked.
const RETRY_AGAIN_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether another device is meant.
const LOOK: Duration = Duration::from_secs(1);
const WATCH: Duration = Duration::from_millis(100);
/// A device without callbacks for this long is dead, even if nothing says so.
const STALLED: Duration = Duration::from_secs(2);
/// Some take long before the first: a headset's radio wakes up, a server starts.
const STALLED_FIRST: Duration = Duration::from_secs(5);
/// A device that worked this long may fail without being punished for earlier failures.
const WORKED: Duration = Duration::from_secs(10);
/// The pace of a speaker is looked at over this time.
const PACE_WINDOW: Duration = Duration::from_secs(1);
/// Sound that was not asked for from one window to the next and shows that the server ran dry.
const DRY: i64 = 4_000_000;
/// So many times, within that time, and the buffer is too short.
const DRY_TIMES: u32 = 3;
/// See [`DRY_TIMES`].
const DRY_SPAN: Duration = Duration::from_secs(30);
/// Longest wait for the thread when stopping; then it is left to itself.
const STOP_MAX: Duration = Duration::from_secs(1);

/// An open device: the stream that keeps it going, and our end of its ring.
pub(super) struct Opened<H> {
    /// Dropping it closes the device.
    pub(super) stream: Box<dyn Any + Send>,
    /// Reader or writer.
    pub(super) end: H,
    pub(super) gauge: Arc<Gauge>,
    pub(super) device: String,
    /// The one that was named, and is not there.
    pub(super) instead_of: Option<String>,
    /// Whether it could be opened with a longer buffer.
    pub(super) short: bool,
    /// For a speaker: its sample rate.
    pub(super) paced: Option<u32>,
    /// Whether it is still the one that is meant. Asks the sound system.
    pub(super) stays: Box<dyn FnMut() -> bool + Send>,
}

/// Why no device was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// Any would do, and there is none.
    Absent,
    /// In words for a person.
    Failed(String),
}

/// Why a device is watched no more.
enum End {
    Stop,
    Failed(String),
    /// Its buffer is too short for this machine.
    TooShort,
    /// Another device is meant by now.
    Moved,
}

/// Handle of the thread; dropping it stops the device.
pub(super) struct Keeper<H> {
    stop: Option<Sender<()>>,
    ends: Receiver<H>,
    events: Receiver<SoundEvent>,
    thread: Option<JoinHandle<()>>,
}

impl<H: Send + 'static> Keeper<H> {
    /// Starts the thread; `what` names the device's kind in messages ("microphone"). `open` is told how often the
    /// buffer has proved too short.
    pub(super) fn start(
        what: &'static str,
        clock: Clock,
        open: impl FnMut(usize) -> Result<Opened<H>, NotOpened> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = bounded(0);
        let (ends_in, ends) = bounded(4);
        let (events_in, events) = bounded(16);
        let watcher = Watcher { what, clock, open, stopped, ends: ends_in, events: events_in, instead: None };
        let thread = std::thread::Builder::new().name(what.into()).spawn(move || watcher.run()).ok();
        Self { stop: Some(stop), ends, events, thread }
    }

    /// Our end of a device that has been opened since it was asked last.
    pub(super) fn take(&self) -> Option<H> {
        self.ends.try_recv().ok()
    }

    pub(super) fn event(&self) -> Option<SoundEvent> {
        self.events.try_recv().ok()
    }
}

impl<H> Drop for Keeper<H> {
    fn drop(&mut self) {
        self.stop = None;
        // The thread's end of the events goes away with it.
        let (_, never) = bounded::<SoundEvent>(0);
        let events = std::mem::replace(&mut self.events, never);
        let end = loop {
            match events.recv_timeout(STOP_MAX) {
                Ok(_) => continue,
                Err(e) => break e,
            }
        };
        if let (RecvTimeoutError::Disconnected, Some(thread)) = (end, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

struct Watcher<H, O> {
    what: &'static str,
    clock: Clock,
    open: O,
    stopped: Receiver<()>,
    ends: Sender<H>,
    events: Sender<SoundEvent>,
    /// What was told last of a device that is used for another.
    instead: Option<String>,
}

impl<H: Send + 'static, O: FnMut(usize) -> Result<Opened<H>, NotOpened>> Watcher<H, O> {
    fn run(mut self) {
        let (mut retry, mut too_short, mut announce) = (RETRY_FIRST, 0, true);
        let mut most = RETRY_MAX;
        loop {
            let since = self.clock.now();
            let opened = quietly(|| (self.open)(too_short)).inspect(|_| most = RETRY_AGAIN_MAX);
            let reason = match opened.map(|opened| self.watch(opened, announce)) {
                Ok(End::Stop) => return,
                Ok(End::TooShort) => {
                    too_short += 1;
                    // To a person nothing has happened.
                    announce = false;
                    continue;
                }
                Ok(End::Moved) => {
                    (retry, too_short, announce) = (RETRY_FIRST, 0, true);
                    continue;
                }
                Ok(End::Failed(reason)) | Err(NotOpened::Failed(reason)) => Some(reason),
                Err(NotOpened::Absent) => None,
            };
            announce = true;
            if self.clock.now().since(since) >= WORKED {
                retry = RETRY_FIRST;
            }
            let event = reason.map_or(SoundEvent::Absent, |reason| {
                let message = format!("{}: {reason}; trying again", self.what);
                SoundEvent::Failed { message, retry_in: Some(retry) }
            });
            // Nobody asks for events: they need not wait here.
            let _ = self.events.try_send(event);
            if self.wait(retry) {
                return;
            }
            retry = (retry * 2).min(most);
        }
    }

    /// Watches a device until it fails, or should be opened anew, or is to stop.
    fn watch(&mut self, opened: Opened<H>, announce: bool) -> End {
        let Opened { stream, end, gauge, device, instead_of, short, paced, mut stays } = opened;
        let _ = self.ends.try_send(end);
        let instead = instead_of.map(|name| format!("{}: {name} is not there: {device} is used instead", self.what));
        if std::mem::replace(&mut self.instead, instead.clone()) != instead || announce {
            let _ = self.events.try_send(SoundEvent::Ready { device: device.clone(), instead });
        }
        let mut seen: (u64, Timestamp) = (0, self.clock.now());
        let mut pace = Pace::new(seen.1);
        let (mut losses, mut looked) = (0, seen.1);
        loop {
            if self.wait(WATCH) {
                drop(stream);
                return End::Stop;
            }
            let (calls, now) = (gauge.calls(), self.clock.now());
            // A sound system that does not even call back would not answer either.
            if calls != seen.0 && now.since(looked) >= LOOK {
                looked = now;
                if !quietly(&mut stays) {
                    gauge.fail(1);
                    drop_elsewhere(stream);
                    return End::Moved;
                }
            }
            if calls != seen.0 {
                seen = (calls, now);
            }
            let patience = if seen.0 == 0 { STALLED_FIRST } else { STALLED };
            let stalled = now.since(seen.1) >= patience;
            if gauge.failed() || stalled {
                let fault = native::fault_text(gauge.fault()).map(str::to_owned);
                let reason = fault.unwrap_or_else(|| format!("no sound for {} s", patience.as_secs()));
                // The other end must stop using the ring even if nothing but time told that it is dead.
                gauge.fail(gauge.fault());
                drop_elsewhere(stream);
                return End::Failed(format!("{device}: {reason}"));
            }
            if paced.is_some_and(|rate| pace.ran_dry(now, media_nanos(gauge.frames() as i64, rate))) {
                gauge.count_xrun();
            }
            // As many as there may be between two looks are one.
            let before = std::mem::replace(&mut losses, gauge.xruns());
            if short && losses > before && pace.too_often(now) {
                gauge.fail(1);
                drop_elsewhere(stream);
                return End::TooShort;
            }
        }
    }

    /// Waits; true when told to stop.
    fn wait(&self, time: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

/// Compares what a speaker has asked for with the clock, and counts the times any device lost sound.
struct Pace {
    start: Timestamp,
    window: Timestamp,
    /// Least time by which the speaker was behind the clock in this window, and in the one before it.
    behind: i64,
    behind_before: Option<i64>,
    dry: u32,
    dry_since: Timestamp,
}

impl Pace {
    fn new(now: Timestamp) -> Self {
        Self { start: now, window: now, behind: i64::MAX, behind_before: None, dry: 0, dry_since: now }
    }

    /// Takes into account that the speaker has asked for `played_ns` of sound; true when it ran dry.
    fn ran_dry(&mut self, now: Timestamp, played_ns: i64) -> bool {
        self.behind = self.behind.min(now.nanos_from(self.start) - played_ns);
        if now.since(self.window) < PACE_WINDOW {
            return false;
        }
        let dry = self.behind_before.is_some_and(|before| self.behind - before > DRY);
        (self.behind_before, self.behind, self.window) = (Some(self.behind), i64::MAX, now);
        dry
    }

    /// Counts a time sound was lost; true when that happens too often.
    fn too_often(&mut self, now: Timestamp) -> bool {
        if self.dry == 0 || now.since(self.dry_since) > DRY_SPAN {
            (self.dry, self.dry_since) = (0, now);
        }
        self.dry += 1;
        self.dry >= DRY_TIMES
    }
}

fn drop_elsewhere(stream: Box<dyn Any + Send>) {
    // Without a thread to spare the stream is leaked with the closure: better than hanging here.
    let _ = std::thread::Builder::new().name("drop-sound".into()).spawn(move || quietly(|| drop(stream)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    fn next(keeper: &Keeper<u32>) -> SoundEvent {
        keeper.events.recv_timeout(Duration::from_secs(10)).expect("an event")
    }

    fn ready(device: &str) -> SoundEvent {
        SoundEvent::Ready { device: device.into(), instead: None }
    }

    struct TellDrop(mpsc::Sender<()>);

    impl Drop for TellDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn a_device_that_fails_is_dropped_and_opened_again() {
        let (dropped, drops) = mpsc::channel();
        let gauge = Arc::new(Gauge::default());
        let (opens, faulty) = (Arc::new(AtomicU32::new(0)), gauge.clone());
        let count = opens.clone();
        let keeper = Keeper::start("microphone", Clock::system(), move |_| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            let gauge = if n == 1 { faulty.clone() } else { Arc::new(Gauge::default()) };
            match n {
                0 => Err(NotOpened::Failed("no such device".into())),
                _ => {
                    let (stream, device) = (Box::new(TellDrop(dropped.clone())), "USB".into());
                    Ok(Opened {
                        stream,
                        end: n,
                        gauge,
                        device,
                        instead_of: None,
                        short: false,
                        paced: None,
                        stays: Box::new(|| true),
                    })
                }
            }
        });
        let SoundEvent::Failed { message, retry_in } = next(&keeper) else { panic!("first it fails") };
        assert_eq!(message, "microphone: no such device; trying again");
        assert_eq!(retry_in, Some(RETRY_FIRST));
        assert_eq!(next(&keeper), ready("USB"));
        assert_eq!(keeper.take(), Some(1));
        gauge.fail(1);
        let SoundEvent::Failed { message, retry_in } = next(&keeper) else { panic!("then it breaks") };
        assert!(message.starts_with("microphone: USB: "), "{message}");
        assert_eq!(retry_in, Some(2 * RETRY_FIRST), "it did not work for long");
        drops.recv_timeout(Duration::from_secs(10)).expect("the broken stream is dropped");
        assert!(matches!(next(&keeper), SoundEvent::Ready { .. }));
        drop(keeper);
        drops.recv_timeout(Duration::from_secs(10)).expect("stopping drops the stream");
        assert_eq!(opens.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_device_that_keeps_losing_sound_is_opened_with_a_longer_buffer() {
        let (told, tries) = mpsc::channel();
        let gauge = Arc::new(Gauge::default());
        let losing = gauge.clone();
        let keeper = Keeper::start("microphone", Clock::system(), move |too_short| {
            let gauge = if too_short == 0 { gauge.clone() } else { Arc::default() };
            let _ = told.send(too_short);
            let device = "USB".into();
            Ok(Opened {
                stream: Box::new(()),
                end: too_short as u32,
                gauge,
                device,
                instead_of: None,
                short: true,
                paced: None,
                stays: Box::new(|| true),
            })
        });
        let first = tries.recv_timeout(Duration::from_secs(10));
        let second = loop {
            losing.count_xrun();
            if let Ok(too_short) = tries.recv_timeout(WATCH) {
                break too_short;
            }
        };
        assert_eq!((first, second), (Ok(0), 1));
        assert_eq!(next(&keeper), ready("USB"));
        assert_eq!(keeper.event(), None, "to a person nothing has happened");
    }

    #[test]
    fn another_device_that_is_meant_by_now_is_opened_at_once() {
        let gauge = Arc::new(Gauge::default());
        let (calling, mut opens) = (gauge.clone(), 0);
        let keeper = Keeper::start("speaker", Clock::system(), move |_| {
            opens += 1;
            let (end, device) = (opens, format!("device {opens}"));
            let (stream, gauge, stays) = (Box::new(()), gauge.clone(), Box::new(move || end > 1));
            let gauge = if end == 1 { gauge } else { Arc::default() };
            Ok(Opened { stream, end, gauge, device, instead_of: None, short: false, paced: None, stays })
        });
        assert_eq!(next(&keeper), ready("device 1"));
        let event = loop {
            calling.call();
            if let Ok(event) = keeper.events.recv_timeout(WATCH) {
                break event;
            }
        };
        assert_eq!(event, ready("device 2"), "and nothing failed");
        assert!(calling.failed(), "whoever used the first one stops");
        assert_eq!((keeper.take(), keeper.take()), (Some(1), Some(2)));
    }

    #[test]
    fn a_device_that_comes_later_is_opened_then() {
        let mut there = false;
        let keeper = Keeper::start("speaker", Clock::system(), move |_| match std::mem::replace(&mut there, true) {
            false => Err(NotOpened::Absent),
            true => Ok(Opened {
                stream: Box::new(()),
                end: 1,
                gauge: Arc::default(),
                device: "USB".into(),
                instead_of: None,
                short: false,
                paced: None,
                stays: Box::new(|| true),
            }),
        });
        assert_eq!(next(&keeper), SoundEvent::Absent);
        assert_eq!(next(&keeper), ready("USB"));
    }

    #[test]
    fn a_device_used_for_another_is_told_even_where_only_its_buffer_was_too_short() {
        let gauge = Arc::new(Gauge::default());
        let losing = gauge.clone();
        let keeper = Keeper::start("microphone", Clock::system(), move |too_short| {
            let (gauge, instead_of) =
                if too_short == 0 { (gauge.clone(), None) } else { (Arc::default(), Some("USB".into())) };
            let (stream, device) = (Box::new(()), if too_short == 0 { "USB" } else { "built-in" }.into());
            Ok(Opened { stream, end: 1, gauge, device, instead_of, short: true, paced: None, stays: Box::new(|| true) })
        });
        assert_eq!(next(&keeper), ready("USB"));
        let told = loop {
            losing.count_xrun();
            if let Ok(event) = keeper.events.recv_timeout(WATCH) {
                break event;
            }
        };
        let instead = Some("microphone: USB is not there: built-in is used instead".to_owned());
        assert_eq!(told, SoundEvent::Ready { device: "built-in".into(), instead });
    }

    #[test]
    fn a_device_has_longer_for_its_first_callback_than_for_the_others() {
        let start = Timestamp::from_millis(1_000);
        for (calls, expected) in [(false, STALLED_FIRST), (true, STALLED)] {
            let clock = Clock::manual(start);
            let gauge = Arc::new(Gauge::default());
            if calls {
                gauge.call();
            }
            let mut opened = Some(Opened {
                stream: Box::new(()),
                end: 1,
                gauge: gauge.clone(),
                device: "USB".into(),
                instead_of: None,
                short: false,
                paced: None,
                stays: Box::new(|| true),
            });
            let keeper = Keeper::start("speaker", clock.clone(), move |_| opened.take().ok_or(NotOpened::Absent));
            assert_eq!(next(&keeper), SoundEvent::Ready { device: "USB".into(), instead: None });
            // The callback is seen before time passes.
            assert_eq!(keeper.events.recv_timeout(3 * WATCH), Err(RecvTimeoutError::Timeout));
            let event = loop {
                clock.advance(Duration::from_millis(250));
                if let Ok(event) = keeper.events.recv_timeout(WATCH) {
                    break event;
                }
            };
            let SoundEvent::Failed { message, .. } = event else { panic!("{event:?}") };
            assert_eq!(message, format!("speaker: USB: no sound for {} s; trying again", expected.as_secs()));
            assert!(clock.now().since(start) >= expected && gauge.failed());
        }
    }

    #[test]
    fn a_speaker_that_asks_for_less_than_the_clock_ran_dry() {
        let start = Timestamp::from_millis(1_000);
        // Asked for in periods of 10 ms, with a drift of 300 ppm, less what the speaker missed by then.
        let asked = |ms: u64, missed_ms: u64| ((ms - missed_ms) / 10 * 10_003_000) as i64;
        let run = |misses: &dyn Fn(u64) -> u64| {
            let mut pace = Pace::new(start);
            let mut dry = 0;
            for ms in (0..60_000).step_by(100) {
                let ms = ms + ms % 7;
                let now = start + Duration::from_millis(ms);
                dry += u32::from(pace.ran_dry(now, asked(ms, misses(ms))));
            }
            dry
        };
        assert_eq!(run(&|_| 0), 0);
        assert_eq!(run(&|ms| if ms > 10_000 { 20 } else { 0 }), 1);
        assert_eq!(run(&|ms| ms / 15_000 * 20), 3);
        // Asked for late, but not lost.
        assert_eq!(run(&|ms| if ms % 5_000 < 300 { 20.min(ms) } else { 0 }), 0);
    }

    #[test]
    fn running_dry_three_times_in_half_a_minute_is_too_often() {
        let at = |s: u64| Timestamp::from_millis(s * 1_000);
        for (times, expected) in [(&[0, 10, 30][..], true), (&[0, 10, 31][..], false), (&[0, 40, 50, 60][..], true)] {
            let mut pace = Pace::new(at(0));
            let last = times.iter().map(|&s| pace.too_often(at(s))).last();
            assert_eq!(last, Some(expected), "{times:?}");
        }
    }
}
