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
