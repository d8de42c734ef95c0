//! How long a person's sound has to wait for the person's picture.
//!
//! ```text
//! skew = delay of the sound, capture to ear, less that of the picture, capture to window
//!     below -40 ms: the sound leads       -> it waits as much longer
//!     -40..60 ms                          -> nobody notices: nothing is done
//!     above 60 ms: the sound lags         -> it waits less, as far as it waited for the picture at all
//! ```
//! Eyes expect sound after light, hence the uneven bounds (EBU R 37). Pictures never wait: the newest complete one is shown, and
//! a picture held back for a sound that is 50 ms late would be late for everything else. What the sound waits is meant to bring
//! both together, though: while it waits and is off by more than 8 ms in the mean of 3 s, it waits as much longer or less.
//! The sound takes a moment to get there, in which nothing is concluded.
//! Delays are milliseconds, measured about once a second.

/// The sound may be ahead by this much.
const LEAD_MAX: f32 = 40.0;
/// And behind by this much.
const LAG_MAX: f32 = 60.0;
/// While it waits for the picture it may be off by so much, in the mean of so many measurements: one of them is off by half
/// the time between pictures.
const WAITS_OFF_MAX: f32 = 8.0;
const WAITS_TIMES: u8 = 3;
/// Measurements until the sound waits as it was told.
const SETTLES: u8 = 3;
/// Longest delay of the sound for the sake of the picture; a picture later than that is of no use to a talk.
const WAIT_MAX: f32 = 200.0;

/// What one person's sound waits for the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LipSync {
    wait: f32,
    /// Measurements that tell nothing yet.
    settles: u8,
    /// What was measured since then, while the sound waits.
    sum: f32,
    times: u8,
    sound: Option<f32>,
    skew: Option<f32>,
}

impl LipSync {
    /// Takes in the delays of the last moments, `None` without sound or picture, and of the sound's delay the part that waits
    /// for late packets and may be raised. Returns the least this part should be from now on, when something is to be done.
    pub fn measure(&mut self, sound: Option<f32>, picture: Option<f32>, buffer: f32) -> Option<f32> {
        let before = self.wait;
        self.sound = sound;
        self.skew = sound.zip(picture).map(|(sound, picture)| sound - picture);
        let wait = match self.skew {
            // Nobody sees what it would wait for. Who is silent for a moment begins again in step.
            None if before > 0.0 && picture.is_none() => 0.0,
            None => return None,
            Some(_) if self.settles > 0 => {
                self.settles -= 1;
                return None;
            }
            Some(skew) if skew < -LEAD_MAX => buffer - skew,
            Some(skew) if before > 0.0 && skew > LAG_MAX => before - skew,
            Some(skew) => match self.mean(skew)? {
                longer if longer < -WAITS_OFF_MAX => before.max(buffer) - longer,
                less if less > WAITS_OFF_MAX => before - less,
                _ => return None,
            },
        };
        self.wait = wait.clamp(0.0, WAIT_MAX);
        (self.settles, self.sum, self.times) = (if self.wait > 0.0 { SETTLES } else { 0 }, 0.0, 0);
        (self.wait != before).then_some(self.wait)
    }

    /// The mean of the last measurements, once there are enough since the last one, while the sound waits.
    fn mean(&mut self, skew: f32) -> Option<f32> {
        if self.wait == 0.0 {
            return None;
        }
        self.sum += skew;
        self.times += 1;
        (self.times >= WAITS_TIMES).then(|| {
            self.times = 0;
            std::mem::take(&mut self.sum) / f32::from(WAITS_TIMES)
        })
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
            assert_eq!(lips.measure(Some(sound), Some(picture), 8.0), expected, "{sound} {picture}");
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
            if let Some(least) = lips.measure(Some(20.0 + wait), Some(picture), wait) {
                wait = least.max(8.0);
                changes += 1;
            }
            if second == 5 {
                assert_eq!((wait, skew), (80.0, 0.0));
            }
        }
        assert!(skew.abs() <= WAITS_OFF_MAX && changes == 2, "{skew} {changes}: 15 ms behind are not left");
        // Much is enough at once, and nothing is concluded while the sound is on its way there.
        assert_eq!(lips.measure(Some(100.0), Some(39.0), wait), Some(wait - 61.0));
        for _ in 0..SETTLES {
            assert_eq!(lips.measure(Some(100.0), Some(39.0), wait), None);
        }
        assert_eq!(lips.measure(Some(100.0), Some(10.0), wait), Some(0.0));
        assert_eq!(lips.measure(Some(100.0), Some(10.0), wait), None, "there is nothing more to take back");
    }

    #[test]
    fn one_picture_that_is_late_changes_nothing_and_a_little_for_long_does() {
        let mut lips = LipSync::default();
        assert_eq!(lips.measure(Some(20.0), Some(100.0), 8.0), Some(88.0));
        let mut told = Vec::new();
        for skew in [0.0, 0.0, 0.0, 20.0, -4.0, 0.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0] {
            told.extend(lips.measure(Some(100.0 + skew), Some(100.0), 88.0));
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
                if let Some(least) = lips.measure(Some(sound), Some(picture), wait) {
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
        assert_eq!(lips.measure(None, Some(100.0), 8.0), None);
        assert!(lips.measure(Some(20.0), Some(100.0), 8.0).is_some());
        assert_eq!(lips.measure(None, Some(100.0), 88.0), None, "who is silent for a moment waits as before");
        assert_eq!(lips.measure(Some(100.0), None, 88.0), Some(0.0));
        assert_eq!((lips.measure(Some(20.0), None, 8.0), lips.skew()), (None, None));
    }
}
