//! Where two runs of the interface differ.

use egui::epaint::ClippedShape;
use egui::vec2;

use crate::media::grid::Rect;

/// Adds the places, in pixels, where two lists of shapes differ. Shapes are compared by their number, from the front and
/// from the back; where something came or went in the middle, all between counts.
pub fn damaged(old: &[ClippedShape], new: &[ClippedShape], scale: f32, size: (usize, usize), damage: &mut Vec<Rect>) {
    let longest = old.len().min(new.len());
    let (mut front, mut back) = (0, 0);
    if old.len() != new.len() {
        front = old.iter().zip(new).take_while(|(o, n)| o == n).count();
        back = old.iter().rev().zip(new.iter().rev()).take(longest - front).take_while(|(o, n)| o == n).count();
    }
    let (old, new) = (&old[front..old.len() - back], &new[front..new.len() - back]);
    for i in 0..old.len().max(new.len()) {
        let (before, after) = (old.get(i), new.get(i));
        if before == after {
            continue;
        }
        for shape in [before, after].into_iter().flatten() {
            let bounds = shape.shape.visual_bounding_rect().intersect(shape.clip_rect);
            if bounds.is_positive() {
                damage.push(pixels_of(bounds, scale, size));
            }
        }
    }
}

/// The pixels a rectangle of points touches, soft edges included.
fn pixels_of(points: egui::Rect, scale: f32, size: (usize, usize)) -> Rect {
    let min = (points.min * scale).floor() - vec2(2.0, 2.0);
    let max = (points.max * scale).ceil() + vec2(2.0, 2.0);
    let (left, top) = (min.x.max(0.0) as usize, min.y.max(0.0) as usize);
    let (right, bottom) = ((max.x.max(0.0) as usize).min(size.0), (max.y.max(0.0) as usize).min(size.1));
    Rect::new(left, top, right.saturating_sub(left), bottom.saturating_sub(top)).clipped(size)
}
