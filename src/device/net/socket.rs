//! UDP sockets on one interface.
//!
//! A unicast socket is the instance's own: nobody shares its port, everything is sent from it, so its address and port
//! tell the instance. Group and broadcast sockets share their port with every other program on the machine that wants
//! the same packets, and only receive: a unicast datagram to a shared port would reach just one of them.
//!
//! No call blocks; waiting is done on a `mio::Poll`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, event};
use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::counters::{Counts, add};
use super::{Counters, Dscp, Error, Interface, ReceiveBuffer, groups, options, segment};

/// Bytes of a socket's receive buffer, and of a sender's send buffer, that are asked for; the system may grant less.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// UDP over IPv4 without options, and over IPv6.
pub(super) const IP_AND_UDP_HEADER_BYTES: [usize; 2] = [28, 48];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Unicast,
    Multicast,
    Broadcast,
    /// Unicast to a port that others may share, of which one gets each datagram.
    Answering,
}

/// How an attempt ended to send many datagrams in one call.
enum Joined {
    Sent,
    /// A single datagram is to be tried, which also tells what is wrong when the fault is not the joining.
    NotSent,
    /// As some drivers refuse to segment; only a call tells. A lost address looks the same, so that joining is given up
    /// only if a single datagram does go out.
    Refused(io::Error),
}

/// A non-blocking UDP socket on one interface. Sending takes `&self`, so threads may share it.
pub struct UdpSocket {
    socket: Arc<Socket>,
    receiver: UdpSocketState,
    role: Role,
    bound: Mutex<SocketAddr>,
    interface: AtomicU32,
    ttl: u8,
    /// Segments up to this size fit the interface.
    segment_bytes_max: usize,
    /// Cleared for good when the system refuses segmentation.
    segmentation: AtomicBool,
    counts: Counts,
}

impl UdpSocket {
    /// The instance's own socket: an exclusive port the system chooses on the interface's address. It receives unicast to
    /// that address, and sends unicast, multicast (looped back to this machine) and broadcast from it, on that interface
    /// only, with `ttl`.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn unicast(interface: &Interface, ttl: u8) -> Result<Self, Error> {
        Self::open_unicast(interface, ttl, 0)
    }

    fn open_unicast(interface: &Interface, ttl: u8, port: u16) -> Result<Self, Error> {
        let address = SocketAddr::new(interface.addr, port);
        let socket = Self::open(Role::Unicast, address, interface, |socket| {
            // A unicast datagram with TTL 0 would not even reach this machine.
            let unicast_ttl = ttl.max(1).into();
            match interface.addr {
                IpAddr::V4(addr) => {
                    socket.set_multicast_if_v4(&addr)?;
                    socket.set_multicast_loop_v4(true)?;
                    socket.set_multicast_ttl_v4(ttl.into())?;
                    socket.set_ttl_v4(unicast_ttl)?;
                    socket.set_broadcast(true)?;
                }
                IpAddr::V6(_) => {
                    socket.set_multicast_if_v6(interface.index)?;
                    socket.set_multicast_loop_v6(true)?;
                    socket.set_multicast_hops_v6(ttl.into())?;
                    socket.set_unicast_hops_v6(unicast_ttl)?;
                }
            }
            options::ask_send_buffer(socket, SOCKET_BUFFER_BYTES);
            Ok(())
        })?;
        Ok(Self { ttl, ..socket })
    }

    /// Receives what is sent to `group` (address and port) on `interface`. The port is shared.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Join`].
    pub fn multicast(group: SocketAddr, interface: &Interface) -> Result<Self, Error> {
        let socket =
            Self::open(Role::Multicast, group, interface, |socket| options::share_port(socket, group.is_ipv6()))?;
        socket.join()?;
        Ok(socket)
    }

    /// Receives limited broadcasts (255.255.255.255) to `port` on `interface`. The port is shared. IPv6 has none.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn broadcast(port: u16, interface: &Interface) -> Result<Self, Error> {
        // Linux gives a socket bound to the broadcast address those datagrams and nothing else.
        let address = if cfg!(target_os = "linux") { Ipv4Addr::BROADCAST } else { Ipv4Addr::UNSPECIFIED };
        let address = SocketAddr::from((address, port));
        if interface.addr.is_ipv6() {
            let source = io::ErrorKind::Unsupported.into();
            return Err(Error::Open { interface: interface.name.clone(), address, source });
        }
        Self::open(Role::Broadcast, address, interface, |socket| options::share_port(socket, false))
    }

    /// Receives unicast to a well-known `port` on the interface's address. The port is shared: of several sockets one gets
    /// each datagram.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn answering(port: u16, interface: &Interface) -> Result<Self, Error> {
        let address = SocketAddr::new(interface.addr, port);
        Self::open(Role::Answering, address, interface, |socket| options::share_port(socket, address.is_ipv6()))
    }

    fn open(
        role: Role,
        address: SocketAddr,
        interface: &Interface,
        set: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Result<Self, Error> {
        let open = || -> io::Result<Self> {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            options::ask_receive_buffer(&socket, SOCKET_BUFFER_BYTES);
            set(&socket)?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.bind(&scoped(address, interface.index).into())?;
            let receiver = UdpSocketState::new(UdpSockRef::from(&socket))?;
            options::allow_fragments(&socket, address.is_ipv6());
            let bound = socket.local_addr()?.as_socket().unwrap_or(address);
            let bound = SocketAddr::new(bound.ip(), bound.port());
            Ok(Self {
                segmentation: AtomicBool::new(receiver.max_gso_segments() > 1),
                socket: Arc::new(socket),
                receiver,
                role,
                bound: Mutex::new(bound),
                interface: AtomicU32::new(interface.index),
                ttl: 1,
                segment_bytes_max: interface.payload_bytes_max(),
                counts: Counts::default(),
            })
        };
        open().map_err(|source| Error::Open { interface: interface.name.clone(), address, source })
    }

    /// The address and port bound: for a unicast socket where it is reached, for a multicast one the group.
    pub fn local_addr(&self) -> SocketAddr {
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> u32 {
        self.interface.load(Ordering::Relaxed)
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// [`Error::Send`]; ask it `is_transient`.
    pub fn send(&self, destination: SocketAddr, bytes: &[u8], dscp: Dscp) -> Result<(), Error> {
        self.send_each(destination, bytes, bytes.len(), dscp).map_err(|e| self.failed(destination, bytes, e))
    }

    /// Sends `bytes` as datagrams of `segment` bytes, the last of which may be shorter, in as few system calls as the
    /// system allows.
    ///
    /// # Errors
    /// [`Error::Send`], which tells how much was sent; the rest was not.
    pub fn send_segments(
        &self,
        destination: SocketAddr,
        bytes: &[u8],
        segment: usize,
        dscp: Dscp,
    ) -> Result<(), Error> {
        self.send_each(destination, bytes, segment.max(1), dscp).map_err(|e| self.failed(destination, bytes, e))
    }

    /// Sends everything in as few calls as it takes; an error comes with the bytes sent before it.
    fn send_each(&self, to: SocketAddr, bytes: &[u8], segment: usize, dscp: Dscp) -> Result<(), (usize, io::Error)> {
        let to = scoped(to, self.index());
        let mut sent = 0;
        loop {
            let rest = &bytes[sent..];
            let joined = &rest[..rest.len().min(segment::bytes_per_call(segment))];
            let outcome = self.try_joined(to, joined, segment, dscp);
            if let Joined::Sent = outcome {
                sent += joined.len();
                add(&self.counts.datagrams_sent, joined.len().div_ceil(segment));
            } else {
                let one = &rest[..rest.len().min(segment)];
                segment::send(&self.socket, to, one, None, dscp).map_err(|e| (sent, e))?;
                sent += one.len();
                add(&self.counts.datagrams_sent, 1);
            }
            if let Joined::Refused(error) = outcome {
                self.segmentation.store(false, Ordering::Relaxed);
                tracing::info!(%to, %error, "the system refuses to segment datagrams; they are sent one by one");
            }
            add(&self.counts.send_calls, 1);
            if sent >= bytes.len() {
                add(&self.counts.bytes_sent, sent);
                return Ok(());
            }
        }
    }

    /// Sends `bytes` in one call, when there is more than one datagram in them and the system can.
    fn try_joined(&self, to: SocketAddr, bytes: &[u8], segment: usize, dscp: Dscp) -> Joined {
        let fits = bytes.len() > segment && segment <= self.segment_bytes_max;
        let (true, Ok(size)) = (fits && self.segments(), u16::try_from(segment)) else {
            return Joined::NotSent;
        };
        match segment::send(&self.socket, to, bytes, Some(size), dscp) {
            Ok(()) => Joined::Sent,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP)) => {
                Joined::Refused(e)
            }
            Err(_) => Joined::NotSent,
        }
    }

    fn failed(&self, destination: SocketAddr, bytes: &[u8], (sent, source): (usize, io::Error)) -> Error {
        add(&self.counts.bytes_sent, sent);
        add(&self.counts.send_errors, 1);
        Error::Send { destination, sent, bytes: bytes.len(), source }
    }

    /// Receives a batch of the datagrams that wait, replacing what `buffer` held. Returns how many; 0 when none wait,
    /// and until then there may be more.
    ///
    /// # Errors
    /// What the system reports; a later call may succeed.
    pub fn receive(&self, buffer: &mut ReceiveBuffer) -> io::Result<usize> {
        let filled = buffer.fill(|slices, metas| self.receiver.recv(UdpSockRef::from(&self.socket), slices, metas));
        match filled {
            Ok(datagrams) => {
                add(&self.counts.receive_calls, 1);
                add(&self.counts.datagrams_received, datagrams);
                // Where another program may have joined the same group on another interface, or the port is bound for
                // every interface, foreign datagrams arrive too.
                if self.role == Role::Broadcast || (self.role == Role::Multicast && !cfg!(target_os = "linux")) {
                    buffer.retain(|meta| meta.interface_index.is_none_or(|index| index == self.index()));
                }
                Ok(datagrams)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// Leaves the group and joins it again, so that switches that forgot it learn it anew. Nothing happens to sockets
    /// without a group.
    ///
    /// # Errors
    /// [`Error::Join`]: the group is not joined any more, call again later.
    pub fn rejoin(&self) -> Result<(), Error> {
        if self.role != Role::Multicast {
            return Ok(());
        }
        let (bound, interface) = (self.local_addr(), self.index());
        groups::rejoin(&self.socket, bound.ip(), interface).map_err(|source| Error::Join {
            interface,
            group: bound,
            source,
        })
    }

    fn join(&self) -> Result<(), Error> {
        let (bound, interface) = (self.local_addr(), self.index());
        groups::join(&self.socket, bound.ip(), interface).map_err(|source| Error::Join {
            interface,
            group: bound,
            source,
        })
    }

    /// Moves the socket to `interface` as it is now: another address, or another number after it was away. Everybody who
    /// holds the socket uses it there. Its port stays where it is free. Registrations are to be made again.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Join`]: it stays where it was, call again later.
    pub fn renew(&self, interface: &Interface) -> Result<(), Error> {
        let before = self.local_addr();
        let renewed = match self.role {
            Role::Unicast => Self::open_unicast(interface, self.ttl, before.port())
                .or_else(|_| Self::open_unicast(interface, self.ttl, 0))?,
            Role::Multicast => Self::multicast(before, interface)?,
            Role::Broadcast => Self::broadcast(before.port(), interface)?,
            Role::Answering => Self::answering(before.port(), interface)?,
        };
        let failed = |source| Error::Open { interface: interface.name.clone(), address: before, source };
        options::replace(&self.socket, &renewed.socket).map_err(failed)?;
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = renewed.local_addr();
        self.interface.store(interface.index, Ordering::Relaxed);
        // The membership is the renewed socket's own, which both now are: it is known under this one from now on.
        if self.role == Role::Multicast { self.join() } else { Ok(()) }
    }

    /// Receive buffer granted, in bytes as they were asked for ([`SOCKET_BUFFER_BYTES`]).
    pub fn receive_buffer_bytes(&self) -> usize {
        let bytes = self.socket.recv_buffer_size().unwrap_or(0);
        // Linux reports twice what was asked: the other half is for its own bookkeeping.
        if cfg!(target_os = "linux") { bytes / 2 } else { bytes }
    }

    /// Whether many datagrams go out in one system call.
    pub fn segments(&self) -> bool {
        self.segmentation.load(Ordering::Relaxed)
    }

    /// What the socket did so far.
    pub fn counters(&self) -> Counters {
        Counters { receive_drops: options::receive_drops(&self.socket), ..self.counts.read() }
    }

    /// Registers for readiness to read; takes `&self`, unlike [`event::Source`], so that a shared socket can be
    /// registered. Readiness is told once for each arrival: receive until 0.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, Interest::READABLE)
    }

    /// Undoes [`register`](Self::register).
    ///
    /// # Errors
    /// As [`Registry::deregister`].
    pub fn deregister(&self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()))
    }
}

/// Addresses that mean something on one link only are told which: those of a link, and groups.
pub fn scoped(address: SocketAddr, interface: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() || v6.ip().is_multicast() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, interface).into()
        }
        other => other,
    }
}

impl event::Source for UdpSocket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}

impl std::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UdpSocket({:?} {} on interface number {})", self.role, self.local_addr(), self.index())
    }
}

#[cfg(test)]
mod tests;
