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

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use minifb::{CursorStyle, ScaleMode, WindowOptions};

use crate::conference::lobby::LobbyView;
use crate::conference::view::{Command, View};
use crate::device::clock::Clock;
use crate::pipeline::slot::{PictureInfo, Waker};
use crate::time::Timestamp;
use crate::ui::app::{self, App, FrameOutput};
use crate::ui::clipboard::Clipboard;
use crate::ui::devices::Lists;
use crate::ui::drop::{Dragged, Drops};
use crate::ui::fonts::Fonts;
use crate::ui::headless::{VIEW_EVERY, look_due};
use crate::ui::input::Input;
use crate::ui::keeper::Keeper;
use crate::ui::look::Preferences;
use crate::ui::pace::Pace;
use crate::ui::screenshot::Screenshots;
use crate::ui::settings::Setting;
use crate::ui::start::{Start, Wish};
use crate::ui::unsent::Unsent;
use crate::ui::words::Words;
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
/// Whoever drags files tells of each movement; a program that ended meanwhile of none.
const DRAGGED: Duration = Duration::from_secs(2);

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
/// [`Command::Leave`]; `on_shown` is told each picture the moment the frame it is in goes to the display, and how long each
/// round took.
///
/// Must run on the process's main thread. Fails with [`Error::NoDisplay`] where there is none.
pub fn run(
    feed: impl FnMut() -> View,
    commands: Sender<Command>,
    on_shown: impl FnMut(Shown<'_>),
    clock: &Clock,
    options: &Options,
) -> Result<(), Error> {
    Display::open(clock, options)?.show(feed, commands, on_shown, clock, options)
}

/// What the window tells of itself.
pub enum Shown<'a> {
    /// A picture of the person of this key is in the frame that goes to the display now.
    Picture(u64, &'a PictureInfo),
    /// It was busy for so long, and so deaf to everything else.
    Busy(Duration),
}

/// What came of waiting for a conference.
pub type Entered<T> = Result<T, String>;

/// An open window.
pub struct Display(Shell);

impl Display {
    /// Opens it. Must be called on the process's main thread.
    ///
    /// # Errors
    /// [`Error::NoDisplay`].
    pub fn open(clock: &Clock, options: &Options) -> Result<Self, Error> {
        Shell::open(clock.now(), options).map(Self)
    }

    /// Shows the start screen until the user is in a conference or goes; `feed` gives what it shows. `enter` begins what
    /// is wished for and gives its name and where the outcome will come; devices are changed at once, and give nothing.
    ///
    /// # Errors
    /// [`Error::Display`].
    pub fn start<T>(
        &mut self,
        mut feed: impl FnMut() -> LobbyView,
        mut enter: impl FnMut(Wish, &str, &'static Words) -> Option<(String, Receiver<Entered<T>>)>,
        clock: &Clock,
        options: &mut Options,
        name: &str,
    ) -> Result<Option<T>, Error> {
        let shell = &mut self.0;
        let mut start = Start::new(shell.window.get_size(), shell.setup(options), name);
        start.set_devices(Lists::of_system(Arc::clone(&shell.waker)));
        let mut entering: Option<Receiver<Entered<T>>> = None;
        loop {
            let now = clock.now();
            if let Some(outcome) = entering.as_ref().and_then(|coming| outcome(coming, start.preferences())) {
                options.preferences = start.preferences();
                match outcome {
                    Ok(entered) => {
                        shell.fonts = Some(start.into_fonts());
                        return Ok(Some(entered));
                    }
                    Err(why) => start.set_busy(None, Some(why)),
                }
                entering = None;
            }
            shell.size = shell.window.get_size();
            start.resize(shell.size);
            let mut output = start.frame(&feed(), shell.take_input(now), now);
            let kept = shell.serve(output.copied.take(), None, std::mem::take(&mut output.settings));
            if let Some(Err(why)) = kept {
                start.not_kept(now, &why);
            }
            shell.hand_over(
                output.changed,
                output.cursor,
                Picture::of(start.pixels(), start.size()),
                start.pixels_per_point(),
                now,
                clock,
            )?;
            if output.cancels {
                // Whoever enters meanwhile finds nobody waiting, and leaves again.
                entering = None;
                start.set_busy(None, None);
            }
            for wish in output.wishes {
                let name = start.name().to_owned();
                if let Some((busy, coming)) = enter(wish, &name, start.preferences().look().words) {
                    start.set_busy(Some(busy), None);
                    entering = Some(coming);
                }
            }
            let wait = output.repaint_after.map_or(VIEW_EVERY, |after| after.min(VIEW_EVERY));
            let wait = wait.min(shell.look(now, start.pixels_per_point()));
            if !shell.window.is_open() {
                return Ok(None);
            }
            shell.waker.wait(wait.max(Duration::from_micros(200)));
        }
    }

    /// Shows a conference; see [`run`].
    ///
    /// # Errors
    /// [`Error::Display`], [`Error::Screenshot`].
    pub fn show(
        self,
        mut feed: impl FnMut() -> View,
        commands: Sender<Command>,
        mut on_shown: impl FnMut(Shown<'_>),
        clock: &Clock,
        options: &Options,
    ) -> Result<(), Error> {
        let mut shell = self.0;
        shell.window.set_title(&options.title);
        let mut app = shell.app(options);
        shell.drops = Drops::of(&shell.window, Arc::clone(&shell.waker));
        if shell.drops.is_some() {
            app.set_drops();
        }
        let mut viewed = clock.now();
        let mut shots = options.screenshot.as_deref().map(|path| Screenshots::new(path, viewed)).transpose()?;
        let mut view = feed();
        let mut picture_came = false;
        let mut unsent = Unsent::default();
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
                let output = shell.frame(&mut app, &view, now);
                output.shown.iter().for_each(|(key, info)| on_shown(Shown::Picture(*key, info)));
                let picture = Picture::of(app.pixels(), app.size());
                shell.hand_over(output.changed, output.cursor, picture, app.pixels_per_point(), now, clock)?;
                let leaves = output.commands.contains(&Command::Leave);
                if !output.commands.is_empty() {
                    viewed = now - VIEW_EVERY;
                }
                unsent.extend(output.commands);
                if leaves {
                    unsent.send(&commands);
                    break;
                }
                if let Some(shots) = &mut shots {
                    shots.offer(app.pixels(), app.size(), now);
                }
                wait = output.repaint_after.map_or(wait, |after| wait.min(after));
            }
            unsent.send(&commands);
            wait = wait.min(shell.look(now, app.pixels_per_point()));
            if !shell.window.is_open() {
                // What was closed stays closed: to ask, there must be another one.
                if app.closes(&view) && shell.reopen(&app, options).is_ok() {
                    continue;
                }
                let _ = commands.try_send(Command::Leave);
                break;
            }
            on_shown(Shown::Busy(clock.now().since(now)));
            picture_came = shell.waker.wait(wait.max(Duration::from_micros(200)));
        }
        shots.map_or(Ok(()), |shots| shots.finish(app.pixels(), app.size()))
    }
}

/// What came of entering; whoever was to enter and is gone without a word has failed.
fn outcome<T>(coming: &Receiver<Entered<T>>, preferences: Preferences) -> Option<Entered<T>> {
    match coming.try_recv() {
        Ok(outcome) => Some(outcome),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Disconnected) => Some(Err(preferences.look().words.not_entered.to_owned())),
    }
}

/// Pixels for the display.
struct Picture<'a> {
    pixels: &'a [u32],
    size: (usize, usize),
}

impl<'a> Picture<'a> {
    fn of(pixels: &'a [u32], size: (usize, usize)) -> Self {
        Self { pixels, size }
    }
}

/// The display's side of the window.
struct Shell {
    window: minifb::Window,
    input: Input,
    events: Vec<egui::Event>,
    pace: Pace,
    waker: Arc<Waker>,
    clipboard: Clipboard,
    keeper: Keeper,
    drops: Option<Drops>,
    /// Those the start screen found.
    fonts: Option<Fonts>,
    /// Files were seen over the window.
    dragged: Option<Timestamp>,
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
        let waker = Arc::new(Waker::default());
        Ok(Self {
            input: Input::new(&mut window),
            window,
            events: Vec::new(),
            pace: Pace::new(options.fps),
            keeper: Keeper::new(Arc::clone(&waker)),
            clipboard: Clipboard::new(Arc::clone(&waker)),
            waker,
            drops: None,
            fonts: None,
            dragged: None,
            opened: now,
            looked: now,
            shown: now,
            cursor: egui::CursorIcon::Default,
            size: options.size,
        })
    }

    /// Another window in place of one that was closed.
    fn reopen(&mut self, app: &App, options: &Options) -> Result<(), Error> {
        // It listens to the window that is gone.
        self.drops = None;
        let mut window = open_window(&Options { size: app.size(), ..options.clone() })?;
        self.input = Input::new(&mut window);
        self.window = window;
        self.drops = Drops::of(&self.window, Arc::clone(&self.waker));
        // Whatever was pressed there is released, Space of push to talk first of all.
        self.events.clear();
        self.events.extend([egui::Event::WindowFocused(false), egui::Event::PointerGone]);
        (self.cursor, self.opened) = (egui::CursorIcon::Default, self.looked);
        Ok(())
    }

    fn setup(&self, options: &Options) -> app::Options {
        let scale = options.scale.unwrap_or_else(desktop_scale);
        app::Options { scale, waker: Arc::clone(&self.waker), preferences: options.preferences, system_fonts: true }
    }

    fn app(&mut self, options: &Options) -> App {
        let mut app = App::new(self.window.get_size(), self.setup(options));
        if let Some(fonts) = self.fonts.take() {
            app.set_fonts(fonts);
        }
        app.set_devices(Lists::of_system(Arc::clone(&self.waker)));
        app.set_next(options.next.0, &options.next.1);
        if options.invite {
            app.open_invite();
        }
        app
    }

    fn take_input(&mut self, now: Timestamp) -> egui::RawInput {
        let mut input = egui::RawInput {
            events: std::mem::take(&mut self.events),
            modifiers: self.input.modifiers(),
            focused: self.input.focused(),
            ..Default::default()
        };
        while let Some(dragged) = self.drops.as_ref().and_then(Drops::next) {
            self.dragged = (dragged == Dragged::Over).then_some(now);
            if let Dragged::Here(paths) = dragged {
                let file = |path| egui::DroppedFile { path: Some(path), ..Default::default() };
                input.dropped_files.extend(paths.into_iter().map(file));
            }
        }
        if self.dragged.is_some_and(|at| now.since(at) < DRAGGED) {
            input.hovered_files.push(egui::HoveredFile::default());
        }
        input
    }

    fn frame(&mut self, app: &mut App, view: &View, now: Timestamp) -> FrameOutput {
        self.size = self.window.get_size();
        app.resize(self.size);
        let input = self.take_input(now);
        let mut output = app.frame(view, input, now);
        let outcome = self.serve(output.copied.take(), output.opened.take(), std::mem::take(&mut output.settings));
        if let Some(outcome) = outcome {
            app.kept(now, outcome);
        }
        output
    }

    /// What is asked of the system beside the display; what came of settings that were to be kept.
    fn serve(
        &mut self,
        copied: Option<String>,
        opened: Option<String>,
        settings: Vec<Setting>,
    ) -> Option<Entered<String>> {
        if let Some(text) = copied {
            self.clipboard.copy(text);
        }
        if let Some(address) = opened {
            browser::open(&address);
        }
        self.keeper.keep(settings);
        self.keeper.outcome()
    }

    /// Gives the display the frame when it differs from what it has, or may have lost.
    fn hand_over(
        &mut self,
        changed: bool,
        cursor: egui::CursorIcon,
        picture: Picture<'_>,
        pixels_per_point: f32,
        now: Timestamp,
        clock: &Clock,
    ) -> Result<(), Error> {
        if cursor != self.cursor {
            self.cursor = cursor;
            self.window.set_cursor_style(match cursor {
                egui::CursorIcon::PointingHand => CursorStyle::OpenHand,
                egui::CursorIcon::Text => CursorStyle::Ibeam,
                egui::CursorIcon::ResizeHorizontal => CursorStyle::ResizeLeftRight,
                _ => CursorStyle::Arrow,
            });
        }
        let refresh = if now.since(self.opened) < NEW { REFRESH_NEW } else { REFRESH };
        if !changed && now.since(self.shown) < refresh {
            return Ok(());
        }
        let (width, height) = picture.size;
        self.window.update_with_buffer(picture.pixels, width, height).map_err(|e| Error::Display(e.to_string()))?;
        (self.looked, self.shown) = (now, now);
        self.input.collect(&self.window, pixels_per_point, &mut self.events);
        self.pace.painted(now, clock.now());
        Ok(())
    }

    /// Looks at mouse and keys when it is time. Returns when it will be time again, or zero when something happened.
    fn look(&mut self, now: Timestamp, pixels_per_point: f32) -> Duration {
        let every = match (self.input.mouse_inside(), self.input.focused()) {
            (true, _) => LOOK_MOUSE,
            (false, true) => LOOK_FOCUSED,
            (false, false) => LOOK_AWAY,
        };
        if now.since(self.looked) >= every {
            self.window.update();
            self.looked = now;
            self.input.collect(&self.window, pixels_per_point, &mut self.events);
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
    let mut window = minifb::Window::new(&options.title, width, height, window)
        .or_else(|_| {
            // A character set the display has no input method for: better plain text than no window.
            locale::use_plain();
            minifb::Window::new(&options.title, width, height, window)
        })
        .map_err(|e| match e {
            minifb::Error::WindowCreate(why) => Error::NoDisplay(why),
            other => Error::NoDisplay(other.to_string()),
        })?;
    // The loop keeps its own pace; minifb's would be a second one.
    window.set_target_fps(0);
    let [_, r, g, b] = options.preferences.look().colours.stage_pixel().to_be_bytes();
    window.set_background_color(r, g, b);
    Ok(window)
}

/// Pixels per point as the desktop's environment has it.
fn desktop_scale() -> f32 {
    ["ROUNDTABLE_SCALE", "GDK_SCALE", "QT_SCALE_FACTOR"]
        .iter()
        .filter_map(|name| std::env::var(name).ok()?.parse::<f32>().ok())
        .find(|scale| (0.5..=8.0).contains(scale))
        .unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_enters_and_is_gone_without_a_word_has_failed() {
        let (tell, coming) = crossbeam_channel::bounded::<Entered<u8>>(1);
        assert_eq!(outcome(&coming, Preferences::default()), None, "it may still come");
        drop(tell);
        assert!(matches!(outcome(&coming, Preferences::default()), Some(Err(why)) if !why.is_empty()));
        let (tell, coming) = crossbeam_channel::bounded::<Entered<u8>>(1);
        tell.send(Ok(7)).expect("there is room");
        drop(tell);
        assert_eq!(outcome(&coming, Preferences::default()), Some(Ok(7)));
    }
}
