//! Exact edges of single decisions, then simulated minutes of a talker over bad networks.

use super::*;
use crate::limits::{CONCEAL_MS_MAX, JITTER_MARGIN_MS};

const MS: u64 = 1_000_000;
/// How long the first packet of an unknown talker waits.
const WAIT: u64 = (20 + 5 + JITTER_MARGIN_MS as u64) * MS;

fn packet(sequence: u16, timestamp: u32) -> Incoming<'static> {
    Incoming { ssrc: 7, sequence, timestamp, samples: 960, payload: &[1, 2, 3] }
}

fn nth(n: u32) -> Incoming<'static> {
    packet(n as u16, n * 960)
}

/// A buffer that has played packet 0, which came at 1 s, at the end of its first wait.
fn playing() -> (JitterBuffer, u64) {
    let mut b = JitterBuffer::new();
    let start = 1_000 * MS;
    assert_eq!(b.insert(Timestamp(start), nth(0)), Arrival::Queued);
    let due = start + WAIT;
    assert!(matches!(b.pull(Timestamp(due), 0, false), Verdict::Packet(_)));
    (b, due)
}

#[test]
fn the_first_packet_waits_exactly_until_the_target_delay() {
    let mut b = JitterBuffer::new();
    assert_eq!(b.pull(Timestamp(0), 0, false), Verdict::Empty);
    b.insert(Timestamp(1_000 * MS), nth(0));
    let due = 1_000 * MS + WAIT;
    assert_eq!(b.pull(Timestamp(due - 1), 0, false), Verdict::Empty);
    assert_eq!(b.pull(Timestamp(due), 0, false), Verdict::Packet(&[1, 2, 3]));
    assert_eq!(b.counters().concealed_samples, 0);
}

#[test]
fn a_missing_packet_is_rebuilt_from_the_next_one_or_made_up() {
    let (mut b, due) = playing();
    b.insert(Timestamp(due), nth(2));
    let at = Timestamp(due + 20 * MS);
    assert_eq!(b.pull(at, 0, false), Verdict::Fec { following: &[1, 2, 3], samples: 960 });
    assert_eq!(b.pull(at, 0, false), Verdict::Packet(&[1, 2, 3]));
    b.insert(at, nth(5));
    assert_eq!(b.pull(at, 0, false), Verdict::Conceal { samples: 960 }, "two are missing: the first has no redundancy");
    assert!(matches!(b.pull(at, 0, false), Verdict::Fec { .. }));
    let c = b.counters();
    assert_eq!((c.recovered, c.concealed_samples, c.received, c.lost), (2, 960, 3, 3));
}

#[test]
fn a_dry_buffer_makes_up_a_hundred_milliseconds_and_then_is_silent() {
    let (mut b, due) = playing();
    let made_up = CONCEAL_MS_MAX as u64;
    for i in 0..made_up / 20 {
        assert!(matches!(b.pull(Timestamp(due + i * 20 * MS), 0, false), Verdict::Conceal { samples: 960 }), "{i}");
    }
    assert_eq!(b.pull(Timestamp(due + made_up * MS), 0, false), Verdict::Empty);
    assert_eq!(b.counters().concealed_samples, 0, "not known yet whether the talker paused");
    // The talker had gone on: packet 11 shows it.
    b.insert(Timestamp(due + 200 * MS), nth(11));
    b.pull(Timestamp(due + 200 * MS), 0, false);
    assert_eq!(b.counters().concealed_samples, 200 * 48);
}

#[test]
fn a_pause_of_the_talker_is_no_concealment() {
    let (mut b, due) = playing();
    for i in 0..40 {
        b.pull(Timestamp(due + i * 20 * MS), 0, false);
    }
    // The numbers go on, the clock has jumped by 3 s: a pause.
    let resumed = 1_000 * MS + 3_000 * MS;
    b.insert(Timestamp(resumed), packet(1, 3_000 * 48));
    assert_eq!(b.pull(Timestamp(resumed), 0, false), Verdict::Empty, "waits for its target delay again");
    assert!(matches!(b.pull(Timestamp(resumed + WAIT), 0, false), Verdict::Packet(_)));
    assert_eq!((b.counters().concealed_samples, b.counters().lost), (0, 0));
}

#[test]
fn nothing_is_made_up_after_goodbye() {
    let (mut b, due) = playing();
    b.goodbye();
    assert_eq!(b.pull(Timestamp(due + 20 * MS), 0, false), Verdict::Empty);
    assert_eq!(b.insert(Timestamp(due), nth(0)), Arrival::Duplicate);
    assert_eq!(b.counters().concealed_samples, 0);
}

#[test]
fn duplicates_and_late_packets_are_told_apart_across_the_wrap() {
    let mut b = JitterBuffer::new();
    let base = u32::MAX - 3 * 960;
    let p = |n: u16| packet(65_533u16.wrapping_add(n), base.wrapping_add(u32::from(n) * 960));
    for (n, expected) in [
        (0, Arrival::Queued),
        (2, Arrival::Queued),
        (2, Arrival::Duplicate),
        (4, Arrival::Queued),
        (3, Arrival::Queued),
        (0, Arrival::Duplicate),
        (1, Arrival::Queued),
    ] {
        let sent = 1_000 + u64::from(n) * 20;
        assert_eq!(b.insert(Timestamp(sent * MS), p(n)), expected, "packet {n}");
    }
    let mut now = 1_000 * MS + WAIT;
    for _ in 0..5 {
        assert!(matches!(b.pull(Timestamp(now), 0, false), Verdict::Packet(_)));
        now += 20 * MS;
    }
    assert_eq!(b.insert(Timestamp(now), p(3)), Arrival::Duplicate, "although it has been played");
    let c = b.counters();
    assert_eq!((c.received, c.lost, c.duplicates, c.concealed_samples), (5, 0, 3, 0));
}

#[test]
fn a_jump_of_the_numbers_is_believed_when_the_next_packet_confirms_it() {
    for (jump, expected) in [
        (2_999u16, [Arrival::Queued, Arrival::Queued]),
        (3_000, [Arrival::Rejected, Arrival::Restarted]),
        (40_000, [Arrival::Rejected, Arrival::Restarted]),
        (65_536u32.wrapping_sub(102) as u16, [Arrival::Rejected, Arrival::Restarted]),
        (65_536u32.wrapping_sub(99) as u16, [Arrival::Late, Arrival::Late]),
    ] {
        let (mut b, due) = playing();
        let got = [0u16, 1].map(|i| b.insert(Timestamp(due), packet(jump.wrapping_add(i), 960 + u32::from(i) * 960)));
        assert_eq!(got, expected, "jump by {jump}");
    }
}

#[test]
fn another_ssrc_is_a_restart_and_plays_after_a_new_wait() {
    let (mut b, due) = playing();
    let other = Incoming { ssrc: 8, ..packet(40_000, 123) };
    assert_eq!(b.insert(Timestamp(due), other), Arrival::Restarted);
    assert_eq!(b.pull(Timestamp(due + WAIT - 1), 0, false), Verdict::Empty);
    assert!(matches!(b.pull(Timestamp(due + WAIT), 0, false), Verdict::Packet(_)));
    assert_eq!(b.counters().received, 2, "counters survive");
}

#[test]
fn sizes_no_opus_packet_has_are_rejected() {
    let big = [0u8; OPUS_PACKET_BYTES_MAX + 1];
    for (samples, length, expected) in [
        (0, 3, Arrival::Rejected),
        (120 * 48, 3, Arrival::Queued),
        (120 * 48 + 1, 3, Arrival::Rejected),
        (960, OPUS_PACKET_BYTES_MAX, Arrival::Queued),
        (960, OPUS_PACKET_BYTES_MAX + 1, Arrival::Rejected),
    ] {
        let mut b = JitterBuffer::new();
        let p = Incoming { samples, payload: &big[..length], ..nth(0) };
        assert_eq!(b.insert(Timestamp(0), p), expected, "{samples} samples, {length} bytes");
    }
}

#[test]
fn a_full_buffer_drops_the_oldest() {
    let mut b = JitterBuffer::new();
    let most = JITTER_PACKETS_MAX as u32;
    for n in 0..most + 20 {
        b.insert(Timestamp(1_000 * MS), nth(n));
    }
    assert_eq!(b.counters().skipped, 20);
    assert_eq!(b.insert(Timestamp(1_000 * MS), nth(19)), Arrival::Duplicate);
    assert_eq!(b.front().map(|i| b.slots[i].sequence as u16), Some(20));
}

#[test]
fn a_jump_of_the_media_clock_starts_the_timing_anew() {
    let (mut b, due) = playing();
    b.insert(Timestamp(due), packet(1, 3_000_000_000));
    assert_eq!(b.pull(Timestamp(due), 0, false), Verdict::Empty);
    assert!(matches!(b.pull(Timestamp(due + WAIT), 0, false), Verdict::Packet(_)));
}

/// A talker, a network and a listener in simulated time.
struct Network {
    seconds: u64,
    /// The sender's clock against the listener's, in parts per million.
    ppm: i64,
    /// Delay of packet n in ms; `None` = lost.
    delay_ms: fn(u64, &mut Random) -> Option<u64>,
    quiet: bool,
}

struct Outcome {
    counters: Counters,
    concealed_ms: u64,
    /// Largest and last mean time in the buffer, after the first ten seconds.
    buffer_ms_max: f32,
    buffer_ms_end: f32,
    silent_steps: u64,
    speeds: (f64, f64),
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn simulate(network: &Network) -> Outcome {
    let mut random = Random(42);
    let interval = (20 * MS) as i64 + 20 * network.ppm;
    let mut arrivals: Vec<(u64, u32)> = (0..network.seconds * 50)
        .filter_map(|n| {
            let delay = (network.delay_ms)(n, &mut random)?;
            Some((1_000 * MS + n * interval as u64 + delay * MS, n as u32))
        })
        .collect();
    arrivals.sort_unstable();
    let mut b = JitterBuffer::new();
    let mut out = Outcome {
        counters: Counters::default(),
        concealed_ms: 0,
        buffer_ms_max: 0.0,
        buffer_ms_end: 0.0,
        silent_steps: 0,
        speeds: (1.0, 1.0),
    };
    let (mut held, mut next, mut started) = (0.0f64, 0, false);
    for step in 0..network.seconds * 200 {
        let now = 1_000 * MS + step * 5 * MS;
        while let Some(&(_, n)) = arrivals.get(next).filter(|a| a.0 <= now) {
            b.insert(Timestamp(arrivals[next].0), packet(n as u16, n.wrapping_mul(960)));
            next += 1;
        }
        let speed = b.speed();
        out.speeds = (out.speeds.0.min(speed), out.speeds.1.max(speed));
        let need = 240.0 * speed;
        while held < need {
            held += match b.pull(Timestamp(now), held as usize, network.quiet) {
                Verdict::Packet(_) => 960.0,
                Verdict::Fec { samples, .. } | Verdict::Conceal { samples } => samples as f64,
                Verdict::Empty => {
                    out.silent_steps += u64::from(started);
                    need - held
                }
            };
            started |= b.playing();
        }
        held -= need;
        if step > 2_000 {
            out.buffer_ms_max = out.buffer_ms_max.max(b.buffer_ms());
        }
    }
    out.buffer_ms_end = b.buffer_ms();
    out.counters = b.counters();
    out.concealed_ms = out.counters.concealed_samples / 48;
    out
}

#[test]
fn a_steady_network_costs_next_to_no_delay_and_no_concealment() {
    for ppm in [-300, -50, 0, 50, 300] {
        let o = simulate(&Network { seconds: 300, ppm, delay_ms: |_, _| Some(1), quiet: false });
        assert_eq!((o.concealed_ms, o.silent_steps, o.counters.skipped), (0, 0, 0), "{ppm} ppm");
        assert!(o.buffer_ms_max < 25.0 && o.buffer_ms_end > 10.0, "{ppm} ppm: {}", o.buffer_ms_max);
        assert!(o.speeds.0 >= 0.995 && o.speeds.1 <= 1.005, "{ppm} ppm: {:?}", o.speeds);
    }
}

#[test]
fn even_jitter_is_waited_for() {
    for ppm in [-300, 300] {
        let o = simulate(&Network { seconds: 120, ppm, delay_ms: |_, r| Some(r.below(40)), quiet: false });
        assert!(o.concealed_ms < 1_200, "{ppm} ppm: {} ms of 120 s", o.concealed_ms);
        assert!(o.buffer_ms_max < 100.0, "{ppm} ppm: {}", o.buffer_ms_max);
    }
}

#[test]
fn rare_stalls_cost_themselves_only_and_the_delay_returns() {
    // Every 20 s nothing arrives for 200 ms, then everything at once.
    let stall = |n: u64, _: &mut Random| Some(if n % 1_000 >= 990 { (1_000 - n % 1_000) * 20 } else { 1 });
    for quiet in [false, true] {
        let o = simulate(&Network { seconds: 120, ppm: 0, delay_ms: stall, quiet });
        assert!(o.concealed_ms <= 6 * 260, "{} ms", o.concealed_ms);
        assert!(o.buffer_ms_max <= 230.0, "{}", o.buffer_ms_max);
        assert_eq!(o.counters.lost, 0);
    }
    // Frequent stalls are waited for instead.
    let often = |n: u64, _: &mut Random| Some(if n % 50 >= 40 { (50 - n % 50) * 20 } else { 1 });
    let o = simulate(&Network { seconds: 60, ppm: 0, delay_ms: often, quiet: false });
    assert!(o.concealed_ms < 3_000, "{} ms", o.concealed_ms);
    assert!((180.0..260.0).contains(&o.buffer_ms_end), "{}", o.buffer_ms_end);
}

#[test]
fn a_bad_spell_is_forgotten() {
    // Heavy jitter for 20 s, then a quiet network.
    let spell = |n: u64, r: &mut Random| Some(if n < 1_000 { r.below(150) } else { 1 });
    let o = simulate(&Network { seconds: 90, ppm: 0, delay_ms: spell, quiet: false });
    assert!(o.buffer_ms_max > 120.0, "{}", o.buffer_ms_max);
    assert!(o.buffer_ms_end < 25.0, "{}", o.buffer_ms_end);
    assert!(o.speeds.1 <= 1.025);
}

#[test]
fn a_lasting_shift_of_the_path_is_no_jitter() {
    let later = |n: u64, _: &mut Random| Some(if n < 1_000 { 1 } else { 141 });
    let o = simulate(&Network { seconds: 40, ppm: 0, delay_ms: later, quiet: false });
    assert!(o.concealed_ms <= 160, "{} ms", o.concealed_ms);
    assert!(o.buffer_ms_end < 25.0, "{}", o.buffer_ms_end);
    let sooner = |n: u64, _: &mut Random| Some(if n < 1_000 { 141 } else { 1 });
    let o = simulate(&Network { seconds: 60, ppm: 0, delay_ms: sooner, quiet: false });
    assert_eq!(o.concealed_ms, 0);
    assert!(o.buffer_ms_end < 25.0, "{}", o.buffer_ms_end);
}

#[test]
fn reordered_packets_are_played_in_order() {
    let swap = |n: u64, _: &mut Random| Some(if n.is_multiple_of(2) { 25 } else { 1 });
    let o = simulate(&Network { seconds: 60, ppm: 0, delay_ms: swap, quiet: false });
    assert_eq!((o.counters.lost, o.counters.duplicates), (0, 0));
    assert!(o.concealed_ms <= 100, "{} ms", o.concealed_ms);
    assert!(o.buffer_ms_max < 60.0, "{}", o.buffer_ms_max);
}

#[test]
fn ten_percent_loss_is_mostly_rebuilt() {
    let lossy = |_: u64, r: &mut Random| (r.below(10) > 0).then_some(1);
    let o = simulate(&Network { seconds: 120, ppm: 100, delay_ms: lossy, quiet: false });
    let lost_ms = o.counters.lost * 20;
    assert!((9_000..15_000).contains(&lost_ms), "{lost_ms}");
    assert!(o.concealed_ms < lost_ms / 4, "{} of {lost_ms} ms made up", o.concealed_ms);
    assert!(o.counters.recovered * 20 > lost_ms * 3 / 4);
    assert!(o.buffer_ms_max < 60.0, "{}", o.buffer_ms_max);
}

#[test]
fn half_an_hour_across_wraps_of_the_numbers_stays_in_step() {
    let o = simulate(&Network { seconds: 1_800, ppm: -120, delay_ms: |_, r| Some(r.below(4)), quiet: true });
    assert_eq!((o.counters.lost, o.counters.skipped), (0, 0));
    assert!(o.concealed_ms <= 100, "{} ms", o.concealed_ms);
    assert!(o.buffer_ms_max < 30.0, "{}", o.buffer_ms_max);
}

proptest::proptest! {
    #[test]
    fn no_sequence_of_packets_and_pulls_breaks_it(
        steps in proptest::collection::vec((0u8..4, proptest::prelude::any::<u16>(), proptest::prelude::any::<u32>(), 0u32..6_000), 1..400)
    ) {
        let mut b = JitterBuffer::new();
        let mut now = 0u64;
        for (kind, sequence, timestamp, samples) in steps {
            match kind {
                0 => { b.insert(Timestamp(now), Incoming { ssrc: u32::from(sequence >> 14), sequence, timestamp, samples, payload: &[0] }); }
                1 => { b.insert(Timestamp(now), Incoming { ssrc: 1, sequence: sequence % 64, timestamp: timestamp % 100_000, samples, payload: &[0] }); }
                _ => {
                    now += u64::from(timestamp % 50_000_000);
                    if let Verdict::Conceal { samples } | Verdict::Fec { samples, .. } = b.pull(Timestamp(now), samples as usize, kind == 2) {
                        proptest::prop_assert!(samples > 0 && samples <= OPUS_PACKET_MS_MAX * 48);
                    }
                    proptest::prop_assert!((0.97..=1.03).contains(&b.speed()));
                }
            }
        }
    }
}
