//! What the interface writes on a tile: the name, who is muted, who talks, how good the connection is, and what is wrong
//! with a camera. A click pins the tile, a double click fills the window with it.

use egui::epaint::RectShape;
use egui::{
    Align2, Color32, FontId, Painter, Rect, Response, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, WidgetType,
};
use egui::{pos2, vec2};

use crate::conference::view::{CameraView, PersonView};
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::quality::Quality;
use crate::ui::state::tile_id;
use crate::ui::text::{one_line, visible, wrapped};
use crate::ui::theme;
use crate::ui::words::{Words, fill};

/// Tiles lower than this, in points, show a name and nothing else.
const LOW: f32 = 48.0;
/// Tiles lower than this show the quality of the connection only when it is not the best.
const SMALL: f32 = 110.0;

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
    /// Whether it stands large whoever talks.
    pub pinned: bool,
    /// An emoji the person shows everybody.
    pub shows: Option<&'a str>,
    /// Whether it fills the window: nothing is rounded then.
    pub full: bool,
}

/// Writes on one tile; what was done to it.
pub fn show(ui: &Ui, tile: &TileView<'_>, look: Look) -> Option<Response> {
    let quality = Quality::of(tile.person);
    let painter = draw(ui, tile, quality, look)?;
    let response = whole(ui, tile, quality, look);
    if response.has_focus() {
        let ring = Stroke::new(4.0, look.colours.focus);
        painter.rect_stroke(tile.rect.shrink(2.0), theme::TILE_RADIUS, ring, StrokeKind::Inside);
    }
    Some(response)
}

/// Writes on one tile that nothing can be done to.
pub fn show_plain(ui: &Ui, tile: &TileView<'_>, look: Look) {
    draw(ui, tile, None, look);
}

fn draw(ui: &Ui, tile: &TileView<'_>, quality: Option<Quality>, look: Look) -> Option<Painter> {
    let rect = tile.rect;
    if rect.width() < 4.0 || rect.height() < 4.0 {
        return None;
    }
    let painter = ui.painter().with_clip_rect(rect.expand(theme::GAP / 2.0));
    let sign = sign(&tile.person.camera, tile.has_picture, look);
    if let Some(sign) = sign {
        middle(&painter, tile, &sign, look);
    }
    if !tile.full {
        // The stage's tiles have corners; a line in the stage's colour rounds them.
        let line = Stroke::new(theme::TILE_CORNER, look.colours.stage);
        painter.rect_stroke(rect, theme::TILE_RADIUS, line, StrokeKind::Outside);
    }
    let ring = Stroke::new(3.0, look.colours.talking);
    // Always a shape, so that those after it keep their numbers: what changed is found by number.
    painter.add(match tile.talks {
        true => RectShape::stroke(rect, theme::TILE_RADIUS, ring, StrokeKind::Inside).into(),
        false => Shape::Noop,
    });
    attention(&painter, tile, look);
    label(&painter, tile, quality, look);
    if let Some(emoji) = tile.shows {
        let size = (rect.height() * 0.3).clamp(18.0, 96.0);
        let at = pos2(rect.center().x, rect.top() + rect.height() * 0.3);
        painter.circle_filled(at, size * 0.72, theme::SHADE);
        painter.text(at, Align2::CENTER_CENTER, visible(emoji), FontId::proportional(size), theme::ON_DARK);
    }
    Some(painter)
}

/// The tile as something that can be pressed, described for those who do not see it.
fn whole(ui: &Ui, tile: &TileView<'_>, quality: Option<Quality>, look: Look) -> Response {
    let (person, words) = (tile.person, look.words);
    let name = shown_name(person, look);
    let mut described = name.clone();
    let silent = person.muted || !person.has_microphone;
    for (is_so, text) in [
        (silent, words.said_microphone_off),
        (person.attention.hand, words.said_hand),
        (person.attention.away, words.said_away),
        (tile.talks, words.said_talks),
        (tile.pinned, words.said_pinned),
        (person.hearing.is_silent(), words.said_silenced),
    ] {
        described.push_str(if is_so { text } else { "" });
    }
    let response = ui.interact(tile.rect, tile_id(ui, person.key), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(WidgetType::Button, true, described.clone()));
    let quality = quality.map(|q| format!("\n{}", fill(words.link_said, &[&q.bars, &q.words(words)])));
    let reached = reached(person, words).map_or(String::new(), |how| format!("\n{how}"));
    response.on_hover_text_at_pointer(format!("{name}{}{reached}\n{}", quality.unwrap_or_default(), words.tile_tip))
}

/// By what somebody is reached, in words; nothing while that is not known.
pub fn reached(person: &PersonView, words: &Words) -> Option<&'static str> {
    match person.figures.transport {
        "groups" => Some(words.by_groups),
        "single" => Some(words.by_single),
        "unicast" => Some(words.by_unicast),
        _ => None,
    }
}

fn shown_name(person: &PersonView, look: Look) -> String {
    let name = visible(&person.name);
    if person.me { fill(look.words.you, &[&name]) } else { name.into_owned() }
}

/// A hand at the upper left, "away" and a pin at the upper right.
fn attention(painter: &Painter, tile: &TileView<'_>, look: Look) {
    let (rect, attention) = (tile.rect, tile.person.attention);
    let inset = inset(rect);
    if attention.hand {
        let radius = (rect.height() * 0.07).clamp(8.0, 18.0);
        let centre = rect.min + vec2(inset + radius, inset + radius);
        painter.circle_filled(centre, radius, theme::BADGE);
        icons::draw(painter, Icon::Hand, centre, radius * 1.35, theme::ON_BADGE, theme::BADGE);
    }
    let mut right = rect.right() - inset;
    if tile.pinned && rect.height() >= LOW {
        let place = Rect::from_min_size(pos2(right - 22.0, rect.top() + inset), vec2(22.0, 22.0));
        painter.rect_filled(place, 5, theme::SHADE);
        icons::draw(painter, Icon::Pin, place.center(), 14.0, theme::ON_DARK, Color32::from_gray(24));
        right = place.left() - 4.0;
    }
    if attention.away && rect.height() >= LOW {
        let galley = one_line(painter, look.words.away, text_size(rect), theme::ON_DARK, rect.width());
        let size = galley.size() + vec2(14.0, 8.0);
        let place = Rect::from_min_size(pos2(right - size.x, rect.top() + inset), size);
        painter.rect_filled(place, 5, theme::SHADE);
        painter.galley(place.min + vec2(7.0, 4.0), galley, theme::ON_DARK);
    }
}

/// What stands in the middle of a tile.
struct Sign {
    text: Option<String>,
    warning: bool,
    initials: bool,
}

fn sign(camera: &CameraView, has_picture: bool, look: Look) -> Option<Sign> {
    let initials = !has_picture;
    match camera {
        CameraView::Live if has_picture => None,
        CameraView::Live | CameraView::Waiting => {
            initials.then(|| Sign { text: Some(look.words.connecting.into()), warning: false, initials })
        }
        CameraView::Off => Some(Sign { text: None, warning: false, initials: true }),
        CameraView::Frozen(seconds) => {
            Some(Sign { text: Some(fill(look.words.no_picture_for, &[seconds])), warning: true, initials })
        }
        CameraView::Failed(why) => {
            Some(Sign { text: Some(look.words.report(why).into_owned()), warning: true, initials: true })
        }
    }
}

fn middle(painter: &Painter, tile: &TileView<'_>, sign: &Sign, look: Look) {
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
    // Over a picture the ground is dark in either theme.
    let colour = match (sign.warning, sign.initials) {
        (true, true) => look.colours.warning,
        (false, true) => look.colours.text_weak,
        (true, false) => theme::BADGE,
        (false, false) => theme::ON_DARK,
    };
    let galley = sign.text.as_deref().map(|t| wrapped(painter, t, size, colour, rect.width() - 24.0, rows));
    let text_height = galley.as_ref().map_or(0.0, |g| g.size().y);
    // What the name below leaves free.
    let free = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - label_height(rect) - inset(rect)));
    let radius = (free.height() * 0.30).min(rect.width() * 0.18).min(64.0);
    let radius = radius.min((free.height() - text_height - 14.0) / 2.0);
    let shows_initials = sign.initials && radius >= 9.0;
    let total = text_height + if shows_initials { 2.0 * radius } else { 0.0 };
    let space = if shows_initials && galley.is_some() { (rect.height() * 0.04).clamp(3.0, 14.0) } else { 0.0 };
    let mut y = free.center().y - (total + space) / 2.0;
    // With nothing but the circle, the middle of the whole tile is the better place where it leaves the name free.
    if shows_initials && galley.is_none() && rect.center().y + radius < free.bottom() {
        y = rect.center().y - radius;
    }
    if shows_initials {
        avatar(painter, pos2(rect.center().x, y + radius), radius, tile.person);
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

/// Initials in a circle of the person's colour.
pub fn avatar(painter: &Painter, centre: egui::Pos2, radius: f32, person: &PersonView) {
    painter.circle_filled(centre, radius, theme::person(&person.id));
    let letters = theme::initials(&person.name);
    painter.text(centre, Align2::CENTER_CENTER, letters, FontId::proportional(radius * 0.85), theme::ON_DARK);
}

fn text_size(tile: Rect) -> f32 {
    (tile.height() * 0.075).clamp(10.0, 15.0)
}

/// Between what is written on a tile and its edge.
fn inset(tile: Rect) -> f32 {
    if tile.height() < 100.0 { 3.0 } else { 8.0 }
}

fn label_height(tile: Rect) -> f32 {
    text_size(tile) + 8.0
}

fn label(painter: &Painter, tile: &TileView<'_>, quality: Option<Quality>, look: Look) {
    let (rect, person) = (tile.rect, tile.person);
    let size = text_size(rect);
    let inset = inset(rect);
    let mut signs = Vec::new();
    if person.muted || !person.has_microphone {
        signs.push(Icon::MicrophoneOff);
    }
    if person.hearing.is_silent() {
        signs.push(Icon::SoundOff);
    }
    let signs_width = signs.len() as f32 * (size + 5.0);
    let bars = quality.filter(|q| rect.height() >= SMALL || q.bars < 4);
    let bars_width = if bars.is_some() { size + 12.0 } else { 0.0 };
    let room = rect.width() - 2.0 * inset - 14.0 - signs_width - bars_width;
    let galley = one_line(painter, &shown_name(person, look), size, theme::ON_DARK, room);
    let height = label_height(rect);
    let width = galley.size().x + 14.0 + signs_width;
    let place = Rect::from_min_size(pos2(rect.left() + inset, rect.bottom() - inset - height), vec2(width, height));
    painter.rect_filled(place, 5, theme::SHADE);
    for (i, sign) in signs.iter().enumerate() {
        let x = place.left() + 7.0 + size / 2.0 + i as f32 * (size + 5.0);
        icons::draw(painter, *sign, pos2(x, place.center().y), size, theme::OFF_ON_DARK, Color32::from_gray(24));
    }
    let text_at = pos2(place.left() + 7.0 + signs_width, place.center().y - galley.size().y / 2.0);
    painter.galley(text_at, galley, theme::ON_DARK);
    if let Some(quality) = bars {
        let ground =
            Rect::from_min_size(pos2(rect.right() - inset - size - 10.0, place.top()), vec2(size + 10.0, height));
        painter.rect_filled(ground, 5, theme::SHADE);
        signal(painter, ground.shrink2(vec2(5.0, 4.0)), quality);
    }
}

/// Bars of rising height, as many of them full as the connection is good.
fn signal(painter: &Painter, place: Rect, quality: Quality) {
    let step = place.width() / 4.0;
    let full = if quality.bars >= 3 { theme::ON_DARK } else { theme::BADGE };
    for i in 0..4_u8 {
        let height = place.height() * (0.4 + 0.2 * f32::from(i));
        let min = pos2(place.left() + step * f32::from(i), place.bottom() - height);
        let bar = Rect::from_min_max(min, pos2(min.x + step * 0.7, place.bottom()));
        if i < quality.bars {
            painter.rect_filled(bar, 0, full);
        } else {
            painter.rect_stroke(bar, 0, Stroke::new(1.0, Color32::from_gray(150)), StrokeKind::Inside);
        }
    }
}
