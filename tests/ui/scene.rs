//! Conferences made up for the tests: people with simple pictures that compress well.

use std::sync::Arc;

use roundtable::conference::view::{Attention, CameraView, Notice, NoticeKind, PersonFigures, PersonView, View};
use roundtable::media::picture::Picture;
use roundtable::pipeline::slot::{PictureInfo, PictureSlot};

pub const NAMES: [&str; 8] = ["Ada Lovelace", "Bob", "Chandra", "Dana Scott", "Émile", "Faye", "Grace Hopper", "Hedy"];

/// A head and shoulders before a wall, `step` pixels further right each time.
pub fn portrait(width: usize, height: usize, hue: usize, step: usize) -> Picture {
    const WALLS: [u32; 6] = [0x00c8_b89a, 0x0090_a8b8, 0x00a8_c0a0, 0x00b8_98a8, 0x0088_88a8, 0x00d0_c8c0];
    const SHIRTS: [u32; 5] = [0x0030_4878, 0x0080_3038, 0x0030_6848, 0x0048_4048, 0x0090_7030];
    let (wall, shirt) = (WALLS[hue % WALLS.len()], SHIRTS[hue % SHIRTS.len()]);
    let centre = (width / 2 + step) as f32;
    let (h, w) = (height as f32, width as f32);
    let inside =
        |x: f32, y: f32, cx: f32, cy: f32, rx: f32, ry: f32| ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0;
    let pixels = (0..width * height)
        .map(|i| {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            if inside(x, y, centre, h * 0.40, h * 0.17, h * 0.22) {
                0x00e0_b090
            } else if inside(x, y, centre, h * 1.05, h * 0.42, h * 0.42) {
                shirt
            } else if x < w * 0.2 && y < h * 0.5 {
                0x00f0_f4f8
            } else {
                wall
            }
        })
        .collect();
    Picture { width, height, pixels }
}

/// Publishes a portrait for a person.
pub fn publish(person: &PersonView, size: (usize, usize), step: usize) {
    let mut picture = portrait(size.0, size.1, person.key as usize, step);
    let info = PictureInfo { true_size: size, ..Default::default() };
    person.picture.publish(&mut picture, info);
}

/// Somebody whose camera runs.
pub fn person(key: u64, name: &str) -> PersonView {
    PersonView {
        key,
        name: name.to_owned(),
        me: key == 0,
        muted: false,
        has_microphone: true,
        attention: Attention::default(),
        camera: CameraView::Live,
        level_dbfs: -127.0,
        picture: Arc::new(PictureSlot::default()),
        figures: PersonFigures {
            layer: "full",
            size: (1280, 720),
            frames_per_s: 29.9,
            kbit_per_s: 24_310.0 + key as f32,
            loss_percent: 0.1 * key as f32,
            latency_ms: (key != 0).then_some(3.2),
            audio_buffer_ms: 41.0,
        },
    }
}

/// A conference of `count` people, the first of them me, each with a picture.
pub fn view(count: usize) -> View {
    let people: Vec<_> = (0..count)
        .map(|i| {
            let name = NAMES[i % NAMES.len()];
            let name = if i < NAMES.len() { name.to_owned() } else { format!("{name} ({})", i / NAMES.len()) };
            let person = person(i as u64, &name);
            publish(&person, (320, 180), 0);
            person
        })
        .collect();
    View {
        title: "Standup".into(),
        open: true,
        people,
        muted: false,
        has_microphone: true,
        attention: Attention::default(),
        camera_on: true,
        has_camera: true,
        notices: Vec::new(),
        elapsed_s: 754,
        summary: Vec::new(),
        examined: None,
        ended: false,
    }
}

pub fn notice(number: u64, kind: NoticeKind, text: &str, age_ms: u64) -> Notice {
    Notice { number, kind, text: text.to_owned(), age_ms }
}
