//! Join, leave; commands in, events and statistics out; starts and stops the pipelines.
//!
//! ```text
//! window, script, signal --Command--> director <--events-- control, senders
//!                                        |
//!                        subscribes, starts, stops, announces
//!                                        v
//!                     State (people, own devices, notices) --View, Stats--> window, files
//! ```
//! The director is one thread; the state it keeps is locked only to copy plain values in or out.

mod adjusting;
mod attention;
mod chat;
pub mod config;
mod devices;
mod director;
mod doctor;
mod door;
mod entry;
mod follow;
pub mod history;
mod latency;
mod network;
mod notices;
mod own;
mod people;
mod repair;
mod sending;
mod state;
pub mod stats;
mod succession;
pub mod tap;
mod troubles;
pub mod view;
mod watching;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::device::clock::Clock;
use crate::device::{net, process};
use crate::limits::{CHAT_LOG_PIECES_MAX, NOTICES_MAX};
use crate::pipeline::control;
use crate::pipeline::slot::PictureInfo;
use crate::protocol::discovery::Found;
use crate::protocol::doctor::Report;
use crate::protocol::keys::{KdfFailed, Secret};
use crate::protocol::passphrase::Passphrase;
use crate::time::NtpTime;
use crate::wire::Layer;
use crate::wire::address::Plan;
use crate::wire::message::ConferenceId;
use config::Config;
use stats::Stats;
use view::{Command, NoticeKind, View};

pub use crate::protocol::roster::Role;
pub use door::DoorNews;
pub use entry::choose_interface;

/// Commands that may wait for the director.
const COMMANDS: usize = 64;
/// Events that may wait for a reader, all that was said before among them; more are dropped, so that nobody has to read
/// them.
const EVENTS: usize = 2 * CHAT_LOG_PIECES_MAX + NOTICES_MAX;
/// How long leaving may take: three BYEs, and threads that end.
const LEAVING: Duration = Duration::from_secs(3);

/// Why there is no conference.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network does not do what it must.
    #[error(transparent)]
    Network(#[from] net::Error),
    /// The control role cannot run.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The groups or ports asked for cannot be used.
    #[error(transparent)]
    Address(#[from] crate::wire::address::Error),
    /// The passphrase's key cannot be had.
    #[error(transparent)]
    Passphrase(#[from] KdfFailed),
    /// The own key cannot be had.
    #[error(transparent)]
    Identity(#[from] crate::device::identity::Error),
    /// The camera, when it is a file or folder that is not there.
    #[error("camera: {}: {source}", path.display())]
    Camera {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The speaker, when it is a file that cannot be written.
    #[error(transparent)]
    Speaker(crate::pipeline::audio_receive::Error),
    /// The microphone, when it is a file that cannot be read.
    #[error(transparent)]
    Microphone(crate::pipeline::audio_send::Error),
    /// A thread or poll cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// How one comes into a conference.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A new one.
    Start {
        /// What it is called.
        title: String,
        /// What others must know to take part; without one anyone on the network can watch.
        passphrase: Option<Passphrase>,
    },
    /// One that was found.
    Join {
        /// Where it is.
        found: Found,
        /// What opens it.
        secret: Secret,
    },
}

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
    /// A line that was asked for is said; its message came before. Follows each [`Command::Say`], in order, unless
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

/// How somebody is shown, and what they are here.
pub type NameAndRole = (String, &'static str);

/// A conference one is in. Dropping it leaves.
pub struct Conference {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    events: Receiver<Event>,
    director: Mutex<Option<JoinHandle<()>>>,
    finished: Receiver<()>,
}

/// What the director writes and others read.
struct Shared {
    clock: Clock,
    state: Mutex<state::State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, state::State> {
        // What a panicking thread leaves behind is still a state that can be shown.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Says that the conference is over when the director's thread ends.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.state().ended = true;
    }
}

impl Conference {
    /// Enters, and starts everything.
    ///
    /// # Errors
    /// No interface, socket or thread; groups that cannot be used. Devices that do not work are notices, not errors.
    pub fn open(config: &Config, entry: Entry, role: Role) -> Result<Self, Error> {
        let clock = Clock::system();
        let ready = entry::prepare(config, entry, role, &clock)?;
        let shared = Arc::new(Shared { clock, state: Mutex::new(state::State::new(&ready)) });
        let (commands, asked) = bounded(COMMANDS);
        let (telling, events) = bounded(EVENTS);
        let director = director::Director::start(ready, config, Arc::clone(&shared), telling)?;
        let (ended, finished) = bounded(1);
        let over = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("director".into()).spawn(move || {
            // Dropped in this order however it ends, so that nobody waits for one that panicked.
            let _ended = ended;
            let _over = Over(over);
            director.run(&asked);
        })?;
        Ok(Self { shared, commands, events, director: Mutex::new(Some(thread)), finished })
    }

    /// The conference as a window shows it.
    pub fn view(&self) -> View {
        self.shared.state().view(self.shared.clock.now())
    }

    /// Where commands go.
    pub fn commands(&self) -> Sender<Command> {
        self.commands.clone()
    }

    /// Events; one reader gets each. Those nobody reads are dropped when there are too many.
    pub fn events(&self) -> Receiver<Event> {
        self.events.clone()
    }

    /// The window tells that a picture of person `key` is shown from now on.
    pub fn shown(&self, key: u64, info: &PictureInfo) {
        let now = self.shared.clock.wall();
        self.shared.state().people.shown(key, info, now);
    }

    /// Statistics up to now.
    pub fn stats(&self) -> Stats {
        let usage = process::usage();
        let mut stats = self.shared.state().stats(self.shared.clock.now());
        stats.process =
            stats::Process { cpu_s: usage.cpu_s, max_rss_bytes: usage.max_rss_bytes, threads: usage.threads };
        stats
    }

    /// The session description of a person's streams; `None` while nobody of that name sends any.
    pub fn sdp(&self, name: &str, layer: Layer) -> Option<String> {
        self.shared.state().sdp(name, layer)
    }

    /// What is tapped; `None` while whoever is to be tapped is not here or sends nothing.
    pub fn tapped(&self) -> Option<tap::Tapped> {
        self.shared.state().tapped.clone()
    }

    /// One's own name and role ("owner", "moderator" or "member"), and those of the other people who are here, in the
    /// order they came.
    pub fn names(&self) -> (NameAndRole, Vec<NameAndRole>) {
        let state = self.shared.state();
        let people = state.people.here().filter(|o| o.person.role == Role::Participant);
        let named = |name: &String, id| (name.clone(), state.rule.role(id));
        (named(&state.own.name, &state.own.id), people.map(|o| named(&o.person.name, &o.person.id)).collect())
    }

    /// Why one is not in it any more, when others decided so.
    pub fn outcome(&self) -> Option<Outcome> {
        self.shared.state().outcome.clone()
    }

    /// Title of the conference.
    pub fn title(&self) -> String {
        self.shared.state().title.clone()
    }

    /// What it is told apart by from others of the same title.
    pub fn id(&self) -> ConferenceId {
        self.shared.state().conference
    }

    /// Its groups and ports.
    pub fn plan(&self) -> Plan {
        self.shared.state().plan
    }

    /// Name of the network interface in use.
    pub fn interface_name(&self) -> String {
        self.shared.state().interface.clone()
    }

    /// The clock everything here runs by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Time since joining.
    pub fn elapsed(&self) -> Duration {
        self.shared.clock.now().since(self.shared.state().joined_at)
    }

    /// Waits until `holds`, at most for `at_most`; returns whether it does. For commands that begin once others are seen.
    pub fn wait_until(&self, at_most: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.shared.clock.now() + at_most;
        while !holds(self) {
            let left = deadline.since(self.shared.clock.now());
            let ended = self.finished.recv_timeout(left.min(Duration::from_millis(20)));
            if left.is_zero() || ended != Err(RecvTimeoutError::Timeout) {
                return holds(self);
            }
        }
        true
    }

    /// Waits until it is over: left, or failed.
    pub fn wait_for_end(&self) {
        // The channel closes with the director's thread, and never carries anything.
        let _ = self.finished.recv();
    }

    /// Leaves: says good-bye, closes devices, ends the threads. Returns when that is done, or after a few seconds.
    pub fn leave(&self) {
        let _ = self.commands.try_send(Command::Leave);
        // The channel closes with the director's thread.
        let _ = self.finished.recv_timeout(LEAVING);
        let thread = self.director.lock().unwrap_or_else(|e| e.into_inner()).take();
        match thread {
            Some(thread) if thread.is_finished() => drop(thread.join()),
            Some(_) => tracing::warn!("a device or thread does not end; leaving without it"),
            None => {}
        }
    }
}

impl Drop for Conference {
    fn drop(&mut self) {
        self.leave();
    }
}
