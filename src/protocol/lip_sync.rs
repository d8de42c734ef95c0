//! How long a person's sound has to wait for the person's picture, or the picture for the sound.
//!
//! ```text
//! skew = delay of the sound, capture to ear, less that of the picture, capture to window
//!     below -40 ms: the sound leads       -> pictures wait less, or it waits as much longer
//!     above 60 ms: the sound lags         -> it waits less, as far as it waited for the picture at all
//!     above 32 ms in the mean of 3 s      -> pictures wait, until the sound lags by 20 ms
//!     else                                -> nobody notices: nothing is done
//! ```
//! Eyes expect sound after light, hence the uneven bounds (EBU R 37: sound 40 ms early to 60 late). But sound and picture are to
//! be within 40 ms in 95 of 100 moments either way, and what good devices make of it (a packet, filters, buffers on both sides) is
//! 50 to 65 ms of sound and 3 of picture: within the bounds of that rule, and too much for this one. So pictures are held for
//! a sound that is late for long, from a mean on which its noise carries over 40 ms. Holding costs delay of the picture, hence
//! it is no longer than it must be: 20 ms are left of the lag, which no eye sees; it is done only while there are words to be
//! heard, and ends where the sound would lag by no more than that without it, so that no noise has it come and go. It
//! becomes less by steps shorter than a picture lasts.
//!
//! Never do both wait: what the sound waits is taken back before pictures wait. What the sound waits is meant to bring both
//! together: while it waits and is off by more than 8 ms in the mean of 3 s, it waits as much longer or less.
//! A change takes a moment to be seen in what is measured; nothing is concluded from that moment.
//! Delays are milliseconds, measured about once a second.

use crate::limits::PICTURE_HOLD_MS_MAX;

/// The sound may be ahead by this much.
const LEAD_MAX: f32 = 40.0;
/// And behind by this much, before what it waits is taken back at once.
const LAG_MAX: f32 = 60.0;
/// While one waits for the other they may be off by so much, in the mean of so many measurements: one of them is off by half
/// the time between pictures.
const WAITS_OFF_MAX: f32 = 8.0;
const WAITS_TIMES: u8 = 3;
/// Measurements until the sound waits as it was told, and until pictures that do were all of those measured.
const SETTLES: u8 = 3;
const HOLD_SETTLES: u8 = 2;
/// Longest delay of the sound for the sake of the picture; a picture later than that is of no use to a talk.
const WAIT_MAX: f32 = 200.0;
/// A sound that is behind by more than this in the mean has the pictures wait until it is behind by `LAG_LEFT`.
const LAG_MEAN_MAX: f32 = 32.0;
const LAG_LEFT: f32 = 20.0;
const HOLD_MAX: f32 = PICTURE_HOLD_MS_MAX as f32;
/// Pictures that are to wait less do so by this much less a measurement: of 30 a second none is left out for it.
const HOLD_STEP: f32 = 20.0;
/// After so many measurements without a word pictures wait for none.
const QUIET_TIMES: u8 = 10;

/// What there was to hear of a person since the last measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Nothing is sent, or nothing of it is played here.
    Off,
    /// No word.
    Quiet,
    /// Words.
    Talks,
}

/// What one person's sound and pictures wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LipSync {
    wait: f32,
    /// What pictures wait, and what they wait while there are words.
    hold: f32,
    hold_of_words: f32,
    /// Measurements without a word.
    quiet: u8,
    /// Measurements that tell nothing yet.
    settles: u8,
    /// What was measured since then.
    sum: f32,
    times: u8,
    sound: Option<f32>,
    skew: Option<f32>,
}

impl LipSync {
    /// Takes in what there was to hear and the delays of the last moments, `None` without sound or picture, and of the sound's
    /// delay the part that waits for late packets and may be raised. Returns the least this part should be from now on,
    /// when something is to be done; [`hold`](Self::hold) is what pictures wait from now on.
    pub fn measure(&mut self, voice: Voice, sound: Option<f32>, picture: Option<f32>, buffer: f32) -> Option<f32> {
        self.sound = sound;
        self.skew = sound.zip(picture).map(|(sound, picture)| sound - picture);
        self.quiet = match voice {
            Voice::Off => QUIET_TIMES,
            Voice::Quiet => QUIET_TIMES.min(self.quiet + 1),
            Voice::Talks => 0,
        };
        let told = match self.skew {
            // Nobody sees what it would wait for. Who is silent for a moment begins again in step.
            None if picture.is_none() => {
                self.hold_of_words = 0.0;
                self.set_wait(0.0)
            }
            None => None,
            Some(_) if self.settles > 0 => {
                self.settles -= 1;
                None
            }
            Some(skew) => self.conclude(skew, buffer),
        };
        self.move_hold();
        told
    }

    /// Whether nobody hears a word that pictures would wait for.
    fn is_quiet(&self) -> bool {
        self.quiet >= QUIET_TIMES
    }

    fn conclude(&mut self, skew: f32, buffer: f32) -> Option<f32> {
        let before = self.wait;
        if skew < -LEAD_MAX && self.hold == 0.0 {
            self.hold_of_words = 0.0;
            return self.set_wait(buffer - skew);
        }
        if before > 0.0 && skew > LAG_MAX {
            return self.set_wait(before - skew);
        }
        if self.hold > 0.0 && skew < -LEAD_MAX {
            self.aim(skew + self.hold);
            return None;
        }
        match self.mean(skew)? {
            longer if before > 0.0 && longer < -WAITS_OFF_MAX => self.set_wait(before.max(buffer) - longer),
            less if before > 0.0 && less > WAITS_OFF_MAX => self.set_wait(before - less),
            mean if before == 0.0 && !self.is_quiet() => {
                self.aim(mean + self.hold);
                None
            }
            _ => None,
        }
    }

    /// The least delay of the sound, when it is another one than before.
    fn set_wait(&mut self, wait: f32) -> Option<f32> {
        let before = std::mem::replace(&mut self.wait, wait.clamp(0.0, WAIT_MAX));
        self.settle(if self.wait > 0.0 { SETTLES } else { 0 });
        (self.wait != before).then_some(self.wait)
    }

    /// Has pictures wait for a sound that is behind by `lag` when they do not.
    fn aim(&mut self, lag: f32) {
        let borne = if self.hold_of_words > 0.0 { LAG_LEFT } else { LAG_MEAN_MAX };
        let hold = if lag > borne { (lag - LAG_LEFT).min(HOLD_MAX) } else { 0.0 };
        if hold == 0.0 || (hold - self.hold_of_words).abs() > WAITS_OFF_MAX {
            self.hold_of_words = hold;
        }
    }

    /// Longer at once: pictures stand still for as long. Less long by steps.
    fn move_hold(&mut self) {
        let aim = if self.is_quiet() { 0.0 } else { self.hold_of_words };
        let hold = aim.max(self.hold - HOLD_STEP);
        if hold != self.hold {
            self.hold = hold;
            self.settle(HOLD_SETTLES);
        }
    }

    fn settle(&mut self, times: u8) {
        (self.settles, self.sum, self.times) = (times, 0.0, 0);
    }

    /// The mean of the last measurements, once there are enough since the last one.
    fn mean(&mut self, skew: f32) -> Option<f32> {
        self.sum += skew;
        self.times += 1;
        (self.times >= WAITS_TIMES).then(|| {
            self.times = 0;
            std::mem::take(&mut self.sum) / f32::from(WAITS_TIMES)
        })
    }

    /// How long after its arrival each picture is to be shown.
    pub fn hold(&self) -> f32 {
        self.hold
    }

    /// The delay of the sound when it was measured last.
    pub fn sound(&self) -> Option<f32> {
        self.sound
    }

    /// How much later than the picture the sound was when they were measured last; negative: sooner.
    pub fn skew(&self) -> Option<f32> {
        self.skew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_up_to_the_exact_edges() {
        for (sound, picture, expected) in [
            (50.0, 50.0, None),
            (20.0, 60.0, None),
            (20.0, 60.5, Some(8.0 + 40.5)),
            (110.0, 50.0, None),
            // Later than the picture by itself: there is nothing to take back.
            (300.0, 50.0, None),
            (20.0, 900.0, Some(WAIT_MAX)),
        ] {
            let mut lips = LipSync::default();
            assert_eq!(lips.measure(Voice::Talks, Some(sound), Some(picture), 8.0), expected, "{sound} {picture}");
            assert_eq!(lips.skew(), Some(sound - picture));
        }
    }

    #[test]
    fn the_sound_waits_for_a_slow_picture_and_no_longer_than_it_is_slow() {
        // The sound takes 20 ms beside what it waits for late packets: 8 ms, or what it is told.
        let (mut lips, mut wait, mut changes) = (LipSync::default(), 8.0f32, 0);
        let mut skew = 0.0;
        for second in 0..30 {
            let picture = if second < 10 { 100.0 } else { 85.0 };
            skew = 20.0 + wait - picture;
            if let Some(least) = lips.measure(Voice::Talks, Some(20.0 + wait), Some(picture), wait) {
                wait = least.max(8.0);
                changes += 1;
            }
            if second == 5 {
                assert_eq!((wait, skew), (80.0, 0.0));
            }
        }
        assert!(skew.abs() <= WAITS_OFF_MAX && changes == 2, "{skew} {changes}: 15 ms behind are not left");
        // Much is enough at once, and nothing is concluded while the sound is on its way there.
        assert_eq!(lips.measure(Voice::Talks, Some(100.0), Some(39.0), wait), Some(wait - 61.0));
        for _ in 0..SETTLES {
            assert_eq!(lips.measure(Voice::Talks, Some(100.0), Some(39.0), wait), None);
        }
        assert_eq!(lips.measure(Voice::Talks, Some(100.0), Some(10.0), wait), Some(0.0));
        assert_eq!(
            lips.measure(Voice::Talks, Some(100.0), Some(10.0), wait),
            None,
            "there is nothing more to take back"
        );
    }

    #[test]
    fn one_picture_that_is_late_changes_nothing_and_a_little_for_long_does() {
        let mut lips = LipSync::default();
        assert_eq!(lips.measure(Voice::Talks, Some(20.0), Some(100.0), 8.0), Some(88.0));
        let mut told = Vec::new();
        for skew in [0.0, 0.0, 0.0, 20.0, -4.0, 0.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0] {
            told.extend(lips.measure(Voice::Talks, Some(100.0 + skew), Some(100.0), 88.0));
        }
        assert_eq!(told, [79.0, 97.0]);
    }

    #[test]
    fn apart_by_no_more_than_forty_milliseconds_in_95_of_100_moments() {
        let mut random = 7u32;
        let mut noise = |by: f32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            by * ((random >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        // What sound and picture take beside the wait, and how much that varies; the first pictures take longer.
        for (sound, picture, first) in
            [(25.0, 60.0, 60.0), (25.0, 120.0, 350.0), (50.0, 180.0, 300.0), (30.0, 70.0, 250.0)]
        {
            let (mut lips, mut wait, mut apart) = (LipSync::default(), 8.0f32, Vec::new());
            for second in 0..120 {
                let (base, by) = (if second < 3 { first } else { picture }, noise(8.0));
                let (sound, picture) = (sound + wait + noise(4.0), base + by);
                if second >= 10 {
                    apart.push((sound - picture).abs());
                }
                if let Some(least) = lips.measure(Voice::Talks, Some(sound), Some(picture), wait) {
                    wait = least.max(8.0);
                }
            }
            apart.sort_by(f32::total_cmp);
            let p95 = apart[apart.len() * 95 / 100];
            assert!(p95 <= 40.0, "{p95} ms");
        }
    }

    #[test]
    fn without_a_picture_there_is_nothing_to_wait_for() {
        let mut lips = LipSync::default();
        assert_eq!(lips.measure(Voice::Talks, None, Some(100.0), 8.0), None);
        assert!(lips.measure(Voice::Talks, Some(20.0), Some(100.0), 8.0).is_some());
        assert_eq!(
            lips.measure(Voice::Talks, None, Some(100.0), 88.0),
            None,
            "who is silent for a moment waits as before"
        );
        assert_eq!(lips.measure(Voice::Talks, Some(100.0), None, 88.0), Some(0.0));
        assert_eq!((lips.measure(Voice::Talks, Some(20.0), None, 8.0), lips.skew()), (None, None));
    }

    /// One second of a sound and of a picture that take so long when neither waits; the skew that is seen in it.
    fn second(lips: &mut LipSync, voice: Voice, sound: f32, picture: f32) -> f32 {
        let (hold, wait) = (lips.hold(), lips.wait);
        lips.measure(voice, Some(sound + wait), Some(picture + hold), wait);
        sound + wait - picture - hold
    }

    /// So many of them.
    fn seconds(count: usize, lips: &mut LipSync, voice: Voice, sound: f32, picture: f32) {
        for _ in 0..count {
            second(lips, voice, sound, picture);
        }
    }

    #[test]
    fn pictures_wait_for_a_sound_that_is_late_for_long_and_for_no_other() {
        for (sound, hold) in [(20.0, 0.0), (35.0, 0.0), (36.0, 13.0), (55.0, 32.0), (68.0, 45.0), (400.0, HOLD_MAX)] {
            let mut lips = LipSync::default();
            seconds(20, &mut lips, Voice::Talks, sound, 3.0);
            assert_eq!(lips.hold(), hold, "{sound}");
        }
        let mut lips = LipSync::default();
        seconds(3, &mut lips, Voice::Talks, 55.0, 3.0);
        assert_eq!(lips.hold(), 32.0, "after three seconds");
        assert_eq!(second(&mut lips, Voice::Talks, 55.0, 3.0), LAG_LEFT);
    }

    #[test]
    fn a_hold_that_serves_stays_as_it_is_and_one_that_does_not_goes_by_steps() {
        let mut lips = LipSync::default();
        seconds(10, &mut lips, Voice::Talks, 55.0, 3.0);
        // Less than what it began with, and more: nothing wobbles.
        for n in 0..60 {
            second(&mut lips, Voice::Talks, 52.0 + f32::from(n as u8 % 7), 3.0);
            assert_eq!(lips.hold(), 32.0, "{n}");
        }
        seconds(10, &mut lips, Voice::Talks, 90.0, 3.0);
        assert_eq!(lips.hold(), 67.0);
        let mut holds = Vec::new();
        for _ in 0..12 {
            let before = lips.hold();
            second(&mut lips, Voice::Talks, 22.0, 3.0);
            holds.push(lips.hold());
            assert!(before - lips.hold() <= HOLD_STEP, "{holds:?}");
        }
        assert_eq!(holds.last(), Some(&0.0), "{holds:?}");
    }

    #[test]
    fn pictures_wait_for_words_only_and_at_once_when_they_come_again() {
        for (voice, times) in [(Voice::Off, 2), (Voice::Quiet, QUIET_TIMES + 1)] {
            let mut lips = LipSync::default();
            seconds(5, &mut lips, Voice::Talks, 55.0, 3.0);
            for n in 0..times {
                assert!(lips.hold() > 0.0, "{voice:?} {n}");
                second(&mut lips, voice, 55.0, 3.0);
            }
            assert_eq!(lips.hold(), 0.0, "{voice:?}");
            seconds(20, &mut lips, voice, 55.0, 3.0);
            assert_eq!(lips.hold(), 0.0, "{voice:?}");
            second(&mut lips, Voice::Talks, 55.0, 3.0);
            assert_eq!(lips.hold(), 32.0, "{voice:?}");
        }
        let mut lips = LipSync::default();
        seconds(20, &mut lips, Voice::Off, 55.0, 3.0);
        assert_eq!(lips.hold(), 0.0);
    }

    #[test]
    fn what_the_sound_waits_is_taken_back_before_pictures_wait_and_the_other_way_round() {
        let mut lips = LipSync::default();
        let mut both = |times: usize, sound: f32, picture: f32| {
            let mut last = 0.0;
            for _ in 0..times {
                last = second(&mut lips, Voice::Talks, sound, picture);
                assert!(lips.hold() == 0.0 || lips.wait == 0.0, "{lips:?}");
            }
            (last, lips.hold() > 0.0, lips.wait > 0.0)
        };
        // A slow picture, then a fast one, then a slow one.
        assert_eq!(both(10, 55.0, 150.0), (0.0, false, true));
        assert_eq!(both(30, 55.0, 3.0), (LAG_LEFT, true, false));
        assert_eq!(both(30, 55.0, 150.0), (0.0, false, true));
    }

    #[test]
    fn with_a_picture_at_once_they_are_apart_by_no_more_than_forty_in_95_of_100_moments() {
        let mut random = 7u32;
        let mut noise = |by: f32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            by * ((random >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        for sound in [24.0, 30.0, 34.0, 37.0, 45.0, 55.0, 65.0, 110.0] {
            let (mut lips, mut apart, mut holds) = (LipSync::default(), Vec::new(), Vec::new());
            for n in 0..300 {
                let skew = second(&mut lips, Voice::Talks, sound + noise(6.0), 3.0 + noise(2.0));
                if n >= 5 {
                    apart.push(skew.abs());
                    holds.push(lips.hold());
                }
            }
            apart.sort_by(f32::total_cmp);
            let p95 = apart[apart.len() * 95 / 100];
            holds.dedup();
            assert!(p95 <= 40.0 && holds.len() <= 2, "{sound}: {p95} ms; {holds:?}");
        }
    }
}
