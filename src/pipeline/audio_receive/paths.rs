//! Bad networks and abrupt ends through the whole receiving path, from packets to what the speaker gets: jitter buffer, Opus,
//! cuts, drift, mix. The talker whistles, so that whatever is no whistle is heard: a click is a step between two samples that
//! no wave of the whistle has.
//!
//! What other jitter buffers are tested with, and where it stands: here, in `protocol::jitter::scenarios` (S) or its `tests` (T).
//! ```text
//! NetEQ (WebRTC)                                        GStreamer's rtpjitterbuffer
//! constant delay; least and most delay       here, S    packets pushed in order come out in order    here, S
//! relative delay, its histogram and quantile here, S    reordered packets                            here, S
//! expand, merge, accelerate after a stall    here, S    lost packet told, the next one played        here, S
//! peaks that come again                      S          late packets dropped, or not                 here, S
//! reordered packets, duplicates              here, S    duplicates                                   here, S, T
//! loss: random, in runs; in-band FEC         here, S    large gap of sequence numbers                here, S, T
//! clock drift, both ways                     here, S    skew over many packets                       here, S
//! sequence and timestamp wrap                here, S    sequence and timestamp wrap                  here, S, T
//! timestamp jump, SSRC change                here, S    timestamp jump, SSRC change, restart         here, S, T
//! comfort noise, DTX                         S, tests   pause of the sender                          here, S
//! full buffer flushes                        T          full buffer                                  T
//! odd sizes and garbage                      T          invalid packets                              T
//! ```

use std::sync::OnceLock;

use super::*;
use crate::media::opus::{Encoder, Settings};
use crate::pipeline::receive::AudioSink;
use crate::wire::rtp;

const STREAM: u64 = 1;
const WHISTLE_HZ: f64 = 440.0;
const LOUDNESS: f64 = 0.5;
/// The steepest that the whistle is by itself.
const STEEP: f32 = (LOUDNESS * std::f64::consts::TAU * WHISTLE_HZ / 48_000.0) as f32;
const START: u64 = 1_000_000_000;
const SECONDS: u64 = 30;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// How the `n`-th frame is sent.
struct Sent {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

fn plain(n: u64) -> Option<Sent> {
    Some(Sent { ssrc: 7, sequence: n as u16, timestamp: (n as u32).wrapping_mul(960) })
}

/// A talker and a network.
struct Path {
    sent: fn(u64) -> Option<Sent>,
    /// Delay of packet n in ms; `None`: lost.
    delay_ms: fn(u64, &mut Random) -> Option<u64>,
    /// Each comes again 7 ms later.
    twice: bool,
    /// What comes later than the usual way takes was lost and is sent once more.
    repaired: bool,
    /// The sender's clock against the listener's.
    ppm: i64,
    /// What is done to the mixer after so many ms.
    act: fn(u64, &mut AudioReceive),
}

impl Default for Path {
    fn default() -> Self {
        Self { sent: plain, delay_ms: |_, _| Some(1), twice: false, repaired: false, ppm: 0, act: |_, _| () }
    }
}

struct Heard {
    samples: Vec<f32>,
    stats: Arc<TalkerStats>,
    /// Time in the buffer, each tenth of a second.
    buffer_ms: Vec<f32>,
}

impl Heard {
    fn worst_ms(&self, from_s: usize) -> f32 {
        self.buffer_ms[from_s * 10..].iter().copied().fold(0.0, f32::max)
    }

    /// The largest step between two samples, to that of the whistle.
    fn steepest(&self) -> f32 {
        self.samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max) / STEEP
    }

    /// Milliseconds of silence from the first sound on.
    fn silent_ms(&self) -> usize {
        let quiet = |piece: &&[f32]| piece.iter().all(|s| s.abs() < 1e-3);
        self.samples.chunks_exact(48).skip_while(quiet).filter(quiet).count()
    }
}

/// The whistle, coded.
fn whistle() -> &'static [Vec<u8>] {
    static CODED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CODED.get_or_init(|| {
        let mut encoder = Encoder::new(Settings::default()).expect("an encoder");
        let wave = |i: u64| (LOUDNESS * (std::f64::consts::TAU * WHISTLE_HZ * i as f64 / 48_000.0).sin()) as f32;
        let frame = |n: u64| (n * 960..(n + 1) * 960).map(wave).collect::<Vec<_>>();
        let coded = |n| {
            let mut packet = Vec::new();
            encoder.encode(&frame(n), &mut packet).expect("a frame");
            packet
        };
        (0..SECONDS * 50).map(coded).collect()
    })
}

fn listen(path: &Path) -> Heard {
    let mut random = Random(42);
    let interval = (20_000_000 - 20 * path.ppm) as u64;
    let mut arrivals: Vec<(u64, Vec<u8>, bool)> = Vec::new();
    for (n, coded) in (0..).zip(whistle()) {
        let Some(Sent { ssrc, sequence, timestamp }) = (path.sent)(n) else { continue };
        let Some(delay) = (path.delay_ms)(n, &mut random) else { continue };
        let mut packet = Vec::new();
        rtp::Header { marker: false, payload_type: rtp::PT_OPUS, sequence, timestamp, ssrc }.write(&mut packet);
        packet.extend(coded);
        let at = START + n * interval + delay * 1_000_000;
        if path.twice {
            arrivals.push((at + 7_000_000, packet.clone(), true));
        }
        arrivals.push((at, packet, path.repaired && delay > 1));
    }
    arrivals.sort_by_key(|a| a.0);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heard.wav");
    let (clock, queue) = (Clock::manual(Timestamp(START)), AudioQueue::default());
    let spec = SpeakerSpec::File(file.clone());
    let mut mixer = AudioReceive::new(&spec, Buffers::Usual, queue.clone(), &clock).expect("a file");
    let stats = mixer.add(STREAM).expect("a talker");
    let (mut arrivals, mut buffer_ms) = (arrivals.into_iter().peekable(), Vec::new());
    for ms in (0..SECONDS * 1_000).step_by(5) {
        let now = clock.now();
        while let Some((at, packet, again)) = arrivals.next_if(|a| a.0 <= now.0) {
            let (mut queue, at) = (queue.clone(), Timestamp(at));
            if again { queue.again(STREAM, at, &packet) } else { queue.packet(STREAM, at, &packet) }
        }
        (path.act)(ms, &mut mixer);
        mixer.step(now);
        if ms % 100 == 0 {
            buffer_ms.push(stats.buffer_ms());
        }
        clock.advance(Duration::from_millis(5));
    }
    drop(mixer);
    const HEADER_BYTES: usize = 44;
    let bytes = std::fs::read(&file).expect("a WAV file");
    let (samples, _) = bytes[HEADER_BYTES..].as_chunks::<2>();
    let samples = samples.iter().map(|s| f32::from(i16::from_le_bytes(*s)) / 32_768.0).collect();
    Heard { samples, stats, buffer_ms }
}

/// Loss in runs of three packets on average, one packet in ten (Gilbert-Elliott).
fn runs(n: u64, _: &mut Random) -> Option<u64> {
    static BAD: OnceLock<Vec<bool>> = OnceLock::new();
    let bad = BAD.get_or_init(|| {
        let (mut random, mut bad) = (Random(9), false);
        let next = || {
            bad = if bad { random.below(3) > 0 } else { random.below(27) == 0 };
            bad
        };
        std::iter::repeat_with(next).take((SECONDS * 50) as usize).collect()
    });
    (!bad[n as usize]).then_some(1)
}

/// Twice a second nothing passes for 80 ms, and every fourth second for 180 ms once. What was lost is repaired at once then.
fn outages(n: u64, _: &mut Random) -> Option<u64> {
    let (long, left) = (n % 200 >= 175, 25 - n % 25);
    Some(if left <= if long { 9 } else { 4 } { left * 20 + 2 } else { 1 })
}

/// A case, and the most it may cost.
struct Row {
    name: &'static str,
    path: Path,
    concealed_ms: std::ops::RangeInclusive<u64>,
    /// More than 60 ms made up or missing at a time.
    gaps: std::ops::RangeInclusive<u64>,
    silent_ms: usize,
    /// Largest step between samples, to the whistle's.
    steepest: f32,
    /// Time in the buffer from second 5 on, and from this second on: 5 s after the last trouble.
    worst_ms: f32,
    calm: (usize, f32),
}

fn row(name: &'static str, path: Path) -> Row {
    Row { name, path, concealed_ms: 0..=0, gaps: 0..=0, silent_ms: 0, steepest: 1.3, worst_ms: 40.0, calm: (15, 25.0) }
}

fn moved(n: u64, by: impl Fn(&mut Sent)) -> Option<Sent> {
    let mut sent = plain(n)?;
    if n >= 500 {
        by(&mut sent);
    }
    Some(sent)
}

fn rows() -> Vec<Row> {
    [networks(), senders(), ends()].into_iter().flatten().collect()
}

/// What the network does.
fn networks() -> Vec<Row> {
    let path = Path::default;
    vec![
        row("constant delay", path()),
        row("constant delay of 80 ms", Path { delay_ms: |_, _| Some(80), ..path() }),
        Row {
            worst_ms: 58.0,
            calm: (15, 58.0),
            ..row("even jitter of 40 ms", Path { delay_ms: |_, r| Some(r.below(40)), ..path() })
        },
        Row {
            concealed_ms: 150..=210,
            gaps: 1..=1,
            // Opus's own making up has faded by then.
            silent_ms: 160,
            worst_ms: 215.0,
            calm: (15, 20.0),
            ..row(
                "nothing for 200 ms, then everything",
                Path { delay_ms: |n, _| Some(if (490..500).contains(&n) { (500 - n) * 20 } else { 1 }), ..path() },
            )
        },
        Row {
            worst_ms: 42.0,
            calm: (15, 42.0),
            ..row("reorder", Path { delay_ms: |n, _| Some(if n % 2 == 0 { 25 } else { 1 }), ..path() })
        },
        row("each twice", Path { twice: true, ..path() }),
        Row {
            concealed_ms: 0..=300,
            calm: (15, 40.0),
            ..row("10 % lost at random", Path { delay_ms: |_, r| (r.below(10) > 0).then_some(1), ..path() })
        },
        Row {
            concealed_ms: 1_000..=2_500,
            gaps: 0..=10,
            silent_ms: 1_200,
            calm: (15, 40.0),
            ..row("10 % lost in runs", Path { delay_ms: runs, ..path() })
        },
        // The first long one comes before it is known that there are such. From then on what is there lasts.
        Row {
            concealed_ms: 60..=200,
            gaps: 0..=1,
            silent_ms: 80,
            worst_ms: 270.0,
            calm: (15, 260.0),
            ..row("outages, repaired", Path { delay_ms: outages, repaired: true, ..path() })
        },
        Row {
            concealed_ms: 140..=160,
            gaps: 1..=1,
            silent_ms: 125,
            ..row("150 ms lost", Path { delay_ms: |n, _| (!(500..508).contains(&n)).then_some(1), ..path() })
        },
        Row {
            concealed_ms: 300..=300,
            gaps: 1..=1,
            silent_ms: 265,
            ..row("300 ms lost", Path { delay_ms: |n, _| (!(500..515).contains(&n)).then_some(1), ..path() })
        },
        Row {
            concealed_ms: 140..=170,
            gaps: 1..=1,
            silent_ms: 110,
            worst_ms: 170.0,
            ..row("path longer by 140 ms", Path { delay_ms: |n, _| Some(if n < 500 { 1 } else { 141 }), ..path() })
        },
        Row {
            concealed_ms: 0..=40,
            worst_ms: 165.0,
            ..row("path shorter by 140 ms", Path { delay_ms: |n, _| Some(if n < 500 { 141 } else { 1 }), ..path() })
        },
        row("a fast sender", Path { ppm: 300, ..path() }),
        row("a slow sender", Path { ppm: -300, ..path() }),
    ]
}

/// What the sender does with its numbers.
fn senders() -> Vec<Row> {
    let path = Path::default;
    vec![
        row(
            "media clock ahead by 10 s",
            Path { sent: |n| moved(n, |s| s.timestamp = s.timestamp.wrapping_add(480_000)), ..path() },
        ),
        row(
            "media clock back by 10 s",
            Path { sent: |n| moved(n, |s| s.timestamp = s.timestamp.wrapping_sub(480_000)), ..path() },
        ),
        row("restart under another number", Path { sent: another, ..path() }),
        Row {
            silent_ms: 5,
            ..row(
                "restart under the same number",
                Path { sent: |n| moved(n, |s| s.sequence = s.sequence.wrapping_add(20_000)), ..path() },
            )
        },
        row(
            "both wraps",
            Path {
                sent: |n| {
                    let mut sent = plain(n)?;
                    sent.sequence = sent.sequence.wrapping_add(65_000);
                    sent.timestamp = sent.timestamp.wrapping_sub(500 * 960);
                    Some(sent)
                },
                ..path()
            },
        ),
        Row {
            silent_ms: 2_020,
            ..row(
                "a pause",
                Path {
                    sent: |n| {
                        let mut sent = plain(n)?;
                        sent.sequence = sent.sequence.wrapping_sub(if n > 600 { 101 } else { 0 });
                        (!(500..=600).contains(&n)).then_some(sent)
                    },
                    ..path()
                },
            )
        },
    ]
}

/// Another source from the 500th frame on.
fn another(n: u64) -> Option<Sent> {
    moved(n, |s| {
        (s.ssrc, s.sequence) = (8, s.sequence.wrapping_add(31_000));
        s.timestamp = s.timestamp.wrapping_add(0x1234_5678);
    })
}

/// Of each second a fifth is a pause, which begins anywhere in the wave.
fn words(n: u64) -> Option<Sent> {
    let (second, frame) = (n / 50, n % 50);
    let sent = Sent { sequence: (second * 40 + frame) as u16, ..plain(n)? };
    (frame < 40).then_some(sent)
}

/// What is done to the mixer, anywhere in the wave.
fn ends() -> Vec<Row> {
    let path = Path::default;
    vec![
        row(
            "goodbye, and on",
            Path {
                act: |ms, mixer| {
                    if ms == 10_005 {
                        mixer.command(Command::Goodbye(STREAM))
                    }
                },
                ..path()
            },
        ),
        Row { silent_ms: 30 * 205, ..row("many pauses", Path { sent: words, ppm: 300, ..path() }) },
        Row {
            silent_ms: 30 * 250,
            ..row(
                "many goodbyes",
                Path {
                    sent: words,
                    ppm: -300,
                    act: |ms, mixer| {
                        if ms % 1_000 == 790 {
                            mixer.command(Command::Goodbye(STREAM))
                        }
                    },
                    ..path()
                },
            )
        },
        Row {
            silent_ms: 20_000,
            ..row(
                "goodbye for ever",
                Path {
                    sent: |n| plain(n).filter(|_| n < 500),
                    act: |ms, mixer| {
                        if ms == 10_005 {
                            mixer.command(Command::Goodbye(STREAM))
                        }
                    },
                    ..path()
                },
            )
        },
        Row {
            silent_ms: 20_000,
            ..row(
                "removed",
                Path {
                    act: |ms, mixer| {
                        if ms == 10_005 {
                            mixer.command(Command::Remove(STREAM))
                        }
                    },
                    ..path()
                },
            )
        },
        row(
            "new keys",
            Path {
                sent: another,
                act: |ms, mixer| {
                    if ms == 9_995 {
                        drop(mixer.add(STREAM).expect("a talker"))
                    }
                },
                ..path()
            },
        ),
        Row {
            steepest: 0.25 * 1.3,
            ..row("new keys, at a quarter", Path { sent: another, act: |ms, mixer| renewed(ms, mixer, 0.25), ..path() })
        },
        // Whom one has silenced is not heard for an instant.
        Row {
            steepest: 0.0,
            ..row("new keys, silenced", Path { sent: another, act: |ms, mixer| renewed(ms, mixer, 0.0), ..path() })
        },
        row(
            "received anew from elsewhere",
            Path {
                act: |ms, mixer| {
                    if ms == 10_005 {
                        drop(mixer.add(STREAM).expect("a talker"))
                    }
                },
                ..path()
            },
        ),
    ]
}

/// Somebody is played at a volume, and has new keys later.
fn renewed(ms: u64, mixer: &mut AudioReceive, volume: f32) {
    match ms {
        0 => mixer.command(Command::Volume(STREAM, volume)),
        9_995 => drop(mixer.add(STREAM).expect("a talker")),
        _ => {}
    }
}

#[test]
fn every_trouble_of_a_network_is_bounded_at_the_speaker_and_clicks_nowhere() {
    let mut wrong = Vec::new();
    for row in rows() {
        let heard = listen(&row.path);
        let stats = &heard.stats;
        let (from, calm) = row.calm;
        let (steepest, worst, after, silent) =
            (heard.steepest(), heard.worst_ms(5), heard.worst_ms(from), heard.silent_ms());
        let figures = format!(
            "{:36} made up {:4} ms in {} gaps, silent {silent:3} ms, steepest {steepest:.2}, buffer {worst:5.1} ms, from {from} s on {after:4.1} ms; +{:?} -{:?}",
            row.name,
            stats.concealed_ms(),
            stats.gaps(),
            stats.expanded(),
            stats.accelerated(),
        );
        println!("{figures}");
        let made_up = row.concealed_ms.contains(&stats.concealed_ms()) && row.gaps.contains(&stats.gaps());
        let delayed = worst <= row.worst_ms && after <= calm;
        if !(made_up && delayed && silent <= row.silent_ms && steepest <= row.steepest) {
            wrong.push(figures);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
