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

/// A packet that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queued<'a> {
    pub(super) stream: u64,
    pub(super) arrived: Timestamp,
    pub(super) bytes: &'a [u8],
    /// It was sent once more.
    pub(super) again: bool,
}

#[derive(Debug)]
struct Entry {
    stream: u64,
    arrived: Timestamp,
    again: bool,
    end: usize,
}

/// Packets and where they stand.
#[derive(Debug)]
pub(super) struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// What waits of each stream.
    shares: Vec<Share>,
    /// Stream, wall clock and RTP clock of its sender.
    reports: Vec<(u64, NtpTime, u32)>,
}

#[derive(Debug)]
struct Share {
    stream: u64,
    packets: usize,
    bytes: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            entries: Vec::with_capacity(PACKETS_USUAL),
            bytes: Vec::with_capacity(PACKETS_USUAL * 128),
            shares: Vec::with_capacity(SLOTS_MAX),
            reports: Vec::with_capacity(SLOTS_MAX),
        }
    }
}

impl Batch {
    /// Each packet, oldest first.
    pub(super) fn packets(&self) -> impl Iterator<Item = Queued<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |&Entry { stream, arrived, again, end }| {
            let bytes = &self.bytes[start..end];
            start = end;
            Queued { stream, arrived, bytes, again }
        })
    }

    /// What senders reported of their clocks.
    pub(super) fn reports(&self) -> &[(u64, NtpTime, u32)] {
        &self.reports
    }

    /// Puts a packet behind the others; how many had to go for it, this one included if it did.
    fn push(&mut self, packet: Queued<'_>) -> u64 {
        let (Queued { stream, arrived, bytes, again }, mut dropped) = (packet, 0);
        let place = match self.shares.iter().position(|share| share.stream == stream) {
            Some(place) => place,
            // More streams than a conference has.
            None if self.shares.len() >= SLOTS_MAX => return 1,
            None => {
                self.shares.push(Share { stream, packets: 0, bytes: 0 });
                self.shares.len() - 1
            }
        };
        let share = &self.shares[place];
        if share.packets >= AUDIO_QUEUE_PACKETS_MAX || share.bytes + bytes.len() > AUDIO_QUEUE_BYTES_MAX {
            dropped = share.packets as u64;
            self.forget(stream);
        }
        let share = &mut self.shares[place];
        share.packets += 1;
        share.bytes += bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.entries.push(Entry { stream, arrived, again, end: self.bytes.len() });
        dropped
    }

    /// Takes the packets of one stream out.
    fn forget(&mut self, stream: u64) {
        let (bytes, mut start, mut kept) = (&mut self.bytes, 0, 0);
        self.entries.retain_mut(|entry| {
            let packet = start..entry.end;
            start = entry.end;
            if entry.stream == stream {
                return false;
            }
            let length = packet.len();
            bytes.copy_within(packet, kept);
            kept += length;
            entry.end = kept;
            true
        });
        bytes.truncate(kept);
        for share in self.shares.iter_mut().filter(|share| share.stream == stream) {
            (share.packets, share.bytes) = (0, 0);
        }
    }

    fn clear(&mut self) {
        self.reports.clear();
        self.shares.clear();
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

    fn push(&self, packet: Queued<'_>) {
        if packet.bytes.len() > DATAGRAM_BYTES_MAX {
            return;
        }
        let mut waiting = self.lock();
        // Nobody would wait for a voice as long as this is: what is old of it is of no use, and the others' is left alone.
        let dropped = waiting.batch.push(packet);
        waiting.dropped += dropped;
    }

    /// Packets thrown away because nobody fetched them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

impl AudioSink for AudioQueue {
    fn packet(&mut self, stream: u64, arrived: Timestamp, bytes: &[u8]) {
        self.push(Queued { stream, arrived, bytes, again: false });
    }

    fn again(&mut self, stream: u64, arrived: Timestamp, bytes: &[u8]) {
        self.push(Queued { stream, arrived, bytes, again: true });
    }

    fn report(&mut self, stream: u64, ntp: NtpTime, rtp_timestamp: u32) {
        let reports = &mut self.lock().batch.reports;
        // One of each talker, the newest; more say nothing new.
        let place = reports.iter().position(|report| report.0 == stream);
        match place {
            Some(place) => reports[place] = (stream, ntp, rtp_timestamp),
            None if reports.len() < SLOTS_MAX => reports.push((stream, ntp, rtp_timestamp)),
            None => {}
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
        sink.again(2, Timestamp(11), b"");
        sink.packet(1, Timestamp(12), b"d");
        let mut batch = Batch::default();
        queue.exchange(&mut batch);
        let got: Vec<_> = batch.packets().map(|p| (p.stream, p.arrived.0, p.bytes, p.again)).collect();
        assert_eq!(got, [(1, 10, &b"abc"[..], false), (2, 11, b"", true), (1, 12, b"d", false)]);
        queue.exchange(&mut batch);
        assert_eq!(batch.packets().count(), 0);
    }

    #[test]
    fn a_queue_nobody_empties_drops_the_oldest_of_each_stream() {
        for (size, packets) in [(20, AUDIO_QUEUE_PACKETS_MAX), (1_024, AUDIO_QUEUE_BYTES_MAX / 1_024)] {
            let queue = AudioQueue::default();
            let mut sink = queue.clone();
            for n in 0..packets {
                [1, 2].iter().for_each(|stream| sink.packet(*stream, Timestamp(n as u64), &vec![*stream as u8; size]));
            }
            assert_eq!(queue.dropped(), 0);
            sink.packet(2, Timestamp(7_777), &vec![2; size]);
            assert_eq!(queue.dropped(), packets as u64);
            let mut batch = Batch::default();
            queue.exchange(&mut batch);
            let of = |stream: u64| {
                batch.packets().filter(move |p| p.stream == stream).map(|p| p.arrived.0).collect::<Vec<_>>()
            };
            assert_eq!(of(1), (0..packets as u64).collect::<Vec<_>>(), "nothing of another one's");
            assert_eq!(of(2), [7_777], "the newest is kept");
            assert!(batch.packets().all(|p| p.bytes == vec![p.stream as u8; size]));
        }
    }

    #[test]
    fn who_floods_the_queue_costs_the_others_nothing_and_no_memory() {
        let queue = AudioQueue::default();
        let mut sink = queue.clone();
        for n in 0..100_000u64 {
            sink.packet(9, Timestamp(n), &[9; DATAGRAM_BYTES_MAX]);
            sink.report(9, NtpTime(n), 0);
            if n % 5_000 == 0 {
                sink.packet(n % 4, Timestamp(n), &n.to_be_bytes());
                sink.report(n % 4, NtpTime(n), 7);
            }
        }
        let mut batch = Batch::default();
        queue.exchange(&mut batch);
        let others: Vec<_> = batch.packets().filter(|p| p.stream != 9).collect();
        assert!(others.len() == 20 && others.iter().all(|p| p.bytes == p.arrived.0.to_be_bytes()));
        assert_eq!(batch.packets().filter(|p| p.stream == 9).last().map(|p| p.arrived.0), Some(99_999));
        assert_eq!(batch.reports().iter().map(|r| (r.0, r.1.0)).collect::<Vec<_>>(), [(9, 99_999), (0, 95_000)]);
        assert!(batch.bytes.capacity() <= 2 * (AUDIO_QUEUE_BYTES_MAX + 20 * 8), "{}", batch.bytes.capacity());
        // As many streams as there can be, all of them flooding.
        for n in 0..200 * SLOTS_MAX as u64 {
            sink.packet(n % (2 * SLOTS_MAX as u64), Timestamp(n), &[0; 100]);
        }
        queue.exchange(&mut batch);
        assert!(batch.packets().count() <= AUDIO_QUEUE_PACKETS_MAX * SLOTS_MAX);
        assert!(batch.packets().all(|p| p.stream < SLOTS_MAX as u64));
    }
}
