//! What somebody with the conference's keys says in the name of another, and what nobody gave the right to.

use prost::Message as _;

use super::*;
use crate::protocol::chat;
use crate::protocol::keys::participant_id;
use crate::wire::chat::{self as wire, Original};
use crate::wire::message::{Beacon, Join, KIND_JOIN, Message, SignatureContext, Signed};

/// Signed by person 66 for the session `sid`, and said to be of the person with the key `claimed`.
fn forged(kind: u8, payload: Vec<u8>, sid: u64, claimed: &[u8; 32]) -> Signed {
    let signer = participant_id(claimed);
    let context = SignatureContext { kind, conference: CONFERENCE, epoch: 0, signer, sid, counter: 1_000 };
    let signature = Identity::from_seed(&[66; 32]).sign(&context, &payload, &mut Vec::new()).to_vec();
    Signed { signer: claimed.to_vec(), counter: 1_000, payload, signature }
}

pub(super) fn sealed(sid: u64, pn: usize, kind: Kind) -> Vec<u8> {
    let mut sealer = Sealer::new(&EpochKeys::first(CONFERENCE, &Secret::open(&CONFERENCE)), sid);
    let mut body = Vec::new();
    Message { kind: Some(kind) }.write_body(&mut body);
    let seal = |_| {
        let mut bytes = Vec::new();
        assert!(sealer.seal(&body, &mut bytes));
        bytes
    };
    (0..pn).map(seal).last().unwrap()
}

#[test]
fn a_join_in_the_name_of_a_member_displaces_nobody_and_is_counted() {
    let mut lan = Lan::of(2);
    let ada = lan.session(0);
    let (public, me) = (*ada.identity.public(), ada.me.clone());
    let later = Person { joined: NtpTime(u64::MAX / 2), address: address(66), ..me };
    let join = |beacon: Beacon| Join { nonce: 1, beacon: Some(beacon), known: Vec::new() }.encode_to_vec();
    let signed = forged(KIND_JOIN, join(later.to_beacon(&[])), 77, &public);
    let before = lan.state(1);
    lan.deliver(address(66), To::Control, &sealed(77, 1, Kind::Join(signed)));
    assert_eq!([lan.counters(0).forged, lan.counters(1).forged], [1, 1]);
    assert_eq!(lan.state(1), before);
    assert!(lan.events.is_empty(), "{:?}", lan.events);
}

#[test]
fn a_session_that_was_displaced_is_not_heard_again_and_counted() {
    let mut lan = Lan::of(2);
    let old = lan.session(0).me().sid;
    lan.enter(Setup { seed: [99; 32], address: address(99), ..setup(1, Some(2)) });
    lan.run(1_000);
    let (before, state) = (lan.counters(1), lan.state(1));
    let at = moment(lan.ms);
    assert_eq!(lan.session(0).me().sid, old);
    let beacon = said(&mut lan.sessions[0].1, |s, out| beacon(s, at, out));
    lan.deliver(address(1), To::Control, &beacon);
    assert_eq!(lan.counters(1).refused(), before.refused() + 1);
    assert_eq!(lan.state(1), state);
}

#[test]
fn a_line_in_the_name_of_another_is_shown_to_nobody_and_counted() {
    let mut lan = Lan::of(3);
    lan.run(1_000);
    let (public, sid, epoch) = (*lan.session(0).identity.public(), lan.session(0).me().sid, 0);
    let content = wire::Content { name: "person 1".into(), to: None, body: Some(wire::Body::Text("lies".into())) };
    let bytes = content.encode_to_vec();
    let line = wire::Chat { run: 1, number: 1, time: 1, wall: 1, piece: 0, pieces: 1, bytes };
    let Signed { signer, counter, payload, signature } = forged(wire::KIND_CHAT, line.encode_to_vec(), sid, &public);
    let original = Original { signer, counter, payload, signature, epoch, sid };
    lan.events.clear();
    let before = [1, 2].map(|n| lan.session(n).refused());
    // In the session of the one it is said to be of, and passed on by somebody else who is here.
    for (sid, from) in [(sid, 1), (lan.session(2).me().sid, 3)] {
        lan.deliver(address(from), To::Control, &sealed(sid, 300, Kind::Chat(original.clone())));
    }
    lan.run(2_000);
    let shown = |(_, e): &(SocketAddr, Event)| matches!(e, Event::Chat(chat::Event::Line(_)));
    assert!(!lan.events.iter().any(shown), "{:?}", lan.events);
    // Person 3 takes what comes in its own session for its own.
    assert_eq!([1, 2].map(|n| lan.session(n).refused()), [before[0] + 2, before[1] + 1]);
}

/// Sealed with number `pn` in the session of somebody else: every member has the keys for it.
fn ahead(sid: u64, pn: u64) -> Vec<u8> {
    let mut sealer = Sealer::new(&EpochKeys::first(CONFERENCE, &Secret::open(&CONFERENCE)), sid);
    sealer.reach(pn);
    let mut bytes = Vec::new();
    assert!(sealer.seal(&[], &mut bytes));
    bytes
}

#[test]
fn numbers_far_ahead_in_anothers_session_silence_it_until_its_next_beacon() {
    for pn in [2_000, 1 << 40, u64::MAX] {
        let mut lan = Lan::of(3);
        lan.run(3_000);
        let victim = lan.session(0).me().sid;
        lan.deliver(address(3), To::Control, &ahead(victim, pn));
        lan.events.clear();
        let before = lan.counters(1);
        // Its beacons come each two seconds; nobody gives it up, and what it says after the next one is heard again.
        lan.run(2_100);
        let after = lan.counters(1);
        let at = moment(lan.ms);
        lan.act(0, |s, out| s.say(at, chat::Content::text("still here"), &[], out));
        lan.run(50);
        let read = |(_, e): &(SocketAddr, Event)| matches!(e, Event::Chat(chat::Event::Line(_)));
        assert_eq!(lan.events.iter().filter(|e| read(e)).count(), 3, "number {pn}");
        lan.run(10_000);
        let left = |(_, e): &(SocketAddr, Event)| matches!(e, Event::PersonLeft(..));
        assert!(!lan.events.iter().any(left), "number {pn}: {:?}", lan.events);
        assert_eq!(lan.counters(1).replayed, after.replayed, "all is fresh again");
        assert_eq!(after.forged, before.forged);
    }
}

#[test]
fn numbers_used_up_before_their_owner_comes_to_them_do_not_silence_its_beacons() {
    let mut lan = Lan::of(2);
    lan.run(1_000);
    let victim = lan.session(0).me().sid;
    lan.events.clear();
    for _ in 0..200 {
        let next = lan.session(0).sealer.number() + 1;
        (next..next + 20).for_each(|pn| lan.deliver(address(66), To::Control, &ahead(victim, pn)));
        lan.run(100);
    }
    let left = |(_, e): &(SocketAddr, Event)| matches!(e, Event::PersonLeft(..));
    assert!(!lan.events.iter().any(left), "{:?}", lan.events);
    assert!(lan.counters(1).replayed > 0, "what is not signed is refused as long as that lasts");
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.leave(at, out));
    assert_eq!(lan.events.iter().filter(|e| left(e)).count(), 1, "a farewell is signed");
}

#[test]
fn a_beacon_played_back_moves_no_window() {
    let mut lan = Lan::of(2);
    lan.run(10_000);
    let recorded: Vec<_> = lan.sent_by(1, To::Control).iter().map(|(_, bytes)| bytes.to_vec()).collect();
    assert!(recorded.len() > 3);
    let (victim, before) = (lan.session(0).me().sid, lan.counters(1));
    lan.deliver(address(1), To::Control, &ahead(victim, 1 << 40));
    recorded.iter().for_each(|bytes| lan.deliver(address(1), To::Control, bytes));
    let after = lan.counters(1);
    assert_eq!(after.replayed, before.replayed + recorded.len() as u64);
    assert_eq!((after.stale, after.opened), (before.stale, before.opened + 1));
}

#[test]
fn however_many_sessions_somebody_makes_up_those_of_members_keep_their_windows() {
    let mut lan = Lan::of(2);
    lan.run(1_000);
    let bye = said(&mut lan.sessions[0].1, |s, out| s.send_ping(moment(0), 1, address(2), out));
    lan.deliver(address(1), To::Unicast(address(2)), &bye);
    (1..=2 * crate::limits::SESSIONS_MAX as u64).for_each(|sid| lan.deliver(address(66), To::Control, &ahead(sid, 1)));
    let before = lan.counters(1);
    lan.deliver(address(1), To::Unicast(address(2)), &bye);
    assert_eq!(lan.counters(1).replayed, before.replayed + 1);
}

/// A session that hears nobody say who they are, only that all is as it was.
fn brief(lan: &Lan, n: usize, counter: u64, since: u64) -> Vec<u8> {
    let s = lan.session(n);
    let payload = Beacon { since, ..Beacon::default() }.encode_to_vec();
    let context = SignatureContext {
        kind: KIND_BEACON,
        conference: CONFERENCE,
        epoch: 0,
        signer: s.me.id,
        sid: s.me.sid,
        counter,
    };
    let signature = s.identity.sign(&context, &payload, &mut Vec::new()).to_vec();
    let mut sealer = Sealer::new(s.opener.keys(), s.me.sid);
    sealer.reach(counter);
    let (mut body, mut bytes) = (Vec::new(), Vec::new());
    let signed = Signed { signer: Vec::new(), counter, payload, signature };
    Message { kind: Some(Kind::Beacon(signed)) }.write_body(&mut body);
    assert!(sealer.seal(&body, &mut bytes));
    bytes
}

#[test]
fn a_beacon_without_a_key_is_checked_with_the_sessions() {
    let mut lan = Lan::of(2);
    let last = lan.session(1).roster.counter(lan.session(0).me.sid).unwrap();
    let good = brief(&lan, 0, last + 10, last);
    lan.events.clear();
    lan.deliver(address(1), To::Control, &good);
    assert_eq!(lan.session(1).roster.counter(lan.session(0).me.sid), Some(last + 10));
    assert!(lan.events.is_empty(), "all is as it was: {:?}", lan.events);
    // Signed by another, for the first one's session.
    let before = lan.counters(1);
    let signed = Signed { signer: Vec::new(), ..forged(KIND_BEACON, Vec::new(), lan.session(0).me.sid, &[66; 32]) };
    lan.deliver(address(1), To::Control, &sealed(lan.session(0).me.sid, 900, Kind::Beacon(signed)));
    assert_eq!(lan.counters(1).forged, before.forged + 1);
    // From elsewhere.
    let elsewhere = brief(&lan, 0, last + 1_000, last);
    lan.deliver(address(66), To::Control, &elsewhere);
    assert_eq!(lan.counters(1).misplaced, before.misplaced + 1);
}

#[test]
fn whoever_is_heard_but_not_known_is_asked_twice_a_second_at_most() {
    let mut lan = Lan::of(2);
    lan.run(1_000);
    lan.sent.clear();
    for sid in 1..=50 {
        let signed = Signed { signature: vec![0; 64], ..Signed::default() };
        lan.deliver(address(66), To::Control, &sealed(sid, 1, Kind::Beacon(signed)));
    }
    let asked = lan.sent_by(1, To::Unicast(address(66)));
    assert_eq!(asked.len(), crate::limits::BRIEF_QUESTIONS_PER_S_MAX as usize);
    assert!(asked.iter().all(|(_, question)| question.len() < 300));
}

/// So many beacons in the first one's session, signed by nobody, from so many machines in one second: how many signatures
/// the second one checked, and how many it did not.
fn forge_in_a_members_session(lan: &mut Lan, packets: usize, machines: usize) -> (u64, u64) {
    lan.run(3_000 - lan.ms % 1_000);
    let (victim, public) = (lan.session(0).me().sid, *lan.session(0).identity.public());
    let before = lan.counters(1);
    for n in 0..packets {
        let signed = forged(KIND_BEACON, vec![0], victim, &public);
        let from = address(60 + (n % machines) as u8);
        lan.deliver(from, To::Control, &sealed(victim, 500 + n, Kind::Beacon(signed)));
    }
    let after = lan.counters(1);
    assert_eq!(after.excess, before.excess, "nothing is taken from what the member may say");
    (after.forged - before.forged, after.throttled - before.throttled)
}

#[test]
fn what_others_forge_in_a_members_session_uses_up_nothing_of_what_it_may_say() {
    let mut lan = Lan::of(2);
    let checked = u64::from(crate::limits::ASTRAY_PER_SOURCE_MAX);
    assert_eq!(forge_in_a_members_session(&mut lan, 200, 1), (checked, 200 - checked));
    let raised = Attention { hand: true, ..Attention::default() };
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.set_attention(at, raised, out));
    assert_eq!(lan.session(1).people().next().map(|p| p.attention), Some(raised));
}

#[test]
fn what_many_forge_in_a_members_session_costs_so_much_a_second_and_no_more() {
    let checked = u64::from(crate::limits::ASTRAY_PER_S_MAX);
    assert_eq!(forge_in_a_members_session(&mut Lan::of(2), 1_600, 40), (checked, 1_600 - checked));
}

#[test]
fn introductions_are_taken_from_whoever_relays_and_from_nobody_else() {
    let mut lan = Lan::of(3);
    let sids = [0, 1].map(|n| lan.session(n).me().sid);
    let relay = usize::from(lan.session(1).me().id < lan.session(0).me().id);
    let introduction = crate::wire::relay::Introduction::of(std::iter::once(address(200)));
    let told = |lan: &Lan| lan.events.iter().filter(|(_, e)| matches!(e, Event::Introduced(_))).count();
    let mut pn = 300;
    let mut introduce = |lan: &mut Lan, sid, from| {
        pn += 1;
        let datagram = sealed(sid, pn, Kind::Introduction(introduction.clone()));
        lan.deliver(from, To::Unicast(address(3)), &datagram);
    };
    let before = lan.counters(2).unauthorized;
    introduce(&mut lan, sids[1 - relay], address(2 - relay as u8));
    introduce(&mut lan, sids[relay], address(66));
    introduce(&mut lan, 12_345, address(66));
    assert_eq!((told(&lan), lan.counters(2).unauthorized - before), (0, 3));
    introduce(&mut lan, sids[relay], address(1 + relay as u8));
    assert_eq!(told(&lan), 1);
}
