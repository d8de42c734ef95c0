//! What is typed in a chat: lines to say, and commands that begin with a slash.

use std::path::PathBuf;

use super::{files, sound, voice};
use crate::conference::view::{Command, Decision};
use crate::conference::{Conference, Here};

const HELP: &str = "every line is sent to everybody; /me waves tells what you do; \
                    /msg NAME TEXT tells one person alone, /msg NAME, NAME: TEXT some; \
                    /reply TEXT answers and /react EMOJI marks the last line of somebody else; /hand raises a hand and /hand down lowers it; /away and /back; /who lists who is here; \
                    /send PATH sends a file or folder to everybody, /send PATH to NAME, NAME to some; /accept [FILE] takes the newest file or the one of that number or name, /accept 3 PATH into that folder or under that name, \
                    /accept always everything from that person, /decline [FILE] does not or takes one's own back; /files lists them; \
                    /voice 5s [NAME, NAME] records a voice message of 5 seconds and sends it; /voice begins one and /voice ends it, /play lets you hear it, \
                    /voice send [NAME] or /voice discard; /play [NUMBER] plays one that came, /play stop, /save NUMBER PATH; \
                    /lock and /unlock, /admit NAME, /refuse NAME and /kick NAME are for the owner and moderators, \
                    /favour NAME [off] lets somebody speak with priority; \
                    /moderator NAME [off] and /owner NAME for the owner; \
                    /doctor examines the network, and /doctor NAME tells why that person is not seen; \
                    /quit leaves; a line that begins with / is sent when it begins with //";

/// Commands, for completion.
pub const COMMANDS: [&str; 35] = [
    "/accept",
    "/admit",
    "/away",
    "/back",
    "/decline",
    "/doctor",
    "/echo",
    "/favour",
    "/files",
    "/gain",
    "/hand",
    "/headset",
    "/help",
    "/kick",
    "/lock",
    "/me",
    "/moderator",
    "/msg",
    "/mute",
    "/noise",
    "/owner",
    "/play",
    "/priority",
    "/quit",
    "/react",
    "/refuse",
    "/reply",
    "/save",
    "/send",
    "/silence",
    "/talk",
    "/unlock",
    "/unmute",
    "/voice",
    "/volume",
];

/// A line that was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    /// To everybody.
    Say(&'a str),
    /// To whom, and what: still in one.
    Whisper(&'a str),
    /// About a line.
    Reply(&'a str),
    /// An emoji under a line.
    React(&'a str),
    /// Hand up or down.
    Hand(bool),
    /// Away or back.
    Away(bool),
    /// A file to send, and whom to: still in one.
    Send(&'a str),
    /// A file to take; empty: the newest. Where to; empty: where files go.
    Accept(&'a str, &'a str),
    /// The newest, and whatever comes from that person.
    AcceptAlways,
    /// A file not to take.
    Decline(&'a str),
    /// Which files are there?
    Files,
    /// A voice message.
    Voice(voice::Typed),
    /// About voices: one's own, and how others are heard.
    Sound(Command),
    /// Who may be here.
    Door(Decision),
    /// Examine the network.
    Doctor(&'a str),
    /// Who is here?
    Who,
    /// What can be typed?
    Help,
    /// Leave.
    Quit,
    /// A command there is not.
    Unknown(&'a str),
}

/// What a line comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// To be asked of the conference.
    Ask(Command),
    /// To be answered to whoever typed it.
    Answer(String),
    /// Nothing is done; the words say why.
    Refuse(String),
    /// Leave, once everybody has what was said.
    Quit,
}

impl<'a> Typed<'a> {
    /// `by_hand`: a slip of the fingers is to be told; a program's lines are sent as they are.
    pub fn parse(line: &'a str, by_hand: bool) -> Self {
        let line = line.trim_end();
        if let Some(decision) = decision(line) {
            return Self::Door(decision);
        }
        if let Some(file) = file(line) {
            return file;
        }
        if let Some(typed) = voice::parse(line) {
            return Self::Voice(typed);
        }
        if let Some(command) = sound::parse(line).filter(|_| by_hand) {
            return Self::Sound(command);
        }
        match line {
            "/who" => Self::Who,
            "/help" => Self::Help,
            "/hand" => Self::Hand(true),
            "/hand down" => Self::Hand(false),
            "/away" => Self::Away(true),
            "/back" => Self::Away(false),
            "/quit" => Self::Quit,
            "/doctor" => Self::Doctor(""),
            said if said.starts_with("/doctor ") => Self::Doctor(said[8..].trim()),
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

    /// What it comes to. `about`: the line that answers and reactions are for.
    pub fn meaning(self, conference: &Conference, about: Option<&str>) -> Meaning {
        let about = |command: fn(String, String) -> Command, text: &str| match about {
            Some(line) => Meaning::Ask(command(line.to_owned(), text.to_owned())),
            None => Meaning::Refuse("nobody else has said anything yet".to_owned()),
        };
        match self {
            Self::Say(text) => Meaning::Ask(Command::Say(text.to_owned())),
            Self::Whisper(rest) => {
                let names: Vec<String> = conference.names().1.into_iter().map(|(name, _)| name).collect();
                match addressed(rest, &names) {
                    Ok((names, text)) => Meaning::Ask(Command::Whisper(names, text.to_owned())),
                    Err(why) => Meaning::Refuse(why),
                }
            }
            Self::Reply(text) => about(Command::Reply, text),
            Self::React(emoji) => about(Command::React, emoji),
            Self::Hand(on) => Meaning::Ask(Command::Hand(on)),
            Self::Away(on) => Meaning::Ask(Command::Away(on)),
            Self::Send(rest) => match sent(rest) {
                Ok((path, names)) => Meaning::Ask(Command::Send(path, names)),
                Err(why) => Meaning::Refuse(why),
            },
            Self::Accept(which, to) => {
                Meaning::Ask(Command::Accept(which.to_owned(), (!to.is_empty()).then(|| path(to))))
            }
            Self::AcceptAlways => Meaning::Ask(Command::AcceptAlways(String::new())),
            Self::Decline(which) => Meaning::Ask(Command::Decline(which.to_owned())),
            Self::Files => Meaning::Answer(files::listed(&conference.view().files)),
            Self::Voice(typed) => match typed.ask(&conference.view().voice) {
                Ok(ask) => Meaning::Ask(Command::Voice(ask)),
                Err(why) => Meaning::Refuse(why),
            },
            Self::Sound(command) => Meaning::Ask(command),
            Self::Door(decision) => Meaning::Ask(Command::Door(decision)),
            Self::Doctor(name) => Meaning::Ask(Command::Doctor((!name.is_empty()).then(|| name.to_owned()))),
            Self::Who => Meaning::Answer(who(conference)),
            Self::Help => Meaning::Answer(format!("{HELP}; {}", sound::HELP)),
            Self::Quit => Meaning::Quit,
            Self::Unknown(command) => {
                Meaning::Refuse(format!("{command} is not understood; /help lists what there is"))
            }
        }
    }
}

/// What is typed about files, by people and programs alike.
fn file(line: &str) -> Option<Typed<'_>> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (command, rest.trim()) {
        ("/files", "") => Some(Typed::Files),
        ("/accept", "always") => Some(Typed::AcceptAlways),
        ("/accept", which) => {
            // A name may have spaces: a path follows a number alone.
            let numbered = which.split_once(' ').filter(|(n, _)| n.trim_start_matches('#').parse::<u64>().is_ok());
            let (which, to) = numbered.unwrap_or((which, ""));
            Some(Typed::Accept(which, to.trim()))
        }
        ("/decline", which) => Some(Typed::Decline(which)),
        ("/send", rest) if !rest.is_empty() => Some(Typed::Send(rest)),
        _ => None,
    }
}

/// "PATH", or "PATH to NAME, NAME"; quotes around the path and "~/" in front are understood. A path that is there wins over
/// names.
fn sent(rest: &str) -> Result<(PathBuf, Vec<String>), String> {
    let whole = path(rest);
    if whole.exists() {
        return Ok((whole, Vec::new()));
    }
    let Some((before, names)) = rest.rsplit_once(" to ") else {
        return Err(format!("there is no file {}", whole.display()));
    };
    let found = path(before);
    if !found.exists() {
        return Err(format!("there is no file {}", found.display()));
    }
    let names: Vec<String> = names.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    if names.is_empty() { Err("to whom? /send PATH to NAME".to_owned()) } else { Ok((found, names)) }
}

/// A path as it is typed: quotes around it and "~/" in front are understood.
pub fn path(text: &str) -> PathBuf {
    let text = text.trim();
    let quoted = ['"', '\''].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q));
    let plain = quoted.unwrap_or(text);
    let home = plain.strip_prefix("~/").zip(directories::UserDirs::new());
    home.map_or_else(|| plain.into(), |(rest, user)| user.home_dir().join(rest))
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
        "/favour" => named().map(|name| match name.strip_suffix(" off") {
            Some(name) => Decision::Favour(name.trim_end().to_owned(), false),
            None => Decision::Favour(name, true),
        }),
        "/moderator" => named().map(|name| match name.strip_suffix(" off") {
            Some(name) => Decision::Moderator(name.trim_end().to_owned(), false),
            None => Decision::Moderator(name, true),
        }),
        _ => None,
    }
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

/// What follows a name: whose it is, and more than a member's role.
pub fn part(role: &str, me: bool) -> String {
    match (me, role) {
        (true, "member") => " (you)".to_owned(),
        (true, role) => format!(" (you, {role})"),
        (false, "member") => String::new(),
        (false, role) => format!(" ({role})"),
    }
}

fn who(conference: &Conference) -> String {
    let (me, others) = conference.who();
    let others = others.iter().map(|other| named(other, false));
    let all: Vec<String> = std::iter::once(named(&me, true)).chain(others).collect();
    format!("{} here: {}", all.len(), all.join(", "))
}

/// Somebody's name, what they are, and by what they are reached, where that is not as usual; one's own is always told.
fn named(here: &Here, me: bool) -> String {
    let Here { name, role, transport } = here;
    let by = if me || *transport != "groups" { format!(" by {transport}") } else { String::new() };
    format!("{name}{}{by}", part(role, me))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_here_is_told_with_what_reaches_them() {
        let here = |role, transport| Here { name: "Ada".into(), role, transport };
        assert_eq!(named(&here("owner", "groups"), true), "Ada (you, owner) by groups");
        assert_eq!(named(&here("member", "groups"), false), "Ada");
        assert_eq!(named(&here("moderator", "unicast"), false), "Ada (moderator) by unicast");
    }

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
            ("/doctor", Typed::Doctor(""), Typed::Doctor("")),
            ("/doctor  Bob (1)", Typed::Doctor("Bob (1)"), Typed::Doctor("Bob (1)")),
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
    fn files_are_meant_by_path_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("one to Bob");
        std::fs::write(&to, "").unwrap();
        let (to, text) = (to.clone(), to.display().to_string());
        assert_eq!(sent(&text), Ok((to.clone(), vec![])), "a path that is there wins");
        assert_eq!(sent(&format!("\"{text}\" to Cyd, Bob (1)")), Ok((to, vec!["Cyd".into(), "Bob (1)".into()])));
        assert!(sent("/no/such/file").is_err() && sent(&format!("{text} to ,")).is_err());
        for (line, typed) in [
            ("/send a b", Typed::Send("a b")),
            ("/accept", Typed::Accept("", "")),
            ("/accept 3", Typed::Accept("3", "")),
            ("/accept #3 ~/my plans.pdf", Typed::Accept("#3", "~/my plans.pdf")),
            ("/accept my plans.pdf", Typed::Accept("my plans.pdf", "")),
            ("/accept always", Typed::AcceptAlways),
            ("/decline a.txt", Typed::Decline("a.txt")),
            ("/files", Typed::Files),
        ] {
            assert_eq!(Typed::parse(line, true), typed);
        }
        assert_eq!(Typed::parse("/send", true), Typed::Unknown("/send"));
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
            ("/favour Bob (1)", Decision::Favour(bob(), true)),
            ("/favour Bob (1) off", Decision::Favour(bob(), false)),
            ("/moderator Bob (1)", Decision::Moderator(bob(), true)),
            ("/moderator Bob (1) off", Decision::Moderator(bob(), false)),
        ] {
            assert_eq!(Typed::parse(line, true), Typed::Door(decision.clone()));
            assert_eq!(Typed::parse(line, false), Typed::Door(decision));
        }
    }
}
