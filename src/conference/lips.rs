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
use crate::device::sound::SpeakerSpec;
use crate::protocol::lip_sync::Voice;
use crate::protocol::roster::Microphone;
use crate::time::NtpTime;
use crate::wire::StreamKind;

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
        let voice = if listens { self.voice_now() } else { Voice::Off };
        let talker = self.voice.as_ref().and_then(|_| self.talking.newest());
        let offset = self.offset.get();
        let sound = talker.zip(offset).and_then(|(talker, offset)| {
            let captured = talker.played()?.offset(offset.saturating_neg());
            Some(wall.nanos_from(captured) as f32 / 1e6 + talker.device_ms())
        });
        let buffer = talker.map_or(0.0, |t| t.target_ms());
        let least_ms = self.lips.measure(voice, sound, self.video.latency.recent_middle_ms(), buffer);
        self.picture.hold(Duration::from_secs_f32(self.lips.hold() / 1_000.0));
        least_ms
    }

    /// Whether there was something to hear of them since this was asked last.
    fn voice_now(&mut self) -> Voice {
        let words = self.voice.as_ref().and_then(|_| self.talking.newest()).map_or(0, |talker| talker.words());
        let talks = std::mem::replace(&mut self.words, words) != words;
        match (&self.voice, self.person.microphone) {
            (Some(_), Microphone::On) if self.hearing.gain() > 0.0 => {
                if talks {
                    Voice::Talks
                } else {
                    Voice::Quiet
                }
            }
            _ => Voice::Off,
        }
    }
}
