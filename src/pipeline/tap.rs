//! Thread role: one stream of somebody's, opened and sent on as plain RTP to a port of this machine, for other programs.
//!
//! ```text
//! [group] RTP  ──> own source only ──> opened (SRTP) ──> numbered on ──> 127.0.0.1:port      RFC 2435, RFC 7587
//! [group] RTCP ──> own source only ──> opened ──> sender report ───────> 127.0.0.1:port + 1  RFC 3550
//! ```
//! A player takes one source a port for the whole of its session: what is sent on keeps the SSRC of the stream that was
//! tapped first. When the person's camera goes off and on again, the stream that follows is numbered on from the one
//! before, in the time that has gone by, and its goodbyes are kept back. The only goodbye is the tap's own.
//!
//! Must never: send anything beyond the loopback; what it sends is in clear.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use mio::{Events, Poll, Token, Waker};

use crate::device::clock::Clock;
use crate::device::net::{self, Dscp, Interface, ReceiveBuffer, UdpSocket};
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::protocol::srtp::Unprotector;
use crate::time::{Timestamp, media_units};
use crate::wire::{rtcp, rtp};

const RTP: Token = Token(0);
const RTCP: Token = Token(1);
const WAKER: Token = Token(2);
const EVENTS: usize = 8;

/// Why a stream cannot be tapped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its group cannot be joined.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// No poll or no thread.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A stream that is sent on.
pub struct Source {
    /// Group and port of its RTP; RTCP is on the port above.
    pub rtp: SocketAddr,
    /// The socket its participant sends everything from.
    pub source: SocketAddr,
    /// Its SSRC.
    pub ssrc: u32,
    /// Units of its RTP time in a second.
    pub rate: u32,
    /// In a protected conference what opens its packets.
    pub opener: Option<Unprotector>,
    /// Canonical name of its participant.
    pub cname: String,
    /// Name of its participant.
    pub name: String,
}

/// The end of what was sent on, which another stream continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    at: Timestamp,
}

/// A running tap. Dropping it says good-bye to the player.
pub struct Tap {
    stop: Arc<Waker>,
    thread: Option<JoinHandle<Relay>>,
    out: Arc<UdpSocket>,
    to: SocketAddr,
    index: Arc<AtomicU64>,
}

impl Tap {
    /// Joins the stream's group on `interface` and sends on to `to` (RTCP to the port above) from `out`, a socket on the
    /// loopback. `before` is what the player there has had so far.
    ///
    /// # Errors
    /// [`Error::Net`] may be transient, see there.
    pub fn start(
        source: Source,
        interface: &Interface,
        out: Arc<UdpSocket>,
        to: SocketAddr,
        before: Option<Last>,
        clock: &Clock,
    ) -> Result<Self, Error> {
        let above = |a: SocketAddr| SocketAddr::from((a.ip(), a.port().saturating_add(1)));
        let sockets =
            [UdpSocket::multicast(source.rtp, interface)?, UdpSocket::multicast(above(source.rtp), interface)?];
        let poll = Poll::new()?;
        let stop = Arc::new(Waker::new(poll.registry(), WAKER)?);
        sockets[0].register(poll.registry(), RTP)?;
        sockets[1].register(poll.registry(), RTCP)?;
        let index = Arc::<AtomicU64>::default();
        let relay = Relay::new(source, before, Arc::clone(&index));
        let (clock, sender) = (clock.clone(), Arc::clone(&out));
        let work = move || Role { poll, sockets, relay, out: sender, to: [to, above(to)], clock }.run();
        let thread = std::thread::Builder::new().name("tap".into()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread), out, to: above(to), index })
    }

    /// Index of the newest authentic packet, roll-over counter included; 0 before the first.
    pub fn index(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.index)
    }

    /// Ends without a goodbye; what another stream can continue.
    pub fn end(mut self) -> Option<Last> {
        self.join().and_then(|relay| relay.last)
    }

    fn join(&mut self) -> Option<Relay> {
        // When it cannot be woken it has ended already.
        let _ = self.stop.wake();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let Some(relay) = self.join() else { return };
        let mut bye = Vec::new();
        rtcp::write_bye(relay.ssrc_out, &relay.cname, &mut bye);
        let _ = self.out.send(self.to, &bye, Dscp::Default);
    }
}

struct Role {
    poll: Poll,
    sockets: [UdpSocket; 2],
    relay: Relay,
    out: Arc<UdpSocket>,
    /// RTP and RTCP.
    to: [SocketAddr; 2],
    clock: Clock,
}

impl Role {
    fn run(mut self) -> Relay {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = ReceiveBuffer::new();
        let mut packet = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        loop {
            match self.poll.poll(&mut events, None) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot wait for packets; nothing is sent on any more");
                    return self.relay;
                }
            }
            if events.iter().any(|event| event.token() == WAKER) {
                return self.relay;
            }
            for kind in [RTP, RTCP] {
                while matches!(self.sockets[kind.0].receive(&mut buffer), Ok(1..)) {
                    let (now, own) = (self.clock.now(), self.relay.source);
                    for datagram in buffer.datagrams().filter(|d| d.source == own) {
                        let whole = match kind {
                            RTP => self.relay.packet(now, datagram.bytes, &mut packet),
                            _ => self.relay.report(datagram.bytes, &mut packet),
                        };
                        if whole.is_some() {
                            // Nobody may listen there yet.
                            let _ = self.out.send(self.to[kind.0], &packet, Dscp::Default);
                        }
                    }
                }
            }
        }
    }
}

/// What becomes of the packets, without sockets.
struct Relay {
    source: SocketAddr,
    ssrc: u32,
    rate: u32,
    opener: Option<Unprotector>,
    cname: String,
    name: String,
    scratch: Vec<u8>,
    index: Arc<AtomicU64>,
    /// The SSRC it is sent on with.
    ssrc_out: u32,
    before: Option<Last>,
    /// What is added to sequence numbers and timestamps, from the first packet on.
    steps: Option<(u16, u32)>,
    last: Option<Last>,
}

impl Relay {
    fn new(source: Source, before: Option<Last>, index: Arc<AtomicU64>) -> Self {
        let Source { source, ssrc, rate, opener, cname, name, .. } = source;
        let ssrc_out = before.map_or(ssrc, |b| b.ssrc);
        let scratch = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        Self { source, ssrc, rate, opener, cname, name, scratch, index, ssrc_out, before, steps: None, last: before }
    }

    /// What is sent on for an RTP packet, into `out`; `None` when it is not this stream's or not authentic.
    fn packet(&mut self, now: Timestamp, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return None;
        }
        out.clear();
        out.extend_from_slice(bytes);
        if let Some(opener) = &mut self.opener {
            let length = opener.open(out).ok()?;
            out.truncate(length);
            self.index.store(opener.newest().unwrap_or_default(), Ordering::Relaxed);
        }
        let (header, _) = rtp::parse_header_only(out).ok().filter(|(header, _)| header.ssrc == self.ssrc)?;
        let (sequence_step, timestamp_step) = *self.steps.get_or_insert_with(|| match self.before {
            None => (0, 0),
            Some(last) => {
                let gone_by = media_units(now.since(last.at), self.rate);
                let timestamp = last.timestamp.wrapping_add(gone_by);
                (last.sequence.wrapping_add(1).wrapping_sub(header.sequence), timestamp.wrapping_sub(header.timestamp))
            }
        });
        let sequence = header.sequence.wrapping_add(sequence_step);
        let timestamp = header.timestamp.wrapping_add(timestamp_step);
        // Bytes 2..12 of every RTP header (RFC 3550 section 5.1), which has been parsed.
        out.get_mut(2..4)?.copy_from_slice(&sequence.to_be_bytes());
        out.get_mut(4..8)?.copy_from_slice(&timestamp.to_be_bytes());
        out.get_mut(8..12)?.copy_from_slice(&self.ssrc_out.to_be_bytes());
        if self.last.is_none_or(|l| sequence.wrapping_sub(l.sequence) < 1 << 15) {
            self.last = Some(Last { ssrc: self.ssrc_out, sequence, timestamp, at: now });
        }
        Some(())
    }

    /// What is sent on for an RTCP packet, into `out`: a sender report, once there was a packet it tells of.
    fn report(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (_, timestamp_step) = self.steps?;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return None;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(bytes);
        if let Some(opener) = &mut self.opener {
            let length = opener.open_control(&mut self.scratch).ok()?;
            self.scratch.truncate(length);
        }
        let mut found = None;
        let all = rtcp::parse(&self.scratch, |report| {
            if let rtcp::Report::Sender(report) = report
                && report.ssrc == self.ssrc
            {
                found = Some(report);
            }
        });
        let report = found.filter(|_| all.is_ok())?;
        let rtp_timestamp = report.rtp_timestamp.wrapping_add(timestamp_step);
        out.clear();
        let report = rtcp::SenderReport { ssrc: self.ssrc_out, rtp_timestamp, ..report };
        rtcp::write_sr_sdes(&report, &self.cname, &self.name, out);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::srtp::{MASTER_BYTES, Protector};
    use crate::time::NtpTime;

    const MASTER: [u8; MASTER_BYTES] = [7; MASTER_BYTES];

    fn relay(ssrc: u32, protected: bool, before: Option<Last>) -> Relay {
        let source = Source {
            rtp: "239.255.4.18:20550".parse().unwrap(),
            source: "10.0.0.1:5000".parse().unwrap(),
            ssrc,
            rate: 90_000,
            opener: protected.then(|| Unprotector::new(&MASTER, ssrc, 0)),
            cname: "a@b".into(),
            name: "Ada".into(),
        };
        Relay::new(source, before, Arc::default())
    }

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        rtp::Header { marker: true, payload_type: 26, sequence, timestamp, ssrc }.write(&mut bytes);
        bytes.extend_from_slice(b"pixels");
        bytes
    }

    #[test]
    fn a_protected_stream_comes_out_as_it_was_before_it_was_protected() {
        let (mut relay, mut protector) = (relay(9, true, None), Protector::new(&MASTER));
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        let plain = packet(9, 65_535, 1_000);
        protector.protect(&plain, &mut sealed).unwrap();
        assert_eq!(relay.packet(Timestamp(0), &sealed, &mut out), Some(()));
        assert_eq!(out, plain);
        assert_eq!(relay.index.load(Ordering::Relaxed), 65_535);
        assert_eq!(relay.packet(Timestamp(0), &sealed, &mut out), None, "a replay");
        assert_eq!(relay.packet(Timestamp(0), &plain, &mut out), None, "not authentic");

        let report = rtcp::SenderReport { ssrc: 9, ntp: NtpTime(5), rtp_timestamp: 1_000, packets: 1, bytes: 6 };
        let (mut compound, mut sealed, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        rtcp::write_sr_sdes(&report, "a@b", "Ada", &mut compound);
        protector.protect_control(&compound, &mut sealed).unwrap();
        assert_eq!(relay.report(&sealed, &mut out), Some(()));
        rtcp::write_sr_sdes(&report, "a@b", "Ada", &mut expected);
        assert_eq!(out, expected);
    }

    #[test]
    fn another_stream_goes_on_where_the_one_before_ended() {
        let (mut first, mut out) = (relay(9, false, None), Vec::new());
        first.packet(Timestamp(0), &packet(9, 65_534, 500), &mut out);
        first.packet(Timestamp(1_000_000), &packet(9, 65_535, 500), &mut out);
        first.packet(Timestamp(2_000_000), &packet(9, 65_533, 400), &mut out);
        let last = first.last.unwrap();
        assert_eq!((last.ssrc, last.sequence, last.timestamp), (9, 65_535, 500), "the newest, not the latest");

        let mut second = relay(77, false, Some(last));
        let now = Timestamp(1_000_000 + 2_000_000_000);
        let bye = packet(9, 1, 1);
        assert_eq!(second.packet(now, &bye, &mut out), None, "of the stream before");
        assert_eq!(second.packet(now, &packet(77, 300, 9_000), &mut out), Some(()));
        assert_eq!(out, packet(9, 0, 500 + 180_000));
        second.packet(now, &packet(77, 301, 9_100), &mut out);
        assert_eq!(out, packet(9, 1, 500 + 180_100));
        let report = rtcp::SenderReport { ssrc: 77, rtp_timestamp: 9_000, ..rtcp::SenderReport::default() };
        let mut compound = Vec::new();
        rtcp::write_sr_sdes(&report, "a@b", "Ada", &mut compound);
        second.report(&compound, &mut out).unwrap();
        let mut told = None;
        rtcp::parse(&out, |r| told = if let rtcp::Report::Sender(r) = r { Some(r) } else { told }).unwrap();
        assert_eq!(told.map(|r| (r.ssrc, r.rtp_timestamp)), Some((9, 180_500)));
    }

    #[test]
    fn goodbyes_strangers_and_rubbish_are_kept_back() {
        let (mut relay, mut out, mut bye) = (relay(9, false, None), Vec::new(), Vec::new());
        rtcp::write_bye(9, "a@b", &mut bye);
        assert_eq!(relay.report(&bye, &mut out), None, "before any packet");
        relay.packet(Timestamp(0), &packet(9, 1, 1), &mut out).unwrap();
        assert_eq!(relay.report(&bye, &mut out), None);
        for bytes in [&[][..], &[0x80; 11], &[0; 2_000], &packet(8, 1, 1)] {
            assert_eq!(relay.packet(Timestamp(0), bytes, &mut out), None);
            assert_eq!(relay.report(bytes, &mut out), None);
        }
    }
}
