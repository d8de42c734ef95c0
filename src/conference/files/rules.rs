//! What is decided about files without anybody's state: what is taken unasked, where a path leads, which file is meant.

use std::path::{Path, PathBuf};

use super::super::view::FileView;
use crate::limits::{PICTURE_BYTES_MAX, VOICE_BYTES_MAX};

/// What is taken without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptRule {
    /// Voice messages, small pictures, and what people one always accepts from offer.
    #[default]
    Ask,
    /// Everything.
    All,
    /// Nothing.
    None,
}

/// A number of bytes as people say it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// What becomes of an offer before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// Taken, to where files go.
    Take,
    /// Taken, to where voice messages go.
    Hear,
    /// Not taken.
    Decline,
    /// The user decides.
    Ask,
}

impl AcceptRule {
    /// What becomes of an offer of so many bytes.
    pub fn decides(self, is_voice: bool, is_picture: bool, size: u64, trusted: bool) -> Unasked {
        match self {
            Self::All => Unasked::Take,
            Self::None => Unasked::Decline,
            Self::Ask if is_voice && size <= VOICE_BYTES_MAX => Unasked::Hear,
            Self::Ask if trusted || is_picture => Unasked::Take,
            Self::Ask => Unasked::Ask,
        }
    }
}

impl std::str::FromStr for AcceptRule {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ask" => Ok(Self::Ask),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

/// Whether a file is a picture that is taken unasked and shown among the lines: small, and nothing else by its name.
pub fn is_picture(kind: &str, name: &str, size: u64) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
    let fits = match kind {
        "image/jpeg" => matches!(&*extension, "jpg" | "jpeg"),
        "image/png" => extension == "png",
        _ => false,
    };
    fits && size <= PICTURE_BYTES_MAX
}

/// The folder a path means, and the name in it: what is no folder, in one that is there, is a name. What ends with a slash, and
/// what is nowhere, is a folder, to be made.
pub fn place(path: &Path) -> (PathBuf, Option<String>) {
    let slash = path.as_os_str().as_encoded_bytes().ends_with(std::path::MAIN_SEPARATOR_STR.as_bytes());
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    match (path.file_name(), parent) {
        (Some(name), Some(parent)) if !slash && !path.is_dir() && parent.is_dir() => {
            (parent.into(), Some(name.to_string_lossy().into_owned()))
        }
        _ => (path.into(), None),
    }
}

/// Whether files leave room for voice and video: when there is any in the conference, whether oneself takes part in that or
/// not.
pub fn leaves_room(own: usize, mut others: impl Iterator<Item = usize>) -> bool {
    own > 0 || others.any(|streams| streams > 0)
}

/// What a file is meant by: its id or the beginning of it, its number, or its name.
pub fn meant<'a>(files: &'a [FileView], which: &str, fits: impl Fn(&FileView) -> bool) -> Option<&'a FileView> {
    let which = which.trim();
    if which.is_empty() {
        return files.iter().rev().find(|file| fits(file));
    }
    let number = which.trim_start_matches('#').parse::<u64>().ok();
    let is = |file: &&FileView| {
        file.offer == which
            || Some(file.number) == number
            || file.name == which
            || (which.len() >= 8 && file.offer.starts_with(which))
    };
    files.iter().rev().find(|file| is(file) && fits(file)).or_else(|| files.iter().rev().find(is))
}

#[cfg(test)]
mod tests {
    use super::super::super::FileOffer;
    use super::super::super::view::FileState;
    use super::*;

    fn file(number: u64, offer: &str, name: &str, state: FileState) -> FileView {
        let facts = FileOffer {
            number,
            offer: offer.into(),
            from: "Ada".into(),
            member: String::new(),
            own: false,
            name: name.into(),
            size: 1,
            kind: String::new(),
            private: false,
            to: Vec::new(),
            voice: None,
        };
        FileView { facts, state, bytes: 0, bits_per_s: 0.0, recipients: Vec::new(), thumbnail: [].into() }
    }

    #[test]
    fn a_path_is_a_folder_or_a_name_in_one() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::write(at("there.txt"), "").unwrap();
        let named = |name: &str| (home.path().to_owned(), Some(name.to_owned()));
        assert_eq!(place(home.path()), (home.path().into(), None));
        assert_eq!(place(&at("new.txt")), named("new.txt"));
        assert_eq!(place(&at("there.txt")), named("there.txt"), "it gets a number");
        assert_eq!(place(&at("new/")), (at("new/"), None));
        assert_eq!(place(&at("no/such/new.txt")), (at("no/such/new.txt"), None));
        assert_eq!(place(Path::new("a.txt")), (".".into(), Some("a.txt".to_owned())));
        assert_eq!(place(Path::new("/")), ("/".into(), None));
        assert_eq!(place(&at("a/..")), (at("a/.."), None));
    }

    #[test]
    fn sizes_read_as_people_say_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_940, "9.9 kB"),
            (9_960, "10 kB"),
            (999_499, "999 kB"),
            (999_600, "1.0 MB"),
            (200_000_000, "200 MB"),
            (4_294_967_296, "4.3 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn files_are_meant_by_id_number_or_name() {
        let files = [
            file(1, "0123456789abcdef", "a.txt", FileState::Offered),
            file(2, "1123456789abcdef", "b.txt", FileState::Offered),
            file(3, "2123456789abcdef", "b.txt", FileState::Declined),
        ];
        let offered = |f: &FileView| f.state == FileState::Offered;
        let number = |which| meant(&files, which, offered).map(|f| f.number);
        assert_eq!(number(""), Some(2), "the newest that fits");
        assert_eq!(
            (number("1"), number("#1"), number("0123456789abcdef"), number("01234567")),
            (Some(1), Some(1), Some(1), Some(1))
        );
        assert_eq!((number("b.txt"), number("3"), number("0123"), number("c.txt")), (Some(2), Some(3), None, None));
    }

    #[test]
    fn files_leave_room_for_what_others_say_and_show() {
        let rows: [(usize, &[usize], bool); 5] =
            [(0, &[], false), (0, &[0, 0], false), (0, &[0, 2], true), (2, &[0], true), (2, &[2], true)];
        for (own, others, expected) in rows {
            assert_eq!(leaves_room(own, others.iter().copied()), expected, "{own} and {others:?}");
        }
    }

    #[test]
    fn small_pictures_are_what_their_names_say() {
        assert!(is_picture("image/jpeg", "a.JPG", PICTURE_BYTES_MAX) && is_picture("image/png", "a.b.png", 0));
        for (kind, name, size) in [
            ("image/jpeg", "a.jpg", PICTURE_BYTES_MAX + 1),
            ("image/jpeg", "a.sh", 1),
            ("image/png", "a.jpg", 1),
            ("image/svg+xml", "a.svg", 1),
            ("", "a.png", 1),
            ("image/png", "png", 1),
        ] {
            assert!(!is_picture(kind, name, size), "{kind} {name}");
        }
    }

    #[test]
    fn rules_are_words_and_voice_messages_are_heard_unasked() {
        let ask = |is_voice, size, trusted| AcceptRule::Ask.decides(is_voice, false, size, trusted);
        assert_eq!(ask(true, VOICE_BYTES_MAX, false), Unasked::Hear);
        assert_eq!(ask(true, VOICE_BYTES_MAX + 1, false), Unasked::Ask);
        assert_eq!((ask(false, 1, false), ask(false, 1, true)), (Unasked::Ask, Unasked::Take));
        assert_eq!(AcceptRule::None.decides(true, true, 1, true), Unasked::Decline);
        assert_eq!(AcceptRule::Ask.decides(false, true, 1, false), Unasked::Take, "a picture");
        assert_eq!("all".parse(), Ok(AcceptRule::All));
        assert_eq!("sometimes".parse::<AcceptRule>(), Err(()));
    }
}
