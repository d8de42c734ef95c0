//! What a thousand clients would send at worst, from one machine: questions, people who come and never answer, beacons,
//! requests for repair, knocks, pings and nonsense, several thousand packets a second of each. Meanwhile four people meet.
//! And what a member forges in the name of the others.
//!
//! `FLOOD_PER_S` sets how many, `TEST_SEED` which.

use crate::common::lan::{Lan, SWITCH};
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet};
use crate::common::poll;
use crate::common::random::Random;
use crate::common::sandbox::sandboxed;
use crate::hostile::open_ports;
use prost::Message as _;
use roundtable::device::clock::Clock;
use roundtable::device::net::{Dscp, Interface, ReceiveBuffer, UdpSocket};
use roundtable::pipeline::control::browse;
use roundtable::protocol::discovery::Found;
use roundtable::protocol::keys::{EpochKeys, Identity, Secret, participant_id};
use roundtable::protocol::seal::{Opener, Sealer};
use roundtable::wire::address::{Family, Scope, host_to_wire};
use roundtable::wire::chat::{Body, Chat, Content, HistoryRequest, KIND_CHAT, Nack, Original, Want};
use roundtable::wire::discovery::{Announcement, Query, write_announce};
use roundtable::wire::door::{Ban, Chain, KIND_BAN, KIND_KNOCK, Knock};
use roundtable::wire::message::{
    Beacon, Join, KIND_ANNOUNCE, KIND_BEACON, KIND_BYE, KIND_JOIN, Kind, Message, ParticipantId, Ping, Pong,
    SignatureContext, Signed,
};
use roundtable::wire::opened::{self, Opened};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NAMES: [&str; 4] = ["Ada", "Bob", "Cyd", "Dee"];
/// Four small pictures, so that there is time left for the flood on two cores.
const CAMERA: [(&str, &str); 2] = [("ROUNDTABLE_CAMERA_SIZE", "320x180"), ("ROUNDTABLE_CAMERA_FPS", "10")];
/// Packets a second, each to all four.
const PER_S: u64 = 5_000;
/// Between bursts.
const BREATH: Duration = Duration::from_millis(2);
/// Different packets made for each flood; then they come again.
const DIFFERENT: usize = 12_000;
/// How long each is watched.
const WATCHED_S: f64 = 2.5;
const SHOWN_MIN: f64 = 0.97;
/// By so much may the memory of a participant grow.
const GROWTH_MAX: u64 = 8 << 20;

#[derive(Clone, Copy, Debug)]
enum Flood {
    Discovery,
    Joins,
    Beacons,
    Chat,
    Door,
    Pings,
    Nonsense,
    Everything,
}

const FLOODS: [Flood; 8] = [
    Flood::Discovery,
    Flood::Joins,
    Flood::Beacons,
    Flood::Chat,
    Flood::Door,
    Flood::Pings,
    Flood::Nonsense,
    Flood::Everything,
];

#[test]
fn a_thousand_clients_worth_of_hostile_packets_disturbs_nobody() {
    sandboxed("flood::a_thousand_clients_worth_of_hostile_packets_disturbs_nobody", || {
        let lan = Lan::up(4);
        let program = |h: usize| {
            let mut command = lan.command(h, PROGRAM);
            command.envs(CAMERA);
            command
        };
        let mut peers = vec![Peer::start(program(1), NAMES[0], "Standup", &[])];
        peers.extend((2..=4).map(|h| Peer::join(program(h), NAMES[h - 1], "Standup", &[])));
        let all: Vec<&Peer> = peers.iter().collect();
        await_all_meet(&all);
        let mut attacker = Attacker::new(open_ports(&lan, 4).into_iter().map(SocketAddr::from).collect(), None);
        attacker.come_in(&all);
        assert_all_show(&all, WATCHED_S, SHOWN_MIN);
        let before: Vec<u64> = all.iter().map(|p| p.memory_bytes("VmRSS")).collect();
        let mut most = before.clone();
        for flood in FLOODS {
            let refused: Vec<u64> = all.iter().map(|p| refused(p)).collect();
            let packets = attacker.packets(flood);
            let (over, sent, started) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
            std::thread::scope(|scope| {
                // However the watching ends, the flood ends with it.
                let _end = EndWith(&over);
                scope.spawn(|| attacker.flood(&packets, &over, &sent));
                println!("-- {flood:?}");
                assert_all_show(&all, WATCHED_S, SHOWN_MIN);
            });
            let rate = sent.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
            let more: Vec<u64> = all.iter().zip(refused).map(|(p, before)| refused_since(p, before)).collect();
            println!("{flood:?}: {rate:.0} packets/s; refused {more:?}");
            assert!(more.iter().all(|&n| n > 500), "{flood:?}: refused {more:?}: it did not arrive, or was believed");
            for (peer, most) in all.iter().zip(&mut most) {
                *most = peer.memory_bytes("VmRSS").max(*most);
            }
        }
        attacker.go();
        for ((peer, before), most) in peers.iter().zip(before).zip(most) {
            println!("{}: {} kB before, {} kB at most", peer.name, before >> 10, most >> 10);
            assert!(most < before + GROWTH_MAX, "{} grew from {before} to {most} bytes", peer.name);
            let others: Vec<&str> = NAMES.into_iter().filter(|name| *name != peer.name).collect();
            peer.await_stats(SOON, "sees the other three and nobody else", |s| {
                let mut present = s.present();
                present.sort_unstable();
                present == others
            });
        }
    });
}

#[test]
fn what_is_forged_in_the_name_of_another_is_refused_and_counted() {
    sandboxed("flood::what_is_forged_in_the_name_of_another_is_refused_and_counted", || forge(None));
}

#[test]
fn who_has_the_passphrase_forges_nothing_either() {
    sandboxed("flood::who_has_the_passphrase_forges_nothing_either", || forge(Some("what everybody here knows")));
}

/// What Eve, who takes part, says in the name of the others, or without the right.
fn forge(passphrase: Option<&str>) {
    let lan = Lan::up(2);
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("passphrase");
    std::fs::write(&file, passphrase.unwrap_or_default()).expect("written");
    let given = ["--passphrase-file", &file.to_string_lossy()];
    let given = if passphrase.is_some() { &given[..] } else { &[] };
    let begin = if passphrase.is_some() { Peer::protect } else { Peer::start };
    let mut ada = begin(lan.command(1, PROGRAM), NAMES[0], "Standup", given);
    let mut bob = Peer::join(lan.command(2, PROGRAM), NAMES[1], "Standup", given);
    await_all_meet(&[&ada, &bob]);
    let mut eve = Attacker::new(Vec::new(), passphrase);
    eve.come_in(&[&ada, &bob]);
    let members = eve.overhear(2);
    drop((ada.drain_events(), bob.drain_events()));
    let before = [refused(&ada), refused(&bob)];
    let forgeries: Vec<Vec<u8>> = members.iter().flat_map(|(sid, key)| eve.forgeries(*sid, key)).collect();
    for bytes in &forgeries {
        eve.socket.send(eve.conference.plan.control(), bytes, Dscp::Default).expect("sent");
    }
    // What comes in one's own session counts as a packet of one's own that came back.
    let each = forgeries.len() as u64 - 2;
    for (peer, before) in [&ada, &bob].into_iter().zip(before) {
        let counted = poll(SOON, || {
            eve.tend();
            (refused(peer) >= before + each).then_some(())
        });
        assert!(counted.is_some(), "{}: {} refused, {before} before, {each} forged", peer.name, refused(peer));
    }
    for peer in [&mut ada, &mut bob] {
        let told = peer.drain_events();
        let harm = |e: &serde_json::Value| {
            let moves = e["event"] == "person" && (e["state"] == "left" || e["state"] == "lost");
            moves || ["message", "removed", "locked", "displaced"].iter().any(|what| e["event"] == *what)
        };
        assert!(!told.iter().any(harm), "{}: {told:?}", peer.name);
        assert!(peer.runs());
    }
    assert_all_show(&[&ada, &bob], WATCHED_S, SHOWN_MIN);
    assert!(ada.stats().is_some_and(|s| s.present().contains(&"Bob".to_owned())));
    assert!(bob.stats().is_some_and(|s| s.present().contains(&"Ada".to_owned())));
}

struct EndWith<'a>(&'a AtomicBool);

impl Drop for EndWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn refused(peer: &Peer) -> u64 {
    let rejected = peer.stats().map(|s| s.0["rejected"].clone()).unwrap_or_default();
    ["control", "media"].iter().filter_map(|what| rejected[what].as_u64()).sum()
}

fn refused_since(peer: &Peer, before: u64) -> u64 {
    refused(peer) - before
}

/// Somebody with an identity and a session, who says anything.
struct Liar {
    identity: Identity,
    sealer: Sealer,
    counter: u64,
}

type Packet = (SocketAddr, Vec<u8>);

/// The attacker's machine. It is a member of the conference as well, so that what it says in the chat is looked at.
struct Attacker {
    clock: Clock,
    conference: Found,
    keys: EpochKeys,
    socket: UdpSocket,
    buffer: ReceiveBuffer,
    opener: Opener,
    eve: Liar,
    random: Random,
    /// Everything open at the others.
    ports: Vec<SocketAddr>,
    beaconed: Instant,
}

impl Attacker {
    fn new(ports: Vec<SocketAddr>, passphrase: Option<&str>) -> Self {
        let (clock, interface) = (Clock::system(), Interface::choose(Some(&SWITCH.to_string())).expect("the switch"));
        let found = browse(&interface, &clock, (Duration::ZERO, SOON), |all| !all.is_empty()).expect("sockets");
        let conference = found.into_iter().next().expect("the conference is announced");
        let secret = match passphrase {
            Some(words) => Secret::from_passphrase(words, &conference.id).expect("memory"),
            None => Secret::open(&conference.id),
        };
        let keys = EpochKeys::first(conference.id, &secret);
        let mut random = Random::seeded();
        let eve = Liar::new(&keys, &mut random);
        Self {
            clock,
            conference,
            socket: UdpSocket::unicast(&interface, 1).expect("a port"),
            buffer: ReceiveBuffer::new(),
            opener: Opener::new(keys.clone()),
            keys,
            eve,
            random,
            ports,
            beaconed: Instant::now(),
        }
    }

    /// Becomes a member.
    fn come_in(&mut self, peers: &[&Peer]) {
        let beacon = self.beacon("Eve");
        let join = Join { nonce: 1, beacon: Some(beacon), known: Vec::new() };
        let bytes = self.eve.say(&self.conference, KIND_JOIN, join.encode_to_vec());
        let control = self.conference.plan.control();
        self.socket.send(control, &bytes, Dscp::Default).expect("sent");
        let known = || peers.iter().all(|p| p.stats().is_some_and(|s| s.present().iter().any(|n| n == "Eve")));
        let in_now = poll(SOON, || {
            self.tend();
            known().then_some(())
        });
        assert!(in_now.is_some(), "whoever answers is a member of an open conference");
    }

    fn go(&mut self) {
        let bye = self.eve.say(&self.conference, KIND_BYE, Vec::new());
        let _ = self.socket.send(self.conference.plan.control(), &bye, Dscp::Default);
    }

    fn beacon(&self, name: &str) -> Beacon {
        let own = self.socket.local_addr();
        let (address, port) = (host_to_wire(own.ip()).0, own.port().into());
        Beacon { name: name.into(), joined: self.clock.wall().0, address, port, ..Beacon::default() }
    }

    /// Goes on being a member: answers who asks, and tells of itself.
    fn tend(&mut self) {
        while self.socket.receive(&mut self.buffer).is_ok_and(|n| n > 0) {
            for datagram in self.buffer.datagrams() {
                let (mut body, mut asked) = (Vec::new(), None);
                if self.opener.open(self.clock.now(), datagram.source.ip(), datagram.bytes, &mut body).is_ok() {
                    let _ = opened::read(&body, |m| {
                        if let Opened::Ping(ping) = m {
                            asked = Some(ping)
                        }
                    });
                }
                if let Some(Ping { nonce, origin }) = asked {
                    let (receive, transmit) = (self.clock.wall().0, self.clock.wall().0);
                    let pong = self.eve.seal(Kind::Pong(Pong { nonce, origin, receive, transmit }));
                    let _ = self.socket.send(datagram.source, &pong, Dscp::Default);
                }
            }
        }
        if self.beaconed.elapsed() > Duration::from_secs(1) {
            self.beaconed = Instant::now();
            let beacon = self.beacon("Eve").encode_to_vec();
            let bytes = self.eve.say(&self.conference, KIND_BEACON, beacon);
            let _ = self.socket.send(self.conference.plan.control(), &bytes, Dscp::Default);
        }
    }

    /// Sends them again and again, at an even pace, until it is over.
    fn flood(&mut self, packets: &[Packet], over: &AtomicBool, sent: &AtomicU64) {
        let per_s = std::env::var("FLOOD_PER_S").ok().and_then(|n| n.parse().ok()).unwrap_or(PER_S);
        let (start, mut count) = (Instant::now(), 0);
        let mut packets = packets.iter().cycle();
        while !over.load(Ordering::Relaxed) {
            let due = start.elapsed().as_micros() as u64 * per_s / 1_000_000;
            while count < due {
                count += 1;
                if let Some((to, bytes)) = packets.next() {
                    // A full queue is no reason to stop.
                    let _ = self.socket.send(*to, bytes, Dscp::Default);
                }
            }
            sent.store(count, Ordering::Relaxed);
            self.tend();
            std::thread::sleep(BREATH);
        }
    }

    /// Sessions and keys of so many others, as their beacons tell anybody who can open them.
    fn overhear(&mut self, members: usize) -> BTreeMap<u64, Vec<u8>> {
        let interface = Interface::choose(Some(&SWITCH.to_string())).expect("the switch");
        let control = UdpSocket::multicast(self.conference.plan.control(), &interface).expect("the control group");
        let (mut heard, mut opener, mut buffer) =
            (BTreeMap::new(), Opener::new(self.keys.clone()), ReceiveBuffer::new());
        let own = self.eve.identity.public().to_vec();
        let all = poll(SOON, || {
            self.tend();
            while control.receive(&mut buffer).is_ok_and(|n| n > 0) {
                for datagram in buffer.datagrams() {
                    let mut body = Vec::new();
                    let opened = opener.open(self.clock.now(), datagram.source.ip(), datagram.bytes, &mut body);
                    let Ok(header) = opened else { continue };
                    let _ = opened::read(&body, |m| {
                        if let Opened::Signed(KIND_BEACON, signed) = m
                            && signed.signer != own
                        {
                            heard.insert(header.sid, signed.signer.to_vec());
                        }
                    });
                }
            }
            (heard.len() >= members).then_some(())
        });
        assert!(all.is_some(), "{} of {members} members were overheard", heard.len());
        heard
    }

    /// A goodbye, a line and the same identity elsewhere, all in the name of the member with session `sid` and key
    /// `key`; then that member put out by somebody without the right.
    fn forgeries(&mut self, sid: u64, key: &[u8]) -> Vec<Vec<u8>> {
        let key: [u8; 32] = key.try_into().expect("a key");
        let mut in_their_session =
            Liar { sealer: Sealer::new(&self.keys, sid), ..Liar::new(&self.keys, &mut self.random) };
        in_their_session.counter = 1_000_000;
        // A number not used yet, and not so high that theirs would count as old.
        (0..500).for_each(|_| drop(in_their_session.seal(Kind::Ping(Ping::default()))));
        let mut elsewhere = Liar::new(&self.keys, &mut self.random);
        let claimed = |signed: Signed| Signed { signer: key.to_vec(), ..signed };
        let bye = claimed(in_their_session.signed(&self.conference, KIND_BYE, Vec::new()));
        let content = Content { name: "Ada".into(), to: None, body: Some(Body::Text("lies".into())) };
        let line = Chat { run: 1, number: 1, time: 1, wall: 1, piece: 0, pieces: 1, bytes: content.encode_to_vec() };
        let signed = claimed(self.eve.signed(&self.conference, KIND_CHAT, line.encode_to_vec()));
        let Signed { signer, counter, payload, signature } = signed;
        let line = Kind::Chat(Original { signer, counter, payload, signature, epoch: 0, sid });
        let join = Join { nonce: 1, beacon: Some(self.beacon("Ada")), known: Vec::new() };
        let join = claimed(elsewhere.signed(&self.conference, KIND_JOIN, join.encode_to_vec()));
        let ban = Ban { member: participant_id(&key).0.to_vec(), lifted: false };
        let kick = self.eve.signed(&self.conference, KIND_BAN, ban.encode_to_vec());
        vec![
            in_their_session.seal(Kind::Bye(bye)),
            self.eve.seal(line),
            elsewhere.seal(Kind::Join(join)),
            self.eve.seal(Kind::Kick(kick)),
        ]
    }

    fn packets(&mut self, flood: Flood) -> Vec<Packet> {
        (0..DIFFERENT).map(|n| self.packet(flood, n)).collect()
    }

    fn packet(&mut self, flood: Flood, n: usize) -> Packet {
        let control = self.conference.plan.control();
        match flood {
            Flood::Discovery if n.is_multiple_of(2) => {
                let query = Query { unicast: n.is_multiple_of(4), nonce: self.random.next() };
                (Scope::Link.discovery(Family::V4), query.to_bytes().to_vec())
            }
            Flood::Discovery => (Scope::Link.discovery(Family::V4), self.announcement()),
            // Each somebody else.
            Flood::Joins => {
                let join = Join { nonce: self.random.next(), beacon: Some(self.beacon("Mal")), known: Vec::new() };
                let mut liar = Liar::new(&self.keys, &mut self.random);
                (control, liar.say(&self.conference, KIND_JOIN, join.encode_to_vec()))
            }
            // In turn: a member's own, changed each time; somebody's nobody knows; one that another signed.
            Flood::Beacons => {
                let beacon = Beacon { attention: n as u32 & 3, ..self.beacon("Eve") }.encode_to_vec();
                if n.is_multiple_of(3) {
                    return (control, self.eve.say(&self.conference, KIND_BEACON, beacon));
                }
                let mut liar = Liar::new(&self.keys, &mut self.random);
                let mut signed = liar.signed(&self.conference, KIND_BEACON, beacon);
                signed.signature[n % 64] ^= u8::from(n % 3 == 1);
                (control, liar.seal(Kind::Beacon(signed)))
            }
            Flood::Chat => (control, self.request(n)),
            Flood::Door if n.is_multiple_of(4) => {
                let [founder, random] = [self.random.bytes::<32>().to_vec(), self.random.bytes::<16>().to_vec()];
                let chain = Chain { founder, random, links: vec![] };
                (control, self.eve.seal(Kind::Chain(chain)))
            }
            Flood::Door => {
                let own = self.socket.local_addr();
                let (address, port, nonce) = (host_to_wire(own.ip()).0, own.port().into(), self.random.next());
                let knock = Knock {
                    nonce,
                    name: "Mal".into(),
                    address,
                    port,
                    tries: 9,
                    inside: n.is_multiple_of(2),
                    address6: vec![],
                };
                let mut liar = Liar::new(&self.keys, &mut self.random);
                let signed = liar.signed(&self.conference, KIND_KNOCK, knock.encode_to_vec());
                (control, liar.seal(if n % 4 == 1 { Kind::Kick(signed) } else { Kind::Knock(signed) }))
            }
            Flood::Pings => {
                let ping = Kind::Ping(Ping { nonce: self.random.next(), origin: 1 });
                let unicast: Vec<_> = self.ports.iter().filter(|a| !a.ip().is_multicast()).copied().collect();
                let mut liar = Liar::new(&self.keys, &mut self.random);
                (unicast[n % unicast.len()], if n.is_multiple_of(2) { self.eve.seal(ping) } else { liar.seal(ping) })
            }
            Flood::Nonsense => {
                let (mut bytes, length) = (Vec::new(), 12 + self.random.below(1_400));
                self.random.fill(&mut bytes, length);
                // Pictures, sound, reports, something sealed, and no start at all.
                match n % 5 {
                    0 => (bytes[0], bytes[1]) = (0x80, 26),
                    1 => (bytes[0], bytes[1]) = (0x80, 111),
                    2 => (bytes[0], bytes[1]) = (0x80, 200),
                    3 => {
                        let mut liar = Liar::new(&self.keys, &mut self.random);
                        bytes = liar.seal(Kind::Ping(Ping::default()));
                        let last = bytes.len() - 1;
                        bytes[last] ^= 1;
                    }
                    _ => {}
                }
                (self.ports[n / 5 % self.ports.len()], bytes)
            }
            Flood::Everything => self.packet(FLOODS[n % 7], n / 7),
        }
    }

    /// A member asks for lines that were never said, or for everything.
    fn request(&mut self, n: usize) -> Vec<u8> {
        if n.is_multiple_of(4) {
            return self.eve.seal(Kind::HistoryRequest(HistoryRequest { nonce: self.random.next(), known: vec![] }));
        }
        let want = |random: &mut Random| {
            let member = ParticipantId(random.bytes());
            let numbers: Vec<u32> = (1..=64).map(|k| k * 2).collect();
            Want::new(member, random.next() as u32, &numbers)
        };
        let wants = (0..4).map(|_| want(&mut self.random)).collect();
        let tags = (0..16).map(|_| self.random.next() as u32).collect();
        self.eve.seal(Kind::Nack(Nack { wants, tags }))
    }

    /// This conference's, by somebody who is no member, or another's.
    fn announcement(&mut self) -> Vec<u8> {
        let mut liar = Liar::new(&self.keys, &mut self.random);
        let conference = self.conference.id;
        let plan = &self.conference.plan;
        let (sid, nonce) = (liar.sealer.sid(), self.random.next());
        let announcement = Announcement {
            conference: conference.0.to_vec(),
            title: "Standup".into(),
            open: true,
            family: 4,
            base: plan.base_to_wire().1,
            port: plan.port.into(),
            epoch: 0,
            participants: 0,
            publishers: 0,
            nonce,
            key_check: Secret::open(&conference).key_check(&conference, nonce, 0),
            announcer: liar.identity.public().to_vec(),
            sid,
            counter: 1,
            locked: false,
        };
        let mut bytes = Vec::new();
        write_announce(&announcement, &mut bytes, |body| liar.signature(&self.conference, KIND_ANNOUNCE, body));
        bytes
    }
}

impl Liar {
    fn new(keys: &EpochKeys, random: &mut Random) -> Self {
        Self {
            identity: Identity::from_seed(&random.bytes::<32>()),
            sealer: Sealer::new(keys, random.next()),
            counter: 0,
        }
    }

    fn signature(&mut self, conference: &Found, kind: u8, payload: &[u8]) -> [u8; 64] {
        self.counter += 1;
        let (signer, sid) = (participant_id(self.identity.public()), self.sealer.sid());
        let context =
            SignatureContext { kind, conference: conference.id, epoch: 0, signer, sid, counter: self.counter };
        self.identity.sign(&context, payload, &mut Vec::new())
    }

    fn signed(&mut self, conference: &Found, kind: u8, payload: Vec<u8>) -> Signed {
        let signature = self.signature(conference, kind, &payload).to_vec();
        Signed { signer: self.identity.public().to_vec(), counter: self.counter, payload, signature }
    }

    fn seal(&mut self, kind: Kind) -> Vec<u8> {
        let (mut body, mut bytes) = (Vec::new(), Vec::new());
        Message { kind: Some(kind) }.write_body(&mut body);
        assert!(self.sealer.seal(&body, &mut bytes), "{} bytes", body.len());
        bytes
    }

    fn say(&mut self, conference: &Found, kind: u8, payload: Vec<u8>) -> Vec<u8> {
        let signed = self.signed(conference, kind, payload);
        self.seal(match kind {
            KIND_JOIN => Kind::Join(signed),
            KIND_BYE => Kind::Bye(signed),
            _ => Kind::Beacon(signed),
        })
    }
}
