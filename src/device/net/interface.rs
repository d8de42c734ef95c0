//! Network interfaces, and which of them a conference uses when nobody says.
//!
//! Order of preference: a wired one, Wi-Fi, then virtual ones (bridges of containers and virtual machines, tunnels), and
//! the loopback when there is nothing else, so that a conference on one machine works without a network.

use std::net::IpAddr;

use super::Error;
use super::socket::IP_AND_UDP_HEADER_BYTES;

/// One address of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The system's name for it, e.g. `eth0`.
    pub name: String,
    /// The system's number for it.
    pub index: u32,
    /// The address; an interface with several stands in the list once for each.
    pub addr: IpAddr,
    /// Bits of the network part of the address.
    pub prefix: u8,
    /// Reaches this machine only.
    pub loopback: bool,
    /// Wi-Fi, where multicast is slow and unprotected by retransmission.
    pub wireless: bool,
    /// A bridge or tunnel made by software: containers, virtual machines, VPNs.
    pub software: bool,
    /// Up, with a carrier.
    pub running: bool,
    /// Says that it can do multicast. The loopback of Linux does not say so, and can.
    pub multicast: bool,
    /// Largest IP packet, in bytes.
    pub mtu: usize,
}

impl Interface {
    /// The interface to use: by name, by address, or (with `None`) the best there is.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`] names those that exist; [`Error::List`] and [`Error::NoInterface`].
    pub fn choose(wanted: Option<&str>) -> Result<Interface, Error> {
        pick(interfaces()?, wanted)
    }

    /// The same interface, for a conference that is to pass routers (`routed`) or not.
    ///
    /// # Errors
    /// [`Error::List`].
    pub fn for_scope(&self, routed: bool) -> Result<Interface, Error> {
        let fits = self.addr.is_ipv4() || !routed || !self.is_link_local();
        if fits { Ok(self.clone()) } else { self.in_family(true, routed).or_else(|_| Ok(self.clone())) }
    }

    /// The address by which everybody on the link is reached; IPv6 has none.
    pub fn broadcast(&self) -> Option<IpAddr> {
        let IpAddr::V4(own) = self.addr else { return None };
        let hosts = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        Some(std::net::Ipv4Addr::from(u32::from(own) | hosts).into())
    }

    /// The same interface with an address of IPv6, or of IPv4. Of IPv6 that of the link, which every host has and which
    /// does not change, unless `routed`: such addresses pass no router.
    ///
    /// # Errors
    /// [`Error::NoFamily`] when it has none, and [`Error::List`].
    pub fn in_family(&self, v6: bool, routed: bool) -> Result<Interface, Error> {
        let mine = interfaces()?.into_iter().filter(|i| i.index == self.index && i.addr.is_ipv6() == v6);
        let best = mine.min_by_key(|i| v6 && i.is_link_local() == routed);
        best.ok_or_else(|| Error::NoFamily { interface: self.name.clone(), family: if v6 { "IPv6" } else { "IPv4" } })
    }

    /// Largest UDP payload that is not fragmented on this interface.
    pub fn payload_bytes_max(&self) -> usize {
        self.mtu.saturating_sub(IP_AND_UDP_HEADER_BYTES[usize::from(self.addr.is_ipv6())])
    }

    /// Lower is preferred: IPv4 goes before IPv6 on interfaces of the same kind.
    fn rank(&self) -> (u8, bool) {
        (self.preference(), self.addr.is_ipv6())
    }

    /// Among the addresses of one interface: IPv4, then that of the link, which reaches all who have IPv6.
    fn rank_within(&self) -> (bool, bool) {
        (self.addr.is_ipv6(), self.is_link_local() != self.addr.is_ipv6())
    }

    /// Nobody assigned the address: it reaches one link.
    pub fn is_link_local(&self) -> bool {
        match self.addr {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    /// Lower is preferred when nobody says which interface.
    pub(super) fn preference(&self) -> u8 {
        match self {
            i if i.loopback => 4,
            i if !i.running || !i.multicast => 5,
            // Addresses nobody assigned: a cable to nowhere, mostly.
            i if i.is_link_local() => 3,
            i if i.software => 2,
            i if i.wireless => 1,
            _ => 0,
        }
    }
}

/// Every interface with an address, once for each of them, in the system's order.
///
/// # Errors
/// [`Error::List`].
pub fn interfaces() -> Result<Vec<Interface>, Error> {
    let all = if_addrs::get_if_addrs().map_err(Error::List)?;
    Ok(all.into_iter().filter_map(describe).collect())
}

fn pick(all: Vec<Interface>, wanted: Option<&str>) -> Result<Interface, Error> {
    let Some(wanted) = wanted else {
        // `min_by_key` takes the first of equals: the system's order decides among them.
        let best = all.iter().min_by_key(|i| i.rank()).map(|i| i.index).ok_or(Error::NoInterface)?;
        let of_best = all.into_iter().filter(|i| i.index == best);
        return of_best.min_by_key(Interface::rank_within).ok_or(Error::NoInterface);
    };
    let address: Option<IpAddr> = wanted.parse().ok();
    let exact = all.iter().find(|i| Some(i.addr) == address);
    let named = all.iter().filter(|i| i.name == wanted).min_by_key(|i| i.rank_within());
    match exact.or(named) {
        Some(found) => Ok(found.clone()),
        None => {
            let existing: Vec<String> = all.iter().map(|i| format!("{} ({})", i.name, i.addr)).collect();
            Err(Error::UnknownInterface { wanted: wanted.to_owned(), existing: existing.join(", ") })
        }
    }
}

fn describe(found: if_addrs::Interface) -> Option<Interface> {
    let loopback = found.is_loopback();
    let (addr, prefix) = match &found.addr {
        if_addrs::IfAddr::V4(v4) => (v4.ip.into(), v4.prefixlen),
        if_addrs::IfAddr::V6(v6) => (v6.ip.into(), v6.prefixlen),
    };
    let index = found.index?;
    let (multicast, mtu) = multicast_and_mtu(&found.name, loopback);
    Some(Interface {
        index,
        addr,
        prefix,
        loopback,
        wireless: is_wireless(&found.name),
        software: found.is_p2p() || is_software(&found.name),
        running: found.is_oper_up(),
        multicast,
        mtu,
        name: found.name,
    })
}

#[cfg(target_os = "linux")]
fn multicast_and_mtu(name: &str, loopback: bool) -> (bool, usize) {
    match super::options::interface_flags_and_mtu(name) {
        Some((flags, mtu)) => (flags & libc::IFF_MULTICAST != 0, mtu as usize),
        None => usual_multicast_and_mtu(loopback),
    }
}

#[cfg(not(target_os = "linux"))]
fn multicast_and_mtu(_name: &str, loopback: bool) -> (bool, usize) {
    usual_multicast_and_mtu(loopback)
}

/// What is assumed where the system is not asked, or does not answer.
fn usual_multicast_and_mtu(loopback: bool) -> (bool, usize) {
    (true, if loopback { 16_384 } else { 1_500 })
}

#[cfg(target_os = "linux")]
pub(super) fn is_wireless(name: &str) -> bool {
    // The names are the system's own; one with a slash cannot exist.
    let of = std::path::Path::new("/sys/class/net").join(name);
    of.join("wireless").exists() || of.join("phy80211").exists()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_wireless(_name: &str) -> bool {
    false
}

/// By the names that container engines, hypervisors and VPNs give. A bridge the operator made may be the real network, so
/// being a bridge is not enough.
pub(super) fn is_software(name: &str) -> bool {
    const PREFIXES: [&str; 21] = [
        "docker",
        "br-",
        "virbr",
        "veth",
        "vmnet",
        "vboxnet",
        "lxc",
        "lxd",
        "cni",
        "flannel",
        "podman",
        "tun",
        "tap",
        "wg",
        "tailscale",
        "zt",
        "utun",
        "awdl",
        "llw",
        "dummy",
        "ifb",
    ];
    PREFIXES.iter().any(|p| name.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, last: u8) -> Interface {
        Interface {
            name: name.to_owned(),
            index: u32::from(last),
            addr: [10, 77, 0, last].into(),
            prefix: 24,
            loopback: false,
            wireless: false,
            software: is_software(name),
            running: true,
            multicast: true,
            mtu: 1_500,
        }
    }

    fn all() -> Vec<Interface> {
        let lo = Interface { loopback: true, multicast: false, addr: [127, 0, 0, 1].into(), ..interface("lo", 1) };
        let unplugged = Interface { running: false, ..interface("eth9", 2) };
        let wifi = Interface { wireless: true, ..interface("wlan0", 4) };
        let second = Interface { index: 5, ..interface("eth0", 6) };
        vec![lo, unplugged, interface("docker0", 3), wifi, interface("eth0", 5), second, interface("eth1", 7)]
    }

    #[track_caller]
    fn check(all: Vec<Interface>, wanted: Option<&str>, name: &str, last: u8) {
        let chosen = pick(all, wanted).expect("an interface");
        assert_eq!(
            (chosen.name.as_str(), chosen.addr.to_string().rsplit(['.', ':']).next().unwrap()),
            (name, last.to_string().as_str())
        );
    }

    #[test]
    fn wired_goes_before_wireless_before_software_before_loopback() {
        let without = |names: &[&str]| all().into_iter().filter(|i| !names.contains(&i.name.as_str())).collect();
        check(all(), None, "eth0", 5);
        check(without(&["eth0"]), None, "eth1", 7);
        check(without(&["eth0", "eth1"]), None, "wlan0", 4);
        check(without(&["eth0", "eth1", "wlan0"]), None, "docker0", 3);
        check(without(&["eth0", "eth1", "wlan0", "docker0"]), None, "lo", 1);
        assert!(matches!(pick(vec![], None), Err(Error::NoInterface)));
    }

    #[test]
    fn an_interface_is_found_by_name_or_by_any_of_its_addresses() {
        check(all(), Some("eth0"), "eth0", 5);
        check(all(), Some("10.77.0.6"), "eth0", 6);
        check(all(), Some("eth9"), "eth9", 2);
        check(all(), Some("127.0.0.1"), "lo", 1);
    }

    #[test]
    fn an_unknown_interface_is_an_error_that_names_those_that_exist() {
        for wanted in ["eth7", "10.77.0.99", "", "eth"] {
            let error = pick(all(), Some(wanted)).expect_err("no such interface").to_string();
            assert!(error.contains(wanted) && error.contains("wlan0 (10.77.0.4)"), "{error}");
        }
    }

    #[test]
    fn the_loopback_of_this_machine_is_described() {
        let lo = Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback");
        assert!(lo.loopback && lo.running && !lo.wireless && lo.index > 0);
        assert!(lo.payload_bytes_max() > crate::limits::DATAGRAM_BYTES_MAX);
        assert!(Interface::choose(None).is_ok());
    }
}
