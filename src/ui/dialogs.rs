//! Small things that open above a control of the toolbar: emoji for everybody, and the question before the last one leaves.
//! Neither holds up anything: the conference goes on behind them.

use egui::{Align2, Area, Button, Context, Id, LayerId, Order, Rect, RichText, Stroke, pos2, vec2};

use crate::conference::view::Command;
use crate::ui::chat::QUICK;
use crate::ui::look::Look;
use crate::ui::overlay::panel;
use crate::ui::state::State;
use crate::ui::text::visible;
use crate::ui::theme;

/// Emoji are of one colour here: smaller than this faces cannot be told apart.
const QUICK_SIZE: f32 = 30.0;
const QUICK_CELL: egui::Vec2 = vec2(46.0, 46.0);
const QUICK_WIDTH: f32 = QUICK.len() as f32 * (QUICK_CELL.x + 2.0);

/// Where something of about `width` opens above a control without leaving the window.
fn above(control: Option<Rect>, toolbar: Rect, width: f32) -> egui::Pos2 {
    let centre = control.map_or(toolbar.center().x, |rect| rect.center().x);
    let half = width / 2.0 + 8.0;
    let x = if toolbar.width() < 2.0 * half {
        toolbar.center().x
    } else {
        centre.clamp(toolbar.left() + half, toolbar.right() - half)
    };
    pos2(x, toolbar.top() - 6.0)
}

/// Emoji that everybody sees on one's tile and in the chat.
pub fn react(
    context: &Context,
    control: Option<Rect>,
    toolbar: Rect,
    state: &mut State,
    look: Look,
    commands: &mut Vec<Command>,
) {
    let at = above(control, toolbar, QUICK_WIDTH + 14.0);
    let opens = opens(context, "react");
    Area::new(Id::new("react")).order(Order::Foreground).pivot(Align2::CENTER_BOTTOM).fixed_pos(at).show(
        context,
        |ui| {
            panel(look).inner_margin(6).show(ui, |ui| {
                ui.spacing_mut().item_spacing = vec2(2.0, 2.0);
                // Only the one with the keyboard has a frame that is seen.
                ui.visuals_mut().widgets.inactive.bg_stroke = Stroke::NONE;
                // In narrow windows in two rows.
                let columns = if toolbar.width() < QUICK_WIDTH + 30.0 { QUICK.len() / 2 } else { QUICK.len() };
                for (row, some) in QUICK.chunks(columns).enumerate() {
                    ui.horizontal(|ui| {
                        for (i, emoji) in some.iter().enumerate() {
                            let text = RichText::new(visible(emoji)).size(QUICK_SIZE);
                            let button = Button::new(text).fill(look.colours.panel);
                            let response = ui.add_sized(QUICK_CELL, button);
                            if row + i == 0 && opens {
                                response.request_focus();
                            }
                            let name = emojis::get(emoji).map_or(*emoji, |e| e.name());
                            if response.on_hover_text(name).clicked() {
                                commands.push(Command::Say((*emoji).to_owned()));
                                state.react = false;
                            }
                        }
                    });
                }
            });
        },
    );
}

/// Whether what has this name was not there before.
fn opens(context: &Context, name: &str) -> bool {
    let layer = LayerId::new(Order::Foreground, Id::new(name));
    !context.memory(|m| m.areas().visible_last_frame(&layer))
}

/// Asks the last one here whether the conference shall end.
pub fn last(
    context: &Context,
    control: Option<Rect>,
    toolbar: Rect,
    state: &mut State,
    look: Look,
    commands: &mut Vec<Command>,
) {
    let at = above(control, toolbar, 320.0);
    let opens = opens(context, "last");
    let w = look.words;
    Area::new(Id::new("last")).order(Order::Foreground).pivot(Align2::CENTER_BOTTOM).fixed_pos(at).show(
        context,
        |ui| {
            panel(look).show(ui, |ui| {
                ui.set_max_width(300.0);
                ui.label(RichText::new(w.last_title).strong());
                ui.label(RichText::new(w.last_text).color(look.colours.text_weak));
                ui.add_space(6.0);
                ui.horizontal(|ui| {
                    let end = Button::new(RichText::new(w.end).color(theme::ON_DARK)).fill(theme::OFF);
                    if ui.add(end).clicked() {
                        commands.push(Command::Leave);
                    }
                    let stay = ui.button(w.stay);
                    // Space is pressed to talk: it must not end anything.
                    if opens {
                        stay.request_focus();
                    }
                    if stay.clicked() {
                        state.leaving = false;
                    }
                });
            });
        },
    );
}
