//! What hands do without looking: keys held and let go of elsewhere, clicks in quick succession, Escape again and again.

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, PointerButton, Pos2, pos2};
use roundtable::conference::FileOffer;
use roundtable::conference::view::{Command, View};
use roundtable::conference::{Event as Told, Message};

use crate::acts::User;
use crate::scene::{files, message, talk, view};

const NONE: Modifiers = Modifiers::NONE;
const SHIFT: Modifiers = Modifiers::SHIFT;

fn space(pressed: bool, modifiers: Modifiers) -> Event {
    Event::Key { key: Key::Space, physical_key: None, pressed, repeat: false, modifiers }
}

/// Holds Space with the microphone off, which turns it on.
fn holding() -> User {
    let mut user = User::new(view(3));
    user.view.muted = true;
    user.does(vec![]);
    assert_eq!(user.does(vec![space(true, NONE)]).commands, [Command::Mute(false)]);
    user.view.muted = false;
    user
}

fn click(at: Pos2) -> Vec<Event> {
    let press = |pressed| Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: NONE };
    vec![Event::PointerMoved(at), press(true), press(false)]
}

#[test]
fn push_to_talk_ends_whatever_else_is_pressed_meanwhile() {
    let off = [Command::Mute(true)];
    assert_eq!(holding().does(vec![space(false, SHIFT)]).commands, off, "Shift came to it");
    let mut user = holding();
    user.presses(Key::C, NONE);
    let mut commands = user.does(vec![]).commands;
    commands.extend(user.does(vec![space(false, NONE)]).commands);
    assert_eq!(commands, off, "the chat took the keyboard");
    let mut lost = holding();
    lost.presses(Key::C, NONE);
    lost.does(vec![]);
    let commands = lost.does(vec![Event::WindowFocused(false)]).commands;
    assert!(commands.is_empty(), "it ended with the field already: {commands:?}");
}

#[test]
fn a_double_click_fills_the_window_with_whom_the_first_click_meant() {
    for name in ["Bob", "Chandra", "Eve"] {
        let mut user = User::new(view(9));
        let Some(at) = user.finds(Role::Button, name) else { continue };
        let widths = |user: &User| user.view.people.iter().map(|p| p.picture.wanted().0).collect::<Vec<_>>();
        let meant = user.view.people.iter().position(|p| p.name == name).expect("here");
        user.does(click(at));
        user.does(vec![]);
        assert!(widths(&user).iter().max() == Some(&widths(&user)[meant]), "{name} is pinned");
        // The tiles have moved; the mouse has not.
        user.does(click(at));
        user.does(vec![]);
        let shown: Vec<usize> = (0..9).filter(|i| widths(&user)[*i] > 0).collect();
        assert_eq!(shown, [meant], "{name}");
    }
}

#[test]
fn two_clicks_elsewhere_fill_nothing() {
    let mut user = User::new(view(5));
    user.clicks("Chandra");
    user.does(vec![]);
    let at = user.button("Statistics");
    user.does(click(at));
    user.does(click(at));
    user.does(vec![]);
    let shown = user.view.people.iter().filter(|p| p.picture.wanted().0 > 0).count();
    assert_eq!(shown, 5);
}

#[test]
fn escape_leaves_a_field_closes_a_list_and_only_then_a_panel() {
    let mut user = User::new(view(3));
    user.presses(Key::C, NONE);
    (0..3).for_each(|_| drop(user.does(vec![])));
    user.presses(Key::Escape, NONE);
    user.does(vec![]);
    assert!(user.finds(Role::Button, "A private chat with one or some").is_some(), "only the field is left");
    user.presses(Key::Escape, NONE);
    user.does(vec![]);
    assert!(user.finds(Role::Button, "A private chat with one or some").is_none());

    user.presses(Key::O, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    let nodes = &user.app.accessibility().expect("a tree").nodes;
    let list = nodes.iter().find(|(_, n)| n.role() == Role::ComboBox).and_then(|(_, n)| n.bounds()).expect("a list");
    user.presses_at(pos2(((list.x0 + list.x1) / 2.0) as f32, ((list.y0 + list.y1) / 2.0) as f32));
    user.presses(Key::Escape, NONE);
    user.does(vec![]);
    assert!(user.finds(Role::CheckBox, "Hold noise down").is_some(), "the list has closed, the panel has not");
}

#[test]
fn keys_in_a_full_tile_open_nothing_unseen() {
    let mut user = User::new(view(1));
    let tile = user.button("Ada Lovelace (you)");
    user.does([click(tile), click(tile)].concat());
    user.does(vec![]);
    assert!(user.finds(Role::Button, "Leave").is_none(), "one fills the window");
    let ctrl = Modifiers { ctrl: true, command: true, ..NONE };
    assert_eq!(user.presses(Key::Q, ctrl), []);
    user.does(vec![]);
    assert!(user.says("End it"), "the question is seen");
    assert_eq!(user.presses(Key::Space, NONE), [], "Space ends nothing");
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(!user.says("End it"), "it stays");
    user.does([click(tile), click(tile)].concat());
    user.does(vec![]);
    user.presses(Key::P, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(user.finds(Role::Button, "Leave").is_some() && user.says("People (1)"));
}

#[test]
fn all_keys_are_seen_or_scrolled_to() {
    let last = |user: &User| user.finds(Role::Label, "Ctrl+Q").expect("the last key").y;
    let mut user = User::new(view(3));
    user.does(vec![Event::Text("?".into())]);
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(last(&user) < 660.0, "{}", last(&user));
    user.app.resize((800, 400));
    (0..3).for_each(|_| drop(user.does(vec![])));
    let before = last(&user);
    for _ in 0..8 {
        user.presses(Key::ArrowDown, NONE);
    }
    (0..40).for_each(|_| drop(user.does(vec![])));
    assert!(before > 340.0 && last(&user) < 340.0, "{before} {}", last(&user));
}

#[test]
fn an_arrow_leads_to_the_first_picture_and_enter_pins_it() {
    let mut user = User::new(view(4));
    user.presses(Key::ArrowRight, NONE);
    user.does(vec![]);
    user.presses(Key::Enter, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    let widths: Vec<usize> = user.view.people.iter().map(|p| p.picture.wanted().0).collect();
    assert!(widths[0] > 2 * widths[1], "{widths:?}");
}

#[test]
fn what_the_tab_key_leads_to_is_in_sight() {
    let mut user = User::new(view(3));
    user.app.resize((360, 480));
    user.presses(Key::O, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    let mut seen = 0;
    for step in 0..40 {
        user.presses(Key::Tab, NONE);
        // A scroll takes some frames.
        (0..30).for_each(|_| drop(user.does(vec![])));
        let update = user.app.accessibility().expect("a tree");
        let node = update.nodes.iter().find(|(id, _)| *id == update.focus).map(|(_, n)| n);
        let Some((node, bounds)) = node.and_then(|n| Some((n, n.bounds()?))) else { continue };
        if bounds.height() > 400.0 {
            continue;
        }
        seen += 1;
        assert!(bounds.y0 >= 0.0 && bounds.y1 <= 480.0, "{step}: {:?} at {bounds:?}", node.label());
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_private_chat_that_was_closed_comes_back_with_what_is_new_alone() {
    let whisper =
        |id: &str| Told::Message(Message { audience: Some(vec!["Ada Lovelace".into()]), ..message(id, "Bob", id) });
    let everybody = |id: &str| Told::Message(message(id, "Chandra", id));
    let mut told = vec![whisper("first")];
    let mut user = User::new(View { talk: talk(told.clone()), me: "Ada Lovelace".into(), ..view(3) });
    user.presses(Key::C, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    user.clicks("Bob (1)");
    user.does(vec![]);
    user.clicks("Close this private chat");
    user.does(vec![]);
    told.push(everybody("news"));
    user.view.talk = talk(told.clone());
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(!user.says("Bob (") && user.says("Chandra: news"), "it stays closed");
    told.push(whisper("second"));
    user.view.talk = talk(told.clone());
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(user.finds(Role::Button, "Bob (1)").is_some(), "with one line, not two");
}

#[test]
fn an_own_file_for_one_stands_in_the_chat_with_them() {
    let like = files().remove(2).facts;
    let offer = FileOffer { own: true, private: true, to: vec!["Bob".into()], from: "Ada Lovelace".into(), ..like };
    let mut user = User::new(View { talk: talk(vec![Told::Offer(offer)]), ..view(3) });
    user.presses(Key::C, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    let here = |user: &User| user.says("A file that was offered long ago");
    assert!(!here(&user), "not before everybody");
    // Their tab; their tile stands further left.
    let nodes = &user.app.accessibility().expect("a tree").nodes;
    let named = nodes.iter().filter(|(_, n)| n.label() == Some("Bob")).filter_map(|(_, n)| n.bounds());
    let tab = named.max_by(|a, b| a.x0.total_cmp(&b.x0)).expect("a tab");
    user.presses_at(pos2(((tab.x0 + tab.x1) / 2.0) as f32, ((tab.y0 + tab.y1) / 2.0) as f32));
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(here(&user));
}

/// Ctrl and this key.
const CTRL: Modifiers = Modifiers { ctrl: true, command: true, ..NONE };

#[test]
fn the_keys_work_while_people_for_a_private_chat_are_chosen() {
    let told = vec![Told::Message(message("1", "Bob", "hi")), Told::Message(message("2", "Bob", "there"))];
    let mut user = User::new(View { talk: talk(told), ..view(3) });
    user.presses(Key::C, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    user.presses(Key::ArrowUp, NONE);
    user.does(vec![]);
    assert_eq!(user.presses(Key::M, NONE), [], "a line has the keys");
    user.clicks("A private chat with one or some");
    (0..2).for_each(|_| drop(user.does(vec![])));
    // Out of the field in which one looks for people, to them.
    user.presses(Key::Tab, NONE);
    user.does(vec![]);
    assert_eq!(user.presses(Key::M, NONE), [Command::Mute(true)]);
    assert_eq!(user.presses(Key::V, NONE), [Command::Camera(false)]);
}

#[test]
fn whoever_has_pinned_somebody_talks_with_space_as_before() {
    let mut user = User::new(view(4));
    user.view.muted = true;
    user.presses(Key::ArrowRight, NONE);
    user.does(vec![]);
    user.presses(Key::Enter, NONE);
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert_eq!(user.does(vec![space(true, NONE)]).commands, [Command::Mute(false)]);
    user.view.muted = false;
    assert_eq!(user.does(vec![space(false, NONE)]).commands, [Command::Mute(true)]);
    (0..2).for_each(|_| drop(user.does(vec![])));
    let widths: Vec<usize> = user.view.people.iter().map(|p| p.picture.wanted().0).collect();
    assert!(widths[0] > 2 * widths[1], "still pinned: {widths:?}");
}

#[test]
fn nobody_is_asked_whether_to_end_what_goes_on_because_somebody_came() {
    let mut user = User::new(view(1));
    assert_eq!(user.presses(Key::Q, CTRL), []);
    user.does(vec![]);
    assert!(user.says("You are the last one here."));
    let alone = std::mem::replace(&mut user.view, view(2));
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(!user.says("You are the last one here."), "it is no longer true");
    user.view = alone;
    (0..2).for_each(|_| drop(user.does(vec![])));
    assert!(!user.says("You are the last one here."), "nobody asked again");
}

#[test]
fn the_size_of_text_chosen_with_keys_is_a_setting_and_kept() {
    let mut user = User::new(view(2));
    let key = |key| Event::Key { key, physical_key: None, pressed: true, repeat: false, modifiers: CTRL };
    for (pressed, kept, scale) in [
        (Key::Equals, "1.25", 1.25),
        (Key::Plus, "1.50", 1.5),
        (Key::Minus, "1.25", 1.25),
        (Key::Num0, "0.0", 1.0),
        (Key::Minus, "0.75", 0.75),
    ] {
        let settings = user.does(vec![key(pressed)]).settings;
        assert_eq!(settings, [("scale", kept.to_owned())], "{pressed:?}");
        user.does(vec![]);
        assert!((user.app.pixels_per_point() - scale).abs() < 1e-3);
    }
    assert_eq!(user.does(vec![key(Key::Minus)]).settings, [], "there is nothing smaller");
}

#[test]
fn why_a_file_waits_is_told_anew_when_that_changes() {
    use roundtable::conference::view::FileState;
    let mut waits = view(2);
    waits.files = files();
    waits.files[0].state = FileState::Waiting("Bob is away".into());
    let mut user = User::new(waits);
    user.presses(Key::T, NONE);
    (0..3).for_each(|_| drop(user.does(vec![])));
    assert!(user.says("Bob is away"));
    user.view.files[0].state = FileState::Waiting("the disk is full".into());
    user.does(vec![]);
    assert!(user.says("the disk is full"));
}

#[test]
fn the_last_one_is_asked_when_the_window_is_closed_by_its_frame() {
    let mut user = User::new(view(1));
    let alone = user.view.clone();
    assert!(user.app.closes(&alone), "once");
    (0..3).for_each(|_| drop(user.does(vec![])));
    assert!(user.says("You are the last one here."));
    assert!(!user.app.closes(&alone), "to close it again is the answer");
    assert_eq!(user.clicks("Stay"), []);
    user.does(vec![]);
    assert!(!user.says("You are the last one here.") && user.app.closes(&alone), "and another time once more");
    let mut others = User::new(view(2));
    let both = others.view.clone();
    assert!(!others.app.closes(&both), "where others stay nobody is asked");
}
