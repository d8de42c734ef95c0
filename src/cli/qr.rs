//! A QR code in the terminal: two modules in each character, white on black whatever the terminal's colours are.

use crate::conference::qr::Code;

/// Columns of the smallest terminal it is drawn for.
const COLUMNS_MAX: usize = 80;
/// Modules left free on each side.
const QUIET: usize = 4;

const WHITE_ON_BLACK: &str = "\u{1b}[97;40m";
const PLAIN: &str = "\u{1b}[0m";

/// `text` as lines of a terminal; `None` when it is too long to be drawn in one.
pub fn drawn(text: &str) -> Option<String> {
    let code = Code::of(text)?;
    let side = code.side + 2 * QUIET;
    if side > COLUMNS_MAX {
        return None;
    }
    // What is drawn is white: the light modules.
    let light = |x: usize, y: usize| y < side && !(x >= QUIET && y >= QUIET && code.is_dark(x - QUIET, y - QUIET));
    let character = |x, y| match (light(x, y), light(x, y + 1)) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    };
    let row = |y| (0..side).map(|x| character(x, y)).collect::<String>();
    Some((0..side).step_by(2).map(|y| format!("{WHITE_ON_BLACK}{}{PLAIN}\n", row(y))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_fits_a_terminal_and_a_book_does_not() {
        let invite = format!("roundtable:Standup?id={}&key={}", "0f".repeat(16), "cranes-oxygen-vivid-lunar-ticket");
        let lines: Vec<usize> = drawn(&invite)
            .unwrap()
            .lines()
            .map(|l| l.strip_prefix(WHITE_ON_BLACK).and_then(|l| l.strip_suffix(PLAIN)).unwrap().chars().count())
            .collect();
        assert!(lines.iter().all(|&n| n == lines[0] && n <= COLUMNS_MAX), "{lines:?}");
        assert_eq!(lines.len(), lines[0].div_ceil(2));
        assert!(lines.len() <= 29, "{} lines", lines.len());
        assert_eq!(drawn(&"x".repeat(1_000)), None);
    }
}
