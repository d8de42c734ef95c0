//! A set of numbers that is nearly one run of them: which pieces of a sequence are had, in a few pairs.

/// Ranges kept apart; a window of 512 numbers with holes in it has at most 256.
const RANGES_MAX: usize = 300;

/// Inclusive ranges, ascending, with at least one number between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Adds one number.
    pub fn insert(&mut self, number: u32) {
        self.insert_range(number, number);
    }

    /// Adds one number. Whether it was not there.
    pub fn insert_new(&mut self, number: u32) -> bool {
        let new = !self.contains(number);
        self.insert(number);
        new
    }

    /// Adds `first..=last`; nothing when `last < first`. Beyond the bound the lowest hole counts as filled.
    pub fn insert_range(&mut self, first: u32, last: u32) {
        if last < first {
            return;
        }
        let from = self.0.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = from + self.0[from..].partition_point(|&(start, _)| start <= last.saturating_add(1));
        let merged = match self.0.get(from..to) {
            Some([(start, end)]) => ((*start).min(first), (*end).max(last)),
            Some([(start, _), .., (_, end)]) => ((*start).min(first), (*end).max(last)),
            _ => (first, last),
        };
        self.0.splice(from..to, [merged]);
        if self.0.len() > RANGES_MAX {
            let end = self.0[1].1;
            self.0[0].1 = end;
            self.0.remove(1);
        }
    }

    /// Whether the number is in it.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < number);
        self.0.get(at).is_some_and(|&(start, _)| start <= number)
    }

    /// The last number of the range that begins with 1; 0 when 1 is not in the set.
    pub fn contiguous(&self) -> u32 {
        self.0.first().filter(|&&(start, _)| start <= 1).map_or(0, |&(_, end)| end)
    }

    /// The largest number; 0 when the set is empty.
    pub fn highest(&self) -> u32 {
        self.0.last().map_or(0, |&(_, end)| end)
    }

    /// Numbers of `first..=last` that are not in the set.
    pub fn missing(&self, first: u32, last: u32) -> impl Iterator<Item = u32> + '_ {
        (first..=last).filter(|&number| !self.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u32, u32)]) -> Ranges {
        let mut set = Ranges::default();
        ranges.iter().for_each(|&(first, last)| set.insert_range(first, last));
        set
    }

    #[test]
    fn neighbours_and_overlaps_become_one_range() {
        let check = |ranges: &[(u32, u32)], expected: &[(u32, u32)]| assert_eq!(of(ranges).0, expected, "{ranges:?}");
        check(&[(1, 1), (2, 2)], &[(1, 2)]);
        check(&[(2, 2), (1, 1)], &[(1, 2)]);
        check(&[(1, 1), (3, 3)], &[(1, 1), (3, 3)]);
        check(&[(1, 1), (3, 3), (2, 2)], &[(1, 3)]);
        check(&[(5, 9), (1, 2), (3, 7)], &[(1, 9)]);
        check(&[(1, 2), (4, 5), (7, 8), (0, 20)], &[(0, 20)]);
        check(&[(1, 9), (3, 4)], &[(1, 9)]);
        check(&[(9, 3)], &[]);
        check(&[(u32::MAX, u32::MAX), (u32::MAX - 1, u32::MAX - 1)], &[(u32::MAX - 1, u32::MAX)]);
    }

    #[test]
    fn the_contiguous_part_begins_with_one() {
        assert_eq!(Ranges::default().contiguous(), 0);
        assert_eq!(of(&[(2, 5)]).contiguous(), 0);
        assert_eq!(of(&[(1, 5), (7, 9)]).contiguous(), 5);
        assert_eq!(of(&[(1, 5), (7, 9)]).highest(), 9);
        assert_eq!(of(&[(1, 5), (7, 9)]).missing(4, 11).collect::<Vec<_>>(), [6, 10, 11]);
    }

    #[test]
    fn many_holes_are_forgotten_from_below() {
        let mut set = Ranges::default();
        (0..1_000).for_each(|i| set.insert(2 * i));
        assert_eq!(set.0.len(), RANGES_MAX);
        assert!(set.contains(1) && set.contains(1_998) && !set.contains(1_997));
    }

    #[test]
    fn agrees_with_a_plain_set() {
        use proptest::prelude::*;
        proptest!(|(ranges in prop::collection::vec((0u32..200, 0u32..9), 0..40))| {
            let set = of(&ranges.iter().map(|&(a, n)| (a, a + n)).collect::<Vec<_>>());
            let plain: std::collections::BTreeSet<u32> = ranges.iter().flat_map(|&(a, n)| a..=a + n).collect();
            for number in 0..220 {
                prop_assert_eq!(set.contains(number), plain.contains(&number));
            }
        });
    }
}
