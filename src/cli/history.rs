//! `history`: what was said in conferences and is kept on this machine, to look through and to delete.

use clap::{Args, Subcommand};

use super::failure::{Failure, code};
use super::{json, report};
use crate::conference::history::catalogue::{self, Entry};
use crate::device::clock;
use crate::limits::TITLE_BYTES_MAX;
use crate::protocol::roster::names;
use crate::time::NtpTime;

/// At the end of the subcommand's help.
pub const EXAMPLES: &str = "Examples:\n  roundtable history\n  roundtable history delete Standup\n  \
                            roundtable history delete --all";

/// What is asked for.
#[derive(Args)]
pub struct Options {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Delete what was said in some conferences, or in all
    Delete {
        /// Titles, or ids or how they begin, as `roundtable history` has them
        #[arg(required_unless_present = "all")]
        conferences: Vec<String>,
        /// Everything that is kept
        #[arg(long, conflicts_with = "conferences")]
        all: bool,
    },
}

/// Lists or deletes.
pub fn run(options: &Options) -> Result<(), Failure> {
    let folder = catalogue::folder().map_err(|e| Failure::new(code::DEVICE, e))?;
    let entries = catalogue::all(&folder);
    match &options.action {
        None => list(&entries, options.json),
        Some(Action::Delete { all: true, .. }) => delete(&entries.iter().collect::<Vec<_>>()),
        Some(Action::Delete { conferences, .. }) => {
            let mut chosen: Vec<&Entry> = Vec::new();
            for wanted in conferences {
                chosen.extend(called(&entries, wanted)?);
            }
            chosen.sort_by(|a, b| a.path.cmp(&b.path));
            chosen.dedup_by(|a, b| a.path == b.path);
            delete(&chosen)
        }
    }
}

fn list(entries: &[Entry], as_json: bool) -> Result<(), Failure> {
    if as_json {
        report::print(&entries.iter().map(|e| format!("{}\n", line(e))).collect::<String>())?;
        return Ok(());
    }
    if entries.is_empty() {
        eprintln!("nothing that was said is kept on this machine");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    report::print(&report::table(&["conference", "last said", "size", "id"], &rows))?;
    Ok(())
}

fn row(entry: &Entry) -> Vec<String> {
    let local = clock::local(NtpTime::from_unix(entry.changed));
    let title = match (&entry.title, entry.pieces) {
        // Somebody else chose it.
        (Some(title), _) => names::clean(title, TITLE_BYTES_MAX),
        (None, Some(_)) => "(unnamed)".to_owned(),
        (None, None) => "(damaged)".to_owned(),
    };
    let size = format!("{} KB", entry.bytes.div_ceil(1_000));
    vec![title, format!("{} {}", local.date, local.time), size, entry.conference.clone()]
}

fn line(entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "conference": entry.title,
        "id": entry.conference,
        "changed": clock::rfc3339(NtpTime::from_unix(entry.changed)),
        "bytes": entry.bytes,
        "damaged": entry.pieces.is_none(),
    })
}

/// Those of that title, or the one whose id begins so.
fn called<'a>(entries: &'a [Entry], wanted: &str) -> Result<Vec<&'a Entry>, Failure> {
    let titled: Vec<&Entry> = entries.iter().filter(|e| e.title.as_deref() == Some(wanted)).collect();
    if !titled.is_empty() {
        return Ok(titled);
    }
    let ids: Vec<&Entry> =
        entries.iter().filter(|e| !wanted.is_empty() && e.conference.starts_with(&wanted.to_lowercase())).collect();
    let one_conference = ids.iter().all(|e| e.conference == ids[0].conference);
    match (ids.is_empty(), one_conference) {
        (true, _) => Err(Failure::words(code::NOT_FOUND, format!("nothing is kept of \"{wanted}\""))
            .hint("`roundtable history` lists what is kept")),
        (false, false) => Err(Failure::words(code::NOT_FOUND, format!("several ids begin with \"{wanted}\""))
            .hint("write out more of it")),
        (false, true) => Ok(ids),
    }
}

/// Deletes what can be deleted, and tells of the rest.
fn delete(entries: &[&Entry]) -> Result<(), Failure> {
    let (mut deleted, mut failure) = (0, None);
    for entry in entries {
        match entry.delete() {
            Ok(()) => deleted += 1,
            Err(error) => {
                let hint = "a conference that is on keeps its history: leave it first";
                failure.get_or_insert(Failure::new(code::DEVICE, error).hint(hint));
            }
        }
    }
    json::print(&format!("deleted: {deleted}"));
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(id: &str, title: Option<&str>) -> Entry {
        Entry {
            conference: id.into(),
            title: title.map(str::to_owned),
            pieces: Some(1),
            bytes: 4_097,
            changed: Duration::from_secs(1_735_689_600),
            path: id.into(),
        }
    }

    #[test]
    fn titles_come_before_ids_and_ids_must_be_clear() {
        let entries = [
            entry("abc1", Some("Standup")),
            entry("abc2", Some("Standup")),
            entry("def0", None),
            entry("d1", Some("abc1")),
        ];
        let ids = |wanted: &str| {
            called(&entries, wanted).map(|found| found.iter().map(|e| e.conference.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(ids("Standup").unwrap(), ["abc1", "abc2"], "of one title are all");
        assert_eq!(ids("abc1").unwrap(), ["d1"]);
        assert_eq!(ids("DE").unwrap(), ["def0"]);
        for unclear in ["ab", "d", "x", "", "standup"] {
            assert!(ids(unclear).is_err(), "{unclear}");
        }
    }

    #[test]
    fn rows_and_lines_say_what_is_known() {
        assert_eq!(row(&entry("abc", Some("Standup")))[0], "Standup");
        assert_eq!(row(&entry("abc", Some("a\x1b[2Jb")))[0], "a[2Jb", "nothing moves the cursor");
        assert_eq!(row(&entry("abc", None))[0], "(unnamed)");
        let damaged = Entry { pieces: None, ..entry("abc", None) };
        assert_eq!(row(&damaged)[0], "(damaged)");
        assert_eq!(row(&damaged)[2], "5 KB");
        let expected =
            r#"{"bytes":4097,"changed":"2025-01-01T00:00:00.000Z","conference":null,"damaged":true,"id":"abc"}"#;
        assert_eq!(line(&damaged).to_string(), expected);
    }
}
