//! Passphrases: five words out of 2,048, as `start` makes them up, and how typed ones are read.
//!
//! ```text
//! 8 random bytes -> 5 x 11 bits -> "crane-oxygen-vivid-lunar-ticket"       2^55 of them
//! ```
//! The words are the English list of BIP-39 (`words.txt`; Copyright (c) 2013-2016 Pavol Rusnak, MIT licence): no two of
//! them begin with the same four letters. Each guess costs whoever tries Argon2id with 64 MiB (`protocol::keys`).
//!
//! Five words of the list are one passphrase however they are typed: with hyphens or spaces, in capitals or not. Anything
//! else counts as typed.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::limits::PASSPHRASE_BYTES_MAX;

/// Words of a passphrase that is made up.
pub const WORDS: usize = 5;
/// Bits a word stands for.
const BITS: u32 = 11;
const _: () = assert!(WORDS as u32 * BITS <= u64::BITS);

static LIST: &str = include_str!("words.txt");

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing but white space.
    #[error("a passphrase is expected, and there is none")]
    Empty,
    /// Too long.
    #[error("the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")]
    TooLong,
}

/// A passphrase, wiped from memory when it is dropped and never shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Five words, from bits that nobody else knows.
    pub fn generate(random: u64) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(64));
        for n in 0..WORDS {
            let word = (random >> (n as u32 * BITS)) as usize & ((1 << BITS) - 1);
            if n > 0 {
                text.push('-');
            }
            // Total: the list has a word for each number of eleven bits.
            text.push_str(LIST.lines().nth(word).unwrap_or_default());
        }
        Self(text)
    }
}

impl FromStr for Passphrase {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Self, Error> {
        let trimmed = typed.trim();
        if trimmed.is_empty() {
            return Err(Error::Empty);
        }
        if trimmed.len() > PASSPHRASE_BYTES_MAX {
            return Err(Error::TooLong);
        }
        Ok(Self(words_of(trimmed).unwrap_or_else(|| Zeroizing::new(trimmed.to_owned()))))
    }
}

/// The one way to write five words of the list; `None` when these are not that.
fn words_of(typed: &str) -> Option<Zeroizing<String>> {
    let lower = Zeroizing::new(typed.nfkc().collect::<String>().to_lowercase());
    let words = || lower.split(|c: char| c == '-' || c.is_whitespace()).filter(|word| !word.is_empty());
    let known = |word: &str| LIST.lines().any(|listed| listed == word);
    if words().count() != WORDS || !words().all(known) {
        return None;
    }
    let mut text = Zeroizing::new(String::with_capacity(lower.len()));
    for word in words() {
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(word);
    }
    Some(text)
}

impl Deref for Passphrase {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_has_2048_plain_words_that_four_letters_tell_apart() {
        let words: Vec<&str> = LIST.lines().collect();
        assert_eq!(words.len(), 1 << BITS);
        assert!(words.iter().all(|w| (3..=8).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_lowercase())));
        let beginnings: BTreeSet<&str> = words.iter().map(|w| &w[..w.len().min(4)]).collect();
        assert_eq!(beginnings.len(), words.len());
        assert!(words.is_sorted());
    }

    #[test]
    fn five_words_are_made_of_all_of_the_bits() {
        assert_eq!(&*Passphrase::generate(0), "abandon-abandon-abandon-abandon-abandon");
        assert_eq!(&*Passphrase::generate(u64::MAX), "zoo-zoo-zoo-zoo-zoo");
        assert_eq!(&*Passphrase::generate(1 | 2 << 44), "ability-abandon-abandon-abandon-able");
        let mut random = crate::protocol::keys::Random::new([7; 32]);
        let mut seen = vec![BTreeSet::new(); WORDS];
        for _ in 0..4_000 {
            let made = Passphrase::generate(random.next_u64());
            let words: Vec<String> = made.split('-').map(str::to_owned).collect();
            assert_eq!(words.len(), WORDS);
            for (seen, word) in seen.iter_mut().zip(words) {
                seen.insert(word);
            }
        }
        // 4,000 draws of 2,048 leave out one in seven.
        assert!(
            seen.iter().all(|words| words.len() > 1_650),
            "{:?}",
            seen.iter().map(BTreeSet::len).collect::<Vec<_>>()
        );
    }

    #[test]
    fn words_are_one_passphrase_however_they_are_typed() {
        let read = |typed: &str| typed.parse::<Passphrase>().map(|p| p.to_owned());
        let words = "crane-oxygen-vivid-lunar-ticket";
        for typed in [
            words,
            "crane oxygen vivid lunar ticket",
            " Crane-Oxygen  vivid\tLUNAR ticket\n",
            "\u{ff43}rane-oxygen-vivid-lunar-ticket",
        ] {
            assert_eq!(read(typed).as_deref(), Ok(words), "{typed}");
        }
        for typed in ["crane oxygen vivid lunar", "crane oxygen vivid lunar tickets", "Crane", "a - b", "Two  Words"] {
            assert_eq!(read(typed).as_deref(), Ok(typed), "counts as typed");
        }
        assert_eq!(read(" \n"), Err(Error::Empty));
        assert_eq!(read(&"x".repeat(PASSPHRASE_BYTES_MAX)).map(|p| p.len()), Ok(PASSPHRASE_BYTES_MAX));
        assert_eq!(read(&"x".repeat(PASSPHRASE_BYTES_MAX + 1)), Err(Error::TooLong));
    }

    #[test]
    fn it_is_not_shown() {
        let entry = Some(Passphrase::generate(3));
        assert_eq!(format!("{entry:?}"), "Some(Passphrase(..))");
    }
}
