//! The marker level of JPEG (ITU-T T.81 Annex B): finding markers in a scan, and the headers a scan needs to be a file.

use super::FrameParams;
use crate::media::picture::Chroma;

pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DHT: u8 = 0xc4;
pub(super) const SOF0: u8 = 0xc0;
pub(super) const DRI: u8 = 0xdd;
pub(super) const APP14: u8 = 0xee;
pub(super) const RST0: u8 = 0xd0;
pub(super) const RST7: u8 = 0xd7;

/// One Huffman table as DHT carries it.
pub(super) struct HuffmanTable {
    /// Table class (0 DC, 1 AC) in the high half, destination (0 luma, 1 chroma) in the low half.
    pub class_and_id: u8,
    /// Number of codes of each length from 1 to 16.
    pub counts: [u8; 16],
    /// The values, shortest code first.
    pub values: &'static [u8],
}

/// The typical tables of ITU-T T.81 Annex K.3, which RFC 2435 presumes.
pub(super) const ANNEX_K: [HuffmanTable; 4] = [
    HuffmanTable {
        class_and_id: 0x00,
        counts: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    },
    HuffmanTable {
        class_and_id: 0x10,
        counts: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
        values: &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
            0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
            0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
            0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
            0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
            0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
            0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
            0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
            0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    },
    HuffmanTable {
        class_and_id: 0x01,
        counts: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    },
    HuffmanTable {
        class_and_id: 0x11,
        counts: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
        values: &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
            0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
            0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
            0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
            0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
            0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
            0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
            0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
            0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    },
];

/// The first 0xFF at or after `from`. Looks at 32 bytes at a time, because one byte in two hundred is one.
pub(super) fn next_ff(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.min(bytes.len());
    let mut blocks = bytes[at..].chunks_exact(32);
    for block in &mut blocks {
        if block.iter().fold(false, |found, byte| found | (*byte == 0xff)) {
            break;
        }
        at += 32;
    }
    bytes[at..].iter().position(|byte| *byte == 0xff).map(|i| at + i)
}

/// A marker found in a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Offset of its 0xFF.
    pub at: usize,
    /// Its second byte.
    pub code: u8,
}

/// Walks the markers of a scan that may still be growing: what was looked at is not looked at again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MarkerWalk {
    /// Everything before this offset holds no further marker.
    pub looked_at: usize,
}

impl MarkerWalk {
    /// The next marker; `None` when the bytes given hold no further whole one. Stuffed zeros and fill bytes are no
    /// markers.
    pub fn next(&mut self, bytes: &[u8]) -> Option<Marker> {
        loop {
            let Some(at) = next_ff(bytes, self.looked_at) else {
                self.looked_at = bytes.len();
                return None;
            };
            self.looked_at = at;
            match *bytes.get(at + 1)? {
                0x00 => self.looked_at = at + 2,
                0xff => self.looked_at = at + 1,
                code => {
                    self.looked_at = at + 2;
                    return Some(Marker { at, code });
                }
            }
        }
    }
}

/// Where [`write_header`] puts the picture's height: SOI, then DQT, then five bytes into SOF0.
pub(super) const HEIGHT_OFFSET: usize = 2 + 134 + 5;

/// Writes everything of a JPEG file that comes before its scan: SOI, DQT, SOF0, DHT, DRI and SOS. The height and width
/// are those of `params.crop` when that says the same number of MCUs.
pub fn write_header(params: &FrameParams<'_>, out: &mut Vec<u8>) {
    let (width, height) = params.shown_size();
    let luma_factors = match params.chroma {
        Chroma::C420 => 0x22,
        Chroma::C422 => 0x21,
    };
    out.extend_from_slice(&[0xff, SOI, 0xff, DQT, 0, 132, 0]);
    out.extend_from_slice(&params.tables[..64]);
    out.push(1);
    out.extend_from_slice(&params.tables[64..]);
    let [h1, h0] = (height as u16).to_be_bytes();
    let [w1, w0] = (width as u16).to_be_bytes();
    out.extend_from_slice(&[0xff, SOF0, 0, 17, 8, h1, h0, w1, w0, 3, 1, luma_factors, 0, 2, 0x11, 1, 3, 0x11, 1]);
    let tables: usize = ANNEX_K.iter().map(|t| 17 + t.values.len()).sum();
    let [l1, l0] = (2 + tables as u16).to_be_bytes();
    out.extend_from_slice(&[0xff, DHT, l1, l0]);
    for table in &ANNEX_K {
        out.push(table.class_and_id);
        out.extend_from_slice(&table.counts);
        out.extend_from_slice(table.values);
    }
    let [i1, i0] = params.restart_interval.to_be_bytes();
    out.extend_from_slice(&[0xff, DRI, 0, 4, i1, i0]);
    out.extend_from_slice(&[0xff, SOS, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
}

/// A whole JPEG file from frame parameters and scan, appended to `out`; EOI is added unless the scan has it.
pub fn to_jpeg(params: &FrameParams<'_>, scan: &[u8], out: &mut Vec<u8>) {
    write_header(params, out);
    out.extend_from_slice(scan);
    if !scan.ends_with(&[0xff, EOI]) {
        out.extend_from_slice(&[0xff, EOI]);
    }
}

/// The payload of the marker segment at `at` (its 0xFF) and the offset after it.
pub(super) fn segment(jpeg: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = usize::from(u16::from_be_bytes([*jpeg.get(at + 2)?, *jpeg.get(at + 3)?]));
    let end = at + 2 + length;
    Some((jpeg.get(at + 4..end)?, end))
}

/// The next marker at or after `at` outside entropy-coded data, fill bytes skipped: its offset and code.
pub(super) fn marker_at(jpeg: &[u8], mut at: usize) -> Option<Marker> {
    if *jpeg.get(at)? != 0xff {
        return None;
    }
    while *jpeg.get(at + 1)? == 0xff {
        at += 1;
    }
    Some(Marker { at, code: jpeg[at + 1] })
}
