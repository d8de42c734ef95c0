//! Each person's sound in step with the person's picture: both delays are measured against the sender's clock, each second.
//!
//! ```text
//! sound delay, picture delay > protocol::lip_sync ─┬─ the sound waits: least delay of its jitter buffer
//!                                                  └─ the picture waits: hold of its slot
//! ```

use std::time::Duration;

use super::director::Director;
use super::follow::stream_key;
use super::people::Other;
use super::view::Hearing;
use crate::device::sound::SpeakerSpec;
use crate::protocol::lip_sync::{LipSync, Voice};
use crate::protocol::roster::Microphone;
use crate::time::NtpTime;
use crate::wire::StreamKind;

/// What is known of one person's sound and picture together.
#[derive(Default)]
pub struct Lips {
    /// Which waits for which.
    pub sync: LipSync,
    /// What was counted of the voice's words.
    words: u64,
}

impl Lips {
    /// Whether there was something to hear since this was asked last, of a voice of which so many `words` were counted.
    fn voice(&mut self, words: Option<u64>, microphone: Microphone, hearing: Hearing) -> Voice {
        let talks = words != Some(std::mem::replace(&mut self.words, words.unwrap_or_default()));
        match talks {
            _ if words.is_none() || microphone != Microphone::On || hearing.is_silent() => Voice::Off,
            true => Voice::Talks,
            false => Voice::Quiet,
        }
    }
}

impl Director {
    /// Lets the sound wait for the pictures that take longer, or the pictures for the sound; where a low delay is asked for
    /// nothing waits.
    pub(super) fn keep_lips(&self) {
        let waits = !self.config.low_delay;
        let listens = waits && self.config.speaker != SpeakerSpec::None;
        let wall = self.shared.clock.wall();
        let mut state = self.shared.state();
        for other in state.people.present_mut() {
            if let Some(least_ms) = other.keep_lips(wall, listens).filter(|_| waits) {
                self.voices.set_least_delay(stream_key(other.key, StreamKind::Audio), least_ms);
            }
        }
    }
}

impl Other {
    /// Measures how far sound and picture are apart, and holds the pictures as that asks for where anybody `listens`; the
    /// least delay of the sound from now on, when it changes.
    fn keep_lips(&mut self, wall: NtpTime, listens: bool) -> Option<f32> {
        let talker = self.voice.as_ref().and_then(|_| self.talking.newest());
        let words = talker.filter(|_| listens).map(|talker| talker.words());
        let voice = self.lips.voice(words, self.person.microphone, self.hearing);
        let offset = self.offset.get();
        let sound = talker.zip(offset).and_then(|(talker, offset)| {
            let captured = talker.played()?.offset(offset.saturating_neg());
            Some(wall.nanos_from(captured) as f32 / 1e6 + talker.device_ms())
        });
        let buffer = talker.map_or(0.0, |t| t.target_ms());
        let least_ms = self.lips.sync.measure(voice, sound, self.video.latency.recent_middle_ms(), buffer);
        self.picture.hold(Duration::from_secs_f32(self.lips.sync.hold() / 1_000.0));
        least_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_of_who_is_neither_muted_nor_silenced_nor_quiet() {
        let (aloud, silenced) = (Hearing::default(), Hearing { silenced: true, ..Hearing::default() });
        let faint = Hearing { volume: 0, ..Hearing::default() };
        let mut lips = Lips::default();
        assert_eq!(lips.voice(Some(3), Microphone::On, aloud), Voice::Talks);
        assert_eq!(lips.voice(Some(3), Microphone::On, aloud), Voice::Quiet);
        assert_eq!(lips.voice(Some(4), Microphone::On, aloud), Voice::Talks);
        for (microphone, hearing) in
            [(Microphone::Muted, aloud), (Microphone::None, aloud), (Microphone::On, silenced), (Microphone::On, faint)]
        {
            assert_eq!(lips.voice(Some(lips.words + 1), microphone, hearing), Voice::Off, "{microphone:?} {hearing:?}");
        }
        assert_eq!(lips.voice(None, Microphone::On, aloud), Voice::Off, "nothing is received, or nobody listens");
    }
}
