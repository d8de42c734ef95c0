//! The two bars: what this is (above), and what one can do (below). Every control has a key and a tooltip that names it.

use std::sync::Arc;

use egui::{Align2, Color32, FontId, Galley, Painter, Rect, Response, Sense, Ui, WidgetInfo, WidgetType, pos2, vec2};

use crate::conference::view::View;
use crate::ui::files;
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::state::{Action, Panel, State, has_me, may_call, may_mute};
use crate::ui::text::one_line;
use crate::ui::theme;
use crate::ui::words::fill;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Open panel.
    Selected,
    /// Something is off.
    Off,
    Leave,
}

struct Control {
    action: Action,
    icon: Icon,
    label: &'static str,
    tooltip: String,
    kind: Kind,
    enabled: bool,
    /// So many things wait behind it.
    count: usize,
    /// Its words stay when there is little room.
    dear: bool,
    /// It never shows its words: what is seldom needed leaves the room to others.
    bare: bool,
    /// Whether it is switched on, for those who do not see it.
    on: Option<bool>,
}

impl Control {
    fn new(action: Action, icon: Icon, label: &'static str, tooltip: &str) -> Self {
        Self {
            action,
            icon,
            label,
            tooltip: tooltip.to_owned(),
            kind: Kind::Plain,
            enabled: true,
            count: 0,
            dear: false,
            bare: false,
            on: None,
        }
    }

    /// Shows and says whether what it opens is open.
    fn selected(self, selected: bool) -> Self {
        Self { kind: if selected { Kind::Selected } else { self.kind }, on: Some(selected), ..self }
    }

    fn enabled(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    fn kind(self, kind: Kind) -> Self {
        Self { kind, dear: true, ..self }
    }
}

fn controls(view: &View, state: &State, unread: usize, look: Look) -> Vec<Control> {
    let w = look.words;
    let mut all = Vec::with_capacity(14);
    if has_me(view) {
        all.push(match (view.has_microphone, view.muted) {
            (false, muted) if !muted || !may_mute(view) => {
                Control::new(Action::Mute, Icon::MicrophoneOff, w.mute, w.no_microphone).enabled(may_mute(view))
            }
            (_, true) => Control::new(Action::Mute, Icon::MicrophoneOff, w.unmute, w.microphone_on_tip).kind(Kind::Off),
            (_, false) => Control::new(Action::Mute, Icon::Microphone, w.mute, w.microphone_off_tip),
        });
        all.push(match (view.has_camera, view.camera_on) {
            (false, _) => Control::new(Action::Camera, Icon::CameraOff, w.camera, w.no_camera).enabled(false),
            (true, false) => {
                Control::new(Action::Camera, Icon::CameraOff, w.start_camera, w.camera_on_tip).kind(Kind::Off)
            }
            (true, true) => Control::new(Action::Camera, Icon::Camera, w.stop_camera, w.camera_off_tip),
        });
        all.push(match view.attention.hand {
            true => Control {
                kind: Kind::Selected,
                ..Control::new(Action::Hand, Icon::Hand, w.lower_hand, w.lower_hand_tip)
            },
            false => Control::new(Action::Hand, Icon::Hand, w.raise_hand, w.raise_hand_tip),
        });
        let calls = view.attention.priority;
        if calls || may_call(view) {
            let tip = if calls { w.call_end_tip } else { w.call_tip };
            all.push(Control::new(Action::Call, Icon::Megaphone, w.priority, tip).selected(calls).bare());
        }
    }
    all.push(Control::new(Action::React, Icon::Smile, w.react, w.react_tip).selected(state.react));
    let tip = if unread > 0 { fill(w.chat_unread_tip, &[&unread]) } else { w.chat_tip.to_owned() };
    let chat = Action::Panel(Panel::Chat);
    let open = |panel| state.panel == Some(panel);
    all.push(Control { count: unread, ..Control::new(chat, Icon::Chat, w.chat, &tip).selected(open(Panel::Chat)) });
    let knocks = view.knocks.len();
    let tip = if knocks > 0 { fill(w.people_knock_tip, &[&knocks]) } else { w.people_tip.to_owned() };
    let people = Action::Panel(Panel::People);
    all.push(Control {
        count: knocks,
        ..Control::new(people, Icon::People, w.people, &tip).selected(open(Panel::People))
    });
    let offered = files::open(view);
    let tip = if offered > 0 { fill(w.files_open_tip, &[&offered]) } else { w.files_tip.to_owned() };
    let control = Control::new(Action::Panel(Panel::Files), Icon::File, w.files, &tip).selected(open(Panel::Files));
    all.push(Control { count: offered, ..control });
    let large = state.speaker || state.pinned.is_some();
    let (icon, tip) = if large { (Icon::Grid, w.view_grid_tip) } else { (Icon::Speaker, w.view_speaker_tip) };
    all.push(Control { on: Some(large), ..Control::new(Action::Arrange, icon, w.view, tip) });
    if state.pages > 1 {
        all.push(Control::new(Action::Back, Icon::Back, "", w.page_back_tip).enabled(state.page > 0));
        all.push(Control::new(Action::Forward, Icon::Forward, "", w.page_on_tip).enabled(state.page + 1 < state.pages));
    }
    all.push(
        Control::new(Action::Statistics, Icon::Statistics, w.statistics, w.statistics_tip)
            .selected(state.statistics)
            .bare(),
    );
    let settings = Action::Panel(Panel::Settings);
    all.push(Control::new(settings, Icon::Settings, w.settings, w.settings_tip).selected(open(Panel::Settings)).bare());
    all.push(Control::new(Action::Help, Icon::Help, w.keys, w.keys_tip).selected(state.help).bare());
    all.push(Control::new(Action::Leave, Icon::Leave, w.leave, w.leave_tip).kind(Kind::Leave));
    all
}

/// What became of the bar's controls.
#[derive(Default)]
pub struct Pressed {
    /// What was pressed.
    pub action: Option<Action>,
    /// The mouse is held on the control of the call to all.
    pub call: bool,
    /// Where the control for emoji is: they open above it.
    pub react: Option<Rect>,
    /// Where the control to leave is.
    pub leave: Option<Rect>,
}

/// Edges are drawn soft: those at the window's border shall lie outside of it.
fn beyond_edges(bar: Rect, outwards: egui::Vec2) -> Rect {
    bar.expand2(vec2(2.0, 0.0)).union(bar.translate(outwards))
}

/// A control with nothing but its sign.
const ICON: f32 = 42.0;

/// The bar below. Returns what was pressed.
pub fn bottom(ui: &Ui, bar: Rect, view: &View, state: &State, unread: usize, look: Look) -> Pressed {
    let painter = ui.painter().with_clip_rect(bar);
    painter.rect_filled(beyond_edges(bar, vec2(0.0, 2.0)), 0, look.colours.panel);
    let controls = controls(view, state, unread, look);
    let text_width = |label: &str| {
        if label.is_empty() {
            return 0.0;
        }
        7.0 + painter.layout_no_wrap(label.to_owned(), FontId::proportional(14.0), look.colours.text).size().x
    };
    let space = if bar.width() < 560.0 { 3.0 } else { 8.0 };
    // The way out stands apart from what is pressed often.
    let apart = if bar.width() < 560.0 { 4.0 } else { 14.0 };
    // Between the two that turn pages it is told which one this is.
    let page = (state.pages > 1).then(|| page_told(&painter, state, look));
    let told = page.as_ref().map_or(0.0, |(galley, _)| galley.size().x + 2.0);
    let spaces = space * (controls.len() - 1) as f32 + apart + told;
    let room = bar.width() - 24.0;
    let width_of = |shows: fn(&Control) -> bool| {
        let each = |c: &Control| ICON + if shows(c) { text_width(c.label) } else { 0.0 };
        controls.iter().map(each).sum::<f32>() + spaces
    };
    // All words, or those of what is off and of the way out, or none.
    let ways: [fn(&Control) -> bool; 3] = [|c| !c.bare, |c| c.dear, |_| false];
    let shows = ways.into_iter().find(|way| width_of(*way) <= room).unwrap_or(|_| false);
    let total = width_of(shows);
    let icon = if total > room { ((room - spaces) / controls.len() as f32).clamp(18.0, ICON) } else { ICON };
    let mut x = bar.center().x - total.min(room) / 2.0;
    let mut pressed = Pressed::default();
    for control in &controls {
        if control.kind == Kind::Leave {
            x += apart;
        }
        let width = icon + if shows(control) { text_width(control.label) } else { 0.0 };
        let rect = Rect::from_min_size(pos2(x.round(), bar.center().y - 18.0), vec2(width.round(), 36.0));
        let response = button(ui, &painter, rect, control, shows(control), look);
        if response.clicked() {
            pressed.action = Some(control.action);
        }
        pressed.call |= control.action == Action::Call && response.is_pointer_button_down_on();
        match control.action {
            Action::React => pressed.react = Some(rect),
            Action::Leave => pressed.leave = Some(rect),
            _ => {}
        }
        x += width + space;
        if let (Action::Back, Some((galley, said))) = (control.action, &page) {
            let place = Rect::from_center_size(pos2(x + (told - space) / 2.0, bar.center().y), galley.size());
            painter.galley(place.min, Arc::clone(galley), look.colours.text_weak);
            let response = ui.interact(place, ui.id().with("page"), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, said));
            x += told;
        }
    }
    pressed
}

/// The page as it stands between the controls, and as it is said.
fn page_told(painter: &Painter, state: &State, look: Look) -> (Arc<Galley>, String) {
    let (page, pages) = (state.page + 1, state.pages);
    let font = FontId::proportional(13.0);
    let galley = painter.layout_no_wrap(format!("{page} / {pages}"), font, look.colours.text_weak);
    (galley, fill(look.words.page_of, &[&page, &pages]))
}

fn button(ui: &Ui, painter: &Painter, rect: Rect, control: &Control, shows_text: bool, look: Look) -> Response {
    let c = look.colours;
    let sense = if control.enabled { Sense::click() } else { Sense::hover() };
    let response = ui.interact(rect, ui.id().with(("control", format!("{:?}", control.action))), sense);
    let name = if control.label.is_empty() { control.tooltip.as_str() } else { control.label };
    response.widget_info(|| match control.on {
        Some(on) => WidgetInfo::selected(WidgetType::Button, control.enabled, on, name),
        None => WidgetInfo::labeled(WidgetType::Button, control.enabled, name),
    });
    let hot = control.enabled && (response.hovered() || response.is_pointer_button_down_on());
    let fill = match (control.kind, hot) {
        (Kind::Off | Kind::Leave, false) => theme::OFF,
        (Kind::Off | Kind::Leave, true) => theme::OFF_HOVER,
        (Kind::Selected, _) | (Kind::Plain, true) => c.control_hover,
        (Kind::Plain, false) => c.control,
    };
    let colour: Color32 = match control.kind {
        Kind::Off | Kind::Leave => theme::ON_DARK,
        _ if !control.enabled => c.text_off,
        _ => c.text,
    };
    painter.rect_filled(rect, 8, fill);
    if control.kind == Kind::Selected {
        let line = egui::Stroke::new(1.0, c.text_weak);
        painter.rect_stroke(rect, 8, line, egui::StrokeKind::Inside);
    }
    let labelled = shows_text && !control.label.is_empty();
    let centre = if labelled { pos2(rect.left() + 22.0, rect.center().y) } else { rect.center() };
    icons::draw(painter, control.icon, centre, 19.0, colour, fill);
    if labelled {
        let at = pos2(rect.left() + 37.0, rect.center().y);
        painter.text(at, Align2::LEFT_CENTER, control.label, FontId::proportional(14.0), colour);
    }
    if control.count > 0 {
        badge(painter, rect.right_top() + vec2(-6.0, 6.0), control.count);
    }
    if response.has_focus() {
        icons::focus_ring(painter, rect, 8, c);
    }
    response.on_hover_text(&control.tooltip)
}

/// A number at the corner of a control.
fn badge(painter: &Painter, centre: egui::Pos2, count: usize) {
    let text = if count > 99 { "99+".to_owned() } else { count.to_string() };
    let galley = painter.layout_no_wrap(text, FontId::proportional(11.0), theme::ON_BADGE);
    let size = vec2((galley.size().x + 8.0).max(16.0), 16.0);
    let place = Rect::from_center_size(centre, size);
    painter.rect_filled(place, 8, theme::BADGE);
    painter.galley(place.center() - galley.size() / 2.0, galley, theme::ON_BADGE);
}

/// Hours, minutes and seconds as people write them.
pub fn elapsed(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// The bar above: title, people, whether anyone can watch, time.
pub fn top(ui: &Ui, bar: Rect, view: &View, look: Look) {
    let (c, w) = (look.colours, look.words);
    // Each bar is a mesh of its own, rasterised only when it changes itself.
    let painter = &ui.painter().with_clip_rect(bar);
    painter.rect_filled(beyond_edges(bar, vec2(0.0, -2.0)), 0, c.panel);
    let font = FontId::proportional(14.0);
    let middle = bar.center().y;
    let time = elapsed(view.elapsed_s);
    let time = painter.text(pos2(bar.right() - 14.0, middle), Align2::RIGHT_CENTER, time, font.clone(), c.text_weak);
    let mut right = time.left() - 18.0;
    if view.open {
        let text = if bar.width() < 640.0 { w.open_short } else { w.open_long };
        let place = painter.text(pos2(right, middle), Align2::RIGHT_CENTER, text, font.clone(), c.warning);
        painter.circle_filled(pos2(place.left() - 10.0, middle), 3.5, c.warning);
        let told = ui.interact(place.expand(4.0), ui.id().with("open"), Sense::hover());
        told.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, w.open_long));
        told.on_hover_text(w.open_long);
        right = place.left() - 30.0;
    } else if view.locked {
        let place = painter.text(pos2(right, middle), Align2::RIGHT_CENTER, w.locked_short, font.clone(), c.text_weak);
        icons::draw(painter, Icon::Lock, pos2(place.left() - 12.0, middle), 13.0, c.text_weak, c.panel);
        right = place.left() - 30.0;
    }
    let people = match (view.people.len(), has_me(view)) {
        (0, _) => w.nobody_here.to_owned(),
        (1, true) => w.only_you.to_owned(),
        (1, false) => w.one_person.to_owned(),
        (n, _) => fill(w.n_people, &[&n]),
    };
    let watching = if has_me(view) { "" } else { w.watching };
    let people = painter.layout_no_wrap(format!("{people}{watching}"), font, c.text_weak);
    let left = bar.left() + 14.0;
    let room = right - left - people.size().x - 16.0;
    let title = one_line(painter, &view.title, 15.0, c.text, room);
    let people_x = left + title.size().x + 16.0;
    painter.galley(pos2(left, middle - title.size().y / 2.0), title, c.text);
    if people_x + people.size().x <= right {
        painter.galley(pos2(people_x, middle - people.size().y / 2.0), people, c.text_weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_reads_as_people_write_it() {
        let cases = [(0, "0:00"), (59, "0:59"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00"), (36_061, "10:01:01")];
        for (seconds, expected) in cases {
            assert_eq!(elapsed(seconds), expected);
        }
    }
}
