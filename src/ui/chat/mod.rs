//! The chat panel: conversations as tabs, what was said, and a line to write in.
//!
//! ```text
//! +--------------------------------+
//! | Everybody 3 | Bob | + New    x |  tabs.rs: one per group of people who talk among themselves
//! | Ada 12:03                      |
//! |   tea at four?     ✓ 2 of 3    |  lines.rs: only what is seen is laid out; nothing jumps when lines
//! |   👍 2                         |  come above, late or from before
//! | > Reply to Ada: tea at four? x |
//! | :) o [Write to everybody   ] > |  compose.rs: draft, emoji; voice.rs: voice messages
//! +--------------------------------+
//! ```

mod compose;
mod lines;
mod tabs;
pub mod voice;

use egui::{Rect, Ui, UiBuilder, pos2, vec2};

use crate::conference::view::{Command, View};
use crate::ui::files::Cards;
use crate::ui::look::Look;
use compose::Picker;
pub use compose::QUICK;
use lines::Heights;
use tabs::{Choosing, Tab};

/// What the panel remembers.
pub struct Panel {
    /// Everybody first.
    tabs: Vec<Tab>,
    current: usize,
    choosing: Option<Choosing>,
    picker: Option<Picker>,
    /// Since when the button that records is held.
    held_since: Option<f64>,
    heights: Heights,
    /// The log that `tabs` are of.
    version: Option<u64>,
    /// Height of what stands below the lines, when it was last shown.
    compose_height: f32,
    line_focused: bool,
    wants_focus: bool,
    is_open: bool,
    /// A file is to be sent to those the chat is with.
    sends_file: bool,
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            tabs: vec![Tab::default()],
            current: 0,
            choosing: None,
            picker: None,
            held_since: None,
            heights: Heights::default(),
            version: None,
            compose_height: 46.0,
            line_focused: false,
            wants_focus: false,
            is_open: false,
            sends_file: false,
        }
    }
}

impl Panel {
    /// Takes note of what was said since; to be called for each view.
    pub fn follow(&mut self, view: &View) {
        if self.version == Some(view.talk.version()) {
            return;
        }
        self.version = Some(view.talk.version());
        // What was said before one came is read, as far as the count of what is not read goes.
        let before = view.elapsed_s < 2 && !self.is_open;
        tabs::sort(&mut self.tabs, view, before);
        self.heights.forget(&view.talk);
    }

    /// Lines of others that were not seen yet.
    pub fn unread(&self) -> usize {
        self.tabs.iter().map(|tab| tab.unread).sum()
    }

    /// Whether keys are for a line of the chat.
    pub fn has_keys(&self) -> bool {
        self.is_open && self.line_focused
    }

    /// The panel was opened or closed.
    pub fn set_open(&mut self, open: bool) {
        self.wants_focus |= open && !self.is_open;
        if !open {
            (self.line_focused, self.picker, self.choosing) = (false, None, None);
        }
        self.is_open = open;
    }

    /// Opens the private chat with these people.
    pub fn talk_to(&mut self, names: &[String]) {
        let mut with = names.to_vec();
        with.sort();
        self.current = tabs::of(&mut self.tabs, &with);
        self.tabs[self.current].closed = false;
        self.wants_focus = true;
    }

    /// To whom a file is to be sent, once, when that was asked for; nobody named means everybody.
    pub fn take_file_wish(&mut self) -> Option<Vec<String>> {
        std::mem::take(&mut self.sends_file).then(|| self.with().to_vec())
    }

    /// With whom the conversation is that is open; nobody named means everybody.
    pub fn with(&self) -> &[String] {
        &self.tabs[self.current].with
    }

    /// Closes what lies over the panel; whether anything did.
    pub fn close_popup(&mut self) -> bool {
        self.picker.take().is_some() || self.choosing.take().is_some()
    }

    /// Draws the panel in `place`; what is asked for is appended. Returns whether it is to be closed.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        place: Rect,
        view: &View,
        cards: &mut Cards,
        look: Look,
        commands: &mut Vec<Command>,
    ) -> bool {
        let inner = place.shrink2(vec2(10.0, 8.0));
        let bar = Rect::from_min_size(inner.min, vec2(inner.width(), 30.0));
        let closes = tabs::bar(ui, bar, self, view, look);
        self.current = self.current.min(self.tabs.len() - 1);

        let below_top = (inner.bottom() - self.compose_height).max(bar.bottom() + 40.0);
        let log = Rect::from_min_max(pos2(inner.left(), bar.bottom() + 6.0), pos2(inner.right(), below_top - 6.0));
        if let Some(choosing) = &mut self.choosing {
            // No line is there that could have the keys.
            self.line_focused = false;
            if let Some(with) = tabs::choose(ui, log, choosing, view, look) {
                self.choosing = None;
                self.talk_to(&with);
            }
        } else {
            self.log(ui, log, (view, cards), look, commands);
        }
        let below = Rect::from_min_max(pos2(inner.left(), below_top), inner.max);
        let mut child = ui.new_child(UiBuilder::new().max_rect(below).id_salt("compose"));
        compose::show(&mut child, self, view, look, commands);
        let height = child.min_rect().height().min(place.height() / 2.0);
        if (height - self.compose_height).abs() > 0.5 {
            self.compose_height = height;
            ui.ctx().request_repaint();
        }
        compose::picker(ui, inner, below_top, self, look, commands);
        closes
    }

    fn log(
        &mut self,
        ui: &mut Ui,
        place: Rect,
        (view, cards): (&View, &mut Cards),
        look: Look,
        commands: &mut Vec<Command>,
    ) {
        let tab = &mut self.tabs[self.current];
        let asked = lines::show(ui, place, tab, &mut self.heights, cards, view, look);
        commands.extend(asked.commands);
        self.line_focused = asked.focused;
        if tab.sees_end() && tab.unread > 0 {
            tab.read(view.talk.newest());
            ui.ctx().request_repaint();
        }
        match asked.wish {
            Some(lines::Wish::Reply(quoted)) => {
                tab.reply = Some(quoted);
                self.wants_focus = true;
            }
            Some(lines::Wish::Choose(id)) => self.picker = Some(Picker::for_line(id)),
            Some(lines::Wish::React(id, emoji)) => commands.push(Command::React(id, emoji)),
            Some(lines::Wish::Voice(ask)) => commands.push(Command::Voice(ask)),
            Some(lines::Wish::Write) => self.wants_focus = true,
            None => {}
        }
    }
}
