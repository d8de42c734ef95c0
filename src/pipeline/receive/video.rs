//! One video stream on the receiving thread: packets to frames, frames to their decoder's inbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ClockOffset;
use crate::pipeline::video_receive::VideoStream;
use crate::protocol::clock::SenderClock;
use crate::protocol::reassembler::{FrameId, Progress, Reassembler};
use crate::time::{NtpTime, Timestamp};
use crate::wire::rtp;

/// A frame's new bytes are handed to the decoder once they are this share of the frame before it; a little less than a
/// band as it is sent.
const USEFUL_SHARE: usize = 12;
/// Frames smaller than this are handed over whole: waking a decoder costs more than it gains.
const BANDED_BYTES_MIN: usize = 16 << 10;

/// One video stream on the receiving thread.
pub(super) struct VideoPath {
    reassembler: Reassembler,
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
}

impl VideoPath {
    pub(super) fn new(stream: Arc<VideoStream>) -> Self {
        Self {
            reassembler: Reassembler::new(),
            stream,
            grown: None,
            handed: None,
            to_decode: false,
            frame_bytes: 0,
            malformed: 0,
            foreign: 0,
            bytes: 0,
        }
    }

    pub(super) fn packet(&mut self, now: Timestamp, bytes: &[u8], clock: &SenderClock, offset: &ClockOffset) {
        let Ok(packet) = rtp::Packet::parse(bytes) else {
            self.malformed += 1;
            return;
        };
        self.bytes += bytes.len() as u64;
        match self.reassembler.push(now, &packet) {
            Ok(Progress::Complete(id)) => {
                self.offer(id, clock, offset);
                self.reassembler.release(id);
                self.grown = self.grown.filter(|&g| g > id);
            }
            Ok(Progress::Advanced(id)) => self.grown = Some(id),
            // What is refused is counted by the reassembler.
            Ok(Progress::Nothing) | Err(_) => {}
        }
    }

    /// Hands over what grew, if it is enough to be decoded, and publishes the figures.
    pub(super) fn end_of_batch(&mut self, now: Timestamp, clock: &SenderClock, offset: &ClockOffset) {
        if let Some(id) = self.grown.take()
            && self.is_useful(id)
        {
            self.offer(id, clock, offset);
        }
        let stats = self.stream.stats();
        stats.store(&self.reassembler.counters(), self.malformed);
        stats.foreign.store(self.foreign, Ordering::Relaxed);
        stats.bytes.store(self.bytes, Ordering::Relaxed);
        stats.packet_at.store(now.0, Ordering::Relaxed);
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
