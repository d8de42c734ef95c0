//! What those who hear the groups pass on to those who do not: where the others are who hear no group either.
//!
//! ```proto
//! message Introduction { repeated Host hosts = 1; }        // at most 16
//! message Host { fixed32 address  = 1;                     // IPv4
//!                bytes   address6 = 2;                     // IPv6, 16 bytes; `address` is 0 then
//!                uint32  port     = 3; }                   // of the own socket
//! ```
//! Sent by unicast, sealed as everything. Whoever is introduced sends copies of control datagrams to those addresses; that
//! they are members shows as always, by their own signed beacons.

use std::net::SocketAddr;

use crate::limits::CONTROL_COPIES_MAX;
use crate::wire::address::{host_from_wire, host_to_wire};

/// Where members are who hear no group.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Introduction {
    /// Their own sockets.
    #[prost(message, repeated, tag = "1")]
    pub hosts: Vec<Host>,
}

/// An address and port.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Host {
    /// IPv4.
    #[prost(fixed32, tag = "1")]
    pub address: u32,
    /// IPv6; empty for IPv4.
    #[prost(bytes = "vec", tag = "2")]
    pub address6: Vec<u8>,
    /// Port.
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

impl Introduction {
    /// Of these, the first [`CONTROL_COPIES_MAX`] of them.
    pub fn of(hosts: impl Iterator<Item = SocketAddr>) -> Self {
        let host = |at: SocketAddr| {
            let (address, address6) = host_to_wire(at.ip());
            Host { address, address6, port: at.port().into() }
        };
        Self { hosts: hosts.take(CONTROL_COPIES_MAX).map(host).collect() }
    }

    /// The addresses that make sense, no more of them than may be.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.hosts.iter().take(CONTROL_COPIES_MAX).filter_map(|host| {
            let ip = host_from_wire(host.address, &host.address6)?;
            let port = u16::try_from(host.port).ok().filter(|&port| port != 0)?;
            (!ip.is_multicast() && !ip.is_unspecified()).then_some(SocketAddr::new(ip, port))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_travel_and_nonsense_is_left_out() {
        let all: Vec<SocketAddr> = (0..40).map(|n| SocketAddr::from(([10, 0, 0, n], 4_000))).collect();
        let introduction = Introduction::of(all.iter().copied());
        assert!(introduction.addresses().eq(all[..CONTROL_COPIES_MAX].iter().copied()));
        let six: SocketAddr = "[fe80::1]:9".parse().unwrap();
        assert!(Introduction::of(std::iter::once(six)).addresses().eq([six]));
        for bad in ["239.255.4.1:9", "0.0.0.0:9", "10.0.0.1:0", "[ff12::1]:9"] {
            let of_bad = Introduction::of(std::iter::once(bad.parse().unwrap()));
            assert_eq!(of_bad.addresses().count(), 0, "{bad}");
        }
        let wide = Host { address: 0x0a00_0001, address6: vec![], port: 70_000 };
        assert_eq!(Introduction { hosts: vec![wide] }.addresses().count(), 0);
        let many = Introduction { hosts: vec![Host { address: 0x0a00_0001, address6: vec![], port: 9 }; 1_000] };
        assert_eq!(many.addresses().count(), CONTROL_COPIES_MAX);
    }
}
