//! How fast those are served who fetch: together at one rate, which is part of what files may take.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::device::clock::Clock;
use crate::time::Timestamp;

/// What may go out at once after a pause.
const BURST: Duration = Duration::from_millis(20);
/// Nobody is served more slowly than so many bits per second.
const LEAST: f64 = 1e6;

struct Budget {
    bits_per_s: f64,
    /// When all that was taken has gone out at that rate.
    spent_until: Timestamp,
    over: bool,
}

impl Budget {
    /// Takes `bytes`; how long to wait until they may go.
    fn take(&mut self, now: Timestamp, bytes: usize) -> Duration {
        let from = self.spent_until.max(Timestamp(now.0.saturating_sub(BURST.as_nanos() as u64)));
        let wait = from.since(now);
        self.spent_until = from + Duration::from_secs_f64(8.0 * bytes as f64 / self.bits_per_s);
        wait
    }
}

/// See the module.
pub struct Pace {
    budget: Mutex<Budget>,
    ended: Condvar,
}

impl Pace {
    /// At `bits_per_s` until it is said otherwise.
    pub fn new(bits_per_s: f64) -> Self {
        let budget = Budget { bits_per_s: bits_per_s.max(LEAST), spent_until: Timestamp(0), over: false };
        Self { budget: Mutex::new(budget), ended: Condvar::new() }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// From now on so many bits per second.
    pub fn set(&self, bits_per_s: f64) {
        self.budget().bits_per_s = bits_per_s.max(LEAST);
    }

    /// Bits per second at present.
    #[cfg(test)]
    pub fn bits_per_s(&self) -> f64 {
        self.budget().bits_per_s
    }

    /// Waits until `bytes` may go out. False when nothing is served any more.
    pub fn wait(&self, clock: &Clock, bytes: usize) -> bool {
        let mut budget = self.budget();
        let until = clock.now() + budget.take(clock.now(), bytes);
        while !budget.over {
            let left = until.since(clock.now());
            if left.is_zero() {
                return true;
            }
            budget = self.ended.wait_timeout(budget, left).unwrap_or_else(|e| e.into_inner()).0;
        }
        false
    }

    /// Nobody waits any more.
    pub fn end(&self) {
        self.budget().over = true;
        self.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_fetch_share_one_rate() {
        let pace = Pace::new(8e6);
        let mut budget = pace.budget();
        let at = Timestamp::from_millis;
        // A thousand bytes are a millisecond.
        assert_eq!(budget.take(at(1_000), 20_000), Duration::ZERO);
        assert_eq!(budget.take(at(1_000), 50_000), Duration::ZERO, "after a pause some at once");
        assert_eq!(budget.take(at(1_000), 1_000), Duration::from_millis(50), "and then as fast as it is allowed");
        assert_eq!(budget.take(at(1_051), 1_000), Duration::ZERO);
    }

    #[test]
    fn it_is_never_so_slow_that_nothing_comes_and_ends_at_once() {
        let pace = Pace::new(0.0);
        assert_eq!(pace.bits_per_s(), LEAST);
        pace.set(5e6);
        assert_eq!(pace.bits_per_s(), 5e6);
        let clock = Clock::system();
        assert!(pace.wait(&clock, 1_000_000_000));
        pace.end();
        assert!(!pace.wait(&clock, 1));
    }
}
