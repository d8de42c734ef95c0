//! The window on a display: minifb around [`App`], on the main thread.
//!
//! ```text
//!            +--> picture published: compose at once, or when rested (see `pace`)
//!  wait -----+--> time to look at mouse and keys: 8 ms with the mouse over the window, else 16 to 33
//!            +--> time to look at the conference: 33 ms
//! ```
//! The display gets pixels only when they changed, and once a second besides: minifb does not tell when another window
//! has uncovered this one.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use minifb::{CursorStyle, ScaleMode, WindowOptions};

use crate::conference::view::{Command, View};
use crate::device::clock::Clock;
use crate::pipeline::slot::{PictureInfo, Waker};
use crate::time::Timestamp;
use crate::ui::app::{self, App, FrameOutput};
use crate::ui::clipboard::Clipboard;
use crate::ui::devices::Lists;
use crate::ui::headless::{VIEW_EVERY, look_due};
use crate::ui::input::Input;
use crate::ui::keeper::Keeper;
use crate::ui::pace::Pace;
use crate::ui::screenshot::Screenshots;
use crate::ui::{Error, Options, browser, locale};

/// Time between looks at mouse and keys: shorter than any click where clicks can happen.
const LOOK_MOUSE: Duration = Duration::from_millis(8);
const LOOK_FOCUSED: Duration = Duration::from_millis(16);
const LOOK_AWAY: Duration = Duration::from_millis(33);
/// Unchanged pixels are shown again after this time.
const REFRESH: Duration = Duration::from_secs(1);
/// The same while the window is new: what is drawn before it is on the screen is lost.
const REFRESH_NEW: Duration = Duration::from_millis(100);
const NEW: Duration = Duration::from_secs(2);

/// Tells at once where no window can be opened at all, before anything that it is to show is begun.
///
/// # Errors
/// [`Error::NoDisplay`] when the environment names no display.
pub fn possible() -> Result<(), Error> {
    let named = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    if cfg!(any(windows, target_os = "macos")) || named("DISPLAY") || named("WAYLAND_DISPLAY") {
        return Ok(());
    }
    Err(Error::NoDisplay("neither DISPLAY nor WAYLAND_DISPLAY is set".into()))
}

/// Shows the window until the user leaves or the view says that the conference has ended. `feed` gives the conference as
/// it is now, some thirty times a second; `commands` gets what the user asks for, closing the window being
/// [`Command::Leave`]; `on_shown` is told each picture the moment the frame it is in goes to the display.
///
/// Must run on the process's main thread. Fails with [`Error::NoDisplay`] where there is none.
pub fn run(
    mut feed: impl FnMut() -> View,
    commands: Sender<Command>,
    mut on_shown: impl FnMut(u64, &PictureInfo),
    clock: &Clock,
    options: &Options,
) -> Result<(), Error> {
    let mut shell = Shell::open(clock.now(), options)?;
    let mut viewed = clock.now();
    let mut shots = options.screenshot.as_deref().map(|path| Screenshots::new(path, viewed)).transpose()?;
    let mut view = feed();
    let mut picture_came = false;
    loop {
        let now = clock.now();
        if view.ended {
            break;
        }
        if look_due(now, viewed, picture_came) {
            (view, viewed) = (feed(), now);
        }
        let mut wait = VIEW_EVERY.saturating_sub(now.since(viewed));
        let rest = shell.pace.rest(now);
        if rest > Duration::ZERO {
            wait = rest;
        } else {
            let output = shell.frame(&view, now);
            output.shown.iter().for_each(|(key, info)| on_shown(*key, info));
            shell.hand_over(&output, now, clock)?;
            let leaves = output.commands.contains(&Command::Leave);
            for command in output.commands {
                // Never waits: a full channel means that the conference is stuck, and pressing again is possible.
                let _ = commands.try_send(command);
                viewed = now - VIEW_EVERY;
            }
            if leaves {
                break;
            }
            if let Some(shots) = &mut shots {
                shots.offer(shell.app.pixels(), shell.app.size(), now);
            }
            wait = output.repaint_after.map_or(wait, |after| wait.min(after));
        }
        wait = wait.min(shell.look(now));
        if !shell.window.is_open() {
            let _ = commands.try_send(Command::Leave);
            break;
        }
        picture_came = shell.waker.wait(wait.max(Duration::from_micros(200)));
    }
    shots.map_or(Ok(()), |shots| shots.finish(shell.app.pixels(), shell.app.size()))
}

/// The display's side of the window.
struct Shell {
    window: minifb::Window,
    input: Input,
    events: Vec<egui::Event>,
    app: App,
    pace: Pace,
    waker: Arc<Waker>,
    clipboard: Clipboard,
    keeper: Keeper,
    opened: Timestamp,
    looked: Timestamp,
    shown: Timestamp,
    cursor: egui::CursorIcon,
    /// Size of the window when the last frame was composed.
    size: (usize, usize),
}

impl Shell {
    fn open(now: Timestamp, options: &Options) -> Result<Self, Error> {
        let mut window = open_window(options)?;
        // The loop keeps its own pace; minifb's would be a second one.
        window.set_target_fps(0);
        let [_, r, g, b] = options.preferences.look().colours.stage_pixel().to_be_bytes();
        window.set_background_color(r, g, b);
        let waker = Arc::new(Waker::default());
        let scale = options.scale.unwrap_or_else(desktop_scale);
        let preferences = options.preferences;
        let setup = app::Options { scale, waker: waker.clone(), preferences, system_fonts: true };
        let mut app = App::new(options.size, setup);
        app.set_devices(Lists::of_system(Arc::clone(&waker)));
        app.set_next(options.next.0, &options.next.1);
        Ok(Self {
            input: Input::new(&mut window),
            window,
            events: Vec::new(),
            app,
            pace: Pace::new(options.fps),
            keeper: Keeper::new(Arc::clone(&waker)),
            clipboard: Clipboard::new(Arc::clone(&waker)),
            waker,
            opened: now,
            looked: now,
            shown: now,
            cursor: egui::CursorIcon::Default,
            size: options.size,
        })
    }

    fn frame(&mut self, view: &View, now: Timestamp) -> FrameOutput {
        self.size = self.window.get_size();
        self.app.resize(self.size);
        let input = egui::RawInput {
            events: std::mem::take(&mut self.events),
            modifiers: self.input.modifiers(),
            focused: self.input.focused(),
            ..Default::default()
        };
        let mut output = self.app.frame(view, input, now);
        if let Some(text) = output.copied.take() {
            self.clipboard.copy(text);
        }
        self.keeper.keep(std::mem::take(&mut output.settings));
        if let Some(outcome) = self.keeper.outcome() {
            self.app.kept(outcome);
        }
        if let Some(address) = output.opened.take() {
            browser::open(&address);
        }
        output
    }

    /// Gives the display the frame when it differs from what it has, or may have lost.
    fn hand_over(&mut self, output: &FrameOutput, now: Timestamp, clock: &Clock) -> Result<(), Error> {
        if output.cursor != self.cursor {
            self.cursor = output.cursor;
            self.window.set_cursor_style(match output.cursor {
                egui::CursorIcon::PointingHand => CursorStyle::OpenHand,
                egui::CursorIcon::Text => CursorStyle::Ibeam,
                egui::CursorIcon::ResizeHorizontal => CursorStyle::ResizeLeftRight,
                _ => CursorStyle::Arrow,
            });
        }
        let refresh = if now.since(self.opened) < NEW { REFRESH_NEW } else { REFRESH };
        if !output.changed && now.since(self.shown) < refresh {
            return Ok(());
        }
        let (width, height) = self.app.size();
        self.window.update_with_buffer(self.app.pixels(), width, height).map_err(|e| Error::Display(e.to_string()))?;
        (self.looked, self.shown) = (now, now);
        self.input.collect(&self.window, self.app.pixels_per_point(), &mut self.events);
        self.pace.painted(now, clock.now());
        Ok(())
    }

    /// Looks at mouse and keys when it is time. Returns when it will be time again, or zero when something happened.
    fn look(&mut self, now: Timestamp) -> Duration {
        let every = match (self.input.mouse_inside(), self.input.focused()) {
            (true, _) => LOOK_MOUSE,
            (false, true) => LOOK_FOCUSED,
            (false, false) => LOOK_AWAY,
        };
        if now.since(self.looked) >= every {
            self.window.update();
            self.looked = now;
            self.input.collect(&self.window, self.app.pixels_per_point(), &mut self.events);
        }
        if self.input.wants_paste() {
            self.clipboard.paste();
        }
        self.events.extend(self.clipboard.pasted().map(egui::Event::Paste));
        if !self.events.is_empty() || self.window.get_size() != self.size {
            return self.pace.rest(now);
        }
        every.saturating_sub(now.since(self.looked))
    }
}

fn open_window(options: &Options) -> Result<minifb::Window, Error> {
    let window = WindowOptions { resize: true, scale_mode: ScaleMode::UpperLeft, ..Default::default() };
    let (width, height) = options.size;
    locale::use_environment();
    minifb::Window::new(&options.title, width, height, window)
        .or_else(|_| {
            // A character set the display has no input method for: better plain text than no window.
            locale::use_plain();
            minifb::Window::new(&options.title, width, height, window)
        })
        .map_err(|e| match e {
            minifb::Error::WindowCreate(why) => Error::NoDisplay(why),
            other => Error::NoDisplay(other.to_string()),
        })
}

/// Pixels per point as the desktop's environment has it.
fn desktop_scale() -> f32 {
    ["ROUNDTABLE_SCALE", "GDK_SCALE", "QT_SCALE_FACTOR"]
        .iter()
        .filter_map(|name| std::env::var(name).ok()?.parse::<f32>().ok())
        .find(|scale| (0.5..=8.0).contains(scale))
        .unwrap_or(1.0)
}
