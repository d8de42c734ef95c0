//! `send`: files and folders to everybody in a conference, or to some.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use crossbeam_channel::RecvTimeoutError;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::failure::{Failure, code};
use super::files::summary;
use super::passphrase::{self, Trial};
use super::{ParticipantOptions, json, meet, participate};
use crate::conference::files::size;
use crate::conference::view::Command;
use crate::conference::{Conference, Entry, Event, FileProgress, FileRecipient, Role};
use crate::time::Timestamp;

/// How long somebody may take to be seen.
const SEARCH: Duration = Duration::from_secs(5);
/// How often what is waited for is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// At the end of the subcommand's help.
pub const EXAMPLES: &str = "\
Examples:
  roundtable send report.pdf                     to everybody in the only conference on this network
  roundtable send photos/ notes.txt Standup      a folder goes as one archive (.tar)
  roundtable send draft.odt Standup --to Ada     sealed to Ada: nobody else can read it

The people decide whether they take it. Exit codes: 0 everybody who wants it has it, 5 nobody wants it, 6 nobody is there,
1 somebody who wants it does not have it.";

/// What to send, and whom to.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Files and folders; the last one may be the title of the conference
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Title of the conference, when it is also the name of a file; - reads an invite from stdin
    #[arg(long, value_name = "TITLE")]
    conference: Option<String>,
    /// To this person only; may be given several times
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// How long people may take to answer
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, default_value = "120")]
    wait: f64,
    /// Never faster than so many Mb/s of what is in the files
    #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Your name as others see it
    #[arg(long)]
    name: Option<String>,
    /// Network interface, by name or address
    #[arg(long, value_name = "NAME|ADDR")]
    interface: Option<String>,
    /// A file that holds the passphrase; ROUNDTABLE_PASSPHRASE is the other way
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Events as JSON lines on stdout
    #[arg(long)]
    json: bool,
}

/// Which of the arguments are files, and which is the conference.
fn parted(options: &Options, there: impl Fn(&Path) -> bool) -> (Vec<PathBuf>, Option<String>) {
    let (mut files, mut conference) = (options.files.clone(), options.conference.clone());
    if conference.is_none()
        && files.len() > 1
        && let Some(last) = files.pop_if(|last| !there(last))
    {
        conference = Some(last.to_string_lossy().into_owned());
    }
    (files, conference)
}

/// Joins, sends, waits until everybody has it, leaves.
pub fn run(options: &Options) -> Result<(), Failure> {
    let (files, title) = parted(options, Path::exists);
    for file in &files {
        std::fs::metadata(file).map_err(|e| {
            Failure::words(code::NOT_FOUND, format!("cannot read {}: {e}", file.display()))
                .hint("the conference is the last argument, or --conference TITLE")
        })?;
    }
    let none = || Some("none".to_owned());
    let participant = ParticipantOptions {
        name: options.name.clone(),
        camera: none(),
        microphone: none(),
        speaker: none(),
        interface: options.interface.clone(),
        passphrase_file: options.passphrase_file.clone(),
        accept_files: none(),
        headless: true,
        text: true,
        ..ParticipantOptions::default()
    };
    let mut config = participant.config()?;
    config.file_rate_mbit = options.rate.or(config.file_rate_mbit);
    let mut trial = Trial::given(&participant)?;
    let found = match &title {
        Some(title) => meet::resolve(title, &config, &mut trial)?,
        None => meet::only(&config)?,
    };
    let secret = passphrase::secret_for(&found, trial)?;
    let conference = participate::open(&config, Entry::Join { found, secret }, Role::Participant)?;
    let interrupted = participate::interrupted()?;
    let outcome = deliver(&conference, options, &files, &interrupted);
    conference.leave();
    outcome
}

/// Whether those who are to get it are here.
fn are_here(conference: &Conference, to: &[String]) -> bool {
    let (_, here) = conference.names();
    let is_here = |name: &String| here.iter().any(|(known, _)| known.to_lowercase() == name.to_lowercase());
    if to.is_empty() { !here.is_empty() } else { to.iter().all(is_here) }
}

fn deliver(
    conference: &Conference,
    options: &Options,
    files: &[PathBuf],
    interrupted: &std::sync::atomic::AtomicBool,
) -> Result<(), Failure> {
    if !conference.wait_until(SEARCH, |c| are_here(c, &options.to)) {
        let here: Vec<String> = conference.names().1.into_iter().map(|(name, _)| name).collect();
        let text =
            if options.to.is_empty() { "nobody else is in the conference" } else { "not everybody named is here" };
        let hint = if here.is_empty() {
            "they have to join first".to_owned()
        } else {
            format!("here are {}", here.join(", "))
        };
        return Err(Failure::words(code::NOT_FOUND, text).hint(hint));
    }
    let commands = conference.commands();
    for file in files {
        let _ = commands.send(Command::Send(file.clone(), options.to.clone()));
    }
    let clock = conference.clock().clone();
    let mut desk = Desk::new(options, files.len(), clock.now() + Duration::from_secs_f64(options.wait));
    let events = conference.events();
    while !desk.is_over(clock.now()) && !interrupted.load(std::sync::atomic::Ordering::Relaxed) {
        match events.recv_timeout(LOOK) {
            Ok(event) => desk.take(&event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    desk.outcome(conference)
}

/// What became of one file.
#[derive(Default)]
struct Parcel {
    name: String,
    people: Vec<FileRecipient>,
    settled: bool,
    failed: Option<String>,
    bar: Option<ProgressBar>,
}

impl Parcel {
    fn is_over(&self, late: bool) -> bool {
        let receives = self.people.iter().any(|p| matches!(p.state, "receives" | "behind"));
        self.settled || self.failed.is_some() || (late && !receives)
    }
}

/// All of them, and what is shown.
struct Desk {
    json: bool,
    bars: Option<MultiProgress>,
    parcels: BTreeMap<String, Parcel>,
    /// Files that could not even be offered.
    refused: Vec<String>,
    count: usize,
    deadline: Timestamp,
}

impl Desk {
    fn new(options: &Options, count: usize, deadline: Timestamp) -> Self {
        let shown = !options.json && std::io::stderr().is_terminal();
        let bars = shown.then(MultiProgress::new);
        Self { json: options.json, bars, parcels: BTreeMap::new(), refused: Vec::new(), count, deadline }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let late = now >= self.deadline;
        let all = self.parcels.len() + self.refused.len() >= self.count;
        (all || late) && self.parcels.values().all(|parcel| parcel.is_over(late))
    }

    fn take(&mut self, event: &Event) {
        if self.json
            && let Some(line) = json::event_line(event)
        {
            json::print(&line);
        }
        match event {
            Event::Offer(offer) if offer.own => {
                let bar = self.bars.as_ref().map(|bars| bars.add(bar(&offer.name, offer.size)));
                let parcel = Parcel { name: offer.name.clone(), bar, ..Parcel::default() };
                self.parcels.insert(offer.offer.clone(), parcel);
            }
            Event::Progress(progress) => self.progress(progress),
            Event::FileSettled { offer, recipients, .. } => {
                if let Some(parcel) = self.parcels.get_mut(offer) {
                    parcel.people.clone_from(recipients);
                    parcel.settled = true;
                    parcel.bar.iter().for_each(ProgressBar::finish_and_clear);
                }
            }
            Event::FileFailed { offer, name, why } => match offer.as_ref().and_then(|o| self.parcels.get_mut(o)) {
                Some(parcel) => parcel.failed = Some(why.clone()),
                None => self.refused.push(format!("{name}: {why}")),
            },
            _ => {}
        }
    }

    fn progress(&mut self, progress: &FileProgress) {
        let Some(parcel) = self.parcels.get_mut(&progress.offer) else {
            return;
        };
        parcel.people.clone_from(&progress.recipients);
        parcel.settled = false;
        if let Some(bar) = &parcel.bar {
            // What the slowest of those who receive it has.
            let receiving = progress.recipients.iter().filter(|r| r.state == "receives");
            let slowest = receiving.map(|r| f64::from(r.part)).fold(1.0, f64::min);
            bar.set_position((progress.size as f64 * slowest) as u64);
            let have = progress.recipients.iter().filter(|r| r.state == "has it").count();
            let behind = progress.recipients.iter().filter(|r| r.state == "behind").count();
            let behind = if behind > 0 { format!(", {behind} behind") } else { String::new() };
            bar.set_message(format!("{have} of {} have it{behind}", progress.recipients.len()));
        }
    }

    /// Tells what became of everything.
    fn outcome(self, conference: &Conference) -> Result<(), Failure> {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
        let (mut wanted, mut missing) = (false, Vec::new());
        for parcel in self.parcels.values() {
            let text = parcel.failed.clone().unwrap_or_else(|| summary(&parcel.people));
            if !self.json {
                println!("{}: {text}", parcel.name);
            }
            wanted |= parcel.people.iter().any(|p| p.state == "has it");
            let waits = parcel.people.iter().any(|p| matches!(p.state, "receives" | "behind" | "left"));
            if waits || parcel.failed.is_some() {
                missing.push(format!("{}: {text}", parcel.name));
            }
        }
        missing.extend(self.refused);
        if !missing.is_empty() {
            return Err(Failure::words(code::UNEXPECTED, format!("not sent: {}", missing.join("; ")))
                .hint("sending the same again goes on where it ended"));
        }
        if let Some(over) = conference.outcome() {
            return Err(Failure::words(code::REFUSED, over));
        }
        if wanted {
            return Ok(());
        }
        Err(Failure::words(code::REFUSED, "nobody took it").hint("the others see the offer and decide: ask them"))
    }
}

fn bar(name: &str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {percent:>3} % {binary_bytes_per_sec} {eta} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(format!("{name} ({})", size(bytes)));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_argument_is_the_conference_when_it_is_no_file() {
        let of = |files: &[&str], conference: Option<&str>| {
            let options = Options {
                files: files.iter().map(PathBuf::from).collect(),
                conference: conference.map(str::to_owned),
                to: vec![],
                wait: 1.0,
                rate: None,
                name: None,
                interface: None,
                passphrase_file: None,
                json: false,
            };
            let (files, title) = parted(&options, |path| path.starts_with("there"));
            (files.len(), title)
        };
        assert_eq!(of(&["there", "Standup"], None), (1, Some("Standup".into())));
        assert_eq!(of(&["there", "there2"], Some("Standup")), (2, Some("Standup".into())));
        assert_eq!(of(&["gone"], None), (1, None), "what is to be sent must be there");
        assert_eq!(of(&["there", "there"], None), (2, None));
    }
}
