use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::limits::{
    DOOR_WORK_PER_S_MAX, JOIN_ANSWERS_MAX, NEWCOMERS_PER_S_MAX, NEWCOMERS_TOTAL_PER_S_MAX, PARTICIPANTS_PER_SOURCE_MAX,
    PONGS_PER_S_MAX, SLOTS_MAX,
};
use crate::wire::door;
use crate::wire::message::{Body, Kind, Message, Ping};

/// Datagrams of a small conference, as a source of things to mutate.
fn recorded() -> Vec<(SocketAddr, To, Vec<u8>)> {
    let mut lan = Lan::default();
    for n in 11..=12 {
        lan.enter(Setup { ..setup(n, Some(u32::from(n) - 11)) });
        lan.run(300);
    }
    let at = moment(lan.ms);
    lan.deliver(address(50), To::Discovery, &Query { unicast: true, nonce: 5 }.to_bytes());
    lan.act(0, |s, out| s.leave(at, out));
    lan.run(20);
    lan.sent.into_iter().map(|(_, source, to, bytes)| (source, to, bytes)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_change_a_roster(packets in vec((any::<u8>(), vec(any::<u8>(), 0..1_500)), 1..30)) {
        let mut lan = Lan::of(2);
        let before = lan.state(0);
        for (way, mut bytes) in packets {
            let to = [To::Control, To::Discovery, To::Unicast(address(1))][usize::from(way % 3)];
            // Half of them get past the first look.
            if way >= 128 && bytes.len() >= 8 {
                let tag = crate::protocol::keys::conference_tag(&CONFERENCE).to_be_bytes();
                bytes[..4].copy_from_slice(if to == To::Discovery { b"D\x12\x00\x40" } else { b"L\x11\x00\x00" });
                bytes[4..8].copy_from_slice(&tag);
            }
            lan.deliver(address(200), to, &bytes);
        }
        prop_assert_eq!(lan.state(0), before);
        prop_assert!(lan.events.is_empty() && lan.sent.is_empty());
    }

    #[test]
    fn mutated_datagrams_never_change_a_roster(
        changes in vec((any::<Index>(), any::<Index>(), 1..=255_u8, any::<bool>()), 1..40)
    ) {
        let good = recorded();
        let mut lan = Lan::of(2);
        let before = lan.state(0);
        for (which, at, flip, cut) in changes {
            let (source, to, bytes) = &good[which.index(good.len())];
            let mut bad = bytes.clone();
            let at = at.index(bad.len());
            bad[at] ^= flip;
            if cut {
                bad.truncate(at + 1);
            }
            // A query whose nonce or flag differs is a good query.
            if bad.first() != Some(&b'D') || bad.get(1) != Some(&0x11) {
                lan.deliver(*source, if *to == To::Control { To::Control } else { *to }, &bad);
            }
        }
        prop_assert_eq!(lan.state(0), before);
        prop_assert!(lan.events.is_empty());
    }

    /// Bodies sealed and signed properly by somebody who is up to no good.
    #[test]
    fn authentic_nonsense_never_panics(payloads in vec((0..9_u8, vec(any::<u8>(), 0..300)), 1..40)) {
        use prost::Message as _;
        let mut lan = Lan::of(1);
        let mut rogue = forger(66);
        for (kind, payload) in payloads {
            let mut out = Outputs::default();
            if kind == 8 {
                out.send(To::Control, |bytes| rogue.sealer.seal(&payload, bytes));
            } else {
                // Of the roster, and of the door: ban, turn, chain, knock, refusal.
                let number = [1, 2, 4, 16, 17, 24, 25, 26][usize::from(kind)];
                let signed = rogue.signed(number, payload).encode_to_vec();
                let tag = usize::from(number) << 3 | 2;
                let inner = [varint(tag).as_slice(), varint(signed.len()).as_slice(), &signed].concat();
                let body = [&[0x0a], varint(inner.len()).as_slice(), &inner].concat();
                out.send(To::Control, |bytes| rogue.sealer.seal(&body, bytes));
            }
            let datagram = out.sends().next().map(|(_, b)| b.to_vec()).unwrap_or_default();
            lan.deliver(address(66), To::Control, &datagram);
        }
        prop_assert!(lan.session(0).roster.entries().0 <= 1);
    }
}

fn varint(n: usize) -> Vec<u8> {
    if n < 128 { vec![n as u8] } else { vec![n as u8 | 0x80, (n >> 7) as u8] }
}

/// Signed and sealed by `n`, who is nobody.
fn ghost(n: u16, address: SocketAddr, ms: u64, slot: Option<u8>) -> Vec<u8> {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    let identity = Identity::from_seed(&seed);
    let mut ghost = Session::new(moment(ms), Setup { seed, identity, address, ..setup(66, Some(0)) });
    (ghost.me.slot, ghost.me.streams) = (slot, vec![video()]);
    said(&mut ghost, |g, out| beacon(g, moment(ms), out))
}

fn machine(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0b00_0000 + n), 9))
}

#[test]
fn one_machine_fills_neither_the_roster_nor_the_processor() {
    let mut lan = Lan::of(1);
    let flood = NEWCOMERS_PER_S_MAX as u16 + 50;
    let arrive = |lan: &mut Lan, numbers: std::ops::Range<u16>| {
        numbers.for_each(|n| lan.deliver(machine(1), To::Control, &ghost(n, machine(1), lan.ms, None)));
    };
    arrive(&mut lan, 0..flood);
    assert_eq!(lan.session(0).roster.entries().0, ARRIVALS_MAX.div_ceil(3), "room for others is left");
    let sids: Vec<u64> = lan.session(0).roster.sids().collect();
    sids.into_iter().for_each(|sid| lan.sessions[0].1.roster.confirm(moment(0).now, sid));
    arrive(&mut lan, flood..flood + 50);
    assert_eq!(lan.session(0).roster.entries().0, PARTICIPANTS_PER_SOURCE_MAX);
    assert_eq!(lan.counters(0).excess, u64::from(flood) + 50 - PARTICIPANTS_PER_SOURCE_MAX as u64);
    lan.deliver(machine(2), To::Control, &ghost(1_000, machine(2), lan.ms, None));
    assert_eq!(lan.session(0).roster.entries().0, PARTICIPANTS_PER_SOURCE_MAX + 1, "others come in");
}

#[test]
fn newcomers_who_leave_at_once_are_checked_so_many_times_a_second() {
    let mut lan = Lan::of(1);
    for n in 0..2 * NEWCOMERS_PER_S_MAX as u16 {
        let ms = lan.ms;
        lan.deliver(machine(1), To::Control, &ghost(n, machine(1), ms, None));
        let sids: Vec<u64> = lan.sessions[0].1.roster.sids().collect();
        sids.into_iter().for_each(|sid| lan.sessions[0].1.roster.bye(moment(ms).now, sid));
    }
    assert_eq!(lan.counters(0).throttled, u64::from(NEWCOMERS_PER_S_MAX));
}

#[test]
fn slots_claimed_by_those_who_never_proved_to_be_there_are_taken_all_the_same() {
    let mut lan = Lan::default();
    lan.enter(setup(1, Some(0)));
    lan.run(600);
    for slot in 0..SLOTS_MAX as u8 {
        let from = machine(slot.into());
        lan.deliver(from, To::Control, &ghost(slot.into(), from, lan.ms, Some(slot)));
    }
    assert!(lan.session(0).roster.slots_taken(true).iter().all(|&taken| taken));
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.set_streams(at, &[video()], out));
    assert!(lan.session(0).me().slot.is_some());
}

#[test]
fn a_ping_is_answered_once_for_each_datagram_and_never_when_it_was_sent_to_all() {
    use prost::Message as _;
    let mut lan = Lan::of(1);
    let mut rogue = forger(66);
    let ping = Message { kind: Some(Kind::Ping(Ping { nonce: 1, origin: 2 })) };
    let body = Body { messages: vec![ping; 32] }.encode_to_vec();
    for (to, answers) in [(To::Control, 0), (To::Unicast(address(1)), 1)] {
        let mut out = Outputs::default();
        out.send(to, |bytes| rogue.sealer.seal(&body, bytes));
        let datagram = out.sends().next().map(|(_, b)| b.to_vec()).expect("sealed");
        lan.sent.clear();
        lan.deliver(address(66), to, &datagram);
        let pongs = lan.sent.iter().filter(|s| s.2 == To::Unicast(address(66))).count();
        assert_eq!(pongs, answers, "{to:?}");
    }
    assert_eq!(lan.counters(0).excess, 32 + 31);
}

#[test]
fn newcomers_from_many_machines_are_checked_so_many_times_a_second_in_all() {
    let mut lan = Lan::of(1);
    let (ms, flood) = (lan.ms, NEWCOMERS_TOTAL_PER_S_MAX as u16 + 7);
    for n in 0..flood {
        let from = machine(n.into());
        lan.deliver(from, To::Control, &ghost(n, from, ms, None));
        let sids: Vec<u64> = lan.sessions[0].1.roster.sids().collect();
        sids.into_iter().for_each(|sid| lan.sessions[0].1.roster.bye(moment(ms).now, sid));
    }
    assert_eq!(lan.counters(0).throttled, 7);
}

#[test]
fn so_many_pings_are_answered_a_second() {
    use prost::Message as _;
    let mut lan = Lan::of(1);
    let mut rogue = forger(66);
    let ping = Message { kind: Some(Kind::Ping(Ping { nonce: 1, origin: 2 })) };
    let body = Body { messages: vec![ping] }.encode_to_vec();
    lan.sent.clear();
    for _ in 0..PONGS_PER_S_MAX + 5 {
        let mut out = Outputs::default();
        out.send(To::Unicast(address(1)), |bytes| rogue.sealer.seal(&body, bytes));
        let datagram = out.sends().next().map(|(_, b)| b.to_vec()).expect("sealed");
        lan.deliver(address(66), To::Unicast(address(1)), &datagram);
    }
    let pongs = lan.sent.iter().filter(|s| s.2 == To::Unicast(address(66))).count();
    assert_eq!((pongs, lan.counters(0).excess), (PONGS_PER_S_MAX as usize, 5));
}

#[test]
fn what_is_said_at_the_door_from_many_machines_is_looked_at_so_often_a_second() {
    let mut lan = Lan::of(1);
    let mut rogue = forger(66);
    let mut said_by = |lan: &mut Lan, n: u32| {
        let chain = door::Packet::Chain(door::Chain::default());
        let bytes = said(&mut rogue, |s, out| s.post_door(To::Control, chain, out));
        lan.deliver(machine(n), To::Control, &bytes);
        (lan.counters(0).malformed, lan.counters(0).throttled)
    };
    let most = u64::from(DOOR_WORK_PER_S_MAX);
    let looked_at = (0..DOOR_WORK_PER_S_MAX).map(|n| said_by(&mut lan, n / 50)).last();
    assert_eq!(looked_at, Some((most, 0)));
    assert_eq!(said_by(&mut lan, 999), (most, 1));
    lan.ms += 1_000;
    assert_eq!(said_by(&mut lan, 999), (most + 1, 1), "the next second");
}

#[test]
fn a_crowd_of_joins_is_answered_so_many_at_a_time() {
    let mut lan = Lan::of(1);
    lan.run(1_000);
    for n in 0..JOIN_ANSWERS_MAX as u8 + 8 {
        let from = machine(n.into());
        let identity = Identity::from_seed(&[n + 100; 32]);
        let mut ghost =
            Session::new(moment(lan.ms), Setup { seed: [n + 100; 32], identity, address: from, ..setup(66, None) });
        // No time passes in which an answer could go out.
        let join = said(&mut ghost, |g, out| g.send_join(To::Control, out));
        let at = moment(lan.ms);
        let arrival = Arrival { channel: Channel::Control, source: from, wall: at.wall };
        lan.sessions[0].1.beacons.answered = at.now;
        lan.sessions[0].1.handle(at, arrival, &join, &mut Outputs::default());
        let expected = JOIN_ANSWERS_MAX.min(usize::from(n) + 1);
        assert_eq!(lan.session(0).beacons.answers.len(), expected);
    }
    lan.sent.clear();
    lan.run(100);
    assert_eq!(lan.sent_by(1, To::Control).len(), 1, "one beacon for everybody");
    assert!(lan.session(0).beacons.answers.is_empty());
}
