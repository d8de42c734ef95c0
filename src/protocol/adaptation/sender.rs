//! How `full` is sent: less of it when its receivers lose it, when it is more than a fair share, or when the machine is slow.
//!
//! ```text
//! reports (who, loss after repair) ─┐
//! share of the conference's rate ───┼──each second──> quality 65 .. 35 ─> rate 1, 2/3, 1/2, 1/3 ─> withheld
//! bytes of the frames sent ─────────┘                  going back up: one step after 10 s clean, waits double
//! own load ────────────────────────────────────────> size 16/16, 12/16, 8/16, 6/16
//! loss above 30 % at more than half for 5 s, though next to nothing is sent ──> broken: no pictures for 10 s, 20 ..
//! ```
//! The last is the circuit breaker of RFC 8083: congestion so bad that only silence helps. Sound goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::REPORTERS_MAX;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;

/// Reports older than this say nothing any more.
const REPORT_LIFE: Duration = Duration::from_secs(5);
/// Loss of a receiver that counts, in quarters of a percent: 5 %.
const LOSS_QUARTERS: u8 = 20;
/// Loss that lowers the quality when half of the receivers have it: 2 %.
const SOME_LOSS_QUARTERS: u8 = 8;
/// Loss that breaks the circuit: 30 %.
const RUIN_QUARTERS: u8 = 120;
/// How long that has to last.
const RUIN: Duration = Duration::from_secs(5);
/// Clean time before a step up, and the longest.
const CLEAN: Duration = Duration::from_secs(10);
/// See [`CLEAN`].
const CLEAN_MAX: Duration = Duration::from_secs(160);
/// After a step, until its effect is judged: reports of the time before still come.
const SETTLING: Duration = Duration::from_millis(1_500);
/// Trouble within this time after a step up is taken to come from it.
const BLAMED: Duration = Duration::from_secs(6);
/// After so long without trouble the waits are the first ones again.
const FORGIVEN: Duration = Duration::from_secs(300);
/// Lowest quality; below it blocks are all one sees.
const QUALITY_MIN: u8 = 35;
/// What a step takes off the quality: about a fifth of the bytes.
const QUALITY_STEP: u8 = 10;
/// Steps of the rate, in thousandths of the camera's.
const RATES_MILLI: [u32; 4] = [1_000, 667, 500, 333];
/// What a step up of the quality adds to the bytes, at most, in thousandths of what they were.
const QUALITY_GROWTH_MILLI: u32 = 1_300;
/// The same of the smaller layers, in thousandths of what they have usually.
const SMALL_RATES_MILLI: [u32; 7] = [1_000, 667, 500, 333, 200, 133, 67];
/// Steps of the size, in sixteenths of the camera's sides.
const SIZES: [u8; 4] = [16, 12, 8, 6];
/// The machine is overloaded when it is busy with frames for more than this share of the time, in thousandths.
const BUSY_MILLI: u32 = 900;
/// Or when it gets to fewer of the camera's frames than this.
const KEPT_MILLI: u32 = 800;
/// How long that has to last.
const OVERLOADED: Duration = Duration::from_secs(2);

/// What the sender saw in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bits of `full` sent, as for a whole second.
    pub bits_per_s: u64,
    /// The fair share of `full`, bits a second.
    pub share: u64,
    /// Time spent with frames, in thousandths of all.
    pub busy_milli: u32,
    /// Frames dealt with, in thousandths of those the camera promises.
    pub kept_milli: u32,
}

/// How `full` is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// JPEG quality.
    pub quality: u8,
    /// Frames, in thousandths of the camera's.
    pub rate_milli: u32,
    /// Sides, in sixteenths of the camera's.
    pub sixteenths: u8,
    /// A camera's own JPEG may go out as it is.
    pub pass: bool,
    /// Not offered at all.
    pub withheld: bool,
    /// No pictures at all: the network carries next to none of them.
    pub broken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reported {
    at: Timestamp,
    left: u8,
}

/// A ladder that is gone down quickly and up slowly.
#[derive(Clone, Copy, Debug)]
struct Ladder {
    step: usize,
    most: usize,
    clean_since: Timestamp,
    settled_at: Timestamp,
    raised_at: Option<Timestamp>,
    wait: Duration,
}

impl Ladder {
    fn new(now: Timestamp, most: usize) -> Self {
        Self { step: 0, most, clean_since: now, settled_at: now, raised_at: None, wait: CLEAN }
    }

    /// `bad`: down; `good`: up when that lasts; neither: stay.
    fn judge(&mut self, now: Timestamp, bad: bool, good: bool) {
        if now < self.settled_at {
            return;
        }
        if !good {
            self.clean_since = now;
        } else if now.since(self.clean_since) >= FORGIVEN {
            self.wait = CLEAN;
        }
        if bad {
            if self.raised_at.take().is_some_and(|raised| now.since(raised) < BLAMED) {
                self.wait = (self.wait * 2).min(CLEAN_MAX);
            }
            if self.step < self.most {
                self.step += 1;
                self.settled_at = now + SETTLING;
            }
            return;
        }
        let since = self.raised_at.map_or(self.clean_since, |raised| raised.max(self.clean_since));
        if good && self.step > 0 && now.since(since) >= self.wait {
            self.step -= 1;
            self.raised_at = Some(now);
        }
    }
}

/// The state.
pub struct Sender {
    quality: u8,
    reports: BTreeMap<ParticipantId, Reported>,
    /// Quality, then rate, then nothing.
    ladder: Ladder,
    size: Ladder,
    overloaded_since: Option<Timestamp>,
    ruined_since: Option<Timestamp>,
    broken_until: Option<Timestamp>,
    rest: Duration,
}

impl Sender {
    /// As the camera gives it, at `quality`.
    pub fn new(now: Timestamp, quality: u8) -> Self {
        Self {
            quality,
            reports: BTreeMap::new(),
            ladder: Ladder::new(now, quality_steps(quality) + RATES_MILLI.len()),
            size: Ladder::new(now, SIZES.len() - 1),
            overloaded_since: None,
            ruined_since: None,
            broken_until: None,
            rest: CLEAN,
        }
    }

    /// Somebody tells that they lost `left` quarters of a percent of `full` after repair.
    pub fn report(&mut self, now: Timestamp, from: ParticipantId, left: u8) {
        if self.reports.len() >= REPORTERS_MAX && !self.reports.contains_key(&from) {
            self.reports.retain(|_, report| now.since(report.at) < REPORT_LIFE);
            if self.reports.len() >= REPORTERS_MAX {
                // So many speak for the others.
                return;
            }
        }
        self.reports.insert(from, Reported { at: now, left });
    }

    /// Judges a second.
    pub fn see(&mut self, now: Timestamp, seen: Seen) -> Setting {
        self.reports.retain(|_, report| now.since(report.at) < REPORT_LIFE);
        let told = self.reports.len();
        let with = |quarters: u8| self.reports.values().filter(|report| report.left > quarters).count();
        let (some, many, ruined) = (with(SOME_LOSS_QUARTERS), with(LOSS_QUARTERS), with(RUIN_QUARTERS));
        self.judge_circuit(now, 2 * ruined > told);
        let before = self.ladder.step;
        let over_share = seen.bits_per_s > seen.share;
        let lossy = 2 * some > told;
        // What a step up would take has to fit as well.
        let fits = seen.bits_per_s * u64::from(self.growth_milli()) / 1_000 <= seen.share;
        self.ladder.judge(now, lossy || over_share, !lossy && fits);
        // Nobody is left without pictures because of one: `full` goes only when more than half lose it.
        let last = self.ladder.most;
        if self.ladder.step == last && before < last && 2 * many <= told {
            self.ladder.step = last - 1;
        }
        self.judge_load(now, seen);
        self.setting(now, some > 0 || over_share)
    }

    fn judge_circuit(&mut self, now: Timestamp, ruined: bool) {
        if self.broken_until.is_some_and(|until| until > now) {
            return;
        }
        if self.broken_until.is_some_and(|until| now.since(until) >= FORGIVEN) {
            (self.rest, self.broken_until) = (CLEAN, None);
        }
        let at_its_least = self.ladder.step + 1 >= self.ladder.most;
        if !ruined || !at_its_least {
            self.ruined_since = None;
        } else if now.since(*self.ruined_since.get_or_insert(now)) >= RUIN {
            self.ruined_since = None;
            self.broken_until = Some(now + self.rest);
            self.rest = (self.rest * 2).min(CLEAN_MAX);
            self.reports.clear();
        }
    }

    fn judge_load(&mut self, now: Timestamp, seen: Seen) {
        let overloaded = seen.busy_milli > BUSY_MILLI || seen.kept_milli < KEPT_MILLI;
        let lasts = if overloaded {
            now.since(*self.overloaded_since.get_or_insert(now)) >= OVERLOADED
        } else {
            self.overloaded_since = None;
            false
        };
        if lasts {
            self.overloaded_since = None;
        }
        // The next larger size takes at most this much more.
        let sizes = |step: usize| u32::from(SIZES[step]);
        let larger = self.size.step.saturating_sub(1);
        let growth = (sizes(larger) * sizes(larger) * 10).div_ceil(sizes(self.size.step) * sizes(self.size.step));
        let fits = seen.busy_milli * growth / 10 < BUSY_MILLI;
        self.size.judge(now, lasts, !overloaded && fits);
    }

    /// Steps of the quality, and of the rate below it.
    fn lower_and_slower(&self) -> (usize, usize) {
        let steps = quality_steps(self.quality);
        (self.ladder.step.min(steps), self.ladder.step.saturating_sub(steps))
    }

    /// What a step up makes of the bytes, in thousandths of what they are.
    fn growth_milli(&self) -> u32 {
        match self.lower_and_slower().1 {
            0 => QUALITY_GROWTH_MILLI,
            slower => RATES_MILLI.get(slower).map_or(1_000, |rate| RATES_MILLI[slower - 1] * 1_000 / rate),
        }
    }

    fn setting(&self, now: Timestamp, troubled: bool) -> Setting {
        let (lower, slower) = self.lower_and_slower();
        let quality = self.quality.saturating_sub(QUALITY_STEP * lower as u8).max(QUALITY_MIN.min(self.quality));
        Setting {
            quality,
            rate_milli: RATES_MILLI[slower.min(RATES_MILLI.len() - 1)],
            sixteenths: SIZES[self.size.step],
            pass: self.ladder.step == 0 && self.size.step == 0 && !troubled,
            withheld: slower >= RATES_MILLI.len(),
            broken: self.broken_until.is_some_and(|until| until > now),
        }
    }
}

fn quality_steps(quality: u8) -> usize {
    usize::from(quality.saturating_sub(QUALITY_MIN).div_ceil(QUALITY_STEP))
}

/// How the rate of a conference is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Bits a second for the own `full`.
    pub full: u64,
    /// Frames of the smaller layers, in thousandths of what they have usually.
    pub small_milli: u32,
}

/// The share in the conference's `cap` bits a second, when `senders` people send `full` and all smaller layers together take
/// `small` bits a second as they usually are sent: those give way as far as `full` keeps a quarter. Everybody comes to the
/// same. On a wireless network `own_cap` bounds `full` as well.
pub fn share(cap: u64, small: u64, senders: usize, own_cap: Option<u64>) -> Share {
    let taken = |milli: &u32| small * u64::from(*milli) / 1_000;
    let small_milli = SMALL_RATES_MILLI.into_iter().find(|milli| taken(milli) <= cap * 3 / 4);
    let small_milli = small_milli.unwrap_or(SMALL_RATES_MILLI[SMALL_RATES_MILLI.len() - 1]);
    let full = cap.saturating_sub(taken(&small_milli)) / senders.max(1) as u64;
    Share { full: own_cap.map_or(full, |own| full.min(own)), small_milli }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Seen = Seen { bits_per_s: 20_000_000, share: 100_000_000, busy_milli: 200, kept_milli: 1_000 };

    fn at(s: u64) -> Timestamp {
        Timestamp::from_millis(1_000 + s * 1_000)
    }

    fn who(n: usize) -> ParticipantId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        ParticipantId(id)
    }

    /// `losses` = loss of each receiver in quarters of a percent, told each second.
    fn run(sender: &mut Sender, seconds: std::ops::Range<u64>, losses: &[u8], seen: Seen) -> Setting {
        let mut setting = sender.setting(at(seconds.start), false);
        for s in seconds {
            losses.iter().enumerate().for_each(|(n, &left)| sender.report(at(s), who(n), left));
            setting = sender.see(at(s), seen);
        }
        setting
    }

    #[test]
    fn one_who_loses_much_lowers_nothing_and_more_than_half_lower_all() {
        let rows: [(&[u8], u8, u32, bool); 5] = [
            (&[], 65, 1_000, false),
            (&[255, 0, 0, 0], 65, 1_000, false),
            (&[255, 255, 0, 0], 65, 1_000, false),
            (&[10, 10, 10, 0], 35, 333, false),
            (&[21, 21, 21, 0], 35, 333, true),
        ];
        for (losses, quality, rate_milli, withheld) in rows {
            let setting = run(&mut Sender::new(at(0), 65), 1..60, losses, WELL);
            assert_eq!(
                (setting.quality, setting.rate_milli, setting.withheld),
                (quality, rate_milli, withheld),
                "{losses:?}"
            );
        }
    }

    #[test]
    fn quality_goes_before_rate_and_rate_before_all_of_it() {
        let mut sender = Sender::new(at(0), 65);
        let mut steps = Vec::new();
        for s in 1..40 {
            let setting = run(&mut sender, s..s + 1, &[40], WELL);
            let step = (setting.quality, setting.rate_milli, setting.withheld);
            if steps.last() != Some(&step) {
                steps.push(step);
            }
            assert!(!setting.pass, "a camera's own JPEG is not passed through while somebody loses it");
        }
        let expected =
            [(55, 1_000), (45, 1_000), (35, 1_000), (35, 667), (35, 500), (35, 333)].map(|(q, r)| (q, r, false));
        assert_eq!(steps[..6], expected);
        assert_eq!(steps[6..], [(35, 333, true)]);
    }

    #[test]
    fn more_than_its_share_lowers_the_quality_until_it_fits() {
        let mut sender = Sender::new(at(0), 65);
        let mut rate = 30_000_000;
        for s in 1..30 {
            let setting = sender.see(at(s), Seen { bits_per_s: rate, share: 20_000_000, ..WELL });
            rate = 30_000_000 * u64::from(setting.quality) / 65 * u64::from(setting.rate_milli) / 1_000;
        }
        assert!((13_000_000..=20_000_000).contains(&rate), "{rate}");
    }

    #[test]
    fn up_again_after_ten_clean_seconds_and_later_when_that_fails() {
        let mut sender = Sender::new(at(0), 65);
        let mut ups = Vec::new();
        let mut before = 65;
        for s in 1..600 {
            // The network carries quality 45 and no more.
            let loss = if before > 45 { 40 } else { 0 };
            let setting = run(&mut sender, s..s + 1, &[loss, loss, 0], WELL);
            if setting.quality > before {
                ups.push(s);
            }
            before = setting.quality;
        }
        let gaps: Vec<u64> = ups.windows(2).map(|w| w[1] - w[0]).collect();
        assert!((10..=17).contains(&ups[0]), "{ups:?}");
        assert!(gaps.windows(2).all(|w| w[1] + 3 >= w[0]) && ups.len() <= 8, "{ups:?}");
        assert!(gaps.last().is_some_and(|&gap| gap >= 80), "{gaps:?}");
    }

    #[test]
    fn a_machine_that_cannot_keep_up_sends_smaller_pictures_and_larger_ones_when_it_could() {
        let rows = [(950, 1_000, 6), (300, 700, 6), (850, 900, 16), (200, 1_000, 16)];
        for (busy_milli, kept_milli, sixteenths) in rows {
            let seen = Seen { busy_milli, kept_milli, ..WELL };
            assert_eq!(run(&mut Sender::new(at(0), 65), 1..30, &[], seen).sixteenths, sixteenths, "{seen:?}");
        }
        // Encoding takes 1.3 of the time at full size: there is a size for it, and it stays there.
        let mut sender = Sender::new(at(0), 65);
        let (mut size, mut changes) = (16u32, 0);
        for s in 1..600 {
            let busy = 1_300 * size * size / 256;
            let seen = Seen { busy_milli: busy.min(1_000), kept_milli: (1_000_000 / busy.max(1)).min(1_000), ..WELL };
            let now = u32::from(sender.see(at(s), seen).sixteenths);
            changes += u32::from(now != size);
            size = now;
        }
        assert_eq!((size, changes), (12, 1));
    }

    #[test]
    fn the_circuit_breaks_when_next_to_nothing_arrives_and_closes_to_try_again() {
        let mut sender = Sender::new(at(0), 65);
        let mut broken = Vec::new();
        for s in 1..120 {
            let now_broken = run(&mut sender, s..s + 1, &[200, 200, 0], WELL).broken;
            if broken.last().is_none_or(|&(_, before)| before != now_broken) {
                broken.push((s, now_broken));
            }
        }
        let times: Vec<u64> = broken.windows(2).map(|w| w[1].0 - w[0].0).collect();
        assert!(broken.len() >= 4 && !broken[0].1 && broken[1].1, "{broken:?}");
        assert!((9..=11).contains(&times[1]) && (19..=21).contains(&times[3]), "{broken:?}");
        let fine = run(&mut Sender::new(at(0), 65), 1..60, &[100, 100, 0], WELL);
        assert!(!fine.broken, "a quarter lost is bad, but no ruin");
    }

    #[test]
    fn reporters_are_bounded_and_the_old_ones_go() {
        let mut sender = Sender::new(at(0), 65);
        (0..2 * REPORTERS_MAX).for_each(|n| sender.report(at(1), who(n), 255));
        assert_eq!(sender.reports.len(), REPORTERS_MAX);
        sender.report(at(9), who(9_999), 0);
        assert_eq!(sender.reports.len(), 1);
    }

    #[test]
    fn the_cap_is_shared_by_those_who_send() {
        for (cap, small, senders, own, full, small_milli) in [
            (300, 0, 1, None, 300, 1_000),
            (300, 50, 10, None, 25, 1_000),
            (300, 225, 1, None, 75, 1_000),
            (300, 290, 1, None, 300 - 193, 667),
            (300, 900, 3, None, 40, 200),
            (300, 9_000, 1, None, 0, 67),
            (300, 0, 0, None, 300, 1_000),
            (300, 50, 5, Some(20), 20, 1_000),
        ] {
            let expected = Share { full, small_milli };
            assert_eq!(share(cap, small, senders, own), expected, "{cap} {small} {senders}");
            assert!(small * u64::from(small_milli) / 1_000 + full * senders as u64 <= cap.max(603));
        }
    }

    #[test]
    fn one_of_many_who_loses_does_not_keep_it_down_for_all() {
        let mut sender = Sender::new(at(0), 65);
        let down = run(&mut sender, 1..4, &[40, 40, 40], WELL);
        assert!(down.quality < 65, "{down:?}");
        assert_eq!(run(&mut sender, 4..60, &[40, 0, 0], WELL).quality, 65);
    }

    #[test]
    fn waits_are_forgiven_after_a_long_clean_time() {
        let mut sender = Sender::new(at(0), 65);
        // It fails again and again, then the network is mended.
        let mut quality = 65;
        for s in 1..400 {
            let loss = if quality > 45 { 40 } else { 0 };
            quality = run(&mut sender, s..s + 1, &[loss; 2], WELL).quality;
        }
        assert!(sender.ladder.wait >= 8 * CLEAN, "{:?}", sender.ladder.wait);
        run(&mut sender, 400..1_200, &[0; 2], WELL);
        assert_eq!((sender.ladder.wait, sender.ladder.step), (CLEAN, 0));
    }

    #[test]
    fn a_step_up_that_would_not_fit_is_not_made() {
        // What is sent is what the rate makes of 30 Mb/s at the lowest quality: of the share, 20, it takes 500 thousandths.
        let mut sender = Sender::new(at(0), 35);
        let (mut rate, mut changes) = (1_000, 0);
        for s in 1..600 {
            let bits_per_s = 30_000_000 * u64::from(rate) / 1_000;
            let now = sender.see(at(s), Seen { bits_per_s, share: 19_000_000, ..WELL }).rate_milli;
            changes += u32::from(now != rate);
            rate = now;
        }
        assert_eq!((rate, changes), (500, 2));
    }
}
