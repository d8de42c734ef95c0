//! What was said, as a window shows it: lines in the order of the conference, what became of them, and who came and went.
//!
//! ```text
//! Event::Message    > placed by its id, late ones between those that came before
//! Event::Reaction, Delivered, Unheard > noted at their line
//! Event::Offer of a voice message     > where the log ends
//! Event::Person, Door, Unsaid         > a note where the log ends
//! ```
//! A view holds the log as it was: entries are shared, and copied only when one of them changes.

use std::sync::Arc;

use super::view::Voice;
use super::{Event, FileOffer, Message, PersonState, VoiceNews};
use crate::time::NtpTime;

/// Entries kept; the oldest give way.
pub const ENTRIES_MAX: usize = 2_000;

/// An emoji under a line, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reacted {
    /// As it was sent.
    pub emoji: String,
    /// Names, in the order they came.
    pub names: Vec<String>,
    /// One's own is among them.
    pub own: bool,
}

/// A line and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words and all that came with them.
    pub message: Message,
    /// In the order of their first.
    pub reactions: Vec<Reacted>,
    /// So many of so many have told that they have it.
    pub delivered: Option<(usize, usize)>,
    /// Nobody could receive it.
    pub unheard: bool,
}

/// A voice message; what became of it stands with the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Names it among the files.
    pub offer: String,
    /// Its sender's name.
    pub from: String,
    /// Its sender's participant id, hexadecimal.
    pub member: String,
    /// It is one's own.
    pub own: bool,
    /// With whom, as [`Line::between`].
    pub with: Vec<String>,
    /// What it is like.
    pub voice: Voice,
    /// When it came.
    pub at: NtpTime,
}

/// What an entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Somebody said something.
    Line(Box<Line>),
    /// Somebody sent a voice message.
    Voice(Box<Spoken>),
    /// Something happened.
    Note {
        /// The words.
        text: String,
        /// When.
        at: NtpTime,
        /// It did not go as asked.
        warning: bool,
    },
    /// Somebody offered a file.
    File {
        /// Names it.
        offer: String,
        /// One offered it oneself.
        own: bool,
        /// Whose conversation it belongs to, sorted; nobody named means everybody.
        with: Vec<String>,
        /// When.
        at: NtpTime,
    },
}

/// Whose conversation an offer belongs to: see [`Content::File`]. Who else gets a file is told to its sender alone.
fn conversation(offer: &FileOffer) -> Vec<String> {
    let mut with = match (offer.own, offer.private) {
        (true, _) => offer.to.clone(),
        (false, true) => vec![offer.from.clone()],
        (false, false) => Vec::new(),
    };
    with.sort();
    with.dedup();
    with
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts entries as they came, from 1, wherever they stand.
    pub number: u64,
    /// Counts what became of it.
    pub revision: u32,
    /// What it tells.
    pub content: Content,
}

impl Entry {
    /// The line, if it is one.
    pub fn line(&self) -> Option<&Line> {
        match &self.content {
            Content::Line(line) => Some(line),
            Content::Note { .. } | Content::Voice(_) | Content::File { .. } => None,
        }
    }
}

impl Line {
    /// With whom it was said: nobody named means everybody; else the names of all whom it is between, `me` left out,
    /// sorted.
    pub fn between(&self, me: &str) -> Vec<String> {
        let Some(audience) = &self.message.audience else { return Vec::new() };
        let author = (!self.message.own).then_some(&self.message.from);
        let mut names: Vec<String> = audience.iter().chain(author).filter(|name| *name != me).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The log.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    entries: Arc<Vec<Arc<Entry>>>,
    count: u64,
    version: u64,
}

impl Talk {
    /// All that is kept, oldest first.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// Another number whenever anything is another.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Number of the entry that came last.
    pub fn newest(&self) -> u64 {
        self.count
    }

    /// The line of that id.
    pub fn line(&self, id: &str) -> Option<&Line> {
        self.entries.iter().rev().filter_map(|entry| entry.line()).find(|line| line.message.id == id)
    }

    /// Takes in what happened at `now`; returns whether there is anything of it to show. `settled`: joining is over, so
    /// that whoever comes now was not here before.
    pub fn note(&mut self, event: &Event, now: NtpTime, settled: bool) -> bool {
        match event {
            Event::Message(message) => self.said(message.clone()),
            Event::Reaction(reaction) => self.change(&reaction.line.id, |line| {
                let names = match line.reactions.iter_mut().find(|r| r.emoji == reaction.emoji) {
                    Some(same) => same,
                    None => {
                        let new = Reacted { emoji: reaction.emoji.clone(), names: Vec::new(), own: false };
                        line.reactions.push(new);
                        let last = line.reactions.len() - 1;
                        &mut line.reactions[last]
                    }
                };
                names.own |= reaction.own;
                if !names.names.contains(&reaction.from) {
                    names.names.push(reaction.from.clone());
                }
            }),
            Event::Delivered { id, have, present } => self.change(id, |line| {
                (line.delivered, line.unheard) = (Some((*have, *present)), false);
            }),
            Event::Unheard { id, .. } => self.change(id, |line| line.unheard = true),
            Event::Unsaid { text, why } => self.tell(format!("not said ({why}): {text}"), now, true),
            Event::Person(person) => {
                let told = match person.state {
                    // Told with the name of whom it was by.
                    PersonState::Removed => false,
                    PersonState::Joined => settled,
                    _ => true,
                };
                told && !person.news.is_empty() && self.tell(format!("{} {}", person.name, person.news), now, false)
            }
            Event::Voice(VoiceNews::Failed { why }) => self.tell(why.clone(), now, true),
            Event::Offer(offer) if offer.voice.is_none() => self.offered(offer, now),
            Event::Offer(offer) => offer.voice.as_ref().is_some_and(|voice| {
                let spoken = Spoken {
                    offer: offer.offer.clone(),
                    from: offer.from.clone(),
                    member: offer.member.clone(),
                    own: offer.own,
                    with: conversation(offer),
                    voice: voice.clone(),
                    at: now,
                };
                let end = self.entries.len();
                self.add(end, Content::Voice(Box::new(spoken)))
            }),
            Event::Door { text, .. } => !text.is_empty() && self.tell(text.clone(), now, false),
            _ => false,
        }
    }

    /// A file stands once, where it was offered first.
    fn offered(&mut self, offer: &FileOffer, at: NtpTime) -> bool {
        let is_it = |entry: &Arc<Entry>| matches!(&entry.content, Content::File { offer: o, .. } if *o == offer.offer);
        if self.entries.iter().any(is_it) {
            return false;
        }
        let end = self.entries.len();
        let with = conversation(offer);
        self.add(end, Content::File { offer: offer.offer.clone(), own: offer.own, with, at })
    }

    fn tell(&mut self, text: String, at: NtpTime, warning: bool) -> bool {
        let end = self.entries.len();
        self.add(end, Content::Note { text, at, warning })
    }

    fn said(&mut self, message: Message) -> bool {
        let before = |entry: &Arc<Entry>| entry.line().is_some_and(|line| line.message.id < message.id);
        let follows = self.entries.iter().rev().take_while(|entry| !before(entry));
        // Notes stay at the end as long as no line that came before stands behind them.
        let lines_behind = follows.clone().any(|entry| entry.line().is_some());
        let place = if lines_behind { self.entries.len() - follows.count() } else { self.entries.len() };
        self.add(
            place,
            Content::Line(Box::new(Line { message, reactions: Vec::new(), delivered: None, unheard: false })),
        )
    }

    fn add(&mut self, place: usize, content: Content) -> bool {
        self.count += 1;
        self.version += 1;
        let entries = Arc::make_mut(&mut self.entries);
        entries.insert(place, Arc::new(Entry { number: self.count, revision: 0, content }));
        if entries.len() > ENTRIES_MAX {
            entries.remove(0);
        }
        true
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Line)) -> bool {
        let is_it = |entry: &&mut Arc<Entry>| entry.line().is_some_and(|line| line.message.id == id);
        let entries = Arc::make_mut(&mut self.entries);
        let Some(entry) = entries.iter_mut().rev().find(is_it) else { return false };
        let entry = Arc::make_mut(entry);
        entry.revision += 1;
        if let Content::Line(line) = &mut entry.content {
            change(line);
        }
        self.version += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::{Quoted, Reaction};

    fn message(id: &str, from: &str) -> Message {
        Message {
            id: id.into(),
            from: from.into(),
            member: from.into(),
            own: from == "me",
            text: id.into(),
            action: false,
            at: NtpTime(0),
            late: false,
            audience: None,
            reply: None,
        }
    }

    fn said(talk: &mut Talk, id: &str) {
        assert!(talk.note(&Event::Message(message(id, "Ada")), NtpTime(0), true));
    }

    fn texts(talk: &Talk) -> Vec<&str> {
        let text = |entry: &Arc<Entry>| entry.line().map_or("note", |line| line.message.text.as_str()).to_owned();
        let all: Vec<String> = talk.entries().iter().map(text).collect();
        all.into_iter().map(|text| &*text.leak()).collect()
    }

    #[test]
    fn late_lines_stand_in_their_place_and_notes_where_they_happened() {
        let mut talk = Talk::default();
        said(&mut talk, "1");
        said(&mut talk, "4");
        assert!(talk.note(&Event::Unsaid { text: "x".into(), why: "y".into() }, NtpTime(0), true));
        said(&mut talk, "5");
        said(&mut talk, "2");
        said(&mut talk, "0");
        assert_eq!(texts(&talk), ["0", "1", "2", "4", "note", "5"]);
        assert_eq!(talk.entries().iter().map(|e| e.number).collect::<Vec<_>>(), [6, 1, 5, 2, 3, 4]);
    }

    #[test]
    fn a_line_gathers_what_becomes_of_it_and_a_view_keeps_what_was() {
        let mut talk = Talk::default();
        said(&mut talk, "1");
        let before = talk.clone();
        let quoted = |id: &str| Quoted { id: id.into(), from: "Ada".into(), text: String::new() };
        let reaction = |from: &str, own, to: &str| {
            let (id, member, emoji) = (from.into(), from.into(), "👍".into());
            let line = quoted(to);
            Event::Reaction(Reaction { id, from: from.into(), member, own, emoji, at: NtpTime(0), line })
        };
        assert!(talk.note(&reaction("Bob", false, "1"), NtpTime(0), true));
        assert!(talk.note(&reaction("me", true, "1"), NtpTime(0), true));
        assert!(!talk.note(&reaction("Bob", false, "2"), NtpTime(0), true), "no such line");
        assert!(talk.note(&Event::Unheard { id: "1".into(), text: String::new() }, NtpTime(0), true));
        assert!(talk.note(&Event::Delivered { id: "1".into(), have: 1, present: 2 }, NtpTime(0), true));
        let line = talk.line("1").unwrap();
        assert_eq!(line.reactions, [Reacted { emoji: "👍".into(), names: vec!["Bob".into(), "me".into()], own: true }]);
        assert_eq!((line.delivered, line.unheard), (Some((1, 2)), false));
        assert!(before.line("1").unwrap().reactions.is_empty());
        assert!(talk.version() > before.version());
    }

    #[test]
    fn private_lines_belong_to_those_they_are_between() {
        let line = |from: &str, audience: &[&str]| {
            let audience = Some(audience.iter().map(|n| (*n).to_owned()).collect());
            let message = Message { audience, ..message("1", from) };
            Line { message, reactions: Vec::new(), delivered: None, unheard: false }
        };
        assert_eq!(line("me", &["Bob", "Ada"]).between("me"), ["Ada", "Bob"]);
        assert_eq!(line("Bob", &["me", "Ada"]).between("me"), ["Ada", "Bob"]);
        assert_eq!(line("Bob", &["me"]).between("me"), ["Bob"]);
    }

    #[test]
    fn a_file_stands_once_where_it_was_offered() {
        let offer = FileOffer {
            number: 1,
            offer: "0f".into(),
            from: "Ada".into(),
            member: "0a".into(),
            own: false,
            name: "a.txt".into(),
            size: 1,
            kind: String::new(),
            private: true,
            to: Vec::new(),
            voice: None,
        };
        let mut talk = Talk::default();
        said(&mut talk, "1");
        assert!(talk.note(&Event::Offer(offer.clone()), NtpTime(7), true));
        assert!(!talk.note(&Event::Offer(offer), NtpTime(9), true));
        let expected = Content::File { offer: "0f".into(), own: false, with: vec!["Ada".into()], at: NtpTime(7) };
        assert_eq!((talk.entries().len(), &talk.entries()[1].content), (2, &expected));
    }

    #[test]
    fn the_oldest_give_way() {
        let mut talk = Talk::default();
        (0..=ENTRIES_MAX).for_each(|n| said(&mut talk, &format!("{n:05}")));
        assert_eq!((talk.entries().len(), talk.entries()[0].number), (ENTRIES_MAX, 2));
    }
}
