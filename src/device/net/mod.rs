//! UDP on one chosen network interface: which interfaces there are, unicast and multicast sockets on them, and a local
//! network in memory for simulations.
//!
//! ```text
//! Interface::choose ─> UdpSocket::unicast    exclusive, ephemeral port; everything is sent from it
//!                      UdpSocket::multicast  shared port, one group; receives only
//!                      UdpSocket::broadcast  shared port; receives limited broadcasts only
//!                                 │
//!                      ReceiveBuffer (one per thread) ─> Datagram
//! ```
//! Sockets never block; threads wait on `mio::Poll`, where the sockets register.

mod buffer;
mod capture;
mod counters;
mod frame;
mod groups;
mod interface;
pub mod memory;
mod options;
#[cfg(target_os = "linux")]
mod packets;
mod ports;
mod segment;
mod socket;
pub mod system;
pub mod watch;

use std::io;
use std::net::SocketAddr;

pub use buffer::{Datagram, ReceiveBuffer};
pub use capture::{Capture, Passed};
pub use counters::Counters;
pub use frame::Frame;
pub use interface::{Interface, interfaces};
pub use memory::MemoryLan;
pub use ports::FreePorts;
pub use segment::{Dscp, mark};
pub use socket::{SOCKET_BUFFER_BYTES, UdpSocket, scoped};
pub use watch::{Change, Watch};

/// What can go wrong with interfaces and sockets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system would not list its interfaces.
    #[error("cannot list the network interfaces: {0}")]
    List(#[source] io::Error),
    /// Nothing has an address, not even the loopback.
    #[error("no network interface has an address")]
    NoInterface,
    /// The name or address asked for is not there.
    #[error("there is no network interface {wanted}; there {}", if existing.is_empty() { "is none with an address".into() } else { format!("are {existing}") })]
    UnknownInterface {
        /// The name or address asked for.
        wanted: String,
        /// Those that exist, with their addresses.
        existing: String,
    },
    /// The interface has no address of the family.
    #[error("{interface} has no {family} address")]
    NoFamily {
        /// The interface's name.
        interface: String,
        /// "IPv4" or "IPv6".
        family: &'static str,
    },
    /// The socket could not be made as asked.
    #[error("cannot open a UDP socket for {address} on {interface}: {source}")]
    Open {
        /// The interface's name.
        interface: String,
        /// What it was to be bound to.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The group could not be joined.
    #[error("cannot join {group} on interface number {interface}: {source}")]
    Join {
        /// The interface's index.
        interface: u32,
        /// The group and port.
        group: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Datagrams could not be sent.
    #[error("cannot send to {destination} (after {sent} of {bytes} bytes): {source}")]
    Send {
        /// Where to.
        destination: SocketAddr,
        /// Bytes that did go out, a whole number of datagrams.
        sent: usize,
        /// Bytes there were.
        bytes: usize,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later: a full buffer, a pulled cable, a lost address, a closed firewall.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Open { source, .. } | Error::Join { source, .. } | Error::Send { source, .. } => {
                options::is_transient(source)
            }
            Error::List(_) | Error::NoInterface => true,
            Error::UnknownInterface { .. } | Error::NoFamily { .. } => false,
        }
    }
}
