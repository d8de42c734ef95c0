//! The settings panel: devices, network, looks. What is chosen holds at once where it can, and is kept for next time.

use egui::{
    Align, Button, Checkbox, ComboBox, Context, Label, Layout, Rect, Response, RichText, ScrollArea, Slider, Ui,
    UiBuilder, vec2,
};

use crate::conference::taking::{Improvement, THRESHOLDS_DBFS, TalkMode};
use crate::conference::view::{Command, View};
use crate::ui::devices::{Choice, Devices, Lists};
use crate::ui::focus;
use crate::ui::fonts::is_shown;
use crate::ui::icons::{self, Icon};
use crate::ui::look::{Look, Preferences};
use crate::ui::state::State;
use crate::ui::words::{Language, fill};

/// A setting to be kept: its key and value, as the file has them.
pub type Setting = (&'static str, String);

/// Sizes of text, percent.
const SIZES: [u16; 7] = [75, 100, 125, 150, 175, 200, 300];

/// What the panel remembers.
#[derive(Default)]
pub struct Panel {
    lists: Lists,
    was_open: bool,
    kept: Option<Result<String, String>>,
    quality: Option<u8>,
    interface: Option<String>,
    version: u64,
}

/// The settings that differ between two preferences.
pub fn changed(before: Preferences, now: Preferences) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut add = |differs: bool, key, value: &str| {
        if differs {
            all.push((key, value.to_owned()));
        }
    };
    add(before.light != now.light, "theme", if now.light { "light" } else { "dark" });
    add(before.language != now.language, "language", now.language.code());
    add(before.crop != now.crop, "fill_tiles", if now.crop { "true" } else { "false" });
    add(before.still != now.still, "reduce_motion", if now.still { "true" } else { "false" });
    let scale = now.text_percent.map_or("0.0".to_owned(), |percent| format!("{:.2}", f32::from(percent) / 100.0));
    add(before.text_percent != now.text_percent, "scale", &scale);
    all
}

/// The keys that make text larger or smaller, or as the screen has it, from what it is now.
pub fn zoom(context: &Context, preferences: &mut Preferences, pixels_per_point: f32) {
    use egui::gui_zoom::kb_shortcuts::{ZOOM_IN, ZOOM_IN_SECONDARY, ZOOM_OUT, ZOOM_RESET};
    let percent = (pixels_per_point * 100.0).round() as u16;
    let pressed = |shortcut| context.input_mut(|i| i.consume_shortcut(shortcut));
    let before = preferences.text_percent;
    if pressed(&ZOOM_RESET) {
        preferences.text_percent = None;
    } else if pressed(&ZOOM_IN) || pressed(&ZOOM_IN_SECONDARY) {
        preferences.text_percent = SIZES.into_iter().find(|size| *size > percent).or(before);
    } else if pressed(&ZOOM_OUT) {
        preferences.text_percent = SIZES.into_iter().rev().find(|size| *size < percent).or(before);
    }
    if preferences.text_percent != before {
        context.request_repaint();
    }
}

impl Panel {
    /// Where devices are listed.
    pub fn set_devices(&mut self, lists: Lists) {
        self.lists = lists;
    }

    /// What the settings are as far as only the next conference has them.
    pub fn set_next(&mut self, quality: u8, interface: &str) {
        (self.quality, self.interface) = (Some(quality), Some(interface.to_owned()));
    }

    /// Where settings are kept, or why not.
    pub fn kept(&mut self, outcome: Result<String, String>) {
        self.kept = Some(outcome);
        self.version += 1;
    }

    /// Lists devices whenever the panel opens.
    pub fn look_for_devices(&mut self, open: bool) {
        if open && !self.was_open {
            self.lists.refresh();
        }
        self.was_open = open;
        self.lists.take();
    }

    /// Another number when the panel would look different.
    pub fn version(&self) -> u64 {
        self.version + self.lists.version()
    }

    /// Draws the panel; whether it is to be closed.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        place: Rect,
        view: &View,
        state: &mut State,
        commands: &mut Vec<Command>,
        settings: &mut Vec<Setting>,
    ) -> bool {
        let look = state.preferences.look();
        let w = look.words;
        let mut child = ui.new_child(UiBuilder::new().max_rect(place.shrink2(vec2(10.0, 8.0))).id_salt("settings"));
        let ui = &mut child;
        let mut closes = false;
        ui.allocate_ui(vec2(ui.available_width(), 30.0), |ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                closes = icons::button(ui, Icon::Close, w.close, true, look.colours).clicked();
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.label(RichText::new(w.settings).strong()));
            });
        });
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            ui.set_max_width(ui.available_width() - 12.0);
            ui.spacing_mut().item_spacing.y = 6.0;
            heading(ui, w.devices);
            self.devices(ui, view, look, commands, settings);
            heading(ui, w.your_voice);
            voice(ui, view, look, commands, settings);
            heading(ui, w.appearance);
            appearance(ui, &mut state.preferences, look);
            heading(ui, w.network);
            self.next_time(ui, look, settings);
            ui.add_space(8.0);
            match &self.kept {
                None => {}
                Some(Ok(place)) => weak(ui, &fill(w.saved_in, &[place]), look),
                Some(Err(why)) => {
                    let text = RichText::new(format!("! {}", fill(w.not_saved, &[why]))).color(look.colours.warning);
                    ui.add(Label::new(text).wrap());
                }
            }
            focus::follow(ui);
        });
        closes
    }

    fn devices(
        &mut self,
        ui: &mut Ui,
        view: &View,
        look: Look,
        commands: &mut Vec<Command>,
        settings: &mut Vec<Setting>,
    ) {
        let w = look.words;
        let none = Devices::default();
        let known = self.lists.known().unwrap_or(&none);
        if self.lists.known().is_none() {
            weak(ui, w.looking_for_devices, look);
        }
        let used = &view.devices;
        for (key, title, current, test, devices) in [
            ("camera", w.camera, &used.camera, Some(w.test_picture), &known.cameras),
            ("microphone", w.microphone, &used.microphone, Some(w.test_voice), &known.microphones),
            ("speaker", w.speaker, &used.speaker, None, &known.speakers),
        ] {
            if let Some(value) = choose(ui, key, title, current, &choices(test, devices, look)) {
                commands.push(match key {
                    "camera" => Command::UseCamera(value.clone()),
                    "microphone" => Command::UseMicrophone(value.clone()),
                    _ => Command::UseSpeaker(value.clone()),
                });
                settings.push((key, value));
            }
        }
    }

    fn next_time(&mut self, ui: &mut Ui, look: Look, settings: &mut Vec<Setting>) {
        let w = look.words;
        let interfaces = interfaces(self.lists.known(), look);
        let current = self.interface.clone().unwrap_or_default();
        if let Some(value) = choose(ui, "interface", w.interface, &current, &interfaces) {
            settings.push(("interface", value.clone()));
            self.interface = Some(value);
        }
        let mut quality = self.quality.unwrap_or(65);
        let label = ui.label(w.quality);
        ui.spacing_mut().slider_width = 180.0;
        let slider = ui.add(Slider::new(&mut quality, 20..=95)).labelled_by(label.id);
        self.quality = Some(quality);
        keep_slider(&slider, "quality", quality, settings);
        weak(ui, w.next_time, look);
    }
}

/// Keeps what a slider was set to: a drag once, when it ends.
fn keep_slider(slider: &Response, key: &'static str, value: impl ToString, settings: &mut Vec<Setting>) {
    if slider.drag_stopped() || (slider.changed() && !slider.dragged()) {
        settings.push((key, value.to_string()));
    }
}

/// When the own voice is sent, and what is done to it.
fn voice(ui: &mut Ui, view: &View, look: Look, commands: &mut Vec<Command>, settings: &mut Vec<Setting>) {
    let (w, taking) = (look.words, view.taking);
    let label = |talk| match talk {
        TalkMode::Open => w.talk_open,
        TalkMode::Voice => w.talk_voice,
        TalkMode::Push => w.talk_push,
    };
    let modes = TalkMode::ALL.map(|talk| Choice { value: talk.word().to_owned(), label: label(talk).to_owned() });
    let chosen = choose(ui, "talk", w.talk, taking.talk.word(), &modes);
    if let Some(talk) = chosen.and_then(|value| value.parse::<TalkMode>().ok()) {
        commands.push(Command::TalkMode(talk));
        settings.push(("talk", talk.to_string()));
    }
    if taking.talk == TalkMode::Voice {
        let mut dbfs = taking.threshold_dbfs;
        let label = ui.label(w.talk_threshold);
        ui.spacing_mut().slider_width = 180.0;
        let slider = ui.add(Slider::new(&mut dbfs, THRESHOLDS_DBFS).suffix(" dB")).labelled_by(label.id);
        if dbfs != taking.threshold_dbfs {
            commands.push(Command::Threshold(dbfs));
        }
        keep_slider(&slider, "talk_threshold", dbfs, settings);
    }
    if view.may_speak_over || view.attention.priority {
        let mut on = view.attention.priority;
        if ui.checkbox(&mut on, w.priority).changed() {
            commands.push(Command::Priority(on));
        }
    }
    for what in Improvement::ALL {
        let text = match what {
            Improvement::Echo => w.echo,
            Improvement::Noise => w.noise,
            Improvement::Gain => w.gain,
            Improvement::Headset => w.headset,
        };
        let mut on = taking.does(what);
        if ui.add_enabled(taking.lets(what), Checkbox::new(&mut on, text)).changed() {
            commands.push(Command::Improve(what, on));
            settings.push((what.key(), on.to_string()));
        }
    }
    if taking.low_delay {
        weak(ui, w.as_it_is, look);
    }
}

/// What may be chosen: any, none, simulated, and those of the machine.
pub fn choices(test: Option<&str>, devices: &[Choice], look: Look) -> Vec<Choice> {
    let choice = |value: &str, label: &str| Choice { value: value.into(), label: label.into() };
    let mut all = vec![choice("auto", look.words.automatic), choice("none", look.words.none)];
    all.extend(test.map(|label| choice("test", label)));
    all.extend(devices.iter().cloned());
    all
}

/// The interfaces of the machine, the best one first.
pub fn interfaces(known: Option<&Devices>, look: Look) -> Vec<Choice> {
    let mut all = vec![Choice { value: String::new(), label: look.words.automatic.to_owned() }];
    all.extend(known.map(|known| known.interfaces.clone()).unwrap_or_default());
    all
}

/// A box to choose from; the value if another one was chosen. Opened by keyboard it hands the focus to what is chosen now, and
/// gets it back when it closes.
pub fn choose(ui: &mut Ui, key: &str, title: &str, current: &str, choices: &[Choice]) -> Option<String> {
    let mut chosen = None;
    let label = choices.iter().find(|c| c.value == current).map_or(current, |c| c.label.as_str());
    let title = ui.label(title);
    let width = ui.available_width();
    // While it is open: whether it was opened by keyboard.
    let opened = ui.id().with((key, "opened"));
    let mut by_keyboard: Option<bool> = ui.data(|d| d.get_temp(opened));
    let has_focus = ui.memory(|m| m.has_focus(ui.make_persistent_id(egui::Id::new(key))));
    let response = ComboBox::from_id_salt(key).width(width).truncate().selected_text(label).show_ui(ui, |ui| {
        let opens = by_keyboard.is_none() && has_focus;
        by_keyboard.get_or_insert(has_focus);
        for choice in choices {
            let one = ui.selectable_label(choice.value == current, &choice.label);
            if opens && choice.value == current {
                one.request_focus();
            }
            if one.clicked() {
                chosen = Some(choice.value.clone());
                ui.close();
            }
        }
    });
    if response.inner.is_none() || chosen.is_some() {
        if by_keyboard.take() == Some(true) {
            response.response.request_focus();
        }
        ui.data_mut(|d| d.remove_temp::<bool>(opened));
    } else if let Some(by_keyboard) = by_keyboard {
        ui.data_mut(|d| d.insert_temp(opened, by_keyboard));
    }
    response.response.labelled_by(title.id);
    chosen.filter(|value| value != current)
}

fn heading(ui: &mut Ui, text: &str) {
    ui.add_space(6.0);
    ui.label(RichText::new(text).size(16.0).strong());
}

fn weak(ui: &mut Ui, text: &str, look: Look) {
    ui.add(Label::new(RichText::new(text).size(12.5).color(look.colours.text_weak)).wrap());
}

fn appearance(ui: &mut Ui, preferences: &mut Preferences, look: Look) {
    let w = look.words;
    ui.label(w.theme);
    ui.horizontal(|ui| {
        for (light, text) in [(false, w.theme_dark), (true, w.theme_light)] {
            if ui.radio(preferences.light == light, text).clicked() {
                preferences.light = light;
            }
        }
    });
    ui.label(w.language);
    ui.horizontal(|ui| {
        for language in Language::ALL {
            if ui.radio(preferences.language == language, language_name(ui, language)).clicked() {
                preferences.language = language;
            }
        }
    });
    let percent = |size: u16| Choice { value: size.to_string(), label: format!("{size} %") };
    let mut sizes = vec![Choice { value: String::new(), label: w.follows_screen.to_owned() }];
    sizes.extend(SIZES.map(percent));
    let current = preferences.text_percent.map_or(String::new(), |size| size.to_string());
    if let Some(value) = choose(ui, "text size", w.text_size, &current, &sizes) {
        preferences.text_percent = value.parse().ok();
    }
    ui.checkbox(&mut preferences.crop, w.crop);
    ui.checkbox(&mut preferences.still, w.still);
}

/// What a language calls itself, or what it is called in English while there is no font for that.
pub fn language_name(ui: &Ui, language: Language) -> &'static str {
    let name = language.own_name();
    if name.chars().all(|c| is_shown(ui.ctx(), c)) { name } else { language.english_name() }
}

/// A button that asks to be pressed, as long as it can be.
pub fn accented(text: &str, enabled: bool, look: Look) -> Button<'_> {
    match enabled {
        true => Button::new(RichText::new(text).color(look.colours.on_accent)).fill(look.colours.accent),
        false => Button::new(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_and_nothing_else_is_kept() {
        let before = Preferences::default();
        assert_eq!(changed(before, before), []);
        let now =
            Preferences { light: true, language: Language::Chinese, crop: true, still: true, text_percent: Some(125) };
        let keys = |all: Vec<Setting>| all.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
        assert_eq!(
            keys(changed(before, now)),
            ["theme=light", "language=zh", "fill_tiles=true", "reduce_motion=true", "scale=1.25"]
        );
        assert_eq!(
            keys(changed(now, before)),
            ["theme=dark", "language=en", "fill_tiles=false", "reduce_motion=false", "scale=0.0"]
        );
    }
}
