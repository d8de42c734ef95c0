//! Devices that come, go and change while people talk.

use crate::AS_IT_IS;
use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::sandbox::sandboxed;
use crate::pulse::{self, Pulse};
use crate::tone::Tone;

/// A voice is back within 3 s; the rest is for busy machines.
const BACK_S: f64 = 5.0;

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
        let found = Tone::find(&heard.samples).expect("the tone after the server came back");
        let back_s = heard.start_s + found.begin_s - restarted_s;
        println!("server restarted: heard again after {back_s:.2} s; {} glitches", found.glitches.len());
        assert!(back_s < BACK_S, "{back_s} s");
        assert!(found.clean_share > 0.7, "{:.0} % clean", 100.0 * found.clean_share);
        drop((ada, bob));
    });
}
