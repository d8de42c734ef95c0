//! Which packets of a silent voice go out.
//!
//! ```text
//! coded   voice voice s s s s ... s s refresh s s s
//! sent    voice voice s           s refresh*  s          * longer than two bytes: with the marker of RFC 3551 section 4.1
//! ```
//! The encoder turns silence into packets of two bytes at most, which need not be sent (RFC 7587 section 3.1.3). The first of
//! them tells receivers that nothing is lost, and so does one now and then; they fill what lies between with comfort noise.

use super::samples;

/// A packet no longer than this says that nobody speaks.
const SILENT_BYTES: usize = 2;
/// One of those is sent this often.
const EVERY_MS: u32 = 400;

/// Packets after a talk spurt that is cut off: one of silence, so that nothing of the word is left to be made up from, and
/// one that says that nothing follows.
const ENDING: u8 = 2;

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It carries a voice.
    Voice,
    /// It tells that nobody speaks.
    Silence,
    /// It is not sent.
    Unsent,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Samples since the last packet that told of this silence.
    since: Option<usize>,
    ending: u8,
}

impl Silence {
    /// Decides on a packet of `bytes` that holds so many samples.
    pub(super) fn fate(&mut self, bytes: usize, length: usize) -> Fate {
        if bytes > SILENT_BYTES {
            self.since = None;
            return Fate::Voice;
        }
        let since = self.since.map_or(samples(EVERY_MS), |since| since + length);
        let sent = since >= samples(EVERY_MS);
        self.since = Some(if sent { 0 } else { since });
        if sent { Fate::Silence } else { Fate::Unsent }
    }

    /// Whether receivers know that nobody speaks.
    pub(super) fn is_told(&self) -> bool {
        self.since.is_some()
    }

    /// The spurt ends in the middle of a word, maybe.
    pub(super) fn cut_off(&mut self) {
        self.ending = if self.is_told() { 0 } else { ENDING };
    }

    /// It goes on; receivers may have forgotten what they were told.
    pub(super) fn go_on(&mut self) {
        *self = Self::default();
    }

    /// The next packet of the ending: true for the last one, which tells that nothing follows.
    pub(super) fn ending(&mut self) -> Option<bool> {
        let left = self.ending;
        self.ending = left.saturating_sub(1);
        (left > 0).then_some(left == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_silence_is_sent_and_one_now_and_then() {
        let mut silence = Silence::default();
        assert_eq!((silence.fate(80, 960), silence.is_told()), (Fate::Voice, false));
        for _ in 0..3 {
            assert_eq!((silence.fate(1, 960), silence.is_told()), (Fate::Silence, true));
            (1..20).for_each(|n| assert_eq!(silence.fate(2 - n % 2, 960), Fate::Unsent, "{n}"));
        }
        assert_eq!(silence.fate(3, 960), Fate::Voice);
        assert_eq!(silence.fate(2, 480), Fate::Silence);
    }

    #[test]
    fn a_word_that_is_cut_off_has_an_ending_once() {
        let mut silence = Silence::default();
        assert_eq!(silence.ending(), None);
        silence.cut_off();
        assert_eq!([silence.ending(), silence.ending(), silence.ending()], [Some(false), Some(true), None]);
        silence.cut_off();
        silence.go_on();
        assert_eq!(silence.ending(), None);
        silence.fate(1, 960);
        silence.cut_off();
        assert_eq!(silence.ending(), None, "it is known");
    }
}
