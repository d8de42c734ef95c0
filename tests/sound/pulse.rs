//! A PulseAudio of the test's own: for each person a speaker, and a microphone fed by a sink.

use crate::common::poll;
use crate::tone::RATE;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Programs needed, all of Debian's pulseaudio and pulseaudio-utils.
const PROGRAMS: [&str; 4] = ["pulseaudio", "pacat", "parec", "pactl"];

/// How long the server may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the programs are there; with `CI=true` they have to be.
pub fn installed() -> Result<(), String> {
    for program in PROGRAMS {
        if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is not installed");
            return Err(format!("{program} is not installed"));
        }
    }
    Ok(())
}

/// A running server. Dropping it ends it.
pub struct Pulse {
    folder: tempfile::TempDir,
    server: Child,
}

impl Pulse {
    /// Starts a server with devices for `people`: `NAME_mic`, fed by the sink `NAME_in`, and the sink `NAME_out`.
    pub fn start(people: &[&str]) -> Pulse {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut script =
            format!("load-module module-native-protocol-unix socket={} auth-anonymous=1\n", path("socket"));
        for name in people {
            // Without norewinds a null sink renders seconds ahead.
            let _ = write!(
                script,
                "load-module module-null-sink sink_name={name}_out rate=48000 channels=2 format=s16le norewinds=1\n\
                 load-module module-null-sink sink_name={name}_in rate=48000 channels=1 format=s16le norewinds=1\n\
                 load-module module-remap-source source_name={name}_mic master={name}_in.monitor\n"
            );
        }
        std::fs::write(path("script"), script).expect("script of the server");
        // Any will do, but without one the server turns clients away that speak its protocol themselves; a program that
        // tries ALSA next would be measured through that.
        std::fs::write(path("cookie"), [0; 256]).expect("cookie of the clients");
        let server = serve(folder.path());
        let pulse = Pulse { folder, server };
        pulse.await_answer();
        pulse
    }

    fn await_answer(&self) {
        let answers = || {
            let there = self.folder.path().join("socket").exists();
            (there && self.try_control(&["info"]).is_some()).then_some(())
        };
        poll(PATIENCE, answers).expect("the sound server comes up");
    }

    /// Kills the server and starts it again, with the same devices; returns once it answers.
    pub fn restart(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_file(self.folder.path().join("socket"));
        self.server = serve(self.folder.path());
        self.await_answer();
    }

    /// Stops the server where it is, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &self.server.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill {signal} failed");
    }

    /// Takes a device away, which is the one of this module and these arguments.
    pub fn unload(&self, module: &str, arguments: &str) {
        let modules = self.control(&["list", "short", "modules"]);
        let is = |line: &&str| line.contains(module) && line.contains(arguments);
        let number = modules.lines().find(is).and_then(|line| line.split_whitespace().next());
        self.control(&["unload-module", number.unwrap_or_else(|| panic!("no {module} {arguments} in {modules}"))]);
    }

    fn try_control(&self, arguments: &[&str]) -> Option<String> {
        let output = self.client("pactl").args(arguments).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks something of the server; its answer.
    pub fn control(&self, arguments: &[&str]) -> String {
        self.try_control(arguments).unwrap_or_else(|| panic!("pactl {arguments:?} failed"))
    }

    /// What this person's speaker plays is heard by their microphone, at this volume.
    pub fn loop_back(&self, person: &str, percent: u32) {
        let (source, sink) = (format!("source={person}_out.monitor"), format!("sink={person}_in"));
        let module = self.control(&["load-module", "module-loopback", &source, &sink, "latency_msec=30"]);
        let owner = format!("Owner Module: {}", module.trim());
        let inputs = self.control(&["list", "sink-inputs"]);
        let input = inputs.split("Sink Input #").find(|text| text.contains(&owner)).expect("the loop's input");
        let number = input.lines().next().expect("its number").trim();
        self.control(&["set-sink-input-volume", number, &format!("{percent}%")]);
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [("PULSE_SERVER", format!("unix:{}", path("socket"))), ("PULSE_COOKIE", path("cookie"))]
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables());
        command
    }

    /// `program`, whose default devices are those of `person`, whatever becomes of its environment later.
    pub fn command(&self, person: &str, program: &str) -> Command {
        let mut command = Command::new("env");
        command.args(self.variables().map(|(name, value)| format!("{name}={value}")));
        command.args([&format!("PULSE_SOURCE={person}_mic"), &format!("PULSE_SINK={person}_out"), program]);
        command
    }

    /// `program`, whose devices are the server's defaults, whatever those are.
    pub fn command_of_defaults(&self, program: &str) -> Command {
        let mut command = Command::new("env");
        command.args(["-u", "PULSE_SOURCE", "-u", "PULSE_SINK"]);
        command.args(self.variables().map(|(name, value)| format!("{name}={value}"))).arg(program);
        command
    }

    /// Records what comes out of `source`; returns once something has.
    pub fn record(&self, source: &str) -> Recorder {
        let mut command = self.client("parec");
        command.args(["--raw", "--format=s16le", "--channels=1", "--rate=48000", "--latency-msec=10"]);
        command.arg(format!("--device={source}")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start parec");
        let mut out = child.stdout.take().expect("piped");
        let (began, begins) = channel();
        let thread = std::thread::spawn(move || {
            let (mut bytes, mut part, mut start) = (Vec::new(), [0; 4_096], f64::INFINITY);
            while let Ok(n @ 1..) = out.read(&mut part) {
                bytes.extend_from_slice(&part[..n]);
                // Nothing arrives before it has been recorded: the earliest arrival tells best when the first sample was.
                let length = bytes.len() as f64 / 2.0 / f64::from(RATE);
                start = start.min(origin().elapsed().as_secs_f64() - length);
                let _ = began.send(());
            }
            let samples =
                bytes.chunks_exact(2).map(|s| f32::from(i16::from_le_bytes([s[0], s[1]])) / 32_768.0).collect();
            Recording { start_s: start, samples }
        });
        let recorder = Recorder { child, thread, begins };
        recorder.begins.recv_timeout(PATIENCE).expect("the recording begins");
        recorder
    }

    /// Plays mono samples into `sink`; returns when they have been played.
    pub fn play(&self, samples: &[f32], sink: &str) {
        self.begin_to_play(samples, sink).end();
    }

    /// Plays mono samples into `sink` from now on.
    pub fn begin_to_play(&self, samples: &[f32], sink: &str) -> Player {
        let mut command = self.client("pacat");
        command.args(["--playback", "--raw", "--format=s16le", "--channels=1", "--rate=48000", "--latency-msec=40"]);
        let mut child = command.arg(format!("--device={sink}")).stdin(Stdio::piped()).spawn().expect("start pacat");
        let bytes: Vec<u8> = samples.iter().flat_map(|s| ((s * 32_767.0) as i16).to_le_bytes()).collect();
        let mut input = child.stdin.take().expect("piped");
        // Ended early, it reads no more.
        let thread = std::thread::spawn(move || drop(input.write_all(&bytes)));
        Player { child, thread }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Something that is being played.
pub struct Player {
    child: Child,
    thread: JoinHandle<()>,
}

impl Player {
    /// Waits for the end of it.
    pub fn end(mut self) {
        self.thread.join().expect("the thread that plays");
        assert!(self.child.wait().expect("own child").success(), "pacat failed");
    }
}

fn serve(folder: &Path) -> Child {
    let mut command = Command::new("pulseaudio");
    command
        .args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes"])
        .args(["--realtime=no", "--high-priority=no", "--log-level=error", "-F"])
        .arg(folder.join("script"))
        .env_remove("DISPLAY")
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    for variable in ["HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"] {
        command.env(variable, folder);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start pulseaudio")
}

/// A recording that goes on.
pub struct Recorder {
    child: Child,
    thread: JoinHandle<Recording>,
    begins: Receiver<()>,
}

/// What was recorded.
pub struct Recording {
    /// When the first sample was, in seconds of a clock all recordings share.
    pub start_s: f64,
    /// At 48 kHz.
    pub samples: Vec<f32>,
}

impl Recorder {
    /// Ends it.
    pub fn end(mut self) -> Recording {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.thread.join().expect("the recording thread")
    }
}

/// The time of the clock all recordings share, in seconds.
pub fn now_s() -> f64 {
    origin().elapsed().as_secs_f64()
}

fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}
