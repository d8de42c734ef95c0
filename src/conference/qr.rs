//! A text as the modules of a QR code, for whoever draws them.

use qrcode::{Color, EcLevel, QrCode};

/// A QR code: a square of modules, the quiet zone around it not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Modules a side.
    pub side: usize,
    dark: Vec<bool>,
}

impl Code {
    /// The code of a text; `None` when it is too long for any.
    pub fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let dark = code.to_colors().iter().map(|colour| *colour == Color::Dark).collect();
        Some(Self { side: code.width(), dark })
    }

    /// Whether the module of this column and row is dark; beyond the code none is.
    pub fn is_dark(&self, column: usize, row: usize) -> bool {
        column < self.side && row < self.side && self.dark[row * self.side + column]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_finders_and_a_book_has_no_code() {
        let code = Code::of("roundtable:Standup").unwrap();
        let corner =
            |x, y| (0..7).all(|i| code.is_dark(x + i, y) && code.is_dark(x, y + i)) && !code.is_dark(x + 1, y + 1);
        assert!(corner(0, 0) && corner(code.side - 7, 0) && corner(0, code.side - 7));
        assert!(!code.is_dark(code.side, 0) && !code.is_dark(0, code.side));
        assert_eq!(Code::of(&"x".repeat(5_000)), None);
    }
}
