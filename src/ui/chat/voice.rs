//! Voice messages in the chat: one that is being made, above what one writes, and those that were sent, among the lines.
//!
//! ```text
//! Bob 12:05                            ● 0:03 / 5:00  [=====     ]  [stop] [x]      while one records
//! [>] .:|||:.:||:..  0:05  [save]      [>] .:||:..:|:.  0:05     [send]    [x]      before it is sent
//! ```
//! The button is held, or pressed twice: once to begin, once to end.

use std::hash::{Hash, Hasher};

use egui::{Align, Id, Label, Layout, Rect, RichText, Sense, Ui, pos2, vec2};

use super::Panel;
use super::lines::{Asked, Wish};
use crate::conference::talk::Spoken;
use crate::conference::view::{Command, FileState, FileView, Playing, Recording, View, Voice, VoiceAsk};
use crate::ui::icons::{self, Icon};
use crate::ui::look::Look;
use crate::ui::text::visible;

/// Who holds the button for so many seconds wants to end it by letting go.
const HELD_S: f64 = 0.4;
/// Softest that the meter shows.
const FLOOR_DBFS: f32 = -60.0;
/// Height of a picture of loudness.
const HEIGHT: f32 = 26.0;

/// A length as people say it.
fn minutes(ms: u32) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60)
}

/// What the window shows of voice messages: another value when it is to be drawn again.
pub fn digest(view: &View, h: &mut impl Hasher) {
    let voice = &view.voice;
    voice.recording.map(|r| (r.ms / 100, r.ms_max, r.level_dbfs as i32)).hash(h);
    voice.draft.as_ref().map(|draft| (draft.ms, &draft.waveform)).hash(h);
    voice.playing.as_ref().map(|p| (&p.offer, p.ms / 50, p.length_ms, p.paused)).hash(h);
    for file in view.files.iter().filter(|file| file.voice.is_some()) {
        (&file.offer, std::mem::discriminant(&file.state), file.bytes >> 14).hash(h);
    }
}

/// The button beside what one writes.
pub fn button(ui: &mut Ui, panel: &mut Panel, view: &View, look: Look, commands: &mut Vec<Command>) {
    let (c, words) = (look.colours, look.words);
    let recording = view.voice.recording.is_some();
    let name = if recording { words.voice_end } else { words.voice_begin };
    let icon = if recording { Icon::Stop } else { Icon::Microphone };
    let (_, place) = ui.allocate_space(icons::BUTTON);
    let place = ui.layout().align_size_within_rect(icons::BUTTON, place);
    let response = icons::button_at(ui, place, Id::new("record"), icon, name, view.voice.draft.is_none(), c);
    let (now, down, pressed) = ui.input(|i| (i.time, i.pointer.primary_down(), i.pointer.primary_pressed()));
    let held = down && response.is_pointer_button_down_on();
    let mut ask = |ask| commands.push(Command::Voice(ask));
    let begin = || VoiceAsk::Record { ms_max: None, to: None };
    match panel.held_since {
        // It began with this press.
        Some(since) if !held => {
            panel.held_since = None;
            // What was cut off has ended already.
            if recording && now - since >= HELD_S {
                ask(VoiceAsk::End);
            }
        }
        Some(_) => ui.ctx().request_repaint(),
        None if held && pressed && !recording => {
            panel.held_since = Some(now);
            ask(begin());
        }
        None if response.clicked() => ask(if recording { VoiceAsk::End } else { begin() }),
        None => {}
    }
    response.on_hover_text(name);
}

/// What is being recorded, or was and is not sent yet.
pub fn strip(ui: &mut Ui, panel: &Panel, view: &View, look: Look, commands: &mut Vec<Command>) {
    let asked = match (&view.voice.recording, &view.voice.draft) {
        (Some(recording), _) => recorded(ui, *recording, look),
        (None, Some(draft)) => drafted(ui, draft, panel, view, look),
        (None, None) => None,
    };
    commands.extend(asked.map(Command::Voice));
}

fn recorded(ui: &mut Ui, recording: Recording, look: Look) -> Option<VoiceAsk> {
    let (c, words) = (look.colours, look.words);
    let mut asked = None;
    ui.horizontal(|ui| {
        let (sign, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
        ui.painter().circle_filled(sign.center(), 5.0, c.warning);
        let text = format!("{} / {}", minutes(recording.ms), minutes(recording.ms_max));
        ui.label(RichText::new(text).size(13.0).color(c.text));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icons::button(ui, Icon::Close, words.voice_discard, true, c).clicked() {
                asked = Some(VoiceAsk::Discard);
            }
            let (place, _) = ui.allocate_exact_size(vec2(ui.available_width(), 10.0), Sense::hover());
            ui.painter().rect_filled(place, 3, c.control);
            let part = ((recording.level_dbfs - FLOOR_DBFS) / -FLOOR_DBFS).clamp(0.0, 1.0);
            let level = Rect::from_min_size(place.min, vec2(place.width() * part, place.height()));
            ui.painter().rect_filled(level, 3, c.talking);
        });
    });
    asked
}

fn drafted(ui: &mut Ui, draft: &Voice, panel: &Panel, view: &View, look: Look) -> Option<VoiceAsk> {
    let (c, words) = (look.colours, look.words);
    let playing = view.voice.playing.as_ref().filter(|playing| playing.offer.is_none());
    let mut asked = None;
    ui.horizontal(|ui| {
        if let Some(ask) = play_button(ui, "", playing, true, look) {
            asked = Some(ask);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icons::button(ui, Icon::Close, words.voice_discard, true, c).clicked() {
                asked = Some(VoiceAsk::Discard);
            }
            if icons::button(ui, Icon::Send, words.voice_send, true, c).clicked() {
                asked = Some(VoiceAsk::Send(panel.tabs[panel.current].with.clone()));
            }
            ui.label(RichText::new(minutes(draft.ms)).size(13.0).color(c.text));
            let width = ui.available_width();
            waveform(ui, width, draft, playing, look);
        });
    });
    asked
}

fn play_button(ui: &mut Ui, which: &str, playing: Option<&Playing>, possible: bool, look: Look) -> Option<VoiceAsk> {
    let (icon, name, ask) = match playing {
        Some(playing) if !playing.paused => (Icon::Pause, look.words.voice_pause, VoiceAsk::Pause(true)),
        Some(_) => (Icon::Play, look.words.voice_play, VoiceAsk::Pause(false)),
        None => (Icon::Play, look.words.voice_play, VoiceAsk::Play(which.to_owned())),
    };
    let response = icons::button(ui, icon, name, possible, look.colours);
    let clicked = response.clicked();
    response.on_hover_text(name);
    (clicked && possible).then_some(ask)
}

/// The picture of its loudness; what was heard stands out.
fn waveform(ui: &mut Ui, width: f32, voice: &Voice, playing: Option<&Playing>, look: Look) {
    let (place, _) = ui.allocate_exact_size(vec2(width.max(20.0), HEIGHT), Sense::hover());
    let heard = playing.map_or(0.0, |p| p.ms as f32 / p.length_ms.max(1) as f32);
    let steps = voice.waveform.len().max(1);
    let step = place.width() / steps as f32;
    for (n, loudness) in voice.waveform.iter().enumerate() {
        let height = (place.height() * f32::from(*loudness) / 255.0).max(2.0);
        let left = place.left() + n as f32 * step;
        let bar = Rect::from_min_max(
            pos2(left + 0.15 * step, place.center().y - height / 2.0),
            pos2(left + 0.85 * step, place.center().y + height / 2.0),
        );
        let is_heard = playing.is_some() && (n as f32 + 0.5) / steps as f32 <= heard;
        let colour = if is_heard { look.colours.talking } else { look.colours.text_weak };
        ui.painter().rect_filled(bar, 1, colour);
    }
}

/// What became of it, when it cannot be heard from beginning to end.
fn state(file: Option<&FileView>, look: Look) -> Option<(String, bool)> {
    let words = look.words;
    let Some(file) = file else {
        return Some((words.voice_gone.to_owned(), true));
    };
    match &file.state {
        FileState::Here(_) | FileState::Sending => None,
        FileState::Receiving => {
            let percent = (100 * file.bytes.min(file.size)).checked_div(file.size).unwrap_or(0);
            Some((format!("{percent} %"), false))
        }
        FileState::Offered | FileState::Declined => Some((words.voice_not_taken.to_owned(), true)),
        FileState::Waiting(why) | FileState::Failed(why) => Some((visible(why).into_owned(), true)),
    }
}

/// One among the lines.
pub fn line(ui: &mut Ui, spoken: &Spoken, time: &str, view: &View, look: Look, asked: &mut Asked) {
    let (c, words) = (look.colours, look.words);
    let file = view.files.iter().find(|file| file.offer == spoken.offer);
    let state = state(file, look);
    let possible = state.as_ref().is_none_or(|(_, amiss)| !amiss);
    let playing = view.voice.playing.as_ref().filter(|playing| playing.offer.as_ref() == Some(&spoken.offer));
    ui.horizontal(|ui| {
        let colour = if spoken.own { c.own_text } else { c.name(&spoken.member) };
        ui.add(Label::new(RichText::new(visible(&spoken.from)).strong().color(colour)).truncate());
        ui.label(RichText::new(time).small().color(c.text_weak));
    });
    let mut ask = None;
    ui.horizontal(|ui| {
        ask = play_button(ui, &spoken.offer, playing, possible, look);
        let width = (ui.available_width() - 130.0).clamp(40.0, 220.0);
        waveform(ui, width, &spoken.voice, playing, look);
        let length = match playing {
            Some(playing) => format!("{} / {}", minutes(playing.ms), minutes(spoken.voice.ms)),
            None => minutes(spoken.voice.ms),
        };
        ui.label(RichText::new(length).size(13.0).color(c.text));
        if state.is_none() {
            let response = icons::button(ui, Icon::Save, words.voice_save, true, c);
            if response.clicked() {
                ask = Some(VoiceAsk::Save(spoken.offer.clone(), Default::default()));
            }
            response.on_hover_text(words.voice_save);
        }
    });
    if let Some((text, amiss)) = state {
        let (sign, colour) = if amiss { ("! ", c.warning) } else { ("", c.text_weak) };
        ui.add(Label::new(RichText::new(format!("{sign}{text}")).size(12.0).color(colour)).wrap());
    }
    if let Some(ask) = ask {
        asked.wish = Some(Wish::Voice(ask));
    }
}
