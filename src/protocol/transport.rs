//! How somebody is reached: the ladder from groups down to unicast, climbed without being asked.
//!
//! ```text
//! groups   every stream has its own group                       unless
//! single   every stream comes by the control group              control is heard and groups of streams are not
//! unicast  each sender sends a copy to whoever hears no group,  nothing comes by any group, and unicast does
//!          at most 4 of them; the others get theirs
//! relay    from one elected among those who hear groups
//! ```
//! Each decides for themselves which rung they need and says so in their beacon; who sends does what the beacons of those
//! who are here ask for. Whoever hears the groups again goes back up.

use std::time::Duration;

use crate::limits::DIRECT_COPIES_MAX;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;

/// Silence of a group that was never heard which cannot be chance: members send something to it each two seconds.
const DEAF_AFTER: Duration = Duration::from_millis(4_500);
/// The same of one that was heard: what comes may be lost four times in a row.
const DEAFENED_AFTER: Duration = Duration::from_millis(8_500);
/// Unicast was heard within this time: two periods of the Pings that everybody answers.
const UNICAST_WITHIN: Duration = Duration::from_secs(9);
/// Somebody who has heard the group for this long, without such a silence, hears it.
const HEARS_AFTER: Duration = Duration::from_secs(3);

/// What somebody hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// All groups.
    #[default]
    Groups,
    /// The control group, and not those of streams.
    Single,
    /// No group.
    Unicast,
}

impl Reach {
    /// The word that people see.
    pub fn word(self) -> &'static str {
        match self {
            Reach::Groups => "groups",
            Reach::Single => "single",
            Reach::Unicast => "unicast",
        }
    }

    /// The number in a beacon.
    pub fn to_wire(self) -> u32 {
        self as u32
    }

    /// From the number in a beacon; rungs of later versions are the last one known.
    pub fn from_wire(number: u32) -> Self {
        match number {
            0 => Reach::Groups,
            1 => Reach::Single,
            _ => Reach::Unicast,
        }
    }
}

/// What one participant hears, by what reaches it.
#[derive(Clone, Copy, Debug)]
pub struct Hearing {
    /// Last heard by the control group, or the beginning.
    group: Timestamp,
    /// When it was first heard since the beginning or the last long silence.
    steady: Option<Timestamp>,
    unicast: Option<Timestamp>,
    /// Groups of streams stay silent whatever is done.
    streams_fail: bool,
    reach: Reach,
}

impl Hearing {
    /// From `now` on.
    pub fn new(now: Timestamp) -> Self {
        Self { group: now, steady: None, unicast: None, streams_fail: false, reach: Reach::Groups }
    }

    /// Something authentic of another member came, by the control group or by unicast.
    pub fn heard(&mut self, now: Timestamp, by_group: bool) {
        if by_group {
            self.steady.get_or_insert(now);
            self.group = now;
        } else {
            self.unicast = Some(now);
        }
    }

    /// Whether groups of streams are heard: they are not when they stay silent although their senders send and they were
    /// joined again.
    pub fn streams(&mut self, work: bool) {
        self.streams_fail = !work;
    }

    /// The network is another one: what was heard in the one before says nothing.
    pub fn network_changed(&mut self, now: Timestamp) {
        *self = Self { reach: self.reach, ..Self::new(now) };
    }

    /// The rung needed at `now`.
    pub fn reach(&mut self, now: Timestamp) -> Reach {
        let patience = if self.steady.is_some() { DEAFENED_AFTER } else { DEAF_AFTER };
        let by_unicast = self.unicast.is_some_and(|at| now.since(at) <= UNICAST_WITHIN);
        let deaf = by_unicast && now.since(self.group) >= patience;
        if deaf {
            self.steady = None;
        }
        let hears = self.steady.is_some_and(|since| self.group.since(since) >= HEARS_AFTER);
        self.reach = match self.reach {
            _ if deaf => Reach::Unicast,
            Reach::Unicast if !hears => Reach::Unicast,
            _ if self.streams_fail => Reach::Single,
            _ => Reach::Groups,
        };
        self.reach
    }
}

/// Who of those that hear no group gets copies from each sender: the first by id; the others are served by the relay.
pub fn direct_and_relayed<T>(mut deaf: Vec<(ParticipantId, T)>) -> (Vec<T>, Vec<T>) {
    deaf.sort_by_key(|(id, _)| *id);
    let relayed = deaf.split_off(deaf.len().min(DIRECT_COPIES_MAX));
    let bare = |all: Vec<(ParticipantId, T)>| all.into_iter().map(|(_, what)| what).collect();
    (bare(deaf), bare(relayed))
}

/// One who may repeat streams for those who hear no group. The least is elected: those on a cable before those on a
/// wireless network, which carries each copy twice; those who send before those who may be here for a line of text only;
/// then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Able {
    /// On a wireless network.
    pub wireless: bool,
    /// Without a slot.
    pub silent: bool,
    /// Who it is.
    pub id: ParticipantId,
}

/// Who repeats the streams for those relayed. Everybody has to come to the same: by what beacons tell.
pub fn relay(able: impl Iterator<Item = Able>) -> Option<ParticipantId> {
    Some(able.min()?.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn alone_or_among_people_who_are_heard_nothing_changes() {
        let mut alone = Hearing::new(at(0));
        assert_eq!(alone.reach(at(600_000)), Reach::Groups);
        let mut among = Hearing::new(at(0));
        for ms in (0..60_000).step_by(2_000) {
            among.heard(at(ms), true);
            among.heard(at(ms), false);
            assert_eq!(among.reach(at(ms + 1_999)), Reach::Groups);
        }
    }

    #[test]
    fn silence_of_the_group_while_unicast_comes_is_deafness_until_the_group_is_heard_steadily() {
        let mut h = Hearing::new(at(0));
        h.heard(at(200), false);
        assert_eq!(h.reach(at(4_400)), Reach::Groups);
        h.heard(at(4_200), false);
        assert_eq!(h.reach(at(4_500)), Reach::Unicast);
        h.heard(at(9_000), true);
        assert_eq!(h.reach(at(9_001)), Reach::Unicast, "one packet proves nothing");
        for ms in [11_000, 13_000] {
            h.heard(at(ms), true);
        }
        assert_eq!(h.reach(at(13_000)), Reach::Groups);
        assert_eq!(h.reach(at(40_000)), Reach::Groups, "nothing at all is not deafness but loneliness");
    }

    #[test]
    fn streams_that_fail_while_control_is_heard_need_the_single_group() {
        let mut h = Hearing::new(at(0));
        h.heard(at(1_000), true);
        h.streams(false);
        assert_eq!(h.reach(at(2_000)), Reach::Single);
        h.streams(true);
        assert_eq!(h.reach(at(2_100)), Reach::Groups);
        h.streams(false);
        h.heard(at(9_600), false);
        assert_eq!(h.reach(at(9_400)), Reach::Single, "a few beacons may be lost");
        assert_eq!(h.reach(at(9_600)), Reach::Unicast);
        h.network_changed(at(10_000));
        assert_eq!(h.reach(at(10_000)), Reach::Unicast, "until the new network is heard");
        for ms in [10_500, 12_000, 14_000] {
            h.heard(at(ms), true);
        }
        assert_eq!(h.reach(at(14_000)), Reach::Groups);
    }

    #[test]
    fn numbers_of_beacons_are_read_as_they_were_written() {
        for reach in [Reach::Groups, Reach::Single, Reach::Unicast] {
            assert_eq!(Reach::from_wire(reach.to_wire()), reach);
        }
        assert_eq!(Reach::from_wire(9), Reach::Unicast);
    }

    #[test]
    fn four_get_copies_and_the_others_are_relayed_whoever_counts() {
        let id = |n: u8| ParticipantId([n; 16]);
        let deaf = |order: [u8; 6]| order.map(|n| (id(n), n)).to_vec();
        let expected = (vec![1, 2, 3, 4], vec![5, 6]);
        assert_eq!(expected.0.len(), DIRECT_COPIES_MAX);
        assert_eq!(direct_and_relayed(deaf([6, 1, 5, 2, 4, 3])), expected);
        assert_eq!(direct_and_relayed(deaf([1, 2, 3, 4, 5, 6])), expected);
    }

    #[test]
    fn whoever_is_on_a_cable_and_sends_relays_before_others() {
        let able = |(n, wireless, silent): (u8, bool, bool)| Able { wireless, silent, id: ParticipantId([n; 16]) };
        for (all, expected) in [
            (&[(3, false, false), (2, false, false), (9, false, false)][..], Some(2)),
            (&[(3, false, false), (2, false, true), (1, true, false)], Some(3)),
            (&[(3, true, false), (2, false, true), (1, true, true)], Some(2)),
            (&[(3, true, true), (2, true, true)], Some(2)),
            (&[], None),
        ] {
            let elected = relay(all.iter().copied().map(able));
            assert_eq!(elected, expected.map(|n| ParticipantId([n; 16])), "{all:?}");
        }
    }
}
