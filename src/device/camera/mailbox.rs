//! What passes between a camera's thread and whoever receives from it. Never blocks the camera.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{CameraError, CameraEvent, Capture, CapturedFrame, Opened};
use crate::device::clock::Clock;
use crate::time::Timestamp;

/// News kept for a receiver that does not come; older ones are dropped.
const NEWS_MAX: usize = 8;
/// Buffers kept to be filled again.
const SPARE_MAX: usize = 3;
/// Without a frame for this long a running camera is said to have failed.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A camera may take this long to open; some ask the user first.
const OPENING_MAX: Duration = Duration::from_secs(10);

pub(super) struct Mailbox {
    clock: Clock,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Default)]
struct Inside {
    news: VecDeque<CameraEvent>,
    newest: Option<Capture>,
    spare: Vec<CapturedFrame>,
    /// What the receiver is told about last: the same failure is not news.
    failure: Option<CameraError>,
    /// When silence becomes a failure; `None` while none is expected to end.
    overdue: Option<Timestamp>,
    opening: bool,
    stop: bool,
    exited: bool,
}

impl Mailbox {
    pub fn new(clock: Clock) -> Self {
        Self { clock, inside: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(|e| e.into_inner())
    }

    // The camera's side.

    pub fn opening(&self) {
        let mut inside = self.lock();
        inside.overdue = Some(self.clock.now() + OPENING_MAX);
        inside.opening = true;
        self.changed.notify_all();
    }

    pub fn opened(&self, opened: Opened) {
        let mut inside = self.lock();
        inside.overdue = Some(self.clock.now() + SILENCE_MAX);
        inside.opening = false;
        inside.tell(CameraEvent::Opened(opened));
        self.changed.notify_all();
    }

    pub fn publish(&self, capture: Capture) {
        let mut inside = self.lock();
        inside.overdue = Some(self.clock.now() + SILENCE_MAX);
        inside.failure = None;
        if let Some(missed) = inside.newest.replace(capture) {
            inside.keep(missed.frame);
        }
        self.changed.notify_all();
    }

    pub fn fail(&self, error: CameraError) {
        let mut inside = self.lock();
        inside.overdue = None;
        inside.report(error);
        self.changed.notify_all();
    }

    pub fn retrying(&self, after: Duration) {
        self.lock().tell(CameraEvent::Retrying { after });
        self.changed.notify_all();
    }

    /// A buffer to fill, when one came back.
    pub fn spare(&self) -> Option<CapturedFrame> {
        self.lock().spare.pop()
    }

    pub fn stopped(&self) -> bool {
        self.lock().stop
    }

    /// Waits until `moment`, or until the camera is to stop; returns whether it is.
    pub fn wait_until(&self, moment: Timestamp) -> bool {
        let mut inside = self.lock();
        while !inside.stop {
            let left = moment.since(self.clock.now());
            if left.is_zero() {
                break;
            }
            let (guard, result) = self.changed.wait_timeout(inside, left).unwrap_or_else(|e| e.into_inner());
            inside = guard;
            if result.timed_out() {
                break;
            }
        }
        inside.stop
    }

    /// As [`wait_until`](Self::wait_until), for a time.
    pub fn wait_for(&self, time: Duration) -> bool {
        self.wait_until(self.clock.now() + time)
    }

    pub fn exited(&self) {
        self.lock().exited = true;
        self.changed.notify_all();
    }

    // The receiver's side.

    pub fn recv(&self, timeout: Duration) -> Option<CameraEvent> {
        let mut left = timeout;
        let mut inside = self.lock();
        loop {
            let until_overdue = inside.check_silence(self.clock.now());
            if let Some(event) = inside.next() {
                return Some(event);
            }
            if left.is_zero() {
                return None;
            }
            let wait = until_overdue.map_or(left, |until| left.min(until));
            let (guard, result) = self.changed.wait_timeout(inside, wait).unwrap_or_else(|e| e.into_inner());
            inside = guard;
            if result.timed_out() {
                left -= wait;
            }
        }
    }

    pub fn recycle(&self, frame: CapturedFrame) {
        self.lock().keep(frame);
    }

    pub fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits until the camera's thread is at its end; false when it is not after `timeout`.
    pub fn wait_for_exit(&self, timeout: Duration) -> bool {
        let inside = self.lock();
        let waited = self.changed.wait_timeout_while(inside, timeout, |inside| !inside.exited);
        waited.unwrap_or_else(|e| e.into_inner()).0.exited
    }
}

impl Inside {
    fn tell(&mut self, event: CameraEvent) {
        if self.news.len() == NEWS_MAX {
            self.news.pop_front();
        }
        self.news.push_back(event);
    }

    fn report(&mut self, error: CameraError) {
        if self.failure.as_ref() == Some(&error) {
            return;
        }
        self.failure = Some(error.clone());
        self.tell(CameraEvent::Failed { message: error.message, hint: error.hint });
    }

    fn next(&mut self) -> Option<CameraEvent> {
        self.news.pop_front().or_else(|| self.newest.take().map(CameraEvent::Frame))
    }

    fn keep(&mut self, frame: CapturedFrame) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(frame);
        }
    }

    /// Reports a camera that is silent for too long; returns the time until that would be.
    fn check_silence(&mut self, now: Timestamp) -> Option<Duration> {
        let overdue = self.overdue?;
        if now < overdue {
            return Some(overdue.since(now));
        }
        self.overdue = None;
        let error = match self.opening {
            true => CameraError::new("the camera is taking very long to open").hint(
                "allow this program to use the camera if the system asks, or unplug the camera and plug it in again",
            ),
            false => CameraError::new("the camera stopped sending pictures")
                .hint("unplug the camera and plug it in again, or choose another one"),
        };
        self.report(error);
        None
    }
}
