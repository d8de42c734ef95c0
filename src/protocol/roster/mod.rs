//! The roster: who is here, by signed beacons alone, and who is gone.
//!
//! ```text
//!            first signed message            a Pong, or an answer to my own Join
//!  unknown ------------------------> arriving ------------------------------> present
//!     ^                                 |  no Pong for 3 s                       |
//!     '---------------------------------'                                        |
//!     ^-------- silent for 3.5 periods (pinged from 2.5 on): lost ---------------|
//!  retired <--- BYE, or a newer session of the same id --------------------------'
//! ```
//! A session is bound to the public key it was first heard with. One that arrives must answer a random nonce before it
//! counts, so that recorded packets show nobody. Retired sessions never come back. Nothing here is made for a packet
//! that was not authentic and signed.

mod epochs;
mod index;
pub mod names;
mod namesakes;
pub mod person;
mod silence;
pub mod slots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::limits::{
    ARRIVALS_MAX, PARTICIPANTS_MAX, PARTICIPANTS_PER_SOURCE_MAX, SESSIONS_MAX, SIGNED_PER_S_MAX, SLOTS_MAX,
};
use crate::protocol::rate::Rate;
use crate::time::{NtpTime, Timestamp};
use crate::wire::message::ParticipantId;
use silence::{FIRST_PROBES_MS, Probe};

pub use person::{Attention, BadBeacon, Camera, Microphone, Person, RepairInfo, Role, StreamInfo};

/// Time between two beacons of a publisher, and of viewers while there are few.
pub const PERIOD: Duration = Duration::from_secs(2);
/// What one more viewer adds: 220 bytes at 147 kb/s for all of them together, so that what they say and repeat in the chat
/// stays below 160 kb/s with it.
const PERIOD_PER_VIEWER: Duration = Duration::from_millis(12);

/// Time between two beacons of somebody in a conference of `members`.
pub fn period(publishes: bool, members: usize) -> Duration {
    if publishes {
        return PERIOD;
    }
    let members = u32::try_from(members.min(PARTICIPANTS_MAX)).unwrap_or(u32::MAX);
    PERIOD.max(PERIOD_PER_VIEWER.saturating_mul(members))
}

/// Why somebody is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Said goodbye.
    Left,
    /// Fell silent, or came back as another session.
    Lost,
    /// Was put out.
    Removed,
}

/// Why a signed message is not worked on, before or after its signature is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session said goodbye.
    #[error("the session has ended")]
    Retired,
    /// The session belongs to another key.
    #[error("signed by another key than the session's")]
    Forged,
    /// Not newer than what was said before.
    #[error("said before")]
    Stale,
    /// Too many from this session.
    #[error("too many signed messages")]
    TooMany,
    /// The roster or the list of arrivals is full.
    #[error("no room in the roster")]
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Arriving { since: Timestamp },
    Present,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    None,
    Changed,
    Joined,
}

struct Member {
    person: Person,
    key: [u8; 32],
    generation: u32,
    folded: String,
    counter: u64,
    /// Counter of the last Beacon that said all.
    whole: u64,
    /// Counter of its last ANNOUNCE, which takes another way and may overtake.
    announced: u64,
    heard: Timestamp,
    /// How many were here then: its next Beacon comes at the pace of so many.
    members: usize,
    state: State,
    probe: Probe,
    /// When it is looked at next, by the queue.
    queued: Timestamp,
    signed: Rate,
    /// What its last Beacon said, word for word.
    said: Vec<u8>,
    news: News,
}

/// What to tell about people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Somebody is here.
    Joined(Person),
    /// Something about them is different.
    Changed(Person),
    /// Somebody is gone.
    Left(Person, Departure),
}

/// Everybody but oneself.
#[derive(Default)]
pub struct Roster {
    by_sid: BTreeMap<u64, Member>,
    present: BTreeMap<ParticipantId, u64>,
    retired: BTreeSet<u64>,
    retired_order: VecDeque<u64>,
    rests: slots::Rests,
    departed: Vec<(Person, Departure)>,
    /// Whose news are to be told.
    news: Vec<u64>,
    namesakes: namesakes::Namesakes,
    /// Announced number of members; more may be here than are known yet.
    expected: usize,
    /// Who is to be looked at when. What moves later leaves it as it is until it is due: looking at everybody for each
    /// packet would make a packet cost as much as there are people.
    queue: BTreeSet<(Timestamp, u64)>,
    index: index::Index,
    /// Counts the epochs: sessions of an earlier one go on under another id.
    generation: u32,
}

impl Roster {
    /// Everybody who is here.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.by_sid.values().filter(|m| m.state == State::Present).map(|m| &m.person)
    }

    /// Number of those who are here, oneself not counted.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether one is alone.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Somebody who is here.
    pub fn person(&self, id: &ParticipantId) -> Option<&Person> {
        self.present.get(id).and_then(|sid| self.by_sid.get(sid)).map(|m| &m.person)
    }

    /// The public key of somebody who is here.
    pub fn key(&self, id: &ParticipantId) -> Option<&[u8; 32]> {
        self.present.get(id).and_then(|sid| self.by_sid.get(sid)).map(|m| &m.key)
    }

    /// Whose session this is, of those who are here.
    pub fn member(&self, sid: u64) -> Option<&Person> {
        self.by_sid.get(&sid).filter(|m| m.state == State::Present).map(|m| &m.person)
    }

    /// The key of a session heard of.
    pub fn session_key(&self, sid: u64) -> Option<[u8; 32]> {
        self.by_sid.get(&sid).map(|m| m.key)
    }

    /// Counter of the last signed message of a session heard of.
    pub fn counter(&self, sid: u64) -> Option<u64> {
        self.by_sid.get(&sid).map(|m| m.counter)
    }

    /// Whether an ANNOUNCE signed by `key` in session `sid` may be a member's, and a new one.
    pub fn may_announce(&self, sid: u64, key: &[u8; 32], counter: u64) -> bool {
        let member = self.by_sid.get(&sid).filter(|m| m.state == State::Present);
        member.is_some_and(|m| m.key == *key && counter > m.announced)
    }

    /// Session `sid` announced.
    pub fn announced(&mut self, sid: u64, counter: u64) {
        if let Some(member) = self.by_sid.get_mut(&sid) {
            member.announced = counter;
        }
    }

    /// First two bytes of the id of everybody heard of, at most `bytes_max` bytes in all: they need not answer a Join.
    pub fn known(&self, bytes_max: usize) -> Vec<u8> {
        self.by_sid.values().take(bytes_max / 2).flat_map(|m| [m.person.id.0[0], m.person.id.0[1]]).collect()
    }

    /// Members of the conference, oneself included, as far as known or announced: sets everybody's pace.
    pub fn size(&self) -> usize {
        (self.present.len() + 1).max(self.expected)
    }

    /// Remembers how many members were announced; 0 once as many as answer have answered.
    pub fn expect(&mut self, members: usize) {
        self.expected = members.min(PARTICIPANTS_MAX);
        self.queue_anew();
    }

    /// Time over which many spread what they would otherwise send at once: a millisecond each.
    pub fn spread(&self) -> Duration {
        Duration::from_millis(self.size().clamp(2, 200) as u64)
    }

    /// Whether a message signed by `key` in session `sid` is worth checking its signature. `Ok(true)`: the session is
    /// known.
    pub fn screen(&self, sid: u64, key: &[u8; 32], counter: u64) -> Result<bool, Refusal> {
        if self.retired.contains(&sid) {
            return Err(Refusal::Retired);
        }
        let Some(member) = self.by_sid.get(&sid) else {
            let arriving = self.by_sid.len() - self.present.len();
            let room = arriving < ARRIVALS_MAX && self.present.len() + 1 < PARTICIPANTS_MAX;
            return if room { Ok(false) } else { Err(Refusal::Full) };
        };
        if member.key != *key {
            return Err(Refusal::Forged);
        }
        if counter <= member.counter {
            return Err(Refusal::Stale);
        }
        Ok(true)
    }

    /// Whether one more signed message of `sid` may be looked at. `Ok(false)`: it comes from elsewhere than the session's
    /// address, and is not counted here: nobody else uses up what a member may say.
    pub fn may_say(&mut self, now: Timestamp, sid: u64, source: SocketAddr) -> Result<bool, Refusal> {
        let Some(member) = self.by_sid.get_mut(&sid).filter(|m| m.person.address == source) else {
            return Ok(false);
        };
        if member.signed.take(now, SIGNED_PER_S_MAX) { Ok(true) } else { Err(Refusal::TooMany) }
    }

    /// A signed message of `sid` that is no Beacon was taken in: none before it is taken any more.
    pub fn spoke(&mut self, sid: u64, counter: u64) {
        if let Some(member) = self.by_sid.get_mut(&sid) {
            member.counter = member.counter.max(counter);
        }
    }

    /// Keys and ids of everybody who is here.
    pub fn keys(&self) -> impl Iterator<Item = (ParticipantId, &[u8; 32])> {
        self.by_sid.values().filter(|m| m.state == State::Present).map(|m| (m.person.id, &m.key))
    }

    /// What everybody's last Beacon said is to be understood anew.
    pub fn listen_anew(&mut self) {
        self.by_sid.values_mut().for_each(|member| member.said.clear());
    }

    /// Whether one more may come from this machine, so that none fills the roster alone, nor few the list of arrivals: of
    /// the places that are free there, one machine may take half as many as it leaves.
    pub fn has_room_for(&self, source: IpAddr) -> bool {
        if self.index.of_source(source) >= PARTICIPANTS_PER_SOURCE_MAX {
            return false;
        }
        let share = ARRIVALS_MAX.saturating_sub(self.by_sid.len() - self.present.len()).div_ceil(2);
        let arriving = |m: &&Member| m.state != State::Present && m.person.address.ip() == source;
        self.index.of_source(source) < share || self.by_sid.values().filter(arriving).count() < share
    }

    /// Takes over what a signed message that passed [`screen`](Self::screen) says of its signer. Somebody not known
    /// arrives and is pinged from `probe_at` on.
    pub fn hear(&mut self, now: Timestamp, key: &[u8; 32], counter: u64, person: Person, probe_at: Timestamp) {
        let members = self.size();
        let Some(member) = self.by_sid.get_mut(&person.sid) else {
            let member = Member {
                folded: names::fold(&person.typed_name),
                key: *key,
                generation: self.generation,
                counter,
                whole: counter,
                announced: 0,
                heard: now,
                members,
                state: State::Arriving { since: now },
                probe: Probe::starting(probe_at),
                queued: Timestamp(u64::MAX),
                signed: Rate::default(),
                said: Vec::new(),
                news: News::None,
                person,
            };
            let sid = member.person.sid;
            self.index.came(member.person.address.ip());
            self.by_sid.insert(sid, member);
            self.is_due(sid);
            return;
        };
        (member.counter, member.whole) = (counter, counter);
        member.heard_at(now, members);
        member.said.clear();
        let old = std::mem::replace(&mut member.person, person);
        let sid = member.person.sid;
        self.index.moved(old.address.ip(), member.person.address.ip());
        let renamed = old.typed_name != member.person.typed_name;
        if renamed {
            let folded = names::fold(&member.person.typed_name);
            let before = std::mem::replace(&mut member.folded, folded);
            if member.state == State::Present {
                self.namesakes.remove(&before, sid);
                self.namesakes.add(&member.folded, sid);
            }
        } else {
            member.person.name.clone_from(&old.name);
        }
        if member.state != State::Present {
            return self.is_due(sid);
        }
        self.index.absent(&old);
        self.index.present(&member.person);
        if old.suffix != member.person.suffix || old.joined != member.person.joined || old.role != member.person.role {
            self.namesakes.touch(&member.folded);
        }
        if old.slot.is_none() && member.person.slot.is_some() {
            member.probe = Probe::starting(probe_at);
        }
        if old.slot != member.person.slot {
            old.slot.into_iter().for_each(|slot| self.rests.freed(now, slot));
        }
        if old.differs(&member.person) {
            member.tell(News::Changed, &mut self.news);
        }
        self.is_due(sid);
    }

    /// Whether somebody present says in a signed Beacon what their last one said, from the same address; then all there is
    /// to note is that they are there.
    pub fn hear_again(&mut self, now: Timestamp, sid: u64, source: SocketAddr, counter: u64, said: &[u8]) -> bool {
        let same = |m: &&mut Member| m.state == State::Present && m.said == said && m.person.address == source;
        let members = self.size();
        let Some(member) = self.by_sid.get_mut(&sid).filter(same) else {
            return false;
        };
        member.counter = counter;
        member.heard_at(now, members);
        self.is_due(sid);
        true
    }

    /// Somebody present says in a signed Beacon that all is as in their Beacon `since`. They are there, be it that what is
    /// known of them is older: they say all of it again. False when they are not here, or not at this address.
    pub fn hear_brief(&mut self, now: Timestamp, sid: u64, source: SocketAddr, counter: u64, since: u64) -> bool {
        let here = |m: &&mut Member| m.state == State::Present && (m.whole < since || m.person.address == source);
        let members = self.size();
        let Some(member) = self.by_sid.get_mut(&sid).filter(here) else {
            return false;
        };
        member.counter = counter;
        member.heard_at(now, members);
        self.is_due(sid);
        true
    }

    /// Keeps what the last Beacon of `sid`, taken over by [`hear`](Self::hear), said.
    pub fn remember(&mut self, sid: u64, said: &[u8]) {
        if let Some(member) = self.by_sid.get_mut(&sid) {
            member.said.clear();
            member.said.extend_from_slice(said);
        }
    }

    /// `sid` answered a Ping: it is there now. Gives the time the Ping was sent and whose answer it is; none when
    /// nothing was asked or the nonce is another.
    pub fn answered(&mut self, now: Timestamp, sid: u64, nonce: u64) -> Option<(NtpTime, ParticipantId)> {
        let members = self.size();
        let member = self.by_sid.get_mut(&sid)?;
        let (_, origin) = member.probe.outstanding.take_if(|(asked, _)| *asked == nonce)?;
        member.heard_at(now, members);
        let id = member.person.id;
        if member.state != State::Present {
            member.probe.tries = 0;
            member.probe.next = now + Duration::from_millis(FIRST_PROBES_MS[0]);
            self.confirm(now, sid);
        }
        self.is_due(sid);
        Some((origin, id))
    }

    /// `sid` proved to be there now: it counts from here on, instead of any older session of the same id.
    pub fn confirm(&mut self, now: Timestamp, sid: u64) {
        let Some(member) = self.by_sid.get(&sid) else {
            return;
        };
        if member.state == State::Present {
            return;
        }
        let (id, joined) = (member.person.id, member.person.joined);
        if let Some(older) = self.present.get(&id).copied() {
            let newer = self.by_sid.get(&older).is_none_or(|o| joined > o.person.joined);
            if !newer {
                self.forget(sid);
                return;
            }
            self.depart(now, older, Departure::Lost);
            self.retire(older);
        }
        if self.present.len() + 1 >= PARTICIPANTS_MAX {
            self.forget(sid);
            return;
        }
        if let Some(member) = self.by_sid.get_mut(&sid) {
            member.state = State::Present;
            member.tell(News::Joined, &mut self.news);
            self.present.insert(id, sid);
            self.namesakes.add(&member.folded, sid);
            self.index.present(&member.person);
            self.is_due(sid);
        }
    }

    /// A valid BYE of a session: gone at once, for good.
    pub fn bye(&mut self, now: Timestamp, sid: u64) {
        self.depart(now, sid, Departure::Left);
        self.retire(sid);
    }

    fn depart(&mut self, now: Timestamp, sid: u64, departure: Departure) {
        let Some(member) = self.forget(sid).filter(|m| m.state == State::Present) else {
            return;
        };
        self.present.remove(&member.person.id);
        self.index.absent(&member.person);
        member.person.slot.into_iter().for_each(|slot| self.rests.freed(now, slot));
        self.namesakes.remove(&member.folded, sid);
        // Somebody who was never reported needs no farewell.
        if member.news != News::Joined {
            self.departed.push((member.person, departure));
        }
    }

    /// Takes a session out.
    fn forget(&mut self, sid: u64) -> Option<Member> {
        let member = self.by_sid.remove(&sid)?;
        self.queue.remove(&(member.queued, sid));
        self.index.went(member.person.address.ip());
        Some(member)
    }

    fn retire(&mut self, sid: u64) {
        if self.retired.insert(sid) {
            self.retired_order.push_back(sid);
        }
        if self.retired_order.len() > SESSIONS_MAX {
            self.retired_order.pop_front().into_iter().for_each(|oldest| {
                self.retired.remove(&oldest);
            });
        }
    }

    /// Participants among those who are here, oneself not counted.
    pub fn participants(&self) -> usize {
        self.index.participants()
    }

    /// Sessions of those here who hold `slot`.
    pub fn holders(&self, slot: u8) -> impl Iterator<Item = u64> {
        self.index.holders(slot)
    }

    /// Slots somebody holds; those who have not proved yet to be there count with `arriving`.
    pub fn slots_taken(&self, arriving: bool) -> [bool; SLOTS_MAX] {
        let mut taken = [false; SLOTS_MAX];
        let holders = self.by_sid.values().filter(|m| arriving || m.state == State::Present);
        for slot in holders.filter_map(|m| m.person.slot) {
            if let Some(place) = taken.get_mut(usize::from(slot)) {
                *place = true;
            }
        }
        taken
    }

    /// How long slots have been free.
    pub fn rests(&mut self) -> &mut slots::Rests {
        &mut self.rests
    }

    /// Makes the numbers behind names be handed out anew at the next [`renumber`](Self::renumber), own name included.
    pub fn names_changed(&mut self, me: &Person) {
        self.namesakes.touch_all(&names::fold(&me.typed_name));
    }

    /// Numbers equal names, `me` among the others when given. Observers have none.
    pub fn renumber(&mut self, mut me: Option<&mut Person>) {
        while let Some((stem, sids)) = self.namesakes.pop_stale() {
            let is_mine = |me: &&mut Person| {
                me.role == Role::Participant && namesakes::stem(&names::fold(&me.typed_name)) == stem
            };
            self.number(&sids, me.as_deref_mut().filter(is_mine));
        }
    }

    /// Numbers those whose names have one stem.
    fn number(&mut self, sids: &[u64], mut me: Option<&mut Person>) {
        let order = |sid: &u64| {
            let person = &self.by_sid.get(sid)?.person;
            (person.role == Role::Participant).then_some((person.joined, person.id, *sid))
        };
        let mut members: Vec<_> = sids.iter().filter_map(order).collect();
        members.sort_unstable();
        let mut numbers = names::Numbers::default();
        for (joined, id, sid) in members {
            if let Some(earlier) = me.take_if(|me| (me.joined, me.id) < (joined, id)) {
                number_me(earlier, &mut numbers);
            }
            let Some(member) = self.by_sid.get_mut(&sid) else {
                continue;
            };
            let number = numbers.next(&member.folded, member.person.suffix);
            let shown = names::with_suffix(&member.person.typed_name, number);
            if member.person.name != shown {
                member.person.name = shown;
                member.tell(News::Changed, &mut self.news);
            }
        }
        if let Some(me) = me {
            number_me(me, &mut numbers);
        }
    }

    /// Hands over what happened since the last time: departures first.
    pub fn report(&mut self, mut tell: impl FnMut(Report)) {
        self.departed.drain(..).for_each(|(person, departure)| tell(Report::Left(person, departure)));
        self.news.sort_unstable();
        for sid in self.news.drain(..) {
            let Some(member) = self.by_sid.get_mut(&sid) else {
                continue;
            };
            match std::mem::replace(&mut member.news, News::None) {
                News::None => {}
                News::Changed => tell(Report::Changed(member.person.clone())),
                News::Joined => tell(Report::Joined(member.person.clone())),
            }
        }
    }

    /// All sessions, for tests.
    #[cfg(test)]
    pub fn sids(&self) -> impl Iterator<Item = u64> {
        self.by_sid.keys().copied()
    }

    /// Entries of all kinds, for tests of the bounds.
    #[cfg(test)]
    pub fn entries(&self) -> (usize, usize, usize) {
        (self.by_sid.len(), self.present.len(), self.retired.len())
    }
}

fn number_me(me: &mut Person, numbers: &mut names::Numbers) {
    let number = numbers.next(&names::fold(&me.typed_name), me.suffix);
    me.suffix = Some(number);
    me.name = names::with_suffix(&me.typed_name, number);
}

#[cfg(test)]
mod tests;
