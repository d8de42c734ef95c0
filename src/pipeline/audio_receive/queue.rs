//! From the receiving thread to the mixing thread: packets in the order they came.
//!
//! Two arenas change places: the receiver appends to one while the mixer works through the other, so packets are copied
//! once and nothing is allocated once both have grown to what a mixing step needs. The lock is held for the copy of one
//! packet, or for the exchange.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::limits::{AUDIO_QUEUE_BYTES_MAX, AUDIO_QUEUE_PACKETS_MAX, DATAGRAM_BYTES_MAX, SLOTS_MAX};
use crate::pipeline::receive::AudioSink;
use crate::time::{NtpTime, Timestamp};

/// Packets between two mixing steps, usually: everybody once, on a bad day.
const PACKETS_USUAL: usize = 128;

/// Packets and where they stand.
#[derive(Debug)]
pub(super) struct Batch {
    entries: Vec<(u64, Timestamp, usize)>,
    bytes: Vec<u8>,
    /// Stream, wall clock and RTP clock of its sender.
    reports: Vec<(u64, NtpTime, u32)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            entries: Vec::with_capacity(PACKETS_USUAL),
            bytes: Vec::with_capacity(PACKETS_USUAL * 128),
            reports: Vec::with_capacity(SLOTS_MAX),
        }
    }
}

impl Batch {
    /// Stream, arrival and bytes of each packet, oldest first.
    pub(super) fn packets(&self) -> impl Iterator<Item = (u64, Timestamp, &[u8])> {
        let mut start = 0;
        self.entries.iter().map(move |&(stream, arrived, end)| {
            let bytes = &self.bytes[start..end];
            start = end;
            (stream, arrived, bytes)
        })
    }

    /// What senders reported of their clocks.
    pub(super) fn reports(&self) -> &[(u64, NtpTime, u32)] {
        &self.reports
    }

    fn clear(&mut self) {
        self.reports.clear();
        self.entries.clear();
        self.bytes.clear();
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    dropped: u64,
}

/// The queue; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct AudioQueue(Arc<Mutex<Waiting>>);

impl AudioQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Exchanges what waits with `batch`, whose old contents are forgotten.
    pub(super) fn exchange(&self, batch: &mut Batch) {
        batch.clear();
        std::mem::swap(&mut self.lock().batch, batch);
    }

    /// Packets thrown away because nobody fetched them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

impl AudioSink for AudioQueue {
    fn packet(&mut self, stream: u64, arrived: Timestamp, bytes: &[u8]) {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return;
        }
        let mut waiting = self.lock();
        let full = waiting.batch.entries.len() >= AUDIO_QUEUE_PACKETS_MAX
            || waiting.batch.bytes.len() + bytes.len() > AUDIO_QUEUE_BYTES_MAX;
        if full {
            // The mixer was held up for longer than anybody would wait for a voice: what is old is of no use.
            waiting.dropped += waiting.batch.entries.len() as u64;
            waiting.batch.clear();
        }
        waiting.batch.bytes.extend_from_slice(bytes);
        let end = waiting.batch.bytes.len();
        waiting.batch.entries.push((stream, arrived, end));
    }

    fn report(&mut self, stream: u64, ntp: NtpTime, rtp_timestamp: u32) {
        let mut waiting = self.lock();
        // One of each talker; more say nothing new.
        if waiting.batch.reports.len() < SLOTS_MAX {
            waiting.batch.reports.push((stream, ntp, rtp_timestamp));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_in_order_and_once() {
        let queue = AudioQueue::default();
        let mut sink = queue.clone();
        sink.packet(1, Timestamp(10), b"abc");
        sink.packet(2, Timestamp(11), b"");
        sink.packet(1, Timestamp(12), b"d");
        let mut batch = Batch::default();
        queue.exchange(&mut batch);
        let got: Vec<_> = batch.packets().collect();
        assert_eq!(got, [(1, Timestamp(10), &b"abc"[..]), (2, Timestamp(11), b""), (1, Timestamp(12), b"d")]);
        queue.exchange(&mut batch);
        assert_eq!(batch.packets().count(), 0);
    }

    #[test]
    fn a_queue_nobody_empties_drops_the_oldest() {
        for (size, packets) in [(20, AUDIO_QUEUE_PACKETS_MAX), (1_024, AUDIO_QUEUE_BYTES_MAX / 1_024)] {
            let queue = AudioQueue::default();
            let mut sink = queue.clone();
            for i in 0..packets {
                sink.packet(i as u64, Timestamp(0), &vec![0; size]);
            }
            assert_eq!(queue.dropped(), 0);
            sink.packet(7_777, Timestamp(0), &vec![0; size]);
            assert_eq!(queue.dropped(), packets as u64);
            let mut batch = Batch::default();
            queue.exchange(&mut batch);
            assert_eq!(batch.packets().map(|p| p.0).collect::<Vec<_>>(), [7_777], "the newest is kept");
        }
    }
}
