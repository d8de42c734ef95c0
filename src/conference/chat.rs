//! The director's part of the chat: lines as people see them, and what became of one's own.

use std::collections::VecDeque;

use super::director::Director;
use super::view::NoticeKind;
use super::{Event, Message};
use crate::limits::{CHAT_TEXT_BYTES_MAX, NAME_BYTES_MAX};
use crate::pipeline::control::Command as Ask;
use crate::protocol::chat::{self, Body, Content, Line, LineId, OrderKey};
use crate::protocol::roster::names;
use crate::protocol::session::Unsaid;
use crate::wire::message::ParticipantId;

/// Own lines whose delivery may still be told: as many as the chat looks after.
const OWN_LINES: usize = 64;

/// One's own newest lines, with their words.
#[derive(Default)]
pub struct OwnLines(VecDeque<(OrderKey, String)>);

impl OwnLines {
    fn add(&mut self, key: OrderKey, text: &str) {
        if self.0.len() >= OWN_LINES {
            self.0.pop_front();
        }
        self.0.push_back((key, text.to_owned()));
    }

    fn get(&self, id: LineId) -> Option<(String, &str)> {
        let (key, text) = self.0.iter().find(|(key, _)| key.id == id)?;
        Some((key.to_string(), text))
    }
}

/// What somebody typed: words, or after "/me " what they do.
fn typed(text: &str) -> Content {
    match text.strip_prefix("/me ").map(str::trim) {
        Some(action) if !action.is_empty() => Content { body: Body::Action(action.to_owned()), to: None },
        _ => Content::text(text),
    }
}

/// The words of a line, and whether they tell what somebody does; none of lines that are shown in another way.
fn words(body: Body) -> Option<(String, bool)> {
    match body {
        Body::Text(text) => Some((text, false)),
        Body::Action(text) => Some((text, true)),
        Body::Reaction(_) | Body::Sealed { .. } => None,
    }
}

impl Director {
    /// Says what was typed. [`Event::Said`] or [`Event::Unsaid`] follows.
    pub(super) fn speak(&self, text: String) {
        if text.len() > CHAT_TEXT_BYTES_MAX {
            let why = format!("the line has {} bytes, and {CHAT_TEXT_BYTES_MAX} are the most", text.len());
            self.tell_event(Event::Unsaid { text, why });
        } else if !self.control.send(Ask::Say(typed(&text))) {
            self.tell_event(Event::Unsaid { text, why: Unsaid::TooMany.to_string() });
        }
    }

    /// A line of one's own was said.
    pub(super) fn said(&self, id: LineId) {
        if let Some((id, _)) = self.own_lines.get(id) {
            self.tell_event(Event::Said { id });
        }
    }

    /// A line of one's own was not.
    pub(super) fn unsaid(&self, content: Content, why: &Unsaid) {
        let text = words(content.body).map(|(text, _)| text).unwrap_or_default();
        self.tell_event(Event::Unsaid { text, why: why.to_string() });
    }

    /// Something happened in the chat.
    pub(super) fn chatted(&mut self, event: chat::Event) {
        match event {
            chat::Event::Line(line) => self.line(line),
            chat::Event::Delivered(id, delivery) => {
                if let Some((id, _)) = self.own_lines.get(id) {
                    let (have, present) = (delivery.have, delivery.present);
                    self.tell_event(Event::Delivered { id, have, present });
                }
            }
            chat::Event::Unheard(id) => {
                if let Some((id, text)) = self.own_lines.get(id) {
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
        let Line { key, name, wall, content, late } = line;
        let Some((text, action)) = words(content.body) else {
            return;
        };
        let member = key.id.member;
        let own = member == self.shared.state().own.id;
        if own {
            self.own_lines.add(key, &text);
        }
        let from = self.name_of(member).unwrap_or_else(|| names::clean_name(&name, NAME_BYTES_MAX));
        let (id, member) = (key.to_string(), member.to_string());
        let message = Message { id, from, member, own, text, action, at: wall, late, private: false };
        self.tell_event(Event::Message(message));
    }

    /// The name somebody is shown by, if they are or were here.
    fn name_of(&self, member: ParticipantId) -> Option<String> {
        let state = self.shared.state();
        if member == state.own.id { Some(state.own.name.clone()) } else { state.people.name_of(&member) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(typed(text), content, "{text:?}");
        }
    }

    #[test]
    fn own_lines_are_bounded_and_found() {
        let key =
            |n: u64| OrderKey { time: n, id: LineId { member: ParticipantId([1; 16]), run: 2, number: n as u32 } };
        let mut lines = OwnLines::default();
        (0..OWN_LINES as u64 + 1).for_each(|n| lines.add(key(n), "hi"));
        assert_eq!(lines.get(key(0).id), None);
        let id = format!("{:016x}-{}-{:08x}-{:08x}", 1, "01".repeat(16), 2, 1);
        assert_eq!(lines.get(key(1).id), Some((id, "hi")));
    }
}
