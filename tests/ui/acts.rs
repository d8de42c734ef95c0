//! Mouse and keys: what they ask of the conference. Controls are found by their names, as a screen reader would.

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, RawInput, pos2};
use roundtable::conference::view::{CameraView, Command, View};
use roundtable::time::Timestamp;
use roundtable::ui::app::{App, FrameOutput, Options};
use roundtable::ui::look::Preferences;

use crate::scene::view;

pub struct User {
    pub app: App,
    pub view: View,
    now: u64,
}

impl User {
    pub fn new(view: View) -> Self {
        let preferences = Preferences { still: true, ..Preferences::default() };
        Self::with(view, Options { preferences, ..Options::default() })
    }

    /// With everything that moves, for instance.
    pub fn with(view: View, options: Options) -> Self {
        let mut app = App::new((1280, 720), options);
        app.enable_accessibility();
        let mut user = Self { app, view, now: 1000 };
        user.does(vec![]);
        user.does(vec![]);
        user
    }

    pub fn does(&mut self, events: Vec<Event>) -> FrameOutput {
        self.now += 20;
        let modifiers = events.iter().find_map(|e| match e {
            Event::Key { modifiers, .. } => Some(*modifiers),
            _ => None,
        });
        let input = RawInput { events, focused: true, modifiers: modifiers.unwrap_or_default(), ..Default::default() };
        self.app.frame(&self.view, input, Timestamp::from_millis(self.now))
    }

    pub fn presses(&mut self, key: Key, modifiers: Modifiers) -> Vec<Command> {
        let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        let mut commands = self.does(vec![event(true)]).commands;
        commands.extend(self.does(vec![event(false)]).commands);
        commands
    }

    /// Middle of the control of that name.
    pub fn finds(&self, role: Role, name: &str) -> Option<Pos2> {
        let update = self.app.accessibility()?;
        let (_, node) = update.nodes.iter().find(|(_, n)| n.role() == role && n.label().or(n.value()) == Some(name))?;
        let bounds = node.bounds()?;
        Some(pos2((bounds.x0 + bounds.x1) as f32 / 2.0, (bounds.y0 + bounds.y1) as f32 / 2.0))
    }

    /// Whether a text that begins so is in the window.
    pub fn says(&self, text: &str) -> bool {
        let Some(update) = self.app.accessibility() else { return false };
        let said = |n: &egui::accesskit::Node| n.label().or(n.value()).is_some_and(|t| t.starts_with(text));
        update.nodes.iter().any(|(_, n)| said(n))
    }

    pub fn button(&self, name: &str) -> Pos2 {
        self.finds(Role::Button, name).unwrap_or_else(|| panic!("no button {name:?}"))
    }

    /// Clicks there.
    pub fn presses_at(&mut self, pos: Pos2) {
        let modifiers = Modifiers::NONE;
        let press = |pressed| Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers };
        self.does(vec![Event::PointerMoved(pos)]);
        self.does(vec![press(true), press(false)]);
        self.does(vec![]);
    }

    /// Clicks, press and release in one look at the mouse.
    pub fn clicks(&mut self, name: &str) -> Vec<Command> {
        let pos = self.button(name);
        let modifiers = Modifiers::NONE;
        let press = |pressed| Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers };
        self.does(vec![Event::PointerMoved(pos)]);
        let mut commands = self.does(vec![press(true), press(false)]).commands;
        commands.extend(self.does(vec![]).commands);
        commands
    }
}

#[test]
fn why_somebody_is_not_seen_is_asked_at_their_tile_and_answered_on_a_card() {
    use roundtable::protocol::doctor::{Finding, Report, Severity, Where};
    let mut user = User::new(view(3));
    let pos = user.finds(Role::Button, "Bob").expect("his tile");
    let press =
        |pressed| Event::PointerButton { pos, button: PointerButton::Secondary, pressed, modifiers: Modifiers::NONE };
    user.does(vec![Event::PointerMoved(pos)]);
    user.does(vec![press(true), press(false)]);
    user.does(vec![]);
    let about_bob = Command::Doctor(Some("Bob".into()));
    assert_eq!(user.clicks("Why can I not see Bob?").first(), Some(&about_bob));
    assert!(user.says("Looking for what is wrong"), "it is told that it takes a while");
    assert_eq!(user.clicks("Mute"), [Command::Mute(true)], "nothing is blocked");
    let place = Where::Here;
    let text = "this machine's firewall drops what comes by multicast".to_owned();
    let fault = Finding { code: "x", severity: Severity::Fault, place, text, mend: Some("sudo mend it".into()) };
    user.view.examined = Some(std::sync::Arc::new(Report { findings: vec![fault], ..Report::default() }));
    user.does(vec![]);
    assert!(user.says("It is you: this machine's firewall drops what comes by multicast"));
    assert!(user.says("sudo mend it"));
    user.presses(Key::Escape, Modifiers::NONE);
    assert!(!user.says("sudo mend it"), "Escape closes the card");

    user.clicks("People");
    // His row: his tile has the same name, and stands further left.
    let nodes = &user.app.accessibility().expect("a tree").nodes;
    let named = nodes.iter().filter(|(_, n)| n.label() == Some("Bob")).filter_map(|(_, n)| n.bounds());
    let row = named.max_by(|a, b| a.x0.total_cmp(&b.x0)).expect("a row");
    let pos = pos2(((row.x0 + row.x1) / 2.0) as f32, ((row.y0 + row.y1) / 2.0) as f32);
    let press =
        |pressed| Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE };
    user.does(vec![Event::PointerMoved(pos)]);
    user.does(vec![press(true), press(false)]);
    (0..3).for_each(|_| drop(user.does(vec![])));
    assert_eq!(user.clicks("Why can I not see Bob?"), [about_bob]);
}

#[test]
fn buttons_ask_for_what_they_say() {
    let mut user = User::new(view(3));
    assert_eq!(user.clicks("Mute"), [Command::Mute(true)]);
    assert_eq!(user.clicks("Stop camera"), [Command::Camera(false)]);
    assert_eq!(user.clicks("Raise hand"), [Command::Hand(true)]);
    assert_eq!(user.clicks("Leave"), [Command::Leave]);
    (user.view.muted, user.view.camera_on) = (true, false);
    user.does(vec![]);
    assert_eq!(user.clicks("Unmute"), [Command::Mute(false)]);
    assert_eq!(user.clicks("Start camera"), [Command::Camera(true)]);
    user.view.attention.hand = true;
    user.does(vec![]);
    assert_eq!(user.clicks("Lower hand"), [Command::Hand(false)]);
}

#[test]
fn an_open_conference_says_who_can_watch_in_windows_of_any_width() {
    let mut user = User::new(view(3));
    user.view.open = true;
    for width in [400, 639, 640, 1280] {
        user.app.resize((width, 500));
        (0..2).for_each(|_| drop(user.does(vec![])));
        let told = user.finds(Role::Label, "Open: anyone on this network can watch");
        assert!(told.is_some_and(|at| at.y < 60.0 && at.x < width as f32), "{width} pixels");
    }
    user.view.open = false;
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert_eq!(user.finds(Role::Label, "Open: anyone on this network can watch"), None);
}

#[test]
fn keys_ask_for_the_same() {
    let mut user = User::new(view(3));
    let ctrl = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
    assert_eq!(user.presses(Key::M, Modifiers::NONE), [Command::Mute(true)]);
    assert_eq!(user.presses(Key::V, Modifiers::NONE), [Command::Camera(false)]);
    assert_eq!(user.presses(Key::H, Modifiers::NONE), [Command::Hand(true)]);
    assert_eq!(user.presses(Key::Q, ctrl), [Command::Leave]);
    assert_eq!(user.presses(Key::Q, Modifiers::NONE), [], "a slip of the finger does not leave");
    assert_eq!(user.presses(Key::M, ctrl), []);
}

#[test]
fn a_key_held_acts_once() {
    let mut user = User::new(view(2));
    let event =
        || Event::Key { key: Key::M, physical_key: None, pressed: true, repeat: false, modifiers: Modifiers::NONE };
    let mut commands = Vec::new();
    for _ in 0..5 {
        commands.extend(user.does(vec![event()]).commands);
    }
    assert_eq!(commands, [Command::Mute(true)]);
}

#[test]
fn tab_and_space_reach_every_control_in_order() {
    let mut user = User::new(view(2));
    user.presses(Key::Tab, Modifiers::NONE);
    assert_eq!(user.presses(Key::Space, Modifiers::NONE), [Command::Mute(true)]);
    user.presses(Key::Tab, Modifiers::NONE);
    assert_eq!(user.presses(Key::Enter, Modifiers::NONE), [Command::Camera(false)]);
    user.presses(Key::Tab, Modifiers::NONE);
    assert_eq!(user.presses(Key::Space, Modifiers::NONE), [Command::Hand(true)]);
    // Emoji, chat, people, files, view, statistics, settings, keys, and the way out.
    for _ in 0..9 {
        user.presses(Key::Tab, Modifiers::NONE);
    }
    assert_eq!(user.presses(Key::Space, Modifiers::NONE), [Command::Leave]);
}

#[test]
fn what_is_not_there_cannot_be_switched() {
    let mut poor = view(2);
    (poor.has_microphone, poor.has_camera) = (false, false);
    let mut user = User::new(poor);
    assert_eq!(user.clicks("Mute"), []);
    assert_eq!(user.clicks("Camera"), []);
    assert_eq!(user.presses(Key::M, Modifiers::NONE), []);

    // One that is unplugged is muted before it comes back.
    let mut unplugged = view(2);
    unplugged.has_microphone = false;
    unplugged.devices.microphone = "auto".into();
    let mut user = User::new(unplugged.clone());
    assert_eq!(user.clicks("Mute"), [Command::Mute(true)]);
    unplugged.muted = true;
    let mut user = User::new(unplugged);
    assert_eq!(user.presses(Key::M, Modifiers::NONE), [Command::Mute(false)]);
    assert_eq!(user.clicks("Unmute"), [Command::Mute(false)]);

    let mut watching = view(3);
    watching.people.remove(0);
    let mut user = User::new(watching);
    assert!(user.finds(Role::Button, "Mute").is_none());
    assert_eq!(user.presses(Key::M, Modifiers::NONE), []);
    assert_eq!(user.clicks("Leave"), [Command::Leave]);
}

#[test]
fn panels_open_and_esc_closes_one_at_a_time() {
    let mut user = User::new(view(2));
    let plain = user.app.pixels().to_vec();
    user.clicks("Statistics");
    user.does(vec![Event::PointerGone]);
    user.does(vec![]);
    let statistics = user.app.pixels().to_vec();
    assert_ne!(plain, statistics);
    user.does(vec![Event::Text("?".into())]);
    user.does(vec![]);
    assert_ne!(user.app.pixels(), statistics);
    user.presses(Key::Escape, Modifiers::NONE);
    user.does(vec![]);
    assert_eq!(user.app.pixels(), statistics);
    user.presses(Key::Escape, Modifiers::NONE);
    user.does(vec![]);
    assert_eq!(user.app.pixels(), plain);
}

#[test]
fn pages_turn_and_pictures_are_wanted_only_where_shown() {
    let mut user = User::new(view(60));
    let wanted = |user: &User| user.view.people.iter().filter(|p| p.picture.wanted() != (0, 0)).count();
    assert_eq!(wanted(&user), 49);
    assert_eq!(user.view.people[49].picture.wanted(), (0, 0));
    user.presses(Key::PageDown, Modifiers::NONE);
    assert_eq!(wanted(&user), 11);
    let (width, height) = user.view.people[59].picture.wanted();
    assert!(width > 200 && (width * 9).abs_diff(height * 16) <= 16, "{width}x{height}");
    user.presses(Key::PageDown, Modifiers::NONE);
    assert_eq!(wanted(&user), 11, "there is no third page");
    user.view.people.truncate(5);
    user.does(vec![]);
    assert_eq!(wanted(&user), 5, "the page that is gone is left");
}

#[test]
fn who_leaves_is_wanted_no_more() {
    let mut user = User::new(view(3));
    let gone = user.view.people.remove(1);
    assert_ne!(gone.picture.wanted(), (0, 0));
    user.does(vec![]);
    assert_eq!(gone.picture.wanted(), (0, 0));
}

#[test]
fn tiles_are_described_for_those_who_do_not_see_them() {
    let mut view = view(2);
    view.people[1].muted = true;
    view.people[1].camera = CameraView::Off;
    let user = User::new(view);
    assert!(user.finds(Role::Button, "Ada Lovelace (you)").is_some());
    assert!(user.finds(Role::Button, "Bob, microphone off").is_some());
}

#[test]
fn alone_one_invites_with_one_press() {
    use roundtable::conference::invite::Invite;
    use roundtable::wire::message::ConferenceId;
    let invite = Invite { title: "Standup".into(), id: ConferenceId([7; 16]), at: None, key: None };
    let mut user = User::new(View { invite: Some(std::sync::Arc::new(invite)), ..view(1) });
    assert!(!user.says("They type"), "no command is the first thing one reads");
    user.clicks("Invite others");
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(user.finds(Role::Button, "Copy the invite").is_some());
}

#[test]
fn notices_are_found_by_whoever_does_not_see_them() {
    use roundtable::conference::view::NoticeKind;
    let mut user = User::new(view(4));
    let text = "Dana joined";
    user.view.notices = vec![crate::scene::notice(7, NoticeKind::Info, text, 100)];
    user.does(vec![]);
    let place = user.finds(Role::Label, text).expect("it is in the tree");
    assert!(place.x > 1100.0, "a short one is in nobody's way at the right: {place:?}");
    let text = "The camera was unplugged. Everything else goes on; it is tried again.";
    user.view.notices.push(crate::scene::notice(8, NoticeKind::Warning, text, 100));
    user.does(vec![]);
    let place = user.finds(Role::Label, text).expect("it is in the tree");
    assert!((place.x - 640.0).abs() < 2.0, "between the faces of four people: {place:?}");
    user.app.resize((360, 480));
    user.presses(Key::P, Modifiers::NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    let close = user.button("Close");
    let place = user.finds(Role::Label, "Dana joined").expect("it is there still");
    assert!(place.y > close.y + 20.0, "{place:?} lies over the panel's head at {close:?}");
}

#[test]
fn the_toolbar_has_room_for_two_more_controls() {
    for (width, each) in [(1280.0, 95.0), (800.0, 50.0)] {
        let mut user = User::new(view(4));
        user.app.resize((width as usize, 500));
        (0..2).for_each(|_| drop(user.does(vec![])));
        let nodes = &user.app.accessibility().expect("a tree").nodes;
        let buttons = nodes.iter().filter(|(_, n)| n.role() == Role::Button).filter_map(|(_, n)| n.bounds());
        let bar: Vec<_> = buttons.filter(|b| b.y0 > 448.0).collect();
        let left = bar.iter().map(|b| b.x0).fold(f64::INFINITY, f64::min);
        let right = bar.iter().map(|b| b.x1).fold(0.0, f64::max);
        assert!(bar.len() == 12 && width - (right - left) >= 24.0 + 2.0 * each, "{width}: {left} to {right}");
    }
}

#[test]
fn the_page_is_told_however_narrow_the_window_is() {
    let mut user = User::new(view(60));
    for width in [400, 800, 1280] {
        user.app.resize((width, 500));
        (0..2).for_each(|_| drop(user.does(vec![])));
        let told = user.finds(Role::Label, "page 1 of 2").expect("it is told");
        let nodes = &user.app.accessibility().expect("a tree").nodes;
        let over = nodes.iter().filter(|(_, n)| n.role() == Role::Button).filter_map(|(_, n)| n.bounds());
        let covers = |b: &egui::accesskit::Rect| {
            b.x0 < f64::from(told.x) && f64::from(told.x) < b.x1 && b.y0 < f64::from(told.y) && f64::from(told.y) < b.y1
        };
        assert!(!over.into_iter().any(|b| covers(&b)), "{width}");
    }
}
