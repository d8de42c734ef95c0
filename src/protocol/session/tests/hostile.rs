use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Datagrams of a small conference, as a source of things to mutate.
fn recorded() -> Vec<(SocketAddrV4, To, Vec<u8>)> {
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
    fn authentic_nonsense_never_panics(payloads in vec((0..4_u8, vec(any::<u8>(), 0..300)), 1..40)) {
        use prost::Message as _;
        let mut lan = Lan::of(1);
        let mut rogue = forger(66);
        for (kind, payload) in payloads {
            let mut out = Outputs::default();
            if kind == 3 {
                out.send(To::Control, |bytes| rogue.sealer.seal(&payload, bytes));
            } else {
                let number = [1, 2, 4][usize::from(kind)];
                let signed = rogue.signed(number, payload).encode_to_vec();
                let inner = [&[number << 3 | 2], varint(signed.len()).as_slice(), &signed].concat();
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
