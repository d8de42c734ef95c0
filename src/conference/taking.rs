//! How the own voice is taken up: when it is sent, what is done to it, and the notice that one is muted.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::director::Director;
use super::view::NoticeKind;
use crate::device::sound::MicrophoneSpec;
use crate::media::voice;
use crate::pipeline::control::Command as Ask;
use crate::protocol::roster::Microphone;
use crate::time::Timestamp;

/// Between two notices that one is muted.
const MUTED_NOTICE: Duration = Duration::from_secs(20);

/// When a voice is sent that is not muted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TalkMode {
    /// All the time.
    #[default]
    Open,
    /// While somebody speaks.
    Voice,
    /// While a key is held; muted otherwise.
    Push,
}

impl TalkMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Voice, Self::Push];

    /// As settings and commands have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Voice => "voice",
            Self::Push => "push",
        }
    }
}

impl fmt::Display for TalkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// There is no such way to talk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("open, voice or push is expected")]
pub struct NoTalk;

impl FromStr for TalkMode {
    type Err = NoTalk;

    fn from_str(text: &str) -> Result<Self, NoTalk> {
        Self::ALL.into_iter().find(|talk| talk.word() == text).ok_or(NoTalk)
    }
}

/// What can be taken for silence.
pub const THRESHOLDS_DBFS: RangeInclusive<i8> = -90..=0;

/// How the own voice is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Taking {
    /// When it is sent.
    pub talk: TalkMode,
    /// With voice activation: softer than this is silence, in dBFS.
    pub threshold_dbfs: i8,
    /// The speaker's echo is taken out.
    pub echo: bool,
    /// Noise is held down.
    pub noise: bool,
    /// Loudness is evened out.
    pub gain: bool,
    /// What is played is heard by nobody but the person at this machine: there is no echo.
    pub headset: bool,
    /// For the least delay nothing is done to the voice, whatever is asked for above: it would take 10 ms to gather what is
    /// worked on at a time, and 15 ms to work on it, where a packet is 5 ms.
    pub low_delay: bool,
}

impl Default for Taking {
    fn default() -> Self {
        Self {
            talk: TalkMode::Open,
            threshold_dbfs: -45,
            echo: true,
            noise: true,
            gain: true,
            headset: false,
            low_delay: false,
        }
    }
}

impl Taking {
    /// Whether something is done.
    pub fn does(mut self, what: Improvement) -> bool {
        *self.place(what) && self.lets(what)
    }

    /// Whether something can be done at all.
    pub fn lets(self, what: Improvement) -> bool {
        match what {
            Improvement::Headset => true,
            Improvement::Echo => !self.headset && !self.low_delay,
            Improvement::Noise | Improvement::Gain => !self.low_delay,
        }
    }

    /// With something done, or not.
    pub fn with(mut self, what: Improvement, on: bool) -> Self {
        *self.place(what) = on;
        self
    }

    fn place(&mut self, what: Improvement) -> &mut bool {
        match what {
            Improvement::Echo => &mut self.echo,
            Improvement::Noise => &mut self.noise,
            Improvement::Gain => &mut self.gain,
            Improvement::Headset => &mut self.headset,
        }
    }

    /// Whether anything may be done to the voice of this microphone: a simulated one is sent as it is.
    pub(super) fn works_on(microphone: &MicrophoneSpec) -> bool {
        matches!(microphone, MicrophoneSpec::Auto | MicrophoneSpec::Name(_))
    }

    /// What is done to the voice of this microphone.
    pub(super) fn voice(self, microphone: &MicrophoneSpec) -> voice::Settings {
        let does = |what| Self::works_on(microphone) && self.does(what);
        voice::Settings {
            echo: does(Improvement::Echo),
            noise: does(Improvement::Noise),
            gain: does(Improvement::Gain),
        }
    }

    /// What is silence, with voice activation.
    pub(super) fn threshold(self) -> Option<f32> {
        (self.talk == TalkMode::Voice).then_some(f32::from(self.threshold_dbfs))
    }
}

/// Something that is done to a voice, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Improvement {
    /// The speaker's echo is taken out.
    Echo,
    /// Noise is held down.
    Noise,
    /// Loudness is evened out.
    Gain,
    /// There is no echo.
    Headset,
}

impl Improvement {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Echo, Self::Noise, Self::Gain, Self::Headset];

    /// As commands have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Noise => "noise",
            Self::Gain => "gain",
            Self::Headset => "headset",
        }
    }

    /// The setting that keeps it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Echo => "audio_echo",
            Self::Noise => "audio_noise",
            Self::Gain => "audio_gain",
            Self::Headset => "headset",
        }
    }
}

/// Nothing of that name is done to a voice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("echo, noise, gain or headset is expected")]
pub struct NoImprovement;

impl FromStr for Improvement {
    type Err = NoImprovement;

    fn from_str(text: &str) -> Result<Self, NoImprovement> {
        Self::ALL.into_iter().find(|what| what.word() == text).ok_or(NoImprovement)
    }
}

/// Tells somebody who speaks that they are muted, and not again soon.
#[derive(Default)]
pub(super) struct Reminder {
    told: Option<Timestamp>,
}

impl Reminder {
    /// Whether to tell now that somebody who is muted speaks.
    fn is_due(&mut self, now: Timestamp, speaks: bool) -> bool {
        let due = speaks && self.told.is_none_or(|told| now.since(told) >= MUTED_NOTICE);
        if due {
            self.told = Some(now);
        }
        due
    }
}

impl Director {
    /// Does something to the own voice from now on, or no more.
    pub(super) fn improve(&mut self, what: Improvement, on: bool) {
        let taking = self.config.taking.with(what, on);
        self.take_up(taking);
        if on && taking.low_delay && !taking.lets(what) {
            self.say(NoticeKind::Info, "with low delay nothing is done to your voice");
        }
    }

    /// Takes up the own voice otherwise from now on.
    pub(super) fn take_up(&mut self, taking: Taking) {
        let before = std::mem::replace(&mut self.config.taking, taking);
        self.shared.state().taking = taking;
        if let Some((_, audio)) = &self.audio {
            audio.set_voice(taking.voice(&self.config.microphone));
            audio.set_threshold(taking.threshold());
        }
        // Whoever talks by a key is not heard until it is pressed.
        if taking.talk == TalkMode::Push && before.talk != TalkMode::Push {
            self.mute(true);
        }
    }

    /// Stops or resumes sending.
    ///
    /// Without a microphone too: the next one is as muted as this one would be.
    pub(super) fn mute(&mut self, muted: bool) {
        if let Some((_, audio)) = &self.audio {
            audio.mute(muted);
        }
        if !muted {
            // Muted again by mistake, they are told at once.
            self.reminder = Reminder::default();
        }
        // Whoever decides anew meanwhile wants that when priority ends.
        self.priority.was_muted = false;
        let works = {
            let mut state = self.shared.state();
            state.own.muted = muted;
            state.own.has_microphone
        };
        if works {
            self.control.send(Ask::Microphone(if muted { Microphone::Muted } else { Microphone::On }));
        }
    }

    /// Whoever speaks and is muted is told so. Nobody else learns of it.
    pub(super) fn remind(&mut self) {
        let Some(stats) = self.audio.as_ref().map(|(_, audio)| audio.stats()) else { return };
        // Whoever talks by a key knows when they are heard.
        let speaks = stats.speaks_muted() && self.config.taking.talk != TalkMode::Push;
        if self.reminder.is_due(self.now(), speaks) {
            self.say(NoticeKind::Info, "you are muted: nobody hears what you say");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_talk_have_words() {
        for talk in TalkMode::ALL {
            assert_eq!(talk.to_string().parse(), Ok(talk));
        }
        assert_eq!("shout".parse::<TalkMode>(), Err(NoTalk));
    }

    #[test]
    fn only_what_is_needed_is_done_to_a_voice() {
        let all = Taking::default();
        let headset = Taking { headset: true, ..all };
        assert_eq!(all.voice(&MicrophoneSpec::Auto), voice::Settings::ALL);
        assert_eq!(headset.voice(&MicrophoneSpec::Auto), voice::Settings { echo: false, ..voice::Settings::ALL });
        let low = Taking { low_delay: true, ..all };
        assert_eq!(low.voice(&MicrophoneSpec::Auto), voice::Settings::NONE);
        assert_eq!(Improvement::ALL.map(|what| low.lets(what)), [false, false, false, true]);
        assert!(
            !low.does(Improvement::Noise) && !headset.does(Improvement::Echo) && headset.does(Improvement::Headset)
        );
        for what in Improvement::ALL {
            assert_eq!((what.word().parse(), all.with(what, false).does(what)), (Ok(what), false));
            assert!(all.with(what, true).does(what));
        }
        assert_eq!("bass".parse::<Improvement>(), Err(NoImprovement));
        assert_eq!(all.voice(&MicrophoneSpec::Test), voice::Settings::NONE);
        assert_eq!((all.threshold(), Taking { talk: TalkMode::Voice, ..all }.threshold()), (None, Some(-45.0)));
    }

    #[test]
    fn who_is_muted_is_told_and_not_all_the_time() {
        let mut reminder = Reminder::default();
        let mut due = |s: u64, speaks| reminder.is_due(Timestamp::from_millis(s * 1_000), speaks);
        assert_eq!([due(1, false), due(2, true), due(3, true), due(5, false)], [false, true, false, false]);
        assert_eq!([due(21, true), due(22, true), due(41, true)], [false, true, false], "who speaks on is told again");
    }
}
