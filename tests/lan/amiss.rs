//! Files where something is amiss: a member forges pieces of them and requests for them, a folder holds what cannot be read, and
//! the disk is full in the middle. What is whole is whole all the same, and whatever is not leaves nothing behind.

use crate::common::lan::{Lan, SWITCH};
use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::sandbox::{sandboxed, sh};
use crate::files::{assert_same, await_file, listed, meeting_at, noise, send, write};
use prost::Message as _;
use roundtable::device::clock::Clock;
use roundtable::device::net::{Interface, ReceiveBuffer, UdpSocket};
use roundtable::limits::{OBJECT_BLOCK_SYMBOLS, OBJECT_SYMBOL_BYTES};
use roundtable::pipeline::control::browse;
use roundtable::protocol::keys::{EpochKeys, Secret};
use roundtable::protocol::seal::{Opener, Sealer};
use roundtable::protocol::transfer::manifest::BLOCK_BYTES;
use roundtable::wire::message::ParticipantId;
use roundtable::wire::object::{MANIFEST, ObjectId, ObjectNack, Symbol, Want};
use roundtable::wire::sealed::Class;
use serde_json::{Value, json};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Forged pieces of each block, where nothing true has come yet.
const FORGED: u16 = 8;
/// First of them: late in the block, so that they come before the true ones.
const FORGED_FROM: u16 = 900;
/// Requests forged at once.
const REQUESTS: u64 = 300;
/// `IPPROTO_RAW` of Linux: datagrams with their IP header.
const WITH_HEADER: i32 = 255;

/// Sends datagrams from any address there is.
struct Mask(Socket);

impl Mask {
    fn new() -> Mask {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(WITH_HEADER)));
        let socket = socket.expect("root of this namespace may send anything");
        socket.set_multicast_if_v4(&SWITCH).expect("the switch");
        Mask(socket)
    }

    /// Sends `bytes` as if from `from`.
    fn send(&self, from: Ipv4Addr, to: SocketAddr, bytes: &[u8]) {
        let SocketAddr::V4(to) = to else { panic!("an IPv4 group") };
        let length = u16::try_from(28 + bytes.len()).expect("a datagram");
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        // Neither fragments nor options; the system adds the checksum of the header, and UDP's may be missing.
        packet.extend([0, 0, 0, 0, 1, 17, 0, 0]);
        packet.extend(from.octets());
        packet.extend(to.ip().octets());
        packet.extend(50_000_u16.to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend((length - 20).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(bytes);
        self.0.send_to(&packet, &SockAddr::from(SocketAddrV4::new(*to.ip(), 0))).expect("sent");
    }
}

/// The conference of this LAN, as anybody finds it who takes part.
pub struct Inside {
    clock: Clock,
    keys: EpochKeys,
    interface: Interface,
    /// Where symbols go; requests go to the port above.
    pub group: SocketAddr,
}

impl Inside {
    pub fn new() -> Inside {
        let (clock, interface) = (Clock::system(), Interface::choose(Some(&SWITCH.to_string())).expect("the switch"));
        let found = browse(&interface, &clock, (Duration::ZERO, SOON), |all| !all.is_empty()).expect("sockets");
        let conference = found.into_iter().next().expect("the conference is announced");
        let keys = EpochKeys::first(conference.id, &Secret::open(&conference.id));
        Inside { clock, keys, interface, group: conference.plan.files(0) }
    }

    /// Hears what Ada sends and forges pieces of each block in her name, until it is `over`. How many.
    fn poison(&self, over: &AtomicBool) -> usize {
        let group = UdpSocket::multicast(self.group, &self.interface).expect("the file group");
        let (mut opener, mut buffer) = (Opener::object(self.keys.clone(), &[]), ReceiveBuffer::new());
        let (mask, mut spoiled, mut body, mut count) = (Mask::new(), BTreeSet::new(), Vec::new(), 0);
        while !over.load(Ordering::Relaxed) {
            if !group.receive(&mut buffer).is_ok_and(|n| n > 0) {
                std::thread::yield_now();
                continue;
            }
            for datagram in buffer.datagrams() {
                let opened = opener.open(self.clock.now(), datagram.source.ip(), datagram.bytes, &mut body);
                let (Ok(header), Ok(symbol)) = (opened, Symbol::parse(&body)) else { continue };
                let data = !symbol.bytes.is_empty() && symbol.block != MANIFEST;
                if !data || !spoiled.insert((header.sid, symbol.block)) {
                    continue;
                }
                let mut hers = Sealer::object(&self.keys, header.sid, Class::Object, &[]);
                // Numbers that will be hers a little later.
                hers.reach(header.pn + u64::from(FORGED_FROM));
                for index in FORGED_FROM..FORGED_FROM + FORGED {
                    let (mut plain, mut sealed, bytes) = (Vec::new(), Vec::new(), [0xbd; OBJECT_SYMBOL_BYTES]);
                    Symbol { index, bytes: &bytes, ..symbol }.write(&mut plain);
                    assert!(hers.seal(&plain, &mut sealed));
                    mask.send(Lan::address(1), self.group, &sealed);
                    count += 1;
                }
            }
        }
        count
    }

    /// Asks for `blocks` of a file in Bob's name, all of each, as if none of it had come.
    fn ask(&self, object: &ObjectId, bob: &ParticipantId, blocks: u32) {
        let (mask, to) = (Mask::new(), SocketAddr::new(self.group.ip(), self.group.port() + 1));
        let mut sealer = Sealer::object(&self.keys, 77, Class::Feedback, &[]);
        for seen in 0..REQUESTS {
            let wants = (0..blocks).map(|block| Want { block, deficit: OBJECT_BLOCK_SYMBOLS as u32 }).collect();
            let (object, member) = (object.0.to_vec(), bob.0.to_vec());
            let nack = ObjectNack { object, member, wants, seen: u64::MAX - seen, ..ObjectNack::default() };
            let mut sealed = Vec::new();
            assert!(sealer.seal(&nack.encode_to_vec(), &mut sealed));
            mask.send(Lan::address(2), to, &sealed);
        }
    }
}

#[test]
fn what_a_member_forges_spoils_no_file() {
    sandboxed("amiss::what_a_member_forges_spoils_no_file", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(3);
        let mut peers = meeting_at(&lan, 3, folder.path(), "all", 40);
        let inside = Inside::new();
        let content = noise(6 * BLOCK_BYTES + 77);
        for requests in [false, true] {
            let name = if requests { "asked.bin" } else { "spoiled.bin" };
            let path = write(folder.path(), name, &content);
            let over = AtomicBool::new(false);
            let forged = std::thread::scope(|scope| {
                let _end = EndWith(&over);
                let poisoning = (!requests).then(|| scope.spawn(|| inside.poison(&over)));
                send(&mut peers[0], &path);
                if requests {
                    let begun = |e: &Value| e["event"] == "progress" && e["bytes"].as_u64() > Some(BLOCK_BYTES as u64);
                    let (_, event) = peers[0].await_event(SOON, begun);
                    let object = event["offer"].as_str().and_then(|id| id.parse().ok()).expect("an object");
                    inside.ask(&object, &id_of(&event, "Bob"), 7);
                }
                for peer in &mut peers[1..] {
                    assert_same(&await_file(peer, name), &content);
                }
                over.store(true, Ordering::Relaxed);
                poisoning.map_or(0, |thread| thread.join().expect("whoever forges"))
            });
            let (_, sent) = peers[0].await_event(SOON, |e| e["event"] == "sent" && e["name"] == name);
            let packets = ["packets", "packets_min"].map(|what| sent[what].as_u64().expect("a number"));
            println!("{name}: {forged} pieces forged; {} packets sent, {} at least", packets[0], packets[1]);
            if requests {
                assert!(packets[0] > packets[1] + 1_024, "what was asked for in Bob's name was not heard");
                assert!(packets[0] < 8 * packets[1], "nobody has a file sent again and again");
                continue;
            }
            assert!(forged >= usize::from(FORGED), "nothing was forged");
            for peer in &peers[1..] {
                assert!(peer.log().contains("somebody here sends wrong pieces"), "{}: {}", peer.name, peer.log());
            }
        }
    });
}

/// The id of somebody a file is sent to.
fn id_of(event: &Value, name: &str) -> ParticipantId {
    let all = event["people"].as_array().expect("people");
    let hex = all.iter().find(|p| p["name"] == name).and_then(|p| p["id"].as_str()).expect("an id");
    let mut id = [0; 16];
    for (n, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hexadecimal");
    }
    ParticipantId(id)
}

/// Ends what runs beside, however a test ends.
struct EndWith<'a>(&'a AtomicBool);

impl Drop for EndWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_cannot_be_read_or_stored_is_said_and_leaves_nothing() {
    sandboxed("amiss::what_cannot_be_read_or_stored_is_said_and_leaves_nothing", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(2);
        // Ada's program is held to the permissions of files, as it is without root; Bob's outlives a limit of what it may write.
        let mut held = lan.command(1, "setpriv");
        held.args(["--bounding-set=-dac_override,-dac_read_search", PROGRAM]).env("ROUNDTABLE_FILE_RATE", "20");
        let silent = ["--camera", "none", "--microphone", "none"];
        let mut ada = Peer::start(held, "Ada", "Standup", &silent);
        let mut limited = lan.command(2, "sh");
        limited.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", PROGRAM]);
        let bobs = folder.path().join("Bob");
        let options = ["--accept-files", "all", "--download", &bobs.to_string_lossy()];
        let mut bob = Peer::chat_with(limited, "Bob", "Standup", &options);
        bob.await_joined();
        ada.await_person(SOON, "Bob", "joined");

        let docs = folder.path().join("docs");
        std::fs::create_dir(&docs).expect("a folder");
        write(&docs, "a.txt", b"a");
        let locked = write(&docs, "locked.txt", b"nobody reads this");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("permissions");
        send(&mut ada, &docs);
        let (_, failed) = ada.await_event(SOON, |e| e["event"] == "file_failed");
        let text = failed["text"].as_str().expect("words");
        assert!(text.contains("locked.txt") && text.contains("ermission denied"), "{failed}");

        // In the middle there is no room any more: a quota that somebody else uses up.
        let path = write(folder.path(), "big.bin", &noise(8_000_000));
        send(&mut ada, &path);
        let (_, first) = bob.await_event(SOON, |e| e["event"] == "offer");
        assert_eq!(first["name"], "big.bin", "of what could not be read nothing was offered");
        bob.await_event(SOON, |e| e["event"] == "progress" && e["bytes"].as_u64() > Some(0));
        sh(&format!("prlimit --pid {} --fsize=2000000:unlimited", bob.pid()));
        let (_, failed) = bob.await_event(SOON, |e| e["event"] == "file_failed");
        assert!(failed["text"].as_str().is_some_and(|t| t.contains("no room")), "{failed}");
        let (_, sent) = ada.await_event(SOON, |e| e["event"] == "sent");
        assert_eq!(sent["people"][0]["state"], "declined", "{sent}");
        assert_eq!(listed(&bobs), [""; 0], "nothing stays behind");
        // Once there is room again, it is there for the asking.
        sh(&format!("prlimit --pid {} --fsize=unlimited:unlimited", bob.pid()));
        bob.tell(&json!({"do": "accept", "offer": "big.bin"}));
        assert_same(&await_file(&mut bob, "big.bin"), &std::fs::read(&path).expect("it is hers"));
    });
}

#[test]
fn a_file_whose_sender_leaves_in_the_middle_waits_for_them() {
    sandboxed("amiss::a_file_whose_sender_leaves_in_the_middle_waits_for_them", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(2);
        let mut peers = meeting_at(&lan, 2, folder.path(), "all", 20);
        let content = noise(8_000_000);
        let path = write(folder.path(), "a.bin", &content);
        send(&mut peers[0], &path);
        let enough = |e: &Value| e["event"] == "progress" && e["bytes"].as_u64() > Some(3_000_000);
        peers[1].await_event(SOON, enough);
        peers[0].tell(&json!({"do": "leave"}));
        let waits =
            |e: &Value| e["event"] == "notice" && e["text"].as_str().is_some_and(|t| t.contains("it goes on when"));
        peers[1].await_event(SOON, waits);
        assert!(listed(&folder.path().join("Bob")).iter().all(|file| file.contains(".part")), "not under its name");
        let mut command = lan.command(1, PROGRAM);
        command.env("ROUNDTABLE_FILE_RATE", "20");
        let mut ada = peers.remove(0).come_back(command, "Standup", &["--accept-files", "all"]);
        ada.await_joined();
        send(&mut ada, &path);
        assert_same(&await_file(&mut peers[0], "a.bin"), &content);
        let (_, sent) = ada.await_event(SOON, |e| e["event"] == "sent");
        let [packets, least] = ["packets", "packets_min"].map(|what| sent[what].as_u64().expect("a number"));
        println!("{packets} packets for the rest of {least}");
        assert!(packets < least - 2_048, "what was there is not sent again: {sent}");
    });
}
