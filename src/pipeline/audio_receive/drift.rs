//! A working day in simulated time: the clocks drift apart, the delay does not, and a tone stays one.

use std::f64::consts::TAU;

use crate::media::resample::Stretcher;
use crate::media::tempo::Tempo;
use crate::protocol::jitter::{Incoming, JitterBuffer, Verdict};
use crate::time::Timestamp;

use super::STEP;

const MS: u64 = 1_000_000;
const HOURS: u64 = 8;
/// Tones are listened to for so many seconds: from the first second on, after a minute, and each half hour.
const LISTEN_S: u64 = 4;
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

struct Day {
    /// Smallest and largest mean time in the buffer after the first minute, in ms.
    buffer: (f32, f32),
    /// The tone of the first seconds, piece by piece of 100 ms; after a minute; and the worst of all later ones, as one.
    first_db: f64,
    minute_db: f64,
    purity_db: f64,
    concealed: u64,
    /// Cuts of the first minute, and after it.
    cuts: (u64, u64),
    drift_ppm: f32,
}

/// A sender whose clock is `ppm` fast, over a network that takes 0.3 to 2.3 ms, into the buffer and the resampler.
fn day(ppm: i64) -> Day {
    let mut buffer = JitterBuffer::new();
    let (first_db, purity_db_worst) = (f64::MAX, f64::MAX);
    let mut day = Day {
        buffer: (f32::MAX, 0.0),
        first_db,
        minute_db: 0.0,
        purity_db: purity_db_worst,
        concealed: 0,
        cuts: (0, 0),
        drift_ppm: 0.0,
    };
    let tone_hz = TONE_HZ * (1.0 + ppm as f64 / 1e6);
    let interval = (20 * MS) as i64 - 20 * ppm;
    let (start, mut sent, mut random) = (1_000 * MS, 0u64, 1u64);
    let (mut held, mut spoken) = (0.0f64, 0u64);
    let mut tone: Option<(Stretcher, Tempo, Vec<f32>)> = None;
    let mut arrival = start;
    for step in 0..HOURS * 3_600 * 100 {
        let now = start + step * 10 * MS;
        while arrival <= now {
            let packet = Incoming {
                ssrc: 1,
                sequence: sent as u16,
                timestamp: sent.wrapping_mul(960) as u32,
                marker: false,
                again: false,
                samples: 960,
                payload: &[1, 2, 3],
            };
            buffer.insert(Timestamp(arrival), packet);
            sent += 1;
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            arrival = start + sent * interval as u64 + 300_000 + (random >> 33) % (2 * MS);
        }
        let within = match step {
            0..6_000 => step.wrapping_sub(100),
            6_000..12_000 => step - 6_000,
            // Twenty minutes into each half hour.
            _ => (step % 180_000).wrapping_sub(120_000),
        };
        if within == 0 {
            held = held.floor();
            let mut waiting = Tempo::new(2_000);
            waiting.push(&sine(spoken - held as u64, held as usize).collect::<Vec<_>>());
            tone = Some((Stretcher::new(STEP).expect("a step"), waiting, Vec::new()));
        } else if within == LISTEN_S * 100 {
            let (_, _, heard) = tone.take().expect("begun");
            // A tenth of a second for the resampler to begin.
            let heard = &heard[4_800..];
            if step < 6_000 {
                day.first_db = heard.chunks_exact(4_800).map(|p| purity_db(p, tone_hz)).fold(f64::MAX, f64::min);
            } else if step < 12_000 {
                day.minute_db = purity_db(heard, tone_hz);
            } else {
                day.purity_db = day.purity_db.min(purity_db(heard, tone_hz));
            }
        }
        let speed = buffer.speed();
        for mixed in 0..480 / STEP {
            let need = match &tone {
                Some((stretcher, ..)) => stretcher.needed() as f64,
                None => STEP as f64 * speed,
            };
            while held < need {
                let samples = match buffer.pull(Timestamp(now), held as i64 + (mixed * STEP) as i64 - 480) {
                    Verdict::Packet(_) => 960,
                    Verdict::Fec { samples, .. } | Verdict::Conceal { samples } | Verdict::Noise { samples } => samples,
                    Verdict::Empty => {
                        held = need;
                        break;
                    }
                };
                if let Some((_, waiting, _)) = &mut tone {
                    waiting.push(&sine(spoken, samples).collect::<Vec<_>>());
                }
                spoken += samples as u64;
                held += samples as f64;
            }
            if let Some(wish) = buffer.wish().filter(|wish| wish.most >= 120 && held >= 240.0) {
                let cut = match &mut tone {
                    None => Some(120),
                    Some((_, waiting, _)) if wish.shorten => waiting.shorten(wish.likeness, wish.most),
                    Some((_, waiting, _)) => waiting.lengthen(wish.likeness, wish.most),
                };
                if let Some(samples) = cut {
                    buffer.cut(wish.shorten, samples);
                    held += samples as f64 * if wish.shorten { -1.0 } else { 1.0 };
                }
            }
            match &mut tone {
                Some((stretcher, waiting, heard)) => {
                    let mut out = [0.0; STEP];
                    stretcher.set_speed(speed).expect("in range");
                    let used = stretcher.process(waiting.waiting(), &mut out).expect("in range");
                    waiting.play(used);
                    heard.extend_from_slice(&out);
                    held -= used as f64;
                }
                None => held -= need,
            }
        }
        let cuts = buffer.counters().accelerated + buffer.counters().expanded;
        if step == 6_000 {
            day.cuts.0 = cuts;
        }
        day.cuts.1 = cuts - day.cuts.0;
        if step > 6_000 {
            day.buffer = (day.buffer.0.min(buffer.buffer_ms()), day.buffer.1.max(buffer.buffer_ms()));
        }
    }
    day.concealed = buffer.counters().concealed_samples / 48;
    day.drift_ppm = buffer.drift_ppm();
    day
}

#[test]
fn eight_hours_of_drift_leave_the_delay_flat_and_a_tone_pure() {
    for ppm in [-300, 300] {
        let d = day(ppm);
        println!(
            "{ppm:+} ppm: buffer {:.2}..{:.2} ms, tone at first {:.1} dB, after a minute {:.1} dB, then {:.1} dB, concealed {} ms, {:?} cuts, drift found {:+.1} ppm",
            d.buffer.0, d.buffer.1, d.first_db, d.minute_db, d.purity_db, d.concealed, d.cuts, d.drift_ppm
        );
        assert!(d.buffer.1 - d.buffer.0 < 10.0, "{:?}", d.buffer);
        assert!(d.purity_db >= 40.0, "{} dB", d.purity_db);
        // The drift is being learnt: the pitch still moves, by less than a part in ten thousand.
        assert!(d.first_db >= 40.0 && d.minute_db >= 34.0, "{} dB at first, {} dB then", d.first_db, d.minute_db);
        assert_eq!(d.cuts.1, 0, "cuts after the first minute");
        assert!((d.drift_ppm - ppm as f32).abs() < 15.0, "{}", d.drift_ppm);
        assert!(d.concealed <= 200, "{} ms in {HOURS} h", d.concealed);
    }
}
