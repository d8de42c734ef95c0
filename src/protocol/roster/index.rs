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

#[cfg(test)]
mod tests {
    use super::super::person::tests::ada;
    use super::*;

    fn host(last: u8) -> IpAddr {
        IpAddr::from([10, 77, 0, last])
    }

    fn holders(index: &Index, slot: u8) -> Vec<u64> {
        index.holders(slot).collect()
    }

    #[test]
    fn sessions_are_counted_by_machine() {
        let mut index = Index::default();
        [1, 1, 2].iter().for_each(|&n| index.came(host(n)));
        assert_eq!([1, 2, 3].map(|n| index.of_source(host(n))), [2, 1, 0]);
        index.moved(host(1), host(3));
        index.moved(host(2), host(2));
        assert_eq!([1, 2, 3].map(|n| index.of_source(host(n))), [1, 1, 1]);
        [1, 2, 3].iter().for_each(|&n| index.went(host(n)));
        assert_eq!(index.of_source(host(1)), 0);
        assert!(index.sources.is_empty(), "machines of which nobody is left take no room");
        index.went(host(9));
        assert_eq!(index.of_source(host(9)), 0, "nobody went");
    }

    #[test]
    fn the_two_families_of_a_machine_are_two_sources() {
        let mut index = Index::default();
        index.came(host(1));
        assert_eq!(index.of_source("::ffff:10.77.0.1".parse().unwrap()), 0);
    }

    #[test]
    fn observers_are_no_participants_and_slots_have_holders() {
        let mut index = Index::default();
        let (a, b) = (Person { sid: 5, ..ada() }, Person { sid: 4, ..ada() });
        let watcher = Person { sid: 6, role: Role::Observer, slot: None, ..ada() };
        [&a, &b, &watcher].iter().for_each(|person| index.present(person));
        assert_eq!(index.participants(), 2);
        assert_eq!(holders(&index, 123), [4, 5], "both, until one gives way");
        assert_eq!((holders(&index, 122), holders(&index, 124)), (vec![], vec![]));
        index.absent(&watcher);
        assert_eq!(index.participants(), 2);
        index.absent(&a);
        assert_eq!((index.participants(), holders(&index, 123)), (1, vec![4]));
        // Somebody moves to the last slot there is a number for.
        let moved = Person { slot: Some(u8::MAX), ..b.clone() };
        index.absent(&b);
        index.present(&moved);
        assert_eq!((index.participants(), holders(&index, 123), holders(&index, u8::MAX)), (1, vec![], vec![4]));
        index.absent(&moved);
        assert_eq!((index.participants(), index.holders.len()), (0, 0));
    }
}
