//! Whether somebody speaks, by loudness: for voice activation, and for telling those who are muted that they are.
//!
//! ```text
//! louder than the threshold for long enough ──> speaks ──softer for the whole hangover──> silent
//! ```
//! Soft moments between syllables count against the loud ones before them, and end nothing.

/// Listens to levels.
#[derive(Clone, Copy, Debug)]
pub struct Activity {
    threshold_dbfs: f32,
    /// Loud samples, less soft ones, that make speech.
    onset: usize,
    hangover: usize,
    loud: usize,
    /// Of the hangover; 0 while nobody speaks.
    left: usize,
}

impl Activity {
    /// Speech is louder than `threshold_dbfs` for `onset` samples, and over after `hangover` samples that are not.
    pub fn new(threshold_dbfs: f32, onset: usize, hangover: usize) -> Self {
        Self { threshold_dbfs, onset, hangover, loud: 0, left: 0 }
    }

    /// Takes `samples` samples of this level into account; whether somebody speaks.
    pub fn feed(&mut self, level_dbfs: f32, samples: usize) -> bool {
        if level_dbfs > self.threshold_dbfs {
            self.loud = (self.loud + samples).min(self.onset);
        } else {
            self.loud = self.loud.saturating_sub(samples);
            self.left = self.left.saturating_sub(samples);
        }
        let speaks = level_dbfs > self.threshold_dbfs && (self.left > 0 || self.loud >= self.onset);
        if speaks {
            self.left = self.hangover.max(1);
        }
        self.left > 0
    }

    /// Listens for another loudness.
    pub fn set_threshold(&mut self, dbfs: f32) {
        self.threshold_dbfs = dbfs;
    }

    /// Nobody spoke so far.
    pub fn reset(&mut self) {
        (self.loud, self.left) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step for each letter: loud (x) or soft (.).
    fn heard(activity: &mut Activity, levels: &str) -> String {
        let mark = |l: char| if activity.feed(if l == 'x' { -30.0 } else { -60.0 }, 480) { 'x' } else { '.' };
        levels.chars().map(mark).collect()
    }

    #[test]
    fn speech_begins_and_ends_where_it_does() {
        for (onset, hangover, levels, expected) in [
            (1, 3, "..x.......", "..xxx....."),
            (1, 3, "xx..x..xx....", "xxxxxxxxxxx.."),
            (3, 2, "xxx.x.x.....", "..xxxxxx...."),
            (3, 2, ".x.x.xx.xx..xxx...", ".........xx..xxx.."),
            (3, 0, "xxxx.x", "..xx.x"),
        ] {
            let mut activity = Activity::new(-45.0, onset * 480, hangover * 480);
            assert_eq!(heard(&mut activity, levels), expected, "{levels}");
        }
    }

    #[test]
    fn another_threshold_holds_at_once() {
        let mut activity = Activity::new(-45.0, 480, 960);
        assert!(activity.feed(-40.0, 480));
        activity.set_threshold(-35.0);
        activity.reset();
        assert!(!activity.feed(-40.0, 480) && activity.feed(-34.0, 480));
    }
}
