//! Decoding any JPEG to planes, for those that cannot be passed through and are encoded again.

use super::Error;
use super::turbo::{Decompressor, Scale, Subsampling};
use crate::limits::{JPEG_SIDE_PIXELS_MAX, SOURCE_PIXELS_MAX};
use crate::media::convert;
use crate::media::picture::{Chroma, Yuv};

/// Decodes JPEGs of any chroma layout, also grey and progressive ones, to planes of 4:2:0 or 4:2:2.
pub struct YuvDecoder {
    decompressor: Decompressor,
    words: Vec<u32>,
}

impl YuvDecoder {
    /// A decoder; fails only without memory.
    pub fn new() -> Result<Self, Error> {
        let decompressor = Decompressor::new(SOURCE_PIXELS_MAX)?;
        Ok(Self { decompressor, words: Vec::new() })
    }

    /// Decodes `jpeg` into `out`, at the largest of 1, 1/2, 1/4, 1/8 of its size whose sides are at most
    /// [`JPEG_SIDE_PIXELS_MAX`]. Odd sides may be rounded up to even. [`Error::Damaged`] leaves a whole picture, in
    /// parts wrong, in `out`.
    pub fn decode(&mut self, jpeg: &[u8], out: &mut Yuv) -> Result<(), Error> {
        let header = self.decompressor.header(jpeg)?;
        let (width, height) = (header.width, header.height);
        let fits = |s: &Scale| s.of(width).max(s.of(height)) <= JPEG_SIDE_PIXELS_MAX;
        let scale = Scale::ALL.into_iter().rev().find(fits);
        let scale = match width.checked_mul(height) {
            Some(pixels) if pixels <= SOURCE_PIXELS_MAX => scale,
            _ => None,
        };
        let scale = scale.ok_or(Error::Size { width, height, max: JPEG_SIDE_PIXELS_MAX * 8 })?;
        let chroma = match header.subsampling {
            Subsampling::Halved(chroma) => chroma,
            Subsampling::Grey => Chroma::C420,
            Subsampling::Full | Subsampling::Other => return self.through_words(jpeg, scale, (width, height), out),
        };
        let decoded = self.decompressor.decode_planes(jpeg, scale, [&mut out.y, &mut out.u, &mut out.v])?;
        out.reshape(decoded.width, decoded.height, chroma);
        if header.subsampling == Subsampling::Grey {
            out.u.fill(128);
            out.v.fill(128);
        }
        decoded.damage.map_or(Ok(()), Err)
    }

    /// The way for layouts hardly any camera has: through pixels.
    fn through_words(&mut self, jpeg: &[u8], scale: Scale, size: (usize, usize), out: &mut Yuv) -> Result<(), Error> {
        let (width, height) = (scale.of(size.0), scale.of(size.1));
        self.words.resize(width * height, 0);
        let damage = self.decompressor.decode_words(jpeg, scale, &mut self.words, width)?;
        convert::words_to_yuv(&self.words, width, height, out);
        damage.map_or(Ok(()), Err)
    }
}

/// As [`YuvDecoder::decode`], with a decoder for this one picture; a damaged picture is an error.
pub fn decode_to_yuv(jpeg: &[u8]) -> Result<Yuv, Error> {
    let mut picture = Yuv::default();
    YuvDecoder::new()?.decode(jpeg, &mut picture)?;
    Ok(picture)
}
