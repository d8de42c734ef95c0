//! Simulated minutes of a talker whose packets get lost, with everything that brings them back: Opus's own redundancy, the
//! packets before each once more, and those asked for.
//!
//! ```text
//! talker > VoiceKeeper ──packet, repeats──> bad now? ──> VoiceMender, JitterBuffer > gaps
//!              ^──────────────requests───── bad now? <──────'
//! ```
//! The network is good or bad for a while, as Gilbert and Elliott have it, and what passes meanwhile is lost, whatever it is
//! and whichever way it goes. Where each datagram is lost by itself, so are requests and repairs.

use super::scenarios::{PERIOD, Random};
use super::*;
use crate::protocol::repair::{Patience, VoiceKeeper, VoiceMender};
use crate::wire::repair::{PT_REPEATS, RepairRequest};
use crate::wire::rtp;

const SSRC: u32 = 7;
const SECONDS: u64 = 120;
/// Gaps are counted from here on: the first losses are not known to be many.
const SETTLED_MS: u64 = 10_000;
/// No packet is sent again later than so: what an outage that is longer leaves is its own length less the delay.
const BRIDGED_MS: u64 = 320;
/// Such an outage ended so shortly before.
const BEHIND_MS: u64 = 100;
const SEEDS: u64 = 10;

/// Something under way.
enum Mail {
    Packet(Vec<u8>),
    Repeats(Vec<u8>),
    Request(RepairRequest),
}

struct World {
    /// Whether the next moment is bad, or the next datagram lost.
    bad: Box<dyn FnMut() -> bool>,
    /// Length of a moment; `None`: there are none, each datagram is lost by itself.
    moment_ms: Option<u64>,
    is_bad: bool,
    /// When it became so.
    since: u64,
    /// The end of the last outage that is not to be bridged, and how many there were.
    outage: Option<u64>,
    outages: usize,
    /// Arrival in ms.
    mail: Vec<(u64, Mail)>,
}

impl World {
    fn new(moment_ms: Option<u64>, bad: Box<dyn FnMut() -> bool>) -> Self {
        Self { bad, moment_ms, is_bad: false, since: 0, outage: None, outages: 0, mail: Vec::new() }
    }

    fn pass(&mut self, ms: u64) {
        if !self.moment_ms.is_some_and(|moment| ms.is_multiple_of(moment)) {
            return;
        }
        let was = std::mem::replace(&mut self.is_bad, (self.bad)());
        if was && !self.is_bad && ms - self.since > BRIDGED_MS && ms > SETTLED_MS {
            self.outage = Some(ms);
            self.outages += 1;
        }
        if was != self.is_bad {
            self.since = ms;
        }
    }

    /// What is sent in a bad moment is lost, all of it.
    fn send(&mut self, ms: u64, mail: Mail) {
        let lost = if self.moment_ms.is_some() { self.is_bad } else { (self.bad)() };
        if !lost {
            self.mail.push((ms + 1, mail));
        }
    }
}

#[derive(Debug, Default)]
struct Outcome {
    /// Made up or missing without a break, in ms, each.
    gaps: Vec<u64>,
    concealed_ms: u64,
    /// Mean over the time, in ms.
    buffer_ms: f32,
    /// Datagrams sent per packet of the voice.
    sent: f32,
    /// Requests a minute.
    asked: f32,
    /// Time put in by playing slower, of all, in percent.
    slower: f32,
    /// Outages beyond [`BRIDGED_MS`].
    outages: usize,
}

impl Outcome {
    fn longer(&self, ms: u64) -> usize {
        self.gaps.iter().filter(|gap| **gap > ms).count()
    }

    fn longest(&self) -> u64 {
        self.gaps.iter().copied().max().unwrap_or(0)
    }
}

fn packet(n: u64) -> Vec<u8> {
    let (sequence, timestamp) = (n as u16, (n as u32).wrapping_mul(960));
    let mut bytes = Vec::new();
    rtp::Header { marker: false, payload_type: rtp::PT_OPUS, sequence, timestamp, ssrc: SSRC }.write(&mut bytes);
    bytes.extend([1; 80]);
    bytes
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_000 + ms)
}

struct Listener {
    buffer: JitterBuffer,
    mender: VoiceMender,
    held: f64,
    gap: f64,
    began: bool,
}

impl Listener {
    fn take(&mut self, ms: u64, bytes: &[u8], again: bool) {
        let parsed = rtp::Packet::parse(bytes).expect("own packet");
        let rtp::Header { ssrc, sequence, timestamp, .. } = parsed.header;
        if !again {
            self.mender.packet(at(ms), &parsed.header);
        }
        self.buffer.insert(
            at(ms),
            Incoming { ssrc, sequence, timestamp, marker: false, again, samples: 960, payload: parsed.payload },
        );
    }

    /// Plays 5 ms; `outage` is when the last one ended that is not to be bridged.
    fn mix(&mut self, ms: u64, outage: Option<u64>, out: &mut Outcome) {
        let need = 240.0 * self.buffer.speed();
        while self.held < need {
            let (samples, heard) = match self.buffer.pull(at(ms), (self.held - need) as i64) {
                Verdict::Packet(_) => (960.0, true),
                Verdict::Fec { samples, .. } => (samples as f64, true),
                Verdict::Conceal { samples } | Verdict::Noise { samples } => (samples as f64, false),
                Verdict::Empty => (need - self.held, false),
            };
            self.held += samples;
            self.began |= heard;
            if !heard {
                self.gap += samples;
                continue;
            }
            let gap = std::mem::take(&mut self.gap) as u64 / 48;
            let bridged = outage.is_none_or(|end| ms > end + BEHIND_MS);
            if gap > 0 && self.began && ms > SETTLED_MS && bridged {
                out.gaps.push(gap);
            }
            while let Some(wish) = self.buffer.wish() {
                let samples = PERIOD.min(wish.most);
                if samples < 120 || self.held <= (samples + 120) as f64 {
                    break;
                }
                self.held += if wish.shorten { -(samples as f64) } else { samples as f64 };
                self.buffer.cut(wish.shorten, samples);
            }
        }
        self.held -= need;
    }
}

fn simulate(mut world: World, repairs: bool) -> Outcome {
    let (mut keeper, mut payload) = (VoiceKeeper::new(SSRC), Vec::new());
    let mender = VoiceMender::new(Patience::WIRED, repairs, 1);
    let mut listener = Listener { buffer: JitterBuffer::new(), mender, held: 0.0, gap: 0.0, began: false };
    let (mut out, mut sent, mut delay) = (Outcome::default(), 0u64, 0.0);
    for ms in 0..SECONDS * 1_000 {
        world.pass(ms);
        if ms % 20 == 0 {
            let bytes = packet(ms / 20);
            sent += 1;
            if keeper.keep(at(ms), &bytes, &mut payload) {
                sent += 1;
                world.send(ms, Mail::Repeats(payload.clone()));
            }
            world.send(ms, Mail::Packet(bytes));
        }
        let (due, later) = std::mem::take(&mut world.mail).into_iter().partition(|(arrival, _)| *arrival <= ms);
        world.mail = later;
        for (_, mail) in due {
            match mail {
                Mail::Packet(bytes) => listener.take(ms, &bytes, false),
                Mail::Repeats(payload) => {
                    let header = rtp::Header { payload_type: PT_REPEATS, ..rtp::Header::default() };
                    let mut again = Vec::new();
                    let packet = rtp::Packet { header, extension: None, payload: &payload };
                    listener.mender.repeats(&packet, &mut |bytes| again.push(bytes.to_vec()));
                    again.iter().for_each(|bytes| listener.take(ms, bytes, true));
                }
                Mail::Request(request) => {
                    keeper.ask(at(ms), &request, &mut payload, |repeats| {
                        sent += 1;
                        world.send(ms, Mail::Repeats(repeats.to_vec()));
                    });
                }
            }
        }
        if listener.mender.next_timeout().is_some_and(|due| due <= at(ms)) {
            let mut asked = Vec::new();
            listener.mender.settle(at(ms), |request| asked.push(request));
            asked.into_iter().for_each(|request| world.send(ms, Mail::Request(request)));
        }
        if ms % 5 == 0 {
            listener.mix(ms, world.outage, &mut out);
            delay += f64::from(listener.buffer.buffer_ms());
        }
    }
    (out.outages, out.asked) = (world.outages, listener.mender.asked() as f32 * 60.0 / SECONDS as f32);
    out.slower = listener.buffer.counters().expanded_samples as f32 / (480 * SECONDS) as f32;
    out.concealed_ms = listener.buffer.counters().concealed_samples / 48;
    out.buffer_ms = (delay / (SECONDS * 200) as f64) as f32;
    out.sent = sent as f32 / (SECONDS * 50) as f32;
    out
}

/// Bad for `mean` moments of `moment_ms` in a row on average, and for a tenth of the time.
fn moments(mean: u64, moment_ms: u64, seed: u64) -> World {
    let (mut random, mut bad) = (Random::new(seed), false);
    World::new(
        Some(moment_ms),
        Box::new(move || {
            bad = if bad { random.below(mean) > 0 } else { random.below(9 * mean) == 0 };
            bad
        }),
    )
}

fn moments_by_themselves(seed: u64) -> World {
    let mut random = Random::new(seed);
    World::new(Some(20), Box::new(move || random.below(10) == 0))
}

fn each_by_itself(seed: u64) -> World {
    let mut random = Random::new(seed);
    World::new(None, Box::new(move || random.below(10) == 0))
}

/// A network, and what it may cost in twenty minutes.
struct Row {
    name: &'static str,
    network: fn(u64) -> World,
    repairs: bool,
    /// Gaps longer than 60 ms, those of outages beyond [`BRIDGED_MS`] not counted.
    gaps: std::ops::RangeInclusive<usize>,
    /// Longest of them, in ms.
    longest_ms: u64,
    concealed_ms: u64,
    buffer_ms: f32,
}

/// What is left is an outage longer than all of the half minute before it, and than what is there lasts when it is played
/// slower: one in ten minutes.
fn rows() -> Vec<Row> {
    vec![
        row("10 %, each by itself", each_by_itself, 0, (20, 400, 55.0)),
        row("10 % of moments", moments_by_themselves, 0, (20, 1_000, 75.0)),
        row("10 % in runs of 2", |seed| moments(2, 20, seed), 2, (80, 1_500, 175.0)),
        row("10 % in outages of 40 ms", |seed| moments(40, 1, seed), 2, (140, 2_000, 210.0)),
        row("10 % in runs of 3", |seed| moments(3, 20, seed), 3, (120, 3_000, 250.0)),
        row("10 % in outages of 60 ms", |seed| moments(60, 1, seed), 2, (100, 3_000, 270.0)),
        // What it would be without.
        Row {
            repairs: false,
            gaps: 300..=usize::MAX,
            ..row("10 % in runs of 3, nothing sent again", |seed| moments(3, 20, seed), 0, (1_000, 100_000, 60.0))
        },
    ]
}

fn row(name: &'static str, network: fn(u64) -> World, gaps: usize, cost: (u64, u64, f32)) -> Row {
    let (longest_ms, concealed_ms, buffer_ms) = cost;
    Row { name, network, repairs: true, gaps: 0..=gaps, longest_ms, concealed_ms, buffer_ms }
}

#[test]
fn gaps_stay_below_sixty_milliseconds_while_one_packet_in_ten_is_lost() {
    let mut wrong = Vec::new();
    for row in rows() {
        let of: Vec<_> =
            (1..=SEEDS).map(|seed| simulate((row.network)(seed * 0x1234_5678_9abc), row.repairs)).collect();
        let sum = |f: fn(&Outcome) -> usize| of.iter().map(f).sum::<usize>();
        let mean = |f: fn(&Outcome) -> f32| of.iter().map(f).sum::<f32>() / of.len() as f32;
        let (gaps, outages) = (sum(|o| o.longer(60)), sum(|o| o.outages));
        let longest = of.iter().map(Outcome::longest).max().unwrap_or(0);
        let concealed = of.iter().map(|o| o.concealed_ms).sum::<u64>();
        let (buffer, slower) = (mean(|o| o.buffer_ms), mean(|o| o.slower));
        let figures = format!(
            "{:38} {gaps} gaps > 60 ms in {} s, longest {longest} ms, beside {outages} outages > {BRIDGED_MS} ms; {concealed} ms made up; buffer {buffer:.0} ms; {slower:.1} % put in; {:.2} datagrams a packet, {:.0} requests a minute",
            row.name,
            of.len() as u64 * SECONDS,
            mean(|o| o.sent),
            mean(|o| o.asked),
        );
        let kept = row.gaps.contains(&gaps) && longest <= row.longest_ms && concealed <= row.concealed_ms;
        if !(kept && buffer <= row.buffer_ms) {
            wrong.push(figures);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
