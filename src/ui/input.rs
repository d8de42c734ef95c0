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

/// Events heard and not fetched yet at most: a stuck window must not collect a keyboard's auto-repeat for ever.
const HEARD_MAX: usize = 256;

struct Listener(Rc<RefCell<Vec<Heard>>>);

impl Listener {
    fn push(&mut self, heard: Heard) {
        let mut all = self.0.borrow_mut();
        if all.len() < HEARD_MAX {
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

const BUTTONS: [(MouseButton, PointerButton); 3] = [
    (MouseButton::Left, PointerButton::Primary),
    (MouseButton::Right, PointerButton::Secondary),
    (MouseButton::Middle, PointerButton::Middle),
];

/// Turns what minifb tells into events.
pub struct Input {
    heard: Rc<RefCell<Vec<Heard>>>,
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
            self.modifiers = Modifiers::NONE;
            events.push(Event::WindowFocused(focused));
        }
        for heard in self.heard.borrow_mut().drain(..) {
            match heard {
                Heard::Key(key, pressed) => {
                    key_event(key, pressed, &mut self.modifiers, events);
                    self.pastes |= pressed && edits(key, self.modifiers, events);
                }
                Heard::Char(c) if !self.modifiers.ctrl => events.push(Event::Text(c.to_string())),
                Heard::Char(_) => {}
            }
        }
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

/// The keys for copying and cutting become events; whether it is those for pasting.
fn edits(key: Key, modifiers: Modifiers, events: &mut Vec<Event>) -> bool {
    match key {
        Key::C if modifiers.ctrl => events.push(Event::Copy),
        Key::X if modifiers.ctrl => events.push(Event::Cut),
        Key::V if modifiers.ctrl => return true,
        Key::Insert if modifiers.shift => return true,
        _ => {}
    }
    false
}

fn key_event(key: Key, pressed: bool, modifiers: &mut Modifiers, events: &mut Vec<Event>) {
    match key {
        Key::LeftShift | Key::RightShift => modifiers.shift = pressed,
        Key::LeftAlt | Key::RightAlt => modifiers.alt = pressed,
        Key::LeftCtrl | Key::RightCtrl => {
            modifiers.ctrl = pressed;
            modifiers.command = pressed;
        }
        _ => {}
    }
    if let Some(key) = translate(key) {
        events.push(Event::Key { key, physical_key: None, pressed, repeat: false, modifiers: *modifiers });
    }
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

    #[test]
    fn modifiers_follow_both_of_their_keys() {
        let (mut modifiers, mut events) = (Modifiers::NONE, Vec::new());
        key_event(Key::RightCtrl, true, &mut modifiers, &mut events);
        key_event(Key::Q, true, &mut modifiers, &mut events);
        key_event(Key::RightCtrl, false, &mut modifiers, &mut events);
        assert!(modifiers.is_none());
        let held = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
        let pressed =
            Event::Key { key: egui::Key::Q, physical_key: None, pressed: true, repeat: false, modifiers: held };
        assert_eq!(events, [pressed]);
    }

    #[test]
    fn the_usual_keys_copy_cut_and_paste() {
        let ctrl = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };
        let mut events = Vec::new();
        let mut does = |key, modifiers| edits(key, modifiers, &mut events);
        assert!(
            !does(Key::C, ctrl) && !does(Key::X, ctrl) && does(Key::V, ctrl) && does(Key::Insert, Modifiers::SHIFT)
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
    }
}
