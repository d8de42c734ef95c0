//! Other people's players in a protected conference: what `tap` sends them, and what they open with the exported key.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::poll;
use crate::common::sandbox::sandboxed;
use crate::material::{FPS, tone, video};
use crate::players::{Running, SECONDS, assert_played, ffmpeg, play};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// What Ada has sent by the time the tap comes.
const FRAMES_BEFORE: usize = 4 * FPS;

/// Lets Ada send the known material to Bob in a protected conference for some seconds; then her streams are tapped on host 3,
/// into `ada.sdp` and `ada.json` of the folder that `play` is given, and what it leaves there is compared.
fn tapped(play: impl FnOnce(&Lan, &Path)) {
    let lan = Lan::up(3);
    let folder = tempfile::tempdir().expect("temporary folder");
    let (video, tone) = (video(folder.path(), 1), tone(folder.path()));
    let passphrase = folder.path().join("passphrase");
    std::fs::write(&passphrase, "what nobody guesses").expect("written");
    let given = ["--passphrase-file", &passphrase.to_string_lossy()];
    let sources = ["--camera", &video.file.to_string_lossy(), "--microphone", &tone.to_string_lossy()];
    let ada = Peer::protect(
        lan.command(1, PROGRAM),
        "Ada",
        "Standup",
        &[given, [sources[0], sources[1]], [sources[2], sources[3]]].concat(),
    );
    let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &given);
    bob.await_stats(SOON, "meets Ada", |s| s.meets("Ada"));
    ada.await_stats(SOON, "has sent for a while", |s| s.frames_sent() > FRAMES_BEFORE as f64);

    let home = tempfile::tempdir().expect("temporary folder");
    let mut command = lan.command(3, PROGRAM);
    private(&mut command, &home);
    let (sdp, keys) = (folder.path().join("ada.sdp"), folder.path().join("ada.json"));
    command.args(["tap", "Ada"]).args(given).arg("--sdp").arg(&sdp).arg("--export-key").arg(&keys);
    let _tap = Running(command.stdin(Stdio::null()).spawn().expect("start the program"));
    // The keys are written after the description.
    poll(SOON, || keys.exists().then_some(())).expect("the tap writes its files");
    let text = std::fs::read_to_string(&sdp).expect("SDP file");
    println!("{text}");
    assert!(text.contains("RTP/AVP 26") && text.contains("RTP/AVP 111") && text.contains("c=IN IP4 127.0.0.1\r\n"));

    play(&lan, folder.path());
    assert_played(&video, folder.path());
    let seen = ada.await_stats(SOON, "has statistics", |_| true);
    assert_eq!(seen.names(), ["Bob", "tap"], "statistics tell of a tap");
}

#[test]
fn ffmpeg_plays_what_is_tapped_of_a_protected_conference() {
    sandboxed("taps::ffmpeg_plays_what_is_tapped_of_a_protected_conference", || tapped(ffmpeg));
}

#[test]
fn gstreamer_opens_with_the_exported_key_a_protected_stream_it_comes_late_to() {
    sandboxed("taps::gstreamer_opens_with_the_exported_key_a_protected_stream_it_comes_late_to", || {
        tapped(|lan, folder| {
            let text = std::fs::read_to_string(folder.join("ada.json")).expect("file of keys");
            let keys: Value = serde_json::from_str(&text).expect("JSON");
            let source = |kind: &str| {
                let streams = keys["streams"].as_array().expect("streams");
                let stream = streams.iter().find(|s| s["kind"] == kind).expect("a stream of that kind");
                let text = |field: &str| stream[field].as_str().expect("text").to_owned();
                let (group, port, caps) = (text("group"), &stream["port"], text("caps"));
                format!("udpsrc address={group} port={port} multicast-iface=eth0 caps={caps} ! srtpdec")
            };
            let (picture, voice, folder) = (source("video"), source("audio"), folder.to_string_lossy());
            let pipeline = format!(
                "-e -q {picture} ! rtpjpegdepay ! queue ! jpegdec ! video/x-raw,format=I420 ! filesink location={folder}/v.raw \
                 {voice} ! rtpopusdepay ! queue ! opusdec ! audioconvert ! audio/x-raw,format=S16LE ! wavenc ! filesink location={folder}/a.wav"
            );
            let words: Vec<String> = pipeline.split_whitespace().map(str::to_owned).collect();
            play(lan, SECONDS + 2, "gst-launch-1.0", &words);
        });
    });
}
