mod door;
mod files;
mod forged;
mod hostile;
mod talk;
mod wishes;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::limits::ARRIVALS_MAX;
use crate::protocol::roster::{Departure, RepairInfo, StreamInfo};
use crate::wire::address::Scope;
use crate::wire::discovery::{self, Datagram, Query};
use crate::wire::message::{KIND_BEACON, KIND_BYE, Kind};
use crate::wire::{Layer, StreamKind};

const CONFERENCE: ConferenceId = ConferenceId([7; 16]);

fn address(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 4_000))
}

fn video() -> StreamInfo {
    let kind = StreamKind::Video(Layer::Full);
    StreamInfo {
        kind,
        ssrc: 5,
        width: 1_280,
        height: 720,
        fps_milli: 30_000,
        position: 0,
        active: false,
        repair: RepairInfo::default(),
    }
}

fn setup(n: u8, expected: Option<u32>) -> Setup {
    Setup {
        conference: CONFERENCE,
        title: "Standup".into(),
        open: true,
        secret: Secret::open(&CONFERENCE),
        plan: Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).unwrap(),
        identity: Identity::from_seed(&[n; 32]),
        seed: [n; 32],
        name: format!("person {n}"),
        role: Role::Participant,
        address: address(n),
        expected,
    }
}

fn moment(ms: u64) -> Moment {
    Moment { now: Timestamp::from_millis(1_000 + ms), wall: NtpTime::from_unix(Duration::from_millis(1_000 + ms)) }
}

/// Sessions on a network without loss or delay; everything sent is kept.
#[derive(Default)]
struct Lan {
    sessions: Vec<(SocketAddr, Session)>,
    events: Vec<(SocketAddr, Event)>,
    sent: Vec<(u64, SocketAddr, To, Vec<u8>)>,
    waiting: VecDeque<(SocketAddr, To, Vec<u8>)>,
    ms: u64,
    /// Whose datagrams reach whom: those on the same island. All are on one while this is empty.
    islands: BTreeMap<SocketAddr, u8>,
    /// So many of 100 datagrams are lost on each way.
    loss: u64,
    chance: u64,
}

impl Lan {
    /// `n` people who found each other, one after the other, and send pictures.
    fn of(n: u8) -> Self {
        let mut lan = Self::default();
        for i in 1..=n {
            lan.enter(setup(i, Some(u32::from(i) - 1)));
            let ms = lan.ms;
            lan.act(usize::from(i) - 1, |s, out| s.set_streams(moment(ms), &[video()], out));
            lan.run(500);
        }
        lan.events.clear();
        lan.sent.clear();
        lan
    }

    fn enter(&mut self, setup: Setup) {
        self.sessions.push((setup.address, Session::new(moment(self.ms), setup)));
        self.act(self.sessions.len() - 1, |_, _| ());
    }

    /// Lets session `n` do something, and delivers what follows from it.
    fn act(&mut self, n: usize, act: impl FnOnce(&mut Session, &mut Outputs)) {
        let mut out = Outputs::default();
        let (source, session) = &mut self.sessions[n];
        act(session, &mut out);
        session.timeout(moment(self.ms), &mut out);
        let source = *source;
        self.take(source, &mut out);
    }

    /// Keeps what a session gave back, and delivers it.
    fn take(&mut self, source: SocketAddr, out: &mut Outputs) {
        self.collect(source, out);
        while let Some((source, to, bytes)) = self.waiting.pop_front() {
            self.sent.push((self.ms, source, to, bytes.clone()));
            self.hand_round(source, to, &bytes);
        }
    }

    fn collect(&mut self, source: SocketAddr, out: &mut Outputs) {
        self.events.extend(out.events.drain(..).map(|e| (source, e)));
        self.waiting.extend(out.sends().map(|(to, bytes)| (source, to, bytes.to_vec())));
    }

    /// Delivers something from outside, and what follows from it.
    fn deliver(&mut self, source: SocketAddr, to: To, bytes: &[u8]) {
        self.hand_round(source, to, bytes);
        self.take(source, &mut Outputs::default());
    }

    fn hand_round(&mut self, source: SocketAddr, to: To, bytes: &[u8]) {
        for n in 0..self.sessions.len() {
            let (address, session) = &mut self.sessions[n];
            let channel = match to {
                To::Control => Channel::Control,
                To::Discovery => Channel::Discovery,
                To::Unicast(a) if a == *address => Channel::Unicast,
                To::Unicast(_) => continue,
            };
            let (at, address) = (moment(self.ms), *address);
            self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lost = source != address && (self.chance >> 33) % 100 < self.loss;
            if lost || self.islands.get(&source) != self.islands.get(&address) {
                continue;
            }
            let mut out = Outputs::default();
            session.handle(at, Arrival { channel, source, wall: at.wall }, bytes, &mut out);
            self.collect(address, &mut out);
        }
    }

    /// Lets `ms` milliseconds pass.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            for n in 0..self.sessions.len() {
                if self.sessions[n].1.next_timeout().is_some_and(|due| due <= moment(self.ms).now) {
                    self.act(n, |_, _| ());
                }
            }
        }
    }

    fn session(&self, n: usize) -> &Session {
        &self.sessions[n].1
    }

    fn names(&self, n: usize) -> Vec<String> {
        let mut names: Vec<String> = self.session(n).people().map(|p| p.name.clone()).collect();
        names.sort_unstable();
        names
    }

    fn counters(&self, n: usize) -> Counters {
        self.session(n).counters()
    }

    /// Everything anybody can know of session `n` that packets might change.
    fn state(&self, n: usize) -> String {
        let session = self.session(n);
        format!("{:?} {:?} {:?}", session.me, session.people().collect::<Vec<_>>(), session.roster.entries())
    }

    fn sent_by(&self, n: u8, to: To) -> Vec<(u64, &[u8])> {
        let of = |s: &&(u64, SocketAddr, To, Vec<u8>)| s.1 == address(n) && s.2 == to;
        self.sent.iter().filter(of).map(|s| (s.0, s.3.as_slice())).collect()
    }
}

#[test]
fn whoever_starts_a_conference_is_in_at_once_and_announces_it() {
    let mut lan = Lan::default();
    lan.enter(setup(1, Some(0)));
    assert!(matches!(&lan.events[..], [(_, Event::Joined { others: 0, .. })]));
    assert_eq!(lan.sent_by(1, To::Discovery).len(), 1);
    lan.act(0, |s, out| s.set_streams(moment(0), &[video()], out));
    assert!(matches!(lan.events[1].1, Event::SlotTaken(_)));
    assert_eq!(lan.session(0).me().name, "person 1");
}

#[test]
fn a_newcomer_waits_for_answers_as_long_as_stated() {
    for (expected, ms) in [(None, 250), (Some(3), 550)] {
        let mut lan = Lan::default();
        lan.enter(setup(1, expected));
        lan.act(0, |s, out| s.set_streams(moment(0), &[video()], out));
        lan.run(ms - 1);
        assert!(lan.events.is_empty(), "{expected:?}: {:?}", lan.events);
        lan.run(1);
        assert!(matches!(&lan.events[..], [(_, Event::Joined { .. }), (_, Event::SlotTaken(_)), ..]), "{expected:?}");
    }
}

#[test]
fn a_newcomer_is_in_as_soon_as_all_announced_have_answered() {
    let mut lan = Lan::of(3);
    lan.enter(setup(9, Some(3)));
    lan.run(40);
    let joined = lan.events.iter().find(|(a, e)| *a == address(9) && matches!(e, Event::Joined { .. }));
    assert!(matches!(joined, Some((_, Event::Joined { others: 3, .. }))), "{:?}", lan.events);
    assert_eq!(lan.names(3), ["person 1", "person 2", "person 3"]);
    for n in 0..3 {
        assert!(lan.names(n).contains(&"person 9".to_owned()), "{n}");
    }
    assert_eq!(lan.sent_by(9, To::Control).iter().filter(|(ms, _)| *ms > 1_540).count(), 0, "no second JOIN");
}

#[test]
fn a_change_is_told_at_once_and_twice_again() {
    let mut lan = Lan::of(2);
    lan.run(1_000);
    lan.sent.clear();
    let start = lan.ms;
    lan.act(0, |s, out| s.set_microphone(moment(start), Microphone::Muted, out));
    lan.act(0, |s, out| s.set_microphone(moment(start), Microphone::Muted, out));
    let changed = |lan: &Lan| lan.events.iter().filter(|(_, e)| matches!(e, Event::PersonChanged(_))).count();
    assert_eq!(changed(&lan), 1);
    lan.run(300);
    let times: Vec<u64> = lan.sent_by(1, To::Control).iter().map(|(ms, _)| ms - start).collect();
    assert_eq!(times, [0, 60, 250]);
    assert_eq!(changed(&lan), 1, "the repeats tell nothing new");
    assert!(lan.session(1).people().all(|p| p.microphone == Microphone::Muted));
    let (raised, at) = (Attention { hand: true, ..Attention::default() }, lan.ms);
    lan.act(0, |s, out| s.set_attention(moment(at), raised, out));
    assert!(lan.session(1).people().all(|p| p.attention == raised));
}

#[test]
fn quick_changes_are_gathered() {
    let mut lan = Lan::of(1);
    lan.run(1_000);
    lan.sent.clear();
    for n in 0..20 {
        let at = moment(lan.ms);
        let state = if n % 2 == 0 { Microphone::Muted } else { Microphone::On };
        lan.act(0, |s, out| s.set_microphone(at, state, out));
        lan.run(1);
    }
    assert!(lan.sent_by(1, To::Control).len() <= 2, "20 changes in 20 ms");
    lan.run(40);
    assert_eq!(lan.session(0).me().microphone, Microphone::On);
}

#[test]
fn leaving_says_goodbye_three_times_and_is_seen_at_once() {
    let mut lan = Lan::of(2);
    let start = lan.ms;
    lan.act(0, |s, out| s.leave(moment(start), out));
    let left = |e: &(SocketAddr, Event)| matches!(&e.1, Event::PersonLeft(p, Departure::Left) if p.name == "person 1");
    assert_eq!(lan.events.iter().filter(|e| left(e)).count(), 1);
    assert!(!lan.session(0).is_finished());
    lan.run(10);
    assert!(lan.session(0).is_finished());
    let times: Vec<u64> = lan.sent_by(1, To::Control).iter().map(|(ms, _)| ms - start).collect();
    assert_eq!(times, [0, 5, 10]);
    lan.run(10_000);
    assert_eq!(lan.events.iter().filter(|e| left(e)).count(), 1);
    assert_eq!(lan.names(1), [""; 0]);
}

#[test]
fn the_last_one_who_leaves_says_that_it_is_over() {
    let mut lan = Lan::of(2);
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.leave(at, out));
    assert_eq!(lan.sent_by(1, To::Discovery), []);
    lan.act(1, |s, out| s.leave(at, out));
    let over = lan.sent_by(2, To::Discovery);
    let Ok(Datagram::Announce(signed)) = discovery::parse(over[0].1) else { panic!("{over:?}") };
    assert_eq!(signed.announcement.participants, 0);
}

/// A session with the keys of the conference that says anything, true or not.
fn forger(n: u8) -> Session {
    Session::new(moment(0), setup(n, Some(0)))
}

/// A beacon for everybody, due or not.
fn beacon(session: &mut Session, at: Moment, out: &mut Outputs) {
    session.beacons.change = Some(at.now);
    session.send_beacon(at, out);
}

/// What `forger` would send with `say`.
fn said(forger: &mut Session, say: impl FnOnce(&mut Session, &mut Outputs)) -> Vec<u8> {
    let mut out = Outputs::default();
    say(forger, &mut out);
    out.sends().last().unwrap().1.to_vec()
}

#[test]
fn a_forged_goodbye_is_refused_and_counted() {
    let mut lan = Lan::of(2);
    let victim = lan.session(0).me().sid;
    // The forger has the conference's keys, so it can seal in the name of any session; it cannot sign.
    let mut forger = forger(66);
    forger.me.sid = victim;
    forger.sealer = Sealer::new(forger.opener.keys(), victim);
    forger.counter = 1_000_000;
    (0..1_000).for_each(|_| drop(said(&mut forger, |f, out| f.send_bye(out))));
    let bye = said(&mut forger, |f, out| f.send_bye(out));
    lan.deliver(address(1), To::Control, &bye);
    assert_eq!(lan.counters(1).forged, 1);
    assert_eq!(lan.names(1), ["person 1"]);
    // With the victim's public key but without its signature.
    let public = *lan.session(0).identity.public();
    forger.bye.as_mut().unwrap().signer = public.to_vec();
    let bye = said(&mut forger, |f, out| f.send_bye(out));
    lan.deliver(address(1), To::Control, &bye);
    assert_eq!(lan.counters(1).forged, 2);
    assert_eq!(lan.names(1), ["person 1"]);
    assert!(lan.events.is_empty());
}

#[test]
fn what_one_said_cannot_be_said_again_in_another_session() {
    let mut lan = Lan::of(2);
    let mut forger = forger(66);
    forger.bye = Some(lan.sessions[0].1.signed(KIND_BYE, Vec::new()));
    let bye = said(&mut forger, |f, out| f.send_bye(out));
    lan.deliver(address(1), To::Control, &bye);
    assert_eq!(lan.counters(1).forged, 1, "the signature is bound to the session");
    assert_eq!(lan.names(1), ["person 1"]);
}

#[test]
fn replayed_packets_change_nothing() {
    let mut lan = Lan::of(3);
    lan.run(3_000);
    let recorded = std::mem::take(&mut lan.sent);
    let before: Vec<_> = (0..3).map(|n| lan.state(n)).collect();
    lan.events.clear();
    for (_, source, to, bytes) in &recorded {
        lan.deliver(*source, *to, bytes);
    }
    assert_eq!((0..3).map(|n| lan.state(n)).collect::<Vec<_>>(), before);
    assert_eq!(lan.events, []);
    assert!(lan.counters(0).replayed > 3);
    assert!(lan.sent.is_empty(), "and cause no packet");
}

#[test]
fn a_recording_played_to_a_newcomer_shows_nobody() {
    let mut lan = Lan::default();
    lan.enter(setup(1, Some(0)));
    lan.act(0, |s, out| s.set_streams(moment(0), &[video()], out));
    lan.enter(setup(2, Some(1)));
    lan.run(3_000);
    let recorded = std::mem::take(&mut lan.sent);
    // Much later, everybody is gone.
    let mut late = Lan { ms: 100_000, ..Lan::default() };
    late.enter(setup(9, Some(2)));
    for (_, source, to, bytes) in &recorded {
        late.deliver(*source, *to, bytes);
        late.run(1);
    }
    late.run(5_000);
    assert_eq!(late.names(0), [""; 0]);
    assert!(late.events.iter().all(|(_, e)| !matches!(e, Event::PersonJoined(_))), "{:?}", late.events);
    assert_eq!(late.session(0).roster.entries().0, 0);
}

#[test]
fn a_beacon_from_another_address_than_its_own_is_refused() {
    let mut lan = Lan::of(2);
    lan.run(3_000);
    let mut fresh = forger(66);
    let beacon = said(&mut fresh, |f, out| beacon(f, moment(100), out));
    lan.deliver(address(200), To::Control, &beacon);
    assert_eq!(lan.counters(0).misplaced, 1);
    assert_eq!(lan.session(0).roster.entries().0, 1);
}

#[test]
fn a_member_who_moves_to_another_address_stays_the_same_person() {
    let mut lan = Lan::of(2);
    let at = moment(lan.ms);
    lan.sessions[0].0 = address(77);
    lan.act(0, |s, out| s.set_address(at, address(77), out));
    assert!(lan.events.iter().any(|(_, e)| matches!(e, Event::PersonChanged(p) if p.address == address(77))));
    lan.run(30_000);
    assert_eq!(lan.names(1), ["person 1"]);
}

#[test]
fn the_same_identity_elsewhere_displaces_the_earlier_session() {
    let mut lan = Lan::of(2);
    lan.enter(Setup { seed: [99; 32], address: address(99), ..setup(1, Some(2)) });
    lan.run(1_000);
    let displaced: Vec<_> = lan.events.iter().filter(|(_, e)| *e == Event::Displaced).map(|(a, _)| *a).collect();
    assert_eq!(displaced, [address(1)]);
    assert_eq!(lan.session(1).people().map(|p| p.address).collect::<Vec<_>>(), [address(99)]);
}

#[test]
fn a_taken_slot_is_contested_by_rule_and_settled_within_one_exchange() {
    let mut lan = Lan::of(2);
    // The loser's place is the winner's: both beacons say the same slot.
    let slot = lan.session(0).me().slot.unwrap();
    lan.sessions[1].1.me.slot = Some(slot);
    let at = moment(lan.ms);
    lan.act(1, |s, out| beacon(s, at, out));
    lan.run(600);
    let slots: Vec<_> = (0..2).map(|n| lan.session(n).me().slot.unwrap()).collect();
    assert_ne!(slots[0], slots[1]);
    let keeper = usize::from(!slots::keeps(slot, lan.session(0).me().sid, lan.session(1).me().sid));
    assert_eq!(slots[keeper], slot);
    assert_eq!(lan.session(1 - keeper).people().next().unwrap().slot, Some(slot));
}

#[test]
fn a_slot_is_given_up_with_the_last_stream_and_not_needed_by_observers() {
    let mut lan = Lan::of(1);
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.set_streams(at, &[], out));
    assert!(lan.events.iter().any(|(_, e)| *e == Event::SlotLost));
    assert_eq!(lan.session(0).me().slot, None);
    lan.enter(Setup { role: Role::Observer, ..setup(5, Some(1)) });
    lan.act(1, |s, out| s.set_streams(at, &[video()], out));
    lan.run(1_000);
    assert_eq!(lan.session(1).me().slot, None);
    assert_eq!(lan.session(0).people().next().unwrap().role, Role::Observer);
}

#[test]
fn without_a_free_slot_one_is_taken_as_soon_as_there_is_one() {
    let mut lan = Lan::of(1);
    let now = moment(lan.ms).now;
    let template = lan.session(0).me().clone();
    let session = &mut lan.sessions[0].1;
    session.me.slot = None;
    for slot in 0..crate::limits::SLOTS_MAX as u8 {
        let id = crate::wire::message::ParticipantId([slot, 1].repeat(8).try_into().unwrap());
        let person = Person { id, sid: slot.into(), slot: Some(slot), ..template.clone() };
        session.roster.hear(now, &[slot; 32], 1, person, Timestamp(u64::MAX));
        session.roster.confirm(now, slot.into());
    }
    lan.act(0, |_, _| ());
    assert!(lan.events.iter().any(|(_, e)| *e == Event::SlotsFull));
    assert_eq!(lan.session(0).me().slot, None);
    lan.events.clear();
    lan.sessions[0].1.roster.bye(now, 77);
    lan.act(0, |_, _| ());
    assert!(lan.events.iter().any(|(_, e)| *e == Event::SlotTaken(77)), "{:?}", lan.events);
    assert_eq!(lan.session(0).me().slot, Some(77));
}

#[test]
fn pings_measure_the_offset_between_clocks() {
    let mut lan = Lan::of(2);
    lan.run(5_000);
    let samples: Vec<_> = lan
        .events
        .iter()
        .filter_map(|(a, e)| match e {
            Event::ClockSample(sample) if *a == address(1) => Some(*sample),
            _ => None,
        })
        .collect();
    assert!(!samples.is_empty());
    for s in samples {
        assert_eq!((s.id, s.sid), (lan.session(1).me().id, lan.session(1).me().sid));
        assert_eq!(s.sample.sent, s.sample.peer_received, "no delay and one clock");
    }
}

#[test]
fn arrivals_that_never_answer_are_bounded_and_forgotten() {
    let mut lan = Lan::of(1);
    for n in 0..ARRIVALS_MAX + 50 {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let nobody = SocketAddr::from((Ipv4Addr::from(0x0b00_0000 + n as u32), 9));
        let identity = Identity::from_seed(&seed);
        let mut ghost = Session::new(moment(lan.ms), Setup { seed, identity, address: nobody, ..setup(66, Some(0)) });
        let beacon = said(&mut ghost, |g, out| beacon(g, moment(100), out));
        lan.deliver(nobody, To::Control, &beacon);
    }
    assert_eq!(lan.session(0).roster.entries().0, ARRIVALS_MAX);
    assert_eq!(lan.counters(0).excess, 50);
    lan.run(3_000);
    assert_eq!(lan.session(0).roster.entries(), (0, 0, 0));
    assert!(lan.events.iter().all(|(_, e)| !matches!(e, Event::PersonJoined(_))));
}

#[test]
fn forged_signatures_from_strangers_throttle_their_source() {
    let mut lan = Lan::of(1);
    for n in 0..60_u64 {
        let mut liar = Session::new(moment(0), Setup { seed: [100 + n as u8; 32], ..setup(66, Some(0)) });
        let mut signed = liar.signed(KIND_BEACON, vec![1]);
        signed.signature[3] ^= 1;
        liar.bye = Some(signed);
        let bad = said(&mut liar, |l, out| l.send_bye(out));
        lan.deliver(address(66), To::Control, &bad);
    }
    let c = lan.counters(0);
    assert_eq!((c.forged, c.throttled), (50, 10));
    assert_eq!(lan.session(0).roster.entries(), (0, 0, 0));
}

#[test]
fn one_of_many_members_answers_a_query() {
    let mut lan = Lan::of(4);
    lan.run(200);
    lan.sent.clear();
    let query = Query { unicast: true, nonce: 77 }.to_bytes();
    lan.deliver(address(50), To::Discovery, &query);
    lan.run(300);
    let groups = lan.sent.iter().filter(|s| s.2 == To::Discovery).count();
    let unicast = lan.sent.iter().filter(|s| s.2 == To::Unicast(address(50))).count();
    assert_eq!((groups, unicast), (1, 1), "the second and third heard the first");
}

#[test]
fn announcements_by_strangers_do_not_silence_the_members() {
    let mut lan = Lan::of(1);
    let mut liar = forger(66);
    liar.stage = Stage::Joined;
    for _ in 0..24 {
        let lie = said(&mut liar, |l, out| l.send_announce(9, &[], out));
        lan.deliver(address(66), To::Discovery, &lie);
        lan.run(500);
    }
    assert_eq!(lan.counters(0).strangers, 24);
    assert!(lan.sent_by(1, To::Discovery).len() >= 2, "12 s have two unasked announcements");
}

#[test]
fn duplicate_names_agree_on_all_screens() {
    let mut lan = Lan::default();
    for n in 1..=3 {
        lan.enter(Setup { name: "Ada".into(), ..setup(n, Some(u32::from(n) - 1)) });
        lan.run(700);
    }
    let mine: Vec<_> = (0..3).map(|n| lan.session(n).me().name.clone()).collect();
    assert_eq!(mine, ["Ada", "Ada (1)", "Ada (2)"]);
    assert_eq!(lan.names(0), ["Ada (1)", "Ada (2)"]);
    assert_eq!(lan.names(2), ["Ada", "Ada (1)"]);
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.leave(at, out));
    lan.run(3_000);
    assert_eq!((lan.session(1).me().name.as_str(), lan.session(2).me().name.as_str()), ("Ada (1)", "Ada (2)"));
}

#[test]
fn a_member_already_known_does_not_answer_a_repeated_join() {
    let mut lan = Lan::of(2);
    // Nobody knows how many there are, so all three JOINs go out; the later ones list both members.
    lan.enter(setup(9, None));
    lan.run(60);
    lan.sent.clear();
    lan.run(440);
    let answers = [1, 2].map(|n| lan.sent_by(n, To::Control).len());
    assert!(answers.iter().sum::<usize>() <= 1, "at most a regular beacon: {answers:?}");
    assert_eq!(lan.names(2).len(), 2);
}
