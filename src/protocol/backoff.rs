//! How long to wait before saying what many may want to say (RFC 5401 section 4.3.1: the truncated exponential back-off of NORM).
//!
//! Of a large group a few wait little and most wait long: somebody is heard soon, and the others need not speak.

use std::time::Duration;

/// A wait in `0..=longest` for one of `group` that wait for the same reason; `unit` is drawn from 0..=1.
pub(super) fn truncated(longest: Duration, group: usize, unit: f64) -> Duration {
    let lambda = (group.max(1) as f64).ln() + 1.0;
    let scale = lambda.exp() - 1.0;
    // With T = longest: x in lambda/(T (e^lambda - 1)) + [0, lambda/T]; wait = T/lambda * ln(x (e^lambda - 1) T/lambda).
    let wait = (unit.clamp(0.0, 1.0) * scale + 1.0).ln() / lambda;
    longest.mul_f64(wait.clamp(0.0, 1.0))
}
