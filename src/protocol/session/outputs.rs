//! What a session gives back: datagrams, events, counters.

use std::net::SocketAddr;
use std::ops::Range;

use super::interest::{Reception, WantedLayers};
use crate::protocol::chat::{self, Content, LineId, SayError};
use crate::protocol::clock::Sample;
use crate::protocol::keys::EpochKeys;
use crate::protocol::roster::{Departure, Person, StreamInfo};
use crate::wire::interest::Places;
use crate::wire::message::ParticipantId;
use crate::wire::object;
use crate::wire::relay::Introduction;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The conference's control group.
    Control,
    /// The discovery group and, on a link, a broadcast to its port.
    Discovery,
    /// One instance's own socket.
    Unicast(SocketAddr),
}

/// The times of a Ping and its Pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// Whose clock.
    pub id: ParticipantId,
    /// Their session.
    pub sid: u64,
    /// The four times.
    pub sample: Sample,
}

/// Why a line was not said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    /// It cannot be.
    #[error(transparent)]
    Refused(#[from] SayError),
    /// Too many lines wait already.
    #[error("too many lines wait to be said")]
    TooMany,
    /// Somebody it is for is not here.
    #[error("not everybody it is for is here")]
    Absent,
    /// It is for more than can be.
    #[error("it is for too many people to be private")]
    TooManyRecipients,
    /// Observers say nothing.
    #[error("who only watches says nothing")]
    Observer,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Those who are here have answered, or time is up. Comes once.
    Joined {
        /// Oneself, with the name as shown.
        me: Person,
        /// Number of others known.
        others: usize,
    },
    /// Own shown name, slot or state is different.
    MeChanged(Person),
    /// Somebody is here. May come before `Joined`.
    PersonJoined(Person),
    /// Something about somebody is different.
    PersonChanged(Person),
    /// Somebody is gone.
    PersonLeft(Person, Departure),
    /// Send from this slot from now on; comes again when it had to move.
    SlotTaken(u8),
    /// Send nothing any more.
    SlotLost,
    /// There is no slot; one is taken as soon as it is free.
    SlotsFull,
    /// A measurement of somebody's clock.
    ClockSample(ClockSample),
    /// Others want these layers of the own picture now, and no others.
    Wanted(WantedLayers),
    /// Those who hear no group want these layers now, and no others: whoever sends them copies sends those.
    WantedByDeaf(Places),
    /// Somebody tells how an own layer arrives.
    Reception(Reception),
    /// Something in the chat. Of own lines the line comes before [`Event::Said`].
    Chat(chat::Event),
    /// A line was said; it is called so from now on.
    Said(LineId, Content),
    /// A line was not said.
    Unsaid(Content, Unsaid),
    /// Somebody who is here said something about a file. What was sealed to oneself is open; what was sealed to others
    /// alone is not told.
    Object(ParticipantId, object::Packet),
    /// The same identity joined from elsewhere, later: others follow that one.
    Displaced,
    /// Where others are who hear no group, as somebody says who hears them.
    Introduced(Introduction),
    /// Something at the door.
    Door(DoorEvent),
    /// Everything as it is now, for a reader who missed events. A session itself never says so.
    Everybody {
        /// Oneself.
        me: Box<Person>,
        /// All others who are here.
        others: Vec<Person>,
        /// Keys of everybody's streams.
        keys: EpochKeys,
        /// Who decides: the owner and the moderators.
        authority: Option<(ParticipantId, Vec<ParticipantId>)>,
        /// Newcomers have to knock.
        locked: bool,
        /// Layers of the own picture that others want.
        wanted: WantedLayers,
        /// What those who hear no group want.
        wanted_by_deaf: Places,
    },
}

/// What happened at the door: who may be here, and who decides that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorEvent {
    /// The conference is locked, and nobody has let one in yet. Comes once.
    Waiting,
    /// Somebody asks to be let in; told to those who may decide.
    Knocked {
        /// Who, if one is to believe them: nobody else has their key.
        id: ParticipantId,
        /// As they call themselves.
        name: String,
        /// They were put out before.
        was_removed: bool,
    },
    /// They were decided about, or went away.
    KnockOver {
        /// Who.
        id: ParticipantId,
    },
    /// One was not let in; the session has ended.
    Refused {
        /// By whom.
        by: ParticipantId,
    },
    /// One was put out; the session has ended.
    Removed {
        /// By whom.
        by: ParticipantId,
    },
    /// Somebody else was put out.
    PutOut {
        /// Who.
        id: ParticipantId,
        /// By whom.
        by: ParticipantId,
    },
    /// Another epoch: what is sent from now on has these keys, this session and these sources.
    Epoch {
        /// Keys of everybody's streams.
        keys: EpochKeys,
        /// The own session.
        sid: u64,
        /// The own streams, with new sources.
        streams: Vec<StreamInfo>,
    },
    /// The conference was locked or opened.
    Locked {
        /// Newcomers have to knock.
        on: bool,
        /// By whom.
        by: Option<ParticipantId>,
        /// Newcomers need not knock, and so many who were put out know the passphrase: they can follow the conference again,
        /// though nobody hears them.
        outsiders: usize,
    },
    /// Who decides; told whenever it may have changed.
    Authority {
        /// The owner.
        owner: ParticipantId,
        /// The moderators.
        moderators: Vec<ParticipantId>,
    },
    /// What was asked for is not done.
    Denied(String),
}

/// What was refused, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sealed datagrams opened.
    pub opened: u64,
    /// Own datagrams that came back.
    pub own: u64,
    /// No datagrams of ours, or of another conference.
    pub foreign: u64,
    /// Packet numbers seen before.
    pub replayed: u64,
    /// Could not be opened.
    pub not_authentic: u64,
    /// Not tried, because too many before could not be opened.
    pub throttled: u64,
    /// Could not be decoded, or outside the bounds.
    pub malformed: u64,
    /// Wrong signature, or of another key than the session's.
    pub forged: u64,
    /// Of a session that ended, or said before.
    pub stale: u64,
    /// Sent from another address than the signed one.
    pub misplaced: u64,
    /// Of the chat, or announcing this conference, from a session that is nobody's here.
    pub strangers: u64,
    /// No room in the roster, or too many messages from one session.
    pub excess: u64,
    /// Decisions by somebody without the right, and anything by somebody who was put out.
    pub unauthorized: u64,
}

impl Counters {
    /// Everything refused, whatever the reason; own datagrams that came back are no refusals.
    pub fn refused(&self) -> u64 {
        let Self {
            opened: _,
            own: _,
            foreign,
            replayed,
            not_authentic,
            throttled,
            malformed,
            forged,
            stale,
            misplaced,
            strangers,
            excess,
            unauthorized,
        } = *self;
        let early = [foreign, replayed, not_authentic, throttled, malformed];
        early.iter().chain(&[forged, stale, misplaced, strangers, excess, unauthorized]).sum()
    }
}

/// Collects what a session gives back. The caller clears it after working it off.
#[derive(Default)]
pub struct Outputs {
    bytes: Vec<u8>,
    sends: Vec<(To, Range<usize>)>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Outputs {
    /// The datagrams to send, in order.
    pub fn sends(&self) -> impl Iterator<Item = (To, &[u8])> {
        self.sends.iter().filter_map(|(to, range)| Some((*to, self.bytes.get(range.clone())?)))
    }

    /// Empties it; memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sends.clear();
        self.events.clear();
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.events.is_empty()
    }

    /// Adds the datagram that `write` appends; none when it returns false.
    pub(super) fn send(&mut self, to: To, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.bytes.len();
        if write(&mut self.bytes) {
            self.sends.push((to, start..self.bytes.len()));
        } else {
            self.bytes.truncate(start);
        }
    }
}
