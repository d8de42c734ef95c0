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
use std::sync::atomic::{AtomicBool, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, event};
use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::counters::{Counts, add};
use super::{Counters, Dscp, Error, Interface, ReceiveBuffer, options, segment};

/// Bytes of a socket's receive buffer, and of a sender's send buffer, that are asked for; the system may grant less.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// UDP over IPv4 without options, and over IPv6.
pub(super) const IP_AND_UDP_HEADER_BYTES: [usize; 2] = [28, 48];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Unicast,
    Multicast,
    Broadcast,
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
    socket: Socket,
    receiver: UdpSocketState,
    role: Role,
    bound: SocketAddr,
    interface: u32,
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
        let address = SocketAddr::from((interface.addr, 0));
        Self::open(Role::Unicast, address, interface, |socket| {
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
        })
    }

    /// Receives what is sent to `group` (address and port) on `interface`. The port is shared.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Join`].
    pub fn multicast(group: SocketAddr, interface: &Interface) -> Result<Self, Error> {
        let socket = Self::open(Role::Multicast, group, interface, |socket| share_port(socket, group.is_ipv6()))?;
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
        Self::open(Role::Broadcast, address, interface, |socket| share_port(socket, false))
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
                socket,
                receiver,
                role,
                bound,
                interface: interface.index,
                segment_bytes_max: interface.payload_bytes_max(),
                counts: Counts::default(),
            })
        };
        open().map_err(|source| Error::Open { interface: interface.name.clone(), address, source })
    }

    /// The address and port bound: for a unicast socket where it is reached, for a multicast one the group.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound
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
        let to = scoped(to, self.interface);
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
                    buffer.retain(|meta| meta.interface_index.is_none_or(|index| index == self.interface));
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
        // It fails when the membership is gone already, and then there is nothing to leave.
        let _ = match self.bound.ip() {
            IpAddr::V4(group) => {
                self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.interface))
            }
            IpAddr::V6(group) => self.socket.leave_multicast_v6(&group, self.interface),
        };
        self.join()
    }

    fn join(&self) -> Result<(), Error> {
        let joined = match self.bound.ip() {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.interface))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, self.interface),
        };
        joined.map_err(|source| Error::Join { interface: self.interface, group: self.bound, source })
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
fn scoped(address: SocketAddr, interface: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() || v6.ip().is_multicast() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, interface).into()
        }
        other => other,
    }
}

fn share_port(socket: &Socket, v6: bool) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(target_os = "linux")))]
    socket.set_reuse_port(true)?;
    // Otherwise the groups other programs joined on this machine leak in.
    #[cfg(target_os = "linux")]
    if v6 {
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    Ok(())
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
        write!(f, "UdpSocket({:?} {} on interface number {})", self.role, self.bound, self.interface)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::NtpTime;

    /// Longest wait for a packet that must come; reached only by a test that fails.
    const DEADLINE: Duration = Duration::from_secs(5);

    fn loopback() -> Interface {
        Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback")
    }

    /// The loopback, and the interface a conference would use.
    fn usual_interfaces() -> Vec<Interface> {
        let mut all = vec![loopback(), Interface::choose(None).expect("there is a loopback")];
        all.dedup();
        all
    }

    /// A sender whose multicast stays on this machine.
    fn sender(interface: &Interface) -> UdpSocket {
        UdpSocket::unicast(interface, 0).expect("a free port")
    }

    /// A group of this test alone: nobody else on this machine holds the port of `sender`.
    fn group(sender: &UdpSocket, last: u8) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(239, 255, 200, last), sender.local_addr().port()))
    }

    /// Receives until a datagram equals `last`; returns all as (source, bytes).
    #[track_caller]
    fn receive_up_to(socket: &UdpSocket, last: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut poll = mio::Poll::new().expect("a poll");
        let mut events = mio::Events::with_capacity(4);
        socket.register(poll.registry(), Token(0)).expect("registered");
        let mut buffer = ReceiveBuffer::new();
        let mut all = Vec::new();
        loop {
            while socket.receive(&mut buffer).expect("receiving") > 0 {
                all.extend(buffer.datagrams().map(|d| (d.source, d.bytes.to_vec())));
            }
            if all.iter().any(|(_, bytes)| bytes == last) {
                socket.deregister(poll.registry()).expect("deregistered");
                return all;
            }
            poll.poll(&mut events, Some(DEADLINE)).expect("polling");
            assert!(!events.is_empty(), "{socket:?}: only {} datagrams came", all.len());
        }
    }

    /// `count` datagrams of `size` bytes and a short last one, each filled with its number.
    fn numbered(count: u8, size: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut each: Vec<Vec<u8>> = (0..count).map(|i| vec![i; size]).collect();
        each.push(vec![count; size / 2]);
        (each.concat(), each)
    }

    #[test]
    fn every_member_gets_every_segment_once_with_the_senders_own_address() {
        for interface in usual_interfaces() {
            let sender = sender(&interface);
            let group = group(&sender, 1);
            let members = [(); 3].map(|()| UdpSocket::multicast(group, &interface).expect("joined"));
            let (bytes, each) = numbered(100, 1_200);
            sender.send_segments(group, &bytes, 1_200, Dscp::Video).expect("sent");
            for member in &members {
                let got = receive_up_to(member, &each[100]);
                assert!(got.iter().all(|(source, _)| *source == sender.local_addr()), "{interface:?}");
                let got: Vec<Vec<u8>> = got.into_iter().map(|(_, bytes)| bytes).collect();
                assert_eq!(got, each, "{interface:?}");
                assert_eq!(member.counters().datagrams_received, 101);
            }
            let counters = sender.counters();
            assert_eq!((counters.datagrams_sent, counters.bytes_sent), (101, 120_600));
            if sender.segments() {
                assert_eq!(counters.send_calls, 2, "120,600 bytes are two calls on {interface:?}");
            }
        }
    }

    #[test]
    fn a_refusal_to_segment_is_remembered_and_nothing_is_lost() {
        let sender = sender(&loopback());
        let group = group(&sender, 2);
        let member = UdpSocket::multicast(group, &loopback()).expect("joined");
        #[cfg(target_os = "linux")]
        {
            // Linux refuses to segment where checksums are off, with EINVAL, as drivers without segmentation do.
            options::set_int(&sender.socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).expect("checksums off");
            assert!(sender.segments());
        }
        let (bytes, each) = numbered(20, 1_000);
        sender.send_segments(group, &bytes, 1_000, Dscp::Video).expect("sent one by one");
        assert!(!sender.segments());
        let got: Vec<Vec<u8>> = receive_up_to(&member, &each[20]).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(got, each);
        assert_eq!(sender.counters().send_calls, 21);
    }

    #[test]
    fn segments_too_large_for_the_interface_are_sent_one_by_one() {
        let narrow = Interface { mtu: 1_027, ..loopback() };
        let sender = sender(&narrow);
        let group = group(&sender, 3);
        let member = UdpSocket::multicast(group, &loopback()).expect("joined");
        let (bytes, each) = numbered(5, 1_000);
        sender.send_segments(group, &bytes, 1_000, Dscp::Video).expect("sent one by one");
        let got: Vec<Vec<u8>> = receive_up_to(&member, &each[5]).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!((got, sender.counters().send_calls), (each, 6));
    }

    #[test]
    fn other_groups_on_the_same_port_do_not_leak_in() {
        let sender = sender(&loopback());
        let (wanted, other) = (group(&sender, 4), group(&sender, 5));
        let member = UdpSocket::multicast(wanted, &loopback()).expect("joined");
        let _other_member = UdpSocket::multicast(other, &loopback()).expect("joined");
        sender.send(other, b"other", Dscp::Default).expect("sent");
        sender.send(wanted, b"wanted", Dscp::Default).expect("sent");
        assert_eq!(receive_up_to(&member, b"wanted"), [(sender.local_addr(), b"wanted".to_vec())]);
    }

    #[test]
    fn unicast_reaches_the_own_socket_and_comes_from_it() {
        let (a, b) = (sender(&loopback()), sender(&loopback()));
        assert_ne!(a.local_addr(), b.local_addr());
        a.send(b.local_addr(), b"", Dscp::Default).expect("an empty datagram is one");
        a.send(b.local_addr(), b"hello", Dscp::Audio).expect("sent");
        assert_eq!(
            receive_up_to(&b, b"hello"),
            [(a.local_addr(), vec![]), (a.local_addr(), b"hello".to_vec())],
            "the source tells the instance"
        );
        let mut buffer = ReceiveBuffer::new();
        assert_eq!(a.receive(&mut buffer).expect("nothing waits"), 0);
    }

    #[test]
    fn arrivals_carry_destination_and_wall_time() {
        let sender = sender(&loopback());
        let group = group(&sender, 6);
        let member = UdpSocket::multicast(group, &loopback()).expect("joined");
        sender.send(group, b"now", Dscp::Default).expect("sent");
        let mut buffer = ReceiveBuffer::new();
        // On the loopback a datagram is in the receiver's buffer when the call that sent it returns.
        assert_eq!(member.receive(&mut buffer).expect("received"), 1);
        let datagram = buffer.datagrams().next().expect("one datagram");
        if cfg!(target_os = "linux") {
            assert_eq!(datagram.destination, Some(group.ip()));
            assert!(datagram.arrived > Some(NtpTime::from_unix(Duration::from_secs(1_700_000_000))));
        }
    }

    #[test]
    fn a_broadcast_reaches_every_listener_and_a_unicast_none() {
        let interface = loopback();
        let sender = sender(&interface);
        let port = sender.local_addr().port();
        let listeners = [(); 2].map(|()| UdpSocket::broadcast(port, &interface).expect("open"));
        sender.send(SocketAddr::from((interface.addr, port)), b"unicast", Dscp::Default).expect("sent");
        sender.send(SocketAddr::from((Ipv4Addr::BROADCAST, port)), b"all", Dscp::Default).expect("sent");
        for listener in &listeners {
            assert_eq!(receive_up_to(listener, b"all"), [(sender.local_addr(), b"all".to_vec())]);
        }
    }

    #[test]
    fn a_group_is_heard_after_rejoining() {
        let sender = sender(&loopback());
        let group = group(&sender, 7);
        let member = UdpSocket::multicast(group, &loopback()).expect("joined");
        member.rejoin().expect("rejoined");
        sender.send(group, b"again", Dscp::Default).expect("sent");
        assert_eq!(receive_up_to(&member, b"again").len(), 1);
        sender.rejoin().expect("a socket without a group has nothing to do");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn dropping_a_socket_leaves_its_group() {
        let sender = sender(&loopback());
        // The port is unique to this test, so a group made of it is nearly so.
        let [high, low] = sender.local_addr().port().to_be_bytes();
        let group = SocketAddr::from((Ipv4Addr::new(239, 254, high, low), sender.local_addr().port()));
        // The kernel prints the address as one number in its own byte order.
        let entry = format!("{:08X}", u32::from_ne_bytes([239, 254, high, low]));
        let joined = || std::fs::read_to_string("/proc/net/igmp").expect("readable").contains(&entry);
        let member = UdpSocket::multicast(group, &loopback()).expect("joined");
        assert!(joined());
        drop(member);
        assert!(!joined());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn each_send_carries_its_own_class_from_the_same_port() {
        let sender = sender(&loopback());
        let receiver = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        receiver.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bound");
        receiver.set_recv_tos_v4(true).expect("set");
        receiver.set_read_timeout(Some(DEADLINE)).expect("set");
        let to = receiver.local_addr().expect("bound").as_socket().expect("IPv4");
        for (dscp, tos) in [(Dscp::Audio, 0xb8), (Dscp::Video, 0x88), (Dscp::Files, 0x20), (Dscp::Default, 0)] {
            sender.send_segments(to, &[0; 100], 50, dscp).expect("sent");
            for _ in 0..2 {
                assert_eq!(options::receive_with_tos(&receiver).expect("received"), (50, tos), "{dscp:?}");
            }
        }
    }

    #[test]
    fn a_failed_send_is_counted_and_tells_whether_to_try_again() {
        let sender = sender(&loopback());
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let error = sender.send(to, &vec![0; 70_000], Dscp::Default).expect_err("larger than UDP");
        assert!(!error.is_transient(), "{error}");
        let counters = sender.counters();
        assert_eq!((counters.send_errors, counters.datagrams_sent, counters.bytes_sent), (1, 0, 0));
        let transient = |raw| {
            let source = io::Error::from_raw_os_error(raw);
            Error::Send { destination: to, sent: 0, bytes: 1, source }.is_transient()
        };
        for raw in [libc::ENETDOWN, libc::ENETUNREACH, libc::ENOBUFS, libc::EAGAIN] {
            assert!(transient(raw), "{raw}");
        }
        for raw in [libc::EBADF, libc::EACCES, libc::EMSGSIZE] {
            assert!(!transient(raw), "{raw}");
        }
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_opened() {
        let elsewhere = Interface { addr: [192, 0, 2, 254].into(), name: "eth7".into(), ..loopback() };
        let error = UdpSocket::unicast(&elsewhere, 1).expect_err("not an address of this machine");
        assert!(error.to_string().contains("eth7"), "{error}");
        let nowhere = Interface { index: 999_999, ..loopback() };
        let group = SocketAddr::from((Ipv4Addr::new(239, 255, 200, 9), 20_000));
        assert!(matches!(UdpSocket::multicast(group, &nowhere), Err(Error::Join { interface: 999_999, .. })));
    }

    #[test]
    fn the_receive_buffer_granted_is_told() {
        assert!(sender(&loopback()).receive_buffer_bytes() > 10_000);
    }
}
