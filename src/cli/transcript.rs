//! The chat as lines of a terminal, or as plain text where there is none.
//!
//! ```text
//! 12:03:05 Ada: hi            12:03:07 * Bob waves            12:03:09 -- Cyd joined
//! ```
//! What others wrote is shown without control characters and marks that turn the direction of writing, and its further
//! lines are indented: nobody can write into another's line or pass off a line as somebody else's.

use super::doctor;
use super::files;
use crate::conference::{Event, Message, PersonState};
use crate::device::clock::{self, Clock, LocalTime};
use crate::protocol::roster::names;
use crate::time::{NtpTime, Timestamp};

/// Those who are known so soon after joining were here before.
const HERE_BEFORE: std::time::Duration = std::time::Duration::from_secs(1);
/// Stands before all but the first line of a text.
const INDENT: &str = "         ";

/// Colours (ECMA-48 "select graphic rendition").
mod colour {
    pub const TIME: &str = "90";
    pub const NAME: &str = "1;36";
    pub const OWN_NAME: &str = "1;32";
    pub const TEXT: &str = "39";
    pub const OWN_TEXT: &str = "32";
    pub const NOTE: &str = "33";
}

/// What is worth telling of events that are no lines of the chat.
pub struct News {
    clock: Clock,
    joined: Option<Timestamp>,
}

impl News {
    /// Before anything has happened.
    pub fn new(clock: Clock) -> Self {
        Self { clock, joined: None }
    }

    /// The words; none when there is nothing to tell.
    pub fn of(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Joined { conference, name, .. } => {
                self.joined = Some(self.clock.now());
                Some(format!("you are in \"{conference}\" as {name}"))
            }
            // Told with the name of whom it was by.
            Event::Person(person) if person.state == PersonState::Removed => None,
            Event::Person(person) => {
                let before = self.joined.is_none_or(|joined| self.clock.now().since(joined) < HERE_BEFORE);
                let news = if before && person.state == PersonState::Joined { "is here" } else { person.news };
                (!news.is_empty()).then(|| format!("{} {news}", person.name))
            }
            Event::Door { text, .. } => (!text.is_empty()).then(|| text.clone()),
            other => files::news(other),
        }
    }
}

/// Turns events into lines.
pub struct Transcript {
    coloured: bool,
    clock: Clock,
    news: News,
    /// Date of the last line.
    date: String,
    /// The last line that somebody else said, by its id.
    last: Option<String>,
}

impl Transcript {
    /// Times without a date are of today. `coloured`: for a terminal.
    pub fn new(coloured: bool, clock: Clock) -> Self {
        let date = clock::local(clock.wall()).date;
        Self { coloured, news: News::new(clock.clone()), clock, date, last: None }
    }

    /// The lines of an event; none when it is nothing to read here.
    pub fn lines(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Message(message) => {
                if !message.own {
                    self.last = Some(message.id.clone());
                }
                Some(self.message(message))
            }
            Event::Reaction(r) => {
                let text = format!("{} reacts {} to {}: {}", r.from, r.emoji, r.line.from, r.line.text);
                Some(self.note_at(r.at, &text))
            }
            Event::Unheard { text, .. } => Some(self.note(&format!("nobody could receive: {text}"))),
            Event::Doctor { about, report } => {
                Some(doctor::lines(report, about.as_deref()).iter().map(|line| self.note(line)).collect())
            }
            _ => self.news.of(event).map(|text| self.note(&text)),
        }
    }

    /// What one replies and reacts to: the last line of somebody else, by its id.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// A line of the program's own.
    pub fn note(&mut self, text: &str) -> String {
        self.note_at(self.clock.wall(), text)
    }

    fn note_at(&mut self, at: NtpTime, text: &str) -> String {
        let at = self.at(&clock::local(at));
        format!("{at} {}", self.paint(colour::NOTE, &format!("-- {}", visible(text))))
    }

    fn message(&mut self, message: &Message) -> String {
        let at = self.at(&clock::local(message.at));
        let (name_colour, text_colour) = match message.own {
            true => (colour::OWN_NAME, colour::OWN_TEXT),
            false => (colour::NAME, colour::TEXT),
        };
        let name = self.paint(name_colour, &visible(&message.from));
        let text = self.paint(text_colour, &visible(&message.text));
        let late = if message.late { self.paint(colour::TIME, " (came late)") } else { String::new() };
        let about = message.reply.as_ref().map_or(String::new(), |line| {
            self.paint(colour::TIME, &format!(" (to {}: {})", visible(&line.from), visible(&line.text)))
        });
        let private = message.audience.as_ref().map_or(String::new(), |names| {
            self.paint(colour::NOTE, &format!(" (privately to {})", visible(&names.join(", "))))
        });
        match message.action {
            true => format!("{at} * {name} {text}{private}{about}{late}"),
            false => format!("{at} {name}{private}: {text}{about}{late}"),
        }
    }

    /// The time, after a line with the date where that is another one than before.
    fn at(&mut self, local: &LocalTime) -> String {
        let time = self.paint(colour::TIME, &local.time);
        if local.date == self.date {
            return time;
        }
        self.date.clone_from(&local.date);
        format!("{}\n{time}", self.paint(colour::TIME, &format!("-- {} --", local.date)))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A text that does nothing but stand there.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.trim_end().lines().enumerate() {
        if n > 0 {
            out.push('\n');
            out.push_str(INDENT);
        }
        out.extend(line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|&c| !names::is_hidden(c)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::view::Attention;
    use crate::conference::{PersonEvent, Quoted, Reaction};

    fn message(from: &str, text: &str) -> Message {
        Message {
            id: "1".into(),
            from: from.into(),
            member: "2".into(),
            own: false,
            text: text.into(),
            action: false,
            at: clock().wall(),
            late: false,
            audience: None,
            reply: None,
        }
    }

    fn quoted() -> Quoted {
        Quoted { id: "1".into(), from: "Ada".into(), text: "tea?".into() }
    }

    fn reaction() -> Reaction {
        let Message { id, from, member, own, at, .. } = message("Bob", "");
        Reaction { id, from, member, own, emoji: "👍".into(), at, line: quoted() }
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_millis(1))
    }

    fn plain(event: &Event) -> String {
        // The time of day depends on where this runs.
        Transcript::new(false, clock()).lines(event).unwrap()[9..].to_owned()
    }

    #[test]
    fn lines_read_as_people_expect() {
        let own = Message { own: true, ..message("Ada", "hi") };
        for (event, line) in [
            (Event::Message(message("Bob", "hi 👍🏽")), "Bob: hi 👍🏽"),
            (Event::Message(own), "Ada: hi"),
            (Event::Message(Message { action: true, ..message("Bob", "waves") }), "* Bob waves"),
            (Event::Message(Message { late: true, ..message("Bob", "hi") }), "Bob: hi (came late)"),
            (Event::Message(Message { reply: Some(quoted()), ..message("Bob", "yes") }), "Bob: yes (to Ada: tea?)"),
            (Event::Reaction(reaction()), "-- Bob reacts 👍 to Ada: tea?"),
            (Event::Unheard { id: "1".into(), text: "hi".into() }, "-- nobody could receive: hi"),
        ] {
            assert_eq!(plain(&event), line);
        }
    }

    #[test]
    fn what_others_write_moves_no_cursor_and_makes_no_line_of_its_own() {
        for (text, shown) in [
            ("a\x1b[2Jb\x07\u{9b}c", "Bob: a[2Jbc"),
            ("one\r\n12:00:00 Ada: two\n\n", "Bob: one\n         12:00:00 Ada: two"),
            ("a\u{2028}b\u{202e}c\td", "Bob: abc d"),
            ("a\rb", "Bob: ab"),
        ] {
            assert_eq!(plain(&Event::Message(message("Bob", text))), shown, "{text:?}");
        }
        assert_eq!(plain(&Event::Message(message("B\x1b[0mo\nb", "x"))), "B[0mo\n         b: x");
    }

    #[test]
    fn each_part_has_a_colour_of_its_own_on_a_terminal_only() {
        let mut transcript = Transcript::new(true, clock());
        let colours = |line: &str| {
            let codes: Vec<String> =
                line.split("\x1b[").skip(1).map(|s| s.split('m').next().unwrap_or("").to_owned()).collect();
            codes.into_iter().filter(|c| c != "0").collect::<Vec<_>>()
        };
        let others = transcript.lines(&Event::Message(message("Bob", "hi"))).unwrap();
        let own = transcript.lines(&Event::Message(Message { own: true, ..message("Ada", "hi") })).unwrap();
        let all: Vec<String> = colours(&others).into_iter().chain(colours(&own)).collect();
        assert_eq!(all, ["90", "1;36", "39", "90", "1;32", "32"]);
        let bare = Transcript::new(false, clock()).lines(&Event::Message(message("Bob", "hi"))).unwrap();
        assert!(!bare.contains('\x1b'));
    }

    #[test]
    fn another_day_is_told_once() {
        let (clock, day) = (clock(), std::time::Duration::from_secs(86_400));
        let mut transcript = Transcript::new(false, clock.clone());
        let old = Message { at: clock.wall().offset(-(day.as_nanos() as i64)), ..message("Bob", "hi") };
        let dated = |line: Option<String>| line.is_some_and(|line| line.starts_with("-- 20") && line.contains(" --\n"));
        assert!(dated(transcript.lines(&Event::Message(old.clone()))));
        assert!(!dated(transcript.lines(&Event::Reaction(Reaction { at: old.at, ..reaction() }))));
        assert!(!dated(transcript.lines(&Event::Message(old))));
        assert!(dated(transcript.lines(&Event::Message(message("Bob", "hi")))));
    }

    #[test]
    fn those_who_were_here_before_did_not_join_now() {
        let clock = clock();
        let mut transcript = Transcript::new(false, clock.clone());
        let event = |name: &str, state, news| {
            Event::Person(PersonEvent {
                name: name.into(),
                id: "1".into(),
                state,
                news,
                muted: false,
                camera: "off",
                attention: Attention::default(),
                role: "member",
                address: std::net::Ipv4Addr::LOCALHOST.into(),
                transport: "groups",
            })
        };
        let mut does = |state, news| transcript.lines(&event("Bob", state, news)).map(|line| line[9..].to_owned());
        assert_eq!(does(PersonState::Joined, "joined").as_deref(), Some("-- Bob is here"));
        assert_eq!(does(PersonState::Changed, ""), None);
        assert_eq!(does(PersonState::Changed, "raises a hand").as_deref(), Some("-- Bob raises a hand"));
        assert_eq!(does(PersonState::Left, "left").as_deref(), Some("-- Bob left"));
        let joined = Event::Joined { conference: "Standup".into(), id: "2".into(), name: "Ada".into(), open: false };
        assert!(transcript.lines(&joined).is_some_and(|line| line.ends_with("you are in \"Standup\" as Ada")));
        clock.advance(HERE_BEFORE);
        transcript.news.joined = Some(Timestamp::from_millis(1));
        let event = event("Cyd", PersonState::Joined, "joined");
        assert!(transcript.lines(&event).is_some_and(|line| line.ends_with("-- Cyd joined")));
    }
}
