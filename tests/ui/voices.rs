//! Voice messages in the chat: recorded by holding or pressing twice, heard before they are sent, and heard when they come.

use egui::{Event, Key, Modifiers, PointerButton, Pos2};
use roundtable::conference::view::{Command, FileState, FileView, Playing, Recording, View, Voice, VoiceAsk};
use roundtable::conference::{Event as Told, FileOffer};

use crate::acts::User;
use crate::scene::{NAMES, message, talk, view};

const BEGIN: &str = "Record a voice message: hold, or press twice";
const END: &str = "End the recording";
const RECORD: VoiceAsk = VoiceAsk::Record { ms_max: None, to: None };

/// Loudness as of somebody who says a few words.
pub fn voice(ms: u32) -> Voice {
    let loudness = |n: u32| (90 + (n * n * 31) % 140) as u8 * u8::from(n % 13 > 2);
    Voice { ms, waveform: (0..64).map(loudness).collect() }
}

fn file(offer: &FileOffer, state: FileState, bytes: u64) -> FileView {
    FileView { facts: offer.clone(), state, bytes, bits_per_s: 0.0, recipients: Vec::new(), thumbnail: [].into() }
}

/// A conversation with voice messages in each state there is.
pub fn spoken() -> View {
    let offer = |number: u64, from: &str, private| FileOffer {
        number,
        offer: format!("{number:032x}"),
        from: from.into(),
        member: message("1", from, "").member,
        own: from == NAMES[0],
        name: "voice.ogg".into(),
        size: 100_000,
        kind: "audio/ogg".into(),
        private,
        to: Vec::new(),
        voice: Some(voice(5_000 * number as u32)),
    };
    let offers = [
        (offer(1, "Bob", false), FileState::Here("/1".into())),
        (offer(2, NAMES[0], false), FileState::Sending),
        (offer(3, "Chandra", false), FileState::Receiving),
        (offer(4, "Bob", false), FileState::Failed("whoever offered it took it back".into())),
        (offer(5, "Bob", true), FileState::Here("/5".into())),
    ];
    let mut told = vec![Told::Message(message("1", "Bob", "Listen to this"))];
    told.extend(offers.iter().map(|(offer, _)| Told::Offer(offer.clone())));
    let files = offers.into_iter().map(|(offer, state)| file(&offer, state, 34_000)).collect();
    View { talk: talk(told), files, ..view(4) }
}

fn chatting(view: View) -> User {
    let mut user = User::new(view);
    user.presses(Key::C, Modifiers::NONE);
    user.does(vec![]);
    user.does(vec![]);
    user
}

fn mouse(user: &mut User, pos: Pos2, pressed: bool) -> Vec<Command> {
    let modifiers = Modifiers::NONE;
    user.does(vec![Event::PointerMoved(pos)]);
    let press = Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers };
    let mut commands = user.does(vec![press]).commands;
    commands.extend(user.does(vec![]).commands);
    commands
}

fn ask(ask: VoiceAsk) -> Vec<Command> {
    vec![Command::Voice(ask)]
}

#[test]
fn held_it_records_until_it_is_let_go() {
    let mut user = chatting(view(3));
    let at = user.button(BEGIN);
    assert_eq!(mouse(&mut user, at, true), ask(RECORD));
    for n in 1..30 {
        user.view.voice.recording = Some(Recording { ms: n * 20, ms_max: 300_000, level_dbfs: -20.0 });
        assert_eq!(user.does(vec![]).commands, [], "as long as it is held");
    }
    assert!((user.button(END) - at).length() < 3.0, "it stays under the finger");
    assert_eq!(mouse(&mut user, at, false), ask(VoiceAsk::End));
}

#[test]
fn pressed_it_begins_and_pressed_again_it_ends_by_mouse_and_keys() {
    let mut user = chatting(view(3));
    assert_eq!(user.clicks(BEGIN), ask(RECORD));
    let recording = Some(Recording { ms: 900, ms_max: 300_000, level_dbfs: -20.0 });
    user.view.voice.recording = recording;
    user.does(vec![]);
    user.does(vec![]);
    assert_eq!(user.clicks("Discard the voice message"), ask(VoiceAsk::Discard));
    let at = user.button(END);
    let mut commands = mouse(&mut user, at, true);
    commands.extend(mouse(&mut user, at, false));
    assert_eq!(commands, ask(VoiceAsk::End));
    // The same with the keyboard alone: from what one writes back to the button beside it.
    user.view.voice.recording = None;
    let mut user = chatting(view(3));
    user.presses(Key::Tab, Modifiers::SHIFT);
    assert_eq!(user.presses(Key::Space, Modifiers::NONE), ask(RECORD));
    user.view.voice.recording = recording;
    user.does(vec![]);
    assert_eq!(user.presses(Key::Space, Modifiers::NONE), ask(VoiceAsk::End));
}

#[test]
fn another_button_records_nothing_and_what_was_cut_off_is_not_ended_again() {
    let mut user = chatting(view(3));
    let at = user.button(BEGIN);
    let event = |pressed| Event::PointerButton {
        pos: at,
        button: egui::PointerButton::Secondary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    user.does(vec![Event::PointerMoved(at)]);
    for pressed in [true, false] {
        assert_eq!(user.does(vec![event(pressed)]).commands, []);
        (0..30).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
    }
    assert_eq!(mouse(&mut user, at, true), ask(RECORD));
    user.view.voice.recording = Some(Recording { ms: 900, ms_max: 300_000, level_dbfs: -20.0 });
    (0..30).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
    // The microphone went away: what there is of it is kept.
    (user.view.voice.recording, user.view.voice.draft) = (None, Some(voice(900)));
    (0..5).for_each(|_| assert_eq!(user.does(vec![]).commands, []));
    assert_eq!(mouse(&mut user, at, false), []);
}

#[test]
fn it_is_heard_before_it_is_sent_to_those_one_talks_with() {
    let mut spoken = spoken();
    spoken.voice.draft = Some(voice(4_200));
    let mut user = chatting(spoken);
    // What was recorded stands below all lines.
    let lowest = |user: &User, name: &str| {
        let nodes = &user.app.accessibility().expect("told").nodes;
        let named = nodes.iter().filter(|(_, node)| node.label() == Some(name)).filter_map(|(_, node)| node.bounds());
        named
            .map(|b| Pos2::new((b.x0 + b.x1) as f32 / 2.0, (b.y0 + b.y1) as f32 / 2.0))
            .max_by(|a, b| a.y.total_cmp(&b.y))
    };
    let at = lowest(&user, "Play").expect("a button");
    let mut commands = mouse(&mut user, at, true);
    commands.extend(mouse(&mut user, at, false));
    assert_eq!(commands, ask(VoiceAsk::Play(String::new())));
    user.view.voice.playing = Some(Playing { offer: None, ms: 2_000, length_ms: 4_200, paused: false });
    user.does(vec![]);
    assert_eq!(user.clicks("Pause"), ask(VoiceAsk::Pause(true)));
    assert_eq!(user.clicks("Send the voice message"), ask(VoiceAsk::Send(vec![])));
    assert_eq!(user.clicks("Discard the voice message"), ask(VoiceAsk::Discard));
    user.clicks("Bob (1)");
    user.does(vec![]);
    assert_eq!(user.clicks("Send the voice message"), ask(VoiceAsk::Send(vec!["Bob".into()])));
}

#[test]
fn what_came_is_played_held_and_saved() {
    let mut all = spoken();
    all.files.truncate(1);
    let offer = all.files[0].offer.clone();
    all.talk = talk(vec![Told::Offer(FileOffer {
        number: 1,
        offer: offer.clone(),
        from: "Bob".into(),
        member: all.files[0].member.clone(),
        own: false,
        name: "voice.ogg".into(),
        size: 1,
        kind: String::new(),
        private: false,
        to: Vec::new(),
        voice: Some(voice(5_000)),
    })]);
    let mut user = chatting(all);
    assert_eq!(user.clicks("Play"), ask(VoiceAsk::Play(offer.clone())));
    let playing = |paused| Some(Playing { offer: Some(offer.clone()), ms: 2_000, length_ms: 5_000, paused });
    user.view.voice.playing = playing(false);
    user.does(vec![]);
    assert_eq!(user.clicks("Pause"), ask(VoiceAsk::Pause(true)));
    user.view.voice.playing = playing(true);
    user.does(vec![]);
    assert_eq!(user.clicks("Play"), ask(VoiceAsk::Pause(false)));
    assert_eq!(user.clicks("Save to where files go"), ask(VoiceAsk::Save(offer, Default::default())));
    // What is not here any more cannot be played.
    user.view.files.clear();
    user.view.voice.playing = None;
    user.does(vec![]);
    assert_eq!(user.clicks("Play"), []);
}
