//! The door as a session sees it: what is heard at it, told to others and asked for. All of it is sealed with the key of
//! epoch 0, which members keep and newcomers have.
//!
//! ```text
//! newcomer, or a member who missed a Turn:  Knock each 0.3 s, later 2 s ──┐
//! whoever may give the secret:              chain, Turn, box for them <───┘   (known members: at once; others: admitted)
//! a beacon with another digest than mine:   some members send what they know of the door to its sender
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use std::time::Duration;

use prost::Message as _;

use super::{Arrival, DoorEvent, Event, Moment, Outputs, Session, Stage, To};
use crate::limits::{
    DOOR_WORK_PER_S_MAX, DOOR_WORK_PER_SOURCE_MAX, KNOCKERS_MAX, KNOCKERS_PER_SOURCE_MAX, NAME_BYTES_MAX,
    PARTICIPANTS_MAX,
};
use crate::protocol::discovery::announcer_rank;
use crate::protocol::door::{Authority, Door, Refusal, authentic, parcel};
use crate::protocol::keys::{self, EpochKeys, Identity, Random};
use crate::protocol::rate::SourceRate;
use crate::protocol::roster::names;
use crate::protocol::seal::{Opener, Sealer};
use crate::time::Timestamp;
use crate::wire::address::{host_from_wire, host_to_wire};
use crate::wire::door::{COMMITMENT_BYTES, KIND_KNOCK, KIND_REFUSAL, Knock, Packet, Refusal as WireRefusal, Rekey};
use crate::wire::message::{Kind, Message, ParticipantId, SignatureContext, Signed};

/// What is decided is told again after these times.
const REPEATS_MS: [u64; 3] = [60, 250, 1_000];
/// Between the first Knocks, and between later ones.
const KNOCK_GAPS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(2)];
/// So many are quick.
const QUICK_KNOCKS: u32 = 4;
/// Somebody who knocks no more is gone.
const KNOCKER_LIFE: Duration = Duration::from_secs(10);
/// From this Knock on members answer who may not decide.
const OTHERS_ANSWER: u32 = 2;
/// So many members tell somebody what they know of the door, besides owner and moderators.
const TELLERS: u32 = 3;
/// Descriptions of the door sent per second to one machine, and in all; as many again to those who knock.
const TOLD_PER_S: (u32, u32) = (4, 40);

/// Somebody at the door.
pub(super) struct Knocker {
    pub key: [u8; 32],
    pub address: SocketAddr,
    pub nonce: u64,
    heard: Timestamp,
}

/// What is asked at the door.
pub(super) struct Asking {
    nonce: u64,
    tries: u32,
    due: Timestamp,
}

/// A session's side of the door.
pub(super) struct Porch {
    pub door: Door,
    /// Seals with the key of epoch 0, as a session of its own.
    sealer: Sealer,
    /// Opens what is sealed so, once another epoch is the present one.
    pub opener: Option<Opener>,
    /// Opens what was sent in the epoch before, until the time is over; `None` in it: the key of epoch 0.
    pub before: Option<(Option<Opener>, Timestamp)>,
    /// What the present keys come from.
    pub keyed: (u32, Option<[u8; COMMITMENT_BYTES]>),
    pub random: Option<parcel::Random>,
    /// Those who belong here, as far as known.
    pub entitled: BTreeSet<ParticipantId>,
    pub knockers: BTreeMap<ParticipantId, Knocker>,
    pub asking: Option<Asking>,
    repeats: Vec<(Timestamp, Packet)>,
    work: SourceRate,
    knocks: SourceRate,
    told: SourceRate,
    /// What is given to those who knock: whoever tells of a false door uses up nothing of it.
    given: SourceRate,
    /// Digest of the door that the rest of the session knows.
    pub applied: u64,
    pub shut: BTreeSet<ParticipantId>,
    pub locked_told: bool,
    pub tell_at: Option<Timestamp>,
    pub rekey_at: Option<Timestamp>,
    pub ownerless: Option<Timestamp>,
}

impl Porch {
    pub fn new(first: &EpochKeys, random: &mut Random) -> Self {
        Self {
            door: Door::new(first.conference()),
            sealer: Sealer::new(first, random.next_u64()),
            opener: None,
            before: None,
            keyed: (first.epoch(), None),
            random: None,
            entitled: BTreeSet::new(),
            knockers: BTreeMap::new(),
            asking: None,
            repeats: Vec::new(),
            work: SourceRate::default(),
            knocks: SourceRate::default(),
            told: SourceRate::default(),
            given: SourceRate::default(),
            applied: 0,
            shut: BTreeSet::new(),
            locked_told: false,
            tell_at: None,
            rekey_at: None,
            ownerless: None,
        }
    }

    /// Session id of what is sent at the door.
    pub fn sid(&self) -> u64 {
        self.sealer.sid()
    }

    /// Whether the present keys are those of the newest decision.
    pub fn is_keyed(&self) -> bool {
        self.door.turn().is_none_or(|turn| (turn.epoch, turn.commitment) == self.keyed)
    }

    pub fn next_timeout(&self) -> Option<Timestamp> {
        let repeats = self.repeats.iter().map(|(due, _)| *due).min();
        let knockers = self.knockers.values().map(|k| k.heard + KNOCKER_LIFE).min();
        let asking = self.asking.as_ref().map(|asking| asking.due);
        let overlap = self.before.as_ref().map(|(_, until)| *until);
        [repeats, knockers, asking, overlap, self.tell_at, self.rekey_at, self.ownerless].into_iter().flatten().min()
    }

    pub fn ask(&mut self, due: Timestamp, nonce: u64) {
        self.asking.get_or_insert(Asking { nonce, tries: 0, due });
    }
}

impl Session {
    /// Sends at the door.
    pub(super) fn post_door(&mut self, to: To, packet: Packet, out: &mut Outputs) {
        self.plain.clear();
        Message { kind: Some(Kind::from(packet)) }.write_body(&mut self.plain);
        let (sealer, plain) = (&mut self.porch.sealer, &self.plain);
        out.send(to, |bytes| sealer.seal(plain, bytes));
    }

    /// Tells everybody, and again.
    pub(super) fn proclaim(&mut self, now: Timestamp, packet: Packet, out: &mut Outputs) {
        let dues = REPEATS_MS.map(|ms| now + Duration::from_millis(ms));
        self.porch.repeats.extend(dues.map(|due| (due, packet.clone())));
        self.post_door(To::Control, packet, out);
    }

    /// The present decision, with the secret for those given, of at most ten.
    pub(super) fn rekey(&mut self, members: &[[u8; 32]]) -> Option<Rekey> {
        let conference = self.opener.keys().conference();
        let turn = self.porch.door.turn()?.signed().clone();
        let mut rekey = Rekey { turn: Some(turn), ..Rekey::default() };
        if let Some(random) = self.porch.random.as_ref().filter(|_| self.porch.is_keyed() && !members.is_empty()) {
            let ephemeral = Identity::from_seed(&draw(&mut self.random));
            let sealed = members.iter().filter_map(|key| parcel::seal(conference, &ephemeral, key, random));
            rekey.boxes = sealed.flatten().collect();
            rekey.ephemeral = ephemeral.public().to_vec();
        }
        Some(rekey)
    }

    /// Something said at the door.
    pub(super) fn hear_door(&mut self, at: Moment, from: Arrival, sid: u64, packet: Packet, out: &mut Outputs) {
        // Whoever knocks all the time keeps no decision from being heard.
        let work = if matches!(packet, Packet::Knock(_)) { &mut self.porch.knocks } else { &mut self.porch.work };
        if !work.take(at.now, from.source.ip(), DOOR_WORK_PER_SOURCE_MAX, DOOR_WORK_PER_S_MAX) {
            self.counters.throttled += 1;
            return;
        }
        let heard = match packet {
            Packet::Ban(_) | Packet::Rekey(_) if self.open => Err(Refusal::Unauthorized),
            Packet::Chain(chain) => self.hear_chain(at, &chain, out),
            Packet::Ban(signed) => self.porch.door.offer_ban(&signed).map(drop),
            Packet::Rekey(rekey) => self.hear_rekey(at, &rekey, out),
            Packet::Knock(signed) => self.hear_knock(at, from, sid, &signed, out),
            Packet::Refusal(signed) => self.hear_refusal(&signed, out),
        };
        if let Err(refusal) = heard {
            let c = &mut self.counters;
            *match refusal {
                Refusal::Malformed(_) => &mut c.malformed,
                Refusal::Forged => &mut c.forged,
                Refusal::Unauthorized => &mut c.unauthorized,
                Refusal::Stale => &mut c.stale,
                Refusal::Full => &mut c.excess,
            } += 1;
            if refusal == Refusal::Forged {
                self.opener.count_failure(at.now, from.source.ip());
            }
        }
    }

    fn hear_chain(&mut self, at: Moment, wire: &crate::wire::door::Chain, out: &mut Outputs) -> Result<(), Refusal> {
        let me = self.me.id;
        let inside = self.stage == Stage::Joined;
        let roster = &self.roster;
        let here = |id: &ParticipantId| inside && (*id == me || roster.person(id).is_some());
        let Some(other) = self.porch.door.offer_chain(wire, here)? else {
            return Ok(());
        };
        if self.authority() == Authority::Owner {
            // Somebody took over who thought that I had left.
            let moderators = self.moderators();
            self.charter(at, other.number(), me, &moderators, out)?;
        }
        Ok(())
    }

    fn hear_rekey(&mut self, at: Moment, rekey: &Rekey, out: &mut Outputs) -> Result<(), Refusal> {
        let Some(signed) = &rekey.turn else {
            return Err(Refusal::Malformed(crate::wire::door::Error::Field("turn")));
        };
        self.porch.door.offer_turn(signed)?;
        if self.porch.is_keyed() && self.stage != Stage::Knocking {
            return Ok(());
        }
        let conference = self.opener.keys().conference();
        let Some(commitment) = self.porch.door.turn().and_then(|turn| turn.commitment) else {
            self.begin_epoch(at, None, out);
            return Ok(());
        };
        let ephemeral = rekey.ephemeral.as_slice().try_into();
        let sealed = rekey.box_for(&self.identity.id()).zip(ephemeral.ok());
        let random =
            sealed.and_then(|(sealed, from)| parcel::open(conference, &self.identity, &from, &commitment, sealed));
        match random {
            Some(random) => self.begin_epoch(at, Some(random), out),
            None => self.ask_soon(at.now),
        }
        Ok(())
    }

    /// The newest secret is missing: it is asked for, unless it comes by itself.
    fn ask_soon(&mut self, now: Timestamp) {
        let wait = self.random.between(Duration::from_millis(100), Duration::from_millis(400));
        let nonce = self.random.next_u64();
        self.porch.ask(now + wait, nonce);
    }

    pub(super) fn send_knock(&mut self, now: Timestamp, out: &mut Outputs) {
        let Some(asking) = self.porch.asking.as_mut().filter(|asking| asking.due <= now) else {
            return;
        };
        let gap = KNOCK_GAPS[usize::from(asking.tries >= QUICK_KNOCKS)];
        let (nonce, tries) = (asking.nonce, asking.tries);
        (asking.tries, asking.due) = (tries.saturating_add(1), now + gap);
        let inside = self.stage != Stage::Knocking;
        if tries == QUICK_KNOCKS {
            out.events.push(Event::Door(DoorEvent::Waiting));
        }
        let (name, me) = (self.me.typed_name.clone(), self.me.address);
        let (address, address6) = host_to_wire(me.ip());
        let knock = Knock { nonce, name, address, port: me.port().into(), tries, inside, address6 };
        self.counter += 1;
        let (conference, sid, counter) = (self.opener.keys().conference(), self.porch.sid(), self.counter);
        let context = SignatureContext { kind: KIND_KNOCK, conference, epoch: 0, signer: self.me.id, sid, counter };
        let payload = knock.encode_to_vec();
        let signature = self.identity.sign(&context, &payload, &mut self.scratch).to_vec();
        let signed = Signed { signer: self.identity.public().to_vec(), counter, payload, signature };
        self.post_door(To::Control, Packet::Knock(signed), out);
    }

    fn hear_knock(
        &mut self,
        at: Moment,
        from: Arrival,
        sid: u64,
        signed: &Signed,
        out: &mut Outputs,
    ) -> Result<(), Refusal> {
        if self.stage != Stage::Joined || !self.porch.is_keyed() {
            return Ok(());
        }
        let knock = Knock::parse(&signed.payload)?;
        let (Ok(key), Ok(signature)) = (signed.signer.as_slice().try_into(), signed.signature.as_slice().try_into())
        else {
            return Err(Refusal::Forged);
        };
        let (conference, id, counter) = (self.opener.keys().conference(), keys::participant_id(&key), signed.counter);
        let context = SignatureContext { kind: KIND_KNOCK, conference, epoch: 0, signer: id, sid, counter };
        let host = host_from_wire(knock.address, &knock.address6).ok_or(Refusal::Forged)?;
        let address = SocketAddr::new(host, knock.port as u16);
        if !keys::verify(&key, &context, &signed.payload, &signature, &mut self.scratch) || address != from.source {
            return Err(Refusal::Forged);
        }
        let (locked, authority) = (self.porch.door.is_locked(), self.authority());
        let banned = self.porch.door.banned_by(&id).is_some();
        if banned && knock.inside {
            let ban = self.porch.door.ban_of(&id).cloned();
            ban.into_iter().for_each(|ban| self.post_door(To::Unicast(address), Packet::Ban(ban), out));
            return Ok(());
        }
        if !banned && (!locked || self.porch.entitled.contains(&id)) {
            let rank = announcer_rank(&id.0, &self.me.id, self.roster.people().map(|p| &p.id));
            if authority > Authority::None || (knock.tries >= OTHERS_ANSWER && rank < TELLERS) {
                self.give(at.now, &key, address, out);
            }
            return Ok(());
        }
        let known = self.porch.knockers.contains_key(&id);
        if authority == Authority::None || !(known || self.may_wait(from.source)) {
            return Ok(());
        }
        let name = names::clean_name(&knock.name, NAME_BYTES_MAX);
        let knocker = Knocker { key, address, nonce: knock.nonce, heard: at.now };
        self.porch.knockers.insert(id, knocker);
        if !known {
            out.events.push(Event::Door(DoorEvent::Knocked { id, name, was_removed: banned }));
        }
        Ok(())
    }

    /// Whether there is room at the door for one more, of this machine.
    fn may_wait(&self, source: SocketAddr) -> bool {
        let knockers = &self.porch.knockers;
        let of_source = knockers.values().filter(|k| k.address.ip() == source.ip()).count();
        knockers.len() < KNOCKERS_MAX && of_source < KNOCKERS_PER_SOURCE_MAX
    }

    /// Sends somebody all that is needed to come in.
    pub(super) fn give(&mut self, now: Timestamp, key: &[u8; 32], address: SocketAddr, out: &mut Outputs) {
        if !self.porch.given.take(now, address.ip(), TOLD_PER_S.0, TOLD_PER_S.1) {
            return;
        }
        self.describe_door(To::Unicast(address), &[*key], out);
    }

    /// Sends who decides and what holds, with the secret for those given.
    pub(super) fn describe_door(&mut self, to: To, members: &[[u8; 32]], out: &mut Outputs) {
        let chain = self.porch.door.chain().to_wire().map(Packet::Chain);
        let rekey = self.rekey(members).map(Packet::Rekey);
        chain.into_iter().chain(rekey).for_each(|packet| self.post_door(to, packet, out));
    }

    /// Somebody joins in epoch 0, which is over: they are told so.
    pub(super) fn tell_outsider(&mut self, now: Timestamp, address: SocketAddr, out: &mut Outputs) {
        let speaks = self.stage == Stage::Joined && self.authority() != Authority::None && self.porch.is_keyed();
        if speaks && self.porch.told.take(now, address.ip(), TOLD_PER_S.0, TOLD_PER_S.1) {
            self.describe_door(To::Unicast(address), &[], out);
        }
    }

    fn hear_refusal(&mut self, signed: &Signed, out: &mut Outputs) -> Result<(), Refusal> {
        let conference = self.opener.keys().conference();
        let by = authentic(KIND_REFUSAL, conference, signed, &mut self.scratch)?;
        if self.porch.door.chain().authority(&by) == Authority::None {
            return Err(Refusal::Unauthorized);
        }
        let refusal = WireRefusal::decode(signed.payload.as_slice()).map_err(crate::wire::door::Error::from)?;
        if self.stage == Stage::Knocking && self.porch.asking.as_ref().is_some_and(|a| a.nonce == refusal.nonce) {
            out.events.push(Event::Door(DoorEvent::Refused { by }));
            self.stage = Stage::Left;
        }
        self.end_knocks(out, |_, knocker| knocker.nonce == refusal.nonce);
        Ok(())
    }

    /// Those who knock no more, or who are decided about.
    pub(super) fn end_knocks(&mut self, out: &mut Outputs, over: impl Fn(&ParticipantId, &Knocker) -> bool) {
        self.porch.knockers.retain(|id, knocker| {
            let ended = over(id, knocker);
            if ended {
                out.events.push(Event::Door(DoorEvent::KnockOver { id: *id }));
            }
            !ended
        });
    }

    /// Somebody's beacon tells of another door than mine: some members send what they know.
    pub(super) fn tell_door(&mut self, now: Timestamp, digest: u64, address: SocketAddr, out: &mut Outputs) {
        if digest == self.porch.door.digest() || self.porch.door.digest() == 0 || self.stage != Stage::Joined {
            return;
        }
        let seed = self.porch.door.digest().to_be_bytes();
        let rank = announcer_rank(&seed, &self.me.id, self.roster.people().map(|p| &p.id));
        if self.authority() == Authority::None && rank >= TELLERS {
            return;
        }
        if !self.porch.told.take(now, address.ip(), TOLD_PER_S.0, TOLD_PER_S.1) {
            return;
        }
        let door = &self.porch.door;
        let mut all: Vec<Packet> = door.chain().to_wire().map(Packet::Chain).into_iter().collect();
        all.extend(door.bans().cloned().map(Packet::Ban));
        all.extend(self.rekey(&[]).map(Packet::Rekey));
        all.into_iter().for_each(|packet| self.post_door(To::Unicast(address), packet, out));
    }

    /// What is due at the door.
    pub(super) fn pump_porch(&mut self, now: Timestamp, out: &mut Outputs) {
        let mut due = Vec::new();
        self.porch.repeats.retain(|(at, packet)| {
            if *at <= now {
                due.push(packet.clone());
            }
            *at > now
        });
        due.into_iter().for_each(|packet| self.post_door(To::Control, packet, out));
        self.porch.before.take_if(|(_, until)| *until <= now);
        self.end_knocks(out, |_, knocker| knocker.heard + KNOCKER_LIFE <= now);
        self.send_knock(now, out);
    }

    /// Whoever was here belongs here.
    pub(super) fn entitle(&mut self, id: ParticipantId) {
        if self.porch.entitled.len() < 2 * PARTICIPANTS_MAX {
            self.porch.entitled.insert(id);
        }
    }
}

/// 32 random bytes.
pub(super) fn draw(random: &mut Random) -> zeroize::Zeroizing<[u8; 32]> {
    let mut drawn = zeroize::Zeroizing::new([0; 32]);
    drawn.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.next_u64().to_be_bytes()));
    drawn
}
