//! Pictures in memory: planar YUV for encoders, packed pixels for the window.

/// How the chroma planes relate to the luma plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chroma {
    /// Chroma halved both ways (JPEG factors 2x2,1x1,1x1; RFC 2435 type 1).
    #[default]
    C420,
    /// Chroma halved across only (JPEG factors 2x1,1x1,1x1; RFC 2435 type 0).
    C422,
}

/// A planar picture, full range BT.601 as JPEG has it. Strides equal plane widths; chroma sides round up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Yuv {
    /// Luma columns.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Chroma layout.
    pub chroma: Chroma,
    /// Luma plane, `width * height` bytes.
    pub y: Vec<u8>,
    /// Blue-difference plane.
    pub u: Vec<u8>,
    /// Red-difference plane.
    pub v: Vec<u8>,
}

impl Yuv {
    /// Sizes the planes for a picture, keeping their memory; contents are unspecified.
    pub fn reshape(&mut self, width: usize, height: usize, chroma: Chroma) {
        (self.width, self.height, self.chroma) = (width, height, chroma);
        let (cw, ch) = self.chroma_size();
        self.y.resize(width * height, 0);
        self.u.resize(cw * ch, 128);
        self.v.resize(cw * ch, 128);
    }

    /// Columns and rows of each chroma plane.
    pub fn chroma_size(&self) -> (usize, usize) {
        let rows = match self.chroma {
            Chroma::C420 => self.height.div_ceil(2),
            Chroma::C422 => self.height,
        };
        (self.width.div_ceil(2), rows)
    }

    /// Whether the planes have the lengths that width, height and chroma layout tell.
    pub fn is_sound(&self) -> bool {
        let (cw, ch) = self.chroma_size();
        self.y.len() == self.width * self.height && self.u.len() == cw * ch && self.v.len() == cw * ch
    }

    /// Copies the picture with odd sides made even by repeating the last column and row. The chroma planes stay as
    /// they are, except for the last row of 4:2:2.
    pub fn pad_to_even(&self, out: &mut Yuv) {
        out.reshape(self.width.next_multiple_of(2), self.height.next_multiple_of(2), self.chroma);
        copy_padded(&self.y, self.width, &mut out.y, out.width);
        let (cw, _) = self.chroma_size();
        copy_padded(&self.u, cw, &mut out.u, cw);
        copy_padded(&self.v, cw, &mut out.v, cw);
    }
}

/// Copies rows of `width` into rows of `out_width`, at most one more both ways, repeating the last sample and row.
fn copy_padded(plane: &[u8], width: usize, out: &mut [u8], out_width: usize) {
    if width == 0 {
        return;
    }
    let last = plane.len().saturating_sub(width);
    let rows = plane.chunks_exact(width).chain(std::iter::once(&plane[last..]));
    for (to, from) in out.chunks_exact_mut(out_width).zip(rows) {
        to[..width].copy_from_slice(from);
        to[width..].fill(from[width - 1]);
    }
}

/// A packed picture as the window takes it: rows top down, one `0x00RRGGBB` word a pixel. The top byte
/// carries no meaning and may hold anything: the decoder leaves 0xFF there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` pixels.
    pub pixels: Vec<u32>,
}

impl Picture {
    /// Sizes the picture, keeping its memory; contents are unspecified.
    pub fn reshape(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.pixels.resize(width * height, 0);
    }
}
