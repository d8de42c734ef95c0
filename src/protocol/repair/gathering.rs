//! One frame as a receiver gathers it for repair: which packets came, their bytes, and the parity that came.

use crate::limits::JPEG_PACKETS_MAX;
use crate::protocol::parity::Decoder;
use crate::time::Timestamp;
use crate::wire::repair::{Parity, SHARD_BYTES_MAX, SHARD_LENGTH_BYTES, SHARD_PACKET_BYTES_MAX, parity_max};
use crate::wire::rtp;

/// Why a frame's end was thought to have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its marker, or a packet of a later frame.
    Sure,
    /// Nothing came for a while: more packets take it back.
    Silence,
}

/// Parity at odds with its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AtOdds;

#[derive(Default)]
pub(super) struct Gathering {
    pub(super) active: bool,
    /// RTP timestamp; `None` while nothing of it came.
    pub(super) timestamp: Option<u32>,
    /// Sequence number of its first packet.
    pub(super) base: Option<u16>,
    /// Sequence number behind its last packet.
    pub(super) end: Option<u16>,
    /// Packets it has at most, where nothing of it came.
    pub(super) gap: usize,
    /// Lowest and highest sequence number that came.
    pub(super) came: Option<(u16, u16)>,
    /// When the last packet came.
    pub(super) touched: Timestamp,
    /// Since when it is known that something is missing, and how.
    pub(super) missing: Option<(Timestamp, Cause)>,
    pub(super) ask_at: Option<Timestamp>,
    pub(super) rounds: u32,
    sequences: Vec<u16>,
    /// Their shards, [`SHARD_BYTES_MAX`] bytes apart.
    shards: Vec<u8>,
    longest: usize,
    parity_indices: Vec<u16>,
    parity: Vec<u8>,
    parity_bytes: usize,
}

impl Gathering {
    /// Forgets the last frame, keeps the memory.
    pub(super) fn begin(&mut self, timestamp: Option<u32>, now: Timestamp) {
        (self.active, self.timestamp, self.touched) = (true, timestamp, now);
        (self.base, self.end, self.came) = (None, None, None);
        (self.missing, self.ask_at, self.rounds) = (None, None, 0);
        (self.longest, self.parity_bytes, self.gap) = (0, 0, 0);
        self.sequences.clear();
        self.shards.clear();
        self.parity_indices.clear();
        self.parity.clear();
    }

    /// Packets of the frame, once its first and its last are known.
    pub(super) fn k(&self) -> Option<usize> {
        let k = usize::from(self.end?.wrapping_sub(self.base?));
        (1..=JPEG_PACKETS_MAX).contains(&k).then_some(k)
    }

    pub(super) fn packets(&self) -> usize {
        self.sequences.len()
    }

    /// Shards there are.
    pub(super) fn shards(&self) -> usize {
        self.sequences.len() + self.parity_indices.len()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.k().is_some_and(|k| self.shards() >= k)
    }

    /// Takes a packet; whether it is new.
    pub(super) fn push(&mut self, sequence: u16, packet: &[u8]) -> bool {
        let ahead = self.came.is_none_or(|(_, highest)| (sequence.wrapping_sub(highest) as i16) > 0);
        if self.sequences.len() == JPEG_PACKETS_MAX || (!ahead && self.sequences.contains(&sequence)) {
            return false;
        }
        let (lowest, highest) = self.came.unwrap_or((sequence, sequence));
        let lowest = if (sequence.wrapping_sub(lowest) as i16) < 0 { sequence } else { lowest };
        self.came = Some((lowest, if ahead { sequence } else { highest }));
        self.sequences.push(sequence);
        self.longest = self.longest.max(packet.len());
        // Larger ones are other programs', who send no parity: any that came would be at odds with their length.
        if packet.len() <= SHARD_PACKET_BYTES_MAX {
            self.shards.extend_from_slice(&(packet.len() as u16).to_be_bytes());
            self.shards.extend_from_slice(packet);
        }
        self.shards.resize(self.sequences.len() * SHARD_BYTES_MAX, 0);
        true
    }

    /// Takes parity, or a packet sent again; what is at odds with what is known changes nothing.
    pub(super) fn push_parity(&mut self, parity: &Parity<'_>) -> Result<(), AtOdds> {
        let header = parity.header;
        let end = header.base.wrapping_add(header.k as u16);
        let agrees = |known: Option<u16>, told| known.is_none_or(|known| known == told);
        let inside = self.came.is_none_or(|(lowest, highest)| {
            usize::from(lowest.wrapping_sub(header.base)) < header.k
                && usize::from(highest.wrapping_sub(header.base)) < header.k
        });
        let bytes = parity.shard.len();
        let sized = self.parity_bytes == 0 || self.parity_bytes == bytes;
        if !agrees(self.base, header.base)
            || !agrees(self.end, end)
            || !inside
            || !sized
            || self.longest + SHARD_LENGTH_BYTES > bytes
        {
            return Err(AtOdds);
        }
        (self.base, self.end, self.parity_bytes) = (Some(header.base), Some(end), bytes);
        let Some(index) = header.index.checked_sub(header.k) else {
            return Ok(());
        };
        let index = index as u16;
        if self.shards() < header.k && !self.parity_indices.contains(&index) {
            self.parity_indices.push(index);
            self.parity.extend_from_slice(parity.shard);
        }
        Ok(())
    }

    /// Rebuilds what is missing of a whole frame and hands over each packet; false when what comes out is no packet of
    /// the stream's.
    pub(super) fn rebuild(&self, decoder: &mut Decoder, ssrc: u32, each: &mut impl FnMut(&[u8])) -> bool {
        let (Some(k), Some(base), Some(timestamp)) = (self.k(), self.base, self.timestamp) else { return false };
        let bytes = self.parity_bytes;
        let shards = self.shards.chunks(SHARD_BYTES_MAX).map(|shard| &shard[..bytes.min(SHARD_BYTES_MAX)]);
        let sources = self.sequences.iter().map(|s| usize::from(s.wrapping_sub(base))).zip(shards);
        let parity = self.parity_indices.iter().map(|&i| usize::from(i)).zip(self.parity.chunks(bytes.max(1)));
        let mut sound = true;
        let taken = decoder.take((k, parity_max(k)), bytes, sources, parity);
        let restored = taken
            && decoder.restore(|index, shard| {
                match packet_of(shard, ssrc, timestamp, base.wrapping_add(index as u16)) {
                    Some(packet) if sound => each(packet),
                    _ => sound = false,
                }
            });
        restored && sound
    }
}

/// The packet in a shard, when it is the one expected there.
pub(super) fn packet_of(shard: &[u8], ssrc: u32, timestamp: u32, sequence: u16) -> Option<&[u8]> {
    let (length, rest) = shard.split_first_chunk::<SHARD_LENGTH_BYTES>()?;
    let packet = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    let (header, _) = rtp::parse_header_only(packet).ok()?;
    let expected = header.ssrc == ssrc && header.timestamp == timestamp && header.sequence == sequence;
    expected.then_some(packet)
}
