//! Two people whose speakers stand beside their microphones: nothing howls.

use std::process::Command;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::sandbox::sandboxed;
use crate::pulse::{self, Pulse, Recording};
use crate::tone::RATE;

/// How loudly each microphone hears the speaker beside it: as loudly as it plays, and a little more.
const LOOP_PERCENT: u32 = 105;
/// What is said, and how long it is listened for afterwards.
const SAID_S: f64 = 12.0;
/// Share of the strongest frequency in what howls.
const TONAL: f32 = 0.4;
const WORDS: &str = "Good morning everybody. The quick brown fox jumps over the lazy dog while seven wizards quietly mix the \
     evening potion, and I have a question about the second page of the report.";

/// Loud though nobody speaks, whatever it is; or softer and growing: most of it is one frequency, which rooms and noise are not.
fn howls(&(level, share): &(f32, f32)) -> bool {
    level > -45.0 || (level > -70.0 && share > TONAL)
}

/// Level of a part of a recording, in dBFS, and the share of its power within 50 Hz of its strongest frequency.
fn heard(samples: &[f32]) -> (f32, f32) {
    let length = 8_192;
    let transform = FftPlanner::new().plan_fft_forward(length);
    let mut power = vec![0.0f32; length / 2];
    for window in samples.chunks_exact(length) {
        let shaped = window.iter().enumerate().map(|(i, s)| {
            let hann = 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / length as f32).cos();
            Complex32::new(s * hann, 0.0)
        });
        let mut all: Vec<Complex32> = shaped.collect();
        transform.process(&mut all);
        power.iter_mut().zip(&all).for_each(|(p, c)| *p += c.norm_sqr());
    }
    let peak = (1..power.len()).max_by(|a, b| power[*a].total_cmp(&power[*b])).unwrap_or(1);
    let near = &power[peak.saturating_sub(8)..(peak + 9).min(power.len())];
    let level = 10.0 * (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).max(1e-13).log10();
    (level, near.iter().sum::<f32>() / power.iter().sum::<f32>().max(f32::MIN_POSITIVE))
}

/// What is said, or a message why not.
pub fn speech(folder: &std::path::Path) -> Option<Vec<f32>> {
    let path = folder.join("said.wav");
    let said = Command::new("espeak-ng").args(["-v", "en", "-w"]).arg(&path).arg(WORDS).status();
    if !said.is_ok_and(|s| s.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "espeak-ng is not installed");
        println!("SKIPPED: espeak-ng is not installed");
        return None;
    }
    let length = SAID_S as usize * RATE as usize;
    let mut samples = vec![0.0; length];
    roundtable::media::wav::WavLoop::open(&path).expect("a file").read(&mut samples).expect("samples");
    Some(samples)
}

/// What Bob's speaker plays while Ada speaks, and for some time afterwards.
fn talk(said: &[f32], quiet_s: f64, options: &[&str]) -> Recording {
    let pulse = Pulse::start(&["ada", "bob"]);
    let common = ["--interface", "127.0.0.1", "--camera", "none", "--microphone", "auto", "--speaker", "auto"];
    let options = [&common[..], options].concat();
    let ada = Peer::start(pulse.command("ada", PROGRAM), "Ada", "Room", &options);
    let bob = Peer::join(pulse.command("bob", PROGRAM), "Bob", "Room", &options);
    // Silence is hardly sent.
    ada.await_stats(SOON, "hears Bob", |s| s.packets_heard("Bob") > 10.0);
    bob.await_stats(SOON, "hears Ada", |s| s.packets_heard("Ada") > 10.0);
    pulse.loop_back("ada", LOOP_PERCENT);
    pulse.loop_back("bob", LOOP_PERCENT);
    let heard = pulse.record("bob_out.monitor");
    let silence = vec![0.0; (quiet_s * f64::from(RATE)) as usize];
    pulse.play(&[said, &silence].concat(), "ada_in");
    println!("Ada's microphone: {}", ada.stats().expect("statistics").voice());
    println!("Bob's microphone: {}", bob.stats().expect("statistics").voice());
    heard.end()
}

/// Level and tonality of each second, from the beginning of the speech on.
fn seconds(recording: &Recording) -> Vec<(f32, f32)> {
    let first = recording.samples.iter().position(|s| s.abs() > 0.01).unwrap_or(0);
    recording.samples[first..].chunks_exact(RATE as usize).map(heard).collect()
}

#[test]
fn speakers_beside_microphones_do_not_howl() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("room::speakers_beside_microphones_do_not_howl", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let Some(said) = speech(folder.path()) else { return };
        let show = |what: &str, all: &[(f32, f32)]| {
            let text: Vec<String> = all.iter().map(|(l, s)| format!("{l:.0}/{:.0}%", 100.0 * s)).collect();
            println!("{what}: dBFS and share of the strongest frequency, each second: {}", text.join(" "));
        };
        // As it would be without.
        let bare = seconds(&talk(&said, 5.0, &["--no-echo", "--no-noise", "--no-gain"]));
        show("as it is", &bare);
        let last = bare.len() - 2;
        assert!(bare[last].0 > -30.0, "{:?}: this room would not have howled anyway", bare[last]);
        assert!(bare[last].1 > TONAL, "{:?}: by its spectrum that is no howl", bare[last]);

        let quiet_s = std::env::var("SOUND_TEST_SECONDS").map_or(48.0, |s| s.parse().expect("a number of seconds"));
        let all = seconds(&talk(&said, quiet_s, &[]));
        show("with echo cancellation", &all);
        assert!(all[..SAID_S as usize].iter().any(|(level, _)| *level > -35.0), "what is said is heard");
        let after = &all[SAID_S as usize + 2..];
        assert!(after.len() as f64 >= quiet_s - 5.0, "{} s were heard", after.len());
        let howls = after.iter().filter(|second| howls(second)).count();
        assert_eq!(howls, 0, "seconds that sound though nobody speaks");
    });
}
