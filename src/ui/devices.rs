//! The devices of this machine to choose from, listed on a thread of their own: asking a sound server may take its time.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use crate::device::{camera, net, sound};
use crate::pipeline::slot::Waker;

/// One to choose: as settings name it, and as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As settings name it.
    pub value: String,
    /// As people know it.
    pub label: String,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Cameras.
    pub cameras: Vec<Choice>,
    /// Microphones.
    pub microphones: Vec<Choice>,
    /// Speakers.
    pub speakers: Vec<Choice>,
    /// Network interfaces.
    pub interfaces: Vec<Choice>,
}

impl Devices {
    /// As the system has them now. May take long.
    fn list() -> Self {
        let choice = |value: String, label: String| Choice { value, label };
        let cameras = camera::list().unwrap_or_default();
        let (microphones, speakers): (Vec<_>, Vec<_>) = sound::list().into_iter().partition(|d| d.microphone);
        let mut found = Self::default();
        found.cameras.extend(cameras.into_iter().map(|c| choice(c.index.to_string(), c.name)));
        for (from, to) in [(microphones, &mut found.microphones), (speakers, &mut found.speakers)] {
            // The same device through two hosts is one to people.
            for device in from {
                if !to.iter().any(|known: &Choice| known.value == device.name) {
                    to.push(choice(device.name.clone(), device.name));
                }
            }
        }
        for interface in net::interfaces().unwrap_or_default() {
            let label = format!("{} ({})", interface.name, interface.addr);
            if !found.interfaces.iter().any(|known| known.value == interface.name) {
                found.interfaces.push(choice(interface.name, label));
            }
        }
        found
    }
}

/// The lists, as far as they are known.
#[derive(Default)]
pub struct Lists {
    waker: Option<Arc<Waker>>,
    known: Option<Devices>,
    coming: Option<Receiver<Devices>>,
    version: u64,
}

impl Lists {
    /// Lists of this machine; `waker` is roused when they are there.
    pub fn of_system(waker: Arc<Waker>) -> Self {
        Self { waker: Some(waker), ..Self::default() }
    }

    /// These and no others.
    pub fn fixed(known: Devices) -> Self {
        Self { known: Some(known), ..Self::default() }
    }

    /// Asks the system anew.
    pub fn refresh(&mut self) {
        let Some(waker) = self.waker.clone().filter(|_| self.coming.is_none()) else { return };
        let (tell, coming) = bounded(1);
        let list = move || {
            let _ = tell.send(Devices::list());
            waker.wake();
        };
        if std::thread::Builder::new().name("devices".into()).spawn(list).is_ok() {
            self.coming = Some(coming);
        }
    }

    /// Takes over what came since.
    pub fn take(&mut self) {
        let Some(coming) = &self.coming else { return };
        match coming.try_recv() {
            Ok(found) => {
                self.version += u64::from(self.known.as_ref() != Some(&found));
                (self.known, self.coming) = (Some(found), None);
            }
            Err(crossbeam_channel::TryRecvError::Empty) => {}
            Err(crossbeam_channel::TryRecvError::Disconnected) => self.coming = None,
        }
    }

    /// What is known; nothing before the first list came.
    pub fn known(&self) -> Option<&Devices> {
        self.known.as_ref()
    }

    /// Another number when something else is known.
    pub fn version(&self) -> u64 {
        self.version
    }
}
