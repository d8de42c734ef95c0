//! The only reader of operating system time.
//!
//! Everything else is given a [`Clock`] or the values it returns. A manual clock serves simulations and tests: it stands
//! still until it is advanced.
//!
//! It must never be used to wait: threads wait on a poll, a channel or a condition, with a timeout.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{NtpTime, Timestamp};

/// Where a manual clock's wall time starts, as time since the Unix epoch: 2025-01-01 00:00:00 UTC.
const MANUAL_WALL_START: Duration = Duration::from_secs(1_735_689_600);

/// Source of monotonic and wall-clock time; clones read the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    /// Nanoseconds of the monotonic clock.
    now: AtomicU64,
    /// NTP wall time.
    wall: AtomicU64,
}

impl Clock {
    /// The operating system's clocks. All system clocks of a process agree.
    pub fn system() -> Self {
        origin();
        Self(Source::System)
    }

    /// A clock that stands at `start` until it is advanced.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            now: AtomicU64::new(start.0),
            wall: AtomicU64::new(NtpTime::from_unix(MANUAL_WALL_START).0),
        })))
    }

    /// The monotonic time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                // One second of room, so that "some time before the first moment" is no underflow.
                let elapsed = origin().elapsed() + Duration::from_secs(1);
                Timestamp(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
            }
            Source::Manual(manual) => Timestamp(manual.now.load(Ordering::Acquire)),
        }
    }

    /// The wall-clock time. It may jump in either direction.
    pub fn wall(&self) -> NtpTime {
        match &self.0 {
            // A wall clock before 1970 is nobody's true time; any value serves.
            Source::System => NtpTime::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Source::Manual(manual) => NtpTime(manual.wall.load(Ordering::Acquire)),
        }
    }

    /// Moves both times of a manual clock forward; a system clock ignores it.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        if let Source::Manual(manual) = &self.0 {
            manual.now.fetch_add(nanos, Ordering::AcqRel);
        }
        self.step_wall(i64::try_from(nanos).unwrap_or(i64::MAX));
    }

    /// Steps the wall time of a manual clock, as an operator or NTP would; a system clock ignores it.
    pub fn step_wall(&self, nanos: i64) {
        if let Source::Manual(manual) = &self.0 {
            // Only one thread drives a manual clock, so load and store cannot lose a step.
            let wall = NtpTime(manual.wall.load(Ordering::Acquire)).offset(nanos);
            manual.wall.store(wall.0, Ordering::Release);
        }
    }
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Processor time this process has used, user and system, in seconds; 0 where the system does not tell.
pub fn processor_seconds() -> f64 {
    #[cfg(unix)]
    {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
    }
    #[cfg(not(unix))]
    0.0
}

fn instant(wall: NtpTime) -> jiff::Timestamp {
    let since = wall.to_unix();
    // NTP times end before jiff's do.
    let (seconds, nanos) = (since.as_secs().cast_signed(), since.subsec_nanos().cast_signed());
    jiff::Timestamp::new(seconds, nanos).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// When a file was last changed, since 1970; `None` where the file system does not tell.
pub fn changed(file: &std::fs::Metadata) -> Option<Duration> {
    file.modified().ok()?.duration_since(UNIX_EPOCH).ok()
}

/// A wall time for programs: RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(wall: NtpTime) -> String {
    format!("{:.3}", instant(wall))
}

/// A wall time for people: date and time of day where this machine is.
pub fn local(wall: NtpTime) -> LocalTime {
    let zoned = instant(wall).to_zoned(jiff::tz::TimeZone::system());
    LocalTime {
        date: zoned.date().to_string(),
        time: format!("{:02}:{:02}:{:02}", zoned.hour(), zoned.minute(), zoned.second()),
    }
}

/// See [`local`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// As "2025-01-31".
    pub date: String,
    /// As "23:59:59".
    pub time: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_advanced() {
        let clock = Clock::manual(Timestamp::from_millis(5));
        let other = clock.clone();
        let wall = clock.wall();
        assert_eq!(clock.now(), Timestamp::from_millis(5));
        clock.advance(Duration::from_millis(250));
        assert_eq!(other.now(), Timestamp::from_millis(255), "clones share the clock");
        assert_eq!(other.wall().nanos_from(wall), 250_000_000);
    }

    #[test]
    fn a_step_of_the_wall_leaves_the_monotonic_time_alone() {
        let clock = Clock::manual(Timestamp::default());
        let wall = clock.wall();
        clock.step_wall(-3_000_000_000);
        assert_eq!(clock.now(), Timestamp::default());
        assert_eq!(clock.wall().nanos_from(wall), -3_000_000_000);
    }

    #[test]
    fn wall_times_are_told_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
        ] {
            // NTP fractions round down: half a millisecond keeps the reading within it.
            let wall = NtpTime::from_unix(Duration::from_micros(ms * 1_000 + 500));
            assert_eq!(rfc3339(wall), text);
            assert_eq!(local(wall).time.len(), 8);
        }
        rfc3339(NtpTime(u64::MAX));
    }

    #[test]
    fn system_clocks_agree_and_do_not_go_back() {
        let (a, b) = (Clock::system(), Clock::system());
        let first = a.now();
        let second = b.now();
        let third = a.now();
        assert!(first <= second && second <= third);
        assert!(a.wall().to_unix() > MANUAL_WALL_START);
    }
}
