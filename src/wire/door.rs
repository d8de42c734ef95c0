//! Secrets handed to members.

/// Bytes of a secret sealed to one member.
pub const BOX_BYTES: usize = 8 + 32 + 16;
/// Bytes that bind a secret.
pub const COMMITMENT_BYTES: usize = 16;
