//! What a conference tells whoever reads its events: people, lines, files, the door, notices.

use std::net::IpAddr;
use std::sync::Arc;

use super::door::DoorNews;
use super::view::{self, NoticeKind};
use crate::protocol::doctor::Report;
use crate::time::NtpTime;

/// What happened to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonState {
    /// Came in.
    Joined,
    /// Microphone, camera or name changed.
    Changed,
    /// Left properly.
    Left,
    /// Was not heard of any more.
    Lost,
    /// Was put out by the owner or a moderator.
    Removed,
}

/// Why one is not in a conference that goes on without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Put out, by whom.
    Removed(String),
    /// Not let in; one does not learn who is inside.
    Refused,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Removed(by) => write!(f, "you were removed from the conference by {by}"),
            Outcome::Refused => write!(f, "the conference is locked, and you were not let in"),
        }
    }
}

impl PersonState {
    /// The word for it in events.
    pub fn word(self) -> &'static str {
        match self {
            PersonState::Joined => "joined",
            PersonState::Changed => "changed",
            PersonState::Left => "left",
            PersonState::Lost => "lost",
            PersonState::Removed => "removed",
        }
    }
}

/// Something happened to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonEvent {
    /// As shown.
    pub name: String,
    /// Participant id, hexadecimal.
    pub id: String,
    /// What happened.
    pub state: PersonState,
    /// The same in words, to follow the name; empty for what is not worth telling people.
    pub news: &'static str,
    /// Microphone off.
    pub muted: bool,
    /// "on", "off" or "failed".
    pub camera: &'static str,
    /// Hand raised, away.
    pub attention: view::Attention,
    /// "owner", "moderator" or "member".
    pub role: &'static str,
    /// Where they are.
    pub address: IpAddr,
    /// What reaches them: "groups", "single" (the control group alone) or "unicast".
    pub transport: &'static str,
}

/// A line of the chat, one's own included. Each comes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names it; sorted by these texts, lines are in the order of the conference, the same for everybody.
    pub id: String,
    /// Its author's name, as shown.
    pub from: String,
    /// Its author's participant id, hexadecimal.
    pub member: String,
    /// It is one's own.
    pub own: bool,
    /// The words, as they were sent: to be cleaned before a terminal sees them.
    pub text: String,
    /// They tell what the author does ("/me").
    pub action: bool,
    /// When it was said, by its author's clock.
    pub at: NtpTime,
    /// It belongs before a line that came already.
    pub late: bool,
    /// For some only: the names of those it is for, its author not among them.
    pub audience: Option<Vec<String>>,
    /// What it replies to, if that is known here.
    pub reply: Option<Quoted>,
}

/// A line that another one is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Of the message.
    pub id: String,
    /// Its author's name, as it was shown.
    pub from: String,
    /// How it begins, as it was sent.
    pub text: String,
}

/// An emoji somebody put under a line, oneself included. Each comes once, after the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Names it, as a message's does.
    pub id: String,
    /// Whose it is, by the name shown.
    pub from: String,
    /// Whose it is, by participant id, hexadecimal.
    pub member: String,
    /// It is one's own.
    pub own: bool,
    /// As it was sent.
    pub emoji: String,
    /// When, by its author's clock.
    pub at: NtpTime,
    /// The line.
    pub line: Quoted,
}

/// A file that is offered, by somebody else or oneself. Each comes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOffer {
    /// Counts files from 1, for people to type.
    pub number: u64,
    /// Names it.
    pub offer: String,
    /// Its sender's name.
    pub from: String,
    /// Its sender's participant id, hexadecimal.
    pub member: String,
    /// It is one's own.
    pub own: bool,
    /// File name, fit to be shown and to be stored under.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Media type; may be empty.
    pub kind: String,
    /// For some only.
    pub private: bool,
    /// Of one's own: for whom, sorted; nobody named means everybody.
    pub to: Vec<String>,
    /// It is a voice message.
    pub voice: Option<view::Voice>,
}

/// How far somebody is with a file of one's own.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRecipient {
    /// Name, as shown.
    pub name: String,
    /// Participant id, hexadecimal.
    pub id: String,
    /// "asked", "receives", "behind", "declined", "has it" or "left".
    pub state: &'static str,
    /// Why it was declined, to follow the name; else empty.
    pub why: &'static str,
    /// Share of it that they have, 0 to 1.
    pub part: f32,
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq)]
pub struct FileProgress {
    /// Names it.
    pub offer: String,
    /// File name.
    pub name: String,
    /// It is one's own.
    pub own: bool,
    /// Bytes had, or sent.
    pub bytes: u64,
    /// Of so many.
    pub size: u64,
    /// At present.
    pub bits_per_s: f64,
    /// Seconds to go, as far as can be told.
    pub remaining_s: Option<u64>,
    /// Of one's own: everybody it is offered to.
    pub recipients: Vec<FileRecipient>,
}

/// What happens with voice messages, beside what happens with files.
#[derive(Clone, Debug, PartialEq)]
pub enum VoiceNews {
    /// One is being recorded: at its beginning, and each second.
    Recording {
        /// Milliseconds so far.
        ms: u32,
        /// Until it ends by itself.
        left_ms: u32,
        /// How loud it is.
        level_dbfs: f32,
    },
    /// One was recorded.
    Recorded {
        /// What it is like.
        voice: view::Voice,
        /// Bytes.
        bytes: u64,
        /// Where it is.
        path: std::path::PathBuf,
    },
    /// It was thrown away.
    Discarded,
    /// One is heard from now on.
    Playing {
        /// Which; none: the one that is not sent yet.
        offer: Option<String>,
        /// Milliseconds.
        length_ms: u32,
    },
    /// It is heard no more.
    Played {
        /// Which.
        offer: Option<String>,
        /// Milliseconds that were heard.
        ms: u32,
        /// To its end.
        whole: bool,
    },
    /// One was copied.
    Saved {
        /// Which.
        offer: String,
        /// Where to.
        path: std::path::PathBuf,
    },
    /// What was asked for is not done.
    Failed {
        /// Why not.
        why: String,
    },
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// This instance is in.
    Joined {
        /// Title.
        conference: String,
        /// Own participant id, hexadecimal.
        id: String,
        /// Own name, as shown.
        name: String,
        /// Anyone on this network can watch.
        open: bool,
    },
    /// Somebody else.
    Person(PersonEvent),
    /// Somebody said something, now or before one came.
    Message(Message),
    /// Somebody reacted to something, now or before one came.
    Reaction(Reaction),
    /// A line that was asked for is said; its message came before. Follows each [`view::Command::Say`], in order, unless
    /// [`Unsaid`](Self::Unsaid) does.
    Said {
        /// Of the message.
        id: String,
    },
    /// A line that was asked for is not said.
    Unsaid {
        /// Its words.
        text: String,
        /// Why not.
        why: String,
    },
    /// Another number of people have told that they have a line of one's own.
    Delivered {
        /// Of the message.
        id: String,
        /// So many have it.
        have: usize,
        /// Of so many who are here.
        present: usize,
    },
    /// Nobody could receive a line of one's own.
    Unheard {
        /// Of the message.
        id: String,
        /// Its words.
        text: String,
    },
    /// An examination ended.
    Doctor {
        /// Whom it was about, by the name shown.
        about: Option<String>,
        /// What was found.
        report: Arc<Report>,
    },
    /// A file is offered.
    Offer(FileOffer),
    /// How a file goes.
    Progress(FileProgress),
    /// A file is here, whole and verified.
    File {
        /// Names it.
        offer: String,
        /// Its sender's name.
        from: String,
        /// File name.
        name: String,
        /// Where it is.
        path: std::path::PathBuf,
        /// BLAKE3 of it, hexadecimal.
        blake3: String,
        /// Bytes.
        size: u64,
        /// It is a voice message.
        voice: Option<view::Voice>,
    },
    /// Everybody who is here has answered one's own offer, and has the file if they want it.
    FileSettled {
        /// Names it.
        offer: String,
        /// File name.
        name: String,
        /// What became of it.
        recipients: Vec<FileRecipient>,
        /// Datagrams it took.
        packets: u64,
        /// The least it could have taken.
        packets_min: u64,
    },
    /// A file is not sent or received, and will not be.
    FileFailed {
        /// Names it; `None` when it never was an offer.
        offer: Option<String>,
        /// File name, or what the user called it.
        name: String,
        /// Why.
        why: String,
    },
    /// Something about a voice message.
    Voice(VoiceNews),
    /// Something about who may be here.
    Door {
        /// What.
        news: DoorNews,
        /// The same in words.
        text: String,
    },
    /// A line for the user.
    Notice {
        /// How loudly.
        kind: NoticeKind,
        /// The words.
        text: String,
    },
}
