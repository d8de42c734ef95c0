//! The same walk by keyboard and by mouse.

use egui::accesskit::Role;
use egui::{Key, Modifiers};
use roundtable::conference::view::{CameraView, View};
use roundtable::ui::look::Preferences;
use roundtable::ui::words::Language;
use serde_json::Value;
use std::process::Command;

use crate::common::peer::{PROGRAM, Peer};

use crate::common::sandbox::sandboxed;
use crate::desk::{Desk, Seat, possible};
use crate::shadow::Shadow;

pub const TITLE: &str = "Standup";
pub const WORDS: &str = "cranes-oxygen-vivid-lunar-ticket";
const BUTTON: &[Role] = &[Role::Button];
const FIELD: &[Role] = &[Role::TextInput, Role::PasswordInput, Role::MultilineTextInput];
/// Controls one can get to with Tab before it has gone round.
const CONTROLS_MAX: usize = 60;

/// The other participant, and everything it was told.
struct Witness {
    peer: Peer,
    told: Vec<Value>,
}

impl Witness {
    fn begins() -> Self {
        let mut command = Command::new(PROGRAM);
        command.env("ROUNDTABLE_PASSPHRASE", WORDS);
        Self { peer: Peer::protect(command, "Bob", TITLE, &["--interface", "lo"]), told: Vec::new() }
    }

    /// Whether it was told of Ada in this state, and so.
    fn saw(&mut self, state: &str, is: impl Fn(&Value) -> bool) -> bool {
        self.told.extend(self.peer.drain_events());
        let ada = |e: &&Value| e["event"] == "person" && e["name"] == "Ada" && e["state"] == state;
        self.told.iter().filter(ada).any(is)
    }

    fn heard(&mut self, text: &str) -> bool {
        self.told.extend(self.peer.drain_events());
        self.told.iter().any(|e| e["event"] == "message" && e["text"] == text)
    }
}

fn settings(preferences: Preferences) -> [(&'static str, &'static str); 6] {
    [
        ("name", "A person who has not said who they are"),
        ("camera", "none"),
        ("microphone", "test"),
        ("speaker", "none"),
        ("theme", if preferences.light { "light" } else { "dark" }),
        ("language", preferences.language.code()),
    ]
}

fn begins_as() -> &'static str {
    settings(Preferences::default())[0].1
}

/// Presses a key that moves the focus, and waits until the display shows where it went. Gives the name of what has it.
#[track_caller]
pub fn moves(seat: &mut Seat<'_>, shadow: &mut Shadow, preferences: Preferences, (name, key): (&str, Key)) -> String {
    seat.presses(&[name]);
    shadow.presses(key, Modifiers::NONE);
    let (bounds, on) = shadow.focus().expect("something has the focus");
    let focus = preferences.look().colours.focus;
    seat.awaits(&format!("the focus on {on:?}"), |seat| seat.edge_share(bounds, focus) > 0.3);
    on
}

/// The focus goes on by Tab until it is on the control of that name; at each step it is seen on the display.
#[track_caller]
pub fn tabs_to(seat: &mut Seat<'_>, shadow: &mut Shadow, preferences: Preferences, name: &str) {
    let mut passed = Vec::new();
    for _ in 0..CONTROLS_MAX {
        let on = moves(seat, shadow, preferences, ("Tab", Key::Tab));
        if on == name {
            return;
        }
        passed.push(on);
    }
    panic!("no {name:?} among {passed:?}");
}

/// Waits until the conference stands in the list: until its button is where it will be pressed.
fn awaits_listing(seat: &mut Seat<'_>, shadow: &Shadow, preferences: Preferences) {
    let look = preferences.look();
    let join = shadow.finds(BUTTON, &format!("{} {TITLE}", look.words.join));
    // Around its word.
    seat.awaits("the conference in the list", |seat| seat.edge_share(join.shrink(5.0), look.colours.accent) > 0.9);
}

/// Whether the picture of somebody covers the middle between the two of the grid.
fn pinned(seat: &Seat<'_>, preferences: Preferences, view_size: (usize, usize)) -> bool {
    let [_, r, g, b] = preferences.look().colours.stage_pixel().to_be_bytes();
    let at = (view_size.1 / 2 - 30) * view_size.0 + view_size.0 / 2;
    let [_, x, y, z] = seat.pixels()[at].to_be_bytes();
    [(r, x), (g, y), (b, z)].iter().any(|(a, b)| a.abs_diff(*b) > 12)
}

/// Who has the test picture now.
fn has_camera(view: &mut View) {
    (view.has_camera, view.camera_on) = (true, true);
    (view.people[0].camera, view.devices.camera) = (CameraView::Live, "test".into());
}

#[test]
fn everything_is_reached_by_keyboard() {
    if !possible() {
        return;
    }
    sandboxed("walks::everything_is_reached_by_keyboard", || {
        let preferences = Preferences::default();
        let size = (800, 500);
        let words = preferences.look().words;
        let desk = Desk::open();
        let mut bob = Witness::begins();
        let mut seat = Seat::take(&desk, "keyboard", size, &[], &settings(preferences));
        let mut shadow = Shadow::start(size, preferences, begins_as(), TITLE);
        awaits_listing(&mut seat, &shadow, preferences);
        seat.photographs("start");

        // A name, then the conference and its words.
        tabs_to(&mut seat, &mut shadow, preferences, words.your_name);
        seat.presses(&["ctrl+a"]);
        seat.types("Ada");
        seat.photographs("name");
        let ctrl = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
        shadow.presses(Key::A, ctrl);
        shadow.types("Ada");
        tabs_to(&mut seat, &mut shadow, preferences, &format!("{} {TITLE}", words.join));
        seat.presses(&["Return"]);
        shadow.presses(Key::Enter, Modifiers::NONE);
        let (field, _) = shadow.focus().expect("the field of the words");
        let focus = preferences.look().colours.focus;
        seat.awaits("the field of the words", |seat| seat.edge_share(field, focus) > 0.3);
        seat.types(WORDS);
        seat.photographs("words");
        seat.until("joining", |seat| seat.presses(&["Return"]), |_| bob.saw("joined", |_| true));

        let mut shadow = Shadow::conference(size, preferences, "Ada", "Bob", TITLE);
        let camera = shadow.finds(BUTTON, "Bob");
        seat.awaits("Bob's picture", |seat| !pinned(seat, preferences, size) && seat.edge_share(camera, focus) < 0.2);
        seat.photographs("conference");
        seat.until("mute", |seat| seat.presses(&["m"]), |_| bob.saw("changed", |e| e["muted"] == true));
        seat.photographs("muted");

        seat.presses(&["c"]);
        seat.until(
            "chat",
            |seat| {
                seat.types("said by keyboard");
                seat.presses(&["Return"]);
            },
            |_| bob.heard("said by keyboard"),
        );
        seat.photographs("chat");
        seat.presses(&["Escape", "Escape"]);
        seat.awaits("the chat is closed", |seat| !pinned(seat, preferences, size));

        shadow.is_now(|view| (view.muted, view.people[0].muted) = (true, true));
        tabs_to(&mut seat, &mut shadow, preferences, "Bob");
        seat.photographs("focus");
        seat.presses(&["Return"]);
        seat.awaits("Bob large", |seat| pinned(seat, preferences, size));
        shadow.presses(Key::Enter, Modifiers::NONE);
        seat.photographs("pinned");

        seat.presses(&["o"]);
        shadow.presses(Key::O, Modifiers::NONE);
        tabs_to(&mut seat, &mut shadow, preferences, words.camera);
        seat.photographs("settings");
        let on = moves(&mut seat, &mut shadow, preferences, ("Return", Key::Enter));
        assert_eq!(on, words.none, "what is chosen now has the focus");
        tabs_to(&mut seat, &mut shadow, preferences, words.test_picture);
        seat.photographs("devices");
        seat.until("another camera", |seat| seat.presses(&["Return"]), |_| bob.saw("changed", |e| e["camera"] == "on"));
        seat.photographs("switched");
        seat.presses(&["ctrl+q"]);
        assert!(seat.ends().success());
        seat.awaits("Ada left", |_| bob.saw("left", |_| true));
    });
}

#[test]
fn everything_is_reached_by_mouse() {
    if !possible() {
        return;
    }
    sandboxed("walks::everything_is_reached_by_mouse", || {
        let preferences = Preferences { light: true, language: Language::Chinese, ..Preferences::default() };
        let size = (1280, 800);
        let words = preferences.look().words;
        let desk = Desk::open();
        let mut bob = Witness::begins();
        let mut seat = Seat::take(&desk, "mouse", size, &[], &settings(preferences));
        let mut shadow = Shadow::start(size, preferences, begins_as(), TITLE);
        awaits_listing(&mut seat, &shadow, preferences);
        seat.photographs("start");

        let name = shadow.finds(FIELD, begins_as()).center();
        let focus = preferences.look().colours.focus;
        let field = shadow.finds(FIELD, begins_as());
        seat.until("the field of the name", |seat| seat.clicks(name), |seat| seat.edge_share(field, focus) > 0.3);
        seat.presses(&["ctrl+a"]);
        seat.types("Ada");
        let join = shadow.finds(BUTTON, &format!("{} {TITLE}", words.join)).center();
        seat.clicks(join);
        shadow.clicks(join);
        let (field, _) = shadow.focus().expect("the field of the words");
        seat.awaits("the field of the words", |seat| seat.edge_share(field, focus) > 0.3);
        seat.types(WORDS);
        seat.photographs("words");
        let join = shadow.finds(BUTTON, &format!("{} {TITLE}", words.join)).center();
        seat.until("joining", |seat| seat.clicks(join), |_| bob.saw("joined", |_| true));

        let mut shadow = Shadow::conference(size, preferences, "Ada", "Bob", TITLE);
        seat.awaits("the conference", |seat| !pinned(seat, preferences, size));
        let at = |shadow: &Shadow, name: &str| shadow.finds(BUTTON, name).center();
        let mute = at(&shadow, words.mute);
        seat.until("mute", |seat| seat.clicks(mute), |_| bob.saw("changed", |e| e["muted"] == true));
        seat.photographs("muted");
        shadow.is_now(|view| (view.muted, view.people[0].muted) = (true, true));

        let chat = at(&shadow, words.chat);
        seat.clicks(chat);
        shadow.clicks(chat);
        let (field, _) = shadow.focus().expect("the field of the chat");
        seat.awaits("the field of the chat", |seat| seat.edge_share(field, focus) > 0.3);
        seat.types("said by mouse");
        shadow.types("said by mouse");
        let send = at(&shadow, words.send_tip);
        seat.until("chat", |seat| seat.clicks(send), |_| bob.heard("said by mouse"));
        seat.photographs("chat");
        seat.clicks(chat);
        shadow.clicks(chat);
        seat.awaits("the chat is closed", |seat| !pinned(seat, preferences, size));

        let tile = at(&shadow, "Bob");
        seat.until("pin", |seat| seat.clicks(tile), |seat| pinned(seat, preferences, size));
        shadow.clicks(tile);
        seat.photographs("pinned");

        let open = at(&shadow, words.settings);
        seat.clicks(open);
        shadow.clicks(open);
        let camera = shadow.finds(&[Role::ComboBox], words.none).center();
        shadow.clicks(camera);
        let test = at(&shadow, words.test_picture);
        let chosen = |seat: &Seat<'_>| {
            seat.clicks(camera);
            seat.clicks(test);
        };
        seat.until("another camera", chosen, |_| bob.saw("changed", |e| e["camera"] == "on"));
        seat.photographs("switched");
        shadow.clicks(test);
        shadow.is_now(has_camera);
        let leave = at(&shadow, words.leave);
        seat.clicks(leave);
        assert!(seat.ends().success());
        seat.awaits("Ada left", |_| bob.saw("left", |_| true));
    });
}
