//! The rules of the whole, one chat at a time, at their exact edges.

mod attacks;
mod exchange;
mod hostile;

use std::cell::Cell;

use prost::Message as _;

use super::*;
use crate::limits::{
    CHAT_CHECKS_PER_S_MAX, CHAT_CHUNK_BYTES_MAX, CHAT_HISTORY_AGE_S, CHAT_HISTORY_LINES_MAX, CHAT_HOLES_MAX,
    CHAT_LOG_BYTES_MAX, CHAT_LOG_PIECES_MAX, CHAT_PER_S_MAX, CHAT_REPAIRS_MAX, CHAT_REPAIRS_PER_S_MAX,
    CHAT_SEQUENCES_MAX, CHAT_SERVES_MAX, CHAT_SERVES_PER_S_MAX,
};
use crate::protocol::keys::{order_hash, participant_id};
use crate::time::NtpTime;
use crate::wire::chat::{self as wire, Heartbeat, HistoryAnswer, HistoryRequest, Nack, Original, Repair, tag};

const ME: u8 = 1;
const ADA: u8 = 2;
const BOB: u8 = 3;
const EVE: u8 = 4;
const RUN: u32 = 77;
const NS: Duration = Duration::from_nanos(1);

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(10_000 + ms)
}

fn wait(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn id(n: u8) -> ParticipantId {
    participant_id(&[n; 32])
}

/// Stands in for Ed25519.
struct Keys(u8);

impl Signer for Keys {
    fn sign(&mut self, payload: Vec<u8>) -> Original {
        let mut original = Original { signer: vec![self.0; 32], payload, ..Original::default() };
        original.signature = mark(&original);
        original
    }
}

fn mark(original: &Original) -> Vec<u8> {
    order_hash(&[&original.signer, &original.payload]).to_be_bytes().repeat(8)
}

#[derive(Default)]
struct Checker {
    checks: Cell<usize>,
}

impl Verifier for Checker {
    fn authentic(&self, original: &Original) -> bool {
        self.checks.set(self.checks.get() + 1);
        original.signature == mark(original)
    }
}

/// A chat in which nothing was said yet, with these present.
fn chat_with(others: &[u8]) -> Chat {
    let mut chat = newcomer(others);
    chat.history = History::default();
    chat.members.clear();
    chat.catch_up(at(0), &mut Vec::new());
    others.iter().for_each(|&other| chat.joined(at(0), id(other)));
    chat
}

/// One that has not asked for history yet.
fn newcomer(others: &[u8]) -> Chat {
    let mut chat = Chat::new(at(0), Config { me: id(ME), name: "me".into(), seed: [9; 32] });
    others.iter().for_each(|&other| chat.joined(at(0), id(other)));
    chat
}

/// A line of one piece.
fn line(author: u8, number: u32, text: &str) -> Original {
    let bytes = wire::Content { name: "x".into(), to: None, body: Some(wire::Body::Text(text.into())) };
    let time = order::reading(Duration::from_secs(u64::from(number)));
    let bytes = bytes.encode_to_vec();
    Keys(author).sign(wire::Chat { run: RUN, number, time, wall: 0, piece: 0, pieces: 1, bytes }.encode_to_vec())
}

fn hear(chat: &mut Chat, now: Timestamp, from: u8, packet: Packet) -> Vec<Output> {
    let mut out = Vec::new();
    chat.handle(now, id(from), &packet, &Checker::default(), &mut out);
    out
}

fn hear_line(chat: &mut Chat, now: Timestamp, author: u8, number: u32) -> Vec<Output> {
    hear(chat, now, author, Packet::Chat(line(author, number, "hi")))
}

fn say(chat: &mut Chat, now: Timestamp, text: &str) -> LineId {
    chat.say(now, NtpTime::default(), &Content::text(text), &mut Keys(ME), &mut Vec::new()).unwrap()
}

/// What comes out until `end`, each with its time.
fn run(chat: &mut Chat, end: Timestamp) -> Vec<(Timestamp, Output)> {
    let mut all = Vec::new();
    let mut steps = 0;
    while let Some(now) = chat.next_timeout().filter(|&now| now <= end) {
        let mut out = Vec::new();
        chat.timeout(now, &mut out);
        all.extend(out.into_iter().map(|output| (now, output)));
        steps += 1;
        assert!(steps < 100_000, "it does not come to rest");
    }
    all
}

fn is_nack(output: &Output) -> bool {
    matches!(output, Output::Multicast(Packet::Nack(_)))
}

fn is_repair(output: &Output) -> bool {
    matches!(output, Output::Multicast(Packet::Repair(_)))
}

fn times(outputs: &[(Timestamp, Output)], what: fn(&Output) -> bool) -> Vec<Timestamp> {
    outputs.iter().filter(|(_, output)| what(output)).map(|&(now, _)| now).collect()
}

fn wanted(outputs: &[(Timestamp, Output)]) -> Vec<u32> {
    let numbers = outputs.iter().flat_map(|(_, output)| match output {
        Output::Multicast(Packet::Nack(nack)) => nack.wants.iter().flat_map(|w| w.numbers()).collect(),
        _ => Vec::new(),
    });
    numbers.collect()
}

/// Numbers of the lines shown, and whether they came late.
fn shown(outputs: &[Output]) -> Vec<(u32, bool)> {
    let lines = outputs.iter().filter_map(|output| match output {
        Output::Event(Event::Line(line)) => Some((line.key.id.number, line.late)),
        _ => None,
    });
    lines.collect()
}

fn events(outputs: &[(Timestamp, Output)]) -> Vec<(Timestamp, Event)> {
    let events = outputs.iter().filter_map(|(now, output)| match output {
        Output::Event(event) => Some((*now, event.clone())),
        _ => None,
    });
    events.collect()
}

fn ask(chat: &mut Chat, now: Timestamp, from: u8, author: u8, numbers: &[u32]) -> Vec<Output> {
    let want = Want::new(id(author), if author == ME { chat.run } else { RUN }, numbers);
    hear(chat, now, from, Packet::Nack(Nack { wants: vec![want], tags: vec![] }))
}

#[test]
fn a_line_is_sent_shown_and_repeated_after_60_and_250_ms() {
    let mut chat = chat_with(&[ADA]);
    let mut out = Vec::new();
    chat.say(at(0), NtpTime::default(), &Content::text("hi"), &mut Keys(ME), &mut out).unwrap();
    assert!(matches!(out[0], Output::Multicast(Packet::Chat(_))));
    assert_eq!(shown(&out), [(1, false)]);
    let later = run(&mut chat, at(3_000));
    assert_eq!(times(&later, is_repair), [at(60), at(250)]);
    assert_eq!(chat.highest().1, 1);
}

#[test]
fn from_ten_pieces_a_second_on_nothing_is_repeated() {
    let mut chat = chat_with(&[ADA]);
    for n in 0..11 {
        say(&mut chat, at(n * 90), "hi");
    }
    let repeats: usize = times(&run(&mut chat, at(3_000)), is_repair).len();
    assert_eq!(repeats, 20, "the eleventh within a second is sent once");
    let mut chat = chat_with(&[ADA]);
    (0..10).for_each(|_| {
        say(&mut chat, at(0), "hi");
    });
    say(&mut chat, at(1_000) - NS, "fast");
    say(&mut chat, at(1_000), "slow");
    let last = run(&mut chat, at(3_000)).into_iter().filter(|&(now, _)| now > at(900)).collect::<Vec<_>>();
    assert_eq!(times(&last, is_repair), [at(1_060), at(1_250)]);
}

#[test]
fn a_repair_shortly_before_stands_for_a_repeat() {
    for (asked, repeats) in [(30, 2), (31, 1), (59, 1)] {
        let mut chat = chat_with(&[ADA]);
        say(&mut chat, at(0), "hi");
        assert!(is_repair(&ask(&mut chat, at(asked), ADA, ME, &[1])[0]));
        assert_eq!(times(&run(&mut chat, at(3_000)), is_repair).len(), repeats, "asked at {asked} ms");
    }
}

#[test]
fn twenty_pieces_a_second_may_be_said() {
    let mut chat = chat_with(&[ADA]);
    let mut say = |now, text: &str| {
        chat.say(now, NtpTime::default(), &Content::text(text), &mut Keys(ME), &mut Vec::new()).map(|id| id.number)
    };
    for n in 1..=CHAT_PER_S_MAX {
        assert_eq!(say(at(0), "hi"), Ok(n));
    }
    assert_eq!(say(at(0), "hi"), Err(SayError::TooFast(wait(50))));
    assert_eq!(say(at(50) - NS, "hi"), Err(SayError::TooFast(NS)));
    assert_eq!(say(at(50), "hi"), Ok(21));
    assert_eq!(say(at(50), &"x".repeat(4_000)), Err(SayError::TooFast(wait(250))), "five pieces");
    assert_eq!(say(at(300), &"x".repeat(4_000)), Ok(22));
    assert!(matches!(say(at(9_000), ""), Err(SayError::Content(_))));
    assert_eq!(say(at(9_000), "hi"), Ok(27), "what was refused used no number");
}

#[test]
fn a_gap_is_asked_for_within_50_ms_and_again_until_it_is_given_up() {
    let mut chat = chat_with(&[ADA, BOB]);
    assert_eq!(shown(&hear_line(&mut chat, at(0), ADA, 1)), [(1, false)]);
    assert_eq!(shown(&hear_line(&mut chat, at(0), ADA, 4)), []);
    let later = run(&mut chat, at(120_000));
    let asked = times(&later, is_nack);
    assert_eq!(asked.len(), 10);
    assert!(asked[0] <= at(50));
    let least = [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000].map(wait);
    for (pair, least) in asked.windows(2).zip(least) {
        let waited = pair[1].since(pair[0]);
        assert!(waited >= least && waited <= least + wait(50), "{waited:?}, at least {least:?}");
    }
    assert_eq!(wanted(&later)[..2], [2, 3]);
    let missed = events(&later).into_iter().find(|(_, event)| matches!(event, Event::Missed(..)));
    assert_eq!(missed.map(|(_, event)| event), Some(Event::Missed(id(ADA), 2)));
    let held: Vec<_> = events(&later).into_iter().filter(|(_, event)| matches!(event, Event::Line(_))).collect();
    assert_eq!(held.iter().map(|&(now, _)| now).collect::<Vec<_>>(), [at(2_000)], "4 waits two seconds for 2 and 3");
    assert_eq!(shown(&hear_line(&mut chat, at(130_000), BOB, 9)), [], "another's, just for the order");
    let late = hear(&mut chat, at(130_000), BOB, Packet::Repair(Repair { originals: vec![line(ADA, 2, "hi")] }));
    assert_eq!(shown(&late), [(2, true)], "given up, and taken all the same");
}

#[test]
fn a_piece_that_comes_ends_the_asking() {
    let mut chat = chat_with(&[ADA, BOB]);
    hear_line(&mut chat, at(0), ADA, 2);
    let repair = Packet::Repair(Repair { originals: vec![line(ADA, 1, "hi")] });
    assert_eq!(shown(&hear(&mut chat, at(0), BOB, repair)), [(1, false), (2, false)]);
    assert_eq!(times(&run(&mut chat, at(60_000)), is_nack), []);
}

#[test]
fn somebody_elses_request_for_the_same_stands_for_mine() {
    let mut chat = chat_with(&[ADA, BOB]);
    hear_line(&mut chat, at(0), ADA, 3);
    ask(&mut chat, at(0), BOB, ADA, &[1]);
    let asked = run(&mut chat, at(249));
    assert_eq!(wanted(&asked), [2], "only what the other did not ask for");
    let asked = run(&mut chat, at(300));
    assert!(wanted(&asked).contains(&1), "no repair came");
    assert_eq!(chat.counters().nacks_spared, 1);
}

#[test]
fn the_author_repairs_at_once_and_any_holder_after_60_to_150_ms() {
    let mut chat = chat_with(&[ADA, BOB]);
    say(&mut chat, at(0), "mine");
    assert_eq!(ask(&mut chat, at(4), BOB, ME, &[1]), [], "it is on its way");
    assert!(is_repair(&ask(&mut chat, at(5), BOB, ME, &[1, 2])[0]));
    assert_eq!(ask(&mut chat, at(9), ADA, ME, &[1]), [], "it is on its way again");
    hear_line(&mut chat, at(1_000), ADA, 1);
    assert_eq!(ask(&mut chat, at(2_000), BOB, ADA, &[1, 2]), []);
    let repairs = times(&run(&mut chat, at(5_000)), is_repair);
    let late = repairs.iter().filter(|&&now| now > at(1_000)).copied().collect::<Vec<_>>();
    assert_eq!(late.len(), 1);
    assert!(late[0] >= at(2_060) && late[0] <= at(2_150), "{late:?}");
}

#[test]
fn a_copy_heard_stands_for_mine_and_a_false_one_does_not() {
    let copy = |original| Packet::Repair(Repair { originals: vec![original] });
    let mut false_copy = line(ADA, 1, "hi");
    false_copy.signature[0] ^= 1;
    for (original, repairs) in [(line(ADA, 1, "hi"), 0), (line(ADA, 1, "other"), 1), (false_copy, 1)] {
        let mut chat = chat_with(&[ADA, BOB, EVE]);
        hear_line(&mut chat, at(0), ADA, 1);
        ask(&mut chat, at(1_000), BOB, ADA, &[1]);
        assert_eq!(shown(&hear(&mut chat, at(1_010), EVE, copy(original))), []);
        assert_eq!(times(&run(&mut chat, at(5_000)), is_repair).len(), repairs);
    }
}

#[test]
fn what_an_acknowledgement_speaks_of_is_asked_for_after_50_ms_more() {
    let ack = |author, upto| {
        let mut heartbeat = Heartbeat::default();
        heartbeat.push_ack(tag(id(author), RUN), upto);
        Packet::Heartbeat(heartbeat)
    };
    let mut chat = chat_with(&[ADA, BOB]);
    hear_line(&mut chat, at(0), ADA, 1);
    hear(&mut chat, at(100), BOB, ack(ADA, 2));
    let asked = times(&run(&mut chat, at(240)), is_nack);
    assert!(asked.len() == 1 && asked[0] >= at(150) && asked[0] <= at(200), "{asked:?}");
    // Its own word, before any line was heard.
    let mut chat = chat_with(&[ADA, BOB]);
    hear(&mut chat, at(0), ADA, Packet::Heartbeat(Heartbeat { run: RUN, highest: 2, acks: vec![] }));
    assert_eq!(wanted(&run(&mut chat, at(100))), [1, 2]);
    let later = run(&mut chat, at(120_000));
    assert!(!events(&later).iter().any(|(_, event)| matches!(event, Event::Missed(..))), "nobody signed that it is");
    assert_eq!(shown(&hear_line(&mut chat, at(130_000), ADA, 1)), [(1, false)]);
}

#[test]
fn a_sequence_known_by_tag_only_is_asked_for_and_answered_with_its_newest() {
    let unknown = |chat: &mut Chat| {
        let mut heartbeat = Heartbeat::default();
        heartbeat.push_ack(tag(id(ADA), RUN), 3);
        hear(chat, at(0), BOB, Packet::Heartbeat(heartbeat));
        run(chat, at(200))
    };
    let mut chat = chat_with(&[BOB]);
    let asked = unknown(&mut chat);
    let [(when, Output::Multicast(Packet::Nack(nack)))] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(*when >= at(50) && *when <= at(100));
    assert_eq!(nack.tags, [tag(id(ADA), RUN)]);
    let mut holder = chat_with(&[BOB]);
    (1..=3).for_each(|number| drop(hear_line(&mut holder, at(0), ADA, number)));
    hear(&mut holder, at(1_000), BOB, Packet::Nack(nack.clone()));
    let answers = run(&mut holder, at(2_000));
    let repair = answers.iter().find(|(_, output)| is_repair(output)).unwrap();
    let (_, Output::Multicast(packet)) = repair else { unreachable!() };
    assert_eq!(*packet, Packet::Repair(Repair { originals: vec![line(ADA, 3, "hi")] }));
    hear(&mut chat, at(1_100), BOB, packet.clone());
    assert_eq!(wanted(&run(&mut chat, at(1_200))), [1, 2]);
    // Never answered: asked four times, then left alone for a minute.
    let mut chat = chat_with(&[BOB]);
    unknown(&mut chat);
    assert_eq!(times(&run(&mut chat, at(50_000)), is_nack).len(), 3);
    assert_eq!(times(&unknown(&mut chat), is_nack).len(), 0);
}

#[test]
fn what_is_not_signed_by_its_author_is_refused() {
    let mut chat = chat_with(&[ADA, EVE]);
    let mut forged = line(ADA, 1, "hi");
    forged.payload = line(ADA, 1, "ha").payload;
    assert_eq!(hear(&mut chat, at(0), EVE, Packet::Chat(forged)), []);
    let mut unsigned = line(ADA, 2, "hi");
    unsigned.signature.clear();
    assert_eq!(hear(&mut chat, at(0), EVE, Packet::Chat(unsigned)), []);
    let mut as_me = line(ME, 1, "hi");
    as_me.payload = wire::Chat { run: chat.run, ..wire::Chat::parse(&as_me.payload).unwrap() }.encode_to_vec();
    as_me.signature = mark(&as_me);
    assert_eq!(hear(&mut chat, at(0), EVE, Packet::Chat(as_me)), [], "I did not say that");
    let counters = *chat.counters();
    assert_eq!((counters.forged, counters.malformed, counters.refused, counters.accepted), (1, 1, 1, 0));
    assert_eq!(chat.memory(), (0, 0));
}

#[test]
fn a_line_is_shown_once_however_often_it_comes() {
    let mut chat = chat_with(&[ADA, BOB]);
    let first = hear_line(&mut chat, at(0), ADA, 1);
    let kept = first.iter().filter(|output| matches!(output, Output::Event(Event::Keep(_)))).count();
    assert_eq!((shown(&first), kept), (vec![(1, false)], 1));
    let copy = Packet::Repair(Repair { originals: vec![line(ADA, 1, "hi"), line(ADA, 1, "hi")] });
    assert_eq!(hear(&mut chat, at(1), BOB, copy), []);
    assert_eq!(chat.counters().duplicates, 2);
}

#[test]
fn one_member_cannot_make_others_check_signatures_without_end() {
    let mut chat = chat_with(&[ADA, EVE]);
    let checker = Checker::default();
    let mut forged = line(ADA, 1, "hi");
    forged.signature[0] ^= 1;
    let forge = |chat: &mut Chat, ms| {
        for _ in 0..5_000 {
            chat.handle(at(ms), id(EVE), &Packet::Chat(forged.clone()), &checker, &mut Vec::new());
        }
        (checker.checks.get(), chat.counters().too_fast)
    };
    let burst = 2 * CHAT_WINDOW as usize;
    assert_eq!(forge(&mut chat, 0), (burst, 5_000 - burst as u64));
    let second = burst + CHAT_CHECKS_PER_S_MAX as usize;
    assert_eq!(forge(&mut chat, 1_000), (second, 10_000 - second as u64));
    assert_eq!(shown(&hear_line(&mut chat, at(1_000), ADA, 1)), [(1, false)], "others are not held up");
}

#[test]
fn requests_without_end_are_answered_at_a_bounded_rate() {
    let mut chat = chat_with(&[EVE]);
    (0..100).for_each(|n| {
        say(&mut chat, at(n * 60), "hi");
    });
    run(&mut chat, at(9_000));
    let before = chat.counters().repairs_sent;
    let all: Vec<u32> = (1..=100).collect();
    for ms in 0..2_000 {
        run(&mut chat, at(10_000 + ms));
        ask(&mut chat, at(10_000 + ms), EVE, ME, &all);
    }
    let sent = chat.counters().repairs_sent - before;
    let per_s = u64::from(CHAT_REPAIRS_PER_S_MAX);
    assert!((2 * per_s..=3 * per_s).contains(&sent), "so many at once and so many a second: {sent}");
    assert!(chat.counters().too_fast >= 1_800);
}

#[test]
fn many_gaps_are_asked_for_at_a_bounded_rate() {
    let mut chat = chat_with(&(10..160).collect::<Vec<u8>>());
    for author in 10..160 {
        hear_line(&mut chat, at(0), author, 2);
    }
    let wants: Vec<Timestamp> = run(&mut chat, at(1_000))
        .into_iter()
        .flat_map(|(now, output)| match output {
            Output::Multicast(Packet::Nack(nack)) => vec![now; nack.wants.len()],
            _ => Vec::new(),
        })
        .collect();
    let most = CHAT_NACKS_PER_S_MAX as usize;
    assert!((2 * most..=3 * most).contains(&wants.len()), "twice a second's at once: {}", wants.len());
}

#[test]
fn what_waits_to_be_repaired_or_found_is_bounded() {
    let mut chat = chat_with(&[ADA]);
    for (author, number) in (10..14).flat_map(|author| (1..=400).map(move |number| (author, number))) {
        hear_line(&mut chat, at(0), author, number);
    }
    for author in 10..14 {
        let all: Vec<u32> = (1..=400).collect();
        ask(&mut chat, at(1_000), ADA, author, &all);
    }
    assert_eq!(chat.repairs.len(), CHAT_REPAIRS_MAX);
    for tags in 0..100u32 {
        let mut heartbeat = Heartbeat::default();
        (0..32).for_each(|n| heartbeat.push_ack(tags * 32 + n, 1));
        hear(&mut chat, at(1_000), ADA, Packet::Heartbeat(heartbeat));
    }
    assert_eq!(chat.tags.len(), 256);
}

#[test]
fn somebody_shut_out_is_heard_through_nobody() {
    let mut chat = chat_with(&[ADA, EVE]);
    hear_line(&mut chat, at(0), EVE, 1);
    chat.shut_out(at(1), id(EVE));
    assert_eq!(hear_line(&mut chat, at(2), EVE, 2), []);
    assert_eq!(hear(&mut chat, at(2), ADA, Packet::Chat(line(EVE, 2, "hi"))), []);
    assert_eq!(chat.counters().refused, 2);
    assert_eq!(shown(&hear_line(&mut chat, at(3), ADA, 1)), [(1, true)]);
}

#[test]
fn lines_are_shown_by_clock_then_author_whatever_comes_first() {
    let mut chat = chat_with(&[ADA, BOB]);
    let mut timeline = Timeline::new(10);
    let mut out = hear_line(&mut chat, at(0), ADA, 1);
    out.extend(hear_line(&mut chat, at(0), BOB, 1));
    run(&mut chat, at(1));
    for output in &out {
        if let Output::Event(Event::Line(line)) = output {
            assert_ne!(timeline.insert(line.key), Place::Nowhere);
        }
    }
    let order: Vec<_> = timeline.keys().iter().map(|key| key.id.member).collect();
    assert_eq!(order, [id(ADA).min(id(BOB)), id(ADA).max(id(BOB))]);
    // What I say after hearing a fast clock stands behind it.
    let mine = say(&mut chat, at(5), "mine");
    assert!(chat.latest.is_some_and(|latest| latest.id == mine));
}

#[test]
fn it_is_told_how_many_have_a_line_and_that_nobody_has() {
    let has = |chat: &mut Chat, ms, from, upto| {
        let mut heartbeat = Heartbeat::default();
        heartbeat.push_ack(tag(id(ME), chat.run), upto);
        hear(chat, at(ms), from, Packet::Heartbeat(heartbeat));
    };
    let mut chat = chat_with(&[ADA, BOB]);
    let mine = say(&mut chat, at(0), &"x".repeat(1_500));
    has(&mut chat, 10, ADA, 1);
    assert_eq!(chat.delivery(mine), Some(Delivery { have: 0, present: 2, reached: false }), "half of it");
    has(&mut chat, 20, ADA, u32::MAX);
    let told = events(&run(&mut chat, at(10_000)));
    assert_eq!(told, [(at(110), Event::Delivered(mine, Delivery { have: 1, present: 2, reached: true }))]);
    chat.left(at(11_000), id(ADA));
    let told = events(&run(&mut chat, at(20_000)));
    assert_eq!(told, [(at(11_100), Event::Delivered(mine, Delivery { have: 0, present: 1, reached: true }))]);
    // Nobody answers, and nobody is there.
    let mut chat = chat_with(&[ADA]);
    let mine = say(&mut chat, at(0), "hi");
    assert_eq!(events(&run(&mut chat, at(60_000))), [(at(5_000), Event::Unheard(mine))]);
    let mut chat = chat_with(&[]);
    let mine = say(&mut chat, at(0), "hi");
    assert_eq!(events(&run(&mut chat, at(60_000))), [(at(0), Event::Unheard(mine))]);
}

#[test]
fn a_private_line_is_shown_to_its_recipients_and_passed_on_by_all() {
    let sealed = |recipients: &[u8]| {
        let body = wire::Body::Sealed(wire::Sealed {
            recipients: recipients.iter().flat_map(|&n| id(n).0).collect(),
            sealed: vec![5; 40],
        });
        let bytes = wire::Content { name: "x".into(), to: None, body: Some(body) }.encode_to_vec();
        let chat = wire::Chat { run: RUN, number: 1, time: 1, wall: 0, piece: 0, pieces: 1, bytes };
        Keys(ADA).sign(chat.encode_to_vec())
    };
    let mut other = chat_with(&[ADA, BOB]);
    assert_eq!(hear(&mut other, at(0), ADA, Packet::Chat(sealed(&[BOB]))), [], "neither shown nor kept");
    ask(&mut other, at(1_000), BOB, ADA, &[1]);
    assert_eq!(times(&run(&mut other, at(2_000)), is_repair).len(), 1);
    let mut recipient = chat_with(&[ADA, BOB]);
    assert_eq!(shown(&hear(&mut recipient, at(0), ADA, Packet::Chat(sealed(&[BOB, ME])))), [(1, false)]);
    let told = times(&run(&mut recipient, at(150)), |o| matches!(o, Output::Multicast(Packet::Heartbeat(_))));
    assert!(told.len() == 1 && told[0] >= at(50), "{told:?}");
    // Only those it is for are counted.
    let mut author = chat_with(&[ADA, BOB, EVE]);
    let content = Content { body: Body::Sealed { recipients: vec![id(ADA), id(ME)], sealed: vec![1] }, to: None };
    let mut out = Vec::new();
    let mine = author.say(at(0), NtpTime::default(), &content, &mut Keys(ME), &mut out).unwrap();
    assert_eq!(shown(&out), [(1, false)]);
    assert_eq!(author.delivery(mine), Some(Delivery { have: 0, present: 1, reached: false }));
}

#[test]
fn a_beacon_tells_what_is_new_and_then_of_all_in_turn() {
    let mut chat = chat_with(&[ADA, BOB]);
    say(&mut chat, at(0), "hi");
    for author in 10..30 {
        hear_line(&mut chat, at(u64::from(author)), author, 1);
    }
    let acks = |beacon: &Heartbeat| beacon.acks().collect::<Vec<_>>();
    let beacon = chat.beacon();
    assert_eq!((beacon.run, beacon.highest), (chat.run, 1));
    let newest = [29, 28, 27].map(|author| (tag(id(author), RUN), 1));
    assert_eq!(acks(&beacon).len(), 6);
    assert!(newest.iter().all(|ack| acks(&beacon).contains(ack)));
    let mut all = std::collections::BTreeSet::new();
    (0..20).for_each(|_| all.extend(acks(&chat.beacon())));
    assert_eq!(all.len(), 20);
}

#[test]
fn a_heartbeat_follows_news_unless_a_beacon_told_them() {
    let is_heartbeat = |o: &Output| matches!(o, Output::Multicast(Packet::Heartbeat(_)));
    let mut chat = chat_with(&[ADA]);
    hear_line(&mut chat, at(0), ADA, 1);
    let told = times(&run(&mut chat, at(5_000)), is_heartbeat);
    assert!(told.len() == 1 && told[0] >= at(400) && told[0] <= at(600), "{told:?}");
    hear_line(&mut chat, at(6_000), ADA, 2);
    chat.beacon();
    assert_eq!(times(&run(&mut chat, at(12_000)), is_heartbeat), []);
    let mut crowd = chat_with(&[ADA]);
    (0..999).for_each(|n: u32| {
        let mut member = [0; 16];
        member[..4].copy_from_slice(&n.to_be_bytes());
        crowd.joined(at(0), ParticipantId(member));
    });
    hear_line(&mut crowd, at(0), ADA, 1);
    let told = times(&run(&mut crowd, at(390_000)), is_heartbeat);
    assert!(told.len() == 1 && told[0] >= at(200_000) && told[0] <= at(300_000), "{told:?}");
}

#[test]
fn what_was_given_up_is_asked_for_once_more_when_somebody_joins() {
    let mut chat = chat_with(&[ADA]);
    hear_line(&mut chat, at(0), ADA, 1);
    hear_line(&mut chat, at(0), ADA, 3);
    run(&mut chat, at(120_000));
    chat.left(at(120_000), id(ADA));
    chat.joined(at(120_000), id(BOB));
    let again = run(&mut chat, at(180_000));
    assert_eq!(wanted(&again), [2]);
    assert_eq!(events(&again), [], "not told twice");
    chat.joined(at(149_999), id(EVE));
    assert_eq!(wanted(&run(&mut chat, at(149_999))), [0u32; 0], "at most each half minute");
}
