//! A tone, and what became of it: when it began and ended, how loud it is, and where it is not itself.
//!
//! The tone's phase is followed in windows of 10 ms. A window in which it jumps, or is too soft, is a glitch. The
//! frequency is chosen so that no usual period of a device or packet holds a whole number of its cycles: lost or
//! repeated periods show as jumps.

use std::f64::consts::TAU;

pub const RATE: u32 = 48_000;
const FREQUENCY: f64 = 1_030.0;
/// A quarter of full scale, 12 dB below what clips: no limiter touches it.
const AMPLITUDE: f64 = 0.25;
const WINDOW: usize = 480;
/// Cycles by which the phase may move more from one window to the next than it did before.
const JUMP: f64 = 0.08;
/// Left out at both ends, where codecs fade.
const EDGE_WINDOWS: usize = 20;

/// A tone found in a recording.
pub struct Tone {
    /// Seconds from the start of the recording.
    pub begin_s: f64,
    /// Seconds from the start of the recording.
    pub end_s: f64,
    /// Level of the loudest half of it, relative to full scale.
    pub level_db: f64,
    /// Seconds from its beginning.
    pub glitches: Vec<f64>,
    /// Share of windows in which it is itself.
    pub clean_share: f64,
}

impl Tone {
    /// Silence, the tone, silence.
    pub fn samples(seconds: f64, silence_s: f64) -> Vec<f32> {
        let count = |s: f64| (s * f64::from(RATE)) as usize;
        let silence = || std::iter::repeat_n(0.0, count(silence_s));
        let sine =
            (0..count(seconds)).map(|i| (AMPLITUDE * (TAU * FREQUENCY / f64::from(RATE) * i as f64).sin()) as f32);
        silence().chain(sine).chain(silence()).collect()
    }

    /// Finds the tone; `None` where there is none.
    pub fn find(samples: &[f32]) -> Option<Tone> {
        let windows: Vec<(f64, f64)> =
            samples.chunks_exact(WINDOW).enumerate().map(|(i, w)| amplitude_and_phase(w, i * WINDOW)).collect();
        let mut loudness: Vec<f64> = windows.iter().map(|w| w.0).filter(|a| *a > AMPLITUDE / 50.0).collect();
        loudness.sort_by(f64::total_cmp);
        let typical = *loudness.get(loudness.len() / 2)?;
        let sounds = |w: &(f64, f64)| w.0 > typical / 2.0;
        let (first, last) = (windows.iter().position(sounds)?, windows.iter().rposition(sounds)?);
        let inner = (first + EDGE_WINDOWS)..(last.checked_sub(EDGE_WINDOWS)?);
        let step = |i: usize| wrapped(windows[i].1 - windows[i - 1].1);
        // Soft, or moving on otherwise than the window before.
        let bad = |i: &usize| windows[*i].0 < typical / 1.41 || wrapped(step(*i) - step(i - 1)).abs() > JUMP;
        let unclean: Vec<usize> = inner.clone().filter(bad).collect();
        let mut glitches: Vec<usize> = Vec::new();
        for i in &unclean {
            // One event spoils a few windows.
            if glitches.last().is_none_or(|g| i - g > 5) {
                glitches.push(*i);
            }
        }
        let at = |window: usize| (window - first) as f64 * WINDOW as f64 / f64::from(RATE);
        Some(Tone {
            begin_s: edge(samples, (first.max(1) - 1) * WINDOW, typical, false)?,
            end_s: edge(samples, (last + 2) * WINDOW, typical, true)?,
            level_db: 20.0 * typical.log10(),
            glitches: glitches.into_iter().map(at).collect(),
            clean_share: 1.0 - unclean.len() as f64 / inner.len().max(1) as f64,
        })
    }
}

/// Amplitude of the tone in a window, and its phase in cycles against a tone that began with the recording.
fn amplitude_and_phase(window: &[f32], start: usize) -> (f64, f64) {
    let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
    for (i, sample) in window.iter().enumerate() {
        let angle = TAU * FREQUENCY / f64::from(RATE) * (start + i) as f64;
        let hann = 0.5 - 0.5 * (TAU * (i as f64 + 0.5) / window.len() as f64).cos();
        re += hann * f64::from(*sample) * angle.cos();
        im -= hann * f64::from(*sample) * angle.sin();
        weight += hann;
    }
    (2.0 * re.hypot(im) / weight, im.atan2(re) / TAU)
}

fn wrapped(cycles: f64) -> f64 {
    cycles - cycles.round()
}

/// Where the tone reaches half its amplitude, from `near` on forwards, or backwards.
fn edge(samples: &[f32], near: usize, amplitude: f64, backwards: bool) -> Option<f64> {
    let loud = |s: &f32| f64::from(s.abs()) > amplitude / 2.0;
    let near = near.min(samples.len());
    let sample = match backwards {
        false => near + samples[near..].iter().position(loud)?,
        true => samples[..near].iter().rposition(loud)?,
    };
    Some(sample as f64 / f64::from(RATE))
}

#[test]
fn a_tone_is_found_with_its_edges_level_and_glitches() {
    let whole = Tone::samples(4.0, 0.5);
    let tone = Tone::find(&whole).expect("a tone");
    assert!((tone.begin_s - 0.5).abs() < 0.001 && (tone.end_s - 4.5).abs() < 0.001, "{} {}", tone.begin_s, tone.end_s);
    assert!((tone.level_db + 12.04).abs() < 0.1, "{}", tone.level_db);
    assert_eq!((tone.glitches.len(), tone.clean_share), (0, 1.0));
    assert!(Tone::find(&[0.0; 48_000]).is_none());
    for lost_ms in [1, 5, 10, 20] {
        let mut lost = whole.clone();
        lost.drain(96_000..96_000 + 48 * lost_ms);
        let found = Tone::find(&lost).expect("a tone").glitches;
        assert!(found.len() == 1 || lost_ms == 1, "{lost_ms} ms left out: {found:?}");
        let mut silent = whole.clone();
        silent[96_000..96_000 + 48 * lost_ms.max(4)].fill(0.0);
        assert_eq!(Tone::find(&silent).expect("a tone").glitches.len(), 1, "{lost_ms} ms silent");
    }
}
