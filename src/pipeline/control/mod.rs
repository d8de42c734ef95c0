//! The control role: one thread that waits for sockets, timers and commands, and runs the session.
//!
//! ```text
//!  commands (64, refused when full) ──> ┌─────────┐ ──> events (4,096, newest dropped, then everybody told anew)
//!  own socket, control group,           │ control │
//!  discovery group, broadcasts ───────> └─────────┘ ──> the instance's own socket, SAP
//!                                            └──> lines to be kept on disk (4,096, newest dropped)
//! ```
//! The own socket is shared with the senders; this role alone reads it. It decides nothing: [`Session`] does. Stopping
//! says BYE three times and is bounded in time.
//!
//! [`Session`]: crate::protocol::session::Session

mod browse;
mod probes;
mod role;
mod sap;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Events, Poll, Token, Waker};

use crate::device::clock::Clock;
use crate::device::net::{Interface, UdpSocket};
use crate::device::{identity, net};
use crate::pipeline::egress::Destination;
use crate::protocol::chat::{Content, Kept};
use crate::protocol::roster::{Attention, Camera, Microphone, RepairInfo, StreamInfo};
use crate::protocol::session::{Event, Setup};
use crate::wire::chat::Original;
use crate::wire::interest::{Places, Row};
use crate::wire::message::ParticipantId;
use crate::wire::object::Packet;

pub use browse::{browse, browse_with};
pub use sap::describe;

use role::Role;

const COMMANDS: usize = 64;
const EVENTS: usize = 4_096;
/// Batches read from one socket before the others, timers and commands have their turn.
const BATCHES_MAX: usize = 16;
/// Longest time stopping takes; BYE needs a hundredth of it.
const STOP_MAX: Duration = Duration::from_millis(500);
const WAKE: Token = Token(usize::MAX);

/// What others read of the role while it runs.
#[derive(Debug, Default)]
struct Figures {
    /// Events that found the channel full.
    events_dropped: AtomicU64,
    /// Datagrams and messages refused.
    rejected: AtomicU64,
}

/// Why the role cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket cannot be opened.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] identity::Error),
    /// The system gives no way to wait for sockets.
    #[error("cannot wait for sockets: {0}")]
    Poll(#[source] io::Error),
    /// The system gives no thread.
    #[error("cannot start the control thread: {0}")]
    Thread(#[source] io::Error),
}

/// What the role needs.
pub struct Config {
    /// Both clocks.
    pub clock: Clock,
    /// Where groups are joined.
    pub interface: Interface,
    /// The instance's own socket on it, opened with the plan's TTL.
    pub socket: Arc<UdpSocket>,
    /// What the session starts from; its address is replaced by the socket's.
    pub setup: Setup,
    /// Where lines of the chat are kept.
    pub log: Log,
    /// How one comes in.
    pub entrance: Entrance,
}

/// How a conference is entered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entrance {
    /// Of a new conference: what its id was drawn with. Whoever starts it owns it.
    pub founding: Option<[u8; 16]>,
    /// The epoch announced.
    pub epoch: u32,
    /// It was announced as locked.
    pub locked: bool,
}

/// What is kept of the chat beyond this run.
#[derive(Default)]
pub struct Log {
    /// What was kept in earlier runs, in the order of the conference, and how long ago it came.
    pub restored: Vec<(Duration, Original)>,
    /// Where new pieces go; they are dropped while it is full. `None`: nothing is kept.
    pub keeper: Option<Sender<Kept>>,
}

/// A stream as its sender describes it.
#[derive(Clone, Debug)]
pub struct LocalStream {
    /// What others are told.
    pub info: StreamInfo,
    /// Roll-over counter << 16 | last sequence number, kept up to date by the sender.
    pub position: Option<Arc<AtomicU64>>,
    /// The same of its repair.
    pub repair: Option<Arc<AtomicU64>>,
    /// Where it is sent; nothing is while there is no destination.
    pub to: Destination,
}

impl LocalStream {
    fn now(&self) -> StreamInfo {
        let read = |p: &Option<Arc<AtomicU64>>, or| p.as_ref().map_or(or, |p| p.load(Ordering::Relaxed));
        let position = read(&self.position, self.info.position);
        let repair = RepairInfo { position: read(&self.repair, self.info.repair.position), ..self.info.repair };
        StreamInfo { position, active: self.to.current().is_some(), repair, ..self.info }
    }
}

/// What the role is asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Another name.
    Name(String),
    /// Another state of the microphone.
    Microphone(Microphone),
    /// Another state of the camera.
    Camera(Camera),
    /// Hand raised or lowered, away or back, speaking with priority or not.
    Attention(Attention),
    /// Whom one lets speak with priority.
    Favoured(Vec<ParticipantId>),
    /// Everything sent from now on; empty gives up the slot.
    Streams(Vec<LocalStream>),
    /// Ask for these layers of others' pictures from now on, and no others.
    Want(Places),
    /// Tell how layers arrive here, as of now.
    Reception(Vec<Row>),
    /// Say something to those named, or to everybody when nobody is; [`Event::Said`] or [`Event::Unsaid`] follows.
    Say(Content, Vec<ParticipantId>),
    /// Say something about a file, sealed to those named when there are any.
    Object(Packet, Vec<ParticipantId>),
    /// Lock the conference, or open it to whoever has the passphrase.
    Lock(bool),
    /// Put somebody out.
    Kick(ParticipantId),
    /// Let in somebody who knocked.
    Admit(ParticipantId),
    /// Send away somebody who knocked.
    Refuse(ParticipantId),
    /// Make somebody a moderator, or none any more.
    Moderator(ParticipantId, bool),
    /// Make somebody the owner.
    HandOver(ParticipantId),
    /// The network is back; the flag says that the own socket was renewed on another address or interface.
    Network(Box<Interface>, bool),
    /// A switch forgets groups: they are joined again and again.
    Refresh,
    /// Something came by a group of a stream.
    GroupsFlow,
    /// Groups of streams stay silent whatever is done.
    StreamsFail,
    /// They do not any more.
    StreamsWork,
    /// The port that takes copies of streams.
    Direct(u16),
    /// Say goodbye and end.
    Leave,
}

/// The running role. Dropping it leaves the conference.
pub struct Control {
    sid: u64,
    commands: Sender<Command>,
    events: Receiver<Event>,
    ended: Receiver<()>,
    waker: Arc<Waker>,
    figures: Arc<Figures>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Opens the sockets and starts the thread.
    ///
    /// # Errors
    /// When a socket cannot be opened or a group not be joined.
    pub fn start(config: Config) -> Result<Self, Error> {
        let (command_in, commands) = bounded(COMMANDS);
        let (event_in, events) = bounded(EVENTS);
        let (ended_in, ended) = bounded::<()>(1);
        let figures = Arc::<Figures>::default();
        let poll = Poll::new().map_err(Error::Poll)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(Error::Poll)?);
        let mut role = Role::open(config, event_in, Arc::clone(&figures))?;
        role.register(poll.registry()).map_err(Error::Poll)?;
        let sid = role.sid();
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                run(role, poll, &commands);
                // In this order: whoever sees that it ended is refused.
                drop(commands);
                drop(ended_in);
            })
            .map_err(Error::Thread)?;
        Ok(Self { sid, commands: command_in, events, ended, waker, figures, thread: Some(thread) })
    }

    /// Names this session.
    pub fn sid(&self) -> u64 {
        self.sid
    }

    /// Asks for something. False when the role has ended or too much is asked at once.
    pub fn send(&self, command: Command) -> bool {
        self.asker().ask(command)
    }

    /// Lets another thread ask.
    pub fn asker(&self) -> Asker {
        Asker { commands: self.commands.clone(), waker: Arc::clone(&self.waker) }
    }

    /// What happens, in order.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Events lost because nobody read them. [`Event::Everybody`] follows as soon as somebody does.
    pub fn events_dropped(&self) -> u64 {
        self.figures.events_dropped.load(Ordering::Relaxed)
    }

    /// Datagrams and messages refused so far.
    pub fn rejected(&self) -> u64 {
        self.figures.rejected.load(Ordering::Relaxed)
    }

    /// Says goodbye and waits for the end of the thread. False when it did not end in time.
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        let Some(thread) = self.thread.take() else {
            return true;
        };
        self.send(Command::Leave);
        // The channel closes when the thread is done; it never carries anything.
        let ended = self.ended.recv_timeout(STOP_MAX) == Err(crossbeam_channel::RecvTimeoutError::Disconnected);
        ended && thread.join().is_ok()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks the role for things, from any thread.
#[derive(Clone)]
pub struct Asker {
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

impl Asker {
    /// What is asked goes to `commands`, for a test.
    #[cfg(test)]
    pub fn to(commands: Sender<Command>, waker: Arc<Waker>) -> Self {
        Self { commands, waker }
    }

    /// Asks for something. False when the role has ended or too much is asked at once.
    pub fn ask(&self, command: Command) -> bool {
        let sent = self.commands.try_send(command).is_ok();
        // Without a wake-up the command waits for the next timer.
        sent && self.waker.wake().is_ok()
    }
}

fn run(mut role: Role, mut poll: Poll, commands: &Receiver<Command>) {
    let mut events = Events::with_capacity(16);
    let clock = role.clock();
    while !role.is_finished() {
        role.receive();
        while let Ok(command) = commands.try_recv() {
            role.command(command);
        }
        role.step();
        let wait = role.next_timeout().since(clock.now());
        if let Err(error) = poll_for(&mut poll, &mut events, wait) {
            tracing::error!(%error, "the control thread ends");
            break;
        }
        events.iter().filter(|e| e.token() != WAKE).for_each(|e| role.mark_ready(e.token().0));
    }
    role.close();
    role.deregister(poll.registry());
}

/// Waits for sockets for at most `wait`, rounded up so that a timer is due afterwards; an interruption is no error.
pub(super) fn poll_for(poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<(), Error> {
    let whole = Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX));
    match poll.poll(events, Some(whole)) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(Error::Poll(e)),
        _ => Ok(()),
    }
}
