//! Sends probes and makes of the answers what passes between this machine and each of the others.
//!
//! ```text
//! 0 .. 3 s     to the group and to everybody, ten a second each; to each peer known, forty a second, from when it is known
//! 4.2 s        a burst of large datagrams to each of three peers, one after the other: how fast they come through
//! + 1 s        what is late may still come
//! ```
//! A peer is whoever answers, or whom the caller names. An answer counts only when it bears the run's number.

use std::net::SocketAddr;
use std::time::Duration;

use super::Peer;
use crate::limits::PROBE_PEERS_MAX;
use crate::time::{NtpTime, Timestamp};
use crate::wire::message::ConferenceId;
use crate::wire::probe::{self, Answer, Datagram, Probe, Way};

/// Numbers of the probes to the group of which one answer goes to the group nobody joins.
pub(super) const ASIDE_AT: [u32; 3] = [6, 12, 18];

const GROUP_PROBES: u32 = 30;
const GROUP_GAP: Duration = Duration::from_millis(100);
/// Whoever answers none of so many was not there yet.
const MISSED_MIN: u32 = 5;
const UNICAST_PROBES: u32 = 100;
const UNICAST_GAP: Duration = Duration::from_millis(25);
/// Peers that are probed one by one, and those a burst is sent to.
const PROBED_MAX: usize = 16;
const BURSTS_MAX: usize = 3;
const BURST_AT: Duration = Duration::from_millis(4_200);
const BURST_GAP: Duration = Duration::from_millis(600);
const BURST_PROBES: u32 = 40;
/// Small ones behind them.
const FOLLOWERS: u32 = 4;
/// As large as a packet of video.
const BURST_BYTES: usize = crate::limits::RTP_PACKET_BYTES_MAX;
/// With what IP, UDP and Ethernet add.
const BURST_BYTES_ON_WIRE: f64 = BURST_BYTES as f64 + 42.0;
const GRACE: Duration = Duration::from_millis(1_000);

/// Where a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To the discovery group.
    Group,
    /// To everybody on the link.
    Broadcast,
    /// To an instance's own socket.
    Peer(SocketAddr),
}

/// Somebody who is to be asked, known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its own socket; port 0 when only the machine is known.
    pub address: SocketAddr,
    /// Its name.
    pub name: Option<String>,
    /// It says that it sends, and nothing comes.
    pub mute: bool,
}

/// The large datagrams sent to one peer.
#[derive(Clone, Copy, Debug)]
struct Burst {
    /// Number of the first.
    from: u32,
    /// When the peer got the first and the last that arrived, NTP time.
    times: (u64, u64),
    /// How many arrived.
    arrived: u32,
    /// How many of the small ones behind them did.
    followed: u32,
}

#[derive(Debug)]
struct Log {
    peer: Peer,
    named: bool,
    /// Bit n: the answer of number n + 1 came, by [`Way::index`] of the way it came.
    answers: [u128; 3],
    /// Number of the last probe answered, and how many of them the peer had then.
    told: [(u32, u32); 3],
    /// Least round trip so far and the clock's offset then, nanoseconds.
    best: Option<(i64, i64)>,
    /// Probes to the group that were sent before it was there.
    missed: u32,
    unicast_sent: u32,
    unicast_at: Option<Timestamp>,
    burst: Option<Burst>,
}

impl Log {
    fn new(address: SocketAddr, at: Timestamp) -> Self {
        Self {
            peer: Peer::new(address),
            named: false,
            answers: [0; 3],
            told: [(0, 0); 3],
            best: None,
            missed: 0,
            unicast_sent: 0,
            unicast_at: Some(at),
            burst: None,
        }
    }
}

/// One run of probes.
#[derive(Debug)]
pub struct Prober {
    run: u64,
    conference: Option<ConferenceId>,
    own: u64,
    began: Timestamp,
    group_sent: u32,
    broadcasts: bool,
    logs: Vec<Log>,
    bursts: usize,
    scratch: Vec<u8>,
}

impl Prober {
    /// A run whose number, `run`, is drawn at random. `own` is the name by which this program answers probes itself;
    /// `targets` are asked from the beginning. Only members of `conference` answer, where one is given.
    pub fn new(now: Timestamp, run: u64, own: u64, conference: Option<ConferenceId>, targets: &[Target]) -> Self {
        let log = |target: &Target| {
            let mut log = Log::new(target.address, now);
            (log.peer.name, log.peer.mute, log.named) = (target.name.clone(), target.mute, true);
            log.unicast_at = log.unicast_at.filter(|_| target.address.port() != 0);
            log
        };
        Self {
            run,
            conference,
            own,
            began: now,
            group_sent: 0,
            broadcasts: true,
            logs: targets.iter().take(PROBE_PEERS_MAX).map(log).collect(),
            bursts: 0,
            scratch: Vec::new(),
        }
    }

    /// Leaves broadcasts out: there are none on this network.
    #[must_use]
    pub fn without_broadcasts(mut self) -> Self {
        self.broadcasts = false;
        self
    }

    /// Sends what is due.
    pub fn timeout(&mut self, now: Timestamp, wall: NtpTime, mut send: impl FnMut(To, &[u8])) {
        while self.group_at().is_some_and(|at| at <= now) {
            self.group_sent += 1;
            let number = self.group_sent;
            self.write(number, Way::Multicast, wall, 0);
            send(To::Group, &self.scratch);
            if self.broadcasts {
                self.write(number, Way::Broadcast, wall, 0);
                send(To::Broadcast, &self.scratch);
            }
        }
        for place in 0..self.logs.len().min(PROBED_MAX) {
            while self.logs[place].unicast_at.is_some_and(|at| at <= now) {
                let log = &mut self.logs[place];
                log.unicast_sent += 1;
                let (number, to) = (log.unicast_sent, log.peer.address);
                log.unicast_at = log.unicast_at.map(|at| at + UNICAST_GAP).filter(|_| number < UNICAST_PROBES);
                self.write(number, Way::Unicast, wall, 0);
                send(To::Peer(to), &self.scratch);
            }
        }
        while let Some(place) = self.burst_at().filter(|(at, _)| *at <= now).map(|(_, place)| place) {
            self.bursts += 1;
            let log = &mut self.logs[place];
            log.unicast_at = None;
            let (first, to) = (log.unicast_sent + 1, log.peer.address);
            log.burst = Some(Burst { from: first, times: (u64::MAX, 0), arrived: 0, followed: 0 });
            log.unicast_sent += BURST_PROBES + FOLLOWERS;
            for number in first..first + BURST_PROBES + FOLLOWERS {
                let bytes = if number < first + BURST_PROBES { BURST_BYTES } else { 0 };
                self.write(number, Way::Unicast, wall, bytes);
                send(To::Peer(to), &self.scratch);
            }
        }
    }

    /// When [`timeout`](Self::timeout) has something to do; `None` once everything is sent.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let probes = self.logs.iter().take(PROBED_MAX).filter_map(|log| log.unicast_at);
        probes.chain(self.group_at()).chain(self.burst_at().map(|(at, _)| at)).min()
    }

    /// When nothing more can come.
    pub fn ends_at(&self) -> Timestamp {
        let bursts = self.burst_places().count().max(1) as u32;
        self.began + BURST_AT + BURST_GAP * (bursts - 1) + GRACE
    }

    /// Share of the time that is over: 0 to 1.
    pub fn progress(&self, now: Timestamp) -> f64 {
        let whole = self.ends_at().since(self.began).as_secs_f64();
        (now.since(self.began).as_secs_f64() / whole).min(1.0)
    }

    /// Takes what came from `source` at `arrived`; `way` is where it came to. False when it is no answer to this run.
    pub fn handle(&mut self, now: Timestamp, arrived: NtpTime, way: Way, source: SocketAddr, datagram: &[u8]) -> bool {
        let Ok(Datagram::Answer(answer)) = probe::parse(datagram) else {
            return false;
        };
        if answer.run != self.run || answer.instance == self.own {
            return false;
        }
        let before = if answer.way == Way::Unicast { self.group_sent } else { answer.number.saturating_sub(1) };
        let Some(place) = self.place(now, source, before) else {
            return false;
        };
        let sent = [self.group_sent, self.group_sent, self.logs[place].unicast_sent];
        if answer.number > sent[answer.way.index()] || answer.heard.iter().zip(sent).any(|(heard, sent)| *heard > sent)
        {
            return false;
        }
        let log = &mut self.logs[place];
        log.peer.conference = answer.conference;
        if let Some(burst) = log.burst.as_mut().filter(|b| answer.way == Way::Unicast && answer.number >= b.from) {
            if answer.number >= burst.from + BURST_PROBES {
                burst.followed += 1;
                return true;
            }
            burst.times = (burst.times.0.min(answer.receive), burst.times.1.max(answer.receive));
            burst.arrived += 1;
            return true;
        }
        if way == answer.way {
            log.answers[answer.way.index()] |= 1 << (answer.number - 1).min(127);
        }
        for way in Way::ALL {
            let told = &mut log.told[way.index()];
            let number = if way == answer.way { answer.number } else { told.0 };
            let heard = answer.heard[way.index()];
            // Of another way's probes only the count is told: at least so many had been sent by then.
            *told = (told.0.max(number).max(heard), told.1.max(heard));
        }
        log.measure(&answer, arrived);
        true
    }

    /// What was measured, the peers that were named first.
    pub fn peers(&self) -> Vec<Peer> {
        self.logs.iter().map(|log| log.peer(self.group_sent, self.broadcasts)).collect()
    }

    /// Whose answer it is; `missed` probes to the group were sent before the first one that somebody new answers.
    fn place(&mut self, now: Timestamp, source: SocketAddr, missed: u32) -> Option<usize> {
        let known = self.logs.iter().position(|log| log.peer.address == source).or_else(|| self.adopt(now, source));
        if known.is_none() && self.logs.len() < PROBE_PEERS_MAX {
            let in_time = now < self.began + BURST_AT;
            let mut log = Log::new(source, now);
            log.unicast_at = log.unicast_at.filter(|_| in_time);
            // The first ones may as well be lost.
            log.missed = if missed < MISSED_MIN { 0 } else { missed };
            self.logs.push(log);
            return Some(self.logs.len() - 1);
        }
        known
    }

    /// Somebody who was named by address alone turns out to have this port.
    fn adopt(&mut self, now: Timestamp, source: SocketAddr) -> Option<usize> {
        let meant = |log: &Log| log.peer.address.port() == 0 && log.peer.address.ip() == source.ip();
        let place = self.logs.iter().position(meant)?;
        let log = &mut self.logs[place];
        log.peer.address = source;
        log.unicast_at = Some(now).filter(|_| now < self.began + BURST_AT);
        Some(place)
    }

    fn group_at(&self) -> Option<Timestamp> {
        (self.group_sent < GROUP_PROBES).then(|| self.began + GROUP_GAP * self.group_sent)
    }

    /// Those a burst is sent to.
    fn burst_places(&self) -> impl Iterator<Item = usize> {
        let answered = |log: &Log| log.best.is_some();
        self.logs.iter().enumerate().filter(move |(_, log)| answered(log)).map(|(i, _)| i).take(BURSTS_MAX)
    }

    fn burst_at(&self) -> Option<(Timestamp, usize)> {
        let place = self.burst_places().nth(self.bursts)?;
        (self.bursts < BURSTS_MAX).then(|| (self.began + BURST_AT + BURST_GAP * self.bursts as u32, place))
    }

    fn write(&mut self, number: u32, way: Way, wall: NtpTime, bytes: usize) {
        let aside = way == Way::Multicast && ASIDE_AT.contains(&number);
        let probe = Probe { run: self.run, number, way, origin: wall.0, aside, conference: self.conference };
        probe.write(bytes, &mut self.scratch);
    }
}

impl Log {
    /// Round trip and offset of the clock (RFC 5905 section 8), of the quickest answer.
    fn measure(&mut self, answer: &Answer, arrived: NtpTime) {
        let (origin, receive, transmit) = (NtpTime(answer.origin), NtpTime(answer.receive), NtpTime(answer.transmit));
        let round_trip = arrived.nanos_from(origin).saturating_sub(transmit.nanos_from(receive));
        let offset = receive.nanos_from(origin).saturating_add(transmit.nanos_from(arrived)) / 2;
        if round_trip >= 0 && self.best.is_none_or(|(best, _)| round_trip < best) {
            self.best = Some((round_trip, offset));
        }
    }

    fn peer(&self, group_sent: u32, broadcasts: bool) -> Peer {
        let mut peer = self.peer.clone();
        peer.silent = self.named && self.best.is_none();
        for way in Way::ALL {
            let (told, reached) = self.told[way.index()];
            let sent = match way {
                Way::Unicast => told.max(if told == 0 { self.unicast_sent.min(UNICAST_PROBES) } else { 0 }),
                Way::Broadcast if !broadcasts => 0,
                _ if self.best.is_some() => group_sent.saturating_sub(self.missed),
                _ => 0,
            };
            let asides = if way == Way::Multicast { ASIDE_AT.iter().filter(|n| **n <= told).count() as u32 } else { 0 };
            let answered = reached.saturating_sub(asides);
            let came = self.answers[way.index()].count_ones().min(answered);
            peer.paths[way.index()] = super::Path { sent, reached: reached.min(sent), answered, came };
        }
        if let Some((round_trip, offset)) = self.best {
            peer.delay_ms = Some(round_trip as f64 / 1e6);
            peer.clock_s = Some(offset as f64 / 1e9);
        }
        if let Some(Burst { times: (first, last), arrived, followed, .. }) = self.burst {
            // Who answers neither those nor the small ones is gone.
            let there = arrived + followed > 0;
            peer.large = there.then(|| f64::from(arrived) / f64::from(BURST_PROBES));
            let seconds = NtpTime(last).nanos_from(NtpTime(first)) as f64 / 1e9;
            let rate = f64::from(arrived.saturating_sub(1)) * BURST_BYTES_ON_WIRE * 8.0 / 1e6 / seconds.max(1e-6);
            peer.rate_mbit = (arrived > BURST_PROBES / 4).then_some(rate);
        }
        peer
    }
}
