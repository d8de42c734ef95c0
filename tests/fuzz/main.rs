//! Bytes from outside, altered at random, for every parser and every state machine: nothing panics, nothing takes more
//! memory than its bound, and what must hold still holds.
//!
//! ```text
//! real bytes (made here) + corpus/TARGET/*  >  pool  >  altered  >  target  >  an outcome not seen before: into the pool
//! ```
//! The outcome (which error, which counters) stands in for coverage, which the stable toolchain does not offer.
//! `scripts/fuzz SECONDS [TARGET]` runs every target for as long as wished; a run of the tests takes half a second each.
//! `TEST_SEED` repeats a run. An input that breaks something is written to a file whose name is printed: put it into
//! `corpus/TARGET/`, where every run begins with it.

mod chat;
mod doctor;
mod door;
mod driver;
mod machines;
mod media;
mod memory;
mod ogg;
mod repair;
mod session;
mod texts;
mod transfer;
mod wire;
