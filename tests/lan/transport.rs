//! The ladder from groups down to unicast, and groups that pass routers.

use crate::common::lan::Lan;
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, SOON, await_all_meet, private, windows};
use crate::common::poll;
use crate::common::sandbox::{sandboxed, sh};
use crate::common::stats::Stats;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A machine that does something else for a while misses rounds of repair.
const PATIENCE: Duration = Duration::from_secs(60);

/// A firewall's words for multicast.
const MULTICAST: &str = "meta l4proto udp ip daddr 224.0.0.0/4";

fn listed(lan: &Lan, h: usize) -> Vec<Value> {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = lan.command(h, PROGRAM);
    private(&mut command, &home);
    let ran = command.args(["list", "--json"]).output().expect("start the program");
    String::from_utf8_lossy(&ran.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn transport(peer: &Peer) -> Option<String> {
    Some(peer.stats()?.0["me"]["transport"].as_str()?.to_owned())
}

/// Asserts that everybody shows `share` of the frames of everybody.
fn assert_shown(peers: &[Peer], seconds: f64, share: f64) {
    let all: Vec<&Peer> = peers.iter().collect();
    let windows = windows(&all, seconds);
    for (v, viewer) in peers.iter().enumerate() {
        for (s, sender) in peers.iter().enumerate().filter(|(s, _)| *s != v) {
            let shown = windows[v].shown_share(&sender.name, &windows[s], CAMERA_FPS);
            println!("{} of {}: {:.1} %", viewer.name, sender.name, shown * 100.0);
            assert!(shown >= share, "{} shows {:.1} % of {}", viewer.name, shown * 100.0, sender.name);
        }
    }
}

/// Ada, Bob and Cyd meet; Dee, on whose host a firewall drops `dropped`, joins with `options`.
fn with_deaf_dee(lan: &Lan, dropped: &[&str], options: &[&str]) -> Vec<Peer> {
    lan.drop_incoming(4, dropped);
    let mut peers = vec![Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[])];
    peers.extend([(2, "Bob"), (3, "Cyd")].map(|(h, name)| Peer::join(lan.command(h, PROGRAM), name, "Standup", &[])));
    await_all_meet(&peers.iter().collect::<Vec<_>>());
    peers.push(Peer::join(lan.command(4, PROGRAM), "Dee", "Standup", options));
    await_all_meet(&peers.iter().collect::<Vec<_>>());
    peers
}

fn assert_talk(peers: &mut [Peer]) {
    peers[3].tell(&json!({"do": "say", "text": "I hear no group"}));
    for peer in &mut peers[..3] {
        peer.await_event(SOON, |e| e["event"] == "message" && e["text"] == "I hear no group");
    }
    for n in 0..3 {
        let text = format!("and you hear me, {n}");
        peers[n].tell(&json!({"do": "say", "text": text}));
        peers[3].await_event(SOON, |e| e["event"] == "message" && e["text"] == text);
    }
}

#[test]
fn whoever_hears_no_group_is_sent_copies() {
    sandboxed("transport::whoever_hears_no_group_is_sent_copies", || {
        let lan = Lan::up(4);
        let mut peers = with_deaf_dee(&lan, &[MULTICAST], &[]);
        assert_eq!(transport(&peers[3]).as_deref(), Some("unicast"));
        assert_eq!(transport(&peers[0]).as_deref(), Some("groups"));
        peers[0].await_event(SOON, |e| e["event"] == "person" && e["name"] == "Dee" && e["transport"] == "unicast");
        assert_talk(&mut peers);
        assert_shown(&peers, 8.0, 0.9);
    });
}

/// Senders who hear the groups, those who hear none, and how many of these each sender sends copies to.
const SENDERS: usize = 2;
const DEAF: usize = 6;
const COPIES_MAX: usize = 4;
/// Bytes of so many pictures from somewhere in two seconds are more than control, and less than a stream.
const STREAM_BYTES_MIN: u64 = 30_000;

/// Lets host `h` count what comes to it by unicast from each sender.
fn count_unicast(h: usize) {
    let counters: String = (1..=SENDERS).map(|s| format!("counter from{s} {{ }}; ")).collect();
    let rule = |s: usize| format!("ip saddr {} ip daddr {} counter name from{s}; ", Lan::address(s), Lan::address(h));
    let rules: String = (1..=SENDERS).map(rule).collect();
    let table = format!("table ip seen {{ {counters} chain in {{ type filter hook input priority -10; {rules} }}; }}");
    sh(&format!("echo '{table}' | ip netns exec h{h} nft -f -"));
}

fn counted(h: usize, sender: usize) -> u64 {
    let shown = sh(&format!("ip netns exec h{h} nft -j list counter ip seen from{sender}"));
    let parsed: Value = serde_json::from_str(&shown).expect("JSON of nft");
    parsed["nftables"].as_array().expect("a list").iter().find_map(|o| o["counter"]["bytes"].as_u64()).expect("bytes")
}

#[test]
fn more_than_four_who_hear_no_group_are_served_by_one_who_repeats() {
    sandboxed("transport::more_than_four_who_hear_no_group_are_served_by_one_who_repeats", || {
        let lan = Lan::up(SENDERS + DEAF);
        // Whoever repeats looks at less than those do who get it: it is received for their sake.
        let silent = ["--microphone", "none", "--size", "320x200"];
        let deaf_options = ["--microphone", "none", "--camera", "none", "--size", "1300x560"];
        let mut senders = vec![Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &silent)];
        senders.push(Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &silent));
        let hosts = SENDERS + 1..=SENDERS + DEAF;
        let deaf = hosts.clone().map(|h| {
            lan.drop_incoming(h, &[MULTICAST]);
            count_unicast(h);
            Peer::join(lan.command(h, PROGRAM), &format!("D{h}"), "Standup", &deaf_options)
        });
        let deaf: Vec<Peer> = deaf.collect();
        for peer in &deaf {
            let sees =
                |stats: &crate::common::stats::Stats| ["Ada", "Bob"].iter().all(|name| stats.frames_shown(name) > 5.0);
            peer.await_stats(2 * SOON, "sees both who send", sees);
            assert_eq!(transport(peer).as_deref(), Some("unicast"));
        }
        let serves = |sender: usize| {
            let before: Vec<u64> = hosts.clone().map(|h| counted(h, sender)).collect();
            senders[sender - 1].window(2.0);
            let more = hosts.clone().zip(before).filter(|(h, was)| counted(*h, sender) - was > STREAM_BYTES_MIN);
            more.count()
        };
        let settled = poll(SOON, || {
            let mut served = [serves(1), serves(2)];
            served.sort_unstable();
            println!("hosts served by unicast, by each who sends: {served:?}");
            // One of the two is elected: it sends its own to all, and repeats the other's to those beyond the fourth.
            (served == [COPIES_MAX, DEAF]).then_some(())
        });
        assert!(settled.is_some(), "each serves four, and one of them everybody");
        let layer = |of: &Peer, name: &str| Some(of.stats()?.person(name)["video"]["layer"].as_str()?.to_owned());
        // A machine that does something else for a while makes do with less, now and then.
        let mut waiting: Vec<_> = deaf.iter().flat_map(|peer| [(peer, "Ada"), (peer, "Bob")]).collect();
        let received = poll(PATIENCE, || {
            waiting.retain(|(peer, other)| layer(peer, other).is_none_or(|layer| layer == "thumb"));
            waiting.is_empty().then_some(())
        });
        let missing: Vec<_> = waiting.iter().map(|(peer, other)| format!("{} of {other}", peer.name)).collect();
        assert!(received.is_some(), "only thumbs: {missing:?}");
        for (n, other) in [(0, "Bob"), (1, "Ada")] {
            assert_eq!(layer(&senders[n], other).as_deref(), Some("thumb"), "whoever repeats has no use for more");
        }
        let all: Vec<&Peer> = senders.iter().chain(&deaf).collect();
        let seen = windows(&all, 6.0);
        for (peer, window) in deaf.iter().zip(&seen[SENDERS..]) {
            for (sender, sent) in senders.iter().zip(&seen) {
                let shown = window.shown_share(&sender.name, sent, CAMERA_FPS);
                println!("{} of {}: {:.1} %", peer.name, sender.name, shown * 100.0);
                assert!(shown >= 0.85, "{} shows {:.1} % of {}", peer.name, shown * 100.0, sender.name);
            }
        }
    });
}

#[test]
fn a_network_without_the_groups_of_streams_carries_all_in_one() {
    sandboxed("transport::a_network_without_the_groups_of_streams_carries_all_in_one", || {
        let lan = Lan::up(3);
        // Control is the first of the conference's groups; streams have the others.
        lan.drop_incoming(3, &["meta l4proto udp ip daddr 239.255.4.2-239.255.5.255"]);
        let pinned = ["--group", "239.255.4.0", "--port", "20480"];
        let mut peers = vec![Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &pinned)];
        peers.extend([(2, "Bob"), (3, "Cyd")].map(|(h, n)| Peer::join(lan.command(h, PROGRAM), n, "Standup", &[])));
        await_all_meet(&[&peers[0], &peers[1]]);
        let long = Duration::from_secs(60);
        peers[2].await_stats(long, "needs the single group", |s| s.0["me"]["transport"] == "single");
        peers[2].await_stats(SOON, "meets the others", |s| s.meets("Ada") && s.meets("Bob"));
        peers[0].await_event(SOON, |e| e["event"] == "person" && e["name"] == "Cyd" && e["transport"] == "single");
        assert_eq!(transport(&peers[0]).as_deref(), Some("groups"), "others hear all groups");
        await_all_meet(&peers.iter().collect::<Vec<_>>());
        assert_shown(&peers, 8.0, 0.9);
        // Whoever minds the network has mended it.
        lan.accept_incoming(3);
        peers[2].await_stats(2 * long, "hears all groups again", |s| s.0["me"]["transport"] == "groups");
        peers[0].await_event(SOON, |e| e["event"] == "person" && e["name"] == "Cyd" && e["transport"] == "groups");
        await_all_meet(&peers.iter().collect::<Vec<_>>());
        assert_shown(&peers, 8.0, 0.9);
    });
}

#[test]
fn what_gets_lost_of_copies_is_repaired() {
    sandboxed("transport::what_gets_lost_of_copies_is_repaired", || {
        let lan = Lan::up(4);
        let peers = with_deaf_dee(&lan, &[MULTICAST], &[]);
        // Batches are taken apart before they are sent: each datagram is lost for itself.
        (1..=4).for_each(|h| lan.ip(h, "link set eth0 gso_max_segs 1"));
        lan.lose(4, 5);
        let until = Instant::now() + PATIENCE;
        let repaired = || {
            let window = &windows(&[&peers[3]], 8.0)[0];
            peers[..3].iter().all(|sender| {
                let of = |field: &str| {
                    let of = |stats: &Stats| stats.person(&sender.name)["video"][field].as_f64().unwrap_or(0.0);
                    of(&window.to) - of(&window.from)
                };
                let [complete, repaired, concealed, lost] =
                    ["frames_received", "frames_repaired", "frames_concealed", "frames_lost"].map(of);
                println!(
                    "{}: {complete} complete, {repaired} repaired, {concealed} concealed, {lost} lost",
                    sender.name
                );
                repaired > 0.0 && complete >= 0.98 * (complete + concealed + lost)
            })
        };
        assert!(std::iter::repeat_with(repaired).take_while(|_| Instant::now() < until).any(|good| good));
    });
}

#[test]
fn without_broadcasts_a_conference_is_found_by_the_address_of_somebody_in_it() {
    sandboxed("transport::without_broadcasts_a_conference_is_found_by_the_address_of_somebody_in_it", || {
        let lan = Lan::up(4);
        let dropped = [MULTICAST, "meta l4proto udp ip daddr 255.255.255.255"];
        let mut peers = with_deaf_dee(&lan, &dropped, &["--peer", "10.77.0.2"]);
        assert_eq!(transport(&peers[3]).as_deref(), Some("unicast"));
        assert_talk(&mut peers);
    });
}

#[test]
fn a_conference_of_the_site_passes_its_routers_and_one_of_the_lan_does_not() {
    sandboxed("transport::a_conference_of_the_site_passes_its_routers_and_one_of_the_lan_does_not", || {
        let lan = Lan::up(3);
        lan.behind_router(3);
        let mut ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &["--scope", "site"]);
        let local = Peer::start(lan.command(2, PROGRAM), "Bob", "Lunch", &["--camera", "none"]);
        let mut cyd = Peer::join(lan.command(3, PROGRAM), "Cyd", "Standup", &[]);
        await_all_meet(&[&ada, &cyd]);
        assert_eq!(listed(&lan, 2).len(), 2);
        let far = listed(&lan, 3);
        let told = (far.len(), far[0]["conference"].as_str(), far[0]["scope"].as_str());
        assert_eq!(told, (1, Some("Standup"), Some("site")), "{far:?}");
        cyd.tell(&json!({"do": "say", "text": "from afar"}));
        ada.await_event(SOON, |e| e["event"] == "message" && e["text"] == "from afar");
        drop(local);
        assert_shown(&[ada, cyd], 6.0, 0.95);
    });
}
