//! Fitting what is sent and received to what networks and machines can do. State machines only: figures in, settings out.
//!
//! ```text
//! receiver   tiles, offers, budget ──choice──> a layer for each tile
//!            loss, overflows, late decoding ──descent──> how many steps below the choice
//! sender     reports, share of the conference's rate, own load ──sender──> quality, rate and size of `full`, or none of it
//! ```
//! Going down is quick, going up slow, and each failure to stay up doubles the time until the next attempt: that is what
//! keeps them from swinging.

pub mod choice;
pub mod descent;
pub mod sender;
