//! What a socket counts. The counts may lag each other by a packet while it is in use.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a socket did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed to the system.
    pub datagrams_sent: u64,
    /// Their UDP payload.
    pub bytes_sent: u64,
    /// System calls that sent them.
    pub send_calls: u64,
    /// Calls of `send` or `send_segments` that failed.
    pub send_errors: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// System calls that received them.
    pub receive_calls: u64,
    /// Datagrams the system dropped because the receive buffer was full; `None` where it does not tell.
    pub receive_drops: Option<u32>,
}

/// The same, as the socket's threads count it.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) datagrams_sent: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) send_calls: AtomicU64,
    pub(super) send_errors: AtomicU64,
    pub(super) datagrams_received: AtomicU64,
    pub(super) receive_calls: AtomicU64,
}

impl Counts {
    /// The values so far; `receive_drops` is the system's to tell.
    pub(super) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            datagrams_sent: read(&self.datagrams_sent),
            bytes_sent: read(&self.bytes_sent),
            send_calls: read(&self.send_calls),
            send_errors: read(&self.send_errors),
            datagrams_received: read(&self.datagrams_received),
            receive_calls: read(&self.receive_calls),
            receive_drops: None,
        }
    }
}

/// Counts `n` more.
pub(super) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}
