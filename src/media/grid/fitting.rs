//! A picture brought to its tile's size while it is still being decoded.
//!
//! ```text
//! picture  [ rows decoded        |  not yet ]      begin(size, tile)
//! fitted   [ rows made of them | not yet    ]      advance(picture, rows) after each group; take() at the end
//! ```
//! What the last group leaves to do is thus a fraction of the whole, and the window has pixels to copy and nothing to
//! compute.

use super::scaler::{Scaler, Taps};
use super::{Placement, Rect, Surface, place};
use crate::media::picture::Picture;

/// One picture at a time; keeps its memory from one to the next.
#[derive(Default)]
pub struct Fitting {
    scaler: Scaler,
    crop: Rect,
    fitted: Picture,
    rows: usize,
    needed: bool,
}

impl Fitting {
    /// Begins a picture of the given size for a tile, giving up any unfinished one. Returns whether anything is to be
    /// done: a picture that fills its tile as it is needs no fitting.
    pub fn begin(&mut self, picture: (usize, usize), tile: (usize, usize)) -> bool {
        let Placement { crop, target } = place(picture, tile);
        self.needed = !target.is_empty() && (crop.width, crop.height) != (target.width, target.height);
        if self.needed {
            (self.crop, self.rows) = (crop, 0);
            if (self.fitted.width, self.fitted.height) != (target.width, target.height) {
                self.fitted.reshape(target.width, target.height);
            }
        }
        self.needed
    }

    /// Does what the first `rows` rows of `picture`, which has the size begun with, allow.
    pub fn advance(&mut self, picture: &Picture, rows: usize) {
        let Picture { width, height, .. } = self.fitted;
        if !self.needed || picture.pixels.len() < picture.width * picture.height {
            return;
        }
        let down = Taps { from: self.crop.height, to: height };
        let from = self.rows;
        while self.rows < height && self.crop.y + down.second(down.at(self.rows)) < rows {
            self.rows += 1;
        }
        let inside = Rect::new(0, 0, width, height);
        let part = Rect::new(0, from, width, self.rows - from);
        let mut surface = Surface { pixels: &mut self.fitted.pixels, width, height };
        self.scaler.scale(picture, self.crop, false, &mut surface, inside, part);
    }

    /// Swaps the fitted picture out; `into`'s memory is used for the next. `false`: it needed no fitting, or rows are
    /// missing, and nothing happened.
    pub fn take(&mut self, into: &mut Picture) -> bool {
        let whole = self.needed && self.rows == self.fitted.height;
        if whole {
            std::mem::swap(&mut self.fitted, into);
            self.needed = false;
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::grid::Manner;

    fn picture(width: usize, height: usize) -> Picture {
        let pixels = (0..width * height).map(|i| (i as u32).wrapping_mul(2_654_435_761)).collect();
        Picture { width, height, pixels }
    }

    #[test]
    fn in_parts_it_becomes_what_drawing_it_at_once_gives() {
        // Smaller, larger, cut, framed; by DCT scaling some rows come at a time.
        let cases = [
            ((64, 36), (48, 27)),
            ((64, 36), (112, 63)),
            ((64, 40), (48, 27)),
            ((64, 48), (96, 54)),
            ((640, 360), (32, 18)),
        ];
        let mut fitting = Fitting::default();
        for (from, tile) in cases {
            for step in [1, 7, 40, 1_000] {
                let picture = picture(from.0, from.1);
                assert!(fitting.begin(from, tile));
                for rows in (0..from.1).step_by(step).chain([from.1]) {
                    fitting.advance(&picture, rows);
                }
                let mut fitted = Picture::default();
                assert!(fitting.take(&mut fitted));
                let on_tile = |picture: &Picture| {
                    let mut pixels = vec![7; tile.0 * tile.1];
                    let mut surface = Surface { pixels: &mut pixels, width: tile.0, height: tile.1 };
                    let whole = Rect::new(0, 0, tile.0, tile.1);
                    Scaler::default().draw(
                        picture,
                        Manner { background: 3, ..Manner::default() },
                        &mut surface,
                        whole,
                        whole,
                    );
                    pixels
                };
                assert_eq!(on_tile(&fitted), on_tile(&picture), "{from:?} on {tile:?}, {step} rows at a time");
            }
        }
    }

    #[test]
    fn a_picture_that_fits_and_a_tile_of_nothing_need_nothing() {
        let (mut fitting, mut out) = (Fitting::default(), Picture::default());
        for (from, tile) in [((64, 36), (64, 36)), ((64, 40), (64, 36)), ((64, 36), (0, 9)), ((0, 0), (9, 9))] {
            assert!(!fitting.begin(from, tile), "{from:?} on {tile:?}");
            fitting.advance(&picture(from.0, from.1), from.1);
            assert!(!fitting.take(&mut out));
        }
    }

    #[test]
    fn an_unfinished_picture_is_not_given() {
        let (mut fitting, mut out) = (Fitting::default(), Picture::default());
        assert!(fitting.begin((64, 36), (48, 27)));
        fitting.advance(&picture(64, 36), 35);
        assert!(!fitting.take(&mut out));
        fitting.advance(&Picture { width: 64, height: 36, pixels: vec![0; 9] }, 36);
        assert!(!fitting.take(&mut out), "a picture that lies about its size");
    }
}
