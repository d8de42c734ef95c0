//! The same work through GStreamer's leanest pipeline and through this program, in turns on this machine: 1280x720 at 30
//! frames a second, the same pictures, JPEG of the same quality, RTP over multicast on the loopback.
//!
//! ```text
//! GStreamer   file > rawvideoparse > clocksync > (captured) > jpegenc > rtpjpegpay > udpsink
//!             udpsrc > rtpjpegdepay > jpegdec > videoconvert > (shown) > fakesink         no jitter buffer
//! Roundtable  file > camera .. multicast .. composed picture    two participants, `latency_ms` of their own statistics
//! ```
//! GStreamer's latency comes from its own log: both ends run in one process, an `identity` on each side writes a line for
//! each picture, and the lines' times are of one clock. That leaves out whatever a second process would add, so it
//! flatters GStreamer a little. Processor time is that of whole processes, from /proc, over the same seconds.
//!
//! `scripts/compare-peers [SECONDS]` runs this in a network of its own.

use roundtable::media::picture::Yuv;
use roundtable::media::test_card::TestCard;
use roundtable::time::NtpTime;
use roundtable::ui::theme;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_roundtable");
const WIDTH: usize = 1_280;
const HEIGHT: usize = 720;
const FPS: usize = 30;
const QUALITY: &str = "75";
/// Pictures in the file that both sides play over and over.
const PICTURES: usize = 30;
/// The tile that pictures are scaled to in the second comparison.
const TILE: (usize, usize) = (320, 180);
/// Until everything runs evenly; not measured.
const SETTLING: Duration = Duration::from_secs(3);
/// Turns of each side; the median counts.
const ROUNDS: usize = 3;
/// Ticks of /proc/PID/stat in a second, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// The same pictures for both sides.
struct Material {
    folder: tempfile::TempDir,
}

/// One turn of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    p50_ms: f64,
    p99_ms: f64,
    /// Both ends together, per picture.
    cpu_ms: f64,
    /// The receiving end alone, per picture, shown in a small tile.
    tile_cpu_ms: f64,
}

fn main() {
    let seconds = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(8);
    let material = Material::new();
    println!("{WIDTH}x{HEIGHT} at {FPS} fps, quality {QUALITY}, {seconds} s a turn, {ROUNDS} turns each");
    println!("{:<14}{:>10}{:>10}{:>18}{:>26}", "", "p50 ms", "p99 ms", "cpu ms/frame", "cpu ms/frame, tile");
    let mut turns = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        turns.0.push(row("GStreamer", gstreamer(&material, seconds)));
        turns.1.push(row("Roundtable", roundtable(&material, seconds)));
    }
    let median = |side: &[Turn], of: fn(&Turn) -> f64| {
        let mut values: Vec<f64> = side.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let ratio = |of: fn(&Turn) -> f64| median(&turns.1, of) / median(&turns.0, of);
    let (p50, p99) = (ratio(|t| t.p50_ms), ratio(|t| t.p99_ms));
    let (cpu, tile) = (ratio(|t| t.cpu_ms), ratio(|t| t.tile_cpu_ms));
    println!("{:<14}{p50:>10.2}{p99:>10.2}{cpu:>18.2}{tile:>26.2}   of the medians", "ratio");
    println!(
        "cpu ms/frame: both ends, from file to {WIDTH}x{HEIGHT} picture; tile: the receiver alone, to {}x{}",
        TILE.0, TILE.1
    );
}

fn row(name: &str, turn: Turn) -> Turn {
    println!("{name:<14}{:>10.2}{:>10.2}{:>18.2}{:>26.2}", turn.p50_ms, turn.p99_ms, turn.cpu_ms, turn.tile_cpu_ms);
    turn
}

impl Material {
    /// Writes the pictures once with headers for us and once without for GStreamer.
    fn new() -> Material {
        let material = Material { folder: tempfile::tempdir().expect("temporary folder") };
        let create = |name: &str| BufWriter::new(File::create(material.path(name)).expect("temporary file"));
        let (mut y4m, mut raw) = (create("pictures.y4m"), create("pictures.i420"));
        let mut card = TestCard::new(WIDTH, HEIGHT, "Peer", 7);
        let mut picture = Yuv::default();
        let header = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420jpeg XCOLORRANGE=FULL\n");
        y4m.write_all(header.as_bytes()).expect("disk space");
        for n in 0..PICTURES as u64 {
            card.render(NtpTime(n << 27), n, &mut picture);
            y4m.write_all(b"FRAME\n").expect("disk space");
            for plane in [&picture.y, &picture.u, &picture.v] {
                y4m.write_all(plane).and_then(|()| raw.write_all(plane)).expect("disk space");
            }
        }
        y4m.flush().and_then(|()| raw.flush()).expect("disk space");
        material
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        let name = command.get_program().to_string_lossy().into_owned();
        Running(command.spawn().unwrap_or_else(|e| panic!("{name} (scripts/setup --test installs GStreamer): {e}")))
    }

    /// User and system time so far.
    fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("the process runs");
        // Behind the name, which may hold anything and ends with the last parenthesis; utime and stime follow 11 others.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().filter_map(|f| f.parse::<f64>().ok()).sum();
        ticks / TICKS_PER_S
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time per picture of these processes together, over so many seconds.
fn cpu_ms_per_frame(processes: &[&Running], seconds: usize) -> f64 {
    let spent = || processes.iter().map(|p| p.cpu_s()).sum::<f64>();
    let (before, begun) = (spent(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds as u64));
    (spent() - before) * 1_000.0 / (begun.elapsed().as_secs_f64() * FPS as f64)
}

fn gst(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace()).stdin(Stdio::null());
    command
}

fn gstreamer(material: &Material, seconds: usize) -> Turn {
    let sender = format!(
        "multifilesrc location={} loop=true ! rawvideoparse format=i420 width={WIDTH} height={HEIGHT} framerate={FPS}/1 \
         ! clocksync ! identity name=captured silent=false ! jpegenc quality={QUALITY} ! rtpjpegpay mtu=1400 \
         ! udpsink host=239.77.0.1 port=5004 multicast-iface=lo sync=false async=false",
        material.text("pictures.i420")
    );
    let receiver = "udpsrc address=239.77.0.1 port=5004 multicast-iface=lo buffer-size=4000000 \
         caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=JPEG,payload=26 ! rtpjpegdepay ! jpegdec";
    let shown = "identity name=shown silent=false ! fakesink sync=false";
    let (tile_width, tile_height) = TILE;

    let log = material.path("gst.log");
    let mut both = gst(&format!("{sender} {receiver} ! videoconvert ! video/x-raw,format=BGRx ! {shown}"));
    let both = Running::start(
        both.envs([("GST_DEBUG_NO_COLOR", "1"), ("GST_DEBUG", "identity:7")]).env("GST_DEBUG_FILE", &log),
    );
    std::thread::sleep(SETTLING);
    let cpu_ms = cpu_ms_per_frame(&[&both], seconds);
    drop(both);
    let latencies = gstreamer_latencies(&log);

    let _sender = Running::start(&mut gst(&sender));
    let receiver = format!(
        "{receiver} ! videoscale ! video/x-raw,width={tile_width},height={tile_height} ! videoconvert \
         ! video/x-raw,format=BGRx ! fakesink sync=false"
    );
    let receiver = Running::start(&mut gst(&receiver));
    std::thread::sleep(SETTLING);
    let tile_cpu_ms = cpu_ms_per_frame(&[&receiver], seconds);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize];
    Turn { p50_ms: at(0.5), p99_ms: at(0.99), cpu_ms, tile_cpu_ms }
}

/// Milliseconds from each captured picture to the same one shown, in ascending order; those of the settling left out.
fn gstreamer_latencies(log: &Path) -> Vec<f64> {
    let (mut captured, mut shown) = (Vec::new(), Vec::new());
    for line in BufReader::new(File::open(log).expect("GStreamer's log")).lines().map_while(Result::ok) {
        let Some(time) = line.split(' ').next().and_then(log_seconds) else { continue };
        if line.contains("<captured> chain") {
            captured.push(time);
        } else if line.contains("<shown> chain") {
            shown.push(time);
        }
    }
    assert!(
        captured.len() - shown.len() <= 1,
        "{} of {} pictures were shown; they cannot be paired",
        shown.len(),
        captured.len()
    );
    let settled = captured.first().copied().unwrap_or(0.0) + SETTLING.as_secs_f64();
    let pairs = captured.iter().zip(&shown).filter(|(c, _)| **c >= settled);
    let mut latencies: Vec<f64> = pairs.map(|(captured, shown)| (shown - captured) * 1_000.0).collect();
    assert!(!latencies.is_empty() && latencies.iter().all(|l| *l > 0.0), "a picture was shown before it was captured");
    latencies.sort_by(f64::total_cmp);
    latencies
}

/// `0:00:03.328259128` in seconds.
fn log_seconds(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

fn roundtable(material: &Material, seconds: usize) -> Turn {
    let shown = Meeting::start(material, (WIDTH, HEIGHT));
    let cpu_ms = cpu_ms_per_frame(&[&shown.sender, &shown.viewer], seconds);
    let stats = shown.end();
    let person = &stats["people"][0]["video"];
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let (got, lost) = (number(&person["frames_shown"]), number(&person["frames_lost"]));
    assert!(lost / got < 0.03, "{lost} pictures were lost and {got} shown: {stats}");
    let latency = &person["latency_ms"];

    let tile = Meeting::start(material, TILE);
    let tile_cpu_ms = cpu_ms_per_frame(&[&tile.viewer], seconds);
    tile.end();
    Turn { p50_ms: number(&latency["p50"]), p99_ms: number(&latency["p99"]), cpu_ms, tile_cpu_ms }
}

/// One who sends and one who watches, without sound.
struct Meeting {
    sender: Running,
    viewer: Running,
    stats: PathBuf,
    home: tempfile::TempDir,
}

impl Meeting {
    /// Returns once the viewer has shown pictures for a while.
    fn start(material: &Material, tile: (usize, usize)) -> Meeting {
        // The window in which one person's tile is as large as GStreamer's picture.
        let beside = theme::GAP as usize;
        let bars = (theme::TOP_BAR + theme::TOOLBAR) as usize;
        let size = (tile.0 + 2 * beside, tile.1 + 2 * beside + bars);
        let home = tempfile::tempdir().expect("temporary folder");
        let stats = home.path().join("stats.json");
        let participant = |verb: &str, name: &str, camera: &str| {
            let mut command = Command::new(PROGRAM);
            command.args([verb, "Comparison", "--headless", "--name", name, "--camera", camera]);
            command.args(["--microphone", "none", "--speaker", "none", "--interface", "127.0.0.1"]);
            command.env("HOME", home.path()).env("ROUNDTABLE_QUALITY", QUALITY);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let log = File::options().create(true).append(true).open(home.path().join("log")).expect("a file");
            command.stderr(log);
            command
        };
        let mut sender = participant("start", "Sender", &material.text("pictures.y4m"));
        let sender = Running::start(sender.arg("--open"));
        let mut viewer = participant("join", "Viewer", "none");
        viewer.args(["--size", &format!("{}x{}", size.0, size.1)]).arg("--stats").arg(&stats);
        let meeting = Meeting { sender, viewer: Running::start(&mut viewer), stats, home };
        let deadline = Instant::now() + Duration::from_secs(20);
        while meeting.read()["people"][0]["video"]["frames_shown"].as_u64().unwrap_or(0) == 0 {
            let log = || std::fs::read_to_string(meeting.home.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the viewer shows nothing: {}{}", meeting.read(), log());
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(SETTLING);
        meeting
    }

    fn read(&self) -> Value {
        let text = std::fs::read_to_string(&self.stats).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The viewer's last statistics.
    fn end(self) -> Value {
        self.read()
    }
}
