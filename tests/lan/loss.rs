//! A LAN that loses packets: pictures are repaired by parity that is asked for, or concealed; voices by repeats.

use crate::common::lan::Lan;
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, await_all_meet, windows};
use crate::common::sandbox::{sandboxed, sh};
use crate::common::stats::{Stats, Window};
use std::time::{Duration, Instant};

/// A machine that does something else for a while misses rounds of repair; some window shows what the program does.
const PATIENCE: Duration = Duration::from_secs(120);
const WINDOW_S: f64 = 8.0;

/// Four people, each of whom loses so many percent of what the others send.
fn meeting(lan: &Lan, percent: usize) -> Vec<Peer> {
    let names = ["Ada", "Bob", "Cyd", "Dee"];
    let mut peers = vec![Peer::start(lan.command(1, PROGRAM), names[0], "Standup", &[])];
    peers.extend((2..=4).map(|h| Peer::join(lan.command(h, PROGRAM), names[h - 1], "Standup", &[])));
    await_all_meet(&peers.iter().collect::<Vec<_>>());
    for h in 1..=4 {
        // Batches are taken apart before they are sent: each datagram is lost for itself.
        sh(&format!("ip -n h{h} link set eth0 gso_max_segs 1"));
        lan.lose(h, percent);
    }
    peers
}

/// Of the frames of `sender` between two moments: complete, repaired of them, concealed, lost.
fn frames(window: &Window, sender: &str) -> [f64; 4] {
    ["frames_received", "frames_repaired", "frames_concealed", "frames_lost"].map(|field| {
        let of = |stats: &Stats| stats.person(sender)["video"][field].as_f64().unwrap_or(0.0);
        of(&window.to) - of(&window.from)
    })
}

/// Windows until in one `enough` holds for every pair: of the viewer's window, the sender's name and window.
fn await_pairs(peers: &[Peer], enough: impl Fn(&Window, &str, &Window) -> bool) -> bool {
    let all: Vec<&Peer> = peers.iter().collect();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let windows = windows(&all, WINDOW_S);
        let mut good = true;
        for (viewer, window) in all.iter().zip(&windows) {
            for (sender, sent) in all.iter().zip(&windows).filter(|(s, _)| s.name != viewer.name) {
                print!("{} of {}: ", viewer.name, sender.name);
                good &= enough(window, &sender.name, sent);
            }
        }
        if good {
            return true;
        }
    }
    false
}

#[test]
fn at_5_percent_loss_99_of_100_frames_are_complete_and_95_shown() {
    sandboxed("loss::at_5_percent_loss_99_of_100_frames_are_complete_and_95_shown", || {
        let lan = Lan::up(4);
        let peers = meeting(&lan, 5);
        let good = await_pairs(&peers, |window, sender, sent| {
            let [complete, repaired, concealed, lost] = frames(window, sender);
            let whole = complete / (complete + concealed + lost);
            let shown = window.shown_share(sender, sent, CAMERA_FPS);
            println!(
                "{complete} frames complete ({:.1} %), {repaired} of them repaired, {concealed} concealed, {lost} lost; \
                 {:.1} % shown",
                100.0 * whole,
                100.0 * shown
            );
            assert!(repaired > 0.0, "{sender} is not repaired at all");
            whole >= 0.99 && shown >= 0.95
        });
        assert!(good, "too few frames are complete, or shown");
    });
}

#[test]
fn at_10_percent_loss_no_gap_of_a_voice_is_longer_than_60_ms() {
    sandboxed("loss::at_10_percent_loss_no_gap_of_a_voice_is_longer_than_60_ms", || {
        let lan = Lan::up(4);
        let peers = meeting(&lan, 10);
        let good = await_pairs(&peers, |window, talker, _| {
            let of = |stats: &Stats, field: &str| stats.person(talker)["audio"][field].as_f64().unwrap_or(0.0);
            let fell = |field: &str| of(&window.to, field) - of(&window.from, field);
            println!(
                "{} packets, {} lost, {} ms made up, {} gaps of more than 60 ms",
                fell("packets_received"),
                fell("packets_lost"),
                fell("concealed_ms"),
                fell("gaps")
            );
            fell("gaps") == 0.0 && window.concealed_share(talker) < 0.02
        });
        assert!(good, "a voice has longer gaps");
    });
}
