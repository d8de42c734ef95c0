//! One file to a crowd: 200 who receive it, each losing its own twentieth of everything.

use std::time::Duration;

use roundtable::limits::OBJECT_SYMBOL_BYTES;
use roundtable::protocol::keys::Random;
use roundtable::protocol::transfer::code::{parity, whole};
use roundtable::protocol::transfer::manifest::{BLOCK_BYTES, Layout, Manifest, hash};
use roundtable::protocol::transfer::receiver::{Incoming, Output, Source};
use roundtable::protocol::transfer::sender::{Outgoing, Piece};
use roundtable::time::Timestamp;
use roundtable::wire::message::ParticipantId;
use roundtable::wire::object::{END, MANIFEST, ObjectNack, Symbol};

/// Time anything takes on the network.
const DELAY: u64 = 1;

struct Crowd {
    layout: Layout,
    blocks: Vec<Vec<u8>>,
    parities: Vec<Option<Vec<u8>>>,
    manifest: Vec<u8>,
    sender: Outgoing,
    receivers: Vec<Incoming>,
    random: Random,
    requests: usize,
    /// Packets the network carries in a millisecond, and how many wait at most; the rest is lost for all.
    narrow: Option<(usize, usize)>,
    waiting: usize,
    dropped: usize,
}

fn member(n: usize) -> ParticipantId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    ParticipantId(id)
}

impl Crowd {
    fn new(receivers: usize, blocks: usize) -> Self {
        let blocks: Vec<Vec<u8>> =
            (0..blocks).map(|b| (0..BLOCK_BYTES).map(|n| (n / 5 + b * n) as u8).collect()).collect();
        let whole_one: Vec<u8> = blocks.concat();
        let size = whole_one.len() as u64;
        let manifest = Manifest {
            size,
            root: hash(&whole_one),
            name: "a".into(),
            kind: String::new(),
            hashes: blocks.iter().map(|b| hash(b)).collect(),
        };
        let manifest = manifest.to_bytes();
        let layout = Layout { size, manifest_bytes: manifest.len() as u32 };
        let now = Timestamp::from_millis(0);
        let mut sender = Outgoing::new(now, layout, (0..receivers).map(member), None);
        (0..receivers).for_each(|n| sender.accepted(now, member(n), &[]));
        let incoming = |n: usize| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&n.to_be_bytes());
            let mut incoming = Incoming::new(now, member(n), hash(&manifest), layout, seed);
            incoming.set_group(receivers);
            incoming
        };
        let receivers = (0..receivers).map(incoming).collect();
        let parities = vec![None; blocks.len()];
        Self {
            layout,
            blocks,
            parities,
            manifest,
            sender,
            receivers,
            random: Random::new([1; 32]),
            requests: 0,
            narrow: None,
            waiting: 0,
            dropped: 0,
        }
    }

    fn symbol(&mut self, piece: Piece) -> Vec<u8> {
        let n = usize::from(piece.index);
        let bytes = match piece.block {
            END => return Vec::new(),
            MANIFEST => &self.manifest,
            block => &self.blocks[block as usize],
        };
        let symbols = self.layout.symbols(piece.block);
        if n < symbols {
            let end = bytes.len().min((n + 1) * OBJECT_SYMBOL_BYTES);
            return whole(&bytes[n * OBJECT_SYMBOL_BYTES..end]).into_owned();
        }
        let made;
        let parity = match piece.block {
            MANIFEST => {
                made = parity(bytes);
                &made
            }
            block => self.parities[block as usize].get_or_insert_with(|| parity(&self.blocks[block as usize])),
        };
        parity[(n - symbols) * OBJECT_SYMBOL_BYTES..][..OBJECT_SYMBOL_BYTES].to_vec()
    }

    fn lost(&mut self, percent: u64) -> bool {
        self.random.below(10_000) < percent * 100
    }

    /// Runs until everybody has it; returns how long that took.
    fn run(&mut self, percent: u64) -> Duration {
        let (mut pn, mut out) = (0, Vec::new());
        let mut said: Vec<(usize, ObjectNack)> = Vec::new();
        for ms in 0..120_000 {
            let now = Timestamp::from_millis(ms);
            for (n, nack) in std::mem::take(&mut said) {
                self.requests += usize::from(!nack.wants.is_empty());
                if !self.lost(percent) {
                    self.sender.nack(now, &member(n), &nack);
                }
                for other in (0..self.receivers.len()).filter(|other| *other != n) {
                    if !self.lost(percent) {
                        self.receivers[other].overheard(now, &nack);
                    }
                }
            }
            if let Some((carried, _)) = self.narrow {
                self.waiting = self.waiting.saturating_sub(carried);
            }
            while let Some(piece) = self.sender.next(now) {
                pn += 1;
                if let Some((_, most)) = self.narrow {
                    if self.waiting >= most {
                        self.dropped += 1;
                        continue;
                    }
                    self.waiting += 1;
                }
                let bytes = self.symbol(piece);
                let symbol = Symbol { tag: [0; 8], block: piece.block, index: piece.index, bytes: &bytes };
                for n in 0..self.receivers.len() {
                    if !self.lost(percent) {
                        self.receivers[n].heard(now, 1, pn);
                        self.receivers[n].symbol(now, Source::Group, &symbol, &mut out);
                        out.clear();
                    }
                }
            }
            for (n, receiver) in self.receivers.iter_mut().enumerate() {
                if receiver.is_complete() {
                    self.sender.done(now, member(n));
                    continue;
                }
                receiver.timeout(now, &mut out);
                said.extend(out.drain(..).filter_map(|output| match output {
                    Output::Nack(nack) => Some((n, nack)),
                    _ => None,
                }));
            }
            if self.sender.is_settled() {
                return Duration::from_millis(ms + DELAY);
            }
        }
        panic!("{} of {} have it", self.receivers.iter().filter(|r| r.is_complete()).count(), self.receivers.len());
    }
}

#[test]
fn two_hundred_who_lose_a_twentieth_cost_less_than_a_seventh_more() {
    let mut crowd = Crowd::new(200, 4);
    let took = crowd.run(5);
    let (sent, least) = (crowd.sender.sent(), crowd.layout.all_symbols());
    let overhead = sent.packets() as f64 / least as f64;
    println!("200 receivers at 5 % loss: {sent:?} of {least}, x{overhead:.3}, {} requests, {took:?}", crowd.requests);
    assert!(overhead <= 1.15, "{overhead}");
    assert!(crowd.requests <= 200 * 4, "{} requests for 4 blocks", crowd.requests);
}

#[test]
fn thirty_take_hardly_longer_than_one() {
    for percent in [0, 1, 5] {
        let [one, thirty] = [1, 30].map(|receivers| Crowd::new(receivers, 8).run(percent));
        println!("{percent} % lost: {one:?} for one, {thirty:?} for thirty");
        assert!(thirty.as_secs_f64() <= 1.15 * one.as_secs_f64(), "{percent} %: {one:?} {thirty:?}");
    }
}

#[test]
fn eight_who_lose_little_cost_little() {
    for (percent, most) in [(0, 1.005), (1, 1.03), (5, 1.10)] {
        let mut crowd = Crowd::new(8, 8);
        let took = crowd.run(percent);
        let (sent, least) = (crowd.sender.sent(), crowd.layout.all_symbols());
        let overhead = sent.packets() as f64 / least as f64;
        println!(
            "8 receivers at {percent} % loss: {sent:?} of {least}, x{overhead:.3}, {} requests, {took:?}",
            crowd.requests
        );
        assert!(overhead <= most, "{overhead} at {percent} %");
    }
}

#[test]
fn behind_a_narrow_link_the_rate_comes_down_to_it() {
    let mut crowd = Crowd::new(2, 16);
    // Some 11 Mb/s, and a queue of 20 ms, as beside voices and pictures.
    crowd.narrow = Some((1, 20));
    crowd.sender.set_media(true);
    let took = crowd.run(0);
    let sent = crowd.sender.sent().packets() as f64;
    let lost = crowd.dropped as f64 / sent;
    let mbit = sent * 8.0 * 1_350.0 / took.as_secs_f64() / 1e6;
    println!("behind 11 Mb/s: {mbit:.1} Mb/s sent, {:.1} % lost, {took:?}", 100.0 * lost);
    assert!(mbit < 13.0, "{mbit} Mb/s");
    assert!(lost < 0.10, "{lost} of all is lost");
}
