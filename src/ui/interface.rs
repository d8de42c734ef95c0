//! The interface of one window: egui run when it has to be, rasterised where it differs, laid over the stage.
//!
//! ```text
//! run(draw):    egui --> shapes --differ from last time?--> canvas; notes where
//! finish(stage):  stage's and interface's damage --> frame
//! ```

use std::sync::Arc;
use std::time::Duration;

use egui::epaint::ClippedShape;
use egui::{OutputCommand, RawInput, Ui, pos2, vec2};

use crate::media::grid::{Rect, Surface};
use crate::pipeline::slot::Waker;
use crate::time::Timestamp;
use crate::ui::canvas::Canvas;
use crate::ui::damage::damaged;
use crate::ui::fonts::Fonts;
use crate::ui::look::{Look, Preferences};
use crate::ui::stage::Stage;
use crate::ui::theme;
use crate::ui::words::fill;

/// Smallest and largest window composed, in pixels a side: anything else is brought into this range.
const SIDE_MIN: usize = 64;
const SIDE_MAX: usize = 8_192;
/// How long the window's own notices stay.
const NOTICE: Duration = Duration::from_secs(10);
/// Two clicks are a double click when the second ends so many seconds after the first: what desktops take, because a slow
/// display sees each of them up to a frame late.
const DOUBLE_CLICK_S: f64 = 0.5;

/// How a window is set up.
#[derive(Clone)]
pub struct Options {
    /// Pixels per point of the interface, unless the user chose another size of text.
    pub scale: f32,
    /// Roused when a picture is published for somebody on the stage.
    pub waker: Arc<Waker>,
    /// What the user chose before.
    pub preferences: Preferences,
    /// Fonts of the system are looked for where the window's own do not do.
    pub system_fonts: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { scale: 1.0, waker: Arc::default(), preferences: Preferences::default(), system_fonts: false }
    }
}

/// What a run of the interface asks of the system.
#[derive(Debug, Default)]
pub struct Asked {
    /// To be put on the clipboard.
    pub copied: Option<String>,
    /// An address to be opened in the browser.
    pub opened: Option<String>,
}

/// The interface, and the frame it is laid into.
pub struct Interface {
    context: egui::Context,
    canvas: Canvas,
    frame: Vec<u32>,
    size: (usize, usize),
    scale: f32,
    preferences: Preferences,
    fonts: Fonts,
    notices: Vec<(Timestamp, String)>,
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

fn bounded((width, height): (usize, usize)) -> (usize, usize) {
    (width.clamp(SIDE_MIN, SIDE_MAX), height.clamp(SIDE_MIN, SIDE_MAX))
}

impl Interface {
    /// For a window of `size` pixels.
    pub fn new(size: (usize, usize), options: &Options) -> Self {
        let context = egui::Context::default();
        let look = options.preferences.look();
        theme::apply(&context, look.colours);
        context.options_mut(|o| {
            o.input_options.max_double_click_delay = DOUBLE_CLICK_S;
            // What the keys make of the size of text is a setting, and kept.
            o.zoom_with_keyboard = false;
        });
        let size = bounded(size);
        Self {
            context,
            canvas: Canvas::default(),
            frame: vec![look.colours.stage_pixel(); size.0 * size.1],
            size,
            scale: options.scale.clamp(0.5, 8.0),
            preferences: options.preferences,
            fonts: Fonts::new(options.system_fonts.then(|| Arc::clone(&options.waker))),
            notices: Vec::new(),
            digest: None,
            run_again_at: None,
            shapes: Vec::new(),
            damage: Vec::new(),
            painted_size: (0, 0, 0.0),
            cursor: egui::CursorIcon::Default,
            accessibility: None,
        }
    }

    /// The fonts found so far, for another interface.
    pub fn into_fonts(self) -> Fonts {
        self.fonts
    }

    /// Takes over fonts that were found before, so that nobody looks for them again.
    pub fn set_fonts(&mut self, fonts: Fonts) {
        fonts.install(&self.context);
        self.fonts = fonts;
        self.digest = None;
    }

    /// Composed pixels, rows top down, `0x00RRGGBB`.
    pub fn pixels(&self) -> &[u32] {
        &self.frame
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Pixels per point of the interface, as the user chose it or the screen has it: input is in points.
    pub fn pixels_per_point(&self) -> f32 {
        self.preferences.text_percent.map_or(self.scale, |percent| (f32::from(percent) / 100.0).clamp(0.5, 4.0))
    }

    /// Changes the number of pixels, within sensible bounds; whether it is another now.
    pub fn resize(&mut self, size: (usize, usize)) -> bool {
        let size = bounded(size);
        let changes = size != self.size;
        if changes {
            self.size = size;
            self.frame.clear();
            self.frame.resize(size.0 * size.1, self.look().colours.stage_pixel());
        }
        changes
    }

    /// From now on each run leaves a description of the interface for [`accessibility`](Self::accessibility).
    pub fn enable_accessibility(&mut self) {
        self.context.enable_accesskit();
        self.digest = None;
    }

    /// Names, roles and places of the controls, as of the last run.
    pub fn accessibility(&self) -> Option<&egui::accesskit::TreeUpdate> {
        self.accessibility.as_ref()
    }

    /// Colours and words.
    pub fn look(&self) -> Look {
        self.preferences.look()
    }

    /// The window's own notices, as they are shown.
    pub fn notices(&self) -> Vec<String> {
        self.notices.iter().map(|(_, text)| text.clone()).collect()
    }

    /// Tells the user something.
    pub fn tell(&mut self, now: Timestamp, text: String) {
        // Told again it stays longer, and stands there once.
        self.notices.retain(|(_, told)| *told != text);
        self.notices.push((now + NOTICE, text));
        self.digest = None;
    }

    /// Takes over what was found or chosen since; to be called before each frame.
    pub fn prepare(&mut self, preferences: Preferences, stage: &mut Stage, now: Timestamp) {
        self.damage.clear();
        let before = self.notices.len();
        self.notices.retain(|(until, _)| *until > now);
        let fonts_found = self.fonts.take(&self.context);
        if fonts_found {
            let words = self.look().words;
            for name in self.fonts.missing() {
                self.tell(now, fill(words.no_font, &[&name.unwrap_or(words.some_characters)]));
            }
        }
        for name in self.fonts.not_shaped() {
            self.tell(now, fill(self.look().words.not_shaped, &[&name]));
        }
        let restyled = self.preferences != preferences;
        if restyled {
            self.preferences = preferences;
            let look = self.look();
            theme::apply(&self.context, look.colours);
            stage.restyle(look.colours, preferences.crop);
        }
        if restyled || fonts_found || before != self.notices.len() {
            self.digest = None;
        }
    }

    /// Whether egui has to run: something it shows may differ (`digest`), something happened, or it asked for it.
    pub fn must_run(&mut self, input: &RawInput, digest: u64, now: Timestamp) -> bool {
        let due = self.run_again_at.is_some_and(|at| now >= at);
        let runs = !input.events.is_empty() || !input.dropped_files.is_empty() || self.digest != Some(digest) || due;
        self.digest = Some(digest);
        runs
    }

    /// Runs egui; rasterises what it drew where that differs from last time, and notes where that is.
    pub fn run(&mut self, mut input: RawInput, now: Timestamp, mut draw: impl FnMut(&mut Ui, &mut Fonts)) -> Asked {
        let pixels_per_point = self.pixels_per_point();
        let size = vec2(self.size.0 as f32, self.size.1 as f32) / pixels_per_point;
        input.screen_rect = Some(egui::Rect::from_min_size(pos2(0.0, 0.0), size));
        input.time = Some(now.0 as f64 / 1e9);
        input.viewports.entry(input.viewport_id).or_default().native_pixels_per_point = Some(pixels_per_point);

        let context = self.context.clone();
        let run = context.run_ui(input, |ui| draw(ui, &mut self.fonts));
        let delay = run.viewport_output.values().map(|v| v.repaint_delay).min().unwrap_or(Duration::MAX);
        self.run_again_at = (delay < Duration::from_secs(3600)).then(|| now + delay);
        self.cursor = run.platform_output.cursor_icon;
        self.accessibility = run.platform_output.accesskit_update;
        let mut asked = Asked::default();
        for command in run.platform_output.commands {
            match command {
                OutputCommand::CopyText(text) => asked.copied = Some(text),
                OutputCommand::OpenUrl(open) => asked.opened = Some(open.url),
                OutputCommand::CopyImage(_) => {}
            }
        }

        let painted_size = (self.size.0, self.size.1, run.pixels_per_point);
        // A new font atlas moves every glyph.
        let everything = painted_size != self.painted_size || run.textures_delta.set.iter().any(|(_, d)| d.is_whole());
        if everything {
            self.damage.push(Rect::new(0, 0, self.size.0, self.size.1));
        } else {
            damaged(&self.shapes, &run.shapes, run.pixels_per_point, self.size, &mut self.damage);
        }
        if self.damage.is_empty() && run.textures_delta.is_empty() {
            return asked;
        }
        self.shapes.clone_from(&run.shapes);
        self.painted_size = painted_size;
        let meshes = context.tessellate(run.shapes, run.pixels_per_point);
        self.canvas.paint(self.size, meshes, &run.textures_delta, run.pixels_per_point, &self.damage);
        asked
    }

    /// Brings what changed, here and on the stage, into the frame; whether anything did.
    pub fn finish(&mut self, stage: &mut Stage) -> bool {
        self.damage.extend_from_slice(stage.damage());
        for rect in &self.damage {
            let mut frame = Surface { pixels: &mut self.frame, width: self.size.0, height: self.size.1 };
            stage.paint(&mut frame, *rect);
            self.canvas.overlay(&mut self.frame, *rect, self.size.0);
        }
        !self.damage.is_empty()
    }

    /// When the interface wants to be looked at again even if nothing happens.
    pub fn next_run(&self) -> Option<Timestamp> {
        self.run_again_at.into_iter().chain(self.notices.iter().map(|(until, _)| *until)).min()
    }

    /// What the mouse pointer should look like.
    pub fn cursor(&self) -> egui::CursorIcon {
        self.cursor
    }
}
