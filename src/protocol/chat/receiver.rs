//! Taking pieces in: once each, from whomever they come, and only as their author signed them.

use std::time::Duration;

use crate::limits::{CHAT_HISTORY_AGE_S, CHAT_WINDOW};
use crate::protocol::chat::book::SequenceId;
use crate::protocol::chat::line::{Body, Event, Kept, Line, Output, Verifier};
use crate::protocol::chat::pace;
use crate::protocol::chat::repair::NACK_BACKOFF;
use crate::protocol::chat::sequence::{Floor, Piece, Sequence};
use crate::protocol::chat::{Chat, Timer};
use crate::protocol::keys::participant_id;
use crate::time::Timestamp;
use crate::wire::chat::{self as wire, Original};
use crate::wire::message::ParticipantId;

/// How long a piece is handed to late joiners.
pub(super) const LIFE: Duration = Duration::from_secs(CHAT_HISTORY_AGE_S);

impl Chat {
    /// A piece, from its author or from anybody. Whether it is new.
    pub(super) fn on_original(
        &mut self,
        now: Timestamp,
        from: ParticipantId,
        original: &Original,
        verifier: &dyn Verifier,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some((author, chat)) = self.parse(original) else {
            return false;
        };
        let known = self.book.find(author, chat.run);
        if self.book.had(author, chat.run, chat.number) {
            self.on_copy(now, known, chat.number, original);
            return false;
        }
        // What I did not say is not mine, and what I said in another run may come back from others.
        if self.shut_out.contains(&author) || (author == self.me && chat.run == self.run) {
            self.counters.refused += 1;
            return false;
        }
        let asked_for = self.history.is_asked(from);
        if !asked_for && !self.payer().checks.take(now) {
            self.counters.too_fast += 1;
            return false;
        }
        if !verifier.authentic(original) {
            self.counters.forged += 1;
            return false;
        }
        if !asked_for && !self.book.allow(now, author) {
            self.counters.too_fast += 1;
            return false;
        }
        let id = known.or_else(|| self.open_sequence(now, author, chat.run, chat.number - 1, asked_for));
        let Some(id) = id else {
            return false;
        };
        if asked_for {
            self.book.acquaint(author);
        }
        self.take(now, id, chat, original, now + LIFE, out);
        true
    }

    fn parse(&mut self, original: &Original) -> Option<(ParticipantId, wire::Chat)> {
        let parsed = original.parts().and_then(|(key, _)| Ok((key, wire::Chat::parse(&original.payload)?)));
        match parsed {
            Ok((key, chat)) => Some((participant_id(key), chat)),
            Err(_) => {
                self.counters.malformed += 1;
                None
            }
        }
    }

    /// A copy of a piece that is had: whoever asked for it has it now, too.
    fn on_copy(&mut self, now: Timestamp, id: Option<SequenceId>, number: u32, original: &Original) {
        self.counters.duplicates += 1;
        let Some(id) = id else {
            return;
        };
        let piece = self.book.get_mut(id).and_then(|sequence| sequence.pieces.get_mut(&number));
        // Something else under the same number silences nobody.
        if let Some(piece) = piece.filter(|piece| piece.original == *original) {
            piece.heard = now;
            if self.repairs.cancel((id, number)) {
                self.counters.repairs_spared += 1;
            }
        }
    }

    /// Opens a sequence that was not known; `before`: the number before the first that is spoken of; `vouched`: by the own
    /// disk, or the one asked for what was said before.
    pub(super) fn open_sequence(
        &mut self,
        now: Timestamp,
        member: ParticipantId,
        run: u32,
        before: u32,
        vouched: bool,
    ) -> Option<SequenceId> {
        let members = &self.members;
        let known = vouched || member == self.me || members.contains_key(&member);
        let id = self.book.open(now, member, run, known, |s| !s.pieces.is_empty() && members.contains_key(&s.member));
        let Some((id, sequence)) = id.and_then(|id| Some((id, self.book.get_mut(id)?))) else {
            self.counters.refused += 1;
            return None;
        };
        if self.history.is_live() {
            // Somebody who came after me: everything is wanted, as far as anybody may still have it.
            sequence.raise_floor(before.saturating_sub(CHAT_WINDOW));
            sequence.floor = Floor::Claimed;
        } else {
            // What was said before I came is asked of one member, not of everybody.
            sequence.raise_floor(before);
            sequence.floor = Floor::Joining;
        }
        Some(id)
    }

    /// Takes in a piece that is checked and new.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        id: SequenceId,
        mut chat: wire::Chat,
        original: &Original,
        expires: Timestamp,
        out: &mut Vec<Output>,
    ) {
        chat.bytes = Vec::new();
        let (number, time) = (chat.number, chat.time);
        self.counters.accepted += 1;
        self.clock.observe(time);
        let given_up = self.book.take(now, id, Piece { original: original.clone(), chat, expires, heard: now });
        self.missed(id, given_up, out);
        self.want(now, id, number, Duration::ZERO);
        self.arm_nack(id);
        self.release(now, id, out);
        self.arm_heartbeat(now);
    }

    /// Asks for what is missing up to `upto`, after a back-off and `grace`.
    pub(super) fn want(&mut self, now: Timestamp, id: SequenceId, upto: u32, grace: Duration) {
        let group = self.group();
        let wanted = |s: &Sequence| s.may_lack(upto) && !self.shut_out.contains(&s.member);
        if !self.book.get(id).is_some_and(wanted) {
            return;
        }
        let due = now + grace + pace::backoff(&mut self.random, NACK_BACKOFF, group);
        if self.book.want(id, upto, due) {
            self.arm_nack(id);
        }
    }

    pub(super) fn missed(&mut self, id: SequenceId, count: u32, out: &mut Vec<Output>) {
        if count > 0 {
            self.counters.missed += u64::from(count);
            if let Some(sequence) = self.book.get(id) {
                out.push(Output::Event(Event::Missed(sequence.member, count)));
            }
        }
    }

    /// Shows the lines of a sequence that wait for nothing any more.
    pub(super) fn release(&mut self, now: Timestamp, id: SequenceId, out: &mut Vec<Output>) {
        while let Some(first) = self.book.get_mut(id).and_then(|sequence| sequence.pop_ready(now)) {
            self.show(now, id, first, out);
        }
        match self.book.get(id).and_then(|sequence| sequence.hold_due()) {
            Some(due) => self.timers.set(Timer::Hold(id), due),
            None => {
                self.timers.cancel(Timer::Hold(id));
            }
        }
    }

    fn show(&mut self, now: Timestamp, id: SequenceId, first: u32, out: &mut Vec<Output>) {
        let Some(sequence) = self.book.get(id) else {
            return;
        };
        let Some((name, key, wall, content)) = sequence.read(first) else {
            self.counters.malformed += 1;
            return;
        };
        let (member, run) = (sequence.member, sequence.run);
        let sealed_to_me = match &content.body {
            Body::Sealed { recipients, .. } if !recipients.contains(&self.me) && member != self.me => return,
            Body::Sealed { .. } => member != self.me,
            _ => false,
        };
        for piece in sequence.line(first).into_iter().flatten().filter(|_| !self.history.is_restoring()) {
            let original = piece.original.clone();
            let kept = Kept { member, run, number: piece.chat.number, time: piece.chat.time, original };
            out.push(Output::Event(Event::Keep(kept)));
        }
        let late = self.latest.is_some_and(|latest| key < latest);
        self.latest = self.latest.max(Some(key));
        out.push(Output::Event(Event::Line(Line { key, name, wall, content, audience: Vec::new(), late })));
        if sealed_to_me {
            self.hurry_heartbeat(now);
        }
    }
}
