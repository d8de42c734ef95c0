//! Conferences over IPv6.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet, private};
use crate::common::sandbox::sandboxed;
use serde_json::{Value, json};

/// The first that `list` says on host `h`.
fn listed(lan: &Lan, h: usize) -> Value {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = lan.command(h, PROGRAM);
    private(&mut command, &home);
    let ran = command.args(["list", "--json"]).output().expect("start the program");
    let text = String::from_utf8_lossy(&ran.stdout);
    serde_json::from_str(text.lines().next().expect("a conference is listed")).expect("JSON")
}

#[test]
fn people_meet_over_ipv6_whether_they_have_ipv4_or_not() {
    sandboxed("ipv6::people_meet_over_ipv6_whether_they_have_ipv4_or_not", || {
        // The second has no IPv4: its interface is IPv6's by itself. The others find the conference in either family.
        let lan = Lan::up_ipv6(4, |h| h == 2);
        let mut ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &["--ipv6"]);
        let mut bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &[]);
        let cyd = Peer::join(lan.command(3, PROGRAM), "Cyd", "Standup", &[]);
        await_all_meet(&[&ada, &bob, &cyd]);
        let found = listed(&lan, 4);
        let group = found["group"].as_str().expect("group").to_owned();
        assert!(group.starts_with("ff12::"), "{found}");
        assert!(found["announced_by"].as_str().is_some_and(|a| a.starts_with("fe80:")), "{found}");

        bob.tell(&json!({"do": "say", "text": "hello over six"}));
        ada.await_event(SOON, |e| e["event"] == "message" && e["text"] == "hello over six");
        let idle = lan.counters(4).to_host;
        assert_all_show(&[&ada, &bob, &cyd], 6.0, 0.97);
        let idle = lan.counters(4).to_host - idle;
        assert!(idle < 100_000, "a port that joined nothing carries {idle} bytes");
    });
}

#[test]
fn without_ipv4_a_conference_is_started_over_ipv6() {
    sandboxed("ipv6::without_ipv4_a_conference_is_started_over_ipv6", || {
        let lan = Lan::up_ipv6(2, |_| true);
        let mut ada = Peer::protect(lan.command(1, PROGRAM), "Ada", "Standup", &["--camera", "none"]);
        drop(ada.drain_events());
        let found = listed(&lan, 2);
        assert!(found["group"].as_str().is_some_and(|g| g.starts_with("ff12::")), "{found}");
        assert_eq!(found["open"], false);
    });
}

#[test]
fn a_conference_of_the_site_passes_its_routers_over_ipv6() {
    sandboxed("ipv6::a_conference_of_the_site_passes_its_routers_over_ipv6", || {
        let lan = Lan::up_ipv6(3, |_| true);
        lan.behind_router_ipv6(3);
        let mut ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &["--scope", "site"]);
        let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &[]);
        let mut cyd = Peer::join(lan.command(3, PROGRAM), "Cyd", "Standup", &[]);
        await_all_meet(&[&ada, &bob, &cyd]);
        let far = listed(&lan, 3);
        assert!(far["group"].as_str().is_some_and(|g| g.starts_with("ff15::")), "{far}");
        assert!(far["announced_by"].as_str().is_some_and(|a| a.starts_with("fd7")), "{far}");
        cyd.tell(&json!({"do": "say", "text": "from afar"}));
        ada.await_event(SOON, |e| e["event"] == "message" && e["text"] == "from afar");
        assert_all_show(&[&ada, &bob, &cyd], 6.0, 0.95);
    });
}
