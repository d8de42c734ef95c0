//! RTP/JPEG as FFmpeg and GStreamer send it, put together by our depacketizer.

use crate::common::sandbox::{sandboxed, sh};
use crate::material::{Arrived, FPS, HEIGHT, Luma, Video, WIDTH, video};
use roundtable::media::jpeg::{FrameParams, decode_to_yuv, to_jpeg};
use roundtable::media::picture::Chroma;
use roundtable::protocol::reassembler::{FrameView, Progress, Reassembler};
use roundtable::time::Timestamp;
use roundtable::wire::jpeg_payload::Sampling;
use roundtable::wire::rtp;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 0, 1);
const PORT: u16 = 5_004;
const SECONDS: usize = 4;

/// Runs a foreign sender on the loopback and puts together what it sends.
fn received_from(arguments: impl FnOnce(&str) -> Vec<String>) {
    sh("ip route add 224.0.0.0/4 dev lo");
    let folder = tempfile::tempdir().expect("temporary folder");
    let video = video(folder.path(), 4);
    let socket = UdpSocket::bind((GROUP, PORT)).expect("socket");
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST).expect("join");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("timeout");

    let words = arguments(&video.file.to_string_lossy());
    let mut command = Command::new("timeout");
    let mut sender = command.arg("20").args(&words).stdin(Stdio::null()).spawn().expect("start the sender");
    let pictures = put_together(&socket);
    let _ = sender.kill();
    let _ = sender.wait();
    check(&video, pictures);
}

fn check(video: &Video, pictures: Vec<Luma>) {
    Arrived::compare(video, pictures.into_iter()).assert(SECONDS * FPS * 3 / 4, 0.98);
}

/// Receives until the pictures of [`SECONDS`] are there, or the sender has long been silent.
fn put_together(socket: &UdpSocket) -> Vec<Luma> {
    let mut reassembler = Reassembler::new();
    let (mut pictures, mut buffer) = (Vec::new(), [0; 2_048]);
    let begun = Instant::now();
    while pictures.len() < SECONDS * FPS && begun.elapsed() < Duration::from_secs(15) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let packet = rtp::Packet::parse(&buffer[..length]).expect("RTP");
        let now = Timestamp(u64::try_from(begun.elapsed().as_nanos()).expect("a short time"));
        if let Progress::Complete(id) = reassembler.push(now, &packet).expect("RTP/JPEG that we take") {
            pictures.push(decoded(&reassembler.frame(id).expect("the frame just completed")));
            reassembler.release(id);
        }
    }
    println!("{:?}", reassembler.counters());
    pictures
}

fn decoded(frame: &FrameView<'_>) -> Luma {
    let chroma = match frame.header.sampling {
        Sampling::H2V2 => Chroma::C420,
        Sampling::H2V1 => Chroma::C422,
    };
    let params = FrameParams {
        width: frame.header.width,
        height: frame.header.height,
        chroma,
        restart_interval: frame.header.restart_interval,
        tables: frame.tables,
        crop: None,
    };
    let mut jpeg = Vec::new();
    to_jpeg(&params, frame.scan, &mut jpeg);
    let picture = decode_to_yuv(&jpeg).expect("a whole JPEG");
    assert_eq!((picture.width, picture.height), (WIDTH, HEIGHT));
    picture.y
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn ffmpeg_is_received() {
    sandboxed("senders::ffmpeg_is_received", || {
        received_from(|file| {
            words(&format!(
                "ffmpeg -v error -re -i {file} -c:v mjpeg -huffman default -force_duplicated_matrix 1 \
                 -pix_fmt yuvj420p -q:v 3 -payload_type 26 -f rtp rtp://{GROUP}:{PORT}?ttl=1&pkt_size=1400&localaddr=127.0.0.1"
            ))
        });
    });
}

#[test]
fn gstreamer_is_received() {
    sandboxed("senders::gstreamer_is_received", || {
        received_from(|file| {
            words(&format!(
                "gst-launch-1.0 -q filesrc location={file} ! y4mdec ! clocksync ! jpegenc quality=85 \
                 ! rtpjpegpay pt=26 mtu=1400 ! udpsink host={GROUP} port={PORT} multicast-iface=lo ttl-mc=1"
            ))
        });
    });
}
