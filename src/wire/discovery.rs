//! QUERY and ANNOUNCE: how conferences are found. In clear, on [`Scope::discovery`](super::address::Scope::discovery)
//! and, on a link, by limited broadcast to the same port.
//!
//! ```text
//! QUERY, 128 bytes                                ANNOUNCE
//!  0   1  'D' (0x44)                               0   1  'D'
//!  1   1  version (high 4 bits, 1) | 1             1   1  version | 2
//!  2   2  flags: bit 0 = answer by unicast too     2   2  length n of the body
//!  4   8  nonce                                    4   n  body
//! 12 116  zeros                                  4+n  64  Ed25519 signature
//! ```
//! The padding makes sure that no answer is larger than three times the query: nobody's spoofed query is amplified.
//! The signature is made as in [`super::message`], kind 64. The body is Protocol Buffers (proto3):
//! ```proto
//! message Announcement {
//!     bytes   conference   = 1;    // 16 bytes
//!     string  title        = 2;    // at most 96 bytes
//!     bool    open         = 3;    // anyone on the network can watch
//!     uint32  family       = 4;    // 4 = IPv4, 6 = IPv6
//!     fixed32 base         = 5;    // base address of the block; IPv6: its last four bytes
//!     uint32  port         = 6;    // base port
//!     uint32  epoch        = 7;
//!     uint32  participants = 8;    // 0: over, forget it
//!     uint32  publishers   = 9;
//!     fixed64 nonce        = 10;   // the announcer's own, random for each ANNOUNCE
//!     fixed64 key_check    = 11;   // first 8 bytes of HMAC-SHA256(check key, nonce || epoch)
//!     bytes   announcer    = 12;   // Ed25519 public key, 32 bytes
//!     fixed64 sid          = 13;   // the announcer's session
//!     uint64  counter      = 14;   // strictly increasing for each sid: an old ANNOUNCE cannot be sent again
//!     bool    locked       = 17;   // newcomers have to knock
//! }                                // 15 KDF parameters and 16 relays are kept for later use
//! ```
//! The check key is derived from the passphrase's key (see `protocol::keys`), so a newcomer knows at once whether the
//! passphrase is right.

use prost::Message as _;

use crate::limits::{DATAGRAM_BYTES_MAX, TITLE_BYTES_MAX};
use crate::wire::message::{PUBLIC_KEY_BYTES, SIGNATURE_BYTES};

/// First byte of every discovery datagram.
pub const MAGIC: u8 = b'D';
/// Version of these layouts.
pub const VERSION: u8 = 1;
/// Bytes of a QUERY, padding included.
pub const QUERY_BYTES: usize = 128;
/// Largest ANNOUNCE: three times the query it answers.
pub const ANNOUNCE_BYTES_MAX: usize = 3 * QUERY_BYTES;

const KIND_QUERY: u8 = 1;
const KIND_ANNOUNCE: u8 = 2;
const HEAD_BYTES: usize = 4;

const _: () = assert!(ANNOUNCE_BYTES_MAX <= DATAGRAM_BYTES_MAX);
// All fields of an Announcement but the title, at their largest, with tags.
const _: () = assert!(
    HEAD_BYTES + 18 + 2 + TITLE_BYTES_MAX + 2 + 2 + 5 + 4 + 6 + 6 + 6 + 9 + 9 + 34 + 9 + 11 + 3 + SIGNATURE_BYTES
        <= ANNOUNCE_BYTES_MAX
);

/// Asks which conferences there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Answer by unicast as well as by multicast.
    pub unicast: bool,
    /// Random; orders those who could answer.
    pub nonce: u64,
}

/// Says that a conference exists.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Announcement {
    /// Conference id, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub conference: Vec<u8>,
    /// As its owner typed it.
    #[prost(string, tag = "2")]
    pub title: String,
    /// No passphrase.
    #[prost(bool, tag = "3")]
    pub open: bool,
    /// 4 for IPv4, 6 for IPv6.
    #[prost(uint32, tag = "4")]
    pub family: u32,
    /// Base address of the block, or the group id of an IPv6 one.
    #[prost(fixed32, tag = "5")]
    pub base: u32,
    /// Base port.
    #[prost(uint32, tag = "6")]
    pub port: u32,
    /// Epoch.
    #[prost(uint32, tag = "7")]
    pub epoch: u32,
    /// Participants, observers not counted; 0 when the last one leaves.
    #[prost(uint32, tag = "8")]
    pub participants: u32,
    /// Those of them who hold a slot.
    #[prost(uint32, tag = "9")]
    pub publishers: u32,
    /// The announcer's own.
    #[prost(fixed64, tag = "10")]
    pub nonce: u64,
    /// Proof that the announcer has the passphrase's key, and test of one's own.
    #[prost(fixed64, tag = "11")]
    pub key_check: u64,
    /// Announcer's public key, 32 bytes.
    #[prost(bytes = "vec", tag = "12")]
    pub announcer: Vec<u8>,
    /// Announcer's session.
    #[prost(fixed64, tag = "13")]
    pub sid: u64,
    /// Strictly increasing for each sid.
    #[prost(uint64, tag = "14")]
    pub counter: u64,
    /// Newcomers have to knock.
    #[prost(bool, tag = "17")]
    pub locked: bool,
}

/// An ANNOUNCE taken apart, its signature not yet checked.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedAnnouncement<'a> {
    /// The fields, within the bounds.
    pub announcement: Announcement,
    /// The body as sent: what the signature covers.
    pub body: &'a [u8],
    /// Signature.
    pub signature: &'a [u8; SIGNATURE_BYTES],
}

/// A discovery datagram.
#[derive(Clone, Debug, PartialEq)]
pub enum Datagram<'a> {
    /// A question.
    Query(Query),
    /// An answer, or an announcement unasked.
    Announce(SignedAnnouncement<'a>),
}

/// Why a datagram is none of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong length for its kind.
    #[error("discovery datagram of {0} bytes")]
    Length(usize),
    /// First byte or version.
    #[error("not a discovery datagram of version {VERSION}")]
    Foreign,
    /// A kind of the future.
    #[error("discovery datagram of unknown kind {0}")]
    Kind(u8),
    /// Not Protocol Buffers, or fields of another type.
    #[error("announcement cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field outside its bounds.
    #[error("announcement with a bad {0}")]
    Field(&'static str),
}

impl Query {
    /// The query as it stands on the wire.
    pub fn to_bytes(&self) -> [u8; QUERY_BYTES] {
        let mut b = [0; QUERY_BYTES];
        b[0] = MAGIC;
        b[1] = VERSION << 4 | KIND_QUERY;
        b[3] = u8::from(self.unicast);
        b[4..12].copy_from_slice(&self.nonce.to_be_bytes());
        b
    }
}

/// Writes an ANNOUNCE into `out`, which is cleared first; `sign` makes the signature of the body.
pub fn write_announce(a: &Announcement, out: &mut Vec<u8>, sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES]) {
    out.clear();
    let length = a.encoded_len() as u16;
    out.extend_from_slice(&[MAGIC, VERSION << 4 | KIND_ANNOUNCE]);
    out.extend_from_slice(&length.to_be_bytes());
    a.encode_raw(out);
    let signature = sign(&out[HEAD_BYTES..]);
    out.extend_from_slice(&signature);
}

/// Takes a discovery datagram apart.
pub fn parse(datagram: &[u8]) -> Result<Datagram<'_>, Error> {
    let Some((&[magic, kind, high, low], rest)) = datagram.split_first_chunk::<HEAD_BYTES>() else {
        return Err(Error::Length(datagram.len()));
    };
    if magic != MAGIC || kind >> 4 != VERSION {
        return Err(Error::Foreign);
    }
    match kind & 15 {
        KIND_QUERY => {
            let Some((nonce, _)) = rest.split_first_chunk::<8>() else {
                return Err(Error::Length(datagram.len()));
            };
            if datagram.len() != QUERY_BYTES {
                return Err(Error::Length(datagram.len()));
            }
            Ok(Datagram::Query(Query { unicast: low & 1 == 1, nonce: u64::from_be_bytes(*nonce) }))
        }
        KIND_ANNOUNCE => {
            if datagram.len() > ANNOUNCE_BYTES_MAX {
                return Err(Error::Length(datagram.len()));
            }
            let Some((body, signature)) = rest.split_last_chunk::<SIGNATURE_BYTES>() else {
                return Err(Error::Length(datagram.len()));
            };
            if body.len() != usize::from(u16::from_be_bytes([high, low])) {
                return Err(Error::Length(datagram.len()));
            }
            let announcement = Announcement::decode(body)?;
            check(&announcement)?;
            Ok(Datagram::Announce(SignedAnnouncement { announcement, body, signature }))
        }
        other => Err(Error::Kind(other)),
    }
}

fn check(a: &Announcement) -> Result<(), Error> {
    if a.conference.len() != 16 {
        return Err(Error::Field("conference id"));
    }
    if a.announcer.len() != PUBLIC_KEY_BYTES {
        return Err(Error::Field("public key"));
    }
    if a.title.len() > TITLE_BYTES_MAX {
        return Err(Error::Field("title"));
    }
    if !matches!(a.family, 4 | 6) {
        return Err(Error::Field("family"));
    }
    if a.port > u32::from(u16::MAX) {
        return Err(Error::Field("port"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
        Announcement {
            conference: vec![7; 16],
            title: "Standup".into(),
            open: true,
            family: 4,
            base: 0xefff_0400,
            port: 20_480,
            epoch: u32::MAX,
            participants: 3,
            publishers: 2,
            nonce: u64::MAX,
            key_check: 1,
            announcer: vec![9; 32],
            sid: 4,
            counter: u64::MAX,
            locked: true,
        }
    }

    fn written(a: &Announcement) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        write_announce(a, &mut out, |_| [5; SIGNATURE_BYTES]);
        out
    }

    #[test]
    fn a_query_round_trips_and_is_padded() {
        let q = Query { unicast: true, nonce: 0x0102_0304_0506_0708 };
        let bytes = q.to_bytes();
        assert_eq!(bytes[..12], [b'D', 0x11, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(parse(&bytes).unwrap(), Datagram::Query(q));
        assert!(
            matches!(parse(&bytes[..QUERY_BYTES - 1]), Err(Error::Length(127))),
            "an unpadded query is not answered"
        );
        assert!(matches!(parse(&[bytes.as_slice(), &[0]].concat()), Err(Error::Length(129))));
    }

    #[test]
    fn an_announcement_round_trips() {
        let a = announcement();
        let bytes = written(&a);
        let Ok(Datagram::Announce(s)) = parse(&bytes) else { panic!("not an announcement") };
        assert_eq!(s.announcement, a);
        assert_eq!(s.signature, &[5; SIGNATURE_BYTES]);
        assert_eq!(s.body, a.encode_to_vec());
        assert_eq!(bytes[..2], [b'D', 0x12]);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), s.body.len());
    }

    #[test]
    fn fields_are_checked_at_their_edges() {
        type Change = fn(&mut Announcement);
        let rows: [(&str, Change, bool); 10] = [
            ("title of 96 bytes", |a| a.title = "x".repeat(96), true),
            ("title of 97 bytes", |a| a.title = "x".repeat(97), false),
            ("id of 15 bytes", |a| a.conference.truncate(15), false),
            ("id of 17 bytes", |a| a.conference.push(0), false),
            ("key of 31 bytes", |a| a.announcer.truncate(31), false),
            ("port 65535", |a| a.port = 65_535, true),
            ("port 65536", |a| a.port = 65_536, false),
            ("family 6", |a| a.family = 6, true),
            ("family 5", |a| a.family = 5, false),
            ("no participants", |a| a.participants = 0, true),
        ];
        for (what, change, accepted) in rows {
            let mut a = announcement();
            change(&mut a);
            assert_eq!(parse(&written(&a)).is_ok(), accepted, "{what}");
        }
    }

    #[test]
    fn truncated_and_foreign_datagrams_are_refused() {
        let bytes = written(&announcement());
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        let with = |at: usize, byte: u8| {
            let mut b = bytes.clone();
            b[at] = byte;
            parse(&b).map(|_| ())
        };
        assert!(matches!(with(0, b'L'), Err(Error::Foreign)));
        assert!(matches!(with(1, 0x22), Err(Error::Foreign)));
        assert!(matches!(with(1, 0x13), Err(Error::Kind(3))));
    }

    #[test]
    fn the_largest_announcement_is_at_most_three_queries() {
        let a = Announcement {
            title: "x".repeat(TITLE_BYTES_MAX),
            port: 63_488,
            participants: 1_024,
            publishers: 124,
            ..announcement()
        };
        assert!(written(&a).len() <= ANNOUNCE_BYTES_MAX);
    }
}
