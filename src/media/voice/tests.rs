//! Rooms made of numbers, and what is left of their echo and noise.
//!
//! The people in them speak through espeak-ng; where it is not installed, the tests are skipped with a message.

mod residue;
mod rooms;

use std::process::Command;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

use super::*;
use crate::media::wav::WavLoop;

pub(crate) const FAR: &str = "The quick brown fox jumps over the lazy dog while seven wizards quietly mix the evening potion. \
     Nobody at the other end of the line should ever hear these words come back to them.";
const NEAR: &str = "Good morning everybody, my name is Ada and I have a question about the second page of the report, \
     which I read on the train this morning with great interest.";

/// `seconds` of somebody who says `text` again and again, at -20 dBFS while they speak; `None` where nobody can speak.
pub(crate) fn speech(text: &str, voice: &str, seconds: usize) -> Option<Vec<f32>> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("said.wav");
    let said = Command::new("espeak-ng").args(["-v", voice, "-w"]).arg(&path).arg(text).status();
    if !said.is_ok_and(|s| s.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "espeak-ng is not installed");
        println!("SKIPPED: espeak-ng is not installed");
        return None;
    }
    let length = std::fs::metadata(&path).expect("what was said").len() as usize / 2;
    let mut said = vec![0.0; length * 48_000 / 22_050 / BLOCK * BLOCK];
    WavLoop::open(&path).expect("a WAV file").read(&mut said).expect("samples");
    let level = level_dbfs(&said.iter().copied().filter(|s| s.abs() > 0.01).collect::<Vec<_>>());
    let gain = 10f32.powf((-20.0 - level) / 20.0);
    said.iter_mut().for_each(|s| *s *= gain);
    Some(said.into_iter().cycle().take(seconds * RATE as usize).collect())
}

/// White noise at `dbfs`.
fn noise(seconds: usize, dbfs: f32) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut unit = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let amplitude = 10f32.powf(dbfs / 20.0) * 3f32.sqrt();
    (0..seconds * RATE as usize).map(|_| amplitude * unit()).collect()
}

/// A fan: noise that falls by 6 dB an octave from 200 Hz on.
fn fan(seconds: usize, dbfs: f32) -> Vec<f32> {
    let mut last = 0.0;
    let mut fan: Vec<f32> = noise(seconds, 0.0)
        .iter()
        .map(|s| {
            last += 0.026 * (s - last);
            last
        })
        .collect();
    let gain = 10f32.powf((dbfs - level_dbfs(&fan)) / 20.0);
    fan.iter_mut().for_each(|s| *s *= gain);
    fan
}

/// A room: the direct way after `delay_ms`, and a tail that falls by 60 dB in `reverberation_ms`, with `tail` as much
/// amplitude as usual beside a laptop, where speaker and microphone are close.
pub(crate) fn room(delay_ms: usize, reverberation_ms: usize, tail: f32) -> Vec<f32> {
    let per_ms = RATE as usize / 1_000;
    let mut response = vec![0.0; (delay_ms + reverberation_ms) * per_ms];
    let wave = noise(1, -40.0);
    for (i, r) in response[delay_ms * per_ms..].iter_mut().enumerate() {
        let fallen = -3.0 * i as f32 / (reverberation_ms * per_ms) as f32;
        *r = if i == 0 { 0.5 } else { tail * wave[i] * 10f32.powf(fallen) };
    }
    response
}

pub(crate) fn convolved(samples: &[f32], response: &[f32]) -> Vec<f32> {
    let length = (samples.len() + response.len()).next_power_of_two();
    let mut planner = FftPlanner::new();
    let (forward, backward) = (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
    let spectrum = |samples: &[f32]| {
        let mut all: Vec<Complex32> = samples.iter().map(|s| Complex32::new(*s, 0.0)).collect();
        all.resize(length, Complex32::default());
        forward.process(&mut all);
        all
    };
    let mut product: Vec<Complex32> =
        spectrum(samples).iter().zip(spectrum(response)).map(|(a, b)| a * b / length as f32).collect();
    backward.process(&mut product);
    product[..samples.len()].iter().map(|s| s.re).collect()
}

fn added(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// All of `captured` through a processor, and what it found out.
fn processed(settings: Settings, heard: &[f32], captured: &[f32]) -> (Vec<f32>, Figures) {
    let mut processor = Processor::new(settings);
    let out = through(&mut processor, heard, captured);
    (out, processor.figures())
}

/// The same, but what is left over stays as loud as it is.
fn unlowered(settings: Settings, heard: &[f32], captured: &[f32]) -> Vec<f32> {
    let mut processor = Processor::new(settings);
    processor.residue = None;
    through(&mut processor, heard, captured)
}

fn through(processor: &mut Processor, heard: &[f32], captured: &[f32]) -> Vec<f32> {
    let mut out = captured[..captured.len() / BLOCK * BLOCK].to_vec();
    for (captured, heard) in out.chunks_exact_mut(BLOCK).zip(heard.chunks_exact(BLOCK)) {
        processor.process(heard, captured);
    }
    out
}

fn from_second(samples: &[f32], second: usize) -> &[f32] {
    &samples[second * RATE as usize..]
}

/// The highest correlation of `b` with `a` when it is up to 20 ms late, and how late.
fn correlation(a: &[f32], b: &[f32]) -> (f32, usize) {
    let best = |late: usize| {
        let (x, y) = (&a[..a.len() - late], &b[late..]);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).step_by(7).map(|(x, y)| x * y).sum::<f32>();
        (dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(f32::MIN_POSITIVE), late)
    };
    (0..960).step_by(4).map(best).max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are some")
}

/// How alike the loudness of `a` and `b` moves, in steps of 20 ms, the latter `late` samples later.
fn likeness(a: &[f32], b: &[f32], late: usize) -> f32 {
    let levels = |s: &[f32]| s.chunks_exact(2 * BLOCK).map(|c| level_dbfs(c).max(-60.0)).collect::<Vec<_>>();
    let (a, b) = (levels(&a[..a.len() - late]), levels(&b[late..]));
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let (ma, mb) = (mean(&a), mean(&b));
    let sum = |f: &dyn Fn(f32, f32) -> f32| a.iter().zip(&b).map(|(x, y)| f(x - ma, y - mb)).sum::<f32>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

const ECHO: Settings = Settings { echo: true, ..Settings::NONE };
const NOISE: Settings = Settings { noise: true, ..Settings::NONE };
const GAIN: Settings = Settings { gain: true, ..Settings::NONE };

#[test]
fn who_speaks_here_is_heard_while_the_other_speaks_too() {
    let Some(far) = speech(FAR, "en", 9) else { return };
    let Some(mut near) = speech(NEAR, "en+f3", 9) else { return };
    // First the canceller learns the room.
    near[..3 * RATE as usize].fill(0.0);
    // The filters shift the phase: what they do to a voice alone is the measure.
    let (alone, _) = processed(Settings::ALL, &vec![0.0; near.len()], &near);
    for (what, response, loud) in [
        ("a room", room(40, 150, 1.0), 1.0),
        ("a hard room", room(60, 200, 2.0), 1.0),
        ("louder than who speaks here", room(40, 150, 1.0), 2.5),
    ] {
        let mut echo = convolved(&far, &response);
        echo.iter_mut().for_each(|s| *s = (*s * loud).clamp(-0.7, 0.7));
        let both = added(&echo, &near);
        let measured = |out: &[f32]| {
            let (near, out) = (from_second(&near, 3), from_second(out, 3));
            let (wave, late) = correlation(near, out);
            (level_dbfs(out) - level_dbfs(near), wave, likeness(near, out, late), late)
        };
        let (level, wave, like, late) = measured(&processed(Settings::ALL, &far, &both).0);
        let (_, wave_before, like_before, _) = measured(&unlowered(Settings::ALL, &far, &both));
        let undisturbed = correlation(from_second(&near, 3), from_second(&alone, 3)).0;
        println!(
            "both speak, {what}, echo {:+.1} dB beside the voice: level {level:+.1} dB, correlation {wave:.3} (alone \
             {undisturbed:.2}, before the residue is lowered {wave_before:.3}), of loudness {like:.2} ({like_before:.2}), \
             {:.1} ms late",
            level_dbfs(from_second(&echo, 3)) - level_dbfs(from_second(&near, 3)),
            late as f32 / 48.0
        );
        assert!(level.abs() <= 6.0, "{level} dB");
        assert!(wave > 0.7 * undisturbed && like > 0.5, "{wave} of {undisturbed}, {like}");
        assert!(wave > wave_before - 0.02 && like > like_before - 0.04, "the voice is lowered with the residue");
    }
}

#[test]
fn noise_falls_by_twenty_decibels_and_the_voice_stays() {
    let Some(mut near) = speech(NEAR, "en+f3", 10) else { return };
    let (pause, end) = (7 * RATE as usize, 9 * RATE as usize);
    near[pause..end].fill(0.0);
    let level = level_dbfs(&near[..pause]);
    let (alone, _) = processed(NOISE, &near, &near);
    for (what, noise) in [("a fan", fan(10, level - 10.0)), ("white noise", noise(10, level - 10.0))] {
        let (out, figures) = processed(NOISE, &noise, &added(&near, &noise));
        let rest = pause + RATE as usize / 2..end;
        let fallen = level_dbfs(&noise[rest.clone()]) - level_dbfs(&out[rest]);
        let voice = 2 * RATE as usize..pause;
        let (like, undisturbed) = (
            correlation(&near[voice.clone()], &out[voice.clone()]).0,
            correlation(&near[voice.clone()], &alone[voice.clone()]).0,
        );
        let kept = level_dbfs(&out[voice.clone()]) - level_dbfs(&near[voice]);
        println!(
            "{what} at 10 dB: {fallen:.2} dB softer; voice {kept:+.1} dB, correlation {like:.2} (alone {undisturbed:.2}); \
             {figures:?}"
        );
        assert!(fallen >= 22.0, "{fallen} dB");
        assert!(kept.abs() < 3.0 && like > 0.9 * undisturbed, "{kept} dB, {like} of {undisturbed}");
        assert!((figures.noise_dbfs - (level - 10.0)).abs() < 6.0, "{} for {}", figures.noise_dbfs, level - 10.0);
    }
}

#[test]
fn soft_voices_are_raised_and_loud_ones_do_not_clip() {
    let Some(voice) = speech(NEAR, "en+f3", 12) else { return };
    let silence = vec![0.0; voice.len()];
    let mut gains = Vec::new();
    for by in [0.05, 0.3, 3.0] {
        let said: Vec<f32> = voice.iter().map(|s| (s * by).clamp(-1.0, 1.0)).collect();
        let (out, figures) = processed(GAIN, &silence, &said);
        let (before, after) = (level_dbfs(from_second(&said, 8)), level_dbfs(from_second(&out, 8)));
        println!("{before:.1} dBFS becomes {after:.1}; gain {:.1} dB", figures.gain_db);
        assert!(out.iter().all(|s| s.abs() <= 1.0));
        gains.push(after - before);
    }
    assert!(gains[0] > 15.0 && gains[0] > gains[1] + 3.0 && gains[1] > gains[2] && gains[2] < 3.0, "{gains:?}");
}

#[test]
fn what_is_switched_off_changes_nothing() {
    let Some(voice) = speech(NEAR, "en+f3", 1) else { return };
    let (out, figures) = processed(Settings::NONE, &voice, &voice);
    assert_eq!(out, voice);
    assert_eq!((figures.echo_return_loss_db, figures.echo_delay_ms, figures.gain_db), (None, None, 0.0));
    let mut processor = Processor::new(Settings::ALL);
    assert!(processor.works());
    processor.set(Settings::NONE);
    let mut block = [0.5; BLOCK];
    processor.process(&[0.0; BLOCK], &mut block);
    assert_eq!(block, [0.5; BLOCK]);
    processor.set(ECHO);
    processor.process(&[0.0; 7], &mut block[..7]);
    assert_eq!(block, [0.5; BLOCK], "of another length");
}

#[test]
fn a_voice_comes_out_as_late_as_is_told() {
    let Some(voice) = speech(NEAR, "en+f3", 3) else { return };
    let silence = vec![0.0; voice.len()];
    for settings in [ECHO, NOISE, GAIN, Settings { gain: false, ..Settings::ALL }, Settings::ALL] {
        let (out, _) = processed(settings, &silence, &voice);
        let (_, late) = correlation(from_second(&voice, 1), from_second(&out, 1));
        let told = Processor::new(settings).delay();
        assert!(late.abs_diff(told) <= 24, "{settings:?}: {late}, told {told}");
    }
}
