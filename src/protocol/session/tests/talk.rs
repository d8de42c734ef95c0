use prost::Message as _;

use super::*;
use crate::limits::CHAT_WAITING_MAX;
use crate::protocol::chat;
use crate::wire::chat::{Heartbeat, Nack, Packet};
use crate::wire::message::{Beacon, Body, ParticipantId};

fn text(words: &str) -> chat::Content {
    chat::Content::text(words)
}

impl Lan {
    fn say(&mut self, n: usize, words: &str) {
        let at = moment(self.ms);
        self.act(n, |s, out| s.say(at, text(words), &[], out));
    }

    /// What session `n` was shown, in that order.
    fn shown(&self, n: u8) -> Vec<String> {
        let words = |e: &(SocketAddr, Event)| match &e.1 {
            Event::Chat(chat::Event::Line(line)) if e.0 == address(n) => match &line.content.body {
                chat::Body::Text(text) => Some(text.clone()),
                other => panic!("{other:?}"),
            },
            _ => None,
        };
        self.events.iter().filter_map(words).collect()
    }

    fn events_of(&self, n: u8) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |(a, _)| *a == address(n)).map(|(_, e)| e)
    }

    /// The messages in what somebody sent.
    fn read(&mut self, n: u8, reader: usize) -> Vec<Kind> {
        let sent: Vec<Vec<u8>> = self.sent.iter().filter(|s| s.1 == address(n)).map(|s| s.3.clone()).collect();
        let keys = EpochKeys::first(CONFERENCE, &self.session(reader).secret);
        let mut opener = Opener::new(keys);
        let mut kinds = Vec::new();
        for datagram in sent {
            let mut body = Vec::new();
            if opener.open(moment(0).now, Ipv4Addr::LOCALHOST.into(), &datagram, &mut body).is_ok() {
                kinds.extend(Body::decode(body.as_slice()).unwrap().messages.into_iter().filter_map(|m| m.kind));
            }
        }
        kinds
    }
}

#[test]
fn what_one_says_is_shown_to_all_once_and_its_author_told_who_has_it() {
    let mut lan = Lan::of(3);
    lan.say(0, "hi");
    lan.run(3_000);
    for n in 1..=3 {
        assert_eq!(lan.shown(n), ["hi"], "{n}");
    }
    let own: Vec<&Event> = lan.events_of(1).collect();
    let said = own.iter().position(|e| matches!(e, Event::Said(_, content) if *content == text("hi"))).unwrap();
    assert!(matches!(own[said - 1], Event::Chat(chat::Event::Keep(_) | chat::Event::Line(_))));
    let delivered = own.iter().rev().find_map(|e| match e {
        Event::Chat(chat::Event::Delivered(_, delivery)) => Some((delivery.have, delivery.present)),
        _ => None,
    });
    assert_eq!(delivered, Some((2, 2)));
    assert_eq!(lan.session(1).refused(), 0);
}

#[test]
fn beacons_tell_of_the_chat_once_something_was_said() {
    let mut lan = Lan::of(2);
    lan.run(3_000);
    let beacons = |lan: &mut Lan| {
        let signed = |kind| if let Kind::Beacon(signed) = kind { Some(signed) } else { None };
        let signed: Vec<_> = lan.read(1, 1).into_iter().filter_map(signed).collect();
        signed.iter().map(|s| Beacon::decode(s.payload.as_slice()).unwrap().chat).collect::<Vec<_>>()
    };
    let silent = beacons(&mut lan);
    assert!(!silent.is_empty() && silent.iter().all(Option::is_none));
    lan.say(0, "hi");
    lan.sent.clear();
    lan.run(3_000);
    let after = beacons(&mut lan);
    assert!(!after.is_empty() && after.iter().all(|c| c.as_ref().is_some_and(|c| c.highest == 1)), "{after:?}");
}

#[test]
fn what_is_said_before_joining_waits_and_a_crowd_of_lines_keeps_the_pace() {
    let mut lan = Lan::of(1);
    lan.enter(setup(2, Some(9)));
    (0..60).for_each(|n| lan.say(1, &n.to_string()));
    assert_eq!(lan.shown(2), [""; 0]);
    lan.run(1_000);
    assert!((20..40).contains(&lan.shown(1).len()), "{}", lan.shown(1).len());
    lan.run(3_000);
    assert_eq!(lan.shown(1), (0..60).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(lan.events_of(2).filter(|e| matches!(e, Event::Said(..))).count(), 60);
}

#[test]
fn lines_beyond_the_bound_and_lines_that_cannot_be_are_refused() {
    let mut lan = Lan::default();
    lan.enter(setup(2, None));
    (0..CHAT_WAITING_MAX + 1).for_each(|_| lan.say(0, "x"));
    let refused = |lan: &Lan, why: fn(&Unsaid) -> bool| {
        lan.events_of(2).filter(|e| matches!(e, Event::Unsaid(_, unsaid) if why(unsaid))).count()
    };
    assert_eq!(refused(&lan, |why| *why == Unsaid::TooMany), 1);
    lan.run(5_000);
    lan.say(0, "");
    assert_eq!(refused(&lan, |why| matches!(why, Unsaid::Refused(_))), 1);
}

#[test]
fn somebody_who_comes_later_reads_what_was_said_even_by_those_who_left() {
    let mut lan = Lan::of(3);
    lan.say(0, "one");
    lan.run(10);
    lan.say(1, "two");
    lan.run(1_000);
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.leave(at, out));
    lan.run(100);
    lan.enter(setup(9, Some(2)));
    lan.run(500);
    assert_eq!(lan.shown(9), ["one", "two"]);
    assert!(lan.events_of(9).any(|e| matches!(e, Event::Chat(chat::Event::History(_, 2)))));
    let joined = lan.events_of(9).position(|e| matches!(e, Event::Joined { .. })).unwrap();
    let line = lan.events_of(9).position(|e| matches!(e, Event::Chat(_))).unwrap();
    assert!(joined < line);
}

#[test]
fn what_one_says_at_once_is_said_after_what_was_said_before() {
    let mut lan = Lan::of(2);
    lan.say(0, "one");
    lan.run(1_000);
    lan.enter(setup(9, Some(2)));
    lan.say(2, "two");
    lan.run(500);
    assert_eq!(lan.shown(9), ["one", "two"]);
    assert_eq!(lan.shown(1), ["one", "two"]);
}

#[test]
fn what_is_on_disk_is_shown_after_joining_and_is_not_kept_again() {
    let mut lan = Lan::of(2);
    lan.say(0, "one");
    lan.say(1, "two");
    lan.run(1_000);
    let kept = |lan: &Lan, n: u8| -> Vec<crate::wire::chat::Original> {
        let keep = |e: &Event| if let Event::Chat(chat::Event::Keep(k)) = e { Some(k.original.clone()) } else { None };
        lan.events_of(n).filter_map(keep).collect()
    };
    let disk = kept(&lan, 1);
    assert_eq!(disk.len(), 2);
    lan.sessions.clear();
    lan.events.clear();
    let mut session = Session::new(moment(lan.ms), Setup { seed: [77; 32], ..setup(1, Some(0)) });
    session.restore(moment(lan.ms), disk.iter().map(|o| (Duration::from_secs(60), o.clone())).collect());
    lan.sessions.push((address(1), session));
    lan.run(100);
    assert_eq!(lan.shown(1), ["one", "two"]);
    assert!(kept(&lan, 1).is_empty());
    // And is passed on.
    lan.enter(setup(5, Some(1)));
    lan.run(500);
    assert_eq!(lan.shown(5), ["one", "two"]);
}

#[test]
fn observers_take_no_part() {
    let mut lan = Lan::of(1);
    lan.enter(Setup { role: Role::Observer, ..setup(5, Some(1)) });
    lan.run(1_000);
    lan.say(0, "hi");
    lan.say(1, "hello");
    lan.run(3_000);
    assert!(lan.shown(5).is_empty());
    assert_eq!(lan.shown(1), ["hi"]);
    assert!(lan.events_of(5).any(|e| matches!(e, Event::Unsaid(_, Unsaid::Observer))));
    assert!(lan.events_of(1).any(|e| matches!(e, Event::Chat(chat::Event::Unheard(_)))), "nobody was there");
}

#[test]
fn the_chat_of_those_who_are_not_here_is_refused() {
    let mut lan = Lan::of(2);
    lan.say(0, "hi");
    lan.run(1_000);
    lan.sent.clear();
    let mut forger = forger(66);
    let nack = Nack { wants: vec![], tags: (0..64).collect() };
    let heartbeat = Heartbeat { run: 1, highest: 9, acks: vec![] };
    for packet in [Packet::Nack(nack), Packet::Heartbeat(heartbeat)] {
        let bytes = said(&mut forger, |f, out| f.post(To::Control, packet.into(), out));
        lan.deliver(address(66), To::Control, &bytes);
    }
    assert_eq!(lan.counters(0).strangers, 2);
    lan.run(1_000);
    assert!(lan.read(1, 1).iter().all(|kind| !matches!(kind, Kind::Nack(_) | Kind::Repair(_))));
}

#[test]
fn a_name_changed_is_the_name_of_later_lines() {
    let mut lan = Lan::of(1);
    lan.say(0, "one");
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.set_name(at, "Grace", out));
    lan.say(0, "two");
    let name = |e: &Event| if let Event::Chat(chat::Event::Line(l)) = e { Some(l.name.clone()) } else { None };
    let names: Vec<_> = lan.events_of(1).filter_map(name).collect();
    assert_eq!(names, ["person 1", "Grace"]);
}

#[test]
fn a_private_line_is_read_by_those_it_is_for_alone_and_told_when_they_have_it() {
    let mut lan = Lan::of(3);
    lan.run(3_000);
    let (at, bob) = (moment(lan.ms), lan.session(1).me().id);
    lan.act(0, |s, out| s.say(at, text("between us"), &[bob], out));
    lan.run(2_000);
    assert_eq!([1, 2, 3].map(|n| lan.shown(n)), [vec!["between us"], vec!["between us"], vec![]]);
    let told = |e: &Event| match e {
        Event::Chat(chat::Event::Line(line)) => Some(line.audience.clone()),
        _ => None,
    };
    assert_eq!(lan.events_of(2).find_map(told), Some(vec![lan.session(0).me().id, bob]));
    let delivered = lan.events_of(1).filter_map(|e| match e {
        Event::Chat(chat::Event::Delivered(_, delivery)) => Some((delivery.have, delivery.present)),
        _ => None,
    });
    assert_eq!(delivered.last(), Some((1, 1)));
    assert_eq!(lan.session(2).refused(), 0, "it is nobody's fault that it cannot be read");
}

#[test]
fn a_private_line_to_somebody_who_is_not_here_is_not_said() {
    let mut lan = Lan::of(2);
    lan.run(3_000);
    let at = moment(lan.ms);
    lan.act(0, |s, out| s.say(at, text("psst"), &[ParticipantId([9; 16])], out));
    lan.run(1_000);
    assert!(lan.events_of(1).any(|e| matches!(e, Event::Unsaid(_, Unsaid::Absent))));
    assert_eq!([1, 2].map(|n| lan.shown(n).len()), [0, 0]);
}
