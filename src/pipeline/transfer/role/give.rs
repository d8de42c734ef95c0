//! Files that are given.

use super::super::giving::{self, Giving};
use super::super::prepare::Outcome;
use super::{Event, Role};
use crate::device::files::Source as FileSource;
use crate::protocol::transfer::manifest::Manifest;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{self, GROUPS, ObjectId, Packet};

impl Role {
    pub(super) fn begin_giving(&mut self, now: Timestamp, outcome: Outcome) {
        let Outcome { ticket, audience, voice, prepared } = outcome;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return self.tell(Event::Unsent { ticket, why }),
        };
        let mut key = Vec::new();
        if !audience.is_empty() {
            (0..4).for_each(|_| key.extend(self.random.next_u64().to_be_bytes()));
        }
        let (name, size, kind) =
            (prepared.manifest.name.clone(), prepared.manifest.size, prepared.manifest.kind.clone());
        let object = self.give(now, prepared.source, prepared.manifest, audience, voice.clone(), key, false);
        self.tell(Event::Offering { ticket, object, name, size, kind, voice });
    }

    #[expect(clippy::too_many_arguments, reason = "each is another fact about one file")]
    pub(super) fn give(
        &mut self,
        now: Timestamp,
        source: FileSource,
        manifest: Manifest,
        audience: Vec<ParticipantId>,
        voice: Option<object::Voice>,
        key: Vec<u8>,
        inherited: bool,
    ) -> ObjectId {
        let members = self.people.keys().filter(|id| audience.is_empty() || audience.contains(id)).copied().collect();
        let (group, limit_mbit) = (self.free_group(), self.config.limit_mbit);
        let setup = giving::Setup { source, manifest, members, audience, voice, group, key, limit_mbit, inherited };
        let mut giving = Giving::new(now, setup, &self.config.keys, &mut self.random);
        giving.out.set_media(self.media);
        let object = giving.object;
        let served = giving.served();
        self.served.lock().unwrap_or_else(|e| e.into_inner()).insert(object, served);
        self.giving.insert(object, giving);
        object
    }

    /// The lowest file group nobody is heard to use.
    pub(super) fn free_group(&self) -> u8 {
        let used = |group: u32| {
            self.giving.values().any(|giving| u32::from(giving.group) == group && giving.out.is_active())
                || self.known.values().any(|known| known.offer.group == group && self.people.contains_key(&known.from))
        };
        (0..GROUPS).find(|group| !used(*group)).unwrap_or(0) as u8
    }

    pub(super) fn cancel(&mut self, object: &ObjectId, why: &str) {
        let Some(giving) = self.giving.remove(object) else {
            return;
        };
        self.served.lock().unwrap_or_else(|e| e.into_inner()).remove(object);
        let port = self.port();
        for _ in 0..2 {
            self.say(Packet::Offer(giving.offer(Vec::new(), port, true)), giving.audience.clone());
        }
        self.tell(Event::Failed { object: *object, why: why.to_owned(), resumes: false });
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.as_ref().and_then(|l| l.local_addr().ok()).map_or(0, |address| address.port())
    }
}
