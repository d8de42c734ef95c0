//! The two bars: what this is (above), and what one can do (below). Every control has a key and a tooltip that names it.

use egui::{Align2, Color32, FontId, Painter, Rect, Response, Sense, Ui, WidgetInfo, WidgetType, pos2, vec2};

use crate::conference::view::{Command, View};
use crate::ui::icons::{self, Icon};
use crate::ui::theme;
use crate::ui::tiles::one_line;

/// What the window itself remembers: which panels are open, which page is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The statistics panel is open.
    pub statistics: bool,
    /// The list of keys is open.
    pub help: bool,
    /// Page of people shown, from 0.
    pub page: usize,
    /// Pages there are.
    pub pages: usize,
}

/// What a control asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Microphone off or on.
    Mute,
    /// Camera off or on.
    Camera,
    /// Hand up or down.
    Hand,
    /// Statistics panel.
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

/// Does what a control or a key asks for.
pub fn act(action: Action, view: &View, state: &mut State, commands: &mut Vec<Command>) {
    let me = has_me(view);
    match action {
        Action::Mute if me && view.has_microphone => commands.push(Command::Mute(!view.muted)),
        Action::Camera if me && view.has_camera => commands.push(Command::Camera(!view.camera_on)),
        Action::Hand if me => commands.push(Command::Hand(!view.attention.hand)),
        Action::Mute | Action::Camera | Action::Hand => {}
        Action::Statistics => state.statistics = !state.statistics,
        Action::Help => state.help = !state.help,
        Action::Leave => commands.push(Command::Leave),
        Action::Back => state.page = state.page.saturating_sub(1),
        Action::Forward => state.page = (state.page + 1).min(state.pages.saturating_sub(1)),
    }
}

/// Whether somebody at this machine takes part; otherwise it only watches.
pub fn has_me(view: &View) -> bool {
    view.people.iter().any(|p| p.me)
}

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
}

fn controls(view: &View, state: &State) -> Vec<Control> {
    let control = |action, icon, label, tooltip: &str, kind, enabled| Control {
        action,
        icon,
        label,
        tooltip: tooltip.to_owned(),
        kind,
        enabled,
    };
    let selected = |open| if open { Kind::Selected } else { Kind::Plain };
    let mut all = Vec::with_capacity(8);
    if has_me(view) {
        all.push(match (view.has_microphone, view.muted) {
            (false, _) => control(Action::Mute, Icon::MicrophoneOff, "Mute", "No microphone", Kind::Plain, false),
            (true, true) => control(Action::Mute, Icon::MicrophoneOff, "Unmute", "Microphone on (M)", Kind::Off, true),
            (true, false) => control(Action::Mute, Icon::Microphone, "Mute", "Microphone off (M)", Kind::Plain, true),
        });
        all.push(match (view.has_camera, view.camera_on) {
            (false, _) => control(Action::Camera, Icon::CameraOff, "Camera", "No camera", Kind::Plain, false),
            (true, false) => control(Action::Camera, Icon::CameraOff, "Start camera", "Camera on (V)", Kind::Off, true),
            (true, true) => control(Action::Camera, Icon::Camera, "Stop camera", "Camera off (V)", Kind::Plain, true),
        });
        all.push(match view.attention.hand {
            true => control(Action::Hand, Icon::Hand, "Lower hand", "Lower your hand (H)", Kind::Selected, true),
            false => control(Action::Hand, Icon::Hand, "Raise hand", "Raise your hand (H)", Kind::Plain, true),
        });
    }
    if state.pages > 1 {
        all.push(control(Action::Back, Icon::Back, "", "Page back (Page Up)", Kind::Plain, state.page > 0));
        let more = state.page + 1 < state.pages;
        all.push(control(Action::Forward, Icon::Forward, "", "Page on (Page Down)", Kind::Plain, more));
    }
    let statistics = selected(state.statistics);
    all.push(control(Action::Statistics, Icon::Statistics, "Statistics", "Statistics (S)", statistics, true));
    all.push(control(Action::Help, Icon::Help, "Keys", "Keys (F1 or ?)", selected(state.help), true));
    all.push(control(Action::Leave, Icon::Leave, "Leave", "Leave (Ctrl+Q)", Kind::Leave, true));
    all
}

/// Edges are drawn soft: those at the window's border shall lie outside of it.
fn beyond_edges(bar: Rect, outwards: egui::Vec2) -> Rect {
    bar.expand2(vec2(2.0, 0.0)).union(bar.translate(outwards))
}

/// The bar below. Returns what was pressed.
pub fn bottom(ui: &Ui, bar: Rect, view: &View, state: &State) -> Option<Action> {
    let painter = ui.painter().with_clip_rect(bar);
    painter.rect_filled(beyond_edges(bar, vec2(0.0, 2.0)), 0, theme::PANEL);
    let controls = controls(view, state);
    let text_width = |label: &str| {
        if label.is_empty() {
            return 0.0;
        }
        7.0 + painter.layout_no_wrap(label.to_owned(), FontId::proportional(14.0), theme::TEXT).size().x
    };
    const ICON: f32 = 42.0;
    const SPACE: f32 = 8.0;
    // The way out stands apart from what is pressed often.
    const APART: f32 = 14.0;
    let spaces = SPACE * (controls.len() - 1) as f32 + APART;
    let with_text: f32 = controls.iter().map(|c| ICON + text_width(c.label)).sum::<f32>() + spaces;
    let shows_text = with_text <= bar.width() - 24.0;
    let total = if shows_text { with_text } else { ICON * controls.len() as f32 + spaces };
    let mut x = bar.center().x - total / 2.0;
    let mut pressed = None;
    for control in &controls {
        if control.kind == Kind::Leave {
            x += APART;
        }
        let width = if shows_text { ICON + text_width(control.label) } else { ICON };
        let rect = Rect::from_min_size(pos2(x.round(), bar.center().y - 18.0), vec2(width.round(), 36.0));
        if button(ui, &painter, rect, control, shows_text).clicked() {
            pressed = Some(control.action);
        }
        x += width + SPACE;
    }
    if state.pages > 1 && bar.width() > total + 240.0 {
        let text = format!("page {} of {}", state.page + 1, state.pages);
        let font = FontId::proportional(13.0);
        painter.text(bar.right_center() - vec2(14.0, 0.0), Align2::RIGHT_CENTER, text, font, theme::TEXT_WEAK);
    }
    pressed
}

fn button(ui: &Ui, painter: &Painter, rect: Rect, control: &Control, shows_text: bool) -> Response {
    let sense = if control.enabled { Sense::click() } else { Sense::hover() };
    let response = ui.interact(rect, ui.id().with(("control", control.action as u8)), sense);
    let name = if control.label.is_empty() { control.tooltip.as_str() } else { control.label };
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, control.enabled, name));
    let hot = control.enabled && (response.hovered() || response.is_pointer_button_down_on());
    let fill = match (control.kind, hot) {
        (Kind::Off | Kind::Leave, false) => theme::OFF,
        (Kind::Off | Kind::Leave, true) => theme::OFF_HOVER,
        (Kind::Selected, _) | (Kind::Plain, true) => theme::CONTROL_HOVER,
        (Kind::Plain, false) => theme::CONTROL,
    };
    let colour: Color32 = if control.enabled { theme::TEXT } else { theme::TEXT_OFF };
    painter.rect_filled(rect, 8, fill);
    if control.kind == Kind::Selected {
        let line = egui::Stroke::new(1.0, theme::TEXT_WEAK);
        painter.rect_stroke(rect, 8, line, egui::StrokeKind::Inside);
    }
    let labelled = shows_text && !control.label.is_empty();
    let centre = if labelled { pos2(rect.left() + 22.0, rect.center().y) } else { rect.center() };
    icons::draw(painter, control.icon, centre, 19.0, colour, fill);
    if labelled {
        let at = pos2(rect.left() + 37.0, rect.center().y);
        painter.text(at, Align2::LEFT_CENTER, control.label, FontId::proportional(14.0), colour);
    }
    if response.has_focus() {
        icons::focus_ring(painter, rect, 8);
    }
    response.on_hover_text(&control.tooltip)
}

/// Hours, minutes and seconds as people write them.
pub fn elapsed(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// The bar above: title, people, whether anyone can watch, time.
pub fn top(ui: &Ui, bar: Rect, view: &View) {
    // Each bar is a mesh of its own, rasterised only when it changes itself.
    let painter = &ui.painter().with_clip_rect(bar);
    painter.rect_filled(beyond_edges(bar, vec2(0.0, -2.0)), 0, theme::PANEL);
    let font = FontId::proportional(14.0);
    let middle = bar.center().y;
    let time = elapsed(view.elapsed_s);
    let time =
        painter.text(pos2(bar.right() - 14.0, middle), Align2::RIGHT_CENTER, time, font.clone(), theme::TEXT_WEAK);
    let mut right = time.left() - 18.0;
    if view.open {
        let text = if bar.width() < 640.0 { "Open" } else { "Open: anyone on this network can watch" };
        let place = painter.text(pos2(right, middle), Align2::RIGHT_CENTER, text, font.clone(), theme::WARNING);
        painter.circle_filled(pos2(place.left() - 10.0, middle), 3.5, theme::WARNING);
        right = place.left() - 30.0;
    }
    let people = match (view.people.len(), has_me(view)) {
        (0, _) => "nobody here yet".to_owned(),
        (1, true) => "only you".to_owned(),
        (1, false) => "1 person".to_owned(),
        (n, _) => format!("{n} people"),
    };
    let watching = if has_me(view) { "" } else { " · you are watching" };
    let people = painter.layout_no_wrap(format!("{people}{watching}"), font, theme::TEXT_WEAK);
    let left = bar.left() + 14.0;
    let room = right - left - people.size().x - 16.0;
    let title = one_line(painter, &view.title, 15.0, theme::TEXT, room);
    let people_x = left + title.size().x + 16.0;
    painter.galley(pos2(left, middle - title.size().y / 2.0), title, theme::TEXT);
    if people_x + people.size().x <= right {
        painter.galley(pos2(people_x, middle - people.size().y / 2.0), people, theme::TEXT_WEAK);
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
