//! A voice sent by a clock of the test's own, to a socket of its own.

use super::*;
use crate::device::net::{Interface, ReceiveBuffer, UdpSocket};
use crate::pipeline::egress::Destination;
use crate::wire::rtp;
use std::net::SocketAddr;

fn config() -> Config {
    Config {
        microphone: MicrophoneSpec::Test,
        pitch_hz: 250.0,
        frame_ms: 20,
        opus: opus::Settings::default(),
        ssrc: 0x1234,
        first_sequence: 65_534,
        first_timestamp: u32::MAX - 960,
        cname: "ada@host".into(),
        name: "Ada".into(),
        master: None,
        position: Arc::default(),
        repair: None,
        muted: false,
        voice: crate::media::voice::Settings::NONE,
        reference: None,
        threshold_dbfs: None,
    }
}

struct Rig {
    clock: Clock,
    role: AudioSend,
    media: UdpSocket,
    buffer: ReceiveBuffer,
}

fn rig(config: Config) -> Rig {
    let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
    let media = UdpSocket::unicast(&lo, 1).expect("a socket");
    let destination = Destination::default();
    destination.set(Some(media.local_addr()));
    let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let role = AudioSend::new(config, Egress { socket, destination }, clock.clone()).expect("a test voice");
    Rig { clock, role, media, buffer: ReceiveBuffer::new() }
}

impl Rig {
    fn run(&mut self, ms: u64) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for _ in 0..ms {
            self.clock.advance(Duration::from_millis(1));
            self.role.step(self.clock.now());
            packets.extend(self.received());
        }
        packets
    }

    fn received(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while self.media.receive(&mut self.buffer).is_ok_and(|n| n > 0) {
            packets.extend(self.buffer.datagrams().map(|d| d.bytes.to_vec()));
        }
        packets
    }
}

fn headers(packets: &[Vec<u8>]) -> Vec<(bool, u16, u32)> {
    let header = |p: &Vec<u8>| rtp::Packet::parse(p).expect("RTP").header;
    packets.iter().map(header).map(|h| (h.marker, h.sequence, h.timestamp)).collect()
}

#[test]
fn fifty_packets_a_second_with_exact_timestamps_across_the_wrap() {
    let mut rig = rig(config());
    let packets = rig.run(1_000);
    assert_eq!(packets.len(), 50);
    let h = headers(&packets);
    assert_eq!(h[..3], [(true, 65_534, u32::MAX - 960), (false, 65_535, u32::MAX), (false, 0, 959)]);
    let first = rtp::Packet::parse(&packets[0]).expect("RTP");
    assert_eq!((first.header.ssrc, first.header.payload_type), (0x1234, rtp::PT_OPUS));
    let levels = || packets.iter().filter_map(|p| rtp::Packet::parse(p).expect("RTP").audio_level());
    assert_eq!(levels().count(), 50);
    assert!(levels().any(|(voice, level)| voice && (10..30).contains(&level)), "{:?}", levels().collect::<Vec<_>>());
    let stats = rig.role.stats();
    assert_eq!((stats.frames(), stats.packets(), stats.failures()), (50, 50, 0));
    assert_eq!(stats.bytes(), packets.iter().map(|p| p.len() as u64).sum::<u64>());
    assert_eq!(rig.role.position.load(Ordering::Relaxed), 1 << 16 | 48, "past the wrap");
    assert!((-40.0..-5.0).contains(&stats.level_dbfs()), "{}", stats.level_dbfs());
}

#[test]
fn muted_nothing_is_sent_and_the_media_clock_goes_on() {
    let mut rig = rig(Config { first_sequence: 10, first_timestamp: 0, frame_ms: 10, ..config() });
    assert_eq!(rig.run(100).len(), 10);
    rig.role.mute(true);
    let ending = rig.run(20);
    assert_eq!(headers(&ending), [(false, 20, 100 * 48), (false, 21, 110 * 48)], "the word has an end");
    assert_eq!(rig.run(980), Vec::<Vec<u8>>::new());
    assert_eq!(rig.role.stats().level_dbfs(), SILENCE_DBFS);
    rig.role.mute(true);
    assert_eq!(rig.run(100), Vec::<Vec<u8>>::new(), "it has ended");
    rig.role.mute(false);
    assert_eq!(headers(&rig.run(20)), [(true, 22, 1_200 * 48), (false, 23, 1_210 * 48)]);
    rig.role.mute(false);
    assert_eq!(headers(&rig.run(10)), [(false, 24, 1_220 * 48)], "asked for again, the word goes on");
    // Of the ending nothing was captured, and it is not gone on with.
    rig.role.mute(true);
    assert_eq!(rig.run(10).len(), 1);
    rig.role.mute(false);
    assert_eq!(headers(&rig.run(10)), [(true, 26, 1_240 * 48)]);
    assert_eq!(rtp::Packet::parse(&ending[1]).expect("RTP").payload.len(), 1);
}

#[test]
fn a_word_that_is_cut_off_is_not_made_up_any_further() {
    let mut unmuted = rig(config());
    let (mut decoder, mut spoken) = (opus::Decoder::new().expect("a decoder"), Vec::new());
    let decode = |decoder: &mut opus::Decoder, packet: &Vec<u8>| {
        decoder.decode(rtp::Packet::parse(packet).expect("RTP").payload).expect("Opus").to_vec()
    };
    unmuted.run(500).iter().for_each(|p| spoken = decode(&mut decoder, p));
    let unended = decoder.conceal(960).expect("made up").to_vec();
    let mut decoder = opus::Decoder::new().expect("a decoder");
    let mut again = rig(config());
    again.run(500).iter().for_each(|p| drop(decode(&mut decoder, p)));
    again.role.mute(true);
    let ending = again.run(60);
    assert_eq!(ending.len(), 2);
    ending.iter().for_each(|p| drop(decode(&mut decoder, p)));
    let ended = decoder.conceal(4_800).expect("made up").to_vec();
    let levels = [&spoken, &unended, &ended].map(|s| level_dbfs(s));
    assert!(levels[0] > -40.0 && levels[1] > -45.0 && levels[2] < -50.0, "{levels:?}");
}

#[test]
fn silence_is_told_and_not_sent_where_noise_is_held_down() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let voice = voice::Settings { noise: true, ..voice::Settings::NONE };
    let silent = |packet: &Vec<u8>| rtp::Packet::parse(packet).expect("RTP").payload.len() <= 2;
    let microphone = interrupted(&folder, 3);
    let mut rig = rig(Config { microphone, voice, first_timestamp: 0, first_sequence: 0, ..config() });
    rig.run(1_000);
    let packets = rig.run(1_900);
    assert!((4..=12).contains(&packets.len()), "{} packets in 1.9 s of silence", packets.len());
    let apart: Vec<u32> = headers(&packets).windows(2).map(|w| (w[1].2 - w[0].2) / 48).collect();
    assert!(apart.iter().all(|ms| (20..=420).contains(ms)) && packets.iter().any(silent), "{apart:?}");
    rig.run(200);
    let (packets, stats) = (rig.run(2_800), rig.role.stats());
    assert!(packets.len() > 120, "{} packets in 2.8 s of a voice", packets.len());
    let all = rig.run(300);
    let h = headers(&all);
    assert!(h.windows(2).all(|w| w[1].1 == w[0].1.wrapping_add(1) && w[1].2 > w[0].2), "{h:?}");
    // The RTP clock ran on, the sequence numbers count what was sent, and so do the reports.
    assert!(stats.frames() > stats.packets() && stats.failures() == 0);
    assert_eq!(u64::from(rig.role.packetizer.counters().packets), stats.packets());
    // Whoever has the noise left in, or wants the least delay, has silence sent.
    rig.run(2_000);
    rig.role.set_voice(voice::Settings::NONE);
    rig.run(20);
    assert_eq!(rig.run(1_000).len(), 50);
}

#[test]
fn the_first_packet_after_a_silence_has_the_marker_and_those_of_the_silence_have_not() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let voice = voice::Settings { noise: true, ..voice::Settings::NONE };
    let mut rig = rig(Config { microphone: interrupted(&folder, 3), voice, first_timestamp: 0, ..config() });
    let packets = rig.run(4_000);
    let (mut last, mut begins) = (None, 0);
    for packet in &packets {
        let packet = rtp::Packet::parse(packet).expect("RTP");
        let rtp::Header { marker, timestamp, .. } = packet.header;
        let paused = last.is_none_or(|last: u32| timestamp - last != 960);
        assert_eq!(marker, paused && packet.payload.len() > 2, "at {} ms, after {last:?}", timestamp / 48);
        begins += u32::from(marker);
        last = Some(timestamp);
    }
    assert!(begins >= 2, "{begins}");
}

#[test]
fn samples_thrown_away_are_counted_once_and_no_others() {
    let (microphone, mut feed) = Microphone::fed();
    let mut rig = rig(Config { microphone: MicrophoneSpec::None, first_timestamp: 0, ..config() });
    rig.role.microphone = microphone;
    let mut fed = 0u32;
    let mut capture = |rig: &mut Rig, ms: u64, seen: bool| {
        let mut packets = Vec::new();
        for _ in 0..ms / 10 {
            feed(&[0.1; 480]);
            fed += 480;
            rig.clock.advance(Duration::from_millis(10));
            if seen {
                rig.role.step(rig.clock.now());
                packets.extend(rig.received());
            }
        }
        (packets, fed)
    };
    capture(&mut rig, 110, true);
    for held_up_ms in [50, 100, 130, 200, 390, 600] {
        capture(&mut rig, held_up_ms, false);
        let (packets, fed) = capture(&mut rig, 200, true);
        let h = headers(&packets);
        let end = h.last().expect("packets").2 + 960;
        assert!(fed - end < 960, "held up for {held_up_ms} ms: {} ms of {} ms", end / 48, fed / 48);
        let jumps = h.windows(2).filter(|w| w[1].2 - w[0].2 != 960).count();
        assert!(jumps <= 1 && h.len() >= 9, "{h:?}");
        assert!(h.windows(2).all(|w| w[1].0 == (w[1].2 - w[0].2 != 960)), "{h:?}");
    }
    assert_eq!(rig.role.stats().failures(), 0);
}

#[test]
fn a_thread_that_was_held_up_sends_all_that_waits_under_its_own_time() {
    let mut rig = rig(Config { first_timestamp: 0, ..config() });
    let mut sent = rig.run(110);
    for ms in [130, 250, 450] {
        rig.clock.advance(Duration::from_millis(ms));
        sent.extend(rig.run(20));
    }
    let h = headers(&sent);
    assert!(h.windows(2).all(|w| w[1].2 - w[0].2 == 960 && !w[1].0), "{h:?}");
    let end = h.last().expect("packets").2 / 48 + 20;
    assert!((980..=1_000).contains(&end), "{end} ms");
}

#[test]
fn a_voice_message_is_recorded_muted_or_not_and_whether_or_not_anything_is_sent() {
    let mut rig = rig(config());
    let (frames, recorded) = crate::pipeline::voice_record::queue();
    rig.role.record(frames);
    rig.run(100);
    rig.role.mute(true);
    rig.run(100);
    rig.role.egress.destination.set(None);
    rig.run(100);
    let taken: Vec<Frame> = recorded.try_iter().collect();
    assert_eq!(taken.len(), 15);
    assert!(taken.iter().all(|f| f.samples().len() == 960 && f.samples().iter().any(|s| s.abs() > 0.001)));
    drop(recorded);
    rig.run(20);
    assert!(rig.role.record.is_none(), "nobody takes it any more");
}

#[test]
fn without_a_destination_nothing_is_sent_and_a_talk_spurt_begins_with_one() {
    let mut rig = rig(Config { first_sequence: 0, first_timestamp: 0, ..config() });
    let destination = rig.role.egress.destination.clone();
    let address = destination.current();
    destination.set(None);
    assert_eq!(rig.run(100).len(), 0);
    destination.set(address);
    assert_eq!(headers(&rig.run(40)), [(true, 0, 100 * 48), (false, 1, 120 * 48)]);
}

#[test]
fn a_machine_that_slept_moves_its_media_clock_on() {
    let mut rig = rig(Config { first_timestamp: 0, ..config() });
    rig.run(100);
    rig.clock.advance(Duration::from_secs(10));
    let h = headers(&rig.run(40));
    let (marker, _, timestamp) = h[0];
    assert!(marker);
    let late_ms = i64::from(timestamp / 48) - 10_100;
    assert!((0..=41).contains(&late_ms), "{late_ms}");
}

#[test]
fn reports_tell_the_media_time_of_the_wall_clock_and_goodbye_ends_them() {
    let mut rig = rig(Config { first_timestamp: 0, ..config() });
    // RTCP goes to the port above: listen there by making that port the media port of the destination.
    let rtcp_port = rig.media.local_addr().port();
    let start = rig.clock.wall();
    rig.role.egress.destination.set(Some(SocketAddr::from((rig.media.local_addr().ip(), rtcp_port - 1))));
    let reports = rig.run(2_500);
    assert_eq!(reports.len(), 3, "one with the first packet, then one a second");
    for (i, bytes) in reports.iter().enumerate() {
        let mut seen = (None, None);
        rtcp::parse(bytes, |r| match r {
            rtcp::Report::Sender(sr) => seen.0 = Some(sr),
            rtcp::Report::Sdes { cname, .. } => seen.1 = Some(cname.to_owned()),
            rtcp::Report::Bye { .. } => panic!("too early"),
        })
        .expect("RTCP");
        let sr = seen.0.expect("a sender report");
        assert_eq!((sr.ssrc, seen.1.as_deref()), (0x1234, Some("ada@host")));
        let elapsed_ns = sr.ntp.nanos_from(start);
        // What is captured at that moment leaves the decoder 312 samples later than the packet says.
        let error_us = (i64::from(sr.rtp_timestamp - 312) * 1_000_000 / 48 - elapsed_ns) / 1_000;
        assert!(error_us.abs() < 100, "report {i}: {error_us} us");
        assert_eq!(sr.packets, 1 + 50 * i as u32);
    }
    rig.role.goodbye();
    let mut bye = None;
    rtcp::parse(&rig.received()[0], |r| {
        if let rtcp::Report::Bye { ssrc } = r {
            bye = Some(ssrc);
        }
    })
    .expect("RTCP");
    assert_eq!(bye, Some(0x1234));
}

#[test]
fn other_frame_lengths_are_refused() {
    let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
    let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
    for frame_ms in [0, 5, 15, 40] {
        let egress = Egress { socket: socket.clone(), destination: Destination::default() };
        let clock = Clock::manual(Timestamp::default());
        let refused = AudioSend::new(Config { frame_ms, ..config() }, egress, clock);
        assert!(matches!(refused, Err(Error::Frame(ms)) if ms == frame_ms));
    }
}

/// A microphone that hears `seconds` of silence, as much of a voice, and silence again, over and over.
fn interrupted(folder: &tempfile::TempDir, seconds: usize) -> MicrophoneSpec {
    let path = folder.path().join("voice.wav");
    let mut sink = crate::media::wav::WavSink::create(&path).expect("a file");
    let mut voice = vec![0.0; seconds * RATE as usize];
    crate::media::test_voice::TestVoice::new(250.0).render(&mut voice);
    let silence = vec![0.0; voice.len()];
    [&silence, &voice, &silence].iter().for_each(|part| sink.write(part).expect("written"));
    drop(sink);
    MicrophoneSpec::File(path)
}

#[test]
fn with_voice_activation_only_what_is_said_is_sent_and_from_its_beginning() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let microphone = interrupted(&folder, 1);
    let mut rig =
        rig(Config { microphone, threshold_dbfs: Some(-45.0), first_timestamp: 0, first_sequence: 0, ..config() });
    assert_eq!(rig.run(1_000), Vec::<Vec<u8>>::new());
    let packets = rig.run(2_000);
    let first = rtp::Packet::parse(&packets[0]).expect("RTP");
    assert_eq!(first.audio_level(), Some((false, 127)), "silence before the word");
    let h = headers(&packets);
    let ms = |timestamp: u32| timestamp / 48;
    assert!((930..=960).contains(&ms(h[0].2)), "{} ms: before the first loud frame", ms(h[0].2));
    assert!(h.windows(2).all(|w| w[1].2 - w[0].2 == 960 && w[1].1 == w[0].1 + 1 && !w[1].0), "{h:?}");
    assert!(h[0].0, "a talk spurt begins");
    let end = ms(h[h.len() - 1].2);
    assert!((2_350..=2_450).contains(&end), "{end} ms: the last syllable and the hangover");
    let told = rtp::Packet::parse(&packets[packets.len() - 1]).expect("RTP");
    assert_eq!(told.payload.len(), 1, "nothing follows");
    assert_eq!(rig.role.stats().level_dbfs(), SILENCE_DBFS);
    // Muted meanwhile, nothing of before is sent later.
    rig.role.mute(true);
    rig.run(1_500);
    rig.role.mute(false);
    let h = headers(&rig.run(100));
    assert!(h[0].0 && ms(h[0].2) >= 4_500, "{h:?}");
    rig.role.set_threshold(None);
    assert_eq!(rig.run(1_000).len(), 50);
}

#[test]
fn who_is_muted_and_speaks_is_counted_and_nothing_is_sent() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut rig = rig(Config { microphone: interrupted(&folder, 2), muted: true, ..config() });
    assert!(rig.run(2_000).is_empty());
    assert_eq!((rig.role.stats().spoken_muted(), rig.role.stats().speaks_muted()), (0, false), "nobody spoke");
    assert!(rig.run(2_000).is_empty());
    assert!(rig.role.stats().speaks_muted());
    assert!(rig.run(2_000).is_empty());
    assert_eq!(rig.role.stats().spoken_muted(), 1, "once for all that was said");
    rig.run(6_000);
    assert_eq!(rig.role.stats().spoken_muted(), 2);
    while !rig.role.stats().speaks_muted() {
        rig.run(20);
    }
    rig.role.mute(false);
    assert!(!rig.role.stats().speaks_muted());
}

#[test]
fn a_voice_that_is_worked_on_is_as_long_as_before() {
    let (mut tap, reference) = crate::pipeline::reference::tap();
    let settings = voice::Settings::ALL;
    let mut rig = rig(Config { voice: settings, reference: Some(reference), first_timestamp: 0, ..config() });
    let mut packets = Vec::new();
    for _ in 0..300 {
        (0..4).for_each(|_| tap.push(rig.clock.now(), &[0.1; crate::pipeline::reference::PIECE]));
        packets.extend(rig.run(10));
    }
    assert_eq!(packets.len(), 150);
    let figures = rig.role.stats().figures().expect("figures");
    assert!(figures.gain_db != 0.0 && figures.noise_dbfs < -20.0, "{figures:?}");
    let delay = rig.role.stats().capture_ms();
    assert!((30.0..40.0).contains(&delay), "{delay} ms: a frame, and the filters");
    rig.role.set_voice(voice::Settings::NONE);
    assert_eq!(rig.run(1_000).len(), 50);
    rig.run(1_000);
    assert_eq!((rig.role.stats().figures(), rig.role.stats().capture_ms()), (None, 20.0));
}

#[test]
fn with_low_delay_packets_are_five_milliseconds() {
    let opus = opus::Settings { low_delay: true, bitrate: 64_000, ..opus::Settings::default() };
    let mut rig = rig(Config { frame_ms: 5, opus, voice: voice::Settings::ALL, first_timestamp: 0, ..config() });
    let h = headers(&rig.run(1_000));
    assert_eq!((h.len(), h[1].2 - h[0].2), (200, 240));
    assert_eq!((rig.role.stats().figures(), rig.role.stats().capture_ms()), (None, 5.0), "nothing works on so little");
}
