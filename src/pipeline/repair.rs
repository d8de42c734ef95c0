//! The repair of one stream that is sent: shared between its own thread, which keeps what it sends here, and the receiving
//! thread, which hears the requests and answers them at once.
//!
//! ```text
//! video-send ──packets as they go out──> Keeper <──requests── receive
//!                                          └──parity──> RTP of its own ──> repair port of the stream
//! ```
//! The lock is held for a copy of a batch, or to compute and send some parity: well under a millisecond. Nothing waits for
//! a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use zeroize::Zeroizing;

use crate::device::net::{Dscp, UdpSocket};
use crate::limits::REPAIR_AHEAD_REPORTERS_MIN;
use crate::pipeline::egress::{Destination, Egress};
use crate::protocol::packetizer::ParityPacketizer;
use crate::protocol::repair::{Keeper, KeeperCounters};
use crate::protocol::srtp::{MASTER_BYTES, Protector};
use crate::time::Timestamp;
use crate::wire::repair::{Parity, RepairRequest};

/// Loss from which parity goes out before it is asked for, when many report it.
const AHEAD_LOSS_MIN: f64 = 0.005;

/// What a stream's repair needs to know of its conference.
#[derive(Clone, Debug)]
pub struct RepairConfig {
    /// Synchronisation source of the stream that is repaired.
    pub of: u32,
    /// Synchronisation source of the parity.
    pub ssrc: u32,
    /// Random; RFC 3550 section 5.1.
    pub first_sequence: u16,
    /// In a protected conference the parity's key material.
    pub master: Option<Zeroizing<[u8; MASTER_BYTES]>>,
    /// Where the parity is, for beacons: roll-over counter << 16 | last sequence number.
    pub position: Arc<AtomicU64>,
}

/// The way of the parity to the network.
struct Way {
    packetizer: ParityPacketizer,
    protector: Option<Protector>,
    position: Arc<AtomicU64>,
    egress: Egress,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    errors: u64,
}

impl Way {
    fn send(&mut self, timestamp: u32, parity: &Parity<'_>) {
        let Some(to) = self.egress.destination.current() else { return };
        self.packetizer.packet(timestamp, parity, &mut self.plain);
        self.position.store(self.packetizer.counters().position(), Ordering::Relaxed);
        let mut bytes = &self.plain;
        if let Some(protector) = &mut self.protector {
            self.sealed.clear();
            if protector.protect(&self.plain, &mut self.sealed).is_err() {
                self.errors += 1;
                return;
            }
            bytes = &self.sealed;
        }
        // Parity that cannot be sent is like parity that is lost: it is asked for again.
        self.errors += u64::from(self.egress.socket.send(to, bytes, Dscp::Video).is_err());
    }
}

struct Inner {
    keeper: Keeper,
    way: Way,
}

/// The repair of one stream that is sent. Cheap to clone.
#[derive(Clone)]
pub struct OutgoingRepair {
    inner: Arc<Mutex<Inner>>,
    destination: Destination,
}

impl OutgoingRepair {
    /// A stream's repair, which goes nowhere until it is [directed](Self::direct).
    pub fn new(config: &RepairConfig, socket: Arc<UdpSocket>) -> Self {
        let destination = Destination::default();
        let way = Way {
            packetizer: ParityPacketizer::new(config.ssrc, config.first_sequence),
            protector: config.master.as_ref().map(|master| Protector::new(master)),
            position: Arc::clone(&config.position),
            egress: Egress { socket, destination: destination.clone() },
            plain: Vec::new(),
            sealed: Vec::new(),
            errors: 0,
        };
        Self { inner: Arc::new(Mutex::new(Inner { keeper: Keeper::new(config.of), way })), destination }
    }

    /// Goes on as the repair of another stream, with other keys.
    pub fn begin(&self, config: &RepairConfig) {
        let inner = &mut *self.lock();
        inner.keeper.restart(config.of);
        inner.way.packetizer = ParityPacketizer::new(config.ssrc, config.first_sequence);
        inner.way.protector = config.master.as_ref().map(|master| Protector::new(master));
        inner.way.position = Arc::clone(&config.position);
    }

    /// Where parity goes, or nowhere.
    pub fn direct(&self, address: Option<SocketAddr>) {
        self.destination.set(address);
    }

    /// Keeps plain packets that are being sent, in the order of the stream.
    pub fn keep<'a>(&self, now: Timestamp, packets: impl Iterator<Item = &'a [u8]>) {
        let keeper = &mut self.lock().keeper;
        packets.for_each(|packet| keeper.keep(now, packet));
    }

    /// A frame was sent whole: sends parity ahead of need, where that is called for.
    pub fn finished(&self, now: Timestamp) {
        let Inner { keeper, way } = &mut *self.lock();
        keeper.ahead(now, &mut |timestamp, parity| way.send(timestamp, parity));
    }

    /// Answers a request, if it is one that may be answered; what is refused is counted.
    pub fn answer(&self, now: Timestamp, request: &RepairRequest) {
        let Inner { keeper, way } = &mut *self.lock();
        let _ = keeper.ask(now, request, &mut |timestamp, parity| way.send(timestamp, parity));
    }

    /// What receivers report: how many of them lose how much, 0..1. Parity goes ahead while more than eight lose more than
    /// half a percent.
    pub fn reported(&self, reporters: usize, loss: f64) {
        let many = reporters > REPAIR_AHEAD_REPORTERS_MIN && loss > AHEAD_LOSS_MIN;
        self.lock().keeper.set_loss(if many { loss } else { 0.0 });
    }

    /// What was asked and answered.
    pub fn counters(&self) -> KeeperCounters {
        self.lock().keeper.counters()
    }

    /// Also when a thread panicked while it held the lock: the next frame replaces what is inside.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}
