//! What a session makes of datagrams.
//!
//! ```text
//! sealed:     own? > open (tag, replay, key) > decode > each message
//! chat:       somebody who is here > the chat, which checks signatures itself
//! signed:     session retired, another key's, said before? > signature > bounds > address = source > roster
//! discovery:  QUERY > whose turn is it | ANNOUNCE of this conference by a member > no need to announce
//! ```
//! Whatever does not pass costs a counter and changes nothing else.

use std::net::{IpAddr, SocketAddr};

use prost::Message as _;

use super::{Arrival, Channel, ClockSample, Event, Moment, Outputs, Session, Stage, To};
use crate::limits::{
    ASTRAY_PER_S_MAX, ASTRAY_PER_SOURCE_MAX, BRIEF_QUESTIONS_PER_S_MAX, DISCOVERY_WORK_PER_S_MAX, JOIN_ANSWERS_MAX,
    NEWCOMERS_PER_S_MAX, NEWCOMERS_TOTAL_PER_S_MAX, PONGS_PER_S_MAX,
};
use crate::protocol::clock::Sample;
use crate::protocol::keys;
use crate::protocol::roster::{Person, Refusal as RosterRefusal};
use crate::protocol::seal::{Opener, Refusal as SealRefusal};
use crate::time::{NtpTime, Timestamp};
use crate::wire::chat::Packet;
use crate::wire::discovery::{self, Datagram, SignedAnnouncement};
use crate::wire::message::{Beacon, Join, KIND_ANNOUNCE, KIND_BYE, KIND_JOIN, Pong, SignatureContext};
use crate::wire::object::{KIND_ACCEPT, KIND_DECLINE, KIND_DONE, KIND_OFFER};
use crate::wire::opened::{self, Opened, Signed};
use crate::wire::sealed::Header;

/// Which keys opened a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Those of the present epoch.
    Now,
    /// Those of the epoch before, while it ends.
    Before,
    /// Those of epoch 0, which everybody has who knows the passphrase: good for what is said at the door.
    Porch,
}

/// How a datagram came in.
#[derive(Clone, Copy, Debug)]
struct Through {
    sid: u64,
    epoch: u32,
    gate: Gate,
}

impl Session {
    /// Takes a datagram at `at`; `from` says how it came.
    pub fn handle(&mut self, at: Moment, from: Arrival, datagram: &[u8], out: &mut Outputs) {
        if matches!(self.stage, Stage::Leaving { .. } | Stage::Left) {
            return;
        }
        let accepted = match from.channel {
            Channel::Discovery => self.hear_discovery(at, from.source, datagram),
            Channel::Control | Channel::Unicast => self.hear_sealed(at, from, datagram, out),
        };
        if accepted {
            self.wishes.heard(at.now, from.channel, self.me.reach);
            self.pump(at, out);
        }
    }

    fn hear_discovery(&mut self, at: Moment, source: SocketAddr, datagram: &[u8]) -> bool {
        if self.stage != Stage::Joined {
            return false;
        }
        match discovery::parse(datagram) {
            Ok(Datagram::Query(query)) => {
                self.answer_query(at.now, &query, source);
                true
            }
            Ok(Datagram::Announce(signed)) => {
                let heard = self.is_ours(at, &signed);
                if heard {
                    let a = &signed.announcement;
                    self.roster.announced(a.sid, a.counter);
                    self.announcer.heard(at.now, self.line_rank());
                }
                heard
            }
            Err(_) => {
                self.counters.foreign += 1;
                false
            }
        }
    }

    /// Whether an ANNOUNCE is a member's, of this conference, and says the truth about where it is.
    fn is_ours(&mut self, at: Moment, signed: &SignedAnnouncement<'_>) -> bool {
        let a = &signed.announcement;
        let conference = self.opener.keys().conference();
        let placed = (a.family, a.base) == self.plan.base_to_wire() && a.port == u32::from(self.plan.port);
        let Ok(public) = <[u8; 32]>::try_from(a.announcer.as_slice()) else {
            return false;
        };
        if a.conference != conference.0 || !placed || !self.roster.may_announce(a.sid, &public, a.counter) {
            // The own one that came back, and a member's that came twice, are no offence.
            let member = a.sid == self.me.sid || self.roster.member(a.sid).is_some();
            self.counters.strangers += u64::from(a.conference == conference.0 && !member);
            return false;
        }
        if !self.announce_work.take(at.now, DISCOVERY_WORK_PER_S_MAX) {
            self.counters.throttled += 1;
            return false;
        }
        let (signer, epoch, sid, counter) = (keys::participant_id(&public), a.epoch, a.sid, a.counter);
        let context = SignatureContext { kind: KIND_ANNOUNCE, conference, epoch, signer, sid, counter };
        let authentic = self.checked.verify(&public, &context, signed.body, signed.signature, &mut self.scratch);
        self.counters.forged += u64::from(!authentic);
        authentic
    }

    fn hear_sealed(&mut self, at: Moment, from: Arrival, datagram: &[u8], out: &mut Outputs) -> bool {
        if Header::parse(datagram).is_ok_and(|h| h.sid == self.me.sid || h.sid == self.porch.sid()) {
            self.counters.own += 1;
            return false;
        }
        let mut body = std::mem::take(&mut self.body);
        let opened = self.open(at.now, from.source.ip(), datagram, &mut body);
        let accepted = match opened {
            Ok(through) => {
                self.counters.opened += 1;
                self.hear_body(at, from, through, &body, out)
            }
            Err(SealRefusal::Replayed { sid, .. }) if self.hear_once_more(at, from, sid, datagram, &mut body, out) => {
                self.counters.opened += 1;
                true
            }
            Err(refusal) => {
                let c = &mut self.counters;
                *match refusal {
                    SealRefusal::Header(_) | SealRefusal::Foreign => &mut c.foreign,
                    SealRefusal::Replayed { .. } => &mut c.replayed,
                    SealRefusal::Throttled => &mut c.throttled,
                    SealRefusal::NotAuthentic { .. } => &mut c.not_authentic,
                } += 1;
                false
            }
        };
        self.body = body;
        accepted
    }

    /// Takes from a packet whose number seems to have been used what its author signs for the first time. Then somebody else
    /// sent packets in that session, numbered ahead: its window goes back.
    fn hear_once_more(
        &mut self,
        at: Moment,
        from: Arrival,
        sid: u64,
        datagram: &[u8],
        body: &mut Vec<u8>,
        out: &mut Outputs,
    ) -> bool {
        let inside = self.stage != Stage::Knocking && self.roster.member(sid).is_some();
        if !inside || !self.opener.reopen(at.now, from.source.ip(), datagram, body) {
            return false;
        }
        let through = Through { sid, epoch: self.opener.keys().epoch(), gate: Gate::Now };
        let mut proved = None;
        let _ = opened::read(body, |message| {
            if let Opened::Signed(kind, signed) = message
                && self.roster.counter(sid).is_some_and(|last| last < signed.counter)
            {
                self.hear_signed(at, from.source, through, kind, &signed, out);
                // None: that was a farewell.
                if self.roster.counter(sid).is_none_or(|last| last == signed.counter) {
                    proved = Some(signed.counter);
                }
            }
        });
        proved.into_iter().for_each(|counter| self.opener.rewind(sid, counter));
        proved.is_some()
    }

    /// Opens with the present keys, those of the epoch before while it ends, or those of the door.
    fn open(
        &mut self,
        now: Timestamp,
        source: IpAddr,
        datagram: &[u8],
        body: &mut Vec<u8>,
    ) -> Result<Through, SealRefusal> {
        let inside = self.stage != Stage::Knocking;
        let through =
            |opener: &Opener, header: Header, gate| Through { sid: header.sid, epoch: opener.keys().epoch(), gate };
        let refusal = match self.opener.open(now, source, datagram, body) {
            Ok(header) => return Ok(through(&self.opener, header, if inside { Gate::Now } else { Gate::Porch })),
            Err(refusal @ (SealRefusal::Foreign | SealRefusal::NotAuthentic { .. })) => refusal,
            Err(refusal) => return Err(refusal),
        };
        let before = self.porch.before.as_mut().and_then(|(opener, _)| opener.as_mut());
        if let Some(opener) = before
            && let Ok(header) = opener.open(now, source, datagram, body)
        {
            return Ok(through(opener, header, Gate::Before));
        }
        let overlaps = matches!(self.porch.before, Some((None, _)));
        match &mut self.porch.opener {
            Some(opener) => {
                let header = opener.open(now, source, datagram, body)?;
                Ok(through(opener, header, if overlaps { Gate::Before } else { Gate::Porch }))
            }
            None => Err(refusal),
        }
    }

    fn hear_body(&mut self, at: Moment, from: Arrival, through: Through, body: &[u8], out: &mut Outputs) -> bool {
        let mut pinged = false;
        let sid = through.sid;
        let read = opened::read(body, |message| match message {
            Opened::Door(packet) => self.hear_door(at, from, sid, packet, out),
            _ if through.gate == Gate::Porch => {
                self.counters.stale += 1;
                if matches!(message, Opened::Signed(KIND_JOIN, _)) {
                    self.tell_outsider(at.now, from.source, out);
                }
            }
            Opened::Signed(kind, signed) => self.hear_signed(at, from.source, through, kind, &signed, out),
            // One answer for a datagram, and none to what was sent to all: nobody is to be flooded with answers.
            Opened::Ping(ping) => {
                let answered = from.channel == Channel::Unicast
                    && !std::mem::replace(&mut pinged, true)
                    && self.pongs.take(at.now, PONGS_PER_S_MAX);
                if answered {
                    self.send_pong(at, from, ping, out);
                } else {
                    self.counters.excess += 1;
                }
            }
            Opened::Pong(pong) => self.hear_pong(at, from, sid, pong, out),
            // Has its own class and is heard where media is received.
            Opened::RepairRequest(_) => {}
            Opened::Introduction(introduction) => self.hear_introduction(from.source, sid, introduction, out),
            Opened::Interest(layers) => self.hear_interest(at, from, sid, layers),
            Opened::Report(rows) => self.hear_report(at, from, sid, rows, out),
            Opened::Chat(packet) => drop(self.hear_talk(at, from.source, sid, &packet, out)),
        });
        self.counters.malformed += u64::from(read.is_err());
        read.is_ok()
    }

    fn hear_pong(&mut self, at: Moment, from: Arrival, sid: u64, pong: Pong, out: &mut Outputs) {
        if let Some((sent, id)) = self.roster.answered(at.now, sid, pong.nonce) {
            let (peer_received, peer_sent) = (NtpTime(pong.receive), NtpTime(pong.transmit));
            let sample = Sample { sent, peer_received, peer_sent, received: from.wall };
            out.events.push(Event::ClockSample(ClockSample { id, sid, sample }));
        }
    }

    fn hear_signed(
        &mut self,
        at: Moment,
        source: SocketAddr,
        through: Through,
        kind: u8,
        signed: &Signed<'_>,
        out: &mut Outputs,
    ) {
        let Through { sid, epoch, gate } = through;
        let signer = match (signed.signer, self.roster.session_key(sid)) {
            ([], None) => {
                self.beacons.stranger_heard();
                if gate == Gate::Now && self.questions.take(at.now, BRIEF_QUESTIONS_PER_S_MAX) {
                    self.send_join(To::Unicast(source), out);
                }
                return;
            }
            ([], Some(key)) => Ok(key),
            (signer, _) => signer.try_into(),
        };
        let (Ok(key), Ok(signature)) = (signer, signed.signature.try_into()) else {
            self.counters.malformed += 1;
            return;
        };
        let known = match self.roster.screen(sid, &key, signed.counter) {
            Ok(known) => known,
            Err(refusal) => return self.count_refusal(refusal),
        };
        let may = if known { self.may_say(at.now, sid, source) } else { self.may_come(at.now, source.ip()) };
        if !may {
            return;
        }
        let conference = self.opener.keys().conference();
        let signer = keys::participant_id(&key);
        if self.porch.shut.contains(&signer) {
            self.counters.unauthorized += 1;
            return;
        }
        let context = SignatureContext { kind, conference, epoch, signer, sid, counter: signed.counter };
        if !self.checked.verify(&key, &context, signed.payload, &signature, &mut self.scratch) {
            self.counters.forged += 1;
            self.opener.count_failure(at.now, source.ip());
            return;
        }
        if !known {
            self.beacons.stranger_heard();
        }
        if !known && gate == Gate::Now {
            self.roster.go_on(signer, &key, sid);
        }
        let known = known || self.roster.member(sid).is_some();
        let understood = match kind {
            KIND_BYE => {
                // Whoever is not known needs no farewell, and is not worth remembering.
                if known {
                    self.roster.bye(at.now, sid);
                }
                true
            }
            KIND_JOIN => Join::decode(signed.payload).is_ok_and(|join| {
                let Some(beacon) = &join.beacon else {
                    return false;
                };
                if self.hear_beacon(at, source, sid, &key, signed.counter, beacon, out) {
                    self.tell_door(at.now, beacon.door, source, out);
                    self.answer_join(at, source, &join);
                }
                true
            }),
            KIND_OFFER | KIND_ACCEPT | KIND_DECLINE | KIND_DONE => {
                self.hear_object(sid, signed.counter, kind, signed.payload, out)
            }
            // Whoever says the same again need not be understood again.
            _ if known && self.roster.hear_again(at.now, sid, source, signed.counter, signed.payload) => true,
            _ => Beacon::decode(signed.payload).is_ok_and(|beacon| {
                let heard = match beacon.since {
                    0 => self.hear_beacon(at, source, sid, &key, signed.counter, &beacon, out),
                    since => self.hear_brief(at.now, source, sid, signed.counter, since),
                };
                if heard {
                    self.tell_door(at.now, beacon.door, source, out);
                }
                // What the chat could not take in yet is to be understood the next time.
                let same_door = beacon.door == self.porch.door.digest();
                if heard
                    && same_door
                    && beacon.chat.is_none_or(|chat| self.hear_talk(at, source, sid, &Packet::Heartbeat(chat), out))
                {
                    self.roster.remember(sid, signed.payload);
                }
                true
            }),
        };
        self.counters.malformed += u64::from(!understood);
    }

    /// Whether one more signature of a known session is worth checking; counted when not. Every member can seal in it: what
    /// comes from elsewhere is paid for by where it comes from.
    fn may_say(&mut self, now: Timestamp, sid: u64, source: SocketAddr) -> bool {
        match self.roster.may_say(now, sid, source) {
            Ok(true) => true,
            Ok(false) => {
                let allowed = !self.opener.is_throttled(now, source.ip())
                    && self.astray.take(now, source.ip(), ASTRAY_PER_SOURCE_MAX, ASTRAY_PER_S_MAX);
                self.counters.throttled += u64::from(!allowed);
                allowed
            }
            Err(refusal) => {
                self.count_refusal(refusal);
                false
            }
        }
    }

    /// Whether the signature of somebody not known is worth checking; counted when not.
    fn may_come(&mut self, now: Timestamp, source: IpAddr) -> bool {
        if !self.roster.has_room_for(source) {
            self.counters.excess += 1;
            return false;
        }
        let allowed = !self.opener.is_throttled(now, source)
            && self.newcomers.take(now, source, NEWCOMERS_PER_S_MAX, NEWCOMERS_TOTAL_PER_S_MAX);
        self.counters.throttled += u64::from(!allowed);
        allowed
    }

    fn count_refusal(&mut self, refusal: RosterRefusal) {
        let c = &mut self.counters;
        *match refusal {
            RosterRefusal::Retired | RosterRefusal::Stale => &mut c.stale,
            RosterRefusal::Forged => &mut c.forged,
            RosterRefusal::TooMany | RosterRefusal::Full => &mut c.excess,
        } += 1;
    }

    /// What somebody says of themselves, authentic and new. True when it was taken over.
    #[expect(clippy::too_many_arguments, reason = "each is another fact about one message")]
    fn hear_beacon(
        &mut self,
        at: Moment,
        source: SocketAddr,
        sid: u64,
        key: &[u8; 32],
        counter: u64,
        beacon: &Beacon,
        out: &mut Outputs,
    ) -> bool {
        let Ok(person) = Person::from_beacon(keys::participant_id(key), sid, beacon) else {
            self.counters.malformed += 1;
            return false;
        };
        if person.address != source {
            self.counters.misplaced += 1;
            return false;
        }
        if person.id == self.me.id {
            if person.joined > self.me.joined && !std::mem::replace(&mut self.displaced_told, true) {
                out.events.push(Event::Displaced);
            }
            return false;
        }
        let probe_at = at.now + self.random.between(std::time::Duration::ZERO, self.roster.spread());
        self.roster.hear(at.now, key, counter, person, probe_at);
        if beacon.answers.contains(&self.join_nonce) {
            self.roster.confirm(at.now, sid);
        }
        true
    }

    /// Somebody says that all is as it was. True when they are known here.
    fn hear_brief(&mut self, now: Timestamp, source: SocketAddr, sid: u64, counter: u64, since: u64) -> bool {
        let heard = self.roster.hear_brief(now, sid, source, counter, since);
        let misplaced = self.roster.member(sid).is_some_and(|person| person.address != source);
        self.counters.misplaced += u64::from(misplaced && !heard);
        heard
    }

    /// Puts an answer on the next beacon, unless the one who joins knows this member already.
    fn answer_join(&mut self, at: Moment, source: SocketAddr, join: &Join) {
        let [a, b, ..] = self.me.id.0;
        if join.known.chunks_exact(2).any(|known| known == [a, b]) {
            return;
        }
        if self.beacons.answers.len() >= JOIN_ANSWERS_MAX {
            // A crowd: the answer on its way is full. Those left out are pinged like everybody, and ask again.
            return;
        }
        if !self.beacons.answers.iter().any(|a| a.0 == join.nonce) {
            self.beacons.answers.push((join.nonce, source));
        }
        let soonest = at.now.max(self.beacons.answered + super::beacons::BEACON_GAP);
        let due = match self.beacons.answers.len() {
            JOIN_ANSWERS_MAX.. => soonest,
            _ => soonest.max(at.now + self.random.between(std::time::Duration::ZERO, self.roster.spread())),
        };
        let due = self.beacons.answer.map_or(due, |earlier| earlier.min(due));
        // One for everybody, from everybody: the more there are, the longer each waits for more to ask.
        let together = self.beacons.answers.len() > super::beacons::UNICAST_ANSWERS_MAX;
        let paced = self.beacons.last + super::ANSWER_PER_MEMBER * self.roster.size() as u32;
        self.beacons.answer = Some(if together { due.max(paced) } else { due });
    }
}
