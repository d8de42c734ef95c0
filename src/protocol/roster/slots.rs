//! Slots: which of the 124 places in the addressing plan a publisher sends from.
//!
//! A random one nobody's beacon holds. Two who took the same: the lower SHA-256(slot || sid) keeps it, the other moves
//! at once. A freed slot rests, because receivers of other programs keep listening to its ports.

use std::time::Duration;

use crate::limits::SLOTS_MAX;
use crate::protocol::keys::{Random, order_hash};
use crate::time::Timestamp;

/// How long a freed slot is left alone, as long as there is another one.
pub const REST: Duration = Duration::from_secs(60);

/// Whether session `mine` keeps `slot` against session `other`.
pub fn keeps(slot: u8, mine: u64, other: u64) -> bool {
    let place = |sid: u64| order_hash(&[&[slot], &sid.to_be_bytes()]);
    (place(mine), mine) < (place(other), other)
}

/// When each slot was freed last.
pub struct Rests([Option<Timestamp>; SLOTS_MAX]);

impl Default for Rests {
    fn default() -> Self {
        Self([None; SLOTS_MAX])
    }
}

impl Rests {
    /// `slot` has been given up.
    pub fn freed(&mut self, now: Timestamp, slot: u8) {
        if let Some(at) = self.0.get_mut(usize::from(slot)) {
            *at = Some(now);
        }
    }

    /// A random slot that is not `taken` and has rested; if there is none, the one that rested longest; if all are
    /// taken, none.
    pub fn pick(&self, now: Timestamp, taken: &[bool; SLOTS_MAX], random: &mut Random) -> Option<u8> {
        let rested = |slot: usize| self.0[slot].is_none_or(|at| now.since(at) >= REST);
        let free = || (0..SLOTS_MAX).filter(|&slot| !taken[slot]);
        let count = free().filter(|&slot| rested(slot)).count() as u64;
        let chosen = match count {
            0 => free().min_by_key(|&slot| self.0[slot]),
            _ => free().filter(|&slot| rested(slot)).nth(random.below(count) as usize),
        };
        chosen.map(|slot| slot as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_of_two_keeps_a_slot() {
        let mut kept = 0;
        for sid in 0..200 {
            assert_ne!(keeps(7, sid, 1_000), keeps(7, 1_000, sid));
            kept += u32::from(keeps(7, sid, 1_000));
        }
        assert!((1..200).contains(&kept), "neither side always wins");
    }

    #[test]
    fn a_freed_slot_rests_sixty_seconds() {
        let mut taken = [true; SLOTS_MAX];
        (taken[5], taken[9]) = (false, false);
        let mut rests = Rests::default();
        let start = Timestamp::from_millis(1);
        rests.freed(start, 5);
        rests.freed(start, 200);
        let mut random = Random::new([1; 32]);
        let mut picks =
            |rests: &Rests, at| (0..50).map(|_| rests.pick(at, &taken, &mut random).unwrap()).collect::<Vec<_>>();
        assert!(picks(&rests, start + REST - Duration::from_nanos(1)).iter().all(|&slot| slot == 9));
        assert!(picks(&rests, start + REST).contains(&5));
        rests.freed(start + Duration::from_secs(1), 9);
        assert!(
            picks(&rests, start + Duration::from_secs(2)).iter().all(|&slot| slot == 5),
            "none rested: the longest"
        );
    }

    #[test]
    fn no_slot_is_picked_when_all_124_are_taken() {
        let mut taken = [true; SLOTS_MAX];
        let mut random = Random::new([1; 32]);
        assert_eq!(Rests::default().pick(Timestamp(0), &taken, &mut random), None);
        taken[123] = false;
        assert_eq!(Rests::default().pick(Timestamp(0), &taken, &mut random), Some(123));
    }

    #[test]
    fn picks_spread_over_all_slots() {
        let mut random = Random::new([2; 32]);
        let mut seen = [false; SLOTS_MAX];
        for _ in 0..2_000 {
            let slot = Rests::default().pick(Timestamp(0), &[false; SLOTS_MAX], &mut random).unwrap();
            seen[usize::from(slot)] = true;
        }
        assert!(seen.iter().all(|&s| s));
    }
}
