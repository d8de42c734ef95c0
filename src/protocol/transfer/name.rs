//! The name an object is stored under: whatever its sender calls it, a plain file in the folder for downloads.

use unicode_normalization::UnicodeNormalization;

use crate::limits::OBJECT_NAME_BYTES_MAX;
use crate::protocol::roster::names;

/// Stands for a name with nothing usable in it.
const NAMELESS: &str = "file";

/// Names that are devices on Windows, whatever follows their first dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// A name that is no path, hides nothing and names no device, as like `name` as can be: the last component without control
/// characters, marks that turn the direction of writing, what Windows does not allow in names, dots in front, dots and
/// spaces behind; at most [`OBJECT_NAME_BYTES_MAX`] bytes, the extension kept.
pub fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\', ':']).find(|part| !part.trim_matches([' ', '.']).is_empty()).unwrap_or("");
    let normal: String = last.nfc().filter(|&c| c == ' ' || !names::is_hidden(c)).collect();
    let plain: String = normal.chars().map(|c| if "<>\"|?*".contains(c) { '_' } else { c }).collect();
    let trimmed = plain.trim_start_matches([' ', '.']).trim_end_matches([' ', '.']);
    let mut safe = shortened(trimmed, OBJECT_NAME_BYTES_MAX);
    if names::fold(&safe).is_empty() {
        return NAMELESS.to_owned();
    }
    let stem = safe.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt"));
    if DEVICES.contains(&stem.as_str()) || (numbered && stem.ends_with(|c: char| c.is_ascii_digit())) {
        safe = shortened(&format!("_{safe}"), OBJECT_NAME_BYTES_MAX);
    }
    safe
}

/// The same name for the `n`th of those that have it: "a.txt", "a (1).txt", ..
pub fn numbered(name: &str, n: u32) -> String {
    if n == 0 {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let suffix = format!(" ({n})");
    let room = OBJECT_NAME_BYTES_MAX.saturating_sub(suffix.len() + extension.len());
    format!("{}{suffix}{extension}", beginning(stem, room))
}

/// Stem, and extension with its dot; "a.tar.gz" keeps both.
fn split(name: &str) -> (&str, &str) {
    let dot = name.rfind('.').filter(|at| *at > 0 && name.len() - at <= 16);
    let dot = dot.map(|at| name[..at].rfind(".tar").filter(|tar| *tar > 0 && tar + 4 == at).unwrap_or(at));
    dot.map_or((name, ""), |at| name.split_at(at))
}

fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    format!("{}{extension}", beginning(stem, most.saturating_sub(extension.len())))
}

/// The beginning of a text, at most so many bytes, with no space or dot behind.
fn beginning(text: &str, most: usize) -> &str {
    text[..text.floor_char_boundary(most)].trim_end_matches([' ', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_plain_ones() {
        for (name, expected) in [
            ("photo.jpg", "photo.jpg"),
            ("Übung 3.pdf", "Übung 3.pdf"),
            ("e\u{301}.txt", "é.txt"),
            ("", "file"),
            (".", "file"),
            ("..", "file"),
            ("...", "file"),
            (" ", "file"),
            ("/", "file"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\windows\\system32\\a.dll", "a.dll"),
            ("C:\\autoexec.bat", "autoexec.bat"),
            ("C:evil.txt", "evil.txt"),
            ("file.txt:stream", "stream"),
            ("dir/", "dir"),
            ("a/..", "a"),
            (".bashrc", "bashrc"),
            (".ssh/authorized_keys", "authorized_keys"),
            ("a\0b.txt", "ab.txt"),
            ("a\nb\r.txt", "ab.txt"),
            ("\u{1b}[2Ja.txt", "[2Ja.txt"),
            ("gpj.\u{202e}exe.txt", "gpj.exe.txt"),
            ("\u{feff}\u{200b}", "file"),
            ("trailing. . ", "trailing"),
            ("trailing.txt...", "trailing.txt"),
            ("what?<>|\"*.txt", "what_____\u{5f}.txt"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("nul .tar.gz", "_nul .tar.gz"),
            ("COM1", "_COM1"),
            ("lpt9.x", "_lpt9.x"),
            ("com10", "com10"),
            ("console", "console"),
            ("～.txt", "～.txt"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
    }

    #[test]
    fn whatever_comes_is_a_name_and_stays_the_same() {
        let long = "ü".repeat(300);
        for name in [long.as_str(), &format!("{long}.tar.gz"), &format!("a.{long}"), &".".repeat(500), "a. .b. ."] {
            let once = safe(name);
            assert!(!once.is_empty() && once.len() <= OBJECT_NAME_BYTES_MAX, "{once:?}");
            assert!(!once.contains(['/', '\\', ':', '\0']) && !once.starts_with('.') && !once.ends_with(['.', ' ']));
            assert_eq!(safe(&once), once);
            let next = numbered(&once, 12);
            assert!(next.len() <= OBJECT_NAME_BYTES_MAX && next != once, "{next:?}");
        }
        assert!(safe(&format!("{long}.tar.gz")).ends_with(".tar.gz"));
    }

    #[test]
    fn those_of_one_name_are_numbered() {
        for (name, second) in [
            ("a.txt", "a (1).txt"),
            ("a", "a (1)"),
            ("a.tar.gz", "a (1).tar.gz"),
            (".tar.gz", ".tar (1).gz"),
            ("v1.2 final report", "v1 (1).2 final report"),
        ] {
            assert_eq!(numbered(name, 0), name);
            assert_eq!(numbered(name, 1), second);
        }
    }
}
