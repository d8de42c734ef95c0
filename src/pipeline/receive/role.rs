//! The receiving thread itself: waits, takes commands, reads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel as channel;
use mio::{Events, Poll, Registry, Token};

use super::feedback::{Feedback, OwnRepair, is_request};
use super::stream::Stream;
use super::{AudioSink, Command, DIRECT, Relaying, WAKER};
use crate::device::clock::Clock;
use crate::device::net::{Datagram, Dscp, Interface, ReceiveBuffer, UdpSocket};
use crate::device::priority;
use crate::pipeline::video_receive::Decoders;
use crate::time::Timestamp;

/// Sockets of a stream, as far as tokens go: RTP, RTCP, repair.
const PORTS: usize = 4;
const RTP: usize = 0;
const REPAIR: usize = 2;
/// The first token of an own stream's repair port: more than there are streams.
const OWN: usize = 1 << 30;

/// The thread's state.
pub(super) struct Role {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) commands: channel::Receiver<Command>,
    pub(super) buffer: ReceiveBuffer,
    /// By token: a stream's sockets have [`PORTS`] times its index, and which they are.
    pub(super) streams: Vec<Option<Box<Stream>>>,
    /// Tokens of sockets that may have more to read.
    pub(super) readable: Vec<usize>,
    pub(super) clock: Clock,
    pub(super) decoders: Decoders,
    pub(super) audio: Box<dyn AudioSink>,
    pub(super) refused: Arc<AtomicU64>,
    /// Where copies come for whoever hears no group, and where a relay sends from.
    pub(super) direct: UdpSocket,
    pub(super) relaying: Relaying,
    /// Packets the system dropped for want of room, and when they were counted last.
    pub(super) overflows: Arc<AtomicU64>,
    pub(super) overflows_looked: Timestamp,
    pub(super) feedback: Feedback,
    /// Repair ports of own streams, by token from [`OWN`] on.
    pub(super) own: Vec<Option<Box<OwnRepair>>>,
    /// How many receive each stream.
    pub(super) crowd: usize,
}

/// How often it is asked what the system dropped.
const OVERFLOWS_EVERY: Duration = Duration::from_millis(200);

impl Role {
    pub(super) fn run(&mut self) {
        priority::hurry_for_network();
        while self.step(None) {}
    }

    /// When the first stream has something to do of itself.
    fn next_timeout(&self) -> Option<Timestamp> {
        self.streams.iter().flatten().filter_map(|stream| stream.next_timeout()).min()
    }

    /// Streams whose time has come ask for repair, or give up.
    fn settle(&mut self) {
        let now = self.clock.now();
        for stream in self.streams.iter_mut().flatten() {
            if stream.next_timeout().is_some_and(|due| due <= now) {
                stream.settle(now, &mut self.feedback, &self.decoders);
            }
        }
    }

    /// Waits until there is something to do, at most `timeout`, and does a round of it; `false` to stop.
    fn step(&mut self, timeout: Option<Duration>) -> bool {
        let due = self.next_timeout().map(|due| due.since(self.clock.now()));
        let timeout = timeout.into_iter().chain(due).min();
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
        self.settle();
        self.count_overflows();
        true
    }

    fn count_overflows(&mut self) {
        let now = self.clock.now();
        if now.since(self.overflows_looked) < OVERFLOWS_EVERY {
            return;
        }
        self.overflows_looked = now;
        for stream in self.streams.iter_mut().flatten() {
            let dropped = stream.rtp.counters().receive_drops.unwrap_or(0);
            let fresh = dropped.wrapping_sub(std::mem::replace(&mut stream.dropped, dropped));
            self.overflows.fetch_add(fresh.into(), Ordering::Relaxed);
        }
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
                Command::Link(link) => self.feedback.link = Some(*link),
                Command::Crowd(people) => {
                    self.crowd = people;
                    self.streams.iter_mut().flatten().for_each(|stream| stream.set_crowd(people));
                }
                Command::Repair(own) => self.repair(own),
                Command::Unrepair(key) => self.unrepair(key),
                Command::Renew(interface) => self.renew(&interface),
                Command::Relay(relaying) => self.relaying = *relaying,
            }
        }
    }

    fn subscribe(&mut self, mut stream: Box<Stream>) {
        self.unsubscribe(stream.key);
        stream.set_crowd(self.crowd);
        let index = self.streams.iter().position(Option::is_none).unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() - 1
        });
        register(&stream, self.poll.registry(), index);
        self.streams[index] = Some(stream);
    }

    /// Everything on the interface as it is now.
    fn renew(&mut self, interface: &Interface) {
        for (index, stream) in self.streams.iter_mut().enumerate().filter_map(|(n, s)| Some((n, s.as_mut()?))) {
            stream.renew(interface);
            register(stream, self.poll.registry(), index);
        }
        for (index, own) in self.own.iter().enumerate().filter_map(|(n, own)| Some((n, own.as_ref()?))) {
            if let Err(error) = own.socket.renew(interface) {
                tracing::warn!(%error, "cannot hear requests for repair on the changed network");
            }
            if let Err(error) = own.socket.register(self.poll.registry(), Token(OWN + index)) {
                tracing::error!(%error, "cannot wait for requests for repair");
            }
        }
        if let Err(error) = self.direct.renew(interface) {
            tracing::warn!(%error, "cannot take copies of streams on the changed network");
        }
        if let Err(error) = self.direct.register(self.poll.registry(), DIRECT) {
            tracing::error!(%error, "cannot wait for copies of streams");
        }
        // What waited is gone with the sockets it waited at.
        self.readable.clear();
    }

    /// Closing its sockets leaves the groups and ends their registration.
    fn unsubscribe(&mut self, key: u64) {
        for (index, place) in self.streams.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|s| s.key == key) {
                *place = None;
                self.readable.retain(|&token| token >= OWN || token / PORTS != index);
            }
        }
    }

    fn repair(&mut self, own: Box<OwnRepair>) {
        self.unrepair(own.key);
        let index = self.own.iter().position(Option::is_none).unwrap_or_else(|| {
            self.own.push(None);
            self.own.len() - 1
        });
        if let Err(error) = own.socket.register(self.poll.registry(), Token(OWN + index)) {
            tracing::error!(%error, "cannot wait for requests for repair");
        }
        self.own[index] = Some(own);
    }

    fn unrepair(&mut self, key: u64) {
        for (index, place) in self.own.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|own| own.key == key) {
                *place = None;
                self.readable.retain(|&token| token != OWN + index);
            }
        }
    }

    /// Reads one batch; whether there may be more.
    fn read(&mut self, token: usize) -> bool {
        if token == DIRECT.0 {
            return self.read_direct();
        }
        let now = self.clock.now();
        if let Some(own) = token.checked_sub(OWN) {
            let Some(Some(own)) = self.own.get(own) else { return false };
            let came = receive(&own.socket, &mut self.buffer);
            if came {
                let refused = self.feedback.answer(now, own, &self.buffer);
                self.refused.fetch_add(refused, Ordering::Relaxed);
            }
            return came;
        }
        let Some(Some(stream)) = self.streams.get_mut(token / PORTS) else {
            return false;
        };
        let Some((_, socket)) = stream.sockets().find(|(port, _)| *port == token % PORTS) else {
            return false;
        };
        if !receive(socket, &mut self.buffer) {
            return false;
        }
        let mut refused = 0;
        let source = stream.source;
        let own = |d: &Datagram<'_>| source.is_none_or(|own| own == d.source);
        let relayed: &[SocketAddr] =
            if self.relaying.keys.binary_search(&stream.key).is_ok() { &self.relaying.to } else { &[] };
        if token % PORTS == REPAIR {
            refused += stream.repairs(now, &self.buffer, &mut self.feedback, &mut *self.audio);
            let parity = |d: &Datagram<'_>| own(d) && !is_request(d.bytes);
            self.buffer.datagrams().filter(parity).for_each(|d| repeat(&self.direct, relayed, &d));
        } else {
            stream.copied &= !self.buffer.datagrams().any(|d| own(&d));
            stream.arrived.fetch_add(self.buffer.datagrams().filter(own).count() as u64, Ordering::Relaxed);
            for datagram in self.buffer.datagrams() {
                refused += match token % PORTS {
                    RTP => stream.media(now, &datagram, &mut *self.audio),
                    _ => report(stream, &datagram, &mut *self.audio),
                };
                if own(&datagram) {
                    repeat(&self.direct, relayed, &datagram);
                }
            }
        }
        stream.settle(now, &mut self.feedback, &self.decoders);
        self.refused.fetch_add(refused, Ordering::Relaxed);
        true
    }

    /// Reads a batch of copies, which come to one port: their source and SSRC say of which stream they are. Requests of those
    /// who get copies come there too.
    fn read_direct(&mut self) -> bool {
        if !self.direct.receive(&mut self.buffer).is_ok_and(|count| count > 0) {
            return false;
        }
        let now = self.clock.now();
        let mut refused = 0;
        for datagram in self.buffer.datagrams() {
            if is_request(datagram.bytes) {
                refused += self.feedback.answer_any(now, self.own.iter().flatten().map(|own| &own.repair), &datagram);
                continue;
            }
            let Some((ssrc, is_report)) = ssrc_of(datagram.bytes) else {
                refused += 1;
                continue;
            };
            let relayed = self.relaying.from == Some(datagram.source);
            let is_of = |s: &&mut Box<Stream>| {
                let of = s.ssrc == Some(ssrc) || s.is_repaired_by(ssrc);
                of && (relayed || s.source.is_some_and(|own| own == datagram.source))
            };
            let Some(stream) = self.streams.iter_mut().flatten().find(is_of) else {
                refused += 1;
                continue;
            };
            let datagram = Datagram { source: stream.source.unwrap_or(datagram.source), ..datagram };
            if is_report {
                refused += report(stream, &datagram, &mut *self.audio);
            } else if stream.ssrc != Some(ssrc) {
                refused += stream.parity(now, &datagram, &mut *self.audio);
            } else {
                stream.copied = true;
                refused += stream.media(now, &datagram, &mut *self.audio);
            }
        }
        for stream in self.streams.iter_mut().flatten() {
            stream.settle(now, &mut self.feedback, &self.decoders);
        }
        self.refused.fetch_add(refused, Ordering::Relaxed);
        true
    }
}

/// Sends what came to others who do not hear it.
fn repeat(socket: &UdpSocket, to: &[SocketAddr], datagram: &Datagram<'_>) {
    to.iter().for_each(|&to| drop(socket.send(to, datagram.bytes, Dscp::Video)));
}

/// The source of an RTP or RTCP packet, and whether it is the latter, on a port of both (RFC 5761 section 4).
fn ssrc_of(bytes: &[u8]) -> Option<(u32, bool)> {
    let is_report = (192..=223).contains(bytes.get(1)?);
    let at = if is_report { 4 } else { 8 };
    let ssrc = bytes.get(at..at + 4)?;
    Some((u32::from_be_bytes(ssrc.try_into().ok()?), is_report))
}

/// Reads a batch; whether anything came.
fn receive(socket: &UdpSocket, buffer: &mut ReceiveBuffer) -> bool {
    match socket.receive(buffer) {
        Ok(count) => count > 0,
        Err(error) => {
            tracing::debug!(%error, socket = %socket.local_addr(), "cannot receive");
            false
        }
    }
}

/// Takes a report of the stream; how many were refused.
fn report(stream: &mut Stream, datagram: &Datagram<'_>, audio: &mut dyn AudioSink) -> u64 {
    if stream.source.is_some_and(|own| own != datagram.source) {
        return 1;
    }
    stream.report(datagram.bytes, audio);
    0
}

fn register(stream: &Stream, registry: &Registry, index: usize) {
    let mut sockets = stream.sockets();
    if let Err(error) = sockets.try_for_each(|(port, socket)| socket.register(registry, Token(PORTS * index + port))) {
        tracing::error!(%error, group = %stream.rtp.local_addr(), "cannot wait for the packets of a stream");
    }
}
