//! Thread role: camera to network.

pub mod pacer;
pub mod stream;

pub use stream::{Error, OutgoingVideo, StreamConfig, VideoSendStats};
