//! What a window needs to know of a conference, as plain values; and what it may ask for.

use std::sync::Arc;

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
    /// Kilobits per second received (video and audio) or, for oneself, sent.
    pub kbit_per_s: f32,
    /// Video packets lost of those expected in the last second, percent.
    pub loss_percent: f32,
    /// Capture to window, median of the last second.
    pub latency_ms: Option<f32>,
    /// Audio waiting to be played.
    pub audio_buffer_ms: f32,
}

/// One person of the conference.
#[derive(Clone)]
pub struct PersonView {
    /// Stable key of the person within this run.
    pub key: u64,
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
    /// Voice level in dBFS, `-127` = silence.
    pub level_dbfs: f32,
    /// Newest picture; the window says at which size it wants it.
    pub picture: Arc<PictureSlot>,
    /// Figures for the overlay.
    pub figures: PersonFigures,
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

/// The conference as the window shows it.
#[derive(Clone, Default)]
pub struct View {
    /// Title of the conference.
    pub title: String,
    /// Whether anyone on the network can watch.
    pub open: bool,
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
    /// Lines for the statistics overlay beside those of the people (process, sent, network).
    pub summary: Vec<String>,
    /// What the last examination found.
    pub examined: Option<Arc<Report>>,
    /// Set when the conference is over (left, failed): the window closes.
    pub ended: bool,
}

/// What the window, a script or a signal asks of the conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Microphone off or on.
    Mute(bool),
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
    /// Decide who may be here.
    Door(Decision),
    /// Examine the network: why is this person not seen, or why does it not work?
    Doctor(Option<String>),
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
}
