//! One subscribed stream: its sockets, whose packets are taken from them, and what opens those.

use std::net::SocketAddr;
use std::sync::Arc;

use super::video::VideoPath;
use super::{ClockOffset, Error, Sink, Subscription};
use crate::device::net::{Datagram, Interface, UdpSocket};
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::pipeline::video_receive::VideoStream;
use crate::protocol::clock::SenderClock;
use crate::protocol::srtp::{self, Unprotector};
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
    /// Packets the system had dropped for want of room when that was asked last.
    pub(super) dropped: u32,
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
    Audio,
    Video(Box<VideoPath>),
}

impl Stream {
    pub(super) fn open(subscription: Subscription, interface: &Interface) -> Result<Self, Error> {
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
            rtcp: UdpSocket::multicast(SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)), interface)?,
            source,
            ssrc,
            clock: SenderClock::new(rate),
            offset,
            opener: Opener::new(opener),
            kind,
            dropped: 0,
        })
    }

    pub(super) fn rejoin(&self) {
        for socket in [&self.rtp, &self.rtcp] {
            if let Err(error) = socket.rejoin() {
                tracing::warn!(%error, "cannot join a group again");
            }
        }
    }

    pub(super) fn report(&mut self, bytes: &[u8]) {
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
