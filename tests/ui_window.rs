//! The window on a real display: Xvfb, a window manager, and a user made of xdotool. Skipped with a message where these
//! programs are missing.

#[path = "common/drag.rs"]
mod drag;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use egui::RawInput;
use egui::accesskit::Role;
use roundtable::conference::view::{CameraView, PersonView, View};
use roundtable::device::clock::Clock;
use roundtable::media::picture::Picture;
use roundtable::pipeline::slot::PictureInfo;
use roundtable::time::Timestamp;
use roundtable::ui::app::{self, App};
use roundtable::ui::window::Shown;
use roundtable::ui::{Options, window};

const IN_CHILD: &str = "ROUNDTABLE_TEST_WINDOW";
const TITLE: &str = "Roundtable window test";
const SIZE: (usize, usize) = (800, 500);
const PATIENCE: Duration = Duration::from_secs(30);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> bool {
    Command::new(name).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// One person, alone.
fn view() -> View {
    let me = PersonView { me: true, camera: CameraView::Live, ..PersonView::new(1, "Ada") };
    View {
        title: "Test".into(),
        people: vec![me],
        has_microphone: true,
        has_camera: true,
        camera_on: true,
        // Long enough for whoever closes the window to be asked.
        elapsed_s: 1,
        ..Default::default()
    }
}

/// Where the middle of a button is in the window under test, as a screen reader finds it.
fn button(name: &str) -> (String, String) {
    let mut app = App::new(SIZE, app::Options::default());
    app.enable_accessibility();
    for frame in 1..=2 {
        app.frame(&view(), RawInput { focused: true, ..Default::default() }, Timestamp::from_millis(20 * frame));
    }
    let update = app.accessibility().expect("a tree");
    let button = |node: &&egui::accesskit::Node| node.role() == Role::Button && node.label() == Some(name);
    let node = update.nodes.iter().map(|(_, node)| node).find(button);
    let bounds = node.and_then(|node| node.bounds()).unwrap_or_else(|| panic!("no button {name:?}"));
    (((bounds.x0 + bounds.x1) / 2.0).round().to_string(), ((bounds.y0 + bounds.y1) / 2.0).round().to_string())
}

/// The process under test: shows moving pictures, prints what is asked of it and what it shows.
#[test]
#[ignore = "is started by the other test"]
fn window_child() {
    if std::env::var_os(IN_CHILD).is_none() {
        return;
    }
    let view = view();
    let clock = Clock::system();
    let (commands, asked) = crossbeam_channel::bounded(16);
    let slot = view.people[0].picture.clone();
    let (mut frames, mut wanted) = (0_u32, (0, 0));
    let feed = || {
        frames += 1;
        let pixels = vec![(frames * 0x0001_0101) & 0x00ff_ffff; 64 * 36];
        slot.publish(&mut Picture { width: 64, height: 36, pixels }, PictureInfo::default());
        if slot.wanted() != std::mem::replace(&mut wanted, slot.wanted()) {
            println!("wanted {} {}", wanted.0, wanted.1);
        }
        while let Ok(command) = asked.try_recv() {
            println!("{command:?}");
        }
        view.clone()
    };
    let mut shown = 0;
    let options = Options { title: TITLE.into(), size: SIZE, scale: Some(1.0), ..Options::default() };
    let result = window::run(
        feed,
        commands,
        |what| {
            shown += u32::from(matches!(what, Shown::Picture(..)));
            if shown == 10 {
                shown += 1;
                println!("shown");
            }
        },
        &clock,
        &options,
    );
    result.expect("the window");
    while let Ok(command) = asked.try_recv() {
        println!("{command:?}");
    }
}

struct User {
    display: String,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl User {
    fn does(&self, arguments: &[&str]) {
        let status = Command::new("xdotool").args(arguments).env("DISPLAY", &self.display).status();
        assert!(status.is_ok_and(|s| s.success()), "xdotool {arguments:?}");
    }

    /// As [`does`](Self::does), again and again until the window manager is ready for it.
    fn does_when_ready(&self, arguments: &[&str]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut attempt = Command::new("xdotool");
            attempt.args(arguments).env("DISPLAY", &self.display).stdout(Stdio::null()).stderr(Stdio::null());
            if attempt.status().is_ok_and(|s| s.success()) {
                return;
            }
            assert!(Instant::now() < until, "xdotool {arguments:?}");
        }
    }

    /// The window under test, once it is there and another one than `before`.
    fn window_after(&self, before: Option<&str>) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut search = Command::new("xdotool");
            search.args(["search", "--onlyvisible", "--name", TITLE]).env("DISPLAY", &self.display);
            let found = search.output().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
            match found {
                Ok(found) if !found.is_empty() && !found.contains('\n') && before != Some(&found) => return found,
                _ => assert!(Instant::now() < until, "no window but {before:?}"),
            }
        }
    }

    fn expects(&mut self, line: &str) {
        assert!(self.sees(line, PATIENCE), "no {line:?} in {:?}", self.seen);
    }

    /// Whether such a line comes within this time.
    fn sees(&mut self, line: &str, within: Duration) -> bool {
        let until = Instant::now() + within;
        while !self.seen.iter().any(|l| l.starts_with(line)) {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => return false,
            }
        }
        self.seen.retain(|l| !l.starts_with(line));
        true
    }
}

#[test]
fn a_user_clicks_types_resizes_and_closes() {
    if !["Xvfb", "openbox", "xdotool"].iter().all(|p| program(p)) {
        eprintln!("skipped: needs Xvfb, openbox and xdotool");
        return;
    }
    let mut server = Command::new("Xvfb");
    server.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]);
    let mut server = Running(server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Xvfb starts"));
    let mut number = String::new();
    BufReader::new(server.0.stdout.take().expect("a pipe")).read_line(&mut number).expect("a display");
    let display = format!(":{}", number.trim());
    let mut manager = Command::new("openbox");
    let manager = manager.env("DISPLAY", &display).stdout(Stdio::null()).stderr(Stdio::null());
    let _manager = Running(manager.spawn().expect("openbox starts"));

    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--ignored", "--exact", "window_child", "--nocapture"]);
    child.env(IN_CHILD, "1").env("DISPLAY", &display).env_remove("WAYLAND_DISPLAY");
    let mut child = Running(child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the window's process"));
    let (heard, lines) = channel();
    let out = BufReader::new(child.0.stdout.take().expect("a pipe"));
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| heard.send(line)));
    let mut user = User { display, lines, seen: Vec::new() };

    user.does_when_ready(&["search", "--onlyvisible", "--name", TITLE, "windowactivate", "--sync"]);
    user.expects("shown");
    user.expects("wanted");
    let (x, y) = button("Mute");
    user.does(&["search", "--name", TITLE, "mousemove", "--sync", "--window", "%1", &x, &y]);
    user.does(&["mousedown", "1", "sleep", "0.05", "mouseup", "1"]);
    user.expects("Mute(true)");
    // Pressed and released at once: keys are never lost, however short.
    user.does(&["search", "--name", TITLE, "key", "--delay", "0", "v"]);
    user.expects("Camera(false)");
    // The chat opens with its field ready; what is a key elsewhere is a letter there.
    user.does(&["search", "--name", TITLE, "key", "c"]);
    user.expects("wanted");
    user.does(&["search", "--name", TITLE, "type", "--delay", "25", "my word"]);
    user.does(&["search", "--name", TITLE, "key", "Return"]);
    user.expects("Say(\"my word\")");
    // The first leaves the field, the second closes the panel.
    user.does(&["search", "--name", TITLE, "key", "--delay", "60", "Escape", "Escape"]);
    user.expects("wanted");
    // As long as a finger is down; shorter ones than the window looks at the mouse are missed.
    let click = ["mousedown", "1", "sleep", "0.08", "mouseup", "1", "sleep", "0.08"];
    user.does(&["search", "--name", TITLE, "mousemove", "--sync", "--window", "%1", "400", "200"]);
    // On a busy machine a pair of clicks may come out as two single ones, which pin the tile and let it go again.
    let fills = (0..10).any(|_| {
        user.does(&[click, click].concat());
        user.sees("wanted 800 500", PATIENCE / 10)
    });
    assert!(fills, "no double click is seen: {:?}", user.seen);
    user.does(&["search", "--name", TITLE, "key", "Escape"]);
    user.expects("wanted");
    // From a file manager: a text is not wanted, files are sent, and the panel shows them.
    let manager = drag::FileManager::on(&user.display);
    assert!(manager.is_refused());
    assert!(manager.drops("file:///tmp/a%20b.txt\r\nfile:///tmp/c\r\n"));
    user.expects("Send(\"/tmp/a b.txt\", [])");
    user.expects("Send(\"/tmp/c\", [])");
    user.expects("wanted");
    assert!(!manager.drops("https://example.org/"), "nothing is here to be sent");
    user.does(&["search", "--name", TITLE, "key", "Escape"]);
    user.expects("wanted");
    user.does(&["search", "--name", TITLE, "windowsize", "1000", "700"]);
    user.expects("wanted 956 538");
    // Without a window named it is a real key press, which the window manager sees.
    let window = user.window_after(None);
    user.does(&["key", "alt+F4"]);
    // Nobody else is here: the window comes back with the question. To close it once more is the answer.
    let asking = user.window_after(Some(&window));
    user.does_when_ready(&["windowactivate", "--sync", &asking]);
    assert!(!user.sees("Leave", Duration::ZERO), "nobody left yet");
    user.does(&["key", "alt+F4"]);
    user.expects("Leave");
    let status = child.0.wait().expect("ends");
    let mut errors = String::new();
    let _ = child.0.stderr.take().map(|mut e| e.read_to_string(&mut errors));
    assert!(status.success(), "{errors}");
}
