//! `start` and `join`: a conference of one's own, or one of those on this network.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::passphrase::{self, Trial};
use super::{ParticipantOptions, json, list, participate, qr, report};
use crate::conference::config::Config;
use crate::conference::invite::{self, Invite};
use crate::conference::{self, Entry, Role};
use crate::device::clock::Clock;
use crate::device::net::Interface;
use crate::limits;
use crate::pipeline::control;
use crate::protocol::discovery::Found;
use crate::protocol::roster::names;

/// What there is to know of an open conference.
const ANYONE: &str = "anyone on this network can watch";
/// Stands for the invite on stdin.
const FROM_STDIN: &str = "-";
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
    let given = if open { None } else { passphrase::given(options)? };
    let made = if open || given.is_some() { None } else { Some(passphrase::generate()?) };
    let entry = Entry::Start { title: title.clone(), passphrase: given.or_else(|| made.clone()) };
    let conference = participate::open(&config, entry, Role::Participant)?;
    let pinned = config.group.is_some() || config.port.is_some();
    let plan = conference.plan();
    let invite =
        Invite { title, id: conference.id(), at: pinned.then(|| SocketAddr::from((plan.base, plan.port))), key: made };
    welcome(&invite, open, &conference.interface_name(), options.json)?;
    participate::stay(conference, &config, options).map(drop)
}

/// Tells how others come in. A passphrase of the user's own is not shown again; one made up here is known to nobody yet.
fn welcome(invite: &Invite, open: bool, interface: &str, json: bool) -> Result<(), Failure> {
    let (title, line) = (&invite.title, invite.to_line());
    if json {
        let passphrase = invite.key.as_deref();
        json::print(&json::invite_line(title, &invite.id.to_string(), open, passphrase, &line));
        return Ok(());
    }
    if open {
        eprintln!(
            "started \"{title}\" on {interface}, open: {ANYONE}; \
             others join with: roundtable join \"{title}\""
        );
        return Ok(());
    }
    eprintln!(
        "started \"{title}\" on {interface}, protected by a passphrase; others join with: roundtable join \"{title}\""
    );
    let passphrase = invite.key.as_deref().map_or(String::new(), |key| format!("passphrase: {key}\n"));
    let text = Zeroizing::new(format!("title:      {title}\n{passphrase}invite:     {}\n", *line));
    report::print(&text)?;
    if std::io::stdout().is_terminal() {
        report::print(&Zeroizing::new(qr::drawn(&line).unwrap_or_default()))?;
    }
    eprintln!(
        "the invite is for `roundtable join -`, which reads it from stdin{}",
        match invite.key {
            Some(_) => "; it holds the passphrase",
            None => " and asks for the passphrase",
        }
    );
    Ok(())
}

/// A title, cleaned, or why it is none.
pub(super) fn check_title(title: &str) -> Result<String, Failure> {
    let clean = names::clean(title, usize::MAX);
    if names::fold(&clean).is_empty() || clean.len() > limits::TITLE_BYTES_MAX {
        let text = format!("a title of 1 to {} bytes is expected, not \"{clean}\"", limits::TITLE_BYTES_MAX);
        return Err(Failure::usage(text).hint("for example: roundtable start \"Standup\""));
    }
    Ok(clean)
}

/// Joins the conference whose title is, or begins with, `title`, or with "-" the one of the invite on stdin; without one
/// the user picks.
pub fn join(title: Option<&str>, options: &ParticipantOptions) -> Result<(), Failure> {
    let config = options.config()?;
    participate::check(options)?;
    let mut trial = Trial::given(options)?;
    let found = match title {
        Some(title) => resolve(title, &config, &mut trial)?,
        None => pick(&config)?,
    };
    match (options.json, found.open) {
        (false, false) => eprintln!("joining \"{}\"", found.title),
        (false, true) => eprintln!("joining \"{}\", open: {ANYONE}", found.title),
        // Whether anybody reads is known when the first event is told.
        (true, true) => drop(json::print(&json::notice_line(&format!("open: {ANYONE}")))),
        (true, false) => {}
    }
    let secret = passphrase::secret_for(&found, trial)?;
    let conference = participate::open(&config, Entry::Join { found, secret }, Role::Participant)?;
    participate::stay(conference, &config, options).map(drop)
}

/// The conference called `title`, or with "-" the one of the invite on stdin; the passphrase that stands there is tried.
pub fn resolve(title: &str, config: &Config, trial: &mut Trial) -> Result<Found, Failure> {
    if title.starts_with(invite::SCHEME) {
        let text = "an invite is not given as an argument: every user of this machine could read it";
        return Err(Failure::usage(text).hint("`roundtable join -` reads it from stdin"));
    }
    if title != FROM_STDIN {
        return find(title, config, trial);
    }
    let mut invite = read_invite()?;
    trial.invite(invite.key.take());
    let interface = conference::choose_interface(config)?;
    let meant =
        |f: &Found| f.id == invite.id && invite.at.is_none_or(|at| (f.plan.base, f.plan.port) == (at.ip(), at.port()));
    // One entry is enough: the id is no name that two could have.
    let times = (Duration::ZERO, Duration::from_millis(SEARCH_MS));
    let found = look(&interface, &config.peers, times, |found| found.iter().any(&meant))?;
    match found.iter().find(|f| meant(f)) {
        Some(one) => Ok(one.clone()),
        None => {
            let title = names::clean(&invite.title, limits::TITLE_BYTES_MAX);
            let text = format!("the conference of the invite, \"{title}\", does not answer on {}", interface.name);
            Err(nothing_found(&text, &found))
        }
    }
}

/// The first line of stdin; what follows it is for whoever reads stdin next.
fn read_invite() -> Result<Invite, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("invite: ");
        std::io::stderr().flush()?;
    }
    let mut line = Zeroizing::new(Vec::with_capacity(limits::INVITE_BYTES_MAX + 2));
    stdin.lock().take(limits::INVITE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
    let wrong = |e: invite::Error| {
        let hint = format!("one line such as \"{}Standup?id=..&key=..\" is expected on stdin", invite::SCHEME);
        Failure::usage(e).hint(hint)
    };
    std::str::from_utf8(&line).map_err(|_| invite::Error::Foreign).and_then(str::parse).map_err(wrong)
}

/// Looks for a conference by its title or id: the exact one, else the only one that begins so, whatever the case. Its
/// passphrase is tried meanwhile.
pub fn find(title: &str, config: &Config, trial: &mut Trial) -> Result<Found, Failure> {
    let interface = conference::choose_interface(config)?;
    let times = (Duration::from_millis(NAMESAKES_MS), Duration::from_millis(SEARCH_MS));
    let found = look(&interface, &config.peers, times, |found| {
        let first = found.iter().find(|f| is_called(f, title));
        first.into_iter().for_each(|first| trial.begin(first));
        first.is_some()
    })?;
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
    let mut found = all(&interface, &config.peers)?;
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
pub fn all(interface: &Interface, peers: &[IpAddr]) -> Result<Vec<Found>, Failure> {
    let time = Duration::from_millis(ANSWER_MS);
    look(interface, peers, (time, time), |_| false)
}

/// Asks who is there, for these times at least and at most; in between `enough` ends it.
fn look(
    interface: &Interface,
    peers: &[IpAddr],
    times: (Duration, Duration),
    enough: impl FnMut(&[Found]) -> bool,
) -> Result<Vec<Found>, Failure> {
    control::browse_with(interface, peers, &Clock::system(), times, enough)
        .map_err(|e| Failure::new(code::NETWORK, e).hint("`roundtable devices` lists the network interfaces"))
}

/// The user picks by number from what answers.
fn pick(config: &Config) -> Result<Found, Failure> {
    let interface = conference::choose_interface(config)?;
    let found = all(&interface, &config.peers)?;
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
