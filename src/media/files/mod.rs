//! Video files that can stand in for a camera: Motion JPEG streams, AVI with Motion JPEG, and YUV4MPEG2.
//!
//! Readers work on anything that reads and seeks; opening files and keeping time is the camera's business. A file is
//! read as it is played, so memory is bounded by one picture whatever its length. A file that is not what it should be
//! is an error that says why.

mod avi;
mod mjpeg;
mod y4m;

use std::io::{Read, Seek, SeekFrom};

use crate::media::picture::Yuv;

/// Frames a second a file may ask for.
const RATE_MAX: f64 = 120.0;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
    /// The first bytes are of none of the formats.
    #[error("it is no Motion JPEG, AVI or YUV4MPEG2 file")]
    Unknown,
    /// The format is right but what is in it cannot be played.
    #[error("{0}")]
    Unsupported(String),
    /// The file contradicts itself or breaks off.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// Something in the file is larger than allowed.
    #[error("{what} of {value} is over the bound of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What the file says.
        value: usize,
        /// What is allowed.
        max: usize,
    },
    /// Not one picture is in it.
    #[error("there is no picture in it")]
    Empty,
}

/// One picture of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A JPEG from SOI to EOI, of any kind; not checked beyond that.
    Jpeg(Vec<u8>),
    /// Planes in full range.
    Yuv(Yuv),
}

impl Frame {
    /// The bytes of a JPEG frame, emptied; their memory is kept when it was one before.
    fn jpeg(&mut self) -> &mut Vec<u8> {
        if let Frame::Yuv(_) = self {
            *self = Frame::Jpeg(Vec::new());
        }
        match self {
            Frame::Jpeg(bytes) => {
                bytes.clear();
                bytes
            }
            Frame::Yuv(_) => unreachable!("made a JPEG just above"),
        }
    }

    /// The planes of a planar frame; their memory is kept when it was one before.
    fn yuv(&mut self) -> &mut Yuv {
        if let Frame::Jpeg(_) = self {
            *self = Frame::Yuv(Yuv::default());
        }
        match self {
            Frame::Yuv(picture) => picture,
            Frame::Jpeg(_) => unreachable!("made planes just above"),
        }
    }
}

/// A video file being read.
pub struct VideoFile<R: Read>(Kind<R>);

enum Kind<R: Read> {
    Mjpeg(mjpeg::Reader<R>),
    Avi(avi::Reader<R>),
    Y4m(y4m::Reader<R>),
}

impl<R: Read + Seek> VideoFile<R> {
    /// Recognises the format by its first bytes and reads the header.
    pub fn open(mut reader: R) -> Result<Self, Error> {
        let mut magic = Vec::with_capacity(12);
        reader.by_ref().take(12).read_to_end(&mut magic)?;
        reader.seek(SeekFrom::Start(0))?;
        let kind = match &magic[..] {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' '] => Kind::Avi(avi::Reader::open(reader)?),
            [b'Y', b'U', b'V', b'4', b'M', b'P', b'E', b'G', b'2', ..] => Kind::Y4m(y4m::Reader::open(reader)?),
            [0xff, 0xd8, 0xff, ..] => Kind::Mjpeg(mjpeg::Reader::new(reader)),
            _ => return Err(Error::Unknown),
        };
        Ok(Self(kind))
    }

    /// Frames a second; `None` when the format does not tell. Between 1/10 and 120.
    pub fn rate(&self) -> Option<f64> {
        match &self.0 {
            Kind::Mjpeg(_) => None,
            Kind::Avi(avi) => sensible_rate(avi.rate()),
            Kind::Y4m(y4m) => sensible_rate(y4m.rate()),
        }
    }

    /// Reads the next picture into `frame`; false at the end of the file.
    pub fn next(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        match &mut self.0 {
            Kind::Mjpeg(mjpeg) => mjpeg.next(frame.jpeg()),
            Kind::Avi(avi) => avi.next(frame.jpeg()),
            Kind::Y4m(y4m) => y4m.next(frame.yuv()),
        }
    }

    /// Goes back to the first picture.
    pub fn rewind(&mut self) -> Result<(), Error> {
        match &mut self.0 {
            Kind::Mjpeg(mjpeg) => mjpeg.rewind(),
            Kind::Avi(avi) => avi.rewind(),
            Kind::Y4m(y4m) => y4m.rewind(),
        }
    }
}

fn sensible_rate((numerator, denominator): (usize, usize)) -> Option<f64> {
    let rate = numerator as f64 / denominator as f64;
    (rate.is_finite() && rate > 0.0).then(|| rate.clamp(0.1, RATE_MAX))
}

#[cfg(test)]
mod tests;
