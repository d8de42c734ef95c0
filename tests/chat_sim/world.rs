//! The simulated LAN, roster and people.
//!
//! Every packet goes through a simulated LAN: each receiver loses it independently, and gets it after 0.3, 1 or 2.5 ms,
//! so that packets overtake each other. The roster is an oracle that tells of departures after a delay; beacons are
//! sent at the roster's pace and carry the chat's report.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use prost::Message as _;
use roundtable::protocol::chat::{Chat, Config, Content, Event, LineId, Output, Place, Signer, Timeline, Verifier};
use roundtable::protocol::keys::{order_hash, participant_id};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::chat::{Original, Packet};
use roundtable::wire::message::{Message, ParticipantId};

/// Sealing, UDP and IPv4 around every packet.
const AROUND_BYTES: usize = 24 + 16 + 8 + 20;
const BANDS_US: [u64; 3] = [300, 1_000, 2_500];
/// Others notice that somebody fell silent after this time.
const NOTICED: Duration = Duration::from_secs(7);

/// Stands in for Ed25519: everybody can make and check these, and nobody in the simulation forges.
#[derive(Clone)]
struct Keys {
    public: [u8; 32],
    counter: u64,
}

fn sum(original: &Original) -> Vec<u8> {
    let hash = order_hash(&[&original.signer, &original.payload, &original.sid.to_be_bytes()]);
    hash.to_be_bytes().repeat(8)
}

impl Signer for Keys {
    fn sign(&mut self, payload: Vec<u8>) -> Original {
        self.counter += 1;
        let signer = self.public.to_vec();
        let mut original =
            Original { signer, counter: self.counter, payload, signature: Vec::new(), epoch: 0, sid: self.counter };
        original.signature = sum(&original);
        original
    }
}

struct Checker;

impl Verifier for Checker {
    fn authentic(&self, original: &Original) -> bool {
        original.signature == sum(original)
    }
}

/// Chance of the simulation itself.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub struct Node {
    pub chat: Chat,
    id: ParticipantId,
    keys: Keys,
    alive: bool,
    side: u8,
    pub shown: Timeline,
    /// How often each line was shown.
    pub times: BTreeMap<LineId, u32>,
    armed: Option<Timestamp>,
    pub delivered: BTreeMap<LineId, usize>,
    pub unheard: Vec<LineId>,
    pub missed: u32,
    clock_ahead: i64,
    joined: Timestamp,
    /// The last number shown of each author, and how often a later one was shown before.
    last: BTreeMap<(ParticipantId, u32), u32>,
    pub out_of_order: u32,
    pub history: Option<usize>,
}

pub enum Happening {
    Packet { from: usize, packet: Rc<Packet>, salt: u64, band: u64 },
    Unicast { from: usize, to: usize, packet: Rc<Packet> },
    Wake(usize),
    Beacon(usize),
    Say(usize, Content),
    Join,
    Kill(usize),
    Notice { gone: usize },
    Split(u8),
    Heal,
    NoticeSplit,
}

pub struct World {
    now: Timestamp,
    dice: Dice,
    loss_percent: u64,
    pub nodes: Vec<Node>,
    index: BTreeMap<ParticipantId, usize>,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    counter: u64,
    pub said: BTreeMap<LineId, (Timestamp, usize)>,
    pub latency_us: Vec<u64>,
    pub bytes: BTreeMap<&'static str, (u64, u64)>,
    pub handled: u64,
}

impl World {
    pub fn new(seed: u64, people: usize, loss_percent: u64) -> Self {
        let mut world = Self {
            now: Timestamp::from_millis(1_000),
            dice: Dice(seed),
            loss_percent,
            nodes: Vec::new(),
            index: BTreeMap::new(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            counter: 0,
            said: BTreeMap::new(),
            latency_us: Vec::new(),
            bytes: BTreeMap::new(),
            handled: 0,
        };
        (0..people).for_each(|_| world.join());
        world
    }

    fn at(&mut self, when: Timestamp, happening: Happening) {
        self.counter += 1;
        self.queue.push(Reverse((when, self.counter)));
        self.happenings.insert(self.counter, happening);
    }

    pub fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    pub fn join(&mut self) {
        let index = self.nodes.len();
        let mut public = [0; 32];
        public[..8].copy_from_slice(&(index as u64 + 1).to_be_bytes());
        let id = participant_id(&public);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.dice.next().to_be_bytes());
        let mut chat = Chat::new(self.now, Config { me: id, name: format!("person {index}"), seed });
        if self.said.is_empty() {
            // Those of the beginning come into a conference in which nothing was said.
            chat.catch_up(self.now, &mut Vec::new());
        }
        for node in self.nodes.iter_mut().filter(|node| node.alive) {
            node.chat.joined(self.now, id);
            chat.joined(self.now, node.id);
        }
        // Clocks of the machines differ by up to 20 s.
        let clock_ahead = self.dice.below(40_000_000_000) as i64 - 20_000_000_000;
        self.nodes.push(Node {
            chat,
            id,
            keys: Keys { public, counter: 0 },
            alive: true,
            side: 0,
            shown: Timeline::new(100_000),
            times: BTreeMap::new(),
            armed: None,
            delivered: BTreeMap::new(),
            unheard: Vec::new(),
            missed: 0,
            clock_ahead,
            joined: self.now,
            last: BTreeMap::new(),
            out_of_order: 0,
            history: None,
        });
        self.index.insert(id, index);
        let mut out = Vec::new();
        if !self.said.is_empty() {
            self.nodes[index].chat.catch_up(self.now, &mut out);
        }
        self.carry_out(index, out);
        let phase = self.dice.below(self.beacon_period().as_nanos() as u64);
        self.after(Duration::from_nanos(phase), Happening::Beacon(index));
    }

    fn beacon_period(&self) -> Duration {
        let alive = self.nodes.iter().filter(|node| node.alive).count() as u32;
        Duration::from_secs(2).max(Duration::from_millis(14) * alive)
    }

    fn carry_out(&mut self, who: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Multicast(packet) => {
                    self.count(&packet);
                    self.multicast(who, packet);
                }
                Output::Unicast(to, packet) => {
                    let to = self.index[&to];
                    let packet = Rc::new(packet);
                    self.after(Duration::from_millis(1), Happening::Unicast { from: who, to, packet });
                }
                Output::Event(event) => self.note(who, event),
            }
        }
        let next = self.nodes[who].chat.next_timeout();
        if let Some(next) = next.filter(|&next| self.nodes[who].armed.is_none_or(|armed| next < armed)) {
            self.nodes[who].armed = Some(next);
            self.at(next.max(self.now), Happening::Wake(who));
        }
    }

    /// A third of the receivers each gets it after each of the delays.
    fn multicast(&mut self, from: usize, packet: Packet) {
        let packet = Rc::new(packet);
        let salt = self.dice.next();
        for (band, us) in (0..).zip(BANDS_US) {
            let packet = packet.clone();
            self.after(Duration::from_micros(us), Happening::Packet { from, packet, salt, band });
        }
    }

    fn count(&mut self, packet: &Packet) {
        let kind = match packet {
            Packet::Chat(_) => "chat",
            Packet::Repair(_) => "repair",
            Packet::Heartbeat(_) => "heartbeat",
            Packet::Nack(_) => "nack",
            Packet::HistoryRequest(_) | Packet::HistoryAnswer(_) => "history",
        };
        let length = Message::from(packet.clone()).encoded_len() + AROUND_BYTES;
        let entry = self.bytes.entry(kind).or_default();
        *entry = (entry.0 + 1, entry.1 + length as u64);
    }

    fn note(&mut self, who: usize, event: Event) {
        let now = self.now;
        let node = &mut self.nodes[who];
        match event {
            Event::Line(line) => {
                *node.times.entry(line.key.id).or_default() += 1;
                assert!(matches!(node.shown.insert(line.key), Place::At(_)), "{:?} shown twice", line.key);
                let last = node.last.entry((line.key.id.member, line.key.id.run)).or_default();
                node.out_of_order += u32::from(*last > line.key.id.number);
                *last = line.key.id.number.max(*last);
                let is_last = node.shown.keys().last() == Some(&line.key);
                assert_eq!(line.late, !is_last, "late lines, and only they, go before others");
                let said = self.said.get(&line.key.id).filter(|&&(said, author)| author != who && said >= node.joined);
                if let Some(&(said, author)) = said {
                    assert!(self.nodes[author].id == line.key.id.member);
                    self.latency_us.push(now.since(said).as_micros() as u64);
                }
            }
            Event::Delivered(id, delivery) => {
                node.delivered.insert(id, delivery.have);
            }
            Event::Unheard(id) => node.unheard.push(id),
            Event::Missed(_, count) => node.missed += count,
            Event::History(_, count) => node.history = Some(count),
            Event::HistoryUnavailable => panic!("somebody is always there to ask"),
            Event::Keep(_) => {}
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        from != to && self.nodes[to].alive && self.nodes[from].side == self.nodes[to].side
    }

    fn hand(&mut self, from: usize, to: usize, packet: &Packet) {
        let mut out = Vec::new();
        let from = self.nodes[from].id;
        self.handled += 1;
        self.nodes[to].chat.handle(self.now, from, packet, &Checker, &mut out);
        self.carry_out(to, out);
    }

    pub fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Packet { from, packet, salt, band } => {
                for to in 0..self.nodes.len() {
                    let mine = Dice(salt ^ to as u64).below(BANDS_US.len() as u64) == band;
                    if mine && self.reaches(from, to) && !self.dice.chance(self.loss_percent) {
                        self.hand(from, to, &packet);
                    }
                }
            }
            Happening::Unicast { from, to, packet } => {
                if self.reaches(from, to) {
                    self.hand(from, to, &packet);
                }
            }
            Happening::Wake(who) => {
                if self.nodes[who].armed.is_some_and(|armed| armed <= self.now) {
                    self.nodes[who].armed = None;
                    if self.nodes[who].alive {
                        let mut out = Vec::new();
                        self.nodes[who].chat.timeout(self.now, &mut out);
                        let again = self.nodes[who].chat.next_timeout();
                        assert!(again.is_none_or(|next| next > self.now), "it asks to be called again at once");
                        self.carry_out(who, out);
                    }
                }
            }
            Happening::Beacon(who) if self.nodes[who].alive => {
                let packet = Packet::Heartbeat(self.nodes[who].chat.beacon());
                let length = Message::from(packet.clone()).encoded_len() as u64;
                let entry = self.bytes.entry("in beacons").or_default();
                *entry = (entry.0 + 1, entry.1 + length);
                self.multicast(who, packet);
                let period = self.beacon_period();
                self.after(period, Happening::Beacon(who));
            }
            Happening::Say(who, content) if self.nodes[who].alive => {
                let mut out = Vec::new();
                let node = &mut self.nodes[who];
                let wall = NtpTime::from_unix(Duration::from_nanos(1_800_000_000_000_000_000 + self.now.0));
                let wall = wall.offset(node.clock_ahead);
                let id = node.chat.say(self.now, wall, &content, &mut node.keys, &mut out).expect("may be said");
                self.said.insert(id, (self.now, who));
                self.carry_out(who, out);
            }
            Happening::Beacon(_) | Happening::Say(..) => {}
            Happening::Join => self.join(),
            Happening::Kill(who) => {
                self.nodes[who].alive = false;
                self.after(NOTICED, Happening::Notice { gone: who });
            }
            Happening::Notice { gone } => {
                let id = self.nodes[gone].id;
                let now = self.now;
                self.nodes.iter_mut().for_each(|node| node.chat.left(now, id));
            }
            Happening::Split(sides) => {
                for (index, node) in self.nodes.iter_mut().enumerate() {
                    node.side = (index % usize::from(sides)) as u8;
                }
                self.after(NOTICED, Happening::NoticeSplit);
            }
            Happening::NoticeSplit => self.see_each_other(),
            Happening::Heal => {
                self.nodes.iter_mut().for_each(|node| node.side = 0);
                self.see_each_other();
            }
        }
    }

    /// The roster of everybody becomes what it can hear.
    fn see_each_other(&mut self) {
        let now = self.now;
        let all: Vec<_> = self.nodes.iter().map(|node| (node.id, node.alive, node.side)).collect();
        for node in &mut self.nodes {
            for &(id, alive, side) in &all {
                if alive && side == node.side { node.chat.joined(now, id) } else { node.chat.left(now, id) }
            }
        }
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(&Reverse((when, number))) = self.queue.peek() {
            if when > end {
                break;
            }
            self.queue.pop();
            self.now = when;
            let happening = self.happenings.remove(&number).expect("each happens once");
            self.happen(happening);
            assert!(self.handled < 80_000_000, "far more packets than anything here needs");
        }
        self.now = end;
    }

    /// Everybody alive shows all of `lines` lines once each, in one order.
    pub fn check_complete(&self, lines: usize) {
        assert_eq!(self.said.len(), lines);
        let alive: Vec<_> = self.nodes.iter().filter(|node| node.alive).collect();
        for (index, node) in alive.iter().enumerate() {
            let missing: Vec<_> = self.said.keys().filter(|id| !node.times.contains_key(id)).collect();
            assert!(missing.is_empty(), "{index} has not {missing:?}\n{:?}", node.chat.counters());
            assert!(node.times.values().all(|&times| times == 1));
            assert_eq!(node.shown.keys(), alive[0].shown.keys(), "the same order everywhere");
            assert_eq!(node.missed, 0);
            // While its history is on its way, a newcomer sees what is said now.
            assert!(node.out_of_order == 0 || node.history.is_some());
        }
    }

    pub fn percentile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.latency_us.clone();
        sorted.sort_unstable();
        sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)] as f64 / 1_000.0
    }

    /// How many members each author knows to have its line.
    pub fn report_delivery(&self) {
        let have = |(id, &(_, author)): (&LineId, &(Timestamp, usize))| {
            self.nodes[author].delivered.get(id).copied().unwrap_or(0)
        };
        let mut have: Vec<usize> = self.said.iter().map(have).collect();
        have.sort_unstable();
        let others = self.nodes.len() - 1;
        println!("    of {others} others, authors know of {} to have their line (median)", have[have.len() / 2]);
    }

    pub fn report(&self, title: &str, seconds: f64) {
        let at = |share: f64| self.percentile_ms(share);
        println!(
            "{title}: {} lines to {} people; delivery p50 {:.1} p90 {:.1} p99 {:.1} p99.9 {:.1} max {:.1} ms; {} packets handled",
            self.said.len(),
            self.nodes.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            self.handled
        );
        for (kind, (count, bytes)) in &self.bytes {
            println!("    {kind:10} {count:7} packets {:8.1} kb/s", *bytes as f64 * 8.0 / 1_000.0 / seconds);
        }
        let sums = self.nodes.iter().fold((0, 0, 0, 0), |sums, node| {
            let c = node.chat.counters();
            (sums.0 + c.nacks_sent, sums.1 + c.nacks_spared, sums.2 + c.repairs_sent, sums.3 + c.repairs_spared)
        });
        println!("    nacks sent {} spared {}, repairs sent {} spared {}", sums.0, sums.1, sums.2, sums.3);
    }
}

pub fn text(number: usize) -> Content {
    Content::text(format!("line {number}, as long as people write them when they have something to say"))
}

impl World {
    /// So many lines by random ones of the first `talkers`, at random times within `span` from now.
    pub fn talk(&mut self, lines: usize, talkers: usize, span: Duration) {
        for number in 0..lines {
            let wait = Duration::from_nanos(self.dice.below(span.as_nanos() as u64));
            let who = self.dice.below(talkers as u64) as usize;
            self.after(wait, Happening::Say(who, text(number)));
        }
    }
}
