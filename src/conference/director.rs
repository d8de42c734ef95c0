//! The thread that runs the conference: commands and events in, pipelines started, directed and stopped.
//!
//! A stream is announced first and sent [`LEAD`] later, so that the others have joined its group when it begins, and
//! only while somebody else is here. Devices that fail are told and retried by their own threads.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select};

use super::adjusting::Adjusting;
use super::chat::Lines;
use super::config::Config;
use super::doctor::Examination;
use super::door::Knocks;
use super::entry::Ready;
use super::files::Files;
use super::follow::Follows;
use super::history::keeper::{self, Keeper};
use super::network::Network;
use super::priority::Priority;
use super::repair::Repairs;
use super::sending::OwnVideo;
use super::stats::{Speaker, tenth};
use super::taking::{Reminder, THRESHOLDS_DBFS, Taking};
use super::troubles::Troubles;
use super::view::{Command, NoticeKind};
use super::voice::Messages;
use super::watching::Watch;
use super::{Error, Event, PersonEvent, PersonState, Shared, attention};
use crate::device::camera::{self, CameraSpec};
use crate::device::identity;
use crate::pipeline::audio_receive::AudioReceiver;
use crate::pipeline::audio_send::AudioSender;
use crate::pipeline::control::{self, Control};
use crate::pipeline::egress::Destination;
use crate::pipeline::receive;
use crate::protocol::keys::{EpochKeys, Random};
use crate::protocol::roster::{Camera, Departure, Microphone, Person, Role, StreamInfo};
use crate::protocol::session::{self, DoorEvent, WantedLayers};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;

/// Between announcing a stream and sending it: others join its group, and switches learn that they did.
pub(super) const LEAD: Duration = Duration::from_millis(100);
/// How often devices are asked for news and destinations are reconsidered.
const TICK: Duration = Duration::from_millis(25);
/// Figures of the window cover this time.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Threads that decode pictures: one for each core, two at most; the window and the codecs need cores as well.
const DECODERS_MAX: usize = 2;

/// The running conference.
pub struct Director {
    pub(super) shared: Arc<Shared>,
    telling: Sender<Event>,
    /// Events that nobody read in time since this was last told.
    lost: Cell<u64>,
    pub(super) config: Config,
    pub(super) random: Random,
    pub(super) control: Control,
    keeper: Option<Keeper>,
    pub(super) lines: Lines,
    pub(super) receiver: receive::Receiver,
    pub(super) voices: AudioReceiver,
    pub(super) follows: Follows,
    pub(super) repairs: Repairs,
    pub(super) network: Network,
    /// Keys of everybody's streams in a protected conference.
    pub(super) keys: Option<EpochKeys>,
    pub(super) me: ParticipantId,
    /// The own session; another one in each epoch.
    pub(super) sid: u64,
    pub(super) knocks: Knocks,
    pub(super) files: Files,
    pub(super) messages: Messages,
    /// Keys of what is said about files and of files themselves.
    pub(super) object_keys: EpochKeys,
    /// The stream's source and its thread.
    pub(super) audio: Option<(u32, AudioSender)>,
    /// The own camera while it is on.
    pub(super) video: Option<OwnVideo>,
    /// What others want of it.
    pub(super) wanted_of_me: WantedLayers,
    /// Pictures are not sent for now: the network carries next to none of them.
    pub(super) broken: bool,
    pub(super) watch: Watch,
    pub(super) adjusting: Adjusting,
    pub(super) audio_to: Destination,
    /// Where the own voice is, for beacons.
    pub(super) audio_position: Arc<AtomicU64>,
    pub(super) socket: Arc<crate::device::net::UdpSocket>,
    pub(super) cname: String,
    pub(super) slot: Option<u8>,
    /// What is announced, and from when on it is sent.
    pub(super) streams: Vec<StreamInfo>,
    pub(super) voice_from: Timestamp,
    pub(super) pictures_from: Timestamp,
    /// Since when the slot is held, and a little.
    pub(super) slot_from: Timestamp,
    rolled: Timestamp,
    pub(super) paused: bool,
    /// That nothing is received any more was told.
    deaf: bool,
    /// The camera's failure was told.
    pub(super) camera_told: bool,
    pub(super) speaker: Troubles,
    pub(super) microphone: Troubles,
    pub(super) reminder: Reminder,
    pub(super) priority: Priority,
    pub(super) examination: Examination,
    _kept: identity::Identity,
}

impl Director {
    /// Starts the pipelines and the control role.
    pub(super) fn start(
        ready: Ready,
        config: &Config,
        shared: Arc<Shared>,
        telling: Sender<Event>,
    ) -> Result<Self, Error> {
        let clock = shared.clock.clone();
        let voices = AudioReceiver::start(&config.speaker, config.buffers(), clock.clone()).map_err(Error::Speaker)?;
        voices.set_talkers(config.talkers);
        let decoders = std::thread::available_parallelism().map_or(1, |n| n.get().min(DECODERS_MAX));
        let receiver = receive::Receiver::start(&ready.interface, &clock, decoders, Box::new(voices.sink()))?;
        let (keeper, log) = keeper::keep(ready.past, &clock)?;
        let control = Control::start(control::Config {
            clock,
            interface: ready.interface.clone(),
            socket: Arc::clone(&ready.socket),
            setup: session::Setup {
                conference: ready.conference,
                title: ready.title.clone(),
                open: ready.open,
                secret: ready.secret,
                plan: ready.plan,
                identity: ready.identity,
                seed: *identity::random_seed()?,
                name: ready.name.clone(),
                role: ready.role,
                address: ready.socket.local_addr(),
                expected: Some(ready.expected),
            },
            log,
            entrance: ready.entrance,
        })?;
        let sid = control.sid();
        receiver.feedback(&ready.socket, &ready.sealing, sid);
        let mut director = Self {
            cname: ready.cname,
            shared,
            telling,
            lost: Cell::new(0),
            config: config.clone(),
            random: ready.random,
            control,
            keeper,
            lines: Lines::default(),
            receiver,
            voices,
            follows: Follows::default(),
            repairs: Repairs::default(),
            network: Network::new(ready.interface, config.interface.is_some()),
            keys: ready.keys,
            me: ready.id,
            sid,
            knocks: Knocks::default(),
            files: Files::default(),
            messages: Messages::default(),
            object_keys: ready.sealing,
            audio: None,
            video: None,
            audio_to: Destination::default(),
            wanted_of_me: WantedLayers::default(),
            broken: false,
            watch: Watch::new(ready.joined_at),
            adjusting: Adjusting::new(ready.joined_at, config.quality),
            audio_position: Arc::default(),
            socket: ready.socket,
            slot: None,
            streams: Vec::new(),
            voice_from: Timestamp(0),
            pictures_from: Timestamp(0),
            slot_from: Timestamp(0),
            rolled: ready.joined_at,
            paused: false,
            deaf: false,
            camera_told: false,
            speaker: Troubles::speaker(),
            microphone: Troubles::microphone(),
            reminder: Reminder::default(),
            priority: Priority::default(),
            examination: Examination::default(),
            _kept: ready.kept,
        };
        director.control.send(control::Command::Direct(director.receiver.direct_port()));
        for (kind, text) in &ready.notices {
            director.say(*kind, text);
        }
        if ready.has_microphone {
            director.start_microphone(ready.silent)?;
        }
        if config.camera == CameraSpec::Auto && camera::list().is_ok_and(|cameras| cameras.is_empty()) {
            let mut state = director.shared.state();
            (state.own.has_camera, state.own.camera_on) = (false, false);
            drop(state);
            director.say(NoticeKind::Info, "no camera was found: you take part without one");
        } else if ready.has_camera && !ready.hold {
            director.switch_camera(true);
        }
        Ok(director)
    }

    /// Runs until told to leave, then leaves.
    pub(super) fn run(mut self, asked: &Receiver<Command>) {
        let happened = self.control.events().clone();
        loop {
            select! {
                recv(asked) -> command => match command {
                    Ok(Command::Mute(on)) => self.mute(on),
                    Ok(Command::TalkMode(talk)) => self.take_up(Taking { talk, ..self.config.taking }),
                    Ok(Command::Threshold(dbfs)) => {
                        let threshold_dbfs = dbfs.clamp(*THRESHOLDS_DBFS.start(), *THRESHOLDS_DBFS.end());
                        self.take_up(Taking { threshold_dbfs, ..self.config.taking });
                    }
                    Ok(Command::Improve(what, on)) => self.improve(what, on),
                    Ok(Command::Priority(on)) => self.speak_over(on),
                    Ok(Command::Camera(on)) => self.switch_camera(on),
                    Ok(Command::Hand(hand)) => self.attend(|mine| mine.hand = hand),
                    Ok(Command::Away(away)) => self.attend(|mine| mine.away = away),
                    Ok(Command::Pause) => self.paused = true,
                    Ok(Command::Say(text)) => self.speak(text, None),
                    Ok(Command::Whisper(names, text)) => self.whisper(&names, text),
                    Ok(Command::Reply(line, text)) => self.speak(text, Some(&line)),
                    Ok(Command::React(line, emoji)) => self.react(emoji, &line),
                    Ok(Command::Send(path, to)) => self.send_file(path, &to, None),
                    Ok(Command::Accept(which, folder)) => self.accept_file(&which, folder, false),
                    Ok(Command::AcceptAlways(which)) => self.accept_file(&which, None, true),
                    Ok(Command::Decline(which)) => self.decline_file(&which),
                    Ok(Command::Voice(ask)) => self.voice(ask),
                    Ok(Command::Door(decision)) => self.decide(&decision),
                    Ok(Command::Doctor(about)) => self.examine(about),
                    Ok(Command::Hear(key, hearing)) => self.hear(key, hearing),
                    Ok(Command::HearOf(who, volume, silenced)) => self.hear_of(&who, volume, silenced),
                    Ok(Command::UseCamera(text)) => self.use_camera(&text),
                    Ok(Command::UseMicrophone(text)) => self.use_microphone(&text),
                    Ok(Command::UseSpeaker(text)) => self.use_speaker(&text),
                    Ok(Command::Leave) | Err(_) => break,
                },
                recv(happened) -> event => match event {
                    Ok(event) => self.happened(event),
                    Err(_) => {
                        if self.shared.state().outcome.is_none() {
                            self.say(NoticeKind::Warning, "the control thread ended; leaving");
                        }
                        break;
                    }
                },
                default(TICK) => {}
            }
            self.tick();
        }
        self.stop();
    }

    /// Devices first, so that BYE is the last that others hear.
    fn stop(mut self) {
        self.stop_voice();
        self.stop_files();
        self.video = None;
        self.audio = None;
        self.shared.state().control_rejected = self.control.rejected();
        if !self.control.stop() {
            tracing::warn!("the control thread does not end");
        } else if let Some(keeper) = self.keeper.take() {
            keeper.finish();
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(super) fn say(&self, kind: NoticeKind, text: &str) {
        if self.shared.state().notices.say(self.now(), kind, text) {
            self.tell_event(Event::Notice { kind, text: text.to_owned() });
        }
    }

    /// Hands an event to whoever reads them. Those nobody reads in time are lost, and that is told.
    pub(super) fn tell_event(&self, event: Event) {
        {
            let mut state = self.shared.state();
            let settled = self.now().since(state.joined_at) > SECOND;
            state.talk.note(&event, self.shared.clock.wall(), settled);
        }
        let lost = self.lost.get();
        if lost > 0 {
            let text = format!("{lost} events were not read in time and are lost");
            if self.telling.try_send(Event::Notice { kind: NoticeKind::Warning, text }).is_ok() {
                self.lost.set(0);
            }
        }
        if self.telling.try_send(event).is_err() {
            self.lost.set(self.lost.get() + 1);
        }
    }

    // --- others ---

    fn happened(&mut self, event: session::Event) {
        use session::Event as E;
        match event {
            E::Joined { me, others } => {
                // Never a name: logs are passed on.
                tracing::info!(id = %me.id, address = %me.address, others, "joined");
                let name = me.name.clone();
                self.is_known_as(&me);
                let mut state = self.shared.state();
                state.own.name = me.name;
                state.waiting = false;
                let (conference, open) = (state.title.clone(), state.open);
                drop(state);
                self.tell_event(Event::Joined { conference, id: me.id.to_string(), name, open });
            }
            E::MeChanged(me) => {
                self.network.single = me.single;
                self.is_known_as(&me);
                self.reached(me.reach);
                self.shared.state().own.name = me.name;
            }
            E::PersonJoined(person) => self.arrived(person),
            E::PersonChanged(person) => self.changed(person),
            E::PersonLeft(person, departure) => self.left(&person, departure),
            E::SlotTaken(slot) => self.take_slot(slot),
            E::SlotLost => self.slot = None,
            E::SlotsFull => {
                self.slot = None;
                self.say(NoticeKind::Warning, "124 people send already: you are not seen or heard until one stops");
            }
            E::ClockSample(sample) => {
                let now = self.now();
                if let Some(other) = self.shared.state().people.present(&sample.id) {
                    other.measured(now, &sample);
                }
            }
            E::Wanted(wanted) => self.wanted_of_me = wanted,
            E::WantedByDeaf(wanted) => self.wanted_by_deaf(self.now(), wanted),
            E::Reception(reception) => self.received_by(&reception),
            E::Chat(event) => self.chatted(event),
            E::Said(id, _) => self.said(id),
            E::Unsaid(content, why) => self.unsaid(content, &why),
            E::Door(event) => self.at_the_door(event),
            E::Everybody { me, others, keys, authority, locked, wanted, wanted_by_deaf } => {
                self.wanted_of_me = wanted;
                self.is_known_as(&me);
                self.wanted_by_deaf(self.now(), wanted_by_deaf);
                if me.sid != self.sid {
                    let (sid, streams) = (me.sid, me.streams.clone());
                    self.at_the_door(DoorEvent::Epoch { keys, sid, streams });
                }
                self.catch_up(*me, others);
                self.catch_up_door(authority, locked);
            }
            // Control has taken it.
            E::Introduced(_) => {}
            E::Object(from, packet) => self.about_file(from, packet),
            E::Displaced => {
                self.say(NoticeKind::Warning, "this name's identity joined from another place; others follow that one");
            }
        }
    }

    fn take_slot(&mut self, slot: u8) {
        self.slot = Some(slot);
        self.slot_from = self.now() + LEAD;
    }

    /// Events were lost: everything is as it is told here.
    fn catch_up(&mut self, me: Person, others: Vec<Person>) {
        match me.slot {
            Some(slot) if self.slot != Some(slot) => self.take_slot(slot),
            slot => self.slot = slot,
        }
        self.shared.state().own.name = me.name;
        let here = |p: &Person| others.iter().any(|o| o.id == p.id);
        let gone: Vec<Person> =
            self.shared.state().people.here().map(|o| &o.person).filter(|p| !here(p)).cloned().collect();
        gone.iter().for_each(|person| self.left(person, Departure::Lost));
        for person in others {
            let known = self.shared.state().people.present(&person.id).map(|o| o.person == person);
            match known {
                None => self.arrived(person),
                Some(false) => self.changed(person),
                Some(true) => {}
            }
        }
    }

    pub(super) fn tell(&self, person: &Person, state: PersonState, news: &'static str) {
        if person.role == Role::Observer {
            return;
        }
        let event = PersonEvent {
            name: person.name.clone(),
            id: person.id.to_string(),
            state,
            news,
            muted: person.microphone == Microphone::Muted,
            camera: match person.camera {
                Camera::On => "on",
                Camera::Off => "off",
                Camera::Failed(_) => "failed",
            },
            attention: person.attention,
            role: self.shared.state().rule.role(&person.id),
            address: person.address.ip(),
            transport: person.reach.word(),
        };
        self.tell_event(Event::Person(event));
    }

    fn arrived(&mut self, person: Person) {
        self.tell(&person, PersonState::Joined, "joined");
        self.here_for_files(&person);
        if person.role == Role::Participant && self.now().since(self.shared.state().joined_at) > SECOND {
            self.say(NoticeKind::Info, &format!("{} joined", person.name));
        }
        let id = person.id;
        self.shared.state().people.arrive(person);
        self.follow(&id);
    }

    fn changed(&mut self, person: Person) {
        let id = person.id;
        let before = self.shared.state().people.present(&id).map(|other| other.renew(person.clone()));
        let is_news = before.as_ref().is_none_or(|before| before.differs_in_view(&person));
        let news = before.map_or("", |before| attention::news(before.attention, person.attention));
        if is_news {
            self.tell(&person, PersonState::Changed, news);
        }
        self.here_for_files(&person);
        if person.role == Role::Participant && !news.is_empty() {
            self.say(NoticeKind::Info, &format!("{} {news}", person.name));
        }
        self.follow(&id);
    }

    fn left(&mut self, person: &Person, departure: Departure) {
        let (state, words) = match departure {
            Departure::Left => (PersonState::Left, "left"),
            Departure::Lost => (PersonState::Lost, "is not heard of any more"),
            Departure::Removed => (PersonState::Removed, "was removed"),
        };
        self.tell(person, state, words);
        self.gone_for_files(person.id);
        // Who was removed is told with the name of whom it was by.
        if person.role == Role::Participant && departure != Departure::Removed {
            self.say(NoticeKind::Info, &format!("{} {words}", person.name));
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        if let Some(other) = state.people.depart(&person.id) {
            self.unfollow(other);
        }
    }

    // --- time ---

    fn tick(&mut self) {
        while let Some(event) = self.video.as_ref().and_then(|video| video.sender.events().try_recv().ok()) {
            self.camera_event(event);
        }
        while let Some((ssrc, event)) = self.audio.as_ref().and_then(|(ssrc, a)| Some((*ssrc, a.event()?))) {
            self.microphone_event(ssrc, event);
        }
        self.remind();
        self.mind_priority();
        while let Some(event) = self.voices.event() {
            if let Some((kind, text)) = self.speaker.of(&event) {
                self.say(kind, &text);
            }
        }
        while let Some(text) = self.keeper.as_ref().and_then(Keeper::notice) {
            self.say(NoticeKind::Warning, &text);
        }
        self.tick_files();
        self.tick_voice();
        let now = self.now();
        self.mind_network(now);
        self.direct(now);
        self.watch(now);
        if self.follows.again(now) {
            self.follow_all();
        }
        self.examined();
        if now.since(self.rolled) >= SECOND {
            self.roll(now);
            self.suspect(now);
        }
    }

    fn roll(&mut self, now: Timestamp) {
        let seconds = now.since(self.rolled).as_secs_f32();
        self.rolled = now;
        self.watch_media();
        self.adjust(seconds);
        self.keep_lips();
        if self.receiver.is_ended() && !std::mem::replace(&mut self.deaf, true) {
            self.say(NoticeKind::Warning, "receiving has stopped: leave and join again to see and hear the others");
        }
        let mixer = self.voices.stats();
        let mut state = self.shared.state();
        state.own.roll(seconds);
        state.people.roll(seconds);
        state.speaker =
            Speaker { ahead_ms: f64::from(tenth(mixer.fill_ms())), glitches: mixer.glitches(), opened: mixer.opened() };
        state.control_rejected = self.control.rejected();
        state.media_rejected = self.receiver.refused();
        let usage = crate::device::process::usage();
        let (steps, mbit) = (self.watch.steps(), self.watch.bits_per_s() as f64 / 1e6);
        let watched = match steps {
            0 => format!("pictures: about {mbit:.0} Mb/s chosen"),
            _ => format!("pictures: about {mbit:.0} Mb/s chosen, {steps} steps smaller because of loss or load"),
        };
        let slot = self.slot.map_or("none".to_owned(), |s| s.to_string());
        state.summary = vec![
            format!(
                "processor {:.0} %   memory {} MB   {} threads",
                state.processor_percent(usage.cpu_s, seconds),
                usage.max_rss_bytes >> 20,
                usage.threads
            ),
            format!(
                "{}   groups {} port {}   slot {slot}   {}",
                state.interface,
                state.plan.block_text(),
                state.plan.port,
                state.own.reach.word()
            ),
            watched,
            format!("speaker: {:.0} ms ahead, {} gaps", mixer.fill_ms(), mixer.glitches()),
        ];
        let microphone = state.own.voice_line();
        state.summary.extend(microphone);
    }
}
