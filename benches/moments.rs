//! The longest frame of the window in moments in which much is new to it: its first one, the first time a panel is opened, a
//! chat of many lines in Chinese, fonts that were found, a file, a person who goes. Processor time, without what the display
//! costs; a window that takes longer than 50 ms is felt.
//!
//! `cargo bench --bench moments`

use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{Event, Key, Modifiers, RawInput, pos2};
use roundtable::conference::view::{CameraView, PersonView, View};
use roundtable::conference::{self, Message};
use roundtable::device::clock::processor_seconds;
use roundtable::media::picture::Picture;
use roundtable::pipeline::slot::{PictureInfo, Waker};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::ui::app::{App, Options};

/// Between frames.
const FRAME_MS: u64 = 16;
/// Lines of the chat, and what each says.
const LINES: u64 = 200;
const CHINESE: &str = "今天下午四点在小会议室开会，请大家把第二页的图纸带来。谁还没有收到文件，就在这里说一声。";
/// Fonts are found within this time.
const FONTS_FOUND: Duration = Duration::from_secs(20);

struct Desk {
    app: App,
    view: View,
    now: Timestamp,
    waker: Arc<Waker>,
}

impl Desk {
    fn new(size: (usize, usize)) -> Self {
        let waker = Arc::new(Waker::default());
        let options = Options { waker: Arc::clone(&waker), system_fonts: true, ..Options::default() };
        let view = View { title: "Bench".into(), people: (0..9).map(person).collect(), ..View::default() };
        Self { app: App::new(size, options), view, now: Timestamp::from_millis(1), waker }
    }

    /// One frame; milliseconds of processor time it took.
    fn frame(&mut self, events: Vec<Event>) -> f64 {
        self.now = self.now + Duration::from_millis(FRAME_MS);
        let before = processor_seconds();
        self.app.frame(&self.view, RawInput { events, ..RawInput::default() }, self.now);
        1_000.0 * (processor_seconds() - before)
    }

    /// The longest of so many frames, the first of which gets `events`.
    fn longest(&mut self, frames: u64, events: Vec<Event>) -> f64 {
        let first = self.frame(events);
        (1..frames).map(|_| self.frame(Vec::new())).fold(first, f64::max)
    }

    fn presses(&mut self, key: Key) -> f64 {
        let event =
            |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers: Modifiers::NONE };
        self.longest(30, vec![event(true), event(false)])
    }

    /// The mouse goes across the window.
    fn moves(&mut self) -> f64 {
        (0..60).map(|n| self.frame(vec![Event::PointerMoved(pos2(20.0 * n as f32, 300.0))])).fold(0.0, f64::max)
    }

    /// Until a font was found, or nothing is to be expected any more.
    fn waits_for_fonts(&mut self) -> f64 {
        let (until, mut longest) = (Instant::now() + FONTS_FOUND, 0.0f64);
        while Instant::now() < until && self.waker.wait(Duration::from_secs(5)) {
            longest = longest.max(self.longest(5, Vec::new()));
        }
        longest
    }
}

fn person(key: u64) -> PersonView {
    let name = format!("Person {key}");
    let person = PersonView { me: key == 0, camera: CameraView::Live, ..PersonView::new(key, &name) };
    let mut picture = Picture { width: 640, height: 360, pixels: vec![0x0030_4878; 640 * 360] };
    person.picture.publish(&mut picture, PictureInfo { true_size: (640, 360), ..PictureInfo::default() });
    person
}

fn line(n: u64) -> conference::Event {
    conference::Event::Message(Message {
        id: n.to_string(),
        from: format!("Person {}", n % 9),
        member: (n % 9).to_string(),
        own: false,
        text: format!("{n} {CHINESE}"),
        action: false,
        at: NtpTime::from_unix(Duration::from_secs(1_735_732_800 + n)),
        late: false,
        audience: None,
        reply: None,
    })
}

fn main() {
    for size in [(1280, 720), (1920, 1080), (3840, 2160)] {
        println!("window {}x{}, longest frame in ms of processor time:", size.0, size.1);
        let show = |what: &str, ms: f64| println!("  {what:42} {ms:6.1}");
        let mut desk = Desk::new(size);
        show("the first", desk.frame(Vec::new()));
        show("those after it", desk.longest(60, Vec::new()));
        for (what, key) in
            [("settings", Key::O), ("people", Key::P), ("files", Key::T), ("chat", Key::C), ("keys", Key::F1)]
        {
            show(&format!("{what}: opened for the first time"), desk.presses(key));
            // Where something is written the first only leaves it.
            let closed = desk.presses(Key::Escape).max(desk.presses(Key::Escape));
            show(&format!("{what}: closed"), closed);
        }
        show("fonts of the system come", desk.waits_for_fonts());
        desk.presses(Key::C);
        let at = NtpTime::from_unix(Duration::from_secs(1_735_732_800));
        for n in 0..LINES {
            desk.view.talk.note(&line(n), at, true);
        }
        show("200 lines in Chinese", desk.longest(10, Vec::new()));
        show("their fonts come", desk.waits_for_fonts());
        show("the mouse goes over them", desk.moves());
        desk.view.talk.note(&line(LINES), at, true);
        show("one more line", desk.longest(10, Vec::new()));
        desk.view.people.pop();
        show("somebody goes", desk.longest(60, Vec::new()));
    }
}
