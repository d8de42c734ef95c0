//! Texts of others, as they are shown.

use std::borrow::Cow;
use std::sync::Arc;

use egui::text::{LayoutJob, TextWrapping};
use egui::{Color32, FontId, Galley, Painter};

use crate::protocol::roster::names;

/// Only changes how the character before it looks, or joins two into one; the interface's fonts can do neither.
fn is_modifier(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}')
}

/// A text without marks that turn the direction of writing or cannot be seen, line ends and tabs kept as they look.
pub fn visible(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c == '\t' || is_modifier(c) || (c != '\n' && names::is_hidden(c));
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        '\t' => Some(' '),
        c if odd(c) => None,
        c => Some(c),
    };
    Cow::Owned(text.chars().filter_map(shown).collect())
}

/// Whether a text is one to three emoji and nothing else.
pub fn is_emoji(text: &str) -> bool {
    let mut rest = text.trim();
    let mut count = 0;
    while !rest.is_empty() && count <= 3 {
        let longest = (1..=rest.len().min(40)).rev().filter(|end| rest.is_char_boundary(*end));
        let Some(end) = longest.into_iter().find(|end| emojis::get(&rest[..*end]).is_some()) else { return false };
        (rest, count) = (rest[end..].trim_start(), count + 1);
    }
    (1..=3).contains(&count)
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Words.
    Plain(&'a str),
    /// An address on the web.
    Link(&'a str),
}

/// A text as words and links: `http://` and `https://` up to white space, closing punctuation left out.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut plain, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = text[at..].find("http") {
        let begin = at + found;
        let rest = &text[begin..];
        let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme));
        let bounded = text[..begin].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let link = rest[..end].trim_end_matches([
            '.', ',', ';', ':', '!', '?', ')', ']', '}', '>', '"', '\'', '。', '，', '）', '：', '；', '！', '？',
        ]);
        if scheme.is_none_or(|scheme| link.len() <= scheme.len()) || !bounded {
            at = begin + 4;
            continue;
        }
        if plain < begin {
            parts.push(Part::Plain(&text[plain..begin]));
        }
        parts.push(Part::Link(link));
        at = begin + link.len();
        plain = at;
    }
    if plain < text.len() {
        parts.push(Part::Plain(&text[plain..]));
    }
    parts
}

/// Lays out one line that ends in an ellipsis where it would be wider than `width`.
pub fn one_line(painter: &Painter, text: &str, size: f32, colour: Color32, width: f32) -> Arc<Galley> {
    let mut job = LayoutJob::simple_singleline(visible(text).into_owned(), FontId::proportional(size), colour);
    job.wrap = TextWrapping { max_rows: 1, break_anywhere: true, ..TextWrapping::truncate_at_width(width.max(0.0)) };
    painter.layout_job(job)
}

/// Lays out centred text of at most `rows` rows.
pub fn wrapped(painter: &Painter, text: &str, size: f32, colour: Color32, width: f32, rows: usize) -> Arc<Galley> {
    let mut job = LayoutJob::simple(visible(text).into_owned(), FontId::proportional(size), colour, width.max(1.0));
    job.wrap.max_rows = rows.max(1);
    job.halign = egui::Align::Center;
    painter.layout_job(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_hides_text_is_not_shown() {
        for (text, shown) in [
            ("hi\nyou", "hi\nyou"),
            ("\u{202e}gnirts\u{0}", "gnirts"),
            ("a\tb", "a b"),
            ("👍🏽 ❤\u{fe0f}", "👍 ❤"),
            ("日本語", "日本語"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
        }
        assert!(matches!(visible("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn links_end_where_a_reader_ends_them() {
        use Part::{Link, Plain};
        for (text, expected) in [
            ("see https://a.b/c?d=1, then", vec![Plain("see "), Link("https://a.b/c?d=1"), Plain(", then")]),
            ("(http://a.b)", vec![Plain("("), Link("http://a.b"), Plain(")")]),
            ("http:// https:// xhttp://a", vec![Plain("http:// https:// xhttp://a")]),
            ("https://a.b", vec![Link("https://a.b")]),
            ("ftp://a file:///etc javascript:x", vec![Plain("ftp://a file:///etc javascript:x")]),
            ("", vec![]),
        ] {
            assert_eq!(parts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_few_emoji_and_nothing_else() {
        for text in ["👍", "🎉🎉🎉", " ❤️ ", "👩‍👩‍👧‍👦", "👍🏽👍"] {
            assert!(is_emoji(text), "{text:?}");
        }
        for text in ["", "a", "👍 ok", "🎉🎉🎉🎉", "1"] {
            assert!(!is_emoji(text), "{text:?}");
        }
    }
}
