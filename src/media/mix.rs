//! Many voices into one: gains that move without a click, sum, soft limiter, and the level meter of the people list.
//!
//! ```text
//! voice * gain + voice * gain * ducking + .. -> sum -> limiter (gain follows the envelope) -> -1..1
//! ```
//! Must never clip hard: when several people speak at once the whole mix becomes softer for a moment.

/// Lowest level shown, standing for silence.
pub const SILENCE_DBFS: f32 = -127.0;
/// The limiter holds the mix below this.
const CEILING: f32 = 0.95;
/// The limiter lets go by half in 70 ms at 48 kHz.
const RELEASE: f32 = 0.9998;

/// Adds `voice` to `sum`, as far as both reach.
pub fn add(sum: &mut [f32], voice: &[f32]) {
    for (s, v) in sum.iter_mut().zip(voice) {
        *s += v;
    }
}

/// How much softer voices are under one that speaks over them.
const DUCKED_DB: f32 = -18.0;
/// They are so after this many samples: 100 ms.
const DUCK_DOWN: f32 = 4_800.0;
/// And as before this many samples after the end: 300 ms,
const DUCK_UP: f32 = 14_400.0;
/// which is believed after 500 ms without a word.
const DUCK_HOLD: usize = 24_000;

/// Adds `voice` to `sum`, its gain moving evenly from `from` to `to`.
pub fn add_fading(sum: &mut [f32], voice: &[f32], from: f32, to: f32) {
    let step = (to - from) / voice.len().max(1) as f32;
    for (i, (s, v)) in sum.iter_mut().zip(voice).enumerate() {
        *s += v * (from + step * (i + 1) as f32);
    }
}

/// Fades voices while another speaks over them, and back.
#[derive(Clone, Debug, Default)]
pub struct Ducker {
    /// 0 as always, [`DUCKED_DB`] while somebody speaks over them.
    db: f32,
    /// Samples to go until the end of the words is believed.
    hold: usize,
}

impl Ducker {
    /// The gain of all others after the next `samples`, `speaking` telling whether there is a word in them.
    pub fn step(&mut self, speaking: bool, samples: usize) -> f32 {
        self.hold = if speaking { DUCK_HOLD } else { self.hold.saturating_sub(samples) };
        let passed = samples as f32;
        self.db = if self.hold > 0 {
            (self.db + DUCKED_DB * passed / DUCK_DOWN).max(DUCKED_DB)
        } else {
            (self.db - DUCKED_DB * passed / DUCK_UP).min(0.0)
        };
        if self.db == 0.0 { 1.0 } else { 10f32.powf(self.db / 20.0) }
    }
}

/// Keeps a mix within range by lowering its gain while it is too loud.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    envelope: f32,
}

impl Limiter {
    /// Limits `samples` in place.
    pub fn apply(&mut self, samples: &mut [f32]) {
        for sample in samples {
            if !sample.is_finite() {
                *sample = 0.0;
            }
            self.envelope = (self.envelope * RELEASE).max(sample.abs());
            if self.envelope > CEILING {
                *sample *= CEILING / self.envelope;
            }
        }
    }
}

/// Root mean square of `samples` in dB below full scale; [`SILENCE_DBFS`] for digital silence.
pub fn level_dbfs(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBFS;
    }
    let power = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
    if power > 0.0 { (10.0 * power.log10()).max(SILENCE_DBFS) } else { SILENCE_DBFS }
}

/// A meter that rises at once and falls by 30 dB a second, as the eye expects.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    level: f32,
}

impl Default for Meter {
    fn default() -> Self {
        Self { level: SILENCE_DBFS }
    }
}

impl Meter {
    /// Takes samples at 48 kHz into account and returns the level shown.
    pub fn feed(&mut self, samples: &[f32]) -> f32 {
        let fallen = self.level - 30.0 * samples.len() as f32 / 48_000.0;
        self.level = level_dbfs(samples).max(fallen).max(SILENCE_DBFS);
        self.level
    }

    /// Shows a level that somebody else measured.
    pub fn show(&mut self, level: f32) {
        self.level = level.max(SILENCE_DBFS);
    }

    /// The level shown.
    pub fn level(&self) -> f32 {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_within_range_is_untouched() {
        let mut sum = vec![0.0f32; 4];
        add(&mut sum, &[0.5, -0.5, 0.25, 0.9]);
        add(&mut sum, &[0.4, -0.4, 0.25]);
        let expected = sum.clone();
        Limiter::default().apply(&mut sum);
        assert_eq!(sum, expected);
        assert_eq!(sum, [0.9, -0.9, 0.5, 0.9]);
    }

    #[test]
    fn a_loud_mix_is_lowered_and_recovers() {
        let mut limiter = Limiter::default();
        let mut loud: Vec<f32> = (0..4_800).map(|i| 3.0 * (i as f32 * 0.05).sin()).collect();
        limiter.apply(&mut loud);
        assert!(loud.iter().all(|s| s.abs() <= CEILING + 1e-6));
        let mut quiet = vec![0.1; 48_000];
        limiter.apply(&mut quiet);
        assert!(quiet[0] < 0.04 && quiet[47_999] == 0.1, "{} {}", quiet[0], quiet[47_999]);
    }

    #[test]
    fn a_gain_moves_evenly() {
        let mut sum = [1.0; 4];
        add_fading(&mut sum, &[1.0; 4], 0.0, 1.0);
        assert_eq!(sum, [1.25, 1.5, 1.75, 2.0]);
        add_fading(&mut sum, &[], 0.0, 1.0);
        assert_eq!(sum[0], 1.25);
    }

    #[test]
    fn others_fade_within_a_tenth_of_a_second_and_back_half_a_second_after_the_last_word() {
        let mut ducker = Ducker::default();
        let db = |gain: f32| 20.0 * gain.log10();
        assert_eq!(ducker.step(false, 120), 1.0);
        let down: Vec<f32> = (0..40).map(|_| ducker.step(true, 120)).collect();
        assert!((db(down[39]) - DUCKED_DB).abs() < 0.01 && (db(down[19]) - DUCKED_DB / 2.0).abs() < 0.01);
        assert!(down.windows(2).all(|w| db(w[0]) - db(w[1]) < 0.5), "no step");
        let held = ducker.step(true, 120);
        assert!((db(held) - DUCKED_DB).abs() < 0.001, "no further");
        for _ in 0..199 {
            assert_eq!(ducker.step(false, 120), held);
        }
        let up: Vec<f32> = (0..120).map(|_| ducker.step(false, 120)).collect();
        assert!(up[0] > down[39] && up[118] < 1.0 && (up[119] - 1.0).abs() < 0.01, "{} {}", up[0], up[119]);
    }

    #[test]
    fn numbers_that_are_none_do_no_harm() {
        let mut limiter = Limiter::default();
        let mut samples = [f32::NAN, f32::INFINITY, 0.5];
        limiter.apply(&mut samples);
        assert_eq!(samples, [0.0, 0.0, 0.5]);
    }

    #[test]
    fn levels_are_in_decibels_below_full_scale() {
        for (samples, expected) in
            [(&[1.0, -1.0][..], 0.0), (&[0.1, -0.1][..], -20.0), (&[0.0][..], SILENCE_DBFS), (&[][..], SILENCE_DBFS)]
        {
            assert!((level_dbfs(samples) - expected).abs() < 0.01, "{samples:?}");
        }
    }

    #[test]
    fn the_meter_falls_thirty_decibels_a_second() {
        let mut meter = Meter::default();
        assert!(meter.feed(&[1.0; 480]).abs() < 0.01);
        for _ in 0..100 {
            meter.feed(&[0.0; 480]);
        }
        assert!((meter.level() + 30.0).abs() < 0.1, "{}", meter.level());
    }
}
