//! The window: everybody's picture, the controls around them, and what they ask of the conference.
//!
//! ```text
//!  slots --newest picture--> stage (tiles) --+
//!                                            +--> frame --> window, or nobody (headless), or a PNG
//!  view --egui--> shapes --> canvas ---------+
//!  keys, mouse --egui--> commands --> conference
//! ```
//! [`app::App`] is the whole window as a value: it knows neither display nor clock, so tests and the headless mode run
//! exactly what a person sees. [`window`] and [`headless`] are the two loops around it.
//!
//! The window's thread never waits for the network, a device or a decoder; the only things it waits for are the next
//! published picture and the next look at mouse and keys.

use std::path::PathBuf;

pub mod app;
mod arrangement;
mod browser;
pub mod canvas;
mod chat;
mod clipboard;
mod damage;
pub mod devices;
mod dialogs;
mod doctor;
mod drop;
mod files;
mod focus;
pub mod fonts;
pub mod headless;
mod icons;
mod input;
pub mod interface;
mod keeper;
mod locale;
pub mod look;
mod motion;
mod overlay;
pub mod pace;
mod people;
mod places;
mod quality;
mod reports;
pub mod screenshot;
pub mod settings;
mod shows;
pub mod stage;
pub mod start;
mod state;
mod talkers;
mod text;
pub mod theme;
mod tiles;
mod toolbar;
mod unsent;
pub mod window;
pub mod words;

/// Why there is no window, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No display could be opened.
    #[error("cannot open a window: {0}")]
    NoDisplay(String),
    /// The display refused a picture.
    #[error("the display failed: {0}")]
    Display(String),
    /// A screenshot could not be written.
    #[error("cannot write the screenshot {path}: {message}")]
    Screenshot {
        /// Where it should have gone.
        path: PathBuf,
        /// What failed.
        message: String,
    },
}

/// How a window, or its likeness off screen, is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Title of the window.
    pub title: String,
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Pixels per point of the interface; `None` = what the desktop's environment says, else 1.
    pub scale: Option<f32>,
    /// What the user chose of looks and language.
    pub preferences: look::Preferences,
    /// Picture quality and interface as settings have them: for the panel of settings.
    pub next: (u8, String),
    /// How others are invited is shown at once.
    pub invite: bool,
    /// Frames per second at most.
    pub fps: u32,
    /// Where to write the composed window once a second and at the end.
    pub screenshot: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            title: "Roundtable".into(),
            size: (1280, 720),
            scale: None,
            preferences: look::Preferences::default(),
            next: (65, String::new()),
            invite: false,
            fps: 120,
            screenshot: None,
        }
    }
}
