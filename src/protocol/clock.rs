//! From a stream's RTP timestamps to this machine's wall clock.
//!
//! ```text
//! RTP timestamp --SenderClock--> sender's wall clock --OffsetFilter--> own wall clock
//!               sender reports                       four timestamps of each ping
//!               (RFC 3550 section 6.4.1)             (RFC 5905 section 8)
//! ```
//! Both believe what fits what they know, and follow a clock that was stepped. Neither reads a clock itself, and neither
//! may answer before it knows something: a wrong time is worse than none.

use std::collections::VecDeque;

use crate::time::{NtpTime, Timestamp, media_nanos};

/// Reports from which the true rate of a sender's media clock is measured.
const REPORTS_KEPT: usize = 8;
/// Largest difference in rate between two clocks that is believed to be drift.
const DRIFT_PPM_MAX: i64 = 500;
/// Error of a report's two times against each other that is believed to be jitter.
const REPORT_JITTER_NANOS_MAX: i64 = 5_000_000;
/// Shortest time over which a rate is measured; over less, jitter would pass for drift.
const RATE_NANOS_MIN: i64 = 1_000_000_000;
/// Contradicting values in a row, agreeing among themselves, after which they are believed.
const STEP_AFTER: usize = 3;

/// Pings kept.
const SAMPLES_KEPT: usize = 8;
/// Longest round trip of a ping that says anything about the offset.
const DELAY_NANOS_MAX: i64 = 1_000_000_000;
/// How far a round trip may seem negative: the resolution of the clocks.
const RESOLUTION_NANOS: i64 = 1_000;
/// What two samples may differ by beside their delays and drift.
const SLACK_NANOS: i64 = 500_000;

/// What became of a report or a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fits what was known.
    Used,
    /// It is impossible, old, or contradicts what is known so far.
    Rejected,
    /// A clock was stepped: everything known before was dropped.
    Stepped,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    ntp: NtpTime,
    rtp: u32,
    /// Units since the first report kept, unwrapped.
    media: i64,
}

/// Maps the RTP timestamps of one stream to its sender's wall clock.
#[derive(Clone, Debug)]
pub struct SenderClock {
    rate: u32,
    reports: VecDeque<Anchor>,
    /// Older reports in a row.
    old: usize,
}

impl SenderClock {
    /// For a stream whose RTP clock runs at `rate` Hz.
    pub fn new(rate: u32) -> Self {
        Self { rate, reports: VecDeque::with_capacity(REPORTS_KEPT), old: 0 }
    }

    /// Takes the two times of a sender report. A report that does not fit, because the sender's wall clock or its media
    /// clock jumped, replaces all before it.
    pub fn report(&mut self, ntp: NtpTime, rtp_timestamp: u32) -> Verdict {
        let Some(&newest) = self.reports.back() else {
            self.restart(ntp, rtp_timestamp);
            return Verdict::Used;
        };
        let units = units_between(newest.rtp, rtp_timestamp);
        let elapsed = ntp.nanos_from(newest.ntp);
        if units <= 0 && elapsed <= 0 {
            // A late or repeated report, unless they keep coming: then both clocks were set back.
            self.old += 1;
            if self.old < STEP_AFTER {
                return Verdict::Rejected;
            }
        } else if units > 0 && elapsed > 0 {
            let error = ntp.nanos_from(self.extrapolate(newest, rtp_timestamp));
            if error.saturating_abs() <= REPORT_JITTER_NANOS_MAX.saturating_add(drift(elapsed)) {
                self.old = 0;
                if self.reports.len() == REPORTS_KEPT {
                    self.reports.pop_front();
                }
                self.reports.push_back(Anchor { ntp, rtp: rtp_timestamp, media: newest.media.saturating_add(units) });
                return Verdict::Used;
            }
        }
        self.restart(ntp, rtp_timestamp);
        Verdict::Stepped
    }

    /// The sender's wall clock when the stream's clock stood at `rtp_timestamp`, which lies within half a cycle of the
    /// newest report (6 hours at 90 kHz); `None` before the first report.
    pub fn sender_time(&self, rtp_timestamp: u32) -> Option<NtpTime> {
        Some(self.extrapolate(*self.reports.back()?, rtp_timestamp))
    }

    /// The same moment on the own wall clock, given how far the sender's is ahead of it ([`OffsetFilter::offset`]).
    pub fn capture_time(&self, rtp_timestamp: u32, offset_nanos: i64) -> Option<NtpTime> {
        Some(self.sender_time(rtp_timestamp)?.offset(offset_nanos.saturating_neg()))
    }

    /// The stream's clock is another one from now on.
    pub fn forget(&mut self) {
        self.reports.clear();
        self.old = 0;
    }

    fn restart(&mut self, ntp: NtpTime, rtp: u32) {
        self.reports.clear();
        self.reports.push_back(Anchor { ntp, rtp, media: 0 });
        self.old = 0;
    }

    fn extrapolate(&self, newest: Anchor, rtp_timestamp: u32) -> NtpTime {
        let nominal = media_nanos(units_between(newest.rtp, rtp_timestamp), self.rate);
        let correction = i128::from(nominal) * i128::from(self.skew_ppb()) / 1_000_000_000;
        newest.ntp.offset(nominal.saturating_add(correction as i64))
    }

    /// How much slower the media clock runs than the sender's wall clock, in parts per billion.
    fn skew_ppb(&self) -> i64 {
        let (Some(first), Some(last)) = (self.reports.front(), self.reports.back()) else {
            return 0;
        };
        let nominal = media_nanos(last.media.saturating_sub(first.media), self.rate);
        if nominal < RATE_NANOS_MIN {
            return 0;
        }
        let excess = last.ntp.nanos_from(first.ntp).saturating_sub(nominal);
        let ppb = i128::from(excess) * 1_000_000_000 / i128::from(nominal);
        let most = i128::from(DRIFT_PPM_MAX * 1_000);
        ppb.clamp(-most, most) as i64
    }
}

/// Signed units from `from` to `to`, the shorter way round.
fn units_between(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from) as i32)
}

/// The most two clocks drift apart in `nanos`, rounded up.
fn drift(nanos: i64) -> i64 {
    (nanos / 1_000_000).saturating_add(1).saturating_mul(DRIFT_PPM_MAX)
}

/// The four times of one ping and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Ping sent, own wall clock.
    pub sent: NtpTime,
    /// Ping received, the peer's wall clock.
    pub peer_received: NtpTime,
    /// Answer sent, the peer's wall clock.
    pub peer_sent: NtpTime,
    /// Answer received, own wall clock.
    pub received: NtpTime,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    at: Timestamp,
    offset: i64,
    delay: i64,
}

impl Measured {
    fn from(at: Timestamp, sample: &Sample) -> Option<Self> {
        let there = sample.peer_received.nanos_from(sample.sent);
        let back = sample.peer_sent.nanos_from(sample.received);
        let held = sample.peer_sent.nanos_from(sample.peer_received);
        let round_trip = sample.received.nanos_from(sample.sent);
        let delay = round_trip.checked_sub(held)?;
        let possible = held >= 0 && (-RESOLUTION_NANOS..=DELAY_NANOS_MAX).contains(&delay);
        // Halved before they are added, so that no two times overflow.
        possible.then_some(Self { at, offset: there / 2 + back / 2 + (there % 2 + back % 2) / 2, delay: delay.max(0) })
    }

    /// The true offset lies within this of the measured one, whatever the two ways' shares of the delay, as long as the
    /// clocks drift no faster than is believed.
    fn error_max(&self, now: Timestamp) -> i64 {
        let age = i64::try_from(now.since(self.at).as_nanos()).unwrap_or(i64::MAX);
        (self.delay / 2).saturating_add(drift(age))
    }

    /// Whether both may be true.
    fn agrees(&self, other: &Measured, now: Timestamp) -> bool {
        let apart = self.offset.saturating_sub(other.offset).saturating_abs();
        apart <= self.error_max(now).saturating_add(other.error_max(now)).saturating_add(SLACK_NANOS)
    }
}

/// How far a peer's wall clock is ahead of the own, from pings.
///
/// Of the last eight the one is used whose error is smallest: the shortest round trip, unless it is so old that drift may
/// have made it worse than a newer one. A sample that cannot be true together with the one in use is set aside; three of
/// them in a row that agree mean that a clock was stepped.
#[derive(Clone, Debug, Default)]
pub struct OffsetFilter {
    samples: VecDeque<Measured>,
    suspects: Vec<Measured>,
    best: Option<Measured>,
}

impl OffsetFilter {
    /// A filter that knows nothing.
    pub fn new() -> Self {
        Self { samples: VecDeque::with_capacity(SAMPLES_KEPT), suspects: Vec::with_capacity(STEP_AFTER), best: None }
    }

    /// Takes the times of a ping whose answer arrived `now` on the monotonic clock.
    pub fn add(&mut self, now: Timestamp, sample: &Sample) -> Verdict {
        let Some(measured) = Measured::from(now, sample) else {
            return Verdict::Rejected;
        };
        if self.best.is_none_or(|best| best.agrees(&measured, now)) {
            self.suspects.clear();
            self.keep(measured, now);
            return Verdict::Used;
        }
        if self.suspects.last().is_some_and(|last| !last.agrees(&measured, now)) {
            self.suspects.clear();
        }
        self.suspects.push(measured);
        if self.suspects.len() < STEP_AFTER {
            return Verdict::Rejected;
        }
        self.samples.clear();
        self.samples.extend(self.suspects.drain(..));
        self.choose(now);
        Verdict::Stepped
    }

    /// Nanoseconds the peer's wall clock is ahead of the own; `None` before the first sample.
    pub fn offset(&self) -> Option<i64> {
        self.best.map(|best| best.offset)
    }

    /// How far from the truth [`offset`](Self::offset) may be, in nanoseconds.
    pub fn error_max(&self, now: Timestamp) -> Option<i64> {
        self.best.map(|best| best.error_max(now))
    }

    /// Round trip of the sample in use, in nanoseconds.
    pub fn delay(&self) -> Option<i64> {
        self.best.map(|best| best.delay)
    }

    fn keep(&mut self, measured: Measured, now: Timestamp) {
        if self.samples.len() == SAMPLES_KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(measured);
        self.choose(now);
    }

    fn choose(&mut self, now: Timestamp) {
        // The newest of equals: `min_by_key` takes the first.
        self.best = self.samples.iter().rev().min_by_key(|s| s.error_max(now)).copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;
    const MS: i64 = 1_000_000;
    const S: i64 = 1_000_000_000;
    const START: NtpTime = NtpTime(0xe900_0000_0000_0000);

    /// The RTP timestamp and wall clock `nanos` after the start, of a media clock `ppm` fast.
    fn at(nanos: i64, ppm: i64) -> (NtpTime, u32) {
        let media = i128::from(nanos) * i128::from(1_000_000 + ppm) / 1_000_000;
        let units = media * i128::from(RATE) / i128::from(S);
        (START.offset(nanos), 0xffff_0000_u32.wrapping_add(units as u32))
    }

    fn reported(reports: &[(NtpTime, u32)]) -> (SenderClock, Vec<Verdict>) {
        let mut clock = SenderClock::new(RATE);
        let verdicts = reports.iter().map(|&(ntp, rtp)| clock.report(ntp, rtp)).collect();
        (clock, verdicts)
    }

    #[test]
    fn without_a_report_there_is_no_time() {
        assert_eq!(SenderClock::new(RATE).sender_time(5), None);
        assert_eq!(SenderClock::new(RATE).capture_time(5, 0), None);
        assert_eq!(OffsetFilter::new().offset(), None);
    }

    #[test]
    fn one_report_maps_timestamps_on_both_sides_of_it_and_across_the_wrap() {
        let mut clock = SenderClock::new(RATE);
        clock.report(START, u32::MAX - 8_999);
        let nanos = |rtp| clock.sender_time(rtp).expect("reported").nanos_from(START);
        let check = |rtp, expected: i64| assert!(nanos(rtp).abs_diff(expected) <= 2, "{rtp}: {}", nanos(rtp));
        check(u32::MAX - 8_999, 0);
        check(u32::MAX, 9_000 * S / 90_000 - 11_111);
        check(0, 100 * MS);
        check(u32::MAX - 8_999 - 90, -MS);
        let captured = clock.capture_time(0, 250 * MS).expect("reported");
        assert!(captured.nanos_from(START).abs_diff(-150 * MS) <= 2, "a sender ahead by 250 ms");
    }

    #[test]
    fn drift_of_the_media_clock_is_measured() {
        for ppm in [-300, -50, 0, 50, 300] {
            let mut clock = SenderClock::new(RATE);
            for second in 0..100 {
                let (ntp, rtp) = at(second * 2 * S, ppm);
                assert_eq!(clock.report(ntp, rtp), Verdict::Used, "{ppm} ppm");
                // Up to the next report, what is believed of times between stays true.
                let (true_time, rtp) = at((second * 2 + 2) * S - MS, ppm);
                let error = clock.sender_time(rtp).expect("reported").nanos_from(true_time).abs();
                let bound = if second == 0 { 2 * ppm.abs() * 1_000 + 12_000 } else { 24_000 };
                assert!(error <= bound, "{ppm} ppm: {error} ns after {second} reports");
            }
        }
    }

    #[test]
    fn a_report_fits_up_to_the_exact_edge() {
        let allowed = REPORT_JITTER_NANOS_MAX + drift(5 * S);
        let (_, rtp) = at(5 * S, 0);
        // The edge itself moves with the elapsed time that the error adds: 500 ppm of 7.5 ms, below 5 us.
        for (error, verdict) in [(allowed - 1_000, Verdict::Used), (allowed + 6_000, Verdict::Stepped)] {
            assert_eq!(reported(&[at(0, 0), (START.offset(5 * S + error), rtp)]).1[1], verdict, "{error} ns late");
        }
        for (error, verdict) in [(allowed - 6_000, Verdict::Used), (allowed + 1_000, Verdict::Stepped)] {
            assert_eq!(reported(&[at(0, 0), (START.offset(5 * S - error), rtp)]).1[1], verdict, "{error} ns early");
        }
    }

    #[test]
    fn a_step_of_the_senders_wall_clock_is_followed_at_once() {
        for step in [-3_600 * S, -S, S, 86_400 * S] {
            let (_, rtp) = at(4 * S, 0);
            let stepped = START.offset(4 * S + step);
            let (clock, verdicts) = reported(&[at(0, 0), at(2 * S, 0), (stepped, rtp)]);
            assert_eq!(verdicts, [Verdict::Used, Verdict::Used, Verdict::Stepped], "{step}");
            assert_eq!(clock.sender_time(rtp), Some(stepped));
            let error = clock.sender_time(rtp.wrapping_add(RATE)).expect("reported").nanos_from(stepped) - S;
            assert!(error.abs() <= 2, "the step is not taken for drift");
        }
    }

    #[test]
    fn a_jump_of_the_media_clock_is_followed_at_once() {
        for rtp in [0x7fff_0000, 0x1234_5678, 0xfffe_0000] {
            let (clock, verdicts) = reported(&[at(0, 0), at(2 * S, 0), (START.offset(4 * S), rtp)]);
            assert_eq!(verdicts[2], Verdict::Stepped, "{rtp:#x}");
            assert_eq!(clock.sender_time(rtp), Some(START.offset(4 * S)));
        }
    }

    #[test]
    fn late_and_repeated_reports_change_nothing_unless_they_go_on() {
        let (mut clock, verdicts) = reported(&[at(0, 0), at(4 * S, 0), at(2 * S, 0), at(4 * S, 0)]);
        assert_eq!(verdicts[2..], [Verdict::Rejected; 2]);
        let (ntp, rtp) = at(4 * S, 0);
        assert_eq!(clock.sender_time(rtp), Some(ntp));
        let (ntp, rtp) = at(S, 0);
        assert_eq!(clock.report(ntp, rtp), Verdict::Stepped, "the third in a row: the sender starts anew");
        assert_eq!(clock.sender_time(rtp), Some(ntp));
    }

    #[test]
    fn hostile_reports_do_not_overflow() {
        let extremes = [0, 1, u64::MAX, u64::MAX / 2, u64::MAX / 2 + 1, 0xe900_0000_0000_0000];
        for rate in [0, 1, u32::MAX] {
            let mut clock = SenderClock::new(rate);
            for (i, &ntp) in extremes.iter().cycle().take(40).enumerate() {
                clock.report(NtpTime(ntp), (i as u32).wrapping_mul(0x2aaa_aaab));
                clock.capture_time(u32::MAX / 3, i64::MIN);
            }
        }
    }

    /// A ping sent `nanos` after the start, `there` and `back` on the way, held 1 ms, to a clock ahead by `offset`.
    fn ping(nanos: i64, there: i64, back: i64, offset: i64) -> Sample {
        Sample {
            sent: START.offset(nanos),
            peer_received: START.offset(nanos + there + offset),
            peer_sent: START.offset(nanos + there + offset + MS),
            received: START.offset(nanos + there + MS + back),
        }
    }

    fn moment(nanos: i64) -> Timestamp {
        Timestamp::from_millis(1_000).offset(nanos)
    }

    #[track_caller]
    fn close(filter: &OffsetFilter, expected: i64, within: i64) {
        let offset = filter.offset().expect("a sample was used");
        assert!((offset - expected).abs() <= within, "{offset} instead of {expected}");
    }

    #[test]
    fn the_offset_is_exact_when_both_ways_take_the_same() {
        for offset in [0, 1, -5 * S, 3_600 * S, -86_400 * 365 * S] {
            let mut filter = OffsetFilter::new();
            assert_eq!(filter.add(moment(0), &ping(0, 100_000, 100_000, offset)), Verdict::Used);
            close(&filter, offset, 4);
            assert!(filter.delay().expect("used").abs_diff(200_000) <= 4);
        }
    }

    #[test]
    fn the_shortest_round_trip_wins_over_queues() {
        let mut filter = OffsetFilter::new();
        for (i, there, back) in [(0, 8 * MS, 100_000), (1, 100_000, 100_000), (2, 100_000, 9 * MS), (3, 20 * MS, 0)] {
            let nanos = i * 500 * MS;
            assert_eq!(filter.add(moment(nanos), &ping(nanos, there, back, 7 * MS)), Verdict::Used);
            close(&filter, 7 * MS, (there + back) / 2 + 4);
        }
        close(&filter, 7 * MS, 4);
    }

    #[test]
    fn drift_is_followed_within_the_error_that_is_told() {
        for ppm in [-300, -20, 20, 300] {
            let mut filter = OffsetFilter::new();
            for i in 0..200_i64 {
                let nanos = i * 2 * S;
                let offset = nanos / 1_000_000 * ppm;
                // Every other ping meets a queue on the way there.
                let sample = ping(nanos, 100_000 + (i % 2) * 3 * MS, 100_000, offset);
                assert_eq!(filter.add(moment(nanos), &sample), Verdict::Used, "{ppm} ppm, ping {i}");
                let told = filter.error_max(moment(nanos)).expect("used");
                close(&filter, offset, told);
                assert!(told <= 1_100_000 + 600_000, "{told}");
            }
        }
    }

    #[test]
    fn impossible_samples_are_rejected_at_the_exact_edge() {
        let check = |there, back, expected| {
            let verdict = OffsetFilter::new().add(moment(0), &ping(0, there, back, 0));
            assert_eq!(verdict, expected, "{there} + {back}");
        };
        check(0, 0, Verdict::Used);
        check(0, -RESOLUTION_NANOS + 10, Verdict::Used);
        check(0, -RESOLUTION_NANOS - 10, Verdict::Rejected);
        check(DELAY_NANOS_MAX / 2, DELAY_NANOS_MAX / 2 - 10, Verdict::Used);
        check(DELAY_NANOS_MAX / 2, DELAY_NANOS_MAX / 2 + 10, Verdict::Rejected);
        let mut answered_before_asked = ping(0, MS, MS, 0);
        answered_before_asked.peer_sent = answered_before_asked.peer_received.offset(-10);
        assert_eq!(OffsetFilter::new().add(moment(0), &answered_before_asked), Verdict::Rejected);
    }

    #[test]
    fn one_outlier_is_set_aside_and_three_that_agree_are_a_step() {
        let mut filter = OffsetFilter::new();
        let mut add = |i: i64, offset| filter.add(moment(i * S), &ping(i * S, 100_000, 100_000, offset));
        assert_eq!(add(0, 0), Verdict::Used);
        assert_eq!(add(1, 40 * MS), Verdict::Rejected);
        assert_eq!(add(2, 0), Verdict::Used);
        assert_eq!(add(3, 40 * MS), Verdict::Rejected);
        assert_eq!(add(4, 40 * MS), Verdict::Rejected);
        assert_eq!(add(5, -40 * MS), Verdict::Rejected, "does not agree with the two before");
        assert_eq!(add(6, -40 * MS), Verdict::Rejected);
        assert_eq!(add(7, -40 * MS), Verdict::Stepped);
        assert_eq!(add(8, -40 * MS), Verdict::Used);
        close(&filter, -40 * MS, 4);
    }

    #[test]
    fn samples_agree_up_to_the_exact_edge() {
        let first = Measured { at: moment(0), offset: 0, delay: 200_000 };
        let edge = 100_000 + drift(S) + 100_000 + drift(0) + SLACK_NANOS;
        for sign in [-1, 1] {
            let second = |offset| Measured { at: moment(S), offset: sign * offset, delay: 200_000 };
            assert!(first.agrees(&second(edge), moment(S)));
            assert!(!first.agrees(&second(edge + 1), moment(S)));
        }
    }

    #[test]
    fn hostile_samples_do_not_overflow() {
        let extremes = [0, 1, u64::MAX, u64::MAX / 2, u64::MAX / 2 + 1, 0xe900_0000_0000_0000].map(NtpTime);
        let mut filter = OffsetFilter::new();
        for &sent in &extremes {
            for &peer_received in &extremes {
                for &peer_sent in &extremes {
                    for &received in &extremes {
                        filter.add(Timestamp(u64::MAX), &Sample { sent, peer_received, peer_sent, received });
                        filter.error_max(Timestamp(u64::MAX));
                        filter.error_max(Timestamp(0));
                    }
                }
            }
        }
    }
}
