//! One file to everybody: state machines of the one who sends and of those who receive.
//!
//! ```text
//! sender    OFFER ─────> answers ──> manifest, block 0, 1, 2 ..        parity as asked ..        END
//!                          ^  |         |       |                        ^      |
//! receiver             ACCEPT └─> group joined  | k of them: hash, write | lost | back-off > ObjectNack { block, deficit }
//! ```
//! * [`manifest`]: what an object is; [`code`]: parity, and blocks out of whatever arrived; [`bits`]: which blocks there are.
//! * [`sender::Outgoing`]: who wants it and how far they are; which symbol goes out next, and when.
//! * [`receiver::Incoming`]: symbols in, verified blocks out; what is asked for, and when.
//! * [`rate`]: how fast; [`backoff`]: who asks first; [`name`]: under which name it is stored.
//!
//! Receivers ask for a *number* of symbols; the sender answers the largest number with that many parity symbols nobody has had
//! yet, which serve everybody. Nothing is written whose hash the signed offer does not vouch for.

pub mod backoff;
pub mod bits;
pub mod code;
pub mod manifest;
pub mod name;
pub mod rate;
pub mod receiver;
pub mod sender;
#[cfg(test)]
mod tests;
