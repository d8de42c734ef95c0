//! Repair of video frames over a network that loses packets: one sender, many receivers, virtual time, one seed.
//!
//! The rates are those of the design's table: the probability that a frame of 60 packets cannot be rebuilt after one and
//! after two rounds of requests, and what many receivers cost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use roundtable::device::net::memory::Random;
use roundtable::protocol::repair::{Keeper, Mended, Mender, Patience, Reports};
use roundtable::time::Timestamp;
use roundtable::wire::Layer;
use roundtable::wire::interest::{Place, Row, quarters};
use roundtable::wire::message::ParticipantId;
use roundtable::wire::repair::{PT_PARITY, Parity, RepairRequest};
use roundtable::wire::rtp;

const SSRC: u32 = 5;
const PACKETS: usize = 60;
const FRAME_NS: u64 = 33_333_333;
/// Time between the packets of a frame, and on the way at least and at most.
const GAP_NS: u64 = 15_000;
const WAY_NS: (u64, u64) = (100_000, 400_000);

/// How packets get lost.
#[derive(Clone, Copy)]
enum Loss {
    Random(f64),
    /// Mean share, in bursts of five on average (Gilbert).
    Bursts(f64),
}

impl Loss {
    /// The mean.
    fn share(self) -> f64 {
        let (Loss::Random(share) | Loss::Bursts(share)) = self;
        share
    }
}

/// One receiver's line.
struct Line {
    loss: Loss,
    bad: bool,
}

impl Line {
    fn loses(&mut self, random: &mut Random) -> bool {
        let chance = random.unit();
        match self.loss {
            Loss::Random(p) => chance < p,
            Loss::Bursts(p) => {
                self.bad = if self.bad { chance >= 0.2 } else { chance < 0.2 * p / (1.0 - p) };
                self.bad
            }
        }
    }
}

enum Item {
    Media(usize, Vec<u8>),
    Parity(usize, Vec<u8>),
    ToSender(RepairRequest),
    Heard(usize, RepairRequest),
}

struct Receiver {
    mender: Mender,
    line: Line,
    /// Distinct packets of the frame that is sent.
    had: Vec<bool>,
    whole: u64,
    /// Packets that came, and packets that were there in the end, since it reported.
    came: u64,
    there: u64,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    /// Share of frames that were not whole.
    failed: f64,
    /// Parity packets and requests a frame.
    parity: f64,
    requests: f64,
}

struct Net {
    random: Random,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    items: Vec<Option<Item>>,
    keeper: Keeper,
    receivers: Vec<Receiver>,
    parity: u64,
    /// Parity sent before it was asked for.
    ahead: u64,
    requests: u64,
    sequence: u16,
    frame: u32,
}

fn packet(sequence: u16, frame: u32, index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let marker = index + 1 == PACKETS;
    rtp::Header { marker, payload_type: rtp::PT_JPEG, sequence, timestamp: frame * 3_000, ssrc: SSRC }
        .write(&mut bytes);
    bytes.push(0);
    bytes.extend_from_slice(&(index as u32 * 10).to_be_bytes()[1..]);
    bytes.extend([index as u8, frame as u8, 3, 4, 5, 6]);
    bytes
}

fn parity_packet(timestamp: u32, shard: &Parity<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    rtp::Header { marker: false, payload_type: PT_PARITY, sequence: 0, timestamp, ssrc: 6 }.write(&mut bytes);
    shard.write(&mut bytes);
    bytes
}

impl Net {
    fn new(seed: u64, receivers: usize, loss: Loss, patience: Patience) -> Self {
        let receiver = |n: usize| {
            let mut mender = Mender::new(patience, true, seed ^ (n as u64) << 32);
            mender.set_group(receivers);
            Receiver { mender, line: Line { loss, bad: false }, had: vec![false; PACKETS], whole: 0, came: 0, there: 0 }
        };
        Self {
            random: Random(seed),
            queue: BinaryHeap::new(),
            items: Vec::new(),
            keeper: Keeper::new(SSRC),
            receivers: (0..receivers).map(receiver).collect(),
            parity: 0,
            ahead: 0,
            requests: 0,
            sequence: 65_000,
            frame: 0,
        }
    }

    fn post(&mut self, at: u64, item: Item) {
        self.items.push(Some(item));
        self.queue.push(Reverse((at, self.items.len() as u64 - 1)));
    }

    fn way(&mut self) -> u64 {
        WAY_NS.0 + self.random.next_u64() % (WAY_NS.1 - WAY_NS.0)
    }

    /// To every receiver, less what its line loses. Packets of one sender keep their order.
    fn multicast(&mut self, at: u64, make: impl Fn(usize) -> Item) {
        let way = WAY_NS.0;
        for n in 0..self.receivers.len() {
            if !self.receivers[n].line.loses(&mut self.random) {
                self.post(at + way, make(n));
            }
        }
    }

    fn send_frame(&mut self, start: u64) {
        self.frame += 1;
        self.receivers.iter_mut().for_each(|r| r.had.fill(false));
        for index in 0..PACKETS {
            let at = start + index as u64 * GAP_NS;
            let bytes = packet(self.sequence, self.frame, index);
            self.keeper.keep(Timestamp(at), &bytes);
            self.sequence = self.sequence.wrapping_add(1);
            self.multicast(at, |n| Item::Media(n, bytes.clone()));
        }
        let (end, mut parity) = (start + PACKETS as u64 * GAP_NS, Vec::new());
        self.keeper.ahead(Timestamp(end), &mut |timestamp, shard| parity.push(parity_packet(timestamp, shard)));
        self.ahead += parity.len() as u64;
        for bytes in parity {
            self.multicast(end, |n| Item::Parity(n, bytes.clone()));
        }
    }

    /// Everybody tells how the stream arrived since they told last; the sender does as is reported.
    fn report(&mut self, at: u64, reports: &mut Reports) {
        let place = Place::new(1, Layer::Full).expect("a slot");
        for (n, receiver) in self.receivers.iter_mut().enumerate() {
            let (came, there) = (std::mem::take(&mut receiver.came), std::mem::take(&mut receiver.there));
            let of = FRAMES_PER_REPORT * PACKETS as u64;
            let mut bytes = Vec::new();
            Row { place, lost: quarters(of - came, of), left: quarters(of - there, of) }.write(&mut bytes);
            for row in Row::read(&bytes).expect("as it was written") {
                reports.report(Timestamp(at), ParticipantId([n as u8; 16]), row.lost);
            }
        }
        self.keeper.set_loss(reports.loss(Timestamp(at)));
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let item = self.queue.peek().map(|Reverse((at, _))| *at);
            let timer =
                self.receivers.iter().enumerate().filter_map(|(n, r)| Some((r.mender.next_timeout()?.0, n))).min();
            match (item, timer) {
                (Some(at), timer) if at < end && timer.is_none_or(|(due, _)| at <= due) => {
                    let Some(Reverse((at, index))) = self.queue.pop() else { return };
                    if let Some(item) = self.items[index as usize].take() {
                        self.deliver(at, item);
                    }
                }
                (_, Some((due, n))) if due < end => self.settle(due, n),
                _ => break,
            }
        }
        if self.queue.is_empty() {
            self.items.clear();
        }
    }

    fn deliver(&mut self, at: u64, item: Item) {
        let now = Timestamp(at);
        match item {
            Item::Media(n, bytes) => {
                let parsed = rtp::Packet::parse(&bytes).expect("RTP");
                self.receivers[n].mender.packet(now, &parsed, &bytes);
                self.receivers[n].came += 1;
                self.had(n, &bytes);
                self.settle(at, n);
            }
            Item::Parity(n, bytes) => {
                let parsed = rtp::Packet::parse(&bytes).expect("RTP");
                let mut rebuilt = Vec::new();
                self.receivers[n].mender.parity(now, &parsed, &mut |bytes| rebuilt.push(bytes.to_vec()));
                rebuilt.iter().for_each(|bytes| self.had(n, bytes));
                self.settle(at, n);
            }
            Item::Heard(n, request) => self.receivers[n].mender.heard(now, &request),
            Item::ToSender(request) => {
                let mut parity = Vec::new();
                let _ = self.keeper.ask(now, &request, &mut |timestamp, shard| {
                    parity.push(parity_packet(timestamp, shard));
                });
                self.parity += parity.len() as u64;
                for bytes in parity {
                    self.multicast(at, |n| Item::Parity(n, bytes.clone()));
                }
            }
        }
    }

    /// A packet came, or was rebuilt.
    fn had(&mut self, n: usize, bytes: &[u8]) {
        let header = rtp::Packet::parse(bytes).expect("RTP").header;
        let receiver = &mut self.receivers[n];
        if header.timestamp != self.frame * 3_000 {
            return;
        }
        let index = usize::from(bytes[16]);
        assert_eq!(bytes, packet(header.sequence, self.frame, index), "rebuilt as it was sent");
        receiver.there += u64::from(!std::mem::replace(&mut receiver.had[index], true));
        if receiver.had.iter().all(|had| *had) {
            receiver.whole += 1;
            receiver.mender.finished(header.timestamp);
        }
    }

    fn settle(&mut self, at: u64, n: usize) {
        let mut wants = Vec::new();
        let mut rebuilt = Vec::new();
        self.receivers[n].mender.settle(Timestamp(at), &mut wants, &mut |bytes: &[u8]| rebuilt.push(bytes.to_vec()));
        rebuilt.iter().for_each(|bytes| self.had(n, bytes));
        for want in wants {
            let Mended::Ask(request) = want else { continue };
            self.requests += 1;
            let way = self.way();
            if !self.receivers[n].line.loses(&mut self.random) {
                self.post(at + way, Item::ToSender(request));
            }
            // Oneself does not hear it: own datagrams are told by their session.
            for other in (0..self.receivers.len()).filter(|other| *other != n) {
                if !self.receivers[other].line.loses(&mut self.random) {
                    self.post(at + WAY_NS.0, Item::Heard(other, request));
                }
            }
        }
    }
}

fn run(seed: u64, receivers: usize, loss: Loss, hold_ms: u64, frames: u64) -> Outcome {
    let patience = Patience { hold: Duration::from_millis(hold_ms), ..Patience::WIRED };
    let mut net = Net::new(seed, receivers, loss, patience);
    for n in 0..frames {
        net.send_frame(n * FRAME_NS);
        net.run_until((n + 1) * FRAME_NS);
    }
    let whole: u64 = net.receivers.iter().map(|r| r.whole).sum();
    let per_frame = |count: u64| count as f64 / frames as f64;
    let outcome = Outcome {
        failed: 1.0 - whole as f64 / (frames * receivers as u64) as f64,
        parity: per_frame(net.parity),
        requests: per_frame(net.requests),
    };
    println!("seed {seed}: {receivers} receivers, hold {hold_ms} ms: {outcome:.4?}");
    outcome
}

/// A hold in which one request and its answer fit, and one for two.
const ONE_ROUND_MS: u64 = 5;
const TWO_ROUNDS_MS: u64 = 11;

#[test]
fn rounds_of_requests_leave_as_few_frames_damaged_as_the_design_says() {
    let rows = [
        (Loss::Random(0.01), 6e-3, 7e-5),
        (Loss::Random(0.05), 0.14, 7e-3),
        (Loss::Random(0.10), 0.45, 0.058),
        (Loss::Bursts(0.01), 2e-3, 4e-5),
        (Loss::Bursts(0.05), 0.049, 4e-3),
        (Loss::Bursts(0.10), 0.17, 0.026),
    ];
    for (n, (loss, one, two)) in rows.into_iter().enumerate() {
        let outcomes = [ONE_ROUND_MS, TWO_ROUNDS_MS].map(|hold| run(0x5eed + n as u64, 1, loss, hold, 3_000).failed);
        for (failed, design) in outcomes.into_iter().zip([one, two]) {
            // Three standard deviations of 3,000 frames above twice what the idealised table has. A lost request costs its
            // round, and a burst may take request and answer: in the table no request is lost, and every receiver knows at
            // once what is missing.
            let most = 2.0 * design + 2.0 * loss.share() + 3.0 * (design / 3_000.0f64).sqrt() + 1e-3;
            assert!(failed <= most, "row {n}: {failed} of frames failed, {design} by design");
        }
        assert!(outcomes[1] < outcomes[0] || outcomes[0] == 0.0, "row {n}: a second round helps: {outcomes:?}");
    }
}

#[test]
fn the_hold_of_a_wired_receiver_keeps_99_of_100_frames_at_5_percent() {
    let hold = Patience::WIRED.hold.as_millis() as u64;
    // Bursts take requests and their answers together.
    for (loss, most) in [(Loss::Random(0.05), 0.01), (Loss::Bursts(0.05), 0.05)] {
        let outcome = run(7, 3, loss, hold, 1_000);
        assert!(outcome.failed <= most, "{outcome:?}");
        assert!(outcome.parity <= 15.0, "a quarter of the stream at most: {outcome:?}");
    }
}

#[test]
fn fifty_receivers_cost_a_few_packets_a_frame() {
    let hold = Patience::WIRED.hold.as_millis() as u64;
    let outcome = run(11, 50, Loss::Random(0.01), hold, 300);
    assert!(outcome.failed < 2e-3, "{outcome:?}");
    // 2.8 when everybody asks at once and the most is sent; without repair by number it would be 24.
    assert!(outcome.parity < 4.5, "{outcome:?}");
    assert!(outcome.requests < 6.0, "few ask: {outcome:?}");
}

/// Reports come each second, and so do frames, thirty times.
const FRAMES_PER_REPORT: u64 = 30;

/// Of each second: parity ahead of need a frame, requests a frame, share of frames that were not whole. `lossy` receivers
/// of `receivers` lose 3 % in the seconds given, and nobody anything else.
fn with_reports(receivers: usize, lossy: usize, during: std::ops::Range<u64>, seconds: u64) -> Vec<(f64, f64, f64)> {
    let mut net = Net::new(13, receivers, Loss::Random(0.0), Patience::WIRED);
    let (mut reports, mut told) = (Reports::default(), Vec::new());
    for second in 0..seconds {
        let loss = if during.contains(&second) { 0.03 } else { 0.0 };
        net.receivers[..lossy].iter_mut().for_each(|receiver| receiver.line.loss = Loss::Random(loss));
        let before = (net.ahead, net.requests, net.receivers.iter().map(|r| r.whole).sum::<u64>());
        for n in second * FRAMES_PER_REPORT..(second + 1) * FRAMES_PER_REPORT {
            net.send_frame(n * FRAME_NS);
            net.run_until((n + 1) * FRAME_NS);
        }
        net.report((second + 1) * FRAMES_PER_REPORT * FRAME_NS, &mut reports);
        let frames = FRAMES_PER_REPORT as f64;
        let whole = net.receivers.iter().map(|r| r.whole).sum::<u64>() - before.2;
        let failed = 1.0 - whole as f64 / (frames * receivers as f64);
        told.push(((net.ahead - before.0) as f64 / frames, (net.requests - before.1) as f64 / frames, failed));
    }
    println!("{lossy} of {receivers} lose 3 % in {during:?}: ahead, requests, failed {told:.3?}");
    told
}

#[test]
fn parity_goes_ahead_once_many_report_loss_and_ends_with_the_loss() {
    let told = with_reports(12, 12, 5..20, 30);
    let ahead: Vec<f64> = told.iter().map(|second| second.0).collect();
    assert_eq!(ahead[..6], [0.0; 6], "nobody lost anything yet, or told of it");
    // 60 packets x 3 % and three deviations: 6. It is loss before repair that is reported: repair does not end it.
    assert!(ahead[10..20].iter().all(|&ahead| (5.0..=7.0).contains(&ahead)), "{ahead:?}");
    assert!(ahead[25..].iter().all(|&ahead| ahead == 0.0), "it ends within five seconds: {ahead:?}");
    let requests =
        |seconds: std::ops::Range<usize>| told[seconds.clone()].iter().map(|s| s.1).sum::<f64>() / seconds.len() as f64;
    assert!(requests(10..20) < requests(5..6) / 4.0, "most frames are whole before anybody asks");
    assert!(told[10..20].iter().all(|second| second.2 < 0.01));
}

#[test]
fn eight_who_lose_are_not_many() {
    let told = with_reports(12, 8, 2..12, 14);
    assert!(told.iter().all(|second| second.0 == 0.0));
    assert!(told[3..12].iter().all(|second| second.1 > 0.5), "they ask");
}

#[test]
fn without_loss_nobody_asks() {
    let outcome = run(3, 4, Loss::Random(0.0), 20, 200);
    assert_eq!((outcome.failed, outcome.parity, outcome.requests), (0.0, 0.0, 0.0));
}
