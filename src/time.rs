//! Time as values: monotonic timestamps, NTP time and RTP media time.
//!
//! Nothing here reads a clock; `device::Clock` does. Everything above takes time as an argument.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on this process's monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `ms` milliseconds after the clock's start.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Signed nanoseconds from `other` to `self`.
    pub fn nanos_from(self, other: Timestamp) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }

    /// `self` moved by a signed number of nanoseconds, stopping at zero.
    pub fn offset(self, nanos: i64) -> Timestamp {
        Timestamp(self.0.saturating_add_signed(nanos))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(duration_nanos(d)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(duration_nanos(d)))
    }
}

fn duration_nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Wall-clock time in the NTP format of RFC 5905 section 6: 32 bits of seconds since 1900, 32 bits of fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtpTime(pub u64);

/// Seconds between the NTP era (1900) and the Unix epoch (1970).
const UNIX_EPOCH_IN_NTP_S: u64 = 2_208_988_800;

impl NtpTime {
    /// From the time since the Unix epoch; wraps in 2036 with the NTP era, as RFC 5905 does.
    pub fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(UNIX_EPOCH_IN_NTP_S);
        let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// Time since the Unix epoch (within the first NTP era).
    pub fn to_unix(self) -> Duration {
        let seconds = (self.0 >> 32).wrapping_sub(UNIX_EPOCH_IN_NTP_S) & 0xffff_ffff;
        Duration::new(seconds, (((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32) as u32)
    }

    /// The middle 32 bits, as RTCP's `LSR` field carries them (RFC 3550 section 6.4.1).
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// Signed nanoseconds from `other` to `self`, right across the wrap of the era.
    pub fn nanos_from(self, other: NtpTime) -> i64 {
        let delta = self.0.wrapping_sub(other.0) as i64;
        ((i128::from(delta) * 1_000_000_000) >> 32) as i64
    }

    /// `self` moved by a signed number of nanoseconds.
    pub fn offset(self, nanos: i64) -> NtpTime {
        let delta = ((i128::from(nanos) << 32) / 1_000_000_000) as i64;
        NtpTime(self.0.wrapping_add(delta as u64))
    }
}

/// `d` in units of an RTP clock of `rate` Hz, modulo 2^32 as RTP timestamps are.
pub fn media_units(d: Duration, rate: u32) -> u32 {
    (d.as_nanos() * u128::from(rate) / 1_000_000_000) as u32
}

/// `units` of an RTP clock of `rate` Hz, in signed nanoseconds.
pub fn media_nanos(units: i64, rate: u32) -> i64 {
    (i128::from(units) * 1_000_000_000 / i128::from(rate.max(1))) as i64
}

/// Extends wrapping 16-bit sequence numbers to 64 bits (RFC 3711 section 3.3.1's estimate of the index).
#[derive(Clone, Copy, Debug, Default)]
pub struct SequenceExtender {
    highest: Option<u64>,
}

impl SequenceExtender {
    /// The extended number nearest to the highest seen; moves the highest forward.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = self.peek(sequence);
        if self.highest.is_none_or(|h| extended > h) {
            self.highest = Some(extended);
        }
        extended
    }

    /// As [`extend`](Self::extend) without remembering anything.
    pub fn peek(&self, sequence: u16) -> u64 {
        match self.highest {
            // One cycle of room below the first number, so that an early reordered packet is no underflow.
            None => (1 << 16) + u64::from(sequence),
            Some(highest) => {
                let step = sequence.wrapping_sub(highest as u16) as i16;
                highest.saturating_add_signed(i64::from(step))
            }
        }
    }

    /// The highest extended number seen.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Extends wrapping 32-bit RTP timestamps to 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampExtender {
    last: Option<u64>,
}

impl TimestampExtender {
    /// The extended timestamp nearest to the last one extended.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let extended = match self.last {
            None => (1 << 32) + u64::from(timestamp),
            Some(last) => {
                let step = timestamp.wrapping_sub(last as u32) as i32;
                last.saturating_add_signed(i64::from(step))
            }
        };
        self.last = Some(extended);
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_round_trips_and_wraps() {
        let unix = Duration::new(1_700_000_000, 500_000_000);
        let ntp = NtpTime::from_unix(unix);
        assert_eq!(ntp.0 >> 32, 1_700_000_000 + UNIX_EPOCH_IN_NTP_S);
        assert_eq!(ntp.0 & 0xffff_ffff, 1 << 31);
        assert_eq!(ntp.to_unix(), unix);
        let before_wrap = NtpTime(u64::MAX);
        assert!(before_wrap.offset(1_000_000_000).nanos_from(before_wrap).abs_diff(1_000_000_000) <= 1);
    }

    #[test]
    fn sequences_extend_across_the_wrap_both_ways() {
        let mut e = SequenceExtender::default();
        assert_eq!(e.extend(65_534), 65_536 + 65_534);
        assert_eq!(e.extend(1), 2 * 65_536 + 1);
        assert_eq!(e.extend(65_535), 65_536 + 65_535, "a late packet from before the wrap");
        assert_eq!(e.highest(), Some(2 * 65_536 + 1));
    }

    #[test]
    fn timestamps_extend_across_the_wrap() {
        let mut e = TimestampExtender::default();
        let a = e.extend(u32::MAX - 10);
        assert_eq!(e.extend(5) - a, 16);
    }

    #[test]
    fn media_time_is_exact() {
        assert_eq!(media_units(Duration::from_millis(20), 48_000), 960);
        assert_eq!(media_nanos(-90, 90_000), -1_000_000);
    }
}
