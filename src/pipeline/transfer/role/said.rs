//! What others say about files, and what is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{ANSWER_EACH, Event, Key, Known, Mine, Role};
use crate::limits::{OBJECT_CHOSEN_MAX, OBJECTS_MAX, OBJECTS_PER_MEMBER_MAX};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{Accept, Decline, Done, ObjectId, Offer, Packet, Reason};

/// Offers that are declined because too many wait here.
const REFUSALS_PER_S: u32 = 4;

impl Role {
    pub(super) fn heard(&mut self, now: Timestamp, from: ParticipantId, packet: Packet) {
        let Some(object) = packet.object() else {
            return;
        };
        if let Some(known) = self.known.get_mut(&object) {
            match &packet {
                Packet::Accept(_) => drop(known.others.insert(from, false)),
                Packet::Done(_) => drop(known.others.insert(from, true)),
                Packet::Decline(_) => drop(known.others.remove(&from)),
                Packet::Offer(_) => {}
            }
        }
        let giving = self.giving.get_mut(&object);
        match packet {
            Packet::Offer(offer) => return self.offered(now, object, from, offer),
            Packet::Accept(accept) => giving.into_iter().for_each(|g| g.out.accepted(now, from, &accept.have)),
            Packet::Done(_) => giving.into_iter().for_each(|g| g.out.done(now, from)),
            Packet::Decline(decline) => {
                let reason = Reason::from_wire(decline.reason);
                giving.into_iter().for_each(|g| g.out.declined(now, from, reason));
            }
        }
        self.consider_taking_over(now);
    }

    pub(super) fn offered(&mut self, now: Timestamp, object: ObjectId, from: ParticipantId, offer: Offer) {
        let mut offer = offer;
        let key = Key(Zeroizing::new(std::mem::take(&mut offer.key)));
        if self.giving.contains_key(&object) {
            // Somebody else goes on with it, too: they are told that one has it.
            if offer.asks(&self.config.me) {
                self.say(Packet::Done(Done { object: object.0.to_vec() }), Vec::new());
            }
            return;
        }
        if !self.known.contains_key(&object) {
            // Who is not asked has it or had their say, in a session before this one perhaps.
            if offer.over || !offer.asks(&self.config.me) {
                return;
            }
            if !self.make_room(&from) {
                if self.refusals.take(now, REFUSALS_PER_S) {
                    let reason = Reason::NoRoom.to_wire();
                    self.say(Packet::Decline(Decline { object: object.0.to_vec(), reason }), Vec::new());
                }
                return;
            }
            self.tell(Event::Offered {
                object,
                from,
                name: offer.name.clone(),
                size: offer.size,
                kind: offer.kind.clone(),
                voice: offer.voice.clone(),
                thumbnail: offer.thumbnail.clone(),
                private: !offer.audience.is_empty(),
            });
            let known = Known {
                offer: offer.clone(),
                key,
                from,
                others: BTreeMap::new(),
                mine: Mine::Undecided,
                answer_at: None,
                take_over_at: None,
                fetch_at: now,
                fetch_only: Vec::new(),
                heard: now,
                since: now,
                asked: now,
            };
            self.known.insert(object, known);
            return;
        }
        let crowd = self.people.len() as u32;
        let Some(known) = self.known.get_mut(&object) else {
            return;
        };
        let present = self.people.contains_key(&known.from);
        if known.from != from && present && known.from != self.config.me {
            // Two give the same: one is enough, and the other learns when it is here.
            if offer.asks(&self.config.me) && matches!(known.mine, Mine::Held(..)) {
                self.say(Packet::Done(Done { object: object.0.to_vec() }), Vec::new());
            }
            return;
        }
        if offer.over {
            return self.withdrawn(object);
        }
        let same = |a: &Offer, b: &Offer| (a.size, a.manifest_bytes) == (b.size, b.manifest_bytes);
        if !same(&offer, &known.offer) {
            return;
        }
        if !offer.asks.is_empty() {
            known.asked = now;
        }
        let key_changed = key != known.key;
        known.key = key;
        known.take_over_at = None;
        known.from = from;
        if offer.asks(&self.config.me) && known.answer_at.is_none() {
            let spread = if crowd > 20 { ANSWER_EACH * crowd } else { Duration::ZERO };
            known.answer_at = Some(now + self.random.between(Duration::ZERO, spread));
        }
        if let Mine::Taking(taking) = &mut known.mine {
            (taking.from, taking.offer) = (from, offer.clone());
            taking.key.clone_from(&known.key.0);
            if key_changed {
                // Whoever was started again, and whoever goes on, draws another one.
                taking.renew(&self.config.keys, self.random.next_u64());
            }
        }
        let audience = joined(&offer.audience, &known.offer.audience);
        // It is not said each time.
        let before = std::mem::take(&mut known.offer.thumbnail);
        let thumbnail = if offer.thumbnail.is_empty() { before } else { offer.thumbnail };
        known.offer = Offer { audience, thumbnail, ..offer };
    }

    /// Makes room for one more of `from`: the oldest that is settled gives way. False when there is none.
    fn make_room(&mut self, from: &ParticipantId) -> bool {
        let theirs = self.known.values().filter(|known| known.from == *from).count() >= OBJECTS_PER_MEMBER_MAX;
        if !theirs && self.known.len() < OBJECTS_MAX {
            return true;
        }
        let settled = self.known.iter().filter(|(_, k)| k.is_settled() && (!theirs || k.from == *from));
        let oldest = settled.min_by_key(|(_, known)| known.since).map(|(object, _)| *object);
        oldest.is_some_and(|object| self.known.remove(&object).is_some())
    }

    /// Whoever offered it takes it back.
    pub(super) fn withdrawn(&mut self, object: ObjectId) {
        let Some(known) = self.known.remove(&object) else {
            return;
        };
        match known.mine {
            Mine::Held(..) | Mine::Declined(_) => return,
            Mine::Taking(taking) => taking.remove(),
            Mine::Undecided | Mine::Waiting(..) => {}
        }
        self.tell(Event::Failed { object, why: "whoever offered it took it back".into(), resumes: false });
    }

    pub(super) fn answer(&self, object: &ObjectId, known: &Known) {
        let id = object.0.to_vec();
        match &known.mine {
            Mine::Undecided | Mine::Waiting(..) => {}
            Mine::Declined(reason) => {
                self.say(Packet::Decline(Decline { object: id, reason: reason.to_wire() }), Vec::new());
            }
            Mine::Taking(taking) => {
                let have = taking.incoming.have().to_bytes();
                self.say(Packet::Accept(Accept { object: id, have }), Vec::new());
            }
            Mine::Held(..) => self.say(Packet::Done(Done { object: id }), Vec::new()),
        }
    }

    pub(super) fn decline(&mut self, now: Timestamp, object: &ObjectId, reason: Reason) {
        let Some(known) = self.known.get_mut(object) else {
            return;
        };
        if matches!(known.mine, Mine::Held(..) | Mine::Declined(_)) {
            return;
        }
        let before = std::mem::replace(&mut known.mine, Mine::Declined(reason));
        known.answer_at = Some(now);
        if let Mine::Taking(taking) = before {
            taking.remove();
        }
    }
}

/// Whom an object is for: those this offer is sealed to, and those an earlier one was, who may come back.
fn joined(now: &[u8], before: &[u8]) -> Vec<u8> {
    let mut all = now.to_vec();
    if now.is_empty() {
        return all;
    }
    for id in before.chunks_exact(16) {
        if all.len() < 16 * OBJECT_CHOSEN_MAX && !now.chunks_exact(16).any(|one| one == id) {
            all.extend_from_slice(id);
        }
    }
    all
}
