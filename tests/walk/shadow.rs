//! Windows as the program's should be, in the test: they are asked where things are, and what has the keyboard.

use egui::accesskit::{Node, NodeId, Role};
use egui::{Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, pos2, vec2};
use roundtable::conference::lobby::{Listing, LobbyView};
use roundtable::conference::view::{CameraView, DevicesView, PersonView, View};
use roundtable::pipeline::slot::Waker;
use roundtable::time::Timestamp;
use roundtable::ui::app::{App, Options};
use roundtable::ui::devices::{Devices, Lists};
use roundtable::ui::look::Preferences;
use roundtable::ui::start::Start;
use std::sync::Arc;

use crate::desk::PATIENCE;

/// Side of a tick.
const TICK: f32 = 14.0;

enum Window {
    Start(Box<(Start, LobbyView)>),
    App(Box<(App, View)>),
}

/// A window that is as the program's should be.
pub struct Shadow {
    window: Window,
    now: u64,
    waker: Arc<Waker>,
}

/// Devices as the walks begin with.
fn devices() -> DevicesView {
    DevicesView { camera: "none".into(), microphone: "test".into(), speaker: "none".into() }
}

fn person(key: u64, name: &str, me: bool) -> PersonView {
    let camera = if me { CameraView::Off } else { CameraView::Live };
    PersonView { me, camera, ..PersonView::new(key, name) }
}

impl Shadow {
    fn new(window: impl FnOnce(Options) -> Window, preferences: Preferences) -> Self {
        let waker = Arc::<Waker>::default();
        let options = Options { preferences, waker: Arc::clone(&waker), system_fonts: true, ..Default::default() };
        let mut shadow = Self { window: window(options), now: 1_000, waker };
        shadow.settles();
        if preferences.language == roundtable::ui::words::Language::Chinese {
            // Nothing but the fonts' thread wakes this window.
            assert!(shadow.waker.wait(PATIENCE), "the fonts were looked through");
            shadow.settles();
        }
        shadow
    }

    /// The start screen of somebody called `name`, with one conference, which is protected.
    pub fn start(size: (usize, usize), preferences: Preferences, name: &str, title: &str) -> Self {
        let listing = Listing {
            id: "1".into(),
            base: [239, 255, 1, 0].into(),
            port: 20_000,
            title: title.into(),
            open: false,
            locked: false,
            participants: 1,
            source: [127, 0, 0, 1].into(),
        };
        let view = LobbyView { looked: true, found: vec![listing], devices: devices(), ..LobbyView::default() };
        let window = |options| {
            let mut start = Start::new(size, options, name);
            start.set_devices(Lists::fixed(Devices::default()));
            start.enable_accessibility();
            Window::Start(Box::new((start, view)))
        };
        Self::new(window, preferences)
    }

    /// A conference of two.
    pub fn conference(size: (usize, usize), preferences: Preferences, me: &str, other: &str, title: &str) -> Self {
        let view = View {
            title: title.into(),
            me: me.into(),
            people: vec![person(1, me, true), person(2, other, false)],
            has_microphone: true,
            devices: devices(),
            elapsed_s: 10,
            ..View::default()
        };
        let window = |options| {
            let mut app = App::new(size, options);
            app.set_devices(Lists::fixed(Devices::default()));
            app.enable_accessibility();
            Window::App(Box::new((app, view)))
        };
        Self::new(window, preferences)
    }

    /// Changes what the conference is like.
    pub fn is_now(&mut self, change: impl FnOnce(&mut View)) {
        if let Window::App(both) = &mut self.window {
            change(&mut both.1);
        }
        self.settles();
    }

    fn does(&mut self, events: Vec<Event>) {
        self.now += 20;
        let (input, now) = (RawInput { events, focused: true, ..Default::default() }, Timestamp::from_millis(self.now));
        match &mut self.window {
            Window::Start(both) => drop(both.0.frame(&both.1, input, now)),
            Window::App(both) => drop(both.0.frame(&both.1, input, now)),
        }
    }

    fn settles(&mut self) {
        (0..4).for_each(|_| self.does(vec![]));
    }

    /// A key pressed and released.
    pub fn presses(&mut self, key: Key, modifiers: Modifiers) {
        let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        self.does(vec![event(true)]);
        self.does(vec![event(false)]);
        self.settles();
    }

    /// A text typed.
    pub fn types(&mut self, text: &str) {
        self.does(vec![Event::Text(text.into())]);
        self.settles();
    }

    /// A click.
    pub fn clicks(&mut self, pos: Pos2) {
        let button =
            |pressed| Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE };
        self.does(vec![Event::PointerMoved(pos)]);
        self.does(vec![button(true)]);
        self.does(vec![button(false)]);
        self.settles();
    }

    fn nodes(&self) -> &[(NodeId, Node)] {
        let update = match &self.window {
            Window::Start(both) => both.0.accessibility(),
            Window::App(both) => both.0.accessibility(),
        };
        &update.expect("a description").nodes
    }

    /// The controls there are, for a message.
    pub fn describes(&self) -> String {
        let told = |(_, n): &(NodeId, Node)| Some(format!("{:?} {:?}", n.role(), n.label().or(n.value())?));
        self.nodes().iter().filter_map(told).collect::<Vec<_>>().join(", ")
    }

    /// Where the control of that name is.
    #[track_caller]
    pub fn finds(&self, roles: &[Role], name: &str) -> Rect {
        let is = |n: &&Node| roles.contains(&n.role()) && n.label().or(n.value()) == Some(name);
        let node = self.nodes().iter().map(|(_, n)| n).find(is);
        node.and_then(bounds).unwrap_or_else(|| panic!("no {roles:?} {name:?} among {}", self.describes()))
    }

    /// Where the ring around what has the keyboard is, and its name.
    pub fn focus(&self) -> Option<(Rect, String)> {
        let update = match &self.window {
            Window::Start(both) => both.0.accessibility(),
            Window::App(both) => both.0.accessibility(),
        }?;
        let node = update.nodes.iter().find(|(id, _)| *id == update.focus).map(|(_, n)| n)?;
        // Fields have their name from the text beside them.
        let label = || {
            let by = node.labelled_by().first()?;
            update.nodes.iter().find(|(id, _)| id == by).and_then(|(_, n)| n.label().or(n.value()))
        };
        let name = label().or(node.label()).or(node.value()).unwrap_or_default();
        let place = bounds(node)?;
        // What is ticked has its ring around the tick alone.
        let ring = match node.role() {
            Role::RadioButton | Role::CheckBox => {
                Rect::from_center_size(place.left_center() + vec2(TICK / 2.0, 0.0), vec2(TICK, TICK))
            }
            _ => place,
        };
        Some((ring, name.to_owned()))
    }
}

fn bounds(node: &Node) -> Option<Rect> {
    let b = node.bounds()?;
    Some(Rect::from_min_max(pos2(b.x0 as f32, b.y0 as f32), pos2(b.x1 as f32, b.y1 as f32)))
}
