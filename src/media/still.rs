//! Still pictures: those that others send, decoded within bounds to a size fit for showing; and screenshots as PNG.

use std::io::{Cursor, Write};

use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageDecoder as _, ImageEncoder as _};

use super::jpeg;
use super::picture::Picture;
use crate::limits::STILL_PIXELS_MAX;

/// Memory that decoding a PNG may take.
const PNG_MEMORY_MAX: u64 = 8 * STILL_PIXELS_MAX as u64;

/// Why something is no picture to be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither JPEG nor PNG.
    #[error("neither JPEG nor PNG")]
    Kind,
    /// More pixels than are decoded.
    #[error("{0} pixels are too many")]
    Pixels(u64),
    /// A JPEG that cannot be decoded.
    #[error(transparent)]
    Jpeg(#[from] jpeg::Error),
    /// A PNG that cannot be decoded.
    #[error("PNG: {0}")]
    Png(#[from] image::ImageError),
}

/// Writes a PNG of `size` pixels, three bytes each: red, green, blue.
///
/// # Errors
/// What cannot be written.
pub fn write_png(out: &mut impl Write, bytes: &[u8], (width, height): (usize, usize)) -> Result<(), Error> {
    let encoder = PngEncoder::new_with_quality(out, CompressionType::Fast, FilterType::Adaptive);
    Ok(encoder.write_image(bytes, width as u32, height as u32, ExtendedColorType::Rgb8)?)
}

/// The picture in `bytes`, JPEG or PNG by their beginning, at most `side_max` pixels a side. Transparent parts become
/// white.
///
/// # Errors
/// See [`Error`]; more than [`STILL_PIXELS_MAX`] pixels are not decoded.
pub fn decode(bytes: &[u8], side_max: usize) -> Result<Picture, Error> {
    let picture = match bytes {
        [0xff, 0xd8, ..] => jpeg::decode_still(bytes, side_max)?,
        [0x89, b'P', b'N', b'G', ..] => png(bytes)?,
        _ => return Err(Error::Kind),
    };
    Ok(shrunk(picture, side_max.max(1)))
}

fn png(bytes: &[u8]) -> Result<Picture, Error> {
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(PNG_MEMORY_MAX);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > STILL_PIXELS_MAX as u64 {
        return Err(Error::Pixels(pixels));
    }
    let all = image::DynamicImage::from_decoder(decoder)?.into_rgba8();
    let word = |p: &image::Rgba<u8>| {
        let [r, g, b, a] = p.0.map(u32::from);
        let over = |c: u32| (c * a + 255 * (255 - a)) / 255;
        over(r) << 16 | over(g) << 8 | over(b)
    };
    Ok(Picture { width: width as usize, height: height as usize, pixels: all.pixels().map(word).collect() })
}

/// At most `side_max` pixels a side: each is the mean of those it stands for.
pub(super) fn shrunk(picture: Picture, side_max: usize) -> Picture {
    let longest = picture.width.max(picture.height);
    if longest <= side_max {
        return picture;
    }
    let side = |pixels: usize| (pixels * side_max / longest).max(1);
    let (width, height) = (side(picture.width), side(picture.height));
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        let rows =
            y * picture.height / height..((y + 1) * picture.height / height).max(y * picture.height / height + 1);
        for x in 0..width {
            let from = x * picture.width / width;
            let columns = from..((x + 1) * picture.width / width).max(from + 1);
            let mut sum = [0_u32; 3];
            for row in rows.clone() {
                for word in &picture.pixels[row * picture.width..][columns.clone()] {
                    let [_, r, g, b] = word.to_be_bytes();
                    sum = [sum[0] + u32::from(r), sum[1] + u32::from(g), sum[2] + u32::from(b)];
                }
            }
            let count = (rows.len() * columns.len()) as u32;
            let [r, g, b] = sum.map(|channel| channel / count);
            pixels.push(r << 16 | g << 8 | b);
        }
    }
    Picture { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_of(width: u32, height: u32, pixel: [u8; 4]) -> Vec<u8> {
        let picture = image::RgbaImage::from_pixel(width, height, image::Rgba(pixel));
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn pictures_come_out_no_larger_than_asked_for() {
        let picture = decode(&png_of(40, 20, [255, 0, 0, 255]), 10).unwrap();
        assert_eq!((picture.width, picture.height, picture.pixels[7]), (10, 5, 0x00ff_0000));
        let picture = decode(&png_of(4, 3, [0, 0, 0, 0]), 10).unwrap();
        assert_eq!((picture.width, picture.height, picture.pixels[0]), (4, 3, 0x00ff_ffff), "transparent is white");
        let thin = decode(&png_of(1_000, 1, [9, 9, 9, 255]), 10).unwrap();
        assert_eq!((thin.width, thin.height), (10, 1));
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        assert!(matches!(decode(b"GIF89a", 10), Err(Error::Kind)));
        assert!(matches!(decode(b"", 10), Err(Error::Kind)));
        let good = png_of(40, 20, [1, 2, 3, 255]);
        for length in 4..good.len() - 20 {
            assert!(decode(&good[..length], 10).is_err(), "{length}");
        }
        let side = (STILL_PIXELS_MAX as f64).sqrt() as u32 + 1;
        assert!(decode(&png_of(side, side, [0, 0, 0, 255]), 10).is_err());
        assert!(matches!(decode(&[0xff, 0xd8, 0xff, 0xd9], 10), Err(Error::Jpeg(_))));
    }
}
