//! A limit of so many a second, for work that strangers can cause.

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
}
