//! The line one writes, and the emoji for it.

use egui::{
    Align, Button, Frame, Id, Key, KeyboardShortcut, Layout, Margin, Modifiers, Rect, RichText, ScrollArea, Sense,
};
use egui::{Stroke, TextEdit, Ui, UiBuilder, pos2, vec2};
use emojis::Emoji;

use super::{Panel, tabs, voice};
use crate::conference::emoji::with_emoji;
use crate::conference::view::{Command, View};
use crate::limits::CHAT_TEXT_BYTES_MAX;
use crate::ui::focus;
use crate::ui::fonts::is_shown;
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::text::visible;
use crate::ui::words::fill;

/// Emoji that are shown to everybody with one press.
pub const QUICK: [&str; 8] = ["👍", "👏", "❤", "😂", "😮", "🎉", "😢", "👋"];
const COLUMNS: usize = 8;
const CELL: f32 = 34.0;

/// Where the keyboard goes when one writes.
pub fn draft_id() -> Id {
    Id::new("chat draft")
}

/// Draws what stands below the lines.
pub fn show(ui: &mut Ui, panel: &mut Panel, view: &View, look: Look, commands: &mut Vec<Command>) {
    let (c, words) = (look.colours, look.words);
    let wants_focus = std::mem::take(&mut panel.wants_focus);
    ui.spacing_mut().item_spacing.y = 4.0;
    voice::strip(ui, panel, view, look, commands);
    let tab = &mut panel.tabs[panel.current];
    if let Some(text) = tabs::absent(tab, view, look) {
        ui.add(egui::Label::new(RichText::new(format!("! {text}")).size(13.0).color(c.warning)).wrap());
    }
    if let Some(quoted) = &tab.reply {
        let text = fill(words.replying_to, &[&visible(&quoted.from), &visible(&quoted.text)]);
        let mut goes = false;
        ui.horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                goes = icons::button(ui, Icon::Close, words.cancel, true, c).clicked();
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.add(egui::Label::new(RichText::new(text).size(13.0).color(c.text_weak)).truncate());
                });
            });
        });
        if goes {
            tab.reply = None;
        }
    }
    let excess = tab.draft.len().saturating_sub(CHAT_TEXT_BYTES_MAX);
    if excess > 0 {
        ui.label(RichText::new(format!("! {}", fill(words.too_long, &[&excess]))).size(13.0).color(c.warning));
    }
    let hint = match tab.with.is_empty() {
        true => words.write_everybody.to_owned(),
        false => fill(words.write_to, &[&tab.name(look)]),
    };
    // Enter sends before the field sees it.
    let writes = ui.memory(|m| m.focused()) == Some(draft_id());
    let plain = ui.input(|i| i.modifiers.is_none());
    let mut sends = writes && plain && ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Enter));
    let (mut toggles, mut sends_file) = (false, false);
    let rows = tab.draft.split('\n').count().clamp(1, 5);
    let height = 30.0 + 17.0 * (rows - 1) as f32;
    ui.horizontal(|ui| {
        toggles = icons::button(ui, Icon::Smile, words.emoji_tip, true, c).clicked();
        sends_file = icons::button(ui, Icon::Clip, words.send_file_tip, true, c).clicked();
        voice::button(ui, panel, view, look, commands);
        let tab = &mut panel.tabs[panel.current];
        let width = ui.available_width() - 28.0 - ui.spacing().item_spacing.x;
        let edit = TextEdit::multiline(&mut tab.draft)
            .id(draft_id())
            .hint_text(RichText::new(hint).color(c.text_weak))
            .desired_rows(rows)
            .desired_width(f32::INFINITY)
            .margin(Margin::symmetric(8, 6))
            .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter));
        let (place, _) = ui.allocate_exact_size(vec2(width, height), Sense::hover());
        let mut field =
            ui.new_child(UiBuilder::new().max_rect(place).id_salt("draft").layout(Layout::top_down(Align::Min)));
        let out = ScrollArea::vertical().max_height(height).show(&mut field, |ui| ui.add(edit));
        if wants_focus {
            out.inner.request_focus();
        }
        let possible = !tab.draft.trim().is_empty() && excess == 0;
        sends |= icons::button(ui, Icon::Send, words.send_tip, possible, c).clicked();
    });
    panel.sends_file |= sends_file;
    if toggles {
        panel.picker = if panel.picker.is_some() { None } else { Some(Picker::default()) };
    }
    if sends {
        send(panel, commands);
        panel.wants_focus = true;
        ui.ctx().request_repaint();
    }
}

fn send(panel: &mut Panel, commands: &mut Vec<Command>) {
    let tab = &mut panel.tabs[panel.current];
    if tab.draft.trim().is_empty() || tab.draft.len() > CHAT_TEXT_BYTES_MAX {
        return;
    }
    let text = with_emoji(std::mem::take(&mut tab.draft).trim_end());
    commands.push(match (tab.reply.take(), tab.with.is_empty()) {
        (Some(quoted), _) => Command::Reply(quoted.id, text),
        (None, true) => Command::Say(text),
        (None, false) => Command::Whisper(tab.with.clone(), text),
    });
    // Who writes wants to see it.
    tab.stuck = true;
    panel.picker = None;
}

/// The emoji to choose from.
#[derive(Default)]
pub struct Picker {
    /// The line it is for; none means what is being written.
    line: Option<String>,
    find: String,
    /// Those that can be shown, of what is looked for, with so many fonts.
    found: Option<((String, usize), Vec<&'static Emoji>)>,
    /// Drawn so often, as far as that matters.
    frames: u8,
}

impl Picker {
    /// For a reaction to the line of this id.
    pub fn for_line(id: String) -> Self {
        Self { line: Some(id), ..Self::default() }
    }

    fn found(&mut self, ui: &Ui) -> &[&'static Emoji] {
        // Another font shows more.
        let fonts = ui.ctx().fonts(|fonts| fonts.definitions().font_data.len());
        let wanted = self.find.trim().to_lowercase();
        if self.found.as_ref().is_none_or(|((of, with), _)| *of != wanted || *with != fonts) {
            let named = |e: &&Emoji| e.name().contains(&wanted) || e.shortcodes().any(|code| code.contains(&wanted));
            // What the fonts at hand show as one sign: no families, flags and skins.
            let single = |e: &&Emoji| {
                let shown = visible(e.as_str());
                let mut chars = shown.chars();
                chars.next().is_some_and(|c| chars.next().is_none() && is_shown(ui.ctx(), c))
            };
            let all = emojis::iter().filter(named).filter(single).collect();
            self.found = Some(((wanted, fonts), all));
        }
        self.found.as_ref().map_or(&[], |(_, all)| all)
    }
}

/// Draws the emoji to choose from, above what one writes, while they are open.
pub fn picker(ui: &mut Ui, inner: Rect, bottom: f32, panel: &mut Panel, look: Look, commands: &mut Vec<Command>) {
    let Some(mut picker) = panel.picker.take() else { return };
    let (c, words) = (look.colours, look.words);
    let height = 250.0_f32.min(bottom - inner.top() - 8.0).max(90.0);
    let size = vec2(COLUMNS as f32 * CELL + 30.0, height);
    let at = Rect::from_min_size(pos2(inner.left(), bottom - height - 4.0), size.min(vec2(inner.width(), height)));
    let (mut chosen, mut closes, mut entered) = (None, false, false);
    let mut child = ui.new_child(UiBuilder::new().max_rect(at).id_salt("picker"));
    Frame::new().fill(c.panel).stroke(Stroke::new(1.0, c.line)).corner_radius(8).inner_margin(8).show(
        &mut child,
        |ui| {
            ui.set_min_size(at.size() - vec2(18.0, 18.0));
            ui.horizontal(|ui| {
                let field = TextEdit::singleline(&mut picker.find)
                    .hint_text(RichText::new(words.find_emoji).color(c.text_weak))
                    .desired_width(at.width() - 70.0);
                let field = ui.add(field);
                focus::begin(&field, &mut picker.frames);
                // Enter leaves the field, and takes the first emoji.
                entered = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
                closes = icons::button(ui, Icon::Close, words.close, true, c).clicked();
            });
            let found = picker.found(ui);
            if entered {
                chosen = found.first().copied();
            }
            if found.is_empty() {
                ui.label(RichText::new(words.no_emoji).color(c.text_weak));
            }
            let columns = (((at.width() - 34.0) / CELL) as usize).max(1);
            let rows = found.len().div_ceil(columns);
            ui.spacing_mut().item_spacing = vec2(0.0, 0.0);
            // Of the cells only the one with the keyboard has a frame that is seen.
            ui.visuals_mut().widgets.inactive.bg_stroke = Stroke::NONE;
            ScrollArea::vertical().auto_shrink([false, false]).show_rows(ui, CELL, rows, |ui, shown| {
                for row in shown {
                    ui.horizontal(|ui| {
                        for emoji in found.iter().skip(row * columns).take(columns) {
                            let text = RichText::new(visible(emoji.as_str())).size(20.0);
                            let button = Button::new(text).frame(true).fill(c.panel);
                            if ui.add_sized(vec2(CELL, CELL), button).on_hover_text(emoji.name()).clicked() {
                                chosen = Some(*emoji);
                            }
                        }
                    });
                }
                focus::follow(ui);
            });
        },
    );
    match (chosen, &picker.line) {
        (Some(emoji), Some(line)) => commands.push(Command::React(line.clone(), emoji.as_str().to_owned())),
        (Some(emoji), None) => {
            panel.tabs[panel.current].draft.push_str(emoji.as_str());
            // Several may be wanted, so it stays open.
            panel.picker = Some(picker);
        }
        (None, _) if !closes => panel.picker = Some(picker),
        (None, _) => panel.wants_focus = true,
    }
}
