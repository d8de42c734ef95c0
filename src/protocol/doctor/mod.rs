//! Why a conference does not work: from facts about this machine, its network and the others on it to findings in plain
//! words, each with the command that mends it.
//!
//! ```text
//! probes and answers > Prober > what passes, each way, to and from each peer ─┐
//! interfaces, firewall, card, buffers, devices ───────────────────────────────┴> Facts > examine() > Findings
//! somebody's probe > Responder > answers, bounded
//! ```
//! A fact that could not be had is `None` and makes nothing wrong: what is not known is said, not guessed.

mod prober;
mod responder;
mod rules;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use crate::wire::message::ConferenceId;
use crate::wire::probe::Way;

pub use prober::{Prober, Target, To};
pub use responder::{Came, Replies, ReplyTo, Responder};
pub use rules::examine;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A conference suffers from it.
    Fault,
    /// It may come to that, or only some people notice.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Fault => "fault",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// Where the cause lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// On this machine.
    Here,
    /// In the network, or it cannot be told on which side.
    Network,
    /// At somebody else's, by name or address.
    Peer(String),
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Names the kind of cause, for programs: `igmp_blocked`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where the cause lies.
    pub place: Where,
    /// What is wrong and what comes of it, in plain words.
    pub text: String,
    /// The command, or the act, that mends it.
    pub mend: Option<String>,
}

/// A network interface other than the loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Switched on.
    pub up: bool,
    /// A cable or a radio link is there.
    pub carrier: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Wi-Fi.
    pub wireless: bool,
    /// Made by software: containers, virtual machines, tunnels.
    pub software: bool,
    /// Largest IP packet, bytes.
    pub mtu: usize,
}

/// What passed the network card, seen before any firewall on the way in and behind it on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// IGMP or MLD queries that came.
    pub queries: u32,
    /// Own membership reports that went out.
    pub reports: u32,
    /// Datagrams of others to this program's ports that came, by [`Way::index`].
    pub came: [u32; 3],
    /// Own probes that went out, by [`Way::index`].
    pub went: [u32; 3],
    /// Answers sent to the group nobody joins that came all the same.
    pub aside: u32,
}

/// One rule or policy of this machine's firewall that drops something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drop {
    /// On the way in; else out.
    pub inwards: bool,
    /// It concerns UDP (or everything).
    pub udp: bool,
    /// It concerns IGMP (or everything).
    pub igmp: bool,
    /// It concerns only multicast addresses.
    pub multicast_only: bool,
    /// It is what happens to whatever no rule accepts.
    pub policy: bool,
    /// The rule in the firewall's own words.
    pub text: String,
    /// The command that takes it away or makes an exception of it.
    pub mend: String,
}

/// One way between this machine and a peer. Counts of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Sent to the peer, up to the last one of which an answer told.
    pub sent: u32,
    /// Of these, those the peer got.
    pub reached: u32,
    /// Answered by the peer in the same way.
    pub answered: u32,
    /// Of the answers, those that came.
    pub came: u32,
}

/// What was measured of one other instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Its own socket.
    pub address: SocketAddr,
    /// Its name, inside a conference.
    pub name: Option<String>,
    /// Its conference.
    pub conference: Option<ConferenceId>,
    /// By [`Way::index`].
    pub paths: [Path; 3],
    /// Least round trip, milliseconds.
    pub delay_ms: Option<f64>,
    /// What its clock is ahead of the own one, seconds.
    pub clock_s: Option<f64>,
    /// What a burst to it came through at, Mb/s.
    pub rate_mbit: Option<f64>,
    /// Share of the large datagrams that arrived, when some were sent: 0 to 1.
    pub large: Option<f64>,
    /// It was asked and has answered nothing.
    pub silent: bool,
    /// Why it is silent, as far as the system tells.
    pub host: Host,
    /// It says that it sends pictures or sound and none come.
    pub mute: bool,
}

impl Peer {
    /// Somebody at `address` of whom nothing is known yet.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            name: None,
            conference: None,
            paths: [Path::default(); 3],
            delay_ms: None,
            clock_s: None,
            rate_mbit: None,
            large: None,
            silent: false,
            host: Host::Unknown,
            mute: false,
        }
    }

    /// What the user knows it by.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.ip().to_string())
    }

    /// The path of one way.
    pub fn path(&self, way: Way) -> Path {
        self.paths[way.index()]
    }
}

/// What the system tells of a machine that does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// Nothing.
    #[default]
    Unknown,
    /// Nobody has that address on the link.
    Absent,
    /// The machine is there and says that the program is not.
    Refuses,
    /// The machine is there.
    Present,
}

/// A camera, microphone or speaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// Not wanted, or not looked at.
    #[default]
    Unasked,
    /// It is there.
    Found(String),
    /// Any would do, and there is none.
    None,
    /// The one asked for is not there; those that are.
    Missing(String, Vec<String>),
}

/// The conference that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// As the user named it.
    pub title: String,
    /// Somebody announced it.
    pub found: bool,
    /// People in it, as announced.
    pub people: u32,
}

/// Everything there is to judge by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Every interface but the loopback.
    pub links: Vec<Link>,
    /// Name of the one in use; `None`: only the loopback is.
    pub chosen: Option<String>,
    /// The user named it.
    pub named: bool,
    /// Its own address.
    pub address: Option<IpAddr>,
    /// Bits of the network part of the address.
    pub prefix: u8,
    /// Routers that multicast may cross, plus one.
    pub ttl: u8,
    /// An own multicast packet came back to this machine; `None` when none could be sent.
    pub loopback: Option<bool>,
    /// Own probes the system took and those it refused, by [`Way::index`].
    pub sends: [(u32, u32); 3],
    /// Datagrams of others that reached the sockets, by [`Way::index`].
    pub received: [u32; 3],
    /// `None`: looking at the card is not permitted.
    pub wire: Option<Wire>,
    /// The hardware address of another machine that has the own address.
    pub duplicate: Option<String>,
    /// What the firewall drops; `None`: it cannot be read.
    pub firewall: Option<Vec<Drop>>,
    /// Interfaces other than the chosen one on which somebody answers: name, address, how many.
    pub elsewhere: Vec<(String, IpAddr, usize)>,
    /// The conference asked for.
    pub sought: Option<Sought>,
    /// Addresses whose announcements came.
    pub heard_of: Vec<IpAddr>,
    /// Others, those asked for by address among them.
    pub peers: Vec<Peer>,
    /// Receive buffer that sockets got, bytes.
    pub buffer: Option<usize>,
    /// The system's limit on it, bytes.
    pub buffer_max: Option<usize>,
    /// The camera the settings name.
    pub camera: Device,
    /// The microphone.
    pub microphone: Device,
    /// The speaker.
    pub speaker: Device,
}

/// Facts and what follows from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The facts.
    pub facts: Facts,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Judges the facts.
    pub fn of(facts: Facts) -> Self {
        Self { findings: examine(&facts), facts }
    }

    /// How many faults there are.
    pub fn faults(&self) -> usize {
        self.findings.iter().filter(|f| f.severity == Severity::Fault).count()
    }
}

impl Facts {
    /// The interface in use.
    pub fn link(&self) -> Option<&Link> {
        self.links.iter().find(|l| Some(&l.name) == self.chosen.as_ref())
    }

    /// Others who answered.
    pub fn answering(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|p| !p.silent)
    }

    /// Whether the switch floods what nobody joined: `None` when that was not seen.
    pub fn floods(&self) -> Option<bool> {
        let wire = self.wire?;
        let asked = self.answering().any(|p| p.path(Way::Multicast).reached >= prober::ASIDE_AT[2]);
        (asked || wire.aside > 0).then_some(wire.aside > 0)
    }
}
