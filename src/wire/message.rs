//! The messages inside a sealed datagram of class control, in Protocol Buffers (proto3) encoding.
//!
//! ```proto
//! message Body    { repeated Message messages = 1; }       // at most 32
//! message Message { oneof kind {                           // unknown kinds and fields are skipped
//!     Signed beacon = 1;  Signed join = 2;  Signed bye = 4;
//!     Original chat = 5;  Heartbeat heartbeat = 6;  Nack nack = 7;  Repair repair = 8;     // see wire::chat
//!     Interest interest = 9;  Report report = 27;             // see wire::interest
//!     RepairRequest repair_request = 10;                   // see wire::repair
//!     Ping   ping   = 20; Pong   pong = 21;
//!     HistoryRequest history_request = 22;  HistoryAnswer history_answer = 23;
//!     Signed offer = 11;  Signed accept = 12;  Signed decline = 13;  Signed done = 15;     // see wire::object
//!     Signed kick = 16;  Rekey rekey = 17;  Chain chain = 24;  Signed knock = 25;  Signed refusal = 26;    // wire::door
//!     Introduction introduction = 28; } }                  // see wire::relay
//! message Signed  { bytes  signer    = 1;                  // Ed25519 public key, 32 bytes; left out where said
//!                   uint64 counter   = 2;                  // strictly increasing for each session id, and no higher
//!                                                          // than the number of the packet it comes in
//!                   bytes  payload   = 3;                  // an encoded Beacon, Join or Bye
//!                   bytes  signature = 4; }                // 64 bytes, see below
//! message Beacon  { string  name        = 1;               // at most 64 bytes
//!                   fixed64 joined      = 2;               // NTP time of joining, by the sender's clock
//!                   uint32  role        = 3;               // 0 participant, 1 observer
//!                   uint32  slot        = 4;               // 0 none, else slot + 1
//!                   uint32  microphone  = 5;               // 0 none, 1 on, 2 muted
//!                   uint32  camera      = 6;               // 0 off, 1 on, 2 failed
//!                   string  camera_text = 7;               // why it failed, at most 128 bytes
//!                   repeated Stream streams = 8;           // at most 5, all that are sent
//!                   fixed32 address     = 9;               // IPv4 address of the sender's own socket
//!                   uint32  port        = 10;              // and its port
//!                   uint32  suffix      = 11;              // 0 none claimed, else the number behind the name + 1
//!                   repeated fixed64 answers = 12;         // nonces of the Joins this answers, at most 32
//!                   Heartbeat chat      = 13;              // left out while nothing was said
//!                   uint32  attention   = 14;              // bits: 1 hand raised, 2 away, 4 speaks with priority
//!                   fixed64 door        = 15;              // digest of what is known of wire::door; 0 nothing
//!                   bytes   address6    = 16;              // its IPv6 address, 16 bytes; `address` is 0 then
//!                   bool    wireless    = 17;              // on a wireless network: its losses throttle nobody else
//!                   uint32  reach       = 19;              // hears 0 all groups, 1 the control group, 2 none
//!                   uint32  direct      = 20;              // port at that address for copies of streams; 0 none
//!                   bool    single      = 21;              // its streams go to the control group
//!                   uint64  since       = 22;              // not 0: nothing but chat and door stands here, and no signer
//!                                                          // in Signed: all as in the Beacons of this counter and later
//!                   bytes   favoured    = 23; }            // whom the sender, if it decides, lets speak with priority:
//!                                                          // participant ids, 16 bytes each, at most 8
//! message Stream  { uint32  kind      = 1;                 // 0 audio (Opus), 1 + layer for video (JPEG)
//!                   fixed32 ssrc      = 2;
//!                   uint32  width     = 3;                 // true size: receivers crop the padding
//!                   uint32  height    = 4;
//!                   uint32  fps_milli = 5;                 // pictures in 1,000 seconds
//!                   uint64  position  = 6;                 // roll-over counter << 16 | last sequence number
//!                   bool    active    = 7;                 // packets are being sent now: somebody wants them
//!                   fixed32 repair_ssrc = 8;               // of its parity or redundancy; 0: there is none
//!                   uint64  repair_position = 9; }         // of those, as above
//! message Join    { fixed64 nonce  = 1;                    // random; the answers echo it
//!                   Beacon  beacon = 2;                    // of the one who joins
//!                   bytes   known  = 3; }                  // first two bytes of the id of each member known already
//! message Bye     { uint32  reason = 1; }                  // 0 left
//! message Ping    { fixed64 nonce = 1; fixed64 origin = 2; } // origin: NTP time of sending
//! message Pong    { fixed64 nonce = 1; fixed64 origin = 2; // both as in the Ping
//!                   fixed64 receive = 3; fixed64 transmit = 4; } // at the one who answers (RFC 5905 section 8)
//! ```
//! Numbers kept for later kinds of `Message`: 3 roster, 18 lock, 19 title; 14 is spoken in datagrams of its own
//! ([`super::object`]), and so are 30 and 31 ([`super::probe`]).
//!
//! **Signed messages.** The signature (Ed25519, RFC 8032) is over these bytes, all fields before the payload of fixed
//! width, numbers in network order, so that what one member said cannot be said again by another, elsewhere or later:
//! ```text
//! "roundtable sig" (14) | kind (1) | conference id (16) | epoch (4) | signer's participant id (16) | sid (8)
//!     | counter (8) | payload as sent
//! ```
//! `kind` is the field number in `Message` (an ANNOUNCE, which is not sealed, has 64). `sid` is that of the datagram's
//! header; an Original, which others pass on, carries its own.

use std::fmt;

use crate::wire::chat::{Heartbeat, HistoryAnswer, HistoryRequest, Nack, Original, Packet, Repair};
use crate::wire::door::{self, Chain, Rekey};
use crate::wire::interest::{Interest, Report};
use crate::wire::repair::RepairRequest;

/// Number of a Beacon in a signature's context.
pub const KIND_BEACON: u8 = 1;
/// Number of a Join in a signature's context.
pub const KIND_JOIN: u8 = 2;
/// Number of a Bye in a signature's context.
pub const KIND_BYE: u8 = 4;
/// Number of an ANNOUNCE in a signature's context.
pub const KIND_ANNOUNCE: u8 = 64;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of an Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// Names a conference: 16 bytes that depend on its owner's key and on chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConferenceId(pub [u8; 16]);

/// Names a participant: the first 16 bytes of SHA-256 of the public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(pub [u8; 16]);

impl Message {
    /// Appends the body of a datagram with this message alone.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        prost::encoding::message::encode(1, self, out);
    }
}

impl fmt::Display for ConferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for ConferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// What a sealed control datagram holds. It is written by [`Message::write_body`] and read by [`super::opened`].
#[cfg(test)]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Body {
    /// In the order they are to be worked on.
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// `None`: a kind of the future.
    #[prost(
        oneof = "Kind",
        tags = "1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27, 28"
    )]
    pub kind: Option<Kind>,
}

impl From<Packet> for Message {
    fn from(packet: Packet) -> Self {
        Self { kind: Some(packet.into()) }
    }
}

/// The kinds of message.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// State of a member, sent regularly and on change.
    #[prost(message, tag = "1")]
    Beacon(Signed),
    /// Somebody comes in.
    #[prost(message, tag = "2")]
    Join(Signed),
    /// Somebody leaves.
    #[prost(message, tag = "4")]
    Bye(Signed),
    /// A piece of a line, by its author, for the first time.
    #[prost(message, tag = "5")]
    Chat(Original),
    /// How far the sender has spoken and heard.
    #[prost(message, tag = "6")]
    Heartbeat(Heartbeat),
    /// Asks for pieces that are missing.
    #[prost(message, tag = "7")]
    Nack(Nack),
    /// Pieces once more, by their author or by anybody who has them.
    #[prost(message, tag = "8")]
    Repair(Repair),
    /// Asks for layers of pictures.
    #[prost(message, tag = "9")]
    Interest(Interest),
    /// Tells how they arrive.
    #[prost(message, tag = "27")]
    Report(Report),
    /// Asks for parity of a video frame.
    #[prost(message, tag = "10")]
    RepairRequest(RepairRequest),
    /// Asks for an answer, for the clock offset and to see who is alive.
    #[prost(message, tag = "20")]
    Ping(Ping),
    /// The answer.
    #[prost(message, tag = "21")]
    Pong(Pong),
    /// A late joiner asks one member for what was said before.
    #[prost(message, tag = "22")]
    HistoryRequest(HistoryRequest),
    /// A part of the answer.
    #[prost(message, tag = "23")]
    HistoryAnswer(HistoryAnswer),
    /// Somebody has a file to give ([`super::object`]).
    #[prost(message, tag = "11")]
    Offer(Signed),
    /// Somebody wants it.
    #[prost(message, tag = "12")]
    Accept(Signed),
    /// Somebody does not.
    #[prost(message, tag = "13")]
    Decline(Signed),
    /// Somebody has it.
    #[prost(message, tag = "15")]
    Done(Signed),
    /// Somebody is put out, or may come in again.
    #[prost(message, tag = "16")]
    Kick(Signed),
    /// Another epoch.
    #[prost(message, tag = "17")]
    Rekey(Rekey),
    /// Who may decide.
    #[prost(message, tag = "24")]
    Chain(Chain),
    /// Somebody asks to be let in.
    #[prost(message, tag = "25")]
    Knock(Signed),
    /// Somebody is not.
    #[prost(message, tag = "26")]
    Refusal(Signed),
    /// Where others are who hear no group.
    #[prost(message, tag = "28")]
    Introduction(super::relay::Introduction),
}

impl From<door::Packet> for Kind {
    fn from(packet: door::Packet) -> Self {
        match packet {
            door::Packet::Ban(signed) => Kind::Kick(signed),
            door::Packet::Rekey(rekey) => Kind::Rekey(rekey),
            door::Packet::Chain(chain) => Kind::Chain(chain),
            door::Packet::Knock(signed) => Kind::Knock(signed),
            door::Packet::Refusal(signed) => Kind::Refusal(signed),
        }
    }
}

impl From<Packet> for Kind {
    fn from(packet: Packet) -> Self {
        match packet {
            Packet::Chat(original) => Kind::Chat(original),
            Packet::Heartbeat(heartbeat) => Kind::Heartbeat(heartbeat),
            Packet::Nack(nack) => Kind::Nack(nack),
            Packet::Repair(repair) => Kind::Repair(repair),
            Packet::HistoryRequest(request) => Kind::HistoryRequest(request),
            Packet::HistoryAnswer(answer) => Kind::HistoryAnswer(answer),
        }
    }
}

/// A message with its origin's signature.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Signed {
    /// Ed25519 public key.
    #[prost(bytes = "vec", tag = "1")]
    pub signer: Vec<u8>,
    /// Strictly increasing for each session id.
    #[prost(uint64, tag = "2")]
    pub counter: u64,
    /// Encoded Beacon, Join or Bye.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// Ed25519 signature over the bytes of [`SignatureContext`].
    #[prost(bytes = "vec", tag = "4")]
    pub signature: Vec<u8>,
}

/// State of a member.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Beacon {
    /// As its owner typed it.
    #[prost(string, tag = "1")]
    pub name: String,
    /// NTP time of joining.
    #[prost(fixed64, tag = "2")]
    pub joined: u64,
    /// 0 participant, 1 observer.
    #[prost(uint32, tag = "3")]
    pub role: u32,
    /// 0 none, else slot + 1.
    #[prost(uint32, tag = "4")]
    pub slot: u32,
    /// 0 none, 1 on, 2 muted.
    #[prost(uint32, tag = "5")]
    pub microphone: u32,
    /// 0 off, 1 on, 2 failed.
    #[prost(uint32, tag = "6")]
    pub camera: u32,
    /// Why the camera failed.
    #[prost(string, tag = "7")]
    pub camera_text: String,
    /// Everything sent.
    #[prost(message, repeated, tag = "8")]
    pub streams: Vec<Stream>,
    /// IPv4 address of the sender's own socket.
    #[prost(fixed32, tag = "9")]
    pub address: u32,
    /// Its port.
    #[prost(uint32, tag = "10")]
    pub port: u32,
    /// 0 none claimed, else the number behind the name + 1.
    #[prost(uint32, tag = "11")]
    pub suffix: u32,
    /// Nonces of the Joins this answers.
    #[prost(fixed64, repeated, tag = "12")]
    pub answers: Vec<u64>,
    /// How far the sender has spoken and heard; `None` while nothing was said.
    #[prost(message, optional, tag = "13")]
    pub chat: Option<Heartbeat>,
    /// Bits: 1 hand raised, 2 away, 4 speaks with priority.
    #[prost(uint32, tag = "14")]
    pub attention: u32,
    /// Digest of what is known of [`super::door`]; 0 nothing.
    #[prost(fixed64, tag = "15")]
    pub door: u64,
    /// IPv6 address of the sender's own socket; empty when it has an IPv4 one.
    #[prost(bytes = "vec", tag = "16")]
    pub address6: Vec<u8>,
    /// What the sender hears: 0 all groups, 1 the control group, 2 none.
    #[prost(uint32, tag = "19")]
    pub reach: u32,
    /// Port at the sender's address for copies of streams; 0 none.
    #[prost(uint32, tag = "20")]
    pub direct: u32,
    /// The sender's streams go to the control group.
    #[prost(bool, tag = "21")]
    pub single: bool,
    /// On a wireless network.
    #[prost(bool, tag = "17")]
    pub wireless: bool,
    /// Not 0: all else but the chat is as in the Beacons of this counter and later.
    #[prost(uint64, tag = "22")]
    pub since: u64,
    /// Whom the sender, who owns or moderates the conference, lets speak with priority: participant ids, 16 bytes each.
    #[prost(bytes = "vec", tag = "23")]
    pub favoured: Vec<u8>,
}

/// One stream of a publisher.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Stream {
    /// [`crate::wire::StreamKind::to_wire`].
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// RTP synchronisation source.
    #[prost(fixed32, tag = "2")]
    pub ssrc: u32,
    /// True width in pixels, 0 for audio.
    #[prost(uint32, tag = "3")]
    pub width: u32,
    /// True height in pixels, 0 for audio.
    #[prost(uint32, tag = "4")]
    pub height: u32,
    /// Pictures in 1,000 seconds, 0 for audio.
    #[prost(uint32, tag = "5")]
    pub fps_milli: u32,
    /// Roll-over counter << 16 | last sequence number.
    #[prost(uint64, tag = "6")]
    pub position: u64,
    /// Packets are being sent now.
    #[prost(bool, tag = "7")]
    pub active: bool,
    /// Synchronisation source of its parity or redundancy; 0: there is none.
    #[prost(fixed32, tag = "8")]
    pub repair_ssrc: u32,
    /// Where those are, as `position`.
    #[prost(uint64, tag = "9")]
    pub repair_position: u64,
}

/// Somebody comes in.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Join {
    /// Echoed by the answers.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
    /// State of the one who joins.
    #[prost(message, optional, tag = "2")]
    pub beacon: Option<Beacon>,
    /// First two bytes of the id of each member known already: they need not answer.
    #[prost(bytes = "vec", tag = "3")]
    pub known: Vec<u8>,
}

/// Somebody leaves.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Bye {
    /// 0 left.
    #[prost(uint32, tag = "1")]
    pub reason: u32,
}

/// Asks for an answer.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Ping {
    /// Random.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
    /// NTP time of sending.
    #[prost(fixed64, tag = "2")]
    pub origin: u64,
}

/// Answers a [`Ping`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Pong {
    /// That of the Ping.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
    /// That of the Ping.
    #[prost(fixed64, tag = "2")]
    pub origin: u64,
    /// NTP time at which the Ping came.
    #[prost(fixed64, tag = "3")]
    pub receive: u64,
    /// NTP time at which this was sent.
    #[prost(fixed64, tag = "4")]
    pub transmit: u64,
}

/// Whom and when a signature binds; see the module's description.
#[derive(Clone, Copy, Debug)]
pub struct SignatureContext {
    /// `KIND_*`.
    pub kind: u8,
    /// The conference it is said in.
    pub conference: ConferenceId,
    /// The epoch it is said in.
    pub epoch: u32,
    /// Who says it.
    pub signer: ParticipantId,
    /// Session it is said in.
    pub sid: u64,
    /// Position among what was said in the session.
    pub counter: u64,
}

impl SignatureContext {
    /// The bytes that are signed, into `out`, which is cleared first.
    pub fn write(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"roundtable sig");
        out.push(self.kind);
        out.extend_from_slice(&self.conference.0);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.signer.0);
        out.extend_from_slice(&self.sid.to_be_bytes());
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn field_numbers_are_those_of_the_table() {
        let stream = Stream {
            kind: 3,
            ssrc: 0x0102_0304,
            width: 1280,
            height: 720,
            fps_milli: 30_000,
            position: 65_537,
            ..Stream::default()
        };
        let expected =
            [8, 3, 0x15, 4, 3, 2, 1, 0x18, 0x80, 10, 0x20, 0xd0, 5, 0x28, 0xb0, 0xea, 1, 0x30, 0x81, 0x80, 4];
        assert_eq!(stream.encode_to_vec(), expected);
        let ping = Message { kind: Some(Kind::Ping(Ping { nonce: 1, origin: 2 })) };
        let body = Body { messages: vec![ping] }.encode_to_vec();
        assert_eq!(body[..5], [0x0a, 0x15, 0xa2, 0x01, 0x12], "message 1, kind 20, 18 bytes");
        let bye = Message { kind: Some(Kind::Bye(Signed::default())) };
        assert_eq!(bye.encode_to_vec(), [0x22, 0]);
        let beacon = Beacon { suffix: 1, answers: vec![7], ..Beacon::default() };
        assert_eq!(beacon.encode_to_vec(), [0x58, 1, 0x62, 8, 7, 0, 0, 0, 0, 0, 0, 0]);
        let beacon = Beacon { chat: Some(Heartbeat { run: 0, highest: 2, acks: vec![] }), ..Beacon::default() };
        assert_eq!(beacon.encode_to_vec(), [0x6a, 2, 0x10, 2]);
        for (packet, key) in [
            (Packet::Chat(Original::default()), &[0x2a][..]),
            (Packet::Heartbeat(Heartbeat::default()), &[0x32]),
            (Packet::Nack(Nack::default()), &[0x3a]),
            (Packet::Repair(Repair::default()), &[0x42]),
            (Packet::HistoryRequest(HistoryRequest::default()), &[0xb2, 1]),
            (Packet::HistoryAnswer(HistoryAnswer::default()), &[0xba, 1]),
        ] {
            assert_eq!(Message::from(packet).encode_to_vec(), [key, &[0]].concat());
        }
    }

    #[test]
    fn the_signed_bytes_have_fixed_widths() {
        let context = SignatureContext {
            kind: KIND_BYE,
            conference: ConferenceId([1; 16]),
            epoch: 2,
            signer: ParticipantId([3; 16]),
            sid: 4,
            counter: 5,
        };
        let mut out = vec![9; 3];
        context.write(b"payload", &mut out);
        assert_eq!(out.len(), 14 + 1 + 16 + 4 + 16 + 8 + 8 + 7);
        assert_eq!(&out[..15], b"roundtable sig\x04");
        assert_eq!(out[31..35], [0, 0, 0, 2]);
        assert_eq!(out[51..67], [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(&out[67..], b"payload");
    }
}
