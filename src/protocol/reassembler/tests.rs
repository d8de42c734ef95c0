use proptest::prelude::*;

use super::*;
use crate::limits::{FRAMES_IN_ASSEMBLY_MAX, JPEG_FRAME_BYTES_MAX, JPEG_PACKETS_MAX};
use crate::protocol::packetizer::{FrameStart, PacketBatch, VideoPacketizer};
use crate::wire::jpeg_payload::Sampling;

const NOW: Timestamp = Timestamp::from_millis(1);
/// 30 frames a second.
const STEP: u32 = 3_000;

struct Sender(VideoPacketizer);

impl Sender {
    fn new(first_sequence: u16) -> Self {
        Self(VideoPacketizer::new(1, first_sequence))
    }

    fn frame(&mut self, timestamp: u32, scan: &[u8]) -> Vec<Vec<u8>> {
        let mut out = PacketBatch::default();
        let tables = [timestamp as u8 | 1; 128];
        let start = FrameStart {
            timestamp,
            width: 640,
            height: 480,
            sampling: Sampling::H2V2,
            restart_interval: 40,
            tables: &tables,
        };
        self.0.begin(&start).expect("legal size");
        self.0.push(scan, &mut out).expect("legal length");
        self.0.finish(&mut out);
        out.packets().map(<[u8]>::to_vec).collect()
    }
}

fn scan(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + seed * 17 + i / 255) as u8).collect()
}

fn push(r: &mut Reassembler, bytes: &[u8]) -> Result<Progress, Error> {
    r.push(NOW, &rtp::Packet::parse(bytes).expect("RTP"))
}

/// Pushes packets and gives the scans of the frames completed, with their timestamps.
fn complete(r: &mut Reassembler, packets: &[Vec<u8>]) -> Vec<(u32, Vec<u8>)> {
    let mut frames = Vec::new();
    for bytes in packets {
        if let Ok(Progress::Complete(id)) = push(r, bytes) {
            let view = r.frame(id).expect("a complete frame");
            assert!(view.complete);
            assert_eq!(view.tables, &[view.timestamp as u8 | 1; 128]);
            frames.push((view.timestamp, view.scan.to_vec()));
            r.release(id);
            assert!(r.frame(id).is_none());
        }
    }
    frames
}

#[test]
fn a_frame_in_order_is_readable_as_it_grows_and_then_whole() {
    let scan = scan(1, 5_000);
    let packets = Sender::new(9).frame(90, &scan);
    let mut r = Reassembler::new();
    let mut readable = 0;
    let (last, before) = packets.split_last().expect("packets");
    for bytes in before {
        let Ok(Progress::Advanced(id)) = push(&mut r, bytes) else { panic!("each packet adds to the beginning") };
        let view = r.frame(id).expect("in assembly");
        assert!(!view.complete && view.scan.len() > readable);
        assert_eq!(view.scan, &scan[..view.scan.len()]);
        assert_eq!((view.header.width, view.header.restart_interval, view.tables[0]), (640, 40, 91));
        readable = view.scan.len();
    }
    assert_eq!(complete(&mut r, std::slice::from_ref(last)), [(90, scan)]);
    assert_eq!(
        r.counters(),
        Counters { frames_complete: 1, packets_received: packets.len() as u64, ..Default::default() }
    );
}

#[test]
fn sequence_and_timestamp_wrap_within_and_between_frames() {
    let mut sender = Sender::new(65_533);
    let mut r = Reassembler::new();
    for n in 0..4u32 {
        let timestamp = (u32::MAX - STEP).wrapping_add(n * STEP);
        let scan = scan(n as usize, 3_500);
        assert_eq!(complete(&mut r, &sender.frame(timestamp, &scan)), [(timestamp, scan)]);
    }
    assert_eq!(r.counters().packets_lost + r.counters().frames_lost, 0);
}

#[test]
fn a_newer_complete_frame_ends_the_older_ones() {
    let mut sender = Sender::new(0);
    let mut r = Reassembler::new();
    let (a, b) = (sender.frame(0, &scan(0, 4_000)), sender.frame(STEP, &scan(1, 4_000)));
    assert!(complete(&mut r, &a[1..]).is_empty());
    assert_eq!(complete(&mut r, &b).len(), 1);
    assert_eq!(r.counters().frames_lost, 1);
    assert_eq!(push(&mut r, &a[0]), Ok(Progress::Nothing), "the missing packet comes too late");
    let c = r.counters();
    assert_eq!((c.late, c.frames_complete, c.packets_lost), (1, 1, 0));
}

#[test]
fn an_older_frame_that_completes_first_ends_no_newer_one() {
    let mut sender = Sender::new(0);
    let mut r = Reassembler::new();
    let (a, b) = (sender.frame(0, &scan(0, 4_000)), sender.frame(STEP, &scan(1, 4_000)));
    let mixed = [&a[..2], &b[..2], &a[2..], &b[2..]].concat();
    assert_eq!(complete(&mut r, &mixed), [(0, scan(0, 4_000)), (STEP, scan(1, 4_000))]);
    assert_eq!(r.counters().frames_lost, 0);
}

#[test]
fn so_many_frames_are_in_assembly_and_the_oldest_gives_way() {
    let mut sender = Sender::new(0);
    let mut r = Reassembler::new();
    let last = FRAMES_IN_ASSEMBLY_MAX;
    let frames: Vec<_> = (0..=last as u32).map(|n| sender.frame(n * STEP, &scan(n as usize, 4_000))).collect();
    for frame in &frames[..last] {
        complete(&mut r, &frame[1..]);
    }
    assert_eq!(r.counters().frames_lost, 0, "all have room");
    for frame in &frames[last..] {
        complete(&mut r, &frame[1..]);
    }
    assert_eq!(r.counters().frames_lost, 1);
    assert_eq!(push(&mut r, &frames[0][0]), Ok(Progress::Nothing), "the oldest is given up");
    assert_eq!(complete(&mut r, &frames[1][..1]), [(STEP, scan(1, 4_000))], "the others are not");
    assert_eq!(complete(&mut r, &frames[last][..1]).len(), 1);
    assert_eq!(r.counters().frames_lost, last as u64 - 1);
}

#[test]
fn frames_of_which_nothing_came_are_counted() {
    let mut sender = Sender::new(0);
    let mut r = Reassembler::new();
    for n in 0..10 {
        let packets = sender.frame(n * STEP, &scan(0, 4_000));
        if !(4..7).contains(&n) {
            complete(&mut r, &packets);
        }
    }
    let c = r.counters();
    assert_eq!((c.frames_complete, c.frames_lost, c.packets_lost), (7, 3, 12), "four packets a frame");
}

#[test]
fn a_pause_without_missing_packets_loses_no_frame() {
    let mut sender = Sender::new(0);
    let mut r = Reassembler::new();
    for timestamp in [0, STEP, 2 * STEP, 30 * STEP, 31 * STEP] {
        complete(&mut r, &sender.frame(timestamp, &scan(0, 4_000)));
    }
    assert_eq!((r.counters().frames_complete, r.counters().frames_lost), (5, 0));
}

#[test]
fn a_sender_that_begins_again_is_received_at_once() {
    let mut r = Reassembler::new();
    let mut sender = Sender::new(100);
    complete(&mut r, &sender.frame(1_000_000, &scan(0, 4_000)));
    let again = scan(1, 4_000);
    assert_eq!(complete(&mut r, &sender.frame(5, &again)), [(5, again.clone())], "media time steps back");
    let mut other = Sender::new(100_u16.wrapping_sub(9_000));
    complete(&mut r, &other.frame(70, &again));
    assert_eq!(complete(&mut r, &other.frame(80, &again)), [(80, again)], "sequence numbers step back");
}

#[test]
fn duplicates_are_counted_and_change_nothing() {
    let packets = Sender::new(65_535).frame(0, &scan(0, 4_000));
    let doubled: Vec<_> = packets.iter().flat_map(|p| [p.clone(), p.clone()]).collect();
    let mut r = Reassembler::new();
    assert_eq!(complete(&mut r, &doubled).len(), 1);
    assert_eq!((r.counters().duplicates, r.counters().packets_received), (4, 4));
}

/// An RTP packet with a JPEG payload built by hand.
fn packet(sequence: u16, marker: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rtp::Header { marker, payload_type: rtp::PT_JPEG, sequence, timestamp: 0, ssrc: 1 }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

#[test]
fn packets_that_contradict_their_frame_are_refused() {
    let first = [&[0, 0, 0, 0, 1, 255, 2, 2, 0, 0, 0, 64][..], &[7; 64], b"abc"].concat();
    let other_tables = [&[0, 0, 0, 0, 1, 255, 2, 2, 0, 0, 0, 64][..], &[8; 64], b"abc"].concat();
    let cases: &[(&[u8], bool, Error)] = &[
        (&[0, 0, 0, 3, 0, 255, 2, 2, b'd'], false, Error::Header),
        (&[0, 0, 0, 3, 1, 254, 2, 2, b'd'], false, Error::Header),
        (&[0, 0, 0, 3, 1, 255, 3, 2, b'd'], false, Error::Header),
        (&[0, 0, 0, 3, 65, 255, 2, 2, 0, 1, 255, 255, b'd'], false, Error::Header),
        (&[0, 0, 0, 2, 1, 255, 2, 2, b'X'], false, Error::Conflict),
        (&[0, 0, 0, 1, 1, 255, 2, 2, b'b'], true, Error::Conflict),
        (&other_tables, false, Error::Conflict),
        (&[0, 0, 0, 3, 1, 255, 2], false, Error::Payload(jpeg_payload::Error::Truncated { expected: 8, actual: 7 })),
    ];
    for (payload, marker, error) in cases {
        let mut r = Reassembler::new();
        assert!(matches!(push(&mut r, &packet(0, false, &first)), Ok(Progress::Advanced(_))));
        assert_eq!(push(&mut r, &packet(1, *marker, payload)), Err(*error));
        assert_eq!(r.counters().rejected, 1);
        let last = [0, 0, 0, 3, 1, 255, 2, 2, b'd'];
        let Ok(Progress::Complete(id)) = push(&mut r, &packet(2, true, &last)) else { panic!("the frame goes on") };
        let view = r.frame(id).expect("complete");
        assert_eq!((view.scan, view.tables), (&b"abcd"[..], &[7; 128]));
    }
}

#[test]
fn other_payload_types_are_refused() {
    let mut bytes = packet(0, true, &[0, 0, 0, 0, 1, 50, 2, 2, b'a']);
    bytes[1] = 0x80 | rtp::PT_OPUS;
    assert_eq!(push(&mut Reassembler::new(), &bytes), Err(Error::PayloadType(rtp::PT_OPUS)));
}

#[test]
fn tables_are_computed_for_a_quality_and_remembered_for_a_name() {
    let mut r = Reassembler::new();
    let one = |r: &mut Reassembler, sequence: u16, payload: &[u8]| {
        let mut bytes = packet(sequence, true, payload);
        bytes[7] = sequence as u8;
        match push(r, &bytes)? {
            Progress::Complete(id) => Ok(*r.frame(id).expect("complete").tables),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(one(&mut r, 1, &[0, 0, 0, 0, 1, 50, 2, 2, b'a']), Ok(tables_for_quality(50)));
    let named = [0, 0, 0, 0, 1, 200, 2, 2, 0, 0, 0, 0, b'a'];
    assert_eq!(one(&mut r, 2, &named), Err(Error::TablesUnknown(200)));
    let naming = [&[0, 0, 0, 0, 1, 200, 2, 2, 0, 0, 0, 128][..], &[5; 128], b"a"].concat();
    assert_eq!(one(&mut r, 3, &naming), Ok([5; 128]));
    assert_eq!(one(&mut r, 4, &named), Ok([5; 128]));
    assert_eq!(one(&mut r, 5, &[0, 0, 0, 0, 1, 75, 2, 2, b'a']), Ok(tables_for_quality(75)));
}

#[test]
fn memory_grows_to_the_streams_frames_and_stays() {
    let mut sender = Sender::new(0);
    let mut r = Reassembler::new();
    let mut run = |r: &mut Reassembler, from: u32| {
        for n in from..from + 6 {
            let packets = sender.frame(n * STEP, &scan(n as usize, 60_000));
            // Every other frame loses a packet in the middle, so that all places are used.
            let missing = if n % 2 == 0 { packets.len() } else { 7 };
            let kept: Vec<_> = packets.into_iter().enumerate().filter(|p| p.0 != missing).map(|p| p.1).collect();
            complete(r, &kept);
        }
        // The frame released last changes places with the next.
        let last = r.last.iter().map(|frame| frame.memory());
        let mut memory: Vec<_> = r.places.iter().map(|p| p.frame.memory()).chain(last).collect();
        memory.sort();
        memory
    };
    run(&mut r, 0);
    let warm = run(&mut r, 6);
    assert_eq!(run(&mut r, 12), warm);
}

#[test]
fn a_hostile_stream_costs_no_more_than_the_bounds() {
    let mut r = Reassembler::new();
    let most = JPEG_FRAME_BYTES_MAX as u32;
    for n in 0..20_000u32 {
        let offset = (n.wrapping_mul(2_654_435_761) % most) & !1;
        let mut bytes = packet(n as u16, false, &[0, 0, 0, 0, 1, 50, 2, 2, b'x']);
        bytes[12..16].copy_from_slice(&offset.to_be_bytes());
        bytes[4..8].copy_from_slice(&(n / 3_000).to_be_bytes());
        let _ = push(&mut r, &bytes);
    }
    for place in &r.places {
        let (scan, there, _) = place.frame.memory();
        assert!(scan <= 2 * JPEG_FRAME_BYTES_MAX && there <= 2 * JPEG_PACKETS_MAX);
    }
    assert_eq!(r.counters().frames_complete, 0);
    let whole = scan(1, 4_000);
    let mut sender = Sender::new(20_000);
    assert_eq!(complete(&mut r, &sender.frame(1_000_000, &whole)), [(1_000_000, whole)]);
}

/// The same permutation for the same seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, (seed >> 33) as usize % (i + 1));
    }
}

/// Fragments of any sizes, as a foreign sender might cut them; some overlap the one before.
fn foreign(scan: &[u8], sizes: &[(usize, usize)], first_sequence: u16) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let (mut at, mut n) = (0, 0);
    while at < scan.len() {
        let (size, back) = sizes[n % sizes.len()];
        let start = at.saturating_sub(back);
        let end = (at + size).min(scan.len());
        let mut payload = (start as u32).to_be_bytes().to_vec();
        payload.extend_from_slice(&[1, 60, 40, 30]);
        payload.extend_from_slice(&scan[start..end]);
        packets.push(packet(first_sequence.wrapping_add(n as u16), end == scan.len(), &payload));
        (at, n) = (end, n + 1);
    }
    packets
}

proptest! {
    #[test]
    fn any_fragments_in_any_order_and_number_give_the_same_bytes(
        bytes in 1usize..20_000,
        sizes in proptest::collection::vec((100usize..1_500, 0usize..80), 1..8),
        again in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        first_sequence: u16,
        seed: u64,
    ) {
        let scan = scan(seed as usize % 1_000, bytes);
        let mut packets = foreign(&scan, &sizes, first_sequence);
        for index in again {
            let copy = index.get(&packets).clone();
            packets.push(copy);
        }
        shuffle(&mut packets, seed);
        let mut r = Reassembler::new();
        let mut whole = None;
        for bytes in &packets {
            match push(&mut r, bytes) {
                Ok(Progress::Complete(id)) => {
                    prop_assert!(whole.is_none(), "completes once");
                    whole = Some(r.frame(id).expect("complete").scan.to_vec());
                }
                Ok(Progress::Advanced(id)) => {
                    let view = r.frame(id).expect("in assembly");
                    prop_assert_eq!(view.scan, &scan[..view.scan.len()]);
                }
                Ok(Progress::Nothing) => {}
                Err(e) => prop_assert!(false, "{}", e),
            }
        }
        prop_assert_eq!(whole, Some(scan));
        prop_assert_eq!(r.counters().packets_lost, 0);
    }

    #[test]
    fn a_frame_with_a_packet_missing_is_never_complete_and_is_counted(
        lost in proptest::collection::vec(any::<bool>(), 60),
        first_sequence: u16,
        seed: u64,
    ) {
        let mut sender = Sender::new(first_sequence);
        let mut r = Reassembler::new();
        let mut lost = lost.into_iter();
        let mut expected = Vec::new();
        let mut frames = Vec::new();
        for n in 0..15u32 {
            let scan = scan(n as usize, 5_000);
            let packets = sender.frame(n * STEP, &scan);
            // The first and the last frame are whole, so that what lies between is known to be missing.
            let whole = n == 0 || n == 1 || n == 14;
            let mut kept: Vec<_> = packets.iter().filter(|_| whole || !lost.next().unwrap_or(false)).cloned().collect();
            if kept.len() == packets.len() {
                expected.push((n * STEP, scan));
            }
            shuffle(&mut kept, seed.wrapping_add(u64::from(n)));
            frames.extend(complete(&mut r, &kept));
        }
        let whole = expected.len() as u64;
        prop_assert_eq!(frames, expected);
        let c = r.counters();
        prop_assert_eq!((c.frames_complete, c.frames_lost), (whole, 15 - whole));
    }

    #[test]
    fn arbitrary_payloads_never_panic(
        packets in proptest::collection::vec(
            (any::<u16>(), any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..60)
    ) {
        let mut r = Reassembler::new();
        for (sequence, timestamp, marker, payload) in packets {
            let header = rtp::Header { marker, payload_type: rtp::PT_JPEG, sequence, timestamp, ssrc: 1 };
            let _ = r.push(NOW, &rtp::Packet { header, extension: None, payload: &payload });
        }
    }

    #[test]
    fn hostile_headers_never_panic(
        packets in proptest::collection::vec(
            (0u16..64, 0u32..6, any::<bool>(), 0u32..5_000, 0usize..3, proptest::collection::vec(any::<u8>(), 0..400)),
            0..300)
    ) {
        let mut r = Reassembler::new();
        for (sequence, frame, marker, offset, kind, bytes) in packets {
            let mut payload = offset.to_be_bytes().to_vec();
            payload.extend_from_slice([&[1, 50, 2, 2][..], &[65, 50, 2, 2, 0, 1, 255, 255], &[0, 200, 2, 2]][kind]);
            payload.extend_from_slice(&bytes);
            let header = rtp::Header {
                marker,
                payload_type: rtp::PT_JPEG,
                sequence: sequence.wrapping_mul(257),
                timestamp: frame.wrapping_mul(0x3000_0000),
                ssrc: 1,
            };
            if let Ok(Progress::Complete(id) | Progress::Advanced(id)) =
                r.push(NOW, &rtp::Packet { header, extension: None, payload: &payload })
            {
                prop_assert!(r.frame(id).is_some_and(|f| !f.scan.is_empty()));
            }
        }
    }
}
