//! Mouse and keys.
