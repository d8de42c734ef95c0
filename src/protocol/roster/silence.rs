//! Silence: who is asked whether they are there, when, and who is given up.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::{Departure, Member, Roster, State, period};
use crate::limits::PARTICIPANTS_MAX;
use crate::time::{NtpTime, Timestamp};

/// How long a session may take to prove that it is there.
const ARRIVAL_LIFE: Duration = Duration::from_secs(3);
/// Eighths of a period of silence after which somebody is asked whether they are there. Of a crowd of whose packets a
/// tenth is lost, some beacon is missed three times in a row all the time, and of two Pings or their answers often one each.
const SUSPICIONS: [u32; 6] = [20, 21, 22, 24, 25, 26];
/// Gaps between the first Pings to somebody.
pub const FIRST_PROBES_MS: [u64; 4] = [100, 200, 400, 800];

/// Time between two Pings to a publisher, for the clock offset; grows so that nobody is pinged too often.
fn clock_period(members: usize) -> Duration {
    Duration::from_secs(4).max(Duration::from_millis(50).saturating_mul(members.min(PARTICIPANTS_MAX) as u32))
}

/// The last Ping to somebody and the next.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Nonce waited for and the time it carried.
    pub outstanding: Option<(u64, NtpTime)>,
    pub sent: Timestamp,
    pub tries: usize,
    pub next: Timestamp,
}

impl Probe {
    pub fn starting(at: Timestamp) -> Self {
        Self { outstanding: None, sent: Timestamp(0), tries: 0, next: at }
    }
}

impl Member {
    /// It was heard of at `now`, in a conference of `members`.
    pub(super) fn heard_at(&mut self, now: Timestamp, members: usize) {
        (self.heard, self.members) = (now, members);
    }

    /// Time until its next Beacon in a conference of `members` now: it may not know yet how many left since the last.
    fn period(&self, members: usize) -> Duration {
        period(self.person.publishes(), members.max(self.members))
    }

    /// When to ping next: for its clock while it publishes, and before it is given up.
    fn probe_at(&self, members: usize) -> Timestamp {
        if let State::Arriving { .. } = self.state {
            return self.probe.next;
        }
        let period = self.period(members);
        let mut suspicions = SUSPICIONS.iter().map(|&eighths| self.heard + period * eighths / 8);
        let never = Timestamp(u64::MAX);
        let suspicion = suspicions.find(|&at| self.probe.sent < at).unwrap_or(never);
        if self.person.publishes() { suspicion.min(self.probe.next) } else { suspicion }
    }

    /// When there is something to do about it. While the conference shrinks this moves later or stays.
    fn due_at(&self, members: usize) -> Timestamp {
        self.expires_at(members).min(self.probe_at(members))
    }

    /// When it is given up.
    fn expires_at(&self, members: usize) -> Timestamp {
        match self.state {
            State::Arriving { since } => since + ARRIVAL_LIFE,
            State::Present => self.heard + self.period(members) * 7 / 2,
        }
    }
}

impl Roster {
    /// Notes that `sid` was asked `nonce` at `origin`.
    pub fn probed(&mut self, now: Timestamp, sid: u64, nonce: u64, origin: NtpTime) {
        let period = clock_period(self.size());
        if let Some(member) = self.by_sid.get_mut(&sid) {
            let gap = FIRST_PROBES_MS.get(member.probe.tries).map(|&ms| Duration::from_millis(ms)).unwrap_or(period);
            let tries = member.probe.tries + 1;
            member.probe = Probe { outstanding: Some((nonce, origin)), sent: now, tries, next: now + gap };
        }
    }

    /// Gives up those silent for too long, and collects into `due` those to be pinged now, with their addresses.
    pub fn timeout(&mut self, now: Timestamp, due: &mut Vec<(u64, SocketAddrV4)>) {
        if self.next_timeout().is_none_or(|next| next > now) {
            return;
        }
        self.nothing_before.set(None);
        let size = self.size();
        let expired: Vec<u64> =
            self.by_sid.iter().filter(|(_, m)| m.expires_at(size) <= now).map(|(&sid, _)| sid).collect();
        expired.into_iter().for_each(|sid| self.depart(now, sid, Departure::Lost));
        due.extend(
            self.by_sid.iter().filter(|(_, m)| m.probe_at(size) <= now).map(|(&sid, m)| (sid, m.person.address)),
        );
    }

    /// When [`timeout`](Self::timeout) may have something to do; never later than it has.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        if self.nothing_before.get().is_none() {
            let size = self.size();
            self.nothing_before.set(self.by_sid.values().map(|m| m.due_at(size)).min());
        }
        self.nothing_before.get()
    }

    /// Something about `sid` changed that may be due before all else.
    pub(super) fn is_due(&mut self, sid: u64) {
        let size = self.size();
        if let (Some(before), Some(member)) = (self.nothing_before.get(), self.by_sid.get(&sid)) {
            self.nothing_before.set(Some(before.min(member.due_at(size))));
        }
    }
}
