//! How fast a file is sent.
//!
//! ```text
//! 40 Mb/s, doubled each 250 ms ── a reporter's loss rises ──> x 0.7 or less ── each 250 ms without ──> + 5 %,
//!                                                                          + 15 % up to where it was before
//! ```
//! What counts is loss that *rises* by more than two points above what the same reporter had before: a steady 5 % is a bad
//! link and no congestion. What somebody reports first is taken for usual up to a tenth only, so that a rate beyond what
//! the network carries is noticed at once. Beside voice and video it starts lower, and the limits are lower. Who is told a limit
//! begins there, as far as that is sensible: whoever names one knows the network. Files that are sent at the same time share
//! the limits.
//!
//! All is counted as it is on the wire, headers and seals included; but the limit people set is of what is in the files.

use std::time::Duration;

use super::sender::SYMBOL_WIRE_BYTES;
use crate::limits::OBJECT_SYMBOL_BYTES;
use crate::time::Timestamp;

const MEGABIT: f64 = 1e6;
/// Where it starts without and with voice and video in the conference.
const STARTS: [f64; 2] = [40.0 * MEGABIT, 5.0 * MEGABIT];
/// And no faster than so, where there is a limit and neither voice nor video.
const START_LIMITED: f64 = 100.0 * MEGABIT;
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
/// What is left of it where loss has risen a little, and at least where it has risen a lot.
const LOWER: f64 = 0.7;
const LOWEST: f64 = 0.3;
/// So much of a rate must have been used before a higher one is tried: a machine that cannot keep up gains nothing.
const USED: f64 = 0.8;
/// What may be sent at once after a pause, always.
const BURST: Duration = Duration::from_millis(4);
/// And what may after a longer one, as long as it is so few bytes: a busy machine wakes late.
const LATE: Duration = Duration::from_millis(25);
const LATE_BYTES_MAX: f64 = 96.0 * 1_400.0;
/// What could not go out because the machine woke later still is made up for: so much faster, and so much of it at most.
const CATCH_UP: f64 = 0.2;
const BEHIND: Duration = Duration::from_millis(500);
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
    /// Takes a report of `loss` (0 to 1) of `packets`; by how much it has risen, if it has.
    pub fn report(&mut self, loss: f64, packets: u32) -> Option<f64> {
        if packets < PACKETS_MIN {
            return None;
        }
        let packets = f64::from(packets);
        if self.known == 0.0 {
            (self.baseline, self.known) = (loss.min(USUAL_MAX), packets);
            return (loss > USUAL_MAX + RISE).then_some(loss - USUAL_MAX);
        }
        // Both figures are of a few packets only.
        let both = (self.baseline * self.known + loss * packets) / (self.known + packets);
        let likely = both.clamp(0.005, 0.5);
        let chance = 3.0 * (likely * (1.0 - likely) * (1.0 / packets + 1.0 / self.known)).sqrt();
        let more = loss - self.baseline;
        let risen = more > RISE + chance;
        // What lasts becomes what one is used to.
        let weight = if risen { 0.05 } else { packets / (self.known + packets) };
        self.baseline += weight * (loss - self.baseline);
        if !risen {
            self.known = (self.known + packets).min(KNOWN_MAX);
        }
        risen.then_some(more)
    }
}

/// Bits on the wire for each bit of a file.
pub const WIRE: f64 = SYMBOL_WIRE_BYTES as f64 / OBJECT_SYMBOL_BYTES as f64;

/// Bits per second on the wire that nothing that is sent exceeds; `limit_mbit` is of what is in the files.
pub fn fastest(media: bool, limit_mbit: Option<u32>) -> f64 {
    CAPS[usize::from(media)].min(limit_mbit.map_or(f64::INFINITY, |mbit| f64::from(mbit) * MEGABIT * WIRE))
}

/// Bits per second on the wire with which files begin.
fn start(media: bool, limit_mbit: Option<u32>) -> f64 {
    match limit_mbit {
        Some(_) if !media => fastest(false, limit_mbit).min(START_LIMITED * WIRE),
        _ => STARTS[usize::from(media)].min(fastest(media, limit_mbit)),
    }
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
    /// When it was lowered last.
    lowered: Option<Timestamp>,
    /// Loss was reported to have risen since the last step.
    risen: bool,
    reported: Option<Timestamp>,
    stepped: Timestamp,
    /// Bytes sent since then.
    sent: f64,
    tokens: f64,
    filled: Timestamp,
    /// There was always something to send since it was filled.
    busy: bool,
    /// Bytes that could have been sent before now.
    behind: f64,
}

impl Rate {
    /// Starts at `now`; `limit_mbit`, of what is in the files: never faster, whatever the network can do.
    pub fn new(now: Timestamp, limit_mbit: Option<u32>) -> Self {
        Self {
            bits_per_s: start(false, limit_mbit),
            limit_mbit,
            media: false,
            share: 1.0,
            begun: false,
            doubling: true,
            before: 0.0,
            lowered: None,
            risen: false,
            reported: None,
            stepped: now,
            sent: 0.0,
            tokens: BURST_BYTES_MIN,
            filled: now,
            busy: false,
            behind: 0.0,
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

    /// Bits per second on the wire at present.
    pub fn bits_per_s(&self) -> f64 {
        self.bits_per_s
    }

    /// A report came; loss has risen by so much, or not. What is reported right after the rate was lowered is of before.
    pub fn reported(&mut self, now: Timestamp, risen: Option<f64>) {
        self.reported = Some(now);
        self.risen |= risen.is_some();
        let lately = self.lowered.is_some_and(|at| now.since(at) < STEP);
        let Some(more) = risen.filter(|_| !lately) else {
            return;
        };
        self.before = self.bits_per_s;
        // To what came, where that is less still.
        self.bits_per_s *= LOWER.min(1.0 - more).max(LOWEST);
        (self.doubling, self.behind, self.lowered) = (false, 0.0, Some(now));
        (self.sent, self.stepped, self.risen) = (0.0, now, false);
        self.clamp();
    }

    /// Bytes that may be sent now.
    pub fn budget(&mut self, now: Timestamp) -> usize {
        if !self.begun {
            self.stepped = now;
        }
        self.step(now);
        let late = (self.bytes_per_s() * LATE.as_secs_f64()).min(LATE_BYTES_MAX);
        let most = (self.bytes_per_s() * BURST.as_secs_f64()).max(late).max(BURST_BYTES_MIN);
        let fresh = self.bytes_per_s() * now.since(self.filled).as_secs_f64();
        let late = self.behind.min(CATCH_UP * fresh);
        let all = self.tokens + fresh + late;
        let over = if self.busy { (all - most).max(0.0) } else { 0.0 };
        self.behind = (self.behind - late + over).min(self.bytes_per_s() * BEHIND.as_secs_f64());
        self.tokens = all.min(most);
        self.filled = now;
        self.tokens.max(0.0) as usize
    }

    /// So many bytes were sent.
    pub fn take(&mut self, bytes: usize) {
        (self.begun, self.busy) = (true, true);
        self.tokens -= bytes as f64;
        self.sent += bytes as f64;
    }

    /// There is nothing to send at present: there is nothing to make up for either.
    pub fn rest(&mut self) {
        (self.busy, self.behind) = (false, 0.0);
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
        let used = self.sent > USED * self.bytes_per_s() * passed.as_secs_f64();
        let heard = self.reported.is_some_and(|at| now.since(at) < STALE);
        if used && heard && !self.risen {
            let [back, on] = GROWTH;
            self.bits_per_s *= match self.doubling {
                true => 2.0,
                false if self.bits_per_s * back < self.before => back,
                false => on,
            };
        }
        (self.sent, self.stepped, self.risen) = (0.0, now, false);
        self.clamp();
    }

    fn clamp(&mut self) {
        let n = usize::from(self.media);
        let cap = fastest(self.media, self.limit_mbit) * self.share;
        if !self.begun {
            self.bits_per_s = start(self.media, self.limit_mbit) * self.share;
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
                rate.reported(now, risen.then_some(0.1));
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
    fn where_much_is_lost_it_is_lowered_to_what_comes_and_at_once() {
        let at = Timestamp::from_millis;
        let mut rate = Rate::new(Timestamp(0), Some(100));
        let full = 100e6 * WIRE;
        rate.take(1_400);
        rate.reported(at(10), Some(0.5));
        assert_eq!(rate.bits_per_s(), 0.5 * full);
        rate.reported(at(100), Some(0.5));
        assert_eq!(rate.bits_per_s(), 0.5 * full, "that was of before");
        rate.reported(at(260), Some(0.03));
        assert_eq!(rate.bits_per_s().round(), (0.35 * full).round());
        rate.reported(at(600), Some(1.0));
        assert_eq!(rate.bits_per_s(), FLOORS[0], "never below");
    }

    #[test]
    fn what_is_sent_follows_the_rate() {
        let mut rate = Rate::new(Timestamp(0), None);
        let sent = run(&mut rate, 0, 250, false);
        assert!((39e6..42e6).contains(&sent), "{sent}");
        assert!(rate.ready_at(1_400) > Timestamp::from_millis(249), "the budget is used up");
    }

    #[test]
    fn what_a_late_machine_could_not_send_is_made_up_for_and_what_there_was_not_is_not() {
        // Each 100 ms it wakes 40 ms late.
        let run = |pause: bool| {
            let (mut rate, mut sent, mut most) = (Rate::new(Timestamp(0), Some(60)), 0, 0);
            for t in 0..10_000 {
                let now = Timestamp::from_millis(t);
                if t % 100 < 40 {
                    if pause {
                        rate.rest();
                    }
                    continue;
                }
                let before = sent;
                while rate.budget(now) >= 1_400 {
                    rate.take(1_400);
                    sent += 1_400;
                }
                most = most.max(sent - before);
            }
            (sent as f64 * 8.0 / 10.0 / WIRE, most)
        };
        let (sent, most) = run(false);
        assert!((50e6..60e6).contains(&sent), "{sent}");
        assert!(most <= 96 * 1_400, "{most} at once");
        let (sent, _) = run(true);
        assert!(sent < 51e6, "{sent}");
    }

    #[test]
    fn who_sets_a_limit_gets_it_at_once_as_far_as_is_sensible_and_of_what_is_in_the_files() {
        let mut rate = Rate::new(Timestamp(0), Some(60));
        for from in [0, 250] {
            let sent = run(&mut rate, from, 250, false) / WIRE;
            assert!((59e6..62e6).contains(&sent), "{sent}");
        }
        assert!(run(&mut rate, 500, 4_000, false) / WIRE < 60.5e6, "never faster than asked");
        let mut rate = Rate::new(Timestamp(0), Some(300));
        assert_eq!(rate.bits_per_s(), START_LIMITED * WIRE);
        run(&mut rate, 0, 1_000, false);
        assert_eq!(rate.bits_per_s(), 300e6 * WIRE);
        assert_eq!(fastest(false, Some(5_000)), CAPS[0], "more than the network has nobody gets");
        let mut beside = Rate::new(Timestamp(0), Some(60));
        beside.set_media(true);
        assert_eq!(beside.bits_per_s(), STARTS[1], "beside voices slowly all the same");
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
        assert_eq!(limited.bits_per_s(), 2e6 * WIRE);
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
            rate.reported(Timestamp::from_millis(t), None);
            rate.budget(Timestamp::from_millis(t));
        }
        assert_eq!(rate.bits_per_s(), 40e6, "nothing was sent");
    }

    #[test]
    fn only_loss_that_rises_counts() {
        let mut reporter = Reporter::default();
        assert!(Reporter::default().report(0.5, 500).is_some(), "nothing is so bad that half of all is usual");
        assert!(reporter.report(0.05, 500).is_none(), "the first one tells what is usual");
        for loss in [0.06, 0.04, 0.07, 0.05] {
            assert!(reporter.report(loss, 500).is_none(), "{loss}");
        }
        assert!(reporter.report(0.9, PACKETS_MIN - 1).is_none(), "too few to tell");
        let more = reporter.report(0.2, 500).expect("four times as much");
        assert!((0.12..0.16).contains(&more), "{more}");
        let risen = (0..100).filter(|_| reporter.report(0.2, 500).is_some()).count();
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
                risen += usize::from(reporter.report(lost as f64 / f64::from(packets), packets).is_some());
            }
        }
        assert!(risen <= 3, "{risen} of 1,000");
    }
}
