//! A call to all: one speaks over all others as long as a key or the control is held, or from one press to the next.

use egui::{Event, Key, Modifiers, PointerButton, Pos2};
use roundtable::conference::view::{Command, View};

use crate::acts::User;
use crate::scene::view;

const CONTROL: &str = "Speak over all others";
const BEGINS: [Command; 1] = [Command::Priority(true)];
const ENDS: [Command; 1] = [Command::Priority(false)];

fn user() -> User {
    User::new(View { may_speak_over: true, ..view(3) })
}

fn key(pressed: bool, repeat: bool) -> Vec<Event> {
    vec![Event::Key { key: Key::A, physical_key: None, pressed, repeat, modifiers: Modifiers::NONE }]
}

fn mouse(pos: Pos2, pressed: bool) -> Vec<Event> {
    vec![Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE }]
}

/// What the conference makes of it is seen.
fn speaks(user: &mut User, on: bool) {
    user.view.attention.priority = on;
    assert_eq!(user.does(vec![]).commands, []);
}

#[test]
fn a_key_calls_as_long_as_it_is_held() {
    let mut user = user();
    assert_eq!(user.does(key(true, false)).commands, BEGINS);
    speaks(&mut user, true);
    assert_eq!(user.does(key(true, true)).commands, [], "it repeats");
    assert_eq!(user.does(key(false, false)).commands, ENDS);
    speaks(&mut user, false);
    // Let go of before anything came back.
    assert_eq!([user.does(key(true, false)).commands, user.does(key(false, false)).commands], [BEGINS, ENDS]);
    user.does(key(true, false));
    speaks(&mut user, true);
    assert_eq!(user.does(vec![Event::WindowFocused(false)]).commands, ENDS, "the window lost the key");
    assert_eq!(user.does(key(false, false)).commands, []);
}

#[test]
fn whoever_types_calls_nobody_and_a_call_ends_where_typing_begins() {
    let mut user = user();
    user.does(key(true, false));
    speaks(&mut user, true);
    user.presses(Key::C, Modifiers::NONE);
    let told: Vec<_> = (0..3).flat_map(|_| user.does(vec![]).commands).collect();
    assert_eq!(told, ENDS, "the field has the keyboard now");
    speaks(&mut user, false);
    assert_eq!([user.does(key(true, false)).commands, user.does(key(false, false)).commands], [[], []]);
}

#[test]
fn the_control_calls_as_long_as_it_is_held() {
    let mut user = user();
    let at = user.button(CONTROL);
    user.does(vec![Event::PointerMoved(at)]);
    assert_eq!(user.does(mouse(at, true)).commands, BEGINS);
    speaks(&mut user, true);
    (0..30).for_each(|_| assert_eq!(user.does(vec![]).commands, [], "as long as it is held"));
    // Wherever it is let go of.
    let beside = at - egui::vec2(0.0, 200.0);
    assert_eq!(user.does(vec![Event::PointerMoved(beside)]).commands, []);
    assert_eq!(user.does(mouse(beside, false)).commands, ENDS);
    speaks(&mut user, false);
}

#[test]
fn pressed_for_a_moment_the_control_calls_until_it_is_pressed_again() {
    let mut user = user();
    let at = user.button(CONTROL);
    user.does(vec![Event::PointerMoved(at)]);
    assert_eq!(user.does(mouse(at, true)).commands, BEGINS);
    speaks(&mut user, true);
    assert_eq!(user.does(mouse(at, false)).commands, [], "it goes on");
    (0..50).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
    assert_eq!(user.does(key(true, false)).commands, [], "the key changes nothing of it");
    assert_eq!(user.does(key(false, false)).commands, []);
    assert_eq!(user.does(mouse(at, true)).commands, []);
    assert_eq!(user.does(mouse(at, false)).commands, ENDS);
    speaks(&mut user, false);
    // The same by one look at the mouse, and by keys alone.
    assert_eq!(user.clicks(CONTROL), BEGINS);
    let mut by_keys = self::user();
    let tabs = (0..4).flat_map(|_| by_keys.presses(Key::Tab, Modifiers::NONE));
    assert_eq!(tabs.count(), 0);
    assert_eq!(by_keys.presses(Key::Space, Modifiers::NONE), BEGINS);
}

#[test]
fn space_held_before_or_during_a_call_does_not_mute_it() {
    let space = |pressed| {
        vec![Event::Key { key: Key::Space, physical_key: None, pressed, repeat: false, modifiers: Modifiers::NONE }]
    };
    let muted = || User::new(View { may_speak_over: true, muted: true, ..view(3) });
    let mut before = muted();
    assert_eq!(before.does(space(true)).commands, [Command::Mute(false)]);
    before.view.muted = false;
    let begins = before.does(key(true, false)).commands;
    assert_eq!(begins, [Command::Mute(true), Command::Priority(true)], "muted when the call ends");
    speaks(&mut before, true);
    assert_eq!(before.does(space(false)).commands, []);
    assert_eq!(before.does(key(false, false)).commands, ENDS);
    let mut during = muted();
    assert_eq!(during.does(key(true, false)).commands, BEGINS);
    // What the conference made of it is not seen yet.
    assert_eq!(during.does(space(true)).commands, []);
    speaks(&mut during, true);
    assert_eq!([during.does(space(false)).commands, during.does(space(true)).commands], [[], []]);
    assert_eq!(during.does(key(false, false)).commands, ENDS);
    let mut by_mouse = muted();
    let at = by_mouse.button(CONTROL);
    by_mouse.does(vec![Event::PointerMoved(at)]);
    assert_eq!(by_mouse.does(space(true)).commands, [Command::Mute(false)]);
    by_mouse.view.muted = false;
    assert_eq!(by_mouse.does(mouse(at, true)).commands, begins);
    speaks(&mut by_mouse, true);
    assert_eq!(by_mouse.does(space(false)).commands, []);
}

#[test]
fn who_may_not_call_has_neither() {
    for view in [view(3), View { may_speak_over: true, has_microphone: false, ..view(3) }] {
        let mut user = User::new(view);
        assert!(user.finds(egui::accesskit::Role::Button, CONTROL).is_none());
        assert_eq!(user.does(key(true, false)).commands, []);
        assert_eq!(user.does(key(false, false)).commands, []);
    }
}

#[test]
fn other_buttons_of_the_mouse_call_nobody() {
    for button in [PointerButton::Secondary, PointerButton::Middle] {
        let mut user = user();
        let at = user.button(CONTROL);
        let event = |pressed| vec![Event::PointerButton { pos: at, button, pressed, modifiers: Modifiers::NONE }];
        user.does(vec![Event::PointerMoved(at)]);
        assert_eq!(user.does(event(true)).commands, []);
        (0..30).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
        assert_eq!(user.does(event(false)).commands, []);
    }
}

#[test]
fn a_call_that_ends_with_the_windows_focus_does_not_begin_again() {
    for (waits, holds) in [(0, true), (30, true), (0, false)] {
        let mut user = user();
        let at = user.button(CONTROL);
        user.does(vec![Event::PointerMoved(at)]);
        assert_eq!(user.does(mouse(at, true)).commands, BEGINS);
        speaks(&mut user, true);
        (0..waits).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
        assert_eq!(user.does(vec![Event::WindowFocused(false)]).commands, ENDS);
        speaks(&mut user, false);
        let frames = if holds { 10 } else { 0 };
        (0..frames).for_each(|_| assert_eq!(user.does(vec![]).commands, [], "the mouse is held still"));
        assert_eq!(user.does(mouse(at, false)).commands, [], "it was no click");
        (0..10).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
        assert_eq!(user.does(mouse(at, true)).commands, BEGINS, "another press is another call");
    }
}
