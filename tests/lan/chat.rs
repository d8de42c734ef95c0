//! What people write reaches everybody once, in the same order everywhere: through loss, kills and restarts.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::poll;
use crate::common::random::Random;
use crate::common::sandbox::{sandboxed, sh};
use roundtable::conference::history::{Bounds, Store};
use roundtable::wire::message::ConferenceId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

/// Lines each person says.
const LINES: usize = 50;

/// Ada, Bob, .. in a conference of text alone, each on a host of their own.
fn meeting(lan: &Lan, people: usize) -> Vec<Peer> {
    let names = ["Ada", "Bob", "Cyd", "Dee"];
    let silent = ["--camera", "none", "--microphone", "none"];
    let mut peers = vec![Peer::start(lan.command(1, PROGRAM), names[0], "Standup", &silent)];
    for h in 2..=people {
        let mut peer = Peer::chat(lan.command(h, PROGRAM), names[h - 1], "Standup");
        peer.await_joined();
        peers.push(peer);
    }
    // The first one sees all others when the last one does.
    for name in &names[1..people] {
        peers[0].await_person(SOON, name, "joined");
    }
    peers
}

/// Loses a share of what comes to host `h`, without telling who sent it.
fn lose(h: usize, percent: usize) {
    sh(&format!(
        "ip netns exec h{h} nft -f - <<'END'\n\
         table ip lossy {{ chain input {{ type filter hook input priority 0; \
         meta l4proto udp numgen random mod 100 < {percent} drop; }}; }}\nEND"
    ));
}

/// The messages a participant has told of, id and text, and how often each; grows with every call.
#[derive(Default)]
struct Read(BTreeMap<String, (String, usize)>);

impl Read {
    fn take(&mut self, peer: &mut Peer) {
        for event in peer.drain_events() {
            assert_ne!(event["event"], "error", "{event}");
            if event["event"] == "message" {
                let text = |key: &str| event[key].as_str().expect("a text").to_owned();
                self.0.entry(text("id")).or_insert((text("text"), 0)).1 += 1;
            }
        }
    }

    /// In the order of the conference.
    fn texts(&self) -> Vec<&str> {
        self.0.values().map(|(text, _)| text.as_str()).collect()
    }

    fn is_once(&self) -> bool {
        self.0.values().all(|(_, times)| *times == 1)
    }
}

/// Waits until each of them has read `lines` lines, and asserts that all are the same, once.
#[track_caller]
fn assert_all_read(peers: &mut [&mut Peer], read: &mut [Read], lines: usize) {
    let complete = poll(Duration::from_secs(60), || {
        peers.iter_mut().zip(read.iter_mut()).for_each(|(peer, read)| read.take(peer));
        read.iter().all(|r| r.0.len() >= lines).then_some(())
    });
    let counts: Vec<usize> = read.iter().map(|r| r.0.len()).collect();
    assert!(complete.is_some(), "of {lines} lines there came {counts:?}");
    for (peer, one) in peers.iter().zip(read.iter()) {
        assert_eq!(one.0.len(), lines, "{} reads lines nobody said", peer.name);
        assert!(one.is_once(), "{} reads a line twice", peer.name);
        assert_eq!(one.texts(), read[0].texts(), "{} reads in another order", peer.name);
    }
}

fn say(peer: &mut Peer, text: &str) {
    peer.tell(&json!({"do": "say", "text": text}));
}

#[test]
fn nothing_is_lost_or_doubled_and_one_who_is_killed_is_read_to_the_end() {
    sandboxed("chat::nothing_is_lost_or_doubled_and_one_who_is_killed_is_read_to_the_end", || {
        let lan = Lan::up(5);
        let mut peers = meeting(&lan, 4);
        (1..=5).for_each(|h| lose(h, 5));
        let mut random = Random::seeded();
        let mut left: Vec<usize> = (0..4).flat_map(|who| std::iter::repeat_n(who, LINES)).collect();
        let turns = std::iter::from_fn(|| (!left.is_empty()).then(|| left.swap_remove(random.below(left.len()))));
        let mut read: Vec<Read> = (0..4).map(|_| Read::default()).collect();
        let mut said = [0; 4];
        for who in turns.collect::<Vec<_>>() {
            // Dee is killed half way: what it was told after that is never said.
            if who == 3 && said[3] == LINES / 2 {
                continue;
            }
            let line = format!("{} {}", peers[who].name, said[who]);
            say(&mut peers[who], &line);
            said[who] += 1;
            if who == 3 && said[3] == LINES / 2 {
                // As soon as somebody has the line, the others must get it from there.
                let last = format!("Dee {}", LINES / 2 - 1);
                let heard = poll(SOON, || {
                    peers[..3].iter_mut().zip(&mut read).for_each(|(peer, read)| read.take(peer));
                    read.iter().any(|r| r.texts().contains(&last.as_str())).then_some(())
                });
                assert!(heard.is_some(), "nobody heard Dee's last line");
                peers[3].signal("KILL");
            }
        }
        let lines = said.iter().sum();
        let mut staying: Vec<&mut Peer> = peers.iter_mut().take(3).collect();
        assert_all_read(&mut staying, &mut read[..3], lines);
        // Somebody who comes later reads the same.
        let mut late = Peer::chat(lan.command(5, PROGRAM), "Eve", "Standup");
        late.await_joined();
        let mut all: Vec<&mut Peer> = peers.iter_mut().take(3).chain([&mut late]).collect();
        read[3] = Read::default();
        assert_all_read(&mut all, &mut read, lines);
    });
}

#[test]
fn a_history_survives_a_kill_and_is_read_at_the_next_start() {
    sandboxed("chat::a_history_survives_a_kill_and_is_read_at_the_next_start", || {
        let lan = Lan::up(2);
        let mut peers = meeting(&lan, 2);
        let conference = conference_id(&lan);
        (0..20_usize).for_each(|n| say(&mut peers[n % 2], &n.to_string()));
        let mut read: Vec<Read> = (0..2).map(|_| Read::default()).collect();
        let mut both: Vec<&mut Peer> = peers.iter_mut().collect();
        assert_all_read(&mut both, &mut read, 20);
        // What both have shown is on its way to the disk, which is faster than this test.
        let folder = peers[1].data().join("history");
        let on_disk = || Some(Store::open(&folder, &conference, Bounds::default()).ok()?.store.size().0);
        assert!(poll(SOON, || on_disk().filter(|&pieces| pieces == 20)).is_some(), "{:?}", on_disk());
        peers[1].signal("KILL");
        peers[1].await_end(SOON);
        assert_eq!(on_disk(), Some(20));
        let bob = peers.remove(1).chat_again(lan.command(2, PROGRAM), "Standup");
        peers.push(bob);
        say(&mut peers[1], "back");
        let mut both: Vec<&mut Peer> = peers.iter_mut().collect();
        read[1] = Read::default();
        assert_all_read(&mut both, &mut read, 21);
        assert_eq!(read[1].texts().last(), Some(&"back"));
    });
}

fn conference_id(lan: &Lan) -> ConferenceId {
    let listed = lan.command(2, PROGRAM).args(["list", "--json"]).output().expect("run list");
    let line: Value = serde_json::from_slice(&listed.stdout).expect("one line of JSON");
    let hex = line["id"].as_str().expect("an id");
    let byte = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hexadecimal");
    ConferenceId(std::array::from_fn(byte))
}

/// Runs `chat` with `input` on its stdin, to the end of that.
fn pipe(lan: &Lan, host: usize, name: &str, input: &str) -> Output {
    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = lan.command(host, PROGRAM);
    private(&mut command, &home);
    command.args(["chat", "Standup", "--name", name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the program");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("the program reads its input");
    drop(stdin);
    child.wait_with_output().expect("end of the program")
}

#[test]
fn a_pipe_says_every_line_and_prints_plain_text() {
    sandboxed("chat::a_pipe_says_every_line_and_prints_plain_text", || {
        let lan = Lan::up(2);
        let mut peers = meeting(&lan, 1);
        say(&mut peers[0], "before\u{1b}[2J\nsecond line");
        peers[0].await_event(SOON, |e| e["event"] == "unheard");
        let input: String = (0..40).map(|n| format!("line {n}\n")).chain(["/me waves\n".into()]).collect();
        let ran = pipe(&lan, 2, "Bob", &input);
        let (out, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.status.code(), Some(0), "{errors}");
        assert!(!out.contains('\u{1b}'), "{out}");
        assert!(out.lines().any(|l| l.ends_with(" -- Ada is here")), "{out}");
        assert!(out.contains(" Ada: before[2J\n         second line\n"), "{out}");
        assert!(out.lines().any(|l| l.ends_with(" Bob: line 39")), "{out}");
        assert!(out.lines().any(|l| l.ends_with(" * Bob waves")), "{out}");
        let (mut read, seen) = (Read::default(), peers[0].drain_events());
        for event in seen.iter().filter(|e| e["event"] == "message") {
            assert_eq!(event["private"], false);
            assert!(event["at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24), "{event}");
            let text = |key: &str| event[key].as_str().expect("a text").to_owned();
            read.0.insert(text("id"), (text("text"), 1));
        }
        let expected: Vec<String> = (0..40).map(|n| format!("line {n}")).chain(["waves".into()]).collect();
        assert_eq!(read.texts(), expected, "all are here by the time the pipe has ended");
        assert!(seen.iter().any(|e| e["event"] == "person" && e["state"] == "left"));
    });
}
