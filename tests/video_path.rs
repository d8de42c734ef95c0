//! The way of a picture over real multicast on the loopback: encoder, packets, sockets, reassembly, decoder, slot.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roundtable::device::camera::CameraSpec;
use roundtable::device::clock::Clock;
use roundtable::device::net::{Dscp, Interface, UdpSocket};
use roundtable::media::jpeg::{BandEncoder, FrameParams, conformance, to_jpeg};
use roundtable::media::picture::{Chroma, Picture, Yuv};
use roundtable::media::test_card::read_timecode;
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::{AudioSink, ClockOffset, Receiver, Sink, Subscription};
use roundtable::pipeline::slot::{PictureInfo, PictureSlot};
use roundtable::pipeline::video_receive::VideoStats;
use roundtable::pipeline::video_send::{
    LayerConfig, OutgoingVideo, StreamConfig, VideoSend, VideoSendConfig, VideoSendEvent, VideoSendStats,
};
use roundtable::time::NtpTime;
use roundtable::wire::Layer;
use roundtable::wire::rtcp::{self, SenderReport};

/// Longest wait for something that must happen; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(10);
const SSRC: u32 = 0x5eed;

struct NoAudio;

impl AudioSink for NoAudio {
    fn packet(&mut self, _: u64, _: roundtable::time::Timestamp, _: &[u8]) {}
}

/// Counts the packets of each stream.
struct CountAudio(Arc<[AtomicU64; 2]>);

impl AudioSink for CountAudio {
    fn packet(&mut self, stream: u64, _: roundtable::time::Timestamp, bytes: &[u8]) {
        self.0[stream as usize].fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

struct Lan {
    clock: Clock,
    interface: Interface,
    socket: Arc<UdpSocket>,
}

impl Lan {
    fn new() -> Self {
        let interface = Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback");
        let socket = Arc::new(UdpSocket::unicast(&interface, 0).expect("a free port"));
        Self { clock: Clock::system(), interface, socket }
    }

    /// A group of this test alone: nobody else on this machine holds the port of its socket.
    fn group(&self, last: u8) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(239, 255, 201, last), self.socket.local_addr().port() & !1))
    }

    fn outgoing(&self, to: SocketAddr, quality: u8) -> (OutgoingVideo, Destination, Arc<VideoSendStats>) {
        let destination = Destination::default();
        destination.set(Some(to));
        let stats = Arc::new(VideoSendStats::default());
        let egress = Egress { socket: self.socket.clone(), destination: destination.clone() };
        let outgoing = OutgoingVideo::new(stream(quality), egress, &self.clock, stats.clone());
        (outgoing.expect("an encoder"), destination, stats)
    }

    fn camera(&self, to: SocketAddr, camera: CameraSpec) -> (VideoSend, Arc<PictureSlot>) {
        let destination = Destination::default();
        destination.set(Some(to));
        let egress = Egress { socket: self.socket.clone(), destination };
        let own_tile = Arc::new(PictureSlot::default());
        own_tile.want(320, 180);
        let want = (640, 360, 30);
        let layers = vec![LayerConfig { layer: Layer::Full, stream: stream(65), egress }];
        let config = VideoSendConfig { camera, want, on: true, own_tile: own_tile.clone(), layers };
        (VideoSend::start(config, &self.clock).expect("a thread"), own_tile)
    }
}

fn stream(quality: u8) -> StreamConfig {
    StreamConfig {
        ssrc: SSRC,
        first_sequence: 65_500,
        timestamp_base: u32::MAX - 1_000,
        cname: "test@loopback".into(),
        name: "Test".into(),
        quality,
        interval: Duration::from_millis(33),
        phase: 0.5,
        seed: 1,
        master: None,
        position: Arc::default(),
        repair: None,
    }
}

struct Shown {
    slot: Arc<PictureSlot>,
    stats: Arc<VideoStats>,
}

impl Shown {
    fn subscription(rtp: SocketAddr, true_size: Option<(usize, usize)>) -> (Self, Subscription) {
        let (slot, stats) = (Arc::new(PictureSlot::default()), Arc::new(VideoStats::default()));
        let offset = ClockOffset::unknown();
        offset.set(Some(0));
        let sink = Sink::Video { slot: slot.clone(), stats: stats.clone(), true_size };
        (
            Self { slot, stats },
            Subscription { key: 7, rtp, source: None, ssrc: Some(SSRC), offset, opener: None, repair: None, sink },
        )
    }

    #[track_caller]
    fn picture(&self) -> (Picture, PictureInfo) {
        let mut picture = Picture::default();
        let mut info = None;
        wait_for("a picture", || {
            info = self.slot.take(Clock::system().now(), &mut picture);
            info.is_some()
        });
        (picture, info.expect("waited for"))
    }
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "{what} did not come");
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

/// Something with smooth parts, edges and movement.
fn scene(width: usize, height: usize, chroma: Chroma, n: usize) -> Yuv {
    let mut picture = Yuv::default();
    picture.reshape(width, height, chroma);
    for (y, row) in picture.y.chunks_exact_mut(width).enumerate() {
        for (x, luma) in row.iter_mut().enumerate() {
            let edge = if ((x + 5 * n) / 40 + y / 40).is_multiple_of(2) { 60 } else { 0 };
            let grain = ((x * 7919 + y * 104_729 + n * 31) >> 3) & 15;
            *luma = (40 + edge + grain + 60 * y / height + 60 * x / width) as u8;
        }
    }
    let (cw, ch) = picture.chroma_size();
    for y in 0..ch {
        for x in 0..cw {
            picture.u[y * cw + x] = (96 + 64 * x / cw) as u8;
            picture.v[y * cw + x] = (160 - 64 * y / ch) as u8;
        }
    }
    picture
}

/// Peak signal to noise ratio of the luma, in dB.
fn psnr(sent: &Yuv, shown: &Picture) -> f64 {
    assert_eq!((sent.width, sent.height), (shown.width, shown.height));
    let squares: f64 = sent
        .y
        .iter()
        .zip(&shown.pixels)
        .map(|(&luma, word)| {
            let [_, r, g, b] = word.to_be_bytes().map(f64::from);
            (f64::from(luma) - (0.299 * r + 0.587 * g + 0.114 * b)).powi(2)
        })
        .sum();
    10.0 * (255.0_f64.powi(2) / (squares / sent.y.len() as f64)).log10()
}

/// A whole JPEG file.
fn jpeg(picture: &Yuv, quality: u8) -> Vec<u8> {
    let mut scan = Vec::new();
    let mut encoder = BandEncoder::new().expect("an encoder");
    encoder.encode(picture, quality, 1, &mut |band| scan.extend_from_slice(band.scan)).expect("encoded");
    let params = FrameParams {
        width: picture.width,
        height: picture.height,
        chroma: picture.chroma,
        restart_interval: encoder.restart_interval(),
        tables: encoder.tables(),
        crop: None,
    };
    let mut jpeg = Vec::new();
    to_jpeg(&params, &scan, &mut jpeg);
    jpeg
}

fn no_pause(_: Duration) {}

#[test]
fn every_picture_sent_is_shown_as_it_was_with_its_capture_time() {
    for (last, chroma, size) in [(1, Chroma::C420, (1_280, 720)), (2, Chroma::C422, (320, 176))] {
        let lan = Lan::new();
        let (mut outgoing, _, sent) = lan.outgoing(lan.group(last), 85);
        let receiver = Receiver::start(&lan.interface, &lan.clock, 1, Box::new(NoAudio)).expect("a thread");
        let (shown, subscription) = Shown::subscription(lan.group(last), None);
        shown.slot.want(size.0, size.1);
        receiver.subscribe(subscription).expect("joined");
        for n in 0..20 {
            let scene = scene(size.0, size.1, chroma, n);
            let (captured, wall) = (lan.clock.now(), lan.clock.wall());
            outgoing.send_picture(&scene, captured, &mut no_pause).expect("sent");
            let (picture, info) = shown.picture();
            assert_eq!((info.number, info.true_size), (n as u64 + 1, size));
            let psnr = psnr(&scene, &picture);
            assert!(psnr > 35.0, "frame {n} has {psnr:.1} dB");
            // The report that maps media time to wall time travels on another port and may come after the first frame.
            if let Some(c) = info.captured {
                assert!(c.nanos_from(wall).abs() < 50_000_000, "{} ns off", c.nanos_from(wall));
            } else {
                assert!(n < 3, "the sender report never came");
            }
        }
        let figure = |f: &AtomicU64| f.load(Ordering::Relaxed);
        assert_eq!((figure(&sent.frames), figure(&sent.send_errors)), (20, 0));
        let s = &shown.stats;
        wait_for("the figures", || figure(&s.bytes) == figure(&sent.bytes));
        assert_eq!((figure(&s.frames_complete), figure(&s.frames_decoded), figure(&s.frames_damaged)), (20, 20, 0));
        assert_eq!((figure(&s.packets_received), figure(&s.packets_lost)), (figure(&sent.packets), 0));
        assert_eq!((figure(&s.frames_lost), figure(&s.rejected), figure(&s.bytes)), (0, 0, figure(&sent.bytes)));
    }
}

#[test]
fn a_small_tile_gets_a_small_picture_and_a_hidden_one_none() {
    let lan = Lan::new();
    let (mut outgoing, _, _) = lan.outgoing(lan.group(3), 70);
    let receiver = Receiver::start(&lan.interface, &lan.clock, 2, Box::new(NoAudio)).expect("a thread");
    let (shown, subscription) = Shown::subscription(lan.group(3), Some((1_274, 716)));
    shown.slot.want(300, 170);
    receiver.subscribe(subscription).expect("joined");
    outgoing.send_picture(&scene(1_280, 720, Chroma::C420, 0), lan.clock.now(), &mut no_pause).expect("sent");
    let (picture, info) = shown.picture();
    assert_eq!((picture.width, picture.height), (300, 170), "the size of the tile");
    assert_eq!(info.true_size, (1_274, 716));
    shown.slot.want(0, 0);
    outgoing.send_picture(&scene(1_280, 720, Chroma::C420, 1), lan.clock.now(), &mut no_pause).expect("sent");
    wait_for("the hidden frame", || shown.stats.frames_unwanted.load(Ordering::Relaxed) == 1);
    assert_eq!(shown.slot.published(), 1);
}

#[test]
fn a_cameras_jpeg_travels_untouched() {
    let lan = Lan::new();
    let (mut outgoing, _, sent) = lan.outgoing(lan.group(4), 1);
    let receiver = Receiver::start(&lan.interface, &lan.clock, 1, Box::new(NoAudio)).expect("a thread");
    let (shown, subscription) = Shown::subscription(lan.group(4), None);
    shown.slot.want(640, 480);
    receiver.subscribe(subscription).expect("joined");
    let scene = scene(640, 480, Chroma::C422, 3);
    let jpeg = jpeg(&scene, 90);
    let conforming = conformance(&jpeg).expect("conforms");
    outgoing.send_jpeg(&conforming, lan.clock.now(), &mut no_pause).expect("sent");
    let (picture, _) = shown.picture();
    assert!(psnr(&scene, &picture) > 35.0);
    assert_eq!(sent.frames_passed.load(Ordering::Relaxed), 1);
}

#[test]
fn nothing_is_sent_without_a_destination_and_a_moved_stream_says_goodbye() {
    let lan = Lan::new();
    let (mut outgoing, destination, sent) = lan.outgoing(lan.group(5), 50);
    let scene = scene(320, 240, Chroma::C420, 0);
    destination.set(None);
    outgoing.send_picture(&scene, lan.clock.now(), &mut no_pause).expect("nothing to do");
    assert_eq!(lan.socket.counters().datagrams_sent, 0);
    destination.set(Some(lan.group(5)));
    outgoing.send_picture(&scene, lan.clock.now(), &mut no_pause).expect("sent");
    let first = lan.socket.counters().datagrams_sent;
    assert_eq!(first, sent.packets.load(Ordering::Relaxed) + 1, "the frame and its report");
    destination.set(Some(lan.group(6)));
    outgoing.report();
    assert_eq!(lan.socket.counters().datagrams_sent, first + 2, "goodbye there, a report here");
    outgoing.bye();
    outgoing.bye();
    assert_eq!(lan.socket.counters().datagrams_sent, first + 3, "goodbye once");
}

#[test]
fn packets_of_strangers_and_bytes_that_are_no_packets_change_nothing() {
    let lan = Lan::new();
    let group = lan.group(7);
    let (mut outgoing, _, _) = lan.outgoing(group, 70);
    let receiver = Receiver::start(&lan.interface, &lan.clock, 1, Box::new(NoAudio)).expect("a thread");
    let (shown, subscription) = Shown::subscription(group, None);
    shown.slot.want(640, 480);
    receiver.subscribe(subscription).expect("joined");
    let mut stranger = vec![0x80, 0x9a, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    stranger.extend_from_slice(&[0, 0, 0, 0, 1, 50, 2, 2, 1, 2, 3]);
    let rtcp = SocketAddr::from((group.ip(), group.port() + 1));
    for n in 0..100u8 {
        lan.socket.send(group, &stranger, Dscp::Video).expect("sent");
        lan.socket.send(group, &[n; 40], Dscp::Video).expect("sent");
        lan.socket.send(rtcp, &[n; 40], Dscp::Video).expect("sent");
        // Of the right source, but nonsense behind the header.
        let mut own = vec![0x80, 0x1a, 0, n, 0, 0, 0, 0];
        own.extend_from_slice(&SSRC.to_be_bytes());
        own.extend_from_slice(&[n; 40]);
        lan.socket.send(group, &own, Dscp::Video).expect("sent");
    }
    let scene = scene(640, 480, Chroma::C420, 0);
    outgoing.send_picture(&scene, lan.clock.now(), &mut no_pause).expect("sent");
    let (picture, _) = shown.picture();
    assert!(psnr(&scene, &picture) > 30.0);
    let figure = |f: &AtomicU64| f.load(Ordering::Relaxed);
    wait_for("the figures", || figure(&shown.stats.foreign) == 100);
    assert_eq!(figure(&shown.stats.rejected), 200);
}

/// A stranger who knows the SSRC: sequence numbers and timestamps anywhere, frames that end at once, a false report.
fn impostor(n: u16) -> [Vec<u8>; 2] {
    let mut media = vec![0x80, 0x9a];
    media.extend_from_slice(&n.wrapping_mul(9_973).to_be_bytes());
    media.extend_from_slice(&u32::from(n).wrapping_mul(0x1234_5677).to_be_bytes());
    media.extend_from_slice(&SSRC.to_be_bytes());
    media.extend_from_slice(&[0, 0, 0, 0, 1, 50, 2, 2, 1, 2, 3]);
    let report = SenderReport { ssrc: SSRC, ntp: NtpTime(u64::from(n) << 40), ..SenderReport::default() };
    let mut reports = Vec::new();
    rtcp::write_sr_sdes(&report, "x", "x", &mut reports);
    rtcp::write_bye(SSRC, "x", &mut reports);
    [media, reports]
}

#[test]
fn an_impostor_with_the_streams_ssrc_costs_no_frame_and_no_clock() {
    let lan = Lan::new();
    let group = lan.group(13);
    let (mut outgoing, _, _) = lan.outgoing(group, 70);
    let receiver = Receiver::start(&lan.interface, &lan.clock, 1, Box::new(NoAudio)).expect("a thread");
    let (shown, subscription) = Shown::subscription(group, None);
    shown.slot.want(320, 240);
    receiver.subscribe(Subscription { source: Some(lan.socket.local_addr()), ..subscription }).expect("joined");
    let stranger = UdpSocket::unicast(&lan.interface, 0).expect("a free port");
    let rtcp = SocketAddr::from((group.ip(), group.port() + 1));
    let scene = scene(320, 240, Chroma::C420, 0);
    let figure = |f: &AtomicU64| f.load(Ordering::Relaxed);
    for frame in 0..20 {
        for n in 0..10 {
            let [media, reports] = impostor(frame * 10 + n);
            stranger.send(group, &media, Dscp::Video).expect("sent");
            stranger.send(rtcp, &reports, Dscp::Video).expect("sent");
        }
        outgoing.send_picture(&scene, lan.clock.now(), &mut no_pause).expect("sent");
        let (_, info) = shown.picture();
        let age = info.captured.map(|captured| lan.clock.wall().nanos_from(captured));
        assert!(age.is_none_or(|ns| (0..DEADLINE.as_nanos() as i64).contains(&ns)), "{age:?}");
    }
    wait_for("the figures", || figure(&shown.stats.foreign) == 200 && receiver.refused() == 200);
    let figures = [&shown.stats.frames_complete, &shown.stats.frames_lost, &shown.stats.rejected].map(figure);
    assert_eq!(figures, [20, 0, 0]);
}

#[test]
fn voices_reach_their_sink_under_their_own_key_until_unsubscribed() {
    let lan = Lan::new();
    let counts = Arc::new([const { AtomicU64::new(0) }; 2]);
    let receiver =
        Receiver::start(&lan.interface, &lan.clock, 1, Box::new(CountAudio(counts.clone()))).expect("a thread");
    let mut packets = Vec::new();
    for key in 0..2u64 {
        let rtp = lan.group(8 + key as u8);
        let offset = ClockOffset::unknown();
        receiver
            .subscribe(Subscription {
                key,
                rtp,
                source: None,
                ssrc: None,
                offset,
                opener: None,
                repair: None,
                sink: Sink::Audio,
            })
            .expect("joined");
        let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, key as u8];
        packet.resize(20 + key as usize, 1);
        packets.push((rtp, packet));
    }
    for (rtp, packet) in &packets {
        lan.socket.send(*rtp, packet, Dscp::Audio).expect("sent");
    }
    wait_for("both voices", || counts[0].load(Ordering::Relaxed) == 20 && counts[1].load(Ordering::Relaxed) == 21);
    receiver.unsubscribe(0);
    wait_for("only the second voice", || {
        let before = [0, 1].map(|i: usize| counts[i].load(Ordering::Relaxed));
        for (rtp, packet) in &packets {
            lan.socket.send(*rtp, packet, Dscp::Audio).expect("sent");
        }
        wait_for("the second voice", || counts[1].load(Ordering::Relaxed) > before[1]);
        counts[0].load(Ordering::Relaxed) == before[0]
    });
}

#[test]
fn a_test_camera_is_seen_at_the_other_end_and_in_the_own_tile_until_switched_off() {
    let lan = Lan::new();
    let group = lan.group(10);
    let receiver = Receiver::start(&lan.interface, &lan.clock, 1, Box::new(NoAudio)).expect("a thread");
    let (shown, subscription) = Shown::subscription(group, None);
    shown.slot.want(640, 360);
    receiver.subscribe(subscription).expect("joined");
    let (camera, own_tile) = lan.camera(group, CameraSpec::Test);
    let event = camera.events().recv_timeout(DEADLINE).expect("an event");
    assert!(matches!(event, VideoSendEvent::Working { width: 640, height: 360, fps, .. } if fps == 30.0), "{event:?}");
    for _ in 0..5 {
        let (picture, _) = shown.picture();
        let drawn = read_timecode(&picture).expect("a legible timecode");
        assert!(lan.clock.wall().nanos_from(drawn) < DEADLINE.as_nanos() as i64);
    }
    let (mut own, mut info) = (Picture::default(), None);
    wait_for("the own picture", || {
        info = own_tile.take(lan.clock.now(), &mut own);
        info.is_some()
    });
    assert_eq!((own.width, own.height), (320, 180));
    assert_eq!(info.map(|i| i.true_size), Some((640, 360)));

    camera.camera(false);
    assert_eq!(camera.events().recv_timeout(DEADLINE), Ok(VideoSendEvent::Off));
    let sent = camera.stats()[0].1.frames.load(Ordering::Relaxed);
    camera.camera(true);
    wait_for("frames after switching on again", || camera.stats()[0].1.frames.load(Ordering::Relaxed) > sent);
    drop(camera);
    let figure = |f: &AtomicU64| f.load(Ordering::Relaxed);
    wait_for("all frames", || figure(&shown.stats.bytes) > 0 && figure(&shown.stats.frames_complete) > sent);
    assert_eq!((figure(&shown.stats.frames_lost), figure(&shown.stats.frames_damaged)), (0, 0));
}

#[test]
fn a_file_of_conforming_jpegs_is_passed_through_and_a_missing_one_is_told_about() {
    let lan = Lan::new();
    let group = lan.group(11);
    let receiver = Receiver::start(&lan.interface, &lan.clock, 1, Box::new(NoAudio)).expect("a thread");
    let (shown, subscription) = Shown::subscription(group, None);
    shown.slot.want(320, 176);
    receiver.subscribe(subscription).expect("joined");
    let folder = tempfile::tempdir().expect("a folder");
    let scenes: Vec<Yuv> = (0..3).map(|n| scene(320, 176, Chroma::C420, n)).collect();
    for (n, scene) in scenes.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{n}.jpg")), jpeg(scene, 90)).expect("written");
    }
    let (camera, _) = lan.camera(group, CameraSpec::File(folder.path().into()));
    let (picture, _) = shown.picture();
    let best = scenes.iter().map(|scene| psnr(scene, &picture)).fold(0.0, f64::max);
    assert!(best > 35.0, "{best:.1} dB");
    drop(camera);

    let (camera, own_tile) = lan.camera(lan.group(12), CameraSpec::File(folder.path().join("missing.mjpeg")));
    let event = camera.events().recv_timeout(DEADLINE).expect("an event");
    assert!(matches!(event, VideoSendEvent::Failed { .. }), "{event:?}");
    assert_eq!(own_tile.published(), 0);
}
