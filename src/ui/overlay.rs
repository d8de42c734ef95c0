//! What comes and goes over the stage: statistics, the list of keys, notices, hints where the stage is empty.

use egui::{
    Align2, Area, Context, FontId, Frame, Grid, Id, Key, LayerId, Margin, Order, Rect, RichText, ScrollArea, Ui,
};
use egui::{Sense, Stroke, UiBuilder, WidgetInfo, WidgetType, pos2, vec2};

use crate::conference::view::{NoticeKind, PersonView, View};
use crate::ui::look::Look;
use crate::ui::settings::accented;
use crate::ui::text::{visible, wrapped};
use crate::ui::words::{Words, fill};

/// So far an arrow scrolls the list of keys, in points.
const KEYS_SCROLLED: f32 = 66.0;
/// How long a notice stays, in milliseconds.
pub const NOTICE_MS: u64 = 6_000;
/// Notices shown at once; the newest win.
const NOTICES_SHOWN: usize = 4;

/// All keys and what they do.
fn all_keys(w: &Words) -> [(&'static str, &'static str); 20] {
    [
        ("M", w.key_m),
        (w.space, w.key_space),
        ("A", w.key_a),
        ("V", w.key_v),
        ("H", w.key_h),
        ("E", w.key_e),
        ("C", w.key_c),
        ("P", w.key_p),
        ("T", w.key_t),
        ("G", w.key_g),
        (w.arrows, w.key_arrows),
        ("Enter", w.key_enter),
        ("Page Up, Page Down", w.key_pages),
        ("S", w.key_s),
        ("O", w.key_o),
        (w.key_or_help, w.key_help),
        (w.key_tab_space, w.key_tab),
        ("Ctrl +, Ctrl −", w.key_zoom),
        ("Esc", w.key_esc),
        ("Ctrl+Q", w.key_leave),
    ]
}

/// The notices still worth showing, oldest first.
pub fn current(view: &View) -> impl Iterator<Item = &crate::conference::view::Notice> {
    let fresh = view.notices.iter().filter(|n| n.age_ms < NOTICE_MS);
    let skipped = fresh.clone().count().saturating_sub(NOTICES_SHOWN);
    fresh.skip(skipped)
}

/// A notice as it is shown.
pub struct Told<'a> {
    /// Another number for another notice.
    pub number: u64,
    /// How it is meant.
    pub kind: NoticeKind,
    /// What it says.
    pub text: std::borrow::Cow<'a, str>,
}

/// What the conference and the window itself tell now, oldest first, in the window's language.
pub fn told<'a>(view: &'a View, own: &'a [String], look: Look) -> Vec<Told<'a>> {
    let of_view = current(view).map(|n| Told { number: n.number, kind: n.kind, text: look.words.report(&n.text) });
    let own = own.iter().map(|text| Told { number: hash_of(text), kind: NoticeKind::Warning, text: text.into() });
    of_view.chain(own).collect()
}

fn hash_of(text: &str) -> u64 {
    // Beyond the numbers of the conference's own.
    Id::new(text).value() | 1 << 63
}

/// Notices at the top of the stage, newest below: at its right, or in the middle where they hide less of the faces and
/// names of `tiles`.
pub fn notices(ui: &Ui, stage: Rect, all: &[Told<'_>], tiles: &[Rect], look: Look) {
    let c = look.colours;
    let painter = ui.ctx().layer_painter(LayerId::new(Order::Foreground, Id::new("notices")));
    let width = (stage.width() - 60.0).clamp(80.0, 330.0);
    let mut boxes = Vec::new();
    let mut y = stage.top() + 8.0;
    for told in all {
        let colour = if told.kind == NoticeKind::Info { c.text } else { c.warning };
        let text = visible(&told.text).into_owned();
        let mut job = egui::text::LayoutJob::simple(text, FontId::proportional(14.0), colour, width);
        job.wrap.max_rows = 4;
        let galley = painter.layout_job(job);
        let size = galley.size() + vec2(28.0, 18.0);
        if y + size.y > stage.bottom() {
            break;
        }
        boxes.push((told, galley, colour, Rect::from_min_size(pos2(stage.right() - 8.0 - size.x, y), size)));
        y += size.y + 8.0;
    }
    let centred = |place: Rect| place.translate(vec2(stage.center().x - place.center().x, 0.0));
    let cost = |way: &dyn Fn(Rect) -> Rect| boxes.iter().map(|(.., place)| hidden(way(*place), tiles)).sum::<f32>();
    let in_the_middle = cost(&centred) < cost(&|place| place);
    for (told, galley, colour, place) in boxes {
        let place = if in_the_middle { centred(place) } else { place };
        let line = if told.kind == NoticeKind::Info { c.line } else { c.warning };
        painter.rect_filled(place, 7, c.panel);
        painter.rect_stroke(place, 7, Stroke::new(1.0, line), egui::StrokeKind::Inside);
        painter.galley(place.min + vec2(14.0, 9.0), galley, colour);
        let response = ui.interact(place, Id::new(("notice", told.number)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, &told.text));
        // Read out when it comes, without taking anybody's focus.
        ui.ctx().accesskit_node_builder(response.id, |node| node.set_live(egui::accesskit::Live::Polite));
    }
}

/// How much of faces and names a place would hide, in points squared: where those are on most tiles.
fn hidden(place: Rect, tiles: &[Rect]) -> f32 {
    let on = |tile: &Rect| {
        let face = Rect::from_center_size(tile.center(), tile.size() * vec2(0.34, 0.72));
        let name = Rect::from_min_max(pos2(tile.left(), tile.bottom() - 30.0), pos2(tile.center().x, tile.bottom()));
        // A raised hand, "away" and a pin.
        let signs = tile.with_max_y(tile.top() + 40.0_f32.min(tile.height() / 3.0));
        let (left, right) = (signs.with_max_x(tile.left() + 40.0), signs.with_min_x(tile.right() - 80.0));
        let parts = [face, name, left, right].into_iter().map(|part| part.intersect(place));
        parts.filter(|part| part.is_positive()).map(|part| part.area()).sum::<f32>()
    };
    tiles.iter().map(on).sum()
}

/// What comes of letting go of what is dragged over the window.
pub fn drop_hint(context: &Context, stage: Rect, to: &str, look: Look) {
    let area = Area::new(Id::new("drop")).order(Order::Foreground).interactable(false);
    area.pivot(Align2::CENTER_CENTER).fixed_pos(stage.center()).show(context, |ui| {
        panel(look).stroke(Stroke::new(2.0, look.colours.focus)).show(ui, |ui| {
            ui.set_max_width(stage.width() - 60.0);
            ui.label(RichText::new(fill(look.words.drop_here, &[&to])).size(18.0).strong());
        });
    });
}

/// Height kept free below a lone tile for [`hint`], in points.
pub const HINT: f32 = 64.0;

/// What to do while nobody else is there; whether others are to be invited. `place` is the free strip, or the whole stage
/// when nobody is on it.
pub fn hint(ui: &mut Ui, place: Rect, view: &View, look: Look) -> bool {
    let (c, w) = (look.colours, look.words);
    let waiting = if view.people.is_empty() { w.nobody_yet } else { w.waiting_others };
    let waiting = if view.waiting { w.waiting_door } else { waiting };
    let width = place.width() - 24.0;
    let first = wrapped(ui.painter(), waiting, 18.0, c.text, width, 1);
    // Whoever has no invite can say what others type.
    let invites = view.invite.is_some() && !view.waiting;
    let how = if view.waiting || invites { String::new() } else { fill(w.they_type, &[&view.title]) };
    let second = wrapped(ui.painter(), &how, 14.0, c.text_weak, width, 2);
    let below = if invites { BUTTON } else { second.size().y };
    let (x, y) = (place.center().x, place.center().y - (first.size().y + 4.0 + below) / 2.0);
    let below = y + first.size().y + 4.0;
    ui.painter().galley(pos2(x, y), first, c.text);
    if !invites {
        ui.painter().galley(pos2(x, below), second, c.text_weak);
        return false;
    }
    let centre = Rect::from_min_size(pos2(place.left(), below), vec2(place.width(), BUTTON));
    let layout = egui::Layout::centered_and_justified(egui::Direction::LeftToRight);
    let mut child = ui.new_child(UiBuilder::new().max_rect(centre).layout(layout).id_salt("hint"));
    child.set_max_width(place.width());
    let text = child.painter().layout_no_wrap(w.invite_title.to_owned(), FontId::proportional(14.0), c.text);
    let size = vec2(text.size().x + 32.0, BUTTON);
    child.put(Rect::from_center_size(centre.center(), size), accented(w.invite_title, true, look)).clicked()
}

/// Height of a button that stands by itself.
const BUTTON: f32 = 28.0;

/// What lies over the stage.
pub fn panel(look: Look) -> Frame {
    Frame::new()
        .fill(look.colours.panel)
        .stroke(Stroke::new(1.0, look.colours.line))
        .corner_radius(8)
        .inner_margin(Margin::symmetric(16, 12))
}

/// The keys, in the middle of the stage.
pub fn help(context: &Context, stage: Rect, look: Look) {
    let c = look.colours;
    Area::new(Id::new("help")).order(Order::Foreground).pivot(Align2::CENTER_CENTER).fixed_pos(stage.center()).show(
        context,
        |ui| {
            panel(look).show(ui, |ui| {
                ui.set_max_width(stage.width() - 60.0);
                ui.label(RichText::new(look.words.keys).heading());
                ui.add_space(6.0);
                let room = (stage.height() - 90.0).max(60.0);
                ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(ui, |ui| {
                    let pressed = |key: Key| f32::from(u8::from(ui.input(|i| i.key_pressed(key))));
                    let down = pressed(Key::ArrowDown) - pressed(Key::ArrowUp);
                    if down != 0.0 && ui.memory(|m| m.focused().is_none()) {
                        ui.scroll_with_delta(vec2(0.0, -down * KEYS_SCROLLED));
                    }
                    Grid::new("keys").num_columns(2).spacing([24.0, 5.0]).min_row_height(20.0).show(ui, |ui| {
                        for (key, does) in all_keys(look.words) {
                            ui.label(RichText::new(key).strong());
                            ui.label(RichText::new(does).color(c.text_weak));
                            ui.end_row();
                        }
                    });
                });
            });
        },
    );
}

/// Titles and least widths of the columns, in characters.
fn columns(w: &Words) -> [(&'static str, usize); 7] {
    [
        (w.column_layer, 7),
        (w.column_size, 10),
        (w.column_rate, 6),
        ("kbit/s", 8),
        (w.column_loss, 7),
        (w.column_latency, 11),
        (w.column_audio, 9),
    ]
}

/// Figures of everybody, at the top left of the stage.
pub fn statistics(context: &Context, stage: Rect, view: &View, people: &[PersonView], look: Look) {
    let c = look.colours;
    let corner = stage.min + vec2(8.0, 8.0);
    Area::new(Id::new("statistics")).order(Order::Middle).fixed_pos(corner).show(context, |ui| {
        panel(look).show(ui, |ui| {
            ui.set_max_width(stage.width() - 50.0);
            let room = (stage.height() - 60.0).max(40.0);
            let scroll = ScrollArea::both().max_height(room).min_scrolled_height(room);
            scroll.max_width(stage.width() - 50.0).show(ui, |ui| {
                for line in &view.summary {
                    ui.label(RichText::new(line).monospace().color(c.text_weak));
                }
                if !view.summary.is_empty() {
                    ui.add_space(6.0);
                }
                Grid::new("figures").spacing([4.0, 3.0]).show(ui, |ui| {
                    ui.label(RichText::new("").monospace());
                    for (title, width) in columns(look.words) {
                        ui.label(RichText::new(format!("{title:>width$}")).monospace().color(c.text_weak));
                    }
                    ui.end_row();
                    for person in people {
                        ui.label(short_name(person, look.words));
                        for (value, (_, width)) in figures(person).into_iter().zip(columns(look.words)) {
                            ui.label(RichText::new(format!("{value:>width$}")).monospace());
                        }
                        ui.end_row();
                    }
                });
            });
        });
    });
}

fn short_name(person: &PersonView, w: &Words) -> String {
    const LONGEST: usize = 22;
    let whole = visible(&person.name);
    let mut name: String = whole.chars().take(LONGEST).collect();
    if whole.chars().count() > LONGEST {
        name.push('…');
    }
    if person.me { fill(w.you, &[&name]) } else { name }
}

fn figures(person: &PersonView) -> [String; 7] {
    let f = &person.figures;
    let size = if f.size == (0, 0) { "–".into() } else { format!("{}x{}", f.size.0, f.size.1) };
    [
        if f.layer.is_empty() { "–".into() } else { f.layer.into() },
        size,
        format!("{:.0}", f.frames_per_s),
        format!("{:.0}", f.kbit_per_s),
        format!("{:.1}", f.loss_percent),
        f.latency_ms.map_or("–".into(), |ms| format!("{ms:.1}")),
        format!("{:.0}", f.audio_buffer_ms),
    ]
}
