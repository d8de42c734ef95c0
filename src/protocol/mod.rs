//! State machines without clocks, sockets, threads or randomness: time, packets and seeds are arguments.

pub mod adaptation;
mod backoff;
pub mod chat;
pub mod clock;
pub mod discovery;
pub mod doctor;
pub mod door;
pub mod interest;
pub mod jitter;
pub mod keys;
pub mod layers;
pub mod lip_sync;
pub mod membership;
pub mod packetizer;
mod parity;
pub mod passphrase;
pub mod rate;
pub mod reassembler;
pub mod repair;
pub mod roster;
pub mod seal;
pub mod session;
pub mod srtp;
pub mod transfer;
pub mod transport;
