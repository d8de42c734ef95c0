//! The door of a protected conference: its owner and a member among liars who know the passphrase, one of them a moderator.
//! Whatever they sign, pass on, knock or make up, the owner stays the owner and can still decide.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use prost::Message as _;
use roundtable::limits::{DATAGRAM_BYTES_MAX, DOOR_LEAP_MAX, KNOCKERS_MAX};
use roundtable::protocol::door::{Authority, Chain, parcel, sign};
use roundtable::protocol::keys::{EpochKeys, Identity, Secret, conference_id};
use roundtable::protocol::roster::Role;
use roundtable::protocol::seal::{Opener, Sealer};
use roundtable::protocol::session::{Arrival, Channel, DoorEvent, Event, Moment, Outputs, Session, Setup, To};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::address::{Plan, Scope, host_to_wire};
use roundtable::wire::door::{self, Ban, Charter, KIND_BAN, KIND_CHARTER, KIND_KNOCK, KIND_REFUSAL, KIND_TURN};
use roundtable::wire::door::{Knock, Packet, Refusal, Rekey, Turn};
use roundtable::wire::message::{
    Beacon, ConferenceId, Join, KIND_BEACON, KIND_JOIN, Kind, Message, ParticipantId, Pong, SignatureContext, Signed,
};
use roundtable::wire::opened::{self, Opened};

use crate::driver::{Dice, Feed, fuzz, outcome, variant};

const RANDOM: [u8; 16] = [9; 16];
const LIARS: u8 = 4;
/// Owner and member.
const VICTIMS: u8 = 2;
const MEMORY: usize = 24 << 20;
/// Datagrams that one leads to, at most.
const ECHOES_MAX: usize = 20_000;

fn address(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1 + n), 4_000))
}

fn moment(now: Timestamp) -> Moment {
    Moment { now, wall: NtpTime::from_unix(Duration::from_secs(1_735_689_600) + Duration::from_nanos(now.0)) }
}

/// Somebody who knows the passphrase.
struct Liar {
    identity: Rc<Identity>,
    address: SocketAddr,
    sid: u64,
    counter: u64,
    /// At the door, and inside with the newest keys it was given.
    porch: Sealer,
    inside: Sealer,
    /// The same, for what is heard.
    ear: Opener,
    opener: Opener,
    epoch: u32,
}

struct Gate {
    conference: ConferenceId,
    victims: Vec<(SocketAddr, Session)>,
    liars: Vec<Liar>,
    now: Timestamp,
    waiting: VecDeque<(SocketAddr, To, Vec<u8>)>,
    /// What the owner said last of who decides, and for which epoch.
    chain: Option<door::Chain>,
    turn: Option<Signed>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    knockers: BTreeSet<ParticipantId>,
    kinds: BTreeSet<u64>,
}

impl Gate {
    fn new(people: &[Rc<Identity>]) -> Self {
        let conference = conference_id(people[0].public(), &RANDOM);
        let now = Timestamp::from_millis(10_000);
        let secret = Secret::open(&conference);
        let keys = EpochKeys::first(conference, &secret);
        let liars = (VICTIMS..VICTIMS + LIARS).map(|n| {
            let (identity, sid) = (people[usize::from(n)].clone(), 100 + u64::from(n));
            let (porch, inside) = (Sealer::new(&keys, sid + 1_000), Sealer::new(&keys, sid));
            let (ear, opener) = (Opener::new(keys.clone()), Opener::new(keys.clone()));
            Liar { identity, address: address(n), sid, counter: 0, porch, inside, ear, opener, epoch: 0 }
        });
        let liars = liars.collect();
        let mut gate = Self {
            conference,
            victims: Vec::new(),
            liars,
            now,
            waiting: VecDeque::new(),
            chain: None,
            turn: None,
            sent: Vec::new(),
            knockers: BTreeSet::new(),
            kinds: BTreeSet::new(),
        };
        for n in 0..VICTIMS {
            let setup = Setup {
                conference,
                title: "Standup".into(),
                open: false,
                secret: secret.clone(),
                plan: Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).expect("a good block"),
                identity: Identity::from_seed(&[n; 32]),
                seed: [n + 50; 32],
                name: format!("person {n}"),
                role: Role::Participant,
                address: address(n),
                expected: Some(n.into()),
            };
            let mut session = Session::new(moment(now), setup);
            if n == 0 {
                session.found(RANDOM);
            }
            gate.victims.push((address(n), session));
        }
        gate.pass(Duration::from_secs(1));
        let moderator = gate.liars[0].identity.id();
        gate.act(0, |s, at, out| s.set_moderator(at, moderator, true, out));
        gate
    }

    fn act(&mut self, n: usize, act: impl FnOnce(&mut Session, Moment, &mut Outputs)) {
        let mut out = Outputs::default();
        let (source, session) = &mut self.victims[n];
        act(session, moment(self.now), &mut out);
        let source = *source;
        self.collect(source, &out);
        self.deliver();
    }

    fn collect(&mut self, source: SocketAddr, out: &Outputs) {
        for event in &out.events {
            self.kinds.insert(outcome(&variant(event)));
            let Event::Door(event) = event else { continue };
            self.kinds.insert(outcome(&variant(event)));
            match event {
                DoorEvent::Removed { .. } => assert_ne!(source, address(0), "the owner was put out"),
                DoorEvent::Knocked { id, .. } if source == address(0) => assert!(self.knockers.insert(*id)),
                DoorEvent::KnockOver { id } if source == address(0) => assert!(self.knockers.remove(id)),
                _ => {}
            }
        }
        assert!(self.knockers.len() <= KNOCKERS_MAX);
        for (to, bytes) in out.sends() {
            assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
            self.waiting.push_back((source, to, bytes.to_vec()));
        }
    }

    /// Hands round what waits, and what follows from it.
    fn deliver(&mut self) {
        let mut count = 0;
        while let Some((source, to, bytes)) = self.waiting.pop_front() {
            count += 1;
            assert!(count < ECHOES_MAX, "one thing leads to another without end");
            for n in 0..self.victims.len() {
                let (own, session) = &mut self.victims[n];
                let channel = match to {
                    To::Control => Channel::Control,
                    To::Discovery => Channel::Discovery,
                    To::Unicast(a) if a == *own => Channel::Unicast,
                    To::Unicast(_) => continue,
                };
                let (at, own) = (moment(self.now), *own);
                let mut out = Outputs::default();
                session.handle(at, Arrival { channel, source, wall: at.wall }, &bytes, &mut out);
                self.collect(own, &out);
            }
            if source == address(0) {
                self.listen(to, &bytes);
            }
        }
    }

    /// Liars learn who decides, follow into new epochs when they are given the secret, and answer Pings.
    fn listen(&mut self, to: To, bytes: &[u8]) {
        let (now, conference) = (self.now, self.conference);
        for n in 0..self.liars.len() {
            let liar = &mut self.liars[n];
            if matches!(to, To::Discovery) || matches!(to, To::Unicast(a) if a != liar.address) {
                continue;
            }
            let (mut body, owner) = (Vec::new(), address(0).ip());
            let opened = liar.opener.open(now, owner, bytes, &mut body).is_ok()
                || liar.ear.open(now, owner, bytes, &mut body).is_ok();
            if !opened {
                continue;
            }
            let (mut nonce, mut news) = (None, None);
            let (chain, turn) = (&mut self.chain, &mut self.turn);
            let read = opened::read(&body, |message| match message {
                Opened::Ping(ping) => nonce = Some(ping.nonce),
                Opened::Door(Packet::Chain(told)) => *chain = Some(told),
                Opened::Door(Packet::Rekey(rekey)) => {
                    turn.clone_from(&rekey.turn);
                    news = Some(rekey);
                }
                _ => {}
            });
            assert!(read.is_ok(), "what it sends can be read");
            if let Some(rekey) = news {
                liar.follow(conference, &rekey);
            }
            if let Some(nonce) = nonce {
                let pong = Kind::Pong(Pong { nonce, origin: 0, receive: 1, transmit: 2 });
                let datagram = sealed(&mut liar.inside, pong);
                self.waiting.push_back((liar.address, To::Unicast(address(0)), datagram));
            }
        }
    }

    fn hand(&mut self, n: usize, datagram: Vec<u8>) {
        let source = self.liars[n].address;
        if self.sent.len() < 100 {
            self.sent.push((source, datagram.clone()));
        }
        self.waiting.push_back((source, To::Control, datagram));
        self.deliver();
    }

    fn at_door(&mut self, n: usize, packet: Packet) {
        let datagram = sealed(&mut self.liars[n].porch, Kind::from(packet));
        self.hand(n, datagram);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        loop {
            let dues = self.victims.iter().enumerate().filter_map(|(n, (_, s))| Some((s.next_timeout()?, n)));
            let Some((due, n)) = dues.min().filter(|(due, _)| *due <= end) else { break };
            self.now = self.now.max(due);
            self.act(n, |session, at, out| session.timeout(at, out));
            steps += 1;
            assert!(steps < 5_000, "it asks to be called again and again");
        }
        self.now = end;
    }

    /// Anybody: liars, victims, or nobody.
    fn somebody(&self, n: u8) -> ParticipantId {
        let ids: Vec<_> =
            self.victims.iter().map(|(_, s)| s.me().id).chain(self.liars.iter().map(|l| l.identity.id())).collect();
        ids.get(usize::from(n % 16)).copied().unwrap_or(ParticipantId([n; 16]))
    }

    /// Near what is known, or anywhere.
    fn number(feed: &mut Feed<'_>) -> u64 {
        match feed.u8() {
            n @ 0..0xc0 => n.into(),
            n @ 0xc0..0xe0 => u64::from(n) + DOOR_LEAP_MAX,
            _ => feed.u64(),
        }
    }

    fn step(&mut self, feed: &mut Feed<'_>) {
        let (act, who) = (feed.u8(), feed.u8());
        let n = usize::from(who % LIARS);
        match act % 12 {
            0 => self.pass(Duration::from_millis(u64::from(feed.u16()) % 9_000)),
            1 => {
                let datagram = self.liars[n].join(self.conference, act & 0x40 == 0);
                self.hand(n, datagram);
            }
            // A chain of its own making, on top of the one that holds, or as it is with bytes changed.
            2 | 3 => self.chain(n, act, feed),
            4 => {
                let ban = Ban { member: self.somebody(feed.u8()).0.to_vec(), lifted: act & 0x10 != 0 };
                let number = Self::number(feed);
                let signed = sign(&self.liars[n].identity, KIND_BAN, self.conference, number, &ban);
                self.at_door(n, Packet::Ban(signed));
            }
            5 => self.turn(n, act, feed),
            6 | 7 => {
                let datagram = self.liars[n].knock(self.conference, act, feed);
                self.hand(n, datagram);
            }
            8 => {
                let nonce = if act & 0x10 == 0 { u64::from(feed.u8()) } else { feed.u64() };
                let signed = sign(&self.liars[n].identity, KIND_REFUSAL, self.conference, nonce, &Refusal { nonce });
                self.at_door(n, Packet::Refusal(signed));
            }
            // Any bytes, signed as anything.
            9 => {
                let signed = Signed {
                    signer: self.liars[n].identity.public().to_vec(),
                    counter: feed.u64(),
                    payload: feed.bytes(usize::from(act)).to_vec(),
                    signature: feed.bytes(64).to_vec(),
                };
                let packet = match who >> 4 {
                    0..4 => Packet::Ban(signed),
                    4..8 => Packet::Knock(signed),
                    8..12 => Packet::Refusal(signed),
                    _ => Packet::Rekey(Rekey {
                        turn: Some(signed),
                        ephemeral: feed.bytes(32).to_vec(),
                        boxes: feed.bytes(112).to_vec(),
                    }),
                };
                self.at_door(n, packet);
            }
            10 => {
                let Some((source, mut datagram)) = self.sent.get(usize::from(feed.u8())).cloned() else { return };
                let at = usize::from(feed.u8()) % datagram.len().max(1);
                datagram.iter_mut().skip(at).take(1).for_each(|b| *b ^= act >> 4);
                self.waiting.push_back((source, To::Control, datagram));
                self.deliver();
            }
            _ => self.command(act, feed),
        }
    }

    fn chain(&mut self, n: usize, act: u8, feed: &mut Feed<'_>) {
        let (conference, liar) = (self.conference, self.liars[n].identity.clone());
        let Some(mut wire) = self.chain.clone() else { return };
        let after = Self::number(feed);
        let owner = if act & 0x10 == 0 { liar.id() } else { self.somebody(feed.u8()) };
        let moderators = [self.somebody(feed.u8()), liar.id()];
        let made = Chain::read(&wire, conference, &mut Vec::new());
        let made = made.and_then(|chain| chain.with(&liar, conference, after, owner, &moderators));
        match made {
            Ok(chain) if act & 0x20 == 0 => wire = chain.to_wire().expect("founded"),
            _ => {
                let moderators = moderators.iter().flat_map(|id| id.0).collect();
                let charter = Charter { number: after, owner: owner.0.to_vec(), moderators };
                let link = sign(&liar, KIND_CHARTER, conference, after, &charter);
                wire.links.truncate(usize::from(act >> 6));
                wire.links.push(link);
            }
        }
        self.at_door(n, Packet::Chain(wire));
    }

    fn turn(&mut self, n: usize, act: u8, feed: &mut Feed<'_>) {
        let (conference, liar) = (self.conference, self.liars[n].identity.clone());
        let random = [feed.u8(); 32];
        let epoch = Self::number(feed) as u32;
        let commitment = if act & 0x10 == 0 { parcel::commitment(conference, &random).to_vec() } else { Vec::new() };
        let turn = Turn { epoch, commitment, removed: feed.bytes(usize::from(act >> 5) * 4).to_vec() };
        let signed = match &self.turn {
            Some(turn) if act & 0x80 != 0 => turn.clone(),
            _ => sign(&liar, KIND_TURN, conference, epoch.into(), &turn),
        };
        let ephemeral = Identity::from_seed(&[feed.u8(); 32]);
        let seal = |s: &(SocketAddr, Session)| {
            let seed = if s.0 == address(0) { 0 } else { 1 };
            parcel::seal(conference, &ephemeral, Identity::from_seed(&[seed; 32]).public(), &random)
        };
        let boxes = self.victims.iter().filter_map(seal).flatten().collect();
        self.at_door(n, Packet::Rekey(Rekey { turn: Some(signed), ephemeral: ephemeral.public().to_vec(), boxes }));
    }

    /// The owner decides something, or the member tries.
    fn command(&mut self, act: u8, feed: &mut Feed<'_>) {
        let (whom, by) = (feed.u8(), usize::from(feed.u8() & 1));
        let id = self.somebody(whom);
        let knocker = self.knockers.iter().nth(usize::from(whom) % KNOCKERS_MAX).copied().unwrap_or(id);
        self.act(by, |session, at, out| match act >> 4 {
            0..=2 => session.lock(at, true, out),
            3 | 4 => session.lock(at, false, out),
            5 | 6 => session.kick(at, id, out),
            7 | 8 => session.admit(at, knocker, out),
            9 | 10 => session.refuse(at, knocker, out),
            11 | 12 => session.set_moderator(at, id, true, out),
            13 => session.set_moderator(at, id, false, out),
            _ => session.timeout(at, out),
        });
    }
}

impl Liar {
    fn signed(&mut self, conference: ConferenceId, kind: u8, sid: u64, epoch: u32, payload: Vec<u8>) -> Signed {
        self.counter += 1;
        let (signer, counter) = (self.identity.id(), self.counter);
        let context = SignatureContext { kind, conference, epoch, signer, sid, counter };
        let signature = self.identity.sign(&context, &payload, &mut Vec::new()).to_vec();
        Signed { signer: self.identity.public().to_vec(), counter, payload, signature }
    }

    /// Is here, or comes in.
    fn join(&mut self, conference: ConferenceId, beacon: bool) -> Vec<u8> {
        let (v4, address6) = host_to_wire(self.address.ip());
        let port = self.address.port().into();
        let here = Beacon { name: "liar".into(), joined: 1, address: v4, address6, port, ..Beacon::default() };
        let (sid, epoch) = (self.sid, self.epoch);
        let kind = if beacon {
            Kind::Beacon(self.signed(conference, KIND_BEACON, sid, epoch, here.encode_to_vec()))
        } else {
            let join = Join { nonce: 7, beacon: Some(here), known: Vec::new() };
            Kind::Join(self.signed(conference, KIND_JOIN, sid, epoch, join.encode_to_vec()))
        };
        sealed(&mut self.inside, kind)
    }

    fn knock(&mut self, conference: ConferenceId, act: u8, feed: &mut Feed<'_>) -> Vec<u8> {
        let (v4, address6) = host_to_wire(self.address.ip());
        let port = if act & 0x80 == 0 { self.address.port().into() } else { feed.u16().into() };
        let (tries, inside) = (u32::from(act >> 5), act & 0x10 != 0);
        let knock = Knock { nonce: feed.u8().into(), name: feed.text(), address: v4, port, tries, inside, address6 };
        let signed = self.signed(conference, KIND_KNOCK, self.porch.sid(), 0, knock.encode_to_vec());
        sealed(&mut self.porch, Kind::from(Packet::Knock(signed)))
    }

    /// Goes on with the keys of another epoch, if it was given them.
    fn follow(&mut self, conference: ConferenceId, rekey: &Rekey) {
        let Some(turn) = rekey.turn.as_ref().and_then(|signed| Turn::parse(&signed.payload).ok()) else { return };
        let commitment: Result<[u8; 16], _> = turn.commitment.as_slice().try_into();
        let random = match (commitment, rekey.box_for(&self.identity.id()), rekey.ephemeral.as_slice().try_into()) {
            (Ok(commitment), Some(sealed), Ok(from)) => {
                parcel::open(conference, &self.identity, &from, &commitment, sealed).map(|random| random.to_vec())
            }
            (Err(_), ..) => Some(Vec::new()),
            _ => None,
        };
        if let Some(random) = random.filter(|_| turn.epoch != self.epoch) {
            let keys = EpochKeys::of(conference, &Secret::open(&conference), turn.epoch, &random);
            (self.epoch, self.sid) = (turn.epoch, self.sid + 10);
            (self.inside, self.opener) = (Sealer::new(&keys, self.sid), Opener::new(keys));
        }
    }
}

fn sealed(sealer: &mut Sealer, kind: Kind) -> Vec<u8> {
    let (mut body, mut datagram) = (Vec::new(), Vec::new());
    Message { kind: Some(kind) }.write_body(&mut body);
    sealer.seal(&body, &mut datagram);
    datagram
}

#[test]
fn the_door_among_liars() {
    let people: Vec<_> = (0..VICTIMS + LIARS).map(|n| Rc::new(Identity::from_seed(&[n; 32]))).collect();
    // All come in; the moderator succeeds, bans and turns as far ahead as numbers go; the owner locks; some knock, are let in
    // or refused, kicked.
    let far = [0xff; 9];
    let mut takeover: Vec<u8> = vec![1, 0, 1, 1, 1, 2, 0, 0, 1, 0];
    takeover.extend([2, 0]);
    takeover.extend(far);
    takeover.extend([1, 4, 0, 3]);
    takeover.extend(far);
    takeover.extend([5, 0, 1]);
    takeover.extend(far);
    takeover.extend([7, 11, 0, 0, 0, 15, 10, 0, 0, 2, 0]);
    let mut visits: Vec<u8> = vec![1, 0, 1, 1, 0, 0, 1, 0, 11, 0, 0, 0, 0, 0, 1, 0];
    for who in 0..LIARS {
        visits.extend([6, who, who, 2, b'h', b'i']);
    }
    visits.extend([0x7b, 0, 0, 0, 0x9b, 0, 1, 0, 0, 0, 4, 0, 0x5b, 0, 4, 0, 0, 0, 9, 0, 0x4b, 0, 0, 0]);
    visits.extend([8, 0, 1, 10, 0, 2, 3, 0, 0, 8, 0]);
    let mut dice = Dice(11);
    let chance: Vec<u8> = (0..600).map(|_| dice.next() as u8).collect();
    fuzz("door", MEMORY, vec![takeover, visits, chance], |bytes| {
        let (mut gate, mut feed) = (Gate::new(&people), Feed(bytes));
        while !feed.is_empty() {
            gate.step(&mut feed);
        }
        gate.pass(Duration::from_secs(3));
        for _ in 0..2 {
            let owner = &gate.victims[0].1;
            assert_eq!((owner.authority(), owner.is_finished()), (Authority::Owner, false));
            let on = !owner.is_locked();
            gate.act(0, |s, at, out| s.lock(at, on, out));
            assert_eq!(gate.victims[0].1.is_locked(), on, "the owner can decide no more");
        }
        let c = gate.victims[0].1.counters();
        let some = [c.malformed, c.forged, c.stale, c.unauthorized, c.excess, c.throttled, c.replayed].map(|n| n > 0);
        outcome(&(some, gate.victims[1].1.is_finished())).wrapping_add(gate.kinds.iter().fold(0, |a, b| a ^ b))
    });
}
