//! Saying something: numbers, repeats, and who has it.

use std::collections::VecDeque;
use std::time::Duration;

use prost::Message as _;

use crate::limits::CHAT_PER_S_MAX;
use crate::protocol::chat::line::{self, Body, Content, Delivery, Event, Output, SayError, Signer};
use crate::protocol::chat::order::LineId;
use crate::protocol::chat::pace::Bucket;
use crate::protocol::chat::receiver::LIFE;
use crate::protocol::chat::sequence::Piece;
use crate::protocol::chat::{Chat, Timer};
use crate::time::{NtpTime, Timestamp};
use crate::wire::chat::{self as wire, Packet, Repair};
use crate::wire::message::ParticipantId;

/// After its first time, a piece is sent again at these ages.
const REPEATS: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(250)];
/// From so many pieces in a second on, nothing is repeated unasked.
const REPEAT_PER_S_MAX: usize = 10;
/// A piece sent so recently, for whatever reason, is not repeated.
const REPEAT_QUIET: Duration = Duration::from_millis(30);
/// Lines of mine whose delivery is looked after.
const LINES_MAX: usize = 64;
/// How long changes in delivery are collected before they are told.
const DELIVERY_EVERY: Duration = Duration::from_millis(100);
/// A line that nobody acknowledged for this long counts as unheard. Longer in a large conference: [`unheard_after`].
const UNHEARD_AFTER: Duration = Duration::from_secs(5);

/// A line of mine.
#[derive(Debug)]
struct Mine {
    id: LineId,
    last_number: u32,
    /// `None`: everybody.
    recipients: Option<Vec<ParticipantId>>,
    told: Delivery,
    /// When it is unheard if nobody has it; `None`: it was said, or somebody has it.
    unheard_at: Option<Timestamp>,
}

/// What I said.
#[derive(Debug)]
pub(super) struct Outbox {
    highest: u32,
    rate: Bucket,
    /// When my last pieces were sent.
    recent: VecDeque<Timestamp>,
    lines: VecDeque<Mine>,
}

impl Outbox {
    pub fn new() -> Self {
        let rate = Bucket::new(CHAT_PER_S_MAX, CHAT_PER_S_MAX);
        Self { highest: 0, rate, recent: VecDeque::new(), lines: VecDeque::new() }
    }

    pub fn highest(&self) -> u32 {
        self.highest
    }

    /// Whether so few pieces were sent in the last second that each may be repeated; counts this one.
    fn slow(&mut self, now: Timestamp) -> bool {
        while self.recent.front().is_some_and(|&at| at + Duration::from_secs(1) <= now) {
            self.recent.pop_front();
        }
        let slow = self.recent.len() < REPEAT_PER_S_MAX;
        self.recent.push_back(now);
        slow
    }
}

/// How long to wait for the first acknowledgement in a conference of `group`: two rounds of viewers' beacons.
fn unheard_after(group: usize) -> Duration {
    UNHEARD_AFTER.max(Duration::from_millis(30) * u32::try_from(group).unwrap_or(u32::MAX))
}

impl Chat {
    /// Says something to everybody: signs it, sends it, shows it here at once. `wall` is the time people will read.
    pub fn say(
        &mut self,
        now: Timestamp,
        wall: NtpTime,
        content: &Content,
        signer: &mut dyn Signer,
        out: &mut Vec<Output>,
    ) -> Result<LineId, SayError> {
        let pieces = line::cut(content, &self.name)?;
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let first = self.outbox.highest.checked_add(1).ok_or(SayError::Exhausted)?;
        let last = first.checked_add(count).ok_or(SayError::Exhausted)? - 1;
        if !self.outbox.rate.take_many(now, count) {
            return Err(SayError::TooFast(self.outbox.rate.next(now, count).since(now)));
        }
        let time = self.clock.tick(wall);
        for (number, (piece, bytes)) in (first..).zip((0..).zip(pieces)) {
            let chat = wire::Chat { run: self.run, number, time, wall: wall.0, piece, pieces: count, bytes };
            self.send_piece(now, chat, signer, out);
        }
        self.outbox.highest = last;
        let id = LineId { member: self.me, run: self.run, number: first };
        self.look_after(now, id, last, content);
        self.release(now, self.book.own, out);
        self.arm_heartbeat(now);
        Ok(id)
    }

    fn send_piece(&mut self, now: Timestamp, mut chat: wire::Chat, signer: &mut dyn Signer, out: &mut Vec<Output>) {
        let original = signer.sign(chat.encode_to_vec());
        out.push(Output::Multicast(Packet::Chat(original.clone())));
        chat.bytes = Vec::new();
        let number = chat.number;
        let piece = Piece { original, chat, expires: now + LIFE, heard: now };
        self.book.take(now, self.book.own, piece);
        if self.outbox.slow(now) {
            for (which, after) in (0..).zip(REPEATS) {
                self.timers.set(Timer::Repeat(number, which), now + after);
            }
        }
    }

    /// Sends a piece of mine again.
    pub(super) fn repeat(&mut self, now: Timestamp, number: u32, out: &mut Vec<Output>) {
        let own = self.book.own;
        let Some(piece) = self.book.get_mut(own).and_then(|sequence| sequence.pieces.get_mut(&number)) else {
            return;
        };
        if piece.heard + REPEAT_QUIET > now {
            return;
        }
        piece.heard = now;
        let originals = vec![piece.original.clone()];
        self.counters.repeats_sent += 1;
        self.repairs.cancel((own, number));
        out.push(Output::Multicast(Packet::Repair(Repair { originals })));
    }

    /// How many have a line of mine, among the last 64.
    pub fn delivery(&self, id: LineId) -> Option<Delivery> {
        let mine = self.outbox.lines.iter().find(|mine| mine.id == id)?;
        Some(self.count(mine))
    }

    fn look_after(&mut self, now: Timestamp, id: LineId, last_number: u32, content: &Content) {
        let recipients = match &content.body {
            Body::Sealed { recipients, .. } => Some(recipients.iter().filter(|&&id| id != self.me).copied().collect()),
            _ => None,
        };
        let told = Delivery { have: 0, present: 0, reached: false };
        let mut mine = Mine { id, last_number, recipients, told, unheard_at: None };
        mine.told = self.count(&mine);
        // Nobody is there: it is unheard at once.
        let wait = if mine.told.present == 0 { Duration::ZERO } else { unheard_after(self.group()) };
        mine.unheard_at = Some(now + wait);
        self.timers.set_earlier(Timer::Delivery, now + wait);
        if self.outbox.lines.len() >= LINES_MAX {
            self.outbox.lines.pop_front();
        }
        self.outbox.lines.push_back(mine);
    }

    fn count(&self, mine: &Mine) -> Delivery {
        let has = |has: u32| usize::from(has >= mine.last_number);
        let (have, present) = match &mine.recipients {
            None => (self.members.values().map(|member| has(member.has)).sum(), self.members.len()),
            Some(ids) => {
                let members = || ids.iter().filter_map(|id| self.members.get(id));
                (members().map(|member| has(member.has)).sum(), members().count())
            }
        };
        Delivery { have, present, reached: mine.told.reached || have > 0 }
    }

    /// Somebody has more of mine, or came, or went.
    pub(super) fn look_at_delivery(&mut self, now: Timestamp) {
        if !self.outbox.lines.is_empty() {
            self.timers.set_earlier(Timer::Delivery, now + DELIVERY_EVERY);
        }
    }

    /// Tells what changed since it was told last.
    pub(super) fn tell_delivery(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut lines = std::mem::take(&mut self.outbox.lines);
        for mine in &mut lines {
            let delivery = self.count(mine);
            if delivery != mine.told {
                mine.told = delivery;
                out.push(Output::Event(Event::Delivered(mine.id, delivery)));
            }
            if delivery.reached {
                mine.unheard_at = None;
            } else if mine.unheard_at.is_some_and(|at| at <= now) {
                mine.unheard_at = None;
                out.push(Output::Event(Event::Unheard(mine.id)));
            }
        }
        if let Some(next) = lines.iter().filter_map(|mine| mine.unheard_at).min() {
            self.timers.set_earlier(Timer::Delivery, next);
        }
        self.outbox.lines = lines;
    }
}
