//! Decoding any JPEG that somebody sends as a file.

use super::Error;
use super::turbo::{Decompressor, Scale};
use crate::limits::STILL_PIXELS_MAX;
use crate::media::picture::Picture;

/// The picture at the largest of 1, 1/2, 1/4, 1/8 of its size whose sides are at most `side_max`, or at an eighth. Damaged
/// ones are refused.
///
/// # Errors
/// What cannot be decoded, or has more than [`STILL_PIXELS_MAX`] pixels.
pub fn decode_still(jpeg: &[u8], side_max: usize) -> Result<Picture, Error> {
    let mut decompressor = Decompressor::new(STILL_PIXELS_MAX)?;
    let header = decompressor.header(jpeg)?;
    let (width, height) = (header.width, header.height);
    if width.saturating_mul(height) > STILL_PIXELS_MAX {
        return Err(Error::Size { width, height, max: STILL_PIXELS_MAX.isqrt() });
    }
    let fits = |s: &Scale| s.of(width).max(s.of(height)) <= side_max;
    let smallest = Scale::ALL.into_iter().min_by_key(|s| s.of(10_000)).unwrap_or(Scale::ALL[0]);
    let scale = Scale::ALL.into_iter().filter(fits).max_by_key(|s| s.of(10_000)).unwrap_or(smallest);
    let (width, height) = (scale.of(width), scale.of(height));
    let mut pixels = vec![0; width * height];
    let damage = decompressor.decode_words(jpeg, scale, &mut pixels, width)?;
    damage.map_or(Ok(()), Err)?;
    Ok(Picture { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::jpeg::tests::sample_jpeg;

    #[test]
    fn it_is_decoded_at_the_scale_that_fits() {
        let jpeg = sample_jpeg(64, 32);
        for (side_max, size) in [(100, (64, 32)), (64, (64, 32)), (63, (32, 16)), (8, (8, 4)), (1, (8, 4))] {
            let picture = decode_still(&jpeg, side_max).unwrap();
            assert_eq!((picture.width, picture.height), size, "{side_max}");
        }
        assert!(decode_still(&jpeg[..jpeg.len() / 2], 100).is_err(), "cut short");
    }
}
