//! A look at what passes a network card, before any firewall on the way in and behind it on the way out. Needs the
//! system's permission (CAP_NET_RAW); without it the doctor does without.
//!
//! A filter in the kernel lets only membership messages, address resolution and datagrams to the ports of interest
//! through, so that a conference in full swing costs nothing.

use std::io;
use std::net::Ipv4Addr;

use super::Interface;
use super::frame::Frame;

/// Something that passed the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// It left this machine; else it came.
    pub outgoing: bool,
    /// What it was.
    pub frame: Frame,
}

/// The look itself.
#[cfg(target_os = "linux")]
pub struct Capture {
    socket: socket2::Socket,
    index: u32,
    mac: Option<[u8; 6]>,
}

#[cfg(target_os = "linux")]
impl Capture {
    /// Looks at `interface` from now on, for datagrams to `ports` among others.
    ///
    /// # Errors
    /// Mostly that it is not permitted.
    pub fn open(interface: &Interface, ports: [u16; 3]) -> io::Result<Self> {
        use socket2::{Domain, Protocol, Socket, Type};
        let all = i32::from((libc::ETH_P_ALL as u16).to_be());
        // Bound to no protocol until the filter is in place.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        super::options::ask_receive_buffer(&socket, 1 << 20);
        super::packets::filter_packets(&socket, ports)?;
        super::packets::bind_packets(&socket, interface.index, all as u16)?;
        let mac = super::packets::hardware_address(&interface.name);
        Ok(Self { socket, index: interface.index, mac })
    }

    /// Hands over what has passed since the last call.
    pub fn take(&self, mut each: impl FnMut(Passed)) {
        // So many at most, that a flood leaves time for the rest.
        for _ in 0..1_024 {
            let mut packet = [0; 128];
            let Ok((bytes, kind, outgoing)) = super::packets::receive_packet(&self.socket, &mut packet) else {
                return;
            };
            if let Some(frame) = super::frame::read(kind, &packet[..bytes]) {
                each(Passed { outgoing, frame });
            }
        }
    }

    /// Asks the link who else has `address`; the answers are [`Frame::Has`]. False when that cannot be asked.
    pub fn ask_who_has(&self, address: Ipv4Addr) -> bool {
        let Some(mac) = self.mac.filter(|mac| *mac != [0; 6]) else { return false };
        let probe = super::frame::arp_probe(mac, address);
        super::packets::send_packet(&self.socket, self.index, super::frame::ETHERTYPE_ARP, &probe).is_ok()
    }
}

/// Elsewhere the card is not looked at.
#[cfg(not(target_os = "linux"))]
pub struct Capture(std::convert::Infallible);

#[cfg(not(target_os = "linux"))]
impl Capture {
    /// Never succeeds.
    ///
    /// # Errors
    /// Always.
    pub fn open(_interface: &Interface, _ports: [u16; 3]) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never called.
    pub fn take(&self, _each: impl FnMut(Passed)) {
        match self.0 {}
    }

    /// Never called.
    pub fn ask_who_has(&self, _address: Ipv4Addr) -> bool {
        match self.0 {}
    }
}
