//! Blocks over TCP, for those who lose too much on the group and where somebody spoiled a block.
//!
//! ```text
//! who fetches: object id (16 bytes), then requests     every request and symbol: length (2 bytes), sealed datagram
//! who serves:  the symbols of the blocks asked for, in their order; then waits for the next request
//! ```
//! One thread for each connection. Whoever is slow to begin is left after [`HANDSHAKE`], whoever stops reading after
//! [`STALL`].

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use mio::Waker;
use prost::Message as _;
use zeroize::Zeroizing;

use super::pace::Pace;
use crate::device::clock::Clock;
use crate::device::files::Source;
use crate::device::net::{Dscp, mark};
use crate::limits::{DATAGRAM_BYTES_MAX, OBJECT_SYMBOL_BYTES, OBJECT_WANTS_MAX};
use crate::protocol::keys::EpochKeys;
use crate::protocol::seal::{Opener, Sealer};
use crate::protocol::transfer::code;
use crate::protocol::transfer::manifest::{BLOCK_BYTES, Layout};
use crate::wire::message::ParticipantId;
use crate::wire::object::{MANIFEST, ObjectId, ObjectNack, Symbol, Want};
use crate::wire::sealed::Class;

/// Until the first request is here.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Until more can be written or read.
const STALL: Duration = Duration::from_secs(10);
/// Who is connected need not be told apart by address.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Bytes written at a time.
const WRITE_BYTES: usize = 64 << 10;
/// Symbols read between two that wake whoever takes them.
const READ_SYMBOLS: usize = 64;

/// Something that may be fetched.
#[derive(Clone)]
pub struct Served {
    /// Its bytes.
    pub source: Source,
    /// Its manifest.
    pub manifest: Arc<[u8]>,
    /// Its sizes.
    pub layout: Layout,
    /// Its own key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Serves one connection to its end, as fast as `pace` lets it; `find` knows what there is.
pub fn serve(
    stream: TcpStream,
    keys: &EpochKeys,
    sid: u64,
    (clock, pace): (&Clock, &Pace),
    find: impl FnOnce(&ObjectId) -> Option<Served>,
) -> io::Result<()> {
    let mut stream = stream;
    stream.set_nodelay(true)?;
    // As all of a file: behind voice and video. A system that cannot say so sends it all the same.
    let _ = mark(&stream, Dscp::Files);
    stream.set_read_timeout(Some(HANDSHAKE))?;
    stream.set_write_timeout(Some(STALL))?;
    let mut id = [0; 16];
    stream.read_exact(&mut id)?;
    let id = ObjectId(id);
    let Some(mut served) = find(&id) else {
        return Ok(());
    };
    let mut opener = Opener::object(keys.clone(), &served.key);
    let mut sealer = Sealer::object(keys, sid, Class::Object, &served.key);
    let (mut datagram, mut body) = (Vec::new(), Vec::new());
    loop {
        read_frame(&mut stream, &mut datagram)?;
        let opened = opener.open(clock.now(), ANYWHERE, &datagram, &mut body);
        let request = opened.ok().and_then(|_| ObjectNack::parse(&body).ok()).filter(|r| r.object() == Some(id));
        let Some(request) = request else {
            return Ok(());
        };
        stream.set_read_timeout(Some(STALL))?;
        for want in &request.wants {
            let block = sealed_block(&mut served, &mut sealer, &id, want.block)?;
            for part in block.chunks(WRITE_BYTES) {
                if !pace.wait(clock, part.len()) {
                    return Ok(());
                }
                stream.write_all(part)?;
            }
        }
    }
}

fn sealed_block(served: &mut Served, sealer: &mut Sealer, id: &ObjectId, block: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if block == MANIFEST {
        bytes.extend_from_slice(&served.manifest);
    } else {
        bytes.resize(served.layout.bytes(block), 0);
        served.source.read(u64::from(block) * BLOCK_BYTES as u64, &mut bytes).map_err(io::Error::other)?;
    }
    let (mut out, mut plain, mut datagram) = (Vec::new(), Vec::new(), Vec::new());
    for (n, symbol) in bytes.chunks(OBJECT_SYMBOL_BYTES).enumerate() {
        plain.clear();
        datagram.clear();
        Symbol { tag: id.tag(), block, index: n as u16, bytes: &code::whole(symbol) }.write(&mut plain);
        sealer.seal(&plain, &mut datagram);
        write_frame(&mut out, &datagram);
    }
    Ok(out)
}

fn write_frame(out: &mut Vec<u8>, datagram: &[u8]) {
    out.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    out.extend_from_slice(datagram);
}

fn read_frame(stream: &mut impl Read, datagram: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > DATAGRAM_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    datagram.resize(length, 0);
    stream.read_exact(datagram)
}

/// What a fetch brings.
pub enum Fetched {
    /// A symbol: object, block, index, bytes.
    Symbol(ObjectId, u32, u16, Vec<u8>),
    /// It is over: these blocks were asked for.
    Over(ObjectId, Vec<u32>),
}

/// What to fetch, and where.
pub struct Fetch {
    /// Where whoever offered it serves it.
    pub from: SocketAddr,
    /// Which object.
    pub object: ObjectId,
    /// Oneself.
    pub me: ParticipantId,
    /// Its own key.
    pub key: Zeroizing<Vec<u8>>,
    /// Which blocks, and of how many symbols each.
    pub blocks: Vec<(u32, usize)>,
    /// Session of the request.
    pub sid: u64,
}

/// Fetches on a thread of its own; [`Fetched::Over`] always comes at the end.
pub fn begin(fetch: Fetch, keys: EpochKeys, clock: Clock, out: Sender<Fetched>, waker: Arc<Waker>) {
    let over = (fetch.object, fetch.blocks.iter().map(|(block, _)| *block).collect::<Vec<_>>());
    let (late, said) = (out.clone(), over.clone());
    let work = move || {
        if let Err(error) = run(&fetch, &keys, &clock, &out, &waker) {
            tracing::debug!(%error, from = %fetch.from, "fetching ended");
        }
        let _ = out.send(Fetched::Over(over.0, over.1));
        let _ = waker.wake();
    };
    if std::thread::Builder::new().name("fetch".into()).spawn(work).is_err() {
        let _ = late.try_send(Fetched::Over(said.0, said.1));
    }
}

fn run(fetch: &Fetch, keys: &EpochKeys, clock: &Clock, out: &Sender<Fetched>, waker: &Waker) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&fetch.from, HANDSHAKE)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    let mut sealer = Sealer::object(keys, fetch.sid, Class::Feedback, &fetch.key);
    let mut opener = Opener::object(keys.clone(), &fetch.key);
    let mut request = fetch.object.0.to_vec();
    let mut datagram = Vec::new();
    let blocks = &fetch.blocks[..fetch.blocks.len().min(OBJECT_WANTS_MAX)];
    let nack = ObjectNack {
        object: fetch.object.0.to_vec(),
        member: fetch.me.0.to_vec(),
        wants: blocks
            .iter()
            .map(|(block, symbols)| Want { block: *block, deficit: (*symbols).max(1) as u32 })
            .collect(),
        ..ObjectNack::default()
    };
    sealer.seal(&nack.encode_to_vec(), &mut datagram);
    write_frame(&mut request, &datagram);
    stream.write_all(&request)?;
    let mut stream = io::BufReader::with_capacity(64 * 1024, stream);
    let mut body = Vec::new();
    let all: usize = blocks.iter().map(|(_, symbols)| symbols).sum();
    for n in 0..all {
        read_frame(&mut stream, &mut datagram)?;
        opener.open(clock.now(), ANYWHERE, &datagram, &mut body).map_err(io::Error::other)?;
        let symbol = Symbol::parse(&body).map_err(io::Error::other)?;
        if symbol.tag != fetch.object.tag() || !blocks.iter().any(|(block, _)| *block == symbol.block) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let fetched = Fetched::Symbol(fetch.object, symbol.block, symbol.index, symbol.bytes.to_vec());
        out.send(fetched).map_err(io::Error::other)?;
        if n % READ_SYMBOLS == 0 {
            waker.wake()?;
        }
    }
    Ok(())
}
