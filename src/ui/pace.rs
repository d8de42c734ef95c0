//! When the next frame may be composed.
//!
//! ```text
//! picture published --+-- rested long enough: composed at once
//!                     +-- else: composed together with others when the rest is over
//! from one frame to the next = 5 x what a frame costs, but no longer than half a picture lasts;
//!                              1 / fps and twice what a frame costs at least
//! ```
//! A lone stream thus reaches the window without waiting; a crowd or a big window takes a fifth of a core as long as no
//! picture is missed for it, and a slow display half a core at most.

use std::time::Duration;

use crate::time::Timestamp;

/// A frame may start every so many times its own cost.
const COSTS_PER_FRAME: u32 = 5;
/// Half of what a picture of 30 a second lasts: with frames so far apart each picture of every stream is composed.
const PICTURE_HALF: Duration = Duration::from_millis(15);
/// A frame may start every so many times its own cost, whatever is missed.
const COSTS_PER_FRAME_MIN: u32 = 2;
/// Rest at most this long, so that a slow display is slow but not dead.
const INTERVAL_MAX: Duration = Duration::from_millis(200);

/// The pace of one window.
#[derive(Clone, Debug)]
pub struct Pace {
    interval_min: Duration,
    last: Option<Timestamp>,
    /// Smoothed over some frames.
    cost: Duration,
}

impl Pace {
    /// At most `fps` frames a second.
    pub fn new(fps: u32) -> Self {
        Self { interval_min: Duration::from_secs(1) / fps.max(1), last: None, cost: Duration::ZERO }
    }

    /// How long to rest before the next frame; zero = it may be composed now.
    pub fn rest(&self, now: Timestamp) -> Duration {
        let thrifty = (self.cost * COSTS_PER_FRAME).min(PICTURE_HALF).max(self.cost * COSTS_PER_FRAME_MIN);
        let interval = thrifty.clamp(self.interval_min, INTERVAL_MAX.max(self.interval_min));
        self.last.map_or(Duration::ZERO, |last| interval.saturating_sub(now.since(last)))
    }

    /// A frame was composed and handed over between these moments.
    pub fn painted(&mut self, started: Timestamp, ended: Timestamp) {
        let cost = ended.since(started);
        // A busy machine makes a frame look dearer than it is, never cheaper: down fast, up slowly.
        self.cost = match self.last {
            None => cost,
            Some(_) if cost < self.cost => (self.cost + cost) / 2,
            Some(_) => (self.cost * 15 + cost) / 16,
        };
        self.last = Some(started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Timestamp = Timestamp::from_millis;

    #[test]
    fn the_first_frame_never_waits_and_the_next_rests() {
        let mut pace = Pace::new(100);
        assert_eq!(pace.rest(MS(1)), Duration::ZERO);
        pace.painted(MS(1000), MS(1001));
        assert_eq!(pace.rest(MS(1001)), Duration::from_millis(9));
        assert_eq!(pace.rest(MS(1010)), Duration::ZERO);
        assert_eq!(pace.rest(Timestamp(MS(1010).0 - 1)), Duration::from_nanos(1));
    }

    #[test]
    fn costly_frames_rest_in_proportion_but_not_for_ever() {
        let mut pace = Pace::new(120);
        pace.painted(MS(0), MS(10));
        assert_eq!(pace.rest(MS(10)), Duration::from_millis(10));
        let mut pace = Pace::new(120);
        pace.painted(MS(0), MS(4));
        assert_eq!(pace.rest(MS(4)), Duration::from_millis(11), "no picture is missed");
        pace.painted(MS(1000), MS(60_000));
        assert!(pace.rest(MS(1000)) <= INTERVAL_MAX);
    }

    #[test]
    fn one_slow_frame_among_quick_ones_changes_little() {
        let mut pace = Pace::new(1000);
        pace.painted(MS(0), MS(2));
        pace.painted(MS(100), MS(118));
        assert_eq!(pace.rest(MS(100)), Duration::from_millis(15));
        pace.painted(MS(200), MS(201));
        assert_eq!(pace.rest(MS(200)), Duration::from_millis(10));
    }
}
