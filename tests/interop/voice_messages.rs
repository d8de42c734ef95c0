//! Voice messages, in other players and from other recorders.

use std::path::Path;

use roundtable::limits::VOICE_MS_MAX;
use roundtable::media::voice_message::{Playback, Recording, VoiceMessage};
use roundtable::media::wav::WavSink;

use crate::material::{TONE_HZ, assert_tone, run, tone};

/// Two seconds and a bit of the tone, so that the last packet ends early.
const SAMPLES: usize = 2 * 48_000 + 500;

fn message() -> VoiceMessage {
    let mut recording = Recording::new(7, VOICE_MS_MAX).expect("a recording");
    let step = TONE_HZ as f32 * std::f32::consts::TAU / 48_000.0;
    let tone: Vec<f32> = (0..SAMPLES).map(|n| 0.25 * (n as f32 * step).sin()).collect();
    recording.push(&tone).expect("recorded");
    recording.finish().expect("a message")
}

fn samples(wav: &Path) -> usize {
    let wav = hound::WavReader::open(wav).expect("a WAV file");
    assert_eq!(wav.spec().sample_rate, 48_000);
    wav.duration() as usize
}

#[test]
fn ffmpeg_plays_a_voice_message_to_its_last_sample() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ogg, wav) = (folder.path().join("voice.ogg"), folder.path().join("voice.wav"));
    std::fs::write(&ogg, message().file).expect("written");
    let arguments = ["-v", "error", "-xerror", "-i", &ogg.to_string_lossy(), &wav.to_string_lossy()];
    run("ffmpeg", &arguments);
    assert_tone(&wav, 2.0);
    assert_eq!(samples(&wav), SAMPLES);
}

#[test]
fn gstreamer_plays_a_voice_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ogg, wav) = (folder.path().join("voice.ogg"), folder.path().join("voice.wav"));
    std::fs::write(&ogg, message().file).expect("written");
    let pipeline = format!(
        "filesrc location={} ! oggdemux ! opusparse ! opusdec ! audioconvert ! audio/x-raw,format=S16LE ! wavenc ! filesink location={}",
        ogg.display(),
        wav.display()
    );
    let mut arguments = vec!["-q"];
    arguments.extend(pipeline.split_whitespace());
    run("gst-launch-1.0", &arguments);
    assert_tone(&wav, 2.0);
    // GStreamer 1.22 trims the end of a file to a packet.
    assert!((SAMPLES..SAMPLES + 960).contains(&samples(&wav)), "{}", samples(&wav));
}

#[test]
fn what_ffmpeg_records_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = tone(folder.path());
    for (codec, channels) in [("libopus", "1"), ("libopus", "2")] {
        let (ogg, wav) = (folder.path().join("theirs.ogg"), folder.path().join("heard.wav"));
        let (source, written) = (source.to_string_lossy(), ogg.to_string_lossy());
        run("ffmpeg", &["-v", "error", "-y", "-i", &source, "-ac", channels, "-c:a", codec, "-b:a", "64k", &written]);
        let mut playback = Playback::new().expect("a decoder");
        let mut sink = WavSink::create(&wav).expect("a file");
        let mut heard = 0;
        for part in std::fs::read(&ogg).expect("what ffmpeg wrote").chunks(1_000) {
            playback.push(part);
            while let Some(samples) = playback.samples().expect("Opus") {
                sink.write(samples).expect("written");
                heard += samples.len();
            }
        }
        drop(sink);
        assert!(playback.is_ended());
        assert_eq!(heard, 96_000, "{channels} channels");
        assert_tone(&wav, 2.0);
    }
}
