//! All histories on this machine: what there is, and taking it away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{DAMAGED, Error, SUFFIX, about, at, companions, files, is_alone, remove};
use crate::device::identity;

/// Folder of all histories in the data folder.
pub const FOLDER: &str = "history";

/// A conference's history, as its file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Id of the conference, 32 hexadecimal digits.
    pub conference: String,
    /// What it is called; unknown of damaged files.
    pub title: Option<String>,
    /// Pieces of lines; unknown of damaged files.
    pub pieces: Option<u64>,
    /// On the disk.
    pub bytes: u64,
    /// Time of the last change, since 1970.
    pub changed: Duration,
    /// Where it is.
    pub path: PathBuf,
}

/// The folder all histories are in.
///
/// # Errors
/// There is no data folder.
pub fn folder() -> Result<PathBuf, identity::Error> {
    identity::home().map(|home| home.join(FOLDER))
}

/// What there is in `folder`, the newest first. What cannot be read is there as damaged.
pub fn all(folder: &Path) -> Vec<Entry> {
    let mut all: Vec<Entry> = files(folder, |name| name == SUFFIX || name.starts_with(DAMAGED))
        .into_iter()
        .filter_map(|(changed, path)| entry(changed, path))
        .collect();
    all.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.path.cmp(&b.path)));
    all
}

fn entry(changed: Duration, path: PathBuf) -> Option<Entry> {
    let conference = path.file_stem()?.to_str()?.to_owned();
    let whole = path.extension().is_some_and(|extension| extension == SUFFIX);
    let (title, pieces) = whole.then(|| about(&path)).flatten().unwrap_or_default();
    let sizes = companions(&path).into_iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len());
    Some(Entry { conference, title, pieces, bytes: sizes.sum(), changed, path })
}

impl Entry {
    /// Removes it, as if it had never been kept.
    ///
    /// # Errors
    /// It is in use, or cannot be removed.
    pub fn delete(&self) -> Result<(), Error> {
        fs::metadata(&self.path).map_err(at(&self.path))?;
        if self.pieces.is_some() && !is_alone(&self.path)? {
            return Err(Error::InUse { path: self.path.clone() });
        }
        remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ID, kept, store};
    use super::*;

    #[test]
    fn histories_are_listed_with_their_titles_and_deleted_with_all_that_belongs_to_them() {
        let folder = tempfile::TempDir::new().unwrap();
        let count = || fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(all(folder.path()), []);
        let mut open = store(&folder);
        open.append(0, &[kept(1, 1), kept(1, 2)]).unwrap();
        open.entitle("Standup").unwrap();
        open.entitle("Standup 2").unwrap();
        fs::write(folder.path().join("cafe.damaged-1"), "torn").unwrap();
        fs::write(folder.path().join("notes.txt"), "of somebody else").unwrap();
        let listed = all(folder.path());
        let of = |id: &str| listed.iter().find(|entry| entry.conference == id).unwrap();
        let ours = of(&ID.to_string());
        assert_eq!((listed.len(), ours.title.as_deref(), ours.pieces), (2, Some("Standup 2"), Some(2)));
        assert!(ours.bytes > 4_096, "{ours:?}");
        assert_eq!((of("cafe").title.as_ref(), of("cafe").pieces, of("cafe").bytes), (None, None, 4));
        assert!(matches!(ours.delete(), Err(Error::InUse { .. })));
        open.append(0, &[kept(1, 3)]).unwrap();
        drop(open);
        ours.delete().unwrap();
        assert!(matches!(ours.delete(), Err(Error::File { .. })), "it is gone");
        of("cafe").delete().unwrap();
        assert_eq!((count(), all(folder.path())), (1, vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_listed_and_can_be_deleted() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join(format!("{ID}.{SUFFIX}")), "no database at all, but long enough to be one")
            .unwrap();
        let listed = all(folder.path());
        assert_eq!((listed.len(), listed[0].pieces), (1, None));
        listed[0].delete().unwrap();
        assert_eq!(all(folder.path()), []);
    }
}
