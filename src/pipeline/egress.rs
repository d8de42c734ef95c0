//! Where a stream's packets go: the instance's one socket, and a destination that may change while it runs.
//!
//! Senders ask for the destination before each frame; without one (no slot yet, nobody watching) they send nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::net::UdpSocket;

/// A destination shared between the control role, which sets it, and a sender, which follows it. It is locked only to
/// copy an address.
#[derive(Clone, Debug, Default)]
pub struct Destination(Arc<Mutex<Option<SocketAddr>>>);

impl Destination {
    /// Directs the stream to `address`, or nowhere.
    pub fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// The RTP address; RTCP goes to the port above it.
    pub fn current(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let a = SocketAddr::from(([239, 255, 4, 18], 65_535));
        d.set(Some(a));
        assert_eq!(d.clone().current(), Some(a));
        d.set(None);
        assert_eq!(d.current(), None);
    }
}
