//! Each person's sound in step with the person's picture: both delays are measured against the sender's clock, each second.

use super::director::Director;
use super::follow::stream_key;
use super::people::Other;
use crate::time::NtpTime;
use crate::wire::StreamKind;

impl Director {
    /// Lets the sound wait for the pictures that take longer; where a low delay is asked for it waits for nothing.
    pub(super) fn keep_lips(&self) {
        let waits = !self.config.low_delay;
        let wall = self.shared.clock.wall();
        let mut state = self.shared.state();
        for other in state.people.present_mut() {
            if let Some(least_ms) = other.keep_lips(wall).filter(|_| waits) {
                self.voices.set_least_delay(stream_key(other.key, StreamKind::Audio), least_ms);
            }
        }
    }
}

impl Other {
    /// Measures how far sound and picture are apart; the least delay of the sound from now on, when it changes.
    fn keep_lips(&mut self, wall: NtpTime) -> Option<f32> {
        let talker = self.voice.as_ref().and_then(|_| self.talking.newest());
        let offset = self.offset.get();
        let sound = talker.zip(offset).and_then(|(talker, offset)| {
            let captured = talker.played()?.offset(offset.saturating_neg());
            Some(wall.nanos_from(captured) as f32 / 1e6 + talker.device_ms())
        });
        let buffer = talker.map_or(0.0, |t| t.target_ms());
        self.lips.measure(sound, self.video.latency.recent_ms(), buffer)
    }
}
