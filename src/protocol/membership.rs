//! Memberships that heal themselves: which groups are to be joined again, and when.
//!
//! ```text
//! somebody says that they send, and nothing arrives for 2 s ─> leave and join ─> again after 2, 4, 8, 10 s ..
//!                                                                  │ it arrives again: the switch had forgotten
//!                                                                  v
//!                                   every group joined again each 10 s from then on, one after the other
//! the network came back ─> every group joined again at once, after 1 s and after 3 s
//! ```
//! A switch that looks at IGMP or MLD (snooping) forgets a group after some minutes unless a querier makes everybody
//! repeat who listens; streams that die after 260 s are the classic failure of multicast. Leaving and joining at once
//! makes the host say it unasked, and on the way through the kernel the two become one report: nothing is lost by it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// Silence of a group whose sender says that it sends, after which it is joined again.
pub const DEAD_AFTER: Duration = Duration::from_secs(2);
/// Longest time between two attempts at one group that stays silent.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Once a switch has forgotten a group: time between two refreshes of each.
pub const REFRESH: Duration = Duration::from_secs(10);
/// When all groups are joined after the network came back. A switch may take a while to forward again.
const RETURN: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];
/// After the network came back, silence and its end are its own doing, not a forgetful switch's.
const EXCUSED: Duration = Duration::from_secs(12);

#[derive(Debug)]
struct Group {
    arrived: u64,
    /// When something arrived, or last nothing was expected.
    heard: Timestamp,
    expected: bool,
    attempts: u32,
    /// Not before this is a silent group joined once more.
    retry: Timestamp,
    refresh: Option<Timestamp>,
}

/// The groups that one participant has joined; `K` names them.
#[derive(Debug, Default)]
pub struct Membership<K> {
    groups: BTreeMap<K, Group>,
    /// A switch forgot: all are refreshed from now on.
    healing: bool,
    returned: Option<(Timestamp, usize)>,
    excused_until: Timestamp,
    healed: bool,
}

impl<K: Copy + Ord> Membership<K> {
    /// Nothing is joined.
    pub fn new() -> Self {
        Self { groups: BTreeMap::new(), healing: false, returned: None, excused_until: Timestamp(0), healed: false }
    }

    /// What is known of a group now: `arrived` = packets that came from it so far, in whatever way they are counted;
    /// `expected` = somebody says that they send to it. A group not known yet was joined just now.
    pub fn observe(&mut self, now: Timestamp, key: K, arrived: u64, expected: bool) {
        let healing = self.healing;
        let group = self.groups.entry(key).or_insert_with(|| Group {
            arrived,
            heard: now,
            expected,
            attempts: 0,
            retry: now,
            refresh: healing.then(|| now + REFRESH),
        });
        if group.arrived != arrived {
            self.healed |= group.attempts > 0 && expected && now >= self.excused_until;
            (group.arrived, group.heard, group.attempts) = (arrived, now, 0);
        }
        if !expected {
            (group.heard, group.attempts) = (now, 0);
        }
        group.expected = expected;
    }

    /// Forgets the groups for which `joined` does not hold.
    pub fn retain(&mut self, joined: impl Fn(K) -> bool) {
        self.groups.retain(|&key, _| joined(key));
    }

    /// The network is back after it was away, or has another address.
    pub fn network_returned(&mut self, now: Timestamp) {
        self.returned = Some((now, 0));
        self.excused_until = now + EXCUSED;
        for group in self.groups.values_mut() {
            (group.heard, group.attempts) = (now, 0);
        }
    }

    /// The groups to leave and join now, into `due`.
    pub fn timeout(&mut self, now: Timestamp, due: &mut Vec<K>) {
        if let Some((since, done)) = self.returned
            && let Some(&after) = RETURN.get(done)
            && since + after <= now
        {
            self.returned = (done + 1 < RETURN.len()).then_some((since, done + 1));
            due.extend(self.groups.keys());
            return;
        }
        let healing = self.healing;
        let mut forgotten = false;
        for (&key, group) in &mut self.groups {
            let silent = group.expected && now.since(group.heard) >= DEAD_AFTER;
            let refresh = healing && group.refresh.is_some_and(|at| at <= now);
            if silent && group.retry <= now {
                forgotten = true;
                group.attempts = (group.attempts + 1).min(8);
                group.retry = now + (DEAD_AFTER * (1 << (group.attempts - 1))).min(RETRY_MAX);
                due.push(key);
            } else if refresh {
                due.push(key);
            }
            if refresh {
                group.refresh = Some(now + REFRESH);
            }
        }
        if forgotten && !healing && now >= self.excused_until {
            self.heal(now);
        }
    }

    /// Whether all memberships are refreshed because a switch forgot one.
    pub fn is_healing(&self) -> bool {
        self.healing
    }

    /// Groups that were joined again at least twice and stay silent: joining does not help.
    pub fn hopeless(&self) -> impl Iterator<Item = K> {
        self.groups.iter().filter(|(_, group)| group.attempts > 2).map(|(&key, _)| key)
    }

    /// Whether, since this was last asked, a silent group was heard again after it was joined again.
    pub fn take_healed(&mut self) -> bool {
        std::mem::take(&mut self.healed)
    }

    /// Refreshes everything from now on, one group after the other.
    fn heal(&mut self, now: Timestamp) {
        self.healing = true;
        let count = self.groups.len().max(1) as u32;
        for (n, group) in (1..).zip(self.groups.values_mut()) {
            group.refresh = Some(now + REFRESH * n / count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// Runs the time in steps of 100 ms; `arrived` says how much came by then. What was joined again, and when.
    fn run(
        membership: &mut Membership<u8>,
        ms: std::ops::Range<u64>,
        mut arrived: impl FnMut(u8, u64) -> (u64, bool),
        keys: &[u8],
    ) -> Vec<(u64, u8)> {
        let mut joined = Vec::new();
        for ms in ms.step_by(100) {
            for &key in keys {
                let (count, expected) = arrived(key, ms);
                membership.observe(at(ms), key, count, expected);
            }
            let mut due = Vec::new();
            membership.timeout(at(ms), &mut due);
            joined.extend(due.into_iter().map(|key| (ms, key)));
        }
        joined
    }

    #[test]
    fn a_group_that_flows_or_of_which_nothing_is_expected_is_left_alone() {
        let mut m = Membership::new();
        assert!(run(&mut m, 0..60_000, |key, ms| if key == 1 { (ms, true) } else { (7, false) }, &[1, 2]).is_empty());
        assert!(!m.is_healing() && !m.take_healed());
    }

    #[test]
    fn a_dead_group_is_joined_again_after_two_seconds_and_then_ever_more_rarely() {
        let mut m = Membership::new();
        let joined = run(&mut m, 0..40_000, |_, ms| (ms.min(1_000), true), &[1]);
        let attempts: Vec<u64> = joined.iter().map(|j| j.0).collect();
        assert_eq!(attempts[..4], [3_000, 5_000, 9_000, 13_000], "the third is the refresh");
        assert!(attempts.windows(2).all(|w| w[1] - w[0] <= 10_000));
        assert_eq!(m.hopeless().collect::<Vec<_>>(), [1]);
        assert!(!m.take_healed());
    }

    #[test]
    fn after_the_first_one_all_are_refreshed_each_ten_seconds_one_after_the_other() {
        let mut m = Membership::new();
        // The switch forgets group 1 between 5 and 7 s; joined again, it flows.
        let flows = |key, ms| (if key == 1 && (5_000..7_100).contains(&ms) { 5_000 } else { ms }, true);
        let joined = run(&mut m, 0..60_000, flows, &[1, 2, 3, 4]);
        assert_eq!(joined[0], (7_000, 1));
        assert!(m.is_healing() && m.take_healed() && !m.take_healed());
        for key in [1, 2, 3, 4] {
            let times: Vec<u64> = joined[1..].iter().filter(|j| j.1 == key).map(|j| j.0).collect();
            assert!(times.len() >= 5 && times.windows(2).all(|w| w[1] - w[0] == 10_000), "{key}: {times:?}");
        }
        let first: std::collections::BTreeSet<u64> = joined[1..5].iter().map(|j| j.0).collect();
        assert_eq!(first.len(), 4, "staggered: {first:?}");
    }

    #[test]
    fn when_the_network_is_back_all_are_joined_thrice_and_no_switch_is_blamed() {
        let mut m = Membership::new();
        run(&mut m, 0..1_000, |_, ms| (ms, true), &[1, 2]);
        m.network_returned(at(1_000));
        let joined = run(&mut m, 1_000..9_000, |_, ms| (ms.saturating_sub(4_000).max(900), true), &[1, 2]);
        let times: Vec<u64> = joined.iter().filter(|j| j.1 == 1).map(|j| j.0).collect();
        assert_eq!(times[..1], [1_000]);
        assert!(times.contains(&2_000) && times.contains(&4_000), "{times:?}");
        assert!(!m.is_healing() && !m.take_healed());
    }

    #[test]
    fn groups_that_were_left_are_forgotten() {
        let mut m = Membership::new();
        run(&mut m, 0..100, |_, _| (0, true), &[1, 2]);
        m.retain(|key| key == 2);
        let joined = run(&mut m, 10_000..10_100, |_, _| (0, true), &[2]);
        assert_eq!(joined, [(10_000, 2)]);
    }
}
