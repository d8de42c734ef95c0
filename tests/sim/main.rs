//! Simulations: many members in one process, a network in memory, virtual time, one seed.
//!
//! A run is a function of its seed, so a failure is replayed by the seed it prints.

mod control;
mod crowd;
mod repair;
mod transfer;
mod voice;
mod world;
