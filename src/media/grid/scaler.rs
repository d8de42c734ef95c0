//! Pictures into tiles, whole or in part.

use super::{Placement, Rect, Surface, place_as};
use crate::media::picture::Picture;

/// Where an output position takes its first sample, and the weight of the second in 256ths. The second sample lies
/// [`Taps::step`] further on, or is the last there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tap {
    first: u32,
    weight: u32,
}

/// From so many input positions to so many output positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taps {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Taps {
    /// Between the two samples. Up to a reduction by two these are the two neighbours of an output position's centre;
    /// beyond, they lie half of what the position covers apart, so that a strong reduction costs no more than a weak one.
    fn step(self) -> usize {
        (self.from / (2 * self.to)).max(1)
    }

    /// Where the second sample of a position is.
    pub(super) fn second(self, tap: Tap) -> usize {
        (tap.first as usize + self.step()).min(self.from - 1)
    }

    pub(super) fn at(self, position: usize) -> Tap {
        // Middle between the samples in 256ths of an input position, from the centre of input position 0.
        let centre = (((2 * position + 1) * self.from * 128) / self.to) as isize - 128;
        if self.step() > 1 {
            let first = ((centre + 128) / 256 - self.step() as isize / 2).max(0);
            return Tap { first: first as u32, weight: 128 };
        }
        let centre = centre.max(0) as u32;
        Tap { first: centre >> 8, weight: centre & 0xff }
    }
}

/// How a picture is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Left and right change places.
    pub mirrored: bool,
    /// The tile is filled however much of the picture is cut.
    pub fill: bool,
    /// Beside the picture, as a pixel.
    pub background: u32,
}

/// Brings pictures into tiles: copied where sizes agree, else bilinear. Keeps its tables and rows between pictures.
#[derive(Default)]
pub struct Scaler {
    /// What the tables were made for, and whether mirrored.
    made_for: (Taps, bool),
    /// Per column of the tile: its first sample, and its weight once for each byte of the pixel.
    columns: Vec<u32>,
    weights: Vec<u16>,
    /// One row of the picture blended of two, and its samples for each column of the tile.
    blended: Vec<u32>,
    first: Vec<u32>,
    second: Vec<u32>,
}

impl Scaler {
    /// Draws `picture` into the tile `tile` of `surface`, aspect kept. Of all that only what lies within `part` is drawn. A
    /// picture whose size does not fit its pixels draws only background.
    pub fn draw(&mut self, picture: &Picture, manner: Manner, surface: &mut Surface<'_>, tile: Rect, part: Rect) {
        let Manner { mirrored, fill, background } = manner;
        let tile = tile.clipped((surface.width, surface.height));
        let part = tile.intersection(part);
        let Placement { crop, target } = place_as((picture.width, picture.height), (tile.width, tile.height), fill);
        if target.is_empty() || picture.pixels.len() < picture.width * picture.height {
            surface.fill(part, background);
            return;
        }
        let inside = Rect::new(tile.x + target.x, tile.y + target.y, target.width, target.height);
        let beside = [
            Rect::new(tile.x, tile.y, tile.width, target.y),
            Rect::new(tile.x, inside.bottom(), tile.width, tile.bottom() - inside.bottom()),
            Rect::new(tile.x, inside.y, target.x, inside.height),
            Rect::new(inside.right(), inside.y, tile.right() - inside.right(), inside.height),
        ];
        beside.into_iter().for_each(|rect| surface.fill(rect.intersection(part), background));
        let part = inside.intersection(part);
        if part.is_empty() {
            return;
        }
        if (crop.width, crop.height) == (inside.width, inside.height) {
            copy(picture, crop, mirrored, surface, inside, part);
        } else {
            self.scale(picture, crop, mirrored, surface, inside, part);
        }
    }

    /// Draws of `picture`'s `crop`, which fills `inside`, what lies within `part`.
    pub(super) fn scale(
        &mut self,
        picture: &Picture,
        crop: Rect,
        mirrored: bool,
        surface: &mut Surface<'_>,
        inside: Rect,
        part: Rect,
    ) {
        let across = Taps { from: crop.width, to: inside.width };
        let down = Taps { from: crop.height, to: inside.height };
        self.prepare(across, mirrored);
        let columns = part.x - inside.x..part.right() - inside.x;
        let mut blended = None;
        for y in part.y..part.bottom() {
            let tap = down.at(y - inside.y);
            // Enlarging repeats rows now and then.
            if blended != Some(tap) {
                blended = Some(tap);
                let row = |n: usize| {
                    let start = (crop.y + n) * picture.width + crop.x;
                    &picture.pixels[start..start + crop.width]
                };
                let (first, second) = (row(tap.first as usize), row(down.second(tap)));
                blend_rows(first, second, tap.weight as u16, &mut self.blended[..crop.width]);
                let last = self.blended[crop.width - 1];
                self.blended[crop.width..].fill(last);
                let (first, second) = (&mut self.first[columns.clone()], &mut self.second[columns.clone()]);
                gather(&self.blended, across.step(), &self.columns[columns.clone()], first, second);
            }
            let (first, second) = (&self.first[columns.clone()], &self.second[columns.clone()]);
            let weights = &self.weights[4 * columns.start..4 * columns.end];
            blend_columns(first, second, weights, surface.row(y, part.x, part.width));
        }
    }

    fn prepare(&mut self, across: Taps, mirrored: bool) {
        if self.made_for == (across, mirrored) {
            return;
        }
        self.made_for = (across, mirrored);
        self.columns.clear();
        self.weights.clear();
        for x in 0..across.to {
            let tap = across.at(if mirrored { across.to - 1 - x } else { x });
            self.columns.push(tap.first);
            self.weights.extend([tap.weight as u16; 4]);
        }
        self.blended.resize(across.from + across.step(), 0);
        self.first.resize(across.to, 0);
        self.second.resize(across.to, 0);
    }
}

fn copy(picture: &Picture, crop: Rect, mirrored: bool, surface: &mut Surface<'_>, inside: Rect, part: Rect) {
    for y in part.y..part.bottom() {
        let row = (crop.y + y - inside.y) * picture.width;
        let to = surface.row(y, part.x, part.width);
        if mirrored {
            let end = row + crop.right() - (part.x - inside.x);
            to.iter_mut().zip(picture.pixels[end - part.width..end].iter().rev()).for_each(|(t, f)| *t = *f);
        } else {
            let start = row + crop.x + part.x - inside.x;
            to.copy_from_slice(&picture.pixels[start..start + part.width]);
        }
    }
}

/// `out = first * (1 - weight) + second * weight`, byte by byte: 16-bit multiplications, eight or sixteen at once.
fn blend_rows(first: &[u32], second: &[u32], weight: u16, out: &mut [u32]) {
    if weight == 0 {
        out.copy_from_slice(first);
        return;
    }
    let (first, second): (&[u8], &[u8]) = (bytemuck::cast_slice(first), bytemuck::cast_slice(second));
    let out: &mut [u8] = bytemuck::cast_slice_mut(out);
    for ((o, a), b) in out.iter_mut().zip(first).zip(second) {
        *o = ((u16::from(*a) * (256 - weight) + u16::from(*b) * weight) >> 8) as u8;
    }
}

/// Fetches both samples of each column.
fn gather(row: &[u32], step: usize, columns: &[u32], first: &mut [u32], second: &mut [u32]) {
    let row_second = &row[step..];
    let row_first = &row[..row_second.len()];
    for ((first, second), column) in first.iter_mut().zip(second).zip(columns) {
        *first = row_first[*column as usize];
        *second = row_second[*column as usize];
    }
}

/// As [`blend_rows`], with a weight for each byte.
fn blend_columns(first: &[u32], second: &[u32], weights: &[u16], out: &mut [u32]) {
    let (first, second): (&[u8], &[u8]) = (bytemuck::cast_slice(first), bytemuck::cast_slice(second));
    let out: &mut [u8] = bytemuck::cast_slice_mut(out);
    for (((o, a), b), weight) in out.iter_mut().zip(first).zip(second).zip(weights) {
        *o = ((u16::from(*a) * (256 - weight) + u16::from(*b) * weight) >> 8) as u8;
    }
}
