//! Members on a simulated network, driven from one moment at which something is due to the next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use roundtable::device::net::memory::{MemoryLan, Profile};
use roundtable::protocol::chat::{self, OrderKey};
use roundtable::protocol::keys::{Checked, EpochKeys, Identity, Secret};
use roundtable::protocol::roster::{Departure, Person, Role, StreamInfo};
use roundtable::protocol::seal::Opener;
use roundtable::protocol::session::{Arrival, Channel, Event, Moment, Outputs, Session, Setup, To};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::address::{DISCOVERY_PORT, Family, Plan, Scope};
use roundtable::wire::message::ConferenceId;
use roundtable::wire::opened::{self, Opened};

/// Nothing a test does takes this many steps: a livelock fails instead of hanging.
const STEPS_MAX: u64 = 5_000_000;
const CONFERENCE: ConferenceId = ConferenceId([42; 16]);
const PORT: u16 = 4_000;

/// One member's machine.
pub struct Node {
    pub session: Session,
    pub events: Vec<(Timestamp, Event)>,
    /// Others it lost.
    pub lost: usize,
    /// What it reads, others' lines and own.
    pub lines: Vec<(Timestamp, OrderKey)>,
    /// Bytes it sent to the control group, with IP and UDP headers: of the roster, and of the chat.
    pub control_bytes: u64,
    pub chat_bytes: u64,
    pub publishes: bool,
    pub host: IpAddr,
    alive: bool,
    due: Option<Timestamp>,
    /// What its wall clock is ahead.
    pub wall_nanos: i64,
}

/// Reads what is sent.
struct Witness {
    opener: Opener,
    body: Vec<u8>,
}

impl Witness {
    /// Lines, repeats, requests for them and acknowledgements that no beacon brings.
    fn is_chat(&mut self, datagram: &[u8]) -> bool {
        let Self { opener, body } = self;
        let opened = opener.open(Timestamp(0), IpAddr::from(Ipv4Addr::LOCALHOST), datagram, body);
        assert!(opened.is_ok(), "everything is sealed, and numbered anew");
        let mut is_chat = false;
        opened::read(body, |message| is_chat |= matches!(message, Opened::Chat(_))).expect("whole messages");
        is_chat
    }
}

/// The network and everybody on it.
pub struct World {
    pub lan: MemoryLan,
    pub nodes: Vec<Node>,
    pub now: Timestamp,
    /// Bytes of UDP payload and IP and UDP headers sent, by destination port.
    pub bytes_sent: BTreeMap<u16, u64>,
    /// Whether each member's events are kept; of a large crowd that would be too many.
    pub keep_events: bool,
    /// What is authentic for one member is for all: Ed25519 would be most of the cost of a crowd.
    checked: Checked,
    witness: Witness,
    /// Who is to be woken when.
    dues: BTreeSet<(Timestamp, usize)>,
    steps_max: u64,
    profile: Profile,
    plan: Plan,
    seed: u64,
    steps: u64,
}

impl World {
    pub fn new(seed: u64, profile: Profile) -> Self {
        println!("seed {seed}");
        let plan = Plan::new(Scope::Link, [239, 255, 4, 0].into(), 20_480).expect("a good block");
        Self {
            lan: MemoryLan::new(seed),
            nodes: Vec::new(),
            now: Timestamp::from_millis(10_000),
            bytes_sent: BTreeMap::new(),
            keep_events: true,
            checked: Checked::remembering(50_000),
            witness: Witness {
                opener: Opener::new(EpochKeys::first(CONFERENCE, &Secret::open(&CONFERENCE))),
                body: Vec::new(),
            },
            dues: BTreeSet::new(),
            steps_max: STEPS_MAX,
            profile,
            plan,
            seed,
            steps: 0,
        }
    }

    /// A new member with `name`; `expected` as announced. Returns its number.
    pub fn enter(&mut self, name: &str, expected: Option<u32>, publishes: bool) -> usize {
        let n = self.nodes.len();
        let host = IpAddr::from((0x0a00_0001 + n as u32).to_be_bytes());
        self.lan.set_host(host, self.profile.clone());
        for group in [self.plan.control(), Scope::Link.discovery(Family::V4)] {
            self.lan.join(host, group);
        }
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&n.to_be_bytes());
        let wall_nanos = (n as i64 * 37 % 11 - 5) * 30_000_000;
        let setup = Setup {
            conference: CONFERENCE,
            title: "Standup".into(),
            open: true,
            secret: Secret::open(&CONFERENCE),
            plan: self.plan,
            identity: Identity::from_seed(&seed),
            seed,
            name: name.into(),
            role: Role::Participant,
            address: SocketAddr::from((host, PORT)),
            expected,
        };
        let at = moment(self.now, wall_nanos);
        let session = Session::new(at, setup);
        let (events, lines, due) = (Vec::new(), Vec::new(), Some(self.now));
        self.nodes.push(Node {
            session,
            events,
            lost: 0,
            lines,
            control_bytes: 0,
            chat_bytes: 0,
            publishes,
            host,
            alive: true,
            due,
            wall_nanos,
        });
        self.dues.insert((self.now, n));
        if publishes {
            let stream = StreamInfo::voice(n as u32);
            self.act(n, |session, at, out| session.set_streams(at, &[stream], out));
        }
        n
    }

    /// Lets member `n` do something.
    pub fn act(&mut self, n: usize, act: impl FnOnce(&mut Session, Moment, &mut Outputs)) {
        let mut out = Outputs::default();
        let node = &mut self.nodes[n];
        act(&mut node.session, moment(self.now, node.wall_nanos), &mut out);
        self.take(n, &out);
    }

    /// Power off: no goodbye.
    pub fn kill(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.alive = false;
        if let Some(due) = node.due.take() {
            self.dues.remove(&(due, n));
        }
        self.lan.remove_host(node.host);
    }

    /// Runs for `time`.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until `holds`, at most for `limit`; gives the time it took.
    pub fn until(&mut self, limit: Duration, holds: impl Fn(&World) -> bool) -> Option<Duration> {
        let start = self.now;
        self.run_until(start + limit, holds).then(|| self.now.since(start))
    }

    fn run_until(&mut self, end: Timestamp, holds: impl Fn(&World) -> bool) -> bool {
        loop {
            if holds(self) {
                return true;
            }
            let due = self.dues.first().map(|&(due, _)| due);
            let next = due.into_iter().chain(self.lan.next_timeout()).min();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => {
                    self.now = end;
                    return false;
                }
            }
            self.step();
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < self.steps_max, "livelock");
        while let Some(delivery) = self.lan.poll(self.now) {
            let IpAddr::V4(host) = delivery.host else {
                continue;
            };
            let n = (u32::from(host) - 0x0a00_0001) as usize;
            let channel = match delivery.destination {
                d if d == self.plan.control() => Channel::Control,
                d if d.port() == DISCOVERY_PORT => Channel::Discovery,
                _ => Channel::Unicast,
            };
            let at = moment(self.now, self.nodes[n].wall_nanos);
            let from = Arrival { channel, source: delivery.source, wall: at.wall };
            self.nodes[n].session.swap_checked(&mut self.checked);
            self.act(n, |session, at, out| session.handle(at, from, &delivery.bytes, out));
            self.nodes[n].session.swap_checked(&mut self.checked);
        }
        let due: Vec<usize> = self.dues.range(..=(self.now, usize::MAX)).map(|&(_, n)| n).collect();
        for n in due {
            self.act(n, |session, at, out| session.timeout(at, out));
        }
    }

    fn take(&mut self, n: usize, out: &Outputs) {
        let node = &mut self.nodes[n];
        if !node.alive {
            return;
        }
        node.lines.extend(out.events.iter().filter_map(|event| match event {
            Event::Chat(chat::Event::Line(line)) => Some((self.now, line.key)),
            _ => None,
        }));
        node.lost += out.events.iter().filter(|e| matches!(e, Event::PersonLeft(_, Departure::Lost))).count();
        if self.keep_events {
            node.events.extend(out.events.iter().map(|e| (self.now, e.clone())));
        }
        let next = node.session.next_timeout();
        if node.due != next {
            if let Some(due) = node.due {
                self.dues.remove(&(due, n));
            }
            self.dues.extend(next.map(|next| (next, n)));
            node.due = next;
        }
        let source = SocketAddr::from((node.host, PORT));
        for (to, bytes) in out.sends() {
            let broadcast = SocketAddr::from((Ipv4Addr::BROADCAST, DISCOVERY_PORT));
            let destinations = match to {
                To::Control => vec![self.plan.control()],
                To::Discovery => vec![Scope::Link.discovery(Family::V4), broadcast],
                To::Unicast(address) => vec![address],
            };
            for destination in destinations {
                if to == To::Control {
                    let sum = if self.witness.is_chat(bytes) { &mut node.chat_bytes } else { &mut node.control_bytes };
                    *sum += bytes.len() as u64 + 28;
                }
                *self.bytes_sent.entry(destination.port()).or_default() += bytes.len() as u64 + 28;
                self.lan.send(self.now, source, destination, bytes);
            }
        }
    }

    /// Members who are there and have not left.
    pub fn alive(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, n)| n.alive && !n.session.is_finished())
    }

    /// Whether each of `members` sees exactly the others of them.
    pub fn agrees(&self, members: &[usize]) -> bool {
        let sids: BTreeSet<u64> = members.iter().map(|&n| self.nodes[n].session.me().sid).collect();
        members.iter().all(|&n| {
            let session = &self.nodes[n].session;
            let seen: BTreeSet<u64> = session.people().map(|p| p.sid).chain([session.me().sid]).collect();
            seen == sids
        })
    }

    /// Whether all who are there see each other and nobody else.
    pub fn all_agree(&self) -> bool {
        self.agrees(&self.alive().map(|(n, _)| n).collect::<Vec<_>>())
    }

    /// Whether every screen shows the same names, slots and states, and no slot twice.
    pub fn all_see_the_same(&self) -> bool {
        let card = |p: &Person| (p.sid, (p.name.clone(), p.slot, p.microphone));
        let of = |s: &Session| s.people().map(card).chain([card(s.me())]).collect::<BTreeMap<_, _>>();
        let mut views = self.alive().map(|(_, n)| of(&n.session));
        let Some(first) = views.next() else {
            return true;
        };
        let slots: Vec<_> = first.values().filter_map(|c| c.1).collect();
        let names: BTreeSet<_> = first.values().map(|c| &c.0).collect();
        let distinct = slots.iter().collect::<BTreeSet<_>>().len() == slots.len() && names.len() == first.len();
        distinct && views.all(|view| view == first)
    }

    /// Entries in everybody's rosters that are not true: somebody who is not there, or not somebody who is.
    pub fn errors(&self) -> usize {
        let sids: HashSet<u64> = self.alive().map(|(_, n)| n.session.me().sid).collect();
        self.errors_within(|_| true, &sids)
    }

    /// The same among those for whom `within` holds, who are to see `sids`, themselves included, and nobody else.
    pub fn errors_within(&self, within: impl Fn(usize) -> bool, sids: &HashSet<u64>) -> usize {
        let of = |(_, node): (usize, &Node)| {
            let (seen, true_ones) = node.session.people().fold((1, 1), |(seen, true_ones), person| {
                (seen + 1, true_ones + usize::from(sids.contains(&person.sid)))
            });
            seen - true_ones + sids.len() - true_ones
        };
        self.alive().filter(|&(n, _)| within(n)).map(of).sum()
    }

    /// Allows for a crowd: more steps, and no events.
    pub fn crowd(mut self) -> Self {
        (self.keep_events, self.steps_max) = (false, u64::MAX);
        self
    }

    /// Number of times anybody was lost in anybody's eyes.
    pub fn losses(&self) -> usize {
        self.nodes.iter().map(|n| n.lost).sum()
    }
}

fn moment(now: Timestamp, wall_nanos: i64) -> Moment {
    let wall = NtpTime::from_unix(Duration::from_secs(1_735_689_600) + Duration::from_nanos(now.0));
    Moment { now, wall: wall.offset(wall_nanos) }
}
