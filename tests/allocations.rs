//! In the steady state nothing is allocated for a packet or a frame: pictures and voices from the sender through real
//! sockets to the slot and the mix, and what others say of themselves.
//!
//! Counts every allocation of the process; what C libraries allocate among themselves does not pass here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use roundtable::device::clock::Clock;
use roundtable::device::net::{Dscp, Interface, UdpSocket};
use roundtable::device::sound::{Buffers, MicrophoneSpec, SpeakerSpec};
use roundtable::media::opus;
use roundtable::media::picture::{Picture, Yuv};
use roundtable::media::test_card::TestCard;
use roundtable::pipeline::audio_receive::{AudioQueue, AudioReceive};
use roundtable::pipeline::audio_send::{self, AudioSend};
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::{ClockOffset, Receiver, RepairSource, Sink, Subscription};
use roundtable::pipeline::repair::{Answering, OutgoingRedundancy, RepairConfig};
use roundtable::pipeline::slot::PictureSlot;
use roundtable::pipeline::tap;
use roundtable::pipeline::video_receive::VideoStats;
use roundtable::pipeline::video_send::{OutgoingVideo, StreamConfig, VideoSendStats};
use roundtable::protocol::keys::{EpochKeys, Identity, Secret};
use roundtable::protocol::roster::{RepairInfo, Role, StreamInfo};
use roundtable::protocol::session::{Arrival, Channel, Moment, Outputs, Session, Setup, To};
use roundtable::protocol::srtp::{MASTER_BYTES, Protector, Unprotector};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::address::{Plan, Scope};
use roundtable::wire::message::ConferenceId;
use roundtable::wire::{Layer, StreamKind, rtp};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// One test for all, so that nothing else runs in the process meanwhile.
#[test]
fn nothing_is_allocated_for_a_packet_in_the_steady_state() {
    for (what, count) in
        [("pictures", pictures as fn() -> u64), ("taps", taps), ("voices", voices), ("members", members)]
    {
        assert_eq!(count(), 0, "allocations for {what}");
    }
}

fn loopback() -> Interface {
    Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback")
}

/// The way out to a group of this test alone.
fn egress(interface: &Interface, last: u8) -> (Egress, SocketAddr) {
    let socket = Arc::new(UdpSocket::unicast(interface, 0).expect("a free port"));
    let group = SocketAddr::from((Ipv4Addr::new(239, 255, 203, last), socket.local_addr().port() & !1));
    let destination = Destination::default();
    destination.set(Some(group));
    (Egress { socket, destination }, group)
}

/// Encoder, packets, sockets, reassembly, decoder, slot: allocations of frames after the first ones.
fn pictures() -> u64 {
    const WARM: usize = 300;
    const COUNTED: usize = 100;
    let (interface, clock) = (loopback(), Clock::system());
    let (egress, rtp) = egress(&interface, 1);
    let (slot, stats) = (Arc::new(PictureSlot::default()), Arc::new(VideoStats::default()));
    slot.want(640, 368);
    let receiver = Receiver::start(&interface, &clock, 2, Box::new(AudioQueue::default())).expect("a thread");
    let sink = Sink::Video { slot: slot.clone(), stats, true_size: None };
    let (source, ssrc) = (Some(egress.socket.local_addr()), Some(7));
    let subscription =
        Subscription { key: 1, rtp, source, ssrc, offset: ClockOffset::unknown(), opener: None, repair: None, sink };
    receiver.subscribe(subscription).expect("joined");
    let config = StreamConfig {
        ssrc: 7,
        first_sequence: 1,
        timestamp_base: 0,
        cname: "ada@host".into(),
        name: "Ada".into(),
        quality: 75,
        interval: Duration::from_millis(33),
        phase: 0.0,
        seed: 1,
        master: None,
        position: Arc::default(),
        repair: None,
    };
    let mut outgoing =
        OutgoingVideo::new(config, egress, &clock, Arc::<VideoSendStats>::default()).expect("an encoder");
    let mut card = TestCard::new(640, 368, "Ada", 1);
    let (mut picture, mut shown) = (Yuv::default(), Picture::default());
    let mut frame = |n: usize| {
        card.render(NtpTime(n as u64), n as u64, &mut picture);
        outgoing.send_picture(&picture, clock.now(), &mut std::thread::park_timeout).expect("sent");
        let began = clock.now();
        while slot.take(clock.now(), &mut shown).is_none() {
            assert!(clock.now().since(began) < Duration::from_secs(10), "picture {n} did not come");
            std::thread::park_timeout(Duration::from_micros(200));
        }
    };
    (0..WARM).for_each(&mut frame);
    let before = allocations();
    (WARM..WARM + COUNTED).for_each(&mut frame);
    allocations() - before
}

/// Protected packets, their opening, and sending them on to a port of this machine.
fn taps() -> u64 {
    const MASTER: [u8; MASTER_BYTES] = [7; MASTER_BYTES];
    let (interface, clock) = (loopback(), Clock::system());
    let (egress, rtp) = egress(&interface, 3);
    let player = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    player.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, player.local_addr().expect("bound").port()));
    let out = Arc::new(UdpSocket::unicast(&interface, 0).expect("a free port"));
    let source = tap::Source {
        rtp,
        source: egress.socket.local_addr(),
        ssrc: 7,
        rate: 90_000,
        opener: Some(Unprotector::new(&MASTER, 7, 0)),
        cname: "ada@host".into(),
        name: "Ada".into(),
    };
    let tap = tap::Tap::start(source, &interface, out, to, None, &clock).expect("a thread");
    let mut protector = Protector::new(&MASTER);
    let (mut plain, mut sealed, mut came) = (Vec::new(), Vec::with_capacity(1_500), [0; 1_500]);
    rtp::Header { marker: true, payload_type: 26, sequence: 0, timestamp: 9, ssrc: 7 }.write(&mut plain);
    plain.resize(1_000, 1);
    let mut packet = |n: u16| {
        plain[2..4].copy_from_slice(&n.to_be_bytes());
        sealed.clear();
        protector.protect(&plain, &mut sealed).expect("in order");
        egress.socket.send(rtp, &sealed, Dscp::Default).expect("sent");
        let length = player.recv(&mut came).unwrap_or_else(|e| panic!("{n}: {e}"));
        assert_eq!(came[..length], plain[..]);
    };
    (0..1_000).for_each(&mut packet);
    let before = allocations();
    (1_000..3_000).for_each(&mut packet);
    let counted = allocations() - before;
    drop(tap);
    counted
}

/// How a voice is sent.
#[derive(Clone, Copy, Debug, Default)]
struct Voice {
    protected: bool,
    /// Its packets are sent again: now and then one goes nowhere.
    repaired: bool,
    /// Only what is louder than a limit is sent.
    activated: bool,
}

/// A voice as it is in each kind of conference.
fn voices() -> u64 {
    let plain = Voice::default();
    let protected = Voice { protected: true, ..plain };
    let all = [plain, protected, Voice { activated: true, ..plain }, Voice { repaired: true, ..protected }];
    let counted = all.into_iter().zip(10..).map(|(how, last)| {
        let count = voice(how, last);
        println!("{count} for a voice of {how:?}");
        count
    });
    counted.sum()
}

/// Microphone, encoder, packets, sockets, jitter buffer, decoder, mix.
fn voice(how: Voice, last: u8) -> u64 {
    const MASTERS: [[u8; MASTER_BYTES]; 2] = [[7; MASTER_BYTES], [8; MASTER_BYTES]];
    let interface = loopback();
    let (egress, rtp) = egress(&interface, last);
    let master = |n: usize| how.protected.then(|| MASTERS[n].into());
    let opener = |n: usize, ssrc| how.protected.then(|| Unprotector::new(&MASTERS[n], ssrc, 0));
    let repeats = SocketAddr::new(rtp.ip(), rtp.port() + 2);
    let (source, ssrc) = (Some(egress.socket.local_addr()), Some(9));
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let queue = AudioQueue::default();
    let mut mixer =
        AudioReceive::new(&SpeakerSpec::None, Buffers::Usual, queue.clone(), &clock).expect("no speaker at all");
    let talker = mixer.add(1).expect("a talker");
    let receiver = Receiver::start(&interface, &clock, 1, Box::new(queue)).expect("a thread");
    // The sender's own, who answers: nobody answers oneself.
    let answers = Receiver::start(&interface, &clock, 1, Box::new(AudioQueue::default())).expect("a thread");
    let redundancy = how.repaired.then(|| {
        let (first_sequence, position) = (3, Arc::default());
        let config = RepairConfig { of: 9, ssrc: 10, first_sequence, master: master(1), position };
        let conference = ConferenceId([1; 16]);
        let keys = EpochKeys::first(conference, &Secret::open(&conference));
        receiver.feedback(&Arc::new(UdpSocket::unicast(&interface, 0).expect("a free port")), &keys, 1);
        answers.feedback(&egress.socket, &keys, 2);
        let redundancy = OutgoingRedundancy::new(&config, Arc::clone(&egress.socket));
        let answering = Answering::Voice(redundancy.clone());
        answering.direct(Some(repeats));
        answers.repair(0, repeats, &answering).expect("a group");
        redundancy
    });
    let repair =
        how.repaired.then(|| RepairSource { address: repeats, ssrc: 10, opener: opener(1, 10), seed: 5, direct: None });
    let offset = ClockOffset::unknown();
    let (opener, sink) = (opener(0, 9), Sink::Audio);
    receiver.subscribe(Subscription { key: 1, rtp, source, ssrc, offset, opener, repair, sink }).expect("joined");
    let config = audio_send::Config {
        microphone: MicrophoneSpec::Test,
        pitch_hz: 220.0,
        frame_ms: 20,
        opus: opus::Settings::default(),
        ssrc: 9,
        first_sequence: 1,
        first_timestamp: 0,
        cname: "ada@host".into(),
        name: "Ada".into(),
        master: master(0),
        position: Arc::default(),
        repair: redundancy,
        muted: false,
        voice: roundtable::media::voice::Settings::NONE,
        reference: None,
        threshold_dbfs: how.activated.then_some(-25.0),
    };
    let destination = egress.destination.clone();
    let mut sender = AudioSend::new(config, egress, clock.clone()).expect("a test voice");
    let mut ms = 0;
    let mut millisecond = || {
        clock.advance(Duration::from_millis(1));
        ms += 1;
        if how.repaired {
            destination.set(Some(rtp).filter(|_| ms / 20 % 8 != 0));
        }
        sender.step(clock.now());
        mixer.step(clock.now());
        std::thread::park_timeout(Duration::from_micros(100));
    };
    (0..6_000).for_each(|_| millisecond());
    let (before, received) = (allocations(), talker.packets_received());
    (0..3_000).for_each(|_| millisecond());
    let counted = allocations() - before;
    let came = talker.packets_received() - received;
    assert!(came > 60, "packets went all the way: {came}");
    let lost = talker.packets_lost();
    assert!(!how.repaired || lost < 10, "what was lost came again: {lost} did not");
    counted
}

/// What a member makes of the beacons and pings of another who changes nothing.
fn members() -> u64 {
    let mut pair = Pair::new();
    pair.run(30_000);
    let (before, heard) = (pair.counted, pair.sessions[1].counters().opened);
    pair.run(60_000);
    let opened = pair.sessions[1].counters().opened - heard;
    assert!(opened > 40, "{opened} datagrams were heard");
    pair.counted - before
}

/// Two members on a network without loss; allocations of the second one's hearing are counted.
struct Pair {
    sessions: [Session; 2],
    out: [Outputs; 2],
    ms: u64,
    counted: u64,
}

fn moment(ms: u64) -> Moment {
    Moment { now: Timestamp::from_millis(1_000 + ms), wall: NtpTime::from_unix(Duration::from_millis(1_000 + ms)) }
}

fn address(n: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1 + n as u8), 4_000))
}

impl Pair {
    fn new() -> Self {
        let conference = ConferenceId([7; 16]);
        let plan = Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).expect("legal");
        let stream = |kind| StreamInfo {
            kind,
            ssrc: 5,
            width: 1_280,
            height: 720,
            fps_milli: 30_000,
            position: 0,
            active: false,
            repair: RepairInfo::default(),
        };
        let streams = [stream(StreamKind::Audio), stream(StreamKind::Video(Layer::Full))];
        let mut out = [Outputs::default(), Outputs::default()];
        let sessions = std::array::from_fn(|n| {
            let setup = Setup {
                conference,
                title: "Standup".into(),
                open: true,
                secret: Secret::open(&conference),
                plan,
                identity: Identity::from_seed(&[n as u8 + 1; 32]),
                seed: [n as u8 + 1; 32],
                name: "Ada".into(),
                role: Role::Participant,
                address: address(n),
                expected: Some(n as u32),
            };
            let mut session = Session::new(moment(0), setup);
            session.set_streams(moment(0), &streams, &mut out[n]);
            session
        });
        Self { sessions, out, ms: 0, counted: 0 }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            for n in 0..2 {
                let at = moment(self.ms);
                if self.sessions[n].next_timeout().is_some_and(|due| due <= at.now) {
                    self.sessions[n].timeout(at, &mut self.out[n]);
                }
                self.deliver(n);
            }
        }
    }

    /// What member `n` sent reaches the other, and what follows from that comes back.
    fn deliver(&mut self, n: usize) {
        let at = moment(self.ms);
        while !self.out[n].is_empty() {
            let [first, second] = &mut self.out;
            let (from, to) = if n == 0 { (first, second) } else { (second, first) };
            let other = 1 - n;
            for (way, bytes) in from.sends() {
                let channel = match way {
                    To::Control => Channel::Control,
                    To::Discovery => Channel::Discovery,
                    To::Unicast(_) => Channel::Unicast,
                };
                let before = allocations();
                let from = Arrival { channel, source: address(n), wall: at.wall };
                self.sessions[other].handle(at, from, bytes, to);
                self.counted += if other == 1 { allocations() - before } else { 0 };
            }
            from.clear();
        }
        if !self.out[1 - n].is_empty() {
            self.deliver(1 - n);
        }
    }
}
