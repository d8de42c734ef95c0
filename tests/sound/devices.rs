//! Devices that come, go and change while people talk.

use crate::AS_IT_IS;
use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::sandbox::sandboxed;
use crate::pulse::{self, Pulse, Recording};
use crate::tone::{RATE, Tone};

/// A voice is back within so long.
const BACK_S: f64 = 3.0;
/// In the second after that there are at most so many clicks.
const CLICKS: usize = 3;

/// The server stands still for so long.
const FROZEN: std::time::Duration = std::time::Duration::from_secs(4);

/// When the tone is heard at `recording` after the moment `since_s`, and that it is itself from then on: little clicks in the
/// first second.
#[track_caller]
fn assert_back(what: &str, recording: &Recording, since_s: f64) -> Tone {
    let from = ((since_s - recording.start_s).max(0.0) * f64::from(RATE)) as usize;
    let found = Tone::find(&recording.samples[from.min(recording.samples.len())..]);
    let found = found.unwrap_or_else(|| panic!("{what}: no tone"));
    let clicks = found.glitches.iter().filter(|at| **at < 1.0).count();
    let back_s = found.begin_s;
    println!("{what}: heard after {back_s:.2} s; {clicks} clicks in the second after, {} in all", found.glitches.len());
    assert!(back_s < BACK_S, "{what}: {back_s} s");
    assert!(clicks <= CLICKS && found.clean_share > 0.7, "{what}: clicks at {:.2?}", found.glitches);
    found
}

#[test]
fn a_voice_follows_the_default_speaker_and_is_back_after_the_server() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("devices::a_voice_follows_the_default_speaker_and_is_back_after_the_server", || {
        let mut pulse = Pulse::start(&["ada", "bob", "eve"]);
        pulse.control(&["set-default-sink", "bob_out"]);
        let common = ["--interface", "127.0.0.1", "--camera", "none"];
        let options = |devices: [&'static str; 4]| [&common[..], &devices, &AS_IT_IS].concat();
        let talks = options(["--microphone", "auto", "--speaker", "none"]);
        let listens = options(["--microphone", "none", "--speaker", "auto"]);
        let ada = Peer::start(pulse.command("ada", PROGRAM), "Ada", "Sound", &talks);
        let bob = Peer::join(pulse.command_of_defaults(PROGRAM), "Bob", "Sound", &listens);
        bob.await_stats(SOON, "hears Ada's silence", |s| s.packets_heard("Ada") > 100.0);

        // A headset is plugged in: it becomes the default. Some servers move what is played to it themselves.
        let tone = Tone::samples(14.0, 0.2);
        let player = pulse.begin_to_play(&tone, "ada_in");
        let (before, after) = (pulse.record("bob_out.monitor"), pulse.record("eve_out.monitor"));
        let loud = |s: &crate::common::stats::Stats| s.person("Ada")["audio"]["level_dbfs"].as_f64() > Some(-30.0);
        bob.await_stats(SOON, "hears the tone", loud);
        let switched_s = pulse::now_s();
        pulse.control(&["set-default-sink", "eve_out"]);
        player.end();
        let (before, after) = (before.end(), after.end());
        let found = Tone::find(&after.samples).expect("the tone at the new speaker");
        let first = Tone::find(&before.samples).expect("the tone at the old speaker");
        let (moved_s, ended_s) =
            (after.start_s + found.begin_s - switched_s, before.start_s + first.end_s - switched_s);
        println!(
            "another default speaker: heard there after {moved_s:.2} s, no more at the old one after {ended_s:.2} s; {} glitches",
            found.glitches.len()
        );
        assert!((0.0..BACK_S).contains(&moved_s) && ended_s < BACK_S, "{moved_s} s, {ended_s} s");
        assert!(found.clean_share > 0.7, "clicks at {:.2?}", found.glitches);

        // The server dies and is started again, and with it both devices.
        pulse.restart();
        pulse.control(&["set-default-sink", "bob_out"]);
        let restarted_s = pulse::now_s();
        let heard = pulse.record("bob_out.monitor");
        pulse.play(&tone, "ada_in");
        let heard = heard.end();
        assert_back("server restarted", &heard, restarted_s);
        drop((ada, bob));
    });
}

#[test]
fn a_voice_is_back_after_its_devices_or_their_server_were_away() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("devices::a_voice_is_back_after_its_devices_or_their_server_were_away", || {
        let pulse = Pulse::start(&["ada", "bob", "eve"]);
        pulse.control(&["set-default-source", "eve_mic"]);
        pulse.control(&["set-default-sink", "bob_out"]);
        let common = ["--interface", "127.0.0.1", "--camera", "none"];
        let options = |devices: [&'static str; 4]| [&common[..], &devices, &AS_IT_IS].concat();
        let talks = options(["--microphone", "auto", "--speaker", "none"]);
        let listens = options(["--microphone", "none", "--speaker", "auto"]);
        let ada = Peer::start(pulse.command_of_defaults(PROGRAM), "Ada", "Sound", &talks);
        let bob = Peer::join(pulse.command_of_defaults(PROGRAM), "Bob", "Sound", &listens);
        bob.await_stats(SOON, "hears Ada's silence", |s| s.packets_heard("Ada") > 100.0);
        let tone = |seconds| Tone::samples(seconds, 0.2);

        // Another microphone becomes the default: from then on it is the one that is heard.
        let heard = pulse.record("bob_out.monitor");
        let player = pulse.begin_to_play(&tone(9.0), "ada_in");
        let since_s = pulse::now_s();
        pulse.control(&["set-default-source", "ada_mic"]);
        player.end();
        assert_back("another default microphone", &heard.end(), since_s);

        // The speaker is taken away, and after it the microphone; others are there.
        let (heard, player) = (pulse.record("eve_out.monitor"), pulse.begin_to_play(&tone(9.0), "ada_in"));
        let loud = |s: &crate::common::stats::Stats| s.person("Ada")["audio"]["level_dbfs"].as_f64() > Some(-30.0);
        bob.await_stats(SOON, "hears the tone", loud);
        let since_s = pulse::now_s();
        pulse.control(&["set-default-sink", "eve_out"]);
        pulse.unload("module-null-sink", "sink_name=bob_out");
        player.end();
        assert_back("speaker unplugged", &heard.end(), since_s);
        let (heard, player) = (pulse.record("eve_out.monitor"), pulse.begin_to_play(&tone(9.0), "bob_in"));
        let since_s = pulse::now_s();
        pulse.control(&["set-default-source", "bob_mic"]);
        pulse.unload("module-remap-source", "source_name=ada_mic");
        player.end();
        assert_back("microphone unplugged", &heard.end(), since_s);

        // The server stands still for longer than anybody waits for it, and goes on.
        pulse.freeze(true);
        std::thread::sleep(FROZEN);
        pulse.freeze(false);
        let since_s = pulse::now_s();
        let (heard, player) = (pulse.record("eve_out.monitor"), pulse.begin_to_play(&tone(9.0), "bob_in"));
        player.end();
        assert_back("server stood still", &heard.end(), since_s);
        drop((ada, bob));
    });
}
