//! The one who sends: who wants it, what goes out next, and when.
//!
//! ```text
//! accept ─┬─> blocks somebody lacks, in order, once   (manifest first)         lowest of three
//!         └─> started 200 ms after the first, or when all have answered
//! request ──> parity owed for a block: the largest deficit of a round          first of three
//! nothing left, somebody not done ──> END, again and again                     last
//! ```
//! The machine names symbols; their bytes are the caller's business. A request says which packet its author heard last:
//! parity of the block that went out later, and what is still owed, counts as given to them, so that only what goes beyond it
//! is added, however late they are. Of who does not say so, a **round** is assumed: it lasts from the first request until
//! its parity has gone out and could have arrived.
//!
//! Who loses much more than the others for two blocks fetches alone, and so does who asks for several times the whole: nobody keeps
//! the others waiting by asking. Until that is certain their requests wait while there is
//! something new to send, so that nobody is held up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bits::Bits;
use super::manifest::Layout;
use super::rate::{Rate, Reporter, WIRE};
use crate::limits::{OBJECT_ASKS_MAX, OBJECT_BLOCK_SYMBOLS, OBJECT_PARITY_SYMBOLS, OBJECT_SYMBOL_BYTES};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{END, MANIFEST, ObjectNack, Reason, SYMBOL_HEADER_BYTES, Want};
use crate::wire::sealed;

/// How long the others may take to answer once somebody has accepted.
const GATHER: Duration = Duration::from_millis(200);
/// Between accepting and the first symbol: the group is joined, and switches learn that.
const LEAD: Duration = Duration::from_millis(50);
/// After the last parity of a round requests are of those who have seen it.
const ROUND: Duration = Duration::from_millis(25);
/// Between two marks that everything was sent.
const ENDS: [Duration; 4] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(50), Duration::from_millis(200)];
/// When the offer is repeated, from the first time on, and then each [`OFFER_AGAIN`].
const OFFERS: [Duration; 3] = [Duration::from_millis(60), Duration::from_millis(250), Duration::from_secs(1)];
const OFFER_AGAIN: Duration = Duration::from_secs(2);
/// The same, when nobody is asked: for those whose switch lost everything.
const OFFER_QUIET: Duration = Duration::from_secs(20);
/// Loss above the median of all that makes somebody fetch by themselves.
const STRAGGLE: f64 = 0.10;
/// Packets for which that must hold: two blocks.
const STRAGGLE_PACKETS: u32 = 2 * OBJECT_BLOCK_SYMBOLS as u32;

/// Whose requests cost so many times the whole is no better served by them, and fetches; nobody answers twice as many.
const ASKED: u64 = 2;

/// A datagram with a symbol, with IP and UDP headers.
pub const SYMBOL_WIRE_BYTES: usize =
    28 + sealed::HEADER_BYTES + SYMBOL_HEADER_BYTES + OBJECT_SYMBOL_BYTES + sealed::TAG_BYTES;

/// What somebody made of the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    Asked,
    /// Receives it.
    Accepted,
    /// Does not.
    Declined(Reason),
    /// Has it.
    Done,
    /// Went away before.
    Gone,
}

/// Somebody it is offered to.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// What they made of it.
    pub answer: Answer,
    /// Blocks they have.
    pub blocks: u32,
    /// Share of packets lost lately, 0 to 1.
    pub loss: f64,
    /// Fetches by itself, because it loses much more than the others.
    pub alone: bool,
    reporter: Reporter,
    /// Packets since its loss is above the others'.
    straggling: u32,
    /// Symbols sent on its request.
    asked: u64,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            answer: Answer::Asked,
            blocks: 0,
            loss: 0.0,
            alone: false,
            reporter: Reporter::default(),
            straggling: 0,
            asked: 0,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Repair {
    next: u16,
    owed: u16,
    served: u16,
    until: Timestamp,
    /// Packet numbers of its parity, rising.
    sent: Vec<u64>,
}

impl Repair {
    /// Parity that somebody cannot have heard who heard `seen` last: sent later, or owed.
    fn under_way(&self, seen: u64) -> u16 {
        let later = self.sent.len() - self.sent.partition_point(|pn| *pn <= seen);
        self.owed + later as u16
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Source symbols, the manifest's among them.
    pub source: u64,
    /// Parity symbols.
    pub parity: u64,
    /// Marks of the end.
    pub ends: u64,
}

impl Sent {
    /// Datagrams.
    pub fn packets(&self) -> u64 {
        self.source + self.parity + self.ends
    }
}

/// A symbol to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its block; [`END`] has no bytes.
    pub block: u32,
    /// Its number in the block.
    pub index: u16,
}

/// An object that is given.
pub struct Outgoing {
    layout: Layout,
    rate: Rate,
    members: BTreeMap<ParticipantId, Member>,
    /// Blocks whose source symbols are to go out.
    to_send: Bits,
    /// The manifest's symbols that are.
    manifest_next: Option<u16>,
    /// The symbol that is next, of a block of `to_send`.
    cursor: (u32, u16),
    repairs: BTreeMap<u32, Repair>,
    /// Blocks of which parity is owed.
    owing: BTreeSet<u32>,
    start_at: Option<Timestamp>,
    started: bool,
    ends: usize,
    end_at: Timestamp,
    offers: usize,
    offer_at: Timestamp,
    asked_from: usize,
    sent: Sent,
    /// Packets sent before the present session, which counts from one.
    numbered_from: u64,
}

impl Outgoing {
    /// Offered to `members` from `now` on; never faster than `limit_mbit`, of what is in the file.
    pub fn new(
        now: Timestamp,
        layout: Layout,
        members: impl IntoIterator<Item = ParticipantId>,
        limit_mbit: Option<u32>,
    ) -> Self {
        Self {
            layout,
            rate: Rate::new(now, limit_mbit),
            members: members.into_iter().map(|id| (id, Member::default())).collect(),
            to_send: Bits::none(layout.blocks()),
            manifest_next: None,
            cursor: (0, 0),
            repairs: BTreeMap::new(),
            owing: BTreeSet::new(),
            start_at: None,
            started: false,
            ends: 0,
            end_at: now,
            offers: 0,
            offer_at: now,
            asked_from: 0,
            sent: Sent::default(),
            numbered_from: 0,
        }
    }

    /// Whether there is voice or video in the conference.
    pub fn set_media(&mut self, media: bool) {
        self.rate.set_media(media);
    }

    /// Which share of the limits this object has, 0 to 1.
    pub fn set_share(&mut self, share: f64) {
        self.rate.set_share(share);
    }

    /// Whether there is something to send that nobody has had yet.
    pub fn has_new(&self) -> bool {
        self.is_active() && (self.manifest_next.is_some() || !self.to_send.is_empty())
    }

    /// Packets are numbered from one again.
    pub fn renumbered(&mut self) {
        self.numbered_from = self.sent.packets();
        self.repairs.values_mut().for_each(|repair| repair.sent.clear());
    }

    /// Everybody it was offered to.
    pub fn members(&self) -> impl Iterator<Item = (&ParticipantId, &Member)> {
        self.members.iter()
    }

    /// What was sent.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Bits per second at present, of what is in the file.
    pub fn bits_per_s(&self) -> f64 {
        self.rate.bits_per_s() / WIRE
    }

    /// Whether somebody receives it at present.
    pub fn is_active(&self) -> bool {
        self.members.values().any(|m| m.answer == Answer::Accepted)
    }

    /// Whether everybody has answered, and everybody who wants it has it.
    pub fn is_settled(&self) -> bool {
        self.members.values().all(|m| !matches!(m.answer, Answer::Accepted | Answer::Asked))
    }

    /// Somebody came, or came again: they are asked.
    pub fn came(&mut self, now: Timestamp, id: ParticipantId) {
        let member = self.members.entry(id).or_default();
        if member.answer != Answer::Done {
            *member = Member::default();
        }
        (self.offers, self.offer_at) = (0, self.offer_at.min(now));
    }

    /// The offer is another one: everybody is told soon.
    pub fn tell(&mut self, now: Timestamp) {
        (self.offers, self.offer_at) = (0, self.offer_at.min(now));
    }

    /// Somebody left.
    pub fn left(&mut self, now: Timestamp, id: &ParticipantId) {
        if let Some(member) = self.members.get_mut(id)
            && matches!(member.answer, Answer::Asked | Answer::Accepted)
        {
            member.answer = Answer::Gone;
        }
        self.consider_start(now);
    }

    /// Somebody wants it, and has what is in `have` already.
    pub fn accepted(&mut self, now: Timestamp, id: ParticipantId, have: &[u8]) {
        let member = self.members.entry(id).or_default();
        if matches!(member.answer, Answer::Accepted | Answer::Done) {
            return;
        }
        let have = Bits::from_bytes(self.layout.blocks(), have);
        *member = Member { answer: Answer::Accepted, blocks: have.count(), ..Member::default() };
        for block in have.missing() {
            self.to_send.insert(block);
        }
        self.manifest_next.get_or_insert(0);
        (self.ends, self.end_at) = (0, now);
        if self.start_at.is_none() {
            self.start_at = Some(now + GATHER);
        }
        self.consider_start(now);
    }

    /// Somebody does not want it, or not any more.
    pub fn declined(&mut self, now: Timestamp, id: ParticipantId, reason: Reason) {
        let member = self.members.entry(id).or_default();
        if member.answer != Answer::Done {
            member.answer = Answer::Declined(reason);
        }
        self.consider_start(now);
    }

    /// Somebody has it all.
    pub fn done(&mut self, now: Timestamp, id: ParticipantId) {
        let member = self.members.entry(id).or_default();
        (member.answer, member.blocks) = (Answer::Done, self.layout.blocks());
        if !self.is_active() {
            // What was asked for was for them.
            self.repairs.clear();
            self.owing.clear();
            self.to_send = Bits::none(self.layout.blocks());
            self.manifest_next = None;
        }
        self.consider_start(now);
    }

    fn consider_start(&mut self, now: Timestamp) {
        let asked = self.members.values().any(|m| m.answer == Answer::Asked);
        if !self.started
            && !asked
            && let Some(at) = &mut self.start_at
        {
            *at = (*at).min(now + LEAD);
        }
    }

    /// A request or report of `id`.
    pub fn nack(&mut self, now: Timestamp, id: &ParticipantId, nack: &ObjectNack) {
        let Some(member) = self.members.get_mut(id).filter(|m| m.answer == Answer::Accepted) else {
            return;
        };
        member.blocks = member.blocks.max(nack.blocks.min(self.layout.blocks()));
        if nack.packets > 0 {
            let loss = f64::from(nack.loss_permille) / 1_000.0;
            let weight = (f64::from(nack.packets) / 1_000.0).clamp(0.05, 0.5);
            member.loss += weight * (loss - member.loss);
            let risen = member.reporter.report(loss, nack.packets);
            let alone = member.alone;
            self.watch(id, nack.packets);
            if !alone {
                self.rate.reported(now, risen);
            }
        }
        if self.may_be_served(id) {
            let owed = |want: &Want| self.want(now, want.block, want.deficit as usize, nack.seen);
            let owed: u64 = nack.wants.iter().map(owed).sum();
            let most = self.asked_max();
            if let Some(member) = self.members.get_mut(id) {
                member.asked += owed;
                member.alone |= member.asked > most;
            }
        }
    }

    /// Symbols beyond which somebody's requests are no sign of loss any more.
    fn asked_max(&self) -> u64 {
        OBJECT_BLOCK_SYMBOLS as u64 + ASKED * self.layout.all_symbols()
    }

    /// Who fetches alone is served once nobody else waits; who may turn out to, once nothing new is left to send.
    fn may_be_served(&self, id: &ParticipantId) -> bool {
        let Some(member) = self.members.get(id) else {
            return false;
        };
        if member.asked > 2 * self.asked_max() {
            return false;
        }
        let waits = |m: &Member| m.answer == Answer::Accepted && !m.alone && m.straggling == 0;
        let patient = member.alone || (member.straggling > 0 && !self.to_send.is_empty());
        !patient || !self.members.values().any(waits)
    }

    /// Finds out whether somebody loses much more than the others.
    fn watch(&mut self, id: &ParticipantId, packets: u32) {
        let mut losses: Vec<f64> =
            self.members.values().filter(|m| m.answer == Answer::Accepted).map(|m| m.loss).collect();
        losses.sort_unstable_by(f64::total_cmp);
        let several = losses.len() > 1;
        let median = losses.get((losses.len().max(1) - 1) / 2).copied().unwrap_or(0.0);
        if let Some(member) = self.members.get_mut(id) {
            let far = several && member.loss > median + STRAGGLE;
            member.straggling = if far { member.straggling.saturating_add(packets) } else { 0 };
            member.alone |= member.straggling >= STRAGGLE_PACKETS;
        }
    }

    /// Takes a request for a block; how many symbols more are to be sent for it.
    fn want(&mut self, now: Timestamp, block: u32, deficit: usize, seen: u64) -> u64 {
        let symbols = self.layout.symbols(block);
        let underway = match block {
            MANIFEST => self.manifest_next.is_some(),
            _ => self.to_send.has(block),
        };
        if symbols == 0 || underway {
            return 0;
        }
        let deficit = deficit.min(symbols) as u16;
        let repair = self.repairs.entry(block).or_default();
        let owed = repair.owed;
        let mut more = 0;
        let left = OBJECT_PARITY_SYMBOLS as u16 - repair.next - repair.owed;
        let under_way = repair.under_way(seen);
        if seen > 0 && under_way > 0 {
            repair.owed += deficit.saturating_sub(under_way).min(left);
        } else if seen == 0 && (repair.owed > 0 || now < repair.until) {
            let more = deficit.saturating_sub(repair.served);
            repair.owed += more.min(left);
            repair.served += more;
        } else if deficit > left {
            // Used up: the source once more, and then the parity from the beginning.
            self.repairs.remove(&block);
            more = symbols as u64;
            match block {
                MANIFEST => self.manifest_next = Some(0),
                _ => {
                    self.to_send.insert(block);
                }
            }
        } else {
            (repair.owed, repair.served) = (deficit, deficit);
        }
        if let Some(repair) = self.repairs.get(&block).filter(|repair| repair.owed > 0) {
            more = u64::from(repair.owed.saturating_sub(owed));
            self.owing.insert(block);
        }
        (self.ends, self.end_at) = (0, now);
        more
    }

    /// The next symbol, if one may be sent now.
    pub fn next(&mut self, now: Timestamp) -> Option<Piece> {
        if !self.started {
            self.started = self.start_at.is_some_and(|at| at <= now);
            if !self.started {
                return None;
            }
        }
        if !self.is_active() {
            self.rate.rest();
            return None;
        }
        if self.rate.budget(now) < SYMBOL_WIRE_BYTES {
            return None;
        }
        let piece = self.choose(now);
        match piece {
            Some(_) => self.rate.take(SYMBOL_WIRE_BYTES),
            None => self.rate.rest(),
        }
        piece
    }

    fn choose(&mut self, now: Timestamp) -> Option<Piece> {
        if let Some(index) = self.manifest_next {
            let last = usize::from(index) + 1 >= self.layout.symbols(MANIFEST);
            self.manifest_next = (!last).then_some(index + 1);
            self.sent.source += 1;
            return Some(Piece { block: MANIFEST, index });
        }
        if let Some(&block) = self.owing.first() {
            let number = self.sent.packets() + 1 - self.numbered_from;
            let repair = self.repairs.entry(block).or_default();
            repair.sent.push(number);
            let index = self.layout.symbols(block) as u16 + repair.next;
            repair.owed = repair.owed.saturating_sub(1);
            repair.next += 1;
            repair.until = now + ROUND;
            if repair.owed == 0 {
                self.owing.remove(&block);
            }
            self.sent.parity += 1;
            return Some(Piece { block, index });
        }
        let (at, index) = self.cursor;
        if let Some(block) = self.to_send.next(at).or_else(|| self.to_send.next(0)) {
            let index = if block == at { index } else { 0 };
            if usize::from(index) + 1 >= self.layout.symbols(block) {
                self.to_send.remove(block);
                self.cursor = (block + 1, 0);
            } else {
                self.cursor = (block, index + 1);
            }
            self.sent.source += 1;
            return Some(Piece { block, index });
        }
        if self.end_at > now {
            return None;
        }
        self.end_at = now + ENDS[self.ends.min(ENDS.len() - 1)];
        self.ends += 1;
        self.sent.ends += 1;
        Some(Piece { block: END, index: 0 })
    }

    /// Whether the offer is to be said now, and whom it asks: two bytes of each id.
    pub fn offer(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if self.offer_at > now {
            return None;
        }
        let open: Vec<&ParticipantId> = self
            .members
            .iter()
            .filter(|(_, m)| matches!(m.answer, Answer::Asked | Answer::Accepted))
            .map(|(id, _)| id)
            .collect();
        let again = if open.is_empty() { OFFER_QUIET } else { OFFER_AGAIN };
        self.offer_at = now + OFFERS.get(self.offers).copied().unwrap_or(again);
        self.offers += 1;
        // A crowd is asked by turns.
        let from = self.asked_from % open.len().max(1);
        let asked = open.iter().cycle().skip(from).take(open.len().min(OBJECT_ASKS_MAX));
        let asks = asked.flat_map(|id| [id.0[0], id.0[1]]).collect();
        self.asked_from = from + OBJECT_ASKS_MAX;
        Some(asks)
    }

    /// Those who shall fetch by themselves: two bytes of each id.
    pub fn alone(&self) -> Vec<u8> {
        let alone = self.members.iter().filter(|(_, m)| m.alone && m.answer == Answer::Accepted);
        alone.take(OBJECT_ASKS_MAX).flat_map(|(id, _)| [id.0[0], id.0[1]]).collect()
    }

    /// When [`next`](Self::next) or [`offer`](Self::offer) has something.
    pub fn next_timeout(&self) -> Timestamp {
        let send = if !self.is_active() {
            None
        } else if !self.started {
            self.start_at
        } else {
            let ready = self.rate.ready_at(SYMBOL_WIRE_BYTES);
            let something = self.manifest_next.is_some() || !self.to_send.is_empty() || !self.owing.is_empty();
            Some(if something { ready } else { ready.max(self.end_at) })
        };
        send.map_or(self.offer_at, |at| at.min(self.offer_at))
    }
}
