//! Four people's chat over a network that loses, doubles, delays and alters what they send: once it works again all have
//! every line, once, in one order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prost::Message as _;
use roundtable::limits::{CHAT_LOG_BYTES_MAX, CHAT_LOG_PIECES_MAX};
use roundtable::protocol::chat::{
    Body, Chat, Config, Content, Event, LineId, Output, Place, SayError, Signer, Timeline, Verifier,
};
use roundtable::protocol::keys::{order_hash, participant_id};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::chat::{Original, Packet};
use roundtable::wire::message::{Message, ParticipantId};
use roundtable::wire::opened::{self, Opened};

use crate::driver::{Dice, Feed, fuzz, outcome};

const PEOPLE: usize = 4;
const MEMORY: usize = 32 << 20;

/// Stands in for Ed25519: what is altered no longer fits.
struct Keys {
    public: [u8; 32],
    counter: u64,
}

fn sum(o: &Original) -> Vec<u8> {
    let numbers = [o.sid, o.counter, u64::from(o.epoch)].map(u64::to_be_bytes);
    order_hash(&[&o.signer, &o.payload, &numbers.concat()]).to_be_bytes().repeat(8)
}

impl Signer for Keys {
    fn sign(&mut self, payload: Vec<u8>) -> Original {
        self.counter += 1;
        let (signer, counter) = (self.public.to_vec(), self.counter);
        let mut original = Original { signer, counter, payload, signature: Vec::new(), epoch: 0, sid: 1 };
        original.signature = sum(&original);
        original
    }
}

struct Checker;

impl Verifier for Checker {
    fn authentic(&self, original: &Original) -> bool {
        original.signature == sum(original)
    }
}

struct Person {
    chat: Chat,
    id: ParticipantId,
    keys: Keys,
    shown: Timeline,
    reactions: usize,
}

struct Room {
    people: Vec<Person>,
    now: Timestamp,
    /// On their way: from, to, what.
    mail: VecDeque<(usize, usize, Packet)>,
    said: BTreeMap<LineId, usize>,
    /// Somebody's word about what there is was altered: then what they ask of each other may be anything.
    lied: bool,
}

impl Room {
    fn new() -> Self {
        let now = Timestamp::from_millis(1_000);
        let mut people: Vec<Person> = (0..PEOPLE as u8)
            .map(|n| {
                let public = [n + 1; 32];
                let id = participant_id(&public);
                let mut chat = Chat::new(now, Config { me: id, name: format!("person {n}"), seed: [n + 1; 32] });
                chat.catch_up(now, &mut Vec::new());
                Person { chat, id, keys: Keys { public, counter: 0 }, shown: Timeline::new(10_000), reactions: 0 }
            })
            .collect();
        let ids: Vec<ParticipantId> = people.iter().map(|p| p.id).collect();
        people.iter_mut().for_each(|p| ids.iter().for_each(|&id| p.chat.joined(now, id)));
        Self { people, now, mail: VecDeque::new(), said: BTreeMap::new(), lied: false }
    }

    fn carry_out(&mut self, who: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Multicast(packet) => {
                    let others = (0..PEOPLE).filter(|&to| to != who);
                    self.mail.extend(others.map(|to| (who, to, packet.clone())));
                }
                Output::Unicast(to, packet) => {
                    let to = self.people.iter().position(|p| p.id == to).expect("somebody who is here");
                    self.mail.push_back((who, to, packet));
                }
                Output::Event(Event::Line(line)) => {
                    let person = &mut self.people[who];
                    assert!(matches!(person.shown.insert(line.key), Place::At(_)), "shown twice: {line:?}");
                    person.reactions += usize::from(matches!(line.content.body, Body::Reaction(_)));
                }
                Output::Event(_) => {}
            }
        }
    }

    fn hand(&mut self, from: usize, to: usize, packet: &Packet) {
        let mut out = Vec::new();
        let sender = self.people[from].id;
        self.people[to].chat.handle(self.now, sender, packet, &Checker, &mut out);
        let (pieces, bytes) = self.people[to].chat.memory();
        assert!(pieces <= CHAT_LOG_PIECES_MAX && bytes <= CHAT_LOG_BYTES_MAX);
        self.carry_out(to, out);
    }

    fn say(&mut self, who: usize, content: &Content) {
        let (mut out, now) = (Vec::new(), self.now);
        let person = &mut self.people[who];
        let wall = NtpTime::from_unix(Duration::from_secs(1_800_000_000) + Duration::from_nanos(now.0));
        match person.chat.say(now, wall.offset(who as i64 * 3_000_000_000), content, &mut person.keys, &mut out) {
            Ok(id) => drop(self.said.insert(id, who)),
            Err(SayError::Content(_) | SayError::TooFast(_)) => {}
            Err(error) => panic!("{error}"),
        }
        self.carry_out(who, out);
    }

    /// Everybody's timers up to `end`; packets stay where they are.
    fn pass(&mut self, time: Duration) {
        let (end, mut steps) = (self.now + time, 0);
        loop {
            let next = |p: &Person| p.chat.next_timeout();
            let due = self.people.iter().enumerate().filter_map(|(n, p)| Some((next(p)?, n))).min();
            let Some((due, who)) = due.filter(|&(due, _)| due <= end) else { break };
            self.now = self.now.max(due);
            let mut out = Vec::new();
            self.people[who].chat.timeout(self.now, &mut out);
            let again = next(&self.people[who]);
            assert!(again.is_none_or(|again| again > self.now), "it asks to be called again at once");
            self.carry_out(who, out);
            steps += 1;
            assert!(steps < 100_000, "timers without end");
        }
        self.now = end;
    }

    fn step(&mut self, feed: &mut Feed<'_>) {
        let (act, which) = (feed.u8(), feed.u8());
        let who = usize::from(which) % PEOPLE;
        match act % 8 {
            0 => self.pass(Duration::from_millis(u64::from(feed.u16()) % 2_000)),
            1 => {
                let content = match (act >> 5, self.said.keys().nth(feed.u8().into()).copied()) {
                    (0..=3, to) => Content { body: Body::Text(feed.text()), to },
                    (4, to) => Content { body: Body::Reaction("👍".into()), to },
                    (5, _) => Content { body: Body::Action(feed.text()), to: None },
                    _ => Content::text("é".repeat(usize::from(feed.u8()) * 8)),
                };
                self.say(who, &content);
            }
            2 => {
                let packet = Packet::Heartbeat(self.people[who].chat.beacon());
                self.mail.extend((0..PEOPLE).filter(|&to| to != who).map(|to| (who, to, packet.clone())));
            }
            // The oldest, any other, one twice, one altered, one lost.
            kind => {
                let at = if kind == 3 { 0 } else { usize::from(which) % self.mail.len().max(1) };
                let Some((from, to, packet)) = self.mail.remove(at) else { return };
                match kind {
                    3 | 4 => self.hand(from, to, &packet),
                    5 => (0..2).for_each(|_| self.hand(from, to, &packet)),
                    6 => {
                        let was_said = matches!(packet, Packet::Chat(_) | Packet::Repair(_) | Packet::Nack(_));
                        if let Some(altered) = altered(&packet, feed) {
                            self.lied |= !was_said;
                            self.hand(from, to, &altered);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// From now on the network works.
    fn heal(&mut self) {
        for round in 0..400 {
            while let Some((from, to, packet)) = self.mail.pop_front() {
                self.hand(from, to, &packet);
            }
            self.pass(Duration::from_millis(50));
            if round % 40 == 0 {
                for who in 0..PEOPLE {
                    let packet = Packet::Heartbeat(self.people[who].chat.beacon());
                    (0..PEOPLE).filter(|&to| to != who).for_each(|to| self.hand(who, to, &packet));
                }
            }
        }
    }
}

/// The packet as it is after some of its bytes changed on the wire, if it still is one.
fn altered(packet: &Packet, feed: &mut Feed<'_>) -> Option<Packet> {
    let mut body = Vec::new();
    Message::from(packet.clone()).write_body(&mut body);
    for _ in 0..=feed.u8() % 3 {
        let at = usize::from(feed.u16()) % body.len();
        body[at] = feed.u8();
    }
    let mut found = None;
    opened::read(&body, |message| {
        if let Opened::Chat(packet) = message {
            found = Some(packet);
        }
    })
    .ok()?;
    found
}

#[test]
fn a_chat_over_a_network_that_lies() {
    let mut seeds = Vec::new();
    // Each says something long or short; a part arrives, in some order.
    for seed in 0..3 {
        let mut dice = Dice(seed);
        let mut script = Vec::new();
        for n in 0..40_u8 {
            script.extend([1 | (n % 7) << 5, n, n, 5, b'h', b'e', b'l', b'l', b'o']);
            (0..3).for_each(|_| script.extend([3 + (dice.below(5) as u8), dice.next() as u8]));
            script.extend([0, 0, 0, 90, 2, n]);
        }
        seeds.push(script);
    }
    fuzz("chat", MEMORY, seeds, |bytes| {
        let (mut room, mut feed) = (Room::new(), Feed(bytes));
        while !feed.is_empty() {
            room.step(&mut feed);
        }
        room.heal();
        let all: Vec<_> = room.people.iter().map(|p| p.shown.keys()).collect();
        for (person, keys) in room.people.iter().zip(&all) {
            let complete = room.said.keys().all(|id| keys.iter().any(|key| key.id == *id));
            assert!(complete || room.lied, "{} of {} lines: {:?}", keys.len(), room.said.len(), person.chat.counters());
            assert!(keys.iter().all(|key| room.said.contains_key(&key.id)), "a line nobody said");
            assert!(room.lied || *keys == all[0], "another order");
        }
        let c = room.people[0].chat.counters();
        let some =
            [c.forged, c.malformed, c.too_fast, c.missed, c.nacks_sent, c.repairs_sent, c.duplicates].map(|n| n > 0);
        outcome(&(some, room.lied, room.people[0].reactions > 0))
    });
}

#[test]
fn nothing_altered_is_taken_for_a_line() {
    let mut keys = Keys { public: [1; 32], counter: 0 };
    let original = keys.sign(vec![1, 2, 3]);
    assert!(Checker.authentic(&original));
    assert!(!Checker.authentic(&Original { counter: 9, ..original.clone() }));
    assert!(original.encoded_len() > 100);
}
