//! Who may be here, who decides that, and the keys that follow from it.

use super::*;
use crate::limits::{DOOR_WORK_PER_SOURCE_MAX, KNOCKERS_MAX, KNOCKERS_PER_SOURCE_MAX};
use crate::protocol::chat;
use crate::protocol::door::Authority;
use crate::protocol::keys::conference_id;
use crate::wire::message::ParticipantId;

const RANDOM: [u8; 16] = [9; 16];

/// Somebody's part in a protected conference that person 1 founds.
fn member(n: u8, expected: u32) -> Setup {
    let conference = conference_id(Identity::from_seed(&[1; 32]).public(), &RANDOM);
    // Any secret serves; deriving one from words takes time.
    Setup { conference, open: false, secret: Secret::open(&conference), ..setup(n, Some(expected)) }
}

fn id(n: u8) -> ParticipantId {
    Identity::from_seed(&[n; 32]).id()
}

impl Lan {
    /// `n` people in a protected conference; the first founded it.
    fn protected(n: u8) -> Self {
        let mut lan = Self { chance: 1, ..Self::default() };
        lan.admit_session(member(1, 0), |s| s.found(RANDOM));
        for i in 2..=n {
            lan.admit_session(member(i, u32::from(i) - 1), |_| ());
        }
        lan.run(1_000);
        lan.events.clear();
        lan.sent.clear();
        lan
    }

    fn admit_session(&mut self, setup: Setup, prepare: impl FnOnce(&mut Session)) {
        let mut session = Session::new(moment(self.ms), setup);
        prepare(&mut session);
        self.sessions.push((session.me.address, session));
        let (ms, n) = (self.ms, self.sessions.len() - 1);
        self.act(n, |s, out| s.set_streams(moment(ms), &[video()], out));
        self.run(300);
    }

    /// Somebody comes to a conference announced as locked, and knocks.
    fn knock(&mut self, n: u8) {
        let (epoch, at) = (self.session(0).opener.keys().epoch(), moment(self.ms));
        self.admit_session(member(n, self.sessions.len() as u32), |s| s.arrive(at, epoch, true));
    }

    /// Person `n` decides something.
    fn decide(&mut self, n: u8, decide: impl FnOnce(&mut Session, Moment, &mut Outputs)) {
        let (at, which) = (moment(self.ms), self.which(n));
        self.act(which, |s, out| decide(s, at, out));
    }

    fn which(&self, n: u8) -> usize {
        self.sessions.iter().rposition(|(a, _)| *a == address(n)).unwrap()
    }

    fn of_person(&self, n: u8) -> &Session {
        self.session(self.which(n))
    }

    fn door_events(&self, n: u8) -> Vec<&DoorEvent> {
        let of = |(a, e): &'_ (SocketAddr, Event)| *a == address(n) && matches!(e, Event::Door(_));
        let events = self.events.iter().filter(|e| of(e));
        events.filter_map(|(_, e)| if let Event::Door(event) = e { Some(event) } else { None }).collect()
    }

    /// What person `n` was told of the coming and going of others.
    fn flicker(&self, n: u8) -> Vec<&Event> {
        let comes_or_goes = |e: &&Event| matches!(e, Event::PersonJoined(_) | Event::PersonLeft(..));
        self.events.iter().filter(|(a, _)| *a == address(n)).map(|(_, e)| e).filter(comes_or_goes).collect()
    }

    fn removed(&self, n: u8) -> bool {
        self.door_events(n).iter().any(|e| matches!(e, DoorEvent::Removed { .. }))
    }

    /// Whether all of these have the same keys, the same door and each other.
    fn agree(&self, people: &[u8]) -> bool {
        let first = self.of_person(people[0]);
        people.iter().all(|&n| {
            let s = self.of_person(n);
            let sees = |&other: &u8| other == n || s.roster.person(&id(other)).is_some();
            let same = s.opener.keys() == first.opener.keys() && s.porch.door.digest() == first.porch.door.digest();
            same && s.stage == Stage::Joined && people.iter().all(sees)
        })
    }

    /// Lets time pass until these agree; how long that took.
    fn converge(&mut self, people: &[u8], ms_max: u64) -> u64 {
        let start = self.ms;
        while !self.agree(people) {
            assert!(self.ms - start < ms_max, "no agreement of {people:?} within {ms_max} ms");
            self.run(1);
        }
        self.ms - start
    }

    fn tell(&mut self, n: u8, words: &str) {
        self.decide(n, |s, at, out| s.say(at, chat::Content::text(words), &[], out));
    }

    fn read_by(&self, n: u8) -> Vec<&str> {
        let mut all = Vec::new();
        for (_, event) in self.events.iter().filter(|(a, _)| *a == address(n)) {
            if let Event::Chat(chat::Event::Line(line)) = event
                && let chat::Body::Text(text) = &line.content.body
            {
                all.push(text.as_str());
            }
        }
        all
    }

    /// How many of the datagrams sent since `from` the keys of person `n` open.
    fn opened_with_keys_of(&self, n: u8, from: usize) -> usize {
        let s = self.of_person(n);
        let mut openers: Vec<Opener> = vec![Opener::new(s.opener.keys().clone())];
        let porch = EpochKeys::first(s.opener.keys().conference(), &s.secret);
        openers.push(Opener::new(porch));
        let mut count = 0;
        for (ms, source, _, bytes) in self.sent[from..].iter().filter(|s| s.2 != To::Discovery) {
            let mut body = Vec::new();
            let opened = openers.iter_mut().any(|o| o.open(moment(*ms).now, source.ip(), bytes, &mut body).is_ok());
            // What is said at the door is for everybody outside as well.
            let mut inside = false;
            let _ = crate::wire::opened::read(&body, |m| inside |= !matches!(m, crate::wire::opened::Opened::Door(_)));
            count += usize::from(opened && inside);
        }
        count
    }
}

#[test]
fn a_lock_gives_everybody_the_same_new_keys_and_nobody_leaves() {
    let mut lan = Lan::protected(4);
    let before = lan.of_person(2).opener.keys().clone();
    lan.tell(2, "before");
    lan.run(500);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    let took = lan.converge(&[1, 2, 3, 4], 400);
    assert!(took <= 100, "{took} ms");
    lan.tell(2, "after");
    lan.run(6_000);
    for n in 1..=4 {
        assert!(lan.flicker(n).is_empty(), "{n}: {:?}", lan.flicker(n));
        assert_eq!(lan.read_by(n), ["before", "after"], "{n}");
        assert!(*lan.of_person(n).opener.keys() != before);
        let locked = |e: &&&DoorEvent| matches!(e, DoorEvent::Locked { on: true, by: Some(by), .. } if *by == id(1));
        assert_eq!(lan.door_events(n).iter().filter(locked).count(), 1, "{n}");
        // Streams go on in the same slot, as other sources.
        let me = lan.of_person(n).me();
        assert!(me.slot.is_some() && me.streams[0].ssrc != video().ssrc, "{n}");
        let others = lan.of_person(if n == 1 { 2 } else { 1 });
        assert_eq!(others.roster.person(&id(n)).map(|p| (p.sid, p.slot)), Some((me.sid, me.slot)), "{n}");
    }
}

#[test]
fn epochs_draw_new_sessions_and_old_packets_stay_replayed() {
    let mut lan = Lan::protected(3);
    let sids: Vec<u64> = (1..=3).map(|n| lan.of_person(n).me.sid).collect();
    lan.run(2_500);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(3_000);
    assert!((1..=3).all(|n| !sids.contains(&lan.of_person(n).me.sid)));
    let state: Vec<String> = (0..3).map(|n| lan.state(n)).collect();
    let digest = lan.of_person(2).porch.door.digest();
    for (_, source, to, bytes) in lan.sent.clone() {
        if to != To::Discovery {
            lan.deliver(source, to, &bytes);
        }
    }
    assert_eq!((0..3).map(|n| lan.state(n)).collect::<Vec<_>>(), state, "a recording changes nothing");
    assert_eq!(lan.of_person(2).porch.door.digest(), digest);
}

#[test]
fn a_newcomer_to_a_locked_conference_sees_nothing_until_admitted_and_then_everything() {
    let mut lan = Lan::protected(3);
    lan.tell(1, "said before");
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(1_000);
    lan.decide(1, |s, at, out| s.set_moderator(at, id(2), true, out));
    lan.run(1_000);
    lan.events.clear();
    let from = lan.sent.len();
    lan.knock(9);
    lan.tell(3, "while it waits");
    lan.run(5_000);
    for n in [1, 2] {
        let knocks = lan.door_events(n);
        let [DoorEvent::Knocked { id: who, name, was_removed: false }] = knocks[..] else { panic!("{n}: {knocks:?}") };
        assert_eq!((*who, name.as_str()), (id(9), "person 9"));
    }
    assert!(lan.door_events(3).is_empty(), "members have nothing to decide");
    assert!(matches!(lan.door_events(9)[..], [DoorEvent::Waiting]), "{:?}", lan.door_events(9));
    assert!(lan.flicker(9).is_empty() && lan.read_by(9).is_empty() && lan.names(3).is_empty());
    assert_eq!(lan.opened_with_keys_of(9, from), 0);
    assert!(!lan.names(0).contains(&"person 9".to_owned()));
    lan.decide(2, |s, at, out| s.admit(at, id(9), out));
    lan.converge(&[1, 2, 3, 9], 1_000);
    lan.run(2_000);
    assert_eq!(lan.names(3), ["person 1", "person 2", "person 3"]);
    assert_eq!(lan.read_by(9), ["said before", "while it waits"], "what was said before is history of the conference");
    lan.tell(9, "hello");
    lan.run(500);
    assert!(lan.read_by(3).contains(&"hello"));
    assert!(lan.door_events(1).iter().any(|e| matches!(e, DoorEvent::KnockOver { id: who } if *who == id(9))));
}

#[test]
fn who_is_refused_ends_and_may_not_be_let_in_or_refused_by_members() {
    let mut lan = Lan::protected(3);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(500);
    lan.knock(9);
    lan.decide(3, |s, at, out| s.admit(at, id(9), out));
    lan.decide(3, |s, at, out| s.refuse(at, id(9), out));
    lan.run(1_000);
    assert_eq!(lan.door_events(3).iter().filter(|e| matches!(e, DoorEvent::Denied(_))).count(), 2);
    assert_eq!(lan.of_person(9).stage, Stage::Knocking);
    lan.decide(1, |s, at, out| s.refuse(at, id(9), out));
    lan.run(1_500);
    assert!(lan.of_person(9).is_finished());
    assert!(matches!(lan.door_events(9).last(), Some(DoorEvent::Refused { by }) if *by == id(1)));
}

#[test]
fn who_is_kicked_understands_nothing_more_and_cannot_come_back() {
    let mut lan = Lan::protected(4);
    lan.tell(4, "mine");
    lan.run(500);
    let stolen = lan.of_person(4).opener.keys().clone();
    lan.events.clear();
    let from = lan.sent.len();
    lan.decide(1, |s, at, out| s.kick(at, id(4), out));
    // What was decided is heard, and nothing else after that.
    assert!(lan.removed(4) && lan.of_person(4).is_finished());
    lan.converge(&[1, 2, 3], 400);
    lan.run(2_000);
    let from = from + lan.sent[from..].iter().filter(|s| s.0 < lan.ms - 1_800).count();
    lan.tell(2, "a secret");
    lan.run(3_000);
    assert_eq!(lan.opened_with_keys_of(4, from), 0, "control and chat");
    let me = lan.of_person(2).me();
    let srtp = |keys: &EpochKeys| *keys.srtp(&me.id, me.sid, me.streams[0].ssrc);
    assert_ne!(srtp(&stolen), srtp(lan.of_person(2).opener.keys()), "media");
    for n in 1..=3 {
        let gone = lan.flicker(n);
        let [Event::PersonLeft(person, Departure::Removed)] = gone[..] else { panic!("{n}: {gone:?}") };
        assert_eq!(person.id, id(4));
        let told = |e: &&&DoorEvent| matches!(e, DoorEvent::PutOut { id: who, by } if (*who, *by) == (id(4), id(1)));
        assert_eq!(lan.door_events(n).iter().filter(told).count(), 1);
        assert!(lan.of_person(n).is_locked());
    }
    // With the passphrase it comes to the door, and no further until somebody lets it in.
    lan.knock(4);
    lan.run(4_000);
    assert_eq!(lan.of_person(4).stage, Stage::Knocking);
    let asked = |e: &&DoorEvent| matches!(e, DoorEvent::Knocked { id: who, was_removed: true, .. } if *who == id(4));
    assert!(lan.door_events(1).iter().any(asked) && !lan.door_events(2).iter().any(asked));
    lan.decide(1, |s, at, out| s.admit(at, id(4), out));
    lan.converge(&[1, 2, 3, 4], 2_000);
}

#[test]
fn a_kicked_program_that_goes_on_regardless_is_neither_heard_nor_answered() {
    let mut lan = Lan::protected(3);
    lan.decide(1, |s, at, out| s.kick(at, id(3), out));
    lan.run(3_000);
    let ms = lan.ms;
    // It forgets that it was put out, and goes on with what it has.
    let which = lan.which(3);
    let rogue = &mut lan.sessions[which].1;
    rogue.stage = Stage::Joined;
    rogue.porch.door = crate::protocol::door::Door::new(rogue.opener.keys().conference());
    lan.islands.insert(address(3), 7);
    lan.events.clear();
    let from = lan.sent.len();
    lan.act(which, |s, out| s.say(moment(ms), chat::Content::text("still here"), &[], out));
    let nonce = 77;
    lan.sessions[which].1.porch.ask(moment(ms).now, nonce);
    lan.act(which, |s, out| {
        s.send_beacon(moment(ms), out);
        s.send_knock(moment(ms).now, out);
    });
    lan.islands.clear();
    let said: Vec<_> = lan.sent[from..].iter().map(|(_, source, to, bytes)| (*source, *to, bytes.clone())).collect();
    assert!(said.len() >= 2);
    for (source, to, bytes) in said {
        lan.hand_round(source, to, &bytes);
    }
    lan.waiting.clear();
    for n in [1, 2] {
        assert!(lan.read_by(n).is_empty() && lan.flicker(n).is_empty(), "{n}");
        assert!(lan.of_person(n).refused() > 0);
        assert!(lan.of_person(n).roster.person(&id(3)).is_none());
    }
}

#[test]
fn decisions_of_those_without_the_right_are_refused_and_counted() {
    let mut lan = Lan::protected(3);
    let acts: [fn(&mut Session, Moment, &mut Outputs); 5] = [
        |s, at, out| s.lock(at, true, out),
        |s, at, out| s.kick(at, id(2), out),
        |s, at, out| s.kick(at, id(1), out),
        |s, at, out| s.set_moderator(at, id(3), true, out),
        |s, at, out| s.hand_over(at, id(2), out),
    ];
    for act in acts {
        lan.decide(3, act);
    }
    assert_eq!(lan.door_events(3).iter().filter(|e| matches!(e, DoorEvent::Denied(_))).count(), acts.len());
    // A program that does not ask itself whether it may, but says so to everybody.
    let conference = lan.of_person(3).opener.keys().conference();
    let mut forged = crate::protocol::door::Door::new(conference);
    let eve = Identity::from_seed(&[3; 32]);
    let own = crate::protocol::door::Chain::founded(eve.public(), RANDOM);
    forged.set_chain(own.clone());
    let ban = forged.ban(&eve, id(2), false).unwrap();
    forged.decide(&eve, 0, Some([1; 16])).unwrap();
    let turn = forged.turn().map(|turn| turn.signed().clone());
    let before = lan.counters(1);
    let digest = lan.of_person(2).porch.door.digest();
    lan.decide(3, |s, _, out| {
        let rekey = crate::wire::door::Rekey { turn, ..Default::default() };
        s.post_door(To::Control, crate::wire::door::Packet::Ban(ban), out);
        s.post_door(To::Control, crate::wire::door::Packet::Rekey(rekey), out);
        let chain = own.to_wire().unwrap();
        s.post_door(To::Control, crate::wire::door::Packet::Chain(chain), out);
    });
    lan.run(1_000);
    let after = lan.counters(1);
    assert_eq!((after.unauthorized - before.unauthorized, after.forged - before.forged), (2, 1));
    assert_eq!(lan.of_person(2).porch.door.digest(), digest);
    assert!(!lan.removed(2) && !lan.of_person(2).is_locked());
    assert_eq!((lan.names(0).len(), lan.names(1).len()), (2, 2));
}

#[test]
fn the_right_goes_with_a_hand_over_and_with_being_a_moderator() {
    let mut lan = Lan::protected(4);
    lan.decide(1, |s, at, out| s.set_moderator(at, id(2), true, out));
    lan.run(500);
    assert!((1..=4).all(|n| lan.of_person(n).porch.door.chain().authority(&id(2)) == Authority::Moderator));
    lan.decide(2, |s, at, out| s.lock(at, true, out));
    lan.converge(&[1, 2, 3, 4], 400);
    lan.decide(1, |s, at, out| s.hand_over(at, id(3), out));
    lan.run(500);
    for n in 1..=4 {
        let chain = lan.of_person(n).porch.door.chain();
        assert_eq!(chain.owner(), Some(id(3)), "{n}");
        assert_eq!(chain.authority(&id(1)), Authority::Moderator, "{n}: who handed over may still help");
    }
    lan.decide(1, |s, at, out| s.set_moderator(at, id(4), true, out));
    lan.decide(1, |s, at, out| s.kick(at, id(3), out));
    assert_eq!(lan.door_events(1).iter().filter(|e| matches!(e, DoorEvent::Denied(_))).count(), 2);
    lan.decide(3, |s, at, out| s.set_moderator(at, id(2), false, out));
    lan.decide(2, |s, at, out| s.lock(at, false, out));
    lan.run(500);
    assert!(lan.agree(&[1, 2, 3, 4]) && lan.of_person(4).is_locked(), "no moderator any more");
    lan.decide(3, |s, at, out| s.lock(at, false, out));
    lan.converge(&[1, 2, 3, 4], 400);
    assert!(!lan.of_person(4).is_locked());
}

#[test]
fn the_moderator_who_is_here_for_longest_follows_an_owner_who_left() {
    let mut lan = Lan::protected(4);
    lan.decide(1, |s, at, out| s.set_moderator(at, id(3), true, out));
    lan.decide(1, |s, at, out| s.set_moderator(at, id(2), true, out));
    lan.run(500);
    lan.decide(1, |s, at, out| s.leave(at, out));
    lan.run(9_000);
    assert_eq!(lan.of_person(4).porch.door.chain().owner(), Some(id(1)), "not yet: the owner may come back");
    lan.run(6_000);
    for n in 2..=4 {
        let chain = lan.of_person(n).porch.door.chain();
        assert_eq!((chain.owner(), chain.authority(&id(3))), (Some(id(2)), Authority::Moderator), "{n}");
    }
    lan.decide(2, |s, at, out| s.lock(at, true, out));
    lan.converge(&[2, 3, 4], 400);
    // Whoever was here comes back without knocking.
    lan.knock(1);
    lan.converge(&[1, 2, 3, 4], 3_000);
    assert_eq!(lan.of_person(1).authority(), Authority::Moderator);
}

#[test]
fn moderators_who_decide_at_the_same_time_end_with_the_same_door() {
    let mut lan = Lan::protected(5);
    for n in [2, 3] {
        lan.decide(1, |s, at, out| s.set_moderator(at, id(n), true, out));
    }
    lan.run(500);
    // Neither hears the other before it has decided.
    lan.islands.insert(address(3), 1);
    lan.decide(2, |s, at, out| s.lock(at, true, out));
    lan.islands.clear();
    lan.islands.insert(address(2), 1);
    lan.decide(3, |s, at, out| s.kick(at, id(5), out));
    lan.islands.clear();
    lan.converge(&[1, 2, 3, 4], 8_000);
    assert!(lan.removed(5) && lan.of_person(1).porch.door.unturned().is_none());
    assert!((1..=4).all(|n| lan.flicker(n).len() == 1), "only the one who was kicked is gone");
}

#[test]
fn halves_of_a_conference_that_decided_apart_become_one_again() {
    let mut lan = Lan::protected(6);
    lan.decide(1, |s, at, out| s.set_moderator(at, id(4), true, out));
    lan.run(500);
    lan.islands.extend((4..=6).map(|n| (address(n), 1)));
    lan.run(2_000);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.decide(4, |s, at, out| s.kick(at, id(6), out));
    lan.run(28_000);
    assert!(lan.agree(&[1, 2, 3]) && lan.agree(&[4, 5]) && !lan.agree(&[1, 4]));
    assert_eq!(lan.of_person(5).porch.door.chain().owner(), Some(id(4)), "the owner seemed to have left");
    lan.islands.clear();
    lan.converge(&[1, 2, 3, 4, 5], 30_000);
    let door = &lan.of_person(5).porch.door;
    assert_eq!(door.chain().owner(), Some(id(1)), "it had not");
    assert!(door.banned_by(&id(6)).is_some() && door.unturned().is_none());
}

#[test]
fn with_a_tenth_of_all_datagrams_lost_everybody_has_the_new_keys_soon() {
    let mut worst = 0;
    for seed in 1..=8 {
        let mut lan = Lan::protected(8);
        (lan.loss, lan.chance) = (10, seed);
        lan.decide(1, |s, at, out| s.lock(at, true, out));
        worst = worst.max(lan.converge(&[1, 2, 3, 4, 5, 6, 7, 8], 6_000));
        lan.decide(1, |s, at, out| s.kick(at, id(8), out));
        worst = worst.max(lan.converge(&[1, 2, 3, 4, 5, 6, 7], 6_000));
        for n in 1..=7 {
            assert!(lan.flicker(n).len() <= 1, "{seed} {n}: {:?}", lan.flicker(n));
        }
    }
    assert!(worst <= 1_500, "{worst} ms");
}

#[test]
fn who_missed_a_turn_is_told_and_gets_the_secret() {
    let mut lan = Lan::protected(4);
    lan.islands.insert(address(3), 1);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(4_000);
    lan.decide(1, |s, at, out| s.kick(at, id(4), out));
    lan.run(1_000);
    lan.islands.clear();
    // Owner and moderators tell again each 5 s.
    lan.converge(&[1, 2, 3], 7_000);
    // With neither owner nor moderator there, members help each other.
    lan.decide(1, |s, at, out| s.leave(at, out));
    lan.run(1_000);
    lan.admit_session(member(3, 2), |s| s.arrive(moment(0), 2, true));
    lan.converge(&[2, 3], 4_000);
}

#[test]
fn who_comes_by_an_old_announcement_learns_of_the_lock_and_knocks() {
    let mut lan = Lan::protected(2);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(4_000);
    lan.admit_session(member(9, 2), |s| s.arrive(moment(0), 0, false));
    lan.run(3_000);
    assert!(lan.door_events(9).contains(&&DoorEvent::Waiting));
    assert!(lan.names(2).is_empty());
    lan.decide(1, |s, at, out| s.admit(at, id(9), out));
    lan.converge(&[1, 2, 9], 3_000);
}

#[test]
fn an_unlocked_conference_is_entered_without_knocking_in_its_present_epoch() {
    let mut lan = Lan::protected(3);
    lan.decide(1, |s, at, out| s.kick(at, id(3), out));
    lan.run(1_000);
    lan.decide(1, |s, at, out| s.lock(at, false, out));
    lan.run(1_000);
    let told = |e: &&DoorEvent| matches!(e, DoorEvent::Locked { on: false, outsiders: 1, .. });
    assert!(lan.door_events(1).iter().any(told));
    let epoch = lan.of_person(1).opener.keys().epoch();
    lan.admit_session(member(9, 2), |s| s.arrive(moment(0), epoch, false));
    lan.converge(&[1, 2, 9], 1_000);
    // Who was put out hears, but is not heard.
    lan.admit_session(member(3, 3), |s| s.arrive(moment(0), epoch, false));
    lan.run(2_000);
    assert!((1..=2).all(|n| lan.of_person(n).roster.person(&id(3)).is_none()));
}

#[test]
fn in_an_open_conference_nothing_can_be_decided_and_nothing_of_it_is_believed() {
    let mut lan = Lan { chance: 1, ..Lan::default() };
    for n in 1..=2 {
        let setup = Setup { open: true, ..member(n, u32::from(n) - 1) };
        lan.admit_session(setup, |s| {
            if n == 1 {
                s.found(RANDOM)
            }
        });
    }
    lan.run(1_000);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.decide(1, |s, at, out| s.kick(at, id(2), out));
    assert!(matches!(lan.door_events(1)[..], [.., DoorEvent::Denied(_), DoorEvent::Denied(_)]));
    // An owner's program that does so all the same.
    let which = lan.which(1);
    lan.sessions[which].1.open = false;
    let before = lan.counters(1).unauthorized;
    lan.decide(1, |s, at, out| s.kick(at, id(2), out));
    assert!(!lan.removed(2) && lan.counters(1).unauthorized > before);
}

/// A knock of its own identity, and where it comes from.
fn knock(n: u8, host: u8, ms: u64) -> (SocketAddr, Vec<u8>) {
    let from = SocketAddr::from((Ipv4Addr::new(10, 1, 0, host), 4_000 + u16::from(n)));
    let mut seed = [n; 32];
    seed[31] = 99;
    let identity = Identity::from_seed(&seed);
    let mut s = Session::new(moment(ms), Setup { seed, identity, address: from, ..member(200, 1) });
    s.arrive(moment(ms), 1, true);
    let mut out = Outputs::default();
    s.timeout(moment(ms), &mut out);
    let bytes = out.sends().next().map(|(_, bytes)| bytes.to_vec()).unwrap();
    (from, bytes)
}

#[test]
fn so_many_may_wait_at_the_door_and_so_much_is_heard_of_one_machine() {
    let mut lan = Lan::protected(2);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(1_000);
    lan.events.clear();
    for n in 0..KNOCKERS_MAX as u8 + 10 {
        let (from, bytes) = knock(n, 10 + n / KNOCKERS_PER_SOURCE_MAX as u8, lan.ms);
        lan.deliver(from, To::Control, &bytes);
    }
    assert_eq!(lan.door_events(1).len(), KNOCKERS_MAX);
    assert_eq!(lan.of_person(1).porch.knockers.len(), KNOCKERS_MAX);
    let before = lan.counters(0).throttled;
    for n in 80..=DOOR_WORK_PER_SOURCE_MAX as u8 + 85 {
        let (from, bytes) = knock(n, 1, lan.ms);
        lan.deliver(from, To::Control, &bytes);
    }
    assert_eq!(lan.counters(0).throttled - before, 6);
    // Decisions are heard all the same, and those who do not knock again make room.
    lan.decide(1, |s, at, out| s.lock(at, false, out));
    lan.converge(&[1, 2], 400);
    lan.run(10_500);
    assert!(lan.of_person(1).porch.knockers.is_empty());
}

#[test]
fn one_machine_does_not_fill_the_door() {
    let mut lan = Lan::protected(2);
    lan.decide(1, |s, at, out| s.lock(at, true, out));
    lan.run(500);
    for n in 0..20 {
        let (from, bytes) = knock(n, 1, lan.ms);
        lan.deliver(from, To::Control, &bytes);
    }
    assert_eq!(lan.of_person(1).porch.knockers.len(), KNOCKERS_PER_SOURCE_MAX);
    let (from, bytes) = knock(99, 2, lan.ms);
    lan.deliver(from, To::Control, &bytes);
    assert_eq!(lan.door_events(1).iter().filter(|e| matches!(e, DoorEvent::Knocked { .. })).count(), 5);
}
