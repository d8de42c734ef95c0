//! What is asked of the roster for every packet, counted as people come, change and go: a packet must not cost as much
//! as there are people.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Person, Role};

/// Sessions by machine, and participants and slots of those present.
#[derive(Default)]
pub struct Index {
    sources: BTreeMap<IpAddr, usize>,
    participants: usize,
    holders: BTreeSet<(u8, u64)>,
}

impl Index {
    /// A session of a machine is known.
    pub fn came(&mut self, source: IpAddr) {
        *self.sources.entry(source).or_default() += 1;
    }

    /// It is known no more.
    pub fn went(&mut self, source: IpAddr) {
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// It is on another machine.
    pub fn moved(&mut self, from: IpAddr, to: IpAddr) {
        if from != to {
            self.went(from);
            self.came(to);
        }
    }

    /// Somebody is here, as described.
    pub fn present(&mut self, person: &Person) {
        self.participants += usize::from(person.role == Role::Participant);
        self.holders.extend(person.slot.map(|slot| (slot, person.sid)));
    }

    /// Somebody is here no more, or no more as described.
    pub fn absent(&mut self, person: &Person) {
        self.participants -= usize::from(person.role == Role::Participant);
        person.slot.into_iter().for_each(|slot| {
            self.holders.remove(&(slot, person.sid));
        });
    }

    /// Sessions known of a machine.
    pub fn of_source(&self, source: IpAddr) -> usize {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// Participants who are here.
    pub fn participants(&self) -> usize {
        self.participants
    }

    /// Sessions of those here who hold `slot`.
    pub fn holders(&self, slot: u8) -> impl Iterator<Item = u64> {
        self.holders.range((slot, 0)..=(slot, u64::MAX)).map(|&(_, sid)| sid)
    }
}
