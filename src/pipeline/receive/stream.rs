//! One subscribed stream: its sockets, whose packets are taken from them, and what opens those.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::feedback::{Feedback, is_request};
use super::video::VideoPath;
use super::{AudioSink, ClockOffset, Error, RepairSource, Sink, Subscription};
use crate::device::net::{Datagram, Interface, ReceiveBuffer, UdpSocket};
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::pipeline::video_receive::{Decoders, VideoStream};
use crate::protocol::clock::SenderClock;
use crate::protocol::repair::{Patience, VoiceMender};
use crate::protocol::srtp::{self, Unprotector};
use crate::time::Timestamp;
use crate::wire::{rtcp, rtp};

/// Media clocks (RFC 2435 section 3, RFC 7587 section 4.1).
const VIDEO_CLOCK_HZ: u32 = 90_000;
const AUDIO_CLOCK_HZ: u32 = 48_000;

pub(super) enum Source {
    Own,
    Foreign,
    Malformed,
}

/// Whether a packet is of the stream's source: sent from its participant's socket, with its SSRC, which the first packet
/// pins when it was not announced.
pub(super) fn pinned(datagram: &Datagram<'_>, source: Option<SocketAddr>, ssrc: &mut Option<u32>) -> Source {
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

/// A stream that is received.
pub(super) struct Stream {
    pub(super) key: u64,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) source: Option<SocketAddr>,
    pub(super) ssrc: Option<u32>,
    pub(super) clock: SenderClock,
    pub(super) offset: ClockOffset,
    pub(super) opener: Opener,
    pub(super) kind: Kind,
    /// Datagrams of its source, of both kinds.
    pub(super) arrived: Arc<AtomicU64>,
    /// Packets the system had dropped for want of room when that was asked last.
    pub(super) dropped: u32,
    pub(super) repair: Option<RepairPort>,
}

/// Where a stream is repaired.
pub(super) struct RepairPort {
    pub(super) address: SocketAddr,
    pub(super) socket: UdpSocket,
    pub(super) ssrc: Option<u32>,
    pub(super) opener: Opener,
}

/// Opens the packets of a protected stream; those of an open conference are taken as they are.
pub(super) struct Opener {
    keys: Option<Box<Unprotector>>,
    buffer: Vec<u8>,
}

impl Opener {
    fn new(keys: Option<Unprotector>) -> Self {
        let buffer = Vec::with_capacity(if keys.is_some() { DATAGRAM_BYTES_MAX } else { 0 });
        Self { keys: keys.map(Box::new), buffer }
    }

    /// The plain packet, when it is authentic and new. Never longer than a datagram: the caller has checked.
    pub(super) fn plain<'a>(
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

pub(super) enum Kind {
    Audio(Box<VoiceMender>),
    Video(Box<VideoPath>),
}

impl Stream {
    pub(super) fn open(subscription: Subscription, interface: &Interface) -> Result<Self, Error> {
        let Subscription { key, rtp, source, ssrc, offset, opener, repair, sink } = subscription;
        let seed = repair.as_ref().map(|repair| repair.seed);
        let (kind, rate) = match sink {
            Sink::Audio => {
                let mender = VoiceMender::new(Patience::WIRED, seed.is_some(), seed.unwrap_or_default());
                (Kind::Audio(Box::new(mender)), AUDIO_CLOCK_HZ)
            }
            Sink::Video { slot, stats, true_size } => {
                let stream = Arc::new(VideoStream::new(slot, stats, true_size)?);
                (Kind::Video(Box::new(VideoPath::new(stream, seed))), VIDEO_CLOCK_HZ)
            }
        };
        let repair = match repair {
            None => None,
            Some(RepairSource { address, ssrc, opener, .. }) => Some(RepairPort {
                address,
                socket: UdpSocket::multicast(address, interface)?,
                ssrc: Some(ssrc),
                opener: Opener::new(opener),
            }),
        };
        Ok(Self {
            key,
            rtp: UdpSocket::multicast(rtp, interface)?,
            rtcp: UdpSocket::multicast(SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)), interface)?,
            source,
            ssrc,
            clock: SenderClock::new(rate),
            offset,
            opener: Opener::new(opener),
            kind,
            arrived: Arc::default(),
            dropped: 0,
            repair,
        })
    }

    /// Takes a packet of the stream's media; how many packets of a voice were refused.
    pub(super) fn media(&mut self, now: Timestamp, datagram: &Datagram<'_>, audio: &mut dyn AudioSink) -> u64 {
        let source = pinned(datagram, self.source, &mut self.ssrc);
        let plain = match source {
            Source::Own => self.opener.plain(datagram.bytes, Unprotector::open),
            Source::Foreign | Source::Malformed => None,
        };
        match (&mut self.kind, plain) {
            (Kind::Audio(mender), Some(bytes)) => {
                if let Ok((header, _)) = rtp::parse_header_only(bytes) {
                    mender.packet(now, &header);
                }
                audio.packet(self.key, now, bytes);
            }
            (Kind::Audio(_), None) => return 1,
            (Kind::Video(video), Some(bytes)) => video.packet(now, bytes, &self.clock, &self.offset),
            (Kind::Video(video), None) if matches!(source, Source::Malformed) => video.malformed += 1,
            (Kind::Video(video), None) => video.foreign += 1,
        }
        0
    }

    /// Takes a batch of the stream's repair port: parity or repeats, and requests of others; how many datagrams were refused.
    pub(super) fn parity(
        &mut self,
        now: Timestamp,
        buffer: &ReceiveBuffer,
        feedback: &mut Feedback,
        audio: &mut dyn AudioSink,
    ) -> u64 {
        let Some(repair) = &mut self.repair else { return 0 };
        let mut refused = 0;
        for datagram in buffer.datagrams() {
            if is_request(datagram.bytes) {
                match feedback.open(now, &datagram) {
                    Some(requests) => requests.iter().for_each(|request| match &mut self.kind {
                        Kind::Audio(mender) => mender.heard(now, request),
                        Kind::Video(video) => video.heard(now, request),
                    }),
                    None => refused += 1,
                }
                continue;
            }
            let plain = match pinned(&datagram, self.source, &mut repair.ssrc) {
                Source::Own => repair.opener.plain(datagram.bytes, Unprotector::open),
                Source::Foreign | Source::Malformed => None,
            };
            match (&mut self.kind, plain) {
                (Kind::Video(video), Some(bytes)) => video.parity(now, bytes, &self.clock, &self.offset),
                (Kind::Audio(mender), Some(bytes)) => match rtp::Packet::parse(bytes) {
                    Ok(packet) => mender.repeats(&packet, &mut |again| audio.packet(self.key, now, again)),
                    Err(_) => refused += 1,
                },
                (_, None) => refused += 1,
            }
        }
        refused
    }

    /// When [`settle`](Self::settle) has something to do of itself.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        match &self.kind {
            Kind::Audio(mender) => mender.next_timeout(),
            Kind::Video(video) => video.next_timeout(),
        }
    }

    /// A batch was taken, or time has passed: asks for what is missing, and wakes the decoder.
    pub(super) fn settle(&mut self, now: Timestamp, feedback: &mut Feedback, decoders: &Decoders) {
        let ask = |request| {
            if let Some(repair) = &self.repair {
                feedback.ask(repair.address, request);
            }
        };
        let video = match &mut self.kind {
            Kind::Audio(mender) => return mender.settle(now, ask),
            Kind::Video(video) => video,
        };
        video.settle(now, &self.clock, &self.offset, ask);
        video.end_of_batch(&self.clock, &self.offset);
        if std::mem::take(&mut video.to_decode) {
            decoders.wake(self.key, &video.stream);
        }
    }

    /// How many receive the stream.
    pub(super) fn set_crowd(&mut self, people: usize) {
        match &mut self.kind {
            Kind::Audio(mender) => mender.set_group(people),
            Kind::Video(video) => video.set_crowd(people),
        }
    }

    /// The sockets of media and reports are of one group, which all sockets join again together; so may be the repair's.
    pub(super) fn rejoin(&self) {
        for socket in [&self.rtp].into_iter().chain(self.repair.as_ref().map(|repair| &repair.socket)) {
            if let Err(error) = socket.rejoin() {
                tracing::debug!(%error, "cannot join a group again");
            }
        }
    }

    pub(super) fn renew(&self, interface: &Interface) {
        let repair = self.repair.as_ref().map(|repair| &repair.socket);
        for socket in [&self.rtp, &self.rtcp].into_iter().chain(repair) {
            if let Err(error) = socket.renew(interface) {
                tracing::warn!(%error, "cannot receive a stream on the changed network");
            }
        }
    }

    /// Takes a report; whether it was refused.
    pub(super) fn report(&mut self, datagram: &Datagram<'_>) -> u64 {
        if datagram.bytes.len() > DATAGRAM_BYTES_MAX || self.source.is_some_and(|own| own != datagram.source) {
            return 1;
        }
        let Some(plain) = self.opener.plain(datagram.bytes, Unprotector::open_control) else { return 1 };
        // A report that cannot be parsed says nothing, and the next one comes in a second.
        let _ = rtcp::parse(plain, |report| {
            if let rtcp::Report::Sender(report) = report
                && self.ssrc == Some(report.ssrc)
            {
                self.clock.report(report.ntp, report.rtp_timestamp);
            }
        });
        0
    }
}
