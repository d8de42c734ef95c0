//! Listing the conferences of a network: a short-lived role of its own, before anything is joined.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::{BATCHES_MAX, Error, poll_for};
use crate::device::clock::Clock;
use crate::device::identity::random_seed;
use crate::device::net::{Dscp, Interface, ReceiveBuffer, UdpSocket};
use crate::protocol::discovery::{Browser, Found};
use crate::wire::address::{DISCOVERY_PORT, Family, Scope};

/// What one scope and family needs: one socket to ask from, and those answers come to.
struct Ears {
    scope: Scope,
    family: Family,
    broadcasts: bool,
    own: UdpSocket,
    others: Vec<UdpSocket>,
}

impl Ears {
    fn open(scope: Scope, interface: &Interface) -> Result<Self, Error> {
        let family = Family::of(interface.addr);
        let broadcasts = scope == Scope::Link && family == Family::V4 && !interface.loopback;
        let own = UdpSocket::unicast(interface, scope.ttl())?;
        let mut others = vec![UdpSocket::multicast(scope.discovery(family), interface)?];
        if broadcasts {
            others.push(UdpSocket::broadcast(DISCOVERY_PORT, interface)?);
        }
        Ok(Self { scope, family, broadcasts, own, others })
    }

    /// Those of both scopes and of every family that `interface` has.
    fn of(interface: &Interface) -> Result<Vec<Self>, Error> {
        let mut all = Vec::new();
        for scope in [Scope::Link, Scope::Site] {
            all.push(Self::open(scope, &interface.for_scope(scope == Scope::Site)?)?);
            let other = interface.in_family(interface.addr.is_ipv4(), scope == Scope::Site);
            // Nobody need have both; an address that cannot be bound yet is as good as none.
            all.extend(other.ok().and_then(|other| Self::open(scope, &other).ok()));
        }
        Ok(all)
    }

    fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        std::iter::once(&self.own).chain(&self.others)
    }

    fn ask(&self, query: &[u8], peers: &[IpAddr]) {
        let broadcast = SocketAddr::from((Ipv4Addr::BROADCAST, DISCOVERY_PORT));
        let broadcast = self.broadcasts.then_some(broadcast);
        let peers = peers.iter().filter(|&&peer| Family::of(peer) == self.family);
        let peers = peers.map(|&peer| SocketAddr::new(peer, DISCOVERY_PORT));
        for to in std::iter::once(self.scope.discovery(self.family)).chain(broadcast).chain(peers) {
            if let Err(error) = self.own.send(to, query, Dscp::Default) {
                tracing::debug!(%error, "a query could not be sent");
            }
        }
    }
}

/// Asks on `interface`, in both families, which conferences there are, and gives those heard within `times.1`. `enough` sees the list
/// whenever it changed; once it returns true, only what is left of `times.0` is waited.
///
/// # Errors
/// When sockets cannot be opened.
pub fn browse(
    interface: &Interface,
    clock: &Clock,
    times: (Duration, Duration),
    enough: impl FnMut(&[Found]) -> bool,
) -> Result<Vec<Found>, Error> {
    browse_with(interface, &[], clock, times, enough)
}

/// As [`browse`], and asks the machines at `peers` directly, for networks that carry neither multicast nor broadcasts.
///
/// # Errors
/// As [`browse`].
pub fn browse_with(
    interface: &Interface,
    peers: &[IpAddr],
    clock: &Clock,
    times: (Duration, Duration),
    mut enough: impl FnMut(&[Found]) -> bool,
) -> Result<Vec<Found>, Error> {
    let mut poll = Poll::new().map_err(Error::Poll)?;
    let ears = Ears::of(interface)?;
    for socket in ears.iter().flat_map(Ears::sockets) {
        socket.register(poll.registry(), Token(0)).map_err(Error::Poll)?;
    }
    let mut browser = Browser::new(clock.now(), *random_seed()?);
    let mut events = Events::with_capacity(16);
    let mut buffer = ReceiveBuffer::new();
    let began = clock.now();
    let mut end = began + times.1;
    let mut more = false;
    loop {
        let now = clock.now();
        if now >= end {
            break;
        }
        if let Some(query) = browser.timeout(now) {
            ears.iter().for_each(|e| e.ask(&query.to_bytes(), peers));
        }
        let wake = browser.next_timeout().map_or(end, |at| at.min(end));
        poll_for(&mut poll, &mut events, if more { Duration::ZERO } else { wake.since(now) })?;
        let heard = hear(&ears, &mut browser, clock, &mut buffer);
        more = heard.more;
        if heard.changed && enough(&browser.found()) {
            end = end.min(began + times.0);
        }
    }
    Ok(browser.found())
}

#[derive(Default)]
struct Heard {
    changed: bool,
    /// Something may still wait; readiness is not told again.
    more: bool,
}

/// Takes what waits, within [`BATCHES_MAX`] of each socket, so that a flood does not hold up the end.
fn hear(ears: &[Ears], browser: &mut Browser, clock: &Clock, buffer: &mut ReceiveBuffer) -> Heard {
    let mut heard = Heard::default();
    for ear in ears {
        for socket in ear.sockets() {
            let mut batches = 0;
            // An error is as good as nothing waiting: the next arrival wakes again.
            while batches < BATCHES_MAX && socket.receive(buffer).is_ok_and(|n| n > 0) {
                batches += 1;
                for datagram in buffer.datagrams() {
                    heard.changed |= browser.handle(clock.now(), ear.scope, datagram.source, datagram.bytes);
                }
            }
            heard.more |= batches == BATCHES_MAX;
        }
    }
    heard
}
