//! Layers wanted and how they arrive, told and heard in a session.
//!
//! ```text
//! want() ──> Interests ──(when due)──> Interest to everybody
//! Interest of a member ──> Interests ──> of the own slot: Event::Wanted when it is another set than before
//!                                      └─> of those who hear no group: Event::WantedByDeaf, the same of all slots
//! report() ──(so many a second of all together)──> Report to everybody ──> rows about the own slot: Event::Reception
//! ```
//! What comes from nobody here, too often, or says what nobody means costs a counter. While nothing at all is heard nothing
//! ends by silence: a switch may have forgotten who listens here, and those who watch go on asking.

use std::time::Duration;

use super::{Arrival, Channel, Event, Moment, Outputs, Session, Stage, To};
use crate::limits::{RECEPTION_PER_S_MAX, RECEPTION_PER_SOURCE_MAX, REPORT_ROWS_MAX};
use crate::protocol::interest::{Asked, Interests};
use crate::protocol::rate::SourceRate;
use crate::protocol::transport::Reach;
use crate::time::Timestamp;
use crate::wire::interest::{Interest, Places, Report, Row};
use crate::wire::message::{Kind, ParticipantId};
use crate::wire::{Layer, StreamKind};

/// Least time between two reports of one member.
const REPORT_GAP: Duration = Duration::from_secs(1);
/// What each member adds to it: all together send twenty a second.
const REPORT_GAP_EACH: Duration = Duration::from_millis(50);

/// Without anything for longer than this the others are taken to be unheard, not silent: whoever sends says something each
/// two seconds. A layer does not end by silence before.
const UNHEARD_AFTER: Duration = Duration::from_millis(2_600);

/// Which layers of the own slot others want.
pub type WantedLayers = [bool; Layer::ALL.len()];

/// How one of the own layers arrives at somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// Whose report it is.
    pub from: ParticipantId,
    /// About which layer, and how it arrives.
    pub row: Row,
}

/// A session's side of it.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) interests: Interests,
    told: WantedLayers,
    /// Of those who hear no group.
    by_deaf: Asked,
    told_by_deaf: Places,
    /// When the next of them ends by silence.
    ends: Option<Timestamp>,
    /// When something was heard last that would have brought wishes as well.
    heard: Timestamp,
    rate: SourceRate,
    rows: Vec<Row>,
    report_due: Option<Timestamp>,
}

impl Wishes {
    /// Something authentic came. What comes by unicast to one who hears the group says nothing of the group.
    pub fn heard(&mut self, now: Timestamp, channel: Channel, reach: Reach) {
        if channel != Channel::Control && reach != Reach::Unicast {
            return;
        }
        let until = self.silent_until(now);
        if until < now {
            // Those who still watch have not been asked yet.
            self.interests.renew(until, now);
        }
        self.heard = now;
    }

    /// Up to when silence counts.
    fn silent_until(&self, now: Timestamp) -> Timestamp {
        now.min(self.heard + UNHEARD_AFTER)
    }

    pub fn next_timeout(&self) -> Option<Timestamp> {
        [self.interests.next_timeout(), self.ends, self.report_due, self.by_deaf.ends()].into_iter().flatten().min()
    }

    /// What others want of the own slot.
    pub fn told(&self) -> WantedLayers {
        self.told
    }

    /// What those want who hear no group.
    pub fn told_by_deaf(&self) -> Places {
        self.told_by_deaf
    }
}

impl Session {
    /// Where a stream is, roll-over counter << 16 | last sequence number, and whether packets of it are being sent. Told by
    /// the next beacon.
    pub fn set_position(&mut self, kind: StreamKind, position: u64, active: bool) {
        if let Some(stream) = self.me.streams.iter_mut().find(|s| s.kind == kind) {
            stream.position = position & ((1 << 48) - 1);
            stream.active = active;
        }
    }

    /// Says in beacons that this member is on a wireless network. Before the first [`timeout`](Self::timeout).
    pub fn set_wireless(&mut self, wireless: bool) {
        self.me.wireless = wireless;
    }

    /// These layers are wanted here from now on, and no others.
    pub fn want(&mut self, at: Moment, wanted: Places, out: &mut Outputs) {
        let members = self.roster.size();
        self.wishes.interests.want(at.now, wanted, members, &mut self.random);
        self.pump(at, out);
    }

    /// This is how layers arrive here, as of now; told as often as the size of the conference allows.
    pub fn report_reception(&mut self, at: Moment, rows: Vec<Row>) {
        let wishes = &mut self.wishes;
        wishes.rows = rows;
        wishes.rows.truncate(REPORT_ROWS_MAX);
        if wishes.rows.is_empty() {
            wishes.report_due = None;
        } else if wishes.report_due.is_none() {
            let gap = report_gap(self.roster.size());
            // From now on at a time of one's own: the first ones of many come spread.
            let first = self.random.between(Duration::ZERO, gap - REPORT_GAP + Duration::from_millis(1));
            wishes.report_due = Some(at.now + first);
        }
    }

    /// Sends what is due, and tells whether another set of own layers is wanted.
    pub(super) fn pump_wishes(&mut self, at: Moment, out: &mut Outputs) {
        if self.stage != Stage::Joined {
            return;
        }
        if let Some(places) = self.wishes.interests.ask(at.now, &mut self.random) {
            self.post(To::Control, Kind::Interest(Interest { layers: places.to_bytes() }), out);
        }
        if self.wishes.report_due.is_some_and(|due| due <= at.now) {
            let mut rows = Vec::with_capacity(4 * self.wishes.rows.len());
            self.wishes.rows.iter().for_each(|row| row.write(&mut rows));
            let gap = report_gap(self.roster.size());
            self.wishes.report_due = Some(at.now + self.random.between(gap.mul_f32(0.8), gap.mul_f32(1.2)));
            self.post(To::Control, Kind::Report(Report { rows }), out);
        }
        let slot = self.me.slot;
        let until = self.wishes.silent_until(at.now);
        let wanted = slot.map_or([false; 4], |slot| self.wishes.interests.of_slot(until, slot));
        // What ends while nothing is heard does so when something is heard again.
        let ends = slot.and_then(|slot| self.wishes.interests.ends(until, slot));
        self.wishes.ends = ends.filter(|_| until == at.now);
        if std::mem::replace(&mut self.wishes.told, wanted) != wanted {
            out.events.push(Event::Wanted(wanted));
        }
        let by_deaf = self.wishes.by_deaf.wanted(at.now);
        if std::mem::replace(&mut self.wishes.told_by_deaf, by_deaf) != by_deaf {
            out.events.push(Event::WantedByDeaf(by_deaf));
        }
    }

    pub(super) fn hear_interest(&mut self, at: Moment, from: Arrival, sid: u64, bytes: &[u8]) {
        if self.counts_here(at, from, sid).is_none() {
            return;
        }
        let Ok(places) = Places::from_bytes(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        self.wishes.interests.hear(at.now, &places, &mut self.random);
        if self.roster.member(sid).is_some_and(|person| person.reach == Reach::Unicast) {
            self.wishes.by_deaf.hear(at.now, &places);
        }
    }

    pub(super) fn hear_report(&mut self, at: Moment, from: Arrival, sid: u64, bytes: &[u8], out: &mut Outputs) {
        let Some(reporter) = self.counts_here(at, from, sid) else { return };
        let Ok(rows) = Row::read(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let mine = rows.filter(|row| Some(row.place.slot()) == self.me.slot);
        out.events.extend(mine.map(|row| Event::Reception(Reception { from: reporter, row })));
    }

    /// The member whose session it is, unless too much comes from there.
    fn counts_here(&mut self, at: Moment, from: Arrival, sid: u64) -> Option<ParticipantId> {
        let Some(id) = self.roster.member(sid).map(|person| person.id) else {
            self.counters.strangers += 1;
            return None;
        };
        let source = from.source.ip();
        let allowed = self.wishes.rate.take(at.now, source, RECEPTION_PER_SOURCE_MAX, RECEPTION_PER_S_MAX);
        self.counters.excess += u64::from(!allowed);
        allowed.then_some(id)
    }
}

fn report_gap(members: usize) -> Duration {
    REPORT_GAP.max(REPORT_GAP_EACH * members as u32)
}
