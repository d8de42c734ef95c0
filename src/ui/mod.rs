//! The window.

pub mod app;
pub mod overlay;
pub mod stage;
pub mod theme;
pub mod toolbar;
pub mod window;
