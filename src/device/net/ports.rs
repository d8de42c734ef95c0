//! Free ports for other programs on this machine to listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

/// UDP ports of the loopback that were free, left to whichever program listens there. As long as this lives, nobody else
/// who asks for ports in this way is given them.
pub struct FreePorts {
    base: u16,
    /// Of TCP, bound and not listening: it says that the ports are given away, and takes none that a player needs.
    _mark: Socket,
}

impl FreePorts {
    /// `count` ports from the first even one, `first` or a multiple of `count` above it, on.
    ///
    /// # Errors
    /// When there are none.
    pub fn on_loopback(first: u16, count: u16) -> io::Result<Self> {
        let free = |port: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let step = usize::from(count.max(1).next_multiple_of(2));
        for base in (first..=u16::MAX - count).step_by(step) {
            if (base..base + count).all(free)
                && let Ok(mark) = mark(base)
            {
                return Ok(Self { base, _mark: mark });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The lowest of the ports.
    pub fn base(&self) -> u16 {
        self.base
    }
}

fn mark(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_and_those_given_away_are_passed_over() {
        let first = FreePorts::on_loopback(41_000, 4).unwrap();
        let second = FreePorts::on_loopback(first.base(), 4).unwrap();
        assert!(second.base() >= first.base() + 4 && second.base().is_multiple_of(2));
        let _taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, first.base() + 3)).unwrap();
        let base = first.base();
        drop(first);
        let third = FreePorts::on_loopback(base, 4).unwrap();
        assert!(third.base() >= base + 4 && third.base().is_multiple_of(2), "{}", third.base());
        assert!(FreePorts::on_loopback(u16::MAX - 2, 4).is_err());
    }
}
