//! Who may come to be shown alike: those present, by the stem of their names.
//!
//! Numbers behind names are handed out anew when somebody comes, goes or is renamed, but only to those whose names have
//! the same stem: of a crowd that comes within seconds everybody would otherwise number everybody each time.

use std::collections::{BTreeMap, BTreeSet};

/// `folded` without the numbers behind it. Names of different stems are never shown alike, whatever their numbers.
pub fn stem(folded: &str) -> &str {
    let without_number = |name: &str| {
        let open = name.strip_suffix(')')?.trim_end_matches(|c: char| c.is_ascii_digit());
        open.strip_suffix(" (").map(str::len)
    };
    let mut stem = folded;
    while let Some(length) = without_number(stem) {
        stem = &stem[..length];
    }
    stem
}

/// Session ids by stem, and the stems to be numbered anew.
#[derive(Default)]
pub struct Namesakes {
    by_stem: BTreeMap<String, BTreeSet<u64>>,
    stale: BTreeSet<String>,
}

impl Namesakes {
    /// `sid` is here with a name that folds to `folded`.
    pub fn add(&mut self, folded: &str, sid: u64) {
        self.by_stem.entry(stem(folded).to_owned()).or_default().insert(sid);
        self.touch(folded);
    }

    /// `sid` has that name no more.
    pub fn remove(&mut self, folded: &str, sid: u64) {
        if let Some(sids) = self.by_stem.get_mut(stem(folded)) {
            sids.remove(&sid);
            if sids.is_empty() {
                self.by_stem.remove(stem(folded));
            }
        }
        self.touch(folded);
    }

    /// Those called so are to be numbered anew.
    pub fn touch(&mut self, folded: &str) {
        self.stale.insert(stem(folded).to_owned());
    }

    /// All are, those called `folded`, who may not be here, among them.
    pub fn touch_all(&mut self, folded: &str) {
        self.stale.extend(self.by_stem.keys().cloned());
        self.touch(folded);
    }

    /// One stem to be numbered anew, and whose sessions have it.
    pub fn pop_stale(&mut self) -> Option<(String, Vec<u64>)> {
        let stem = self.stale.pop_first()?;
        let sids = self.by_stem.get(&stem).into_iter().flatten().copied().collect();
        Some((stem, sids))
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::with_suffix;
    use super::*;

    #[test]
    fn a_stem_is_what_stands_before_all_numbers() {
        let rows = [
            ("ada", "ada"),
            ("ada (1)", "ada"),
            ("ada (1) (23)", "ada"),
            ("ada(1)", "ada(1)"),
            ("ada (1", "ada (1"),
            ("ada (x)", "ada (x)"),
            (" (1)", ""),
            ("", ""),
        ];
        for (folded, expected) in rows {
            assert_eq!(stem(folded), expected, "{folded:?}");
            assert_eq!(stem(&with_suffix(folded, 7)), expected, "a number changes no stem");
        }
    }

    #[test]
    fn whoever_comes_or_goes_concerns_those_of_the_same_stem_only() {
        let mut namesakes = Namesakes::default();
        namesakes.add("ada", 1);
        namesakes.add("ada (1)", 2);
        namesakes.add("bob", 3);
        assert_eq!(namesakes.pop_stale(), Some(("ada".into(), vec![1, 2])));
        assert_eq!(namesakes.pop_stale(), Some(("bob".into(), vec![3])));
        assert_eq!(namesakes.pop_stale(), None);
        namesakes.remove("ada", 1);
        assert_eq!(namesakes.pop_stale(), Some(("ada".into(), vec![2])));
        namesakes.remove("bob", 3);
        assert_eq!(namesakes.pop_stale(), Some(("bob".into(), vec![])));
        namesakes.touch_all("eve");
        assert_eq!(namesakes.pop_stale(), Some(("ada".into(), vec![2])));
        assert_eq!(namesakes.pop_stale(), Some(("eve".into(), vec![])));
        assert_eq!(namesakes.pop_stale(), None);
    }
}
