//! Statistics as a file for programs and as a table for people.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::conference::stats::Stats;

/// Tells whether [`write()`] can write to `path`, leaving everything as it is.
pub fn writable(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let temporary = beside(path);
    std::fs::File::create(&temporary).and_then(|_| std::fs::remove_file(&temporary))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    PathBuf::from(name)
}

/// Writes `stats` as JSON to `path`, replacing the file in one step so that a reader never sees half of it.
pub fn write(path: &Path, stats: &Stats) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(stats)?;
    let temporary = beside(path);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.write_all(b"\n")))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Puts data on stdout. That nobody reads it to the end (`roundtable list | head -1`) is no failure.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A table: one row per line of `rows`, columns as wide as their widest cell; numbers to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, &width) in cells.zip(&widths) {
            let numeric = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '<');
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let cell = if numeric { pad + cell } else { cell.to_owned() + &pad };
            out.push_str(&cell);
            out.push_str("  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        std::fs::write(&path, "old").unwrap();
        write(&path, &Stats { conference: "X".into(), ..Stats::default() }).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value["conference"], "X");
        assert!(value["sent"]["video"]["frames"].is_u64() && value.get("demo").is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no/such/s.json"), &Stats::default()).is_err());
        assert!(writable(&folder.path().join("no/such/s.json")).is_err() && writable(folder.path()).is_err());
        writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn columns_line_up() {
        let text = table(&["who", "frames"], &[vec!["Ada".into(), "300".into()], vec!["Grace".into(), "7".into()]]);
        assert_eq!(text, "who    frames\nAda       300\nGrace       7\n");
    }
}
