//! In steady state the video path allocates nothing: neither per packet nor per frame, from the encoder's input to the
//! slot. One test only, as the count is that of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roundtable::device::clock::Clock;
use roundtable::device::net::{Interface, UdpSocket};
use roundtable::media::picture::{Picture, Yuv};
use roundtable::media::test_card::TestCard;
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::{AudioSink, ClockOffset, Receiver, Sink, Subscription};
use roundtable::pipeline::slot::PictureSlot;
use roundtable::pipeline::video_send::{OutgoingVideo, StreamConfig};
use roundtable::time::Timestamp;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's obligations are the same.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct NoAudio;

impl AudioSink for NoAudio {
    fn packet(&mut self, _: u64, _: Timestamp, _: &[u8]) {}
}

/// Longest wait for a frame; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn frames_travel_without_allocating() {
    let clock = Clock::system();
    let interface = Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback");
    let socket = Arc::new(UdpSocket::unicast(&interface, 0).expect("a free port"));
    let rtp = SocketAddrV4::new(Ipv4Addr::new(239, 255, 204, 1), socket.local_addr().port() & !1);
    let receiver = Receiver::start(&interface, &clock, 1, Box::new(NoAudio)).expect("a thread");
    let slot = Arc::new(PictureSlot::default());
    slot.want(640, 360);
    let sink = Sink::Video { slot: slot.clone(), stats: Arc::default(), true_size: None };
    receiver.subscribe(Subscription { key: 1, rtp, ssrc: None, offset: ClockOffset::unknown(), sink }).expect("joined");
    let destination = Destination::default();
    destination.set(Some(rtp));
    let config = StreamConfig {
        ssrc: 5,
        first_sequence: 65_000,
        timestamp_base: 0,
        cname: "test@loopback".into(),
        name: "Test".into(),
        quality: 70,
        interval: Duration::from_millis(33),
        phase: 0.0,
        seed: 1,
    };
    let egress = Egress { socket, destination };
    let mut outgoing = OutgoingVideo::new(config, egress, &clock, Arc::default()).expect("an encoder");
    let mut card = TestCard::new(640, 360, "Test", 3);
    let pictures: Vec<Yuv> = (0..10)
        .map(|n| {
            let mut picture = Yuv::default();
            card.render(clock.wall(), n, &mut picture);
            picture
        })
        .collect();
    let mut shown = Picture::default();
    let mut frames = |count: usize| {
        for picture in pictures.iter().cycle().take(count) {
            outgoing.send_picture(picture, clock.now(), &mut std::thread::park_timeout).expect("sent");
            let began = Instant::now();
            while slot.take(&mut shown).is_none() {
                assert!(began.elapsed() < DEADLINE, "a frame did not come");
                std::thread::park_timeout(Duration::from_micros(200));
            }
        }
    };
    // Long enough for every buffer that is swapped round to have held the largest frame.
    frames(300);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    frames(100);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "allocations in 100 frames");
}
