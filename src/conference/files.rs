//! The director's part of files: what is offered as people see it, what is taken, and where it goes.

mod rules;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::director::Director;
use super::view::{FileState, FileView, NoticeKind, Voice};
use super::{Event, FileOffer, FileProgress, FileRecipient};
use crate::device::identity;
use crate::device::net::Interface;
use crate::limits::{NAME_BYTES_MAX, NOTICES_MAX};
use crate::pipeline::transfer::{self, Command, Event as E, Progress, Recipient, Transfer};
use crate::protocol::roster::{Person, Role, names};
use crate::protocol::transfer::name;
use crate::protocol::transfer::sender::Answer;
use crate::wire::message::ParticipantId;
use crate::wire::object::{ObjectId, Packet, Reason};

pub(super) use rules::meant;
pub use rules::{AcceptRule, is_picture, size};
use rules::{Unasked, leaves_room, place};

/// Where the ids of people are kept from whom everything is accepted, below the folder for data.
const TRUSTED: &str = "accept-from";
/// Files shown; the oldest that nothing happens with give way.
const SHOWN: usize = 4 * NOTICES_MAX;

/// Files of this conference.
#[derive(Default)]
pub struct Files {
    transfer: Option<Transfer>,
    ticket: u64,
    /// What is being read before it can be offered: ticket, and as the user called it.
    preparing: Vec<(u64, String)>,
    trusted: Option<BTreeSet<String>>,
    media: bool,
}

impl Director {
    /// The role that gives and takes files; it begins with the first file.
    fn transfers(&mut self) -> Option<&Transfer> {
        if self.files.transfer.is_none() {
            self.watch_media();
            let (plan, people): (_, Vec<Person>) = {
                let state = self.shared.state();
                (state.plan, state.people.here().map(|other| other.person.clone()).collect())
            };
            let mut seed = [0; 32];
            seed.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.random.next_u64().to_be_bytes()));
            let started = Transfer::start(transfer::Config {
                clock: self.shared.clock.clone(),
                interface: self.receiver.interface().clone(),
                socket: std::sync::Arc::clone(&self.socket),
                plan,
                me: self.me,
                keys: self.object_keys.clone(),
                asker: self.control.asker(),
                limit_mbit: self.config.file_rate_mbit,
                seed,
            });
            match started {
                Ok(transfer) => {
                    transfer.send(Command::Media(self.files.media));
                    self.files.transfer = Some(transfer);
                    people.iter().for_each(|person| self.here_for_files(person));
                }
                Err(error) => self.say(NoticeKind::Warning, &format!("no files can be sent or received: {error}")),
            }
        }
        self.files.transfer.as_ref()
    }

    /// Somebody is here, or is in another session.
    pub(super) fn here_for_files(&self, person: &Person) {
        if person.role == Role::Participant
            && let Some(transfer) = &self.files.transfer
        {
            transfer.send(Command::Here(person.id, person.sid, person.address.ip()));
        }
    }

    /// Somebody is not here any more.
    pub(super) fn gone_for_files(&self, id: ParticipantId) {
        if let Some(transfer) = &self.files.transfer {
            transfer.send(Command::Gone(id));
        }
    }

    /// Another epoch.
    pub(super) fn renew_files(&mut self) {
        if let Some(transfer) = &self.files.transfer {
            transfer.send(Command::Keys(self.object_keys.clone()));
        }
    }

    /// The network is back, under another address when it `moved`.
    pub(super) fn network_for_files(&self, interface: &Interface, moved: bool) {
        if let Some(transfer) = &self.files.transfer {
            transfer.send(Command::Network(Box::new(interface.clone()), moved));
        }
    }

    /// Whether there is voice or video in the conference, which files leave room for.
    pub(super) fn watch_media(&mut self) {
        let media = {
            let state = self.shared.state();
            leaves_room(self.streams.len(), state.people.here().map(|other| other.person.streams.len()))
        };
        if std::mem::replace(&mut self.files.media, media) != media
            && let Some(transfer) = &self.files.transfer
        {
            transfer.send(Command::Media(media));
        }
    }

    /// Somebody said something about a file.
    pub(super) fn about_file(&mut self, from: ParticipantId, packet: Packet) {
        if let Some(transfer) = self.transfers() {
            transfer.send(Command::Heard(from, packet));
        }
    }

    /// Offers a file or folder, to everybody when nobody is named. [`Event::Offer`] or [`Event::FileFailed`] follows.
    pub(super) fn send_file(&mut self, path: PathBuf, to: &[String], voice: Option<Voice>) {
        let called = path.display().to_string();
        let audience: Result<Vec<ParticipantId>, String> = to.iter().map(|name| self.called(name)).collect();
        let most = crate::limits::OBJECT_CHOSEN_MAX;
        let audience = match audience {
            Ok(audience) if audience.len() > most => Err(format!("a file can be sent to at most {most} chosen people")),
            other => other,
        };
        let audience = match audience {
            Ok(audience) => audience,
            Err(why) => return self.file_failed(None, &called, &why),
        };
        // It starts slowly beside voice and video: what is known of them must be of now.
        self.watch_media();
        self.files.ticket += 1;
        let ticket = self.files.ticket;
        let voice = voice.map(|v| crate::wire::object::Voice { ms: v.ms, waveform: v.waveform });
        let asked = self.transfers().is_some_and(|t| t.send(Command::Send(ticket, path, audience, voice)));
        if asked {
            self.files.preparing.push((ticket, called));
        } else {
            self.file_failed(None, &called, "too many files are being sent");
        }
    }

    /// Takes what was offered; `always`: and whatever the same person offers from now on.
    pub(super) fn accept_file(&mut self, which: &str, folder: Option<PathBuf>, always: bool) {
        let found = {
            let state = self.shared.state();
            let (new, once) = (
                |file: &FileView| !file.own && matches!(file.state, FileState::Offered | FileState::Declined),
                |file: &FileView| !file.own && matches!(file.state, FileState::Failed(_)),
            );
            // What failed for want of room is there for the asking, but only by its name.
            let found = meant(&state.files, which, new).filter(|file| new(file) || (once(file) && !which.is_empty()));
            found.cloned()
        };
        let Some(file) = found else {
            return self.file_failed(None, which, "there is no such offer");
        };
        if always {
            self.trust(&file.member);
        }
        self.take(&file.offer, folder);
    }

    fn take(&mut self, offer: &str, path: Option<PathBuf>) {
        let (folder, name) = path.map_or_else(|| (self.config.download.clone(), None), |path| place(&path));
        if let (Ok(object), Some(transfer)) = (offer.parse::<ObjectId>(), &self.files.transfer) {
            transfer.send(Command::Accept(object, folder, name));
        }
        self.set_file(offer, |file| file.state = FileState::Receiving);
    }

    /// Does not take what was offered, stops taking it, or takes back what one offered.
    pub(super) fn decline_file(&mut self, which: &str) {
        let found = {
            let state = self.shared.state();
            let open = |file: &FileView| {
                !matches!(file.state, FileState::Declined | FileState::Here(_) | FileState::Failed(_))
            };
            meant(&state.files, which, open).filter(|file| open(file)).cloned()
        };
        let Some(file) = found else {
            return self.file_failed(None, which, "there is no such offer");
        };
        let Ok(object) = file.offer.parse::<ObjectId>() else {
            return;
        };
        let command = match (file.own, &file.state) {
            (true, _) => Command::Cancel(object),
            (false, FileState::Receiving | FileState::Waiting(_)) => Command::Decline(object, Reason::GaveUp),
            (false, _) => Command::Decline(object, Reason::Unwanted),
        };
        if let Some(transfer) = &self.files.transfer {
            transfer.send(command);
        }
        if !file.own {
            self.set_file(&file.offer, |file| file.state = FileState::Declined);
        }
    }

    fn trust(&mut self, member: &str) {
        let mut all = self.trusted().clone();
        if all.insert(member.to_owned())
            && let Ok(home) = identity::home()
        {
            let text: String = all.iter().map(|id| format!("{id}\n")).collect();
            if let Err(error) = std::fs::write(home.join(TRUSTED), text) {
                self.say(NoticeKind::Warning, &format!("whom you always accept from is not kept: {error}"));
            }
        }
        self.files.trusted = Some(all);
    }

    /// Participant ids of those from whom everything is taken.
    fn trusted(&mut self) -> &BTreeSet<String> {
        self.files.trusted.get_or_insert_with(|| {
            let text = identity::home().ok().and_then(|home| std::fs::read_to_string(home.join(TRUSTED)).ok());
            text.unwrap_or_default().lines().map(str::to_owned).collect()
        })
    }

    /// What became of files since the last time.
    pub(super) fn tick_files(&mut self) {
        while let Some(event) = self.files.transfer.as_ref().and_then(|transfer| transfer.events().try_recv().ok()) {
            self.file_event(event);
        }
    }

    fn file_event(&mut self, event: E) {
        match event {
            E::Offering { ticket, object, name, size, kind, voice, audience } => {
                self.files.preparing.retain(|(n, _)| *n != ticket);
                let me = self.shared.state().own.id;
                let voice = voice.map(|v| Voice { ms: v.ms, waveform: v.waveform });
                let mut to: Vec<String> = audience.iter().filter_map(|id| self.name_of(*id)).collect();
                to.sort_unstable();
                self.new_file(object, me, FileState::Sending, (name, size, kind), voice, (!audience.is_empty(), to));
            }
            E::Unsent { ticket, why } => {
                let called = self.files.preparing.iter().position(|(n, _)| *n == ticket);
                let called = called.map_or_else(String::new, |at| self.files.preparing.swap_remove(at).1);
                self.file_failed(None, &called, &why);
            }
            E::Offered { object, from, name, size, kind, voice, thumbnail, private } => {
                let name = name::safe(&name);
                let kind = names::clean(&kind, usize::MAX);
                let voice = voice.map(|v| Voice { ms: v.ms, waveform: v.waveform });
                let is_voice = voice.is_some();
                let trusted = self.trusted().contains(&from.to_string());
                let is_picture = is_picture(&kind, &name, size);
                self.new_file(object, from, FileState::Offered, (name, size, kind), voice, (private, Vec::new()));
                let id = object.to_string();
                self.set_file(&id, |file| file.thumbnail = thumbnail.into());
                match self.config.accept_files.decides(is_voice, is_picture, size, trusted) {
                    Unasked::Take => self.take(&id, None),
                    Unasked::Hear => self.take(&id, identity::home().ok().map(|home| home.join(super::voice::FOLDER))),
                    Unasked::Decline => self.decline_file(&id),
                    Unasked::Ask => {}
                }
            }
            E::Progress(progress) => self.file_progress(&progress),
            E::Arrived { object, at, bytes } => self.voice_arrives(&object.to_string(), at, &bytes),
            E::Received { object, path, blake3, size, .. } => {
                let offer = object.to_string();
                let hex: String = blake3.iter().map(|byte| format!("{byte:02x}")).collect();
                self.set_file(&offer, |file| {
                    (file.state, file.bytes) = (FileState::Here(path.clone()), size);
                });
                self.voice_arrived(&offer, Some(&path));
                if let Some((name, from, voice)) = self.file_facts(&offer) {
                    self.tell_event(Event::File { offer, from, name, path, blake3: hex, size, voice });
                }
            }
            E::Settled { object, recipients, sent, packets_min } => {
                let offer = object.to_string();
                let people = self.named_recipients(&recipients);
                self.set_file(&offer, |file| file.recipients.clone_from(&people));
                if let Some((name, ..)) = self.file_facts(&offer) {
                    let packets = sent.packets();
                    self.tell_event(Event::FileSettled { offer, name, recipients: people, packets, packets_min });
                }
            }
            E::Failed { object, why, resumes: true } => {
                let offer = object.to_string();
                self.set_file(&offer, |file| (file.state, file.bits_per_s) = (FileState::Waiting(why.clone()), 0.0));
                let name = self.file_facts(&offer).map_or_else(String::new, |(name, ..)| name);
                self.say(NoticeKind::Info, &format!("{name}: {why}"));
            }
            E::Failed { object, why, resumes: false } => {
                let offer = object.to_string();
                self.set_file(&offer, |file| file.state = FileState::Failed(why.clone()));
                self.voice_arrived(&offer, None);
                let name = self.file_facts(&offer).map_or_else(String::new, |(name, ..)| name);
                self.file_failed(Some(offer), &name, &why);
            }
        }
    }

    fn new_file(
        &mut self,
        object: ObjectId,
        from: ParticipantId,
        state: FileState,
        (name, size, kind): (String, u64, String),
        voice: Option<Voice>,
        (private, to): (bool, Vec<String>),
    ) {
        let own = from == self.me;
        let from_name = self.name_of(from).unwrap_or_else(|| "somebody".to_owned());
        let offer = object.to_string();
        let facts = {
            let mut shared = self.shared.state();
            let number = match shared.files.iter().position(|file| file.offer == offer) {
                Some(known) => shared.files.remove(known).number,
                None => shared.files.iter().map(|file| file.number).max().unwrap_or(0) + 1,
            };
            if shared.files.len() >= SHOWN {
                let over = |f: &FileView| !matches!(f.state, FileState::Sending | FileState::Receiving);
                let oldest = shared.files.iter().position(over).unwrap_or(0);
                shared.files.remove(oldest);
            }
            let from_name = names::clean_name(&from_name, NAME_BYTES_MAX);
            let member = from.to_string();
            let facts = FileOffer { number, offer, from: from_name, member, own, name, size, kind, private, to, voice };
            shared.files.push(FileView {
                facts: facts.clone(),
                state,
                bytes: 0,
                bits_per_s: 0.0,
                recipients: Vec::new(),
                thumbnail: [].into(),
            });
            facts
        };
        self.tell_event(Event::Offer(facts));
    }

    fn file_progress(&mut self, progress: &Progress) {
        let offer = progress.object.to_string();
        let recipients = progress.recipients.as_deref().map(|all| self.named_recipients(all)).unwrap_or_default();
        self.set_file(&offer, |file| {
            (file.bytes, file.bits_per_s) = (progress.bytes, progress.bits_per_s);
            if matches!(file.state, FileState::Waiting(_)) && progress.bits_per_s > 0.0 {
                file.state = FileState::Receiving;
            }
            file.recipients.clone_from(&recipients);
        });
        let Some((name, ..)) = self.file_facts(&offer) else {
            return;
        };
        let left = progress.size.saturating_sub(progress.bytes) as f64 * 8.0;
        let remaining_s = (progress.bits_per_s > 0.0).then(|| (left / progress.bits_per_s).ceil() as u64);
        self.tell_event(Event::Progress(FileProgress {
            offer,
            name,
            own: progress.recipients.is_some(),
            bytes: progress.bytes,
            size: progress.size,
            bits_per_s: progress.bits_per_s,
            remaining_s,
            recipients,
        }));
    }

    fn named_recipients(&self, all: &[Recipient]) -> Vec<FileRecipient> {
        let named = |r: &Recipient| FileRecipient {
            name: self.name_of(r.id).unwrap_or_else(|| "somebody".to_owned()),
            id: r.id.to_string(),
            state: match r.answer {
                Answer::Asked => "asked",
                Answer::Accepted if r.alone => "behind",
                Answer::Accepted => "receives",
                Answer::Declined(_) => "declined",
                Answer::Done => "has it",
                Answer::Gone => "left",
            },
            why: match r.answer {
                Answer::Declined(reason) => reason.words(),
                _ => "",
            },
            part: r.part,
        };
        all.iter().map(named).collect()
    }

    fn set_file(&self, offer: &str, change: impl FnOnce(&mut FileView)) {
        if let Some(file) = self.shared.state().files.iter_mut().find(|file| file.offer == offer) {
            change(file);
        }
    }

    /// Name, sender's name, and the voice in it.
    fn file_facts(&self, offer: &str) -> Option<(String, String, Option<Voice>)> {
        let state = self.shared.state();
        let file = state.files.iter().find(|file| file.offer == offer)?;
        Some((file.name.clone(), file.from.clone(), file.voice.clone()))
    }

    fn file_failed(&self, offer: Option<String>, name: &str, why: &str) {
        self.tell_event(Event::FileFailed { offer, name: name.to_owned(), why: why.to_owned() });
    }

    /// What is offered is taken back before one leaves, and nothing is read or written any more.
    pub(super) fn stop_files(&mut self) {
        self.files.transfer = None;
    }
}
