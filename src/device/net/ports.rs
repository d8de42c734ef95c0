//! Free ports for other programs on this machine to listen on.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

/// The first even port from `first` on, a multiple of `count` above it, from which on `count` UDP ports of the loopback
/// are free. Nothing keeps them free afterwards.
///
/// # Errors
/// When there are none.
pub fn free_on_loopback(first: u16, count: u16) -> io::Result<u16> {
    let free = |port: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut bases = (first..=u16::MAX - count).step_by(usize::from(count.max(1).next_multiple_of(2)));
    bases.find(|&base| (base..base + count).all(free)).ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_are_passed_over() {
        let base = free_on_loopback(41_000, 4).unwrap();
        let _taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, base + 3)).unwrap();
        let next = free_on_loopback(base, 4).unwrap();
        assert!(next >= base + 4 && next.is_multiple_of(2), "{next}");
        assert!(free_on_loopback(u16::MAX - 2, 4).is_err());
    }
}
