//! The order in which lines are shown, the same at everybody: hybrid logical clock, then author, then number.
//!
//! A hybrid logical clock (Kulkarni et al., 2014) is the wall clock as long as that runs ahead of everything heard, and
//! a counter otherwise: a reply stands behind what it replies to even when its author's clock is an hour slow. It is 48
//! bits of milliseconds since 1970 above 16 bits of count; the count may run over into the milliseconds, which keeps it
//! increasing. The author's clock is part of what it signs, so that nobody can sort a line differently.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::NtpTime;
use crate::wire::message::ParticipantId;

/// Clock readings up to here may be true: the year 2100. Beyond, a clock heard is followed only in small steps, so that
/// nobody can push the others' clocks to their end.
const PLAUSIBLE_MAX: u64 = 4_102_444_800_000 << 16;
/// Such a small step: 65 s, or four thousand million lines.
const STEP_MAX: u64 = 1 << 32;

/// Names a line: its author, the author's run, and the number of its first piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId {
    /// Who said it.
    pub member: ParticipantId,
    /// Which of the times its author joined.
    pub run: u32,
    /// Number of its first piece.
    pub number: u32,
}

/// A line's place among all lines; larger is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// Reading of its author's hybrid logical clock.
    pub time: u64,
    /// Which line; decides among equal times.
    pub id: LineId,
}

/// Of one width, so that the texts are in the order of the keys.
impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LineId { member, run, number } = self.id;
        write!(f, "{:016x}-{member}-{run:08x}-{number:08x}", self.time)
    }
}

/// As it is written; not in another way.
impl FromStr for OrderKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let parts: Vec<&str> = text.splitn(4, '-').collect();
        let [time, member, run, number] = parts[..] else {
            return Err(NoKey);
        };
        let member = u128::from_str_radix(member, 16).map_err(|_| NoKey)?;
        let number32 = |hex: &str| u32::from_str_radix(hex, 16).map_err(|_| NoKey);
        let (time, run, number) =
            (u64::from_str_radix(time, 16).map_err(|_| NoKey)?, number32(run)?, number32(number)?);
        let member = ParticipantId(member.to_be_bytes());
        let key = Self { time, id: LineId { member, run, number } };
        if key.to_string() == text { Ok(key) } else { Err(NoKey) }
    }
}

/// It names no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is not the id of a line")]
pub struct NoKey;

/// One member's hybrid logical clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct HybridClock {
    last: u64,
}

impl HybridClock {
    /// The reading for something said now: later than everything said or heard before.
    pub fn tick(&mut self, wall: NtpTime) -> u64 {
        self.last = self.last.saturating_add(1).max(reading(wall.to_unix()));
        self.last
    }

    /// Takes in a reading of somebody else's; false when it is too far ahead to be followed.
    pub fn observe(&mut self, heard: u64) -> bool {
        let followed = heard <= self.last.max(PLAUSIBLE_MAX).saturating_add(STEP_MAX);
        if followed {
            self.last = self.last.max(heard);
        }
        followed
    }
}

/// A clock that shows the given time since 1970.
pub fn reading(since_epoch: Duration) -> u64 {
    let milliseconds = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    milliseconds.min((1 << 48) - 1) << 16
}

/// Lines in the order they are shown: where does the next one go?
#[derive(Clone, Debug)]
pub struct Timeline {
    keys: Vec<OrderKey>,
    lines_max: usize,
}

/// Where a line went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this position; all behind it move by one.
    At(usize),
    /// At this position, after the first line was taken away because there were too many.
    Pushed(usize),
    /// Nowhere: it is there already, or older than all lines kept.
    Nowhere,
}

impl Timeline {
    /// Keeps the last `lines_max` lines (at least one).
    pub fn new(lines_max: usize) -> Self {
        Self { keys: Vec::new(), lines_max: lines_max.max(1) }
    }

    /// Puts a line into its place.
    pub fn insert(&mut self, key: OrderKey) -> Place {
        let Err(at) = self.keys.binary_search(&key) else {
            return Place::Nowhere;
        };
        if self.keys.len() < self.lines_max {
            self.keys.insert(at, key);
            return Place::At(at);
        }
        let Some(at) = at.checked_sub(1) else {
            return Place::Nowhere;
        };
        self.keys.remove(0);
        self.keys.insert(at, key);
        Place::Pushed(at)
    }

    /// The lines, first to last.
    pub fn keys(&self) -> &[OrderKey] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> NtpTime {
        NtpTime::from_unix(Duration::from_millis(ms))
    }

    fn key(time: u64, member: u8, number: u32) -> OrderKey {
        OrderKey { time, id: LineId { member: ParticipantId([member; 16]), run: 1, number } }
    }

    #[test]
    fn a_key_is_read_as_it_is_written_and_in_no_other_way() {
        let id = LineId { member: ParticipantId([0xab; 16]), run: u32::MAX, number: 7 };
        let key = OrderKey { time: u64::MAX - 1, id };
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        for bad in ["", "-", "1-2-3-4", &text[1..], &text.to_uppercase(), &format!("{text}0"), &format!("{text}-1")] {
            assert_eq!(bad.parse::<OrderKey>(), Err(NoKey), "{bad}");
        }
        assert_eq!(text.replacen("ff", "+f", 1).parse::<OrderKey>(), Err(NoKey));
    }

    #[test]
    fn the_clock_follows_the_wall_and_counts_while_that_stands_or_runs_back() {
        let mut clock = HybridClock::default();
        // NTP fractions round down: half a millisecond keeps the reading within it.
        let wall = NtpTime::from_unix(Duration::from_micros(1_000_500));
        assert_eq!(clock.tick(wall), 1_000 << 16);
        assert_eq!(clock.tick(wall), (1_000 << 16) + 1);
        assert_eq!(clock.tick(at(10)), (1_000 << 16) + 2);
        assert!(clock.tick(at(2_001)) >= 2_000 << 16);
    }

    #[test]
    fn what_is_said_after_hearing_sorts_behind_it_whatever_the_wall_shows() {
        let (mut fast, mut slow) = (HybridClock::default(), HybridClock::default());
        let question = fast.tick(at(3_600_000));
        assert!(slow.observe(question));
        assert!(slow.tick(at(5)) > question);
        assert!(slow.observe(3), "an old one changes nothing");
        assert!(slow.tick(at(5)) > question);
    }

    #[test]
    fn a_clock_beyond_the_plausible_is_followed_in_small_steps_only() {
        let mut clock = HybridClock::default();
        assert!(clock.observe(PLAUSIBLE_MAX + STEP_MAX));
        assert!(!clock.observe(PLAUSIBLE_MAX + 2 * STEP_MAX + 1));
        assert_eq!(clock.tick(at(0)), PLAUSIBLE_MAX + STEP_MAX + 1);
        let mut clock = HybridClock::default();
        assert!(!clock.observe(PLAUSIBLE_MAX + STEP_MAX + 1));
        assert!(!clock.observe(u64::MAX));
        assert_eq!(clock.tick(at(0)), 1);
    }

    #[test]
    fn equal_times_are_ordered_by_author_and_number() {
        let mut keys = [key(2, 1, 1), key(1, 2, 1), key(1, 1, 2), key(1, 1, 1)];
        keys.sort();
        assert_eq!(keys, [key(1, 1, 1), key(1, 1, 2), key(1, 2, 1), key(2, 1, 1)]);
        assert!(
            [key(9, 1, 9), key(9, 1, 10), key(9, 1, 300), key(9, 2, 1), key(17, 1, 1)]
                .is_sorted_by_key(OrderKey::to_string)
        );
    }

    #[test]
    fn a_late_line_goes_to_its_place_and_the_oldest_gives_way() {
        let mut timeline = Timeline::new(3);
        assert_eq!(timeline.insert(key(10, 1, 1)), Place::At(0));
        assert_eq!(timeline.insert(key(30, 1, 2)), Place::At(1));
        assert_eq!(timeline.insert(key(20, 2, 1)), Place::At(1));
        assert_eq!(timeline.insert(key(20, 2, 1)), Place::Nowhere, "the same again");
        assert_eq!(timeline.insert(key(5, 2, 2)), Place::Nowhere, "older than all kept");
        assert_eq!(timeline.insert(key(40, 2, 3)), Place::Pushed(2));
        assert_eq!(timeline.insert(key(25, 2, 4)), Place::Pushed(0));
        assert_eq!(timeline.keys(), [key(25, 2, 4), key(30, 1, 2), key(40, 2, 3)]);
    }
}
