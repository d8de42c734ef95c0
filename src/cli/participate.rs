//! Being in a conference from the command line: window, headless or text alone, statistics, signals, JSON lines, a time limit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::chat::{LAST_LINES, Terminal};
use super::failure::{Failure, code};
use super::pace::Pace;
use super::{ParticipantOptions, audio_stats, json, report, room};
use crate::conference::config::Config;
use crate::conference::stats::Stats;
use crate::conference::view::{Command, NoticeKind};
use crate::conference::{Conference, Entry, Event, Role};
use crate::pipeline::slot::PictureInfo;
use crate::ui;
use crate::ui::look::Preferences;
use crate::ui::window::{Display, Shown};
use crate::ui::words::Language;

/// How long the last events may take to be written once the conference is left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How voices fare is told this often.
const AUDIO_EVERY_S: u64 = 10;

/// Enters the conference.
pub fn open(config: &Config, entry: Entry, role: Role) -> Result<Conference, Failure> {
    Conference::open(config, entry, role).map_err(Failure::from)
}

/// Tells what could not work before anybody notices that somebody comes: no display, files that cannot be written.
pub fn check(options: &ParticipantOptions) -> Result<(), Failure> {
    if options.json && !options.headless && !options.text {
        return Err(Failure::usage("--json needs --headless: beside a window nobody reads commands"));
    }
    if !options.headless && !options.text {
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
    stay_in(conference, options, window_options(config, options), None, began)
}

/// How the window is set up.
pub fn window_options(config: &Config, options: &ParticipantOptions) -> ui::Options {
    ui::Options {
        size: (config.size.width, config.size.height),
        scale: config.scale,
        preferences: preferences(config),
        next: (config.quality, config.interface.clone().unwrap_or_default()),
        screenshot: options.screenshot.clone(),
        ..ui::Options::default()
    }
}

/// As [`stay_and`], in a window that is open already if one is given.
pub fn stay_in(
    conference: Conference,
    options: &ParticipantOptions,
    setup: ui::Options,
    display: Option<Display>,
    began: impl FnOnce(),
) -> Result<Stats, Failure> {
    let conference = Arc::new(conference);
    stop_on_signals(&conference)?;
    let pace = Arc::<Pace>::default();
    let told = if has_screen(options) {
        None
    } else if options.text && !options.json {
        let terminal = Terminal::new(&conference);
        let told = terminal.print(conference.events(), Arc::clone(&pace));
        terminal.read(&conference, pace);
        Some(told)
    } else {
        let told = match options.json {
            true => print_events(conference.events(), Arc::clone(&pace)),
            false => print_notices(conference.events(), pace.clone(), options.headless),
        };
        if options.json || options.until_eof {
            read_stdin(&conference, pace, options.until_eof || options.text);
        }
        Some(told)
    };
    let clockwork =
        Clockwork::start(Arc::clone(&conference), options.duration, options.stats.clone(), options.audio_stats)?;
    let outcome = show(&conference, options, setup, display, began);
    let trouble = clockwork.stop();
    conference.leave();
    let stats = conference.stats();
    // The channel closes when everything is told; a device that hangs must not hold up the end.
    if let Some(told) = told {
        let _ = told.recv_timeout(LAST_WORDS);
    }
    outcome?;
    if options.audio_stats {
        audio_stats::tell(&stats);
    }
    if let Some(path) = &options.stats {
        report::write(path, &stats).map_err(|e| unwritable(path, e))?;
    }
    if let Some(over) = conference.outcome() {
        let hint = "the owner and the moderators decide who may be here: ask them";
        return Err(Failure::words(code::REFUSED, over).hint(hint));
    }
    trouble.map_or(Ok(stats), Err)
}

/// Stays as a tool does, without window, transcript and statistics, and calls `each` every second.
pub fn stay_unseen(
    conference: Conference,
    options: &ParticipantOptions,
    mut each: impl FnMut(&Conference) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let conference = Arc::new(conference);
    stop_on_signals(&conference)?;
    let told = print_notices(conference.events(), Arc::default(), true);
    let clockwork = Clockwork::start(Arc::clone(&conference), options.duration, None, false)?;
    let mut outcome = Ok(());
    while outcome.is_ok() && !conference.wait_until(Duration::from_secs(1), |c| c.view().ended) {
        outcome = each(&conference);
    }
    clockwork.stop();
    conference.leave();
    let _ = told.recv_timeout(LAST_WORDS);
    outcome
}

/// Whether the chat takes the whole terminal.
fn has_screen(options: &ParticipantOptions) -> bool {
    options.text && !options.json && !options.plain && room::possible()
}

/// A file of the user's that cannot be written.
pub fn unwritable(path: &std::path::Path, error: std::io::Error) -> Failure {
    Failure::words(code::DEVICE, format!("cannot write {}: {error}", path.display()))
        .hint("is the folder there and writable, and the disk not full?")
}

/// The window, or the same without a display. Returns when the conference is over.
fn show(
    conference: &Arc<Conference>,
    options: &ParticipantOptions,
    setup: ui::Options,
    display: Option<Display>,
    began: impl FnOnce(),
) -> Result<(), Failure> {
    if options.text {
        began();
        if has_screen(options) {
            return room::run(conference);
        }
        conference.wait_for_end();
        return Ok(());
    }
    let setup = ui::Options { title: format!("{} - Roundtable", conference.title()), ..setup };
    let mut began = Some(began);
    let feed = || {
        if let Some(began) = began.take() {
            began();
        }
        conference.view()
    };
    let shown = |key, info: &PictureInfo| conference.shown(key, info);
    let told = |what: Shown<'_>| match what {
        Shown::Picture(key, info) => shown(key, info),
        Shown::Busy(busy) => conference.framed(busy),
    };
    let clock = conference.clock();
    let result = if options.headless {
        ui::headless::run(feed, shown, clock, &setup, None)
    } else {
        let display = display.map_or_else(|| Display::open(clock, &setup), Ok);
        display.and_then(|display| display.show(feed, conference.commands(), told, clock, &setup))
    };
    result.map_err(no_picture)
}

/// What the settings say of the window.
pub fn preferences(config: &Config) -> Preferences {
    let locale =
        || ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let language = config.language.clone().or_else(locale).unwrap_or_default();
    Preferences {
        light: config.light,
        language: Language::of_locale(&language),
        crop: config.fill_tiles,
        still: config.reduce_motion,
        text_percent: config.scale.map(|scale| (scale * 100.0).round() as u16),
    }
}

/// There is no window, or none any more.
pub fn no_picture(error: ui::Error) -> Failure {
    let hint = match &error {
        ui::Error::Screenshot { .. } => "is the folder there and writable, and the disk not full?",
        _ => "without a screen use --headless, with --screenshot FILE.png to see what it would show",
    };
    Failure::new(code::DEVICE, error).hint(hint)
}

/// Set by SIGINT and SIGTERM, for what stays without a loop of its own; a second one ends the process at once.
pub fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(asked)
}

/// SIGINT and SIGTERM leave as the leave button does; a second one ends the process at once.
fn stop_on_signals(conference: &Arc<Conference>) -> Result<(), Failure> {
    const SIGNALS: [i32; 2] = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let asked = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        // In this order: the first signal finds the flag unset, then sets it itself. A thread that set it could be
        // quicker than the rest of the handler.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = signal_hook::iterator::Signals::new(SIGNALS)?;
    let commands = conference.commands();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            let _ = commands.send(Command::Leave);
        }
    })?;
    Ok(())
}

/// Shows events until the conference drops its end of the channel, which closes the one returned. Lines are kept track
/// of though nobody reads any more: `show` returns false then, and is not called again.
pub fn tell(
    events: Receiver<Event>,
    pace: Arc<Pace>,
    mut show: impl FnMut(&Event) -> bool + Send + 'static,
) -> Receiver<()> {
    let (telling, told) = bounded(0);
    std::thread::spawn(move || {
        let mut read = true;
        for event in events {
            pace.note(&event);
            read = read && show(&event);
        }
        pace.end();
        drop::<Sender<()>>(telling);
    });
    told
}

fn print_events(events: Receiver<Event>, pace: Arc<Pace>) -> Receiver<()> {
    tell(events, pace, |event| json::event_line(event).is_none_or(|line| json::print(&line)))
}

/// Tells on stderr what a window would show for some seconds; beside a window only what may matter later.
fn print_notices(events: Receiver<Event>, pace: Arc<Pace>, all: bool) -> Receiver<()> {
    tell(events, pace, move |event| {
        match event {
            Event::Notice { kind: NoticeKind::Warning, text } => eprintln!("warning: {text}"),
            Event::Notice { kind: NoticeKind::Info, text } if all => eprintln!("note: {text}"),
            Event::Door { text, .. } if !text.is_empty() => eprintln!("note: {text}"),
            _ => {}
        }
        true
    })
}

/// Commands from stdin. The thread is not joined: nothing wakes a blocked read.
fn read_stdin(conference: &Conference, pace: Arc<Pace>, leave_at_end: bool) {
    let commands = conference.commands();
    std::thread::spawn(move || {
        let obey = |command: Command| {
            match command {
                Command::Leave => pace.wait_until_heard(LAST_LINES),
                _ => pace.before(&command),
            }
            let _ = commands.send(command);
        };
        let _ = json::read_lines(std::io::stdin().lock(), |line| match line.and_then(json::parse) {
            Ok(command) => obey(command),
            Err(text) => drop(json::print(&json::error_line(&text))),
        });
        if leave_at_end {
            obey(Command::Leave);
        }
    });
}

/// The second hand: statistics each second, and leaving when the time is up.
struct Clockwork {
    stop: Sender<()>,
    thread: JoinHandle<Option<Failure>>,
}

impl Clockwork {
    fn start(
        conference: Arc<Conference>,
        duration: Option<f64>,
        stats: Option<PathBuf>,
        audio: bool,
    ) -> Result<Self, Failure> {
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
                    if audio && next.as_secs().is_multiple_of(AUDIO_EVERY_S) {
                        audio_stats::tell(&conference.stats());
                    }
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
