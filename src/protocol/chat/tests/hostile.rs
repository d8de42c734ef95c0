//! Arbitrary members: whatever they send, in whatever order, no bound is broken and nothing is shown twice.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::message::Message;
use crate::wire::opened::{self, Opened};

/// Members, most of them known; numbers, most of them near each other.
fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![(0u8..6).prop_map(|n| id(n).0.to_vec()), vec(any::<u8>(), 0..20)]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..40, Just(CHAT_WINDOW), Just(u32::MAX - 1), any::<u32>()]
}

fn run_number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(RUN), 0u32..20, any::<u32>()]
}

prop_compose! {
    fn original()(author in 0u8..6, run in run_number(), number in number(), piece in 0u32..4, pieces in 0u32..10,
                  time in any::<u64>(), text in ".{0,40}", raw in vec(any::<u8>(), 0..60), kind in 0u8..6)
                  -> Original {
        let whole = wire::Content { name: "x".into(), to: None, body: Some(wire::Body::Text(text)) };
        let bytes = if kind == 0 { raw.clone() } else { whole.encode_to_vec() };
        let (piece, pieces) = if kind < 3 { (piece, pieces) } else { (0, 1) };
        let chat = wire::Chat { run, number, time, wall: time, piece, pieces, bytes };
        let payload = if kind == 1 { raw } else { chat.encode_to_vec() };
        let mut original = Keys(author).sign(payload);
        if kind == 2 {
            original.signature.pop();
        }
        original
    }
}

prop_compose! {
    fn known()(member in member(), run in run_number(), upto in number()) -> wire::Known {
        wire::Known { member, run, upto }
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    let want =
        (member(), run_number(), vec(number(), 0..8)).prop_map(|(member, run, ranges)| Want { member, run, ranges });
    prop_oneof![
        4 => original().prop_map(Packet::Chat),
        2 => vec(original(), 0..5).prop_map(|originals| Packet::Repair(Repair { originals })),
        2 => (run_number(), number(), vec(any::<u8>(), 0..80))
            .prop_map(|(run, highest, acks)| Packet::Heartbeat(Heartbeat { run, highest, acks })),
        2 => (vec(want, 0..4), vec(any::<u32>(), 0..9))
            .prop_map(|(wants, tags)| Packet::Nack(Nack { wants, tags })),
        1 => (any::<u64>(), vec(known(), 0..5))
            .prop_map(|(nonce, known)| Packet::HistoryRequest(HistoryRequest { nonce, known })),
        1 => (any::<u64>(), vec(original(), 0..4), vec(known(), 0..4), any::<bool>(), any::<bool>()).prop_map(
            |(nonce, originals, floors, last, busy)| {
                Packet::HistoryAnswer(HistoryAnswer { nonce, index: 0, originals, floors, last, busy })
            }
        ),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Hear(u8, Packet, bool),
    Wait(u64),
    Say(String),
    Join(u8),
    Leave(u8),
    CatchUp,
    Beacon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..8, packet(), any::<bool>()).prop_map(|(from, packet, mine)| Step::Hear(from, packet, mine)),
        4 => prop_oneof![0u64..400, Just(5_000u64), Just(90_000u64)].prop_map(Step::Wait),
        1 => ".{0,30}".prop_map(Step::Say),
        1 => (0u8..8).prop_map(Step::Join),
        1 => (0u8..8).prop_map(Step::Leave),
        1 => Just(Step::CatchUp),
        1 => Just(Step::Beacon),
    ]
}

fn check_bounds(chat: &Chat) {
    let (pieces, bytes) = chat.memory();
    assert!(pieces <= CHAT_LOG_PIECES_MAX && bytes <= CHAT_LOG_BYTES_MAX);
    assert!(chat.book.iter().count() <= CHAT_SEQUENCES_MAX);
    assert!(chat.book.iter().map(|(_, sequence)| sequence.holes.len()).sum::<usize>() <= CHAT_HOLES_MAX + 64 * 64);
    assert_eq!(chat.book.iter().map(|(_, s)| s.pieces.len()).sum::<usize>(), pieces);
}

fn check_output(output: &Output) {
    if let Output::Multicast(packet) | Output::Unicast(_, packet) = output {
        let bytes = Message::from(packet.clone()).encoded_len();
        assert!(bytes <= CHAT_CHUNK_BYTES_MAX, "{bytes} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_send_no_bound_is_broken(steps in vec(step(), 0..120)) {
        let mut chat = newcomer(&[2, 3, 4]);
        let mut now = at(0);
        let mut shown = std::collections::BTreeMap::new();
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Hear(from, packet, mine) => {
                    let packet = match packet {
                        // Some answers are to what was asked.
                        Packet::HistoryAnswer(answer) if mine => {
                            let nonce = chat.history.nonce().unwrap_or(answer.nonce);
                            Packet::HistoryAnswer(HistoryAnswer { nonce, ..answer })
                        }
                        other => other,
                    };
                    chat.handle(now, id(from), &packet, &Checker::default(), &mut out);
                }
                Step::Wait(ms) => {
                    now = now + wait(ms);
                    out.extend(run(&mut chat, now).into_iter().map(|(_, output)| output));
                }
                Step::Say(text) => {
                    let _ = chat.say(now, NtpTime::default(), &Content::text(text), &mut Keys(ME), &mut out);
                }
                Step::Join(member) => chat.joined(now, id(member)),
                Step::Leave(member) => chat.left(now, id(member)),
                Step::CatchUp => chat.catch_up(now, &mut out),
                Step::Beacon => {
                    let beacon = chat.beacon();
                    prop_assert!(beacon.encoded_len() <= 64);
                }
            }
            out.iter().for_each(check_output);
            for output in &out {
                if let Output::Event(Event::Line(line)) = output {
                    *shown.entry(line.key.id).or_insert(0) += 1;
                }
            }
            check_bounds(&chat);
        }
        prop_assert!(shown.values().all(|&times| times == 1), "a line was shown twice");
    }

    #[test]
    fn arbitrary_bytes_are_no_packet_or_one_that_can_be_handled(
        kind in prop::sample::select(vec![&[0x2a][..], &[0x32], &[0x3a], &[0x42], &[0xb2, 1], &[0xba, 1]]),
        bytes in vec(any::<u8>(), 0..300)
    ) {
        let mut chat = chat_with(&[2]);
        let mut packets = Vec::new();
        let field = |key: &[u8], bytes: &[u8]| {
            let mut field = key.to_vec();
            prost::encoding::encode_varint(bytes.len() as u64, &mut field);
            [field, bytes.to_vec()].concat()
        };
        let body = field(&[0x0a], &field(kind, &bytes));
        let _ = opened::read(&body, |message| if let Opened::Chat(packet) = message { packets.push(packet) });
        for packet in packets {
            hear(&mut chat, at(0), 2, packet);
            run(&mut chat, at(1_000));
            check_bounds(&chat);
        }
    }
}
