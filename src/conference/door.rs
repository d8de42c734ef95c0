//! The director's part of the door: decisions by name, and what is told of those of others.

use super::director::Director;
use super::view::{Decision, NoticeKind};
use super::{Event, Outcome};
use crate::limits::KNOCKERS_MAX;
use crate::pipeline::control::Command as Ask;
use crate::protocol::session::DoorEvent;
use crate::wire::message::ParticipantId;

/// Who waits at the door, and what was told last of who decides.
#[derive(Default)]
pub struct Knocks {
    waiting: Vec<(ParticipantId, String)>,
    told: Option<(ParticipantId, Vec<ParticipantId>)>,
}

/// The one of those listed who is called that, by name or id.
fn called<'a>(all: impl Iterator<Item = (ParticipantId, &'a str)>, who: &str) -> Result<ParticipantId, &'static str> {
    let mut found: Vec<ParticipantId> =
        all.filter(|(id, name)| *name == who || id.to_string() == who).map(|(id, _)| id).collect();
    match (found.pop(), found.is_empty()) {
        (Some(id), true) => Ok(id),
        (Some(_), false) => Err("several are called that: name them by their id"),
        (None, _) => Err("nobody is called that"),
    }
}

impl Director {
    /// Does what the owner or a moderator asked for; whether they may is decided further down, by everybody.
    pub(super) fn decide(&mut self, decision: &Decision) {
        let here = |who: &str| {
            let state = self.shared.state();
            let people = state.people.here().map(|o| (o.person.id, o.person.name.as_str()));
            called(people, who).map_err(|why| format!("{who}: {why} here"))
        };
        let waiting = |who: &str| {
            let waiting = self.knocks.waiting.iter().map(|(id, name)| (*id, name.as_str()));
            called(waiting, who).map_err(|why| format!("{who}: {why} at the door"))
        };
        let ask = match decision {
            Decision::Lock(on) => Ok(Ask::Lock(*on)),
            Decision::Kick(who) => here(who).map(Ask::Kick),
            Decision::Admit(who) => waiting(who).map(Ask::Admit),
            Decision::Refuse(who) => waiting(who).map(Ask::Refuse),
            Decision::Moderator(who, on) => here(who).map(|id| Ask::Moderator(id, *on)),
            Decision::HandOver(who) => here(who).map(Ask::HandOver),
        };
        match ask {
            Ok(ask) if self.control.send(ask) => {}
            Ok(_) => self.say(NoticeKind::Warning, "too much is asked at once"),
            Err(why) => self.say(NoticeKind::Warning, &why),
        }
    }

    /// Something happened at the door.
    pub(super) fn at_the_door(&mut self, event: DoorEvent) {
        match event {
            DoorEvent::Waiting => {
                self.say(NoticeKind::Info, "the conference is locked: waiting for somebody to let you in");
            }
            DoorEvent::Knocked { id, name, was_removed } => self.knocked(id, name, was_removed),
            DoorEvent::KnockOver { id } => {
                let gone = self.knocks.waiting.iter().position(|(waiting, _)| *waiting == id);
                if let Some(at) = gone {
                    let (_, name) = self.knocks.waiting.remove(at);
                    self.tell_event(Event::Knock { name, id: id.to_string(), waits: false });
                }
            }
            DoorEvent::Refused { by } => self.end(Outcome::Refused(self.name_or_somebody(by))),
            DoorEvent::Removed { by } => self.end(Outcome::Removed(self.name_or_somebody(by))),
            DoorEvent::PutOut { id, by } => {
                let [whom, by] = [id, by].map(|id| self.name_or_somebody(id));
                self.say(NoticeKind::Info, &format!("{whom} was removed by {by}"));
            }
            DoorEvent::Epoch { keys, sid, streams } => {
                if self.keys.is_some() {
                    self.keys = Some(keys);
                }
                self.sid = sid;
                self.renew_streams(streams);
            }
            DoorEvent::Locked { on, by } => {
                let by = by.map_or_else(String::new, |by| format!(" by {}", self.name_or_somebody(by)));
                let text = if on {
                    format!("the conference was locked{by}: newcomers have to knock")
                } else {
                    format!("the conference was opened{by}: whoever has the passphrase may come in")
                };
                self.say(NoticeKind::Info, &text);
                self.tell_event(Event::Locked { on });
            }
            DoorEvent::Authority { owner, moderators } => self.authority(owner, moderators),
            DoorEvent::Denied(why) => self.say(NoticeKind::Warning, &why),
        }
    }

    fn knocked(&mut self, id: ParticipantId, name: String, was_removed: bool) {
        if self.knocks.waiting.len() < KNOCKERS_MAX {
            self.knocks.waiting.push((id, name.clone()));
        }
        let before = if was_removed { " (was removed before)" } else { "" };
        let text = format!("{name}{before} asks to be let in: /admit {name} or /refuse {name} in the chat");
        self.say(NoticeKind::Info, &text);
        self.tell_event(Event::Knock { name, id: id.to_string(), waits: true });
    }

    fn authority(&mut self, owner: ParticipantId, moderators: Vec<ParticipantId>) {
        let now = Some((owner, moderators));
        if self.knocks.told == now {
            return;
        }
        let first = self.knocks.told.is_none();
        self.knocks.told = now;
        let Some((owner, moderators)) = &self.knocks.told else {
            return;
        };
        let name = self.name_or_somebody(*owner);
        let moderators: Vec<String> = moderators.iter().map(|id| self.name_or_somebody(*id)).collect();
        if !first {
            let also =
                if moderators.is_empty() { String::new() } else { format!("; {} may too", moderators.join(", ")) };
            self.say(NoticeKind::Info, &format!("{name} decides who may be here{also}"));
        }
        self.tell_event(Event::Authority { owner: name, moderators });
    }

    fn end(&self, outcome: Outcome) {
        self.shared.state().outcome = Some(outcome);
    }

    fn name_or_somebody(&self, id: ParticipantId) -> String {
        self.name_of(id).unwrap_or_else(|| "somebody".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_called_by_name_or_by_id() {
        let all = [(1, "Ada"), (2, "Bob"), (3, "Bob")].map(|(n, name)| (ParticipantId([n; 16]), name));
        assert_eq!(called(all.into_iter(), "Ada"), Ok(ParticipantId([1; 16])));
        assert_eq!(called(all.into_iter(), &"02".repeat(16)), Ok(ParticipantId([2; 16])));
        assert!(called(all.into_iter(), "Bob").is_err(), "two are called that");
        assert!(called(all.into_iter(), "ada").is_err() && called(all.into_iter(), "").is_err());
    }
}
