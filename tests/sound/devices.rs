//! Devices that come, go and change while people talk.

use crate::AS_IT_IS;
use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::sandbox::sandboxed;
use crate::pulse::{self, Pulse, Recording};
use crate::tone::{RATE, Tone};

/// A voice is back within so long.
const BACK_S: f64 = 3.0;
/// Moments are known as exactly as this.
const AT_ONCE_S: f64 = 0.05;
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
        // A server that moves it by itself does so at once; recordings begin a little beside the moment that is told of them.
        assert!((-AT_ONCE_S..BACK_S).contains(&moved_s) && ended_s < BACK_S, "{moved_s} s, {ended_s} s");
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

#[test]
fn for_a_named_device_that_is_away_the_default_is_used_until_it_is_back() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("devices::for_a_named_device_that_is_away_the_default_is_used_until_it_is_back", || {
        let pulse = Pulse::start(&["ada", "bob", "eve"]);
        pulse.control(&["set-default-source", "eve_mic"]);
        pulse.control(&["set-default-sink", "eve_out"]);
        let common = ["--interface", "127.0.0.1", "--camera", "none"];
        let options = |devices: [&'static str; 4]| [&common[..], &devices, &AS_IT_IS].concat();
        let talks = options(["--microphone", "ada_mic", "--speaker", "none"]);
        let listens = options(["--microphone", "none", "--speaker", "bob_out"]);
        let mut ada = Peer::start(pulse.command_of_defaults(PROGRAM), "Ada", "Sound", &talks);
        let mut bob = Peer::join(pulse.command_of_defaults(PROGRAM), "Bob", "Sound", &listens);
        bob.await_stats(SOON, "hears Ada's silence", |s| s.packets_heard("Ada") > 100.0);
        let tone = Tone::samples(9.0, 0.2);
        let notices = |peer: &mut Peer, what: &str| {
            let is =
                |e: &&serde_json::Value| e["event"] == "notice" && e["text"].as_str().is_some_and(|t| t.contains(what));
            peer.drain_events().iter().filter(is).count()
        };
        let back = |what: &str, heard: &str, played: &str, change: &dyn Fn()| {
            let (recorder, player, since_s) = (pulse.record(heard), pulse.begin_to_play(&tone, played), pulse::now_s());
            change();
            player.end();
            assert_back(what, &recorder.end(), since_s);
        };
        let loads_microphone = || {
            pulse.control(&["load-module", "module-remap-source", "source_name=ada_mic", "master=ada_in.monitor"]);
        };

        let unload = || pulse.unload("module-remap-source", "source_name=ada_mic");
        back("named microphone unplugged", "bob_out.monitor", "eve_in", &unload);
        assert_eq!(notices(&mut ada, "microphone: ada_mic is not there"), 1, "once, and which one is heard instead");
        back("named microphone plugged in again", "bob_out.monitor", "ada_in", &loads_microphone);
        assert_eq!(notices(&mut ada, "is used again"), 1);

        let unload = || pulse.unload("module-null-sink", "sink_name=bob_out");
        back("named speaker unplugged", "eve_out.monitor", "ada_in", &unload);
        assert_eq!(notices(&mut bob, "speaker: bob_out is not there"), 1);
        // What is there again can be recorded from then on: what was heard before is not missed.
        let settings = ["rate=48000", "channels=2", "format=s16le", "norewinds=1"];
        pulse.control(&[&["load-module", "module-null-sink", "sink_name=bob_out"][..], &settings].concat());
        back("named speaker plugged in again", "bob_out.monitor", "ada_in", &|| ());
        assert_eq!(notices(&mut bob, "is used again"), 1);

        // What a speaker plays is nobody's voice.
        pulse.control(&["set-default-source", "eve_out.monitor"]);
        pulse.unload("module-remap-source", "source_name=ada_mic");
        ada.await_event(SOON, |e| {
            e["event"] == "notice" && e["text"].as_str().is_some_and(|t| t.ends_with("trying again"))
        });
        let recorder = pulse.record("bob_out.monitor");
        pulse.play(&Tone::samples(4.0, 0.2), "eve_out");
        assert!(Tone::find(&recorder.end().samples).is_none(), "the monitor is heard");
        back("named microphone plugged in once more", "bob_out.monitor", "ada_in", &loads_microphone);
        assert_eq!(notices(&mut ada, "instead"), 0);

        // Not there from the beginning: one is told which microphone is heard.
        pulse.control(&["set-default-source", "eve_mic"]);
        let absent = options(["--microphone", "headset of mine", "--speaker", "none"]);
        let mut cyd = Peer::join(pulse.command_of_defaults(PROGRAM), "Cyd", "Sound", &absent);
        let told = |e: &serde_json::Value| {
            let text = e["text"].as_str().unwrap_or_default();
            text.starts_with("microphone: headset of mine is not there: ") && text.ends_with(" is used instead")
        };
        cyd.await_event(SOON, told);
        bob.await_stats(SOON, "hears Cyd", |s| s.packets_heard("Cyd") > 50.0);
        drop((ada, bob, cyd));
    });
}
