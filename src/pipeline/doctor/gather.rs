//! Facts that need no packets: interfaces, firewall, devices, and why somebody is silent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::Task;
use crate::device::camera::{self, CameraSpec};
use crate::device::net::{Interface, system};
use crate::device::sound::{self, MicrophoneSpec, SoundDevice, SpeakerSpec};
use crate::device::{firewall, net};
use crate::protocol::doctor::{Device, Drop, Facts, Host, Link};
use crate::wire::address::DISCOVERY_PORT;

/// How long the system may take to say what it has, beyond the probing.
const PATIENCE: Duration = Duration::from_secs(4);

/// Something a thread of its own finds out, since the system may take its time or never answer.
pub(super) struct Later<T>(Receiver<T>);

impl<T: Default + Send + 'static> Later<T> {
    fn new(name: &str, find: impl FnOnce() -> T + Send + 'static) -> Self {
        let (telling, told) = bounded(1);
        // Without a thread nothing is found out.
        let _ = std::thread::Builder::new().name(name.into()).spawn(move || {
            let _ = telling.send(find());
        });
        Self(told)
    }

    /// What was found out, or nothing when it takes too long.
    pub(super) fn take(self) -> T {
        self.0.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

/// Camera, microphone and speaker.
pub(super) fn devices(task: &Task) -> Later<(Device, Device, Device)> {
    let (camera, microphone, speaker) = (task.camera.clone(), task.microphone.clone(), task.speaker.clone());
    Later::new("devices", move || {
        let listed = matches!(microphone, MicrophoneSpec::Auto | MicrophoneSpec::Name(_))
            || matches!(speaker, SpeakerSpec::Auto | SpeakerSpec::Name(_));
        let sounds = if listed { sound::list() } else { Vec::new() };
        let (microphones, speakers): (Vec<_>, Vec<_>) = sounds.into_iter().partition(|d| d.microphone);
        let microphone = match microphone {
            MicrophoneSpec::Auto => any(&microphones),
            MicrophoneSpec::Name(name) => of_name(&name, &microphones),
            MicrophoneSpec::File(path) if !path.exists() => Device::Missing(path.display().to_string(), Vec::new()),
            MicrophoneSpec::File(_) | MicrophoneSpec::None | MicrophoneSpec::Test => Device::Unasked,
        };
        let speaker = match speaker {
            SpeakerSpec::Auto => any(&speakers),
            SpeakerSpec::Name(name) => of_name(&name, &speakers),
            SpeakerSpec::File(_) | SpeakerSpec::None => Device::Unasked,
        };
        (camera_of(&camera), microphone, speaker)
    })
}

fn camera_of(spec: &CameraSpec) -> Device {
    let names = |list: &[camera::CameraInfo]| list.iter().map(|c| format!("{} ({})", c.index, c.name)).collect();
    match spec {
        CameraSpec::None | CameraSpec::Test => Device::Unasked,
        CameraSpec::File(path) if path.exists() => Device::Unasked,
        CameraSpec::File(path) => Device::Missing(path.display().to_string(), Vec::new()),
        CameraSpec::Auto => {
            let list = camera::list().unwrap_or_default();
            list.first().map_or(Device::None, |c| Device::Found(c.name.clone()))
        }
        CameraSpec::Index(index) => {
            let list = camera::list().unwrap_or_default();
            match list.iter().find(|c| c.index == *index) {
                Some(found) => Device::Found(found.name.clone()),
                None => Device::Missing(index.to_string(), names(&list)),
            }
        }
    }
}

fn any(list: &[SoundDevice]) -> Device {
    let first = list.iter().find(|d| d.default).or(list.first());
    first.map_or(Device::None, |d| Device::Found(d.name.clone()))
}

fn of_name(name: &str, list: &[SoundDevice]) -> Device {
    match list.iter().find(|d| d.name == name || d.id == name) {
        Some(found) => Device::Found(found.name.clone()),
        None => Device::Missing(name.to_owned(), list.iter().map(|d| d.name.clone()).collect()),
    }
}

/// What the firewall drops.
pub(super) fn firewall() -> Later<Option<Vec<Drop>>> {
    let told = |d: firewall::Dropping| Drop {
        inwards: d.inwards,
        udp: d.udp,
        igmp: d.igmp,
        multicast_only: d.multicast_only,
        policy: d.policy,
        text: d.text,
        mend: d.mend,
    };
    Later::new("firewall", move || firewall::read().map(|all| all.into_iter().map(told).collect()))
}

/// All interfaces but the loopback.
pub(super) fn links() -> Vec<Link> {
    let told = |l: system::Link| Link {
        name: l.name,
        up: l.up,
        carrier: l.carrier,
        addresses: l.addresses,
        wireless: l.wireless,
        software: l.software,
        mtu: l.mtu,
    };
    system::links().into_iter().map(told).collect()
}

/// The loopback as an interface like others, for who asks for it.
pub(super) fn loopback(interface: &net::Interface) -> Link {
    let Interface { name, addr, mtu, .. } = interface.clone();
    Link { name, up: true, carrier: true, addresses: vec![addr], mtu, ..Link::default() }
}

/// Finds out why those who were named do not answer.
pub(super) fn hosts(facts: &mut Facts, stop: &AtomicBool) {
    for peer in facts.peers.iter_mut().filter(|p| p.silent) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let port = if peer.address.port() == 0 { DISCOVERY_PORT } else { peer.address.port() };
        peer.host = Host::from(system::knock(SocketAddr::new(peer.address.ip(), port)));
    }
}
