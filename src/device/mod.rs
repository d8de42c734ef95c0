//! The only place that touches the operating system: clock, sockets, interfaces, cameras, sound, files.

pub mod camera;
pub mod clock;
pub mod firewall;
pub mod identity;
pub mod net;
pub mod priority;
pub mod process;
pub mod sound;
