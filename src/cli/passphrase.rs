//! Where the passphrase of a protected conference comes from: a file, the environment, or the user at a terminal. Never
//! the command line, which every user of the machine can read.

use std::io::{IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::ParticipantOptions;
use super::failure::{Failure, code};
use crate::protocol::discovery::Found;
use crate::protocol::keys::Secret;

/// The variable of the environment that may hold it.
const VARIABLE: &str = "ROUNDTABLE_PASSPHRASE";
/// Longest passphrase, bytes.
const BYTES_MAX: u64 = 1_024;
/// Tries at the prompt.
const TRIES: usize = 3;

/// A passphrase: wiped from memory when it is no longer used.
pub type Passphrase = Zeroizing<String>;

/// The passphrase given by file or environment, if any; the file wins.
pub fn given(options: &ParticipantOptions) -> Result<Option<Passphrase>, Failure> {
    if let Some(path) = &options.passphrase_file {
        return from_file(path).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) => checked(Zeroizing::new(text), VARIABLE).map(Some),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{VARIABLE} is not UTF-8"))),
    }
}

fn from_file(path: &Path) -> Result<Passphrase, Failure> {
    let unread = |e: std::io::Error| {
        Failure::words(code::USAGE, format!("cannot read the passphrase from {}: {e}", path.display()))
            .hint("the file holds the passphrase on its first line, as UTF-8")
    };
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path).and_then(|f| f.take(BYTES_MAX + 2).read_to_string(&mut text)).map_err(unread)?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    checked(line, &path.display().to_string())
}

fn checked(text: Passphrase, origin: &str) -> Result<Passphrase, Failure> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Failure::usage(format!("{origin} holds no passphrase")));
    }
    if trimmed.len() as u64 > BYTES_MAX {
        return Err(Failure::usage(format!("the passphrase in {origin} is longer than {BYTES_MAX} bytes")));
    }
    Ok(Zeroizing::new(trimmed.to_owned()))
}

/// What opens `found`: nothing for an open conference, else the passphrase given, else the one the user types.
pub fn secret_for(found: &Found, options: &ParticipantOptions) -> Result<Secret, Failure> {
    if found.open {
        return Ok(Secret::open(&found.id));
    }
    if let Some(passphrase) = given(options)? {
        return try_one(found, &passphrase)?.ok_or_else(|| {
            refused(found).hint(format!("check --passphrase-file or {VARIABLE}; letters count as typed"))
        });
    }
    if !std::io::stdin().is_terminal() {
        return Err(refused_without(found));
    }
    for _ in 0..TRIES {
        let typed = rpassword::prompt_password(format!("passphrase of \"{}\": ", found.title)).map(Zeroizing::new)?;
        if let Some(secret) = try_one(found, &typed)? {
            return Ok(secret);
        }
        eprintln!("that is not the passphrase");
    }
    Err(refused(found).hint("ask whoever started the conference"))
}

fn try_one(found: &Found, passphrase: &str) -> Result<Option<Secret>, Failure> {
    let secret = Secret::from_passphrase(passphrase, &found.id).map_err(|e| Failure::new(code::UNEXPECTED, e))?;
    Ok(found.accepts(&secret).then_some(secret))
}

fn refused(found: &Found) -> Failure {
    Failure::words(code::REFUSED, format!("wrong passphrase for \"{}\"", found.title))
}

fn refused_without(found: &Found) -> Failure {
    Failure::words(code::REFUSED, format!("\"{}\" is protected, and no passphrase was given", found.title))
        .hint(format!("give --passphrase-file FILE or {VARIABLE}, or run in a terminal to be asked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let options = ParticipantOptions { passphrase_file: Some(path.clone()), ..ParticipantOptions::default() };
        for (bytes, expected) in [
            (&b"two words\n"[..], Some("two words")),
            (b"  two words \r\nmore", Some("two words")),
            (b"\n", None),
            (b"", None),
            (b"\xff\xfe", None),
            (&[b'x'; 1_025], None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(given(&options).ok().flatten().as_ref().map(|p| p.as_str()), expected, "{bytes:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(given(&options).unwrap_err().code, code::USAGE);
    }
}
