//! Chat, people and settings, driven by mouse and keys as people do.

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, PointerButton, pos2};
use roundtable::conference::taking::Improvement;
use roundtable::conference::view::{Command, Decision, DevicesView, Hearing, Knock, Rank, View};
use roundtable::conference::{Event as Told, Message};
use roundtable::ui::app::App;
use roundtable::ui::devices::{Choice, Devices, Lists};

use roundtable::time::Timestamp;

use crate::acts::User;
use crate::scene::{NAMES, conversation, message, talk, view};

const NONE: Modifiers = Modifiers::NONE;
const SHIFT: Modifiers = Modifiers::SHIFT;

fn types(user: &mut User, text: &str) {
    user.does(vec![Event::Text(text.into())]);
}

fn chatting(view: View) -> User {
    let mut user = User::new(view);
    user.presses(Key::C, NONE);
    user.does(vec![]);
    user.does(vec![]);
    user
}

fn names(app: &App, role: Role) -> Vec<String> {
    let nodes = app.accessibility().map(|update| &update.nodes).into_iter().flatten();
    let name = |node: &egui::accesskit::Node| node.label().or(node.value()).map(str::to_owned);
    nodes.filter(|(_, node)| node.role() == role).filter_map(|(_, node)| name(node)).collect()
}

fn shows(user: &User, text: &str) -> bool {
    names(&user.app, Role::Label).iter().any(|label| label.contains(text))
}

#[test]
fn what_is_typed_is_said_and_shift_enter_begins_a_line() {
    let mut user = chatting(view(3));
    types(&mut user, "hi :tea: Привет");
    user.presses(Key::Enter, SHIFT);
    types(&mut user, "second");
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Say("hi 🍵 Привет\nsecond".into())]);
    assert_eq!(user.presses(Key::Enter, NONE), [], "nothing is not said");
    // What is a key elsewhere is a letter here.
    assert_eq!(user.presses(Key::M, NONE), []);
    types(&mut user, "again");
    assert_eq!(user.clicks("Send (Enter; Shift+Enter begins a new line)"), [Command::Say("again".into())]);
}

#[test]
fn a_private_chat_is_a_tab_of_its_own_and_stays_private() {
    let mut user = chatting(View { talk: conversation(), ..view(3) });
    assert!(shows(&user, "Tea at four") && !shows(&user, "Just between us"));
    user.clicks("Bob (1)");
    user.does(vec![]);
    assert!(shows(&user, "Just between us") && !shows(&user, "Tea at four"));
    assert!(names(&user.app, Role::Button).contains(&"Bob".to_owned()), "it is read now");
    types(&mut user, "psst");
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Whisper(vec!["Bob".into()], "psst".into())]);
}

#[test]
fn a_group_chat_is_begun_with_chosen_people() {
    let mut user = chatting(view(4));
    user.clicks("A private chat with one or some");
    let check = |user: &mut User, name: &str| {
        let at = user.finds(Role::CheckBox, name).unwrap_or_else(|| panic!("no {name}"));
        let press =
            |pressed| Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: NONE };
        user.does(vec![Event::PointerMoved(at)]);
        user.does(vec![press(true), press(false)]);
        user.does(vec![]);
    };
    check(&mut user, "Dana Scott");
    check(&mut user, "Bob");
    user.clicks("Begin (2)");
    user.does(vec![]);
    types(&mut user, "we three");
    let with = vec!["Bob".into(), "Dana Scott".into()];
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Whisper(with, "we three".into())]);
}

#[test]
fn lines_are_picked_with_arrows_answered_and_reacted_to() {
    let lines = ["one", "two", "three"].iter().enumerate();
    let told = lines.map(|(i, text)| Told::Message(message(&format!("{i}"), "Bob", text))).collect();
    let mut user = chatting(View { talk: talk(told), ..view(3) });
    user.presses(Key::ArrowUp, NONE);
    user.does(vec![]);
    user.presses(Key::ArrowUp, NONE);
    user.does(vec![]);
    user.presses(Key::R, NONE);
    user.does(vec![]);
    assert!(shows(&user, "Reply to Bob: two"), "{:?}", names(&user.app, Role::Label));
    types(&mut user, "indeed");
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Reply("1".into(), "indeed".into())]);
    user.does(vec![]);
    user.presses(Key::ArrowUp, NONE);
    user.does(vec![]);
    user.presses(Key::E, NONE);
    user.does(vec![]);
    user.does(vec![]);
    types(&mut user, "thumbs up");
    user.does(vec![]);
    assert_eq!(user.presses(Key::Enter, NONE), [Command::React("2".into(), "👍".into())]);
}

#[test]
fn unread_lines_are_counted_until_they_are_seen() {
    let mut user = User::new(view(3));
    user.view.talk = talk(vec![
        Told::Message(message("1", "Bob", "are you there?")),
        Told::Message(message("2", NAMES[0], "yes")),
        Told::Message(Message { audience: Some(vec![NAMES[0].into()]), ..message("3", "Chandra", "psst") }),
    ]);
    user.does(vec![]);
    let pixels = user.app.pixels().to_vec();
    user.presses(Key::C, NONE);
    user.does(vec![]);
    user.does(vec![]);
    user.presses(Key::Escape, NONE);
    user.presses(Key::Escape, NONE);
    user.does(vec![]);
    assert_ne!(user.app.pixels(), pixels, "one of two is read");
    user.presses(Key::C, NONE);
    user.clicks("Chandra (1)");
    user.does(vec![]);
    assert!(names(&user.app, Role::Button).contains(&"Chandra".to_owned()));
}

#[test]
fn reading_back_does_not_jump_when_lines_come_above_or_below() {
    let line = |n: usize| Told::Message(message(&format!("{n:04}"), "Bob", &format!("line {n} of a long talk")));
    let all = |skip: &[usize]| (0..200).filter(|n| !skip.contains(n)).map(line).collect::<Vec<_>>();
    let mut user = chatting(View { talk: talk(all(&[20])), ..view(3) });
    assert!(shows(&user, "line 199") && !shows(&user, "line 100 "));
    let over = pos2(1100.0, 300.0);
    for _ in 0..12 {
        let delta = egui::vec2(0.0, 200.0);
        let (unit, phase) = (egui::MouseWheelUnit::Point, egui::TouchPhase::Move);
        user.does(vec![Event::PointerMoved(over), Event::MouseWheel { unit, delta, phase, modifiers: NONE }]);
        for _ in 0..12 {
            user.does(vec![]);
        }
    }
    assert!(!shows(&user, "line 199"));
    let first = || |user: &User| names(&user.app, Role::Label).into_iter().find(|label| label.starts_with("line "));
    let place = |user: &User, label: &str| user.finds(Role::Label, label).map(|at| at.y);
    let label = first()(&user).expect("a line");
    let label = names(&user.app, Role::Label).into_iter().filter(|l| l.starts_with("line ")).nth(3).unwrap_or(label);
    let before = place(&user, &label);
    // A late one above, and a new one below.
    let mut told = all(&[20]);
    told.extend([line(20), line(200)]);
    user.view.talk = talk(told);
    for _ in 0..4 {
        user.does(vec![]);
    }
    let after = place(&user, &label);
    assert!(before.zip(after).is_some_and(|(b, a)| (b - a).abs() < 1.5), "{label}: {before:?} to {after:?}");
    assert!(names(&user.app, Role::Button).iter().any(|name| name.contains("2 new")));
    user.clicks("⬇ 2 new");
    user.does(vec![]);
    user.does(vec![]);
    assert!(shows(&user, "line 200"));
}

#[test]
fn each_person_has_a_volume_here_and_a_moderator_has_more() {
    let mut owned = view(4);
    (owned.open, owned.rank) = (false, Rank::Owner);
    owned.knocks = vec![Knock { id: "ff".into(), name: "Zed".into() }];
    let mut user = User::new(owned);
    user.presses(Key::P, NONE);
    user.does(vec![]);
    assert_eq!(user.clicks("Admit"), [Command::Door(Decision::Admit("ff".into()))]);
    assert_eq!(user.clicks("Refuse"), [Command::Door(Decision::Refuse("ff".into()))]);
    assert_eq!(user.clicks("Lock"), [Command::Door(Decision::Lock(true))]);
    // The name stands on the tile as well: the row is the one to the right.
    let row = |user: &User, name: &str| {
        let nodes = &user.app.accessibility().expect("a tree").nodes;
        let mut found = nodes.iter().filter(|(_, n)| n.label() == Some(name)).filter_map(|(_, n)| n.bounds());
        let place = found.rfind(|b| b.x0 > 930.0).expect("a row");
        pos2(((place.x0 + place.x1) / 2.0) as f32, ((place.y0 + place.y1) / 2.0) as f32)
    };
    let at = row(&user, "Bob");
    let press = |pressed| Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: NONE };
    user.does(vec![Event::PointerMoved(at)]);
    user.does(vec![press(true), press(false)]);
    user.does(vec![]);
    user.does(vec![]);
    let silent = Hearing { silenced: true, ..Hearing::default() };
    assert_eq!(user.clicks("Silence for me"), [Command::Hear(1, silent)]);
    let id = user.view.people[1].id.clone();
    assert_eq!(user.clicks("Make moderator"), [Command::Door(Decision::Moderator(id.clone(), true))]);
    assert_eq!(user.clicks("Let speak over all"), [Command::Door(Decision::Favour(id.clone(), true))]);
    user.view.favoured = vec![id.clone()];
    user.does(vec![]);
    assert_eq!(user.clicks("No longer over all"), [Command::Door(Decision::Favour(id.clone(), false))]);
    assert_eq!(user.clicks("Remove"), [], "asked once more");
    assert_eq!(user.clicks("Yes"), [Command::Door(Decision::Kick(id.clone()))]);
    user.clicks("Hand over");
    assert_eq!(user.clicks("Cancel"), []);
    user.clicks("Hand over");
    assert_eq!(user.clicks("Yes"), [Command::Door(Decision::HandOver(id))]);
    user.clicks("Private chat");
    user.does(vec![]);
    types(&mut user, "hello");
    assert_eq!(user.presses(Key::Enter, NONE), [Command::Whisper(vec!["Bob".into()], "hello".into())]);
}

#[test]
fn a_member_sees_no_controls_of_moderators() {
    let mut member = view(3);
    member.open = false;
    let mut user = User::new(member);
    user.presses(Key::P, NONE);
    user.does(vec![]);
    assert!(user.finds(Role::Button, "Lock").is_none());
    assert!(shows(&user, "People (3)"));
}

#[test]
fn settings_hold_at_once_and_are_kept() {
    let mut with = view(2);
    with.devices = DevicesView { camera: "auto".into(), microphone: "auto".into(), speaker: "auto".into() };
    let mut user = User::new(with);
    let choice = |value: &str, label: &str| Choice { value: value.into(), label: label.into() };
    let cameras = vec![choice("0", "Desk camera"), choice("1", "Door camera")];
    user.app.set_devices(Lists::fixed(Devices { cameras, ..Devices::default() }));
    user.presses(Key::O, NONE);
    user.does(vec![]);
    let dark = user.app.pixels().to_vec();
    let clicks = |user: &mut User, role: Role, name: &str| {
        let at = user.finds(role, name).unwrap_or_else(|| panic!("no {name}: {:?}", names(&user.app, role)));
        let press =
            |pressed| Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: NONE };
        user.does(vec![Event::PointerMoved(at)]);
        let output = user.does(vec![press(true), press(false)]);
        user.does(vec![]);
        output
    };
    let output = clicks(&mut user, Role::CheckBox, "Hold noise down");
    assert_eq!(output.commands, [Command::Improve(Improvement::Noise, false)]);
    assert_eq!(output.settings, [("audio_noise", "false".to_owned())]);
    let output = clicks(&mut user, Role::RadioButton, "Light");
    assert_eq!(output.settings, [("theme", "light".to_owned())]);
    let differ = user.app.pixels().iter().zip(&dark).filter(|(a, b)| a != b).count();
    assert!(differ * 5 > dark.len(), "{differ} pixels differ");
    let output = clicks(&mut user, Role::RadioButton, "Chinese");
    assert_eq!(output.settings, [("language", "zh".to_owned())]);
    assert!(user.finds(Role::Button, "离开").is_some());
    let output = clicks(&mut user, Role::RadioButton, "English");
    assert_eq!(output.settings, [("language", "en".to_owned())]);
    // The uppermost box.
    let nodes = &user.app.accessibility().expect("a tree").nodes;
    let boxes = nodes.iter().filter(|(_, n)| n.role() == Role::ComboBox).filter_map(|(_, n)| n.bounds());
    let first = boxes.min_by(|a, b| a.y0.total_cmp(&b.y0)).expect("a box");
    let at = pos2(((first.x0 + first.x1) / 2.0) as f32, ((first.y0 + first.y1) / 2.0) as f32);
    let press = |pressed| Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: NONE };
    user.does(vec![Event::PointerMoved(at)]);
    user.does(vec![press(true), press(false)]);
    user.does(vec![]);
    user.does(vec![]);
    let output = clicks(&mut user, Role::Button, "Door camera");
    assert_eq!(output.commands, [Command::UseCamera("1".into())]);
    assert_eq!(output.settings, [("camera", "1".to_owned())]);
    user.app.kept(Timestamp::from_millis(2_000), Ok("/home/ada/roundtable.toml".into()));
    user.does(vec![]);
    assert!(shows(&user, "Kept in /home/ada/roundtable.toml"));
}

#[test]
fn space_held_is_push_to_talk_and_the_first_press_of_a_slip_is_not() {
    let mut muted = view(3);
    muted.muted = true;
    let mut user = User::new(muted);
    let space = |pressed| Event::Key { key: Key::Space, physical_key: None, pressed, repeat: false, modifiers: NONE };
    assert_eq!(user.does(vec![space(true)]).commands, [Command::Mute(false)]);
    user.view.muted = false;
    assert_eq!(user.does(vec![space(true)]).commands, [], "it repeats");
    assert_eq!(user.does(vec![space(false)]).commands, [Command::Mute(true)]);
    user.view.muted = true;
    user.does(vec![space(true)]);
    user.view.muted = false;
    assert_eq!(user.does(vec![Event::WindowFocused(false)]).commands, [Command::Mute(true)], "the window lost the key");
    assert_eq!(user.presses(Key::Space, NONE), [], "with the microphone on it is no key");
}

#[test]
fn a_press_pins_a_person_and_two_fill_the_window() {
    let mut user = User::new(view(5));
    let wanted = |user: &User| user.view.people.iter().map(|p| p.picture.wanted().0).collect::<Vec<_>>();
    let alike = wanted(&user);
    assert!(alike.iter().all(|w| *w == alike[0]));
    user.clicks("Chandra");
    user.does(vec![]);
    let pinned = wanted(&user);
    assert!(pinned[2] > 3 * pinned[1] && pinned[1] > 0, "{pinned:?}");
    user.presses(Key::G, NONE);
    user.does(vec![]);
    assert_eq!(wanted(&user), alike);
    let at = user.button("Chandra");
    let press = |pressed| Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: NONE };
    user.does(vec![Event::PointerMoved(at)]);
    user.does(vec![press(true), press(false), press(true), press(false)]);
    user.does(vec![]);
    assert_eq!(wanted(&user), [0, 0, 1280, 0, 0], "nobody else is received");
    user.presses(Key::Escape, NONE);
    user.does(vec![]);
    assert_eq!(wanted(&user), alike);
}

#[test]
fn whoever_talks_long_stands_large_in_the_speaker_view() {
    let mut user = User::new(view(5));
    user.presses(Key::G, NONE);
    user.does(vec![]);
    let large = |user: &User| {
        let widths: Vec<usize> = user.view.people.iter().map(|p| p.picture.wanted().0).collect();
        (0..widths.len()).max_by_key(|i| widths[*i]).expect("somebody")
    };
    assert_eq!(large(&user), 1);
    user.view.people[3].level_dbfs = -20.0;
    for _ in 0..200 {
        user.does(vec![]);
    }
    assert_eq!(large(&user), 3);
}

#[test]
fn only_the_last_one_is_asked_before_the_conference_ends() {
    let mut user = User::new(view(1));
    assert_eq!(user.clicks("Leave"), []);
    user.does(vec![]);
    assert_eq!(user.clicks("Stay"), []);
    user.clicks("Leave");
    user.does(vec![]);
    assert_eq!(user.clicks("End it"), [Command::Leave]);
    let mut user = User::new(view(2));
    assert_eq!(user.clicks("Leave"), [Command::Leave]);
}

#[test]
fn an_emoji_for_everybody_is_a_line_that_stands_on_the_tile() {
    let mut user = User::new(view(3));
    user.presses(Key::E, NONE);
    user.does(vec![]);
    assert_eq!(user.clicks("👏"), [Command::Say("👏".into())]);
    user.does(vec![]);
    let plain = user.app.pixels().to_vec();
    user.view.talk = talk(vec![Told::Message(message("1", "Bob", "👏"))]);
    user.does(vec![]);
    assert_ne!(user.app.pixels(), plain);
    user.view.talk = Default::default();
}

#[test]
fn tiles_move_to_their_places_and_pictures_are_wanted_as_they_will_be() {
    use roundtable::ui::app::Options;
    let mut user = User::with(view(4), Options::default());
    let wanted = |user: &User| user.view.people.iter().map(|p| p.picture.wanted().0).collect::<Vec<_>>();
    let tile = |user: &User| {
        let place = |name| user.finds(Role::Button, name);
        place("Bob").or_else(|| place("Bob, pinned")).expect("his tile")
    };
    // At rest nothing is asked for but what is.
    (0..20).for_each(|_| drop(user.does(vec![])));
    let (start, alike) = (tile(&user), wanted(&user));
    user.clicks("Bob");
    let pinned = wanted(&user);
    assert!(pinned[1] > alike[1] && pinned[0] < alike[0], "the final size at once: {pinned:?}");
    let mut places = vec![tile(&user)];
    for _ in 0..12 {
        let output = user.does(vec![]);
        assert_eq!(wanted(&user), pinned, "and no other on the way");
        if output.repaint_after.is_none_or(|after| after.as_millis() > 20) {
            break;
        }
        places.push(tile(&user));
    }
    assert!(places.len() > 4 && places.len() < 12, "a fifth of a second: {places:?}");
    assert!(places.windows(2).all(|two| two[0] != two[1]), "each step is one: {places:?}");
    let end = tile(&user);
    assert!(start.distance(places[0]) < start.distance(end), "it does not jump: {start} {places:?} {end}");
    assert!(!user.does(vec![]).changed, "at rest again");
    // Who wants no motion has none.
    let mut still = User::new(view(4));
    still.clicks("Bob");
    assert_eq!(tile(&still), end);
    // A window that is resized takes its tiles along.
    user.app.resize((900, 600));
    user.does(vec![]);
    let resized = tile(&user);
    user.does(vec![]);
    assert_eq!(tile(&user), resized);
}
