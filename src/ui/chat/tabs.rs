//! Conversations: everybody, and each group of people who talk among themselves.

use std::collections::BTreeSet;

use egui::{Rect, RichText, ScrollArea, TextEdit, Ui, UiBuilder, vec2};

use super::Panel;
use crate::conference::Quoted;
use crate::conference::talk::Content;
use crate::conference::view::View;
use crate::limits::CHAT_RECIPIENTS_MAX;
use crate::ui::focus;
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::text::visible;
use crate::ui::words::fill;

/// One conversation.
pub struct Tab {
    /// The names of those it is with, sorted; nobody means everybody.
    pub with: Vec<String>,
    /// What is being written.
    pub draft: String,
    /// What that answers.
    pub reply: Option<Quoted>,
    /// Its entries, by their place in the log.
    pub entries: Vec<usize>,
    /// Lines of others that were not seen.
    pub unread: usize,
    seen: u64,
    /// Not among the tabs until more comes.
    pub closed: bool,
    /// Scrolled so far down, in points.
    pub offset: f32,
    /// The entry at the top of what is seen, by number, and how much of it is above.
    pub anchor: Option<(u64, f32)>,
    /// The end is in sight, and stays so when more comes.
    pub stuck: bool,
    /// The line that was picked with keys or mouse, by number.
    pub picked: Option<u64>,
}

impl Default for Tab {
    fn default() -> Self {
        Self {
            with: Vec::new(),
            draft: String::new(),
            reply: None,
            entries: Vec::new(),
            unread: 0,
            seen: 0,
            closed: false,
            offset: 0.0,
            anchor: None,
            stuck: true,
            picked: None,
        }
    }
}

impl Tab {
    /// Whether what comes is seen at once.
    pub fn sees_end(&self) -> bool {
        self.stuck
    }

    /// Everything up to this number is seen.
    pub fn read(&mut self, newest: u64) {
        (self.seen, self.unread) = (newest, 0);
    }

    /// What it is called.
    pub fn name(&self, look: Look) -> String {
        if self.with.is_empty() { look.words.everybody.to_owned() } else { visible(&self.with.join(", ")).into_owned() }
    }
}

/// The tab of those people; made if there is none.
pub fn of(tabs: &mut Vec<Tab>, with: &[String]) -> usize {
    tabs.iter().position(|tab| tab.with == with).unwrap_or_else(|| {
        tabs.push(Tab { with: with.to_vec(), ..Tab::default() });
        tabs.len() - 1
    })
}

/// Puts an entry into its conversation.
fn put(tabs: &mut Vec<Tab>, with: &[String], place: usize, number: u64, own: bool) {
    let tab = of(tabs, with);
    let tab = &mut tabs[tab];
    tab.entries.push(place);
    let new = number > tab.seen;
    tab.unread += usize::from(new && !own);
    tab.closed &= !new;
}

/// Puts each entry of the log where it belongs. `read`: nothing of it counts as not read.
pub fn sort(tabs: &mut Vec<Tab>, view: &View, read: bool) {
    tabs.iter_mut().for_each(|tab| {
        tab.entries.clear();
        tab.unread = 0;
    });
    for (place, entry) in view.talk.entries().iter().enumerate() {
        match &entry.content {
            Content::Line(line) => put(tabs, &line.between(&view.me), place, entry.number, line.message.own),
            Content::Voice(spoken) => put(tabs, &spoken.with, place, entry.number, spoken.own),
            Content::File { own, with, .. } => put(tabs, with, place, entry.number, *own),
            // What did not go as asked is told wherever one is.
            Content::Note { warning: true, .. } => tabs.iter_mut().for_each(|tab| tab.entries.push(place)),
            Content::Note { .. } => tabs[0].entries.push(place),
        }
    }
    if read {
        tabs.iter_mut().for_each(|tab| tab.read(view.talk.newest()));
    }
}

/// The tabs; whether the panel is to be closed.
pub fn bar(ui: &mut Ui, place: Rect, panel: &mut Panel, view: &View, look: Look) -> bool {
    let mut closes = false;
    let mut gone = None;
    let mut child = ui.new_child(UiBuilder::new().max_rect(place).id_salt("tabs"));
    child.horizontal(|ui| {
        let room = (place.width() - 72.0).max(60.0);
        ui.allocate_ui(vec2(room, place.height()), |ui| {
            ScrollArea::horizontal().max_width(room).auto_shrink([true, true]).show(ui, |ui| {
                ui.horizontal(|ui| {
                    for (i, tab) in panel.tabs.iter().enumerate().filter(|(_, tab)| !tab.closed) {
                        let mut name = tab.name(look);
                        if name.chars().count() > 22 {
                            name = name.chars().take(21).chain(['…']).collect();
                        }
                        let chosen = i == panel.current && panel.choosing.is_none();
                        // Not by colour alone: the count stands beside the name.
                        let text = if tab.unread > 0 { format!("{name} ({})", tab.unread) } else { name };
                        let mut text = RichText::new(text);
                        if tab.unread > 0 {
                            text = text.strong().color(look.colours.warning);
                        }
                        let button = egui::Button::selectable(chosen, text);
                        if ui.add(button).on_hover_text(tab.name(look)).clicked() {
                            (panel.current, panel.choosing) = (i, None);
                            panel.wants_focus = true;
                        }
                        let closable = chosen && i > 0 && tab.draft.is_empty();
                        if closable
                            && icons::button(ui, Icon::Close, look.words.close_chat_tip, true, look.colours).clicked()
                        {
                            gone = Some(i);
                        }
                    }
                });
                focus::follow(ui);
            });
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            closes = icons::button(ui, Icon::Close, look.words.close, true, look.colours).clicked();
            let others = view.people.iter().any(|p| !p.me);
            if icons::button(ui, Icon::Plus, look.words.new_chat_tip, others, look.colours).clicked() {
                panel.choosing = if panel.choosing.is_some() { None } else { Some(Choosing::default()) };
            }
        });
    });
    if let Some(gone) = gone {
        let tab = &mut panel.tabs[gone];
        tab.read(view.talk.newest());
        tab.closed = true;
        panel.current = 0;
    }
    closes
}

/// Whom a new conversation shall be with.
#[derive(Default)]
pub struct Choosing {
    find: String,
    chosen: BTreeSet<String>,
    /// Drawn so often, as far as that matters.
    frames: u8,
}

/// Asks for it; the names once they are chosen.
pub fn choose(ui: &mut Ui, place: Rect, choosing: &mut Choosing, view: &View, look: Look) -> Option<Vec<String>> {
    let words = look.words;
    let mut done = None;
    let mut child = ui.new_child(UiBuilder::new().max_rect(place).id_salt("choose"));
    let ui = &mut child;
    ui.label(RichText::new(words.choose_people).strong());
    let field =
        ui.add(TextEdit::singleline(&mut choosing.find).hint_text(words.find_people).desired_width(f32::INFINITY));
    focus::begin(&field, &mut choosing.frames);
    let wanted = choosing.find.to_lowercase();
    let found = |name: &str| name.to_lowercase().contains(&wanted);
    let others: Vec<&str> = view.people.iter().filter(|p| !p.me && found(&p.name)).map(|p| p.name.as_str()).collect();
    ScrollArea::vertical().max_height(place.height() - 100.0).auto_shrink([false, true]).show_rows(
        ui,
        24.0,
        others.len(),
        |ui, rows| {
            for name in &others[rows] {
                let mut chosen = choosing.chosen.contains(*name);
                if ui.checkbox(&mut chosen, visible(name)).changed() {
                    if chosen {
                        choosing.chosen.insert((*name).to_owned())
                    } else {
                        choosing.chosen.remove(*name)
                    };
                }
            }
        },
    );
    if others.is_empty() {
        ui.label(RichText::new(words.nobody_called).color(look.colours.text_weak));
    }
    let count = choosing.chosen.len();
    ui.horizontal(|ui| {
        let possible = (1..=CHAT_RECIPIENTS_MAX).contains(&count);
        let text = format!("{} ({count})", words.begin_chat);
        if ui.add_enabled(possible, egui::Button::new(text)).clicked() {
            done = Some(choosing.chosen.iter().cloned().collect());
        }
    });
    done
}

/// A sentence for those of a conversation who are not here now.
pub fn absent(tab: &Tab, view: &View, look: Look) -> Option<String> {
    let here = |name: &String| view.people.iter().any(|p| p.name == *name);
    let gone: Vec<&str> = tab.with.iter().filter(|name| !here(name)).map(String::as_str).collect();
    (!gone.is_empty()).then(|| fill(look.words.not_here, &[&visible(&gone.join(", "))]))
}
