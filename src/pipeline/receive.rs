//! Thread role: one poll over the sockets of all subscribed streams.
//!
//! ```text
//!            ┌ RTP ──> own source only ──> video: Reassembler ──bands──> VideoStream, a decoder's turn
//! one poll ──┤  (address, SSRC)       └──> audio: AudioSink
//!            ├ RTCP ─> SenderClock: RTP time -> sender's wall clock -> (participant's offset) -> own wall clock
//!            └ waker > commands: subscribe, unsubscribe, rejoin, stop
//! ```
//! Sockets are read in batches; each readable socket gets one batch a round, so that a flood on one stream does not
//! silence the others. The thread sleeps in the poll when there is nothing to read. It never decodes, never waits for a
//! decoder and never sends; packets that are malformed, from another address than the participant's socket, or of
//! another SSRC cost a counter.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel as channel;
use mio::{Events, Poll, Token, Waker};

use crate::device::clock::Clock;
use crate::device::net::{self, Datagram, Interface, ReceiveBuffer, UdpSocket};
use crate::device::priority;
use crate::limits::{DATAGRAM_BYTES_MAX, SLOTS_MAX, STREAMS_PER_SLOT_MAX};
use crate::pipeline::slot::PictureSlot;
use crate::pipeline::video_receive::{Decoders, VideoStats, VideoStream};
use crate::protocol::clock::SenderClock;
use crate::protocol::reassembler::{FrameId, Progress, Reassembler};
use crate::protocol::srtp::{self, Unprotector};
use crate::time::{NtpTime, Timestamp};
use crate::wire::{rtcp, rtp};

/// Media clocks (RFC 2435 section 3, RFC 7587 section 4.1).
const VIDEO_CLOCK_HZ: u32 = 90_000;
const AUDIO_CLOCK_HZ: u32 = 48_000;
/// A frame's new bytes are handed to the decoder once they are this share of the frame before it; a little less than a
/// band as it is sent.
const USEFUL_SHARE: usize = 12;
/// Frames smaller than this are handed over whole: waking a decoder costs more than it gains.
const BANDED_BYTES_MIN: usize = 16 << 10;
/// Sockets told of by one poll; the others are told of by the next.
const EVENTS: usize = 128;
const WAKER: Token = Token(usize::MAX);
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
}

/// A stream to be received.
pub struct Subscription {
    /// Names it in commands and to the audio sink.
    pub key: u64,
    /// Group and port of its RTP; RTCP is on the port above.
    pub rtp: SocketAddrV4,
    /// The socket its participant sends everything from; `None` takes what anybody sends.
    pub source: Option<SocketAddrV4>,
    /// Its SSRC as announced; `None` pins the first one heard.
    pub ssrc: Option<u32>,
    /// Offset of its participant's wall clock.
    pub offset: ClockOffset,
    /// In a protected conference what opens its packets.
    pub opener: Option<Unprotector>,
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
}

/// The receiving thread, seen from outside. Dropping it stops and joins the thread.
pub struct Receiver {
    commands: channel::Sender<Command>,
    waker: Arc<Waker>,
    interface: Interface,
    refused: Arc<AtomicU64>,
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
        let refused = Arc::new(AtomicU64::new(0));
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
        };
        let thread = std::thread::Builder::new().name("receive".into()).spawn(move || role.run())?;
        Ok(Self { commands, waker, interface: interface.clone(), refused, thread: Some(thread) })
    }

    /// Joins the stream's group and receives it from now on; a stream of the same key is replaced.
    ///
    /// # Errors
    /// [`Error::Net`] may be transient, see there.
    pub fn subscribe(&self, subscription: Subscription) -> Result<(), Error> {
        let stream = Stream::open(subscription, &self.interface)?;
        self.command(Command::Subscribe(Box::new(stream)))
    }

    /// The interface that is subscribed on.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Leaves the stream's group. Its slot keeps the last picture.
    pub fn unsubscribe(&self, key: u64) {
        let _ = self.command(Command::Unsubscribe(key));
    }

    /// Leaves and joins the stream's groups, for switches that forgot them.
    pub fn rejoin(&self, key: u64) {
        let _ = self.command(Command::Rejoin(key));
    }

    /// Packets of voices and reports that were not their participant's. Those of pictures are in their [`VideoStats`].
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
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

struct Role {
    poll: Poll,
    events: Events,
    commands: channel::Receiver<Command>,
    buffer: ReceiveBuffer,
    /// By token: a stream's RTP socket has twice its index, its RTCP socket one more.
    streams: Vec<Option<Box<Stream>>>,
    /// Tokens of sockets that may have more to read.
    readable: Vec<usize>,
    clock: Clock,
    decoders: Decoders,
    audio: Box<dyn AudioSink>,
    refused: Arc<AtomicU64>,
}

impl Role {
    fn run(&mut self) {
        priority::hurry_for_network();
        while self.step(None) {}
    }

    /// Waits until there is something to do, at most `timeout`, and does a round of it; `false` to stop.
    fn step(&mut self, timeout: Option<Duration>) -> bool {
        let timeout = if self.readable.is_empty() { timeout } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => {
                tracing::error!(%error, "cannot wait for packets; nothing is received any more");
                return false;
            }
        }
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                WAKER => woken = true,
                Token(token) if !self.readable.contains(&token) => self.readable.push(token),
                _ => {}
            }
        }
        if woken && !self.take_commands() {
            return false;
        }
        let mut readable = std::mem::take(&mut self.readable);
        readable.retain(|&token| self.read(token));
        self.readable = readable;
        true
    }

    fn take_commands(&mut self) -> bool {
        loop {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(error) => return error != channel::TryRecvError::Disconnected,
            };
            match command {
                Command::Subscribe(stream) => self.subscribe(stream),
                Command::Unsubscribe(key) => self.unsubscribe(key),
                Command::Rejoin(key) => {
                    if let Some(stream) = self.streams.iter().flatten().find(|s| s.key == key) {
                        stream.rejoin();
                    }
                }
            }
        }
    }

    fn subscribe(&mut self, stream: Box<Stream>) {
        self.unsubscribe(stream.key);
        let index = self.streams.iter().position(Option::is_none).unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() - 1
        });
        let registry = self.poll.registry();
        let registered = stream
            .rtp
            .register(registry, Token(2 * index))
            .and_then(|()| stream.rtcp.register(registry, Token(2 * index + 1)));
        if let Err(error) = registered {
            tracing::error!(%error, group = %stream.rtp.local_addr(), "cannot wait for the packets of a stream");
        }
        self.streams[index] = Some(stream);
    }

    /// Closing its sockets leaves the groups and ends their registration.
    fn unsubscribe(&mut self, key: u64) {
        for (index, place) in self.streams.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|s| s.key == key) {
                *place = None;
                self.readable.retain(|token| token / 2 != index);
            }
        }
    }

    /// Reads one batch; whether there may be more.
    fn read(&mut self, token: usize) -> bool {
        let Some(Some(stream)) = self.streams.get_mut(token / 2) else {
            return false;
        };
        let socket = if token.is_multiple_of(2) { &stream.rtp } else { &stream.rtcp };
        match socket.receive(&mut self.buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, socket = %socket.local_addr(), "cannot receive");
                return false;
            }
        }
        if token.is_multiple_of(2) {
            let now = self.clock.now();
            match &mut stream.kind {
                Kind::Audio => {
                    let mut refused = 0;
                    for datagram in self.buffer.datagrams() {
                        match pinned(&datagram, stream.source, &mut stream.ssrc) {
                            Source::Own => match stream.opener.plain(datagram.bytes, Unprotector::open) {
                                Some(bytes) => self.audio.packet(stream.key, now, bytes),
                                None => refused += 1,
                            },
                            Source::Foreign | Source::Malformed => refused += 1,
                        }
                    }
                    self.refused.fetch_add(refused, Ordering::Relaxed);
                }
                Kind::Video(video) => {
                    for datagram in self.buffer.datagrams() {
                        match pinned(&datagram, stream.source, &mut stream.ssrc) {
                            Source::Own => match stream.opener.plain(datagram.bytes, Unprotector::open) {
                                Some(bytes) => video.packet(now, bytes, &stream.clock, &stream.offset),
                                None => video.foreign += 1,
                            },
                            Source::Foreign => video.foreign += 1,
                            Source::Malformed => video.malformed += 1,
                        }
                    }
                    video.end_of_batch(now, &stream.clock, &stream.offset);
                    if std::mem::take(&mut video.to_decode) {
                        self.decoders.wake(stream.key, &video.stream);
                    }
                }
            }
        } else {
            let mut refused = 0;
            for datagram in self.buffer.datagrams() {
                if stream.source.is_none_or(|own| own == datagram.source) {
                    stream.report(datagram.bytes);
                } else {
                    refused += 1;
                }
            }
            self.refused.fetch_add(refused, Ordering::Relaxed);
        }
        true
    }
}

enum Source {
    Own,
    Foreign,
    Malformed,
}

/// Whether a packet is of the stream's source: sent from its participant's socket, with its SSRC, which the first packet
/// pins when it was not announced.
fn pinned(datagram: &Datagram<'_>, source: Option<SocketAddrV4>, ssrc: &mut Option<u32>) -> Source {
    if source.is_some_and(|own| own != datagram.source) {
        return Source::Foreign;
    }
    if datagram.bytes.len() > DATAGRAM_BYTES_MAX {
        return Source::Malformed;
    }
    match rtp::parse_header_only(datagram.bytes) {
        Err(_) => Source::Malformed,
        Ok((header, _)) if *ssrc.get_or_insert(header.ssrc) == header.ssrc => Source::Own,
        Ok(_) => Source::Foreign,
    }
}

struct Stream {
    key: u64,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    source: Option<SocketAddrV4>,
    ssrc: Option<u32>,
    clock: SenderClock,
    offset: ClockOffset,
    opener: Opener,
    kind: Kind,
}

/// Opens the packets of a protected stream; those of an open conference are taken as they are.
struct Opener {
    keys: Option<Box<Unprotector>>,
    buffer: Vec<u8>,
}

impl Opener {
    fn new(keys: Option<Unprotector>) -> Self {
        let buffer = Vec::with_capacity(if keys.is_some() { DATAGRAM_BYTES_MAX } else { 0 });
        Self { keys: keys.map(Box::new), buffer }
    }

    /// The plain packet, when it is authentic and new. Never longer than a datagram: the caller has checked.
    fn plain<'a>(
        &'a mut self,
        bytes: &'a [u8],
        open: impl FnOnce(&mut Unprotector, &mut [u8]) -> Result<usize, srtp::Error>,
    ) -> Option<&'a [u8]> {
        let Some(keys) = &mut self.keys else { return Some(bytes) };
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        let length = open(keys, &mut self.buffer).ok()?;
        self.buffer.get(..length)
    }
}

enum Kind {
    Audio,
    Video(Box<VideoPath>),
}

impl Stream {
    fn open(subscription: Subscription, interface: &Interface) -> Result<Self, Error> {
        let Subscription { key, rtp, source, ssrc, offset, opener, sink } = subscription;
        let (kind, rate) = match sink {
            Sink::Audio => (Kind::Audio, AUDIO_CLOCK_HZ),
            Sink::Video { slot, stats, true_size } => {
                let stream = Arc::new(VideoStream::new(slot, stats, true_size)?);
                (Kind::Video(Box::new(VideoPath::new(stream))), VIDEO_CLOCK_HZ)
            }
        };
        Ok(Self {
            key,
            rtp: UdpSocket::multicast(rtp, interface)?,
            rtcp: UdpSocket::multicast(SocketAddrV4::new(*rtp.ip(), rtp.port().saturating_add(1)), interface)?,
            source,
            ssrc,
            clock: SenderClock::new(rate),
            offset,
            opener: Opener::new(opener),
            kind,
        })
    }

    fn rejoin(&self) {
        for socket in [&self.rtp, &self.rtcp] {
            if let Err(error) = socket.rejoin() {
                tracing::warn!(%error, "cannot join a group again");
            }
        }
    }

    fn report(&mut self, bytes: &[u8]) {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return;
        }
        let Some(plain) = self.opener.plain(bytes, Unprotector::open_control) else { return };
        // A report that cannot be parsed says nothing, and the next one comes in a second.
        let _ = rtcp::parse(plain, |report| {
            if let rtcp::Report::Sender(report) = report
                && self.ssrc == Some(report.ssrc)
            {
                self.clock.report(report.ntp, report.rtp_timestamp);
            }
        });
    }
}

/// One video stream on the receiving thread.
struct VideoPath {
    reassembler: Reassembler,
    stream: Arc<VideoStream>,
    /// The frame that grew in this batch.
    grown: Option<FrameId>,
    /// How much of which frame the decoder has.
    handed: Option<(FrameId, usize)>,
    /// Something was handed over that the decoder was not told of yet.
    to_decode: bool,
    /// Bytes of the last complete frame.
    frame_bytes: usize,
    malformed: u64,
    foreign: u64,
    bytes: u64,
}

impl VideoPath {
    fn new(stream: Arc<VideoStream>) -> Self {
        Self {
            reassembler: Reassembler::new(),
            stream,
            grown: None,
            handed: None,
            to_decode: false,
            frame_bytes: 0,
            malformed: 0,
            foreign: 0,
            bytes: 0,
        }
    }

    fn packet(&mut self, now: Timestamp, bytes: &[u8], clock: &SenderClock, offset: &ClockOffset) {
        let Ok(packet) = rtp::Packet::parse(bytes) else {
            self.malformed += 1;
            return;
        };
        self.bytes += bytes.len() as u64;
        match self.reassembler.push(now, &packet) {
            Ok(Progress::Complete(id)) => {
                self.offer(id, clock, offset);
                self.reassembler.release(id);
                self.grown = self.grown.filter(|&g| g > id);
            }
            Ok(Progress::Advanced(id)) => self.grown = Some(id),
            // What is refused is counted by the reassembler.
            Ok(Progress::Nothing) | Err(_) => {}
        }
    }

    /// Hands over what grew, if it is enough to be decoded, and publishes the figures.
    fn end_of_batch(&mut self, now: Timestamp, clock: &SenderClock, offset: &ClockOffset) {
        if let Some(id) = self.grown.take()
            && self.is_useful(id)
        {
            self.offer(id, clock, offset);
        }
        let stats = self.stream.stats();
        stats.store(&self.reassembler.counters(), self.malformed);
        stats.foreign.store(self.foreign, Ordering::Relaxed);
        stats.bytes.store(self.bytes, Ordering::Relaxed);
        stats.packet_at.store(now.0, Ordering::Relaxed);
    }

    fn is_useful(&self, id: FrameId) -> bool {
        let Some(view) = self.reassembler.frame(id) else {
            return false;
        };
        let handed = self.handed.filter(|h| h.0 == id).map_or(0, |h| h.1);
        let fresh = view.scan.len() - handed;
        view.header.restart_interval > 0
            && self.frame_bytes >= BANDED_BYTES_MIN
            && fresh >= self.frame_bytes / USEFUL_SHARE
    }

    fn offer(&mut self, id: FrameId, clock: &SenderClock, offset: &ClockOffset) {
        let Some(view) = self.reassembler.frame(id) else {
            return;
        };
        let captured: Option<NtpTime> = offset.get().and_then(|nanos| clock.capture_time(view.timestamp, nanos));
        self.to_decode |= self.stream.offer(id, &view, captured);
        self.handed = Some((id, view.scan.len()));
        if view.complete {
            self.frame_bytes = view.scan.len();
        }
    }
}
