//! Files in the window, driven by mouse and keys as people do.

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, pos2};
use roundtable::conference::view::{Command, FileState, FileView, View};

use crate::acts::User;
use crate::scene::{file_talk, files, picture_file, view};

const NONE: Modifiers = Modifiers::NONE;

fn with(files: Vec<FileView>) -> View {
    View { talk: file_talk(&files), files, ..view(4) }
}

fn opened(view: View, key: Key) -> User {
    let mut user = User::new(view);
    user.presses(key, NONE);
    user.does(vec![]);
    user.does(vec![]);
    user
}

fn labels(user: &User) -> Vec<String> {
    let nodes = &user.app.accessibility().expect("a tree").nodes;
    let name = |node: &egui::accesskit::Node| node.label().or(node.value()).map(str::to_owned);
    nodes.iter().filter(|(_, node)| node.role() == Role::Label).filter_map(|(_, node)| name(node)).collect()
}

fn shows(user: &User, text: &str) -> bool {
    labels(user).iter().any(|label| label.contains(text))
}

#[test]
fn an_offer_is_answered_in_the_chat_and_in_the_panel() {
    for key in [Key::C, Key::T] {
        let mut user = opened(with(vec![files().remove(0)]), key);
        assert!(shows(&user, "plan.pdf") && shows(&user, "Bob offers · 2.1 MB"), "{:?}", labels(&user));
        let offer = user.view.files[0].offer.clone();
        assert_eq!(user.clicks("Accept"), [Command::Accept(offer.clone(), None)]);
        assert_eq!(user.clicks("Decline"), [Command::Decline(offer.clone())]);
        assert_eq!(user.clicks("Always"), [Command::AcceptAlways(offer.clone())]);
        assert_eq!(user.clicks("Save as…"), []);
        user.does(vec![]);
        // In the panel the path of what is to be sent stands above it.
        let nodes = &user.app.accessibility().expect("a tree").nodes;
        let fields = nodes.iter().filter(|(_, n)| n.role() == Role::TextInput).filter_map(|(_, n)| n.bounds());
        let field = fields.max_by(|a, b| a.y0.total_cmp(&b.y0)).expect("a field for the folder");
        user.presses_at(pos2(((field.x0 + field.x1) / 2.0) as f32, ((field.y0 + field.y1) / 2.0) as f32));
        user.does(vec![Event::Text("/tmp/plans".into())]);
        assert_eq!(user.clicks("Save"), [Command::Accept(offer, Some("/tmp/plans".into()))]);
    }
}

#[test]
fn how_far_a_file_is_and_who_has_it_is_told() {
    let mut user = opened(with(files()), Key::T);
    assert!(shows(&user, "30 MB of 120 MB · 80 Mbit/s · 0:09 left"), "{:?}", labels(&user));
    for text in ["Bob: has it", "Chandra: is behind, 40 %", "Dana Scott: declined"] {
        assert!(shows(&user, text), "{text}: {:?}", labels(&user));
    }
    let receiving = user.view.files.iter().find(|f| f.state == FileState::Receiving).expect("one").offer.clone();
    assert_eq!(user.clicks("Stop"), [Command::Decline(receiving)]);
    let own = user.view.files.iter().find(|f| f.own).expect("one").offer.clone();
    assert_eq!(user.clicks("Take back"), [Command::Decline(own)]);
}

#[test]
fn a_path_that_is_pasted_becomes_an_offer() {
    let mut user = opened(view(3), Key::T);
    let field = user.finds(Role::TextInput, "").expect("a field for the path");
    user.presses_at(field);
    user.does(vec![Event::Paste("/home/ada/my plan.pdf\n".into())]);
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Send("/home/ada/my plan.pdf".into(), vec![])]);
}

#[test]
fn a_file_that_waits_for_its_sender_says_so_and_can_be_stopped() {
    let mut file = files().remove(1);
    file.state = FileState::Waiting("whoever sends it left".into());
    let offer = file.offer.clone();
    let mut user = opened(with(vec![file]), Key::T);
    assert!(shows(&user, "whoever sends it left") && shows(&user, "30 MB of 120 MB"), "{:?}", labels(&user));
    assert_eq!(user.clicks("Stop"), [Command::Decline(offer)]);
}

#[test]
fn a_path_is_typed_and_sent_to_everybody_or_to_those_of_the_chat() {
    let mut user = opened(view(3), Key::T);
    let field = user.finds(Role::TextInput, "").expect("a field for the path");
    user.presses_at(field);
    user.does(vec![Event::Text("/home/ada/plan.pdf".into())]);
    // What is a key elsewhere is a letter here.
    assert_eq!(user.presses(Key::M, NONE), []);
    assert_eq!(user.clicks("Send the file"), [Command::Send("/home/ada/plan.pdf".into(), vec![])]);
    user.presses(Key::Escape, NONE);
    user.presses(Key::Escape, NONE);
    let mut user = opened(View { talk: crate::scene::conversation(), ..view(3) }, Key::C);
    user.clicks("Bob (1)");
    user.does(vec![]);
    user.clicks("Send a file");
    user.does(vec![]);
    user.does(vec![Event::Text("/home/ada/plan.pdf".into())]);
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Send("/home/ada/plan.pdf".into(), vec!["Bob".into()])]);
}

#[test]
fn a_picture_that_came_stands_among_the_lines() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = picture_file(folder.path());
    let mut user = opened(with(vec![file]), Key::C);
    let drawn = |user: &User| {
        let pixels = user.app.pixels();
        pixels.iter().filter(|pixel| **pixel & 0x00ff_ffff == 0x0080_3038).count()
    };
    let before = std::time::Instant::now();
    while drawn(&user) < 1_000 {
        assert!(before.elapsed().as_secs() < 20, "{} pixels of the picture", drawn(&user));
        user.does(vec![]);
        std::thread::yield_now();
    }
}

#[test]
fn what_an_offered_picture_shows_is_seen_before_it_is_taken() {
    let mut png = Vec::new();
    roundtable::media::still::write_png(&mut png, &[0xb0, 0x20, 0x60].repeat(90 * 60), (90, 60)).expect("written");
    let thumbnail = roundtable::media::thumbnail::make(&png, 640).expect("made");
    let file = FileView { thumbnail: thumbnail.into(), ..files().remove(0) };
    let mut user = opened(with(vec![file]), Key::T);
    let near = |pixel: u32| {
        let [_, r, g, b] = pixel.to_be_bytes();
        r.abs_diff(0xb0) < 12 && g.abs_diff(0x20) < 12 && b.abs_diff(0x60) < 12
    };
    let drawn = |user: &User| user.app.pixels().iter().filter(|pixel| near(**pixel)).count();
    let before = std::time::Instant::now();
    while drawn(&user) < 1_000 {
        assert!(before.elapsed().as_secs() < 20, "{} pixels of the picture", drawn(&user));
        user.does(vec![]);
        std::thread::yield_now();
    }
}
