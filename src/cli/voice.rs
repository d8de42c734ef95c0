//! Voice messages in a terminal: what is typed, and what is told.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{minutes, size};
use super::json::{Names, list};
use crate::conference::VoiceNews;
use crate::conference::view::{VoiceAsk, VoiceView};
use crate::limits::VOICE_MS_MAX;
use crate::media::mix::SILENCE_DBFS;

/// What loudness looks like, from soft to loud.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Softest that is shown.
const FLOOR_DBFS: f32 = -60.0;

/// What was typed about voice messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Begin, or end what has begun.
    Toggle,
    /// What it says.
    Ask(VoiceAsk),
    /// Nothing that is understood; the words say what is.
    Unclear(String),
}

/// Reads a line; none when it is about something else.
pub fn parse(line: &str) -> Option<Typed> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    Some(match command {
        "/voice" => voice(rest),
        "/play" => Typed::Ask(match rest {
            "stop" => VoiceAsk::Stop,
            "pause" => VoiceAsk::Pause(true),
            "on" => VoiceAsk::Pause(false),
            which => VoiceAsk::Play(which.to_owned()),
        }),
        "/save" => match rest.split_once(' ').map(|(which, path)| (which, path.trim())) {
            Some((which, path)) if !path.is_empty() => {
                Typed::Ask(VoiceAsk::Save(which.to_owned(), super::typed::path(path)))
            }
            _ => Typed::Unclear("which one, and where to? /save NUMBER PATH".into()),
        },
        _ => return None,
    })
}

fn voice(rest: &str) -> Typed {
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "" => Typed::Toggle,
        "send" => Typed::Ask(VoiceAsk::Send(names(after))),
        "discard" if after.is_empty() => Typed::Ask(VoiceAsk::Discard),
        _ => match length(word) {
            Some(ms) => Typed::Ask(VoiceAsk::Record { ms_max: Some(ms), to: Some(names(after)) }),
            None => Typed::Unclear(
                "/voice begins and ends a voice message, /voice 5s [NAME, NAME] records and sends one, /voice send [NAME], /voice discard"
                    .into(),
            ),
        },
    }
}

/// "5s", "0.5s", "2m" or "5", in milliseconds.
fn length(text: &str) -> Option<u32> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    milliseconds(number.parse::<f64>().ok()? * unit)
}

/// Seconds that a voice message may have, in milliseconds.
fn milliseconds(seconds: f64) -> Option<u32> {
    let ms = seconds * 1_000.0;
    (1.0..=f64::from(VOICE_MS_MAX)).contains(&ms).then_some(ms as u32)
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

impl Typed {
    /// What is asked for, as things stand.
    ///
    /// # Errors
    /// What to type instead.
    pub fn ask(self, now: &VoiceView) -> Result<VoiceAsk, String> {
        match self {
            Typed::Ask(ask) => Ok(ask),
            Typed::Toggle if now.recording.is_some() => Ok(VoiceAsk::End),
            Typed::Toggle => Ok(VoiceAsk::Record { ms_max: None, to: None }),
            Typed::Unclear(why) => Err(why),
        }
    }
}

fn bar(part: f32) -> char {
    BARS[((part.clamp(0.0, 1.0) * BARS.len() as f32) as usize).min(BARS.len() - 1)]
}

/// A picture of how loud it is over time.
pub fn waveform(steps: &[u8]) -> String {
    steps.iter().map(|step| bar(f32::from(*step) / 255.0)).collect()
}

/// The words for what happens; a long recording is told of every ten seconds, its last ten each.
pub fn news(news: &VoiceNews) -> Option<String> {
    Some(match news {
        VoiceNews::Recording { ms: 0, left_ms, .. } => {
            format!("recording, at most {}: /voice ends it, /voice discard throws it away", minutes(*left_ms))
        }
        VoiceNews::Recording { ms, left_ms, .. } if *left_ms > 10_999 && ms / 1_000 % 10 != 0 => return None,
        VoiceNews::Recording { ms, left_ms, level_dbfs } => {
            let level = (level_dbfs.max(SILENCE_DBFS) - FLOOR_DBFS) / -FLOOR_DBFS;
            format!("recording {} {}, {} left", minutes(*ms), bar(level), minutes(*left_ms))
        }
        VoiceNews::Recorded { voice, bytes, .. } => {
            let shape = waveform(&voice.waveform);
            format!(
                "recorded {} ({}) {shape} /play, /voice send [NAME] or /voice discard",
                minutes(voice.ms),
                size(*bytes)
            )
        }
        VoiceNews::Discarded => "the voice message is discarded".into(),
        VoiceNews::Playing { length_ms, .. } => {
            format!("playing {}: /play pause, /play on, /play stop", minutes(*length_ms))
        }
        VoiceNews::Played { whole: true, .. } => "played".into(),
        VoiceNews::Played { ms, .. } => format!("stopped after {}", minutes(*ms)),
        VoiceNews::Saved { path, .. } => format!("saved as {}", path.display()),
        VoiceNews::Failed { why } => why.clone(),
    })
}

/// The command of a program that begins or ends one.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    on: Option<bool>,
    seconds: Option<f64>,
    to: Option<Names>,
}

/// The command that plays one.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its id or number; empty: the newest.
    #[serde(default)]
    pub offer: String,
}

/// The command that copies one.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// Its id or number; empty: the newest.
    #[serde(default)]
    pub offer: String,
    /// Where to.
    pub path: PathBuf,
}

impl Begin {
    /// What is asked for.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn ask(self) -> Result<VoiceAsk, String> {
        match self {
            Self { on: Some(false), seconds: None, to: None } => Ok(VoiceAsk::End),
            Self { on: Some(false), .. } => Err("not understood: \"on\":false ends a voice message".into()),
            Self { seconds: None, to, .. } => Ok(VoiceAsk::Record { ms_max: None, to: to.map(|to| list(Some(to))) }),
            Self { seconds: Some(seconds), to, .. } => match milliseconds(seconds) {
                Some(ms) => Ok(VoiceAsk::Record { ms_max: Some(ms), to: Some(list(to)) }),
                None => Err("not recorded: a voice message has up to 300 seconds".into()),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    /// One is being recorded: each second.
    Recording {
        ms: u32,
        left_ms: u32,
        level_dbfs: f32,
    },
    Recorded {
        ms: u32,
        size: u64,
        path: &'a Path,
        waveform: &'a [u8],
    },
    Discarded {},
    Playing {
        #[serde(skip_serializing_if = "Option::is_none")]
        offer: Option<&'a str>,
        length_ms: u32,
    },
    Played {
        #[serde(skip_serializing_if = "Option::is_none")]
        offer: Option<&'a str>,
        ms: u32,
        whole: bool,
    },
    Saved {
        offer: &'a str,
        path: &'a Path,
    },
    VoiceFailed {
        text: &'a str,
    },
}

/// The JSON line of what happens.
pub fn event_line(news: &VoiceNews) -> String {
    let line = match news {
        VoiceNews::Recording { ms, left_ms, level_dbfs } => {
            Line::Recording { ms: *ms, left_ms: *left_ms, level_dbfs: *level_dbfs }
        }
        VoiceNews::Recorded { voice, bytes, path } => {
            Line::Recorded { ms: voice.ms, size: *bytes, path, waveform: &voice.waveform }
        }
        VoiceNews::Discarded => Line::Discarded {},
        VoiceNews::Playing { offer, length_ms } => Line::Playing { offer: offer.as_deref(), length_ms: *length_ms },
        VoiceNews::Played { offer, ms, whole } => Line::Played { offer: offer.as_deref(), ms: *ms, whole: *whole },
        VoiceNews::Saved { offer, path } => Line::Saved { offer, path },
        VoiceNews::Failed { why } => Line::VoiceFailed { text: why },
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json;
    use crate::conference::view::{Command, Recording};

    #[test]
    fn programs_ask_in_json_and_are_told_in_json() {
        let parse = json::parse;
        for (line, ask) in [
            (r#"{"do":"voice"}"#, VoiceAsk::Record { ms_max: None, to: None }),
            (r#"{"do":"voice","on":true}"#, VoiceAsk::Record { ms_max: None, to: None }),
            (r#"{"do":"voice","on":false}"#, VoiceAsk::End),
            (r#"{"do":"voice","seconds":2.5}"#, VoiceAsk::Record { ms_max: Some(2_500), to: Some(vec![]) }),
            (r#"{"do":"voice","to":"Bob"}"#, VoiceAsk::Record { ms_max: None, to: Some(vec!["Bob".into()]) }),
            (r#"{"do":"voice_send","to":["Bob"]}"#, VoiceAsk::Send(vec!["Bob".into()])),
            (r#"{"do":"voice_discard"}"#, VoiceAsk::Discard),
            (r#"{"do":"play"}"#, VoiceAsk::Play(String::new())),
            (r#"{"do":"play_pause","on":true}"#, VoiceAsk::Pause(true)),
            (r#"{"do":"play_stop"}"#, VoiceAsk::Stop),
            (r#"{"do":"play_volume","percent":50}"#, VoiceAsk::Volume(50)),
            (r#"{"do":"save","offer":"1","path":"a.ogg"}"#, VoiceAsk::Save("1".into(), "a.ogg".into())),
        ] {
            assert_eq!(parse(line), Ok(Command::Voice(ask)));
        }
        for line in [r#"{"do":"voice","seconds":301}"#, r#"{"do":"voice","on":false,"to":"Bob"}"#] {
            assert!(parse(line).is_err());
        }
        let saved = VoiceNews::Saved { offer: "1".into(), path: "/a".into() };
        assert_eq!(event_line(&saved), r#"{"event":"saved","offer":"1","path":"/a"}"#);
    }

    #[test]
    fn voice_messages_are_asked_for_in_words() {
        let record = |ms, to: &[&str]| {
            let to = Some(to.iter().map(|&name| name.into()).collect());
            Typed::Ask(VoiceAsk::Record { ms_max: Some(ms), to })
        };
        for (line, typed) in [
            ("/voice", Typed::Toggle),
            ("/voice 5s", record(5_000, &[])),
            ("/voice 0.5s Bob (1)", record(500, &["Bob (1)"])),
            ("/voice 2m Bob, Cyd", record(120_000, &["Bob", "Cyd"])),
            ("/voice 300", record(300_000, &[])),
            ("/voice send", Typed::Ask(VoiceAsk::Send(vec![]))),
            ("/voice send Bob", Typed::Ask(VoiceAsk::Send(vec!["Bob".into()]))),
            ("/voice discard", Typed::Ask(VoiceAsk::Discard)),
            ("/play", Typed::Ask(VoiceAsk::Play(String::new()))),
            ("/play 3", Typed::Ask(VoiceAsk::Play("3".into()))),
            ("/play stop", Typed::Ask(VoiceAsk::Stop)),
            ("/play pause", Typed::Ask(VoiceAsk::Pause(true))),
            ("/play on", Typed::Ask(VoiceAsk::Pause(false))),
            ("/save 3 /tmp/a b.ogg", Typed::Ask(VoiceAsk::Save("3".into(), "/tmp/a b.ogg".into()))),
        ] {
            assert_eq!(parse(line), Some(typed), "{line}");
        }
        for line in ["/voice 301s", "/voice 0s", "/voice -1s", "/voice nans", "/voice loud", "/save", "/save 3"] {
            assert!(matches!(parse(line), Some(Typed::Unclear(_))), "{line}");
        }
        assert_eq!((parse("/voices"), parse("voice"), parse("/send a")), (None, None, None));
    }

    #[test]
    fn the_same_words_begin_and_end() {
        let mut now = VoiceView::default();
        assert_eq!(Typed::Toggle.ask(&now), Ok(VoiceAsk::Record { ms_max: None, to: None }));
        now.recording = Some(Recording { ms: 0, ms_max: 1, level_dbfs: 0.0 });
        assert_eq!(Typed::Toggle.ask(&now), Ok(VoiceAsk::End));
    }

    #[test]
    fn loudness_is_drawn() {
        assert_eq!(waveform(&[0, 128, 255]), "▁▅█");
        let told = |level_dbfs| news(&VoiceNews::Recording { ms: 1_000, left_ms: 4_000, level_dbfs });
        assert_eq!(told(-6.0).as_deref(), Some("recording 0:01 █, 0:04 left"));
        assert_eq!(told(f32::NAN).as_deref(), Some("recording 0:01 ▁, 0:04 left"));
        let long = |ms| news(&VoiceNews::Recording { ms, left_ms: 200_000, level_dbfs: 0.0 });
        assert!(long(0).is_some() && long(9_000).is_none() && long(10_020).is_some());
    }
}
