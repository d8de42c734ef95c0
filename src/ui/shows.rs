//! Emoji that people show everybody: a line of the chat that is nothing else stands on its author's tile for some seconds.

use std::time::Duration;

use crate::conference::view::View;
use crate::time::Timestamp;
use crate::ui::text::is_emoji;

/// How long it stands there.
const SHOWN: Duration = Duration::from_secs(5);
/// What was said before one came, and comes at once, is not shown.
const BEFORE_S: u64 = 3;
/// The first emoji and no more, in characters.
const CHARS_MAX: usize = 12;

/// What is shown.
#[derive(Default)]
pub struct Shows {
    seen: u64,
    /// Participant id, emoji, until when.
    all: Vec<(String, String, Timestamp)>,
}

impl Shows {
    /// Looks at what was said since.
    pub fn follow(&mut self, view: &View, now: Timestamp) {
        self.all.retain(|(.., until)| *until > now);
        let newest = view.talk.newest();
        if newest == self.seen {
            return;
        }
        let new = view.talk.entries().iter().rev().take(16).filter(|entry| entry.number > self.seen);
        for line in new.filter_map(|entry| entry.line()).filter(|_| view.elapsed_s >= BEFORE_S) {
            let message = &line.message;
            if message.audience.is_none() && !message.late && is_emoji(&message.text) {
                self.all.retain(|(member, ..)| *member != message.member);
                let emoji = message.text.trim().chars().take(CHARS_MAX).collect();
                self.all.push((message.member.clone(), emoji, now + SHOWN));
            }
        }
        self.seen = newest;
    }

    /// What somebody shows now.
    pub fn of(&self, id: &str) -> Option<&str> {
        self.all.iter().find(|(member, ..)| member == id).map(|(_, emoji, _)| emoji.as_str())
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.all.iter().map(|(.., until)| *until).min()
    }
}
