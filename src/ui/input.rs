//! minifb's mouse and keys as egui's events.
//!
//! Keys and text come through minifb's callback, each press and release in order, however short. The mouse is a state
//! that must be looked at often enough: the window's loop does.

use std::cell::RefCell;
use std::rc::Rc;

use egui::{Event, Modifiers, MouseWheelUnit, PointerButton, Pos2, TouchPhase, pos2, vec2};
use minifb::{InputCallback, Key, MouseButton, MouseMode, Window};

/// What the callback heard.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    Key(Key, bool),
    Char(char),
}

/// Events heard and not fetched yet at most: a stuck window must not collect a keyboard's auto-repeat for ever. Releases come
/// beyond it, one for each key: a key that is never let go of would keep a microphone on.
const HEARD_MAX: usize = 256;

struct Listener(Rc<RefCell<Vec<Heard>>>);

impl Listener {
    fn push(&mut self, heard: Heard) {
        let mut all = self.0.borrow_mut();
        let release = matches!(heard, Heard::Key(_, false));
        if all.len() < HEARD_MAX || (release && !all[HEARD_MAX..].contains(&heard)) {
            all.push(heard);
        }
    }
}

impl InputCallback for Listener {
    fn add_char(&mut self, character: u32) {
        if let Some(c) = char::from_u32(character).filter(|c| !c.is_control()) {
            self.push(Heard::Char(c));
        }
    }

    fn set_key_state(&mut self, key: Key, down: bool) {
        self.push(Heard::Key(key, down));
    }
}

/// Keys that change what others mean, of which a keyboard has two each.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    shift: [bool; 2],
    ctrl: [bool; 2],
    alt: [bool; 2],
    /// The key of the desktop, Command on a Mac.
    system: [bool; 2],
}

impl Held {
    fn note(&mut self, key: Key, pressed: bool) {
        let held = match key {
            Key::LeftShift => &mut self.shift[0],
            Key::RightShift => &mut self.shift[1],
            Key::LeftCtrl => &mut self.ctrl[0],
            Key::RightCtrl => &mut self.ctrl[1],
            Key::LeftAlt => &mut self.alt[0],
            Key::RightAlt => &mut self.alt[1],
            Key::LeftSuper => &mut self.system[0],
            Key::RightSuper => &mut self.system[1],
            _ => return,
        };
        *held = pressed;
    }

    /// As egui knows them. Ctrl and Alt together are AltGr, which makes characters: nothing else is meant by them.
    fn modifiers(self, mac: bool) -> Modifiers {
        let any = |keys: [bool; 2]| keys.contains(&true);
        let (alt, mac_cmd) = (any(self.alt), mac && any(self.system));
        let ctrl = any(self.ctrl) && (mac || !alt);
        Modifiers { alt, ctrl, shift: any(self.shift), mac_cmd, command: if mac { mac_cmd } else { ctrl } }
    }

    /// Whether keys are for the desktop now.
    fn is_of_desktop(self, mac: bool) -> bool {
        !mac && self.system.contains(&true)
    }
}

const MAC: bool = cfg!(target_os = "macos");

const BUTTONS: [(MouseButton, PointerButton); 3] = [
    (MouseButton::Left, PointerButton::Primary),
    (MouseButton::Right, PointerButton::Secondary),
    (MouseButton::Middle, PointerButton::Middle),
];

/// Turns what minifb tells into events.
pub struct Input {
    heard: Rc<RefCell<Vec<Heard>>>,
    held: Held,
    modifiers: Modifiers,
    mouse: Option<Pos2>,
    down: [bool; BUTTONS.len()],
    focused: bool,
    pastes: bool,
}

impl Input {
    /// Listens to `window` from now on.
    pub fn new(window: &mut Window) -> Self {
        let heard = Rc::new(RefCell::new(Vec::new()));
        window.set_input_callback(Box::new(Listener(heard.clone())));
        Self {
            heard,
            held: Held::default(),
            modifiers: Modifiers::NONE,
            mouse: None,
            down: [false; BUTTONS.len()],
            focused: false,
            pastes: false,
        }
    }

    /// Modifier keys held.
    pub fn modifiers(&self) -> Modifiers {
        self.modifiers
    }

    /// Whether the window has the keyboard.
    pub fn focused(&self) -> bool {
        self.focused
    }

    /// Whether the mouse is over the window.
    pub fn mouse_inside(&self) -> bool {
        self.mouse.is_some()
    }

    /// Appends what happened since the last call; to be called after each of minifb's updates. Places in points.
    pub fn collect(&mut self, window: &Window, pixels_per_point: f32, events: &mut Vec<Event>) {
        let focused = window.is_active();
        if focused != self.focused {
            self.focused = focused;
            // Releases go to whoever has the keyboard then.
            (self.held, self.modifiers) = (Held::default(), Modifiers::NONE);
            events.push(Event::WindowFocused(focused));
        }
        for heard in self.heard.borrow_mut().drain(..) {
            self.pastes |= told(heard, &mut self.held, MAC, events);
        }
        self.modifiers = self.held.modifiers(MAC);
        self.mouse(window, pixels_per_point, events);
    }

    /// Whether the keys for pasting were pressed since this was asked last.
    pub fn wants_paste(&mut self) -> bool {
        std::mem::take(&mut self.pastes)
    }

    fn mouse(&mut self, window: &Window, pixels_per_point: f32, events: &mut Vec<Event>) {
        let held = self.down.contains(&true);
        // A drag goes on outside the window.
        let mode = if held { MouseMode::Pass } else { MouseMode::Discard };
        let mouse = window.get_unscaled_mouse_pos(mode).map(|(x, y)| pos2(x, y) / pixels_per_point);
        if mouse != self.mouse {
            self.mouse = mouse;
            events.push(mouse.map_or(Event::PointerGone, Event::PointerMoved));
        }
        let Some(pos) = mouse else { return };
        for (was, (theirs, button)) in self.down.iter_mut().zip(BUTTONS) {
            let pressed = window.get_mouse_down(theirs);
            if pressed != std::mem::replace(was, pressed) {
                events.push(Event::PointerButton { pos, button, pressed, modifiers: self.modifiers });
            }
        }
        if let Some((x, y)) = window.get_scroll_wheel() {
            let (unit, phase, modifiers) = (MouseWheelUnit::Line, TouchPhase::Move, self.modifiers);
            events.push(Event::MouseWheel { unit, delta: vec2(x, y), phase, modifiers });
        }
    }
}

/// What was heard becomes events; whether it was the keys for pasting.
fn told(heard: Heard, held: &mut Held, mac: bool, events: &mut Vec<Event>) -> bool {
    match heard {
        Heard::Key(key, pressed) => {
            held.note(key, pressed);
            let modifiers = held.modifiers(mac);
            // A key that was let go of is told whoever it was for.
            if pressed && held.is_of_desktop(mac) {
                return false;
            }
            if let Some(key) = translate(key) {
                events.push(Event::Key { key, physical_key: None, pressed, repeat: false, modifiers });
            }
            pressed && edits(key, modifiers, events)
        }
        Heard::Char(c) => {
            let modifiers = held.modifiers(mac);
            if !modifiers.command && !modifiers.ctrl && !held.is_of_desktop(mac) {
                events.push(Event::Text(c.to_string()));
            }
            false
        }
    }
}

/// The keys for copying and cutting become events; whether it is those for pasting.
fn edits(key: Key, modifiers: Modifiers, events: &mut Vec<Event>) -> bool {
    match key {
        Key::C if modifiers.command => events.push(Event::Copy),
        Key::X if modifiers.command => events.push(Event::Cut),
        Key::V if modifiers.command => return true,
        Key::Insert if modifiers.shift => return true,
        _ => {}
    }
    false
}

fn translate(key: Key) -> Option<egui::Key> {
    use egui::Key as To;
    const LETTERS: [To; 26] = [
        To::A,
        To::B,
        To::C,
        To::D,
        To::E,
        To::F,
        To::G,
        To::H,
        To::I,
        To::J,
        To::K,
        To::L,
        To::M,
        To::N,
        To::O,
        To::P,
        To::Q,
        To::R,
        To::S,
        To::T,
        To::U,
        To::V,
        To::W,
        To::X,
        To::Y,
        To::Z,
    ];
    let number = key as usize;
    if (Key::A as usize..=Key::Z as usize).contains(&number) {
        return Some(LETTERS[number - Key::A as usize]);
    }
    Some(match key {
        Key::Key0 | Key::NumPad0 => To::Num0,
        Key::Key1 | Key::NumPad1 => To::Num1,
        Key::Key2 | Key::NumPad2 => To::Num2,
        Key::Key3 | Key::NumPad3 => To::Num3,
        Key::Key4 | Key::NumPad4 => To::Num4,
        Key::Key5 | Key::NumPad5 => To::Num5,
        Key::Key6 | Key::NumPad6 => To::Num6,
        Key::Key7 | Key::NumPad7 => To::Num7,
        Key::Key8 | Key::NumPad8 => To::Num8,
        Key::Key9 | Key::NumPad9 => To::Num9,
        Key::F1 => To::F1,
        Key::F5 => To::F5,
        Key::F11 => To::F11,
        Key::Down => To::ArrowDown,
        Key::Left => To::ArrowLeft,
        Key::Right => To::ArrowRight,
        Key::Up => To::ArrowUp,
        Key::Comma => To::Comma,
        Key::Period => To::Period,
        Key::Slash => To::Slash,
        Key::Equal => To::Equals,
        Key::Minus | Key::NumPadMinus => To::Minus,
        Key::NumPadPlus => To::Plus,
        Key::Backspace => To::Backspace,
        Key::Delete => To::Delete,
        Key::End => To::End,
        Key::Enter | Key::NumPadEnter => To::Enter,
        Key::Escape => To::Escape,
        Key::Home => To::Home,
        Key::Insert => To::Insert,
        Key::PageDown => To::PageDown,
        Key::PageUp => To::PageUp,
        Key::Space => To::Space,
        Key::Tab => To::Tab,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (Listener, Rc<RefCell<Vec<Heard>>>) {
        let heard = Rc::new(RefCell::new(Vec::new()));
        (Listener(heard.clone()), heard)
    }

    #[test]
    fn a_key_pressed_and_released_between_two_looks_is_two_events() {
        let (mut listener, heard) = listener();
        listener.set_key_state(Key::M, true);
        listener.add_char(u32::from(b'm'));
        listener.set_key_state(Key::M, false);
        listener.add_char(27);
        listener.add_char(0xd800);
        assert_eq!(*heard.borrow(), [Heard::Key(Key::M, true), Heard::Char('m'), Heard::Key(Key::M, false)]);
    }

    fn all(heard: &[Heard], mac: bool) -> Vec<Event> {
        let (mut held, mut events) = (Held::default(), Vec::new());
        for one in heard {
            told(*one, &mut held, mac, &mut events);
        }
        events
    }

    fn key(key: egui::Key, pressed: bool, modifiers: Modifiers) -> Event {
        Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }
    }

    const CTRL: Modifiers = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };

    #[test]
    fn modifiers_follow_both_of_their_keys() {
        use Heard::Key as K;
        let keys = [K(Key::RightCtrl, true), K(Key::LeftCtrl, true), K(Key::RightCtrl, false), K(Key::Q, true)];
        assert_eq!(all(&keys, false), [key(egui::Key::Q, true, CTRL)], "one of the two is still held");
        let keys = [K(Key::RightCtrl, true), K(Key::RightCtrl, false), K(Key::Q, true)];
        assert_eq!(all(&keys, false), [key(egui::Key::Q, true, Modifiers::NONE)]);
    }

    #[test]
    fn what_altgr_makes_is_typed_and_asks_for_nothing() {
        use Heard::{Char, Key as K};
        // Q with AltGr, which Windows tells as Ctrl and Alt, is @ on a German keyboard; V with it must not paste.
        let held = [K(Key::LeftCtrl, true), K(Key::RightAlt, true)];
        let events = all(&[&held[..], &[K(Key::Q, true), Char('@'), K(Key::V, true)]].concat(), false);
        let alt = Modifiers { alt: true, ..Modifiers::NONE };
        let typed = Event::Text("@".into());
        assert_eq!(events, [key(egui::Key::Q, true, alt), typed, key(egui::Key::V, true, alt)]);
        assert_eq!(all(&[held[0], Char('q')], false), [], "with Ctrl alone nothing is typed");
    }

    #[test]
    fn the_key_of_the_desktop_is_for_the_desktop_and_on_a_mac_for_commands() {
        use Heard::{Char, Key as K};
        let heard = [K(Key::LeftSuper, true), K(Key::M, true), Char('m'), K(Key::M, false)];
        assert_eq!(all(&heard, false), [key(egui::Key::M, false, Modifiers::NONE)], "letting go is told");
        let command = Modifiers { mac_cmd: true, command: true, ..Modifiers::NONE };
        assert_eq!(all(&heard, true), [key(egui::Key::M, true, command), key(egui::Key::M, false, command)]);
        let copied = all(&[K(Key::RightSuper, true), K(Key::C, true)], true);
        assert_eq!(copied, [key(egui::Key::C, true, command), Event::Copy]);
    }

    #[test]
    fn the_usual_keys_copy_cut_and_paste() {
        let mut events = Vec::new();
        let mut does = |key, modifiers| edits(key, modifiers, &mut events);
        assert!(
            !does(Key::C, CTRL) && !does(Key::X, CTRL) && does(Key::V, CTRL) && does(Key::Insert, Modifiers::SHIFT)
        );
        assert!(!does(Key::V, Modifiers::NONE) && !does(Key::C, Modifiers::NONE));
        assert_eq!(events, [Event::Copy, Event::Cut]);
    }

    #[test]
    fn letters_translate_in_order() {
        for (from, to) in [(Key::A, egui::Key::A), (Key::M, egui::Key::M), (Key::Z, egui::Key::Z)] {
            assert_eq!(translate(from), Some(to));
        }
        assert_eq!(translate(Key::LeftShift), None);
    }

    #[test]
    fn a_key_held_while_nobody_fetches_does_not_fill_the_memory() {
        let (mut listener, heard) = listener();
        (0..10_000).for_each(|_| listener.set_key_state(Key::A, true));
        assert_eq!(heard.borrow().len(), HEARD_MAX);
        for _ in 0..100 {
            [Key::A, Key::Space].into_iter().for_each(|key| listener.set_key_state(key, false));
        }
        let beyond: Vec<Heard> = heard.borrow()[HEARD_MAX..].to_vec();
        assert_eq!(beyond, [Heard::Key(Key::A, false), Heard::Key(Key::Space, false)], "letting go is never lost");
    }
}
