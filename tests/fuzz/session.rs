//! A member of an open conference among liars who know its key: whatever they send, well-formed or not, authentic or
//! not, the roster stays within its bounds and what it tells adds up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use prost::Message as _;
use roundtable::limits::{CAMERA_TEXT_BYTES_MAX, DATAGRAM_BYTES_MAX, NAME_BYTES_MAX, PARTICIPANTS_MAX, SLOTS_MAX};
use roundtable::protocol::chat::envelope::Speaker;
use roundtable::protocol::chat::{Content, Signer as _};
use roundtable::protocol::keys::{EpochKeys, Identity, Secret};
use roundtable::protocol::roster::{Camera, Microphone, Person, Role, StreamInfo};
use roundtable::protocol::seal::{Opener, Sealer};
use roundtable::protocol::session::{Arrival, Channel, Counters, Event, Moment, Outputs, Session, Setup, To};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::address::{Plan, Scope, host_to_wire};
use roundtable::wire::chat::{Chat, Heartbeat};
use roundtable::wire::discovery::Query;
use roundtable::wire::interest::{Interest, Report};
use roundtable::wire::message::{
    Beacon, Bye, ConferenceId, Join, KIND_BEACON, KIND_BYE, KIND_JOIN, Kind, Message, ParticipantId, Ping, Pong,
    SignatureContext, Signed, Stream,
};
use roundtable::wire::opened::{self, Opened};

use crate::driver::{Dice, Feed, fuzz, outcome, variant};

const CONFERENCE: ConferenceId = ConferenceId([42; 16]);
const LIARS: u8 = 6;
const PORT: u16 = 4_000;
/// What a session with a handful of people may need, and what is in its mailbag.
const MEMORY: usize = 24 << 20;

fn keys() -> EpochKeys {
    EpochKeys::first(CONFERENCE, &Secret::open(&CONFERENCE))
}

fn plan() -> Plan {
    Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).expect("a good block")
}

/// Somebody who knows the conference's key.
struct Liar {
    identity: Rc<Identity>,
    sealer: Sealer,
    sid: u64,
    counter: u64,
    address: SocketAddr,
    opener: Opener,
}

impl Liar {
    fn new(n: u8, identity: Rc<Identity>, sid: u64) -> Self {
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2 + n), PORT));
        Self { identity, sealer: Sealer::new(&keys(), sid), sid, counter: 0, address, opener: Opener::new(keys()) }
    }

    fn signed(&mut self, kind: u8, payload: Vec<u8>) -> Signed {
        self.counter += 1;
        let (signer, sid, counter) = (self.identity.id(), self.sid, self.counter);
        let context = SignatureContext { kind, conference: CONFERENCE, epoch: 0, signer, sid, counter };
        let signature = self.identity.sign(&context, &payload, &mut Vec::new()).to_vec();
        Signed { signer: self.identity.public().to_vec(), counter, payload, signature }
    }

    fn sealed(&mut self, body: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        self.sealer.seal(body, &mut datagram);
        datagram
    }

    fn message(&mut self, kind: Kind) -> Vec<u8> {
        let mut body = Vec::new();
        Message { kind: Some(kind) }.write_body(&mut body);
        self.sealed(&body)
    }
}

struct Table {
    victim: Session,
    liars: Vec<Liar>,
    now: Timestamp,
    /// Everything sent to the victim so far, as far as it is remembered.
    sent: Vec<(Channel, SocketAddr, Vec<u8>)>,
    /// Who is here, by what the victim told.
    present: BTreeMap<ParticipantId, u64>,
    kinds: BTreeSet<u64>,
    silent: bool,
}

impl Table {
    fn new(identities: &[Rc<Identity>]) -> Self {
        let now = Timestamp::from_millis(10_000);
        let setup = Setup {
            conference: CONFERENCE,
            title: "Standup".into(),
            open: true,
            secret: Secret::open(&CONFERENCE),
            plan: plan(),
            identity: Identity::from_seed(&[99; 32]),
            seed: [5; 32],
            name: "Ada".into(),
            role: Role::Participant,
            address: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), PORT)),
            expected: Some(0),
        };
        let liars = identities.iter().zip(0..).map(|(i, n)| Liar::new(n, i.clone(), 100 + u64::from(n))).collect();
        let mut table = Self {
            victim: Session::new(moment(now), setup),
            liars,
            now,
            sent: Vec::new(),
            present: BTreeMap::new(),
            kinds: BTreeSet::new(),
            silent: false,
        };
        table.act(|session, at, out| {
            let stream = StreamInfo::voice(1);
            session.set_streams(at, &[stream], out);
        });
        table.pass(Duration::from_secs(1));
        table
    }

    fn act(&mut self, act: impl FnOnce(&mut Session, Moment, &mut Outputs)) {
        let mut out = Outputs::default();
        act(&mut self.victim, moment(self.now), &mut out);
        self.look_at(&out);
        for (to, bytes) in out.sends().collect::<Vec<_>>() {
            self.answer(to, bytes);
        }
    }

    /// What the victim tells adds up.
    fn look_at(&mut self, out: &Outputs) {
        for event in &out.events {
            self.kinds.insert(outcome(&variant(event)));
            match event {
                Event::PersonJoined(person) => {
                    within_bounds(person);
                    assert!(self.present.insert(person.id, person.sid).is_none(), "came twice: {person:?}");
                }
                Event::PersonChanged(person) => {
                    within_bounds(person);
                    assert_eq!(self.present.get(&person.id), Some(&person.sid), "changed without being here");
                }
                Event::PersonLeft(person, _) => {
                    assert_eq!(self.present.remove(&person.id), Some(person.sid), "left without being here");
                }
                Event::SlotTaken(slot) => assert!(usize::from(*slot) < SLOTS_MAX),
                _ => {}
            }
        }
        let people: BTreeMap<_, _> = self.victim.people().map(|p| (p.id, p.sid)).collect();
        assert_eq!(people, self.present, "the roster is what was told of it");
        assert!(people.len() < PARTICIPANTS_MAX);
        assert!(!people.contains_key(&self.victim.me().id), "nobody is somebody else than himself");
        assert!(out.sends().all(|(_, bytes)| bytes.len() <= DATAGRAM_BYTES_MAX));
    }

    /// Liars prove that they are there, unless they keep silent.
    fn answer(&mut self, to: To, bytes: &[u8]) {
        let To::Unicast(address) = to else { return };
        let Some(liar) = self.liars.iter_mut().find(|l| l.address == address) else { return };
        let (mut body, mut nonce) = (Vec::new(), None);
        let victim = [10, 0, 0, 1].into();
        if self.silent || liar.opener.open(self.now, victim, bytes, &mut body).is_err() {
            return;
        }
        let read = opened::read(&body, |message| {
            if let Opened::Ping(ping) = message {
                nonce = Some(ping.nonce);
            }
        });
        assert!(read.is_ok(), "what it sends can be read");
        if let Some(nonce) = nonce {
            let datagram = liar.message(Kind::Pong(Pong { nonce, origin: 0, receive: 1, transmit: 2 }));
            self.hand(Channel::Unicast, address, datagram);
        }
    }

    fn hand(&mut self, channel: Channel, source: SocketAddr, datagram: Vec<u8>) {
        let before = self.victim.counters();
        let takes_part = !self.victim.is_finished();
        let arrival = Arrival { channel, source, wall: moment(self.now).wall };
        self.act(|session, at, out| session.handle(at, arrival, &datagram, out));
        let after = self.victim.counters();
        if channel != Channel::Discovery && takes_part && after != before {
            // Answers to its Pings come while it is worked on, so that more than one may count.
            assert!(arrivals(&after) > arrivals(&before), "{before:?}\n{after:?}");
        }
        assert!(after.refused() >= before.refused());
        if self.sent.len() < 200 {
            self.sent.push((channel, source, datagram));
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(due) = self.victim.next_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.act(|session, at, out| session.timeout(at, out));
            steps += 1;
            assert!(steps < 3_000, "it asks to be called again and again");
        }
        self.now = end;
    }

    fn step(&mut self, feed: &mut Feed<'_>) {
        let (act, who) = (feed.u8(), feed.u8());
        let n = usize::from(who % LIARS);
        let address = self.liars[n].address;
        let control = if who & 0x80 == 0 { Channel::Control } else { Channel::Unicast };
        match act % 16 {
            0 => self.pass(Duration::from_millis(u64::from(feed.u16()) % 9_000)),
            1 | 2 => {
                let beacon = beacon(feed, address);
                let mut signed = self.liars[n].signed(KIND_BEACON, beacon.encode_to_vec());
                if beacon.since > 0 && act & 0x80 == 0 {
                    signed.signer.clear();
                }
                if act & 0xc0 == 0xc0 {
                    self.liars[n].sealer.reach(feed.u64() >> 8);
                }
                let datagram = self.liars[n].message(Kind::Beacon(signed));
                self.hand(control, address, datagram);
            }
            3 => {
                let known = feed.bytes(2 * usize::from(act >> 4)).to_vec();
                let join = Join { nonce: feed.u64(), beacon: Some(beacon(feed, address)), known };
                let signed = self.liars[n].signed(KIND_JOIN, join.encode_to_vec());
                let datagram = self.liars[n].message(Kind::Join(signed));
                self.hand(control, address, datagram);
            }
            4 => {
                let signed = self.liars[n].signed(KIND_BYE, Bye { reason: 0 }.encode_to_vec());
                let datagram = self.liars[n].message(Kind::Bye(signed));
                self.hand(control, address, datagram);
            }
            5 if act & 0x20 != 0 => {
                let bytes = feed.bytes(usize::from(who) / 3).to_vec();
                let kind = match act & 0x40 {
                    0 => Kind::Interest(Interest { layers: bytes }),
                    _ => Kind::Report(Report { rows: bytes }),
                };
                let datagram = self.liars[n].message(kind);
                self.hand(control, address, datagram);
            }
            5 => {
                let datagram = self.liars[n].message(Kind::Ping(Ping { nonce: feed.u64(), origin: 0 }));
                self.hand(control, address, datagram);
            }
            // Any bytes as a signed message, and as a body.
            6 => {
                let kind = [KIND_BEACON, KIND_JOIN, KIND_BYE][usize::from(who >> 4) % 3];
                let signed = self.liars[n].signed(kind, feed.bytes(usize::from(act)).to_vec());
                let kinds = [Kind::Beacon, Kind::Join, Kind::Bye];
                let datagram = self.liars[n].message(kinds[usize::from(who >> 4) % 3](signed));
                self.hand(control, address, datagram);
            }
            7 => {
                let body = feed.bytes(usize::from(act) * 5).to_vec();
                let datagram = self.liars[n].sealed(&body);
                self.hand(control, address, datagram);
            }
            // What was sent before, as it was or altered, from where it came or from elsewhere.
            8 | 9 => {
                let Some((channel, source, mut datagram)) = self.sent.get(usize::from(feed.u8())).cloned() else {
                    return;
                };
                for _ in 0..act >> 6 {
                    let at = usize::from(feed.u8()) % datagram.len().max(1);
                    datagram.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << (act % 8));
                }
                self.hand(channel, if who & 1 == 0 { source } else { address }, datagram);
            }
            10 => self.speak(n, feed),
            11 => {
                let mut heartbeat = Heartbeat { run: 1, highest: feed.u16().into(), acks: Vec::new() };
                (0..act >> 5).for_each(|_| heartbeat.push_ack(feed.u64() as u32, feed.u8().into()));
                let datagram = self.liars[n].message(Kind::Heartbeat(heartbeat));
                self.hand(control, address, datagram);
            }
            12 => {
                let query = Query { unicast: who & 0x40 == 0, nonce: feed.u64() };
                self.hand(Channel::Discovery, address, query.to_bytes().to_vec());
            }
            13 => self.command(act, feed),
            // Comes back as somebody new: another session of the same identity.
            14 => {
                let identity = self.liars[n].identity.clone();
                self.liars[n] = Liar::new(n as u8, identity, feed.u64());
            }
            _ => self.silent = act & 0x10 != 0,
        }
    }

    /// A piece of a line, signed as it should be, with anything in it.
    fn speak(&mut self, n: usize, feed: &mut Feed<'_>) {
        let liar = &mut self.liars[n];
        let pieces = u32::from(feed.u8() % 10);
        let piece = Chat {
            run: u32::from(feed.u8() % 3),
            number: u32::from(feed.u16() % 600),
            time: feed.u64(),
            wall: feed.u64(),
            piece: u32::from(feed.u8() % 10),
            pieces,
            bytes: {
                let count = feed.u8();
                feed.bytes(count.into()).to_vec()
            },
        };
        let (identity, sid, counter) = (&*liar.identity, liar.sid, &mut liar.counter);
        let mut speaker = Speaker { identity, conference: CONFERENCE, epoch: 0, sid, counter };
        let original = speaker.sign(piece.encode_to_vec());
        let datagram = liar.message(Kind::Chat(original));
        let address = liar.address;
        self.hand(Channel::Control, address, datagram);
    }

    fn command(&mut self, act: u8, feed: &mut Feed<'_>) {
        let text = feed.text();
        let someone = self.liars[0].identity.id();
        self.act(|session, at, out| match act >> 4 {
            0..=3 => session.say(at, Content::text(text), &[], out),
            4 => session.say(at, Content::text(text), &[someone], out),
            5..=7 => session.set_name(at, &text, out),
            8 | 9 => session.set_microphone(at, Microphone::Muted, out),
            10 => session.set_microphone(at, Microphone::On, out),
            11 => session.set_camera(at, Camera::Failed(text), out),
            12 => session.set_streams(at, &[], out),
            13 => session.set_address(at, SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), PORT + 1)), out),
            14 => session.timeout(at, out),
            _ => session.leave(at, out),
        });
    }
}

fn within_bounds(person: &Person) {
    assert!(person.typed_name.len() <= NAME_BYTES_MAX && person.name.len() <= NAME_BYTES_MAX + 16);
    assert!(person.slot.is_none_or(|slot| usize::from(slot) < SLOTS_MAX));
    assert!(person.streams.len() <= 5);
    assert!(!matches!(&person.camera, Camera::Failed(why) if why.len() > CAMERA_TEXT_BYTES_MAX));
}

/// Datagrams of the sealed channels that were looked at: each counts once, here.
fn arrivals(c: &Counters) -> u64 {
    c.opened + c.own + c.foreign + c.replayed + c.not_authentic + c.throttled
}

fn beacon(feed: &mut Feed<'_>, address: SocketAddr) -> Beacon {
    let flags = feed.u8();
    let stream = |feed: &mut Feed<'_>| Stream {
        kind: u32::from(feed.u8() % 7),
        ssrc: feed.u8().into(),
        width: feed.u16().into(),
        height: feed.u16().into(),
        fps_milli: feed.u16().into(),
        position: feed.u64(),
        active: flags & 0x80 != 0,
        repair_ssrc: feed.u8().into(),
        repair_position: feed.u64() >> (feed.u8() % 64),
    };
    let (address_v4, address6) = host_to_wire(address.ip());
    Beacon {
        name: feed.text(),
        joined: feed.u64(),
        role: u32::from(flags & 1),
        slot: u32::from(feed.u8() % 130),
        microphone: u32::from(flags >> 1 & 3),
        camera: u32::from(flags >> 3 & 3),
        camera_text: if flags & 0x20 == 0 { String::new() } else { feed.text() },
        streams: (0..flags >> 6).map(|_| stream(feed)).collect(),
        address: address_v4,
        address6,
        reach: u32::from(flags) % 4,
        direct: feed.u16().into(),
        single: flags & 64 != 0,
        port: address.port().into(),
        suffix: u32::from(feed.u8() % 4),
        attention: u32::from(flags >> 2 & 7),
        answers: Vec::new(),
        wireless: flags & 0x40 != 0,
        door: if flags & 4 == 0 { 0 } else { feed.u64() },
        chat: (flags & 0x20 == 0).then(|| Heartbeat { run: 1, highest: feed.u8().into(), acks: Vec::new() }),
        since: if flags & 0x18 == 0x18 { feed.u8().into() } else { 0 },
        favoured: if flags & 0x50 == 0x50 { vec![9; usize::from(feed.u8())] } else { Vec::new() },
    }
}

fn moment(now: Timestamp) -> Moment {
    Moment { now, wall: NtpTime::from_unix(Duration::from_secs(1_735_689_600) + Duration::from_nanos(now.0)) }
}

#[test]
fn a_session_among_liars() {
    let identities: Vec<_> = (0..LIARS).map(|n| Rc::new(Identity::from_seed(&[n; 32]))).collect();
    // Everybody comes in, says something and leaves.
    let mut visit = Vec::new();
    for who in 0..LIARS {
        visit.extend([3, who, 0, 0, 0, 0, 0, 0, 0, who, 0x20, 1, b'a' + who, 0, 0, 0, 0, 0, 0, 0, 9, who, 0, 0, 0]);
        visit.extend([0, 0, 0, 200, 10, who, 1, 1, 0, 1]);
        visit.extend([0; 16]);
        visit.extend([0, 7, b'\x1a', 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 3, 200]);
    }
    (0..LIARS).for_each(|who| visit.extend([4, who, 0, 0, 0, 10]));
    let mut dice = Dice(9);
    let chance: Vec<u8> = (0..800).map(|_| dice.next() as u8).collect();
    fuzz("session", MEMORY, vec![visit, chance], |bytes| {
        let (mut table, mut feed) = (Table::new(&identities), Feed(bytes));
        while !feed.is_empty() {
            table.step(&mut feed);
        }
        table.silent = true;
        table.pass(Duration::from_secs(20));
        assert!(table.present.is_empty() || table.victim.is_finished(), "the silent stay: {:?}", table.present);
        let c = table.victim.counters();
        let some = [c.malformed, c.forged, c.stale, c.misplaced, c.strangers, c.excess, c.replayed].map(|n| n > 0);
        outcome(&(some, table.victim.is_finished())).wrapping_add(table.kinds.iter().fold(0, |a, b| a ^ b))
    });
}
