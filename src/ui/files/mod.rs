//! The files panel: what is sent and offered, how far it is, and a line to send something more.
//!
//! ```text
//! +--------------------------------+
//! | Files (2)                    x |
//! | [path of a file or folder    ] |  the windowing library has no drop of files: a path is typed or pasted
//! | to [Everybody v]        [Send] |
//! | plan.pdf                       |  card.rs: one file, here and among the lines of the chat
//! |  Ada offers · 2.1 MB           |
//! |  [Accept] [Decline] [Always].. |
//! | photo.jpg  [==== ] 40 Mbit/s   |  pictures.rs: those that came, small
//! +--------------------------------+
//! ```

mod card;
mod pictures;

use egui::{Align, ComboBox, Key, Label, Layout, Margin, Rect, RichText, ScrollArea, TextEdit, Ui, UiBuilder, vec2};

use crate::conference::view::{Command, FileState, View};
use crate::ui::focus;
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::settings::accented;
use crate::ui::text::visible;
pub use card::Cards;

/// Around what is typed.
const MARGIN: Margin = Margin::symmetric(8, 6);

/// What the panel remembers.
#[derive(Default)]
pub struct Panel {
    path: String,
    /// Nobody named means everybody.
    to: Vec<String>,
    wants_focus: bool,
    drops: bool,
    /// What cards remember, here and in the chat.
    pub cards: Cards,
}

/// Offers that wait for an answer.
pub fn open(view: &View) -> usize {
    view.files.iter().filter(|file| file.state == FileState::Offered && file.voice.is_none()).count()
}

impl Panel {
    /// The next file goes to these people.
    pub fn send_to(&mut self, names: Vec<String>) {
        (self.to, self.wants_focus) = (names, true);
    }

    /// To whom files go now; nobody named means everybody.
    pub fn recipients(&self) -> &[String] {
        &self.to
    }

    /// Files can be dropped on the window.
    pub fn set_drops(&mut self) {
        self.drops = true;
    }

    /// Draws the panel in `place`; whether it is to be closed.
    pub fn show(&mut self, ui: &mut Ui, place: Rect, view: &View, look: Look, commands: &mut Vec<Command>) -> bool {
        let inner = place.shrink2(vec2(10.0, 8.0));
        let mut child = ui.new_child(UiBuilder::new().max_rect(inner).id_salt("files"));
        let ui = &mut child;
        let closes = header(ui, inner.width(), view, look);
        self.send(ui, view, look, commands);
        ui.add_space(6.0);
        if view.files.is_empty() {
            ui.label(RichText::new(look.words.no_files).color(look.colours.text_weak));
            return closes;
        }
        ScrollArea::vertical().id_salt("cards").auto_shrink([false, false]).show(ui, |ui| {
            ui.set_max_width(inner.width() - 12.0);
            for file in view.files.iter().rev() {
                self.cards.show(ui, file, look, commands);
                ui.add_space(6.0);
            }
            focus::follow(ui);
        });
        closes
    }

    fn send(&mut self, ui: &mut Ui, view: &View, look: Look, commands: &mut Vec<Command>) {
        let (c, w) = (look.colours, look.words);
        let hint = RichText::new(w.path_hint).color(c.text_weak);
        let field =
            ui.add(TextEdit::singleline(&mut self.path).hint_text(hint).desired_width(f32::INFINITY).margin(MARGIN));
        if std::mem::take(&mut self.wants_focus) {
            field.request_focus();
        }
        let entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        let mut pressed = false;
        ui.horizontal(|ui| {
            let chosen = match self.to.is_empty() {
                true => w.everybody.to_owned(),
                false => visible(&self.to.join(", ")).into_owned(),
            };
            ComboBox::from_id_salt("to").selected_text(chosen).width(180.0).truncate().show_ui(ui, |ui| {
                ui.selectable_value(&mut self.to, Vec::new(), w.everybody);
                for person in view.people.iter().filter(|p| !p.me) {
                    ui.selectable_value(&mut self.to, vec![person.name.clone()], visible(&person.name));
                }
            });
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let possible = !self.path.trim().is_empty();
                pressed = ui.add_enabled(possible, accented(w.send_file, possible, look)).clicked();
            });
        });
        ui.add(
            Label::new(RichText::new(if self.drops { w.drops } else { w.no_drop }).size(12.0).color(c.text_weak))
                .wrap(),
        );
        let path = self.path.trim();
        if (pressed || entered) && !path.is_empty() {
            commands.push(Command::Send(path.into(), self.to.clone()));
            self.path.clear();
        }
    }
}

fn header(ui: &mut Ui, width: f32, view: &View, look: Look) -> bool {
    let mut closes = false;
    ui.allocate_ui(vec2(width, 30.0), |ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            closes = icons::button(ui, Icon::Close, look.words.close, true, look.colours).clicked();
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let title = format!("{} ({})", look.words.files, view.files.len());
                ui.add(Label::new(RichText::new(title).strong()).truncate());
            });
        });
    });
    closes
}
