//! The grid of tiles: where each stands, and how a picture comes into its tile.
//!
//! ```text
//!  layout(5)          fit                crop (aspects nearly equal)
//!  +----+ +----+      +-+--------+-+     +----------+
//!  |    | |    |      | |        | |     |::::::::::|  a little of the
//!  +----+ +----+      | |picture | |     | picture  |  picture is cut
//!    +----+           | |        | |     |::::::::::|  on two sides
//!    ...              +-+--------+-+     +----------+
//! ```
//! [`Scaler`] draws a picture into its tile, or a part of the tile; [`Fitting`] brings a picture to its tile's size while
//! it is still being decoded.
//!
//! Integer arithmetic only. Pictures are `0x00RRGGBB` words ([`Picture`](super::picture::Picture)). The inner loops are plain walks over slices,
//! so that the compiler vectorises them. Nothing here knows of people, windows or time, and nothing allocates once the
//! row buffers have grown to the widest picture.

mod fitting;
mod scaler;

pub use fitting::Fitting;
pub use scaler::{Manner, Scaler};

/// Aspect ratio of every tile.
pub const TILE_ASPECT: (usize, usize) = (16, 9);

/// A picture is cut rather than framed when no more than this share of it is lost, in percent.
const CROP_PERCENT_MAX: usize = 12;

/// A rectangle in pixels, origin at the top left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// Left column.
    pub x: usize,
    /// Top row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Rect {
    /// A rectangle by its corner and size.
    pub const fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self { x, y, width, height }
    }

    /// First column right of it.
    pub const fn right(self) -> usize {
        self.x + self.width
    }

    /// First row below it.
    pub const fn bottom(self) -> usize {
        self.y + self.height
    }

    /// Whether it holds no pixel.
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// What both hold; empty when they do not touch.
    pub fn intersection(self, other: Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (right, bottom) = (self.right().min(other.right()), self.bottom().min(other.bottom()));
        Self::new(x, y, right.saturating_sub(x), bottom.saturating_sub(y))
    }

    /// The part of it inside a buffer of `width` x `height`.
    pub fn clipped(self, (width, height): (usize, usize)) -> Self {
        let (x, y) = (self.x.min(width), self.y.min(height));
        Self::new(x, y, self.width.min(width - x), self.height.min(height - y))
    }
}

/// The largest rectangle of the given aspect within `width` x `height`.
fn inscribed(width: usize, height: usize, (across, down): (usize, usize)) -> (usize, usize) {
    if width * down <= height * across { (width, width * down / across) } else { (height * across / down, height) }
}

/// So much larger, in a hundred, tiles must be for a last row that is not full.
const FULL_ROWS_WORTH: usize = 8;

/// Places `people` tiles of one size and the given aspect in `area`, as large as they can be, `gap` pixels apart, row by
/// row, the whole and its last row centred; of shapes as good the wider. Tiles never overlap and never leave the area; an area too small for a pixel
/// each gives empty tiles.
pub fn layout(people: usize, area: Rect, aspect: (usize, usize), gap: usize) -> Vec<Rect> {
    let mut best: Option<(usize, usize, (usize, usize))> = None;
    // So many places of the last row stay empty.
    let empty = |columns: usize, rows: usize| columns * rows - people;
    for columns in 1..=people {
        let rows = people.div_ceil(columns);
        let cell_width = area.width.saturating_sub(gap * (columns - 1)) / columns;
        let cell_height = area.height.saturating_sub(gap * (rows - 1)) / rows;
        let tile = inscribed(cell_width, cell_height, aspect);
        let (area, full) = (tile.0 * tile.1 * 100, empty(columns, rows));
        // Two in a hundred is rounding: the wider shape then looks better. For a last row that is full somewhat more may go.
        if best.is_none_or(|(c, r, b)| match (empty(c, r), full) {
            (0, 1..) => area > b.0 * b.1 * (100 + FULL_ROWS_WORTH),
            (1.., 0) => area >= b.0 * b.1 * (100 - FULL_ROWS_WORTH),
            _ => area >= b.0 * b.1 * 98,
        }) {
            best = Some((columns, rows, tile));
        }
    }
    let Some((columns, rows, (width, height))) = best else { return Vec::new() };
    let gap = if width == 0 || height == 0 { 0 } else { gap };
    let top = area.y + (area.height - (rows * height + gap * (rows - 1))) / 2;
    (0..people)
        .map(|i| {
            let (row, column) = (i / columns, i % columns);
            let in_row = columns.min(people - row * columns);
            let left = area.x + (area.width - (in_row * width + gap * (in_row - 1))) / 2;
            Rect::new(left + column * (width + gap), top + row * (height + gap), width, height)
        })
        .collect()
}

/// Which part of a picture is shown, and where inside a tile it stands (relative to the tile's corner).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Part of the picture.
    pub crop: Rect,
    /// Part of the tile; what it leaves free is background.
    pub target: Rect,
}

/// Places a picture in a tile with its aspect kept: cut where little is lost, framed otherwise.
pub fn place(picture: (usize, usize), tile: (usize, usize)) -> Placement {
    place_as(picture, tile, false)
}

/// As [`place`]; with `fill` the tile is filled however much is cut.
fn place_as(picture: (usize, usize), tile: (usize, usize), fill: bool) -> Placement {
    let whole = Rect::new(0, 0, picture.0, picture.1);
    if picture.0 == 0 || picture.1 == 0 || tile.0 == 0 || tile.1 == 0 {
        return Placement { crop: whole, target: Rect::default() };
    }
    let (width, height) = inscribed(picture.0, picture.1, tile);
    let (width, height) = (width.max(1), height.max(1));
    if fill || width * height * 100 >= picture.0 * picture.1 * (100 - CROP_PERCENT_MAX) {
        let crop = Rect::new((picture.0 - width) / 2, (picture.1 - height) / 2, width, height);
        return Placement { crop, target: Rect::new(0, 0, tile.0, tile.1) };
    }
    let (width, height) = inscribed(tile.0, tile.1, picture);
    let (width, height) = (width.max(1), height.max(1));
    let target = Rect::new((tile.0 - width) / 2, (tile.1 - height) / 2, width, height);
    Placement { crop: whole, target }
}

/// A buffer of pixels to draw into.
pub struct Surface<'a> {
    /// Rows top down without padding.
    pub pixels: &'a mut [u32],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Surface<'_> {
    fn row(&mut self, y: usize, x: usize, width: usize) -> &mut [u32] {
        let start = y * self.width + x;
        &mut self.pixels[start..start + width]
    }

    /// Fills a rectangle with one colour.
    pub fn fill(&mut self, rect: Rect, colour: u32) {
        let rect = rect.clipped((self.width, self.height));
        for y in rect.y..rect.bottom() {
            self.row(y, rect.x, rect.width).fill(colour);
        }
    }

    /// Darkens a rectangle to a third.
    pub fn dim(&mut self, rect: Rect) {
        let rect = rect.clipped((self.width, self.height));
        for y in rect.y..rect.bottom() {
            for pixel in self.row(y, rect.x, rect.width) {
                *pixel = ((*pixel >> 2) & 0x003f_3f3f) + ((*pixel >> 4) & 0x000f_0f0f);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::picture::Picture;

    fn overlap(a: Rect, b: Rect) -> bool {
        a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
    }

    fn check(people: usize, area: Rect, gap: usize) {
        let tiles = layout(people, area, TILE_ASPECT, gap);
        assert_eq!(tiles.len(), people);
        for (i, t) in tiles.iter().enumerate() {
            let label = format!("tile {i} of {people} in {area:?}: {t:?}");
            assert!(t.x >= area.x && t.y >= area.y, "{label}");
            assert!(t.right() <= area.right() && t.bottom() <= area.bottom(), "{label}");
            assert_eq!((t.width, t.height), (tiles[0].width, tiles[0].height), "{label}");
            assert!((t.width * 9).abs_diff(t.height * 16) <= 16, "{label}: aspect");
            for other in &tiles[..i] {
                assert!(!overlap(*t, *other), "{label} lies over {other:?}");
            }
        }
    }

    #[test]
    fn tiles_stay_inside_and_apart_for_everybody() {
        let areas = [(0, 34, 1280, 634), (0, 0, 800, 500), (7, 3, 1919, 1079), (0, 0, 333, 777), (5, 5, 64, 2000)];
        for (x, y, w, h) in areas {
            for people in 1..=49 {
                for gap in [0, 3, 8] {
                    check(people, Rect::new(x, y, w, h), gap);
                }
            }
        }
    }

    #[test]
    fn the_grid_takes_the_shape_that_shows_most() {
        let cases =
            [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 3), (7, 3), (9, 3), (10, 4), (16, 4), (25, 5), (49, 7)];
        for (people, columns) in cases {
            let tiles = layout(people, Rect::new(0, 0, 1280, 720), TILE_ASPECT, 0);
            let first_row = tiles.iter().filter(|t| t.y == tiles[0].y).count();
            assert_eq!(first_row, columns, "{people} people");
        }
        // As the window has it: eight in a row would leave one of 49 alone in the last.
        let stage = layout(49, Rect::new(6, 40, 1268, 622), TILE_ASPECT, 6);
        assert_eq!(stage.iter().filter(|t| t.y == stage[0].y).count(), 7);
        let tall = layout(3, Rect::new(0, 0, 400, 900), TILE_ASPECT, 0);
        assert!(tall[0].x == tall[1].x && tall[1].x == tall[2].x, "a tall window stacks");
    }

    #[test]
    fn the_last_row_is_centred() {
        let tiles = layout(5, Rect::new(0, 0, 1280, 720), TILE_ASPECT, 8);
        let (left, right) = (tiles[3].x, 1280 - tiles[4].right());
        assert!(left.abs_diff(right) <= 1, "{left} and {right}");
    }

    #[test]
    fn degenerate_areas_give_empty_tiles() {
        assert!(layout(0, Rect::new(0, 0, 100, 100), TILE_ASPECT, 4).is_empty());
        for area in [Rect::default(), Rect::new(3, 3, 1, 0), Rect::new(0, 0, 10, 10)] {
            let tiles = layout(49, area, TILE_ASPECT, 8);
            assert!(tiles.iter().all(|t| t.right() <= area.right() && t.bottom() <= area.bottom()));
        }
    }

    #[test]
    fn pictures_are_cut_a_little_or_framed() {
        let cases = [
            // Equal aspects: the whole picture fills the tile.
            ((1280, 720), (640, 360), Rect::new(0, 0, 1280, 720), Rect::new(0, 0, 640, 360)),
            // 16:10 in 16:9 loses a tenth of its rows.
            ((1280, 800), (640, 360), Rect::new(0, 40, 1280, 720), Rect::new(0, 0, 640, 360)),
            // 4:3 in 16:9 would lose a quarter: framed.
            ((640, 480), (640, 360), Rect::new(0, 0, 640, 480), Rect::new(80, 0, 480, 360)),
            // Portrait.
            ((90, 160), (320, 180), Rect::new(0, 0, 90, 160), Rect::new(109, 0, 101, 180)),
        ];
        for (picture, tile, crop, target) in cases {
            assert_eq!(place(picture, tile), Placement { crop, target }, "{picture:?} in {tile:?}");
        }
        assert!(place((0, 10), (10, 10)).target.is_empty());
        assert!(place((10, 10), (10, 0)).target.is_empty());
    }

    fn ramp(width: usize, height: usize) -> Picture {
        let pixels = (0..width * height)
            .map(|i| {
                let (x, y) = (i % width, i / width);
                (((x * 255 / width.max(2)) << 16) | ((y * 255 / height.max(2)) << 8) | ((x + y) % 256)) as u32
            })
            .collect();
        Picture { width, height, pixels }
    }

    fn drawn(picture: &Picture, mirrored: bool, size: (usize, usize), rect: Rect) -> Vec<u32> {
        let mut pixels = vec![0x00aa_aaaa; size.0 * size.1];
        let mut surface = Surface { pixels: &mut pixels, width: size.0, height: size.1 };
        let whole = Rect::new(0, 0, size.0, size.1);
        Scaler::default().draw(
            picture,
            Manner { mirrored, fill: false, background: 0x0011_2233 },
            &mut surface,
            rect,
            whole,
        );
        pixels
    }

    #[test]
    fn equal_sizes_are_copied_exactly_and_mirrored_exactly() {
        let picture = ramp(32, 18);
        let out = drawn(&picture, false, (40, 20), Rect::new(4, 1, 32, 18));
        let mirror = drawn(&picture, true, (40, 20), Rect::new(4, 1, 32, 18));
        for y in 0..18 {
            for x in 0..32 {
                assert_eq!(out[(y + 1) * 40 + 4 + x], picture.pixels[y * 32 + x]);
                assert_eq!(mirror[(y + 1) * 40 + 4 + 31 - x], picture.pixels[y * 32 + x]);
            }
        }
        assert!(out[..40].iter().chain(&out[19 * 40..]).all(|p| *p == 0x00aa_aaaa), "nothing outside the tile");
    }

    #[test]
    fn scaling_keeps_flat_colours_and_stays_near_the_ideal_ramp() {
        for (from, to) in [((64, 36), (48, 27)), ((64, 36), (32, 18)), ((32, 18), (100, 56)), ((640, 360), (32, 18))] {
            let flat = Picture { width: from.0, height: from.1, pixels: vec![0x00fe_017f; from.0 * from.1] };
            let rect = Rect::new(0, 0, to.0, to.1);
            assert!(drawn(&flat, false, to, rect).iter().all(|p| *p == 0x00fe_017f), "{from:?} to {to:?}");
            let step = 255 / from.0.min(to.0) + 2;
            let out = drawn(&ramp(from.0, from.1), false, to, rect);
            let mirror = drawn(&ramp(from.0, from.1), true, to, rect);
            for x in 0..to.0 {
                let red = (out[(to.1 / 2) * to.0 + x] >> 16) as usize;
                assert!(red.abs_diff((2 * x + 1) * 255 / (2 * to.0)) <= step, "{from:?} to {to:?} at {x}: {red}");
                assert_eq!(out[x], mirror[to.0 - 1 - x], "{from:?} to {to:?} mirrored at {x}");
            }
        }
    }

    #[test]
    fn the_frame_around_a_picture_is_background() {
        let white = Picture { width: 40, height: 30, pixels: vec![0x00ff_ffff; 1200] };
        let out = drawn(&white, false, (160, 90), Rect::new(0, 0, 160, 90));
        assert_eq!(out[45 * 160 + 19], 0x0011_2233);
        assert_eq!(out[45 * 160 + 20], 0x00ff_ffff);
        assert_eq!(out[45 * 160 + 139], 0x00ff_ffff);
        assert_eq!(out[45 * 160 + 140], 0x0011_2233);
    }

    #[test]
    fn pictures_that_lie_about_their_size_and_tiles_outside_do_no_harm() {
        let liar = Picture { width: 100, height: 100, pixels: vec![1; 10] };
        assert!(drawn(&liar, false, (16, 9), Rect::new(0, 0, 16, 9)).iter().all(|p| *p == 0x0011_2233));
        drawn(&ramp(1, 1), true, (16, 9), Rect::new(10, 5, 1000, 1000));
        drawn(&ramp(2040, 1), false, (3, 90), Rect::new(0, 0, 3, 90));
        assert!(drawn(&Picture::default(), false, (4, 4), Rect::new(9, 9, 4, 4)).iter().all(|p| *p == 0x00aa_aaaa));
    }

    #[test]
    fn a_tile_drawn_in_parts_is_the_tile_drawn_at_once() {
        let (size, tile) = ((70, 50), Rect::new(3, 2, 64, 36));
        for from in [(64, 36), (64, 40), (80, 45), (200, 200), (31, 17)] {
            for mirrored in [false, true] {
                let picture = ramp(from.0, from.1);
                let mut pixels = vec![0x00aa_aaaa; size.0 * size.1];
                let mut surface = Surface { pixels: &mut pixels, width: size.0, height: size.1 };
                let mut scaler = Scaler::default();
                for (x, width) in [(0, 5), (5, 25), (30, 40)] {
                    for (y, height) in [(0, 19), (19, 1), (20, 30)] {
                        let part = Rect::new(x, y, width, height);
                        scaler.draw(
                            &picture,
                            Manner { mirrored, fill: false, background: 0x0011_2233 },
                            &mut surface,
                            tile,
                            part,
                        );
                    }
                }
                assert!(pixels == drawn(&picture, mirrored, size, tile), "{from:?}, mirrored: {mirrored}");
            }
        }
    }

    #[test]
    fn dimming_darkens_every_channel() {
        let mut pixels = vec![0x00ff_8040; 4];
        Surface { pixels: &mut pixels, width: 2, height: 2 }.dim(Rect::new(0, 0, 2, 1));
        assert_eq!(pixels, [0x004e_2814, 0x004e_2814, 0x00ff_8040, 0x00ff_8040]);
    }
}
