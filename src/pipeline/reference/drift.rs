//! The speaker's clock and the microphone's run apart: the echo is found again and again.

use super::*;
use crate::media::mix::level_dbfs;
use crate::media::opus::RATE;
use crate::media::voice::tests::{FAR, convolved, room, speech};
use crate::media::voice::{BLOCK, Processor, Settings};

/// The echo of `far` in a room, as a microphone hears it whose clock runs faster than the speaker's by this.
fn drifting_echo(far: &[f32], ppm: f64) -> Vec<f32> {
    let echo = convolved(far, &room(40, 150, 1.0));
    let at = |n: usize| n as f64 * (1.0 - ppm / 1e6);
    let between = |n: usize| {
        let (i, part) = (at(n) as usize, at(n).fract() as f32);
        // Four points: a straight line would lose the high ones, and that would be noise nobody could cancel.
        let s = |k: usize| echo.get((i + k).wrapping_sub(1)).copied().unwrap_or(0.0);
        let (a, b, c, d) = (s(0), s(1), s(2), s(3));
        b + 0.5 * part * (c - a + part * (2.0 * a - 5.0 * b + 4.0 * c - d + part * (3.0 * (b - c) + d - a)))
    };
    (0..far.len()).take_while(|n| at(*n) < far.len() as f64 - 2.0).map(between).collect()
}

#[test]
fn the_echo_stays_away_while_two_clocks_drift_apart() {
    let seconds = 30;
    let Some(far) = speech(FAR, "en", seconds) else { return };
    for ppm in [-100.0, 100.0] {
        let echo = drifting_echo(&far, ppm);
        let (mut tap, mut reference) = tap();
        let mut processor = Processor::new(Settings { echo: true, ..Settings::NONE });
        let (mut heard, mut played, mut out) = ([0.0; BLOCK], 0, echo[..echo.len() / BLOCK * BLOCK].to_vec());
        for (n, block) in out.chunks_exact_mut(BLOCK).enumerate() {
            // By the microphone's clock; the speaker asks for pieces by its own, in bursts of two.
            let captured = (n + 1) * BLOCK;
            let due = (captured as f64 * (1.0 - ppm / 1e6)) as usize / (2 * PIECE) * 2;
            let now = Timestamp(captured as u64 * 1_000_000 / 48);
            for piece in far.chunks_exact(PIECE).take(due).skip(played) {
                tap.push(now, piece.try_into().expect("a piece"));
            }
            played = due;
            reference.take(now, &mut heard);
            processor.process(&heard, block);
        }
        let second = |s: &[f32], n: usize| level_dbfs(&s[n * RATE as usize..(n + 2) * RATE as usize]);
        let losses: Vec<f32> = (2..seconds - 2).step_by(2).map(|n| second(&echo, n) - second(&out, n)).collect();
        println!("{ppm:+} ppm: echo less by {losses:.0?} dB, {} pieces missing", reference.lost());
        let least = losses.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(least >= 20.0, "{least} dB at the least");
    }
}
