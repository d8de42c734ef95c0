//! RTP packets (RFC 3550 section 5.1), with the audio level of RFC 6464 in the one-byte extension form of RFC 8285.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |                    CC contributing sources                    |
//! |  X: profile                   |  length in 32-bit words       |
//! |     extension                                                 |
//! |  payload                      ...  P: padding, its count last |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! A packet is parsed once into a checked view of the bytes. Nothing here may trust a length it read.

use crate::limits::RTP_EXTENSION_BYTES_MAX;

/// Payload type of JPEG (RFC 3551 section 6).
pub const PT_JPEG: u8 = 26;
/// Payload type used here for Opus (dynamic, RFC 7587).
pub const PT_OPUS: u8 = 111;
/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 12;
/// Bytes of the fixed header with an audio level behind it.
pub const HEADER_WITH_LEVEL_BYTES: usize = HEADER_BYTES + 8;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const EXTENSION_BIT: u8 = 0x10;
/// Profile number of one-byte extension elements (RFC 8285 section 4.2).
const PROFILE_ONE_BYTE: u16 = 0xBEDE;
/// The element id that stands for the audio level here.
const AUDIO_LEVEL_ID: u8 = 1;

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The packet ends before something its header announces.
    #[error("RTP packet of {actual} bytes is shorter than the {expected} it announces")]
    Truncated {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        actual: usize,
    },
    /// Not RTP version 2.
    #[error("RTP version {0} instead of 2")]
    Version(u8),
    /// A header extension above [`RTP_EXTENSION_BYTES_MAX`].
    #[error("RTP header extension of {0} bytes")]
    ExtensionTooLong(usize),
    /// A padding count of zero, or one larger than the payload.
    #[error("RTP padding of {padding} bytes in a payload of {payload}")]
    Padding {
        /// The count in the packet's last byte.
        padding: usize,
        /// Payload bytes, padding included.
        payload: usize,
    },
}

/// The fixed header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// JPEG: last packet of a frame. Opus: first packet of a talk spurt.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// Counts packets, wrapping.
    pub sequence: u16,
    /// In units of the payload's clock (90 kHz JPEG, 48 kHz Opus), wrapping.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// Appends the 12 bytes of a header without padding, extension or contributing sources.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    /// Appends the header and an audio level extension (RFC 6464): whether it is voice, and the level in -dBov (0 the
    /// loudest, 127 silence; larger values are cut to 127). 20 bytes.
    pub fn write_with_audio_level(&self, voice: bool, minus_dbov: u8, out: &mut Vec<u8>) {
        let mut bytes = self.to_bytes();
        bytes[0] |= EXTENSION_BIT;
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&PROFILE_ONE_BYTE.to_be_bytes());
        let level = u8::from(voice) << 7 | minus_dbov.min(127);
        // One word: the element's id and its length less one, its byte, two bytes of padding.
        out.extend_from_slice(&[0, 1, AUDIO_LEVEL_ID << 4, level, 0, 0]);
    }

    /// The 12 bytes of a header without padding, extension or contributing sources.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = VERSION << 6;
        bytes[1] = u8::from(self.marker) << 7 | (self.payload_type & 0x7f);
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// A header extension (RFC 3550 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The 16 bits defined by the profile.
    pub profile: u16,
    /// Its data: a multiple of 4 bytes, at most [`RTP_EXTENSION_BYTES_MAX`].
    pub data: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The data of the one-byte element `id` (RFC 8285 section 4.2).
    pub fn element(&self, id: u8) -> Option<&'a [u8]> {
        if self.profile != PROFILE_ONE_BYTE {
            return None;
        }
        let mut rest = self.data;
        while let Some((&first, after)) = rest.split_first() {
            match first >> 4 {
                0 => rest = after,
                // Reserved: what follows is to be ignored.
                15 => return None,
                found => {
                    let bytes = usize::from(first & 0x0f) + 1;
                    let data = after.get(..bytes)?;
                    if found == id {
                        return Some(data);
                    }
                    rest = &after[bytes..];
                }
            }
        }
        None
    }
}

/// A checked view of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    /// The header extension, when there is one.
    pub extension: Option<Extension<'a>>,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Checks and views `bytes`. Contributing sources are skipped.
    ///
    /// # Errors
    /// See [`Error`]; the packet is to be dropped and counted.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, extension, header_bytes) = parse_header(bytes)?;
        let payload = &bytes[header_bytes..];
        let padding = match payload.last() {
            _ if bytes[0] & PADDING_BIT == 0 => 0,
            Some(&count) if count > 0 && usize::from(count) <= payload.len() => usize::from(count),
            last => return Err(Error::Padding { padding: last.map_or(0, |&c| c.into()), payload: payload.len() }),
        };
        Ok(Self { header, extension, payload: &payload[..payload.len() - padding] })
    }

    /// The audio level (RFC 6464): whether it is voice, and the level in -dBov, 0 the loudest.
    pub fn audio_level(&self) -> Option<(bool, u8)> {
        match self.extension?.element(AUDIO_LEVEL_ID)? {
            [level] => Some((level & 0x80 != 0, level & 0x7f)),
            _ => None,
        }
    }
}

/// The fixed header, and how many bytes it, the contributing sources and the extension take together: where the payload
/// starts. Padding is not looked at, as SRTP encrypts it (RFC 3711 section 3.1).
///
/// # Errors
/// See [`Error`].
pub fn parse_header_only(bytes: &[u8]) -> Result<(Header, usize), Error> {
    parse_header(bytes).map(|(header, _, header_bytes)| (header, header_bytes))
}

fn parse_header(bytes: &[u8]) -> Result<(Header, Option<Extension<'_>>, usize), Error> {
    let truncated = |expected| Error::Truncated { expected, actual: bytes.len() };
    let fixed: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(truncated(HEADER_BYTES))?;
    if fixed[0] >> 6 != VERSION {
        return Err(Error::Version(fixed[0] >> 6));
    }
    let header = Header {
        marker: fixed[1] & 0x80 != 0,
        payload_type: fixed[1] & 0x7f,
        sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
        timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
    };
    let mut at = HEADER_BYTES + 4 * usize::from(fixed[0] & 0x0f);
    if bytes.len() < at {
        return Err(truncated(at));
    }
    if fixed[0] & EXTENSION_BIT == 0 {
        return Ok((header, None, at));
    }
    let Some(&[p0, p1, l0, l1]) = bytes[at..].first_chunk::<4>() else {
        return Err(truncated(at + 4));
    };
    at += 4;
    let extension_bytes = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    if extension_bytes > RTP_EXTENSION_BYTES_MAX {
        return Err(Error::ExtensionTooLong(extension_bytes));
    }
    let data = bytes.get(at..at + extension_bytes).ok_or(truncated(at + extension_bytes))?;
    let extension = Extension { profile: u16::from_be_bytes([p0, p1]), data };
    Ok((header, Some(extension), at + extension_bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header =
        Header { marker: true, payload_type: PT_JPEG, sequence: 0x1234, timestamp: 0x5678_9abc, ssrc: 0xdef0_1122 };
    const HEADER_ON_WIRE: [u8; 12] = [0x80, 0x9a, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22];

    /// A packet with `first` as its first byte and `rest` behind the fixed header.
    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = HEADER_ON_WIRE.to_vec();
        bytes[0] = first;
        bytes.extend_from_slice(rest);
        bytes
    }

    fn check(first: u8, rest: &[u8], expected: Result<(Option<&[u8]>, &[u8]), Error>) {
        let bytes = packet(first, rest);
        let parsed = Packet::parse(&bytes).map(|p| {
            assert_eq!(p.header, HEADER);
            (p.extension.map(|e| e.data), p.payload)
        });
        assert_eq!(parsed, expected, "{first:#x} {rest:?}");
    }

    #[test]
    fn the_header_is_laid_out_as_in_rfc_3550() {
        let mut out = vec![7];
        HEADER.write(&mut out);
        assert_eq!(out[1..], HEADER_ON_WIRE);
    }

    #[test]
    fn every_length_a_header_announces_is_checked() {
        let truncated = |expected, actual| Err(Error::Truncated { expected, actual });
        check(0x80, &[], Ok((None, &[])));
        check(0x80, &[1, 2], Ok((None, &[1, 2])));
        check(0x40, &[], Err(Error::Version(1)));
        check(0xc0, &[], Err(Error::Version(3)));
        // Contributing sources.
        check(0x82, &[0; 8], Ok((None, &[])));
        check(0x82, &[0; 7], truncated(20, 19));
        check(0x8f, &[0; 59], truncated(72, 71));
        check(0x8f, &[0; 61], Ok((None, &[0])));
        // Extension.
        check(0x90, &[0, 0, 0], truncated(16, 15));
        check(0x90, &[0, 0, 0, 0], Ok((Some(&[]), &[])));
        check(0x90, &[0, 0, 0, 1, 9, 9, 9], truncated(20, 19));
        check(0x90, &[0, 0, 0, 1, 9, 9, 9, 9, 5], Ok((Some(&[9; 4]), &[5])));
        check(0x90, &[0, 0, 0xff, 0xff], Err(Error::ExtensionTooLong(0x3_fffc)));
        let words = (RTP_EXTENSION_BYTES_MAX / 4) as u8;
        check(0x90, &[vec![0, 0, 0, words], vec![3; 64]].concat(), Ok((Some(&[3; 64]), &[])));
        check(0x90, &[vec![0, 0, 0, words + 1], vec![3; 68]].concat(), Err(Error::ExtensionTooLong(68)));
        // Padding.
        check(0xa0, &[5, 0, 2], Ok((None, &[5])));
        check(0xa0, &[0, 0, 3], Ok((None, &[])));
        check(0xa0, &[0, 0, 4], Err(Error::Padding { padding: 4, payload: 3 }));
        check(0xa0, &[0, 0, 0], Err(Error::Padding { padding: 0, payload: 3 }));
        check(0xa0, &[], Err(Error::Padding { padding: 0, payload: 0 }));
        check(0xb0, &[0, 0, 0, 1, 9, 9, 9, 9], Err(Error::Padding { padding: 0, payload: 0 }));
        assert_eq!(Packet::parse(&HEADER_ON_WIRE[..11]), Err(Error::Truncated { expected: 12, actual: 11 }));
        assert_eq!(Packet::parse(&[]), Err(Error::Truncated { expected: 12, actual: 0 }));
    }

    #[test]
    fn the_payload_starts_where_the_header_says_even_when_the_padding_is_encrypted() {
        let bytes = packet(0xb1, &[1, 1, 1, 1, 0xbe, 0xde, 0, 1, 0x10, 0x85, 0, 0, 200, 200]);
        assert_eq!(parse_header_only(&bytes), Ok((HEADER, 24)));
        assert!(Packet::parse(&bytes).is_err());
    }

    #[test]
    fn the_audio_level_round_trips() {
        for (voice, level, expected) in [(true, 0, 0), (false, 127, 127), (true, 200, 127), (false, 33, 33)] {
            let mut out = Vec::new();
            HEADER.write_with_audio_level(voice, level, &mut out);
            assert_eq!(out.len(), HEADER_WITH_LEVEL_BYTES);
            out.extend_from_slice(b"opus");
            let p = Packet::parse(&out).expect("own packet");
            assert_eq!((p.header, p.payload), (HEADER, &b"opus"[..]));
            assert_eq!(p.audio_level(), Some((voice, expected)));
        }
    }

    #[test]
    fn extension_elements_are_walked_within_their_bounds() {
        let level = |profile: u16, data: &[u8]| {
            Packet { header: HEADER, extension: Some(Extension { profile, data }), payload: &[] }.audio_level()
        };
        assert_eq!(level(0xbede, &[0, 0, 0x10, 0x85]), Some((true, 5)), "behind padding");
        assert_eq!(level(0xbede, &[0x21, 1, 2, 0x10, 7, 0, 0, 0]), Some((false, 7)), "behind another element");
        assert_eq!(level(0xbede, &[0, 0, 0, 0x10]), None, "cut off");
        assert_eq!(level(0xbede, &[0xf0, 0x10, 7, 0]), None, "behind the reserved id");
        assert_eq!(level(0xbede, &[0x11, 7, 7, 0]), None, "of the wrong size");
        assert_eq!(level(0xbede, &[0x2f, 7, 7, 0]), None, "an element longer than the extension");
        assert_eq!(level(0x1000, &[0x10, 7, 0, 0]), None, "another profile");
    }

    proptest! {
        #[test]
        fn parsing_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::parse(&bytes).map(|p| p.audio_level());
            let _ = parse_header_only(&bytes);
        }

        #[test]
        fn parsing_bytes_that_look_like_rtp_never_panics(
            first in 0x80u8..=0xbf, rest in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let bytes = packet(first, &rest);
            if let Ok(p) = Packet::parse(&bytes) {
                let _ = p.audio_level();
                prop_assert!(p.payload.len() <= rest.len());
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..100)
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut out = Vec::new();
            header.write(&mut out);
            out.extend_from_slice(&payload);
            prop_assert_eq!(Packet::parse(&out), Ok(Packet { header, extension: None, payload: &payload }));
        }
    }
}
