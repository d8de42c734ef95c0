//! What canceller and suppressor leave over is lowered further, by how much they took away.
//!
//! ```text
//! captured, as late as it comes out ─┐
//! cleaned ─────────────────────> taken away, in dB > gain > ramp > to be evened out
//! ```
//! Where little was taken away somebody speaks here, and nothing is done. Where nearly everything was, what is left is what
//! those two could not get hold of, and no voice. While the speaker sounds it is lowered by a lot, but not below what is heard
//! here in silence, once that is known: a line that falls dead with each word from over there is as bad as an echo. The last
//! of a room's tail, which a canceller lets pass, is told by its level: below that of the echo before it. Otherwise what is
//! left is noise, and lowered by a little, once there was time to tell noise from a voice. It opens within the block that has
//! to be heard, and closes slowly. Nothing is delayed, and nothing is allocated.

use super::{BLOCK, Floor};
use crate::media::mix::SILENCE_DBFS;

/// So much is taken away from somebody who speaks, too; from then on it is lowered by so many dB for each.
const VOICE_DB: f32 = 18.0;
const STEEP: f32 = 2.0;
/// The most it is lowered by while the speaker sounds, and otherwise.
const ECHO_DB: f32 = 24.0;
const NOISE_DB: f32 = 6.0;
/// Where so much is taken away, all there was is echo. Its tail is softer than it by this at least, falls by so many dB
/// a block, as in a hall, and is lowered by so many dB for each that it is softer still.
const NOTHING_ELSE_DB: f32 = 25.0;
const TAIL_DB: f32 = 3.0;
const TAIL_FALLS_DB: f32 = 0.75;
const TAIL_STEEP: f32 = 4.0;
/// The speaker sounds when it gets this, and so long thereafter, in blocks: half a second of delay and a room's tail.
const HEARD_DBFS: f32 = -60.0;
const HEARD_BLOCKS: u32 = 80;
/// A suppressor takes a steady voice for noise at first, for so many blocks.
const LEARNING_BLOCKS: u32 = 200;
/// How long it stays open after a voice, in blocks, and how fast it closes then, in dB a block.
const HOLD_BLOCKS: u32 = 8;
const CLOSING_ECHO_DB: f32 = 4.0;
const CLOSING_NOISE_DB: f32 = 0.5;
/// Samples over which it opens.
const OPENING: usize = BLOCK / 4;
/// Levels are taken of what changes within so many samples, half a millisecond: canceller and suppressor take rumble
/// and the offset of a cheap microphone away, too, and that tells nothing.
const APART: usize = 24;
/// Less than that is silence, and more is no sound; in power.
const SILENT: f32 = 1e-10;
const LOUDEST: f32 = 100.0;
/// Sums that are made side by side; blocks, and these without what is apart, are made of so many samples.
const LANES: usize = 8;
/// The latest that anything comes out, in blocks.
const KEPT: usize = 3;

const _: () = assert!(BLOCK.is_multiple_of(LANES) && APART.is_multiple_of(LANES));

/// Lowers one voice's residue.
pub(super) struct Residue {
    /// The echo is taken out before it, and noise held down.
    echo: bool,
    noise: bool,
    /// Blocks until what is held down is noise for certain.
    learning: u32,
    delay: usize,
    captured: [f32; KEPT * BLOCK],
    /// Blocks for which the speaker still sounds.
    sounding: u32,
    /// The most that the echo's tail can still be.
    tail: f32,
    /// Blocks for which it stays open.
    held: u32,
    lowered_db: f32,
    gain: f32,
    /// What comes out while the speaker is silent.
    floor: Floor,
}

impl Residue {
    /// Behind what comes out `delay` samples late, with the echo taken out and noise held down, or not.
    pub(super) fn new(delay: usize, echo: bool, noise: bool) -> Self {
        debug_assert!(delay + BLOCK <= KEPT * BLOCK);
        Self {
            echo,
            noise,
            learning: LEARNING_BLOCKS,
            delay,
            captured: [0.0; KEPT * BLOCK],
            sounding: 0,
            tail: SILENCE_DBFS,
            held: 0,
            lowered_db: 0.0,
            gain: 1.0,
            floor: Floor::default(),
        }
    }

    /// Takes note of a block as it is captured, and of what the speaker gets meanwhile.
    pub(super) fn note(&mut self, heard: &[f32], captured: &[f32]) {
        self.captured.copy_within(BLOCK.., 0);
        self.captured[(KEPT - 1) * BLOCK..].copy_from_slice(captured);
        let sounds = self.echo && level_db(heard) > HEARD_DBFS;
        self.learning = self.learning.saturating_sub(1);
        self.sounding = if sounds { HEARD_BLOCKS } else { self.sounding.saturating_sub(1) };
    }

    /// Lowers what is left in the block that has come out after that.
    pub(super) fn lower(&mut self, cleaned: &mut [f32]) {
        let end = KEPT * BLOCK - self.delay;
        let (before, after) = (changes_db(&self.captured[end - BLOCK..end]), changes_db(cleaned));
        let wanted = self.wanted(before, after, level_db(cleaned));
        if wanted <= 0.0 {
            self.held = HOLD_BLOCKS;
        }
        if wanted < self.lowered_db {
            self.lowered_db = wanted;
        } else if self.held > 0 {
            self.held -= 1;
        } else {
            let step = if self.sounding > 0 { CLOSING_ECHO_DB } else { CLOSING_NOISE_DB };
            self.lowered_db = (self.lowered_db + step).min(wanted);
        }
        self.ramp(cleaned);
        if self.sounding == 0 {
            self.floor.feed(level_db(cleaned));
        }
    }

    /// How much a block is to be lowered, by what changes in it before and after it was cleaned, and its level since.
    fn wanted(&mut self, before: f32, after: f32, level: f32) -> f32 {
        let taken = before - after;
        let beyond = STEEP * (taken - VOICE_DB);
        let noise = if self.noise && self.learning == 0 { beyond.clamp(0.0, NOISE_DB) } else { 0.0 };
        self.tail -= TAIL_FALLS_DB;
        if self.sounding == 0 {
            self.tail = SILENCE_DBFS;
            return noise;
        }
        if taken >= NOTHING_ELSE_DB {
            self.tail = self.tail.max(before - TAIL_DB);
        }
        let echo = beyond.max(TAIL_STEEP * (self.tail - before)).clamp(0.0, ECHO_DB);
        echo.min(level - self.floor.known().unwrap_or(SILENCE_DBFS)).max(noise)
    }

    fn ramp(&mut self, cleaned: &mut [f32]) {
        let to = 10f32.powf(-self.lowered_db / 20.0);
        let from = std::mem::replace(&mut self.gain, to);
        if from == 1.0 && to == 1.0 {
            return;
        }
        let length = if to > from { OPENING } else { BLOCK };
        let step = (to - from) / length as f32;
        let (ramp, rest) = cleaned.split_at_mut(length);
        ramp.iter_mut().enumerate().for_each(|(i, s)| *s *= from + step * (i + 1) as f32);
        rest.iter_mut().for_each(|s| *s *= to);
    }
}

/// Level of a block; as `level_dbfs` tells it, but the order of the sum is left to the processor, which is much faster.
fn level_db(samples: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for some in samples.chunks_exact(LANES) {
        sums.iter_mut().zip(some).for_each(|(sum, s)| *sum += s * s);
    }
    db(sums, samples.len())
}

/// Level of what changes quickly.
fn changes_db(samples: &[f32]) -> f32 {
    let length = samples.len() - APART;
    let (from, to) = (&samples[..length], &samples[APART..]);
    let mut sums = [0.0; LANES];
    for (from, to) in from.chunks_exact(LANES).zip(to.chunks_exact(LANES)) {
        for ((sum, from), to) in sums.iter_mut().zip(from).zip(to) {
            *sum += (to - from) * (to - from);
        }
    }
    db(sums, length)
}

fn db(sums: [f32; LANES], length: usize) -> f32 {
    10.0 * (SILENT + sums.iter().sum::<f32>() / length as f32).min(LOUDEST).log10()
}
