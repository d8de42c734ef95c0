//! Who stands where on the stage.
//!
//! ```text
//! everybody alike      whoever talks, or is pinned, large           one alone
//! +----+ +----+        +--------------+ +--+   +--------------+     +----------------+
//! +----+ +----+        |              | +--+   |              |     |                |
//!   +----+             |              | +--+   +--------------+     |                |
//!   +----+             +--------------+ +--+    +--+ +--+ +--+      +----------------+
//! ```

use crate::conference::view::PersonView;
use crate::limits::TILES_MAX;
use crate::media::grid::{Rect, TILE_ASPECT, layout};

/// How people are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Everybody alike.
    Alike,
    /// The person of this key large, the others in a strip.
    Large(u64),
    /// Nobody but the person of this key.
    Alone(u64),
}

/// A page of seats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// Index of each person shown, and where.
    pub seats: Vec<(usize, Rect)>,
    /// Pages there are, one at least.
    pub pages: usize,
}

/// Seats people in `area`; `page` counts from 0 and beyond the last means the last.
pub fn seats(people: &[PersonView], how: How, page: usize, area: Rect, gap: usize) -> Seats {
    let of = |key| people.iter().position(|p| p.key == key);
    match how {
        How::Alone(key) if let Some(one) = of(key) => Seats { seats: vec![(one, area)], pages: 1 },
        How::Large(key)
            if people.len() > 1
                && let Some(large) = of(key) =>
        {
            large_one(people.len(), large, page, area, gap)
        }
        _ => {
            let pages = people.len().div_ceil(TILES_MAX).max(1);
            let first = page.min(pages - 1) * TILES_MAX;
            let count = (people.len() - first).min(TILES_MAX);
            let seats = layout(count, area, TILE_ASPECT, gap).into_iter().enumerate();
            Seats { seats: seats.map(|(i, rect)| (first + i, rect)).collect(), pages }
        }
    }
}

fn large_one(people: usize, large: usize, page: usize, area: Rect, gap: usize) -> Seats {
    let others: Vec<usize> = (0..people).filter(|i| *i != large).collect();
    // The strip stands where the large picture leaves more room anyway.
    let beside = area.width * 9 > area.height * 16;
    let (length, depth) = if beside { (area.height, area.width) } else { (area.width, area.height) };
    let depth = (depth / 5).max(1);
    let (width, height) = if beside { (depth, depth * 9 / 16) } else { (depth * 16 / 9, depth) };
    // A sliver of an area has a strip no wider than itself.
    let (width, height) = if width > area.width { (area.width, area.width * 9 / 16) } else { (width, height) };
    let each = if beside { height } else { width };
    let fit = ((length + gap) / (each + gap).max(1)).max(1).min(others.len());
    let pages = others.len().div_ceil(fit);
    let shown = others.chunks(fit).nth(page.min(pages - 1)).unwrap_or_default();
    let strip = shown.len() * (each + gap) - gap.min(shown.len() * (each + gap));
    let start = (length.saturating_sub(strip)) / 2;
    let place = |i: usize| {
        let along = start + i * (each + gap);
        match beside {
            true => Rect::new(area.right().saturating_sub(width), area.y + along, width, height),
            false => Rect::new(area.x + along, area.bottom().saturating_sub(height), width, height),
        }
    };
    let rest = match beside {
        true => Rect { width: area.width.saturating_sub(width + gap), ..area },
        false => Rect { height: area.height.saturating_sub(height + gap), ..area },
    };
    let main = layout(1, rest, TILE_ASPECT, gap).into_iter().next().unwrap_or_default();
    let strip = shown.iter().enumerate().map(|(i, person)| (*person, place(i)));
    Seats { seats: std::iter::once((large, main)).chain(strip).collect(), pages }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(count: u64) -> Vec<PersonView> {
        (0..count).map(|key| PersonView::somebody(key, -127.0)).collect()
    }

    #[test]
    fn nobody_stands_outside_or_on_another_whatever_the_shape() {
        for (width, height) in [(1280, 634), (640, 900), (300, 300), (2, 500), (800, 380), (0, 0)] {
            let area = Rect::new(6, 40, width, height);
            for count in [0, 1, 2, 9, 60, 200] {
                for how in [How::Alike, How::Large(1), How::Alone(0), How::Large(999)] {
                    let people = people(count);
                    let all = seats(&people, how, 0, area, 6);
                    for (i, (_, a)) in all.seats.iter().enumerate() {
                        assert!(
                            a.x >= area.x && a.y >= area.y && a.right() <= area.right().max(a.x),
                            "{how:?} {count} {a:?}"
                        );
                        assert!(a.is_empty() || a.bottom() <= area.bottom(), "{how:?} {count} {a:?} in {area:?}");
                        let apart = |b: &Rect| a.intersection(*b).is_empty();
                        assert!(all.seats[..i].iter().all(|(_, b)| apart(b)), "{how:?} {count} in {area:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn everybody_is_on_some_page_once_and_the_large_one_on_each() {
        let people = people(60);
        let area = Rect::new(0, 0, 1280, 620);
        let mut seen = Vec::new();
        let pages = seats(&people, How::Large(7), 0, area, 6).pages;
        for page in 0..pages {
            let all = seats(&people, How::Large(7), page, area, 6).seats;
            assert_eq!(all[0].0, 7);
            assert!(all[1..].iter().all(|(_, r)| r.width * 3 < all[0].1.width));
            seen.extend(all[1..].iter().map(|(i, _)| *i));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..60).filter(|i| *i != 7).collect::<Vec<_>>());
        assert_eq!(seats(&people, How::Alike, 9, area, 6).seats.len(), 60 - TILES_MAX, "beyond the last page");
    }
}
