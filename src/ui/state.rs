//! What the window itself remembers, and what its controls and keys ask for.

use egui::{Event, Id, Key, Modifiers, Popup, Ui};

use crate::conference::view::{Command, View};
use crate::ui::look::Preferences;

/// A panel beside the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Panel {
    /// What is said.
    Chat,
    /// Who is here.
    People,
    /// What is sent and offered.
    Files,
    /// How it all is set up.
    Settings,
}

/// What the window itself remembers: which panels are open, who stands where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The panel that is open.
    pub panel: Option<Panel>,
    /// The statistics are open.
    pub statistics: bool,
    /// The list of keys is open.
    pub help: bool,
    /// The emoji for everybody are open.
    pub react: bool,
    /// It is asked whether the last one here wants to leave.
    pub leaving: bool,
    /// Whoever talks stands large.
    pub speaker: bool,
    /// Who stands large whoever talks.
    pub pinned: Option<u64>,
    /// Who fills the window.
    pub full: Option<u64>,
    /// Page of people shown, from 0.
    pub page: usize,
    /// Pages there are.
    pub pages: usize,
    /// The microphone is on as long as Space is held.
    pub held: bool,
    /// What is held to speak over all others.
    pub call: Option<Call>,
    /// A text field had the keyboard in the run before: at Escape egui takes it away before anybody is asked.
    pub typed: bool,
    /// Files are dragged over the window.
    pub dragged: bool,
    /// Whose tile was clicked last: the second click of two may fall on another one that has moved there.
    pub clicked: Option<u64>,
    /// What the user chose.
    pub preferences: Preferences,
}

/// One speaks over all others as long as this is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// The key.
    Key,
    /// The mouse on the control, since this time in ms.
    Mouse(u64),
    /// The mouse still, of a call that has ended: letting go is no click.
    Over,
}

/// Whoever holds the control for so long ends the call by letting go; otherwise it lasts until the control is pressed again.
const HELD_MS: u64 = 400;

/// What a control asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Microphone off or on.
    Mute,
    /// Camera off or on.
    Camera,
    /// Hand up or down.
    Hand,
    /// Speak over all others, or no more.
    Call,
    /// Emoji for everybody.
    React,
    /// A panel open or closed.
    Panel(Panel),
    /// Everybody alike, or whoever talks large.
    Arrange,
    /// Statistics.
    Statistics,
    /// List of keys.
    Help,
    /// Out.
    Leave,
    /// A page back.
    Back,
    /// A page on.
    Forward,
}

/// Whether somebody at this machine takes part; otherwise it only watches.
pub fn has_me(view: &View) -> bool {
    view.people.iter().any(|p| p.me)
}

/// Whether the conference ends when one leaves.
pub fn is_last(view: &View) -> bool {
    view.people.len() == 1 && has_me(view) && view.elapsed_s > 0
}

/// Whether there is a microphone to switch, or will be: one that is unplugged can be muted before it comes back.
pub fn may_mute(view: &View) -> bool {
    let chosen = !matches!(view.devices.microphone.as_str(), "" | "none");
    has_me(view) && (view.has_microphone || chosen)
}

/// Does what a control or a key asks for.
pub fn act(action: Action, view: &View, state: &mut State, commands: &mut Vec<Command>) {
    let me = has_me(view);
    // What lies beside a lone picture, or over what it hides, is not seen.
    if matches!(action, Action::React | Action::Panel(_)) || (action == Action::Leave && is_last(view)) {
        let hidden = state.full.take().is_some();
        if let (true, Action::Panel(panel)) = (hidden, action) {
            state.panel = Some(panel);
            return;
        }
    }
    match action {
        Action::Mute if may_mute(view) => commands.push(Command::Mute(!view.muted)),
        Action::Camera if me && view.has_camera => commands.push(Command::Camera(!view.camera_on)),
        Action::Hand if me => commands.push(Command::Hand(!view.attention.hand)),
        Action::Call if view.attention.priority => commands.push(Command::Priority(false)),
        Action::Call if may_call(view) => begin_call(view, state, commands),
        Action::Mute | Action::Camera | Action::Hand | Action::Call => {}
        Action::React => state.react = !state.react,
        Action::Panel(panel) => state.panel = (state.panel != Some(panel)).then_some(panel),
        Action::Arrange => {
            // From a pinned picture the way leads back to everybody.
            state.speaker = !(state.speaker || state.pinned.is_some());
            (state.pinned, state.full, state.page) = (None, None, 0);
        }
        Action::Statistics => state.statistics = !state.statistics,
        Action::Help => state.help = !state.help,
        Action::Leave if is_last(view) && !state.leaving => state.leaving = true,
        Action::Leave => commands.push(Command::Leave),
        Action::Back => state.page = state.page.saturating_sub(1),
        Action::Forward => state.page = (state.page + 1).min(state.pages.saturating_sub(1)),
    }
}

/// Closes one thing, the uppermost first; whether there was any.
fn close(state: &mut State) -> bool {
    let open = [&mut state.leaving, &mut state.help, &mut state.react];
    if let Some(first) = open.into_iter().find(|open| **open) {
        *first = false;
    } else if state.full.is_some() {
        state.full = None;
    } else if state.statistics {
        state.statistics = false;
    } else if state.panel.is_some() {
        state.panel = None;
    } else {
        return false;
    }
    true
}

/// The tile of somebody, as what has the keyboard's focus is called.
pub fn tile_id(ui: &Ui, key: u64) -> Id {
    ui.id().with(("tile", key))
}

/// Keys that work wherever the focus is, and those that work unless one types. `free`: nothing else has taken them; to let
/// go of a key counts all the same.
pub fn keys(ui: &Ui, view: &View, state: &mut State, commands: &mut Vec<Command>, free: bool) {
    let context = ui.ctx();
    let types = context.text_edit_focused();
    let focused = context.memory(|m| m.focused().is_some());
    let popup = Popup::is_any_open(context);
    if types {
        // From now on Space and A are letters, and nobody would be told of their release.
        hold(false, view, state, commands);
        call_by_key(false, view, state, commands);
    }
    let events = context.input(|i| i.events.clone());
    // A tile takes Enter alone: whoever has pinned somebody talks with Space as before.
    let on_tile =
        context.memory(|m| m.focused()).is_some_and(|id| view.people.iter().any(|p| tile_id(ui, p.key) == id));
    if on_tile {
        context.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Space));
    }
    for event in events {
        let action = match event {
            Event::WindowFocused(false) => {
                hold(false, view, state, commands);
                let by_mouse = matches!(state.call, Some(Call::Mouse(_) | Call::Over));
                end_call(state, commands);
                state.call = by_mouse.then_some(Call::Over);
                None
            }
            Event::Key { key: Key::Space, pressed: false, .. } => {
                hold(false, view, state, commands);
                None
            }
            Event::Key { key: Key::A, pressed: false, .. } => {
                call_by_key(false, view, state, commands);
                None
            }
            _ if !free => None,
            Event::Text(text) if text == "?" && !types => Some(Action::Help),
            Event::Key { key: Key::Space, modifiers, .. } if modifiers.is_none() && !types && (!focused || on_tile) => {
                hold(true, view, state, commands);
                None
            }
            Event::Key { key: Key::A, repeat: false, modifiers, .. } if modifiers.is_none() && !types => {
                call_by_key(true, view, state, commands);
                None
            }
            Event::Key { key: Key::Escape, pressed: true, repeat: false, .. } => {
                // The first press only leaves a field, or closes what has opened out of a control.
                if !types && !state.typed && !popup && close(state) {
                    context.request_repaint();
                }
                None
            }
            Event::Key { key, pressed: true, repeat: false, modifiers, .. } => action_of(key, modifiers, types),
            _ => None,
        };
        if let Some(action) = action {
            act(action, view, state, commands);
            context.request_repaint();
        }
    }
}

/// Space pressed or released: the microphone is on meanwhile. It is on during a call anyway, and stays on when Space is let
/// go of.
fn hold(pressed: bool, view: &View, state: &mut State, commands: &mut Vec<Command>) {
    let calls = view.attention.priority || matches!(state.call, Some(Call::Key | Call::Mouse(_)));
    if pressed == state.held || (pressed && (calls || !(view.muted && view.has_microphone && has_me(view)))) {
        return;
    }
    state.held = pressed;
    commands.push(Command::Mute(!pressed));
}

/// Whether one may speak over all others, and can.
pub fn may_call(view: &View) -> bool {
    view.may_speak_over && view.has_microphone && has_me(view)
}

fn call_by_key(pressed: bool, view: &View, state: &mut State, commands: &mut Vec<Command>) {
    match state.call {
        Some(Call::Key) if !pressed => end_call(state, commands),
        // Who speaks over all others already goes on after the key.
        None if pressed && may_call(view) && !view.attention.priority => {
            begin_call(view, state, commands);
            state.call = Some(Call::Key);
        }
        _ => {}
    }
}

/// Speaks over all others. What Space has done to the microphone is over first: to let go of it would mute the call.
fn begin_call(view: &View, state: &mut State, commands: &mut Vec<Command>) {
    hold(false, view, state, commands);
    commands.push(Command::Priority(true));
}

/// Ends the call that something is held for.
fn end_call(state: &mut State, commands: &mut Vec<Command>) {
    if state.call.take().is_some_and(|call| call != Call::Over) {
        commands.push(Command::Priority(false));
    }
}

/// The mouse is held on the control to speak over all others, or not. Whether that is all there is to a click on it.
pub fn call(context: &egui::Context, held: bool, view: &View, state: &mut State, commands: &mut Vec<Command>) -> bool {
    let (now, down, pressed) = context.input(|i| {
        let pointer = &i.pointer;
        ((i.time * 1_000.0) as u64, pointer.primary_down(), pointer.primary_pressed())
    });
    match state.call {
        // A hand that moves meanwhile holds it all the same.
        Some(Call::Mouse(since)) if !down => {
            if now.saturating_sub(since) < HELD_MS {
                state.call = None;
            }
            end_call(state, commands);
            true
        }
        Some(Call::Over) if !down => {
            state.call = None;
            true
        }
        // With the press, not while it lasts: a call that has ended meanwhile would begin again. And no other button.
        None | Some(Call::Over) if held && pressed && may_call(view) && !view.attention.priority => {
            begin_call(view, state, commands);
            state.call = Some(Call::Mouse(now));
            true
        }
        _ => false,
    }
}

fn action_of(key: Key, modifiers: Modifiers, types: bool) -> Option<Action> {
    if modifiers.command || modifiers.ctrl {
        return (key == Key::Q).then_some(Action::Leave);
    }
    if key == Key::F1 {
        return Some(Action::Help);
    }
    if modifiers.alt || types {
        return None;
    }
    match key {
        Key::M => Some(Action::Mute),
        Key::V => Some(Action::Camera),
        Key::H => Some(Action::Hand),
        Key::E => Some(Action::React),
        Key::C => Some(Action::Panel(Panel::Chat)),
        Key::P => Some(Action::Panel(Panel::People)),
        Key::T => Some(Action::Panel(Panel::Files)),
        Key::O => Some(Action::Panel(Panel::Settings)),
        Key::G => Some(Action::Arrange),
        Key::S => Some(Action::Statistics),
        Key::PageUp => Some(Action::Back),
        Key::PageDown => Some(Action::Forward),
        _ => None,
    }
}
