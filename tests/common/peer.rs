//! A participant: the program itself, headless, driven by JSON lines and watched through its events and `--stats`.

use super::poll;
use super::stats::{Stats, Window};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_roundtable");

/// The picture of every simulated camera: small, so that builds without optimisation keep up on two cores.
pub const CAMERA_SIZE: &str = "640x360";
/// Its frames per second.
pub const CAMERA_FPS: f64 = 15.0;

/// How long anything may take that a person would call immediate, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(20);

/// The last lines of a log that are printed with a failure.
const LOG_LINES_SHOWN: usize = 30;

/// A running participant. Dropping it kills it.
pub struct Peer {
    /// The name it goes by.
    pub name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<(Instant, Value)>,
    seen: VecDeque<(Instant, Value)>,
    folder: tempfile::TempDir,
}

impl Peer {
    /// Makes `command` (the program, run wherever it is to run) start a conference.
    pub fn start(command: Command, name: &str, conference: &str, more: &[&str]) -> Peer {
        let options: Vec<&str> = ["--open"].iter().chain(more).copied().collect();
        let mut peer = Peer::spawn(command, "start", name, conference, &options);
        peer.await_joined();
        peer
    }

    /// Makes `command` start a conference that is not open; `more` says what protects it.
    pub fn protect(command: Command, name: &str, conference: &str, more: &[&str]) -> Peer {
        let mut peer = Peer::begin(command, name, conference, more);
        peer.await_joined();
        peer
    }

    /// As [`Peer::protect`], with all its events still to come.
    pub fn begin(command: Command, name: &str, conference: &str, more: &[&str]) -> Peer {
        Peer::spawn(command, "start", name, conference, more)
    }

    /// Makes `command` join a conference.
    pub fn join(command: Command, name: &str, conference: &str, more: &[&str]) -> Peer {
        Peer::spawn(command, "join", name, conference, more)
    }

    /// Makes `command` join a conference with text alone.
    pub fn chat(command: Command, name: &str, conference: &str) -> Peer {
        Peer::run(command, &["chat", conference, "--name", name, "--json"], name, folder())
    }

    /// As [`Peer::chat`], with more options.
    pub fn chat_with(command: Command, name: &str, conference: &str, more: &[&str]) -> Peer {
        let arguments = [&["chat", conference, "--name", name, "--json"], more].concat();
        Peer::run(command, &arguments, name, folder())
    }

    /// As [`Peer::chat_again`], with more options.
    pub fn come_back(self, command: Command, conference: &str, more: &[&str]) -> Peer {
        let (mut ended, name) = (self, String::new());
        ended.await_end(SOON);
        let name = std::mem::replace(&mut ended.name, name);
        let folder = std::mem::replace(&mut ended.folder, folder());
        let arguments = [&["chat", conference, "--name", &name, "--json"], more].concat();
        Peer::run(command, &arguments, &name, folder)
    }

    /// Makes `command` join with text alone as the same person, with what the one that ended has kept.
    pub fn chat_again(self, command: Command, conference: &str) -> Peer {
        let (mut ended, name) = (self, String::new());
        ended.await_end(SOON);
        let name = std::mem::replace(&mut ended.name, name);
        let folder = std::mem::replace(&mut ended.folder, folder());
        Peer::run(command, &["chat", conference, "--name", &name, "--json"], &name, folder)
    }

    fn spawn(mut command: Command, verb: &str, name: &str, conference: &str, more: &[&str]) -> Peer {
        let folder = folder();
        command
            .args([verb, conference, "--name", name, "--headless", "--json", "--stats"])
            .arg(folder.path().join("stats.json"));
        for (option, usual) in
            [("--camera", "test"), ("--microphone", "test"), ("--speaker", "none"), ("--size", "960x540")]
        {
            if !more.contains(&option) {
                command.args([option, usual]);
            }
        }
        Peer::run(command, more, name, folder)
    }

    fn run(mut command: Command, arguments: &[&str], name: &str, folder: tempfile::TempDir) -> Peer {
        command.args(arguments);
        private(&mut command, &folder);
        let log = File::create(folder.path().join("log")).expect("log file");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("start the program");
        let (out, events) = channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(format!("not JSON: {line}")));
                if out.send((Instant::now(), event)).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Peer { name: name.to_owned(), child, stdin, events, seen: VecDeque::new(), folder }
    }

    /// Where the program keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("roundtable")
    }

    /// Waits for the event that says the participant is in.
    pub fn await_joined(&mut self) {
        self.await_event(SOON, |event| event["event"] == "joined");
    }

    /// The next event that `wanted` accepts and when it came; those before it are passed over.
    #[track_caller]
    pub fn await_event(&mut self, for_at_most: Duration, wanted: impl Fn(&Value) -> bool) -> (Instant, Value) {
        let deadline = Instant::now() + for_at_most;
        let mut passed = Vec::new();
        loop {
            let next = self
                .seen
                .pop_front()
                .or_else(|| self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok());
            match next {
                Some((at, event)) if wanted(&event) => return (at, event),
                Some((_, event)) => passed.push(event.to_string()),
                None => {
                    panic!("{}: no such event within {for_at_most:?}; there came:\n{}", self.name, passed.join("\n"))
                }
            }
        }
    }

    /// Events that have come and that nobody has waited for, oldest first.
    pub fn drain_events(&mut self) -> Vec<Value> {
        self.seen.extend(self.events.try_iter());
        self.seen.drain(..).map(|(_, event)| event).collect()
    }

    /// Waits until this participant sees that person in that state.
    #[track_caller]
    pub fn await_person(&mut self, for_at_most: Duration, name: &str, state: &str) -> Instant {
        let wanted = |e: &Value| e["event"] == "person" && e["name"] == name && e["state"] == state;
        self.await_event(for_at_most, wanted).0
    }

    /// Waits until this participant has seen all of these come, in whatever order they do.
    #[track_caller]
    pub fn await_people(&mut self, for_at_most: Duration, names: &[&str]) {
        let mut missing = names.to_vec();
        while !missing.is_empty() {
            let comes = |e: &Value, name: &&str| e["event"] == "person" && e["state"] == "joined" && e["name"] == *name;
            let (_, event) = self.await_event(for_at_most, |e| missing.iter().any(|name| comes(e, name)));
            missing.retain(|name| !comes(&event, name));
        }
    }

    /// Gives the program one line.
    pub fn tell(&mut self, line: &Value) {
        self.write_line(&line.to_string());
    }

    /// Gives the program one line that is no command.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the program reads its input");
    }

    /// Everything it leaves on disk, and its log.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// The arguments and the environment the program was given.
    pub fn given(&self) -> Vec<u8> {
        let read = |what: &str| std::fs::read(format!("/proc/{}/{what}", self.child.id())).expect("the process runs");
        [read("cmdline"), read("environ")].concat()
    }

    /// The statistics as last written; `None` before the first time.
    pub fn stats(&self) -> Option<Stats> {
        let text = std::fs::read_to_string(self.folder.path().join("stats.json")).ok()?;
        Some(Stats(
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: stats are no JSON: {e}: {text}", self.name)),
        ))
    }

    /// Waits until the statistics satisfy `wanted`.
    #[track_caller]
    pub fn await_stats(&self, for_at_most: Duration, what: &str, wanted: impl Fn(&Stats) -> bool) -> Stats {
        poll(for_at_most, || self.stats().filter(&wanted))
            .unwrap_or_else(|| panic!("{}: {what}: not within {for_at_most:?}; last: {:?}", self.name, self.stats()))
    }

    /// Statistics from the next writing on until `seconds` later.
    pub fn window(&self, seconds: f64) -> Window {
        windows(&[self], seconds).remove(0)
    }

    /// The process's memory in bytes: `VmRSS` is what it holds now, `VmHWM` the most it ever held.
    pub fn memory_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find(|l| l.starts_with(field)).expect("field of /proc/PID/status");
        let kilobytes = line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("number of kB");
        kilobytes * 1_024
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, `TERM` or `KILL` for instance.
    pub fn signal(&self, signal: &str) {
        super::sandbox::sh(&format!("kill -{signal} {}", self.child.id()));
    }

    /// What the program has written to stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether the program still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn await_end(&mut self, for_at_most: Duration) -> ExitStatus {
        poll(for_at_most, || self.child.try_wait().expect("own child"))
            .unwrap_or_else(|| panic!("{} still runs after {for_at_most:?}", self.name))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!("-- last lines of {}:", self.name);
            println!("{}", lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n"));
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// Gives the program a home of its own and, unless it was given another, the small camera.
pub fn private(command: &mut Command, home: &tempfile::TempDir) {
    command.env("HOME", home.path());
    for variable in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(variable, home.path());
    }
    for variable in ["DISPLAY", "WAYLAND_DISPLAY", "PULSE_SERVER"] {
        command.env_remove(variable);
    }
    let rate = CAMERA_FPS.to_string();
    for (variable, usual) in [("ROUNDTABLE_CAMERA_SIZE", CAMERA_SIZE), ("ROUNDTABLE_CAMERA_FPS", &rate)] {
        if command.get_envs().all(|(given, _)| given != variable) {
            command.env(variable, usual);
        }
    }
}

/// Waits until each of the participants has picture and sound of all the others.
pub fn await_all_meet(peers: &[&Peer]) {
    for peer in peers {
        let others: Vec<&str> = peers.iter().map(|p| p.name.as_str()).filter(|n| *n != peer.name).collect();
        peer.await_stats(SOON, &format!("meets {others:?}"), |stats| others.iter().all(|name| stats.meets(name)));
    }
}

/// What happens at all of these over the same `seconds`, in their order.
pub fn windows(peers: &[&Peer], seconds: f64) -> Vec<Window> {
    let from: Vec<Stats> = peers.iter().map(|p| p.await_stats(SOON, "writes statistics", |_| true)).collect();
    let patience = Duration::from_secs_f64(seconds) + SOON;
    let until = |(peer, from): (&&Peer, Stats)| {
        let enough = from.elapsed_s() + seconds;
        let to = peer.await_stats(patience, "goes on writing statistics", |s| s.elapsed_s() >= enough);
        Window { from, to }
    };
    peers.iter().zip(from).map(until).collect()
}

/// Asserts that over `seconds` each showed at least `share` of the frames the others sent, and made up little sound.
#[track_caller]
pub fn assert_all_show(peers: &[&Peer], seconds: f64, share: f64) {
    let windows = windows(peers, seconds);
    for (viewer, window) in peers.iter().zip(&windows) {
        for (sender, sent) in peers.iter().zip(&windows).filter(|(s, _)| s.name != viewer.name) {
            let pair = format!("{} of {}", viewer.name, sender.name);
            let fps = sent.sent_rate();
            assert!(fps > CAMERA_FPS / 2.0, "{} sends {fps:.1} frames a second", sender.name);
            let shown = window.shown_share(&sender.name, sent, CAMERA_FPS);
            let concealed = window.concealed_share(&sender.name);
            let packets = window.audio_rate(&sender.name);
            println!(
                "{pair}: {:.1} % of {fps:.1} fps shown, {packets:.0} packets/s of sound, {:.2} % concealed",
                shown * 100.0,
                concealed * 100.0
            );
            assert!(shown >= share, "{pair}: shows {:.1} % of the frames", shown * 100.0);
            assert!(concealed < 0.02, "{pair}: {:.1} % of the sound is concealed", concealed * 100.0);
            assert!(packets > 40.0, "{pair}: {packets:.0} packets of sound a second, 50 are sent");
        }
    }
}
