//! Who talks now, and who is the one to look at.
//!
//! ```text
//! louder than a limit, and than in one's own pauses ---> talks, and so some time longer, between words
//! somebody else talks, for long enough, while the one looked at is silent ---> is the one to look at
//! somebody else talks 6 dB louder for a second and a half ---> likewise: a noisy microphone holds nobody's eyes
//! somebody speaks over all others ---> likewise, at once
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

/// Louder by so many dB than the one looked at,
const LOUDER_DB: f32 = 6.0;
/// for so long: then it is looked there, although the other talks.
const LOUDER_FOR: Duration = Duration::from_millis(1_500);
/// Loudness is the mean of about so long, words and the breaths between them.
const LOUDNESS: Duration = Duration::from_millis(1_000);

struct Talker {
    key: u64,
    since: Timestamp,
    until: Timestamp,
    /// Mean level while it talks, in dBFS.
    loudness: f32,
    /// Since when it is louder than the one looked at.
    louder: Option<Timestamp>,
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
        // Whom one does not hear says nothing as far as one can tell. Whoever is heard speaks, although they may say that they are
        // muted: only of oneself the level is that of a microphone nobody hears.
        let mut talks = |p: &&PersonView| {
            let stands_out = floors.entry(p.key).or_default().follow(p.level_dbfs, since);
            stands_out && p.level_dbfs > TALKING_DBFS && !(p.me && p.muted) && !p.hearing.is_silent()
        };
        for person in people.iter().filter(|p| talks(p)) {
            let until = now + HOLD;
            match self.talking.iter_mut().find(|t| t.key == person.key) {
                Some(talker) => talker.until = until,
                None => {
                    let (key, loudness) = (person.key, person.level_dbfs);
                    self.talking.push(Talker { key, since: now, until, loudness, louder: None });
                }
            }
        }
        let follow = (since.as_secs_f32() / LOUDNESS.as_secs_f32()).min(1.0);
        for talker in &mut self.talking {
            let level = people.iter().find(|p| p.key == talker.key).map_or(talker.loudness, |p| p.level_dbfs);
            talker.loudness += (level - talker.loudness) * follow;
        }
        self.look(people, now);
    }

    fn look(&mut self, people: &[PersonView], now: Timestamp) {
        let other = |key: u64| people.iter().any(|p| p.key == key && !p.me);
        self.looked_at = self.looked_at.filter(|(key, _)| other(*key));
        if let Some(person) = people.iter().find(|p| p.commands && !p.me && self.talks(p.key)) {
            let before = self.looked_at.filter(|(key, _)| *key == person.key);
            self.looked_at = before.or(Some((person.key, now)));
            return;
        }
        if let Some(louder) = self.louder(&other, now) {
            self.looked_at = Some((louder, now));
            return;
        }
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

    /// Who has been much louder for long than the one looked at, who talks as well.
    fn louder(&mut self, other: &impl Fn(u64) -> bool, now: Timestamp) -> Option<u64> {
        let (looked_at, since) = self.looked_at?;
        let least = self.talking.iter().find(|t| t.key == looked_at)?.loudness + LOUDER_DB;
        for talker in &mut self.talking {
            let louder = talker.loudness > least && other(talker.key);
            talker.louder = louder.then(|| talker.louder.unwrap_or(now));
        }
        if now.since(since) < LOOK_MIN {
            return None;
        }
        let long = |t: &&Talker| t.louder.is_some_and(|since| now.since(since) >= LOUDER_FOR);
        self.talking.iter().filter(long).max_by(|a, b| a.loudness.total_cmp(&b.loudness)).map(|t| t.key)
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
    fn who_is_heard_is_seen_to_speak_whatever_they_say_of_their_microphone_and_nobody_else() {
        let (quiet, loud) = (-127.0, -20.0);
        for (of, change, seen) in [
            (2, (|_| ()) as fn(&mut PersonView), true),
            (2, |p| p.muted = true, true),
            (2, |p| p.hearing.volume = 1, true),
            (2, |p| p.hearing.volume = 0, false),
            (2, |p| p.hearing.silenced = true, false),
            (0, |_| (), true),
            (0, |p| p.muted = true, false),
        ] {
            let mut talkers = Talkers::default();
            run(&mut talkers, 0, 2_500, &[quiet, quiet, quiet]);
            let mut all = people(&[quiet, quiet, quiet]);
            all[of].level_dbfs = loud;
            change(&mut all[of]);
            (2_550..4_500).step_by(50).for_each(|at| talkers.listen(&all, MS(at)));
            assert_eq!((talkers.talks(of as u64), talkers.looked_at() == Some(2)), (seen, seen && of == 2));
        }
    }

    #[test]
    fn who_speaks_over_all_others_is_looked_at_at_once_and_as_long() {
        let (quiet, loud) = (-127.0, -20.0);
        let mut talkers = Talkers::default();
        assert_eq!(run(&mut talkers, 0, 1_000, &[quiet, loud, quiet, quiet]), Some(1));
        let mut all = people(&[quiet, loud, quiet, -30.0]);
        all[2].commands = true;
        talkers.listen(&all, MS(1_050));
        assert_eq!(talkers.looked_at(), Some(1), "there is not a word yet");
        all[2].level_dbfs = -40.0;
        talkers.listen(&all, MS(1_100));
        assert_eq!(talkers.looked_at(), Some(2));
        (1_150..9_000).step_by(50).for_each(|at| {
            // With breaths.
            all[2].level_dbfs = if at % 1_000 < 800 { -40.0 } else { -60.0 };
            talkers.listen(&all, MS(at));
            assert_eq!(talkers.looked_at(), Some(2), "{at}: although others are louder");
        });
        assert_eq!(run(&mut talkers, 9_000, 12_000, &[quiet, loud, quiet, quiet]), Some(1));
        let mut own = people(&[loud, quiet, quiet, quiet]);
        own[0].commands = true;
        talkers.listen(&own, MS(14_000));
        assert_eq!(talkers.looked_at(), Some(1), "never oneself");
    }

    #[test]
    fn a_noisy_microphone_gives_way_to_who_is_much_louder_for_long_and_to_nobody_else() {
        let quiet = -127.0;
        // A street at an open window: it stands out now and then.
        let street = |at: u64| if at % 700 < 500 { -40.0 } else { -52.0 };
        let mut talkers = Talkers::default();
        let look = |talkers: &mut Talkers, from: u64, to: u64, speech: f32| {
            for at in (from..to).step_by(50) {
                let word = at % 900 < 700;
                talkers.listen(&people(&[quiet, street(at), if word { speech } else { speech - 15.0 }]), MS(at));
                if talkers.looked_at() != Some(1) {
                    return at - from;
                }
            }
            u64::MAX
        };
        assert_eq!(look(&mut talkers, 0, 6_000, quiet), u64::MAX);
        assert_eq!(look(&mut talkers, 6_000, 12_000, -37.0), u64::MAX, "hardly louder");
        assert_eq!(look(&mut talkers, 12_000, 13_000, -10.0), u64::MAX, "a shout");
        assert_eq!(look(&mut talkers, 13_000, 19_000, quiet), u64::MAX);
        let after = look(&mut talkers, 19_000, 30_000, -22.0);
        assert!((1_500..4_000).contains(&after), "{after} ms");
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
