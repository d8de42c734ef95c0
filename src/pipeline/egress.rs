//! Where a stream's packets go: the instance's one socket, and a destination that may change while it runs.
//!
//! Senders ask for the destination before each frame; without one (no slot yet, nobody watching) they send nothing.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::net::UdpSocket;

/// A destination shared between the control role, which sets it, and a sender, which follows it.
#[derive(Clone, Default)]
pub struct Destination(Arc<AtomicU64>);

impl Destination {
    /// Directs the stream to `address`, or nowhere.
    pub fn set(&self, address: Option<SocketAddrV4>) {
        let word = address.map_or(0, |a| (1 << 48) | (u64::from(u32::from(*a.ip())) << 16) | u64::from(a.port()));
        self.0.store(word, Ordering::Release);
    }

    /// The RTP address; RTCP goes to the port above it.
    pub fn current(&self) -> Option<SocketAddrV4> {
        let word = self.0.load(Ordering::Acquire);
        (word >> 48 != 0).then(|| SocketAddrV4::new(Ipv4Addr::from((word >> 16) as u32), word as u16))
    }
}

/// The way out for one stream.
#[derive(Clone)]
pub struct Egress {
    /// The instance's exclusive socket: everything is sent from it.
    pub socket: Arc<UdpSocket>,
    /// Where this stream goes.
    pub destination: Destination,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_none_until_set_and_again_when_cleared() {
        let d = Destination::default();
        assert_eq!(d.current(), None);
        let a = SocketAddrV4::new(Ipv4Addr::new(239, 255, 4, 18), 65_535);
        d.set(Some(a));
        assert_eq!(d.clone().current(), Some(a));
        d.set(None);
        assert_eq!(d.current(), None);
    }
}
