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

/// Tells the process that is Bob how many ms its window takes.
const SLOW: &str = "LIPS_WINDOW_MS";
/// Beeps are so far apart, and so long.
const EVERY_S: f64 = 0.5;
const BEEP_S: f64 = 0.04;
/// What is louder begins a beep.
const LOUD: f32 = 0.1;
/// Until sound and picture have been measured, and the sound has waited.
const SETTLED_S: f64 = 7.0;

fn beeps(seconds: f64) -> Vec<f32> {
    (0..(seconds * f64::from(RATE)) as usize)
        .map(|i| {
            let t = i as f64 / f64::from(RATE) % EVERY_S - 0.2;
            if (0.0..BEEP_S).contains(&t) { 0.5 * (std::f64::consts::TAU * 700.0 * t).sin() as f32 } else { 0.0 }
        })
        .collect()
}

/// When beeps begin, in seconds of the clock all recordings share.
fn onsets(recording: &Recording) -> Vec<f64> {
    let (mut quiet, mut found) = (0, Vec::new());
    for (i, sample) in recording.samples.iter().enumerate() {
        if sample.abs() > LOUD {
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
    fn start(pulse: &Pulse, window_ms: u64) -> Bob {
        let home = tempfile::tempdir().expect("temporary folder");
        let test = std::env::current_exe().expect("path of the test");
        let test = test.to_str().expect("a path in UTF-8");
        let mut command = Command::new("env");
        private(&mut command, &home);
        command.env(SLOW, window_ms.to_string()).env("ROUNDTABLE_SPEAKER", "auto");
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
    let mut flags = Layer::default();
    for (key, value) in [("name", "Bob"), ("interface", "127.0.0.1"), ("camera", "none"), ("microphone", "none")] {
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
        for person in conference.view().people.iter().filter(|p| !p.me) {
            person.picture.want(640, 360);
            person.picture.wake_on_publish(&waker);
            let Some(info) = person.picture.take(&mut picture) else { continue };
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
        waker.wait(Duration::from_millis(100));
    }
    let stats = serde_json::to_value(conference.stats()).expect("statistics");
    let own = &stats["people"][0]["audio"];
    println!("Bob's own figure of it: {} ms, of the sound's delay {} ms", own["lip_sync_ms"], own["delay_ms"]);
    conference.leave();
}

/// How much later than the picture each beep is, in ms, sorted, and the medians of both delays.
fn measure(window_ms: u64, options: &[&str], seconds: f64) -> (Vec<f64>, f64, f64) {
    let pulse = Pulse::start(&["ada", "bob"]);
    let bob = Bob::start(&pulse, window_ms);
    let common = ["--interface", "127.0.0.1", "--camera", "test", "--microphone", "auto", "--speaker", "none"];
    let options = [&common[..], options].concat();
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
    let mut sounds = Vec::new();
    let (mut pictures, mut apart) = (Vec::new(), Vec::new());
    for at in begun.into_iter().filter(|at| *at > settled) {
        let Some(sound) = heard.iter().map(|h| h - at).find(|lag| (0.0..0.45).contains(lag)) else { continue };
        // The picture taken in that moment: the first shown that was not taken before it.
        let taken = |(shown, late): &&(f64, f64)| shown - late / 1_000.0 >= at + offset_s;
        let Some((_, late)) = shown.iter().find(taken) else { continue };
        sounds.push(1_000.0 * sound);
        pictures.push(*late);
        apart.push(1_000.0 * sound - late);
    }
    for all in [&mut sounds, &mut pictures, &mut apart] {
        all.sort_by(f64::total_cmp);
    }
    assert!(apart.len() as f64 > seconds / EVERY_S / 2.0, "{} beeps were found again", apart.len());
    let middle = |all: &[f64]| all[all.len() / 2];
    (apart.clone(), middle(&sounds), middle(&pictures))
}

#[test]
fn flash_and_beep() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("lips::flash_and_beep", || {
        let seconds = crate::seconds();
        let show = |what: &str, (apart, sound, picture): &(Vec<f64>, f64, f64)| {
            let mut off: Vec<f64> = apart.iter().map(|ms| ms.abs()).collect();
            off.sort_by(f64::total_cmp);
            let p95 = off[((off.len() - 1) as f64 * 0.95).round() as usize];
            let median = apart[apart.len() / 2];
            println!(
                "{what:22} the sound takes {sound:.0} ms, the picture {picture:.0}; the sound is later by {median:+.0} ms (median), apart by \
                 {p95:.0} ms (p95) over {} beeps",
                apart.len()
            );
            (median, p95)
        };
        let (usual, usual_p95) = show("as it is:", &measure(0, &crate::AS_IT_IS, seconds));
        let (slow, slow_p95) = show("pictures 150 ms later:", &measure(150, &crate::AS_IT_IS, seconds));
        // Where nothing has to wait, nothing does; where the picture is later than anybody bears, the sound waits for it and
        // meets it.
        assert!((-50.0..100.0).contains(&usual), "{usual} ms");
        assert!((-45.0..50.0).contains(&slow), "{slow} ms");
        // On a machine with nothing else to do it is some 50 ms, and 35.
        assert!(usual_p95 < 120.0 && slow_p95 < 90.0, "{usual_p95} and {slow_p95} ms");
    });
}
