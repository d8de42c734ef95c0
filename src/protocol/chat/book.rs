//! All sequences of the conference, within the bounds of memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::limits::{
    CHAT_HOLES_MAX, CHAT_LOG_BYTES_MAX, CHAT_LOG_PIECES_MAX, CHAT_PER_S_MAX, CHAT_SEQUENCES_CLOSED_MAX,
    CHAT_SEQUENCES_MAX, CHAT_SEQUENCES_OF_STRANGERS_MAX, CHAT_SEQUENCES_PER_MEMBER_MAX, CHAT_WINDOW,
};
use crate::protocol::chat::pace::Bucket;
use crate::protocol::chat::ranges::Ranges;
use crate::protocol::chat::sequence::{Piece, Sequence};
use crate::time::Timestamp;
use crate::wire::chat::tag;
use crate::wire::message::ParticipantId;

/// Holes that one sequence leaves to another at a time.
const HOLES_MOVED: usize = 16;

/// Names a sequence within this process, from 1; never used twice.
pub(super) type SequenceId = u32;

/// Sequences by id, by author and run, and by tag.
#[derive(Debug, Default)]
pub(super) struct Book {
    sequences: BTreeMap<SequenceId, Sequence>,
    by_author: BTreeMap<(ParticipantId, u32), SequenceId>,
    by_tag: BTreeSet<(u32, SequenceId)>,
    /// What was had of sequences that were forgotten.
    closed: BTreeMap<(ParticipantId, u32), Ranges>,
    /// These, oldest first.
    closed_order: VecDeque<(ParticipantId, u32)>,
    /// And by tag.
    closed_tags: BTreeSet<(u32, ParticipantId, u32)>,
    /// How fast each author's pieces may be taken in.
    rates: BTreeMap<ParticipantId, Bucket>,
    /// One's own present sequence; it is never forgotten.
    pub own: SequenceId,
    next: SequenceId,
    pieces: usize,
    bytes: usize,
}

impl Book {
    pub fn get(&self, id: SequenceId) -> Option<&Sequence> {
        self.sequences.get(&id)
    }

    pub fn get_mut(&mut self, id: SequenceId) -> Option<&mut Sequence> {
        self.sequences.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SequenceId, &Sequence)> {
        self.sequences.iter().map(|(&id, sequence)| (id, sequence))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (SequenceId, &mut Sequence)> {
        self.sequences.iter_mut().map(|(&id, sequence)| (id, sequence))
    }

    /// The sequences after `id` in a round, that one last.
    pub fn round_from(&self, id: SequenceId) -> impl Iterator<Item = (SequenceId, &Sequence)> {
        let after = self.sequences.range(id.saturating_add(1)..);
        after.chain(self.sequences.range(..=id)).map(|(&id, sequence)| (id, sequence))
    }

    pub fn find(&self, member: ParticipantId, run: u32) -> Option<SequenceId> {
        self.by_author.get(&(member, run)).copied()
    }

    /// The sequence with this tag: `Err` when there is none, `Ok(None)` when there are several, or one that was forgotten.
    pub fn find_tag(&self, tag: u32) -> Result<Option<SequenceId>, ()> {
        let mut found = self.by_tag.range((tag, 0)..=(tag, SequenceId::MAX)).map(|&(_, id)| id);
        let Some(first) = found.next() else {
            let closed = self.closed_tags.range((tag, ParticipantId([0; 16]), 0)..).next();
            return if closed.is_some_and(|closed| closed.0 == tag) { Ok(None) } else { Err(()) };
        };
        Ok(found.next().is_none().then_some(first))
    }

    /// Whether a piece was taken once.
    pub fn had(&self, member: ParticipantId, run: u32, number: u32) -> bool {
        match self.find(member, run) {
            Some(id) => self.get(id).is_some_and(|sequence| sequence.has(number)),
            None => self.closed.get(&(member, run)).is_some_and(|have| have.contains(number)),
        }
    }

    /// Makes room for a new sequence and opens it; `known`: its author was seen here. `None` when all are in use: `keep`
    /// says which may not be forgotten. Strangers make room for each other and for everybody.
    pub fn open(
        &mut self,
        now: Timestamp,
        member: ParticipantId,
        run: u32,
        known: bool,
        keep: impl Fn(&Sequence) -> bool,
    ) -> Option<SequenceId> {
        let least = |book: &Self, may_go: &dyn Fn(&Sequence) -> bool| {
            let candidates = book.iter().filter(|&(id, sequence)| id != book.own && may_go(sequence));
            let worth = |s: &Sequence| (s.known, !s.pieces.is_empty(), s.changed);
            candidates.min_by_key(|(_, sequence)| worth(sequence)).map(|(id, _)| id)
        };
        let of_member = self.of(member).count();
        if of_member >= CHAT_SEQUENCES_PER_MEMBER_MAX {
            let id = least(self, &|sequence| sequence.member == member)?;
            self.close(id);
        }
        if !known && self.iter().filter(|(_, s)| !s.known).count() >= CHAT_SEQUENCES_OF_STRANGERS_MAX {
            let id = least(self, &|sequence| !sequence.known)?;
            self.close(id);
        }
        if self.sequences.len() >= CHAT_SEQUENCES_MAX {
            let id = least(self, &|sequence| !keep(sequence))?;
            self.close(id);
        }
        self.next += 1;
        let id = self.next;
        let mut sequence = Sequence::new(member, run, now);
        sequence.known = known;
        if let Some(have) = self.closed.remove(&(member, run)) {
            self.closed_order.retain(|closed| *closed != (member, run));
            self.closed_tags.remove(&(tag(member, run), member, run));
            sequence.remember(have);
        }
        self.sequences.insert(id, sequence);
        self.by_author.insert((member, run), id);
        self.by_tag.insert((tag(member, run), id));
        self.rates.entry(member).or_insert_with(|| Bucket::new(CHAT_PER_S_MAX, CHAT_WINDOW));
        Some(id)
    }

    /// All sequences of an author.
    pub fn of(&self, member: ParticipantId) -> impl Iterator<Item = SequenceId> {
        self.by_author.range((member, 0)..=(member, u32::MAX)).map(|(_, &id)| id)
    }

    /// The author of these is no stranger from now on.
    pub fn acquaint(&mut self, member: ParticipantId) {
        for (_, id) in self.by_author.range((member, 0)..=(member, u32::MAX)) {
            if let Some(sequence) = self.sequences.get_mut(id) {
                sequence.known = true;
            }
        }
    }

    fn close(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.remove(&id) else {
            return;
        };
        let (member, run, known) = (sequence.member, sequence.run, sequence.known);
        self.by_author.remove(&(member, run));
        self.by_tag.remove(&(tag(member, run), id));
        self.pieces -= sequence.pieces.len();
        self.bytes -= sequence.pieces.values().map(Piece::bytes).sum::<usize>();
        if self.of(member).next().is_none() {
            self.rates.remove(&member);
        }
        let have = sequence.into_have();
        if known && have.highest() > 0 {
            self.remember_closed(member, run, have);
        }
    }

    /// What was had of a sequence that is forgotten is neither asked for nor shown again.
    fn remember_closed(&mut self, member: ParticipantId, run: u32, have: Ranges) {
        if self.closed_order.len() >= CHAT_SEQUENCES_CLOSED_MAX
            && let Some(oldest @ (member, run)) = self.closed_order.pop_front()
        {
            self.closed.remove(&oldest);
            self.closed_tags.remove(&(tag(member, run), member, run));
        }
        self.closed.insert((member, run), have);
        self.closed_order.push_back((member, run));
        self.closed_tags.insert((tag(member, run), member, run));
    }

    /// Whether a member's rate lets one more of its pieces in; one of an unknown member does come in.
    pub fn allow(&mut self, now: Timestamp, member: ParticipantId) -> bool {
        self.rates.get_mut(&member).is_none_or(|rate| rate.take(now))
    }

    /// Puts a piece into its sequence, and takes others out while there are too many: the oldest of the stranger who has
    /// most, if any has, else of who has most.
    /// How many holes were given up.
    pub fn take(&mut self, now: Timestamp, id: SequenceId, piece: Piece) -> u32 {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return 0;
        };
        self.bytes += piece.bytes();
        self.pieces += 1;
        let given_up = sequence.take(now, piece);
        while self.pieces > CHAT_LOG_PIECES_MAX || self.bytes > CHAT_LOG_BYTES_MAX {
            let share = |s: &Sequence| (!s.known && !s.pieces.is_empty(), s.pieces.len());
            let most = self.sequences.values_mut().max_by_key(|sequence| share(sequence));
            let Some(sequence) = most else { break };
            let Some(number) = sequence.pieces.keys().next().copied() else { break };
            self.pieces -= 1;
            self.bytes -= sequence.drop_piece(number);
        }
        given_up
    }

    /// Takes out what is too old to be handed on.
    pub fn expire(&mut self, now: Timestamp) {
        for sequence in self.sequences.values_mut() {
            let old = |piece: &Piece| piece.expires <= now;
            while let Some(number) = sequence.pieces.first_key_value().filter(|(_, p)| old(p)).map(|(&n, _)| n) {
                self.pieces -= 1;
                self.bytes -= sequence.drop_piece(number);
            }
        }
    }

    /// Makes holes of what is missing up to `upto`, to be asked for at `due`; while there are too many, whoever lacks most
    /// waits. Whether there are new ones.
    pub fn want(&mut self, id: SequenceId, upto: u32, due: Timestamp) -> bool {
        let asked: usize = self.sequences.values().map(|sequence| sequence.holes.len()).sum();
        let room = CHAT_HOLES_MAX.saturating_sub(asked);
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return false;
        };
        let (mut new, mut left) = sequence.find_holes(upto, due, room);
        while left > 0 {
            let mine = self.sequences.get(&id).map_or(0, |sequence| sequence.holes.len());
            let most = self.sequences.values_mut().max_by_key(|sequence| sequence.holes.len());
            let Some((other, share)) = most.and_then(|other| {
                let more = other.holes.len().saturating_sub(mine) / 2;
                (more > 0).then_some((other, more.min(left).min(HOLES_MOVED)))
            }) else {
                break;
            };
            other.drop_holes(share);
            let Some(sequence) = self.sequences.get_mut(&id) else { break };
            let (found, rest) = sequence.find_holes(upto, due, share);
            new += found;
            left = rest;
        }
        new > 0
    }

    /// Pieces in memory, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.pieces, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chat::{Chat, Original};

    const NOW: Timestamp = Timestamp::from_millis(1);

    fn member(n: usize) -> ParticipantId {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(n as u64).to_be_bytes());
        ParticipantId(id)
    }

    fn piece(number: u32, bytes: usize) -> Piece {
        let original = Original { payload: vec![0; bytes], ..Original::default() };
        let chat = Chat { number, pieces: 1, ..Chat::default() };
        Piece { original, chat, expires: Timestamp::from_millis(u64::from(number)), heard: NOW }
    }

    fn fill(book: &mut Book, id: SequenceId, numbers: std::ops::RangeInclusive<u32>, bytes: usize) {
        numbers.for_each(|number| {
            book.take(NOW, id, piece(number, bytes));
        });
    }

    #[test]
    fn the_log_is_bounded_and_the_one_who_has_most_pays() {
        let mut book = Book::default();
        let quiet = book.open(NOW, member(1), 1, true, |_| true).unwrap();
        let loud = book.open(NOW, member(2), 1, true, |_| true).unwrap();
        fill(&mut book, quiet, 1..=10, 1);
        fill(&mut book, loud, 1..=CHAT_LOG_PIECES_MAX as u32 - 10, 1);
        assert_eq!(book.size().0, CHAT_LOG_PIECES_MAX);
        fill(&mut book, quiet, 11..=11, 1);
        assert_eq!(book.size().0, CHAT_LOG_PIECES_MAX);
        assert_eq!(book.get(quiet).unwrap().pieces.len(), 11);
        assert!(!book.get(loud).unwrap().pieces.contains_key(&1));
        assert!(book.get(loud).unwrap().has(1), "had once, so never taken again");
    }

    #[test]
    fn the_log_is_bounded_in_bytes() {
        let mut book = Book::default();
        let id = book.open(NOW, member(1), 1, true, |_| true).unwrap();
        fill(&mut book, id, 1..=4, CHAT_LOG_BYTES_MAX / 4);
        assert_eq!(book.size(), (4, CHAT_LOG_BYTES_MAX));
        fill(&mut book, id, 5..=5, 1);
        assert_eq!(book.size(), (4, CHAT_LOG_BYTES_MAX * 3 / 4 + 1));
    }

    #[test]
    fn pieces_leave_when_they_are_too_old() {
        let mut book = Book::default();
        let id = book.open(NOW, member(1), 1, true, |_| true).unwrap();
        fill(&mut book, id, 10..=12, 1);
        book.expire(Timestamp::from_millis(11) - std::time::Duration::from_nanos(1));
        assert_eq!(book.size().0, 2);
        book.expire(Timestamp::from_millis(11));
        assert_eq!(book.size().0, 1);
    }

    #[test]
    fn sequences_are_bounded_in_all_and_by_member() {
        let mut book = Book::default();
        for run in 0..=CHAT_SEQUENCES_PER_MEMBER_MAX as u32 {
            book.open(Timestamp(u64::from(run)), member(1), run, true, |_| true).unwrap();
        }
        assert_eq!(book.iter().count(), CHAT_SEQUENCES_PER_MEMBER_MAX);
        assert_eq!(book.find(member(1), 0), None, "the oldest went");
        for n in 2.. {
            if book.iter().count() == CHAT_SEQUENCES_MAX {
                break;
            }
            book.open(NOW, member(n), 1, true, |_| true).unwrap();
        }
        assert_eq!(book.open(NOW, member(0), 1, true, |_| true), None);
        assert!(book.open(NOW, member(0), 1, true, |sequence| sequence.member != member(5)).is_some());
        assert_eq!(book.iter().count(), CHAT_SEQUENCES_MAX);
        assert_eq!(book.find(member(5), 1), None);
        assert_eq!(book.rates.len(), CHAT_SEQUENCES_MAX - CHAT_SEQUENCES_PER_MEMBER_MAX + 1);
    }

    #[test]
    fn strangers_make_room_for_everybody() {
        let mut book = Book::default();
        let gone: Vec<_> = (0..100).map(|n| book.open(NOW, member(n), 1, true, |_| false).unwrap()).collect();
        gone.iter().for_each(|&id| fill(&mut book, id, 1..=10, 1));
        for n in 0..2 * CHAT_SEQUENCES_MAX {
            let id = book.open(Timestamp::from_millis(2), member(1_000 + n), 1, false, |_| false).unwrap();
            fill(&mut book, id, 1..=40, 1);
        }
        assert_eq!(book.iter().count(), 100 + CHAT_SEQUENCES_OF_STRANGERS_MAX);
        assert!(gone.iter().all(|&id| book.get(id).is_some_and(|s| s.pieces.len() == 10)), "nothing of theirs went");
        assert!(book.size().0 <= CHAT_LOG_PIECES_MAX);
        let long = book.open(NOW, member(500), 1, true, |_| false).unwrap();
        fill(&mut book, long, 1..=8, CHAT_LOG_BYTES_MAX / 100);
        assert_eq!(book.get(long).unwrap().pieces.len(), 8, "a long line becomes whole");
    }

    #[test]
    fn what_was_had_of_a_forgotten_sequence_is_remembered() {
        let mut book = Book::default();
        let runs = CHAT_SEQUENCES_PER_MEMBER_MAX as u32 + 1;
        for run in 1..=runs {
            let id = book.open(Timestamp(u64::from(run)), member(1), run, true, |_| true).unwrap();
            book.take(Timestamp(u64::from(run)), id, piece(3, 1));
        }
        assert_eq!((book.find(member(1), 1), book.find_tag(tag(member(1), 1))), (None, Ok(None)));
        assert!(book.had(member(1), 1, 3) && !book.had(member(1), 1, 4) && !book.had(member(1), runs + 1, 3));
        let again = book.open(NOW, member(1), 1, true, |_| true).unwrap();
        assert!(book.get(again).unwrap().has(3) && book.had(member(1), 2, 3));
        assert_eq!((book.closed.len(), book.closed_tags.len()), (1, 1), "the second run took its place");
        for n in 0..CHAT_SEQUENCES_CLOSED_MAX as u32 + 5 {
            let id = book.open(NOW, member(1), runs + 1 + n, true, |_| true).unwrap();
            book.take(NOW, id, piece(3, 1));
        }
        let remembered = (book.closed.len(), book.closed_tags.len(), book.closed_order.len());
        assert_eq!(remembered, (CHAT_SEQUENCES_CLOSED_MAX, CHAT_SEQUENCES_CLOSED_MAX, CHAT_SEQUENCES_CLOSED_MAX));
    }

    #[test]
    fn a_tag_of_two_sequences_names_neither() {
        let mut book = Book::default();
        let (a, b) = (member(1), member(2));
        assert_eq!(tag(a, 7), tag(b, 7), "ids that differ behind the fourth byte");
        let id = book.open(NOW, a, 7, true, |_| true).unwrap();
        assert_eq!(book.find_tag(7), Ok(Some(id)));
        book.open(NOW, b, 7, true, |_| true).unwrap();
        assert_eq!(book.find_tag(7), Ok(None));
        assert_eq!(book.find_tag(8), Err(()));
    }

    #[test]
    fn twenty_pieces_a_second_are_taken_beyond_a_window_of_them() {
        let mut book = Book::default();
        book.open(NOW, member(1), 1, true, |_| true).unwrap();
        assert!((0..CHAT_WINDOW).all(|_| book.allow(NOW, member(1))));
        assert!(!book.allow(NOW, member(1)));
        assert!(!book.allow(Timestamp::from_millis(51) - std::time::Duration::from_nanos(1), member(1)));
        assert!(book.allow(Timestamp::from_millis(51), member(1)));
        assert!(!book.allow(Timestamp::from_millis(51), member(1)));
    }

    #[test]
    fn holes_are_bounded_in_all_and_whoever_lacks_most_waits() {
        let mut book = Book::default();
        let holes = |book: &Book| book.iter().map(|(_, s)| s.holes.len()).sum::<usize>();
        let ids: Vec<_> = (0..9).map(|n| book.open(NOW, member(n), 1, true, |_| true).unwrap()).collect();
        for &id in &ids {
            fill(&mut book, id, CHAT_WINDOW..=CHAT_WINDOW, 1);
            assert!(book.want(id, CHAT_WINDOW, NOW));
        }
        assert_eq!(holes(&book), CHAT_HOLES_MAX);
        assert!(book.iter().all(|(_, s)| s.holes.len() >= CHAT_HOLES_MAX / 12), "nobody takes the share of others");
        let id = book.open(NOW, member(1_000), 1, true, |_| true).unwrap();
        assert!(book.want(id, 3, NOW));
        assert_eq!((book.get(id).unwrap().holes.len(), holes(&book)), (3, CHAT_HOLES_MAX));
    }

    #[test]
    fn a_round_visits_every_sequence_once() {
        let mut book = Book::default();
        let ids: Vec<_> = (0..3).map(|n| book.open(NOW, member(n), 1, true, |_| true).unwrap()).collect();
        let round = |id| book.round_from(id).map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(round(ids[1]), [ids[2], ids[0], ids[1]]);
        assert_eq!(round(99), ids);
    }
}
