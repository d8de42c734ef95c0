//! The transfer role without its thread: what is given and taken, and what others said about it.

mod give;
mod hear;
mod said;
mod serve;
mod take;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::net::TcpListener;
use mio::{Registry, Token, Waker};
use zeroize::Zeroizing;

use super::fetch::{Fetched, Served};
use super::giving::Giving;
use super::pace::Pace;
use super::prepare::{self, Outcome};
use super::sockets::Ears;
use super::taking::Taking;
use super::{Command, Config, Event, FETCHED, LISTENER, Progress, Recipient, WAKE};
use crate::device::clock::Clock;
use crate::device::files::Source as FileSource;
use crate::device::net::ReceiveBuffer;
use crate::limits::{OBJECTS_PREPARED_MAX, PARTICIPANTS_MAX};
use crate::pipeline::control;
use crate::protocol::keys::{EpochKeys, Random, order_hash};
use crate::protocol::rate::Rate;
use crate::protocol::seal::Opener;
use crate::protocol::transfer::manifest::Manifest;
use crate::protocol::transfer::rate::{WIRE, fastest};
use crate::protocol::transfer::sender::Answer;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{ObjectId, Offer, Packet, Reason, Voice};
use give::About;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(250);
/// How often those who lose too much are told to fetch.
const TELL_ALONE: Duration = Duration::from_millis(500);
/// After one who gave a file has left: until the first of those who have it goes on, and each further one.
const TAKE_OVER: Duration = Duration::from_millis(300);
const TAKE_OVER_EACH: Duration = Duration::from_millis(400);
/// Answers of a crowd are spread by so much for each.
const ANSWER_EACH: Duration = Duration::from_millis(1);
/// Silence on the group after which it is joined anew, in case a switch forgot it.
const REJOIN: Duration = Duration::from_secs(4);
/// Between two attempts to fetch.
const FETCH_AGAIN: Duration = Duration::from_secs(1);

/// What one made of somebody's offer.
enum Mine {
    /// It is the user's turn.
    Undecided,
    /// Wanted, but others come first.
    Waiting(PathBuf, Option<String>),
    Declined(Reason),
    Taking(Box<Taking>),
    /// Whole, and where.
    Held(PathBuf, Manifest),
}

/// An object somebody else offered.
struct Known {
    /// The offer last heard, without its key.
    offer: Offer,
    key: Key,
    from: ParticipantId,
    /// Who is known to want it and not have it (false), or to have it (true); who has it is kept after they left, so that
    /// nobody brings it to them again.
    others: BTreeMap<ParticipantId, bool>,
    mine: Mine,
    answer_at: Option<Timestamp>,
    take_over_at: Option<Timestamp>,
    fetch_at: Timestamp,
    fetch_only: Vec<u32>,
    heard: Timestamp,
    /// When it was offered first.
    since: Timestamp,
    /// When it was last offered to somebody who had yet to answer or to finish.
    asked: Timestamp,
}

impl Known {
    /// Whether nothing is to come of it any more.
    fn is_settled(&self) -> bool {
        let mine = matches!(self.mine, Mine::Held(..) | Mine::Declined(_));
        mine && self.answer_at.is_none() && self.take_over_at.is_none()
    }

    /// Whether it was offered to `id`, too.
    fn is_for(&self, id: &ParticipantId) -> bool {
        self.offer.audience.is_empty() || self.offer.audience.chunks_exact(16).any(|one| one == id.0)
    }
}

/// An object's own key; empty when it is for everybody.
#[derive(Clone, PartialEq, Eq)]
struct Key(Zeroizing<Vec<u8>>);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_slice().cmp(other.0.as_slice())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// What opens datagrams about objects, by where they come from and the objects' own keys.
type Openers = BTreeMap<IpAddr, BTreeMap<Key, Opener>>;

pub(super) struct Role {
    clock: Clock,
    config: Config,
    registry: Registry,
    waker: Arc<Waker>,
    events: Sender<Event>,
    random: Random,
    people: BTreeMap<ParticipantId, (u64, IpAddr)>,
    media: bool,
    giving: BTreeMap<ObjectId, Giving>,
    known: BTreeMap<ObjectId, Known>,
    openers: Openers,
    ears: Ears,
    buffer: ReceiveBuffer,
    nacks: Rate,
    complaints: Rate,
    refusals: Rate,
    listener: Option<TcpListener>,
    listening: bool,
    served: Arc<Mutex<BTreeMap<ObjectId, Served>>>,
    pace: Arc<Pace>,
    serving: Arc<AtomicUsize>,
    serving_to: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    /// Files that are to be read before they can be offered, and how many are being read.
    to_prepare: VecDeque<(u64, PathBuf, Vec<ParticipantId>, Option<Voice>)>,
    preparing: usize,
    prepared: (Sender<Outcome>, Receiver<Outcome>),
    fetched: (Sender<Fetched>, Receiver<Fetched>),
    progress_at: Timestamp,
    alone_at: Timestamp,
    told: BTreeMap<ObjectId, u64>,
}

impl Role {
    pub(super) fn new(config: Config, events: Sender<Event>, registry: Registry, waker: Arc<Waker>) -> Self {
        let now = config.clock.now();
        Self {
            clock: config.clock.clone(),
            random: Random::new(config.seed),
            registry,
            waker,
            events,
            people: BTreeMap::new(),
            media: false,
            giving: BTreeMap::new(),
            known: BTreeMap::new(),
            openers: Openers::new(),
            ears: Ears::default(),
            buffer: ReceiveBuffer::new(),
            nacks: Rate::default(),
            complaints: Rate::default(),
            refusals: Rate::default(),
            listener: None,
            listening: false,
            served: Arc::default(),
            pace: Arc::new(Pace::new(fastest(false, config.limit_mbit) / WIRE)),
            serving: Arc::default(),
            serving_to: Arc::default(),
            to_prepare: VecDeque::new(),
            preparing: 0,
            prepared: bounded(64),
            fetched: bounded(FETCHED),
            progress_at: now,
            alone_at: now,
            told: BTreeMap::new(),
            config,
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            tracing::warn!("nobody reads what the transfers tell");
        }
    }

    fn say(&self, packet: Packet, audience: Vec<ParticipantId>) {
        // Refused when the control role is busy: whoever needs it asks again.
        self.config.asker.ask(control::Command::Object(packet, audience));
    }

    pub(super) fn mark_ready(&mut self, which: Token) {
        match which {
            LISTENER => self.accept_connections(),
            WAKE => {}
            group => self.ears.mark_ready(group),
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Send(ticket, path, audience, voice) => {
                self.to_prepare.push_back((ticket, path, audience, voice));
                self.prepare();
            }
            Command::Heard(from, packet) => self.heard(now, from, packet),
            Command::Here(id, sid, address) => self.here(now, id, sid, address),
            Command::Gone(id) => self.gone(now, &id),
            Command::Accept(object, folder, name) => match self.known.get_mut(&object) {
                Some(known) if matches!(known.mine, Mine::Undecided | Mine::Declined(_)) => {
                    known.mine = Mine::Waiting(folder, name);
                }
                Some(_) => {}
                None => {
                    let why = "it is not offered any more".to_owned();
                    self.tell(Event::Failed { object, why, resumes: false });
                }
            },
            Command::Decline(object, reason) => self.decline(now, &object, reason),
            Command::Cancel(object) => self.cancel(&object, "it was taken back"),
            Command::Media(on) => {
                self.media = on;
                self.giving.values_mut().for_each(|giving| giving.out.set_media(on));
            }
            Command::Keys(keys) => self.renew(now, keys),
            Command::Network(interface, moved) => self.network_returned(*interface, moved),
        }
    }

    /// Reads the next files, a few at a time.
    fn prepare(&mut self) {
        while self.preparing < OBJECTS_PREPARED_MAX
            && let Some((ticket, path, audience, voice)) = self.to_prepare.pop_front()
        {
            self.preparing += 1;
            let (done, waker) = (self.prepared.0.clone(), Arc::clone(&self.waker));
            prepare::begin(ticket, path, audience, voice, done, waker);
        }
    }

    // --- people ---

    fn here(&mut self, now: Timestamp, id: ParticipantId, sid: u64, address: IpAddr) {
        let before = self.people.insert(id, (sid, address));
        if before.is_some_and(|(old, _)| old == sid) {
            return;
        }
        for giving in self.giving.values_mut() {
            if giving.audience.is_empty() || giving.audience.contains(&id) {
                giving.out.came(now, id);
                giving.settled = false;
            }
        }
        // Nobody offers them what its giver does not give any more: those who have it do.
        for known in self.known.values_mut() {
            let orphaned = known.from != id && !self.people.contains_key(&known.from);
            if orphaned && known.is_for(&id) && matches!(known.mine, Mine::Held(..)) {
                known.others.entry(id).or_insert(false);
            }
        }
        self.consider_taking_over(now);
    }

    fn gone(&mut self, now: Timestamp, id: &ParticipantId) {
        self.people.remove(id);
        let people = &self.people;
        self.openers.retain(|source, _| people.values().any(|(_, address)| address == source));
        self.giving.values_mut().for_each(|giving| giving.out.left(now, id));
        let (mut lost, mut waits) = (Vec::new(), Vec::new());
        for (object, known) in &mut self.known {
            known.others.retain(|other, has| *has || other != id);
            let full = known.others.len() >= PARTICIPANTS_MAX;
            known.others.retain(|other, _| !full || self.people.contains_key(other));
            if known.from == *id {
                known.others.insert(*id, true);
                let held = known.others.iter().any(|(other, has)| *has && self.people.contains_key(other));
                match &known.mine {
                    Mine::Undecided | Mine::Declined(_) | Mine::Waiting(..) if !held => {
                        lost.push(*object);
                    }
                    Mine::Taking(_) if !held => waits.push(*object),
                    _ => {}
                }
            }
        }
        for object in lost {
            self.known.remove(&object);
            let why = "whoever offered it left".to_owned();
            self.tell(Event::Failed { object, why, resumes: false });
        }
        for object in waits {
            // The part stays, and whoever offers it again finds it.
            let why =
                "whoever sends it left; it goes on when they offer it again, or somebody who has it does".to_owned();
            self.tell(Event::Failed { object, why, resumes: true });
        }
        self.consider_taking_over(now);
    }

    /// Those who have what its giver no longer gives go on with it, one of them.
    fn consider_taking_over(&mut self, now: Timestamp) {
        let me = self.config.me;
        for (object, known) in &mut self.known {
            let orphaned = !self.people.contains_key(&known.from) && !self.giving.contains_key(object);
            let wanted = known.others.iter().any(|(id, has)| !has && known.is_for(id));
            if !orphaned || !wanted || !matches!(known.mine, Mine::Held(..)) {
                known.take_over_at = None;
                continue;
            }
            if known.take_over_at.is_none() {
                let place = |id: &ParticipantId| order_hash(&[&object.0, &id.0]);
                let others = known.others.iter().filter(|(id, has)| **has && self.people.contains_key(id));
                let before = others.filter(|(id, _)| place(id) < place(&me)).count();
                known.take_over_at = Some(now + TAKE_OVER + TAKE_OVER_EACH * before as u32);
            }
        }
    }

    fn renew(&mut self, now: Timestamp, keys: EpochKeys) {
        self.config.keys = keys;
        self.openers.clear();
        for giving in self.giving.values_mut() {
            giving.renew(&self.config.keys, &mut self.random);
            giving.out.tell(now);
        }
        for known in self.known.values_mut() {
            if let Mine::Taking(taking) = &mut known.mine {
                taking.renew(&self.config.keys, self.random.next_u64());
            }
        }
    }

    // --- time ---

    /// Does what is due, and tells when there is more to do.
    pub(super) fn step(&mut self) -> Timestamp {
        let now = self.clock.now();
        while let Ok(outcome) = self.prepared.1.try_recv() {
            self.preparing -= 1;
            self.begin_giving(now, outcome);
        }
        self.prepare();
        self.take_fetched(now);
        self.share_out();
        self.send(now);
        self.take_steps(now);
        self.answers(now);
        self.begin_taking(now);
        self.open_ears();
        if self.progress_at <= now {
            self.progress_at = now + PROGRESS;
            self.tell_progress();
        }
        if self.alone_at <= now {
            self.alone_at = now + TELL_ALONE;
            self.tell_alone();
        }
        self.next_timeout(now)
    }

    fn next_timeout(&self, now: Timestamp) -> Timestamp {
        let reading = self.known.values().any(|k| matches!(&k.mine, Mine::Taking(t) if t.has_to_read()));
        if self.ears.is_ready() || reading {
            return now;
        }
        let busy = !self.giving.is_empty() || !self.known.is_empty();
        let idle = now + if busy { PROGRESS } else { super::SLEEP_MAX };
        let giving = self.giving.values().map(|giving| giving.out.next_timeout());
        let taking = self.known.values().flat_map(|known| {
            let machine = match &known.mine {
                Mine::Taking(taking) => taking.incoming.next_timeout(),
                _ => None,
            };
            [machine, known.answer_at, known.take_over_at]
        });
        giving.chain(taking.flatten()).fold(idle, Timestamp::min)
    }

    fn send(&mut self, now: Timestamp) {
        let mut failed = Vec::new();
        let port = self.port();
        for (object, giving) in &mut self.giving {
            if let Some(asks) = giving.out.offer(now) {
                let packet = Packet::Offer(giving.offer(asks, port, false));
                self.config.asker.ask(control::Command::Object(packet, giving.audience.clone()));
            }
            let to = self.config.plan.files(giving.group);
            if let Err(error) = giving.send(now, &self.config.socket, to) {
                failed.push((*object, error.to_string()));
            }
            let settled = giving.out.is_settled();
            if settled && !std::mem::replace(&mut giving.settled, true) {
                giving.rest();
                if giving.inherited {
                    continue;
                }
                let settled = Event::Settled {
                    object: *object,
                    recipients: recipients(giving),
                    sent: giving.out.sent(),
                    packets_min: giving.layout().all_symbols(),
                };
                let _ = self.events.try_send(settled);
            }
        }
        failed.into_iter().for_each(|(object, why)| self.cancel(&object, &why));
    }

    fn answers(&mut self, now: Timestamp) {
        let mut due = Vec::new();
        let mut inherit = Vec::new();
        for (object, known) in &mut self.known {
            if known.answer_at.take_if(|at| *at <= now).is_some() {
                due.push(*object);
            }
            if known.take_over_at.take_if(|at| *at <= now).is_some() {
                inherit.push(*object);
            }
        }
        for object in due {
            if let Some(known) = self.known.get(&object) {
                self.answer(&object, known);
            }
        }
        for object in inherit {
            let Some(Known { mine: Mine::Held(path, manifest), offer, key, others, .. }) = self.known.get(&object)
            else {
                continue;
            };
            let (path, manifest) = (path.clone(), manifest.clone());
            let (voice, thumbnail, key) = (offer.voice.clone(), offer.thumbnail.clone(), key.0.clone());
            let mut audience = offer.audience();
            audience.retain(|id| *id != self.config.me);
            let about = About { audience, voice, thumbnail, key };
            let have: Vec<ParticipantId> = others.iter().filter(|(_, has)| **has).map(|(id, _)| *id).collect();
            match FileSource::open(&path) {
                Ok(source) if source.size() == manifest.size => {
                    if !self.make_room_to_give() {
                        continue;
                    }
                    tracing::info!("going on with a file whose giver left");
                    self.give(now, source, manifest, about, true);
                    let giving = self.giving.get_mut(&object);
                    giving.into_iter().for_each(|giving| have.iter().for_each(|id| giving.out.done(now, *id)));
                }
                _ => tracing::warn!("cannot go on with a file: it is not where it was"),
            }
        }
    }

    // --- telling ---

    fn tell_alone(&mut self) {
        let me = self.config.me;
        let said: Vec<(u8, Vec<u8>)> =
            self.giving.values_mut().filter_map(|g| Some((g.group, g.tell_alone(me)?))).collect();
        said.iter().for_each(|(group, datagram)| self.feed_back(*group, datagram));
    }

    fn tell_progress(&mut self) {
        let mut all = Vec::new();
        for (object, giving) in &self.giving {
            if giving.out.is_active() && !giving.inherited {
                let sent = giving.out.sent().source * crate::limits::OBJECT_SYMBOL_BYTES as u64;
                all.push(Progress {
                    object: *object,
                    bytes: sent.min(giving.manifest.size),
                    size: giving.manifest.size,
                    bits_per_s: giving.out.bits_per_s(),
                    recipients: Some(recipients(giving)),
                });
            }
        }
        for (object, known) in &self.known {
            if let Mine::Taking(taking) = &known.mine {
                let (bytes, size) = (taking.bytes(), taking.offer.size);
                let before = self.told.insert(*object, bytes).unwrap_or(bytes);
                let bits_per_s = 8.0 * bytes.saturating_sub(before) as f64 / PROGRESS.as_secs_f64();
                all.push(Progress { object: *object, bytes, size, bits_per_s, recipients: None });
            }
        }
        self.told.retain(|object, _| self.known.contains_key(object));
        all.into_iter().for_each(|progress| self.tell(Event::Progress(progress)));
    }

    /// The end: what is given is taken back, so that nobody waits for it; parts stay where they are.
    pub(super) fn close(&mut self) {
        self.giving.clear();
        self.pace.end();
    }
}

fn recipients(giving: &Giving) -> Vec<Recipient> {
    let blocks = giving.layout().blocks();
    let of = |(id, member): (&ParticipantId, &crate::protocol::transfer::sender::Member)| Recipient {
        id: *id,
        answer: member.answer,
        part: match member.answer {
            Answer::Done => 1.0,
            _ => member.blocks as f32 / blocks.max(1) as f32,
        },
        alone: member.alone,
    };
    giving.out.members().map(of).collect()
}
