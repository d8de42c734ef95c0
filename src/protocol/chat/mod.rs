//! Stub.
pub mod line;
pub mod order;
pub mod pace;
mod ranges;
mod sequence;
