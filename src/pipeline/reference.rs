//! What the speaker gets, for the thread that takes its echo out of the microphone.
//!
//! ```text
//! mix ──> Tap ──ring of 2.5 ms, each with its time──> Reference ──as many as were captured──> echo canceller
//! ```
//! Both devices run at 48 kHz, each by its own clock and in bursts of its own. What is handed out follows what is captured
//! sample by sample, a little behind. Where nothing has come there is silence, and what comes late for it is left out, so that
//! the echo stays where the canceller found it; when that happens again soon, it stays further behind from then on; and when
//! it has been further behind than needed for long, the excess is left out. The canceller finds the delay that is left.
//! Neither end waits, locks or allocates.

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use std::time::Duration;

use crate::time::Timestamp;

/// Samples in one piece: what is mixed at a time.
pub const PIECE: usize = 120;
/// Pieces the ring holds: 400 ms.
const PIECES_MAX: usize = 160;
/// Pieces that wait when handing out begins.
const CUSHION: usize = 2;
/// As many waiting at the least of times are an excess.
const EXCESS: usize = 8;
/// The least of times is looked for over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// What is late twice within this long is late by habit.
const HABIT: Duration = Duration::from_secs(5);
/// So many pieces without any, and there is no speaker.
const GONE: usize = 100;
/// Nothing older is handed out: the microphone was away.
const AGE_MAX: Duration = Duration::from_millis(250);

#[derive(Clone, Copy)]
struct Piece {
    at: Timestamp,
    samples: [f32; PIECE],
}

/// The speaker's end.
pub struct Tap {
    ring: HeapProd<Piece>,
}

/// The microphone's end.
pub struct Reference {
    ring: HeapCons<Piece>,
    /// Whether pieces are being handed out; before that they gather.
    flows: bool,
    /// Pieces since there were any.
    empty: usize,
    least: usize,
    window: Timestamp,
    lost: u64,
    /// Late pieces to be left out when they come, and when there were some last.
    owed: usize,
    late: Option<Timestamp>,
    /// Whether something was missing the last time, and whether it is left out.
    missing: bool,
    repays: bool,
}

/// Both ends of a new one.
pub fn tap() -> (Tap, Reference) {
    let (producer, consumer) = HeapRb::new(PIECES_MAX).split();
    let reference = Reference {
        ring: consumer,
        flows: false,
        empty: 0,
        least: usize::MAX,
        window: Timestamp(0),
        lost: 0,
        owed: 0,
        late: None,
        missing: false,
        repays: false,
    };
    (Tap { ring: producer }, reference)
}

impl Tap {
    /// The speaker gets `samples`, at `now`. What nobody takes out at the other end is left out.
    pub fn push(&mut self, now: Timestamp, samples: &[f32; PIECE]) {
        let _ = self.ring.try_push(Piece { at: now, samples: *samples });
    }
}

impl Reference {
    /// Fills `out`, a multiple of [`PIECE`] samples, with what the speaker got while as much was captured until `now`.
    pub fn take(&mut self, now: Timestamp, out: &mut [f32]) {
        let pieces = out.len() / PIECE;
        while self.ring.try_peek().is_some_and(|oldest| now.since(oldest.at) > AGE_MAX) {
            self.ring.try_pop();
            self.flows = false;
        }
        let waiting = self.ring.occupied_len();
        if !self.flows {
            if waiting < pieces + CUSHION {
                return out.fill(0.0);
            }
            self.skip(waiting - pieces - CUSHION);
            (self.flows, self.empty, self.least, self.window) = (true, 0, usize::MAX, now);
            (self.owed, self.late, self.missing) = (0, None, false);
        }
        // What has not come by now never will: the speaker's clock is slower, or it had nothing to play.
        if self.late.is_some_and(|at| now.since(at) > HABIT) {
            self.owed = 0;
        }
        // Only what is more than needed now is left out: in place of what comes too late, not of what comes in time.
        let late = self.owed.min(waiting.saturating_sub(pieces));
        self.skip(late);
        self.owed -= late;
        let lost = self.lost;
        for part in out.chunks_exact_mut(PIECE) {
            match self.ring.try_pop() {
                Some(piece) => part.copy_from_slice(&piece.samples),
                None => {
                    part.fill(0.0);
                    self.lost += 1;
                }
            }
        }
        self.owe((self.lost - lost) as usize, now);
        self.empty = if waiting > 0 { 0 } else { self.empty + pieces };
        // A speaker that plays nothing for a while begins anew.
        self.flows = self.empty < GONE;
        self.mind(now);
    }

    /// Notes that so many pieces have not come in time, or none.
    fn owe(&mut self, missing: usize, now: Timestamp) {
        let goes_on = std::mem::replace(&mut self.missing, missing > 0);
        if missing == 0 {
            return;
        }
        let before = self.late.replace(now);
        if !goes_on {
            self.repays = before.is_none_or(|before| now.since(before) > HABIT);
        }
        if self.repays {
            self.owed += missing;
        }
    }

    /// Leaves out an excess.
    fn mind(&mut self, now: Timestamp) {
        self.least = self.least.min(self.ring.occupied_len());
        if now.since(self.window) >= WINDOW {
            if self.least >= EXCESS {
                self.skip(self.least - CUSHION);
            }
            (self.least, self.window) = (usize::MAX, now);
        }
    }

    fn skip(&mut self, pieces: usize) {
        Consumer::skip(&mut self.ring, pieces);
    }

    /// Pieces that should have been there and were not, while there was a speaker.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod drift;

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 4 * PIECE;
    const MS: fn(u64) -> Timestamp = Timestamp::from_millis;

    /// Runs both ends, each in bursts of so many 2.5 ms; the number of the piece handed out with each block captured.
    fn run(steps: u64, played: u64, captured: u64) -> Vec<(u64, f32, u64)> {
        let (mut tap, mut reference) = tap();
        let (mut out, mut all) = ([0.0; BLOCK], Vec::new());
        for step in 1..=steps {
            let now = MS(step * 5 / 2);
            if step % played == 0 {
                (step - played..step).for_each(|piece| tap.push(now, &[piece as f32 + 1.0; PIECE]));
            }
            if step % captured == 0 {
                for _ in 0..captured / 4 {
                    reference.take(now, &mut out);
                    all.push((step, out[0], reference.lost()));
                }
            }
        }
        all
    }

    #[test]
    fn what_was_played_is_handed_out_in_order_at_one_distance() {
        for (played, captured) in [(1, 4), (2, 4), (4, 8), (8, 4), (16, 4), (7, 8)] {
            let all = run(4_000, played, captured);
            let settled = &all[all.len() / 4..];
            let gaps = settled.windows(2).filter(|w| w[1].1 - w[0].1 != 4.0).count();
            let lost = settled.last().expect("some").2 - settled[0].2;
            assert_eq!((gaps, lost), (0, 0), "{played} {captured}");
            let behind = settled.iter().map(|s| s.0 as f32 - s.1).fold(0.0, f32::max);
            assert!(behind <= (played + captured + 8) as f32, "{played} {captured}: {behind} pieces behind");
        }
    }

    #[test]
    fn an_excess_is_left_out_after_a_while_and_what_is_old_at_once() {
        let (mut tap, mut reference) = tap();
        let mut out = [0.0; BLOCK];
        let mut step = |reference: &mut Reference, ms: u64, pieces: u64| {
            (0..pieces).for_each(|_| tap.push(MS(ms), &[ms as f32; PIECE]));
            reference.take(MS(ms), &mut out);
            out[0]
        };
        step(&mut reference, 10, 4);
        for ms in (20..=200).step_by(10) {
            step(&mut reference, ms, 4);
        }
        // The speaker asked for 50 ms more at once.
        step(&mut reference, 210, 24);
        assert!(220.0 - step(&mut reference, 220, 4) <= 10.0 + 60.0);
        let mut last = 0.0;
        for ms in (230..=25_000).step_by(10) {
            last = step(&mut reference, ms, 4);
        }
        assert!(25_000.0 - last <= 20.0, "{last}");
        // Nothing was captured for a second, and then all of it is old.
        for ms in (25_010..26_000).step_by(10) {
            (0..4).for_each(|_| tap.push(MS(ms), &[ms as f32; PIECE]));
        }
        let mut take = |ms| {
            tap.push(MS(ms), &[ms as f32; PIECE]);
            reference.take(MS(ms), &mut out);
            out[0]
        };
        assert_eq!(take(26_300), 0.0, "what is left is older than that");
    }

    #[test]
    fn what_is_late_once_is_left_out_and_what_is_late_by_habit_is_waited_for() {
        let (mut tap, mut reference) = tap();
        let mut out = [0.0; BLOCK];
        let mut step = |reference: &mut Reference, ms: u64, from: u64| {
            (from..ms).step_by(10).for_each(|at| (0..4).for_each(|_| tap.push(MS(ms), &[at as f32; PIECE])));
            reference.take(MS(ms), &mut out);
            out[0]
        };
        let mut behind = |reference: &mut Reference, from: u64, to: u64, late: &[u64]| {
            let mut pushed = from;
            let mut last = 0.0;
            for ms in (from + 10..=to).step_by(10) {
                let begin = if late.contains(&ms) { ms } else { std::mem::replace(&mut pushed, ms) };
                last = ms as f32 - step(reference, ms, begin);
            }
            last
        };
        let before = behind(&mut reference, 0, 2_000, &[]);
        // Once in a while 20 ms come 20 ms late.
        for (from, late) in [(2_000, [3_000, 3_010]), (10_000, [12_000, 12_010]), (20_000, [22_000, 22_010])] {
            assert_eq!(behind(&mut reference, from, from + 8_000, &late), before, "{late:?}");
            reference.late = None;
        }
        assert!(reference.lost() > 0);
        let habit: Vec<u64> = (30_000..32_000).filter(|ms| ms % 50 == 10 || ms % 50 == 20).collect();
        let later = behind(&mut reference, 30_000, 32_000, &habit);
        let lost = reference.lost();
        let again: Vec<u64> = (32_000..34_000).filter(|ms| ms % 50 == 10 || ms % 50 == 20).collect();
        behind(&mut reference, 32_000, 34_000, &again);
        assert_eq!(reference.lost(), lost, "{later} ms behind instead of {before}, nothing is missing");
    }

    #[test]
    fn what_never_comes_is_missed_once() {
        let (mut tap, mut reference) = tap();
        let mut out = [0.0; BLOCK];
        let mut lost_after = 0;
        for ms in (10..60_000).step_by(10) {
            // The speaker's device had nothing to play for 30 ms, and never makes up for it.
            if !(20_000..20_030).contains(&ms) {
                (0..4).for_each(|_| tap.push(MS(ms), &[1.0; PIECE]));
            }
            reference.take(MS(ms), &mut out);
            if ms == 21_000 {
                lost_after = reference.lost();
            }
        }
        assert!((1..=24).contains(&lost_after), "{lost_after}");
        assert_eq!(reference.lost(), lost_after, "whatever comes is handed out");
    }

    #[test]
    fn a_slower_speaker_is_missed_as_often_as_it_is_slow() {
        for ppm in [-100.0, -20.0, 20.0, 100.0] {
            let (mut tap, mut reference) = tap();
            let (mut out, mut pushed) = ([0.0; BLOCK], 0u64);
            let blocks = 20 * 60 * 100u64;
            for block in 1..=blocks {
                let now = Timestamp(block * 10_000_000);
                // In bursts of two, by its own clock.
                let due = (block as f64 * 4.0 * (1.0 - ppm / 1e6)) as u64 / 2 * 2;
                (pushed..due).for_each(|_| tap.push(now, &[1.0; PIECE]));
                pushed = due;
                reference.take(now, &mut out);
            }
            let slower = (blocks as f64 * 4.0 * f64::max(ppm, 0.0) / 1e6) as u64;
            assert!(
                reference.lost() <= 3 * slower + 8,
                "{ppm} ppm: {} missing, {slower} by the clock",
                reference.lost()
            );
        }
    }

    #[test]
    fn without_a_speaker_there_is_silence_and_nothing_is_missed() {
        let (_, mut reference) = tap();
        let mut out = [1.0; BLOCK];
        (0..100).for_each(|n| reference.take(MS(10 * n), &mut out));
        assert_eq!((out, reference.lost()), ([0.0; BLOCK], 0));
    }
}
