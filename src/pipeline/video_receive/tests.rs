use super::*;
use crate::media::jpeg::BandEncoder;
use crate::media::picture::Yuv;
use crate::protocol::packetizer::{FrameStart, PacketBatch, VideoPacketizer};
use crate::protocol::reassembler::{Progress, Reassembler};
use crate::wire::rtp;

const SIZE: (usize, usize) = (320, 240);
const STEP: u32 = 3_000;

/// A sender, and a receiver up to the inbox, without threads or sockets.
struct Rig {
    encoder: BandEncoder,
    packetizer: VideoPacketizer,
    reassembler: Reassembler,
    stream: VideoStream,
    clock: Clock,
}

impl Rig {
    fn new() -> Self {
        let (slot, stats) = (Arc::new(PictureSlot::default()), Arc::new(VideoStats::default()));
        slot.want(SIZE.0, SIZE.1);
        Self {
            encoder: BandEncoder::new().expect("an encoder"),
            packetizer: VideoPacketizer::new(1, 65_530),
            reassembler: Reassembler::new(),
            stream: VideoStream::new(slot, stats, None).expect("a decoder"),
            clock: Clock::manual(Timestamp::from_millis(1)),
        }
    }

    /// Packets of frame `n`, a plain picture of luma `luma(n)` with some noise so that it has several packets.
    fn packets(&mut self, n: u32) -> Vec<Vec<u8>> {
        let mut picture = Yuv::default();
        picture.reshape(SIZE.0, SIZE.1, Chroma::C420);
        for (i, y) in picture.y.iter_mut().enumerate() {
            *y = luma(n) + (i.wrapping_mul(2_654_435_761) >> 13 & 7) as u8;
        }
        picture.u.fill(128);
        picture.v.fill(128);
        let mut scan = Vec::new();
        self.encoder.encode(&picture, 90, 3, &mut |b| scan.extend_from_slice(b.scan)).expect("encoded");
        let start = FrameStart {
            timestamp: n * STEP,
            width: SIZE.0,
            height: SIZE.1,
            sampling: Sampling::H2V2,
            restart_interval: self.encoder.restart_interval(),
            tables: self.encoder.tables(),
        };
        let mut out = PacketBatch::default();
        self.packetizer.begin(&start).expect("legal size");
        self.packetizer.push(&scan, &mut out).expect("legal length");
        self.packetizer.finish(&mut out);
        assert!(out.packets().len() > 4, "frames of several packets");
        out.packets().map(<[u8]>::to_vec).collect()
    }

    /// Receives packets, offering whatever grows or completes.
    fn receive(&mut self, packets: &[Vec<u8>]) {
        for bytes in packets {
            let packet = rtp::Packet::parse(bytes).expect("RTP");
            if let Ok(Progress::Advanced(id) | Progress::Complete(id)) =
                self.reassembler.push(self.clock.now(), &packet)
            {
                let view = self.reassembler.frame(id).expect("in assembly or complete");
                self.stream.offer(id, &view, None);
            }
        }
        self.stream.stats().store(&self.reassembler.counters(), 0);
    }

    /// Does all there is to do; the frames shown (their `n` by their luma) since the last call.
    fn shown(&mut self) -> Option<u32> {
        while self.stream.step(&self.clock) {}
        let mut picture = Picture::default();
        self.stream.slot.take(Timestamp::default(), &mut picture)?;
        let mean = picture.pixels.iter().map(|p| u64::from(p & 0xff)).sum::<u64>() / picture.pixels.len() as u64;
        (0..6).find(|&n| mean.abs_diff(u64::from(luma(n)) + 3) < 10)
    }

    fn figures(&self) -> [u64; 4] {
        let s = self.stream.stats();
        [&s.frames_complete, &s.frames_decoded, &s.frames_skipped, &s.frames_lost].map(|f| f.load(Ordering::Relaxed))
    }
}

fn luma(n: u32) -> u8 {
    (n * 35 + 20) as u8
}

#[test]
fn a_frame_is_decoded_while_it_arrives_and_shown_when_whole() {
    let mut rig = Rig::new();
    let packets = rig.packets(1);
    for packet in &packets[..packets.len() - 1] {
        rig.receive(std::slice::from_ref(packet));
        assert_eq!(rig.shown(), None);
    }
    assert!(rig.stream.decoding.lock().expect("sound").decoder.rows_decoded() > SIZE.1 / 2);
    rig.receive(&packets[packets.len() - 1..]);
    assert_eq!(rig.shown(), Some(1));
    assert_eq!(rig.figures(), [1, 1, 0, 0]);
}

#[test]
fn a_picture_comes_in_the_size_of_its_tile() {
    let mut rig = Rig::new();
    // Half size by the decoder, the rest by fitting; then the tile grows beyond the picture.
    for (n, tile) in [(1, (120, 90)), (2, (400, 300)), (3, SIZE)] {
        rig.stream.slot.want(tile.0, tile.1);
        let packets = rig.packets(n);
        rig.receive(&packets);
        while rig.stream.step(&rig.clock) {}
        let mut picture = Picture::default();
        let info = rig.stream.slot.take(Timestamp::default(), &mut picture).expect("a picture");
        assert_eq!((picture.width, picture.height, info.true_size), (tile.0, tile.1, SIZE));
    }
}

#[test]
fn the_newest_complete_frame_wins() {
    let mut rig = Rig::new();
    for n in 0..3 {
        let packets = rig.packets(n);
        rig.receive(&packets);
    }
    assert_eq!(rig.shown(), Some(2));
    assert_eq!(rig.figures(), [3, 1, 2, 0]);
}

#[test]
fn a_frame_that_completes_after_the_next_began_is_still_shown_and_so_is_the_next() {
    let mut rig = Rig::new();
    let (a, b) = (rig.packets(0), rig.packets(1));
    let half = a.len() / 2;
    rig.receive(&a[..half]);
    assert_eq!(rig.shown(), None);
    rig.receive(&b[..half]);
    assert_eq!(rig.shown(), None, "the decoder has turned to the newer frame");
    rig.receive(&a[half..]);
    assert_eq!(rig.shown(), Some(0));
    rig.receive(&b[half..]);
    assert_eq!(rig.shown(), Some(1));
    assert_eq!(rig.figures(), [2, 2, 0, 0]);
}

#[test]
fn lost_packets_cost_their_frames_and_no_others() {
    let mut rig = Rig::new();
    let mut shown = Vec::new();
    for n in 0..6 {
        let mut packets = rig.packets(n);
        match n {
            1 => drop(packets.remove(0)),
            3 => drop(packets.remove(2)),
            4 => packets.clear(),
            _ => {}
        }
        rig.receive(&packets);
        shown.extend(rig.shown());
    }
    assert_eq!(shown, [0, 2, 5]);
    assert_eq!(rig.figures(), [3, 3, 0, 3], "two with a gap, and one of which nothing came");
}

#[test]
fn a_frame_whose_beginning_is_garbage_is_damage_once_and_the_next_is_shown() {
    let mut rig = Rig::new();
    let mut packets = rig.packets(0);
    let at = packets[0].len() - 40;
    packets[0][at..at + 2].copy_from_slice(&[0xff, 0xc4]);
    rig.receive(&packets);
    assert_eq!(rig.shown(), None);
    let next = rig.packets(1);
    rig.receive(&next);
    assert_eq!(rig.shown(), Some(1));
    assert_eq!(rig.stream.stats().frames_damaged.load(Ordering::Relaxed), 1);
}

#[test]
fn a_tile_that_is_hidden_and_shown_again_goes_on_with_whole_frames() {
    let mut rig = Rig::new();
    let (a, b) = (rig.packets(0), rig.packets(1));
    rig.stream.slot.want(0, 0);
    rig.receive(&a);
    rig.receive(&b[..2]);
    assert_eq!(rig.shown(), None);
    rig.stream.slot.want(160, 120);
    rig.receive(&b[2..]);
    assert_eq!(rig.shown(), Some(1));
    assert_eq!(rig.stream.stats().frames_unwanted.load(Ordering::Relaxed), 1);
}

#[test]
fn steady_state_reuses_its_buffers() {
    let mut rig = Rig::new();
    let mut memory = |rounds: std::ops::Range<u32>| {
        for n in rounds {
            let packets = rig.packets(n % 6);
            for packet in &packets {
                rig.receive(std::slice::from_ref(packet));
                rig.shown();
            }
        }
        let inbox = rig.stream.inbox.lock().expect("sound");
        let decoding = rig.stream.decoding.lock().expect("sound");
        let mut capacities = [&inbox.whole, &inbox.growing, &decoding.frame].map(|h| h.scan.capacity());
        capacities.sort_unstable();
        capacities
    };
    let warm = memory(0..12);
    assert_eq!(memory(12..24), warm);
}

#[test]
fn workers_stop_when_dropped_have_as_many_streams_each_and_each_stream_keeps_to_one() {
    let clock = Clock::system();
    let decoders = Decoders::start(2, &clock).expect("threads");
    let streams: Vec<_> = (0..4).map(|_| Arc::new(Rig::new().stream)).collect();
    for _ in 0..100 {
        streams.iter().for_each(|stream| decoders.wake(stream));
    }
    let workers: Vec<usize> = streams.iter().filter_map(|s| s.worker.get()).map(|worker| worker % 2).collect();
    assert_eq!(workers, [0, 1, 0, 1]);
    drop(decoders);
    assert!(streams.iter().all(|s| Arc::strong_count(s) == 1), "nothing holds a stream any more");
}
