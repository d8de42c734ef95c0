//! Tiles on their way: who comes, goes or is pinned moves the others to their new places in a fifth of a second.
//!
//! ```text
//! seats(..) --> where each belongs --> place(..) --> where each is now --> stage
//! ```
//! Nothing moves where motion would only be in the way: when the window itself changes its size, when nobody stays, and when
//! the user wants none. At rest this costs a comparison.

use std::time::Duration;

use crate::conference::view::PersonView;
use crate::media::grid::Rect;
use crate::time::Timestamp;

/// How long a tile is on its way.
const TAKES: Duration = Duration::from_millis(180);
/// Between two steps.
const STEP: Duration = Duration::from_millis(16);
/// A tile that appears begins with so many hundredths of its size.
const BEGINS: usize = 80;

/// One tile, by the person's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    key: u64,
    from: Rect,
    to: Rect,
}

/// The tiles of a stage.
#[derive(Debug, Default)]
pub struct Motion {
    ways: Vec<Way>,
    /// What a move must not lead across, as of the last look.
    scene: u64,
    began: Option<Timestamp>,
}

impl Motion {
    /// Where those of `seats` are now. Another `scene` than before, or `still`, and everybody is in place at once.
    pub fn place(
        &mut self,
        people: &[PersonView],
        seats: &[(usize, Rect)],
        (scene, still): (u64, bool),
        now: Timestamp,
    ) -> Vec<(usize, Rect)> {
        let seated = || seats.iter().filter_map(|(i, rect)| Some((people.get(*i)?.key, *rect)));
        let same = self.ways.len() == seats.len() && self.ways.iter().map(|way| (way.key, way.to)).eq(seated());
        if !same {
            let part = self.part(now);
            let was = |key| self.ways.iter().find(|way| way.key == key).map(|way| between(way.from, way.to, part));
            let stays = seated().any(|(key, _)| was(key).is_some());
            let way = |(key, to)| Way { key, from: was(key).unwrap_or_else(|| smaller(to)), to };
            let ways = seated().map(way).collect();
            (self.ways, self.began) = (ways, (stays && scene == self.scene).then_some(now));
        }
        self.scene = scene;
        self.began = self.began.filter(|began| !still && now.since(*began) < TAKES);
        let part = self.part(now);
        let place = |(way, (i, _)): (&Way, &(usize, Rect))| (*i, between(way.from, way.to, part));
        if self.ways.len() == seats.len() { self.ways.iter().zip(seats).map(place).collect() } else { seats.to_vec() }
    }

    /// When the next step is due; `None` at rest.
    pub fn next_step(&self, now: Timestamp) -> Option<Timestamp> {
        self.began.map(|_| now + STEP)
    }

    /// How far everybody is, in thousandths: fast at first, then slower.
    fn part(&self, now: Timestamp) -> usize {
        let Some(began) = self.began else { return 1_000 };
        let left = 1_000 - (now.since(began).as_millis() * 1_000 / TAKES.as_millis()).min(1_000) as usize;
        1_000 - left * left * left / 1_000_000
    }
}

fn between(from: Rect, to: Rect, part: usize) -> Rect {
    let mixed = |from: usize, to: usize| (from * (1_000 - part) + to * part) / 1_000;
    let (x, y) = (mixed(from.x, to.x), mixed(from.y, to.y));
    let (right, bottom) = (mixed(from.right(), to.right()), mixed(from.bottom(), to.bottom()));
    Rect::new(x, y, right - x, bottom - y)
}

fn smaller(rect: Rect) -> Rect {
    let (width, height) = (rect.width * BEGINS / 100, rect.height * BEGINS / 100);
    Rect::new(rect.x + (rect.width - width) / 2, rect.y + (rect.height - height) / 2, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Timestamp = Timestamp::from_millis;
    const A: Rect = Rect::new(0, 0, 100, 60);
    const B: Rect = Rect::new(200, 100, 400, 240);

    fn people() -> Vec<PersonView> {
        (1..=3).map(|key| PersonView::somebody(key, -127.0)).collect()
    }

    #[test]
    fn a_tile_goes_to_its_new_place_and_arrives() {
        let (mut motion, people) = (Motion::default(), people());
        let mut at = |ms, rect| motion.place(&people, &[(0, rect)], (1, false), MS(ms))[0].1;
        assert_eq!(at(0, A), A, "who is first is there at once");
        assert_eq!(at(1_000, B), A, "nothing jumps");
        let mut last = A;
        for ms in [1_040, 1_080, 1_120] {
            let now = at(ms, B);
            assert!(
                now.x > last.x && now.y > last.y && now.width > last.width && now.height > last.height,
                "{ms} {now:?}"
            );
            assert!(now.right() <= B.right() && now.bottom() <= B.bottom());
            last = now;
        }
        assert_eq!(at(1_180, B), B);
        // Half way back, and back again: from where it is.
        at(2_000, A);
        let half = at(2_060, A);
        assert_eq!(at(2_060, B), half);
        assert_eq!(at(2_300, B), B);
        assert_eq!(motion.next_step(MS(2_300)), None, "at rest nothing is due");
    }

    #[test]
    fn who_comes_grows_and_who_goes_leaves_at_once() {
        let (mut motion, people) = (Motion::default(), people());
        motion.place(&people, &[(0, A)], (1, false), MS(0));
        let both = motion.place(&people, &[(0, A), (1, B)], (1, false), MS(100));
        assert_eq!(both, [(0, A), (1, Rect::new(240, 124, 320, 192))]);
        assert!(motion.next_step(MS(100)).is_some());
        assert_eq!(motion.place(&people, &[(1, B)], (1, false), MS(400)), [(1, B)]);
    }

    #[test]
    fn nothing_moves_where_it_would_be_in_the_way() {
        let people = people();
        let place = |motion: &mut Motion, i, rect, scene, still, ms| {
            motion.place(&people, &[(i, rect)], (scene, still), MS(ms))[0].1
        };
        let mut motion = Motion::default();
        place(&mut motion, 0, A, 1, false, 0);
        assert_eq!(place(&mut motion, 0, B, 2, false, 10), B, "another size of the window");
        assert_eq!(place(&mut motion, 0, A, 2, true, 20), A, "the user wants none");
        assert_eq!(place(&mut motion, 1, B, 2, false, 30), B, "another page");
        place(&mut motion, 1, A, 2, false, 40);
        assert_eq!(place(&mut motion, 1, A, 2, true, 50), A, "it ends at once when it is switched off");
        assert!(motion.place(&people, &[], (2, false), MS(60)).is_empty());
    }
}
