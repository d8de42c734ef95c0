//! Where things stand on the start screen.

use egui::{Rect, pos2, vec2};

use crate::media::grid::{self, TILE_ASPECT};

/// Windows narrower than this, in points, have one column.
const TWO_COLUMNS: f32 = 680.0;
/// Width of the column with the own picture.
const OWN_WIDTH: f32 = 320.0;
/// Height of the own picture below a single column, and of windows that have room for it.
const STRIP: f32 = 108.0;
const STRIP_FROM: f32 = 560.0;

/// Where things stand.
pub struct Places {
    /// Conferences, and in a narrow window everything else.
    pub list: Rect,
    /// What is one's own, beside them.
    pub own: Option<Rect>,
    /// The own picture.
    pub picture: Option<Rect>,
    /// The same in pixels.
    pub picture_pixels: Option<grid::Rect>,
}

impl Places {
    /// The places of a window of `size` pixels, `scale` of them a point.
    pub fn new(size: (usize, usize), scale: f32) -> Self {
        let points = vec2(size.0 as f32, size.1 as f32) / scale;
        let margin = if points.x < TWO_COLUMNS { 12.0 } else { 24.0 };
        let whole = Rect::from_min_max(pos2(margin, margin.min(16.0)), pos2(points.x - margin, points.y - 12.0));
        let placed = |min: egui::Pos2, width: f32| {
            let (x, y) = ((min.x * scale).round() as usize, (min.y * scale).round() as usize);
            let width = (width * scale).round() as usize;
            let pixels = grid::Rect::new(x, y, width, width * TILE_ASPECT.1 / TILE_ASPECT.0).clipped(size);
            let min = pos2(x as f32, y as f32) / scale;
            (pixels, Rect::from_min_size(min, vec2(pixels.width as f32, pixels.height as f32) / scale))
        };
        if points.x < TWO_COLUMNS {
            if points.y < STRIP_FROM {
                return Self { list: whole, own: None, picture: None, picture_pixels: None };
            }
            let top = whole.bottom() - STRIP;
            let width = STRIP * TILE_ASPECT.0 as f32 / TILE_ASPECT.1 as f32;
            let (pixels, picture) = placed(pos2(whole.left(), top), width);
            let list = whole.with_max_y(top - 10.0);
            return Self { list, own: None, picture: Some(picture), picture_pixels: Some(pixels) };
        }
        let left = whole.right() - OWN_WIDTH;
        let own = Rect::from_min_max(pos2(left, whole.top()), whole.max);
        let list = Rect::from_min_max(whole.min, pos2(left - 28.0, whole.bottom()));
        let (pixels, picture) = placed(own.min + vec2(0.0, 40.0), own.width());
        Self { list, own: Some(own), picture: Some(picture), picture_pixels: Some(pixels) }
    }
}
