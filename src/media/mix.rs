//! Many voices into one: gains that move without a click, sum, soft limiter, and the level meter of the people list.
//!
//! ```text
//! voice * gain + voice * gain * ducking + .. -> sum -> limiter (gain follows the peaks of the last 20 ms) -> -1..1
//! ```
//! Must never clip hard: when several people speak at once the whole mix becomes softer for a moment.

/// Lowest level shown, standing for silence.
pub const SILENCE_DBFS: f32 = -127.0;
/// The limiter holds the mix below this.
const CEILING: f32 = 0.95;
/// What stays below this is as it was; from here to the ceiling peaks grow less and less.
const KNEE: f32 = 0.8;
/// Samples the limiter looks at before it changes the first of them: 2.5 ms.
const PIECE: usize = 120;
/// Pieces for which a peak is remembered: 20 ms, so that the gain does not follow the waves of a low voice.
const HELD: usize = 8;
/// The gain rises by this much in a piece at most: 6 dB in 150 ms.
const RELEASE: f32 = 1.011_62;

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

/// A voice that speaks over all others, and is one of them again: not in the middle of what it still has to say.
#[derive(Clone, Debug, Default)]
pub struct Over {
    /// 1 over all others, 0 among them.
    share: f32,
    /// Samples it goes on over somebody else who speaks so.
    hold: usize,
}

impl Over {
    /// Its gain after the next `samples`, where that of the others is `under`. `on`: it has priority; `speaking`: somebody who
    /// has it says something.
    ///
    /// Its last words are on their way when the others learn that it gave priority up, and the others stay soft for a while:
    /// until they are as loud as always, it stays as loud. Under somebody else it becomes soft after as long as they would.
    pub fn step(&mut self, on: bool, speaking: bool, under: f32, samples: usize) -> f32 {
        if on {
            (self.share, self.hold) = (1.0, DUCK_HOLD);
        } else if under == 1.0 {
            self.share = 0.0;
        } else if speaking && self.hold > 0 {
            self.hold = self.hold.saturating_sub(samples);
        } else if speaking {
            self.share = (self.share - samples as f32 / DUCK_DOWN).max(0.0);
        }
        under + (1.0 - under) * self.share
    }
}

/// Keeps a mix within range by lowering its gain while it is too loud.
///
/// Each piece is looked at as a whole, so that the gain is down in an even line when the peak comes, without any delay.
#[derive(Clone, Debug)]
pub struct Limiter {
    gain: f32,
    /// Peaks of the last pieces.
    peaks: [f32; HELD],
    at: usize,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0, peaks: [0.0; HELD], at: 0 }
    }
}

impl Limiter {
    /// Limits `samples` in place.
    pub fn apply(&mut self, samples: &mut [f32]) {
        samples.chunks_mut(PIECE).for_each(|piece| self.limit(piece));
    }

    fn limit(&mut self, piece: &mut [f32]) {
        let mut peak = 0.0f32;
        for sample in piece.iter_mut() {
            if !sample.is_finite() {
                *sample = 0.0;
            }
            peak = peak.max(sample.abs());
        }
        self.peaks[self.at] = peak;
        self.at = (self.at + 1) % HELD;
        let held = self.peaks.iter().fold(0.0f32, |most, peak| most.max(*peak));
        let from = self.gain;
        self.gain = allowed(held).min(from * RELEASE);
        if from == 1.0 && self.gain == 1.0 {
            return;
        }
        // A line to where the gain is to be, but steep enough for each peak on the way.
        let ways = piece.iter().enumerate().filter(|(_, s)| s.abs() > KNEE);
        let steepest = ways.map(|(i, s)| (allowed(s.abs()) - from) / (i + 1) as f32);
        let step = steepest.fold((self.gain - from) / piece.len() as f32, f32::min);
        for (i, sample) in piece.iter_mut().enumerate() {
            let line = from + step * (i + 1) as f32;
            let gain = if step < 0.0 { line.max(self.gain) } else { line.min(self.gain) };
            // Rounding alone takes it there.
            *sample = (*sample * gain).clamp(-CEILING, CEILING);
        }
    }
}

/// The gain of a mix with such a peak.
fn allowed(peak: f32) -> f32 {
    if peak <= KNEE {
        return 1.0;
    }
    let room = CEILING - KNEE;
    (KNEE + room * (1.0 - (-(peak - KNEE) / room).exp())) / peak
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
        add(&mut sum, &[0.5, -0.5, 0.25, 0.8]);
        add(&mut sum, &[0.25, -0.25, 0.25]);
        let expected = sum.clone();
        Limiter::default().apply(&mut sum);
        assert_eq!(sum, expected);
        assert_eq!(sum, [0.75, -0.75, 0.5, 0.8]);
        let mut soft = tones(&[(150, KNEE)], 48_000);
        let before = soft.clone();
        Limiter::default().apply(&mut soft);
        assert!(soft == before, "bit by bit");
    }

    #[test]
    fn a_loud_mix_is_lowered_and_recovers() {
        let mut limiter = Limiter::default();
        let mut loud: Vec<f32> = (0..4_800).map(|i| 3.0 * (i as f32 * 0.05).sin()).collect();
        limiter.apply(&mut loud);
        assert!(loud.iter().all(|s| s.abs() <= CEILING));
        let mut quiet = vec![0.1; 48_000];
        limiter.apply(&mut quiet);
        assert!(quiet[0] < 0.04 && quiet[47_999] == 0.1, "{} {}", quiet[0], quiet[47_999]);
        let steepest = quiet.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.000_1, "{steepest}");
    }

    /// The sum of sines of these frequencies and loudnesses.
    fn tones(all: &[(u32, f32)], samples: usize) -> Vec<f32> {
        let turn = |hz: u32, i: usize| std::f64::consts::TAU * (u64::from(hz) * i as u64 % 48_000) as f64 / 48_000.0;
        (0..samples).map(|i| all.iter().map(|(hz, loud)| loud * turn(*hz, i).sin() as f32).sum()).collect()
    }

    /// Power of the tones in each 100 ms to that of all else, in dB; they are multiples of 10 Hz.
    fn purity_db(samples: &[f32], all: &[(u32, f32)]) -> f32 {
        let (mut pure, mut power) = (0.0, 0.0);
        for piece in samples.chunks_exact(4_800) {
            power += piece.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
            for (hz, _) in all {
                let (mut c, mut s) = (0.0, 0.0);
                for (i, x) in piece.iter().enumerate() {
                    let phase = std::f64::consts::TAU * f64::from(*hz) * i as f64 / 48_000.0;
                    c += f64::from(*x) * phase.cos();
                    s += f64::from(*x) * phase.sin();
                }
                pure += 2.0 * (c * c + s * s) / 4_800.0;
            }
        }
        (10.0 * (pure / (power - pure).max(1e-9)).log10()) as f32
    }

    #[test]
    fn loud_mixes_stay_what_they_are_where_clipping_would_tear_them() {
        let voices = [110, 130, 170, 210, 230, 290, 370, 410].map(|hz| (hz, 0.6));
        for (all, least_db, better_db) in
            [(&voices[..], 30.0, 20.0), (&[(100, 3.0)], 50.0, 40.0), (&[(1_000, 3.0)], 50.0, 40.0)]
        {
            let mix = tones(all, 144_000);
            let (mut soft, mut limiter) = (mix.clone(), Limiter::default());
            // As the mixer does it.
            soft.chunks_mut(PIECE).for_each(|piece| limiter.apply(piece));
            assert!(soft.iter().all(|s| s.abs() <= CEILING));
            let loudest = soft[48_000..].iter().fold(0.0f32, |most, s| most.max(s.abs()));
            assert!(loudest > 0.9, "as loud as may be: {loudest}");
            let clipped: Vec<f32> = mix.iter().map(|s| s.clamp(-CEILING, CEILING)).collect();
            let (soft, clipped) = (purity_db(&soft[48_000..], all), purity_db(&clipped[48_000..], all));
            println!("{} tones: all else {soft:.1} dB below them, {clipped:.1} dB when clipped", all.len());
            assert!(soft > least_db && soft > clipped + better_db, "{soft} dB, clipped {clipped} dB");
        }
    }

    #[test]
    fn a_mix_that_becomes_loud_anywhere_does_so_without_a_click() {
        for start in [0, 1, 60, 119] {
            let mut mix = tones(&[(200, 0.5)], 9_600);
            let loud = tones(&[(310, 2.5)], 9_600);
            mix[2_400 + start..].iter_mut().zip(&loud).for_each(|(s, l)| *s += l);
            let steepest = |samples: &[f32]| samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            let before = steepest(&mix);
            let mut limiter = Limiter::default();
            mix.chunks_mut(PIECE).for_each(|piece| limiter.apply(piece));
            assert!(mix.iter().all(|s| s.abs() <= CEILING));
            assert!(steepest(&mix) < before, "{} of {before}", steepest(&mix));
        }
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
    fn who_gives_priority_up_is_no_softer_until_all_others_are_as_loud_and_fades_under_who_has_it_now() {
        for (another_speaks, ends) in [(false, 1.0), (true, 10f32.powf(DUCKED_DB / 20.0))] {
            let (mut ducker, mut over) = (Ducker::default(), Over::default());
            let mut step = |on, speaking| {
                let under = ducker.step(speaking, 120);
                over.step(on, speaking, under, 120)
            };
            assert_eq!(step(false, false), 1.0);
            assert!((0..200).all(|_| step(true, true) == 1.0));
            let after: Vec<f32> = (0..400).map(|_| step(false, another_speaks)).collect();
            let held = after.iter().take_while(|gain| **gain > 0.999).count();
            assert!(held >= 199 && (held == 400) != another_speaks, "{held} steps");
            assert!(after.windows(2).all(|w| w[0] - w[1] < 0.03), "no step");
            assert!((after[399] - ends).abs() < 0.001, "{}", after[399]);
            // Whoever is among the others again is as soft as they are.
            let last = (0..400).map(|_| step(false, false)).last();
            assert_eq!(last, Some(1.0));
            let under = (0..100).map(|_| step(false, true)).last().expect("steps");
            assert!((under - 10f32.powf(DUCKED_DB / 20.0)).abs() < 0.001, "{under}");
        }
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
