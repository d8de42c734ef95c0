//! How fast an error grows, found as soon as its noise permits: a straight line through it by least squares, and the less of
//! its slope is believed the less certain it is.
//!
//! ```text
//! error, as if nothing had been done about it > mean of each second > line, offset anew with each talk spurt
//! slope = Sxy / (Sxx + s^2 / usual^2)      s: what the line leaves, usual: drift of sound cards
//! ```
//! Must never look at a clock.

use super::delay::PER_MS;

/// Time of which the mean counts.
const BLOCK: f64 = (1_000 * PER_MS) as f64;
/// Blocks at the beginning of a spurt that do not count: what it is measured by is being learnt.
const UNSETTLED: u32 = 2;
/// How far clocks usually are apart.
const USUAL: f64 = 0.000_15;
/// The error is never believed to be known better than so.
const NOISE_MIN: f64 = (PER_MS / 20) as f64;

/// See the module's head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slope {
    /// Of the block: time, and the error times it.
    block: (f64, f64),
    /// Since the spurt began, in blocks.
    blocks: u32,
    time: f64,
    /// Of the spurt: points and their mean.
    points: f64,
    mean: (f64, f64),
    /// Of all spurts, each around its own mean; and what a line leaves free.
    xx: f64,
    xy: f64,
    yy: f64,
    free: f64,
}

impl Slope {
    /// Takes note of the error of what is played next.
    pub(super) fn observe(&mut self, error: f64, passed: f64) {
        self.time += passed;
        self.block = (self.block.0 + passed, self.block.1 + error * passed);
        if self.block.0 < BLOCK {
            return;
        }
        let (x, y) = (self.time - self.block.0 / 2.0, self.block.1 / self.block.0);
        self.block = (0.0, 0.0);
        self.blocks += 1;
        if self.blocks <= UNSETTLED {
            return;
        }
        self.points += 1.0;
        let (dx, dy) = (x - self.mean.0, y - self.mean.1);
        self.mean = (self.mean.0 + dx / self.points, self.mean.1 + dy / self.points);
        self.xx += dx * (x - self.mean.0);
        self.xy += dx * (y - self.mean.1);
        self.yy += dy * (y - self.mean.1);
        self.free += f64::from(self.points > 1.0);
    }

    /// Another talk spurt begins: what the error starts from tells nothing.
    pub(super) fn start(&mut self) {
        (self.block, self.blocks, self.points, self.mean) = ((0.0, 0.0), 0, 0.0, (0.0, 0.0));
    }

    /// Growth of the error per sample played.
    pub(super) fn get(&self) -> f64 {
        if self.free < 1.0 {
            return 0.0;
        }
        let left = (self.yy - self.xy * self.xy / self.xx).max(0.0) / (self.free - 1.0).max(1.0);
        let noise = left.max(NOISE_MIN * NOISE_MIN);
        self.xy / (self.xx + noise / (USUAL * USUAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: f64 = (20 * PER_MS) as f64;

    /// Spurts of so many seconds whose error begins anywhere and grows by 300 ppm, with steps of noise to and fro.
    fn found_ppm(spurts: usize, seconds: usize, noise_ms: f64) -> f64 {
        let mut slope = Slope::default();
        for spurt in 0..spurts {
            slope.start();
            let begins = (spurt * 7 % 5) as f64 * PER_MS as f64;
            for n in 0..50 * seconds {
                let noise = if n / 25 % 4 < 2 { noise_ms } else { -noise_ms } * PER_MS as f64;
                slope.observe(begins + 300e-6 * PACKET * n as f64 + noise, PACKET);
            }
        }
        slope.get() * 1e6
    }

    #[test]
    fn a_slope_is_found_within_seconds_and_the_later_the_more_noise_there_is() {
        assert_eq!(Slope::default().get(), 0.0);
        assert!((295.0..300.1).contains(&found_ppm(1, 6, 0.0)), "{}", found_ppm(1, 6, 0.0));
        assert!((290.0..310.0).contains(&found_ppm(10, 5, 0.0)), "{}", found_ppm(10, 5, 0.0));
        assert!(found_ppm(1, 6, 1.0).abs() < 200.0, "{}", found_ppm(1, 6, 1.0));
        assert!((270.0..330.0).contains(&found_ppm(1, 60, 1.0)), "{}", found_ppm(1, 60, 1.0));
    }
}
