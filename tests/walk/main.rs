//! A user with a real keyboard and a mouse: the program itself on a display (Xvfb, a window manager, xdotool), from the
//! start screen into a conference with somebody else, through what people do there, and out again.
//!
//! What to press is found as a screen reader finds it, in a window of the same size and state that lives in the test
//! ([`shadow`]); what came of it is seen by the other participant, and on the display. Each step leaves a picture in
//! `target/tmp/walk`. Skipped with a message where a program is missing.

#[path = "../common/mod.rs"]
mod common;

mod desk;
mod figures;
mod shadow;
mod walks;
