//! Encoding a picture as bands of MCU rows, each handed out as soon as it is ready.

use super::scan::{DQT, EOI, MarkerWalk, RST0, RST7, SOS, marker_at, segment};
use super::turbo::{Compressor, Planes};
use super::{Error, mcu_size};
use crate::limits::JPEG_SIDE_PIXELS_MAX;
use crate::media::picture::{Chroma, Yuv};

/// Some consecutive MCU rows of a frame, encoded.
#[derive(Clone, Copy, Debug)]
pub struct Band<'a> {
    /// Counts the bands of the frame from 0.
    pub index: usize,
    /// Whether this is the frame's last.
    pub last: bool,
    /// Entropy-coded bytes with a restart marker after every MCU row but the frame's last. The bands of a frame one
    /// after the other are its scan; EOI is not among them.
    pub scan: &'a [u8],
    /// Quantization tables of the frame in zig-zag order: luma, then chroma.
    pub tables: &'a [u8; 128],
    /// MCUs between restart markers: those of one row.
    pub restart_interval: u16,
}

/// Encodes pictures; keeps its buffers from frame to frame.
pub struct BandEncoder {
    compressor: Compressor,
    jpeg: Vec<u8>,
    padded: Yuv,
    tables: [u8; 128],
    restart_interval: u16,
}

impl BandEncoder {
    /// An encoder; fails only without memory.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            compressor: Compressor::new()?,
            jpeg: Vec::new(),
            padded: Yuv::default(),
            tables: [0; 128],
            restart_interval: 0,
        })
    }

    /// Quantization tables of the frame encoded last (zeros before the first); [`Band::tables`] has them too.
    pub fn tables(&self) -> &[u8; 128] {
        &self.tables
    }

    /// MCUs between restart markers in the frame encoded last; [`Band::restart_interval`] has it too.
    pub fn restart_interval(&self) -> u16 {
        self.restart_interval
    }

    /// Encodes `picture` at `quality` (1..=100) in `bands` bands, at least one MCU row each, calling `emit` for each in
    /// order. Sides are limited by [`JPEG_SIDE_PIXELS_MAX`]; odd ones cost a copy of the picture. After an error the
    /// frame is to be dropped.
    pub fn encode(
        &mut self,
        picture: &Yuv,
        quality: u8,
        bands: usize,
        emit: &mut impl FnMut(Band<'_>),
    ) -> Result<(), Error> {
        let (width, height) = (picture.width, picture.height);
        if width == 0 || height == 0 || width > JPEG_SIDE_PIXELS_MAX || height > JPEG_SIDE_PIXELS_MAX {
            return Err(Error::Size { width, height, max: JPEG_SIDE_PIXELS_MAX });
        }
        if !picture.is_sound() {
            return Err(Error::Planes { width, height });
        }
        let picture = match width.is_multiple_of(2) && height.is_multiple_of(2) {
            true => picture,
            false => {
                picture.pad_to_even(&mut self.padded);
                &self.padded
            }
        };
        let (mcu_width, mcu_height) = mcu_size(picture.chroma);
        let rows = picture.height.div_ceil(mcu_height);
        let bands = bands.clamp(1, rows);
        self.restart_interval = picture.width.div_ceil(mcu_width) as u16;
        for index in 0..bands {
            let (first, end) = (index * rows / bands, (index + 1) * rows / bands);
            let last = index + 1 == bands;
            let planes = slice_rows(picture, first * mcu_height, (end * mcu_height).min(picture.height));
            let length = self.compressor.compress(planes, quality, &mut self.jpeg)?;
            let (start, stop) = find_scan(&self.jpeg[..length], &mut self.tables)?;
            renumber(&mut self.jpeg[start..stop], first);
            // The marker after the band's last row goes where its EOI stood, so a receiver knows the band is complete.
            let stop = if last { stop } else { stop + 2 };
            if !last {
                self.jpeg[stop - 1] = RST0 + ((end - 1) % 8) as u8;
            }
            emit(Band {
                index,
                last,
                scan: &self.jpeg[start..stop],
                tables: &self.tables,
                restart_interval: self.restart_interval,
            });
        }
        Ok(())
    }
}

/// Offsets of the scan in a JPEG just made; takes the quantization tables on the way.
fn find_scan(jpeg: &[u8], tables: &mut [u8; 128]) -> Result<(usize, usize), Error> {
    let odd = || Error::Library("unexpected layout of the encoded picture".into());
    let mut at = 2;
    loop {
        let marker = marker_at(jpeg, at).ok_or_else(odd)?;
        let (payload, end) = segment(jpeg, marker.at).ok_or_else(odd)?;
        at = end;
        match marker.code {
            DQT => {
                for table in payload.chunks_exact(65) {
                    let half = usize::from(table[0] & 1) * 64;
                    tables[half..half + 64].copy_from_slice(&table[1..]);
                }
            }
            SOS => break,
            _ => {}
        }
    }
    match jpeg.ends_with(&[0xff, EOI]) && at + 2 <= jpeg.len() {
        true => Ok((at, jpeg.len() - 2)),
        false => Err(odd()),
    }
}

/// Rows `from..to` of a picture; `from` is a multiple of the chroma step.
fn slice_rows(picture: &Yuv, from: usize, to: usize) -> Planes<'_> {
    let (chroma_width, _) = picture.chroma_size();
    let step = match picture.chroma {
        Chroma::C420 => 2,
        Chroma::C422 => 1,
    };
    let chroma = from / step * chroma_width..to / step * chroma_width;
    Planes {
        y: &picture.y[from * picture.width..to * picture.width],
        u: &picture.u[chroma.clone()],
        v: &picture.v[chroma],
        width: picture.width,
        height: to - from,
        chroma: picture.chroma,
    }
}

/// Restart markers of a band count from 0; in the frame they count from the band's first row.
fn renumber(scan: &mut [u8], first_row: usize) {
    if first_row.is_multiple_of(8) {
        return;
    }
    let mut walk = MarkerWalk::default();
    while let Some(marker) = walk.next(scan) {
        if (RST0..=RST7).contains(&marker.code) {
            scan[marker.at + 1] = RST0 + ((usize::from(marker.code - RST0) + first_row) % 8) as u8;
        }
    }
}
