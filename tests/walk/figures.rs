//! What the window costs while nothing happens, and that it goes on while much does.

use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

use roundtable::ui::look::Preferences;

use crate::common::peer::{Peer, SOON};
use crate::common::poll;
use crate::common::sandbox::sandboxed;
use crate::desk::{Desk, PATIENCE, Seat, possible, program};
use crate::shadow::Shadow;
use crate::walks::{TITLE, WORDS, moves, tabs_to};

const SIZE: (usize, usize) = (1280, 720);
/// An idle window may take so much of a core, and no stall may be longer than so many ms: on a machine that does nothing else,
/// in a build with all its optimisation (`scripts/test-full window`) ...
const IDLE_SHARE_MAX: f64 = 0.03;
const STALL_MS_MAX: f64 = 50.0;
/// ... and anywhere else, where both are printed. A window that is drawn again and again takes more than this, and one that
/// waited for a device, a file or the network would stand still for longer.
const IDLE_SHARE_MAX_ANYWHERE: f64 = 0.08;
const STALL_MS_MAX_ANYWHERE: f64 = 750.0;

/// The limits that hold here.
fn limits() -> (f64, f64) {
    match std::env::var_os("WALK_STRICT") {
        Some(_) => (IDLE_SHARE_MAX, STALL_MS_MAX),
        None => (IDLE_SHARE_MAX_ANYWHERE, STALL_MS_MAX_ANYWHERE),
    }
}

/// Bytes of a file.
const FILE: usize = 8_000_000;

fn command() -> Command {
    let mut command = Command::new(program());
    command.env("ROUNDTABLE_PASSPHRASE", WORDS);
    command
}

/// Ada at her window, in a conference of these.
fn sits<'a>(desk: &'a Desk, walk: &str, others: &[&Peer], settings: &[(&str, &str)]) -> Seat<'a> {
    let more = [("name", "Ada"), ("speaker", "none"), ("passphrase", WORDS)];
    let more = [&more[..], settings].concat();
    let seat = Seat::take(desk, walk, SIZE, &["join", TITLE], &more);
    let sees = || seat.stats().filter(|stats| others.iter().all(|other| stats.person(&other.name)["present"] == true));
    assert!(poll(PATIENCE, sees).is_some(), "Ada sees the others: {:?}", seat.stats());
    seat
}

#[test]
fn an_idle_window_takes_next_to_nothing() {
    if !possible() {
        return;
    }
    sandboxed("figures::an_idle_window_takes_next_to_nothing", || {
        let desk = Desk::open();
        let silent = ["--interface", "lo", "--camera", "none", "--microphone", "none"];
        let bob = Peer::protect(command(), "Bob", TITLE, &silent);
        let mut carol = Peer::join(command(), "Carol", TITLE, &silent);
        carol.await_joined();
        let mut seat = sits(&desk, "idle", &[&bob, &carol], &[("camera", "none"), ("microphone", "none")]);
        let elapsed = |seat: &Seat<'_>| seat.stats().map_or(0.0, |stats| stats.elapsed_s());
        // The first seconds, in which it looks for fonts and is drawn again and again, are not idle.
        seat.awaits("five seconds", |seat| elapsed(seat) >= 5.0);
        seat.photographs("idle");
        let (began, spent, until) = (Instant::now(), seat.processor_s(), elapsed(&seat) + 20.0);
        seat.awaits("twenty seconds", |seat| elapsed(seat) >= until);
        let share = (seat.processor_s() - spent) / began.elapsed().as_secs_f64();
        println!("an idle window takes {:.2} % of a core", share * 100.0);
        assert!(share < limits().0, "{:.2} % of a core", share * 100.0);
    });
}

#[test]
fn the_window_goes_on_whatever_happens() {
    if !possible() {
        return;
    }
    sandboxed("figures::the_window_goes_on_whatever_happens", || {
        let desk = Desk::open();
        let here = ["--interface", "lo"];
        let mut bob = Peer::protect(command(), "Bob", TITLE, &here);
        let mut carol = Peer::join(command(), "Carol", TITLE, &here);
        carol.await_joined();
        let taken = desk.folder().join("taken");
        let test = [
            ("camera", "test"),
            ("microphone", "test"),
            ("accept_files", "all"),
            ("download", taken.to_str().expect("a path")),
        ];
        let mut seat = sits(&desk, "stalls", &[&bob, &carol], &test);
        let shows = |seat: &Seat<'_>, name: &str| seat.stats().map_or(0.0, |stats| stats.frames_shown(name));
        seat.awaits("pictures", |seat| shows(seat, "Bob") > 20.0 && shows(seat, "Carol") > 20.0);
        let stalls = |seat: &Seat<'_>| {
            let stats = seat.stats().expect("statistics");
            let (count, longest) = (stats.0["window_stalls"].as_u64(), stats.0["window_ms"]["max"].as_f64());
            (count.expect("a count"), longest.expect("a longest"))
        };
        let before = stalls(&seat);

        carol.signal("KILL");
        let file = desk.folder().join("some.bin");
        std::fs::write(&file, vec![7; FILE]).expect("a file");
        // Into another camera, by keyboard.
        let preferences = Preferences::default();
        let mut shadow = Shadow::conference(SIZE, preferences, "Ada", "Bob", TITLE);
        shadow.is_now(|view| {
            (view.has_camera, view.camera_on, view.devices.camera) = (true, true, "test".into());
        });
        seat.presses(&["o"]);
        shadow.presses(egui::Key::O, egui::Modifiers::NONE);
        tabs_to(&mut seat, &mut shadow, preferences, preferences.look().words.camera);
        bob.tell(&json!({"do": "send", "path": file}));
        moves(&mut seat, &mut shadow, preferences, ("Return", egui::Key::Enter));
        moves(&mut seat, &mut shadow, preferences, ("Up", egui::Key::ArrowUp));
        seat.presses(&["Return"]);
        bob.await_event(PATIENCE, |e| e["event"] == "person" && e["name"] == "Ada" && e["camera"] == "off");
        let arrived = || std::fs::metadata(taken.join("some.bin")).is_ok_and(|file| file.len() == FILE as u64);
        assert!(poll(PATIENCE, || arrived().then_some(())).is_some(), "the file arrives");
        bob.await_person(SOON + Duration::from_secs(10), "Carol", "lost");
        let at = shows(&seat, "Bob");
        seat.awaits("pictures go on", |seat| shows(seat, "Bob") > at + 20.0);
        seat.photographs("afterwards");
        let after = stalls(&seat);
        let stats = seat.stats().expect("statistics");
        println!("the window was busy for {} ms", stats.0["window_ms"]);
        println!("stalls of more than 50 ms: {} before, {} meanwhile", before.0, after.0 - before.0);
        assert!(after.1 < limits().1.max(before.1 + 1.0), "a stall of {:.0} ms", after.1);
    });
}
