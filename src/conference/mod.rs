//! Join, leave; commands in, events and statistics out; starts and stops the pipelines.

pub mod config;
pub mod history;
pub mod view;
