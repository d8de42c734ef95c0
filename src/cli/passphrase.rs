//! Where the passphrase of a protected conference comes from: a file, the environment, or the user at a terminal. Never
//! the command line, which every user of the machine can read.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::thread::JoinHandle;

use zeroize::Zeroizing;

use super::ParticipantOptions;
use super::failure::{Failure, code};
use crate::device::identity;
use crate::limits::PASSPHRASE_BYTES_MAX;
use crate::protocol::discovery::Found;
use crate::protocol::keys::{KdfFailed, Secret};
use crate::protocol::passphrase::{Error, Passphrase};
use crate::wire::message::ConferenceId;

/// The variable of the environment that may hold it.
const VARIABLE: &str = "ROUNDTABLE_PASSPHRASE";
/// Tries at the prompt.
const TRIES: usize = 3;

/// One that nobody has used before, from the system's randomness.
pub fn generate() -> Result<Passphrase, Failure> {
    let seed = identity::random_seed().map_err(|e| Failure::new(code::UNEXPECTED, e))?;
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

/// A passphrase that is known before its conference is found. Its key is derived while others of that title may still
/// answer: both take long enough to be noticed.
#[derive(Default)]
pub struct Trial {
    passphrase: Option<Passphrase>,
    invited: bool,
    under_way: Option<(ConferenceId, JoinHandle<Result<Secret, KdfFailed>>)>,
}

impl Trial {
    /// With the passphrase given by file or environment, if any.
    pub fn given(options: &ParticipantOptions) -> Result<Self, Failure> {
        Ok(Self { passphrase: given(options)?, ..Self::default() })
    }

    /// The key of an invite comes before what was given.
    pub fn invite(&mut self, key: Option<Passphrase>) {
        self.invited = key.is_some();
        self.passphrase = key.or(self.passphrase.take());
    }

    /// Begins to derive the key for `found`, which is probably what is looked for.
    pub fn begin(&mut self, found: &Found) {
        let Some(passphrase) = self.passphrase.clone().filter(|_| !found.open && self.under_way.is_none()) else {
            return;
        };
        let id = found.id;
        self.under_way = Some((id, std::thread::spawn(move || Secret::from_passphrase(&passphrase, &id))));
    }

    /// The secret, if the passphrase is that of `found`; none without a passphrase.
    fn end(mut self, found: &Found) -> Option<Result<Option<Secret>, Failure>> {
        let passphrase = self.passphrase.take()?;
        let secret = match self.under_way.take() {
            // A thread that panicked has derived nothing.
            Some((id, derived)) if id == found.id => derived.join().unwrap_or(Err(KdfFailed)),
            _ => Secret::from_passphrase(&passphrase, &found.id),
        };
        Some(accepted(found, secret))
    }
}

/// What opens `found`: nothing for an open conference, else the key of the invite, else the passphrase given, else the
/// one the user types.
pub fn secret_for(found: &Found, trial: Trial) -> Result<Secret, Failure> {
    if found.open {
        return Ok(Secret::open(&found.id));
    }
    let invited = trial.invited;
    if let Some(outcome) = trial.end(found) {
        return outcome?.ok_or_else(|| match invited {
            true => refused(found).hint("the invite's key is not this conference's: ask for another invite"),
            false => refused(found).hint(format!("check --passphrase-file or {VARIABLE}; letters count as typed")),
        });
    }
    if !std::io::stdin().is_terminal() {
        return Err(refused_without(found));
    }
    for _ in 0..TRIES {
        let typed = rpassword::prompt_password(format!("passphrase of \"{}\": ", found.title)).map(Zeroizing::new)?;
        match typed.parse::<Passphrase>() {
            Ok(passphrase) => match accepted(found, Secret::from_passphrase(&passphrase, &found.id))? {
                Some(secret) => return Ok(secret),
                None => eprintln!("that is not the passphrase"),
            },
            Err(error) => eprintln!("{error}"),
        }
    }
    Err(refused(found).hint("ask whoever started the conference"))
}

fn accepted(found: &Found, secret: Result<Secret, KdfFailed>) -> Result<Option<Secret>, Failure> {
    let secret = secret.map_err(|e| Failure::new(code::UNEXPECTED, e))?;
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
