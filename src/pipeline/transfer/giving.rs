//! A file that is given: its bytes and parity as they are asked for, sealed and sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::fetch::Served;
use crate::device::files::{Error, Source};
use crate::device::net::{Dscp, UdpSocket};
use crate::limits::OBJECT_SYMBOL_BYTES;
use crate::protocol::keys::{EpochKeys, Random};
use crate::protocol::seal::Sealer;
use crate::protocol::transfer::code;
use crate::protocol::transfer::manifest::{BLOCK_BYTES, Layout, Manifest, hash, object_id};
use crate::protocol::transfer::sender::{Outgoing, Piece, SYMBOL_WIRE_BYTES};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{END, MANIFEST, ObjectId, ObjectNack, Offer, Symbol, Voice};
use crate::wire::sealed::Class;

/// Datagrams handed to the system in one call.
const BATCH: usize = 16;
/// Blocks whose parity is kept, and whose bytes are.
const PARITY_KEPT: usize = 12;
/// Bytes of a datagram with a symbol, without IP and UDP headers.
const DATAGRAM_BYTES: usize = SYMBOL_WIRE_BYTES - 28;

/// See the module.
pub struct Giving {
    /// Names it.
    pub object: ObjectId,
    /// What is known of it.
    pub manifest: Manifest,
    /// For whom; empty: for everybody.
    pub audience: Vec<ParticipantId>,
    /// It is a voice message.
    pub voice: Option<Voice>,
    /// What it shows, small.
    pub thumbnail: Vec<u8>,
    /// Its file group.
    pub group: u8,
    /// Its own key; empty when it is for everybody.
    pub key: Zeroizing<Vec<u8>>,
    /// Who wants it, and what is next.
    pub out: Outgoing,
    /// Somebody else offered it first, and left.
    pub inherited: bool,
    /// That everybody has it was told.
    pub settled: bool,
    /// Since when.
    pub since: Timestamp,
    source: Source,
    manifest_bytes: Arc<[u8]>,
    layout: Layout,
    data: Sealer,
    feedback: Sealer,
    block: Option<(u32, Vec<u8>)>,
    parity: BTreeMap<u32, Vec<u8>>,
    /// Blocks of `parity`, oldest use first.
    recent: Vec<u32>,
    batch: Vec<u8>,
    plain: Vec<u8>,
}

/// What a file is offered with.
pub struct Setup {
    /// Its bytes.
    pub source: Source,
    /// What it is.
    pub manifest: Manifest,
    /// Whom it is offered to, of those who are here.
    pub members: Vec<ParticipantId>,
    /// For whom; empty: for everybody.
    pub audience: Vec<ParticipantId>,
    /// It is a voice message.
    pub voice: Option<Voice>,
    /// What it shows, small.
    pub thumbnail: Vec<u8>,
    /// Its file group.
    pub group: u8,
    /// Its own key.
    pub key: Zeroizing<Vec<u8>>,
    /// Never faster than so many Mb/s.
    pub limit_mbit: Option<u32>,
    /// Somebody else offered it first, and left.
    pub inherited: bool,
}

impl Giving {
    /// Ready to be offered.
    pub fn new(now: Timestamp, setup: Setup, keys: &EpochKeys, random: &mut Random) -> Self {
        let manifest_bytes: Arc<[u8]> = setup.manifest.to_bytes().into();
        let layout = Layout { size: setup.manifest.size, manifest_bytes: manifest_bytes.len() as u32 };
        let [data, feedback] =
            [Class::Object, Class::Feedback].map(|class| Sealer::object(keys, random.next_u64(), class, &setup.key));
        Self {
            object: object_id(&hash(&manifest_bytes)),
            manifest: setup.manifest,
            audience: setup.audience,
            voice: setup.voice,
            thumbnail: setup.thumbnail,
            group: setup.group,
            key: setup.key,
            out: Outgoing::new(now, layout, setup.members, setup.limit_mbit),
            inherited: setup.inherited,
            settled: false,
            since: now,
            source: setup.source,
            manifest_bytes,
            layout,
            data,
            feedback,
            block: None,
            parity: BTreeMap::new(),
            recent: Vec::new(),
            batch: Vec::with_capacity(BATCH * DATAGRAM_BYTES),
            plain: Vec::new(),
        }
    }

    /// Another epoch: other sessions.
    pub fn renew(&mut self, keys: &EpochKeys, random: &mut Random) {
        self.data = Sealer::object(keys, random.next_u64(), Class::Object, &self.key);
        self.feedback = Sealer::object(keys, random.next_u64(), Class::Feedback, &self.key);
        self.out.renumbered();
    }

    /// Sessions its datagrams are sealed in.
    pub fn sids(&self) -> [u64; 2] {
        [self.data.sid(), self.feedback.sid()]
    }

    /// Nobody asks for it at present: keeps nothing in memory that can be read or made again.
    pub fn rest(&mut self) {
        self.block = None;
        self.parity = BTreeMap::new();
        self.recent.clear();
    }

    /// Makes a piece, to be thrown away.
    #[cfg(test)]
    pub fn make(&mut self, block: u32, index: u16) {
        self.write([0; 8], Piece { block, index }, &mut Vec::new()).unwrap();
    }

    /// Bytes of it in memory.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.parity.values().map(Vec::len).sum::<usize>() + self.block.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// What it is served from, for those who fetch.
    pub fn served(&self) -> Served {
        let (source, manifest) = (self.source.clone(), Arc::clone(&self.manifest_bytes));
        Served { source, manifest, layout: self.layout, key: self.key.clone() }
    }

    /// Its sizes.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The offer as it is now; it asks those whose ids begin so.
    pub fn offer(&self, asks: Vec<u8>, port: u16, over: bool) -> Offer {
        let hash = hash(&self.manifest_bytes);
        // Who is not asked has seen it.
        let thumbnail = if asks.is_empty() { Vec::new() } else { self.thumbnail.clone() };
        Offer {
            object: self.object.0.to_vec(),
            name: self.manifest.name.clone(),
            size: self.manifest.size,
            kind: self.manifest.kind.clone(),
            manifest: hash.to_vec(),
            manifest_bytes: self.manifest_bytes.len() as u32,
            group: self.group.into(),
            sid: self.data.sid(),
            port: port.into(),
            asks,
            over,
            voice: self.voice.clone(),
            key: self.key.to_vec(),
            audience: Vec::new(),
            sealed: Vec::new(),
            thumbnail,
        }
    }

    /// Sends what may be sent now.
    ///
    /// # Errors
    /// The file cannot be read any more, or is another one.
    pub fn send(&mut self, now: Timestamp, socket: &UdpSocket, to: SocketAddr) -> Result<(), Error> {
        let tag = self.object.tag();
        while let Some(piece) = self.out.next(now) {
            self.plain.clear();
            let mut plain = std::mem::take(&mut self.plain);
            let written = self.write(tag, piece, &mut plain);
            let whole = plain.len() > crate::wire::object::SYMBOL_HEADER_BYTES;
            let sealed = written.is_ok() && self.data.seal(&plain, &mut self.batch);
            self.plain = plain;
            written?;
            if !sealed {
                continue;
            }
            // A shorter one may only be the last of a batch.
            if !whole || self.batch.len() >= BATCH * DATAGRAM_BYTES {
                self.flush(socket, to);
            }
        }
        self.flush(socket, to);
        Ok(())
    }

    fn flush(&mut self, socket: &UdpSocket, to: SocketAddr) {
        // What the system does not take is lost, as on the way: it is asked for again.
        if !self.batch.is_empty()
            && let Err(error) = socket.send_segments(to, &self.batch, DATAGRAM_BYTES, Dscp::Files)
        {
            tracing::trace!(%error, "symbols were not sent");
        }
        self.batch.clear();
    }

    fn write(&mut self, tag: [u8; 8], piece: Piece, plain: &mut Vec<u8>) -> Result<(), Error> {
        let Piece { block, index } = piece;
        if block == END {
            Symbol { tag, block, index, bytes: &[] }.write(plain);
            return Ok(());
        }
        let n = usize::from(index);
        let symbols = self.layout.symbols(block);
        if n < symbols {
            let bytes = self.bytes(block)?;
            let end = bytes.len().min((n + 1) * OBJECT_SYMBOL_BYTES);
            let bytes = code::whole(bytes.get(n * OBJECT_SYMBOL_BYTES..end).unwrap_or_default());
            Symbol { tag, block, index, bytes: &bytes }.write(plain);
            return Ok(());
        }
        if !self.parity.contains_key(&block) {
            let parity = code::parity(self.bytes(block)?);
            self.parity.insert(block, parity);
        }
        self.recent.retain(|n| *n != block);
        self.recent.push(block);
        if self.recent.len() > PARITY_KEPT {
            let oldest = self.recent.remove(0);
            self.parity.remove(&oldest);
        }
        let parity = self.parity.get(&block).map_or(&[][..], Vec::as_slice);
        let start = (n - symbols) * OBJECT_SYMBOL_BYTES;
        let bytes = parity.get(start..start + OBJECT_SYMBOL_BYTES).unwrap_or_default();
        Symbol { tag, block, index, bytes }.write(plain);
        Ok(())
    }

    /// The bytes of a block, which must still be what they were.
    fn bytes(&mut self, block: u32) -> Result<&[u8], Error> {
        if block == MANIFEST {
            return Ok(&self.manifest_bytes);
        }
        if self.block.as_ref().is_none_or(|(n, _)| *n != block) {
            let (_, mut bytes) = self.block.take().unwrap_or_default();
            bytes.resize(self.layout.bytes(block), 0);
            self.source.read(u64::from(block) * BLOCK_BYTES as u64, &mut bytes)?;
            if self.manifest.hashes.get(block as usize) != Some(&hash(&bytes)) {
                return Err(Error::Changed { path: self.source.path().into() });
            }
            self.block = Some((block, bytes));
        }
        Ok(self.block.as_ref().map_or(&[][..], |(_, bytes)| bytes))
    }

    /// Tells those who lose too much to fetch; nothing when nobody does.
    pub fn tell_alone(&mut self, me: ParticipantId) -> Option<Vec<u8>> {
        use prost::Message as _;
        let fetch = self.out.alone();
        if fetch.is_empty() {
            return None;
        }
        let nack = ObjectNack { object: self.object.0.to_vec(), member: me.0.to_vec(), fetch, ..ObjectNack::default() };
        let mut datagram = Vec::new();
        self.feedback.seal(&nack.encode_to_vec(), &mut datagram).then_some(datagram)
    }
}
