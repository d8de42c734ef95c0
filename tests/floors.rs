//! The rules of the source tree, held by reading it: which room may import which, which names are banned where,
//! how long a file may be, and that every file is part of the program.
//!
//! The rules are the tables below; everything after them is a small reader of Rust (comments and literals
//! skipped, `mod`, `use` trees and paths understood). It must never guess: what it cannot place is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

/// Rooms and the floor each stands on. A file imports only from lower floors or from its own room.
const FLOORS: &[(&str, u8)] = &[
    ("time", 0),
    ("limits", 0),
    ("wire", 1),
    ("media", 1),
    ("protocol", 2),
    ("device", 2),
    ("pipeline", 3),
    ("conference", 4),
    ("ui", 5),
    ("cli", 6),
    ("main", 7),
];

/// Crates that stand for a device, a codec or a cipher, and in how many files each may be named; tests may name them too.
const ONE_PLACE: &[(&str, usize)] = &[
    ("alsa", 1),
    ("blake3", 1),
    ("arboard", 1),
    ("chacha20poly1305", 1),
    ("cpal", 2),
    ("ed25519_dalek", 1),
    ("egui_software_backend", 1),
    ("fontdb", 1),
    ("getrandom", 1),
    ("hkdf", 1),
    // The key schedule, and the packets of SRTP.
    ("hmac", 2),
    ("hound", 1),
    ("if_addrs", 1),
    ("image", 1),
    ("jiff", 1),
    ("minifb", 2),
    ("nokhwa", 1),
    ("opus", 1),
    ("qrcode", 1),
    ("quinn_udp", 2),
    ("reed_solomon_simd", 1),
    ("rubato", 1),
    ("rusqlite", 1),
    ("raw_window_handle", 1),
    ("tar", 1),
    ("skrifa", 1),
    ("sonora", 1),
    ("turbojpeg", 1),
    ("x11rb", 1),
    ("y4m", 1),
];

/// Types and macros that no state machine in `protocol/` may name.
const BANNED_IN_PROTOCOL: &[&str] = &[
    "Condvar",
    "Instant",
    "Mutex",
    "RwLock",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ThreadRng",
    "UdpSocket",
    "eprintln",
    "getrandom",
    "println",
];

/// Modules and crates that no state machine in `protocol/` may reach into.
const BANNED_MODULES_IN_PROTOCOL: &[&str] =
    &["env", "fs", "mio", "process", "quinn_udp", "rand", "socket2", "thread", "tracing"];

/// Names that read the operating system's clock, and the one file that may.
const CLOCK_NAMES: &[&str] = &["Instant", "SystemTime"];
const CLOCK_FILE: &str = "device/clock.rs";

/// Where `unsafe` may stand: files, or folders ending in a slash.
const UNSAFE_PLACES: &[&str] =
    &["device/net/", "device/priority.rs", "media/jpeg/turbo.rs", "media/opus/deep.rs", "ui/locale.rs"];

/// Longest file, without its test modules.
const FILE_LINES_MAX: usize = 600;

/// How far above an `unsafe` its reason may begin.
const SAFETY_LINES_ABOVE_MAX: usize = 8;

#[test]
fn the_source_tree_keeps_its_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    read_tree(&root, &root, &mut files);
    assert!(files.contains_key("lib.rs") && files.contains_key("main.rs"), "no source tree at {}", root.display());
    let broken = check(&files);
    assert!(broken.is_empty(), "{} rule(s) broken:\n{}", broken.len(), broken.join("\n"));
}

/// Every bound of the program is named by a test that holds something against it.
#[test]
fn every_limit_is_named_by_a_test() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut sources, mut tests) = (BTreeMap::new(), BTreeMap::new());
    read_tree(&package.join("src"), &package.join("src"), &mut sources);
    read_tree(&package.join("tests"), &package.join("tests"), &mut tests);
    let names = constants(&sources["limits.rs"]);
    assert!(names.len() > 50, "the table of limits is not where it was: {names:?}");
    let mut named: BTreeSet<String> = tests.values().flat_map(|text| tokens(text)).map(|token| token.text).collect();
    for (name, text) in &sources {
        let source = Source::read(name, text);
        // A folder called `tests` is a test as a file of that name is.
        let whole = name.contains("/tests/");
        let in_tests = |i: usize| whole || source.test_tokens.iter().any(|part| part.contains(&i));
        let words = source.tokens.iter().enumerate().filter(|(i, _)| in_tests(*i)).map(|(_, token)| token.text.clone());
        named.extend(words);
    }
    let unnamed: Vec<&String> = names.iter().filter(|name| !named.contains(*name)).collect();
    assert!(unnamed.is_empty(), "no test names {unnamed:?}");
}

/// Names of the public constants of a file.
fn constants(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let is_constant = |w: &&[Token]| w[0].text == "pub" && w[1].text == "const";
    tokens.windows(3).filter(is_constant).map(|w| w[2].text.clone()).collect()
}

fn read_tree(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("readable source folder") {
        let path = entry.expect("readable entry").path();
        if path.is_dir() {
            read_tree(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).expect("inside the root").to_string_lossy().replace('\\', "/");
            files.insert(name, std::fs::read_to_string(&path).expect("readable source file"));
        }
    }
}

/// Every broken rule as one line of text, file and line first. `files` maps the path below `src/` to the text.
fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let sources: BTreeMap<&str, Source> =
        files.iter().map(|(name, text)| (name.as_str(), Source::read(name, text))).collect();
    let mut broken = Vec::new();
    for (name, source) in &sources {
        check_imports(name, source, &mut broken);
        check_names(name, source, &mut broken);
        check_unsafe(name, source, &files[*name], &mut broken);
        check_length(name, source, &files[*name], &mut broken);
    }
    check_one_place(&sources, &mut broken);
    check_reachable(&sources, &mut broken);
    broken
}

fn check_imports(name: &str, source: &Source, broken: &mut Vec<String>) {
    let Some(own) = room_of(name) else { return };
    let Some(own_floor) = floor_of(own) else {
        broken.push(format!("src/{name}: `{own}` is on no floor; give it one in tests/floors.rs"));
        return;
    };
    for path in &source.crate_paths {
        let Some(other) = path.segments.first().map(String::as_str) else {
            broken.push(format!("src/{name}:{}: imports the whole crate; name the room", path.line));
            continue;
        };
        match floor_of(other) {
            None => broken.push(format!("src/{name}:{}: `crate::{other}` is no room of the floors", path.line)),
            Some(floor) if other == own || floor < own_floor || (floor == 0 && own_floor == 0) => {}
            Some(floor) => broken.push(format!(
                "src/{name}:{}: {own} (floor {own_floor}) imports {other} (floor {floor}): only lower floors and the own folder",
                path.line
            )),
        }
    }
}

fn check_names(name: &str, source: &Source, broken: &mut Vec<String>) {
    let protocol = name.starts_with("protocol/");
    for (i, token) in source.tokens.iter().enumerate() {
        let word = token.text.as_str();
        if protocol {
            let module = BANNED_MODULES_IN_PROTOCOL.contains(&word) && source.is_path_step(i);
            if module || BANNED_IN_PROTOCOL.contains(&word) {
                broken.push(format!(
                    "src/{name}:{}: `{word}`: protocol/ owns no clock, socket, thread, lock, log or randomness",
                    token.line
                ));
                continue;
            }
        }
        if name != CLOCK_FILE && CLOCK_NAMES.contains(&word) {
            broken.push(format!("src/{name}:{}: `{word}`: only src/{CLOCK_FILE} reads the system's time", token.line));
        }
    }
}

fn check_unsafe(name: &str, source: &Source, text: &str, broken: &mut Vec<String>) {
    let allowed = UNSAFE_PLACES.iter().any(|place| name == *place || (place.ends_with('/') && name.starts_with(place)));
    let lines: Vec<&str> = text.lines().collect();
    for (i, token) in source.tokens.iter().enumerate() {
        let lint = token.text == "unsafe_code";
        if token.text != "unsafe" && !lint {
            continue;
        }
        if lint && source.word(i.wrapping_sub(2)) == "deny" {
            continue;
        }
        if !allowed {
            broken.push(format!("src/{name}:{}: `{}` outside the tested list of files", token.line, token.text));
        } else if !lint {
            let first = (token.line - 1).saturating_sub(SAFETY_LINES_ABOVE_MAX);
            if !lines[first..token.line].iter().any(|l| l.contains("SAFETY") || l.contains("# Safety")) {
                broken.push(format!("src/{name}:{}: `unsafe` without a SAFETY reason above it", token.line));
            }
        }
    }
    if name == "lib.rs" && !text.contains("#![deny(unsafe_code)]") {
        broken.push("src/lib.rs: `#![deny(unsafe_code)]` is missing".into());
    }
}

fn check_length(name: &str, source: &Source, text: &str, broken: &mut Vec<String>) {
    let lines = text.lines().count().saturating_sub(source.test_lines);
    if lines > FILE_LINES_MAX {
        broken.push(format!("src/{name}: {lines} lines without tests; {FILE_LINES_MAX} are the most: split the file"));
    }
}

fn check_one_place(sources: &BTreeMap<&str, Source>, broken: &mut Vec<String>) {
    for (krate, most) in ONE_PLACE {
        let places: Vec<String> = sources
            .iter()
            .filter_map(|(name, source)| source.names_crate(krate).map(|line| format!("src/{name}:{line}")))
            .collect();
        if places.len() > *most {
            broken.push(format!(
                "crate `{krate}` is named in {} files, {most} allowed: {}",
                places.len(),
                places.join(", ")
            ));
        }
    }
}

fn check_reachable(sources: &BTreeMap<&str, Source>, broken: &mut Vec<String>) {
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = ["lib.rs", "main.rs"].into_iter().filter(|n| sources.contains_key(n)).collect();
    while let Some(name) = open.pop() {
        if !reached.insert(name) {
            continue;
        }
        for child in &sources[name].children {
            let path = child.segments.join("/");
            let found = [format!("{path}.rs"), format!("{path}/mod.rs")];
            match sources.keys().find(|known| found.iter().any(|f| f == *known)) {
                Some(file) => open.push(file),
                None => broken.push(format!("src/{name}:{}: `mod {path}` has no file", child.line)),
            }
        }
    }
    for name in sources.keys().filter(|n| !reached.contains(*n)) {
        broken.push(format!("src/{name}: dead file: no `mod` line leads to it"));
    }
}

/// The first folder or file name below `src/`; `None` for `lib.rs`, which only lists the rooms.
fn room_of(name: &str) -> Option<&str> {
    let first = name.split('/').next().unwrap_or(name);
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "lib").then_some(room)
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// A path and the line on which it begins.
struct Located {
    line: usize,
    segments: Vec<String>,
}

/// What the rules need to know of one file.
struct Source {
    tokens: Vec<Token>,
    /// Paths into this crate, from its root: `use` trees expanded, `super` resolved.
    crate_paths: Vec<Located>,
    /// `mod name;` lines, from the crate's root.
    children: Vec<Located>,
    /// Names that paths into this crate, or `mod` lines, bring into this file.
    own_names: BTreeSet<String>,
    /// Lines of `#[cfg(test)] mod name { .. }` blocks; all of them for a file called `tests.rs`.
    test_lines: usize,
    /// Where those blocks stand among the tokens.
    test_tokens: Vec<Range<usize>>,
}

impl Source {
    fn read(name: &str, text: &str) -> Source {
        let mut source = Source {
            tokens: tokens(text),
            crate_paths: Vec::new(),
            children: Vec::new(),
            own_names: BTreeSet::new(),
            test_lines: 0,
            test_tokens: Vec::new(),
        };
        source.walk(module_of(name), name == "main.rs");
        if name.ends_with("/tests.rs") {
            source.test_lines = text.lines().count();
            source.test_tokens = std::iter::once(0..source.tokens.len()).collect();
        }
        source
    }

    fn word(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |t| t.text.as_str())
    }

    /// Whether the word at `i` stands in a path: `name::` or `::name`.
    fn is_path_step(&self, i: usize) -> bool {
        self.word(i + 1) == "::" || self.word(i.wrapping_sub(1)) == "::"
    }

    fn walk(&mut self, module: Vec<String>, binary: bool) {
        // Open braces; a named one is an inline module, with the token its test attribute begins at, if it has one.
        let mut braces: Vec<(Option<String>, Option<usize>)> = Vec::new();
        let mut test_attribute: Option<usize> = None;
        let mut i = 0;
        while i < self.tokens.len() {
            let line = self.tokens[i].line;
            match self.word(i) {
                "#" if self.joined(i, 7) == "#[cfg(test)]" => {
                    test_attribute.get_or_insert(i);
                    i += 6;
                }
                "mod" if self.word(i + 2) == "{" => {
                    braces.push((Some(self.word(i + 1).to_owned()), test_attribute.take()));
                    i += 2;
                }
                "mod" if self.word(i + 2) == ";" => {
                    let mut segments = module.clone();
                    segments.extend(braces.iter().filter_map(|b| b.0.clone()));
                    segments.push(self.word(i + 1).to_owned());
                    self.own_names.insert(self.word(i + 1).to_owned());
                    self.children.push(Located { line, segments });
                    test_attribute = None;
                    i += 2;
                }
                "{" => {
                    braces.push((None, None));
                    test_attribute = None;
                }
                ";" => test_attribute = None,
                "}" => {
                    if let Some((_, Some(first))) = braces.pop() {
                        self.test_lines += line - self.tokens[first].line + 1;
                        self.test_tokens.push(first..i);
                    }
                }
                start @ ("crate" | "super" | "self" | "roundtable") if self.word(i + 1) == "::" => {
                    let foreign = start == "roundtable" && !binary;
                    if !foreign && self.word(i.wrapping_sub(1)) != "::" {
                        let mut here = module.clone();
                        here.extend(braces.iter().filter_map(|b| b.0.clone()));
                        self.path_from(i, here);
                    }
                }
                _ => {}
            }
            i += 1;
        }
    }

    /// Takes in the path or `use` tree that begins at token `i` with `crate`, `self`, `super` or the crate's name.
    fn path_from(&mut self, i: usize, mut here: Vec<String>) {
        let line = self.tokens[i].line;
        let mut at = i;
        let into_crate = match self.word(at) {
            "crate" | "roundtable" => {
                here.clear();
                at += 2;
                true
            }
            "self" if self.word(at + 2) != "super" => false,
            _ => {
                if self.word(at) == "self" {
                    at += 2;
                }
                while self.word(at) == "super" && self.word(at + 1) == "::" {
                    here.pop();
                    at += 2;
                }
                true
            }
        };
        if !into_crate {
            at += 2;
        }
        let mut leaves = Vec::new();
        self.tree(&mut at, &here, &mut leaves);
        for (segments, bound) in leaves {
            self.own_names.insert(bound);
            if into_crate {
                self.crate_paths.push(Located { line, segments });
            }
        }
    }

    /// Reads `a::b::{c, d::*} as e` from token `at` on; leaves are full paths with the name each one binds.
    fn tree(&self, at: &mut usize, prefix: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
        let mut path = prefix.to_vec();
        loop {
            match self.word(*at) {
                "{" => {
                    *at += 1;
                    while !matches!(self.word(*at), "}" | "") {
                        self.tree(at, &path, leaves);
                        if self.word(*at) == "," {
                            *at += 1;
                        }
                    }
                    *at += 1;
                    return;
                }
                "*" => {
                    *at += 1;
                    leaves.push((path, String::new()));
                    return;
                }
                "self" => *at += 1,
                word if is_identifier(word) => {
                    path.push(word.to_owned());
                    *at += 1;
                }
                // A turbofish or an operator: the path is over. One token is taken, so that a tree always moves on.
                _ => {
                    *at += 1;
                    break;
                }
            }
            if self.word(*at) != "::" {
                break;
            }
            *at += 1;
        }
        let mut bound = path.last().cloned().unwrap_or_default();
        if self.word(*at) == "as" {
            bound = self.word(*at + 1).to_owned();
            *at += 2;
        }
        leaves.push((path, bound));
    }

    /// The line on which this file names the external crate, if it does.
    fn names_crate(&self, krate: &str) -> Option<usize> {
        let shadowed = self.own_names.contains(krate);
        self.tokens.iter().enumerate().find_map(|(i, token)| {
            if token.text != krate || self.test_tokens.iter().any(|t| t.contains(&i)) {
                return None;
            }
            let before = self.word(i.wrapping_sub(1));
            let rooted = before == "::" && !is_identifier(self.word(i.wrapping_sub(2)));
            let imported = before == "use" || (before == "crate" && self.word(i.wrapping_sub(2)) == "extern");
            let used = self.word(i + 1) == "::" && before != "::" && !shadowed;
            (rooted || (imported && !shadowed) || used).then_some(token.line)
        })
    }

    fn joined(&self, i: usize, count: usize) -> String {
        (i..i + count).fold(String::new(), |mut text, k| {
            let _ = write!(text, "{}", self.word(k));
            text
        })
    }
}

/// `protocol/keys.rs` -> `[protocol, keys]`; `mod.rs`, `lib.rs` and `main.rs` stand for their folder.
fn module_of(name: &str) -> Vec<String> {
    let mut segments: Vec<String> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(segments.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        segments.pop();
    }
    segments
}

/// A word, a `::` or one other character, and the line it stands on (from 1).
struct Token {
    text: String,
    line: usize,
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The tokens of Rust source: comments, string and character literals, numbers and lifetimes left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line, mut found) = (0, 1, Vec::new());
    while i < chars.len() {
        let start = i;
        match chars[i] {
            '/' if at(i + 1) == '/' => i = skip_while(&chars, i, |c| c != '\n'),
            '/' if at(i + 1) == '*' => i = skip_block_comment(&chars, i),
            '"' => i = skip_quoted(&chars, i + 1, '"'),
            // A lifetime has no closing quote right behind its first character; a character literal has.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => i = skip_quoted(&chars, i + 1, '\''),
            '\'' => i = skip_while(&chars, i + 1, is_word),
            c if c.is_ascii_digit() => i = skip_while(&chars, i, is_word),
            c if is_word(c) => {
                i = skip_while(&chars, i, is_word);
                let word: String = chars[start..i].iter().collect();
                let raw = matches!(word.as_str(), "r" | "br" | "cr");
                if raw && (at(i) == '"' || (at(i) == '#' && matches!(at(i + 1), '#' | '"'))) {
                    i = skip_raw_string(&chars, i);
                } else if matches!(word.as_str(), "b" | "c") && at(i) == '"' {
                    i = skip_quoted(&chars, i + 1, '"');
                } else if word == "b" && at(i) == '\'' {
                    i = skip_quoted(&chars, i + 1, '\'');
                } else {
                    found.push(Token { text: word, line });
                }
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                found.push(Token { text: "::".into(), line });
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    found.push(Token { text: c.into(), line });
                }
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip_while(chars: &[char], mut i: usize, keep: impl Fn(char) -> bool) -> usize {
    while i < chars.len() && keep(chars[i]) {
        i += 1;
    }
    i
}

/// From behind the opening quote to behind the closing one.
fn skip_quoted(chars: &[char], mut i: usize, quote: char) -> usize {
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// From the first `#` or `"` of a raw string to behind its end.
fn skip_raw_string(chars: &[char], i: usize) -> usize {
    let open = skip_while(chars, i, |c| c == '#');
    let hashes = open - i;
    let mut end = open + 1;
    while end < chars.len() {
        if chars[end] == '"' && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return end + 1 + hashes;
        }
        end += 1;
    }
    end
}

/// Block comments nest.
fn skip_block_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str =
        "#![deny(unsafe_code)]\npub mod device; pub mod media; pub mod protocol; pub mod time; pub mod wire;";

    /// Checks a small tree (the usual rooms, empty, with `files` over them) and returns what is broken.
    fn broken(files: &[(&str, &str)]) -> Vec<String> {
        let mut tree: BTreeMap<String, String> = [
            ("lib.rs", LIB),
            ("main.rs", "fn main() {}"),
            ("device/mod.rs", ""),
            ("media/mod.rs", ""),
            ("protocol/mod.rs", ""),
            ("time.rs", ""),
            ("wire/mod.rs", ""),
        ]
        .map(|(n, t)| (n.to_owned(), t.to_owned()))
        .into();
        tree.extend(files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())));
        check(&tree)
    }

    #[track_caller]
    fn passes(file: &str, text: &str) {
        assert_eq!(broken(&[(file, text)]), Vec::<String>::new());
    }

    #[track_caller]
    fn fails(file: &str, text: &str, message: &str) {
        let found = broken(&[(file, text)]);
        assert_eq!(found.len(), 1, "one rule broken, found {found:#?}");
        assert!(found[0].contains(message), "{:?} does not say {message:?}", found[0]);
    }

    #[test]
    fn lower_floors_and_the_own_folder_may_be_imported() {
        passes("protocol/mod.rs", "use crate::{time::Timestamp, wire::{self, rtp}};\nfn f() { crate::protocol::g() }");
        passes("main.rs", "fn main() { roundtable::device::run() }");
    }

    #[test]
    fn higher_floors_and_neighbours_may_not_be_imported() {
        fails(
            "protocol/mod.rs",
            "use crate::device::Clock;",
            "src/protocol/mod.rs:1: protocol (floor 2) imports device",
        );
        fails("wire/mod.rs", "\nuse crate::media::Picture;", "src/wire/mod.rs:2: wire (floor 1) imports media");
        fails("time.rs", "fn f() { crate::wire::g() }", "time (floor 0) imports wire (floor 1)");
        fails("media/mod.rs", "use crate::{time, protocol::{a as b}};\n", "protocol");
    }

    #[test]
    fn super_and_groups_are_followed() {
        let nested = [("protocol/mod.rs", "mod keys;"), ("protocol/keys.rs", "use super::super::device::Clock;")];
        assert!(broken(&nested)[0].contains("imports device"));
        passes("protocol/mod.rs", "mod tests { use super::*; fn f() { super::g() } }");
        let inline = "mod inner { use super::super::media; }";
        fails("wire/mod.rs", inline, "imports media");
    }

    #[test]
    fn a_group_breaks_the_rule_once_for_each_of_its_leaves() {
        assert_eq!(broken(&[("wire/mod.rs", "use crate::{media::{a, b}, protocol::*};")]).len(), 3);
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        passes(
            "protocol/mod.rs",
            "// crate::device\n/* crate::device /* Mutex */ */ const A: &str = r#\"crate::device \"Instant\"\"#;\n\
             const B: &[u8] = b\"Mutex\\\"\"; const C: char = '\"'; fn f<'a>(x: &'a str) -> char { '\\'' } // Instant",
        );
    }

    #[test]
    fn unknown_rooms_are_named() {
        fails("time.rs", "use crate::helpers::x;", "`crate::helpers` is no room");
        let files = [("lib.rs", &*format!("{LIB} mod utils;")), ("utils.rs", "")];
        assert!(broken(&files)[0].contains("`utils` is on no floor"));
    }

    #[test]
    fn protocol_has_no_clock_socket_thread_lock_log_or_randomness() {
        for text in [
            "use std::sync::Mutex;",
            "use std::net::UdpSocket;",
            "fn f() { std::thread::spawn(g) }",
            "fn f() { tracing::info!(\"x\") }",
            "use std::time::{Duration, Instant};",
            "fn f() { rand::random() }",
        ] {
            fails("protocol/mod.rs", text, "protocol/ owns no clock");
        }
        passes("protocol/mod.rs", "use std::net::SocketAddrV4; fn f(rand: u8, thread: u8) -> u8 { rand + thread }");
    }

    #[test]
    fn only_the_clock_reads_the_systems_time() {
        fails("media/mod.rs", "use std::time::Instant;", "only src/device/clock.rs");
        let clock = [("device/mod.rs", "pub mod clock;"), ("device/clock.rs", "use std::time::{Instant, SystemTime};")];
        assert_eq!(broken(&clock), Vec::<String>::new());
    }

    #[test]
    fn unsafe_stands_only_in_the_listed_files_with_its_reason() {
        fails("wire/mod.rs", "fn f() { unsafe { g() } }", "outside the tested list");
        fails("wire/mod.rs", "#![allow(unsafe_code)]", "outside the tested list");
        let tree = |text| {
            broken(&[("ui/mod.rs", "mod locale;"), ("ui/locale.rs", text), ("lib.rs", &*format!("{LIB} mod ui;"))])
        };
        assert_eq!(tree("#![allow(unsafe_code)]\n// SAFETY: g has no conditions.\nfn f() { unsafe { g() } }"), [""; 0]);
        assert!(tree("fn f() { unsafe { g() } }")[0].contains("without a SAFETY reason"));
        assert!(broken(&[("lib.rs", &LIB.replace("#![deny(unsafe_code)]", ""))])[0].contains("is missing"));
    }

    #[test]
    fn long_files_are_refused_and_their_tests_not_counted() {
        let code = "fn f() {}\n";
        passes("time.rs", &code.repeat(FILE_LINES_MAX));
        fails("time.rs", &code.repeat(FILE_LINES_MAX + 1), "601 lines without tests");
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", code.repeat(FILE_LINES_MAX), code.repeat(50));
        passes("time.rs", &tests);
        fails("time.rs", &tests.replace("#[cfg(test)]", ""), "split the file");
    }

    #[test]
    fn dead_files_and_missing_ones_are_named() {
        fails("wire/rtp.rs", "", "src/wire/rtp.rs: dead file");
        fails("wire/mod.rs", "mod rtp;", "`mod wire/rtp` has no file");
    }

    #[test]
    fn a_codec_is_named_in_one_file() {
        let codec = ("media/mod.rs", "pub mod opus;");
        let wrapper = ("media/opus.rs", "use opus::Encoder;");
        let user = ("device/mod.rs", "use crate::media::opus; fn f() { opus::g() }");
        assert_eq!(broken(&[codec, wrapper, user]), Vec::<String>::new(), "a module of the same name is another thing");
        let second = ("device/mod.rs", "fn f() { opus::Decoder::new() }");
        let found = broken(&[codec, wrapper, second]);
        assert!(found[0].contains("crate `opus` is named in 2 files, 1 allowed"), "{found:?}");
        let test = ("device/mod.rs", "#[cfg(test)]\nmod tests { fn f() { opus::Decoder::new() } }");
        assert_eq!(broken(&[codec, wrapper, test]), [""; 0], "a test may compare with the codec itself");
        let hidden = ("device/mod.rs", "use crate::media::opus; fn f() { ::opus::g() }");
        assert_eq!(broken(&[codec, wrapper, hidden]).len(), 1);
    }
}
