//! Sender and receivers on a table: everything that is sent reaches everybody, unless a test says otherwise.

use std::time::Duration;

use super::bits::Bits;
use super::code;
use super::manifest::{BLOCK_BYTES, Hasher, Layout, Manifest, hash};
use super::receiver::{Incoming, Output, Source};
use super::sender::{Answer, Outgoing, Piece};
use crate::limits::{OBJECT_BLOCKS_IN_ASSEMBLY_MAX, OBJECT_SYMBOL_BYTES};
use crate::protocol::keys::Random;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{END, MANIFEST, ObjectNack, Reason, Symbol, Want};

pub fn member(n: u8) -> ParticipantId {
    ParticipantId([n; 16])
}

/// An object, with all its symbols.
struct Object {
    content: Vec<u8>,
    manifest: Vec<u8>,
    layout: Layout,
}

impl Object {
    fn new(size: usize) -> Self {
        let content: Vec<u8> = (0..size).map(|n| (n / 7 * 31 + n) as u8).collect();
        let mut whole = Hasher::default();
        whole.update(&content);
        let hashes = content.chunks(BLOCK_BYTES).map(hash).collect();
        let (name, kind) = ("a".to_owned(), String::new());
        let manifest = Manifest { size: size as u64, root: whole.finish(), name, kind, hashes }.to_bytes();
        let layout = Layout { size: size as u64, manifest_bytes: manifest.len() as u32 };
        Self { content, manifest, layout }
    }

    fn block(&self, block: u32) -> &[u8] {
        if block == MANIFEST {
            return &self.manifest;
        }
        let start = block as usize * BLOCK_BYTES;
        &self.content[start..start + self.layout.bytes(block)]
    }

    fn symbol(&self, piece: Piece) -> Vec<u8> {
        if piece.block == END {
            return Vec::new();
        }
        let (block, n) = (self.block(piece.block), usize::from(piece.index));
        let symbols = self.layout.symbols(piece.block);
        if n < symbols {
            let bytes = &block[n * OBJECT_SYMBOL_BYTES..block.len().min((n + 1) * OBJECT_SYMBOL_BYTES)];
            return code::whole(bytes).into_owned();
        }
        code::parity(block)[(n - symbols) * OBJECT_SYMBOL_BYTES..][..OBJECT_SYMBOL_BYTES].to_vec()
    }
}

/// One sender, some receivers.
struct Table {
    object: Object,
    sender: Outgoing,
    receivers: Vec<(Incoming, Vec<u8>, Vec<Output>)>,
    now: Timestamp,
    pn: u64,
    pieces: Vec<Piece>,
}

impl Table {
    fn new(size: usize, receivers: u8) -> Self {
        let object = Object::new(size);
        let now = Timestamp::from_millis(1_000);
        let sender = Outgoing::new(now, object.layout, (0..receivers).map(member), None);
        let receivers = (0..receivers).map(|n| {
            let incoming = Incoming::new(now, member(n), hash(&object.manifest), object.layout, [n; 32]);
            (incoming, vec![0; size], Vec::new())
        });
        Self { receivers: receivers.collect(), object, sender, now, pn: 0, pieces: Vec::new() }
    }

    /// Runs for `ms`; `arrives` says whether a piece reaches a receiver.
    fn run(&mut self, ms: u64, mut arrives: impl FnMut(usize, Piece) -> bool) {
        for _ in 0..ms {
            self.now = self.now + Duration::from_millis(1);
            while let Some(piece) = self.sender.next(self.now) {
                self.pn += 1;
                self.pieces.push(piece);
                let bytes = self.object.symbol(piece);
                let symbol = Symbol { tag: [0; 8], block: piece.block, index: piece.index, bytes: &bytes };
                for n in 0..self.receivers.len() {
                    if arrives(n, piece) {
                        let (incoming, _, out) = &mut self.receivers[n];
                        incoming.heard(self.now, 7, self.pn);
                        incoming.symbol(self.now, Source::Group, &symbol, out);
                    }
                }
            }
            for n in 0..self.receivers.len() {
                let (incoming, _, out) = &mut self.receivers[n];
                incoming.timeout(self.now, out);
                self.work_off(n);
            }
        }
    }

    fn work_off(&mut self, n: usize) {
        let outputs = std::mem::take(&mut self.receivers[n].2);
        for output in outputs {
            match output {
                Output::Block(block, bytes) => {
                    let start = block as usize * BLOCK_BYTES;
                    self.receivers[n].1[start..start + bytes.len()].copy_from_slice(&bytes);
                }
                Output::Nack(nack) => {
                    self.sender.nack(self.now, &member(n as u8), &nack);
                    for (other, (incoming, ..)) in self.receivers.iter_mut().enumerate() {
                        if other != n {
                            incoming.overheard(self.now, &nack);
                        }
                    }
                }
                Output::Manifest(_) => {}
                other => self.receivers[n].2.push(other),
            }
        }
        if self.receivers[n].0.is_complete() {
            self.sender.done(self.now, member(n as u8));
        }
    }

    fn accept_all(&mut self) {
        (0..self.receivers.len() as u8).for_each(|n| self.sender.accepted(self.now, member(n), &[]));
    }

    #[track_caller]
    fn assert_whole(&self) {
        for (n, (incoming, content, rest)) in self.receivers.iter().enumerate() {
            assert!(incoming.is_complete(), "receiver {n} has {} blocks", incoming.have().count());
            assert!(*content == self.object.content, "receiver {n} has something else");
            assert!(rest.is_empty(), "receiver {n}: {rest:?}");
        }
        assert!(self.sender.is_settled() && !self.sender.is_active());
    }
}

#[test]
fn without_loss_every_symbol_goes_out_once() {
    for size in [0, 1, 1_280, 100_000, 2 * BLOCK_BYTES + 5] {
        let mut table = Table::new(size, 3);
        table.accept_all();
        table.run(3_000, |_, _| true);
        table.assert_whole();
        let sent = table.sender.sent();
        assert_eq!((sent.source, sent.parity), (table.object.layout.all_symbols(), 0), "{size}");
        assert!(sent.ends <= 1, "{size}: {sent:?}");
    }
}

#[test]
fn what_is_lost_is_made_up_by_as_many_symbols_as_the_worst_lost() {
    let mut table = Table::new(2 * BLOCK_BYTES, 3);
    table.accept_all();
    // Different ones for each receiver, 10, 20 and 30 of the first block.
    let lost = |n: usize, p: Piece| p.block == 0 && p.index < 1_000 && usize::from(p.index) % 100 <= n && p.index > 0;
    table.run(3_000, |n, p| !lost(n, p));
    table.assert_whole();
    let worst = (1..1_000).filter(|i| i % 100 <= 2).count() as u64;
    let sent = table.sender.sent();
    assert!((worst..=worst + 3).contains(&sent.parity), "{} for {worst}", sent.parity);
    let nacks: u64 = table.receivers.iter().map(|r| r.0.nacks()).sum();
    assert!(nacks <= 4, "{nacks} requests");
}

#[test]
fn a_lost_manifest_and_a_lost_tail_are_asked_for() {
    let mut table = Table::new(BLOCK_BYTES + 3_000, 2);
    table.accept_all();
    let mut first = true;
    table.run(4_000, |n, p| {
        let manifest = p.block == MANIFEST && std::mem::take(&mut first);
        !(manifest || (n == 1 && p.block == 1 && p.index < 3))
    });
    table.assert_whole();
}

#[test]
fn who_accepts_late_gets_what_was_sent_before() {
    let mut table = Table::new(4 * BLOCK_BYTES, 2);
    table.sender.accepted(table.now, member(0), &[]);
    table.sender.declined(table.now, member(1), Reason::Unwanted);
    table.run(600, |n, _| n == 0);
    let before = table.pieces.len();
    assert!(before > 1_024, "{before}");
    table.sender.accepted(table.now, member(1), &[]);
    table.run(6_000, |_, _| true);
    table.assert_whole();
}

#[test]
fn only_what_somebody_lacks_is_sent() {
    let mut table = Table::new(5 * BLOCK_BYTES, 2);
    let blocks = table.object.layout.blocks();
    let mut have = Bits::all(blocks);
    have.remove(3);
    for n in 0..2 {
        for block in (0..blocks).filter(|b| have.has(*b)) {
            let bytes = table.object.block(block).to_vec();
            let (incoming, content, _) = &mut table.receivers[n];
            incoming.verified(block);
            content[block as usize * BLOCK_BYTES..][..bytes.len()].copy_from_slice(&bytes);
        }
        table.sender.accepted(table.now, member(n as u8), &have.to_bytes());
    }
    table.run(2_000, |_, _| true);
    table.assert_whole();
    assert!(table.pieces.iter().all(|p| matches!(p.block, 3 | MANIFEST | END)));
}

#[test]
fn a_block_somebody_spoiled_is_fetched_and_nothing_wrong_comes_out() {
    let mut table = Table::new(BLOCK_BYTES, 1);
    table.accept_all();
    // Somebody else's symbol is first.
    let false_one = Symbol { tag: [0; 8], block: 0, index: 5, bytes: &[9; OBJECT_SYMBOL_BYTES] };
    let (incoming, _, out) = &mut table.receivers[0];
    incoming.symbol(table.now, Source::Group, &false_one, out);
    table.run(3_000, |_, _| true);
    assert_eq!(table.receivers[0].2, [Output::Spoiled(0)]);
    assert!(!table.receivers[0].0.is_complete());
    table.receivers[0].2.clear();
    for index in 0..1_024 {
        let bytes = table.object.symbol(Piece { block: 0, index });
        let symbol = Symbol { tag: [0; 8], block: 0, index, bytes: &bytes };
        let (incoming, _, out) = &mut table.receivers[0];
        incoming.symbol(table.now, Source::Fetched, &symbol, out);
    }
    table.work_off(0);
    table.assert_whole();
}

#[test]
fn a_manifest_somebody_spoiled_is_fetched_or_asked_for_again() {
    for fetched in [true, false] {
        let mut table = Table::new(BLOCK_BYTES, 1);
        table.accept_all();
        let false_one = Symbol { tag: [0; 8], block: MANIFEST, index: 0, bytes: &[9; OBJECT_SYMBOL_BYTES] };
        let (incoming, _, out) = &mut table.receivers[0];
        incoming.symbol(table.now, Source::Group, &false_one, out);
        assert_eq!(table.receivers[0].2, [Output::Spoiled(MANIFEST)]);
        table.receivers[0].2.clear();
        if fetched {
            let bytes = table.object.symbol(Piece { block: MANIFEST, index: 0 });
            let symbol = Symbol { tag: [0; 8], block: MANIFEST, index: 0, bytes: &bytes };
            let (incoming, _, out) = &mut table.receivers[0];
            incoming.symbol(table.now, Source::Fetched, &symbol, out);
        } else {
            table.receivers[0].0.not_fetched(table.now, MANIFEST);
        }
        table.run(3_000, |_, _| true);
        table.assert_whole();
    }
}

#[test]
fn a_number_far_beyond_what_was_heard_is_no_loss() {
    let layout = Layout { size: BLOCK_BYTES as u64, manifest_bytes: 100 };
    for first in [0, 1, u64::MAX] {
        let mut incoming = Incoming::new(Timestamp(0), member(1), [1; 32], layout, [1; 32]);
        let mut reports = Vec::new();
        for (pn, at) in (1..=100).map(|n| (n, 10 * n)) {
            incoming.heard(Timestamp::from_millis(at), 7, if pn == 1 { first } else { pn });
            incoming.heard(Timestamp::from_millis(at), 7, u64::MAX - pn);
            incoming.timeout(Timestamp::from_millis(at), &mut reports);
        }
        let mut told = 0;
        for output in reports {
            let Output::Nack(nack) = output else { panic!("{output:?}") };
            assert_eq!(nack.loss_permille, 0, "{nack:?}");
            told += nack.packets;
        }
        assert_eq!(told > 50, first < u64::MAX, "{told} packets");
    }
}

#[test]
fn a_sender_that_does_not_keep_to_its_manifest_is_given_up() {
    let mut table = Table::new(BLOCK_BYTES, 1);
    table.accept_all();
    table.object.content[17] ^= 1;
    table.run(3_000, |_, _| true);
    assert_eq!(table.receivers[0].2, [Output::Spoiled(0)]);
    for index in 0..1_024 {
        let bytes = table.object.symbol(Piece { block: 0, index });
        let symbol = Symbol { tag: [0; 8], block: 0, index, bytes: &bytes };
        let (incoming, _, out) = &mut table.receivers[0];
        incoming.symbol(table.now, Source::Fetched, &symbol, out);
    }
    assert!(matches!(table.receivers[0].2[1], Output::Broken(_)), "{:?}", table.receivers[0].2);
}

#[test]
fn so_many_blocks_are_in_assembly_and_the_rest_is_asked_for_later() {
    let layout = Layout { size: 40 * BLOCK_BYTES as u64, manifest_bytes: 5_000 };
    let mut incoming = Incoming::new(Timestamp(0), member(1), [1; 32], layout, [1; 32]);
    let mut out = Vec::new();
    let bytes = [0; OBJECT_SYMBOL_BYTES];
    for block in (0..40).chain([MANIFEST]) {
        let symbol = Symbol { tag: [0; 8], block, index: 0, bytes: &bytes };
        incoming.symbol(Timestamp(0), Source::Group, &symbol, &mut out);
    }
    assert_eq!(incoming.in_assembly(), OBJECT_BLOCKS_IN_ASSEMBLY_MAX + 1, "and the manifest");
    let end = Symbol { tag: [0; 8], block: END, index: 0, bytes: &[] };
    incoming.symbol(Timestamp(0), Source::Group, &end, &mut out);
    for ms in 0..100 {
        incoming.timeout(Timestamp::from_millis(ms), &mut out);
    }
    let Some(Output::Nack(nack)) = out.first() else { panic!("{out:?}") };
    assert!(nack.wants.len() <= OBJECT_BLOCKS_IN_ASSEMBLY_MAX + 1, "only what there is room for: {nack:?}");
}

#[test]
fn a_manifest_of_another_size_is_no_manifest() {
    let object = Object::new(5_000);
    let layout = Layout { size: 5_001, ..object.layout };
    let mut incoming = Incoming::new(Timestamp(0), member(1), hash(&object.manifest), layout, [1; 32]);
    let mut out = Vec::new();
    let bytes = object.symbol(Piece { block: MANIFEST, index: 0 });
    let symbol = Symbol { tag: [0; 8], block: MANIFEST, index: 0, bytes: &bytes };
    incoming.symbol(Timestamp(0), Source::Group, &symbol, &mut out);
    assert!(matches!(out[..], [Output::Broken(_)]), "{out:?}");
}

#[test]
fn who_loses_far_more_than_the_others_does_not_hold_them_up() {
    let mut table = Table::new(12 * BLOCK_BYTES, 4);
    table.accept_all();
    let mut random = Random::new([3; 32]);
    table.run(20_000, |n, _| n != 3 || random.below(100) >= 30);
    assert!(table.receivers[..3].iter().all(|r| r.0.is_complete()));
    let alone: Vec<bool> = table.sender.members().map(|(_, m)| m.alone).collect();
    assert_eq!(alone, [false, false, false, true]);
    assert!(table.receivers[3].0.is_complete(), "once nobody else waits it is served as well");
    // Before the others had theirs, little was sent for the one alone.
    let last_source = table.pieces.iter().rposition(|p| p.block == 11 && p.index < 1_024).unwrap();
    let parity =
        table.pieces[..last_source].iter().filter(|p| p.block != MANIFEST && p.block != END && p.index >= 1_024);
    let parity = parity.count();
    assert!(parity < 12 * 1_024 * 15 / 100, "{parity} parity symbols before the others had all");
}

#[test]
fn parity_under_way_counts_however_late_somebody_asks() {
    let at = |ms: u64| Timestamp::from_millis(ms);
    let layout = Layout { size: BLOCK_BYTES as u64, manifest_bytes: 100 };
    let mut sender = Outgoing::new(at(0), layout, [member(1), member(2)], Some(900));
    (1..3).for_each(|n| sender.accepted(at(0), member(n), &[]));
    let mut ms = 200;
    let mut send = |sender: &mut Outgoing, for_ms: u64| {
        let mut parity = 0;
        for _ in 0..for_ms {
            ms += 1;
            while let Some(piece) = sender.next(at(ms)) {
                parity += usize::from(piece.block == 0 && piece.index >= 1_024);
            }
        }
        (parity, at(ms))
    };
    let ask = |sender: &mut Outgoing, now, n, deficit, seen| {
        let wants = vec![crate::wire::object::Want { block: 0, deficit }];
        sender.nack(now, &member(n), &ObjectNack { wants, seen, ..ObjectNack::default() });
    };
    let (parity, now) = send(&mut sender, 700);
    assert_eq!((parity, sender.sent().source), (0, 1_025));
    let seen = sender.sent().packets();
    ask(&mut sender, now, 1, 40, seen);
    let (parity, now) = send(&mut sender, 700);
    assert_eq!(parity, 40);
    // Long after, from somebody who has heard none of it.
    ask(&mut sender, now, 2, 50, seen);
    let (parity, now) = send(&mut sender, 700);
    assert_eq!(parity, 10, "what went out since serves them, too");
    // All of that was heard, and some lost.
    let all = sender.sent().packets();
    ask(&mut sender, now, 2, 3, all);
    ask(&mut sender, now, 1, 2, seen);
    assert_eq!(send(&mut sender, 700).0, 3);
    // In another session numbers begin again: what was sent before is not under way.
    sender.renumbered();
    ask(&mut sender, now, 1, 4, 1);
    assert_eq!(send(&mut sender, 700).0, 4);
}

#[test]
fn offers_ask_those_who_have_not_answered_and_crowds_by_turns() {
    let now = Timestamp::from_millis(1_000);
    let layout = Layout { size: 1, manifest_bytes: 100 };
    let mut sender = Outgoing::new(now, layout, (0..100).map(member), None);
    let first = sender.offer(now).expect("due at once");
    assert_eq!(first.len(), 2 * crate::limits::OBJECT_ASKS_MAX);
    assert_eq!(sender.offer(now), None);
    let second = sender.offer(sender.next_timeout()).expect("due");
    assert_ne!(first, second, "others");
    (0..99).for_each(|n| sender.declined(now, member(n), Reason::NoRoom));
    assert_eq!(sender.offer(now + Duration::from_secs(5)), Some(vec![99, 99]));
    sender.left(now, &member(99));
    assert!(sender.is_settled());
    assert_eq!(sender.members().filter(|(_, m)| m.answer == Answer::Gone).count(), 1);
    sender.came(now, member(99));
    assert!(!sender.is_settled());
}

#[test]
fn who_asks_for_everything_again_and_again_keeps_nobody_waiting_for_long() {
    let layout = Object::new(6 * BLOCK_BYTES).layout;
    let all = layout.all_symbols();
    let start = Timestamp::from_millis(1_000);
    let mut sender = Outgoing::new(start, layout, (0..3).map(member), None);
    (0..3).for_each(|n| sender.accepted(start, member(n), &[]));
    let wants: Vec<Want> = (0..6).map(|block| Want { block, deficit: 1_024 }).collect();
    let nack = ObjectNack { wants, seen: u64::MAX, ..ObjectNack::default() };
    let mut now = start;
    let mut run = |sender: &mut Outgoing, ms: u64, asks: bool| {
        for _ in 0..ms {
            now = now + Duration::from_millis(1);
            if asks {
                sender.nack(now, &member(2), &nack);
            }
            while sender.next(now).is_some() {}
        }
    };
    for n in 0_u64.. {
        if !sender.has_new() && n > 10 {
            break;
        }
        assert!(n < 200, "the others wait");
        run(&mut sender, 100, true);
    }
    assert!(sender.sent().packets() <= 4 * all + 3 * 1_024, "{:?}", sender.sent());
    run(&mut sender, 1_000, true);
    assert_eq!(sender.alone(), [2, 2], "it is told to fetch");
    assert!(sender.is_active(), "those two are asked whether they have it");
    (0..2).for_each(|n| sender.done(start, member(n)));
    run(&mut sender, 20_000, true);
    let sent = sender.sent();
    assert!(sent.source + sent.parity <= 6 * all + 6 * 1_024, "nothing is sent for ever: {sent:?}");
    run(&mut sender, 1_000, true);
    assert_eq!(sender.sent().parity, sent.parity);
}

#[test]
fn requests_of_nobody_and_for_nothing_change_nothing() {
    let now = Timestamp::from_millis(1_000);
    let mut sender = Outgoing::new(now, Layout { size: 1_000, manifest_bytes: 100 }, [member(1)], None);
    let wants = vec![crate::wire::object::Want { block: 0, deficit: 1 }];
    let nack = ObjectNack { wants, ..ObjectNack::default() };
    sender.nack(now, &member(1), &nack);
    sender.nack(now, &member(2), &nack);
    assert_eq!(sender.next(now + Duration::from_secs(9)), None, "nobody has accepted");
    sender.accepted(now, member(1), &[]);
    let mut pieces = Vec::new();
    for ms in 0..1_000 {
        pieces.extend(sender.next(now + Duration::from_millis(ms)));
    }
    assert!(pieces.iter().all(|p| p.index == 0), "{pieces:?}");
    let beyond = crate::wire::object::Want { block: 1, deficit: 1 };
    sender.nack(now, &member(1), &ObjectNack { wants: vec![beyond], ..ObjectNack::default() });
    assert!(sender.next(now + Duration::from_secs(9)).is_none_or(|p| p.block == END), "there is no such block");
}
