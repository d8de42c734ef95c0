//! Decoding a frame while it arrives: each group of whole MCU rows is decoded as a small JPEG of its own.
//!
//! ```text
//! scan so far   [row RST0 row RST1 row RST2 row RST3 row RST4][row RST5 ro
//!                `---------- a group: header + bytes -------'
//! picture       [ rows 0..80 decoded                         ][ not yet
//! ```
//! A group starts after a restart marker, where the entropy decoder starts afresh, so it needs nothing from before.
//! Frames without restart markers, and frames whose markers never fall on the start of a row, are decoded when complete.

use super::scan::{EOI, HEIGHT_OFFSET, MarkerWalk, RST0, RST7, write_header};
use super::turbo::{Decompressor, Scale};
use super::{Error, mcu_size};
use crate::limits::{JPEG_FRAME_BYTES_MAX, JPEG_SIDE_PIXELS_MAX};
use crate::media::picture::{Chroma, Picture};

/// Rows of pixels a group has at least: beginning a JPEG costs about as much as decoding ten rows of pixels.
const GROUP_PIXELS_MIN: usize = 80;

/// What RFC 2435's headers say of a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameParams<'a> {
    /// Columns: a multiple of 8 on the wire.
    pub width: usize,
    /// Rows: a multiple of 8 on the wire.
    pub height: usize,
    /// Chroma layout.
    pub chroma: Chroma,
    /// MCUs between restart markers; 0 = none.
    pub restart_interval: u16,
    /// Quantization tables in zig-zag order: luma, then chroma.
    pub tables: &'a [u8; 128],
    /// The true size when it is known from elsewhere; ignored unless it has the same number of MCUs both ways.
    pub crop: Option<(usize, usize)>,
}

impl FrameParams<'_> {
    /// Size of the picture to show: the crop when it is believable.
    pub fn shown_size(&self) -> (usize, usize) {
        let (mcu_width, mcu_height) = mcu_size(self.chroma);
        match self.crop {
            Some((width, height))
                if width.div_ceil(mcu_width) == self.width.div_ceil(mcu_width)
                    && height.div_ceil(mcu_height) == self.height.div_ceil(mcu_height)
                    && width <= self.width
                    && height <= self.height =>
            {
                (width, height)
            }
            _ => (self.width, self.height),
        }
    }
}

/// How a frame is divided, in MCU rows and in segments (the stretches between restart markers).
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    mcu_height: usize,
    width: usize,
    height: usize,
    rows: usize,
    segments: usize,
    /// The smallest number of segments that fill whole rows, and how many rows they fill.
    unit_segments: usize,
    unit_rows: usize,
    group_rows_min: usize,
}

impl Layout {
    fn of(params: &FrameParams<'_>) -> Self {
        let (mcu_width, mcu_height) = mcu_size(params.chroma);
        let (width, height) = params.shown_size();
        let (columns, rows) = (width.div_ceil(mcu_width), height.div_ceil(mcu_height));
        let interval = match usize::from(params.restart_interval) {
            0 => columns * rows,
            interval => interval.min(columns * rows),
        };
        let common = gcd(columns, interval);
        Self {
            mcu_height,
            width,
            height,
            rows,
            segments: (columns * rows).div_ceil(interval),
            unit_segments: columns / common,
            unit_rows: interval / common,
            group_rows_min: GROUP_PIXELS_MIN.div_ceil(mcu_height),
        }
    }

    /// Segments and rows that can be decoded when `segments` are whole.
    fn ready(&self, segments: usize) -> (usize, usize) {
        if segments >= self.segments {
            return (self.segments, self.rows);
        }
        let units = segments / self.unit_segments;
        (units * self.unit_segments, units * self.unit_rows)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Decoding,
    Done,
}

/// Decodes one frame at a time, straight to the pixels and near the size of the window's tile. Keeps its buffers.
pub struct BandDecoder {
    decompressor: Decompressor,
    state: State,
    layout: Layout,
    scale: Scale,
    header: Vec<u8>,
    group: Vec<u8>,
    walk: MarkerWalk,
    /// Offsets of the restart markers found so far: the ends of the segments.
    marks: Vec<u32>,
    /// Offset of EOI in the scan, where a sender left it in.
    end: Option<usize>,
    segments_done: usize,
    rows_done: usize,
    damage: Option<Error>,
    picture: Picture,
}

impl BandDecoder {
    /// A decoder; fails only without memory.
    pub fn new() -> Result<Self, Error> {
        let mut decompressor = Decompressor::new(JPEG_SIDE_PIXELS_MAX * JPEG_SIDE_PIXELS_MAX)?;
        decompressor.set_fast_upsampling(true)?;
        Ok(Self {
            decompressor,
            state: State::Idle,
            layout: Layout::default(),
            scale: Scale::Full,
            header: Vec::new(),
            group: Vec::new(),
            walk: MarkerWalk::default(),
            marks: Vec::new(),
            end: None,
            segments_done: 0,
            rows_done: 0,
            damage: None,
            picture: Picture::default(),
        })
    }

    /// Begins a frame, giving up any unfinished one. The picture gets the smallest of 1, 1/2, 1/4, 1/8 of its size that
    /// is at least `wanted` both ways, or its full size when none is. Rows not decoded keep what an earlier picture of
    /// the same size left there.
    pub fn begin(&mut self, params: FrameParams<'_>, wanted: (usize, usize)) -> Result<(), Error> {
        self.state = State::Idle;
        let (width, height) = (params.width, params.height);
        if width == 0 || height == 0 || width > JPEG_SIDE_PIXELS_MAX || height > JPEG_SIDE_PIXELS_MAX {
            return Err(Error::Size { width, height, max: JPEG_SIDE_PIXELS_MAX });
        }
        self.layout = Layout::of(&params);
        let enough =
            |scale: &Scale| scale.of(self.layout.width) >= wanted.0 && scale.of(self.layout.height) >= wanted.1;
        self.scale = Scale::ALL.into_iter().find(enough).unwrap_or(Scale::Full);
        let size = (self.scale.of(self.layout.width), self.scale.of(self.layout.height));
        if size != (self.picture.width, self.picture.height) {
            self.picture.reshape(size.0, size.1);
            self.picture.pixels.fill(0);
        }
        self.header.clear();
        write_header(&params, &mut self.header);
        self.walk = MarkerWalk::default();
        self.marks.clear();
        self.end = None;
        (self.segments_done, self.rows_done) = (0, 0);
        self.damage = None;
        self.state = State::Decoding;
        Ok(())
    }

    /// The size reduction chosen for the frame begun.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Rows of the (scaled) picture decoded so far.
    pub fn rows_decoded(&self) -> usize {
        self.scale.of((self.rows_done * self.layout.mcu_height).min(self.layout.height))
    }

    /// Decodes what the whole contiguous prefix of the scan allows; `complete` says that it is all of it. `Ok(true)`
    /// once the whole picture is there to [`take`](Self::take).
    ///
    /// An error ends the frame; what was decoded before can still be taken. [`Error::Damaged`] comes only at the end,
    /// with every row decoded as well as it could be.
    pub fn push(&mut self, scan: &[u8], complete: bool) -> Result<bool, Error> {
        match self.state {
            State::Done => return Ok(true),
            State::Idle => return Err(Error::OutOfTurn),
            State::Decoding => {}
        }
        let result = self.advance(scan, complete);
        match result {
            Ok(false) => {}
            Ok(true) => self.state = State::Done,
            Err(_) => self.state = State::Idle,
        }
        result
    }

    /// Swaps the picture out; `into`'s memory is used for the next.
    pub fn take(&mut self, into: &mut Picture) {
        std::mem::swap(&mut self.picture, into);
        self.state = State::Idle;
    }

    fn advance(&mut self, scan: &[u8], complete: bool) -> Result<bool, Error> {
        if scan.len() > JPEG_FRAME_BYTES_MAX {
            return Err(Error::TooLong { bytes: scan.len(), max: JPEG_FRAME_BYTES_MAX });
        }
        if scan.len() < self.walk.looked_at {
            return Err(Error::OutOfTurn);
        }
        self.find_restarts(scan)?;
        let whole = self.marks.len() + usize::from(complete);
        let (segments, rows) = self.layout.ready(whole);
        let worthwhile = rows >= self.rows_done + self.layout.group_rows_min;
        if rows > self.rows_done && (worthwhile || complete || rows == self.layout.rows) {
            self.decode_group(scan, segments, rows)?;
        }
        if self.rows_done == self.layout.rows {
            return self.damage.take().map_or(Ok(true), Err);
        }
        match complete {
            true => Err(Error::Truncated { rows: self.rows_done, expected: self.layout.rows }),
            false => Ok(false),
        }
    }

    /// Notes the restart markers of what is new of the scan, checking their turn.
    fn find_restarts(&mut self, scan: &[u8]) -> Result<(), Error> {
        while self.end.is_none() {
            let Some(marker) = self.walk.next(scan) else { break };
            match marker.code {
                RST0..=RST7 => {
                    let found = marker.code - RST0;
                    if usize::from(found) != self.marks.len() % 8 || self.marks.len() + 1 >= self.layout.segments {
                        return Err(Error::Restart { found, at: marker.at });
                    }
                    self.marks.push(marker.at as u32);
                }
                EOI => self.end = Some(marker.at),
                code => return Err(Error::Marker { code, at: marker.at }),
            }
        }
        Ok(())
    }

    /// Decodes the rows from the last group's end up to `rows`, which end with segment number `segments`.
    fn decode_group(&mut self, scan: &[u8], segments: usize, rows: usize) -> Result<(), Error> {
        let first = self.segments_done;
        let start = first.checked_sub(1).map_or(0, |i| self.marks[i] as usize + 2);
        let scan_end = self.end.unwrap_or(scan.len());
        let stop = self.marks.get(segments - 1).map_or(scan_end, |mark| *mark as usize);
        let top = self.rows_done * self.layout.mcu_height;
        let height = (rows * self.layout.mcu_height).min(self.layout.height) - top;

        self.group.clear();
        self.group.extend_from_slice(&self.header);
        self.group[HEIGHT_OFFSET..HEIGHT_OFFSET + 2].copy_from_slice(&(height as u16).to_be_bytes());
        self.group.extend_from_slice(&scan[start..stop]);
        // Restart markers count from 0 in every JPEG.
        for (i, mark) in self.marks.iter().skip(first).take(segments - 1 - first).enumerate() {
            self.group[self.header.len() + *mark as usize - start + 1] = RST0 + (i % 8) as u8;
        }
        self.group.extend_from_slice(&[0xff, EOI]);

        let width = self.picture.width;
        let target_top = self.scale.of(top) * width;
        let target = &mut self.picture.pixels[target_top..target_top + self.scale.of(height) * width];
        let damage = self.decompressor.decode_words(&self.group, self.scale, target, width)?;
        self.damage = self.damage.take().or(damage);
        (self.segments_done, self.rows_done) = (segments, rows);
        Ok(())
    }
}
