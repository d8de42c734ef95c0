//! Decoded audio that waits to be played, and that can be made shorter or longer by whole periods of its pitch.
//!
//! ```text
//!              t = where playing stands
//! ..played....|ABCD|abcd|efgh...        shorten: ABCD fades into abcd, one period p is gone
//!      |wxyz|ABCD|..                    lengthen: ABCD fades into wxyz, one period before it, which then follows again
//! ```
//! Overlap and add in step with the waveform (WSOLA): the pitch stays, no sample jumps. The period is where the signal
//! resembles itself most. What resembles itself little, like breath or noise, is cut only when the caller asks for so
//! little resemblance; the fade then keeps its loudness. Samples are 48 kHz mono. Must never allocate once it has held as much
//! as it will.

/// Shortest and longest period: 400 Hz to 67 Hz.
const PERIOD: std::ops::RangeInclusive<usize> = 120..=720;
/// Shortest fade, 2.5 ms.
const FADE_MIN: usize = 120;
/// Longest fade, 10 ms.
const FADE_MAX: usize = 480;
/// Played samples compared beside those of the fade.
const CONTEXT: usize = 480;
/// Played samples kept.
const HISTORY: usize = *PERIOD.end() + CONTEXT;
/// The period is looked for among every so many-th samples first.
const COARSE: usize = 8;
/// Longest stretch compared, in coarse samples.
const COARSE_MAX: usize = (*PERIOD.end() + CONTEXT + FADE_MAX) / COARSE + 2;
/// Mean power below which there is nothing to hear: -60 dBFS.
const INAUDIBLE: f32 = 1e-6;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Tempo {
    /// Played samples, then those that wait.
    samples: Vec<f32>,
    played: usize,
    coarse: [f32; COARSE_MAX],
}

/// A place to cut.
#[derive(Clone, Copy, Debug)]
struct Splice {
    period: usize,
    fade: usize,
    /// How much both sides resemble each other, -1..1.
    likeness: f32,
}

impl Tempo {
    /// Room for `waiting` samples without growing.
    pub fn new(waiting: usize) -> Self {
        let room = 2 * HISTORY + waiting + *PERIOD.end();
        Self { samples: Vec::with_capacity(room), played: 0, coarse: [0.0; COARSE_MAX] }
    }

    /// Samples that wait.
    pub fn waiting(&self) -> &[f32] {
        &self.samples[self.played..]
    }

    /// The same, to be faded.
    pub fn waiting_mut(&mut self) -> &mut [f32] {
        &mut self.samples[self.played..]
    }

    /// Puts samples behind those that wait.
    pub fn push(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    /// Puts silence behind those that wait.
    pub fn push_silence(&mut self, samples: usize) {
        self.samples.resize(self.samples.len() + samples, 0.0);
    }

    /// The first `n` that wait have been played.
    pub fn play(&mut self, n: usize) {
        self.played = (self.played + n).min(self.samples.len());
        if self.played >= 2 * HISTORY {
            self.samples.drain(..self.played - HISTORY);
            self.played = HISTORY;
        }
    }

    /// Forgets everything, as what comes does not continue it.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.played = 0;
    }

    /// Takes one period of at most `most` samples out, if around the cut the signal is at least `likeness` (-1..1) like
    /// itself. Returns the number of samples taken out.
    pub fn shorten(&mut self, likeness: f32, most: usize) -> Option<usize> {
        let room = self.waiting().len().checked_sub(FADE_MIN)?;
        let splice = self.splice(most.min(room), likeness, |t, period| (t, t + period))?;
        let t = self.played;
        self.fade(t, t + splice.period, splice, |samples, i, mixed| samples[t + splice.period + i] = mixed);
        self.samples.drain(t..t + splice.period);
        Some(splice.period)
    }

    /// Plays one period of at most `most` samples twice, under the same condition. Returns the number of samples put in.
    pub fn lengthen(&mut self, likeness: f32, most: usize) -> Option<usize> {
        if self.waiting().len() < FADE_MIN {
            return None;
        }
        let room = self.played.checked_sub(FADE_MIN)?;
        let splice = self.splice(most.min(room), likeness, |t, period| (t, t - period))?;
        let (t, period) = (self.played, splice.period);
        let end = self.samples.len();
        self.samples.resize(end + period, 0.0);
        // All that waits moves back; the period before it is there twice, its first part faded into.
        self.samples.copy_within(t - period..end, t);
        self.fade_from(t, splice);
        Some(period)
    }

    /// The fade of a lengthening: what waited moved to `t + period`, what was played stands at `t` once more.
    fn fade_from(&mut self, t: usize, splice: Splice) {
        self.fade(t + splice.period, t, splice, |samples, i, mixed| samples[t + i] = mixed);
    }

    /// Fades from the samples at `from` to those at `to`, handing each to `put`.
    fn fade(&mut self, from: usize, to: usize, splice: Splice, put: impl Fn(&mut [f32], usize, f32)) {
        let alike = splice.likeness.clamp(0.0, 1.0);
        for i in 0..splice.fade {
            let new = (i + 1) as f32 / (splice.fade + 1) as f32;
            let old = 1.0 - new;
            // Unlike signals add up by their powers, like ones by their amplitudes.
            let gain = (old * old + new * new + 2.0 * alike * old * new).sqrt().recip();
            let mixed = gain * (old * self.samples[from + i] + new * self.samples[to + i]);
            put(&mut self.samples, i, mixed);
        }
    }

    /// The best period up to `most`; `sides` says which two places it joins.
    fn splice(&mut self, most: usize, least: f32, sides: impl Fn(usize, usize) -> (usize, usize)) -> Option<Splice> {
        let (t, most) = (self.played, most.min(*PERIOD.end()));
        if most < *PERIOD.start() {
            return None;
        }
        let fade = |period: usize| {
            let (a, b) = sides(t, period);
            period.min(self.samples.len() - a.max(b)).min(FADE_MAX)
        };
        let shortest = fade(most).max(FADE_MIN);
        let behind = sides(t, most).1 < t;
        let context = if behind { (t - most).min(CONTEXT) } else { t.min(CONTEXT) };
        let around = &self.samples[t - context..t + shortest];
        if around.iter().map(|s| s * s).sum::<f32>() / around.len() as f32 <= INAUDIBLE {
            return Some(Splice { period: most, fade: shortest, likeness: 1.0 });
        }
        let likeness = |period: usize| {
            let (a, b) = sides(t, period);
            let end = (a.max(b) + shortest).min(self.samples.len()) - a.max(b);
            alike(&self.samples[a - context..a + end], &self.samples[b - context..b + end])
        };
        let near = Self::coarse(&mut self.coarse, &self.samples, t, context, shortest, most, behind);
        let fine = (near.saturating_sub(COARSE)).max(*PERIOD.start())..=(near + COARSE).min(most);
        let (period, likeness) = fine.map(|p| (p, likeness(p))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (likeness >= least).then(|| Splice { period, fade: fade(period).max(FADE_MIN), likeness })
    }

    /// The best period to within [`COARSE`] samples.
    fn coarse(
        reduced: &mut [f32; COARSE_MAX],
        samples: &[f32],
        t: usize,
        context: usize,
        ahead: usize,
        most: usize,
        behind: bool,
    ) -> usize {
        let (start, end) = if behind { (t - context - most, t + ahead) } else { (t - context, t + most + ahead) };
        let mut n = 0;
        for (to, piece) in reduced.iter_mut().zip(samples[start..end.min(samples.len())].chunks_exact(COARSE)) {
            *to = piece.iter().sum();
            n += 1;
        }
        let held = &reduced[..n];
        let length = (context + ahead) / COARSE;
        let still = if behind { most / COARSE } else { 0 };
        let best = (*PERIOD.start() / COARSE..=most / COARSE)
            .filter_map(|lag| {
                let moved = if behind { still.checked_sub(lag)? } else { still + lag };
                let (a, b) = (held.get(still..still + length)?, held.get(moved..moved + length)?);
                Some((lag, alike(a, b)))
            })
            .max_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(most, |(lag, _)| lag * COARSE)
    }
}

/// Normalised correlation; 0 when one of them is silent.
fn alike(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = (0.0f32, 0.0f32, 0.0f32);
    for (x, y) in a.iter().zip(b) {
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    let power = (aa * bb).sqrt();
    if power > 0.0 { ab / power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::mix::level_dbfs;
    use crate::media::test_voice::{TestVoice, pitch_for, strength_at};

    const FRAME: usize = 960;

    /// Plays `input` in frames, cutting at each third of them; returns what was played and the samples put in or out.
    fn played(input: &[f32], frame: usize, cut: impl Fn(&mut Tempo) -> Option<usize>) -> (Vec<f32>, usize, usize) {
        let (mut tempo, mut out) = (Tempo::new(2 * frame), Vec::new());
        let (mut changed, mut cuts) = (0, 0);
        for (n, piece) in input.chunks_exact(frame).enumerate() {
            tempo.push(piece);
            if n % 3 == 2
                && let Some(samples) = cut(&mut tempo)
            {
                changed += samples;
                cuts += 1;
            }
            // A little stays back, as the mixer leaves it.
            let n = tempo.waiting().len() - 60;
            out.extend_from_slice(&tempo.waiting()[..n]);
            tempo.play(n);
        }
        out.extend_from_slice(tempo.waiting());
        (out, changed, cuts)
    }

    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max)
    }

    fn sine(hz: f64, n: usize) -> Vec<f32> {
        (0..n).map(|i| 0.5 * (std::f64::consts::TAU * hz * i as f64 / 48_000.0).sin() as f32).collect()
    }

    fn noise(n: usize) -> Vec<f32> {
        let mut state = 1u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .take(n)
        .collect()
    }

    #[test]
    fn a_voice_becomes_shorter_or_longer_at_its_pitch_without_a_click() {
        for (seed, frame) in [(0, FRAME), (7, FRAME), (19, FRAME), (7, 480), (19, 480)] {
            let mut said = vec![0.0; 192_000];
            TestVoice::new(pitch_for(seed)).render(&mut said);
            for longer in [false, true] {
                let (heard, changed, cuts) = played(&said, frame, |tempo| match longer {
                    true => tempo.lengthen(0.85, 720),
                    false => tempo.shorten(0.85, 720),
                });
                let expected = if longer { said.len() + changed } else { said.len() - changed };
                assert_eq!(heard.len(), expected);
                assert!(cuts * 3 * frame > said.len() * 3 / 4, "voice {seed}, longer {longer}: {cuts} cuts");
                assert!(steepest(&heard) < 1.1 * steepest(&said), "{} {}", steepest(&heard), steepest(&said));
                let pitch = pitch_for(seed);
                // In pieces: a period is whole samples, so that phases part over seconds.
                let strength = |samples: &[f32]| {
                    samples.chunks_exact(12_000).map(|piece| strength_at(piece, pitch)).sum::<f32>()
                        / samples.len() as f32
                };
                let kept = strength(&heard) / strength(&said);
                assert!((0.85..1.2).contains(&kept), "voice {seed}, longer {longer}: {kept}");
            }
        }
    }

    /// Power of everything but the best fitting sine, in dB below it.
    fn purity_db(samples: &[f32], hz: f64) -> f64 {
        let step = std::f64::consts::TAU * hz / 48_000.0;
        let n = samples.len() as f64;
        let sum = |f: &dyn Fn(f64) -> f64| {
            samples.iter().enumerate().map(|(i, s)| f64::from(*s) * f(step * i as f64)).sum::<f64>()
        };
        let (c, s) = (2.0 * sum(&f64::cos) / n, 2.0 * sum(&f64::sin) / n);
        let rest: f64 = samples
            .iter()
            .enumerate()
            .map(|(i, x)| (f64::from(*x) - c * (step * i as f64).cos() - s * (step * i as f64).sin()).powi(2))
            .sum();
        10.0 * ((c * c + s * s) / 2.0 * n / rest.max(1e-12)).log10()
    }

    #[test]
    fn a_tone_is_cut_so_that_it_stays_one() {
        for longer in [false, true] {
            let (heard, changed, cuts) = played(&sine(1_000.0, 96_000), FRAME, |tempo| match longer {
                true => tempo.lengthen(0.9, 720),
                false => tempo.shorten(0.9, 720),
            });
            assert!(cuts > 30 && changed > 30 * 120, "{cuts} cuts, {changed} samples");
            let purity = purity_db(&heard[..48_000], 1_000.0);
            assert!(purity > 50.0, "longer {longer}: {purity} dB");
        }
    }

    #[test]
    fn noise_is_cut_only_when_asked_and_stays_as_loud() {
        let input = noise(96_000);
        let strict = |tempo: &mut Tempo| tempo.shorten(0.85, 720);
        assert_eq!(played(&input, FRAME, strict).1, 0);
        for longer in [false, true] {
            let (heard, changed, _) = played(&input, FRAME, |tempo| match longer {
                true => tempo.lengthen(-1.0, 720),
                false => tempo.shorten(-1.0, 720),
            });
            assert!(changed > 4_000, "{changed}");
            let quietest = heard.chunks(480).map(level_dbfs).fold(0.0, f32::min);
            assert!(quietest > level_dbfs(&input) - 2.0, "{quietest}");
        }
    }

    #[test]
    fn silence_is_cut_by_as_much_as_is_asked() {
        let (_, changed, cuts) = played(&[0.0; 48_000], FRAME, |tempo| tempo.shorten(0.9, 333));
        assert_eq!((changed, cuts), (cuts * 333, 16));
    }

    #[test]
    fn what_is_too_short_is_left_alone() {
        let mut tempo = Tempo::new(FRAME);
        assert_eq!((tempo.shorten(-1.0, 720), tempo.lengthen(-1.0, 720)), (None, None));
        tempo.push(&noise(239));
        assert_eq!(tempo.shorten(-1.0, 720), None, "one less than the shortest period and fade");
        assert_eq!(tempo.lengthen(-1.0, 720), None, "nothing was played yet");
        tempo.push(&[0.1]);
        assert_eq!(tempo.shorten(-1.0, 119), None);
        assert_eq!(tempo.shorten(-1.0, 720), Some(120));
        tempo.play(1_000);
        assert!(tempo.waiting().is_empty(), "no more can be played than is there");
    }

    proptest::proptest! {
        #[test]
        fn any_order_of_calls_keeps_the_books(steps in proptest::collection::vec((0u8..4, 0usize..1_500, -1.0f32..1.0), 1..80)) {
            let (mut tempo, mut waiting, input) = (Tempo::new(4 * FRAME), 0usize, noise(1_500));
            for (kind, n, least) in steps {
                match kind {
                    0 => { tempo.push(&input[..n]); waiting += n; }
                    1 => { tempo.play(n); waiting = waiting.saturating_sub(n); }
                    2 => waiting -= tempo.shorten(least, n).unwrap_or(0),
                    _ => waiting += tempo.lengthen(least, n).unwrap_or(0),
                }
                proptest::prop_assert_eq!(tempo.waiting().len(), waiting);
                proptest::prop_assert!(tempo.waiting().iter().all(|s| s.is_finite()));
            }
        }
    }
}
