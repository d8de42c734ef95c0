//! What is written on the tiles: names, states, who talks.

use egui::epaint::RectShape;
use egui::text::{LayoutJob, TextWrapping};
use egui::{
    Align2, Color32, FontId, Painter, Rect, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, WidgetType, pos2, vec2,
};

use crate::conference::view::{CameraView, PersonView};
use crate::ui::icons::{self, Icon};
use crate::ui::theme;

/// Tiles lower than this, in points, show a name and nothing else.
const LOW: f32 = 48.0;

/// A tile as the interface sees it.
pub struct TileView<'a> {
    /// Where it is, in points.
    pub rect: Rect,
    /// Whose it is.
    pub person: &'a PersonView,
    /// Whether a picture is on it.
    pub has_picture: bool,
    /// Whether the person talks now.
    pub talks: bool,
}

/// Lays out one line that ends in an ellipsis where it would be wider than `width`.
pub fn one_line(painter: &Painter, text: &str, size: f32, colour: Color32, width: f32) -> std::sync::Arc<egui::Galley> {
    let mut job = LayoutJob::simple_singleline(text.to_owned(), FontId::proportional(size), colour);
    job.wrap = TextWrapping { max_rows: 1, break_anywhere: true, ..TextWrapping::truncate_at_width(width.max(0.0)) };
    painter.layout_job(job)
}

/// Lays out centred text of at most `rows` rows.
pub fn wrapped(
    painter: &Painter,
    text: &str,
    size: f32,
    colour: Color32,
    width: f32,
    rows: usize,
) -> std::sync::Arc<egui::Galley> {
    let mut job = LayoutJob::simple(text.to_owned(), FontId::proportional(size), colour, width.max(1.0));
    job.wrap.max_rows = rows.max(1);
    job.halign = egui::Align::Center;
    painter.layout_job(job)
}

/// Writes on one tile.
pub fn show(ui: &Ui, tile: &TileView<'_>) {
    let rect = tile.rect;
    if rect.width() < 4.0 || rect.height() < 4.0 {
        return;
    }
    let painter = ui.painter().with_clip_rect(rect.expand(theme::GAP / 2.0));
    let sign = sign(&tile.person.camera, tile.has_picture);
    if let Some(Sign { text, colour, initials }) = sign {
        middle(&painter, tile, text.as_deref(), colour, initials);
    }
    // The stage's tiles have corners; a line in the stage's colour rounds them.
    let line = Stroke::new(theme::TILE_CORNER, theme::STAGE_COLOUR);
    painter.rect_stroke(rect, theme::TILE_RADIUS, line, StrokeKind::Outside);
    let ring = Stroke::new(3.0, theme::TALKING);
    // Always a shape, so that those after it keep their numbers: what changed is found by number.
    painter.add(match tile.talks {
        true => RectShape::stroke(rect, theme::TILE_RADIUS, ring, StrokeKind::Inside).into(),
        false => Shape::Noop,
    });
    attention(&painter, tile);
    label(ui, &painter, tile);
}

/// A hand at the upper left, "away" at the upper right.
fn attention(painter: &Painter, tile: &TileView<'_>) {
    let (rect, attention) = (tile.rect, tile.person.attention);
    let inset = if rect.height() < 100.0 { 3.0 } else { 8.0 };
    if attention.hand {
        let radius = (rect.height() * 0.07).clamp(8.0, 18.0);
        let centre = rect.min + vec2(inset + radius, inset + radius);
        painter.circle_filled(centre, radius, theme::WARNING);
        icons::draw(painter, Icon::Hand, centre, radius * 1.35, Color32::from_gray(24), theme::WARNING);
    }
    if attention.away && rect.height() >= LOW {
        let galley = one_line(painter, "away", text_size(rect), theme::TEXT, rect.width());
        let size = galley.size() + vec2(14.0, 8.0);
        let place = Rect::from_min_size(pos2(rect.right() - inset - size.x, rect.top() + inset), size);
        painter.rect_filled(place, 5, theme::SHADE);
        painter.galley(place.min + vec2(7.0, 4.0), galley, theme::TEXT);
    }
}

/// What stands in the middle of a tile.
struct Sign {
    text: Option<String>,
    colour: Color32,
    initials: bool,
}

fn sign(camera: &CameraView, has_picture: bool) -> Option<Sign> {
    let initials = !has_picture;
    match camera {
        CameraView::Live if has_picture => None,
        CameraView::Live | CameraView::Waiting => {
            initials.then(|| Sign { text: Some("connecting…".into()), colour: theme::TEXT_WEAK, initials })
        }
        CameraView::Off => Some(Sign { text: None, colour: theme::TEXT_WEAK, initials: true }),
        CameraView::Frozen(seconds) => {
            Some(Sign { text: Some(format!("no picture for {seconds} s")), colour: theme::WARNING, initials })
        }
        CameraView::Failed(why) => Some(Sign { text: Some(why.clone()), colour: theme::WARNING, initials: true }),
    }
}

fn middle(painter: &Painter, tile: &TileView<'_>, text: Option<&str>, colour: Color32, initials: bool) {
    let rect = tile.rect;
    if rect.height() < LOW {
        return;
    }
    let size = text_size(rect);
    let rows = match rect.height() {
        h if h > 110.0 => 3,
        h if h > 75.0 => 2,
        _ => 1,
    };
    let galley = text.map(|t| wrapped(painter, t, size, colour, rect.width() - 24.0, rows));
    let text_height = galley.as_ref().map_or(0.0, |g| g.size().y);
    // What the name below leaves free.
    let free = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - label_height(rect)));
    let radius = (free.height() * 0.30).min(rect.width() * 0.18).min(64.0);
    let radius = radius.min((free.height() - text_height - 14.0) / 2.0);
    let shows_initials = initials && radius >= 9.0;
    let total = text_height + if shows_initials { 2.0 * radius } else { 0.0 };
    let space = if shows_initials && galley.is_some() { (rect.height() * 0.04).clamp(3.0, 14.0) } else { 0.0 };
    let mut y = free.center().y - (total + space) / 2.0;
    // With nothing but the circle, the middle of the whole tile is the better place where it leaves the name free.
    if shows_initials && galley.is_none() && rect.center().y + radius < free.bottom() {
        y = rect.center().y - radius;
    }
    if shows_initials {
        let centre = pos2(rect.center().x, y + radius);
        painter.circle_filled(centre, radius, theme::person(tile.person.key));
        let letters = theme::initials(&tile.person.name);
        painter.text(centre, Align2::CENTER_CENTER, letters, FontId::proportional(radius * 0.85), theme::TEXT);
        y += 2.0 * radius + space;
    }
    if let Some(galley) = galley {
        let place = Rect::from_center_size(pos2(rect.center().x, y + text_height / 2.0), galley.size());
        if !shows_initials {
            painter.rect_filled(place.expand2(vec2(10.0, 5.0)), 6, theme::SHADE);
        }
        // A centred galley hangs from the middle of its first row.
        painter.galley(pos2(rect.center().x, place.top()), galley, colour);
    }
}

fn text_size(tile: Rect) -> f32 {
    (tile.height() * 0.075).clamp(10.0, 15.0)
}

fn label_height(tile: Rect) -> f32 {
    text_size(tile) + 8.0
}

fn label(ui: &Ui, painter: &Painter, tile: &TileView<'_>) {
    let (rect, person) = (tile.rect, tile.person);
    let size = text_size(rect);
    let inset = if rect.height() < 100.0 { 3.0 } else { 8.0 };
    let silent = person.muted || !person.has_microphone;
    let sign_width = if silent { size + 5.0 } else { 0.0 };
    let name = if person.me { format!("{} (you)", person.name) } else { person.name.clone() };
    let room = rect.width() - 2.0 * inset - 14.0 - sign_width;
    let galley = one_line(painter, &name, size, theme::TEXT, room);
    let shortened = galley.elided;
    let height = label_height(rect);
    let width = galley.size().x + 14.0 + sign_width;
    let place = Rect::from_min_size(pos2(rect.left() + inset, rect.bottom() - inset - height), vec2(width, height));
    painter.rect_filled(place, 5, theme::SHADE);
    if silent {
        let centre = pos2(place.left() + 7.0 + size / 2.0, place.center().y);
        icons::draw(painter, Icon::MicrophoneOff, centre, size, theme::OFF_SIGN, Color32::from_gray(24));
    }
    let text_at = pos2(place.left() + 7.0 + sign_width, place.center().y - galley.size().y / 2.0);
    painter.galley(text_at, galley, theme::TEXT);

    let response = ui.interact(place, ui.id().with(("tile", person.key)), Sense::hover());
    let mut described = if silent { format!("{name}, microphone off") } else { name.clone() };
    for (is_so, words) in [(person.attention.hand, ", hand raised"), (person.attention.away, ", away")] {
        described.push_str(if is_so { words } else { "" });
    }
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Label, true, described.clone()));
    if shortened {
        response.on_hover_text(name);
    }
}
