//! Every screen of the window, each control of which is driven; see [`controls`](crate::controls).

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Key, PointerButton};
use roundtable::conference::lobby::LobbyView;
use roundtable::conference::taking::{Taking, TalkMode};
use roundtable::conference::view::{DevicesView, Playing, Rank, Recording, View};
use roundtable::protocol::doctor::{Finding, Report, Severity, Where};
use roundtable::ui::app::{App, Options};
use roundtable::ui::devices::{Choice, Devices, Lists};
use roundtable::ui::interface;
use roundtable::ui::look::Preferences;
use roundtable::ui::start::Start;

use crate::controls::{Conference, Lobby, SCALE, SIZE, User, check, check_those};
use crate::scene::{conversation, file_talk, files, found, view};
use crate::screens::owned;
use crate::voices::{spoken, voice};

fn lists() -> Lists {
    let all = |what: &str| {
        let choice = |n: u32| Choice { value: n.to_string(), label: format!("{what} {n}") };
        vec![choice(0), choice(1)]
    };
    let (cameras, microphones, speakers) = (all("Camera"), all("Microphone"), all("Speaker"));
    Lists::fixed(Devices { cameras, microphones, speakers, ..Devices::default() })
}

/// Somebody in that conference who has pressed these keys.
fn in_conference(view: View, keys: &[Key]) -> User<Conference> {
    let preferences = Preferences { still: true, ..Preferences::default() };
    let mut app = App::new(SIZE, Options { scale: SCALE, preferences, ..Options::default() });
    app.set_devices(lists());
    app.enable_accessibility();
    let mut user = User::sits_at(Conference(app, view));
    keys.iter().for_each(|key| user.presses(*key));
    user
}

fn before(view: LobbyView) -> User<Lobby> {
    let mut start = Start::new(SIZE, interface::Options { scale: SCALE, ..Default::default() }, "Ada");
    start.set_devices(lists());
    start.enable_accessibility();
    User::sits_at(Lobby(start, view))
}

fn lobby() -> LobbyView {
    let devices = DevicesView { camera: "auto".into(), microphone: "auto".into(), speaker: "auto".into() };
    LobbyView { looked: true, found: found(), interface: "eth0".into(), devices, ..LobbyView::default() }
}

/// Another button than the first of the mouse, on a tile or a row.
const MENU: PointerButton = PointerButton::Secondary;
const FIRST: PointerButton = PointerButton::Primary;

#[test]
fn of_the_stage_and_the_toolbar() {
    check("stage", || in_conference(view(3), &[]));
    check("alone", || in_conference(view(1), &[]));
    check("pages", || in_conference(view(60), &[Key::PageDown]));
    check("speaker", || in_conference(view(4), &[Key::G]));
}

#[test]
fn of_what_lies_over_the_stage() {
    check("leaving", || in_conference(view(1), &[]).uses(Role::Button, "Leave", FIRST));
    check("reactions", || in_conference(view(2), &[Key::E]));
    check("keys", || in_conference(view(2), &[Key::F1]));
    check("statistics", || in_conference(View { summary: vec!["processor 14 %".into()], ..view(2) }, &[Key::S]));
    // The menu goes away when anything else is pressed.
    let menu = || in_conference(view(3), &[]).uses(Role::Button, "Bob", MENU);
    check_those("tile", menu, |name| name.starts_with("Why"));
}

#[test]
fn of_what_the_doctor_found() {
    let finding = |code, severity, text: &str, mend: Option<&str>| Finding {
        code,
        severity,
        place: Where::Here,
        text: text.into(),
        mend: mend.map(str::to_owned),
    };
    let firewall = finding("x", Severity::Fault, "the firewall drops it", Some("sudo mend it"));
    let report = Report { findings: vec![firewall], ..Report::default() };
    check("doctor", || {
        let asks = in_conference(view(3), &[]).uses(Role::Button, "Bob", MENU);
        let mut user = asks.uses(Role::Button, "Why can I not see Bob?", FIRST);
        user.window.1.examined = Some(Arc::new(report.clone()));
        user.settles();
        user
    });
}

#[test]
fn of_the_chat() {
    check("chat", || in_conference(View { talk: conversation(), ..view(3) }, &[Key::C]));
    let picked = || in_conference(View { talk: conversation(), ..view(3) }, &[Key::C, Key::ArrowUp]);
    check_those("chat-line", picked, |name| ["Copy", "React", "Reply"].iter().any(|what| name.starts_with(what)));
}

#[test]
fn of_what_the_chat_opens() {
    let emoji = |user: User<Conference>| user.uses(Role::Button, "Emoji", FIRST);
    check("emoji", || {
        let mut user = emoji(in_conference(view(3), &[Key::C]));
        user.types("teapot");
        user
    });
    let chooser = |user: User<Conference>| user.uses(Role::Button, "A private chat with one or some", FIRST);
    check("chooser", || chooser(in_conference(view(4), &[Key::C])));
}

#[test]
fn of_voice_messages() {
    let drafted = || {
        let mut heard = spoken();
        let offer = Some(heard.files[0].offer.clone());
        heard.voice.playing = Some(Playing { offer, ms: 2_100, length_ms: 5_000, paused: false });
        heard.voice.draft = Some(voice(4_200));
        heard
    };
    check("voice", || in_conference(drafted(), &[Key::C]));
    let recording = || {
        let mut heard = spoken();
        heard.voice.recording = Some(Recording { ms: 3_400, ms_max: 300_000, level_dbfs: -18.0 });
        heard
    };
    check("recording", || in_conference(recording(), &[Key::C]));
}

#[test]
fn of_files() {
    check("files", || in_conference(View { files: files(), talk: file_talk(&files()), ..view(4) }, &[Key::T]));
    check("files-none", || in_conference(view(4), &[Key::T]));
}

#[test]
fn of_people() {
    check("people", || in_conference(view(3), &[Key::P]));
    check("people-owner", || in_conference(owned(), &[Key::P]));
    let member = |user: User<Conference>| user.uses(Role::Button, "Chandra, silenced for you", FIRST);
    check("people-one", || member(in_conference(owned(), &[Key::P])));
    check("invite", || in_conference(owned(), &[Key::P]).uses(Role::Button, "Invite", FIRST));
}

#[test]
fn of_settings() {
    let devices = || DevicesView { camera: "auto".into(), microphone: "auto".into(), speaker: "auto".into() };
    let taking = Taking { talk: TalkMode::Voice, ..Taking::default() };
    let moderator = || View { devices: devices(), rank: Rank::Moderator, may_speak_over: true, taking, ..view(2) };
    check("settings", || in_conference(moderator(), &[Key::O]));
}

#[test]
fn of_the_start_screen() {
    check("start", || before(lobby()));
    check("start-nobody", || before(LobbyView { found: Vec::new(), ..lobby() }));
    check("start-words", || before(lobby()).uses(Role::Button, "Join Standup", FIRST));
    check("start-invite", || before(lobby()).uses(Role::Button, "Paste an invite", FIRST));
}
