//! A picture so small that it fits beside a file's name: a JPEG without its headers.
//!
//! ```text
//!  0    1  columns, 1 to 64
//!  1    1  rows, 1 to 64
//!  2  128  quantization tables in zig-zag order: luma, then chroma
//!  ..      the scan: 4:2:0, the usual Huffman tables, a restart marker after every row of MCUs but the last
//! ```

use super::convert::words_to_yuv;
use super::jpeg::{self, BandEncoder, FrameParams, mcu_size};
use super::picture::{Chroma, Picture, Yuv};
use super::still;

/// Longest side, in pixels.
const SIDE_MAX: usize = 64;
/// Sides and qualities tried, the best first.
const TRIED: [(usize, u8); 7] = [(64, 70), (64, 40), (64, 20), (48, 25), (48, 12), (32, 20), (24, 10)];
const TABLES_AT: usize = 2;
const SCAN_AT: usize = TABLES_AT + 128;

/// The thumbnail of the picture in `bytes`, of at most `bytes_max` bytes; none when it is no picture, or none so small can be
/// made of it.
pub fn make(bytes: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let picture = still::decode(bytes, SIDE_MAX).ok()?;
    let mut encoder = BandEncoder::new().ok()?;
    TRIED.into_iter().find_map(|(side, quality)| {
        let picture = still::shrunk(picture.clone(), side);
        let mut yuv = Yuv::default();
        words_to_yuv(&picture.pixels, picture.width, picture.height, &mut yuv);
        let mut out = vec![u8::try_from(picture.width).ok()?, u8::try_from(picture.height).ok()?];
        let append = &mut |band: jpeg::Band<'_>| {
            if band.index == 0 {
                out.extend_from_slice(band.tables);
            }
            out.extend_from_slice(band.scan);
        };
        encoder.encode(&yuv, quality, 1, append).ok()?;
        (out.len() <= bytes_max).then_some(out)
    })
}

/// The picture in a thumbnail; none when it is not one.
pub fn read(bytes: &[u8]) -> Option<Picture> {
    let (header, scan) = bytes.split_at_checked(SCAN_AT)?;
    let tables: &[u8; 128] = header.get(TABLES_AT..)?.try_into().ok()?;
    let [width, height] = [usize::from(*header.first()?), usize::from(*header.get(1)?)];
    let within = |side| (1..=SIDE_MAX).contains(&side);
    if !within(width) || !within(height) {
        return None;
    }
    // Sides were made even to be encoded; the last column and row are not shown.
    let (whole_width, whole_height) = (width.next_multiple_of(2), height.next_multiple_of(2));
    let (mcu_width, _) = mcu_size(Chroma::C420);
    let params = FrameParams {
        width: whole_width,
        height: whole_height,
        chroma: Chroma::C420,
        restart_interval: whole_width.div_ceil(mcu_width) as u16,
        tables,
        crop: None,
    };
    let mut jpeg = Vec::new();
    jpeg::to_jpeg(&params, scan, &mut jpeg);
    let decoded = jpeg::decode_still(&jpeg, SIDE_MAX).ok()?;
    let rows = decoded.pixels.chunks_exact(decoded.width.max(1)).take(height);
    let pixels = rows.flat_map(|row| row.iter().take(width).copied()).collect();
    Some(Picture { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG with something in it.
    fn picture(width: u32, height: u32) -> Vec<u8> {
        let pixels = (0..width * height).flat_map(|n| {
            let (x, y) = (n % width, n / width);
            [(x * 255 / width) as u8, (y * 255 / height) as u8, ((x / 31 + y / 23) % 2 * 200) as u8]
        });
        let mut png = Vec::new();
        still::write_png(&mut png, &pixels.collect::<Vec<u8>>(), (width as usize, height as usize)).unwrap();
        png
    }

    #[test]
    fn a_picture_comes_back_small_and_alike() {
        for (width, height, small) in [(640, 480, (64, 48)), (30, 300, (6, 64)), (5, 3, (5, 3)), (1, 1, (1, 1))] {
            let png = picture(width, height);
            let made = make(&png, 4_000).unwrap();
            let read = read(&made).unwrap();
            assert_eq!((read.width, read.height), small, "{width}x{height}");
            let meant = still::decode(&png, 64).unwrap();
            let parts = |word: &u32| word.to_be_bytes().map(i32::from);
            let far = |(a, b)| parts(a).iter().zip(parts(b)).skip(1).map(|(a, b)| (a - b).abs()).sum::<i32>();
            let mean = read.pixels.iter().zip(&meant.pixels).map(far).sum::<i32>() / read.pixels.len() as i32;
            assert!(mean < 90, "{width}x{height}: {mean} of 765");
        }
    }

    #[test]
    fn it_is_made_as_small_as_it_must_be_or_not_at_all() {
        let png = picture(640, 480);
        let sizes = [4_000, 640, 400].map(|most| make(&png, most).map(|made| made.len()));
        assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2] && sizes[2].is_some_and(|n| n <= 400), "{sizes:?}");
        assert_eq!(make(&png, 130), None);
        assert_eq!(make(b"no picture", 4_000), None);
    }

    #[test]
    fn what_is_no_thumbnail_is_none() {
        let good = make(&picture(64, 48), 4_000).unwrap();
        for length in 0..SCAN_AT {
            assert!(read(&good[..length]).is_none(), "{length}");
        }
        for (at, value) in [(0, 0), (0, 65), (1, 0), (1, 255)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(read(&bad).is_none(), "{value} at {at}");
        }
    }
}
