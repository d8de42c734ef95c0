//! The repair of one stream that is sent, parity for pictures and repeats for a voice: shared between its own thread, which
//! keeps what it sends here, and the receiving thread, which hears the requests and answers them at once.
//!
//! ```text
//! video-send ──packets as they go out──> Keeper      <──requests── receive
//! audio-send ──────────"───────────────> VoiceKeeper <──requests── receive
//!                                          └──parity, repeats──> RTP of its own ──> repair port of the stream
//! ```
//! The lock is held for a copy of a batch, or to compute and send some parity: well under a millisecond. Nothing waits for
//! a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use zeroize::Zeroizing;

use crate::device::net::{Dscp, UdpSocket};
use crate::pipeline::egress::{Destination, Egress};
use crate::protocol::packetizer::RepairPacketizer;
use crate::protocol::repair::{Keeper, KeeperCounters, VoiceKeeper};
use crate::protocol::srtp::{MASTER_BYTES, Protector};
use crate::time::Timestamp;
use crate::wire::repair::{Parity, RepairRequest};

/// What a stream's repair needs to know of its conference.
#[derive(Clone, Debug)]
pub struct RepairConfig {
    /// Synchronisation source of the stream that is repaired.
    pub of: u32,
    /// Synchronisation source of the parity, or of the repeats.
    pub ssrc: u32,
    /// Random; RFC 3550 section 5.1.
    pub first_sequence: u16,
    /// In a protected conference the parity's key material.
    pub master: Option<Zeroizing<[u8; MASTER_BYTES]>>,
    /// Where the parity is, for beacons: roll-over counter << 16 | last sequence number.
    pub position: Arc<AtomicU64>,
}

/// The way of parity and repeats to the network.
struct Way {
    packetizer: RepairPacketizer,
    protector: Option<Protector>,
    position: Arc<AtomicU64>,
    egress: Egress,
    class: Dscp,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl Way {
    fn new(config: &RepairConfig, egress: Egress, class: Dscp) -> Self {
        let mut way = Self {
            packetizer: RepairPacketizer::new(config.ssrc, config.first_sequence),
            protector: None,
            position: Arc::default(),
            egress,
            class,
            plain: Vec::new(),
            sealed: Vec::new(),
        };
        way.begin(config);
        way
    }

    fn begin(&mut self, config: &RepairConfig) {
        self.packetizer = RepairPacketizer::new(config.ssrc, config.first_sequence);
        self.protector = config.master.as_ref().map(|master| Protector::new(master));
        self.position = Arc::clone(&config.position);
        self.position.store(config.first_sequence.into(), Ordering::Relaxed);
    }

    fn parity(&mut self, timestamp: u32, parity: &Parity<'_>) {
        self.packetizer.parity(timestamp, parity, &mut self.plain);
        self.send();
    }

    fn repeats(&mut self, repeats: &[u8]) {
        self.packetizer.repeats(repeats, &mut self.plain);
        self.send();
    }

    fn send(&mut self) {
        let Some(to) = self.egress.destination.current() else { return };
        self.position.store(self.packetizer.counters().position(), Ordering::Relaxed);
        let mut bytes = &self.plain;
        if let Some(protector) = &mut self.protector {
            self.sealed.clear();
            if protector.protect(&self.plain, &mut self.sealed).is_err() {
                return;
            }
            bytes = &self.sealed;
        }
        // What cannot be sent is like what is lost: it is asked for again.
        let _ = self.egress.send(to, bytes, self.class);
    }
}

/// The repair of one own stream, as requests find it.
#[derive(Clone)]
pub enum Answering {
    /// Of a picture.
    Video(OutgoingRepair),
    /// Of a voice.
    Voice(OutgoingRedundancy),
}

impl Answering {
    /// Answers a request, if it is one that may be answered; what is refused is counted.
    pub fn answer(&self, now: Timestamp, request: &RepairRequest) {
        match self {
            Self::Video(repair) => repair.answer(now, request),
            Self::Voice(repair) => repair.answer(now, request),
        }
    }

    /// Whether this is the repair of the stream `ssrc`.
    pub fn repairs(&self, ssrc: u32) -> bool {
        match self {
            Self::Video(repair) => lock(&repair.inner).keeper.ssrc() == ssrc,
            Self::Voice(repair) => lock(&repair.inner).0.keeper.ssrc() == ssrc,
        }
    }

    /// Where parity or repeats go, or nowhere.
    pub fn direct(&self, address: Option<SocketAddr>) {
        self.destination().set(address);
    }

    /// Who gets copies of parity or repeats: those who get copies of the stream.
    pub fn set_copies(&self, to: &[SocketAddr]) {
        self.destination().set_copies(to);
    }

    fn destination(&self) -> &Destination {
        match self {
            Self::Video(repair) => &repair.destination,
            Self::Voice(repair) => &repair.destination,
        }
    }
}

struct Inner<K> {
    keeper: K,
    way: Way,
}

/// Also when a thread panicked while it held the lock: the next packets replace what is inside.
fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(|e| e.into_inner())
}

/// The repair of a voice that is sent: its packets once more. Cheap to clone.
#[derive(Clone)]
pub struct OutgoingRedundancy {
    inner: Arc<Mutex<(Inner<VoiceKeeper>, Vec<u8>)>>,
    destination: Destination,
}

impl OutgoingRedundancy {
    /// A voice's repair, which goes nowhere until it is [directed](Answering::direct).
    pub fn new(config: &RepairConfig, socket: Arc<UdpSocket>) -> Self {
        let destination = Destination::default();
        let egress = Egress { socket, destination: destination.clone() };
        let inner = Inner { keeper: VoiceKeeper::new(config.of), way: Way::new(config, egress, Dscp::Audio) };
        Self { inner: Arc::new(Mutex::new((inner, Vec::new()))), destination }
    }

    /// Keeps a plain packet that is being sent; while much is lost, those before it go out once more.
    pub fn keep(&self, now: Timestamp, packet: &[u8]) {
        let (Inner { keeper, way }, repeats) = &mut *lock(&self.inner);
        if keeper.keep(now, packet, repeats) {
            way.repeats(repeats);
        }
    }

    fn answer(&self, now: Timestamp, request: &RepairRequest) {
        let (Inner { keeper, way }, repeats) = &mut *lock(&self.inner);
        keeper.ask(now, request, repeats, |repeats| way.repeats(repeats));
    }
}

/// The repair of one stream that is sent. Cheap to clone.
#[derive(Clone)]
pub struct OutgoingRepair {
    inner: Arc<Mutex<Inner<Keeper>>>,
    destination: Destination,
}

impl OutgoingRepair {
    /// A stream's repair, which goes nowhere until it is [directed](Answering::direct).
    pub fn new(config: &RepairConfig, socket: Arc<UdpSocket>) -> Self {
        let destination = Destination::default();
        let egress = Egress { socket, destination: destination.clone() };
        let way = Way::new(config, egress, Dscp::Video);
        Self { inner: Arc::new(Mutex::new(Inner { keeper: Keeper::new(config.of), way })), destination }
    }

    /// Keeps plain packets that are being sent, in the order of the stream.
    pub fn keep<'a>(&self, now: Timestamp, packets: impl Iterator<Item = &'a [u8]>) {
        let keeper = &mut lock(&self.inner).keeper;
        packets.for_each(|packet| keeper.keep(now, packet));
    }

    /// A frame was sent whole: sends parity ahead of need, where that is called for.
    pub fn finished(&self, now: Timestamp) {
        let Inner { keeper, way } = &mut *lock(&self.inner);
        keeper.ahead(now, &mut |timestamp, parity| way.parity(timestamp, parity));
    }

    fn answer(&self, now: Timestamp, request: &RepairRequest) {
        let Inner { keeper, way } = &mut *lock(&self.inner);
        let _ = keeper.ask(now, request, &mut |timestamp, parity| way.parity(timestamp, parity));
    }

    /// Parity goes ahead of this loss, 0..1, from now on; see [`Reports`](crate::protocol::repair::Reports).
    pub fn set_loss(&self, loss: f64) {
        lock(&self.inner).keeper.set_loss(loss);
    }

    /// What was asked and answered.
    pub fn counters(&self) -> KeeperCounters {
        lock(&self.inner).keeper.counters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::net::Interface;
    use crate::protocol::packetizer::{FrameStart, PacketBatch, VideoPacketizer};
    use crate::wire::jpeg_payload::Sampling;

    #[test]
    fn parity_goes_ahead_while_loss_is_reported() {
        let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
        let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
        let config = RepairConfig { of: 1, ssrc: 2, first_sequence: 3, master: None, position: Arc::default() };
        let repair = OutgoingRepair::new(&config, socket);
        Answering::Video(repair.clone()).direct(Some(([127, 0, 0, 1], 9).into()));
        let mut packetizer = VideoPacketizer::new(1, 0);
        let mut frame = |timestamp| {
            let mut batch = PacketBatch::default();
            let (sampling, tables) = (Sampling::H2V2, &[1; 128]);
            let start = FrameStart { timestamp, width: 64, height: 64, sampling, restart_interval: 4, tables };
            packetizer.begin(&start).expect("a frame");
            packetizer.push(&[7; 20_000], &mut batch).expect("a frame");
            packetizer.finish(&mut batch);
            repair.keep(Timestamp(u64::from(timestamp)), batch.packets());
            repair.finished(Timestamp(u64::from(timestamp)));
            repair.counters().packets
        };
        assert_eq!(frame(1), 0);
        repair.set_loss(0.05);
        assert_eq!(frame(2), 4, "15 packets x 5 % and three deviations");
        assert_eq!(config.position.load(Ordering::Relaxed), 3 + 4);
        repair.set_loss(0.0);
        assert_eq!(frame(3), 4);
    }
}
