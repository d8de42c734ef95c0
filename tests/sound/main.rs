//! Sound through real devices of a sound server: what enters Ada's microphone leaves Bob's speaker.
//!
//! ```text
//!  tone > sink ada_in > source ada_mic > Ada ))) loopback ))) Bob > sink bob_out
//!              '--- monitor, recorded                                  '--- monitor, recorded
//! ```
//! A PulseAudio of the test's own, with sinks that exist only in it. Skipped with a message where it is not installed.
//! `SOUND_TEST_SECONDS` sets the length of the tone, 12 by default.

#[path = "../common/mod.rs"]
mod common;

mod devices;
mod lips;
mod mouth;
mod pulse;
mod room;
mod tone;

use common::peer::{PROGRAM, Peer, SOON};
use common::sandbox::sandboxed;
use pulse::Pulse;
use tone::Tone;

/// A tone that goes on is taken for noise.
const AS_IT_IS: [&str; 3] = ["--no-echo", "--no-noise", "--no-gain"];
/// Sound recorded before the tone begins and after it ends, so that both edges are there.
const MARGIN_S: f64 = 1.0;

/// How long is listened.
fn seconds() -> f64 {
    std::env::var("SOUND_TEST_SECONDS").map_or(12.0, |s| s.parse().expect("a number of seconds"))
}

#[test]
fn a_tone_at_a_microphone_is_heard_at_the_other_speaker() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("a_tone_at_a_microphone_is_heard_at_the_other_speaker", || {
        let seconds = seconds();
        let pulse = Pulse::start(&["ada", "bob"]);
        let mut options =
            vec!["--interface", "127.0.0.1", "--camera", "none", "--microphone", "auto", "--speaker", "auto"];
        options.extend(AS_IT_IS);
        let ada = Peer::start(pulse.command("ada", PROGRAM), "Ada", "Sound", &options);
        let bob = Peer::join(pulse.command("bob", PROGRAM), "Bob", "Sound", &options);
        bob.await_stats(SOON, "hears Ada's silence", |s| s.packets_heard("Ada") > 100.0);
        let said = pulse.record("ada_in.monitor");
        let heard = pulse.record("bob_out.monitor");
        let before = bob.stats().expect("statistics");
        pulse.play(&Tone::samples(seconds, MARGIN_S), "ada_in");
        let (said, heard) = (said.end(), heard.end());
        let after = bob.await_stats(SOON, "goes on", |s| s.elapsed_s() >= before.elapsed_s() + seconds);

        let (a, b) = (Tone::find(&said.samples), Tone::find(&heard.samples));
        let (a, b) = (a.expect("the tone at the microphone"), b.expect("the tone at the speaker"));
        let lag = |a_at: f64, b_at: f64| 1_000.0 * (heard.start_s + b_at - said.start_s - a_at);
        let figure = |s: &common::stats::Stats, name: &str| s.person("Ada")["audio"][name].as_f64().unwrap_or(0.0);
        println!(
            "mouth to ear {:.1} ms when the tone begins, {:.1} ms when it ends; level {:+.1} dB; {} glitches in {:.1} s; \
             {:.0} ms concealed; {:.1} ms in the jitter buffer",
            lag(a.begin_s, b.begin_s),
            lag(a.end_s, b.end_s),
            b.level_db - a.level_db,
            b.glitches.len(),
            b.end_s - b.begin_s,
            figure(&after, "concealed_ms") - figure(&before, "concealed_ms"),
            figure(&after, "buffer_ms"),
        );
        println!("glitches at {:.2?} s; at the microphone itself {:.2?} s", b.glitches, a.glitches);
        assert!((b.level_db - a.level_db).abs() < 3.0, "level {:.1} dB, sent {:.1} dB", b.level_db, a.level_db);
        // A busy machine holds the server up: the tone gets longer, and not everywhere itself. Devices that run at another
        // speed, or losing periods, are far beyond that.
        let (said_s, heard_s) = (a.end_s - a.begin_s, b.end_s - b.begin_s);
        assert!((heard_s / said_s - 1.0).abs() < 0.05, "heard for {heard_s:.1} s, said for {said_s:.1} s");
        assert!(b.clean_share >= 0.8, "{:.1} % of the tone is clean", 100.0 * b.clean_share);
        let (begin, end) = (lag(a.begin_s, b.begin_s), lag(a.end_s, b.end_s));
        assert!((10.0..500.0).contains(&begin) && (10.0..500.0).contains(&end), "lag {begin:.0} and {end:.0} ms");
        drop((ada, bob));
    });
}
