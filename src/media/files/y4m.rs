//! YUV4MPEG2, uncompressed planes. Its samples are in limited range unless the header says otherwise.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use ::y4m::{Colorspace, Decoder, Limits};

use super::Error;
use crate::limits::SOURCE_PIXELS_MAX;
use crate::media::convert::{self, Range};
use crate::media::picture::{Chroma, Yuv};

/// Bytes of the header line.
const HEADER_BYTES_MAX: u64 = 1_024;

pub(super) struct Reader<R: Read> {
    file: Shared<R>,
    decoder: Decoder<Shared<R>>,
    range: Range,
}

/// The decoder takes its reader for good; this keeps a hold of it, to go back to the start.
struct Shared<R>(Arc<Mutex<R>>);

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).read(buffer)
    }
}

impl<R: Read + Seek> Reader<R> {
    pub fn open(mut file: R) -> Result<Self, Error> {
        check_size(&mut file)?;
        let file = Shared(Arc::new(Mutex::new(file)));
        let decoder = begin(&file)?;
        if decoder.get_bit_depth() != 8 {
            return Err(Error::Unsupported(format!("its samples have {} bits, not 8", decoder.get_bit_depth())));
        }
        let full = decoder.get_raw_params().split(|b| *b == b' ').any(|p| p.eq_ignore_ascii_case(b"XCOLORRANGE=FULL"));
        Ok(Self { file, decoder, range: if full { Range::Full } else { Range::Limited } })
    }

    pub fn rate(&self) -> (usize, usize) {
        let rate = self.decoder.get_framerate();
        (rate.num, rate.den)
    }

    pub fn next(&mut self, out: &mut Yuv) -> Result<bool, Error> {
        let (width, height) = (self.decoder.get_width(), self.decoder.get_height());
        let layout = self.decoder.get_colorspace();
        let frame = match self.decoder.read_frame() {
            Ok(frame) => frame,
            Err(::y4m::Error::EOF) => return Ok(false),
            Err(e) => return Err(reason(e)),
        };
        let planes = [frame.get_y_plane(), frame.get_u_plane(), frame.get_v_plane()];
        let chroma = match layout {
            Colorspace::Cmono => {
                convert::grey_to_yuv(planes[0], width, height, Range::Full, out).map_err(|_| Error::Damaged("size"))?;
                None
            }
            Colorspace::C444 => {
                convert::yuv444_to_yuv(planes, width, height, out).map_err(|_| Error::Damaged("size"))?;
                None
            }
            Colorspace::C422 => Some(Chroma::C422),
            _ => Some(Chroma::C420),
        };
        if let Some(chroma) = chroma {
            out.reshape(width, height, chroma);
            out.y.copy_from_slice(planes[0]);
            out.u.copy_from_slice(planes[1]);
            out.v.copy_from_slice(planes[2]);
        }
        if self.range == Range::Limited {
            convert::stretch(out);
        }
        Ok(true)
    }

    pub fn rewind(&mut self) -> Result<(), Error> {
        self.decoder = begin(&self.file)?;
        Ok(())
    }
}

/// Checks the sides before the decoder multiplies them.
fn check_size<R: Read + Seek>(file: &mut R) -> Result<(), Error> {
    let mut header = Vec::new();
    file.by_ref().take(HEADER_BYTES_MAX).read_to_end(&mut header)?;
    let line = header.split(|b| *b == b'\n').next().unwrap_or_default();
    for token in line.split(|b| *b == b' ') {
        if let [b'W' | b'H', digits @ ..] = token {
            let side = std::str::from_utf8(digits).ok().and_then(|d| d.parse::<usize>().ok());
            let side = side.ok_or(Error::Damaged("a side is no number"))?;
            if side > SOURCE_PIXELS_MAX {
                return Err(Error::TooLarge { what: "a side", value: side, max: SOURCE_PIXELS_MAX });
            }
        }
    }
    Ok(())
}

fn begin<R: Read + Seek>(file: &Shared<R>) -> Result<Decoder<Shared<R>>, Error> {
    file.0.lock().unwrap_or_else(|e| e.into_inner()).seek(SeekFrom::Start(0))?;
    let decoder = Decoder::new_with_limits(file.clone(), Limits { bytes: 3 * SOURCE_PIXELS_MAX }).map_err(reason)?;
    let pixels = decoder.get_width() * decoder.get_height();
    match pixels > SOURCE_PIXELS_MAX {
        true => Err(Error::TooLarge { what: "a picture", value: pixels, max: SOURCE_PIXELS_MAX }),
        false => Ok(decoder),
    }
}

fn reason(error: ::y4m::Error) -> Error {
    match error {
        ::y4m::Error::EOF => Error::Damaged("it breaks off"),
        ::y4m::Error::UnknownColorspace => Error::Unsupported("its chroma layout is not known".into()),
        ::y4m::Error::OutOfMemory => Error::Unsupported("its pictures are too large".into()),
        ::y4m::Error::IoError(e) => Error::Io(e),
        ::y4m::Error::BadInput | ::y4m::Error::ParseError(_) => Error::Damaged("its header cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::tests::play;
    use super::super::{Frame, VideoFile};
    use super::*;

    #[test]
    fn planes_written_by_the_library_are_read_back() {
        let mut bytes = Vec::new();
        let rate = ::y4m::Ratio::new(60, 2);
        let mut encoder = ::y4m::encode(3, 3, rate).with_colorspace(Colorspace::C420).write_header(&mut bytes).unwrap();
        for shade in [100, 200] {
            encoder.write_frame(&::y4m::Frame::new([&[shade; 9], &[128; 4], &[128; 4]], None)).unwrap();
        }
        assert_eq!(VideoFile::open(Cursor::new(bytes.clone())).unwrap().rate(), Some(30.0));
        let frames = play(bytes).unwrap();
        assert_eq!(frames.len(), 2);
        assert!(
            matches!(&frames[1], Frame::Yuv(p) if p.width == 3 && p.y.iter().all(|y| *y == 214) && p.u == [128; 4])
        );
    }
}
