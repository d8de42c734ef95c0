//! `start` and `join`: a conference of one's own, or one of those on this network.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::failure::{Failure, code};
use super::{ParticipantOptions, list, participate, passphrase};
use crate::conference::config::Config;
use crate::conference::{self, Entry, Role};
use crate::device::clock::Clock;
use crate::device::net::Interface;
use crate::limits;
use crate::pipeline::control;
use crate::protocol::discovery::Found;
use crate::protocol::roster::names;

/// How long conferences have to answer. They answer within 10..140 ms, to questions at 0, 150 and 450 ms.
const ANSWER_MS: u64 = 800;
/// The least time `join TITLE` looks, so that a second conference of that title is noticed.
const NAMESAKES_MS: u64 = 150;
/// How long `join TITLE` looks for a conference that does not answer at once.
const SEARCH_MS: u64 = 3_000;

/// Starts a conference and opens it.
pub fn start(title: Option<String>, open: bool, options: &ParticipantOptions) -> Result<(), Failure> {
    let config = options.config()?;
    participate::check(options)?;
    let title = title.unwrap_or_else(|| format!("{}'s conference", config.name));
    let title = check_title(&title)?;
    let passphrase = if open { None } else { passphrase::given(options)? };
    let protected = passphrase.is_some();
    let entry = Entry::Start { title: title.clone(), passphrase };
    let conference = participate::open(&config, entry, Role::Participant)?;
    if !open && !protected {
        eprintln!("note: this conference is open: anyone on this network can watch (--open says that you know,");
        eprintln!("      --passphrase-file FILE protects it)");
    }
    if !options.json {
        let interface = conference.interface_name();
        eprintln!("started \"{title}\" on {interface}; others join with: roundtable join \"{title}\"");
    }
    participate::stay(conference, &config, options).map(drop)
}

fn check_title(title: &str) -> Result<String, Failure> {
    let clean = names::clean(title, usize::MAX);
    if names::fold(&clean).is_empty() || clean.len() > limits::TITLE_BYTES_MAX {
        let text = format!("a title of 1 to {} bytes is expected, not \"{clean}\"", limits::TITLE_BYTES_MAX);
        return Err(Failure::usage(text).hint("for example: roundtable start \"Standup\""));
    }
    Ok(clean)
}

/// Joins the conference whose title is, or begins with, `title`; without one the user picks.
pub fn join(title: Option<&str>, options: &ParticipantOptions) -> Result<(), Failure> {
    let config = options.config()?;
    participate::check(options)?;
    let found = match title {
        Some(title) => find(title, &config)?,
        None => pick(&config)?,
    };
    if !options.json {
        eprintln!("joining \"{}\"", found.title);
    }
    let secret = passphrase::secret_for(&found, options)?;
    let conference = participate::open(&config, Entry::Join { found, secret }, Role::Participant)?;
    participate::stay(conference, &config, options).map(drop)
}

/// Looks for a conference by its title or id: the exact one, else the only one that begins so, whatever the case.
pub fn find(title: &str, config: &Config) -> Result<Found, Failure> {
    let interface = conference::choose_interface(config)?;
    let times = (Duration::from_millis(NAMESAKES_MS), Duration::from_millis(SEARCH_MS));
    let found = look(&interface, times, |found| found.iter().any(|f| is_called(f, title)))?;
    match among(&found, title).as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(nothing_found(&format!("no conference \"{title}\" answers on {}", interface.name), &found)),
        several => Err(ambiguous(title, several)),
    }
}

fn is_called(found: &Found, wanted: &str) -> bool {
    found.title == wanted || found.id.to_string() == wanted
}

/// Those meant by `wanted`.
fn among<'a>(found: &'a [Found], wanted: &str) -> Vec<&'a Found> {
    let exact: Vec<&Found> = found.iter().filter(|f| is_called(f, wanted)).collect();
    if !exact.is_empty() {
        return exact;
    }
    let beginning = wanted.to_lowercase();
    found.iter().filter(|f| f.title.to_lowercase().starts_with(&beginning)).collect()
}

fn ambiguous(wanted: &str, several: &[&Found]) -> Failure {
    Failure::words(code::NOT_FOUND, format!("several conferences answer to \"{wanted}\""))
        .hint(format!("write out one of: {}", told_apart(several)))
}

/// What one may type to mean each of them: the title, or the id where titles are the same.
fn told_apart(found: &[&Found]) -> String {
    let same_title = |f: &Found| found.iter().filter(|other| other.title == f.title).count() > 1;
    let name = |f: &&Found| match same_title(f) {
        false => format!("\"{}\"", f.title),
        true => format!("{} (\"{}\", announced by {})", f.id, f.title, f.source.ip()),
    };
    found.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The only conference on this network.
pub fn only(config: &Config) -> Result<Found, Failure> {
    let interface = conference::choose_interface(config)?;
    let mut found = all(&interface)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(nothing_found(&format!("no conference answers on {}", interface.name), &found)),
        _ => Err(nothing_found("several conferences answer: say which with --conference", &found)),
    }
}

fn nothing_found(text: &str, found: &[Found]) -> Failure {
    let hint = if found.is_empty() {
        "none answers at all: is the other machine on the same network? `roundtable devices` lists the interfaces, \
         --interface picks another"
            .to_owned()
    } else {
        format!("these answer: {}", told_apart(&found.iter().collect::<Vec<_>>()))
    };
    Failure::words(code::NOT_FOUND, text).hint(hint)
}

/// Everything that answers.
pub fn all(interface: &Interface) -> Result<Vec<Found>, Failure> {
    let time = Duration::from_millis(ANSWER_MS);
    look(interface, (time, time), |_| false)
}

/// Asks who is there, for these times at least and at most; in between `enough` ends it.
fn look(
    interface: &Interface,
    times: (Duration, Duration),
    enough: impl FnMut(&[Found]) -> bool,
) -> Result<Vec<Found>, Failure> {
    control::browse(interface, &Clock::system(), times, enough)
        .map_err(|e| Failure::new(code::NETWORK, e).hint("`roundtable devices` lists the network interfaces"))
}

/// The user picks by number from what answers.
fn pick(config: &Config) -> Result<Found, Failure> {
    let interface = conference::choose_interface(config)?;
    let found = all(&interface)?;
    if found.is_empty() {
        return Err(nothing_found(&format!("no conference answers on {}", interface.name), &found)
            .hint("start one: roundtable start \"Standup\""));
    }
    if !std::io::stdin().is_terminal() {
        let text = "which conference? stdin is no terminal to ask on";
        return Err(Failure::usage(text).hint("name it: roundtable join TITLE; `roundtable list` shows them"));
    }
    eprint!("{}", list::numbered(&found));
    loop {
        eprint!("join which? [1] ");
        std::io::stderr().flush()?;
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 {
            return Err(Failure::usage("no conference picked"));
        }
        match choice(&line, found.len()) {
            Some(index) => return Ok(found[index].clone()),
            None => eprintln!("a number from 1 to {} is expected", found.len()),
        }
    }
}

/// The index picked by an answer; nothing means the first.
fn choice(line: &str, count: usize) -> Option<usize> {
    let line = line.trim();
    let number: usize = if line.is_empty() { 1 } else { line.parse().ok()? };
    (1..=count).contains(&number).then(|| number - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_picker() {
        assert_eq!(choice("\n", 3), Some(0));
        assert_eq!(choice(" 3 \n", 3), Some(2));
        for bad in ["0", "4", "-1", "x", "1 2", "99999999999999999999999"] {
            assert_eq!(choice(bad, 3), None, "{bad}");
        }
    }

    #[test]
    fn titles_are_cleaned_or_refused() {
        assert_eq!(check_title("  Stand\u{7}up ").unwrap(), "Standup");
        assert_eq!(check_title("\u{202e}Physics\u{a0}\n 2").unwrap(), "Physics 2");
        assert!(check_title(" \n").is_err() && check_title("\u{200b}").is_err());
        assert!(check_title(&"x".repeat(limits::TITLE_BYTES_MAX + 1)).is_err());
    }
}
