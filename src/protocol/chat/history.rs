//! What was said before one came: asked of one member, so that a thousand newcomers do not ask everybody.
//!
//! ```text
//!  newcomer                                  a member, chosen by hash
//!     |-- HistoryRequest{nonce, had already} -->|
//!     |<-- HistoryAnswer{floors} --------------|   where the answer begins in each sequence
//!     |<-- HistoryAnswer{signed pieces} .. ----|   the last 500 lines or 24 h, oldest first, a chunk each ms
//!     |<-- HistoryAnswer{last} ----------------|
//! ```
//! The one asked can withhold lines, and cannot invent or change any. What it leaves out and others speak of is found
//! missing like any piece. Busy, or silent for 2 s: the next is asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prost::Message as _;

use crate::limits::{
    CHAT_CHUNK_BYTES_MAX, CHAT_HISTORY_LINES_MAX, CHAT_PIECES_MAX, CHAT_SEQUENCES_MAX, CHAT_SERVES_MAX,
    CHAT_SERVES_PER_S_MAX,
};
use crate::protocol::chat::book::SequenceId;
use crate::protocol::chat::line::{Event, Output, Verifier};
use crate::protocol::chat::pace::Bucket;
use crate::protocol::chat::receiver::LIFE;
use crate::protocol::chat::sequence::Floor;
use crate::protocol::chat::{Chat, Timer};
use crate::protocol::keys::{order_hash, participant_id};
use crate::time::Timestamp;
use crate::wire::chat::{self as wire, HistoryAnswer, HistoryRequest, Known, Original, Packet};
use crate::wire::message::ParticipantId;

/// Longest silence of the one asked.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Members that may be silent before it is given up.
const SILENT_MAX: usize = 3;
/// Members asked in one round while they are busy.
const ASKED_MAX: usize = 8;
/// Rounds.
const ROUNDS_MAX: usize = 10;
/// Longest wait between two rounds.
const ROUND_WAIT: Duration = Duration::from_secs(1);
/// Time between two chunks of an answer.
const CHUNK_EVERY: Duration = Duration::from_millis(1);
/// Bytes of an answer around its originals and floors.
const ANSWER_FRAME_BYTES: usize = 40;
/// Bytes of one floor or known place, at most.
const KNOWN_BYTES: usize = 34;

/// Where one stands with what was said before.
#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not asked for yet.
    #[default]
    Before,
    /// One's own disk is read.
    Restoring,
    /// Somebody was asked.
    Asking {
        peer: ParticipantId,
        nonce: u64,
        /// Pieces received, new or not.
        pieces: usize,
    },
    /// Done.
    Live,
}

/// Somebody who is served.
#[derive(Debug)]
struct Serve {
    to: ParticipantId,
    nonce: u64,
    index: u32,
    floors: VecDeque<Known>,
    pieces: VecDeque<(SequenceId, u32)>,
}

/// Both sides of the exchange.
#[derive(Debug)]
pub(super) struct History {
    phase: Phase,
    asked: Vec<ParticipantId>,
    /// How many of them did not answer at all.
    silent: usize,
    /// How often all were busy.
    rounds: usize,
    new: usize,
    serves: VecDeque<Serve>,
    rate: Bucket,
}

impl Default for History {
    fn default() -> Self {
        let rate = Bucket::new(CHAT_SERVES_PER_S_MAX, CHAT_SERVES_PER_S_MAX);
        Self { phase: Phase::Before, asked: Vec::new(), silent: 0, rounds: 0, new: 0, serves: VecDeque::new(), rate }
    }
}

impl History {
    /// Everything said before is known, as far as it can be.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// What is shown comes from one's own disk.
    pub fn is_restoring(&self) -> bool {
        self.phase == Phase::Restoring
    }

    /// What the one asked has to echo.
    #[cfg(test)]
    pub fn nonce(&self) -> Option<u64> {
        match self.phase {
            Phase::Asking { nonce, .. } => Some(nonce),
            _ => None,
        }
    }

    /// Whether this member is answering.
    pub fn is_asked(&self, member: ParticipantId) -> bool {
        matches!(self.phase, Phase::Asking { peer, .. } if peer == member)
    }
}

impl Chat {
    /// Takes in a piece kept on disk since `age`, before [`catch_up`](Self::catch_up). Pieces come in the order of
    /// their numbers within a sequence; their signatures were checked when they were kept. Shows the line when it is
    /// whole. Whether it was new.
    pub fn restore(&mut self, now: Timestamp, age: Duration, original: &Original, out: &mut Vec<Output>) -> bool {
        let Some(life) = LIFE.checked_sub(age).filter(|life| !life.is_zero()) else {
            return false;
        };
        let Ok(chat) = original.parts().and_then(|_| wire::Chat::parse(&original.payload)) else {
            self.counters.malformed += 1;
            return false;
        };
        let Some(author) = original.parts().ok().map(|(key, _)| participant_id(key)) else {
            return false;
        };
        let id = match self.book.find(author, chat.run) {
            Some(id) => id,
            None => match self.open_sequence(now, author, chat.run, chat.number - 1, true) {
                Some(id) => id,
                None => return false,
            },
        };
        let Some(sequence) = self.book.get_mut(id).filter(|sequence| !sequence.has(chat.number)) else {
            return false;
        };
        sequence.raise_floor(chat.number - 1);
        sequence.floor = Floor::Firm;
        let before = std::mem::replace(&mut self.history.phase, Phase::Restoring);
        self.take(now, id, chat, original, now + life, out);
        self.history.phase = before;
        true
    }

    /// Asks for what was said before; to be called once who is present is known. Alone, nothing was said.
    pub fn catch_up(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if matches!(self.history.phase, Phase::Asking { .. }) {
            return;
        }
        self.history.asked.clear();
        (self.history.silent, self.history.rounds, self.history.new) = (0, 0, 0);
        self.ask_next(now, out);
    }

    /// Asks the next member, or ends without an answer.
    pub(super) fn ask_next(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(peer) = self.next_peer() else {
            self.nobody_answered(now, out);
            return;
        };
        let nonce = self.random.next_u64();
        self.history.asked.push(peer);
        self.history.silent += 1;
        self.history.phase = Phase::Asking { peer, nonce, pieces: 0 };
        self.timers.set(Timer::History, now + SILENCE_MAX);
        let mut known: Vec<(Timestamp, Known)> = Vec::new();
        for (_, sequence) in self.book.iter().filter(|(_, sequence)| !sequence.pieces.is_empty()) {
            let place = Known { member: sequence.member.0.to_vec(), run: sequence.run, upto: sequence.contiguous() };
            known.push((sequence.changed, place));
        }
        // What does not fit comes again, and is known then.
        known.sort_by_key(|&(changed, _)| std::cmp::Reverse(changed));
        known.truncate((CHAT_CHUNK_BYTES_MAX - ANSWER_FRAME_BYTES) / KNOWN_BYTES);
        let known = known.into_iter().map(|(_, place)| place).collect();
        out.push(Output::Unicast(peer, Packet::HistoryRequest(HistoryRequest { nonce, known })));
    }

    fn next_peer(&self) -> Option<ParticipantId> {
        let asked = &self.history.asked;
        if self.history.silent >= SILENT_MAX || asked.len() >= ASKED_MAX {
            return None;
        }
        let candidates = self.members.keys().filter(|id| !asked.contains(id));
        candidates.min_by_key(|id| order_hash(&[&id.0, &self.me.0, &self.history.rounds.to_be_bytes()])).copied()
    }

    /// All asked are silent, or busy: some of these will have time soon, when many come at once.
    fn nobody_answered(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let busy = self.history.asked.len() > self.history.silent;
        if busy && self.history.rounds < ROUNDS_MAX {
            self.history.rounds += 1;
            self.history.silent = 0;
            self.history.asked.clear();
            let wait = self.random.between(ROUND_WAIT / 2, ROUND_WAIT);
            self.timers.set(Timer::History, now + wait);
            return;
        }
        let own = self.book.own;
        if self.book.iter().any(|(id, sequence)| id != own && sequence.top > 0) {
            out.push(Output::Event(Event::HistoryUnavailable));
        }
        self.go_live(now);
    }

    /// From now on what is missing is asked of everybody: what the answer does not speak of began after it, and without an
    /// answer at least what others speak of is found.
    fn go_live(&mut self, now: Timestamp) {
        self.history.phase = Phase::Live;
        self.timers.cancel(Timer::History);
        let mut tops = Vec::new();
        for (id, sequence) in self.book.iter_mut() {
            if sequence.floor == Floor::Joining {
                sequence.lower_floor(0);
            }
            tops.push((id, sequence.top));
        }
        for (id, top) in tops {
            self.want(now, id, top, Duration::ZERO);
        }
    }

    pub(super) fn on_history_answer(
        &mut self,
        now: Timestamp,
        from: ParticipantId,
        answer: &HistoryAnswer,
        verifier: &dyn Verifier,
        out: &mut Vec<Output>,
    ) {
        let Phase::Asking { peer, nonce, pieces } = &mut self.history.phase else {
            return;
        };
        if *peer != from || *nonce != answer.nonce {
            return;
        }
        *pieces += answer.originals.len();
        let too_many = *pieces > CHAT_HISTORY_LINES_MAX * CHAT_PIECES_MAX;
        if answer.busy || too_many {
            self.history.silent = self.history.silent.saturating_sub(usize::from(answer.busy));
            self.ask_next(now, out);
            return;
        }
        self.timers.set(Timer::History, now + SILENCE_MAX);
        for floor in answer.floors.iter().take(CHAT_SEQUENCES_MAX) {
            self.on_floor(now, floor, out);
        }
        for original in &answer.originals {
            let new = self.on_original(now, from, original, verifier, out);
            self.history.new += usize::from(new);
        }
        if answer.last {
            out.push(Output::Event(Event::History(from, self.history.new)));
            self.go_live(now);
        }
    }

    /// The answer has nothing of a sequence up to here. A peer's word: the first signed piece corrects it.
    fn on_floor(&mut self, now: Timestamp, floor: &Known, out: &mut Vec<Output>) {
        let Some(member) = wire::member(&floor.member).filter(|&member| member != self.me || floor.run != self.run)
        else {
            return;
        };
        let known = self.book.find(member, floor.run);
        let Some(id) = known.or_else(|| self.open_sequence(now, member, floor.run, floor.upto, true)) else {
            return;
        };
        let Some(sequence) = self.book.get_mut(id) else {
            return;
        };
        if sequence.floor == Floor::Joining {
            sequence.lower_floor(floor.upto);
            sequence.floor = Floor::Claimed;
        } else if floor.upto > sequence.contiguous() {
            sequence.raise_floor(floor.upto);
            sequence.floor = Floor::Claimed;
        }
        self.release(now, id, out);
    }

    pub(super) fn on_history_request(
        &mut self,
        now: Timestamp,
        from: ParticipantId,
        request: &HistoryRequest,
        out: &mut Vec<Output>,
    ) {
        self.history.serves.retain(|serve| serve.to != from);
        if self.history.serves.len() >= CHAT_SERVES_MAX || !self.history.rate.take(now) || !self.history.is_live() {
            let busy = HistoryAnswer { nonce: request.nonce, busy: true, last: true, ..HistoryAnswer::default() };
            out.push(Output::Unicast(from, Packet::HistoryAnswer(busy)));
            return;
        }
        let (floors, pieces) = self.select(now, &request.known);
        let serve = Serve { to: from, nonce: request.nonce, index: 0, floors, pieces };
        self.history.serves.push_back(serve);
        self.timers.set_earlier(Timer::Serve, now);
    }

    /// What somebody who has `known` is to be given: the newest whole lines, oldest first, and where they begin.
    fn select(&self, now: Timestamp, known: &[Known]) -> (VecDeque<Known>, VecDeque<(SequenceId, u32)>) {
        let upto = |k: &Known| wire::member(&k.member).map(|member| ((member, k.run), k.upto));
        let known: BTreeMap<(ParticipantId, u32), u32> = known.iter().filter_map(upto).collect();
        let mut lines: Vec<(u64, ParticipantId, u32, u32, u32, SequenceId)> = Vec::new();
        for (id, sequence) in self.book.iter() {
            let had = known.get(&(sequence.member, sequence.run)).copied().unwrap_or(0);
            let fresh = sequence.pieces.range(had.saturating_add(1)..).filter(|(_, piece)| piece.expires > now);
            for (&first, piece) in fresh.filter(|(_, piece)| piece.chat.piece == 0) {
                if sequence.line(first).is_some() {
                    lines.push((piece.chat.time, sequence.member, sequence.run, first, piece.chat.pieces, id));
                }
            }
        }
        lines.sort_unstable();
        lines.drain(..lines.len().saturating_sub(CHAT_HISTORY_LINES_MAX));
        let mut begins: BTreeMap<SequenceId, u32> = BTreeMap::new();
        let mut pieces = VecDeque::new();
        for &(.., first, count, id) in &lines {
            let begin = begins.entry(id).or_insert(first);
            *begin = (*begin).min(first);
            pieces.extend((first..first + count).map(|number| (id, number)));
        }
        let floors = self.book.iter().filter_map(|(id, sequence)| {
            let upto = begins.get(&id).map_or(sequence.contiguous(), |&first| first - 1);
            let news = known.get(&(sequence.member, sequence.run)).is_none_or(|&had| had < upto);
            let floor = Known { member: sequence.member.0.to_vec(), run: sequence.run, upto };
            (news && sequence.top > 0).then_some(floor)
        });
        (floors.collect(), pieces)
    }

    /// Sends each late joiner its next chunk.
    pub(super) fn serve(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut serves = std::mem::take(&mut self.history.serves);
        serves.retain_mut(|serve| {
            let answer = self.next_chunk(serve);
            let more = !answer.last;
            out.push(Output::Unicast(serve.to, Packet::HistoryAnswer(answer)));
            more
        });
        if !serves.is_empty() {
            self.timers.set(Timer::Serve, now + CHUNK_EVERY);
        }
        self.history.serves = serves;
    }

    fn next_chunk(&self, serve: &mut Serve) -> HistoryAnswer {
        let mut answer = HistoryAnswer { nonce: serve.nonce, index: serve.index, ..HistoryAnswer::default() };
        serve.index += 1;
        let mut room = CHAT_CHUNK_BYTES_MAX - ANSWER_FRAME_BYTES;
        while let Some(floor) = serve.floors.front().filter(|_| room >= KNOWN_BYTES) {
            answer.floors.push(floor.clone());
            serve.floors.pop_front();
            room -= KNOWN_BYTES;
        }
        while let Some(&(id, number)) = serve.pieces.front().filter(|_| serve.floors.is_empty()) {
            let piece = self.book.get(id).and_then(|sequence| sequence.pieces.get(&number));
            if let Some(original) = piece.map(|piece| &piece.original) {
                let length = original.encoded_len() + 4;
                if length > room {
                    break;
                }
                room -= length;
                answer.originals.push(original.clone());
            }
            serve.pieces.pop_front();
        }
        answer.last = serve.floors.is_empty() && serve.pieces.is_empty();
        answer
    }
}
