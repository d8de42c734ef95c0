//! What the tests with real processes share: a sandbox that cleans up after itself, a LAN inside it, participants
//! driven through their JSON lines, and their statistics.
//!
//! Never here: an address outside the sandbox, a fixed sleep that hopes something has happened by then.

// Each test binary takes in the whole of this and uses what it needs.
#![allow(dead_code)]

pub mod lan;
pub mod peer;
pub mod random;
pub mod sandbox;
pub mod sniffer;
pub mod stats;
pub mod wire;

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it holds something; `None` when the time is over.
pub fn poll<T>(for_at_most: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + for_at_most;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
