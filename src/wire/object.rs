//! Files and voice messages on the wire: what is said about them, and the pieces they travel in.
//!
//! ```proto
//! // Kinds 11, 12, 13 and 15 of wire::message, each inside a Signed:
//! message Offer   { bytes   object   = 1;             // first 16 bytes of the manifest's BLAKE3
//!                   string  name     = 2;             // at most 200 bytes
//!                   uint64  size     = 3;             // at most 4 GiB
//!                   string  kind     = 4;             // media type, at most 64 bytes
//!                   bytes   manifest = 5;             // BLAKE3 of the manifest, 32 bytes
//!                   uint32  manifest_bytes = 6;
//!                   uint32  group    = 7;             // 0..7: which file group and ports
//!                   fixed64 sid      = 8;             // session the offerer's symbols are sealed in
//!                   uint32  port     = 9;             // where it serves over TCP, at its beacon's address; 0 nowhere
//!                   bytes   asks     = 10;            // two bytes of the id of each who has yet to answer or to finish
//!                   bool    over     = 11;            // taken back
//!                   Voice   voice    = 12;            // it is a voice message
//!                   bytes   key      = 13;            // 32 bytes, only inside `sealed`
//!                   bytes   audience = 14;            // for some only: ids of 12 at most, 16 bytes each, and the offerer's,
//!                   bytes   sealed   = 15;            // and 2, 3, 4, 12, 13 and 16 of another Offer sealed to them
//!                   bytes   thumbnail = 16; }         // of a picture: `media::thumbnail`, at most 640 bytes
//! message Voice   { uint32 ms = 1; bytes waveform = 2; }   // loudness, at most 64 steps of equal length, 0 to 255
//! message Accept  { bytes object = 1; bytes have = 2; }    // a bit for each block had, lowest bit first
//! message Decline { bytes object = 1; uint32 reason = 2; } // 0 not wanted, 1 no room, 2 cannot be stored, 3 gave up
//! message Done    { bytes object = 1; }                    // has it all, verified
//!
//! // Kind 14, the body of a sealed datagram of class feedback:
//! message ObjectNack { bytes object = 1; bytes member = 2; // 16 bytes each
//!                   repeated Want wants = 3;          // at most 32
//!                   uint32 loss_permille = 4; uint32 packets = 5;  // lost of so many since the last report
//!                   uint32 blocks = 6;                // had
//!                   bool   alone  = 7;                // fetches by itself: answers nobody else's request
//!                   bytes  fetch  = 8;                // of the one who sends: who shall fetch, two bytes of each id
//!                   uint64 seen   = 9; }              // highest packet number heard: what is later may be under way; 0 unsaid
//! message Want    { uint32 block = 1; uint32 deficit = 2; } // block 2^32-1: the manifest
//! ```
//! **Symbols.** An object is its manifest and blocks of 1,024 symbols of 1,280 bytes; the last block has fewer, its last
//! symbol is filled with zeros. Symbols below the number of a block's source symbols are the bytes themselves, those above are
//! Reed-Solomon parity (`reed-solomon-simd`, 1,024 for every block). The body of a sealed datagram of class object:
//! ```text
//!  0  8  first bytes of the object's id
//!  8  4  block; 2^32-1 the manifest, 2^32-2 none: everything was sent that was to be sent
//! 12  2  index in the block
//! 14 ..  1,280 bytes; nothing after block 2^32-2
//! ```
//! Over TCP the same sealed datagrams follow one another, each behind its length (2 bytes). Numbers are in network order.

use crate::limits::{
    OBJECT_ASKS_MAX, OBJECT_AUDIENCE_MAX, OBJECT_BLOCK_SYMBOLS, OBJECT_BLOCKS_MAX, OBJECT_BYTES_MAX,
    OBJECT_KIND_BYTES_MAX, OBJECT_MANIFEST_BYTES_MAX, OBJECT_NAME_BYTES_MAX, OBJECT_PARITY_SYMBOLS,
    OBJECT_SYMBOL_BYTES, OBJECT_THUMBNAIL_BYTES_MAX, OBJECT_WANTS_MAX, SEALED_BODY_BYTES_MAX, WAVEFORM_STEPS_MAX,
};
use crate::wire::message::{ParticipantId, Signed};

/// Number of an Offer in a signature's context.
pub const KIND_OFFER: u8 = 11;
/// Number of an Accept in a signature's context.
pub const KIND_ACCEPT: u8 = 12;
/// Number of a Decline in a signature's context.
pub const KIND_DECLINE: u8 = 13;
/// Number of a Done in a signature's context.
pub const KIND_DONE: u8 = 15;

/// The block number that stands for the manifest.
pub const MANIFEST: u32 = u32::MAX;
/// The block number of the mark behind everything sent.
pub const END: u32 = u32::MAX - 1;
/// Bytes of a symbol's header.
pub const SYMBOL_HEADER_BYTES: usize = 14;
/// Bytes of an object's key.
pub const KEY_BYTES: usize = 32;

/// Names an object: the first bytes of its manifest's BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; 16]);

impl ObjectId {
    /// As it stands in symbols.
    pub fn tag(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// No id of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is not the id of a file")]
pub struct NoId;

impl std::str::FromStr for ObjectId {
    type Err = NoId;
    fn from_str(text: &str) -> Result<Self, NoId> {
        let digits = text.as_bytes();
        let mut id = [0; 16];
        if digits.len() != 2 * id.len() {
            return Err(NoId);
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoId)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoId)?;
        }
        Ok(Self(id))
    }
}

/// Somebody has something to give.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Offer {
    /// First 16 bytes of the manifest's BLAKE3.
    #[prost(bytes = "vec", tag = "1")]
    pub object: Vec<u8>,
    /// File name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Bytes.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Media type.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// BLAKE3 of the manifest.
    #[prost(bytes = "vec", tag = "5")]
    pub manifest: Vec<u8>,
    /// Its length.
    #[prost(uint32, tag = "6")]
    pub manifest_bytes: u32,
    /// Which file group.
    #[prost(uint32, tag = "7")]
    pub group: u32,
    /// Session the symbols are sealed in.
    #[prost(fixed64, tag = "8")]
    pub sid: u64,
    /// TCP port; 0 none.
    #[prost(uint32, tag = "9")]
    pub port: u32,
    /// Two bytes of the id of each who has yet to answer or finish.
    #[prost(bytes = "vec", tag = "10")]
    pub asks: Vec<u8>,
    /// Taken back.
    #[prost(bool, tag = "11")]
    pub over: bool,
    /// It is a voice message.
    #[prost(message, optional, tag = "12")]
    pub voice: Option<Voice>,
    /// What the symbols' keys depend on, too.
    #[prost(bytes = "vec", tag = "13")]
    pub key: Vec<u8>,
    /// For whom; empty: for everybody.
    #[prost(bytes = "vec", tag = "14")]
    pub audience: Vec<u8>,
    /// The rest, sealed to them.
    #[prost(bytes = "vec", tag = "15")]
    pub sealed: Vec<u8>,
    /// A picture, small.
    #[prost(bytes = "vec", tag = "16")]
    pub thumbnail: Vec<u8>,
}

/// What a voice message is like before it is heard.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Voice {
    /// Milliseconds.
    #[prost(uint32, tag = "1")]
    pub ms: u32,
    /// Loudness in steps of equal length.
    #[prost(bytes = "vec", tag = "2")]
    pub waveform: Vec<u8>,
}

/// Somebody wants it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Accept {
    /// The object.
    #[prost(bytes = "vec", tag = "1")]
    pub object: Vec<u8>,
    /// A bit for each block had.
    #[prost(bytes = "vec", tag = "2")]
    pub have: Vec<u8>,
}

/// Somebody does not, or not any more.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Decline {
    /// The object.
    #[prost(bytes = "vec", tag = "1")]
    pub object: Vec<u8>,
    /// [`Reason::to_wire`].
    #[prost(uint32, tag = "2")]
    pub reason: u32,
}

/// Somebody has it all.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Done {
    /// The object.
    #[prost(bytes = "vec", tag = "1")]
    pub object: Vec<u8>,
}

/// Why something is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not wanted.
    Unwanted,
    /// There is no room on the disk, or not for this person.
    NoRoom,
    /// It cannot be stored.
    Unstorable,
    /// It was wanted, and then not any more.
    GaveUp,
}

impl Reason {
    /// The number in messages.
    pub fn to_wire(self) -> u32 {
        self as u32
    }

    /// Numbers of the future mean that it is not taken.
    pub fn from_wire(number: u32) -> Self {
        match number {
            1 => Reason::NoRoom,
            2 => Reason::Unstorable,
            3 => Reason::GaveUp,
            _ => Reason::Unwanted,
        }
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Reason::Unwanted => "does not want it",
            Reason::NoRoom => "has no room for it",
            Reason::Unstorable => "cannot store it",
            Reason::GaveUp => "stopped receiving it",
        }
    }
}

/// Asks for symbols, and tells how it goes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ObjectNack {
    /// The object.
    #[prost(bytes = "vec", tag = "1")]
    pub object: Vec<u8>,
    /// Who says so.
    #[prost(bytes = "vec", tag = "2")]
    pub member: Vec<u8>,
    /// Symbols asked for.
    #[prost(message, repeated, tag = "3")]
    pub wants: Vec<Want>,
    /// Lost of `packets`, in thousandths.
    #[prost(uint32, tag = "4")]
    pub loss_permille: u32,
    /// Sent since the last report, as far as is known.
    #[prost(uint32, tag = "5")]
    pub packets: u32,
    /// Blocks had.
    #[prost(uint32, tag = "6")]
    pub blocks: u32,
    /// Served by itself.
    #[prost(bool, tag = "7")]
    pub alone: bool,
    /// Who shall fetch.
    #[prost(bytes = "vec", tag = "8")]
    pub fetch: Vec<u8>,
    /// The highest packet number heard of the one who sends; 0: unsaid.
    #[prost(uint64, tag = "9")]
    pub seen: u64,
}

/// Symbols of one block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Want {
    /// Which block.
    #[prost(uint32, tag = "1")]
    pub block: u32,
    /// How many symbols are missing.
    #[prost(uint32, tag = "2")]
    pub deficit: u32,
}

/// What members say to everybody about an object. Within the bounds once [parsed](Packet::parse).
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "handed on one at a time")]
pub enum Packet {
    /// Kind 11.
    Offer(Offer),
    /// Kind 12.
    Accept(Accept),
    /// Kind 13.
    Decline(Decline),
    /// Kind 15.
    Done(Done),
}

/// Why a message about an object is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not Protocol Buffers.
    #[error("cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field outside its bounds.
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
}

impl Packet {
    /// The number of its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Packet::Offer(_) => KIND_OFFER,
            Packet::Accept(_) => KIND_ACCEPT,
            Packet::Decline(_) => KIND_DECLINE,
            Packet::Done(_) => KIND_DONE,
        }
    }

    /// As it is signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        use prost::Message as _;
        match self {
            Packet::Offer(p) => p.encode_to_vec(),
            Packet::Accept(p) => p.encode_to_vec(),
            Packet::Decline(p) => p.encode_to_vec(),
            Packet::Done(p) => p.encode_to_vec(),
        }
    }

    /// Reads what was signed as `kind`, and compares it with the bounds.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, Error> {
        use prost::Message as _;
        let packet = match kind {
            KIND_OFFER => Packet::Offer(Offer::decode(payload)?),
            KIND_ACCEPT => Packet::Accept(Accept::decode(payload)?),
            KIND_DECLINE => Packet::Decline(Decline::decode(payload)?),
            KIND_DONE => Packet::Done(Done::decode(payload)?),
            _ => return Err(Error::Bounds("kind")),
        };
        match &packet {
            Packet::Offer(offer) => offer.check()?,
            Packet::Accept(accept) if accept.have.len() > OBJECT_BLOCKS_MAX.div_ceil(8) => {
                return Err(Error::Bounds("have"));
            }
            _ => {}
        }
        packet.object().map(|_| packet).ok_or(Error::Bounds("object"))
    }

    /// What it is about.
    pub fn object(&self) -> Option<ObjectId> {
        let id = match self {
            Packet::Offer(p) => &p.object,
            Packet::Accept(p) => &p.object,
            Packet::Decline(p) => &p.object,
            Packet::Done(p) => &p.object,
        };
        id.as_slice().try_into().ok().map(ObjectId)
    }

    /// As it stands in a datagram, signed.
    pub fn signed(kind: u8, signed: Signed) -> Option<super::message::Kind> {
        use super::message::Kind;
        Some(match kind {
            KIND_OFFER => Kind::Offer(signed),
            KIND_ACCEPT => Kind::Accept(signed),
            KIND_DECLINE => Kind::Decline(signed),
            KIND_DONE => Kind::Done(signed),
            _ => return None,
        })
    }
}

impl Offer {
    fn check(&self) -> Result<(), Error> {
        let private = !self.sealed.is_empty();
        let ids = self.audience.len() / 16;
        let voice = self.voice.as_ref().map_or(0, |v| v.waveform.len());
        for (within, what) in [
            (self.size <= OBJECT_BYTES_MAX, "size"),
            (self.name.len() <= OBJECT_NAME_BYTES_MAX, "name"),
            (self.kind.len() <= OBJECT_KIND_BYTES_MAX, "kind"),
            (self.manifest.len() == 32 && self.manifest.starts_with(&self.object), "manifest"),
            ((1..=OBJECT_MANIFEST_BYTES_MAX).contains(&(self.manifest_bytes as usize)), "manifest_bytes"),
            (self.group < GROUPS, "group"),
            (self.port <= u16::MAX.into(), "port"),
            (self.asks.len() <= 2 * OBJECT_ASKS_MAX, "asks"),
            (self.thumbnail.len() <= OBJECT_THUMBNAIL_BYTES_MAX, "thumbnail"),
            (voice <= WAVEFORM_STEPS_MAX, "waveform"),
            (self.audience.len().is_multiple_of(16) && ids <= OBJECT_AUDIENCE_MAX + 1, "audience"),
            (self.key.is_empty() || self.key.len() == KEY_BYTES, "key"),
            (private == (ids > 0) && self.sealed.len() <= SEALED_BODY_BYTES_MAX, "sealed"),
        ] {
            if !within {
                return Err(Error::Bounds(what));
            }
        }
        Ok(())
    }

    /// Whether the id of `member` is among those asked.
    pub fn asks(&self, member: &ParticipantId) -> bool {
        named(&self.asks, member)
    }

    /// Those it is for; empty: everybody.
    pub fn audience(&self) -> Vec<ParticipantId> {
        self.audience.chunks_exact(16).filter_map(|id| id.try_into().ok().map(ParticipantId)).collect()
    }
}

/// Whether the first two bytes of the id of `member` are among `ids`.
pub fn named(ids: &[u8], member: &ParticipantId) -> bool {
    ids.chunks_exact(2).any(|two| member.0.starts_with(two))
}

/// File groups of a conference.
pub const GROUPS: u32 = 8;

impl ObjectNack {
    /// Reads the body of a datagram of class feedback, and compares it with the bounds.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        use prost::Message as _;
        let nack = Self::decode(body)?;
        let symbols = (OBJECT_BLOCK_SYMBOLS + OBJECT_PARITY_SYMBOLS) as u32;
        for (within, what) in [
            (nack.object.len() == 16, "object"),
            (nack.member.len() == 16, "member"),
            (nack.wants.len() <= OBJECT_WANTS_MAX, "wants"),
            (nack.wants.iter().all(|w| w.block == MANIFEST || (w.block as usize) < OBJECT_BLOCKS_MAX), "block"),
            (nack.wants.iter().all(|w| (1..=symbols).contains(&w.deficit)), "deficit"),
            (nack.loss_permille <= 1_000, "loss_permille"),
            (nack.fetch.len() <= 2 * OBJECT_ASKS_MAX, "fetch"),
        ] {
            if !within {
                return Err(Error::Bounds(what));
            }
        }
        Ok(nack)
    }

    /// What it is about.
    pub fn object(&self) -> Option<ObjectId> {
        self.object.as_slice().try_into().ok().map(ObjectId)
    }

    /// Who says it.
    pub fn member(&self) -> Option<ParticipantId> {
        self.member.as_slice().try_into().ok().map(ParticipantId)
    }
}

/// One symbol, as it stands in the body of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Of which object.
    pub tag: [u8; 8],
    /// Which block.
    pub block: u32,
    /// Which symbol of it.
    pub index: u16,
    /// Its bytes; empty for [`END`].
    pub bytes: &'a [u8],
}

impl<'a> Symbol<'a> {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(&self.block.to_be_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(self.bytes);
    }

    /// Reads the body of a datagram of class object.
    ///
    /// # Errors
    /// [`Error::Bounds`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (header, bytes) =
            body.split_first_chunk::<SYMBOL_HEADER_BYTES>().ok_or(Error::Bounds("length of a symbol"))?;
        let [a, b, c, d, e, f, g, h, k, l, m, n, i, j] = *header;
        let block = u32::from_be_bytes([k, l, m, n]);
        let index = u16::from_be_bytes([i, j]);
        let expected = if block == END { 0 } else { OBJECT_SYMBOL_BYTES };
        if bytes.len() != expected {
            return Err(Error::Bounds("length of a symbol"));
        }
        if block < END && block as usize >= OBJECT_BLOCKS_MAX {
            return Err(Error::Bounds("block"));
        }
        if usize::from(index) >= OBJECT_BLOCK_SYMBOLS + OBJECT_PARITY_SYMBOLS {
            return Err(Error::Bounds("index"));
        }
        Ok(Self { tag: [a, b, c, d, e, f, g, h], block, index, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            object: vec![1; 16],
            name: "a".into(),
            size: 5,
            manifest: vec![1; 32],
            manifest_bytes: 100,
            ..Offer::default()
        }
    }

    fn read(offer: Offer) -> Result<Packet, Error> {
        let packet = Packet::Offer(offer);
        Packet::parse(packet.kind(), &packet.to_bytes())
    }

    #[test]
    fn offers_are_compared_with_their_bounds() {
        assert_eq!(read(offer()).unwrap(), Packet::Offer(offer()));
        let wave = |steps| Some(Voice { ms: 1, waveform: vec![0; steps] });
        let rows = [
            (Offer { size: OBJECT_BYTES_MAX, ..offer() }, true),
            (Offer { size: OBJECT_BYTES_MAX + 1, ..offer() }, false),
            (Offer { name: "x".repeat(OBJECT_NAME_BYTES_MAX), ..offer() }, true),
            (Offer { name: "x".repeat(OBJECT_NAME_BYTES_MAX + 1), ..offer() }, false),
            (Offer { kind: "x".repeat(OBJECT_KIND_BYTES_MAX), ..offer() }, true),
            (Offer { kind: "x".repeat(OBJECT_KIND_BYTES_MAX + 1), ..offer() }, false),
            (Offer { manifest: vec![2; 32], ..offer() }, false),
            (Offer { object: vec![], ..offer() }, false),
            (Offer { manifest_bytes: OBJECT_MANIFEST_BYTES_MAX as u32, ..offer() }, true),
            (Offer { manifest_bytes: OBJECT_MANIFEST_BYTES_MAX as u32 + 1, ..offer() }, false),
            (Offer { manifest_bytes: 0, ..offer() }, false),
            (Offer { group: GROUPS - 1, ..offer() }, true),
            (Offer { group: GROUPS, ..offer() }, false),
            (Offer { port: 65_536, ..offer() }, false),
            (Offer { asks: vec![0; 2 * OBJECT_ASKS_MAX], ..offer() }, true),
            (Offer { asks: vec![0; 2 * OBJECT_ASKS_MAX + 1], ..offer() }, false),
            (Offer { thumbnail: vec![0; OBJECT_THUMBNAIL_BYTES_MAX], ..offer() }, true),
            (Offer { thumbnail: vec![0; OBJECT_THUMBNAIL_BYTES_MAX + 1], ..offer() }, false),
            (Offer { voice: wave(WAVEFORM_STEPS_MAX), ..offer() }, true),
            (Offer { voice: wave(WAVEFORM_STEPS_MAX + 1), ..offer() }, false),
            (Offer { audience: vec![0; 16 * (OBJECT_AUDIENCE_MAX + 1)], sealed: vec![0; 9], ..offer() }, true),
            (Offer { audience: vec![0; 16 * (OBJECT_AUDIENCE_MAX + 2)], sealed: vec![0; 9], ..offer() }, false),
            (Offer { audience: vec![0; 16], ..offer() }, false),
            (Offer { sealed: vec![0; 9], ..offer() }, false),
        ];
        for (n, (offer, good)) in rows.into_iter().enumerate() {
            assert_eq!(read(offer).is_ok(), good, "row {n}");
        }
        let have = |bytes| Packet::Accept(Accept { object: vec![1; 16], have: vec![0; bytes] });
        let most = OBJECT_BLOCKS_MAX.div_ceil(8);
        assert!(Packet::parse(KIND_ACCEPT, &have(most).to_bytes()).is_ok());
        assert!(Packet::parse(KIND_ACCEPT, &have(most + 1).to_bytes()).is_err());
    }

    #[test]
    fn requests_are_compared_with_their_bounds() {
        use prost::Message as _;
        let symbols = (OBJECT_BLOCK_SYMBOLS + OBJECT_PARITY_SYMBOLS) as u32;
        let with = |block: u32, deficit: u32, count: usize| {
            let wants = vec![Want { block, deficit }; count];
            let nack = ObjectNack { object: vec![0; 16], member: vec![0; 16], wants, ..ObjectNack::default() };
            ObjectNack::parse(&nack.encode_to_vec()).is_ok()
        };
        assert!(with(0, 1, OBJECT_WANTS_MAX) && !with(0, 1, OBJECT_WANTS_MAX + 1));
        assert!(with(OBJECT_BLOCKS_MAX as u32 - 1, 1, 1) && !with(OBJECT_BLOCKS_MAX as u32, 1, 1));
        assert!(with(MANIFEST, symbols, 1) && !with(0, symbols + 1, 1) && !with(0, 0, 1) && !with(END, 1, 1));
        assert!(ObjectNack::parse(&ObjectNack::default().encode_to_vec()).is_err());
    }

    #[test]
    fn symbols_have_one_length_and_known_places() {
        let bytes = [7; OBJECT_SYMBOL_BYTES];
        let of = |block, index, bytes| {
            let mut out = Vec::new();
            Symbol { tag: *b"abcdefgh", block, index, bytes }.write(&mut out);
            out
        };
        let last = (OBJECT_BLOCK_SYMBOLS + OBJECT_PARITY_SYMBOLS) as u16 - 1;
        let symbol = of(3, last, &bytes);
        assert_eq!(symbol.len(), SYMBOL_HEADER_BYTES + OBJECT_SYMBOL_BYTES);
        assert_eq!(Symbol::parse(&symbol).unwrap(), Symbol { tag: *b"abcdefgh", block: 3, index: last, bytes: &bytes });
        assert!(Symbol::parse(&of(END, 0, &[])).is_ok());
        for bad in [
            of(3, 0, &bytes[1..]),
            of(3, 0, &[]),
            of(END, 0, &bytes),
            of(3, last + 1, &bytes),
            of(OBJECT_BLOCKS_MAX as u32, 0, &bytes),
        ] {
            assert!(Symbol::parse(&bad).is_err());
        }
        for short in 0..SYMBOL_HEADER_BYTES {
            assert!(Symbol::parse(&symbol[..short]).is_err());
        }
    }

    #[test]
    fn ids_are_read_as_they_are_shown() {
        let id = ObjectId(std::array::from_fn(|n| n as u8 * 16));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "0", "zz", &"é".repeat(16), &"0".repeat(33)] {
            assert_eq!(bad.parse::<ObjectId>(), Err(NoId));
        }
    }
}
