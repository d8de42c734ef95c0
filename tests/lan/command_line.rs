//! What a script relies on: exit codes, hints, and stdout for data only.

use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::sandbox::sandboxed;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = Command::new(PROGRAM);
    private(&mut command, &home);
    command.args(arguments).stdin(Stdio::null()).output().expect("start the program")
}

#[test]
fn exit_codes_tell_what_failed() {
    sandboxed("command_line::exit_codes_tell_what_failed", || {
        let here = ["--headless", "--camera", "none", "--microphone", "none", "--speaker", "none"];
        let with = |first: &[&'static str]| [first, &here].concat();
        for (arguments, code, hint) in [
            (vec!["--version"], 0, false),
            (vec!["list"], 0, false),
            (vec!["join", "--no-such-option"], 2, false),
            (with(&["join", "Nothing"]), 6, true),
            (with(&["start", "X", "--interface", "nope0"]), 4, true),
            (with(&["start", "X", "--port", "77"]), 2, true),
        ] {
            let ran = run(&arguments);
            let errors = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {errors}");
            assert!(!hint || errors.contains("hint:"), "{arguments:?} gives no hint: {errors}");
            assert!(code == 0 || ran.stdout.is_empty(), "{arguments:?} writes errors to stdout");
        }
    });
}

#[test]
fn unknown_input_is_an_error_event_and_nothing_else() {
    sandboxed("command_line::unknown_input_is_an_error_event_and_nothing_else", || {
        let mut peer = Peer::start(Command::new(PROGRAM), "Ada", "Alone", &["--interface", "127.0.0.1"]);
        peer.drain_events();
        peer.tell(&serde_json::json!({"do": "fly"}));
        peer.tell(&serde_json::json!(["not", "a", "command"]));
        for _ in 0..2 {
            peer.await_event(SOON, |e| e["event"] == "error");
        }
        assert!(peer.runs());
        peer.tell(&serde_json::json!({"do": "leave"}));
        assert_eq!(peer.await_end(SOON).code(), Some(0));
    });
}
