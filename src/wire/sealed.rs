//! The sealed datagram: header of everything that is ours and neither RTP nor discovery.
//!
//! ```text
//!  offset length
//!    0      1    'L' (0x4c): never the first byte of RTP, which is 0x80..0xbf
//!    1      1    version (high 4 bits, 1) | class (low 4 bits)
//!    2      2    epoch & 0xffff
//!    4      4    conference tag: a cheap filter, no proof of anything
//!    8      8    sid: session id, random at every start and every epoch
//!   16      8    pn: packet number, from 1, strictly increasing for each sid
//!   24     ..    ciphertext: ChaCha20-Poly1305 (RFC 8439), nonce = iv XOR pn, these 24 bytes as associated data
//!   n-16    16   its tag
//! ```
//! Numbers are in network order. Classes: 1 control ([`super::message`]); 3 feedback ([`super::repair`]), with keys and
//! packet numbers of its own, because it is another thread that sends it; 2 object data and 4 unicast handshake are kept
//! free for their later use. What opens it is `protocol::seal`; nothing here is secret.

use crate::limits::{DATAGRAM_BYTES_MAX, SEALED_BODY_BYTES_MAX};

/// First byte of every sealed datagram.
pub const MAGIC: u8 = b'L';
/// Version of the header's layout.
pub const VERSION: u8 = 1;
/// Bytes before the ciphertext.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the authentication tag.
pub const TAG_BYTES: usize = 16;

const BYTES_MIN: usize = HEADER_BYTES + TAG_BYTES;
const BYTES_MAX: usize = BYTES_MIN + SEALED_BODY_BYTES_MAX;

/// What a sealed datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Messages between members.
    Control,
    /// Requests for repair.
    Feedback,
}

impl Class {
    fn to_wire(self) -> u8 {
        match self {
            Class::Control => 1,
            Class::Feedback => 3,
        }
    }

    fn from_wire(number: u8) -> Option<Self> {
        match number {
            1 => Some(Class::Control),
            3 => Some(Class::Feedback),
            _ => None,
        }
    }
}

/// Why a datagram is no sealed datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than header and tag, or longer than anything sent.
    #[error("sealed datagram of {actual} bytes, expected {BYTES_MIN} to {BYTES_MAX}")]
    Length {
        /// Bytes there were.
        actual: usize,
    },
    /// Another first byte.
    #[error("first byte {0:#04x} is not that of a sealed datagram")]
    Magic(u8),
    /// A version of the future.
    #[error("sealed datagram of version {0}, expected {VERSION}")]
    Version(u8),
    /// A class of the future.
    #[error("sealed datagram of unknown class {0}")]
    Class(u8),
    /// Packet numbers start at 1.
    #[error("packet number 0")]
    PacketNumber,
}

/// The 24 bytes in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is inside.
    pub class: Class,
    /// Low 16 bits of the epoch whose key seals it.
    pub epoch: u16,
    /// Tag of the conference.
    pub tag: u32,
    /// Session id of the sender.
    pub sid: u64,
    /// Packet number.
    pub pn: u64,
}

impl Header {
    /// The header as it stands on the wire.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut b = [0; HEADER_BYTES];
        b[0] = MAGIC;
        b[1] = VERSION << 4 | self.class.to_wire();
        b[2..4].copy_from_slice(&self.epoch.to_be_bytes());
        b[4..8].copy_from_slice(&self.tag.to_be_bytes());
        b[8..16].copy_from_slice(&self.sid.to_be_bytes());
        b[16..24].copy_from_slice(&self.pn.to_be_bytes());
        b
    }

    /// The header of `datagram`; its length leaves room for a tag and is within the bounds.
    pub fn parse(datagram: &[u8]) -> Result<Self, Error> {
        let actual = datagram.len();
        let Some((b, rest)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Error::Length { actual });
        };
        if rest.len() < TAG_BYTES || rest.len() > SEALED_BODY_BYTES_MAX + TAG_BYTES {
            return Err(Error::Length { actual });
        }
        if b[0] != MAGIC {
            return Err(Error::Magic(b[0]));
        }
        if b[1] >> 4 != VERSION {
            return Err(Error::Version(b[1] >> 4));
        }
        let class = Class::from_wire(b[1] & 15).ok_or(Error::Class(b[1] & 15))?;
        let pn = u64_at(b, 16);
        if pn == 0 {
            return Err(Error::PacketNumber);
        }
        let epoch = u16::from_be_bytes([b[2], b[3]]);
        let tag = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
        Ok(Self { class, epoch, tag, sid: u64_at(b, 8), pn })
    }
}

fn u64_at(b: &[u8; HEADER_BYTES], at: usize) -> u64 {
    b[at..at + 8].iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

const _: () = assert!(BYTES_MAX <= DATAGRAM_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        class: Class::Control,
        epoch: 0x0102,
        tag: 0x0304_0506,
        sid: 0x1112_1314_1516_1718,
        pn: 0x2122_2324_2526_2728,
    };

    fn datagram(bytes_behind: usize) -> Vec<u8> {
        let mut d = HEADER.to_bytes().to_vec();
        d.resize(HEADER_BYTES + bytes_behind, 0);
        d
    }

    #[test]
    fn the_layout_is_that_of_the_table() {
        let bytes = HEADER.to_bytes();
        assert_eq!(bytes[..8], [b'L', 0x11, 1, 2, 3, 4, 5, 6]);
        assert_eq!(bytes[8..16], [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
        assert_eq!(bytes[16..], [0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28]);
        assert_eq!(Header::parse(&datagram(TAG_BYTES)), Ok(HEADER));
    }

    #[test]
    fn lengths_are_checked_at_the_edges() {
        let rows = [
            (TAG_BYTES - 1, false),
            (TAG_BYTES, true),
            (SEALED_BODY_BYTES_MAX + TAG_BYTES, true),
            (SEALED_BODY_BYTES_MAX + TAG_BYTES + 1, false),
        ];
        for (behind, accepted) in rows {
            assert_eq!(Header::parse(&datagram(behind)).is_ok(), accepted, "{behind}");
        }
        assert_eq!(Header::parse(&[]), Err(Error::Length { actual: 0 }));
    }

    #[test]
    fn foreign_headers_are_told_apart() {
        let with = |at: usize, byte: u8| {
            let mut d = datagram(TAG_BYTES);
            d[at] = byte;
            Header::parse(&d)
        };
        assert_eq!(with(0, 0x80), Err(Error::Magic(0x80)));
        assert_eq!(with(1, 0x21), Err(Error::Version(2)));
        assert_eq!(with(1, 0x1f), Err(Error::Class(15)));
        let mut zero = datagram(TAG_BYTES);
        zero[16..24].fill(0);
        assert_eq!(Header::parse(&zero), Err(Error::PacketNumber));
    }
}
