//! The chat's messages inside a sealed datagram, in Protocol Buffers (proto3) encoding.
//!
//! ```proto
//! // The kinds of Message that are the chat's; wire::message has their numbers.
//! message Original  { bytes   signer    = 1;              // Ed25519 public key, 32 bytes
//!                     uint64  counter   = 2;
//!                     bytes   payload   = 3;              // an encoded Chat
//!                     bytes   signature = 4;              // 64 bytes, of kind 5 in wire::message's context
//!                     fixed32 epoch     = 5;              // the epoch and
//!                     fixed64 sid       = 6; }            // the session it was said in: not those it is passed on in
//! message Chat      { fixed32 run    = 1;                 // random for each time its author joined
//!                     uint32  number = 2;                 // from 1, one more for each piece of this run
//!                     fixed64 time   = 3;                 // hybrid logical clock: ms since 1970 << 16 | count
//!                     fixed64 wall   = 4;                 // NTP time, by the author's clock, for people to read
//!                     uint32  piece  = 5;                 // position in its line, from 0
//!                     uint32  pieces = 6;                 // 1 to 8
//!                     bytes   bytes  = 7; }               // at most 1,000; all pieces in a row are one Content
//! message Content   { string name = 1;                    // the author's name when it was said
//!                     Reference to = 2;                   // the line that is replied or reacted to
//!                     oneof body { string text = 3;       // at most 4,096 bytes
//!                                  string action = 4;     // "/me": the same, told in the third person
//!                                  string reaction = 5;   // an emoji, at most 32 bytes
//!                                  Sealed sealed = 6; } } // for some only
//! message Reference { bytes member = 1;  fixed32 run = 2;  uint32 number = 3; }     // first piece of a line
//! message Sealed    { bytes recipients = 1;               // ids of 16 bytes each, 1 to 32
//!                     bytes sealed = 2; }                 // opaque here; opened, it is another Content
//!
//! message Heartbeat { fixed32 run = 1;  uint32 highest = 2;    // the sender's own run and last number; 0: none said
//!                     bytes acks = 3; }                   // 8 bytes each: tag, number up to which all is had
//! message Nack      { repeated Want wants = 1;            // asks everybody for pieces
//!                     repeated fixed32 tags = 2; }        // and for the newest of sequences known by tag only
//! message Want      { bytes member = 1;  fixed32 run = 2;
//!                     repeated uint32 ranges = 3; }       // pairs: first, count
//! message Repair    { repeated Original originals = 1; }  // repeated or passed on
//!
//! message HistoryRequest { fixed64 nonce = 1;
//!                     repeated Known known = 2; }         // had up to here, need not be sent
//! message HistoryAnswer  { fixed64 nonce = 1;  uint32 index = 2;   // chunks count from 0
//!                     repeated Original originals = 3;
//!                     repeated Known floors = 4;          // nothing up to here is in the answer
//!                     bool last = 5;  bool busy = 6; }    // busy: ask somebody else
//! message Known     { bytes member = 1;  fixed32 run = 2;  uint32 upto = 3; }
//! ```
//! A **sequence** is what one member says from joining to leaving: (member, run). Its **tag** is the first four bytes of
//! the member's id, as a number in network order, XOR run: short enough for every beacon. Two sequences of one tag are
//! possible, so a tag is evidence and never identity. Acks' numbers are in network order.
//!
//! Every packet is at most 1,200 bytes. Nothing here checks a signature or knows who is present.

use crate::limits::{
    CHAT_CHUNK_BYTES_MAX, CHAT_EMOJI_BYTES_MAX, CHAT_PIECE_BYTES_MAX, CHAT_PIECES_MAX, CHAT_RECIPIENTS_MAX,
    CHAT_SEALED_BYTES_MAX, CHAT_TEXT_BYTES_MAX, CHAT_WINDOW, NAME_BYTES_MAX,
};
use crate::wire::message::{PUBLIC_KEY_BYTES, ParticipantId, SIGNATURE_BYTES};

/// Number of a chat piece in a signature's context.
pub const KIND_CHAT: u8 = 5;
/// Bytes of one entry of [`Heartbeat::acks`].
pub const ACK_BYTES: usize = 8;
/// Acks in a heartbeat of its own.
pub const ACKS_MAX: usize = 32;
/// Sequences named in one [`Nack`] by their tags.
pub const TAGS_MAX: usize = 64;

/// What members send each other for the chat.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// A piece of a line, by its author, for the first time.
    Chat(Original),
    /// How far the sender has spoken and heard.
    Heartbeat(Heartbeat),
    /// Asks for what is missing.
    Nack(Nack),
    /// Pieces once more, by their author or by anybody who has them.
    Repair(Repair),
    /// A late joiner asks one member for what was said before.
    HistoryRequest(HistoryRequest),
    /// A part of the answer.
    HistoryAnswer(HistoryAnswer),
}

/// A signed piece as its author made it, with all that the signature binds except the conference.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Original {
    /// Ed25519 public key.
    #[prost(bytes = "vec", tag = "1")]
    pub signer: Vec<u8>,
    /// Position among what the author signed in that session.
    #[prost(uint64, tag = "2")]
    pub counter: u64,
    /// An encoded [`Chat`].
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// Ed25519 signature.
    #[prost(bytes = "vec", tag = "4")]
    pub signature: Vec<u8>,
    /// Epoch it was said in.
    #[prost(fixed32, tag = "5")]
    pub epoch: u32,
    /// Session it was said in.
    #[prost(fixed64, tag = "6")]
    pub sid: u64,
}

/// One numbered piece of a line.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chat {
    /// Random for each time the author joined.
    #[prost(fixed32, tag = "1")]
    pub run: u32,
    /// From 1.
    #[prost(uint32, tag = "2")]
    pub number: u32,
    /// Hybrid logical clock.
    #[prost(fixed64, tag = "3")]
    pub time: u64,
    /// NTP time by the author's clock.
    #[prost(fixed64, tag = "4")]
    pub wall: u64,
    /// Position in its line, from 0.
    #[prost(uint32, tag = "5")]
    pub piece: u32,
    /// Pieces of the line.
    #[prost(uint32, tag = "6")]
    pub pieces: u32,
    /// Part of an encoded [`Content`].
    #[prost(bytes = "vec", tag = "7")]
    pub bytes: Vec<u8>,
}

/// What a line says.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Content {
    /// The author's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The line that is replied or reacted to.
    #[prost(message, optional, tag = "2")]
    pub to: Option<Reference>,
    /// `None`: a kind of the future.
    #[prost(oneof = "Body", tags = "3, 4, 5, 6")]
    pub body: Option<Body>,
}

/// The kinds of line.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Body {
    /// Said.
    #[prost(string, tag = "3")]
    Text(String),
    /// Done: "/me waves".
    #[prost(string, tag = "4")]
    Action(String),
    /// An emoji under another line.
    #[prost(string, tag = "5")]
    Reaction(String),
    /// For some only.
    #[prost(message, tag = "6")]
    Sealed(Sealed),
}

/// Names a line.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reference {
    /// Its author.
    #[prost(bytes = "vec", tag = "1")]
    pub member: Vec<u8>,
    /// The author's run.
    #[prost(fixed32, tag = "2")]
    pub run: u32,
    /// Number of its first piece.
    #[prost(uint32, tag = "3")]
    pub number: u32,
}

/// A line for some only.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Sealed {
    /// Whom it is for: ids of 16 bytes each.
    #[prost(bytes = "vec", tag = "1")]
    pub recipients: Vec<u8>,
    /// Opaque here.
    #[prost(bytes = "vec", tag = "2")]
    pub sealed: Vec<u8>,
}

/// How far a member has spoken and heard.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Heartbeat {
    /// The sender's own run.
    #[prost(fixed32, tag = "1")]
    pub run: u32,
    /// Its last number.
    #[prost(uint32, tag = "2")]
    pub highest: u32,
    /// See [`Heartbeat::acks`].
    #[prost(bytes = "vec", tag = "3")]
    pub acks: Vec<u8>,
}

/// Asks for pieces.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Nack {
    /// Pieces by number.
    #[prost(message, repeated, tag = "1")]
    pub wants: Vec<Want>,
    /// The newest piece of each of these.
    #[prost(fixed32, repeated, tag = "2")]
    pub tags: Vec<u32>,
}

/// Pieces of one sequence.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Want {
    /// The author.
    #[prost(bytes = "vec", tag = "1")]
    pub member: Vec<u8>,
    /// The author's run.
    #[prost(fixed32, tag = "2")]
    pub run: u32,
    /// Pairs: first number, count.
    #[prost(uint32, repeated, tag = "3")]
    pub ranges: Vec<u32>,
}

/// Pieces once more.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Repair {
    /// As many as fit.
    #[prost(message, repeated, tag = "1")]
    pub originals: Vec<Original>,
}

/// A late joiner asks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HistoryRequest {
    /// Echoed by the answer.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
    /// What need not be sent.
    #[prost(message, repeated, tag = "2")]
    pub known: Vec<Known>,
}

/// A part of the answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HistoryAnswer {
    /// That of the request.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
    /// Position of this chunk.
    #[prost(uint32, tag = "2")]
    pub index: u32,
    /// Signed pieces.
    #[prost(message, repeated, tag = "3")]
    pub originals: Vec<Original>,
    /// Below what the answer has nothing.
    #[prost(message, repeated, tag = "4")]
    pub floors: Vec<Known>,
    /// Nothing follows.
    #[prost(bool, tag = "5")]
    pub last: bool,
    /// Too many are being served.
    #[prost(bool, tag = "6")]
    pub busy: bool,
}

/// A place in a sequence.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Known {
    /// The author.
    #[prost(bytes = "vec", tag = "1")]
    pub member: Vec<u8>,
    /// The author's run.
    #[prost(fixed32, tag = "2")]
    pub run: u32,
    /// Up to this number.
    #[prost(uint32, tag = "3")]
    pub upto: u32,
}

/// Why a piece or a line is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not Protocol Buffers, or fields of another type.
    #[error("cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field has a length nothing sent has.
    #[error("{field} of {bytes} bytes")]
    Length {
        /// Which.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// Number, piece and pieces do not fit each other.
    #[error("piece {piece} of {pieces} with number {number}")]
    Position {
        /// Number in its sequence.
        number: u32,
        /// Position in its line.
        piece: u32,
        /// Pieces of its line.
        pieces: u32,
    },
    /// A reaction to nothing.
    #[error("a reaction to no line")]
    NoTarget,
}

fn length(field: &'static str, bytes: usize, allowed: std::ops::RangeInclusive<usize>) -> Result<(), Error> {
    if allowed.contains(&bytes) { Ok(()) } else { Err(Error::Length { field, bytes }) }
}

/// The id in a field, if it has an id's length.
pub fn member(bytes: &[u8]) -> Option<ParticipantId> {
    bytes.try_into().ok().map(ParticipantId)
}

/// The short name of a sequence; not unique.
pub fn tag(member: ParticipantId, run: u32) -> u32 {
    let [a, b, c, d, ..] = member.0;
    u32::from_be_bytes([a, b, c, d]) ^ run
}

impl Original {
    /// The author's public key and the signature, if they have their lengths and the whole fits a packet.
    pub fn parts(&self) -> Result<(&[u8; PUBLIC_KEY_BYTES], &[u8; SIGNATURE_BYTES]), Error> {
        length("payload", self.payload.len(), 1..=CHAT_CHUNK_BYTES_MAX)?;
        let key = self.signer.as_slice().try_into().ok();
        let signature = self.signature.as_slice().try_into().ok();
        match (key, signature) {
            (None, _) => Err(Error::Length { field: "signer", bytes: self.signer.len() }),
            (_, None) => Err(Error::Length { field: "signature", bytes: self.signature.len() }),
            (Some(key), Some(signature)) => Ok((key, signature)),
        }
    }
}

impl Chat {
    /// Decodes a signed payload, within the bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let chat: Chat = prost::Message::decode(bytes)?;
        length("piece", chat.bytes.len(), 1..=CHAT_PIECE_BYTES_MAX)?;
        // The line's first piece has number 1 or more, and its last can be counted.
        let Chat { number, piece, pieces, .. } = chat;
        let room = piece < pieces && pieces as usize <= CHAT_PIECES_MAX;
        if room && number > piece && number.checked_add(pieces - piece).is_some() {
            Ok(chat)
        } else {
            Err(Error::Position { number, piece, pieces })
        }
    }
}

impl Content {
    /// Decodes a whole line, within the bounds. A body of the future stays `None`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let content: Content = prost::Message::decode(bytes)?;
        content.check()?;
        Ok(content)
    }

    /// Whether everything has a length that may be sent.
    pub fn check(&self) -> Result<(), Error> {
        length("name", self.name.len(), 0..=NAME_BYTES_MAX)?;
        if let Some(to) = &self.to {
            length("reference", to.member.len(), 16..=16)?;
        }
        match &self.body {
            Some(Body::Text(text) | Body::Action(text)) => length("text", text.len(), 1..=CHAT_TEXT_BYTES_MAX),
            Some(Body::Reaction(_)) if self.to.is_none() => Err(Error::NoTarget),
            Some(Body::Reaction(emoji)) => length("reaction", emoji.len(), 1..=CHAT_EMOJI_BYTES_MAX),
            Some(Body::Sealed(sealed)) => sealed.check(),
            None => Ok(()),
        }
    }
}

impl Sealed {
    fn check(&self) -> Result<(), Error> {
        let bytes = self.recipients.len();
        if !bytes.is_multiple_of(16) {
            return Err(Error::Length { field: "recipients", bytes });
        }
        length("recipients", bytes, 16..=16 * CHAT_RECIPIENTS_MAX)?;
        length("sealed", self.sealed.len(), 1..=CHAT_SEALED_BYTES_MAX)
    }

    /// Whom it is for.
    pub fn recipients(&self) -> impl Iterator<Item = ParticipantId> + '_ {
        self.recipients.as_chunks::<16>().0.iter().map(|id| ParticipantId(*id))
    }
}

impl Heartbeat {
    /// Adds: all of the sequence with this tag is had up to `upto`.
    pub fn push_ack(&mut self, tag: u32, upto: u32) {
        self.acks.extend_from_slice(&tag.to_be_bytes());
        self.acks.extend_from_slice(&upto.to_be_bytes());
    }

    /// Tags and numbers, at most [`ACKS_MAX`]; an incomplete entry at the end is left out.
    pub fn acks(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let entries = self.acks.as_chunks::<ACK_BYTES>().0.iter().take(ACKS_MAX);
        entries.map(|&[a, b, c, d, e, f, g, h]| (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
    }
}

impl Want {
    /// For the given numbers, in ascending order.
    pub fn new(member: ParticipantId, run: u32, numbers: &[u32]) -> Self {
        let mut ranges: Vec<u32> = Vec::new();
        for &number in numbers {
            match ranges.as_mut_slice() {
                [.., first, count] if *first + *count == number => *count += 1,
                _ => ranges.extend([number, 1]),
            }
        }
        Self { member: member.0.to_vec(), run, ranges }
    }

    /// The numbers asked for, at most a window of them.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let pairs = self.ranges.as_chunks::<2>().0.iter();
        pairs.flat_map(|&[first, count]| first..first.saturating_add(count)).take(CHAT_WINDOW as usize)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::message::Message;

    const ADA: ParticipantId = ParticipantId([0xad; 16]);

    fn chat() -> Chat {
        Chat { run: 7, number: 1, time: 2, wall: 3, piece: 0, pieces: 1, bytes: vec![9] }
    }

    #[test]
    fn field_numbers_are_those_of_the_table() {
        let bytes = Chat { piece: 4, number: 5, pieces: 6, ..chat() }.encode_to_vec();
        #[rustfmt::skip]
        let expected = [0x0d, 7, 0, 0, 0, 0x10, 5, 0x19, 2, 0, 0, 0, 0, 0, 0, 0, 0x21, 3, 0, 0, 0, 0, 0, 0, 0,
                        0x28, 4, 0x30, 6, 0x3a, 1, 9];
        assert_eq!(bytes, expected);
        let original = Original { signer: vec![1], counter: 2, payload: vec![3], signature: vec![4], epoch: 5, sid: 6 };
        #[rustfmt::skip]
        let expected = [0x0a, 1, 1, 0x10, 2, 0x1a, 1, 3, 0x22, 1, 4, 0x2d, 5, 0, 0, 0, 0x31, 6, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(original.encode_to_vec(), expected);
        let heartbeat = Heartbeat { run: 1, highest: 2, acks: vec![] };
        assert_eq!(heartbeat.encode_to_vec(), [0x0d, 1, 0, 0, 0, 0x10, 2]);
        assert_eq!(Nack { wants: vec![], tags: vec![1] }.encode_to_vec(), [0x12, 4, 1, 0, 0, 0]);
        for (body, number) in [
            (Body::Text("a".into()), 0x1a),
            (Body::Action("a".into()), 0x22),
            (Body::Reaction("a".into()), 0x2a),
            (Body::Sealed(Sealed::default()), 0x32),
        ] {
            let content = Content { name: String::new(), to: None, body: Some(body) };
            assert_eq!(content.encode_to_vec()[0], number);
        }
    }

    #[test]
    fn a_piece_is_taken_up_to_its_bounds_and_not_beyond() {
        let check = |change: fn(&mut Chat), good: bool| {
            let mut chat = chat();
            change(&mut chat);
            let parsed = Chat::parse(&chat.encode_to_vec());
            assert_eq!(parsed.is_ok(), good, "{chat:?}");
        };
        check(|_| {}, true);
        check(|c| c.bytes.clear(), false);
        check(|c| c.bytes.resize(CHAT_PIECE_BYTES_MAX, 0), true);
        check(|c| c.bytes.resize(CHAT_PIECE_BYTES_MAX + 1, 0), false);
        check(|c| c.number = 0, false);
        check(|c| c.pieces = 0, false);
        check(|c| (c.piece, c.pieces, c.number) = (7, 8, 8), true);
        check(|c| (c.piece, c.pieces, c.number) = (7, 8, 7), false);
        check(|c| (c.piece, c.pieces, c.number) = (8, 9, 9), false);
        check(|c| (c.piece, c.pieces, c.number) = (2, 2, 9), false);
        check(|c| c.number = u32::MAX - 1, true);
        check(|c| c.number = u32::MAX, false);
        assert!(matches!(Chat::parse(&[0x3a, 9]), Err(Error::Decode(_))));
    }

    #[test]
    fn a_line_is_taken_up_to_its_bounds_and_not_beyond() {
        let to = Some(Reference { member: vec![1; 16], run: 1, number: 1 });
        let check = |name: usize, to: &Option<Reference>, body: Body, good: bool| {
            let content = Content { name: "n".repeat(name), to: to.clone(), body: Some(body) };
            let parsed = Content::parse(&content.encode_to_vec());
            assert_eq!(parsed.is_ok(), good, "{content:?}");
        };
        let text = |bytes: usize| Body::Text("x".repeat(bytes));
        check(64, &None, text(CHAT_TEXT_BYTES_MAX), true);
        check(65, &None, text(1), false);
        check(1, &None, text(CHAT_TEXT_BYTES_MAX + 1), false);
        check(1, &None, text(0), false);
        check(1, &None, Body::Action("x".repeat(CHAT_TEXT_BYTES_MAX + 1)), false);
        check(1, &to, text(1), true);
        check(1, &Some(Reference::default()), text(1), false);
        check(1, &to, Body::Reaction("x".repeat(CHAT_EMOJI_BYTES_MAX)), true);
        check(1, &to, Body::Reaction("x".repeat(CHAT_EMOJI_BYTES_MAX + 1)), false);
        check(1, &to, Body::Reaction(String::new()), false);
        check(1, &None, Body::Reaction("x".into()), false);
        let sealed =
            |recipients, bytes| Body::Sealed(Sealed { recipients: vec![1; recipients], sealed: vec![1; bytes] });
        check(1, &None, sealed(16, 1), true);
        check(1, &None, sealed(16 * CHAT_RECIPIENTS_MAX, CHAT_SEALED_BYTES_MAX), true);
        check(1, &None, sealed(16 * CHAT_RECIPIENTS_MAX + 16, 1), false);
        check(1, &None, sealed(16, CHAT_SEALED_BYTES_MAX + 1), false);
        check(1, &None, sealed(0, 1), false);
        check(1, &None, sealed(17, 1), false);
        check(1, &None, sealed(16, 0), false);
        assert_eq!(Content::parse(&[0x0a, 1, b'a', 0x7a, 0]).unwrap().body, None, "a body of the future");
    }

    #[test]
    fn the_largest_piece_fits_a_packet() {
        let chat = Chat {
            run: u32::MAX,
            number: u32::MAX - 1,
            time: u64::MAX,
            wall: u64::MAX,
            piece: 7,
            pieces: 8,
            bytes: vec![0; CHAT_PIECE_BYTES_MAX],
        };
        let original = Original {
            signer: vec![0; 32],
            counter: u64::MAX,
            payload: chat.encode_to_vec(),
            signature: vec![0; 64],
            epoch: u32::MAX,
            sid: u64::MAX,
        };
        assert!(original.parts().is_ok());
        let answer = HistoryAnswer {
            nonce: u64::MAX,
            index: u32::MAX,
            originals: vec![original],
            floors: vec![],
            last: true,
            busy: true,
        };
        let message = Message::from(Packet::HistoryAnswer(answer));
        assert!(message.encoded_len() <= CHAT_CHUNK_BYTES_MAX, "{}", message.encoded_len());
    }

    #[test]
    fn keys_and_signatures_of_other_lengths_are_refused() {
        let good = Original { signer: vec![0; 32], payload: vec![0], signature: vec![0; 64], ..Original::default() };
        assert!(good.parts().is_ok());
        assert!(Original { signer: vec![0; 31], ..good.clone() }.parts().is_err());
        assert!(Original { signature: vec![0; 65], ..good.clone() }.parts().is_err());
        assert!(Original { payload: vec![0; CHAT_CHUNK_BYTES_MAX + 1], ..good.clone() }.parts().is_err());
        assert!(Original { payload: vec![], ..good }.parts().is_err());
    }

    #[test]
    fn wanted_numbers_travel_as_ranges_and_are_bounded() {
        let want = Want::new(ADA, 1, &[3, 4, 5, 9, 11, 12]);
        assert_eq!(want.ranges, [3, 3, 9, 1, 11, 2]);
        assert_eq!(want.numbers().collect::<Vec<_>>(), [3, 4, 5, 9, 11, 12]);
        let hostile = Want { ranges: vec![5, u32::MAX, u32::MAX, 7, 1], ..want };
        assert_eq!(hostile.numbers().count(), CHAT_WINDOW as usize);
    }

    #[test]
    fn acks_travel_in_eight_bytes_and_are_bounded() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.push_ack(tag(ADA, 1), 0x0102_0304);
        assert_eq!(heartbeat.acks, [0xad, 0xad, 0xad, 0xac, 1, 2, 3, 4]);
        heartbeat.acks.push(5);
        assert_eq!(heartbeat.acks().collect::<Vec<_>>(), [(0xadad_adac, 0x0102_0304)]);
        heartbeat.acks.resize((ACKS_MAX + 1) * ACK_BYTES, 0);
        assert_eq!(heartbeat.acks().count(), ACKS_MAX);
    }
}
