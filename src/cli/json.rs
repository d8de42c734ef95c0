//! JSON lines: commands in on stdin, events out on stdout, one object a line, flushed.
//!
//! What cannot be understood becomes an error event and nothing else.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::voice::{Begin, Save, Which};
use crate::conference::view::{Command, Decision, VoiceAsk};
use crate::conference::{DoorNews, Event, FileRecipient, Outcome};
use crate::device::clock;

/// Longest line read from stdin, bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One name, or several.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    Some(Vec<String>),
}

#[derive(Deserialize, Debug)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Say {
        text: String,
        to: Option<Names>,
        reply: Option<String>,
    },
    React {
        emoji: String,
        line: String,
    },
    Send {
        path: PathBuf,
        to: Option<Names>,
    },
    Accept {
        #[serde(default)]
        offer: String,
        folder: Option<PathBuf>,
        path: Option<PathBuf>,
        #[serde(default)]
        always: bool,
    },
    Decline {
        #[serde(default)]
        offer: String,
    },
    Voice(Begin),
    VoiceSend {
        to: Option<Names>,
    },
    VoiceDiscard {},
    Play(Which),
    PlayPause {
        on: bool,
    },
    PlayStop {},
    PlayVolume {
        percent: u16,
    },
    Save(Save),
    Mute {
        on: bool,
    },
    Talk {
        mode: String,
    },
    Priority {
        on: bool,
    },
    Hear {
        who: String,
        volume: Option<u16>,
        silenced: Option<bool>,
    },
    Favour {
        who: String,
        on: bool,
    },
    Improve {
        what: String,
        on: bool,
    },
    Camera {
        on: bool,
    },
    Hand {
        on: bool,
    },
    Away {
        on: bool,
    },
    Lock {
        on: bool,
    },
    Kick {
        who: String,
    },
    Admit {
        who: String,
    },
    Refuse {
        who: String,
    },
    Moderator {
        who: String,
        on: bool,
    },
    Owner {
        who: String,
    },
    Doctor {
        who: Option<String>,
    },
    Pause {},
    Leave {},
}

/// The names; none: everybody.
pub(super) fn list(names: Option<Names>) -> Vec<String> {
    match names {
        None => Vec::new(),
        Some(Names::One(name)) => vec![name],
        Some(Names::Some(names)) => names,
    }
}

/// Reads one command; the error is told to whoever wrote the line.
pub fn parse(line: &str) -> Result<Command, String> {
    match serde_json::from_str::<Request>(line) {
        Ok(Request::Say { text, to: None, reply: None }) => Ok(Command::Say(text)),
        Ok(Request::Say { text, to: None, reply: Some(line) }) => Ok(Command::Reply(line, text)),
        Ok(Request::React { emoji, line }) => Ok(Command::React(line, emoji)),
        Ok(Request::Say { text, to, reply: None }) => Ok(Command::Whisper(list(to), text)),
        // Whom a reply is for follows from the line it is about.
        Ok(Request::Say { to: Some(_), reply: Some(_), .. }) => {
            Err("not said: it has both \"to\" and \"reply\"".into())
        }
        Ok(Request::Send { path, to }) => Ok(Command::Send(path, list(to))),
        Ok(Request::Accept { offer, folder: None, path: None, always: true }) => Ok(Command::AcceptAlways(offer)),
        // A folder is one even when it is not there yet.
        Ok(Request::Accept { offer, folder, path, .. }) => {
            Ok(Command::Accept(offer, path.or(folder.map(|folder| folder.join("")))))
        }
        Ok(Request::Decline { offer }) => Ok(Command::Decline(offer)),
        Ok(Request::Voice(begin)) => begin.ask().map(Command::Voice),
        Ok(Request::VoiceSend { to }) => Ok(Command::Voice(VoiceAsk::Send(list(to)))),
        Ok(Request::VoiceDiscard {}) => Ok(Command::Voice(VoiceAsk::Discard)),
        Ok(Request::Play(which)) => Ok(Command::Voice(VoiceAsk::Play(which.offer))),
        Ok(Request::PlayPause { on }) => Ok(Command::Voice(VoiceAsk::Pause(on))),
        Ok(Request::PlayStop {}) => Ok(Command::Voice(VoiceAsk::Stop)),
        Ok(Request::PlayVolume { percent }) => Ok(Command::Voice(VoiceAsk::Volume(percent))),
        Ok(Request::Save(save)) => Ok(Command::Voice(VoiceAsk::Save(save.offer, save.path))),
        Ok(Request::Mute { on }) => Ok(Command::Mute(on)),
        Ok(Request::Priority { on }) => Ok(Command::Priority(on)),
        Ok(Request::Hear { volume: None, silenced: None, .. }) => {
            Err("not understood: neither \"volume\" nor \"silenced\" is told".into())
        }
        Ok(Request::Hear { who, volume, silenced }) => Ok(Command::HearOf(who, volume, silenced)),
        Ok(Request::Favour { who, on }) => Ok(Command::Door(Decision::Favour(who, on))),
        Ok(Request::Talk { mode }) => mode.parse().map(Command::TalkMode).map_err(|e| format!("{mode}: {e}")),
        Ok(Request::Improve { what, on }) => {
            what.parse().map(|what| Command::Improve(what, on)).map_err(|e| format!("{what}: {e}"))
        }
        Ok(Request::Camera { on }) => Ok(Command::Camera(on)),
        Ok(Request::Hand { on }) => Ok(Command::Hand(on)),
        Ok(Request::Away { on }) => Ok(Command::Away(on)),
        Ok(Request::Lock { on }) => Ok(Command::Door(Decision::Lock(on))),
        Ok(Request::Kick { who }) => Ok(Command::Door(Decision::Kick(who))),
        Ok(Request::Admit { who }) => Ok(Command::Door(Decision::Admit(who))),
        Ok(Request::Refuse { who }) => Ok(Command::Door(Decision::Refuse(who))),
        Ok(Request::Moderator { who, on }) => Ok(Command::Door(Decision::Moderator(who, on))),
        Ok(Request::Owner { who }) => Ok(Command::Door(Decision::HandOver(who))),
        Ok(Request::Doctor { who }) => Ok(Command::Doctor(who)),
        Ok(Request::Pause {}) => Ok(Command::Pause),
        Ok(Request::Leave {}) => Ok(Command::Leave),
        Err(e) => Err(format!("not understood: {e}")),
    }
}

/// Reads lines until the input ends, handing each on; over-long lines are cut off and refused, not stored.
pub fn read_lines(mut input: impl BufRead, mut line: impl FnMut(Result<&str, String>)) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let mut limited = std::io::Read::take(&mut input, LINE_BYTES_MAX as u64 + 1);
        if limited.read_until(b'\n', &mut buffer)? == 0 {
            return Ok(());
        }
        if buffer.len() > LINE_BYTES_MAX {
            while buffer.last() != Some(&b'\n') {
                buffer.clear();
                let mut limited = std::io::Read::take(&mut input, LINE_BYTES_MAX as u64);
                if limited.read_until(b'\n', &mut buffer)? == 0 {
                    break;
                }
            }
            line(Err(format!("a line longer than {LINE_BYTES_MAX} bytes")));
            continue;
        }
        match std::str::from_utf8(&buffer).map(str::trim_end) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => line(Ok(text)),
            Err(_) => line(Err("a line that is not UTF-8".into())),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Joined {
        conference: &'a str,
        me: Me<'a>,
        /// Anyone on this network can watch.
        open: bool,
    },
    Person {
        name: &'a str,
        id: &'a str,
        state: &'a str,
        muted: bool,
        camera: &'a str,
        hand: bool,
        away: bool,
        role: &'a str,
        address: String,
        /// "groups", "single" or "unicast".
        transport: &'a str,
    },
    Message {
        from: &'a str,
        id: &'a str,
        text: &'a str,
        /// Told in the third person.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        action: bool,
        at: String,
        private: bool,
        /// Whom a private line is for.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a [String]>,
        /// The line it replies to.
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<&'a str>,
    },
    Reaction {
        from: &'a str,
        id: &'a str,
        emoji: &'a str,
        line: &'a str,
        at: String,
    },
    Delivered {
        id: &'a str,
        have: usize,
        present: usize,
    },
    Unheard {
        id: &'a str,
    },
    Offer {
        offer: &'a str,
        from: &'a str,
        name: &'a str,
        size: u64,
        kind: &'a str,
        private: bool,
        own: bool,
        /// Of one's own that is for some: their names.
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        to: &'a [String],
        /// Length of a voice message.
        #[serde(skip_serializing_if = "Option::is_none")]
        voice_ms: Option<u32>,
    },
    Progress {
        offer: &'a str,
        name: &'a str,
        own: bool,
        bytes: u64,
        size: u64,
        bits_per_s: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        remaining_s: Option<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        people: Vec<Recipient<'a>>,
    },
    File {
        offer: &'a str,
        from: &'a str,
        name: &'a str,
        path: &'a Path,
        size: u64,
        blake3: &'a str,
    },
    /// Everybody has answered and, if they want it, has it.
    Sent {
        offer: &'a str,
        name: &'a str,
        people: Vec<Recipient<'a>>,
        packets: u64,
        packets_min: u64,
    },
    FileFailed {
        #[serde(skip_serializing_if = "Option::is_none")]
        offer: Option<&'a str>,
        name: &'a str,
        text: &'a str,
    },
    /// One waits to be let in.
    Waiting {
        text: &'a str,
    },
    /// Somebody waits to be let in, or does not any more.
    Knock {
        name: &'a str,
        id: &'a str,
        waits: bool,
    },
    Locked {
        on: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
    },
    Authority {
        owner: Me<'a>,
        moderators: Vec<Me<'a>>,
    },
    Removed {
        name: &'a str,
        id: &'a str,
        by: &'a str,
    },
    /// One had to go, or was not let in.
    Ended {
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        text: &'a str,
    },
    Notice {
        text: &'a str,
    },
    Error {
        text: &'a str,
    },
    Invite {
        conference: &'a str,
        id: &'a str,
        open: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        passphrase: Option<&'a str>,
        invite: &'a str,
    },
}

#[derive(Serialize)]
struct Me<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Recipient<'a> {
    name: &'a str,
    id: &'a str,
    state: &'a str,
    part: f32,
}

fn recipients(all: &[FileRecipient]) -> Vec<Recipient<'_>> {
    all.iter().map(|r| Recipient { name: &r.name, id: &r.id, state: r.state, part: r.part }).collect()
}

/// The line of what happens with files.
fn file_line(event: &Event) -> Option<Line<'_>> {
    Some(match event {
        Event::Offer(o) => Line::Offer {
            offer: &o.offer,
            from: &o.from,
            name: &o.name,
            size: o.size,
            kind: &o.kind,
            private: o.private,
            own: o.own,
            to: &o.to,
            voice_ms: o.voice.as_ref().map(|voice| voice.ms),
        },
        Event::Progress(p) => Line::Progress {
            offer: &p.offer,
            name: &p.name,
            own: p.own,
            bytes: p.bytes,
            size: p.size,
            bits_per_s: p.bits_per_s as u64,
            remaining_s: p.remaining_s,
            people: recipients(&p.recipients),
        },
        Event::File { offer, from, name, path, blake3, size, .. } => {
            Line::File { offer, from, name, path, size: *size, blake3 }
        }
        Event::FileSettled { offer, name, recipients: people, packets, packets_min } => {
            let (packets, packets_min) = (*packets, *packets_min);
            Line::Sent { offer, name, people: recipients(people), packets, packets_min }
        }
        Event::FileFailed { offer, name, why } => Line::FileFailed { offer: offer.as_deref(), name, text: why },
        _ => return None,
    })
}

/// The JSON line of an event, without its line end; none for what the events around it tell.
pub fn event_line(event: &Event) -> Option<String> {
    let not_said;
    let line = match event {
        Event::Joined { conference, id, name, open } => Line::Joined { conference, me: Me { id, name }, open: *open },
        Event::Person(p) => Line::Person {
            name: &p.name,
            id: &p.id,
            state: p.state.word(),
            muted: p.muted,
            camera: p.camera,
            hand: p.attention.hand,
            away: p.attention.away,
            role: p.role,
            address: p.address.to_string(),
            transport: p.transport,
        },
        Event::Message(m) => Line::Message {
            from: &m.from,
            id: &m.id,
            text: &m.text,
            action: m.action,
            at: clock::rfc3339(m.at),
            private: m.audience.is_some(),
            to: m.audience.as_deref(),
            reply: m.reply.as_ref().map(|line| line.id.as_str()),
        },
        Event::Reaction(r) => {
            Line::Reaction { from: &r.from, id: &r.id, emoji: &r.emoji, line: &r.line.id, at: clock::rfc3339(r.at) }
        }
        Event::Said { .. } => return None,
        Event::Unsaid { why, .. } => {
            not_said = format!("not said: {why}");
            Line::Error { text: &not_said }
        }
        Event::Delivered { id, have, present } => Line::Delivered { id, have: *have, present: *present },
        Event::Unheard { id, .. } => Line::Unheard { id },
        Event::Notice { text, .. } => Line::Notice { text },
        Event::Offer(_)
        | Event::Progress(_)
        | Event::File { .. }
        | Event::FileSettled { .. }
        | Event::FileFailed { .. } => file_line(event)?,
        Event::Voice(news) => return Some(super::voice::event_line(news)),
        Event::Door { news, text } => door_line(news, text),
        Event::Doctor { about, report } => return Some(super::doctor::event_line(about.as_deref(), report)),
    };
    Some(serde_json::to_string(&line).unwrap_or_default())
}

/// The JSON line that tells who started a conference how others come in; the passphrase when one was made up.
pub fn invite_line(
    conference: &str,
    id: &str,
    open: bool,
    passphrase: Option<&str>,
    invite: &str,
) -> Zeroizing<String> {
    let line = Line::Invite { conference, id, open, passphrase, invite };
    Zeroizing::new(serde_json::to_string(&line).unwrap_or_default())
}

/// The JSON line of something the user should know.
pub fn notice_line(text: &str) -> String {
    serde_json::to_string(&Line::Notice { text }).unwrap_or_default()
}

fn door_line<'a>(news: &'a DoorNews, text: &'a str) -> Line<'a> {
    match news {
        DoorNews::Waiting => Line::Waiting { text },
        DoorNews::Knock { name, id, waits } => Line::Knock { name, id, waits: *waits },
        DoorNews::Locked { on, by } => Line::Locked { on: *on, by: by.as_deref() },
        DoorNews::Authority { owner, owner_id, moderators, moderator_ids } => Line::Authority {
            owner: Me { id: owner_id, name: owner },
            moderators: moderator_ids.iter().zip(moderators).map(|(id, name)| Me { id, name }).collect(),
        },
        DoorNews::Removed { name, id, by } => Line::Removed { name, id, by },
        DoorNews::Over(Outcome::Removed(by)) => Line::Ended { reason: "removed", by: Some(by), text },
        DoorNews::Over(Outcome::Refused) => Line::Ended { reason: "refused", by: None, text },
    }
}

/// The JSON line that answers what was not understood.
pub fn error_line(text: &str) -> String {
    serde_json::to_string(&Line::Error { text }).unwrap_or_default()
}

/// Writes one line to stdout and flushes it; whether anybody still reads is told.
pub fn print(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::taking::{Improvement, TalkMode};

    #[test]
    fn commands_are_understood_and_others_explained() {
        assert_eq!(parse(r#"{"do":"mute","on":true}"#), Ok(Command::Mute(true)));
        assert_eq!(parse(r#"{"do":"camera","on":false}"#), Ok(Command::Camera(false)));
        assert_eq!(parse(r#"{"do":"priority","on":true}"#), Ok(Command::Priority(true)));
        let hear = |volume, silenced| Ok(Command::HearOf("Bob".into(), volume, silenced));
        assert_eq!(parse(r#"{"do":"hear","who":"Bob","volume":50}"#), hear(Some(50), None));
        assert_eq!(parse(r#"{"do":"hear","who":"Bob","silenced":true}"#), hear(None, Some(true)));
        assert!(parse(r#"{"do":"hear","who":"Bob"}"#).is_err_and(|e| e.contains("silenced")));
        assert!(
            parse(r#"{"do":"hear","volume":50}"#).is_err() && parse(r#"{"do":"hear","who":"B","volume":-1}"#).is_err()
        );
        assert_eq!(parse(r#"{"do":"talk","mode":"voice"}"#), Ok(Command::TalkMode(TalkMode::Voice)));
        assert_eq!(
            parse(r#"{"do":"improve","what":"noise","on":true}"#),
            Ok(Command::Improve(Improvement::Noise, true))
        );
        assert!(parse(r#"{"do":"talk","mode":"loud"}"#).is_err_and(|e| e.contains("open, voice or push")));
        assert_eq!(parse(r#"{"do":"leave"}"#), Ok(Command::Leave));
        assert_eq!(parse(r#" {"do":"say","text":" hi\n"}"#), Ok(Command::Say(" hi\n".into())));
        assert_eq!(parse(r#"{"do":"say","text":"hi","reply":"1-2"}"#), Ok(Command::Reply("1-2".into(), "hi".into())));
        assert_eq!(parse(r#"{"do":"react","emoji":"👍","line":"1-2"}"#), Ok(Command::React("1-2".into(), "👍".into())));
        for (line, decision) in [
            (r#"{"do":"lock","on":true}"#, Decision::Lock(true)),
            (r#"{"do":"kick","who":"Bob"}"#, Decision::Kick("Bob".into())),
            (r#"{"do":"admit","who":"Bob"}"#, Decision::Admit("Bob".into())),
            (r#"{"do":"refuse","who":"Bob"}"#, Decision::Refuse("Bob".into())),
            (r#"{"do":"moderator","who":"Bob","on":false}"#, Decision::Moderator("Bob".into(), false)),
            (r#"{"do":"favour","who":"Bob","on":true}"#, Decision::Favour("Bob".into(), true)),
            (r#"{"do":"owner","who":"Bob"}"#, Decision::HandOver("Bob".into())),
        ] {
            assert_eq!(parse(line), Ok(Command::Door(decision)));
        }
        let whisper = |names: &[&str]| Ok(Command::Whisper(names.iter().map(|&n| n.into()).collect(), "hi".into()));
        assert_eq!(parse(r#"{"do":"say","text":"hi","to":"Bob"}"#), whisper(&["Bob"]));
        assert_eq!(parse(r#"{"do":"say","text":"hi","to":["Bob","Cyd"]}"#), whisper(&["Bob", "Cyd"]));
        assert!(parse(r#"{"do":"say","text":"hi","to":"Bob","reply":"1-2"}"#).is_err());
        assert_eq!(parse(r#"{"do":"send","path":"/a b"}"#), Ok(Command::Send("/a b".into(), vec![])));
        assert_eq!(parse(r#"{"do":"send","path":"a","to":"Bob"}"#), Ok(Command::Send("a".into(), vec!["Bob".into()])));
        assert_eq!(parse(r#"{"do":"accept","offer":"01"}"#), Ok(Command::Accept("01".into(), None)));
        assert_eq!(
            parse(r#"{"do":"accept","offer":"01","folder":"/d"}"#),
            Ok(Command::Accept("01".into(), Some("/d".into())))
        );
        let Ok(Command::Accept(_, Some(folder))) = parse(r#"{"do":"accept","folder":"/d"}"#) else {
            panic!("no folder")
        };
        assert_eq!(folder.as_os_str(), "/d/");
        let Ok(Command::Accept(_, Some(path))) = parse(r#"{"do":"accept","path":"/d"}"#) else { panic!("no path") };
        assert_eq!(path.as_os_str(), "/d");
        assert_eq!(parse(r#"{"do":"accept","offer":"01","always":true}"#), Ok(Command::AcceptAlways("01".into())));
        assert_eq!(parse(r#"{"do":"decline","offer":"01"}"#), Ok(Command::Decline("01".into())));
        for bad in ["", "leave", "{}", r#"{"do":"fly"}"#, r#"{"do":"mute"}"#, r#"{"do":"mute","on":1}"#, "[1]"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_is_one_line_with_all_a_script_needs() {
        let at = crate::time::NtpTime::from_unix(std::time::Duration::from_micros(1_735_689_600_500_500));
        let (id, from, member) = ("1".to_owned(), "Bob".to_owned(), "2".to_owned());
        let (own, late, audience) = (false, false, None);
        let text = "a\n\u{1b}\"".to_owned();
        let mut message =
            crate::conference::Message { id, from, member, own, text, action: false, at, late, audience, reply: None };
        assert_eq!(
            event_line(&Event::Message(message.clone())).unwrap(),
            r#"{"event":"message","from":"Bob","id":"1","text":"a\n\u001b\"","at":"2025-01-01T00:00:00.500Z","private":false}"#
        );
        message.audience = Some(vec!["Cyd".into()]);
        let private = event_line(&Event::Message(message.clone())).unwrap();
        assert!(private.contains(r#""private":true,"to":["Cyd"]"#), "{private}");
        message.action = true;
        assert!(event_line(&Event::Message(message)).unwrap().contains(r#""action":true"#));
        assert_eq!(event_line(&Event::Said { id: "1".into() }), None);
    }

    #[test]
    fn files_are_told_with_all_a_script_needs() {
        let (offer, name) = ("01".to_owned(), "a.txt".to_owned());
        let line = |event| event_line(&event).unwrap();
        assert_eq!(
            line(Event::File {
                offer: offer.clone(),
                from: "Ada".into(),
                name: name.clone(),
                path: "/d/a.txt".into(),
                blake3: "af".into(),
                size: 3,
                voice: None,
            }),
            r#"{"event":"file","offer":"01","from":"Ada","name":"a.txt","path":"/d/a.txt","size":3,"blake3":"af"}"#
        );
        assert_eq!(
            line(Event::FileFailed { offer: None, name: name.clone(), why: "words".into() }),
            r#"{"event":"file_failed","name":"a.txt","text":"words"}"#
        );
        let people = vec![FileRecipient { name: "Bob".into(), id: "2".into(), state: "has it", why: "", part: 1.0 }];
        assert_eq!(
            line(Event::FileSettled { offer, name, recipients: people, packets: 12, packets_min: 10 }),
            r#"{"event":"sent","offer":"01","name":"a.txt","people":[{"name":"Bob","id":"2","state":"has it","part":1.0}],"packets":12,"packets_min":10}"#
        );
    }

    #[test]
    fn news_of_the_door_are_lines_of_their_own() {
        let line = |news: DoorNews| event_line(&Event::Door { news, text: "words".into() }).unwrap();
        let (id, name, by) = ("1".to_owned(), "Bob".to_owned(), "Ada".to_owned());
        for (news, expected) in [
            (DoorNews::Waiting, r#"{"event":"waiting","text":"words"}"#),
            (
                DoorNews::Knock { name: name.clone(), id: id.clone(), waits: true },
                r#"{"event":"knock","name":"Bob","id":"1","waits":true}"#,
            ),
            (DoorNews::Locked { on: true, by: Some(by.clone()) }, r#"{"event":"locked","on":true,"by":"Ada"}"#),
            (DoorNews::Locked { on: false, by: None }, r#"{"event":"locked","on":false}"#),
            (
                DoorNews::Authority {
                    owner: by.clone(),
                    owner_id: "2".into(),
                    moderators: vec![name.clone()],
                    moderator_ids: vec![id.clone()],
                },
                r#"{"event":"authority","owner":{"id":"2","name":"Ada"},"moderators":[{"id":"1","name":"Bob"}]}"#,
            ),
            (DoorNews::Removed { name, id, by: by.clone() }, r#"{"event":"removed","name":"Bob","id":"1","by":"Ada"}"#),
            (DoorNews::Over(Outcome::Removed(by)), r#"{"event":"ended","reason":"removed","by":"Ada","text":"words"}"#),
            (DoorNews::Over(Outcome::Refused), r#"{"event":"ended","reason":"refused","text":"words"}"#),
        ] {
            assert_eq!(line(news), expected);
        }
    }

    #[test]
    fn hostile_lines_do_not_stop_the_reading() {
        let mut input = Vec::new();
        input.extend_from_slice(&vec![b'x'; 3 * LINE_BYTES_MAX]);
        input.extend_from_slice(b"\n\n  \n\xff\xfe\n{\"do\":\"leave\"}");
        let mut seen = Vec::new();
        read_lines(&input[..], |l| seen.push(l.map(str::to_owned))).unwrap();
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen[0].is_err() && seen[1].is_err());
        assert_eq!(seen[2], Ok("{\"do\":\"leave\"}".to_owned()));
    }
}
