//! One system call that sends one datagram, or many of one size, with a class of its own.
//!
//! On Linux the class (IP_TOS) and the size of the segments (UDP_SEGMENT, "GSO") travel beside the bytes as control
//! messages, so that every packet leaves from one socket and so from one port. Elsewhere datagrams go one by one and
//! carry no class.

use std::io;
use std::net::SocketAddr;

use socket2::{SockAddr, Socket};

/// Class of a packet (RFC 2474): how networks that look at it queue it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// Best effort: control.
    #[default]
    Default,
    /// Expedited forwarding, EF.
    Audio,
    /// AF41.
    Video,
    /// CS1, behind everything else.
    Files,
}

impl Dscp {
    /// The former TOS byte: the class above the two ECN bits.
    pub fn tos(self) -> u8 {
        match self {
            Dscp::Default => 0,
            Dscp::Audio => 46 << 2,
            Dscp::Video => 34 << 2,
            Dscp::Files => 8 << 2,
        }
    }
}

/// Marks all that is sent on a connection.
///
/// # Errors
/// What the system says.
pub fn mark(stream: &std::net::TcpStream, dscp: Dscp) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    match stream.local_addr()? {
        SocketAddr::V4(_) => socket.set_tos_v4(dscp.tos().into()),
        #[cfg(unix)]
        SocketAddr::V6(_) => socket.set_tclass_v6(dscp.tos().into()),
        #[cfg(not(unix))]
        SocketAddr::V6(_) => Ok(()),
    }
}

/// Most segments the kernel takes in one call (UDP_MAX_SEGMENTS).
const SEGMENTS_MAX: usize = 64;
/// Largest UDP payload, which the segments of a call share.
const PAYLOAD_BYTES_MAX: usize = 65_507;

/// Whole segments of `segment` bytes that one call takes.
pub(super) fn bytes_per_call(segment: usize) -> usize {
    segment * SEGMENTS_MAX.min(PAYLOAD_BYTES_MAX / segment.max(1)).max(1)
}

/// Sends `bytes`, cut into datagrams of `segment` bytes where one is given.
#[cfg(target_os = "linux")]
pub(super) fn send(
    socket: &Socket,
    destination: SocketAddr,
    bytes: &[u8],
    segment: Option<u16>,
    dscp: Dscp,
) -> io::Result<()> {
    let address = SockAddr::from(destination);
    let buffers = [io::IoSlice::new(bytes)];
    let mut control = Control::new();
    if dscp != Dscp::Default {
        let (level, name) = match destination {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        control.push(level, name, &libc::c_int::from(dscp.tos()).to_ne_bytes());
    }
    if let Some(segment) = segment {
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    let message = socket2::MsgHdr::new().with_addr(&address).with_buffers(&buffers).with_control(control.bytes());
    retry(|| socket.sendmsg(&message, libc::MSG_NOSIGNAL))
}

/// Sends `bytes` as one datagram; there is no segmentation here.
#[cfg(not(target_os = "linux"))]
pub(super) fn send(
    socket: &Socket,
    destination: SocketAddr,
    bytes: &[u8],
    segment: Option<u16>,
    _dscp: Dscp,
) -> io::Result<()> {
    if segment.is_some() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    retry(|| socket.send_to(bytes, &SockAddr::from(destination)))
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match call() {
            // A datagram goes out whole or not at all.
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Control messages as the kernel reads them: length, level, type, data, each message aligned to a `size_t`.
#[cfg(target_os = "linux")]
struct Control {
    bytes: [u8; CONTROL_BYTES],
    used: usize,
}

/// Room for two control messages.
#[cfg(target_os = "linux")]
const CONTROL_BYTES: usize = 48;

#[cfg(target_os = "linux")]
impl Control {
    fn new() -> Self {
        Self { bytes: [0; CONTROL_BYTES], used: 0 }
    }

    fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let length = size_of::<libc::cmsghdr>() + data.len();
        let fields = [&length.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
        let mut at = self.used;
        for field in fields {
            self.bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        self.used += length.next_multiple_of(size_of::<usize>());
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

#[cfg(target_os = "linux")]
const _: () = assert!(size_of::<libc::cmsghdr>() == size_of::<usize>() + 2 * size_of::<libc::c_int>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_whole_segments_within_both_limits() {
        for (segment, expected) in [(1, 64), (1_000, 64_000), (1_023, 65_472), (1_024, 64_512), (1_400, 64_400)] {
            assert_eq!(bytes_per_call(segment), expected, "segments of {segment} bytes");
        }
        assert_eq!(bytes_per_call(40_000), 40_000);
        assert_eq!(bytes_per_call(70_000), 70_000, "too large for UDP: left for the kernel to refuse");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn control_messages_are_laid_out_for_the_kernel() {
        let mut control = Control::new();
        control.push(0, 1, &184i32.to_ne_bytes());
        control.push(17, 103, &1_400u16.to_ne_bytes());
        let header = size_of::<libc::cmsghdr>();
        let second = (header + 4).next_multiple_of(size_of::<usize>());
        assert_eq!(control.bytes()[..size_of::<usize>()], (header + 4).to_ne_bytes());
        assert_eq!(control.bytes()[second..second + size_of::<usize>()], (header + 2).to_ne_bytes());
        assert_eq!(control.bytes()[second + header..second + header + 2], 1_400u16.to_ne_bytes());
        assert_eq!(control.bytes().len() % size_of::<usize>(), 0);
    }
}
