//! A display of its own, the program on it, and a user who presses keys and moves the mouse.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use egui::{Color32, Rect};
use roundtable::ui::screenshot;

use crate::common::peer::{PROGRAM, private};
use crate::common::poll;
use crate::common::sandbox::sh;
use crate::common::stats::Stats;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What was done is done again when nothing came of it for so long.
const AGAIN: Duration = Duration::from_secs(8);
/// The display: room for a window of 1280x800 and its frame.
const DISPLAY: &str = "1400x900x24";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is walked through: the program of the tests, or the one `WALK_PROGRAM` names.
pub fn program() -> PathBuf {
    std::env::var_os("WALK_PROGRAM").map_or_else(|| PathBuf::from(PROGRAM), PathBuf::from)
}

/// Whether the programs for a display and a user are here.
pub fn possible() -> bool {
    let there =
        |name: &str| Command::new(name).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let all = ["Xvfb", "openbox", "xdotool"].into_iter().all(there);
    if !all {
        println!("SKIPPED: needs Xvfb, openbox and xdotool");
    }
    all
}

/// A display with a window manager.
pub struct Desk {
    display: String,
    memory: PathBuf,
    _manager: Running,
    _server: Running,
    home: tempfile::TempDir,
}

impl Desk {
    /// Opens a display; only inside a sandbox, whose `/tmp` becomes its own: displays have their names there.
    pub fn open() -> Self {
        sh("mount -t tmpfs tmpfs /tmp && mkdir -m 1777 /tmp/.X11-unix && chmod 1777 /tmp");
        let home = tempfile::tempdir().expect("temporary folder");
        let mut server = Command::new("Xvfb");
        server.args(["-displayfd", "1", "-screen", "0", DISPLAY, "-nolisten", "tcp", "-noreset", "-fbdir"]);
        server.arg(home.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Running(server.spawn().expect("Xvfb starts"));
        let mut number = String::new();
        BufReader::new(server.0.stdout.take().expect("a pipe")).read_line(&mut number).expect("a display");
        let display = format!(":{}", number.trim());
        let mut manager = Command::new("openbox");
        manager.env("DISPLAY", &display).env("HOME", home.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let manager = Running(manager.spawn().expect("openbox starts"));
        Self { display, memory: home.path().join("Xvfb_screen0"), _manager: manager, _server: server, home }
    }

    /// A folder that goes with it.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Everything on the display.
    fn pixels(&self) -> Option<(Vec<u32>, usize)> {
        let dump = std::fs::read(&self.memory).ok()?;
        // An XWD file: words of its header are big endian, pixels are as the machine has them.
        let word = |n: usize| dump.get(4 * n..4 * n + 4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]) as usize);
        let (header, line, colours) = (word(0)?, word(12)?, word(19)?);
        let pixels = dump.get(header + 12 * colours..)?.chunks_exact(4);
        Some((pixels.map(|p| u32::from_le_bytes([p[0], p[1], p[2], p[3]]) & 0x00ff_ffff).collect(), line / 4))
    }

    fn xdotool(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("xdotool");
        let ran =
            command.args(arguments).env("DISPLAY", &self.display).stderr(Stdio::null()).output().expect("xdotool");
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    }
}

/// The program on a display, and its user.
pub struct Seat<'a> {
    desk: &'a Desk,
    child: Running,
    window: String,
    /// Where its window's own pixels begin on the display.
    corner: (usize, usize),
    size: (usize, usize),
    name: String,
    steps: usize,
    stats: PathBuf,
}

impl<'a> Seat<'a> {
    /// Starts the program, as somebody would who clicks on its icon, or with a subcommand; returns when its window is
    /// there. `name` is that of the walk, for its pictures.
    pub fn take(desk: &'a Desk, name: &str, size: (usize, usize), how: &[&str], settings: &[(&str, &str)]) -> Self {
        let stats = desk.home.path().join("stats.json");
        let mut command = Command::new(program());
        private(&mut command, &desk.home);
        command.args(how);
        command.arg("--stats").arg(&stats).args(["--size", &format!("{}x{}", size.0, size.1), "--interface", "lo"]);
        for (key, value) in settings {
            command.env(format!("ROUNDTABLE_{}", key.to_uppercase()), value);
        }
        command.env("DISPLAY", &desk.display).stdin(Stdio::null());
        let child = Running(command.spawn().expect("start the program"));
        let window = poll(PATIENCE, || {
            let found = desk.xdotool(&["search", "--onlyvisible", "--name", "Roundtable$"])?;
            let window = found.lines().next()?.to_owned();
            desk.xdotool(&["windowactivate", "--sync", &window]).map(|_| window)
        });
        let window = window.expect("a window");
        let corner = poll(PATIENCE, || {
            desk.xdotool(&["mousemove", "--window", &window, "0", "0"])?;
            let place = desk.xdotool(&["getmouselocation", "--shell"])?;
            let value = |key: &str| place.lines().find_map(|l| l.strip_prefix(key)?.parse::<usize>().ok());
            Some((value("X=")?, value("Y=")?))
        });
        let corner = corner.expect("the window's place");
        Self { desk, child, window, corner, size, name: name.to_owned(), steps: 0, stats }
    }

    /// Seconds of processor time it has taken so far.
    pub fn processor_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.0.id())).expect("the program runs");
        // Behind the name in brackets: user and system time are the 14th and the 15th field.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
        ticks.iter().sum::<f64>() / sh("getconf CLK_TCK").trim().parse::<f64>().expect("ticks a second")
    }

    /// Its statistics, as last written.
    pub fn stats(&self) -> Option<Stats> {
        Some(Stats(serde_json::from_str(&std::fs::read_to_string(&self.stats).ok()?).ok()?))
    }

    /// What the window shows.
    pub fn pixels(&self) -> Vec<u32> {
        let (all, line) = poll(PATIENCE, || self.desk.pixels()).expect("the display's memory");
        let row = |y: usize| {
            let from = (self.corner.1 + y) * line + self.corner.0;
            all.get(from..from + self.size.0).unwrap_or_default().iter().copied()
        };
        (0..self.size.1).flat_map(row).collect()
    }

    /// Leaves a picture of the window.
    pub fn photographs(&mut self, step: &str) {
        self.steps += 1;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("walk");
        std::fs::create_dir_all(&folder).expect("folder of pictures");
        let path = folder.join(format!("{}-{:02}-{step}.png", self.name, self.steps));
        screenshot::write(&path, &self.pixels(), self.size).expect("a picture");
    }

    /// What share of the pixels on the edge of `bounds`, a few pixels either side of it, has this colour: the most of
    /// the lines tried.
    pub fn edge_share(&self, bounds: Rect, colour: Color32) -> f32 {
        let pixels = self.pixels();
        let wanted = [colour.r(), colour.g(), colour.b()];
        let near = |x: i32, y: i32| {
            let (w, h) = (self.size.0 as i32, self.size.1 as i32);
            let Some(pixel) = pixels.get((y * w + x) as usize).filter(|_| x >= 0 && x < w && y >= 0 && y < h) else {
                return false;
            };
            let [_, r, g, b] = pixel.to_be_bytes();
            [r, g, b].iter().zip(wanted).all(|(is, wanted)| is.abs_diff(wanted) < 40)
        };
        let share = |out: f32| {
            let r = bounds.expand(out);
            if !r.is_positive() {
                return 0.0;
            }
            let (left, right, top, bottom) = (r.left() as i32, r.right() as i32, r.top() as i32, r.bottom() as i32);
            let across = (left..=right).flat_map(|x| [(x, top), (x, bottom)]);
            let down = (top..=bottom).flat_map(|y| [(left, y), (right, y)]);
            let all: Vec<(i32, i32)> = across.chain(down).collect();
            all.iter().filter(|(x, y)| near(*x, *y)).count() as f32 / all.len() as f32
        };
        (-4..=4).map(|out| share(out as f32)).fold(0.0, f32::max)
    }

    /// Does something again and again until its effect is seen.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut act: impl FnMut(&Self), mut effect: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            act(self);
            if poll(AGAIN, || effect(self).then_some(())).is_some() {
                return;
            }
            if Instant::now() > deadline {
                self.photographs("failed");
                panic!("{what}: nothing came of it; the window is in the last picture");
            }
        }
    }

    /// Waits for something to be seen.
    #[track_caller]
    pub fn awaits(&mut self, what: &str, mut effect: impl FnMut(&Self) -> bool) {
        if poll(PATIENCE, || effect(self).then_some(())).is_none() {
            self.photographs("failed");
            panic!("{what}: not seen; the window is in the last picture");
        }
    }

    /// Presses keys one after the other, by their names.
    pub fn presses(&self, keys: &[&str]) {
        let pressed = self.desk.xdotool(&[&["key", "--delay", "60"], keys].concat());
        assert!(pressed.is_some(), "xdotool key {keys:?}");
    }

    /// Types a text.
    pub fn types(&self, text: &str) {
        assert!(self.desk.xdotool(&["type", "--delay", "30", text]).is_some(), "xdotool type {text}");
    }

    /// Clicks there, as long as a finger is down.
    pub fn clicks(&self, at: egui::Pos2) {
        let (x, y) = (at.x.round().to_string(), at.y.round().to_string());
        let clicked = self.desk.xdotool(&[
            "mousemove",
            "--window",
            &self.window,
            &x,
            &y,
            "sleep",
            "0.1",
            "mousedown",
            "1",
            "sleep",
            "0.12",
            "mouseup",
            "1",
        ]);
        assert!(clicked.is_some(), "xdotool clicks at {at}");
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let ended = poll(PATIENCE, || self.child.0.try_wait().expect("own child"));
        ended.expect("the program ends")
    }
}
