//! The chat on a whole terminal: what was said, who is here, and a line to type in.
//!
//! ```text
//! terminal --keys--> [thread] --.
//! conference --------events------+--> Room: log, prompt, view --> screen
//! ```
//! Nothing is drawn while nothing happens. The terminal is as it was before when the program ends, also by a signal or a
//! panic.

mod draw;
mod input;
mod log;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, bounded, never, select};
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::{execute, terminal};
use ratatui::layout::{Position, Rect};

use self::draw::{Look, Parts};
use self::input::Prompt;
use self::log::Log;
use super::chat::LAST_LINES;
use super::doctor;
use super::failure::{Failure, code};
use super::pace::Pace;
use super::transcript::News;
use super::typed::{COMMANDS, Meaning, Typed};
use crate::conference::emoji;
use crate::conference::view::{Attention, Command, NoticeKind};
use crate::conference::{Conference, Event};
use crate::device::clock::{self, Clock};
use crate::time::NtpTime;

/// People who raise hands or go away are told about; the list of them is looked at anew as often, whatever happens.
const REFRESH: Duration = Duration::from_secs(1);

/// Whether there is a terminal to take whole: somebody who types and looks, on one that can move its cursor and knows
/// its size (a serial line does not).
pub fn possible() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let sized = || terminal::size().is_ok_and(|(columns, rows)| columns > 0 && rows > 0);
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb && sized()
}

/// Somebody who is here.
struct Face {
    name: String,
    /// "owner", "moderator" or "member".
    role: &'static str,
    me: bool,
    attention: Attention,
}

/// What is shown.
pub struct Room {
    log: Log,
    prompt: Prompt,
    title: String,
    open: bool,
    people: Vec<Face>,
    leaving: bool,
    news: News,
}

/// What a key asks for beyond this screen.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing.
    None,
    /// A typed line.
    Line(String),
    /// Leave at once.
    Leave,
}

impl Room {
    fn new(clock: Clock) -> Self {
        Self {
            log: Log::default(),
            prompt: Prompt::default(),
            title: String::new(),
            open: false,
            people: Vec::new(),
            leaving: false,
            news: News::new(clock),
        }
    }

    /// Looks at who is here; whether the conference goes on.
    fn look_around(&mut self, conference: &Conference) -> bool {
        let (view, (me, others)) = (conference.view(), conference.names());
        let of = |name: &str| view.people.iter().find(|p| p.name == name).map(|p| p.attention).unwrap_or_default();
        let face = |(name, role): (String, _), me| Face {
            attention: if me { view.attention } else { of(&name) },
            name,
            role,
            me,
        };
        self.people =
            std::iter::once(face(me, true)).chain(others.into_iter().map(|other| face(other, false))).collect();
        (self.title, self.open) = (view.title, view.open);
        !view.ended
    }

    fn happened(&mut self, event: &Event, now: NtpTime) {
        match event {
            Event::Message(message) => self.log.said(message.clone()),
            Event::Reaction(reaction) => self.log.reacted(reaction),
            Event::Delivered { id, have, present } => self.log.delivered(id, *have, *present),
            Event::Unheard { id, .. } => self.log.unheard(id),
            Event::Unsaid { why, .. } => self.log.note(now, format!("not said: {why}"), true),
            Event::Notice { kind: NoticeKind::Warning, text } => self.log.note(now, text.clone(), true),
            Event::Doctor { about, report } => {
                for line in doctor::lines(report, about.as_deref()) {
                    self.log.note(now, line, true);
                }
            }
            _ => {
                if let Some(text) = self.news.of(event) {
                    self.log.note(now, text, false);
                }
            }
        }
    }

    fn pressed(&mut self, key: KeyEvent, look: &Look, page: usize) -> Wish {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let height = |entry: &log::Entry| look.height(entry);
        match key.code {
            KeyCode::Char('c') if control => return Wish::Leave,
            KeyCode::Char('d') if control && self.prompt.text().is_empty() => return Wish::Line("/quit".into()),
            KeyCode::Enter if key.modifiers.contains(KeyModifiers::ALT) => self.prompt.paste("\n"),
            KeyCode::Enter => {
                let text = self.prompt.take();
                return if text.trim().is_empty() { Wish::None } else { Wish::Line(text) };
            }
            KeyCode::Tab => {
                let names: Vec<String> = self.people.iter().filter(|p| !p.me).map(|p| p.name.clone()).collect();
                self.prompt.complete(&names, &COMMANDS);
            }
            KeyCode::Up if control => self.prompt.recall(true),
            KeyCode::Down if control => self.prompt.recall(false),
            KeyCode::Up => {
                self.log.select_before();
                self.log.show_selected(page, height);
            }
            KeyCode::Down => {
                self.log.select_after();
                self.log.show_selected(page, height);
            }
            KeyCode::PageUp => self.log.scroll(page.saturating_sub(1).max(1) as isize, page, height),
            KeyCode::PageDown => self.log.scroll(-(page.saturating_sub(1).max(1) as isize), page, height),
            KeyCode::Esc if self.log.selected().is_some() => self.log.unselect(),
            KeyCode::Esc => {
                self.log.follow();
                self.prompt.clear();
            }
            _ => drop(self.prompt.edit(key)),
        }
        Wish::None
    }

    /// What a typed line comes to; a selected line is what it is about.
    fn meaning(&mut self, text: &str, conference: &Conference) -> Meaning {
        let text = emoji::with_emoji(text);
        let selected = self.log.selected_line().map(|line| line.message.id.clone());
        let typed = match Typed::parse(&text, true) {
            Typed::Say(words) if selected.is_some() && !words.starts_with("/me ") => Typed::Reply(words),
            typed => typed,
        };
        let about = selected.or_else(|| self.log.last_of_others().map(|message| message.id.clone()));
        let meaning = typed.meaning(conference, about.as_deref());
        if matches!(meaning, Meaning::Ask(Command::Reply(..) | Command::React(..))) {
            self.log.unselect();
        }
        self.log.follow();
        meaning
    }

    fn grant(&mut self, wish: Wish, conference: &Arc<Conference>, pace: &Arc<Pace>) {
        let (commands, now) = (conference.commands(), conference.clock().wall());
        let text = match wish {
            Wish::None => return,
            Wish::Leave => return drop(commands.send(Command::Leave)),
            Wish::Line(text) => text,
        };
        match self.meaning(&text, conference) {
            Meaning::Ask(command) if pace.has_room_for(&command) => drop(commands.send(command)),
            Meaning::Ask(_) => {
                self.prompt.paste(&text);
                self.log.note(now, "the lines before are still on their way: wait a moment".into(), true);
            }
            Meaning::Answer(text) => self.log.note(now, text, false),
            Meaning::Refuse(why) => self.log.note(now, why, true),
            Meaning::Quit => {
                self.leaving = true;
                let pace = Arc::clone(pace);
                // Drawing goes on meanwhile.
                std::thread::spawn(move || {
                    pace.wait_until_heard(LAST_LINES);
                    let _ = commands.send(Command::Leave);
                });
            }
        }
    }
}

/// Shows the conference until it is over.
pub fn run(conference: &Arc<Conference>) -> Result<(), Failure> {
    let terminal = ratatui::try_init().and_then(|terminal| {
        execute!(std::io::stdout(), EnableBracketedPaste)?;
        Ok(terminal)
    });
    let outcome = terminal.and_then(|mut terminal| show(conference, &mut terminal));
    let _ = execute!(std::io::stdout(), DisableBracketedPaste);
    ratatui::restore();
    let failed =
        |error| Failure::words(code::DEVICE, format!("the terminal: {error}")).hint("--plain needs less of it");
    outcome.map_err(failed)
}

fn show(conference: &Arc<Conference>, terminal: &mut ratatui::DefaultTerminal) -> std::io::Result<()> {
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (mut events, mut keys) = (conference.events(), keys());
    let pace = Arc::<Pace>::default();
    let mut room = Room::new(conference.clock().clone());
    loop {
        if !room.look_around(conference) {
            pace.end();
            return Ok(());
        }
        let parts = Parts::of(Rect::from((Position::ORIGIN, terminal.size()?)));
        let date = clock::local(conference.clock().wall()).date;
        let look = Look { columns: usize::from(parts.log.width), date, coloured };
        terminal.draw(|frame| draw::draw(&room, &look, frame))?;
        select! {
            recv(events) -> event => match event {
                Ok(event) => for event in std::iter::once(event).chain(events.try_iter()) {
                    pace.note(&event);
                    room.happened(&event, conference.clock().wall());
                },
                Err(_) => events = never(),
            },
            recv(keys) -> input => match input {
                Ok(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                    let wish = room.pressed(key, &look, usize::from(parts.log.height));
                    room.grant(wish, conference, &pace);
                }
                Ok(Input::Paste(text)) => room.prompt.paste(&text),
                Ok(_) => {}
                // The terminal is gone.
                Err(_) => {
                    keys = never();
                    room.grant(Wish::Leave, conference, &pace);
                }
            },
            recv(after(REFRESH)) -> _ => {}
        }
    }
}

/// Keys as they are pressed. The thread is not joined: nothing wakes a blocked read.
fn keys() -> Receiver<Input> {
    let (pressed, keys) = bounded(256);
    std::thread::spawn(move || {
        while let Ok(input) = event::read() {
            if pressed.send(input).is_err() {
                break;
            }
        }
    });
    keys
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::conference::{Message, Quoted, Reaction};
    use crate::time::Timestamp;

    pub fn message(id: &str, from: &str, text: &str) -> Message {
        Message {
            id: id.into(),
            from: from.into(),
            member: from.into(),
            own: false,
            text: text.into(),
            action: false,
            at: NtpTime(0),
            late: false,
            audience: None,
            reply: None,
        }
    }

    pub fn reaction(from: &str, emoji: &str, line: &str) -> Reaction {
        let line = Quoted { id: line.into(), from: "Ada".into(), text: String::new() };
        let (id, member) = (format!("{from}{emoji}"), from.into());
        Reaction { id, from: from.into(), member, own: false, emoji: emoji.into(), at: NtpTime(0), line }
    }

    fn room(names: &[&str]) -> Room {
        let mut room = Room::new(Clock::manual(Timestamp::from_millis(1)));
        let face = |(n, name): (usize, &&str)| Face {
            name: (*name).into(),
            role: if n == 0 { "owner" } else { "member" },
            me: n == 0,
            attention: Attention { hand: n == 1, away: n == 2, ..Attention::default() },
        };
        room.title = "Standup".into();
        room.people = names.iter().enumerate().map(face).collect();
        room
    }

    fn look(columns: u16) -> Look {
        let date = clock::local(NtpTime(0)).date;
        Look { columns: columns.into(), date, coloured: true }
    }

    /// The screen as text, times of day left out.
    fn screen(room: &Room, columns: u16, rows: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let parts = Parts::of(Rect::new(0, 0, columns, rows));
        terminal.draw(|frame| draw::draw(room, &look(parts.log.width), frame)).unwrap();
        let time = clock::local(NtpTime(0)).time;
        let buffer = terminal.backend().buffer().clone();
        let row = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..rows).map(|y| row(y).replace(&time[..5], "00:00").trim_end().to_owned()).collect()
    }

    fn press(room: &mut Room, code: KeyCode) -> Wish {
        room.pressed(KeyEvent::new(code, KeyModifiers::NONE), &look(40), 5)
    }

    #[test]
    fn a_wide_screen_shows_lines_people_and_what_is_typed() {
        let mut room = room(&["Ada", "Bob", "Cyd"]);
        room.log
            .said(Message { own: true, ..message("1", "Ada", "tea at four, in the small room behind the stairs?") });
        room.log.reacted(&reaction("Bob", "👍", "1"));
        room.log.delivered("1", 1, 2);
        let reply = Some(Quoted { id: "1".into(), from: "Ada".into(), text: "tea at four".into() });
        room.log.said(Message { reply, ..message("2", "Bob", "yes") });
        room.log.said(Message { audience: Some(vec!["Ada".into()]), ..message("3", "Cyd", "psst\nbehind") });
        room.log.said(Message { action: true, ..message("4", "Cyd", "waves") });
        room.prompt.paste("so it is");
        let shown = screen(&room, 72, 13);
        let rule = "─".repeat(72);
        let expected = [
            " Standup: 3 here · protected",
            "00:00 Ada: tea at four, in the small room       │ Ada (you, owner)",
            "      behind the stairs? 1/2 have it            │ Bob ✋",
            "      👍 Bob                                    │ Cyd away",
            "      ┌ Ada: tea at four                        │",
            "00:00 Bob: yes                                  │",
            "00:00 Cyd (privately to Ada): psst              │",
            "      behind                                    │",
            "00:00 * Cyd waves                               │",
            "                                                │",
            &rule,
            "> so it is",
            "Tab completes · Up answers a line · PgUp scrolls · /help · Ctrl-C leaves",
        ];
        // A character of two columns leaves an empty cell behind it.
        let shown: Vec<String> = shown.iter().map(|row| row.replace("👍  ", "👍 ").replace("✋ ", "✋")).collect();
        assert_eq!(shown.iter().map(|row| row.trim_end()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn screens_of_any_size_are_drawn() {
        let mut room = room(&["Ada", "Bob"]);
        room.log.said(message("1", "Somebody with a rather long name", &"長い".repeat(50)));
        room.prompt.paste(&"typed ".repeat(40));
        room.log.note(NtpTime(0), "words".into(), true);
        for columns in [1, 2, 5, 10, 20, 71, 72, 300] {
            for rows in [1, 2, 3, 4, 5, 60] {
                assert_eq!(screen(&room, columns, rows).len(), usize::from(rows));
            }
        }
    }

    #[test]
    fn what_others_write_stays_in_its_place() {
        let mut room = room(&["Ada"]);
        room.log.said(message("1", "B\x1b[0mob\n12:00 Eve", "a\x1b[2J\u{202e}b\r\n12:00 Ada: c"));
        let shown = screen(&room, 71, 6);
        assert_eq!(shown[1..3], ["00:00 B[0mob12:00 Eve: a[2Jb", "      12:00 Ada: c"]);
    }

    #[test]
    fn a_selected_line_is_what_is_answered() {
        let mut room = room(&["Ada", "Bob"]);
        room.log.said(message("1", "Bob", "tea?"));
        room.log.said(message("2", "Bob", "or coffee?"));
        press(&mut room, KeyCode::Up);
        press(&mut room, KeyCode::Up);
        assert!(screen(&room, 71, 8).iter().any(|row| row.starts_with("answering Bob: tea?")));
        assert_eq!(room.log.selected_line().unwrap().message.id, "1");
        press(&mut room, KeyCode::Esc);
        assert_eq!(room.log.selected(), None);
        room.prompt.paste("typed");
        press(&mut room, KeyCode::Esc);
        assert_eq!(room.prompt.text(), "");
    }

    #[test]
    fn new_lines_are_counted_while_others_are_looked_at() {
        let mut room = room(&["Ada", "Bob"]);
        (0..20).for_each(|n| room.log.said(message(&format!("{n:02}"), "Bob", &n.to_string())));
        press(&mut room, KeyCode::PageUp);
        let before = screen(&room, 40, 10)[1..6].to_vec();
        room.happened(&Event::Message(message("20", "Bob", "new")), NtpTime(0));
        let shown = screen(&room, 40, 10);
        assert_eq!(shown[1..6], before[..], "nothing jumps");
        assert_eq!(shown.last().unwrap(), "1 new line below · Esc");
        press(&mut room, KeyCode::Esc);
        assert!(screen(&room, 40, 10).iter().any(|row| row.ends_with("Bob: new")));
    }

    #[test]
    fn keys_do_what_the_last_row_says() {
        let mut room = room(&["Ada", "Bob"]);
        assert_eq!(press(&mut room, KeyCode::Enter), Wish::None, "nothing is typed");
        for c in "bo".chars() {
            press(&mut room, KeyCode::Char(c));
        }
        press(&mut room, KeyCode::Tab);
        assert_eq!(press(&mut room, KeyCode::Enter), Wish::Line("Bob: ".into()));
        let mut with = |code, modifiers| room.pressed(KeyEvent::new(code, modifiers), &look(40), 5);
        assert_eq!(with(KeyCode::Up, KeyModifiers::CONTROL), Wish::None);
        assert_eq!(with(KeyCode::Char('d'), KeyModifiers::CONTROL), Wish::None, "something is typed");
        assert_eq!(with(KeyCode::Enter, KeyModifiers::ALT), Wish::None);
        assert_eq!(with(KeyCode::Enter, KeyModifiers::NONE), Wish::Line("Bob: \n".into()));
        assert_eq!(with(KeyCode::Char('d'), KeyModifiers::CONTROL), Wish::Line("/quit".into()));
        assert_eq!(with(KeyCode::Char('c'), KeyModifiers::CONTROL), Wish::Leave);
    }
}
