//! May a JPEG be sent as RFC 2435 frames untouched? And where does it end?
//!
//! Cameras hand over buffers longer than the picture, with an older picture's bytes behind it; so the markers are
//! walked to the first EOI after SOS and nothing beyond is looked at.

use super::FrameParams;
use super::mcu_size;
use super::scan::{
    ANNEX_K, APP14, DHT, DQT, DRI, EOI, Marker, MarkerWalk, RST0, RST7, SOF0, SOI, SOS, marker_at, segment,
};
use crate::limits::{JPEG_FRAME_BYTES_MAX, JPEG_SIDE_PIXELS_MAX};
use crate::media::picture::Chroma;

/// A JPEG that RFC 2435 can carry as it is.
#[derive(Clone, Debug)]
pub struct Conforming<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Chroma layout.
    pub chroma: Chroma,
    /// MCUs between restart markers; 0 = none.
    pub restart_interval: u16,
    /// Quantization tables in zig-zag order: luma, then chroma.
    pub tables: [u8; 128],
    /// The entropy-coded bytes, without EOI.
    pub scan: &'a [u8],
    /// Bytes of the whole JPEG, from SOI to the end of EOI; what follows is not part of it.
    pub length: usize,
}

impl Conforming<'_> {
    /// What a [`BandDecoder`](super::BandDecoder) wants to know.
    pub fn params(&self) -> FrameParams<'_> {
        FrameParams {
            width: self.width,
            height: self.height,
            chroma: self.chroma,
            restart_interval: self.restart_interval,
            tables: &self.tables,
            crop: None,
        }
    }
}

/// Why a JPEG cannot be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConforming {
    /// No JPEG, or one that breaks off.
    #[error("not a whole JPEG")]
    Malformed,
    /// Progressive, lossless, arithmetic or 12-bit.
    #[error("coding process {0:#04x} is not 8-bit baseline")]
    Process(u8),
    /// Wider or higher than RFC 2435 can tell, or empty.
    #[error("{0}x{1} does not fit RFC 2435")]
    Size(usize, usize),
    /// Chroma factors other than 2x1 or 2x2 with 1x1, 1x1, or not three components in YCbCr.
    #[error("components {0}")]
    Components(&'static str),
    /// 16-bit tables, missing tables, or different ones for the two chroma components.
    #[error("quantization tables {0}")]
    Quantization(&'static str),
    /// Huffman tables other than those of Annex K.
    #[error("Huffman tables are not the standard ones")]
    Huffman,
    /// Several scans, or a scan of some components only.
    #[error("more than one scan")]
    Scans,
    /// Restart markers missing, superfluous or out of turn.
    #[error("restart markers out of turn")]
    Restart,
    /// More bytes than a frame may have.
    #[error("{0} bytes are more than a frame may have")]
    TooLong(usize),
}

#[derive(Clone, Copy, Default)]
struct Component {
    id: u8,
    factors: u8,
    quantization: u8,
}

#[derive(Default)]
struct Headers<'a> {
    size: Option<(usize, usize)>,
    components: [Component; 3],
    quantization: [Option<&'a [u8]>; 4],
    restart_interval: u16,
    jfif: bool,
}

/// Checks whether `jpeg` can be passed through, and takes it apart. Bytes after its EOI are ignored.
pub fn conformance(jpeg: &[u8]) -> Result<Conforming<'_>, NotConforming> {
    if !jpeg.starts_with(&[0xff, SOI]) {
        return Err(NotConforming::Malformed);
    }
    let mut headers = Headers::default();
    let mut at = 2;
    loop {
        let marker = marker_at(jpeg, at).ok_or(NotConforming::Malformed)?;
        let (payload, end) = segment(jpeg, marker.at).ok_or(NotConforming::Malformed)?;
        at = end;
        match marker.code {
            SOF0 => headers.frame(payload)?,
            0xc1..=0xc3 | 0xc5..=0xcf => return Err(NotConforming::Process(marker.code)),
            DQT => headers.quantization(payload)?,
            DHT => check_huffman(payload)?,
            DRI => {
                let interval = payload.try_into().map_err(|_| NotConforming::Malformed)?;
                headers.restart_interval = u16::from_be_bytes(interval);
            }
            0xe0 => headers.jfif |= payload.starts_with(b"JFIF\0"),
            // Adobe's marker, transform 0: the components are RGB.
            APP14 if payload.starts_with(b"Adobe") && payload.get(11) == Some(&0) => {
                return Err(NotConforming::Components("are RGB"));
            }
            SOS => {
                headers.scan_header(payload)?;
                return headers.finish(jpeg, at);
            }
            EOI | 0x00 | 0x01 | RST0..=RST7 | SOI => return Err(NotConforming::Malformed),
            _ => {}
        }
    }
}

impl<'a> Headers<'a> {
    fn frame(&mut self, payload: &[u8]) -> Result<(), NotConforming> {
        if self.size.is_some() {
            return Err(NotConforming::Malformed);
        }
        let [precision, h1, h0, w1, w0, count, components @ ..] = payload else {
            return Err(NotConforming::Malformed);
        };
        if *precision != 8 {
            return Err(NotConforming::Process(SOF0));
        }
        if *count != 3 || components.len() != 9 {
            return Err(NotConforming::Components("are not three"));
        }
        let size = (usize::from(u16::from_be_bytes([*w1, *w0])), usize::from(u16::from_be_bytes([*h1, *h0])));
        if size.0 == 0 || size.1 == 0 || size.0 > JPEG_SIDE_PIXELS_MAX || size.1 > JPEG_SIDE_PIXELS_MAX {
            return Err(NotConforming::Size(size.0, size.1));
        }
        self.size = Some(size);
        for (component, told) in self.components.iter_mut().zip(components.chunks_exact(3)) {
            *component = Component { id: told[0], factors: told[1], quantization: told[2] };
        }
        Ok(())
    }

    fn quantization(&mut self, mut payload: &'a [u8]) -> Result<(), NotConforming> {
        while let Some((kind, rest)) = payload.split_first() {
            if kind >> 4 != 0 {
                return Err(NotConforming::Quantization("are 16-bit"));
            }
            let slot = self.quantization.get_mut(usize::from(*kind)).ok_or(NotConforming::Malformed)?;
            let (table, rest) = rest.split_at_checked(64).ok_or(NotConforming::Malformed)?;
            *slot = Some(table);
            payload = rest;
        }
        Ok(())
    }

    fn scan_header(&self, payload: &[u8]) -> Result<(), NotConforming> {
        let ids = self.components.map(|c| c.id);
        match payload {
            [3, y, ty, u, tu, v, tv, 0, 63, 0] if [*y, *u, *v] == ids => match [*ty, *tu, *tv] {
                [0x00, 0x11, 0x11] => Ok(()),
                _ => Err(NotConforming::Huffman),
            },
            _ => Err(NotConforming::Scans),
        }
    }

    fn chroma(&self) -> Result<Chroma, NotConforming> {
        let ids = self.components.map(|c| c.id);
        if !self.jfif && ids == *b"RGB" {
            return Err(NotConforming::Components("are RGB"));
        }
        if ids[0] == ids[1] || ids[1] == ids[2] || ids[0] == ids[2] {
            return Err(NotConforming::Components("share an id"));
        }
        match self.components.map(|c| c.factors) {
            [0x22, 0x11, 0x11] => Ok(Chroma::C420),
            [0x21, 0x11, 0x11] => Ok(Chroma::C422),
            _ => Err(NotConforming::Components("have other sampling factors than 2x1 or 2x2, 1x1, 1x1")),
        }
    }

    fn tables(&self) -> Result<[u8; 128], NotConforming> {
        let table = |component: usize| {
            let slot = usize::from(self.components[component].quantization);
            self.quantization.get(slot).copied().flatten().ok_or(NotConforming::Quantization("are missing"))
        };
        let (luma, blue, red) = (table(0)?, table(1)?, table(2)?);
        if blue != red {
            return Err(NotConforming::Quantization("differ between the chroma components"));
        }
        if luma.contains(&0) || blue.contains(&0) {
            return Err(NotConforming::Quantization("have a zero"));
        }
        let mut tables = [0; 128];
        tables[..64].copy_from_slice(luma);
        tables[64..].copy_from_slice(blue);
        Ok(tables)
    }

    /// Puts everything together; the scan begins at `at`.
    fn finish(self, jpeg: &'a [u8], at: usize) -> Result<Conforming<'a>, NotConforming> {
        let (width, height) = self.size.ok_or(NotConforming::Malformed)?;
        let chroma = self.chroma()?;
        let tables = self.tables()?;
        let scan = self.scan(&jpeg[at..], (width, height), chroma)?;
        if scan.len() > JPEG_FRAME_BYTES_MAX {
            return Err(NotConforming::TooLong(scan.len()));
        }
        let length = at + scan.len() + 2;
        Ok(Conforming { width, height, chroma, restart_interval: self.restart_interval, tables, scan, length })
    }

    /// The entropy-coded bytes up to EOI, their restart markers checked.
    fn scan(&self, data: &'a [u8], size: (usize, usize), chroma: Chroma) -> Result<&'a [u8], NotConforming> {
        let (mcu_width, mcu_height) = mcu_size(chroma);
        let mcus = size.0.div_ceil(mcu_width) * size.1.div_ceil(mcu_height);
        let expected = match usize::from(self.restart_interval) {
            0 => 0,
            interval => mcus.div_ceil(interval) - 1,
        };
        let mut walk = MarkerWalk::default();
        let mut restarts = 0;
        while let Some(Marker { at, code }) = walk.next(data) {
            match code {
                RST0..=RST7 if usize::from(code - RST0) == restarts % 8 && restarts < expected => restarts += 1,
                RST0..=RST7 => return Err(NotConforming::Restart),
                EOI if restarts == expected => return Ok(&data[..at]),
                EOI => return Err(NotConforming::Restart),
                _ => return Err(NotConforming::Scans),
            }
        }
        Err(NotConforming::Malformed)
    }
}

/// Accepts DHT segments whose every table equals the one of Annex K for its place.
fn check_huffman(mut payload: &[u8]) -> Result<(), NotConforming> {
    while let Some((kind, rest)) = payload.split_first() {
        let standard = ANNEX_K.iter().find(|t| t.class_and_id == *kind).ok_or(NotConforming::Huffman)?;
        let rest = rest.strip_prefix(&standard.counts[..]).ok_or(NotConforming::Huffman)?;
        payload = rest.strip_prefix(standard.values).ok_or(NotConforming::Huffman)?;
    }
    Ok(())
}

/// Bytes from SOI to the end of the first EOI after SOS, whatever kind of JPEG it is; `None` when it is not a JPEG or
/// breaks off.
pub fn jpeg_length(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(&[0xff, SOI]) {
        return None;
    }
    let mut at = 2;
    loop {
        let marker = marker_at(bytes, at)?;
        match marker.code {
            EOI => return Some(marker.at + 2),
            0x01 | RST0..=RST7 => at = marker.at + 2,
            0x00 | SOI => return None,
            code => {
                at = segment(bytes, marker.at)?.1;
                if code == SOS {
                    at = scan_end(bytes, at)?;
                }
            }
        }
    }
}

/// Offset of the first marker after `at` that is no restart marker.
fn scan_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut walk = MarkerWalk { looked_at: at };
    loop {
        let marker = walk.next(bytes)?;
        if !(RST0..=RST7).contains(&marker.code) {
            return Some(marker.at);
        }
    }
}
