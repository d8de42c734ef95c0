//! Bare `roundtable` with a display: the start screen, and then the conference in the same window.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::failure::Failure;
use super::{ParticipantOptions, meet, participate, passphrase};
use crate::conference::config::Config;
use crate::conference::invite::{self, Invite};
use crate::conference::lobby::{Devices, Lobby};
use crate::conference::{self, Conference, Entry, Role};
use crate::device::clock::Clock;
use crate::limits::NAME_BYTES_MAX;
use crate::pipeline::control;
use crate::protocol::discovery::Found;
use crate::protocol::keys::Secret;
use crate::protocol::passphrase::{Error as NoPassphrase, Passphrase};
use crate::protocol::roster::names;
use crate::ui::start::Wish;
use crate::ui::window::Display;
use crate::ui::words::{Words, fill};

/// How long the conference of an invite has to answer.
const SEARCH: Duration = Duration::from_secs(3);

/// Whether the start screen may stand in for the terminal's list.
pub fn possible(options: &ParticipantOptions) -> bool {
    !options.headless && !options.text && !options.json && crate::ui::window::possible().is_ok()
}

/// What is to be entered, and with what.
struct Plan {
    config: Config,
    target: Target,
    devices: Devices,
}

enum Target {
    Found(Box<Found>, Option<String>),
    Invite(String),
    Start(String, bool),
}

/// One attempt to enter, among those there were.
struct Turn {
    mine: u64,
    newest: Arc<AtomicU64>,
}

impl Turn {
    /// Whether nobody is on their way into another conference since: camera and microphone are theirs then.
    fn is_newest(&self) -> bool {
        self.newest.load(Ordering::SeqCst) == self.mine
    }
}

/// The conference, and whether it was begun here.
type Outcome = Result<(Conference, bool), String>;

/// Shows the start screen, then the conference chosen there.
pub fn run(options: &ParticipantOptions) -> Result<(), Failure> {
    let config = options.config()?;
    participate::check(options)?;
    let clock = Clock::system();
    let mut setup = participate::window_options(&config, options);
    let mut display = Display::open(&clock, &setup).map_err(participate::no_picture)?;
    let lobby = RefCell::new(Lobby::start(&config, &clock)?);
    let turn = Arc::<AtomicU64>::default();
    let enter = |wish: Wish, name: &str, words| enter(wish, name, &mut lobby.borrow_mut(), &config, words, &turn);
    let entered = display.start(|| lobby.borrow().view(), enter, &clock, &mut setup, &config.name);
    setup.next.1 = lobby.borrow().interface().unwrap_or_default().to_owned();
    drop(lobby);
    let Some((conference, is_new)) = entered.map_err(participate::no_picture)? else { return Ok(()) };
    setup.invite = is_new;
    participate::stay_in(conference, options, setup, Some(display), || {}).map(drop)
}

/// Begins what is wished for, on a thread of its own. `turn` counts what was begun.
fn enter(
    wish: Wish,
    name: &str,
    lobby: &mut Lobby,
    config: &Config,
    words: &'static Words,
    turn: &Arc<AtomicU64>,
) -> Option<(String, Receiver<Outcome>)> {
    let (busy, target) = match wish {
        Wish::Camera(text) => {
            lobby.use_camera(&text);
            return None;
        }
        Wish::Microphone(text) => {
            lobby.use_microphone(&text);
            return None;
        }
        Wish::Speaker(text) => {
            lobby.use_speaker(&text);
            return None;
        }
        Wish::Interface(text) => {
            lobby.use_interface(&text);
            return None;
        }
        Wish::Join(listing, typed) => {
            let Some(found) = lobby.found(&listing) else {
                let (tell, coming) = bounded(1);
                let gone = tell.send(Err(fill(words.gone, &[&listing.title])));
                return gone.is_ok().then(|| (String::new(), coming));
            };
            (fill(words.joining, &[&listing.title]), Target::Found(Box::new(found), typed))
        }
        Wish::Invite(line) => (fill(words.joining, &[&""]), Target::Invite(line)),
        Wish::Start(title, open) => (fill(words.starting, &[&title]), Target::Start(title, open)),
    };
    let plan = Plan { config: chosen(config, name, lobby), target, devices: lobby.own_devices() };
    // Handed over or refused, with nothing between: what nobody waits for any more must be left again.
    let (tell, coming) = bounded(0);
    let turn = Turn { mine: turn.fetch_add(1, Ordering::SeqCst) + 1, newest: Arc::clone(turn) };
    let work = move || {
        let (config, devices) = (plan.config.clone(), plan.devices.clone());
        let Err(unwanted) = tell.send(plan.run(words, &turn)) else { return };
        let entered = unwanted.0.is_ok();
        drop(unwanted);
        // Whoever cancelled sees themselves again.
        if entered && turn.is_newest() {
            devices.open(&config);
        }
    };
    std::thread::Builder::new().name("enter".into()).spawn(work).ok()?;
    Some((busy, coming))
}

/// The settings with what was chosen on the start screen; what cannot be read leaves what was there.
fn chosen(config: &Config, name: &str, lobby: &Lobby) -> Config {
    let devices = lobby.devices();
    let mut config = config.clone();
    let clean = names::clean(name, NAME_BYTES_MAX);
    if !names::fold(&clean).is_empty() {
        config.name = clean;
    }
    if let Ok(camera) = devices.camera.parse() {
        config.camera = camera;
    }
    if let Ok(microphone) = devices.microphone.parse() {
        config.microphone = microphone;
    }
    if let Ok(speaker) = devices.speaker.parse() {
        config.speaker = speaker;
    }
    config.interface = lobby.interface().map(str::to_owned);
    config
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Plan {
    fn run(self, words: &Words, turn: &Turn) -> Outcome {
        let (entry, is_new) = match self.target {
            Target::Found(found, typed) => (join(*found, typed.as_deref(), words)?, false),
            Target::Invite(line) => {
                let invite: Invite = line.trim().parse().map_err(|e: invite::Error| told(e))?;
                let found = search(&self.config, &invite)?;
                let found = found.ok_or_else(|| fill(words.no_answer, &[&invite.title]))?;
                (join(found, invite.key.as_deref(), words)?, false)
            }
            Target::Start(title, open) => {
                let title = meet::check_title(&title).map_err(told)?;
                let passphrase = (!open).then(passphrase::generate).transpose().map_err(told)?;
                (Entry::Start { title, passphrase }, true)
            }
        };
        if !turn.is_newest() {
            // Nobody waits for it any more.
            return Err(words.cancel.to_owned());
        }
        // Two cannot have a camera at once.
        self.devices.close();
        let conference = Conference::open(&self.config, entry, Role::Participant).map_err(told);
        if conference.is_err() && turn.is_newest() {
            self.devices.open(&self.config);
        }
        conference.map(|conference| (conference, is_new))
    }
}

fn join(found: Found, typed: Option<&str>, words: &Words) -> Result<Entry, String> {
    let secret = match (found.open, typed) {
        (true, _) => Secret::open(&found.id),
        (false, None) => return Err(words.bad_words.to_owned()),
        (false, Some(typed)) => {
            let passphrase: Passphrase = typed.parse().map_err(|e: NoPassphrase| told(e))?;
            Secret::from_passphrase(&passphrase, &found.id).map_err(told)?
        }
    };
    if !found.accepts(&secret) {
        return Err(words.bad_words.to_owned());
    }
    Ok(Entry::Join { found, secret })
}

fn search(config: &Config, invite: &Invite) -> Result<Option<Found>, String> {
    let interface = conference::choose_interface(config).map_err(told)?;
    let meant =
        |f: &Found| f.id == invite.id && invite.at.is_none_or(|at| (f.plan.base, f.plan.port) == (at.ip(), at.port()));
    let times = (Duration::ZERO, SEARCH);
    let found = control::browse(&interface, &Clock::system(), times, |found| found.iter().any(meant)).map_err(told)?;
    Ok(found.into_iter().find(|found| meant(found)))
}
