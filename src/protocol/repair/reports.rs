//! What receivers report of one stream that is sent, and the loss that parity goes ahead of.
//!
//! ```text
//! reports: loss on the way ──> each reporter's mean of the last 5 s ──> more than 8 above half a percent?
//!                                                                        yes: their median    no: 0
//! ```
//! Loss before repair is what counts: parity that goes ahead repairs, and what ends it is the end of the loss.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::{REPAIR_AHEAD_REPORTERS_MIN, REPORTERS_MAX};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;

/// Over how long loss is averaged; older reports say nothing any more.
const WINDOW: Duration = Duration::from_secs(5);
/// Reports of one receiver within it: they come each second, or a little faster.
const REPORTS: usize = 8;
/// Loss that a receiver has to have, in quarters of a percent: half a percent.
const LOSS_QUARTERS: f64 = 2.0;

/// The last reports of one receiver.
#[derive(Clone, Copy, Default)]
struct Told {
    all: [Option<(Timestamp, u8)>; REPORTS],
    next: usize,
}

impl Told {
    /// Mean of what was told lately, in quarters of a percent; `None` when nothing was.
    fn mean(&self, now: Timestamp) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (_, lost) in self.all.iter().flatten().filter(|(at, _)| now.since(*at) < WINDOW) {
            sum += f64::from(*lost);
            count += 1.0;
        }
        (count > 0.0).then(|| sum / count)
    }
}

/// The reports about one stream.
#[derive(Default)]
pub struct Reports {
    told: BTreeMap<ParticipantId, Told>,
}

impl Reports {
    /// Somebody tells that `lost` quarters of a percent of the stream's packets did not come.
    pub fn report(&mut self, now: Timestamp, from: ParticipantId, lost: u8) {
        if self.told.len() >= REPORTERS_MAX && !self.told.contains_key(&from) {
            self.forget_old(now);
            if self.told.len() >= REPORTERS_MAX {
                // So many speak for the others.
                return;
            }
        }
        let told = self.told.entry(from).or_default();
        told.all[told.next] = Some((now, lost));
        told.next = (told.next + 1) % REPORTS;
    }

    /// The loss, 0..1, that parity is to go ahead of; 0 while few lose anything to speak of.
    pub fn loss(&mut self, now: Timestamp) -> f64 {
        self.forget_old(now);
        let means = self.told.values().filter_map(|told| told.mean(now));
        let mut losing: Vec<f64> = means.filter(|&mean| mean > LOSS_QUARTERS).collect();
        if losing.len() <= REPAIR_AHEAD_REPORTERS_MIN {
            return 0.0;
        }
        // Not the mean: one of them may lose nearly everything, which no parity mends.
        losing.sort_by(f64::total_cmp);
        losing[losing.len() / 2] / 400.0
    }

    fn forget_old(&mut self, now: Timestamp) {
        self.told.retain(|_, told| told.mean(now).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Timestamp {
        Timestamp::from_millis(1_000 * s)
    }

    fn who(n: usize) -> ParticipantId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        ParticipantId(id)
    }

    /// Everybody tells their loss, in quarters of a percent, at each of the seconds.
    fn told(losses: &[u8], seconds: std::ops::Range<u64>) -> Reports {
        let mut reports = Reports::default();
        for s in seconds {
            losses.iter().enumerate().for_each(|(n, &lost)| reports.report(at(s), who(n), lost));
        }
        reports
    }

    #[test]
    fn more_than_eight_have_to_lose_more_than_half_a_percent() {
        const ENOUGH: usize = REPAIR_AHEAD_REPORTERS_MIN + 1;
        let rows: [(Vec<u8>, f64); 6] = [
            (vec![], 0.0),
            (vec![20; ENOUGH - 1], 0.0),
            (vec![20; ENOUGH], 0.05),
            (vec![2; 3 * ENOUGH], 0.0),
            (vec![3; ENOUGH], 0.0075),
            ([vec![20; ENOUGH], vec![255], vec![0; 100]].concat(), 0.05),
        ];
        for (losses, expected) in rows {
            assert_eq!(told(&losses, 1..10).loss(at(9)), expected, "{losses:?}");
        }
    }

    #[test]
    fn a_second_of_loss_is_averaged_over_five_and_all_ends_with_the_reports() {
        let losing = |reports: &mut Reports, s, lost| (0..10).for_each(|n| reports.report(at(s), who(n), lost));
        let mut reports = told(&[0; 10], 1..6);
        losing(&mut reports, 6, 9);
        assert_eq!(reports.loss(at(6)), 0.0, "2.25 % for a second are 0.45 % over five");
        losing(&mut reports, 7, 9);
        assert!(reports.loss(at(7)) > 0.0);
        (8..12).for_each(|s| losing(&mut reports, s, 0));
        assert_eq!(reports.loss(at(11)), 0.0, "the loss ended");
        losing(&mut reports, 12, 40);
        assert!(reports.loss(at(12)) > 0.0);
        assert!(reports.loss(at(16)) > 0.0);
        assert_eq!((reports.loss(at(17)), reports.told.len()), (0.0, 0), "nobody reports any more");
    }

    #[test]
    fn reporters_are_bounded_and_the_old_ones_make_room() {
        let mut reports = told(&[40; 2 * REPORTERS_MAX], 1..2);
        assert_eq!(reports.told.len(), REPORTERS_MAX);
        reports.report(at(9), who(9_999), 0);
        assert_eq!(reports.told.len(), 1);
    }
}
