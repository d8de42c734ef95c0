//! Before a conference: which there are on this network, and the own devices as others would see and hear them.
//!
//! ```text
//! [browse thread] asks every two seconds ---> what is found ----.
//! pipeline::preview, camera and microphone ---> picture, level --+--> LobbyView --> start screen
//! ```

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::config::Config;
use super::entry::choose_interface;
use super::view::{CameraView, DevicesView};
use crate::device::camera::CameraSpec;
use crate::device::clock::Clock;
use crate::device::sound::MicrophoneSpec;
use crate::pipeline::control;
use crate::pipeline::preview::{CameraState, Preview};
use crate::pipeline::slot::PictureSlot;
use crate::protocol::discovery::Found;

/// How long conferences have to answer. They answer within 10..140 ms, to questions at 0, 150 and 450 ms.
const ANSWER: Duration = Duration::from_millis(800);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(1_500);
/// A conference that did not answer is still listed for so many rounds: datagrams are lost.
const ROUNDS_KEPT: u32 = 3;

/// A conference of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listing {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its first group.
    pub base: IpAddr,
    /// Its first port.
    pub port: u16,
    /// Its title.
    pub title: String,
    /// Anyone on the network can watch.
    pub open: bool,
    /// Newcomers have to knock.
    pub locked: bool,
    /// People, as announced.
    pub participants: u32,
    /// Who announced it.
    pub source: IpAddr,
}

impl From<&Found> for Listing {
    fn from(found: &Found) -> Self {
        Self {
            id: found.id.to_string(),
            base: found.plan.base,
            port: found.plan.port,
            title: found.title.clone(),
            open: found.open,
            locked: found.locked,
            participants: found.participants,
            source: found.source.ip(),
        }
    }
}

/// What the start screen shows.
#[derive(Clone, Default)]
pub struct LobbyView {
    /// The conferences, by title.
    pub found: Vec<Listing>,
    /// They had time to answer.
    pub looked: bool,
    /// Name of the interface they are on.
    pub interface: String,
    /// The interface asked for, as settings name it; empty means the best one.
    pub wanted_interface: String,
    /// Why none can be looked for.
    pub trouble: Option<String>,
    /// The own picture.
    pub picture: Arc<PictureSlot>,
    /// How the camera fares.
    pub camera: CameraView,
    /// Level of the microphone, in dBFS.
    pub level_dbfs: f32,
    /// Why the microphone does not work, or which other one is used for it.
    pub microphone_trouble: Option<String>,
    /// The devices asked for.
    pub devices: DevicesView,
}

#[derive(Default)]
struct Seen {
    found: Vec<(u32, Found)>,
    looked: bool,
    interface: String,
    trouble: Option<String>,
}

/// The own camera and microphone; clones are the same ones.
#[derive(Clone)]
pub struct Devices {
    preview: Arc<Mutex<Option<Preview>>>,
    clock: Clock,
}

impl Devices {
    fn lock(&self) -> MutexGuard<'_, Option<Preview>> {
        self.preview.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens them; without a thread for it there is no picture, and nothing else is lost.
    pub fn open(&self, config: &Config) {
        let (camera, microphone) = (config.camera.clone(), config.microphone.clone());
        let opened = Preview::start(camera, microphone, config.name.clone(), self.clock.clone());
        let opened = opened.inspect_err(|error| tracing::warn!(%error, "no preview")).ok();
        let before = std::mem::replace(&mut *self.lock(), opened);
        // Closing takes its time, in which nobody else shall wait.
        drop(before);
    }

    /// Closes them, for somebody else to open. Returns when that is done.
    pub fn close(&self) {
        let open = self.lock().take();
        // Closing takes its time, in which nobody else shall wait.
        drop(open);
    }
}

/// The lobby. Dropping it closes the devices and ends its threads.
pub struct Lobby {
    seen: Arc<Mutex<Seen>>,
    own: Devices,
    devices: DevicesView,
    config: Config,
    browser: Browser,
}

/// A thread that looks for conferences, until this is dropped.
struct Browser {
    _stop: Sender<()>,
}

impl Browser {
    fn start(config: &Config, clock: &Clock, seen: &Arc<Mutex<Seen>>) -> std::io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let (config, clock, seen) = (config.clone(), clock.clone(), Arc::clone(seen));
        let browse = move || {
            loop {
                look(&config, &clock, &seen);
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        // It ends with its round of questions, and holds nothing that anybody waits for.
        std::thread::Builder::new().name("browse".into()).spawn(browse)?;
        Ok(Self { _stop: stop })
    }
}

impl Lobby {
    /// Begins to look around.
    ///
    /// # Errors
    /// When the system gives no threads. A network or device that does not work is told in the view.
    pub fn start(config: &Config, clock: &Clock) -> std::io::Result<Self> {
        let seen = Arc::<Mutex<Seen>>::default();
        let browser = Browser::start(config, clock, &seen)?;
        let own = Devices { preview: Arc::default(), clock: clock.clone() };
        own.open(config);
        let devices = DevicesView {
            camera: config.camera.to_string(),
            microphone: config.microphone.to_string(),
            speaker: config.speaker.to_string(),
        };
        Ok(Self { seen, own, devices, config: config.clone(), browser })
    }

    /// Everything as it is now.
    pub fn view(&self) -> LobbyView {
        let preview = self.own.lock();
        let (picture, state) = match &*preview {
            Some(preview) => (Arc::clone(preview.picture()), Some(preview.state())),
            None => (Arc::default(), None),
        };
        let camera = state.as_ref().map_or(CameraView::Off, |state| match &state.camera {
            CameraState::Off => CameraView::Off,
            CameraState::Opening => CameraView::Waiting,
            CameraState::Live => CameraView::Live,
            CameraState::Failed(why) => CameraView::Failed(why.clone()),
        });
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        LobbyView {
            found: seen.found.iter().map(|(_, found)| found.into()).collect(),
            looked: seen.looked,
            interface: seen.interface.clone(),
            wanted_interface: self.config.interface.clone().unwrap_or_default(),
            trouble: seen.trouble.clone(),
            picture,
            camera,
            level_dbfs: state.as_ref().map_or(-127.0, |state| state.level_dbfs),
            microphone_trouble: state.and_then(|state| state.microphone_trouble),
            devices: self.devices.clone(),
        }
    }

    /// What stands behind an entry of the list, while it is there.
    pub fn found(&self, listing: &Listing) -> Option<Found> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |found: &Found| {
            (found.id.to_string(), found.plan.base, found.plan.port) == (listing.id.clone(), listing.base, listing.port)
        };
        seen.found.iter().map(|(_, found)| found).find(|found| same(found)).cloned()
    }

    /// Another camera; a text that names none changes nothing.
    pub fn use_camera(&mut self, text: &str) {
        let Ok(spec) = text.parse::<CameraSpec>() else { return };
        self.own.lock().iter().for_each(|preview| preview.camera(spec.clone()));
        self.devices.camera = text.to_owned();
    }

    /// Another microphone.
    pub fn use_microphone(&mut self, text: &str) {
        let Ok(spec) = text.parse::<MicrophoneSpec>() else { return };
        self.own.lock().iter().for_each(|preview| preview.microphone(spec.clone()));
        self.devices.microphone = text.to_owned();
    }

    /// Another speaker, for the conference.
    pub fn use_speaker(&mut self, text: &str) {
        self.devices.speaker = text.to_owned();
    }

    /// Another network interface, by name or address, or the best one when that is empty: looks for conferences there.
    pub fn use_interface(&mut self, text: &str) {
        self.config.interface = Some(text.to_owned()).filter(|text| !text.is_empty());
        // What is still answered on the other interface goes where nobody looks.
        self.seen = Arc::default();
        match Browser::start(&self.config, &self.own.clock, &self.seen) {
            Ok(browser) => self.browser = browser,
            Err(error) => self.seen.lock().unwrap_or_else(PoisonError::into_inner).trouble = Some(error.to_string()),
        }
    }

    /// The interface asked for; none means the best one.
    pub fn interface(&self) -> Option<&str> {
        self.config.interface.as_deref()
    }

    /// Camera and microphone, for whoever is to close them.
    pub fn own_devices(&self) -> Devices {
        self.own.clone()
    }

    /// The devices chosen.
    pub fn devices(&self) -> &DevicesView {
        &self.devices
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        self.own.close();
    }
}

/// One round of questions.
fn look(config: &Config, clock: &Clock, seen: &Mutex<Seen>) {
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let interface = match choose_interface(config) {
        Ok(interface) => interface,
        Err(error) => {
            lock().trouble = Some(error.to_string());
            return;
        }
    };
    lock().interface.clone_from(&interface.name);
    // What answers is listed at once.
    let outcome = control::browse(&interface, clock, (ANSWER, ANSWER), |found| {
        merge(&mut lock().found, found, false);
        false
    });
    let mut seen = lock();
    match outcome {
        Ok(found) => {
            merge(&mut seen.found, &found, true);
            (seen.looked, seen.trouble) = (true, None);
        }
        Err(error) => seen.trouble = Some(error.to_string()),
    }
}

/// Takes in what answered; at the end of a round, what did not for long is dropped.
fn merge(known: &mut Vec<(u32, Found)>, found: &[Found], round_over: bool) {
    let same = |a: &Found, b: &Found| (a.id, a.plan.base, a.plan.port) == (b.id, b.plan.base, b.plan.port);
    if round_over {
        known.iter_mut().for_each(|(missed, _)| *missed += 1);
    }
    for one in found {
        match known.iter_mut().find(|(_, k)| same(k, one)) {
            Some(entry) => *entry = (0, one.clone()),
            None => known.push((0, one.clone())),
        }
    }
    known.retain(|(missed, _)| *missed < ROUNDS_KEPT);
    known.sort_by(|(_, a), (_, b)| (&a.title, a.id.0).cmp(&(&b.title, b.id.0)));
}
