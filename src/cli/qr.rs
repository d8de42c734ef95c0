//! A QR code in the terminal: two modules in each character, white on black whatever the terminal's colours are.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Columns of the smallest terminal it is drawn for.
const COLUMNS_MAX: usize = 80;

const WHITE_ON_BLACK: &str = "\u{1b}[97;40m";
const PLAIN: &str = "\u{1b}[0m";

/// `text` as lines of a terminal; `None` when it is too long to be drawn in one.
pub fn drawn(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let quiet = 2 * 4;
    if code.width() + quiet > COLUMNS_MAX {
        return None;
    }
    // What is drawn is white: the light modules.
    let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Some(image.lines().map(|line| format!("{WHITE_ON_BLACK}{line}{PLAIN}\n")).collect())
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
