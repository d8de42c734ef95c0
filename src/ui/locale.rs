//! The process's character set, without which the display passes no text beyond ASCII.

#![allow(unsafe_code)]

/// Takes the character set from the environment (`LC_ALL`, `LC_CTYPE`, `LANG`), as X11's input methods expect.
pub fn use_environment() {
    set(c"");
}

/// Takes the plain character set, which every display supports.
pub fn use_plain() {
    set(c"C");
}

fn set(name: &std::ffi::CStr) {
    // SAFETY: `name` is a valid C string for the duration of the call, and the returned pointer is not used. setlocale is
    // not safe beside other threads that read the locale: only LC_CTYPE changes, before the window exists, and Rust's
    // standard library reads no locale.
    unsafe {
        libc::setlocale(libc::LC_CTYPE, name.as_ptr());
    }
}
