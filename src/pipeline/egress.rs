//! Where a stream's packets go: the instance's one socket, and a destination that may change while it runs.
//!
//! Senders ask for the destination before each frame; without one (no slot yet, nobody watching) they send nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::net::{self, Dscp, UdpSocket};
use crate::limits::CONTROL_COPIES_MAX;

/// A destination shared between the control role, which sets it, and a sender, which follows it. It is locked only to
/// copy an address.
#[derive(Clone, Debug, Default)]
pub struct Destination(Arc<Mutex<Target>>);

#[derive(Clone, Copy, Debug, Default)]
struct Target {
    address: Option<SocketAddr>,
    copies: [Option<SocketAddr>; CONTROL_COPIES_MAX],
}

impl Destination {
    /// Directs the stream to `address`, or nowhere.
    pub fn set(&self, address: Option<SocketAddr>) {
        self.target().address = address;
    }

    /// The RTP address; RTCP goes to the port above it.
    pub fn current(&self) -> Option<SocketAddr> {
        self.target().address
    }

    /// Sends copies to these as well, for those who hear no group; to the first [`CONTROL_COPIES_MAX`] of them.
    pub fn set_copies(&self, to: &[SocketAddr]) {
        let mut to = to.iter().copied();
        self.target().copies = std::array::from_fn(|_| to.next());
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Egress {
    /// Sends a packet of the stream to `to`, and its copies. What becomes of those is not told: others see to it.
    ///
    /// # Errors
    /// [`net::Error::Send`].
    pub fn send(&self, to: SocketAddr, bytes: &[u8], dscp: Dscp) -> Result<(), net::Error> {
        let copies = self.destination.target().copies;
        copies.into_iter().flatten().for_each(|copy| drop(self.socket.send(copy, bytes, dscp)));
        self.socket.send(to, bytes, dscp)
    }

    /// As [`send`](Self::send), of packets of `segment` bytes, the last of which may be shorter.
    ///
    /// # Errors
    /// [`net::Error::Send`].
    pub fn send_segments(&self, to: SocketAddr, bytes: &[u8], segment: usize, dscp: Dscp) -> Result<(), net::Error> {
        let copies = self.destination.target().copies;
        copies.into_iter().flatten().for_each(|copy| drop(self.socket.send_segments(copy, bytes, segment, dscp)));
        self.socket.send_segments(to, bytes, segment, dscp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_none_until_set_and_again_when_cleared() {
        let d = Destination::default();
        assert_eq!(d.current(), None);
        let a = SocketAddr::from(([239, 255, 4, 18], 65_535));
        d.set(Some(a));
        assert_eq!(d.clone().current(), Some(a));
        d.set(None);
        assert_eq!(d.current(), None);
    }

    #[test]
    fn a_relay_has_room_for_all_it_serves_and_no_more_are_taken() {
        use crate::limits::{DIRECT_COPIES_MAX, RELAYED_MAX};
        assert_eq!(CONTROL_COPIES_MAX, DIRECT_COPIES_MAX + RELAYED_MAX);
        let d = Destination::default();
        let many: Vec<SocketAddr> = (0..100).map(|n| SocketAddr::from(([10, 0, 0, n], 9))).collect();
        d.set_copies(&many);
        assert!(d.target().copies.into_iter().flatten().eq(many[..CONTROL_COPIES_MAX].iter().copied()));
        d.set_copies(&[]);
        assert_eq!(d.target().copies.into_iter().flatten().count(), 0);
    }
}
