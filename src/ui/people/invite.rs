//! How others come in: the words, the line, and a picture of it for a telephone's camera.

use egui::{Button, Color32, Label, Rect, RichText, Sense, Ui, vec2};

use crate::conference::invite::Invite;
use crate::conference::qr::Code;
use crate::conference::view::View;
use crate::ui::look::Look;
use crate::ui::words::fill;

/// Modules left free around a code.
const QUIET: usize = 4;

/// What the invitation remembers.
#[derive(Default)]
pub struct Invitation {
    open: bool,
    words_shown: bool,
    /// The code, and of which conference's invite, with or without words.
    code: Option<((String, bool), Option<Code>)>,
    copied: Option<Copied>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    Words,
    Line,
}

impl Invitation {
    /// Whether it is shown instead of the people.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Opens or closes it; words are hidden again.
    pub fn toggle(&mut self) {
        *self = Self { open: !self.open, code: self.code.take(), ..Self::default() };
    }

    /// Draws it.
    pub fn show(&mut self, ui: &mut Ui, view: &View, look: Look) {
        let Some(invite) = &view.invite else { return };
        let (c, w) = (look.colours, look.words);
        ui.spacing_mut().item_spacing.y = 7.0;
        ui.label(RichText::new(w.invite_title).heading());
        let weak = |ui: &mut Ui, text: &str| drop(ui.add(Label::new(RichText::new(text).color(c.text_weak)).wrap()));
        if view.open {
            weak(ui, w.invite_open);
        } else if let Some(key) = &invite.key {
            ui.label(w.invite_words);
            let shown = if self.words_shown {
                key.to_string()
            } else {
                "•••••-•••••-•••••-•••••-•••••".to_owned()
            };
            ui.add(Label::new(RichText::new(shown).monospace().strong()).wrap().selectable(self.words_shown));
            ui.horizontal_wrapped(|ui| {
                if ui.button(if self.words_shown { w.hide_words } else { w.show_words }).clicked() {
                    self.words_shown = !self.words_shown;
                }
                if ui.button(self.copy_label(Copied::Words, w.copy_words, look)).clicked() {
                    ui.ctx().copy_text(key.to_string());
                    self.copied = Some(Copied::Words);
                }
            });
        } else {
            weak(ui, w.invite_no_words);
        }
        let label = self.copy_label(Copied::Line, w.copy_invite, look);
        let copy = Button::new(RichText::new(label).color(c.on_accent)).fill(c.accent);
        if ui.add(copy).clicked() {
            ui.ctx().copy_text(invite.to_line().to_string());
            self.copied = Some(Copied::Line);
        }
        weak(ui, w.invite_how);
        weak(ui, &fill(w.they_type, &[&view.title]));
        // The code holds the words as well: it shows when they do, or when there are none.
        if self.words_shown || invite.key.is_none() {
            self.draw_code(ui, invite);
        }
    }

    fn copy_label(&self, what: Copied, otherwise: &'static str, look: Look) -> &'static str {
        if self.copied == Some(what) { look.words.copied } else { otherwise }
    }

    fn draw_code(&mut self, ui: &mut Ui, invite: &Invite) {
        let of = (invite.id.to_string(), invite.key.is_some());
        if self.code.as_ref().is_none_or(|(known, _)| *known != of) {
            self.code = Some((of, Code::of(&invite.to_line())));
        }
        let Some((_, Some(code))) = &self.code else { return };
        let modules = code.side + 2 * QUIET;
        // Whole pixels for each module, so that cameras read it.
        let pixel = 1.0 / ui.pixels_per_point();
        let module = ((ui.available_width().min(260.0) / modules as f32) / pixel).floor().max(1.0) * pixel;
        let (place, _) = ui.allocate_exact_size(vec2(module, module) * modules as f32, Sense::hover());
        let painter = ui.painter();
        painter.rect_filled(place, 0, Color32::WHITE);
        for row in 0..code.side {
            let mut column = 0;
            while column < code.side {
                let length = (column..code.side).take_while(|x| code.is_dark(*x, row)).count();
                if length > 0 {
                    let min = place.min + vec2((column + QUIET) as f32, (row + QUIET) as f32) * module;
                    painter.rect_filled(
                        Rect::from_min_size(min, vec2(length as f32 * module, module)),
                        0,
                        Color32::BLACK,
                    );
                }
                column += length.max(1);
            }
        }
    }
}
