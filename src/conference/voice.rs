//! The director's part of voice messages: recorded, kept until sent or thrown away, heard, saved.
//!
//! ```text
//! Record > recording > End, its time, or the longest there may be > draft > Send > an offer (files.rs)
//!              └> Discard                                            ├> Play, Discard
//! offer > Play: what has arrived of it, then the file > beside the voices
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Event;
use super::director::Director;
use super::events::VoiceNews;
use super::files::meant;
use super::view::{FileState, FileView, NoticeKind, Playing, Recording, Voice, VoiceAsk};
use crate::device::clock;
use crate::device::files::{copy_new, write_new};
use crate::device::identity;
use crate::device::sound::{MicrophoneSpec, SpeakerSpec};
use crate::limits::{OBJECTS_RECEIVED_MAX, VOICE_BYTES_MAX, VOICE_MS_MAX};
use crate::media::test_voice;
use crate::media::voice_message::VoiceMessage;
use crate::pipeline::voice_play::{Feed, Player};
use crate::pipeline::voice_record::{self, Recorder, Source};
use crate::protocol::keys;
use crate::protocol::transfer::name;
use crate::time::Timestamp;

/// Where voice messages are, below the folder for data.
pub(super) const FOLDER: &str = "voice";
/// A microphone that gives nothing for so long gives nothing any more.
const NOTHING: Duration = Duration::from_secs(3);
/// The same before its first sound, for which a device has 5 s.
const NOTHING_YET: Duration = Duration::from_secs(6);
/// Said when that happens in the middle of a message.
const CUT: &str = "the microphone gives nothing any more: what was recorded until then is kept, and not sent yet";
/// Percent of the loudest.
const VOLUME_MAX: u16 = 400;

struct Going {
    recorder: Recorder,
    ms_max: u32,
    /// To whom it goes when it ends; none: it is kept.
    to: Option<Vec<String>>,
    ms: u32,
    /// When there was more of it last.
    grew: Timestamp,
    /// It was told to end, by whoever speaks or because nothing comes.
    ending: bool,
}

/// What is to be done about a recording.
enum Turn {
    /// It goes on; whether another second of it is there.
    On { second: bool },
    /// The microphone gave nothing at all.
    Nothing,
    /// It has ended; whether that was before its time, and nobody asked for it.
    Ended { outcome: Result<VoiceMessage, voice_record::Error>, cut: bool },
}

impl Going {
    fn new(recorder: Recorder, ms_max: u32, to: Option<Vec<String>>, now: Timestamp) -> Self {
        Self { recorder, ms_max, to, ms: 0, grew: now, ending: false }
    }

    /// Ends it as whoever speaks wishes.
    fn end(&mut self) {
        self.ending = true;
        self.recorder.finish();
    }

    /// How it goes. What was recorded before the microphone fell silent is kept; it goes to nobody by itself, as nobody said
    /// that this is all of it.
    fn turn(&mut self, now: Timestamp) -> Turn {
        let (outcome, ms) = (self.recorder.outcome(), self.recorder.figures().ms());
        if let Some(outcome) = outcome {
            let cut = !self.ending && ms < self.ms_max;
            if cut {
                self.to = None;
            }
            return Turn::Ended { outcome, cut };
        }
        let second = ms / 1_000 > self.ms / 1_000;
        if ms > self.ms {
            (self.ms, self.grew) = (ms, now);
        }
        if now.since(self.grew) >= if ms == 0 { NOTHING_YET } else { NOTHING } {
            if ms == 0 {
                return Turn::Nothing;
            }
            self.recorder.finish();
        }
        Turn::On { second }
    }
}

struct Draft {
    path: PathBuf,
    voice: Voice,
}

struct Heard {
    player: Player,
    /// None: what one recorded oneself, and did not send yet.
    offer: Option<String>,
    length_ms: u32,
    /// Bytes fed.
    fed: u64,
}

/// Voice messages of this conference.
pub struct Messages {
    recording: Option<Going>,
    draft: Option<Draft>,
    heard: Option<Heard>,
    volume: u16,
    /// The speaker is used for this alone.
    borrowed: bool,
    /// What arrived of those that are not whole yet.
    arriving: BTreeMap<String, Vec<u8>>,
}

impl Default for Messages {
    fn default() -> Self {
        let arriving = BTreeMap::new();
        Self { recording: None, draft: None, heard: None, volume: 100, borrowed: false, arriving }
    }
}

/// What is recorded with, when the voice that is sent is not there to be shared.
fn own_microphone(used: &MicrophoneSpec, spare: &MicrophoneSpec) -> Option<MicrophoneSpec> {
    [used, spare].into_iter().find(|spec| **spec != MicrophoneSpec::None).cloned()
}

fn folder() -> Result<PathBuf, String> {
    identity::home().map(|home| home.join(FOLDER)).map_err(|e| e.to_string())
}

impl Director {
    /// Does what was asked.
    pub(super) fn voice(&mut self, ask: VoiceAsk) {
        let done = match ask {
            VoiceAsk::Record { ms_max, to } => self.record(ms_max, to),
            VoiceAsk::End => self.end_recording(),
            VoiceAsk::Discard => self.discard(),
            VoiceAsk::Send(to) => self.send_draft(&to),
            VoiceAsk::Play(which) => self.play(&which),
            VoiceAsk::Pause(paused) => {
                self.messages.heard.iter().for_each(|heard| heard.player.figures().pause(paused));
                Ok(())
            }
            VoiceAsk::Stop => {
                self.stop_playing();
                Ok(())
            }
            VoiceAsk::Volume(percent) => {
                self.messages.volume = percent.min(VOLUME_MAX);
                self.messages.heard.iter().for_each(|heard| heard.player.figures().set_volume(self.gain()));
                Ok(())
            }
            VoiceAsk::Save(which, to) => self.save_voice(&which, &to),
        };
        if let Err(why) = done {
            self.voice_failed(why);
        }
        self.show_voice();
    }

    fn gain(&self) -> f32 {
        f32::from(self.messages.volume) / 100.0
    }

    fn voice_failed(&self, why: String) {
        self.tell_event(Event::Voice(VoiceNews::Failed { why }));
    }

    // --- recording ---

    fn record(&mut self, ms_max: Option<u32>, to: Option<Vec<String>>) -> Result<(), String> {
        if self.messages.recording.is_some() {
            return Err("a voice message is being recorded already".into());
        }
        if self.messages.draft.is_some() {
            return Err("a voice message is there already: send it or discard it first".into());
        }
        for name in to.iter().flatten() {
            self.called(name)?;
        }
        // What is heard would be recorded, too.
        self.stop_playing();
        let source = match &self.audio {
            Some((_, audio)) => {
                let (captured, frames) = voice_record::queue();
                audio.record(captured);
                Source::Shared(frames)
            }
            None => {
                let spec = own_microphone(&self.config.microphone, &self.config.spare.0);
                let pitch_hz = test_voice::pitch_for(keys::order_hash(&[self.config.name.as_bytes()]));
                Source::Own(spec.ok_or("there is no microphone")?, pitch_hz)
            }
        };
        let ms_max = ms_max.unwrap_or(VOICE_MS_MAX).clamp(1, VOICE_MS_MAX);
        let serial = self.random.next_u64() as u32;
        let recorder = Recorder::start(source, ms_max, serial, &self.shared.clock).map_err(|e| e.to_string())?;
        self.messages.recording = Some(Going::new(recorder, ms_max, to, self.now()));
        self.tell_recording(0);
        Ok(())
    }

    fn tell_recording(&self, ms: u32) {
        if let Some(going) = &self.messages.recording {
            let level_dbfs = going.recorder.figures().level_dbfs();
            let left_ms = going.ms_max.saturating_sub(ms);
            self.tell_event(Event::Voice(VoiceNews::Recording { ms, left_ms, level_dbfs }));
        }
    }

    fn end_recording(&mut self) -> Result<(), String> {
        self.messages.recording.as_mut().ok_or("no voice message is being recorded")?.end();
        Ok(())
    }

    fn discard(&mut self) -> Result<(), String> {
        let recorded = self.messages.recording.take().is_some();
        if self.messages.heard.as_ref().is_some_and(|heard| heard.offer.is_none()) {
            self.stop_playing();
        }
        let draft = self.messages.draft.take();
        if let Some(draft) = &draft {
            // Whoever took it away before did the same.
            let _ = std::fs::remove_file(&draft.path);
        }
        if !recorded && draft.is_none() {
            return Err("there is no voice message to discard".into());
        }
        self.tell_event(Event::Voice(VoiceNews::Discarded));
        Ok(())
    }

    fn recorded(&mut self, message: &VoiceMessage, to: Option<Vec<String>>) -> Result<(), String> {
        let at = clock::local(self.shared.clock.wall());
        let called = format!("voice-{}-{}.ogg", at.date, at.time.replace(':', ""));
        let path = write_new(&folder()?, |n| name::numbered(&called, n), &message.file).map_err(|e| e.to_string())?;
        let voice = Voice { ms: message.ms, waveform: message.waveform.clone() };
        let bytes = message.file.len() as u64;
        self.tell_event(Event::Voice(VoiceNews::Recorded { voice: voice.clone(), bytes, path: path.clone() }));
        self.messages.draft = Some(Draft { path, voice });
        to.map_or(Ok(()), |to| self.send_draft(&to))
    }

    fn send_draft(&mut self, to: &[String]) -> Result<(), String> {
        if self.messages.draft.is_none() {
            return Err("there is no voice message to send".into());
        }
        // It stays when nobody is called so.
        for name in to {
            self.called(name)?;
        }
        if self.messages.heard.as_ref().is_some_and(|heard| heard.offer.is_none()) {
            self.stop_playing();
        }
        if let Some(draft) = self.messages.draft.take() {
            self.send_file(draft.path, to, Some(draft.voice));
        }
        Ok(())
    }

    // --- hearing ---

    fn voice_meant(&self, which: &str) -> Result<FileView, String> {
        let state = self.shared.state();
        let newest = |file: &FileView| file.voice.is_some() && !matches!(file.state, FileState::Failed(_));
        let found = meant(&state.files, which, newest).filter(|file| file.voice.is_some());
        found.cloned().ok_or_else(|| "there is no such voice message".to_owned())
    }

    /// Where a message is, once it is whole.
    fn voice_file(file: &FileView) -> Result<Option<PathBuf>, String> {
        match &file.state {
            FileState::Here(path) => Ok(Some(path.clone())),
            FileState::Sending => folder().map(|folder| Some(folder.join(&file.name))),
            FileState::Receiving | FileState::Waiting(_) => Ok(None),
            FileState::Offered | FileState::Declined => Err("that voice message was not accepted".into()),
            FileState::Failed(why) => Err(why.clone()),
        }
    }

    fn play(&mut self, which: &str) -> Result<(), String> {
        if self.messages.recording.is_some() {
            return Err("a voice message is being recorded".into());
        }
        let draft = self.messages.draft.as_ref().filter(|_| which.trim().is_empty());
        let (offer, length_ms, path) = match draft {
            Some(draft) => (None, draft.voice.ms, Some(draft.path.clone())),
            None => {
                let file = self.voice_meant(which)?;
                let path = Self::voice_file(&file)?;
                (Some(file.facts.offer), file.facts.voice.map_or(0, |voice| voice.ms), path)
            }
        };
        self.stop_playing();
        if self.config.speaker == SpeakerSpec::None && self.config.spare.1 != SpeakerSpec::None {
            self.voices.set_speaker(&self.config.spare.1, &self.shared.clock).map_err(|e| e.to_string())?;
            self.messages.borrowed = true;
        }
        let (player, played) = Player::start(self.gain()).map_err(|e| e.to_string())?;
        let mut fed = 0;
        match path {
            Some(path) => player.feed(Feed::File(path)),
            None => {
                let arrived = offer.as_ref().and_then(|offer| self.messages.arriving.get(offer));
                let bytes = arrived.cloned().unwrap_or_default();
                fed = bytes.len() as u64;
                player.feed(Feed::Bytes(bytes));
            }
        }
        self.voices.play(Some(played));
        self.tell_event(Event::Voice(VoiceNews::Playing { offer: offer.clone(), length_ms }));
        self.messages.heard = Some(Heard { player, offer, length_ms, fed });
        Ok(())
    }

    pub(super) fn stop_playing(&mut self) {
        if let Some(heard) = self.messages.heard.take() {
            self.voices.play(None);
            let ms = heard.player.figures().ms();
            // What it says of its length is rounded, and may not be true.
            let whole = heard.player.figures().is_ended() && ms + 20 >= heard.length_ms;
            self.tell_event(Event::Voice(VoiceNews::Played { offer: heard.offer, ms, whole }));
        }
        if std::mem::take(&mut self.messages.borrowed) && self.config.speaker == SpeakerSpec::None {
            // To have none can always be had.
            let _ = self.voices.set_speaker(&SpeakerSpec::None, &self.shared.clock);
        }
    }

    /// More of a message arrived: `bytes` from `at` on, in order.
    pub(super) fn voice_arrives(&mut self, offer: &str, at: u64, bytes: &[u8]) {
        let messages = &mut self.messages;
        if !messages.arriving.contains_key(offer) && messages.arriving.len() >= OBJECTS_RECEIVED_MAX {
            return;
        }
        let had = messages.arriving.entry(offer.to_owned()).or_default();
        if had.len() as u64 == at && at + bytes.len() as u64 <= VOICE_BYTES_MAX {
            had.extend_from_slice(bytes);
        }
        if let Some(heard) = messages.heard.as_mut().filter(|heard| heard.offer.as_deref() == Some(offer))
            && heard.fed == at
        {
            heard.fed += bytes.len() as u64;
            heard.player.feed(Feed::Bytes(bytes.to_vec()));
        }
    }

    /// A message is whole, or will never be.
    pub(super) fn voice_arrived(&mut self, offer: &str, path: Option<&Path>) {
        self.messages.arriving.remove(offer);
        let is_heard = |heard: &&Heard| heard.offer.as_deref() == Some(offer);
        match (self.messages.heard.as_ref().filter(is_heard), path) {
            (Some(heard), Some(path)) => heard.player.feed(Feed::File(path.to_owned())),
            (Some(_), None) => self.stop_playing(),
            (None, _) => {}
        }
    }

    fn save_voice(&self, which: &str, to: &Path) -> Result<(), String> {
        let file = self.voice_meant(which)?;
        let from = Self::voice_file(&file)?.ok_or("that voice message is not here yet")?;
        let to = if to.as_os_str().is_empty() { &self.config.download } else { to };
        let path = copy_new(&from, to, VOICE_BYTES_MAX, name::numbered).map_err(|e| e.to_string())?;
        self.say(NoticeKind::Info, &format!("the voice message is saved as {}", path.display()));
        self.tell_event(Event::Voice(VoiceNews::Saved { offer: file.facts.offer, path }));
        Ok(())
    }

    // --- time ---

    /// What became of voice messages since the last time.
    pub(super) fn tick_voice(&mut self) {
        if self.messages.recording.is_none() && self.messages.heard.is_none() {
            return;
        }
        self.tick_recording();
        if let Some(heard) = &self.messages.heard {
            let failure = heard.player.failure();
            if failure.is_some() || heard.player.figures().is_ended() {
                self.stop_playing();
            }
            failure.into_iter().for_each(|error| self.voice_failed(error.to_string()));
        }
        self.show_voice();
    }

    fn tick_recording(&mut self) {
        let now = self.now();
        // With a microphone of its own, it may be another than the one that was named, or none.
        while let Some(event) = self.messages.recording.as_ref().and_then(|going| going.recorder.event()) {
            if let Some((kind, text)) = self.microphone.of(&event) {
                self.say(kind, &text);
            }
        }
        let Some(going) = &mut self.messages.recording else { return };
        match going.turn(now) {
            Turn::On { second: false } => {}
            Turn::On { second: true } => {
                let ms = going.ms;
                self.tell_recording(ms);
            }
            Turn::Nothing => {
                self.messages.recording = None;
                self.voice_failed("the microphone gives nothing".into());
            }
            Turn::Ended { outcome, cut } => {
                let to = self.messages.recording.take().and_then(|going| going.to);
                let kept = outcome.map_err(|e| e.to_string()).and_then(|message| self.recorded(&message, to));
                match kept {
                    Ok(()) if cut => self.say(NoticeKind::Warning, CUT),
                    Ok(()) => {}
                    Err(why) => self.voice_failed(why),
                }
            }
        }
    }

    /// For the window.
    fn show_voice(&self) {
        let messages = &self.messages;
        let recording = messages.recording.as_ref().map(|going| Recording {
            ms: going.recorder.figures().ms(),
            ms_max: going.ms_max,
            level_dbfs: going.recorder.figures().level_dbfs(),
        });
        let playing = messages.heard.as_ref().map(|heard| Playing {
            offer: heard.offer.clone(),
            ms: heard.player.figures().ms(),
            length_ms: heard.length_ms,
            paused: heard.player.figures().is_paused(),
        });
        let mut state = self.shared.state();
        state.voice.recording = recording;
        state.voice.draft = messages.draft.as_ref().map(|draft| draft.voice.clone());
        state.voice.playing = playing;
        state.voice.volume = messages.volume;
    }

    /// What is not sent is not kept.
    pub(super) fn stop_voice(&mut self) {
        self.stop_playing();
        self.messages.recording = None;
        if let Some(draft) = self.messages.draft.take() {
            let _ = std::fs::remove_file(&draft.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::clock::Clock;
    use crate::media::voice_message::FRAME;
    use crate::pipeline::voice_record::Frame;

    /// Takes turns with time standing still until the recording has ended.
    fn ended(going: &mut Going, now: Timestamp) -> (VoiceMessage, bool) {
        let (wall, mut outcome) = (Clock::system(), None);
        let deadline = wall.now() + Duration::from_secs(30);
        while outcome.is_none() {
            assert!(wall.now() < deadline, "it goes on");
            match going.turn(now) {
                Turn::On { .. } => std::thread::park_timeout(Duration::from_millis(2)),
                Turn::Nothing => panic!("thrown away"),
                Turn::Ended { outcome: ended, cut } => outcome = Some((ended.expect("a message"), cut)),
            }
        }
        outcome.expect("ended")
    }

    #[test]
    fn what_was_recorded_until_the_microphone_pauses_or_goes_is_kept_and_not_sent() {
        let (start, to) = (Timestamp::from_millis(1_000), || Some(vec!["Bob".to_owned()]));
        for (seconds, paused) in [(120, true), (1, true), (1, false), (0, true)] {
            let (captured, frames) = voice_record::queue();
            let recorder = Recorder::start(Source::Shared(frames), 300_000, 1, &Clock::system()).expect("a thread");
            let mut going = Going::new(recorder, 300_000, to(), start);
            for _ in 0..50 * seconds {
                captured.send(Frame::new(&[0.1; FRAME])).expect("recorded");
            }
            let wall = Clock::system();
            let deadline = wall.now() + Duration::from_secs(30);
            while going.recorder.figures().ms() < 1_000 * seconds {
                assert!(wall.now() < deadline, "{} ms of {seconds} s", going.recorder.figures().ms());
                std::thread::park_timeout(Duration::from_millis(2));
            }
            // The last of it is noticed, and then nothing comes for a while.
            let second = matches!(going.turn(start), Turn::On { second } if second == (seconds > 0));
            assert!(second && matches!(going.turn(start + NOTHING / 2), Turn::On { second: false }));
            let later = start + NOTHING;
            if seconds == 0 {
                assert!(matches!(going.turn(later), Turn::On { second: false }), "it may take long to begin");
                assert!(matches!(going.turn(start + NOTHING_YET), Turn::Nothing));
                continue;
            }
            let captured = Some(captured).filter(|_| paused);
            let (message, cut) = ended(&mut going, later);
            assert_eq!((message.ms, cut, going.to), (1_000 * seconds, true, None));
            drop(captured);
        }
    }

    #[test]
    fn what_is_ended_or_as_long_as_it_may_be_is_sent() {
        for asked in [true, false] {
            let (captured, frames) = voice_record::queue();
            let ms_max = if asked { 60_000 } else { 100 };
            let recorder = Recorder::start(Source::Shared(frames), ms_max, 1, &Clock::system()).expect("a thread");
            let mut going = Going::new(recorder, ms_max, Some(Vec::new()), Timestamp::default());
            for _ in 0..5 {
                captured.send(Frame::new(&[0.1; FRAME])).expect("recorded");
            }
            if asked {
                going.end();
            }
            let (message, cut) = ended(&mut going, Timestamp::default());
            assert_eq!((message.ms, cut, going.to), (100, false, Some(Vec::new())));
        }
    }

    #[test]
    fn the_microphone_in_use_comes_first() {
        use MicrophoneSpec as M;
        assert_eq!(own_microphone(&M::None, &M::Auto), Some(M::Auto));
        assert_eq!(own_microphone(&M::Test, &M::Auto), Some(M::Test));
        assert_eq!(own_microphone(&M::None, &M::None), None);
    }
}
