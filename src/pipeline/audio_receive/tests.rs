//! Voices through packets to the mix, in simulated time, and the same over threads and a loopback.

use std::path::PathBuf;

use super::*;
use crate::media::mix::level_dbfs;
use crate::media::opus::Encoder;
use crate::media::test_voice::{TestVoice, pitch_for, strength_at};
use crate::pipeline::receive::AudioSink;
use crate::protocol::packetizer::AudioPacketizer;
use crate::time::NtpTime;

/// Voices that speak into a mixer whose speaker is a file.
struct Room {
    clock: Clock,
    mixer: AudioReceive,
    queue: AudioQueue,
    voices: Vec<Voice>,
    path: PathBuf,
    _dir: tempfile::TempDir,
    elapsed_ms: u64,
    /// Packets that are under way for long, while this is there.
    hold: Option<Vec<(u64, Vec<u8>)>>,
    /// Of packets that say nothing the first is sent, and the encoder says something each 400 ms.
    dtx: bool,
}

struct Voice {
    stream: u64,
    voice: TestVoice,
    encoder: Encoder,
    packetizer: AudioPacketizer,
    frame: Vec<f32>,
    timestamp: u32,
    speaking: bool,
    loudness: f32,
    noise: f32,
    /// What its packets say of their level, instead of the truth.
    claims: Option<u8>,
    silent: bool,
    stats: Arc<TalkerStats>,
}

impl Room {
    fn new(seeds: &[u64]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("heard.wav");
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let queue = AudioQueue::default();
        let spec = SpeakerSpec::File(path.clone());
        let mut mixer = AudioReceive::new(&spec, Buffers::Usual, queue.clone(), &clock).expect("a file");
        let voices = seeds
            .iter()
            .map(|&seed| Voice {
                stream: seed,
                voice: TestVoice::new(pitch_for(seed)),
                encoder: Encoder::new(opus::Settings::default()).expect("an encoder"),
                packetizer: AudioPacketizer::new(seed as u32, 65_500),
                frame: vec![0.0; 960],
                timestamp: 0,
                speaking: true,
                loudness: 1.0,
                noise: 0.0,
                claims: None,
                silent: false,
                stats: mixer.add(seed).expect("a talker"),
            })
            .collect();
        Self { clock, mixer, queue, voices, path, _dir: dir, elapsed_ms: 0, hold: None, dtx: false }
    }

    /// Lets everybody speak for a while; packet `n` of a voice is lost when `lost(n)`.
    fn run(&mut self, ms: u64, lost: impl Fn(u64) -> bool) {
        let (mut opus, mut packet, mut seed) = (Vec::new(), Vec::new(), 1u32);
        for _ in 0..ms {
            self.clock.advance(Duration::from_millis(1));
            self.elapsed_ms += 1;
            let now = self.clock.now();
            for v in self.voices.iter_mut().filter(|_| self.elapsed_ms.is_multiple_of(20)) {
                v.voice.render(&mut v.frame);
                for sample in &mut v.frame {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let noise = (seed >> 8) as f32 / (1 << 23) as f32 - 1.0;
                    *sample = *sample * v.loudness + noise * v.noise;
                }
                if v.speaking {
                    v.encoder.encode(&v.frame, &mut opus).expect("a frame");
                    // A timestamp goes by, a sequence number does not.
                    let silent = opus.len() <= 2;
                    if std::mem::replace(&mut v.silent, silent) && silent && self.dtx {
                        v.timestamp = v.timestamp.wrapping_add(960);
                        continue;
                    }
                    let level = (true, v.claims.unwrap_or(-level_dbfs(&v.frame) as u8));
                    v.packetizer.packet(v.timestamp, false, Some(level), &opus, &mut packet);
                    if let Some(held) = &mut self.hold {
                        held.push((v.stream, packet.clone()));
                    } else if !lost(self.elapsed_ms / 20) {
                        self.queue.clone().packet(v.stream, now, &packet);
                    }
                }
                v.timestamp = v.timestamp.wrapping_add(960);
            }
            self.mixer.step(now);
        }
    }

    /// What was heard in the last `seconds`.
    fn heard(self, seconds: usize) -> Vec<f32> {
        drop(self.mixer);
        let mut wav = hound::WavReader::open(&self.path).expect("a WAV file");
        let all: Vec<f32> = wav.samples::<i16>().map(|s| f32::from(s.expect("a sample")) / 32_768.0).collect();
        all[all.len() - seconds * 48_000..].to_vec()
    }
}

#[test]
fn everybody_is_heard_in_the_mix_and_nobody_else() {
    let mut room = Room::new(&[0, 3, 6, 9]);
    // Until the first guess of the delay is worked off, voices are a trifle too high.
    room.run(10_000, |_| false);
    for v in &room.voices {
        assert_eq!((v.stats.packets_lost(), v.stats.concealed_ms(), v.stats.packets_rejected()), (0, 0, 0));
        assert_eq!(v.stats.packets_received(), 500);
        assert!((10.0..45.0).contains(&v.stats.buffer_ms()), "{}", v.stats.buffer_ms());
        assert!((-45.0..-5.0).contains(&v.stats.level_dbfs()), "{}", v.stats.level_dbfs());
    }
    let heard = room.heard(3);
    for seed in 0..12 {
        let strength = strength_at(&heard, pitch_for(seed));
        assert_eq!(strength > 0.05, seed % 3 == 0, "voice {seed}: {strength}");
    }
}

#[test]
fn talkers_come_and_go_and_are_turned_down_one_by_one() {
    let mut room = Room::new(&[0, 5, 10]);
    room.mixer.command(Command::Volume(5, 0.0));
    room.mixer.command(Command::Remove(10));
    room.run(3_000, |_| false);
    assert_eq!(room.voices[2].stats.packets_received(), 0, "packets of a removed stream go nowhere");
    assert!(room.voices[1].stats.level_dbfs() > -45.0, "the level is that of the voice, not of its volume");
    let heard = room.heard(2);
    let strengths = [0, 5, 10].map(|s| strength_at(&heard, pitch_for(s)) > 0.02);
    assert_eq!(strengths, [true, false, false]);
}

#[test]
fn of_many_voices_the_loudest_are_heard_and_the_others_cost_no_decoding() {
    let seeds: Vec<u64> = (0..12).collect();
    let mut room = Room::new(&seeds);
    room.mixer.command(Command::Talkers(4));
    for v in &mut room.voices {
        // Every third voice is 14 dB louder than the others.
        v.loudness = if v.stream % 3 == 0 { 1.0 } else { 0.2 };
    }
    room.run(6_000, |_| false);
    let heard: Vec<u64> = room.mixer.talkers.iter().filter(|t| t.claim.heard()).map(|t| t.stream).collect();
    assert_eq!(heard, [0, 3, 6, 9]);
    for v in &room.voices {
        assert_eq!((v.stats.packets_lost(), v.stats.concealed_ms(), v.stats.gaps()), (0, 0, 0), "{}", v.stream);
        let expected = if v.stream % 3 == 0 { -25.0..-5.0 } else { -45.0..-20.0 };
        assert!(expected.contains(&v.stats.level_dbfs()), "{}: {}", v.stream, v.stats.level_dbfs());
        assert!(v.stats.buffer_ms() < 30.0, "{}: {} ms", v.stream, v.stats.buffer_ms());
    }
    let mix = room.heard(3);
    for seed in 0..12 {
        let strength = strength_at(&mix, pitch_for(seed));
        assert_eq!(strength > 0.03, seed % 3 == 0, "voice {seed}: {strength}");
    }
    let steepest = mix.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.2, "no click: {steepest}");
}

#[test]
fn of_a_whole_conference_that_speaks_eight_are_decoded() {
    let seeds: Vec<u64> = (0..SLOTS_MAX as u64).collect();
    let mut room = Room::new(&seeds);
    room.run(1_000, |_| false);
    let (mut decoding, mut most, mut swaps, mut before) = (0, 0, 0, Vec::new());
    for _ in 0..200 {
        room.run(10, |_| false);
        let heard: Vec<u64> = room.mixer.talkers.iter().filter(|t| !t.is_passed_by()).map(|t| t.stream).collect();
        swaps += heard.iter().filter(|stream| !before.contains(*stream)).count();
        (decoding, most) = (decoding + heard.len(), most.max(heard.len()));
        before = heard;
    }
    println!("{:.2} of {SLOTS_MAX} decoded on average, {most} at most, {swaps} begun", decoding as f64 / 200.0);
    // Whoever loses a place fades out while the next one fades in.
    assert!((200 * TALKERS..200 * TALKERS + 100).contains(&decoding) && most <= TALKERS + 3, "{decoding} {most}");
    assert!(swaps <= 3 * TALKERS, "{swaps} in two seconds");
    for v in &room.voices {
        assert_eq!((v.stats.packets_received(), v.stats.packets_lost(), v.stats.packets_rejected()), (150, 0, 0));
        assert!((-60.0..-5.0).contains(&v.stats.level_dbfs()), "everybody's level is known: {}", v.stats.level_dbfs());
    }
}

#[test]
fn who_claims_to_shout_and_says_nothing_is_not_heard_for_long() {
    let mut room = Room::new(&[0, 5, 6]);
    room.mixer.command(Command::Talkers(1));
    // It sends silence, and says that it is as loud as can be.
    (room.voices[0].loudness, room.voices[0].claims) = (0.0, Some(0));
    room.voices[1].speaking = false;
    room.voices[2].speaking = false;
    room.run(2_000, |_| false);
    room.voices[1].speaking = true;
    room.run(3_000, |_| false);
    let mut others = 0;
    for _ in 0..300 {
        room.run(20, |_| false);
        others += usize::from(!room.mixer.talkers[1].claim.heard());
    }
    assert_eq!(others, 0, "of 300");
    assert!(strength_at(&room.heard(4), pitch_for(5)) > 0.05);
}

#[test]
fn a_voice_message_is_softer_while_somebody_speaks_over_all_others() {
    use crate::media::voice_message::Recording;
    use crate::pipeline::voice_play::{Feed, Player};
    let mut room = Room::new(&[5]);
    room.mixer.command(Command::Priority(5, true));
    let mut said = vec![0.0; 480_000];
    TestVoice::new(pitch_for(0)).render(&mut said);
    let mut recording = Recording::new(1, 60_000).expect("an encoder");
    recording.push(&said).expect("ten seconds");
    let file = room.path.with_file_name("message.ogg");
    std::fs::write(&file, recording.finish().expect("a message").file).expect("a file");
    let (player, played) = Player::start(1.0).expect("a thread");
    player.feed(Feed::File(file));
    room.mixer.command(Command::Play(Some(Box::new(played))));
    let wall = Clock::system();
    let mut ends = Vec::new();
    for speaking in [false, true, false] {
        room.voices[0].speaking = speaking;
        let until = player.figures().ms() + 3_000;
        let deadline = wall.now() + Duration::from_secs(60);
        while player.figures().ms() < until {
            assert!(wall.now() < deadline, "{} of {until} ms", player.figures().ms());
            // As much as has been decoded, and a little silence while the thread that does so comes along.
            let before = player.figures().ms();
            room.run(20, |_| false);
            if player.figures().ms() == before {
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
        ends.push(room.elapsed_ms as usize * 48);
    }
    let seconds = room.elapsed_ms as usize / 1_000;
    let mix = room.heard(seconds);
    let first = ends[2] - mix.len();
    // Where the thread that decodes came late there is silence: it is in few of the tenths of a second.
    let strength = |end: usize| {
        let tenths = mix[end - first - 72_000..end - first].chunks_exact(4_800);
        let mut all: Vec<_> = tenths.map(|tenth| strength_at(tenth, pitch_for(0))).collect();
        all.sort_by(f32::total_cmp);
        all[all.len() * 3 / 4]
    };
    let (before, under, after) = (strength(ends[0]), strength(ends[1]), strength(ends[2]));
    assert!((0.05..0.3).contains(&(under / before)), "{before} {under}");
    assert!((0.6..1.7).contains(&(after / before)), "{before} {after}");
}

#[test]
fn a_voice_with_priority_is_heard_over_all_others_which_come_back() {
    let mut room = Room::new(&[0, 5]);
    room.mixer.command(Command::Priority(5, true));
    room.voices[1].speaking = false;
    room.run(3_000, |_| false);
    assert!(room.voices[1].stats.priority() && !room.voices[0].stats.priority());
    room.voices[1].speaking = true;
    room.run(3_000, |_| false);
    room.voices[1].speaking = false;
    room.run(4_000, |_| false);
    let mix = room.heard(10);
    let strength = |from: usize| strength_at(&mix[from * 48_000..(from + 2) * 48_000], pitch_for(0));
    let (before, under, after) = (strength(1), strength(4), strength(8));
    // 18 dB are 0.126.
    assert!((0.09..0.17).contains(&(under / before)), "{before} {under}");
    assert!((0.8..1.2).contains(&(after / before)), "{before} {after}");
    assert!(strength_at(&mix[4 * 48_000..6 * 48_000], pitch_for(5)) > 0.05);
}

/// How strong voice 5 is in each tenth of a second after it had priority for 4 s, to how strong it is if it keeps that.
/// Meanwhile voice 0 has it as well, or nobody.
fn after_priority(another: bool) -> Vec<f32> {
    let [kept, given_up] = [true, false].map(|keeps| {
        let mut room = Room::new(&[0, 5]);
        room.mixer.command(Command::Priority(5, true));
        room.mixer.command(Command::Priority(0, another));
        room.voices[0].speaking = another;
        room.run(4_000, |_| false);
        room.mixer.command(Command::Priority(5, keeps));
        room.run(2_000, |_| false);
        let mix = room.heard(2);
        mix.chunks_exact(4_800).map(|tenth| strength_at(tenth, pitch_for(5))).collect::<Vec<_>>()
    });
    kept.iter().zip(&given_up).map(|(kept, given_up)| given_up / kept).collect()
}

#[test]
fn the_last_words_of_who_had_priority_are_as_loud_as_the_others() {
    // By beacon it is told at once; the words wait in the buffer. Or it was taken away in the middle of a word.
    let alone = after_priority(false);
    assert!(alone.iter().all(|ratio| (0.9..1.1).contains(ratio)), "{alone:.2?}");
    let under = after_priority(true);
    assert!(under[..4].iter().all(|ratio| (0.9..1.1).contains(ratio)), "{under:.2?}");
    let later = under[8..].iter().sum::<f32>() / under[8..].len() as f32;
    assert!(later < 0.4, "{later} {under:.2?}");
}

#[test]
fn new_keys_take_priority_from_nobody() {
    let mut room = Room::new(&[0, 5]);
    room.mixer.command(Command::Priority(5, true));
    room.run(3_000, |_| false);
    room.voices[1].stats = room.mixer.add(5).expect("the same talker");
    assert!(room.voices[1].stats.priority());
    room.run(3_000, |_| false);
    let mix = room.heard(6);
    let strength = |from: usize| strength_at(&mix[from * 48_000..(from + 2) * 48_000], pitch_for(0));
    assert!((0.7..1.4).contains(&(strength(4) / strength(1))), "{} {}", strength(1), strength(4));
}

#[test]
fn a_stall_is_caught_up_with_all_words_and_no_click() {
    let mut room = Room::new(&[2]);
    room.run(8_000, |_| false);
    let before = room.voices[0].stats.buffer_ms();
    room.hold = Some(Vec::new());
    room.run(200, |_| false);
    let held = room.hold.take().expect("held");
    assert_eq!(held.len(), 10);
    for (stream, packet) in held {
        room.queue.clone().packet(stream, room.clock.now(), &packet);
    }
    room.run(300, |_| false);
    let stats = room.voices[0].stats.clone();
    assert!(stats.buffer_ms() > before + 80.0, "{} ms", stats.buffer_ms());
    room.run(3_700, |_| false);
    assert!(stats.buffer_ms() < before + 10.0, "{} ms of {before} ms, 4 s after", stats.buffer_ms());
    assert_eq!((stats.packets_lost(), stats.packets_late()), (0, 0));
    let (cuts, ms) = stats.accelerated();
    assert!(cuts >= 8 && (120..=260).contains(&ms), "{cuts} cuts, {ms} ms");
    assert!(stats.drift_ppm().abs() < 200.0 && stats.device_ms() >= 0.0 && stats.expanded().0 < 5);
    assert!((150..=220).contains(&stats.concealed_ms()), "{} ms", stats.concealed_ms());
    let mix = room.heard(4);
    let steepest = mix.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.06, "no click: {steepest}");
}

#[test]
fn what_is_heard_is_known_by_the_senders_clock_and_waits_for_its_picture() {
    const BEGAN: NtpTime = NtpTime(0xe900_0000_0000_0000);
    let mut room = Room::new(&[3]);
    assert_eq!(room.voices[0].stats.played(), None);
    room.run(5_000, |_| false);
    assert_eq!(room.voices[0].stats.played(), None, "no report yet");
    room.queue.clone().report(3, BEGAN, 0);
    room.queue.clone().report(99, BEGAN, 0);
    room.run(2_000, |_| false);
    let delay_ms = |room: &Room| {
        let now = BEGAN.offset(room.elapsed_ms as i64 * 1_000_000);
        now.nanos_from(room.voices[0].stats.played().expect("reported")) as f64 / 1e6
    };
    let before = delay_ms(&room);
    // A frame, and what the jitter of nothing asks for.
    assert!((20.0..45.0).contains(&before), "{before} ms");
    room.mixer.command(Command::Least(3, 100.0));
    room.run(3_000, |_| false);
    let (waits, target) = (delay_ms(&room), f64::from(room.voices[0].stats.target_ms()));
    assert!((waits - before - 97.0).abs() < 15.0 && (target - 100.0).abs() < 0.1, "{before} {waits} {target}");
    room.mixer.command(Command::Least(3, 0.0));
    room.run(3_000, |_| false);
    assert!((delay_ms(&room) - before).abs() < 5.0, "{before} {}", delay_ms(&room));
    assert_eq!(room.voices[0].stats.concealed_ms(), 0);
    room.mixer.command(Command::Goodbye(3));
    room.voices[0].speaking = false;
    room.run(200, |_| false);
    assert_eq!(room.voices[0].stats.played(), None);
}

#[test]
fn a_sender_that_falls_silent_is_filled_with_the_noise_of_its_room() {
    let mut room = Room::new(&[4]);
    room.voices[0].encoder.set_dtx(true).expect("an encoder");
    room.voices[0].noise = 0.003;
    room.run(5_000, |_| false);
    room.voices[0].loudness = 0.0;
    room.dtx = true;
    room.run(5_000, |_| false);
    let stats = room.voices[0].stats.clone();
    assert!(stats.packets_received() < 400, "{} packets: most were not sent", stats.packets_received());
    assert_eq!((stats.concealed_ms(), stats.packets_lost(), stats.gaps()), (0, 0, 0));
    let mix = room.heard(3);
    let quietest = mix.chunks(4_800).map(level_dbfs).fold(0.0, f32::min);
    let loudest = mix.chunks(4_800).map(level_dbfs).fold(-127.0, f32::max);
    // The noise itself is -55 dBFS.
    assert!(quietest > -75.0 && loudest < -45.0, "{quietest}..{loudest} dBFS");
}

#[test]
fn loss_is_concealed_and_counted_once() {
    let mut room = Room::new(&[0]);
    room.run(10_000, |n| n % 10 == 5);
    let stats = &room.voices[0].stats;
    assert_eq!(stats.packets_lost(), 50);
    let repaired_ms = stats.concealed_ms() + 20 * stats.packets_recovered();
    assert!((980..=1_020).contains(&repaired_ms), "{repaired_ms}");
    assert!(stats.packets_recovered() >= 20, "{} of 50 rebuilt", stats.packets_recovered());
    let heard = room.heard(8);
    assert!(strength_at(&heard, pitch_for(0)) > 0.1);
}

#[test]
fn a_mute_is_silence_and_no_loss() {
    let mut room = Room::new(&[0]);
    room.run(2_000, |_| false);
    room.voices[0].speaking = false;
    room.run(5_000, |_| false);
    let stats = room.voices[0].stats.clone();
    assert_eq!((stats.concealed_ms(), stats.packets_lost(), stats.buffer_ms()), (0, 0, 0.0));
    assert_eq!(stats.level_dbfs(), crate::media::mix::SILENCE_DBFS);
    room.voices[0].speaking = true;
    room.run(2_000, |_| false);
    assert_eq!((stats.concealed_ms(), stats.packets_lost()), (0, 0));
    assert!(strength_at(&room.heard(1), pitch_for(0)) > 0.05);
}

#[test]
fn what_is_no_voice_costs_a_counter() {
    let mut room = Room::new(&[0]);
    let mut packet = Vec::new();
    for payload in [&[][..], &[0xe3, 49], &[1]] {
        AudioPacketizer::new(9, 0).packet(0, false, None, payload, &mut packet);
        room.queue.clone().packet(0, room.clock.now(), &packet);
    }
    room.queue.clone().packet(0, room.clock.now(), b"no RTP at all");
    room.queue.clone().packet(99, room.clock.now(), &packet);
    room.voices[0].speaking = false;
    room.run(100, |_| false);
    assert_eq!(room.voices[0].stats.packets_rejected(), 3, "the empty, the too long one and no RTP");
}

#[test]
fn a_conference_has_a_bounded_number_of_voices() {
    let clock = Clock::manual(Timestamp::default());
    let mut mixer =
        AudioReceive::new(&SpeakerSpec::None, Buffers::Usual, AudioQueue::default(), &clock).expect("no speaker");
    for stream in 0..SLOTS_MAX as u64 {
        mixer.add(stream).expect("room");
    }
    assert!(matches!(mixer.add(SLOTS_MAX as u64), Err(Error::Full)));
    mixer.add(0).expect("the same stream is replaced");
}

#[test]
fn with_nobody_to_hear_and_nothing_to_hear_on_the_mixer_sleeps() {
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let mut mixer =
        AudioReceive::new(&SpeakerSpec::None, Buffers::Usual, AudioQueue::default(), &clock).expect("no speaker");
    for _ in 0..100 {
        assert_eq!(mixer.step(clock.now()), IDLE);
        clock.advance(IDLE);
    }
    let mixed = mixer.stats().mixed();
    assert!(mixed >= 99 * IDLE && mixed <= 101 * IDLE, "the clock goes on: {mixed:?}");
    mixer.add(1).expect("a talker");
    assert!(mixer.step(clock.now()) <= Duration::from_millis(5), "a voice is waited for as with a speaker");
}

#[test]
fn the_thread_plays_what_it_is_given_until_it_is_dropped() {
    let clock = Clock::system();
    let receiver = AudioReceiver::start(&SpeakerSpec::None, Buffers::Usual, clock.clone()).expect("a thread");
    let stats = receiver.add(1).expect("a talker");
    let mut sink = receiver.sink();
    let mut encoder = Encoder::new(opus::Settings::default()).expect("an encoder");
    let mut packetizer = AudioPacketizer::new(1, 0);
    let (mut opus, mut packet, mut frame) = (Vec::new(), Vec::new(), vec![0.0; 960]);
    let mut voice = TestVoice::new(300.0);
    for n in 0..10 {
        voice.render(&mut frame);
        encoder.encode(&frame, &mut opus).expect("a frame");
        packetizer.packet(n * 960, n == 0, None, &opus, &mut packet);
        sink.packet(1, clock.now(), &packet);
    }
    let deadline = clock.now() + Duration::from_secs(20);
    while stats.packets_received() < 10 || receiver.stats().mixed() < Duration::from_millis(100) {
        assert!(clock.now() < deadline, "{} packets", stats.packets_received());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A participant's whole audio on this machine: microphone to loopback to speaker, for measuring by hand. The devices
/// are the system's defaults, or those named in `ROUNDTABLE_MICROPHONE` and `ROUNDTABLE_SPEAKER`.
#[test]
#[ignore = "needs sound devices: plays for ROUNDTABLE_SECONDS (10) and prints figures"]
fn a_voice_crosses_real_sound_devices() {
    use crate::device::net::{Interface, ReceiveBuffer, UdpSocket};
    use crate::pipeline::audio_send::{AudioSender, Config};
    use crate::pipeline::egress::{Destination, Egress};

    let named = |variable: &str| std::env::var(variable).unwrap_or_else(|_| "auto".into());
    let seconds = named("ROUNDTABLE_SECONDS").parse().unwrap_or(10);
    let clock = Clock::system();
    let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
    let media = UdpSocket::unicast(&lo, 1).expect("a socket");
    let destination = Destination::default();
    destination.set(Some(media.local_addr()));
    let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
    let speaker = named("ROUNDTABLE_SPEAKER").parse().expect("a speaker");
    let receiver = AudioReceiver::start(&speaker, Buffers::Usual, clock.clone()).expect("a thread");
    let talker = receiver.add(1).expect("a talker");
    let config = Config {
        microphone: named("ROUNDTABLE_MICROPHONE").parse().expect("a microphone"),
        pitch_hz: pitch_for(7),
        frame_ms: named("ROUNDTABLE_FRAME_MS").parse().unwrap_or(20),
        opus: opus::Settings::default(),
        ssrc: 7,
        first_sequence: 0,
        first_timestamp: 0,
        cname: "a@b".into(),
        name: "A".into(),
        master: None,
        position: Arc::default(),
        repair: None,
        muted: false,
        voice: crate::media::voice::Settings::NONE,
        reference: None,
        threshold_dbfs: None,
    };
    let sender = AudioSender::start(config, Egress { socket, destination }, clock.clone()).expect("a thread");
    let (mut buffer, mut sink) = (ReceiveBuffer::new(), receiver.sink());
    let mut poll = mio::Poll::new().expect("a poll");
    media.register(poll.registry(), mio::Token(0)).expect("registered");
    let mut events = mio::Events::with_capacity(4);
    let (end, mut next) = (clock.now() + Duration::from_secs(seconds), clock.now());
    while clock.now() < end {
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("polled");
        while media.receive(&mut buffer).is_ok_and(|n| n > 0) {
            buffer.datagrams().for_each(|d| sink.packet(1, clock.now(), d.bytes));
        }
        for (who, event) in [("microphone", sender.event()), ("speaker", receiver.event())] {
            event.into_iter().for_each(|e| eprintln!("{who}: {e:?}"));
        }
        if clock.now() >= next {
            next = clock.now() + Duration::from_secs(1);
            let (sent, mixer) = (sender.stats(), receiver.stats());
            eprintln!(
                "sent {} ({:.1} dBFS, {} glitches)  received {} lost {} late {} concealed {} ms  buffer {:.1} target {:.1} ms  \
                 {:.1} dBFS  speaker: fill {:.1} ms, {} glitches, opened {}",
                sent.packets(),
                sent.level_dbfs(),
                sent.glitches(),
                talker.packets_received(),
                talker.packets_lost(),
                talker.packets_late(),
                talker.concealed_ms(),
                talker.buffer_ms(),
                talker.target_ms(),
                talker.level_dbfs(),
                mixer.fill_ms(),
                mixer.glitches(),
                mixer.opened()
            );
        }
    }
    assert!(sender.stats().packets() > 0 && talker.packets_received() > 0);
}
