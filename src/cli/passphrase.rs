//! Where the passphrase of a protected conference comes from: a file, the environment, or the user at a terminal. Never
//! the command line, which every user of the machine can read.

use std::io::{IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::ParticipantOptions;
use super::failure::{Failure, code};
use crate::device::identity;
use crate::limits::PASSPHRASE_BYTES_MAX;
use crate::protocol::discovery::Found;
use crate::protocol::keys::Secret;
use crate::protocol::passphrase::{Error, Passphrase};

/// The variable of the environment that may hold it.
const VARIABLE: &str = "ROUNDTABLE_PASSPHRASE";
/// Tries at the prompt.
const TRIES: usize = 3;

/// One that nobody has used before, from the system's randomness.
pub fn generate() -> Result<Passphrase, Failure> {
    let seed = Zeroizing::new(identity::random_seed().map_err(|e| Failure::new(code::UNEXPECTED, e))?);
    let [a, b, c, d, e, f, g, h, ..] = *seed;
    Ok(Passphrase::generate(u64::from_be_bytes([a, b, c, d, e, f, g, h])))
}

/// The passphrase given by file or environment, if any; the file wins.
pub fn given(options: &ParticipantOptions) -> Result<Option<Passphrase>, Failure> {
    if let Some(path) = &options.passphrase_file {
        return from_file(path).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) => checked(&Zeroizing::new(text), VARIABLE).map(Some),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{VARIABLE} is not UTF-8"))),
    }
}

fn from_file(path: &Path) -> Result<Passphrase, Failure> {
    let unread = |e: std::io::Error| {
        Failure::words(code::USAGE, format!("cannot read the passphrase from {}: {e}", path.display()))
            .hint("the file holds the passphrase on its first line, as UTF-8")
    };
    // As large as it may become: a string that grows leaves copies of what it held.
    let mut text = Zeroizing::new(String::with_capacity(PASSPHRASE_BYTES_MAX + 16));
    let most = PASSPHRASE_BYTES_MAX as u64 + 2;
    std::fs::File::open(path).and_then(|f| f.take(most).read_to_string(&mut text)).map_err(unread)?;
    checked(text.lines().next().unwrap_or_default(), &path.display().to_string())
}

fn checked(text: &str, origin: &str) -> Result<Passphrase, Failure> {
    text.parse().map_err(|error| match error {
        Error::Empty => Failure::usage(format!("{origin} holds no passphrase")),
        Error::TooLong => Failure::usage(format!("{origin}: {error}")),
    })
}

/// What opens `found`: nothing for an open conference, else the key of the invite, else the passphrase given, else the
/// one the user types.
pub fn secret_for(
    found: &Found,
    invited: Option<&Passphrase>,
    options: &ParticipantOptions,
) -> Result<Secret, Failure> {
    if found.open {
        return Ok(Secret::open(&found.id));
    }
    if let Some(passphrase) = invited {
        return try_one(found, passphrase)?
            .ok_or_else(|| refused(found).hint("the invite's key is not this conference's: ask for another invite"));
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
        match typed.parse::<Passphrase>() {
            Ok(passphrase) => match try_one(found, &passphrase)? {
                Some(secret) => return Ok(secret),
                None => eprintln!("that is not the passphrase"),
            },
            Err(error) => eprintln!("{error}"),
        }
    }
    Err(refused(found).hint("ask whoever started the conference"))
}

fn try_one(found: &Found, passphrase: &Passphrase) -> Result<Option<Secret>, Failure> {
    let secret = Secret::from_passphrase(passphrase, &found.id).map_err(|e| Failure::new(code::UNEXPECTED, e))?;
    Ok(found.accepts(&secret).then_some(secret))
}

fn refused(found: &Found) -> Failure {
    Failure::words(code::REFUSED, format!("wrong passphrase for \"{}\"", found.title))
}

fn refused_without(found: &Found) -> Failure {
    Failure::usage(format!("\"{}\" is protected, and no passphrase was given", found.title)).hint(format!(
        "give --passphrase-file FILE or {VARIABLE}, pipe an invite to `roundtable join -`, or run in a terminal to be asked"
    ))
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
            assert_eq!(given(&options).ok().flatten().as_deref(), expected, "{bytes:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(given(&options).unwrap_err().code, code::USAGE);
    }

    #[test]
    fn generated_ones_are_five_words_and_differ() {
        let made: Vec<Passphrase> = (0..100).map(|_| generate().unwrap()).collect();
        assert!(made.iter().all(|p| p.split('-').count() == 5));
        // Two equal ones among a hundred of 2^55 are no accident.
        let distinct: std::collections::BTreeSet<&str> = made.iter().map(|p| &**p).collect();
        assert_eq!(distinct.len(), made.len());
    }
}
