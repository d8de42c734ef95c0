//! The system calls of a socket that sees packets rather than datagrams (packet(7)), each a small safe function.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

use super::frame::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use super::options::{request_about, set};

const fn op(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u32, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: yes, jf: no, k }
}

/// Lets through address resolution, IGMP, IPv6 packets with options (MLD among them), and UDP to `ports`.
pub(super) fn filter_packets(socket: &Socket, ports: [u16; 3]) -> io::Result<()> {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET, BPF_W};
    let equal = BPF_JMP | BPF_JEQ | BPF_K;
    // Where the kernel puts the Ethernet type for filters (SKF_AD_OFF + SKF_AD_PROTOCOL).
    let kind = 0xffff_f000;
    let mut program = [
        op(BPF_LD | BPF_W | BPF_ABS, kind),        // 0
        jump(equal, ETHERTYPE_ARP.into(), 15, 0),  // 1: take
        jump(equal, ETHERTYPE_IPV6.into(), 7, 0),  // 2: IPv6
        jump(equal, ETHERTYPE_IPV4.into(), 0, 12), // 3: else nothing
        op(BPF_LD | BPF_B | BPF_ABS, 9),           // 4: protocol
        jump(equal, 2, 11, 0),                     // 5: IGMP: take
        jump(equal, 17, 0, 9),                     // 6: UDP, else nothing
        op(BPF_LDX | BPF_B | BPF_MSH, 0),          // 7: header length
        op(BPF_LD | BPF_H | BPF_IND, 2),           // 8: destination port
        jump(BPF_JMP | libc::BPF_JA, 3, 0, 0),     // 9: compare
        op(BPF_LD | BPF_B | BPF_ABS, 6),           // 10: IPv6: next header
        jump(equal, 0, 5, 0),                      // 11: options: take
        op(BPF_LD | BPF_H | BPF_ABS, 42),          // 12: port, if it is UDP; else it matches none, mostly
        jump(equal, ports[0].into(), 3, 0),        // 13
        jump(equal, ports[1].into(), 2, 0),        // 14
        jump(equal, ports[2].into(), 1, 0),        // 15
        op(BPF_RET | BPF_K, 0),                    // 16: nothing
        op(BPF_RET | BPF_K, 128),                  // 17: take
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// Begins to receive what passes interface `index`, multicast that nobody here joined among it.
pub(super) fn bind_packets(socket: &Socket, index: u32, protocol: u16) -> io::Result<()> {
    let address = link_address(index, protocol, [0; 6]);
    // SAFETY: the address lives through the call and its exact size is given; the kernel only reads it.
    let bound = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    };
    if bound != 0 {
        return Err(io::Error::last_os_error());
    }
    let all = libc::packet_mreq {
        mr_ifindex: index as libc::c_int,
        mr_type: libc::PACKET_MR_ALLMULTI as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &all)
}

fn link_address(index: u32, protocol: u16, to: [u8; 6]) -> libc::sockaddr_ll {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&to);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: index as libc::c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: address,
    }
}

/// Receives one packet: its bytes, cut to the buffer, its Ethernet type, and whether it left this machine.
pub(super) fn receive_packet(socket: &Socket, packet: &mut [u8]) -> io::Result<(usize, u16, bool)> {
    let mut from = link_address(0, 0, [0; 6]);
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the buffer and the address live through the call, and their exact sizes are given.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            packet.as_mut_ptr().cast(),
            packet.len(),
            0,
            (&raw mut from).cast(),
            &raw mut length,
        )
    };
    let bytes = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((bytes.min(packet.len()), u16::from_be(from.sll_protocol), from.sll_pkttype == libc::PACKET_OUTGOING))
}

/// Sends a packet of type `kind` to everybody on the link.
pub(super) fn send_packet(socket: &Socket, index: u32, kind: u16, packet: &[u8]) -> io::Result<()> {
    let to = link_address(index, kind.to_be(), [0xff; 6]);
    // SAFETY: packet and address live through the call, and their exact sizes are given; the kernel only reads them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_NOSIGNAL,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The hardware address of the interface called `name`.
pub(super) fn hardware_address(name: &str) -> Option<[u8; 6]> {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).ok()?;
    let mut request = request_about(name)?;
    // SAFETY: the request takes an `ifreq`, which lives through the call; after a success the kernel has filled the
    // member of the union that is read.
    let data = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) != 0 {
            return None;
        }
        request.ifr_ifru.ifru_hwaddr.sa_data
    };
    Some([0, 1, 2, 3, 4, 5].map(|i| data[i] as u8))
}
