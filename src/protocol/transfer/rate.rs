//! How fast a file is sent.
//!
//! ```text
//! 40 Mb/s, doubled each 250 ms ── a reporter's loss rises ──> x 0.7 ── each 250 ms without that ──> + 5 %,
//!                                                                       + 15 % up to where it was before
//! ```
//! What counts is loss that *rises* by more than two points above what the same reporter had before: a steady 5 % is a bad
//! link and no congestion. What somebody reports first is taken for usual up to a tenth only, so that a rate beyond what
//! the network carries is noticed at once. Beside voice and video it starts lower, and the limits are lower. Files that are sent
//! at the same time share the limits.

use std::time::Duration;

use crate::time::Timestamp;

const MEGABIT: f64 = 1e6;
/// Where it starts without and with voice and video in the conference.
const STARTS: [f64; 2] = [40.0 * MEGABIT, 5.0 * MEGABIT];
/// Slowest without and with voice and video in the conference.
const FLOORS: [f64; 2] = [20.0 * MEGABIT, 5.0 * MEGABIT];
/// Fastest without and with.
const CAPS: [f64; 2] = [900.0 * MEGABIT, 200.0 * MEGABIT];
/// How often it changes.
const STEP: Duration = Duration::from_millis(250);
/// Who reported so long ago says nothing about now.
const STALE: Duration = Duration::from_secs(1);
/// Rise of loss that means congestion, beyond chance.
const RISE: f64 = 0.02;
/// Most loss that a first report makes usual.
const USUAL_MAX: f64 = 0.10;
/// Of so few packets loss says nothing.
const PACKETS_MIN: u32 = 50;
/// Packets that what is usual rests on, at most: links change.
const KNOWN_MAX: f64 = 4_000.0;
/// Growth of the rate where it was before without harm, and beyond.
const GROWTH: [f64; 2] = [1.15, 1.05];
/// What may be sent at once after a pause, always.
const BURST: Duration = Duration::from_millis(4);
/// And what may after a longer one, as long as it is so few bytes: a busy machine wakes late.
const LATE: Duration = Duration::from_millis(25);
const LATE_BYTES_MAX: f64 = 96.0 * 1_400.0;
/// At least so many bytes at once: one call of the system.
const BURST_BYTES_MIN: f64 = 16.0 * 1_400.0;

/// What loss a reporter is used to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reporter {
    baseline: f64,
    /// Packets it rests on.
    known: f64,
}

impl Reporter {
    /// Takes a report of `loss` (0 to 1) of `packets`; whether loss has risen.
    pub fn report(&mut self, loss: f64, packets: u32) -> bool {
        if packets < PACKETS_MIN {
            return false;
        }
        let packets = f64::from(packets);
        if self.known == 0.0 {
            (self.baseline, self.known) = (loss.min(USUAL_MAX), packets);
            return loss > USUAL_MAX + RISE;
        }
        // Both figures are of a few packets only.
        let both = (self.baseline * self.known + loss * packets) / (self.known + packets);
        let likely = both.clamp(0.005, 0.5);
        let chance = 3.0 * (likely * (1.0 - likely) * (1.0 / packets + 1.0 / self.known)).sqrt();
        let risen = loss > self.baseline + RISE + chance;
        // What lasts becomes what one is used to.
        let weight = if risen { 0.05 } else { packets / (self.known + packets) };
        self.baseline += weight * (loss - self.baseline);
        if !risen {
            self.known = (self.known + packets).min(KNOWN_MAX);
        }
        risen
    }
}

/// Bits per second that nothing that is sent exceeds.
pub fn fastest(media: bool, limit_mbit: Option<u32>) -> f64 {
    CAPS[usize::from(media)].min(limit_mbit.map_or(f64::INFINITY, |mbit| f64::from(mbit) * MEGABIT))
}

/// The rate of one sender, and when it may send.
#[derive(Clone, Debug)]
pub struct Rate {
    bits_per_s: f64,
    limit_mbit: Option<u32>,
    media: bool,
    /// Of the limits, 0 to 1.
    share: f64,
    begun: bool,
    doubling: bool,
    /// What it was when loss rose.
    before: f64,
    risen: bool,
    reported: Option<Timestamp>,
    stepped: Timestamp,
    /// Bytes sent since then.
    sent: f64,
    tokens: f64,
    filled: Timestamp,
}

impl Rate {
    /// Starts at `now`; `limit_mbit`: never faster, whatever the network can do.
    pub fn new(now: Timestamp, limit_mbit: Option<u32>) -> Self {
        Self {
            bits_per_s: STARTS[0].min(fastest(false, limit_mbit)),
            limit_mbit,
            media: false,
            share: 1.0,
            begun: false,
            doubling: true,
            before: 0.0,
            risen: false,
            reported: None,
            stepped: now,
            sent: 0.0,
            tokens: BURST_BYTES_MIN,
            filled: now,
        }
    }

    /// Whether there is voice or video in the conference.
    pub fn set_media(&mut self, media: bool) {
        self.media = media;
        self.clamp();
    }

    /// Which share of the limits this file has, 0 to 1.
    pub fn set_share(&mut self, share: f64) {
        self.share = share;
        self.clamp();
    }

    /// Bits per second at present.
    pub fn bits_per_s(&self) -> f64 {
        self.bits_per_s
    }

    /// A report came; loss has risen or not.
    pub fn reported(&mut self, now: Timestamp, risen: bool) {
        self.reported = Some(now);
        self.risen |= risen;
    }

    /// Bytes that may be sent now.
    pub fn budget(&mut self, now: Timestamp) -> usize {
        self.step(now);
        let late = (self.bytes_per_s() * LATE.as_secs_f64()).min(LATE_BYTES_MAX);
        let most = (self.bytes_per_s() * BURST.as_secs_f64()).max(late).max(BURST_BYTES_MIN);
        self.tokens = (self.tokens + self.bytes_per_s() * now.since(self.filled).as_secs_f64()).min(most);
        self.filled = now;
        self.tokens.max(0.0) as usize
    }

    /// So many bytes were sent.
    pub fn take(&mut self, bytes: usize) {
        self.begun = true;
        self.tokens -= bytes as f64;
        self.sent += bytes as f64;
    }

    /// When the budget holds `bytes`.
    pub fn ready_at(&self, bytes: usize) -> Timestamp {
        let missing = (bytes as f64 - self.tokens).max(0.0);
        self.filled + Duration::from_secs_f64(missing / self.bytes_per_s())
    }

    fn bytes_per_s(&self) -> f64 {
        self.bits_per_s / 8.0
    }

    fn step(&mut self, now: Timestamp) {
        let passed = now.since(self.stepped);
        if passed < STEP {
            return;
        }
        // Who does not use the rate learns nothing about it.
        let used = self.sent > 0.5 * self.bytes_per_s() * passed.as_secs_f64();
        let heard = self.reported.is_some_and(|at| now.since(at) < STALE);
        if self.risen {
            self.before = self.bits_per_s;
            self.bits_per_s *= 0.7;
            self.doubling = false;
        } else if used && heard {
            let [back, on] = GROWTH;
            self.bits_per_s *= match self.doubling {
                true => 2.0,
                false if self.bits_per_s * back < self.before => back,
                false => on,
            };
        }
        (self.risen, self.sent, self.stepped) = (false, 0.0, now);
        self.clamp();
    }

    fn clamp(&mut self) {
        let n = usize::from(self.media);
        let cap = fastest(self.media, self.limit_mbit) * self.share;
        if !self.begun {
            self.bits_per_s = STARTS[n] * self.share;
        }
        self.bits_per_s = self.bits_per_s.clamp((FLOORS[n] * self.share).min(cap), cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends all it may for `ms`, with reports of `risen` each 100 ms.
    fn run(rate: &mut Rate, from_ms: u64, ms: u64, risen: bool) -> f64 {
        let mut sent = 0_u64;
        for t in from_ms..from_ms + ms {
            let now = Timestamp::from_millis(t);
            if t % 100 == 0 {
                rate.reported(now, risen);
            }
            while rate.budget(now) >= 1_400 {
                rate.take(1_400);
                sent += 1_400;
            }
        }
        sent as f64 * 8.0 / (ms as f64 / 1_000.0)
    }

    #[test]
    fn it_doubles_until_loss_rises_and_then_goes_on_carefully() {
        let mut rate = Rate::new(Timestamp(0), None);
        assert_eq!(rate.bits_per_s(), 40e6);
        run(&mut rate, 0, 800, false);
        assert_eq!(rate.bits_per_s(), 320e6);
        run(&mut rate, 800, 250, true);
        assert_eq!(rate.bits_per_s().round(), 224e6, "once in 250 ms");
        run(&mut rate, 1_050, 200, false);
        let before = rate.bits_per_s();
        run(&mut rate, 1_250, 300, false);
        assert!(rate.bits_per_s() > 1.1 * before && rate.bits_per_s() < 1.4 * before);
        run(&mut rate, 1_550, 60_000, false);
        assert_eq!(rate.bits_per_s(), 900e6);
        rate.set_media(true);
        assert_eq!(rate.bits_per_s(), 200e6);
        run(&mut rate, 61_550, 20_000, true);
        assert_eq!(rate.bits_per_s(), 5e6);
        rate.set_media(false);
        assert_eq!(rate.bits_per_s(), 20e6);
    }

    #[test]
    fn what_is_sent_follows_the_rate() {
        let mut rate = Rate::new(Timestamp(0), Some(60));
        assert_eq!(rate.bits_per_s(), 40e6);
        let sent = run(&mut rate, 0, 250, false);
        assert!((39e6..42e6).contains(&sent), "{sent}");
        let sent = run(&mut rate, 250, 4_000, false);
        assert_eq!(rate.bits_per_s(), 60e6, "never faster than asked");
        assert!((59e6..61e6).contains(&sent), "{sent}");
        assert!(rate.ready_at(1_400) > Timestamp::from_millis(4_249), "the budget is used up");
    }

    #[test]
    fn beside_voice_and_video_it_starts_low_and_several_share_the_limits() {
        let mut rate = Rate::new(Timestamp(0), None);
        rate.set_media(true);
        assert_eq!(rate.bits_per_s(), 5e6);
        rate.set_share(0.25);
        assert_eq!(rate.bits_per_s(), 1.25e6);
        run(&mut rate, 0, 10_000, false);
        assert_eq!(rate.bits_per_s(), 50e6, "a quarter of 200");
        rate.set_share(0.5);
        rate.set_media(false);
        assert_eq!(rate.bits_per_s(), 50e6, "what was learned stays");
        run(&mut rate, 10_000, 60_000, true);
        assert_eq!(rate.bits_per_s(), 10e6, "half of 20");
        let mut limited = Rate::new(Timestamp(0), Some(8));
        limited.set_share(0.25);
        assert_eq!(limited.bits_per_s(), 2e6);
    }

    #[test]
    fn without_reports_or_without_use_it_stays() {
        let mut rate = Rate::new(Timestamp(0), None);
        for t in 0..2_000 {
            while rate.budget(Timestamp::from_millis(t)) >= 1_400 {
                rate.take(1_400);
            }
        }
        assert_eq!(rate.bits_per_s(), 40e6, "nobody reported");
        rate.budget(Timestamp::from_millis(2_300));
        for t in 2_301..4_000 {
            rate.reported(Timestamp::from_millis(t), false);
            rate.budget(Timestamp::from_millis(t));
        }
        assert_eq!(rate.bits_per_s(), 40e6, "nothing was sent");
    }

    #[test]
    fn only_loss_that_rises_counts() {
        let mut reporter = Reporter::default();
        assert!(Reporter::default().report(0.5, 500), "nothing is so bad that half of all is usual");
        assert!(!reporter.report(0.05, 500), "the first one tells what is usual");
        for loss in [0.06, 0.04, 0.07, 0.05] {
            assert!(!reporter.report(loss, 500), "{loss}");
        }
        assert!(!reporter.report(0.9, PACKETS_MIN - 1), "too few to tell");
        assert!(reporter.report(0.2, 500));
        let risen = (0..100).filter(|_| reporter.report(0.2, 500)).count();
        assert!((5..60).contains(&risen), "what lasts becomes usual: {risen}");
    }

    #[test]
    fn what_chance_makes_of_a_steady_loss_counts_seldom() {
        let mut random = crate::protocol::keys::Random::new([7; 32]);
        let mut risen = 0;
        for _ in 0..200 {
            let mut reporter = Reporter::default();
            for packets in [60, 200, 400, 800, 800] {
                let lost = (0..packets).filter(|_| random.next_u64() % 100 < 5).count();
                risen += usize::from(reporter.report(lost as f64 / f64::from(packets), packets));
            }
        }
        assert!(risen <= 3, "{risen} of 1,000");
    }
}
