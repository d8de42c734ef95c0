//! What a stranger at the switch, and one at this machine, can read of a protected conference.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, assert_all_show, await_all_meet, private};
use crate::common::random::Random;
use crate::common::sandbox::sandboxed;
use crate::common::sniffer::Sniffer;
use crate::hostile::open_listeners;
use roundtable::media::jpeg::{BandEncoder, FrameParams, to_jpeg};
use roundtable::media::picture::{Chroma, Yuv};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
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
    stdin.write_all(format!("{invite}\n").as_bytes()).expect("the invite is read");
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

/// Ada, whose camera and file are known to the byte, meets Bob: what of both stands on the wire.
fn overheard(open: bool) {
    let lan = Lan::up(3);
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut random = Random::seeded();
    let mut noise = |length: usize| {
        let mut bytes = Vec::new();
        random.fill(&mut bytes, length);
        bytes
    };
    let (jpeg, content) = (jpeg(&noise(WIDTH * HEIGHT)), noise(300_000));
    let (camera, file) = (folder.path().join("camera.mjpeg"), folder.path().join("plans.bin"));
    std::fs::write(&camera, &jpeg).expect("written");
    std::fs::write(&file, &content).expect("written");
    let (camera, download) = (camera.to_string_lossy(), folder.path().join("Bob"));
    let download = download.to_string_lossy();
    let sniffer = Sniffer::start();
    let begin = if open { Peer::start } else { Peer::protect };
    std::fs::write(folder.path().join("passphrase"), "what nobody guesses").expect("written");
    let passphrase = folder.path().join("passphrase");
    let given = ["--passphrase-file", &passphrase.to_string_lossy()];
    let given = if open { &[] } else { &given[..] };
    let mut ada = begin(lan.command(1, PROGRAM), ADA, TITLE, &[given, &["--camera", &camera]].concat());
    let accept = ["--accept-files", "all", "--download", &download];
    let mut bob = Peer::join(lan.command(2, PROGRAM), BOB, TITLE, &[given, &accept].concat());
    await_all_meet(&[&ada, &bob]);
    assert_all_show(&[&ada, &bob], 2.0, 0.9);
    ada.tell(&json!({"do": "send", "path": file}));
    let (_, came) = bob.await_event(SOON, |e| e["event"] == "file" && e["name"] == "plans.bin");
    assert_eq!(std::fs::read(came["path"].as_str().expect("a path")).expect("the file"), content);

    for address in open_listeners(&lan, 2) {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        // May be closed already.
        let _ = stream.write_all(&[7; 200]).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{address} answers a stranger {} bytes", answer.len());
    }
    drop((ada, bob));

    let frames = sniffer.finish();
    for (what, bytes) in [("picture", &jpeg[jpeg.len() / 2..]), ("file", &content[..])] {
        // Wherever packets begin and end, one of these is within one.
        let needles: Vec<&[u8]> = bytes.chunks_exact(64).take(200).collect();
        let found = needles.iter().filter(|needle| frames.iter().any(|f| f.holds(needle))).count();
        println!("open: {open}, {what}: {found} of {} pieces stand on the wire", needles.len());
        // Files are sealed in every conference: in an open one, with a key that anybody can make.
        let expected = if open && what == "picture" { needles.len() / 2..=needles.len() } else { 0..=0 };
        assert!(expected.contains(&found), "{what}: {found} of {} pieces", needles.len());
    }
}

const WIDTH: usize = 320;
const HEIGHT: usize = 192;

/// A whole JPEG of `luma`, as cameras make them.
fn jpeg(luma: &[u8]) -> Vec<u8> {
    let mut picture = Yuv::default();
    picture.reshape(WIDTH, HEIGHT, Chroma::C420);
    picture.y.copy_from_slice(luma);
    let mut scan = Vec::new();
    let mut encoder = BandEncoder::new().expect("an encoder");
    encoder.encode(&picture, 60, 1, &mut |band| scan.extend_from_slice(band.scan)).expect("encoded");
    let params = FrameParams {
        width: WIDTH,
        height: HEIGHT,
        chroma: picture.chroma,
        restart_interval: encoder.restart_interval(),
        tables: encoder.tables(),
        crop: None,
    };
    let mut jpeg = Vec::new();
    to_jpeg(&params, &scan, &mut jpeg);
    jpeg
}

#[test]
fn pictures_stand_on_the_wire_of_an_open_conference() {
    sandboxed("stranger::pictures_stand_on_the_wire_of_an_open_conference", || overheard(true));
}

#[test]
fn pictures_and_files_of_a_protected_conference_do_not_stand_on_the_wire() {
    sandboxed("stranger::pictures_and_files_of_a_protected_conference_do_not_stand_on_the_wire", || overheard(false));
}
