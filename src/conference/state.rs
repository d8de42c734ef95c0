//! What the director knows, as others see it.

use std::sync::Arc;

use super::entry::Ready;
use super::invite::Invite;
use super::notices::Notices;
use super::own::Own;
use super::people::People;
use super::priority;
use super::stats::{self, Stats};
use super::taking::Taking;
use super::talk::Talk;
use super::tap::Tapped;
use super::view::{DevicesView, Knock, PersonView, View};
use crate::pipeline::control;
use crate::protocol::doctor::Report;
use crate::time::Timestamp;
use crate::wire::address::Plan;
use crate::wire::message::ConferenceId;
use crate::wire::{Layer, StreamKind};

/// The conference's state.
pub struct State {
    /// Title.
    pub title: String,
    /// Id of the conference.
    pub conference: ConferenceId,
    /// Anyone on the network can watch.
    pub open: bool,
    /// Name of the network interface.
    pub interface: String,
    /// Addresses of everything.
    pub plan: Plan,
    /// When this instance came in.
    pub joined_at: Timestamp,
    /// The person at this machine.
    pub own: Own,
    /// Everybody else.
    pub people: People,
    /// Lines for the user.
    pub notices: Notices,
    /// Control datagrams refused so far.
    pub control_rejected: u64,
    /// Media packets refused before it was known whose they are.
    pub media_rejected: u64,
    /// Lines for the overlay.
    pub summary: Vec<String>,
    /// Files that were offered, oldest first.
    pub files: Vec<super::view::FileView>,
    /// Voice messages, as they are made and heard here.
    pub voice: super::view::VoiceView,
    /// What goes to other programs.
    pub tapped: Option<Tapped>,
    /// What the last examination found.
    pub examined: Option<Arc<Report>>,
    /// It is over.
    pub ended: bool,
    /// Whom one lets speak with priority, by participant id.
    pub favoured: Vec<String>,
    /// Who waits at the door.
    pub knocks: Vec<Knock>,
    /// One's own knock is not answered yet.
    pub waiting: bool,
    /// What was said, for the window.
    pub talk: Talk,
    /// What others are invited with.
    pub invite: Arc<Invite>,
    /// Devices in use.
    pub devices: DevicesView,
    /// How the own voice is taken up.
    pub taking: Taking,
    /// Who decides.
    pub rule: super::door::Rule,
    /// Others decided so.
    pub outcome: Option<super::Outcome>,
    /// Figures of the speaker.
    pub speaker: stats::Speaker,
    cpu_before_s: f64,
}

impl State {
    /// Before anybody is known.
    pub fn new(ready: &Ready) -> Self {
        Self {
            title: ready.title.clone(),
            conference: ready.conference,
            open: ready.open,
            interface: ready.interface.name.clone(),
            plan: ready.plan,
            joined_at: ready.joined_at,
            own: Own::new(ready),
            people: People::default(),
            notices: Notices::default(),
            control_rejected: 0,
            media_rejected: 0,
            summary: Vec::new(),
            files: Vec::new(),
            voice: Default::default(),
            tapped: None,
            examined: None,
            ended: false,
            favoured: Vec::new(),
            knocks: Vec::new(),
            waiting: false,
            talk: Talk::default(),
            invite: Arc::new(ready.invite.clone()),
            devices: ready.devices.clone(),
            taking: ready.taking,
            rule: super::door::Rule::default(),
            outcome: None,
            speaker: stats::Speaker::default(),
            cpu_before_s: 0.0,
        }
    }

    /// As the window shows it.
    pub fn view(&mut self, now: Timestamp) -> View {
        let rank = self.rule.rank(&self.own.id);
        let own = self.own.view().map(|me| PersonView { rank, ..me });
        View {
            title: self.title.clone(),
            open: self.open,
            me: self.own.name.clone(),
            rank,
            // Whom one favours oneself counts only for others.
            may_speak_over: priority::may(&self.own.id, &self.rule, &self.people, (&self.own.id, &[])),
            locked: self.rule.locked,
            waiting: self.waiting,
            favoured: self.favoured.clone(),
            knocks: self.knocks.clone(),
            invite: Some(Arc::clone(&self.invite)),
            talk: self.talk.clone(),
            devices: self.devices.clone(),
            taking: self.taking,
            people: own.into_iter().chain(self.people.views(now, &self.rule)).collect(),
            muted: self.own.muted,
            has_microphone: self.own.has_microphone,
            camera_on: self.own.camera_on,
            has_camera: self.own.has_camera,
            attention: self.own.attention,
            notices: self.notices.shown(now),
            elapsed_s: now.since(self.joined_at).as_secs(),
            files: self.files.clone(),
            voice: self.voice.clone(),
            summary: self.summary.clone(),
            examined: self.examined.clone(),
            ended: self.ended,
        }
    }

    /// Share of one core used since the last call, `seconds` ago, in percent; `cpu_s` = used in all.
    pub fn processor_percent(&mut self, cpu_s: f64, seconds: f32) -> f64 {
        let used = cpu_s - std::mem::replace(&mut self.cpu_before_s, cpu_s);
        100.0 * used / f64::from(seconds.max(0.001))
    }

    /// As it is written to the file; `process` is the caller's.
    pub fn stats(&self, now: Timestamp) -> Stats {
        Stats {
            conference: self.title.clone(),
            elapsed_s: (now.since(self.joined_at).as_secs_f64() * 1_000.0).round() / 1_000.0,
            me: stats::Me {
                id: self.own.id.to_string(),
                name: self.own.name.clone(),
                transport: self.own.reach.word(),
            },
            sent: self.own.sent(),
            speaker: self.speaker,
            people: self.people.stats(&self.rule),
            rejected: stats::Rejected {
                media: self.people.rejected() + self.media_rejected,
                control: self.control_rejected,
            },
            ..Stats::default()
        }
    }

    /// The session description of another person's streams.
    pub fn sdp(&self, name: &str, layer: Layer) -> Option<String> {
        let other = self.people.here().find(|o| o.person.name == name)?;
        let person = &other.person;
        let sends = person.stream(StreamKind::Video(layer)).is_some() || person.stream(StreamKind::Audio).is_some();
        // The description is of this moment: another position of the streams is no other description.
        control::describe(&self.title, &self.plan, person, Some(layer), 1).filter(|_| sends)
    }
}
