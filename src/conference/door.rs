//! The director's part of the door: decisions by name, and what is told of those of others.
//!
//! ```text
//! Command::Door > whom it names, by name or id > control role > every member's session decides whether it holds
//! session's DoorEvent > state (who decides, locked) > Event::Door for scripts and terminals, a notice for the window
//! ```

use super::director::Director;
use super::view::{Decision, Knock, NoticeKind, Rank};
use super::{Event, Outcome, PersonState};
use crate::limits::KNOCKERS_MAX;
use crate::pipeline::control::Command as Ask;
use crate::protocol::door::Authority;
use crate::protocol::session::DoorEvent;
use crate::wire::message::ParticipantId;

/// Something about who may be here. People by the names shown, and by participant id, hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorNews {
    /// The conference is locked, and one waits to be let in.
    Waiting,
    /// Somebody asks to be let in; told to the owner and moderators.
    Knock {
        /// As they call themselves.
        name: String,
        /// Who.
        id: String,
        /// Whether they still wait.
        waits: bool,
    },
    /// The conference was locked or opened.
    Locked {
        /// Newcomers have to knock.
        on: bool,
        /// By whom, if that is known.
        by: Option<String>,
    },
    /// Who decides.
    Authority {
        /// The owner's name.
        owner: String,
        /// The owner's id.
        owner_id: String,
        /// The moderators' names.
        moderators: Vec<String>,
        /// The moderators' ids.
        moderator_ids: Vec<String>,
    },
    /// Somebody was put out.
    Removed {
        /// Whom.
        name: String,
        /// Who.
        id: String,
        /// By whom.
        by: String,
    },
    /// One has to go, or may not come in.
    Over(Outcome),
}

/// Who waits at the door, and who decides.
#[derive(Default)]
pub struct Knocks {
    waiting: Vec<(ParticipantId, String)>,
}

/// Who decides, as far as known, and whether newcomers have to knock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The owner.
    pub owner: Option<ParticipantId>,
    /// The moderators.
    pub moderators: Vec<ParticipantId>,
    /// Newcomers have to knock.
    pub locked: bool,
}

impl Rule {
    /// What somebody may do.
    pub fn authority(&self, id: &ParticipantId) -> Authority {
        if self.owner == Some(*id) {
            Authority::Owner
        } else if self.moderators.contains(id) {
            Authority::Moderator
        } else {
            Authority::None
        }
    }

    /// The same for a window.
    pub fn rank(&self, id: &ParticipantId) -> Rank {
        match self.authority(id) {
            Authority::Owner => Rank::Owner,
            Authority::Moderator => Rank::Moderator,
            Authority::None => Rank::Member,
        }
    }

    /// The same as a word.
    pub fn role(&self, id: &ParticipantId) -> &'static str {
        match self.authority(id) {
            Authority::Owner => "owner",
            Authority::Moderator => "moderator",
            Authority::None => "member",
        }
    }
}

/// The one of those listed who is called that, by name or id. `place`: where they are looked for, for whoever is told that
/// there is none.
pub(super) fn called<'a>(
    all: impl Iterator<Item = (ParticipantId, &'a str)>,
    who: &str,
    place: &str,
) -> Result<ParticipantId, String> {
    let mut found: Vec<ParticipantId> =
        all.filter(|(id, name)| *name == who || id.to_string() == who).map(|(id, _)| id).collect();
    match (found.pop(), found.is_empty()) {
        (Some(id), true) => Ok(id),
        (Some(_), false) => Err(format!("{who}: several are called that {place}: name them by their id")),
        (None, _) => Err(format!("{who}: nobody is called that {place}")),
    }
}

impl Director {
    /// Does what the owner or a moderator asked for; whether they may is decided further down, by everybody.
    pub(super) fn decide(&mut self, decision: &Decision) {
        let here = |who: &str| {
            let state = self.shared.state();
            let me = (state.own.id, state.own.name.as_str());
            let people = state.people.here().map(|o| (o.person.id, o.person.name.as_str()));
            called(people.chain([me]), who, "here")
        };
        let waiting = |who: &str| {
            let waiting = self.knocks.waiting.iter().map(|(id, name)| (*id, name.as_str()));
            called(waiting, who, "at the door")
        };
        let ask = match decision {
            Decision::Lock(on) => Ok(Ask::Lock(*on)),
            Decision::Kick(who) => here(who).map(Ask::Kick),
            Decision::Admit(who) => waiting(who).map(Ask::Admit),
            Decision::Refuse(who) => waiting(who).map(Ask::Refuse),
            Decision::Moderator(who, on) => here(who).map(|id| Ask::Moderator(id, *on)),
            Decision::HandOver(who) => here(who).map(Ask::HandOver),
            Decision::Favour(who, on) => {
                return match here(who) {
                    Ok(id) => self.favour(id, *on),
                    Err(why) => self.say(NoticeKind::Warning, &why),
                };
            }
        };
        match ask.map(|ask| self.control.send(ask)) {
            Ok(true) => {}
            Ok(false) => self.say(NoticeKind::Warning, "too much is asked at once"),
            Err(why) => self.say(NoticeKind::Warning, &why),
        }
    }

    /// Something happened at the door.
    pub(super) fn at_the_door(&mut self, event: DoorEvent) {
        match event {
            DoorEvent::Waiting => {
                self.shared.state().waiting = true;
                self.door_news(DoorNews::Waiting, "the conference is locked: waiting for somebody to let you in");
            }
            DoorEvent::Knocked { id, name, was_removed } => self.knocked(id, name, was_removed),
            DoorEvent::KnockOver { id } => self.knock_over(id),
            DoorEvent::Refused { .. } => self.end(Outcome::Refused),
            DoorEvent::Removed { by } => self.end(Outcome::Removed(self.name_or_somebody(by))),
            DoorEvent::PutOut { id, by } => {
                let [name, by] = [id, by].map(|id| self.name_or_somebody(id));
                let text = format!("{name} was removed by {by}");
                self.door_news(DoorNews::Removed { name, id: id.to_string(), by }, &text);
            }
            DoorEvent::Epoch { keys, sid, streams } => {
                self.receiver.feedback(&self.socket, &keys, sid);
                if self.keys.is_some() {
                    self.keys = Some(keys.clone());
                }
                self.object_keys = keys;
                self.renew_files();
                self.sid = sid;
                self.renew_streams(streams);
            }
            DoorEvent::Locked { on, by, outsiders } => {
                self.shared.state().rule.locked = on;
                let by = by.map(|by| self.name_or_somebody(by));
                let words = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
                let text = if on {
                    format!("the conference was locked{words}: newcomers have to knock")
                } else {
                    format!("the conference was unlocked{words}: whoever has the passphrase may come in")
                };
                let text = match outsiders {
                    0 => text,
                    1 => format!("{text}, and the one who was removed can see and hear it again"),
                    n => format!("{text}, and the {n} who were removed can see and hear it again"),
                };
                self.door_news(DoorNews::Locked { on, by }, &text);
            }
            DoorEvent::Authority { owner, moderators } => self.authority(owner, moderators),
            DoorEvent::Denied(why) => self.say(NoticeKind::Warning, &why),
        }
    }

    fn knocked(&mut self, id: ParticipantId, name: String, was_removed: bool) {
        if self.knocks.waiting.len() < KNOCKERS_MAX {
            self.knocks.waiting.push((id, name.clone()));
            self.show_knocks();
        }
        let before = if was_removed { ", who was removed before," } else { "" };
        let text = format!("{name}{before} asks to be let in: /admit {name} or /refuse {name}");
        self.door_news(DoorNews::Knock { name, id: id.to_string(), waits: true }, &text);
    }

    fn show_knocks(&self) {
        let knock = |(id, name): &(ParticipantId, String)| Knock { id: id.to_string(), name: name.clone() };
        self.shared.state().knocks = self.knocks.waiting.iter().map(knock).collect();
    }

    fn knock_over(&mut self, id: ParticipantId) {
        if let Some(at) = self.knocks.waiting.iter().position(|(waiting, _)| *waiting == id) {
            let (_, name) = self.knocks.waiting.remove(at);
            self.show_knocks();
            let text = format!("{name} does not wait at the door any more");
            self.door_news(DoorNews::Knock { name, id: id.to_string(), waits: false }, &text);
        }
    }

    /// Everything about the door as it is, after events were lost.
    pub(super) fn catch_up_door(&mut self, authority: Option<(ParticipantId, Vec<ParticipantId>)>, locked: bool) {
        if let Some((owner, moderators)) = authority {
            self.authority(owner, moderators);
        }
        if self.shared.state().rule.locked != locked {
            self.at_the_door(DoorEvent::Locked { on: locked, by: None, outsiders: 0 });
        }
    }

    fn authority(&mut self, owner: ParticipantId, moderators: Vec<ParticipantId>) {
        let before = {
            let rule = &mut self.shared.state().rule;
            let now = Rule { owner: Some(owner), moderators, locked: rule.locked };
            if *rule == now {
                return;
            }
            std::mem::replace(rule, now)
        };
        let rule = self.shared.state().rule.clone();
        let everybody: Vec<_> = self.shared.state().people.here().map(|o| o.person.clone()).collect();
        for person in everybody.iter().filter(|p| before.authority(&p.id) != rule.authority(&p.id)) {
            self.tell(person, PersonState::Changed, "");
        }
        let names = |ids: &[ParticipantId]| ids.iter().map(|id| self.name_or_somebody(*id)).collect::<Vec<_>>();
        let (name, moderators) = (self.name_or_somebody(owner), names(&rule.moderators));
        let also = match moderators.as_slice() {
            [] => String::new(),
            [one] => format!("; {one} is moderator"),
            several => format!("; {} are moderators", several.join(", ")),
        };
        let text = format!("{name} owns the conference{also}");
        let moderator_ids = rule.moderators.iter().map(ParticipantId::to_string).collect();
        let news = DoorNews::Authority { owner: name, owner_id: owner.to_string(), moderators, moderator_ids };
        if before.owner.is_some() {
            self.door_news(news, &text);
        } else {
            // As it was found is nothing new to people.
            self.tell_event(Event::Door { news, text: String::new() });
        }
    }

    fn end(&self, outcome: Outcome) {
        self.shared.state().outcome = Some(outcome.clone());
        let text = outcome.to_string();
        self.tell_event(Event::Door { news: DoorNews::Over(outcome), text });
    }

    /// Tells the window in words, and everybody else as an event.
    fn door_news(&self, news: DoorNews, text: &str) {
        self.shared.state().notices.say(self.now(), NoticeKind::Info, text);
        self.tell_event(Event::Door { news, text: text.to_owned() });
    }

    fn name_or_somebody(&self, id: ParticipantId) -> String {
        self.name_of(id).unwrap_or_else(|| "somebody".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_words() {
        let id = |n| ParticipantId([n; 16]);
        let rule = Rule { owner: Some(id(1)), moderators: vec![id(2)], locked: false };
        assert_eq!([1, 2, 3].map(|n| rule.role(&id(n))), ["owner", "moderator", "member"]);
        assert_eq!(Rule::default().role(&id(1)), "member");
    }

    #[test]
    fn people_are_called_by_name_or_by_id() {
        let all = [(1, "Ada"), (2, "Bob"), (3, "Bob")].map(|(n, name)| (ParticipantId([n; 16]), name));
        let called = |who: &str, place| called(all.into_iter(), who, place);
        assert_eq!(called("Ada", "here"), Ok(ParticipantId([1; 16])));
        assert_eq!(called(&"02".repeat(16), "here"), Ok(ParticipantId([2; 16])));
        assert!(called("ada", "here").is_err() && called("", "here").is_err());
        for (who, place, why) in [
            ("Bob", "here", "Bob: several are called that here: name them by their id"),
            ("Bob", "at the door", "Bob: several are called that at the door: name them by their id"),
            ("Cyd", "at the door", "Cyd: nobody is called that at the door"),
        ] {
            assert_eq!(called(who, place), Err(why.to_owned()));
        }
    }
}
