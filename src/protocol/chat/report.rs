//! Telling others what is had: in every beacon, and in a heartbeat of its own when something new was said.
//!
//! Each report is evidence of gaps for those who hear it, and tells authors who has their lines. Six sequences go in a
//! beacon: three whose news were told least, and three in turn of all, so that after a split everybody hears of what was
//! said on the other side. In a crowd many report, and what they report shares what viewers may send with the beacons: two
//! sequences go in a beacon, the second in turn every other time. Heartbeats of all members together stay below 40 kb/s,
//! those of a crowd below 8 kb/s; beacons are more frequent there.

use std::time::Duration;

use crate::protocol::chat::book::SequenceId;
use crate::protocol::chat::line::Output;
use crate::protocol::chat::repair::{CLAIM_GRACE, CLAIM_GRACE_OF_CROWD};
use crate::protocol::chat::sequence::{REPORTS, Sequence};
use crate::protocol::chat::{Chat, Timer};
use crate::time::Timestamp;
use crate::wire::chat::{Heartbeat, Packet, tag};
use crate::wire::message::ParticipantId;

/// Sequences with news in a beacon, and as many in turn.
const BEACON_ACKS: usize = 3;
/// Sequences in a beacon of a crowd.
const CROWD_ACKS: usize = 2;
/// So many make a crowd: about as many as can send a beacon each two seconds.
const CROWD: usize = 100;
/// Sequences in a heartbeat of its own.
const HEARTBEAT_ACKS: usize = 16;
/// Time from something new to the heartbeat that tells of it, and up to half as much more.
const HEARTBEAT_AFTER: Duration = Duration::from_millis(400);
/// What each member adds to it: 200 bytes at 40 kb/s for all.
const HEARTBEAT_PER_MEMBER: Duration = Duration::from_millis(40);
/// The same in a crowd.
const HEARTBEAT_PER_MEMBER_OF_CROWD: Duration = Duration::from_millis(200);
/// A private line is acknowledged within this time.
const HURRY: Duration = Duration::from_millis(150);

/// What was told of last.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// The last sequence whose turn it was.
    turn: SequenceId,
    /// Whether the last beacon told only news.
    told_news: bool,
}

impl Chat {
    /// The chat's part of a beacon that is about to be sent: one's own highest number, and how much of others' is had.
    pub fn beacon(&mut self) -> Heartbeat {
        let (newest, in_turn) = if self.group() > CROWD {
            self.reports.told_news = !self.reports.told_news;
            let in_turn = usize::from(!self.reports.told_news);
            (CROWD_ACKS - in_turn, in_turn)
        } else {
            (BEACON_ACKS, BEACON_ACKS)
        };
        let heartbeat = self.report(newest, in_turn);
        if self.unreported() == 0 {
            self.timers.cancel(Timer::Heartbeat);
        }
        heartbeat
    }

    fn report(&mut self, newest: usize, in_turn: usize) -> Heartbeat {
        let own = self.book.own;
        let mut heartbeat = Heartbeat { run: self.run, highest: self.outbox.highest(), acks: Vec::new() };
        // Of a sequence without pieces nobody could be given any.
        let told = |id: SequenceId, sequence: &Sequence| id != own && !sequence.pieces.is_empty();
        let all = self.book.iter().filter(|&(id, sequence)| told(id, sequence));
        let mut by_age: Vec<_> = all.map(|(id, sequence)| (sequence.reports_due, sequence.changed, id)).collect();
        let newest = newest.min(by_age.len());
        if newest < by_age.len() {
            by_age.select_nth_unstable_by(newest, |a, b| b.cmp(a));
        }
        let mut chosen: Vec<SequenceId> = by_age[..newest].iter().map(|&(_, _, id)| id).collect();
        for (id, sequence) in self.book.round_from(self.reports.turn) {
            if chosen.len() >= newest + in_turn {
                break;
            }
            if told(id, sequence) && !chosen.contains(&id) {
                chosen.push(id);
                self.reports.turn = id;
            }
        }
        for id in chosen {
            if let Some(sequence) = self.book.get_mut(id) {
                sequence.reports_due = sequence.reports_due.saturating_sub(1);
                heartbeat.push_ack(tag(sequence.member, sequence.run), sequence.told());
            }
        }
        heartbeat
    }

    /// Something new was said or heard: a heartbeat tells of it, unless a beacon does before.
    pub(super) fn arm_heartbeat(&mut self, now: Timestamp) {
        if self.timers.contains(Timer::Heartbeat) {
            return;
        }
        let others = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let each = if self.group() > CROWD { HEARTBEAT_PER_MEMBER_OF_CROWD } else { HEARTBEAT_PER_MEMBER };
        let after = HEARTBEAT_AFTER.max(each * others);
        let wait = self.random.between(after, after * 3 / 2);
        self.timers.set(Timer::Heartbeat, now + wait);
    }

    /// A private line came: its author is waiting for one of few.
    pub(super) fn hurry_heartbeat(&mut self, now: Timestamp) {
        let wait = self.random.between(HURRY / 3, HURRY);
        self.timers.set_earlier(Timer::Heartbeat, now + wait);
    }

    pub(super) fn send_heartbeat(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.members.is_empty() {
            return;
        }
        let heartbeat = self.report(HEARTBEAT_ACKS.min(self.unreported()), 0);
        self.counters.heartbeats_sent += 1;
        out.push(Output::Multicast(Packet::Heartbeat(heartbeat)));
        if self.unreported() > 0 {
            self.arm_heartbeat(now);
        }
    }

    fn unreported(&self) -> usize {
        self.book
            .iter()
            .filter(|&(id, s)| id != self.book.own && s.reports_due == REPORTS && !s.pieces.is_empty())
            .count()
    }

    /// Somebody tells, in a beacon or by itself, how far it has spoken and heard.
    pub(super) fn on_heartbeat(&mut self, now: Timestamp, from: ParticipantId, heartbeat: &Heartbeat) {
        if !self.payer().reports.take(now) {
            self.counters.too_fast += 1;
            return;
        }
        if heartbeat.highest > 0 {
            self.claim(now, from, heartbeat.run, heartbeat.highest);
        }
        let own = self.book.own;
        for (tag, upto) in heartbeat.acks() {
            match self.book.find_tag(tag) {
                Ok(Some(id)) if id == own => self.on_ack(now, from, upto),
                Ok(Some(id)) => self.want(now, id, upto, self.grace()),
                Ok(None) => {}
                Err(()) => self.on_unknown_tag(now, tag),
            }
        }
    }

    fn grace(&self) -> Duration {
        if self.group() > CROWD { CLAIM_GRACE_OF_CROWD } else { CLAIM_GRACE }
    }

    /// Somebody says that it has said so much.
    fn claim(&mut self, now: Timestamp, member: ParticipantId, run: u32, highest: u32) {
        let known = self.book.find(member, run);
        let id = known.or_else(|| {
            // Only those who are here: a claim is not signed, and costs a sequence.
            let present = self.members.contains_key(&member);
            present.then(|| self.open_sequence(now, member, run, highest, false)).flatten()
        });
        if let Some(id) = id {
            self.want(now, id, highest, self.grace());
        }
    }

    fn on_ack(&mut self, now: Timestamp, from: ParticipantId, upto: u32) {
        let upto = upto.min(self.outbox.highest());
        if let Some(member) = self.members.get_mut(&from).filter(|member| member.has < upto) {
            member.has = upto;
            self.look_at_delivery(now);
        }
    }
}
