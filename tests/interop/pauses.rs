//! Voices that leave out their silence: FFmpeg and GStreamer hear our words at their times, and we theirs.
//!
//! ```text
//! words.wav > AudioSend ))) loopback ))) player > heard.wav           words.wav > GStreamer ))) Receiver, AudioReceiver > heard.wav
//!                               '-- packets, looked at
//! ```

use std::net::{Ipv4Addr, SocketAddr, UdpSocket as Plain};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use roundtable::device::clock::Clock;
use roundtable::device::net::{Interface, UdpSocket};
use roundtable::device::sound::{Buffers, MicrophoneSpec, SpeakerSpec};
use roundtable::media::opus;
use roundtable::media::test_voice::TestVoice;
use roundtable::media::voice;
use roundtable::media::wav::WavSink;
use roundtable::pipeline::audio_receive::AudioReceiver;
use roundtable::pipeline::audio_send::{AudioSender, Config};
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::{ClockOffset, Receiver, Sink, Subscription};
use roundtable::wire::{rtp, sdp};

use crate::common::poll;
use crate::common::sandbox::{sandboxed, sh};
use crate::players::Running;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 0, 2);
const PORT: u16 = 5_008;
const RATE: usize = 48_000;
/// When the words begin; each lasts [`WORD_S`]. The pauses differ, so that one that is left out moves what follows.
const WORDS_S: [f64; 4] = [0.5, 3.5, 7.1, 9.6];
const WORD_S: f64 = 0.9;
/// All that is said, with the silence behind it.
const LENGTH_S: f64 = 12.0;
/// Edges may be heard so far from their times: a filter that softens them, a buffer that gets shorter after the first word.
const OFF_S: f64 = 0.08;
/// Louder than this is a word.
const LOUD: f32 = 0.02;
/// Longer than anything takes here.
const AT_MOST: Duration = Duration::from_secs(30);

/// The words, as a WAV file.
fn words(folder: &Path) -> std::path::PathBuf {
    let mut samples = vec![0.0; (LENGTH_S * RATE as f64) as usize];
    for at in WORDS_S {
        let from = (at * RATE as f64) as usize;
        TestVoice::new(250.0).render(&mut samples[from..from + (WORD_S * RATE as f64) as usize]);
    }
    let file = folder.join("words.wav");
    WavSink::create(&file).expect("a file").write(&samples).expect("written");
    file
}

/// When the words of a WAV file begin and end, in seconds. What is silent for less than a third of a second is inside a word.
fn words_of(file: &Path) -> Vec<(f64, f64)> {
    let mut wav = hound::WavReader::open(file).unwrap_or_else(|e| panic!("{}: nothing heard: {e}", file.display()));
    let spec = wav.spec();
    assert_eq!(spec.sample_format, hound::SampleFormat::Int);
    let step = spec.sample_rate as usize / 200;
    // The file of a program that was interrupted may end anywhere.
    let samples: Vec<f32> = wav.samples::<i16>().map_while(Result::ok).map(|s| f32::from(s) / 32_768.0).collect();
    let one: Vec<f32> = samples.into_iter().step_by(spec.channels.into()).collect();
    let mut words: Vec<(f64, f64)> = Vec::new();
    for (piece, n) in one.chunks(step).zip(0..) {
        let at = f64::from(n) / 200.0;
        if piece.iter().all(|s| s.abs() < LOUD) {
            continue;
        }
        match words.last_mut().filter(|word| at - word.1 < 0.33) {
            Some(word) => word.1 = at,
            None => words.push((at, at)),
        }
    }
    words
}

/// Asserts that what was heard is the words, as long as they were and as far from one another.
#[track_caller]
fn assert_in_place(said: &Path, heard: &Path) {
    let (said, heard) = (words_of(said), words_of(heard));
    println!("said {said:.3?}\nheard {heard:.3?}");
    assert_eq!((said.len(), heard.len()), (WORDS_S.len(), WORDS_S.len()));
    let shifted: Vec<f64> = said.iter().zip(&heard).flat_map(|(s, h)| [h.0 - s.0, h.1 - s.1]).collect();
    let (least, most) = shifted.iter().fold((f64::MAX, f64::MIN), |(l, m), &s| (l.min(s), m.max(s)));
    println!("edges of words are heard within {:.0} ms of one another's times", 1_000.0 * (most - least));
    assert!(most - least < OFF_S, "shifted by {shifted:.3?} s");
}

/// Whether a program has joined the group.
fn joined() -> Option<()> {
    let groups = std::fs::read_to_string("/proc/net/igmp").expect("a network");
    let hex = format!("{:08X}", u32::from_le_bytes(GROUP.octets()));
    groups.contains(&hex).then_some(())
}

fn start(program: &str, arguments: &str) -> Running {
    println!("{program} {arguments}");
    let words = arguments.split_whitespace();
    let child = Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    Running(child.unwrap_or_else(|e| panic!("{program} (scripts/setup --test installs it): {e}")))
}

/// Lets a player end its file.
fn interrupt(child: &mut Child) {
    sh(&format!("kill -INT {}", child.id()));
    poll(AT_MOST, || child.try_wait().expect("a child")).expect("the player ends");
}

/// Has our words played by a program, which is given the folder of `ada.sdp` and writes `heard.wav` there.
fn played_by(program: &str, arguments: impl FnOnce(&str) -> String) {
    sh("ip route add 224.0.0.0/4 dev lo");
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = words(folder.path());
    let rtp = SocketAddr::from((GROUP, PORT));
    let text = sdp::Description {
        cname: "ada@host",
        session_id: 1,
        version: 1,
        origin: Ipv4Addr::LOCALHOST.into(),
        title: "Standup",
        name: "Ada",
        ttl: 1,
        video: None,
        audio: Some(rtp),
    };
    std::fs::write(folder.path().join("ada.sdp"), text.to_text()).expect("written");
    let mut player = start(program, &arguments(&folder.path().to_string_lossy()));
    poll(AT_MOST, joined).expect("the player joins");
    let packets = say(&file, rtp);
    assert_paused(&packets);
    interrupt(&mut player.0);
    assert_in_place(&file, &folder.path().join("heard.wav"));
}

/// Marker, sequence number, timestamp and length of what was coded of each packet.
type Sent = (bool, u16, u32, usize);

/// Says all of `file` once, with noise held down, as to a conference; gives what was sent.
fn say(file: &Path, rtp: SocketAddr) -> Vec<Sent> {
    let interface = Interface::choose(Some("127.0.0.1")).expect("a loopback");
    let watch = Plain::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    watch.set_read_timeout(Some(AT_MOST)).expect("timeout");
    let destination = Destination::default();
    destination.set(Some(rtp));
    destination.set_copies(&[watch.local_addr().expect("bound")]);
    let socket = Arc::new(UdpSocket::unicast(&interface, 1).expect("a free port"));
    let config = Config {
        microphone: MicrophoneSpec::File(file.to_owned()),
        pitch_hz: 250.0,
        frame_ms: 20,
        voice: voice::Settings { noise: true, ..voice::Settings::NONE },
        reference: None,
        threshold_dbfs: None,
        opus: opus::Settings::default(),
        ssrc: 0x1234,
        first_sequence: 65_500,
        first_timestamp: u32::MAX - 5 * RATE as u32,
        cname: "ada@host".into(),
        name: "Ada".into(),
        master: None,
        position: Arc::default(),
        repair: None,
        muted: false,
    };
    let first = config.first_timestamp;
    let sender = AudioSender::start(config, Egress { socket, destination }, Clock::system()).expect("a thread");
    let (mut packets, mut buffer) = (Vec::new(), [0; 2_048]);
    loop {
        let length = watch.recv(&mut buffer).expect("silence is told of, too");
        // Reports are copied as well.
        if (192..=223).contains(&buffer[1]) {
            continue;
        }
        let packet = rtp::Packet::parse(&buffer[..length]).expect("RTP");
        let header = packet.header;
        packets.push((header.marker, header.sequence, header.timestamp.wrapping_sub(first), packet.payload.len()));
        if packets.last().is_some_and(|p| f64::from(p.2) >= (LENGTH_S - 0.5) * RATE as f64) {
            drop(sender);
            return packets;
        }
    }
}

/// Asserts that silence was left out, that no number tells of it but the time does, and that each word begins with a marker.
#[track_caller]
fn assert_paused(packets: &[Sent]) {
    assert!(packets.windows(2).all(|p| p[1].1 == p[0].1.wrapping_add(1)), "nothing looks lost");
    assert!(packets.windows(2).all(|p| p[1].2 > p[0].2 && (p[1].2 - p[0].2).is_multiple_of(960)), "whole frames");
    let all = packets[packets.len() - 1].2 / 960 + 1;
    println!("{} of {all} packets were sent", packets.len());
    assert!(packets.len() as f64 <= 0.7 * f64::from(all), "silence is left out");
    let spurts: Vec<f64> = packets.iter().filter(|p| p.0).map(|p| f64::from(p.2) / RATE as f64).collect();
    println!("spurts begin at {spurts:.2?} s");
    for at in WORDS_S {
        assert!(spurts.iter().any(|s| (s - at).abs() < 0.15), "a marker where the word at {at} s begins");
    }
    let silent = |p: &Sent| p.3 <= 2;
    assert!(packets.iter().all(|p| !(p.0 && silent(p))), "no silence is marked as the beginning of a word");
    let after_pause = packets.windows(2).filter(|p| p[1].2 - p[0].2 > 960 && !silent(&p[1]));
    assert!(after_pause.clone().count() >= WORDS_S.len() - 1 && after_pause.clone().all(|p| p[1].0));
}

#[test]
fn gstreamer_hears_words_that_pauses_part() {
    sandboxed("pauses::gstreamer_hears_words_that_pauses_part", || {
        played_by("gst-launch-1.0", |folder| {
            // The last but one fills in what the times of the sound leave open: a file has no times of its own.
            format!(
                "-e -q udpsrc address={GROUP} port={PORT} multicast-iface=lo \
                 caps=application/x-rtp,media=audio,clock-rate=48000,encoding-name=OPUS,payload=111 \
                 ! rtpjitterbuffer ! rtpopusdepay ! opusdec ! audioconvert ! audiorate \
                 ! audio/x-raw,format=S16LE ! wavenc ! filesink location={folder}/heard.wav"
            )
        });
    });
}

#[test]
fn ffmpeg_hears_words_that_pauses_part() {
    sandboxed("pauses::ffmpeg_hears_words_that_pauses_part", || {
        played_by("ffmpeg", |folder| {
            // The filter fills in what the times of the sound leave open, of itself only from 100 ms on.
            format!(
                "-v warning -protocol_whitelist file,udp,rtp -i {folder}/ada.sdp -af aresample=async=1:min_hard_comp=0.01 \
                 -c:a pcm_s16le {folder}/heard.wav"
            )
        });
    });
}

/// Hears a program that is given the file of the words, and sends them to the group.
fn heard_from(program: &str, arguments: impl FnOnce(&str) -> String) {
    sh("ip route add 224.0.0.0/4 dev lo");
    let folder = tempfile::tempdir().expect("temporary folder");
    let (file, heard) = (words(folder.path()), folder.path().join("heard.wav"));
    let interface = Interface::choose(Some("127.0.0.1")).expect("a loopback");
    let clock = Clock::system();
    let speaker = SpeakerSpec::File(heard.clone());
    let mixer = AudioReceiver::start(&speaker, Buffers::Usual, clock.clone()).expect("a thread");
    let receiver = Receiver::start(&interface, &clock, 1, Box::new(mixer.sink())).expect("a thread");
    let talker = mixer.add(1).expect("room");
    let (offset, rtp) = (ClockOffset::unknown(), SocketAddr::from((GROUP, PORT)));
    let subscription =
        Subscription { key: 1, rtp, source: None, ssrc: None, offset, opener: None, repair: None, sink: Sink::Audio };
    receiver.subscribe(subscription).expect("joined");
    let mut sender = start(program, &arguments(&file.to_string_lossy()));
    poll(AT_MOST, || sender.0.try_wait().expect("a child")).expect("it has said everything");
    // Everything in the buffers is heard.
    let mixed = mixer.stats().mixed();
    poll(AT_MOST, || (mixer.stats().mixed() > mixed + Duration::from_secs(1)).then_some(())).expect("it goes on");
    let (packets, lost) = (talker.packets_received(), talker.packets_lost());
    println!("{packets} packets received, {lost} lost; {} ms made up", talker.concealed_ms());
    drop((receiver, mixer));
    assert_eq!((lost, talker.packets_rejected()), (0, 0));
    assert!(packets as f64 <= 0.7 * LENGTH_S * 50.0, "silence is left out");
    assert_in_place(&file, &heard);
}

#[test]
fn words_of_gstreamer_are_heard_with_pauses_between_them() {
    sandboxed("pauses::words_of_gstreamer_are_heard_with_pauses_between_them", || {
        heard_from("gst-launch-1.0", |file| {
            format!(
                "-q filesrc location={file} ! wavparse ! clocksync ! audioconvert ! opusenc dtx=true \
                 ! rtpopuspay pt=111 dtx=true ! udpsink host={GROUP} port={PORT} multicast-iface=lo ttl-mc=1 \
                 bind-address=127.0.0.1"
            )
        });
    });
}
