//! Keeps libasound from writing to the terminal: it prints a dozen lines for each device it does not find.
//!
//! Its words go to the log instead, as far as they are spoken on the thread that asked.

/// Runs `work`, which may call libasound.
#[cfg(target_os = "linux")]
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    // Takes the place of the one before, with what that one has caught since; stays when this returns, so that the
    // thread goes on being quiet.
    let caught = alsa::Output::local_error_handler();
    let done = work();
    if let Ok(caught) = caught {
        let words = caught.borrow().to_string();
        if !words.is_empty() {
            tracing::debug!("libasound: {}", words.trim_end());
        }
    }
    done
}

/// Runs `work`; there is no libasound here.
#[cfg(not(target_os = "linux"))]
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    work()
}
