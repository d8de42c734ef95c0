//! libjpeg-turbo behind functions that check every length. The only caller of its C interface.
//!
//! The safe interface of the crate has no restart rows, pixel limit or scan limit, so the C functions are called here.
//! Handles are made once and reused; output goes into the caller's buffers. Every `unsafe` block states why it is sound.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::NonNull;

use turbojpeg::libc::{c_int, c_uchar, c_void};
use turbojpeg::raw;

use super::Error;
use crate::media::picture::Chroma;

/// Megabytes libjpeg-turbo may use for the coefficients of a progressive picture.
const WORKSPACE_MB_MAX: c_int = 128;
/// Scans of a progressive picture; ordinary ones have about ten.
const SCANS_MAX: c_int = 64;

/// The pixel format whose bytes in memory are a native `0x__RRGGBB` word.
const PIXEL_WORD: c_int = if cfg!(target_endian = "big") { raw::TJPF_TJPF_XRGB } else { raw::TJPF_TJPF_BGRX };

/// A size ratio that the inverse DCT gives for free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// As encoded.
    #[default]
    Full,
    /// Half of each side.
    Half,
    /// A quarter of each side.
    Quarter,
    /// An eighth of each side.
    Eighth,
}

impl Scale {
    /// From the smallest to the largest.
    pub const ALL: [Scale; 4] = [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full];

    /// The divisor of each side.
    pub fn divisor(self) -> usize {
        match self {
            Scale::Full => 1,
            Scale::Half => 2,
            Scale::Quarter => 4,
            Scale::Eighth => 8,
        }
    }

    /// A side of `pixels` after scaling; rounds up, as libjpeg does.
    pub fn of(self, pixels: usize) -> usize {
        pixels.div_ceil(self.divisor())
    }

    fn factor(self) -> raw::tjscalingfactor {
        raw::tjscalingfactor { num: 1, denom: self.divisor() as c_int }
    }
}

/// How the chroma of a JPEG relates to its luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subsampling {
    Full,
    Halved(Chroma),
    Grey,
    Other,
}

/// What a JPEG's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub width: usize,
    pub height: usize,
    pub subsampling: Subsampling,
}

/// Planes that were decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub width: usize,
    pub height: usize,
    pub damage: Option<Error>,
}

struct Handle(NonNull<c_void>);

// SAFETY: a TurboJPEG instance has no tie to the thread that made it; `&mut self` on every use keeps it to one at a time.
unsafe impl Send for Handle {}

impl Handle {
    fn new(kind: raw::TJINIT) -> Result<Self, Error> {
        // SAFETY: takes a constant, returns an instance or null.
        let handle = unsafe { raw::tj3Init(kind as c_int) };
        NonNull::new(handle).map(Handle).ok_or_else(|| Error::Library("no memory for an instance".into()))
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: c_int) -> Result<(), Error> {
        // SAFETY: the instance is alive; both other arguments are plain numbers, checked by the library.
        match unsafe { raw::tj3Set(self.0.as_ptr(), parameter as c_int, value) } {
            0 => Ok(()),
            _ => Err(self.error()),
        }
    }

    fn parameter(&mut self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the instance is alive.
        unsafe { raw::tj3Get(self.0.as_ptr(), parameter as c_int) }
    }

    fn error(&mut self) -> Error {
        Error::Library(self.message())
    }

    fn message(&mut self) -> String {
        // SAFETY: the instance is alive and keeps a NUL-terminated text until its next call; it is copied here.
        let text = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.0.as_ptr())) };
        text.to_string_lossy().into_owned()
    }

    /// Turns the result of a decoding call into the three outcomes: clean, done but damaged, refused.
    fn outcome(&mut self, result: c_int) -> Result<Option<Error>, Error> {
        if result == 0 {
            return Ok(None);
        }
        // SAFETY: the instance is alive.
        let code = unsafe { raw::tj3GetErrorCode(self.0.as_ptr()) };
        match code == raw::TJERR_TJERR_WARNING as c_int {
            true => Ok(Some(Error::Damaged(self.message()))),
            false => Err(self.error()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the instance is alive and never used again.
        unsafe { raw::tj3Destroy(self.0.as_ptr()) }
    }
}

/// Three planes of a picture of even sides, or of a horizontal band of one. Strides are the plane widths.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    pub y: &'a [u8],
    pub u: &'a [u8],
    pub v: &'a [u8],
    pub width: usize,
    pub height: usize,
    pub chroma: Chroma,
}

impl Planes<'_> {
    fn check(&self) -> Result<(), Error> {
        let chroma_rows = match self.chroma {
            Chroma::C420 => self.height / 2,
            Chroma::C422 => self.height,
        };
        let chroma = self.width / 2 * chroma_rows;
        let even = self.width.is_multiple_of(2) && (self.height.is_multiple_of(2) || self.chroma == Chroma::C422);
        let sized = self.y.len() == self.width * self.height && self.u.len() == chroma && self.v.len() == chroma;
        match even && sized && self.width > 0 && self.height > 0 && self.width <= 65_500 && self.height <= 65_500 {
            true => Ok(()),
            false => Err(Error::Planes { width: self.width, height: self.height }),
        }
    }
}

fn subsamp(chroma: Chroma) -> raw::TJSAMP {
    match chroma {
        Chroma::C420 => raw::TJSAMP_TJSAMP_420,
        Chroma::C422 => raw::TJSAMP_TJSAMP_422,
    }
}

/// A compressor that puts a restart marker after every MCU row.
pub(super) struct Compressor(Handle);

impl Compressor {
    pub fn new() -> Result<Self, Error> {
        let mut handle = Handle::new(raw::TJINIT_TJINIT_COMPRESS)?;
        handle.set(raw::TJPARAM_TJPARAM_RESTARTROWS, 1)?;
        handle.set(raw::TJPARAM_TJPARAM_NOREALLOC, 1)?;
        Ok(Self(handle))
    }

    /// Restart markers each `mcus` MCUs instead of each row; 0 = none.
    #[cfg(test)]
    pub fn set_restart_interval(&mut self, mcus: u16) -> Result<(), Error> {
        self.0.set(raw::TJPARAM_TJPARAM_RESTARTROWS, 0)?;
        self.0.set(raw::TJPARAM_TJPARAM_RESTARTBLOCKS, c_int::from(mcus))
    }

    /// Encodes into `out`, which grows to the worst case once; returns the JPEG's length within it.
    pub fn compress(&mut self, planes: Planes<'_>, quality: u8, out: &mut Vec<u8>) -> Result<usize, Error> {
        planes.check()?;
        let (width, height) = (planes.width as c_int, planes.height as c_int);
        let sampling = subsamp(planes.chroma);
        self.0.set(raw::TJPARAM_TJPARAM_SUBSAMP, sampling as c_int)?;
        self.0.set(raw::TJPARAM_TJPARAM_QUALITY, c_int::from(quality.clamp(1, 100)))?;
        // SAFETY: a pure function of three numbers.
        let worst = unsafe { raw::tj3JPEGBufSize(width, height, sampling as c_int) } as usize;
        if out.len() < worst {
            out.resize(worst, 0);
        }
        let sources: [*const c_uchar; 3] = [planes.y.as_ptr(), planes.u.as_ptr(), planes.v.as_ptr()];
        let strides = [width, width / 2, width / 2];
        let mut destination = out.as_mut_ptr();
        let mut length: usize = out.len();
        // SAFETY: `check` made sure that each plane holds what the size and chroma layout make the library read (even
        // sides, so that it reads no padding); the destination is `length` bytes long, and NOREALLOC forbids the
        // library to go beyond it or to replace it; `length` is a C size_t.
        let result = unsafe {
            raw::tj3CompressFromYUVPlanes8(
                self.0.0.as_ptr(),
                sources.as_ptr(),
                width,
                strides.as_ptr(),
                height,
                &mut destination,
                (&raw mut length).cast(),
            )
        };
        if result != 0 || length > out.len() {
            return Err(self.0.error());
        }
        Ok(length)
    }
}

/// A decompressor with bounds on pixels, scans and workspace.
pub(super) struct Decompressor(Handle);

impl Decompressor {
    /// `pixels_max` bounds width times height of anything decoded.
    pub fn new(pixels_max: usize) -> Result<Self, Error> {
        let mut handle = Handle::new(raw::TJINIT_TJINIT_DECOMPRESS)?;
        handle.set(raw::TJPARAM_TJPARAM_MAXPIXELS, c_int::try_from(pixels_max).unwrap_or(c_int::MAX))?;
        handle.set(raw::TJPARAM_TJPARAM_MAXMEMORY, WORKSPACE_MB_MAX)?;
        handle.set(raw::TJPARAM_TJPARAM_SCANLIMIT, SCANS_MAX)?;
        Ok(Self(handle))
    }

    /// Fast chroma upsampling (each sample repeated) instead of interpolation.
    pub fn set_fast_upsampling(&mut self, fast: bool) -> Result<(), Error> {
        self.0.set(raw::TJPARAM_TJPARAM_FASTUPSAMPLE, c_int::from(fast))
    }

    pub fn header(&mut self, jpeg: &[u8]) -> Result<Header, Error> {
        // SAFETY: the pointer and length describe one slice, which the library only reads.
        let result = unsafe { raw::tj3DecompressHeader(self.0.0.as_ptr(), jpeg.as_ptr(), jpeg.len() as _) };
        self.0.outcome(result)?;
        let width = self.0.parameter(raw::TJPARAM_TJPARAM_JPEGWIDTH);
        let height = self.0.parameter(raw::TJPARAM_TJPARAM_JPEGHEIGHT);
        let subsampling = match self.0.parameter(raw::TJPARAM_TJPARAM_SUBSAMP) {
            raw::TJSAMP_TJSAMP_444 => Subsampling::Full,
            raw::TJSAMP_TJSAMP_422 => Subsampling::Halved(Chroma::C422),
            raw::TJSAMP_TJSAMP_420 => Subsampling::Halved(Chroma::C420),
            raw::TJSAMP_TJSAMP_GRAY => Subsampling::Grey,
            _ => Subsampling::Other,
        };
        match (usize::try_from(width), usize::try_from(height)) {
            (Ok(width), Ok(height)) if width > 0 && height > 0 => Ok(Header { width, height, subsampling }),
            _ => Err(Error::Library("no picture size in the header".into())),
        }
    }

    fn scale(&mut self, scale: Scale) -> Result<(), Error> {
        // SAFETY: the instance is alive; the ratio is one the library offers.
        match unsafe { raw::tj3SetScalingFactor(self.0.0.as_ptr(), scale.factor()) } {
            0 => Ok(()),
            _ => Err(self.0.error()),
        }
    }

    /// Decodes a whole JPEG to pixel words: `rows` is exactly the scaled picture, `width` words a row. Returns what was
    /// wrong with the data when all rows were made nonetheless.
    pub fn decode_words(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        rows: &mut [u32],
        width: usize,
    ) -> Result<Option<Error>, Error> {
        let header = self.header(jpeg)?;
        if scale.of(header.width) != width || scale.of(header.height) * width != rows.len() {
            return Err(Error::Planes { width: header.width, height: header.height });
        }
        self.scale(scale)?;
        let pitch = (width * size_of::<u32>()) as c_int;
        // SAFETY: the header of these very bytes was just read, and `rows` is as large as the scaled picture it tells;
        // any bytes are valid words. The pixel limit bounds `pitch` far below overflow.
        let result = unsafe {
            let target = rows.as_mut_ptr().cast();
            raw::tj3Decompress8(self.0.0.as_ptr(), jpeg.as_ptr(), jpeg.len() as _, target, pitch, PIXEL_WORD)
        };
        self.0.outcome(result)
    }

    /// Decodes a whole JPEG to its own planes, whose sides are those of the header with odd ones rounded up to even
    /// where the chroma is halved. Returns them, and what was wrong with the data.
    pub fn decode_planes(&mut self, jpeg: &[u8], scale: Scale, planes: [&mut Vec<u8>; 3]) -> Result<Decoded, Error> {
        let header = self.header(jpeg)?;
        let (mut width, mut height) = (scale.of(header.width), scale.of(header.height));
        let (mut chroma_width, mut chroma_height) = (width, height);
        match header.subsampling {
            Subsampling::Halved(chroma) => {
                width = width.next_multiple_of(2);
                chroma_width = width / 2;
                chroma_height = height;
                if chroma == Chroma::C420 {
                    height = height.next_multiple_of(2);
                    chroma_height = height / 2;
                }
            }
            Subsampling::Full => {}
            Subsampling::Grey => (chroma_width, chroma_height) = (0, 0),
            Subsampling::Other => return Err(Error::Library("chroma layout not offered as planes".into())),
        }
        self.scale(scale)?;
        let [y, u, v] = planes;
        y.resize(width * height, 0);
        u.resize(chroma_width * chroma_height, 0);
        v.resize(chroma_width * chroma_height, 0);
        let mut targets: [*mut c_uchar; 3] = [y.as_mut_ptr(), u.as_mut_ptr(), v.as_mut_ptr()];
        let mut strides = [width as c_int, chroma_width as c_int, chroma_width as c_int];
        // SAFETY: the header of these very bytes was just read and the planes have the sizes that the library computes
        // for it (tj3YUVPlaneWidth and Height: sides rounded up to the sampling factors, then divided); a grey picture
        // writes the first plane only.
        let result = unsafe {
            raw::tj3DecompressToYUVPlanes8(
                self.0.0.as_ptr(),
                jpeg.as_ptr(),
                jpeg.len() as _,
                targets.as_mut_ptr(),
                strides.as_mut_ptr(),
            )
        };
        self.0.outcome(result).map(|damage| Decoded { width, height, damage })
    }
}
