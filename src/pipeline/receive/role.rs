//! The receiving thread itself: waits, takes commands, reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel as channel;
use mio::{Events, Poll, Token};

use super::feedback::{Feedback, OwnRepair};
use super::stream::Stream;
use super::{AudioSink, Command, WAKER};
use crate::device::clock::Clock;
use crate::device::net::{ReceiveBuffer, UdpSocket};
use crate::device::priority;
use crate::pipeline::video_receive::Decoders;
use crate::time::Timestamp;

/// Sockets of a stream.
const PORTS: usize = 4;
const RTP: usize = 0;
const RTCP: usize = 1;
const REPAIR: usize = 2;
/// The first token of an own stream's repair port: more than there are streams.
const OWN: usize = 1 << 30;

/// The thread's state.
pub(super) struct Role {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) commands: channel::Receiver<Command>,
    pub(super) buffer: ReceiveBuffer,
    /// By token: a stream's sockets have [`PORTS`] times its index and their [`Port`].
    pub(super) streams: Vec<Option<Box<Stream>>>,
    /// Tokens of sockets that may have more to read.
    pub(super) readable: Vec<usize>,
    pub(super) clock: Clock,
    pub(super) decoders: Decoders,
    pub(super) audio: Box<dyn AudioSink>,
    pub(super) refused: Arc<AtomicU64>,
    pub(super) feedback: Feedback,
    /// Repair ports of own streams, by token from [`OWN`] on.
    pub(super) own: Vec<Option<Box<OwnRepair>>>,
    /// How many receive each stream.
    pub(super) crowd: usize,
}

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
                Command::Link(link) => self.feedback.link = Some(*link),
                Command::Crowd(people) => {
                    self.crowd = people;
                    self.streams.iter_mut().flatten().for_each(|stream| stream.set_crowd(people));
                }
                Command::Repair(own) => self.repair(own),
                Command::Unrepair(key) => self.unrepair(key),
                Command::Rejoin(key) => {
                    if let Some(stream) = self.streams.iter().flatten().find(|s| s.key == key) {
                        stream.rejoin();
                    }
                }
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
        let registry = self.poll.registry();
        let sockets = [Some(&stream.rtp), Some(&stream.rtcp), stream.repair.as_ref().map(|repair| &repair.socket)];
        let mut sockets = sockets.into_iter().enumerate().filter_map(|(port, socket)| Some((port, socket?)));
        let registered = sockets.try_for_each(|(port, socket)| socket.register(registry, Token(PORTS * index + port)));
        drop(sockets);
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
        let now = self.clock.now();
        if let Some(own) = token.checked_sub(OWN) {
            let Some(Some(own)) = self.own.get(own) else { return false };
            return receive(&own.socket, &mut self.buffer) && {
                let refused = self.feedback.answer(now, own, &self.buffer);
                self.refused.fetch_add(refused, Ordering::Relaxed);
                true
            };
        }
        let Some(Some(stream)) = self.streams.get_mut(token / PORTS) else {
            return false;
        };
        let refused = match token % PORTS {
            RTP => {
                if !receive(&stream.rtp, &mut self.buffer) {
                    return false;
                }
                let refused = stream.media(now, &self.buffer, self.audio.as_mut());
                stream.settle(now, &mut self.feedback, &self.decoders);
                refused
            }
            RTCP => {
                if !receive(&stream.rtcp, &mut self.buffer) {
                    return false;
                }
                let source = stream.source;
                let mut refused = 0;
                for datagram in self.buffer.datagrams() {
                    if source.is_none_or(|own| own == datagram.source) {
                        stream.report(datagram.bytes);
                    } else {
                        refused += 1;
                    }
                }
                refused
            }
            REPAIR => {
                if !stream.repair.as_ref().is_some_and(|repair| receive(&repair.socket, &mut self.buffer)) {
                    return false;
                }
                let refused = stream.parity(now, &self.buffer, &mut self.feedback, self.audio.as_mut());
                stream.settle(now, &mut self.feedback, &self.decoders);
                refused
            }
            _ => return false,
        };
        self.refused.fetch_add(refused, Ordering::Relaxed);
        true
    }
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
