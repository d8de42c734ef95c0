//! Flash and beep: whether a person's picture and sound come out together.
//!
//! ```text
//!  test card, which shows when it was taken ──> Ada ))) loopback ))) Bob ──> pictures as they are shown, read
//!  beeps > sink ada_in > ada_mic ─────────────'                        '──> sink bob_out, recorded
//!           '-- monitor, recorded
//! ```
//! Every picture of the test card carries the moment it was taken, and so is a flash; every beep is found in both
//! recordings. Bob is a process of this test, because nobody else can look at the pictures in the moment they are shown; a
//! slow window is one that shows them later.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::thread::JoinHandle;
use std::time::Duration;

use roundtable::conference::config::{Config, Layer};
use roundtable::conference::{Conference, Entry, Role};
use roundtable::media::picture::Picture;
use roundtable::media::test_card::read_timecode;
use roundtable::pipeline::slot::Waker;

use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::sandbox::sandboxed;
use crate::pulse::{self, Pulse, Recording};
use crate::tone::RATE;

/// Tells the process that is Bob how many ms its window takes, and whether it asks for a low delay.
const SLOW: &str = "LIPS_WINDOW_MS";
const LOW: &str = "LIPS_LOW_DELAY";
/// Beeps are so far apart, and so long.
const EVERY_S: f64 = 0.5;
const BEEP_S: f64 = 0.06;
/// A vowel, which no filter takes for noise: amplitudes of its fundamental and overtones.
const VOWEL_HZ: f64 = 230.0;
const VOWEL: [f64; 4] = [0.30, 0.10, 0.06, 0.04];
/// What is louder, as a share of the loudest, begins a beep.
const LOUD: f32 = 0.2;
/// Bob looks at the conference so often at least.
const LOOK: Duration = Duration::from_millis(100);
/// Until sound and picture have been measured, and one has waited for the other.
const SETTLED_S: f64 = 10.0;
/// Sound and picture are to be no further apart in 95 of 100 moments.
const APART_MS_MAX: f64 = 40.0;
/// So much of that is excused by a machine that holds things up.
const HELD_UP_MS_MAX: f64 = 20.0;

fn beeps(seconds: f64) -> Vec<f32> {
    (0..(seconds * f64::from(RATE)) as usize)
        .map(|i| {
            let t = i as f64 / f64::from(RATE) % EVERY_S - 0.2;
            let partial = |(i, a): (usize, &f64)| a * (std::f64::consts::TAU * VOWEL_HZ * (i + 1) as f64 * t).sin();
            if (0.0..BEEP_S).contains(&t) { VOWEL.iter().enumerate().map(partial).sum::<f64>() as f32 } else { 0.0 }
        })
        .collect()
}

/// When beeps begin, in seconds of the clock all recordings share.
fn onsets(recording: &Recording) -> Vec<f64> {
    let (mut quiet, mut found) = (0, Vec::new());
    let loud = LOUD * recording.samples.iter().fold(0.0f32, |most, sample| most.max(sample.abs()));
    for (i, sample) in recording.samples.iter().enumerate() {
        if sample.abs() > loud {
            if quiet > RATE as usize / 10 {
                found.push(recording.start_s + i as f64 / f64::from(RATE));
            }
            quiet = 0;
        } else {
            quiet += 1;
        }
    }
    found
}

/// Bob, and how late each picture is shown: seconds since the epoch when it was shown, and ms since it was taken.
struct Bob {
    process: Child,
    seen: JoinHandle<Vec<(f64, f64)>>,
    _home: tempfile::TempDir,
}

impl Bob {
    fn start(pulse: &Pulse, mode: &Mode) -> Bob {
        let home = tempfile::tempdir().expect("temporary folder");
        let test = std::env::current_exe().expect("path of the test");
        let test = test.to_str().expect("a path in UTF-8");
        let mut command = Command::new("env");
        private(&mut command, &home);
        command.env(SLOW, mode.window_ms.to_string()).env(LOW, mode.low_delay.to_string());
        command.env("ROUNDTABLE_SPEAKER", "auto");
        // The server stands on the command line, where nothing takes it away.
        let whole = pulse.command("bob", test);
        command.args(whole.get_args()).args(["--exact", "lips::bob", "--ignored", "--nocapture"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start Bob");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let seen = std::thread::spawn(move || {
            let figures = |line: String| {
                let Some(shown) = line.strip_prefix("shown ") else {
                    println!("{line}");
                    return None;
                };
                let (at, late) = shown.split_once(' ')?;
                Some((at.parse().ok()?, late.parse().ok()?))
            };
            lines.map_while(Result::ok).filter_map(figures).collect()
        });
        Bob { process, seen, _home: home }
    }

    fn end(mut self) -> Vec<(f64, f64)> {
        // The end of its input.
        drop(self.process.stdin.take());
        assert!(self.process.wait().expect("own child").success(), "Bob failed");
        self.seen.join().expect("the thread that reads")
    }
}

/// Bob himself, for [`flash_and_beep`]: starts the conference, shows what comes and says so, until its input ends.
#[test]
#[ignore = "run by the test of this file"]
fn bob() {
    let window = std::env::var(SLOW).expect("run by the test of this file").parse().expect("a number");
    let window = Duration::from_millis(window);
    let low_delay = std::env::var(LOW).expect("run by the test of this file");
    let mut flags = Layer::default();
    let own = [("name", "Bob"), ("camera", "none"), ("microphone", "none"), ("low_delay", &low_delay)];
    for (key, value) in [("interface", "127.0.0.1")].into_iter().chain(own) {
        flags.set(key, value, "test").expect("a setting");
    }
    let config = Config::load(flags).expect("settings");
    let entry = Entry::Start { title: "Lips".into(), passphrase: None };
    let conference = Conference::open(&config, entry, Role::Participant).expect("a conference");
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let waker = Arc::new(Waker::default());
    let mut picture = Picture::default();
    // Whatever else it says is the end.
    while matches!(end.try_recv(), Err(TryRecvError::Empty)) {
        let mut due = None;
        for person in conference.view().people.iter().filter(|p| !p.me) {
            person.picture.want(640, 360);
            person.picture.wake_on_publish(&waker);
            let info = person.picture.take(conference.clock().now(), &mut picture);
            due = due.into_iter().chain(person.picture.next_due()).min();
            let Some(info) = info else { continue };
            let taken = read_timecode(&picture);
            if !window.is_zero() {
                // What a window that takes so long does meanwhile.
                let _ = end.recv_timeout(window);
            }
            conference.shown(person.key, &info);
            let (now, late) = (conference.clock().wall(), taken.map(|t| conference.clock().wall().nanos_from(t)));
            if let Some(late) = late {
                println!("shown {:.6} {:.3}", now.to_unix().as_secs_f64(), late as f64 / 1e6);
            }
        }
        let wait = due.map_or(LOOK, |at| at.since(conference.clock().now()).min(LOOK));
        waker.wait(wait);
    }
    let stats = serde_json::to_value(conference.stats()).expect("statistics");
    let (sound, picture) = (&stats["people"][0]["audio"], &stats["people"][0]["video"]);
    println!(
        "Bob's own figures: later by {} ms, the sound's delay {} ms, the picture held for {} ms and skipped {} times",
        sound["lip_sync_ms"], sound["delay_ms"], picture["held_ms"], picture["frames_skipped"]
    );
    conference.leave();
}

/// How both take part.
struct Mode {
    what: &'static str,
    /// What Bob's window takes.
    window_ms: u64,
    /// What Ada is started with.
    options: &'static [&'static str],
    /// What Bob asks for.
    low_delay: bool,
    /// How much the lateness of pictures varies in this mode by itself, in ms.
    varies: f64,
}

/// What was found, each sorted, in ms.
struct Found {
    /// How much later than the picture each beep is.
    apart: Vec<f64>,
    sounds: Vec<f64>,
    pictures: Vec<f64>,
}

fn measure(mode: &Mode, seconds: f64) -> Found {
    let pulse = Pulse::start(&["ada", "bob"]);
    let bob = Bob::start(&pulse, mode);
    let common = ["--interface", "127.0.0.1", "--camera", "test", "--microphone", "auto", "--speaker", "none"];
    let options = [&common[..], mode.options].concat();
    let ada = Peer::join(pulse.command("ada", PROGRAM), "Ada", "Lips", &options);
    ada.await_stats(SOON, "sends pictures", |s| s.frames_sent() > 30.0);
    let (said, heard) = (pulse.record("ada_in.monitor"), pulse.record("bob_out.monitor"));
    // Both clocks at one moment.
    let epoch_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let offset_s = epoch_s - pulse::now_s();
    pulse.play(&beeps(SETTLED_S + seconds), "ada_in");
    let (said, heard) = (said.end(), heard.end());
    let shown = bob.end();
    drop(ada);
    let heard = onsets(&heard);
    let begun = onsets(&said);
    let settled = begun.first().expect("beeps at the microphone") + SETTLED_S;
    let mut found = Found { apart: Vec::new(), sounds: Vec::new(), pictures: Vec::new() };
    for at in begun.into_iter().filter(|at| *at > settled) {
        let Some(sound) = heard.iter().map(|h| h - at).find(|lag| (0.0..0.45).contains(lag)) else { continue };
        // The picture taken in that moment: the first shown that was not taken before it.
        let taken = |(shown, late): &&(f64, f64)| shown - late / 1_000.0 >= at + offset_s;
        let Some((_, late)) = shown.iter().find(taken) else { continue };
        found.sounds.push(1_000.0 * sound);
        found.pictures.push(*late);
        found.apart.push(1_000.0 * sound - late);
    }
    for all in [&mut found.sounds, &mut found.pictures, &mut found.apart] {
        all.sort_by(f64::total_cmp);
    }
    assert!(found.apart.len() as f64 > seconds / EVERY_S / 2.0, "{} beeps were found again", found.apart.len());
    found
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// So far from `middle` are 95 of 100.
fn off(all: &[f64], middle: f64) -> f64 {
    let mut off: Vec<f64> = all.iter().map(|ms| (ms - middle).abs()).collect();
    off.sort_by(f64::total_cmp);
    off[((off.len() - 1) as f64 * 0.95).round() as usize]
}

#[test]
fn flash_and_beep() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("lips::flash_and_beep", || {
        let seconds = crate::seconds();
        let bare = Mode { what: "as it is", window_ms: 0, options: &crate::AS_IT_IS, low_delay: false, varies: 0.0 };
        let modes = [
            Mode { what: "with all filters", options: &[], ..bare },
            Mode { what: "low delay", options: &["--low-delay"], low_delay: true, ..bare },
            // A picture is taken when the one before is done with, and is up to as old as pictures last then.
            Mode { what: "pictures 150 ms later", window_ms: 150, varies: 33.0, ..bare },
            bare,
        ];
        let mut missed = Vec::new();
        for mode in &modes {
            let Found { apart, sounds, pictures } = measure(mode, seconds);
            let (sound, picture, later) = (median(&sounds), median(&pictures), median(&apart));
            let p95 = off(&apart, 0.0);
            // A machine that holds up sound or pictures now and then is no fault of the program, and is seen in how much each
            // of them varies by itself: on one with nothing else to do, by no more than is left out here.
            let held_up =
                (off(&sounds, sound) - 10.0).max(0.0) + (off(&pictures, picture) - 10.0 - mode.varies).max(0.0);
            let excused = held_up.min(HELD_UP_MS_MAX);
            println!(
                "{:22} the sound takes {sound:.0} ms, the picture {picture:.0}; the sound is later by {later:+.0} ms (median), apart \
                 by {p95:.0} ms (p95) over {} beeps; held up by {held_up:.0} ms",
                mode.what,
                apart.len()
            );
            if later.abs() > APART_MS_MAX || p95 > APART_MS_MAX + excused {
                missed.push(format!("{}: {later:+.0} ms in the median, {p95:.0} (p95)", mode.what));
            }
        }
        assert!(missed.is_empty(), "{missed:?}");
    });
}
