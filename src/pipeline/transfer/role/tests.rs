use std::net::Ipv4Addr;

use crossbeam_channel::unbounded;
use mio::Poll;

use super::*;
use crate::device::identity::random_seed;
use crate::device::net::{Interface, UdpSocket};
use crate::limits::{
    OBJECT_FETCHES_MAX, OBJECT_FETCHES_PER_PEER_MAX, OBJECT_NACKS_PER_S_MAX, OBJECTS_MAX, OBJECTS_PER_MEMBER_MAX,
    OBJECTS_RECEIVED_MAX,
};
use crate::protocol::keys::Secret;
use crate::protocol::seal::Sealer;
use crate::protocol::transfer::manifest::{hash, object_id};
use crate::wire::address::{Plan, Scope};
use crate::wire::message::ConferenceId;
use crate::wire::sealed::Class;

/// A role without its thread, and what it says and tells.
struct Bench {
    role: Role,
    said: Receiver<control::Command>,
    told: Receiver<Event>,
    _poll: Poll,
}

fn member(n: u16) -> ParticipantId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    ParticipantId(id)
}

impl Bench {
    fn new() -> Self {
        let interface = Interface::choose(Some("127.0.0.1")).unwrap();
        let id = ConferenceId([9; 16]);
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).unwrap());
        let (asking, said) = unbounded();
        let (telling, told) = unbounded();
        let config = Config {
            clock: Clock::system(),
            socket: Arc::new(UdpSocket::unicast(&interface, 0).unwrap()),
            interface,
            plan: Plan::new(Scope::Link, Ipv4Addr::new(239, 255, 90, 0).into(), 20_480).unwrap(),
            me: member(0),
            keys: EpochKeys::first(id, &Secret::open(&id)),
            asker: control::Asker::to(asking, Arc::clone(&waker)),
            limit_mbit: None,
            seed: *random_seed().unwrap(),
        };
        let registry = poll.registry().try_clone().unwrap();
        Self { role: Role::new(config, telling, registry, waker), said, told, _poll: poll }
    }

    /// Somebody offers something of five bytes.
    fn offer(&mut self, from: u16, n: u32) -> ObjectId {
        self.offer_asking(from, n, vec![0, 0])
    }

    fn offer_asking(&mut self, from: u16, n: u32, asks: Vec<u8>) -> ObjectId {
        let manifest = hash(&n.to_be_bytes());
        let object = object_id(&manifest);
        let offer = Offer {
            object: object.0.to_vec(),
            name: format!("{n}.txt"),
            size: 5,
            manifest: manifest.to_vec(),
            manifest_bytes: 90,
            sid: u64::from(n) + 1,
            asks,
            ..Offer::default()
        };
        self.role.command(Command::Heard(member(from), Packet::Offer(offer)));
        object
    }

    fn offers_told(&self) -> usize {
        self.told.try_iter().filter(|event| matches!(event, Event::Offered { .. })).count()
    }
}

#[test]
fn nobody_offers_without_end() {
    let mut bench = Bench::new();
    let per_member = OBJECTS_PER_MEMBER_MAX as u32;
    for n in 0..per_member + 3 {
        bench.offer(1, n);
    }
    assert_eq!(bench.offers_told(), OBJECTS_PER_MEMBER_MAX);
    for from in 2..9 {
        for n in 0..per_member {
            bench.offer(from, 1_000 * u32::from(from) + n);
        }
    }
    assert_eq!(bench.offers_told(), OBJECTS_MAX - OBJECTS_PER_MEMBER_MAX);
    // Once is enough.
    bench.offer(1, 0);
    assert_eq!(bench.offers_told(), 0);
}

#[test]
fn who_is_not_asked_has_it_from_a_session_before_and_is_not_told() {
    let mut bench = Bench::new();
    bench.offer_asking(1, 1, vec![0, 9]);
    assert_eq!(bench.offers_told(), 0);
    bench.offer_asking(1, 1, vec![0, 9, 0, 0]);
    assert_eq!(bench.offers_told(), 1);
}

#[test]
fn so_many_are_received_at_once_and_the_others_wait() {
    let mut bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let count = OBJECTS_RECEIVED_MAX as u32 + 2;
    let objects: Vec<ObjectId> = (0..count).map(|n| bench.offer(1, n)).collect();
    objects.iter().for_each(|o| bench.role.command(Command::Accept(*o, folder.path().into())));
    bench.role.step();
    let parts = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(parts(), 2 * OBJECTS_RECEIVED_MAX, "a part and its list each");
    // Who stops one makes room for another.
    bench.role.command(Command::Decline(objects[0], Reason::GaveUp));
    bench.role.command(Command::Decline(objects[1], Reason::GaveUp));
    bench.role.step();
    bench.role.step();
    assert_eq!(parts(), 2 * OBJECTS_RECEIVED_MAX);
    let accepts = bench.said.try_iter().filter(|c| matches!(c, control::Command::Object(Packet::Accept(_), _))).count();
    assert!(accepts >= OBJECTS_RECEIVED_MAX, "{accepts}");
}

#[test]
fn connections_are_few_from_one_and_from_all() {
    let bench = Bench::new();
    let address = |n: u8| IpAddr::from([10, 0, 0, n]);
    let from = |n| (0..9).take_while(|_| bench.role.may_serve(address(n))).count();
    assert_eq!(from(1), OBJECT_FETCHES_PER_PEER_MAX);
    let others: usize = (2..20).map(from).sum();
    assert_eq!(others, OBJECT_FETCHES_MAX - OBJECT_FETCHES_PER_PEER_MAX);
    drop(bench.role.over(address(1)));
    assert!(bench.role.may_serve(address(1)) && !bench.role.may_serve(address(1)));
}

#[test]
fn requests_beyond_a_rate_are_not_looked_at() {
    let mut bench = Bench::new();
    let (now, mut body, mut datagram) = (Timestamp::from_millis(500), Vec::new(), Vec::new());
    let mut sealer = Sealer::object(&bench.role.config.keys, 77, Class::Feedback, &[]);
    assert!(sealer.seal(b"not a request", &mut datagram));
    for n in 0..OBJECT_NACKS_PER_S_MAX {
        assert!(bench.role.nacks.clone().take(now, OBJECT_NACKS_PER_S_MAX), "{n} were looked at");
        bench.role.hear(now, 0, IpAddr::from([127, 0, 0, 1]), &datagram, &mut body);
    }
    assert!(!bench.role.nacks.take(now, OBJECT_NACKS_PER_S_MAX));
}
