//! Something to send: a file, or a folder as one archive; read block by block, any of them as often as wanted.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Error, archive};
use crate::limits::{ARCHIVE_ENTRIES_MAX, OBJECT_BYTES_MAX};

/// One stretch of what is sent.
#[derive(Debug)]
pub(super) enum Stretch {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// The beginning of a file, so many bytes.
    File(PathBuf, u64),
    /// So many zeros.
    Zeros(u64),
}

impl Stretch {
    fn len(&self) -> u64 {
        match self {
            Stretch::Bytes(bytes) => bytes.len() as u64,
            Stretch::File(_, length) | Stretch::Zeros(length) => *length,
        }
    }
}

/// See the module. Clones read the same independently.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    name: String,
    /// Where each stretch begins, and what it is.
    stretches: Arc<Vec<(u64, Stretch)>>,
    size: u64,
    /// The file read last.
    open: Option<(usize, File)>,
}

impl Clone for Source {
    fn clone(&self) -> Self {
        let (path, name) = (self.path.clone(), self.name.clone());
        Self { path, name, stretches: Arc::clone(&self.stretches), size: self.size, open: None }
    }
}

impl Source {
    /// Opens a file, or lays out a folder as an archive.
    ///
    /// # Errors
    /// What cannot be read, is neither, or is too large.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { action: "read", path: path.into(), source };
        let facts = fs::metadata(path).map_err(failed)?;
        // "." and ".." have a name elsewhere.
        let whole =
            if path.file_name().is_some() { path.to_owned() } else { fs::canonicalize(path).map_err(failed)? };
        let name = whole.file_name().map_or_else(|| "files".into(), |n| n.to_string_lossy().into_owned());
        let (name, stretches) = if facts.is_dir() {
            (format!("{name}.tar"), archive::layout(&whole, &name, ARCHIVE_ENTRIES_MAX)?)
        } else if facts.is_file() {
            File::open(path).map_err(failed)?;
            (name, vec![Stretch::File(path.into(), facts.len())])
        } else {
            return Err(Error::NoFile { path: path.into() });
        };
        let mut size = 0;
        let mut placed = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            let length = stretch.len();
            placed.push((size, stretch));
            size += length;
        }
        if size > OBJECT_BYTES_MAX {
            let most = format!("{} GiB", OBJECT_BYTES_MAX >> 30);
            return Err(Error::TooLarge { path: path.into(), most });
        }
        Ok(Self { path: path.into(), name, stretches: Arc::new(placed), size, open: None })
    }

    /// What it is called, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `out` with what stands at `offset`.
    ///
    /// # Errors
    /// What cannot be read, or is shorter than it was.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let (mut offset, mut rest) = (offset, out);
        while !rest.is_empty() {
            let n = self.stretches.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
            let stretches = Arc::clone(&self.stretches);
            let Some((start, stretch)) = stretches.get(n) else {
                return Err(Error::Changed { path: self.path.clone() });
            };
            let within = offset - start;
            let length = stretch.len().saturating_sub(within).min(rest.len() as u64) as usize;
            if length == 0 {
                return Err(Error::Changed { path: self.path.clone() });
            }
            let (now, later) = rest.split_at_mut(length);
            match stretch {
                Stretch::Bytes(bytes) => now.copy_from_slice(&bytes[within as usize..within as usize + length]),
                Stretch::Zeros(_) => now.fill(0),
                Stretch::File(path, _) => self.read_file(n, path, within, now).map_err(|e| unread(path, e))?,
            }
            (offset, rest) = (offset + length as u64, later);
        }
        Ok(())
    }

    fn read_file(&mut self, n: usize, path: &Path, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let file = match &mut self.open {
            Some((open, file)) if *open == n => file,
            other => &mut other.insert((n, File::open(path)?)).1,
        };
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    }
}

fn unread(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Changed { path: path.into() },
        _ => Error::Io { action: "read", path: path.into(), source },
    }
}
