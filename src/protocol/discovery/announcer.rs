//! When a member sends ANNOUNCE.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::{DISCOVERY_ANSWERS_PER_S_MAX, DISCOVERY_WORK_PER_S_MAX};
use crate::protocol::keys::{Random, order_hash};
use crate::protocol::rate::Rate;
use crate::time::Timestamp;
use crate::wire::discovery::Query;
use crate::wire::message::ParticipantId;

/// Silence after which the first in line announces unasked.
const PERIOD: Duration = Duration::from_secs(5);
/// What each place further back in the line waits longer.
const PERIOD_PER_RANK: Duration = Duration::from_millis(300);
/// Places told apart in that line.
const RANK_MAX: u32 = 20;
/// Nonces remembered: a query comes by multicast and by broadcast.
const NONCES_KEPT: usize = 8;
/// Askers answered by unicast beside one multicast answer.
const UNICAST_ANSWERS_MAX: usize = 4;

/// `me`'s place among the members in the order by `salt`.
pub(crate) fn rank<'a>(salt: &[u8], me: &ParticipantId, others: impl Iterator<Item = &'a ParticipantId>) -> u32 {
    let place = |id: &ParticipantId| (order_hash(&[salt, &id.0]), *id);
    let mine = place(me);
    others.filter(|id| place(id) < mine).count() as u32
}

struct Answer {
    at: Timestamp,
    rank: u32,
}

/// Decides when to announce; says nothing of what.
pub struct Announcer {
    unasked_at: Timestamp,
    answer: Option<Answer>,
    unicast: Vec<SocketAddr>,
    nonces: VecDeque<u64>,
    /// When the last few were sent: strictly so many in any one second.
    sent: VecDeque<Timestamp>,
    queries: Rate,
}

impl Announcer {
    /// Announces first at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self {
            unasked_at: at,
            answer: None,
            unicast: Vec::new(),
            nonces: VecDeque::new(),
            sent: VecDeque::new(),
            queries: Rate::default(),
        }
    }

    /// A QUERY from `source`; `rank(nonce)` gives this member's place among those who could answer. False when it was not
    /// looked at, because there were too many.
    pub fn query(
        &mut self,
        now: Timestamp,
        query: &Query,
        source: SocketAddr,
        random: &mut Random,
        rank: impl FnOnce(u64) -> u32,
    ) -> bool {
        if self.nonces.contains(&query.nonce) {
            return true;
        }
        if !self.queries.take(now, DISCOVERY_WORK_PER_S_MAX) {
            return false;
        }
        if self.nonces.len() == NONCES_KEPT {
            self.nonces.pop_front();
        }
        self.nonces.push_back(query.nonce);
        let rank = rank(query.nonce);
        let ms = Duration::from_millis;
        let delay = match rank {
            0 => Duration::ZERO,
            1 => random.between(ms(60), ms(80)),
            2 => random.between(ms(120), ms(140)),
            // Those before are there no more, or never meant to answer.
            _ => random.between(ms(200), ms(400)),
        };
        if query.unicast && self.unicast.len() < UNICAST_ANSWERS_MAX && !self.unicast.contains(&source) {
            self.unicast.push(source);
        }
        let at = now + delay;
        if self.answer.as_ref().is_none_or(|a| at < a.at) {
            self.answer = Some(Answer { at, rank });
        }
        true
    }

    /// Another member announced the conference; `rank` is this member's place in the line of those who do so unasked.
    pub fn heard(&mut self, now: Timestamp, rank: u32) {
        self.unasked_at = now + PERIOD + PERIOD_PER_RANK * rank.min(RANK_MAX);
        if self.answer.as_ref().is_some_and(|a| a.rank > 0) {
            self.answer = None;
            self.unicast.clear();
        }
    }

    /// Whether to announce now. If so `unicast` receives the addresses to answer beside the group, and the next
    /// unasked announcement is put off as by [`heard`](Self::heard).
    pub fn due(&mut self, now: Timestamp, rank: u32, unicast: &mut Vec<SocketAddr>) -> bool {
        if self.next_timeout() > now {
            return false;
        }
        self.answer = None;
        unicast.append(&mut self.unicast);
        self.sent.push_back(now);
        if self.sent.len() > DISCOVERY_ANSWERS_PER_S_MAX as usize {
            self.sent.pop_front();
        }
        self.heard(now, rank);
        true
    }

    /// When [`due`](Self::due) is to be asked.
    pub fn next_timeout(&self) -> Timestamp {
        let wanted = self.answer.as_ref().map_or(self.unasked_at, |a| a.at.min(self.unasked_at));
        let allowed = match self.sent.front() {
            Some(&oldest) if self.sent.len() == DISCOVERY_ANSWERS_PER_S_MAX as usize => oldest + Duration::from_secs(1),
            _ => wanted,
        };
        wanted.max(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: &str = "10.0.0.9:5000";

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_millis(n)
    }

    struct Member(Announcer, Random);

    impl Member {
        /// A member who announced at 0 and has nothing to say before 5 s.
        fn new() -> Self {
            let mut announcer = Announcer::new(ms(0));
            assert!(announcer.due(ms(0), 0, &mut Vec::new()));
            Self(announcer, Random::new([1; 32]))
        }

        fn ask(&mut self, at: u64, nonce: u64, unicast: bool, rank: u32) -> bool {
            self.0.query(ms(at), &Query { unicast, nonce }, ASKER.parse().unwrap(), &mut self.1, |_| rank)
        }
    }

    #[test]
    fn the_first_three_answer_in_turn_and_then_whoever_is_first() {
        for (rank, low, high) in [(0, 1_000, 1_000), (1, 1_060, 1_080), (2, 1_120, 1_140), (3, 1_200, 1_400)] {
            let mut member = Member::new();
            member.ask(1_000, 7, false, rank);
            let at = member.0.next_timeout();
            assert!((ms(low)..=ms(high)).contains(&at), "rank {rank}: {at:?}");
        }
    }

    #[test]
    fn whoever_hears_an_answer_keeps_silent_except_the_first() {
        for (rank, answers) in [(0, true), (1, false), (2, false), (9, false)] {
            let mut member = Member::new();
            member.ask(1_000, 7, false, rank);
            member.0.heard(ms(1_000), rank);
            assert_eq!(member.0.due(ms(1_400), rank, &mut Vec::new()), answers, "rank {rank}");
        }
    }

    #[test]
    fn a_query_heard_twice_is_answered_once_and_by_unicast_only_on_request() {
        let mut member = Member::new();
        let mut unicast = Vec::new();
        member.ask(1_000, 7, false, 0);
        assert!(member.0.due(ms(1_000), 0, &mut unicast));
        member.ask(1_001, 7, false, 0);
        assert!(!member.0.due(ms(1_500), 0, &mut unicast));
        assert!(unicast.is_empty());
        member.ask(1_600, 8, true, 0);
        assert!(member.0.due(ms(1_600), 0, &mut unicast));
        assert_eq!(unicast, [ASKER.parse().unwrap()]);
    }

    #[test]
    fn so_many_announcements_leave_in_any_second() {
        let mut member = Member::new();
        let mut sent = Vec::new();
        for at in 900..3_000 {
            member.ask(at, at, false, 0);
            if member.0.due(ms(at), 0, &mut Vec::new()) {
                sent.push(at);
            }
        }
        let most = DISCOVERY_ANSWERS_PER_S_MAX as usize;
        assert!(sent.len() >= 2 * most, "the limit does not silence: {sent:?}");
        assert!(sent.windows(most + 1).all(|w| w[most] - w[0] >= 1_000), "{sent:?}");
    }

    #[test]
    fn so_many_queries_are_looked_at_a_second() {
        let mut member = Member::new();
        let most = u64::from(DISCOVERY_WORK_PER_S_MAX);
        assert!((0..most).all(|nonce| member.ask(1_000, nonce, true, 0)));
        assert!(!member.ask(1_999, most, true, 0));
        assert!(member.ask(1_999, most - 1, true, 0), "the copy of one that was");
        assert!(member.ask(2_000, most, true, 0));
    }

    #[test]
    fn unasked_the_first_in_line_announces_and_the_next_replaces_it() {
        for (rank, expected) in [(0, 5_000), (1, 5_300), (20, 11_000), (900, 11_000)] {
            let mut member = Member::new();
            member.0.heard(ms(0), rank);
            assert_eq!(member.0.next_timeout(), ms(expected));
        }
    }

    #[test]
    fn ranks_are_a_permutation() {
        let ids: Vec<_> = (0..9).map(|n| ParticipantId([n; 16])).collect();
        let mut ranks: Vec<_> = ids.iter().map(|me| rank(b"nonce", me, ids.iter().filter(|id| *id != me))).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
