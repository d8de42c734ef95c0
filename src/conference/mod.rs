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
pub mod emoji;
mod entry;
mod events;
pub mod files;
mod follow;
mod hearing;
pub mod history;
pub mod invite;
pub mod kept;
mod latency;
mod lips;
pub mod lobby;
mod network;
mod notices;
mod own;
mod people;
mod priority;
pub mod qr;
mod relaying;
mod repair;
mod sending;
mod state;
pub mod stats;
mod succession;
pub mod taking;
pub mod talk;
pub mod tap;
mod troubles;
pub mod view;
mod voice;
mod watching;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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
use crate::protocol::keys::{KdfFailed, Secret};
use crate::protocol::passphrase::Passphrase;
use crate::protocol::transport::Reach;
use crate::wire::Layer;
use crate::wire::address::Plan;
use crate::wire::message::ConferenceId;
use config::Config;
use stats::Stats;
use view::{Command, View};

pub use crate::protocol::roster::Role;
pub use door::DoorNews;
pub use entry::choose_interface;
pub use events::{
    Event, FileOffer, FileProgress, FileRecipient, Message, Outcome, PersonEvent, PersonState, Quoted, Reaction,
    VoiceNews,
};

/// Commands that may wait for the director.
const COMMANDS: usize = 64;
/// Events that may wait for a reader, all that was said before among them; more are dropped, so that nobody has to read
/// them.
const EVENTS: usize = 2 * CHAT_LOG_PIECES_MAX + NOTICES_MAX;
/// How long leaving may take: three BYEs, and threads that end.
const LEAVING: Duration = Duration::from_secs(3);
/// A window that is busy for longer is noticed.
const STALL: Duration = Duration::from_millis(50);

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

/// How somebody is shown, and what they are here.
pub type NameAndRole = (String, &'static str);

/// Somebody who is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// As shown.
    pub name: String,
    /// "owner", "moderator" or "member".
    pub role: &'static str,
    /// What reaches them: "groups", "single" (the control group alone) or "unicast".
    pub transport: &'static str,
}

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
    /// How long the window was busy with each frame.
    frames: Mutex<latency::LatencyMeter>,
    /// How often it was busy for longer than [`STALL`].
    stalls: AtomicU64,
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
        let shared = Arc::new(Shared {
            clock,
            frames: Mutex::default(),
            stalls: AtomicU64::default(),
            state: Mutex::new(state::State::new(&ready)),
        });
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

    /// The window tells that it was busy with a frame for so long.
    pub fn framed(&self, busy: Duration) {
        let mut frames = self.shared.frames.lock().unwrap_or_else(|e| e.into_inner());
        frames.record(busy.as_nanos() as i64);
        self.shared.stalls.fetch_add(u64::from(busy > STALL), Relaxed);
    }

    /// Statistics up to now.
    pub fn stats(&self) -> Stats {
        let usage = process::usage();
        let mut stats = self.shared.state().stats(self.shared.clock.now());
        stats.window_ms = self.shared.frames.lock().unwrap_or_else(|e| e.into_inner()).summary();
        stats.window_stalls = stats.window_ms.map(|_| self.shared.stalls.load(Relaxed));
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
        let (me, others) = self.who();
        let named = |here: Here| (here.name, here.role);
        (named(me), others.into_iter().map(named).collect())
    }

    /// As [`names`](Self::names), with what reaches them.
    pub fn who(&self) -> (Here, Vec<Here>) {
        let state = self.shared.state();
        let here = |name: &String, id, reach: Reach| Here {
            name: name.clone(),
            role: state.rule.role(id),
            transport: reach.word(),
        };
        let people = state.people.here().map(|o| &o.person).filter(|p| p.role == Role::Participant);
        let others = people.map(|p| here(&p.name, &p.id, p.reach)).collect();
        (here(&state.own.name, &state.own.id, state.own.reach), others)
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
