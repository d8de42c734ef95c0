//! Silence: who is asked whether they are there, when, and who is given up.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Departure, Member, News, Roster, State, period};
use crate::limits::PARTICIPANTS_MAX;
use crate::time::{NtpTime, Timestamp};

/// How long a session may take to prove that it is there.
const ARRIVAL_LIFE: Duration = Duration::from_secs(3);
/// Eighths of a period of silence after which somebody is asked whether they are there. Of a crowd of whose packets a
/// tenth is lost, some beacon is missed three times in a row all the time, and of two Pings or their answers often one each.
const SUSPICIONS: [u32; 6] = [20, 21, 22, 24, 25, 26];
/// Gaps between the first Pings to somebody.
pub const FIRST_PROBES_MS: [u64; 5] = [100, 200, 400, 600, 800];

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

    /// Something is to be told of it.
    pub(super) fn tell(&mut self, news: News, all: &mut Vec<u64>) {
        if self.news == News::None {
            all.push(self.person.sid);
        }
        self.news = self.news.max(news);
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

    /// When there is something to do about it.
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
        let size = self.size();
        let period = clock_period(size);
        if let Some(member) = self.by_sid.get_mut(&sid) {
            let gap = FIRST_PROBES_MS.get(member.probe.tries).map(|&ms| Duration::from_millis(ms)).unwrap_or(period);
            let tries = member.probe.tries + 1;
            member.probe = Probe { outstanding: Some((nonce, origin)), sent: now, tries, next: now + gap };
            self.queue.remove(&(member.queued, sid));
            member.queued = member.due_at(size);
            self.queue.insert((member.queued, sid));
        }
    }

    /// Gives up those silent for too long, and collects into `due` those to be pinged now, with their addresses.
    pub fn timeout(&mut self, now: Timestamp, due: &mut Vec<(u64, SocketAddr)>) {
        let size = self.size();
        let first = due.len();
        while let Some(&(at, sid)) = self.queue.first().filter(|(at, _)| *at <= now) {
            self.queue.remove(&(at, sid));
            let Some(member) = self.by_sid.get_mut(&sid) else {
                continue;
            };
            member.queued = Timestamp(u64::MAX);
            if member.expires_at(size) <= now {
                self.depart(now, sid, Departure::Lost);
            } else if member.probe_at(size) <= now {
                due.push((sid, member.person.address));
            } else {
                self.is_due(sid);
            }
        }
        // They stay due until they are asked.
        due[first..].iter().for_each(|&(sid, _)| self.is_due(sid));
    }

    /// When [`timeout`](Self::timeout) may have something to do; never later than it has.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Something about `sid` changed that may be due before it was.
    pub(super) fn is_due(&mut self, sid: u64) {
        let size = self.size();
        let Some(member) = self.by_sid.get_mut(&sid) else {
            return;
        };
        let due = member.due_at(size);
        if due < member.queued {
            self.queue.remove(&(member.queued, sid));
            self.queue.insert((due, sid));
            member.queued = due;
        }
    }

    /// Everybody's pace may be another.
    pub(super) fn queue_anew(&mut self) {
        let size = self.size();
        self.queue.clear();
        for (&sid, member) in &mut self.by_sid {
            member.queued = member.due_at(size);
            self.queue.insert((member.queued, sid));
        }
    }
}
