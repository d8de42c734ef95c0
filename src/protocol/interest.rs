//! Who wants which layer: a soft state that everybody keeps and nobody owns.
//!
//! ```text
//! wanted newly ──(at once; in a crowd after a short random wait)──> [Interest] ─┐
//!    ^                                                                          │ heard by all
//!    '── again after 150 ms, 400 ms, then every 2 to 4 s <──────────────────────┘
//!        unless somebody else asked meanwhile: then 2 to 4 s from there
//! sender of the slot: a layer is wanted for 8 s after anybody asked
//! ```
//! Nobody says that a layer is not wanted any more: it ends by silence. A thousand viewers of one picture together ask as
//! often as one does, because each hears the others and waits. All layers are in one message of at most 62 bytes, so the
//! cost is bounded whatever anybody wants.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::keys::Random;
use crate::time::Timestamp;
use crate::wire::Layer;
use crate::wire::interest::{PLACES, Place, Places};

/// How long a layer is wanted after somebody asked for it: twice the longest time between two requests.
pub const LIFE: Duration = Duration::from_secs(8);
/// Between two requests for a layer that is wanted all the time.
const REFRESH: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];
/// The first two requests are repeated sooner: one may be lost, and somebody waits for a picture.
const REPEATS: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(400)];
/// What is due so soon goes along with what is due now.
const TOGETHER: Duration = Duration::from_millis(1_000);
/// Up to so many members each asks at once.
const FEW: usize = 8;
/// What each further member adds to the time over which they spread, and the longest.
const SPREAD_EACH: Duration = Duration::from_micros(500);
/// See [`SPREAD_EACH`].
const SPREAD_MAX: Duration = Duration::from_millis(250);

/// What is known of one layer.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// When somebody else asked last.
    heard: Option<Timestamp>,
    /// When the next own request is due, while it is wanted here.
    due: Option<Timestamp>,
    /// Own requests since it is wanted, and none of others among them.
    asked: usize,
}

/// The state of one member.
pub struct Interests {
    known: Box<[Known; PLACES]>,
    wanted: Places,
    next: Option<Timestamp>,
    aloof: bool,
}

impl Default for Interests {
    fn default() -> Self {
        Self { known: Box::new([Known::default(); PLACES]), wanted: Places::default(), next: None, aloof: false }
    }
}

impl Interests {
    /// These layers are wanted here from now on, and no others. `members` = size of the conference.
    pub fn want(&mut self, now: Timestamp, wanted: Places, members: usize, random: &mut Random) {
        if wanted == self.wanted {
            return;
        }
        for place in self.wanted.iter().filter(|&place| !wanted.contains(place)) {
            self.known[place.index()].due = None;
        }
        let wait = first_wait(members, random);
        let refresh = random.between(REFRESH[0], REFRESH[1]);
        for place in wanted.iter().filter(|place| !self.wanted.contains(*place)) {
            let known = &mut self.known[place.index()];
            let heard = known.heard.filter(|&heard| now.since(heard) < REFRESH[0] && !self.aloof);
            known.asked = if heard.is_some() { REPEATS.len() } else { 0 };
            known.due = Some(match heard {
                Some(heard) => heard + refresh,
                None => now + wait,
            });
        }
        self.wanted = wanted;
        self.plan();
    }

    /// What is wanted here.
    pub fn wanted(&self) -> &Places {
        &self.wanted
    }

    /// Asks whatever others ask, or does not: who hears no group asks all the same, as whoever sends copies has to know what
    /// they want themselves.
    pub fn set_aloof(&mut self, aloof: bool) {
        self.aloof = aloof;
    }

    /// Somebody else asked for these.
    pub fn hear(&mut self, now: Timestamp, places: &Places, random: &mut Random) {
        // One wait for all of them: the least of many would come too early.
        let due = now + random.between(REFRESH[0], REFRESH[1]);
        for place in places.iter() {
            let known = &mut self.known[place.index()];
            known.heard = Some(now);
            if known.due.is_some() && !self.aloof {
                known.asked = REPEATS.len();
                known.due = Some(due);
            }
        }
        self.plan();
    }

    /// What is to be asked for now, if anything.
    pub fn ask(&mut self, now: Timestamp, random: &mut Random) -> Option<Places> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        let mut asked = Places::default();
        let waits = [0, 1, 2].map(|asked| wait_after(asked, random));
        for place in self.wanted.iter() {
            let known = &mut self.known[place.index()];
            if known.due.is_some_and(|due| due <= now + TOGETHER) {
                known.due = Some(now + waits[known.asked.min(REPEATS.len())]);
                known.asked += 1;
                asked.insert(place);
            }
        }
        self.plan();
        Some(asked)
    }

    /// When [`ask`](Self::ask) has something to ask for.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.next
    }

    /// What somebody else wanted as of `then` is taken to have been asked for `now`.
    pub fn renew(&mut self, then: Timestamp, now: Timestamp) {
        let known = self.known.iter_mut().filter_map(|known| known.heard.as_mut());
        known.filter(|heard| **heard + LIFE > then).for_each(|heard| *heard = now);
    }

    /// Which layers of `slot` somebody else wants.
    pub fn of_slot(&self, now: Timestamp, slot: u8) -> [bool; Layer::ALL.len()] {
        Layer::ALL.map(|layer| self.until(slot, layer).is_some_and(|until| until > now))
    }

    /// When the next of the layers of `slot` that somebody wants ends by silence.
    pub fn ends(&self, now: Timestamp, slot: u8) -> Option<Timestamp> {
        Layer::ALL.iter().filter_map(|&layer| self.until(slot, layer)).filter(|&until| until > now).min()
    }

    fn until(&self, slot: u8, layer: Layer) -> Option<Timestamp> {
        let place = Place::new(slot, layer)?;
        Some(self.known[place.index()].heard? + LIFE)
    }

    fn plan(&mut self) {
        self.next = self.wanted.iter().filter_map(|place| self.known[place.index()].due).min();
    }
}

/// What some members want, as long as they ask for it: of those who hear no group, for whoever sends them copies.
#[derive(Debug, Default)]
pub struct Asked {
    /// Until when, by [`Place::index`].
    until: BTreeMap<usize, Timestamp>,
}

impl Asked {
    /// One of them asked for these.
    pub fn hear(&mut self, now: Timestamp, places: &Places) {
        self.until.extend(places.iter().map(|place| (place.index(), now + LIFE)));
    }

    /// What they want now.
    pub fn wanted(&mut self, now: Timestamp) -> Places {
        self.until.retain(|_, until| *until > now);
        let mut wanted = Places::default();
        self.until.keys().filter_map(|&index| Place::from_index(index)).for_each(|place| wanted.insert(place));
        wanted
    }

    /// When the next of it ends by silence.
    pub fn ends(&self) -> Option<Timestamp> {
        self.until.values().min().copied()
    }
}

fn first_wait(members: usize, random: &mut Random) -> Duration {
    let spread = SPREAD_MAX.min(SPREAD_EACH * members.saturating_sub(FEW) as u32);
    // The larger of two: few go first, so that most of a crowd hear one of them in time.
    random.between(Duration::ZERO, spread).max(random.between(Duration::ZERO, spread))
}

fn wait_after(asked: usize, random: &mut Random) -> Duration {
    match REPEATS.get(asked) {
        Some(&soon) => soon + random.between(Duration::ZERO, soon / 2),
        None => random.between(REFRESH[0], REFRESH[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp(1_000_000_000 + ms * MS)
    }

    fn place(n: usize) -> Place {
        Place::from_index(n).unwrap()
    }

    fn of(numbers: &[usize]) -> Places {
        let mut places = Places::default();
        numbers.iter().for_each(|&n| places.insert(place(n)));
        places
    }

    fn ms(due: Option<Timestamp>) -> u64 {
        due.map_or(0, |due| due.since(at(0)).as_millis() as u64)
    }

    #[test]
    fn one_viewer_asks_at_once_repeats_and_then_asks_every_few_seconds() {
        let mut random = Random::new([1; 32]);
        let mut mine = Interests::default();
        mine.want(at(0), of(&[5]), 2, &mut random);
        let mut times = Vec::new();
        while let Some(due) = mine.next_timeout().filter(|&due| due < at(30_000)) {
            assert_eq!(mine.ask(Timestamp(due.0 - 1), &mut random), None, "not before it is due");
            assert_eq!(mine.ask(due, &mut random), Some(of(&[5])));
            times.push(ms(Some(due)));
        }
        assert!(times[0] == 0 && (150..=225).contains(&times[1]) && times[2] - times[1] <= 600, "{times:?}");
        let gaps: Vec<u64> = times[2..].windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps.len() > 6 && gaps.iter().all(|gap| (2_000..=4_000).contains(gap)), "{gaps:?}");
        mine.want(at(30_000), of(&[]), 2, &mut random);
        assert_eq!(mine.next_timeout(), None);
    }

    #[test]
    fn whoever_hears_somebody_else_ask_waits() {
        let mut random = Random::new([2; 32]);
        let mut mine = Interests::default();
        mine.want(at(0), of(&[5, 6]), 2, &mut random);
        assert_eq!(mine.ask(at(0), &mut random), Some(of(&[5, 6])));
        mine.hear(at(100), &of(&[5, 6, 9]), &mut random);
        assert!((2_100..=4_100).contains(&ms(mine.next_timeout())), "{:?}", mine.next_timeout());
        // Somebody asked a moment ago: no need to ask at once.
        mine.want(at(1_000), of(&[9]), 2, &mut random);
        assert!((2_100..=4_100).contains(&ms(mine.next_timeout())));
        mine.want(at(2_200), of(&[5]), 2, &mut random);
        assert_eq!(ms(mine.next_timeout()), 2_200, "who asked last may not want it any more");
    }

    #[test]
    fn a_layer_is_wanted_until_eight_seconds_of_silence() {
        let mut random = Random::new([3; 32]);
        let mut sender = Interests::default();
        assert_eq!((sender.of_slot(at(0), 1), sender.ends(at(0), 1)), ([false; 4], None));
        sender.hear(at(0), &of(&[4, 6, 8]), &mut random);
        assert_eq!(sender.of_slot(at(0), 1), [true, false, true, false]);
        sender.hear(at(500), &of(&[6]), &mut random);
        assert_eq!(sender.ends(at(500), 1), Some(at(8_000)));
        assert_eq!(sender.of_slot(Timestamp(at(8_000).0 - 1), 1), [true, false, true, false]);
        assert_eq!(sender.of_slot(at(8_000), 1), [false, false, true, false]);
        assert_eq!(sender.of_slot(at(8_500), 1), [false; 4]);
        assert_eq!(sender.of_slot(at(0), 200), [false; 4], "of a slot that does not exist nothing is wanted");
    }

    /// `viewers` all want the same 49 thumbs and hear each other after a millisecond or so, or not at all with `loss`.
    /// Returns (messages in the first second, messages a second after that, longest time the sender heard nothing).
    fn crowd(viewers: usize, loss_percent: u64, seed: u8) -> (usize, f64, u64) {
        let mut random = Random::new([seed; 32]);
        let thumbs: Vec<usize> = (0..49).map(|slot| 4 * slot).collect();
        let mut all: Vec<Interests> = (0..viewers).map(|_| Interests::default()).collect();
        let mut sender = Interests::default();
        all.iter_mut().for_each(|one| one.want(at(0), of(&thumbs), viewers, &mut random));
        let mut flying: Vec<(u64, usize, Places)> = Vec::new();
        let (mut first, mut later, mut heard, mut silence) = (0, 0, 0, 0);
        for now in 0..30_000 {
            let (arrived, still) = flying.into_iter().partition(|(when, ..)| *when <= now);
            flying = still;
            for (_, from, places) in arrived {
                for (n, one) in all.iter_mut().enumerate() {
                    if n != from && random.below(100) >= loss_percent {
                        one.hear(at(now), &places, &mut random);
                    }
                }
                if random.below(100) >= loss_percent {
                    sender.hear(at(now), &places, &mut random);
                    (silence, heard) = (silence.max(now - heard), now);
                }
            }
            for (n, one) in all.iter_mut().enumerate() {
                if let Some(places) = one.ask(at(now), &mut random) {
                    *(if now < 1_000 { &mut first } else { &mut later }) += 1;
                    flying.push((now + 1, n, places));
                }
            }
        }
        (first, later as f64 / 29.0, silence)
    }

    #[test]
    fn a_thousand_viewers_ask_little_more_often_than_one() {
        for (viewers, loss) in [(2, 0), (50, 0), (1_000, 0), (1_000, 10)] {
            let (first, per_s, silence) = crowd(viewers, loss, 7);
            assert!(first <= 24, "{viewers} viewers, {loss} % loss: {first} messages in the first second");
            assert!(per_s <= 4.0, "{viewers} viewers, {loss} % loss: {per_s} messages a second");
            assert!(silence < LIFE.as_millis() as u64, "{viewers} viewers: a layer lapsed after {silence} ms");
        }
    }
}
