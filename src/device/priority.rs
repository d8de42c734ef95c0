//! How soon a thread runs once it has something to do, on a machine that is busy with other things.
//!
//! ```text
//! sound:   round robin (real time)  else  less nice  else  short slices
//! network:                                                short slices
//! ```
//! Each is asked for and none is needed: what the system refuses is left as it was, and nobody is told. Real time wants a
//! privilege (`RLIMIT_RTPRIO`, as desktops give to their sound groups), and so does being less nice; a short slice wants
//! none. It is the request `sched_setattr(2)` knows since Linux 6.12: no more of the processor than others, but soon.
//! Elsewhere than on Linux nothing is done.
//!
//! Must never be given to a thread that computes for long: real time keeps everything else off its processor.

/// The next sound depends on this thread: it runs for a fraction of a millisecond, every few milliseconds.
///
/// One or a few system calls; cheap enough for the first call of a sound callback.
pub fn hurry_for_sound() {
    #[cfg(target_os = "linux")]
    linux::sound();
}

/// This thread takes packets off the network: it runs often and shortly, and not at the expense of others.
pub fn hurry_for_network() {
    #[cfg(target_os = "linux")]
    linux::short_slices(None);
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    use libc::{SCHED_FLAG_RESET_ON_FORK, SCHED_OTHER, SCHED_RR, sched_attr};

    /// Below the threads of sound servers, whose devices wait for nobody.
    const PRIORITY: u32 = 3;
    /// As sound servers do it that may not have real time.
    const NICE: i32 = -11;
    /// A mixing of many voices fits in twice this; the usual slice is 3 ms and more.
    const SLICE_NS: u64 = 300_000;

    pub(super) fn sound() {
        // What the thread starts, a driver's helper for instance, is as everything else.
        let flags = SCHED_FLAG_RESET_ON_FORK as u64;
        let round_robin =
            sched_attr { sched_policy: SCHED_RR as u32, sched_flags: flags, sched_priority: PRIORITY, ..none() };
        let _ = set(round_robin) || short_slices(Some(NICE)) || short_slices(None);
    }

    /// Whether the system agreed; `nice` as it is when none is given.
    pub(super) fn short_slices(nice: Option<i32>) -> bool {
        let Some(now) = current() else { return false };
        // Whoever was given another policy from outside keeps it.
        now.sched_policy == SCHED_OTHER as u32
            && set(sched_attr {
                sched_policy: now.sched_policy,
                sched_nice: nice.unwrap_or(now.sched_nice),
                sched_runtime: SLICE_NS,
                ..none()
            })
    }

    const fn none() -> sched_attr {
        sched_attr {
            size: size_of::<sched_attr>() as u32,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        }
    }

    fn set(wanted: sched_attr) -> bool {
        // SAFETY: thread 0 is the caller; the kernel reads `size` bytes of a structure that lives until it returns.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) == 0 }
    }

    pub(super) fn current() -> Option<sched_attr> {
        let mut found = none();
        // SAFETY: thread 0 is the caller; the kernel writes no more than the size given of a structure that is ours.
        let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size_of::<sched_attr>(), 0) };
        (done == 0).then_some(found)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_gets_what_the_system_grants_and_keeps_the_rest() {
            let run = |hurry: fn()| {
                let thread = std::thread::spawn(move || {
                    let before = current();
                    hurry();
                    (before, current())
                });
                let (before, after) = thread.join().expect("no panic");
                (before.expect("its attributes"), after.expect("its attributes"))
            };
            let (before, after) = run(super::super::hurry_for_network);
            assert_eq!((before.sched_policy, before.sched_nice), (after.sched_policy, after.sched_nice));
            let (before, after) = run(super::super::hurry_for_sound);
            if after.sched_policy == SCHED_RR as u32 {
                assert_eq!(after.sched_priority, PRIORITY);
            } else {
                assert_eq!(after.sched_policy, before.sched_policy);
                assert!(after.sched_nice <= before.sched_nice);
            }
        }

        #[test]
        fn what_such_a_thread_starts_is_no_more_urgent_than_others() {
            let policy = std::thread::spawn(|| {
                sound();
                std::thread::spawn(|| current().map(|a| a.sched_policy)).join().ok().flatten()
            });
            assert_ne!(policy.join().expect("no panic"), Some(SCHED_RR as u32));
        }
    }
}
