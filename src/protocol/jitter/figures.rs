//! What the buffer says of itself, and what is to be done with the audio that left it.

use super::delay::PER_MS;
use super::{Counters, JitterBuffer, State, Wish};
use crate::limits::JITTER_DELAY_MS_MAX;

/// Likeness asked of the two sides of what is put in while nothing comes: a gap would be heard more.
const LAST_LIKENESS: f32 = 0.0;

impl JitterBuffer {
    /// How fast the decoded audio should be consumed to follow the talker's clock: 1 = as it was recorded. Within 0.2 %.
    pub fn speed(&self) -> f64 {
        if self.state == State::Playing { self.regulator.speed() } else { 1.0 }
    }

    /// Whether what is decoded should be made shorter or longer now; [`cut`](Self::cut) is to be told when it was. It may
    /// wish so more than once after a packet.
    pub fn wish(&self) -> Option<Wish> {
        if self.state != State::Playing || self.pending != 0 {
            return None;
        }
        let room = JITTER_DELAY_MS_MAX as f64 * PER_MS as f64 - self.delay;
        if self.scarce > 0 && self.silent.is_none() && room > 0.0 {
            return Some(Wish { shorten: false, likeness: LAST_LIKENESS, most: room as usize });
        }
        self.regulator.wish()
    }

    /// What was decoded was made shorter or longer by so many samples.
    pub fn cut(&mut self, shortened: bool, samples: usize) {
        let (length, count) = (samples as i64, samples as u64);
        self.regulator.cut(shortened, length);
        if shortened {
            self.delay -= length as f64;
            self.counters.accelerated += 1;
            self.counters.accelerated_samples += count;
        } else {
            self.delay += length as f64;
            self.scarce = (self.scarce - 1).max(0);
            self.counters.expanded += 1;
            self.counters.expanded_samples += count;
        }
    }

    /// How much faster the talker's clock runs than the one it is played by, in parts per million.
    pub fn drift_ppm(&self) -> f32 {
        self.regulator.drift_ppm() as f32
    }

    /// Mean time the audio waits here between arrival and mixing, in milliseconds; 0 while nothing plays.
    pub fn buffer_ms(&self) -> f32 {
        if self.state != State::Playing {
            return 0.0;
        }
        ((self.delay + self.frame as f64 / 2.0) / PER_MS as f64).max(0.0) as f32
    }

    /// The delay aimed at, in milliseconds.
    pub fn target_ms(&self) -> f32 {
        self.target() as f32 / PER_MS as f32
    }

    /// The audio waits so long for late packets at least, whatever the network's jitter.
    pub fn set_least_ms(&mut self, ms: f32) {
        let ms = if ms.is_finite() { ms.clamp(0.0, JITTER_DELAY_MS_MAX as f32) } else { 0.0 };
        let least = (ms * PER_MS as f32) as i64;
        if std::mem::replace(&mut self.least, least) != least {
            self.regulator.go_all_the_way();
        }
    }

    /// So many samples wait for the speaker beyond what its periods need, because the machine was held up.
    pub fn set_elsewhere(&mut self, samples: usize) {
        self.early.set_elsewhere(samples as i64);
    }

    /// RTP timestamp at the end of what has been handed out; `None` while nothing plays.
    pub fn timestamp(&self) -> Option<u32> {
        self.playing().then_some(self.position as u32)
    }

    /// Whether audio is being played or made up.
    pub fn playing(&self) -> bool {
        self.state == State::Playing
    }

    /// Counts from nothing again; all else goes on.
    pub fn count_anew(&mut self) {
        self.counters = Counters::default();
        (self.received_here, self.lost_before) = (0, 0);
        self.first_sequence = self.sequences.highest().map_or(0, |highest| highest + 1);
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
