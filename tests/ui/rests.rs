//! An unchanged view costs nothing; a new picture costs its tile.

use std::time::Duration;

use egui::RawInput;
use roundtable::conference::view::{CameraView, View};
use roundtable::media::picture::Picture;
use roundtable::pipeline::slot::PictureInfo;
use roundtable::time::Timestamp;
use roundtable::ui::app::{App, FrameOutput, Options};

use crate::scene::{publish, view};

struct Running {
    app: App,
    view: View,
    now: u64,
}

impl Running {
    fn new(view: View) -> Self {
        let mut running = Self { app: App::new((1280, 720), Options::default()), view, now: 1000 };
        for _ in 0..4 {
            running.frame();
        }
        running
    }

    fn frame(&mut self) -> FrameOutput {
        self.now += 10;
        self.app.frame(&self.view, RawInput::default(), Timestamp::from_millis(self.now))
    }

    fn pixel(&self, x: usize, y: usize) -> u32 {
        self.app.pixels()[y * self.app.size().0 + x]
    }
}

#[test]
fn nothing_new_is_nothing_painted() {
    let mut running = Running::new(view(9));
    for _ in 0..50 {
        let output = running.frame();
        assert!(!output.changed && output.shown.is_empty() && output.commands.is_empty());
    }
    running.view.elapsed_s += 1;
    assert!(running.frame().changed, "the clock went on");
    assert!(!running.frame().changed);
}

#[test]
fn a_new_picture_changes_its_tile_and_is_reported_once() {
    let mut running = Running::new(view(4));
    let before = running.app.pixels().to_vec();
    publish(&running.view.people[3], (640, 360), 40);
    let output = running.frame();
    assert!(output.changed);
    assert_eq!(output.shown.iter().map(|(key, info)| (*key, info.number)).collect::<Vec<_>>(), [(3, 2)]);
    let (width, height) = running.app.size();
    let differs = |x: usize, y: usize| before[y * width + x] != running.pixel(x, y);
    let changed = (0..width * height).filter(|i| differs(i % width, i / width)).count();
    let elsewhere =
        (0..width * height).filter(|i| differs(i % width, i / width) && (i % width < 643 || i / width < 354)).count();
    assert!(changed > 1000 && elsewhere == 0, "{changed} changed, {elsewhere} of them outside the tile");
    assert!(!running.frame().changed);
}

#[test]
fn a_picture_that_waits_for_its_sound_is_shown_when_it_is_due_and_the_window_says_when_that_is() {
    let mut running = Running::new(view(4));
    let slot = running.view.people[3].picture.clone();
    slot.hold(Duration::from_millis(50));
    let publish = |at: u64| {
        let info = PictureInfo { arrived: Timestamp::from_millis(at), true_size: (64, 36), ..PictureInfo::default() };
        slot.publish(&mut Picture { width: 64, height: 36, pixels: vec![0x00ff_0000; 64 * 36] }, info);
    };
    let began = running.now;
    publish(began);
    let mut waits = Vec::new();
    for after in [40, 30, 20, 10] {
        if after == 20 {
            publish(running.now);
        }
        let output = running.frame();
        assert!(!output.changed && output.shown.is_empty(), "{after}");
        waits.push(output.repaint_after.map(|after| after.as_millis()));
    }
    assert_eq!(waits, [Some(40), Some(30), Some(20), Some(10)]);
    let output = running.frame();
    assert!(output.changed);
    assert_eq!(output.shown.iter().map(|(key, info)| (*key, info.number)).collect::<Vec<_>>(), [(3, 2)]);
    assert_eq!(output.repaint_after.map(|after| after.as_millis()), Some(20), "the next one");
    // Whose camera is off shows nothing that was still to come.
    running.view.people[3].camera = CameraView::Off;
    (0..4).for_each(|_| assert!(running.frame().shown.is_empty()));
    assert_eq!(slot.waiting(), 0);
}

#[test]
fn talking_rings_the_tile_and_the_ring_ends() {
    let mut running = Running::new(view(2));
    running.view.people[1].level_dbfs = -49.9;
    assert!(running.frame().changed);
    running.view.people[1].level_dbfs = -50.0;
    let output = running.frame();
    assert!(!output.changed, "between words the ring stays");
    assert!(output.repaint_after.is_some_and(|after| after.as_millis() <= 400));
    running.now += 400;
    assert!(running.frame().changed);
    running.view.people[1].level_dbfs = -10.0;
    running.view.people[1].muted = true;
    running.frame();
    assert!(!running.frame().changed, "who is muted does not talk");
}

#[test]
fn a_camera_that_comes_back_shows_a_new_picture_first() {
    let mut running = Running::new(view(2));
    let (x, y) = (320, 300);
    let live = running.pixel(x, y);
    running.view.people[0].camera = CameraView::Off;
    running.frame();
    let card = running.pixel(x, y);
    assert_ne!(live, card);
    running.view.people[0].camera = CameraView::Waiting;
    running.frame();
    assert_ne!(running.pixel(x, y), live, "the old picture stays away");
    publish(&running.view.people[0], (320, 180), 0);
    running.frame();
    assert_eq!(running.pixel(x, y), live, "a picture shows as soon as it is there");
}

#[test]
fn resizing_keeps_the_pictures() {
    let mut running = Running::new(view(1));
    let middle = running.pixel(640, 300);
    running.app.resize((801, 503));
    let output = running.frame();
    assert!(output.changed && output.shown.is_empty());
    assert_eq!(running.app.pixels().len(), 801 * 503);
    assert_eq!(running.pixel(400, 200), middle);
    for size in [(1, 1), (64, 64), (65, 4000), (3000, 65)] {
        running.app.resize(size);
        running.frame();
        assert_eq!(running.app.pixels().len(), running.app.size().0 * running.app.size().1);
    }
}

#[test]
fn hostile_names_and_texts_only_look_strange() {
    let mut odd = view(49);
    let names = ["", "\u{202e}gnirts", "\u{0}\u{7}\n\t", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "日本語の名前", "a\u{300}\u{301}\u{302}"];
    for (i, person) in odd.people.iter_mut().enumerate() {
        person.name = names[i % names.len()].repeat(1 + i * 40);
        person.level_dbfs = [f32::NAN, f32::INFINITY, -f32::INFINITY, 0.0][i % 4];
        person.camera = CameraView::Failed("x".repeat(i * 1000));
    }
    odd.title = "\u{feff}title\n".repeat(1000);
    let mut running = Running::new(odd);
    for size in [(1280, 720), (64, 64), (500, 90), (90, 500), (333, 333)] {
        running.app.resize(size);
        running.frame();
    }
}
