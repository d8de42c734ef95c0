//! Reading the body of an opened datagram, without copying what comes all the time ([`super::message`] is the format).
//!
//! A body is walked twice: once to see that all of it makes sense, and once to hand over its messages, so that nothing is
//! done about a body that is malformed further on. Unknown kinds and fields are skipped.

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::limits::{MESSAGES_PER_DATAGRAM_MAX, SEALED_BODY_BYTES_MAX};
use crate::wire::chat::{Heartbeat, HistoryAnswer, HistoryRequest, KIND_CHAT, Nack, Original, Packet, Repair};
use crate::wire::door::{self, Chain, Rekey};
use crate::wire::interest::{KIND_INTEREST, KIND_REPORT};
use crate::wire::message::{self, KIND_BEACON, KIND_BYE, KIND_JOIN, Ping, Pong};
use crate::wire::relay::Introduction;
use crate::wire::repair::RepairRequest;

const KIND_ORIGINAL: u32 = KIND_CHAT as u32;
const KIND_HEARTBEAT: u32 = 6;
const KIND_NACK: u32 = 7;
const KIND_REPAIR: u32 = 8;
const KIND_REPAIR_REQUEST: u32 = 10;
const KIND_PING: u32 = 20;
const KIND_PONG: u32 = 21;
const KIND_INTRODUCTION: u32 = 28;
const KIND_HISTORY_REQUEST: u32 = 22;
const KIND_HISTORY_ANSWER: u32 = 23;
const KIND_KICK: u32 = door::KIND_BAN as u32;
const KIND_REKEY: u32 = door::KIND_TURN as u32;
const KIND_CHAIN: u32 = door::KIND_CHARTER as u32;
const KIND_KNOCK: u32 = door::KIND_KNOCK as u32;
const KIND_REFUSAL: u32 = door::KIND_REFUSAL as u32;

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Larger than anything sent.
    #[error("body of {0} bytes, at most {SEALED_BODY_BYTES_MAX}")]
    Length(usize),
    /// Too many messages.
    #[error("{0} messages in one datagram, at most {MESSAGES_PER_DATAGRAM_MAX}")]
    Count(usize),
    /// A field of another type than the format's.
    #[error("field {0} is of another type")]
    Type(u32),
    /// A field announces more bytes than there are.
    #[error("field {0} is cut short")]
    Truncated(u32),
    /// Not Protocol Buffers.
    #[error("body cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// A message with its origin's signature, as it stands in the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Ed25519 public key.
    pub signer: &'a [u8],
    /// Strictly increasing for each session id.
    pub counter: u64,
    /// Encoded Beacon, Join or Bye.
    pub payload: &'a [u8],
    /// Ed25519 signature.
    pub signature: &'a [u8],
}

/// One message of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened<'a> {
    /// A Beacon, Join or Bye, told apart by its number ([`KIND_BEACON`], [`KIND_JOIN`], [`KIND_BYE`]).
    Signed(u8, Signed<'a>),
    /// Asks for an answer.
    Ping(Ping),
    /// The answer.
    Pong(Pong),
    /// Where others are who hear no group.
    Introduction(Introduction),
    /// Asks for parity of a video frame.
    RepairRequest(RepairRequest),
    /// Of the chat; this one is a copy.
    Chat(Packet),
    /// Layers somebody wants, as [`Places`](super::interest::Places) reads them.
    Interest(&'a [u8]),
    /// How layers arrive, as [`Row`](super::interest::Row) reads them.
    Report(&'a [u8]),
    /// Of the door; this one is a copy.
    Door(door::Packet),
}

/// Hands over the messages of `body` in their order.
///
/// # Errors
/// See [`Error`]; nothing has been handed over then.
pub fn read<'a>(body: &'a [u8], mut take: impl FnMut(Opened<'a>)) -> Result<(), Error> {
    if body.len() > SEALED_BODY_BYTES_MAX {
        return Err(Error::Length(body.len()));
    }
    let mut count = 0;
    messages(body, |_| count += 1)?;
    if count > MESSAGES_PER_DATAGRAM_MAX {
        return Err(Error::Count(count));
    }
    messages(body, |message| message.into_iter().for_each(&mut take))
}

fn messages<'a>(body: &'a [u8], mut each: impl FnMut(Option<Opened<'a>>)) -> Result<(), Error> {
    fields(body, |tag, field| {
        if tag == 1 {
            each(message(field.bytes(tag)?)?);
        }
        Ok(())
    })
}

/// `None`: a kind of the future. Of several kinds in one message the last counts, as everywhere in Protocol Buffers.
fn message(bytes: &[u8]) -> Result<Option<Opened<'_>>, Error> {
    let mut found = None;
    fields(bytes, |tag, field| {
        let known = match tag {
            KIND_PING => Opened::Ping(Ping::decode(field.bytes(tag)?)?),
            KIND_PONG => Opened::Pong(Pong::decode(field.bytes(tag)?)?),
            KIND_INTRODUCTION => Opened::Introduction(Introduction::decode(field.bytes(tag)?)?),
            KIND_REPAIR_REQUEST => Opened::RepairRequest(RepairRequest::decode(field.bytes(tag)?)?),
            KIND_ORIGINAL => Opened::Chat(Packet::Chat(Original::decode(field.bytes(tag)?)?)),
            KIND_HEARTBEAT => Opened::Chat(Packet::Heartbeat(Heartbeat::decode(field.bytes(tag)?)?)),
            KIND_NACK => Opened::Chat(Packet::Nack(Nack::decode(field.bytes(tag)?)?)),
            KIND_REPAIR => Opened::Chat(Packet::Repair(Repair::decode(field.bytes(tag)?)?)),
            KIND_INTEREST => Opened::Interest(only_field(field.bytes(tag)?)?),
            KIND_REPORT => Opened::Report(only_field(field.bytes(tag)?)?),
            KIND_HISTORY_REQUEST => Opened::Chat(Packet::HistoryRequest(HistoryRequest::decode(field.bytes(tag)?)?)),
            KIND_HISTORY_ANSWER => Opened::Chat(Packet::HistoryAnswer(HistoryAnswer::decode(field.bytes(tag)?)?)),
            KIND_KICK => Opened::Door(door::Packet::Ban(message::Signed::decode(field.bytes(tag)?)?)),
            KIND_REKEY => Opened::Door(door::Packet::Rekey(Rekey::decode(field.bytes(tag)?)?)),
            KIND_CHAIN => Opened::Door(door::Packet::Chain(Chain::decode(field.bytes(tag)?)?)),
            KIND_KNOCK => Opened::Door(door::Packet::Knock(message::Signed::decode(field.bytes(tag)?)?)),
            KIND_REFUSAL => Opened::Door(door::Packet::Refusal(message::Signed::decode(field.bytes(tag)?)?)),
            _ => match u8::try_from(tag) {
                Ok(kind @ (KIND_BEACON | KIND_JOIN | KIND_BYE)) => Opened::Signed(kind, signed(field.bytes(tag)?)?),
                _ => return Ok(()),
            },
        };
        found = Some(known);
        Ok(())
    })?;
    Ok(found)
}

/// Field 1 of a message that has no other; empty when it is left out.
fn only_field(bytes: &[u8]) -> Result<&[u8], Error> {
    let mut content: &[u8] = &[];
    fields(bytes, |tag, field| {
        if tag == 1 {
            content = field.bytes(tag)?;
        }
        Ok(())
    })?;
    Ok(content)
}

fn signed(bytes: &[u8]) -> Result<Signed<'_>, Error> {
    let mut signed = Signed::default();
    fields(bytes, |tag, field| {
        match tag {
            1 => signed.signer = field.bytes(tag)?,
            2 => signed.counter = field.number(tag)?,
            3 => signed.payload = field.bytes(tag)?,
            4 => signed.signature = field.bytes(tag)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(signed)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Field<'a> {
    fn bytes(&self, tag: u32) -> Result<&'a [u8], Error> {
        if let Field::Bytes(bytes) = self { Ok(bytes) } else { Err(Error::Type(tag)) }
    }

    fn number(&self, tag: u32) -> Result<u64, Error> {
        if let Field::Number(number) = self { Ok(*number) } else { Err(Error::Type(tag)) }
    }
}

fn fields<'a>(mut rest: &'a [u8], mut each: impl FnMut(u32, Field<'a>) -> Result<(), Error>) -> Result<(), Error> {
    while !rest.is_empty() {
        let (tag, kind) = decode_key(&mut rest)?;
        let field = match kind {
            WireType::Varint => Field::Number(decode_varint(&mut rest)?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
                let (bytes, after) = rest.split_at_checked(length).ok_or(Error::Truncated(tag))?;
                rest = after;
                Field::Bytes(bytes)
            }
            other => {
                skip_field(other, tag, &mut rest, DecodeContext::default())?;
                Field::Other
            }
        };
        each(tag, field)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::interest::{Interest, Report};
    use crate::wire::message::{Body, Kind, Message};

    fn owned(body: &[u8]) -> Result<Vec<Message>, Error> {
        let mut messages = Vec::new();
        read(body, |opened| {
            let signed = |s: Signed| message::Signed {
                signer: s.signer.into(),
                counter: s.counter,
                payload: s.payload.into(),
                signature: s.signature.into(),
            };
            let kind = match opened {
                Opened::Signed(KIND_BEACON, s) => Kind::Beacon(signed(s)),
                Opened::Signed(KIND_JOIN, s) => Kind::Join(signed(s)),
                Opened::Signed(_, s) => Kind::Bye(signed(s)),
                Opened::Ping(ping) => Kind::Ping(ping),
                Opened::Pong(pong) => Kind::Pong(pong),
                Opened::Introduction(introduction) => Kind::Introduction(introduction),
                Opened::Interest(layers) => Kind::Interest(Interest { layers: layers.into() }),
                Opened::Report(rows) => Kind::Report(Report { rows: rows.into() }),
                Opened::RepairRequest(request) => Kind::RepairRequest(request),
                Opened::Chat(packet) => packet.into(),
                Opened::Door(packet) => packet.into(),
            };
            messages.push(Message { kind: Some(kind) });
        })?;
        Ok(messages)
    }

    fn sample() -> Body {
        let signed =
            |n: u8| message::Signed { signer: vec![n; 32], counter: 300, payload: vec![n; 9], signature: vec![n; 64] };
        let kinds = [
            Kind::Beacon(signed(1)),
            Kind::Ping(Ping { nonce: 1, origin: 2 }),
            Kind::Join(signed(2)),
            Kind::Pong(Pong { nonce: 3, origin: 4, receive: 5, transmit: 6 }),
            Kind::Introduction(Introduction::of(std::iter::once("10.0.0.1:9".parse().unwrap()))),
            Kind::Bye(message::Signed::default()),
            Kind::Chat(Original { signer: vec![3; 32], counter: 1, ..Original::default() }),
            Kind::Heartbeat(Heartbeat { run: 1, highest: 2, acks: vec![3; 8] }),
            Kind::Nack(Nack { wants: vec![], tags: vec![1, 2] }),
            Kind::Repair(Repair { originals: vec![Original::default()] }),
            Kind::HistoryRequest(HistoryRequest { nonce: 1, known: vec![] }),
            Kind::HistoryAnswer(HistoryAnswer { nonce: 1, index: 2, last: true, ..HistoryAnswer::default() }),
            Kind::Kick(signed(4)),
            Kind::Rekey(Rekey { turn: Some(signed(5)), ephemeral: vec![6; 32], boxes: vec![7; 56] }),
            Kind::Chain(Chain { founder: vec![8; 32], random: vec![9; 16], links: vec![signed(1)] }),
            Kind::Knock(signed(2)),
            Kind::Refusal(signed(3)),
            Kind::Interest(Interest { layers: vec![1, 2] }),
            Kind::Report(Report { rows: vec![0, 1, 2, 3] }),
        ];
        Body { messages: kinds.map(|kind| Message { kind: Some(kind) }).to_vec() }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(owned(&sample().encode_to_vec()).unwrap(), sample().messages);
        assert_eq!(owned(&[]).unwrap(), []);
    }

    #[test]
    fn kinds_and_fields_of_the_future_are_skipped() {
        // Message 1 { field 33: varint 5 }, message 2 { ping { nonce, field 9 } }, field 2
        let bytes = [0x0a, 3, 0x88, 0x02, 5, 0x0a, 14, 0xa2, 0x01, 11, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0x48, 1, 0x10, 1];
        assert_eq!(owned(&bytes).unwrap(), [Message { kind: Some(Kind::Ping(Ping { nonce: 1, origin: 0 })) }]);
    }

    #[test]
    fn nothing_is_handed_over_of_a_body_that_is_malformed_further_on() {
        let mut bytes = sample().encode_to_vec();
        bytes.extend_from_slice(&[0x0a, 5]);
        let mut taken = 0;
        assert!(matches!(read(&bytes, |_| taken += 1), Err(Error::Truncated(1))));
        assert_eq!(taken, 0);
        assert!(matches!(owned(&[0x08, 1]), Err(Error::Type(1))));
        assert!(matches!(owned(&[0x0a, 2, 0x08, 1]), Err(Error::Type(1))));
    }

    #[test]
    fn at_most_32_messages_and_1372_bytes_are_taken() {
        let of = |count| Body { messages: vec![Message::default(); count] }.encode_to_vec();
        assert!(owned(&of(MESSAGES_PER_DATAGRAM_MAX)).is_ok());
        assert!(matches!(owned(&of(MESSAGES_PER_DATAGRAM_MAX + 1)), Err(Error::Count(33))));
        // One unknown field of the given length.
        let padded = |total: usize| {
            let mut bytes = vec![0x7a, 0, 0];
            let content = total - bytes.len();
            (bytes[1], bytes[2]) = (content as u8 | 0x80, (content >> 7) as u8);
            bytes.resize(total, 0);
            bytes
        };
        assert!(owned(&padded(SEALED_BODY_BYTES_MAX)).is_ok());
        assert!(matches!(owned(&padded(SEALED_BODY_BYTES_MAX + 1)), Err(Error::Length(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_reads_what_the_library_reads(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut bytes = sample().encode_to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let (Ok(ours), Ok(theirs)) = (owned(&bytes), Body::decode(bytes.as_slice())) {
                let known: Vec<Message> = theirs.messages.into_iter().filter(|m| m.kind.is_some()).collect();
                prop_assert_eq!(ours, known);
            }
        }
    }
}
