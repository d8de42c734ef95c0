//! What a window needs to know of a conference, as plain values; and what it may ask for.

use std::sync::Arc;

use super::invite::Invite;
use super::taking::{Improvement, Taking, TalkMode};
use super::talk::Talk;
use crate::media::mix::SILENCE_DBFS;
use crate::pipeline::slot::PictureSlot;
use crate::protocol::doctor::Report;
pub use crate::protocol::roster::Attention;

/// State of somebody's camera, as a tile shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CameraView {
    /// No camera, or switched off.
    #[default]
    Off,
    /// Announced, but no picture has come yet.
    Waiting,
    /// Pictures arrive.
    Live,
    /// Pictures stopped arriving though the person sends: seconds since the last one.
    Frozen(u64),
    /// The camera failed; the text says why ("camera unplugged, trying again in 4 s").
    Failed(String),
}

/// Figures of one person for the statistics overlay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonFigures {
    /// Layer received ("full"), empty when none.
    pub layer: &'static str,
    /// Size before scaling.
    pub size: (usize, usize),
    /// Pictures shown per second.
    pub frames_per_s: f32,
    /// Pictures per second that there were to show: those that came, and those that were lost on the way.
    pub due_per_s: f32,
    /// Kilobits per second received (video and audio) or, for oneself, sent.
    pub kbit_per_s: f32,
    /// Video packets lost of those expected in the last second, percent.
    pub loss_percent: f32,
    /// Capture to window, median of the last second.
    pub latency_ms: Option<f32>,
    /// Audio waiting to be played.
    pub audio_buffer_ms: f32,
    /// What reaches the person: "groups", "single" or "unicast"; empty while it is not known.
    pub transport: &'static str,
}

/// What somebody may decide about who is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rank {
    /// Everything.
    Owner,
    /// Who may be here.
    Moderator,
    /// Nothing.
    #[default]
    Member,
}

/// How loudly somebody is heard at this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hearing {
    /// Percent of how they sent it, 400 at most.
    pub volume: u16,
    /// Not at all for now.
    pub silenced: bool,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { volume: 100, silenced: false }
    }
}

/// One person of the conference.
#[derive(Clone)]
pub struct PersonView {
    /// Stable key of the person within this run.
    pub key: u64,
    /// Participant id, hexadecimal.
    pub id: String,
    /// What they may decide.
    pub rank: Rank,
    /// How loudly they are heard here.
    pub hearing: Hearing,
    /// Name as shown, with the suffix that tells equals apart.
    pub name: String,
    /// Whether this is the person at this machine.
    pub me: bool,
    /// Microphone off.
    pub muted: bool,
    /// Has a microphone at all.
    pub has_microphone: bool,
    /// Camera state.
    pub camera: CameraView,
    /// Hand raised, away.
    pub attention: Attention,
    /// Speaks over all others, and may.
    pub commands: bool,
    /// Voice level in dBFS, `-127` = silence.
    pub level_dbfs: f32,
    /// Newest picture; the window says at which size it wants it.
    pub picture: Arc<PictureSlot>,
    /// Figures for the overlay.
    pub figures: PersonFigures,
}

impl PersonView {
    /// Another one of that name, who is silent and has no camera.
    pub fn new(key: u64, name: &str) -> Self {
        Self {
            key,
            id: key.to_string(),
            rank: Default::default(),
            hearing: Default::default(),
            name: name.to_owned(),
            me: false,
            muted: false,
            has_microphone: true,
            camera: Default::default(),
            attention: Default::default(),
            commands: false,
            level_dbfs: SILENCE_DBFS,
            picture: Default::default(),
            figures: Default::default(),
        }
    }
}

#[cfg(test)]
impl PersonView {
    /// Somebody without a camera, for tests; 0 is the person at this machine.
    pub fn somebody(key: u64, level_dbfs: f32) -> Self {
        Self { me: key == 0, level_dbfs, ..Self::new(key, "Ada") }
    }
}

/// How loudly a notice speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// For information.
    Info,
    /// Something does not work as asked; the rest goes on.
    Warning,
}

/// A line shown for some seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Counts notices from 1.
    pub number: u64,
    /// Kind.
    pub kind: NoticeKind,
    /// The words.
    pub text: String,
    /// Age in milliseconds when the view was taken.
    pub age_ms: u64,
}

/// Somebody who asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Knock {
    /// Participant id, hexadecimal.
    pub id: String,
    /// As they call themselves.
    pub name: String,
}

/// The devices in use, as settings name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DevicesView {
    /// "auto", "none", "test", a number or a file.
    pub camera: String,
    /// "auto", "none", "test", a name or a file.
    pub microphone: String,
    /// "auto", "none", a name or a file.
    pub speaker: String,
}

/// The conference as the window shows it.
#[derive(Clone, Default)]
pub struct View {
    /// Title of the conference.
    pub title: String,
    /// Whether anyone on the network can watch.
    pub open: bool,
    /// Name of the person at this machine, as others see it.
    pub me: String,
    /// What they may decide.
    pub rank: Rank,
    /// They may speak with priority.
    pub may_speak_over: bool,
    /// Newcomers have to knock.
    pub locked: bool,
    /// One's own knock is not answered yet.
    pub waiting: bool,
    /// Whom one lets speak with priority, by participant id.
    pub favoured: Vec<String>,
    /// Who waits at the door.
    pub knocks: Vec<Knock>,
    /// What others are invited with.
    pub invite: Option<Arc<Invite>>,
    /// What was said.
    pub talk: Talk,
    /// Devices in use.
    pub devices: DevicesView,
    /// How the own voice is taken up.
    pub taking: Taking,
    /// The person at this machine first (unless only watching), then the others by time of joining.
    pub people: Vec<PersonView>,
    /// My microphone is off.
    pub muted: bool,
    /// I have a microphone to switch.
    pub has_microphone: bool,
    /// My camera is on.
    pub camera_on: bool,
    /// I have a camera to switch.
    pub has_camera: bool,
    /// My hand is raised, I am away.
    pub attention: Attention,
    /// Newest last.
    pub notices: Vec<Notice>,
    /// Seconds since joining.
    pub elapsed_s: u64,
    /// Files that were offered, oldest first.
    pub files: Vec<FileView>,
    /// Voice messages, as they are made and heard here.
    pub voice: VoiceView,
    /// Lines for the statistics overlay beside those of the people (process, sent, network).
    pub summary: Vec<String>,
    /// What the last examination found.
    pub examined: Option<Arc<Report>>,
    /// Set when the conference is over (left, failed): the window closes.
    pub ended: bool,
}

/// What a voice message is like before it is heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// Milliseconds.
    pub ms: u32,
    /// Loudness in steps of equal length, 0 to 255; at most 64.
    pub waveform: Vec<u8>,
}

/// A voice message that is being recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recording {
    /// Milliseconds so far.
    pub ms: u32,
    /// It ends there.
    pub ms_max: u32,
    /// How loud it is.
    pub level_dbfs: f32,
}

/// A voice message that is being heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playing {
    /// Which; none: the one that is not sent yet.
    pub offer: Option<String>,
    /// Milliseconds heard.
    pub ms: u32,
    /// Of so many.
    pub length_ms: u32,
    /// It is held.
    pub paused: bool,
}

/// Voice messages, as they are made and heard here.
#[derive(Clone, Debug, PartialEq)]
pub struct VoiceView {
    /// One is being recorded.
    pub recording: Option<Recording>,
    /// One was recorded, to be sent or thrown away.
    pub draft: Option<Voice>,
    /// One is being heard.
    pub playing: Option<Playing>,
    /// How loudly, percent.
    pub volume: u16,
}

impl Default for VoiceView {
    fn default() -> Self {
        Self { recording: None, draft: None, playing: None, volume: 100 }
    }
}

/// What is asked of voice messages. One that was sent or received is meant by its id, number or name; empty: the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoiceAsk {
    /// Begin to record; it ends by itself after so long, and is sent then to the people of these names (none: everybody) if any
    /// are given.
    Record {
        /// Milliseconds; none: as long as it may be.
        ms_max: Option<u32>,
        /// To whom it is sent when it ends; none: it is kept.
        to: Option<Vec<String>>,
    },
    /// End the recording.
    End,
    /// Throw away what was recorded.
    Discard,
    /// Send it to the people of these names, or to everybody.
    Send(Vec<String>),
    /// Hear one; empty: the one that was recorded, or else the newest.
    Play(String),
    /// Hold what is heard, or go on.
    Pause(bool),
    /// Hear it no more.
    Stop,
    /// How loudly they are heard, percent.
    Volume(u16),
    /// Copy one to a file or into a folder.
    Save(String, std::path::PathBuf),
}

/// How far a file is, for oneself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileState {
    /// Somebody offers it: to be accepted or declined.
    Offered,
    /// Not wanted.
    Declined,
    /// Wanted; it comes, or will.
    Receiving,
    /// Wanted and begun; why nothing comes at present.
    Waiting(String),
    /// Here.
    Here(std::path::PathBuf),
    /// One's own.
    Sending,
    /// It is over; why.
    Failed(String),
}

/// A file that was offered here.
#[derive(Clone, Debug, PartialEq)]
pub struct FileView {
    /// What was told of it when it was offered; a file is read like its offer.
    pub facts: super::FileOffer,
    /// How far it is.
    pub state: FileState,
    /// Bytes had, or of one's own sent.
    pub bytes: u64,
    /// At present.
    pub bits_per_s: f64,
    /// Of one's own: everybody it is offered to.
    pub recipients: Vec<super::FileRecipient>,
    /// Of a picture that is offered: what it shows, small ([`crate::media::thumbnail`]); else empty.
    pub thumbnail: std::sync::Arc<[u8]>,
}

impl std::ops::Deref for FileView {
    type Target = super::FileOffer;
    fn deref(&self) -> &Self::Target {
        &self.facts
    }
}

/// What the window, a script or a signal asks of the conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Microphone off or on.
    Mute(bool),
    /// When the own voice is sent.
    TalkMode(TalkMode),
    /// With voice activation: what is softer than this is silence from now on, in dBFS.
    Threshold(i8),
    /// Something is done to it from now on, or not.
    Improve(Improvement, bool),
    /// Speak over all others, or no more.
    Priority(bool),
    /// Camera on or off.
    Camera(bool),
    /// Hand raised or lowered.
    Hand(bool),
    /// Away or back.
    Away(bool),
    /// Send nothing from now on, though camera and microphone stay on: how simulated people end together.
    Pause,
    /// Say something to everybody; "/me waves" tells what one does.
    Say(String),
    /// Say it to the people of these names only.
    Whisper(Vec<String>, String),
    /// Say it in reply to the line of this id, to those that line was for.
    Reply(String, String),
    /// Put an emoji under the line of this id.
    React(String, String),
    /// Offer a file or folder to the people of these names, or to everybody when none is named.
    Send(std::path::PathBuf, Vec<String>),
    /// Take what was offered: its id, number or name, or the newest when that is empty; where to, if not where files
    /// go: a folder, or a name in one.
    Accept(String, Option<std::path::PathBuf>),
    /// The same, and everything else this person will offer.
    AcceptAlways(String),
    /// Do not take it, stop taking it, or take one's own back.
    Decline(String),
    /// Record, hear, send or save a voice message.
    Voice(VoiceAsk),
    /// Decide who may be here.
    Door(Decision),
    /// Examine the network: why is this person not seen, or why does it not work?
    Doctor(Option<String>),
    /// How loudly the person of this key is heard at this machine.
    Hear(u64, Hearing),
    /// The same of the person of this name or id: at this volume in percent, silenced or not; what is not told stays.
    HearOf(String, Option<u16>, Option<bool>),
    /// Another camera from now on, as the settings name one.
    UseCamera(String),
    /// Another microphone.
    UseMicrophone(String),
    /// Another speaker.
    UseSpeaker(String),
    /// Leave properly.
    Leave,
}

/// What the owner and moderators may decide. People are named as they are shown, or by their participant id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Newcomers have to knock, or not.
    Lock(bool),
    /// Put somebody out; the conference is locked from then on.
    Kick(String),
    /// Let in somebody who knocks.
    Admit(String),
    /// Send them away.
    Refuse(String),
    /// Make somebody a moderator, or none any more.
    Moderator(String, bool),
    /// Make somebody the owner.
    HandOver(String),
    /// Let somebody speak with priority, or no more.
    Favour(String, bool),
}
