//! Layers wanted and reports of how they arrive, among members and from others.

use super::forged::sealed;
use super::*;
use crate::limits::{INTEREST_BYTES_MAX, RECEPTION_PER_S_MAX, RECEPTION_PER_SOURCE_MAX, REPORT_ROWS_MAX};
use crate::wire::interest::{Interest, Place, Places, Report, Row};
use crate::wire::message::Message;

fn thumb_of(lan: &mut Lan, n: usize) -> Place {
    Place::new(lan.session(n).me().slot.expect("a slot"), Layer::Thumb).unwrap()
}

fn wanted(lan: &mut Lan, n: u8) -> Vec<WantedLayers> {
    let of = |(source, event): (SocketAddr, Event)| match event {
        Event::Wanted(wanted) if source == address(n) => Some(wanted),
        _ => None,
    };
    lan.events.drain(..).filter_map(of).collect()
}

#[test]
fn a_layer_is_wanted_at_once_as_long_as_somebody_wants_it_and_not_much_longer() {
    let mut lan = Lan::of(3);
    let mut places = Places::default();
    places.insert(thumb_of(&mut lan, 0));
    let ms = lan.ms;
    lan.act(1, |s, out| s.want(moment(ms), places, out));
    lan.run(10);
    assert_eq!(wanted(&mut lan, 1), [[true, false, false, false]]);
    lan.run(20_000);
    assert_eq!(wanted(&mut lan, 1), [] as [WantedLayers; 0], "it is wanted all the time");
    let ms = lan.ms;
    lan.act(1, |s, out| s.want(moment(ms), Places::default(), out));
    lan.run(1_900);
    assert!(wanted(&mut lan, 1).is_empty());
    lan.run(6_200);
    assert_eq!(wanted(&mut lan, 1), [[false; 4]]);
    assert_eq!(wanted(&mut lan, 2), [] as [WantedLayers; 0]);
}

#[test]
fn who_hears_nothing_does_not_take_others_to_want_nothing() {
    let mut lan = Lan::of(3);
    let mut places = Places::default();
    places.insert(thumb_of(&mut lan, 0));
    let ms = lan.ms;
    lan.act(1, |s, out| s.want(moment(ms), places, out));
    lan.run(10_000);
    assert_eq!(wanted(&mut lan, 1), [[true, false, false, false]]);
    // The switch forgets who listens at the first one's cable, for almost as long as it takes to be given up.
    lan.islands = [(address(1), 1), (address(2), 2), (address(3), 2)].into();
    lan.run(7_000);
    assert_eq!(wanted(&mut lan, 1), [] as [WantedLayers; 0]);
    lan.islands.clear();
    lan.run(5_000);
    assert_eq!(wanted(&mut lan, 1), [] as [WantedLayers; 0], "it was asked for all the time");
    let ms = lan.ms;
    lan.act(1, |s, out| s.want(moment(ms), Places::default(), out));
    lan.run(11_000);
    assert_eq!(wanted(&mut lan, 1), [[false; 4]]);
}

#[test]
fn those_who_hear_no_group_are_known_to_want_what_others_want_too() {
    let mut lan = Lan::of(3);
    let mut places = Places::default();
    places.insert(thumb_of(&mut lan, 0));
    let ms = lan.ms;
    lan.act(2, |s, out| s.set_reach(moment(ms), Reach::Unicast, false, out));
    lan.run(3_000);
    lan.events.clear();
    let by_deaf = |lan: &mut Lan| -> Vec<(SocketAddr, Places)> {
        let of = |(at, event)| if let Event::WantedByDeaf(places) = event { Some((at, places)) } else { None };
        lan.events.drain(..).filter_map(of).collect()
    };
    // Whoever hears the groups asks first, and nobody would have to ask again.
    for n in [1, 2] {
        let ms = lan.ms;
        lan.act(n, |s, out| s.want(moment(ms), places, out));
        lan.run(1_000);
        let expected: &[_] = if n == 1 { &[] } else { &[(address(1), places), (address(2), places)] };
        let mut told = by_deaf(&mut lan);
        told.sort_by_key(|(at, _)| *at);
        assert_eq!(told, expected);
    }
    lan.run(20_000);
    assert_eq!(by_deaf(&mut lan), [], "it is wanted all the time");
    let ms = lan.ms;
    lan.act(2, |s, out| s.want(moment(ms), Places::default(), out));
    lan.run(9_000);
    assert!(by_deaf(&mut lan).contains(&(address(2), Places::default())));
}

#[test]
fn how_layers_arrive_is_told_to_their_sender_alone_and_not_too_often() {
    let mut lan = Lan::of(3);
    let row = |place| Row { place, lost: 40, left: 8 };
    let rows = vec![row(thumb_of(&mut lan, 0)), row(thumb_of(&mut lan, 1))];
    for _ in 0..50 {
        let (ms, rows) = (lan.ms, rows.clone());
        lan.act(2, |s, _| s.report_reception(moment(ms), rows));
        lan.run(100);
    }
    let (first, second) = (rows[0], rows[1]);
    let from = lan.session(2).me().id;
    let told =
        |lan: &Lan, n| lan.events.iter().filter(|(a, e)| *a == address(n) && matches!(e, Event::Reception(_))).count();
    assert!((3..=7).contains(&told(&lan, 1)), "{} reports in 5 s", told(&lan, 1));
    assert_eq!(told(&lan, 1), told(&lan, 2));
    assert!(lan.events.contains(&(address(1), Event::Reception(Reception { from, row: first }))));
    assert!(!lan.events.contains(&(address(1), Event::Reception(Reception { from, row: second }))));
    let ms = lan.ms;
    lan.act(2, |s, _| s.report_reception(moment(ms), Vec::new()));
    lan.events.clear();
    lan.run(5_000);
    assert_eq!(told(&lan, 1), 0, "whoever receives nothing has nothing to tell");
}

#[test]
fn what_strangers_want_or_nobody_can_want_is_counted_and_nothing_else() {
    let mut lan = Lan::of(2);
    let sid = lan.session(1).me().sid;
    let interest = |bytes: usize| Kind::Interest(Interest { layers: vec![0xff; bytes] });
    let report = |rows: usize| Kind::Report(Report { rows: vec![0; rows] });
    let good = [interest(INTEREST_BYTES_MAX), report(4 * REPORT_ROWS_MAX)];
    let bad = [interest(INTEREST_BYTES_MAX + 1), report(4 * REPORT_ROWS_MAX + 4), report(3)];
    for (n, kind) in good.into_iter().chain(bad.clone()).enumerate() {
        lan.deliver(address(66), To::Control, &sealed(77, n + 1, kind));
    }
    assert_eq!((lan.counters(0).strangers, lan.counters(0).malformed), (5, 0));
    for (n, kind) in bad.into_iter().enumerate() {
        lan.deliver(address(2), To::Control, &sealed(sid, 5_000 + n, kind));
    }
    assert_eq!((lan.counters(0).strangers, lan.counters(0).malformed), (5, 3));
    assert!(wanted(&mut lan, 1).is_empty());
}

#[test]
fn one_source_cannot_make_others_work_without_end() {
    let mut lan = Lan::of(2);
    let sid = lan.session(1).me().sid;
    let body = Kind::Interest(Interest { layers: vec![1] });
    let mut sealer = Sealer::new(&EpochKeys::first(CONFERENCE, &Secret::open(&CONFERENCE)), sid);
    (0..5_000).for_each(|_| assert!(sealer.seal(&[], &mut Vec::new())));
    let mut plain = Vec::new();
    Message { kind: Some(body) }.write_body(&mut plain);
    for _ in 0..RECEPTION_PER_SOURCE_MAX + 7 {
        let mut bytes = Vec::new();
        assert!(sealer.seal(&plain, &mut bytes));
        lan.deliver(address(2), To::Control, &bytes);
    }
    assert_eq!(lan.counters(0).excess, 7);
    const { assert!(RECEPTION_PER_S_MAX > RECEPTION_PER_SOURCE_MAX) };
}
