//! Four people in four namespaces.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet, windows};
use crate::common::sandbox::sandboxed;
use serde_json::json;
use std::time::{Duration, Instant};

/// A killed person is gone by then: 3.5 beacons of 2 s, and what it takes to notice.
const LOST_WITHIN: Duration = Duration::from_millis(7_500);

/// Somebody who says goodbye is gone by then. Far below [`LOST_WITHIN`], so that it cannot be the silence.
const LEFT_WITHIN: Duration = Duration::from_secs(3);

/// People called Ada, Bob, .. on hosts 1, 2, .. of the LAN, each with picture and sound of all the others.
fn meeting(lan: &Lan, people: usize) -> Vec<Peer> {
    let names = ["Ada", "Bob", "Cyd", "Dee"];
    let mut peers = vec![Peer::start(lan.command(1, PROGRAM), names[0], "Standup", &[])];
    peers.extend((2..=people).map(|h| Peer::join(lan.command(h, PROGRAM), names[h - 1], "Standup", &[])));
    let all: Vec<&Peer> = peers.iter().collect();
    await_all_meet(&all);
    peers
}

#[test]
fn everybody_shows_everybody_and_an_idle_port_carries_nothing() {
    sandboxed("conference::everybody_shows_everybody_and_an_idle_port_carries_nothing", || {
        let lan = Lan::up(5);
        let peers = meeting(&lan, 4);
        let all: Vec<&Peer> = peers.iter().collect();
        let (member, idle) = (lan.counters(1), lan.counters(5));
        assert_all_show(&all, 8.0, 0.97);
        let to_member = lan.counters(1).to_host - member.to_host;
        let to_idle = lan.counters(5).to_host - idle.to_host;
        println!("bytes to a member {to_member}, to a port that joined nothing {to_idle}");
        assert!(to_member > 1_000_000, "a member of the conference receives {to_member} bytes");
        assert!(to_idle * 100 < to_member, "a port that joined nothing carries {to_idle} of {to_member} bytes");
    });
}

#[test]
fn a_stream_is_sent_once_however_many_watch() {
    sandboxed("conference::a_stream_is_sent_once_however_many_watch", || {
        let lan = Lan::up(4);
        let mut peers = meeting(&lan, 2);
        let with_one = bytes_a_frame(&lan, &peers[0]);
        peers.extend(
            [3, 4]
                .map(|h| Peer::join(lan.command(h, PROGRAM), ["Cyd", "Dee"][h - 3], "Standup", &["--camera", "none"])),
        );
        peers[2].await_stats(SOON, "sees Ada", |s| s.frames_shown("Ada") > 0.0);
        peers[3].await_stats(SOON, "sees Ada", |s| s.frames_shown("Ada") > 0.0);
        let with_three = bytes_a_frame(&lan, &peers[0]);
        println!("bytes Ada's cable carries away per frame: one viewer {with_one:.0}, three {with_three:.0}");
        assert!(with_three < with_one * 1.3, "three viewers cost {with_three:.0} bytes a frame, one {with_one:.0}");
    });
}

/// What leaves the host of the first person, for each frame that person sends.
fn bytes_a_frame(lan: &Lan, peer: &Peer) -> f64 {
    let before = lan.counters(1).from_host;
    let window = peer.window(4.0);
    (lan.counters(1).from_host - before) as f64 / (window.to.frames_sent() - window.from.frames_sent())
}

#[test]
fn a_leaver_disappears_at_once() {
    sandboxed("conference::a_leaver_disappears_at_once", || {
        let lan = Lan::up(3);
        let mut peers = meeting(&lan, 3);
        peers[1].tell(&json!({"do": "leave"}));
        for watcher in [0, 2] {
            peers[watcher].await_person(LEFT_WITHIN, "Bob", "left");
        }
        assert_eq!(peers[1].await_end(SOON).code(), Some(0), "leaving is no failure");
        assert_all_show(&[&peers[0], &peers[2]], 4.0, 0.97);
    });
}

#[test]
fn a_terminated_program_says_goodbye() {
    sandboxed("conference::a_terminated_program_says_goodbye", || {
        let lan = Lan::up(2);
        let mut peers = meeting(&lan, 2);
        for (leaver, signal) in [(1, "TERM"), (0, "INT")] {
            peers[leaver].signal(signal);
            if leaver == 1 {
                peers[0].await_person(LEFT_WITHIN, "Bob", "left");
            }
            assert_eq!(peers[leaver].await_end(SOON).code(), Some(0), "SIG{signal} ends the program in order");
        }
    });
}

#[test]
fn a_killed_person_is_noticed() {
    sandboxed("conference::a_killed_person_is_noticed", || {
        let lan = Lan::up(3);
        let mut peers = meeting(&lan, 3);
        let killed = Instant::now();
        peers[1].signal("KILL");
        for watcher in [0, 2] {
            let noticed = peers[watcher].await_person(LOST_WITHIN + SOON, "Bob", "lost");
            let after = noticed.duration_since(killed);
            println!("{} noticed after {after:?}", peers[watcher].name);
            assert!(after <= LOST_WITHIN, "{} noticed only after {after:?}", peers[watcher].name);
        }
        assert_all_show(&[&peers[0], &peers[2]], 4.0, 0.97);
    });
}

#[test]
fn a_pulled_cable_disturbs_nobody_else_and_heals() {
    sandboxed("conference::a_pulled_cable_disturbs_nobody_else_and_heals", || {
        let lan = Lan::up(3);
        let peers = meeting(&lan, 3);
        lan.cable(3, false);
        assert_all_show(&[&peers[0], &peers[1]], 4.0, 0.97);
        let before: Vec<f64> = ["Ada", "Bob"].iter().map(|n| shown(&peers[2], n)).collect();
        lan.cable(3, true);
        for (name, before) in ["Ada", "Bob"].iter().zip(before) {
            peers[2].await_stats(SOON, "sees the others again", |s| s.frames_shown(name) > before + 15.0);
            let back = peers.iter().find(|p| p.name == *name).expect("one of them");
            let earlier = shown(back, "Cyd");
            back.await_stats(SOON, "is seen again", |s| s.frames_shown("Cyd") > earlier + 15.0);
        }
        let all: Vec<&Peer> = peers.iter().collect();
        assert_all_show(&all, 4.0, 0.97);
    });
}

fn shown(viewer: &Peer, sender: &str) -> f64 {
    viewer.stats().map_or(0.0, |s| s.frames_shown(sender))
}

#[test]
fn a_muted_person_is_seen_and_not_heard() {
    sandboxed("conference::a_muted_person_is_seen_and_not_heard", || {
        let lan = Lan::up(2);
        let mut peers = meeting(&lan, 2);
        peers[1].tell(&json!({"do": "mute", "on": true}));
        let muted = |e: &serde_json::Value| e["event"] == "person" && e["name"] == "Bob" && e["muted"] == true;
        peers[0].await_event(SOON, muted);
        let window = windows(&[&peers[0], &peers[1]], 4.0);
        assert!(window[0].shown_share("Bob", &window[1], 15.0) >= 0.97, "the picture goes on");
        assert!(window[0].audio_rate("Bob") < 5.0, "packets of a muted voice: {:.0}/s", window[0].audio_rate("Bob"));
        peers[1].tell(&json!({"do": "mute", "on": false}));
        let before = peers[0].stats().map_or(0.0, |s| s.packets_heard("Bob"));
        peers[0].await_stats(SOON, "hears Bob again", |s| s.packets_heard("Bob") > before + 50.0);
    });
}

#[test]
fn equal_names_and_several_people_on_one_machine_are_kept_apart() {
    sandboxed("conference::equal_names_and_several_people_on_one_machine_are_kept_apart", || {
        let lan = Lan::up(2);
        let first = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[]);
        let same_machine = Peer::join(lan.command(1, PROGRAM), "Bob", "Standup", &[]);
        let same_name = Peer::join(lan.command(2, PROGRAM), "Ada", "Standup", &["--camera", "none"]);
        first.await_stats(SOON, "sees Bob", |s| s.meets("Bob"));
        same_machine.await_stats(SOON, "sees Ada", |s| s.meets("Ada"));
        same_machine.await_stats(SOON, "tells the two Adas apart", |s| s.names().iter().any(|n| n == "Ada (1)"));
        same_name.await_stats(SOON, "sees Bob", |s| s.meets("Bob"));
        let own = |s: &crate::common::stats::Stats| {
            s.0["people"].as_array().is_some_and(|p| p.iter().any(|p| p["id"] == s.0["me"]["id"]))
        };
        for peer in [&first, &same_machine, &same_name] {
            assert!(peer.stats().is_some_and(|s| !own(&s)), "{} receives itself as somebody else", peer.name);
        }
    });
}
