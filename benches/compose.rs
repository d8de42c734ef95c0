//! Processor time of the window itself: composing what people's pictures changed, and painting it into the frame. Time is
//! simulated, so that nothing but the work is counted; what the display costs is not in it.
//!
//! `cargo bench --bench compose [-- SECONDS]`

use roundtable::conference::view::{CameraView, PersonView, View};
use roundtable::device::clock::processor_seconds;
use roundtable::media::picture::Picture;
use roundtable::pipeline::slot::PictureInfo;
use roundtable::time::Timestamp;
use roundtable::ui::app::{App, Options};

/// Pictures a second of each person.
const PER_S: u64 = 30;
/// Frames a second of a window in which pictures come all the time: it waits for half of what a picture lasts.
const FRAMES_PER_S: u64 = 60;

fn main() {
    let seconds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(10);
    println!("{PER_S} pictures a second of each, {FRAMES_PER_S} frames a second; compose and paint, of a core");
    for (people, size) in [(2, (1280, 720)), (9, (1280, 720)), (9, (1920, 1080)), (25, (1280, 720))] {
        for (what, source) in [("as the decoders give them", None), ("1280x720 each", Some((1280, 720)))] {
            let (share, frame_ms) = compose(people, size, source, seconds);
            let (width, height) = size;
            println!(
                "{people:2} people, window {width}x{height}, pictures {what:25}: {:5.2} %, {frame_ms:.2} ms a frame",
                share * 100.0
            );
        }
    }
    println!("nothing new for {seconds} s: {:.3} %", rest(seconds) * 100.0);
}

fn person(key: u64) -> PersonView {
    PersonView { camera: CameraView::Live, ..PersonView::new(key, &format!("Person {key}")) }
}

fn window(people: u64, size: (usize, usize)) -> (App, View) {
    let view = View { title: "Bench".into(), people: (0..people).map(person).collect(), ..View::default() };
    let mut app = App::new(size, Options::default());
    for ms in 1..=40 {
        app.frame(&view, egui::RawInput::default(), Timestamp::from_millis(20 * ms));
    }
    (app, view)
}

/// Share of a core, and milliseconds a frame.
fn compose(people: u64, size: (usize, usize), source: Option<(usize, usize)>, seconds: u64) -> (f64, f64) {
    let (mut app, mut view) = window(people, size);
    let mut pictures: Vec<Picture> = view.people.iter().map(|_| Picture::default()).collect();
    let mut spent = 0.0;
    let frames = seconds * FRAMES_PER_S;
    for frame in 0..frames {
        for (n, person) in view.people.iter().enumerate() {
            // Half of them in one frame, the others in the next.
            if !(frame + n as u64).is_multiple_of(FRAMES_PER_S / PER_S) {
                continue;
            }
            let (width, height) = source.unwrap_or_else(|| person.picture.wanted());
            let picture = &mut pictures[n];
            (picture.width, picture.height) = (width, height);
            picture.pixels.resize(width * height, 0);
            picture.pixels.fill((frame as u32).wrapping_mul(0x0001_0203) & 0x00ff_ffff);
            person.picture.publish(picture, PictureInfo { true_size: (width, height), ..PictureInfo::default() });
        }
        view.elapsed_s = frame / FRAMES_PER_S;
        let now = Timestamp::from_millis(2_000 + frame * 1_000 / FRAMES_PER_S);
        let before = processor_seconds();
        app.frame(&view, egui::RawInput::default(), now);
        spent += processor_seconds() - before;
    }
    (spent / seconds as f64, spent * 1_000.0 / frames as f64)
}

/// Share of a core while nothing but the clock in the corner changes.
fn rest(seconds: u64) -> f64 {
    let (mut app, mut view) = window(3, (1280, 720));
    let mut spent = 0.0;
    for frame in 0..seconds * PER_S {
        view.elapsed_s = frame / PER_S;
        let before = processor_seconds();
        app.frame(&view, egui::RawInput::default(), Timestamp::from_millis(2_000 + frame * 1_000 / PER_S));
        spent += processor_seconds() - before;
    }
    spent / seconds as f64
}
