//! One video stream on the receiving thread: packets to frames, frames to their decoder's inbox; what is missing is asked
//! for, rebuilt or concealed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ClockOffset;
use crate::pipeline::video_receive::VideoStream;
use crate::protocol::clock::SenderClock;
use crate::protocol::reassembler::{FrameId, Progress, Reassembler};
use crate::protocol::repair::{Mended, Mender, Patience};
use crate::time::{NtpTime, Timestamp};
use crate::wire::repair::RepairRequest;
use crate::wire::rtp;

/// A frame's new bytes are handed to the decoder once they are this share of the frame before it; a little less than a
/// band as it is sent.
const USEFUL_SHARE: usize = 12;
/// Frames smaller than this are handed over whole: waking a decoder costs more than it gains.
const BANDED_BYTES_MIN: usize = 16 << 10;

/// One video stream on the receiving thread.
pub(super) struct VideoPath {
    reassembler: Reassembler,
    mender: Mender,
    /// What the mender wants, and what it rebuilt.
    mended: Vec<Mended>,
    rebuilt: Rebuilt,
    pub(super) stream: Arc<VideoStream>,
    /// The frame that grew in this batch.
    grown: Option<FrameId>,
    /// How much of which frame the decoder has.
    handed: Option<(FrameId, usize)>,
    /// Something was handed over that the decoder was not told of yet.
    pub(super) to_decode: bool,
    /// Bytes of the last complete frame.
    frame_bytes: usize,
    pub(super) malformed: u64,
    pub(super) foreign: u64,
    bytes: u64,
    /// When the last packet came.
    packet_at: Timestamp,
}

impl VideoPath {
    /// `seed` is random when the stream's sender repairs it.
    pub(super) fn new(stream: Arc<VideoStream>, patience: Patience, seed: Option<u64>) -> Self {
        Self {
            reassembler: Reassembler::new(),
            mender: Mender::new(patience, seed.is_some(), seed.unwrap_or_default()),
            mended: Vec::new(),
            rebuilt: Rebuilt::default(),
            stream,
            grown: None,
            handed: None,
            to_decode: false,
            frame_bytes: 0,
            malformed: 0,
            foreign: 0,
            bytes: 0,
            packet_at: Timestamp::default(),
        }
    }

    pub(super) fn packet(&mut self, now: Timestamp, bytes: &[u8], clock: &SenderClock, offset: &ClockOffset) {
        let Ok(packet) = rtp::Packet::parse(bytes) else {
            self.malformed += 1;
            return;
        };
        self.bytes += bytes.len() as u64;
        self.packet_at = now;
        self.mender.packet(now, &packet, bytes);
        self.take(now, &packet, clock, offset);
    }

    /// A packet of the stream's repair port.
    pub(super) fn parity(&mut self, now: Timestamp, bytes: &[u8], clock: &SenderClock, offset: &ClockOffset) {
        let Ok(packet) = rtp::Packet::parse(bytes) else {
            self.malformed += 1;
            return;
        };
        let rebuilt = &mut self.rebuilt;
        self.mender.parity(now, &packet, &mut |bytes| rebuilt.push(bytes));
        self.take_rebuilt(now, clock, offset);
    }

    /// Others ask for repair of the stream.
    pub(super) fn heard(&mut self, now: Timestamp, request: &RepairRequest) {
        self.mender.heard(now, request);
    }

    /// The network is another one.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.mender.set_patience(patience);
    }

    /// How many receive the stream.
    pub(super) fn set_crowd(&mut self, people: usize) {
        self.mender.set_group(people);
    }

    /// When [`settle`](Self::settle) has something to do.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.mender.next_timeout()
    }

    /// Looks what is missing: hands requests to `ask`, and conceals what was waited for long enough.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        clock: &SenderClock,
        offset: &ClockOffset,
        mut ask: impl FnMut(RepairRequest),
    ) {
        let (mended, rebuilt) = (&mut self.mended, &mut self.rebuilt);
        self.mender.settle(now, mended, &mut |bytes| rebuilt.push(bytes));
        self.take_rebuilt(now, clock, offset);
        for n in 0..self.mended.len() {
            match self.mended[n] {
                Mended::Ask(request) => ask(request),
                Mended::GiveUp(timestamp) => {
                    if let Some(id) = self.reassembler.conceal(timestamp) {
                        self.hand_over(id, clock, offset);
                    }
                }
            }
        }
        self.mended.clear();
    }

    fn take_rebuilt(&mut self, now: Timestamp, clock: &SenderClock, offset: &ClockOffset) {
        let rebuilt = std::mem::take(&mut self.rebuilt);
        for bytes in rebuilt.packets() {
            if let Ok(packet) = rtp::Packet::parse(bytes) {
                self.take(now, &packet, clock, offset);
            }
        }
        self.rebuilt = rebuilt.emptied();
    }

    fn take(&mut self, now: Timestamp, packet: &rtp::Packet<'_>, clock: &SenderClock, offset: &ClockOffset) {
        match self.reassembler.push(now, packet) {
            Ok(Progress::Complete(id)) => self.hand_over(id, clock, offset),
            Ok(Progress::Advanced(id)) => self.grown = Some(id),
            // What is refused is counted by the reassembler.
            Ok(Progress::Nothing) | Err(_) => {}
        }
    }

    /// A frame is whole.
    fn hand_over(&mut self, id: FrameId, clock: &SenderClock, offset: &ClockOffset) {
        if let Some(view) = self.reassembler.frame(id) {
            self.mender.finished(view.timestamp);
        }
        self.offer(id, clock, offset);
        self.reassembler.release(id);
        self.grown = self.grown.filter(|&g| g > id);
    }

    /// Hands over what grew, if it is enough to be decoded, and publishes the figures.
    pub(super) fn end_of_batch(&mut self, clock: &SenderClock, offset: &ClockOffset) {
        if let Some(id) = self.grown.take()
            && self.is_useful(id)
        {
            self.offer(id, clock, offset);
        }
        let stats = self.stream.stats();
        let mended = self.mender.counters();
        stats.store(&self.reassembler.counters(), self.malformed + mended.rejected);
        stats.frames_repaired.store(mended.frames_repaired, Ordering::Relaxed);
        stats.packets_repaired.store(mended.packets_repaired, Ordering::Relaxed);
        stats.repairs_asked.store(mended.asked, Ordering::Relaxed);
        stats.foreign.store(self.foreign, Ordering::Relaxed);
        stats.bytes.store(self.bytes, Ordering::Relaxed);
        stats.packet_at.store(self.packet_at.0, Ordering::Relaxed);
    }

    fn is_useful(&self, id: FrameId) -> bool {
        let Some(view) = self.reassembler.frame(id) else {
            return false;
        };
        let handed = self.handed.filter(|h| h.0 == id).map_or(0, |h| h.1);
        let fresh = view.scan.len() - handed;
        view.header.restart_interval > 0
            && self.frame_bytes >= BANDED_BYTES_MIN
            && fresh >= self.frame_bytes / USEFUL_SHARE
    }

    fn offer(&mut self, id: FrameId, clock: &SenderClock, offset: &ClockOffset) {
        let Some(view) = self.reassembler.frame(id) else {
            return;
        };
        let captured: Option<NtpTime> = offset.get().and_then(|nanos| clock.capture_time(view.timestamp, nanos));
        self.to_decode |= self.stream.offer(id, &view, captured);
        self.handed = Some((id, view.scan.len()));
        if view.complete {
            self.frame_bytes = view.scan.len();
        }
    }
}

/// Packets rebuilt in one go.
#[derive(Default)]
struct Rebuilt {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rebuilt {
    fn push(&mut self, packet: &[u8]) {
        self.bytes.extend_from_slice(packet);
        self.ends.push(self.bytes.len());
    }

    fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, &end)| &self.bytes[begin..end])
    }

    /// Nothing, with the memory kept.
    fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.ends.clear();
        self
    }
}
