//! Voice messages: recorded on one host, heard on another, beside a conference that goes on. And voices with priority.

use crate::amiss::Inside;
use crate::common::lan::Lan;
use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::poll;
use crate::common::sandbox::sandboxed;
use roundtable::media::test_voice::strength_at;
use roundtable::media::voice_message::Playback;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What Ada's microphone hears.
const TONE_HZ: f64 = 1_000.0;
/// Samples per second of everything here.
const RATE: f64 = 48_000.0;
/// As loud as this is not silence.
const HEARD: f32 = 0.02;

/// Two seconds of the tone at a quarter of full scale; a microphone repeats them.
fn tone(folder: &Path) -> String {
    tone_of(folder, TONE_HZ)
}

fn tone_of(folder: &Path, hz: f64) -> String {
    let file = folder.join(format!("tone-{hz}.wav"));
    let (bits_per_sample, sample_format) = (16, hound::SampleFormat::Int);
    let spec = hound::WavSpec { channels: 1, sample_rate: RATE as u32, bits_per_sample, sample_format };
    let mut out = hound::WavWriter::create(&file, spec).expect("WAV file");
    for n in 0..96_000 {
        let phase = f64::from(n) * hz * std::f64::consts::TAU / RATE;
        out.write_sample((phase.sin() * 8_192.0) as i16).expect("sample");
    }
    out.finalize().expect("WAV file");
    file.to_string_lossy().into_owned()
}

/// The samples of a message, to its end.
#[track_caller]
fn decoded(ogg: &Path) -> Vec<f32> {
    let mut playback = Playback::new().expect("a decoder");
    playback.push(&std::fs::read(ogg).expect("the message"));
    let mut all = Vec::new();
    while let Some(samples) = playback.samples().expect("Ogg Opus") {
        all.extend_from_slice(samples);
    }
    assert!(playback.is_ended(), "{} is cut short", ogg.display());
    all
}

/// Share of the power that is the tone, in pieces of 100 ms (Goertzel).
fn share_of_tone(samples: &[f32]) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * TONE_HZ / RATE).cos();
    let (mut tone, mut all) = (0.0, 1e-12);
    for piece in samples.chunks_exact(4_800) {
        let (a, b) = piece.iter().fold((0.0, 0.0), |(a, b), s| (f64::from(*s) + turn * a - b, a));
        tone += 2.0 * (a * a + b * b - turn * a * b) / 4_800.0;
        all += piece.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    }
    tone / all
}

/// What a speaker wrote, from the first sound to the last.
fn sound(speaker: &Path) -> Vec<f32> {
    let mut wav = hound::WavReader::open(speaker).expect("what the speaker wrote");
    let all: Vec<f32> = wav.samples::<i16>().map_while(Result::ok).map(|s| f32::from(s) / 32_768.0).collect();
    let loud = |s: &f32| s.abs() > HEARD;
    let first = all.iter().position(loud).unwrap_or(0);
    let last = all.iter().rposition(loud).map_or(0, |last| last + 1);
    all[first..last.max(first)].to_vec()
}

fn mean_power(samples: &[f32]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64
}

/// Two of a conference: Ada, whose microphone hears a tone, and Bob, whose speaker writes down what it gets.
struct Two {
    ada: Peer,
    bob: Peer,
    folder: tempfile::TempDir,
    heard: PathBuf,
}

impl Two {
    fn sit_down(lan: &Lan) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let heard = folder.path().join("heard.wav");
        let microphone = tone(folder.path());
        let options = ["--microphone", &microphone, "--camera", "none"];
        let mut ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &options);
        // Muted for the conference, so that whatever Bob hears is the message.
        ada.tell(&json!({"do": "mute", "on": true}));
        let speaker = heard.to_string_lossy().into_owned();
        let options = ["--microphone", "none", "--speaker", &speaker, "--camera", "none"];
        let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &options);
        Self { ada, bob, folder, heard }
    }
}

/// Waits for a message that came, and says what the offer said and where it is.
#[track_caller]
fn await_message(peer: &mut Peer) -> (Value, PathBuf) {
    let (_, offer) = peer.await_event(SOON, |e| e["event"] == "offer" && e["voice_ms"].is_number());
    let (_, file) = peer.await_event(SOON, |e| e["event"] == "file" && e["offer"] == offer["offer"]);
    (offer, PathBuf::from(file["path"].as_str().expect("a path")))
}

#[test]
fn what_one_says_is_heard_by_all_or_by_one_alone() {
    sandboxed("voice::what_one_says_is_heard_by_all_or_by_one_alone", || {
        let lan = Lan::up(3);
        let Two { mut ada, mut bob, folder, heard } = Two::sit_down(&lan);
        let mut cyd = Peer::chat(lan.command(3, PROGRAM), "Cyd", "Standup");
        bob.await_joined();
        cyd.await_joined();
        ada.await_people(SOON, &["Bob", "Cyd"]);
        bob.await_event(SOON, |e| e["event"] == "person" && e["name"] == "Ada" && e["muted"] == true);

        ada.tell(&json!({"do": "voice", "seconds": 3}));
        let (_, level) = ada.await_event(SOON, |e| e["event"] == "recording" && e["ms"].as_u64() >= Some(1_000));
        let level = level["level_dbfs"].as_f64().expect("a level");
        // A quarter of full scale, as a sine.
        assert!((-17.0..-13.0).contains(&level), "{level} dBFS");
        let (_, recorded) = ada.await_event(SOON, |e| e["event"] == "recorded");
        assert_eq!(recorded["ms"], 3_000, "{recorded}");
        assert!(recorded["waveform"].as_array().is_some_and(|w| w.len() == 64), "{recorded}");
        let sent = std::fs::read(recorded["path"].as_str().expect("a path")).expect("what was recorded");
        let mut came = Vec::new();
        for peer in [&mut bob, &mut cyd] {
            let (offer, path) = await_message(peer);
            assert_eq!((&offer["from"], &offer["private"]), (&json!("Ada"), &json!(false)));
            assert!(std::fs::read(&path).expect("the message") == sent, "{} has another", peer.name);
            let samples = decoded(&path);
            assert_eq!(samples.len(), 144_000);
            let share = share_of_tone(&samples);
            println!("{}: {} bytes, {:.1} % of it the tone", peer.name, sent.len(), 100.0 * share);
            assert!(share > 0.9, "{share}");
            came.push((offer, path));
        }
        bob.tell(&json!({"do": "play"}));
        bob.await_event(SOON, |e| e["event"] == "playing" && e["length_ms"] == 3_000);
        let (_, played) = bob.await_event(SOON, |e| e["event"] == "played");
        assert_eq!(played["whole"], true, "{played}");
        let copy = folder.path().join("copy.ogg");
        bob.tell(&json!({"do": "save", "offer": came[0].0["offer"], "path": copy}));
        bob.await_event(SOON, |e| e["event"] == "saved");
        assert!(std::fs::read(&copy).expect("the copy") == sent);

        // To Bob alone, who hears nothing of it unasked; then to everybody, so that Cyd would have had the first.
        ada.tell(&json!({"do": "voice", "seconds": 0.5, "to": "Bob"}));
        let (offer, path) = await_message(&mut bob);
        assert_eq!((&offer["private"], decoded(&path).len()), (&json!(true), 24_000));
        ada.await_event(SOON, |e| e["event"] == "recorded" && e["ms"] == 500);
        ada.tell(&json!({"do": "voice", "on": true}));
        ada.await_event(SOON, |e| e["event"] == "recording" && e["ms"].as_u64() >= Some(1_000));
        ada.tell(&json!({"do": "voice", "on": false}));
        let (_, kept) = ada.await_event(SOON, |e| e["event"] == "recorded");
        ada.tell(&json!({"do": "voice_send"}));
        let (_, next) = cyd.await_event(SOON, |e| e["event"] == "offer");
        assert_eq!(next["voice_ms"], kept["ms"], "Cyd learns of nothing between: {next}");
        assert_eq!(next["private"], false);

        bob.tell(&json!({"do": "leave"}));
        bob.await_end(SOON);
        let heard = sound(&heard);
        let (seconds, share) = (heard.len() as f64 / RATE, share_of_tone(&heard));
        println!(
            "Bob's speaker: {seconds:.2} s, {:.1} % of it the tone, power {:.4}",
            100.0 * share,
            mean_power(&heard)
        );
        // One message of three seconds, without a gap: the one to him alone was not played.
        assert!((2.9..3.1).contains(&seconds), "{seconds} s");
        assert!(share > 0.9 && (0.02..0.05).contains(&mean_power(&heard)), "{share}, {}", mean_power(&heard));
    });
}

/// Seconds of sound in what a speaker has written so far, while it goes on writing.
fn seconds_heard(speaker: &Path) -> f64 {
    const HEADER_BYTES: usize = 44;
    let bytes = std::fs::read(speaker).unwrap_or_default();
    let (samples, _) = bytes.get(HEADER_BYTES..).unwrap_or_default().as_chunks::<2>();
    let loud = samples.iter().filter(|s| f32::from(i16::from_le_bytes(**s)).abs() / 32_768.0 > HEARD);
    loud.count() as f64 / RATE
}

#[test]
fn a_message_is_heard_while_the_rest_of_it_still_comes() {
    sandboxed("voice::a_message_is_heard_while_the_rest_of_it_still_comes", || {
        let lan = Lan::up(2);
        let Two { mut ada, mut bob, heard, folder: _folder } = Two::sit_down(&lan);
        bob.await_joined();
        ada.await_person(SOON, "Bob", "joined");
        bob.await_event(SOON, |e| e["event"] == "person" && e["name"] == "Ada" && e["muted"] == true);
        ada.tell(&json!({"do": "voice"}));
        ada.await_event(SOON, |e| e["event"] == "recording" && e["ms"].as_u64() >= Some(6_000));
        ada.tell(&json!({"do": "voice", "on": false}));
        let (_, recorded) = ada.await_event(SOON, |e| e["event"] == "recorded");
        let seconds = recorded["ms"].as_f64().expect("a length") / 1_000.0;
        let bytes = std::fs::metadata(recorded["path"].as_str().expect("a path")).expect("what was recorded").len();
        // Of its pieces only so many reach Bob, counted one by one; whatever he asks for does not.
        lan.ip(1, "link set eth0 gso_max_segs 1");
        let group = Inside::new().group;
        let (to, port) = (group.ip(), group.port());
        lan.drop_incoming(2, &[&format!("ip daddr {to} udp dport {port} quota over {} bytes", 2 * bytes / 3)]);
        ada.tell(&json!({"do": "voice_send"}));
        bob.await_event(SOON, |e| e["event"] == "offer" && e["voice_ms"].is_number());
        bob.tell(&json!({"do": "play"}));
        bob.await_event(SOON, |e| e["event"] == "playing");
        let early = poll(SOON, || (seconds_heard(&heard) > 1.0).then_some(()));
        assert!(early.is_some(), "{:.2} s of what has come were heard", seconds_heard(&heard));
        let came = bob.drain_events();
        assert!(!came.iter().any(|e| e["event"] == "file" || e["event"] == "played"), "{came:?}");
        lan.accept_incoming(2);
        bob.await_event(SOON, |e| e["event"] == "file");
        let (_, played) = bob.await_event(SOON, |e| e["event"] == "played");
        assert_eq!(played["whole"], true, "{played}");
        bob.tell(&json!({"do": "leave"}));
        bob.await_end(SOON);
        let all = seconds_heard(&heard);
        println!("{bytes} bytes, {seconds:.1} s, of which {all:.1} s were heard");
        assert!(all > 0.85 * seconds && all < 1.02 * seconds, "{all} s of {seconds} s");
    });
}

#[test]
fn a_message_is_kept_heard_thrown_away_and_never_sent_by_mistake() {
    sandboxed("voice::a_message_is_kept_heard_thrown_away_and_never_sent_by_mistake", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(1);
        let heard = folder.path().join("heard.wav");
        let (microphone, speaker) = (tone(folder.path()), heard.to_string_lossy().into_owned());
        let options = ["--microphone", &microphone, "--speaker", &speaker, "--camera", "none"];
        let mut ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &options);
        let failed = |peer: &mut Peer, line: Value, why: &str| {
            peer.tell(&line);
            let (_, event) = peer.await_event(SOON, |e| e["event"] == "voice_failed");
            assert!(event["text"].as_str().is_some_and(|text| text.contains(why)), "{event}");
        };
        failed(&mut ada, json!({"do": "voice", "on": false}), "no voice message is being recorded");
        failed(&mut ada, json!({"do": "voice_send"}), "no voice message to send");
        failed(&mut ada, json!({"do": "voice_discard"}), "no voice message to discard");
        failed(&mut ada, json!({"do": "play"}), "no such voice message");
        failed(&mut ada, json!({"do": "voice", "seconds": 1, "to": "Bob"}), "nobody here is called");
        // Thrown away while it is recorded: there is nothing of it.
        ada.tell(&json!({"do": "voice"}));
        failed(&mut ada, json!({"do": "voice"}), "being recorded already");
        ada.tell(&json!({"do": "voice_discard"}));
        ada.await_event(SOON, |e| e["event"] == "discarded");
        // Kept, heard, and not sent to somebody who is not there.
        ada.tell(&json!({"do": "voice"}));
        ada.await_event(SOON, |e| e["event"] == "recording" && e["ms"].as_u64() >= Some(1_000));
        ada.tell(&json!({"do": "voice", "on": false}));
        let (_, recorded) = ada.await_event(SOON, |e| e["event"] == "recorded");
        let path = PathBuf::from(recorded["path"].as_str().expect("a path"));
        let length = decoded(&path).len();
        assert_eq!(length as u64 / 48, recorded["ms"].as_u64().expect("a length"));
        failed(&mut ada, json!({"do": "voice"}), "send it or discard it first");
        failed(&mut ada, json!({"do": "voice_send", "to": "Bob"}), "nobody here is called");
        ada.tell(&json!({"do": "play_volume", "percent": 50}));
        ada.tell(&json!({"do": "play"}));
        let (_, played) = ada.await_event(SOON, |e| e["event"] == "played");
        assert_eq!((&played["whole"], &played["offer"]), (&json!(true), &Value::Null));
        ada.tell(&json!({"do": "voice_discard"}));
        ada.await_event(SOON, |e| e["event"] == "discarded");
        assert!(!path.exists());
        ada.tell(&json!({"do": "leave"}));
        ada.await_end(SOON);
        let heard = sound(&heard);
        let power = mean_power(&heard);
        println!("{} samples recorded, {} heard, power {power:.5}", length, heard.len());
        assert!(heard.len().abs_diff(length) < 4_800 && share_of_tone(&heard) > 0.9);
        // Half as loud: a quarter of the power of a sine of a quarter of full scale.
        assert!((0.005..0.012).contains(&power), "{power}");
    });
}

/// Strength of a tone in each tenth of a second of what a speaker has written so far.
fn strengths(speaker: &Path, hz: f32) -> Vec<f32> {
    const HEADER_BYTES: usize = 44;
    let bytes = std::fs::read(speaker).unwrap_or_default();
    let (samples, _) = bytes.get(HEADER_BYTES..).unwrap_or_default().as_chunks::<2>();
    let all: Vec<f32> = samples.iter().map(|s| f32::from(i16::from_le_bytes(*s)) / 32_768.0).collect();
    all.chunks_exact(4_800).map(|piece| strength_at(piece, hz)).collect()
}

#[test]
fn how_loudly_somebody_is_heard_stays_when_they_leave_and_come_back() {
    sandboxed("voice::how_loudly_somebody_is_heard_stays_when_they_leave_and_come_back", || {
        let lan = Lan::up(2);
        let folder = tempfile::tempdir().expect("temporary folder");
        let (microphone, heard) = (tone(folder.path()), folder.path().join("heard.wav"));
        let speaks = ["--microphone", &microphone, "--camera", "none"];
        let speaker = heard.to_string_lossy().into_owned();
        let listens = ["--microphone", "none", "--speaker", &speaker, "--camera", "none"];
        let mut bob = Peer::start(lan.command(2, PROGRAM), "Bob", "Standup", &listens);
        let mut ada = Peer::join(lan.command(1, PROGRAM), "Ada", "Standup", &speaks);
        let lately = || strengths(&heard, TONE_HZ as f32).into_iter().rev().take(5).collect::<Vec<_>>();
        let lengths = || strengths(&heard, TONE_HZ as f32).len();
        let await_strength = |what: &str, wanted: std::ops::Range<f32>| {
            let settled = || Some(lately()).filter(|all| all.len() == 5 && all.iter().all(|s| wanted.contains(s)));
            poll(SOON, settled).unwrap_or_else(|| panic!("{what}: {:?}", lately()));
        };
        await_strength("as Ada sends it", 0.1..0.5);
        bob.tell(&json!({"do": "hear", "who": "Ada", "volume": 25}));
        bob.await_event(SOON, |e| e["event"] == "notice" && e["text"] == "Ada is played at 25 %, here only");
        await_strength("a quarter", 0.03..0.08);
        bob.tell(&json!({"do": "hear", "who": "Nobody", "silenced": true}));
        bob.await_event(SOON, |e| e["event"] == "notice" && e["text"] == "Nobody: nobody is called that here");

        for (silenced, wanted, since_then) in [(true, 0.0..0.001, 0.0..0.001), (false, 0.03..0.08, 0.0..0.08)] {
            bob.tell(&json!({"do": "hear", "who": "Ada", "silenced": silenced}));
            await_strength("before Ada leaves", wanted);
            let (before, began) = (bob.stats().map_or(0.0, |s| s.packets_heard("Ada")), lengths());
            ada.tell(&json!({"do": "leave"}));
            ada = ada.come_back(lan.command(1, PROGRAM), "Standup", &speaks);
            bob.await_stats(SOON, "hears Ada again", |s| s.packets_heard("Ada") > before + 100.0);
            let since = strengths(&heard, TONE_HZ as f32).split_off(began);
            assert!(since.iter().all(|s| since_then.contains(s)), "silenced {silenced}: {since:.3?}");
        }
        bob.tell(&json!({"do": "hear", "who": "Ada", "volume": 100}));
        await_strength("as Ada sends it, again", 0.1..0.5);
        drop(ada);
    });
}

#[test]
fn a_voice_with_priority_fades_the_others_at_everybodys_speaker_and_only_who_may_has_one() {
    sandboxed("voice::a_voice_with_priority_fades_the_others_at_everybodys_speaker_and_only_who_may_has_one", || {
        const BOB_HZ: f64 = 400.0;
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(3);
        let (passphrase, speaker) = (folder.path().join("passphrase"), folder.path().join("heard.wav"));
        std::fs::write(&passphrase, "one two three four five").expect("written");
        let passphrase = passphrase.to_str().expect("a path");
        let microphones = [TONE_HZ, BOB_HZ].map(|hz| tone_of(folder.path(), hz));
        let with = |microphone: &str, speaker: &str, act: &dyn Fn(&[&str]) -> Peer| {
            act(&[
                "--passphrase-file",
                passphrase,
                "--camera",
                "none",
                "--microphone",
                microphone,
                "--speaker",
                speaker,
            ])
        };
        let mut ada = with(&microphones[0], "none", &|o| Peer::protect(lan.command(1, PROGRAM), "Ada", "Council", o));
        ada.tell(&json!({"do": "mute", "on": true}));
        let mut bob = with(&microphones[1], "none", &|o| Peer::join(lan.command(2, PROGRAM), "Bob", "Council", o));
        let heard = speaker.to_str().expect("a path");
        let mut cyd = with("none", heard, &|o| Peer::join(lan.command(3, PROGRAM), "Cyd", "Council", o));
        let says =
            |e: &Value, what: &str| e["event"] == "notice" && e["text"].as_str().is_some_and(|t| t.contains(what));
        // The last whole seconds of what Cyd heard.
        let lately = |hz: f64| strengths(&speaker, hz as f32).into_iter().rev().take(10).collect::<Vec<_>>();
        let steady =
            |all: &[f32], range: std::ops::Range<f32>| all.len() == 10 && all.iter().all(|s| range.contains(s));
        let bob_alone = || poll(SOON, || steady(&lately(BOB_HZ), 0.2..0.3).then_some(()));
        assert!(bob_alone().is_some(), "Bob is heard: {:?}", lately(BOB_HZ));

        // Bob may not, and says so to no effect.
        bob.tell(&json!({"do": "priority", "on": true}));
        bob.await_event(SOON, |e| says(e, "only the owner, moderators and whom they favour"));

        ada.tell(&json!({"do": "priority", "on": true}));
        cyd.await_event(SOON, |e| says(e, "Ada speaks with priority"));
        // 18 dB are 0.126 of a quarter of full scale.
        let faded = || steady(&lately(TONE_HZ), 0.2..0.3) && steady(&lately(BOB_HZ), 0.022..0.042);
        let over = poll(SOON, || faded().then_some(()));
        assert!(over.is_some(), "Ada {:?}, Bob {:?}", lately(TONE_HZ), lately(BOB_HZ));
        ada.tell(&json!({"do": "priority", "on": false}));
        assert!(bob_alone().is_some(), "Bob is back: {:?}", lately(BOB_HZ));
        assert!(lately(TONE_HZ).iter().all(|s| *s < 0.01), "Ada is muted as before: {:?}", lately(TONE_HZ));

        // Whom the owner favours, may.
        ada.tell(&json!({"do": "favour", "who": "Bob", "on": true}));
        let favoured = poll(SOON, || {
            bob.tell(&json!({"do": "priority", "on": true}));
            cyd.drain_events().iter().any(|e| says(e, "Bob speaks with priority")).then_some(())
        });
        assert!(favoured.is_some(), "Bob speaks with priority");
        assert!(bob_alone().is_some(), "and as loudly as ever: {:?}", lately(BOB_HZ));
        let bob = strengths(&speaker, BOB_HZ as f32);
        let first = bob.iter().position(|s| *s > 0.2).unwrap_or(0);
        let softest = bob[first + 1..].iter().copied().fold(1.0, f32::min);
        println!("{:.1} s heard; Bob at his softest {softest:.3} of 0.25", bob.len() as f64 / 10.0);
        assert!(softest > 0.02, "he was never silent: {softest}");
    });
}
