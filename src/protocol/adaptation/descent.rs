//! How far below its choice a receiver stays, because the network or the machine does not keep up.
//!
//! ```text
//! loss after repair > 2 % for 1 s, > 20 % in two looks, overflows, late decoding ──> down, at once so far that what came
//! is enough
//! clean for 10 s ──> up one; clean on ──> up two, four ..   trouble soon after going up ──> the wait doubles, to 160 s
//! ```

use std::time::Duration;

use crate::time::Timestamp;

/// Loss that is trouble, in thousandths.
pub const LOSS_MILLI: u32 = 20;
/// How long it has to last.
const LASTING: Duration = Duration::from_secs(1);
/// With this much of it two looks in a row are enough: a cable that became too narrow loses like this, and a moment's
/// disturbance is over by then.
const HEAVY_MILLI: u32 = 200;
/// Time between two looks, or a little less.
const HEAVY_LASTING: Duration = Duration::from_millis(200);
/// How long packets have to be dropped for want of room here.
const OVERFLOWING: Duration = Duration::from_millis(500);
/// After a step down, until its effect is judged: the layers of before still drain from the queues.
const SETTLING: Duration = Duration::from_millis(700);
/// Clean time before the first step up.
pub const CLEAN: Duration = Duration::from_secs(10);
/// Longest such wait.
const CLEAN_MAX: Duration = Duration::from_secs(160);
/// Trouble within this time after a step up is taken to come from it.
const BLAMED: Duration = Duration::from_secs(5);
/// After so long without trouble the wait is the first one again.
const FORGIVEN: Duration = Duration::from_secs(300);

/// What a receiver saw since it looked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets that were neither received nor repaired in time, in thousandths of all.
    pub loss_milli: u32,
    /// The system dropped packets because nobody took them.
    pub overflowed: bool,
    /// The decoder did not get through what came.
    pub late: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stay,
    /// Go down until what is received is at most so many thousandths of what it is now; one step at least.
    Down(u32),
    /// Go up so many steps.
    Up(u32),
}

/// The state.
#[derive(Clone, Debug)]
pub struct Descent {
    bad_since: Option<Timestamp>,
    clean_since: Timestamp,
    settled_at: Timestamp,
    raised_at: Option<Timestamp>,
    wait: Duration,
    stride: u32,
}

impl Descent {
    /// All is well so far.
    pub fn new(now: Timestamp) -> Self {
        Self { bad_since: None, clean_since: now, settled_at: now, raised_at: None, wait: CLEAN, stride: 1 }
    }

    /// Takes in what was seen up to `now`; `steps` are in force.
    pub fn see(&mut self, now: Timestamp, seen: Seen, steps: u32) -> Verdict {
        if now < self.settled_at {
            return Verdict::Stay;
        }
        if seen.loss_milli <= LOSS_MILLI && !seen.overflowed && !seen.late {
            self.bad_since = None;
            return self.clean(now, steps);
        }
        self.clean_since = now;
        let since = *self.bad_since.get_or_insert(now);
        let lasting = match seen {
            Seen { loss_milli: HEAVY_MILLI.., .. } => HEAVY_LASTING,
            Seen { overflowed: true, .. } => OVERFLOWING,
            _ => LASTING,
        };
        if now.since(since) < lasting {
            return Verdict::Stay;
        }
        if let Some(raised) = self.raised_at.take()
            && since.since(raised) < BLAMED
        {
            self.wait = (self.wait * 2).min(CLEAN_MAX);
        }
        self.stride = 1;
        self.bad_since = None;
        self.settled_at = now + SETTLING;
        Verdict::Down(1_000u32.saturating_sub(seen.loss_milli) * 9 / 10)
    }

    fn clean(&mut self, now: Timestamp, steps: u32) -> Verdict {
        if now.since(self.clean_since) >= FORGIVEN {
            self.wait = CLEAN;
        }
        let last = self.raised_at.map_or(self.clean_since, |raised| raised.max(self.clean_since));
        if steps == 0 || now.since(last) < self.wait {
            return Verdict::Stay;
        }
        let stride = self.stride.min(steps);
        self.stride = self.stride.saturating_mul(2);
        self.raised_at = Some(now);
        Verdict::Up(stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000 + ms)
    }

    const LOSS: fn(u32) -> Seen = |loss_milli| Seen { loss_milli, overflowed: false, late: false };

    /// Sees the same every 250 ms; returns what was decided first, and when.
    fn until_decided(seen: Seen, steps: u32, most_ms: u64) -> Option<(u64, Verdict)> {
        let mut descent = Descent::new(at(0));
        (1..=most_ms / 250).map(|n| n * 250).find_map(|ms| {
            let verdict = descent.see(at(ms), seen, steps);
            (verdict != Verdict::Stay).then_some((ms, verdict))
        })
    }

    #[test]
    fn trouble_has_to_last_and_heavy_trouble_less_long() {
        let rows = [
            (LOSS(0), None),
            (LOSS(20), None),
            (LOSS(21), Some((1_250, Verdict::Down(881)))),
            (LOSS(199), Some((1_250, Verdict::Down(720)))),
            (LOSS(200), Some((500, Verdict::Down(720)))),
            (LOSS(1_000), Some((500, Verdict::Down(0)))),
            (Seen { late: true, ..LOSS(0) }, Some((1_250, Verdict::Down(900)))),
            (Seen { overflowed: true, ..LOSS(0) }, Some((750, Verdict::Down(900)))),
        ];
        for (seen, expected) in rows {
            assert_eq!(until_decided(seen, 0, 9_000), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_burst_that_passes_changes_nothing() {
        let mut descent = Descent::new(at(0));
        for n in 0..40 {
            let seen = LOSS(if n % 4 == 3 { 0 } else { 500 });
            let seen = if n % 2 == 0 { seen } else { LOSS(0) };
            assert_eq!(descent.see(at(n * 250), seen, 0), Verdict::Stay);
        }
    }

    #[test]
    fn up_after_ten_clean_seconds_and_later_and_later_when_that_fails() {
        assert_eq!(until_decided(LOSS(0), 3, 9_750), None);
        assert_eq!(until_decided(LOSS(0), 3, 10_000), Some((10_000, Verdict::Up(1))));
        let mut descent = Descent::new(at(0));
        let mut waits = Vec::new();
        let (mut steps, mut clean_from) = (1, 0);
        for n in 1..8_000 {
            let ms = n * 250;
            match descent.see(at(ms), LOSS(if steps == 0 { 100 } else { 0 }), steps) {
                Verdict::Up(1) => {
                    waits.push((ms - clean_from) / 1_000);
                    steps = 0;
                }
                Verdict::Down(_) => (steps, clean_from) = (1, ms),
                Verdict::Stay => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(&waits[..6], [10, 20, 40, 80, 160, 160], "{waits:?}");
    }

    /// A receiver of `tiles` full pictures behind a link of `capacity` Mb/s that changes with time. Returns how often its
    /// layers changed, and for how long in all it had more than 5 % of loss.
    fn simulate(tiles: u32, capacity: impl Fn(u64) -> f64, seconds: u64) -> (u32, u64, u32) {
        let rate = |steps: u32| {
            let (first, second) = (steps.min(tiles), steps.saturating_sub(tiles).min(tiles));
            25.0 * f64::from(tiles) - 23.0 * f64::from(first) - 1.3 * f64::from(second)
        };
        let mut descent = Descent::new(at(0));
        let (mut steps, mut changes, mut suffering) = (0, 0, 0);
        for ms in (250..seconds * 1_000).step_by(250) {
            let loss = (1.0 - capacity(ms) / rate(steps)).max(0.0);
            suffering += if loss > 0.05 { 250 } else { 0 };
            match descent.see(at(ms), LOSS((loss * 1_000.0) as u32), steps) {
                Verdict::Stay => {}
                Verdict::Up(n) => (steps, changes) = (steps - n, changes + 1),
                Verdict::Down(share) => {
                    let goal = rate(steps) * f64::from(share) / 1_000.0;
                    steps += 1;
                    while rate(steps) > goal && steps < 2 * tiles {
                        steps += 1;
                    }
                    changes += 1;
                }
            }
        }
        (changes, suffering, steps)
    }

    #[test]
    fn it_recovers_within_a_second_and_does_not_swing() {
        for (tiles, narrow) in [(1, 4.0), (4, 20.0), (24, 60.0), (48, 40.0)] {
            let wide = 25.0 * f64::from(tiles) + 10.0;
            // Narrow from 20 s on, for good.
            let (changes, suffering, steps) = simulate(tiles, |ms| if ms < 20_000 { wide } else { narrow }, 620);
            let first = simulate(tiles, |ms| if ms < 20_000 { wide } else { narrow }, 29).1;
            assert!(first <= 1_000, "{tiles} tiles: {first} ms until it recovered");
            assert!(changes <= 20 && suffering <= 12_000, "{tiles} tiles: {changes} changes, {suffering} ms");
            assert!(steps > 0);
        }
        // Narrow for ten seconds, then wide again: all is as before within some minutes.
        for tiles in [1, 24] {
            let wide = 25.0 * f64::from(tiles) + 10.0;
            let (.., steps) = simulate(tiles, |ms| if (20_000..30_000).contains(&ms) { 4.0 } else { wide }, 200);
            assert_eq!(steps, 0, "{tiles} tiles");
        }
    }
}
