//! Cuts a stream into RTP packets: JPEG frames (RFC 2435) and Opus (RFC 7587).
//!
//! ```text
//! scan  |------ band 1 ------|------ band 2 ------|-- band 3 --|     as the encoder delivers it
//! RTP   [====][====][====][====][====][====][====][====][====][=]    equal packets, the last one short, with the marker
//! out   `--- after push 1 --'`-- after push 2 -'`-- after finish --'
//! ```
//! All packets of a frame but the last have the same size, so that a batch of them goes out in one segmented send. The
//! packet that a band ends in is held back until the next band or the end of the frame: the frame's last packet, which
//! carries the marker, is therefore never empty.
//!
//! Nothing here sends, waits or paces, and nothing allocates once the buffers have grown.

use crate::limits::{JPEG_FRAME_BYTES_MAX, JPEG_PACKETS_MAX, JPEG_SIDE_PIXELS_MAX};
use crate::wire::jpeg_payload::{JpegHeader, MAIN_HEADER_BYTES, RESTART_HEADER_BYTES, Sampling, TABLES_HEADER_BYTES};
use crate::wire::repair::{PT_PARITY, PT_REPEATS, Parity, SHARD_PACKET_BYTES_MAX};
use crate::wire::rtp;

/// Size of every packet of a frame but its last: it fits the shard of a parity packet, which is somewhat larger.
pub const VIDEO_PACKET_BYTES: usize = SHARD_PACKET_BYTES_MAX;
/// The marker bit in an RTP packet's second byte.
const MARKER_BIT: u8 = 0x80;

const HEADERS_BYTES_MAX: usize = rtp::HEADER_BYTES + MAIN_HEADER_BYTES + RESTART_HEADER_BYTES + TABLES_HEADER_BYTES;
const _: () = assert!(HEADERS_BYTES_MAX < VIDEO_PACKET_BYTES);

/// Packets of one size standing behind each other, the last one possibly shorter.
///
/// A batch holds packets of one frame only: it is sent and cleared before the next frame begins.
#[derive(Clone, Debug, Default)]
pub struct PacketBatch {
    /// The packets.
    pub bytes: Vec<u8>,
    /// Size of each packet but the last; 0 while nothing was ever written.
    pub segment: usize,
}

impl PacketBatch {
    /// Forgets the packets and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The packets one by one.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks(self.segment.max(1))
    }

    /// Runs of at most `packets` packets, each to be sent as segments of [`segment`](Self::segment) bytes.
    pub fn runs(&self, packets: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks((self.segment * packets).max(1))
    }
}

/// Sequence numbers and the sender's counts for RTCP (RFC 3550 section 6.4.1), the same for every kind of stream.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Synchronisation source of the stream.
    pub ssrc: u32,
    /// Sequence number of the next packet.
    pub sequence: u16,
    /// How often the sequence number has wrapped (the ROC of RFC 3711 section 3.3.1).
    pub roc: u32,
    /// Packets handed out, modulo 2^32, for sender reports.
    pub packets: u32,
    /// Payload bytes handed out, modulo 2^32, for sender reports.
    pub payload_bytes: u32,
}

impl Counters {
    fn new(ssrc: u32, first_sequence: u16) -> Self {
        Self { ssrc, sequence: first_sequence, roc: 0, packets: 0, payload_bytes: 0 }
    }

    /// Where the stream is, for beacons: roll-over counter << 16 | sequence number of the next packet.
    pub fn position(&self) -> u64 {
        u64::from(self.roc) << 16 | u64::from(self.sequence)
    }

    /// The next packet's header.
    fn next(&mut self, payload_type: u8, marker: bool, timestamp: u32) -> rtp::Header {
        let header = rtp::Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.wrapping_add(1);
        self.roc = self.roc.wrapping_add(u32::from(self.sequence == 0));
        header
    }

    fn sent(&mut self, payload_bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(payload_bytes as u32);
    }
}

/// What is known of a frame before its first byte.
#[derive(Clone, Copy, Debug)]
pub struct FrameStart<'a> {
    /// Capture time on the 90 kHz media clock.
    pub timestamp: u32,
    /// Columns, 1..=2040; rounded up to a multiple of 8 on the wire.
    pub width: usize,
    /// Rows, 1..=2040.
    pub height: usize,
    /// Luma sampling.
    pub sampling: Sampling,
    /// MCUs between restart markers; 0 = none.
    pub restart_interval: u16,
    /// Quantization tables, luma then chroma, in zig-zag order.
    pub tables: &'a [u8; 128],
}

/// Why a frame cannot go out as RTP/JPEG. The next frame may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A side is 0 or above [`JPEG_SIDE_PIXELS_MAX`].
    #[error("a frame of {width}x{height} pixels cannot be sent: RTP/JPEG takes up to {JPEG_SIDE_PIXELS_MAX} a side")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// More bytes than [`JPEG_PACKETS_MAX`] packets hold. What was pushed before is out; receivers drop the frame.
    #[error("a frame of more than {JPEG_PACKETS_MAX} packets cannot be sent")]
    TooLong,
    /// A push without a frame begun, or after the frame failed.
    #[error("scan bytes without a frame")]
    NoFrame,
}

/// Cuts the frames of one video stream.
#[derive(Debug)]
pub struct VideoPacketizer {
    counters: Counters,
    frame: Option<Frame>,
    tables: [u8; 128],
    /// The packet that the bytes so far end in, header included; empty before a frame's first byte.
    held: Vec<u8>,
}

#[derive(Debug)]
struct Frame {
    /// Its offset is that of the next byte of the scan.
    header: JpegHeader,
    timestamp: u32,
    packets: usize,
}

impl VideoPacketizer {
    /// A stream whose first packet carries `first_sequence` (random, RFC 3550 section 5.1).
    pub fn new(ssrc: u32, first_sequence: u16) -> Self {
        Self {
            counters: Counters::new(ssrc, first_sequence),
            frame: None,
            tables: [0; 128],
            held: Vec::with_capacity(VIDEO_PACKET_BYTES),
        }
    }

    /// Begins a frame; one not finished is abandoned.
    ///
    /// # Errors
    /// [`Error::Size`]; no frame is begun then.
    pub fn begin(&mut self, start: &FrameStart) -> Result<(), Error> {
        self.held.clear();
        self.frame = None;
        let FrameStart { timestamp, width, height, sampling, restart_interval, tables } = *start;
        if width.min(height) == 0 || width.max(height) > JPEG_SIDE_PIXELS_MAX {
            return Err(Error::Size { width, height });
        }
        let header = JpegHeader { width, height, sampling, restart_interval, offset: 0 };
        self.tables = *tables;
        self.frame = Some(Frame { header, timestamp, packets: 0 });
        Ok(())
    }

    /// Appends the packets that `scan`, the next bytes of the frame, completes. `out` holds nothing or packets of the
    /// same frame.
    ///
    /// # Errors
    /// [`Error::TooLong`] abandons the frame; [`Error::NoFrame`].
    pub fn push(&mut self, mut scan: &[u8], out: &mut PacketBatch) -> Result<(), Error> {
        out.segment = VIDEO_PACKET_BYTES;
        let Some(frame) = &mut self.frame else {
            return Err(Error::NoFrame);
        };
        if scan.is_empty() {
            return Ok(());
        }
        // The packet being filled is the tail of `out`, from `start` on.
        let mut start = out.bytes.len();
        out.bytes.append(&mut self.held);
        loop {
            if out.bytes.len() == start {
                if frame.packets == JPEG_PACKETS_MAX || frame.header.offset as usize >= JPEG_FRAME_BYTES_MAX {
                    self.frame = None;
                    return Err(Error::TooLong);
                }
                frame.packets += 1;
                self.counters.next(rtp::PT_JPEG, false, frame.timestamp).write(&mut out.bytes);
                let tables = (frame.header.offset == 0).then_some(&self.tables);
                frame.header.write(tables, &mut out.bytes);
            }
            let room = start + VIDEO_PACKET_BYTES - out.bytes.len();
            let (now, later) = scan.split_at(room.min(scan.len()));
            out.bytes.extend_from_slice(now);
            frame.header.offset += now.len() as u32;
            if later.is_empty() {
                break;
            }
            self.counters.sent(VIDEO_PACKET_BYTES - rtp::HEADER_BYTES);
            (scan, start) = (later, out.bytes.len());
        }
        self.held.extend_from_slice(&out.bytes[start..]);
        out.bytes.truncate(start);
        Ok(())
    }

    /// Ends the frame: appends its last packet, with the marker. A frame without bytes leaves no trace.
    pub fn finish(&mut self, out: &mut PacketBatch) {
        out.segment = VIDEO_PACKET_BYTES;
        if self.frame.take().is_none() || self.held.is_empty() {
            return;
        }
        self.held[1] |= MARKER_BIT;
        self.counters.sent(self.held.len() - rtp::HEADER_BYTES);
        out.bytes.append(&mut self.held);
    }

    /// What was handed out.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Puts the parity of a picture, or the repeats of a voice, into RTP of its own.
#[derive(Debug)]
pub struct RepairPacketizer {
    counters: Counters,
}

impl RepairPacketizer {
    /// A stream whose first packet carries `first_sequence`.
    pub fn new(ssrc: u32, first_sequence: u16) -> Self {
        Self { counters: Counters::new(ssrc, first_sequence) }
    }

    /// Writes one packet with repeats over `out`; it needs no timestamp, as each repeat has its own.
    pub fn repeats(&mut self, repeats: &[u8], out: &mut Vec<u8>) {
        out.clear();
        self.counters.next(PT_REPEATS, false, 0).write(out);
        out.extend_from_slice(repeats);
        self.counters.sent(repeats.len());
    }

    /// Writes one packet of parity over `out`, with the RTP timestamp of the frame it repairs.
    pub fn parity(&mut self, timestamp: u32, parity: &Parity<'_>, out: &mut Vec<u8>) {
        out.clear();
        self.counters.next(PT_PARITY, false, timestamp).write(out);
        parity.write(out);
        self.counters.sent(out.len() - rtp::HEADER_BYTES);
    }

    /// What was handed out.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Puts Opus packets of one stream into RTP.
#[derive(Debug)]
pub struct AudioPacketizer {
    counters: Counters,
}

impl AudioPacketizer {
    /// A stream whose first packet carries `first_sequence` (random, RFC 3550 section 5.1).
    pub fn new(ssrc: u32, first_sequence: u16) -> Self {
        Self { counters: Counters::new(ssrc, first_sequence) }
    }

    /// Writes one packet over `out`. `timestamp` is the 48 kHz time of its first sample, `marker` set on the first packet
    /// of a talk spurt (RFC 3551 section 4.1), `level` the voice flag and level in -dBov of RFC 6464, when it is sent.
    pub fn packet(&mut self, timestamp: u32, marker: bool, level: Option<(bool, u8)>, opus: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let header = self.counters.next(rtp::PT_OPUS, marker, timestamp);
        match level {
            Some((voice, minus_dbov)) => header.write_with_audio_level(voice, minus_dbov, out),
            None => header.write(out),
        }
        out.extend_from_slice(opus);
        self.counters.sent(opus.len());
    }

    /// What was handed out.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::jpeg_payload::{JpegPayload, Quantization};

    const TABLES: [u8; 128] = [3; 128];
    /// Scan bytes of a first and of a later packet, with restart markers.
    const FIRST: usize = VIDEO_PACKET_BYTES - 12 - 8 - 4 - 132;
    const LATER: usize = VIDEO_PACKET_BYTES - 12 - 8 - 4;

    fn start(timestamp: u32) -> FrameStart<'static> {
        FrameStart {
            timestamp,
            width: 1_280,
            height: 720,
            sampling: Sampling::H2V2,
            restart_interval: 80,
            tables: &TABLES,
        }
    }

    fn scan(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    fn frame(p: &mut VideoPacketizer, pieces: &[&[u8]]) -> PacketBatch {
        let mut out = PacketBatch::default();
        p.begin(&start(9)).expect("a frame of legal size");
        for piece in pieces {
            p.push(piece, &mut out).expect("a frame of legal length");
        }
        p.finish(&mut out);
        out
    }

    /// Puts the scan together again and checks everything a receiver relies on.
    fn check(batch: &PacketBatch, expected: &[u8]) {
        let mut offset = 0;
        let count = batch.packets().len();
        for (i, bytes) in batch.packets().enumerate() {
            let last = i + 1 == count;
            assert!(last || bytes.len() == VIDEO_PACKET_BYTES);
            let packet = rtp::Packet::parse(bytes).expect("RTP");
            assert_eq!(packet.header.marker, last);
            assert_eq!((packet.header.payload_type, packet.header.timestamp), (rtp::PT_JPEG, 9));
            let payload = JpegPayload::parse(packet.payload).expect("JPEG payload");
            assert_eq!(payload.header.offset as usize, offset);
            assert_eq!(matches!(payload.quantization, Quantization::Here(255, _)), i == 0);
            assert!(!payload.scan.is_empty());
            assert_eq!(payload.scan, &expected[offset..offset + payload.scan.len()]);
            offset += payload.scan.len();
        }
        assert_eq!(offset, expected.len());
    }

    #[test]
    fn frames_fill_packets_to_the_last_byte_and_never_end_with_an_empty_one() {
        let lengths = [
            (1, 1),
            (FIRST - 1, 1),
            (FIRST, 1),
            (FIRST + 1, 2),
            (FIRST + LATER, 2),
            (FIRST + LATER + 1, 3),
            (FIRST + 60 * LATER, 61),
        ];
        for (bytes, packets) in lengths {
            let scan = scan(bytes);
            let batch = frame(&mut VideoPacketizer::new(1, 0), &[&scan]);
            assert_eq!(batch.packets().len(), packets, "{bytes} bytes");
            check(&batch, &scan);
        }
    }

    #[test]
    fn a_full_packet_is_held_back_until_it_is_known_not_to_be_the_last() {
        let mut p = VideoPacketizer::new(1, 0);
        let mut out = PacketBatch::default();
        p.begin(&start(9)).expect("legal");
        p.push(&scan(FIRST), &mut out).expect("legal");
        assert!(out.is_empty());
        p.push(&[1], &mut out).expect("legal");
        assert_eq!(out.packets().len(), 1);
        p.finish(&mut out);
        assert_eq!(out.packets().len(), 2);
    }

    #[test]
    fn a_frame_without_bytes_takes_no_sequence_number() {
        let mut p = VideoPacketizer::new(1, 5);
        assert!(frame(&mut p, &[]).is_empty());
        assert!(frame(&mut p, &[&[]]).is_empty());
        assert_eq!((p.counters().sequence, p.counters().packets), (5, 0));
    }

    #[test]
    fn sequence_numbers_run_on_over_frames_and_wraps_are_counted() {
        let mut p = VideoPacketizer::new(7, 65_534);
        let scan = scan(FIRST + 1);
        let sequences: Vec<u16> = (0..2)
            .flat_map(|_| {
                let batch = frame(&mut p, &[&scan]);
                batch.packets().map(|b| rtp::Packet::parse(b).expect("RTP").header.sequence).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(sequences, [65_534, 65_535, 0, 1]);
        let counters = p.counters();
        assert_eq!((counters.sequence, counters.roc, counters.packets), (2, 1, 4));
        assert_eq!(counters.payload_bytes as usize, 2 * (8 + 4 + 132 + FIRST + 8 + 4 + 1));
    }

    #[test]
    fn sizes_beyond_the_format_are_refused() {
        let mut p = VideoPacketizer::new(1, 0);
        for (width, height) in [(0, 16), (16, 0), (2_041, 16), (16, 2_041)] {
            assert_eq!(p.begin(&FrameStart { width, height, ..start(9) }), Err(Error::Size { width, height }));
            assert_eq!(p.push(&[1], &mut PacketBatch::default()), Err(Error::NoFrame));
        }
        assert_eq!(p.begin(&FrameStart { width: 2_040, height: 2_040, ..start(9) }), Ok(()));
    }

    #[test]
    fn a_frame_of_too_many_packets_is_abandoned_and_the_next_goes_out() {
        let most = FIRST + (JPEG_PACKETS_MAX - 1) * LATER;
        let mut p = VideoPacketizer::new(1, 0);
        check(&frame(&mut p, &[&scan(most)]), &scan(most));
        p.begin(&start(9)).expect("legal");
        let mut out = PacketBatch::default();
        assert_eq!(p.push(&scan(most + 1), &mut out), Err(Error::TooLong));
        let before = out.packets().len();
        p.finish(&mut out);
        assert_eq!(out.packets().len(), before, "nothing more of it");
        check(&frame(&mut p, &[b"next"]), b"next");
    }

    #[test]
    fn an_abandoned_frame_leaves_nothing_in_the_next() {
        let mut p = VideoPacketizer::new(1, 0);
        p.begin(&start(8)).expect("legal");
        p.push(b"abandoned", &mut PacketBatch::default()).expect("legal");
        check(&frame(&mut p, &[b"next"]), b"next");
    }

    #[test]
    fn steady_state_reuses_its_buffers() {
        let mut p = VideoPacketizer::new(1, 0);
        let scan = scan(100_000);
        let mut out = PacketBatch::default();
        let mut capacities = Vec::new();
        for _ in 0..3 {
            out.clear();
            p.begin(&start(9)).expect("legal");
            for band in scan.chunks(11_000) {
                p.push(band, &mut out).expect("legal");
            }
            p.finish(&mut out);
            capacities.push((out.bytes.capacity(), p.held.capacity(), out.bytes.as_ptr(), p.held.as_ptr()));
        }
        assert_eq!(capacities[0], capacities[2]);
    }

    #[test]
    fn runs_end_on_packet_boundaries() {
        let batch = frame(&mut VideoPacketizer::new(1, 0), &[&scan(40 * LATER)]);
        let runs: Vec<usize> = batch.runs(16).map(|r| r.len().div_ceil(batch.segment)).collect();
        assert_eq!(runs, [16, 16, 9]);
        assert_eq!(PacketBatch::default().runs(16).len(), 0);
    }

    #[test]
    fn opus_packets_carry_the_level_only_when_asked() {
        let mut p = AudioPacketizer::new(3, 65_535);
        let mut out = b"old".to_vec();
        p.packet(960, true, None, b"opus", &mut out);
        assert_eq!(out.len(), 12 + 4);
        let packet = rtp::Packet::parse(&out).expect("RTP");
        let expected =
            rtp::Header { marker: true, payload_type: rtp::PT_OPUS, sequence: 65_535, timestamp: 960, ssrc: 3 };
        assert_eq!((packet.header, packet.payload, packet.audio_level()), (expected, &b"opus"[..], None));
        p.packet(1_920, false, Some((true, 20)), b"opus", &mut out);
        let packet = rtp::Packet::parse(&out).expect("RTP");
        assert_eq!((packet.header.sequence, packet.audio_level()), (0, Some((true, 20))));
        let Counters { ssrc, sequence, roc, packets, payload_bytes } = *p.counters();
        assert_eq!((packets, payload_bytes, sequence, roc, ssrc), (2, 8, 1, 1, 3));
    }

    proptest! {
        #[test]
        fn any_cutting_into_bands_gives_the_same_packets(
            bytes in 1usize..30_000, cuts in proptest::collection::vec(0usize..30_000, 0..12)
        ) {
            let scan = scan(bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes)).chain([0, bytes]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &scan[w[0]..w[1]]).collect();
            let banded = frame(&mut VideoPacketizer::new(1, 0), &pieces);
            let whole = frame(&mut VideoPacketizer::new(1, 0), &[&scan]);
            prop_assert_eq!(&banded.bytes, &whole.bytes);
            check(&banded, &scan);
        }
    }
}
