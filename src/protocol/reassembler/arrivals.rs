//! Which packets of a stream came: sequence validation, duplicates and loss (RFC 3550 appendices A.1 and A.3).
//!
//! ```text
//!            window of WINDOW numbers, one bit each
//!  too old |.1.11111111.111111111| highest    <= DROPOUT_MAX ahead: taken     farther: only when the next one follows it
//! ```

/// Numbers behind the highest whose arrival is remembered. A packet farther behind is taken for a jump.
const WINDOW: u64 = 2_048;
/// A step forward beyond this is believed only when the packet that follows agrees (RFC 3550 appendix A.1).
const DROPOUT_MAX: u16 = 3_000;

const _: () = assert!(WINDOW.is_multiple_of(64) && WINDOW < 1 << 15 && DROPOUT_MAX < 1 << 15);

/// What a sequence number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The newest so far; its extended number.
    Newest(u64),
    /// Behind the newest, and not seen before; its extended number.
    Behind(u64),
    /// Seen before.
    Duplicate,
    /// Far from the others: not believed (yet).
    Unlikely,
    /// Two packets in a row began again elsewhere: the sender has restarted. The extended number of the second; numbers
    /// stay increasing.
    Restarted(u64),
}

#[derive(Debug)]
pub(super) struct Arrivals {
    /// Highest extended number; 0 = none yet, as numbers start one cycle up.
    highest: u64,
    /// Numbers expected so far, from the first one on, and over restarts.
    expected: u64,
    received: u64,
    /// One bit per number modulo [`WINDOW`], for `highest - WINDOW < number <= highest`.
    seen: [u64; WINDOW as usize / 64],
    /// The number that would confirm a jump.
    awaited: Option<u16>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self { highest: 0, expected: 0, received: 0, seen: [0; WINDOW as usize / 64], awaited: None }
    }

    /// Distinct packets believed.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Packets that did not come (so far: a late one lowers it).
    pub(super) fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    pub(super) fn arrive(&mut self, sequence: u16) -> Arrival {
        if self.highest == 0 {
            self.highest = (1 << 16) + u64::from(sequence);
            return self.begin_at(self.highest);
        }
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = u64::from(ahead.wrapping_neg());
        if ahead == 0 || behind < WINDOW {
            return self.arrive_behind(self.highest - behind);
        }
        let confirmed = self.awaited == Some(sequence);
        if ahead < 1 << 15 && (ahead <= DROPOUT_MAX || confirmed) {
            self.advance(u64::from(ahead));
            return Arrival::Newest(self.highest);
        }
        if confirmed {
            let up = (self.highest >> 16) + 2;
            return match self.begin_at((up << 16) + u64::from(sequence)) {
                Arrival::Newest(number) => Arrival::Restarted(number),
                other => other,
            };
        }
        self.awaited = Some(sequence.wrapping_add(1));
        Arrival::Unlikely
    }

    fn begin_at(&mut self, number: u64) -> Arrival {
        self.highest = number;
        self.seen.fill(0);
        self.expected += 1;
        self.take(number);
        Arrival::Newest(number)
    }

    fn arrive_behind(&mut self, number: u64) -> Arrival {
        let (word, bit) = place(number);
        if self.seen[word] & bit != 0 {
            return Arrival::Duplicate;
        }
        self.take(number);
        // A number below the first one was not expected; it came all the same.
        self.expected = self.expected.max(self.received);
        Arrival::Behind(number)
    }

    fn advance(&mut self, by: u64) {
        for number in self.highest + 1..=self.highest + by.min(WINDOW) {
            let (word, bit) = place(number);
            self.seen[word] &= !bit;
        }
        self.highest += by;
        self.expected += by;
        self.take(self.highest);
    }

    fn take(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.seen[word] |= bit;
        self.received += 1;
        self.awaited = None;
    }
}

fn place(number: u64) -> (usize, u64) {
    let n = number % WINDOW;
    (n as usize / 64, 1 << (n % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds sequence numbers; gives the verdicts, each as a letter, and packets received and lost.
    fn check(sequences: &[u16], verdicts: &str, received: u64, lost: u64) {
        let mut a = Arrivals::new();
        let letters: String = sequences
            .iter()
            .map(|&s| match a.arrive(s) {
                Arrival::Newest(n) => {
                    assert_eq!(n as u16, s);
                    'n'
                }
                Arrival::Behind(n) => {
                    assert_eq!(n as u16, s);
                    'b'
                }
                Arrival::Duplicate => 'd',
                Arrival::Unlikely => 'u',
                Arrival::Restarted(n) => {
                    assert_eq!(n as u16, s);
                    'r'
                }
            })
            .collect();
        assert_eq!((letters.as_str(), a.received(), a.lost()), (verdicts, received, lost), "{sequences:?}");
    }

    #[test]
    fn order_loss_and_duplicates_are_told_apart() {
        check(&[10, 11, 12], "nnn", 3, 0);
        check(&[10, 12, 11, 11, 12], "nnbdd", 3, 0);
        check(&[10, 14], "nn", 2, 3);
        check(&[65_534, 65_535, 0, 1, 65_535], "nnnnd", 4, 0);
        check(&[0, 65_535], "nb", 2, 0);
    }

    #[test]
    fn the_window_and_the_dropout_have_sharp_edges() {
        check(&[5_000, 5_000 - 2_047], "nb", 2, 0);
        check(&[5_000, 5_000 - 2_048], "nu", 1, 0);
        check(&[5_000, 8_000], "nn", 2, 2_999);
        check(&[5_000, 8_001], "nu", 1, 0);
        check(&[5_000, 8_000, 5_953, 5_953, 5_952], "nnbdu", 3, 2_998);
    }

    #[test]
    fn a_jump_is_believed_when_the_next_packet_follows_it() {
        check(&[5_000, 20_000, 20_001], "nun", 2, 15_000);
        check(&[5_000, 20_000, 5_001, 20_001], "nunu", 2, 0);
        check(&[30_000, 9, 10, 11], "nurn", 3, 0);
        check(&[30_000, 9, 30_001, 10], "nunu", 2, 0);
    }

    #[test]
    fn numbers_increase_over_a_restart() {
        let mut a = Arrivals::new();
        assert_eq!(a.arrive(60_000), Arrival::Newest(65_536 + 60_000));
        a.arrive(9);
        assert!(matches!(a.arrive(10), Arrival::Newest(_)), "5,546 ahead is a dropout, not a restart");
        a.arrive(50_000);
        assert!(matches!(a.arrive(50_001), Arrival::Restarted(n) if n > 2 * 65_536 + 10));
    }
}
