//! Names as people see them: cleaned, and told apart when equal.
//!
//! Two names are equal when their casefolded NFKC forms are, invisible characters apart. Among equals, in the order of
//! (time of joining, id), the first is `a`, the next `a (1)`, then `a (2)`. Everybody's beacon carries the number they
//! hold, so all screens agree, and a number stays until its holder leaves.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization;

/// Stands in for a name of which nothing remains.
const NAMELESS: &str = "guest";

/// `typed` without controls and direction marks, runs of white space made one blank, at most `bytes_max` bytes.
pub fn clean(typed: &str, bytes_max: usize) -> String {
    let mut name = String::new();
    let mut gap = false;
    // What is hidden goes first: it keeps apart what composes, and a name cleaned again must stay what it is.
    for c in typed.chars().filter(|&c| c.is_whitespace() || !is_hidden(c)).nfc() {
        if c.is_whitespace() {
            gap = !name.is_empty();
            continue;
        }
        let needed = c.len_utf8() + usize::from(gap);
        if name.len() + needed > bytes_max {
            break;
        }
        if std::mem::take(&mut gap) {
            name.push(' ');
        }
        name.push(c);
    }
    name
}

/// [`clean`], or a stand-in when nothing is left.
pub fn clean_name(typed: &str, bytes_max: usize) -> String {
    let name = clean(typed, bytes_max);
    // Joiners alone show nothing.
    if fold(&name).is_empty() { NAMELESS.to_owned() } else { name }
}

/// The form in which names are compared.
pub fn fold(name: &str) -> String {
    // Upper case first: it expands what lower case alone leaves apart, such as the sharp s.
    let upper: String =
        name.nfkc().filter(|&c| !is_hidden(c) && !is_ignorable(c)).flat_map(char::to_uppercase).collect();
    upper.chars().flat_map(char::to_lowercase).nfkc().collect()
}

/// Controls, and marks that change the direction of text around them.
pub fn is_hidden(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    c.is_control() || is_mark || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Characters that show nothing by themselves; emoji need some of them, comparisons none.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The name with its number: `a` for 0, `a (1)` for 1.
pub fn with_suffix(name: &str, number: u32) -> String {
    if number == 0 { name.to_owned() } else { format!("{name} ({number})") }
}

/// Hands out numbers to people taken in the order of (time of joining, id).
#[derive(Default)]
pub struct Numbers {
    shown: BTreeSet<String>,
    /// Below these nothing is free, by name: a crowd of equals must not be counted through for each of them.
    lowest: BTreeMap<String, u32>,
}

impl Numbers {
    /// The number for the next person, whose name folds to `folded` and who claims a number already or none yet.
    /// A claim holds unless somebody earlier shows the same.
    pub fn next(&mut self, folded: &str, claimed: Option<u32>) -> u32 {
        if let Some(number) = claimed
            && self.shown.insert(with_suffix(folded, number))
        {
            return number;
        }
        let mut number = self.lowest.get(folded).copied().unwrap_or(0);
        while !self.shown.insert(with_suffix(folded, number)) {
            number += 1;
        }
        self.lowest.insert(folded.to_owned(), number + 1);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::NAME_BYTES_MAX;

    #[test]
    fn names_are_cleaned() {
        let rows = [
            ("Ada", "Ada"),
            ("  Ada \t Lovelace \n", "Ada Lovelace"),
            ("\u{202e}evil\u{2066}\u{200f}", "evil"),
            ("a\u{0}b\u{1b}[31m\u{7f}", "ab[31m"),
            ("e\u{301}", "\u{e9}"),
            ("e\u{200f}\u{301}", "\u{e9}"),
            ("", "guest"),
            ("\u{200d}\u{feff} ", "guest"),
            ("👩\u{200d}🚀", "👩\u{200d}🚀"),
            ("名前", "名前"),
        ];
        for (typed, expected) in rows {
            assert_eq!(clean_name(typed, NAME_BYTES_MAX), expected, "{typed:?}");
        }
    }

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(clean(&"x".repeat(65), NAME_BYTES_MAX), "x".repeat(64));
        let cut = clean(&"ü".repeat(40), 63);
        assert_eq!(cut, "ü".repeat(31));
        assert_eq!(clean("ab c", 3), "ab", "no blank at the end");
    }

    #[test]
    fn names_that_look_the_same_are_equal() {
        for (a, b) in [
            ("ADA", "ada"),
            ("ﬁn", "FIN"),
            ("Straße", "STRASSE"),
            ("Ａｄａ", "ada"),
            ("a\u{200b}da", "ada"),
            ("Σας", "σασ"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(fold("ada"), fold("adam"));
    }

    #[test]
    fn equals_are_numbered_in_order_and_keep_what_they_hold() {
        let numbers = |people: &[(&str, Option<u32>)]| {
            let mut n = Numbers::default();
            people.iter().map(|&(name, claim)| n.next(&fold(name), claim)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&[("a", None), ("A", None), ("b", None), ("a", None)]), [0, 1, 0, 2]);
        assert_eq!(numbers(&[("a", Some(1)), ("a", Some(2)), ("a", None)]), [1, 2, 0], "the first one left");
        assert_eq!(numbers(&[("a", Some(0)), ("a", Some(0))]), [0, 1], "of two claims the earlier person's holds");
        assert_eq!(numbers(&[("a", Some(1)), ("a", None), ("a", None), ("a", None)]), [1, 0, 2, 3]);
        assert_eq!(numbers(&[("a (1)", None), ("a", None), ("a", None)]), [0, 0, 2], "a typed suffix is taken too");
    }
}
