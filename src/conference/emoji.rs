//! Emoji by name.

/// `:tea:` and the like become what they name.
pub fn with_emoji(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(':') {
        let (before, after) = (&rest[..begin], &rest[begin + 1..]);
        out.push_str(before);
        let code = after.split_once(':').filter(|(code, _)| !code.is_empty() && !code.contains(char::is_whitespace));
        match code.and_then(|(code, tail)| Some((emojis::get_by_shortcode(code)?, tail))) {
            Some((emoji, tail)) => {
                out.push_str(emoji.as_str());
                rest = tail;
            }
            None => {
                out.push(':');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcodes_become_emoji_and_nothing_else_changes() {
        for (text, shown) in [
            ("tea? :tea:", "tea? 🍵"),
            (":tea::tea:", "🍵🍵"),
            ("at 10:30: nothing: here :nothing_such:", "at 10:30: nothing: here :nothing_such:"),
            ("http://a:80/:tea:", "http://a:80/🍵"),
            ("::", "::"),
            (": tea:", ": tea:"),
            ("", ""),
        ] {
            assert_eq!(with_emoji(text), shown);
        }
    }
}
