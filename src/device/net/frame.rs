//! What the doctor looks for in packets on the network card: membership queries and reports, datagrams to its ports, and
//! who answers for an address. Reads headers only; whatever is malformed is nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Ethernet types.
pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;

const PROTOCOL_IGMP: u8 = 2;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;
const IPV6_HEADER_BYTES: usize = 40;
const ARP_REPLY: u16 = 2;

/// A packet of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// IGMP or MLD: somebody asks who wants which multicast.
    Query,
    /// IGMP or MLD: somebody tells.
    Report,
    /// A datagram.
    Udp {
        /// From.
        source: SocketAddr,
        /// To.
        destination: SocketAddr,
    },
    /// A machine with this hardware address has this address.
    Has([u8; 6], Ipv4Addr),
}

/// Reads a packet without its Ethernet header.
pub fn read(ethertype: u16, packet: &[u8]) -> Option<Frame> {
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(packet),
        ETHERTYPE_IPV6 => ipv6(packet),
        ETHERTYPE_ARP => arp(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Frame> {
    let header = packet.first_chunk::<20>()?;
    let length = usize::from(header[0] & 15) * 4;
    // Of a fragment only the first has what follows the header.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if header[0] >> 4 != 4 || length < header.len() || fragment != 0 {
        return None;
    }
    let payload = packet.get(length..)?;
    match header[9] {
        PROTOCOL_IGMP => match payload.first()? {
            0x11 => Some(Frame::Query),
            0x12 | 0x16 | 0x22 => Some(Frame::Report),
            _ => None,
        },
        PROTOCOL_UDP => {
            let address = |at: usize| IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            udp(payload, address(12), address(16))
        }
        _ => None,
    }
}

fn ipv6(packet: &[u8]) -> Option<Frame> {
    let (header, mut payload) = packet.split_first_chunk::<IPV6_HEADER_BYTES>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let mut next = header[6];
    if next == 0 {
        // The options that stand before MLD.
        let length = 8 + usize::from(*payload.get(1)?) * 8;
        next = *payload.first()?;
        payload = payload.get(length..)?;
    }
    match next {
        PROTOCOL_ICMPV6 => match payload.first()? {
            130 => Some(Frame::Query),
            131 | 143 => Some(Frame::Report),
            _ => None,
        },
        PROTOCOL_UDP => {
            let address = |at: usize| {
                let octets: Option<[u8; 16]> = header.get(at..at + 16).and_then(|b| b.try_into().ok());
                octets.map(|o| IpAddr::from(Ipv6Addr::from(o)))
            };
            udp(payload, address(8)?, address(24)?)
        }
        _ => None,
    }
}

fn udp(payload: &[u8], source: IpAddr, destination: IpAddr) -> Option<Frame> {
    let &[a, b, c, d, ..] = payload else { return None };
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(Frame::Udp { source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) })
}

fn arp(packet: &[u8]) -> Option<Frame> {
    let b = packet.first_chunk::<28>()?;
    // Ethernet, IPv4, and the lengths of their addresses.
    let known = b[..6] == [0, 1, 8, 0, 6, 4];
    let reply = u16::from_be_bytes([b[6], b[7]]) == ARP_REPLY;
    let mac = [b[8], b[9], b[10], b[11], b[12], b[13]];
    (known && reply).then(|| Frame::Has(mac, Ipv4Addr::new(b[14], b[15], b[16], b[17])))
}

/// Asks who has `address` without claiming one (RFC 5227).
pub(super) fn arp_probe(own: [u8; 6], address: Ipv4Addr) -> [u8; 28] {
    let mut b = [0; 28];
    b[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    b[8..14].copy_from_slice(&own);
    b[24..].copy_from_slice(&address.octets());
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 1, protocol, 0, 0, 10, 0, 0, 1, 239, 255, 42, 99, 0x94, 4, 0, 0];
        p.extend(payload);
        p
    }

    #[test]
    fn queries_reports_and_datagrams_are_told_apart() {
        let udp = [0x9c, 0x40, 0x4f, 0xfe, 0, 8, 0, 0];
        let at = |a: &str| a.parse().unwrap();
        let datagram = Frame::Udp { source: at("10.0.0.1:40000"), destination: at("239.255.42.99:20478") };
        for (payload, protocol, expected) in [
            (&[0x11, 0, 0, 0][..], 2, Some(Frame::Query)),
            (&[0x22, 0, 0, 0], 2, Some(Frame::Report)),
            (&[0x16, 0, 0, 0], 2, Some(Frame::Report)),
            (&[0x17, 0, 0, 0], 2, None),
            (&[], 2, None),
            (&udp, 17, Some(datagram)),
            (&udp[..3], 17, None),
            (&udp, 6, None),
        ] {
            assert_eq!(read(ETHERTYPE_IPV4, &v4(protocol, payload)), expected);
        }
        let mut fragment = v4(17, &udp);
        fragment[7] = 1;
        assert_eq!(read(ETHERTYPE_IPV4, &fragment), None);
    }

    #[test]
    fn mld_stands_behind_the_options_of_its_packet() {
        let mut p = vec![0x60, 0, 0, 0, 0, 0, 0, 1];
        p.extend([0; 32]);
        p.extend([58, 0, 5, 2, 0, 0, 0, 0]);
        let mut report = p.clone();
        p.push(130);
        report.push(143);
        assert_eq!(read(ETHERTYPE_IPV6, &p), Some(Frame::Query));
        assert_eq!(read(ETHERTYPE_IPV6, &report), Some(Frame::Report));
        p[41] = 200;
        assert_eq!(read(ETHERTYPE_IPV6, &p), None, "options longer than the packet");
    }

    #[test]
    fn only_answers_say_who_has_an_address() {
        let own = Ipv4Addr::new(10, 0, 0, 1);
        let mut packet = arp_probe([2; 6], own);
        assert_eq!(read(ETHERTYPE_ARP, &packet), None, "a question");
        packet[7] = 2;
        packet[14..18].copy_from_slice(&own.octets());
        assert_eq!(read(ETHERTYPE_ARP, &packet), Some(Frame::Has([2; 6], own)));
        assert_eq!(read(ETHERTYPE_ARP, &packet[..27]), None);
    }

    #[test]
    fn no_packet_cut_short_is_read_beyond_its_end() {
        for kind in [ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_ARP, 0] {
            let whole = v4(17, &[1; 60]);
            for n in 0..whole.len() {
                let _ = read(kind, &whole[..n]);
            }
        }
    }
}
