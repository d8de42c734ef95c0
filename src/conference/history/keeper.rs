//! The history while one is in a conference: read at the start, written by a thread of its own.
//!
//! ```text
//! control ──(4,096 pieces, newest dropped)──> keeper thread ──batches──> Shelf ──> disk
//!                                                  '──notices──> director
//! ```
//! The file is made when the first line is said: a conference in which nothing is said leaves nothing behind, and pushes
//! no other history out.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::catalogue::FOLDER;
use super::{Bounds, Error, Notice, Opened, RETRY_AFTER, Shelf, Store, exists};
use crate::device::clock::Clock;
use crate::device::identity;
use crate::limits::CHAT_LOG_PIECES_MAX;
use crate::pipeline::control::Log;
use crate::protocol::chat::Kept;
use crate::wire::chat::Original;
use crate::wire::message::ConferenceId;

/// Pieces that may wait for the disk.
const QUEUE: usize = 2 * CHAT_LOG_PIECES_MAX;
/// Pieces written in one transaction, at most.
const BATCH: usize = 512;
/// Notices that may wait for the director.
const NOTICES: usize = 8;

/// Where a conference's history is, or will be.
#[derive(Debug)]
enum Place {
    /// Nothing was said yet.
    Unmade(PathBuf),
    /// Open.
    Open(Store),
    /// It cannot be used; the user was told.
    Nowhere,
}

/// What there is of a conference at the start.
#[derive(Debug)]
pub struct Past {
    place: Place,
    conference: ConferenceId,
    title: String,
    /// What was said, in the order of the conference, and how long ago it came.
    pub restored: Vec<(Duration, Original)>,
    /// What the user is to be told.
    pub notices: Vec<String>,
}

fn wall_ms(clock: &Clock) -> u64 {
    u64::try_from(clock.wall().to_unix().as_millis()).unwrap_or(u64::MAX)
}

fn not_kept(error: &dyn std::error::Error) -> String {
    format!("what is said here is not kept on disk: {error}")
}

fn moved_aside(opened: &Opened) -> Option<String> {
    let aside = opened.moved_aside.as_ref()?;
    Some(format!("the history of this conference was damaged; it is now {}", aside.display()))
}

impl Past {
    /// Reads what there is of `conference`. What does not work is a notice, not an error.
    pub fn open(conference: ConferenceId, title: &str, clock: &Clock) -> Self {
        let title = title.to_owned();
        let mut past = Self { place: Place::Nowhere, conference, title, restored: Vec::new(), notices: Vec::new() };
        match identity::home() {
            Ok(home) => past.read(home.join(FOLDER), clock),
            Err(error) => past.notices.push(not_kept(&error)),
        }
        past
    }

    fn read(&mut self, folder: PathBuf, clock: &Clock) {
        if !exists(&folder, &self.conference) {
            self.place = Place::Unmade(folder);
            return;
        }
        let read = || -> Result<_, Error> {
            let opened = Store::open(&folder, &self.conference, Bounds::default())?;
            let restored = opened.store.newest(wall_ms(clock), CHAT_LOG_PIECES_MAX)?;
            Ok((opened, restored))
        };
        match read() {
            Ok((opened, restored)) => {
                self.notices.extend(moved_aside(&opened));
                self.restored = restored.into_iter().map(|r| (r.age, r.original)).collect();
                self.place = Place::Open(opened.store);
            }
            Err(error) => self.notices.push(not_kept(&error)),
        }
    }
}

/// Starts the thread that keeps what is said, if anything is kept; and what the control role needs of it.
///
/// # Errors
/// The system gives no thread.
pub fn keep(past: Option<Past>, clock: &Clock) -> std::io::Result<(Option<Keeper>, Log)> {
    let Some(mut past) = past else {
        return Ok((None, Log::default()));
    };
    let restored = std::mem::take(&mut past.restored);
    let (keeper, sender) = Keeper::start(past, clock.clone())?;
    Ok((Some(keeper), Log { restored, keeper: Some(sender) }))
}

/// The thread that writes. It ends when the control role has, and everything is written.
pub struct Keeper {
    notices: Receiver<String>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it, and gives where pieces go.
    fn start(past: Past, clock: Clock) -> std::io::Result<(Self, Sender<Kept>)> {
        let (sender, pieces) = bounded(QUEUE);
        let (telling, notices) = bounded(NOTICES);
        let Past { place, conference, title, .. } = past;
        let writer = Writer { place: Some(place), conference, title, shelf: Shelf::new(None), telling };
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run(&pieces, &clock))?;
        Ok((Self { notices, thread }, sender))
    }

    /// What the user is to be told, if anything.
    pub fn notice(&self) -> Option<String> {
        self.notices.try_recv().ok()
    }

    /// Waits until everything is written. All senders must be gone.
    pub fn finish(self) {
        if self.thread.join().is_err() {
            tracing::error!("the history thread failed");
        }
    }
}

struct Writer {
    /// `None` once the shelf stands.
    place: Option<Place>,
    conference: ConferenceId,
    title: String,
    shelf: Shelf,
    telling: Sender<String>,
}

impl Writer {
    fn run(mut self, pieces: &Receiver<Kept>, clock: &Clock) {
        loop {
            // What waits for the disk is tried again though nothing new is said.
            let wait = if self.shelf.waits() { RETRY_AFTER } else { Duration::MAX };
            match pieces.recv_timeout(wait) {
                Ok(first) => {
                    self.write(std::iter::once(first).chain(pieces.try_iter().take(BATCH - 1)).collect(), clock)
                }
                Err(RecvTimeoutError::Timeout) => self.write(Vec::new(), clock),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, pieces: Vec<Kept>, clock: &Clock) {
        if let Some(place) = self.place.take() {
            self.shelf = Shelf::new(self.open(place));
        }
        match self.shelf.keep(clock.now(), wall_ms(clock), pieces) {
            Some(Notice::Failed(error)) => self.tell(not_kept(&error)),
            Some(Notice::Recovered) => self.tell("what is said here is kept on disk again".into()),
            None => {}
        }
    }

    fn open(&self, place: Place) -> Option<Store> {
        let store = match place {
            Place::Open(store) => store,
            Place::Nowhere => return None,
            Place::Unmade(folder) => match Store::open(&folder, &self.conference, Bounds::default()) {
                Ok(opened) => {
                    moved_aside(&opened).into_iter().for_each(|text| self.tell(text));
                    opened.store
                }
                Err(error) => {
                    self.tell(not_kept(&error));
                    return None;
                }
            },
        };
        if let Err(error) = store.entitle(&self.title) {
            // What is said is kept all the same.
            tracing::warn!(%error, "the history has no title");
        }
        Some(store)
    }

    fn tell(&self, text: String) {
        // More than the director takes in at once say nothing new.
        let _ = self.telling.try_send(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::ParticipantId;

    fn kept(number: u32) -> Kept {
        Kept { member: ParticipantId([1; 16]), run: 1, number, time: number.into(), original: Original::default() }
    }

    fn past(folder: &std::path::Path) -> Past {
        let conference = ConferenceId([5; 16]);
        let (title, restored, notices) = ("Standup".to_owned(), Vec::new(), Vec::new());
        let mut past = Past { place: Place::Nowhere, conference, title, restored, notices };
        past.read(folder.to_owned(), &Clock::system());
        past
    }

    #[test]
    fn a_file_is_made_with_the_first_line_and_read_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let (keeper, sender) = Keeper::start(past(folder.path()), Clock::system()).unwrap();
        drop(sender);
        keeper.finish();
        assert_eq!(files(), 0, "nothing was said");
        for (pieces, before) in [(1..=700, 0), (500..=900, 700)] {
            let past = past(folder.path());
            assert_eq!(past.restored.len(), before);
            let (keeper, sender) = Keeper::start(past, Clock::system()).unwrap();
            pieces.for_each(|n| sender.send(kept(n)).unwrap());
            drop(sender);
            assert_eq!(keeper.notice(), None);
            keeper.finish();
        }
        assert_eq!(past(folder.path()).restored.len(), 900);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_once_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (keeper, sender) = Keeper::start(past(&file), Clock::system()).unwrap();
        (1..=3).for_each(|n| sender.send(kept(n)).unwrap());
        drop(sender);
        keeper.thread.join().unwrap();
        let told: Vec<String> = keeper.notices.iter().collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("not kept"), "{told:?}");
    }
}
