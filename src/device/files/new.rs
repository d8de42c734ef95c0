//! Small files written whole, under a name that nothing has yet.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Error, is_full};

/// Names tried before giving up.
const NAMES_MAX: u32 = 10_000;

/// Writes `bytes` into `folder`, which is made if it is not there, under the first of `names` that nothing has; returns
/// where. Follows no link, and leaves nothing behind when it cannot be written. Only this user can read it.
///
/// # Errors
/// [`Error::NoRoom`], or what the system says.
pub fn write_new(folder: &Path, names: impl Fn(u32) -> String, bytes: &[u8]) -> Result<PathBuf, Error> {
    let failed = |path: &Path, source: io::Error| match is_full(&source) {
        true => Error::NoRoom { folder: folder.into() },
        false => Error::Io { action: "write", path: path.into(), source },
    };
    fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    for n in 0..NAMES_MAX {
        let path = folder.join(names(n));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = match options.open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(failed(&path, e)),
        };
        return match file.write_all(bytes) {
            Ok(()) => Ok(path),
            Err(e) => {
                let _ = fs::remove_file(&path);
                Err(failed(&path, e))
            }
        };
    }
    Err(failed(folder, io::ErrorKind::AlreadyExists.into()))
}

/// Copies `from`, of at most `bytes_max` bytes, to `to` or, when that is a folder, into it under its own name; nothing is
/// replaced: a name that is taken gets a number. Returns where it is.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::NoRoom`], or what the system says.
pub fn copy_new(
    from: &Path,
    to: &Path,
    bytes_max: u64,
    numbered: impl Fn(&str, u32) -> String,
) -> Result<PathBuf, Error> {
    let failed = |source| Error::Io { action: "read", path: from.into(), source };
    let size = fs::metadata(from).map_err(failed)?.len();
    if size > bytes_max {
        return Err(Error::TooLarge { path: from.into(), most: format!("{bytes_max} bytes") });
    }
    let bytes = fs::read(from).map_err(failed)?;
    let (folder, name) = match (to.is_dir(), to.file_name()) {
        (false, Some(name)) => (to.parent().unwrap_or(Path::new("")), name),
        _ => (to, from.file_name().unwrap_or_default()),
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let name = name.to_string_lossy();
    write_new(folder, |n| numbered(&name, n), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(name: &str, n: u32) -> String {
        if n == 0 { name.to_owned() } else { format!("{n}-{name}") }
    }

    #[test]
    fn nothing_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("voice");
        for (n, content) in [b"a", b"b", b"c"].into_iter().enumerate() {
            let path = write_new(&folder, |n| numbered("x.ogg", n), content).unwrap();
            assert_eq!(path, folder.join(numbered("x.ogg", n as u32)));
        }
        let first = folder.join("x.ogg");
        let copy = |to: &Path| copy_new(&first, to, 1, numbered);
        assert_eq!(copy(&home.path().join("new.ogg")).unwrap(), home.path().join("new.ogg"));
        assert_eq!(copy(home.path()).unwrap(), home.path().join("x.ogg"), "a folder: under its own name");
        assert_eq!(copy(&folder).unwrap(), folder.join("3-x.ogg"));
        assert_eq!(copy(&first).unwrap(), folder.join("4-x.ogg"), "never over itself");
        assert_eq!(fs::read(folder.join("3-x.ogg")).unwrap(), b"a");
        assert!(matches!(copy_new(&first, home.path(), 0, numbered), Err(Error::TooLarge { .. })));
        assert!(copy_new(&folder.join("none"), home.path(), 9, numbered).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_free_name() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("target");
        std::os::unix::fs::symlink(&target, home.path().join("x.ogg")).unwrap();
        let path = write_new(home.path(), |n| numbered("x.ogg", n), b"a").unwrap();
        assert_eq!(path, home.path().join("1-x.ogg"));
        assert!(!target.exists());
    }
}
