//! Which device is meant: by name, by default, or for one that is not there.
//!
//! ```text
//! named > the one of this id or name > one whose name it is part of > (instead) the default, until it is there
//!         once it was found by its whole id or name, nothing else is the one that was named
//! auto  > the environment's > the sound server's default > that of the layer below, where there is no server
//! ```
//! Must never take a speaker's monitor for a microphone unless it was named.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, DeviceId, Host};

use super::SoundDevice;
use super::keeper::NotOpened;
use crate::device::clock::Clock;
use crate::time::Timestamp;

const PULSE: &str = "PulseAudio";
pub(super) const ALSA: &str = "ALSA";

/// A sound server that answered so lately is being started again, and waited for: what it plays on is not taken from it.
const SERVER_BACK: Duration = Duration::from_secs(10);
/// One that has come back finds its devices one by one, the one that was named among them.
const SERVER_SETTLES: Duration = Duration::from_secs(2);

/// Devices named when the one wanted is not there.
const NAMES_SHOWN: usize = 4;

/// Hosts in the order in which they are tried.
fn hosts() -> impl Iterator<Item = Host> {
    let mut ids = cpal::available_hosts();
    ids.sort_by_key(|id| id.name() != PULSE);
    ids.into_iter().filter_map(|id| cpal::host_from_id(id).ok())
}

/// Those below the sound server, where there is one.
fn layers() -> impl Iterator<Item = Host> {
    let ids = cpal::available_hosts().into_iter().filter(|id| id.name() != PULSE);
    ids.filter_map(|id| cpal::host_from_id(id).ok())
}

fn is_server(host: &Host) -> bool {
    host.id().name() == PULSE
}

fn device_id(device: &Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}

pub(super) fn device_name(device: &Device) -> String {
    device.description().map(|d| d.name().to_owned()).unwrap_or_else(|_| device_id(device))
}

/// PulseAudio offers what its speakers play as a microphone too. Taken by default it would send everybody back to
/// themselves, so it is used only when named.
fn is_monitor(id: &str) -> bool {
    id.ends_with(".monitor")
}

/// The device `auto` means: the one the environment names to PulseAudio's clients, else the host's default.
fn default_device(host: &Host, microphone: bool) -> Option<Device> {
    if is_server(host) {
        let variable = if microphone { "PULSE_SOURCE" } else { "PULSE_SINK" };
        if let Ok(wanted) = std::env::var(variable)
            && let Some(device) = devices(host, microphone).into_iter().find(|d| device_id(d) == wanted)
        {
            return Some(device);
        }
    }
    match microphone {
        true => host.default_input_device().filter(|d| !is_monitor(&device_id(d))),
        false => host.default_output_device(),
    }
}

fn devices(host: &Host, microphone: bool) -> Vec<Device> {
    let Ok(devices) = host.devices() else { return Vec::new() };
    devices.filter(|d| if microphone { d.supports_input() } else { d.supports_output() }).collect()
}

/// A device to be opened.
pub(super) struct Found {
    pub(super) device: Device,
    /// The name of the one that is not there, for which this is taken.
    pub(super) instead_of: Option<String>,
}

/// Which device is wanted: one that was named, or whatever the system means.
#[derive(Clone)]
pub(super) struct Wanted {
    name: Option<String>,
    /// It was found by its whole id or name. Another whose name has it as a part, of a second headset of the same make for
    /// instance, is not taken for it when it goes.
    exactly: bool,
    /// When the sound server was not there last.
    away: Option<Timestamp>,
}

impl Wanted {
    pub(super) fn new(name: Option<String>) -> Self {
        Self { name, exactly: false, away: None }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The one of that name; the default while it is not there.
    pub(super) fn find(&mut self, microphone: bool) -> Result<Found, NotOpened> {
        let Some(wanted) = self.name.clone() else {
            let device = default_of(hosts(), microphone)?.ok_or(NotOpened::Absent)?;
            return Ok(Found { device, instead_of: None });
        };
        let (mut heard_of, mut answers) = (Vec::new(), false);
        for host in hosts() {
            let (served, now) = (is_server(&host), CLOCK.now());
            if !served && !answers && SERVER.is_awaited(now) {
                self.away = Some(now);
                return Err(unanswered());
            }
            let devices = devices(&host, microphone);
            if served && !devices.is_empty() {
                SERVER.answered(now);
                answers = true;
            }
            if let Some(device) = self.take(&devices, names, microphone) {
                return Ok(Found { device: device.clone(), instead_of: None });
            }
            heard_of.extend(devices.iter().map(device_name));
        }
        let settles = self.away.is_some_and(|at| CLOCK.now().since(at) < SERVER_SETTLES);
        let instead = if settles { None } else { instead(microphone)? };
        match instead {
            Some(device) => Ok(Found { device, instead_of: Some(wanted) }),
            None => Err(NotOpened::Failed(format!("there is no {wanted}; there {}", enumerated(&heard_of)))),
        }
    }

    /// The one among those listed that was named, from now on as it was found. `names` tells of each its id and its name.
    fn take<'a, D>(&mut self, all: &'a [D], names: impl Fn(&D) -> [String; 2], microphone: bool) -> Option<&'a D> {
        let found = self.among(all, &names, microphone)?;
        self.exactly |= self.is_exactly(&names(found));
        Some(found)
    }

    /// The device of this id or name, or else one whose name it is part of.
    fn among<'a, D>(&self, all: &'a [D], names: impl Fn(&D) -> [String; 2], microphone: bool) -> Option<&'a D> {
        let lower = self.name.as_ref()?.to_lowercase();
        // A microphone's name is often part of that of its headset's monitor.
        let meant = |id: &str| !microphone || !is_monitor(id) || lower.contains("monitor");
        let part = |names: &[String; 2]| names.iter().any(|n| n.to_lowercase().contains(&lower)) && meant(&names[0]);
        let whole = all.iter().find(|d| self.is_exactly(&names(d)));
        whole.or_else(|| all.iter().find(|d| !self.exactly && part(&names(d))))
    }

    fn is_exactly(&self, names: &[String; 2]) -> bool {
        names.iter().any(|name| Some(name) == self.name.as_ref())
    }

    /// Whether one is listed that is better than another which was taken by a part of its name.
    fn is_bettered<D>(&self, all: &[D], names: impl Fn(&D) -> [String; 2]) -> bool {
        !self.exactly && all.iter().any(|d| self.is_exactly(&names(d)))
    }
}

/// The id and the name.
fn names(device: &Device) -> [String; 2] {
    [device_id(device), device_name(device)]
}

/// What is taken while the device that was named is not there.
fn instead(microphone: bool) -> Result<Option<Device>, NotOpened> {
    Ok(default_of(hosts(), microphone)?.filter(|d| may_stand_in(d, microphone)))
}

/// A speaker's monitor is nobody's microphone.
fn may_stand_in(device: &Device, microphone: bool) -> bool {
    !microphone || !is_monitor(&device_id(device))
}

fn unanswered() -> NotOpened {
    NotOpened::Failed("the sound server does not answer".into())
}

/// The device `auto` means in the first host that has any. Not in those behind it: they are the layers below it, where
/// its monitors look like microphones.
fn default_of(hosts: impl Iterator<Item = Host>, microphone: bool) -> Result<Option<Device>, NotOpened> {
    for host in hosts {
        let served = is_server(&host);
        if !served && SERVER.is_awaited(CLOCK.now()) {
            return Err(unanswered());
        }
        let device = default_device(&host, microphone);
        if device.is_some() || host.devices().is_ok_and(|mut all| all.next().is_some()) {
            if served {
                SERVER.answered(CLOCK.now());
            }
            return Ok(device);
        }
    }
    Ok(None)
}

/// When the sound server answered last.
struct Server(Mutex<Option<Timestamp>>);

static SERVER: Server = Server(Mutex::new(None));
static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);

impl Server {
    fn answered(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether it is worth waiting for.
    fn is_awaited(&self, now: Timestamp) -> bool {
        let answered = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|at| now.since(at) < SERVER_BACK)
    }
}

/// Asks whether a device that was opened is still the one that is meant: one that was named as long as it is listed, and no
/// other has more than a part of that name; one that was taken for another until that is back, or something else is the
/// default. While there is none at all, or none can be told, nothing changes.
pub(super) fn stays(
    wanted: &Wanted,
    is_instead: bool,
    device: &Device,
    microphone: bool,
) -> Box<dyn FnMut() -> bool + Send> {
    let (wanted, opened) = (wanted.clone(), device.id().ok());
    // Asked each second: by a connection of its own, which stays open.
    let mut served: Option<Host> = None;
    Box::new(move || match &wanted.name {
        Some(_) if !is_instead => is_listed(&mut served, opened.as_ref(), &wanted, microphone),
        Some(_) if is_back(&mut served, &wanted, microphone) => false,
        _ => is_default(&mut served, opened.as_ref(), microphone, is_instead),
    })
}

/// Whether a device is still there, and the best of those wanted: sound servers play on elsewhere when it is not. The layers
/// below them tell by themselves that it has gone, and are not asked for better ones: that opens every device.
fn is_listed(served: &mut Option<Host>, opened: Option<&DeviceId>, wanted: &Wanted, microphone: bool) -> bool {
    let Some(opened) = opened.filter(|id| id.host().name() == PULSE) else { return true };
    let Some(host) = served.take().or_else(sound_server) else { return true };
    let all = devices(&host, microphone);
    if all.is_empty() {
        return true;
    }
    SERVER.answered(CLOCK.now());
    *served = Some(host);
    all.iter().any(|d| d.id().ok().is_none_or(|id| id == *opened)) && !wanted.is_bettered(&all, names)
}

/// Whether the device that was named is there again, in any host.
fn is_back(served: &mut Option<Host>, wanted: &Wanted, microphone: bool) -> bool {
    if served.is_none() {
        *served = sound_server();
    }
    let there = |host: &Host| wanted.among(&devices(host, microphone), names, microphone).is_some();
    served.as_ref().is_some_and(there) || layers().any(|host| there(&host))
}

/// Whether a device is the default, or nothing better is.
fn is_default(served: &mut Option<Host>, opened: Option<&DeviceId>, microphone: bool, is_instead: bool) -> bool {
    let asked = served.take().map(|host| (default_device(&host, microphone), host));
    let meant = match asked {
        Some((meant, host)) if meant.is_some() || host.devices().is_ok() => {
            SERVER.answered(CLOCK.now());
            *served = Some(host);
            meant
        }
        _ => {
            *served = sound_server();
            default_of(hosts(), microphone).ok().flatten()
        }
    };
    let meant = meant.filter(|d| !is_instead || may_stand_in(d, microphone));
    meant.is_none_or(|meant| meant.id().ok().is_none_or(|id| Some(&id) == opened))
}

fn sound_server() -> Option<Host> {
    hosts().next().filter(is_server)
}

/// Whether somebody may want to choose the device of this id. ALSA lists a card's every input and output a dozen times,
/// and its converters and bridges whether or not they lead anywhere; the one kind shown takes any format.
fn is_worth_naming(host: &str, id: &str) -> bool {
    let Some(card) = id.strip_prefix("plughw:CARD=") else { return host != ALSA || id == "default" };
    // By the number of the card it is listed once more.
    !card.starts_with(|c: char| c.is_ascii_digit())
}

/// The first few names, as the end of a sentence: sound systems list dozens of plug-ins.
fn enumerated(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "is no other".into(),
        1..=NAMES_SHOWN => format!("is {shown}"),
        all => format!("is {shown} and {} more", all - NAMES_SHOWN),
    }
}

/// See [`super::list`].
pub(super) fn list() -> Vec<SoundDevice> {
    let mut all = Vec::new();
    for host in hosts() {
        for microphone in [true, false] {
            let default = default_device(&host, microphone).map(|d| device_id(&d));
            let host_name = host.id().name();
            let devices = devices(&host, microphone);
            all.extend(devices.iter().map(|d| (d, device_id(d))).filter(|(_, id)| is_worth_naming(host_name, id)).map(
                |(d, id)| {
                    let default = default.as_ref() == Some(&id);
                    SoundDevice { name: device_name(d), id, microphone, default, host: host_name }
                },
            ));
        }
        // A sound server's devices are those of the layer below it.
        if !all.is_empty() {
            break;
        }
    }
    name_apart(&mut all);
    all
}

/// Names that several microphones or several speakers have are replaced by what tells them apart.
fn name_apart(all: &mut [SoundDevice]) {
    let names: Vec<_> = all.iter().map(|d| (d.microphone, d.name.clone())).collect();
    for device in all {
        if names.iter().filter(|(m, n)| (*m, n) == (device.microphone, &device.name)).count() > 1 {
            device.name.clone_from(&device.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_server_that_answered_lately_is_waited_for() {
        let (server, start) = (Server(Mutex::new(None)), Timestamp::from_millis(5_000));
        assert!(!server.is_awaited(start), "there may be none");
        server.answered(start);
        let after = |s| server.is_awaited(start + Duration::from_secs(s));
        assert_eq!([after(0), after(9), after(10)], [true, true, false]);
    }

    /// What is taken of devices of these ids.
    fn taken<'a>(wanted: &mut Wanted, ids: &[&'a str]) -> Option<&'a str> {
        wanted.take(ids, |id| [(*id).to_owned(), format!("name of {id}")], true).copied()
    }

    #[test]
    fn a_device_that_was_there_is_not_taken_for_another_whose_name_has_its_own_as_a_part() {
        let mut wanted = Wanted::new(Some("x".into()));
        assert_eq!(taken(&mut wanted, &["x.2", "x"]), Some("x"));
        assert_eq!(taken(&mut wanted, &["x.2"]), None, "something is used instead, and told");
        assert_eq!(taken(&mut wanted, &["x.2", "x"]), Some("x"), "it is back");
        let mut called = Wanted::new(Some("name of x".into()));
        assert_eq!([taken(&mut called, &["x"]), taken(&mut called, &["x.2"])], [Some("x"), None]);
        assert_eq!(taken(&mut Wanted::new(None), &["x"]), None);
    }

    #[test]
    fn a_part_of_a_name_is_enough_until_one_is_called_just_so() {
        let names = |id: &&str| [(*id).to_owned(), String::new()];
        let mut wanted = Wanted::new(Some("x".into()));
        assert_eq!(taken(&mut wanted, &["y", "X.monitor", "X.2"]), Some("X.2"), "no monitor");
        assert_eq!(taken(&mut wanted, &["x.3"]), Some("x.3"));
        assert_eq!([&["x.3"][..], &["x.3", "x"][..]].map(|ids| wanted.is_bettered(ids, names)), [false, true]);
        assert_eq!(taken(&mut wanted, &["x.3", "x"]), Some("x"));
        assert!(!wanted.is_bettered(&["x.3", "x"], names));
    }

    #[test]
    fn of_alsas_many_names_one_for_each_input_and_output_is_listed() {
        for (id, listed) in [
            ("default", true),
            ("plughw:CARD=PCH,DEV=0", true),
            ("plughw:CARD=1,DEV=0", false),
            ("hw:CARD=PCH,DEV=0", false),
            ("sysdefault:CARD=PCH", false),
            ("lavrate", false),
            ("null", false),
        ] {
            assert_eq!(is_worth_naming(ALSA, id), listed, "{id}");
        }
        assert!(is_worth_naming(PULSE, "null"));
    }

    #[test]
    fn devices_of_equal_names_are_told_apart() {
        let device = |name: &str, id: &str, microphone| SoundDevice {
            name: name.into(),
            id: id.into(),
            microphone,
            default: false,
            host: ALSA,
        };
        let mut all = [device("USB", "a", true), device("USB", "b", true), device("USB", "c", false)];
        name_apart(&mut all);
        assert_eq!(all.map(|d| d.name), ["a", "b", "USB"]);
    }

    #[test]
    fn few_names_are_enumerated() {
        let names = |n: usize| (0..n).map(|i| format!("d{i}")).collect::<Vec<_>>();
        for (count, expected) in
            [(0, "is no other"), (1, "is d0"), (4, "is d0, d1, d2, d3"), (6, "is d0, d1, d2, d3 and 2 more")]
        {
            assert_eq!(enumerated(&names(count)), expected);
        }
    }
}
