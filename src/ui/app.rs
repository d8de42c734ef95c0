//! The whole window as a value: a view and input go in; pixels and commands come out. No display, no clock, no thread.
//!
//! ```text
//! frame(view, input, now):
//!   arrange tiles --> compose what was published --> run egui if something it shows may have changed
//!                                                      --> rasterise if its shapes did change
//!                 --> paint the stage and lay the interface over it, where either changed
//! ```
//! A frame in which nothing changed does none of these and says so ([`FrameOutput::changed`]).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use egui::{RawInput, Ui, pos2, vec2};

use crate::conference::view::{CameraView, Command, View};
use crate::media::grid;
use crate::pipeline::slot::PictureInfo;
use crate::time::Timestamp;
use crate::ui::arrangement::{How, seats};
use crate::ui::devices::Lists;
use crate::ui::fonts::Fonts;
use crate::ui::interface::Interface;
pub use crate::ui::interface::Options;
use crate::ui::motion::Motion;
use crate::ui::places::Places;
use crate::ui::quality::Quality;
use crate::ui::settings::Setting;
use crate::ui::shows::Shows;
use crate::ui::stage::Stage;
use crate::ui::state::{self, Panel, State, keys};
use crate::ui::talkers::Talkers;
use crate::ui::text::visible;
use crate::ui::tiles::TileView;
use crate::ui::words::fill;
use crate::ui::{chat, dialogs, doctor, files, overlay, people, settings, tiles, toolbar};

/// Height of a panel's head, in points.
const PANEL_HEAD: f32 = 46.0;

/// What a frame brought.
#[derive(Debug, Default)]
pub struct FrameOutput {
    /// Pixels differ from those of the frame before.
    pub changed: bool,
    /// What was asked for with mouse and keys.
    pub commands: Vec<Command>,
    /// Settings to be kept.
    pub settings: Vec<Setting>,
    /// Pictures composed in this frame that were not on the stage before, with the person's key.
    pub shown: Vec<(u64, PictureInfo)>,
    /// The interface wants to be looked at again after this time even if nothing happens: a tooltip, a ring that
    /// ends, a picture that waits for its sound.
    pub repaint_after: Option<Duration>,
    /// To be put on the clipboard.
    pub copied: Option<String>,
    /// An address to be opened in the browser.
    pub opened: Option<String>,
    /// What the mouse pointer should look like.
    pub cursor: egui::CursorIcon,
}

/// The window.
pub struct App {
    interface: Interface,
    stage: Stage,
    state: State,
    panels: Panels,
    motion: Motion,
    talkers: Talkers,
    shows: Shows,
    /// The chat, and the fonts, when characters of its lines were looked after last.
    seen: Option<(u64, u64)>,
}

fn hash_of(value: impl Hash) -> u64 {
    let mut h = DefaultHasher::new();
    value.hash(&mut h);
    h.finish()
}

/// Panels, and what they remember.
#[derive(Default)]
struct Panels {
    chat: chat::Panel,
    people: people::Panel,
    files: files::Panel,
    settings: settings::Panel,
    doctor: doctor::Card,
}

impl App {
    /// A window of `size` pixels.
    pub fn new(size: (usize, usize), options: Options) -> Self {
        let interface = Interface::new(size, &options);
        let look = options.preferences.look();
        let mut stage = Stage::new(interface.size(), look.colours, options.waker);
        stage.restyle(look.colours, options.preferences.crop);
        Self {
            interface,
            stage,
            state: State { preferences: options.preferences, ..State::default() },
            panels: Panels::default(),
            motion: Motion::default(),
            talkers: Talkers::default(),
            shows: Shows::default(),
            seen: None,
        }
    }

    /// Where devices to choose from are listed; without this only those every machine has are.
    pub fn set_devices(&mut self, lists: Lists) {
        self.panels.settings.set_devices(lists);
    }

    /// Fonts that were found before.
    pub fn set_fonts(&mut self, fonts: Fonts) {
        self.interface.set_fonts(fonts);
    }

    /// Composed pixels, rows top down, `0x00RRGGBB`.
    pub fn pixels(&self) -> &[u32] {
        self.interface.pixels()
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.interface.size()
    }

    /// Pixels per point of the interface: input is in points.
    pub fn pixels_per_point(&self) -> f32 {
        self.interface.pixels_per_point()
    }

    /// Changes the number of pixels, within sensible bounds; see [`size`](Self::size).
    pub fn resize(&mut self, size: (usize, usize)) {
        if self.interface.resize(size) {
            self.stage.resize(self.interface.size());
        }
    }

    /// From now on each run of the interface leaves a description of it for [`accessibility`](Self::accessibility).
    pub fn enable_accessibility(&mut self) {
        self.interface.enable_accessibility();
    }

    /// Names, roles and places of the controls, as of the last run of the interface.
    pub fn accessibility(&self) -> Option<&egui::accesskit::TreeUpdate> {
        self.interface.accessibility()
    }

    /// Shows how others are invited: for a conference that was just begun.
    pub fn open_invite(&mut self) {
        self.state.panel = Some(Panel::People);
        self.panels.people.open_invite();
    }

    /// What only the next conference has of the settings.
    pub fn set_next(&mut self, quality: u8, interface: &str) {
        self.panels.settings.set_next(quality, interface);
    }

    /// Where settings are kept from now on, or why they are not.
    pub fn kept(&mut self, now: Timestamp, outcome: Result<String, String>) {
        if let Err(why) = &outcome
            && self.state.panel != Some(Panel::Settings)
        {
            let words = self.state.preferences.look().words;
            self.interface.tell(now, fill(words.not_saved, &[&words.report(why)]));
        }
        self.panels.settings.kept(outcome);
    }

    /// The window was closed by its frame. Whether whoever did so is to be asked first, as everybody is whose leaving ends the
    /// conference; to close it once more is the answer.
    pub fn closes(&mut self, view: &View) -> bool {
        let asks = state::is_last(view) && !self.state.leaving;
        if asks {
            (self.state.leaving, self.state.full) = (true, None);
        }
        asks
    }

    /// Files can be dropped on the window.
    pub fn set_drops(&mut self) {
        self.panels.files.set_drops();
    }

    /// One frame. Only `events`, `modifiers`, `focused` and files dragged and dropped of `input` are looked at; places are in
    /// points.
    pub fn frame(&mut self, view: &View, input: RawInput, now: Timestamp) -> FrameOutput {
        let mut output = FrameOutput::default();
        self.prepare(view, now);
        let places = Places::new(self.size(), self.pixels_per_point(), view, &self.state);
        let seats = seats(&view.people, self.how(view), self.state.page, places.tiles_pixels, places.gap_pixels);
        self.state.pages = seats.pages;
        self.state.page = self.state.page.min(seats.pages - 1);
        let scene = (self.size(), self.pixels_per_point().to_bits(), self.state.full);
        let still = self.state.preferences.still;
        let now_at = self.motion.place(&view.people, &seats.seats, (hash_of(scene), still), now);
        self.stage.arrange(&view.people, &now_at, &seats.seats);
        self.stage.compose(now);
        output.shown.extend_from_slice(self.stage.shown());

        self.state.dragged = !input.hovered_files.is_empty();
        let digest = self.digest_of(view);
        if self.interface.must_run(&input, digest, now) {
            self.run(view, input, now, &places, &mut output);
        }
        output.changed = self.interface.finish(&mut self.stage);
        output.cursor = self.interface.cursor();
        let next = [
            self.interface.next_run(),
            self.talkers.next_end(),
            self.shows.next_end(),
            self.motion.next_step(now),
            self.stage.next_due(),
        ];
        output.repaint_after = next.into_iter().flatten().min().map(|at| at.since(now));
        output
    }

    /// Everything that is to be known before tiles are placed.
    fn prepare(&mut self, view: &View, now: Timestamp) {
        self.interface.prepare(self.state.preferences, &mut self.stage, now);
        self.talkers.listen(&view.people, now);
        self.shows.follow(view, now);
        self.panels.chat.set_open(self.state.panel == Some(Panel::Chat));
        self.panels.chat.follow(view);
        self.panels.settings.look_for_devices(self.state.panel == Some(Panel::Settings));
        let here = |key: &u64| view.people.iter().any(|p| p.key == *key);
        self.state.pinned = self.state.pinned.filter(here);
        self.state.full = self.state.full.filter(here);
        // Somebody came meanwhile: the conference would go on.
        self.state.leaving &= state::is_last(view);
    }

    /// How people are shown.
    fn how(&self, view: &View) -> How {
        let large = self.state.pinned.or(self.talkers.looked_at().filter(|_| self.state.speaker));
        match (self.state.full, large) {
            (Some(key), _) => How::Alone(key),
            (None, Some(key)) => How::Large(key),
            (None, None) if self.state.speaker => view.people.first().map_or(How::Alike, |p| How::Large(p.key)),
            (None, None) => How::Alike,
        }
    }

    fn run(&mut self, view: &View, input: RawInput, now: Timestamp, places: &Places, output: &mut FrameOutput) {
        let (mut state, mut panels) = (self.state, std::mem::take(&mut self.panels));
        let seen = &mut self.seen;
        let before = state.preferences;
        let drawn =
            Drawn { stage: &self.stage, talkers: &self.talkers, shows: &self.shows, notices: self.interface.notices() };
        let FrameOutput { commands, settings, .. } = output;
        let asked = self.interface.run(input, now, |ui, fonts| {
            let escape = ui.ctx().input(|i| i.key_pressed(egui::Key::Escape));
            let closed = escape && (panels.chat.close_popup() || panels.close_card(&state));
            let free = !closed && !panels.chat.has_keys();
            settings::zoom(ui.ctx(), &mut state.preferences, places.pixels_per_point);
            keys(ui, view, &mut state, commands, free);
            see(fonts, ui.ctx(), view, &state, seen);
            drawn.draw(ui, places, view, &mut state, &mut panels, Wanted { commands, settings });
            state.typed = ui.ctx().text_edit_focused();
        });
        (output.copied, output.opened) = (asked.copied, asked.opened);
        (self.state, self.panels) = (state, panels);
        output.settings.extend(settings::changed(before, state.preferences));
    }

    /// A number that differs when the interface would look different.
    fn digest_of(&self, view: &View) -> u64 {
        let mut h = DefaultHasher::new();
        (self.size(), self.pixels_per_point().to_bits(), self.state).hash(&mut h);
        (&view.title, view.open, view.locked, view.waiting, view.rank, view.elapsed_s, view.people.len()).hash(&mut h);
        view.may_speak_over.hash(&mut h);
        (view.muted, view.has_microphone, view.camera_on, view.has_camera, view.attention).hash(&mut h);
        (view.invite.is_some(), &view.knocks, &view.favoured, &view.devices, view.taking, view.talk.version())
            .hash(&mut h);
        chat::voice::digest(view, &mut h);
        for person in &view.people {
            (person.key, &person.name, person.me, person.muted, person.has_microphone).hash(&mut h);
            (self.talkers.talks(person.key), person.attention, person.rank, person.hearing).hash(&mut h);
            (self.shows.of(&person.id), Quality::of(person).map(|q| q.bars)).hash(&mut h);
            match &person.camera {
                CameraView::Off => 0_u8.hash(&mut h),
                CameraView::Waiting => 1_u8.hash(&mut h),
                CameraView::Live => 2_u8.hash(&mut h),
                CameraView::Frozen(seconds) => (3_u8, seconds).hash(&mut h),
                CameraView::Failed(why) => (4_u8, why).hash(&mut h),
            }
        }
        for file in &view.files {
            (&file.offer, &file.state, file.bytes, file.bits_per_s.to_bits(), file.thumbnail.len()).hash(&mut h);
            file.recipients.iter().for_each(|r| (r.state, r.part.to_bits()).hash(&mut h));
        }
        for tile in self.stage.tiles() {
            let r = tile.rect;
            (tile.key, tile.has_picture(), r.x, r.y, r.width, r.height).hash(&mut h);
        }
        overlay::current(view).for_each(|n| (n.number, &n.text).hash(&mut h));
        (self.panels.settings.version(), self.interface.notices(), self.panels.doctor.digest(view)).hash(&mut h);
        if self.state.statistics || self.state.panel == Some(Panel::People) {
            view.summary.hash(&mut h);
            for f in view.people.iter().map(|p| &p.figures) {
                (f.layer, f.size, f.latency_ms.map(f32::to_bits), f.transport).hash(&mut h);
                [f.frames_per_s, f.kbit_per_s, f.loss_percent, f.audio_buffer_ms].map(f32::to_bits).hash(&mut h);
            }
        }
        h.finish()
    }
}

/// What is drawn beside the view.
struct Drawn<'a> {
    stage: &'a Stage,
    talkers: &'a Talkers,
    shows: &'a Shows,
    notices: Vec<String>,
}

/// What is asked for meanwhile.
struct Wanted<'a> {
    commands: &'a mut Vec<Command>,
    settings: &'a mut Vec<Setting>,
}

impl Drawn<'_> {
    fn draw(
        &self,
        ui: &mut Ui,
        places: &Places,
        view: &View,
        state: &mut State,
        panels: &mut Panels,
        wanted: Wanted<'_>,
    ) {
        let Wanted { commands, settings } = wanted;
        let look = state.preferences.look();
        let full = state.full.is_some();
        // First in the order of the Tab key: the controls, the panel, then the people.
        let mut pressed = toolbar::Pressed::default();
        if !full {
            toolbar::top(ui, places.top, view, look);
            pressed = toolbar::bottom(ui, places.toolbar, view, state, panels.chat.unread(), look);
        }
        let called = state::call(ui.ctx(), pressed.call, view, state, commands);
        if let Some(action) = pressed.action.filter(|action| !(called && *action == state::Action::Call)) {
            state::act(action, view, state, commands);
            ui.ctx().request_repaint();
        }
        if let Some(place) = places.panel {
            ui.painter().rect_filled(place, 0, look.colours.panel);
            let edge = egui::Stroke::new(1.0, look.colours.line);
            ui.painter().line_segment([place.left_top(), place.left_bottom()], edge);
            let closes = match state.panel {
                Some(Panel::Chat) => {
                    let closes = panels.chat.show(ui, place, view, &mut panels.files.cards, look, commands);
                    if let Some(with) = panels.chat.take_file_wish() {
                        panels.files.send_to(with);
                        state.panel = Some(Panel::Files);
                        ui.ctx().request_repaint();
                    }
                    closes
                }
                Some(Panel::Files) => panels.files.show(ui, place, view, look, commands),
                Some(Panel::People) => {
                    let asked = panels.people.show(ui, place, view, state, look, commands);
                    if let Some(name) = asked.talk_to {
                        panels.chat.talk_to(&[name]);
                        state.panel = Some(Panel::Chat);
                    }
                    if let Some(name) = asked.why {
                        panels.doctor.ask(&name, view, commands);
                    }
                    asked.closes
                }
                Some(Panel::Settings) => panels.settings.show(ui, place, view, state, commands, settings),
                None => false,
            };
            if closes {
                state.panel = None;
                ui.ctx().request_repaint();
            }
        }
        self.people(ui, places, view, state, (&mut panels.doctor, &mut *commands));
        if places.hint.is_some_and(|place| overlay::hint(ui, place, view, look)) {
            state.panel = Some(Panel::People);
            panels.people.open_invite();
            ui.ctx().request_repaint();
        }
        let context = ui.ctx();
        if state.statistics {
            overlay::statistics(context, places.stage, view, &view.people, look);
        }
        if state.help {
            overlay::help(context, places.stage.union(places.panel.unwrap_or(places.stage)), look);
        }
        if state.react && !full {
            dialogs::react(context, pressed.react, places.toolbar, state, look, commands);
        }
        if state.leaving && !full {
            dialogs::last(context, pressed.leave, places.toolbar, state, look, commands);
        }
        let over = if places.stage.width() > 100.0 { places.stage } else { places.panel.unwrap_or(places.stage) };
        panels.doctor.show(context, over, view, look);
        drops(ui, over, state, panels, commands);
        // Where the panel takes it all, its head stays free.
        let free = if over == places.stage { over } else { over.with_min_y(over.top() + PANEL_HEAD) };
        let scale = places.pixels_per_point;
        let tiles: Vec<_> = self.stage.tiles().iter().map(|tile| points(tile.rect, scale)).collect();
        overlay::notices(ui, free, &overlay::told(view, &self.notices, look), &tiles, look);
    }

    /// What is written on the tiles, and what is done to them.
    fn people(
        &self,
        ui: &Ui,
        places: &Places,
        view: &View,
        state: &mut State,
        (card, commands): (&mut doctor::Card, &mut Vec<Command>),
    ) {
        let look = state.preferences.look();
        let scale = places.pixels_per_point;
        let full = state.full.is_some();
        // Wherever the second click falls: the first has pinned somebody, and the tiles have moved.
        let twice = ui.input(|i| i.pointer.button_double_clicked(egui::PointerButton::Primary));
        let release = |e: &egui::Event| matches!(e, egui::Event::PointerButton { pressed: false, .. });
        let at_once = ui.input(|i| i.events.iter().filter(|e| release(e)).count()) > 1;
        if ui.input(|i| i.pointer.primary_clicked()) && (!twice || at_once) {
            state.clicked = None;
        }
        let arrow = |i: &egui::InputState| {
            use egui::Key::{ArrowDown, ArrowLeft, ArrowRight, ArrowUp};
            [ArrowDown, ArrowLeft, ArrowRight, ArrowUp].into_iter().any(|key| i.key_pressed(key))
        };
        // The first press leads to the first tile; from there egui knows the way.
        let mut enters = !state.help && ui.memory(|m| m.focused().is_none()) && ui.input(arrow);
        for tile in self.stage.tiles() {
            let Some(person) = view.people.iter().find(|p| p.key == tile.key) else { continue };
            let rect = points(tile.rect, scale);
            let key = person.key;
            let shown = TileView {
                rect,
                person,
                has_picture: tile.has_picture(),
                talks: self.talkers.talks(key),
                pinned: state.pinned == Some(key),
                shows: self.shows.of(&person.id),
                full,
            };
            let Some(response) = tiles::show(ui, &shown, look) else { continue };
            if std::mem::take(&mut enters) {
                response.request_focus();
                ui.memory_mut(|m| m.move_focus(egui::FocusDirection::None));
            }
            if !person.me {
                response.context_menu(|ui| {
                    if ui.button(fill(look.words.why_not_seen, &[&visible(&person.name)])).clicked() {
                        card.ask(&person.name, view, commands);
                    }
                });
            }
            let fills = response.has_focus() && ui.input(|i| i.key_pressed(egui::Key::F) && i.modifiers.is_none());
            if fills || (full && response.double_clicked()) {
                (state.full, state.pinned) = (if full { None } else { Some(key) }, None);
            } else if response.clicked() && !full {
                if !twice {
                    state.pinned = (state.pinned != Some(key)).then_some(key);
                }
                state.clicked = state.clicked.or(Some(key));
            } else {
                continue;
            }
            ui.ctx().request_repaint();
        }
        let meant = state.clicked.filter(|key| twice && !full && view.people.iter().any(|p| p.key == *key));
        if let Some(key) = meant {
            // The first click of two has pinned it.
            (state.full, state.pinned, state.clicked) = (Some(key), None, None);
            ui.ctx().request_repaint();
        }
    }
}

/// A place of the stage in points.
fn points(r: grid::Rect, scale: f32) -> egui::Rect {
    egui::Rect::from_min_size(pos2(r.x as f32, r.y as f32) / scale, vec2(r.width as f32, r.height as f32) / scale)
}

impl Panels {
    /// Closes what the doctor found, when nothing lies over it; whether it was open.
    fn close_card(&mut self, state: &State) -> bool {
        let over = state.leaving || state.help || state.react || state.full.is_some();
        let closes = self.doctor.is_open() && !over;
        if closes {
            self.doctor.close();
        }
        closes
    }
}

/// Sends what is dropped on the window: to those of the chat that is open, to those chosen for files, or to everybody.
fn drops(ui: &Ui, over: egui::Rect, state: &mut State, panels: &Panels, commands: &mut Vec<Command>) {
    let look = state.preferences.look();
    let to = match state.panel {
        Some(Panel::Chat) => panels.chat.with(),
        Some(Panel::Files) => panels.files.recipients(),
        Some(Panel::People | Panel::Settings) | None => &[],
    };
    if state.dragged {
        let names = if to.is_empty() { look.words.everybody.to_owned() } else { to.join(", ") };
        overlay::drop_hint(ui.ctx(), over, &visible(&names), look);
    }
    let dropped = ui.input(|i| i.raw.dropped_files.clone());
    let any = !dropped.is_empty();
    commands.extend(dropped.into_iter().filter_map(|file| Some(Command::Send(file.path?, to.to_vec()))));
    if any && state.panel != Some(Panel::Chat) {
        // There it can be taken back.
        (state.panel, state.full) = (Some(Panel::Files), None);
        ui.ctx().request_repaint();
    }
}

/// Looks for fonts for what others write; lines of the chat only when there may be others than were `seen`.
fn see(fonts: &mut Fonts, context: &egui::Context, view: &View, state: &State, seen: &mut Option<(u64, u64)>) {
    fonts.see(context, state.preferences.language.own_name());
    fonts.see(context, &view.title);
    view.people.iter().for_each(|p| fonts.see(context, &p.name));
    view.knocks.iter().for_each(|k| fonts.see(context, &k.name));
    overlay::current(view).for_each(|n| fonts.see(context, &n.text));
    let lines = Some((view.talk.version(), fonts.generation()));
    if state.panel == Some(Panel::Chat) && lines != *seen {
        *seen = lines;
        for line in view.talk.entries().iter().rev().take(200).filter_map(|entry| entry.line()) {
            fonts.see(context, &line.message.text);
            fonts.see(context, &line.message.from);
        }
    }
    if matches!(state.panel, Some(Panel::Chat | Panel::Files)) {
        view.files.iter().for_each(|file| fonts.see(context, &file.name));
    }
    context.input(|i| {
        for event in &i.events {
            if let egui::Event::Text(text) | egui::Event::Paste(text) = event {
                fonts.typed(text);
            }
        }
    });
    fonts.see_typed(context);
}
