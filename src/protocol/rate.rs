//! A limit of so many a second, for work that strangers can cause.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::time::Timestamp;

/// Counts within whole seconds of the clock: at most twice the limit in any one second, never more on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    second: u64,
    count: u32,
}

impl Rate {
    /// Whether one more is allowed this second; if so it is counted.
    pub fn take(&mut self, now: Timestamp, per_s_max: u32) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        let allowed = self.count < per_s_max;
        self.count += u32::from(allowed);
        allowed
    }
}

/// A limit for each source, and one for all together: one source alone cannot use up what the others may.
#[derive(Clone, Debug, Default)]
pub struct SourceRate {
    second: u64,
    total: u32,
    by_source: BTreeMap<IpAddr, u32>,
}

impl SourceRate {
    /// Whether `source` has used up its share of this second, or all together theirs.
    pub fn is_used_up(&mut self, now: Timestamp, source: IpAddr, per_source: u32, total: u32) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            *self = Self { second, ..Self::default() };
        }
        self.total >= total || self.by_source.get(&source).copied().unwrap_or(0) >= per_source
    }

    /// Whether one more is allowed this second; if so it is counted.
    pub fn take(&mut self, now: Timestamp, source: IpAddr, per_source: u32, total: u32) -> bool {
        let allowed = !self.is_used_up(now, source, per_source, total);
        if allowed {
            self.total += 1;
            *self.by_source.entry(source).or_insert(0) += 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_allowed_until_the_next_second() {
        let mut rate = Rate::default();
        let take = |r: &mut Rate, ms| r.take(Timestamp::from_millis(ms), 2);
        assert!(take(&mut rate, 500) && take(&mut rate, 700));
        assert!(!take(&mut rate, 999));
        assert!(take(&mut rate, 1_000) && take(&mut rate, 1_000));
        assert!(!take(&mut rate, 1_001));
    }

    #[test]
    fn one_source_cannot_use_up_what_the_others_may() {
        let mut rate = SourceRate::default();
        let source = |n| IpAddr::from([10, 0, 0, n]);
        let mut take = |ms, n| rate.take(Timestamp::from_millis(ms), source(n), 2, 5);
        assert_eq!([1, 1, 1, 1].map(|n| take(0, n)), [true, true, false, false]);
        assert_eq!([2, 2, 3, 4].map(|n| take(0, n)), [true, true, true, false], "five in all");
        assert!(take(1_000, 1) && take(1_000, 4));
    }
}
