//! The screen: title, what was said, who is here, what is typed, and what the keys do.
//!
//! ```text
//! | Standup: 3 here                                  |
//! | 12:03 Ada: tea?                  | Ada (you)     |
//! |       👍 Bob                     | Bob  ✋       |
//! |----------------------------------+---------------|
//! | > what is typed                                  |
//! | Enter sends ...                                  |
//! ```
//! What others wrote is shown without control characters and marks that turn the direction of writing.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Room;
use super::log::{Entry, Line};
use crate::cli::typed::part;
use crate::device::clock;
use crate::protocol::roster::names::is_hidden;
use crate::time::NtpTime;

/// Where wrapped text goes on.
const INDENT: usize = 6;
/// Columns of the list of people, and of a screen that has room for it.
const PEOPLE_COLUMNS: u16 = 24;
const WIDE_COLUMNS: u16 = 72;
const KEYS: &str = "Tab completes · Up answers a line · PgUp scrolls · /help · Ctrl-C leaves";

/// How entries are drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns there are.
    pub columns: usize,
    /// Of today; other dates are told.
    pub date: String,
    /// With colours.
    pub coloured: bool,
}

impl Look {
    fn style(&self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn dim(&self) -> Style {
        if self.coloured { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Everybody's own, the same for as long as they have their key.
    fn name(&self, member: &str, own: bool) -> Style {
        const COLOURS: [Color; 6] =
            [Color::Cyan, Color::Magenta, Color::Blue, Color::LightRed, Color::LightCyan, Color::LightMagenta];
        let sum: usize = member.bytes().map(usize::from).sum();
        let colour = if own { Color::Green } else { COLOURS[sum % COLOURS.len()] };
        self.style(colour).add_modifier(Modifier::BOLD)
    }

    fn time(&self, at: NtpTime) -> String {
        let local = clock::local(at);
        let minutes = local.time.get(..INDENT - 1).unwrap_or_default();
        match local.date == self.date {
            true => format!("{minutes} "),
            false => format!("{} {minutes} ", local.date),
        }
    }

    /// Rows an entry takes.
    pub fn height(&self, entry: &Entry) -> usize {
        self.rows(entry).len()
    }

    /// An entry, wrapped.
    pub fn rows(&self, entry: &Entry) -> Vec<Row<'static>> {
        match entry {
            Entry::Note { at, text, warning } => {
                let style = if *warning {
                    self.style(Color::LightRed).add_modifier(Modifier::BOLD)
                } else {
                    self.style(Color::Yellow)
                };
                let head = vec![Span::styled(self.time(*at), self.dim()), Span::styled("-- ", style)];
                self.wrapped(head, text, style, None)
            }
            Entry::Line(line) => self.line(line),
        }
    }

    fn line(&self, line: &Line) -> Vec<Row<'static>> {
        let message = &line.message;
        let mut rows = Vec::new();
        if let Some(quoted) = &message.reply {
            let text = format!("{}┌ {}: {}", " ".repeat(INDENT), clean(&quoted.from), clean(&quoted.text));
            rows.push(Row::styled(cut(&text, self.columns), self.dim()));
        }
        let name = self.name(&message.member, message.own);
        let mut head = vec![Span::styled(self.time(message.at), self.dim())];
        if message.action {
            head.push(Span::raw("* "));
        }
        head.push(Span::styled(clean(&message.from), name));
        if let Some(audience) = &message.audience {
            let to = format!(" (privately to {})", clean(&audience.join(", ")));
            head.push(Span::styled(to, self.style(Color::Yellow)));
        }
        head.push(Span::raw(if message.action { " " } else { ": " }));
        let text = if message.own { self.style(Color::Green) } else { Style::new() };
        let after = match (line.unheard, line.have, message.late) {
            (true, ..) => Some(("nobody could receive this".to_owned(), self.style(Color::LightRed))),
            (_, Some((have, present)), _) if have >= present => Some(("✓".to_owned(), self.dim())),
            (_, Some((have, present)), _) => Some((format!("{have}/{present} have it"), self.dim())),
            (.., true) => Some(("(came late)".to_owned(), self.dim())),
            _ => None,
        };
        rows.extend(self.wrapped(head, &message.text, text, after));
        for (emoji, names) in &line.reactions {
            let text = format!("{}{} {}", " ".repeat(INDENT), clean(emoji), clean(&names.join(", ")));
            rows.push(Row::styled(cut(&text, self.columns), self.dim()));
        }
        rows
    }

    /// A text behind its head, on as many rows as it takes.
    fn wrapped(
        &self,
        head: Vec<Span<'static>>,
        text: &str,
        style: Style,
        after: Option<(String, Style)>,
    ) -> Vec<Row<'static>> {
        let columns = self.columns.max(INDENT + 8);
        let mut taken: usize = head.iter().map(Span::width).sum();
        let (mut rows, mut row) = (Vec::new(), head);
        if taken + 8 > columns {
            rows.push(Row::from(std::mem::take(&mut row)));
            row.push(Span::raw(" ".repeat(INDENT)));
            taken = INDENT;
        }
        for (n, line) in text.trim_end().lines().enumerate() {
            let line = clean(line);
            let first = if n == 0 { taken } else { INDENT };
            let (initial, subsequent) = (" ".repeat(first), " ".repeat(INDENT));
            let options = textwrap::Options::new(columns).initial_indent(&initial).subsequent_indent(&subsequent);
            for (m, piece) in textwrap::wrap(&line, options).into_iter().enumerate() {
                if n > 0 || m > 0 {
                    rows.push(Row::from(std::mem::take(&mut row)));
                    row.push(Span::raw(subsequent.clone()));
                }
                let indent = if m == 0 { first } else { INDENT };
                row.extend(linked(piece.get(indent..).unwrap_or_default(), style));
            }
        }
        if let Some((words, style)) = after {
            if row.iter().map(Span::width).sum::<usize>() + 1 + words.width() > columns {
                rows.push(Row::from(std::mem::take(&mut row)));
                row.push(Span::raw(" ".repeat(INDENT - 1)));
            }
            row.push(Span::styled(format!(" {words}"), style));
        }
        rows.push(Row::from(row));
        rows
    }
}

/// Addresses are underlined, as whole words, so that terminals that open them find them.
fn linked(text: &str, style: Style) -> Vec<Span<'static>> {
    let is_address = |word: &str| ["http://", "https://", "mailto:"].iter().any(|begin| word.starts_with(begin));
    text.split_inclusive(' ')
        .map(|word| match is_address(word) {
            true => Span::styled(word.to_owned(), style.add_modifier(Modifier::UNDERLINED)),
            false => Span::styled(word.to_owned(), style),
        })
        .collect()
}

/// A text that does nothing but stand there.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|&c| !is_hidden(c)).collect()
}

/// As much of a text as fits.
fn cut(text: &str, columns: usize) -> String {
    let mut width = 0;
    text.chars()
        .take_while(|c| {
            width += c.width().unwrap_or(0);
            width <= columns
        })
        .collect()
}

/// Parts of a screen.
pub struct Parts {
    title: Rect,
    /// What was said.
    pub log: Rect,
    people: Option<Rect>,
    prompt: Rect,
    status: Rect,
}

impl Parts {
    /// Of a screen of that size.
    pub fn of(screen: Rect) -> Self {
        let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(2), Constraint::Length(1)];
        let [title, middle, prompt, status] = Layout::vertical(rows).areas(screen);
        if screen.width < WIDE_COLUMNS {
            return Self { title, log: middle, people: None, prompt, status };
        }
        let columns = [Constraint::Min(1), Constraint::Length(PEOPLE_COLUMNS)];
        let [log, people] = Layout::horizontal(columns).spacing(1).areas(middle);
        Self { title, log, people: Some(people), prompt, status }
    }
}

/// Draws all of it.
pub fn draw(room: &Room, look: &Look, frame: &mut Frame<'_>) {
    let parts = Parts::of(frame.area());
    let kind = if room.open { "open: anyone on this network can read it" } else { "protected" };
    let title = format!(" {}: {} here · {kind}", clean(&room.title), room.people.len());
    frame.render_widget(Paragraph::new(title).style(Style::new().add_modifier(Modifier::REVERSED)), parts.title);
    draw_log(room, look, frame, parts.log);
    if let Some(area) = parts.people {
        draw_people(room, look, frame, area);
    }
    draw_prompt(room, frame, parts.prompt);
    frame.render_widget(Paragraph::new(status(room)).style(look.dim()), parts.status);
}

fn draw_log(room: &Room, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let height = usize::from(area.height);
    let mut rows: Vec<Row<'static>> = Vec::with_capacity(height);
    for (place, entry, hidden) in room.log.seen() {
        let mut all = look.rows(entry);
        all.truncate(all.len() - hidden.min(all.len()));
        if room.log.selected() == Some(place) {
            all = all.into_iter().map(|row| row.style(Style::new().add_modifier(Modifier::REVERSED))).collect();
        }
        rows.extend(all.into_iter().rev());
        if rows.len() >= height {
            break;
        }
    }
    rows.truncate(height);
    rows.reverse();
    frame.render_widget(Paragraph::new(rows), area);
}

fn draw_people(room: &Room, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::LEFT).border_style(look.dim());
    let inner = block.inner(area);
    let room_for = usize::from(inner.height);
    let people = &room.people;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for person in people.iter().take(if people.len() > room_for { room_for.saturating_sub(1) } else { room_for }) {
        let role = part(person.role, person.me);
        let hand = if person.attention.hand { " ✋" } else { "" };
        let away = if person.attention.away { " away" } else { "" };
        let style = if person.attention.away { look.dim() } else { Style::new() };
        rows.push(Row::styled(format!(" {}{role}{hand}{away}", clean(&person.name)), style));
    }
    if people.len() > rows.len() {
        rows.push(Row::styled(format!(" and {} more", people.len() - rows.len()), look.dim()));
    }
    frame.render_widget(Paragraph::new(rows).block(block), area);
}

fn draw_prompt(room: &Room, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP);
    let inner = block.inner(area);
    let (text, cursor) = (room.prompt.text().replace('\n', "⏎"), room.prompt.cursor());
    // The sign is longer than what it stands for.
    let column = room.prompt.text()[..cursor].replace('\n', "⏎").width();
    let columns = usize::from(inner.width).saturating_sub(3);
    let skipped = column.saturating_sub(columns);
    let mut width = 0;
    let shown: String = text
        .chars()
        .skip_while(|c| {
            width += c.width().unwrap_or(0);
            width <= skipped && skipped > 0
        })
        .collect();
    frame.render_widget(Paragraph::new(format!("> {shown}")).block(block), area);
    if inner.width > 2 && inner.height > 0 {
        let x = inner.x + 2 + (column - skipped).min(columns) as u16;
        frame.set_cursor_position(Position::new(x, inner.y));
    }
}

fn status(room: &Room) -> String {
    if room.leaving {
        return "leaving when everybody has what was said; Ctrl-C: at once".into();
    }
    if let Some(line) = room.log.selected_line() {
        let about = format!("{}: {}", clean(&line.message.from), clean(&line.message.text));
        return format!("answering {} · /react EMOJI · Esc: not", cut(&about, 40));
    }
    match room.log.unread() {
        0 => KEYS.into(),
        1 => "1 new line below · Esc".into(),
        unread => format!("{unread} new lines below · Esc"),
    }
}
