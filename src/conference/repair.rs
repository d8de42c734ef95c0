//! Repair of the own streams: a source of parity for each, announced with it, heard on its repair port.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::director::Director;
use crate::pipeline::egress::Destination;
use crate::pipeline::repair::{Answering, OutgoingRedundancy, OutgoingRepair, RepairConfig};
use crate::protocol::repair::Reports;
use crate::protocol::roster::RepairInfo;
use crate::protocol::session::Reception;
use crate::time::Timestamp;
use crate::wire::StreamKind;

/// Of one own stream.
struct Repaired {
    kind: StreamKind,
    ssrc: u32,
    position: Arc<AtomicU64>,
    outgoing: Answering,
    /// Where the stream goes.
    to: Destination,
    /// Where requests are heard.
    heard: Option<SocketAddr>,
    /// How it arrives.
    reports: Reports,
}

/// What repairs the own streams.
#[derive(Default)]
pub struct Repairs {
    all: Vec<Repaired>,
    /// Receivers told last.
    crowd: usize,
}

impl Repairs {
    fn add(&mut self, kind: StreamKind, config: RepairConfig, outgoing: Answering, to: &Destination) {
        let RepairConfig { ssrc, position, .. } = config;
        let (to, reports) = (to.clone(), Reports::default());
        self.all.push(Repaired { kind, ssrc, position, outgoing, to, heard: None, reports });
    }

    /// What is announced of the repair of a stream.
    pub(super) fn info(&self, kind: StreamKind) -> RepairInfo {
        let ssrc = self.all.iter().find(|r| r.kind == kind).map_or(0, |r| r.ssrc);
        RepairInfo { ssrc, position: 0 }
    }

    /// Where the parity of a stream is, for beacons.
    pub(super) fn position(&self, kind: StreamKind) -> Option<Arc<AtomicU64>> {
        self.all.iter().find(|r| r.kind == kind).map(|r| Arc::clone(&r.position))
    }

    /// Those who get copies of the own streams get copies of what repairs them.
    pub(super) fn set_copies(&self, to: &[SocketAddr]) {
        self.all.iter().for_each(|repaired| repaired.outgoing.set_copies(to));
    }

    /// Somebody told how an own layer arrives.
    pub(super) fn reported(&mut self, now: Timestamp, reception: &Reception) {
        let kind = StreamKind::Video(reception.row.place.layer());
        let about = self.all.iter_mut().filter(|r| r.kind == kind);
        about.for_each(|r| r.reports.report(now, reception.from, reception.row.lost));
    }

    /// Parity goes ahead of what is reported, or does so no longer.
    pub(super) fn mind_reports(&mut self, now: Timestamp) {
        for repaired in &mut self.all {
            if let Answering::Video(outgoing) = &repaired.outgoing {
                outgoing.set_loss(repaired.reports.loss(now));
            }
        }
    }
}

impl Director {
    /// What repairs the own stream of `kind` whose source is `of`: in place of what repaired the one before.
    pub(super) fn repair_of(&mut self, kind: StreamKind, of: u32, to: &Destination) -> OutgoingRepair {
        let config = self.repair_config(kind, of);
        let outgoing = OutgoingRepair::new(&config, Arc::clone(&self.socket));
        self.repairs.add(kind, config, Answering::Video(outgoing.clone()), to);
        outgoing
    }

    /// The same for the own voice.
    pub(super) fn redundancy_of(&mut self, of: u32) -> OutgoingRedundancy {
        let config = self.repair_config(StreamKind::Audio, of);
        let outgoing = OutgoingRedundancy::new(&config, Arc::clone(&self.socket));
        let to = self.audio_to.clone();
        self.repairs.add(StreamKind::Audio, config, Answering::Voice(outgoing.clone()), &to);
        outgoing
    }

    fn repair_config(&mut self, kind: StreamKind, of: u32) -> RepairConfig {
        self.stop_repair(kind);
        let ssrc = (self.random.next_u64() as u32).max(1);
        let (first_sequence, master) = (self.random.next_u64() as u16, self.master(ssrc));
        RepairConfig { of, ssrc, first_sequence, master, position: Arc::default() }
    }

    /// Ends the repair of an own stream that is not sent any more.
    pub(super) fn stop_repair(&mut self, kind: StreamKind) {
        if let Some(at) = self.repairs.all.iter().position(|r| r.kind == kind) {
            self.repairs.all.swap_remove(at);
            self.receiver.unrepair(u64::from(kind.to_wire()));
        }
    }

    /// Sends parity, and hears requests for it, in the group each stream goes to.
    pub(super) fn direct_repair(&mut self) {
        let state = self.shared.state();
        let (plan, crowd) = (state.plan, 1 + state.people.here().count());
        drop(state);
        // Oneself is no receiver of one's own streams, but of the others', as everybody else.
        if std::mem::replace(&mut self.repairs.crowd, crowd) != crowd {
            self.receiver.crowd(crowd.saturating_sub(1));
        }
        for repaired in &mut self.repairs.all {
            let group = repaired.to.current().map(|to| to.ip()).filter(IpAddr::is_multicast);
            let port = self.slot.map(|slot| plan.repair(slot, repaired.kind).port());
            let to = group.zip(port).map(|(group, port)| SocketAddr::new(group, port));
            if to == repaired.heard {
                continue;
            }
            repaired.outgoing.direct(to);
            let key = u64::from(repaired.kind.to_wire());
            repaired.heard = match to {
                None => {
                    self.receiver.unrepair(key);
                    None
                }
                Some(address) => match self.receiver.repair(key, address, &repaired.outgoing) {
                    Ok(()) => to,
                    Err(error) => {
                        // Tried again with the next tick; the stream itself goes on.
                        tracing::debug!(%error, "cannot hear requests for repair");
                        None
                    }
                },
            };
        }
    }
}
