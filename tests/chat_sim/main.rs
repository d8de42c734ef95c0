//! Whole conferences of chat in virtual time, from one seed each: loss, kills, splits, late joiners.
//!
//! `cargo test --test chat_sim -- --nocapture` prints the figures; the largest run is behind `--ignored`.

mod world;

use std::time::Duration;

use roundtable::protocol::chat::Content;

use world::{Happening, World, text};

const S: Duration = Duration::from_secs(1);

#[test]
fn without_loss_every_line_arrives_at_once() {
    let mut world = World::new(1, 8, 0);
    world.talk(200, 8, 20 * S);
    world.run_for(25 * S);
    world.check_complete(200);
    world.report("8 people, no loss", 25.0);
    assert!(world.latency_us.iter().all(|&us| us <= 2_500));
    let repairs: u64 = world.nodes.iter().map(|node| node.chat.counters().repairs_sent).sum();
    assert_eq!(repairs, 0);
}

#[test]
fn fifty_people_at_thirty_percent_loss_read_the_same() {
    let mut world = World::new(2, 50, 30);
    world.talk(500, 50, 30 * S);
    world.run_for(60 * S);
    world.check_complete(500);
    world.report("50 people, 30 % loss", 60.0);
}

#[test]
fn a_thousand_people_at_ten_percent_loss_read_the_same() {
    let mut world = World::new(3, 1_000, 10);
    world.talk(60, 1_000, 10 * S);
    // Whoever lost a line and all its repeats learns of it from its author's next beacons, 11 s apart.
    world.run_for(45 * S);
    world.check_complete(60);
    world.report("1,000 people, 10 % loss", 45.0);
    assert!(world.percentile_ms(0.99) <= 150.0);
}

#[test]
#[ignore = "minutes; run by hand for figures"]
fn a_thousand_people_talk_for_a_minute() {
    let mut world = World::new(4, 1_000, 10);
    world.talk(300, 1_000, 60 * S);
    world.run_for(90 * S);
    world.check_complete(300);
    world.report("1,000 people, 10 % loss, 5 lines/s", 90.0);
    world.report_delivery();
}

#[test]
fn what_somebody_said_before_being_killed_reaches_all_others() {
    for seed in 10..20 {
        let mut world = World::new(seed, 8, 10);
        world.talk(100, 8, 10 * S);
        // The last words go out once, and the first of them may be lost to any of the others.
        for ms in [4_990, 4_999] {
            world.after(Duration::from_millis(ms), Happening::Say(3, text(ms as usize)));
        }
        world.after(5 * S, Happening::Kill(3));
        world.run_for(30 * S);
        let lines = world.said.len();
        world.check_complete(lines);
        assert!(world.said.values().filter(|&&(_, author)| author == 3).count() >= 2);
    }
}

#[test]
fn long_lines_arrive_whole() {
    let mut world = World::new(30, 12, 10);
    for number in 0..60 {
        let content = Content::text("é".repeat(2_048));
        world.after(Duration::from_millis(number * 500), Happening::Say(number as usize % 12, content));
    }
    world.run_for(40 * S);
    world.check_complete(60);
    world.report("12 people, 10 % loss, lines of 4,096 bytes", 40.0);
}

#[test]
fn both_sides_of_a_split_read_everything_after_it() {
    let mut world = World::new(40, 20, 10);
    world.talk(100, 20, 10 * S);
    world.run_for(15 * S);
    world.happen(Happening::Split(2));
    world.talk(200, 20, 50 * S);
    // Somebody comes to one side, speaks, and is gone before the other side could hear of it.
    world.after(20 * S, Happening::Join);
    world.after(21 * S, Happening::Say(20, text(0)));
    world.after(22 * S, Happening::Say(20, text(1)));
    world.after(30 * S, Happening::Kill(20));
    world.run_for(60 * S);
    world.happen(Happening::Heal);
    let mut waited = 0;
    while world.nodes[..20].iter().any(|node| node.times.len() < world.said.len()) {
        waited += 1;
        assert!(waited <= 60, "not complete a minute after the heal");
        world.run_for(S);
    }
    println!("20 people, 10 % loss: complete {waited} s after a split of 60 s with 202 lines");
    world.check_complete(302);
}

#[test]
fn a_late_joiner_gets_the_last_500_lines_and_everything_after() {
    let mut world = World::new(50, 10, 10);
    world.talk(700, 10, 70 * S);
    world.run_for(72 * S);
    world.join();
    world.run_for(3 * S);
    let mut expected: Vec<_> = world.nodes[0].shown.keys()[200..].to_vec();
    assert_eq!(world.nodes[10].shown.keys(), expected);
    assert_eq!(world.nodes[10].history, Some(500));
    world.talk(50, 11, 10 * S);
    world.run_for(20 * S);
    expected = world.nodes[0].shown.keys()[200..].to_vec();
    assert_eq!(expected.len(), 550);
    assert_eq!(world.nodes[10].shown.keys(), expected);
    assert!(world.nodes.iter().all(|node| node.missed == 0));
    assert_eq!(world.nodes.iter().map(|node| node.chat.counters().forged).sum::<u64>(), 0);
}

#[test]
fn many_who_join_while_others_talk_miss_nothing() {
    let mut world = World::new(60, 10, 20);
    world.talk(300, 10, 30 * S);
    world.after(5 * S, Happening::Join);
    for _ in 0..40 {
        world.after(10 * S, Happening::Join);
    }
    world.run_for(60 * S);
    assert_eq!(world.nodes.len(), 51);
    world.check_complete(300);
    assert!(world.nodes[10..].iter().all(|node| node.history.is_some()));
    world.report("10 talk, 41 join at 20 % loss", 60.0);
}

#[test]
fn authors_learn_how_many_have_their_lines() {
    let mut world = World::new(70, 30, 10);
    world.talk(30, 30, 10 * S);
    world.run_for(40 * S);
    world.check_complete(30);
    for (id, &(_, author)) in &world.said {
        assert_eq!(world.nodes[author].delivered.get(id), Some(&29));
        assert_eq!(world.nodes[author].chat.delivery(*id).map(|d| (d.have, d.present)), Some((29, 29)));
    }
    assert!(world.nodes.iter().all(|node| node.unheard.is_empty()));
}

#[test]
fn a_seed_replays_its_run() {
    let run = || {
        let mut world = World::new(80, 12, 20);
        world.talk(60, 12, 10 * S);
        world.run_for(15 * S);
        (world.latency_us.clone(), world.handled, world.bytes.clone())
    };
    assert_eq!(run(), run());
}
