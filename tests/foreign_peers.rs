//! RTP/JPEG of FFmpeg and GStreamer is received as our own is, and they receive ours. Skipped, with a message, where they
//! are not installed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roundtable::conference::tap::srtpdec_caps;
use roundtable::device::clock::Clock;
use roundtable::device::net::{Interface, UdpSocket};
use roundtable::media::picture::{Chroma, Picture, Yuv};
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::{AudioSink, ClockOffset, Receiver, Sink, Subscription};
use roundtable::pipeline::slot::PictureSlot;
use roundtable::pipeline::video_receive::VideoStats;
use roundtable::pipeline::video_send::{OutgoingVideo, StreamConfig};
use roundtable::protocol::srtp::MASTER_BYTES;
use roundtable::time::Timestamp;
use roundtable::wire::{Layer, StreamKind};
use zeroize::Zeroizing;

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const FRAMES: u64 = 20;
/// Of what is sent.
const SSRC: u32 = 77;
/// Longest wait for the frames; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(30);

struct NoAudio;

impl AudioSink for NoAudio {
    fn packet(&mut self, _: u64, _: Timestamp, _: &[u8]) {}
}

/// A program that ends with its test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn luma(x: usize, y: usize) -> u8 {
    let edge = if (x / 40 + y / 40).is_multiple_of(2) { 60 } else { 0 };
    (30 + edge + 70 * x / WIDTH + 70 * y / HEIGHT) as u8
}

fn is_installed(program: &str) -> bool {
    let runs = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !runs {
        eprintln!("skipped: {program} is not installed");
    }
    runs
}

fn start(program: &str, arguments: Vec<String>) -> Peer {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Peer(command.spawn().expect("it is installed"))
}

/// Socket and group of one test alone: nobody else on this machine holds the socket's port as long as it lives. The
/// group's port is another one, below those the system hands out, as GStreamer binds it for every address.
fn group(last: u8) -> (Interface, UdpSocket, SocketAddr) {
    let interface = Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback");
    let socket = UdpSocket::unicast(&interface, 0).expect("a free port");
    let rtp =
        SocketAddr::from((Ipv4Addr::new(239, 255, 203, last), 10_000 + socket.local_addr().port() % 20_000 / 2 * 2));
    (interface, socket, rtp)
}

fn psnr(shown: impl ExactSizeIterator<Item = u8>) -> f64 {
    let count = shown.len() as f64;
    let difference = |(i, y): (usize, u8)| f64::from(luma(i % WIDTH, i / WIDTH)) - f64::from(y);
    let squares: f64 = shown.enumerate().map(|pixel| difference(pixel).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) / (squares / count)).log10()
}

/// The scene as 4:2:0 planes, without colour.
fn planes() -> Vec<u8> {
    let mut planes: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| luma(i % WIDTH, i / WIDTH)).collect();
    planes.resize(WIDTH * HEIGHT * 3 / 2, 128);
    planes
}

/// Receives what `program`, given the group, sends of the scene in a file, and compares it with the scene.
#[track_caller]
fn check(program: &str, last: u8, arguments: impl Fn(&Path, SocketAddr) -> Vec<String>) {
    if !is_installed(program) {
        return;
    }
    let (interface, _reserved, rtp) = group(last);
    let folder = tempfile::tempdir().expect("a folder");
    let scene = folder.path().join("scene.yuv");
    std::fs::write(&scene, planes()).expect("written");

    let clock = Clock::system();
    let receiver = Receiver::start(&interface, &clock, 1, Box::new(NoAudio)).expect("a thread");
    let (slot, stats) = (Arc::new(PictureSlot::default()), Arc::new(VideoStats::default()));
    slot.want(WIDTH, HEIGHT);
    let sink = Sink::Video { slot: slot.clone(), stats: stats.clone(), true_size: None };
    receiver
        .subscribe(Subscription {
            key: 1,
            rtp,
            source: None,
            ssrc: None,
            offset: ClockOffset::unknown(),
            opener: None,
            repair: None,
            sink,
        })
        .expect("joined");
    let _sender = start(program, arguments(&scene, rtp));

    let began = Instant::now();
    while stats.frames_decoded.load(Ordering::Relaxed) < FRAMES {
        assert!(began.elapsed() < DEADLINE, "{program}: {stats:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let mut picture = Picture::default();
    assert!(slot.take(clock.now(), &mut picture).is_some());
    assert_eq!((picture.width, picture.height), (WIDTH, HEIGHT));
    let psnr = psnr(picture.pixels.iter().map(|word| *word as u8));
    assert!(psnr > 30.0, "{program}: {psnr:.1} dB");
    assert_eq!(stats.frames_damaged.load(Ordering::Relaxed), 0, "{stats:?}");
    assert_eq!(stats.rejected.load(Ordering::Relaxed), 0, "{stats:?}");
}

fn ffmpeg(scene: &Path, rtp: SocketAddr, extra: &[&str]) -> Vec<String> {
    let size = format!("{WIDTH}x{HEIGHT}");
    let input = scene.display().to_string();
    let to = format!("rtp://{rtp}?ttl=0&pkt_size=1400&localaddr=127.0.0.1");
    ["-re", "-stream_loop", "-1", "-f", "rawvideo", "-pix_fmt", "yuvj420p", "-r", "30", "-s", &size, "-i", &input]
        .into_iter()
        .chain(["-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p", "-q:v", "3"])
        .chain(extra.iter().copied())
        .chain(["-payload_type", "26", "-f", "rtp", &to])
        .map(str::to_owned)
        .collect()
}

#[test]
fn ffmpeg_with_a_table_for_each_of_luma_and_chroma_is_received() {
    check("ffmpeg", 1, |scene, rtp| ffmpeg(scene, rtp, &["-force_duplicated_matrix", "1"]));
}

#[test]
fn ffmpeg_with_one_table_for_both_is_received() {
    check("ffmpeg", 2, |scene, rtp| ffmpeg(scene, rtp, &[]));
}

fn gstreamer(scene: &Path, rtp: SocketAddr, payloader: &str) -> Vec<String> {
    let bytes = WIDTH * HEIGHT * 3 / 2;
    format!(
        "-q multifilesrc location={} loop=true blocksize={bytes} \
         ! rawvideoparse format=i420 width={WIDTH} height={HEIGHT} framerate=30/1 \
         ! jpegenc quality=85 ! {payloader} pt=26 mtu=1400 \
         ! udpsink host={} port={} auto-multicast=true multicast-iface=lo ttl-mc=0 sync=true",
        scene.display(),
        rtp.ip(),
        rtp.port()
    )
    .split_whitespace()
    .map(str::to_owned)
    .collect()
}

#[test]
fn gstreamer_is_received() {
    check("gst-launch-1.0", 3, |scene, rtp| gstreamer(scene, rtp, "rtpjpegpay"));
}

#[test]
fn gstreamer_naming_its_tables_by_quality_is_received() {
    check("gst-launch-1.0", 4, |scene, rtp| gstreamer(scene, rtp, "rtpjpegpay quality=85"));
}

/// Key and salt of a protected stream.
type Master = [u8; MASTER_BYTES];

/// Sends the scene until `program`, given the group and a file, has written some frames of planes there, and compares the
/// last whole one with the scene. What is protected begins with its sequence numbers past their wrap.
#[track_caller]
fn check_receiver(
    program: &str,
    last: u8,
    master: Option<&Master>,
    arguments: impl Fn(&Path, &Path, SocketAddr) -> Vec<String>,
) {
    if !is_installed(program) {
        return;
    }
    let (_, socket, rtp) = group(last);
    let clock = Clock::system();
    let destination = Destination::default();
    destination.set(Some(rtp));
    let position = Arc::<AtomicU64>::default();
    let config = StreamConfig {
        ssrc: SSRC,
        first_sequence: 65_000,
        timestamp_base: u32::MAX - 90_000,
        cname: "test@loopback".into(),
        name: "Test".into(),
        quality: 85,
        interval: Duration::from_millis(33),
        phase: 0.0,
        seed: 1,
        master: master.map(|master| Zeroizing::new(*master)),
        position: Arc::clone(&position),
        repair: None,
    };
    let egress = Egress { socket: Arc::new(socket), destination };
    let mut outgoing = OutgoingVideo::new(config, egress, &clock, Arc::default()).expect("an encoder");
    let (mut picture, scene) = (Yuv::default(), planes());
    picture.reshape(WIDTH, HEIGHT, Chroma::C420);
    picture.y.copy_from_slice(&scene[..WIDTH * HEIGHT]);

    let folder = tempfile::tempdir().expect("a folder");
    let (sdp, written) = (folder.path().join("stream.sdp"), folder.path().join("written.yuv"));
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 {}/1\r\nt=0 0\r\nm=video {} RTP/AVP 26\r\n",
        rtp.ip(),
        rtp.port()
    );
    std::fs::write(&sdp, text).expect("written");
    let mut send = || outgoing.send_picture(&picture, clock.now(), &mut std::thread::park_timeout).expect("sent");
    while master.is_some() && position.load(Ordering::Relaxed) >> 16 == 0 {
        send();
    }
    let _receiver = start(program, arguments(&sdp, &written, rtp));
    let frame = WIDTH * HEIGHT * 3 / 2;
    let began = Instant::now();
    let bytes = loop {
        send();
        std::thread::park_timeout(Duration::from_millis(33));
        let bytes = std::fs::read(&written).unwrap_or_default();
        if bytes.len() >= 10 * frame {
            break bytes;
        }
        assert!(began.elapsed() < DEADLINE, "{program} wrote {} bytes", bytes.len());
    };
    let last = (bytes.len() / frame - 1) * frame;
    let psnr = psnr(bytes[last..last + WIDTH * HEIGHT].iter().copied());
    assert!(psnr > 30.0, "{program}: {psnr:.1} dB");
}

#[test]
fn ffmpeg_receives_what_is_sent_here() {
    check_receiver("ffmpeg", 5, None, |sdp, written, _| {
        let (sdp, written) = (sdp.display().to_string(), written.display().to_string());
        ["-protocol_whitelist", "file,udp,rtp", "-localaddr", "127.0.0.1", "-i", &sdp]
            .into_iter()
            .chain(["-flush_packets", "1", "-pix_fmt", "yuvj420p", "-f", "rawvideo", &written])
            .map(str::to_owned)
            .collect()
    });
}

#[test]
fn gstreamer_receives_what_is_sent_here() {
    check_receiver("gst-launch-1.0", 6, None, |_, written, rtp| {
        let pipeline = format!(
            "-q udpsrc address={} port={} multicast-iface=lo \
             caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=JPEG,payload=26 \
             ! rtpjpegdepay ! jpegdec ! video/x-raw,format=I420 ! filesink buffer-mode=unbuffered location={}",
            rtp.ip(),
            rtp.port(),
            written.display()
        );
        pipeline.split_whitespace().map(str::to_owned).collect()
    });
}

/// The roll-over counter is one: whoever comes now cannot tell it from the packets.
#[test]
fn gstreamer_given_the_key_and_the_roll_over_counter_receives_a_protected_stream_that_wrapped() {
    let master: Master = std::array::from_fn(|n| 3 * n as u8);
    check_receiver("gst-launch-1.0", 7, Some(&master), |_, written, rtp| {
        let caps = srtpdec_caps(StreamKind::Video(Layer::Full), SSRC, 1, &master);
        let pipeline = format!(
            "-q udpsrc address={} port={} multicast-iface=lo caps={} ! srtpdec \
             ! rtpjpegdepay ! jpegdec ! video/x-raw,format=I420 ! filesink buffer-mode=unbuffered location={}",
            rtp.ip(),
            rtp.port(),
            *caps,
            written.display()
        );
        pipeline.split_whitespace().map(str::to_owned).collect()
    });
}
