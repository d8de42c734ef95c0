//! The damage bench: a conference under a table of faults, one after the other, and what is left of it. `scripts/lan-damage`
//! runs it and prints the table; nothing is asserted, since how much gets through is for people to judge.

use crate::common::lan::Lan;
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, SOON, await_all_meet, windows};
use crate::common::sandbox::{sandboxed, sh};
use crate::common::stats::{Stats, Window};
use crate::common::wire::{Damage, Wire};
use std::time::{Duration, Instant};

/// People, and seconds that each fault lasts, unless the environment says otherwise.
const PEOPLE: (&str, usize) = ("DAMAGE_PEOPLE", 3);
const SECONDS: (&str, usize) = ("DAMAGE_SECONDS", 8);
/// Only the faults whose names contain this.
const FAULT: &str = "DAMAGE_FAULT";
const NAMES: [&str; 8] = ["Ada", "Bob", "Cyd", "Dee", "Eve", "Fay", "Gus", "Hal"];
/// So that it is known which ports its streams have.
const PINNED: [&str; 4] = ["--group", "239.255.4.0", "--port", "20480"];
/// A stream that is back shows this share of its frames.
const BACK: f64 = 0.8;
/// How long is waited for that.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// One row: always at the cable of host 1, Ada's, where nothing else is said.
struct Row {
    name: &'static str,
    damage: Damage,
    /// Commands that make the fault, and those that end it.
    commands: (&'static str, &'static str),
}

const fn wire(name: &'static str, damage: Damage) -> Row {
    Row { name, damage, commands: ("", "") }
}

const fn done(name: &'static str, begin: &'static str, end: &'static str) -> Row {
    Row { name, damage: NONE, commands: (begin, end) }
}

const NONE: Damage =
    Damage { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, burst: None, twice: 0.0, late: 0.0 };
const UNBLOCK: &str = "ip netns exec h1 nft delete table inet d";

const ROWS: &[Row] = &[
    wire("nothing", NONE),
    wire("1 % lost", Damage { loss: 0.01, ..NONE }),
    wire("5 % lost", Damage { loss: 0.05, ..NONE }),
    wire("10 % lost", Damage { loss: 0.10, ..NONE }),
    wire("1 % lost in bursts of 5", Damage { burst: Some((0.002, 5.0)), ..NONE }),
    wire("5 % lost in bursts of 5", Damage { burst: Some((0.011, 5.0)), ..NONE }),
    wire("5 % out of order", Damage { late: 0.05, ..NONE }),
    wire("5 % twice", Damage { twice: 0.05, ..NONE }),
    wire(
        "20 ms delay, 20 ms jitter",
        Damage { delay: Duration::from_millis(20), jitter: Duration::from_millis(20), ..NONE },
    ),
    done(
        "10 Mb/s up",
        "ip netns exec h1 tc qdisc add dev eth0 root tbf rate 10mbit burst 16kb limit 128kb",
        "ip netns exec h1 tc qdisc del dev eth0 root",
    ),
    done(
        "2 Mb/s up",
        "ip netns exec h1 tc qdisc add dev eth0 root tbf rate 2mbit burst 16kb limit 64kb",
        "ip netns exec h1 tc qdisc del dev eth0 root",
    ),
    done("10 Mb/s down", "tc qdisc add dev q1 root tbf rate 10mbit burst 16kb limit 128kb", "tc qdisc del dev q1 root"),
    done(
        "no querier, switch forgets after 5 s",
        "ip link set br0 type bridge mcast_membership_interval 500 && nft 'add table netdev d; \
         add chain netdev d out { type filter hook egress device x1 priority 0; }; add rule netdev d out igmp type membership-query drop'",
        "nft delete table netdev d; ip link set br0 type bridge mcast_membership_interval 2600",
    ),
    done(
        "multicast blocked in",
        "ip netns exec h1 nft 'add table inet d; add chain inet d input { type filter hook input priority 0; }; add rule inet d input ip daddr 224.0.0.0/4 udp dport > 0 drop'",
        UNBLOCK,
    ),
    done(
        "multicast blocked out",
        "ip netns exec h1 nft 'add table inet d; add chain inet d output { type filter hook output priority 0; }; add rule inet d output ip daddr 224.0.0.0/4 udp dport > 0 drop'",
        UNBLOCK,
    ),
    done(
        "ports of the streams blocked",
        "ip netns exec h1 nft 'add table inet d; add chain inet d input { type filter hook input priority 0; }; add rule inet d input udp dport 20544-22527 drop'",
        UNBLOCK,
    ),
    done(
        "partition",
        "nft 'add table bridge d; add chain bridge d f { type filter hook forward priority 0; }; add rule bridge d f iifname x1 drop; add rule bridge d f oifname x1 drop'",
        "nft delete table bridge d",
    ),
    done("MTU 1000", "ip -n h1 link set eth0 mtu 1000", "ip -n h1 link set eth0 mtu 1500"),
    done("cable out", "ip link set q1 down", "ip link set q1 up"),
];

fn setting((name, usual): (&str, usize)) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// Share of frames shown, in percent, over the pairs for which `of` (viewer, sender) holds: the mean; not a number when there
/// is no such pair.
fn frames(windows: &[Window], of: impl Fn(usize, usize) -> bool) -> f64 {
    let (mut frames, mut pairs) = (0.0, 0.0_f64);
    for (viewer, window) in windows.iter().enumerate() {
        for (sender, sent) in windows.iter().enumerate().filter(|(s, _)| *s != viewer && of(viewer, *s)) {
            pairs += 1.0;
            let share = if sent.sent_rate() > 0.0 { window.shown_share(NAMES[sender], sent, CAMERA_FPS) } else { 0.0 };
            frames += share.min(1.0);
        }
    }
    100.0 * frames / pairs
}

/// Of all voices: milliseconds made up in a second of one, and gaps that are heard, in all of them together.
fn sound(windows: &[Window]) -> (f64, f64) {
    let (mut made_up, mut gaps, mut pairs) = (0.0, 0.0, 0.0_f64);
    for (viewer, window) in windows.iter().enumerate() {
        for name in (0..windows.len()).filter(|s| *s != viewer).map(|s| NAMES[s]) {
            let gaps_of = |stats: &Stats| stats.person(name)["audio"]["gaps"].as_f64().unwrap_or(0.0);
            pairs += 1.0;
            made_up += window.concealed_share(name);
            gaps += gaps_of(&window.to) - gaps_of(&window.from);
        }
    }
    (1_000.0 * made_up / pairs, gaps)
}

/// When everybody shows everybody again, as far as statistics tell, which are written each second.
fn recovery(peers: &[&Peer]) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < BACK_WITHIN {
        let window = windows(peers, 1.5);
        let all = (0..peers.len()).all(|viewer| {
            let others = (0..peers.len()).filter(|s| *s != viewer);
            others.into_iter().all(|s| window[viewer].shown_share(NAMES[s], &window[s], CAMERA_FPS) >= BACK)
        });
        if all {
            // It was so for the whole of that window.
            return Some(began.elapsed().saturating_sub(Duration::from_secs_f64(2.5)));
        }
    }
    None
}

#[test]
#[ignore = "a bench: scripts/lan-damage"]
fn table() {
    sandboxed("damage::table", || {
        let (people, seconds) = (setting(PEOPLE).clamp(2, NAMES.len()), setting(SECONDS).max(3) as f64);
        let lan = Lan::up(people);
        let cable = Wire::into(1);
        let mut peers = vec![Peer::start(lan.command(1, PROGRAM), NAMES[0], "Standup", &PINNED)];
        peers.extend((2..=people).map(|h| Peer::join(lan.command(h, PROGRAM), NAMES[h - 1], "Standup", &[])));
        await_all_meet(&peers.iter().collect::<Vec<_>>());
        println!(
            "\n> {people} people, {seconds} s each, the fault at the first one's cable; frames shown in percent; of all voices \
             ms/s made up and gaps above 60 ms"
        );
        println!(
            "> {:38} {:>12} {:>12} {:>12} {:>8} {:>6} {:>8}",
            "fault", "to the first", "of the first", "the others", "made up", "gaps", "back"
        );
        let only = std::env::var(FAULT).unwrap_or_default();
        for row in ROWS.iter().filter(|row| row.name.contains(&only)) {
            cable.set(row.damage);
            if !row.commands.0.is_empty() {
                sh(row.commands.0);
            }
            let all: Vec<&Peer> = peers.iter().collect();
            let over = windows(&all, seconds);
            cable.set(NONE);
            if !row.commands.1.is_empty() {
                sh(row.commands.1);
            }
            let back = recovery(&all).map_or("no".to_owned(), |time| format!("{:.0} s", time.as_secs_f64()));
            let to = frames(&over, |v, _| v == 0);
            let of = frames(&over, |_, s| s == 0);
            let others = frames(&over, |v, s| v != 0 && s != 0);
            let (made_up, gaps) = sound(&over);
            println!("> {:38} {to:12.1} {of:12.1} {others:12.1} {made_up:8.0} {gaps:6.0} {back:>8}", row.name);
        }
        if "killed".contains(&only) {
            killed(&mut peers);
        }
    });
}

/// The last row: one is killed.
fn killed(peers: &mut Vec<Peer>) {
    let last = peers.pop().expect("somebody");
    let name = last.name.clone();
    last.signal("KILL");
    let began = Instant::now();
    peers[0].await_person(SOON, &name, "lost");
    let noticed = began.elapsed();
    let all: Vec<&Peer> = peers.iter().collect();
    let others = if all.len() > 1 { frames(&windows(&all, 3.0), |_, _| true) } else { 100.0 };
    println!(
        "> {:38} {:>12} {:>12} {others:12.1} {:>8} {:>6} {:>7.0}s",
        "one killed (noticed after)",
        "-",
        "-",
        "-",
        "-",
        noticed.as_secs_f64()
    );
}
