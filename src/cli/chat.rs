//! `roundtable chat`: the conference in a terminal, line by line, or for a script.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::failure::Failure;
use super::pace::Pace;
use super::transcript::Transcript;
use super::typed::{Meaning, Typed};
use super::{ParticipantOptions, json, meet, participate};
use crate::conference::view::{Command, NoticeKind};
use crate::conference::{Conference, Event};

/// How long lines have to reach everybody once there are no more.
pub const LAST_LINES: Duration = Duration::from_secs(5);

/// At the end of the subcommand's help.
pub const EXAMPLES: &str = r#"In a terminal: Tab completes names, commands and emoji (:tea), Up points at a line to answer, PgUp and PgDn scroll,
Ctrl-Up brings earlier lines again, Alt-Enter begins another line, Ctrl-C leaves; --plain goes line by line instead.
Typed lines are said to everybody, and /help lists what else can be typed.
From a pipe all lines are said as they are, except /me, /msg, /send, /accept, /decline, /files, /voice, /play, /save, /hand, /away, /back, /who, /help and /quit, and
the commands of the owner and moderators: /lock, /unlock, /admit NAME, /refuse NAME, /kick NAME, and of the owner alone:
/moderator NAME, /moderator NAME off, /owner NAME.
With --json:
  {"do":"say","text":"tea?"}   with "to":"Bob" or "to":["Bob","Cyd"] privately, with "reply":ID in reply to the message of that id
  {"do":"react","emoji":"👍","line":ID}   {"do":"hand","on":true}   {"do":"away","on":true}   {"do":"leave"}
  {"do":"send","path":"a.pdf"}   with "to" as above;  {"do":"accept","offer":ID}   with "folder":PATH, "path":PATH or "always":true
  {"do":"decline","offer":ID}    events tell of offer, progress, file, sent, file_failed
  {"do":"voice","seconds":5}   a voice message, with "to" as above;  {"do":"voice","on":true} and "on":false, {"do":"voice_send"} with "to",
  {"do":"voice_discard"}   {"do":"play","offer":ID}   {"do":"play_pause","on":true}   {"do":"play_stop"}   {"do":"play_volume","percent":50}
  {"do":"save","offer":ID,"path":PATH}    events tell of recording, recorded, discarded, playing, played, saved, voice_failed
  {"do":"priority","on":true}   {"do":"favour","who":"Bob","on":true}   {"do":"hear","who":"Bob","volume":50}, percent, or "silenced":true, here only
  {"do":"mute","on":true}   {"do":"talk","mode":"open"}, "voice" or "push"   {"do":"improve","what":"echo","on":true}: "noise", "gain", "headset"
  {"do":"lock","on":true}   {"do":"admit","who":"Bob"}   {"do":"refuse","who":"Bob"}   {"do":"kick","who":"Bob"}
  {"do":"moderator","who":"Bob","on":true}   {"do":"owner","who":"Bob"}

Examples:
  roundtable chat Standup
  roundtable chat Standup --plain
  echo "back in ten minutes" | roundtable chat Standup
  echo '{"do":"say","text":"the build is broken"}' | roundtable chat Standup --json"#;

/// Joins with text alone, unless devices are asked for.
pub fn run(title: Option<&str>, plain: bool, options: &ParticipantOptions) -> Result<(), Failure> {
    meet::join(title, &text_alone(plain, options)?)
}

/// The same options for text alone, unless devices are asked for.
pub fn text_alone(plain: bool, options: &ParticipantOptions) -> Result<ParticipantOptions, Failure> {
    if options.screenshot.is_some() {
        return Err(Failure::usage("a chat has no picture to write to --screenshot").hint("`roundtable join` has one"));
    }
    let none = |device: &Option<String>| device.clone().or_else(|| Some("none".to_owned()));
    Ok(ParticipantOptions {
        camera: none(&options.camera),
        microphone: none(&options.microphone),
        speaker: none(&options.speaker),
        text: true,
        spare_devices: options.microphone.is_none() && options.speaker.is_none(),
        plain,
        ..options.clone()
    })
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
            let leave = || {
                pace.wait_until_heard(LAST_LINES);
                let _ = commands.send(Command::Leave);
            };
            let _ = json::read_lines(std::io::stdin().lock(), |line| {
                if self.echoed {
                    erase_echo();
                }
                let Some(conference) = conference.upgrade() else { return };
                let meaning = line.map(|line| {
                    // What was read last is what is meant.
                    let last = locked(&self.transcript).last().map(str::to_owned);
                    Typed::parse(line, self.typed).meaning(&conference, last.as_deref())
                });
                drop(conference);
                match meaning {
                    Ok(Meaning::Ask(command)) => {
                        pace.before(&command);
                        let _ = commands.send(command);
                    }
                    Ok(Meaning::Answer(text)) => drop(json::print(&locked(&self.transcript).note(&text))),
                    Ok(Meaning::Refuse(why)) if self.typed => drop(json::print(&locked(&self.transcript).note(&why))),
                    Ok(Meaning::Quit) => leave(),
                    Ok(Meaning::Refuse(why)) | Err(why) => eprintln!("error: not said: {why}"),
                }
            });
            leave();
        });
    }
}

fn locked(transcript: &Mutex<Transcript>) -> std::sync::MutexGuard<'_, Transcript> {
    transcript.lock().unwrap_or_else(|e| e.into_inner())
}

/// Takes away the line as it was typed: it comes again with time and name.
fn erase_echo() {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(b"\x1b[A\x1b[2K\r").and_then(|()| out.flush());
}
