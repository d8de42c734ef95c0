//! The main screens against checked-in pictures. `UPDATE_SNAPSHOTS=1 cargo test --test ui` writes them anew: look at
//! each before committing it.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Event, Key, Modifiers, RawInput, pos2};
use roundtable::conference::invite::Invite;
use roundtable::conference::lobby::LobbyView;
use roundtable::conference::view::{
    CameraView, DevicesView, Hearing, Knock, NoticeKind, Playing, Rank, Recording, View,
};
use roundtable::pipeline::slot::Waker;
use roundtable::time::Timestamp;
use roundtable::ui::app::{App, Options};
use roundtable::ui::devices::{Devices, Lists};
use roundtable::ui::look::Preferences;
use roundtable::ui::screenshot;
use roundtable::ui::start::Start;
use roundtable::ui::words::Language;
use roundtable::wire::message::ConferenceId;

use crate::acts::User;
use crate::scene::{conversation, file_talk, files, found, notice, publish, view};
use crate::voices::{spoken, voice};

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
    check_pixels(name, app.pixels(), app.size());
}

fn check_pixels(name: &str, pixels: &[u32], size: (usize, usize)) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.png"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        screenshot::write(&path, pixels, size).expect("snapshot written");
    }
    let expected = image::open(&path).expect("snapshot exists").into_rgb8();
    let (width, height) = size;
    assert_eq!(expected.dimensions(), (width as u32, height as u32), "{name}");
    let differs = |(pixel, e): (&u32, &image::Rgb<u8>)| {
        let [_, r, g, b] = pixel.to_be_bytes();
        [r, g, b].iter().zip(e.0).any(|(a, b)| a.abs_diff(b) > TOLERANCE)
    };
    let different = pixels.iter().zip(expected.pixels()).filter(|p| differs(*p)).count();
    if different * 1000 > width * height * PIXELS_PERMILLE {
        let now = std::env::temp_dir().join(format!("{name}.now.png"));
        screenshot::write(&now, pixels, size).expect("picture of now");
        panic!("{name}: {different} pixels differ from {}; see {}", path.display(), now.display());
    }
}

/// What the doctor found about somebody, on its card.
#[test]
fn the_doctor() {
    use roundtable::protocol::doctor::{Finding, Report, Severity, Where};
    let mut user = User::new(view(4));
    let pos = user.finds(egui::accesskit::Role::Button, "Bob").expect("his tile");
    let button = egui::PointerButton::Secondary;
    let press = |pressed| Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE };
    user.does(vec![Event::PointerMoved(pos)]);
    user.does(vec![press(true), press(false)]);
    user.does(vec![]);
    user.clicks("Why can I not see Bob?");
    let finding = |place, text: &str, mend: Option<&str>| Finding {
        code: "x",
        severity: Severity::Fault,
        place,
        text: text.into(),
        mend: mend.map(str::to_owned),
    };
    let here = "this machine's firewall drops what comes by multicast: pictures and voices do not reach you";
    let findings = vec![
        finding(Where::Here, here, Some("sudo nft insert rule inet filter input ip daddr 224.0.0.0/4 accept")),
        finding(Where::Peer("Bob".into()), "Bob's machine loses 12 % of what is sent to it", None),
    ];
    user.view.examined = Some(Arc::new(Report { findings, ..Report::default() }));
    (0..6).for_each(|_| drop(user.does(vec![])));
    check("doctor", &user.app);
}

#[test]
fn people_fill_the_window() {
    for (count, size) in [(2, (1280, 720)), (4, (1280, 720)), (9, (1280, 720)), (25, (1024, 600))] {
        check(&format!("people-{count}"), &composed(size, 1.0, &view(count), vec![]));
    }
}

#[test]
fn alone_one_is_told_how_others_come() {
    let invite = Invite { title: "Standup".into(), id: ConferenceId([7; 16]), at: None, key: None };
    let alone = View { invite: Some(Arc::new(invite)), ..view(1) };
    check("alone", &composed((1280, 720), 1.0, &alone, vec![]));
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

/// After these keys, one in each frame, in the looks given.
fn after(keys: &[Key], size: (usize, usize), scale: f32, preferences: Preferences, view: &View) -> App {
    let mut app = App::new(size, Options { scale, preferences, ..Default::default() });
    app.set_devices(Lists::fixed(Devices::default()));
    for i in 0..12 {
        let events = if i > 0 { keys.get(i - 1).map(|k| key(*k)).into_iter().collect() } else { vec![] };
        let input = RawInput { events, focused: true, ..Default::default() };
        app.frame(view, input, Timestamp::from_millis(1000 + 200 * i as u64));
    }
    app
}

const DARK: Preferences =
    Preferences { light: false, language: Language::English, crop: false, still: false, text_percent: None };
const LIGHT: Preferences = Preferences { light: true, ..DARK };

/// Four people of whom one owns the conference, and somebody at the door.
pub fn owned() -> View {
    let mut view = view(4);
    view.talk = conversation();
    (view.open, view.locked, view.rank) = (false, true, Rank::Owner);
    view.may_speak_over = true;
    view.people[0].rank = Rank::Owner;
    view.people[1].rank = Rank::Moderator;
    view.people[1].muted = true;
    view.people[2].hearing = Hearing { volume: 100, silenced: true };
    view.people[3].attention.hand = true;
    view.people[3].name = "Maximiliane Freifrau von Hohenstein-Wittgenstein zu Berleburg".into();
    view.knocks = vec![Knock { id: "ff".into(), name: "Zed".into() }];
    view.devices = DevicesView { camera: "auto".into(), microphone: "auto".into(), speaker: "auto".into() };
    let key = "cranes-oxygen-vivid-lunar-ticket".parse().ok();
    view.invite = Some(Arc::new(Invite { title: view.title.clone(), id: ConferenceId([7; 16]), at: None, key }));
    view
}

#[test]
fn what_is_said_stands_beside_the_pictures() {
    check("chat", &after(&[Key::C], (1280, 720), 1.0, DARK, &owned()));
    let with_files = || View { files: files(), talk: file_talk(&files()), ..view(4) };
    check("files", &after(&[Key::T], (1280, 720), 1.0, DARK, &with_files()));
    check("files-light", &after(&[Key::T], (800, 500), 1.0, LIGHT, &with_files()));
    check("files-chat", &after(&[Key::C], (1280, 720), 1.0, DARK, &with_files()));
    check("chat-light", &after(&[Key::C], (1280, 720), 1.0, LIGHT, &owned()));
    check("chat-small", &after(&[Key::C], (800, 500), 1.0, DARK, &owned()));
    check("chat-2x", &after(&[Key::C], (1600, 1000), 2.0, LIGHT, &owned()));
}

#[test]
fn voice_messages_stand_among_what_is_said() {
    let mut heard = spoken();
    let offer = Some(heard.files[0].offer.clone());
    heard.voice.playing = Some(Playing { offer, ms: 2_100, length_ms: 5_000, paused: false });
    heard.voice.draft = Some(voice(4_200));
    check("voice", &after(&[Key::C], (1280, 720), 1.0, DARK, &heard));
    heard.voice.draft = None;
    heard.voice.recording = Some(Recording { ms: 3_400, ms_max: 300_000, level_dbfs: -18.0 });
    check("voice-light", &after(&[Key::C], (800, 500), 1.0, LIGHT, &heard));
}

#[test]
fn people_and_settings_stand_there_as_well() {
    check("people", &after(&[Key::P], (1280, 720), 1.0, DARK, &owned()));
    check("people-light", &after(&[Key::P], (800, 500), 1.0, LIGHT, &owned()));
    check("settings", &after(&[Key::O], (1280, 720), 1.0, DARK, &owned()));
    check("settings-light-small", &after(&[Key::O], (360, 480), 1.0, LIGHT, &owned()));
}

/// The main screens in the themes and scales that are not among those above.
#[test]
fn every_main_screen_has_both_themes_and_scales() {
    let twice = (1600, 1000);
    let with_files = || View { files: files(), talk: file_talk(&files()), ..view(4) };
    check("people-4-light", &after(&[], (1280, 720), 1.0, LIGHT, &view(4)));
    check("people-4-light-2x", &after(&[], twice, 2.0, LIGHT, &view(4)));
    check("chat-dark-2x", &after(&[Key::C], twice, 2.0, DARK, &owned()));
    for (theme, preferences) in [("dark", DARK), ("light", LIGHT)] {
        check(&format!("people-{theme}-2x"), &after(&[Key::P], twice, 2.0, preferences, &owned()));
        check(&format!("files-{theme}-2x"), &after(&[Key::T], twice, 2.0, preferences, &with_files()));
        check(&format!("settings-{theme}-2x"), &after(&[Key::O], twice, 2.0, preferences, &owned()));
    }
}

#[test]
fn whoever_talks_or_is_pinned_stands_large() {
    check("speaker", &after(&[Key::G], (1280, 720), 1.0, DARK, &view(9)));
    check("speaker-49", &after(&[Key::G], (800, 500), 1.0, LIGHT, &view(49)));
    check("people-49", &after(&[], (1280, 720), 1.0, DARK, &view(49)));
    check("react", &after(&[Key::E], (800, 500), 1.0, DARK, &view(2)));
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

/// Which CJK font a system has differs, so no picture is compared: the boxes give way to signs, or to a notice.
#[test]
fn chinese_is_shown_with_a_font_of_the_system_or_missed_in_words() {
    let preferences = Preferences { language: Language::Chinese, ..DARK };
    let waker = Arc::<Waker>::default();
    let mut empty = owned();
    // Nothing but the fonts' thread wakes this window.
    empty.people.iter_mut().for_each(|p| (p.camera, p.picture) = (CameraView::Off, Default::default()));
    let run = |app: &mut App, from: u64| {
        for i in 0..5 {
            let events = if from + i == 1 { vec![key(Key::O)] } else { vec![] };
            let input = RawInput { events, focused: true, ..Default::default() };
            app.frame(&empty, input, Timestamp::from_millis(1000 + 20 * (from + i)));
        }
    };
    let [mut boxes, mut app] = [false, true].map(|system_fonts| {
        App::new((1280, 720), Options { preferences, system_fonts, waker: waker.clone(), ..Default::default() })
    });
    run(&mut boxes, 0);
    run(&mut app, 0);
    assert!(waker.wait(std::time::Duration::from_secs(60)), "the fonts were looked through");
    run(&mut app, 5);
    assert!(app.pixels() != boxes.pixels());
    if let Some(folder) = std::env::var_os("SHOW_SNAPSHOTS") {
        screenshot::write(&PathBuf::from(folder).join("chinese.png"), app.pixels(), app.size()).expect("written");
    }
}

/// The font the pictures are made with, where Debian's fonts-noto-cjk has it, and its length in bytes: another edition draws
/// other signs.
const NOTO: (&str, u64) = ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 19_484_784);

/// Runs frames until all fonts that are wanted have come.
fn settles(waker: &Waker, mut frame: impl FnMut(u64)) {
    let mut at = 0;
    let mut some = |frame: &mut dyn FnMut(u64)| {
        (0..6).for_each(|_| {
            at += 1;
            frame(at);
        });
    };
    some(&mut frame);
    let mut patience = std::time::Duration::from_secs(60);
    while waker.wait(patience) {
        some(&mut frame);
        patience = std::time::Duration::from_secs(1);
    }
}

#[test]
fn the_main_screens_in_chinese() {
    if !std::fs::metadata(NOTO.0).is_ok_and(|font| font.len() == NOTO.1) {
        eprintln!("skipped: the pictures are made with a certain edition of Noto Sans CJK");
        return;
    }
    let zh = |light| Preferences { language: Language::Chinese, light, ..DARK };
    let (large, small, twice) = (((1280, 720), 1.0), ((800, 500), 1.0), ((1600, 1000), 2.0));
    let rows = [
        ("people-4-zh", None, large, false, view(4)),
        ("chat-zh", Some(Key::C), large, true, owned()),
        ("people-zh", Some(Key::P), small, false, owned()),
        ("settings-zh", Some(Key::O), large, true, owned()),
        ("files-zh", Some(Key::T), large, false, View { files: files(), ..view(4) }),
        ("chat-zh-2x", Some(Key::C), twice, false, owned()),
        ("people-4-zh-2x", None, twice, true, view(4)),
        ("people-zh-2x", Some(Key::P), twice, true, owned()),
        ("settings-zh-2x", Some(Key::O), twice, false, owned()),
        ("files-zh-2x", Some(Key::T), twice, true, View { files: files(), ..view(4) }),
    ];
    for (name, pressed, (size, scale), light, view) in rows {
        let waker = Arc::<Waker>::default();
        let options = Options { scale, preferences: zh(light), system_fonts: true, waker: waker.clone() };
        let mut app = App::new(size, options);
        settles(&waker, |at| {
            let events = pressed.filter(|_| at == 2).map(key).into_iter().collect();
            let input = RawInput { events, focused: true, ..Default::default() };
            app.frame(&view, input, Timestamp::from_millis(1000 + 200 * at));
        });
        check(name, &app);
    }
    for (name, (size, scale), light) in [("start-zh", large, true), ("start-zh-2x", twice, false)] {
        let waker = Arc::<Waker>::default();
        let options = Options { scale, preferences: zh(light), system_fonts: true, waker: waker.clone() };
        let mut start = Start::new(size, options, "Ada");
        let view = LobbyView { found: found(), ..lobby() };
        settles(&waker, |at| {
            let input = RawInput { focused: true, ..Default::default() };
            start.frame(&view, input, Timestamp::from_millis(1000 + 200 * at));
        });
        check_pixels(name, start.pixels(), start.size());
    }
}

fn lobby() -> LobbyView {
    let names = DevicesView { camera: "auto".into(), microphone: "auto".into(), speaker: "auto".into() };
    let me = crate::scene::person(0, "Ada");
    publish(&me, (320, 180), 0);
    LobbyView {
        looked: true,
        interface: "eth0".into(),
        picture: me.picture,
        camera: CameraView::Live,
        level_dbfs: -24.0,
        devices: names,
        ..LobbyView::default()
    }
}

fn started(size: (usize, usize), scale: f32, preferences: Preferences, view: &LobbyView) -> Start {
    let mut start = Start::new(size, Options { scale, preferences, ..Default::default() }, "Ada");
    for i in 0..6 {
        let input = RawInput { focused: true, ..Default::default() };
        start.frame(view, input, Timestamp::from_millis(1000 + 200 * i));
    }
    start
}

#[test]
fn a_start_screen_shows_oneself_and_what_there_is() {
    let check = |name: &str, start: &Start| check_pixels(name, start.pixels(), start.size());
    // Each with a picture that nobody has taken yet.
    let some = || LobbyView { found: found(), ..lobby() };
    check("start-nobody", &started((1280, 720), 1.0, DARK, &lobby()));
    check("start", &started((1280, 720), 1.0, DARK, &some()));
    check("start-light", &started((800, 500), 1.0, LIGHT, &some()));
    check("start-narrow", &started((400, 640), 1.0, DARK, &some()));
    check("start-2x", &started((1600, 1000), 2.0, LIGHT, &some()));
    check("start-dark-2x", &started((1600, 1000), 2.0, DARK, &some()));
}
