//! `demo`: simulated people as real child processes, and the user as one more participant.
//!
//! ```text
//! child 1: start   child 2..N: join   here: join, with a window or headless
//!    \____ all see one another, then every camera and microphone goes on ____/
//! ```
//! Everybody begins together and stops together, so that what was sent and what was shown can be compared.
//! The children leave when their stdin ends, so they end when this process does, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::failure::{Failure, code};
use super::passphrase::{self, Trial};
use super::{ParticipantOptions, meet, participate, report};
use crate::conference::stats::Stats;
use crate::conference::{Conference, Entry, Role};
use crate::device::clock::Clock;
use crate::device::identity;

/// The simulated people, in order of appearance.
const NAMES: [&str; 49] = [
    "Ada",
    "Grace",
    "Alan",
    "Edith",
    "Linus",
    "Barbara",
    "Dennis",
    "Radia",
    "Ken",
    "Frances",
    "Donald",
    "Hedy",
    "Tim",
    "Margaret",
    "Claude",
    "Katherine",
    "Edsger",
    "Jean",
    "Niklaus",
    "Mary",
    "John",
    "Sophie",
    "Tony",
    "Karen",
    "Leslie",
    "Joan",
    "Robin",
    "Annie",
    "Vint",
    "Evelyn",
    "Bob",
    "Carol",
    "Dan",
    "Erna",
    "Butler",
    "Ruth",
    "Rob",
    "Betty",
    "Guido",
    "Ida",
    "Bjarne",
    "Kathleen",
    "Brian",
    "Marlyn",
    "Stephen",
    "Adele",
    "Larry",
    "Shafi",
    "Maurice",
];

/// Up to so many simulated people watch one another.
const WATCHING_MAX: usize = 12;
/// How long the people may take to start and to see one another.
const ASSEMBLY: Duration = Duration::from_secs(30);
/// How long a child may take to leave once asked.
const LEAVING: Duration = Duration::from_secs(5);
/// Between the end of sending and the end of watching: whatever is under way arrives.
const TAIL_S: f64 = 0.4;

/// Runs the demo.
pub fn run(people: u16, options: &ParticipantOptions) -> Result<(), Failure> {
    let mut options = options.clone();
    // Over the loopback the demo needs no network and disturbs none. The user only watches and listens.
    options.interface.get_or_insert_with(|| "127.0.0.1".into());
    options.camera.get_or_insert_with(|| "none".into());
    options.microphone.get_or_insert_with(|| "none".into());
    let config = options.config()?;
    participate::check(&options)?;
    let folder = tempfile::Builder::new().prefix("roundtable-demo-").tempdir()?;
    let title = format!("Demo {}", std::process::id());
    let interface = options.interface.as_deref().unwrap_or_default();

    eprintln!("starting {people} simulated people on {interface}");
    let mut cast = Cast::of(usize::from(people));
    for name in NAMES.iter().take(usize::from(people)) {
        cast.add(name, &title, interface, folder.path())?;
    }
    cast.assemble()?;

    let found = meet::find(&title, &config, &mut Trial::default())?;
    let entry = Entry::Join { secret: passphrase::secret_for(&found, Trial::default())?, found };
    eprintln!(
        "started \"{title}\", open as every demo; others on this machine join with: \
         roundtable join \"{title}\" --interface {interface}"
    );
    let viewer = participate::open(&config, entry, Role::Participant)?;
    wait_for_people(&viewer, usize::from(people))?;
    let duration = options.duration.map(Duration::from_secs_f64);
    options.duration = options.duration.map(|s| s + TAIL_S);
    let stats_file = options.stats.take();
    let mut curtain = None;
    let outcome = participate::stay_and(viewer, &config, &options, || {
        cast.tell(&[r#"{"do":"camera","on":true}"#, r#"{"do":"mute","on":false}"#]);
        curtain = duration.map(|d| cast.curtain(d));
    });
    drop(curtain);
    cast.end();
    finish(outcome?, &cast, stats_file.as_deref(), &options)
}

/// The viewer must know everybody before they begin, or it misses their first frames.
fn wait_for_people(viewer: &Conference, count: usize) -> Result<(), Failure> {
    let others = |v: &Conference| v.view().people.iter().filter(|p| !p.me).count();
    if viewer.wait_until(ASSEMBLY, |v| others(v) >= count) {
        return Ok(());
    }
    let text = format!("only {} of {count} simulated people are seen after {ASSEMBLY:?}", others(viewer));
    Err(Failure::words(code::NETWORK, text).hint("is multicast on the loopback interface blocked by a firewall?"))
}

fn finish(mut stats: Stats, cast: &Cast, file: Option<&Path>, options: &ParticipantOptions) -> Result<(), Failure> {
    stats.demo = cast.actors.iter().filter_map(Actor::stats).collect();
    report::print(&summary(&stats))?;
    if let Some(path) = &options.screenshot {
        report::print(&format!("screenshot: {}\n", path.display()))?;
    }
    if let Some(path) = file {
        report::write(path, &stats).map_err(|e| participate::unwritable(path, e))?;
        report::print(&format!("statistics: {}\n", path.display()))?;
    }
    Ok(())
}

/// One row a pair of people: what one sent and the other showed.
fn summary(stats: &Stats) -> String {
    let viewer = serde_json::to_value(stats).unwrap_or_default();
    let sent = |id: &serde_json::Value, layer: &serde_json::Value| {
        let of = stats.demo.iter().find(|d| &d["me"]["id"] == id)?;
        of["sent"]["layers"][layer.as_str()?]["frames"].as_u64()
    };
    let mut rows = Vec::new();
    for who in stats.demo.iter().chain([&viewer]) {
        let name = who["me"]["name"].as_str().unwrap_or("?");
        for person in who["people"].as_array().into_iter().flatten() {
            let (video, audio) = (&person["video"], &person["audio"]);
            let Some(sent) = sent(&person["id"], &video["layer"]) else { continue };
            let shown = video["frames_shown"].as_u64().unwrap_or(0);
            let packets = |key: &str| audio[key].as_f64().unwrap_or(0.0);
            // A packet carries 20 ms unless configured otherwise.
            let sounded = (20.0 * (packets("packets_received") + packets("packets_lost"))).max(1.0);
            let concealed = packets("concealed_ms");
            let latency = &video["latency_ms"];
            let ms = |v: &serde_json::Value| v.as_f64().map_or("-".to_owned(), |n| format!("{n:.1}"));
            rows.push(vec![
                name.to_owned(),
                person["name"].as_str().unwrap_or("?").to_owned(),
                video["layer"].as_str().unwrap_or("-").to_owned(),
                sent.to_string(),
                shown.to_string(),
                format!("{:.1} %", 100.0 * shown as f64 / sent.max(1) as f64),
                format!("{:.1} %", 100.0 * concealed / sounded),
                ms(&latency["p50"]),
                ms(&latency["p99"]),
            ]);
        }
    }
    let header = ["viewer", "person", "layer", "sent", "shown", "frames", "concealed", "latency ms p50", "p99"];
    let cpu: f64 = stats.demo.iter().filter_map(|d| d["process"]["cpu_s"].as_f64()).sum();
    let own = stats.process;
    format!(
        "{}processor time: {:.1} s here, {cpu:.1} s in {} simulated people, over {:.1} s; memory here {:.0} MiB\n",
        report::table(&header, &rows),
        own.cpu_s,
        stats.demo.len(),
        stats.elapsed_s,
        own.max_rss_bytes as f64 / (1 << 20) as f64,
    )
}

/// What a child tells: an event line, or `None` when its output ends.
type Told = (usize, Option<String>);

/// The simulated people.
struct Cast {
    /// How many there are to be.
    size: usize,
    actors: Vec<Actor>,
    telling: Sender<Told>,
    told: Receiver<Told>,
}

struct Actor {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stats: PathBuf,
    joined: bool,
    others: usize,
    ended: bool,
}

impl Cast {
    fn of(size: usize) -> Self {
        let (telling, told) = channel();
        Self { size, actors: Vec::new(), telling, told }
    }
}

impl Cast {
    /// Starts one more; the first one starts the conference, and the others wait for that.
    fn add(&mut self, name: &'static str, title: &str, interface: &str, folder: &Path) -> Result<(), Failure> {
        let index = self.actors.len();
        let stats = folder.join(format!("{index}.json"));
        let verb: &[&str] = if index == 0 { &["start", "--open"] } else { &["join"] };
        let mut child = Process::new(std::env::current_exe()?)
            .args(verb)
            .args([title, "--name", name, "--interface", interface])
            .args(["--camera", "test", "--microphone", "test", "--speaker", "none", "--size", "640x360"])
            .args(["--headless", "--json", "--until-eof", "--hold"])
            .arg("--stats")
            .arg(&stats)
            // Up to a grid's worth they watch one another; more of them would take more than one machine has.
            .env("ROUNDTABLE_PICTURES", (self.size <= WATCHING_MAX).to_string())
            // Their identities are nobody's: they go with the demo.
            .env(identity::HOME_VARIABLE, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|e| Failure::words(code::UNEXPECTED, format!("cannot start a simulated person: {e}")))?;
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            let telling = self.telling.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = telling.send((index, Some(line)));
                }
                let _ = telling.send((index, None));
            });
        }
        self.actors.push(Actor { name, child, stdin, stats, joined: false, others: 0, ended: false });
        if index == 0 { self.wait("to start", |actors| actors[0].joined) } else { Ok(()) }
    }

    /// Waits until everybody sees everybody.
    fn assemble(&mut self) -> Result<(), Failure> {
        let others = self.actors.len() - 1;
        self.wait("to see one another", |actors| actors.iter().all(|a| a.joined && a.others >= others))
    }

    fn wait(&mut self, what: &str, done: impl Fn(&[Actor]) -> bool) -> Result<(), Failure> {
        let clock = Clock::system();
        let deadline = clock.now() + ASSEMBLY;
        while !done(&self.actors) {
            match self.told.recv_timeout(deadline.since(clock.now())) {
                Ok((index, line)) => self.actors[index].note(line.as_deref()),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let text = format!("the simulated people took more than {ASSEMBLY:?} {what}");
                    return Err(Failure::words(code::NETWORK, text));
                }
            }
            if let Some(gone) = self.actors.iter().find(|a| a.ended) {
                let text = format!("simulated person {} ended before the demo began", gone.name);
                return Err(Failure::words(code::UNEXPECTED, text).hint("its own error stands above"));
            }
        }
        Ok(())
    }

    fn tell(&mut self, lines: &[&str]) {
        for actor in &mut self.actors {
            actor.tell(lines);
        }
    }

    /// After `duration` everybody stops sending. The guard's drop cancels it.
    fn curtain(&mut self, duration: Duration) -> Curtain {
        let (cancel, cancelled) = channel::<()>();
        let mut inputs: Vec<ChildStdin> = self.actors.iter_mut().filter_map(|a| a.stdin.take()).collect();
        let thread = std::thread::spawn(move || {
            if cancelled.recv_timeout(duration) == Err(RecvTimeoutError::Timeout) {
                for input in &mut inputs {
                    let _ = input.write_all(b"{\"do\":\"pause\"}\n");
                }
            }
            // Held until the viewer is done: a closed stdin makes a child leave.
            let _ = cancelled.recv();
        });
        Curtain { cancel: Some(cancel), thread: Some(thread) }
    }

    /// Asks everybody to leave and waits for them; who does not is killed.
    fn end(&mut self) {
        self.tell(&[r#"{"do":"leave"}"#]);
        let clock = Clock::system();
        let deadline = clock.now() + LEAVING;
        for actor in &mut self.actors {
            actor.stdin = None;
        }
        while self.actors.iter().any(|a| !a.ended) {
            match self.told.recv_timeout(deadline.since(clock.now())) {
                Ok((index, line)) => self.actors[index].note(line.as_deref()),
                Err(_) => break,
            }
        }
        for actor in &mut self.actors {
            if !actor.ended {
                eprintln!("simulated person {} did not leave in time", actor.name);
                let _ = actor.child.kill();
            }
            let _ = actor.child.wait();
        }
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            if !matches!(actor.child.try_wait(), Ok(Some(_))) {
                let _ = actor.child.kill();
                let _ = actor.child.wait();
            }
        }
    }
}

/// Stops everybody's sending at the end of the time asked for.
struct Curtain {
    cancel: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Curtain {
    fn drop(&mut self) {
        self.cancel = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Actor {
    fn note(&mut self, line: Option<&str>) {
        let Some(line) = line else {
            self.ended = true;
            return;
        };
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        match (event["event"].as_str(), event["state"].as_str()) {
            (Some("joined"), _) => self.joined = true,
            (Some("person"), Some("joined")) => self.others += 1,
            (Some("person"), Some("left" | "lost")) => self.others = self.others.saturating_sub(1),
            _ => {}
        }
    }

    fn tell(&mut self, lines: &[&str]) {
        let Some(stdin) = &mut self.stdin else { return };
        // A child that has gone is noticed by the end of its output.
        let _ = lines.iter().try_for_each(|line| writeln!(stdin, "{line}"));
    }

    fn stats(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(&self.stats).ok()?).ok()
    }
}
