//! Whom to hear: the loudest few, by the level each packet carries (RFC 6464), so that nobody else's packets are decoded.
//!
//! ```text
//! level of each packet -> loudness (rises at once, falls 20 dB a second)
//! a place is free             -> whoever speaks takes it
//! none is                     -> 6 dB louder than the weakest for 200 ms takes its place, if that had it for 500 ms
//! with priority, and speaking -> takes the weakest's place at once, and loses its own to nobody
//! ```
//! Who falls silent keeps the place until somebody needs it: a pause between words costs nothing. Packets without a level say
//! nothing of the voice in them; they count as soft speech. Must never look at samples.
//!
//! A level is its sender's word only. Whoever is heard is measured as well: by how much the word was too loud all through a
//! second is taken off what they say from then on, and forgiven by 1 dB a second.

use std::time::Duration;

use crate::time::Timestamp;

/// Voices heard at once, unless told otherwise.
pub const TALKERS: usize = 8;

/// Loudness from which one speaks, dBov.
const SPEAKS: f32 = -55.0;
/// Loudness of nobody.
const SILENT: f32 = -127.0;
/// What a packet without a level counts as.
const UNKNOWN: f32 = -45.0;
/// Fall in dB a second.
const FALL: f32 = 20.0;
/// Without sound for so long there was a pause.
const PAUSE: Duration = Duration::from_millis(100);
/// Measured over this time of being heard, a claim
const MEASURED_FOR: Duration = Duration::from_secs(1);
/// may be louder than the voice by so many dB: levels are taken before the codec, and over other times.
const EXCESS: f32 = 10.0;
/// What a claim was too loud by is forgiven by so many dB a second.
const FORGIVEN: f32 = 1.0;
/// Somebody else is to be louder by so many dB,
const LOUDER: f32 = 6.0;
/// for so long,
const LOUDER_FOR: Duration = Duration::from_millis(200);
/// and the place to have been had for so long.
const KEPT_FOR: Duration = Duration::from_millis(500);

/// One talker's claim to be heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// As claimed, at a time.
    claimed: f32,
    at: Timestamp,
    /// As measured, likewise.
    measured: f32,
    measured_at: Timestamp,
    /// The least by which the claim was too loud since this moment.
    excess: f32,
    excess_since: Timestamp,
    /// What is taken off the claim, as of a time.
    distrust: f32,
    distrust_at: Timestamp,
    heard: bool,
    /// Since when `heard` is as it is.
    since: Timestamp,
    /// Since when it is louder than somebody who is heard.
    louder: Option<Timestamp>,
    /// Speaks over all others.
    pub(super) priority: bool,
    /// Is not to be heard at all.
    pub(super) silenced: bool,
}

impl Default for Claim {
    fn default() -> Self {
        let at = Timestamp::default();
        Self {
            claimed: SILENT,
            at,
            measured: SILENT,
            measured_at: at,
            excess: f32::MAX,
            excess_since: at,
            distrust: 0.0,
            distrust_at: at,
            heard: false,
            since: at,
            louder: None,
            priority: false,
            silenced: false,
        }
    }
}

impl Claim {
    /// A packet came with this level in -dBov, 0 the loudest.
    pub(super) fn packet(&mut self, now: Timestamp, minus_dbov: Option<u8>) {
        let level = minus_dbov.map_or(UNKNOWN, |minus| -f32::from(minus));
        self.claimed = self.claimed(now).max(level);
        self.at = now;
    }

    /// What was decoded is so loud.
    pub(super) fn measured(&mut self, now: Timestamp, dbfs: f32) {
        if now.since(self.measured_at) > PAUSE {
            // The first steps of a word are soft: of what was before it nothing is concluded.
            (self.excess, self.excess_since) = (f32::MAX, now);
        }
        let before = fallen(self.measured, now, self.measured_at);
        (self.measured, self.measured_at) = (before.max(dbfs), now);
        self.excess = self.excess.min(self.claimed(now) - self.measured - EXCESS);
        if now.since(self.excess_since) >= MEASURED_FOR {
            (self.distrust, self.distrust_at) = (self.excess.max(0.0), now);
            (self.excess, self.excess_since) = (f32::MAX, now);
        }
    }

    fn claimed(&self, now: Timestamp) -> f32 {
        fallen(self.claimed, now, self.at)
    }

    /// How loud it was in the last moments, dBov, as far as it is to be believed.
    pub(super) fn loudness(&self, now: Timestamp) -> f32 {
        let distrust = (self.distrust - FORGIVEN * now.since(self.distrust_at).as_secs_f32()).max(0.0);
        (self.claimed(now) - distrust).max(SILENT)
    }

    /// Whether it is to be decoded and mixed.
    pub(super) fn heard(&self) -> bool {
        self.heard && !self.silenced
    }

    fn turn(&mut self, now: Timestamp, heard: bool) {
        (self.heard, self.since, self.louder) = (heard, now, None);
        (self.excess, self.excess_since) = (f32::MAX, now);
    }

    /// Order in which places are lost, the first first.
    fn weight(&self, now: Timestamp) -> f32 {
        match (self.silenced, self.loudness(now)) {
            (true, _) => f32::MIN,
            (_, loudness) if self.priority && loudness >= SPEAKS => f32::MAX,
            (_, loudness) => loudness,
        }
    }
}

/// A loudness of before, now.
fn fallen(loudness: f32, now: Timestamp, at: Timestamp) -> f32 {
    (loudness - FALL * now.since(at).as_secs_f32()).max(SILENT)
}

/// Gives at most `places` of `claims` a place: `of` finds the claim in each.
pub(super) fn choose<T>(now: Timestamp, places: usize, all: &mut [T], of: impl Fn(&mut T) -> &mut Claim) {
    let mut taken = 0;
    let mut weakest: Option<(usize, f32)> = None;
    for (i, one) in all.iter_mut().enumerate() {
        let claim = of(one);
        if claim.heard {
            taken += 1;
            let weight = claim.weight(now);
            if weakest.is_none_or(|(_, least)| weight < least) {
                weakest = Some((i, weight));
            }
        }
    }
    // Fewer places than before: the weakest lose theirs one by one.
    if taken > places
        && let Some((i, _)) = weakest
    {
        of(&mut all[i]).turn(now, false);
        return;
    }
    let mut best: Option<(usize, f32)> = None;
    for (i, one) in all.iter_mut().enumerate() {
        let claim = of(one);
        if claim.heard || claim.silenced || claim.loudness(now) < SPEAKS {
            claim.louder = None;
            continue;
        }
        let weight = claim.weight(now);
        if taken < places {
            claim.turn(now, true);
            taken += 1;
            continue;
        }
        if weakest.is_some_and(|(_, least)| weight > least + LOUDER) {
            claim.louder.get_or_insert(now);
        } else {
            claim.louder = None;
        }
        if best.is_none_or(|(_, most)| weight > most) {
            best = Some((i, weight));
        }
    }
    let (Some((best, strong)), Some((weakest, weak))) = (best, weakest) else { return };
    let long = of(&mut all[best]).louder.is_some_and(|since| now.since(since) >= LOUDER_FOR);
    let kept = now.since(of(&mut all[weakest]).since) >= KEPT_FOR;
    // A place nobody speaks at is free, and so is one for somebody with priority, unless it has that as well.
    let free = weak < SPEAKS || (strong == f32::MAX && weak < f32::MAX);
    if free || (long && kept) {
        of(&mut all[weakest]).turn(now, false);
        of(&mut all[best]).turn(now, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Talkers who send a packet each 20 ms.
    struct Room {
        claims: Vec<Claim>,
        now: Timestamp,
        places: usize,
        changes: usize,
    }

    impl Room {
        fn new(talkers: usize, places: usize) -> Self {
            let now = Timestamp::from_millis(10_000);
            Self { claims: vec![Claim::default(); talkers], now, places, changes: 0 }
        }

        /// Lets everybody send for a while; `level(talker, packet)` in -dBov, `None`: nothing is sent.
        fn run(&mut self, ms: u64, level: impl Fn(usize, u64) -> Option<u8>) {
            for n in 0..ms / 20 {
                for (i, claim) in self.claims.iter_mut().enumerate() {
                    if let Some(minus) = level(i, n) {
                        claim.packet(self.now, Some(minus));
                    }
                }
                let before = self.heard();
                choose(self.now, self.places, &mut self.claims, |claim| claim);
                self.changes += self.heard().iter().filter(|i| !before.contains(i)).count();
                assert!(self.heard().len() <= self.places);
                self.now = self.now + Duration::from_millis(20);
            }
        }

        fn heard(&self) -> Vec<usize> {
            (0..self.claims.len()).filter(|&i| self.claims[i].heard()).collect()
        }
    }

    #[test]
    fn the_loudest_are_heard_and_who_comes_first_while_there_is_room() {
        let mut room = Room::new(20, 8);
        room.run(2_000, |i, _| (i < 5).then_some(40));
        assert_eq!(room.heard(), [0, 1, 2, 3, 4]);
        // Twelve more, all louder.
        room.run(5_000, |i, _| (i < 17).then_some(if i < 5 { 40 } else { 20 + i as u8 / 4 }));
        assert_eq!(room.heard(), [5, 6, 7, 8, 9, 10, 11, 12].map(|i: usize| i), "{:?}", room.changes);
        assert!(room.changes <= 16, "{}", room.changes);
    }

    #[test]
    fn equals_keep_their_places_however_their_syllables_fall() {
        let mut room = Room::new(16, 8);
        // Everybody's level swings by 5 dB, each at a beat of its own, with breaths.
        room.run(30_000, |i, n| {
            Some(if (n + 7 * i as u64) % 40 > 35 { 70 } else { 25 + ((n * (i as u64 + 3)) % 6) as u8 })
        });
        assert_eq!(room.changes, 8, "who came first");
    }

    #[test]
    fn a_louder_one_waits_exactly_as_long_as_is_asked() {
        let mut room = Room::new(2, 1);
        room.run(1_000, |i, _| (i == 0).then_some(30));
        let take = |louder: u8| {
            let mut room = Room { claims: room.claims.clone(), ..room };
            for waited in (0..3_000).step_by(20) {
                room.run(20, |i, _| Some(if i == 0 { 30 } else { louder }));
                if room.heard() == [1] {
                    return Some(waited);
                }
            }
            None
        };
        assert_eq!(take(24), None, "6 dB are not more than 6 dB");
        assert_eq!(take(23), Some(LOUDER_FOR.as_millis() as u64));
        assert_eq!(take(60), None, "nor is a whisper speech");
    }

    #[test]
    fn the_place_of_who_fell_silent_is_taken_at_once() {
        let mut room = Room::new(2, 1);
        room.run(1_000, |i, _| (i == 0).then_some(30));
        room.run(3_000, |_, _| None);
        assert_eq!(room.heard(), [0], "until somebody needs it");
        room.run(20, |i, _| (i == 1).then_some(50));
        assert_eq!(room.heard(), [1]);
    }

    #[test]
    fn priority_takes_a_place_at_once_and_keeps_it() {
        let mut room = Room::new(3, 1);
        room.run(600, |i, _| (i == 0).then_some(10));
        room.claims[1].priority = true;
        room.run(20, |i, _| (i < 2).then_some(if i == 0 { 10 } else { 50 }));
        assert_eq!(room.heard(), [1]);
        room.run(3_000, |i, _| Some(if i == 1 { 50 } else { 0 }));
        assert_eq!(room.heard(), [1]);
        room.run(3_000, |i, _| (i == 0).then_some(50));
        assert_eq!(room.heard(), [0], "nothing is said with it");
        room.run(20, |i, _| Some(if i == 1 { 50 } else { 0 }));
        assert_eq!(room.heard(), [1]);
        room.claims[1].priority = false;
        room.run(1_000, |i, _| Some(if i == 1 { 50 } else { 0 }));
        assert_ne!(room.heard(), [1]);
    }

    #[test]
    fn who_is_silenced_takes_no_place_and_fewer_places_are_obeyed() {
        let mut room = Room::new(4, 3);
        room.claims[0].silenced = true;
        room.run(1_000, |_, _| Some(20));
        assert_eq!(room.heard(), [1, 2, 3]);
        room.places = 1;
        let levels = |i: usize, _| Some(20 + i as u8);
        for _ in 0..2 {
            choose(room.now, 1, &mut room.claims, |claim| claim);
        }
        room.run(1_000, levels);
        assert_eq!(room.heard().len(), 1);
    }

    #[test]
    fn who_claims_to_shout_in_silence_keeps_no_place() {
        let mut room = Room::new(2, 1);
        // Talker 0 says 0 dBov of each packet, in which there is nothing; talker 1 speaks.
        let mut had = 0;
        for n in 0..3_000 {
            room.run(20, |i, _| if i == 0 { Some(0) } else { (n >= 25).then_some(30) });
            for i in room.heard() {
                let now = room.now;
                room.claims[i].measured(now, if i == 0 { SILENT } else { -30.0 });
            }
            had += u64::from(room.heard() == [0]);
            assert!(n < 100 || room.heard() == [1] || n > 2_600, "packet {n}");
        }
        assert!((25..150).contains(&had), "{had} of 3000 packets");
        // What is honest is believed, although it is heard later than it is claimed.
        let mut claim = Claim { heard: true, ..Claim::default() };
        for ms in (0..60_000u64).step_by(20) {
            let level = |ms: u64| if ms % 4_000 < 2_500 { 25 + (ms / 20 % 8) as u8 } else { 70 };
            let now = Timestamp::from_millis(10_000 + ms);
            claim.packet(now, Some(level(ms)));
            claim.measured(now, -f32::from(level(ms.saturating_sub(400))) - 4.0);
            assert_eq!(claim.loudness(now), claim.claimed(now), "at {ms} ms");
        }
    }

    #[test]
    fn packets_without_a_level_are_soft_speech() {
        let mut claim = Claim::default();
        claim.packet(Timestamp::from_millis(1), None);
        assert_eq!(claim.loudness(Timestamp::from_millis(1)), UNKNOWN);
        assert_eq!(claim.loudness(Timestamp::from_millis(1_001)), UNKNOWN - FALL);
    }
}
