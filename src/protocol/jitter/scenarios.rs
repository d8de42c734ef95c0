//! Simulated minutes of a talker over bad networks.
//!
//! The rows follow what other jitter buffers are tested with; each names the case it stands for, of NetEQ (WebRTC) or of
//! GStreamer's `rtpjitterbuffer`.

use super::*;

const MS: u64 = 1_000_000;
const START: u64 = 1_000 * MS;
/// What a cut takes away or puts in: a voice at 150 Hz.
pub(super) const PERIOD: usize = 320;

pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What the sender does with its `n`-th frame of 20 ms.
#[derive(Clone, Copy)]
struct Sent {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload: &'static [u8],
    marker: bool,
}

const SPEECH: &[u8] = &[1, 2, 3];

fn plain(n: u64) -> Option<Sent> {
    Some(Sent { ssrc: 7, sequence: n as u16, timestamp: (n as u32).wrapping_mul(960), payload: SPEECH, marker: false })
}

/// A talker, a network and a listener in simulated time.
struct Network {
    seconds: u64,
    /// The sender's clock against the listener's, in parts per million.
    ppm: i64,
    sent: fn(u64) -> Option<Sent>,
    /// Delay of packet n in ms; `None` = lost.
    delay_ms: fn(u64, &mut Random) -> Option<u64>,
    /// Whether each packet comes again 7 ms later.
    twice: bool,
    /// Milliseconds the listener mixes at a time.
    step_ms: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { seconds: 60, ppm: 0, sent: plain, delay_ms: |_, _| Some(1), twice: false, step_ms: 5 }
    }
}

#[derive(Default)]
struct Outcome {
    counters: Counters,
    concealed_ms: u64,
    /// Mean time in the buffer, each tenth of a second.
    buffer_ms: Vec<f32>,
    /// Time in which nothing was played after the first packet was.
    silent_ms: u64,
    noise_ms: u64,
    drift_ppm: f32,
    /// Slowest and fastest speed after the first 10 s.
    speeds: (f64, f64),
}

impl Outcome {
    /// Largest mean time in the buffer from second `from` to second `to`.
    fn worst(&self, from: usize, to: usize) -> f32 {
        let last = self.buffer_ms.len();
        self.buffer_ms[from.saturating_mul(10).min(last)..to.saturating_mul(10).min(last)]
            .iter()
            .copied()
            .fold(0.0, f32::max)
    }

    /// Mean time in the buffer from this second on.
    fn mean(&self, from: usize) -> f32 {
        let rest = &self.buffer_ms[from * 10..];
        rest.iter().sum::<f32>() / rest.len() as f32
    }

    fn end(&self) -> f32 {
        self.buffer_ms.last().copied().unwrap_or(0.0)
    }
}

fn simulate(network: &Network) -> Outcome {
    let mut random = Random(42);
    let interval = (20 * MS) as i64 - 20 * network.ppm;
    let mut arrivals: Vec<(u64, Sent)> = Vec::new();
    for n in 0..network.seconds * 50 {
        let Some(sent) = (network.sent)(n) else { continue };
        let Some(delay) = (network.delay_ms)(n, &mut random) else { continue };
        let at = START + n * interval as u64 + delay * MS;
        arrivals.push((at, sent));
        if network.twice {
            arrivals.push((at + 7 * MS, sent));
        }
    }
    arrivals.sort_by_key(|a| a.0);
    let mut b = JitterBuffer::new();
    let mut out = Outcome { speeds: (1.0, 1.0), ..Outcome::default() };
    let (mut held, mut next, mut started) = (0.0f64, 0, false);
    for step in 0..network.seconds * 1_000 / network.step_ms {
        let passed_ms = step * network.step_ms;
        let now = START + passed_ms * MS;
        while let Some((at, sent)) = arrivals.get(next).filter(|a| a.0 <= now) {
            let Sent { ssrc, sequence, timestamp, payload, marker } = *sent;
            b.insert(
                Timestamp(*at),
                Incoming { ssrc, sequence, timestamp, marker, again: false, samples: 960, payload },
            );
            next += 1;
        }
        let speed = b.speed();
        if passed_ms > 10_000 {
            out.speeds = (out.speeds.0.min(speed), out.speeds.1.max(speed));
        }
        let need = (48 * network.step_ms) as f64 * speed;
        while held < need {
            let mut heard = false;
            held += match b.pull(Timestamp(now), (held - need) as i64) {
                Verdict::Packet(_) => {
                    heard = true;
                    960.0
                }
                Verdict::Fec { samples, .. } | Verdict::Conceal { samples } => samples as f64,
                Verdict::Noise { samples } => {
                    out.noise_ms += samples as u64 / 48;
                    samples as f64
                }
                Verdict::Empty => {
                    out.silent_ms += if started { network.step_ms } else { 0 };
                    need - held
                }
            };
            started |= b.playing();
            let Some(wish) = b.wish().filter(|_| heard) else { continue };
            let samples = PERIOD.min(wish.most);
            if samples >= 120 && held > (samples + 120) as f64 {
                held += if wish.shorten { -(samples as f64) } else { samples as f64 };
                b.cut(wish.shorten, samples);
            }
        }
        held -= need;
        if passed_ms.is_multiple_of(100) {
            out.buffer_ms.push(b.buffer_ms());
        }
    }
    out.counters = b.counters();
    out.concealed_ms = out.counters.concealed_samples / 48;
    out.drift_ppm = b.drift_ppm();
    out
}

/// A case, and the most it may cost.
struct Row {
    name: &'static str,
    network: Network,
    /// Made up or missing, of all that was said.
    concealed_ms: std::ops::RangeInclusive<u64>,
    /// Largest mean time in the buffer after the first 5 s.
    worst_ms: f32,
    /// The same from this second on: 5 s after the last trouble.
    calm: (usize, f32),
    /// By how much the drift found may be wrong.
    ppm: f32,
    /// Packets received, beside those that counters say were lost, late or not believed.
    also: fn(&Outcome) -> bool,
}

fn row(name: &'static str, network: Network) -> Row {
    // What begins anew waits for the first guess, 39 ms, until it is known to be too long.
    Row { name, network, concealed_ms: 0..=0, worst_ms: 40.0, calm: (25, 25.0), ppm: 25.0, also: |_| true }
}

/// Every 20 s, from the 20th on, nothing arrives for 200 ms, then everything at once.
fn burst(n: u64, _: &mut Random) -> Option<u64> {
    let left = 1_000 - n % 1_000;
    Some(if n >= 990 && left <= 10 { left * 20 } else { 1 })
}

/// Loss in runs of three packets on average, one packet in ten.
fn gilbert_elliott(n: u64, _: &mut Random) -> Option<u64> {
    // A run begins with probability 1/27 and ends with 1/3.
    static RUNS: std::sync::OnceLock<Vec<bool>> = std::sync::OnceLock::new();
    let runs = RUNS.get_or_init(|| {
        let (mut random, mut bad) = (Random(9), false);
        (0..10_000)
            .map(|_| {
                bad = if bad { random.below(3) > 0 } else { random.below(27) == 0 };
                bad
            })
            .collect()
    });
    (!runs[n as usize % runs.len()]).then_some(1)
}

fn at_ms(n: u64, change: fn(&mut Sent, u64)) -> Option<Sent> {
    let mut sent = plain(n)?;
    change(&mut sent, n);
    Some(sent)
}

/// Two seconds of speech, then three of silence in which a packet comes each 400 ms (RFC 7587 section 3.1.3).
fn dtx(n: u64) -> Option<Sent> {
    let (turn, within) = (n / 250, n % 250);
    let silent = within.saturating_sub(100);
    let number = turn * (101 + 7) + within.min(100) + silent / 20;
    let payload: &[u8] = if within < 100 { SPEECH } else { &[8] };
    (within <= 100 || (silent % 20 == 0 && silent < 150)).then_some(Sent {
        ssrc: 7,
        sequence: number as u16,
        timestamp: n as u32 * 960,
        payload,
        marker: within == 0,
    })
}

/// Two seconds of speech, three of nothing.
fn pauses(n: u64) -> Option<Sent> {
    let (turn, within) = (n / 250, n % 250);
    let sequence = (turn * 100 + within) as u16;
    (within < 100).then_some(Sent { ssrc: 7, sequence, timestamp: n as u32 * 960, payload: SPEECH, marker: false })
}

/// A second of speech by voice activation, half a second of nothing: 60 ms from before the word was known for one are sent
/// with the packet after them.
fn activated(n: u64) -> Option<Sent> {
    let (turn, within) = (n / 75, n % 75);
    let (sequence, marker) = ((turn * 50 + within) as u16, within == 0);
    (within < 50).then_some(Sent { ssrc: 7, sequence, timestamp: n as u32 * 960, payload: SPEECH, marker })
}

fn rows() -> Vec<Row> {
    let network = Network::default;
    vec![
        // The beginning of a word was held back by its sender, which is no jitter: nothing waits longer for it.
        Row {
            concealed_ms: 0..=600,
            worst_ms: 65.0,
            calm: (25, 65.0),
            also: |o| o.mean(25) < 20.0,
            ..row(
                "voice activation",
                Network {
                    sent: activated,
                    delay_ms: |n, _| Some((3_u64.saturating_sub(n % 75)) * 20 + 1),
                    ..network()
                },
            )
        },
        // A sender that says of every packet that a talk spurt begins with it: its packets are measured nevertheless.
        Row {
            concealed_ms: 0..=700,
            worst_ms: 70.0,
            calm: (5, 70.0),
            ppm: 120.0,
            also: |o| o.mean(25) > 30.0,
            ..row(
                "every packet marked, even jitter of 40 ms",
                Network { sent: |n| at_ms(n, |s, _| s.marker = true), delay_ms: |_, r| Some(r.below(40)), ..network() },
            )
        },
        Row {
            concealed_ms: 140..=300,
            worst_ms: 180.0,
            calm: (25, 30.0),
            ..row(
                "every packet marked, path longer by 140 ms",
                Network {
                    sent: |n| at_ms(n, |s, _| s.marker = true),
                    delay_ms: |n, _| Some(if n < 1_000 { 1 } else { 141 }),
                    ..network()
                },
            )
        },
        // NetEQ: the target of a network without jitter is its least. GStreamer: packets pushed in order come out so.
        row("constant delay", network()),
        row("constant delay of 80 ms", Network { delay_ms: |_, _| Some(80), ..network() }),
        // NetEQ: histogram, quantile of the arrival delay.
        Row {
            concealed_ms: 0..=600,
            worst_ms: 70.0,
            calm: (5, 70.0),
            // It is learnt from the errors that jitter leaves, and takes minutes.
            ppm: 120.0,
            ..row("even jitter of 40 ms", Network { delay_ms: |_, r| Some(r.below(40)), ..network() })
        },
        // NetEQ: expand, then merge, then accelerate after a gap of arrivals. GStreamer: late packets after a stall.
        Row {
            concealed_ms: 300..=420,
            worst_ms: 240.0,
            calm: (45, 30.0),
            also: |o| o.worst(25, 39) < 30.0 && o.counters.late == 0 && o.counters.skipped == 0,
            ..row("bursts of 200 ms", Network { delay_ms: burst, ..network() })
        },
        // NetEQ: the same again and again is worth waiting for (peaks of the delay manager).
        Row {
            concealed_ms: 0..=2_000,
            worst_ms: 260.0,
            calm: (5, 260.0),
            ..row(
                "bursts of 200 ms each second",
                Network { delay_ms: |n, _| Some(if n % 50 >= 40 { (50 - n % 50) * 20 } else { 1 }), ..network() },
            )
        },
        // NetEQ: reordered packets. GStreamer: two packets swapped, order restored.
        Row {
            concealed_ms: 0..=60,
            worst_ms: 60.0,
            calm: (5, 60.0),
            also: |o| (o.counters.lost, o.counters.duplicates) == (0, 0),
            ..row("reorder", Network { delay_ms: |n, _| Some(if n.is_multiple_of(2) { 25 } else { 1 }), ..network() })
        },
        // NetEQ: random loss with in-band FEC. GStreamer: a lost packet is told, and the next one played.
        Row {
            concealed_ms: 0..=1_600,
            worst_ms: 60.0,
            calm: (10, 60.0),
            also: |o| o.counters.lost > 250 && o.counters.recovered * 4 > o.counters.lost * 3,
            ..row("10 % random loss", Network { delay_ms: |_, r| (r.below(10) > 0).then_some(1), ..network() })
        },
        // The same in runs (Gilbert-Elliott): the last packet of a run can be rebuilt.
        Row {
            concealed_ms: 1_000..=4_600,
            worst_ms: 70.0,
            calm: (10, 70.0),
            also: |o| o.counters.lost > 200 && o.counters.recovered * 5 > o.counters.lost,
            ..row("10 % loss in runs", Network { delay_ms: gilbert_elliott, ..network() })
        },
        // GStreamer: a large gap of timestamps resets. NetEQ: a timestamp jump.
        row(
            "media clock ahead by 10 s",
            Network {
                sent: |n| at_ms(n, |s, n| s.timestamp = s.timestamp.wrapping_add(if n > 1_000 { 480_000 } else { 0 })),
                ..network()
            },
        ),
        Row {
            concealed_ms: 0..=100,
            ..row(
                "media clock back by 10 s",
                Network {
                    sent: |n| {
                        at_ms(n, |s, n| s.timestamp = s.timestamp.wrapping_sub(if n > 1_000 { 480_000 } else { 0 }))
                    },
                    ..network()
                },
            )
        },
        Row {
            concealed_ms: 0..=700,
            worst_ms: 60.0,
            calm: (30, 38.0),
            ..row(
                "media clock back by 1 s",
                Network {
                    sent: |n| {
                        at_ms(n, |s, n| s.timestamp = s.timestamp.wrapping_sub(if n > 1_000 { 48_000 } else { 0 }))
                    },
                    ..network()
                },
            )
        },
        // NetEQ: a lasting change of the base delay; GStreamer: the skew follows.
        Row {
            concealed_ms: 140..=240,
            worst_ms: 180.0,
            calm: (25, 30.0),
            ..row(
                "path longer by 140 ms",
                Network { delay_ms: |n, _| Some(if n < 1_000 { 1 } else { 141 }), ..network() },
            )
        },
        // Seven packets are overtaken; there is no delay to wait for them in.
        Row {
            concealed_ms: 0..=150,
            worst_ms: 190.0,
            calm: (25, 30.0),
            ..row(
                "path shorter by 140 ms",
                Network { delay_ms: |n, _| Some(if n < 1_000 { 141 } else { 1 }), ..network() },
            )
        },
        // NetEQ and GStreamer: another SSRC starts anew.
        Row {
            concealed_ms: 0..=0,
            also: |o| o.counters.received == 3_000,
            ..row(
                "restart under another number",
                Network {
                    sent: |n| {
                        at_ms(n, |s, n| {
                            let moved = u32::from(n >= 1_000) * 0x1234_5678;
                            (s.ssrc, s.sequence, s.timestamp) =
                                (7 + moved, s.sequence.wrapping_add(moved as u16), s.timestamp.wrapping_add(moved));
                        })
                    },
                    ..network()
                },
            )
        },
        // GStreamer: a large gap of sequence numbers, believed once the next one confirms it.
        Row {
            concealed_ms: 0..=0,
            also: |o| (o.counters.rejected, o.counters.lost) == (1, 0),
            ..row(
                "restart under the same number",
                Network {
                    sent: |n| {
                        at_ms(n, |s, n| s.sequence = s.sequence.wrapping_add(if n >= 1_000 { 20_000 } else { 0 }))
                    },
                    ..network()
                },
            )
        },
        // NetEQ: sequence number wrap, timestamp wrap. GStreamer: the same.
        Row {
            also: |o| (o.counters.lost, o.counters.late, o.counters.received) == (0, 0, 3_000),
            ..row(
                "both wraps",
                Network {
                    sent: |n| {
                        at_ms(n, |s, _| {
                            (s.sequence, s.timestamp) =
                                (s.sequence.wrapping_add(65_000), s.timestamp.wrapping_sub(1_000 * 960));
                        })
                    },
                    ..network()
                },
            )
        },
        // NetEQ: duplicates are dropped. GStreamer: likewise.
        Row {
            also: |o| o.counters.duplicates >= 2_999 && o.counters.received == 3_000,
            ..row("everything twice", Network { twice: true, ..network() })
        },
        // NetEQ: a packet later than its place in the buffer. GStreamer: late packets beyond the latency.
        Row {
            concealed_ms: 0..=1_500,
            worst_ms: 120.0,
            calm: (5, 120.0),
            also: |o| o.counters.lost == 0,
            ..row(
                "one in 400 is 100 ms late",
                Network { delay_ms: |n, _| Some(if n % 400 == 399 { 100 } else { 1 }), ..network() },
            )
        },
        // NetEQ: discontinuous transmission with comfort noise; the gap is no loss.
        Row {
            also: |o| o.noise_ms > 20_000 && o.counters.lost == 0,
            ..row("silence that is not sent", Network { sent: dtx, ..network() })
        },
        Row {
            also: |o| o.counters.lost == 0 && o.noise_ms == 0,
            ..row("mutes", Network { sent: pauses, ..network() })
        },
        // NetEQ: clock drift, both ways. GStreamer: skew over many packets.
        Row {
            also: |o| o.counters.accelerated <= 3,
            ..row("a fast sender", Network { ppm: 300, seconds: 200, ..network() })
        },
        Row {
            also: |o| o.counters.expanded <= 1,
            ..row("a slow sender", Network { ppm: -300, seconds: 200, ..network() })
        },
        // NetEQ: audio asked for in larger pieces than it comes in.
        Row {
            concealed_ms: 0..=30,
            worst_ms: 60.0,
            calm: (5, 60.0),
            ..row("a speaker that takes 20 ms at a time", Network { step_ms: 20, ..network() })
        },
    ]
}

#[test]
fn every_trouble_costs_no_more_than_it_must_and_is_over_within_five_seconds() {
    let mut wrong = Vec::new();
    for row in rows() {
        let o = simulate(&row.network);
        let (from, calm) = row.calm;
        let (worst, after) = (o.worst(5, usize::MAX), o.worst(from, usize::MAX));
        let figures = format!(
            "{:38} concealed {:5} ms, silent {:5} ms, buffer {worst:5.1} ms, from {from:2} s on {after:5.1} ms; +{} -{} cuts; {:+.0} ppm",
            row.name, o.concealed_ms, o.silent_ms, o.counters.expanded, o.counters.accelerated, o.drift_ppm
        );
        let kept =
            row.concealed_ms.contains(&o.concealed_ms) && worst <= row.worst_ms && after <= calm && (row.also)(&o);
        let kept = kept && (o.drift_ppm - row.network.ppm as f32).abs() <= row.ppm;
        if !kept {
            wrong.push(format!("{figures}\n{:?}", o.counters));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_bad_spell_is_forgotten_within_five_seconds() {
    // Heavy jitter for 20 s, then a quiet network.
    let spell = |n: u64, r: &mut Random| Some(if n < 1_000 { r.below(150) } else { 1 });
    let o = simulate(&Network { seconds: 40, delay_ms: spell, ..Network::default() });
    assert!(o.worst(5, 20) > 120.0, "{}", o.worst(5, 20));
    assert!(o.worst(25, 40) < 30.0, "{}", o.worst(25, 40));
}

#[test]
fn half_an_hour_across_wraps_of_the_numbers_stays_in_step() {
    let o = simulate(&Network { seconds: 1_800, ppm: -120, delay_ms: |_, r| Some(r.below(4)), ..Network::default() });
    assert_eq!((o.counters.lost, o.counters.skipped), (0, 0));
    assert!(o.concealed_ms <= 100, "{} ms", o.concealed_ms);
    assert!(o.worst(10, usize::MAX) < 35.0 && o.end() > 8.0, "{} {}", o.worst(10, usize::MAX), o.end());
    assert!((o.drift_ppm + 120.0).abs() < 10.0, "{}", o.drift_ppm);
    assert!(o.speeds.0 > 0.9995 && o.speeds.1 < 1.0005, "{:?}", o.speeds);
}
