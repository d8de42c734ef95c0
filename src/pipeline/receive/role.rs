//! The receiving thread itself: waits, takes commands, reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel as channel;
use mio::{Events, Poll, Token};

use super::stream::{Kind, Source, Stream, pinned};
use super::{AudioSink, Command, WAKER};
use crate::device::clock::Clock;
use crate::device::net::ReceiveBuffer;
use crate::device::priority;
use crate::pipeline::video_receive::Decoders;
use crate::protocol::srtp::Unprotector;
use crate::time::Timestamp;

/// The thread's state.
pub(super) struct Role {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) commands: channel::Receiver<Command>,
    pub(super) buffer: ReceiveBuffer,
    /// By token: a stream's RTP socket has twice its index, its RTCP socket one more.
    pub(super) streams: Vec<Option<Box<Stream>>>,
    /// Tokens of sockets that may have more to read.
    pub(super) readable: Vec<usize>,
    pub(super) clock: Clock,
    pub(super) decoders: Decoders,
    pub(super) audio: Box<dyn AudioSink>,
    pub(super) refused: Arc<AtomicU64>,
    /// Packets the system dropped for want of room, and when they were counted last.
    pub(super) overflows: Arc<AtomicU64>,
    pub(super) overflows_looked: Timestamp,
}

/// How often it is asked what the system dropped.
const OVERFLOWS_EVERY: Duration = Duration::from_millis(200);

impl Role {
    pub(super) fn run(&mut self) {
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
