//! The line that is typed: earlier ones come again, names, commands and emoji are completed.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent};
use tui_input::backend::crossterm::EventHandler;
use tui_input::{Input, InputRequest};

use crate::limits::CHAT_TEXT_BYTES_MAX;

/// Earlier lines that come again.
const EARLIER_MAX: usize = 100;

/// The line under way.
#[derive(Debug, Default)]
pub struct Prompt {
    input: Input,
    earlier: Vec<String>,
    /// Which of the earlier lines is shown; as many as there are: none.
    recalled: usize,
    /// What the next Tab changes the completed word to.
    completing: Option<Completing>,
}

#[derive(Debug)]
struct Completing {
    begin: usize,
    candidates: Vec<String>,
    next: usize,
}

impl Prompt {
    /// What is typed so far.
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// Where the cursor is, in bytes of [`text`](Self::text).
    pub fn cursor(&self) -> usize {
        self.text().char_indices().nth(self.input.cursor()).map_or(self.text().len(), |(at, _)| at)
    }

    /// A key that edits; whether it did anything.
    pub fn edit(&mut self, key: KeyEvent) -> bool {
        let inserts = matches!(key.code, KeyCode::Char(_));
        if inserts && self.text().len() + 4 > CHAT_TEXT_BYTES_MAX {
            return false;
        }
        let before = self.input.clone();
        let edited = self.input.handle_event(&Event::Key(key)).is_some();
        if self.text().len() > CHAT_TEXT_BYTES_MAX {
            self.input = before;
        }
        if edited {
            self.completing = None;
        }
        edited
    }

    /// Pasted text, line ends included; what is too long is cut off.
    pub fn paste(&mut self, text: &str) {
        self.completing = None;
        for c in text.replace("\r\n", "\n").replace('\r', "\n").chars() {
            if self.text().len() + c.len_utf8() > CHAT_TEXT_BYTES_MAX {
                break;
            }
            if c == '\n' || !c.is_control() {
                self.input.handle(InputRequest::InsertChar(c));
            }
        }
    }

    /// Takes what is typed away, to be remembered.
    pub fn take(&mut self) -> String {
        let text = self.input.value_and_reset();
        self.completing = None;
        if !text.trim().is_empty() && self.earlier.last() != Some(&text) {
            if self.earlier.len() == EARLIER_MAX {
                self.earlier.remove(0);
            }
            self.earlier.push(text.clone());
        }
        self.recalled = self.earlier.len();
        text
    }

    /// Forgets what is typed.
    pub fn clear(&mut self) {
        self.input.reset();
        (self.recalled, self.completing) = (self.earlier.len(), None);
    }

    /// An earlier line comes again, or a later one.
    pub fn recall(&mut self, earlier: bool) {
        let to = if earlier { self.recalled.saturating_sub(1) } else { (self.recalled + 1).min(self.earlier.len()) };
        if to != self.recalled {
            self.recalled = to;
            self.input = Input::new(self.earlier.get(to).cloned().unwrap_or_default());
        }
        self.completing = None;
    }

    /// Completes the word before the cursor; again for the next that fits.
    pub fn complete(&mut self, names: &[String], commands: &[&str]) {
        let completing = match self.completing.take() {
            Some(completing) => completing,
            None => match candidates(&self.text()[..self.cursor()], names, commands) {
                Some(completing) => completing,
                None => return,
            },
        };
        let Completing { begin, candidates, next } = completing;
        let text = format!("{}{}{}", &self.text()[..begin], candidates[next], &self.text()[self.cursor()..]);
        let cursor = text[..begin + candidates[next].len()].chars().count();
        if text.len() <= CHAT_TEXT_BYTES_MAX {
            self.input = Input::new(text).with_cursor(cursor);
        }
        self.completing = Some(Completing { begin, next: (next + 1) % candidates.len(), candidates });
    }
}

/// What the end of `before` may become; nothing when nothing fits.
fn candidates(before: &str, names: &[String], commands: &[&str]) -> Option<Completing> {
    let begin = before.rfind([' ', '\n']).map_or(0, |space| space + 1);
    let word = &before[begin..];
    let folded = word.to_lowercase();
    let fitting = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<String>>();
    let candidates = if word.is_empty() {
        Vec::new()
    } else if begin == 0 && word.starts_with('/') {
        fitting(&mut commands.iter().filter(|c| c.starts_with(word)).map(|c| format!("{c} ")))
    } else if let Some(code) = word.strip_prefix(':').filter(|code| code.len() >= 2) {
        let fits = |e: &&emojis::Emoji| e.shortcodes().any(|s| s.starts_with(&code.to_lowercase()));
        fitting(&mut emojis::iter().filter(fits).map(|e| e.as_str().to_owned()).take(50))
    } else {
        let after = if begin == 0 { ": " } else { " " };
        fitting(&mut names.iter().filter(|n| n.to_lowercase().starts_with(&folded)).map(|n| format!("{n}{after}")))
    };
    (!candidates.is_empty()).then_some(Completing { begin, candidates, next: 0 })
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyModifiers;

    use super::*;

    fn typed(text: &str) -> Prompt {
        let mut prompt = Prompt::default();
        for c in text.chars() {
            assert!(prompt.edit(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
        }
        prompt
    }

    #[test]
    fn earlier_lines_come_again() {
        let mut prompt = typed("one");
        assert_eq!(prompt.take(), "one");
        prompt.paste("two");
        assert_eq!(prompt.take(), "two");
        for (earlier, shown) in
            [(true, "two"), (true, "one"), (true, "one"), (false, "two"), (false, ""), (false, ""), (true, "two")]
        {
            prompt.recall(earlier);
            assert_eq!(prompt.text(), shown);
        }
        prompt.clear();
        prompt.recall(true);
        assert_eq!(prompt.text(), "two", "cleared, it begins at the end again");
    }

    #[test]
    fn tab_goes_through_all_that_fit() {
        let names = ["Ada", "Adam Smith", "Émile"].map(str::to_owned);
        for (text, completions) in [
            ("ad", &["Ada: ", "Adam Smith: ", "Ada: "][..]),
            ("/msg ad", &["/msg Ada ", "/msg Adam Smith "]),
            ("/m", &["/me ", "/msg ", "/me "]),
            ("hi é", &["hi Émile "]),
            ("hi :teapot", &["hi 🫖"]),
            ("hi zoe", &["hi zoe"]),
            ("hi ", &["hi "]),
            ("", &[""]),
            ("hi :", &["hi :"]),
        ] {
            let mut prompt = typed(text);
            for completion in completions {
                prompt.complete(&names, &["/me", "/msg", "/who"]);
                assert_eq!(prompt.text(), *completion);
                assert_eq!(prompt.cursor(), completion.len());
            }
        }
    }

    #[test]
    fn what_stands_behind_the_cursor_stays() {
        let mut prompt = typed("ad hi");
        for _ in 0..3 {
            prompt.edit(KeyEvent::new(KeyCode::Left, KeyModifiers::NONE));
        }
        prompt.complete(&["Ada".to_owned()], &[]);
        assert_eq!((prompt.text(), prompt.cursor()), ("Ada:  hi", 5));
    }

    #[test]
    fn no_more_is_taken_than_can_be_said() {
        let mut prompt = Prompt::default();
        prompt.paste(&"é".repeat(CHAT_TEXT_BYTES_MAX));
        assert_eq!(prompt.text().len(), CHAT_TEXT_BYTES_MAX / 2 * 2);
        let full = prompt.text().to_owned();
        prompt.edit(KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE));
        assert_eq!(prompt.text(), full);
        let mut prompt = typed("a");
        prompt.paste("b\r\nc\x1b[2J\td");
        assert_eq!(prompt.text(), "ab\nc[2Jd");
    }
}
