//! What is done where something is missing: it is made up, rebuilt, or passes in silence; and what of it was a loss.

use super::delay::PER_MS;
use super::{FEC_LOSS_OFF, FEC_LOSS_ON, JitterBuffer, MAKE_UP, NOISE, SILENT_MAX, State, Verdict};
use crate::limits::CONCEAL_MS_MAX;

/// What stands for what is missing before a packet that is there.
pub(super) enum Bridge {
    Fec { index: usize, samples: usize },
    Conceal { samples: usize },
}

impl JitterBuffer {
    /// Nothing is there: make up a little, then be silent.
    pub(super) fn dry(&mut self, now: i64, ahead: i64) -> Verdict<'_> {
        if self.state == State::Playing && self.silent.is_some() {
            self.state = State::Waiting;
        }
        if self.state != State::Playing {
            return self.nothing(now);
        }
        if self.pending >= CONCEAL_MS_MAX as i64 * PER_MS {
            self.state = State::Starved { since: now + ahead };
            return Verdict::Empty;
        }
        if self.pending == 0 {
            // It was asked for too early, or came too late: the former is not to happen again and again.
            self.early.observe(self.delay - self.delay_of(now, self.position) as f64, 0);
        }
        self.pending += MAKE_UP;
        self.position += MAKE_UP;
        Verdict::Conceal { samples: MAKE_UP as usize }
    }

    /// Nothing is to be played.
    pub(super) fn nothing(&self, now: i64) -> Verdict<'_> {
        match self.silent {
            Some(since) if now - since < SILENT_MAX => Verdict::Noise { samples: NOISE },
            _ => Verdict::Empty,
        }
    }

    /// The next packet lies `gap` samples after what has been played. `None`: it waits for its time.
    pub(super) fn bridge(&mut self, index: usize, gap: i64) -> Option<Bridge> {
        let slot = &self.slots[index];
        let (sequence, timestamp, samples) = (slot.sequence, slot.timestamp, slot.samples);
        let (paused, most) = (self.paused(sequence, timestamp), CONCEAL_MS_MAX as i64 * PER_MS);
        if !paused && gap > most && self.pending < most {
            // Too much to fill: it ends as it does when nothing comes.
            self.pending += MAKE_UP;
            self.position += MAKE_UP;
            return Some(Bridge::Conceal { samples: MAKE_UP as usize });
        }
        self.settle(sequence, timestamp, 0);
        if paused || gap > most {
            if !paused {
                self.counters.concealed_samples += gap.min(self.most_lost(sequence)).unsigned_abs();
            }
            self.state = State::Waiting;
            return None;
        }
        self.count_loss(true);
        if gap == samples {
            self.position += gap;
            self.bridged = self.position;
            self.counters.recovered += 1;
            return Some(Bridge::Fec { index, samples: gap as usize });
        }
        // The last piece of a packet's length is left to its redundancy.
        let step = self.frame.min(if gap > samples { gap - samples } else { gap });
        self.position += step;
        self.bridged = self.position;
        self.counters.concealed_samples += step.unsigned_abs();
        Some(Bridge::Conceal { samples: step as usize })
    }

    pub(super) fn hand_out(&self, bridge: Bridge) -> Verdict<'_> {
        match bridge {
            Bridge::Fec { index, samples } => Verdict::Fec { following: &self.slots[index].payload, samples },
            Bridge::Conceal { samples } => Verdict::Conceal { samples },
        }
    }

    /// A packet shows whether what was made up meanwhile was a loss or a pause of the talker.
    pub(super) fn settle(&mut self, sequence: u64, timestamp: i64, silent: i64) {
        if self.pending + silent > 0 && !self.paused(sequence, timestamp) {
            let most = self.most_lost(sequence);
            self.counters.concealed_samples += (self.pending + silent.min(most)).unsigned_abs();
            for _ in 0..self.pending.min(most) / self.frame.max(1) {
                self.count_loss(true);
            }
        }
        self.pending = 0;
    }

    /// The longest that what is missing before this packet can have been, by its number: one lost packet of those that tell
    /// of a silence does not make the whole silence a loss.
    fn most_lost(&self, sequence: u64) -> i64 {
        match self.last_end {
            Some((last, _)) if sequence > last + 1 => {
                i64::try_from(sequence - last - 1).unwrap_or(i64::MAX).saturating_mul(self.frame)
            }
            _ => i64::MAX,
        }
    }

    /// The sender left a pause: the numbers go on, the timestamps jump (RFC 3551 section 4.1).
    pub(super) fn paused(&self, sequence: u64, timestamp: i64) -> bool {
        self.last_end.is_some_and(|(last, end)| sequence == last + 1 && timestamp > end)
    }

    pub(super) fn count_loss(&mut self, lost: bool) {
        self.loss += (if lost { 1.0 } else { 0.0 } - self.loss) / 256.0;
        self.fec_room = self.loss > if self.fec_room { FEC_LOSS_OFF } else { FEC_LOSS_ON };
    }
}
