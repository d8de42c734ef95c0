//! The window without a display: what it shows, what mouse and keys ask of the conference, and that it rests when
//! nothing happens.

mod acts;
mod calls;
mod controls;
mod every_control;
mod files;
mod habits;
mod panels;
mod rests;
mod scene;
mod screens;
mod start;
mod voices;
