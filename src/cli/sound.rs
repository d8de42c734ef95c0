//! What is typed about voices: one's own, muted or not, when it is sent, what is done to it; and how others are heard here.

use crate::conference::taking::Improvement;
use crate::conference::view::Command;

/// How it is told in the help.
pub const HELP: &str = "/mute and /unmute; /talk open sends your voice all the time, /talk voice while you speak, /talk push when unmuted; \
                        /echo, /noise, /gain and /headset, each on or off, tell what is done to it; \
                        /priority on and off speaks over all others, for whoever may; \
                        /volume NAME 50 plays somebody half as loud and /silence NAME [off] not at all, here only";

/// A line about voices.
pub fn parse(line: &str) -> Option<Command> {
    let line = line.trim_end();
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (command, rest.trim()) {
        ("/mute", "") => Some(Command::Mute(true)),
        ("/unmute", "") => Some(Command::Mute(false)),
        ("/priority", on @ ("on" | "off")) => Some(Command::Priority(on == "on")),
        ("/volume", rest) => {
            let (who, percent) = rest.rsplit_once(' ')?;
            let percent = percent.strip_suffix('%').unwrap_or(percent).parse().ok()?;
            Some(Command::HearOf(who.trim_end().to_owned(), Some(percent), None))
        }
        ("/silence", who) if !who.is_empty() => {
            let shown = who.strip_suffix(" off");
            Some(Command::HearOf(shown.unwrap_or(who).trim_end().to_owned(), None, Some(shown.is_none())))
        }
        ("/talk", mode) => mode.parse().ok().map(Command::TalkMode),
        (command, on @ ("on" | "off")) => {
            let what: Improvement = command.strip_prefix('/')?.parse().ok()?;
            Some(Command::Improve(what, on == "on"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::taking::TalkMode;

    #[test]
    fn lines_about_the_voice_are_understood_and_others_left_alone() {
        for (line, command) in [
            ("/mute", Some(Command::Mute(true))),
            ("/unmute ", Some(Command::Mute(false))),
            ("/talk voice", Some(Command::TalkMode(TalkMode::Voice))),
            ("/echo off", Some(Command::Improve(Improvement::Echo, false))),
            ("/headset  on", Some(Command::Improve(Improvement::Headset, true))),
            ("/priority on", Some(Command::Priority(true))),
            ("/priority", None),
            ("/volume Bob (1)  50", Some(Command::HearOf("Bob (1)".into(), Some(50), None))),
            ("/volume Bob 0%", Some(Command::HearOf("Bob".into(), Some(0), None))),
            ("/volume Bob", None),
            ("/volume Bob loud", None),
            ("/silence Bob (1)", Some(Command::HearOf("Bob (1)".into(), None, Some(true)))),
            ("/silence Bob off", Some(Command::HearOf("Bob".into(), None, Some(false)))),
            ("/silence", None),
            ("/talk", None),
            ("/talk loudly", None),
            ("/echo", None),
            ("/gain up", None),
            ("/away on", None),
            ("mute", None),
            ("noise on", None),
        ] {
            assert_eq!(parse(line), command, "{line}");
        }
    }
}
