use std::fs;
use std::path::Path;

use super::*;
use crate::limits::ARCHIVE_ENTRIES_MAX;

fn part(size: u64) -> Part<'static> {
    Part { name: "a.txt", id: "0123", size, block_bytes: 10, private: false }
}

fn names(n: u32) -> String {
    if n == 0 { "a.txt".into() } else { format!("a ({n}).txt") }
}

fn listed(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

#[test]
fn a_part_is_found_again_and_takes_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut target, before) = Target::open(folder.path(), &part(25)).unwrap();
    assert!(before.is_empty());
    target.write(2, b"klmno").unwrap();
    target.write(0, b"0123456789").unwrap();
    assert_eq!(listed(folder.path()), ["a.txt.0123.part", "a.txt.0123.part.blocks"], "nothing under the final name");
    // While one writes, another instance makes its own.
    let (other, before) = Target::open(folder.path(), &part(25)).unwrap();
    assert!(before.is_empty());
    other.remove();
    drop(target);
    // A number that was being written when the program was killed counts nothing.
    let list = folder.path().join("a.txt.0123.part.blocks");
    let torn = [fs::read(&list).unwrap(), vec![0, 0]].concat();
    fs::write(&list, torn).unwrap();
    let (mut target, before) = Target::open(folder.path(), &part(25)).unwrap();
    assert_eq!(before, [0, 2]);
    target.write(1, b"abcdefghij").unwrap();
    assert_eq!(target.read(2, 5).unwrap(), b"klmno");
    assert_eq!(target.finish(names).unwrap(), folder.path().join("a.txt"));
    assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"0123456789abcdefghijklmno");
    assert_eq!(listed(folder.path()), ["a.txt"]);
}

#[test]
fn nothing_is_overwritten_and_two_of_one_name_are_numbered() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "old").unwrap();
    fs::create_dir(folder.path().join("a (1).txt")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nowhere", folder.path().join("a (2).txt")).unwrap();
    let (mut target, _) = Target::open(folder.path(), &part(1)).unwrap();
    target.write(0, b"x").unwrap();
    let path = target.finish(names).unwrap();
    assert_eq!(path, folder.path().join(if cfg!(unix) { "a (3).txt" } else { "a (2).txt" }));
    assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"old");
    assert!(!Path::new("/nowhere").exists());
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_a_part_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let place = folder.path().join("a.txt.0123.part");
    std::os::unix::fs::symlink(&victim, &place).unwrap();
    assert!(Target::open(folder.path(), &part(8)).is_err());
    fs::remove_file(&place).unwrap();
    fs::hard_link(&victim, &place).unwrap();
    assert!(Target::open(folder.path(), &part(8)).is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[cfg(target_os = "linux")]
#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk = rustix::fs::statvfs(folder.path()).unwrap();
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let refused = Target::open(folder.path(), &Part { block_bytes: 1 << 20, ..part(free + (1 << 30)) });
    assert!(matches!(refused, Err(Error::NoRoom { .. })), "{refused:?}");
    assert_eq!(listed(folder.path()), [""; 0]);
}

fn whole(source: &mut Source) -> Vec<u8> {
    let mut bytes = vec![0; source.size() as usize];
    source.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn files_are_read_anywhere_and_those_that_change_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    fs::write(&path, b"0123456789").unwrap();
    let mut source = Source::open(&path).unwrap();
    assert_eq!((source.name(), source.size()), ("b", 10));
    let mut two = [0; 2];
    source.clone().read(8, &mut two).unwrap();
    assert_eq!(&two, b"89");
    assert!(matches!(source.read(9, &mut two), Err(Error::Changed { .. })), "beyond its end");
    fs::write(&path, b"0").unwrap();
    assert!(matches!(source.clone().read(8, &mut two), Err(Error::Changed { .. })), "cut short");
    fs::remove_file(&path).unwrap();
    assert!(matches!(source.clone().read(8, &mut two), Err(Error::Io { .. })), "gone");
    assert!(matches!(Source::open(&path), Err(Error::Io { .. })));
    assert!(matches!(Source::open(Path::new("/dev/null")), Err(Error::NoFile { .. })));
}

#[test]
fn a_folder_is_one_archive_that_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("docs");
    let deep = root.join("x".repeat(90)).join("y".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("b.txt"), "b".repeat(700)).unwrap();
    fs::write(deep.join("ä.txt"), "deep").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    let mut source = Source::open(&root).unwrap();
    assert_eq!(source.name(), "docs.tar");
    let bytes = whole(&mut source);
    assert_eq!(bytes, whole(&mut Source::open(&root).unwrap()));
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), text)
    });
    let entries: Vec<(String, String)> = entries.collect();
    let deep = format!("docs/{}/{}/", "x".repeat(90), "y".repeat(90));
    let expected = [
        ("docs/".to_owned(), String::new()),
        ("docs/b.txt".into(), "b".repeat(700)),
        ("docs/empty".into(), String::new()),
        (format!("docs/{}/", "x".repeat(90)), String::new()),
        (deep.clone(), String::new()),
        (format!("{deep}ä.txt"), "deep".into()),
    ];
    assert_eq!(entries, expected, "links are left out");
    // The link was looked at, too.
    assert!(archive::layout(&root, "docs", entries.len() + 1).is_ok());
    let refused = archive::layout(&root, "docs", entries.len());
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert!(archive::layout(&root, "docs", ARCHIVE_ENTRIES_MAX).is_ok());
}
