//! An unchanged view costs nothing.
