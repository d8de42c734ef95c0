//! The transfer role without its thread: what is given and taken, and what others said about it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::net::TcpListener;
use mio::{Interest, Registry, Token, Waker};

use super::fetch::{self, Fetched, Served};
use super::giving::{self, Giving};
use super::prepare::{self, Outcome};
use super::sockets::Ears;
use super::taking::{self, Step, Taking};
use super::{Command, Config, Event, FETCHED, LISTENER, Progress, Recipient, WAKE};
use crate::device::clock::Clock;
use crate::device::files;
use crate::device::files::Source as FileSource;
use crate::device::net::{Dscp, ReceiveBuffer, scoped};
use crate::limits::{
    OBJECT_BLOCKS_IN_ASSEMBLY_MAX, OBJECT_FETCHES_MAX, OBJECT_FETCHES_PER_PEER_MAX, OBJECT_NACKS_PER_S_MAX,
    OBJECTS_MAX, OBJECTS_PER_MEMBER_MAX, OBJECTS_RECEIVED_MAX,
};
use crate::pipeline::control;
use crate::protocol::keys::{EpochKeys, Random, order_hash};
use crate::protocol::rate::Rate;
use crate::protocol::seal::Opener;
use crate::protocol::transfer::manifest::{Layout, Manifest};
use crate::protocol::transfer::receiver::Source;
use crate::protocol::transfer::sender::Answer;
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{self, Accept, Decline, Done, GROUPS, ObjectId, ObjectNack, Offer, Packet, Reason, Symbol};
use crate::wire::sealed::{Class, Header};

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
    Waiting(PathBuf),
    Declined(Reason),
    Taking(Box<Taking>),
    /// Whole, and where.
    Held(PathBuf, Manifest),
}

/// An object somebody else offered.
struct Known {
    offer: Offer,
    from: ParticipantId,
    /// Who is known to want it and not have it (false), or to have it (true).
    others: BTreeMap<ParticipantId, bool>,
    mine: Mine,
    answer_at: Option<Timestamp>,
    take_over_at: Option<Timestamp>,
    fetch_at: Timestamp,
    fetch_only: Vec<u32>,
    heard: Timestamp,
}

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
    openers: BTreeMap<Vec<u8>, Opener>,
    ears: Ears,
    buffer: ReceiveBuffer,
    nacks: Rate,
    complaints: Rate,
    listener: Option<TcpListener>,
    listening: bool,
    served: Arc<Mutex<BTreeMap<ObjectId, Served>>>,
    serving: Arc<AtomicUsize>,
    serving_to: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
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
            openers: BTreeMap::new(),
            ears: Ears::default(),
            buffer: ReceiveBuffer::new(),
            nacks: Rate::default(),
            complaints: Rate::default(),
            listener: None,
            listening: false,
            served: Arc::default(),
            serving: Arc::default(),
            serving_to: Arc::default(),
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
                let (done, waker) = (self.prepared.0.clone(), Arc::clone(&self.waker));
                prepare::begin(ticket, path, audience, voice, done, waker);
            }
            Command::Heard(from, packet) => self.heard(now, from, packet),
            Command::Here(id, sid, address) => self.here(now, id, sid, address),
            Command::Gone(id) => self.gone(now, &id),
            Command::Accept(object, folder) => {
                if let Some(known) = self.known.get_mut(&object)
                    && matches!(known.mine, Mine::Undecided | Mine::Declined(_))
                {
                    known.mine = Mine::Waiting(folder);
                }
            }
            Command::Decline(object, reason) => self.decline(now, &object, reason),
            Command::Cancel(object) => self.cancel(&object, "it was taken back"),
            Command::Media(on) => {
                self.media = on;
                self.giving.values_mut().for_each(|giving| giving.out.set_media(on));
            }
            Command::Keys(keys) => self.renew(now, keys),
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
    }

    fn gone(&mut self, now: Timestamp, id: &ParticipantId) {
        self.people.remove(id);
        self.giving.values_mut().for_each(|giving| giving.out.left(now, id));
        let mut lost = Vec::new();
        for (object, known) in &mut self.known {
            known.others.remove(id);
            if known.from == *id {
                match &known.mine {
                    Mine::Undecided | Mine::Declined(_) | Mine::Waiting(_) if known.others.values().all(|has| !has) => {
                        lost.push(*object);
                    }
                    _ => {}
                }
            }
        }
        for object in lost {
            self.known.remove(&object);
            let why = "whoever offered it left".to_owned();
            self.tell(Event::Failed { object, why, resumes: false });
        }
        self.consider_taking_over(now);
    }

    /// Those who have what its giver no longer gives go on with it, one of them.
    fn consider_taking_over(&mut self, now: Timestamp) {
        let me = self.config.me;
        for (object, known) in &mut self.known {
            let orphaned = !self.people.contains_key(&known.from) && !self.giving.contains_key(object);
            let wanted = known.others.values().any(|has| !has);
            if !orphaned || !wanted || !matches!(known.mine, Mine::Held(..)) || !known.offer.audience.is_empty() {
                known.take_over_at = None;
                continue;
            }
            if known.take_over_at.is_none() {
                let place = |id: &ParticipantId| order_hash(&[&object.0, &id.0]);
                let others = known.others.iter().filter(|(_, has)| **has).map(|(id, _)| id);
                let before = others.filter(|id| place(id) < place(&me)).count();
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

    // --- what is said ---

    fn heard(&mut self, now: Timestamp, from: ParticipantId, packet: Packet) {
        let Some(object) = packet.object() else {
            return;
        };
        if let Some(known) = self.known.get_mut(&object) {
            match &packet {
                Packet::Accept(_) => drop(known.others.insert(from, false)),
                Packet::Done(_) => drop(known.others.insert(from, true)),
                Packet::Decline(_) => drop(known.others.remove(&from)),
                Packet::Offer(_) => {}
            }
        }
        let giving = self.giving.get_mut(&object);
        match packet {
            Packet::Offer(offer) => return self.offered(now, object, from, offer),
            Packet::Accept(accept) => giving.into_iter().for_each(|g| g.out.accepted(now, from, &accept.have)),
            Packet::Done(_) => giving.into_iter().for_each(|g| g.out.done(now, from)),
            Packet::Decline(decline) => {
                let reason = Reason::from_wire(decline.reason);
                giving.into_iter().for_each(|g| g.out.declined(now, from, reason));
            }
        }
        self.consider_taking_over(now);
    }

    fn offered(&mut self, now: Timestamp, object: ObjectId, from: ParticipantId, offer: Offer) {
        if self.giving.contains_key(&object) {
            // Somebody else goes on with it, too: they are told that one has it.
            if offer.asks(&self.config.me) {
                self.say(Packet::Done(Done { object: object.0.to_vec() }), Vec::new());
            }
            return;
        }
        if !self.known.contains_key(&object) {
            let theirs = self.known.values().filter(|known| known.from == from).count();
            if offer.over || self.known.len() >= OBJECTS_MAX || theirs >= OBJECTS_PER_MEMBER_MAX {
                return;
            }
            self.tell(Event::Offered {
                object,
                from,
                name: offer.name.clone(),
                size: offer.size,
                kind: offer.kind.clone(),
                voice: offer.voice.clone(),
                private: !offer.audience.is_empty(),
            });
            let known = Known {
                offer: offer.clone(),
                from,
                others: BTreeMap::new(),
                mine: Mine::Undecided,
                answer_at: None,
                take_over_at: None,
                fetch_at: now,
                fetch_only: Vec::new(),
                heard: now,
            };
            self.known.insert(object, known);
            return;
        }
        let crowd = self.people.len() as u32;
        let Some(known) = self.known.get_mut(&object) else {
            return;
        };
        let present = self.people.contains_key(&known.from);
        if known.from != from && present && known.from != self.config.me {
            // Two give the same: one is enough, and the other learns when it is here.
            if offer.asks(&self.config.me) && matches!(known.mine, Mine::Held(..)) {
                self.say(Packet::Done(Done { object: object.0.to_vec() }), Vec::new());
            }
            return;
        }
        if offer.over {
            return self.withdrawn(object);
        }
        known.take_over_at = None;
        known.from = from;
        if offer.asks(&self.config.me) && known.answer_at.is_none() {
            let spread = if crowd > 20 { ANSWER_EACH * crowd } else { Duration::ZERO };
            known.answer_at = Some(now + self.random.between(Duration::ZERO, spread));
        }
        if let Mine::Taking(taking) = &mut known.mine {
            (taking.from, taking.offer) = (from, offer.clone());
        }
        known.offer = offer;
    }

    /// Whoever offered it takes it back.
    fn withdrawn(&mut self, object: ObjectId) {
        let Some(known) = self.known.remove(&object) else {
            return;
        };
        match known.mine {
            Mine::Held(..) | Mine::Declined(_) => return,
            Mine::Taking(taking) => taking.remove(),
            Mine::Undecided | Mine::Waiting(_) => {}
        }
        self.tell(Event::Failed { object, why: "whoever offered it took it back".into(), resumes: false });
    }

    fn answer(&self, object: &ObjectId, known: &Known) {
        let id = object.0.to_vec();
        match &known.mine {
            Mine::Undecided | Mine::Waiting(_) => {}
            Mine::Declined(reason) => {
                self.say(Packet::Decline(Decline { object: id, reason: reason.to_wire() }), Vec::new());
            }
            Mine::Taking(taking) => {
                let have = taking.incoming.have().to_bytes();
                self.say(Packet::Accept(Accept { object: id, have }), Vec::new());
            }
            Mine::Held(..) => self.say(Packet::Done(Done { object: id }), Vec::new()),
        }
    }

    fn decline(&mut self, now: Timestamp, object: &ObjectId, reason: Reason) {
        let Some(known) = self.known.get_mut(object) else {
            return;
        };
        if matches!(known.mine, Mine::Held(..) | Mine::Declined(_)) {
            return;
        }
        let before = std::mem::replace(&mut known.mine, Mine::Declined(reason));
        known.answer_at = Some(now);
        if let Mine::Taking(taking) = before {
            taking.remove();
        }
    }

    // --- giving ---

    fn begin_giving(&mut self, now: Timestamp, outcome: Outcome) {
        let Outcome { ticket, audience, voice, prepared } = outcome;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return self.tell(Event::Unsent { ticket, why }),
        };
        let mut key = Vec::new();
        if !audience.is_empty() {
            (0..4).for_each(|_| key.extend(self.random.next_u64().to_be_bytes()));
        }
        let (name, size, kind) =
            (prepared.manifest.name.clone(), prepared.manifest.size, prepared.manifest.kind.clone());
        let object = self.give(now, prepared.source, prepared.manifest, audience, voice.clone(), key, false);
        self.tell(Event::Offering { ticket, object, name, size, kind, voice });
    }

    #[expect(clippy::too_many_arguments, reason = "each is another fact about one file")]
    fn give(
        &mut self,
        now: Timestamp,
        source: FileSource,
        manifest: Manifest,
        audience: Vec<ParticipantId>,
        voice: Option<object::Voice>,
        key: Vec<u8>,
        inherited: bool,
    ) -> ObjectId {
        let members = self.people.keys().filter(|id| audience.is_empty() || audience.contains(id)).copied().collect();
        let (group, limit_mbit) = (self.free_group(), self.config.limit_mbit);
        let setup = giving::Setup { source, manifest, members, audience, voice, group, key, limit_mbit, inherited };
        let mut giving = Giving::new(now, setup, &self.config.keys, &mut self.random);
        giving.out.set_media(self.media);
        let object = giving.object;
        let served = Served { source: giving.source().clone(), layout: giving.layout(), key: giving.key.clone() };
        self.served.lock().unwrap_or_else(|e| e.into_inner()).insert(object, served);
        self.giving.insert(object, giving);
        object
    }

    /// The lowest file group nobody is heard to use.
    fn free_group(&self) -> u8 {
        let used = |group: u32| {
            self.giving.values().any(|giving| u32::from(giving.group) == group && giving.out.is_active())
                || self.known.values().any(|known| known.offer.group == group && self.people.contains_key(&known.from))
        };
        (0..GROUPS).find(|group| !used(*group)).unwrap_or(0) as u8
    }

    fn cancel(&mut self, object: &ObjectId, why: &str) {
        let Some(giving) = self.giving.remove(object) else {
            return;
        };
        self.served.lock().unwrap_or_else(|e| e.into_inner()).remove(object);
        let port = self.port();
        for _ in 0..2 {
            self.say(Packet::Offer(giving.offer(Vec::new(), port, true)), giving.audience.clone());
        }
        self.tell(Event::Failed { object: *object, why: why.to_owned(), resumes: false });
    }

    fn port(&self) -> u16 {
        self.listener.as_ref().and_then(|l| l.local_addr().ok()).map_or(0, |address| address.port())
    }

    // --- time ---

    /// Does what is due, and tells when there is more to do.
    pub(super) fn step(&mut self) -> Timestamp {
        let now = self.clock.now();
        while let Ok(outcome) = self.prepared.1.try_recv() {
            self.begin_giving(now, outcome);
        }
        self.take_fetched(now);
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
            if giving.out.is_settled() && !std::mem::replace(&mut giving.settled, true) && !giving.inherited {
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
            let Some(Known { mine: Mine::Held(path, manifest), offer, .. }) = self.known.get(&object) else {
                continue;
            };
            let (path, manifest, voice, key) = (path.clone(), manifest.clone(), offer.voice.clone(), offer.key.clone());
            match FileSource::open(&path) {
                Ok(source) if source.size() == manifest.size => {
                    tracing::info!("going on with a file whose giver left");
                    self.give(now, source, manifest, Vec::new(), voice, key, true);
                }
                _ => tracing::warn!("cannot go on with a file: it is not where it was"),
            }
        }
    }

    // --- taking ---

    fn begin_taking(&mut self, now: Timestamp) {
        let mut room = OBJECTS_RECEIVED_MAX
            .saturating_sub(self.known.values().filter(|k| matches!(k.mine, Mine::Taking(_))).count());
        let mut failed = Vec::new();
        for (object, known) in &mut self.known {
            let Mine::Waiting(folder) = &known.mine else {
                continue;
            };
            if room == 0 {
                break;
            }
            room -= 1;
            let mut seed = [0; 32];
            seed.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.random.next_u64().to_be_bytes()));
            let (from, offer, sid) = (known.from, known.offer.clone(), self.random.next_u64());
            let setup = taking::Setup { me: self.config.me, from, offer, folder, seed, sid };
            known.answer_at = Some(now);
            known.heard = now;
            match Taking::begin(now, *object, setup, &self.config.keys) {
                Ok(taking) => known.mine = Mine::Taking(Box::new(taking)),
                Err(error) => {
                    let reason = reason_of(&error);
                    known.mine = Mine::Declined(reason);
                    failed.push((*object, error.to_string()));
                }
            }
        }
        for (object, why) in failed {
            self.tell(Event::Failed { object, why, resumes: false });
        }
    }

    fn take_steps(&mut self, now: Timestamp) {
        let mut steps = Vec::new();
        let group = 1 + self.known.values().map(|k| k.others.values().filter(|has| !**has).count()).max().unwrap_or(0);
        let objects: Vec<ObjectId> = self.known.keys().copied().collect();
        for object in objects {
            let Some(known) = self.known.get_mut(&object) else {
                continue;
            };
            let Mine::Taking(taking) = &mut known.mine else {
                continue;
            };
            taking.incoming.set_group(group);
            taking.timeout(now, &mut steps);
            if taking.has_to_read()
                && let Err(error) = taking.read_back()
            {
                steps.push(Step::Unwritable(error));
            }
            let ready = taking.is_ready();
            if now.since(known.heard) >= REJOIN {
                known.heard = now;
                self.ears.rejoin();
            }
            self.work_off(now, &object, &mut steps);
            if ready {
                self.finish(now, &object);
            }
        }
        self.fetch(now);
    }

    fn work_off(&mut self, now: Timestamp, object: &ObjectId, steps: &mut Vec<Step>) {
        for step in steps.drain(..) {
            match step {
                Step::Say(datagram) => {
                    let group = self.known.get(object).map_or(0, |known| known.offer.group as u8);
                    self.feed_back(group, &datagram);
                }
                Step::Spoiled(block) => {
                    if self.complaints.take(now, 1) {
                        tracing::warn!("somebody here sends wrong pieces of a file; they are fetched from its sender");
                    }
                    if let Some(known) = self.known.get_mut(object) {
                        known.fetch_only.push(block);
                    }
                }
                Step::Broken(why) => {
                    self.decline(now, object, Reason::GaveUp);
                    self.tell(Event::Failed { object: *object, why: why.to_owned(), resumes: false });
                }
                Step::Unwritable(error) => {
                    self.decline(now, object, reason_of(&error));
                    self.tell(Event::Failed { object: *object, why: error.to_string(), resumes: false });
                }
            }
        }
    }

    /// Says something to all who have to do with a file group.
    fn feed_back(&self, group: u8, datagram: &[u8]) {
        let mut to = self.config.plan.files(group);
        to.set_port(to.port() + 1);
        if let Err(error) = self.config.socket.send(to, datagram, Dscp::Files) {
            tracing::trace!(%error, "a request was not sent");
        }
    }

    fn finish(&mut self, now: Timestamp, object: &ObjectId) {
        let Some(known) = self.known.get_mut(object) else {
            return;
        };
        let before = std::mem::replace(&mut known.mine, Mine::Declined(Reason::Unstorable));
        known.answer_at = Some(now);
        let Mine::Taking(taking) = before else {
            known.mine = before;
            return;
        };
        let from = taking.from;
        match taking.finish() {
            Ok((path, manifest)) => {
                let (blake3, size) = (manifest.root, manifest.size);
                known.mine = Mine::Held(path.clone(), manifest);
                self.tell(Event::Received { object: *object, from, path, blake3, size });
            }
            Err(why) => self.tell(Event::Failed { object: *object, why, resumes: false }),
        }
    }

    /// Fetches what was spoiled, and everything when too much is lost.
    fn fetch(&mut self, now: Timestamp) {
        for (object, known) in &mut self.known {
            let Mine::Taking(taking) = &mut known.mine else {
                continue;
            };
            let address = self.people.get(&taking.from).map(|(_, address)| *address);
            let port = taking.offer.port as u16;
            let (Some(address), false, true) = (address, taking.fetching || port == 0, known.fetch_at <= now) else {
                continue;
            };
            let layout = Layout { size: taking.offer.size, manifest_bytes: 0 };
            let mut blocks = std::mem::take(&mut known.fetch_only);
            if taking.incoming.is_alone() && taking.incoming.manifest().is_some() {
                blocks.extend(taking.incoming.have().missing().take(OBJECT_BLOCKS_IN_ASSEMBLY_MAX / 2));
            }
            blocks.retain(|block| layout.symbols(*block) > 0);
            if blocks.is_empty() {
                continue;
            }
            taking.fetching = true;
            known.fetch_at = now + FETCH_AGAIN;
            let fetch = fetch::Fetch {
                from: scoped(SocketAddr::from((address, port)), self.config.interface.index),
                object: *object,
                me: self.config.me,
                key: taking.offer.key.clone(),
                blocks: blocks.into_iter().map(|block| (block, layout.symbols(block))).collect(),
                sid: self.random.next_u64(),
            };
            let (out, waker) = (self.fetched.0.clone(), Arc::clone(&self.waker));
            fetch::begin(fetch, self.config.keys.clone(), self.clock.clone(), out, waker);
        }
    }

    fn take_fetched(&mut self, now: Timestamp) {
        let mut steps = Vec::new();
        for _ in 0..FETCHED {
            let Ok(fetched) = self.fetched.1.try_recv() else {
                return;
            };
            match fetched {
                Fetched::Symbol(object, block, index, bytes) => {
                    if let Some(Known { mine: Mine::Taking(taking), .. }) = self.known.get_mut(&object) {
                        let symbol = Symbol { tag: object.tag(), block, index, bytes: &bytes };
                        taking.symbol(now, Source::Fetched, &symbol, &mut steps);
                    }
                    self.work_off(now, &object, &mut steps);
                }
                Fetched::Over(object, blocks) => {
                    if let Some(known) = self.known.get_mut(&object)
                        && let Mine::Taking(taking) = &mut known.mine
                    {
                        taking.fetching = false;
                        let mut whole = true;
                        for block in blocks {
                            whole &= taking.incoming.have().has(block);
                            taking.incoming.not_fetched(now, block);
                        }
                        if whole {
                            known.fetch_at = now;
                        }
                    }
                }
            }
        }
    }

    // --- datagrams ---

    pub(super) fn receive(&mut self) {
        let (mut ears, mut buffer) = (std::mem::take(&mut self.ears), std::mem::take(&mut self.buffer));
        let now = self.clock.now();
        let mut body = Vec::new();
        ears.read(&mut buffer, |group, batch| {
            for datagram in batch.datagrams() {
                self.hear(now, group, datagram.source.ip(), datagram.bytes, &mut body);
            }
        });
        (self.ears, self.buffer) = (ears, buffer);
    }

    fn hear(&mut self, now: Timestamp, group: u8, source: IpAddr, datagram: &[u8], body: &mut Vec<u8>) {
        let Ok(header) = Header::parse(datagram) else {
            return;
        };
        match header.class {
            Class::Object => self.hear_symbol(now, source, &header, datagram, body),
            Class::Feedback => self.hear_feedback(now, group, source, &header, datagram, body),
            Class::Control => {}
        }
    }

    fn hear_symbol(&mut self, now: Timestamp, source: IpAddr, header: &Header, datagram: &[u8], body: &mut Vec<u8>) {
        // Only of sessions that somebody offered something in: all else costs a look.
        let meant = |known: &&mut Known| known.offer.sid == header.sid && matches!(known.mine, Mine::Taking(_));
        let Some(known) = self.known.values_mut().find(meant) else {
            return;
        };
        let key = known.offer.key.clone();
        let opener = self.openers.entry(key).or_insert_with_key(|key| Opener::object(self.config.keys.clone(), key));
        if opener.open(now, source, datagram, body).is_err() {
            return;
        }
        let Ok(symbol) = Symbol::parse(body) else {
            return;
        };
        let Mine::Taking(taking) = &mut known.mine else {
            return;
        };
        let object = taking.object;
        if symbol.tag != object.tag() {
            return;
        }
        known.heard = now;
        taking.incoming.heard(now, header.sid, header.pn);
        let mut steps = Vec::new();
        taking.symbol(now, Source::Group, &symbol, &mut steps);
        self.work_off(now, &object, &mut steps);
    }

    fn hear_feedback(
        &mut self,
        now: Timestamp,
        group: u8,
        source: IpAddr,
        header: &Header,
        datagram: &[u8],
        body: &mut Vec<u8>,
    ) {
        if self.is_own(header.sid) || !self.nacks.take(now, OBJECT_NACKS_PER_S_MAX) {
            return;
        }
        let mut keys: Vec<Vec<u8>> = self.giving.values().filter(|g| g.group == group).map(|g| g.key.clone()).collect();
        keys.extend(self.known.values().filter(|k| k.offer.group == u32::from(group)).map(|k| k.offer.key.clone()));
        keys.sort_unstable();
        keys.dedup();
        let opened = keys.into_iter().any(|key| {
            let opener =
                self.openers.entry(key).or_insert_with_key(|key| Opener::object(self.config.keys.clone(), key));
            opener.open(now, source, datagram, body).is_ok()
        });
        let Some(nack) = opened.then(|| ObjectNack::parse(body).ok()).flatten() else {
            return;
        };
        let (Some(object), Some(member)) = (nack.object(), nack.member()) else {
            return;
        };
        // Whoever says it must be where that member is.
        if self.people.get(&member).is_none_or(|(_, address)| *address != source) {
            return;
        }
        if let Some(giving) = self.giving.get_mut(&object) {
            giving.out.nack(now, &member, &nack);
        }
        if let Some(known) = self.known.get_mut(&object)
            && let Mine::Taking(taking) = &mut known.mine
        {
            if !nack.fetch.is_empty() && member == taking.from {
                taking.incoming.set_alone(object::named(&nack.fetch, &self.config.me));
            } else {
                taking.incoming.overheard(now, &nack);
            }
        }
    }

    fn is_own(&self, sid: u64) -> bool {
        let given = self.giving.values().any(|giving| giving.sids().contains(&sid));
        given || self.known.values().any(|known| matches!(&known.mine, Mine::Taking(taking) if taking.sid() == sid))
    }

    fn open_ears(&mut self) {
        let mut wanted: Vec<(u8, bool)> = self.giving.values().map(|giving| (giving.group, false)).collect();
        for known in self.known.values().filter(|known| matches!(known.mine, Mine::Taking(_))) {
            let group = known.offer.group as u8;
            wanted.extend([(group, true), (group, false)]);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let (plan, interface) = (&self.config.plan, &self.config.interface);
        if let Err(error) = self.ears.set(&wanted, plan, interface, &self.registry)
            && self.complaints.take(self.clock.now(), 1)
        {
            tracing::warn!(%error, "cannot hear a file group");
        }
        if !self.giving.is_empty() && !std::mem::replace(&mut self.listening, true) {
            self.listen();
        }
    }

    // --- those who fetch ---

    fn listen(&mut self) {
        let interface = &self.config.interface;
        let address = scoped(SocketAddr::from((interface.addr, 0)), interface.index);
        let opened = TcpListener::bind(address).and_then(|mut listener| {
            self.registry.register(&mut listener, LISTENER, Interest::READABLE)?;
            Ok(listener)
        });
        match opened {
            Ok(listener) => self.listener = Some(listener),
            Err(error) => tracing::warn!(%error, "nobody can fetch files from here over TCP"),
        }
        // With the port in it.
        let now = self.clock.now();
        self.giving.values_mut().for_each(|giving| giving.out.tell(now));
    }

    fn accept_connections(&mut self) {
        while let Some(Ok((stream, from))) = self.listener.as_ref().map(TcpListener::accept) {
            let stream = std::net::TcpStream::from(stream);
            let from = from.ip();
            let member = self.people.values().any(|(_, address)| *address == from);
            if !member || !self.may_serve(from) || stream.set_nonblocking(false).is_err() {
                continue;
            }
            let (keys, clock, sid) = (self.config.keys.clone(), self.clock.clone(), self.random.next_u64());
            let (served, over) = (Arc::clone(&self.served), self.over(from));
            let work = move || {
                let find = |id: &ObjectId| served.lock().unwrap_or_else(|e| e.into_inner()).get(id).cloned();
                if let Err(error) = fetch::serve(stream, &keys, sid, &clock, find) {
                    tracing::debug!(%error, "somebody who fetched is gone");
                }
                drop(over);
            };
            // Without a thread the connection closes, and is tried again.
            let _ = std::thread::Builder::new().name("serve".into()).spawn(work);
        }
    }

    fn may_serve(&self, from: IpAddr) -> bool {
        let mut to = self.serving_to.lock().unwrap_or_else(|e| e.into_inner());
        let one = to.entry(from).or_default();
        if *one >= OBJECT_FETCHES_PER_PEER_MAX || self.serving.load(Ordering::Relaxed) >= OBJECT_FETCHES_MAX {
            return false;
        }
        *one += 1;
        self.serving.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Counts a connection off when it is dropped.
    fn over(&self, from: IpAddr) -> impl Drop + Send + use<> {
        struct Over(Arc<AtomicUsize>, Arc<Mutex<BTreeMap<IpAddr, usize>>>, IpAddr);
        impl Drop for Over {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
                let mut to = self.1.lock().unwrap_or_else(|e| e.into_inner());
                if let Some(one) = to.get_mut(&self.2) {
                    *one = one.saturating_sub(1);
                }
            }
        }
        Over(Arc::clone(&self.serving), Arc::clone(&self.serving_to), from)
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

fn reason_of(error: &files::Error) -> Reason {
    match error {
        files::Error::NoRoom { .. } => Reason::NoRoom,
        _ => Reason::Unstorable,
    }
}
