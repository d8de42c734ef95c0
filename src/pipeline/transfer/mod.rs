//! The transfer role: one thread that gives and takes files, all of them.
//!
//! ```text
//! commands (256, refused when full) ─────> ┌──────────┐ ──> events (4,096, newest dropped)
//! file groups: symbols, requests ────────> │ transfer │ ──> the instance's own socket: symbols, requests
//! symbols fetched over TCP (2,048, waits)─> └──────────┘ ──> control: what is said, signed, to everybody
//!                                              │    └──> TCP: those who fetch, a thread each, 16 at most
//!                                              └──> files; hashing of what is to be sent has a thread of its own
//! ```
//! What is decided is decided by [`crate::protocol::transfer`]; here are its sockets, files and clock. The thread starts with the
//! first thing there is to do.

mod fetch;
mod giving;
mod pace;
mod prepare;
mod role;
mod sockets;
mod taking;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Events, Poll, Token, Waker};

use crate::device::clock::Clock;
use crate::device::net::{Interface, UdpSocket};
use crate::pipeline::control::Asker;
use crate::protocol::keys::EpochKeys;
use crate::protocol::transfer::sender::{Answer, Sent};
use crate::wire::address::Plan;
use crate::wire::message::ParticipantId;
use crate::wire::object::{ObjectId, Packet, Reason, Voice};

use role::Role;

const COMMANDS: usize = 256;
const EVENTS: usize = 4_096;
/// Symbols fetched over TCP that wait; whoever fetches waits, too.
const FETCHED: usize = 2_048;
const WAKE: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
/// Longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// Why the role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gives no way to wait for sockets.
    #[error("cannot wait for sockets: {0}")]
    Poll(#[source] io::Error),
    /// The system gives no thread.
    #[error("cannot start the transfer thread: {0}")]
    Thread(#[source] io::Error),
}

/// What the role needs.
pub struct Config {
    /// Both clocks.
    pub clock: Clock,
    /// Where groups are joined.
    pub interface: Interface,
    /// The instance's own socket on it.
    pub socket: Arc<UdpSocket>,
    /// Addresses of everything.
    pub plan: Plan,
    /// Oneself.
    pub me: ParticipantId,
    /// Keys of the present epoch.
    pub keys: EpochKeys,
    /// What signs and tells everybody.
    pub asker: Asker,
    /// Never faster than so many Mb/s.
    pub limit_mbit: Option<u32>,
    /// Seed of everything drawn: must never repeat.
    pub seed: [u8; 32],
}

/// What the role is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Offer a file or folder to those named, or to everybody when nobody is. [`Event::Offering`] or [`Event::Unsent`]
    /// follows, with the same ticket.
    Send(u64, PathBuf, Vec<ParticipantId>, Option<Voice>),
    /// Somebody said something about a file.
    Heard(ParticipantId, Packet),
    /// Somebody is here, at this address; or is in another session now.
    Here(ParticipantId, u64, IpAddr),
    /// Somebody is gone.
    Gone(ParticipantId),
    /// Take what was offered, into this folder; under this name, if it is to have another.
    Accept(ObjectId, PathBuf, Option<String>),
    /// Do not take it, or stop taking it.
    Decline(ObjectId, Reason),
    /// Take back what oneself offers.
    Cancel(ObjectId),
    /// There is voice or video in the conference, or not any more.
    Media(bool),
    /// Another epoch.
    Keys(EpochKeys),
    /// The network is back; it is this one now, under another address perhaps.
    Network(Box<Interface>, bool),
}

/// How far somebody is who is offered a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipient {
    /// Who.
    pub id: ParticipantId,
    /// What they made of it.
    pub answer: Answer,
    /// Share of it that they have, 0 to 1.
    pub part: f32,
    /// Gets it alone, because it loses too much.
    pub alone: bool,
}

/// How far a file is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Which.
    pub object: ObjectId,
    /// Bytes had or, by oneself who sends, sent once.
    pub bytes: u64,
    /// Of so many.
    pub size: u64,
    /// Bits per second at present.
    pub bits_per_s: f64,
    /// Of a file one sends: everybody it is offered to.
    pub recipients: Option<Vec<Recipient>>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A file is offered to others.
    Offering {
        /// That of the command.
        ticket: u64,
        /// It is called so from now on.
        object: ObjectId,
        /// File name.
        name: String,
        /// Bytes.
        size: u64,
        /// Media type.
        kind: String,
        /// It is a voice message.
        voice: Option<Voice>,
        /// For whom; empty: for everybody.
        audience: Vec<ParticipantId>,
    },
    /// A file cannot be sent.
    Unsent {
        /// That of the command.
        ticket: u64,
        /// Why not.
        why: String,
    },
    /// Somebody offers a file. Comes once for each.
    Offered {
        /// It is called so.
        object: ObjectId,
        /// By whom.
        from: ParticipantId,
        /// File name, as its sender calls it.
        name: String,
        /// Bytes.
        size: u64,
        /// Media type.
        kind: String,
        /// It is a voice message.
        voice: Option<Voice>,
        /// What it shows, small; empty when it is no picture.
        thumbnail: Vec<u8>,
        /// For some only.
        private: bool,
    },
    /// How it goes.
    Progress(Progress),
    /// More of a voice message from its beginning, in order, to be heard while the rest comes. Nobody but a member sent it; that
    /// it is what was offered is known once it is [`Received`](Self::Received).
    Arrived {
        /// Which.
        object: ObjectId,
        /// Where in it.
        at: u64,
        /// What is there.
        bytes: Vec<u8>,
    },
    /// A file is here, whole and verified.
    Received {
        /// Which.
        object: ObjectId,
        /// By whom it was offered.
        from: ParticipantId,
        /// Where it is.
        path: PathBuf,
        /// BLAKE3 of it.
        blake3: [u8; 32],
        /// Bytes.
        size: u64,
    },
    /// Everybody who is here has answered, and has it if they want it.
    Settled {
        /// Which.
        object: ObjectId,
        /// What became of it.
        recipients: Vec<Recipient>,
        /// What was sent.
        sent: Sent,
        /// Least number of packets it could have taken.
        packets_min: u64,
    },
    /// It is over without success: taken back, or impossible.
    Failed {
        /// Which.
        object: ObjectId,
        /// Why, in words.
        why: String,
        /// It may yet go on.
        resumes: bool,
    },
}

/// The running role. Dropping it ends it; parts of files stay.
pub struct Transfer {
    commands: Sender<Command>,
    events: Receiver<Event>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Transfer {
    /// Starts the thread.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(config: Config) -> Result<Self, Error> {
        let (command_in, commands) = bounded(COMMANDS);
        let (event_in, events) = bounded(EVENTS);
        let poll = Poll::new().map_err(Error::Poll)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(Error::Poll)?);
        let registry = poll.registry().try_clone().map_err(Error::Poll)?;
        let role = Role::new(config, event_in, registry, Arc::clone(&waker));
        let run = move || run(role, poll, &commands);
        let thread = std::thread::Builder::new().name("transfer".into()).spawn(run).map_err(Error::Thread)?;
        Ok(Self { commands: command_in, events, waker, thread: Some(thread) })
    }

    /// Asks for something. False when too much is asked at once.
    pub fn send(&self, command: Command) -> bool {
        let sent = self.commands.try_send(command).is_ok();
        sent && self.waker.wake().is_ok()
    }

    /// What happens, in order.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // The thread ends when there is nobody left to command it.
        let (nobody, _) = bounded(0);
        self.commands = nobody;
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut role: Role, mut poll: Poll, commands: &Receiver<Command>) {
    let mut events = Events::with_capacity(32);
    let clock = role.clock();
    loop {
        loop {
            match commands.try_recv() {
                Ok(command) => role.command(command),
                Err(crossbeam_channel::TryRecvError::Empty) => break,
                Err(crossbeam_channel::TryRecvError::Disconnected) => return role.close(),
            }
        }
        role.receive();
        let next = role.step();
        let wait = next.since(clock.now()).min(SLEEP_MAX);
        let whole = Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(1));
        match poll.poll(&mut events, Some(whole)) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                tracing::error!(error = %e, "the transfer thread ends");
                return role.close();
            }
            _ => {}
        }
        events.iter().for_each(|e| role.mark_ready(e.token()));
    }
}
