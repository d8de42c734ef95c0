//! A local network in memory, for simulations: virtual time, and faults drawn from a seed.
//!
//! ```text
//! send ──> switch ──┬── profile of host A ──> queue ──> poll
//!                   └── profile of host B ──> queue ──> poll      partitions and pulled cables stop here
//! ```
//! A host is an address; it hears its own address, broadcasts, and the groups it joined, its own packets included
//! (those meet no fault, as on a real machine). The same seed and the same calls give the same deliveries. It owns no
//! clock and no thread.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::DATAGRAM_BYTES_MAX;
use crate::time::Timestamp;

/// What happens to packets on their way to a host. Probabilities are 0 to 1, drawn for each packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Time a packet takes at least.
    pub delay: Duration,
    /// Up to this much is added, without changing the order.
    pub jitter: Duration,
    /// Probability of being lost alone.
    pub loss: f64,
    /// Losses in a row.
    pub bursts: Option<Bursts>,
    /// Probability of arriving twice.
    pub duplicate: f64,
    /// Probability of being held back for `reorder_by` and so overtaken.
    pub reorder: f64,
    /// See `reorder`.
    pub reorder_by: Duration,
}

/// The Gilbert-Elliott model: a link is good, or bad and loses everything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Probability, at each packet, that a burst starts.
    pub start: f64,
    /// Probability, at each packet after a lost one, that the burst is over: 1 / mean length.
    pub end: f64,
}

/// A datagram that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Timestamp,
    /// The host that gets it.
    pub host: IpAddr,
    /// The sender's address and port.
    pub source: SocketAddr,
    /// What it was sent to: the host, a group, or the broadcast address.
    pub destination: SocketAddr,
    /// The UDP payload.
    pub bytes: Arc<[u8]>,
}

/// What happened so far. Copies are counted for each receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams refused because of their size.
    pub refused: u64,
    /// Copies lost by chance, in bursts or alone.
    pub lost: u64,
    /// Copies that met a partition, a pulled cable, or a host without multicast.
    pub cut: u64,
    /// Copies that arrive twice.
    pub duplicated: u64,
    /// Copies held back.
    pub reordered: u64,
    /// Copies handed out.
    pub delivered: u64,
}

#[derive(Debug, Default)]
struct Host {
    groups: BTreeSet<SocketAddr>,
    profile: Profile,
    in_burst: bool,
    /// Packets that keep the order do not arrive before this.
    not_before: Timestamp,
    unplugged: bool,
    no_multicast: bool,
    /// Hosts of one side hear each other only.
    side: u32,
}

/// The network.
#[derive(Debug)]
pub struct MemoryLan {
    hosts: BTreeMap<IpAddr, Host>,
    /// By time of arrival, then in the order of sending.
    queue: BTreeMap<(Timestamp, u64), Delivery>,
    serial: u64,
    random: Random,
    totals: Totals,
}

impl MemoryLan {
    /// A network without hosts, whose faults come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            hosts: BTreeMap::new(),
            queue: BTreeMap::new(),
            serial: 0,
            random: Random(seed),
            totals: Totals::default(),
        }
    }

    /// Adds a host, or gives the one that has this address another profile.
    pub fn set_host(&mut self, host: IpAddr, profile: Profile) {
        self.hosts.entry(host).or_default().profile = profile;
    }

    /// Removes a host and what is on its way to it.
    pub fn remove_host(&mut self, host: IpAddr) {
        self.hosts.remove(&host);
        self.queue.retain(|_, delivery| delivery.host != host);
    }

    /// `host` hears `group` (address and port) from now on.
    pub fn join(&mut self, host: IpAddr, group: SocketAddr) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.groups.insert(group);
        }
    }

    /// `host` does not hear `group` any more; what is on its way still arrives.
    pub fn leave(&mut self, host: IpAddr, group: SocketAddr) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.groups.remove(&group);
        }
    }

    /// Pulls or plugs the cable of `host`. Without it the host hears only itself.
    pub fn set_plugged(&mut self, host: IpAddr, plugged: bool) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.unplugged = !plugged;
        }
    }

    /// Stops or restores multicast from other hosts to `host`; unicast and broadcast go on.
    pub fn set_multicast(&mut self, host: IpAddr, works: bool) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.no_multicast = !works;
        }
    }

    /// Splits the network: those in `others` hear each other only, and so do the rest. Replaces a split before.
    pub fn split(&mut self, others: &[IpAddr]) {
        for (address, host) in &mut self.hosts {
            host.side = u32::from(others.contains(address));
        }
    }

    /// Ends a split.
    pub fn heal(&mut self) {
        self.split(&[]);
    }

    /// Sends a datagram to a host, a group, or everybody (255.255.255.255). Datagrams above [`DATAGRAM_BYTES_MAX`] are
    /// refused and counted; those to nobody vanish.
    pub fn send(&mut self, now: Timestamp, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            self.totals.refused += 1;
            return;
        }
        self.totals.sent += 1;
        let Some((side, unplugged)) = self.hosts.get(&source.ip()).map(|from| (from.side, from.unplugged)) else {
            return;
        };
        let bytes: Arc<[u8]> = bytes.into();
        let to = destination.ip();
        let broadcast = to == Ipv4Addr::BROADCAST;
        let everybody = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::from(u128::MAX).into());
        let (first, last) = if to.is_multicast() || broadcast { everybody } else { (to, to) };
        for (&address, host) in self.hosts.range_mut(first..=last) {
            if to.is_multicast() && !host.groups.contains(&destination) {
                continue;
            }
            let copies = if address == source.ip() {
                Copies::once(now)
            } else if unplugged || host.unplugged || side != host.side || (host.no_multicast && to.is_multicast()) {
                self.totals.cut += 1;
                continue;
            } else {
                host.arrivals(now, &mut self.random, &mut self.totals)
            };
            for at in copies.0.into_iter().flatten() {
                let delivery = Delivery { at, host: address, source, destination, bytes: Arc::clone(&bytes) };
                self.queue.insert((at, self.serial), delivery);
                self.serial += 1;
            }
        }
    }

    /// The next datagram that has arrived by `now`; call it until `None`.
    pub fn poll(&mut self, now: Timestamp) -> Option<Delivery> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        self.totals.delivered += 1;
        Some(entry.remove())
    }

    /// When the next datagram arrives.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|(&(at, _), _)| at)
    }

    /// What happened so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

/// Times of arrival of a packet: none when it is lost, two when it is duplicated.
struct Copies([Option<Timestamp>; 2]);

impl Copies {
    fn once(at: Timestamp) -> Self {
        Self([Some(at), None])
    }
}

impl Host {
    fn arrivals(&mut self, now: Timestamp, random: &mut Random, totals: &mut Totals) -> Copies {
        // Everything is drawn whatever becomes of the packet, so that a change of one probability moves no other draw.
        let [burst, loss, duplicate, reorder, jitter] = std::array::from_fn(|_| random.unit());
        if self.is_lost_in_burst(burst) || loss < self.profile.loss {
            totals.lost += 1;
            return Copies([None, None]);
        }
        let at = now + self.profile.delay + self.profile.jitter.mul_f64(jitter);
        let in_order = at.max(self.not_before);
        let at = if reorder < self.profile.reorder {
            totals.reordered += 1;
            in_order + self.profile.reorder_by
        } else {
            self.not_before = in_order;
            in_order
        };
        let twice = duplicate < self.profile.duplicate;
        totals.duplicated += u64::from(twice);
        Copies([Some(at), twice.then_some(at)])
    }

    fn is_lost_in_burst(&mut self, draw: f64) -> bool {
        let Some(bursts) = self.profile.bursts else {
            self.in_burst = false;
            return false;
        };
        self.in_burst = if self.in_burst { draw >= bursts.end } else { draw < bursts.start };
        self.in_burst
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seedable, the same everywhere. For simulations only.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly distributed in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 0, 1)), 20_480);
    const DELAY: Duration = Duration::from_millis(1);

    fn host(last: u8) -> IpAddr {
        [10, 77, 0, last].into()
    }

    fn last_of(host: IpAddr) -> u8 {
        host.to_string().rsplit('.').next().and_then(|last| last.parse().ok()).expect("IPv4")
    }

    fn socket(last: u8) -> SocketAddr {
        SocketAddr::from((host(last), 40_000))
    }

    /// Hosts 1, 2 and 3; 1 and 2 joined the group.
    fn lan(seed: u64, profile: &Profile) -> MemoryLan {
        let mut lan = MemoryLan::new(seed);
        for last in 1..=3 {
            lan.set_host(host(last), profile.clone());
        }
        lan.join(host(1), GROUP);
        lan.join(host(2), GROUP);
        lan
    }

    fn steady() -> Profile {
        Profile { delay: DELAY, ..Profile::default() }
    }

    fn drain(lan: &mut MemoryLan) -> Vec<Delivery> {
        std::iter::from_fn(|| lan.poll(Timestamp(u64::MAX))).collect()
    }

    /// Which hosts hear one datagram from host 1.
    fn hearers(lan: &mut MemoryLan, destination: SocketAddr) -> Vec<u8> {
        lan.send(Timestamp::default(), socket(1), destination, b"x");
        let mut hosts: Vec<u8> = drain(lan).iter().map(|d| last_of(d.host)).collect();
        hosts.sort_unstable();
        hosts
    }

    /// The numbers of 2,000 datagrams from host 1 to the group, a millisecond apart, in the order in which host 2 gets
    /// them.
    fn stream(lan: &mut MemoryLan) -> Vec<u32> {
        for i in 0..2_000_u32 {
            lan.send(Timestamp::from_millis(i.into()), socket(1), GROUP, &i.to_be_bytes());
        }
        let number = |d: &Delivery| u32::from_be_bytes(d.bytes[..].try_into().expect("four bytes"));
        drain(lan).iter().filter(|d| d.host == host(2)).map(number).collect()
    }

    #[test]
    fn members_hosts_and_everybody_hear_what_is_theirs() {
        let mut lan = lan(1, &steady());
        let broadcast = SocketAddr::from((Ipv4Addr::BROADCAST, 20_478));
        let other_port = SocketAddr::from((GROUP.ip(), GROUP.port() + 1));
        assert_eq!(hearers(&mut lan, GROUP), [1, 2], "the sender's own packets come back");
        assert!(hearers(&mut lan, other_port).is_empty());
        assert_eq!(hearers(&mut lan, socket(3)), [3]);
        assert!(hearers(&mut lan, socket(9)).is_empty());
        assert_eq!(hearers(&mut lan, broadcast), [1, 2, 3]);
        lan.leave(host(2), GROUP);
        lan.join(host(3), GROUP);
        assert_eq!(hearers(&mut lan, GROUP), [1, 3]);
        lan.remove_host(host(3));
        assert_eq!(hearers(&mut lan, GROUP), [1]);
    }

    #[test]
    fn a_datagram_arrives_at_its_time_and_not_before() {
        let mut lan = lan(1, &steady());
        assert_eq!(lan.next_timeout(), None);
        lan.send(Timestamp::default(), socket(1), socket(2), b"hello");
        let due = Timestamp::default() + DELAY;
        assert_eq!(lan.next_timeout(), Some(due));
        assert_eq!(lan.poll(Timestamp(due.0 - 1)), None);
        let delivery = lan.poll(due).expect("due");
        assert_eq!((delivery.at, delivery.host, delivery.source), (due, host(2), socket(1)));
        assert_eq!((delivery.destination, &delivery.bytes[..]), (socket(2), &b"hello"[..]));
        assert_eq!(lan.poll(Timestamp(u64::MAX)), None);
    }

    #[test]
    fn faults_between_hosts_spare_a_hosts_own_packets() {
        let mut lan = lan(1, &steady());
        lan.set_multicast(host(2), false);
        assert_eq!(hearers(&mut lan, GROUP), [1]);
        assert_eq!(hearers(&mut lan, socket(2)), [2], "unicast goes on");
        lan.set_multicast(host(2), true);
        lan.split(&[host(2), host(3)]);
        assert_eq!(hearers(&mut lan, GROUP), [1]);
        lan.heal();
        assert_eq!(hearers(&mut lan, GROUP), [1, 2]);
        lan.set_plugged(host(1), false);
        assert_eq!(hearers(&mut lan, GROUP), [1]);
        lan.set_plugged(host(1), true);
        lan.set_plugged(host(2), false);
        assert_eq!(hearers(&mut lan, GROUP), [1]);
        lan.set_plugged(host(2), true);
        assert_eq!(hearers(&mut lan, GROUP), [1, 2]);
        assert_eq!(lan.totals().cut, 4);
    }

    #[test]
    fn the_seed_decides_everything() {
        let profile = Profile {
            jitter: Duration::from_millis(5),
            loss: 0.02,
            bursts: Some(Bursts { start: 0.01, end: 0.2 }),
            duplicate: 0.02,
            reorder: 0.02,
            reorder_by: Duration::from_millis(8),
            ..steady()
        };
        let run = |seed| stream(&mut lan(seed, &profile));
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn random_loss_is_near_its_probability() {
        let mut lan = lan(7, &Profile { loss: 0.05, ..steady() });
        let got = stream(&mut lan).len();
        assert!((1_860..=1_940).contains(&got), "{got} of 2,000 at 5 % loss");
        assert_eq!(lan.totals().lost, 2_000 - got as u64);
    }

    #[test]
    fn bursts_lose_packets_in_a_row() {
        let mut lan = lan(7, &Profile { bursts: Some(Bursts { start: 0.01, end: 0.1 }), ..steady() });
        let got = stream(&mut lan);
        let gaps: Vec<u32> = got.windows(2).map(|w| w[1] - w[0] - 1).filter(|&gap| gap > 0).collect();
        let mean = f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64;
        assert!((8..=35).contains(&gaps.len()) && (5.0..=16.0).contains(&mean), "{gaps:?}");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Profile { jitter: Duration::from_millis(20), ..steady() };
        assert!(stream(&mut lan(7, &jitter)).is_sorted());
        let reorder = Profile { reorder: 0.05, reorder_by: Duration::from_millis(8), ..steady() };
        let mut lan = lan(7, &reorder);
        let mut got = stream(&mut lan);
        let late = got.windows(2).filter(|w| w[1] < w[0]).count();
        assert!((60..=140).contains(&late), "{late} late of 2,000 at 5 %");
        got.sort_unstable();
        assert_eq!(got, (0..2_000).collect::<Vec<_>>(), "nothing is lost");
    }

    #[test]
    fn duplicates_arrive_twice() {
        let mut lan = lan(7, &Profile { duplicate: 0.5, ..steady() });
        let got = stream(&mut lan);
        assert_eq!(got.len() as u64, 2_000 + lan.totals().duplicated);
        assert!((900..=1_100).contains(&lan.totals().duplicated));
        assert!(got.is_sorted());
    }

    #[test]
    fn datagrams_up_to_the_limit_go_through() {
        let mut lan = lan(1, &steady());
        lan.send(Timestamp::default(), socket(1), socket(2), &[0; DATAGRAM_BYTES_MAX]);
        lan.send(Timestamp::default(), socket(1), socket(2), &[0; DATAGRAM_BYTES_MAX + 1]);
        assert_eq!(drain(&mut lan).len(), 1);
        assert_eq!((lan.totals().sent, lan.totals().refused, lan.totals().delivered), (1, 1, 1));
    }
}
