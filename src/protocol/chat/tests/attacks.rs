//! What one member can cost the others: claims without end, and authors made up.

use super::*;
use crate::limits::{CHAT_CLAIMED_MAX, CHAT_REPORTS_PER_S_MAX};

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
