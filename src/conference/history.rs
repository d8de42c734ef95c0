//! What was said, on disk: one SQLite file for each conference, so that a restart shows it and passes it on.
//!
//! ```text
//!  <folder>/<conference id>.sqlite3          pieces as their authors signed them, in the order they came
//!  <folder>/<conference id>.damaged-<n>      a file that was not readable, moved aside
//! ```
//! Every batch is one transaction in the write-ahead log: what [`Store::append`] has returned from is there after
//! `kill -9`, and a batch is there whole or not at all. (A power cut may take the last batches, never the file.) The
//! oldest pieces go when a file holds 20,000 or 64 MB, the oldest files when there are more than 64.
//!
//! Files are readable by their owner only; they hold what was said in clear, except private lines, which stay sealed.
//! A disk that is full or fails is an error value here and a notice to the user: the chat goes on in memory
//! ([`Shelf`]). Nothing here checks a signature: what is kept was checked. To be used away from threads that must not
//! wait: the system may take its time to write.

pub mod catalogue;
pub mod keeper;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::device::clock;
use crate::limits::{CHAT_LOG_PIECES_MAX, HISTORY_BYTES_MAX, HISTORY_CONFERENCES_MAX, HISTORY_LINES_MAX};
use crate::protocol::chat::Kept;
use crate::time::Timestamp;
use crate::wire::chat::Original;
use crate::wire::message::ConferenceId;

const SUFFIX: &str = "sqlite3";
const DAMAGED: &str = "damaged-";
/// Damaged files kept in all.
const DAMAGED_MAX: usize = 4;
/// What a piece costs in the file besides its signed bytes.
const ROW_BYTES: u64 = 120;
/// Bytes of a page of the file.
const PAGE_BYTES: u64 = 4_096;
/// Version of the tables.
const VERSION: i64 = 1;
/// After a failure, the disk is left alone for so long.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);

const TABLES: &str = "
    CREATE TABLE pieces (
        id       INTEGER PRIMARY KEY,
        member   BLOB    NOT NULL,
        run      INTEGER NOT NULL,
        number   INTEGER NOT NULL,
        time     INTEGER NOT NULL,
        received INTEGER NOT NULL,
        original BLOB    NOT NULL,
        UNIQUE (member, run, number)
    );
    PRAGMA user_version = 1;";

/// What can go wrong with a history on disk. The chat goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file cannot be made, moved or removed.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No room on the disk.
    #[error("{path}: the disk is full")]
    Full {
        /// What was written to.
        path: PathBuf,
    },
    /// Written by a later version of the program; left as it is.
    #[error("{path}: made by a later version (tables {version})")]
    Later {
        /// Which.
        path: PathBuf,
        /// Its tables' version.
        version: i64,
    },
    /// A conference is on that writes to it.
    #[error("{} is in use", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// Anything else the database says.
    #[error("{path}: {source}")]
    Database {
        /// Which.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Whether trying again later may help.
    pub fn passes(&self) -> bool {
        !matches!(self, Error::Later { .. })
    }
}

/// How much one file may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Pieces.
    pub lines_max: usize,
    /// Bytes, with what each piece costs besides its own.
    pub bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { lines_max: HISTORY_LINES_MAX, bytes_max: HISTORY_BYTES_MAX }
    }
}

/// A piece from the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// How long ago it came.
    pub age: Duration,
    /// As its author signed it.
    pub original: Original,
}

/// One conference's file, open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    bounds: Bounds,
    lines: u64,
    bytes: u64,
}

/// A file that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Ready for use.
    pub store: Store,
    /// A damaged file was found, and is here now: the user is to be told.
    pub moved_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the history of a conference in `folder`, or begins it. Old conferences' files go.
    pub fn open(folder: &Path, conference: &ConferenceId, bounds: Bounds) -> Result<Opened, Error> {
        make_folder(folder)?;
        let path = folder.join(format!("{conference}.{SUFFIX}"));
        let (store, moved_aside) = match Self::try_open(&path, bounds) {
            Err(Error::Database { source, .. }) if is_damage(&source) => {
                let aside = move_aside(&path)?;
                (Self::try_open(&path, bounds)?, Some(aside))
            }
            other => (other?, None),
        };
        prune(folder, &path);
        Ok(Opened { store, moved_aside })
    }

    fn try_open(path: &Path, bounds: Bounds) -> Result<Self, Error> {
        make_file(path)?;
        let (connection, lines, bytes) = prepare(path, bounds).map_err(|source| failure(path, source))?;
        let version: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|source| failure(path, source))?;
        if version != VERSION {
            return Err(Error::Later { path: path.into(), version });
        }
        Ok(Self { path: path.into(), connection, bounds, lines, bytes })
    }

    /// Adds pieces that came at `wall_ms` (milliseconds since 1970), in one transaction; those had already are left
    /// as they are. Takes the oldest out when there are too many.
    pub fn append(&mut self, wall_ms: u64, pieces: &[Kept]) -> Result<(), Error> {
        let path = &self.path;
        let (lines, bytes) = write(&mut self.connection, wall_ms, pieces).map_err(|e| failure(path, e))?;
        self.lines += lines;
        self.bytes += bytes;
        if self.lines > self.bounds.lines_max as u64 || self.bytes > self.bounds.bytes_max {
            self.trim()?;
        }
        Ok(())
    }

    /// Takes the oldest pieces out until there is room for a while.
    fn trim(&mut self) -> Result<(), Error> {
        let path = &self.path;
        let lines_most = self.bounds.lines_max as u64 - self.bounds.lines_max as u64 / 16;
        let bytes_most = self.bounds.bytes_max - self.bounds.bytes_max / 16;
        let (lines, bytes) = take_oldest(&mut self.connection, self.lines, self.bytes, lines_most, bytes_most)
            .map_err(|source| failure(path, source))?;
        self.lines = lines;
        self.bytes = bytes;
        Ok(())
    }

    /// The newest `pieces_max` pieces, in the order of the conference. `wall_ms`: now. Rows that cannot be read are
    /// left out.
    pub fn newest(&self, wall_ms: u64, pieces_max: usize) -> Result<Vec<Restored>, Error> {
        read(&self.connection, wall_ms, pieces_max).map_err(|source| failure(&self.path, source))
    }

    /// Pieces and bytes in the file.
    pub fn size(&self) -> (u64, u64) {
        (self.lines, self.bytes)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps what the conference is called, for whoever looks through histories.
    pub fn entitle(&self, title: &str) -> Result<(), Error> {
        let entitled =
            self.connection.execute_batch("CREATE TABLE IF NOT EXISTS about (title TEXT NOT NULL)").and_then(|()| {
                self.connection.execute("INSERT OR REPLACE INTO about (rowid, title) VALUES (1, ?)", [title])
            });
        entitled.map(drop).map_err(|source| failure(&self.path, source))
    }
}

fn prepare(path: &Path, bounds: Bounds) -> rusqlite::Result<(Connection, u64, u64)> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    connection.pragma_update(None, "secure_delete", true)?;
    // Behind the counting of bytes, so that the file is bounded whatever a row costs.
    let pages = (bounds.bytes_max + bounds.bytes_max / 2) / PAGE_BYTES;
    connection.pragma_update(None, "max_page_count", i64::try_from(pages.max(32)).unwrap_or(i64::MAX))?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None));
    }
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
    } else if version != VERSION {
        return Ok((connection, 0, 0));
    }
    let sums = "SELECT count(*), coalesce(sum(length(original)), 0) FROM pieces";
    let (lines, bytes): (i64, i64) = connection.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let lines = lines.unsigned_abs();
    Ok((connection, lines, bytes.unsigned_abs() + lines * ROW_BYTES))
}

/// Pieces and bytes that were new.
fn write(connection: &mut Connection, wall_ms: u64, pieces: &[Kept]) -> rusqlite::Result<(u64, u64)> {
    let transaction = connection.transaction()?;
    let (mut lines, mut bytes) = (0, 0);
    {
        let mut insert = transaction.prepare_cached(
            "INSERT OR IGNORE INTO pieces (member, run, number, time, received, original) VALUES (?, ?, ?, ?, ?, ?)",
        )?;
        for piece in pieces {
            let original = piece.original.encode_to_vec();
            // SQLite's integers are signed; only the bits matter.
            let (time, received) = (piece.time.cast_signed(), wall_ms.cast_signed());
            let row = params![piece.member.0, piece.run, piece.number, time, received, original];
            let new = insert.execute(row)? as u64;
            lines += new;
            bytes += new * (original.len() as u64 + ROW_BYTES);
        }
    }
    transaction.commit()?;
    Ok((lines, bytes))
}

/// Pieces and bytes that are left.
fn take_oldest(
    connection: &mut Connection,
    mut lines: u64,
    mut bytes: u64,
    lines_most: u64,
    bytes_most: u64,
) -> rusqlite::Result<(u64, u64)> {
    let transaction = connection.transaction()?;
    let mut last = None;
    {
        let mut oldest = transaction.prepare_cached("SELECT id, length(original) FROM pieces ORDER BY id")?;
        let mut rows = oldest.query([])?;
        while lines > lines_most || bytes > bytes_most {
            let Some(row) = rows.next()? else {
                break;
            };
            let length: i64 = row.get(1)?;
            last = Some(row.get::<_, i64>(0)?);
            lines -= 1;
            bytes = bytes.saturating_sub(length.unsigned_abs() + ROW_BYTES);
        }
    }
    if let Some(last) = last {
        transaction.execute("DELETE FROM pieces WHERE id <= ?", [last])?;
    }
    transaction.commit()?;
    Ok((lines, bytes))
}

fn read(connection: &Connection, wall_ms: u64, pieces_max: usize) -> rusqlite::Result<Vec<Restored>> {
    let newest = "SELECT time, member, run, number, received, original FROM pieces ORDER BY id DESC LIMIT ?";
    let mut statement = connection.prepare_cached(newest)?;
    let limit = i64::try_from(pieces_max).unwrap_or(i64::MAX);
    type Row = (i64, Vec<u8>, u32, u32, i64, Vec<u8>);
    let rows = statement
        .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))?;
    let mut pieces: Vec<Row> = rows.collect::<rusqlite::Result<_>>()?;
    pieces.sort_by(|a, b| (a.0.cast_unsigned(), &a.1, a.2, a.3).cmp(&(b.0.cast_unsigned(), &b.1, b.2, b.3)));
    let restored = pieces.into_iter().filter_map(|(.., received, original)| {
        let age = Duration::from_millis(wall_ms.saturating_sub(received.cast_unsigned()));
        Some(Restored { age, original: Original::decode(original.as_slice()).ok()? })
    });
    Ok(restored.collect())
}

/// Title and number of pieces of a file that can be read. Without a title it is of a version that kept none.
fn about(path: &Path) -> Option<(Option<String>, Option<u64>)> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    connection.busy_timeout(Duration::from_secs(2)).ok()?;
    let pieces: i64 = connection.query_row("SELECT count(*) FROM pieces", [], |row| row.get(0)).ok()?;
    let title = connection.query_row("SELECT title FROM about", [], |row| row.get(0)).ok();
    Some((title, Some(pieces.unsigned_abs())))
}

/// Whether nobody else has the file open: only then does SQLite give up the log that all who have it open share.
fn is_alone(path: &Path) -> Result<bool, Error> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| failure(path, e))?;
    match connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0)) {
        Ok(mode) => Ok(mode.eq_ignore_ascii_case("delete")),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(failure(path, error)),
    }
}

fn failure(path: &Path, source: rusqlite::Error) -> Error {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path: path.into() },
        _ => Error::Database { path: path.into(), source },
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    // A file of another program, or one whose table is not ours, is of no more use than a torn one.
    let strange = matches!(error, rusqlite::Error::SqliteFailure(_, Some(text)) if text.contains("no such table"));
    strange || matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::File { path: path.into(), source }
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(at(folder))
}

/// Makes an empty file that only its owner may read; SQLite gives its companions the same rights.
fn make_file(path: &Path) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(at(path))
}

/// The file and what SQLite keeps beside it.
fn companions(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = OsString::from(path);
        name.push(end);
        name.into()
    })
}

fn remove(path: &Path) -> Result<(), Error> {
    for file in companions(path) {
        match fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(at(&file)(source)),
            _ => {}
        }
    }
    Ok(())
}

fn move_aside(path: &Path) -> Result<PathBuf, Error> {
    let free = (1..10_000).map(|n| path.with_extension(format!("{DAMAGED}{n}"))).find(|aside| !aside.exists());
    let aside = free.unwrap_or_else(|| path.with_extension(format!("{DAMAGED}0")));
    fs::rename(path, &aside).map_err(at(path))?;
    // The log of a damaged file must not be played into a new one.
    remove(path)?;
    Ok(aside)
}

/// Removes the oldest files beyond the bounds, except the one in use. What cannot be removed stays.
fn prune(folder: &Path, in_use: &Path) {
    let (mut whole, mut damaged) = (files(folder, |name| name == SUFFIX), files(folder, |n| n.starts_with(DAMAGED)));
    whole.retain(|(_, path)| path != in_use);
    for (list, most) in [(&mut whole, HISTORY_CONFERENCES_MAX - 1), (&mut damaged, DAMAGED_MAX)] {
        list.sort_unstable();
        let beyond = list.len().saturating_sub(most);
        for (_, path) in list.drain(..beyond) {
            if let Err(error) = remove(&path) {
                tracing::warn!(%error, "an old history stays");
            }
        }
    }
}

/// Files whose extension is right, with the time of their last change since 1970.
fn files(folder: &Path, right: impl Fn(&str) -> bool) -> Vec<(Duration, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let path = entry.path();
        let extension = path.extension()?.to_str()?;
        right(extension).then(|| clock::changed(&entry.metadata().ok()?)).flatten().map(|at| (at, path))
    });
    files.collect()
}

/// Whether there is a history of this conference.
pub fn exists(folder: &Path, conference: &ConferenceId) -> bool {
    folder.join(format!("{conference}.{SUFFIX}")).exists()
}

/// A history that may fail: what cannot be written waits in memory, and is tried again.
#[derive(Debug, Default)]
pub struct Shelf {
    store: Option<Store>,
    waiting: VecDeque<Kept>,
    retry_at: Option<Timestamp>,
}

/// What the user is to be told of the history.
#[derive(Debug)]
pub enum Notice {
    /// Nothing is written for now; what is said stays in memory.
    Failed(Error),
    /// Everything that waited is written.
    Recovered,
}

impl Shelf {
    /// Keeps on disk, or, without a store, nowhere.
    pub fn new(store: Option<Store>) -> Self {
        Self { store, ..Self::default() }
    }

    /// Keeps pieces that came at `wall_ms`, with those that still wait. Told once: a failure, and its end.
    pub fn keep(&mut self, now: Timestamp, wall_ms: u64, pieces: Vec<Kept>) -> Option<Notice> {
        let store = self.store.as_mut()?;
        self.waiting.extend(pieces);
        let beyond = self.waiting.len().saturating_sub(CHAT_LOG_PIECES_MAX);
        self.waiting.drain(..beyond);
        if self.waiting.is_empty() || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        match store.append(wall_ms, self.waiting.make_contiguous()) {
            Ok(()) => {
                self.waiting.clear();
                self.retry_at.take().map(|_| Notice::Recovered)
            }
            Err(error) => {
                let told = self.retry_at.replace(now + RETRY_AFTER).is_some();
                (!told).then_some(Notice::Failed(error))
            }
        }
    }

    /// Whether something waits to be tried again.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The store, to read from.
    pub fn into_store(self) -> Option<Store> {
        self.store
    }
}

#[cfg(test)]
mod tests;
