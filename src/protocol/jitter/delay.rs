//! How late packets are, and therefore how long a talker's audio should wait.
//!
//! ```text
//! transit  = arrival - RTP timestamp           (unknown constant + network + drift)
//! base     = lowest transit of the last 1..2 s
//! relative = transit - base                    -> histogram, older packets forgotten
//! target   = 99 % quantile + margin
//! ```
//! The base is a minimum over a sliding window, so it follows a sender's drifting clock. When it rises at once, the path or
//! the sender's capture has shifted: that is no jitter, and what was measured meanwhile is forgotten. All values are samples of
//! the 48 kHz media clock. Must never look at a clock or at packet contents.

use crate::limits::{JITTER_DELAY_MS_MAX, JITTER_MARGIN_MS};

/// Samples in a millisecond of the Opus clock (RFC 7587 section 4.1).
pub(super) const PER_MS: i64 = 48;

/// A bucket is 2 ms wide: finer than any device period, coarse enough to stay small.
const BUCKET: i64 = 2 * PER_MS;
const BUCKETS: usize = JITTER_DELAY_MS_MAX / 2;
/// Weight kept per packet: an event counts half after 7 s of 20 ms packets.
const KEEP: f32 = 0.998;
/// The share of packets that should be in time.
const QUANTILE: f32 = 0.99;
/// What is assumed of a talker of whom nothing is known yet.
const FIRST_GUESS: i64 = 20 * PER_MS;
/// The base is the minimum over this window and the one before it.
const WINDOW: i64 = 1_000 * PER_MS;
/// A base that rises by more than this from one window to the next has shifted.
const SHIFT: i64 = 20 * PER_MS;

/// Relative delay of one talker's packets.
#[derive(Debug)]
pub(super) struct DelayTracker {
    share: [f32; BUCKETS],
    seen: u32,
    window_start: i64,
    lowest: Option<i64>,
    lowest_before: Option<i64>,
    quantile: i64,
}

impl DelayTracker {
    pub(super) fn new() -> Self {
        Self {
            share: first_guess(),
            seen: 0,
            window_start: 0,
            lowest: None,
            lowest_before: None,
            quantile: FIRST_GUESS,
        }
    }

    /// Transit time of the fastest recent packet; `None` before the first one.
    pub(super) fn base(&self) -> Option<i64> {
        match (self.lowest, self.lowest_before) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes one packet into account: `arrival` and `transit` in samples. Returns its delay relative to the base.
    pub(super) fn record(&mut self, arrival: i64, transit: i64) -> i64 {
        self.slide(arrival);
        self.lowest = Some(self.lowest.map_or(transit, |l| l.min(transit)));
        let relative = transit - self.base().unwrap_or(transit);
        // A plain average at first, so that the first guess does not outlive what has been measured.
        self.seen = self.seen.saturating_add(1);
        let keep = (1.0 - 1.0 / (self.seen as f32 + 1.0)).min(KEEP);
        for share in &mut self.share {
            *share *= keep;
        }
        self.share[bucket_of(relative)] += 1.0 - keep;
        self.quantile = self.measure();
        relative
    }

    /// How long the audio of the fastest packet should wait before it is needed.
    pub(super) fn target(&self) -> i64 {
        (self.quantile + JITTER_MARGIN_MS as i64 * PER_MS).min(JITTER_DELAY_MS_MAX as i64 * PER_MS)
    }

    fn slide(&mut self, arrival: i64) {
        let age = arrival - self.window_start;
        if self.lowest.is_none() && self.lowest_before.is_none() {
            self.window_start = arrival;
        } else if age >= 2 * WINDOW {
            // Nothing was heard for so long that the clocks may have drifted apart: only the new packets count.
            (self.lowest, self.lowest_before, self.window_start) = (None, None, arrival);
        } else if age >= WINDOW {
            if let (Some(before), Some(lowest)) = (self.lowest_before, self.lowest)
                && lowest - before > SHIFT
            {
                (self.share, self.seen) = (first_guess(), 0);
            }
            (self.lowest_before, self.lowest, self.window_start) = (self.lowest, None, arrival);
        }
    }

    fn measure(&self) -> i64 {
        // Packets in the lowest bucket count as not delayed at all.
        let mut sum = 0.0;
        let total: f32 = self.share.iter().sum();
        for (index, share) in self.share.iter().enumerate() {
            sum += share;
            if sum >= QUANTILE * total {
                return index as i64 * BUCKET;
            }
        }
        (BUCKETS as i64 - 1) * BUCKET
    }
}

fn first_guess() -> [f32; BUCKETS] {
    let mut share = [0.0; BUCKETS];
    share[bucket_of(FIRST_GUESS)] = 1.0;
    share
}

fn bucket_of(relative: i64) -> usize {
    usize::try_from(relative / BUCKET).unwrap_or(0).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(delays_ms: impl Iterator<Item = i64>) -> DelayTracker {
        let mut t = DelayTracker::new();
        for (i, delay) in delays_ms.enumerate() {
            let sent = i as i64 * 20 * PER_MS;
            t.record(sent + delay * PER_MS, 1_000_000 + delay * PER_MS);
        }
        t
    }

    const MARGIN: i64 = JITTER_MARGIN_MS as i64;

    #[test]
    fn the_target_follows_the_high_quantile() {
        let target_ms = |t: &DelayTracker| t.target() / PER_MS;
        assert_eq!(target_ms(&DelayTracker::new()), 20 + MARGIN, "a guess before the first packet");
        assert_eq!(target_ms(&fed((0..2_000).map(|_| 0))), MARGIN, "no jitter");
        assert_eq!(target_ms(&fed((0..2_000).map(|i| i % 10))), 8 + MARGIN, "even jitter of 0..9 ms");
        let rare = |every: i64| fed((0..5_000).map(move |i| if i % every == 1 { 100 } else { 0 }));
        assert_eq!(target_ms(&rare(400)), MARGIN, "one packet in 400 is not worth waiting for");
        assert_eq!(target_ms(&rare(20)), 100 + MARGIN, "one in 20 is");
        assert_eq!(target_ms(&fed((0..5_000).map(|i| if i % 4 == 1 { 900 } else { 0 }))), 400, "never above the limit");
    }

    #[test]
    fn the_base_forgets_a_lower_transit_after_two_windows() {
        let mut t = DelayTracker::new();
        t.record(0, 0);
        let mut at = 0;
        let mut relative = 0;
        while at < 2 * WINDOW + 20 * PER_MS {
            at += 20 * PER_MS;
            relative = t.record(at, 480);
        }
        assert_eq!((relative, t.base()), (0, Some(480)));
    }

    #[test]
    fn a_long_silence_starts_a_new_base() {
        let mut t = DelayTracker::new();
        t.record(0, 0);
        assert_eq!(t.record(2 * WINDOW - 1, 480), 480);
        let mut t = DelayTracker::new();
        t.record(0, 0);
        assert_eq!(t.record(2 * WINDOW, 480), 0);
    }
}
