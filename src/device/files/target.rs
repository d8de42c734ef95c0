//! A file in the making: written beside its place, block by block in any order, found again after the program was killed.
//!
//! ```text
//! NAME.ID.part          the blocks, each at its place; as long as the whole from the beginning
//! NAME.ID.part.blocks   numbers of the blocks that are written, 4 bytes each, in order of writing
//! ```
//! Neither follows a link, and both are this process's alone while it runs. When all is there and verified, the part takes its
//! name in one step, without replacing anything. What is in a part that was found is as good as its hashes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Error, is_full};

/// Parts of one object that may be in the making in one folder, by several instances.
const PARTS_MAX: u32 = 16;
/// Names tried before giving up.
const NAMES_MAX: u32 = 10_000;
/// Left free on the disk.
const SPARE_BYTES: u64 = 1 << 20;

/// What a part is of.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The name it is to have: a plain file name.
    pub name: &'a str,
    /// Tells it from others of that name.
    pub id: &'a str,
    /// Bytes of the whole.
    pub size: u64,
    /// Bytes of a block, but for the last.
    pub block_bytes: u64,
    /// Nobody but this user may read it.
    pub private: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Target {
    file: File,
    blocks: File,
    folder: PathBuf,
    part: PathBuf,
    list: PathBuf,
    block_bytes: u64,
}

impl Target {
    /// Makes the part in `folder`, or finds it again; and the blocks that are in it already.
    ///
    /// # Errors
    /// [`Error::NoRoom`] when the whole does not fit, or what the system says.
    pub fn open(folder: &Path, of: &Part<'_>) -> Result<(Self, Vec<u32>), Error> {
        let failed = |action, path: &Path, source: io::Error| match is_full(&source) {
            true => Error::NoRoom { folder: folder.into() },
            false => Error::Io { action, path: path.into(), source },
        };
        fs::create_dir_all(folder).map_err(|e| failed("make the folder", folder, e))?;
        for n in 0..PARTS_MAX {
            let number = if n == 0 { String::new() } else { format!("-{n}") };
            let part = folder.join(format!("{}.{}{number}.part", of.name, of.id));
            let list = folder.join(format!("{}.{}{number}.part.blocks", of.name, of.id));
            let mut file = own(&part, of.private).map_err(|e| failed("open", &part, e))?;
            if file.try_lock().is_err() {
                // Another instance is at it.
                continue;
            }
            let mut blocks = own(&list, of.private).map_err(|e| failed("open", &list, e))?;
            let before = file.seek(SeekFrom::End(0)).map_err(|e| failed("read", &part, e))?;
            let written = if before == of.size { numbers(&mut blocks, of) } else { Vec::new() };
            let target = Self { file, blocks, folder: folder.into(), part, list, block_bytes: of.block_bytes };
            if let Err(error) = target.reserve(before, of.size, written.is_empty()) {
                let part = target.part.clone();
                target.remove();
                return Err(failed("write", &part, error));
            }
            return Ok((target, written));
        }
        Err(failed("open", folder, io::Error::other("it is being received several times already")))
    }

    /// Makes it as long as the whole, with room for it.
    fn reserve(&self, before: u64, size: u64, anew: bool) -> io::Result<()> {
        if before == size && !anew {
            return Ok(());
        }
        self.blocks.set_len(0)?;
        self.file.set_len(0)?;
        #[cfg(target_os = "linux")]
        if size > 0 {
            let disk = rustix::fs::statvfs(&self.folder)?;
            if disk.f_bavail.saturating_mul(disk.f_frsize) < size + SPARE_BYTES {
                return Err(io::ErrorKind::StorageFull.into());
            }
            match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, size) {
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                other => return other.map_err(io::Error::from),
            }
        }
        self.file.set_len(size)
    }

    /// Writes a block.
    ///
    /// # Errors
    /// [`Error::NoRoom`], or what the system says.
    pub fn write(&mut self, block: u32, bytes: &[u8]) -> Result<(), Error> {
        let start = u64::from(block) * self.block_bytes;
        let written = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.write_all(bytes));
        let noted = written.and_then(|()| self.blocks.write_all(&block.to_be_bytes()));
        noted.map_err(|source| match is_full(&source) {
            true => Error::NoRoom { folder: self.folder.clone() },
            false => Error::Io { action: "write", path: self.part.clone(), source },
        })
    }

    /// Reads a block again, `length` bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&mut self, block: u32, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        let start = u64::from(block) * self.block_bytes;
        let read = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|source| Error::Io { action: "read", path: self.part.clone(), source })?;
        Ok(bytes)
    }

    /// Gives it the first of `names` that nothing has yet, and returns where it is.
    ///
    /// # Errors
    /// What the system says; the part stays.
    pub fn finish(self, names: impl Fn(u32) -> String) -> Result<PathBuf, Error> {
        for n in 0..NAMES_MAX {
            let path = self.folder.join(names(n));
            match rename_new(&self.part, &path) {
                Ok(()) => {
                    // Of no use any more, and no harm.
                    let _ = fs::remove_file(&self.list);
                    return Ok(path);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::Io { action: "rename to", path, source }),
            }
        }
        let source = io::ErrorKind::AlreadyExists.into();
        Err(Error::Io { action: "find a name in", path: self.folder, source })
    }

    /// Takes it away again.
    pub fn remove(self) {
        // Whoever took it away before did the same.
        let _ = fs::remove_file(&self.part);
        let _ = fs::remove_file(&self.list);
    }
}

/// Opens a file of one's own that is a plain one: makes it, or finds it.
fn own(path: &Path, private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NOFOLLOW).mode(if private { 0o600 } else { 0o666 });
    }
    let file = match options.clone().create_new(true).open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
        other => other?,
    };
    let facts = file.metadata()?;
    #[cfg(unix)]
    let alone = std::os::unix::fs::MetadataExt::nlink(&facts) == 1;
    #[cfg(not(unix))]
    let alone = true;
    if facts.is_file() && alone { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

/// Numbers of the blocks that were written; a last one that is cut short counts nothing.
fn numbers(list: &mut File, of: &Part<'_>) -> Vec<u32> {
    let blocks = of.size.div_ceil(of.block_bytes.max(1));
    let mut bytes = Vec::new();
    // More than all of them twice is nothing this program wrote.
    let read = list.take(8 * blocks).read_to_end(&mut bytes);
    let whole = bytes.len() / 4 * 4;
    if read.is_err() || list.seek(SeekFrom::Start(whole as u64)).is_err() {
        return Vec::new();
    }
    let all = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_be_bytes(*number));
    let mut numbers: Vec<u32> = all.filter(|n| u64::from(*n) < blocks).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Renames without replacing anything.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot: those that know links can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            other => return Ok(other?),
        }
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}
