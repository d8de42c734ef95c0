//! Probes against responders through a network that loses, and every rule by the facts it needs.

use std::time::Duration;

use super::*;
use crate::limits::{
    PROBE_ANSWERS_PER_RUN_MAX, PROBE_ANSWERS_PER_S_MAX, PROBE_CROWD_MAX, PROBE_PEERS_MAX, PROBE_RUNS_MAX,
};
use crate::time::{NtpTime, Timestamp};
use crate::wire::probe::{self, Answer, Datagram, PROBE_BYTES_MIN, Probe};

const WALL: NtpTime = NtpTime(1 << 60);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn probe(run: u64, number: u32, way: Way) -> Vec<u8> {
    let mut bytes = Vec::new();
    Probe { run, number, way, origin: WALL.0, aside: false, conference: None }.write(0, &mut bytes);
    bytes
}

fn came(way: Way, source: &str) -> Came {
    Came { unicast: way == Way::Unicast, source: at(source), arrived: WALL }
}

// --- the responder ---

#[test]
fn answers_go_where_the_question_came_from_and_count_what_came() {
    let mut responder = Responder::new(9, Some(ConferenceId([1; 16])));
    let mut out = Vec::new();
    let mut ask = |way, number| {
        let replies =
            responder.handle((Timestamp(0), WALL), came(way, "10.0.0.1:5"), 1, &probe(7, number, way), &mut out);
        let Ok(Datagram::Answer(answer)) = probe::parse(&out) else { panic!("no answer") };
        (replies, answer.heard)
    };
    assert_eq!(ask(Way::Multicast, 1), ([Some(ReplyTo::Asker), Some(ReplyTo::Group)], [1, 0, 0]));
    assert_eq!(ask(Way::Broadcast, 1), ([Some(ReplyTo::Asker), Some(ReplyTo::Broadcast)], [1, 1, 0]));
    assert_eq!(ask(Way::Unicast, 4), ([Some(ReplyTo::Asker), None], [1, 1, 1]));
    assert_eq!(ask(Way::Multicast, 1).1, [1, 1, 1], "one that came twice came once");
}

#[test]
fn what_is_not_meant_for_it_is_not_answered() {
    let mut responder = Responder::new(9, None);
    let mut out = Vec::new();
    let mut ask =
        |bytes: &[u8], way| responder.handle((Timestamp(0), WALL), came(way, "10.0.0.1:5"), 1, bytes, &mut out)[0];
    assert_eq!(ask(&probe(7, 1, Way::Unicast), Way::Multicast), None, "it says it came another way");
    let mut foreign = Vec::new();
    let of = Probe {
        run: 1,
        number: 1,
        way: Way::Unicast,
        origin: 0,
        aside: false,
        conference: Some(ConferenceId([2; 16])),
    };
    of.write(0, &mut foreign);
    assert_eq!(ask(&foreign, Way::Unicast), None, "for the members of a conference");
    assert_eq!(ask(b"P", Way::Unicast), None);
    assert_eq!(responder.refused(), 1);
}

#[test]
fn answers_are_so_many_a_second_for_one_who_asks_and_for_all() {
    let mut responder = Responder::new(9, None);
    let mut out = Vec::new();
    let mut asked = |second: u64, run: u64| {
        let now = Timestamp::from_millis(1_000 * second);
        (1..=1_000)
            .filter(|&n| {
                let bytes = probe(run, n, Way::Unicast);
                responder.handle((now, WALL), came(Way::Unicast, "10.0.0.1:5"), 1, &bytes, &mut out)[0].is_some()
            })
            .count() as u32
    };
    assert_eq!(asked(1, 1), PROBE_ANSWERS_PER_RUN_MAX);
    assert_eq!((2..9).map(|run| asked(1, run)).sum::<u32>() + PROBE_ANSWERS_PER_RUN_MAX, PROBE_ANSWERS_PER_S_MAX);
    assert_eq!(asked(2, 1), PROBE_ANSWERS_PER_RUN_MAX);
}

#[test]
fn no_more_runs_are_remembered_than_the_bound() {
    let mut responder = Responder::new(9, None);
    let mut out = Vec::new();
    let mut heard = |run: u64, number| {
        let bytes = probe(run, number, Way::Unicast);
        let now = Timestamp::from_millis(1_000 * u64::from(number));
        responder.handle((now, WALL), came(Way::Unicast, "10.0.0.1:5"), 1, &bytes, &mut out);
        match probe::parse(&out) {
            Ok(Datagram::Answer(answer)) => answer.heard[2],
            _ => 0,
        }
    };
    heard(0, 1);
    (1..PROBE_RUNS_MAX as u64).for_each(|run| assert_eq!(heard(run, 1), 1));
    assert_eq!(heard(0, 2), 2, "still known, and now the newest");
    heard(99, 2);
    assert_eq!(heard(1, 3), 1, "forgotten: the oldest");
    assert_eq!(heard(0, 3), 3);
}

#[test]
fn of_a_crowd_only_some_answer_what_goes_to_all() {
    let people = 1_000;
    let answers = |way: Way| {
        (0..people as u64)
            .filter(|&n| {
                let mut responder = Responder::new(n.wrapping_mul(0x1234_5678_9abc_def1), None);
                let mut out = Vec::new();
                let bytes = probe(5, 1, way);
                responder.handle((Timestamp(0), WALL), came(way, "10.0.0.1:5"), people, &bytes, &mut out)[0].is_some()
            })
            .count()
    };
    let some = answers(Way::Multicast);
    assert!(some > 0 && some < 3 * PROBE_CROWD_MAX, "{some} of {people}");
    assert_eq!(answers(Way::Unicast), people);
}

// --- prober and responders ---

/// What is lost between the prober and one peer.
type Lost = fn(there: bool, way: Way, number: u32) -> bool;

struct Other {
    address: SocketAddr,
    responder: Responder,
    lost: Lost,
    delay_ms: u64,
    clock_s: i64,
    /// Nanoseconds that each large datagram takes.
    pace: u64,
}

impl Other {
    fn new(address: &str, lost: Lost) -> Self {
        let address = at(address);
        let responder = Responder::new(u64::from(address.port()), None);
        Self { address, responder, lost, delay_ms: 0, clock_s: 0, pace: 1_000 }
    }
}

/// Runs to the end; what the prober has measured.
fn measured(targets: &[Target], others: &mut [Other]) -> Vec<Peer> {
    let start = Timestamp::from_millis(10_000);
    let mut prober = Prober::new(start, 77, 1, None, targets);
    let mut now = start;
    let wall = |now: Timestamp| WALL.offset(now.nanos_from(start));
    let (mut sent, mut reply) = (Vec::new(), Vec::new());
    while let Some(due) = prober.next_timeout() {
        now = now.max(due);
        sent.clear();
        prober.timeout(now, wall(now), |to, bytes| sent.push((to, bytes.to_vec())));
        let mut large = 0;
        for (to, bytes) in &sent {
            let Ok(Datagram::Probe(question)) = probe::parse(bytes) else { panic!("it sends probes") };
            for other in others.iter_mut() {
                if !matches!(to, To::Group | To::Broadcast) && *to != To::Peer(other.address) {
                    continue;
                }
                let (way, number) = (question.way, question.number);
                if (other.lost)(true, way, number) {
                    continue;
                }
                large += u64::from(bytes.len() > PROBE_BYTES_MIN);
                let arrived = now + Duration::from_nanos(other.delay_ms * 500_000 + large * other.pace);
                let theirs = wall(arrived).offset(other.clock_s * 1_000_000_000);
                let came = Came { unicast: way == Way::Unicast, source: at("10.0.0.1:1"), arrived: theirs };
                let replies = other.responder.handle((arrived, theirs), came, 1, bytes, &mut reply);
                for to in replies.into_iter().flatten() {
                    let back = match to {
                        ReplyTo::Asker => Way::Unicast,
                        ReplyTo::Group => Way::Multicast,
                        ReplyTo::Broadcast => Way::Broadcast,
                        ReplyTo::Aside => continue,
                    };
                    if !(other.lost)(false, back, number) {
                        let home = arrived + Duration::from_nanos(other.delay_ms * 500_000);
                        assert!(prober.handle(home, wall(home), back, other.address, &reply));
                    }
                }
            }
        }
    }
    assert!(prober.ends_at() > now && prober.ends_at().since(start) < Duration::from_secs(8));
    prober.peers()
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole)
}

#[test]
fn a_good_network_is_measured_as_one() {
    let mut far = Other::new("10.0.0.3:3", |_, _, _| false);
    (far.delay_ms, far.clock_s) = (40, 3_600);
    let peers = measured(&[], &mut [Other::new("10.0.0.2:2", |_, _, _| false), far]);
    assert_eq!(peers.len(), 2);
    for peer in &peers {
        for path in peer.paths {
            assert!(path.sent >= 29 && path.reached == path.sent, "{path:?}");
            assert!(path.answered >= 26 && path.came == path.answered, "{path:?}");
        }
        assert!(!peer.silent && peer.large == Some(1.0) && peer.rate_mbit.is_some_and(|r| r > 100.0), "{peer:?}");
    }
    let far = peers.iter().find(|p| p.address == at("10.0.0.3:3")).unwrap();
    assert!(far.delay_ms.is_some_and(|ms| (39.0..41.0).contains(&ms)), "{far:?}");
    assert!(far.clock_s.is_some_and(|s| (3_599.9..3_600.1).contains(&s)), "{far:?}");
}

#[test]
fn each_way_and_direction_is_told_apart() {
    let closed_out = measured(&[], &mut [Other::new("10.0.0.2:2", |there, way, _| there && way == Way::Multicast)]);
    let path = closed_out[0].path(Way::Multicast);
    assert!(path.reached == 0 && path.sent >= 29 && closed_out[0].path(Way::Unicast).reached >= 90);
    let closed_in = measured(&[], &mut [Other::new("10.0.0.2:2", |there, way, _| !there && way == Way::Multicast)]);
    let path = closed_in[0].path(Way::Multicast);
    assert!(path.reached >= 29 && path.answered >= 26 && path.came == 0, "{path:?}");
    let lossy = measured(&[], &mut [Other::new("10.0.0.2:2", |there, _, number| there && number % 5 == 2)]);
    let path = lossy[0].path(Way::Unicast);
    assert!((0.75..0.85).contains(&share(path.reached, path.sent)), "{path:?}");
    assert!(share(path.came, path.answered) > 0.95, "{path:?}");
}

#[test]
fn a_slow_link_and_a_narrow_one_show_in_the_burst() {
    let mut slow = Other::new("10.0.0.2:2", |_, _, _| false);
    slow.pace = 11_500_000;
    let peers = measured(&[], &mut [slow]);
    assert!(peers[0].rate_mbit.is_some_and(|rate| (0.9..1.1).contains(&rate)), "{:?}", peers[0]);
    // Those of the burst are forty unicast probes behind the hundredth; small ones follow.
    let narrow = |there: bool, way: Way, number: u32| there && way == Way::Unicast && (101..=140).contains(&number);
    let peers = measured(&[], &mut [Other::new("10.0.0.2:2", narrow)]);
    assert_eq!((peers[0].large, peers[0].rate_mbit), (Some(0.0), None));
    let gone = |_: bool, way: Way, number: u32| way == Way::Unicast && number > 100;
    let peers = measured(&[], &mut [Other::new("10.0.0.2:2", gone)]);
    assert_eq!((peers[0].large, peers[0].rate_mbit), (None, None));
}

#[test]
fn those_who_were_named_are_known_by_address_and_may_be_silent() {
    let target = |address: &str, name: &str| Target { address: at(address), name: Some(name.into()), mute: false };
    let targets = [target("10.0.0.2:0", "Bob"), target("10.0.0.9:9", "Cyd")];
    let peers = measured(&targets, &mut [Other::new("10.0.0.2:2", |_, _, _| false)]);
    assert_eq!(peers.len(), 2);
    assert!(peers[0].address == at("10.0.0.2:2") && !peers[0].silent && peers[0].label() == "Bob");
    assert!(peers[1].silent && peers[1].path(Way::Unicast).reached == 0 && peers[1].label() == "Cyd");
}

#[test]
fn forged_answers_change_nothing_and_a_crowd_is_cut_off() {
    let mut prober = Prober::new(Timestamp(0), 77, 1, None, &[]);
    prober.timeout(Timestamp(0), WALL, |_, _| {});
    let good = Answer {
        run: 77,
        number: 1,
        way: Way::Multicast,
        origin: WALL.0,
        receive: WALL.0,
        transmit: WALL.0,
        instance: 5,
        heard: [1, 0, 0],
        conference: None,
    };
    let mut bytes = Vec::new();
    let mut hear = |prober: &mut Prober, answer: Answer, source: SocketAddr| {
        answer.write(&mut bytes);
        prober.handle(Timestamp(1), WALL, Way::Multicast, source, &bytes)
    };
    for forged in [
        Answer { run: 78, ..good },
        Answer { instance: 1, ..good },
        Answer { number: 2, ..good },
        Answer { heard: [2, 0, 0], ..good },
    ] {
        assert!(!hear(&mut prober, forged, at("10.0.0.2:2")), "{forged:?}");
        assert!(prober.peers().iter().all(|p| p.path(Way::Multicast).reached == 0));
    }
    for port in 1..=2 * PROBE_PEERS_MAX as u16 {
        hear(&mut prober, good, SocketAddr::new(at("10.0.0.2:2").ip(), port));
    }
    assert_eq!(prober.peers().len(), PROBE_PEERS_MAX);
}

// --- the rules ---

fn well() -> Peer {
    let path = Path { sent: 30, reached: 30, answered: 27, came: 27 };
    let unicast = Path { sent: 100, reached: 100, answered: 100, came: 100 };
    Peer {
        paths: [path, path, unicast],
        delay_ms: Some(0.3),
        clock_s: Some(0.0),
        rate_mbit: Some(800.0),
        large: Some(1.0),
        ..Peer::new(at("10.77.0.2:40000"))
    }
}

fn link(name: &str) -> Link {
    let addresses = vec![at("10.77.0.1:1").ip()];
    Link { name: name.into(), up: true, carrier: true, addresses, mtu: 1_500, ..Link::default() }
}

fn healthy() -> Facts {
    Facts {
        links: vec![link("eth0")],
        chosen: Some("eth0".into()),
        address: Some(at("10.77.0.1:1").ip()),
        prefix: 24,
        ttl: 1,
        loopback: Some(true),
        sends: [(30, 0), (30, 0), (140, 0)],
        received: [60, 60, 200],
        wire: Some(Wire { queries: 1, reports: 4, came: [60, 60, 200], went: [30, 30, 140], aside: 0 }),
        firewall: Some(Vec::new()),
        peers: vec![well()],
        buffer: Some(4 << 20),
        ..Facts::default()
    }
}

#[test]
fn nothing_is_wrong_with_a_healthy_network() {
    assert_eq!(examine(&healthy()), []);
    let unseen = Facts { wire: None, firewall: None, ..healthy() };
    assert_eq!(
        examine(&unseen).iter().map(|f| (f.code, f.severity)).collect::<Vec<_>>(),
        [("not_permitted", Severity::Note)]
    );
}

/// The first finding of facts that are healthy but for one change.
#[track_caller]
fn check(code: &str, severity: Severity, change: impl FnOnce(&mut Facts)) -> Finding {
    let mut facts = healthy();
    change(&mut facts);
    let found = examine(&facts);
    let first = found.first().unwrap_or_else(|| panic!("nothing found, {code} expected"));
    assert_eq!((first.code, first.severity), (code, severity), "{found:#?}");
    assert!(first.severity == Severity::Note || first.mend.is_some(), "nothing mends {code}");
    first.clone()
}

fn path(sent: u32, reached: u32, answered: u32, came: u32) -> Path {
    Path { sent, reached, answered, came }
}

#[test]
fn each_cause_on_this_machine_is_named() {
    use Severity::{Fault, Warning};
    check("no_interface", Fault, |f| (f.links, f.chosen) = (vec![], None));
    check("interface_down", Fault, |f| (f.links[0].up, f.chosen) = (false, None));
    check("no_carrier", Fault, |f| (f.links[0].carrier, f.chosen) = (false, None));
    check("no_address", Fault, |f| (f.links[0].addresses, f.chosen) = (vec![], None));
    check("ttl_zero", Fault, |f| f.ttl = 0);
    check("duplicate_address", Fault, |f| f.duplicate = Some("02:00:00:00:00:01".into()));
    check("mtu", Fault, |f| f.links[0].mtu = 1_000);
    check("mtu", Warning, |f| f.links[0].mtu = 1_400);
    check("receive_buffer", Fault, |f| f.buffer = Some(64 << 10));
    check("receive_buffer", Warning, |f| f.buffer = Some(208 << 10));
    check("wifi", Warning, |f| f.links[0].wireless = true);
    check("virtual_interface", Warning, |f| f.links[0].software = true);
    check("camera_missing", Fault, |f| f.camera = Device::Missing("3".into(), vec![]));
    check("camera_missing", Warning, |f| f.camera = Device::None);
    check("microphone_missing", Fault, |f| f.microphone = Device::Missing("USB".into(), vec!["Built-in".into()]));
    check("speaker_missing", Warning, |f| f.speaker = Device::None);
    let other = ("eth1".to_owned(), at("10.78.0.1:1").ip(), 2);
    let found = check("wrong_interface", Fault, |f| (f.elsewhere, f.peers) = (vec![other.clone()], vec![]));
    assert!(found.mend.is_some_and(|m| m.contains("--interface eth1")));
    check("two_networks", Warning, |f| f.elsewhere = vec![other]);
}

#[test]
fn the_own_firewall_is_named_by_what_passed_the_card_and_did_not_arrive() {
    use Severity::Fault;
    let silent = |f: &mut Facts, ways: &[usize]| {
        ways.iter().for_each(|&way| f.received[way] = 0);
        f.loopback = Some(false);
    };
    check("multicast_blocked_in", Fault, |f| silent(f, &[0]));
    check("port_blocked_in", Fault, |f| silent(f, &[0, 1]));
    check("udp_blocked_in", Fault, |f| silent(f, &[0, 1, 2]));
    check("unicast_blocked_in", Fault, |f| f.received[2] = 0);
    check("multicast_blocked_out", Fault, |f| f.sends[0] = (0, 30));
    check("multicast_blocked_out", Fault, |f| f.wire.as_mut().unwrap().went[0] = 0);
    check("unicast_blocked_out", Fault, |f| f.sends[2] = (0, 140));
    check("udp_blocked_out", Fault, |f| f.sends = [(0, 30), (0, 30), (0, 0)]);
    let found = check("igmp_blocked", Fault, |f| {
        f.wire.as_mut().unwrap().reports = 0;
        f.firewall =
            Some(vec![Drop { igmp: true, text: "rule 5".into(), mend: "nft delete".into(), ..Drop::default() }]);
    });
    assert_eq!(found.mend.as_deref(), Some("nft delete     # rule 5"));
    let found = check("multicast_blocked_in", Fault, |f| silent(f, &[0]));
    assert!(found.mend.is_some_and(|m| m.contains("10.77.0.0/24")), "without a rule that is known: the network");
}

#[test]
fn each_cause_in_the_network_or_at_a_peer_is_named() {
    use Severity::{Fault, Note, Warning};
    check("no_querier", Fault, |f| f.wire.as_mut().unwrap().queries = 0);
    check("flooding", Note, |f| (f.wire.as_mut().unwrap().queries, f.wire.as_mut().unwrap().aside) = (0, 3));
    check("multicast_out", Fault, |f| f.peers[0].paths[0] = path(30, 0, 0, 0));
    check("multicast_in", Fault, |f| f.peers[0].paths[0] = path(30, 30, 27, 0));
    check("unicast_closed", Fault, |f| f.peers[0].paths[2] = path(100, 0, 0, 0));
    check("loss", Fault, |f| f.peers[0].paths[2] = path(100, 88, 88, 88));
    check("delay", Fault, |f| f.peers[0].delay_ms = Some(80.0));
    check("slow_link", Fault, |f| f.peers[0].rate_mbit = Some(0.95));
    check("mtu_path", Fault, |f| (f.peers[0].large, f.peers[0].rate_mbit) = (Some(0.0), None));
    check("clock", Warning, |f| f.peers[0].clock_s = Some(3_600.0));
    check("stream_silent", Fault, |f| f.peers[0].mute = true);
    check("alone", Note, |f| f.peers.clear());
    let heard = vec![at("10.77.0.2:1").ip()];
    check("udp_one_way", Fault, |f| (f.peers, f.heard_of) = (vec![], heard));
    let sought = |found, people| Some(Sought { title: "Standup".into(), found, people });
    check("no_conference", Fault, |f| (f.peers, f.sought) = (vec![], sought(false, 0)));
    check("some_silent", Warning, |f| f.sought = sought(true, 3));
    for (host, code) in
        [(Host::Absent, "peer_absent"), (Host::Refuses, "peer_not_running"), (Host::Present, "peer_silent")]
    {
        let silent = Peer { silent: true, host, ..Peer::new(at("10.77.0.3:1")) };
        check(code, Fault, |f| f.peers.push(silent));
    }
}

#[test]
fn whose_fault_it_is_follows_from_who_has_it() {
    let named = |name: &str| Peer { name: Some(name.into()), ..well() };
    let lossy =
        |name: &str| Peer { paths: [path(30, 20, 18, 12), path(30, 20, 18, 12), path(100, 70, 70, 50)], ..named(name) };
    let place = |peers: Vec<Peer>| check("loss", Severity::Fault, |f| f.peers = peers).place;
    assert_eq!(place(vec![lossy("Bob")]), Where::Network);
    assert_eq!(place(vec![lossy("Bob"), named("Cyd")]), Where::Peer("Bob".into()));
    assert_eq!(place(vec![lossy("Bob"), lossy("Cyd")]), Where::Here);
    assert_eq!(place(vec![lossy("Bob"), lossy("Cyd"), named("Dee")]), Where::Network);
    let closed = |peers: Vec<Peer>| check("multicast_out", Severity::Fault, |f| f.peers = peers);
    let deaf = |name: &str| {
        let mut peer = named(name);
        peer.paths[0] = path(30, 0, 0, 0);
        peer
    };
    assert_eq!(closed(vec![deaf("Bob"), named("Cyd")]).place, Where::Peer("Bob".into()));
    let both = closed(vec![deaf("Bob"), deaf("Cyd")]);
    assert!(both.place == Where::Network && both.text.contains("Bob, Cyd"), "{both:?}");
}
