//! The level a voice has when it pauses: what stands above it is speech, and what never goes below it is a fan.
//!
//! ```text
//! softer than the floor -> the floor is there at once
//! louder                -> the floor rises by 3 dB a second, and meets speech at its next breath
//! ```

use std::time::Duration;

/// Rise in dB a second: from silence to just below loud speech takes some fifteen seconds without a breath.
const RISE: f32 = 3.0;
/// The floor is no lower, in dBFS: a room with a fan is known for one after some seconds.
const LOWEST: f32 = -70.0;
/// Speech stands out by so many dB at least.
const ABOVE: f32 = 4.0;

/// The floor of one voice.
#[derive(Clone, Copy, Debug)]
pub struct Floor(f32);

impl Default for Floor {
    fn default() -> Self {
        Self(LOWEST)
    }
}

impl Floor {
    /// Takes into account that the level was `dbfs` for so long; whether that stands out.
    pub fn follow(&mut self, dbfs: f32, long: Duration) -> bool {
        self.0 = dbfs.min(self.0 + RISE * long.as_secs_f32()).max(LOWEST);
        dbfs > self.0 + ABOVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    /// Share of so many seconds in which the level stands out.
    fn share(floor: &mut Floor, seconds: usize, level: impl Fn(usize) -> f32) -> f32 {
        let out = (0..seconds * 10).filter(|n| floor.follow(level(*n), STEP)).count();
        out as f32 / (seconds * 10) as f32
    }

    #[test]
    fn speech_stands_out_and_a_fan_does_not_for_long() {
        let mut floor = Floor::default();
        // Words of a second, breaths of 0.3 s, in which a meter falls by 9 dB only.
        let speech = |n: usize| if n % 13 < 10 { -22.0 } else { -31.0 };
        assert!(share(&mut floor, 120, speech) > 0.7);
        assert!(share(&mut floor, 10, |_| -45.0) < 0.01, "softer than a breath just was");
        assert!(share(&mut floor, 10, |_| -80.0) < 0.01);
        assert!(share(&mut floor, 10, |_| -45.0) > 0.4, "it has just begun");
        assert!(share(&mut floor, 60, |_| -45.0) < 0.01, "it goes on");
        assert!(share(&mut floor, 30, speech) > 0.7, "who speaks over it is heard");
    }
}
