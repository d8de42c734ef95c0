//! One of those who receive: symbols in, verified blocks out, and what is asked for.
//!
//! ```text
//! symbol ──> its block's assembly ──> enough ──> hash is the manifest's ──> Block, had
//!              │ closed: another block has begun, or END                └──> Spoiled: fetched from the one who offered it
//!              └──> wanted ──> back-off ──> ObjectNack      somebody asks for as much: not now
//! ```
//! A closed block is asked for again when nothing of it came for some time, ever more seldom. At most
//! [`OBJECT_BLOCKS_IN_ASSEMBLY_MAX`] blocks are in assembly; what comes of others is dropped and asked for later. Every
//! [`report`](Incoming::timeout) tells the sender what was lost, by the gaps in its packet numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bits::Bits;
use super::code::Assembly;
use super::manifest::{Layout, Manifest, hash};
use super::{backoff, manifest};
use crate::limits::{OBJECT_BLOCKS_IN_ASSEMBLY_MAX, OBJECT_WANTS_MAX};
use crate::protocol::keys::Random;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{END, MANIFEST, ObjectId, ObjectNack, Symbol, Want};

/// Longest wait before asking, so that others may do it.
const BACKOFF: Duration = Duration::from_millis(20);
/// How long what was asked for may take to begin to come; twice as long each time it does not.
const ANSWER: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// While parity of a block comes, more of it may.
const FLOWING: Duration = Duration::from_millis(30);
/// After so long without anything all that is missing is asked for.
const SILENCE: Duration = Duration::from_secs(1);
/// How often the sender is told how it goes, at most; and how much more seldom for each of those who do.
const REPORT: Duration = Duration::from_millis(250);
const REPORT_EACH: Duration = Duration::from_millis(8);

/// Packets that may be lost on end: some seconds at any rate.
const JUMP_MAX: u64 = 1 << 20;

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The manifest is known and verified.
    Manifest(Manifest),
    /// A verified block, to be written.
    Block(u32, Vec<u8>),
    /// Symbols of a block were not the sender's: it is to be fetched from the sender alone.
    Spoiled(u32),
    /// What the sender itself offered does not fit together; nothing will come of it.
    Broken(&'static str),
    /// To be said to all who send or receive this object.
    Nack(ObjectNack),
}

/// Where a symbol comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The group: any member can send there.
    Group,
    /// A connection to whoever offered it.
    Fetched,
}

/// Packets of the sender, by their numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    sid: u64,
    highest: u64,
    /// The highest at the last report.
    base: u64,
    received: u64,
}

impl Heard {
    /// A number far beyond what was heard says nothing about what is lost.
    fn take(&mut self, sid: u64, pn: u64) {
        if sid != self.sid {
            *self = Self { sid, highest: pn, base: pn.saturating_sub(1), received: 1 };
            return;
        }
        if pn > self.highest.saturating_add(JUMP_MAX) {
            return;
        }
        self.highest = self.highest.max(pn);
        self.received += u64::from(pn > self.base);
    }

    /// Lost in thousandths, of how many, since the last time.
    fn report(&mut self) -> (u32, u32) {
        let expected = self.highest - self.base;
        let lost = expected.saturating_sub(self.received);
        (self.base, self.received) = (self.highest, 0);
        ((lost.saturating_mul(1_000) / expected.max(1)) as u32, expected.min(u32::MAX.into()) as u32)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    until: Timestamp,
    asked: u32,
}

/// An object that comes in.
pub struct Incoming {
    id: ObjectId,
    me: ParticipantId,
    manifest_hash: [u8; 32],
    layout: Layout,
    manifest: Option<Manifest>,
    have: Bits,
    parts: BTreeMap<u32, Assembly>,
    spare: Vec<Assembly>,
    /// Of which no more comes unasked.
    closed: Bits,
    manifest_closed: bool,
    holds: BTreeMap<u32, Hold>,
    spoiled: BTreeSet<u32>,
    current: u32,
    alone: bool,
    group: usize,
    heard: Heard,
    last: Timestamp,
    nack_at: Option<Timestamp>,
    recheck: Option<Timestamp>,
    report_at: Option<Timestamp>,
    random: Random,
    nacks: u64,
}

impl Incoming {
    /// Begins at `now`; `have`: blocks there are already, to be told by [`verified`](Self::verified) once the manifest is
    /// known. `seed` must be another one for everybody.
    pub fn new(now: Timestamp, me: ParticipantId, manifest_hash: [u8; 32], layout: Layout, seed: [u8; 32]) -> Self {
        let blocks = layout.blocks();
        Self {
            id: manifest::object_id(&manifest_hash),
            me,
            manifest_hash,
            layout,
            manifest: None,
            have: Bits::none(blocks),
            parts: BTreeMap::new(),
            spare: Vec::new(),
            closed: Bits::none(blocks),
            manifest_closed: false,
            holds: BTreeMap::new(),
            spoiled: BTreeSet::new(),
            current: MANIFEST,
            alone: false,
            group: 1,
            heard: Heard::default(),
            last: now,
            nack_at: None,
            recheck: None,
            report_at: None,
            random: Random::new(seed),
            nacks: 0,
        }
    }

    /// What is known of the object's manifest.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Blocks had.
    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// Blocks in assembly, the manifest among them.
    pub fn in_assembly(&self) -> usize {
        self.parts.len()
    }

    /// Whether all is had.
    pub fn is_complete(&self) -> bool {
        self.manifest.is_some() && self.have.is_full()
    }

    /// What is there of the beginning of `block` while it is in assembly, not verified yet.
    pub fn beginning(&self, block: u32) -> &[u8] {
        let part = self.parts.get(&block).map_or(&[][..], |part| part.beginning());
        &part[..part.len().min(self.layout.bytes(block))]
    }

    /// Requests made.
    pub fn nacks(&self) -> u64 {
        self.nacks
    }

    /// How many receive it, as far as is known.
    pub fn set_group(&mut self, group: usize) {
        self.group = group;
    }

    /// Whether one was told to fetch alone.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Told to fetch alone, because so much is lost here; nobody else is to be held up.
    pub fn set_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    /// Block `block` is there from before, and is what the manifest says.
    pub fn verified(&mut self, block: u32) {
        if self.have.insert(block) {
            self.drop_part(block);
        }
    }

    /// Block `block` is not there after all.
    pub fn lost(&mut self, block: u32) {
        self.have.remove(block);
        self.closed.insert(block);
    }

    /// A datagram of the sender's came, numbered `pn` in its session.
    pub fn heard(&mut self, now: Timestamp, sid: u64, pn: u64) {
        self.heard.take(sid, pn);
        self.last = now;
        if self.report_at.is_none() {
            self.report_at = Some(now + self.report_after());
        }
    }

    /// A symbol came.
    pub fn symbol(&mut self, now: Timestamp, from: Source, symbol: &Symbol<'_>, out: &mut Vec<Output>) {
        let Symbol { block, index, bytes, .. } = *symbol;
        if block == END {
            self.close_all(now);
            return;
        }
        let symbols = self.layout.symbols(block);
        if symbols == 0 || self.has(block) {
            return;
        }
        let source = usize::from(index) < symbols;
        if from == Source::Group {
            if self.spoiled.contains(&block) {
                return;
            }
            if source && std::mem::replace(&mut self.current, block) != block {
                self.close_others(now, block);
            }
            if !source {
                self.holds.insert(block, Hold { until: now + FLOWING, asked: 0 });
                self.reconsider(now + FLOWING);
            }
        }
        if !self.parts.contains_key(&block) {
            let room = self.parts.len() < OBJECT_BLOCKS_IN_ASSEMBLY_MAX || block == MANIFEST;
            if !room && from == Source::Group {
                return;
            }
            let mut part = self.spare.pop().unwrap_or_default();
            part.begin(symbols);
            self.parts.insert(block, part);
        }
        let enough = self.parts.get_mut(&block).is_some_and(|part| part.add(index, bytes) && part.is_enough());
        if enough {
            self.finish(now, from, block, out);
        }
    }

    fn has(&self, block: u32) -> bool {
        if block == MANIFEST { self.manifest.is_some() } else { self.have.has(block) }
    }

    /// A block's symbols are enough: verifies it, if the manifest is known.
    fn finish(&mut self, now: Timestamp, from: Source, block: u32, out: &mut Vec<Output>) {
        let length = self.layout.bytes(block);
        let Some(bytes) = self.parts.get_mut(&block).and_then(|part| part.block(length)) else {
            return;
        };
        if block == MANIFEST {
            if hash(bytes) != self.manifest_hash {
                return self.spoil(now, from, block, out);
            }
            match Manifest::parse(bytes) {
                Ok(manifest) if manifest.size == self.layout.size => {
                    out.push(Output::Manifest(manifest.clone()));
                    self.manifest = Some(manifest);
                }
                _ => return out.push(Output::Broken("its manifest is not what was offered")),
            }
            self.drop_part(block);
            let waiting: Vec<u32> = self.parts.iter().filter(|(_, part)| part.is_enough()).map(|(n, _)| *n).collect();
            waiting.into_iter().for_each(|block| self.finish(now, Source::Group, block, out));
            return;
        }
        let Some(manifest) = &self.manifest else {
            return;
        };
        if manifest.hashes.get(block as usize) != Some(&hash(bytes)) {
            return self.spoil(now, from, block, out);
        }
        out.push(Output::Block(block, bytes.to_vec()));
        self.have.insert(block);
        self.drop_part(block);
    }

    fn drop_part(&mut self, block: u32) {
        self.spare.extend(self.parts.remove(&block));
        self.holds.remove(&block);
        self.spoiled.remove(&block);
        self.closed.remove(block);
    }

    /// Somebody mixed in what is not the sender's, or the sender does not keep to its own manifest.
    fn spoil(&mut self, now: Timestamp, from: Source, block: u32, out: &mut Vec<Output>) {
        if from == Source::Fetched && self.spoiled.contains(&block) {
            return out.push(Output::Broken("what comes from its sender is not what was offered"));
        }
        self.drop_part(block);
        self.spoiled.insert(block);
        self.hold(now, block);
        out.push(Output::Spoiled(block));
    }

    /// A block that was to be fetched could not be: the group is tried again.
    pub fn not_fetched(&mut self, now: Timestamp, block: u32) {
        if self.spoiled.remove(&block) {
            self.close(block);
            self.reconsider(now);
        }
    }

    fn close(&mut self, block: u32) {
        if block == MANIFEST {
            self.manifest_closed = self.manifest.is_none();
        } else if !self.have.has(block) {
            self.closed.insert(block);
        }
    }

    fn close_others(&mut self, now: Timestamp, block: u32) {
        let others: Vec<u32> = self.parts.keys().copied().filter(|n| *n != block).collect();
        others.into_iter().for_each(|n| self.close(n));
        if block != MANIFEST {
            self.close(MANIFEST);
        }
        self.reconsider(now);
    }

    fn close_all(&mut self, now: Timestamp) {
        self.close(MANIFEST);
        let missing: Vec<u32> = self.have.missing().collect();
        missing.into_iter().for_each(|n| self.close(n));
        self.reconsider(now);
    }

    fn reconsider(&mut self, at: Timestamp) {
        self.recheck = Some(self.recheck.map_or(at, |before| before.min(at)));
    }

    fn hold(&mut self, now: Timestamp, block: u32) -> Timestamp {
        let hold = self.holds.entry(block).or_default();
        let wait = (ANSWER * (1 << hold.asked.min(4))).min(ANSWER_MAX);
        *hold = Hold { until: now + wait, asked: hold.asked + 1 };
        hold.until
    }

    /// Somebody asked, oneself or another: who asks for as much serves me, too.
    pub fn overheard(&mut self, now: Timestamp, nack: &ObjectNack) {
        if nack.alone || self.alone {
            return;
        }
        for want in &nack.wants {
            if self.is_wanted(want.block) && self.deficit(want.block) <= want.deficit as usize {
                let until = self.hold(now, want.block);
                self.reconsider(until);
            }
        }
    }

    fn is_wanted(&self, block: u32) -> bool {
        if block == MANIFEST { self.manifest_closed && self.manifest.is_none() } else { self.closed.has(block) }
    }

    fn deficit(&self, block: u32) -> usize {
        self.parts.get(&block).map_or_else(|| self.layout.symbols(block), Assembly::deficit)
    }

    /// What is to be asked for at `now`; and when more may be.
    fn wants(&self, now: Timestamp) -> (Vec<Want>, Option<Timestamp>) {
        let (mut wants, mut later) = (Vec::new(), None::<Timestamp>);
        let mut room = OBJECT_BLOCKS_IN_ASSEMBLY_MAX.saturating_sub(self.parts.len());
        let mut from = 0;
        let mut next = self.is_wanted(MANIFEST).then_some(MANIFEST).or_else(|| self.closed.next(0));
        while let Some(block) = next.filter(|_| wants.len() < OBJECT_WANTS_MAX) {
            if block != MANIFEST {
                from = block + 1;
            }
            next = self.closed.next(from);
            let deficit = self.deficit(block);
            let begun = self.parts.contains_key(&block) || block == MANIFEST;
            if deficit == 0 || self.spoiled.contains(&block) || (!begun && room == 0) {
                continue;
            }
            room -= usize::from(!begun && room > 0);
            match self.holds.get(&block).map(|hold| hold.until).filter(|until| *until > now) {
                Some(until) => later = Some(later.map_or(until, |before| before.min(until))),
                None => wants.push(Want { block, deficit: deficit as u32 }),
            }
        }
        (wants, later)
    }

    fn report_after(&mut self) -> Duration {
        let period = REPORT.max(REPORT_EACH * self.group as u32);
        self.random.between(period.mul_f64(0.75), period.mul_f64(1.25))
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.is_complete() {
            return;
        }
        if now.since(self.last) >= SILENCE {
            self.last = now;
            self.close_all(now);
        }
        if self.recheck.take_if(|at| *at <= now).is_some() {
            let (wants, later) = self.wants(now);
            if !wants.is_empty() && self.nack_at.is_none() {
                self.nack_at = Some(now + backoff::wait(BACKOFF, self.group, &mut self.random));
            }
            later.into_iter().for_each(|at| self.reconsider(at));
        }
        if self.nack_at.take_if(|at| *at <= now).is_some() {
            let (wants, _) = self.wants(now);
            if !wants.is_empty() {
                for want in &wants {
                    let until = self.hold(now, want.block);
                    self.reconsider(until);
                }
                self.nacks += 1;
                self.say(now, wants, out);
            }
            self.reconsider(now + FLOWING);
        }
        if self.report_at.is_some_and(|at| at <= now) {
            self.say(now, Vec::new(), out);
        }
    }

    fn say(&mut self, now: Timestamp, wants: Vec<Want>, out: &mut Vec<Output>) {
        self.report_at = Some(now + self.report_after());
        let (loss_permille, packets) = self.heard.report();
        out.push(Output::Nack(ObjectNack {
            object: self.id.0.to_vec(),
            member: self.me.0.to_vec(),
            wants,
            loss_permille,
            packets,
            blocks: self.have.count(),
            alone: self.alone,
            fetch: Vec::new(),
            seen: self.heard.highest,
        }));
    }

    /// When [`timeout`](Self::timeout) has something to do; never once all is had.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        if self.is_complete() {
            return None;
        }
        [self.nack_at, self.recheck, self.report_at, Some(self.last + SILENCE)].into_iter().flatten().min()
    }
}
