//! A conference behind a passphrase: who has it takes part as usual, who has not gets nothing, and what is on the wire
//! says nothing.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet, private};
use crate::common::sandbox::sandboxed;
use crate::common::sniffer::Sniffer;
use crate::hostile::Recording;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A wrong passphrase is told by then. Far above the 300 ms it takes on a machine that does nothing else.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// A passphrase in a file, and another way to type the same one: NFKC makes them equal.
fn passphrases(folder: &Path) -> [PathBuf; 2] {
    ["Brücke \u{fb01}nden Ⅳ\n", "Bru\u{308}cke finden IV"].map(|text| {
        let path = folder.join(format!("passphrase-{}", text.len()));
        std::fs::write(&path, text).expect("written");
        path
    })
}

fn refused(command: Command, more: &[&str]) -> (Option<i32>, String) {
    let arguments = ["join", "Council", "--name", "Eve", "--headless", "--camera", "none", "--microphone", "none"];
    ended(command, &[&arguments, more].concat())
}

fn ended(mut command: Command, more: &[&str]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().expect("temporary folder");
    private(&mut command, &home);
    let ran = command.args(more).stdin(Stdio::null()).output().expect("start the program");
    (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
}

#[test]
fn the_passphrase_lets_in_and_nothing_else_does() {
    sandboxed("protected::the_passphrase_lets_in_and_nothing_else_does", || {
        let lan = Lan::up(4);
        let folder = tempfile::tempdir().expect("temporary folder");
        let [written, typed] = passphrases(folder.path());
        let given = |path: &Path| ["--passphrase-file".to_owned(), path.display().to_string()];
        let option = given(&written);
        let starter: Vec<&str> = option.iter().map(String::as_str).collect();
        let ada = Peer::protect(lan.command(1, PROGRAM), "Ada", "Council", &starter);
        let option = given(&typed);
        let joiner: Vec<&str> = option.iter().map(String::as_str).collect();
        let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Council", &joiner);
        await_all_meet(&[&ada, &bob]);
        assert_all_show(&[&ada, &bob], 4.0, 0.97);

        let wrong = folder.path().join("wrong");
        std::fs::write(&wrong, "Brücke finden V").expect("written");
        let wrong = given(&wrong);
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        let sniffer = Sniffer::start();
        let (code, errors) = refused(lan.command(3, PROGRAM), &wrong);
        let ended_at = Instant::now();
        assert_eq!(code, Some(5), "{errors}");
        let frames = sniffer.finish();
        let asked = frames.iter().position(|f| f.source() == Some(Lan::address(3))).expect("Eve asks");
        let heard = frames[asked..].iter().find(|f| f.holds(b"Council")).expect("the conference answers");
        let after = ended_at.duration_since(heard.at);
        println!("the wrong passphrase is told {after:?} after the first announcement");
        // Argon2 alone takes some tenths of a second on a machine that is busy.
        assert!(after < REFUSED_WITHIN, "told only after {after:?}");

        for (more, expected, words) in [(&wrong[..], 5, "wrong passphrase"), (&[], 2, "no passphrase was given")] {
            let (code, errors) = refused(lan.command(3, PROGRAM), more);
            assert_eq!(code, Some(expected), "{errors}");
            assert!(errors.contains(words) && errors.contains("hint:"), "{errors}");
        }
        let tap = |more: &[&str]| ended(lan.command(3, PROGRAM), &[&["tap"], more].concat());
        for (name, key, expected, words) in [
            ("Ada", &wrong[..], 5, "wrong passphrase"),
            ("Ada", &[], 2, "no passphrase was given"),
            ("Zoe", &joiner[..], 6, "nobody is called \"Zoe\""),
        ] {
            let (code, errors) = tap(&[&[name], key].concat());
            assert_eq!(code, Some(expected), "{errors}");
            assert!(errors.contains(words) && errors.contains("hint:"), "{errors}");
        }
        let seen = ada.await_stats(SOON, "has statistics", |_| true);
        let others: Vec<_> = seen.names().into_iter().filter(|name| name != "tap").collect();
        assert_eq!(others, ["Bob"], "nobody else was ever there, but for the tap that had the passphrase");
    });
}

#[test]
fn a_recording_played_back_changes_nothing_and_brings_nobody_back() {
    sandboxed("protected::a_recording_played_back_changes_nothing_and_brings_nobody_back", || {
        let lan = Lan::up(2);
        let folder = tempfile::tempdir().expect("temporary folder");
        let [written, _] = passphrases(folder.path());
        let option = ["--passphrase-file", written.to_str().expect("a path of letters")];
        let ada = Peer::protect(lan.command(1, PROGRAM), "Ada", "Council", &option);
        let mut bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Council", &option);
        await_all_meet(&[&ada, &bob]);
        let recording = Recording::of(&lan);
        println!("{} packets played back to both", recording.replay());
        assert_all_show(&[&ada, &bob], 4.0, 0.97);
        assert_eq!(ada.await_stats(SOON, "has statistics", |_| true).names(), ["Bob"]);

        bob.signal("INT");
        bob.await_end(SOON);
        ada.await_stats(SOON, "sees Bob leave", |s| s.present().is_empty());
        println!("{} packets played back to one", recording.replay());
        ada.window(4.0);
        assert!(ada.stats().is_some_and(|s| s.present().is_empty()), "a recording shows nobody");
    });
}
