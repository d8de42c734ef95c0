//! Voice activation: sending while somebody speaks, from a little before that on.

use super::samples;
use crate::media::activity::Activity;

/// What is loud for so long begins a talk spurt, and so much before it belongs to it.
const ONSET_MS: u32 = 10;
const PREROLL_MS: u32 = 60;
/// A talk spurt ends after so much silence.
const HANGOVER_MS: u32 = 400;

/// Sends while somebody speaks.
pub(super) struct Activation {
    pub(super) activity: Activity,
    pub(super) speaks: bool,
    /// The last frames that were not sent, oldest first once `next` of them are reckoned with.
    pub(super) before: Vec<Vec<f32>>,
    next: usize,
    pub(super) held: usize,
}

impl Activation {
    pub(super) fn new(threshold_dbfs: f32, frame: usize) -> Self {
        let activity = Activity::new(threshold_dbfs, samples(ONSET_MS), samples(HANGOVER_MS));
        let before = vec![vec![0.0; frame]; (samples(PREROLL_MS) / frame).max(1)];
        Self { activity, speaks: false, before, next: 0, held: 0 }
    }

    /// Nobody spoke, and nothing is held.
    pub(super) fn forget(&mut self) {
        self.activity.reset();
        (self.speaks, self.held) = (false, 0);
    }

    /// Keeps a frame that is not sent for now.
    pub(super) fn hold(&mut self, frame: &mut Vec<f32>) {
        std::mem::swap(&mut self.before[self.next], frame);
        self.next = (self.next + 1) % self.before.len();
        self.held = (self.held + 1).min(self.before.len());
    }

    /// Swaps the oldest frame held with `frame`; where it is from then on.
    pub(super) fn swap_oldest(&mut self, frame: &mut Vec<f32>) -> usize {
        let oldest = (self.next + self.before.len() - self.held) % self.before.len();
        std::mem::swap(&mut self.before[oldest], frame);
        self.held -= 1;
        oldest
    }
}
