//! What a stranger at the switch, and one at this machine, can read of a protected conference.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, await_all_meet, private};
use crate::common::sandbox::sandboxed;
use crate::common::sniffer::Sniffer;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};

/// Long enough that no ciphertext holds them by accident.
const ADA: &str = "Ada of the Analytical Engine";
const BOB: &str = "Bob of the Boolean Algebra";
const TITLE: &str = "Council of the Wire";
const SAID: &str = "meet me behind the second rack";
const REPLIED: &str = "bring the long ladder with you";

fn tap(mut command: Command, home: &tempfile::TempDir, invite: &str) -> String {
    private(&mut command, home);
    command.args(["tap", ADA, "--conference", "-", "--duration", "3"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the program");
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, format!("{invite}\n").as_bytes()).expect("the invite is read");
    let ran = child.wait_with_output().expect("the end of the tap");
    assert!(ran.status.success(), "{}", ran.status);
    String::from_utf8(ran.stdout).expect("UTF-8")
}

fn assert_nowhere(folder: &Path, needle: &str) {
    for entry in std::fs::read_dir(folder).expect("folder").map(|e| e.expect("entry").path()) {
        if entry.is_dir() {
            assert_nowhere(&entry, needle);
        } else if let Ok(bytes) = std::fs::read(&entry) {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "the passphrase stands in {}", entry.display());
        }
    }
}

#[test]
fn neither_the_wire_nor_the_disk_holds_what_is_secret() {
    sandboxed("stranger::neither_the_wire_nor_the_disk_holds_what_is_secret", || {
        let lan = Lan::up(3);
        let sniffer = Sniffer::start();
        let talkative = |h: usize| {
            let mut command = lan.command(h, PROGRAM);
            command.env("ROUNDTABLE_LOG", "roundtable=trace");
            command
        };
        let command = talkative(1);
        let mut ada = Peer::begin(command, ADA, TITLE, &[]);
        let (_, told) = ada.await_event(SOON, |e| e["event"] == "invite");
        let (invite, passphrase) = (told["invite"].as_str(), told["passphrase"].as_str());
        let (invite, passphrase) = (invite.expect("invite").to_owned(), passphrase.expect("passphrase").to_owned());
        assert_eq!(passphrase.split('-').count(), 5, "five words");
        let mut bob = Peer::join(talkative(2), BOB, "-", &[]);
        bob.write_line(&invite);
        await_all_meet(&[&ada, &bob]);

        bob.tell(&json!({"do": "say", "text": SAID}));
        let (_, said) = ada.await_event(SOON, |e| e["event"] == "message" && e["text"] == SAID);
        ada.tell(&json!({"do": "say", "text": REPLIED, "reply": said["id"]}));
        bob.await_event(SOON, |e| e["event"] == "message" && e["text"] == REPLIED);
        let home = tempfile::tempdir().expect("temporary folder");
        let sdp = tap(lan.command(3, PROGRAM), &home, &invite);
        let cname = sdp.lines().find_map(|line| line.strip_prefix("o=")?.split(' ').next()).expect("origin in the SDP");
        assert!(cname.contains("@10.77.0.1"), "{cname}");

        for (peer, what) in [(&ada, "Ada"), (&bob, "Bob")] {
            let log = peer.log();
            assert!(log.contains("joined"), "{what} logs what it does when asked to: {log}");
            for secret in [ADA, BOB, TITLE, SAID, REPLIED, &passphrase] {
                assert!(!log.contains(secret), "\"{secret}\" is in the log of {what}: {log}");
            }
            let given = peer.given();
            assert!(!given.windows(passphrase.len()).any(|w| w == passphrase.as_bytes()), "given to {what}");
            assert_nowhere(peer.home(), &passphrase);
        }
        assert_nowhere(home.path(), &passphrase);
        drop((ada, bob));

        let frames = sniffer.finish();
        let bytes: usize = frames.iter().map(|f| f.bytes.len()).sum();
        println!("{} frames, {bytes} bytes were recorded", frames.len());
        assert!(bytes > 1_000_000, "that is no conference");
        let announced = frames.iter().any(|f| f.holds(TITLE.as_bytes()));
        assert!(announced, "announcements carry the title in clear: without it the recording is searched in vain");
        for secret in [ADA, BOB, SAID, REPLIED, cname, &passphrase] {
            let found = frames.iter().filter(|f| f.holds(secret.as_bytes())).map(|f| f.ports()).collect::<Vec<_>>();
            assert!(found.is_empty(), "\"{secret}\" is on the wire, between ports {found:?}");
        }
    });
}
