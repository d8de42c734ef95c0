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
use std::sync::Arc;
use std::time::Duration;

use egui::epaint::ClippedShape;
use egui::{Event, Key, Modifiers, RawInput, Ui, pos2, vec2};

use crate::conference::view::{CameraView, Command, PersonView, View};
use crate::limits::TILES_MAX;
use crate::media::grid::{Rect, Surface};
use crate::pipeline::slot::{PictureInfo, Waker};
use crate::time::Timestamp;
use crate::ui::canvas::Canvas;
use crate::ui::stage::Stage;
use crate::ui::tiles::TileView;
use crate::ui::toolbar::{Action, State};
use crate::ui::{overlay, theme, tiles, toolbar};

/// Louder than this counts as talking, in dBFS.
const TALKING_DBFS: f32 = -50.0;
/// The ring stays this long after the last loud moment, so that it does not flicker between words.
const TALKING_HOLD: Duration = Duration::from_millis(400);
/// Smallest and largest window composed, in pixels a side: anything else is brought into this range.
const SIDE_MIN: usize = 64;
const SIDE_MAX: usize = 8_192;

/// How the window is set up.
#[derive(Clone)]
pub struct Options {
    /// Pixels per point of the interface.
    pub scale: f32,
    /// Roused when a picture is published for somebody on the stage.
    pub waker: Arc<Waker>,
}

impl Default for Options {
    fn default() -> Self {
        Self { scale: 1.0, waker: Arc::default() }
    }
}

/// What a frame brought.
#[derive(Debug, Default)]
pub struct FrameOutput {
    /// Pixels differ from those of the frame before.
    pub changed: bool,
    /// What was asked for with mouse and keys.
    pub commands: Vec<Command>,
    /// Pictures composed in this frame that were not on the stage before, with the person's key.
    pub shown: Vec<(u64, PictureInfo)>,
    /// The interface wants to be looked at again after this time even if nothing happens (a tooltip, a ring that ends).
    pub repaint_after: Option<Duration>,
    /// What the mouse pointer should look like.
    pub cursor: egui::CursorIcon,
}

/// The window.
pub struct App {
    context: egui::Context,
    canvas: Canvas,
    stage: Stage,
    frame: Vec<u32>,
    size: (usize, usize),
    scale: f32,
    state: State,
    talking: Vec<(u64, Timestamp)>,
    /// Of everything the interface shows, when it last ran.
    digest: Option<u64>,
    run_again_at: Option<Timestamp>,
    shapes: Vec<ClippedShape>,
    /// Where the frame being made differs from the last.
    damage: Vec<Rect>,
    painted_size: (usize, usize, f32),
    cursor: egui::CursorIcon,
    accessibility: Option<egui::accesskit::TreeUpdate>,
}

impl App {
    /// A window of `size` pixels.
    pub fn new(size: (usize, usize), options: Options) -> Self {
        let context = egui::Context::default();
        theme::apply(&context);
        let size = bounded(size);
        Self {
            context,
            canvas: Canvas::default(),
            stage: Stage::new(size, options.waker),
            frame: vec![theme::STAGE; size.0 * size.1],
            size,
            scale: options.scale.clamp(0.5, 8.0),
            state: State::default(),
            talking: Vec::new(),
            digest: None,
            run_again_at: None,
            shapes: Vec::new(),
            damage: Vec::new(),
            painted_size: (0, 0, 0.0),
            cursor: egui::CursorIcon::Default,
            accessibility: None,
        }
    }

    /// Composed pixels, rows top down, `0x00RRGGBB`.
    pub fn pixels(&self) -> &[u32] {
        &self.frame
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Pixels per point of the interface, the user's zoom included: input is in points.
    pub fn pixels_per_point(&self) -> f32 {
        self.scale * self.context.zoom_factor()
    }

    /// Changes the number of pixels, within sensible bounds; see [`size`](Self::size).
    pub fn resize(&mut self, size: (usize, usize)) {
        let size = bounded(size);
        if size != self.size {
            self.size = size;
            self.stage.resize(size);
            self.frame.clear();
            self.frame.resize(size.0 * size.1, theme::STAGE);
        }
    }

    /// From now on each run of the interface leaves a description of it for [`accessibility`](Self::accessibility).
    pub fn enable_accessibility(&mut self) {
        self.context.enable_accesskit();
        self.digest = None;
    }

    /// Names, roles and places of the controls, as of the last run of the interface.
    pub fn accessibility(&self) -> Option<&egui::accesskit::TreeUpdate> {
        self.accessibility.as_ref()
    }

    /// One frame. Only `events`, `modifiers` and `focused` of `input` are looked at; places are in points.
    pub fn frame(&mut self, view: &View, input: RawInput, now: Timestamp) -> FrameOutput {
        let mut output = FrameOutput::default();
        self.listen(&view.people, now);
        self.state.pages = view.people.len().div_ceil(TILES_MAX).max(1);
        self.state.page = self.state.page.min(self.state.pages - 1);

        let places = Places::new(self.size, self.pixels_per_point(), view);
        self.stage.arrange(&view.people, self.state.page, places.tiles_pixels, places.gap_pixels);
        self.stage.compose();
        output.shown.extend_from_slice(self.stage.shown());

        let digest = self.digest_of(view);
        let due = self.run_again_at.is_some_and(|at| now >= at);
        self.damage.clear();
        if !input.events.is_empty() || self.digest != Some(digest) || due {
            self.digest = Some(digest);
            self.interface(view, input, now, &places, &mut output.commands);
        }
        self.damage.extend_from_slice(self.stage.damage());
        for rect in &self.damage {
            let mut frame = Surface { pixels: &mut self.frame, width: self.size.0, height: self.size.1 };
            self.stage.paint(&mut frame, *rect);
            self.canvas.overlay(&mut self.frame, *rect, self.size.0);
        }
        output.changed = !self.damage.is_empty();
        output.cursor = self.cursor;
        let ring_ends = self.talking.iter().map(|(_, until)| *until).min();
        let next = self.run_again_at.into_iter().chain(ring_ends).min();
        output.repaint_after = next.map(|at| at.since(now));
        output
    }

    fn listen(&mut self, people: &[PersonView], now: Timestamp) {
        self.talking.retain(|(_, until)| *until > now);
        for person in people.iter().filter(|p| p.level_dbfs > TALKING_DBFS && !p.muted) {
            let until = now + TALKING_HOLD;
            match self.talking.iter_mut().find(|(key, _)| *key == person.key) {
                Some((_, at)) => *at = until,
                None => self.talking.push((person.key, until)),
            }
        }
    }

    fn talks(&self, key: u64) -> bool {
        self.talking.iter().any(|(k, _)| *k == key)
    }

    /// Runs egui; rasterises what it drew where that differs from last time, and notes where that is.
    fn interface(
        &mut self,
        view: &View,
        mut input: RawInput,
        now: Timestamp,
        places: &Places,
        commands: &mut Vec<Command>,
    ) {
        let pixels_per_point = self.pixels_per_point();
        let size = vec2(self.size.0 as f32, self.size.1 as f32) / pixels_per_point;
        input.screen_rect = Some(egui::Rect::from_min_size(pos2(0.0, 0.0), size));
        input.time = Some(now.0 as f64 / 1e9);
        input.viewports.entry(input.viewport_id).or_default().native_pixels_per_point = Some(self.scale);

        let context = self.context.clone();
        let mut state = self.state;
        let run = context.run_ui(input, |ui| {
            keys(ui, view, &mut state, commands);
            self.draw(ui, places, view, &mut state, commands);
        });
        self.state = state;
        let delay = run.viewport_output.values().map(|v| v.repaint_delay).min().unwrap_or(Duration::MAX);
        self.run_again_at = (delay < Duration::from_secs(3600)).then(|| now + delay);
        self.cursor = run.platform_output.cursor_icon;
        self.accessibility = run.platform_output.accesskit_update;

        let painted_size = (self.size.0, self.size.1, run.pixels_per_point);
        // A new font atlas moves every glyph.
        let everything = painted_size != self.painted_size || run.textures_delta.set.iter().any(|(_, d)| d.is_whole());
        if everything {
            self.damage.push(Rect::new(0, 0, self.size.0, self.size.1));
        } else {
            damaged(&self.shapes, &run.shapes, run.pixels_per_point, self.size, &mut self.damage);
        }
        if self.damage.is_empty() && run.textures_delta.is_empty() {
            return;
        }
        self.shapes.clone_from(&run.shapes);
        self.painted_size = painted_size;
        let meshes = context.tessellate(run.shapes, run.pixels_per_point);
        self.canvas.paint(self.size, meshes, &run.textures_delta, run.pixels_per_point, &self.damage);
    }

    fn draw(&self, ui: &Ui, places: &Places, view: &View, state: &mut State, commands: &mut Vec<Command>) {
        let scale = places.pixels_per_point;
        let on_page = || view.people.iter().skip(state.page * TILES_MAX).take(TILES_MAX);
        for (tile, person) in self.stage.tiles().iter().zip(on_page()).filter(|(t, p)| t.key == p.key) {
            let r = tile.rect;
            let min = pos2(r.x as f32, r.y as f32) / scale;
            let rect = egui::Rect::from_min_size(min, vec2(r.width as f32, r.height as f32) / scale);
            tiles::show(ui, &TileView { rect, person, has_picture: tile.has_picture(), talks: self.talks(person.key) });
        }
        if let Some(place) = places.hint {
            overlay::hint(ui, place, view);
        }
        toolbar::top(ui, places.top, view);
        if let Some(action) = toolbar::bottom(ui, places.toolbar, view, state) {
            toolbar::act(action, view, state, commands);
            ui.ctx().request_repaint();
        }
        let context = ui.ctx();
        if state.statistics {
            overlay::statistics(context, places.stage, view, &view.people);
        }
        if state.help {
            overlay::help(context, places.stage);
        }
        overlay::notices(context, places.stage, view);
    }

    /// A number that differs when the interface would look different.
    fn digest_of(&self, view: &View) -> u64 {
        let mut h = DefaultHasher::new();
        (self.size, self.pixels_per_point().to_bits(), self.state).hash(&mut h);
        (&view.title, view.open, view.elapsed_s, view.people.len()).hash(&mut h);
        (view.muted, view.has_microphone, view.camera_on, view.has_camera, view.attention).hash(&mut h);
        for person in &view.people {
            (person.key, &person.name, person.me, person.muted, person.has_microphone).hash(&mut h);
            (self.talks(person.key), person.attention).hash(&mut h);
            match &person.camera {
                CameraView::Off => 0_u8.hash(&mut h),
                CameraView::Waiting => 1_u8.hash(&mut h),
                CameraView::Live => 2_u8.hash(&mut h),
                CameraView::Frozen(seconds) => (3_u8, seconds).hash(&mut h),
                CameraView::Failed(why) => (4_u8, why).hash(&mut h),
            }
        }
        for tile in self.stage.tiles() {
            (tile.key, tile.has_picture()).hash(&mut h);
        }
        overlay::current(view).for_each(|n| (n.number, &n.text).hash(&mut h));
        if self.state.statistics {
            view.summary.hash(&mut h);
            for f in view.people.iter().map(|p| &p.figures) {
                (f.layer, f.size, f.latency_ms.map(f32::to_bits)).hash(&mut h);
                [f.frames_per_s, f.kbit_per_s, f.loss_percent, f.audio_buffer_ms].map(f32::to_bits).hash(&mut h);
            }
        }
        h.finish()
    }
}

/// Adds the places, in pixels, where two lists of shapes differ. Shapes are compared by their number, from the front and
/// from the back; where something came or went in the middle, all between counts.
fn damaged(old: &[ClippedShape], new: &[ClippedShape], scale: f32, size: (usize, usize), damage: &mut Vec<Rect>) {
    let longest = old.len().min(new.len());
    let (mut front, mut back) = (0, 0);
    if old.len() != new.len() {
        front = old.iter().zip(new).take_while(|(o, n)| o == n).count();
        back = old.iter().rev().zip(new.iter().rev()).take(longest - front).take_while(|(o, n)| o == n).count();
    }
    let (old, new) = (&old[front..old.len() - back], &new[front..new.len() - back]);
    for i in 0..old.len().max(new.len()) {
        let (before, after) = (old.get(i), new.get(i));
        if before == after {
            continue;
        }
        for shape in [before, after].into_iter().flatten() {
            let bounds = shape.shape.visual_bounding_rect().intersect(shape.clip_rect);
            if bounds.is_positive() {
                damage.push(pixels_of(bounds, scale, size));
            }
        }
    }
}

/// The pixels a rectangle of points touches, soft edges included.
fn pixels_of(points: egui::Rect, scale: f32, size: (usize, usize)) -> Rect {
    let min = (points.min * scale).floor() - vec2(2.0, 2.0);
    let max = (points.max * scale).ceil() + vec2(2.0, 2.0);
    let (left, top) = (min.x.max(0.0) as usize, min.y.max(0.0) as usize);
    let (right, bottom) = ((max.x.max(0.0) as usize).min(size.0), (max.y.max(0.0) as usize).min(size.1));
    Rect::new(left, top, right.saturating_sub(left), bottom.saturating_sub(top)).clipped(size)
}

fn bounded((width, height): (usize, usize)) -> (usize, usize) {
    (width.clamp(SIDE_MIN, SIDE_MAX), height.clamp(SIDE_MIN, SIDE_MAX))
}

/// Keys that work wherever the focus is.
fn keys(ui: &Ui, view: &View, state: &mut State, commands: &mut Vec<Command>) {
    let context = ui.ctx();
    if context.egui_wants_keyboard_input() {
        return;
    }
    let events = context.input(|i| i.events.clone());
    for event in events {
        let action = match event {
            Event::Text(text) if text == "?" => Some(Action::Help),
            Event::Key { key, pressed: true, repeat: false, modifiers, .. } => {
                if key == Key::Escape {
                    // One press closes one thing, the uppermost first.
                    (state.help, state.statistics) = (false, state.statistics && state.help);
                }
                action_of(key, modifiers)
            }
            _ => None,
        };
        if let Some(action) = action {
            toolbar::act(action, view, state, commands);
            context.request_repaint();
        }
    }
}

fn action_of(key: Key, modifiers: Modifiers) -> Option<Action> {
    if modifiers.command || modifiers.ctrl {
        return (key == Key::Q).then_some(Action::Leave);
    }
    if modifiers.alt {
        return None;
    }
    match key {
        Key::M => Some(Action::Mute),
        Key::V => Some(Action::Camera),
        Key::H => Some(Action::Hand),
        Key::S => Some(Action::Statistics),
        Key::F1 => Some(Action::Help),
        Key::PageUp => Some(Action::Back),
        Key::PageDown => Some(Action::Forward),
        _ => None,
    }
}

/// Where things stand in the window.
struct Places {
    pixels_per_point: f32,
    top: egui::Rect,
    toolbar: egui::Rect,
    /// Between the bars.
    stage: egui::Rect,
    /// Free for a hint, while there is somebody to wait for.
    hint: Option<egui::Rect>,
    tiles_pixels: Rect,
    gap_pixels: usize,
}

impl Places {
    fn new(size: (usize, usize), pixels_per_point: f32, view: &View) -> Self {
        let points = vec2(size.0 as f32, size.1 as f32) / pixels_per_point;
        let to_pixels = |points: f32| (points * pixels_per_point).round().max(0.0) as usize;
        let top_pixels = to_pixels(theme::TOP_BAR).min(size.1);
        let toolbar_pixels = to_pixels(theme::TOOLBAR).min(size.1 - top_pixels);
        let toolbar_top = (size.1 - toolbar_pixels) as f32 / pixels_per_point;
        let top_bottom = top_pixels as f32 / pixels_per_point;
        let stage = egui::Rect::from_min_max(pos2(0.0, top_bottom), pos2(points.x, toolbar_top));

        let gap_pixels = to_pixels(theme::GAP);
        let mut tiles_pixels = Rect::new(
            gap_pixels,
            top_pixels + gap_pixels,
            size.0.saturating_sub(2 * gap_pixels),
            (size.1 - top_pixels - toolbar_pixels).saturating_sub(2 * gap_pixels),
        )
        .clipped(size);
        let mut hint = None;
        let alone = view.people.len() == 1 && view.people[0].me;
        if view.people.is_empty() {
            hint = Some(stage);
        } else if alone && stage.height() > 3.0 * overlay::HINT {
            hint = Some(egui::Rect::from_min_max(pos2(0.0, toolbar_top - overlay::HINT), stage.max));
            tiles_pixels.height = tiles_pixels.height.saturating_sub(to_pixels(overlay::HINT));
        }
        let top = egui::Rect::from_min_max(pos2(0.0, 0.0), pos2(points.x, top_bottom));
        let toolbar = egui::Rect::from_min_max(pos2(0.0, toolbar_top), pos2(points.x, points.y));
        Self { pixels_per_point, top, toolbar, stage, hint, tiles_pixels, gap_pixels }
    }
}
