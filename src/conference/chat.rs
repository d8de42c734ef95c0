//! The director's part of the chat: lines as people see them, and what became of one's own.

use std::collections::{BTreeSet, VecDeque};

use super::director::Director;
use super::view::NoticeKind;
use super::{Event, Message, Quoted, Reaction};
use crate::limits::{CHAT_HISTORY_LINES_MAX, CHAT_TEXT_BYTES_MAX, NAME_BYTES_MAX};
use crate::pipeline::control::Command as Ask;
use crate::protocol::chat::{self, Body, Content, Line, LineId, NoKey, OrderKey};
use crate::protocol::roster::names;
use crate::protocol::session::Unsaid;
use crate::wire::message::ParticipantId;

/// Own lines whose delivery may still be told: as many as the chat looks after.
const OWN_LINES: usize = 64;
/// Lines that may be replied to: as many as somebody who comes later is told.
const KNOWN_LINES: usize = CHAT_HISTORY_LINES_MAX;
/// Reactions whose line is missing.
const EARLY_REACTIONS: usize = 64;
/// Lines shown that are remembered, so that none is shown twice: the chat forgets what it had of authors long gone.
const SHOWN_LINES: usize = 8 * CHAT_HISTORY_LINES_MAX;
/// As much of a line as is quoted, characters.
const QUOTED_CHARS: usize = 60;

/// The newest lines: those others may reply to, and one's own until it is told what became of them.
#[derive(Default)]
pub struct Lines {
    own: VecDeque<(OrderKey, String)>,
    known: VecDeque<(LineId, Quoted, Vec<ParticipantId>)>,
    /// Reactions that came before their line, by its id.
    early: VecDeque<(LineId, Reaction)>,
    shown: BTreeSet<LineId>,
    /// The same, oldest first.
    shown_order: VecDeque<LineId>,
}

/// Adds at the end; the oldest give way.
fn push<T>(queue: &mut VecDeque<T>, most: usize, one: T) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(one);
}

impl Lines {
    fn add_own(&mut self, key: OrderKey, text: &str) {
        push(&mut self.own, OWN_LINES, (key, text.to_owned()));
    }

    /// Whether a line was not shown before; from now on it was.
    fn is_new(&mut self, id: LineId) -> bool {
        let new = self.shown.insert(id);
        if new {
            if self.shown_order.len() >= SHOWN_LINES {
                self.shown_order.pop_front().into_iter().for_each(|oldest| {
                    self.shown.remove(&oldest);
                });
            }
            self.shown_order.push_back(id);
        }
        new
    }

    fn own(&self, id: LineId) -> Option<(String, &str)> {
        let (key, text) = self.own.iter().find(|(key, _)| key.id == id)?;
        Some((key.to_string(), text))
    }

    /// Takes in a line; gives the reactions that waited for it.
    fn add(&mut self, id: LineId, line: Quoted, audience: Vec<ParticipantId>) -> Vec<Reaction> {
        let mut waited = Vec::new();
        self.early.retain(|(to, reaction)| {
            if *to == id {
                waited.push(Reaction { line: line.clone(), ..reaction.clone() });
            }
            *to != id
        });
        push(&mut self.known, KNOWN_LINES, (id, line, audience));
        waited
    }

    fn known(&self, id: LineId) -> Option<Quoted> {
        self.known.iter().rev().find(|(known, ..)| *known == id).map(|(_, line, _)| line.clone())
    }

    /// Whom a known line is for; empty when that is everybody.
    fn audience(&self, id: LineId) -> Option<&[ParticipantId]> {
        self.known.iter().rev().find(|(known, ..)| *known == id).map(|(.., audience)| audience.as_slice())
    }
}

/// The name of somebody who is not here, told from those of people who are or were: any key can sign a line, and
/// its author calls itself what it likes.
fn absent<'a>(name: String, known: impl Iterator<Item = &'a str>) -> String {
    let known: BTreeSet<String> = known.map(names::fold).collect();
    let mut shown = name;
    while known.contains(&names::fold(&shown)) {
        shown.push_str(" (not here)");
    }
    shown
}

/// How a text begins.
fn beginning(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// What somebody typed: words, or after "/me " what they do.
fn typed(text: &str, to: Option<LineId>) -> Content {
    let body = match text.strip_prefix("/me ").map(str::trim) {
        Some(action) if !action.is_empty() => Body::Action(action.to_owned()),
        _ => Body::Text(text.to_owned()),
    };
    Content { body, to }
}

/// Whom an answer to a line is for: its author and those it was for, oneself left out; nobody named means everybody.
fn answered(
    audience: &[ParticipantId],
    author: ParticipantId,
    me: ParticipantId,
) -> Result<Vec<ParticipantId>, String> {
    if audience.is_empty() {
        return Ok(Vec::new());
    }
    let author_too = std::iter::once(author).filter(|author| !audience.contains(author));
    let others: Vec<_> = audience.iter().copied().chain(author_too).filter(|id| *id != me).collect();
    // What answers a private line must not become public.
    if others.is_empty() { Err("the line it is about was for oneself alone".to_owned()) } else { Ok(others) }
}

fn sized(text: &str) -> Result<(), String> {
    let bytes = text.len();
    match bytes > CHAT_TEXT_BYTES_MAX {
        true => Err(format!("the line has {bytes} bytes, and {CHAT_TEXT_BYTES_MAX} are the most")),
        false => Ok(()),
    }
}

impl Director {
    /// Says what was typed, in reply to a line if one is named. [`Event::Said`] or [`Event::Unsaid`] follows.
    pub(super) fn speak(&self, text: String, to: Option<&str>) {
        match (sized(&text), to.map(|id| self.line_of(id)).transpose()) {
            (Err(why), _) | (_, Err(why)) => self.tell_event(Event::Unsaid { text, why }),
            (Ok(()), Ok(None)) => self.ask(typed(&text, None), Vec::new(), text),
            (Ok(()), Ok(Some((line, audience)))) => self.ask(typed(&text, Some(line)), audience, text),
        }
    }

    /// Says what was typed to the people of these names alone.
    pub(super) fn whisper(&self, names: &[String], text: String) {
        let audience = sized(&text).and_then(|()| names.iter().map(|name| self.called(name)).collect());
        match audience {
            Ok(audience) if !names.is_empty() => self.ask(typed(&text, None), audience, text),
            Ok(_) => self.tell_event(Event::Unsaid { text, why: "it is for nobody".to_owned() }),
            Err(why) => self.tell_event(Event::Unsaid { text, why }),
        }
    }

    /// Who of those here has this name.
    pub(super) fn called(&self, name: &str) -> Result<ParticipantId, String> {
        let state = self.shared.state();
        let found = state.people.here().find(|o| o.person.name.to_lowercase() == name.to_lowercase());
        found.map(|o| o.person.id).ok_or_else(|| format!("nobody here is called {name:?}"))
    }

    /// Puts an emoji under a line. [`Event::Said`] or [`Event::Unsaid`] follows.
    pub(super) fn react(&self, emoji: String, to: &str) {
        match self.line_of(to) {
            Ok((to, audience)) => {
                self.ask(Content { body: Body::Reaction(emoji.clone()), to: Some(to) }, audience, emoji);
            }
            Err(why) => self.tell_event(Event::Unsaid { text: emoji, why }),
        }
    }

    fn ask(&self, content: Content, audience: Vec<ParticipantId>, text: String) {
        if !self.control.send(Ask::Say(content, audience)) {
            self.tell_event(Event::Unsaid { text, why: Unsaid::TooMany.to_string() });
        }
    }

    /// Which line is called that, and whom it is for, oneself left out.
    fn line_of(&self, id: &str) -> Result<(LineId, Vec<ParticipantId>), String> {
        let key: OrderKey = id.parse().map_err(|e: NoKey| e.to_string())?;
        let audience = self.lines.audience(key.id).ok_or("the line it is about is not known here")?;
        let me = self.shared.state().own.id;
        Ok((key.id, answered(audience, key.id.member, me)?))
    }

    /// A line of one's own was said.
    pub(super) fn said(&self, id: LineId) {
        if let Some((id, _)) = self.lines.own(id) {
            self.tell_event(Event::Said { id });
        }
    }

    /// A line of one's own was not.
    pub(super) fn unsaid(&self, content: Content, why: &Unsaid) {
        let text = match content.body {
            Body::Text(text) | Body::Action(text) | Body::Reaction(text) => text,
            Body::Sealed { .. } => String::new(),
        };
        self.tell_event(Event::Unsaid { text, why: why.to_string() });
    }

    /// Something happened in the chat.
    pub(super) fn chatted(&mut self, event: chat::Event) {
        match event {
            chat::Event::Line(line) => self.line(line),
            chat::Event::Delivered(id, delivery) => {
                if let Some((id, _)) = self.lines.own(id) {
                    let (have, present) = (delivery.have, delivery.present);
                    self.tell_event(Event::Delivered { id, have, present });
                }
            }
            chat::Event::Unheard(id) => {
                if let Some((id, text)) = self.lines.own(id) {
                    self.tell_event(Event::Unheard { id, text: text.to_owned() });
                }
            }
            chat::Event::Missed(member, pieces) => {
                let name = self.name_of(member).unwrap_or_else(|| "somebody".to_owned());
                let text = format!("{pieces} of the lines of {name} cannot be had from anybody");
                self.say(NoticeKind::Warning, &text);
            }
            chat::Event::HistoryUnavailable => {
                self.say(NoticeKind::Warning, "nobody could tell what was said here before");
            }
            // The control role sends what is to be kept straight to the disk.
            chat::Event::History(..) | chat::Event::Keep(_) => {}
        }
    }

    fn line(&mut self, line: Line) {
        let Line { key, name, wall: at, content, audience, late } = line;
        let member = key.id.member;
        let own = member == self.shared.state().own.id;
        if !self.lines.is_new(key.id) {
            return;
        }
        let from = self.name_of(member).unwrap_or_else(|| self.name_of_absent(&name));
        let (id, member) = (key.to_string(), member.to_string());
        let (text, action) = match content.body {
            Body::Text(text) => (text, false),
            Body::Action(text) => (text, true),
            Body::Reaction(emoji) => {
                if own {
                    self.lines.add_own(key, &emoji);
                }
                let line = Quoted { id: String::new(), from: String::new(), text: String::new() };
                let reaction = Reaction { id, from, member, own, emoji, at, line };
                return self.reaction(content.to, reaction);
            }
            Body::Sealed { .. } => return,
        };
        if own {
            self.lines.add_own(key, &text);
        }
        let others = audience.iter().filter(|id| **id != key.id.member);
        let names = others.map(|id| self.name_of(*id).unwrap_or_else(|| "somebody".to_owned())).collect();
        let quoted = Quoted { id: id.clone(), from: from.clone(), text: beginning(&text) };
        let is_private = !audience.is_empty();
        let waited = self.lines.add(key.id, quoted, audience);
        let reply = content.to.and_then(|to| self.lines.known(to));
        let audience = is_private.then_some(names);
        let message = Message { id, from, member, own, text, action, at, late, audience, reply };
        self.tell_event(Event::Message(message));
        waited.into_iter().for_each(|reaction| self.tell_event(Event::Reaction(reaction)));
    }

    /// Tells of a reaction, as soon as its line is known.
    fn reaction(&mut self, to: Option<LineId>, reaction: Reaction) {
        let Some(to) = to else {
            return;
        };
        match self.lines.known(to) {
            Some(line) => self.tell_event(Event::Reaction(Reaction { line, ..reaction })),
            None => push(&mut self.lines.early, EARLY_REACTIONS, (to, reaction)),
        }
    }

    /// The name somebody is shown by, if they are or were here.
    pub(super) fn name_of(&self, member: ParticipantId) -> Option<String> {
        let state = self.shared.state();
        if member == state.own.id { Some(state.own.name.clone()) } else { state.people.name_of(&member) }
    }

    /// The name of an author nobody saw here, as the line tells it.
    fn name_of_absent(&self, told: &str) -> String {
        let state = self.shared.state();
        let known = state.people.names().chain([state.own.name.as_str()]);
        absent(names::clean_name(told, NAME_BYTES_MAX), known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NtpTime;

    #[test]
    fn what_follows_me_is_done_and_everything_else_said() {
        let action = |text: &str| Content { body: Body::Action(text.into()), to: None };
        for (text, content) in [
            ("hi", Content::text("hi")),
            ("/me waves", action("waves")),
            ("/me  waves ", action("waves")),
            ("/me", Content::text("/me")),
            ("/me  ", Content::text("/me  ")),
            ("/mean", Content::text("/mean")),
            (" /me waves", Content::text(" /me waves")),
        ] {
            assert_eq!(typed(text, None), content, "{text:?}");
        }
    }

    #[test]
    fn an_answer_to_a_private_line_goes_to_its_people_and_never_to_everybody() {
        let [ada, bob, me] = [1, 2, 3].map(|n| ParticipantId([n; 16]));
        assert_eq!(answered(&[], ada, me), Ok(vec![]));
        assert_eq!(answered(&[ada, bob, me], ada, me), Ok(vec![ada, bob]));
        assert_eq!(answered(&[me], ada, me), Ok(vec![ada]), "an author who left herself out");
        assert!(answered(&[me], me, me).is_err());
    }

    fn key(n: u64) -> OrderKey {
        OrderKey { time: n, id: LineId { member: ParticipantId([1; 16]), run: 2, number: n as u32 } }
    }

    fn quoted(n: u64) -> Quoted {
        Quoted { id: key(n).to_string(), from: "Ada".into(), text: n.to_string() }
    }

    #[test]
    fn lines_are_bounded_and_found() {
        let mut lines = Lines::default();
        (0..OWN_LINES as u64 + 1).for_each(|n| lines.add_own(key(n), "hi"));
        assert_eq!(lines.own(key(0).id), None);
        let id = format!("{:016x}-{}-{:08x}-{:08x}", 1, "01".repeat(16), 2, 1);
        assert_eq!(lines.own(key(1).id), Some((id, "hi")));
        (0..KNOWN_LINES as u64 + 1).for_each(|n| drop(lines.add(key(n).id, quoted(n), Vec::new())));
        assert_eq!((lines.known(key(0).id), lines.known(key(1).id)), (None, Some(quoted(1))));
    }

    #[test]
    fn nobody_who_is_not_here_is_shown_under_the_name_of_somebody_who_is() {
        let known = ["Ada", "Bob (1)", "Eve", "Eve (not here)"];
        for (told, shown) in [
            ("Carol", "Carol"),
            ("Ada", "Ada (not here)"),
            ("\u{ff21}D\u{200b}A", "\u{ff21}D\u{200b}A (not here)"),
            ("Bob", "Bob"),
            ("bob (1)", "bob (1) (not here)"),
            ("Eve", "Eve (not here) (not here)"),
        ] {
            assert_eq!(absent(told.to_owned(), known.into_iter()), shown);
        }
    }

    #[test]
    fn a_line_is_shown_once() {
        let mut lines = Lines::default();
        assert!((0..SHOWN_LINES as u64).all(|n| lines.is_new(key(n).id)));
        assert!((0..SHOWN_LINES as u64).all(|n| !lines.is_new(key(n).id)));
        assert!(lines.is_new(key(SHOWN_LINES as u64).id) && lines.is_new(key(0).id), "the oldest are forgotten");
        assert_eq!((lines.shown.len(), lines.shown_order.len()), (SHOWN_LINES, SHOWN_LINES));
    }

    #[test]
    fn a_reaction_waits_for_its_line() {
        let mut lines = Lines::default();
        let reaction = |n: u64, line| Reaction {
            id: n.to_string(),
            from: "Bob".into(),
            member: "2".into(),
            own: false,
            emoji: "👍".into(),
            at: NtpTime::default(),
            line,
        };
        let nothing = || Quoted { id: String::new(), from: String::new(), text: String::new() };
        for (n, to) in [(1, 7), (2, 8), (3, 7)] {
            push(&mut lines.early, EARLY_REACTIONS, (key(to).id, reaction(n, nothing())));
        }
        assert_eq!(lines.add(key(7).id, quoted(7), Vec::new()), [reaction(1, quoted(7)), reaction(3, quoted(7))]);
        assert!(lines.add(key(7).id, quoted(7), Vec::new()).is_empty());
        assert_eq!(lines.early.len(), 1);
    }

    #[test]
    fn long_lines_are_quoted_by_their_beginning() {
        assert_eq!(beginning("one\ntwo"), "one");
        assert_eq!(beginning(&"é".repeat(QUOTED_CHARS)), "é".repeat(QUOTED_CHARS));
        assert_eq!(beginning(&"é".repeat(QUOTED_CHARS + 1)), format!("{}…", "é".repeat(QUOTED_CHARS)));
        assert_eq!(beginning(""), "");
    }
}
