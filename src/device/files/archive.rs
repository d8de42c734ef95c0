//! A folder laid out as one archive (POSIX ustar, with GNU's long names), without writing it anywhere: its size is known before
//! it is read, and any part of it can be read again.
//!
//! Files and folders are in it, with their times and whether they may be executed; neither links nor devices are, nor
//! whose they were. Names are in the order of their bytes, so that the same folder gives the same archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tar::{EntryType, Header};

use super::Error;
use super::source::Stretch;
use crate::device::clock;

const RECORD: u64 = 512;
/// Longest name that stands in a header of its own.
const NAME_BYTES_MAX: usize = 100;

/// The archive of `folder`, in which everything stands below `name`; of at most so many files and folders.
pub(super) fn layout(folder: &Path, name: &str, most: usize) -> Result<Vec<Stretch>, Error> {
    let mut out = Vec::new();
    let mut entries = 0;
    let mut open = vec![(folder.to_owned(), name.to_owned())];
    while let Some((path, name)) = open.pop() {
        entries += 1;
        if entries > most {
            return Err(Error::TooLarge { path: folder.into(), most: format!("{most} files") });
        }
        let failed = |source| Error::Io { action: "read", path: path.clone(), source };
        let facts = fs::symlink_metadata(&path).map_err(failed)?;
        if facts.is_dir() {
            entry(&mut out, &format!("{name}/"), EntryType::Directory, 0, &facts);
            let mut inside: Vec<PathBuf> =
                fs::read_dir(&path).and_then(|all| all.map(|e| Ok(e?.path())).collect()).map_err(failed)?;
            inside.sort_unstable_by(|a, b| b.cmp(a));
            for path in inside {
                let last = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                open.push((path, format!("{name}/{last}")));
            }
        } else if facts.is_file() {
            entry(&mut out, &name, EntryType::Regular, facts.len(), &facts);
            if facts.len() > 0 {
                out.push(Stretch::File(path, facts.len()));
                pad(&mut out, facts.len());
            }
        }
    }
    // The end of an archive.
    out.push(Stretch::Zeros(2 * RECORD));
    Ok(out)
}

fn entry(out: &mut Vec<Stretch>, name: &str, kind: EntryType, size: u64, facts: &fs::Metadata) {
    let mut header = Header::new_gnu();
    if header.set_path(name).is_err() || name.len() >= NAME_BYTES_MAX {
        let mut long = Header::new_gnu();
        let bytes = [name.as_bytes(), &[0]].concat();
        // Of these values none can be too large.
        let _ = long.set_path("././@LongLink");
        long.set_entry_type(EntryType::GNULongName);
        long.set_size(bytes.len() as u64);
        long.set_cksum();
        let length = bytes.len() as u64;
        out.push(Stretch::Bytes(long.as_bytes().to_vec()));
        out.push(Stretch::Bytes(bytes));
        pad(out, length);
        let _ = header.set_path(&name[..name.floor_char_boundary(NAME_BYTES_MAX - 1)]);
    }
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode(facts));
    header.set_mtime(clock::changed(facts).unwrap_or(Duration::ZERO).as_secs());
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    out.push(Stretch::Bytes(header.as_bytes().to_vec()));
}

/// What a user's own new files and folders have.
fn mode(facts: &fs::Metadata) -> u32 {
    #[cfg(unix)]
    let runs = std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o100 != 0;
    #[cfg(not(unix))]
    let runs = false;
    if facts.is_dir() || runs { 0o755 } else { 0o644 }
}

fn pad(out: &mut Vec<Stretch>, length: u64) {
    let missing = length.next_multiple_of(RECORD) - length;
    if missing > 0 {
        out.push(Stretch::Zeros(missing));
    }
}
