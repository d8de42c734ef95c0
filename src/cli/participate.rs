//! Being in a conference from the command line: window or headless, statistics, signals, JSON lines, a time limit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::failure::{Failure, code};
use super::{ParticipantOptions, json, report};
use crate::conference::config::Config;
use crate::conference::stats::Stats;
use crate::conference::view::{Command, NoticeKind};
use crate::conference::{Conference, Entry, Event, Role};
use crate::pipeline::slot::PictureInfo;
use crate::ui;

/// How long the last events may take to be written once the conference is left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Enters the conference.
pub fn open(config: &Config, entry: Entry, role: Role) -> Result<Conference, Failure> {
    Conference::open(config, entry, role).map_err(Failure::from)
}

/// Tells what could not work before anybody notices that somebody comes: no display, files that cannot be written.
pub fn check(options: &ParticipantOptions) -> Result<(), Failure> {
    if !options.headless {
        ui::window::possible().map_err(no_picture)?;
    }
    if let Some(path) = &options.screenshot {
        ui::screenshot::writable(path).map_err(no_picture)?;
    }
    options.stats.as_deref().map_or(Ok(()), |path| report::writable(path).map_err(|e| unwritable(path, e)))
}

/// Stays until the window closes, a signal comes, the time is up or the conference ends; then leaves properly.
/// Returns the last statistics.
pub fn stay(conference: Conference, config: &Config, options: &ParticipantOptions) -> Result<Stats, Failure> {
    stay_and(conference, config, options, || {})
}

/// As [`stay`]; `began` is called once the window is about to show its first picture.
pub fn stay_and(
    conference: Conference,
    config: &Config,
    options: &ParticipantOptions,
    began: impl FnOnce(),
) -> Result<Stats, Failure> {
    let conference = Arc::new(conference);
    stop_on_signals(&conference)?;
    let told = match options.json {
        true => print_events(conference.events()),
        false => print_notices(conference.events(), options.headless),
    };
    if options.json || options.until_eof {
        read_stdin(&conference, options.until_eof);
    }
    let clockwork = Clockwork::start(Arc::clone(&conference), options.duration, options.stats.clone())?;
    let outcome = show(&conference, config, options, began);
    let trouble = clockwork.stop();
    conference.leave();
    let stats = conference.stats();
    // The channel closes when everything is told; a device that hangs must not hold up the end.
    let _ = told.recv_timeout(LAST_WORDS);
    outcome?;
    if let Some(path) = &options.stats {
        report::write(path, &stats).map_err(|e| unwritable(path, e))?;
    }
    trouble.map_or(Ok(stats), Err)
}

/// A file of the user's that cannot be written.
pub fn unwritable(path: &std::path::Path, error: std::io::Error) -> Failure {
    Failure::words(code::DEVICE, format!("cannot write {}: {error}", path.display()))
        .hint("is the folder there and writable, and the disk not full?")
}

/// The window, or the same without a display. Returns when the conference is over.
fn show(
    conference: &Conference,
    config: &Config,
    options: &ParticipantOptions,
    began: impl FnOnce(),
) -> Result<(), Failure> {
    let setup = ui::Options {
        title: format!("{} - Roundtable", conference.title()),
        size: (config.size.width, config.size.height),
        scale: config.scale,
        screenshot: options.screenshot.clone(),
        ..ui::Options::default()
    };
    let mut began = Some(began);
    let feed = || {
        if let Some(began) = began.take() {
            began();
        }
        conference.view()
    };
    let shown = |key, info: &PictureInfo| conference.shown(key, info);
    let clock = conference.clock();
    let result = if options.headless {
        ui::headless::run(feed, shown, clock, &setup, None)
    } else {
        ui::window::run(feed, conference.commands(), shown, clock, &setup)
    };
    result.map_err(no_picture)
}

fn no_picture(error: ui::Error) -> Failure {
    let hint = match &error {
        ui::Error::Screenshot { .. } => "is the folder there and writable, and the disk not full?",
        _ => "without a screen use --headless, with --screenshot FILE.png to see what it would show",
    };
    Failure::new(code::DEVICE, error).hint(hint)
}

/// SIGINT and SIGTERM leave as the leave button does; a second one ends the process at once.
fn stop_on_signals(conference: &Arc<Conference>) -> Result<(), Failure> {
    let asked = Arc::new(AtomicBool::new(false));
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
    }
    let commands = conference.commands();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            asked.store(true, Ordering::SeqCst);
            let _ = commands.send(Command::Leave);
        }
    })?;
    Ok(())
}

/// Prints events until the conference drops its end of the channel; ends early when nobody reads stdout.
fn print_events(events: Receiver<Event>) -> Receiver<()> {
    let (telling, told) = bounded(0);
    std::thread::spawn(move || {
        for event in events {
            if !json::print(&json::event_line(&event)) {
                break;
            }
        }
        drop::<Sender<()>>(telling);
    });
    told
}

/// Tells on stderr what a window would show for some seconds; beside a window only what may matter later.
fn print_notices(events: Receiver<Event>, all: bool) -> Receiver<()> {
    let (telling, told) = bounded(0);
    std::thread::spawn(move || {
        for event in events {
            match event {
                Event::Notice { kind: NoticeKind::Warning, text } => eprintln!("warning: {text}"),
                Event::Notice { kind: NoticeKind::Info, text } if all => eprintln!("note: {text}"),
                _ => {}
            }
        }
        drop::<Sender<()>>(telling);
    });
    told
}

/// Commands from stdin. The thread is not joined: nothing wakes a blocked read.
fn read_stdin(conference: &Arc<Conference>, leave_at_end: bool) {
    let commands = conference.commands();
    std::thread::spawn(move || {
        let _ = json::read_lines(std::io::stdin().lock(), |line| match line.and_then(json::parse) {
            Ok(command) => drop(commands.send(command)),
            Err(text) => drop(json::print(&json::error_line(&text))),
        });
        if leave_at_end {
            let _ = commands.send(Command::Leave);
        }
    });
}

/// The second hand: statistics each second, and leaving when the time is up.
struct Clockwork {
    stop: Sender<()>,
    thread: JoinHandle<Option<Failure>>,
}

impl Clockwork {
    fn start(conference: Arc<Conference>, duration: Option<f64>, stats: Option<PathBuf>) -> Result<Self, Failure> {
        let (stop, stopped) = bounded(1);
        let thread = std::thread::Builder::new().name("clockwork".into()).spawn(move || {
            let mut trouble = None;
            let mut next = Duration::from_secs(1);
            loop {
                let elapsed = conference.elapsed();
                let left = duration.map(|s| Duration::from_secs_f64(s).saturating_sub(elapsed));
                if left == Some(Duration::ZERO) {
                    let _ = conference.commands().send(Command::Leave);
                    let _ = stopped.recv();
                    return trouble;
                }
                let wait = next.saturating_sub(elapsed).min(left.unwrap_or(Duration::MAX));
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return trouble,
                }
                if conference.elapsed() >= next {
                    next += Duration::from_secs(1);
                    if let Some(path) = &stats {
                        // The conference goes on without its statistics; the end tells whether the file is whole.
                        trouble = report::write(path, &conference.stats()).err().map(|e| unwritable(path, e));
                    }
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops it; returns what went wrong with the last statistics written.
    fn stop(self) -> Option<Failure> {
        let _ = self.stop.send(());
        self.thread.join().unwrap_or(None)
    }
}
