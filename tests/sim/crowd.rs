//! A crowd: mostly viewers, a few publishers, one packet in ten lost; people come, leave, die, are parted and meet again.
//!
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 SIM_PEOPLE=1000 cargo test --test sim crowd::rosters -- --nocapture` is the full size, and
//! takes half an hour; every run of the tests takes a smaller crowd, of which everything is the same but the period. And fifty
//! people of whose packets three in ten are lost, who go on talking through all of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use roundtable::device::net::memory::Profile;
use roundtable::protocol::chat::{Content, OrderKey};
use roundtable::protocol::roster::period;
use roundtable::time::Timestamp;

use crate::world::{Node, World};

const PEOPLE: usize = 200;
const PUBLISHERS: usize = 8;
/// What viewers may send together, and what each publisher may.
const VIEWERS_BITS_PER_S_MAX: u64 = 160_000;
const PUBLISHER_BITS_PER_S_MAX: u64 = 2_000;

/// The last of so many pairs miss each other several times in a row.
const GATHERED_MAX: Duration = Duration::from_secs(20);
const DELIVERY_P99_MAX: Duration = Duration::from_millis(500);

/// With three of ten packets lost somebody is always given up and found again.
const STORM_PEOPLE: usize = 50;
const STORM_ERRORS_PER_MILLE_MAX: f64 = 10.0;
const STORM_DELIVERY_P99_MAX: Duration = Duration::from_secs(2);

struct Crowd {
    world: World,
    people: usize,
    began: Instant,
    came: Timestamp,
}

impl Crowd {
    /// Everybody comes within some seconds.
    fn gather(seed: u64, people: usize, loss: f64) -> Self {
        let profile = Profile {
            loss,
            delay: Duration::from_micros(200),
            jitter: Duration::from_micros(300),
            ..Profile::default()
        };
        let mut crowd =
            Self { world: World::new(seed, profile).crowd(), people, began: Instant::now(), came: Timestamp(0) };
        crowd.came = crowd.world.now;
        for n in 0..people {
            crowd.enter(n < PUBLISHERS);
            crowd.world.run(Duration::from_millis(20));
        }
        crowd
    }

    fn enter(&mut self, publishes: bool) {
        let n = self.world.alive().count();
        self.world.enter(&format!("person {n}"), Some(n as u32), publishes);
    }

    fn period(&self) -> Duration {
        period(false, self.people)
    }

    /// Runs until `errors` are at most `few`, at most for `limit`; the time it took and the errors left.
    fn until(&mut self, few: usize, limit: Duration, errors: impl Fn(&World) -> usize) -> (Duration, usize) {
        let start = self.world.now;
        // Comparing all rosters costs as much as many packets.
        let step = self.period() / 10;
        loop {
            let left = errors(&self.world);
            let took = self.world.now.since(start);
            if left <= few || took >= limit {
                return (took, left);
            }
            self.world.run(step);
        }
    }

    fn say(&self, what: &str, took: (Duration, usize)) {
        let (time, left) = took;
        let cost = self.began.elapsed().as_secs_f64();
        println!(
            "{} people: {what}: {time:.1?}, {left} errors left, {} lost so far [{cost:.1} s]",
            self.people,
            self.world.losses()
        );
    }
}

/// `TEST_SEED`, if it is set.
fn seed(default: u64) -> u64 {
    std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default)
}

/// A share of all entries in all rosters.
fn per_mille(world: &World, share: f64) -> usize {
    let n = world.alive().count() as f64;
    (n * n * share / 1_000.0) as usize
}

#[test]
fn rosters_of_a_crowd_become_true_again_whatever_happens() {
    let people = std::env::var("SIM_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(PEOPLE);
    let mut crowd = Crowd::gather(seed(7), people, 0.10);
    let t = crowd.period();
    let gone = t.mul_f32(3.55);
    println!(
        "{people} people came within {:.1?} [{:.1} s]",
        crowd.world.now.since(crowd.came),
        crowd.began.elapsed().as_secs_f64()
    );

    let took = crowd.until(0, GATHERED_MAX.max(6 * t), World::errors);
    crowd.say("everybody sees everybody after the last came", took);
    assert_eq!(took.1, 0);

    steady(&mut crowd, t);

    // Some fall silent.
    let before = crowd.world.losses();
    let silent: Vec<usize> = (0..people / 50).map(|n| PUBLISHERS - 1 + n * 40 % people).collect();
    silent.iter().for_each(|&n| crowd.world.kill(n));
    let took = crowd.until(0, gone, World::errors);
    crowd.say("the killed are gone", took);
    assert_eq!(took.1, 0);
    let wrongly = crowd.world.losses() - before - silent.len() * (people - silent.len());
    // Three beacons and six pings to the same one may all get lost; its next beacon brings it back.
    assert!(wrongly <= people * people / 200_000, "{wrongly} others are given up");

    // Some leave.
    let leaving: Vec<usize> = crowd.world.alive().map(|(n, _)| n).step_by(50).skip(1).collect();
    for &n in &leaving {
        crowd.world.act(n, |session, at, out| session.leave(at, out));
    }
    crowd.world.run(Duration::from_millis(50));
    let left = crowd.world.errors();
    println!("{people} people: {} left, {left} entries not yet gone after 50 ms", leaving.len());
    assert!(left <= leaving.len() * people / 100, "one in a thousand misses all three goodbyes");
    let took = crowd.until(0, gone, World::errors);
    crowd.say("those who left are gone", took);
    assert_eq!(took.1, 0);

    partition(&mut crowd, t, gone);

    // Newcomers into the crowd.
    (0..20).for_each(|_| crowd.enter(false));
    let took = crowd.until(per_mille(&crowd.world, 1.0), 2 * t, World::errors);
    crowd.say("20 newcomers are seen, to one in a thousand", took);
    let took = crowd.until(0, 4 * t, World::errors);
    crowd.say("and by everybody", took);
    assert_eq!(took.1, 0);
}

/// Nobody is lost, and the control group carries its share, with what is said.
fn steady(crowd: &mut Crowd, t: Duration) {
    let before = crowd.world.losses();
    crowd.world.run(t);
    // Whole periods: those who came together send together.
    let time = 2 * t.max(Duration::from_secs(10));
    control_bits(crowd, "nothing is said", |crowd| crowd.world.run(time));
    let mut said = Vec::new();
    control_bits(crowd, "somebody speaks every second", |crowd| {
        said.extend((0..time.as_secs()).map(|line| talk(crowd, line as usize, Duration::from_secs(1))));
    });
    let delays = read(crowd, &said);
    assert!(p99(crowd, &delays) <= DELIVERY_P99_MAX);
    assert_eq!(crowd.world.losses(), before, "nobody is given up");
    assert_eq!(crowd.world.errors(), 0);
}

/// What viewers and publishers send to the control group while `something` happens is within their shares, chat included.
fn control_bits(crowd: &mut Crowd, what: &str, something: impl FnOnce(&mut Crowd)) {
    crowd.world.nodes.iter_mut().for_each(|node| (node.control_bytes, node.chat_bytes) = (0, 0));
    let start = crowd.world.now;
    something(crowd);
    let time = crowd.world.now.since(start).as_secs().max(1);
    let bits = |publishes: bool, of: fn(&Node) -> u64| {
        let nodes = crowd.world.nodes.iter().filter(|node| node.publishes == publishes);
        nodes.map(|node| of(node) * 8).sum::<u64>() / time
    };
    let [viewers, publishers] = [false, true].map(|publish| {
        let [roster, chat] = [bits(publish, |node| node.control_bytes), bits(publish, |node| node.chat_bytes)];
        let who = if publish { "publishers" } else { "viewers" };
        println!("{} people, {what}: {who} send {roster} b/s, and {chat} b/s of chat", crowd.people);
        roster + chat
    });
    assert!(viewers <= VIEWERS_BITS_PER_S_MAX, "{viewers} b/s of viewers");
    assert!(publishers <= PUBLISHERS as u64 * PUBLISHER_BITS_PER_S_MAX, "{publishers} b/s of publishers");
}

/// Somebody says something; then there is silence for `pause`. Which line it is, and when it was said.
fn talk(crowd: &mut Crowd, line: usize, pause: Duration) -> (OrderKey, Timestamp) {
    let speakers: Vec<usize> = crowd.world.alive().map(|(n, _)| n).collect();
    let said = say(crowd, speakers[line * 37 % speakers.len()], line);
    crowd.world.run(pause);
    said
}

fn say(crowd: &mut Crowd, speaker: usize, line: usize) -> (OrderKey, Timestamp) {
    let content = Content::text(format!("line {line}, as long as people write them when they have something to say"));
    crowd.world.act(speaker, |session, at, out| session.say(at, content, &[], out));
    let &(said, key) = crowd.world.nodes[speaker].lines.last().expect("one reads what one says");
    assert_eq!(said, crowd.world.now);
    (key, said)
}

/// Everybody reads each line once, and all in one order. The times it took, shortest first.
fn read(crowd: &Crowd, said: &[(OrderKey, Timestamp)]) -> Vec<Duration> {
    let said: BTreeMap<OrderKey, Timestamp> = said.iter().copied().collect();
    let mut delays = Vec::new();
    for (n, node) in crowd.world.alive() {
        let keys: BTreeSet<OrderKey> = node.lines.iter().map(|&(_, key)| key).collect();
        assert_eq!(keys.len(), node.lines.len(), "member {n} reads each once");
        let missing: Vec<_> = said.iter().filter(|(key, _)| !keys.contains(key)).collect();
        assert!(missing.is_empty() && keys.len() == said.len(), "member {n} does not read {missing:?}");
        delays.extend(node.lines.iter().map(|&(at, key)| at.since(said[&key])));
    }
    delays.sort_unstable();
    delays
}

fn p99(crowd: &Crowd, delays: &[Duration]) -> Duration {
    let [p50, p99] = [50, 99].map(|share| delays[delays.len() * share / 100]);
    let last = delays.last().expect("something was said");
    println!("{} people: lines are read after p50 {p50:.1?}, p99 {p99:.1?}, the last {last:.1?}", crowd.people);
    p99
}

fn partition(crowd: &mut Crowd, t: Duration, gone: Duration) {
    let sides: [Vec<usize>; 2] =
        [0, 1].map(|side| crowd.world.alive().map(|(n, _)| n).filter(|n| n % 2 == side).collect());
    let hosts: Vec<_> = sides[1].iter().map(|&n| crowd.world.nodes[n].host).collect();
    crowd.world.lan.split(&hosts);
    let sids = |world: &World, side: usize| -> HashSet<u64> {
        sides[side].iter().map(|&n| world.nodes[n].session.me().sid).collect()
    };
    let took = crowd.until(0, gone, |world| {
        [0, 1].iter().map(|&side| world.errors_within(|n| n % 2 == side, &sids(world, side))).sum()
    });
    crowd.say("two halves are two conferences", took);
    assert_eq!(took.1, 0);
    crowd.world.lan.heal();
    let took = crowd.until(per_mille(&crowd.world, 10.0), 3 * t, World::errors);
    crowd.say("healed, to one in a hundred", took);
    // The last of so many pairs misses several beacons in a row.
    let took = crowd.until(0, 8 * t, World::errors);
    crowd.say("and to the last", took);
    assert_eq!(took.1, 0);
}

#[test]
fn fifty_who_lose_three_of_ten_packets_read_everything_once_whatever_happens() {
    let mut crowd = Crowd::gather(seed(8), STORM_PEOPLE, 0.30);
    let few = per_mille(&crowd.world, STORM_ERRORS_PER_MILLE_MAX);
    let gone = crowd.period().mul_f32(3.55);
    let took = crowd.until(0, GATHERED_MAX, World::errors);
    crowd.say("everybody sees everybody after the last came", took);
    assert_eq!(took.1, 0);

    let mut lines = 0..;
    let mut said = Vec::new();
    let mut chat = |crowd: &mut Crowd, time: Duration, said: &mut Vec<_>| {
        let pause = Duration::from_millis(500);
        let count = (time.as_millis() / pause.as_millis()) as usize;
        said.extend(lines.by_ref().take(count).map(|line| talk(crowd, line, pause)));
    };
    chat(&mut crowd, Duration::from_secs(20), &mut said);
    crowd.world.run(Duration::from_secs(5));
    let delays = read(&crowd, &said);
    assert!(p99(&crowd, &delays) <= STORM_DELIVERY_P99_MAX);

    for n in [3, 17, 31] {
        // What they say last goes out once; those who hear it pass it on.
        said.push(say(&mut crowd, n, 1_000 + n));
        crowd.world.kill(n);
    }
    chat(&mut crowd, gone, &mut said);
    let left = crowd.world.errors();
    println!("3 of them were killed {gone:.1?} ago: {left} errors");
    assert!(left <= few);

    for n in [5, 23, 44] {
        crowd.world.act(n, |session, at, out| session.leave(at, out));
    }
    chat(&mut crowd, gone, &mut said);
    let left = crowd.world.errors();
    println!("3 of them left {gone:.1?} ago: {left} errors");
    assert!(left <= few);

    let others: Vec<_> = crowd.world.alive().filter(|(n, _)| n % 2 == 1).map(|(_, node)| node.host).collect();
    crowd.world.lan.split(&others);
    chat(&mut crowd, Duration::from_secs(20), &mut said);
    crowd.world.lan.heal();
    let took = crowd.until(few, Duration::from_secs(10), World::errors);
    crowd.say("healed, to one in a hundred", took);
    assert!(took.1 <= few);
    (0..5).for_each(|_| crowd.enter(false));
    chat(&mut crowd, Duration::from_secs(20), &mut said);

    crowd.world.run(Duration::from_secs(60));
    let took = crowd.until(0, Duration::from_secs(20), World::errors);
    crowd.say("everybody sees everybody in the end", took);
    assert_eq!(took.1, 0);
    read(&crowd, &said);
}
