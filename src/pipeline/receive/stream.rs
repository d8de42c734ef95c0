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
    pub(super) repair: Option<RepairPort>,
    /// The last packet was a copy: no group is heard.
    pub(super) copied: bool,
    /// Datagrams of its source, of both kinds.
    pub(super) arrived: Arc<AtomicU64>,
    /// Packets the system had dropped for want of room when that was asked last.
    pub(super) dropped: u32,
}

/// Where a stream is repaired.
pub(super) struct RepairPort {
    pub(super) address: SocketAddr,
    pub(super) socket: UdpSocket,
    pub(super) ssrc: Option<u32>,
    pub(super) opener: Opener,
    /// Where the sender hears requests of those who hear no group.
    pub(super) direct: Option<SocketAddr>,
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
    /// See [`Sink::Pass`].
    Pass,
}

impl Stream {
    pub(super) fn open(subscription: Subscription, interface: &Interface) -> Result<Self, Error> {
        let Subscription { key, rtp, source, ssrc, offset, opener, repair, sink } = subscription;
        let seed = repair.as_ref().map(|repair| repair.seed);
        let patience = Patience::on(interface.wireless);
        let (kind, rate) = match sink {
            Sink::Audio => {
                let mender = VoiceMender::new(patience, seed.is_some(), seed.unwrap_or_default());
                (Kind::Audio(Box::new(mender)), AUDIO_CLOCK_HZ)
            }
            Sink::Video { slot, stats, true_size } => {
                let stream = Arc::new(VideoStream::new(slot, stats, true_size)?);
                (Kind::Video(Box::new(VideoPath::new(stream, patience, seed))), VIDEO_CLOCK_HZ)
            }
            Sink::Pass => (Kind::Pass, VIDEO_CLOCK_HZ),
        };
        let repair = match repair {
            None => None,
            Some(RepairSource { address, ssrc, opener, direct, .. }) => Some(RepairPort {
                address,
                direct,
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
            repair,
            copied: false,
            arrived: Arc::default(),
            dropped: 0,
        })
    }

    /// Takes a packet of the stream; how many were refused without being counted elsewhere.
    pub(super) fn media(&mut self, now: Timestamp, datagram: &Datagram<'_>, audio: &mut dyn AudioSink) -> u64 {
        if matches!(self.kind, Kind::Pass) {
            return 0;
        }
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
            (Kind::Pass, _) => {}
        }
        0
    }

    /// The stream's sockets, with what tells them apart.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (usize, &UdpSocket)> {
        let repair = self.repair.as_ref().map(|repair| &repair.socket);
        [Some(&self.rtp), Some(&self.rtcp), repair].into_iter().enumerate().filter_map(|(port, s)| Some((port, s?)))
    }

    /// Takes a batch of the stream's repair port: parity or repeats, and requests of others; how many datagrams were refused.
    pub(super) fn repairs(
        &mut self,
        now: Timestamp,
        buffer: &ReceiveBuffer,
        feedback: &mut Feedback,
        audio: &mut dyn AudioSink,
    ) -> u64 {
        if matches!(self.kind, Kind::Pass) {
            return 0;
        }
        let mut refused = 0;
        for datagram in buffer.datagrams() {
            if is_request(datagram.bytes) {
                match feedback.open(now, &datagram) {
                    Some(requests) => requests.iter().for_each(|request| match &mut self.kind {
                        Kind::Audio(mender) => mender.heard(now, request),
                        Kind::Video(video) => video.heard(now, request),
                        Kind::Pass => {}
                    }),
                    None => refused += 1,
                }
                continue;
            }
            refused += self.parity(now, &datagram, audio);
        }
        refused
    }

    /// Takes parity or repeats; how many datagrams were refused.
    pub(super) fn parity(&mut self, now: Timestamp, datagram: &Datagram<'_>, audio: &mut dyn AudioSink) -> u64 {
        let Some(repair) = &mut self.repair else { return 1 };
        let plain = match pinned(datagram, self.source, &mut repair.ssrc) {
            Source::Own => repair.opener.plain(datagram.bytes, Unprotector::open),
            Source::Foreign | Source::Malformed => None,
        };
        match (&mut self.kind, plain) {
            (Kind::Video(video), Some(bytes)) => video.parity(now, bytes, &self.clock, &self.offset),
            (Kind::Audio(mender), Some(bytes)) => match rtp::Packet::parse(bytes) {
                Ok(packet) => mender.repeats(&packet, &mut |again| audio.again(self.key, now, again)),
                Err(_) => return 1,
            },
            (Kind::Pass, Some(_)) => {}
            (_, None) => return 1,
        }
        0
    }

    /// Whether `ssrc` is the source of its parity or repeats.
    pub(super) fn is_repaired_by(&self, ssrc: u32) -> bool {
        self.repair.as_ref().is_some_and(|repair| repair.ssrc == Some(ssrc))
    }

    /// When [`settle`](Self::settle) has something to do of itself.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        match &self.kind {
            Kind::Audio(mender) => mender.next_timeout(),
            Kind::Video(video) => video.next_timeout(),
            Kind::Pass => None,
        }
    }

    /// A batch was taken, or time has passed: asks for what is missing, and wakes the decoder.
    pub(super) fn settle(&mut self, now: Timestamp, feedback: &mut Feedback, decoders: &Decoders) {
        let copied = self.copied;
        let ask = |request| {
            if let Some(repair) = &self.repair {
                // Whoever hears no group may not be heard in one either.
                feedback.ask(repair.direct.filter(|_| copied).unwrap_or(repair.address), request);
            }
        };
        let video = match &mut self.kind {
            Kind::Audio(mender) => return mender.settle(now, ask),
            Kind::Video(video) => video,
            Kind::Pass => return,
        };
        video.settle(now, &self.clock, &self.offset, ask);
        video.end_of_batch(&self.clock, &self.offset);
        if std::mem::take(&mut video.to_decode) {
            decoders.wake(&video.stream);
        }
    }

    /// How many receive the stream.
    pub(super) fn set_crowd(&mut self, people: usize) {
        match &mut self.kind {
            Kind::Audio(mender) => mender.set_group(people),
            Kind::Video(video) => video.set_crowd(people),
            Kind::Pass => {}
        }
    }

    /// All its sockets are of one group, which all sockets join again together.
    pub(super) fn rejoin(&self) {
        if let Err(error) = self.rtp.rejoin() {
            tracing::debug!(%error, "cannot join a group again");
        }
    }

    pub(super) fn renew(&mut self, interface: &Interface) {
        let patience = Patience::on(interface.wireless);
        match &mut self.kind {
            Kind::Audio(mender) => mender.set_patience(patience),
            Kind::Video(video) => video.set_patience(patience),
            Kind::Pass => {}
        }
        for (_, socket) in self.sockets() {
            if let Err(error) = socket.renew(interface) {
                tracing::warn!(%error, "cannot receive a stream on the changed network");
            }
        }
    }

    pub(super) fn report(&mut self, bytes: &[u8], audio: &mut dyn AudioSink) {
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
                if matches!(self.kind, Kind::Audio(_)) {
                    audio.report(self.key, report.ntp, report.rtp_timestamp);
                }
            }
        });
    }
}
