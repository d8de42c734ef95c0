//! The interface as pixels: egui's shapes, rasterised once per change and laid over the frame as often as needed.
//!
//! ```text
//! shapes --tessellate--> meshes --software renderer--> canvas (premultiplied, mostly transparent)
//! frame, the stage painted on it --overlay(rect)--> frame
//! ```
//! The renderer keeps what it rasterised, mesh by mesh. Of the canvas only what holds anything is kept for laying over, row
//! after row in one piece of memory: most of it is empty, and a new picture in one tile then costs a blend of what is under
//! its label and reads nothing else.

use bytemuck::cast_slice_mut;
use egui::epaint::{ClippedPrimitive, Primitive};
use egui_software_backend::{BufferMutRef, ColorFieldOrder, EguiSoftwareRender};

use crate::media::grid::Rect;

/// Pixels whose emptiness is found together.
const SPAN: usize = 16;

/// The rasterised interface.
pub struct Canvas {
    renderer: EguiSoftwareRender,
    width: usize,
    height: usize,
    /// `0xAARRGGBB`, premultiplied; only while it is packed.
    pixels: Vec<u32>,
    packed: Packed,
    /// Where the next one is put together.
    packed_next: Packed,
    /// Per row, while it is packed: whether it may differ from before.
    changed: Vec<bool>,
}

/// The parts of a canvas that hold anything.
#[derive(Debug, Default)]
struct Packed {
    /// Per row: its first run; one more at the end.
    rows: Vec<u32>,
    runs: Vec<Run>,
    /// The pixels of all runs one after the other.
    pixels: Vec<u32>,
}

/// Neighbours in a row, and where they are among the packed pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    x: u32,
    end: u32,
    at: u32,
}

impl Packed {
    fn clear(&mut self) {
        self.rows.clear();
        self.runs.clear();
        self.pixels.clear();
    }

    /// The runs of a row.
    fn row(&self, y: usize) -> &[Run] {
        let at = |y: usize| self.rows.get(y).map_or(self.runs.len(), |at| *at as usize);
        &self.runs[at(y)..at(y + 1)]
    }

    fn pixels_of(&self, run: Run) -> &[u32] {
        &self.pixels[run.at as usize..][..(run.end - run.x) as usize]
    }

    /// Takes the next row over from another.
    fn push_same(&mut self, other: &Self, y: usize) {
        self.rows.push(self.runs.len() as u32);
        for run in other.row(y) {
            let at = self.pixels.len() as u32;
            self.pixels.extend_from_slice(other.pixels_of(*run));
            self.runs.push(Run { at, ..*run });
        }
    }

    /// Takes of the next row what is not empty.
    fn push(&mut self, row: &[u32]) {
        let first = self.runs.len();
        self.rows.push(first as u32);
        for (n, span) in row.chunks(SPAN).enumerate() {
            if span.iter().fold(0, |all, p| all | p) == 0 {
                continue;
            }
            let (x, at) = ((n * SPAN) as u32, self.pixels.len() as u32);
            self.pixels.extend_from_slice(span);
            let end = x + span.len() as u32;
            match self.runs[first..].last_mut().filter(|last| last.end == x) {
                Some(last) => last.end = end,
                None => self.runs.push(Run { x, end, at }),
            }
        }
    }
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            renderer: EguiSoftwareRender::new(ColorFieldOrder::Bgra),
            width: 0,
            height: 0,
            pixels: Vec::new(),
            packed: Packed::default(),
            packed_next: Packed::default(),
            changed: Vec::new(),
        }
    }
}

impl Canvas {
    /// Replaces the canvas by these meshes, which may differ from those before within `damage` only. `size` is in pixels,
    /// neither side zero; another size than before damages everything.
    pub fn paint(
        &mut self,
        size: (usize, usize),
        mut primitives: Vec<ClippedPrimitive>,
        textures: &egui::TexturesDelta,
        pixels_per_point: f32,
        damage: &[Rect],
    ) {
        let whole = [Rect::new(0, 0, size.0, size.1)];
        let damage = if (self.width, self.height) == size { damage } else { &whole };
        (self.width, self.height) = size;
        primitives.retain(|p| has_visible_part(p, size, pixels_per_point));
        self.renderer.render_to_canvas(self.width, self.height, &primitives, textures, pixels_per_point);
        self.pixels.clear();
        self.pixels.resize(self.width * self.height, 0);
        let buffer = cast_slice_mut::<u32, [u8; 4]>(&mut self.pixels);
        self.renderer.blit_canvas_to_buffer(&mut BufferMutRef::new(buffer, self.width, self.height));
        self.pack(damage);
    }

    fn pack(&mut self, damage: &[Rect]) {
        self.changed.clear();
        self.changed.resize(self.height, self.packed.rows.len() != self.height);
        for rect in damage {
            self.changed[rect.y.min(self.height)..rect.bottom().min(self.height)].fill(true);
        }
        let mut next = std::mem::take(&mut self.packed_next);
        next.clear();
        for (y, row) in self.pixels.chunks_exact(self.width).enumerate() {
            if self.changed[y] {
                next.push(row);
            } else {
                next.push_same(&self.packed, y);
            }
        }
        self.packed_next = std::mem::replace(&mut self.packed, next);
    }

    /// `frame = canvas over frame` within `rect`, whose pixels are the stage's. The frame has rows of `width` pixels, as
    /// the canvas has once it was painted; before, nothing happens.
    pub fn overlay(&self, frame: &mut [u32], rect: Rect, width: usize) {
        for y in rect.y..rect.bottom() {
            let row = y * width;
            for run in self.packed.row(y) {
                let (x, end) = ((run.x as usize).max(rect.x), (run.end as usize).min(rect.right()));
                if x < end {
                    let from = &self.packed.pixels_of(*run)[x - run.x as usize..end - run.x as usize];
                    blend(from, &mut frame[row + x..row + end]);
                }
            }
        }
    }
}

/// The renderer cuts each mesh to its clip rectangle and assumes that something is left.
fn has_visible_part(primitive: &ClippedPrimitive, size: (usize, usize), pixels_per_point: f32) -> bool {
    let Primitive::Mesh(mesh) = &primitive.primitive else { return false };
    let mut bounds = egui::Rect::NOTHING;
    for vertex in &mesh.vertices {
        bounds.extend_with(vertex.pos);
    }
    let screen = egui::vec2(size.0 as f32, size.1 as f32) / pixels_per_point;
    let seen = bounds.intersect(primitive.clip_rect).intersect(egui::Rect::from_min_size(egui::Pos2::ZERO, screen));
    seen.width() > 0.0 && seen.height() > 0.0
}

/// `pixel = over + pixel * (1 - alpha)` with saturation, two channels to a multiplication.
fn blend(over: &[u32], pixels: &mut [u32]) {
    for (pixel, s) in pixels.iter_mut().zip(over) {
        let d = *pixel;
        let rest = 255 - (s >> 24);
        let rest = rest + (rest >> 7);
        let red_blue = (s & 0x00ff_00ff) + ((((d & 0x00ff_00ff) * rest + 0x0080_0080) >> 8) & 0x00ff_00ff);
        let green = ((s >> 8) & 0xff) + ((((d >> 8) & 0xff) * rest + 0x80) >> 8);
        let over_red_blue = red_blue & 0x0100_0100;
        let over_green = green & 0x0100;
        let red_blue = (red_blue | (over_red_blue - (over_red_blue >> 8))) & 0x00ff_00ff;
        let green = (green | (over_green - (over_green >> 8))) & 0xff;
        *pixel = red_blue | (green << 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_is_exact_at_both_ends_and_saturates() {
        let cases = [
            (0x0000_0000, 0x0012_3456, 0x0012_3456),
            (0xffab_cdef, 0x0012_3456, 0x00ab_cdef),
            (0x8080_8080, 0x00ff_ffff, 0x00ff_ffff),
            (0x00ff_0010, 0x00ff_20f8, 0x00ff_20ff),
            (0x8000_0000, 0x00fe_fe00, 0x007e_7e00),
        ];
        for (over, under, expected) in cases {
            let mut out = [under];
            blend(&[over], &mut out);
            assert_eq!(out[0], expected, "{over:08x} over {under:08x}: {:08x}", out[0]);
        }
    }

    #[test]
    fn only_what_is_occupied_within_the_rectangle_is_laid_over() {
        let mut canvas = Canvas { width: 200, height: 3, pixels: vec![0; 600], ..Canvas::default() };
        canvas.pixels[200 + 64..200 + 160].fill(0xff00_0009);
        canvas.pack(&[]);
        let mut frame = vec![7; 200 * 3];
        canvas.overlay(&mut frame, Rect::new(60, 1, 95, 1), 200);
        assert_eq!(frame.iter().filter(|p| **p == 9).count(), 91);
        assert_eq!((frame[200 + 63], frame[200 + 64], frame[200 + 154], frame[200 + 155]), (7, 9, 9, 7));
        Canvas::default().overlay(&mut frame, Rect::new(0, 0, 200, 3), 200);
    }

    #[test]
    fn rows_beside_the_damage_stay_as_they_were_packed() {
        let mut canvas = Canvas { width: 40, height: 4, pixels: vec![0; 160], ..Canvas::default() };
        (canvas.pixels[5], canvas.pixels[39], canvas.pixels[3 * 40 + 20]) = (0xff00_0001, 0xff00_0002, 0xff00_0003);
        canvas.pack(&[]);
        assert_eq!(canvas.packed.row(0), [Run { x: 0, end: 16, at: 0 }, Run { x: 32, end: 40, at: 16 }]);
        assert_eq!(canvas.packed.row(2), []);
        // Only the damaged row is looked at again.
        canvas.pixels.fill(0);
        canvas.pixels[2 * 40..3 * 40].fill(0xff00_0004);
        canvas.pack(&[Rect::new(3, 2, 1, 1)]);
        let mut frame = vec![0; 160];
        canvas.overlay(&mut frame, Rect::new(0, 0, 40, 4), 40);
        assert_eq!((frame[5], frame[39], frame[140]), (1, 2, 3));
        assert!(frame[80..120].iter().all(|p| *p == 4));
        assert_eq!(canvas.packed.pixels.len(), 16 + 8 + 40 + 16);
    }
}
