//! Smaller and larger pictures.
//!
//! Making a plane smaller halves it by mean of four while it is at least twice as large as wanted, then interpolates
//! linearly: no sample is left out, and most of the work is additions of whole rows.

use super::yuv_to_words;
use crate::media::picture::{Picture, Yuv};

/// Scales pictures; keeps its scratch memory from one to the next.
#[derive(Default)]
pub struct Scaler {
    halves: [Vec<u8>; 2],
    /// One row blended of two, in halves.
    row: Vec<i16>,
    /// Per output column: its left sample in the row, the weights of both, and the samples once fetched.
    columns: Vec<u32>,
    weights: Vec<[i16; 2]>,
    pairs: Vec<[i16; 2]>,
    small: Yuv,
}

impl Scaler {
    /// Scales `from` to `width` x `height`, keeping the chroma layout. Nothing is done about the shape.
    pub fn scale(&mut self, from: &Yuv, width: usize, height: usize, out: &mut Yuv) {
        out.reshape(width, height, from.chroma);
        let (from_chroma, to_chroma) = (from.chroma_size(), out.chroma_size());
        self.plane(&from.y, (from.width, from.height), &mut out.y, (width, height));
        self.plane(&from.u, from_chroma, &mut out.u, to_chroma);
        self.plane(&from.v, from_chroma, &mut out.v, to_chroma);
    }

    /// Pixel words of `from` in the smallest size of the same shape that is at least `wanted` both ways, but never
    /// larger than the picture itself: what a decoder gives for the same wish, but exact.
    pub fn to_picture(&mut self, from: &Yuv, wanted: (usize, usize), out: &mut Picture) {
        let (width, height) = cover(from.width, from.height, wanted);
        if (width, height) == (from.width, from.height) {
            return yuv_to_words(from, out);
        }
        let mut small = std::mem::take(&mut self.small);
        self.scale(from, width, height, &mut small);
        yuv_to_words(&small, out);
        self.small = small;
    }

    fn plane(&mut self, from: &[u8], from_size: (usize, usize), out: &mut [u8], out_size: (usize, usize)) {
        if from_size == out_size {
            return out.copy_from_slice(from);
        }
        let [mut a, mut b] = std::mem::take(&mut self.halves);
        let mut size = from_size;
        let mut halved = false;
        while size.0 >= 2 * out_size.0 && size.1 >= 2 * out_size.1 && out_size.0 > 0 && out_size.1 > 0 {
            halve(if halved { &a } else { from }, size, &mut b);
            std::mem::swap(&mut a, &mut b);
            (size, halved) = ((size.0 / 2, size.1 / 2), true);
        }
        self.interpolate(if halved { &a } else { from }, size, out, out_size);
        self.halves = [a, b];
    }

    fn interpolate(&mut self, from: &[u8], from_size: (usize, usize), out: &mut [u8], out_size: (usize, usize)) {
        if from_size == out_size {
            return out.copy_from_slice(from);
        }
        let ((from_width, from_height), (width, height)) = (from_size, out_size);
        if width == 0 || from_width == 0 || from_height == 0 {
            return;
        }
        self.columns.clear();
        self.weights.clear();
        for (at, weight) in (0..width).map(|x| position(x, from_width, width)) {
            self.columns.push(at as u32);
            self.weights.push([128 - weight as i16, weight as i16]);
        }
        self.pairs.resize(width, [0; 2]);
        // One more than the row, so that the last column has a right neighbour too, its equal.
        self.row.resize(from_width + 1, 0);
        for (y, out_row) in out.chunks_exact_mut(width).enumerate() {
            let (at, weight) = position(y, from_height, height);
            let top = &from[at * from_width..(at + 1) * from_width];
            let below = (at + 1).min(from_height - 1);
            let bottom = &from[below * from_width..(below + 1) * from_width];
            for ((sum, a), b) in self.row.iter_mut().zip(top).zip(bottom) {
                *sum = ((u16::from(*a) * (128 - weight) + u16::from(*b) * weight) >> 1) as i16;
            }
            self.row[from_width] = self.row[from_width - 1];
            // Fetched first and blended then: products of pairs are made in whole registers.
            for (pair, at) in self.pairs.iter_mut().zip(&self.columns) {
                let at = *at as usize;
                *pair = [self.row[at], self.row[at + 1]];
            }
            for ((to, [left, right]), [of_left, of_right]) in out_row.iter_mut().zip(&self.pairs).zip(&self.weights) {
                let sum = i32::from(*left) * i32::from(*of_left) + i32::from(*right) * i32::from(*of_right);
                *to = ((sum + (1 << 12)) >> 13) as u8;
            }
        }
    }
}

/// The sample left of (or above) where output sample `i` of `out` lies among `from`, and the weight of its neighbour
/// in 128ths.
fn position(i: usize, from: usize, out: usize) -> (usize, u16) {
    let centre = ((2 * i + 1) * from * 128 / (2 * out)).saturating_sub(64);
    let at = (centre / 128).min(from - 1);
    (at, if at + 1 < from { (centre % 128) as u16 } else { 0 })
}

/// Halves a plane both ways by mean of four; an odd last column or row is left out.
fn halve(from: &[u8], (width, height): (usize, usize), out: &mut Vec<u8>) {
    let (half, rows) = (width / 2, height / 2);
    out.resize(half * rows, 0);
    for (to, pair) in out.chunks_exact_mut(half).zip(from.chunks_exact(2 * width)) {
        let (top, bottom) = pair.split_at(width);
        let (top, bottom) = (top.as_chunks::<2>().0, bottom.as_chunks::<2>().0);
        for ((to, a), b) in to.iter_mut().zip(top).zip(bottom) {
            // Two samples to a word: the compiler makes whole registers of this, and single steps of four samples.
            let (a, b) = (u16::from_le_bytes(*a), u16::from_le_bytes(*b));
            let sum = (a & 0xff) + (a >> 8) + (b & 0xff) + (b >> 8);
            *to = ((sum + 2) >> 2) as u8;
        }
    }
}

/// The smallest size of the shape `width` x `height` that covers `wanted`, at most the shape itself, at least 1x1.
pub fn cover(width: usize, height: usize, wanted: (usize, usize)) -> (usize, usize) {
    if wanted.0 >= width || wanted.1 >= height {
        return (width, height);
    }
    match wanted.0 * height >= wanted.1 * width {
        true => (wanted.0.max(1), (wanted.0 * height).div_ceil(width).clamp(1, height)),
        false => ((wanted.1 * width).div_ceil(height).clamp(1, width), wanted.1.max(1)),
    }
}

/// The largest even size of the shape `width` x `height` within `most`; the size itself (made even) when it fits.
pub fn fit_within(width: usize, height: usize, most: (usize, usize)) -> (usize, usize) {
    let even = |side: usize| (side & !1).max(2);
    if width <= most.0 && height <= most.1 {
        return (even(width), even(height));
    }
    match most.0 * height <= most.1 * width {
        true => (even(most.0), even(most.0 * height / width.max(1))),
        false => (even(most.1 * width / height.max(1)), even(most.1)),
    }
}
