//! Layers on a LAN: what the switch carries to whom, and what a narrow cable changes.

use crate::common::lan::Lan;
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, SOON, windows};
use crate::common::poll;
use crate::common::sandbox::{sandboxed, sh};
use crate::common::stats::Stats;
use std::time::{Duration, Instant};

/// A window in which every other person's picture is a thumb.
const SMALL: [&str; 4] = ["--size", "360x220", "--camera", "none"];
/// How long a receiver may take to find pictures that its cable carries: two seconds, and what a busy machine adds.
const RECOVERED_WITHIN: Duration = Duration::from_secs(4);

fn layer(stats: &Stats, name: &str) -> String {
    stats.person(name)["video"]["layer"].as_str().unwrap_or("none").to_owned()
}

fn sent_bytes(stats: &Stats, layer: &str) -> f64 {
    stats.0["sent"]["layers"][layer]["bytes"].as_f64().unwrap_or(0.0)
}

#[test]
fn while_nobody_watches_no_picture_leaves_the_camera() {
    sandboxed("layers::while_nobody_watches_no_picture_leaves_the_camera", || {
        let lan = Lan::up(3);
        let ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &["--microphone", "none"]);
        let mut bob = Peer::chat(lan.command(2, PROGRAM), "Bob", "Standup");
        bob.await_joined();
        ada.await_stats(SOON, "sees Bob", |s| s.present() == ["Bob"]);
        let before = lan.counters(1).from_host;
        let idle = ada.window(4.0);
        let carried = lan.counters(1).from_host - before;
        println!("with a reader alone: {carried} bytes leave Ada's host in 4 s");
        assert_eq!(idle.to.frames_sent(), 0.0, "pictures nobody wants: {}", idle.to.0["sent"]);
        assert!(carried < 20_000, "{carried} bytes in 4 s");

        let cyd = Peer::join(lan.command(3, PROGRAM), "Cyd", "Standup", &["--camera", "none", "--microphone", "none"]);
        cyd.await_stats(SOON, "sees Ada", |s| s.frames_shown("Ada") > 5.0);
        assert!(ada.window(2.0).sent_rate() > 1.0);
        drop(cyd);
        // Killed: its interest ends by silence.
        let ended = poll(SOON, || {
            let window = ada.window(2.0);
            (window.to.frames_sent() == window.from.frames_sent()).then_some(())
        });
        assert!(ended.is_some(), "pictures go on though nobody watches any more");
    });
}

#[test]
fn a_port_that_shows_thumbs_carries_thumbs_alone() {
    sandboxed("layers::a_port_that_shows_thumbs_carries_thumbs_alone", || {
        let lan = Lan::up(4);
        let ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[]);
        let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &[]);
        let wide = ["--camera", "none", "--size", "1920x1080"];
        let cyd = Peer::join(lan.command(3, PROGRAM), "Cyd", "Standup", &wide);
        let dee = Peer::join(lan.command(4, PROGRAM), "Dee", "Standup", &SMALL);
        for name in ["Ada", "Bob"] {
            cyd.await_stats(SOON, "sees full pictures", |s| layer(s, name) == "full");
            dee.await_stats(SOON, "sees thumbs", |s| layer(s, name) == "thumb" && s.frames_shown(name) > 5.0);
        }
        let (large, small) = (lan.counters(3).to_host, lan.counters(4).to_host);
        let seen = windows(&[&ada, &bob, &dee], 6.0);
        let (large, small) = (lan.counters(3).to_host - large, lan.counters(4).to_host - small);
        let sent =
            |layer: &str| seen[..2].iter().map(|w| sent_bytes(&w.to, layer) - sent_bytes(&w.from, layer)).sum::<f64>();
        let (thumbs, full) = (sent("thumb"), sent("full"));
        println!("sent: thumbs {thumbs} bytes, full {full}; carried to Cyd {large} bytes, to Dee {small}");
        assert!(full > 4.0 * thumbs && large as f64 > 0.8 * full);
        // Thumbs, two voices of about 40 kb/s, control; and frames of Ethernet around them all.
        assert!((small as f64) < 1.4 * thumbs + 2.0 * 80_000.0 + 60_000.0, "{small} bytes to a port of thumbs");
        let shown = dee.stats().map_or(0.0, |s| s.frames_shown("Ada"));
        assert!(shown > 30.0, "{shown} thumbs shown");
    });
}

#[test]
fn a_narrow_cable_gets_smaller_pictures_and_nobody_else_does() {
    sandboxed("layers::a_narrow_cable_gets_smaller_pictures_and_nobody_else_does", || {
        let lan = Lan::up(3);
        let ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[]);
        let watches = |h: usize, name: &str| {
            let mut command = lan.command(h, PROGRAM);
            command.env("ROUNDTABLE_FOCUS", "Ada");
            Peer::join(command, name, "Standup", &["--camera", "none", "--microphone", "none"])
        };
        let (bob, cyd) = (watches(2, "Bob"), watches(3, "Cyd"));
        for viewer in [&bob, &cyd] {
            viewer.await_stats(SOON, "sees Ada in full", |s| layer(s, "Ada") == "full" && s.frames_shown("Ada") > 15.0);
        }
        // Less than half of what the picture takes.
        sh("tc qdisc add dev p2 root tbf rate 1200kbit burst 16k latency 60ms");
        let narrowed = Instant::now();
        let recovered = poll(SOON, || {
            let window = bob.window(1.1);
            let shown = window.to.frames_shown("Ada") - window.from.frames_shown("Ada");
            let seconds = window.to.elapsed_s() - window.from.elapsed_s();
            (shown / seconds > 0.6 * CAMERA_FPS).then(|| narrowed.elapsed() - Duration::from_secs_f64(seconds))
        });
        println!("Bob has pictures again after {recovered:?}, of layer {:?}", bob.stats().map(|s| layer(&s, "Ada")));
        assert!(recovered.is_some_and(|after| after < RECOVERED_WITHIN), "recovered after {recovered:?}");
        let seen = windows(&[&ada, &bob, &cyd], 5.0);
        assert!(layer(&seen[1].to, "Ada") != "full", "too much for the cable still");
        assert_eq!(layer(&seen[2].to, "Ada"), "full", "the cable of another is as it was");
        let shown = seen[2].to.frames_shown("Ada") - seen[2].from.frames_shown("Ada");
        assert!(shown > 0.8 * 5.0 * CAMERA_FPS, "{shown} frames shown where the cable is wide");
    });
}
