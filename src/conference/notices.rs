//! Lines for the user: the newest are kept, the same line is not said twice in a row.

use std::collections::VecDeque;
use std::time::Duration;

use super::view::{Notice, NoticeKind};
use crate::limits::NOTICES_MAX;
use crate::time::Timestamp;

/// How long a notice stays in the view.
const SHOWN: Duration = Duration::from_secs(8);

/// The notices of a conference.
#[derive(Default)]
pub struct Notices {
    lines: VecDeque<(Timestamp, Notice)>,
    count: u64,
}

impl Notices {
    /// Adds a line; returns false when it only repeats the newest one, which then stays longer.
    pub fn say(&mut self, now: Timestamp, kind: NoticeKind, text: &str) -> bool {
        if let Some((at, newest)) = self.lines.back_mut()
            && newest.text == text
            && now.since(*at) < SHOWN
        {
            *at = now;
            return false;
        }
        self.count += 1;
        if self.lines.len() == NOTICES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((now, Notice { number: self.count, kind, text: text.to_owned(), age_ms: 0 }));
        true
    }

    /// Those young enough to be shown, newest last.
    pub fn shown(&mut self, now: Timestamp) -> Vec<Notice> {
        self.lines.retain(|(at, _)| now.since(*at) < SHOWN);
        let aged = |(at, n): &(Timestamp, Notice)| Notice { age_ms: now.since(*at).as_millis() as u64, ..n.clone() };
        self.lines.iter().map(aged).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_said_once_and_old_lines_go() {
        let mut n = Notices::default();
        let t = Timestamp::from_millis;
        assert!(n.say(t(0), NoticeKind::Info, "a"));
        assert!(!n.say(t(5_000), NoticeKind::Info, "a"));
        assert!(n.say(t(6_000), NoticeKind::Warning, "b"));
        assert_eq!(n.shown(t(12_999)).len(), 2);
        let left = n.shown(t(13_000));
        assert_eq!((left.len(), left[0].text.as_str(), left[0].age_ms), (1, "b", 7_000));
        assert!(n.shown(t(14_000)).is_empty());
    }

    #[test]
    fn no_more_than_the_bound_are_kept() {
        let mut n = Notices::default();
        for i in 0..2 * NOTICES_MAX {
            n.say(Timestamp(0), NoticeKind::Info, &i.to_string());
        }
        let shown = n.shown(Timestamp(0));
        assert_eq!((shown.len(), shown[0].text.clone()), (NOTICES_MAX, NOTICES_MAX.to_string()));
    }
}
