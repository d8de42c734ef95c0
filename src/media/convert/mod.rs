//! Between pixel layouts, without detours: what cameras deliver to planes, planes to smaller planes, planes to words.
//!
//! JPEG (JFIF) is BT.601 in full range, so everything here ends there; what cameras and files deliver in limited range
//! (luma 16..=235, chroma 16..=240) is stretched on the way. The loops are plain enough for the compiler to vectorise.
//!
//! Nothing here allocates once its output and scratch memory have grown to the size of the pictures.

mod scale;

pub use scale::{Scaler, cover, fit_within};

use crate::media::picture::{Chroma, Picture, Yuv};

/// Which values black and white have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 and 255, as in JPEG.
    Full,
    /// 16 and 235, as in television; chroma 16..=240.
    Limited,
}

/// Order of the bytes of a packed pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The bytes are not the picture they are said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are no {layout} picture of {width}x{height}")]
pub struct Mismatch {
    layout: &'static str,
    bytes: usize,
    width: usize,
    height: usize,
}

fn check(layout: &'static str, bytes: &[u8], width: usize, height: usize, needed: usize) -> Result<(), Mismatch> {
    match bytes.len() >= needed && width > 0 && height > 0 {
        true => Ok(()),
        false => Err(Mismatch { layout, bytes: bytes.len(), width, height }),
    }
}

fn stretch_luma(value: u8) -> u8 {
    let steps = u16::from(value.saturating_sub(16).min(219));
    ((steps * 149 + 64) >> 7) as u8
}

fn stretch_chroma(value: u8) -> u8 {
    let steps = u16::from(value.clamp(16, 240) - 16);
    ((steps * 291 + 256) >> 8) as u8
}

/// Stretches a limited-range picture to full range in place.
pub fn stretch(picture: &mut Yuv) {
    picture.y.iter_mut().for_each(|y| *y = stretch_luma(*y));
    picture.u.iter_mut().for_each(|u| *u = stretch_chroma(*u));
    picture.v.iter_mut().for_each(|v| *v = stretch_chroma(*v));
}

fn stretch_if(range: Range, picture: &mut Yuv) {
    if range == Range::Limited {
        stretch(picture);
    }
}

/// YUYV (Y0 U Y1 V, rows of `2 * width` bytes) to 4:2:2. The width must be even; bytes beyond the picture are ignored.
pub fn yuyv_to_yuv(bytes: &[u8], width: usize, height: usize, range: Range, out: &mut Yuv) -> Result<(), Mismatch> {
    let needed = if width.is_multiple_of(2) { width * height * 2 } else { usize::MAX };
    check("YUYV", bytes, width, height, needed)?;
    out.reshape(width, height, Chroma::C422);
    let luma = out.y.as_chunks_mut::<2>().0;
    let pairs = bytes.as_chunks::<4>().0;
    for (((y, u), v), four) in luma.iter_mut().zip(&mut out.u).zip(&mut out.v).zip(pairs) {
        *y = [four[0], four[2]];
        *u = four[1];
        *v = four[3];
    }
    stretch_if(range, out);
    Ok(())
}

/// NV12 (a luma plane, then a plane of U V pairs) to 4:2:0; bytes beyond the picture are ignored.
pub fn nv12_to_yuv(bytes: &[u8], width: usize, height: usize, range: Range, out: &mut Yuv) -> Result<(), Mismatch> {
    let (luma, pairs) = (width * height, width.div_ceil(2) * height.div_ceil(2));
    check("NV12", bytes, width, height, luma + 2 * pairs)?;
    out.reshape(width, height, Chroma::C420);
    out.y.copy_from_slice(&bytes[..luma]);
    for ((u, v), pair) in out.u.iter_mut().zip(&mut out.v).zip(bytes[luma..].as_chunks::<2>().0) {
        [*u, *v] = *pair;
    }
    stretch_if(range, out);
    Ok(())
}

/// One byte of luma a pixel to 4:2:0 without colour; bytes beyond the picture are ignored.
pub fn grey_to_yuv(bytes: &[u8], width: usize, height: usize, range: Range, out: &mut Yuv) -> Result<(), Mismatch> {
    check("grey", bytes, width, height, width * height)?;
    out.reshape(width, height, Chroma::C420);
    out.y.copy_from_slice(&bytes[..width * height]);
    out.u.fill(128);
    out.v.fill(128);
    if range == Range::Limited {
        out.y.iter_mut().for_each(|y| *y = stretch_luma(*y));
    }
    Ok(())
}

/// Three bytes a pixel to 4:2:0; a chroma sample is made of the mean of its pixels. Bytes beyond the picture are ignored.
pub fn rgb24_to_yuv(bytes: &[u8], width: usize, height: usize, order: Order, out: &mut Yuv) -> Result<(), Mismatch> {
    check("24-bit", bytes, width, height, width * height * 3)?;
    let pixels = &bytes.as_chunks::<3>().0[..width * height];
    match order {
        Order::Rgb => pixels_to_yuv(pixels, width, height, |p| [p[0], p[1], p[2]], out),
        Order::Bgr => pixels_to_yuv(pixels, width, height, |p| [p[2], p[1], p[0]], out),
    }
    Ok(())
}

/// Pixel words (`0x__RRGGBB`, rows of `width`) to 4:2:0; a chroma sample is made of the mean of its pixels.
pub fn words_to_yuv(words: &[u32], width: usize, height: usize, out: &mut Yuv) {
    let components = |word: &u32| {
        let [_, r, g, b] = word.to_be_bytes();
        [r, g, b]
    };
    pixels_to_yuv(words, width, height, components, out);
}

fn pixels_to_yuv<P>(pixels: &[P], width: usize, height: usize, components: impl Fn(&P) -> [u8; 3], out: &mut Yuv) {
    out.reshape(width, height, Chroma::C420);
    let (chroma_width, _) = out.chroma_size();
    if width == 0 {
        return;
    }
    for (y, pixel) in out.y.iter_mut().zip(pixels) {
        let [r, g, b] = components(pixel).map(i32::from);
        *y = ((r * 19_595 + g * 38_470 + b * 7_471 + 32_768) >> 16) as u8;
    }
    let chroma_rows = out.u.chunks_exact_mut(chroma_width).zip(out.v.chunks_exact_mut(chroma_width));
    for ((u_row, v_row), rows) in chroma_rows.zip(pixels.chunks(2 * width)) {
        let (top, bottom) = rows.split_at(width);
        let bottom = if bottom.len() == width { bottom } else { top };
        let blocks = top.chunks(2).zip(bottom.chunks(2));
        for ((u, v), (a, c)) in u_row.iter_mut().zip(v_row).zip(blocks) {
            let four = [&a[0], &a[a.len() - 1], &c[0], &c[c.len() - 1]].map(|pixel| components(pixel).map(i32::from));
            let [r, g, b] = [0, 1, 2].map(|i| four.iter().map(|pixel| pixel[i]).sum::<i32>());
            (*u, *v) = chroma_of_four(r, g, b);
        }
    }
}

/// Cb and Cr from the sums of four pixels' components.
fn chroma_of_four(r: i32, g: i32, b: i32) -> (u8, u8) {
    const OFFSET: i32 = (128 << 18) + (1 << 17) - 1;
    let blue = (-11_059 * r - 21_709 * g + 32_768 * b + OFFSET) >> 18;
    let red = (32_768 * r - 27_439 * g - 5_329 * b + OFFSET) >> 18;
    (blue.clamp(0, 255) as u8, red.clamp(0, 255) as u8)
}

/// Full-chroma planes, `width * height` long each, to 4:2:0: a chroma sample is the mean of four.
pub fn yuv444_to_yuv(planes: [&[u8]; 3], width: usize, height: usize, out: &mut Yuv) -> Result<(), Mismatch> {
    for plane in planes {
        check("4:4:4", plane, width, height, width * height)?;
    }
    out.reshape(width, height, Chroma::C420);
    out.y.copy_from_slice(&planes[0][..width * height]);
    let chroma_width = width.div_ceil(2);
    for (plane, half) in [(planes[1], &mut out.u), (planes[2], &mut out.v)] {
        for (row, rows) in half.chunks_exact_mut(chroma_width).zip(plane[..width * height].chunks(2 * width)) {
            let (top, bottom) = rows.split_at(width);
            let bottom = if bottom.len() == width { bottom } else { top };
            for (to, (a, c)) in row.iter_mut().zip(top.chunks(2).zip(bottom.chunks(2))) {
                let sum: u16 = [a[0], a[a.len() - 1], c[0], c[a.len() - 1]].map(u16::from).iter().sum();
                *to = ((sum + 2) / 4) as u8;
            }
        }
    }
    Ok(())
}

/// Planes to pixel words of the same size; each chroma sample serves all its pixels.
pub fn yuv_to_words(from: &Yuv, out: &mut Picture) {
    out.reshape(from.width, from.height);
    if from.width == 0 || !from.is_sound() {
        return;
    }
    let (chroma_width, _) = from.chroma_size();
    let rows_per_chroma = if from.chroma == Chroma::C420 { 2 } else { 1 };
    let rows = out.pixels.chunks_exact_mut(from.width).zip(from.y.chunks_exact(from.width));
    for (i, (words, luma)) in rows.enumerate() {
        let at = i / rows_per_chroma * chroma_width;
        row_to_words(luma, &from.u[at..at + chroma_width], &from.v[at..at + chroma_width], words);
    }
}

fn row_to_words(luma: &[u8], u: &[u8], v: &[u8], words: &mut [u32]) {
    let (pairs, rest) = words.as_chunks_mut::<2>();
    let (luma_pairs, luma_rest) = luma.as_chunks::<2>();
    for (((to, y), u), v) in pairs.iter_mut().zip(luma_pairs).zip(u).zip(v) {
        let add = chroma_terms(*u, *v);
        *to = [word(y[0], add), word(y[1], add)];
    }
    if let (Some(to), Some(y), Some(u), Some(v)) = (rest.first_mut(), luma_rest.first(), u.last(), v.last()) {
        *to = word(*y, chroma_terms(*u, *v));
    }
}

/// What red, green and blue have more than luma.
fn chroma_terms(u: u8, v: u8) -> [i32; 3] {
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [(v * 359 + 128) >> 8, (-u * 88 - v * 183 + 128) >> 8, (u * 454 + 128) >> 8]
}

fn word(y: u8, add: [i32; 3]) -> u32 {
    let [r, g, b] = add.map(|term| (i32::from(y) + term).clamp(0, 255) as u32);
    r << 16 | g << 8 | b
}

#[cfg(test)]
mod tests;
