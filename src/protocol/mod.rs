//! State machines without clocks, sockets, threads or randomness: time, packets and seeds are arguments.

pub mod adaptation;
pub mod chat;
pub mod clock;
pub mod discovery;
pub mod doctor;
pub mod door;
pub mod interest;
pub mod jitter;
pub mod keys;
pub mod layers;
pub mod membership;
pub mod packetizer;
pub mod passphrase;
pub mod rate;
pub mod reassembler;
pub mod repair;
pub mod roster;
pub mod seal;
pub mod session;
pub mod srtp;
pub mod transport;
