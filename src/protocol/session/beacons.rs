//! When a session's beacons are due, why, and how much each says.
//!
//! A viewer's state hardly ever changes, and what a crowd of viewers may send is little: there, beacons mostly say only that
//! all is as it was since the beacon with a certain counter, without the name, the address and the key. All of it is said
//! at every change and in the beacons after it, in every [`WHOLE_EVERY`]th, in answers, and while somebody is heard who is
//! not known: a newcomer, or the other half of a network that was split, who in turn do not know this member.

use std::net::SocketAddr;
use std::time::Duration;

use crate::protocol::roster::{PERIOD, period};
use crate::time::Timestamp;
use crate::wire::message::Beacon;

/// A change is told again after these times.
const REPEATS: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(250)];
/// Least time between beacons for changes, and between answers to Joins.
pub const BEACON_GAP: Duration = Duration::from_millis(40);
/// Up to so many Joins are answered by unicast, which reaches a newcomer whose membership the switch does not know yet;
/// more, by one beacon for everybody.
pub const UNICAST_ANSWERS_MAX: usize = 4;
/// Of the beacons in their period each so many says all.
pub const WHOLE_EVERY: u8 = 4;
/// Beacons in their period that say all after a change, and after somebody not known was heard.
const WHOLE_AFTER: u8 = 2;

/// When beacons are due, and why.
#[derive(Default)]
pub struct Beacons {
    pub last: Timestamp,
    pub regular: Option<Timestamp>,
    pub change: Option<Timestamp>,
    repeats: [Option<Timestamp>; 2],
    pub answer: Option<Timestamp>,
    pub answered: Timestamp,
    /// Nonces of the Joins the next one answers, and who sent them.
    pub answers: Vec<(u64, SocketAddr)>,
    /// What was told last, chat and answers left out, and the counter under which it was told first.
    told: Option<(u64, Beacon)>,
    /// Beacons since one that said all, and those that are to say all.
    briefs: u8,
    wholes: u8,
}

impl Beacons {
    pub fn next(&self) -> Option<Timestamp> {
        [self.regular, self.change, self.repeats[0], self.repeats[1], self.answer].into_iter().flatten().min()
    }

    pub fn changed(&mut self, now: Timestamp) {
        let at = now.max(self.last + BEACON_GAP);
        self.change = Some(self.change.map_or(at, |earlier| earlier.min(at)));
        self.repeats = REPEATS.map(|after| Some(at + after));
    }

    /// Whether the next one is for everybody.
    pub fn is_for_all(&self, now: Timestamp) -> bool {
        self.answers.len() > UNICAST_ANSWERS_MAX || self.is_news(now) || self.regular.is_some_and(|due| due <= now)
    }

    fn is_news(&self, now: Timestamp) -> bool {
        let due = [self.change, self.repeats[0], self.repeats[1]].into_iter().flatten();
        due.min().is_some_and(|due| due <= now)
    }

    /// The counter since which all is as in `whole`, when that is all the next one, of one of `members`, needs to say.
    pub fn since(&self, now: Timestamp, whole: &Beacon, members: usize) -> Option<u64> {
        let (since, told) = self.told.as_ref().filter(|_| period(false, members) > PERIOD)?;
        let calm = self.answers.is_empty() && !self.is_news(now) && self.wholes == 0;
        // Where a stream is, whoever joins needs to know at once.
        let brief = calm && self.briefs + 1 < WHOLE_EVERY && whole.streams.is_empty() && told == whole;
        brief.then_some(*since)
    }

    /// `whole` was told under `counter`.
    pub fn told(&mut self, counter: u64, whole: Beacon) {
        let whole = Beacon { answers: Vec::new(), ..whole };
        if self.told.as_ref().is_none_or(|(_, told)| *told != whole) {
            self.told = Some((counter, whole));
            self.wholes = WHOLE_AFTER;
        }
        self.briefs = 0;
    }

    /// That all is as it was has been told.
    pub fn told_briefly(&mut self) {
        self.briefs += 1;
    }

    /// Somebody is heard who is not known.
    pub fn stranger_heard(&mut self) {
        self.wholes = WHOLE_AFTER;
    }

    /// Another session: nothing was told in it.
    pub fn begin_anew(&mut self) {
        self.told = None;
    }

    pub fn answers_sent(&mut self, now: Timestamp) {
        self.answered = now;
        self.answer = None;
        self.answers.clear();
    }

    pub fn sent_to_all(&mut self, now: Timestamp, next: Timestamp) {
        if self.regular.is_some_and(|due| due <= now) {
            self.wholes = self.wholes.saturating_sub(1);
        }
        self.last = now;
        self.regular = Some(next);
        for due in std::iter::once(&mut self.change).chain(&mut self.repeats) {
            *due = due.filter(|&at| at > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: usize = 1_000;

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_millis(n)
    }

    fn viewer(name: &str) -> Beacon {
        Beacon { name: name.into(), ..Beacon::default() }
    }

    /// Sends one in its period; whether it said all.
    fn regular(beacons: &mut Beacons, at: u64, whole: &Beacon, members: usize) -> bool {
        beacons.regular = Some(ms(at));
        let since = beacons.since(ms(at), whole, members);
        match since {
            Some(_) => beacons.told_briefly(),
            None => beacons.told(at, whole.clone()),
        }
        beacons.sent_to_all(ms(at), ms(at + 12_000));
        since.is_none()
    }

    #[test]
    fn a_viewer_in_a_crowd_says_all_three_times_and_then_every_fourth_time() {
        let mut beacons = Beacons::default();
        let said: Vec<bool> = (1..=12).map(|n| regular(&mut beacons, n * 12_000, &viewer("Ada"), CROWD)).collect();
        let (t, f) = (true, false);
        assert_eq!(said, [t, t, f, f, f, t, f, f, f, t, f, f]);
        assert_eq!(beacons.since(ms(200_000), &viewer("Ada"), CROWD), Some(12_000), "since it was said first");
        assert!(regular(&mut beacons, 212_000, &viewer("Ada"), 166), "few have room for all of it");
    }

    #[test]
    fn changes_strangers_answers_and_streams_call_for_all_of_it() {
        let calm = || {
            let mut beacons = Beacons::default();
            for n in 1..=3 {
                regular(&mut beacons, n * 12_000, &viewer("Ada"), CROWD);
            }
            assert!(beacons.since(ms(50_000), &viewer("Ada"), CROWD).is_some());
            beacons
        };
        assert!(regular(&mut calm(), 50_000, &viewer("Bob"), CROWD));
        let mut beacons = calm();
        beacons.changed(ms(50_000));
        assert_eq!(beacons.since(ms(50_300), &viewer("Ada"), CROWD), None);
        let mut beacons = calm();
        beacons.stranger_heard();
        let said = [50, 61, 72].map(|at| regular(&mut beacons, at * 1_000, &viewer("Ada"), CROWD));
        assert_eq!(said, [true, true, false]);
        let mut beacons = calm();
        beacons.answers.push((1, ([10, 0, 0, 1], 4_000).into()));
        assert_eq!(beacons.since(ms(50_000), &viewer("Ada"), CROWD), None);
        let mut beacons = calm();
        beacons.begin_anew();
        assert_eq!(beacons.since(ms(50_000), &viewer("Ada"), CROWD), None);
        let publisher = Beacon { streams: vec![Default::default()], ..viewer("Ada") };
        let mut beacons = Beacons::default();
        assert!((1..=9).all(|n| regular(&mut beacons, n * 2_000, &publisher, CROWD)), "where the streams are");
    }
}
