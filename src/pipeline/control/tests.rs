use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::*;
use crate::device::net::{Dscp, ReceiveBuffer};
use crate::protocol::discovery::choose_plan;
use crate::protocol::keys::{Identity, Secret, conference_id};
use crate::protocol::roster::{Departure, Role as Part};
use crate::wire::address::{Family, Plan, Scope};
use crate::wire::message::ConferenceId;

/// Longest wait for something that must happen; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(10);

struct Conference {
    id: ConferenceId,
    plan: Plan,
    interface: Interface,
    clock: Clock,
}

impl Conference {
    /// On the loopback, with an id of its own, so that tests do not hear each other.
    fn new() -> Self {
        let id = conference_id(&[0; 32], &identity::random_seed().unwrap()[..16].try_into().unwrap());
        let interface = Interface::choose(Some("127.0.0.1")).unwrap();
        Self {
            id,
            plan: choose_plan(Scope::Link, Family::of(interface.addr), &id, &[]),
            interface,
            clock: Clock::system(),
        }
    }

    fn enter(&self, name: &str, expected: Option<u32>) -> Control {
        let socket = Arc::new(UdpSocket::unicast(&self.interface, self.plan.ttl).unwrap());
        let setup = self.setup(name, expected, &socket);
        let (clock, interface) = (self.clock.clone(), self.interface.clone());
        Control::start(Config { clock, interface, socket, setup, log: Log::default(), entrance: Entrance::default() })
            .unwrap()
    }

    fn setup(&self, name: &str, expected: Option<u32>, socket: &UdpSocket) -> Setup {
        Setup {
            conference: self.id,
            title: "Standup".into(),
            open: true,
            secret: Secret::open(&self.id),
            plan: self.plan,
            identity: Identity::from_seed(&identity::random_seed().unwrap()),
            seed: *identity::random_seed().unwrap(),
            name: name.into(),
            role: Part::Participant,
            address: socket.local_addr(),
            expected,
        }
    }
}

/// Reads events until one is what is waited for.
#[track_caller]
fn wait_for<T>(control: &Control, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let clock = Clock::system();
    let end = clock.now() + DEADLINE;
    while let Ok(event) = control.events().recv_timeout(end.since(clock.now())) {
        if let Some(found) = wanted(event) {
            return found;
        }
    }
    panic!("{what} did not come");
}

fn voice() -> Command {
    let info = StreamInfo::voice(7);
    Command::Streams(vec![LocalStream {
        info,
        position: Some(Arc::new(AtomicU64::new(70_000))),
        repair: None,
        to: Destination::default(),
    }])
}

#[test]
fn instances_on_one_machine_find_each_other_talk_and_leave() {
    let conference = Conference::new();
    let ada = conference.enter("Ada", Some(0));
    assert!(ada.send(voice()));
    let slot = wait_for(&ada, "a slot", |e| if let Event::SlotTaken(slot) = e { Some(slot) } else { None });
    let found = browse(&conference.interface, &conference.clock, (Duration::ZERO, DEADLINE), |all| {
        all.iter().any(|f| f.id == conference.id)
    })
    .unwrap();
    let listed = found.iter().find(|f| f.id == conference.id).expect("the conference is listed");
    assert_eq!((listed.title.as_str(), listed.plan, listed.participants), ("Standup", conference.plan, 1));

    let others: Vec<Control> = (0..3).map(|_| conference.enter("Ada", Some(listed.participants))).collect();
    for other in &others {
        let seen = wait_for(other, "the first one", |e| match e {
            Event::PersonJoined(p) | Event::PersonChanged(p) if p.slot == Some(slot) => Some(p),
            _ => None,
        });
        assert_eq!(seen.streams[0].position, 70_000);
    }
    let mut names = BTreeSet::new();
    wait_for(&ada, "three others with names of their own", |e| {
        if let Event::PersonJoined(p) | Event::PersonChanged(p) = e {
            names.insert(p.name);
        }
        ["Ada (1)", "Ada (2)", "Ada (3)"].iter().all(|n| names.contains(*n)).then_some(())
    });
    assert!(ada.send(Command::Microphone(Microphone::Muted)));
    wait_for(&others[0], "the mute", |e| {
        matches!(e, Event::PersonChanged(p) if p.microphone == Microphone::Muted).then_some(())
    });
    for other in others {
        assert!(other.stop());
        wait_for(&ada, "a farewell", |e| matches!(e, Event::PersonLeft(_, Departure::Left)).then_some(()));
    }
    assert_eq!(ada.events_dropped(), 0);
}

#[test]
fn the_own_socket_survives_the_role() {
    let conference = Conference::new();
    let socket = Arc::new(UdpSocket::unicast(&conference.interface, 1).unwrap());
    let config = |expected| Config {
        clock: conference.clock.clone(),
        interface: conference.interface.clone(),
        socket: Arc::clone(&socket),
        setup: Setup {
            role: Part::Observer,
            address: "127.0.0.1:1".parse().unwrap(),
            ..conference.setup("Ada", expected, &socket)
        },
        log: Log::default(),
        entrance: Entrance::default(),
    };
    for _ in 0..2 {
        let control = Control::start(config(Some(0))).unwrap();
        let me = wait_for(&control, "joined", |e| if let Event::Joined { me, .. } = e { Some(me) } else { None });
        assert_eq!(me.address, socket.local_addr());
        assert!(control.stop());
    }
}

#[test]
fn refused_datagrams_are_counted() {
    let conference = Conference::new();
    let ada = conference.enter("Ada", Some(0));
    let me = wait_for(&ada, "joined", |e| if let Event::Joined { me, .. } = e { Some(me) } else { None });
    let bob = conference.enter("Bob", Some(1));
    wait_for(&ada, "Bob", |e| matches!(e, Event::PersonJoined(_)).then_some(()));

    // The conference's tag stands in every datagram; a session and packet number of its own, and nothing behind.
    let ear = UdpSocket::multicast(conference.plan.control(), &conference.interface).unwrap();
    let (mut heard, mut forged) = (ReceiveBuffer::new(), Vec::new());
    let (clock, end) = (&conference.clock, conference.clock.now() + DEADLINE);
    while forged.is_empty() && clock.now() < end {
        ear.receive(&mut heard).unwrap();
        forged.extend(heard.datagrams().take(1).flat_map(|d| d.bytes.to_vec()));
    }
    forged[8..16].copy_from_slice(&7_u64.to_be_bytes());
    let sender = UdpSocket::unicast(&conference.interface, 1).unwrap();
    let before = ada.rejected();
    sender.send(me.address, &forged, Dscp::Default).unwrap();
    while ada.rejected() == before && clock.now() < end {
        std::thread::yield_now();
    }
    assert!(ada.rejected() > before, "counted");
    assert!(ada.stop() && bob.stop());
}

#[test]
fn a_list_of_nothing_takes_no_longer_than_asked() {
    let interface = Interface::choose(Some("127.0.0.1")).unwrap();
    let clock = Clock::system();
    let start = clock.now();
    let found = browse(&interface, &clock, (Duration::ZERO, Duration::from_millis(20)), |_| false).unwrap();
    assert!(clock.now().since(start) >= Duration::from_millis(20));
    assert!(found.iter().all(|f| f.plan.base != Ipv4Addr::UNSPECIFIED));
}

#[test]
fn commands_are_refused_after_the_end() {
    let conference = Conference::new();
    let control = conference.enter("Ada", Some(0));
    assert!(control.send(Command::Leave));
    assert_eq!(control.ended.recv_timeout(DEADLINE), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    assert!(!control.send(Command::Name("Bob".into())));
    assert!(control.stop());
}

#[test]
fn a_reader_who_missed_events_is_told_everybody_anew() {
    let conference = Conference::new();
    let socket = Arc::new(UdpSocket::unicast(&conference.interface, 1).unwrap());
    let (clock, interface) = (conference.clock.clone(), conference.interface.clone());
    let setup = conference.setup("Ada", Some(0), &socket);
    let (event_in, events) = bounded(1);
    let figures = Arc::<Figures>::default();
    let config = Config { clock, interface, socket, setup, log: Log::default(), entrance: Entrance::default() };
    let mut ada = Role::open(config, event_in, Arc::clone(&figures)).unwrap();
    let bob = conference.enter("Bob", None);
    let end = conference.clock.now() + DEADLINE;
    let mut poll = Poll::new().unwrap();
    ada.register(poll.registry()).unwrap();
    let mut polled = Events::with_capacity(16);
    let others = loop {
        assert!(conference.clock.now() < end, "nobody was told anew");
        ada.receive();
        ada.step();
        // Nothing is read until something was lost.
        if figures.events_dropped.load(Ordering::Relaxed) > 0
            && let Some(Event::Everybody { others, .. }) = events.try_iter().last()
            && !others.is_empty()
        {
            break others;
        }
        poll_for(&mut poll, &mut polled, Duration::from_millis(5)).unwrap();
        polled.iter().for_each(|e| ada.mark_ready(e.token().0));
    };
    assert_eq!(others.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["Bob"]);
    assert!(bob.stop());
}
