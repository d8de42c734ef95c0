//! A voice without a person: speech-like syllables at a pitch of their own, and the ear that finds a pitch again.
//!
//! Each voice is a fundamental with weaker overtones, its loudness moving in syllables and short pauses. The
//! fundamental stands well above all else of its octave, so a mix of many voices can be taken apart by
//! [`strength_at`] over a second or more.

use std::f64::consts::TAU;

const RATE: f64 = 48_000.0;
/// Pitches of different participants: this many within one octave, so that no overtone meets a fundamental.
const PITCHES: u64 = 20;
const LOWEST_HZ: f32 = 220.0;
/// Amplitudes of fundamental and overtones; their sum stays below one half.
const OVERTONES: [f64; 4] = [0.30, 0.08, 0.05, 0.03];
/// Syllables per second.
const SYLLABLES: f64 = 3.1;
/// A breath after this many syllables.
const BREATH: u64 = 9;

/// The pitch of participant number `seed`: neighbours differ, and the 20 pitches are at least 7 Hz apart.
pub fn pitch_for(seed: u64) -> f32 {
    LOWEST_HZ * ((seed % PITCHES) as f32 / PITCHES as f32).exp2()
}

/// An endless voice at 48 kHz.
#[derive(Clone, Debug)]
pub struct TestVoice {
    pitch_hz: f64,
    /// Samples rendered so far.
    position: u64,
}

impl TestVoice {
    /// A voice at `pitch_hz`, beginning with a syllable.
    pub fn new(pitch_hz: f32) -> Self {
        Self { pitch_hz: f64::from(pitch_hz).clamp(20.0, 4_000.0), position: 0 }
    }

    /// Fills `out` with the next samples, mono, within -1..1.
    pub fn render(&mut self, out: &mut [f32]) {
        for sample in out {
            let t = self.position as f64 / RATE;
            let phase = (t * self.pitch_hz).fract() * TAU;
            let tone: f64 = OVERTONES.iter().enumerate().map(|(i, a)| a * (phase * (i + 1) as f64).sin()).sum();
            *sample = (tone * loudness(t)) as f32;
            self.position += 1;
        }
    }

    /// Leaves out samples, as if they had been rendered.
    pub fn skip(&mut self, samples: u64) {
        self.position += samples;
    }
}

fn loudness(t: f64) -> f64 {
    let beat = t * SYLLABLES;
    if beat as u64 % BREATH == BREATH - 1 {
        return 0.0;
    }
    // Half a sine per syllable, never quite closed within a word, but closed on either side of the breath.
    let swell = (beat.fract() * TAU / 2.0).sin();
    let inside = (0.5..(BREATH - 1) as f64 - 0.5).contains(&(beat % BREATH as f64));
    if inside { 0.25 + 0.75 * swell } else { swell }
}

/// Amplitude of the sine at `hz` in mono samples at 48 kHz (Goertzel's algorithm under a Hann window).
pub fn strength_at(samples: &[f32], hz: f32) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let step = TAU / samples.len() as f64;
    let coefficient = 2.0 * (TAU * f64::from(hz) / RATE).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for (i, &sample) in samples.iter().enumerate() {
        let window = 1.0 - (step * i as f64).cos();
        let next = f64::from(sample) * window + coefficient * last - before;
        (before, last) = (last, next);
    }
    let power = last * last + before * before - coefficient * last * before;
    (2.0 * power.max(0.0).sqrt() / samples.len() as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_is_measured_at_its_amplitude_and_not_elsewhere() {
        let sine: Vec<f32> = (0..48_000).map(|i| 0.5 * (TAU * 440.0 * i as f64 / RATE).sin() as f32).collect();
        assert!((strength_at(&sine, 440.0) - 0.5).abs() < 0.005);
        assert!(strength_at(&sine, 447.0) < 0.001);
        assert_eq!(strength_at(&[], 440.0), 0.0);
    }

    #[test]
    fn voices_of_many_participants_are_told_apart_in_the_mix() {
        let mut mix = vec![0.0; 96_000];
        let mut one = vec![0.0; 96_000];
        let (present, absent): (Vec<u64>, Vec<u64>) = (0..PITCHES).partition(|s| s % 3 == 0);
        for &seed in &present {
            TestVoice::new(pitch_for(seed)).render(&mut one);
            mix.iter_mut().zip(&one).for_each(|(m, s)| *m += s);
        }
        let weakest = present.iter().map(|&s| strength_at(&mix, pitch_for(s))).fold(1.0, f32::min);
        let loudest = absent.iter().map(|&s| strength_at(&mix, pitch_for(s))).fold(0.0, f32::max);
        assert!(weakest > 0.1 && loudest < weakest / 5.0, "{weakest} {loudest}");
    }

    #[test]
    fn it_has_breaths_and_stays_in_range() {
        let mut samples = vec![0.0; 48_000 * 6];
        TestVoice::new(300.0).render(&mut samples);
        assert!(samples.iter().all(|s| s.abs() < 0.5));
        let silent = samples.iter().filter(|s| **s == 0.0).count() as f64 / samples.len() as f64;
        assert!((0.05..0.2).contains(&silent), "{silent}");
        let steps = samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steps < 0.05, "no clicks: {steps}");
    }

    #[test]
    fn skipping_is_as_rendering() {
        let (mut a, mut b) = (TestVoice::new(250.0), TestVoice::new(250.0));
        let mut out = [0.0; 500];
        a.render(&mut out);
        b.skip(400);
        let mut tail = [0.0; 100];
        b.render(&mut tail);
        assert_eq!(out[400..], tail);
    }
}
