//! What one member can cost the others: claims without end, and authors made up.

use super::*;
use crate::limits::{
    CHAT_CLAIMED_MAX, CHAT_REPORTS_PER_S_MAX, CHAT_SEQUENCES_OF_STRANGERS_MAX, CHAT_SEQUENCES_PER_MEMBER_MAX,
};

fn acks(acks: &[(u8, u32)]) -> Packet {
    let mut heartbeat = Heartbeat::default();
    acks.iter().for_each(|&(author, upto)| heartbeat.push_ack(tag(id(author), RUN), upto));
    Packet::Heartbeat(heartbeat)
}

#[test]
fn a_claim_without_end_makes_few_be_asked_for() {
    let mut chat = chat_with(&[ADA, EVE]);
    hear_line(&mut chat, at(0), ADA, 1);
    hear(&mut chat, at(1), EVE, acks(&[(ADA, u32::MAX)]));
    let first: Vec<u32> = (2..2 + CHAT_CLAIMED_MAX).collect();
    assert_eq!(wanted(&run(&mut chat, at(200))), first);
}

#[test]
fn who_is_far_behind_gets_all_by_and_by() {
    let mut chat = chat_with(&[ADA, BOB]);
    hear(&mut chat, at(0), BOB, acks(&[(ADA, 300)]));
    hear(&mut chat, at(0), ADA, Packet::Heartbeat(Heartbeat { run: RUN, highest: 300, acks: vec![] }));
    let mut had = 0;
    for round in 1..=60 {
        let now = at(round * 200);
        for number in wanted(&run(&mut chat, now)) {
            had += shown(&hear_line(&mut chat, now, ADA, number)).len();
        }
    }
    assert_eq!(had, 300);
}

#[test]
fn reports_are_taken_twenty_a_second() {
    let mut chat = chat_with(&[ADA, BOB, EVE]);
    hear_line(&mut chat, at(0), ADA, 1);
    for _ in 0..CHAT_REPORTS_PER_S_MAX {
        hear(&mut chat, at(1), EVE, acks(&[]));
    }
    hear(&mut chat, at(1), EVE, acks(&[(ADA, 3)]));
    assert_eq!((wanted(&run(&mut chat, at(30))), chat.counters().too_fast), (vec![], 1));
    hear(&mut chat, at(30), BOB, acks(&[(ADA, 2)]));
    assert_eq!(wanted(&run(&mut chat, at(130))), [2], "others are heard");
    hear(&mut chat, at(131), EVE, acks(&[(ADA, 3)]));
    assert_eq!(wanted(&run(&mut chat, at(231))), [3], "and it again, after a while");
}

/// A line by a key of its own, made up.
fn made_up(n: u32, number: u32) -> Original {
    let mut original = line(200, number, "hi");
    original.signer[..4].copy_from_slice(&n.to_be_bytes());
    original.signature = mark(&original);
    original
}

/// Line 1 of one of somebody's runs.
fn of_run(author: u8, run: u32) -> Original {
    let mut chat = wire::Chat::parse(&line(author, 1, "hi").payload).unwrap();
    chat.run = run;
    Keys(author).sign(chat.encode_to_vec())
}

#[test]
fn authors_made_up_displace_nothing_of_those_who_were_here() {
    let mut chat = chat_with(&[ADA, BOB, EVE]);
    (1..=10).for_each(|number| drop(hear_line(&mut chat, at(0), BOB, number)));
    chat.left(at(1), id(BOB));
    for n in 0..3_000 {
        hear(&mut chat, at(u64::from(n) * 10), EVE, Packet::Repair(Repair { originals: vec![made_up(n, 1)] }));
    }
    assert_eq!(chat.book.iter().filter(|(_, s)| !s.known).count(), CHAT_SEQUENCES_OF_STRANGERS_MAX);
    ask(&mut chat, at(31_000), EVE, BOB, &[1, 10]);
    assert_eq!(times(&run(&mut chat, at(32_000)), is_repair).len(), 2, "they can still be had");
}

#[test]
fn what_the_one_asked_tells_is_of_no_stranger() {
    let mut chat = newcomer(&[ADA]);
    let mut out = Vec::new();
    chat.catch_up(at(0), &mut out);
    let nonce = chat.history.nonce().unwrap();
    let originals: Vec<_> = (0..200).map(|n| made_up(n, 1)).collect();
    let answer = HistoryAnswer { nonce, originals, last: true, ..HistoryAnswer::default() };
    assert_eq!(shown(&hear(&mut chat, at(1), ADA, Packet::HistoryAnswer(answer))).len(), 200);
    assert_eq!(chat.memory().0, 200);
}

#[test]
fn who_comes_every_hour_keeps_what_it_said() {
    let mut chat = chat_with(&[ADA, EVE]);
    for run in 1..=24 {
        hear(&mut chat, at(u64::from(run)), ADA, Packet::Chat(of_run(ADA, run)));
    }
    assert_eq!(request_all(&mut chat), 24);
    // Of one run more than are kept the first is forgotten, and neither asked for nor shown again.
    for run in 25..=CHAT_SEQUENCES_PER_MEMBER_MAX as u32 + 1 {
        hear(&mut chat, at(u64::from(run)), ADA, Packet::Chat(of_run(ADA, run)));
    }
    run(&mut chat, at(10_000));
    let mut heartbeat = Heartbeat::default();
    heartbeat.push_ack(tag(id(ADA), 1), 1);
    hear(&mut chat, at(10_000), EVE, Packet::Heartbeat(heartbeat));
    assert_eq!(times(&run(&mut chat, at(20_000)), is_nack), []);
    assert_eq!(shown(&hear(&mut chat, at(20_000), EVE, Packet::Chat(of_run(ADA, 1)))), []);
    assert_eq!(chat.memory().0, CHAT_SEQUENCES_PER_MEMBER_MAX);
}

/// How many pieces a late joiner is given.
fn request_all(chat: &mut Chat) -> usize {
    hear(chat, at(5_000), EVE, Packet::HistoryRequest(HistoryRequest { nonce: 5, known: vec![] }));
    let given = run(chat, at(6_000));
    let originals = given.iter().map(|(_, output)| match output {
        Output::Unicast(_, Packet::HistoryAnswer(answer)) => answer.originals.len(),
        _ => 0,
    });
    originals.sum()
}

#[test]
fn a_false_floor_makes_nobody_acknowledge_what_it_has_not() {
    let mut chat = newcomer(&[ADA]);
    chat.catch_up(at(0), &mut Vec::new());
    hear_line(&mut chat, at(0), BOB, 5);
    let floor = wire::Known { member: id(BOB).0.to_vec(), run: RUN, upto: u32::MAX };
    let nonce = chat.history.nonce().unwrap();
    let answer = HistoryAnswer { nonce, floors: vec![floor], last: true, ..HistoryAnswer::default() };
    hear(&mut chat, at(1), ADA, Packet::HistoryAnswer(answer));
    assert_eq!(chat.beacon().acks().collect::<Vec<_>>(), [(tag(id(BOB), RUN), 5)]);
}

#[test]
fn of_somebody_put_out_nothing_is_asked_for_nor_missed() {
    let mut chat = chat_with(&[ADA, EVE]);
    hear_line(&mut chat, at(0), EVE, 1);
    hear_line(&mut chat, at(0), EVE, 3);
    chat.shut_out(at(1), id(EVE));
    hear(&mut chat, at(2), ADA, acks(&[(EVE, 9)]));
    let later = run(&mut chat, at(120_000));
    let missed = events(&later).iter().any(|(_, event)| matches!(event, Event::Missed(..)));
    assert_eq!((wanted(&later), missed), (vec![], false));
}

#[test]
fn what_is_sent_in_a_members_name_from_elsewhere_uses_up_nothing_of_its_own() {
    let mut chat = chat_with(&[ADA]);
    say(&mut chat, at(0), "hi");
    run(&mut chat, at(1_000));
    let nack = Packet::Nack(Nack { wants: vec![Want::new(id(ME), chat.run, &[1])], tags: vec![] });
    let forged = Packet::Chat(Original { signature: vec![0; 64], ..line(ADA, 1, "hi") });
    for packet in [&nack, &forged, &acks(&[])] {
        for _ in 0..5_000 {
            chat.handle_astray(at(1_000), id(ADA), packet, &Checker::default(), &mut Vec::new());
        }
    }
    let refused = chat.counters().too_fast;
    assert!(refused > 13_000, "{refused}");
    assert!(hear(&mut chat, at(1_010), ADA, nack).iter().any(is_repair));
    assert_eq!(shown(&hear_line(&mut chat, at(1_010), ADA, 1)).len(), 1);
    hear(&mut chat, at(1_010), ADA, acks(&[]));
    assert_eq!(chat.counters().too_fast, refused);
}
