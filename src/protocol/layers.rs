//! The layers of a camera's picture: which there are, how large and how often each is sent.
//!
//! ```text
//! thumb   144 rows, 15 frames a second; 10 when many send
//! medium  288 rows, 20 frames a second
//! full    as the camera gives it
//! ```
//! Widths follow the camera's shape, in whole blocks of 16 pixels. A layer that would not be smaller than the camera's
//! picture is left out.

use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::Layer;

/// The layers of a camera, lowest first.
pub const CAMERA: [Layer; 3] = [Layer::Thumb, Layer::Medium, Layer::Full];
/// With more people than this who send pictures, thumbs are sent less often.
pub const MANY_SENDERS: usize = 16;

const THUMB_ROWS: usize = 144;
const MEDIUM_ROWS: usize = 288;
const BLOCK: usize = 16;

/// Columns and rows of a layer of a camera that gives `native`; `None` when there is no such layer of it.
pub fn size(layer: Layer, native: (usize, usize)) -> Option<(usize, usize)> {
    let rows = match layer {
        Layer::Thumb => THUMB_ROWS,
        Layer::Medium => MEDIUM_ROWS,
        Layer::Full => return Some(native),
        Layer::Screen => return None,
    };
    if native.1 <= rows {
        return None;
    }
    let blocks = (native.0 * rows + native.1 * BLOCK / 2) / (native.1 * BLOCK);
    let columns = blocks.max(1) * BLOCK;
    (columns < native.0).then_some((columns, rows))
}

/// JPEG quality of a layer when that of `full` is `full`: small pictures are looked at less closely.
pub fn quality(layer: Layer, full: u8) -> u8 {
    let most = match layer {
        Layer::Thumb => 45,
        Layer::Medium => 60,
        Layer::Full | Layer::Screen => 100,
    };
    full.min(most)
}

/// `sixteenths` of both sides, in whole blocks of 16 pixels: a machine that cannot keep up sends less.
pub fn reduced(size: (usize, usize), sixteenths: u8) -> (usize, usize) {
    if sixteenths >= 16 {
        return size;
    }
    let side = |pixels: usize| (pixels * usize::from(sixteenths) / (BLOCK * BLOCK)).max(1) * BLOCK;
    (side(size.0).min(size.0), side(size.1).min(size.1))
}

/// `sixteenths`, or more where less would make `full` smaller than the layer below it.
pub fn least_reduced(native: (usize, usize), sixteenths: u8) -> u8 {
    let least = (16 * MEDIUM_ROWS).div_ceil(native.1.max(1)).min(16);
    sixteenths.max(least as u8)
}

/// Thousandths of frames a second of a layer of a camera that gives `native_milli`, while `senders` people send pictures.
pub fn fps_milli(layer: Layer, native_milli: u32, senders: usize) -> u32 {
    let most = match layer {
        Layer::Thumb if senders > MANY_SENDERS => 10_000,
        Layer::Thumb => 15_000,
        Layer::Medium => 20_000,
        Layer::Full | Layer::Screen => u32::MAX,
    };
    native_milli.min(most)
}

/// Lets through as many frames as are wanted, evenly spread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thinner {
    due: Option<Timestamp>,
}

impl Thinner {
    /// Whether the frame captured at `at` is to be sent, at `fps_milli`.
    pub fn takes(&mut self, at: Timestamp, fps_milli: u32) -> bool {
        let gap = Duration::from_nanos(1_000_000_000_000 / u64::from(fps_milli.max(1)));
        // A camera's frames come a little early and a little late.
        let slack = gap / 8;
        match self.due {
            Some(due) if at + slack < due => false,
            // On from when it was due, so that the rate is met on average, but nothing is made up for after a pause.
            Some(due) if at < due + gap => {
                self.due = Some(due + gap);
                true
            }
            _ => {
                self.due = Some(at + gap);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_rows_and_are_whole_blocks() {
        let rows: [((usize, usize), _, _); 8] = [
            ((1_280, 720), Some((256, 144)), Some((512, 288))),
            ((1_920, 1_080), Some((256, 144)), Some((512, 288))),
            ((640, 480), Some((192, 144)), Some((384, 288))),
            ((720, 1_280), Some((80, 144)), Some((160, 288))),
            ((640, 360), Some((256, 144)), Some((512, 288))),
            ((512, 288), Some((256, 144)), None),
            ((320, 180), Some((256, 144)), None),
            ((256, 144), None, None),
        ];
        for (native, thumb, medium) in rows {
            let of = |layer| size(layer, native);
            assert_eq!((of(Layer::Thumb), of(Layer::Medium)), (thumb, medium), "{native:?}");
            assert_eq!((of(Layer::Full), of(Layer::Screen)), (Some(native), None));
        }
        assert_eq!(size(Layer::Thumb, (16, 720)), None, "one block wide is no smaller");
    }

    #[test]
    fn reduced_sizes_are_whole_blocks() {
        for (size, sixteenths, expected) in [
            ((1_280, 720), 16, (1_280, 720)),
            ((1_280, 720), 12, (960, 528)),
            ((1_280, 720), 8, (640, 352)),
            ((16, 8), 8, (16, 8)),
        ] {
            assert_eq!(reduced(size, sixteenths), expected);
        }
        assert_eq!([Layer::Thumb, Layer::Medium, Layer::Full].map(|layer| quality(layer, 80)), [45, 60, 80]);
        assert_eq!(quality(Layer::Thumb, 20), 20);
        for (native, sixteenths, expected) in [((1_280, 720), 6, 7), ((1_280, 720), 12, 12), ((320, 180), 6, 16)] {
            assert_eq!(least_reduced(native, sixteenths), expected, "{native:?}");
        }
    }

    #[test]
    fn rates_are_the_cameras_at_most() {
        for (layer, native, senders, expected) in [
            (Layer::Thumb, 30_000, 16, 15_000),
            (Layer::Thumb, 30_000, 17, 10_000),
            (Layer::Thumb, 5_000, 17, 5_000),
            (Layer::Medium, 30_000, 1, 20_000),
            (Layer::Full, 60_000, 100, 60_000),
        ] {
            assert_eq!(fps_milli(layer, native, senders), expected, "{layer:?} {native} {senders}");
        }
    }

    #[test]
    fn frames_are_thinned_evenly_whatever_the_cameras_jitter() {
        for (camera_ms, fps_milli, expected) in
            [(33.4, 15_000, 150), (33.4, 20_000, 200), (33.4, 10_000, 100), (200.0, 15_000, 50), (40.0, 20_000, 200)]
        {
            let mut thinner = Thinner::default();
            let frames = (10_000.0 / camera_ms) as u64;
            let when = |n: u64| Timestamp((n as f64 * camera_ms * 1e6) as u64 + n * 7_919 % 2_000_000);
            let taken: Vec<u64> = (0..frames).filter(|&n| thinner.takes(when(n), fps_milli)).collect();
            let share = taken.len() as f64 / f64::from(expected);
            assert!((0.93..=1.07).contains(&share), "{camera_ms} ms at {fps_milli}: {} frames", taken.len());
            let gap = taken.windows(2).map(|w| w[1] - w[0]).max().unwrap();
            assert!(gap as f64 * camera_ms <= 2.0 * 1e6 / f64::from(fps_milli).min(1e3 / camera_ms * 1e3) + 1.0);
        }
    }
}
