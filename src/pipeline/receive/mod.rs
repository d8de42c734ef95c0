//! Thread role: one poll over the sockets of all subscribed streams.
//!
//! ```text
//!            ┌ RTP ──> own source only ──> video: Reassembler ──bands──> VideoStream, a decoder's turn
//! one poll ──┤  (address, SSRC)       └──> audio: AudioSink
//!            ├ RTCP ─> SenderClock: RTP time -> sender's wall clock -> (participant's offset) -> own wall clock
//!            ├ repair ports ──> parity: Reassembler; requests: own streams are repaired, others' requests save the own
//!            ├ copies of any stream and its parity, to a port of its own, for whoever hears no group > by source and SSRC,
//!            │ as above; requests of those who get copies of the own streams
//!            └ waker > commands: subscribe, unsubscribe, rejoin, renew, stop
//! ```
//! Sockets are read in batches; each readable socket gets one batch a round, so that a flood on one stream does not
//! silence the others. The thread sleeps in the poll when there is nothing to read. It never decodes and never waits for a
//! decoder; all it sends is copies where it relays, requests for repair, and the parity that others ask for. Packets that
//! are malformed, from another address than the participant's socket, or of another SSRC cost a counter.

mod feedback;
mod role;
mod stream;
mod video;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel as channel;
use mio::{Events, Poll, Token, Waker};

use feedback::{Feedback, Link, OwnRepair};
use role::Role;
use stream::Stream;

use crate::device::clock::Clock;
use crate::device::net::{self, Interface, ReceiveBuffer, UdpSocket};
use crate::limits::{RELAYED_MAX, SLOTS_MAX, STREAMS_PER_SLOT_MAX};
use crate::pipeline::repair::Answering;
use crate::pipeline::slot::PictureSlot;
use crate::pipeline::video_receive::{Decoders, VideoStats};
use crate::protocol::keys::EpochKeys;
use crate::protocol::srtp::Unprotector;
use crate::time::{NtpTime, Timestamp};

/// Copies are for those on this network, and for routed ones.
const DIRECT_TTL: u8 = 16;
/// Sockets told of by one poll; the others are told of by the next.
const EVENTS: usize = 128;
const WAKER: Token = Token(usize::MAX);
/// The socket that takes copies.
const DIRECT: Token = Token(usize::MAX - 1);
/// More than there can be streams, twice: a full queue means that nobody reads it.
const COMMANDS: usize = 2 * SLOTS_MAX * STREAMS_PER_SLOT_MAX;

/// How far a participant's wall clock is ahead of the own, in nanoseconds: set by the control role, read by everybody who
/// has to do with the participant's streams.
#[derive(Clone, Debug)]
pub struct ClockOffset(Arc<AtomicI64>);

/// Stands for "not known yet".
const UNKNOWN: i64 = i64::MIN;

impl Default for ClockOffset {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl ClockOffset {
    /// An offset that is not known yet.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// Says what is known now.
    pub fn set(&self, nanos: Option<i64>) {
        self.0.store(nanos.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Nanoseconds, when known.
    pub fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&n| n != UNKNOWN)
    }
}

/// Takes the packets of subscribed voices, on the receiving thread: it copies and returns.
pub trait AudioSink: Send {
    /// A packet of the stream subscribed as `stream` arrived. It is well-formed RTP of the SSRC subscribed.
    fn packet(&mut self, stream: u64, arrived: Timestamp, bytes: &[u8]);

    /// The same of a packet that was sent once more, and that may have come before.
    fn again(&mut self, stream: u64, arrived: Timestamp, bytes: &[u8]) {
        self.packet(stream, arrived, bytes);
    }

    /// Its sender reported that its RTP clock stood at `rtp_timestamp` when its wall clock showed `ntp`.
    fn report(&mut self, _stream: u64, _ntp: NtpTime, _rtp_timestamp: u32) {}
}

/// What is received and where it goes.
pub enum Sink {
    /// Opus: to the [`AudioSink`].
    Audio,
    /// JPEG: decoded into a slot.
    Video {
        /// Where the pictures go.
        slot: Arc<PictureSlot>,
        /// Figures of the stream.
        stats: Arc<VideoStats>,
        /// The size its sender announced, which may be less than the multiples of 8 on the wire.
        true_size: Option<(usize, usize)>,
    },
    /// Nowhere: counted, and repeated where this instance relays.
    Pass,
}

/// Where a stream is repaired.
pub struct RepairSource {
    /// Group and port of the parity and of the requests for it.
    pub address: SocketAddr,
    /// SSRC of the parity.
    pub ssrc: u32,
    /// In a protected conference what opens it.
    pub opener: Option<Unprotector>,
    /// Random: spreads the requests of many receivers.
    pub seed: u64,
    /// Where its sender hears requests of those who are sent copies; see [`Receiver::direct_port`].
    pub direct: Option<SocketAddr>,
}

/// A stream to be received.
pub struct Subscription {
    /// Names it in commands and to the audio sink.
    pub key: u64,
    /// Group and port of its RTP; RTCP is on the port above.
    pub rtp: SocketAddr,
    /// The socket its participant sends everything from; `None` takes what anybody sends.
    pub source: Option<SocketAddr>,
    /// Its SSRC as announced; `None` pins the first one heard.
    pub ssrc: Option<u32>,
    /// Offset of its participant's wall clock.
    pub offset: ClockOffset,
    /// In a protected conference what opens its packets.
    pub opener: Option<Unprotector>,
    /// Its repair port, when its sender repairs it.
    pub repair: Option<RepairSource>,
    /// Where it goes.
    pub sink: Sink,
}

/// Why a stream cannot be received.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its group cannot be joined or its port not be bound.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// No decoder could be made.
    #[error("cannot make a decoder: {0}")]
    Decoder(#[from] crate::media::jpeg::Error),
    /// The receiving thread has ended.
    #[error("the receiving thread has ended")]
    Ended,
}

enum Command {
    Subscribe(Box<Stream>),
    Unsubscribe(u64),
    Rejoin(u64),
    Link(Box<Link>),
    Crowd(usize),
    Repair(Box<OwnRepair>),
    Unrepair(u64),
    Renew(Box<Interface>),
    Relay(Box<Relaying>),
}

/// What is repeated to whom, and who repeats to this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relaying {
    /// May send copies of others' streams.
    pub from: Option<SocketAddr>,
    /// Get copies: the first [`RELAYED_MAX`] of them.
    pub to: Vec<SocketAddr>,
    /// Subscriptions that are repeated, by key, in ascending order.
    pub keys: Vec<u64>,
}

/// The receiving thread, seen from outside. Dropping it stops and joins the thread.
pub struct Receiver {
    commands: channel::Sender<Command>,
    waker: Arc<Waker>,
    interface: Interface,
    /// Group of each subscription, and how much of it arrived.
    arrivals: Mutex<BTreeMap<u64, (IpAddr, Arc<AtomicU64>)>>,
    direct_port: u16,
    refused: Arc<AtomicU64>,
    overflows: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts the thread, which subscribes on `interface` and has pictures decoded by `decoders` threads.
    ///
    /// # Errors
    /// When the system gives no poll or no thread.
    pub fn start(interface: &Interface, clock: &Clock, decoders: usize, audio: Box<dyn AudioSink>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (commands, receiver) = channel::bounded(COMMANDS);
        let (refused, overflows) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let direct = UdpSocket::unicast(interface, DIRECT_TTL).map_err(io::Error::other)?;
        direct.register(poll.registry(), DIRECT)?;
        let direct_port = direct.local_addr().port();
        let mut role = Role {
            poll,
            events: Events::with_capacity(EVENTS),
            commands: receiver,
            buffer: ReceiveBuffer::new(),
            streams: Vec::new(),
            readable: Vec::new(),
            clock: clock.clone(),
            decoders: Decoders::start(decoders, clock)?,
            audio,
            refused: refused.clone(),
            feedback: Feedback::default(),
            own: Vec::new(),
            crowd: 1,
            overflows: overflows.clone(),
            overflows_looked: Default::default(),
            direct,
            relaying: Relaying::default(),
        };
        let thread = std::thread::Builder::new().name("receive".into()).spawn(move || role.run())?;
        Ok(Self {
            commands,
            waker,
            interface: interface.clone(),
            arrivals: Mutex::default(),
            direct_port,
            refused,
            overflows,
            thread: Some(thread),
        })
    }

    /// Joins the stream's group and receives it from now on; a stream of the same key is replaced.
    ///
    /// # Errors
    /// [`Error::Net`] may be transient, see there.
    pub fn subscribe(&self, subscription: Subscription) -> Result<(), Error> {
        let stream = Stream::open(subscription, &self.interface)?;
        let arrival = (stream.rtp.local_addr().ip(), Arc::clone(&stream.arrived));
        self.lock_arrivals().insert(stream.key, arrival);
        self.command(Command::Subscribe(Box::new(stream)))
    }

    /// Says what requests for repair are sent from and sealed with: the instance's own socket, the keys of the epoch and
    /// the own session. Without it nothing is asked for nor answered.
    pub fn feedback(&self, socket: &Arc<UdpSocket>, keys: &EpochKeys, sid: u64) {
        let _ = self.command(Command::Link(Box::new(Link::new(Arc::clone(socket), keys, sid))));
    }

    /// How many receive each stream, oneself included, as far as is known: the more, the longer each waits before asking.
    pub fn crowd(&self, people: usize) {
        let _ = self.command(Command::Crowd(people));
    }

    /// Hears requests for the own stream `key` on its repair port `address`, and has them answered by `repair`.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn repair(&self, key: u64, address: SocketAddr, repair: &Answering) -> Result<(), Error> {
        let socket = UdpSocket::multicast(address, &self.interface)?;
        self.command(Command::Repair(Box::new(OwnRepair { key, socket, repair: repair.clone() })))
    }

    /// Hears no more requests for the own stream `key`.
    pub fn unrepair(&self, key: u64) {
        let _ = self.command(Command::Unrepair(key));
    }

    /// The interface that is subscribed on.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Leaves the stream's group. Its slot keeps the last picture.
    pub fn unsubscribe(&self, key: u64) {
        self.lock_arrivals().remove(&key);
        let _ = self.command(Command::Unsubscribe(key));
    }

    /// Leaves and joins the stream's groups, for switches that forgot them.
    pub fn rejoin(&self, key: u64) {
        let _ = self.command(Command::Rejoin(key));
    }

    /// Of each subscription: key, group, and how many of its source's datagrams arrived.
    pub fn arrivals(&self) -> Vec<(u64, IpAddr, u64)> {
        let of =
            |(&key, (group, count)): (&u64, &(IpAddr, Arc<AtomicU64>))| (key, *group, count.load(Ordering::Relaxed));
        self.lock_arrivals().iter().map(of).collect()
    }

    /// The port that takes copies of streams and of their repair, for whoever hears no group, and the requests of those
    /// who get copies of the own streams.
    pub fn direct_port(&self) -> u16 {
        self.direct_port
    }

    /// Repeats from now on what is received to those who hear no group, and takes what is repeated to this instance.
    pub fn relay(&self, mut relaying: Relaying) {
        relaying.to.truncate(RELAYED_MAX);
        let _ = self.command(Command::Relay(Box::new(relaying)));
    }

    /// Receives everything on `interface` as it is now, or on that one instead.
    pub fn renew(&mut self, interface: Interface) {
        self.interface = interface.clone();
        let _ = self.command(Command::Renew(Box::new(interface)));
    }

    fn lock_arrivals(&self) -> MutexGuard<'_, BTreeMap<u64, (IpAddr, Arc<AtomicU64>)>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Packets of voices and reports that were not their participant's. Those of pictures are in their [`VideoStats`].
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Packets that the system dropped because this machine did not take them in time.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// Whether the thread has ended, which it does by itself only when something is broken.
    pub fn is_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.try_send(command).map_err(|_| Error::Ended)?;
        self.waker.wake().map_err(|_| Error::Ended)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The end of the commands ends the thread; when it cannot be woken it has ended already.
        drop(std::mem::replace(&mut self.commands, channel::bounded(0).0));
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
