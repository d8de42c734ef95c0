//! Brings what a source gives into the form the pipeline takes: conforming JPEG or planes, no larger than wanted.

use super::{CapturedFrame, Want};
use crate::media::convert::{Scaler, fit_within};
use crate::media::jpeg::{self, YuvDecoder, conformance};
use crate::media::picture::Yuv;

/// Owns the buffers and decoders that takes.
pub(super) struct Fit {
    most: (usize, usize),
    decoder: Option<YuvDecoder>,
    scaler: Scaler,
    scratch: Yuv,
    spare_bytes: Vec<u8>,
    spare_planes: Yuv,
}

impl Fit {
    pub fn new((width, height, _): Want) -> Self {
        Self {
            most: (width, height),
            decoder: None,
            scaler: Scaler::default(),
            scratch: Yuv::default(),
            spare_bytes: Vec::new(),
            spare_planes: Yuv::default(),
        }
    }

    /// Takes a buffer to fill later.
    pub fn supply(&mut self, frame: Option<CapturedFrame>) {
        match frame {
            Some(CapturedFrame::Jpeg { bytes }) => self.spare_bytes = bytes,
            Some(CapturedFrame::Yuv(planes)) => self.spare_planes = planes,
            None => {}
        }
    }

    /// A frame from a buffer that begins with a JPEG: the JPEG itself when it conforms and fits, else its planes.
    /// Damaged pictures are shown as far as they can be.
    pub fn jpeg(&mut self, buffer: &[u8]) -> Result<CapturedFrame, jpeg::Error> {
        if let Ok(parts) = conformance(buffer)
            && parts.width <= self.most.0
            && parts.height <= self.most.1
        {
            let mut bytes = std::mem::take(&mut self.spare_bytes);
            bytes.clear();
            bytes.extend_from_slice(&buffer[..parts.length]);
            return Ok(CapturedFrame::Jpeg { bytes });
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(YuvDecoder::new()?),
        };
        let mut decoded = std::mem::take(&mut self.scratch);
        let result = match decoder.decode(buffer, &mut decoded) {
            Err(e) if !e.left_a_picture() => Err(e),
            _ => Ok(CapturedFrame::Yuv(self.fitted(&mut decoded))),
        };
        self.scratch = decoded;
        result
    }

    /// A frame that `draw` makes as planes; the result is the error of `draw`.
    pub fn planes<E>(&mut self, draw: impl FnOnce(&mut Yuv) -> Result<(), E>) -> Result<CapturedFrame, E> {
        let mut drawn = std::mem::take(&mut self.scratch);
        let result = draw(&mut drawn).map(|()| CapturedFrame::Yuv(self.fitted(&mut drawn)));
        self.scratch = drawn;
        result
    }

    /// `drawn` in a size that fits; when it fits already, it is swapped for a spare one.
    fn fitted(&mut self, drawn: &mut Yuv) -> Yuv {
        let mut out = std::mem::take(&mut self.spare_planes);
        let (width, height) = fit_within(drawn.width, drawn.height, self.most);
        match (width, height) == (drawn.width, drawn.height) {
            true => std::mem::swap(&mut out, drawn),
            false => self.scaler.scale(drawn, width, height, &mut out),
        }
        out
    }
}
