//! When each run of a frame's packets may go out.
//!
//! ```text
//! frame begins                      frame begins + spread
//! |--phase--|run 1|---gap---|run 2|---gap---|run 3|
//! ```
//! Packets of a frame that is there all at once would overrun switches and receive buffers, and those of several senders
//! whose cameras tick together would meet: so runs are spread over a short time, each sender with a phase of its own. A
//! frame encoded in bands mostly paces itself: encoding a band takes longer than the gap.
//!
//! It only computes; its caller waits.

use std::time::Duration;

use crate::time::Timestamp;

/// Packets sent in one go.
pub const RUN_PACKETS: usize = 16;
/// Longest time over which a frame is spread.
const SPREAD_MAX: Duration = Duration::from_millis(1);
/// The spread is at most this share of the time between frames.
const SPREAD_SHARE: u32 = 30;

/// Spreads the runs of each frame.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    spread: Duration,
    phase: f64,
    next: Timestamp,
    gap: Duration,
}

impl Pacer {
    /// For frames `interval` apart. `phase`, 0 to 1, is this sender's share of a gap to wait before the first run.
    pub fn new(interval: Duration, phase: f64) -> Self {
        Self {
            spread: SPREAD_MAX.min(interval / SPREAD_SHARE),
            phase: phase.clamp(0.0, 1.0),
            next: Timestamp::default(),
            gap: Duration::ZERO,
        }
    }

    /// A frame of about `runs` runs begins.
    pub fn begin(&mut self, now: Timestamp, runs: usize) {
        let runs = u32::try_from(runs.max(1)).unwrap_or(u32::MAX);
        self.gap = self.spread / runs;
        self.next = now + self.gap.mul_f64(self.phase);
    }

    /// How long the next run still has to wait.
    pub fn next(&mut self, now: Timestamp) -> Duration {
        let wait = self.next.since(now);
        self.next = self.next + self.gap;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(us: u64) -> Timestamp {
        Timestamp(1_000_000_000 + us * 1_000)
    }

    #[test]
    fn runs_are_spread_over_a_millisecond_from_the_senders_phase_on() {
        let mut p = Pacer::new(Duration::from_millis(33), 0.5);
        p.begin(micros(0), 5);
        let waits: Vec<u128> = [0, 100, 350, 700, 700].map(|at| p.next(micros(at)).as_micros()).to_vec();
        assert_eq!(waits, [100, 200, 150, 0, 200], "a late run does not delay those after it");
    }

    #[test]
    fn fast_streams_spread_over_less() {
        let mut p = Pacer::new(Duration::from_millis(15), 1.0);
        p.begin(micros(0), 1);
        assert_eq!(p.next(micros(0)).as_micros(), 500);
        assert_eq!(Pacer::new(Duration::ZERO, 9.0).next(micros(0)), Duration::ZERO);
    }
}
