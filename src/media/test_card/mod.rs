//! A moving test picture that costs little to make and as much as a camera's to encode.
//!
//! ```text
//! +--------------------------------+
//! |  texture with the detail of a  |   a plane larger than the picture, drawn once, panned a little each frame
//! |      +------------------+      |
//! |      |       Ada        |      |   the name on a band of the participant's own colour
//! |      +------------------+      |
//! |        12:34:56.789      o     |   the capture time for people (UTC), and a ball that moves
//! |▮▯▯▮▮▯▮▯▯▮▮▯▮▯▮▮▯▯▮▮▯▮▯▯▮▮▯▮▯▯▮▮|   the capture time for machines: see `timecode`
//! +--------------------------------+
//! ```
//! At 1280x720 and quality 75 a frame has 80 to 130 KiB and none is like the one before, so what is measured with the
//! card holds for cameras.

mod font;
mod texture;
mod timecode;

pub use timecode::{read_timecode, read_timecode_of_planes};

use crate::media::picture::{Chroma, Yuv};
use crate::time::NtpTime;

/// Characters of the name that are shown: at this length the letters are still 20 pixels high in a 320x180 tile.
const NAME_CHARS_MAX: usize = 14;
/// How far the texture can be panned.
const PAN: (usize, usize) = (128, 64);

/// A colour as its three samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colour {
    y: u8,
    u: u8,
    v: u8,
}

const GREY_DARK: Colour = Colour { y: 24, u: 128, v: 128 };
const WHITE: Colour = Colour { y: 240, u: 128, v: 128 };

/// Makes the frames of one participant's test card.
pub struct TestCard {
    width: usize,
    height: usize,
    texture: Yuv,
    banner: Yuv,
    banner_at: (usize, usize),
    ball: Colour,
}

impl TestCard {
    /// A card of the given size (made even, at least 16x16) with a name and a colour that name and seed decide.
    pub fn new(width: usize, height: usize, name: &str, seed: u64) -> Self {
        let (width, height) = ((width & !1).max(16), (height & !1).max(16));
        let seed = name
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let hue = (texture::mix(seed) % 360) as i32;
        let texture = texture::draw(width + PAN.0, height + PAN.1, height, hue_colour(hue, 128, 40), seed);
        let banner = banner(width, height, name, hue_colour(hue, 100, 100));
        let banner_at = (even((width - banner.width) / 2), even(height * 28 / 100));
        Self { width, height, texture, banner, banner_at, ball: hue_colour(hue + 180, 170, 90) }
    }

    /// Draws frame number `frame` as captured at `capture`, 4:2:0.
    pub fn render(&mut self, capture: NtpTime, frame: u64, out: &mut Yuv) {
        out.reshape(self.width, self.height, Chroma::C420);
        // The motion repeats long before this many frames; the bound keeps the sums below from overflowing.
        let frame = frame % (1 << 32);
        let pan = (there_and_back(2 * frame, PAN.0), there_and_back(2 * (frame / 3), PAN.1));
        copy_rect(&self.texture, pan, out, (0, 0), (self.width, self.height));

        let radius = (self.height / 10).max(2);
        let space = (
            self.width.saturating_sub(2 * radius),
            self.height.saturating_sub(2 * radius + timecode::height(self.width)),
        );
        let step = (self.height as u64 / 90).max(1);
        let centre =
            (radius + there_and_back(frame * step, space.0), radius + there_and_back(frame * step * 3 / 4, space.1));
        fill_disc(out, centre, radius, self.ball);

        copy_rect(&self.banner, (0, 0), out, self.banner_at, (self.banner.width, self.banner.height));
        self.draw_clock(capture, out);

        let blocks = timecode::height(self.width).next_multiple_of(2);
        if blocks <= self.height {
            fill_rect(out, (0, self.height - blocks), (self.width, blocks), GREY_DARK);
            timecode::paint(capture, out);
        }
    }

    /// The time of day as `HH:MM:SS.mmm` in UTC on a dark strip.
    fn draw_clock(&self, capture: NtpTime, out: &mut Yuv) {
        let since_epoch = capture.to_unix();
        let (seconds, millis) = (since_epoch.as_secs() % 86_400, since_epoch.subsec_millis());
        let digit = |value: u64, divisor: u64| char::from(b'0' + (value / divisor % 10) as u8);
        let (hours, minutes, seconds, millis) = (seconds / 3_600, seconds / 60 % 60, seconds % 60, u64::from(millis));
        let text = [
            digit(hours, 10),
            digit(hours, 1),
            ':',
            digit(minutes, 10),
            digit(minutes, 1),
            ':',
            digit(seconds, 10),
            digit(seconds, 1),
            '.',
            digit(millis, 100),
            digit(millis, 10),
            digit(millis, 1),
        ];
        let dot = (self.width * 45 / 100 / (text.len() * font::ADVANCE)).max(1);
        let size = (even(dot * (text.len() * font::ADVANCE + 3)), even(dot * (font::GLYPH.1 + 4)));
        if size.0 > self.width || size.1 * 3 > self.height {
            return;
        }
        let at = (even((self.width - size.0) / 2), even(self.height * 62 / 100));
        fill_rect(out, at, size, GREY_DARK);
        draw_text(out, text.into_iter(), (at.0 + 2 * dot, at.1 + 2 * dot), dot, WHITE);
    }
}

/// The name on a band of a colour, in a picture just large enough.
fn banner(width: usize, height: usize, name: &str, colour: Colour) -> Yuv {
    let text = font::drawable(name, NAME_CHARS_MAX);
    let letters = text.chars().count().max(1);
    let dot = (height / 35).min(width * 86 / 100 / (letters * font::ADVANCE)).max(1);
    let size = (dot * (letters * font::ADVANCE + 3), dot * (font::GLYPH.1 + 4));
    let mut banner = Yuv::default();
    banner.reshape(even(size.0.min(width)), even(size.1.min(height / 2)).max(2), Chroma::C420);
    let whole = (banner.width, banner.height);
    fill_rect(&mut banner, (0, 0), whole, colour);
    draw_text(&mut banner, text.chars(), (2 * dot, 2 * dot), dot, WHITE);
    banner
}

/// A colour of `hue` degrees with the given luma and distance from grey.
fn hue_colour(hue: i32, luma: u8, distance: i32) -> Colour {
    let angle = f64::from(hue).to_radians();
    let sample = |x: f64| (128.0 + x * f64::from(distance)).clamp(1.0, 255.0) as u8;
    Colour { y: luma, u: sample(angle.cos()), v: sample(angle.sin()) }
}

fn even(side: usize) -> usize {
    side & !1
}

/// 0, 1, .. most, .. 1, 0, 1, ..
fn there_and_back(step: u64, most: usize) -> usize {
    let most = (most as u64).max(1);
    let at = step % (2 * most);
    at.min(2 * most - at) as usize
}

/// Copies a rectangle between 4:2:0 pictures. All positions and sizes are even and the rectangle is inside both.
fn copy_rect(from: &Yuv, from_at: (usize, usize), to: &mut Yuv, to_at: (usize, usize), size: (usize, usize)) {
    let half = |(x, y): (usize, usize)| (x / 2, y / 2);
    let (from_chroma, to_chroma) = (from.width / 2, to.width / 2);
    copy_plane((&from.y, from.width, from_at), (&mut to.y, to.width, to_at), size);
    copy_plane((&from.u, from_chroma, half(from_at)), (&mut to.u, to_chroma, half(to_at)), half(size));
    copy_plane((&from.v, from_chroma, half(from_at)), (&mut to.v, to_chroma, half(to_at)), half(size));
}

type At = (usize, usize);

fn copy_plane(from: (&[u8], usize, At), to: (&mut [u8], usize, At), (width, height): (usize, usize)) {
    let (from, from_stride, (from_x, from_y)) = from;
    let (to, to_stride, (to_x, to_y)) = to;
    let from_rows = from.chunks_exact(from_stride).skip(from_y);
    let to_rows = to.chunks_exact_mut(to_stride).skip(to_y);
    for (to, from) in to_rows.zip(from_rows).take(height) {
        to[to_x..to_x + width].copy_from_slice(&from[from_x..from_x + width]);
    }
}

/// Fills a rectangle, cut at the picture's edges; chroma samples that it covers in part are taken whole.
fn fill_rect(out: &mut Yuv, (x, y): At, (width, height): (usize, usize), colour: Colour) {
    let (right, bottom) = ((x + width).min(out.width), (y + height).min(out.height));
    let fill = |plane: &mut [u8], stride: usize, (left, top): At, (right, bottom): At, value: u8| {
        for row in plane.chunks_exact_mut(stride).take(bottom).skip(top) {
            if let Some(part) = row.get_mut(left..right) {
                part.fill(value);
            }
        }
    };
    fill(&mut out.y, out.width, (x, y), (right, bottom), colour.y);
    let (from, to) = ((x / 2, y / 2), (right.div_ceil(2), bottom.div_ceil(2)));
    let stride = out.width / 2;
    fill(&mut out.u, stride, from, to, colour.u);
    fill(&mut out.v, stride, from, to, colour.v);
}

fn fill_disc(out: &mut Yuv, centre: At, radius: usize, colour: Colour) {
    for row in (0..2 * radius).step_by(2) {
        let distance = radius.abs_diff(row);
        let reach = (radius * radius - distance * distance).isqrt();
        let top = (centre.1 + row).saturating_sub(radius);
        fill_rect(out, (centre.0.saturating_sub(reach), top), (2 * reach, 2), colour);
    }
}

/// Draws characters from `at` on, each dot a square of `dot` pixels.
fn draw_text(out: &mut Yuv, text: impl Iterator<Item = char>, at: At, dot: usize, colour: Colour) {
    for (i, character) in text.enumerate() {
        let left = at.0 + i * font::ADVANCE * dot;
        for y in 0..font::GLYPH.1 {
            for x in (0..font::GLYPH.0).filter(|x| font::dot(character, *x, y)) {
                fill_rect(out, (left + x * dot, at.1 + y * dot), (dot, dot), colour);
            }
        }
    }
}

#[cfg(test)]
mod tests;
