//! Another epoch, and who is not to be in it.

use super::{Departure, Member, News, Roster};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;

impl Roster {
    /// An epoch begins: everybody goes on in another session.
    pub fn turn(&mut self) {
        self.generation += 1;
    }

    /// Somebody who is here goes on as session `sid` in the present epoch, by a message signed with `key`. Nothing recorded
    /// can be of an epoch whose keys are new, so they need not prove that they are there.
    pub fn go_on(&mut self, id: ParticipantId, key: &[u8; 32], sid: u64) {
        let Some(&old) = self.present.get(&id).filter(|old| **old != sid) else {
            return;
        };
        let goes_on = |m: &Member| m.generation != self.generation && m.key == *key;
        if self.by_sid.contains_key(&sid) || !self.by_sid.get(&old).is_some_and(goes_on) {
            return;
        }
        if let Some(mut member) = self.forget(old) {
            self.index.absent(&member.person);
            member.person.sid = sid;
            (member.generation, member.counter, member.announced) = (self.generation, 0, 0);
            member.whole = 0;
            member.probe.outstanding = None;
            self.namesakes.remove(&member.folded, old);
            self.namesakes.add(&member.folded, sid);
            member.said.clear();
            let told = std::mem::replace(&mut member.news, News::None);
            member.tell(told.max(News::Changed), &mut self.news);
            member.queued = Timestamp(u64::MAX);
            self.index.came(member.person.address.ip());
            self.index.present(&member.person);
            self.by_sid.insert(sid, member);
            self.present.insert(id, sid);
            self.is_due(sid);
            self.retire(old);
        }
    }

    /// Somebody is put out: gone at once, with all their sessions.
    pub fn put_out(&mut self, now: Timestamp, id: &ParticipantId) {
        let sids: Vec<u64> = self.by_sid.iter().filter(|(_, m)| m.person.id == *id).map(|(&sid, _)| sid).collect();
        for sid in sids {
            self.depart(now, sid, Departure::Removed);
            self.retire(sid);
        }
    }
}
