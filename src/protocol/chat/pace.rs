//! When things happen: due times by key, so many a second, and the random waits of a group that answers as one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::protocol::backoff;
use crate::protocol::keys::Random;
use crate::time::Timestamp;

/// Due times by key; each key has at most one.
#[derive(Debug)]
pub struct Schedule<K> {
    by_time: BTreeSet<(Timestamp, K)>,
    by_key: BTreeMap<K, Timestamp>,
}

impl<K: Ord + Copy> Schedule<K> {
    /// Nothing is due.
    pub fn new() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Makes `key` due at `due`, whatever it was before.
    pub fn set(&mut self, key: K, due: Timestamp) {
        self.cancel(key);
        self.by_key.insert(key, due);
        self.by_time.insert((due, key));
    }

    /// Makes `key` due at `due` unless it is due earlier.
    pub fn set_earlier(&mut self, key: K, due: Timestamp) {
        if self.by_key.get(&key).is_none_or(|&set| due < set) {
            self.set(key, due);
        }
    }

    /// Whether it was due at some time.
    pub fn cancel(&mut self, key: K) -> bool {
        let due = self.by_key.remove(&key);
        due.is_some_and(|due| self.by_time.remove(&(due, key)))
    }

    /// Whether it is due at some time.
    pub fn contains(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|&(due, _)| due)
    }

    /// Takes one that is due.
    pub fn pop(&mut self, now: Timestamp) -> Option<K> {
        let &(due, key) = self.by_time.first()?;
        if due > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }
}

/// So many a second, and so many at once: the generic cell rate algorithm (ITU-T I.371), exact in integers.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// When the bucket will be full again.
    full_at: Timestamp,
    interval_ns: u64,
    burst: u64,
}

impl Bucket {
    /// `per_s` a second in the long run, `burst` at once; both at least 1.
    pub fn new(per_s: u32, burst: u32) -> Self {
        Self { full_at: Timestamp(0), interval_ns: 1_000_000_000 / u64::from(per_s.max(1)), burst: burst.max(1).into() }
    }

    /// When the next `count` may be taken at once: `now` or later. Never, if `count` is more than the burst.
    pub fn next(&self, now: Timestamp, count: u32) -> Timestamp {
        let room = self.burst.saturating_sub(u64::from(count)) * self.interval_ns;
        now.max(self.full_at - Duration::from_nanos(room))
    }

    /// Whether `count` more are allowed now; if so they are counted. The last of them decides.
    pub fn take_many(&mut self, now: Timestamp, count: u32) -> bool {
        let cost = |count: u32| Duration::from_nanos(u64::from(count) * self.interval_ns);
        let start = self.full_at.max(now);
        let before_last = start + cost(count.saturating_sub(1));
        let allowed = before_last.since(now) <= Duration::from_nanos((self.burst - 1) * self.interval_ns);
        if allowed {
            self.full_at = start + cost(count);
        }
        allowed
    }

    /// Whether one more is allowed now; if so it is counted.
    pub fn take(&mut self, now: Timestamp) -> bool {
        self.take_many(now, 1)
    }
}

/// A wait in `0..=max` for one of `group` members that wait for the same reason: NORM's back-off.
/// Only a few go first.
pub fn backoff(random: &mut Random, max: Duration, group: usize) -> Duration {
    backoff::truncated(max, group, random.next_u64() as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn things_come_when_due_in_their_order_and_once() {
        let mut schedule = Schedule::new();
        schedule.set('b', ms(20));
        schedule.set('a', ms(10));
        schedule.set('a', ms(30));
        schedule.set_earlier('b', ms(40));
        schedule.set_earlier('c', ms(40));
        assert_eq!((schedule.next(), schedule.len()), (Some(ms(20)), 3));
        assert_eq!(schedule.pop(ms(20) - Duration::from_nanos(1)), None);
        assert_eq!(schedule.pop(ms(20)), Some('b'));
        assert!(schedule.cancel('c') && !schedule.cancel('c'));
        assert_eq!(schedule.pop(ms(90)), Some('a'));
        assert_eq!((schedule.pop(ms(90)), schedule.next()), (None, None));
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate_to_the_nanosecond() {
        let mut bucket = Bucket::new(20, 3);
        let now = ms(1_000);
        assert!(bucket.take(now) && bucket.take(now) && bucket.take(now));
        assert!(!bucket.take(now));
        assert_eq!((bucket.next(now, 1), bucket.next(now, 2)), (ms(1_050), ms(1_100)));
        assert!(!bucket.take(ms(1_050) - Duration::from_nanos(1)));
        assert!(bucket.take(ms(1_050)));
        assert!(!bucket.take(ms(1_050)));
        assert!(bucket.take_many(ms(2_000), 3), "full again");
        assert!(!bucket.take_many(ms(2_049), 1));
        assert!(!Bucket::new(20, 3).take_many(now, 4));
    }

    #[test]
    fn few_of_a_large_group_go_early_and_none_late() {
        let mut random = Random::new([7; 32]);
        let max = Duration::from_millis(50);
        for group in [1, 2, 50, 1_000] {
            let mut first_ms: Vec<u128> = Vec::new();
            let mut early = 0;
            for _ in 0..50 {
                let mut waits: Vec<_> = (0..group).map(|_| backoff(&mut random, max, group)).collect();
                waits.sort();
                assert!(waits[group - 1] <= max);
                // Those who do not hear the first one in time, 2 ms later.
                early += waits.iter().filter(|&&w| w < waits[0] + Duration::from_millis(2)).count();
                first_ms.push(waits[0].as_millis());
            }
            assert!(early <= 50 * 4, "{early} of {group} went with the first in 50 rounds");
            assert!(first_ms.iter().sum::<u128>() >= 50 * 6, "{group}: the first after {first_ms:?} ms");
        }
    }
}
