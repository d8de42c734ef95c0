//! PROBE and its ANSWER: how a doctor finds out which way packets pass between two machines. In clear, to the discovery
//! group, by limited broadcast to its port, and by unicast to an instance's own socket.
//!
//! ```text
//!  0   1  'P' (0x50): neither RTP nor a sealed datagram nor discovery
//!  1   1  version (high 4 bits, 1) | 1 PROBE, 2 ANSWER
//!  2   2  length n of the body
//!  4   n  body
//!  ..     zeros: a PROBE has at least 256 bytes, an ANSWER exactly 128
//! ```
//! One PROBE is answered by two ANSWERs at most, which together are no larger: nobody's spoofed probe is amplified. The
//! body is Protocol Buffers (proto3); the numbers of the two kinds in [`super::message`], 30 and 31, are not used otherwise.
//! ```proto
//! message Probe  { fixed64 run      = 1;     // random: names what asks, as long as it runs
//!                  uint32  number   = 2;     // from 1, counted for each way
//!                  uint32  way      = 3;     // how it was sent: 1 multicast, 2 broadcast, 3 unicast
//!                  fixed64 origin   = 4;     // NTP time of sending
//!                  bool    aside    = 5;     // one ANSWER goes to the group nobody joins
//!                  bytes   conference = 6; } // 16 bytes: only its members answer; empty: everybody
//! message Answer { fixed64 run      = 1;     // these three as in the Probe
//!                  uint32  number   = 2;
//!                  uint32  way      = 3;
//!                  fixed64 origin   = 4;
//!                  fixed64 receive  = 5;     // NTP time at which the Probe came
//!                  fixed64 transmit = 6;     // and at which this was sent
//!                  fixed64 instance = 7;     // random: names who answers, as long as it runs
//!                  uint32  multicast = 8;    // Probes of this run that came so far, each way
//!                  uint32  broadcast = 9;
//!                  uint32  unicast   = 10;
//!                  bytes   conference = 11; } // 16 bytes; empty outside any conference
//! ```
//! An Answer names nobody: in a protected conference names are for members.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use prost::Message as _;

use crate::limits::DATAGRAM_BYTES_MAX;
use crate::wire::address::Family;
use crate::wire::message::ConferenceId;

/// First byte of every probe and answer.
pub const MAGIC: u8 = b'P';
/// Version of the layout.
pub const VERSION: u8 = 1;
/// Least bytes of a PROBE.
pub const PROBE_BYTES_MIN: usize = 2 * ANSWER_BYTES;
/// Bytes of an ANSWER.
pub const ANSWER_BYTES: usize = 128;
/// Port of the two groups that only the doctor uses.
pub const DOCTOR_PORT: u16 = 20_479;

const KIND_PROBE: u8 = 1;
const KIND_ANSWER: u8 = 2;
const HEAD_BYTES: usize = 4;

// All fields of an Answer at their largest, with tags.
const _: () = assert!(HEAD_BYTES + 9 + 6 + 6 + 9 + 9 + 9 + 9 + 6 + 6 + 6 + 18 <= ANSWER_BYTES);
const _: () = assert!(PROBE_BYTES_MIN <= DATAGRAM_BYTES_MAX);

/// A group nobody joins: what is sent there reaches only those whose switch floods.
pub fn aside(family: Family) -> SocketAddr {
    match family {
        Family::V4 => (Ipv4Addr::new(239, 255, 42, 98), DOCTOR_PORT).into(),
        Family::V6 => (Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x8000, 0x2a62), DOCTOR_PORT).into(),
    }
}

/// A group that is joined and left again, so that a querier says something; nothing is sent there.
pub fn provoking(family: Family) -> SocketAddr {
    match family {
        Family::V4 => (Ipv4Addr::new(239, 255, 42, 97), DOCTOR_PORT).into(),
        Family::V6 => (Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x8000, 0x2a61), DOCTOR_PORT).into(),
    }
}

/// How a probe is sent and comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// To the discovery group.
    Multicast = 1,
    /// To everybody on the link.
    Broadcast = 2,
    /// To an instance's own socket.
    Unicast = 3,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::Multicast, Way::Broadcast, Way::Unicast];

    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Way::Multicast => "multicast",
            Way::Broadcast => "broadcast",
            Way::Unicast => "unicast",
        }
    }

    /// Its place in an array of one entry for each way.
    pub fn index(self) -> usize {
        self as usize - 1
    }

    fn from_wire(number: u32) -> Option<Self> {
        Way::ALL.into_iter().find(|way| *way as u32 == number)
    }
}

/// Asks whoever it reaches for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Names what asks.
    pub run: u64,
    /// From 1, for each way.
    pub number: u32,
    /// How it was sent.
    pub way: Way,
    /// NTP time of sending.
    pub origin: u64,
    /// One answer is to go to `ASIDE`.
    pub aside: bool,
    /// Whose members are asked; everybody when `None`.
    pub conference: Option<ConferenceId>,
}

/// Says which probes have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// That of the probe.
    pub run: u64,
    /// That of the probe.
    pub number: u32,
    /// How the probe was sent.
    pub way: Way,
    /// That of the probe.
    pub origin: u64,
    /// NTP time at which the probe came.
    pub receive: u64,
    /// NTP time at which the answer went out.
    pub transmit: u64,
    /// Names who answers.
    pub instance: u64,
    /// Probes of the run that came so far, by [`Way::index`].
    pub heard: [u32; 3],
    /// The conference of who answers.
    pub conference: Option<ConferenceId>,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A question.
    Probe(Probe),
    /// An answer.
    Answer(Answer),
}

/// Why a datagram is none of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong length for its kind, or for its body.
    #[error("probe of {0} bytes")]
    Length(usize),
    /// First byte or version.
    #[error("not a probe of version {VERSION}")]
    Foreign,
    /// A kind of the future.
    #[error("probe of unknown kind {0}")]
    Kind(u8),
    /// Not Protocol Buffers, or fields of another type.
    #[error("probe cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field outside its bounds.
    #[error("probe with a bad {0}")]
    Field(&'static str),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProbeBody {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(uint32, tag = "2")]
    number: u32,
    #[prost(uint32, tag = "3")]
    way: u32,
    #[prost(fixed64, tag = "4")]
    origin: u64,
    #[prost(bool, tag = "5")]
    aside: bool,
    #[prost(bytes = "vec", tag = "6")]
    conference: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerBody {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(uint32, tag = "2")]
    number: u32,
    #[prost(uint32, tag = "3")]
    way: u32,
    #[prost(fixed64, tag = "4")]
    origin: u64,
    #[prost(fixed64, tag = "5")]
    receive: u64,
    #[prost(fixed64, tag = "6")]
    transmit: u64,
    #[prost(fixed64, tag = "7")]
    instance: u64,
    #[prost(uint32, tag = "8")]
    multicast: u32,
    #[prost(uint32, tag = "9")]
    broadcast: u32,
    #[prost(uint32, tag = "10")]
    unicast: u32,
    #[prost(bytes = "vec", tag = "11")]
    conference: Vec<u8>,
}

/// Whether a datagram is meant to be a probe or an answer: what comes to a port that others use too is told apart so.
pub fn is_ours(datagram: &[u8]) -> bool {
    datagram.first() == Some(&MAGIC)
}

impl Probe {
    /// Writes the probe into `out`, which is cleared first, `bytes` long or as long as it must be and may be.
    pub fn write(&self, bytes: usize, out: &mut Vec<u8>) {
        let body = ProbeBody {
            run: self.run,
            number: self.number,
            way: self.way as u32,
            origin: self.origin,
            aside: self.aside,
            conference: self.conference.map_or_else(Vec::new, |id| id.0.to_vec()),
        };
        write(KIND_PROBE, &body, bytes.clamp(PROBE_BYTES_MIN, DATAGRAM_BYTES_MAX), out);
    }
}

impl Answer {
    /// Writes the answer into `out`, which is cleared first.
    pub fn write(&self, out: &mut Vec<u8>) {
        let body = AnswerBody {
            run: self.run,
            number: self.number,
            way: self.way as u32,
            origin: self.origin,
            receive: self.receive,
            transmit: self.transmit,
            instance: self.instance,
            multicast: self.heard[0],
            broadcast: self.heard[1],
            unicast: self.heard[2],
            conference: self.conference.map_or_else(Vec::new, |id| id.0.to_vec()),
        };
        write(KIND_ANSWER, &body, ANSWER_BYTES, out);
    }
}

fn write(kind: u8, body: &impl prost::Message, bytes: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[MAGIC, VERSION << 4 | kind]);
    // Both bodies are far below 64 KiB.
    out.extend_from_slice(&(body.encoded_len() as u16).to_be_bytes());
    // A vector has room for everything.
    let _ = body.encode(out);
    out.resize(bytes, 0);
}

/// Takes a datagram apart.
///
/// # Errors
/// See [`Error`]; what is not [`is_ours`] is foreign.
pub fn parse(datagram: &[u8]) -> Result<Datagram, Error> {
    let length = datagram.len();
    let Some((&[magic, kind, high, low], rest)) = datagram.split_first_chunk::<HEAD_BYTES>() else {
        return Err(Error::Length(length));
    };
    if magic != MAGIC || kind >> 4 != VERSION {
        return Err(Error::Foreign);
    }
    let body = rest.get(..usize::from(u16::from_be_bytes([high, low]))).ok_or(Error::Length(length))?;
    match kind & 15 {
        KIND_PROBE if (PROBE_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&length) => {
            let b = ProbeBody::decode(body)?;
            Ok(Datagram::Probe(Probe {
                run: b.run,
                number: number(b.number)?,
                way: way(b.way)?,
                origin: b.origin,
                aside: b.aside,
                conference: conference(&b.conference)?,
            }))
        }
        KIND_ANSWER if length == ANSWER_BYTES => {
            let b = AnswerBody::decode(body)?;
            Ok(Datagram::Answer(Answer {
                run: b.run,
                number: number(b.number)?,
                way: way(b.way)?,
                origin: b.origin,
                receive: b.receive,
                transmit: b.transmit,
                instance: b.instance,
                heard: [b.multicast, b.broadcast, b.unicast],
                conference: conference(&b.conference)?,
            }))
        }
        KIND_PROBE | KIND_ANSWER => Err(Error::Length(length)),
        unknown => Err(Error::Kind(unknown)),
    }
}

fn number(number: u32) -> Result<u32, Error> {
    if number == 0 { Err(Error::Field("number")) } else { Ok(number) }
}

fn way(number: u32) -> Result<Way, Error> {
    Way::from_wire(number).ok_or(Error::Field("way"))
}

fn conference(bytes: &[u8]) -> Result<Option<ConferenceId>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    <[u8; 16]>::try_from(bytes).map(|id| Some(ConferenceId(id))).map_err(|_| Error::Field("conference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Probe = Probe { run: 7, number: 3, way: Way::Broadcast, origin: 9, aside: true, conference: None };

    fn answer() -> Answer {
        Answer {
            run: u64::MAX,
            number: u32::MAX,
            way: Way::Unicast,
            origin: u64::MAX,
            receive: u64::MAX,
            transmit: u64::MAX,
            instance: u64::MAX,
            heard: [u32::MAX; 3],
            conference: Some(ConferenceId([0xff; 16])),
        }
    }

    #[test]
    fn both_kinds_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        for length in [0, 256, 1_400, 9_999] {
            let probe = Probe { conference: Some(ConferenceId([4; 16])), ..PROBE };
            probe.write(length, &mut bytes);
            assert_eq!(bytes.len(), length.clamp(256, DATAGRAM_BYTES_MAX));
            assert_eq!(parse(&bytes).unwrap(), Datagram::Probe(probe));
        }
        answer().write(&mut bytes);
        assert_eq!(bytes.len(), ANSWER_BYTES, "however large its numbers");
        assert_eq!(parse(&bytes).unwrap(), Datagram::Answer(answer()));
        assert!(is_ours(&bytes) && !is_ours(b"D") && !is_ours(&[]));
    }

    #[test]
    fn two_answers_are_no_larger_than_a_probe() {
        let (mut question, mut reply) = (Vec::new(), Vec::new());
        PROBE.write(0, &mut question);
        answer().write(&mut reply);
        assert!(2 * reply.len() <= question.len());
        question.truncate(PROBE_BYTES_MIN - 1);
        assert!(matches!(parse(&question), Err(Error::Length(255))), "a shorter one is not answered");
    }

    #[test]
    fn what_is_neither_is_refused() {
        let mut bytes = Vec::new();
        PROBE.write(0, &mut bytes);
        let with = |at: usize, byte: u8| {
            let mut b = bytes.clone();
            b[at] = byte;
            parse(&b)
        };
        assert!(matches!(with(0, b'D'), Err(Error::Foreign)));
        assert!(matches!(with(1, 0x21), Err(Error::Foreign)));
        assert!(matches!(with(1, 0x1f), Err(Error::Kind(15))));
        assert!(matches!(with(1, 0x12), Err(Error::Length(256))), "an answer has a length of its own");
        assert!(matches!(with(2, 0xff), Err(Error::Length(256))), "a body longer than the datagram");
        assert!(matches!(parse(&[]), Err(Error::Length(0))));
        Probe { number: 0, ..PROBE }.write(0, &mut bytes);
        assert!(matches!(parse(&bytes), Err(Error::Field("number"))));
    }
}
