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

#[test]
fn connections_are_marked_too() {
    for (address, tos) in [("127.0.0.1:0", 0x20), ("[::1]:0", 0x20)] {
        let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
        let stream = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connected");
        crate::device::net::mark(&stream, Dscp::Files).expect("marked");
        let socket = socket2::SockRef::from(&stream);
        let marked = if address.starts_with('[') { socket.tclass_v6() } else { socket.tos_v4() };
        assert_eq!(marked.expect("read"), tos);
    }
}
