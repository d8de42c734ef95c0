//! FFmpeg and GStreamer as players of our streams and as senders of theirs.
//!
//! Known pictures and a known tone go in on one side; what comes out on the other is compared with them.

#[path = "../common/mod.rs"]
mod common;

mod material;
mod pauses;
mod players;
mod senders;
mod taps;
mod voice_messages;
