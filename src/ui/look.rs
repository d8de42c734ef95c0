//! How the window looks and speaks: handed to everything that draws.

use crate::ui::theme::{Colours, DARK, LIGHT};
use crate::ui::words::{Language, Words};

/// Colours and words.
#[derive(Clone, Copy)]
pub struct Look {
    /// Colours.
    pub colours: &'static Colours,
    /// Words.
    pub words: &'static Words,
}

/// What a user may choose of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Preferences {
    /// Dark on light.
    pub light: bool,
    /// Language.
    pub language: Language,
    /// Pictures fill their tiles, whatever is cut.
    pub crop: bool,
    /// Nothing moves by itself: tiles jump to their places.
    pub still: bool,
    /// Size of text and controls; `None` follows the screen.
    pub text_percent: Option<u16>,
}

impl Preferences {
    /// What comes of it.
    pub fn look(self) -> Look {
        Look { colours: if self.light { &LIGHT } else { &DARK }, words: self.language.words() }
    }
}
