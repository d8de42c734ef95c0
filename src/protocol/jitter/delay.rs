//! How late packets are, and therefore how long a talker's audio should wait.
//!
//! ```text
//! transit  = arrival - RTP timestamp           (unknown constant + network + drift)
//! base     = lowest transit of the last 1..2 s
//! relative = transit - base
//! worst    = largest relative delay of each half second   -> histogram, older ones forgotten
//! target   = 95 % quantile, but no more than the worst of the last 3 s, + a margin
//!            while lost packets come once more: no less than the worst of these in the last 30 s
//! ```
//! So one half second in twenty may hold a packet that is too late: a single burst is not worth waiting for, one that comes
//! again and again is; and once a bad spell is over, the delay returns within seconds. Where lost packets are sent once more,
//! whoever is not waited for leaves a gap in a word: there it is waited as long as any of these took, and through some calm
//! seconds too, as losses in runs have breaks. The base is a minimum over a sliding window, so it follows a sender's drifting
//! clock. When it rises at once, the path or the sender's capture has shifted: that is no jitter, and what was measured
//! meanwhile is forgotten. All values are samples of the 48 kHz media clock. Must never look at a clock or at packet contents.

use crate::limits::JITTER_DELAY_MS_MAX;

/// Samples in a millisecond of the Opus clock (RFC 7587 section 4.1).
pub(super) const PER_MS: i64 = 48;

/// A bucket is 1 ms wide: the target is a multiple of it.
const BUCKET: i64 = PER_MS;
const BUCKETS: usize = JITTER_DELAY_MS_MAX;
/// Time of which the worst counts.
const INTERVAL: i64 = 500 * PER_MS;
/// Weight kept per interval: one counts half after 20 s.
const KEEP: f32 = 0.983;
/// The share of intervals that should be in time throughout.
const QUANTILE: f32 = 0.95;
/// Intervals whose worst bounds the target.
const RECENT: usize = 6;
/// The same while lost packets come once more.
const RECENT_PATIENT: usize = 60;
/// That is so while this many of that many intervals saw it.
const REPAIRED: usize = 3;
const REPAIRED_OF: usize = 30;
/// Without any in so many intervals it is over.
const REPAIRED_LATELY: usize = 10;
/// What is assumed of a talker of whom nothing is known yet.
const FIRST_GUESS: i64 = 20 * PER_MS;
/// The base is the minimum over this window and the one before it.
const WINDOW: i64 = 1_000 * PER_MS;
/// A base that rises by more than this from one window to the next has shifted.
const SHIFT: i64 = 20 * PER_MS;
/// Packets that are all this much later than the base for [`SETTLED`] show a shift at once.
const FAR_SHIFT: i64 = 60 * PER_MS;
/// See [`FAR_SHIFT`]; after a stall, all come at the same time, and prove nothing.
const SETTLED: i64 = 200 * PER_MS;

/// Relative delay of one talker's packets.
#[derive(Debug)]
pub(super) struct DelayTracker {
    share: [f32; BUCKETS],
    seen: u32,
    window_start: i64,
    lowest: Option<i64>,
    lowest_before: Option<i64>,
    interval_start: i64,
    /// Largest relative delay of this interval.
    worst: i64,
    /// The largest of the lost packets that came once more in this interval, if any did.
    again: Option<i64>,
    /// Both of the intervals before, newest first.
    recent: [(i64, Option<i64>); RECENT_PATIENT],
    /// What the usual share of intervals needs.
    quantile: i64,
    /// Since when all packets are far later than the base, and the fastest of them.
    far: Option<(i64, i64)>,
}

impl DelayTracker {
    pub(super) fn new() -> Self {
        Self {
            share: first_guess(),
            seen: 0,
            window_start: 0,
            lowest: None,
            lowest_before: None,
            interval_start: 0,
            worst: 0,
            again: None,
            recent: [(FIRST_GUESS, None); RECENT_PATIENT],
            quantile: FIRST_GUESS,
            far: None,
        }
    }

    /// Arrivals and timestamps are of no common clock any more. How much packets of this network are late stays known.
    pub(super) fn rebase(&mut self) {
        (self.lowest, self.lowest_before, self.far) = (None, None, None);
        (self.worst, self.again) = (0, None);
    }

    /// Transit time of the fastest recent packet; `None` before the first one.
    pub(super) fn base(&self) -> Option<i64> {
        match (self.lowest, self.lowest_before) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes one packet into account: `arrival` and `transit` in samples, and whether it is a lost one that came
    /// once more. Returns its delay relative to the base.
    pub(super) fn record(&mut self, arrival: i64, transit: i64, again: bool) -> i64 {
        self.slide(arrival);
        self.lowest = Some(self.lowest.map_or(transit, |l| l.min(transit)));
        self.shift_far(arrival, transit);
        let relative = transit - self.base().unwrap_or(transit);
        if arrival - self.interval_start >= INTERVAL {
            self.count();
            self.interval_start = arrival;
        }
        self.worst = self.worst.max(relative);
        if again {
            self.again = self.again.max(Some(relative));
        }
        relative
    }

    /// Whether lost packets come again.
    pub(super) fn is_patient(&self) -> bool {
        let seen = |of: usize| self.recent[..of].iter().filter(|(_, again)| again.is_some()).count();
        let seen = |of: usize| seen(of) + usize::from(self.again.is_some());
        seen(REPAIRED_LATELY) > 0 && seen(REPAIRED_OF) >= REPAIRED
    }

    /// How long the audio of the fastest packet should wait before it is needed, with this margin.
    pub(super) fn target(&self, margin: i64) -> i64 {
        let recent = self.recent[..RECENT].iter().fold(self.worst, |a, b| a.max(b.0));
        let usual = self.quantile.min(recent);
        let again = || self.recent.iter().filter_map(|interval| interval.1).chain(self.again);
        let needed = if self.is_patient() { again().fold(usual, i64::max) } else { usual };
        (needed + margin).min(JITTER_DELAY_MS_MAX as i64 * PER_MS)
    }

    /// What the packets of the last half second to second needed, and this margin.
    pub(super) fn needed(&self, margin: i64) -> i64 {
        self.worst.max(self.recent[0].0) + margin
    }

    fn slide(&mut self, arrival: i64) {
        let age = arrival - self.window_start;
        if self.lowest.is_none() && self.lowest_before.is_none() {
            (self.window_start, self.interval_start) = (arrival, arrival);
        } else if age >= 2 * WINDOW {
            // Nothing was heard for so long that the clocks may have drifted apart: only the new packets count; and after
            // longer, the network may be another one.
            if age >= RECENT_PATIENT as i64 * INTERVAL {
                self.forget();
            }
            (self.lowest, self.lowest_before, self.window_start) = (None, None, arrival);
        } else if age >= WINDOW {
            if let (Some(before), Some(lowest)) = (self.lowest_before, self.lowest)
                && lowest - before > SHIFT
            {
                self.forget();
            }
            (self.lowest_before, self.lowest, self.window_start) = (self.lowest, None, arrival);
        }
    }

    /// Moves the base when everything comes far later than it.
    fn shift_far(&mut self, arrival: i64, transit: i64) {
        if transit - self.base().unwrap_or(transit) < FAR_SHIFT {
            self.far = None;
            return;
        }
        let (since, fastest) = self.far.unwrap_or((arrival, transit));
        let fastest = fastest.min(transit);
        self.far = Some((since, fastest));
        if arrival - since >= SETTLED {
            (self.lowest, self.lowest_before, self.window_start) = (Some(fastest), None, arrival);
            self.far = None;
            self.forget();
        }
    }

    /// What was measured tells nothing of what comes.
    fn forget(&mut self) {
        (self.share, self.seen, self.quantile) = (first_guess(), 0, FIRST_GUESS);
        (self.worst, self.again, self.recent) = (0, None, [(FIRST_GUESS, None); RECENT_PATIENT]);
    }

    /// An interval is over.
    fn count(&mut self) {
        // A plain average at first, so that the first guess does not outlive what has been measured.
        self.seen = self.seen.saturating_add(1);
        let keep = (1.0 - 1.0 / (self.seen as f32 + 1.0)).min(KEEP);
        for share in &mut self.share {
            *share *= keep;
        }
        self.share[bucket_of(self.worst)] += 1.0 - keep;
        self.quantile = self.measure();
        self.recent.rotate_right(1);
        self.recent[0] = (self.worst, self.again);
        (self.worst, self.again) = (0, None);
    }

    /// What the usual share needs.
    fn measure(&self) -> i64 {
        // Packets in the lowest bucket count as not delayed at all.
        let mut sum = 0.0;
        let total: f32 = self.share.iter().sum();
        for (index, share) in self.share.iter().enumerate() {
            sum += share;
            if sum >= QUANTILE * total {
                return if index == 0 { 0 } else { (index as i64 + 1) * BUCKET };
            }
        }
        BUCKETS as i64 * BUCKET
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
            t.record(sent + delay * PER_MS, 1_000_000 + delay * PER_MS, false);
        }
        t
    }

    const MARGIN_MS: i64 = 3;

    #[test]
    fn the_target_follows_the_high_quantile() {
        let target_ms = |t: &DelayTracker| t.target(MARGIN_MS * PER_MS) / PER_MS;
        assert_eq!(target_ms(&DelayTracker::new()), 20 + MARGIN_MS, "a guess before the first packet");
        assert_eq!(target_ms(&fed((0..2_000).map(|_| 0))), MARGIN_MS, "no jitter");
        assert_eq!(target_ms(&fed((0..2_000).map(|i| i % 10))), 9 + MARGIN_MS, "even jitter of 0..9 ms");
        let rare = |every: i64| fed((0..5_000).map(move |i| if i % every == 1 { 100 } else { 0 }));
        assert_eq!(target_ms(&rare(600)), MARGIN_MS, "one half second in 24 is not worth waiting for");
        assert_eq!(target_ms(&rare(100)), 100 + MARGIN_MS, "one in 4 is");
        assert_eq!(target_ms(&fed((0..5_000).map(|i| if i % 4 == 1 { 900 } else { 0 }))), 400, "never above the limit");
    }

    #[test]
    fn a_bad_spell_bounds_the_target_for_three_seconds_and_no_longer() {
        // 20 s in which every half second is bad, then none.
        let after = |ms: i64| fed((0..1_000 + ms / 20).map(|i| if i < 1_000 && i % 10 == 1 { 150 } else { 0 }));
        for (ms, expected) in [(0, 150), (2_500, 150), (3_600, 0)] {
            assert_eq!(after(ms).target(MARGIN_MS * PER_MS) / PER_MS, expected + MARGIN_MS, "{ms} ms after");
        }
    }

    #[test]
    fn while_lost_packets_come_again_it_is_waited_longer() {
        // Each half second something is 60 ms late, and once in 12 s something 160 ms, lost and repaired or not.
        let fed = |again: bool, calm: i64| {
            let mut t = DelayTracker::new();
            for n in 0..3_000 + calm {
                let late = match n {
                    _ if n >= 3_000 => 0,
                    _ if n % 600 == 20 => 160,
                    _ if n % 25 == 20 => 60,
                    _ => 0,
                };
                let at = n * 20 * PER_MS + late * PER_MS;
                t.record(at, 1_000_000 + late * PER_MS, again && late > 0);
            }
            t.target(0) / PER_MS
        };
        assert_eq!([fed(false, 0), fed(true, 0)], [60, 160]);
        assert_eq!([fed(true, 225), fed(true, 300)], [160, 0], "through 4 s of calm, and no longer than 6 s");
    }

    #[test]
    fn a_stall_is_soon_forgotten_though_lost_packets_come_again() {
        // Each second something is lost and comes again 10 ms later; once everything stands still for 200 ms.
        let after = |ms: i64| {
            let mut t = DelayTracker::new();
            for n in 0..1_000 + ms / 20 {
                let again = n % 50 == 7;
                let late = if (990..1_000).contains(&n) { (1_000 - n) * 20 } else { i64::from(again) * 10 };
                t.record((n * 20 + late) * PER_MS, 1_000_000 + late * PER_MS, again);
            }
            t.target(0) / PER_MS
        };
        assert!(
            after(0) <= 200 && (0..1_000).step_by(100).all(|ms| after(4_000 + ms) <= 12),
            "{} {}",
            after(0),
            after(4_500)
        );
    }

    #[test]
    fn what_was_known_of_a_network_is_forgotten_in_a_long_silence() {
        let mut t = fed((0..500).map(|i| if i % 10 == 1 { 100 } else { 0 }));
        let at = 500 * 20 * PER_MS;
        assert_eq!(t.target(0) / PER_MS, 100);
        t.record(at + 20_000 * PER_MS, 1_000_000, false);
        assert_eq!(t.target(0) / PER_MS, 100, "a pause");
        t.record(at + 60_000 * PER_MS, 1_000_000, false);
        assert_eq!(t.target(0), FIRST_GUESS);
    }

    #[test]
    fn the_base_forgets_a_lower_transit_after_two_windows() {
        let mut t = DelayTracker::new();
        t.record(0, 0, false);
        let mut at = 0;
        let mut relative = 0;
        while at < 2 * WINDOW + 20 * PER_MS {
            at += 20 * PER_MS;
            relative = t.record(at, 480, false);
        }
        assert_eq!((relative, t.base()), (0, Some(480)));
    }

    #[test]
    fn a_far_shift_moves_the_base_within_a_fifth_of_a_second_but_a_stall_does_not() {
        let mut t = fed((0..100).map(|_| 0));
        let (start, step) = (100 * 20 * PER_MS, 20 * PER_MS);
        let shifted =
            |t: &mut DelayTracker, n: i64| t.record(start + n * step + 100 * PER_MS, 1_000_000 + 100 * PER_MS, false);
        for n in 0..10 {
            assert_eq!(shifted(&mut t, n), 100 * PER_MS, "packet {n}");
        }
        assert_eq!(shifted(&mut t, 10), 0);
        let mut t = fed((0..100).map(|_| 0));
        for n in 0..10 {
            t.record(start + 10 * step, 1_000_000 + (10 - n) * step, false);
        }
        assert_eq!(t.base(), Some(1_000_000));
    }

    #[test]
    fn a_long_silence_starts_a_new_base() {
        let mut t = DelayTracker::new();
        t.record(0, 0, false);
        assert_eq!(t.record(2 * WINDOW - 1, 480, false), 480);
        let mut t = DelayTracker::new();
        t.record(0, 0, false);
        assert_eq!(t.record(2 * WINDOW, 480, false), 0);
    }
}
