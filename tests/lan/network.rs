//! Networks that go away, come back otherwise, and forget who listens.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet};
use crate::common::poll;
use crate::common::sandbox::sandboxed;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A participant is back by then, with slack for a machine that is busy.
const BACK_WITHIN: Duration = Duration::from_secs(5 + 3);
/// Longest silence of a stream on a switch that forgets, in whole seconds of statistics: less than 5 s.
const SILENCE_MAX: f64 = 3.0;

fn meeting(lan: &Lan) -> Vec<Peer> {
    let mut peers = vec![Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[])];
    peers.extend([(2, "Bob"), (3, "Cyd")].map(|(h, name)| Peer::join(lan.command(h, PROGRAM), name, "Standup", &[])));
    await_all_meet(&peers.iter().collect::<Vec<_>>());
    peers
}

/// Waits until Cyd shows Ada and Ada shows Cyd, more than before.
fn assert_back(peers: &[Peer], since: Instant) {
    let shown = |viewer: &Peer, name: &str| viewer.stats().map_or(0.0, |s| s.frames_shown(name));
    let before = [shown(&peers[2], "Ada"), shown(&peers[0], "Cyd")];
    let back = poll(SOON, || {
        (shown(&peers[2], "Ada") > before[0] + 5.0 && shown(&peers[0], "Cyd") > before[1] + 5.0).then(Instant::now)
    });
    let after = back.expect("pictures come back").duration_since(since);
    println!("pictures in both directions after {after:?}");
    assert!(after <= BACK_WITHIN, "back only after {after:?}");
}

fn await_notice(peer: &mut Peer, words: &str) {
    let told = |e: &serde_json::Value| e["event"] == "notice" && e["text"].as_str().is_some_and(|t| t.contains(words));
    peer.await_event(SOON, told);
}

#[test]
fn a_cable_an_interface_and_an_address_may_change() {
    sandboxed("network::a_cable_an_interface_and_an_address_may_change", || {
        let lan = Lan::up(3);
        let mut peers = meeting(&lan);
        lan.cable(3, false);
        await_notice(&mut peers[2], "the network is down: eth0 has no link");
        lan.cable(3, true);
        assert_back(&peers, Instant::now());
        await_notice(&mut peers[2], "the network is back");

        lan.ip(3, "link set eth0 down");
        await_notice(&mut peers[2], "the network is down");
        lan.ip(3, "link set eth0 up");
        lan.ip(3, "route add 224.0.0.0/4 dev eth0");
        assert_back(&peers, Instant::now());

        lan.ip(3, "addr del 10.77.0.3/24 dev eth0");
        lan.ip(3, "addr add 10.77.0.103/24 brd + dev eth0");
        let changed = Instant::now();
        await_notice(&mut peers[2], "you are now at 10.77.0.103");
        assert_back(&peers, changed);
        assert_all_show(&peers.iter().collect::<Vec<_>>(), 4.0, 0.97);
    });
}

#[test]
fn a_participant_that_stood_still_is_back_within_seconds() {
    sandboxed("network::a_participant_that_stood_still_is_back_within_seconds", || {
        let lan = Lan::up(3);
        let mut peers = meeting(&lan);
        peers[2].signal("STOP");
        // Longer than anything it had to say or to renew is waited for.
        peers[0].await_person(SOON, "Cyd", "lost");
        peers[1].await_person(SOON, "Cyd", "lost");
        peers[2].signal("CONT");
        let woke = Instant::now();
        peers[0].await_person(SOON, "Cyd", "joined");
        assert_back(&peers, woke);
        // Bob as well has had his time by then.
        peers[1].window(2.0);
        assert_all_show(&peers.iter().collect::<Vec<_>>(), 4.0, 0.95);
    });
}

#[test]
fn a_switch_that_forgets_is_reminded() {
    sandboxed("network::a_switch_that_forgets_is_reminded", || {
        let lan = Lan::up(3);
        lan.drop_queries();
        outlast_forgetting(&mut meeting(&lan), 3.0);
    });
}

#[test]
fn a_switch_that_forgets_over_ipv6_is_reminded() {
    sandboxed("network::a_switch_that_forgets_over_ipv6_is_reminded", || {
        let lan = Lan::up_ipv6(3, |_| true);
        lan.drop_queries();
        outlast_forgetting(&mut meeting(&lan), 1.5);
    });
}

/// Watches that no stream falls silent for so many minutes, unless the environment says for how many, and that the switch
/// is blamed.
fn outlast_forgetting(peers: &mut [Peer], minutes: f64) {
    let given = std::env::var("TEST_FORGETFUL_MINUTES").ok().and_then(|m| m.parse::<f64>().ok());
    let seconds = 60.0 * given.unwrap_or(minutes);
    let began = peers[0].stats().expect("statistics").elapsed_s();
    // By viewer and sender: how much was shown or heard, and since when.
    let mut last = BTreeMap::<(usize, usize, bool), (f64, f64)>::new();
    let mut longest: f64 = 0.0;
    let ended = poll(Duration::from_secs_f64(seconds + 60.0), || {
        for (v, viewer) in peers.iter().enumerate() {
            let stats = viewer.stats().expect("statistics");
            let now = stats.elapsed_s();
            for (s, sender) in peers.iter().enumerate().filter(|(s, _)| *s != v) {
                for sound in [false, true] {
                    let name = &sender.name;
                    let count = if sound { stats.packets_heard(name) } else { stats.frames_shown(name) };
                    let (known, since) = last.entry((v, s, sound)).or_insert((count, now));
                    if count > *known {
                        (*known, *since) = (count, now);
                    }
                    longest = longest.max(now - *since);
                    let what = if sound { "heard" } else { "shown" };
                    assert!(now - *since <= SILENCE_MAX, "{}: {name} not {what} since {since}", viewer.name);
                }
            }
        }
        (peers[0].stats().expect("statistics").elapsed_s() > began + seconds).then_some(())
    });
    println!("longest silence of a stream in {seconds} s: {longest:.1} s");
    assert!(ended.is_some(), "statistics stopped");
    let blamed =
        |p: &mut Peer| p.drain_events().iter().any(|e| e["text"].as_str().is_some_and(|t| t.contains("no querier")));
    assert!(peers.iter_mut().any(blamed), "the switch never forgot, so this showed nothing");
}
