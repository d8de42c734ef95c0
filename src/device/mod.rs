//! The only place that touches the operating system: clock, sockets, interfaces, cameras, sound, files.

pub mod camera;
pub mod clock;
pub mod identity;
pub mod net;
pub mod process;
pub mod sound;
