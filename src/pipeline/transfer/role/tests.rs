use std::net::Ipv4Addr;

use crossbeam_channel::unbounded;
use mio::Poll;

use super::*;
use crate::device::identity::random_seed;
use crate::device::net::{Interface, UdpSocket};
use crate::limits::{
    OBJECT_FETCHES_MAX, OBJECT_FETCHES_PER_PEER_MAX, OBJECT_NACKS_PER_S_MAX, OBJECT_SYMBOL_BYTES, OBJECTS_GIVEN_MAX,
    OBJECTS_MAX, OBJECTS_PER_MEMBER_MAX, OBJECTS_PREPARED_MAX, OBJECTS_RECEIVED_MAX,
};
use crate::protocol::keys::Secret;
use crate::protocol::seal::Sealer;
use crate::protocol::transfer::manifest::{Layout, hash, object_id};
use crate::wire::address::{Plan, Scope};
use crate::wire::message::ConferenceId;
use crate::wire::object::{Done, MANIFEST, ObjectNack, Symbol};
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
fn what_is_settled_makes_room_for_more_and_what_has_none_is_declined() {
    let mut bench = Bench::new();
    let most = OBJECTS_PER_MEMBER_MAX as u32;
    let objects: Vec<ObjectId> = (0..most).map(|n| bench.offer(1, n)).collect();
    assert_eq!(bench.offers_told(), most as usize);
    bench.said.try_iter().count();
    let declined = |bench: &Bench, of: &ObjectId| {
        let one =
            |c: &control::Command| matches!(c, control::Command::Object(Packet::Decline(d), _) if d.object == of.0);
        bench.said.try_iter().filter(one).count()
    };
    let refused = bench.offer(1, most);
    assert_eq!((bench.offers_told(), declined(&bench, &refused)), (0, 1), "the sender need not wait");
    // What was declined, and said so, is forgotten first.
    for object in &objects[3..5] {
        bench.role.command(Command::Decline(*object, Reason::Unwanted));
    }
    bench.role.step();
    bench.offer(1, most);
    bench.offer(1, most + 1);
    assert_eq!(bench.offers_told(), 2);
    assert!(!bench.role.known.contains_key(&objects[3]) && !bench.role.known.contains_key(&objects[4]));
    assert_eq!(bench.role.known.len(), OBJECTS_PER_MEMBER_MAX);
    bench.offer(1, most + 2);
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
    objects.iter().for_each(|o| bench.role.command(Command::Accept(*o, folder.path().into(), None)));
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

/// A file that somebody at `GIVER` offers, and that is taken into a folder.
struct Given {
    _folder: tempfile::TempDir,
    prepared: prepare::Prepared,
    manifest: Vec<u8>,
    object: ObjectId,
    sealer: Sealer,
    body: Vec<u8>,
}

const GIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
const SID: u64 = 7;

impl Given {
    fn new(bench: &mut Bench, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, [5; 3_000]).unwrap();
        let prepared = prepare::prepare(&path).unwrap();
        let manifest = prepared.manifest.to_bytes();
        let root = hash(&manifest);
        let object = object_id(&root);
        let offer = Offer {
            object: object.0.to_vec(),
            name: "a.txt".into(),
            size: 3_000,
            manifest: root.to_vec(),
            manifest_bytes: manifest.len() as u32,
            sid: SID,
            port: port.into(),
            asks: vec![0, 0],
            ..Offer::default()
        };
        bench.role.command(Command::Here(member(1), 1, GIVER));
        bench.role.command(Command::Here(member(2), 2, STRANGER));
        bench.role.command(Command::Heard(member(1), Packet::Offer(offer)));
        bench.role.command(Command::Accept(object, folder.path().into(), None));
        bench.role.step();
        let sealer = Sealer::object(&bench.role.config.keys, SID, Class::Object, &[]);
        Self { _folder: folder, prepared, manifest, object, sealer, body: Vec::new() }
    }

    fn source(&self, block: u32) -> Vec<u8> {
        let content = if block == MANIFEST { self.manifest.clone() } else { vec![5; 3_000] };
        let mut bytes = content;
        bytes.resize(bytes.len().next_multiple_of(OBJECT_SYMBOL_BYTES), 0);
        bytes
    }

    /// A symbol comes from `from`, with the number after the last.
    fn symbol(&mut self, bench: &mut Bench, from: IpAddr, block: u32, index: u16, bytes: &[u8]) {
        let (mut plain, mut datagram) = (Vec::new(), Vec::new());
        Symbol { tag: self.object.tag(), block, index, bytes }.write(&mut plain);
        assert!(self.sealer.seal(&plain, &mut datagram));
        bench.role.hear(bench.role.clock.now(), 0, from, &datagram, &mut self.body);
    }

    /// The whole of a block comes from whoever offers it.
    fn block(&mut self, bench: &mut Bench, block: u32) {
        for (n, bytes) in self.source(block).chunks(OBJECT_SYMBOL_BYTES).enumerate() {
            self.symbol(bench, GIVER, block, n as u16, bytes);
        }
    }
}

impl Bench {
    fn in_assembly(&self, object: &ObjectId) -> usize {
        match &self.role.known[object].mine {
            Mine::Taking(taking) => taking.incoming.in_assembly(),
            _ => panic!("it is not being taken"),
        }
    }

    /// Steps until something is told that `wanted` accepts.
    fn await_told(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut events = mio::Events::with_capacity(8);
        for _ in 0..200 {
            self.role.step();
            if let Some(event) = self.told.try_iter().find(&wanted) {
                return event;
            }
            self._poll.poll(&mut events, Some(Duration::from_millis(50))).unwrap();
        }
        panic!("it was not told");
    }
}

#[test]
fn a_forged_packet_number_silences_nobody() {
    let mut bench = Bench::new();
    let mut given = Given::new(&mut bench, 0);
    let junk = [9; OBJECT_SYMBOL_BYTES];
    given.sealer.reach(u64::MAX - 1);
    given.symbol(&mut bench, STRANGER, 0, 0, &junk);
    assert_eq!(bench.in_assembly(&given.object), 0, "from another address than its giver's");
    // Also from whoever forges that address.
    given.symbol(&mut bench, GIVER, 0, 2_000, &junk);
    assert_eq!(bench.in_assembly(&given.object), 1);
    let keys = bench.role.config.keys.clone();
    given.sealer = Sealer::object(&keys, SID, Class::Object, &[]);
    given.block(&mut bench, MANIFEST);
    assert_eq!(bench.in_assembly(&given.object), 1, "the manifest is known, and so nothing of it is in assembly");
    // What was forged costs its block a round, no more: nobody serves it, so it is asked for again.
    (0..3).for_each(|_| {
        given.block(&mut bench, 0);
        bench.role.step();
    });
    bench.await_told(|event| matches!(event, Event::Received { .. }));
}

#[test]
fn a_forged_request_number_silences_nobody() {
    let mut bench = Bench::new();
    let mut given = Given::new(&mut bench, 0);
    let keys = bench.role.config.keys.clone();
    let nack = |pn: u64| {
        let (object, member, mut datagram) = (given.object.0.to_vec(), member(1).0.to_vec(), Vec::new());
        let nack = ObjectNack { object, member, fetch: vec![0, 0], ..ObjectNack::default() };
        let mut sealer = Sealer::object(&keys, 44, Class::Feedback, &[]);
        sealer.reach(pn);
        assert!(sealer.seal(&prost::Message::encode_to_vec(&nack), &mut datagram));
        datagram
    };
    let now = bench.role.clock.now();
    for (from, pn, expected) in [(STRANGER, u64::MAX - 1, false), (GIVER, 1, true)] {
        bench.role.hear(now, 0, from, &nack(pn), &mut given.body);
        let Mine::Taking(taking) = &bench.role.known[&given.object].mine else { panic!("it is not being taken") };
        assert_eq!(taking.incoming.is_alone(), expected, "{from}");
    }
    bench.role.command(Command::Gone(member(1)));
    assert!(!bench.role.openers.contains_key(&GIVER), "nothing is kept of who left");
}

#[test]
fn a_forged_manifest_is_fetched_from_its_giver() {
    let mut bench = Bench::new();
    let listener = std::net::TcpListener::bind((GIVER, 0)).unwrap();
    let mut given = Given::new(&mut bench, listener.local_addr().unwrap().port());
    let (keys, clock) = (bench.role.config.keys.clone(), bench.role.clock.clone());
    let layout = Layout { size: 3_000, manifest_bytes: given.manifest.len() as u32 };
    let (source, manifest) = (given.prepared.source.clone(), given.manifest.clone().into());
    let served = Served { source, manifest, layout, key: Zeroizing::default() };
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let _ = super::super::fetch::serve(stream, &keys, 99, (&clock, &Pace::new(1e9)), |_| Some(served));
    });
    given.symbol(&mut bench, GIVER, MANIFEST, 0, &[9; OBJECT_SYMBOL_BYTES]);
    given.block(&mut bench, 0);
    bench.await_told(|event| matches!(event, Event::Received { .. }));
    serving.join().unwrap();
}

impl Bench {
    /// Gives a file of that name; member 1 takes it.
    fn give(&mut self, given: &Given, name: &str) -> ObjectId {
        let now = self.role.clock.now();
        let manifest = Manifest { name: name.into(), ..given.prepared.manifest.clone() };
        let source = given.prepared.source.clone();
        let object = self.role.give(now, source, manifest, About::default(), false);
        self.role.giving.get_mut(&object).unwrap().out.accepted(now, member(1), &[]);
        object
    }

    fn done(&mut self, object: &ObjectId) {
        let now = self.role.clock.now();
        let people: Vec<ParticipantId> = self.role.people.keys().copied().collect();
        let out = &mut self.role.giving.get_mut(object).unwrap().out;
        people.into_iter().for_each(|id| out.done(now, id));
        self.role.step();
    }
}

#[test]
fn of_what_everybody_has_nothing_stays_in_memory_and_the_oldest_gives_way() {
    let mut bench = Bench::new();
    let given = Given::new(&mut bench, 0);
    let first = bench.give(&given, "first");
    let giving = bench.role.giving.get_mut(&first).unwrap();
    giving.make(0, 3);
    giving.make(0, 0);
    assert!(giving.kept() > 1_000_000, "a block and its parity: {}", giving.kept());
    bench.done(&first);
    assert_eq!(bench.role.giving[&first].kept(), 0);
    let others: Vec<ObjectId> = (1..OBJECTS_GIVEN_MAX).map(|n| bench.give(&given, &n.to_string())).collect();
    assert!(bench.role.make_room_to_give());
    assert!(!bench.role.giving.contains_key(&first) && bench.role.giving.contains_key(&others[0]));
    bench.give(&given, "one more");
    assert!(!bench.role.make_room_to_give(), "all are being received");
    bench.done(&others[5]);
    assert!(bench.role.make_room_to_give());
    assert!(!bench.role.served.lock().unwrap().contains_key(&others[5]));
}

#[test]
fn groups_of_what_is_over_are_free_and_the_rest_is_spread() {
    let mut bench = Bench::new();
    let given = Given::new(&mut bench, 0);
    assert_eq!(bench.role.known[&given.object].offer.group, 0, "that of what is taken");
    let objects: Vec<ObjectId> = (0..9).map(|n| bench.give(&given, &n.to_string())).collect();
    let groups: Vec<u8> = objects.iter().map(|object| bench.role.giving[object].group).collect();
    assert_eq!(groups, [1, 2, 3, 4, 5, 6, 7, 0, 1], "one after the other, and never all in one");
    bench.done(&objects[3]);
    let now = bench.role.clock.now();
    assert_eq!(bench.role.free_group(now), 4);
    bench.role.command(Command::Decline(given.object, Reason::GaveUp));
    objects.iter().for_each(|object| bench.done(object));
    assert_eq!(bench.role.free_group(now), 1, "asked for a moment ago");
    assert_eq!(bench.role.free_group(now + Duration::from_secs(11)), 0, "and nobody was since");
}

#[test]
fn who_takes_a_file_is_told_when_nobody_sends_it_any_more() {
    let mut bench = Bench::new();
    let given = Given::new(&mut bench, 0);
    bench.role.command(Command::Heard(member(2), Packet::Done(Done { object: given.object.0.to_vec() })));
    bench.role.command(Command::Gone(member(1)));
    let waits = |event: Event| matches!(event, Event::Failed { resumes: true, .. });
    assert!(!bench.told.try_iter().any(waits), "another has it all");
    let mut bench = Bench::new();
    let _given = Given::new(&mut bench, 0);
    bench.role.command(Command::Gone(member(1)));
    assert!(bench.told.try_iter().any(waits));
}

#[test]
fn all_that_is_sent_shares_one_limit() {
    let mut bench = Bench::new();
    bench.role.config.limit_mbit = Some(16);
    bench.role.pace = Arc::new(Pace::new(16e6));
    let given = Given::new(&mut bench, 0);
    let now = bench.role.clock.now();
    for name in ["b", "c", "d", "e"] {
        bench.give(&given, name);
    }
    let rates = |bench: &Bench| bench.role.giving.values().map(|g| g.out.bits_per_s().round()).collect::<Vec<_>>();
    bench.role.share_out();
    assert_eq!(rates(&bench), [4e6; 4]);
    // Somebody fetches: that is part of it, and a small one while there is something new for the others.
    let over = bench.role.may_serve(GIVER).then(|| bench.role.over(GIVER));
    bench.role.share_out();
    assert_eq!(rates(&bench), [3.75e6; 4]);
    assert_eq!(bench.role.pace.bits_per_s().round(), 1e6);
    drop(over);
    for giving in bench.role.giving.values_mut() {
        giving.out.done(now, member(1));
    }
    bench.role.share_out();
    assert_eq!(bench.role.pace.bits_per_s().round(), 16e6, "all of it for those who fetch");
}

#[test]
fn another_address_means_other_sockets_and_another_port() {
    let mut bench = Bench::new();
    let given = Given::new(&mut bench, 0);
    bench.give(&given, "b");
    bench.role.step();
    let before = bench.role.listener.as_ref().unwrap().local_addr().unwrap();
    assert_eq!(before.ip(), GIVER);
    bench.said.try_iter().count();
    let moved = Interface { addr: [127, 0, 0, 2].into(), ..bench.role.config.interface.clone() };
    bench.role.command(Command::Network(Box::new(moved), true));
    bench.role.step();
    bench.role.step();
    let after = bench.role.listener.as_ref().unwrap().local_addr().unwrap();
    assert_eq!(after.ip(), IpAddr::from([127, 0, 0, 2]));
    let offered = |c: control::Command| match c {
        control::Command::Object(Packet::Offer(offer), _) => Some(offer.port),
        _ => None,
    };
    assert_eq!(bench.said.try_iter().filter_map(offered).last(), Some(after.port().into()));
}

#[test]
fn files_are_read_a_few_at_a_time_and_all_are_offered() {
    let mut bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    for n in 0..7 {
        let path = folder.path().join(format!("{n}.txt"));
        std::fs::write(&path, [n; 10]).unwrap();
        bench.role.command(Command::Send(n.into(), path, Vec::new(), None));
        assert!(bench.role.preparing <= OBJECTS_PREPARED_MAX);
    }
    assert_eq!(bench.role.to_prepare.len() + bench.role.preparing, 7);
    for n in 0..7 {
        bench.await_told(|event| matches!(event, Event::Offering { .. }));
        assert!(bench.role.preparing <= OBJECTS_PREPARED_MAX, "{n}");
    }
    assert_eq!((bench.role.preparing, bench.role.giving.len()), (0, 7));
}

#[test]
fn whoever_offers_a_file_is_told_for_whom_it_is() {
    let mut bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "a").unwrap();
    for (ticket, to) in [(1, vec![member(1)]), (2, Vec::new())] {
        bench.role.command(Command::Send(ticket, path.clone(), to.clone(), None));
        let told = bench.await_told(|event| matches!(event, Event::Offering { .. }));
        let Event::Offering { ticket: of, audience, name, .. } = told else { panic!("another event") };
        assert_eq!((of, audience, name.as_str()), (ticket, to, "a.txt"));
    }
}

#[test]
fn what_is_not_offered_any_more_cannot_be_taken() {
    let mut bench = Bench::new();
    let object = bench.offer(1, 0);
    bench.role.command(Command::Accept(ObjectId([5; 16]), "/nowhere".into(), None));
    let told = bench.await_told(|event| matches!(event, Event::Failed { .. }));
    assert!(matches!(told, Event::Failed { object, resumes: false, .. } if object == ObjectId([5; 16])));
    assert!(matches!(bench.role.known[&object].mine, Mine::Undecided));
}

#[test]
fn a_file_is_taken_under_another_name_and_a_private_one_is_nobody_elses() {
    let mut bench = Bench::new();
    let mut given = Given::new(&mut bench, 0);
    let place = tempfile::tempdir().unwrap();
    bench.role.command(Command::Decline(given.object, Reason::Unwanted));
    let known = bench.role.known.get_mut(&given.object).unwrap();
    known.offer.audience = vec![0; 16];
    bench.role.command(Command::Accept(given.object, place.path().into(), Some("../mine.txt".into())));
    bench.role.step();
    let names = || std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(names().len(), 2);
    for path in names() {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "while it comes, too");
    }
    given.block(&mut bench, MANIFEST);
    given.block(&mut bench, 0);
    let received = bench.await_told(|event| matches!(event, Event::Received { .. }));
    let Event::Received { path, .. } = received else { unreachable!() };
    assert_eq!(path, place.path().join("mine.txt"));
    assert_eq!(names(), [path]);
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
