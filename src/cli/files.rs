//! Files in words: what is told of them in a terminal.

use super::voice::waveform;
use crate::conference::files::size;
use crate::conference::view::{FileState, FileView};
use crate::conference::{Event, FileRecipient};

/// A length as people say it.
pub fn minutes(ms: u32) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60)
}

/// What is worth telling of an event about files; none when it is no such.
pub fn news(event: &Event) -> Option<String> {
    Some(match event {
        Event::Offer(o) if o.own => match &o.voice {
            Some(voice) => format!("you send a voice message of {} (#{})", minutes(voice.ms), o.number),
            None if o.to.is_empty() => format!("you offer {} ({})", o.name, size(o.size)),
            None => format!("you offer {} ({}) to {}", o.name, size(o.size), o.to.join(", ")),
        },
        Event::Offer(o) => match &o.voice {
            Some(voice) => format!(
                "{} sends {}a voice message of {} {}: /play {} or /save {} PATH",
                o.from,
                if o.private { "you " } else { "" },
                minutes(voice.ms),
                waveform(&voice.waveform),
                o.number,
                o.number
            ),
            None => format!(
                "{} offers {}{} ({}): /accept {} or /decline {}",
                o.from,
                if o.private { "privately " } else { "" },
                o.name,
                size(o.size),
                o.number,
                o.number
            ),
        },
        Event::File { from, name, path, size: bytes, voice, .. } => match voice {
            Some(_) => format!("the voice message of {from} is here: {}", path.display()),
            None => format!("{name} ({}) of {from} is here: {}", size(*bytes), path.display()),
        },
        Event::Voice(news) => super::voice::news(news)?,
        Event::FileSettled { name, recipients, .. } => format!("{name}: {}", summary(recipients)),
        Event::FileFailed { name, why, .. } if name.is_empty() => why.clone(),
        Event::FileFailed { name, why, .. } => format!("{name}: {why}"),
        _ => return None,
    })
}

/// Who has it, and who has not.
pub fn summary(recipients: &[FileRecipient]) -> String {
    let of = |state: &str| recipients.iter().filter(|r| r.state == state).collect::<Vec<_>>();
    let names = |all: &[&FileRecipient]| all.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    match of("has it") {
        all if all.is_empty() => parts.push("nobody has it".to_owned()),
        all if all.len() == recipients.len() && all.len() > 1 => parts.push(format!("all {} have it", all.len())),
        all => parts.push(format!("{} {} it", names(&all), if all.len() == 1 { "has" } else { "have" })),
    }
    for (state, words) in
        [("receives", "still receiving"), ("behind", "behind"), ("asked", "no answer"), ("left", "left")]
    {
        let all = of(state);
        if !all.is_empty() {
            parts.push(format!("{words}: {}", names(&all)));
        }
    }
    parts.extend(of("declined").iter().map(|r| format!("{} {}", r.name, r.why)));
    parts.join("; ")
}

/// All files that were offered, a line each.
pub fn listed(files: &[FileView]) -> String {
    if files.is_empty() {
        return "no files were offered".to_owned();
    }
    files.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(file: &FileView) -> String {
    let percent = (100 * file.bytes.min(file.size)).checked_div(file.size).unwrap_or(100);
    let state = match &file.state {
        FileState::Offered => "offered".to_owned(),
        FileState::Declined => "declined".to_owned(),
        FileState::Receiving => format!("{percent} %, {:.0} Mb/s", file.bits_per_s / 1e6),
        FileState::Here(path) => path.display().to_string(),
        FileState::Sending if file.recipients.is_empty() => "offered to everybody".to_owned(),
        FileState::Sending => summary(&file.recipients),
        FileState::Waiting(why) => format!("{percent} %: {why}"),
        FileState::Failed(why) => why.clone(),
    };
    let from = if file.own { "you" } else { file.from.as_str() };
    let what = file.voice.as_ref().map_or_else(|| file.name.clone(), |v| format!("voice message {}", minutes(v.ms)));
    format!("#{} {what} ({}) from {from}: {state}", file.number, size(file.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_named_with_what_became_of_it() {
        let r = |name: &str, state, why| FileRecipient { name: name.into(), id: String::new(), state, why, part: 0.0 };
        assert_eq!(summary(&[r("Ada", "has it", ""), r("Bob", "has it", "")]), "all 2 have it");
        assert_eq!(
            summary(&[r("Ada", "has it", ""), r("Bob", "declined", "has no room for it"), r("Cyd", "asked", "")]),
            "Ada has it; no answer: Cyd; Bob has no room for it"
        );
        assert_eq!(summary(&[r("Ada", "left", "")]), "nobody has it; left: Ada");
    }
}
