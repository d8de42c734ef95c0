//! A member's side of the conference: joins, keeps the roster, holds a slot, answers those who look for it, leaves.
//!
//! ```text
//! datagrams, commands, timeouts >  Session  > datagrams to send, events
//!
//! Knocking: only at a locked conference, until let in (`porch.rs`)
//! Joining: JOIN at 0, 100, 400 ms; members answer with a beacon that echoes the nonce, spread over 1 ms for each
//!   | as many answered as were announced, or 250 ms (550 ms without any answer)
//! Joined: takes a slot if it has streams; beacons regularly, on change at once and again after 60 and 250 ms
//!   | leave()
//! Leaving: BYE three times, 5 ms apart
//! ```
//! Joining first waits for the answers because a slot taken blindly would hit somebody else's. It owns no clock, socket
//! or chance: all are arguments. The chat runs inside it (`talk.rs`), and so does the door: knocking before `Joining`, locks,
//! kicks and epochs (`porch.rs`, `rule.rs`). A snapshot of the roster has its message number kept
//! ([`crate::wire::message`]).

mod beacons;
mod files;
mod interest;
mod outputs;
mod porch;
mod receive;
mod rule;
mod send;
mod streams;
mod talk;
#[cfg(test)]
mod tests;
mod transport;

use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::{FAVOURED_MAX, NAME_BYTES_MAX};
use crate::protocol::discovery::Announcer;
use crate::protocol::keys::{Checked, EpochKeys, Identity, Random, Secret};
use crate::protocol::rate::{Rate, SourceRate};
use crate::protocol::roster::{Attention, Camera, Microphone, Person, Report, Role, Roster, names, period, slots};
use crate::protocol::seal::{Opener, Sealer};
use crate::protocol::transport::Reach;
use crate::time::{NtpTime, Timestamp};
use crate::wire::address::Plan;
use crate::wire::message::{ConferenceId, ParticipantId, Signed};

pub use interest::{Reception, WantedLayers};
pub use outputs::{ClockSample, Counters, DoorEvent, Event, Outputs, To, Unsaid};

/// When JOIN goes out after the start.
const JOINS_MS: [u64; 3] = [0, 100, 400];
/// How long answers are waited for when fewer come than were announced.
const COLLECT: Duration = Duration::from_millis(250);
/// How long when none comes at all: the second and third JOIN may be heard.
const COLLECT_UNHEARD: Duration = Duration::from_millis(550);
/// What each member adds to the time between two beacons for everybody with answers: 280 bytes at 1.6 Mb/s for all. A crowd
/// that comes within seconds would else be answered by a flood.
const ANSWER_PER_MEMBER: Duration = Duration::from_micros(1_400);
/// How often whoever keeps a contested slot reminds the other.
const REMINDER_GAP: Duration = Duration::from_millis(500);
const BYES: u8 = 3;
const BYE_GAP: Duration = Duration::from_millis(5);

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic.
    pub now: Timestamp,
    /// Wall clock, which others compare with theirs.
    pub wall: NtpTime,
}

/// A way by which datagrams come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The conference's control group.
    Control,
    /// The discovery group or a broadcast to its port.
    Discovery,
    /// The instance's own socket.
    Unicast,
}

/// How a datagram came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The way it came.
    pub channel: Channel,
    /// Who sent it.
    pub source: SocketAddr,
    /// When it reached this machine, by the wall clock: measurements of clocks are as good as this is.
    pub wall: NtpTime,
}

/// What a session starts from.
pub struct Setup {
    /// Conference.
    pub conference: ConferenceId,
    /// Its title.
    pub title: String,
    /// No passphrase.
    pub open: bool,
    /// What its keys come from.
    pub secret: Secret,
    /// Where it is.
    pub plan: Plan,
    /// Who signs.
    pub identity: Identity,
    /// Seed of everything drawn: must never repeat.
    pub seed: [u8; 32],
    /// Name, as typed.
    pub name: String,
    /// What to take part as.
    pub role: Role,
    /// The instance's own socket, as others see it.
    pub address: SocketAddr,
    /// Participants announced; `Some(0)` for a new conference, `None` when unknown.
    pub expected: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Outside a locked conference.
    Knocking,
    Joining,
    Joined,
    Leaving {
        byes: u8,
        next: Timestamp,
    },
    Left,
}

/// A member of one conference.
pub struct Session {
    title: String,
    open: bool,
    secret: Secret,
    plan: Plan,
    identity: Identity,
    random: Random,
    expected: Option<u32>,
    stage: Stage,
    started: Timestamp,
    joins_sent: usize,
    join_nonce: u64,
    me: Person,
    me_told: Person,
    slots_full_told: bool,
    displaced_told: bool,
    roster: Roster,
    sealer: Sealer,
    opener: Opener,
    announcer: Announcer,
    announce_work: Rate,
    newcomers: SourceRate,
    /// What comes in a known session from elsewhere than its address.
    astray: SourceRate,
    checked: Checked,
    pongs: Rate,
    questions: Rate,
    beacons: beacons::Beacons,
    /// The chat; an observer takes no part in it.
    talk: Option<talk::Talk>,
    porch: porch::Porch,
    wishes: interest::Wishes,
    bye: Option<Signed>,
    counter: u64,
    counters: Counters,
    /// Buffers kept so that no packet allocates them anew.
    body: Vec<u8>,
    plain: Vec<u8>,
    scratch: Vec<u8>,
    due: Vec<(u64, SocketAddr)>,
}

impl Session {
    /// A session that sends its first JOIN at the first [`timeout`](Self::timeout), which is due at once.
    pub fn new(at: Moment, setup: Setup) -> Self {
        let mut random = Random::new(setup.seed);
        let sid = random.next_u64();
        let keys = EpochKeys::first(setup.conference, &setup.secret);
        let typed_name = names::clean_name(&setup.name, NAME_BYTES_MAX);
        let me = Person {
            id: setup.identity.id(),
            sid,
            name: typed_name.clone(),
            typed_name,
            suffix: None,
            joined: at.wall,
            address: setup.address,
            reach: Reach::Groups,
            direct: 0,
            single: false,
            role: setup.role,
            slot: None,
            microphone: Microphone::None,
            camera: Camera::Off,
            attention: Attention::default(),
            wireless: false,
            favoured: Vec::new(),
            streams: Vec::new(),
        };
        let join_nonce = random.next_u64();
        let porch = porch::Porch::new(&keys, &mut random);
        let talk = (setup.role == Role::Participant).then(|| talk::Talk::new(at.now, &me, &mut random));
        let mut roster = Roster::default();
        roster.expect(setup.expected.unwrap_or(0) as usize + 1);
        Self {
            title: setup.title,
            open: setup.open,
            secret: setup.secret,
            plan: setup.plan,
            identity: setup.identity,
            join_nonce,
            random,
            expected: setup.expected,
            stage: Stage::Joining,
            started: at.now,
            joins_sent: 0,
            me_told: me.clone(),
            me,
            slots_full_told: false,
            displaced_told: false,
            roster,
            sealer: Sealer::new(&keys, sid),
            opener: Opener::new(keys),
            announcer: Announcer::new(at.now),
            announce_work: Rate::default(),
            newcomers: SourceRate::default(),
            astray: SourceRate::default(),
            checked: Checked::default(),
            pongs: Rate::default(),
            questions: Rate::default(),
            beacons: beacons::Beacons::default(),
            talk,
            porch,
            wishes: interest::Wishes::default(),
            bye: None,
            counter: 0,
            counters: Counters::default(),
            body: Vec::new(),
            plain: Vec::new(),
            scratch: Vec::new(),
            due: Vec::new(),
        }
    }

    /// Exchanges what it remembers of signatures checked, so that many sessions of one process can share it by turns.
    pub fn swap_checked(&mut self, checked: &mut Checked) {
        std::mem::swap(&mut self.checked, checked);
    }

    /// Oneself, as others see it.
    pub fn me(&self) -> &Person {
        &self.me
    }

    /// Everybody else who is here.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.roster.people()
    }

    /// Everything refused so far, but for what the chat refused.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Datagrams, messages and lines refused so far.
    pub fn refused(&self) -> u64 {
        self.counters.refused() + self.talk.as_ref().map_or(0, talk::Talk::refusals)
    }

    /// Whether all is said: nothing more is to be sent or heard.
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Left
    }

    /// Another name.
    pub fn set_name(&mut self, at: Moment, name: &str, out: &mut Outputs) {
        let typed_name = names::clean_name(name, NAME_BYTES_MAX);
        if typed_name != self.me.typed_name {
            self.me.name.clone_from(&typed_name);
            self.me.typed_name = typed_name;
            self.me.suffix = None;
            self.roster.names_changed(&self.me);
            self.change(at, out);
        }
    }

    /// Another state of the microphone.
    pub fn set_microphone(&mut self, at: Moment, microphone: Microphone, out: &mut Outputs) {
        if self.me.microphone != microphone {
            self.me.microphone = microphone;
            self.change(at, out);
        }
    }

    /// Another state of the camera.
    pub fn set_camera(&mut self, at: Moment, camera: Camera, out: &mut Outputs) {
        if self.me.camera != camera {
            self.me.camera = camera;
            self.change(at, out);
        }
    }

    /// Hand raised or lowered, away or back.
    pub fn set_attention(&mut self, at: Moment, attention: Attention, out: &mut Outputs) {
        if self.me.attention != attention {
            self.me.attention = attention;
            self.change(at, out);
        }
    }

    /// Whom one lets speak with priority, if one decides here; those beyond the bound are left out.
    pub fn set_favoured(&mut self, at: Moment, mut favoured: Vec<ParticipantId>, out: &mut Outputs) {
        favoured.truncate(FAVOURED_MAX);
        if self.me.favoured != favoured {
            self.me.favoured = favoured;
            self.change(at, out);
        }
    }

    /// Says goodbye. [`is_finished`](Self::is_finished) once it has been said three times.
    pub fn leave(&mut self, at: Moment, out: &mut Outputs) {
        if self.stage == Stage::Knocking {
            self.stage = Stage::Left;
        }
        if matches!(self.stage, Stage::Joining | Stage::Joined) {
            self.send_bye(out);
            if self.stage == Stage::Joined && self.participants() <= u32::from(self.me.role == Role::Participant) {
                self.send_announce(0, &[], out);
            }
            self.stage = Stage::Leaving { byes: 1, next: at.now + BYE_GAP };
        }
    }

    /// Does what is due at `at`.
    pub fn timeout(&mut self, at: Moment, out: &mut Outputs) {
        self.pump(at, out);
    }

    /// When [`timeout`](Self::timeout) has something to do.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Left => return None,
            Stage::Leaving { next, .. } => return Some(next),
            Stage::Knocking => return self.porch.next_timeout(),
            Stage::Joining | Stage::Joined => {}
        }
        let stage = match self.stage {
            Stage::Joining => Some(self.collected_at()),
            _ => Some(self.announcer.next_timeout()),
        };
        let talk = self.talk.as_ref().filter(|_| self.stage == Stage::Joined).and_then(talk::Talk::next_timeout);
        let wishes = self.wishes.next_timeout().filter(|_| self.stage == Stage::Joined);
        let others = [self.beacons.next(), self.roster.next_timeout(), talk, wishes, self.porch.next_timeout()];
        [stage, self.join_at()].into_iter().chain(others).flatten().min()
    }

    fn change(&mut self, at: Moment, out: &mut Outputs) {
        if self.stage == Stage::Joined {
            self.beacons.changed(at.now);
        }
        self.pump(at, out);
    }

    fn pump(&mut self, at: Moment, out: &mut Outputs) {
        if let Stage::Leaving { byes, next } = self.stage {
            if next <= at.now {
                self.send_bye(out);
                let byes = byes + 1;
                self.stage = if byes >= BYES { Stage::Left } else { Stage::Leaving { byes, next: at.now + BYE_GAP } };
            }
            return;
        }
        if self.stage == Stage::Left {
            return;
        }
        self.pump_porch(at.now, out);
        if !self.settle_door(at, out) || self.stage == Stage::Knocking {
            return;
        }
        if self.join_at().is_some_and(|due| due <= at.now) {
            self.send_join(To::Control, out);
            self.joins_sent += 1;
        }
        let mut due = std::mem::take(&mut self.due);
        self.roster.timeout(at.now, &mut due);
        due.drain(..).for_each(|(sid, address)| self.send_ping(at, sid, address, out));
        self.due = due;
        if self.joins_sent < JOINS_MS.len() && self.all_answered() {
            // Those who leave from now on are not asked for.
            self.joins_sent = JOINS_MS.len();
        }
        if self.stage == Stage::Joining && (self.all_answered() || self.collected_at() <= at.now) {
            self.joined(at, out);
        }
        if self.stage == Stage::Joined {
            self.settle_slot(at, out);
            self.settle_names(at, out);
        } else {
            self.roster.renumber(None);
        }
        if self.beacons.next().is_some_and(|due| due <= at.now) {
            self.send_beacon(at, out);
        }
        if self.stage == Stage::Joined && self.announcer.next_timeout() <= at.now {
            self.announce(at, out);
        }
        let mut came = Vec::new();
        self.roster.report(|report| {
            if let Some(talk) = &mut self.talk {
                talk.note(at.now, &report);
            }
            match &report {
                Report::Joined(person) => came.push(person.id),
                Report::Left(person, _) => self.opener.release(person.sid),
                Report::Changed(_) => {}
            }
            if let Report::Joined(person) | Report::Changed(person) = &report {
                self.opener.hold(person.sid);
            }
            out.events.push(match report {
                Report::Joined(person) => Event::PersonJoined(person),
                Report::Changed(person) => Event::PersonChanged(person),
                Report::Left(person, departure) => Event::PersonLeft(person, departure),
            });
        });
        for came in came {
            self.entitle(came);
            self.end_knocks(out, |id, _| *id == came);
        }
        self.pump_talk(at, out);
        self.pump_wishes(at, out);
    }

    /// When the next JOIN is due.
    fn join_at(&self) -> Option<Timestamp> {
        let at = self.started + Duration::from_millis(*JOINS_MS.get(self.joins_sent)?);
        Some(at)
    }

    /// Whether as many participants are known as were announced.
    fn all_answered(&self) -> bool {
        let known = self.roster.participants();
        self.joins_sent > 0 && self.expected.is_some_and(|expected| known >= expected as usize)
    }

    fn collected_at(&self) -> Timestamp {
        let alone = self.roster.is_empty() && self.expected.is_some();
        self.started + if alone { COLLECT_UNHEARD } else { COLLECT }
    }

    fn joined(&mut self, at: Moment, out: &mut Outputs) {
        self.stage = Stage::Joined;
        self.roster.names_changed(&self.me);
        self.beacons.changed(at.now);
        if !self.roster.is_empty() {
            self.announcer.heard(at.now, self.line_rank());
        }
        self.roster.renumber(Some(&mut self.me));
        self.me_told = self.me.clone();
        out.events.push(Event::Joined { me: self.me.clone(), others: self.roster.len() });
        self.start_talk(at.now, out);
    }

    /// Participants, oneself included.
    fn participants(&self) -> u32 {
        self.roster.participants() as u32 + u32::from(self.me.role == Role::Participant)
    }

    /// Takes, moves or gives up the slot.
    fn settle_slot(&mut self, at: Moment, out: &mut Outputs) {
        let wanted = !self.me.streams.is_empty() && self.me.role == Role::Participant;
        let Some(slot) = self.me.slot else {
            if wanted {
                self.take_slot(at, out);
            }
            return;
        };
        if !wanted {
            self.me.slot = None;
            self.roster.rests().freed(at.now, slot);
            out.events.push(Event::SlotLost);
            self.beacons.changed(at.now);
            return;
        }
        let mine = self.me.sid;
        let rivals = || self.roster.holders(slot);
        if rivals().all(|rival| slots::keeps(slot, mine, rival)) {
            if rivals().next().is_some() && self.beacons.last + REMINDER_GAP <= at.now {
                self.beacons.changed(at.now);
            }
            return;
        }
        self.me.slot = None;
        self.take_slot(at, out);
        if self.me.slot.is_none() {
            out.events.push(Event::SlotLost);
        }
        self.beacons.changed(at.now);
    }

    fn take_slot(&mut self, at: Moment, out: &mut Outputs) {
        // Whoever has not proved to be there keeps nobody out.
        let taken = [true, false].map(|arriving| self.roster.slots_taken(arriving));
        let (rests, random) = (self.roster.rests(), &mut self.random);
        match taken.iter().find_map(|taken| rests.pick(at.now, taken, random)) {
            Some(slot) => {
                self.me.slot = Some(slot);
                self.slots_full_told = false;
                self.beacons.changed(at.now);
                out.events.push(Event::SlotTaken(slot));
            }
            None if !std::mem::replace(&mut self.slots_full_told, true) => out.events.push(Event::SlotsFull),
            None => {}
        }
    }

    fn settle_names(&mut self, at: Moment, out: &mut Outputs) {
        let claimed = self.me.suffix;
        self.roster.renumber(Some(&mut self.me));
        if self.me.suffix != claimed {
            self.beacons.changed(at.now);
        }
        if self.me.differs(&self.me_told) {
            self.me_told = self.me.clone();
            if let Some(talk) = &mut self.talk {
                talk.rename(&self.me.name);
            }
            out.events.push(Event::MeChanged(self.me.clone()));
        }
    }

    /// When the beacon after the one sent now is due: a little early, so that three fit before anybody gives up.
    fn next_regular(&mut self, now: Timestamp) -> Timestamp {
        let period = period(self.me.publishes(), self.roster.size());
        now + self.random.between(period.mul_f32(0.9), period)
    }
}
