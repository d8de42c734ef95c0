//! What one member says from joining to leaving: numbered pieces, which of them are had, wanted and shown.
//!
//! ```text
//!  number   1 ...... floor | had had had | hole | had | hole hole | . . .
//!           not wanted     '-- contiguous           '-- newest had   ^-- top: the highest anybody speaks of
//! ```
//! A piece is taken once, whenever it comes, even below the floor and after it was given up. Only a signed piece moves
//! the window; what heartbeats claim makes holes within it and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limits::{CHAT_CLAIMED_MAX, CHAT_WINDOW};
use crate::protocol::chat::line::{self, Content};
use crate::protocol::chat::order::{LineId, OrderKey};
use crate::protocol::chat::ranges::Ranges;
use crate::time::{NtpTime, Timestamp};
use crate::wire::chat::{Chat, Original};
use crate::wire::message::ParticipantId;

/// How long a line waits for an earlier one of its author before it is shown without it.
pub(super) const HOLD: Duration = Duration::from_secs(2);

/// What is new is told so often before others' turns come: a report may be lost.
pub(super) const REPORTS: u8 = 3;
/// Pieces given up that are remembered.
const GIVEN_UP_MAX: usize = 64;

/// A piece that is had.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub original: Original,
    /// What `original` holds, without the bytes.
    pub chat: Chat,
    /// When it is too old to be handed to late joiners.
    pub expires: Timestamp,
    /// When a copy of it was last sent or heard here.
    pub heard: Timestamp,
}

impl Piece {
    pub fn bytes(&self) -> usize {
        self.original.payload.len() + self.original.signature.len() + self.original.signer.len()
    }

    /// Number of the first piece of its line.
    pub fn first(&self) -> u32 {
        self.chat.number - self.chat.piece
    }
}

/// A piece that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    /// When it is to be asked for.
    pub due: Timestamp,
    /// How often it was.
    pub tries: u32,
}

/// What the floor of a sequence rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floor {
    /// Signed pieces.
    Firm,
    /// Somebody's word; the first signed piece below it corrects it.
    Claimed,
    /// The moment of joining; history will tell.
    Joining,
}

/// One sequence.
#[derive(Debug)]
pub(super) struct Sequence {
    pub member: ParticipantId,
    pub run: u32,
    pub pieces: BTreeMap<u32, Piece>,
    pub holes: BTreeMap<u32, Hole>,
    /// Whole lines not yet shown, by their first number, with the time they became whole.
    waiting: BTreeMap<u32, Timestamp>,
    have: Ranges,
    /// What is had, given up, or below the floor.
    settled: Ranges,
    /// The last pieces given up: somebody who comes back may have them.
    given_up: BTreeSet<u32>,
    /// The highest number anybody speaks of, within the window.
    pub top: u32,
    /// Up to here every piece is had, settled or a hole.
    looked: u32,
    pub floor: Floor,
    /// Its author was seen here, or the lines come from the own disk or from the one asked for what was said before.
    pub known: bool,
    /// When something of it was last new.
    pub changed: Timestamp,
    /// In how many reports it is yet to be told what is new.
    pub reports_due: u8,
}

impl Sequence {
    pub fn new(member: ParticipantId, run: u32, now: Timestamp) -> Self {
        Self {
            member,
            run,
            pieces: BTreeMap::new(),
            holes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            have: Ranges::default(),
            settled: Ranges::default(),
            given_up: BTreeSet::new(),
            top: 0,
            looked: 0,
            floor: Floor::Firm,
            known: false,
            changed: now,
            reports_due: 0,
        }
    }

    /// Up to here everything is had, given up or not wanted.
    pub fn contiguous(&self) -> u32 {
        self.settled.contiguous()
    }

    /// What was had before the sequence was forgotten.
    pub fn remember(&mut self, have: Ranges) {
        self.settled = have.clone();
        self.top = have.highest();
        self.have = have;
    }

    /// What is had.
    pub fn into_have(self) -> Ranges {
        self.have
    }

    /// The number up to which others are told that all is had: never more than is.
    pub fn told(&self) -> u32 {
        self.contiguous().min(self.have.highest())
    }

    /// Whether this piece was taken once, even if it is no longer kept.
    pub fn has(&self, number: u32) -> bool {
        self.have.contains(number)
    }

    /// Nothing up to `floor` is wanted from now on. How many holes that gives up.
    pub fn raise_floor(&mut self, floor: u32) -> u32 {
        let kept = self.holes.split_off(&floor.saturating_add(1));
        let given_up = std::mem::replace(&mut self.holes, kept).len();
        self.settled.insert_range(1, floor);
        self.top = self.top.max(floor);
        u32::try_from(given_up).unwrap_or(u32::MAX)
    }

    /// Everything after `floor` is wanted, as far as the window reaches; what was given up too.
    pub fn lower_floor(&mut self, floor: u32) {
        let floor = floor.max(self.top.saturating_sub(CHAT_WINDOW));
        self.given_up.clear();
        self.settled = self.have.clone();
        self.settled.insert_range(1, floor);
        self.looked = 0;
        self.floor = Floor::Firm;
    }

    /// Takes a piece that is not had. How many holes fell out of the window by it.
    pub fn take(&mut self, now: Timestamp, piece: Piece) -> u32 {
        let number = piece.chat.number;
        if self.floor == Floor::Claimed {
            if self.contiguous() >= number {
                self.top = self.have.highest();
                self.lower_floor(number - 1);
            }
            self.floor = Floor::Firm;
        }
        let given_up = match number.checked_sub(CHAT_WINDOW) {
            Some(floor) if number > self.top => self.raise_floor(floor),
            _ => 0,
        };
        self.have.insert(number);
        self.settled.insert(number);
        self.holes.remove(&number);
        self.given_up.remove(&number);
        self.top = self.top.max(number);
        self.changed = now;
        self.reports_due = REPORTS;
        let first = piece.first();
        self.pieces.insert(number, piece);
        // A piece that claims to belong to a line which does not reach to it completes nothing.
        let belongs = self.pieces.get(&first).is_some_and(|start| number - first < start.chat.pieces);
        if belongs && self.whole(first) {
            self.waiting.insert(first, now);
        }
        given_up
    }

    /// Gives up one piece, nobody has it. Whether it was one: beyond the newest signed piece there may be none.
    pub fn give_up(&mut self, number: u32) -> bool {
        self.holes.remove(&number);
        if number > self.have.highest() {
            self.top = self.top.min(number - 1);
            self.looked = self.looked.min(number - 1);
            return false;
        }
        let new = self.settled.insert_new(number);
        self.reports_due = if new { REPORTS } else { self.reports_due };
        self.given_up.insert(number);
        if self.given_up.len() > GIVEN_UP_MAX {
            self.given_up.pop_first();
        }
        new
    }

    /// The pieces given up last.
    pub fn given_up(&self) -> impl Iterator<Item = u32> + '_ {
        self.given_up.iter().copied()
    }

    /// The highest number spoken of if somebody speaks of `upto`, and how far pieces are asked for then.
    fn reach(&self, upto: u32) -> (u32, u32) {
        let contiguous = self.contiguous();
        let top = self.top.max(upto.min(contiguous.saturating_add(CHAT_WINDOW)));
        (top, top.min(self.have.highest().max(contiguous).saturating_add(CHAT_CLAIMED_MAX)))
    }

    /// Whether there may be something to find when somebody speaks of `upto`.
    pub fn may_lack(&self, upto: u32) -> bool {
        let (top, reach) = self.reach(upto);
        top > self.top || reach > self.contiguous().max(self.looked)
    }

    /// Makes holes, due at `due`, of pieces after the contiguous ones and up to `upto` that are neither had nor asked for
    /// yet: within the window, no further beyond what is had than claims reach, and at most `room`. How many are new, and how
    /// many there was no room for. What is beyond is looked for as pieces come.
    pub fn find_holes(&mut self, upto: u32, due: Timestamp, room: usize) -> (usize, usize) {
        let reach;
        (self.top, reach) = self.reach(upto);
        let first = self.contiguous().max(self.looked).saturating_add(1);
        let mut new = 0;
        let mut left = 0;
        for number in self.settled.missing(first, reach) {
            if self.holes.contains_key(&number) {
                continue;
            }
            if new == room {
                left += 1;
                continue;
            }
            self.holes.insert(number, Hole { due, tries: 0 });
            self.looked = number;
            new += 1;
        }
        self.looked = if left == 0 { self.looked.max(reach) } else { self.looked };
        (new, left)
    }

    /// Others want as much: the last `count` holes are to be found again later.
    pub fn drop_holes(&mut self, count: usize) {
        for _ in 0..count {
            let Some((number, _)) = self.holes.pop_last() else { break };
            self.looked = self.looked.min(number - 1);
        }
    }

    /// Takes a piece out of memory. Its bytes.
    pub fn drop_piece(&mut self, number: u32) -> usize {
        let Some(piece) = self.pieces.remove(&number) else {
            return 0;
        };
        self.waiting.remove(&piece.first());
        piece.bytes()
    }

    /// The pieces of the line that begins with `first`, when all of them are had.
    pub fn line(&self, first: u32) -> Option<impl Iterator<Item = &Piece>> {
        self.whole(first).then(|| {
            let pieces = self.pieces.get(&first).map_or(0, |piece| piece.chat.pieces);
            self.pieces.range(first..first + pieces).map(|(_, piece)| piece)
        })
    }

    fn whole(&self, first: u32) -> bool {
        let Some(start) = self.pieces.get(&first) else {
            return false;
        };
        (0..start.chat.pieces).all(|piece| {
            let part = self.pieces.get(&(first + piece)).map(|part| &part.chat);
            part.is_some_and(|part| (part.piece, part.pieces, part.time) == (piece, start.chat.pieces, start.chat.time))
        })
    }

    /// Takes the first number of a line that may be shown: nothing before it is awaited, or it has waited long enough.
    pub fn pop_ready(&mut self, now: Timestamp) -> Option<u32> {
        let contiguous = self.contiguous();
        let in_order = |first: &u32| self.pieces.get(first).is_none_or(|p| first + p.chat.pieces - 1 <= contiguous);
        let (&first, _) = self.waiting.iter().find(|&(first, &since)| in_order(first) || since + HOLD <= now)?;
        self.waiting.remove(&first);
        Some(first)
    }

    /// When the next line has waited long enough.
    pub fn hold_due(&self) -> Option<Timestamp> {
        self.waiting.values().min().map(|&since| since + HOLD)
    }

    /// The line that begins with `first`: name, place, and what it says. `None` when it breaks a bound.
    pub fn read(&self, first: u32) -> Option<(String, OrderKey, NtpTime, Content)> {
        let start = &self.pieces.get(&first)?.chat;
        let (name, content) = line::join(self.line(first)?.map(|piece| piece.original.payload.as_slice()))?;
        let id = LineId { member: self.member, run: self.run, number: first };
        Some((name, OrderKey { time: start.time, id }, NtpTime(start.wall), content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn piece(number: u32, piece: u32, pieces: u32) -> Piece {
        let chat = Chat { number, piece, pieces, time: u64::from(number - piece), bytes: vec![0], ..Chat::default() };
        Piece { original: Original::default(), chat, expires: now(0), heard: now(0) }
    }

    fn sequence(numbers: &[u32]) -> Sequence {
        let mut sequence = Sequence::new(ParticipantId([1; 16]), 1, now(0));
        for &number in numbers {
            sequence.take(now(0), piece(number, 0, 1));
        }
        sequence
    }

    fn find(sequence: &mut Sequence, upto: u32) -> Vec<u32> {
        let before: Vec<u32> = sequence.holes.keys().copied().collect();
        sequence.find_holes(upto, now(0), usize::MAX);
        sequence.holes.keys().copied().filter(|number| !before.contains(number)).collect()
    }

    fn ready(sequence: &mut Sequence, at: Timestamp) -> Vec<u32> {
        std::iter::from_fn(|| sequence.pop_ready(at)).collect()
    }

    #[test]
    fn lines_are_shown_in_the_order_of_their_numbers() {
        let mut sequence = sequence(&[2, 4]);
        assert_eq!(ready(&mut sequence, now(0)), [0u32; 0]);
        sequence.take(now(1), piece(1, 0, 1));
        assert_eq!(ready(&mut sequence, now(1)), [1, 2]);
        sequence.take(now(2), piece(3, 0, 1));
        assert_eq!(ready(&mut sequence, now(2)), [3, 4]);
        assert_eq!(sequence.hold_due(), None);
    }

    #[test]
    fn a_line_waits_two_seconds_for_an_earlier_one_and_no_longer() {
        let mut sequence = sequence(&[2]);
        let due = now(0) + HOLD;
        assert_eq!(sequence.hold_due(), Some(due));
        assert_eq!(ready(&mut sequence, due - Duration::from_nanos(1)), [0u32; 0]);
        assert_eq!(ready(&mut sequence, due), [2]);
        sequence.take(due, piece(1, 0, 1));
        assert_eq!(ready(&mut sequence, due), [1], "shown late, in its place");
    }

    #[test]
    fn a_long_line_is_shown_when_its_last_piece_is_there() {
        let mut sequence = sequence(&[]);
        for (number, at) in [(3, 2), (1, 0)] {
            sequence.take(now(0), piece(number, at, 3));
        }
        assert_eq!(ready(&mut sequence, now(0) + HOLD), [0u32; 0]);
        sequence.take(now(5), piece(2, 1, 3));
        assert_eq!(ready(&mut sequence, now(5)), [1]);
        assert_eq!(sequence.line(1).unwrap().count(), 3);
        sequence.drop_piece(2);
        assert!(sequence.line(1).is_none());
    }

    #[test]
    fn pieces_that_contradict_each_other_are_no_line() {
        let mut sequence = sequence(&[]);
        sequence.take(now(0), piece(1, 0, 2));
        sequence.take(now(0), piece(2, 1, 3));
        assert_eq!(ready(&mut sequence, now(0) + HOLD), [0u32; 0]);
        sequence.take(now(0), piece(3, 0, 1));
        sequence.take(now(0), piece(4, 1, 2));
        assert_eq!(ready(&mut sequence, now(0)), [3]);
        assert_eq!(
            ready(&mut sequence, now(0) + HOLD),
            [0u32; 0],
            "the fourth claims to be the second half of the third"
        );
        sequence.take(now(0), piece(5, 2, 3));
        assert_eq!(ready(&mut sequence, now(0) + HOLD), [0u32; 0]);
    }

    #[test]
    fn the_window_moves_with_signed_pieces_only() {
        let mut sequence = sequence(&[1]);
        assert_eq!(find(&mut sequence, u32::MAX).len(), CHAT_CLAIMED_MAX as usize, "claims make few holes");
        assert_eq!((sequence.top, sequence.contiguous()), (CHAT_WINDOW + 1, 1));
        sequence.take(now(0), piece(3, 0, 1));
        assert_eq!(find(&mut sequence, 0), [CHAT_CLAIMED_MAX + 2, CHAT_CLAIMED_MAX + 3], "and more as pieces come");
        let mut sequence = Sequence::new(ParticipantId([1; 16]), 1, now(0));
        assert_eq!(find(&mut sequence, 3), [1, 2, 3]);
        assert_eq!(sequence.take(now(0), piece(CHAT_WINDOW, 0, 1)), 0);
        assert_eq!(sequence.contiguous(), 0);
        assert_eq!(sequence.take(now(0), piece(CHAT_WINDOW + 2, 0, 1)), 2, "1 and 2 are given up");
        assert_eq!(sequence.holes.keys().collect::<Vec<_>>(), [&3]);
        assert_eq!(sequence.contiguous(), 2);
        assert!(!sequence.has(2), "and still taken when they come");
    }

    #[test]
    fn a_claimed_floor_gives_way_to_the_first_signed_piece() {
        let mut sequence = Sequence::new(ParticipantId([1; 16]), 1, now(0));
        sequence.raise_floor(900);
        sequence.floor = Floor::Claimed;
        sequence.take(now(0), piece(700, 0, 1));
        assert_eq!(sequence.contiguous(), 700);
        sequence.take(now(0), piece(890, 0, 1));
        assert_eq!(find(&mut sequence, 900).len(), 199);
    }

    #[test]
    fn holes_are_what_lies_between_and_each_is_found_once() {
        let mut sequence = sequence(&[1, 4]);
        assert_eq!(sequence.find_holes(6, now(0), 1), (1, 3), "no room for more");
        assert_eq!(find(&mut sequence, 6), [3, 5, 6]);
        assert_eq!(find(&mut sequence, 6), [0u32; 0]);
        sequence.drop_holes(2);
        assert_eq!(find(&mut sequence, 0), [5, 6]);
        assert!(sequence.give_up(2));
        assert_eq!(find(&mut sequence, 0), [0u32; 0]);
        assert_eq!((sequence.contiguous(), sequence.given_up().collect::<Vec<_>>()), (2, vec![2]));
        sequence.lower_floor(1);
        assert_eq!(find(&mut sequence, 0), [2], "wanted again");
    }

    #[test]
    fn a_piece_that_was_only_claimed_is_given_up_without_a_trace() {
        let mut sequence = sequence(&[1]);
        assert_eq!(find(&mut sequence, 3), [2, 3]);
        assert!(!sequence.give_up(2));
        assert_eq!((sequence.top, sequence.contiguous()), (1, 1));
        assert_eq!(find(&mut sequence, 3), [2], "claimed again");
    }
}
