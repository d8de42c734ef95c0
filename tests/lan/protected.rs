//! A conference behind a passphrase: who has it takes part as usual, who has not gets nothing, and what is on the wire
//! says nothing.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet, private};
use crate::common::sandbox::sandboxed;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A passphrase in a file, and another way to type the same one: NFKC makes them equal.
fn passphrases(folder: &Path) -> [PathBuf; 2] {
    ["Brücke \u{fb01}nden Ⅳ\n", "Bru\u{308}cke finden IV"].map(|text| {
        let path = folder.join(format!("passphrase-{}", text.len()));
        std::fs::write(&path, text).expect("written");
        path
    })
}

fn refused(mut command: Command, more: &[&str]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().expect("temporary folder");
    private(&mut command, &home);
    command.args(["join", "Council", "--name", "Eve", "--headless"]).args(["--camera", "none", "--microphone", "none"]);
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
        for (more, expected, words) in [(&wrong[..], 5, "wrong passphrase"), (&[], 2, "no passphrase was given")] {
            let (code, errors) = refused(lan.command(3, PROGRAM), more);
            assert_eq!(code, Some(expected), "{errors}");
            assert!(errors.contains(words) && errors.contains("hint:"), "{errors}");
        }
        let seen = ada.await_stats(SOON, "has statistics", |_| true);
        assert_eq!(seen.names(), ["Bob"], "nobody else was ever there");
    });
}
