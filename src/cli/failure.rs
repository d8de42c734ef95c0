//! How a command ends when it does not end well: what failed, on what, a hint, and the exit code.

use std::fmt;

use crate::conference;

/// Exit codes, as the help text lists them.
pub mod code {
    /// Something nobody foresaw.
    pub const UNEXPECTED: u8 = 1;
    /// The command line or the settings are wrong.
    pub const USAGE: u8 = 2;
    /// A camera, microphone, speaker, screen or disk fails.
    pub const DEVICE: u8 = 3;
    /// The network fails.
    pub const NETWORK: u8 = 4;
    /// Refused, kicked, full, wrong passphrase.
    pub const REFUSED: u8 = 5;
    /// No such conference or person.
    pub const NOT_FOUND: u8 = 6;
}

/// An error on its way to stderr.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    /// An error with its exit code.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into(), hint: None }
    }

    /// An error told in words.
    pub fn words(code: u8, text: impl fmt::Display) -> Self {
        Self { code, error: anyhow::anyhow!("{text}"), hint: None }
    }

    /// A mistake in the command line or settings.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self::words(code::USAGE, text)
    }

    /// Adds what the user may do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        // Sources whose words already stand in the message are not repeated.
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !said.contains(&cause) {
                write!(f, ": {cause}")?;
                said.push_str(&cause);
            }
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(code::UNEXPECTED, error)
    }
}

impl From<conference::Error> for Failure {
    fn from(error: conference::Error) -> Self {
        use conference::Error as E;
        let (code, hint) = match &error {
            E::Network(_) | E::Control(_) => (code::NETWORK, "`roundtable devices` lists the network interfaces"),
            E::Address(_) => (code::USAGE, "without --group and --port free ones are chosen"),
            E::Identity(_) => (code::DEVICE, "ROUNDTABLE_HOME names another folder for what is kept"),
            E::Camera { .. } => {
                (code::DEVICE, "--camera takes auto, none, test, a number of `roundtable devices`, or a file")
            }
            E::Speaker(_) => (code::DEVICE, "is the folder there and writable, and the disk not full?"),
            E::Microphone(_) => (code::DEVICE, "is the file there, and is it a WAV file?"),
            E::Passphrase(_) => (code::UNEXPECTED, "end some programs and try again"),
            E::System(_) => (code::UNEXPECTED, "is the machine out of memory, threads or open files?"),
        };
        Failure::new(code, error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_error_and_hint() {
        let f = Failure::words(code::NOT_FOUND, "no conference 'X'").hint("`roundtable list` shows them");
        assert_eq!(f.to_string(), "error: no conference 'X'\nhint: `roundtable list` shows them");
        assert_eq!(f.code, 6);
    }

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("inner");
        let f = Failure::new(1, anyhow::Error::new(inner).context("outer: inner"));
        assert_eq!(f.to_string(), "error: outer: inner");
    }
}
