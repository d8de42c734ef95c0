//! Benches of crowds who see each other: how much of what they send is shown, and what a gallery takes of the network.
//! `scripts/lan-damage --crowd` and `--gallery` run them with an optimised program and print their tables.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, windows};
use crate::common::poll;
use crate::common::sandbox::sandboxed;
use crate::common::stats::{Stats, Window};
use std::process::Command;
use std::time::Duration;

/// The program, people, seconds measured and frames a second of a camera, unless the environment says otherwise.
const BENCH_PROGRAM: &str = "BENCH_PROGRAM";
const PEOPLE: &str = "BENCH_PEOPLE";
const SECONDS: &str = "BENCH_SECONDS";
const FPS: &str = "BENCH_FPS";
/// What is looked at large by somebody, and the size of a window in which one is.
const CAMERA: &str = "1280x720";
const WINDOW: [&str; 2] = ["--size", "1280x720"];
/// How long a crowd may take to see each other: they come one after the other, and all processors are theirs.
const GATHERED_WITHIN: Duration = Duration::from_secs(90);
/// The share of frames a crowd has to show.
const SHOWN: f64 = 0.95;
/// The layers of a camera, as statistics name them.
const LAYERS: [&str; 3] = ["thumb", "medium", "full"];

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

fn program() -> String {
    std::env::var(BENCH_PROGRAM).unwrap_or_else(|_| PROGRAM.to_owned())
}

/// The name of person `n`.
fn name(n: usize) -> String {
    format!("P{n:02}")
}

fn layer_of(stats: &Stats, name: &str) -> Option<&'static str> {
    let layer = stats.person(name)["video"]["layer"].as_str()?;
    LAYERS.into_iter().find(|known| *known == layer)
}

fn cpu_s(stats: &Stats) -> f64 {
    stats.0["process"]["cpu_s"].as_f64().unwrap_or(0.0)
}

/// How much of what was sent in one layer was shown, over all pairs that ended with it.
#[derive(Clone, Copy, Default)]
struct Row {
    pairs: usize,
    sent: f64,
    shown: f64,
}

/// One row for each layer: each viewer of each sender counts. Rates are compared, each by its own process's clock.
fn rows(names: &[String], windows: &[Window]) -> [Row; 3] {
    let mut rows = [Row::default(); 3];
    for (viewer, seen) in windows.iter().enumerate() {
        for (sender, sent) in windows.iter().enumerate().filter(|(s, _)| *s != viewer) {
            let name = &names[sender];
            let Some(layer) = layer_of(&seen.to, name) else { continue };
            let row = &mut rows[LAYERS.iter().position(|l| *l == layer).expect("one of them")];
            row.pairs += 1;
            row.sent += (sent.to.frames_sent_in(layer) - sent.from.frames_sent_in(layer)) / sent.seconds();
            row.shown += (seen.to.frames_shown(name) - seen.from.frames_shown(name)) / seen.seconds();
        }
    }
    rows
}

/// Everybody on the loopback of one sandbox: each looks at one in full and at the others in thumbs.
#[test]
#[ignore = "a bench: scripts/lan-damage --crowd"]
fn crowd() {
    sandboxed("gallery::crowd", || {
        let (people, seconds, fps) = (setting(PEOPLE, 25).max(2), setting(SECONDS, 20).max(3), setting(FPS, 5).max(1));
        let names: Vec<String> = (0..people).map(name).collect();
        let command = |n: usize| {
            let mut command = Command::new(program());
            command.env("ROUNDTABLE_FOCUS", name((n + 1) % people)).env("ROUNDTABLE_CAMERA_SIZE", CAMERA);
            command.env("ROUNDTABLE_CAMERA_FPS", fps.to_string());
            command
        };
        let options = ["--interface", "127.0.0.1", "--microphone", "none", WINDOW[0], WINDOW[1]];
        let mut peers = vec![Peer::start(command(0), &names[0], "Crowd", &options)];
        peers.extend((1..people).map(|n| Peer::join(command(n), &names[n], "Crowd", &options)));
        let sees = |peer: &Peer| {
            let others = names.iter().filter(|name| **name != peer.name);
            peer.stats().is_some_and(|s| others.into_iter().all(|name| s.frames_shown(name) > 0.0))
        };
        let gathered = poll(GATHERED_WITHIN, || peers.iter().all(sees).then_some(()));
        assert!(gathered.is_some(), "they do not all see each other");
        // What was piled up while they came is worked off, and layers are chosen.
        windows(&peers.iter().collect::<Vec<_>>(), 5.0);
        let windows = windows(&peers.iter().collect::<Vec<_>>(), seconds as f64);

        let used: f64 = windows.iter().map(|w| (cpu_s(&w.to) - cpu_s(&w.from)) / w.seconds()).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        println!("\n> {people} people on one machine, cameras {CAMERA} at {fps} fps, over {seconds} s");
        println!("> {:10} {:>6} {:>12} {:>12} {:>8}", "layer", "pairs", "sent fps", "shown fps", "shown");
        let rows = rows(&names, &windows);
        for (layer, row) in LAYERS.iter().zip(&rows).filter(|(_, row)| row.pairs > 0) {
            let each = row.pairs as f64;
            let share = 100.0 * row.shown / row.sent;
            println!("> {layer:10} {:6} {:12.2} {:12.2} {share:6.1} %", row.pairs, row.sent / each, row.shown / each);
        }
        let (sent, shown) = rows.iter().fold((0.0, 0.0), |(sent, shown), row| (sent + row.sent, shown + row.shown));
        println!(
            "> processor time: {used:.2} cores of {cores}, {:.1} % of one core a person",
            100.0 * used / people as f64
        );
        println!("> frames shown of frames sent: {:.1} %", 100.0 * shown / sent);
        assert_eq!(
            (rows[2].pairs, rows[0].pairs),
            (people, people * (people - 2)),
            "one in full, the others in thumbs"
        );
        assert!(shown >= SHOWN * sent, "fewer than {:.0} % are shown", 100.0 * SHOWN);
    });
}

/// What a gallery of this many people may take of a viewer's port, in Mb/s, and what an idle port may carry.
const GALLERY: usize = 49;
const GALLERY_MBIT_MAX: f64 = 45.0;
const IDLE_MBIT_MAX: f64 = 0.5;
/// A thumb's camera: small, since nothing larger of it is sent.
const THUMB_CAMERA: (&str, &str) = ("320x180", "10");
const STAGE: &str = "Stage";

/// One on stage in 720p at 30 frames a second, the others in thumbs at 10; somebody looks at all of them through one
/// port of a switch, and at another nobody looks at anything.
#[test]
#[ignore = "a bench: scripts/lan-damage --gallery"]
fn gallery() {
    sandboxed("gallery::gallery", || {
        let (people, seconds) = (setting(PEOPLE, GALLERY).max(2), setting(SECONDS, 15).max(3));
        let lan = Lan::up(3);
        let publish = |(size, fps): (&str, &str)| {
            let mut command = lan.command(1, &program());
            command.env("ROUNDTABLE_CAMERA_SIZE", size).env("ROUNDTABLE_CAMERA_FPS", fps);
            command.env("ROUNDTABLE_PICTURES", "false");
            command
        };
        let silent = ["--microphone", "none"];
        let stage = Peer::start(publish((CAMERA, "30")), STAGE, "Gallery", &silent);
        let names: Vec<String> = (1..people).map(name).collect();
        let thumbs: Vec<Peer> =
            names.iter().map(|n| Peer::join(publish(THUMB_CAMERA), n, "Gallery", &silent)).collect();
        let mut command = lan.command(2, &program());
        command.env("ROUNDTABLE_FOCUS", STAGE);
        let options = ["--camera", "none", "--microphone", "none", WINDOW[0], WINDOW[1]];
        let viewer = Peer::join(command, "Viewer", "Gallery", &options);
        let settled = |stats: &Stats| {
            let in_thumbs = |name: &String| stats.frames_shown(name) > 0.0 && layer_of(stats, name) == Some("thumb");
            layer_of(stats, STAGE) == Some("full") && names.iter().all(in_thumbs)
        };
        viewer.await_stats(GATHERED_WITHIN, "sees everybody", settled);

        let before = [2, 3].map(|h| lan.counters(h).to_host);
        let all: Vec<&Peer> = std::iter::once(&viewer).chain([&stage]).chain(&thumbs).collect();
        let began = std::time::Instant::now();
        let seen = windows(&all, seconds as f64);
        let elapsed = began.elapsed().as_secs_f64();
        let carried = [2, 3].map(|h| lan.counters(h).to_host);
        let [port, idle] = [0, 1].map(|i| (carried[i] - before[i]) as f64 * 8e-6 / elapsed);
        let sent = |window: &Window, layer: &str| {
            let of = |stats: &Stats, what: &str| stats.0["sent"]["layers"][layer][what].as_f64().unwrap_or(0.0);
            let per_s = |what: &str| (of(&window.to, what) - of(&window.from, what)) / window.seconds();
            // RTP payload, and what is around each packet: RTP, UDP, IP, Ethernet.
            ((per_s("bytes") + per_s("packets") * f64::from(12 + 8 + 20 + 14)) * 8e-6, per_s("frames"))
        };
        let (on_stage, stage_fps) = sent(&seen[1], "full");
        let each: Vec<(f64, f64)> = seen[2..].iter().map(|w| sent(w, "thumb")).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| each.iter().map(of).sum::<f64>() / each.len() as f64;
        let (thumb, thumb_fps) = (mean(|(rate, _)| *rate), mean(|(_, fps)| *fps));
        let shown = |name: &str| (seen[0].to.frames_shown(name) - seen[0].from.frames_shown(name)) / seen[0].seconds();
        let thumbs_shown = names.iter().map(|n| shown(n)).sum::<f64>() / names.len() as f64;
        let whole = on_stage + thumb * (GALLERY - 1) as f64;
        println!("\n> {people} people, one of them on stage, over {elapsed:.0} s; Mb/s with Ethernet headers");
        println!("> viewer's port   {port:7.2} Mb/s");
        println!("> idle port       {idle:7.2} Mb/s");
        println!("> stage, full     {on_stage:7.2} Mb/s   {stage_fps:5.1} fps sent, {:5.1} shown", shown(STAGE));
        println!("> a thumb         {thumb:7.2} Mb/s   {thumb_fps:5.1} fps sent, {thumbs_shown:5.1} shown");
        println!("> stage and {} thumbs at those rates, calculated: {whole:.2} Mb/s", GALLERY - 1);
        // A machine that is too slow for so many cameras would flatter the figures.
        assert!(thumb_fps > 9.0 && stage_fps > 27.0, "the machine is too slow for so many cameras: fewer people");
        assert!(port.max(whole) <= GALLERY_MBIT_MAX, "more than {GALLERY_MBIT_MAX} Mb/s");
        assert!(idle <= IDLE_MBIT_MAX, "the idle port carries {idle:.2} Mb/s");
    });
}
