//! What was said, as a column of lines of which only those in sight are laid out.
//!
//! ```text
//! heights: measured when last seen, else estimated --> where each line begins
//! anchor (line at the top, part of it above) --> where to scroll when anything above has changed
//! ```

use std::collections::HashMap;

use egui::text::LayoutJob;
use egui::{
    Align, Color32, FontId, Key, Label, Layout, Modifiers, Rect, RichText, ScrollArea, Sense, Stroke, TextFormat,
};
use egui::{Ui, UiBuilder, WidgetInfo, WidgetType, pos2, vec2};

use super::{tabs::Tab, voice};
use crate::conference::Quoted;
use crate::conference::talk::{Content, Entry, Line, Talk};
use crate::conference::view::{Command, View, VoiceAsk};
use crate::device::clock;
use crate::time::NtpTime;
use crate::ui::files::Cards;
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::text::{Part, is_emoji, parts, visible};
use crate::ui::words::fill;

/// Lines of one person within this many seconds stand under one name.
const TOGETHER_S: u64 = 120;
/// Space below a line, in points.
const BELOW: f32 = 4.0;

/// What is known of an entry from when it was last seen.
#[derive(Clone)]
struct Measured {
    /// For which width, revision and kind of beginning.
    of: (u32, u32, Begins),
    height: f32,
}

/// How an entry begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begins {
    date: bool,
    name: bool,
}

/// Heights and times of entries, by number.
#[derive(Default)]
pub struct Heights {
    measured: HashMap<u64, Measured>,
    times: HashMap<u64, (String, String)>,
}

impl Heights {
    /// Forgets what is no longer in the log.
    pub fn forget(&mut self, talk: &Talk) {
        if self.times.len() > 2 * talk.entries().len() + 16 {
            self.times.clear();
            self.measured.clear();
        }
    }

    /// Date and time of day of an entry.
    fn time(&mut self, entry: &Entry) -> &(String, String) {
        self.times.entry(entry.number).or_insert_with(|| {
            let local = clock::local(at(entry));
            (local.date, local.time.chars().take(5).collect())
        })
    }

    fn height(&self, entry: &Entry, width: u32, begins: Begins) -> f32 {
        match self.measured.get(&entry.number) {
            // Of another width or revision it is still the best guess.
            Some(measured) if measured.of.0 == width => measured.height,
            _ => estimate(entry, width, begins),
        }
    }
}

fn at(entry: &Entry) -> NtpTime {
    match &entry.content {
        Content::Line(line) => line.message.at,
        Content::Note { at, .. } | Content::File { at, .. } => *at,
        Content::Voice(spoken) => spoken.at,
    }
}

fn estimate(entry: &Entry, width: u32, begins: Begins) -> f32 {
    let text = match &entry.content {
        Content::Line(line) => &*line.message.text,
        Content::Note { text, .. } => text,
        Content::File { .. } => "\n\n\n\n",
        Content::Voice(spoken) => &spoken.from,
    };
    let a_row = (width as usize / 7).max(8);
    let rows: usize = text.lines().map(|line| 1 + line.len() / a_row).sum();
    let reply = entry.line().is_some_and(|line| line.message.reply.is_some());
    let voice = if matches!(entry.content, Content::Voice(_)) { 28.0 } else { 0.0 };
    voice + 17.0 * (rows.max(1) + usize::from(begins.name) + usize::from(begins.date) + usize::from(reply)) as f32 + 8.0
}

/// What is asked for at a line.
pub enum Wish {
    /// Answer it.
    Reply(Quoted),
    /// React to the line of this id with an emoji to be chosen.
    Choose(String),
    /// React to it with this one.
    React(String, String),
    /// Hear or save a voice message.
    Voice(VoiceAsk),
    /// Back to what is being written.
    Write,
}

/// What came of showing the lines.
#[derive(Default)]
pub struct Asked {
    /// What is asked for.
    pub wish: Option<Wish>,
    /// A line has the keyboard.
    pub focused: bool,
    /// What files are to do.
    pub commands: Vec<Command>,
}

/// Shows a conversation.
pub fn show(
    ui: &mut Ui,
    place: Rect,
    tab: &mut Tab,
    heights: &mut Heights,
    cards: &mut Cards,
    view: &View,
    look: Look,
) -> Asked {
    let mut asked = Asked::default();
    let entries = view.talk.entries();
    if tab.entries.iter().all(|i| *i >= entries.len()) {
        empty(ui, place, tab, look);
        return asked;
    }
    let width = (place.width() - 14.0).max(60.0);
    let begins = beginnings(tab, entries, heights);
    let mut tops = Vec::with_capacity(tab.entries.len() + 1);
    let mut y = 0.0;
    for (i, begins) in tab.entries.iter().zip(&begins) {
        tops.push(y);
        y += heights.height(&entries[*i], width as u32, *begins) + BELOW;
    }
    tops.push(y);
    let number = |n: usize| entries[tab.entries[n]].number;
    let count = tab.entries.len();
    let mut area =
        ScrollArea::vertical().id_salt(("lines", &tab.with)).auto_shrink([false, false]).stick_to_bottom(true);
    // Where the line that was at the top is now.
    if let (false, Some((anchor, above))) = (tab.stuck, tab.anchor)
        && let Some(n) = (0..count).find(|n| number(*n) == anchor)
        && (tops[n] + above - tab.offset).abs() > 0.5
    {
        area = area.vertical_scroll_offset(tops[n] + above);
    } else if tab.stuck {
        area = area.vertical_scroll_offset((y - place.height()).max(0.0));
    }
    let mut child = ui.new_child(UiBuilder::new().max_rect(place).id_salt("log"));
    let mut remeasured = false;
    let out = area.show_viewport(&mut child, |ui, viewport| {
        ui.set_height(y);
        let origin = ui.max_rect().min;
        let first = tops.partition_point(|top| *top <= viewport.top()).saturating_sub(1);
        for n in first..count {
            if tops[n] > viewport.bottom() {
                break;
            }
            let entry = &entries[tab.entries[n]];
            let at = Rect::from_min_size(origin + vec2(0.0, tops[n]), vec2(width, tops[n + 1] - tops[n] - BELOW));
            let height = one(ui, at, entry, begins[n], tab.picked, heights, view, look, &mut asked, cards);
            let of = (width as u32, entry.revision, begins[n]);
            let known = heights.measured.insert(entry.number, Measured { of, height });
            remeasured |=
                known.is_none_or(|known| (known.height - height).abs() > 0.5) && (height - at.height()).abs() > 0.5;
        }
    });
    if remeasured {
        ui.ctx().request_repaint();
    }
    tab.offset = out.state.offset.y;
    tab.stuck = tab.offset + out.inner_rect.height() >= y - 6.0;
    let top = tops[..count].partition_point(|top| *top <= tab.offset).saturating_sub(1);
    tab.anchor = Some((number(top), tab.offset - tops[top]));
    pick_with_keys(ui, tab, entries, &mut asked);
    newest(ui, place, tab, look);
    asked
}

fn empty(ui: &mut Ui, place: Rect, tab: &Tab, look: Look) {
    let text = match tab.with.is_empty() {
        true => look.words.chat_empty.to_owned(),
        false => fill(look.words.chat_empty_private, &[&tab.name(look)]),
    };
    let mut child = ui.new_child(UiBuilder::new().max_rect(place).layout(Layout::top_down(Align::Center)));
    child.add_space((place.height() / 2.0 - 30.0).max(0.0));
    child.label(RichText::new(text).color(look.colours.text_weak));
}

/// Which entries begin with a date, and which with a name.
fn beginnings(tab: &Tab, entries: &[std::sync::Arc<Entry>], heights: &mut Heights) -> Vec<Begins> {
    let mut before: Option<&Entry> = None;
    let mut date = String::new();
    let mut all = Vec::with_capacity(tab.entries.len());
    for entry in tab.entries.iter().map(|i| &*entries[*i]) {
        let day = &heights.time(entry).0;
        let new_day = *day != date;
        if new_day {
            date.clone_from(day);
        }
        let same = |a: &Line, b: &Line| {
            let apart = b.message.at.to_unix().as_secs().abs_diff(a.message.at.to_unix().as_secs());
            a.message.member == b.message.member
                && apart <= TOGETHER_S
                && !a.message.action
                && b.message.reply.is_none()
        };
        let goes_on =
            before.and_then(Entry::line).zip(entry.line()).is_some_and(|(a, b)| same(a, b) && !b.message.late);
        all.push(Begins { date: new_day, name: new_day || !goes_on });
        before = Some(entry);
    }
    all
}

/// Draws one entry at its place; how high it is.
#[allow(clippy::too_many_arguments, reason = "a line, where it stands, and what it is drawn with")]
fn one(
    ui: &mut Ui,
    place: Rect,
    entry: &Entry,
    begins: Begins,
    picked: Option<u64>,
    heights: &mut Heights,
    view: &View,
    look: Look,
    asked: &mut Asked,
    cards: &mut Cards,
) -> f32 {
    let (date, time) = heights.time(entry).clone();
    let c = look.colours;
    let id = line_id(entry.number);
    // Only what can be answered is a stop of the Tab key.
    let sense = if entry.line().is_some() { Sense::click() } else { Sense::hover() };
    let response = ui.interact(place.expand2(vec2(2.0, 1.0)), id, sense);
    if let Some(line) = entry.line() {
        let described = || format!("{}: {}", visible(&line.message.from), visible(&line.message.text));
        response.widget_info(|| WidgetInfo::labeled(WidgetType::Other, true, described()));
    }
    let hovered = ui.rect_contains_pointer(place.expand2(vec2(2.0, BELOW / 2.0)));
    let chosen = entry.line().is_some() && (picked == Some(entry.number) || response.has_focus());
    if chosen {
        ui.painter().rect_filled(place.expand2(vec2(4.0, 2.0)), 4, c.own);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(place.expand2(vec2(4.0, 2.0)), 4, Stroke::new(2.0, c.focus), egui::StrokeKind::Inside);
    }
    let whole = Rect::from_min_size(place.min, vec2(place.width(), 100_000.0));
    let mut child =
        ui.new_child(UiBuilder::new().max_rect(whole).id_salt(entry.number).layout(Layout::top_down(Align::Min)));
    child.spacing_mut().item_spacing = vec2(6.0, 1.0);
    child.style_mut().interaction.selectable_labels = true;
    if begins.date {
        child.vertical_centered(|ui| ui.label(RichText::new(date).small().color(c.text_weak)));
    }
    match &entry.content {
        Content::File { offer, .. } => match view.files.iter().find(|file| file.offer == *offer) {
            Some(file) => {
                child.set_max_width(place.width());
                cards.show(&mut child, file, look, &mut asked.commands);
            }
            None => drop(child.label(RichText::new(look.words.file_gone).color(c.text_weak))),
        },
        Content::Note { text, warning, .. } => {
            let colour = if *warning { c.warning } else { c.text_weak };
            let sign = if *warning { "! " } else { "" };
            let text = format!("{time}  {sign}{}", visible(&look.words.report(text)));
            child.add(Label::new(RichText::new(text).size(13.0).color(colour)).wrap());
        }
        Content::Voice(spoken) => voice::line(&mut child, spoken, &time, view, look, asked),
        Content::Line(line) => {
            said(&mut child, line, &time, begins.name, look, asked);
            if hovered || chosen {
                actions(ui, place, line, look, asked);
            }
            if response.has_focus() {
                asked.focused = true;
                keys(ui, id, line, asked);
            }
        }
    }
    child.min_rect().height()
}

fn line_id(number: u64) -> egui::Id {
    egui::Id::new(("chat line", number))
}

fn said(ui: &mut Ui, line: &Line, time: &str, named: bool, look: Look, asked: &mut Asked) {
    let (c, words, message) = (look.colours, look.words, &line.message);
    if named && !message.action {
        ui.horizontal(|ui| {
            let colour = if message.own { c.own_text } else { c.name(&message.member) };
            ui.add(Label::new(RichText::new(visible(&message.from)).strong().color(colour)).truncate());
            ui.label(RichText::new(time).small().color(c.text_weak));
            if message.late {
                ui.label(RichText::new(words.came_late).small().color(c.text_weak));
            }
        });
    }
    if let Some(quoted) = &message.reply {
        quote(ui, quoted, look);
    }
    let body = if message.own { c.own_text } else { c.text };
    let text = visible(message.text.trim_end());
    if message.action {
        action(ui, line, time, &text, look);
    } else if is_emoji(&message.text) {
        ui.label(RichText::new(text.trim()).size(30.0).color(c.text));
    } else {
        let parts = parts(&text);
        if parts.iter().all(|part| matches!(part, Part::Plain(_))) {
            ui.add(Label::new(RichText::new(&*text).color(body)).wrap());
        } else {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(0.0, 1.0);
                for part in parts {
                    match part {
                        Part::Plain(text) => drop(ui.add(Label::new(RichText::new(text).color(body)).wrap())),
                        Part::Link(link) => link_to(ui, link, look),
                    }
                }
            });
        }
    }
    below(ui, line, look, asked);
}

fn link_to(ui: &mut Ui, link: &str, look: Look) {
    let text = RichText::new(link).color(look.colours.link).underline();
    let response = ui.add(egui::Link::new(text));
    if response.clicked() {
        ui.ctx().open_url(egui::OpenUrl::new_tab(link));
    }
    response.on_hover_text(fill(look.words.open_link_tip, &[&link]));
}

fn action(ui: &mut Ui, line: &Line, time: &str, text: &str, look: Look) {
    let c = look.colours;
    let mut job = LayoutJob::default();
    let format = |colour: Color32, italics| TextFormat {
        font_id: FontId::proportional(14.0),
        color: colour,
        italics,
        ..Default::default()
    };
    let name = if line.message.own { c.own_text } else { c.name(&line.message.member) };
    job.append(&format!("* {} ", visible(&line.message.from)), 0.0, format(name, true));
    job.append(text, 0.0, format(if line.message.own { c.own_text } else { c.text }, true));
    let small = TextFormat { font_id: FontId::proportional(12.0), color: c.text_weak, ..Default::default() };
    job.append(&format!("  {time}"), 0.0, small);
    ui.add(Label::new(job).wrap());
}

fn quote(ui: &mut Ui, quoted: &Quoted, look: Look) {
    let c = look.colours;
    let text = format!("{}: {}", visible(&quoted.from), visible(&quoted.text).replace('\n', " "));
    let response = ui
        .horizontal(|ui| {
            ui.add_space(8.0);
            ui.add(Label::new(RichText::new(text).size(13.0).color(c.text_weak)).truncate());
        })
        .response;
    let bar = Rect::from_min_size(response.rect.min, vec2(3.0, response.rect.height()));
    ui.painter().rect_filled(bar, 1, c.line);
}

/// Reactions, and what became of a line of one's own.
fn below(ui: &mut Ui, line: &Line, look: Look, asked: &mut Asked) {
    let (c, words) = (look.colours, look.words);
    if !line.reactions.is_empty() {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().button_padding = vec2(6.0, 1.0);
            ui.spacing_mut().interact_size.y = 20.0;
            for reacted in &line.reactions {
                let text = format!("{} {}", visible(&reacted.emoji), reacted.names.len());
                let button = egui::Button::selectable(reacted.own, RichText::new(text).size(13.0)).frame(true);
                let names = visible(&reacted.names.join(", ")).into_owned();
                // One's own stays: there is no taking back.
                let button = if reacted.own { button.sense(Sense::hover()) } else { button };
                if ui.add(button).on_hover_text(names).clicked() {
                    asked.wish = Some(Wish::React(line.message.id.clone(), reacted.emoji.clone()));
                }
            }
        });
    }
    if !line.message.own {
        return;
    }
    let (text, colour) = match (line.unheard, line.delivered) {
        (true, _) => (format!("! {}", words.unheard), c.warning),
        (false, Some((have, present))) if have >= present && present > 0 => {
            (format!("✔ {}", words.delivered_all), c.text_weak)
        }
        (false, Some((have, present))) => (fill(words.delivered, &[&have, &present]), c.text_weak),
        (false, None) => return,
    };
    ui.label(RichText::new(text).size(12.0).color(colour));
}

/// What can be done with a line, at its upper right.
fn actions(ui: &mut Ui, place: Rect, line: &Line, look: Look, asked: &mut Asked) {
    let (c, words) = (look.colours, look.words);
    let size = vec2(3.0 * 28.0 + 2.0 * 3.0, 26.0);
    let at = Rect::from_min_size(pos2(place.right() - size.x - 2.0, place.top() - 6.0), size);
    let mut child = ui.new_child(
        UiBuilder::new()
            .max_rect(at)
            .id_salt(("actions", &line.message.id))
            .layout(Layout::left_to_right(Align::Center)),
    );
    child.spacing_mut().item_spacing.x = 3.0;
    child.painter().rect_filled(at.expand(3.0), 8, c.panel);
    if icons::button(&mut child, Icon::Smile, words.react_line_tip, true, c).clicked() {
        asked.wish = Some(Wish::Choose(line.message.id.clone()));
    }
    if icons::button(&mut child, Icon::Reply, words.reply_tip, true, c).clicked() {
        asked.wish = Some(Wish::Reply(quoted(line)));
    }
    if icons::button(&mut child, Icon::Copy, words.copy_tip, true, c).clicked() {
        child.ctx().copy_text(line.message.text.clone());
    }
}

fn quoted(line: &Line) -> Quoted {
    let begin: String = line.message.text.lines().next().unwrap_or_default().chars().take(60).collect();
    Quoted { id: line.message.id.clone(), from: line.message.from.clone(), text: begin }
}

/// Keys while a line has the focus.
fn keys(ui: &Ui, id: egui::Id, line: &Line, asked: &mut Asked) {
    ui.memory_mut(|m| {
        let vertical = egui::EventFilter { vertical_arrows: true, ..Default::default() };
        m.set_focus_lock_filter(id, vertical);
    });
    let pressed = |key| ui.input(|i| i.key_pressed(key) && i.modifiers == Modifiers::NONE);
    if pressed(Key::R) {
        asked.wish = Some(Wish::Reply(quoted(line)));
    } else if pressed(Key::E) {
        asked.wish = Some(Wish::Choose(line.message.id.clone()));
    } else if ui.input(|i| i.events.contains(&egui::Event::Copy)) {
        ui.ctx().copy_text(line.message.text.clone());
    }
}

/// Up from an empty draft picks the last line, up and down the next; beyond the last one writes again.
fn pick_with_keys(ui: &Ui, tab: &mut Tab, entries: &[std::sync::Arc<Entry>], asked: &mut Asked) {
    let focused = ui.memory(|m| m.focused());
    let lines: Vec<u64> =
        tab.entries.iter().map(|i| &entries[*i]).filter(|e| e.line().is_some()).map(|e| e.number).collect();
    let current = lines.iter().position(|n| focused == Some(line_id(*n)));
    if focused.is_some()
        && current.is_none()
        && tab.picked.is_some()
        && !focused.is_some_and(|id| id == super::compose::draft_id())
    {
        return;
    }
    let pressed = |key| ui.input(|i| i.key_pressed(key) && i.modifiers == Modifiers::NONE);
    let writes = focused == Some(super::compose::draft_id()) && tab.draft.is_empty();
    let next = match current {
        Some(n) if pressed(Key::ArrowUp) => n.saturating_sub(1),
        Some(n) if pressed(Key::ArrowDown) => n + 1,
        Some(_) => return,
        None if writes && pressed(Key::ArrowUp) && !lines.is_empty() => lines.len() - 1,
        None => {
            tab.picked = None;
            return;
        }
    };
    match lines.get(next) {
        Some(number) => {
            tab.picked = Some(*number);
            ui.memory_mut(|m| m.request_focus(line_id(*number)));
            show_picked(tab, entries, *number);
        }
        None => {
            tab.picked = None;
            asked.wish = Some(Wish::Write);
        }
    }
    ui.ctx().request_repaint();
}

/// A line that is picked stays in sight: if it is above, it becomes the first.
fn show_picked(tab: &mut Tab, entries: &[std::sync::Arc<Entry>], number: u64) {
    let Some((anchor, _)) = tab.anchor else { return };
    let place = |n: u64| tab.entries.iter().position(|i| entries[*i].number == n);
    if place(number) <= place(anchor) {
        (tab.anchor, tab.stuck) = (Some((number, 0.0)), false);
        tab.offset = -1.0;
    }
}

/// The way back to the end, while it is not in sight.
fn newest(ui: &mut Ui, place: Rect, tab: &mut Tab, look: Look) {
    if tab.stuck {
        return;
    }
    let text = match tab.unread {
        0 => format!("⬇ {}", look.words.to_newest),
        n => format!("⬇ {}", fill(look.words.new_below, &[&n])),
    };
    let at = Rect::from_min_size(pos2(place.center().x - 90.0, place.bottom() - 32.0), vec2(180.0, 28.0));
    let mut child =
        ui.new_child(UiBuilder::new().max_rect(at).id_salt("newest").layout(Layout::top_down(Align::Center)));
    let text = RichText::new(text).color(look.colours.on_accent);
    if child.add(egui::Button::new(text).fill(look.colours.accent)).clicked() {
        tab.stuck = true;
        child.ctx().request_repaint();
    }
}
