//! What a script relies on: exit codes, hints, and stdout for data only.

use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::sandbox::sandboxed;
use std::process::{Command, Output, Stdio};

/// A participant without devices and window, on the loopback.
const BARE: [&str; 8] = ["--camera", "none", "--microphone", "none", "--speaker", "none", "--interface", "127.0.0.1"];

/// The same as arguments of the program.
fn bare<'a>(first: &[&'a str]) -> Vec<&'a str> {
    [first, &["--headless"], &BARE].concat()
}

fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[])
}

fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = Command::new(PROGRAM);
    private(&mut command, &home);
    command.envs(variables.iter().copied());
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
            (with(&["start", "X", "--duration", "-1"]), 2, false),
            (with(&["start", "X", "--stats", "/no/such/folder/s.json"]), 3, true),
            (with(&["start", "X", "--screenshot", "/no/such/folder/s.png"]), 3, true),
            (vec!["start", "X", "--camera", "/no/such/film.avi", "--headless"], 3, true),
            (vec!["start", "X"], 3, true),
            (vec!["demo"], 3, true),
        ] {
            let ran = run(&arguments);
            let errors = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {errors}");
            assert!(!hint || errors.matches("hint:").count() == 1, "{arguments:?}: one hint is expected: {errors}");
            assert!(
                code == 0 || !errors.contains("started"),
                "{arguments:?} fails only after others noticed: {errors}"
            );
            assert!(code == 0 || ran.stdout.is_empty(), "{arguments:?} writes errors to stdout");
        }
    });
}

#[test]
fn a_signal_leaves_properly_and_ends_well() {
    sandboxed("command_line::a_signal_leaves_properly_and_ends_well", || {
        let mut ada = Peer::start(Command::new(PROGRAM), "Ada", "Signals", &BARE);
        for signal in ["INT", "TERM", "INT", "TERM"] {
            let mut bob = Peer::join(Command::new(PROGRAM), "Bob", "Signals", &BARE);
            bob.await_joined();
            ada.await_person(SOON, "Bob", "joined");
            bob.signal(signal);
            assert_eq!(bob.await_end(SOON).code(), Some(0), "after SIG{signal}");
            ada.await_person(SOON, "Bob", "left");
        }
    });
}

#[test]
fn a_home_that_cannot_be_written_keeps_nobody_out_but_is_told() {
    sandboxed("command_line::a_home_that_cannot_be_written_keeps_nobody_out_but_is_told", || {
        let arguments = bare(&["start", "Alone", "--open", "--duration", "0.5"]);
        let ran = run_with(&arguments, &[("ROUNDTABLE_HOME", "/dev/null/nowhere")]);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{errors}");
        assert!(errors.contains("warning:") && errors.contains("/dev/null/nowhere"), "{errors}");
    });
}

#[test]
fn conferences_of_one_title_are_told_apart_by_id() {
    sandboxed("command_line::conferences_of_one_title_are_told_apart_by_id", || {
        let ada = Peer::start(Command::new(PROGRAM), "Ada", "Twins", &BARE);
        let arguments = bare(&["start", "Twins", "--open", "--duration", "0.5"]);
        let errors = String::from_utf8(run(&arguments).stderr).expect("UTF-8");
        assert!(errors.contains("another conference \"Twins\""), "{errors}");

        let bob = Peer::start(Command::new(PROGRAM), "Bob", "Twins", &BARE);
        let ran = run(&bare(&["join", "Twins"]));
        assert_eq!(ran.status.code(), Some(6));
        let listed = String::from_utf8(run(&["list", "--json", "--interface", "127.0.0.1"]).stdout).expect("UTF-8");
        let hint = String::from_utf8(ran.stderr).expect("UTF-8");
        let ids: Vec<String> = listed
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].as_str().expect("id").into()
            })
            .collect();
        assert_eq!(ids.len(), 2, "{listed}");
        for id in &ids {
            assert!(hint.contains(id.as_str()), "{hint} does not name {id}");
            let joined = run(&bare(&["join", id, "--duration", "0.2"]));
            assert_eq!(joined.status.code(), Some(0), "{}", String::from_utf8_lossy(&joined.stderr));
        }
        drop((ada, bob));
    });
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    sandboxed("command_line::output_that_nobody_reads_is_no_failure", || {
        let home = tempfile::tempdir().expect("temporary folder");
        for arguments in [["devices"].as_slice(), &["devices", "--json"]] {
            let (reader, writer) = std::io::pipe().expect("pipe");
            drop(reader);
            let mut command = Command::new(PROGRAM);
            private(&mut command, &home);
            let ran = command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output();
            let ran = ran.expect("start the program");
            let errors = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success() && errors.is_empty(), "{arguments:?}: {} {errors}", ran.status);
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

#[test]
fn a_machine_without_sound_is_told_so_in_a_line_and_libasound_says_nothing() {
    sandboxed("command_line::a_machine_without_sound_is_told_so_in_a_line_and_libasound_says_nothing", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = folder.path().join("asound.conf");
        // Whatever this machine has, the default is a card it has not.
        std::fs::write(&config, "pcm.!default { type hw card 31 }\nctl.!default { type hw card 31 }\n")
            .expect("settings of ALSA");
        let silent = || {
            let mut command = Command::new(PROGRAM);
            command.env("ALSA_CONFIG_PATH", format!("/usr/share/alsa/alsa.conf:{}", config.display()));
            command
        };
        let options = ["--interface", "127.0.0.1", "--microphone", "auto", "--speaker", "auto", "--camera", "none"];
        let mut peer = Peer::start(silent(), "Ada", "Alone", &options);
        let mut expected = vec!["no microphone was found", "no speaker was found"];
        while !expected.is_empty() {
            let (_, notice) = peer.await_event(SOON, |e| e["event"] == "notice");
            let text = notice["text"].as_str().expect("a notice has a text");
            let found = expected.iter().position(|start| text.starts_with(start));
            expected.remove(found.unwrap_or_else(|| panic!("unexpected: {notice}; still expected: {expected:?}")));
        }
        peer.tell(&serde_json::json!({"do": "leave"}));
        assert_eq!(peer.await_end(SOON).code(), Some(0));
        let log = peer.log();
        assert!(log.lines().all(|line| line.starts_with("started ")), "more than its own words on stderr: {log}");
        let home = tempfile::tempdir().expect("temporary folder");
        let mut listing = silent();
        private(&mut listing, &home);
        let ran = listing.arg("devices").stdin(Stdio::null()).output().expect("start the program");
        assert!(ran.status.success());
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    });
}
