//! One person of the panel.

use egui::{Align, Button, FontId, Label, Layout, Rect, Response, RichText, Sense, Slider, Ui, WidgetInfo, WidgetType};
use egui::{Align2, pos2, vec2};

use super::{Asked, Deed};
use crate::conference::view::{CameraView, Command, Decision, Hearing, PersonView, Rank, View};
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::quality::Quality;
use crate::ui::state::State;
use crate::ui::text::{one_line, visible};
use crate::ui::words::fill;
use crate::ui::{theme, tiles};

/// Percent up to which the slider goes.
const VOLUME_MAX: u16 = 200;

fn rank_word(rank: Rank, look: Look) -> Option<&'static str> {
    match rank {
        Rank::Owner => Some(look.words.owner),
        Rank::Moderator => Some(look.words.moderator),
        Rank::Member => None,
    }
}

/// The row itself, which opens and closes what there is to the person.
pub fn show(ui: &Ui, place: Rect, person: &PersonView, is_open: bool, look: Look) -> Response {
    let (c, w) = (look.colours, look.words);
    let response = ui.interact(place, ui.id().with(("row", person.key)), Sense::click());
    let name = visible(&person.name);
    let name = if person.me { fill(w.you, &[&name]) } else { name.into_owned() };
    let silent = person.muted || !person.has_microphone;
    let mut described = name.clone();
    if let Some(rank) = rank_word(person.rank, look) {
        described.push_str(&format!(", {rank}"));
    }
    for (is_so, text) in [
        (silent, w.said_microphone_off),
        (person.attention.hand, w.said_hand),
        (person.attention.away, w.said_away),
        (person.hearing.silenced, w.said_silenced),
    ] {
        described.push_str(if is_so { text } else { "" });
    }
    response.widget_info(|| WidgetInfo::selected(WidgetType::Button, true, is_open, &described));
    let painter = ui.painter();
    let ground = if is_open || response.hovered() { c.own } else { c.panel };
    painter.rect_filled(place, 6, ground);
    if response.has_focus() {
        painter.rect_stroke(place, 6, egui::Stroke::new(2.0, c.focus), egui::StrokeKind::Inside);
    }
    tiles::avatar(painter, pos2(place.left() + 22.0, place.center().y), 14.0, person);
    let mut right = place.right() - 14.0;
    let mut sign = |icon, colour| {
        icons::draw(painter, icon, pos2(right, place.center().y), 16.0, colour, ground);
        right -= 22.0;
    };
    if silent {
        sign(Icon::MicrophoneOff, c.off_sign);
    }
    if person.camera == CameraView::Off {
        sign(Icon::CameraOff, c.text_weak);
    }
    if person.hearing.silenced {
        sign(Icon::SoundOff, c.off_sign);
    }
    if person.attention.hand {
        sign(Icon::Hand, c.warning);
    }
    let words = [person.attention.away.then_some(w.away), rank_word(person.rank, look)];
    for word in words.into_iter().flatten() {
        let at = pos2(right + 6.0, place.center().y);
        let drawn = painter.text(at, Align2::RIGHT_CENTER, word, FontId::proportional(12.0), c.text_weak);
        right = drawn.left() - 14.0;
    }
    let left = place.left() + 44.0;
    let galley = one_line(painter, &name, 14.0, c.text, right - left);
    painter.galley(pos2(left, place.center().y - galley.size().y / 2.0), galley, c.text);
    response
}

/// What there is to a person.
#[allow(clippy::too_many_arguments, reason = "a person, what they are part of, and what may be asked for")]
pub fn details(
    ui: &mut Ui,
    person: &PersonView,
    view: &View,
    state: &mut State,
    sure: &mut Option<Deed>,
    look: Look,
    commands: &mut Vec<Command>,
    asked: &mut Asked,
) {
    let (c, w) = (look.colours, look.words);
    ui.spacing_mut().item_spacing = vec2(6.0, 5.0);
    figures(ui, person, look);
    if person.me {
        return;
    }
    volume(ui, person, look, commands);
    ui.horizontal_wrapped(|ui| {
        if ui.button(w.private_chat).clicked() {
            asked.talk_to = Some(person.name.clone());
        }
        let why = ui.button(fill(w.why_not_seen, &[&visible(&person.name)]));
        if why.on_hover_text(w.why_not_seen_tip).clicked() {
            asked.why = Some(person.name.clone());
        }
        let pinned = state.pinned == Some(person.key);
        if ui.button(if pinned { w.unpin } else { w.pin }).clicked() {
            state.pinned = (!pinned).then_some(person.key);
        }
        if view.rank == Rank::Owner {
            let moderates = person.rank == Rank::Moderator;
            if ui.button(if moderates { w.no_moderator } else { w.make_moderator }).clicked() {
                commands.push(Command::Door(Decision::Moderator(person.id.clone(), !moderates)));
            }
            if ui.button(w.hand_over).clicked() {
                *sure = Some(Deed::HandOver);
            }
        }
        if !view.open && view.rank != Rank::Member && person.rank == Rank::Member {
            let favoured = view.favoured.contains(&person.id);
            let button = ui.button(if favoured { w.no_favour } else { w.favour });
            if button.on_hover_text(w.favour_tip).clicked() {
                commands.push(Command::Door(Decision::Favour(person.id.clone(), !favoured)));
            }
        }
        let may_remove = !view.open && view.rank != Rank::Member && person.rank != Rank::Owner;
        if may_remove && ui.add(Button::new(RichText::new(w.remove).color(theme::ON_DARK)).fill(theme::OFF)).clicked() {
            *sure = Some(Deed::Remove);
        }
    });
    let Some(deed) = *sure else { return };
    let (question, decision) = match deed {
        Deed::Remove => (w.remove_sure, Decision::Kick(person.id.clone())),
        Deed::HandOver => (w.hand_over_sure, Decision::HandOver(person.id.clone())),
    };
    let text = fill(question, &[&visible(&person.name)]);
    ui.add(Label::new(RichText::new(text).color(c.warning)).wrap());
    ui.horizontal(|ui| {
        let yes = Button::new(RichText::new(w.yes).color(theme::ON_DARK)).fill(theme::OFF);
        if ui.add(yes).clicked() {
            commands.push(Command::Door(decision));
            *sure = None;
        }
        if ui.button(w.cancel).clicked() {
            *sure = None;
        }
    });
}

/// What is received of somebody, or sent by oneself.
fn figures(ui: &mut Ui, person: &PersonView, look: Look) {
    let (c, w, f) = (look.colours, look.words, &person.figures);
    let small = |ui: &mut Ui, text: String| {
        ui.add(Label::new(RichText::new(text).size(12.5).color(c.text_weak)).wrap());
    };
    if let Some(how) = tiles::reached(person, w) {
        small(ui, how.to_owned());
    }
    if f.layer.is_empty() {
        small(ui, w.receives_nothing.to_owned());
        return;
    }
    let (fps, rate) = (format!("{:.0}", f.frames_per_s), format!("{:.0}", f.kbit_per_s));
    let text = if person.me { w.sends } else { w.receives };
    small(ui, fill(text, &[&f.layer, &f.size.0, &f.size.1, &fps, &rate]));
    if person.me {
        return;
    }
    let delay = f.latency_ms.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"));
    let (loss, waits) = (format!("{:.1}", f.loss_percent), format!("{:.0}", f.audio_buffer_ms));
    small(ui, fill(w.receives_more, &[&loss, &delay, &waits]));
    if let Some(quality) = Quality::of(person) {
        small(ui, fill(w.link_said, &[&quality.bars, &quality.words(w)]));
    }
}

fn volume(ui: &mut Ui, person: &PersonView, look: Look, commands: &mut Vec<Command>) {
    let (c, w, now) = (look.colours, look.words, person.hearing);
    let label = ui.label(RichText::new(w.volume_for_me).size(12.5).color(c.text_weak));
    let mut next = now;
    ui.horizontal(|ui| {
        let (icon, tip) = if now.silenced { (Icon::SoundOff, w.hear_again) } else { (Icon::Sound, w.silence) };
        if icons::button(ui, icon, tip, true, c).clicked() {
            next.silenced = !now.silenced;
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.spacing_mut().slider_width = (ui.available_width() - 70.0).clamp(60.0, 180.0);
            let slider = Slider::new(&mut next.volume, 0..=VOLUME_MAX).suffix(" %").step_by(5.0);
            ui.add_enabled(!now.silenced, slider).labelled_by(label.id);
        });
    });
    if next != now {
        commands.push(Command::Hear(person.key, Hearing { volume: next.volume.min(VOLUME_MAX), ..next }));
    }
}
