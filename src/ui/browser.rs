//! Addresses that are opened in the user's browser.

use std::process::{Command, Stdio};

/// Opens an address of the web, and nothing else; a thread waits for the program that does it.
pub fn open(address: &str) {
    if !(address.starts_with("https://") || address.starts_with("http://")) {
        return;
    }
    let mut opener = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    opener.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let run = move || {
        if let Err(error) = opener.status() {
            tracing::warn!(%error, "no browser opens");
        }
    };
    drop(std::thread::Builder::new().name("browser".into()).spawn(run));
}
