//! Repair of video frames by parity that is asked for; voices have theirs in `voice`.
//!
//! ```text
//!  sender                                              receivers, each for itself
//!  frame's packets ─────────────────────────────────>  `Mender`: what is missing is known at the marker, at the next
//!   kept in a `Keeper` for as long as a                  | frame's packet, or after a silence
//!   receiver may wait                                    | waits a moment, the longer the more receive the stream
//!  <──────────────── so many of this frame ────────────  | asks, unless another has asked for as many
//!  so much parity not sent yet, ──────────────────────>  any k of k + m shards give the frame back
//!   at most a quarter of the stream's rate               | else asks once more, then gives up
//! ```
//! One parity packet fills a different hole at every receiver, which is why numbers are asked for and not packets. The
//! back-off is NORM's (RFC 5740 section 5.1, the truncated exponential one of RFC 5401 section 3.2.5).
//!
//! Nothing here owns a clock, a socket or chance. What others say costs counters at most: requests are answered within a
//! budget, and parity that contradicts what came is dropped.

mod gathering;
mod keeper;
mod mender;
mod reports;
#[cfg(test)]
mod tests;
mod voice;

use std::time::Duration;

pub use keeper::{Keeper, KeeperCounters, Refusal};
pub use mender::{Mended, Mender, MenderCounters};
pub use reports::Reports;
pub use voice::{VoiceKeeper, VoiceMender};

use crate::limits::REPAIR_UNSPACED_MAX;
use crate::protocol::backoff;

/// How patient receivers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From knowing that something is missing to giving up.
    pub hold: Duration,
    /// From asking to asking again.
    pub round: Duration,
    /// Longest back-off before asking.
    pub spread: Duration,
}

impl Patience {
    /// On a wire: two rounds fit.
    pub const WIRED: Self =
        Self { hold: Duration::from_millis(20), round: Duration::from_millis(6), spread: Duration::from_millis(4) };
    /// On Wi-Fi, where a round takes longer.
    pub const WIRELESS: Self =
        Self { hold: Duration::from_millis(40), round: Duration::from_millis(12), spread: Duration::from_millis(8) };

    /// That of a receiver on such a network.
    pub fn on(wireless: bool) -> Self {
        if wireless { Self::WIRELESS } else { Self::WIRED }
    }
}

/// How old a frame may be for its sender to repair it: the longest hold and 10 ms for the way.
pub const AGE_MAX: Duration = Duration::from_millis(50);

/// The time to wait before asking when `group` receive the stream and `chance` is drawn from 0..1: none for a few, else
/// such that few ask before the others hear them, however many they are.
pub fn back_off(group: usize, spread: Duration, chance: f64) -> Duration {
    if group <= REPAIR_UNSPACED_MAX { Duration::ZERO } else { backoff::truncated(spread, group, chance) }
}

/// The next number of SplitMix64 as 0..1: it spreads the asking, and nothing else depends on it.
fn chance(random: &mut u64) -> f64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *random;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Parity to send with a frame of `k` packets before anybody asks, at a loss of `p`: what is lost of the frame, and three
/// standard deviations.
pub fn parity_ahead(k: usize, p: f64) -> usize {
    let lost = k as f64 * p.clamp(0.0, 1.0);
    (lost + 3.0 * lost.sqrt()).ceil() as usize
}
