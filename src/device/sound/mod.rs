//! Microphones and speakers: the system's, files, and simulated ones, all as 48 kHz mono.
//!
//! ```text
//!  callback -> ring -> Microphone::read -> downmix -> resample -> frame        (reader's thread)
//!  mix -> Speaker::write -> resample -> ring -> callback                       (writer's thread)
//!  keeper thread: opens the device, watches it, drops it, tries again
//! ```
//! Callbacks copy samples and nothing else. A device that fails is told as a [`SoundEvent`] and tried again after
//! 0.5 .. 8 s; meanwhile a speaker is replaced by a silent one paced by the clock, so that everything behind it goes on.

mod finding;
mod keeper;
mod native;
mod paced;
mod quiet;
mod ring;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::device::clock::Clock;
use crate::media::wav;
use crate::time::{Timestamp, media_units};
use finding::Wanted;
use keeper::Keeper;
use paced::{PacedSink, PacedSource};
use ring::{CaptureReader, PlaybackWriter};

/// Which microphone to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MicrophoneSpec {
    /// The system's default.
    #[default]
    Auto,
    /// None: the participant only listens.
    None,
    /// A simulated voice.
    Test,
    /// The one of this name, as `devices` lists it; the system's default while it is not there.
    Name(String),
    /// A WAV file, looped.
    File(PathBuf),
}

/// Which speaker to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpeakerSpec {
    /// The system's default.
    #[default]
    Auto,
    /// None: everything is received and decoded, and nothing heard.
    None,
    /// The one of this name, as `devices` lists it; the system's default while it is not there.
    Name(String),
    /// A WAV file that receives what would be heard.
    File(PathBuf),
}

/// No name at all was given for a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an empty name; say auto, none, a device's name or a .wav file")]
pub struct EmptyName;

fn is_file(text: &str) -> bool {
    Path::new(text).extension().is_some_and(|e| e.eq_ignore_ascii_case("wav"))
}

impl FromStr for MicrophoneSpec {
    type Err = EmptyName;

    fn from_str(text: &str) -> Result<Self, EmptyName> {
        Ok(match (text, text.parse()?) {
            ("test", _) => Self::Test,
            (_, SpeakerSpec::Auto) => Self::Auto,
            (_, SpeakerSpec::None) => Self::None,
            (_, SpeakerSpec::File(path)) => Self::File(path),
            (_, SpeakerSpec::Name(name)) => Self::Name(name),
        })
    }
}

impl FromStr for SpeakerSpec {
    type Err = EmptyName;

    fn from_str(text: &str) -> Result<Self, EmptyName> {
        Ok(match text {
            "" => return Err(EmptyName),
            "auto" => Self::Auto,
            "none" => Self::None,
            file if is_file(file) => Self::File(file.into()),
            name => Self::Name(name.into()),
        })
    }
}

impl fmt::Display for MicrophoneSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MicrophoneSpec::Auto => f.write_str("auto"),
            MicrophoneSpec::None => f.write_str("none"),
            MicrophoneSpec::Test => f.write_str("test"),
            MicrophoneSpec::Name(name) => f.write_str(name),
            MicrophoneSpec::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for SpeakerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpeakerSpec::Auto => f.write_str("auto"),
            SpeakerSpec::None => f.write_str("none"),
            SpeakerSpec::Name(name) => f.write_str(name),
            SpeakerSpec::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What happened to a sound device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoundEvent {
    /// The device works.
    Ready {
        /// Its name.
        device: String,
        /// That the one that was named is not there, and this is used instead, in words for a person.
        instead: Option<String>,
    },
    /// The device does not work; everything else goes on.
    Failed {
        /// What failed, on which device, and when it is tried again, in words for a person.
        message: String,
        /// Time until the next attempt; `None`: there will be none.
        retry_in: Option<Duration>,
    },
    /// Any device would do, and there is none; it is looked for again.
    Absent,
}

/// A sound device of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundDevice {
    /// The name by which it can be chosen.
    pub name: String,
    /// The system's identifier, which can be used as well.
    pub id: String,
    /// Microphone, or else speaker.
    pub microphone: bool,
    /// Chosen by `auto`.
    pub default: bool,
    /// The sound system it belongs to.
    pub host: &'static str,
}

/// The system's microphones and speakers, each once and by a name of its own; empty when there are none, or no sound system answers.
pub fn list() -> Vec<SoundDevice> {
    quiet::quietly(finding::list)
}

/// Counts of what went wrong in real time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoundCounters {
    /// Callbacks that found too few samples to play, or no room for samples captured.
    pub glitches: u64,
    /// Glitches the sound system itself reported.
    pub xruns: u64,
    /// Times the device was opened.
    pub opened: u64,
}

/// How much sound waits in the buffers of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffers {
    /// As much as a busy machine copes with.
    #[default]
    Usual,
    /// As little as can be asked for.
    Least,
}

/// A source of voice.
pub struct Microphone(Source);

enum Source {
    None,
    Paced(PacedSource),
    Native(Box<NativeMicrophone>),
}

struct NativeMicrophone {
    keeper: Keeper<CaptureReader>,
    reader: Option<CaptureReader>,
    /// Counts of readers that are gone.
    before: SoundCounters,
}

impl Microphone {
    /// Opens what `spec` says. `pitch_hz` is the pitch of the simulated voice. Only a file can fail here; a device
    /// that does not work says so by [`event`](Self::event) and is tried again.
    pub fn open(spec: &MicrophoneSpec, pitch_hz: f32, clock: &Clock) -> Result<Self, wav::Error> {
        Self::open_with(spec, Buffers::Usual, pitch_hz, clock)
    }

    /// As [`open`](Self::open), with so much sound in the device's buffers.
    pub fn open_with(spec: &MicrophoneSpec, sizes: Buffers, pitch_hz: f32, clock: &Clock) -> Result<Self, wav::Error> {
        let source = match spec {
            MicrophoneSpec::None => Source::None,
            MicrophoneSpec::Test => Source::Paced(PacedSource::voice(pitch_hz, clock.now())),
            MicrophoneSpec::File(path) => Source::Paced(PacedSource::file(path, clock.now())?),
            MicrophoneSpec::Auto => Self::native(None, sizes, clock),
            MicrophoneSpec::Name(name) => Self::native(Some(name.clone()), sizes, clock),
        };
        Ok(Self(source))
    }

    fn native(name: Option<String>, sizes: Buffers, clock: &Clock) -> Source {
        let mut wanted = Wanted::new(name);
        let keeper = Keeper::start("microphone", clock.clone(), move |too_short| {
            native::open_microphone(&mut wanted, sizes, too_short)
        });
        Source::Native(Box::new(NativeMicrophone { keeper, reader: None, before: SoundCounters::default() }))
    }

    /// One whose samples come from a test, as many a callback as it likes.
    #[cfg(test)]
    pub(crate) fn fed() -> (Self, impl FnMut(&[f32])) {
        let (mut callback, reader, gauge) = ring::capture(48_000, 1).expect("a ring");
        let mut once = Some(keeper::Opened {
            stream: Box::new(()),
            end: reader,
            gauge,
            device: "test".into(),
            instead_of: None,
            short: false,
            paced: None,
            stays: Box::new(|| true),
        });
        let keeper = Keeper::start("microphone", Clock::manual(Timestamp::default()), move |_| {
            once.take().ok_or(keeper::NotOpened::Absent)
        });
        let mut native = NativeMicrophone { keeper, reader: None, before: SoundCounters::default() };
        while native.reader.is_none() {
            native.reader = native.keeper.take();
            std::thread::yield_now();
        }
        (Self(Source::Native(Box::new(native))), move |samples| callback.capture(samples, |s| s))
    }

    /// Whether there is one at all.
    pub fn exists(&self) -> bool {
        !matches!(self.0, Source::None)
    }

    /// Fills `frame` with the oldest samples not yet read, when there are enough; else returns false.
    pub fn read(&mut self, now: Timestamp, frame: &mut [f32]) -> bool {
        match &mut self.0 {
            Source::None => false,
            Source::Paced(paced) => paced.read(now, frame),
            Source::Native(native) => {
                let NativeMicrophone { keeper, reader, before } = native.as_mut();
                while let Some(fresh) = keeper.take() {
                    before.opened += 1;
                    if let Some(old) = reader.replace(fresh) {
                        old.gauge().add_to(before);
                    }
                }
                reader.as_mut().is_some_and(|r| r.read(frame))
            }
        }
    }

    /// Samples that wait to be read.
    pub fn waiting(&self, now: Timestamp) -> usize {
        match &self.0 {
            Source::None => 0,
            Source::Paced(paced) => paced.waiting(now),
            Source::Native(native) => native.reader.as_ref().map_or(0, CaptureReader::waiting),
        }
    }

    /// Samples thrown away before those read next, since this was asked last: nobody came for them in time.
    pub fn take_dropped(&mut self) -> u32 {
        let Source::Native(native) = &mut self.0 else { return 0 };
        native.reader.as_mut().map_or(0, CaptureReader::take_dropped)
    }

    /// Time after which a frame of `samples` may be there: at most 5 ms for a device, whose callbacks wake nobody.
    pub fn wait(&self, now: Timestamp, samples: usize) -> Duration {
        match &self.0 {
            Source::None => Duration::from_secs(1),
            Source::Paced(paced) => paced.wait(now, samples),
            Source::Native(native) => native.reader.as_ref().map_or(ring::WAIT_MAX, |r| r.wait(samples)),
        }
    }

    /// Time from the device's sample to [`read`](Self::read): the length of its callbacks, and what lies before those, as far
    /// as the sound system tells.
    pub fn delay(&self) -> Duration {
        let Source::Native(native) = &self.0 else { return Duration::ZERO };
        native.reader.as_ref().map_or(Duration::ZERO, |reader| reader.period() + reader.gauge().latency())
    }

    /// Time from the device's newest sample to the callback that brings it, as far as the sound system tells.
    pub fn latency(&self) -> Duration {
        let Source::Native(native) = &self.0 else { return Duration::ZERO };
        native.reader.as_ref().map_or(Duration::ZERO, |reader| reader.gauge().latency())
    }

    /// What happened since it was asked last.
    pub fn event(&mut self) -> Option<SoundEvent> {
        match &mut self.0 {
            Source::None => None,
            Source::Paced(paced) => paced.event(),
            Source::Native(native) => native.keeper.event(),
        }
    }

    /// Counts since it was opened.
    pub fn counters(&self) -> SoundCounters {
        let Source::Native(native) = &self.0 else { return SoundCounters::default() };
        let mut counters = native.before;
        native.reader.iter().for_each(|r| r.gauge().add_to(&mut counters));
        counters
    }
}

/// A sink for the mix.
pub struct Speaker {
    /// Paces everything while there is no device, and writes the file when there is one.
    paced: PacedSink,
    native: Option<NativeSpeaker>,
}

struct NativeSpeaker {
    keeper: Keeper<PlaybackWriter>,
    writer: Option<PlaybackWriter>,
    /// Counts of writers that are gone.
    before: SoundCounters,
}

impl Speaker {
    /// Opens what `spec` says. Only a file can fail here; a device that does not work says so by
    /// [`event`](Self::event) and is tried again.
    pub fn open(spec: &SpeakerSpec, sizes: Buffers, clock: &Clock) -> Result<Self, wav::Error> {
        let now = clock.now();
        let native = |name: Option<String>| {
            let mut wanted = Wanted::new(name);
            let keeper = Keeper::start("speaker", clock.clone(), move |too_short| {
                native::open_speaker(&mut wanted, sizes, too_short)
            });
            Some(NativeSpeaker { keeper, writer: None, before: SoundCounters::default() })
        };
        Ok(match spec {
            SpeakerSpec::None => Self { paced: PacedSink::silent(now), native: None },
            SpeakerSpec::File(path) => Self { paced: PacedSink::file(path, now)?, native: None },
            SpeakerSpec::Auto => Self { paced: PacedSink::silent(now), native: native(None) },
            SpeakerSpec::Name(name) => Self { paced: PacedSink::silent(now), native: native(Some(name.clone())) },
        })
    }

    /// Whether a device of the system plays what is written.
    pub fn is_open(&self) -> bool {
        self.native.as_ref().is_some_and(|n| n.writer.is_some())
    }

    /// Samples that should be written now to keep the speaker fed, and no more than that waiting.
    pub fn wanted(&mut self, now: Timestamp) -> usize {
        if let Some(NativeSpeaker { keeper, writer, before }) = &mut self.native {
            while let Some(fresh) = keeper.take() {
                before.opened += 1;
                if let Some(old) = writer.replace(fresh) {
                    old.gauge().add_to(before);
                }
            }
            if writer.as_ref().is_some_and(|w| w.gauge().failed()) {
                writer.take().iter().for_each(|w| w.gauge().add_to(before));
                self.paced.restart(now);
            }
            if let Some(writer) = writer {
                return writer.wanted();
            }
        }
        self.paced.wanted(now)
    }

    /// Plays samples after those written before.
    pub fn write(&mut self, samples: &[f32]) {
        match self.native.as_mut().and_then(|n| n.writer.as_mut()) {
            Some(writer) => writer.write(samples),
            None => self.paced.write(samples),
        }
    }

    /// Time after which more may be wanted, at most 5 ms.
    pub fn wait(&self, now: Timestamp) -> Duration {
        match self.native.as_ref().and_then(|n| n.writer.as_ref()) {
            Some(writer) => writer.wait(),
            None => self.paced.wait(now),
        }
    }

    /// What happened since it was asked last.
    pub fn event(&mut self) -> Option<SoundEvent> {
        self.paced.event().or_else(|| self.native.as_mut()?.keeper.event())
    }

    /// Samples from the mix to the ear, at 48 kHz: those kept waiting here for the device, and those the sound system says it
    /// holds.
    pub fn fill_target(&self) -> usize {
        let Some(writer) = self.native.as_ref().and_then(|n| n.writer.as_ref()) else { return paced::FILL };
        writer.target() + media_units(writer.gauge().latency(), 48_000) as usize
    }

    /// What of it is there because the device was found empty, at 48 kHz.
    pub fn extra(&self) -> usize {
        self.native.as_ref().and_then(|n| n.writer.as_ref()).map_or(0, PlaybackWriter::extra)
    }

    /// Counts since it was opened.
    pub fn counters(&self) -> SoundCounters {
        let Some(NativeSpeaker { writer, before, .. }) = &self.native else { return SoundCounters::default() };
        let mut counters = *before;
        writer.iter().for_each(|w| w.gauge().add_to(&mut counters));
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_parsed() {
        for (text, microphone, speaker) in [
            ("auto", MicrophoneSpec::Auto, SpeakerSpec::Auto),
            ("none", MicrophoneSpec::None, SpeakerSpec::None),
            ("test", MicrophoneSpec::Test, SpeakerSpec::Name("test".into())),
            ("a/b.WAV", MicrophoneSpec::File("a/b.WAV".into()), SpeakerSpec::File("a/b.WAV".into())),
            ("USB Mic", MicrophoneSpec::Name("USB Mic".into()), SpeakerSpec::Name("USB Mic".into())),
        ] {
            assert_eq!((text.parse(), text.parse()), (Ok(microphone), Ok(speaker)), "{text}");
        }
        assert_eq!("".parse::<MicrophoneSpec>(), Err(EmptyName));
        assert_eq!("".parse::<SpeakerSpec>(), Err(EmptyName));
    }

    #[test]
    fn files_that_cannot_be_used_fail_at_once() {
        let clock = Clock::manual(Timestamp::default());
        assert!(Microphone::open(&MicrophoneSpec::File("/nowhere/x.wav".into()), 0.0, &clock).is_err());
        assert!(Speaker::open(&SpeakerSpec::File("/nowhere/x.wav".into()), Buffers::Usual, &clock).is_err());
    }

    #[test]
    fn no_microphone_gives_nothing() {
        let clock = Clock::manual(Timestamp::default());
        let mut none = Microphone::open(&MicrophoneSpec::None, 0.0, &clock).expect("nothing to fail");
        clock.advance(Duration::from_secs(10));
        assert!(!none.exists() && !none.read(clock.now(), &mut [0.0; 960]));
        assert_eq!(none.event(), None);
    }
}
