//! The capture time as black and white blocks along the bottom of a picture, for machines.
//!
//! ```text
//! |0|1|2| ..                                   |39|   bits 0..40 of: 64 bits of NTP time, 16 bits of checksum,
//! |40|41| ..                                   |79|   highest first; white = 1. A block is a 40th of the width, squared.
//! ```
//! At 1280 pixels across a block has 32x32 pixels, so it is still 4x4 after decoding at an eighth of the size, and a
//! 320-pixel picture has blocks of 8x8.

use crate::media::picture::{Picture, Yuv};
use crate::time::NtpTime;

const COLUMNS: usize = 40;
const ROWS: usize = 2;

/// Luma of the two kinds of block: away from the ends, so that ringing is not clipped to one side.
const BLACK: u8 = 16;
const WHITE: u8 = 240;
/// Means between these are no block.
const DARK_MAX: usize = 100;
const BRIGHT_MIN: usize = 156;

/// Rows of a picture `width` wide that the blocks take; none when they would have less than two pixels.
pub(super) fn height(width: usize) -> usize {
    if width < 2 * COLUMNS { 0 } else { ROWS * width / COLUMNS }
}

/// Paints the blocks into the luma plane; the caller makes the chroma under them neutral.
pub(super) fn paint(time: NtpTime, out: &mut Yuv) {
    let (width, rows) = (out.width, out.height);
    if height(width) == 0 || height(width) > rows {
        return;
    }
    let bits = bits(time);
    for row in 0..ROWS {
        let top = rows - (ROWS - row) * width / COLUMNS;
        let bottom = rows - (ROWS - row - 1) * width / COLUMNS;
        let (first, rest) = out.y[top * width..bottom * width].split_at_mut(width);
        for column in 0..COLUMNS {
            let bit = bits >> (COLUMNS * ROWS - 1 - row * COLUMNS - column) & 1;
            let luma = if bit == 1 { WHITE } else { BLACK };
            first[column * width / COLUMNS..(column + 1) * width / COLUMNS].fill(luma);
        }
        for line in rest.chunks_exact_mut(width) {
            line.copy_from_slice(first);
        }
    }
}

/// The capture time that a picture of the test card shows, decoded at whatever size; `None` when the picture has no
/// readable blocks or their checksum is wrong.
pub fn read_timecode(picture: &Picture) -> Option<NtpTime> {
    let luma = |at: usize| {
        let [_, r, g, b] = picture.pixels.get(at)?.to_be_bytes().map(usize::from);
        Some((r * 77 + g * 150 + b * 29) >> 8)
    };
    read(picture.width, picture.height, luma)
}

/// As [`read_timecode`], from planes.
pub fn read_timecode_of_planes(picture: &Yuv) -> Option<NtpTime> {
    read(picture.width, picture.height, |at| picture.y.get(at).map(|y| usize::from(*y)))
}

fn read(width: usize, height: usize, luma: impl Fn(usize) -> Option<usize>) -> Option<NtpTime> {
    if self::height(width) == 0 || self::height(width) > height {
        return None;
    }
    let mut bits: u128 = 0;
    for row in 0..ROWS {
        // The middle half of each block, at least one pixel.
        let quarters = (ROWS - row) * 4;
        let top = height - (quarters - 1) * width / (4 * COLUMNS);
        let bottom = (height - (quarters - 3) * width / (4 * COLUMNS)).max(top + 1).min(height);
        for column in 0..COLUMNS {
            let left = (4 * column + 1) * width / (4 * COLUMNS);
            let right = ((4 * column + 3) * width / (4 * COLUMNS)).max(left + 1);
            let mut sum = 0;
            for y in top..bottom {
                for x in left..right {
                    sum += luma(y * width + x)?;
                }
            }
            let mean = sum / ((bottom - top) * (right - left)).max(1);
            bits = bits << 1
                | match mean {
                    ..=DARK_MAX => 0,
                    BRIGHT_MIN.. => 1,
                    _ => return None,
                };
        }
    }
    let time = NtpTime((bits >> 16) as u64);
    (self::bits(time) == bits).then_some(time)
}

fn bits(time: NtpTime) -> u128 {
    u128::from(time.0) << 16 | u128::from(checksum(time.0))
}

/// CRC-16 with the polynomial of CCITT, begun with ones, so that neither all black nor all white is valid.
fn checksum(time: u64) -> u16 {
    time.to_be_bytes().iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::convert::{Scaler, yuv_to_words};
    use crate::media::picture::Chroma;

    fn painted(time: NtpTime, width: usize, height: usize) -> Yuv {
        let mut picture = Yuv::default();
        picture.reshape(width, height, Chroma::C420);
        picture.y.fill(128);
        paint(time, &mut picture);
        picture
    }

    #[test]
    fn the_checksum_is_that_of_the_catalogue() {
        // CRC-16/IBM-3740 of "12345678".
        assert_eq!(checksum(u64::from_be_bytes(*b"12345678")), 0xa12b);
        assert_ne!(checksum(0), 0);
        assert_ne!(checksum(u64::MAX), 0xffff);
    }

    #[test]
    fn what_is_painted_is_read_at_any_size() {
        for time in [0, u64::MAX, 0x0123_4567_89ab_cdef, 0xaaaa_5555_aaaa_5555] {
            for (width, height) in
                [(1280, 720), (640, 360), (320, 180), (256, 144), (512, 288), (160, 90), (1278, 720), (80, 60)]
            {
                let picture = painted(NtpTime(time), width, height);
                assert_eq!(read_timecode_of_planes(&picture), Some(NtpTime(time)), "{width}x{height}");
                let mut words = Picture::default();
                yuv_to_words(&picture, &mut words);
                assert_eq!(read_timecode(&words), Some(NtpTime(time)), "{width}x{height}");
                if width >= 160 {
                    Scaler::default().to_picture(&picture, (width * 2 / 3, height * 2 / 3), &mut words);
                    assert_eq!(read_timecode(&words), Some(NtpTime(time)), "{width}x{height} scaled");
                }
            }
        }
    }

    #[test]
    fn pictures_without_blocks_tell_no_time() {
        let mut picture = painted(NtpTime(0x0123_4567_89ab_cdef), 1280, 720);
        for row in 688..720 {
            let block = &mut picture.y[row * 1280 + 160..row * 1280 + 192];
            block.iter_mut().for_each(|y| *y = 255 - *y);
        }
        assert_eq!(read_timecode_of_planes(&picture), None, "one block changed");
        for luma in [0, 128, 255] {
            picture.y.fill(luma);
            assert_eq!(read_timecode_of_planes(&picture), None);
        }
        assert_eq!(read_timecode(&Picture::default()), None);
        assert_eq!(read_timecode(&Picture { width: 640, height: 360, pixels: vec![] }), None);
        assert_eq!(read_timecode_of_planes(&painted(NtpTime(1), 80, 3)), None);
    }
}
