//! From capture to the picture in its slot, over real multicast on the loopback, beside the bare time it takes to encode
//! and decode the same frames. All streams share this machine's cores, sender and receiver. With repair: the sender keeps
//! what it sends and the receiver gathers what comes, as in a conference; without loss nothing is asked for.
//!
//! `cargo bench --bench frame_latency [-- SECONDS]`

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use roundtable::device::clock::Clock;
use roundtable::device::net::{Interface, UdpSocket};
use roundtable::media::jpeg::{BandDecoder, BandEncoder, FrameParams};
use roundtable::media::picture::{Picture, Yuv};
use roundtable::media::test_card::TestCard;
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::{AudioSink, ClockOffset, Receiver, RepairSource, Sink, Subscription};
use roundtable::pipeline::repair::{Answering, OutgoingRepair, RepairConfig};
use roundtable::pipeline::slot::PictureSlot;
use roundtable::pipeline::video_receive::VideoStats;
use roundtable::pipeline::video_send::{OutgoingVideo, StreamConfig, VideoSendStats};
use roundtable::time::Timestamp;

const QUALITY: u8 = 65;
const FRAMES_PER_S: u32 = 30;
/// Sources of parity are numbered from here.
const PARITY: u32 = 100;

struct NoAudio;

impl AudioSink for NoAudio {
    fn packet(&mut self, _: u64, _: Timestamp, _: &[u8]) {}
}

fn main() {
    let seconds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(5);
    println!("q{QUALITY}, {FRAMES_PER_S} fps, {seconds} s each; milliseconds; ratio = latency p50 / bare p50");
    println!(
        "{:<28} {:>7} {:>7} {:>7} {:>7}  {:>9} {:>6} {:>7}",
        "", "p50", "p95", "p99", "max", "bare p50", "ratio", "frames"
    );
    for (width, height) in [(1_280, 720), (848, 480)] {
        let pictures = pictures(width, height);
        for (streams, repaired) in [(1, false), (1, true), (4, true)] {
            let bare = bare(&pictures, seconds);
            let (latency, kib) = over_the_network(&pictures, streams, repaired, seconds);
            let ms = |h: &Histogram<u64>, q: f64| h.value_at_quantile(q) as f64 / 1e6;
            println!(
                "{:<28} {:>7.2} {:>7.2} {:>7.2} {:>7.2}  {:>9.2} {:>6.2} {:>7}  {kib:.0} KiB a frame",
                format!("{width}x{height}, {streams} {}", if repaired { "with repair" } else { "without repair" }),
                ms(&latency, 0.5),
                ms(&latency, 0.95),
                ms(&latency, 0.99),
                latency.max() as f64 / 1e6,
                ms(&bare, 0.5),
                ms(&latency, 0.5) / ms(&bare, 0.5),
                latency.len(),
            );
        }
    }
}

fn pictures(width: usize, height: usize) -> Arc<Vec<Yuv>> {
    let clock = Clock::system();
    let mut card = TestCard::new(width, height, "Bench", 7);
    let render = |n| {
        let mut picture = Yuv::default();
        card.render(clock.wall(), n, &mut picture);
        picture
    };
    Arc::new((0..30).map(render).collect())
}

/// Calls `frame` with the number of each frame when it is due.
fn paced(seconds: u32, phase: Duration, mut frame: impl FnMut(usize)) {
    let interval = Duration::from_secs(1) / FRAMES_PER_S;
    let began = Instant::now() + phase;
    for n in 0..seconds * FRAMES_PER_S {
        std::thread::sleep((began + interval * n).saturating_duration_since(Instant::now()));
        frame(n as usize);
    }
}

/// Nanoseconds to encode and decode each frame whole, one after the other on one thread.
fn bare(pictures: &[Yuv], seconds: u32) -> Histogram<u64> {
    let mut times = Histogram::new(3).expect("a histogram");
    let mut encoder = BandEncoder::new().expect("an encoder");
    let mut decoder = BandDecoder::new().expect("a decoder");
    let (mut scan, mut shown) = (Vec::new(), Picture::default());
    paced(seconds, Duration::ZERO, |n| {
        let picture = &pictures[n % pictures.len()];
        let began = Instant::now();
        scan.clear();
        encoder.encode(picture, QUALITY, 1, &mut |band| scan.extend_from_slice(band.scan)).expect("encoded");
        let params = FrameParams {
            width: picture.width,
            height: picture.height,
            chroma: picture.chroma,
            restart_interval: encoder.restart_interval(),
            tables: encoder.tables(),
            crop: None,
        };
        decoder.begin(params, (picture.width, picture.height)).expect("begun");
        decoder.push(&scan, true).expect("decoded");
        decoder.take(&mut shown);
        times.record(began.elapsed().as_nanos() as u64).expect("it grows");
    });
    times
}

/// Nanoseconds from capture to slot of the frames of all streams, and KiB per frame.
fn over_the_network(pictures: &Arc<Vec<Yuv>>, streams: u32, repaired: bool, seconds: u32) -> (Histogram<u64>, f64) {
    let clock = Clock::system();
    let interface = Interface::choose(Some("127.0.0.1")).expect("a loopback");
    let receiver = Receiver::start(&interface, &clock, 2, Box::new(NoAudio)).expect("a thread");
    let mut all = Histogram::new(3).expect("a histogram");
    let (mut bytes, mut frames) = (0, 0);
    let senders: Vec<_> = (0..streams)
        .map(|n| {
            let socket = Arc::new(UdpSocket::unicast(&interface, 0).expect("a free port"));
            let port = socket.local_addr().port() & !1;
            let rtp = SocketAddr::from((Ipv4Addr::new(239, 255, 202, n as u8), port));
            let (slot, stats) = (Arc::new(PictureSlot::default()), Arc::new(VideoStats::default()));
            slot.want(pictures[0].width, pictures[0].height);
            let sink = Sink::Video { slot, stats: stats.clone(), true_size: None };
            let address = SocketAddr::new(rtp.ip(), port.wrapping_add(2));
            let source = RepairSource { address, ssrc: PARITY + n, opener: None, seed: 1, direct: None };
            let subscription = Subscription {
                key: n.into(),
                rtp,
                source: None,
                ssrc: Some(n),
                offset: ClockOffset::unknown(),
                opener: None,
                repair: repaired.then_some(source),
                sink,
            };
            receiver.subscribe(subscription).expect("joined");
            let config =
                RepairConfig { of: n, ssrc: PARITY + n, first_sequence: 0, master: None, position: Arc::default() };
            let repair = repaired.then(|| OutgoingRepair::new(&config, Arc::clone(&socket)));
            repair.iter().for_each(|repair| Answering::Video(repair.clone()).direct(Some(address)));
            let (pictures, clock) = (pictures.clone(), clock.clone());
            std::thread::spawn(move || send(&pictures, &clock, socket, rtp, (n, streams), repair, seconds, &stats))
        })
        .collect();
    for sender in senders {
        let (times, sent) = sender.join().expect("a sender");
        all.add(times).expect("the same range");
        bytes += sent.bytes.load(Ordering::Relaxed);
        frames += sent.frames.load(Ordering::Relaxed);
    }
    (all, bytes as f64 / 1024.0 / frames as f64)
}

#[allow(clippy::too_many_arguments)]
fn send(
    pictures: &[Yuv],
    clock: &Clock,
    socket: Arc<UdpSocket>,
    rtp: SocketAddr,
    (n, streams): (u32, u32),
    repair: Option<OutgoingRepair>,
    seconds: u32,
    received: &VideoStats,
) -> (Histogram<u64>, Arc<VideoSendStats>) {
    let destination = Destination::default();
    destination.set(Some(rtp));
    let interval = Duration::from_secs(1) / FRAMES_PER_S;
    let config = StreamConfig {
        ssrc: n,
        first_sequence: 0,
        timestamp_base: 0,
        cname: "bench".into(),
        name: "bench".into(),
        quality: QUALITY,
        interval,
        phase: f64::from(n) / f64::from(streams),
        seed: n.into(),
        master: None,
        position: Arc::default(),
        repair,
    };
    let stats = Arc::new(VideoSendStats::default());
    let egress = Egress { socket, destination };
    let mut outgoing = OutgoingVideo::new(config, egress, clock, stats.clone()).expect("an encoder");
    let mut times = Histogram::new(3).expect("a histogram");
    let mut before = None;
    let note = |before: Option<Timestamp>, times: &mut Histogram<u64>| {
        let shown = Timestamp(received.picture_at.load(Ordering::Relaxed));
        if let Some(captured) = before.filter(|&captured| shown > captured) {
            times.record(shown.0 - captured.0).expect("it grows");
        }
    };
    paced(seconds, interval * n / streams, |frame| {
        // The picture before has long been shown, or never will be.
        note(before, &mut times);
        let captured = clock.now();
        outgoing
            .send_picture(&pictures[frame % pictures.len()], captured, &mut |wait| std::thread::park_timeout(wait))
            .expect("sent");
        before = Some(captured);
    });
    std::thread::sleep(interval);
    note(before, &mut times);
    (times, stats)
}
