//! Who talks now, and who is the one to look at.
//!
//! ```text
//! louder than a limit, and than in one's own pauses ---> talks, and so some time longer, between words
//! somebody else talks, for long enough, while the one looked at is silent ---> is the one to look at
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::conference::view::PersonView;
use crate::media::floor::Floor;
use crate::time::Timestamp;

/// Louder than this counts as talking, in dBFS.
const TALKING_DBFS: f32 = -50.0;
/// The ring stays this long after the last loud moment, so that it does not flicker between words.
const HOLD: Duration = Duration::from_millis(400);
/// Who talks so long without a pause may be looked at.
const LONG: Duration = Duration::from_millis(900);
/// Nobody is looked at for less than this.
const LOOK_MIN: Duration = Duration::from_millis(2_000);

struct Talker {
    key: u64,
    since: Timestamp,
    until: Timestamp,
}

/// Who talks.
#[derive(Default)]
pub struct Talkers {
    talking: Vec<Talker>,
    floors: BTreeMap<u64, Floor>,
    listened: Option<Timestamp>,
    looked_at: Option<(u64, Timestamp)>,
}

impl Talkers {
    /// Listens to everybody.
    pub fn listen(&mut self, people: &[PersonView], now: Timestamp) {
        let since = self.listened.replace(now).map_or(Duration::ZERO, |before| now.since(before));
        let is_here = |key: u64| people.iter().any(|p| p.key == key);
        self.talking.retain(|t| t.until > now && is_here(t.key));
        self.floors.retain(|key, _| is_here(*key));
        let floors = &mut self.floors;
        // Whom one does not hear says nothing as far as one can tell.
        let mut talks = |p: &&PersonView| {
            let stands_out = floors.entry(p.key).or_default().follow(p.level_dbfs, since);
            stands_out && p.level_dbfs > TALKING_DBFS && !p.muted && !p.hearing.silenced
        };
        for person in people.iter().filter(|p| talks(p)) {
            let until = now + HOLD;
            match self.talking.iter_mut().find(|t| t.key == person.key) {
                Some(talker) => talker.until = until,
                None => self.talking.push(Talker { key: person.key, since: now, until }),
            }
        }
        self.look(people, now);
    }

    fn look(&mut self, people: &[PersonView], now: Timestamp) {
        let other = |key: u64| people.iter().any(|p| p.key == key && !p.me);
        self.looked_at = self.looked_at.filter(|(key, _)| other(*key));
        let may_change = self.looked_at.is_none_or(|(key, since)| !self.talks(key) && now.since(since) >= LOOK_MIN);
        if !may_change {
            return;
        }
        let long = if self.looked_at.is_some() { LONG } else { Duration::ZERO };
        let next = self.talking.iter().filter(|t| other(t.key) && now.since(t.since) >= long).min_by_key(|t| t.since);
        match (next, self.looked_at) {
            (Some(next), _) => self.looked_at = Some((next.key, now)),
            // Before anybody has talked: the first of the others.
            (None, None) => self.looked_at = people.iter().find(|p| !p.me).map(|p| (p.key, now)),
            (None, Some(_)) => {}
        }
    }

    /// Whether somebody talks.
    pub fn talks(&self, key: u64) -> bool {
        self.talking.iter().any(|t| t.key == key)
    }

    /// Whom to look at: nobody while there are no others.
    pub fn looked_at(&self) -> Option<u64> {
        self.looked_at.map(|(key, _)| key)
    }

    /// When the next ring ends.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.talking.iter().map(|t| t.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Timestamp = Timestamp::from_millis;

    fn people(levels: &[f32]) -> Vec<PersonView> {
        levels.iter().zip(0..).map(|(level, key)| PersonView::somebody(key, *level)).collect()
    }

    /// Looks every 50 ms from one time to another; whom it looks at in the end.
    fn run(talkers: &mut Talkers, from: u64, to: u64, levels: &[f32]) -> Option<u64> {
        let people = people(levels);
        (from..=to).step_by(50).for_each(|at| talkers.listen(&people, MS(at)));
        talkers.looked_at()
    }

    #[test]
    fn a_fan_holds_nobodys_eyes_and_neither_does_whom_one_does_not_hear() {
        let (quiet, loud, fan) = (-127.0, -20.0, -45.0);
        let mut talkers = Talkers::default();
        assert_eq!(run(&mut talkers, 0, 12_000, &[quiet, fan, quiet]), Some(1));
        assert!(!talkers.talks(1), "it goes on and on");
        assert_eq!(run(&mut talkers, 12_050, 14_000, &[quiet, fan, loud]), Some(2));
        let mut silenced = people(&[quiet, quiet, quiet, loud]);
        silenced[3].hearing.silenced = true;
        (14_050..30_000).step_by(50).for_each(|at| talkers.listen(&silenced, MS(at)));
        assert!(!talkers.talks(3) && talkers.looked_at() == Some(2));
    }

    #[test]
    fn one_cough_does_not_turn_heads_and_a_speech_does() {
        let (quiet, loud) = (-127.0, -20.0);
        let mut talkers = Talkers::default();
        assert_eq!(run(&mut talkers, 0, 0, &[loud, quiet, quiet]), Some(1), "never oneself");
        assert_eq!(run(&mut talkers, 50, 3_000, &[quiet, loud, quiet]), Some(1));
        assert_eq!(run(&mut talkers, 3_050, 3_200, &[quiet, quiet, loud]), Some(1), "a cough");
        assert_eq!(run(&mut talkers, 3_250, 6_000, &[quiet, loud, loud]), Some(1), "who talks stays");
        assert_eq!(run(&mut talkers, 6_050, 7_500, &[quiet, quiet, loud]), Some(2));
        assert_eq!(run(&mut talkers, 7_550, 8_350, &[quiet, loud, quiet]), Some(2), "not so soon again");
        assert_eq!(run(&mut talkers, 8_400, 9_700, &[quiet, loud, quiet]), Some(1));
        assert_eq!(run(&mut talkers, 9_750, 20_000, &[quiet, quiet, quiet]), Some(1), "silence changes nothing");
        assert_eq!(run(&mut talkers, 20_050, 20_050, &[quiet]), None, "everybody else left");
    }
}
