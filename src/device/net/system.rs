//! What the system tells of its network beyond sockets: every interface, in use or not, limits, and who is on the link.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A network interface, with addresses or without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The system's name for it.
    pub name: String,
    /// Switched on.
    pub up: bool,
    /// A cable or a radio link is there.
    pub carrier: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Wi-Fi.
    pub wireless: bool,
    /// Made by software: containers, virtual machines, tunnels.
    pub software: bool,
    /// Largest IP packet, in bytes; 0 when the system does not tell.
    pub mtu: usize,
}

/// What the system knows of a neighbour on the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Neighbour {
    /// Nothing.
    #[default]
    Unknown,
    /// It was asked for and did not answer.
    Absent,
    /// It answered.
    Present,
    /// It says that nothing listens at the port asked.
    Refuses,
}

/// Every interface but the loopback.
pub fn links() -> Vec<Link> {
    let known = super::interfaces().unwrap_or_default();
    let mut names = if cfg!(target_os = "linux") { interface_names(&read("/proc/net/dev")) } else { Vec::new() };
    for interface in known.iter().filter(|i| !i.loopback) {
        if !names.contains(&interface.name) {
            names.push(interface.name.clone());
        }
    }
    names.retain(|name| known.iter().all(|i| !i.loopback || i.name != *name) && name != "lo");
    let describe = |name: String| {
        let mut of = known.iter().filter(|i| i.name == name).peekable();
        let (up, carrier, mtu) =
            state(&name).unwrap_or_else(|| of.peek().map_or((false, false, 0), |i| (i.running, i.running, i.mtu)));
        Link {
            up,
            carrier,
            mtu,
            addresses: of.map(|i| i.addr).collect(),
            wireless: super::interface::is_wireless(&name),
            software: super::interface::is_software(&name),
            name,
        }
    };
    names.into_iter().map(describe).collect()
}

#[cfg(target_os = "linux")]
fn state(name: &str) -> Option<(bool, bool, usize)> {
    let (flags, mtu) = super::options::interface_flags_and_mtu(name)?;
    Some((flags & libc::IFF_UP != 0, flags & libc::IFF_RUNNING != 0, mtu as usize))
}

#[cfg(not(target_os = "linux"))]
fn state(_name: &str) -> Option<(bool, bool, usize)> {
    None
}

/// The largest receive buffer a program may ask for, in bytes.
pub fn receive_buffer_max() -> Option<usize> {
    read("/proc/sys/net/core/rmem_max").trim().parse().ok()
}

/// Datagrams dropped since the system started because a program's receive buffer was full.
pub fn receive_buffer_errors() -> Option<u64> {
    udp_field(&read("/proc/net/snmp"), "RcvbufErrors")
}

/// Whether the interface called `name` has heard a querier of an older version of IGMP, which the system tells without
/// any permission; `None` when it does not tell.
pub fn older_querier(name: &str) -> Option<bool> {
    igmp_version(&read("/proc/net/igmp"), name).map(|version| version < 3)
}

/// How long a machine may take to say that nothing listens.
const KNOCK: Duration = Duration::from_millis(250);

/// Sends a datagram that means nothing to `address`, and tells what the system makes of it.
pub fn knock(address: SocketAddr) -> Neighbour {
    let refuses = || -> std::io::Result<bool> {
        let any = if address.is_ipv4() {
            IpAddr::from(Ipv4Addr::UNSPECIFIED)
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(KNOCK))?;
        socket.send(&[0])?;
        Ok(socket.recv(&mut [0; 16]).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused))
    };
    if refuses().unwrap_or(false) { Neighbour::Refuses } else { neighbour(address.ip()) }
}

/// What is known of the machine at `address`, after something was sent to it. Nothing is waited for.
fn neighbour(address: IpAddr) -> Neighbour {
    let present = neighbour_in(&read("/proc/net/arp"), &address.to_string());
    match present {
        Some(true) => Neighbour::Present,
        Some(false) => Neighbour::Absent,
        None => Neighbour::Unknown,
    }
}

fn read(path: &str) -> String {
    // A file that is not there is as good as an empty one: another system.
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Names in the text of `/proc/net/dev`: two lines of heading, then `name: counters`.
fn interface_names(text: &str) -> Vec<String> {
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
    text.lines().skip(2).filter_map(name).filter(|name| !name.is_empty()).collect()
}

/// A number of UDP in the text of `/proc/net/snmp`: a line of names, then a line of values.
fn udp_field(text: &str, field: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == field)?;
    values.split_whitespace().nth(place)?.parse().ok()
}

/// The version of IGMP spoken on an interface, in the text of `/proc/net/igmp`: `2  eth0 : 3 V3`, groups below it.
fn igmp_version(text: &str, interface: &str) -> Option<u32> {
    let heading = |line: &str| {
        let (before, after) = line.split_once(':')?;
        let name = before.split_whitespace().nth(1)?;
        let version = after.split_whitespace().nth(1)?.strip_prefix('V')?.parse().ok()?;
        (name == interface).then_some(version)
    };
    text.lines().find_map(heading)
}

/// Whether a machine answered, in the text of `/proc/net/arp`: address, type, flags (0x2: complete).
fn neighbour_in(text: &str, address: &str) -> Option<bool> {
    let line = text.lines().skip(1).find(|line| line.split_whitespace().next() == Some(address))?;
    let flags = line.split_whitespace().nth(2)?.strip_prefix("0x")?;
    u32::from_str_radix(flags, 16).ok().map(|flags| flags & 2 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read_and_strange_ones_are_nothing() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3\n  eth0:15 0 0\nwlan0: 1\n";
        assert_eq!(interface_names(dev), ["lo", "eth0", "wlan0"]);
        let snmp = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts RcvbufErrors\nUdp: 7 8 9\nUdpLite: A\nUdpLite: 1\n";
        assert_eq!(udp_field(snmp, "RcvbufErrors"), Some(9));
        assert_eq!(udp_field(snmp, "Nothing"), None);
        assert_eq!(udp_field("Udp: RcvbufErrors\nUdp:\n", "RcvbufErrors"), None);
        let igmp = "Idx\tDevice    : Count Querier\tGroup\n1\tlo        :     1      V3\n\t\t\t\t010000E0\n2\teth0      :     4      V2\n";
        assert_eq!(
            (igmp_version(igmp, "lo"), igmp_version(igmp, "eth0"), igmp_version(igmp, "eth1")),
            (Some(3), Some(2), None)
        );
        let arp = "IP address HW type Flags HW address Mask Device\n10.0.0.2 0x1 0x2 aa:bb * eth0\n10.0.0.3 0x1 0x0 00:00 * eth0\n";
        assert_eq!(neighbour_in(arp, "10.0.0.2"), Some(true));
        assert_eq!(neighbour_in(arp, "10.0.0.3"), Some(false));
        assert_eq!(neighbour_in(arp, "10.0.0.4"), None);
        for garbage in ["", "\n\n", ":::\n:", "\u{0}\u{fffd}", "a\nb\nc 0xzz 0xzz\n"] {
            let _ = (
                interface_names(garbage),
                udp_field(garbage, "x"),
                igmp_version(garbage, "x"),
                neighbour_in(garbage, "c"),
            );
        }
    }

    #[test]
    fn a_closed_port_of_this_machine_refuses() {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(knock(closed), Neighbour::Refuses);
        let open = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(knock(open.local_addr().unwrap()), Neighbour::Unknown);
    }

    #[test]
    fn the_loopback_is_no_link() {
        assert!(links().iter().all(|l| l.name != "lo" && !l.name.is_empty()));
    }
}
