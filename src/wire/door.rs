//! Who may decide what in a conference, who was put out, and the keys of later epochs: messages of `super::message`.
//!
//! ```proto
//! message Chain   { bytes  founder = 1;                    // the first owner's Ed25519 public key, 32 bytes
//!                   bytes  random  = 2;                    // 16 bytes; both make the conference's id
//!                   repeated Signed links = 3; }           // at most 4 Charters, oldest first
//! message Charter { uint64 number     = 1;                 // increases along the chain
//!                   bytes  owner      = 2;                 // participant id, 16 bytes
//!                   bytes  moderators = 3; }               // 16 bytes each, at most 8
//! message Ban     { bytes  member = 1;                     // participant id, 16 bytes
//!                   bool   lifted = 2; }                   // may come in again
//! message Rekey   { Signed turn      = 1;                  // a Turn
//!                   bytes  ephemeral = 2;                  // Ed25519 public key for this message alone; empty without boxes
//!                   bytes  boxes     = 3; }                // at most 10 of 56 bytes: 8 of the id, 32 + 16 of sealed secret
//! message Turn    { uint32 epoch      = 1;
//!                   bytes  commitment = 2;                 // 16 bytes that bind the secret; empty: none, the door is open
//!                   bytes  removed    = 3; }               // first 8 bytes of the id of each who is put out
//! message Knock   { fixed64 nonce = 1; string name = 2;    // name at most 64 bytes
//!                   fixed32 address = 3; uint32 port = 4;  // of the own socket: the answers go there
//!                   uint32 tries = 5;
//!                   bool   inside = 6;                     // a member who missed a Turn
//!                   bytes  address6 = 7; }                 // IPv6, 16 bytes; `address` is 0 then
//! message Refusal { fixed64 nonce = 1; }                   // of the Knock
//! ```
//! All of these are sealed with the key of epoch 0, which everybody has who knows the passphrase. Charter, Ban, Turn and
//! Refusal are signed with epoch 0 and sid 0 in the context, because anybody may pass them on; the counter of a Ban
//! decides which of two about the same member is the later one. A Knock is signed like a Beacon.

use crate::limits::{CHAIN_LINKS_MAX, MODERATORS_MAX, NAME_BYTES_MAX, REKEY_BOXES_MAX, REMOVED_MAX};
use crate::wire::message::{ParticipantId, Signed};

/// Number of a Ban in a signature's context.
pub const KIND_BAN: u8 = 16;
/// Number of a Turn in a signature's context.
pub const KIND_TURN: u8 = 17;
/// Number of a Charter in a signature's context.
pub const KIND_CHARTER: u8 = 24;
/// Number of a Knock in a signature's context.
pub const KIND_KNOCK: u8 = 25;
/// Number of a Refusal in a signature's context.
pub const KIND_REFUSAL: u8 = 26;

/// Bytes of one box of a Rekey.
pub const BOX_BYTES: usize = 56;
/// Bytes that name somebody put out in a Turn.
pub const REMOVED_BYTES: usize = 8;
/// Bytes of a commitment.
pub const COMMITMENT_BYTES: usize = 16;

/// What the owner's authority rests on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chain {
    /// The first owner's public key.
    #[prost(bytes = "vec", tag = "1")]
    pub founder: Vec<u8>,
    /// What the conference's id was drawn with.
    #[prost(bytes = "vec", tag = "2")]
    pub random: Vec<u8>,
    /// Charters.
    #[prost(message, repeated, tag = "3")]
    pub links: Vec<Signed>,
}

/// Who owns the conference from here on, and who moderates it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Charter {
    /// Increases along the chain.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The owner.
    #[prost(bytes = "vec", tag = "2")]
    pub owner: Vec<u8>,
    /// The moderators.
    #[prost(bytes = "vec", tag = "3")]
    pub moderators: Vec<u8>,
}

/// Somebody is put out, or may come in again.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ban {
    /// Who.
    #[prost(bytes = "vec", tag = "1")]
    pub member: Vec<u8>,
    /// It holds no more.
    #[prost(bool, tag = "2")]
    pub lifted: bool,
}

/// A new epoch and its secret for up to ten members.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rekey {
    /// The epoch, as decided.
    #[prost(message, optional, tag = "1")]
    pub turn: Option<Signed>,
    /// The sealer's key for this message alone.
    #[prost(bytes = "vec", tag = "2")]
    pub ephemeral: Vec<u8>,
    /// Boxes.
    #[prost(bytes = "vec", tag = "3")]
    pub boxes: Vec<u8>,
}

/// A decision for another epoch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Turn {
    /// The epoch.
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// Binds its secret; empty when there is none.
    #[prost(bytes = "vec", tag = "2")]
    pub commitment: Vec<u8>,
    /// Who is not to have it.
    #[prost(bytes = "vec", tag = "3")]
    pub removed: Vec<u8>,
}

/// Somebody outside asks for the present secret.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Knock {
    /// Echoed by a Refusal.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
    /// As typed.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Address of the own socket.
    #[prost(fixed32, tag = "3")]
    pub address: u32,
    /// Its port.
    #[prost(uint32, tag = "4")]
    pub port: u32,
    /// How often it was asked before.
    #[prost(uint32, tag = "5")]
    pub tries: u32,
    /// A member who missed a Turn.
    #[prost(bool, tag = "6")]
    pub inside: bool,
    /// IPv6 address of the own socket; empty when it has an IPv4 one.
    #[prost(bytes = "vec", tag = "7")]
    pub address6: Vec<u8>,
}

/// Somebody is not let in.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Refusal {
    /// Of the Knock.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
}

/// Any of the messages above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A signed Ban.
    Ban(Signed),
    /// A decision for another epoch, with secrets or without.
    Rekey(Rekey),
    /// Who may decide.
    Chain(Chain),
    /// A signed Knock.
    Knock(Signed),
    /// A signed Refusal.
    Refusal(Signed),
}

/// A payload outside the bounds; the word names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not Protocol Buffers, or fields of another type.
    #[error("cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field outside its bounds.
    #[error("a bad {0}")]
    Field(&'static str),
}

fn id(bytes: &[u8], field: &'static str) -> Result<ParticipantId, Error> {
    bytes.try_into().map(ParticipantId).map_err(|_| Error::Field(field))
}

impl Chain {
    /// Key and random of the first owner; the number of links is within its bound then.
    pub fn founding(&self) -> Result<([u8; 32], [u8; 16]), Error> {
        let founder = self.founder.as_slice().try_into().map_err(|_| Error::Field("founder"))?;
        let random = self.random.as_slice().try_into().map_err(|_| Error::Field("random"))?;
        if self.links.len() > CHAIN_LINKS_MAX { Err(Error::Field("number of links")) } else { Ok((founder, random)) }
    }
}

impl Charter {
    /// Owner and moderators of an encoded Charter, with its number.
    pub fn parse(bytes: &[u8]) -> Result<(u64, ParticipantId, Vec<ParticipantId>), Error> {
        let charter: Charter = prost::Message::decode(bytes)?;
        let owner = id(&charter.owner, "owner")?;
        let (moderators, rest) = charter.moderators.as_chunks::<16>();
        if !rest.is_empty() || moderators.len() > MODERATORS_MAX {
            return Err(Error::Field("moderators"));
        }
        Ok((charter.number, owner, moderators.iter().map(|id| ParticipantId(*id)).collect()))
    }
}

impl Ban {
    /// Whom an encoded Ban is about, and whether it is lifted.
    pub fn parse(bytes: &[u8]) -> Result<(ParticipantId, bool), Error> {
        let ban: Ban = prost::Message::decode(bytes)?;
        Ok((id(&ban.member, "member")?, ban.lifted))
    }
}

impl Turn {
    /// Decodes a signed payload, within the bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let turn: Turn = prost::Message::decode(bytes)?;
        if ![0, COMMITMENT_BYTES].contains(&turn.commitment.len()) {
            return Err(Error::Field("commitment"));
        }
        if !turn.removed.len().is_multiple_of(REMOVED_BYTES) || turn.removed.len() > REMOVED_BYTES * REMOVED_MAX {
            return Err(Error::Field("removed"));
        }
        Ok(turn)
    }
}

impl Knock {
    /// Decodes a signed payload, within the bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let knock: Knock = prost::Message::decode(bytes)?;
        if knock.name.len() > NAME_BYTES_MAX {
            return Err(Error::Field("name"));
        }
        if u16::try_from(knock.port).unwrap_or(0) == 0 {
            return Err(Error::Field("port"));
        }
        Ok(knock)
    }
}

impl Rekey {
    /// The box for a member, if there is one; at most [`REKEY_BOXES_MAX`] are looked at.
    pub fn box_for(&self, member: &ParticipantId) -> Option<&[u8; BOX_BYTES]> {
        let boxes = self.boxes.as_chunks::<BOX_BYTES>().0.iter().take(REKEY_BOXES_MAX);
        boxes.into_iter().find(|sealed| sealed[..8] == member.0[..8])
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::limits::SEALED_BODY_BYTES_MAX;
    use crate::wire::message::{Kind, Message};

    fn signed(payload: Vec<u8>) -> Signed {
        Signed { signer: vec![1; 32], counter: u64::MAX, payload, signature: vec![2; 64] }
    }

    fn written(packet: Packet) -> Vec<u8> {
        let mut body = Vec::new();
        Message { kind: Some(Kind::from(packet)) }.write_body(&mut body);
        body
    }

    #[test]
    fn the_largest_of_each_fits_a_datagram() {
        let charter = Charter { number: u64::MAX, owner: vec![1; 16], moderators: vec![2; 16 * MODERATORS_MAX] };
        let links = vec![signed(charter.encode_to_vec()); CHAIN_LINKS_MAX];
        let chain = Packet::Chain(Chain { founder: vec![1; 32], random: vec![1; 16], links });
        let turn = Turn { epoch: u32::MAX, commitment: vec![1; 16], removed: vec![1; REMOVED_BYTES * REMOVED_MAX] };
        let boxes = vec![1; BOX_BYTES * REKEY_BOXES_MAX];
        let rekey = Packet::Rekey(Rekey { turn: Some(signed(turn.encode_to_vec())), ephemeral: vec![1; 32], boxes });
        for packet in [chain, rekey] {
            let bytes = written(packet).len();
            assert!(bytes <= SEALED_BODY_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn payloads_are_taken_up_to_their_bounds_and_not_beyond() {
        let charter = |owner: usize, moderators: usize| {
            let bytes = Charter { number: 1, owner: vec![1; owner], moderators: vec![2; moderators] }.encode_to_vec();
            Charter::parse(&bytes).is_ok()
        };
        assert!(charter(16, 0) && charter(16, 16 * MODERATORS_MAX));
        assert!(!charter(15, 0) && !charter(16, 17) && !charter(16, 16 * (MODERATORS_MAX + 1)));
        let turn = |commitment: usize, removed: usize| {
            let turn = Turn { epoch: 1, commitment: vec![1; commitment], removed: vec![2; removed] };
            Turn::parse(&turn.encode_to_vec()).is_ok()
        };
        assert!(turn(0, 0) && turn(16, REMOVED_BYTES * REMOVED_MAX));
        assert!(!turn(15, 0) && !turn(16, 7) && !turn(16, REMOVED_BYTES * (REMOVED_MAX + 1)));
        let knock = |name: usize, port: u32| {
            let knock = Knock { name: "x".repeat(name), port, ..Knock::default() };
            Knock::parse(&knock.encode_to_vec()).is_ok()
        };
        assert!(knock(64, 1) && !knock(65, 1) && !knock(1, 0) && !knock(1, 65_536));
        let ban = |member: usize| Ban::parse(&Ban { member: vec![1; member], lifted: false }.encode_to_vec()).is_ok();
        assert!(ban(16) && !ban(0) && !ban(17));
        let chain = |founder: usize, random: usize, links: usize| {
            let links = vec![Signed::default(); links];
            Chain { founder: vec![1; founder], random: vec![1; random], links }.founding().is_ok()
        };
        assert!(chain(32, 16, CHAIN_LINKS_MAX));
        assert!(!chain(31, 16, 0) && !chain(32, 17, 0) && !chain(32, 16, CHAIN_LINKS_MAX + 1));
    }

    #[test]
    fn field_numbers_are_those_of_the_table() {
        for (packet, key) in [
            (Packet::Ban(Signed::default()), &[0x82, 1][..]),
            (Packet::Rekey(Rekey::default()), &[0x8a, 1]),
            (Packet::Chain(Chain::default()), &[0xc2, 1]),
            (Packet::Knock(Signed::default()), &[0xca, 1]),
            (Packet::Refusal(Signed::default()), &[0xd2, 1]),
        ] {
            assert_eq!(written(packet)[2..], [key, &[0]].concat());
        }
        let knock =
            Knock { nonce: 1, name: "a".into(), address: 2, port: 3, tries: 4, inside: true, address6: Vec::new() };
        let expected = [9, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, b'a', 0x1d, 2, 0, 0, 0, 0x20, 3, 0x28, 4, 0x30, 1];
        assert_eq!(knock.encode_to_vec(), expected);
        let turn = Turn { epoch: 1, commitment: vec![2], removed: vec![3] };
        assert_eq!(turn.encode_to_vec(), [8, 1, 0x12, 1, 2, 0x1a, 1, 3]);
    }

    #[test]
    fn a_box_is_found_by_the_beginning_of_the_id() {
        let boxes: Vec<u8> = (0..12).flat_map(|n| [n; BOX_BYTES]).collect();
        let rekey = Rekey { boxes, ..Rekey::default() };
        assert_eq!(rekey.box_for(&ParticipantId([9; 16])), Some(&[9; BOX_BYTES]));
        assert_eq!(rekey.box_for(&ParticipantId([10; 16])), None, "only ten are looked at");
    }
}
