//! Figures of streams that follow one another: a camera switched off and on again is another stream.
//!
//! The newest two are kept, because the threads of the one just ended may still count; those before them are only a sum.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::Arc;

/// Streams still looked at.
const KEPT: usize = 2;

/// Figures `T` of streams one after the other, and their sum `S`.
pub struct Succession<T, S> {
    past: S,
    kept: VecDeque<Arc<T>>,
}

impl<T, S: Default> Default for Succession<T, S> {
    fn default() -> Self {
        Self { past: S::default(), kept: VecDeque::new() }
    }
}

impl<T, S: Copy + AddAssign + for<'a> From<&'a T>> Succession<T, S> {
    /// The next stream begins.
    pub fn push(&mut self, stream: Arc<T>) {
        self.kept.push_back(stream);
        if self.kept.len() > KEPT {
            self.kept.pop_front().into_iter().for_each(|oldest| self.past += S::from(&oldest));
        }
    }

    /// The stream begun last.
    pub fn newest(&self) -> Option<&Arc<T>> {
        self.kept.back()
    }

    /// Whether there was none at all.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Everything since the first one began.
    pub fn sum(&self) -> S {
        self.kept.iter().fold(self.past, |mut sum, stream| {
            sum += S::from(stream);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct Sum(u64);

    impl AddAssign for Sum {
        fn add_assign(&mut self, other: Self) {
            self.0 += other.0;
        }
    }

    impl From<&AtomicU64> for Sum {
        fn from(figure: &AtomicU64) -> Self {
            Self(figure.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn nothing_is_lost_and_no_more_than_two_are_held() {
        let mut streams = Succession::<AtomicU64, Sum>::default();
        assert!(streams.is_empty() && streams.newest().is_none());
        let all: Vec<_> = (1..=1_000).map(|n| Arc::new(AtomicU64::new(n))).collect();
        all.iter().for_each(|s| streams.push(Arc::clone(s)));
        assert_eq!(streams.sum(), Sum(500_500));
        assert_eq!(all.iter().filter(|s| Arc::strong_count(s) > 1).count(), 2);
        all[998].store(0, Ordering::Relaxed);
        assert_eq!(streams.sum(), Sum(500_500 - 999), "the last but one still counts");
        assert!(Arc::ptr_eq(streams.newest().unwrap(), &all[999]));
    }
}
