//! Where things stand in the window.
//!
//! ```text
//! +--------------------------------+  top bar
//! +----------------------+---------+
//! | stage: tiles         | panel,  |
//! |                      | if open |
//! +----------------------+---------+
//! +--------------------------------+  toolbar
//! ```
//! A narrow window shows the panel instead of the stage; one tile that fills the window leaves room for nothing else.

use egui::{Rect as Points, pos2, vec2};

use crate::conference::view::View;
use crate::media::grid::Rect;
use crate::ui::state::State;
use crate::ui::{overlay, theme};

/// A stage narrower than this, in points, is left to the panel.
const STAGE_MIN: f32 = 300.0;

/// Where things stand.
pub struct Places {
    /// Pixels per point.
    pub pixels_per_point: f32,
    /// The bar above.
    pub top: Points,
    /// The bar below.
    pub toolbar: Points,
    /// Between the bars, beside the panel; empty where the panel takes it all.
    pub stage: Points,
    /// The open panel.
    pub panel: Option<Points>,
    /// Free for a hint, while there is somebody to wait for.
    pub hint: Option<Points>,
    /// For the tiles, in pixels.
    pub tiles_pixels: Rect,
    /// Between them.
    pub gap_pixels: usize,
}

impl Places {
    /// The places of a window of `size` pixels.
    pub fn new(size: (usize, usize), pixels_per_point: f32, view: &View, state: &State) -> Self {
        let points = vec2(size.0 as f32, size.1 as f32) / pixels_per_point;
        let to_pixels = |points: f32| (points * pixels_per_point).round().max(0.0) as usize;
        if state.full.is_some() {
            let nothing = Points::from_min_size(pos2(0.0, -1000.0), vec2(points.x, 0.0));
            let whole = Points::from_min_size(pos2(0.0, 0.0), points);
            let tiles_pixels = Rect::new(0, 0, size.0, size.1);
            let (top, toolbar) = (nothing, nothing);
            return Self {
                pixels_per_point,
                top,
                toolbar,
                stage: whole,
                panel: None,
                hint: None,
                tiles_pixels,
                gap_pixels: 0,
            };
        }
        let top_pixels = to_pixels(theme::TOP_BAR).min(size.1);
        let toolbar_pixels = to_pixels(theme::TOOLBAR).min(size.1 - top_pixels);
        let toolbar_top = (size.1 - toolbar_pixels) as f32 / pixels_per_point;
        let top_bottom = top_pixels as f32 / pixels_per_point;
        let mut stage = Points::from_min_max(pos2(0.0, top_bottom), pos2(points.x, toolbar_top));
        let mut panel = None;
        if state.panel.is_some() {
            let width = if points.x - theme::PANEL_WIDTH < STAGE_MIN { points.x } else { theme::PANEL_WIDTH };
            let left = ((points.x - width) * pixels_per_point).round() / pixels_per_point;
            panel = Some(Points::from_min_max(pos2(left, top_bottom), stage.max));
            stage.max.x = left;
        }
        let gap_pixels = to_pixels(theme::GAP);
        let stage_width = to_pixels(stage.width());
        let mut tiles_pixels = Rect::new(
            gap_pixels,
            top_pixels + gap_pixels,
            stage_width.saturating_sub(2 * gap_pixels),
            (size.1 - top_pixels - toolbar_pixels).saturating_sub(2 * gap_pixels),
        )
        .clipped(size);
        let mut hint = None;
        let alone = view.people.len() == 1 && view.people[0].me;
        if view.people.is_empty() {
            hint = Some(stage);
        } else if alone && stage.height() > 3.0 * overlay::HINT && stage.width() > 0.0 {
            hint = Some(Points::from_min_max(pos2(0.0, toolbar_top - overlay::HINT), stage.max));
            tiles_pixels.height = tiles_pixels.height.saturating_sub(to_pixels(overlay::HINT));
        }
        let top = Points::from_min_max(pos2(0.0, 0.0), pos2(points.x, top_bottom));
        let toolbar = Points::from_min_max(pos2(0.0, toolbar_top), pos2(points.x, points.y));
        Self { pixels_per_point, top, toolbar, stage, panel, hint, tiles_pixels, gap_pixels }
    }
}
