//! Session announcements (SAP, RFC 2974): a description sent to a well-known group, so that players list it.
//!
//! ```text
//!  0  1  version 1 (3 bits) | A address type 0 = IPv4, 1 = IPv6 | R 0 | T 0 announce, 1 delete | E 0 | C 0
//!  1  1  length of the authentication data, in 32-bit words: 0
//!  2  2  message id hash: another one whenever the description changed
//!  4  4  originating source; 16 bytes for IPv6, and what follows is 12 bytes later
//!  8 16  "application/sdp" and a zero byte
//! 24 ..  announcement: the description; deletion: its o= line
//! ```
//! Sent to [`sap`](super::address::Plan::sap). Nothing is authenticated: only open conferences use it.

use std::net::IpAddr;

use crate::limits::{DATAGRAM_BYTES_MAX, SDP_BYTES_MAX};

const PAYLOAD_TYPE: &[u8] = b"application/sdp\0";

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The session is over.
    pub delete: bool,
    /// With the source, names this version of this description; never 0.
    pub id_hash: u16,
    /// Who announces.
    pub source: IpAddr,
    /// The description, or the `o=` line of the one deleted.
    pub sdp: &'a str,
}

/// Why a datagram is not a SAP packet understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than its headers say, or longer than accepted.
    #[error("SAP packet of {0} bytes")]
    Length(usize),
    /// Another version.
    #[error("SAP version {0}, expected 1")]
    Version(u8),
    /// Encrypted or compressed.
    #[error("SAP packet with unsupported flags {0:#04x}")]
    Flags(u8),
    /// Not SDP, or not text.
    #[error("SAP payload is not a session description")]
    Payload,
}

/// A message id hash for the text of a description; never 0.
pub fn id_hash(sdp: &str) -> u16 {
    // FNV-1a, folded to 16 bits.
    let h = sdp.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    ((h >> 16) as u16 ^ h as u16).max(1)
}

impl<'a> Packet<'a> {
    /// The packet as it stands on the wire, into `out`, which is cleared first. False, and nothing written, when it
    /// does not fit a datagram.
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        out.clear();
        let (v6, address_bytes) = (self.source.is_ipv6(), if self.source.is_ipv6() { 16 } else { 4 });
        if 4 + address_bytes + PAYLOAD_TYPE.len() + self.sdp.len() > DATAGRAM_BYTES_MAX {
            return false;
        }
        out.extend_from_slice(&[0x20 | u8::from(v6) << 4 | u8::from(self.delete) << 2, 0]);
        out.extend_from_slice(&self.id_hash.to_be_bytes());
        match self.source {
            IpAddr::V4(source) => out.extend_from_slice(&source.octets()),
            IpAddr::V6(source) => out.extend_from_slice(&source.octets()),
        }
        out.extend_from_slice(PAYLOAD_TYPE);
        out.extend_from_slice(self.sdp.as_bytes());
        true
    }

    /// Takes a packet apart.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        let length = Error::Length(datagram.len());
        let Some((&[flags, words, high, low], rest)) = datagram.split_first_chunk::<4>() else {
            return Err(length);
        };
        if datagram.len() > SDP_BYTES_MAX {
            return Err(length);
        }
        if flags >> 5 != 1 {
            return Err(Error::Version(flags >> 5));
        }
        if flags & 3 != 0 {
            return Err(Error::Flags(flags));
        }
        let (source, rest) = if flags & 0x10 == 0 {
            let (source, rest) = rest.split_first_chunk::<4>().ok_or(length)?;
            (IpAddr::from(*source), rest)
        } else {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or(length)?;
            (IpAddr::from(*source), rest)
        };
        let payload = rest.get(4 * usize::from(words)..).ok_or(length)?;
        // The payload type may be left out when the payload is SDP.
        let text = match payload.strip_prefix(PAYLOAD_TYPE) {
            Some(text) => text,
            None if payload.starts_with(b"v=0") || payload.starts_with(b"o=") => payload,
            None => return Err(Error::Payload),
        };
        let sdp = std::str::from_utf8(text).map_err(|_| Error::Payload)?;
        let id_hash = u16::from_be_bytes([high, low]);
        Ok(Self { delete: flags & 4 != 0, id_hash, source, sdp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Packet<'static> = Packet {
        delete: false,
        id_hash: 0x1234,
        source: IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 1)),
        sdp: "v=0\r\ns=x\r\n",
    };

    #[test]
    fn packets_round_trip_in_the_layout_of_the_table() {
        let mut out = vec![1];
        assert!(PACKET.write(&mut out));
        assert_eq!(out[..8], [0x20, 0, 0x12, 0x34, 10, 77, 0, 1]);
        assert_eq!(&out[8..], b"application/sdp\0v=0\r\ns=x\r\n");
        assert_eq!(Packet::parse(&out), Ok(PACKET));
        let deletion = Packet { delete: true, sdp: "o=- 1 1 IN IP4 10.77.0.1\r\n", ..PACKET };
        assert!(deletion.write(&mut out));
        assert_eq!(out[0], 0x24);
        assert_eq!(Packet::parse(&out), Ok(deletion));
    }

    #[test]
    fn authentication_is_skipped_and_the_payload_type_may_be_missing() {
        let bytes = [&[0x20, 1, 0, 1, 10, 0, 0, 1, 9, 9, 9, 9], b"v=0\r\n".as_slice()].concat();
        assert_eq!(Packet::parse(&bytes).unwrap().sdp, "v=0\r\n");
    }

    #[test]
    fn hostile_packets_are_refused() {
        let mut ok = Vec::new();
        assert!(PACKET.write(&mut ok));
        let with = |at: usize, byte: u8| {
            let mut b = ok.clone();
            b[at] = byte;
            Packet::parse(&b).map(|_| ())
        };
        assert_eq!(with(0, 0x40), Err(Error::Version(2)));
        for flags in [0x32, 0x22, 0x21] {
            assert_eq!(with(0, flags), Err(Error::Flags(flags)), "encrypted, compressed");
        }
        assert_eq!(with(1, 255), Err(Error::Length(ok.len())));
        assert_eq!(with(8, b'b'), Err(Error::Payload));
        assert_eq!(with(26, 0xff), Err(Error::Payload));
        for length in 0..8 {
            assert_eq!(Packet::parse(&ok[..length]), Err(Error::Length(length)));
        }
        assert_eq!(Packet::parse(&vec![0x20; SDP_BYTES_MAX + 1]), Err(Error::Length(SDP_BYTES_MAX + 1)));
    }

    #[test]
    fn a_description_too_long_for_a_datagram_is_not_sent() {
        let fits = "x".repeat(DATAGRAM_BYTES_MAX - 24);
        let mut out = Vec::new();
        assert!(Packet { sdp: &fits, ..PACKET }.write(&mut out));
        assert_eq!(out.len(), DATAGRAM_BYTES_MAX);
        assert!(!Packet { sdp: &format!("{fits}x"), ..PACKET }.write(&mut out));
        assert!(out.is_empty());
    }

    #[test]
    fn the_hash_changes_with_the_text_and_is_never_zero() {
        assert_ne!(id_hash("v=0 a"), id_hash("v=0 b"));
        assert!((0..200_000_u32).all(|n| id_hash(&n.to_string()) != 0), "some of them fold to 0");
    }
}
