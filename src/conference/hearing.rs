//! How loudly each person is played at this machine, and on what; and what is captured with: all of it may change at any
//! time.

use super::director::Director;
use super::door::called;
use super::follow::stream_key;
use super::troubles::Troubles;
use super::view::{Hearing, NoticeKind};
use crate::device::camera::CameraSpec;
use crate::device::sound::{MicrophoneSpec, SpeakerSpec};
use crate::pipeline::control::Command as Ask;
use crate::protocol::roster::Microphone;
use crate::wire::StreamKind;

/// Percent of the loudest.
const VOLUME_MAX: u16 = 400;

impl Hearing {
    /// What samples are multiplied by.
    pub fn gain(self) -> f32 {
        if self.silenced { 0.0 } else { f32::from(self.volume.min(VOLUME_MAX)) / 100.0 }
    }

    /// As it can be had: not louder than the loudest.
    fn bounded(self) -> Self {
        Self { volume: self.volume.min(VOLUME_MAX), ..self }
    }

    /// What whoever asked for it is told.
    fn told(self, name: &str) -> String {
        match self.silenced {
            true => format!("{name} is silenced, here only"),
            false => format!("{name} is played at {} %, here only", self.volume),
        }
    }

    /// Whether nothing of them is heard, for now or at volume 0.
    pub fn is_silent(self) -> bool {
        self.silenced || self.volume == 0
    }
}

impl Director {
    /// Plays somebody louder, softer or not at all, here only. It stays so when they leave and come back.
    pub(super) fn hear(&mut self, key: u64, hearing: Hearing) {
        let plays = {
            let mut state = self.shared.state();
            let Some(other) = state.people.of_key(key) else { return };
            other.hearing = hearing.bounded();
            other.voice.is_some()
        };
        if plays {
            self.voices.set_volume(stream_key(key, StreamKind::Audio), hearing.gain());
        }
    }

    /// The same of whoever is called so, or has this id; what is not told stays.
    pub(super) fn hear_of(&mut self, who: &str, volume: Option<u16>, silenced: Option<bool>) {
        let found = {
            let mut state = self.shared.state();
            let people = state.people.here().map(|o| (o.person.id, o.person.name.as_str()));
            let found = called(people, who, "here");
            found.map(|id| state.people.present(&id).map(|o| (o.key, o.hearing, o.person.name.clone())))
        };
        match found {
            Ok(Some((key, before, name))) => {
                let (volume, silenced) = (volume.unwrap_or(before.volume), silenced.unwrap_or(before.silenced));
                let hearing = Hearing { volume, silenced }.bounded();
                self.hear(key, hearing);
                self.say(NoticeKind::Info, &hearing.told(&name));
            }
            Ok(None) => {}
            Err(why) => self.say(NoticeKind::Warning, &why),
        }
    }

    fn no_device(&self, what: &str, text: &str, why: impl std::fmt::Display) {
        self.say(NoticeKind::Warning, &format!("{what} '{text}': {why}"));
    }

    /// Another camera; it is on afterwards if the one before was, or if there was none.
    pub(super) fn use_camera(&mut self, text: &str) {
        let spec: CameraSpec = match text.parse() {
            Ok(spec) => spec,
            Err(why) => return self.no_device("camera", text, why),
        };
        let before = self.shared.state().own.has_camera;
        let on = self.video.is_some() || !before;
        self.switch_camera(false);
        let exists = spec != CameraSpec::None;
        self.config.camera = spec;
        {
            let mut state = self.shared.state();
            state.devices.camera = text.to_owned();
            state.own.has_camera = exists;
            state.own.has_tile |= exists;
        }
        self.camera_told = false;
        if exists && on {
            self.switch_camera(true);
        }
    }

    /// Another microphone, muted as the one before was.
    pub(super) fn use_microphone(&mut self, text: &str) {
        let spec: MicrophoneSpec = match text.parse() {
            Ok(spec) => spec,
            Err(why) => return self.no_device("microphone", text, why),
        };
        let muted = {
            let mut state = self.shared.state();
            state.devices.microphone = text.to_owned();
            // Until the new one tells that it works.
            (state.own.has_microphone, state.own.captures) = (false, false);
            state.own.has_tile |= spec != MicrophoneSpec::None;
            state.own.muted
        };
        self.audio = None;
        // What was said was of the one before.
        self.microphone = Troubles::microphone();
        self.control.send(Ask::Microphone(Microphone::None));
        self.announce_voice(None);
        let exists = spec != MicrophoneSpec::None;
        self.config.microphone = spec;
        if exists && let Err(why) = self.start_microphone(muted) {
            self.no_device("microphone", text, why);
        }
    }

    /// Another speaker.
    pub(super) fn use_speaker(&mut self, text: &str) {
        let spec: SpeakerSpec = match text.parse() {
            Ok(spec) => spec,
            Err(why) => return self.no_device("speaker", text, why),
        };
        if let Err(why) = self.voices.set_speaker(&spec, &self.shared.clock) {
            return self.no_device("speaker", text, why);
        }
        self.speaker = Troubles::speaker();
        let silent_before = self.config.speaker == SpeakerSpec::None;
        self.config.speaker = spec;
        self.shared.state().devices.speaker = text.to_owned();
        if silent_before && self.config.text_only {
            self.follow_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_what_is_played() {
        for (volume, silenced, told) in [
            (50, false, "Bob is played at 50 %, here only"),
            (401, false, "Bob is played at 400 %, here only"),
            (50, true, "Bob is silenced, here only"),
        ] {
            assert_eq!(Hearing { volume, silenced }.bounded().told("Bob"), told);
        }
    }

    #[test]
    fn silence_is_no_gain_and_loudness_is_bounded() {
        let gain = |volume, silenced| Hearing { volume, silenced }.gain();
        let silent = |volume, silenced| Hearing { volume, silenced }.is_silent();
        assert_eq!([silent(100, false), silent(0, false), silent(100, true)], [false, true, true]);
        assert_eq!([gain(100, false), gain(50, false), gain(100, true), gain(9_999, false)], [1.0, 0.5, 0.0, 4.0]);
    }
}
