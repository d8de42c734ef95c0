//! A working day in simulated time: the clocks drift apart, the delay does not, and a tone stays one.

use std::f64::consts::TAU;

use crate::media::resample::Stretcher;
use crate::media::tempo::Tempo;
use crate::protocol::jitter::{Incoming, JitterBuffer, Verdict};
use crate::time::Timestamp;

use super::STEP;

const MS: u64 = 1_000_000;
const HOURS: u64 = 8;
/// Tones are listened to for so many seconds: from the first second on, one after the other from the tenth to the last of
/// these, and each half hour.
const LISTEN_S: u64 = 4;
const SETTLING_S: std::ops::Range<u64> = 10..310;
const TONE_HZ: f64 = 1_000.0;

/// Signal to all else, in dB, of the best fitting sine of one frequency near this one.
fn purity_db(samples: &[f32], near_hz: f64) -> f64 {
    // The frequency by the phases of both halves, then amplitude and phase by projection.
    let fit = |part: &[f32], first: usize, hz: f64| {
        let (mut c, mut s) = (0.0, 0.0);
        for (i, x) in part.iter().enumerate() {
            let phase = TAU * hz * (first + i) as f64 / 48_000.0;
            c += f64::from(*x) * phase.cos();
            s += f64::from(*x) * phase.sin();
        }
        (2.0 * c / part.len() as f64, 2.0 * s / part.len() as f64)
    };
    let half = samples.len() / 2;
    let mut hz = near_hz;
    for _ in 0..4 {
        let (a, b) = (fit(&samples[..half], 0, hz), fit(&samples[half..], half, hz));
        let turn = (a.1.atan2(a.0) - b.1.atan2(b.0) + TAU * 1.5).rem_euclid(TAU) - TAU / 2.0;
        hz += turn / TAU * 48_000.0 / half as f64;
    }
    let (c, s) = fit(samples, 0, hz);
    let rest: f64 = samples
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let phase = TAU * hz * i as f64 / 48_000.0;
            (f64::from(*x) - c * phase.cos() - s * phase.sin()).powi(2)
        })
        .sum();
    10.0 * ((c * c + s * s) / 2.0 * samples.len() as f64 / rest.max(1e-12)).log10()
}

/// The tone from sample `first` on; times within a second, so that the phase is exact after hours.
fn sine(first: u64, samples: usize) -> impl Iterator<Item = f32> {
    (first..first + samples as u64).map(|i| (0.5 * (TAU * TONE_HZ * (i % 48_000) as f64 / 48_000.0).sin()) as f32)
}

/// What is heard of a day.
struct Day {
    /// Smallest and largest mean time in the buffer after the first minute, in ms.
    buffer: (f32, f32),
    /// The tone of the first seconds, piece by piece of 100 ms; the worst of [`SETTLING_S`]; and the worst of all later ones.
    first_db: f64,
    settling_db: f64,
    purity_db: f64,
    concealed_ms: u64,
    /// Cuts of the first minute, and after it.
    cuts: (u64, u64),
    drift_ppm: f32,
}

/// When a tone that is listened to begins, as far as this second is within one.
fn listening_since(second: u64) -> Option<u64> {
    let begins = match second {
        0..10 => 1,
        _ if SETTLING_S.contains(&second) => second - (second - SETTLING_S.start) % LISTEN_S,
        // Twenty minutes into each half hour.
        _ => second / 1_800 * 1_800 + 1_200,
    };
    (begins..begins + LISTEN_S).contains(&second).then_some(begins)
}

/// A tone while it is listened to.
struct Tone {
    since: u64,
    stretcher: Stretcher,
    waiting: Tempo,
    heard: Vec<f32>,
}

/// A sender whose clock is `ppm` fast, over a network that takes 0.3 to 2.3 ms, into the buffer and the resampler.
struct Talk {
    ppm: i64,
    now: u64,
    sent: u64,
    arrival: u64,
    random: u64,
    buffer: JitterBuffer,
    /// What is decoded and not played, in samples, and what was decoded.
    held: f64,
    spoken: u64,
    tone: Option<Tone>,
}

const START: u64 = 1_000 * MS;

impl Talk {
    fn new(ppm: i64, seed: u64) -> Self {
        let buffer = JitterBuffer::new();
        Self { ppm, now: START, sent: 0, arrival: START, random: seed, buffer, held: 0.0, spoken: 0, tone: None }
    }

    fn arrive(&mut self) {
        let interval = (20 * MS) as i64 - 20 * self.ppm;
        while self.arrival <= self.now {
            let packet = Incoming {
                ssrc: 1,
                sequence: self.sent as u16,
                timestamp: self.sent.wrapping_mul(960) as u32,
                marker: false,
                again: false,
                samples: 960,
                payload: &[1, 2, 3],
            };
            self.buffer.insert(Timestamp(self.arrival), packet);
            self.sent += 1;
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.arrival = START + self.sent * interval as u64 + 300_000 + (self.random >> 33) % (2 * MS);
        }
    }

    /// Listens to the tone that begins `since`, or to none; what was heard of the one before.
    fn listen(&mut self, since: Option<u64>) -> Option<(u64, Vec<f32>)> {
        if self.tone.as_ref().map(|tone| tone.since) == since {
            return None;
        }
        let before = self.tone.take().map(|tone| (tone.since, tone.heard));
        if let Some(since) = since {
            self.held = self.held.floor();
            let mut waiting = Tempo::new(2_000);
            waiting.push(&sine(self.spoken - self.held as u64, self.held as usize).collect::<Vec<_>>());
            let stretcher = Stretcher::new(STEP).expect("a step");
            self.tone = Some(Tone { since, stretcher, waiting, heard: Vec::new() });
        }
        before
    }

    /// Decodes what `need` samples lack, the first of which are played `later` than now.
    fn decode(&mut self, need: f64, later: i64) {
        while self.held < need {
            let samples = match self.buffer.pull(Timestamp(self.now), self.held as i64 + later - 480) {
                Verdict::Packet(_) => 960,
                Verdict::Fec { samples, .. } | Verdict::Conceal { samples } | Verdict::Noise { samples } => samples,
                Verdict::Empty => {
                    self.held = need;
                    break;
                }
            };
            if let Some(tone) = &mut self.tone {
                tone.waiting.push(&sine(self.spoken, samples).collect::<Vec<_>>());
            }
            self.spoken += samples as u64;
            self.held += samples as f64;
        }
    }

    fn cut(&mut self) {
        let Some(wish) = self.buffer.wish().filter(|wish| wish.most >= 120 && self.held >= 240.0) else { return };
        let cut = match &mut self.tone {
            None => Some(120),
            Some(tone) if wish.shorten => tone.waiting.shorten(wish.likeness, wish.most),
            Some(tone) => tone.waiting.lengthen(wish.likeness, wish.most),
        };
        if let Some(samples) = cut {
            self.buffer.cut(wish.shorten, samples);
            self.held += samples as f64 * if wish.shorten { -1.0 } else { 1.0 };
        }
    }

    /// Plays 10 ms.
    fn play(&mut self) {
        let speed = self.buffer.speed();
        for mixed in 0..480 / STEP {
            let need = self.tone.as_ref().map_or(STEP as f64 * speed, |tone| tone.stretcher.needed() as f64);
            self.decode(need, (mixed * STEP) as i64);
            self.cut();
            let used = match &mut self.tone {
                Some(tone) => {
                    let mut out = [0.0; STEP];
                    tone.stretcher.set_speed(speed).expect("in range");
                    let used = tone.stretcher.process(tone.waiting.waiting(), &mut out).expect("in range");
                    tone.waiting.play(used);
                    tone.heard.extend_from_slice(&out);
                    used as f64
                }
                None => need,
            };
            self.held -= used;
        }
        self.now += 10 * MS;
    }
}

/// Talks for so many seconds.
fn talk(ppm: i64, seed: u64, seconds: u64) -> Day {
    let mut talk = Talk::new(ppm, seed);
    let tone_hz = TONE_HZ * (1.0 + ppm as f64 / 1e6);
    let (mut buffer, mut cuts) = ((f32::MAX, 0.0f32), (0, 0));
    let [mut first_db, mut settling_db, mut purity_db] = [f64::MAX; 3];
    for step in 0..seconds * 100 {
        talk.arrive();
        let second = step / 100;
        if let Some((since, heard)) = talk.listen(listening_since(second)) {
            // A tenth of a second for the resampler to begin.
            let heard = &heard[4_800..];
            if since < SETTLING_S.start {
                first_db =
                    heard.chunks_exact(4_800).map(|piece| self::purity_db(piece, tone_hz)).fold(first_db, f64::min);
            } else {
                let worst = if SETTLING_S.contains(&since) { &mut settling_db } else { &mut purity_db };
                *worst = worst.min(self::purity_db(heard, tone_hz));
            }
        }
        talk.play();
        let counters = talk.buffer.counters();
        let all = counters.accelerated + counters.expanded;
        if second < 60 {
            cuts.0 = all;
        } else {
            cuts.1 = all - cuts.0;
            let ms = talk.buffer.buffer_ms();
            buffer = (buffer.0.min(ms), buffer.1.max(ms));
        }
    }
    let concealed_ms = talk.buffer.counters().concealed_samples / 48;
    let drift_ppm = talk.buffer.drift_ppm();
    Day { buffer, first_db, settling_db, purity_db, concealed_ms, cuts, drift_ppm }
}

#[test]
fn eight_hours_of_drift_leave_the_delay_flat_and_a_tone_pure() {
    for ppm in [-300, 300] {
        let d = talk(ppm, 1, HOURS * 3_600);
        println!(
            "{ppm:+} ppm: buffer {:.2}..{:.2} ms, tone at first {:.1} dB, from 10 s on {:.1} dB, after 5 min {:.1} dB, concealed {} ms, {:?} cuts, drift found {:+.1} ppm",
            d.buffer.0, d.buffer.1, d.first_db, d.settling_db, d.purity_db, d.concealed_ms, d.cuts, d.drift_ppm
        );
        assert!(d.buffer.1 - d.buffer.0 < 10.0, "{:?}", d.buffer);
        assert!(d.purity_db >= 40.0 && d.settling_db >= 40.0, "{} dB, {} dB", d.settling_db, d.purity_db);
        // The drift is being learnt: the pitch still moves, by less than a part in ten thousand in a tenth of a second.
        assert!(d.first_db >= 40.0, "{} dB at first", d.first_db);
        assert_eq!(d.cuts.1, 0, "cuts after the first minute");
        assert!((d.drift_ppm - ppm as f32).abs() < 15.0, "{}", d.drift_ppm);
        assert!(d.concealed_ms <= 200, "{} ms in {HOURS} h", d.concealed_ms);
    }
}

#[test]
fn from_the_tenth_second_on_a_tone_is_pure_whatever_the_drift() {
    for (ppm, seed) in [(-500, 2), (-100, 3), (0, 4), (0, 5), (50, 6), (300, 7), (-300, 8), (500, 9)] {
        let d = talk(ppm, seed, SETTLING_S.end + 1);
        println!(
            "{ppm:+} ppm: {:.1} dB, buffer {:.1}..{:.1} ms, cuts {:?}, {:+.1} ppm",
            d.settling_db, d.buffer.0, d.buffer.1, d.cuts, d.drift_ppm
        );
        assert!(d.settling_db >= 40.0, "{ppm} ppm: {} dB", d.settling_db);
        assert!(d.buffer.1 - d.buffer.0 < 10.0, "{ppm} ppm: {:?}", d.buffer);
    }
}
