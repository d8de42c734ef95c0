//! Files that are given.

use std::time::Duration;

use zeroize::Zeroizing;

use super::super::giving::{self, Giving};
use super::super::prepare::Outcome;
use super::{Event, Known, Mine, Role};
use crate::device::files::Source as FileSource;
use crate::limits::OBJECTS_GIVEN_MAX;
use crate::protocol::transfer::manifest::Manifest;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{self, GROUPS, KEY_BYTES, ObjectId, Packet};

/// So long after somebody was last asked, an offer uses no group any more.
const QUIET: Duration = Duration::from_secs(10);

/// What is said of a file beside what it is.
#[derive(Default)]
pub(super) struct About {
    /// For whom; empty: for everybody.
    pub audience: Vec<ParticipantId>,
    /// It is a voice message.
    pub voice: Option<object::Voice>,
    /// What it shows, small.
    pub thumbnail: Vec<u8>,
    /// Its own key; empty when it is for everybody.
    pub key: Zeroizing<Vec<u8>>,
}

impl Role {
    pub(super) fn begin_giving(&mut self, now: Timestamp, outcome: Outcome) {
        let Outcome { ticket, audience, voice, prepared } = outcome;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return self.tell(Event::Unsent { ticket, why }),
        };
        if !self.make_room_to_give() {
            return self.tell(Event::Unsent { ticket, why: "too many files are being sent".into() });
        }
        let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES));
        if !audience.is_empty() {
            (0..4).for_each(|_| key.extend(self.random.next_u64().to_be_bytes()));
        }
        let (name, size, kind) =
            (prepared.manifest.name.clone(), prepared.manifest.size, prepared.manifest.kind.clone());
        let about = About { audience: audience.clone(), voice: voice.clone(), thumbnail: prepared.thumbnail, key };
        let object = self.give(now, prepared.source, prepared.manifest, about, false);
        self.tell(Event::Offering { ticket, object, name, size, kind, voice, audience });
    }

    pub(super) fn give(
        &mut self,
        now: Timestamp,
        source: FileSource,
        manifest: Manifest,
        about: About,
        inherited: bool,
    ) -> ObjectId {
        let About { audience, voice, thumbnail, key } = about;
        let members = self.people.keys().filter(|id| audience.is_empty() || audience.contains(id)).copied().collect();
        let (group, limit_mbit) = (self.free_group(now), self.config.limit_mbit);
        let setup =
            giving::Setup { source, manifest, members, audience, voice, thumbnail, group, key, limit_mbit, inherited };
        let mut giving = Giving::new(now, setup, &self.config.keys, &mut self.random);
        giving.out.set_media(self.media);
        let object = giving.object;
        let served = giving.served();
        self.served.lock().unwrap_or_else(|e| e.into_inner()).insert(object, served);
        self.giving.insert(object, giving);
        object
    }

    /// Makes room for one more: the oldest that everybody has, or does not want, is given no longer. False when there is none.
    pub(super) fn make_room_to_give(&mut self) -> bool {
        if self.giving.len() < OBJECTS_GIVEN_MAX {
            return true;
        }
        let settled = self.giving.iter().filter(|(_, giving)| giving.settled);
        let oldest = settled.min_by_key(|(_, giving)| giving.since).map(|(object, _)| *object);
        if let Some(object) = &oldest {
            self.giving.remove(object);
            self.served.lock().unwrap_or_else(|e| e.into_inner()).remove(object);
        }
        oldest.is_some()
    }

    /// The lowest file group that fewest use: those that are not settled, and others' that somebody waited for lately.
    pub(super) fn free_group(&self, now: Timestamp) -> u8 {
        let given =
            self.giving.values().filter(|giving| !giving.out.is_settled()).map(|giving| u32::from(giving.group));
        let here = |known: &&Known| self.people.contains_key(&known.from);
        let busy = |known: &&Known| matches!(known.mine, Mine::Taking(_)) || now.since(known.asked) < QUIET;
        let taken = self.known.values().filter(here).filter(busy).map(|known| known.offer.group);
        let used: Vec<u32> = given.chain(taken).collect();
        (0..GROUPS).min_by_key(|group| used.iter().filter(|n| *n == group).count()).unwrap_or(0) as u8
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
