//! Asking for what is missing, and answering: once, by one, for all who miss it (RFC 5740 sections 5.2 and 5.3).
//!
//! ```text
//!  gap seen --(0..50 ms, few first)--> [Nack] --> author: at once
//!     ^  a Nack heard for the same         '----> any holder: after 60 ms + (0..90 ms, few first),
//!     |  starts the wait anew                     unless a copy was heard meanwhile
//!     '---- still missing after 250 ms, 500 ms, .. 4 s: again, ten times in all; then the piece is given up
//! ```
//! A piece given up is still taken when it comes, and asked for once more when somebody joins or comes back.

use std::time::Duration;

use prost::Message as _;

use crate::limits::{CHAT_CHUNK_BYTES_MAX, CHAT_REPAIRS_MAX, CHAT_WINDOW};
use crate::protocol::chat::book::SequenceId;
use crate::protocol::chat::line::Output;
use crate::protocol::chat::pace;
use crate::protocol::chat::sequence::Hole;
use crate::protocol::chat::{Chat, Timer};
use crate::time::Timestamp;
use crate::wire::chat::{self as wire, Nack, Original, Packet, Repair, TAGS_MAX, Want};

/// Longest wait before a gap is asked for.
pub(super) const NACK_BACKOFF: Duration = Duration::from_millis(50);
/// A gap that only somebody's acknowledgement speaks of is asked for so much later: the piece may be on its way.
pub(super) const CLAIM_GRACE: Duration = Duration::from_millis(50);
/// The same in a crowd, which acknowledges at once: its author's repeats are awaited first, or many would ask for nothing.
pub(super) const CLAIM_GRACE_OF_CROWD: Duration = Duration::from_millis(300);
/// First wait for a repair before it is asked for again; doubles each time.
const HOLD_OFF: Duration = Duration::from_millis(250);
/// Longest such wait.
const HOLD_OFF_MAX: Duration = Duration::from_secs(4);
/// How often one piece is asked for.
const TRIES_MAX: u32 = 10;
/// A holder that is not the author waits so long, and up to [`HOLDER_BACKOFF`] more.
const HOLDER_WAIT: Duration = Duration::from_millis(60);
/// See [`HOLDER_WAIT`].
const HOLDER_BACKOFF: Duration = Duration::from_millis(90);
/// A piece heard or sent so recently is on its way to whoever asks for it.
const REPAIR_QUIET: Duration = Duration::from_millis(5);
/// What is due so soon is asked for in the same packet.
const TOGETHER: Duration = Duration::from_millis(5);
/// Numbers asked for in one [`Want`]; even with a hole between any two it fits a packet.
const WANT_NUMBERS_MAX: usize = 128;
/// Sequences known by tag only.
const UNKNOWN_TAGS_MAX: usize = 256;
/// How often one is asked for, and when it may be spoken of again after that.
const TAG_TRIES_MAX: u32 = 4;
/// See [`TAG_TRIES_MAX`].
const TAG_REST: Duration = Duration::from_secs(60);
/// Pieces given up are looked for again at most this often.
const REVIVE_EVERY: Duration = Duration::from_secs(30);
/// Bytes of a packet of originals around them.
const REPAIR_FRAME_BYTES: usize = 8;

fn hold_off(tries: u32) -> Duration {
    HOLD_OFF_MAX.min(HOLD_OFF * 2u32.pow(tries.saturating_sub(1).min(8)))
}

impl Chat {
    /// Sets when this sequence's holes are looked at next.
    pub(super) fn arm_nack(&mut self, id: SequenceId) {
        match self.book.get(id).and_then(|sequence| sequence.holes.values().map(|hole| hole.due).min()) {
            Some(due) => self.timers.set(Timer::Nack(id), due),
            None => {
                self.timers.cancel(Timer::Nack(id));
            }
        }
    }

    /// Takes what is due of a sequence into `wants`, and gives up what was asked for often enough.
    pub(super) fn collect_wants(
        &mut self,
        now: Timestamp,
        id: SequenceId,
        wants: &mut Vec<Want>,
        out: &mut Vec<Output>,
    ) {
        if !self.nack_budget.take(now) {
            self.timers.set(Timer::Nack(id), self.nack_budget.next(now, 1).max(now + TOGETHER));
            return;
        }
        let wait = pace::backoff(&mut self.random, NACK_BACKOFF, self.members.len() + 1);
        let Some(sequence) = self.book.get_mut(id) else {
            return;
        };
        let mut numbers = Vec::new();
        let mut given_up = Vec::new();
        for (&number, hole) in &mut sequence.holes {
            if hole.due > now + TOGETHER {
                continue;
            }
            if hole.tries >= TRIES_MAX {
                given_up.push(number);
                continue;
            }
            hole.tries += 1;
            hole.due = now + hold_off(hole.tries) + wait;
            numbers.push(number);
        }
        for part in numbers.chunks(WANT_NUMBERS_MAX) {
            wants.push(Want::new(sequence.member, sequence.run, part));
        }
        let missed: u32 = given_up.iter().map(|&number| u32::from(sequence.give_up(number))).sum();
        if missed > 0 {
            self.missed(id, missed, out);
            self.release(now, id, out);
        }
        self.arm_nack(id);
    }

    /// Sends what was collected in as few packets as hold it.
    pub(super) fn send_nacks(&mut self, wants: Vec<Want>, tags: Vec<u32>, out: &mut Vec<Output>) {
        let mut nack = Nack { wants: Vec::new(), tags };
        for want in wants {
            if nack.encoded_len() + want.encoded_len() + 8 > CHAT_CHUNK_BYTES_MAX {
                self.send_nack(std::mem::take(&mut nack), out);
            }
            nack.wants.push(want);
        }
        self.send_nack(nack, out);
    }

    fn send_nack(&mut self, nack: Nack, out: &mut Vec<Output>) {
        if !nack.wants.is_empty() || !nack.tags.is_empty() {
            self.counters.nacks_sent += 1;
            out.push(Output::Multicast(Packet::Nack(nack)));
        }
    }

    /// Somebody speaks of a sequence that is not known: its newest piece will tell whose it is.
    pub(super) fn on_unknown_tag(&mut self, now: Timestamp, tag: u32) {
        let group = self.group();
        self.tags.retain(|_, hole| hole.tries < TAG_TRIES_MAX || hole.due > now);
        if !self.history.is_live() || self.tags.contains_key(&tag) || self.tags.len() >= UNKNOWN_TAGS_MAX {
            return;
        }
        let due = now + CLAIM_GRACE + pace::backoff(&mut self.random, NACK_BACKOFF, group);
        self.tags.insert(tag, Hole { due, tries: 0 });
        self.timers.set_earlier(Timer::Tags, due);
    }

    pub(super) fn collect_tags(&mut self, now: Timestamp, tags: &mut Vec<u32>) {
        let book = &self.book;
        self.tags.retain(|&tag, _| book.find_tag(tag).is_err());
        for (&tag, hole) in &mut self.tags {
            if hole.tries < TAG_TRIES_MAX && hole.due <= now + TOGETHER && tags.len() < TAGS_MAX {
                hole.tries += 1;
                tags.push(tag);
                hole.due = now + if hole.tries < TAG_TRIES_MAX { hold_off(hole.tries) } else { TAG_REST };
            }
        }
        let waiting = self.tags.values().filter(|hole| hole.tries < TAG_TRIES_MAX);
        if let Some(due) = waiting.map(|hole| hole.due).min() {
            self.timers.set(Timer::Tags, due.max(now + TOGETHER));
        }
    }

    /// Somebody asks: what is missing here too need not be asked for again, what is had is sent.
    pub(super) fn on_nack(&mut self, now: Timestamp, nack: &Nack, out: &mut Vec<Output>) {
        if !self.payer().nacks.take(now) {
            self.counters.too_fast += 1;
            return;
        }
        let mut numbers_left = CHAT_WINDOW as usize;
        let mut mine = Vec::new();
        for want in &nack.wants {
            let known = wire::member(&want.member).and_then(|member| self.book.find(member, want.run));
            let Some(id) = known else {
                continue;
            };
            for number in want.numbers().take(numbers_left) {
                numbers_left -= 1;
                self.on_wanted(now, id, number, &mut mine);
            }
            self.arm_nack(id);
        }
        for &tag in nack.tags.iter().take(TAGS_MAX) {
            self.on_wanted_tag(now, tag, &mut mine);
        }
        self.send_pieces(now, mine, out);
    }

    fn on_wanted(&mut self, now: Timestamp, id: SequenceId, number: u32, mine: &mut Vec<(SequenceId, u32)>) {
        let (me, group) = (self.me, self.members.len() + 1);
        let Some(sequence) = self.book.get_mut(id) else {
            return;
        };
        if let Some(hole) = sequence.holes.get_mut(&number) {
            let due = now + hold_off(hole.tries + 1) + pace::backoff(&mut self.random, NACK_BACKOFF, group);
            if hole.due < due {
                hole.due = due;
                self.counters.nacks_spared += 1;
            }
            return;
        }
        let Some(piece) = sequence.pieces.get(&number) else {
            return;
        };
        if piece.heard + REPAIR_QUIET > now || self.repairs.contains((id, number)) {
            return;
        }
        if sequence.member == me {
            mine.push((id, number));
        } else if self.repairs.len() < CHAT_REPAIRS_MAX {
            let wait = HOLDER_WAIT + pace::backoff(&mut self.random, HOLDER_BACKOFF, group);
            self.repairs.set((id, number), now + wait);
        }
    }

    fn on_wanted_tag(&mut self, now: Timestamp, tag: u32, mine: &mut Vec<(SequenceId, u32)>) {
        match self.book.find_tag(tag) {
            Ok(Some(id)) => {
                let newest = self.book.get(id).and_then(|sequence| sequence.pieces.keys().next_back().copied());
                if let Some(number) = newest {
                    self.on_wanted(now, id, number, mine);
                }
            }
            Ok(None) => {}
            Err(()) => {
                if let Some(hole) = self.tags.get_mut(&tag).filter(|hole| hole.tries < TAG_TRIES_MAX) {
                    hole.due = hole.due.max(now + hold_off(hole.tries + 1));
                }
            }
        }
    }

    /// Sends pieces that were asked for, as fast as is allowed; the rest waits its turn.
    pub(super) fn send_pieces(&mut self, now: Timestamp, pieces: Vec<(SequenceId, u32)>, out: &mut Vec<Output>) {
        let mut originals: Vec<Original> = Vec::new();
        let mut bytes = 0;
        for (id, number) in pieces {
            if self.repair_budget.next(now, 1) > now {
                if self.repairs.len() < CHAT_REPAIRS_MAX {
                    self.repairs.set((id, number), now);
                }
                continue;
            }
            let piece = self.book.get_mut(id).and_then(|sequence| sequence.pieces.get_mut(&number));
            let Some(piece) = piece else {
                continue;
            };
            self.repair_budget.take(now);
            piece.heard = now;
            self.counters.repairs_sent += 1;
            let length = piece.original.encoded_len() + 4;
            if bytes + length + REPAIR_FRAME_BYTES > CHAT_CHUNK_BYTES_MAX {
                let originals = std::mem::take(&mut originals);
                out.push(Output::Multicast(Packet::Repair(Repair { originals })));
                bytes = 0;
            }
            bytes += length;
            originals.push(piece.original.clone());
        }
        if !originals.is_empty() {
            out.push(Output::Multicast(Packet::Repair(Repair { originals })));
        }
    }

    /// Sends the pieces whose wait is over.
    pub(super) fn send_due_repairs(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut due = Vec::new();
        let mut budget = self.repair_budget;
        while budget.take(now) {
            let Some(piece) = self.repairs.pop(now) else {
                break;
            };
            due.push(piece);
        }
        self.send_pieces(now, due, out);
    }

    /// Looks once more for what was given up: somebody who may have it is here.
    pub(super) fn revive(&mut self, now: Timestamp) {
        if !self.history.is_live() || self.revived.is_some_and(|at| at + REVIVE_EVERY > now) {
            return;
        }
        self.revived = Some(now);
        let due = now + CLAIM_GRACE + pace::backoff(&mut self.random, NACK_BACKOFF, self.members.len() + 1);
        let gone: Vec<(SequenceId, Vec<u32>)> =
            self.book.iter().map(|(id, sequence)| (id, sequence.given_up().collect())).collect();
        for (id, numbers) in gone.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            if let Some(sequence) = self.book.get_mut(id) {
                // One try: the piece stays given up while it is asked for.
                let hole = Hole { due, tries: TRIES_MAX - 1 };
                numbers.into_iter().for_each(|number| {
                    sequence.holes.insert(number, hole);
                });
            }
            self.arm_nack(id);
        }
    }
}
