//! Repair: the request for it, the parity packet of video, the repeat packet of audio. All travel on the stream's repair
//! port, which for audio is its redundancy port.
//!
//! ```proto
//! // Number 10 of wire::message, in a sealed datagram of class feedback, to everybody who receives the stream.
//! message RepairRequest { fixed32 ssrc    = 1;            // of the stream, not of its parity
//!                         optional fixed32 frame = 2;     // RTP timestamp; left out for audio, and when nothing of it came
//!                         uint32  base    = 3;            // sequence number of its first packet, or of one of it
//!                         uint32  k       = 4;            // packets of the frame; 0 while that is not known
//!                         uint32  deficit = 5; }          // packets that are missing; of audio, from base on
//! ```
//! ```text
//! RTP header (12): PT 112, sequence and SSRC of the parity's own, timestamp of the frame
//!   0  2  k        packets of the frame, 1 to 1,024
//!   2  2  base     sequence number of the frame's first packet
//!   4  2  index    0..k: the frame's packet itself once more; k..k + m: parity, m = next power of two of max(8, k / 2)
//!   6  2  bytes    of the shard: even
//!   8  ..  the shard. A packet's shard is its length in 2 bytes, the plain RTP packet, zeros
//! ```
//! The code is Reed-Solomon over GF(2^16) as `protocol::repair` has it; any `k` shards of a frame give all of it back.
//! A repeat packet is an RTP packet too, with PT 113: packets of the voice, plain, each behind its length in 2 bytes.
//! Numbers are in network order.

use crate::limits::{JPEG_PACKETS_MAX, RTP_PACKET_BYTES_MAX};
use crate::wire::rtp;

/// Payload type of parity (dynamic); nobody but us receives it.
pub const PT_PARITY: u8 = 112;
/// Payload type of repeats (dynamic); nobody but us receives it.
pub const PT_REPEATS: u8 = 113;
/// Bytes between RTP header and shard.
pub const PARITY_HEADER_BYTES: usize = 8;
/// Bytes of a shard's length in front of its packet.
pub const SHARD_LENGTH_BYTES: usize = 2;
/// Room left for SRTP's authentication tag (RFC 3711 section 4.2).
const TAG_BYTES: usize = 10;
/// Largest shard: its parity packet, protected, is an RTP packet of the largest size sent.
pub const SHARD_BYTES_MAX: usize = RTP_PACKET_BYTES_MAX - TAG_BYTES - rtp::HEADER_BYTES - PARITY_HEADER_BYTES;
/// Largest plain RTP packet that fits a shard.
pub const SHARD_PACKET_BYTES_MAX: usize = SHARD_BYTES_MAX - SHARD_LENGTH_BYTES;

/// Largest payload of a repeat packet.
pub const REPEATS_BYTES_MAX: usize = RTP_PACKET_BYTES_MAX - TAG_BYTES - rtp::HEADER_BYTES;

const _: () = assert!(SHARD_BYTES_MAX.is_multiple_of(2));

/// Parity packets that a frame of `k` packets may have.
pub fn parity_max(k: usize) -> usize {
    (k / 2).max(8).next_power_of_two()
}

/// Asks a stream's sender for parity of one frame.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct RepairRequest {
    /// SSRC of the stream.
    #[prost(fixed32, tag = "1")]
    pub ssrc: u32,
    /// RTP timestamp of the frame; `None` when nothing of it came.
    #[prost(fixed32, optional, tag = "2")]
    pub frame: Option<u32>,
    /// Sequence number of its first packet, or of any packet of it.
    #[prost(uint32, tag = "3")]
    pub base: u32,
    /// Packets of the frame; 0 while that is not known.
    #[prost(uint32, tag = "4")]
    pub k: u32,
    /// Packets missing.
    #[prost(uint32, tag = "5")]
    pub deficit: u32,
}

/// What stands in front of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParityHeader {
    /// Packets of the frame.
    pub k: usize,
    /// Sequence number of the frame's first packet.
    pub base: u16,
    /// Below `k`: that packet of the frame. From `k` on: parity.
    pub index: usize,
}

/// Why a payload is no parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither [`PT_PARITY`] nor [`PT_REPEATS`], or not the one expected.
    #[error("payload type {0} on a repair port")]
    PayloadType(u8),
    /// Shorter than its header, or than the shard it announces, or longer.
    #[error("parity of {actual} bytes, expected {expected}")]
    Length {
        /// Bytes its header asks for.
        expected: usize,
        /// Bytes there.
        actual: usize,
    },
    /// No frame has as many packets, or none at all.
    #[error("parity of a frame of {0} packets")]
    Packets(usize),
    /// Beyond the parity a frame of that size has.
    #[error("parity number {0} is beyond what its frame has")]
    Index(usize),
    /// Odd, too small for an RTP packet, or larger than any sent.
    #[error("shard of {0} bytes")]
    Shard(usize),
}

/// A parity packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parity<'a> {
    /// What it belongs to.
    pub header: ParityHeader,
    /// The shard; an even number of bytes.
    pub shard: &'a [u8],
}

impl<'a> Parity<'a> {
    /// Reads the payload of `packet`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(packet: &rtp::Packet<'a>) -> Result<Self, Error> {
        if packet.header.payload_type != PT_PARITY {
            return Err(Error::PayloadType(packet.header.payload_type));
        }
        let payload = packet.payload;
        let Some((head, shard)) = payload.split_first_chunk::<PARITY_HEADER_BYTES>() else {
            return Err(Error::Length { expected: PARITY_HEADER_BYTES, actual: payload.len() });
        };
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (k, index, bytes) = (usize::from(number(0)), usize::from(number(4)), usize::from(number(6)));
        if k == 0 || k > JPEG_PACKETS_MAX {
            return Err(Error::Packets(k));
        }
        if index >= k + parity_max(k) {
            return Err(Error::Index(index));
        }
        if !bytes.is_multiple_of(2) || !(SHARD_LENGTH_BYTES + rtp::HEADER_BYTES..=SHARD_BYTES_MAX).contains(&bytes) {
            return Err(Error::Shard(bytes));
        }
        if shard.len() != bytes {
            return Err(Error::Length { expected: PARITY_HEADER_BYTES + bytes, actual: payload.len() });
        }
        Ok(Self { header: ParityHeader { k, base: number(2), index }, shard })
    }

    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let ParityHeader { k, base, index } = self.header;
        for number in [k as u16, base, index as u16, self.shard.len() as u16] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.shard);
    }
}

/// A repeat packet's payload: at least one packet, all of them whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats<'a>(&'a [u8]);

impl<'a> Repeats<'a> {
    /// Reads the payload of `packet`.
    ///
    /// # Errors
    /// [`Error::PayloadType`] and [`Error::Length`].
    pub fn parse(packet: &rtp::Packet<'a>) -> Result<Self, Error> {
        if packet.header.payload_type != PT_REPEATS {
            return Err(Error::PayloadType(packet.header.payload_type));
        }
        let actual = packet.payload.len();
        let mut rest = packet.payload;
        loop {
            let Some((_, behind)) = first_repeat(rest) else {
                let expected = actual - rest.len() + SHARD_LENGTH_BYTES + rtp::HEADER_BYTES;
                return Err(Error::Length { expected, actual });
            };
            if behind.is_empty() {
                return Ok(Self(packet.payload));
            }
            rest = behind;
        }
    }

    /// The packets in it.
    pub fn packets(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (packet, behind) = first_repeat(rest)?;
            rest = behind;
            Some(packet)
        })
    }

    /// Appends a packet to a payload. False, and nothing appended, when it would be too long.
    pub fn append(packet: &[u8], payload: &mut Vec<u8>) -> bool {
        let fits = payload.len() + SHARD_LENGTH_BYTES + packet.len() <= REPEATS_BYTES_MAX;
        if fits {
            payload.extend_from_slice(&(packet.len() as u16).to_be_bytes());
            payload.extend_from_slice(packet);
        }
        fits
    }
}

fn first_repeat(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<SHARD_LENGTH_BYTES>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    rest.split_at_checked(length).filter(|_| length >= rtp::HEADER_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(payload: &[u8]) -> rtp::Packet<'_> {
        let header = rtp::Header { marker: false, payload_type: PT_PARITY, sequence: 1, timestamp: 2, ssrc: 3 };
        rtp::Packet { header, payload, extension: None }
    }

    /// Parses a header of these numbers with `bytes` of shard behind it.
    fn check(numbers: [u16; 4], bytes: usize) -> Result<ParityHeader, Error> {
        let mut payload: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        payload.resize(PARITY_HEADER_BYTES + bytes, 7);
        Parity::parse(&packet(&payload)).map(|p| p.header)
    }

    #[test]
    fn numbers_are_checked_at_the_edges() {
        let max = JPEG_PACKETS_MAX as u16;
        assert_eq!(check([60, 65_535, 91, 100], 100), Ok(ParityHeader { k: 60, base: 65_535, index: 91 }));
        assert_eq!(check([60, 0, 92, 100], 100), Err(Error::Index(92)), "32 of 60");
        assert_eq!(check([1, 0, 8, 14], 14), Ok(ParityHeader { k: 1, base: 0, index: 8 }));
        assert_eq!(check([1, 0, 9, 14], 14), Err(Error::Index(9)));
        assert_eq!(check([0, 0, 0, 14], 14), Err(Error::Packets(0)));
        assert!(check([max, 0, max + 511, 14], 14).is_ok());
        assert_eq!(check([max + 1, 0, 0, 14], 14), Err(Error::Packets(JPEG_PACKETS_MAX + 1)));
        assert_eq!(check([1, 0, 0, 12], 12), Err(Error::Shard(12)));
        assert_eq!(check([1, 0, 0, 15], 15), Err(Error::Shard(15)));
        let most = SHARD_BYTES_MAX as u16;
        assert!(check([1, 0, 0, most], SHARD_BYTES_MAX).is_ok());
        assert_eq!(check([1, 0, 0, most + 2], SHARD_BYTES_MAX + 2), Err(Error::Shard(SHARD_BYTES_MAX + 2)));
        assert!(matches!(check([1, 0, 0, 16], 14), Err(Error::Length { .. })));
        assert!(matches!(check([1, 0, 0, 14], 16), Err(Error::Length { .. })));
        assert!(matches!(Parity::parse(&packet(&[0; 7])), Err(Error::Length { .. })));
    }

    #[test]
    fn a_parity_packet_is_never_larger_than_the_largest_sent() {
        let shard = [0; SHARD_BYTES_MAX];
        let mut payload = Vec::new();
        Parity { header: ParityHeader { k: 1, base: 0, index: 1 }, shard: &shard }.write(&mut payload);
        assert_eq!(rtp::HEADER_BYTES + payload.len() + TAG_BYTES, RTP_PACKET_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            k in 1..=JPEG_PACKETS_MAX, base: u16, part in 0.0..1.0f64,
            shard in prop::collection::vec(any::<u8>(), 7..SHARD_BYTES_MAX / 2),
        ) {
            let index = ((k + parity_max(k) - 1) as f64 * part) as usize;
            let shard = &shard[..shard.len() / 2 * 2];
            prop_assume!(shard.len() >= 14);
            let parity = Parity { header: ParityHeader { k, base, index }, shard };
            let mut payload = Vec::new();
            parity.write(&mut payload);
            prop_assert_eq!(Parity::parse(&packet(&payload)), Ok(parity));
        }

        #[test]
        fn repeats_are_read_as_they_were_written(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 12..300), 1..4),
        ) {
            let mut payload = Vec::new();
            packets.iter().for_each(|packet| assert!(Repeats::append(packet, &mut payload)));
            let header = rtp::Header { payload_type: PT_REPEATS, ..rtp::Header::default() };
            let read = |payload| Repeats::parse(&rtp::Packet { header, extension: None, payload }).map(|r| r.packets().count());
            prop_assert_eq!(read(&payload), Ok(packets.len()));
            prop_assert!(read(&payload[..payload.len() - 1]).is_err());
            prop_assert!(!Repeats::append(&[0; REPEATS_BYTES_MAX], &mut payload));
        }

        #[test]
        fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 0..1_500)) {
            let _ = Parity::parse(&packet(&payload));
            let header = rtp::Header { payload_type: PT_REPEATS, ..rtp::Header::default() };
            let repeats = rtp::Packet { header, extension: None, payload: &payload };
            let _ = Repeats::parse(&repeats).map(|repeats| repeats.packets().count());
        }
    }
}
