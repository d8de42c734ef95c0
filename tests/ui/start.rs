//! The start screen by keyboard alone, and what it asks for.

use egui::accesskit::{Node, Role};
use egui::{Event, Key, Modifiers, RawInput};
use roundtable::conference::lobby::LobbyView;
use roundtable::conference::view::DevicesView;
use roundtable::time::Timestamp;
use roundtable::ui::devices::{Choice, Devices, Lists};
use roundtable::ui::interface::Options;
use roundtable::ui::look::Preferences;
use roundtable::ui::start::{Start, StartOutput, Wish};

use crate::scene::found;

/// More controls than there are.
const MANY: usize = 80;

struct Newcomer {
    start: Start,
    view: LobbyView,
    now: u64,
    wishes: Vec<Wish>,
    cancelled: bool,
    settings: Vec<(&'static str, String)>,
}

impl Newcomer {
    fn new(size: (usize, usize), view: LobbyView) -> Self {
        let mut start = Start::new(size, Options::default(), "Ada");
        let choice = |value: &str| Choice { value: value.into(), label: format!("Camera {value}") };
        let wired = Choice { value: "eth1".into(), label: "eth1 (10.0.0.7)".into() };
        let cameras = vec![choice("0"), choice("1")];
        start.set_devices(Lists::fixed(Devices { cameras, interfaces: vec![wired], ..Devices::default() }));
        start.enable_accessibility();
        let mut one = Self { start, view, now: 1_000, wishes: Vec::new(), cancelled: false, settings: Vec::new() };
        (0..3).for_each(|_| drop(one.does(vec![])));
        one
    }

    fn does(&mut self, events: Vec<Event>) -> StartOutput {
        self.now += 20;
        let input = RawInput { events, focused: true, ..Default::default() };
        let mut output = self.start.frame(&self.view, input, Timestamp::from_millis(self.now));
        self.wishes.append(&mut output.wishes);
        self.cancelled |= output.cancels;
        self.settings.append(&mut output.settings);
        output
    }

    fn presses(&mut self, key: Key) {
        self.presses_with(key, Modifiers::NONE);
    }

    fn presses_with(&mut self, key: Key, modifiers: Modifiers) {
        let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        self.does(vec![event(true)]);
        self.does(vec![event(false)]);
        (0..3).for_each(|_| drop(self.does(vec![])));
    }

    fn types(&mut self, text: &str) {
        self.does(vec![Event::Text(text.into())]);
    }

    /// Role and name of what has the focus.
    fn focus(&self) -> (Role, String) {
        let update = self.start.accessibility().expect("a description");
        let named = |id| update.nodes.iter().find(|(other, _)| *other == id).map(|(_, node)| node);
        let Some(node) = named(update.focus) else { return (Role::Unknown, String::new()) };
        let text = |n: &Node| n.label().or(n.value()).unwrap_or_default().to_owned();
        let by = node.labelled_by().first().and_then(|id| named(*id)).map(text);
        (node.role(), by.unwrap_or_else(|| text(node)))
    }

    /// Presses Tab until the focus is there; each stop shows.
    #[track_caller]
    fn goes_to(&mut self, name: &str) {
        let mut passed = Vec::new();
        for _ in 0..MANY {
            let before = self.start.pixels().to_vec();
            self.presses(Key::Tab);
            let (role, on) = self.focus();
            assert!(self.start.pixels() != before, "the focus on {role:?} {on:?} is not seen");
            if on == name {
                return;
            }
            passed.push(on);
        }
        panic!("no {name:?} among {passed:?}");
    }

    fn says(&self, text: &str) -> bool {
        let update = self.start.accessibility().expect("a description");
        update.nodes.iter().any(|(_, n)| n.label().or(n.value()).is_some_and(|said| said.contains(text)))
    }
}

fn lobby() -> LobbyView {
    let devices = DevicesView { camera: "auto".into(), microphone: "auto".into(), speaker: "auto".into() };
    LobbyView { looked: true, found: found(), interface: "eth0".into(), devices, ..LobbyView::default() }
}

#[test]
fn a_protected_conference_is_joined_by_keyboard_alone() {
    for size in [(1280, 800), (800, 500), (400, 640)] {
        let mut ada = Newcomer::new(size, lobby());
        ada.goes_to("Your name");
        let ctrl = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
        ada.presses_with(Key::A, ctrl);
        ada.types("Ada Lovelace");
        ada.goes_to("Join Standup");
        ada.presses(Key::Enter);
        assert!(ada.wishes.is_empty(), "the words are asked for first");
        assert_eq!(ada.focus().0, Role::PasswordInput, "their field is ready to be typed in");
        ada.presses(Key::Enter);
        assert!(ada.wishes.is_empty(), "nothing was typed");
        if ada.focus().0 != Role::PasswordInput {
            ada.goes_to("Join Standup");
            ada.presses(Key::Space);
        }
        ada.types("cranes-oxygen");
        ada.presses(Key::Enter);
        match &ada.wishes[..] {
            [Wish::Join(listing, Some(words))] => {
                assert_eq!((listing.title.as_str(), words.as_str()), ("Standup", "cranes-oxygen"));
            }
            other => panic!("{other:?}"),
        }
        assert!(ada.settings.contains(&("name", "Ada Lovelace".into())), "the name is kept: {:?}", ada.settings);
        assert_eq!(ada.start.name(), "Ada Lovelace");
    }
}

#[test]
fn an_open_one_is_entered_at_once_and_a_failure_is_told() {
    let mut ada = Newcomer::new((800, 500), lobby());
    ada.goes_to("Join Fair");
    ada.presses(Key::Space);
    assert!(matches!(&ada.wishes[..], [Wish::Join(listing, None)] if listing.open));
    ada.start.set_busy(Some("Joining Fair…".into()), None);
    ada.does(vec![]);
    assert!(ada.says("Joining Fair…"));
    ada.presses(Key::Space);
    assert_eq!(ada.wishes.len(), 1, "nothing more is asked for meanwhile");
    assert!(!ada.cancelled);
    ada.goes_to("Cancel");
    ada.presses(Key::Enter);
    assert!(ada.cancelled, "whoever changes their mind need not wait");
    ada.start.set_busy(None, Some("it does not answer".into()));
    ada.does(vec![]);
    assert!(ada.says("it does not answer") && !ada.says("Joining Fair…"));
}

#[test]
fn one_is_started_and_an_invite_pasted_by_keyboard_alone() {
    let mut ada = Newcomer::new((800, 500), LobbyView { found: Vec::new(), ..lobby() });
    assert!(ada.says("None is answering on eth0"));
    ada.goes_to("Start");
    ada.presses(Key::Enter);
    assert!(ada.says("A title is needed.") && ada.wishes.is_empty());
    ada.goes_to("Open: anyone on this network can watch");
    ada.presses(Key::Space);
    // The field before its button.
    ada.goes_to("Start");
    let shift = Modifiers { shift: true, ..Modifiers::NONE };
    ada.presses_with(Key::Tab, shift);
    assert_eq!(ada.focus().0, Role::TextInput);
    ada.types("Fair 2");
    ada.presses(Key::Enter);
    assert!(matches!(&ada.wishes[..], [Wish::Start(title, true)] if title == "Fair 2"), "{:?}", ada.wishes);
    ada.wishes.clear();
    ada.goes_to("Paste an invite");
    ada.presses(Key::Enter);
    if ada.focus().0 != Role::PasswordInput {
        ada.presses(Key::Tab);
    }
    assert_eq!(ada.focus().0, Role::PasswordInput, "an invite holds the words: {:?}", ada.focus());
    ada.does(vec![Event::Paste("roundtable:Fair?id=1".into())]);
    ada.presses(Key::Enter);
    assert!(matches!(&ada.wishes[..], [Wish::Invite(line)] if line == "roundtable:Fair?id=1"), "{:?}", ada.wishes);
}

#[test]
fn devices_theme_and_language_are_chosen_by_keyboard_alone() {
    let mut ada = Newcomer::new((800, 500), lobby());
    ada.goes_to("Camera");
    ada.presses(Key::Enter);
    assert_eq!(ada.focus().1, "Automatic", "what is chosen now has the focus");
    ada.goes_to("Camera 1");
    ada.presses(Key::Enter);
    assert!(matches!(&ada.wishes[..], [Wish::Camera(value)] if value == "1"), "{:?}", ada.wishes);
    assert!(ada.settings.contains(&("camera", "1".into())));
    assert_eq!(ada.focus().1, "Camera", "the focus comes back");
    // Closed without a choice.
    ada.presses(Key::Space);
    ada.presses(Key::ArrowDown);
    assert_eq!(ada.focus().1, "None", "arrows move in the list");
    ada.presses(Key::Escape);
    assert!(ada.wishes.len() == 1 && !ada.says("Test picture"), "nothing was chosen");
    ada.goes_to("Light");
    ada.presses(Key::Enter);
    // No font here shows what it calls itself.
    ada.goes_to("Chinese");
    ada.presses(Key::Enter);
    let expected =
        Preferences { light: true, language: roundtable::ui::words::Language::Chinese, ..Default::default() };
    assert_eq!(ada.start.preferences(), expected);
    assert!(ada.settings.contains(&("theme", "light".into())) && ada.settings.contains(&("language", "zh".into())));
    assert!(ada.says("此网络上的会议"));
}

#[test]
fn where_to_look_is_chosen_below_the_list_by_keyboard_alone() {
    let mut ada = Newcomer::new((800, 500), LobbyView { found: Vec::new(), ..lobby() });
    ada.goes_to("Network interface");
    ada.presses(Key::Enter);
    ada.goes_to("eth1 (10.0.0.7)");
    ada.presses(Key::Enter);
    assert!(matches!(&ada.wishes[..], [Wish::Interface(value)] if value == "eth1"), "{:?}", ada.wishes);
    assert!(ada.settings.contains(&("interface", "eth1".into())));
    ada.view.wanted_interface = "eth1".into();
    ada.does(vec![]);
    assert_eq!(ada.focus().1, "Network interface", "the focus comes back");
    ada.presses(Key::Enter);
    ada.presses(Key::ArrowUp);
    ada.presses(Key::Enter);
    assert!(matches!(ada.wishes.last(), Some(Wish::Interface(value)) if value.is_empty()), "{:?}", ada.wishes);
}

#[test]
fn settings_that_are_not_kept_are_told() {
    let mut ada = Newcomer::new((800, 500), lobby());
    ada.start.not_kept(Timestamp::from_millis(ada.now), "the disk is full");
    (0..2).for_each(|_| drop(ada.does(vec![])));
    assert!(ada.says("Not kept: the disk is full"));
    ada.now += 20_000;
    (0..2).for_each(|_| drop(ada.does(vec![])));
    assert!(!ada.says("Not kept"));
}

#[test]
fn one_sees_oneself_in_a_narrow_window_that_has_the_room() {
    let wanted = |size| Newcomer::new(size, lobby()).view.picture.wanted();
    assert_eq!(wanted((400, 500)), (0, 0));
    let (width, height) = wanted((400, 640));
    assert!(width > 150 && (width * 9).abs_diff(height * 16) <= 16, "{width}x{height}");
}
