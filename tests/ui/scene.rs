//! Conferences made up for the tests: people with simple pictures that compress well.

use roundtable::conference::lobby::Listing;
use roundtable::conference::talk::Talk;
use roundtable::conference::view::{
    Attention, CameraView, FileState, FileView, Notice, NoticeKind, PersonFigures, PersonView, View,
};
use roundtable::conference::{Event, FileOffer, FileRecipient, Message, Quoted, Reaction};
use roundtable::media::picture::Picture;
use roundtable::pipeline::slot::PictureInfo;
use roundtable::time::NtpTime;

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
        id: format!("{key:032x}"),
        me: key == 0,
        camera: CameraView::Live,
        figures: PersonFigures {
            layer: "full",
            size: (1280, 720),
            frames_per_s: 29.9,
            due_per_s: 29.9,
            kbit_per_s: 24_310.0 + key as f32,
            loss_percent: 0.1 * key as f32,
            latency_ms: (key != 0).then_some(3.2),
            audio_buffer_ms: 41.0,
            transport: "groups",
        },
        ..PersonView::new(key, name)
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
        me: NAMES[0].into(),
        people,
        muted: false,
        has_microphone: true,
        attention: Attention::default(),
        camera_on: true,
        has_camera: true,
        notices: Vec::new(),
        files: Vec::new(),
        elapsed_s: 754,
        summary: Vec::new(),
        examined: None,
        ended: false,
        ..View::default()
    }
}

/// A line of the chat; `id` orders it.
pub fn message(id: &str, from: &str, text: &str) -> Message {
    let member = NAMES.iter().position(|name| *name == from).unwrap_or(99);
    Message {
        id: id.into(),
        from: from.into(),
        member: format!("{member:032x}"),
        own: from == NAMES[0],
        text: text.into(),
        action: false,
        // The same in every time zone but for the hour: tests show no times to their pictures but whole minutes.
        at: NtpTime::from_unix(std::time::Duration::from_secs(1_735_732_800)),
        late: false,
        audience: None,
        reply: None,
    }
}

/// The log after these events.
pub fn talk(events: Vec<Event>) -> Talk {
    let mut talk = Talk::default();
    let at = NtpTime::from_unix(std::time::Duration::from_secs(1_735_732_800));
    for event in &events {
        talk.note(event, at, true);
    }
    talk
}

/// A conversation with something of everything.
pub fn conversation() -> Talk {
    let quoted = |id: &str, from: &str, text: &str| Quoted { id: id.into(), from: from.into(), text: text.into() };
    let reaction = |from: &str, emoji: &str, line: &str| {
        let Message { member, at, own, .. } = message("r", from, "");
        let line = quoted(line, NAMES[0], "");
        Event::Reaction(Reaction {
            id: format!("{from}{emoji}"),
            from: from.into(),
            member,
            own,
            emoji: emoji.into(),
            at,
            line,
        })
    };
    let tea = "Tea at four, in the small room behind the stairs?";
    let reply = Some(quoted("1", NAMES[0], tea));
    let private = |from: &str, to: &str, id: &str, text: &str| {
        Event::Message(Message { audience: Some(vec![to.into()]), ..message(id, from, text) })
    };
    talk(vec![
        Event::Message(message("1", NAMES[0], tea)),
        reaction("Bob", "👍", "1"),
        reaction("Chandra", "👍", "1"),
        reaction(NAMES[0], "🎉", "1"),
        Event::Delivered { id: "1".into(), have: 2, present: 2 },
        Event::Message(Message {
            reply,
            ..message("2", "Bob", "Yes. The plan is at https://intranet.example/plans/2025?floor=2, second page.")
        }),
        Event::Message(message("3", "Bob", "Привет, Ελλάδα")),
        Event::Message(message("4", "Chandra", "🎉")),
        Event::Message(Message { action: true, ..message("5", "Dana Scott", "waves") }),
        Event::Message(Message { late: true, ..message("41", "Émile", "This came late and stands in its place.") }),
        Event::Message(message("6", NAMES[0], "On my way")),
        Event::Unheard { id: "6".into(), text: "On my way".into() },
        Event::Unsaid { text: "hello".into(), why: "too much at once".into() },
        private("Bob", NAMES[0], "7", "Just between us: bring biscuits."),
        private(NAMES[0], "Bob", "8", "I will."),
    ])
}

/// Conferences as a network has them.
pub fn found() -> Vec<Listing> {
    let one = |n: u8, title: &str, open, locked, participants| Listing {
        id: format!("{n:032x}"),
        base: [239, 255, n, 0].into(),
        port: 20_000,
        title: title.into(),
        open,
        locked,
        participants,
        source: [10, 77, 0, n].into(),
    };
    vec![
        one(1, "Fair", true, false, 12),
        one(2, "Physics, 2nd year: the long title of a course that does not fit into one line", false, false, 31),
        one(3, "Standup", false, true, 4),
        one(4, "Standup", false, false, 1),
    ]
}

pub fn notice(number: u64, kind: NoticeKind, text: &str, age_ms: u64) -> Notice {
    Notice { number, kind, text: text.to_owned(), age_ms }
}

/// Files in every state.
pub fn files() -> Vec<FileView> {
    let facts = |number: u64, name: &str, size| FileOffer {
        number,
        offer: format!("{number:032x}"),
        from: "Bob".into(),
        member: format!("{:032x}", 1),
        own: false,
        name: name.into(),
        size,
        kind: String::new(),
        private: false,
        to: Vec::new(),
        voice: None,
    };
    let one = |facts, state| FileView {
        facts,
        state,
        bytes: 0,
        bits_per_s: 0.0,
        recipients: Vec::new(),
        thumbnail: [].into(),
    };
    let to = |name: &str, state, part| FileRecipient { name: name.into(), id: String::new(), state, why: "", part };
    let pdf = FileOffer { kind: "application/pdf".into(), ..facts(1, "plan.pdf", 2_100_000) };
    let talk = facts(2, "a recording of last week's talk that has a long name.mkv", 120_000_000);
    let own = FileOffer { own: true, from: NAMES[0].into(), ..facts(5, "slides.odp", 20_000_000) };
    let no_room = "there is no room in /home/ada/Downloads";
    vec![
        one(pdf, FileState::Offered),
        FileView {
            bytes: 30_000_000,
            bits_per_s: 80e6,
            ..one(FileOffer { private: true, ..talk }, FileState::Receiving)
        },
        one(facts(3, "notes.txt", 900), FileState::Here("/home/ada/Downloads/notes (1).txt".into())),
        one(facts(4, "huge.iso", 3_900_000_000), FileState::Failed(no_room.into())),
        FileView {
            bytes: 8_000_000,
            bits_per_s: 40e6,
            recipients: vec![to("Bob", "has it", 1.0), to("Chandra", "behind", 0.4), to("Dana Scott", "declined", 0.0)],
            ..one(own, FileState::Sending)
        },
        one(facts(6, "song.mp3", 5_000_000), FileState::Declined),
    ]
}

/// A picture on disk that was received.
pub fn picture_file(folder: &std::path::Path) -> FileView {
    let path = folder.join("portrait.png");
    let picture = portrait(320, 200, 1, 0);
    roundtable::ui::screenshot::write(&path, &picture.pixels, (320, 200)).expect("written");
    let state = FileState::Here(path);
    let like = files().remove(2);
    let facts = FileOffer { name: "portrait.png".into(), kind: "image/png".into(), size: 4_000, ..like.facts.clone() };
    FileView { facts, state, ..like }
}

/// The log of what was offered.
pub fn file_talk(files: &[FileView]) -> Talk {
    let offered = |file: &FileView| {
        Event::Offer(FileOffer {
            number: file.number,
            offer: file.offer.clone(),
            from: file.from.clone(),
            member: file.member.clone(),
            own: file.own,
            name: file.name.clone(),
            size: file.size,
            kind: file.kind.clone(),
            private: false,
            to: Vec::new(),
            voice: None,
        })
    };
    let mut all = vec![Event::Message(message("1", "Bob", "Here is the plan."))];
    all.extend(files.iter().map(offered));
    talk(all)
}
