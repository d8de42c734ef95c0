//! What people write reaches everybody once, in the same order everywhere: through loss, kills and restarts.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::poll;
use crate::common::random::Random;
use crate::common::sandbox::sandboxed;
use roundtable::conference::history::{Bounds, Store};
use roundtable::limits::CHAT_HISTORY_LINES_MAX;
use roundtable::wire::message::ConferenceId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, ChildStdin, Output, Stdio};
use std::time::Duration;

/// How much is said: people and lines of each, and of a hundred packets to anybody so many are lost. The environment
/// says otherwise for a run that takes minutes: `CHAT_CROWD=8x200@10`.
fn crowd() -> (usize, usize, usize) {
    let said = std::env::var("CHAT_CROWD").unwrap_or_else(|_| "4x50@5".to_owned());
    let numbers: Vec<usize> = said.split(['x', '@']).map(|n| n.parse().expect("PEOPLExLINES@PERCENT")).collect();
    let [people, lines, percent] = numbers[..] else { panic!("PEOPLExLINES@PERCENT, not {said}") };
    assert!((3..=NAMES.len()).contains(&people), "3 to {} people", NAMES.len());
    (people, lines, percent)
}

const NAMES: [&str; 9] = ["Ada", "Bob", "Cyd", "Dee", "Eve", "Fay", "Gus", "Hal", "Ivy"];

/// Ada, Bob, .. in a conference of text alone, each on a host of their own.
fn meeting(lan: &Lan, people: usize) -> Vec<Peer> {
    let silent = ["--camera", "none", "--microphone", "none"];
    let mut peers = vec![Peer::start(lan.command(1, PROGRAM), NAMES[0], "Standup", &silent)];
    for h in 2..=people {
        let mut peer = Peer::chat(lan.command(h, PROGRAM), NAMES[h - 1], "Standup");
        peer.await_joined();
        peers.push(peer);
    }
    // The first one sees all others when the last one does.
    peers[0].await_people(SOON, &NAMES[1..people]);
    peers
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
        let (people, lines, percent) = crowd();
        let lan = Lan::up(people + 1);
        let mut peers = meeting(&lan, people);
        (1..=people + 1).for_each(|h| lan.lose(h, percent));
        let mut read: Vec<Read> = (0..people).map(|_| Read::default()).collect();
        let said = talk_at_random(&mut peers, &mut read, lines);
        let killed = people - 1;
        let mut staying: Vec<&mut Peer> = peers.iter_mut().take(killed).collect();
        assert_all_read(&mut staying, &mut read[..killed], said);
        // Somebody who comes later reads the same, as far as it is kept for those who do.
        let mut late = Peer::chat(lan.command(people + 1, PROGRAM), "Zoe", "Standup");
        late.await_joined();
        let mut zoe = Read::default();
        let kept = said.min(CHAT_HISTORY_LINES_MAX);
        let complete = poll(SOON, || {
            zoe.take(&mut late);
            (zoe.0.len() >= kept).then_some(())
        });
        assert!(complete.is_some(), "of {kept} lines there came {}", zoe.0.len());
        assert!(zoe.is_once() && read[0].texts().ends_with(&zoe.texts()), "Zoe reads something else");
    });
}

/// Everybody says `lines` lines, in turns that chance gives; the last one is killed half way, and what it is told after
/// that is never said. How many lines that makes.
fn talk_at_random(peers: &mut [Peer], read: &mut [Read], lines: usize) -> usize {
    let (mut random, killed) = (Random::seeded(), peers.len() - 1);
    let mut left: Vec<usize> = (0..peers.len()).flat_map(|who| std::iter::repeat_n(who, lines)).collect();
    let mut said = vec![0; peers.len()];
    while !left.is_empty() {
        let who = left.swap_remove(random.below(left.len()));
        if who == killed && said[who] == lines / 2 {
            continue;
        }
        let line = format!("{} {}", peers[who].name, said[who]);
        say(&mut peers[who], &line);
        said[who] += 1;
        if who == killed && said[who] == lines / 2 {
            // As soon as somebody has the line, the others must get it from there.
            let heard = poll(Duration::from_secs(60), || {
                peers[..killed].iter_mut().zip(read.iter_mut()).for_each(|(peer, read)| read.take(peer));
                read.iter().any(|r| r.texts().contains(&line.as_str())).then_some(())
            });
            assert!(heard.is_some(), "nobody heard the last line of {}", peers[who].name);
            peers[who].signal("KILL");
        }
    }
    said.iter().sum()
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

#[test]
fn replies_and_reactions_name_their_line_for_those_who_come_later_too() {
    sandboxed("chat::replies_and_reactions_name_their_line_for_those_who_come_later_too", || {
        let lan = Lan::up(3);
        let mut peers = meeting(&lan, 2);
        say(&mut peers[0], "tea?");
        let (_, asked) = peers[1].await_event(SOON, |e| e["event"] == "message" && e["text"] == "tea?");
        peers[1].tell(&json!({"do": "say", "text": "yes", "reply": asked["id"]}));
        peers[1].tell(&json!({"do": "react", "emoji": "👍", "line": asked["id"]}));
        peers[1].tell(&json!({"do": "react", "emoji": "👍", "line": "nothing"}));
        let (_, refused) = peers[1].await_event(SOON, |e| e["event"] == "error");
        assert_eq!(refused["text"], "not said: that is not the id of a line");
        let mut late = Peer::chat(lan.command(3, PROGRAM), NAMES[2], "Standup");
        for peer in [&mut peers[0], &mut late] {
            let (_, reply) = peer.await_event(SOON, |e| e["event"] == "message" && e["text"] == "yes");
            assert_eq!(reply["reply"], asked["id"], "{reply}");
            let (_, reaction) = peer.await_event(SOON, |e| e["event"] == "reaction");
            assert_eq!((&reaction["emoji"], &reaction["from"]), (&json!("👍"), &json!("Bob")), "{reaction}");
            assert_eq!(reaction["line"], asked["id"], "{reaction}");
        }
    });
}

#[test]
fn a_private_line_is_read_by_those_it_is_for_and_by_nobody_else() {
    sandboxed("chat::a_private_line_is_read_by_those_it_is_for_and_by_nobody_else", || {
        let lan = Lan::up(4);
        let mut peers = meeting(&lan, 3);
        let whisper = |to: Value| json!({"do": "say", "text": format!("for {to}"), "to": to});
        peers[0].tell(&whisper(json!("Bob")));
        let (_, line) = peers[1].await_event(SOON, |e| e["event"] == "message");
        assert_eq!((&line["from"], &line["text"]), (&json!("Ada"), &json!("for \"Bob\"")), "{line}");
        assert_eq!((&line["private"], &line["to"]), (&json!(true), &json!(["Bob"])), "{line}");
        // What answers it stays between the two.
        peers[1].tell(&json!({"do": "say", "text": "psst", "reply": line["id"]}));
        let (_, answer) = peers[0].await_event(SOON, |e| e["event"] == "message" && e["from"] == "Bob");
        assert_eq!((&answer["private"], &answer["text"]), (&json!(true), &json!("psst")), "{answer}");
        // To nobody who is here: it is not said at all.
        peers[0].tell(&whisper(json!(["Bob", "Zoe"])));
        let (_, refused) = peers[0].await_event(SOON, |e| e["event"] == "error");
        assert!(refused["text"].as_str().is_some_and(|t| t.contains("Zoe")), "{refused}");
        say(&mut peers[0], "for all");
        // Lines come in one order: who shows this one first was not shown those before it.
        let mut late = Peer::chat(lan.command(4, PROGRAM), NAMES[3], "Standup");
        for peer in [&mut peers[2], &mut late] {
            let (_, line) = peer.await_event(SOON, |e| e["event"] == "message");
            assert_eq!((&line["text"], &line["private"]), (&json!("for all"), &json!(false)), "{line}");
        }
        let (_, line) = peers[1].await_event(SOON, |e| e["event"] == "message" && e["from"] == "Ada");
        assert_eq!(line["text"], "for all", "what named Zoe, too, is not said to Bob alone: {line}");
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

/// A terminal with `chat` in it, and all that it was sent, as `script` keeps it.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    sent: tempfile::NamedTempFile,
}

impl Terminal {
    fn open(lan: &Lan, host: usize, home: &tempfile::TempDir, name: &str) -> Self {
        let sent = tempfile::NamedTempFile::new().expect("temporary file");
        let mut command = lan.command(host, "script");
        private(&mut command, home);
        let typed = format!("stty rows 24 cols 90 && exec {PROGRAM} chat Standup --name {name}");
        command.env("TERM", "xterm").args(["-qfec", &typed, "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(sent.reopen().expect("the same file")).stderr(Stdio::null());
        let mut child = command.spawn().expect("start script");
        let keys = child.stdin.take().expect("piped");
        Self { child, keys, sent }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.sent.path()).expect("what was sent")).into_owned()
    }

    fn await_text(&self, words: &str) {
        assert!(
            poll(SOON, || self.text().contains(words).then_some(())).is_some(),
            "no {words:?} in {:?}",
            self.text()
        );
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal takes keys");
    }
}

#[test]
fn a_whole_terminal_is_taken_and_given_back() {
    sandboxed("chat::a_whole_terminal_is_taken_and_given_back", || {
        let lan = Lan::up(2);
        let mut peers = meeting(&lan, 1);
        let home = tempfile::tempdir().expect("temporary folder");
        let mut terminal = Terminal::open(&lan, 2, &home, "Bob");
        terminal.await_text("\x1b[?1049h");
        terminal.await_text("you are in");
        say(&mut peers[0], "tea?");
        terminal.await_text("tea?");
        // Up points at the line that is answered; a name of an emoji becomes one.
        terminal.press("\x1b[A");
        terminal.await_text("answering Ada");
        terminal.press("yes :tea:\r");
        let (_, answer) = peers[0].await_event(SOON, |e| e["event"] == "message" && e["from"] == "Bob");
        assert_eq!(answer["text"], "yes \u{1f375}", "{answer}");
        assert!(answer["reply"].is_string(), "{answer}");
        terminal.press("\x03");
        let ended = poll(SOON, || terminal.child.try_wait().expect("a child")).expect("Ctrl-C ends it");
        assert_eq!(ended.code(), Some(0));
        let text = terminal.text();
        let given_back = text.rfind("\x1b[?1049l").expect("the screen of before comes back");
        assert!(given_back > text.rfind("\x1b[?1049h").expect("taken"), "{text:?}");
        assert!(text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"), "the cursor is seen again");
        peers[0].await_person(SOON, "Bob", "left");
    });
}
