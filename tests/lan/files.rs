//! Files reach everybody who wants them, whole: through loss, kills and departures, beside voice and video, and nobody else's disk
//! is touched.

use crate::common::lan::Lan;
use crate::common::peer::{self, PROGRAM, Peer, SOON};
use crate::common::poll;
use crate::common::random::Random;
use crate::common::sandbox::{sandboxed, sh};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const NAMES: [&str; 9] = ["Ada", "Bob", "Cyd", "Dee", "Eve", "Fay", "Gus", "Hal", "Ivy"];
/// How long a transfer may take on a machine that does everything at once.
const DELIVERY: Duration = Duration::from_secs(240);

/// How often a number of packets may be too large before it is.
const ATTEMPTS: usize = 3;

/// Megabytes sent, and to how many. The environment says otherwise for a run that takes minutes: `FILES=200x8`.
pub fn load() -> (usize, usize) {
    let said = std::env::var("FILES").unwrap_or_else(|_| "6x4".to_owned());
    let numbers: Vec<usize> = said.split('x').map(|n| n.parse().expect("MEGABYTESxRECEIVERS")).collect();
    let [megabytes, receivers] = numbers[..] else { panic!("MEGABYTESxRECEIVERS, not {said}") };
    assert!((2..NAMES.len()).contains(&receivers), "2 to {} receivers", NAMES.len() - 1);
    (megabytes, receivers)
}

/// Bytes that nothing shortens.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    Random::seeded().fill(&mut all, bytes);
    all
}

/// Ada, Bob, .. each on a host of their own, with text alone; what Bob and those after him are given goes to `folder`/NAME.
fn meeting(lan: &Lan, people: usize, folder: &Path, accept: &str) -> Vec<Peer> {
    meeting_at(lan, people, folder, accept, 0)
}

/// As [`meeting`]; nobody sends faster than `mbit`, if that is not 0.
pub fn meeting_at(lan: &Lan, people: usize, folder: &Path, accept: &str, mbit: u32) -> Vec<Peer> {
    let place = |h: usize| folder.join(NAMES[h - 1]).to_string_lossy().into_owned();
    let silent = ["--camera", "none", "--microphone", "none", "--accept-files", accept, "--download", &place(1)];
    let mut peers = vec![Peer::start(program(lan, 1, mbit), NAMES[0], "Standup", &silent)];
    for h in 2..=people {
        let options = ["--accept-files", accept, "--download", &place(h)];
        let mut peer = Peer::chat_with(program(lan, h, mbit), NAMES[h - 1], "Standup", &options);
        peer.await_joined();
        peers.push(peer);
    }
    peers[0].await_people(SOON, &NAMES[1..people]);
    peers
}

fn program(lan: &Lan, host: usize, mbit: u32) -> std::process::Command {
    let mut command = lan.command(host, PROGRAM);
    command.env("ROUNDTABLE_FILE_RATE", mbit.to_string()).env("ROUNDTABLE_LOG", "warn");
    command
}

pub fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file to send");
    path
}

pub fn send(peer: &mut Peer, path: &Path) {
    peer.tell(&json!({"do": "send", "path": path}));
}

/// Waits until the file called `name` is there, and returns where.
#[track_caller]
pub fn await_file(peer: &mut Peer, name: &str) -> PathBuf {
    let (_, event) = peer.await_event(DELIVERY, |e| e["event"] == "file" && e["name"] == name);
    PathBuf::from(event["path"].as_str().expect("a path"))
}

#[track_caller]
pub fn assert_same(path: &Path, content: &[u8]) {
    let got = std::fs::read(path).expect("the file that came");
    assert!(got == content, "{} has {} bytes of {}, and others", path.display(), got.len(), content.len());
}

/// Names of what is in a folder; empty when there is none.
pub fn listed(folder: &Path) -> Vec<String> {
    let Ok(all) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<String> = all.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

#[test]
fn one_file_reaches_everybody_whole_and_little_more_is_sent_than_it_takes() {
    sandboxed("files::one_file_reaches_everybody_whole_and_little_more_is_sent_than_it_takes", || {
        let (megabytes, receivers) = load();
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(receivers + 1);
        let mut peers = meeting(&lan, receivers + 1, folder.path(), "all");
        let content = noise(megabytes * 1_000_000);
        let mut done = None;
        // Once in a few: a machine that stops for a second loses more than the network.
        for (percent, most, attempt) in [(0, 1.01), (1, 1.03), (5, 1.10)]
            .into_iter()
            .flat_map(|(percent, most)| (1..=ATTEMPTS).map(move |attempt| (percent, most, attempt)))
        {
            if done == Some(percent) {
                continue;
            }
            (2..=receivers + 1).for_each(|h| lan.lose(h, percent));
            let name = format!("{percent}-{attempt}.bin");
            let path = write(folder.path(), &name, &content);
            let began = Instant::now();
            send(&mut peers[0], &path);
            let (_, sent) = peers[0].await_event(DELIVERY, |e| e["event"] == "sent" && e["name"] == name.as_str());
            let took = began.elapsed();
            for peer in &mut peers[1..] {
                assert_same(&await_file(peer, &name), &content);
            }
            let (packets, least) =
                (sent["packets"].as_f64().expect("a number"), sent["packets_min"].as_f64().expect("one"));
            println!(
                "{megabytes} MB to {receivers} at {percent} % loss: {packets} packets, least {least}: {:+.2} %, {:.2} s",
                100.0 * (packets / least - 1.0),
                took.as_secs_f64()
            );
            done = (packets / least <= most).then_some(percent);
            assert!(done.is_some() || attempt < ATTEMPTS, "{percent} %: {packets} of {least}");
            assert!(sent["people"].as_array().expect("people").iter().all(|p| p["state"] == "has it"), "{sent}");
        }
    });
}

#[test]
fn people_decide_what_they_take_and_nothing_is_overwritten() {
    sandboxed("files::people_decide_what_they_take_and_nothing_is_overwritten", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(3);
        let mut peers = meeting(&lan, 3, folder.path(), "ask");
        let bobs = folder.path().join("Bob");
        std::fs::create_dir(&bobs).expect("folder");
        write(&bobs, "note.txt", b"Bob's own");
        let path = write(folder.path(), "note.txt", b"hello");
        send(&mut peers[0], &path);
        for peer in &mut peers[1..] {
            let (_, offer) = peer.await_event(SOON, |e| e["event"] == "offer");
            assert_eq!(
                (&offer["name"], &offer["size"], &offer["from"]),
                (&json!("note.txt"), &json!(5), &json!("Ada"))
            );
            let answer = if peer.name == "Bob" { "accept" } else { "decline" };
            peer.tell(&json!({"do": answer, "offer": offer["offer"]}));
        }
        assert_eq!(await_file(&mut peers[1], "note.txt"), bobs.join("note (1).txt"));
        assert_same(&bobs.join("note.txt"), b"Bob's own");
        assert_same(&bobs.join("note (1).txt"), b"hello");
        let (_, sent) = peers[0].await_event(SOON, |e| e["event"] == "sent");
        let states: Vec<&Value> = sent["people"].as_array().expect("people").iter().map(|p| &p["state"]).collect();
        assert!(states.contains(&&json!("has it")) && states.contains(&&json!("declined")), "{sent}");
        assert_eq!(listed(&folder.path().join("Cyd")), [""; 0], "who declined has nothing on disk");
        // An empty file, and one that is not there.
        let empty = write(folder.path(), "empty", b"");
        send(&mut peers[0], &empty);
        peers[1].await_event(SOON, |e| e["event"] == "offer" && e["name"] == "empty");
        peers[1].tell(&json!({"do": "accept"}));
        assert_same(&await_file(&mut peers[1], "empty"), b"");
        send(&mut peers[0], Path::new("/no/such/file"));
        peers[0].await_event(SOON, |e| e["event"] == "file_failed");
        // For one alone: the other learns nothing of it.
        let secret = write(folder.path(), "secret.txt", b"between us");
        peers[0].tell(&json!({"do": "send", "path": secret, "to": "Bob"}));
        let (_, offer) = peers[1].await_event(SOON, |e| e["event"] == "offer" && e["name"] == "secret.txt");
        assert_eq!(offer["private"], true);
        peers[1].tell(&json!({"do": "accept", "offer": offer["offer"], "always": true}));
        assert_same(&await_file(&mut peers[1], "secret.txt"), b"between us");
        // To her it is shown for whom it is, and that he has it.
        let (_, own) = peers[0].await_event(SOON, |e| e["event"] == "offer" && e["name"] == "secret.txt");
        assert_eq!((&own["own"], &own["private"], &own["to"]), (&json!(true), &json!(true), &json!(["Bob"])));
        // From now on everything of hers is taken.
        let more = write(folder.path(), "more.txt", b"more");
        send(&mut peers[0], &more);
        assert_same(&await_file(&mut peers[1], "more.txt"), b"more");
        let seen = peers[2].drain_events();
        assert!(!seen.iter().any(|e| e["name"] == "secret.txt"), "Cyd was told of what was for Bob");
    });
}

#[test]
fn a_folder_comes_as_one_archive_by_the_command_line() {
    sandboxed("files::a_folder_comes_as_one_archive_by_the_command_line", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(3);
        let mut peers = meeting(&lan, 2, folder.path(), "all");
        let docs = folder.path().join("docs");
        std::fs::create_dir_all(docs.join("deep")).expect("folders");
        write(&docs, "a.txt", b"a");
        write(&docs.join("deep"), "b.txt", b"b");
        let home = tempfile::tempdir().expect("temporary folder");
        let run = |arguments: &[&str]| {
            let mut command = lan.command(3, PROGRAM);
            peer::private(&mut command, &home);
            command.arg("send").args(arguments).args(["--name", "Zoe"]).output().expect("run send")
        };
        let sent = run(&[docs.to_str().expect("a path"), "Standup"]);
        let (out, errors) = (String::from_utf8_lossy(&sent.stdout), String::from_utf8_lossy(&sent.stderr));
        assert_eq!(sent.status.code(), Some(0), "{out}{errors}");
        assert!(out.contains("docs.tar: all 2 have it"), "{out}");
        let archive = await_file(&mut peers[1], "docs.tar");
        let listing = std::process::Command::new("tar").arg("tf").arg(&archive).output().expect("tar");
        assert_eq!(String::from_utf8_lossy(&listing.stdout), "docs/\ndocs/a.txt\ndocs/deep/\ndocs/deep/b.txt\n");
        assert_eq!(run(&["/no/such/file", "Standup"]).status.code(), Some(6));
        assert_eq!(run(&[docs.to_str().expect("a path"), "Standup", "--to", "Nobody"]).status.code(), Some(6));
    });
}

/// Receivers and senders by turns, senders also of a file to some; the environment says how often each: `FILES_KILLS=10`.
#[test]
fn who_is_killed_goes_on_where_it_ended() {
    sandboxed("files::who_is_killed_goes_on_where_it_ended", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(3);
        // So slow that there is a middle.
        let mut peers = meeting_at(&lan, 3, folder.path(), "all", 20);
        let mut random = Random::seeded();
        let rounds: usize = std::env::var("FILES_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
        for round in 0..2 * rounds {
            let name = format!("{round}.bin");
            let content = noise(8_000_000 + round);
            let path = write(folder.path(), &name, &content);
            let to = if round % 4 == 3 { json!(["Bob", "Cyd"]) } else { Value::Null };
            let offer = json!({"do": "send", "path": path, "to": to});
            peers[0].tell(&offer);
            let part = random.below(4_500_000) as u64 + 1;
            let under_way =
                |e: &Value| e["event"] == "progress" && e["name"] == name.as_str() && e["bytes"].as_u64() >= Some(part);
            peers[1].await_event(DELIVERY, under_way);
            let killed = usize::from(round % 2 == 0);
            peers[killed].signal("KILL");
            let had = ["Bob", "Cyd"].map(|who| blocks_had(&folder.path().join(who)));
            assert!(!listed(&folder.path().join("Bob")).contains(&name), "not whole, and under its name");
            let place = folder.path().join(NAMES[killed]).to_string_lossy().into_owned();
            let again = ["--accept-files", "all", "--download", &place];
            let mut back = peers.remove(killed).come_back(program(&lan, killed + 1, 20), "Standup", &again);
            back.await_joined();
            peers.insert(killed, back);
            if killed == 0 {
                // Who sends again the same file offers the same object.
                peers[0].tell(&offer);
            }
            for n in [1, 2] {
                assert_same(&await_file(&mut peers[n], &name), &content);
            }
            let (_, sent) = peers[0].await_event(DELIVERY, |e| e["event"] == "sent" && e["name"] == name.as_str());
            let (packets, least) = (sent["packets"].as_u64().expect("a number"), sent["packets_min"].as_u64());
            let least = least.expect("a number");
            let blocks: BTreeSet<u32> = (0..8_000_000_u32.div_ceil(BLOCK_BYTES)).collect();
            let missing = match killed {
                0 => blocks.iter().filter(|block| !had.iter().all(|had| had.contains(block))).count(),
                _ => blocks.difference(&had[0]).count(),
            } as u64;
            println!("round {round}: killed {} with {had:?} there; {packets} packets then", NAMES[killed]);
            // What was there is not sent again; the block that was under way counts as missing.
            let before = if killed == 0 { 0 } else { least };
            assert!(packets <= before + missing * 1_024 + 512, "{packets} packets for {missing} blocks of {least}");
            let left_over = |who: &str| listed(&folder.path().join(who)).iter().any(|file| file.contains(".part"));
            assert!(!left_over("Bob") && !left_over("Cyd"), "nothing is left over");
        }
    });
}

/// Bytes of a block.
const BLOCK_BYTES: u32 = 1_024 * 1_280;

/// Blocks that are noted as written.
fn blocks_had(folder: &Path) -> BTreeSet<u32> {
    let list = listed(folder).into_iter().find(|name| name.ends_with(".blocks"));
    let bytes = list.map_or_else(Vec::new, |name| std::fs::read(folder.join(name)).unwrap_or_default());
    bytes.as_chunks::<4>().0.iter().map(|number| u32::from_be_bytes(*number)).collect()
}

#[test]
fn another_who_has_it_goes_on_when_the_sender_left() {
    sandboxed("files::another_who_has_it_goes_on_when_the_sender_left", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(4);
        let mut peers = meeting(&lan, 3, folder.path(), "ask");
        let content = noise(3_000_000);
        for (name, to) in [("a.bin", Value::Null), ("b.bin", json!(["Bob", "Cyd"]))] {
            let path = write(folder.path(), name, &content);
            peers[0].tell(&json!({"do": "send", "path": path, "to": to}));
            for peer in &mut peers[1..] {
                peer.await_event(SOON, |e| e["event"] == "offer" && e["name"] == name);
            }
            peers[1].tell(&json!({"do": "accept", "offer": name}));
            assert_same(&await_file(&mut peers[1], name), &content);
        }
        peers[0].tell(&json!({"do": "leave"}));
        peers[2].await_person(SOON, "Ada", "left");
        for name in ["a.bin", "b.bin"] {
            peers[2].tell(&json!({"do": "accept", "offer": name}));
            assert_same(&await_file(&mut peers[2], name), &content);
        }
        // Somebody who came when the sender was gone is offered what was for everybody, and nothing else.
        let place = folder.path().join("Dee");
        let options = ["--accept-files", "all", "--download", &place.to_string_lossy()];
        let mut dee = Peer::chat_with(lan.command(4, PROGRAM), "Dee", "Standup", &options);
        dee.await_joined();
        assert_same(&await_file(&mut dee, "a.bin"), &content);
        assert!(!dee.drain_events().iter().any(|e| e["name"] == "b.bin"), "Dee was told of what was for Bob and Cyd");
        assert_eq!(listed(&place), ["a.bin"]);
    });
}

#[test]
fn one_on_a_bad_link_gets_it_too_and_the_others_do_not_wait() {
    sandboxed("files::one_on_a_bad_link_gets_it_too_and_the_others_do_not_wait", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(5);
        // At a rate that leaves the machine time: what is compared is the network's.
        let mut peers = meeting_at(&lan, 5, folder.path(), "all", 20);
        let content = noise(15_000_000);
        let mut times = Vec::new();
        for (name, percent) in [("good.bin", 0), ("bad.bin", 30), ("alone.bin", 30)] {
            lan.lose(5, percent);
            if name == "alone.bin" {
                // Nor can it fetch anything.
                lan.drop_incoming(5, &["meta l4proto tcp"]);
            }
            let path = write(folder.path(), name, &content);
            let began = Instant::now();
            send(&mut peers[0], &path);
            let last = peers[1..4].iter_mut().map(|peer| {
                let (at, event) = peer.await_event(DELIVERY, |e| e["event"] == "file" && e["name"] == name);
                assert_same(Path::new(event["path"].as_str().expect("a path")), &content);
                at
            });
            times.push(last.max().expect("three").duration_since(began));
            assert_same(&await_file(&mut peers[4], name), &content);
        }
        for (time, beside) in times[1..].iter().zip(["one at 30 % loss", "one that cannot fetch either"]) {
            let slower = time.as_secs_f64() / times[0].as_secs_f64();
            println!(
                "three on good links: {:?} beside one of the same, {time:?} beside {beside}: {slower:.2}",
                times[0]
            );
            assert!(slower < 1.15, "beside {beside}: {times:?}");
        }
    });
}

#[test]
fn voice_and_video_go_on_while_a_file_is_sent() {
    sandboxed("files::voice_and_video_go_on_while_a_file_is_sent", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(5);
        let place = |h: usize| folder.path().join(NAMES[h - 1]).to_string_lossy().into_owned();
        let mut peers = Vec::new();
        for h in 1..=4 {
            let folder = place(h);
            let more = ["--accept-files", "all", "--download", folder.as_str()];
            let command = lan.command(h, PROGRAM);
            peers.push(match h {
                1 => Peer::start(command, NAMES[0], "Standup", &more),
                _ => Peer::join(command, NAMES[h - 1], "Standup", &more),
            });
        }
        peer::await_all_meet(&peers.iter().collect::<Vec<_>>());
        // Eve has text alone, and still leaves room. At this rate the file takes longer than what is watched.
        let content = noise(BESIDE_MBIT as usize * 125_000 * (WATCHED + 4));
        let mut eve = Peer::chat_with(program(&lan, 5, BESIDE_MBIT), "Eve", "Standup", &["--accept-files", "none"]);
        eve.await_joined();
        for peer in &mut peers {
            peer.await_person(SOON, "Eve", "joined");
        }
        let (before, _) = goes_on(&peers, 5);
        let path = write(folder.path(), "a.bin", &content);
        send(&mut eve, &path);
        let under_way = |e: &Value| e["event"] == "progress" && e["bits_per_s"].as_f64() > Some(0.0);
        let (_, first) = eve.await_event(SOON, under_way);
        assert!(first["bits_per_s"].as_f64() < Some(20e6), "it starts as where there is nothing to disturb: {first}");
        peers[1].await_event(SOON, |e| e["event"] == "progress");
        let (shown, gaps) = goes_on(&peers, WATCHED);
        println!("{:.1} % of all frames beside the file, {:.1} % before it", 100.0 * shown, 100.0 * before);
        for peer in &mut peers {
            let there = peer.drain_events().iter().any(|e| e["event"] == "file");
            assert!(!there, "{} had the file before the end of what was watched", peer.name);
        }
        // Of what this machine shows without it.
        assert!(shown >= 0.95 * before.min(1.0), "a file disturbs pictures: {shown}, {before} before");
        assert_eq!(gaps, 0.0, "a file disturbs voices");
        for peer in &mut peers {
            assert_same(&await_file(peer, "a.bin"), &content);
        }
    });
}

/// How fast a file goes beside voice and video here, and for how many seconds it is watched.
const BESIDE_MBIT: u32 = 40;
const WATCHED: usize = 20;

/// Share of all frames that all show of each other over so many seconds, and gaps in the voices.
fn goes_on(peers: &[Peer], seconds: usize) -> (f64, f64) {
    let during = peer::windows(&peers.iter().collect::<Vec<_>>(), seconds as f64);
    let (mut shown, mut gaps, mut pairs) = (0.0, 0.0, 0.0);
    for (n, window) in during.iter().enumerate() {
        for (other, name) in NAMES[..4].iter().enumerate().filter(|(other, _)| *other != n) {
            let share = window.shown_share(name, &during[other], peer::CAMERA_FPS);
            println!("{} sees {:.1} % of {name}'s, {} gaps in the voice", NAMES[n], 100.0 * share, window.gaps(name));
            (shown, gaps, pairs) = (shown + share, gaps + window.gaps(name), pairs + 1.0);
        }
    }
    (shown / pairs, gaps)
}

#[test]
fn a_disk_without_room_declines_and_says_so() {
    sandboxed("files::a_disk_without_room_declines_and_says_so", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(2);
        let small = folder.path().join("Bob");
        std::fs::create_dir(&small).expect("folder");
        sh(&format!("mount -t tmpfs -o size=3m none {}", small.display()));
        let mut peers = meeting(&lan, 2, folder.path(), "all");
        let path = write(folder.path(), "big.bin", &noise(5_000_000));
        send(&mut peers[0], &path);
        let (_, failed) = peers[1].await_event(SOON, |e| e["event"] == "file_failed");
        assert!(failed["text"].as_str().is_some_and(|t| t.contains("no room")), "{failed}");
        let (_, sent) = peers[0].await_event(SOON, |e| e["event"] == "sent");
        assert_eq!(sent["people"][0]["state"], "declined", "{sent}");
        assert_eq!(listed(&small), [""; 0], "nothing stays behind");
        assert!(poll(SOON, || peers[1].runs().then_some(())).is_some());
    });
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_taken_back_and_one_that_is_removed_arrives() {
    sandboxed("files::a_file_that_changes_while_it_is_sent_is_taken_back_and_one_that_is_removed_arrives", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(2);
        // So slow that there is a middle.
        let mut peers = meeting_at(&lan, 2, folder.path(), "all", 20);
        let content = noise(8_000_000);
        let begun = |e: &Value| e["event"] == "progress" && e["bytes"].as_u64() > Some(0);
        for changes in [true, false] {
            let name = if changes { "changed.bin" } else { "removed.bin" };
            let path = write(folder.path(), name, &content);
            send(&mut peers[0], &path);
            peers[1].await_event(SOON, |e| begun(e) && e["name"] == name);
            if !changes {
                std::fs::remove_file(&path).expect("removed");
                assert_same(&await_file(&mut peers[1], name), &content);
                continue;
            }
            let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
            std::fs::write(&path, &other).expect("written");
            for peer in &mut peers {
                let (_, failed) = peer.await_event(SOON, |e| e["event"] == "file_failed");
                println!("{}: {}", peer.name, failed["text"]);
            }
            assert_eq!(listed(&folder.path().join("Bob")), [""; 0], "nothing stays behind");
        }
    });
}
