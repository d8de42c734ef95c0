//! The file groups that are joined: symbols by those who take a file, requests by all who have to do with one.

use std::collections::BTreeMap;

use mio::{Registry, Token};

use crate::device::net::{Error, Interface, ReceiveBuffer, UdpSocket};
use crate::wire::address::Plan;

/// Batches read from one socket before everything else has its turn.
const BATCHES_MAX: usize = 8;

struct Ear {
    socket: UdpSocket,
    ready: bool,
}

/// Sockets by file group; whether they are for symbols.
#[derive(Default)]
pub struct Ears {
    open: BTreeMap<(u8, bool), Ear>,
}

fn token(group: u8, symbols: bool) -> Token {
    Token(2 * usize::from(group) + usize::from(symbols))
}

impl Ears {
    /// Opens what is `wanted` and closes what is not any more. An error leaves the rest as wanted.
    pub fn set(
        &mut self,
        wanted: &[(u8, bool)],
        plan: &Plan,
        interface: &Interface,
        registry: &Registry,
    ) -> Result<(), Error> {
        self.open.retain(|ear, open| {
            let keep = wanted.contains(ear);
            if !keep {
                // Dropped right after, and with it the registration.
                let _ = open.socket.deregister(registry);
            }
            keep
        });
        let mut outcome = Ok(());
        for &(group, symbols) in wanted {
            if self.open.contains_key(&(group, symbols)) {
                continue;
            }
            let mut to = plan.files(group);
            if !symbols {
                to.set_port(to.port() + 1);
            }
            match UdpSocket::multicast(to, interface) {
                Ok(socket) => {
                    // What cannot be waited for is read when anything else wakes the thread.
                    let _ = socket.register(registry, token(group, symbols));
                    self.open.insert((group, symbols), Ear { socket, ready: true });
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Closes all.
    pub fn close(&mut self, registry: &Registry) {
        for ear in std::mem::take(&mut self.open).values() {
            let _ = ear.socket.deregister(registry);
        }
    }

    /// A socket has something.
    pub fn mark_ready(&mut self, which: Token) {
        let key = ((which.0 / 2) as u8, which.0 % 2 == 1);
        if let Some(ear) = self.open.get_mut(&key) {
            ear.ready = true;
        }
    }

    /// Whether something may wait.
    pub fn is_ready(&self) -> bool {
        self.open.values().any(|ear| ear.ready)
    }

    /// Joins all groups anew.
    pub fn rejoin(&self) {
        for ear in self.open.values() {
            if let Err(error) = ear.socket.rejoin() {
                tracing::debug!(%error, "cannot join the group again");
            }
        }
    }

    /// Reads what waits, within bounds; `heard` gets the group and each batch.
    pub fn read(&mut self, buffer: &mut ReceiveBuffer, mut heard: impl FnMut(u8, &ReceiveBuffer)) {
        for ((group, _), ear) in &mut self.open {
            let mut batches = 0;
            while ear.ready && batches < BATCHES_MAX {
                batches += 1;
                match ear.socket.receive(buffer) {
                    Ok(n) if n > 0 => heard(*group, buffer),
                    // An error is as good as nothing waiting: the next arrival wakes again.
                    _ => ear.ready = false,
                }
            }
        }
    }
}
