//! Files that are sent and received: whole ones and folders to read from ([`Source`]), files in the making ([`Target`]).

mod archive;
mod new;
mod source;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub use new::{copy_new, write_new};
pub use source::Source;
pub use target::{Part, Target};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room for it on the disk, or not for this user.
    #[error("there is no room for it in {}", folder.display())]
    NoRoom {
        /// Where.
        folder: PathBuf,
    },
    /// Neither file nor folder.
    #[error("{} is neither a file nor a folder", path.display())]
    NoFile {
        /// What.
        path: PathBuf,
    },
    /// Too large, or too many files.
    #[error("{} is too large: {most} are the most", path.display())]
    TooLarge {
        /// What.
        path: PathBuf,
        /// The limit in words.
        most: String,
    },
    /// It is not what it was when it was offered.
    #[error("{} was changed while it was sent", path.display())]
    Changed {
        /// What.
        path: PathBuf,
    },
    /// The system's reason.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Whether the system says that there is no room.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::StorageFull | K::QuotaExceeded | K::FileTooLarge)
}
