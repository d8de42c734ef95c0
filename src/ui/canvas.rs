//! The interface as pixels: egui's shapes, rasterised once per change and laid over the frame as often as needed.
//!
//! ```text
//! shapes --tessellate--> meshes --software renderer--> canvas (premultiplied, mostly transparent)
//! frame, the stage painted on it --overlay(rect)--> frame
//! ```
//! The renderer keeps what it rasterised, mesh by mesh. The canvas remembers per row which spans hold anything at all, so
//! that a new picture in one tile costs a blend of the few spans under its label.

use bytemuck::cast_slice_mut;
use egui::epaint::{ClippedPrimitive, Primitive};
use egui_software_backend::{BufferMutRef, ColorFieldOrder, EguiSoftwareRender};

use crate::media::grid::Rect;

/// Pixels whose emptiness is remembered together.
const SPAN: usize = 16;

/// The rasterised interface.
pub struct Canvas {
    renderer: EguiSoftwareRender,
    width: usize,
    height: usize,
    /// `0xAARRGGBB`, premultiplied.
    pixels: Vec<u32>,
    /// Per row and span: whether it holds anything.
    occupied: Vec<bool>,
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            renderer: EguiSoftwareRender::new(ColorFieldOrder::Bgra),
            width: 0,
            height: 0,
            pixels: Vec::new(),
            occupied: Vec::new(),
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
        self.occupied.resize(self.height * self.width.div_ceil(SPAN), false);
        damage.iter().for_each(|rect| self.note_occupied(*rect));
    }

    fn note_occupied(&mut self, rect: Rect) {
        let spans = self.width.div_ceil(SPAN);
        let (first, end) = (rect.x / SPAN, rect.right().div_ceil(SPAN));
        for y in rect.y..rect.bottom() {
            for span in first..end {
                let row = y * self.width;
                let pixels = &self.pixels[row + span * SPAN..row + ((span + 1) * SPAN).min(self.width)];
                self.occupied[y * spans + span] = pixels.iter().fold(0, |all, p| all | p) != 0;
            }
        }
    }

    /// `frame = canvas over frame` within `rect`, whose pixels are the stage's. The frame has rows of `width` pixels, as
    /// the canvas has once it was painted; before, nothing happens.
    pub fn overlay(&self, frame: &mut [u32], rect: Rect, width: usize) {
        let spans = self.width.div_ceil(SPAN);
        for y in rect.y..rect.bottom() {
            let row = y * width;
            let mut x = rect.x;
            while x < rect.right() {
                let end = ((x / SPAN + 1) * SPAN).min(rect.right());
                if self.occupied.get(y * spans + x / SPAN) == Some(&true) {
                    blend(&self.pixels[row + x..row + end], &mut frame[row + x..row + end]);
                }
                x = end;
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
        let mut canvas = Canvas { width: 200, height: 3, pixels: vec![0xff00_0009; 600], ..Canvas::default() };
        let spans = 200_usize.div_ceil(SPAN);
        canvas.occupied = vec![false; 3 * spans];
        canvas.occupied[spans + 64 / SPAN..spans + 160 / SPAN].fill(true);
        let mut frame = vec![7; 200 * 3];
        canvas.overlay(&mut frame, Rect::new(60, 1, 100, 1), 200);
        assert_eq!(frame.iter().filter(|p| **p == 9).count(), 96);
        assert_eq!((frame[200 + 63], frame[200 + 64], frame[200 + 159], frame[200 + 160]), (7, 9, 9, 7));
        Canvas::default().overlay(&mut frame, Rect::new(0, 0, 200, 3), 200);
    }
}
