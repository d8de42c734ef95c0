//! The control role without its thread: sockets, session, SAP. `step` does what is due; `receive` takes what waits.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;
use mio::{Registry, Token};

use super::probes::Probes;
use super::sap::{Announcer, describe};
use super::{BATCHES_MAX, Command, Config, EVENTS, Error, Figures, LocalStream};
use crate::device::clock::Clock;
use crate::device::net::{Dscp, Interface, ReceiveBuffer, UdpSocket};
use crate::limits::CONTROL_COPIES_MAX;
use crate::protocol::chat::{self, Kept};
use crate::protocol::rate::Rate;
use crate::protocol::roster::Microphone;
use crate::protocol::roster::Person;
use crate::protocol::session::{Arrival, Channel, DoorEvent, Event, Moment, Outputs, Session, To};
use crate::protocol::transport::{self, Hearing, Reach};
use crate::time::Timestamp;
use crate::wire::StreamKind;
use crate::wire::address::{DISCOVERY_PORT, Plan, Scope};
use crate::wire::probe;

/// Silence of the others after which the groups are joined anew, in case a switch forgot them.
const REJOIN_AFTER: Duration = Duration::from_secs(4);
/// Longest gap between two attempts while nobody is heard.
const REJOIN_GAP_MAX: Duration = Duration::from_secs(10);

/// How often those who hear no group are told of each other.
const INTRODUCE: Duration = Duration::from_secs(2);
/// How often a reader who missed events is looked for.
const CATCH_UP: Duration = Duration::from_millis(50);

struct Socket {
    socket: Arc<UdpSocket>,
    channel: Channel,
    /// Something may wait: readiness is told once only.
    ready: bool,
}

pub(super) struct Role {
    clock: Clock,
    sockets: Vec<Socket>,
    own: Arc<UdpSocket>,
    session: Session,
    keeper: Option<Sender<Kept>>,
    streams: Vec<LocalStream>,
    plan: Plan,
    title: String,
    broadcasts: bool,
    sap: Option<Announcer>,
    sap_version: u64,
    /// The description of own streams may be another one.
    me_changed: bool,
    events: Sender<Event>,
    figures: Arc<Figures>,
    /// Events were dropped: whoever reads them must be told everything anew.
    behind: bool,
    out: Outputs,
    buffer: ReceiveBuffer,
    probes: Probes,
    rejoin_at: Timestamp,
    rejoin_gap: Duration,
    /// A switch forgets groups, whether others are heard or not.
    refresh: bool,
    hearing: Hearing,
    /// Those who hear no group and are sent copies.
    deaf: Vec<SocketAddr>,
    /// Others who hear no group either, as somebody who hears them says.
    introduced: Vec<SocketAddr>,
    introduce_at: Timestamp,
    /// Somebody who is here hears no groups but the control group.
    single: bool,
    registry: Option<Registry>,
    complaints: Rate,
}

impl Role {
    pub(super) fn open(config: Config, events: Sender<Event>, figures: Arc<Figures>) -> Result<Self, Error> {
        let Config { clock, interface, socket: own, mut setup, log, entrance } = config;
        setup.address = own.local_addr();
        let (plan, scope) = (setup.plan, setup.plan.scope);
        let broadcasts = scope == Scope::Link && interface.addr.is_ipv4() && !interface.loopback;
        let shared = |socket, channel| Socket { socket: Arc::new(socket), channel, ready: true };
        let mut sockets = vec![
            Socket { socket: Arc::clone(&own), channel: Channel::Unicast, ready: true },
            shared(UdpSocket::multicast(plan.control(), &interface)?, Channel::Control),
            shared(UdpSocket::multicast(plan.discovery(), &interface)?, Channel::Discovery),
        ];
        if broadcasts {
            sockets.push(shared(UdpSocket::broadcast(DISCOVERY_PORT, &interface)?, Channel::Discovery));
        }
        // Where somebody who hears neither groups nor broadcasts asks. Another conference on this machine may get it.
        match UdpSocket::answering(DISCOVERY_PORT, &interface) {
            Ok(socket) => sockets.push(shared(socket, Channel::Discovery)),
            Err(error) => tracing::debug!(%error, "not to be found by address"),
        }
        let at = Moment { now: clock.now(), wall: clock.wall() };
        let title = setup.title.clone();
        let sap = setup.open.then(|| Announcer::new(setup.address.ip(), plan.sap()));
        let probes = Probes::new(setup.conference)?;
        let mut session = Session::new(at, setup);
        session.set_wireless(interface.wireless);
        session.restore(at, log.restored);
        entrance.founding.into_iter().for_each(|random| session.found(random));
        session.arrive(at, entrance.epoch, entrance.locked);
        Ok(Self {
            sockets,
            plan,
            title,
            broadcasts,
            sap,
            sap_version: 1,
            me_changed: false,
            session,
            keeper: log.keeper,
            own,
            clock,
            streams: Vec::new(),
            events,
            figures,
            behind: false,
            out: Outputs::default(),
            buffer: ReceiveBuffer::new(),
            probes,
            rejoin_at: at.now + REJOIN_AFTER,
            rejoin_gap: REJOIN_AFTER,
            refresh: false,
            hearing: Hearing::new(at.now),
            deaf: Vec::new(),
            introduced: Vec::new(),
            introduce_at: at.now,
            single: false,
            registry: None,
            complaints: Rate::default(),
        })
    }

    /// Registers every socket with its index as token.
    pub(super) fn register(&mut self, registry: &Registry) -> std::io::Result<()> {
        self.registry = Some(registry.try_clone()?);
        self.sockets.iter().enumerate().try_for_each(|(n, s)| s.socket.register(registry, Token(n)))
    }

    /// Takes back what [`register`](Self::register) did: the own socket outlives the role.
    pub(super) fn deregister(&self, registry: &Registry) {
        for s in &self.sockets {
            // A socket that is not registered is as good.
            let _ = s.socket.deregister(registry);
        }
    }

    pub(super) fn sid(&self) -> u64 {
        self.session.me().sid
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.session.is_finished()
    }

    pub(super) fn command(&mut self, command: Command) {
        let at = self.moment();
        let out = &mut self.out;
        match command {
            Command::Name(name) => self.session.set_name(at, &name, out),
            Command::Attention(state) => self.session.set_attention(at, state, out),
            Command::Favoured(favoured) => self.session.set_favoured(at, favoured, out),
            Command::Microphone(state) => self.session.set_microphone(at, state, out),
            Command::Camera(state) => self.session.set_camera(at, state, out),
            Command::Streams(streams) => {
                self.streams = streams;
                let infos: Vec<_> = self.streams.iter().map(LocalStream::now).collect();
                self.session.set_streams(at, &infos, out);
            }
            Command::Want(places) => self.session.want(at, places, out),
            Command::Reception(rows) => self.session.report_reception(at, rows),
            Command::Say(content, audience) => self.session.say(at, content, &audience, out),
            Command::Object(packet, audience) => self.session.say_of_object(at, packet, &audience, out),
            Command::Lock(on) => self.session.lock(at, on, out),
            Command::Kick(id) => self.session.kick(at, id, out),
            Command::Admit(id) => self.session.admit(at, id, out),
            Command::Refuse(id) => self.session.refuse(at, id, out),
            Command::Moderator(id, on) => self.session.set_moderator(at, id, on, out),
            Command::HandOver(id) => self.session.hand_over(at, id, out),
            Command::Network(interface, moved) => self.network(at, &interface, moved),
            Command::Refresh => self.refresh = true,
            Command::GroupsFlow => self.hearing.heard(at.now, true),
            Command::StreamsFail => self.hearing.streams(false),
            Command::StreamsWork => self.hearing.streams(true),
            Command::Direct(port) => self.session.set_direct(at, port, out),
            Command::Leave => self.session.leave(at, out),
        }
        self.flush();
    }

    /// Socket `index` has something.
    pub(super) fn mark_ready(&mut self, index: usize) {
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.ready = true;
        }
    }

    /// Takes what waits, at most so much of each socket that timers and commands get their turn.
    pub(super) fn receive(&mut self) {
        self.positions();
        for n in 0..self.sockets.len() {
            let mut batches = 0;
            while self.sockets[n].ready && batches < BATCHES_MAX {
                batches += 1;
                let received = self.sockets[n].socket.receive(&mut self.buffer);
                match received {
                    Ok(0) => self.sockets[n].ready = false,
                    Ok(_) => self.hear(self.sockets[n].channel),
                    Err(error) => {
                        // Such as the answer to a datagram nobody took. The next arrival wakes again.
                        self.sockets[n].ready = false;
                        self.complain("cannot receive", &error);
                    }
                }
            }
        }
    }

    fn hear(&mut self, channel: Channel) {
        let own = self.own.local_addr();
        let now = self.clock.now();
        let mut others = false;
        for datagram in self.buffer.datagrams() {
            let wall = self.clock.wall();
            if channel != Channel::Control && probe::is_ours(datagram.bytes) {
                let at = Moment { now, wall };
                self.probes.answer(at, channel, &datagram, (&self.session, &self.plan), |to, bytes| {
                    // Whoever asks sees what does not come.
                    let _ = self.own.send(to, bytes, Dscp::Default);
                });
                continue;
            }
            let from = Arrival { channel, source: datagram.source, wall: datagram.arrived.unwrap_or(wall) };
            others |= channel == Channel::Control && datagram.source != own;
            let opened = self.session.counters().opened;
            self.session.handle(Moment { now, wall }, from, datagram.bytes, &mut self.out);
            if self.session.counters().opened > opened && channel != Channel::Discovery {
                self.hearing.heard(now, channel == Channel::Control);
            }
        }
        if others {
            self.rejoin_gap = REJOIN_AFTER;
            // The refresh of a switch that forgets is not put off by hearing others: they are heard because of it.
            self.rejoin_at = if self.refresh { self.rejoin_at.min(now + REJOIN_GAP_MAX) } else { now + REJOIN_AFTER };
        }
        self.flush();
    }

    /// Does what is due.
    pub(super) fn step(&mut self) {
        let at = self.moment();
        self.positions();
        if self.session.next_timeout().is_some_and(|due| due <= at.now) {
            self.session.timeout(at, &mut self.out);
            self.flush();
        }
        self.mind_reach(at);
        self.catch_up();
        self.announce_streams(at.now);
        if self.rejoin_at <= at.now {
            self.rejoin(at.now);
        }
    }

    /// When the next [`step`](Self::step) is due; now when something still waits.
    pub(super) fn next_timeout(&self) -> Timestamp {
        if self.sockets.iter().any(|s| s.ready) {
            return Timestamp(0);
        }
        let sap = self.sap.as_ref().and_then(Announcer::next_timeout);
        let session = self.session.next_timeout();
        let behind = self.behind.then(|| self.clock.now() + CATCH_UP);
        session.into_iter().chain(sap).chain(behind).fold(self.rejoin_at, Timestamp::min)
    }

    /// Takes back the SAP announcement: the last thing done.
    pub(super) fn close(&mut self) {
        let now = self.clock.now();
        if let Some(sap) = &mut self.sap {
            let own = &self.own;
            sap.set(now, None, |to, bytes| drop(own.send(to, bytes, Dscp::Default)));
        }
    }

    /// Tells everything anew to a reader who missed events, once there is room for what follows.
    fn catch_up(&mut self) {
        if self.behind && self.events.len() <= EVENTS / 2 {
            self.behind = self.events.try_send(self.session.everybody()).is_err();
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), wall: self.clock.wall() }
    }

    /// Tells the session where the streams are, for the next beacon.
    fn positions(&mut self) {
        for stream in &self.streams {
            if let Some(position) = &stream.position {
                let silent = stream.info.kind == StreamKind::Audio && self.session.me().microphone != Microphone::On;
                let active = stream.to.current().is_some() && !silent;
                self.session.set_position(stream.info.kind, position.load(Ordering::Relaxed), active);
            }
            if let Some(position) = &stream.repair {
                self.session.set_repair_position(stream.info.kind, position.load(Ordering::Relaxed));
            }
        }
    }

    fn flush(&mut self) {
        let discovery = self.plan.discovery();
        let mut failure = None;
        for (to, bytes) in self.out.sends() {
            let mut send = |to| {
                if let Err(error) = self.own.send(to, bytes, Dscp::Default) {
                    failure = Some(error);
                }
            };
            match to {
                To::Control => {
                    send(self.plan.control());
                    self.deaf.iter().for_each(|&address| send(address));
                }
                To::Discovery => {
                    send(discovery);
                    if self.broadcasts {
                        send(SocketAddr::from((Ipv4Addr::BROADCAST, DISCOVERY_PORT)));
                    }
                }
                To::Unicast(address) => send(address),
            }
        }
        if let Some(error) = failure {
            self.complain("cannot send", &error);
        }
        let mut unkept = false;
        let mut people_changed = false;
        for event in self.out.events.drain(..) {
            people_changed |= matches!(
                event,
                Event::PersonJoined(_) | Event::PersonChanged(_) | Event::PersonLeft(..) | Event::Joined { .. }
            );
            let event = match event {
                Event::Chat(chat::Event::Keep(kept)) => {
                    unkept |= self.keeper.as_ref().is_some_and(|keeper| keeper.try_send(kept).is_err());
                    continue;
                }
                Event::Introduced(introduction) => {
                    self.introduced = introduction.addresses().collect();
                    people_changed = true;
                    continue;
                }
                other => other,
            };
            self.me_changed |= matches!(event, Event::Joined { .. } | Event::MeChanged(_));
            if let Event::Door(DoorEvent::Epoch { .. }) = event {
                // Where the streams were says nothing of those that follow, which are told about next.
                self.streams.clear();
            }
            if self.behind || self.events.try_send(event).is_err() {
                self.behind = true;
                self.figures.events_dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.out.clear();
        if people_changed {
            self.mind_the_deaf();
        }
        self.figures.rejected.store(self.session.refused(), Ordering::Relaxed);
        if unkept && self.complaints.take(self.clock.now(), 1) {
            tracing::warn!("the disk is too slow: lines of the chat are not kept");
        }
    }

    /// Announces own streams to other programs, as they are now.
    fn announce_streams(&mut self, now: Timestamp) {
        let Some(sap) = &mut self.sap else {
            return;
        };
        let own = &self.own;
        // A convenience for other programs: when it fails nobody need be told.
        let mut send = |to, bytes: &[u8]| drop(own.send(to, bytes, Dscp::Default));
        if std::mem::take(&mut self.me_changed) {
            let me = self.session.me();
            let mut text = describe(&self.title, &self.plan, me, None, self.sap_version);
            if text.is_some() && text.as_deref() != sap.text() {
                self.sap_version += 1;
                text = describe(&self.title, &self.plan, me, None, self.sap_version);
            }
            sap.set(now, text, &mut send);
        }
        sap.timeout(now, &mut send);
    }

    fn rejoin(&mut self, now: Timestamp) {
        for n in 0..self.sockets.len() {
            if let Err(error) = self.sockets[n].socket.rejoin() {
                self.complain("cannot join the group again", &error);
            }
        }
        self.rejoin_at = now + if self.refresh { REJOIN_GAP_MAX } else { self.rejoin_gap };
        self.rejoin_gap = (self.rejoin_gap * 2).min(REJOIN_GAP_MAX);
    }

    /// Who hears no group is sent copies; who hears none themselves sends copies to everybody, as what keeps groups from
    /// coming often keeps them from going out.
    fn mind_the_deaf(&mut self) {
        let all = self.session.me().reach == Reach::Unicast;
        let deaf = self.session.people().filter(|p| all || p.reach == Reach::Unicast);
        self.deaf.clear();
        self.deaf.extend(deaf.map(|p| p.address).take(CONTROL_COPIES_MAX));
        let unknown: Vec<SocketAddr> =
            self.introduced.iter().copied().filter(|at| all && !self.deaf.contains(at)).collect();
        self.deaf.extend(unknown.into_iter().take(CONTROL_COPIES_MAX.saturating_sub(self.deaf.len())));
        self.single = self.session.people().any(|p| p.reach == Reach::Single);
    }

    /// Those who hear no group cannot find each other: whoever relays for them tells them of each other.
    fn introduce(&mut self, now: Timestamp) {
        if now < self.introduce_at {
            return;
        }
        self.introduce_at = now + INTRODUCE;
        let me = self.session.me();
        let able = self.session.people().chain(std::iter::once(me)).filter_map(Person::able_to_relay);
        if self.deaf.len() > 1 && transport::relay(able) == Some(me.id) {
            self.session.introduce(&self.deaf, &mut self.out);
            self.flush();
        }
    }

    /// Tells the others which groups are heard here, when that is different.
    fn mind_reach(&mut self, at: Moment) {
        self.introduce(at.now);
        let reach = self.hearing.reach(at.now);
        let single = self.single || reach == Reach::Single;
        let me = self.session.me();
        if (me.reach, me.single) != (reach, single) {
            tracing::info!(reach = reach.word(), single, "another way to be reached");
            self.session.set_reach(at, reach, single, &mut self.out);
            self.mind_the_deaf();
            self.flush();
        }
    }

    /// The network is back. Other switches may be in it, which know of no groups; others learn the address by a beacon.
    fn network(&mut self, at: Moment, interface: &Interface, moved: bool) {
        for (n, s) in self.sockets.iter_mut().enumerate() {
            s.ready = true;
            let shared = s.channel != Channel::Unicast;
            let renewed = if !moved {
                s.socket.rejoin()
            } else if shared {
                s.socket.renew(interface)
            } else {
                Ok(())
            };
            if let Err(error) = renewed {
                tracing::warn!(%error, "cannot listen on the changed network yet");
            }
            let registry = self.registry.as_ref().filter(|_| moved);
            // The sockets are others under the numbers of those before.
            if let Some(Err(error)) = registry.map(|registry| s.socket.register(registry, Token(n))) {
                tracing::error!(%error, "cannot wait for a socket of the changed network");
            }
        }
        self.hearing.network_changed(at.now);
        self.session.set_address(at, self.own.local_addr(), &mut self.out);
        if let Some(sap) = &mut self.sap {
            sap.set_source(self.own.local_addr().ip());
            self.me_changed = true;
        }
        (self.rejoin_gap, self.rejoin_at) = (Duration::from_secs(1), at.now + Duration::from_secs(1));
    }

    fn complain(&mut self, what: &str, error: &dyn std::error::Error) {
        if self.complaints.take(self.clock.now(), 1) {
            tracing::warn!(error = %error, "{what}");
        }
    }
}
