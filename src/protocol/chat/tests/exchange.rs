//! What was said before: asked for, handed on, and restored from disk.

use super::*;
use crate::wire::message::Message;

fn answers(outputs: &[(Timestamp, Output)]) -> Vec<(Timestamp, HistoryAnswer)> {
    let answers = outputs.iter().filter_map(|(now, output)| match output {
        Output::Unicast(_, Packet::HistoryAnswer(answer)) => Some((*now, answer.clone())),
        _ => None,
    });
    answers.collect()
}

fn request(chat: &mut Chat, now: Timestamp, from: u8, known: Vec<wire::Known>) -> Vec<HistoryAnswer> {
    let out = hear(chat, now, from, Packet::HistoryRequest(HistoryRequest { nonce: 5, known }));
    let out: Vec<_> = out.into_iter().map(|output| (now, output)).collect();
    answers(&out).into_iter().map(|(_, answer)| answer).collect()
}

#[test]
fn the_last_500_lines_are_handed_on_in_chunks_each_millisecond() {
    let mut chat = chat_with(&[ADA, BOB]);
    for number in 1..=260 {
        hear_line(&mut chat, at(u64::from(number) * 50), ADA, number);
        hear_line(&mut chat, at(u64::from(number) * 50), EVE, number);
    }
    run(&mut chat, at(20_000));
    assert_eq!(request(&mut chat, at(20_000), BOB, vec![]), []);
    let chunks = answers(&run(&mut chat, at(30_000)));
    assert!(chunks.windows(2).all(|pair| pair[1].0 == pair[0].0 + wait(1)));
    let sizes = chunks.iter().map(|(_, answer)| Message::from(Packet::HistoryAnswer(answer.clone())).encoded_len());
    assert!(sizes.clone().all(|size| size <= CHAT_CHUNK_BYTES_MAX), "{:?}", sizes.max());
    let originals: Vec<_> = chunks.iter().flat_map(|(_, answer)| answer.originals.clone()).collect();
    assert_eq!(originals.len(), CHAT_HISTORY_LINES_MAX);
    assert!(originals.contains(&line(ADA, 11, "hi")) && !originals.contains(&line(ADA, 10, "hi")));
    let floors: Vec<_> = chunks.iter().flat_map(|(_, answer)| answer.floors.clone()).map(|f| f.upto).collect();
    assert_eq!(floors, [10, 10]);
    assert!(chunks.iter().enumerate().all(|(at, (_, answer))| answer.index as usize == at && !answer.busy));
    assert_eq!(chunks.iter().filter(|(_, answer)| answer.last).count(), 1);
    // Who has nearly all gets the rest.
    let known = |author: u8, upto| wire::Known { member: id(author).0.to_vec(), run: RUN, upto };
    request(&mut chat, at(40_000), BOB, vec![known(ADA, 258), known(EVE, 260)]);
    let chunks = answers(&run(&mut chat, at(50_000)));
    let originals: Vec<_> = chunks.iter().flat_map(|(_, answer)| answer.originals.clone()).collect();
    assert_eq!(originals, [line(ADA, 259, "hi"), line(ADA, 260, "hi")]);
}

#[test]
fn lines_older_than_a_day_are_not_handed_on() {
    let day = Duration::from_secs(CHAT_HISTORY_AGE_S);
    for (age, lines) in [(day - NS, 1), (day, 0)] {
        let mut chat = chat_with(&[ADA, BOB]);
        hear_line(&mut chat, at(0), ADA, 1);
        let now = at(0) + age;
        request(&mut chat, now, BOB, vec![]);
        let mut out = Vec::new();
        chat.timeout(now, &mut out);
        let out: Vec<_> = out.into_iter().map(|output| (now, output)).collect();
        let chunks = answers(&out);
        assert_eq!(chunks.iter().map(|(_, answer)| answer.originals.len()).sum::<usize>(), lines);
        assert!(chunks[0].1.last);
    }
}

#[test]
fn few_are_served_at_a_time_and_one_who_knows_nothing_serves_nobody() {
    let mut chat = chat_with(&[ADA]);
    (1..=50).for_each(|number| drop(hear_line(&mut chat, at(0), ADA, number)));
    for from in 10..10 + CHAT_SERVES_MAX as u8 {
        assert_eq!(request(&mut chat, at(1), from, vec![]), []);
    }
    assert!(request(&mut chat, at(1), 99, vec![])[0].busy);
    assert_eq!(request(&mut chat, at(1), 10, vec![]), [], "who asks anew is served anew");
    let mut newcomer = newcomer(&[ADA]);
    assert!(request(&mut newcomer, at(1), ADA, vec![])[0].busy);
}

#[test]
fn so_many_late_joiners_are_served_a_second() {
    let mut chat = chat_with(&[ADA]);
    hear_line(&mut chat, at(0), ADA, 1);
    let mut served = 0;
    for n in 0..33u8 {
        let now = at(1 + 3 * u64::from(n));
        served += usize::from(request(&mut chat, now, 100 + n, vec![]).is_empty());
        run(&mut chat, now + wait(2));
    }
    assert_eq!(served, CHAT_SERVES_PER_S_MAX as usize);
}

fn asked(outputs: &[Output]) -> Option<(ParticipantId, u64)> {
    outputs.iter().find_map(|output| match output {
        Output::Unicast(to, Packet::HistoryRequest(request)) => Some((*to, request.nonce)),
        _ => None,
    })
}

#[test]
fn a_newcomer_asks_one_member_and_then_the_next() {
    let mut chat = newcomer(&[ADA, BOB, EVE, 5, 6]);
    let mut out = Vec::new();
    chat.catch_up(at(0), &mut out);
    let (first, _) = asked(&out).unwrap();
    let later = run(&mut chat, at(2_000) - NS);
    assert_eq!(times(&later, |o| matches!(o, Output::Unicast(..))), []);
    let later = run(&mut chat, at(60_000));
    let peers: Vec<_> = later.iter().filter_map(|(_, output)| asked(std::slice::from_ref(output))).collect();
    assert_eq!(peers.len(), 2, "three silent ones are enough");
    assert!(peers.iter().all(|&(peer, _)| peer != first));
    assert_eq!(times(&later, |o| matches!(o, Output::Unicast(..))), [at(2_000), at(4_000)]);
    assert!(chat.history.is_live());
    assert_eq!(events(&later), [], "nobody speaks of anything that was said");
}

#[test]
fn a_newcomer_waits_for_what_was_said_before_and_shows_what_is_said_now() {
    let mut chat = newcomer(&[ADA, BOB]);
    let mut out = Vec::new();
    chat.catch_up(at(0), &mut out);
    let (peer, nonce) = asked(&out).unwrap();
    let peer = if peer == id(ADA) { ADA } else { BOB };
    hear(&mut chat, at(1), ADA, Packet::Heartbeat(Heartbeat { run: RUN, highest: 40, acks: vec![] }));
    assert_eq!(shown(&hear_line(&mut chat, at(2), ADA, 41)), [(41, false)]);
    assert_eq!(wanted(&run(&mut chat, at(500))), [0u32; 0], "of 1 to 40 the one asked will tell");
    let floor = wire::Known { member: id(ADA).0.to_vec(), run: RUN, upto: 37 };
    let answer = HistoryAnswer {
        nonce,
        floors: vec![floor],
        originals: vec![line(ADA, 38, "hi"), line(ADA, 40, "hi")],
        last: true,
        ..HistoryAnswer::default()
    };
    let other = HistoryAnswer { nonce: nonce ^ 1, ..answer.clone() };
    assert_eq!(hear(&mut chat, at(600), peer, Packet::HistoryAnswer(other)), [], "not what was asked");
    let out = hear(&mut chat, at(600), peer, Packet::HistoryAnswer(answer));
    assert_eq!(shown(&out), [(38, true)]);
    assert!(out.contains(&Output::Event(Event::History(id(peer), 2))));
    assert_eq!(wanted(&run(&mut chat, at(700))), [39], "left out, and spoken of by its neighbours");
}

#[test]
fn a_false_floor_is_corrected_by_the_first_signed_line() {
    let mut chat = newcomer(&[ADA]);
    let mut out = Vec::new();
    chat.catch_up(at(0), &mut out);
    let (_, nonce) = asked(&out).unwrap();
    let floor = wire::Known { member: id(BOB).0.to_vec(), run: RUN, upto: u32::MAX };
    let answer = HistoryAnswer { nonce, floors: vec![floor], last: true, ..HistoryAnswer::default() };
    hear(&mut chat, at(1), ADA, Packet::HistoryAnswer(answer));
    chat.joined(at(2), id(BOB));
    assert_eq!(shown(&hear_line(&mut chat, at(3), BOB, 5)), [(5, false)]);
    hear_line(&mut chat, at(4), BOB, 7);
    assert_eq!(wanted(&run(&mut chat, at(100))), [6]);
}

#[test]
fn busy_members_are_asked_again() {
    let mut chat = newcomer(&[ADA, BOB]);
    let mut out = Vec::new();
    chat.catch_up(at(0), &mut out);
    let mut rounds = 0;
    let mut now = at(0);
    while let Some((peer, nonce)) = asked(&out) {
        rounds += 1;
        let busy = HistoryAnswer { nonce, busy: true, last: true, ..HistoryAnswer::default() };
        let peer = if peer == id(ADA) { ADA } else { BOB };
        out = hear(&mut chat, now, peer, Packet::HistoryAnswer(busy));
        if asked(&out).is_none() {
            now = chat.timers.next().unwrap();
            chat.timeout(now, &mut out);
        }
    }
    assert_eq!(rounds, 2 * 11);
    assert!(chat.history.is_live());
}

#[test]
fn what_is_on_disk_is_shown_again_known_and_passed_on() {
    let mut chat = newcomer(&[]);
    let mut out = Vec::new();
    let day = Duration::from_secs(CHAT_HISTORY_AGE_S);
    assert!(!chat.restore(at(0), day, &line(ADA, 6, "hi"), &mut out), "too old");
    assert!(chat.restore(at(0), day - NS, &line(ADA, 7, "hi"), &mut out));
    assert!(chat.restore(at(0), wait(1), &line(ADA, 9, "hi"), &mut out), "8 could not be had then");
    assert!(!chat.restore(at(0), wait(1), &line(ADA, 9, "hi"), &mut out));
    assert_eq!(shown(&out), [(7, false), (9, false)]);
    assert!(!out.iter().any(|output| matches!(output, Output::Event(Event::Keep(_)))), "it is kept");
    chat.joined(at(0), id(BOB));
    out.clear();
    chat.catch_up(at(1), &mut out);
    let known = out.iter().find_map(|output| match output {
        Output::Unicast(_, Packet::HistoryRequest(request)) => Some(request.known.clone()),
        _ => None,
    });
    assert_eq!(known, Some(vec![wire::Known { member: id(ADA).0.to_vec(), run: RUN, upto: 9 }]));
    assert_eq!(wanted(&run(&mut chat, at(1_000))), [0u32; 0]);
    ask(&mut chat, at(1_000), BOB, ADA, &[9]);
    assert_eq!(times(&run(&mut chat, at(1_500)), is_repair).len(), 1);
}
