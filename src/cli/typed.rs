//! What is typed in a chat: lines to say, and commands that begin with a slash.

use crate::conference::Conference;
use crate::conference::view::{Command, Decision};

const HELP: &str = "every line is sent to everybody; /me waves tells what you do; \
                    /msg NAME TEXT tells one person alone, /msg NAME, NAME: TEXT some; \
                    /reply TEXT answers and /react EMOJI marks the last line of somebody else; /hand raises a hand and /hand down lowers it; /away and /back; /who lists who is here; \
                    /lock and /unlock, /admit NAME, /refuse NAME and /kick NAME are for the owner and moderators, \
                    /moderator NAME [off] and /owner NAME for the owner; \
                    /doctor examines the network, and /doctor NAME tells why that person is not seen; \
                    /quit leaves; a line that begins with / is sent when it begins with //";

/// Commands, for completion.
pub const COMMANDS: [&str; 17] = [
    "/admit",
    "/away",
    "/back",
    "/doctor",
    "/hand",
    "/help",
    "/kick",
    "/lock",
    "/me",
    "/moderator",
    "/msg",
    "/owner",
    "/quit",
    "/react",
    "/refuse",
    "/reply",
    "/unlock",
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
            Self::Door(decision) => Meaning::Ask(Command::Door(decision)),
            Self::Doctor(name) => Meaning::Ask(Command::Doctor((!name.is_empty()).then(|| name.to_owned()))),
            Self::Who => Meaning::Answer(who(conference)),
            Self::Help => Meaning::Answer(HELP.to_owned()),
            Self::Quit => Meaning::Quit,
            Self::Unknown(command) => {
                Meaning::Refuse(format!("{command} is not understood; /help lists what there is"))
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
    let (me, others) = conference.names();
    let named = |(name, role): (String, _), me| format!("{name}{}", part(role, me));
    let others = others.into_iter().map(|other| named(other, false));
    let all: Vec<String> = std::iter::once(named(me, true)).chain(others).collect();
    format!("{} here: {}", all.len(), all.join(", "))
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
