//! The people panel: who is here and how they are, each one's volume just for me, what is received of them, and what the
//! owner and moderators may do.
//!
//! ```text
//! +--------------------------------+
//! | People (9)  Invite  Lock     x |  invite.rs: words, line, QR code
//! | Zed asks to be let in [Admit]..|
//! | (AL) Ada Lovelace (you)  owner |  a press opens what there is to a person:
//! | (B)  Bob              mic bars |    figures, volume, private chat, pin,
//! |      volume ----o---  ...      |    and for moderators: remove, make moderator, hand over
//! +--------------------------------+
//! ```

mod invite;
mod row;

use egui::{Align, Button, Frame, Label, Layout, Margin, Rect, RichText, ScrollArea, TextEdit, Ui, UiBuilder, vec2};

use crate::conference::view::{Command, Decision, Knock, PersonView, Rank, View};
use crate::ui::focus;
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::state::State;
use crate::ui::text::visible;
use crate::ui::words::fill;

/// Height of somebody's row, in points.
const ROW: f32 = 40.0;
/// From so many people on there is a field to find one.
const MANY: usize = 9;

/// Something that is asked about once more before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Put out.
    Remove,
    /// Make the owner.
    HandOver,
}

/// What the panel remembers.
#[derive(Default)]
pub struct Panel {
    find: String,
    /// Whose row is open, by key, and how much higher that makes it.
    open: Option<u64>,
    open_height: f32,
    sure: Option<Deed>,
    invite: invite::Invitation,
}

/// What is asked for beyond commands.
#[derive(Default)]
pub struct Asked {
    /// The panel is to be closed.
    pub closes: bool,
    /// A private chat with the person of this name.
    pub talk_to: Option<String>,
    /// Why the person of this name is not seen.
    pub why: Option<String>,
}

impl Panel {
    /// Shows how others are invited.
    pub fn open_invite(&mut self) {
        if !self.invite.is_open() {
            self.invite.toggle();
        }
    }

    /// Draws the panel.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        place: Rect,
        view: &View,
        state: &mut State,
        look: Look,
        commands: &mut Vec<Command>,
    ) -> Asked {
        let mut asked = Asked::default();
        let inner = place.shrink2(vec2(10.0, 8.0));
        let mut child = ui.new_child(UiBuilder::new().max_rect(inner).id_salt("people"));
        let ui = &mut child;
        asked.closes = self.header(ui, inner.width(), view, look, commands);
        if self.invite.is_open() {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                self.invite.show(ui, view, look);
                focus::follow(ui);
            });
            return asked;
        }
        knocks(ui, &view.knocks, view.rank, look, commands);
        if view.people.len() >= MANY {
            let hint = RichText::new(look.words.find_people).color(look.colours.text_weak);
            ui.add(TextEdit::singleline(&mut self.find).hint_text(hint).desired_width(f32::INFINITY));
        } else {
            self.find.clear();
        }
        ui.add_space(2.0);
        self.rows(ui, view, state, look, commands, &mut asked);
        asked
    }

    fn header(&mut self, ui: &mut Ui, width: f32, view: &View, look: Look, commands: &mut Vec<Command>) -> bool {
        let w = look.words;
        let mut closes = false;
        ui.allocate_ui(vec2(width, 30.0), |ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                closes = icons::button(ui, Icon::Close, w.close, true, look.colours).clicked();
                if !view.open && view.rank != Rank::Member {
                    let (text, tip) = if view.locked { (w.unlock, w.unlock_tip) } else { (w.lock, w.lock_tip) };
                    if ui.button(text).on_hover_text(tip).clicked() {
                        commands.push(Command::Door(Decision::Lock(!view.locked)));
                    }
                }
                if view.invite.is_some() {
                    let button = Button::new(w.invite).selected(self.invite.is_open());
                    if ui.add(button).clicked() {
                        self.invite.toggle();
                    }
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let title = format!("{} ({})", w.people, view.people.len());
                    ui.add(Label::new(RichText::new(title).strong()).truncate());
                });
            });
        });
        closes
    }

    fn rows(
        &mut self,
        ui: &mut Ui,
        view: &View,
        state: &mut State,
        look: Look,
        commands: &mut Vec<Command>,
        asked: &mut Asked,
    ) {
        let wanted = self.find.trim().to_lowercase();
        let people: Vec<&PersonView> = view.people.iter().filter(|p| p.name.to_lowercase().contains(&wanted)).collect();
        if people.is_empty() && !wanted.is_empty() {
            ui.label(RichText::new(look.words.nobody_called).color(look.colours.text_weak));
        }
        let open = self.open.and_then(|key| people.iter().position(|p| p.key == key));
        let opened = if open.is_some() { self.open_height } else { 0.0 };
        let top = |n: usize| n as f32 * ROW + if open.is_some_and(|open| n > open) { opened } else { 0.0 };
        ui.spacing_mut().item_spacing.y = 0.0;
        ScrollArea::vertical().id_salt("rows").auto_shrink([false, false]).show_viewport(ui, |ui, seen| {
            ui.set_height(top(people.len()));
            let origin = ui.max_rect().min;
            let width = ui.max_rect().width() - 12.0;
            for (n, person) in people.iter().enumerate() {
                // One more on either side: the Tab key leads only to what is there.
                if top(n + 2) < seen.top() || top(n) > seen.bottom() + ROW {
                    continue;
                }
                let place = Rect::from_min_size(origin + vec2(0.0, top(n)), vec2(width, ROW));
                let is_open = open == Some(n);
                if row::show(ui, place, person, is_open, look).clicked() {
                    self.open = (!is_open).then_some(person.key);
                    self.sure = None;
                    ui.ctx().request_repaint();
                }
                if is_open {
                    let below =
                        Rect::from_min_size(place.left_bottom(), vec2(width, 1_000.0)).with_min_x(place.left() + 8.0);
                    let mut child = ui.new_child(UiBuilder::new().max_rect(below).id_salt(("person", person.key)));
                    row::details(&mut child, person, view, state, &mut self.sure, look, commands, asked);
                    let height = child.min_rect().height() + 10.0;
                    if (height - self.open_height).abs() > 0.5 {
                        self.open_height = height;
                        ui.ctx().request_repaint();
                    }
                }
            }
            focus::follow(ui);
        });
    }
}

/// Those who wait at the door; members see them as well, and know whom to ask.
fn knocks(ui: &mut Ui, knocks: &[Knock], rank: Rank, look: Look, commands: &mut Vec<Command>) {
    let c = look.colours;
    for knock in knocks {
        let frame = Frame::new().fill(c.own).corner_radius(6).inner_margin(Margin::symmetric(10, 6));
        frame.show(ui, |ui| {
            ui.set_width(ui.available_width());
            let text = fill(look.words.wants_in, &[&visible(&knock.name)]);
            ui.add(Label::new(RichText::new(text).strong()).wrap());
            if rank == Rank::Member {
                return;
            }
            ui.horizontal(|ui| {
                let admit = Button::new(RichText::new(look.words.admit).color(c.on_accent)).fill(c.accent);
                if ui.add(admit).clicked() {
                    commands.push(Command::Door(Decision::Admit(knock.id.clone())));
                }
                if ui.button(look.words.refuse).clicked() {
                    commands.push(Command::Door(Decision::Refuse(knock.id.clone())));
                }
            });
        });
        ui.add_space(4.0);
    }
}
