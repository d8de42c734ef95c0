//! What is kept, what is not, and what happens to a file that breaks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::wire::message::ParticipantId;

pub const ID: ConferenceId = ConferenceId([7; 16]);

pub fn kept(member: u8, number: u32) -> Kept {
    let original = Original {
        signer: vec![member; 32],
        counter: 1,
        payload: number.to_be_bytes().repeat(20),
        signature: vec![9; 64],
        epoch: 2,
        sid: 3,
    };
    Kept { member: ParticipantId([member; 16]), run: 5, number, time: u64::from(number), original }
}

fn open(folder: &TempDir, bounds: Bounds) -> Opened {
    Store::open(folder.path(), &ID, bounds).unwrap()
}

pub fn store(folder: &TempDir) -> Store {
    open(folder, Bounds::default()).store
}

fn numbers(store: &Store) -> Vec<u32> {
    let restored = store.newest(0, 100_000).unwrap();
    restored.iter().map(|r| u32::from_be_bytes(r.original.payload[..4].try_into().unwrap())).collect()
}

#[test]
fn what_was_kept_comes_back_in_the_order_of_the_conference() {
    let folder = TempDir::new().unwrap();
    let mut first = store(&folder);
    first.append(1_000, &[kept(1, 3), kept(2, 1)]).unwrap();
    first.append(2_500, &[kept(1, 2), kept(1, 3)]).unwrap();
    drop(first);
    let again = store(&folder);
    let restored = again.newest(3_000, 10).unwrap();
    let ages: Vec<_> = restored.iter().map(|r| r.age.as_millis()).collect();
    assert_eq!((numbers(&again), ages), (vec![1, 2, 3], vec![2_000, 500, 2_000]));
    assert_eq!(restored[1].original, kept(1, 2).original);
    assert_eq!(again.size().0, 3, "one had already is not kept twice");
    assert_eq!(again.newest(3_000, 1).unwrap().len(), 1);
    assert_eq!(again.newest(0, 1).unwrap()[0].age, Duration::ZERO, "the clock was set back");
}

#[test]
fn every_bit_of_clock_and_run_survives() {
    let folder = TempDir::new().unwrap();
    let mut store = store(&folder);
    let piece = Kept { time: u64::MAX, run: u32::MAX, ..kept(1, u32::MAX) };
    store.append(u64::MAX, &[piece, kept(1, 1)]).unwrap();
    assert_eq!(numbers(&store), [1, u32::MAX]);
}

#[test]
fn the_oldest_give_way_beyond_the_bounds() {
    let folder = TempDir::new().unwrap();
    let bounds = Bounds { lines_max: 32, ..Bounds::default() };
    let mut store = open(&folder, bounds).store;
    (1..=32).for_each(|n| store.append(0, &[kept(1, n)]).unwrap());
    assert_eq!(store.size().0, 32);
    store.append(0, &[kept(1, 33)]).unwrap();
    assert_eq!(numbers(&store), (4..=33).collect::<Vec<_>>(), "a sixteenth goes at once");
    drop(store);
    let each = kept(1, 1).original.encoded_len() as u64 + ROW_BYTES;
    let bounds = Bounds { bytes_max: 30 * each, ..Bounds::default() };
    let mut store = open(&folder, bounds).store;
    assert_eq!(store.size(), (30, 30 * each), "counted anew when opened");
    store.append(0, &[kept(1, 34)]).unwrap();
    assert_eq!(store.size(), (28, 28 * each));
    assert_eq!(numbers(&store).first(), Some(&7));
}

#[test]
fn a_file_holds_as_much_as_the_limits_say_and_no_more() {
    let folder = TempDir::new().unwrap();
    let mut lines = store(&folder);
    let all: Vec<Kept> = (1..=HISTORY_LINES_MAX as u32).map(|n| kept(1, n)).collect();
    lines.append(0, &all).unwrap();
    assert_eq!(lines.size().0, HISTORY_LINES_MAX as u64);
    lines.append(0, &[kept(2, 1)]).unwrap();
    assert!(lines.size().0 < HISTORY_LINES_MAX as u64);

    let folder = TempDir::new().unwrap();
    let mut bytes = store(&folder);
    let large = |number, payload: u64| {
        let mut large = kept(1, number);
        large.original.payload = vec![1; payload as usize];
        large
    };
    const PIECES: u64 = 16;
    let besides = |payload| large(1, payload).original.encoded_len() as u64 + ROW_BYTES - payload;
    let each = HISTORY_BYTES_MAX / PIECES;
    let payload = each - besides(each);
    assert_eq!(besides(payload) + payload, each);
    (1..=PIECES).for_each(|n| bytes.append(0, &[large(n as u32, payload)]).unwrap());
    assert_eq!(bytes.size(), (PIECES, HISTORY_BYTES_MAX));
    bytes.append(0, &[kept(2, 1)]).unwrap();
    assert!(bytes.size().1 < HISTORY_BYTES_MAX && bytes.size().0 >= PIECES - 1, "{:?}", bytes.size());
}

#[test]
fn a_damaged_file_is_moved_aside_and_a_new_one_begun() {
    let whole = TempDir::new().unwrap();
    let mut good = store(&whole);
    (1..2_000).for_each(|n| good.append(0, &[kept(1, n)]).unwrap());
    drop(good);
    let mut torn = fs::read(whole.path().join(format!("{ID}.{SUFFIX}"))).unwrap();
    let middle = torn.len() / 2 / 4_096 * 4_096;
    torn[middle..middle + 8_192].fill(0xa5);
    let other_table = {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("x");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE other (x); PRAGMA user_version = 1;").unwrap();
        drop(connection);
        fs::read(path).unwrap()
    };
    for damage in [
        b"not a database, but long enough to have a header of one hundred bytes ..............".to_vec(),
        torn,
        other_table,
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(format!("{ID}.{SUFFIX}"));
        fs::write(&path, &damage).unwrap();
        let Opened { mut store, moved_aside } = open(&folder, Bounds::default());
        let aside = moved_aside.expect("the user is told");
        assert_eq!(fs::read(aside).unwrap().len(), damage.len());
        store.append(0, &[kept(1, 1)]).unwrap();
        drop(store);
        assert!(open(&folder, Bounds::default()).moved_aside.is_none());
    }
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = store(&folder).path().to_path_buf();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let refused = Store::open(folder.path(), &ID, Bounds::default());
    assert!(matches!(&refused, Err(error @ Error::Later { version: 9, .. }) if !error.passes()), "{refused:?}");
    assert!(path.exists());
}

#[test]
fn a_full_disk_is_an_error_and_what_was_kept_stays() {
    let folder = TempDir::new().unwrap();
    let mut store = store(&folder);
    store.append(0, &[kept(1, 1)]).unwrap();
    // As many pages as there are: the same answer as from a full disk.
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.connection.pragma_update(None, "max_page_count", pages).unwrap();
    let many: Vec<_> = (2..200).map(|n| kept(1, n)).collect();
    let mut shelf = Shelf::new(Some(store));
    let s = |s: u64| Timestamp::from_millis(s * 1_000);
    assert!(matches!(shelf.keep(s(1), 0, many), Some(Notice::Failed(Error::Full { .. }))));
    assert!(shelf.keep(s(2), 0, vec![kept(2, 1)]).is_none(), "told once, and not tried");
    assert!(shelf.keep(s(31), 0, vec![]).is_none(), "tried again, and told once");
    let store = shelf.store.as_mut().unwrap();
    assert_eq!((numbers(store), store.size().0), (vec![1], 1), "a batch is written whole or not at all");
    store.connection.pragma_update(None, "max_page_count", 1_000).unwrap();
    assert!(shelf.keep(s(60), 0, vec![]).is_none(), "30 s after the last try at the earliest");
    assert!(matches!(shelf.keep(s(61), 0, vec![]), Some(Notice::Recovered)));
    assert_eq!(shelf.into_store().unwrap().size().0, 200);
}

#[test]
fn without_a_store_nothing_is_kept_and_nothing_fails() {
    let mut shelf = Shelf::new(None);
    assert!(shelf.keep(Timestamp(0), 0, vec![kept(1, 1)]).is_none());
    assert!(shelf.waiting.is_empty());
}

#[test]
fn what_waits_is_bounded() {
    let folder = TempDir::new().unwrap();
    let mut shelf = Shelf::new(Some(store(&folder)));
    shelf.retry_at = Some(Timestamp::from_millis(10_000));
    (0..3).for_each(|member| {
        let many = (0..CHAT_LOG_PIECES_MAX as u32).map(|n| kept(member, n + 1)).collect();
        assert!(shelf.keep(Timestamp(0), 0, many).is_none());
    });
    assert_eq!(shelf.waiting.len(), CHAT_LOG_PIECES_MAX);
    assert_eq!(shelf.waiting[0].member, ParticipantId([2; 16]));
}

#[test]
fn the_oldest_conferences_give_way() {
    let folder = TempDir::new().unwrap();
    let path = |n: usize| folder.path().join(format!("{n:032x}.{SUFFIX}"));
    for n in 0..HISTORY_CONFERENCES_MAX + 3 {
        let file = fs::File::create(path(n)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(n as u64)).unwrap();
    }
    drop(store(&folder));
    let left = files(folder.path(), |name| name == SUFFIX).len();
    assert_eq!(left, HISTORY_CONFERENCES_MAX);
    assert!(!path(3).exists() && path(4).exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("history");
    let mut store = Store::open(&folder, &ID, Bounds::default()).unwrap().store;
    store.append(0, &[kept(1, 1)]).unwrap();
    for file in companions(store.path()) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let refused = Store::open(&file.join("history"), &ID, Bounds::default());
    assert!(matches!(&refused, Err(Error::File { path, .. }) if path.starts_with(&file)), "{refused:?}");
}

/// Where the process that is to be killed writes; without it there is nothing to do.
const FOLDER: &str = "ROUNDTABLE_TEST_HISTORY";

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn writes_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut store = Store::open(Path::new(&folder), &ID, Bounds::default()).unwrap().store;
    for batch in 0..1_000_000 {
        let pieces: Vec<_> = (1..=5).map(|n| kept(1, batch * 5 + n)).collect();
        store.append(0, &pieces).unwrap();
        println!("kept {}", batch + 1);
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_kept_survives_being_killed() {
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "conference::history::tests::writes_until_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = |line: &str| line.strip_prefix("kept ").and_then(|count| count.parse::<u64>().ok());
    let mut kept = 0;
    while kept < 300 {
        let line = lines.next().expect("it writes until it is killed").unwrap();
        kept = told(&line).unwrap_or(kept);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        kept = told(&line).unwrap_or(kept);
    }
    let Opened { store, moved_aside } = open(&folder, Bounds::default());
    assert!(moved_aside.is_none());
    let (pieces, _) = store.size();
    assert!(pieces >= kept * 5, "{pieces} pieces, {kept} batches told");
    assert_eq!(pieces % 5, 0, "whole batches");
}
