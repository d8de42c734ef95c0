//! `roundtable chat`: the conference in a terminal, line by line, or for a script.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::failure::Failure;
use super::pace::Pace;
use super::transcript::Transcript;
use super::{ParticipantOptions, json, meet, participate};
use crate::conference::view::{Command, Decision, NoticeKind};
use crate::conference::{Conference, Event};

/// How long lines have to reach everybody once there are no more.
pub const LAST_LINES: Duration = Duration::from_secs(5);

/// At the end of the subcommand's help.
pub const EXAMPLES: &str = r#"Typed lines are said to everybody, and /help lists what else can be typed.
From a pipe all lines are said as they are, except /me, /msg, /hand, /away, /back, /who, /help and /quit, and
the commands of the owner and moderators: /lock, /unlock, /admit NAME, /refuse NAME, /kick NAME, and of the owner alone:
/moderator NAME, /moderator NAME off, /owner NAME.
With --json:
  {"do":"say","text":"tea?"}   with "to":"Bob" or "to":["Bob","Cyd"] privately, with "reply":ID in reply to the message of that id
  {"do":"react","emoji":"👍","line":ID}   {"do":"hand","on":true}   {"do":"away","on":true}   {"do":"leave"}
  {"do":"lock","on":true}   {"do":"admit","who":"Bob"}   {"do":"refuse","who":"Bob"}   {"do":"kick","who":"Bob"}
  {"do":"moderator","who":"Bob","on":true}   {"do":"owner","who":"Bob"}

Examples:
  roundtable chat Standup
  echo "back in ten minutes" | roundtable chat Standup
  echo '{"do":"say","text":"the build is broken"}' | roundtable chat Standup --json"#;

const HELP: &str = "every line is sent to everybody; /me waves tells what you do; \
                    /msg NAME TEXT tells one person alone, /msg NAME, NAME: TEXT some; \
                    /reply TEXT answers and /react EMOJI marks the last line of somebody else; /hand raises a hand and /hand down lowers it; /away and /back; /who lists who is here; \
                    /lock and /unlock, /admit NAME, /refuse NAME and /kick NAME are for the owner and moderators, \
                    /moderator NAME [off] and /owner NAME for the owner; \
                    /quit leaves; a line that begins with / is sent when it begins with //";

/// Joins with text alone, unless devices are asked for.
pub fn run(title: Option<&str>, options: &ParticipantOptions) -> Result<(), Failure> {
    if options.screenshot.is_some() {
        return Err(Failure::usage("a chat has no picture to write to --screenshot").hint("`roundtable join` has one"));
    }
    let none = |device: &Option<String>| device.clone().or_else(|| Some("none".to_owned()));
    let options = ParticipantOptions {
        camera: none(&options.camera),
        microphone: none(&options.microphone),
        speaker: none(&options.speaker),
        text: true,
        ..options.clone()
    };
    meet::join(title, &options)
}

/// The transcript on stdout, and what is typed on stdin; nothing but lines.
pub struct Terminal {
    transcript: Arc<Mutex<Transcript>>,
    /// What is typed is seen where the transcript is.
    echoed: bool,
    /// Somebody sits there.
    typed: bool,
}

impl Terminal {
    /// As stdin and stdout are.
    pub fn new(conference: &Conference) -> Self {
        let (typed, shown) = (std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
        let set = |variable: &str| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let transcript = Transcript::new(shown && !dumb && !set("NO_COLOR"), conference.clock().clone());
        Self { transcript: Arc::new(Mutex::new(transcript)), echoed: typed && shown && !dumb, typed }
    }

    /// Prints what happens until the conference is over; the channel closes then.
    pub fn print(&self, events: Receiver<Event>, pace: Arc<Pace>) -> Receiver<()> {
        let transcript = Arc::clone(&self.transcript);
        participate::tell(events, pace, move |event| {
            match event {
                Event::Notice { kind: NoticeKind::Warning, text } => eprintln!("warning: {text}"),
                Event::Unsaid { why, .. } => eprintln!("error: not said: {why}"),
                _ => {}
            }
            let lines = locked(&transcript).lines(event);
            lines.is_none_or(|lines| json::print(&lines))
        })
    }

    /// Sends what is typed, until there is no more; then leaves. The thread is not joined: nothing wakes a blocked read.
    pub fn read(self, conference: &Arc<Conference>, pace: Arc<Pace>) {
        let conference = Arc::downgrade(conference);
        let Some(commands) = conference.upgrade().map(|conference| conference.commands()) else {
            return;
        };
        std::thread::spawn(move || {
            let note = |text: &str| {
                let note = locked(&self.transcript).note(text);
                json::print(&note);
            };
            let ask = |command: Command| {
                pace.ask();
                let _ = commands.send(command);
            };
            // What was read last is what is meant.
            let about = |command: fn(String, String) -> Command, text: &str| {
                let last = locked(&self.transcript).last().map(str::to_owned);
                match last {
                    Some(last) => ask(command(last, text.to_owned())),
                    None => note("nobody else has said anything yet"),
                }
            };
            let leave = || {
                pace.wait_until_heard(LAST_LINES);
                let _ = commands.send(Command::Leave);
            };
            let _ = json::read_lines(std::io::stdin().lock(), |line| {
                if self.echoed {
                    erase_echo();
                }
                match line.map(|line| Typed::parse(line, self.typed)) {
                    Ok(Typed::Say(text)) => ask(Command::Say(text.to_owned())),
                    Ok(Typed::Whisper(rest)) => {
                        let here = conference.upgrade().map(|c| c.names().1).unwrap_or_default();
                        let names: Vec<String> = here.into_iter().map(|(name, _)| name).collect();
                        match addressed(rest, &names) {
                            Ok((names, text)) => ask(Command::Whisper(names, text.to_owned())),
                            Err(why) if self.typed => note(&why),
                            Err(why) => eprintln!("error: not said: {why}"),
                        }
                    }
                    Ok(Typed::Reply(text)) => about(Command::Reply, text),
                    Ok(Typed::React(emoji)) => about(Command::React, emoji),
                    Ok(Typed::Hand(on)) => drop(commands.send(Command::Hand(on))),
                    Ok(Typed::Away(on)) => drop(commands.send(Command::Away(on))),
                    Ok(Typed::Door(decision)) => drop(commands.send(Command::Door(decision))),
                    Ok(Typed::Who) => note(&conference.upgrade().map_or(String::new(), |c| who(&c))),
                    Ok(Typed::Help) => note(HELP),
                    Ok(Typed::Quit) => leave(),
                    Ok(Typed::Unknown(command)) => {
                        note(&format!("{command} is not understood; /help lists what there is"))
                    }
                    Err(text) => eprintln!("error: not said: {text}"),
                }
            });
            leave();
        });
    }
}

fn locked(transcript: &Mutex<Transcript>) -> std::sync::MutexGuard<'_, Transcript> {
    transcript.lock().unwrap_or_else(|e| e.into_inner())
}

/// Takes the names off the front of "Ada hi" or "Ada, Bob hi": of those here the longest that fit.
fn addressed<'a>(text: &'a str, here: &[String]) -> Result<(Vec<String>, &'a str), String> {
    let (mut names, mut rest) = (Vec::new(), text);
    loop {
        let fits = |name: &&String| {
            let begins = rest.get(..name.len()).is_some_and(|start| start.to_lowercase() == name.to_lowercase());
            begins && rest[name.len()..].starts_with([' ', ',', ':'])
        };
        let Some(name) = here.iter().filter(fits).max_by_key(|name| name.len()) else {
            return Err(format!("nobody here is called that; here are {}", here.join(", ")));
        };
        names.push(name.clone());
        rest = &rest[name.len()..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => break,
        }
    }
    match rest.strip_prefix(':').unwrap_or(rest).trim() {
        "" => Err("say what: /msg NAME TEXT".to_owned()),
        words => Ok((names, words)),
    }
}

fn who(conference: &Conference) -> String {
    let (me, others) = conference.names();
    let named = |(name, role): (String, &str), you: &str| match (role, you) {
        ("member", "") => name,
        ("member", you) => format!("{name} ({you})"),
        (role, "") => format!("{name} ({role})"),
        (role, you) => format!("{name} ({you}, {role})"),
    };
    let others = others.into_iter().map(|other| named(other, ""));
    let all: Vec<String> = std::iter::once(named(me, "you")).chain(others).collect();
    format!("{} here: {}", all.len(), all.join(", "))
}

/// Takes away the line as it was typed: it comes again with time and name.
fn erase_echo() {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(b"\x1b[A\x1b[2K\r").and_then(|()| out.flush());
}

/// A line from stdin.
#[derive(Debug, PartialEq, Eq)]
enum Typed<'a> {
    Say(&'a str),
    /// To whom, and what: still in one.
    Whisper(&'a str),
    Reply(&'a str),
    React(&'a str),
    Hand(bool),
    Away(bool),
    Door(Decision),
    Who,
    Help,
    Quit,
    Unknown(&'a str),
}

impl<'a> Typed<'a> {
    /// `by_hand`: a slip of the fingers is to be told; a program's lines are sent as they are.
    fn parse(line: &'a str, by_hand: bool) -> Self {
        let line = line.trim_end();
        if let Some(decision) = decision(line) {
            return Self::Door(decision);
        }
        match line {
            "/who" => Self::Who,
            "/help" => Self::Help,
            "/hand" => Self::Hand(true),
            "/hand down" => Self::Hand(false),
            "/away" => Self::Away(true),
            "/back" => Self::Away(false),
            "/quit" => Self::Quit,
            // Never said to everybody because it came from a program.
            said if said.starts_with("/msg ") => Self::Whisper(said[5..].trim()),
            said if !by_hand => Self::Say(said),
            said if said.starts_with("/me ") || !said.starts_with('/') => Self::Say(said),
            said if said.starts_with("//") => Self::Say(&said[1..]),
            said => {
                let (command, rest) = said.split_once(' ').unwrap_or((said, ""));
                match (command, rest.trim()) {
                    ("/reply", text) if !text.is_empty() => Self::Reply(text),
                    ("/react", emoji) if !emoji.is_empty() => Self::React(emoji),
                    _ => Self::Unknown(command),
                }
            }
        }
    }
}

/// What somebody decides about who may be here.
fn decision(line: &str) -> Option<Decision> {
    let (command, who) = line.split_once(' ').unwrap_or((line, ""));
    let who = who.trim();
    let named = || (!who.is_empty()).then(|| who.to_owned());
    match command {
        "/lock" if who.is_empty() => Some(Decision::Lock(true)),
        "/unlock" if who.is_empty() => Some(Decision::Lock(false)),
        "/kick" => named().map(Decision::Kick),
        "/admit" => named().map(Decision::Admit),
        "/refuse" => named().map(Decision::Refuse),
        "/owner" => named().map(Decision::HandOver),
        "/moderator" => named().map(|name| match name.strip_suffix(" off") {
            Some(name) => Decision::Moderator(name.trim_end().to_owned(), false),
            None => Decision::Moderator(name, true),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_off_the_front_the_longest_first() {
        let here = ["Ada", "Ada Lovelace", "Émile", "Bob (1)"].map(str::to_owned);
        let to = |names: &[&str], text| Ok((names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>(), text));
        assert_eq!(addressed("Ada hi there", &here), to(&["Ada"], "hi there"));
        assert_eq!(addressed("ada lovelace hi", &here), to(&["Ada Lovelace"], "hi"));
        assert_eq!(addressed("émile, Bob (1): hi", &here), to(&["Émile", "Bob (1)"], "hi"));
        for wrong in ["Adam hi", "Zoe hi", "Ada", "Ada ", "Ada, Zoe hi", "É", ""] {
            assert!(addressed(wrong, &here).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn slashes_command_and_everything_else_is_said() {
        for (line, by_hand, program) in [
            ("hi", Typed::Say("hi"), Typed::Say("hi")),
            ("  indented ", Typed::Say("  indented"), Typed::Say("  indented")),
            ("/who", Typed::Who, Typed::Who),
            ("/quit ", Typed::Quit, Typed::Quit),
            ("/help", Typed::Help, Typed::Help),
            ("/hand", Typed::Hand(true), Typed::Hand(true)),
            ("/hand down", Typed::Hand(false), Typed::Hand(false)),
            ("/back", Typed::Away(false), Typed::Away(false)),
            ("/me waves", Typed::Say("/me waves"), Typed::Say("/me waves")),
            ("/var/log is full", Typed::Unknown("/var/log"), Typed::Say("/var/log is full")),
            ("//var/log is full", Typed::Say("/var/log is full"), Typed::Say("//var/log is full")),
            ("/reply  yes please", Typed::Reply("yes please"), Typed::Say("/reply  yes please")),
            ("/msg Ada  hi there", Typed::Whisper("Ada  hi there"), Typed::Whisper("Ada  hi there")),
            ("/msg", Typed::Unknown("/msg"), Typed::Say("/msg")),
            ("/msgs", Typed::Unknown("/msgs"), Typed::Say("/msgs")),
            ("/react 👍", Typed::React("👍"), Typed::Say("/react 👍")),
            ("/react", Typed::Unknown("/react"), Typed::Say("/react")),
            ("/whoever", Typed::Unknown("/whoever"), Typed::Say("/whoever")),
            ("/kick", Typed::Unknown("/kick"), Typed::Say("/kick")),
            ("/lock the door", Typed::Unknown("/lock"), Typed::Say("/lock the door")),
        ] {
            assert_eq!(Typed::parse(line, true), by_hand);
            assert_eq!(Typed::parse(line, false), program);
        }
    }

    #[test]
    fn decisions_are_typed_by_people_and_programs_alike() {
        let bob = || "Bob (1)".to_owned();
        for (line, decision) in [
            ("/lock", Decision::Lock(true)),
            ("/unlock ", Decision::Lock(false)),
            ("/kick Bob (1)", Decision::Kick(bob())),
            ("/admit  Bob (1) ", Decision::Admit(bob())),
            ("/refuse Bob (1)", Decision::Refuse(bob())),
            ("/owner Bob (1)", Decision::HandOver(bob())),
            ("/moderator Bob (1)", Decision::Moderator(bob(), true)),
            ("/moderator Bob (1) off", Decision::Moderator(bob(), false)),
        ] {
            assert_eq!(Typed::parse(line, true), Typed::Door(decision.clone()));
            assert_eq!(Typed::parse(line, false), Typed::Door(decision));
        }
    }
}
