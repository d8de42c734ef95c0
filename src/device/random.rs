//! Chance, as the operating system gives it. State machines take it as an argument.

/// 32 bytes nobody can guess.
///
/// # Errors
/// When the operating system has none to give.
pub fn seed() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| std::io::Error::other(format!("no randomness: {e}")))?;
    Ok(seed)
}
