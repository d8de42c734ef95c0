//! Which layer of each person's picture is received: by the size it is shown at, within a budget.
//!
//! ```text
//! tile ──> the lowest layer that covers it, nearly ──> too much in all? the largest that is not focused goes down one
//! ```

use crate::wire::Layer;

/// A layer is taken for tiles up to an eighth wider or higher than itself: nobody sees that.
const STRETCH_EIGHTHS: usize = 9;
/// Once taken it is kept for tiles up to a quarter larger, so that a window being resized does not switch all the time.
const KEPT_EIGHTHS: usize = 10;

/// Layers of a camera, lowest first.
const LAYERS: [Layer; 3] = crate::protocol::layers::CAMERA;

/// A layer that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Columns and rows.
    pub size: (usize, usize),
    /// Thousandths of frames a second.
    pub fps_milli: u32,
}

impl Offer {
    /// About how many bits a second it takes. Small pictures have more detail to a pixel.
    pub fn bits_per_s(&self) -> u64 {
        let pixels = (self.size.0 * self.size.1) as u64;
        let tenths_of_a_bit = if self.size.1 <= 288 { 15 } else { 9 };
        pixels * u64::from(self.fps_milli) / 1_000 * tenths_of_a_bit / 10
    }
}

/// Somebody's picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tile {
    /// Columns and rows it is shown at; 0x0: not shown.
    pub size: (usize, usize),
    /// The one looked at: goes down last, and is received in full whatever its size.
    pub focused: bool,
    /// What is offered: thumb, medium, full.
    pub offers: [Option<Offer>; 3],
    /// What is received now.
    pub present: Option<Layer>,
    /// What is chosen.
    pub chosen: Option<Layer>,
}

impl Tile {
    fn choose(&mut self) {
        let (width, height) = self.size;
        let covers = |layer: Layer| {
            let eighths = if self.present == Some(layer) { KEPT_EIGHTHS } else { STRETCH_EIGHTHS };
            self.offers[layer as usize]
                .is_some_and(|o| 8 * width <= eighths * o.size.0 && 8 * height <= eighths * o.size.1)
        };
        let highest = LAYERS.into_iter().rev().find(|&layer| self.offers[layer as usize].is_some());
        self.chosen = match (width, height) {
            (0, _) | (_, 0) => None,
            _ if self.focused => highest,
            _ => LAYERS.into_iter().find(|&layer| covers(layer)).or(highest),
        };
    }

    fn below(&self) -> Option<Layer> {
        let chosen = self.chosen?;
        LAYERS.into_iter().rev().find(|&layer| layer < chosen && self.offers[layer as usize].is_some())
    }

    fn bits_per_s(&self) -> u64 {
        self.chosen.and_then(|layer| self.offers[layer as usize]).map_or(0, |offer| offer.bits_per_s())
    }
}

/// What was chosen, all tiles together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// About how many bits a second that takes.
    pub bits_per_s: u64,
    /// How many of the steps asked for could be made.
    pub steps: u32,
}

/// Chooses for all tiles; then goes down `steps` layers, and on until `budget` bits a second are enough.
pub fn choose(tiles: &mut [Tile], budget: u64, steps: u32) -> Chosen {
    tiles.iter_mut().for_each(Tile::choose);
    let mut chosen = Chosen { bits_per_s: tiles.iter().map(Tile::bits_per_s).sum(), steps: 0 };
    while chosen.steps < steps || chosen.bits_per_s > budget {
        // The largest that is not looked at; that one only when nothing else can go down.
        let lower = tiles.iter_mut().filter(|tile| tile.below().is_some());
        let Some(tile) = lower.max_by_key(|tile| (!tile.focused, tile.bits_per_s(), tile.size.0 * tile.size.1)) else {
            break;
        };
        let before = tile.bits_per_s();
        tile.chosen = tile.below();
        chosen.bits_per_s -= before.saturating_sub(tile.bits_per_s()).min(chosen.bits_per_s);
        chosen.steps += 1;
    }
    chosen.steps = chosen.steps.min(steps);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use Layer::{Full, Medium, Thumb};

    fn camera(native: (usize, usize)) -> [Option<Offer>; 3] {
        let offer =
            |(layer, fps_milli)| crate::protocol::layers::size(layer, native).map(|size| Offer { size, fps_milli });
        [(Thumb, 15_000), (Medium, 20_000), (Full, 30_000)].map(offer)
    }

    fn tile(width: usize, height: usize) -> Tile {
        Tile { size: (width, height), offers: camera((1_280, 720)), ..Tile::default() }
    }

    #[test]
    fn the_lowest_layer_that_covers_the_tile_is_chosen() {
        let rows = [
            ((0, 0), None),
            ((182, 102), Some(Thumb)),
            ((256, 144), Some(Thumb)),
            ((288, 162), Some(Thumb)),
            ((290, 163), Some(Medium)),
            ((320, 180), Some(Medium)),
            ((576, 324), Some(Medium)),
            ((640, 360), Some(Full)),
            ((4_000, 3_000), Some(Full)),
        ];
        for ((width, height), expected) in rows {
            let mut tiles = [tile(width, height)];
            choose(&mut tiles, u64::MAX, 0);
            assert_eq!(tiles[0].chosen, expected, "{width}x{height}");
        }
    }

    #[test]
    fn a_layer_in_use_is_kept_for_somewhat_larger_tiles() {
        for (present, expected) in [(None, Medium), (Some(Thumb), Thumb), (Some(Medium), Medium)] {
            let mut tiles = [Tile { present, ..tile(310, 175) }];
            choose(&mut tiles, u64::MAX, 0);
            assert_eq!(tiles[0].chosen, Some(expected), "{present:?}");
        }
    }

    #[test]
    fn what_is_not_offered_is_not_chosen_and_a_focused_one_is_full_at_any_size() {
        let mut tiles = [
            Tile { offers: [None, None, camera((240, 136))[2]], ..tile(100, 60) },
            Tile { offers: [camera((1_280, 720))[0], None, None], ..tile(1_000, 600) },
            Tile { offers: [None; 3], ..tile(1_000, 600) },
            Tile { focused: true, ..tile(100, 60) },
            Tile { focused: true, ..tile(0, 0) },
        ];
        choose(&mut tiles, u64::MAX, 0);
        assert_eq!(tiles.map(|t| t.chosen), [Some(Full), Some(Thumb), None, Some(Full), None]);
    }

    #[test]
    fn within_a_budget_the_largest_goes_down_first_and_the_focused_one_last() {
        let mut tiles = [tile(640, 360), tile(1_280, 720), Tile { focused: true, ..tile(640, 360) }, tile(100, 60)];
        let all = choose(&mut tiles, u64::MAX, 0);
        assert_eq!(tiles.map(|t| t.chosen), [Some(Full), Some(Full), Some(Full), Some(Thumb)]);
        let less = choose(&mut tiles, all.bits_per_s - 1, 0);
        assert_eq!(tiles.map(|t| t.chosen), [Some(Full), Some(Medium), Some(Full), Some(Thumb)]);
        assert!(less.bits_per_s < all.bits_per_s);
        choose(&mut tiles, 0, 0);
        assert_eq!(tiles.map(|t| t.chosen), [Some(Thumb); 4], "nothing is switched off for want of rate");
    }

    #[test]
    fn steps_go_down_one_layer_each_as_long_as_there_is_one() {
        let full = [Some(Full), Some(Full)];
        let rows = [
            (0, full, 0),
            (1, [Some(Full), Some(Medium)], 1),
            (2, [Some(Medium), Some(Medium)], 2),
            (4, [Some(Thumb), Some(Thumb)], 4),
            (9, [Some(Thumb), Some(Thumb)], 4),
        ];
        for (steps, expected, made) in rows {
            let mut tiles = [tile(640, 360), tile(640, 360)];
            assert_eq!(choose(&mut tiles, u64::MAX, steps).steps, made);
            assert_eq!(tiles.map(|t| t.chosen), expected, "{steps} steps");
        }
    }

    #[test]
    fn a_gallery_of_49_with_a_stage_is_thumbs_and_one_full() {
        let mut tiles = vec![tile(180, 101); 48];
        tiles.push(Tile { focused: true, ..tile(180, 101) });
        for offer in tiles.iter_mut().filter_map(|t| t.offers[0].as_mut()) {
            offer.fps_milli = 10_000;
        }
        let chosen = choose(&mut tiles, 100_000_000, 0);
        assert_eq!(tiles.iter().filter(|t| t.chosen == Some(Thumb)).count(), 48);
        assert!(chosen.bits_per_s < 60_000_000, "{}", chosen.bits_per_s);
    }
}
