//! Reliable small messages: what somebody says reaches everybody once, in the same order everywhere.
//!
//! ```text
//!  say ---- sign -- [Chat] --- again after 60 and 250 ms ---.
//!                                                           v
//!  everybody:  new?  -> check signature -> number in order? -> line whole? -> shown by (clock, author, number)
//!              gap?  -> wait 0..50 ms -> [Nack] -> the author repairs at once, any holder after 60..150 ms
//!              all had up to n -> in beacons and [Heartbeat]s: evidence of gaps for others, delivery for the author
//!  newcomer:   [HistoryRequest] to one member -> [HistoryAnswer]s: the last 500 lines or 24 h
//! ```
//! Negative acknowledgement with the back-off of NORM (RFC 5740 section 5.2, RFC 5401 section 4.3.1), so that a thousand
//! members that miss the same piece ask once. Whoever asks names pieces by author, run and number; whoever has a piece
//! passes on its author's signature, so that a line survives its author.
//!
//! - A line longer than a datagram is cut into numbered pieces; everything below counts pieces, people see lines.
//! - Lines of one author are shown in the order of their numbers; one that is missing holds the later ones up for 2 s
//!   at most, and is then put into its place when it comes. Among authors the hybrid logical clock decides ([`order`]).
//! - What is not signed by its author (heartbeats, requests) makes others look for a piece and nothing else: it creates
//!   no line, ends no line, and shifts no window.
//! - Limits: 20 pieces a second for each author, 512 numbers of a sequence, 2,000 pieces and 4 MiB in memory; 20 reports a
//!   second of each member, 32 pieces beyond the newest signed one on anybody's word.
//! - An author who was never here, whom neither the own disk nor the one asked for history knows, is a stranger: 64 sequences
//!   of all of them, and their pieces go first.
//!
//! Nothing here seals, signs or knows a key: packets come from an envelope that is authentic ([`Chat::handle`] is told
//! who sent it), [`Signer`] and [`Verifier`] are arguments ([`envelope`] has those with Ed25519). No clock, no socket, no chance but the seed.

mod book;
pub mod envelope;
mod history;
pub mod line;
pub mod order;
mod pace;
pub mod private;
mod ranges;
mod receiver;
mod repair;
mod report;
mod sender;
mod sequence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limits::{
    CHAT_CHECKS_PER_S_MAX, CHAT_NACKS_PER_S_MAX, CHAT_REPAIRS_PER_S_MAX, CHAT_REPORTS_PER_S_MAX, CHAT_WINDOW,
    PARTICIPANTS_MAX,
};
use crate::protocol::chat::book::{Book, SequenceId};
use crate::protocol::chat::history::History;
use crate::protocol::chat::order::HybridClock;
use crate::protocol::chat::pace::{Bucket, Schedule};
use crate::protocol::chat::report::Reports;
use crate::protocol::chat::sender::Outbox;
use crate::protocol::chat::sequence::Hole;
use crate::protocol::keys::Random;
use crate::time::Timestamp;
use crate::wire::chat::{Packet, Want};
use crate::wire::message::ParticipantId;

pub use line::{Body, Content, Counters, Delivery, Event, Kept, Line, Output, SayError, Signer, Verifier};
pub use order::{LineId, NoKey, OrderKey, Place, Timeline};

/// How often old pieces are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// What a chat starts from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose chat it is.
    pub me: ParticipantId,
    /// My name, sent with every line so that those who come after I left can read it.
    pub name: String,
    /// All chance comes from here: the run's number, waits, nonces. Another one at every start.
    pub seed: [u8; 32],
}

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A piece of mine is sent again.
    Repeat(u32, u8),
    /// Something of this sequence is to be asked for.
    Nack(SequenceId),
    /// Something of sequences known by tag only is to be asked for.
    Tags,
    /// A line of this sequence has waited long enough for an earlier one.
    Hold(SequenceId),
    /// Others are told what is had.
    Heartbeat,
    /// It is looked at who has my lines.
    Delivery,
    /// The one asked for history is silent.
    History,
    /// The next chunk goes to a late joiner.
    Serve,
    /// Old pieces go.
    Expire,
}

/// Somebody who is present.
#[derive(Debug)]
struct Member {
    /// Has all of my present sequence up to here.
    has: u32,
    /// Requests it may make.
    nacks: Bucket,
    /// Signatures that are checked for it.
    checks: Bucket,
    /// Reports taken of it.
    reports: Bucket,
}

impl Member {
    fn new() -> Self {
        Self {
            has: 0,
            nacks: Bucket::new(2 * CHAT_NACKS_PER_S_MAX, 4 * CHAT_NACKS_PER_S_MAX),
            checks: Bucket::new(CHAT_CHECKS_PER_S_MAX, 2 * CHAT_WINDOW),
            reports: Bucket::new(CHAT_REPORTS_PER_S_MAX, CHAT_REPORTS_PER_S_MAX),
        }
    }
}

/// One member's chat in one conference.
pub struct Chat {
    me: ParticipantId,
    name: String,
    run: u32,
    random: Random,
    clock: HybridClock,
    book: Book,
    members: BTreeMap<ParticipantId, Member>,
    /// Those who speak before the roster knows them share this, and what comes from elsewhere than its sender's address.
    stranger: Member,
    /// Whose share what is worked on now draws on; `None`: `stranger`'s.
    payer: Option<ParticipantId>,
    shut_out: BTreeSet<ParticipantId>,
    outbox: Outbox,
    reports: Reports,
    history: History,
    timers: Schedule<Timer>,
    /// Pieces to be sent for somebody who asked.
    repairs: Schedule<(SequenceId, u32)>,
    repair_budget: Bucket,
    nack_budget: Bucket,
    /// Sequences known by tag only, and when they are asked for.
    tags: BTreeMap<u32, Hole>,
    /// When the gone holes were last looked for again.
    revived: Option<Timestamp>,
    /// The last line shown.
    latest: Option<OrderKey>,
    counters: Counters,
}

impl Chat {
    /// Starts a chat in which nothing was said. [`restore`](Self::restore) what is on disk, tell who is present, then
    /// [`catch_up`](Self::catch_up).
    pub fn new(now: Timestamp, config: Config) -> Self {
        let mut random = Random::new(config.seed);
        let run = (random.next_u64() as u32).max(1);
        let mut book = Book::default();
        book.own = book.open(now, config.me, run, true, |_| true).unwrap_or_default();
        let mut timers = Schedule::new();
        timers.set(Timer::Expire, now + EXPIRE_EVERY);
        Self {
            me: config.me,
            name: config.name,
            run,
            random,
            clock: HybridClock::default(),
            book,
            members: BTreeMap::new(),
            stranger: Member::new(),
            payer: None,
            shut_out: BTreeSet::new(),
            outbox: Outbox::new(),
            reports: Reports::default(),
            history: History::default(),
            timers,
            repairs: Schedule::new(),
            repair_budget: Bucket::new(CHAT_REPAIRS_PER_S_MAX, CHAT_REPAIRS_PER_S_MAX),
            nack_budget: Bucket::new(CHAT_NACKS_PER_S_MAX, 2 * CHAT_NACKS_PER_S_MAX),
            tags: BTreeMap::new(),
            revived: None,
            latest: None,
            counters: Counters::default(),
        }
    }

    /// Somebody is present from now on, or again: then what could not be had before is asked for once more.
    pub fn joined(&mut self, now: Timestamp, member: ParticipantId) {
        if member == self.me || self.members.len() >= PARTICIPANTS_MAX {
            return;
        }
        self.members.entry(member).or_insert_with(Member::new);
        self.book.acquaint(member);
        self.revive(now);
        self.look_at_delivery(now);
    }

    /// Somebody is no longer present. What it said stays, and others complete it.
    pub fn left(&mut self, now: Timestamp, member: ParticipantId) {
        self.members.remove(&member);
        self.look_at_delivery(now);
    }

    /// Nothing more of somebody's is taken, from whomever it comes.
    pub fn shut_out(&mut self, now: Timestamp, member: ParticipantId) {
        if self.shut_out.len() < PARTICIPANTS_MAX {
            self.shut_out.insert(member);
        }
        // Nobody's pieces of theirs would be taken: none is asked for, and none is missed.
        let lacking: Vec<SequenceId> = self.book.of(member).collect();
        for id in lacking {
            if let Some(sequence) = self.book.get_mut(id) {
                sequence.drop_holes(usize::MAX);
            }
            self.timers.cancel(Timer::Nack(id));
        }
        self.left(now, member);
    }

    /// What somebody says is taken again.
    pub fn let_in(&mut self, member: &ParticipantId) {
        self.shut_out.remove(member);
    }

    /// My name in lines from now on.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Works on a packet that `from` sent in an authentic envelope. Signatures of pieces that are new are checked with
    /// `verifier`; of anything else nothing is kept.
    pub fn handle(
        &mut self,
        now: Timestamp,
        from: ParticipantId,
        packet: &Packet,
        verifier: &dyn Verifier,
        out: &mut Vec<Output>,
    ) {
        self.payer = Some(from);
        self.work_on(now, from, packet, verifier, out);
    }

    /// The same for a packet that came from elsewhere than where `from` is: it uses up nothing of what `from` may send.
    pub fn handle_astray(
        &mut self,
        now: Timestamp,
        from: ParticipantId,
        packet: &Packet,
        verifier: &dyn Verifier,
        out: &mut Vec<Output>,
    ) {
        self.payer = None;
        self.work_on(now, from, packet, verifier, out);
    }

    fn work_on(
        &mut self,
        now: Timestamp,
        from: ParticipantId,
        packet: &Packet,
        verifier: &dyn Verifier,
        out: &mut Vec<Output>,
    ) {
        if from == self.me {
            return;
        }
        if self.shut_out.contains(&from) {
            self.counters.refused += 1;
            return;
        }
        match packet {
            Packet::Chat(original) => {
                self.on_original(now, from, original, verifier, out);
            }
            Packet::Repair(repair) => {
                for original in &repair.originals {
                    self.on_original(now, from, original, verifier, out);
                }
            }
            Packet::Heartbeat(heartbeat) => self.on_heartbeat(now, from, heartbeat),
            Packet::Nack(nack) => self.on_nack(now, nack, out),
            Packet::HistoryRequest(request) => self.on_history_request(now, from, request, out),
            Packet::HistoryAnswer(answer) => self.on_history_answer(now, from, answer, verifier, out),
        }
    }

    /// Does what is due. To be called at [`next_timeout`](Self::next_timeout), and whenever else it suits.
    pub fn timeout(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut wants: Vec<Want> = Vec::new();
        let mut tags: Vec<u32> = Vec::new();
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Repeat(number, _) => self.repeat(now, number, out),
                Timer::Nack(id) => self.collect_wants(now, id, &mut wants, out),
                Timer::Tags => self.collect_tags(now, &mut tags),
                Timer::Hold(id) => self.release(now, id, out),
                Timer::Heartbeat => self.send_heartbeat(now, out),
                Timer::Delivery => self.tell_delivery(now, out),
                Timer::History => self.ask_next(now, out),
                Timer::Serve => self.serve(now, out),
                Timer::Expire => {
                    self.book.expire(now);
                    self.timers.set(Timer::Expire, now + EXPIRE_EVERY);
                }
            }
        }
        self.send_nacks(wants, tags, out);
        self.send_due_repairs(now, out);
    }

    /// When [`timeout`](Self::timeout) has something to do, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let repairs = self.repairs.next().map(|due| self.repair_budget.next(due, 1));
        [self.timers.next(), repairs].into_iter().flatten().min()
    }

    /// My present run and the number of the last piece I said in it; 0: none.
    pub fn highest(&self) -> (u32, u32) {
        (self.run, self.outbox.highest())
    }

    /// What was said before is known, as far as anybody could tell.
    pub fn has_caught_up(&self) -> bool {
        self.history.is_live()
    }

    /// What was done and refused.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Pieces held for repair and for late joiners, and their bytes.
    pub fn memory(&self) -> (usize, usize) {
        self.book.size()
    }

    /// Members present, oneself included: how many may answer at once.
    fn group(&self) -> usize {
        self.members.len() + 1
    }

    /// Whose share what is worked on now draws on.
    fn payer(&mut self) -> &mut Member {
        self.payer.and_then(|id| self.members.get_mut(&id)).unwrap_or(&mut self.stranger)
    }
}
