//! The secret seed of an installation's identity, one for each profile, kept on disk.
//!
//! ```text
//! <data folder>/identity/<profile>.key    "roundtable identity 1\n", 64 hexadecimal digits; its owner's only
//! <data folder>/identity/<profile>.lock   locked while an instance uses the profile
//! ```
//! The data folder is the platform's, or `ROUNDTABLE_HOME`. A second instance with the same profile gets an identity
//! that is not kept: two members with one identity would displace each other. A seed is written to a file beside
//! its place and renamed, so that there is a whole one or none. It must never be logged.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Environment variable that replaces the data folder.
pub const HOME_VARIABLE: &str = "ROUNDTABLE_HOME";
const HEADER: &str = "roundtable identity 1\n";
/// A key file is far shorter; more is not read.
const FILE_BYTES_MAX: u64 = 1_024;
/// Bytes of a profile's file name before its ending.
const FILE_NAME_BYTES_MAX: usize = 150;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The platform names no data folder.
    #[error("no folder for data is known; set {HOME_VARIABLE} to one")]
    NoFolder,
    /// A file or folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A seed, and the lock on its profile for as long as this lives.
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    notice: Option<String>,
    _lock: Option<File>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, ..)", if self.is_kept() { "kept" } else { "not kept" })
    }
}

impl Identity {
    /// The identity of `profile` in the data folder, made when there is none.
    ///
    /// # Errors
    /// When the folder cannot be used or the key file not be read; a damaged key file is set aside and replaced.
    pub fn open(profile: &str) -> Result<Self, Error> {
        let home = home()?;
        Self::open_in(&home, profile)
    }

    /// As [`open`](Self::open), in the data folder `home`.
    pub fn open_in(home: &Path, profile: &str) -> Result<Self, Error> {
        let folder = home.join("identity");
        fs::create_dir_all(&folder).map_err(failed("make the folder", &folder))?;
        let name = file_name(profile);
        let lock_path = folder.join(format!("{name}.lock"));
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(failed("open the lock", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let notice =
                    format!("another instance uses the profile \"{profile}\": this one's identity is new and not kept");
                return Ok(Self { notice: Some(notice), ..Self::ephemeral()? });
            }
            Err(TryLockError::Error(source)) => {
                return Err(Error::File { action: "lock", path: lock_path, source });
            }
        }
        let path = folder.join(format!("{name}.key"));
        let (seed, notice) = read_or_make(&path)?;
        Ok(Self { seed, notice, _lock: Some(lock) })
    }

    /// An identity that is not kept.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn ephemeral() -> Result<Self, Error> {
        Ok(Self { seed: random_seed()?, notice: None, _lock: None })
    }

    /// The secret.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// What the user should know: not kept, or replaced.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Whether the next start finds it again.
    pub fn is_kept(&self) -> bool {
        self._lock.is_some()
    }
}

/// 32 bytes nobody can foretell.
///
/// # Errors
/// [`Error::Random`].
pub fn random_seed() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(Error::Random)?;
    Ok(seed)
}

/// The data folder: the platform's, or [`HOME_VARIABLE`].
///
/// # Errors
/// When the platform names none.
pub fn home() -> Result<PathBuf, Error> {
    data_folder(std::env::var_os(HOME_VARIABLE))
}

/// Where the program keeps its data; `home` = the value of [`HOME_VARIABLE`].
fn data_folder(home: Option<OsString>) -> Result<PathBuf, Error> {
    match home.filter(|h| !h.is_empty()) {
        Some(home) => Ok(home.into()),
        None => directories::ProjectDirs::from("", "", "roundtable")
            .map(|dirs| dirs.data_dir().to_owned())
            .ok_or(Error::NoFolder),
    }
}

/// A file name for a profile: letters, digits, `-` and `_` stand for themselves, everything else for its bytes in
/// hexadecimal, upper case too, because some file systems do not tell cases apart.
fn file_name(profile: &str) -> String {
    let mut name = String::from("p-");
    for byte in profile.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(name, "%{other:02x}");
            }
        }
    }
    name.truncate(FILE_NAME_BYTES_MAX);
    name
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File { action, path: path.to_owned(), source }
}

fn read_or_make(path: &Path) -> Result<(Zeroizing<[u8; 32]>, Option<String>), Error> {
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    match File::open(path) {
        Ok(file) => {
            file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed("read", path))?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((make(path)?, None)),
        Err(e) => return Err(failed("open", path)(e)),
    }
    if let Some(seed) = parse(&text) {
        return Ok((seed, tighten(path)));
    }
    let aside = path.with_extension("broken");
    fs::rename(path, &aside).map_err(failed("set aside", path))?;
    let notice = format!(
        "the identity in {} was damaged: it is kept as {}, and others see a new person from now on",
        path.display(),
        aside.display()
    );
    Ok((make(path)?, Some(notice)))
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let digits = std::str::from_utf8(text).ok()?.strip_prefix(HEADER)?.trim_end().as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut seed = Zeroizing::new([0; 32]);
    for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Some(seed)
}

/// Writes a new seed beside `path` and renames it there.
fn make(path: &Path) -> Result<Zeroizing<[u8; 32]>, Error> {
    let seed = random_seed()?;
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    text.push_str(HEADER);
    seed.iter().for_each(|byte| {
        let _ = write!(text, "{byte:02x}");
    });
    text.push('\n');
    let new = path.with_extension("new");
    // Left over from a crash, perhaps; the lock says that nobody else is writing it.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new).map_err(failed("make", &new))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("rename to", path))?;
    Ok(seed)
}

/// Takes back what others may do with the key file; gives a notice when they could read it.
fn tighten(path: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            let done = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
            let ending = if done.is_ok() { "now only you can" } else { "and that could not be changed" };
            return Some(format!("others could read the identity in {}; {ending}", path.display()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_file(home: &Path) -> PathBuf {
        home.join("identity/p-ada.key")
    }

    #[test]
    fn a_profile_keeps_its_identity() {
        let home = tempfile::tempdir().unwrap();
        let open = |profile: &str| Identity::open_in(home.path(), profile).unwrap();
        let seed = *open("ada").seed();
        let again = open("ada");
        assert_eq!((again.seed(), again.notice(), again.is_kept()), (&seed, None, true));
        assert_ne!(open("bob").seed(), &seed);
        assert!(!home.path().join("identity/p-ada.new").exists());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        drop(Identity::open_in(home.path(), "ada").unwrap());
        let mode = || fs::metadata(key_file(home.path())).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(key_file(home.path()), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Identity::open_in(home.path(), "ada").unwrap().notice().unwrap().contains("could read"));
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_second_instance_has_an_identity_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let first = Identity::open_in(home.path(), "ada").unwrap();
        let second = Identity::open_in(home.path(), "ada").unwrap();
        assert_ne!(first.seed(), second.seed());
        assert!(!second.is_kept() && second.notice().unwrap().contains("another instance"));
        let seed = *first.seed();
        drop(first);
        assert_eq!(Identity::open_in(home.path(), "ada").unwrap().seed(), &seed);
    }

    #[test]
    fn a_damaged_key_is_set_aside_and_replaced() {
        let home = tempfile::tempdir().unwrap();
        let seed = *Identity::open_in(home.path(), "ada").unwrap().seed();
        let good = fs::read(key_file(home.path())).unwrap();
        let rows: [Vec<u8>; 5] = [
            vec![],
            good[..good.len() - 2].to_vec(),
            [&good[..good.len() - 1], b"0\n"].concat(),
            good.iter().map(|&b| if b == b'1' { b'g' } else { b }).collect(),
            vec![0xff; 5_000],
        ];
        for bad in rows {
            fs::write(key_file(home.path()), &bad).unwrap();
            let opened = Identity::open_in(home.path(), "ada").unwrap();
            assert!(opened.notice().unwrap().contains("damaged"));
            assert_ne!(opened.seed(), &seed);
            assert_eq!(fs::read(home.path().join("identity/p-ada.broken")).unwrap(), bad);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = Identity::open_in(&file, "ada").unwrap_err().to_string();
        assert!(error.contains("file/identity"), "{error}");
    }

    #[test]
    fn profiles_become_safe_distinct_file_names() {
        let rows = [("ada", "p-ada"), ("Ada", "p-%41da"), ("../x", "p-%2e%2e%2fx"), ("", "p-"), ("é", "p-%c3%a9")];
        for (profile, expected) in rows {
            assert_eq!(file_name(profile), expected);
        }
        assert_eq!(file_name(&"x".repeat(500)).len(), FILE_NAME_BYTES_MAX);
    }

    #[test]
    fn the_secret_is_not_told_to_logs() {
        let home = tempfile::tempdir().unwrap();
        let identity = Identity::open_in(home.path(), "ada").unwrap();
        assert_eq!(format!("{identity:?}"), "Identity(kept, ..)");
    }

    #[test]
    fn the_variable_replaces_the_data_folder() {
        assert_eq!(data_folder(Some("/tmp/x".into())).unwrap(), PathBuf::from("/tmp/x"));
        assert_ne!(data_folder(Some("".into())).ok(), Some(PathBuf::new()));
    }
}
