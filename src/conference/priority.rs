//! Priority voice, the all-call: whoever may speaks over all others, who are softer meanwhile.
//!
//! ```text
//! owner, moderators: by right; whom one of them favours: as long as that one is here and says so
//! beacon (signed): "I speak with priority" ──> every receiver looks whether they may ──> mixer fades the others
//! ```
//! In an open conference nobody is in charge, and so nobody has priority.

use super::director::Director;
use super::door::Rule;
use super::follow::stream_key;
use super::people::People;
use super::view::NoticeKind;
use crate::limits::FAVOURED_MAX;
use crate::pipeline::control::Command as Ask;
use crate::protocol::door::Authority;
use crate::wire::StreamKind;
use crate::wire::message::ParticipantId;

/// Who speaks with priority, as it is played, and whom one favours oneself.
#[derive(Default)]
pub(super) struct Priority {
    /// Keys of people.
    speaking: Vec<u64>,
    favoured: Vec<ParticipantId>,
    /// The own microphone was off before one began to speak with priority.
    pub(super) was_muted: bool,
}

/// Whether somebody may speak with priority; `own` is this member and whom it favours.
pub(super) fn may(id: &ParticipantId, rule: &Rule, people: &People, own: (&ParticipantId, &[ParticipantId])) -> bool {
    let decides = |id: &ParticipantId| rule.authority(id) >= Authority::Moderator;
    decides(id)
        || (decides(own.0) && own.1.contains(id))
        || people.here().any(|other| decides(&other.person.id) && other.person.favoured.contains(id))
}

impl Director {
    /// Speaks over all others from now on, or no more.
    pub(super) fn speak_over(&mut self, on: bool) {
        let (me, before, allowed, muted) = {
            let state = self.shared.state();
            let me = state.own.id;
            let allowed = may(&me, &state.rule, &state.people, (&me, &self.priority.favoured));
            (me, state.own.attention.priority, allowed, state.own.muted)
        };
        if on && !allowed {
            self.say(
                NoticeKind::Warning,
                "only the owner, moderators and whom they favour speak with priority, and nobody in an open conference",
            );
            return;
        }
        if on == before {
            return;
        }
        tracing::debug!(%me, on, "priority");
        self.attend(|mine| mine.priority = on);
        if on {
            self.mute(false);
            self.priority.was_muted = muted;
        } else if self.priority.was_muted {
            self.mute(true);
        }
    }

    /// Lets somebody speak with priority, or no more.
    pub(super) fn favour(&mut self, id: ParticipantId, on: bool) {
        let decides = {
            let state = self.shared.state();
            state.rule.authority(&state.own.id) >= Authority::Moderator
        };
        let full = on && self.priority.favoured.len() >= FAVOURED_MAX && !self.priority.favoured.contains(&id);
        if !decides {
            return self.say(NoticeKind::Warning, "only the owner and moderators let others speak with priority");
        }
        if full {
            return self
                .say(NoticeKind::Warning, &format!("you let {FAVOURED_MAX} people speak with priority already"));
        }
        self.priority.favoured.retain(|other| *other != id);
        if on {
            self.priority.favoured.push(id);
        }
        self.shared.state().favoured = self.priority.favoured.iter().map(ParticipantId::to_string).collect();
        self.control.send(Ask::Favoured(self.priority.favoured.clone()));
    }

    /// Plays whoever speaks with priority, and may, over all others.
    pub(super) fn mind_priority(&mut self) {
        let (speaking, names, revoked) = {
            let state = self.shared.state();
            let own = (&state.own.id, self.priority.favoured.as_slice());
            let has = |id: &ParticipantId| may(id, &state.rule, &state.people, own);
            let revoked = state.own.attention.priority && !has(own.0);
            let all = state.people.here().filter(|o| o.person.attention.priority && has(&o.person.id));
            let (mut speaking, mut names) = (Vec::new(), Vec::new());
            for other in all {
                speaking.push(other.key);
                if !self.priority.speaking.contains(&other.key) {
                    names.push(other.person.name.clone());
                }
            }
            (speaking, names, revoked)
        };
        if revoked {
            self.speak_over(false);
            self.say(NoticeKind::Info, "you speak with priority no more: it is no longer given to you");
        }
        if speaking == self.priority.speaking {
            return;
        }
        for name in names {
            self.say(NoticeKind::Info, &format!("{name} speaks with priority"));
        }
        let before = std::mem::replace(&mut self.priority.speaking, speaking);
        let voice = |key: &u64| stream_key(*key, StreamKind::Audio);
        for ended in before.iter().filter(|key| !self.priority.speaking.contains(key)) {
            self.voices.set_priority(voice(ended), false);
        }
        for key in &self.priority.speaking {
            self.voices.set_priority(voice(key), true);
        }
    }

    /// The voice of this key is played anew: with priority, if it had that.
    pub(super) fn keep_priority(&self, key: u64) {
        if self.priority.speaking.contains(&key) {
            self.voices.set_priority(stream_key(key, StreamKind::Audio), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::people::tests::person;

    #[test]
    fn only_who_decides_and_whom_they_favour_have_priority() {
        let mut people = People::default();
        let [owner, moderator, member, other] = [1, 2, 3, 4].map(|n| person(n, 1));
        let ids = [owner.id, moderator.id, member.id, other.id];
        let rule = Rule { owner: Some(owner.id), moderators: vec![moderator.id], locked: false };
        // A member's own list counts for nothing.
        for mut person in [owner, moderator, member, other] {
            person.favoured = match person.id {
                id if id == ids[1] => vec![ids[2]],
                id if id == ids[2] => vec![ids[3]],
                _ => Vec::new(),
            };
            people.arrive(person);
        }
        let me = ParticipantId([9; 16]);
        let allowed =
            |people: &People, rule: &Rule, own: &[ParticipantId]| ids.map(|id| may(&id, rule, people, (&me, own)));
        assert_eq!(allowed(&people, &rule, &[]), [true, true, true, false]);
        assert_eq!(allowed(&people, &rule, &[ids[3]]), [true, true, true, false], "one is a member oneself");
        let mine = Rule { moderators: vec![me], ..rule.clone() };
        assert_eq!(allowed(&people, &mine, &[ids[3]]), [true, false, false, true]);
        people.depart(&ids[1]);
        assert_eq!(allowed(&people, &rule, &[]), [true, true, false, false], "whose word it was has left");
        assert_eq!(allowed(&people, &Rule::default(), &[]), [false; 4], "nobody is in charge");
    }
}
