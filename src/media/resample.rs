//! Sample rates: from any device's rate to another, and the fine adjustment that follows a drifting clock.
//!
//! [`Converter`] changes 44.1 or 16 kHz to 48 kHz and back with a band-limiting filter. [`Stretcher`] keeps the rate
//! but consumes its input a little faster or slower, within 3 %, changing speed without a click. Both are mono and
//! allocate nothing once running.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Indexing, PolynomialDegree, Resampler, SincInterpolationParameters, WindowFunction,
};

/// Sample rates accepted of a device or file, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 4_000..=768_000;
/// The stretcher goes this far from normal speed.
const SPEED_RANGE: f64 = 1.03;
/// Filter length in input samples: 0.7 ms of delay at 44.1 kHz.
const FILTER: usize = 64;

/// A resampler could not be made or fed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rate no sound device has.
    #[error("sample rate {rate} Hz is outside 4..768 kHz")]
    Rate {
        /// The rate given.
        rate: u32,
    },
    /// The resampler refused; the text says why.
    #[error("resampling: {0}")]
    Resampler(String),
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::Resampler(e.to_string())
}

/// Changes a mono stream from one rate to another.
pub struct Converter {
    /// `None`: the rates are equal.
    inner: Option<Async<f32>>,
    /// Input that does not fill a step yet.
    waiting: Vec<f32>,
    step: Vec<f32>,
}

impl Converter {
    /// A converter from `from` Hz to `to` Hz.
    pub fn new(from: u32, to: u32) -> Result<Self, Error> {
        for rate in [from, to] {
            if !RATES.contains(&rate) {
                return Err(Error::Rate { rate });
            }
        }
        if from == to {
            return Ok(Self { inner: None, waiting: Vec::new(), step: Vec::new() });
        }
        let chunk = (from as usize / 400).max(1);
        let parameters = SincInterpolationParameters::new(FILTER, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, FixedAsync::Input).map_err(failed)?;
        let step = vec![0.0; inner.output_frames_max()];
        Ok(Self { inner: Some(inner), waiting: Vec::with_capacity(2 * chunk), step })
    }

    /// Takes `input` and appends what comes out of it to `out`.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<(), Error> {
        let Some(inner) = &mut self.inner else {
            out.extend_from_slice(input);
            return Ok(());
        };
        self.waiting.extend_from_slice(input);
        let mut used = 0;
        while self.waiting.len() - used >= inner.input_frames_next() {
            let held = &self.waiting[used..];
            let source = InterleavedSlice::new(held, 1, held.len()).map_err(failed)?;
            let room = self.step.len();
            let mut sink = InterleavedSlice::new_mut(&mut self.step, 1, room).map_err(failed)?;
            let (taken, made) = inner.process_into_buffer(&source, &mut sink, None).map_err(failed)?;
            out.extend_from_slice(&self.step[..made]);
            used += taken;
        }
        self.waiting.drain(..used);
        Ok(())
    }
}

/// Plays a mono stream at an adjustable speed.
pub struct Stretcher {
    inner: Async<f32>,
    speed: f64,
}

impl Stretcher {
    /// A stretcher that delivers `step` samples at a time.
    pub fn new(step: usize) -> Result<Self, Error> {
        let inner = Async::new_poly(1.0, SPEED_RANGE, PolynomialDegree::Cubic, step, 1, FixedAsync::Output);
        Ok(Self { inner: inner.map_err(failed)?, speed: 1.0 })
    }

    /// Input samples consumed per sample delivered, from the next step on; beyond 3 % it stops there.
    pub fn set_speed(&mut self, speed: f64) -> Result<(), Error> {
        let speed = if speed.is_finite() { speed.clamp(1.0 / SPEED_RANGE, SPEED_RANGE) } else { 1.0 };
        if speed != self.speed {
            self.speed = speed;
            // The quotient of the bounds may miss them by a rounding error.
            let ratio = (1.0 / speed).clamp(1.0 / SPEED_RANGE, SPEED_RANGE);
            self.inner.set_resample_ratio_relative(ratio, true).map_err(failed)?;
        }
        Ok(())
    }

    /// Input samples the next step needs.
    pub fn needed(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// Fills `out`, which holds one step, from the front of `input`. Returns the number of samples consumed; when
    /// `input` is shorter than [`needed`](Self::needed), silence stands for the rest.
    pub fn process(&mut self, input: &[f32], out: &mut [f32]) -> Result<usize, Error> {
        let partial = input.len().min(self.needed());
        let source = InterleavedSlice::new(input, 1, input.len()).map_err(failed)?;
        let room = out.len();
        let mut sink = InterleavedSlice::new_mut(out, 1, room).map_err(failed)?;
        let indexing = Indexing::new().partial_len(partial);
        self.inner.process_into_buffer(&source, &mut sink, Some(&indexing)).map_err(failed)?;
        Ok(partial)
    }

    /// Forgets the past samples and returns to normal speed.
    pub fn reset(&mut self) {
        self.inner.reset();
        self.speed = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::test_voice::strength_at;

    fn sine(hz: f32, rate: u32, n: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * f64::from(hz) / f64::from(rate);
        (0..n).map(|i| 0.5 * (step * i as f64).sin() as f32).collect()
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_strength_from_any_rate() {
        for rate in [8_000, 11_025, 16_000, 44_100, 48_000, 88_200, 192_000] {
            let mut converter = Converter::new(rate, 48_000).unwrap();
            let (input, mut out) = (sine(1_000.0, rate, 2 * rate as usize), Vec::new());
            // Devices deliver pieces of any size.
            for piece in input.chunks(rate as usize / 91) {
                converter.push(piece, &mut out).unwrap();
            }
            assert!((95_000..=96_000).contains(&out.len()), "{rate}: {}", out.len());
            let heard = strength_at(&out[24_000..72_000], 1_000.0);
            assert!((heard - 0.5).abs() < 0.01, "{rate}: {heard}");
        }
    }

    #[test]
    fn images_of_a_low_rate_are_filtered_out() {
        let mut out = Vec::new();
        Converter::new(16_000, 48_000).unwrap().push(&sine(3_000.0, 16_000, 32_000), &mut out).unwrap();
        assert!(strength_at(&out[24_000..72_000], 13_000.0) < 0.5e-3, "{}", strength_at(&out, 13_000.0));
    }

    #[test]
    fn silly_rates_are_refused() {
        for (from, to) in [(0, 48_000), (48_000, 0), (3_999, 48_000), (48_000, 768_001)] {
            assert!(Converter::new(from, to).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn the_stretcher_consumes_at_its_speed_without_clicks() {
        for speed in [0.975, 0.995, 1.0, 1.0003, 1.005, 1.025] {
            let mut stretcher = Stretcher::new(120).unwrap();
            stretcher.set_speed(speed).unwrap();
            let input = sine(500.0, 48_000, 60_000);
            let (mut used, mut out, mut step) = (0, Vec::new(), [0.0; 120]);
            for _ in 0..400 {
                used += stretcher.process(&input[used..], &mut step).unwrap();
                out.extend_from_slice(&step);
            }
            assert!((used as f64 - 48_000.0 * speed).abs() < 16.0, "{speed}: {used}");
            let heard = strength_at(&out[4_800..], 500.0 * speed as f32);
            assert!((heard - 0.5).abs() < 0.01, "{speed}: {heard}");
            let largest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(largest < 0.036, "{speed}: {largest}");
        }
    }

    #[test]
    fn speeds_beyond_the_range_stop_at_it_and_short_input_is_silence() {
        let mut stretcher = Stretcher::new(120).unwrap();
        let mut out = [1.0; 120];
        for speed in [f64::NAN, 0.0, 10.0, 1.0 / 1.03, 1.03, f64::INFINITY] {
            stretcher.set_speed(speed).unwrap();
            assert!((110..=140).contains(&stretcher.needed()), "{speed}: {}", stretcher.needed());
            assert_eq!(stretcher.process(&[], &mut out), Ok(0));
        }
        assert_eq!(out, [0.0; 120]);
    }
}
