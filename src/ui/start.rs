//! The start screen: the conferences of this network, one of one's own, and how others will see and hear one.
//!
//! ```text
//! +-----------------------------+----------------+
//! | Conferences on this network |  own picture   |   a narrow window has one column, the picture below it
//! |  Standup   4 people  [Join] |  level  ====   |
//! |  Lab       protected [Join] |  name, devices |
//! | Start a conference          |                |
//! +-----------------------------+----------------+
//! ```
//! As [`App`](crate::ui::app::App) it is a value: a view and input go in, pixels and wishes come out.

mod places;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use egui::{Align, UiBuilder, pos2, vec2};
use egui::{
    Frame, Key, Label, Layout, Margin, RawInput, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, TextEdit, Ui,
};

use crate::conference::lobby::{Listing, LobbyView};
use crate::conference::view::{CameraView, PersonView, View};
use crate::limits::{INVITE_BYTES_MAX, NAME_BYTES_MAX, TITLE_BYTES_MAX};
use crate::media::grid;
use crate::time::Timestamp;
use crate::ui::devices::{Devices, Lists};
use crate::ui::focus;
use crate::ui::fonts::Fonts;
use crate::ui::icons::{self, Icon};
use crate::ui::interface::{Interface, Options};
use crate::ui::look::{Look, Preferences};
use crate::ui::overlay;
use crate::ui::settings::{Setting, accented, changed, choices, choose, interfaces, language_name, zoom};
use crate::ui::stage::Stage;
use crate::ui::text::visible;
use crate::ui::tiles::{self, TileView};
use crate::ui::words::{Language, fill};
use places::Places;

/// Height of a conference in the list, in points.
const LISTING: f32 = 40.0;
/// The quietest level that is shown, in dBFS.
const QUIETEST_DBFS: f32 = -60.0;

/// What a user asks for.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Take part in this one; what was typed as its words.
    Join(Listing, Option<String>),
    /// Take part by this invite.
    Invite(String),
    /// Begin one; whether without words.
    Start(String, bool),
    /// Another camera, as settings name it.
    Camera(String),
    /// Another microphone.
    Microphone(String),
    /// Another speaker.
    Speaker(String),
    /// Look on another network interface, by name or address; empty means the best one.
    Interface(String),
}

/// What a frame brought.
#[derive(Debug, Default)]
pub struct StartOutput {
    /// Pixels differ from those of the frame before.
    pub changed: bool,
    /// What was asked for.
    pub wishes: Vec<Wish>,
    /// What is under way is not wanted any more.
    pub cancels: bool,
    /// Settings to be kept.
    pub settings: Vec<Setting>,
    /// To be put on the clipboard.
    pub copied: Option<String>,
    /// The screen wants to be looked at again after this time even if nothing happens.
    pub repaint_after: Option<Duration>,
    /// What the mouse pointer should look like.
    pub cursor: egui::CursorIcon,
}

/// What is typed and chosen.
struct Form {
    name: String,
    title: String,
    open: bool,
    /// The conference whose words are asked for, by id and port.
    asked: Option<(String, u16)>,
    words: String,
    invite: Option<String>,
    /// What is under way.
    busy: Option<String>,
    /// What went wrong.
    error: Option<String>,
    preferences: Preferences,
    focus_words: bool,
}

/// The start screen.
pub struct Start {
    interface: Interface,
    stage: Stage,
    lists: Lists,
    form: Form,
}

impl Start {
    /// A window of `size` pixels, for somebody of this name.
    pub fn new(size: (usize, usize), options: Options, name: &str) -> Self {
        let interface = Interface::new(size, &options);
        let stage = Stage::new(interface.size(), options.preferences.look().colours, options.waker);
        let form = Form {
            name: name.to_owned(),
            title: String::new(),
            open: false,
            asked: None,
            words: String::new(),
            invite: None,
            busy: None,
            error: None,
            preferences: options.preferences,
            focus_words: false,
        };
        Self { interface, stage, lists: Lists::default(), form }
    }

    /// Where devices to choose from are listed.
    pub fn set_devices(&mut self, mut lists: Lists) {
        lists.refresh();
        self.lists = lists;
    }

    /// What is under way, in words, or nothing any more; and why it failed.
    pub fn set_busy(&mut self, busy: Option<String>, error: Option<String>) {
        (self.form.busy, self.form.error) = (busy, error);
    }

    /// Settings could not be kept: tells why.
    pub fn not_kept(&mut self, now: Timestamp, why: &str) {
        let words = self.form.preferences.look().words;
        self.interface.tell(now, fill(words.not_saved, &[&words.report(why)]));
    }

    /// The name as it stands there.
    pub fn name(&self) -> &str {
        self.form.name.trim()
    }

    /// What the user chose of looks and language.
    pub fn preferences(&self) -> Preferences {
        self.form.preferences
    }

    /// The fonts found so far, for the window of the conference.
    pub fn into_fonts(self) -> Fonts {
        self.interface.into_fonts()
    }

    /// Composed pixels, rows top down, `0x00RRGGBB`.
    pub fn pixels(&self) -> &[u32] {
        self.interface.pixels()
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.interface.size()
    }

    /// Pixels per point.
    pub fn pixels_per_point(&self) -> f32 {
        self.interface.pixels_per_point()
    }

    /// Changes the number of pixels.
    pub fn resize(&mut self, size: (usize, usize)) {
        if self.interface.resize(size) {
            self.stage.resize(self.interface.size());
        }
    }

    /// From now on each run of the interface leaves a description of it.
    pub fn enable_accessibility(&mut self) {
        self.interface.enable_accessibility();
    }

    /// Names, roles and places of the controls, as of the last run of the interface.
    pub fn accessibility(&self) -> Option<&egui::accesskit::TreeUpdate> {
        self.interface.accessibility()
    }

    /// One frame; see [`App::frame`](crate::ui::app::App::frame).
    pub fn frame(&mut self, view: &LobbyView, input: RawInput, now: Timestamp) -> StartOutput {
        let mut output = StartOutput::default();
        self.interface.prepare(self.form.preferences, &mut self.stage, now);
        self.lists.take();
        let scale = self.pixels_per_point();
        let places = Places::new(self.size(), scale);
        let me = own_tile(view, &self.form.name);
        let seats: Vec<(usize, grid::Rect)> = places.picture_pixels.map(|rect| (0, rect)).into_iter().collect();
        self.stage.arrange(std::slice::from_ref(&me), &seats, &seats);
        self.stage.compose(now);
        let digest = digest(view, &self.form, self.size(), scale, self.lists.version());
        if self.interface.must_run(&input, digest, now) {
            let before = (self.form.preferences, self.form.name.clone());
            let has_picture = self.stage.tiles().first().is_some_and(|tile| tile.has_picture());
            let told = self.interface.notices();
            let Self { interface, lists, form, .. } = self;
            let none = Devices::default();
            let known = lists.known().unwrap_or(&none);
            let asked = interface.run(input, now, |ui, fonts| {
                fonts.see(ui.ctx(), Language::Chinese.own_name());
                fonts.see(ui.ctx(), &form.name);
                fonts.see(ui.ctx(), &form.title);
                view.found.iter().for_each(|found| fonts.see(ui.ctx(), &found.title));
                let mut screen = Screen {
                    view,
                    known,
                    me: &me,
                    has_picture,
                    form,
                    wishes: &mut output.wishes,
                    cancels: &mut output.cancels,
                    settings: &mut output.settings,
                };
                screen.draw(ui, &places);
                let (look, nobody) = (screen.form.preferences.look(), View::default());
                overlay::notices(ui, ui.max_rect(), &overlay::told(&nobody, &told, look), &[], look);
                zoom(ui.ctx(), &mut screen.form.preferences, scale);
            });
            output.copied = asked.copied;
            output.settings.extend(changed(before.0, self.form.preferences));
        }
        output.changed = self.interface.finish(&mut self.stage);
        output.cursor = self.interface.cursor();
        output.repaint_after = self.interface.next_run().map(|at| at.since(now));
        output
    }
}

/// The own tile, as a conference would show it.
fn own_tile(view: &LobbyView, name: &str) -> PersonView {
    PersonView {
        id: name.to_owned(),
        me: true,
        has_microphone: view.devices.microphone != "none",
        camera: view.camera.clone(),
        level_dbfs: view.level_dbfs,
        picture: Arc::clone(&view.picture),
        ..PersonView::new(0, name)
    }
}

/// Width of a button of this name, and of the space before it.
fn button_width(ui: &Ui, name: &str) -> f32 {
    let font = egui::TextStyle::Button.resolve(ui.style());
    let text = ui.painter().layout_no_wrap(name.to_owned(), font, egui::Color32::PLACEHOLDER).size().x;
    text + 2.0 * ui.spacing().button_padding.x + ui.spacing().item_spacing.x
}

/// What a button of this name leaves of the row for a field, whose margin is beside its width.
fn beside(ui: &Ui, name: &str) -> f32 {
    (ui.available_width() - button_width(ui, name)).max(120.0)
}

fn level(dbfs: f32) -> f32 {
    ((dbfs - QUIETEST_DBFS) / -QUIETEST_DBFS).clamp(0.0, 1.0)
}

/// A number that differs when the screen would look different.
fn digest(view: &LobbyView, form: &Form, size: (usize, usize), scale: f32, lists: u64) -> u64 {
    let mut h = DefaultHasher::new();
    (size, scale.to_bits(), lists, form.preferences, &form.busy, &form.error).hash(&mut h);
    (view.looked, &view.interface, &view.wanted_interface, &view.trouble, &view.devices, &view.microphone_trouble)
        .hash(&mut h);
    // As fine as the bar is drawn.
    ((level(view.level_dbfs) * 60.0) as u32).hash(&mut h);
    format!("{:?}", view.camera).hash(&mut h);
    for found in &view.found {
        found.hash(&mut h);
    }
    h.finish()
}

/// One run of the interface.
struct Screen<'a> {
    view: &'a LobbyView,
    known: &'a Devices,
    me: &'a PersonView,
    has_picture: bool,
    form: &'a mut Form,
    wishes: &'a mut Vec<Wish>,
    cancels: &'a mut bool,
    settings: &'a mut Vec<Setting>,
}

impl Screen<'_> {
    fn draw(&mut self, ui: &mut Ui, places: &Places) {
        let look = self.form.preferences.look();
        let mut left = ui.new_child(UiBuilder::new().max_rect(places.list).id_salt("list"));
        left.spacing_mut().item_spacing.y = 7.0;
        ScrollArea::vertical().auto_shrink([false, false]).show(&mut left, |ui| {
            ui.set_max_width((places.list.width() - 14.0).min(760.0));
            self.header(ui, look);
            self.conferences(ui, look);
            self.begin_one(ui, look);
            if places.own.is_none() {
                self.own(ui, look);
            }
            focus::follow(ui);
        });
        let Some(picture) = places.picture else { return };
        let title = match places.own {
            Some(own) => Rect::from_min_size(own.min, vec2(own.width(), 32.0)),
            None => {
                Rect::from_min_max(picture.right_top() + vec2(12.0, 0.0), pos2(places.list.right(), picture.bottom()))
            }
        };
        let mut head = ui.new_child(UiBuilder::new().max_rect(title).layout(Layout::left_to_right(Align::Center)));
        head.add(Label::new(RichText::new(look.words.preview).color(look.colours.text_weak)).wrap());
        let tile = TileView {
            rect: picture,
            person: self.me,
            has_picture: self.has_picture,
            talks: false,
            pinned: false,
            shows: None,
            full: false,
        };
        tiles::show_plain(ui, &tile, look);
        let Some(own) = places.own else { return };
        let below = Rect::from_min_max(pos2(own.left(), picture.bottom() + 10.0), own.max);
        let mut right = ui.new_child(UiBuilder::new().max_rect(below).id_salt("own"));
        right.spacing_mut().item_spacing.y = 6.0;
        ScrollArea::vertical().id_salt("own").auto_shrink([false, false]).show(&mut right, |ui| {
            self.own(ui, look);
            focus::follow(ui);
        });
    }

    fn header(&mut self, ui: &mut Ui, look: Look) {
        ui.horizontal(|ui| {
            ui.label(RichText::new("Roundtable").size(24.0).strong());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let theme = if self.form.preferences.light { look.words.theme_dark } else { look.words.theme_light };
                if ui.button(theme).clicked() {
                    self.form.preferences.light = !self.form.preferences.light;
                }
                let other =
                    Language::ALL.into_iter().find(|l| *l != self.form.preferences.language).unwrap_or_default();
                if ui.button(language_name(ui, other)).clicked() {
                    self.form.preferences.language = other;
                }
            });
        });
        ui.add_space(4.0);
        let (c, w) = (look.colours, look.words);
        if let Some(busy) = &self.form.busy {
            let frame = Frame::new().fill(c.own).corner_radius(6).inner_margin(Margin::symmetric(12, 8));
            frame.show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    *self.cancels |= ui.button(w.cancel).clicked();
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        ui.add(Label::new(RichText::new(busy).strong()).truncate());
                    });
                });
            });
        } else if let Some(error) = &self.form.error {
            ui.add(Label::new(RichText::new(format!("! {}", w.report(error))).color(c.warning)).wrap());
        }
        ui.label(RichText::new(w.on_this_network).heading());
    }

    fn conferences(&mut self, ui: &mut Ui, look: Look) {
        let (c, w) = (look.colours, look.words);
        if let Some(trouble) = &self.view.trouble {
            ui.add(Label::new(RichText::new(format!("! {}", w.report(trouble))).color(c.warning)).wrap());
        } else if self.view.found.is_empty() {
            let text = match self.view.looked {
                false => w.looking.to_owned(),
                true => fill(w.none_found, &[&self.view.interface]),
            };
            ui.add(Label::new(RichText::new(text).color(c.text_weak)).wrap());
        }
        for found in &self.view.found {
            self.conference(ui, found, look);
        }
        if self.form.invite.is_some() {
            self.by_invite(ui, look);
        }
        ui.horizontal(|ui| {
            if self.form.invite.is_none() && ui.button(look.words.paste_invite).clicked() {
                self.form.invite = Some(String::new());
            }
            self.interface(ui, look);
        });
    }

    /// Where conferences are looked for: the first thing to try another of where none is found.
    fn interface(&mut self, ui: &mut Ui, look: Look) {
        let interfaces = interfaces(Some(self.known), look);
        if let Some(value) = choose(ui, "interface", look.words.interface, &self.view.wanted_interface, &interfaces) {
            self.settings.push(("interface", value.clone()));
            self.wishes.push(Wish::Interface(value));
        }
    }

    fn conference(&mut self, ui: &mut Ui, found: &Listing, look: Look) {
        let (c, w) = (look.colours, look.words);
        let key = (found.id.clone(), found.port);
        let asks = self.form.asked.as_ref() == Some(&key);
        let idle = self.form.busy.is_none();
        let frame = Frame::new().fill(c.card).stroke(Stroke::new(1.0, c.line)).corner_radius(8);
        frame.inner_margin(Margin::symmetric(14, 9)).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.push_id(&key, |ui| {
                let row = vec2(ui.available_width(), LISTING);
                ui.allocate_ui_with_layout(row, Layout::right_to_left(Align::Center), |ui| {
                    let join = ui.add_enabled(idle, accented(w.join, idle, look));
                    let name = format!("{} {}", w.join, visible(&found.title));
                    join.widget_info(|| egui::WidgetInfo::labeled(egui::WidgetType::Button, idle, &name));
                    if join.clicked() {
                        self.pressed_join(found, &key);
                    }
                    ui.with_layout(Layout::top_down(Align::Min), |ui| {
                        ui.spacing_mut().item_spacing.y = 1.0;
                        ui.add(Label::new(RichText::new(visible(&found.title)).strong().size(15.0)).truncate());
                        self.kind(ui, found, look);
                    });
                });
                if asks {
                    self.ask_words(ui, found, look);
                }
            });
        });
    }

    fn kind(&self, ui: &mut Ui, found: &Listing, look: Look) {
        let (c, w) = (look.colours, look.words);
        let people =
            if found.participants == 1 { w.one_person.to_owned() } else { fill(w.n_people, &[&found.participants]) };
        let kind = match (found.open, found.locked) {
            (true, _) => w.kind_open,
            (false, false) => w.kind_protected,
            (false, true) => w.kind_locked,
        };
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 5.0;
            if !found.open {
                let (place, _) = ui.allocate_exact_size(vec2(12.0, 14.0), Sense::hover());
                icons::draw(ui.painter(), Icon::Lock, place.center(), 12.0, c.text_weak, c.card);
            }
            let twins = self.view.found.iter().filter(|other| other.title == found.title).count() > 1;
            let from = if twins { format!(" · {}", found.source) } else { String::new() };
            ui.label(RichText::new(format!("{kind} · {people}{from}")).size(12.5).color(c.text_weak));
        });
    }

    fn pressed_join(&mut self, found: &Listing, key: &(String, u16)) {
        self.form.error = None;
        if found.open {
            self.wish(Wish::Join(found.clone(), None));
        } else if self.form.asked.as_ref() == Some(key) && !self.form.words.trim().is_empty() {
            self.wish(Wish::Join(found.clone(), Some(self.form.words.clone())));
        } else {
            (self.form.asked, self.form.focus_words) = (Some(key.clone()), true);
            self.form.words.clear();
        }
    }

    fn ask_words(&mut self, ui: &mut Ui, found: &Listing, look: Look) {
        let w = look.words;
        let hint = RichText::new(w.words_field).color(look.colours.text_weak);
        let field = TextEdit::singleline(&mut self.form.words).password(true).hint_text(hint);
        let field =
            ui.add(field.char_limit(INVITE_BYTES_MAX).margin(Margin::symmetric(8, 5)).desired_width(f32::INFINITY));
        if std::mem::take(&mut self.form.focus_words) {
            field.request_focus();
        }
        if field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) && !self.form.words.trim().is_empty() {
            self.wish(Wish::Join(found.clone(), Some(self.form.words.clone())));
        }
    }

    fn by_invite(&mut self, ui: &mut Ui, look: Look) {
        let w = look.words;
        let Some(mut invite) = self.form.invite.take() else { return };
        let mut goes = false;
        let new = invite.is_empty();
        ui.horizontal(|ui| {
            let hint = RichText::new("roundtable:…").color(look.colours.text_weak);
            let field = TextEdit::singleline(&mut invite).hint_text(hint).password(true).char_limit(INVITE_BYTES_MAX);
            let room = beside(ui, w.join) - button_width(ui, w.cancel);
            let field = ui.add(field.margin(Margin::symmetric(8, 5)).desired_width(room.max(80.0)));
            if new && ui.memory(|m| m.focused().is_none()) {
                field.request_focus();
            }
            goes = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let possible = self.form.busy.is_none() && !invite.trim().is_empty();
            goes |= ui.add_enabled(possible, accented(w.join, possible, look)).clicked();
            if !ui.button(w.cancel).clicked() {
                self.form.invite = Some(invite.clone());
            }
        });
        if goes && !invite.trim().is_empty() {
            self.wish(Wish::Invite(invite));
        }
    }

    fn begin_one(&mut self, ui: &mut Ui, look: Look) {
        let (c, w) = (look.colours, look.words);
        ui.add_space(10.0);
        ui.label(RichText::new(w.start_one).heading());
        let mut goes = false;
        ui.horizontal(|ui| {
            let room = beside(ui, w.start);
            let hint = RichText::new(w.title_hint).color(c.text_weak);
            let field = TextEdit::singleline(&mut self.form.title).hint_text(hint).char_limit(TITLE_BYTES_MAX);
            let field = ui.add(field.margin(Margin::symmetric(8, 5)).desired_width(room));
            goes = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            let idle = self.form.busy.is_none();
            goes |= ui.add_enabled(idle, accented(w.start, idle, look)).clicked();
        });
        ui.radio_value(&mut self.form.open, false, w.start_protected);
        ui.radio_value(&mut self.form.open, true, w.start_open);
        if goes {
            let title = self.form.title.trim().to_owned();
            match title.is_empty() {
                true => self.form.error = Some(w.bad_title.to_owned()),
                false => self.wish(Wish::Start(title, self.form.open)),
            }
        }
    }

    /// Asks for something to enter, if there is a name to enter with.
    fn wish(&mut self, wish: Wish) {
        if self.form.busy.is_some() {
            return;
        }
        if self.form.name.trim().is_empty() {
            self.form.error = Some(self.form.preferences.look().words.bad_name.to_owned());
            return;
        }
        self.form.error = None;
        self.settings.push(("name", self.form.name.trim().to_owned()));
        self.wishes.push(wish);
    }

    fn own(&mut self, ui: &mut Ui, look: Look) {
        let (c, w) = (look.colours, look.words);
        let label = ui.label(w.level);
        let (place, bar) = ui.allocate_exact_size(vec2(ui.available_width(), 10.0), Sense::hover());
        bar.labelled_by(label.id);
        ui.painter().rect_filled(place, 4, c.control);
        let full = Rect::from_min_size(place.min, vec2(place.width() * level(self.view.level_dbfs), place.height()));
        ui.painter().rect_filled(full, 4, c.talking);
        ui.painter().rect_stroke(place, 4, Stroke::new(1.0, c.text_weak), StrokeKind::Inside);
        if let Some(why) = &self.view.microphone_trouble {
            ui.add(Label::new(RichText::new(format!("! {}", w.report(why))).size(12.5).color(c.warning)).wrap());
        }
        let label = ui.label(w.your_name);
        let field = TextEdit::singleline(&mut self.form.name)
            .char_limit(NAME_BYTES_MAX)
            .margin(Margin::symmetric(8, 5))
            .desired_width(f32::INFINITY);
        ui.add(field).labelled_by(label.id);
        let used = &self.view.devices;
        for (key, title, current, test, devices) in [
            ("camera", w.camera, &used.camera, Some(w.test_picture), &self.known.cameras),
            ("microphone", w.microphone, &used.microphone, Some(w.test_voice), &self.known.microphones),
            ("speaker", w.speaker, &used.speaker, None, &self.known.speakers),
        ] {
            if let Some(value) = choose(ui, key, title, current, &choices(test, devices, look)) {
                self.settings.push((key, value.clone()));
                self.wishes.push(match key {
                    "camera" => Wish::Camera(value),
                    "microphone" => Wish::Microphone(value),
                    _ => Wish::Speaker(value),
                });
            }
        }
        ui.add(Label::new(RichText::new(w.sending_nothing).size(12.5).color(c.text_weak)).wrap());
        if matches!(self.view.camera, CameraView::Failed(_)) && ui.button(w.try_again).clicked() {
            self.wishes.push(Wish::Camera(used.camera.clone()));
        }
    }
}
