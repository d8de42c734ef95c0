//! How much before their time packets are asked for: the mixer works in steps, and a busy machine holds it up and then
//! lets it ask for much at once.
//!
//! ```text
//! worst of each half second that is played > the last 20 of them > the second worst is waited for
//! ```
//! As with the jitter of packets, one half second in twenty may hold something worse. A device that was found empty is filled
//! more since then, for the same hold-ups: what waits there does not wait here as well. All values are samples of the 48 kHz
//! media clock.

use super::delay::PER_MS;

/// Played time of which the worst counts.
const INTERVAL: i64 = 500 * PER_MS;
/// Intervals looked back on.
const RECENT: usize = 20;
/// Most that is waited for.
const MOST: i64 = 30 * PER_MS;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Early {
    played: i64,
    worst: i64,
    recent: [i64; RECENT],
    elsewhere: i64,
}

impl Early {
    pub(super) fn new() -> Self {
        Self { played: 0, worst: 0, recent: [0; RECENT], elsewhere: 0 }
    }

    /// A packet was asked for `earlier` than it would be at its time, and `samples` are played with it.
    pub(super) fn observe(&mut self, earlier: f64, samples: i64) {
        self.worst = self.worst.max((earlier as i64).clamp(0, MOST));
        self.played += samples;
        if self.played >= INTERVAL {
            self.recent.rotate_right(1);
            (self.recent[0], self.worst, self.played) = (self.worst, 0, 0);
        }
    }

    /// So much waits for the device already, beyond what its periods need.
    pub(super) fn set_elsewhere(&mut self, samples: i64) {
        self.elsewhere = samples.max(0);
    }

    /// What is worth waiting for.
    pub(super) fn room(&self) -> i64 {
        let (_, second) = self.recent.iter().fold((self.worst, 0), |(first, second), &worst| {
            if worst > first { (worst, first) } else { (first, second.max(worst)) }
        });
        second.min((MOST - self.elsewhere).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_waited_for_and_forgotten_after_ten_seconds() {
        let mut early = Early::new();
        let mut feed = |ms: i64, seconds: i64| {
            for n in 0..50 * seconds {
                early.observe(if n == 0 { ms * PER_MS } else { PER_MS } as f64, 20 * PER_MS);
            }
            early.room() / PER_MS
        };
        assert_eq!(feed(1, 2), 1, "steadily a little");
        assert_eq!(feed(12, 1), 1, "a single hold-up is no lasting delay");
        assert_eq!(feed(9, 1), 9, "a second one within ten seconds is");
        assert_eq!(feed(1, 8), 9);
        assert_eq!(feed(1, 2), 1);
        assert_eq!([feed(900, 1), feed(900, 1)], [1, MOST / PER_MS], "never above the limit");
        assert_eq!(feed(-5, 11), 1);
    }

    #[test]
    fn what_waits_for_the_device_does_not_wait_here_as_well() {
        let mut early = Early::new();
        for n in 0..500 {
            early.observe(if n % 50 == 0 { (25 * PER_MS) as f64 } else { 0.0 }, 20 * PER_MS);
        }
        for (elsewhere, room) in [(0, 25), (3, 25), (12, 18), (30, 0), (40, 0), (0, 25)] {
            early.set_elsewhere(elsewhere * PER_MS);
            assert_eq!(early.room() / PER_MS, room, "{elsewhere} ms");
        }
    }
}
