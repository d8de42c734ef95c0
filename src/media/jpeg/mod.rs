//! JPEG as RFC 2435 carries it: baseline, 4:2:0 or 4:2:2, the Huffman tables of ITU-T T.81 Annex K, two 8-bit
//! quantization tables, and (in what is encoded here) a restart marker after every row of MCUs.
//!
//! ```text
//! Yuv --BandEncoder--> band 0 | band 1 | .. | band n     bytes of one scan, each band ready before the next is begun
//!                         |        |            |
//!                      packets, the network, reassembly: a growing prefix of the scan
//!                         |        |            |
//!                      BandDecoder: each group of whole MCU rows becomes a small JPEG of its own --> rows of a Picture
//! ```
//! Joining the bands by renumbering RSTn and putting one between them gives the very bytes of encoding the frame whole,
//! so every receiver sees one ordinary JPEG.
//!
//! The files: `encode` and `decode` (bands), `conform` (may a camera's JPEG be passed through untouched?), `yuv`
//! (decoding those that may not), `still` (pictures that are no video), `scan` (markers and headers), `turbo` (the only file that calls libjpeg-turbo, and
//! the only one of this folder with `unsafe`).
//!
//! Never here: packets, participants, clocks.

mod conform;
mod decode;
mod encode;
mod scan;
mod still;
mod turbo;
mod yuv;

pub use conform::{Conforming, NotConforming, conformance, jpeg_length};
pub use decode::{BandDecoder, FrameParams};
pub use encode::{Band, BandEncoder};
pub use scan::{to_jpeg, write_header};
pub use still::decode_still;
pub use turbo::Scale;
pub use yuv::{YuvDecoder, decode_to_yuv};

use crate::media::picture::Chroma;

/// What can go wrong with a JPEG.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// A side is zero or more than the bound.
    #[error("a picture of {width}x{height} is outside 1x1..{max}x{max}")]
    Size {
        /// Columns told.
        width: usize,
        /// Rows told.
        height: usize,
        /// The bound for both.
        max: usize,
    },
    /// The planes of a picture do not have the size its width, height and chroma layout say.
    #[error("the planes do not fit a picture of {width}x{height}")]
    Planes {
        /// Columns told.
        width: usize,
        /// Rows told.
        height: usize,
    },
    /// The scan is longer than any frame may be.
    #[error("a scan of {bytes} bytes is over the bound of {max}")]
    TooLong {
        /// Bytes given.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A marker inside the scan that no baseline scan has.
    #[error("marker {code:#04x} at byte {at} of the scan")]
    Marker {
        /// Second byte of the marker.
        code: u8,
        /// Offset of its first byte in the scan.
        at: usize,
    },
    /// A restart marker out of its turn, or one more than the picture has.
    #[error("restart marker {found} at byte {at} of the scan out of its turn")]
    Restart {
        /// n of the RSTn found.
        found: u8,
        /// Offset of its first byte in the scan.
        at: usize,
    },
    /// The scan ended before the last row of the picture.
    #[error("the scan ends after {rows} of {expected} rows of blocks")]
    Truncated {
        /// MCU rows decoded.
        rows: usize,
        /// MCU rows of the picture.
        expected: usize,
    },
    /// The entropy-coded data did not decode cleanly; the picture is whole but some of it may be wrong.
    #[error("damaged picture: {0}")]
    Damaged(String),
    /// The scan given is not a continuation of the one given before, or no frame was begun.
    #[error("no frame is being decoded, or its scan became shorter")]
    OutOfTurn,
    /// libjpeg-turbo refused.
    #[error("libjpeg-turbo: {0}")]
    Library(String),
}

impl Error {
    /// Whether a whole picture was decoded nonetheless, so that showing it beats showing nothing.
    pub fn left_a_picture(&self) -> bool {
        matches!(self, Error::Damaged(_))
    }
}

/// Pixels of one MCU across and down.
pub fn mcu_size(chroma: Chroma) -> (usize, usize) {
    match chroma {
        Chroma::C420 => (16, 16),
        Chroma::C422 => (16, 8),
    }
}

#[cfg(test)]
mod tests;
