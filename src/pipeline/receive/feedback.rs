//! Requests for repair: sends the own ones, and opens those of others, for the streams received and for the own ones.
//!
//! ```text
//! what a stream lacks > request > sealed > its repair port, for its sender and for all who receive it
//! or, where no group is heard, the port for copies of its sender
//! repair port > sealed? > so many a second > opened > own stream: answered   another's: the own request may be saved
//! ```
//! Requests are sealed with keys of their own ([`Class::Feedback`]), because this thread sends them by itself. What cannot
//! be opened costs a counter.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::device::net::{Datagram, Dscp, ReceiveBuffer, UdpSocket};
use crate::limits::{REPAIR_WORK_PER_S_MAX, REPAIR_WORK_PER_SOURCE_MAX};
use crate::pipeline::repair::Answering;
use crate::protocol::keys::EpochKeys;
use crate::protocol::rate::SourceRate;
use crate::protocol::seal::{Opener, Sealer};
use crate::time::Timestamp;
use crate::wire::message::{Kind, Message};
use crate::wire::opened::{self, Opened};
use crate::wire::repair::RepairRequest;
use crate::wire::sealed::{Class, Header, MAGIC};

/// What requests are sent from and sealed with.
pub(super) struct Link {
    socket: Arc<UdpSocket>,
    sealer: Sealer,
    opener: Opener,
}

impl Link {
    pub(super) fn new(socket: Arc<UdpSocket>, keys: &EpochKeys, sid: u64) -> Self {
        let (sealer, opener) = (Sealer::of(Class::Feedback, keys, sid), Opener::of(Class::Feedback, keys.clone()));
        Self { socket, sealer, opener }
    }
}

/// An own stream's repair port.
pub(super) struct OwnRepair {
    pub(super) key: u64,
    pub(super) socket: UdpSocket,
    pub(super) repair: Answering,
}

/// Requests, in both directions.
#[derive(Default)]
pub(super) struct Feedback {
    pub(super) link: Option<Link>,
    work: SourceRate,
    body: Vec<u8>,
    sealed: Vec<u8>,
    opened: Vec<u8>,
    requests: Vec<RepairRequest>,
}

/// Whether a datagram on a repair port is a request; else it may be parity.
pub(super) fn is_request(bytes: &[u8]) -> bool {
    bytes.first() == Some(&MAGIC)
}

impl Feedback {
    /// Sends a request to everybody on the repair port `to`.
    pub(super) fn ask(&mut self, to: SocketAddr, request: RepairRequest) {
        let Some(link) = &mut self.link else { return };
        self.body.clear();
        self.sealed.clear();
        Message { kind: Some(Kind::RepairRequest(request)) }.write_body(&mut self.body);
        if link.sealer.seal(&self.body, &mut self.sealed) {
            // One that cannot be sent is like one that is lost: the next round follows.
            let _ = link.socket.send(to, &self.sealed, Dscp::Video);
        }
    }

    /// Answers the requests that came for an own stream; how many datagrams were refused. Own parity comes back here too.
    pub(super) fn answer(&mut self, now: Timestamp, own: &OwnRepair, buffer: &ReceiveBuffer) -> u64 {
        let mut refused = 0;
        for datagram in buffer.datagrams().filter(|datagram| is_request(datagram.bytes)) {
            match self.open(now, &datagram) {
                Some(requests) => requests.iter().for_each(|request| own.repair.answer(now, request)),
                None => refused += 1,
            }
        }
        refused
    }

    /// Answers the requests in a datagram that came to the port of copies, which are about any own stream; how many
    /// datagrams were refused.
    pub(super) fn answer_any<'a>(
        &mut self,
        now: Timestamp,
        own: impl Iterator<Item = &'a Answering> + Clone,
        datagram: &Datagram<'_>,
    ) -> u64 {
        let Some(requests) = self.open(now, datagram) else { return 1 };
        for request in requests {
            own.clone().filter(|own| own.repairs(request.ssrc)).for_each(|own| own.answer(now, request));
        }
        0
    }

    /// The requests in a datagram by others; `None` when it is refused.
    pub(super) fn open(&mut self, now: Timestamp, datagram: &Datagram<'_>) -> Option<&[RepairRequest]> {
        self.requests.clear();
        let link = self.link.as_mut()?;
        let header = Header::parse(datagram.bytes).ok()?;
        if header.sid == link.sealer.sid() {
            return Some(&[]);
        }
        let source = datagram.source.ip();
        if !self.work.take(now, source, REPAIR_WORK_PER_SOURCE_MAX, REPAIR_WORK_PER_S_MAX) {
            return None;
        }
        link.opener.open(now, source, datagram.bytes, &mut self.opened).ok()?;
        let requests = &mut self.requests;
        opened::read(&self.opened, |message| {
            if let Opened::RepairRequest(request) = message {
                requests.push(request);
            }
        })
        .ok()?;
        Some(&self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::net::Interface;
    use crate::protocol::keys::Secret;
    use crate::wire::message::ConferenceId;

    fn keys(conference: u8) -> EpochKeys {
        let id = ConferenceId([conference; 16]);
        EpochKeys::first(id, &Secret::open(&id))
    }

    fn feedback(sid: u64) -> Feedback {
        let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
        let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
        Feedback { link: Some(Link::new(socket, &keys(1), sid)), ..Feedback::default() }
    }

    const REQUEST: RepairRequest = RepairRequest { ssrc: 1, frame: Some(2), base: 3, k: 4, deficit: 5 };

    fn sealed(sealer: &mut Sealer) -> Vec<u8> {
        let (mut body, mut out) = (Vec::new(), Vec::new());
        Message { kind: Some(Kind::RepairRequest(REQUEST)) }.write_body(&mut body);
        assert!(sealer.seal(&body, &mut out));
        out
    }

    fn open(feedback: &mut Feedback, host: u8, bytes: &[u8]) -> Option<usize> {
        let source = SocketAddr::from(([10, 0, 0, host], 4_000));
        let datagram = Datagram { bytes, source, destination: None, arrived: None };
        feedback.open(Timestamp::from_millis(10), &datagram).map(<[_]>::len)
    }

    #[test]
    fn requests_of_members_are_opened_and_nothing_else() {
        let mut feedback = feedback(1);
        let mut member = Sealer::of(Class::Feedback, &keys(1), 2);
        let request = sealed(&mut member);
        assert_eq!(open(&mut feedback, 1, &request), Some(1));
        assert_eq!(feedback.requests, [REQUEST]);
        assert_eq!(open(&mut feedback, 1, &request), None, "said again by somebody else");
        assert_eq!(
            open(&mut feedback, 1, &sealed(&mut Sealer::of(Class::Feedback, &keys(1), 1))),
            Some(0),
            "the own one"
        );
        assert_eq!(open(&mut feedback, 1, &sealed(&mut Sealer::new(&keys(1), 3))), None, "of the control class");
        assert_eq!(open(&mut feedback, 1, &sealed(&mut Sealer::of(Class::Feedback, &keys(2), 3))), None, "a stranger");
        assert_eq!(open(&mut Feedback::default(), 1, &request), None, "before there are keys");
    }

    #[test]
    fn so_many_requests_are_opened_a_second() {
        let mut feedback = feedback(1);
        let mut member = Sealer::of(Class::Feedback, &keys(1), 2);
        let mut opened = |host| {
            let count = REPAIR_WORK_PER_SOURCE_MAX + 10;
            (0..count).filter(|_| open(&mut feedback, host, &sealed(&mut member)).is_some()).count() as u32
        };
        assert_eq!(opened(1), REPAIR_WORK_PER_SOURCE_MAX);
        let all: u32 = (2..12).map(&mut opened).sum();
        assert_eq!(all + REPAIR_WORK_PER_SOURCE_MAX, REPAIR_WORK_PER_S_MAX);
    }
}
