//! Repair over real sockets of the loopback: of copies, of what a relay passes on, and how long is waited for it.

use std::time::Duration;

use super::*;
use crate::device::net::Dscp;
use crate::pipeline::repair::{OutgoingRepair, RepairConfig};
use crate::protocol::keys::Secret;
use crate::protocol::packetizer::{FrameStart, PacketBatch, VideoPacketizer};
use crate::wire::jpeg_payload::Sampling;
use crate::wire::message::ConferenceId;

const SSRC: u32 = 1;
const PARITY_SSRC: u32 = 2;
/// The packet of each frame that does not arrive.
const LOST: usize = 3;
/// Longest wait for something that must happen; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(20);

struct NoAudio;

impl AudioSink for NoAudio {
    fn packet(&mut self, _: u64, _: Timestamp, _: &[u8]) {}
}

fn loopback(wireless: bool) -> Interface {
    Interface { wireless, ..Interface::choose(Some("127.0.0.1")).expect("a loopback") }
}

fn keys() -> EpochKeys {
    let id = ConferenceId([1; 16]);
    EpochKeys::first(id, &Secret::open(&id))
}

fn receiver() -> Receiver {
    Receiver::start(&loopback(true), &Clock::system(), 1, Box::new(NoAudio)).expect("a thread")
}

fn direct(receiver: &Receiver) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], receiver.direct_port()))
}

/// Packets of frames, one frame after the other.
struct Frames {
    packetizer: VideoPacketizer,
    timestamp: u32,
}

impl Frames {
    fn new() -> Self {
        Self { packetizer: VideoPacketizer::new(SSRC, 0), timestamp: 0 }
    }

    fn next(&mut self) -> Vec<Vec<u8>> {
        self.timestamp += 3_000;
        let mut batch = PacketBatch::default();
        let (timestamp, sampling, tables) = (self.timestamp, Sampling::H2V2, &[1; 128]);
        let start = FrameStart { timestamp, width: 64, height: 64, sampling, restart_interval: 4, tables };
        self.packetizer.begin(&start).expect("a frame");
        self.packetizer.push(&[7; 10_000], &mut batch).expect("a frame");
        self.packetizer.finish(&mut batch);
        batch.packets().map(<[u8]>::to_vec).collect()
    }
}

fn subscription(
    group: SocketAddr,
    source: Option<SocketAddr>,
    direct: Option<SocketAddr>,
) -> (Arc<VideoStats>, Subscription) {
    let stats = Arc::new(VideoStats::default());
    let address = SocketAddr::new(group.ip(), group.port() + 2);
    let repair = Some(RepairSource { address, ssrc: PARITY_SSRC, opener: None, seed: 5, direct });
    let sink = Sink::Video { slot: Arc::default(), stats: Arc::clone(&stats), true_size: None };
    let (offset, opener) = (ClockOffset::unknown(), None);
    (stats, Subscription { key: 1, rtp: group, source, ssrc: Some(SSRC), offset, opener, repair, sink })
}

/// Ada, who sends a stream, and its repair.
struct Ada {
    socket: Arc<UdpSocket>,
    receiver: Receiver,
    repair: OutgoingRepair,
    answering: Answering,
    group: SocketAddr,
    frames: Frames,
    _reserved: UdpSocket,
}

impl Ada {
    fn new(last: u8) -> Self {
        let lo = loopback(false);
        let socket = Arc::new(UdpSocket::unicast(&lo, 0).expect("a free port"));
        // Ports near this one are of this test alone.
        let reserved = UdpSocket::unicast(&lo, 0).expect("a free port");
        let group = SocketAddr::from(([239, 255, 204, last], reserved.local_addr().port() & !1));
        let receiver = receiver();
        receiver.feedback(&socket, &keys(), 1);
        let config =
            RepairConfig { of: SSRC, ssrc: PARITY_SSRC, first_sequence: 3, master: None, position: Arc::default() };
        let repair = OutgoingRepair::new(&config, Arc::clone(&socket));
        let answering = Answering::Video(repair.clone());
        let repairs_at = SocketAddr::new(group.ip(), group.port() + 2);
        answering.direct(Some(repairs_at));
        receiver.repair(0, repairs_at, &answering).expect("a group");
        Self { socket, receiver, repair, answering, group, frames: Frames::new(), _reserved: reserved }
    }

    /// Sends a frame to `to`, without one of its packets.
    fn send(&mut self, to: SocketAddr) {
        let packets = self.frames.next();
        self.repair.keep(Clock::system().now(), packets.iter().map(Vec::as_slice));
        for packet in packets.iter().enumerate().filter(|(n, _)| *n != LOST).map(|(_, packet)| packet) {
            self.socket.send(to, packet, Dscp::Video).expect("sent");
        }
    }

    /// Sends frames until one of them is repaired at the viewer: a machine that does something else misses some.
    fn send_until_repaired(&mut self, to: SocketAddr, viewer: &VideoStats) -> bool {
        let clock = Clock::system();
        let began = clock.now();
        while clock.now().since(began) < DEADLINE {
            self.send(to);
            let sent = clock.now();
            while clock.now().since(sent) < Duration::from_millis(60) {
                if viewer.frames_repaired.load(Ordering::Relaxed) > 0 {
                    return true;
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        false
    }
}

/// Dee, who hears no group of Ada's: she joins others.
fn deaf(ada: &Ada, last: u8) -> (Receiver, Arc<VideoStats>) {
    let receiver = receiver();
    receiver.feedback(&Arc::new(UdpSocket::unicast(&loopback(false), 0).expect("a free port")), &keys(), 2);
    let nowhere = SocketAddr::from(([239, 255, 205, last], ada.group.port()));
    let (stats, subscription) = subscription(nowhere, Some(ada.socket.local_addr()), Some(direct(&ada.receiver)));
    receiver.subscribe(subscription).expect("joined");
    (receiver, stats)
}

#[test]
fn whoever_gets_copies_asks_their_sender_and_gets_copies_of_the_parity() {
    let mut ada = Ada::new(1);
    let (dee, stats) = deaf(&ada, 1);
    ada.answering.set_copies(&[direct(&dee)]);
    assert!(ada.send_until_repaired(direct(&dee), &stats), "asked {}", stats.repairs_asked.load(Ordering::Relaxed));
    assert_eq!(stats.foreign.load(Ordering::Relaxed), 0);
}

#[test]
fn a_relay_passes_parity_on_to_those_who_ask_the_sender() {
    let mut ada = Ada::new(2);
    let (dee, stats) = deaf(&ada, 2);
    // Bob relays. He cannot ask himself: he was given nothing to ask with.
    let bob = receiver();
    bob.subscribe(subscription(ada.group, Some(ada.socket.local_addr()), None).1).expect("joined");
    bob.relay(Relaying { to: vec![direct(&dee)], keys: vec![1], ..Default::default() });
    dee.relay(Relaying { from: Some(direct(&bob)), ..Default::default() });
    assert!(ada.send_until_repaired(ada.group, &stats), "asked {}", stats.repairs_asked.load(Ordering::Relaxed));
}

#[test]
fn what_is_received_for_others_alone_is_passed_on_and_what_nobody_asked_for_is_not() {
    for (keys, passed) in [(vec![1], true), (vec![2], false)] {
        let mut ada = Ada::new(4);
        let (dee, stats) = deaf(&ada, 4);
        let bob = receiver();
        let (_, own) = subscription(ada.group, Some(ada.socket.local_addr()), None);
        bob.subscribe(Subscription { sink: Sink::Pass, ssrc: None, ..own }).expect("joined");
        bob.relay(Relaying { to: vec![direct(&dee)], keys, ..Default::default() });
        dee.relay(Relaying { from: Some(direct(&bob)), ..Default::default() });
        if passed {
            assert!(ada.send_until_repaired(ada.group, &stats));
        } else {
            let arrived = || bob.arrivals()[0].2;
            let clock = Clock::system();
            let began = clock.now();
            while arrived() < 100 && clock.now().since(began) < DEADLINE {
                ada.send(ada.group);
                std::thread::park_timeout(Duration::from_millis(5));
            }
            assert!(arrived() >= 100, "they are counted");
            assert_eq!(stats.packets_received.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn strangers_who_write_to_the_port_of_copies_are_refused_and_get_no_parity() {
    let mut ada = Ada::new(3);
    let (dee, stats) = deaf(&ada, 3);
    let other = EpochKeys::first(ConferenceId([2; 16]), &Secret::open(&ConferenceId([2; 16])));
    dee.feedback(&Arc::new(UdpSocket::unicast(&loopback(false), 0).expect("a free port")), &other, 2);
    ada.answering.set_copies(&[direct(&dee)]);
    let clock = Clock::system();
    let began = clock.now();
    while ada.receiver.refused() == 0 {
        assert!(clock.now().since(began) < DEADLINE, "asked {}", stats.repairs_asked.load(Ordering::Relaxed));
        ada.send(direct(&dee));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(ada.repair.counters().packets, 0);
}

/// How long a stream that lacks a packet waits for it, in milliseconds.
fn waits(stream: &mut Stream, frames: &mut Frames) -> u64 {
    let decoders = Decoders::start(1, &Clock::system()).expect("a thread");
    let from: SocketAddr = ([127, 0, 0, 1], 9).into();
    let begin = Timestamp::from_millis(1_000 + u64::from(frames.timestamp));
    for (_, packet) in frames.next().iter().enumerate().filter(|(n, _)| *n != LOST) {
        let datagram = net::Datagram { bytes: packet, source: from, destination: None, arrived: None };
        stream.media(begin, &datagram, &mut NoAudio);
    }
    let mut last = begin;
    stream.settle(begin, &mut Feedback::default(), &decoders);
    while let Some(due) = stream.next_timeout() {
        last = due;
        stream.settle(due, &mut Feedback::default(), &decoders);
    }
    last.since(begin).as_millis() as u64
}

#[test]
fn on_wifi_it_waits_twice_as_long_for_what_is_missing() {
    let group = SocketAddr::from(([239, 255, 204, 9], 39_000));
    for (wireless, hold) in [(false, 20), (true, 40)] {
        let mut frames = Frames::new();
        let mut stream = Stream::open(subscription(group, None, None).1, &loopback(wireless)).expect("joined");
        assert_eq!(waits(&mut stream, &mut frames), hold);
        stream.renew(&loopback(!wireless));
        assert_eq!(waits(&mut stream, &mut frames), 60 - hold, "on another network");
    }
}
