//! The main screens against checked-in pictures. `UPDATE_SNAPSHOTS=1 cargo test --test ui` writes them anew: look at
//! each before committing it.

use std::path::PathBuf;

use egui::{Event, Key, Modifiers, RawInput, pos2};
use roundtable::conference::view::{CameraView, NoticeKind, View};
use roundtable::time::Timestamp;
use roundtable::ui::app::{App, Options};
use roundtable::ui::look::Preferences;
use roundtable::ui::screenshot;

use crate::scene::{conversation, notice, publish, view};

/// A channel may differ by so much (rounding differs between processors) ...
const TOLERANCE: u8 = 16;
/// ... and this share of the pixels by more, in thousandths.
const PIXELS_PERMILLE: usize = 4;

fn key(key: Key) -> Event {
    Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers: Modifiers::NONE }
}

/// Runs some frames, as the loop would, with the events at the second.
fn composed(size: (usize, usize), scale: f32, view: &View, events: Vec<Event>) -> App {
    let mut app = App::new(size, Options { scale, ..Default::default() });
    let mut events = Some(events);
    for i in 0..6 {
        let events = if i == 1 { events.take().unwrap_or_default() } else { Vec::new() };
        let input = RawInput { events, focused: true, ..Default::default() };
        app.frame(view, input, Timestamp::from_millis(1000 + 200 * i));
    }
    app
}

fn check(name: &str, app: &App) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.png"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        screenshot::write(&path, app.pixels(), app.size()).expect("snapshot written");
    }
    let expected = image::open(&path).expect("snapshot exists").into_rgb8();
    let (width, height) = app.size();
    assert_eq!(expected.dimensions(), (width as u32, height as u32), "{name}");
    let differs = |(pixel, e): (&u32, &image::Rgb<u8>)| {
        let [_, r, g, b] = pixel.to_be_bytes();
        [r, g, b].iter().zip(e.0).any(|(a, b)| a.abs_diff(b) > TOLERANCE)
    };
    let different = app.pixels().iter().zip(expected.pixels()).filter(|p| differs(*p)).count();
    if different * 1000 > width * height * PIXELS_PERMILLE {
        let now = std::env::temp_dir().join(format!("{name}.now.png"));
        screenshot::write(&now, app.pixels(), app.size()).expect("picture of now");
        panic!("{name}: {different} pixels differ from {}; see {}", path.display(), now.display());
    }
}

#[test]
fn people_fill_the_window() {
    for (count, size) in [(2, (1280, 720)), (4, (1280, 720)), (9, (1280, 720)), (25, (1024, 600))] {
        check(&format!("people-{count}"), &composed(size, 1.0, &view(count), vec![]));
    }
}

#[test]
fn alone_one_is_told_how_others_come() {
    check("alone", &composed((1280, 720), 1.0, &view(1), vec![]));
    let mut empty = view(0);
    empty.title = "Physics, 2nd year".into();
    check("nobody", &composed((800, 500), 1.0, &empty, vec![]));
}

/// Five people of whom each has something else.
fn troubled() -> View {
    let mut view = view(6);
    view.muted = true;
    view.camera_on = false;
    (view.people[0].muted, view.people[0].camera) = (true, CameraView::Off);
    view.people[1].level_dbfs = -20.0;
    view.people[1].attention.hand = true;
    view.people[2].attention.away = true;
    view.attention.hand = true;
    (view.people[2].muted, view.people[2].camera) = (true, CameraView::Frozen(5));
    view.people[3].camera = CameraView::Waiting;
    view.people[3].picture = Default::default();
    view.people[4].camera = CameraView::Failed("camera unplugged, trying again in 4 s".into());
    view.people[4].name = "Maximiliane Freifrau von Hohenstein-Wittgenstein zu Berleburg".into();
    view.people[5].has_microphone = false;
    publish(&view.people[5], (160, 120), 0);
    view.notices = vec![
        notice(1, NoticeKind::Info, "old news", 6_000),
        notice(2, NoticeKind::Info, "Dana joined", 900),
        notice(3, NoticeKind::Warning, "The camera was unplugged. Everything else goes on; it is tried again.", 100),
    ];
    view
}

#[test]
fn troubles_are_told_on_the_tile_they_concern() {
    check("troubles", &composed((1280, 720), 1.0, &troubled(), vec![]));
    check("troubles-small", &composed((800, 500), 1.0, &troubled(), vec![]));
}

#[test]
fn panels_lie_over_the_pictures() {
    let mut figures = view(4);
    figures.summary = vec![
        "processor 14 %   memory 61 MB   12 threads".into(),
        "sent 24.3 Mb/s   eth0 10.77.0.2   group 239.255.4.18".into(),
    ];
    check("statistics", &composed((1280, 720), 1.0, &figures, vec![key(Key::S)]));
    check("keys", &composed((1280, 720), 1.0, &view(4), vec![key(Key::F1)]));
}

/// The chat open, in the looks given.
fn chat(size: (usize, usize), scale: f32, preferences: Preferences, private: bool) -> App {
    let mut view = view(4);
    view.talk = conversation();
    let mut app = App::new(size, Options { scale, preferences, ..Default::default() });
    let events = |i| match i {
        1 => vec![key(Key::C)],
        _ => vec![],
    };
    for i in 0..12 {
        let input = RawInput { events: events(i), focused: true, ..Default::default() };
        app.frame(&view, input, Timestamp::from_millis(1000 + 200 * i));
    }
    let _ = private;
    app
}

#[test]
fn what_is_said_stands_beside_the_pictures() {
    let dark = Preferences::default();
    check("chat", &chat((1280, 720), 1.0, dark, false));
    check("chat-light", &chat((1280, 720), 1.0, Preferences { light: true, ..dark }, false));
    check("chat-small", &chat((800, 500), 1.0, dark, false));
}

#[test]
fn controls_show_focus_and_tooltips() {
    let mut private = view(2);
    private.open = false;
    check("focus", &composed((800, 500), 1.0, &private, vec![key(Key::Tab)]));
    let mut blind = view(2);
    blind.has_camera = false;
    check("tooltip", &composed((800, 500), 1.0, &blind, vec![Event::PointerMoved(pos2(300.0, 474.0))]));
}

#[test]
fn the_interface_scales_and_shrinks() {
    check("scale-2", &composed((1280, 720), 2.0, &view(3), vec![]));
    check("narrow", &composed((360, 480), 1.0, &troubled(), vec![]));
}

#[test]
fn a_viewer_sees_and_hears_but_is_not_on_the_stage() {
    let mut watching = view(3);
    watching.people.remove(0);
    check("viewer", &composed((800, 500), 1.0, &watching, vec![]));
    let mut crowd = view(60);
    crowd.people[50].name = "somebody on the second page".into();
    check("page-2", &composed((800, 500), 1.0, &crowd, vec![key(Key::PageDown)]));
}
