//! RTP payload format for JPEG: RFC 2435.
//!
//! ```text
//!  0                   1                   2                   3
//! +---------------+-----------------------------------------------+
//! | type-specific |              fragment offset (24)             |  main header, section 3.1
//! +---------------+---------------+---------------+---------------+
//! |      type     |       Q       |   width / 8   |  height / 8   |
//! +---------------+---------------+-+-+-----------+---------------+
//! |      restart interval         |F|L|   restart count (14)      |  only types 64..127, section 3.1.7
//! +---------------+---------------+-+-+---------------------------+
//! |      MBZ      |   precision   |         length                |  only Q >= 128 and offset 0, section 3.1.8
//! +---------------+---------------+-------------------------------+
//! |  quantization tables in zig-zag order, luma then chroma ...   |
//! +---------------------------------------------------------------+
//! |  a piece of the scan (entropy-coded data with its RSTn) ...   |
//! ```
//! Types 0 and 64 are 4:2:2 (luma 2x1), types 1 and 65 are 4:2:0 (luma 2x2); nothing else is written or accepted.
//! Written is always Q = 255 with two 8-bit tables; read are also the tables that senders only name (Q 1..=99,
//! section 4.2). Nothing here remembers anything: tables that outlive a frame are the reassembler's business.

use crate::limits::{JPEG_FRAME_BYTES_MAX, JPEG_SIDE_PIXELS_MAX};

/// Both quantization tables, 8-bit, in zig-zag order: luma, then chroma.
pub type Tables = [u8; 128];

/// Q of a frame that carries its own tables, as always written here.
pub const Q_IN_BAND: u8 = 255;
/// Bytes of the main header.
pub const MAIN_HEADER_BYTES: usize = 8;
/// Bytes of the restart marker header.
pub const RESTART_HEADER_BYTES: usize = 4;
/// Bytes of the quantization table header with two 8-bit tables.
pub const TABLES_HEADER_BYTES: usize = 4 + 128;

/// The restart count of senders whose packets do not begin at restart intervals (F = L = 1), section 3.1.7.
const RESTART_COUNT_UNALIGNED: u16 = 0xffff;
/// Set in the type when the frame has restart markers.
const TYPE_RESTART: u8 = 64;
/// Offsets are 24 bits.
const OFFSET_MAX: u32 = 0x00ff_ffff;

const _: () = assert!(JPEG_FRAME_BYTES_MAX <= OFFSET_MAX as usize);

/// Luma sampling factors; both chroma components are 1x1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// 2x1, that is 4:2:2: types 0 and 64.
    H2V1,
    /// 2x2, that is 4:2:0: types 1 and 65.
    H2V2,
}

/// What every packet of a frame says, and where its piece belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JpegHeader {
    /// Columns, rounded up to a multiple of 8; 8..=2040.
    pub width: usize,
    /// Rows, rounded up to a multiple of 8; 8..=2040.
    pub height: usize,
    /// Luma sampling.
    pub sampling: Sampling,
    /// MCUs between restart markers; 0 = no restart markers.
    pub restart_interval: u16,
    /// Where this packet's piece stands in the scan, in bytes.
    pub offset: u32,
}

impl JpegHeader {
    /// Stretches between restart markers; `None` without restart markers.
    pub fn segments(&self) -> Option<usize> {
        let interval = usize::from(self.restart_interval);
        let mcu_height = match self.sampling {
            Sampling::H2V1 => 8,
            Sampling::H2V2 => 16,
        };
        let mcus = self.width.div_ceil(16) * self.height.div_ceil(mcu_height);
        (interval > 0).then(|| mcus.div_ceil(interval))
    }
}

/// Where a frame's tables come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization<'a> {
    /// Computed from the quality factor 1..=99: [`tables_for_quality`].
    Computed(u8),
    /// Carried by this packet. 64 bytes serve both components, 128 are luma and chroma.
    Here(u8, &'a [u8]),
    /// Q >= 128: carried by the frame's first packet, which this one is not; or, when it is (offset 0) and Q is not
    /// 255, by the first packet of an earlier frame with the same Q.
    Elsewhere(u8),
}

impl Quantization<'_> {
    /// The Q field, the same in all packets of a frame.
    pub fn q(&self) -> u8 {
        match *self {
            Quantization::Computed(q) | Quantization::Here(q, _) | Quantization::Elsewhere(q) => q,
        }
    }
}

/// An RTP payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JpegPayload<'a> {
    /// Main and restart header.
    pub header: JpegHeader,
    /// Quantization tables.
    pub quantization: Quantization<'a>,
    /// The piece of the scan at `header.offset`.
    pub scan: &'a [u8],
}

/// Why a payload is refused. Another packet of the same stream may well be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The payload ends inside a header.
    #[error("JPEG payload of {actual} bytes ends inside its headers, which need {expected}")]
    Truncated {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        actual: usize,
    },
    /// Not one of the types 0, 1, 64, 65.
    #[error("JPEG type {0} is not supported")]
    Type(u8),
    /// Interlaced fields (type-specific != 0).
    #[error("type-specific field {0}: only progressively scanned frames are supported")]
    Interlaced(u8),
    /// Width or height 0.
    #[error("frame of {width}x{height} pixels")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// Restart interval 0 in a type that has restart markers.
    #[error("restart interval 0 in a type with restart markers")]
    RestartInterval,
    /// Q is 0 or 100..=127 (reserved).
    #[error("quality factor {0} is reserved")]
    Q(u8),
    /// Tables neither 64 nor 128 bytes of 8-bit values, or none where Q = 255 asks for them.
    #[error("quantization tables of {length} bytes, precision bits {precision:#04x}")]
    Tables {
        /// Bytes announced.
        length: usize,
        /// Precision bits, 1 = 16 bit.
        precision: u8,
    },
    /// The piece would stand beyond the largest frame accepted.
    #[error("scan piece of {length} bytes at offset {offset} exceeds the largest frame")]
    Offset {
        /// Offset announced.
        offset: u32,
        /// Bytes of the piece.
        length: usize,
    },
}

impl JpegHeader {
    /// Bytes that [`write`](Self::write) appends.
    pub fn encoded_bytes(&self, with_tables: bool) -> usize {
        MAIN_HEADER_BYTES
            + if self.restart_interval > 0 { RESTART_HEADER_BYTES } else { 0 }
            + if with_tables { TABLES_HEADER_BYTES } else { 0 }
    }

    /// Appends main header, restart header when there are restart markers, and the table header when `tables` are given,
    /// which is in the packet with offset 0 and in no other.
    ///
    /// Sides that are no multiple of 8 are rounded up; the caller has checked them against
    /// [`JPEG_SIDE_PIXELS_MAX`] and the offset against [`JPEG_FRAME_BYTES_MAX`].
    pub fn write(&self, tables: Option<&Tables>, out: &mut Vec<u8>) {
        debug_assert!(self.width.max(self.height) <= JPEG_SIDE_PIXELS_MAX && self.offset <= OFFSET_MAX);
        let kind = match self.sampling {
            Sampling::H2V1 => 0,
            Sampling::H2V2 => 1,
        } | if self.restart_interval > 0 { TYPE_RESTART } else { 0 };
        // The top byte is the type-specific field: 0 = progressively scanned.
        out.extend_from_slice(&(self.offset & OFFSET_MAX).to_be_bytes());
        out.extend_from_slice(&[kind, Q_IN_BAND, blocks(self.width), blocks(self.height)]);
        if self.restart_interval > 0 {
            out.extend_from_slice(&self.restart_interval.to_be_bytes());
            out.extend_from_slice(&RESTART_COUNT_UNALIGNED.to_be_bytes());
        }
        if let Some(tables) = tables {
            out.extend_from_slice(&[0, 0, 0, tables.len() as u8]);
            out.extend_from_slice(tables);
        }
    }

    /// Whether `other` can be of the same frame: all but the offset are equal.
    pub fn same_frame(&self, other: &JpegHeader) -> bool {
        JpegHeader { offset: 0, ..*self } == JpegHeader { offset: 0, ..*other }
    }
}

fn blocks(pixels: usize) -> u8 {
    u8::try_from(pixels.div_ceil(8)).unwrap_or(u8::MAX)
}

impl<'a> JpegPayload<'a> {
    /// Takes an RTP payload apart, every field checked.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let main: &[u8; MAIN_HEADER_BYTES] = head(payload, 0)?;
        let [type_specific, o2, o1, o0, kind, q, width, height] = *main;
        if type_specific != 0 {
            return Err(Error::Interlaced(type_specific));
        }
        let sampling = match kind & !TYPE_RESTART {
            0 => Sampling::H2V1,
            1 => Sampling::H2V2,
            _ => return Err(Error::Type(kind)),
        };
        let (width, height) = (usize::from(width) * 8, usize::from(height) * 8);
        if width == 0 || height == 0 {
            return Err(Error::Size { width, height });
        }
        let offset = u32::from_be_bytes([0, o2, o1, o0]);
        let mut at = MAIN_HEADER_BYTES;
        let mut restart_interval = 0;
        if kind & TYPE_RESTART != 0 {
            let restart: &[u8; RESTART_HEADER_BYTES] = head(payload, at)?;
            restart_interval = u16::from_be_bytes([restart[0], restart[1]]);
            if restart_interval == 0 {
                return Err(Error::RestartInterval);
            }
            at += RESTART_HEADER_BYTES;
        }
        let quantization = quantization(payload, &mut at, q, offset)?;
        let scan = &payload[at..];
        if offset as usize + scan.len() > JPEG_FRAME_BYTES_MAX {
            return Err(Error::Offset { offset, length: scan.len() });
        }
        Ok(Self { header: JpegHeader { width, height, sampling, restart_interval, offset }, quantization, scan })
    }
}

/// The `N` bytes at `at`.
fn head<const N: usize>(payload: &[u8], at: usize) -> Result<&[u8; N], Error> {
    payload
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .ok_or(Error::Truncated { expected: at + N, actual: payload.len() })
}

fn quantization<'a>(payload: &'a [u8], at: &mut usize, q: u8, offset: u32) -> Result<Quantization<'a>, Error> {
    match q {
        1..=99 => return Ok(Quantization::Computed(q)),
        0 | 100..=127 => return Err(Error::Q(q)),
        _ if offset > 0 => return Ok(Quantization::Elsewhere(q)),
        _ => {}
    }
    let [_, precision, l1, l0] = *head::<4>(payload, *at)?;
    *at += 4;
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    let tables =
        payload.get(*at..*at + length).ok_or(Error::Truncated { expected: *at + length, actual: payload.len() })?;
    *at += length;
    match (length, precision) {
        (0, _) if q != Q_IN_BAND => Ok(Quantization::Elsewhere(q)),
        // A bit of the precision counts only for a table that is there.
        (64, p) if p & 1 == 0 => Ok(Quantization::Here(q, tables)),
        (128, p) if p & 3 == 0 => Ok(Quantization::Here(q, tables)),
        _ => Err(Error::Tables { length, precision }),
    }
}

/// The example luma table of ITU-T T.81 Annex K.1, row by row.
#[rustfmt::skip]
const ANNEX_K_LUMA: [u8; 64] = [
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
];

/// The example chroma table of ITU-T T.81 Annex K.1, row by row; what is not listed is 99.
const ANNEX_K_CHROMA_CORNER: [[u8; 4]; 4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]];

/// Position in the block, row by row, of each coefficient in zig-zag order (ITU-T T.81 figure 5).
const ZIG_ZAG: [usize; 64] = zig_zag();

const fn zig_zag() -> [usize; 64] {
    let mut order = [0; 64];
    let (mut row, mut column, mut n) = (0usize, 0usize, 0);
    while n < 64 {
        order[n] = row * 8 + column;
        let up = (row + column) % 2 == 0;
        // Along the diagonal, turning at the edges of the block.
        (row, column) = match (up, row, column) {
            (true, _, 7) => (row + 1, column),
            (true, 0, _) => (row, column + 1),
            (true, _, _) => (row - 1, column + 1),
            (false, 7, _) => (row, column + 1),
            (false, _, 0) => (row + 1, column),
            (false, _, _) => (row + 1, column - 1),
        };
        n += 1;
    }
    order
}

/// The tables that a quality factor 1..=99 stands for (RFC 2435 section 4.2 and Appendix A). Values outside are taken as
/// the nearest inside.
pub fn tables_for_quality(q: u8) -> Tables {
    let q = u32::from(q.clamp(1, 99));
    let factor = if q < 50 { 5_000 / q } else { 200 - 2 * q };
    let scaled = |base: u8| ((u32::from(base) * factor + 50) / 100).clamp(1, 255) as u8;
    let mut tables = [0; 128];
    for (n, &at) in ZIG_ZAG.iter().enumerate() {
        let (row, column) = (at / 8, at % 8);
        let chroma = ANNEX_K_CHROMA_CORNER.get(row).and_then(|r| r.get(column)).copied().unwrap_or(99);
        tables[n] = scaled(ANNEX_K_LUMA[at]);
        tables[64 + n] = scaled(chroma);
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(sampling: Sampling, restart_interval: u16, offset: u32) -> JpegHeader {
        JpegHeader { width: 1_280, height: 720, sampling, restart_interval, offset }
    }

    #[test]
    fn a_first_packet_is_laid_out_as_the_rfc_draws_it() {
        let tables: Tables = std::array::from_fn(|i| i as u8 + 1);
        let mut out = Vec::new();
        header(Sampling::H2V2, 80, 0).write(Some(&tables), &mut out);
        assert_eq!(out[..8], [0, 0, 0, 0, 65, 255, 160, 90]);
        assert_eq!(out[8..12], [0, 80, 0xff, 0xff], "F = L = 1, count 0x3fff");
        assert_eq!(out[12..16], [0, 0, 0, 128]);
        assert_eq!(out[16..], tables);
    }

    #[test]
    fn a_later_packet_carries_its_offset_and_no_tables() {
        let mut out = Vec::new();
        header(Sampling::H2V1, 0, 0x0001_0203).write(None, &mut out);
        assert_eq!(out, [0, 1, 2, 3, 0, 255, 160, 90]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let tables = tables_for_quality(65);
        for sampling in [Sampling::H2V1, Sampling::H2V2] {
            for restart_interval in [0, 1, 80, u16::MAX] {
                for offset in [0, 1, 65_536, JPEG_FRAME_BYTES_MAX as u32 - 3] {
                    let header = header(sampling, restart_interval, offset);
                    let here = (offset == 0).then_some(&tables);
                    let mut out = Vec::new();
                    header.write(here, &mut out);
                    assert_eq!(out.len(), header.encoded_bytes(offset == 0));
                    out.extend_from_slice(b"abc");
                    let read = JpegPayload::parse(&out).expect("own packet");
                    let quantization = match offset {
                        0 => Quantization::Here(255, &tables),
                        _ => Quantization::Elsewhere(255),
                    };
                    assert_eq!(read, JpegPayload { header, quantization, scan: b"abc" });
                }
            }
        }
    }

    #[test]
    fn sides_round_up_to_eight() {
        let mut out = Vec::new();
        JpegHeader { width: 642, height: 2_040, ..header(Sampling::H2V2, 0, 0) }.write(None, &mut out);
        assert_eq!(out[6..8], [81, 255]);
    }

    #[test]
    fn malformed_payloads_are_refused_with_the_reason() {
        let q255 = |rest: &[u8]| [&[0, 0, 0, 0, 1, 255, 2, 2], rest].concat();
        let cases: &[(Vec<u8>, Error)] = &[
            (vec![], Error::Truncated { expected: 8, actual: 0 }),
            (vec![0, 0, 0, 0, 1, 50, 2], Error::Truncated { expected: 8, actual: 7 }),
            (vec![1, 0, 0, 0, 1, 50, 2, 2], Error::Interlaced(1)),
            (vec![0, 0, 0, 0, 2, 50, 2, 2], Error::Type(2)),
            (vec![0, 0, 0, 0, 66, 50, 2, 2], Error::Type(66)),
            (vec![0, 0, 0, 0, 129, 50, 2, 2], Error::Type(129)),
            (vec![0, 0, 0, 0, 1, 50, 0, 2], Error::Size { width: 0, height: 16 }),
            (vec![0, 0, 0, 0, 1, 0, 2, 2], Error::Q(0)),
            (vec![0, 0, 0, 0, 1, 100, 2, 2], Error::Q(100)),
            (vec![0, 0, 0, 0, 65, 50, 2, 2, 0, 1, 0], Error::Truncated { expected: 12, actual: 11 }),
            (vec![0, 0, 0, 0, 65, 50, 2, 2, 0, 0, 255, 255], Error::RestartInterval),
            (q255(&[0, 0, 0]), Error::Truncated { expected: 12, actual: 11 }),
            (q255(&[0, 0, 0, 0]), Error::Tables { length: 0, precision: 0 }),
            (q255(&[&[0, 0, 0, 128][..], &[1; 127]].concat()), Error::Truncated { expected: 140, actual: 139 }),
            (q255(&[&[0, 2, 0, 192][..], &[1; 192]].concat()), Error::Tables { length: 192, precision: 2 }),
            (q255(&[&[0, 1, 0, 128][..], &[1; 128]].concat()), Error::Tables { length: 128, precision: 1 }),
            (vec![0, 0x20, 0, 0, 1, 50, 2, 2, 9], Error::Offset { offset: 0x20_0000, length: 1 }),
        ];
        for (bytes, error) in cases {
            assert_eq!(JpegPayload::parse(bytes), Err(*error), "{bytes:?}");
        }
    }

    #[test]
    fn tables_may_be_one_for_both_or_left_to_an_earlier_frame() {
        let one = [&[0, 0, 0, 0, 1, 255, 2, 2, 0, 0, 0, 64][..], &[7; 64], &[1, 2]].concat();
        let read = JpegPayload::parse(&one).expect("one table");
        assert_eq!((read.quantization, read.scan), (Quantization::Here(255, &[7; 64][..]), &[1, 2][..]));
        let cached = [0, 0, 0, 0, 1, 128, 2, 2, 0, 0, 0, 0, 5];
        let read = JpegPayload::parse(&cached).expect("named tables");
        assert_eq!((read.quantization, read.scan), (Quantization::Elsewhere(128), &[5][..]));
    }

    #[test]
    fn the_largest_frame_ends_exactly_at_the_limit() {
        let offset = JPEG_FRAME_BYTES_MAX as u32 - 1;
        let mut bytes = offset.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[1, 50, 2, 2, 9]);
        assert!(JpegPayload::parse(&bytes).is_ok());
        bytes.push(9);
        assert_eq!(JpegPayload::parse(&bytes), Err(Error::Offset { offset, length: 2 }));
    }

    #[test]
    fn quality_fifty_is_annex_k_in_zig_zag_order() {
        let tables = tables_for_quality(50);
        assert_eq!(tables[..16], [16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40]);
        assert_eq!(tables[60..64], [92, 101, 103, 99]);
        assert_eq!(tables[64..78], [17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66]);
        assert!(tables[78..].iter().all(|&v| v == 99));
    }

    #[test]
    fn quality_scales_and_saturates() {
        assert_eq!(tables_for_quality(25)[0], 32, "half the quality, twice the step");
        assert_eq!(tables_for_quality(75)[0], 8);
        assert_eq!(tables_for_quality(1)[127], 255);
        assert_eq!(tables_for_quality(99)[0], 1, "(16 * 2 + 50) / 100 = 0 is raised to 1");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_stay_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(p) = JpegPayload::parse(&bytes) {
                prop_assert!(p.header.width <= JPEG_SIDE_PIXELS_MAX && p.header.height <= JPEG_SIDE_PIXELS_MAX);
                prop_assert!(p.header.offset as usize + p.scan.len() <= JPEG_FRAME_BYTES_MAX);
            }
        }
    }
}
