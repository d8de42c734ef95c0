//! What this process has used: processor time, memory, threads.

/// Usage since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu_s: f64,
    /// Largest resident size, bytes (Linux; 0 elsewhere).
    pub max_rss_bytes: u64,
    /// Threads now (Linux; 0 elsewhere).
    pub threads: u64,
}

/// Asks the operating system.
pub fn usage() -> Usage {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Usage {
        cpu_s: super::clock::processor_seconds(),
        max_rss_bytes: field(&status, "VmHWM:").unwrap_or(0) * 1024,
        threads: field(&status, "Threads:").unwrap_or(0),
    }
}

/// The number after `name` in the text of `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let status = "Name:\troundtable\nVmHWM:\t    1234 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmHWM:"), Some(1234));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmPeak:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_running_process_uses_something() {
        let mut sum = 0u64;
        while usage().cpu_s == 0.0 {
            sum = sum.wrapping_add(1);
        }
        let u = usage();
        assert!(u.max_rss_bytes > 100_000 && u.threads >= 1, "{u:?}");
    }
}
