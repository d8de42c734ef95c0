//! Other people's players open the session description of a participant, while others come and go.

use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::sandbox::sandboxed;
use crate::material::{Arrived, FPS, Video, assert_tone, raw_pictures, tone, video};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a player plays.
pub const SECONDS: usize = 10;

/// A program that is killed when it is no longer needed.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets Ada send the known material, writes her SDP into a folder, and gives that and host 3 to `play`; then compares
/// `v.raw` and `a.wav`, which `play` leaves there.
fn played_by(play: impl FnOnce(&Lan, &Path)) {
    played_on(Lan::up(4), play);
}

fn played_on(lan: Lan, play: impl FnOnce(&Lan, &Path)) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (video, tone) = (video(folder.path(), 1), tone(folder.path()));
    let sources = ["--camera", &video.file.to_string_lossy(), "--microphone", &tone.to_string_lossy()];
    let _ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &sources);
    let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &[]);
    bob.await_stats(SOON, "meets Ada", |s| s.meets("Ada"));

    let home = tempfile::tempdir().expect("temporary folder");
    let sdp = |once: &[&str]| {
        let mut command = lan.command(3, PROGRAM);
        private(&mut command, &home);
        command.args(["sdp", "Ada"]).args(once).stdin(Stdio::null());
        command
    };
    let printed = sdp(&["--once"]).output().expect("start the program");
    let text = String::from_utf8_lossy(&printed.stdout);
    println!("{text}");
    assert!(printed.status.success(), "sdp: {}", String::from_utf8_lossy(&printed.stderr));
    assert!(text.starts_with("v=0") && text.contains("RTP/AVP 26"), "that is no SDP with JPEG in it");
    std::fs::write(folder.path().join("ada.sdp"), text.as_bytes()).expect("SDP file");
    let _wanted = Running(sdp(&[]).stdout(Stdio::null()).spawn().expect("start the program"));

    std::thread::scope(|scope| {
        // Somebody comes, stays for a moment and goes, over and over.
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let lan = &lan;
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let mut guest = Peer::join(lan.command(4, PROGRAM), "Guest", "Standup", &["--duration", "2"]);
                guest.await_joined();
                guest.await_end(SOON);
            }
        });
        play(lan, folder.path());
        drop(stop);
    });
    assert_played(&video, folder.path());
}

/// Asserts that `v.raw` and `a.wav` of the folder are what Ada sent, without much left out.
#[track_caller]
pub fn assert_played(video: &Video, folder: &Path) {
    Arrived::compare(video, raw_pictures(&folder.join("v.raw"))).assert(SECONDS * FPS * 3 / 4, 0.95);
    assert_tone(&folder.join("a.wav"), SECONDS as f64 * 0.75);
}

/// Runs a player on host 3 to its end; it is interrupted when it takes far too long.
pub fn play(lan: &Lan, seconds: usize, program: &str, arguments: &[String]) {
    let mut command: Command = lan.command(3, "timeout");
    command.args(["-s", "INT", &seconds.to_string(), program]).args(arguments);
    let ran = command.stdin(Stdio::null()).output().expect("start the player");
    let said = String::from_utf8_lossy(&ran.stderr);
    println!("{program}: {}\n{}", ran.status, said.lines().rev().take(15).collect::<Vec<_>>().join("\n"));
}

/// FFmpeg on host 3 plays `ada.sdp` of the folder into `v.raw` and `a.wav`.
pub fn ffmpeg(lan: &Lan, folder: &Path) {
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let length = SECONDS.to_string();
    let options = "-v warning -protocol_whitelist file,udp,rtp -reorder_queue_size 100 -i";
    let mut all: Vec<String> = options.split(' ').map(str::to_owned).collect();
    all.push(file("ada.sdp"));
    all.extend(["-t", &length].map(str::to_owned));
    all.extend("-map 0:v -fps_mode passthrough -pix_fmt yuvj420p -f rawvideo".split(' ').map(str::to_owned));
    all.extend([file("v.raw"), "-t".into(), length, "-map".into(), "0:a".into(), file("a.wav")]);
    play(lan, SECONDS + 20, "ffmpeg", &all);
}

#[test]
fn ffmpeg_plays_a_participant() {
    sandboxed("players::ffmpeg_plays_a_participant", || played_by(ffmpeg));
}

#[test]
fn ffmpeg_plays_a_participant_over_ipv6() {
    sandboxed("players::ffmpeg_plays_a_participant_over_ipv6", || played_on(Lan::up_ipv6(4, |_| true), ffmpeg));
}

/// GStreamer on host 3 plays `ada.sdp` of the folder into `v.raw` and `a.wav`.
fn gstreamer(lan: &Lan, folder: &Path) {
    let folder = folder.to_string_lossy();
    let pipeline = format!(
        "-e -q filesrc location={folder}/ada.sdp ! sdpdemux name=d \
         d. ! rtpjpegdepay ! queue ! jpegdec ! video/x-raw,format=I420 ! filesink location={folder}/v.raw \
         d. ! rtpopusdepay ! queue ! opusdec ! audioconvert ! audio/x-raw,format=S16LE ! wavenc ! filesink location={folder}/a.wav"
    );
    let words: Vec<String> = pipeline.split_whitespace().map(str::to_owned).collect();
    play(lan, SECONDS + 2, "gst-launch-1.0", &words);
}

#[test]
fn gstreamer_plays_a_participant() {
    sandboxed("players::gstreamer_plays_a_participant", || played_by(gstreamer));
}

#[test]
fn gstreamer_plays_a_participant_over_ipv6() {
    sandboxed("players::gstreamer_plays_a_participant_over_ipv6", || played_on(Lan::up_ipv6(4, |_| true), gstreamer));
}
