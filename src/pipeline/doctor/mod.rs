//! The doctor at work: gathers facts about this machine, probes the others, and answers their probes meanwhile. A role of
//! its own for some seconds, beside a running conference or without one.
//!
//! ```text
//! 0 s     interfaces, buffers · firewall and devices asked by threads of their own · a look at the card begins
//! .. 0.8  which conferences are there (not from inside one)
//! .. 6    Prober: probes and answers · a group is joined and left, so that a querier says something · who has our address
//! .. 8    what devices there are, why the silent are silent
//! ```

mod ears;
mod gather;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::control::{self, browse};
use crate::device::camera::CameraSpec;
use crate::device::clock::Clock;
use crate::device::identity::random_seed;
use crate::device::net::{Interface, system};
use crate::device::sound::{MicrophoneSpec, SpeakerSpec};
use crate::protocol::discovery::Found;
use crate::protocol::doctor::{Facts, Host, Prober, Responder, Sought, Target};
use crate::protocol::keys::Random;
use crate::wire::address::{Family, Scope};
use crate::wire::message::ConferenceId;
use crate::wire::probe::Way;

use ears::{Ears, Elsewhere};

/// How long conferences have to answer.
const BROWSE: Duration = Duration::from_millis(800);
/// Longest time without looking at the card.
const TURN: Duration = Duration::from_millis(25);
/// When a group is joined, and when it is left again so that a querier asks who else wants it.
const JOIN_AT: Duration = Duration::from_millis(200);
const LEAVE_AT: Duration = Duration::from_millis(1_800);
/// Other interfaces that are asked.
const ELSEWHERE_MAX: usize = 3;

/// Why nothing could be examined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The interface named is not there, or a socket cannot be had.
    #[error(transparent)]
    Net(#[from] crate::device::net::Error),
    /// What the control role needs cannot be had.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] crate::device::identity::Error),
}

/// What is to be examined.
#[derive(Clone, Debug)]
pub struct Task {
    /// The interface, by name or address; the best one when `None`.
    pub interface: Option<String>,
    /// Multicast TTL the settings say.
    pub ttl: u8,
    /// How far a conference reaches.
    pub scope: Scope,
    /// Title of a conference, or how it begins, to look for.
    pub title: Option<String>,
    /// The conference one is in: nobody is looked for, only its members are asked.
    pub inside: Option<ConferenceId>,
    /// Who is to be asked besides those who answer.
    pub targets: Vec<Target>,
    /// Own sockets of this program, whose answers are no others'.
    pub own: Vec<SocketAddr>,
    /// Camera to look for.
    pub camera: CameraSpec,
    /// Microphone to look for.
    pub microphone: MicrophoneSpec,
    /// Speaker to look for.
    pub speaker: SpeakerSpec,
}

/// Gathers all facts; `progress` is told the share done, 0 to 1. Ends early, with what there is, once `stop` is set.
///
/// # Errors
/// An interface that does not exist, or a system without sockets. What merely does not work is a fact.
pub fn run(task: &Task, clock: &Clock, stop: &AtomicBool, mut progress: impl FnMut(f64)) -> Result<Facts, Error> {
    progress(0.0);
    let devices = gather::devices(task);
    let firewall = gather::firewall();
    let mut facts =
        Facts { links: gather::links(), ttl: task.ttl, named: task.interface.is_some(), ..Facts::default() };
    if let Some(interface) = choose(task, &mut facts)? {
        probe(task, &interface, clock, stop, &mut facts, &mut progress)?;
        gather::hosts(&mut facts, stop);
    }
    facts.firewall = firewall.take();
    (facts.camera, facts.microphone, facts.speaker) = devices.take();
    facts.buffer_max = system::receive_buffer_max();
    progress(1.0);
    Ok(facts)
}

/// The interface to probe on; `None` when there is none that could work, which the facts tell.
fn choose(task: &Task, facts: &mut Facts) -> Result<Option<Interface>, Error> {
    use crate::device::net::Error as Net;
    let interface = match Interface::choose(task.interface.as_deref()) {
        Ok(interface) => interface,
        // It is there, without an address.
        Err(Net::UnknownInterface { wanted, .. }) if facts.links.iter().any(|l| l.name == wanted) => {
            facts.chosen = Some(wanted);
            return Ok(None);
        }
        Err(Net::NoInterface) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if interface.loopback && task.interface.is_none() {
        return Ok(None);
    }
    if interface.loopback {
        facts.links.push(gather::loopback(&interface));
    }
    facts.chosen = Some(interface.name.clone());
    facts.address = Some(interface.addr);
    facts.prefix = interface.prefix;
    Ok(interface.running.then_some(interface))
}

fn probe(
    task: &Task,
    interface: &Interface,
    clock: &Clock,
    stop: &AtomicBool,
    facts: &mut Facts,
    progress: &mut impl FnMut(f64),
) -> Result<(), Error> {
    let mut random = Random::new(*random_seed()?);
    let mut ears = Ears::open(interface, task, Responder::new(random.next_u64(), task.inside))?;
    let mut conference = task.inside;
    let place;
    let (mut task, mut interface) = (task, interface);
    if task.inside.is_none() {
        let seen = look(task, interface, clock, facts);
        conference = seen.conference;
        // Whoever is in a conference hears only the groups of its scope and family.
        if seen.scope != task.scope || seen.interface.addr != interface.addr {
            place = (Task { scope: seen.scope, ttl: task.ttl.max(seen.scope.ttl()), ..task.clone() }, seen.interface);
            (task, interface) = (&place.0, &place.1);
            facts.address = Some(interface.addr);
            facts.prefix = interface.prefix;
            ears = Ears::open(interface, task, Responder::new(random.next_u64(), None))?;
        }
    }
    facts.buffer = Some(ears.receive_buffer_bytes());
    let mut elsewhere = others(interface, facts, task, &mut random);
    let began = clock.now();
    let own = ears.instance();
    let mut prober = Prober::new(began, random.next_u64(), own, conference, &task.targets);
    if interface.loopback || interface.addr.is_ipv6() || task.scope != Scope::Link {
        prober = prober.without_broadcasts();
    }
    let mut poll = Poll::new().map_err(control::Error::Poll)?;
    ears.register(poll.registry()).map_err(control::Error::Poll)?;
    let mut events = Events::with_capacity(16);
    let (mut asked, mut left) = (false, false);
    while clock.now() < prober.ends_at() && !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        let since = now.since(began);
        if !asked && since >= JOIN_AT {
            asked = true;
            ears.provoke(true);
        }
        if !left && since >= LEAVE_AT {
            left = true;
            ears.provoke(false);
        }
        ears.send_due(&mut prober, clock);
        elsewhere.iter_mut().for_each(|e| e.turn(since));
        progress(0.1 + 0.8 * prober.progress(now));
        let wake = prober.next_timeout().unwrap_or_else(|| prober.ends_at()).since(clock.now());
        control::poll_for(&mut poll, &mut events, wake.min(TURN))?;
        ears.hear(&mut prober, clock);
    }
    ears.look();
    facts.peers = prober.peers();
    facts.peers.retain(|p| !task.own.contains(&p.address));
    ears.tell(facts);
    facts.elsewhere = elsewhere.iter().filter_map(Elsewhere::found).collect();
    Ok(())
}

/// What was found before anything is probed.
struct Seen {
    conference: Option<ConferenceId>,
    /// Where those are who can be asked.
    scope: Scope,
    interface: Interface,
}

/// Which conferences there are; the one that is sought, if it is among them; in which scope and family they are.
fn look(task: &Task, interface: &Interface, clock: &Clock, facts: &mut Facts) -> Seen {
    // A socket that cannot be had, or a firewall, is found out below.
    let found = browse(interface, clock, (BROWSE, BROWSE), |_| false).unwrap_or_default();
    let mut meant = None;
    if let Some(title) = &task.title {
        let exact = found.iter().find(|f| f.title == *title || f.id.to_string() == *title);
        let begins = || found.iter().find(|f| f.title.to_lowercase().starts_with(&title.to_lowercase()));
        meant = exact.or_else(begins);
        let people = meant.map_or(0, |f| f.participants);
        facts.sought = Some(Sought { title: title.clone(), found: meant.is_some(), people });
    }
    let usual = (task.scope, Family::of(interface.addr));
    let place = |f: &Found| (f.plan.scope, f.plan.family());
    let like_usual = || found.iter().find(|f| place(f) == usual);
    let (scope, family) = meant.or_else(like_usual).or(found.first()).map_or(usual, place);
    let there = interface.in_family(family == Family::V6, scope != Scope::Link);
    let (scope, there) = match there {
        Ok(there) if family != usual.1 || scope != usual.0 => (scope, there),
        _ => (usual.0, interface.clone()),
    };
    // Those in other scopes would not hear what is asked.
    let reached = (scope, Family::of(there.addr));
    for source in found.iter().filter(|f| place(f) == reached).map(|f| f.source.ip()) {
        if source != there.addr && !facts.heard_of.contains(&source) {
            facts.heard_of.push(source);
        }
    }
    Seen { conference: meant.map(|f| f.id), scope, interface: there }
}

/// Interfaces besides the chosen one on which people might be.
fn others(interface: &Interface, facts: &Facts, task: &Task, random: &mut Random) -> Vec<Elsewhere> {
    if task.inside.is_some() || interface.loopback {
        return Vec::new();
    }
    let all = crate::device::net::interfaces().unwrap_or_default();
    let usable = |i: &&Interface| {
        i.name != interface.name
            && !i.loopback
            && i.running
            && i.multicast
            && i.addr.is_ipv4()
            && Some(i.addr) != facts.address
    };
    let open = |i: &Interface| Elsewhere::open(i, random.next_u64()).ok();
    all.iter().filter(usable).take(ELSEWHERE_MAX).filter_map(open).collect()
}

/// Answers the probes of other doctors until `stop` is set; `told` learns of each that begins. Gives how many were
/// answered.
///
/// # Errors
/// When sockets cannot be opened.
pub fn listen(
    task: &Task,
    clock: &Clock,
    mut going: impl FnMut() -> bool,
    mut told: impl FnMut(IpAddr),
) -> Result<u64, Error> {
    let interface = Interface::choose(task.interface.as_deref())?;
    let mut random = Random::new(*random_seed()?);
    let mut ears = Ears::open(&interface, task, Responder::new(random.next_u64(), None))?;
    let mut prober = Prober::new(clock.now(), random.next_u64(), ears.instance(), None, &[]);
    let mut poll = Poll::new().map_err(control::Error::Poll)?;
    ears.register(poll.registry()).map_err(control::Error::Poll)?;
    let mut events = Events::with_capacity(16);
    let mut known = Vec::new();
    while going() {
        control::poll_for(&mut poll, &mut events, Duration::from_millis(100))?;
        ears.hear(&mut prober, clock);
        for source in ears.askers() {
            if known.len() < crate::limits::PROBE_PEERS_MAX && !known.contains(&source) {
                known.push(source);
                told(source);
            }
        }
    }
    Ok(ears.answered())
}

impl From<system::Neighbour> for Host {
    fn from(neighbour: system::Neighbour) -> Self {
        match neighbour {
            system::Neighbour::Unknown => Host::Unknown,
            system::Neighbour::Absent => Host::Absent,
            system::Neighbour::Present => Host::Present,
            system::Neighbour::Refuses => Host::Refuses,
        }
    }
}

/// All ways, with the token each one's socket has.
const TOKENS: [(Way, Token); 3] = [(Way::Multicast, Token(0)), (Way::Broadcast, Token(1)), (Way::Unicast, Token(2))];
