use super::person::tests::ada;
use super::*;

const NS: Duration = Duration::from_nanos(1);

fn ms(n: u64) -> Timestamp {
    Timestamp::from_millis(n)
}

/// Person number `n`, who publishes from slot `n`.
fn person(n: u8) -> Person {
    Person { id: ParticipantId([n; 16]), sid: n.into(), slot: Some(n), suffix: None, ..ada() }
}

fn present(roster: &mut Roster, now: Timestamp, person: Person, counter: u64) {
    let (sid, key) = (person.sid, [person.id.0[0]; 32]);
    assert!(roster.screen(sid, &key, counter).is_ok());
    roster.hear(now, &key, counter, person, now);
    roster.confirm(now, sid);
}

fn reports(roster: &mut Roster) -> Vec<String> {
    roster.renumber(None);
    let mut all = Vec::new();
    roster.report(|r| {
        all.push(match r {
            Report::Joined(p) => format!("joined {}", p.name),
            Report::Changed(p) => format!("changed {}", p.name),
            Report::Left(p, Departure::Left) => format!("left {}", p.name),
            Report::Left(p, Departure::Lost) => format!("lost {}", p.name),
            Report::Left(p, Departure::Removed) => format!("removed {}", p.name),
        })
    });
    all
}

#[test]
fn nobody_counts_before_a_pong() {
    let mut roster = Roster::default();
    roster.hear(ms(0), &[1; 32], 1, person(1), ms(5));
    assert_eq!((roster.len(), roster.next_timeout()), (0, Some(ms(5))));
    let mut due = Vec::new();
    roster.timeout(ms(5), &mut due);
    assert_eq!(due, [(1, ada().address)]);
    roster.probed(ms(5), 1, 77, NtpTime(8));
    assert_eq!(roster.answered(ms(6), 1, 78), None, "another nonce");
    assert_eq!(reports(&mut roster), [""; 0]);
    assert_eq!(roster.answered(ms(6), 1, 77), Some((NtpTime(8), ParticipantId([1; 16]))));
    assert_eq!(roster.answered(ms(6), 1, 77), None, "a nonce is good for one answer");
    assert_eq!(reports(&mut roster), ["joined Ada"]);
}

#[test]
fn a_session_that_never_answers_is_dropped_after_three_seconds() {
    let mut roster = Roster::default();
    roster.hear(ms(0), &[1; 32], 1, person(1), ms(0));
    let mut pings = 0;
    let mut now = ms(0);
    while now < ms(3_000) {
        let mut due = Vec::new();
        roster.timeout(now, &mut due);
        for (sid, _) in due {
            roster.probed(now, sid, pings, NtpTime(0));
            pings += 1;
        }
        now = roster.next_timeout().unwrap_or(ms(3_000));
    }
    assert_eq!(pings, 6);
    roster.timeout(ms(3_000) - NS, &mut Vec::new());
    assert_eq!(roster.entries().0, 1);
    roster.timeout(ms(3_000), &mut Vec::new());
    assert_eq!(roster.entries().0, 0);
    assert_eq!(reports(&mut roster), [""; 0], "nobody ever saw it");
}

#[test]
fn a_silent_publisher_is_lost_after_seven_seconds_exactly() {
    let mut roster = Roster::default();
    present(&mut roster, ms(1_000), person(1), 1);
    assert_eq!(reports(&mut roster), ["joined Ada"]);
    roster.timeout(ms(8_000) - NS, &mut Vec::new());
    assert_eq!(reports(&mut roster), [""; 0]);
    roster.timeout(ms(8_000), &mut Vec::new());
    assert_eq!(reports(&mut roster), ["lost Ada"]);
    assert!(roster.screen(1, &[1; 32], 2).is_ok(), "whoever was lost may come back");
}

#[test]
fn a_pong_keeps_the_silent_from_being_given_up() {
    let mut roster = Roster::default();
    let viewer = Person { slot: None, streams: vec![], ..person(1) };
    present(&mut roster, ms(0), viewer, 1);
    // What moved later is found out when its time comes.
    roster.timeout(ms(0), &mut Vec::new());
    assert_eq!(roster.next_timeout(), Some(ms(5_000)), "the first suspicion");
    for (at, next) in [(5_000, 5_250), (5_250, 5_500), (5_500, 6_000), (6_000, 6_250), (6_250, 6_500), (6_500, 7_000)] {
        let mut due = Vec::new();
        roster.timeout(ms(at), &mut due);
        assert_eq!(due.len(), 1);
        roster.probed(ms(at), 1, at, NtpTime(0));
        assert_eq!(roster.next_timeout(), Some(ms(next)));
    }
    assert!(roster.answered(ms(6_501), 1, 6_500).is_some());
    roster.timeout(ms(7_000), &mut Vec::new());
    assert_eq!(roster.len(), 1);
    roster.timeout(ms(13_501) - NS, &mut Vec::new());
    assert_eq!(roster.len(), 1);
    roster.timeout(ms(13_501), &mut Vec::new());
    assert_eq!(roster.len(), 0);
}

#[test]
fn many_viewers_send_and_expire_more_slowly() {
    let rows =
        [(true, 1_024, 2_000), (false, 1, 2_000), (false, 166, 2_000), (false, 167, 2_004), (false, 1_000, 12_000)];
    for (publishes, members, expected) in rows {
        assert_eq!(period(publishes, members), Duration::from_millis(expected), "{members}");
    }
    assert_eq!(period(false, usize::MAX), period(false, PARTICIPANTS_MAX));
}

#[test]
fn what_is_said_twice_or_by_another_key_is_refused() {
    let mut roster = Roster::default();
    present(&mut roster, ms(0), person(1), 5);
    let screen = |key, counter| roster.screen(1, &[key; 32], counter);
    assert_eq!(screen(1, 5), Err(Refusal::Stale));
    assert_eq!(screen(2, 6), Err(Refusal::Forged));
    assert_eq!(screen(1, 6), Ok(true));
    roster.bye(ms(0), 1);
    assert_eq!(roster.screen(1, &[1; 32], 9), Err(Refusal::Retired), "a tombstone stands");
    assert_eq!(roster.len(), 0);
}

#[test]
fn a_session_may_say_forty_things_a_second() {
    let mut roster = Roster::default();
    present(&mut roster, ms(0), person(1), 1);
    let home = person(1).address;
    let elsewhere = SocketAddr::new(home.ip(), home.port() ^ 1);
    (0..100).for_each(|_| assert_eq!(roster.may_say(ms(0), 1, elsewhere), Ok(false), "others use up nothing of it"));
    (0..SIGNED_PER_S_MAX).for_each(|_| assert_eq!(roster.may_say(ms(0), 1, home), Ok(true)));
    assert_eq!(roster.may_say(ms(999), 1, home), Err(Refusal::TooMany));
    assert_eq!(roster.may_say(ms(1_000), 1, home), Ok(true));
}

#[test]
fn few_machines_do_not_fill_the_list_of_arrivals() {
    let mut roster = Roster::default();
    let mut sid = 0;
    let mut arrive = |roster: &mut Roster, source: IpAddr| {
        let room = roster.has_room_for(source);
        if room {
            sid += 1;
            let mut id = [0; 16];
            id[..8].copy_from_slice(&u64::to_be_bytes(sid));
            let address = SocketAddr::new(source, 9);
            let person = Person { id: ParticipantId(id), sid, slot: None, address, ..ada() };
            roster.hear(ms(0), &[1; 32], 1, person, ms(0));
        }
        room
    };
    let source = |n| IpAddr::from([10, 0, 0, n]);
    let counts: Vec<usize> = (1..=10).map(|n| (0..200).filter(|_| arrive(&mut roster, source(n))).count()).collect();
    assert_eq!(counts[..3], [86, 57, 38], "each a third of what is left");
    assert!(arrive(&mut roster, source(99)), "{counts:?}");
    // Those who are here count no more.
    (1..=86).for_each(|sid| roster.confirm(ms(0), sid));
    assert!(arrive(&mut roster, source(1)));
}

#[test]
fn a_newer_session_of_the_same_id_takes_over_and_an_older_one_does_not() {
    let mut roster = Roster::default();
    let session = |sid, joined| Person { sid, joined: NtpTime(joined), ..person(1) };
    present(&mut roster, ms(0), session(10, 5), 1);
    reports(&mut roster);
    present(&mut roster, ms(0), session(9, 4), 1);
    assert_eq!(roster.person(&ParticipantId([1; 16])).map(|p| p.sid), Some(10));
    present(&mut roster, ms(0), session(11, 6), 1);
    assert_eq!(reports(&mut roster), ["lost Ada", "joined Ada"]);
    assert_eq!(roster.person(&ParticipantId([1; 16])).map(|p| p.sid), Some(11));
    assert_eq!(roster.screen(10, &[1; 32], 50), Err(Refusal::Retired));
}

#[test]
fn arrivals_and_members_and_tombstones_are_bounded() {
    let mut roster = Roster::default();
    let nth = |n: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        Person { id: ParticipantId(id), sid: n, slot: None, ..ada() }
    };
    for n in 0..ARRIVALS_MAX as u64 {
        assert_eq!(roster.screen(n, &[1; 32], 1), Ok(false));
        roster.hear(ms(0), &[1; 32], 1, nth(n), ms(0));
    }
    assert_eq!(roster.screen(5_000, &[1; 32], 1), Err(Refusal::Full), "arrivals");
    (0..ARRIVALS_MAX as u64).for_each(|n| roster.confirm(ms(0), n));
    for n in ARRIVALS_MAX as u64..PARTICIPANTS_MAX as u64 - 1 {
        assert_eq!(roster.screen(n, &[1; 32], 1), Ok(false));
        roster.hear(ms(0), &[1; 32], 1, nth(n), ms(0));
        roster.confirm(ms(0), n);
    }
    assert_eq!(roster.len(), PARTICIPANTS_MAX - 1, "and oneself");
    assert_eq!(roster.screen(5_000, &[1; 32], 1), Err(Refusal::Full), "members");
    for n in 0..2 * SESSIONS_MAX as u64 {
        roster.bye(ms(0), n);
    }
    assert_eq!(roster.entries(), (0, 0, SESSIONS_MAX));
}

#[test]
fn equal_names_are_numbered_by_time_of_joining_and_me_among_them() {
    let mut roster = Roster::default();
    let named = |n: u8, joined, suffix| Person { joined: NtpTime(joined), suffix, ..person(n) };
    present(&mut roster, ms(0), named(1, 10, None), 1);
    present(&mut roster, ms(0), named(2, 30, None), 1);
    let mut me = Person { joined: NtpTime(20), suffix: None, ..person(3) };
    roster.renumber(Some(&mut me));
    let shown = |r: &Roster, n: u8| r.person(&ParticipantId([n; 16])).unwrap().name.clone();
    assert_eq!(
        (shown(&roster, 1).as_str(), me.name.as_str(), shown(&roster, 2).as_str()),
        ("Ada", "Ada (1)", "Ada (2)")
    );
    roster.bye(ms(0), 1);
    roster.hear(ms(0), &[2; 32], 2, named(2, 30, Some(2)), ms(0));
    roster.renumber(Some(&mut me));
    assert_eq!((me.name.as_str(), shown(&roster, 2).as_str()), ("Ada (1)", "Ada (2)"), "numbers stay");
    present(&mut roster, ms(0), named(4, 40, None), 1);
    roster.renumber(Some(&mut me));
    assert_eq!(shown(&roster, 4), "Ada", "the freed number is the next one's");
}

#[test]
fn observers_take_no_name_from_people() {
    let mut roster = Roster::default();
    present(&mut roster, ms(0), Person { role: Role::Observer, joined: NtpTime(1), ..person(1) }, 1);
    present(&mut roster, ms(0), person(2), 1);
    assert_eq!(reports(&mut roster), ["joined Ada", "joined Ada"]);
}

#[test]
fn changes_are_told_once_and_positions_never() {
    let mut roster = Roster::default();
    present(&mut roster, ms(0), person(1), 1);
    reports(&mut roster);
    let mut moved = person(1);
    moved.streams[0].position += 9;
    roster.hear(ms(1), &[1; 32], 2, moved.clone(), ms(1));
    assert_eq!(reports(&mut roster), [""; 0]);
    assert_eq!(roster.person(&ParticipantId([1; 16])).unwrap().streams[0].position, moved.streams[0].position);
    roster.hear(ms(2), &[1; 32], 3, Person { microphone: Microphone::On, ..moved }, ms(1));
    assert_eq!(reports(&mut roster), ["changed Ada"]);
    assert_eq!(reports(&mut roster), [""; 0]);
}

#[test]
fn slots_given_up_in_any_way_rest() {
    let mut roster = Roster::default();
    for n in 1..=3 {
        present(&mut roster, ms(0), person(n), 1);
    }
    assert!(roster.slots_taken(true)[1..=3].iter().all(|&t| t));
    roster.bye(ms(0), 1);
    roster.hear(ms(0), &[2; 32], 2, Person { slot: Some(100), ..person(2) }, ms(0));
    roster.timeout(ms(7_000), &mut Vec::new());
    assert!(roster.slots_taken(true).iter().all(|&t| !t), "all are gone");
    let mut random = crate::protocol::keys::Random::new([4; 32]);
    let picks: Vec<_> =
        (0..2_000).map(|_| roster.rests().pick(ms(8_000), &[false; SLOTS_MAX], &mut random).unwrap()).collect();
    assert!([1, 2, 3, 100].iter().all(|slot| !picks.contains(slot)));
}

#[test]
fn whoever_goes_on_in_another_epoch_keeps_their_name_and_gives_it_up_when_they_leave() {
    let mut roster = Roster::default();
    let named = |n: u8, sid, joined| Person { sid, joined: NtpTime(joined), ..person(n) };
    present(&mut roster, ms(0), named(1, 1, 1), 1);
    present(&mut roster, ms(0), named(2, 2, 2), 1);
    assert_eq!(reports(&mut roster), ["joined Ada", "joined Ada (1)"]);
    roster.turn();
    roster.go_on(ParticipantId([1; 16]), &[9; 32], 11);
    assert_eq!(reports(&mut roster), [""; 0], "another key goes on for nobody");
    roster.go_on(ParticipantId([1; 16]), &[1; 32], 11);
    roster.go_on(ParticipantId([2; 16]), &[2; 32], 12);
    assert_eq!(reports(&mut roster), ["changed Ada", "changed Ada (1)"]);
    roster.bye(ms(1), 1);
    assert_eq!(reports(&mut roster), [""; 0], "the session of the old epoch is over already");
    roster.bye(ms(1), 11);
    assert_eq!(reports(&mut roster), ["left Ada", "changed Ada"]);
    roster.put_out(ms(2), &ParticipantId([2; 16]));
    assert_eq!(reports(&mut roster), ["removed Ada"]);
    assert_eq!((roster.len(), roster.next_timeout()), (0, None));
}
