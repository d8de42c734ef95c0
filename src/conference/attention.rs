//! Hands raised and people away: the own ones told to the others, theirs told here.

use super::director::Director;
use super::view::Attention;
use crate::pipeline::control::Command as Ask;

impl Director {
    /// Changes what the others see of oneself.
    pub(super) fn attend(&mut self, change: impl FnOnce(&mut Attention)) {
        let mut state = self.shared.state();
        change(&mut state.own.attention);
        let attention = state.own.attention;
        drop(state);
        self.control.send(Ask::Attention(attention));
    }
}

/// What is said of somebody, after the name, when their attention is another one; empty for nothing.
pub(super) fn news(before: Attention, now: Attention) -> &'static str {
    match () {
        () if now.hand && !before.hand => "raises a hand",
        () if now.away && !before.away => "is away",
        () if before.away && !now.away => "is back",
        () => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_is_told_when_it_goes_up_and_being_away_both_ways() {
        let of = |hand, away| Attention { hand, away, priority: false };
        let cases = [
            (of(false, false), of(true, false), "raises a hand"),
            (of(true, false), of(false, false), ""),
            (of(false, false), of(false, true), "is away"),
            (of(false, true), of(false, false), "is back"),
            (of(true, true), of(true, true), ""),
        ];
        for (before, now, expected) in cases {
            assert_eq!(news(before, now), expected, "{before:?} to {now:?}");
        }
    }
}
