//! What was said and what happened, in the order of the conference, and which part of it is looked at.
//!
//! Lines that come late are put where they belong; what is looked at stays where it is meanwhile.

use std::collections::VecDeque;

use crate::conference::{Message, Reaction};
use crate::time::NtpTime;

/// Entries kept; the oldest go.
const ENTRIES_MAX: usize = 5_000;

/// A line of the chat, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The line.
    pub message: Message,
    /// Emoji and whose they are, in the order they came.
    pub reactions: Vec<(String, Vec<String>)>,
    /// Of an own line: so many have it, of so many who are here.
    pub have: Option<(usize, usize)>,
    /// Of an own line: nobody could receive it.
    pub unheard: bool,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Somebody said something.
    Line(Box<Line>),
    /// The program says something.
    Note {
        /// When.
        at: NtpTime,
        /// The words.
        text: String,
        /// Something does not work as asked.
        warning: bool,
    },
}

/// Entries, oldest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    /// The lowest entry looked at, and how many rows of it are below the edge; `None` follows what comes.
    bottom: Option<(usize, usize)>,
    /// The line that what is typed is about.
    selected: Option<usize>,
    /// Lines that came while another part was looked at.
    unread: usize,
}

impl Log {
    /// Lines that came below what is looked at.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Place of the line that what is typed is about.
    pub fn selected(&self) -> Option<usize> {
        self.selected
    }

    /// The line that what is typed is about.
    pub fn selected_line(&self) -> Option<&Line> {
        match self.entries.get(self.selected?)? {
            Entry::Line(line) => Some(line),
            Entry::Note { .. } => None,
        }
    }

    /// The last line of somebody else.
    pub fn last_of_others(&self) -> Option<&Message> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Line(line) if !line.message.own => Some(&line.message),
            _ => None,
        })
    }

    /// The program says something.
    pub fn note(&mut self, at: NtpTime, text: String, warning: bool) {
        self.insert(self.entries.len(), Entry::Note { at, text, warning });
    }

    /// Somebody said something.
    pub fn said(&mut self, message: Message) {
        let before = |entry: &Entry| matches!(entry, Entry::Line(line) if line.message.id < message.id);
        // Only what is late belongs further up; all else keeps its place among the notes.
        let at = match message.late {
            true => self.entries.iter().rposition(before).map_or(0, |before| before + 1),
            false => self.entries.len(),
        };
        self.unread += usize::from(self.bottom.is_some() && !message.own);
        let line = Line { message, reactions: Vec::new(), have: None, unheard: false };
        self.insert(at, Entry::Line(Box::new(line)));
    }

    /// Somebody reacted to a line.
    pub fn reacted(&mut self, reaction: &Reaction) {
        let Some(line) = self.line_mut(&reaction.line.id) else { return };
        match line.reactions.iter_mut().find(|(emoji, _)| *emoji == reaction.emoji) {
            Some((_, names)) if names.contains(&reaction.from) => {}
            Some((_, names)) => names.push(reaction.from.clone()),
            None => line.reactions.push((reaction.emoji.clone(), vec![reaction.from.clone()])),
        }
    }

    /// So many have an own line, of so many who are here.
    pub fn delivered(&mut self, id: &str, have: usize, present: usize) {
        if let Some(line) = self.line_mut(id) {
            (line.have, line.unheard) = (Some((have, present)), false);
        }
    }

    /// Nobody could receive an own line.
    pub fn unheard(&mut self, id: &str) {
        if let Some(line) = self.line_mut(id) {
            line.unheard = true;
        }
    }

    fn line_mut(&mut self, id: &str) -> Option<&mut Line> {
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Line(line) if line.message.id == id => Some(&mut **line),
            _ => None,
        })
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        self.entries.insert(at, entry);
        let moved = |place: usize| if at <= place { place + 1 } else { place };
        self.bottom = self.bottom.map(|(place, hidden)| (moved(place), hidden));
        self.selected = self.selected.map(moved);
        if self.entries.len() > ENTRIES_MAX {
            self.entries.pop_front();
            self.bottom = self.bottom.map(|(place, hidden)| (place.saturating_sub(1), hidden));
            self.selected = self.selected.and_then(|place| place.checked_sub(1));
        }
    }

    /// Selects the line before the one selected, or the last.
    pub fn select_before(&mut self) {
        let end = self.selected.unwrap_or(self.entries.len());
        let is_line = |entry: &Entry| matches!(entry, Entry::Line(_));
        self.selected = self.entries.iter().take(end).rposition(is_line).or(self.selected);
    }

    /// Selects the line after the one selected; after the last there is none.
    pub fn select_after(&mut self) {
        let Some(selected) = self.selected else { return };
        let is_line = |entry: &Entry| matches!(entry, Entry::Line(_));
        self.selected = self.entries.iter().skip(selected + 1).position(is_line).map(|further| selected + 1 + further);
        if self.selected.is_none() {
            self.follow();
        }
    }

    /// Selects nothing.
    pub fn unselect(&mut self) {
        self.selected = None;
    }

    /// Looks at what comes.
    pub fn follow(&mut self) {
        (self.bottom, self.unread) = (None, 0);
    }

    /// Looks `rows` further up, or down if negative; `height` says how many rows an entry takes, `page` how many are seen.
    pub fn scroll(&mut self, rows: isize, page: usize, height: impl Fn(&Entry) -> usize) {
        let below = match self.bottom {
            None => 0,
            Some((place, hidden)) => hidden + self.entries.iter().skip(place + 1).map(&height).sum::<usize>(),
        };
        let total: usize = self.entries.iter().map(&height).sum();
        self.show_above(below.saturating_add_signed(rows).min(total.saturating_sub(page)), height);
    }

    /// Looks at the part that has so many rows below it.
    fn show_above(&mut self, below: usize, height: impl Fn(&Entry) -> usize) {
        if below == 0 {
            return self.follow();
        }
        let mut left = below;
        for (place, entry) in self.entries.iter().enumerate().rev() {
            let rows = height(entry);
            if left < rows {
                self.bottom = Some((place, left));
                return;
            }
            left -= rows;
        }
    }

    /// Looks at a part with the selected line in it.
    pub fn show_selected(&mut self, page: usize, height: impl Fn(&Entry) -> usize) {
        let Some(selected) = self.selected else { return };
        let rows_after = |place: usize| self.entries.iter().skip(place + 1).map(&height).sum::<usize>();
        let below = self.bottom.map_or(0, |(place, hidden)| hidden + rows_after(place));
        let (under, own) = (rows_after(selected), self.entries.get(selected).map_or(0, &height));
        if under < below {
            self.show_above(under, height);
        } else if under + own > below + page {
            self.show_above(under + own - page.max(own.min(page)), height);
        }
    }

    /// Entries from the lowest looked at upwards, with the rows of the first that are below the edge.
    pub fn seen(&self) -> impl Iterator<Item = (usize, &Entry, usize)> {
        let (place, hidden) = self.bottom.unwrap_or((self.entries.len().saturating_sub(1), 0));
        let upwards = self.entries.iter().enumerate().take(place + 1).rev();
        upwards.enumerate().map(move |(n, (at, entry))| (at, entry, if n == 0 { hidden } else { 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{message, reaction};
    use super::*;

    fn log(ids: &[&str]) -> Log {
        let mut log = Log::default();
        ids.iter().for_each(|id| log.said(message(id, "Bob", id)));
        log
    }

    fn order(log: &Log) -> Vec<&str> {
        log.entries.iter().map(|e| if let Entry::Line(l) = e { &*l.message.id } else { "note" }).collect()
    }

    #[test]
    fn late_lines_stand_where_they_belong() {
        let mut log = log(&["1", "4"]);
        log.note(NtpTime(0), "x".into(), false);
        log.said(Message { late: true, ..message("3", "Bob", "") });
        log.said(Message { late: true, ..message("5", "Bob", "") });
        log.said(Message { late: true, ..message("0", "Bob", "") });
        log.said(message("6", "Bob", ""));
        assert_eq!(order(&log), ["0", "1", "3", "4", "5", "note", "6"]);
    }

    #[test]
    fn what_is_looked_at_and_selected_stays_when_lines_come_above_and_below() {
        let mut log = log(&["1", "2", "3", "5"]);
        log.scroll(2, 1, |_| 1);
        log.select_before();
        log.select_before();
        let state = |log: &Log| {
            let seen = log.seen().next().map(|(place, ..)| order(log)[place].to_owned());
            (seen.unwrap(), log.selected_line().unwrap().message.id.clone(), log.unread())
        };
        assert_eq!(state(&log), ("2".into(), "3".into(), 0));
        log.said(message("6", "Bob", ""));
        log.said(Message { late: true, ..message("0", "Bob", "") });
        log.said(Message { late: true, ..message("4", "Bob", "") });
        assert_eq!(state(&log), ("2".into(), "3".into(), 3));
        log.follow();
        assert_eq!(log.seen().next().map(|(place, ..)| place), Some(6));
        assert_eq!(log.unread(), 0);
    }

    #[test]
    fn scrolling_ends_at_the_first_row_and_at_the_last() {
        let mut log = log(&["1", "2", "3"]);
        let height = |_: &Entry| 3;
        let bottom = |log: &Log| log.seen().next().map(|(place, _, hidden)| (place, hidden)).unwrap();
        log.scroll(1, 4, height);
        assert_eq!(bottom(&log), (2, 1));
        log.scroll(100, 4, height);
        assert_eq!(bottom(&log), (1, 2), "nine rows, of which the first four are seen");
        log.scroll(-2, 4, height);
        assert_eq!(bottom(&log), (1, 0));
        log.scroll(-100, 4, height);
        assert_eq!((bottom(&log), log.bottom), ((2, 0), None));
        Log::default().scroll(5, 4, height);
    }

    #[test]
    fn a_selected_line_is_brought_into_sight() {
        let mut log = log(&["1", "2", "3", "4"]);
        let first_seen = |log: &Log| log.seen().nth(1).map(|(place, ..)| place).unwrap();
        for (selected, first) in [(3, 2), (2, 2), (1, 1), (0, 0)] {
            log.select_before();
            log.show_selected(2, |_| 1);
            assert_eq!((log.selected(), first_seen(&log)), (Some(selected), first));
        }
        log.select_before();
        assert_eq!(log.selected(), Some(0), "there is none before");
        for selected in [Some(1), Some(2), Some(3), None] {
            log.select_after();
            log.show_selected(2, |_| 1);
            assert_eq!(log.selected(), selected);
        }
        assert_eq!(first_seen(&log), 2);
    }

    #[test]
    fn a_line_gathers_what_becomes_of_it() {
        let mut log = log(&["1", "2"]);
        log.reacted(&reaction("Bob", "👍", "1"));
        log.reacted(&reaction("Cyd", "👍", "1"));
        log.reacted(&reaction("Cyd", "👍", "1"));
        log.reacted(&reaction("Bob", "🎉", "1"));
        log.reacted(&reaction("Bob", "🎉", "unknown"));
        log.unheard("2");
        log.delivered("2", 1, 3);
        let Entry::Line(first) = &log.entries[0] else { panic!() };
        let names = |all: &[&str]| all.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(first.reactions, [("👍".to_owned(), names(&["Bob", "Cyd"])), ("🎉".to_owned(), names(&["Bob"]))]);
        let Entry::Line(second) = &log.entries[1] else { panic!() };
        assert_eq!((second.have, second.unheard), (Some((1, 3)), false));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut log = log(&["0"]);
        log.select_before();
        for n in 1..=ENTRIES_MAX {
            log.said(message(&format!("{n:04}"), "Bob", ""));
        }
        assert_eq!((log.entries.len(), log.selected()), (ENTRIES_MAX, None));
    }
}
