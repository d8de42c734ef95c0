//! Distribution of a delay: since joining for the statistics, and of the last second for the window.

use hdrhistogram::Histogram;

use super::stats::Latency;

/// Longest delay told apart, microseconds; anything longer counts as this.
const MICROS_MAX: u64 = 60_000_000;

/// A delay's distribution.
pub struct LatencyMeter {
    all: Histogram<u32>,
    recent: Histogram<u32>,
    recent_median_ms: Option<f32>,
    recent_middle_ms: Option<f32>,
}

impl Default for LatencyMeter {
    fn default() -> Self {
        // Two significant digits: 1 % of error in 20 KiB.
        let empty = Histogram::new_with_bounds(1, MICROS_MAX, 2).expect("constant bounds are valid");
        Self { all: empty.clone(), recent: empty, recent_median_ms: None, recent_middle_ms: None }
    }
}

impl LatencyMeter {
    /// Notes one delay; a negative one (clock offset not exact) counts as the least.
    pub fn record(&mut self, nanos: i64) {
        let micros = (nanos.max(0) as u64 / 1_000).clamp(1, MICROS_MAX);
        self.all.saturating_record(micros);
        self.recent.saturating_record(micros);
    }

    /// Closes a second: what was noted since the last call becomes [`recent_ms`](Self::recent_ms).
    pub fn roll(&mut self) {
        let some = !self.recent.is_empty();
        let at = |quantile| self.recent.value_at_quantile(quantile) as f32 / 1_000.0;
        self.recent_median_ms = some.then(|| at(0.5));
        self.recent_middle_ms = some.then(|| (at(0.25) + at(0.75)) / 2.0);
        self.recent.reset();
    }

    /// Median of the last whole second.
    pub fn recent_ms(&self) -> Option<f32> {
        self.recent_median_ms
    }

    /// Between the quartiles of the last whole second: of pictures that are now 150 and now 180 ms late, say, it is as far
    /// from both, where the median is at one of them.
    pub fn recent_middle_ms(&self) -> Option<f32> {
        self.recent_middle_ms
    }

    /// Since joining; `None` before the first delay.
    pub fn summary(&self) -> Option<Latency> {
        let at = |quantile: f64| self.all.value_at_quantile(quantile) as f64 / 1_000.0;
        let max = self.all.max() as f64 / 1_000.0;
        (!self.all.is_empty()).then(|| Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_everything_and_the_recent_median_of_the_last_second() {
        let mut m = LatencyMeter::default();
        assert!(m.summary().is_none() && m.recent_ms().is_none());
        for ms in 1..=100 {
            m.record(ms * 1_000_000);
        }
        m.roll();
        assert!((m.recent_ms().unwrap() - 50.0).abs() < 1.0);
        m.record(200_000_000);
        m.roll();
        assert!((m.recent_ms().unwrap() - 200.0).abs() < 3.0);
        let all = m.summary().unwrap();
        assert!((all.p50 - 51.0).abs() < 1.5 && (all.max - 200.0).abs() < 3.0, "{all:?}");
        m.roll();
        assert_eq!(m.recent_ms(), None);
    }

    #[test]
    fn absurd_delays_are_clamped() {
        let mut m = LatencyMeter::default();
        m.record(-5);
        m.record(i64::MAX);
        let all = m.summary().unwrap();
        assert!(all.p50 < 0.01 && all.max >= 59_000.0);
    }

    #[test]
    fn the_middle_is_as_far_from_both_of_two_and_one_that_is_late_does_not_move_it() {
        let mut m = LatencyMeter::default();
        for ms in [150, 180, 181, 151, 180, 182, 150] {
            m.record(ms * 1_000_000);
        }
        m.roll();
        assert!((m.recent_middle_ms().unwrap() - 165.0).abs() < 3.0, "{:?}", m.recent_middle_ms());
        (0..29).for_each(|_| m.record(3_000_000));
        m.record(900_000_000);
        m.roll();
        assert!((m.recent_middle_ms().unwrap() - 3.0).abs() < 0.1, "{:?}", m.recent_middle_ms());
        m.roll();
        assert_eq!(m.recent_middle_ms(), None);
    }
}
