//! Letters of five by seven dots, for the name and the clock of the test card.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Dots of a letter across and down.
pub(super) const GLYPH: (usize, usize) = (5, 7);
/// Dots from one letter to the next.
pub(super) const ADVANCE: usize = 6;

/// The printable characters of ASCII from space on: rows from the top, five bits each, the highest bit top left.
const GLYPHS: [u64; 95] = [
    0x000000000,
    0x108421004,
    0x294000000,
    0x295f57d4a,
    0x11f4717c4,
    0x632222263,
    0x32544564d,
    0x108000000,
    0x088842082,
    0x208210888,
    0x009575480,
    0x0084f9080,
    0x000001844,
    0x0000f8000,
    0x0000000c6,
    0x042222210,
    0x3a33ae62e,
    0x11842108e,
    0x3a211111f,
    0x7c441062e,
    0x08ca97c42,
    0x7e1e0862e,
    0x1910f462e,
    0x7c2222108,
    0x3a317462e,
    0x3a317844c,
    0x00c6018c0,
    0x00c601844,
    0x088882082,
    0x001f07c00,
    0x208208888,
    0x3a2111004,
    0x3a37ade0e,
    0x3a31fc631,
    0x7a31f463e,
    0x3a308422e,
    0x7a318c63e,
    0x7e10f421f,
    0x7e10f4210,
    0x3a30bc62f,
    0x4631fc631,
    0x38842108e,
    0x1c4210a4c,
    0x4654c5251,
    0x42108421f,
    0x4775ac631,
    0x47359c631,
    0x3a318c62e,
    0x7a31f4210,
    0x3a318d64d,
    0x7a31f5251,
    0x3e107043e,
    0x7c8421084,
    0x46318c62e,
    0x46318c544,
    0x4631ad771,
    0x462a22a31,
    0x462a21084,
    0x7c222221f,
    0x39084210e,
    0x420820821,
    0x38421084e,
    0x115100000,
    0x00000001f,
    0x208000000,
    0x000e0be2f,
    0x421e8c63e,
    0x000f8420f,
    0x042f8c62f,
    0x000e8fe0e,
    0x1928e2108,
    0x01f18bc2e,
    0x421e8c631,
    0x100c2108e,
    0x080610a4c,
    0x4212a6292,
    0x30842108e,
    0x001aad6b5,
    0x001e8c631,
    0x000e8c62e,
    0x001e8fa10,
    0x000f8bc21,
    0x0016cc210,
    0x000f8383e,
    0x211c42126,
    0x00118c66d,
    0x00118c544,
    0x00118d6aa,
    0x001151151,
    0x00118bc2e,
    0x001f1111f,
    0x088441082,
    0x108421084,
    0x208411088,
    0x0009ac800,
];

/// Whether the dot at column `x`, row `y` of a character is set. Characters without a glyph look like `?`.
pub(super) fn dot(character: char, x: usize, y: usize) -> bool {
    let index = (character as usize).wrapping_sub(32);
    let glyph = GLYPHS.get(index).unwrap_or(&GLYPHS['?' as usize - 32]);
    x < GLYPH.0 && y < GLYPH.1 && glyph >> (34 - (y * GLYPH.0 + x)) & 1 == 1
}

/// `text` as it can be drawn: accents dropped, at most `most` characters, cut ones marked by two dots.
pub(super) fn drawable(text: &str, most: usize) -> String {
    let plain = || text.nfd().filter(|c| !is_combining_mark(*c) && !c.is_control());
    match plain().count() <= most {
        true => plain().collect(),
        false => plain().take(most.saturating_sub(2)).chain("..".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_looks_different() {
        for (i, a) in GLYPHS.iter().enumerate() {
            assert!(a >> 35 == 0);
            for (j, b) in GLYPHS.iter().enumerate().skip(i + 1) {
                assert_ne!(a, b, "{} and {}", i + 32, j + 32);
            }
        }
    }

    #[test]
    fn dots_are_where_the_letter_has_them() {
        let rows: Vec<String> =
            (0..7).map(|y| (0..5).map(|x| if dot('R', x, y) { '#' } else { '.' }).collect()).collect();
        assert_eq!(rows, ["####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"]);
        assert!(!dot('R', 5, 0) && !dot('R', 0, 7));
        assert!((0..7).all(|y| (0..5).all(|x| dot('\u{4e2d}', x, y) == dot('?', x, y))));
    }

    #[test]
    fn names_become_drawable() {
        for (name, shown) in [
            ("Ada", "Ada"),
            ("Zo\u{eb} \u{c5}s", "Zoe As"),
            ("a\u{7}b", "ab"),
            ("exactly ten", "exactly ten"),
            ("one more here", "one more .."),
        ] {
            assert_eq!(drawable(name, 11), shown);
        }
    }
}
