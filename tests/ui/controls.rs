//! Every control there is, by keyboard and again by mouse: each is reached with the Tab key and seen when it is, and does
//! the same either way. What each does is compared with a checked-in list; `UPDATE_SNAPSHOTS=1 cargo test --test ui controls`
//! writes it anew: read it before committing it.
//!
//! Controls are found in the tree that a screen reader gets, looked through with kittest. A control that is new stands in no
//! list, and fails here until somebody has looked at what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Write};
use std::ops::Range;
use std::path::PathBuf;

use egui::accesskit::{Action, ActionRequest, NodeId, Role, Toggled, TreeId, TreeUpdate};
use egui::{Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, pos2};
use kittest::{AccessKitNode, NodeT, Queryable, State, by};
use roundtable::time::Timestamp;
use roundtable::ui::app::App;
use roundtable::ui::start::Start;

/// More controls than there are on any screen.
const MANY: usize = 150;
/// Frames until a press has had all its effect, and between them ms.
const SETTLES: usize = 4;
const FRAME_MS: u64 = 20;
/// Pixels per point, and size of a window in pixels: tall, so that little scrolls, and coarse, because all of it is painted
/// hundreds of times.
pub const SCALE: f32 = 0.5;
pub const SIZE: (usize, usize) = (500, 550);
/// Where controls are seen whatever scrolls there, in points.
const SEEN: Range<f32> = 60.0..960.0;
/// What is typed where something can be typed.
const TYPED: &str = "xyz";
const NUMBER: &str = "42";
/// So many of the texts that a press brought are listed.
const LISTED: usize = 4;

/// A node of the tree, as kittest wants it.
#[derive(Clone)]
pub struct Node<'t>(AccessKitNode<'t>);

impl Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        kittest::debug_fmt_node(self, f)
    }
}

impl<'t> NodeT<'t> for Node<'t> {
    fn accesskit_node(&self) -> AccessKitNode<'t> {
        self.0
    }

    fn new_related(&self, node: AccessKitNode<'t>) -> Self {
        Self(node)
    }
}

/// A screen, whichever it is.
pub trait Window {
    /// One frame; what was asked for in it.
    fn frame(&mut self, input: RawInput, now: Timestamp) -> Vec<String>;
    fn tree(&self) -> TreeUpdate;
    fn pixels(&self) -> &[u32];
}

/// What a frame asked for, as the lists have it.
fn asked_for(
    wishes: &[impl Debug],
    settings: &[(impl fmt::Display, impl fmt::Display)],
    copied: Option<String>,
) -> Vec<String> {
    let mut asked: Vec<String> = wishes.iter().map(|wish| format!("{wish:?}")).collect();
    asked.extend(settings.iter().map(|(name, value)| format!("keeps {name} = {value}")));
    asked.extend(copied.map(|text| format!("copies {text:?}")));
    asked
}

/// A conference.
pub struct Conference(pub App, pub roundtable::conference::view::View);

impl Window for Conference {
    fn frame(&mut self, input: RawInput, now: Timestamp) -> Vec<String> {
        let output = self.0.frame(&self.1, input, now);
        let mut asked = asked_for(&output.commands, &output.settings, output.copied);
        asked.extend(output.opened.map(|address| format!("opens {address}")));
        asked
    }

    fn tree(&self) -> TreeUpdate {
        self.0.accessibility().expect("a tree").clone()
    }

    fn pixels(&self) -> &[u32] {
        self.0.pixels()
    }
}

/// What is before a conference.
pub struct Lobby(pub Start, pub roundtable::conference::lobby::LobbyView);

impl Window for Lobby {
    fn frame(&mut self, input: RawInput, now: Timestamp) -> Vec<String> {
        let output = self.0.frame(&self.1, input, now);
        asked_for(&output.wishes, &output.settings, output.copied)
    }

    fn tree(&self) -> TreeUpdate {
        self.0.accessibility().expect("a tree").clone()
    }

    fn pixels(&self) -> &[u32] {
        self.0.pixels()
    }
}

/// What a control is called: its role, its name, and which of those of that name it is.
type Name = (String, String, usize);

/// Something that can be pressed.
struct Control {
    name: Name,
    id: NodeId,
    role: Role,
    rect: Rect,
    /// One of several that are chosen from, and chosen already.
    chosen: bool,
}

impl Control {
    fn has_name(&self) -> bool {
        !self.name.1.is_empty()
    }
}

/// Somebody before a screen.
pub struct User<W> {
    pub window: W,
    now: u64,
    asked: Vec<String>,
}

fn key(key: Key, pressed: bool) -> Event {
    Event::Key { key, physical_key: None, pressed, repeat: false, modifiers: Modifiers::NONE }
}

fn text_of(node: &AccessKitNode<'_>) -> String {
    node.label().or_else(|| node.value()).or_else(|| node.placeholder().map(str::to_owned)).unwrap_or_default()
}

impl<W: Window> User<W> {
    pub fn sits_at(window: W) -> Self {
        let mut user = Self { window, now: 1_000, asked: Vec::new() };
        user.settles();
        user
    }

    fn does(&mut self, events: Vec<Event>) {
        self.now += FRAME_MS;
        let input = RawInput { events, focused: true, ..Default::default() };
        let asked = self.window.frame(input, Timestamp::from_millis(self.now));
        self.asked.extend(asked);
    }

    pub fn settles(&mut self) {
        (0..SETTLES).for_each(|_| self.does(Vec::new()));
    }

    pub fn presses(&mut self, pressed: Key) {
        self.does(vec![key(pressed, true), key(pressed, false)]);
        self.settles();
    }

    /// Types a number over the one that stands there.
    fn enters(&mut self, number: &str) {
        let all = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
        let (key_a, physical_key, repeat) = (Key::A, None, false);
        self.does(vec![Event::Key { key: key_a, physical_key, pressed: true, repeat, modifiers: all }]);
        self.types(number);
        self.presses(Key::Enter);
    }

    pub fn types(&mut self, text: &str) {
        self.does(vec![Event::Text(text.into())]);
        self.settles();
    }

    /// Goes on from that control, the first of its name.
    #[track_caller]
    pub fn uses(mut self, role: Role, name: &str, button: PointerButton) -> Self {
        let named = |control: &Control| control.role == role && control.name.1 == name;
        let found = self.controls().0.into_iter().find(named).unwrap_or_else(|| panic!("no {role:?} {name:?}"));
        let at = self.focuses(found.id).rect.center();
        self.clicks(at, button);
        self
    }

    fn clicks(&mut self, pos: Pos2, button: PointerButton) {
        let press = |pressed| Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE };
        self.does(vec![Event::PointerMoved(pos)]);
        self.does(vec![press(true)]);
        self.does(vec![press(false)]);
        // Elsewhere again: what lies under the mouse is not what was pressed.
        self.does(vec![Event::PointerGone]);
        self.settles();
    }

    /// All controls in the order of the tree, and what has the focus.
    fn controls(&self) -> (Vec<Control>, Option<NodeId>) {
        let update = self.window.tree();
        let focus = update.focus;
        let state = State::new(update);
        let mut count: BTreeMap<(String, String), usize> = BTreeMap::new();
        let pressed = |node: &AccessKitNode<'_>| node.data().supports_action(Action::Focus) && !node.is_disabled();
        let mut found = Vec::new();
        for node in Node(state.root()).query_all(by().predicate(pressed)) {
            let node = node.accesskit_node();
            let (role, name) = (format!("{:?}", node.role()), text_of(&node));
            let nth = count.entry((role.clone(), name.clone())).or_default();
            *nth += 1;
            let Some(r) = node.raw_bounds() else { continue };
            let rect = Rect::from_min_max(pos2(r.x0 as f32, r.y0 as f32), pos2(r.x1 as f32, r.y1 as f32));
            let chosen = node.role() == Role::RadioButton && node.toggled() == Some(Toggled::True);
            found.push(Control { name: (role, name, *nth), id: node.locate().0, role: node.role(), rect, chosen });
        }
        let focused = found.iter().any(|control| control.id == focus).then_some(focus);
        (found, focused)
    }

    /// Everything the tree says, with how often, and where everything is.
    fn says(&self) -> (BTreeMap<String, usize>, Vec<String>) {
        let state = State::new(self.window.tree());
        let (mut said, mut places) = (BTreeMap::new(), Vec::new());
        for node in Node(state.root()).query_all(by().predicate(|_| true)) {
            let node = node.accesskit_node();
            places.push(format!("{:?}", node.raw_bounds()));
            let mut text = text_of(&node);
            if text.is_empty() && is_text(node.role()) {
                text = format!("{:?}", node.role());
            }
            if node.label().is_some() {
                text.extend(node.value().map(|value| format!(" = {value}")));
            }
            text.extend(node.numeric_value().map(|value| format!(" = {value:.2}")));
            text.extend(node.toggled().map(|toggled| format!(" ({toggled:?})")));
            if !text.is_empty() {
                *said.entry(without_times(&text)).or_default() += 1;
            }
        }
        (said, places)
    }

    #[track_caller]
    fn finds(&self, id: NodeId) -> Control {
        let found = self.controls().0.into_iter().find(|control| control.id == id);
        found.unwrap_or_else(|| panic!("{id:?} is not there"))
    }

    /// Gives the keyboard to that control, which may scroll to it.
    #[track_caller]
    fn focuses(&mut self, target_node: NodeId) -> Control {
        let request = ActionRequest { action: Action::Focus, target_tree: TreeId::ROOT, target_node, data: None };
        self.does(vec![Event::AccessKitActionRequest(request)]);
        self.settles();
        self.finds(target_node)
    }

    /// What came of doing something to that control: what was asked for, else what is said now and was not before, or what
    /// else has the keyboard.
    fn effect(&mut self, of: &Control, act: impl FnOnce(&mut Self)) -> String {
        let (before, places) = self.says();
        self.asked.clear();
        act(self);
        if !self.asked.is_empty() {
            return self.asked.join("; ");
        }
        let (now, places_now) = self.says();
        let more = |(text, count): &(&String, &usize)| before.get(*text).is_none_or(|before| before < *count);
        let new: Vec<String> = now.iter().filter(more).map(|(text, _)| format!("{text:?}")).collect();
        let gone = before.keys().filter(|text| !now.contains_key(*text)).count();
        let (controls, focus) = self.controls();
        let other = controls.iter().find(|control| Some(control.id) == focus && control.id != of.id);
        match (new.len(), gone) {
            (0, 0) if places == places_now => other
                .map_or_else(String::new, |other| format!("gives the keyboard to {} {:?}", other.name.0, other.name.1)),
            (0, 0) => "moves what is there".into(),
            (0, gone) => format!("{gone} texts go"),
            (count, _) if count > LISTED => format!("says {} and {} more", new[..LISTED].join(", "), count - LISTED),
            _ => format!("says {}", new.join(", ")),
        }
    }
}

/// A text without its days and times: they differ between time zones.
fn without_times(text: &str) -> String {
    let mut text = text.to_owned();
    for pattern in ["0000-00-00", "00:00"] {
        let fits = |(c, p): (u8, u8)| if p == b'0' { c.is_ascii_digit() } else { c == p };
        for at in 0..(text.len() + 1).saturating_sub(pattern.len()) {
            if text.bytes().skip(at).zip(pattern.bytes()).all(fits) {
                text.replace_range(at..at + pattern.len(), &pattern.replace('0', "n"));
            }
        }
    }
    text
}

fn is_text(role: Role) -> bool {
    matches!(role, Role::TextInput | Role::MultilineTextInput | Role::PasswordInput | Role::SearchInput)
}

fn by_keyboard<W: Window>(user: &mut User<W>, control: &Control) -> String {
    user.effect(control, |user| match user.focuses(control.id).role {
        Role::SpinButton => user.enters(NUMBER),
        role if is_text(role) => user.types(TYPED),
        Role::Slider => user.presses(Key::ArrowLeft),
        // What can be done with a line of the chat stands there while it has the keyboard ...
        Role::Unknown if control.has_name() => {}
        _ => user.presses(Key::Enter),
    })
}

fn by_mouse<W: Window>(user: &mut User<W>, control: &Control) -> String {
    let mut r = user.finds(control.id).rect;
    if !SEEN.contains(&r.center().y) {
        r = user.focuses(control.id).rect;
    }
    // A link may go over two lines, with its middle in neither; and something may lie over the middle of a tile.
    let (at, r) = (r.center(), r.shrink(6.0));
    user.effect(control, |user| match control.role {
        // ... or the mouse is over it.
        Role::Unknown if control.has_name() => {
            user.does(vec![Event::PointerMoved(r.left_top())]);
            user.settles();
        }
        role if is_text(role) => {
            user.clicks(at, PointerButton::Primary);
            user.types(TYPED);
        }
        Role::SpinButton => {
            user.clicks(at, PointerButton::Primary);
            user.enters(NUMBER);
        }
        _ => {
            let before = user.says();
            for at in [at, r.left_top(), r.right_top(), r.left_bottom()] {
                if user.asked.is_empty() && user.says() == before {
                    user.clicks(at, PointerButton::Primary);
                }
            }
        }
    })
}

/// The stops of the Tab key, until they come again; each is seen.
fn stops<W: Window>(user: &mut User<W>) -> BTreeSet<NodeId> {
    let mut passed = BTreeSet::new();
    for _ in 0..MANY {
        let before = user.window.pixels().to_vec();
        user.does(vec![key(Key::Tab, true), key(Key::Tab, false)]);
        (0..2).for_each(|_| user.does(Vec::new()));
        let (all, focus) = user.controls();
        let Some(Control { name, id, .. }) = all.into_iter().find(|control| Some(control.id) == focus) else {
            continue;
        };
        assert!(user.window.pixels() != before, "the focus on {name:?} is not seen");
        if !passed.insert(id) {
            break;
        }
    }
    passed
}

/// Drives every control of a screen, before which `make` puts somebody anew each time.
#[track_caller]
pub fn check<W: Window>(screen: &str, make: impl Fn() -> User<W>) {
    check_those(screen, make, |_| true);
}

/// Drives those of these names.
#[track_caller]
pub fn check_those<W: Window>(screen: &str, make: impl Fn() -> User<W>, which: impl Fn(&str) -> bool) {
    let mut all = make().controls().0;
    all.retain(|control| which(&control.name.1));
    assert!(!all.is_empty(), "{screen}: there is nothing to press");
    let reached = stops(&mut make());
    let unreached: Vec<&Name> = all.iter().filter(|c| !reached.contains(&c.id)).map(|c| &c.name).collect();
    assert!(unreached.is_empty(), "{screen}: Tab does not lead to {unreached:?}");
    let (mut list, mut wrong) = (String::new(), Vec::new());
    for control in &all {
        let keyboard = by_keyboard(&mut make(), control);
        let mouse = by_mouse(&mut make(), control);
        let ((role, text, nth), chosen) = (&control.name, control.chosen);
        // One moves a step, the other to where the mouse is; and where the keyboard goes matters to who uses it.
        let moves = control.role == Role::Slider && !mouse.is_empty();
        let same = keyboard == mouse || moves || keyboard.starts_with("gives the keyboard");
        if !chosen && (keyboard.is_empty() || !same) {
            wrong.push(format!("{role} {text:?}: by keyboard {keyboard:?}, by mouse {mouse:?} at {:?}", control.rect));
        }
        let nth = if *nth > 1 { format!(" ({nth})") } else { String::new() };
        let _ = writeln!(list, "{role} {text:?}{nth}: {}", if chosen { "is chosen" } else { &keyboard });
    }
    assert!(wrong.is_empty(), "{screen}: these do nothing, or not the same:\n{}", wrong.join("\n"));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/controls/{screen}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &list).expect("list written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(list == expected, "{screen}: controls do something else than {} says:\n{list}", path.display());
}
