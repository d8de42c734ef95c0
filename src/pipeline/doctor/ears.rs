//! The doctor's sockets, the responder behind them, and the look at the card.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::Registry;

use super::{Error, TOKENS, Task};
use crate::device::clock::Clock;
use crate::device::net::{Capture, Dscp, Frame, Interface, Passed, ReceiveBuffer, UdpSocket};
use crate::limits::PROBE_PEERS_MAX;
use crate::protocol::doctor::{Came, Facts, Prober, ReplyTo, Responder, To, Wire};
use crate::wire::address::{DISCOVERY_PORT, Family, Scope};
use crate::wire::probe::{self, DOCTOR_PORT, Datagram, Probe, Way, aside, provoking};

/// Batches read from one socket before the others have their turn.
const BATCHES_MAX: usize = 16;
/// Probes sent on another interface, and how far apart.
const ELSEWHERE_PROBES: u32 = 8;
const ELSEWHERE_GAP: Duration = Duration::from_millis(250);

/// Everything that is heard and sent on one interface.
pub(super) struct Ears {
    interface: Interface,
    group: SocketAddr,
    own: UdpSocket,
    multicast: UdpSocket,
    broadcast: Option<UdpSocket>,
    provoking: Option<UdpSocket>,
    capture: Option<Capture>,
    wire: Wire,
    duplicate: Option<String>,
    /// A participant answers for itself: then there is nobody to answer here.
    responder: Option<Responder>,
    instance: u64,
    answered: u64,
    askers: Vec<IpAddr>,
    /// Gone only while it is read from.
    buffer: Option<ReceiveBuffer>,
    reply: Vec<u8>,
    /// Probes taken and refused by the system.
    sends: [(u32, u32); 3],
    received: [u32; 3],
    loopback: bool,
    heard_of: Vec<IpAddr>,
}

impl Ears {
    pub(super) fn open(interface: &Interface, task: &Task, responder: Responder) -> Result<Self, Error> {
        let own = UdpSocket::unicast(interface, task.ttl)?;
        let ports = [DISCOVERY_PORT, own.local_addr().port(), DOCTOR_PORT];
        // Before any group is joined, so that the reports are seen. The loopback has none.
        let capture = if interface.loopback { None } else { Capture::open(interface, ports).ok() };
        let group = task.scope.discovery(Family::of(interface.addr));
        let multicast = UdpSocket::multicast(group, interface)?;
        let broadcasts = task.scope == Scope::Link && interface.addr.is_ipv4() && !interface.loopback;
        let broadcast = broadcasts.then(|| UdpSocket::broadcast(DISCOVERY_PORT, interface)).transpose()?;
        Ok(Self {
            interface: interface.clone(),
            group,
            own,
            multicast,
            broadcast,
            provoking: None,
            capture,
            wire: Wire::default(),
            duplicate: None,
            instance: responder.instance(),
            responder: Some(responder).filter(|_| task.inside.is_none()),
            answered: 0,
            askers: Vec::new(),
            buffer: Some(ReceiveBuffer::new()),
            reply: Vec::new(),
            sends: [(0, 0); 3],
            received: [0; 3],
            loopback: false,
            heard_of: Vec::new(),
        })
    }

    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    pub(super) fn receive_buffer_bytes(&self) -> usize {
        self.own.receive_buffer_bytes()
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Who has asked since the last call.
    pub(super) fn askers(&mut self) -> Vec<IpAddr> {
        std::mem::take(&mut self.askers)
    }

    fn socket(&self, way: Way) -> Option<&UdpSocket> {
        match way {
            Way::Multicast => Some(&self.multicast),
            Way::Broadcast => self.broadcast.as_ref(),
            Way::Unicast => Some(&self.own),
        }
    }

    pub(super) fn register(&self, registry: &Registry) -> std::io::Result<()> {
        let of = |(way, token): (Way, mio::Token)| self.socket(way).map(|socket| (socket, token));
        TOKENS.into_iter().filter_map(of).try_for_each(|(socket, token)| socket.register(registry, token))
    }

    /// Joins a group nobody uses, or leaves it again; asks both times who has the own address.
    pub(super) fn provoke(&mut self, join: bool) {
        // What cannot be joined provokes nothing, and the querier speaks by itself now and then.
        let group = provoking(Family::of(self.interface.addr));
        self.provoking = if join { UdpSocket::multicast(group, &self.interface).ok() } else { None };
        if let (Some(capture), IpAddr::V4(own)) = (&self.capture, self.interface.addr) {
            capture.ask_who_has(own);
        }
    }

    /// Sends the probes that are due.
    pub(super) fn send_due(&mut self, prober: &mut Prober, clock: &Clock) {
        let (own, group, sends) = (&self.own, self.group, &mut self.sends);
        prober.timeout(clock.now(), clock.wall(), |to, bytes| {
            let (way, address) = match to {
                To::Group => (Way::Multicast, group),
                To::Broadcast => (Way::Broadcast, everybody()),
                To::Peer(address) => (Way::Unicast, address),
            };
            let (taken, refused) = &mut sends[way.index()];
            let sent = own.send(address, bytes, Dscp::Default).is_ok();
            *(if sent { taken } else { refused }) += 1;
        });
    }

    /// Takes what waits: answers to the prober, questions to the responder.
    pub(super) fn hear(&mut self, prober: &mut Prober, clock: &Clock) {
        self.look();
        for way in Way::ALL {
            let Some(mut buffer) = self.buffer.take() else { return };
            let mut batches = 0;
            // An error is as good as nothing waiting.
            while batches < BATCHES_MAX
                && self.socket(way).is_some_and(|socket| socket.receive(&mut buffer).is_ok_and(|n| n > 0))
            {
                batches += 1;
                for datagram in buffer.datagrams() {
                    let arrived = datagram.arrived.unwrap_or_else(|| clock.wall());
                    let came = Came { unicast: way == Way::Unicast, source: datagram.source, arrived };
                    self.take(way, came, datagram.bytes, prober, clock);
                }
            }
            self.buffer = Some(buffer);
        }
    }

    fn take(&mut self, way: Way, came: Came, bytes: &[u8], prober: &mut Prober, clock: &Clock) {
        let other_machine = came.source.ip() != self.interface.addr;
        if other_machine {
            self.received[way.index()] += 1;
            if self.heard_of.len() < PROBE_PEERS_MAX && !self.heard_of.contains(&came.source.ip()) {
                self.heard_of.push(came.source.ip());
            }
        }
        if came.source == self.own.local_addr() {
            self.loopback |= way == Way::Multicast;
            return;
        }
        let now = clock.now();
        if !probe::is_ours(bytes) || prober.handle(now, came.arrived, way, came.source, bytes) {
            return;
        }
        let Some(responder) = &mut self.responder else { return };
        let replies = responder.handle((now, clock.wall()), came, 1, bytes, &mut self.reply);
        for to in replies.into_iter().flatten() {
            let address = match to {
                ReplyTo::Asker => came.source,
                ReplyTo::Group => self.group,
                ReplyTo::Broadcast => everybody(),
                ReplyTo::Aside => aside(Family::of(self.interface.addr)),
            };
            // Whoever asks sees what does not come.
            self.answered += u64::from(self.own.send(address, &self.reply, Dscp::Default).is_ok());
        }
        if replies[0].is_some() && self.askers.len() < PROBE_PEERS_MAX {
            self.askers.push(came.source.ip());
        }
    }

    /// Takes what has passed the card.
    pub(super) fn look(&mut self) {
        let Some(capture) = &self.capture else { return };
        let (own, port) = (self.interface.addr, self.own.local_addr().port());
        let (group, wire, duplicate) = (self.group.ip(), &mut self.wire, &mut self.duplicate);
        let (directed, nobodys) = (self.interface.broadcast(), aside(Family::of(own)).ip());
        capture.take(|Passed { outgoing, frame }| match frame {
            Frame::Query => wire.queries += u32::from(!outgoing),
            Frame::Report => wire.reports += u32::from(outgoing),
            Frame::Has(mac, address) => {
                if !outgoing && IpAddr::from(address) == own {
                    let text: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                    *duplicate = Some(text.join(":"));
                }
            }
            Frame::Udp { source, destination } => {
                let to = destination.ip();
                let way = match to {
                    _ if to == nobodys => {
                        wire.aside += u32::from(!outgoing);
                        return;
                    }
                    _ if to == group => Way::Multicast,
                    _ if to == IpAddr::from(Ipv4Addr::BROADCAST) || Some(to) == directed => Way::Broadcast,
                    _ => Way::Unicast,
                };
                if outgoing && source.port() == port {
                    wire.went[way.index()] += 1;
                } else if !outgoing && (way != Way::Unicast || (to == own && destination.port() == port)) {
                    wire.came[way.index()] += 1;
                }
            }
        });
    }

    /// Puts down what was seen.
    pub(super) fn tell(&self, facts: &mut Facts) {
        facts.wire = self.capture.as_ref().map(|_| self.wire);
        facts.duplicate.clone_from(&self.duplicate);
        facts.sends = self.sends;
        facts.received = self.received;
        facts.loopback = (self.sends[0].0 > 0).then_some(self.loopback);
        for source in &self.heard_of {
            if !facts.heard_of.contains(source) {
                facts.heard_of.push(*source);
            }
        }
    }
}

fn everybody() -> SocketAddr {
    (Ipv4Addr::BROADCAST, DISCOVERY_PORT).into()
}

/// Another interface, on which it is only asked whether anybody is there.
pub(super) struct Elsewhere {
    interface: Interface,
    own: UdpSocket,
    run: u64,
    sent: u32,
    buffer: ReceiveBuffer,
    sources: Vec<IpAddr>,
}

impl Elsewhere {
    pub(super) fn open(interface: &Interface, run: u64) -> Result<Self, Error> {
        let own = UdpSocket::unicast(interface, 1)?;
        Ok(Self { interface: interface.clone(), own, run, sent: 0, buffer: ReceiveBuffer::new(), sources: Vec::new() })
    }

    /// Asks when it is time, and takes the answers, which come by unicast as well.
    pub(super) fn turn(&mut self, since: Duration) {
        if self.sent < ELSEWHERE_PROBES && since >= ELSEWHERE_GAP * self.sent {
            self.sent += 1;
            let mut bytes = Vec::new();
            let group = Scope::Link.discovery(Family::of(self.interface.addr));
            for (way, to) in [(Way::Multicast, group), (Way::Broadcast, everybody())] {
                let probe = Probe { run: self.run, number: self.sent, way, origin: 0, aside: false, conference: None };
                probe.write(0, &mut bytes);
                // An interface that cannot send has nobody to be reached by it.
                let _ = self.own.send(to, &bytes, Dscp::Default);
            }
        }
        while self.own.receive(&mut self.buffer).is_ok_and(|n| n > 0) {
            for datagram in self.buffer.datagrams() {
                let ours = matches!(probe::parse(datagram.bytes), Ok(Datagram::Answer(a)) if a.run == self.run);
                let source = datagram.source.ip();
                let other = source != self.interface.addr && !self.sources.contains(&source);
                if ours && other && self.sources.len() < PROBE_PEERS_MAX {
                    self.sources.push(source);
                }
            }
        }
    }

    /// The interface and how many answered there, if any did.
    pub(super) fn found(&self) -> Option<(String, IpAddr, usize)> {
        let count = self.sources.len();
        (count > 0).then(|| (self.interface.name.clone(), self.interface.addr, count))
    }
}
