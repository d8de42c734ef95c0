//! Roundtable: video conferencing on a local network with no server.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod conference;
pub mod device;
pub mod limits;
pub mod media;
pub mod pipeline;
pub mod protocol;
pub mod time;
pub mod ui;
pub mod wire;
