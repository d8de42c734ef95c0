//! A locked conference: who knocks sees nothing until let in, who is removed hears nothing more, and for all others
//! picture and sound go on through every change of keys.

use crate::common::lan::Lan;
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, SOON, assert_all_show, await_all_meet, windows};
use crate::common::sandbox::sandboxed;
use serde_json::{Value, json};

const COUNCIL: &str = "Council";

fn decide(peer: &mut Peer, what: &str, who: &str) {
    peer.tell(&json!({"do": what, "who": who}));
}

fn is_locked(event: &Value) -> bool {
    event["event"] == "locked" && event["on"] == true && event["by"] == "Ada"
}

/// Nobody but `except` came or went, as far as `peer` was told since it was last asked.
fn assert_calm(peer: &mut Peer, except: &str) {
    for event in peer.drain_events() {
        let moves = event["event"] == "person" && event["state"] != "changed";
        assert!(!moves || event["name"] == except, "{}: {event}", peer.name);
    }
}

/// Does `act`, and asserts that each of `peers` shows this share of what the others send around that time.
fn assert_shown_throughout(peers: &mut [&mut Peer], share: f64, act: impl FnOnce(&mut Peer)) {
    act(peers[0]);
    let all: Vec<&Peer> = peers.iter().map(|peer| &**peer).collect();
    let windows = windows(&all, 4.0);
    for (shower, window) in all.iter().zip(&windows) {
        for (sender, sent) in all.iter().zip(&windows).filter(|(sender, _)| sender.name != shower.name) {
            let shown = window.shown_share(&sender.name, sent, CAMERA_FPS);
            println!("{} shows {:.1} % of {}", shower.name, shown * 100.0, sender.name);
            assert!(shown >= share, "{} shows {shown} of {}", shower.name, sender.name);
        }
    }
}

#[test]
fn who_is_locked_out_or_removed_gets_nothing_and_the_others_miss_nothing() {
    sandboxed("door::who_is_locked_out_or_removed_gets_nothing_and_the_others_miss_nothing", || {
        let lan = Lan::up(5);
        let folder = tempfile::tempdir().expect("temporary folder");
        let passphrase = folder.path().join("passphrase");
        std::fs::write(&passphrase, "one two three four five").expect("written");
        let options = ["--passphrase-file", passphrase.to_str().expect("a path")];
        let join = |h: usize, name: &str| Peer::join(lan.command(h, PROGRAM), name, COUNCIL, &options);
        let mut ada = Peer::protect(lan.command(1, PROGRAM), "Ada", COUNCIL, &options);
        let (mut bob, mut cyd) = (join(2, "Bob"), join(3, "Cyd"));
        await_all_meet(&[&ada, &bob, &cyd]);
        cyd.tell(&json!({"do": "kick", "who": "Bob"}));
        cyd.await_event(SOON, |e| e["event"] == "notice" && e["text"].as_str().is_some_and(|t| t.contains("no right")));
        [&mut ada, &mut bob, &mut cyd].into_iter().for_each(|peer| drop(peer.drain_events()));

        // The keys change; nobody sees anything of it.
        assert_shown_throughout(&mut [&mut ada, &mut bob, &mut cyd], 0.9, |ada| {
            ada.tell(&json!({"do": "lock", "on": true}));
        });
        bob.await_event(SOON, is_locked);
        cyd.await_event(SOON, is_locked);
        [&mut ada, &mut bob, &mut cyd].into_iter().for_each(|peer| assert_calm(peer, ""));

        let mut dee = join(4, "Dee");
        dee.await_event(SOON, |e| e["event"] == "waiting");
        ada.await_event(SOON, |e| e["event"] == "knock" && e["name"] == "Dee" && e["waits"] == true);
        ada.tell(&json!({"do": "say", "text": "is that Dee?"}));
        bob.await_event(SOON, |e| e["event"] == "message");
        let quiet = dee.drain_events();
        assert!(quiet.iter().all(|e| e["event"] == "notice"), "{quiet:?}");
        assert!(dee.stats().is_none_or(|stats| stats.names().is_empty()));
        decide(&mut ada, "admit", "Dee");
        dee.await_joined();
        dee.await_event(SOON, |e| e["event"] == "message" && e["text"] == "is that Dee?");
        await_all_meet(&[&ada, &bob, &cyd, &dee]);

        [&mut ada, &mut bob, &mut dee].into_iter().for_each(|peer| drop(peer.drain_events()));
        assert_shown_throughout(&mut [&mut ada, &mut bob, &mut dee], 0.9, |ada| decide(ada, "kick", "Cyd"));
        assert_eq!(cyd.await_end(SOON).code(), Some(5), "{}", cyd.log());
        assert!(cyd.log().contains("removed from the conference by Ada"), "{}", cyd.log());
        bob.await_event(SOON, |e| e["event"] == "removed" && e["name"] == "Cyd" && e["by"] == "Ada");
        [&mut ada, &mut bob, &mut dee].into_iter().for_each(|peer| assert_calm(peer, "Cyd"));
        assert_all_show(&[&ada, &bob, &dee], 3.0, 0.97);

        let mut again = join(5, "Cyd");
        again.await_event(SOON, |e| e["event"] == "waiting");
        decide(&mut ada, "refuse", "Cyd");
        assert_eq!(again.await_end(SOON).code(), Some(5), "{}", again.log());
        assert!(again.log().contains("you were not let in"), "{}", again.log());
    });
}
