//! Composing what a session sends.

use std::net::SocketAddr;

use prost::Message as _;

use super::beacons::UNICAST_ANSWERS_MAX;
use super::{Arrival, Moment, Outputs, Session, To, talk};
use crate::limits::SEALED_BODY_BYTES_MAX;
use crate::protocol::discovery::announcer_rank;
use crate::time::Timestamp;
use crate::wire::discovery::{self, Announcement, Query};
use crate::wire::message::{
    Beacon, Bye, Join, KIND_ANNOUNCE, KIND_BEACON, KIND_BYE, KIND_JOIN, Kind, Message, Ping, Pong, SIGNATURE_BYTES,
    SignatureContext, Signed,
};

/// Room for ids already known in a Join: what a beacon at its largest and a signature leave.
const KNOWN_BYTES_MAX: usize = SEALED_BODY_BYTES_MAX - 600;

impl Session {
    /// Asks for beacons: everybody when one comes, somebody who turns out not to be known later.
    pub(super) fn send_join(&mut self, to: To, out: &mut Outputs) {
        let join = Join {
            nonce: self.join_nonce,
            beacon: Some(Beacon { door: self.porch.door.digest(), ..self.me.to_beacon(&[]) }),
            known: self.roster.known(if to == To::Control { KNOWN_BYTES_MAX } else { 0 }),
        };
        let signed = self.signed(KIND_JOIN, join.encode_to_vec());
        self.post(to, Kind::Join(signed), out);
    }

    /// Sends a beacon to everybody or only to those it answers, as is due.
    pub(super) fn send_beacon(&mut self, at: Moment, out: &mut Outputs) {
        let answers = std::mem::take(&mut self.beacons.answers);
        let nonces: Vec<u64> = answers.iter().map(|a| a.0).collect();
        let chat = self.talk.as_mut().and_then(talk::Talk::beacon);
        self.beacons.answers = answers;
        let whole = self.me.to_beacon(&nonces);
        let since = self.beacons.since(at.now, &whole, self.roster.size());
        let said = since.map_or_else(|| whole.clone(), |since| Beacon { since, ..Beacon::default() });
        let beacon = Beacon { chat, door: self.porch.door.digest(), ..said };
        let mut signed = self.signed(KIND_BEACON, beacon.encode_to_vec());
        if since.is_some() {
            // Whoever knows what was said then knows the key, too.
            signed.signer.clear();
            self.beacons.told_briefly();
        } else {
            self.beacons.told(signed.counter, whole);
        }
        let answers = std::mem::take(&mut self.beacons.answers);
        if answers.len() <= UNICAST_ANSWERS_MAX {
            for (_, address) in &answers {
                self.post(To::Unicast(*address), Kind::Beacon(signed.clone()), out);
            }
        }
        self.beacons.answers = answers;
        if self.beacons.is_for_all(at.now) {
            self.post(To::Control, Kind::Beacon(signed), out);
            if self.beacons.regular.is_some_and(|due| due <= at.now) {
                // A whole period after joining everybody who would answer has answered.
                self.roster.expect(0);
            }
            let next = self.next_regular(at.now);
            self.beacons.sent_to_all(at.now, next);
        }
        self.beacons.answers_sent(at.now);
    }

    pub(super) fn send_bye(&mut self, out: &mut Outputs) {
        let bye = match self.bye.take() {
            Some(said) => said,
            None => self.signed(KIND_BYE, Bye { reason: 0 }.encode_to_vec()),
        };
        self.bye = Some(bye.clone());
        self.post(To::Control, Kind::Bye(bye), out);
    }

    pub(super) fn send_ping(&mut self, at: Moment, sid: u64, address: SocketAddr, out: &mut Outputs) {
        let nonce = self.random.next_u64();
        self.roster.probed(at.now, sid, nonce, at.wall);
        self.post(To::Unicast(address), Kind::Ping(Ping { nonce, origin: at.wall.0 }), out);
    }

    pub(super) fn send_pong(&mut self, at: Moment, from: Arrival, ping: Ping, out: &mut Outputs) {
        // The kernel's time of arrival is no later than now, unless the clock was stepped in between.
        let receive = if at.wall.nanos_from(from.wall) < 0 { at.wall } else { from.wall };
        let pong = Pong { nonce: ping.nonce, origin: ping.origin, receive: receive.0, transmit: at.wall.0 };
        self.post(To::Unicast(from.source), Kind::Pong(pong), out);
    }

    /// Somebody asks which conferences there are.
    pub(super) fn answer_query(&mut self, now: Timestamp, query: &Query, source: SocketAddr) {
        let (me, roster) = (&self.me.id, &self.roster);
        let rank = |nonce: u64| announcer_rank(&nonce.to_be_bytes(), me, roster.people().map(|p| &p.id));
        let looked_at = self.announcer.query(now, query, source, &mut self.random, rank);
        self.counters.throttled += u64::from(!looked_at);
    }

    /// This member's place in the line of those who announce unasked.
    pub(super) fn line_rank(&self) -> u32 {
        announcer_rank(b"announce", &self.me.id, self.roster.people().map(|p| &p.id))
    }

    pub(super) fn announce(&mut self, at: Moment, out: &mut Outputs) {
        let mut unicast = Vec::new();
        let rank = self.line_rank();
        if self.announcer.due(at.now, rank, &mut unicast) {
            self.send_announce(self.participants(), &unicast, out);
        }
    }

    /// Sends one ANNOUNCE to the group and to those who asked for an answer of their own.
    pub(super) fn send_announce(&mut self, participants: u32, unicast: &[SocketAddr], out: &mut Outputs) {
        let keys = self.opener.keys();
        let (conference, epoch) = (keys.conference(), keys.epoch());
        let nonce = self.random.next_u64();
        self.counter += 1;
        let (sid, counter) = (self.me.sid, self.counter);
        let (family, base) = self.plan.base_to_wire();
        let announcement = Announcement {
            conference: conference.0.to_vec(),
            title: self.title.clone(),
            open: self.open,
            family,
            base,
            port: self.plan.port.into(),
            epoch,
            participants,
            publishers: self.publishers(),
            nonce,
            key_check: self.secret.key_check(&conference, nonce, epoch),
            announcer: self.identity.public().to_vec(),
            sid,
            counter,
            locked: self.is_locked(),
        };
        let context = SignatureContext { kind: KIND_ANNOUNCE, conference, epoch, signer: self.me.id, sid, counter };
        let mut datagram = std::mem::take(&mut self.plain);
        let (identity, scratch) = (&self.identity, &mut self.scratch);
        discovery::write_announce(&announcement, &mut datagram, |body| identity.sign(&context, body, scratch));
        for to in std::iter::once(To::Discovery).chain(unicast.iter().map(|&address| To::Unicast(address))) {
            out.send(to, |bytes| {
                bytes.extend_from_slice(&datagram);
                true
            });
        }
        self.plain = datagram;
    }

    fn publishers(&self) -> u32 {
        self.roster.people().filter(|p| p.publishes()).count() as u32 + u32::from(self.me.publishes())
    }

    /// Signs `payload`. The counter is no higher than the number of the packet that carries it, and hardly lower: it proves
    /// which number the packets of this session have come to.
    pub(super) fn signed(&mut self, kind: u8, payload: Vec<u8>) -> Signed {
        self.counter = self.counter.max(self.sealer.number()) + 1;
        self.sealer.reach(self.counter);
        let keys = self.opener.keys();
        let context = SignatureContext {
            kind,
            conference: keys.conference(),
            epoch: keys.epoch(),
            signer: self.me.id,
            sid: self.me.sid,
            counter: self.counter,
        };
        let signature: [u8; SIGNATURE_BYTES] = self.identity.sign(&context, &payload, &mut self.scratch);
        let signer = self.identity.public().to_vec();
        Signed { signer, counter: self.counter, payload, signature: signature.to_vec() }
    }

    pub(super) fn post(&mut self, to: To, kind: Kind, out: &mut Outputs) {
        self.plain.clear();
        Message { kind: Some(kind) }.write_body(&mut self.plain);
        let (sealer, plain) = (&mut self.sealer, &self.plain);
        out.send(to, |bytes| sealer.seal(plain, bytes));
    }
}
