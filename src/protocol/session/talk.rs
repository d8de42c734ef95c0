//! The chat's place in a session: who is present, what is sent and heard, and lines that wait to be said.
//!
//! ```text
//! start:  what is on disk > everybody who is here > what was said before, asked of one of them
//! say ──> wait for joining and for the pace others accept ──> Chat ──> signed, sealed, sent
//! sealed datagram ──> of somebody who proved to be here ──> Chat ──> lines, deliveries
//! ```
//! An observer takes no part in it. Lines are not signed anew for those who come later, so the chat checks signatures
//! itself, and the rule that a session's counter must increase does not hold for them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Event, Moment, Outputs, Session, Stage, To, Unsaid};
use crate::limits::{ASTRAY_PER_S_MAX, ASTRAY_PER_SOURCE_MAX, CHAT_WAITING_MAX};
use crate::protocol::chat::envelope::{Listener, Speaker};
use crate::protocol::chat::{self, Body, Chat, Content, Line, LineId, Output, SayError, private};
use crate::protocol::keys::Random;
use crate::protocol::roster::{Person, Report, Role};
use crate::time::Timestamp;
use crate::wire::chat::{Heartbeat, Original, Packet};
use crate::wire::message::ParticipantId;

/// How long after joining, and after the others had time to see that one is there, they are asked what was said: of
/// whom they do not know yet they take no question.
const SETTLING: Duration = Duration::from_millis(50);

/// Longest time after that for which what one says oneself waits for it, so that it is read after what was said before.
const LISTENING: Duration = Duration::from_millis(500);

/// A session's side of the chat.
pub(super) struct Talk {
    chat: Chat,
    /// Lines to be said, oldest first.
    waiting: VecDeque<Content>,
    /// When the first of them may be.
    say_at: Timestamp,
    /// What is on disk, and how old it was at which time.
    kept: Option<(Timestamp, Vec<(Duration, Original)>)>,
    /// When others are asked what was said before.
    catch_up_at: Option<Timestamp>,
    /// Nothing is said until then, unless it is known before what was said.
    listen_until: Option<Timestamp>,
    /// Reused.
    outputs: Vec<Output>,
}

impl Talk {
    pub fn new(now: Timestamp, me: &Person, random: &mut Random) -> Self {
        let mut seed = [0; 32];
        seed.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.next_u64().to_be_bytes()));
        let config = chat::Config { me: me.id, name: me.name.clone(), seed };
        let chat = Chat::new(now, config);
        let (waiting, outputs) = (VecDeque::new(), Vec::new());
        Self { chat, waiting, say_at: Timestamp(0), kept: None, catch_up_at: None, listen_until: None, outputs }
    }

    pub fn refusals(&self) -> u64 {
        self.chat.counters().refusals()
    }

    /// When something is due, once one has joined.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let say = (!self.waiting.is_empty()).then(|| self.say_at.max(self.listen_until.unwrap_or_default()));
        [say, self.catch_up_at, self.chat.next_timeout()].into_iter().flatten().min()
    }

    /// What a beacon tells; nothing while nothing was said.
    pub fn beacon(&mut self) -> Option<Heartbeat> {
        let heartbeat = self.chat.beacon();
        (heartbeat.highest > 0 || !heartbeat.acks.is_empty()).then_some(heartbeat)
    }

    pub fn rename(&mut self, name: &str) {
        self.chat.rename(name.to_owned());
    }

    /// Somebody came or went.
    pub fn note(&mut self, now: Timestamp, report: &Report) {
        match report {
            Report::Joined(person) => self.present(now, person),
            Report::Left(person, _) => self.chat.left(now, person.id),
            Report::Changed(_) => {}
        }
    }

    /// The first line that waits, once it may be said.
    fn next_to_say(&mut self, now: Timestamp) -> Option<Content> {
        let heard = self.chat.has_caught_up();
        self.listen_until.take_if(|until| heard || *until <= now);
        let may = self.listen_until.is_none() && self.say_at <= now;
        self.waiting.front().filter(|_| may).cloned()
    }

    fn present(&mut self, now: Timestamp, person: &Person) {
        // Observers acknowledge nothing and know of nothing.
        if person.role == Role::Participant {
            self.chat.joined(now, person.id);
        }
    }
}

impl Session {
    /// Gives what is on disk of earlier times in this conference, with its age now. Before the first
    /// [`timeout`](Self::timeout).
    pub fn restore(&mut self, at: Moment, kept: Vec<(Duration, Original)>) {
        if let Some(talk) = &mut self.talk {
            talk.kept = Some((at.now, kept));
        }
    }

    /// Says something to those in `audience`, or to everybody when it is empty, as soon as one has joined and as fast as
    /// others accept. [`Event::Said`] or [`Event::Unsaid`] follows, in the order of saying.
    pub fn say(&mut self, at: Moment, content: Content, audience: &[ParticipantId], out: &mut Outputs) {
        let content = match self.sealed_for(audience, content) {
            Ok(content) => content,
            Err((content, why)) => return out.events.push(Event::Unsaid(content, why)),
        };
        match &mut self.talk {
            None => out.events.push(Event::Unsaid(content, Unsaid::Observer)),
            Some(talk) if talk.waiting.len() >= CHAT_WAITING_MAX => {
                out.events.push(Event::Unsaid(content, Unsaid::TooMany));
            }
            Some(talk) => talk.waiting.push_back(content),
        }
        self.pump(at, out);
    }

    /// Nothing more of somebody's is taken, or it is again.
    pub(super) fn shut_out(&mut self, now: Timestamp, member: ParticipantId, out: bool) {
        if let Some(talk) = &mut self.talk {
            if out { talk.chat.shut_out(now, member) } else { talk.chat.let_in(&member) }
        }
    }

    /// As it is sent: sealed when it is for some only.
    fn sealed_for(&mut self, audience: &[ParticipantId], content: Content) -> Result<Content, (Content, Unsaid)> {
        if audience.is_empty() {
            return Ok(content);
        }
        let keys: Option<Vec<[u8; 32]>> = audience.iter().map(|id| self.roster.key(id).copied()).collect();
        let Some(keys) = keys else {
            return Err((content, Unsaid::Absent));
        };
        let conference = self.opener.keys().conference();
        private::seal(conference, &self.identity, &keys, &self.me.name, &content, &mut self.random)
            .ok_or((content, Unsaid::TooManyRecipients))
    }

    /// The line as its readers see it; nothing when it cannot be read.
    fn opened(&self, line: Line) -> Option<Line> {
        let Body::Sealed { recipients, sealed } = &line.content.body else {
            return Some(line);
        };
        let conference = self.opener.keys().conference();
        let content = private::open(conference, &self.identity, &line.key.id.member, recipients, sealed)?;
        Some(Line { audience: recipients.clone(), content, ..line })
    }

    /// The chat begins: one has joined.
    pub(super) fn start_talk(&mut self, now: Timestamp, out: &mut Outputs) {
        let Some(talk) = &mut self.talk else {
            return;
        };
        talk.rename(&self.me.name);
        if let Some((since, kept)) = talk.kept.take() {
            let waited = now.since(since);
            for (age, original) in kept {
                talk.chat.restore(now, age + waited, &original, &mut talk.outputs);
            }
        }
        self.roster.people().for_each(|person| talk.present(now, person));
        let catch_up_at = now + SETTLING + self.roster.spread();
        talk.catch_up_at = Some(catch_up_at);
        talk.listen_until = Some(catch_up_at + LISTENING);
        self.flush_talk(out);
    }

    /// Does what is due.
    pub(super) fn pump_talk(&mut self, at: Moment, out: &mut Outputs) {
        let Some(talk) = self.talk.as_mut().filter(|_| self.stage == Stage::Joined) else {
            return;
        };
        if talk.catch_up_at.take_if(|due| *due <= at.now).is_some() {
            talk.chat.catch_up(at.now, &mut talk.outputs);
        }
        if talk.chat.next_timeout().is_some_and(|due| due <= at.now) {
            talk.chat.timeout(at.now, &mut talk.outputs);
        }
        self.flush_talk(out);
        self.say_waiting(at, out);
    }

    fn say_waiting(&mut self, at: Moment, out: &mut Outputs) {
        while let Some(content) = self.talk.as_mut().and_then(|talk| talk.next_to_say(at.now)) {
            let said = self.speak(at, &content);
            let Some(talk) = &mut self.talk else {
                return;
            };
            if let Err(SayError::TooFast(wait)) = said {
                talk.say_at = at.now + wait;
                return;
            }
            talk.waiting.pop_front();
            self.flush_talk(out);
            out.events.push(match said {
                Ok(id) => Event::Said(id, content),
                Err(error) => Event::Unsaid(content, Unsaid::Refused(error)),
            });
        }
    }

    fn speak(&mut self, at: Moment, content: &Content) -> Result<LineId, SayError> {
        let Some(talk) = &mut self.talk else {
            return Err(SayError::Exhausted);
        };
        let keys = self.opener.keys();
        let (conference, epoch) = (keys.conference(), keys.epoch());
        let (identity, sid) = (&self.identity, self.me.sid);
        let mut speaker = Speaker { identity, conference, epoch, sid, counter: &mut self.counter };
        talk.chat.say(at.now, at.wall, content, &mut speaker, &mut talk.outputs)
    }

    /// A packet of session `sid`, authentic as the conference's. Whether it was taken in.
    /// What does not come from that session's address draws on no member's share: every member can seal in it.
    pub(super) fn hear_talk(
        &mut self,
        at: Moment,
        source: SocketAddr,
        sid: u64,
        packet: &Packet,
        out: &mut Outputs,
    ) -> bool {
        let Some(talk) = self.talk.as_mut().filter(|_| self.stage == Stage::Joined) else {
            return false;
        };
        let Some(person) = self.roster.member(sid).filter(|person| person.role == Role::Participant) else {
            self.counters.strangers += 1;
            return false;
        };
        let listener = Listener { conference: self.opener.keys().conference() };
        if person.address == source {
            talk.chat.handle(at.now, person.id, packet, &listener, &mut talk.outputs);
        } else if self.astray.take(at.now, source.ip(), ASTRAY_PER_SOURCE_MAX, ASTRAY_PER_S_MAX) {
            talk.chat.handle_astray(at.now, person.id, packet, &listener, &mut talk.outputs);
        } else {
            self.counters.throttled += 1;
            return false;
        }
        self.flush_talk(out);
        self.say_waiting(at, out);
        true
    }

    fn flush_talk(&mut self, out: &mut Outputs) {
        let Some(talk) = &mut self.talk else {
            return;
        };
        let mut outputs = std::mem::take(&mut talk.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Multicast(packet) => self.post(To::Control, packet.into(), out),
                Output::Unicast(to, packet) => self.post_to(to, packet, out),
                Output::Event(chat::Event::Line(line)) => {
                    out.events.extend(self.opened(line).map(|line| Event::Chat(chat::Event::Line(line))));
                }
                Output::Event(event) => out.events.push(Event::Chat(event)),
            }
        }
        if let Some(talk) = &mut self.talk {
            talk.outputs = outputs;
        }
    }

    fn post_to(&mut self, to: ParticipantId, packet: Packet, out: &mut Outputs) {
        if let Some(address) = self.roster.person(&to).map(|person| person.address) {
            self.post(To::Unicast(address), packet.into(), out);
        }
    }
}
