//! Deciding: locking, putting out, letting in, moderators, hand-over and succession; and going over to another epoch.
//!
//! ```text
//! kick ──> Ban, told ──> everybody drops them ──> the present secret is theirs as well: Turn to a new one, sealed to the rest
//! lock ──────────────────────────────────────────────────────────────────────────────^   unlock: Turn to none
//! ```
//! An epoch begins at once for whoever has its secret: new session id, new sources of streams, roll-over counters 0. What
//! others still send in the one before is taken for two seconds.

use std::time::Duration;

use super::porch::draw;
use super::{DoorEvent, Event, Moment, Outputs, Session, Stage};
use crate::limits::REKEY_BOXES_MAX;
use crate::protocol::door::{Authority, Chain, Refusal, parcel, sign};
use crate::protocol::keys::{EpochKeys, order_hash};
use crate::protocol::seal::{Opener, Sealer};
use crate::time::Timestamp;
use crate::wire::door::{KIND_REFUSAL, Packet, Refusal as WireRefusal, Rekey};
use crate::wire::message::ParticipantId;

/// How long what is sent in the epoch before is still taken.
const OVERLAP: Duration = Duration::from_secs(2);
/// How long an owner may be away before a moderator follows, and how much longer each next moderator waits.
const SUCCESSION: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));
/// How often owner and moderators tell the present Turn to those who may have missed it.
const TELL: Duration = Duration::from_secs(5);

impl Session {
    /// Makes this the owner's session of a new conference, whose id was drawn with `random`. Before the first
    /// [`timeout`](Self::timeout).
    pub fn found(&mut self, random: [u8; 16]) {
        self.porch.door.set_chain(Chain::founded(self.identity.public(), random));
    }

    /// The conference was announced in `epoch`, locked or not. Before the first [`timeout`](Self::timeout).
    pub fn arrive(&mut self, at: Moment, epoch: u32, locked: bool) {
        if locked {
            self.stage = Stage::Knocking;
            let nonce = self.random.next_u64();
            self.porch.ask(at.now, nonce);
        } else if epoch > 0 {
            let keys = EpochKeys::of(self.opener.keys().conference(), &self.secret, epoch, &[]);
            self.sealer = Sealer::new(&keys, self.me.sid);
            self.porch.opener = Some(std::mem::replace(&mut self.opener, Opener::new(keys)));
            self.porch.keyed = (epoch, None);
        }
    }

    /// What one may do oneself.
    pub fn authority(&self) -> Authority {
        self.porch.door.chain().authority(&self.me.id)
    }

    /// Whether newcomers have to knock.
    pub fn is_locked(&self) -> bool {
        self.porch.door.is_locked()
    }

    /// Everything as it is now.
    pub fn everybody(&self) -> Event {
        let chain = self.porch.door.chain();
        Event::Everybody {
            me: Box::new(self.me.clone()),
            others: self.roster.people().cloned().collect(),
            keys: self.opener.keys().clone(),
            authority: chain.owner().map(|owner| (owner, chain.moderators().to_vec())),
            locked: self.is_locked(),
            wanted: self.wishes.told(),
            wanted_by_deaf: self.wishes.told_by_deaf(),
        }
    }

    /// The moderators.
    pub fn moderators(&self) -> Vec<ParticipantId> {
        self.porch.door.chain().moderators().to_vec()
    }

    /// Whether anything can be decided here; told when not.
    fn is_decidable(&self, out: &mut Outputs) -> bool {
        if self.open {
            out.events.push(denied(
                "anyone on this network can watch an open conference: nobody can be kept out of it or put in charge of it; \
                 one with a passphrase can be locked",
            ));
        }
        !self.open
    }

    /// Locks the conference, or lets in whoever has the passphrase.
    pub fn lock(&mut self, at: Moment, on: bool, out: &mut Outputs) {
        if on != self.is_locked() && self.is_decidable(out) {
            let done = self.turn_keys(at, on, out);
            deny(done, out);
        }
        self.pump(at, out);
    }

    /// Puts somebody out, for the rest of the conference unless they are admitted again.
    pub fn kick(&mut self, at: Moment, id: ParticipantId, out: &mut Outputs) {
        if self.is_decidable(out) {
            let done = self.dismiss(at, id, out).and_then(|()| self.porch.door.ban(&self.identity, id, false));
            deny(done.map(|ban| self.proclaim(at.now, Packet::Ban(ban), out)), out);
        }
        self.pump(at, out);
    }

    /// Whoever is put out is no moderator any more.
    fn dismiss(&mut self, at: Moment, id: ParticipantId, out: &mut Outputs) -> Result<(), Refusal> {
        let mut moderators = self.moderators();
        if self.authority() != Authority::Owner || !moderators.contains(&id) {
            return Ok(());
        }
        moderators.retain(|m| *m != id);
        self.charter(at, 0, self.me.id, &moderators, out)
    }

    /// Lets somebody in who knocked.
    pub fn admit(&mut self, at: Moment, id: ParticipantId, out: &mut Outputs) {
        let knocker = self.porch.knockers.get(&id).map(|k| (k.key, k.address));
        match knocker {
            None => out.events.push(denied("nobody of that name is at the door")),
            _ if self.authority() == Authority::None => deny(Err(Refusal::Unauthorized), out),
            Some((key, address)) => {
                if self.porch.door.banned_by(&id).is_some() {
                    let lifted = self.porch.door.ban(&self.identity, id, true);
                    deny(lifted.map(|ban| self.proclaim(at.now, Packet::Ban(ban), out)), out);
                }
                self.entitle(id);
                self.end_knocks(out, |other, _| *other == id);
                self.give(at.now, &key, address, out);
            }
        }
        self.pump(at, out);
    }

    /// Sends somebody away who knocked.
    pub fn refuse(&mut self, at: Moment, id: ParticipantId, out: &mut Outputs) {
        match self.porch.knockers.get(&id).map(|knocker| knocker.nonce) {
            None => out.events.push(denied("nobody of that name is at the door")),
            _ if self.authority() == Authority::None => deny(Err(Refusal::Unauthorized), out),
            Some(nonce) => {
                let conference = self.opener.keys().conference();
                let signed = sign(&self.identity, KIND_REFUSAL, conference, nonce, &WireRefusal { nonce });
                if let Some(chain) = self.porch.door.chain().to_wire() {
                    self.proclaim(at.now, Packet::Chain(chain), out);
                }
                self.proclaim(at.now, Packet::Refusal(signed), out);
                self.end_knocks(out, |other, _| *other == id);
            }
        }
        self.pump(at, out);
    }

    /// Makes somebody a moderator, or no moderator any more.
    pub fn set_moderator(&mut self, at: Moment, id: ParticipantId, on: bool, out: &mut Outputs) {
        let mut moderators = self.moderators();
        moderators.retain(|m| *m != id);
        if on && id != self.me.id {
            moderators.push(id);
        }
        if self.is_decidable(out) {
            let done = match self.authority() {
                Authority::Owner => self.charter(at, 0, self.me.id, &moderators, out),
                _ => Err(Refusal::Unauthorized),
            };
            deny(done, out);
        }
        self.pump(at, out);
    }

    /// Makes somebody the owner, and oneself a moderator.
    pub fn hand_over(&mut self, at: Moment, to: ParticipantId, out: &mut Outputs) {
        let mut moderators = self.moderators();
        moderators.retain(|m| *m != to);
        moderators.push(self.me.id);
        if self.is_decidable(out) && to != self.me.id {
            let done = match self.authority() {
                Authority::Owner => self.charter(at, 0, to, &moderators, out),
                _ => Err(Refusal::Unauthorized),
            };
            deny(done, out);
        }
        self.pump(at, out);
    }

    /// Says who owns and who moderates from now on; what held by the word of whom that dismisses is said anew.
    pub(super) fn charter(
        &mut self,
        at: Moment,
        after: u64,
        owner: ParticipantId,
        moderators: &[ParticipantId],
        out: &mut Outputs,
    ) -> Result<(), Refusal> {
        let (conference, door) = (self.opener.keys().conference(), &mut self.porch.door);
        let before: Vec<_> = door.banned().map(|(id, _)| id).collect();
        let chain = door.chain().with(&self.identity, conference, after, owner, moderators)?;
        door.set_chain(chain);
        for id in before {
            let door = &mut self.porch.door;
            if door.banned_by(&id).is_none()
                && let Ok(ban) = door.ban(&self.identity, id, false)
            {
                self.proclaim(at.now, Packet::Ban(ban), out);
            }
        }
        let door = &self.porch.door;
        let lapsed = door.turn().is_some_and(|turn| door.chain().authority(&turn.by) == Authority::None);
        if let Some(chain) = door.chain().to_wire() {
            self.proclaim(at.now, Packet::Chain(chain), out);
        }
        if lapsed { self.turn_keys(at, self.is_locked(), out) } else { Ok(()) }
    }

    /// Decides for a new epoch, tells everybody who is here, and goes over to it.
    fn turn_keys(&mut self, at: Moment, locked: bool, out: &mut Outputs) -> Result<(), Refusal> {
        let conference = self.opener.keys().conference();
        let random = locked.then(|| draw(&mut self.random));
        let commitment = random.as_ref().map(|random| parcel::commitment(conference, random));
        self.porch.door.decide(&self.identity, self.opener.keys().epoch(), commitment)?;
        let members: Vec<_> = self.roster.keys().map(|(id, key)| (id, *key)).collect();
        let banned = |id: &ParticipantId| self.porch.door.banned_by(id).is_some();
        let sealed_to: Vec<[u8; 32]> = members.iter().filter(|(id, _)| !banned(id)).map(|(_, key)| *key).collect();
        self.begin_epoch(at, random, out);
        let mut rekeys: Vec<Rekey> = Vec::new();
        for chunk in sealed_to.chunks(REKEY_BOXES_MAX) {
            rekeys.extend(self.rekey(chunk));
        }
        if rekeys.is_empty() {
            rekeys.extend(self.rekey(&[]));
        }
        rekeys.into_iter().for_each(|rekey| self.proclaim(at.now, Packet::Rekey(rekey), out));
        Ok(())
    }

    /// Goes over to the epoch decided on last.
    pub(super) fn begin_epoch(&mut self, at: Moment, random: Option<parcel::Random>, out: &mut Outputs) {
        let Some((epoch, commitment)) = self.porch.door.turn().map(|turn| (turn.epoch, turn.commitment)) else {
            return;
        };
        let conference = self.opener.keys().conference();
        let material = random.as_ref().map_or(&[][..], |random| random.as_slice());
        let keys = EpochKeys::of(conference, &self.secret, epoch, material);
        let before = std::mem::replace(&mut self.opener, Opener::new(keys.clone()));
        let until = at.now + OVERLAP;
        self.porch.before = Some(if self.porch.opener.is_none() {
            self.porch.opener = Some(before);
            (None, until)
        } else {
            (Some(before), until)
        });
        self.me.sid = self.random.next_u64();
        self.me_told.sid = self.me.sid;
        for stream in &mut self.me.streams {
            // The session is random, and so are the new sources.
            stream.ssrc = order_hash(&[&self.me.sid.to_be_bytes(), &stream.ssrc.to_be_bytes()]) as u32;
            stream.position = 0;
        }
        self.sealer = Sealer::new(&keys, self.me.sid);
        self.beacons.begin_anew();
        (self.porch.keyed, self.porch.random, self.porch.asking) = ((epoch, commitment), random, None);
        self.bye = None;
        self.join_nonce = self.random.next_u64();
        self.roster.turn();
        let (sid, streams) = (self.me.sid, self.me.streams.clone());
        out.events.push(Event::Door(DoorEvent::Epoch { keys, sid, streams }));
        match self.stage {
            Stage::Knocking => {
                (self.stage, self.started, self.joins_sent) = (Stage::Joining, at.now, 0);
                self.me.joined = at.wall;
            }
            Stage::Joined => {
                self.beacons.last = Timestamp(0);
                self.beacons.changed(at.now);
            }
            Stage::Joining | Stage::Leaving { .. } | Stage::Left => {}
        }
    }

    /// Does what follows from the door as it is now. False: one is out.
    pub(super) fn settle_door(&mut self, at: Moment, out: &mut Outputs) -> bool {
        if self.stage == Stage::Knocking {
            // What goes on inside is nobody's business who is not.
            return true;
        }
        if let Some(by) = self.porch.door.banned_by(&self.me.id) {
            out.events.push(Event::Door(DoorEvent::Removed { by }));
            self.stage = Stage::Left;
            return false;
        }
        if self.porch.applied != self.porch.door.digest() {
            self.apply_door(at, out);
        }
        if self.stage == Stage::Joined {
            self.turn_if_needed(at, out);
            self.succeed(at, out);
            self.tell_turn(at.now, out);
        }
        true
    }

    fn apply_door(&mut self, at: Moment, out: &mut Outputs) {
        self.porch.applied = self.porch.door.digest();
        let banned: Vec<_> = self.porch.door.banned().collect();
        for &(id, by) in &banned {
            self.porch.entitled.remove(&id);
            if self.porch.shut.insert(id) {
                out.events.push(Event::Door(DoorEvent::PutOut { id, by }));
                self.roster.put_out(at.now, &id);
                self.shut_out(at.now, id, true);
            }
        }
        let let_in: Vec<_> = self.porch.shut.iter().filter(|id| !banned.iter().any(|b| b.0 == **id)).copied().collect();
        for id in let_in {
            self.porch.shut.remove(&id);
            self.shut_out(at.now, id, false);
        }
        let chain = self.porch.door.chain();
        if let Some(owner) = chain.owner() {
            let moderators = chain.moderators().to_vec();
            out.events.push(Event::Door(DoorEvent::Authority { owner, moderators }));
        }
        let locked = self.is_locked();
        if std::mem::replace(&mut self.porch.locked_told, locked) != locked {
            let by = self.porch.door.turn().map(|turn| turn.by);
            let outsiders = if locked { 0 } else { banned.len() };
            out.events.push(Event::Door(DoorEvent::Locked { on: locked, by, outsiders }));
        }
        self.roster.listen_anew();
        if self.stage == Stage::Joined {
            self.beacons.changed(at.now);
        }
    }

    /// Somebody was put out who may have the present secret: it is replaced, at once by whoever put them out, and later by
    /// anybody who may.
    fn turn_if_needed(&mut self, at: Moment, out: &mut Outputs) {
        let Some(by) = self.porch.door.unturned().filter(|_| self.authority() != Authority::None) else {
            self.porch.rekey_at = None;
            return;
        };
        let wait = match by == self.me.id && self.porch.rekey_at.is_none() {
            true if self.porch.is_keyed() => Duration::ZERO,
            true => self.random.between(Duration::from_millis(100), Duration::from_millis(400)),
            false => self.random.between(Duration::from_secs(1), Duration::from_secs(3)),
        };
        let due = *self.porch.rekey_at.get_or_insert(at.now + wait);
        if due <= at.now {
            self.porch.rekey_at = None;
            let done = self.turn_keys(at, true, out);
            deny(done, out);
        }
    }

    /// The owner has left: the moderator who is here for longest follows.
    fn succeed(&mut self, at: Moment, out: &mut Outputs) {
        let (chain, me) = (self.porch.door.chain(), (self.me.joined, self.me.id));
        let owner = chain.owner().filter(|owner| self.roster.person(owner).is_none());
        let Some(owner) = owner.filter(|_| self.authority() == Authority::Moderator) else {
            self.porch.ownerless = None;
            return;
        };
        let earlier = |id: &&ParticipantId| self.roster.person(id).is_some_and(|p| (p.joined, p.id) < me);
        let place = chain.moderators().iter().filter(earlier).count() as u32;
        let due = *self.porch.ownerless.get_or_insert(at.now + SUCCESSION.0 + SUCCESSION.1 * place);
        if due <= at.now {
            self.porch.ownerless = None;
            let mut moderators = self.moderators();
            moderators.retain(|m| *m != me.1);
            moderators.push(owner);
            let done = self.charter(at, 0, me.1, &moderators, out);
            if done.is_err() {
                // The chain is full: it goes on without an owner.
                self.porch.ownerless = Some(Timestamp(u64::MAX));
            }
        }
    }

    fn tell_turn(&mut self, now: Timestamp, out: &mut Outputs) {
        let speaks = self.authority() != Authority::None && self.porch.door.turn().is_some();
        if !speaks {
            self.porch.tell_at = None;
            return;
        }
        let due = *self.porch.tell_at.get_or_insert(now + TELL);
        if due <= now {
            self.porch.tell_at = Some(now + self.random.between(TELL.mul_f32(0.8), TELL.mul_f32(1.2)));
            self.describe_door(super::To::Control, &[], out);
        }
    }
}

fn denied(why: &str) -> Event {
    Event::Door(DoorEvent::Denied(why.to_owned()))
}

fn deny(done: Result<(), Refusal>, out: &mut Outputs) {
    let why = match done {
        Ok(()) => return,
        Err(Refusal::Unauthorized) => {
            "you have no right to do that: the owner and moderators may, and only the owner \
                                       decides about moderators"
        }
        Err(Refusal::Full) => "that has been done as often as can be remembered",
        Err(Refusal::Malformed(_)) => "there are as many moderators as there may be",
        Err(Refusal::Stale | Refusal::Forged) => "somebody decided otherwise at the same time",
    };
    out.events.push(denied(why));
}
