//! How long to wait before asking, when many may want to ask the same.

use std::time::Duration;

use crate::protocol::backoff;
use crate::protocol::keys::Random;

/// Up to so many ask without waiting for each other: their requests cost less than the time.
const FEW: usize = 4;
/// Even they spread a little.
const FEW_SPREAD: Duration = Duration::from_millis(2);

/// A time to wait, at most `longest`, for one of `group` who may all want to ask.
pub fn wait(longest: Duration, group: usize, random: &mut Random) -> Duration {
    if group <= FEW {
        return FEW_SPREAD.min(longest).mul_f64(unit(random));
    }
    backoff::truncated(longest, group, unit(random))
}

fn unit(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_a_large_group_speak_soon() {
        let longest = Duration::from_millis(20);
        let mut random = Random::new([5; 32]);
        for group in [5, 50, 1_000] {
            let mut waits: Vec<Duration> = (0..group).map(|_| wait(longest, group, &mut random)).collect();
            waits.sort_unstable();
            assert!(waits[group - 1] <= longest);
            let soon = waits.iter().filter(|w| **w < waits[0] + Duration::from_millis(2)).count();
            assert!(soon <= group / 2 && soon <= 40, "{soon} of {group} speak within 2 ms of the first");
        }
        assert!((0..100).all(|_| wait(longest, FEW, &mut random) <= FEW_SPREAD));
    }
}
