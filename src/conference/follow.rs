//! Receiving what others send: each person's streams are subscribed as their beacons name them, and nothing else.
//!
//! ```text
//! beacon > roster > Person > wanted ─┬─ differs from what is received: unsubscribe, then subscribe
//!                                    └─ not now (refused, too often, too many): again a little later
//! ```
//! What a beacon says is its sender's word only, so the work it causes is bounded: so many subscriptions of one person a
//! second, and so many people at once as there are slots. Sockets and decoders are opened while the state is unlocked: the
//! window never waits for them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::director::Director;
use super::people::{Other, Received, Rising};
use super::tap::Taps;
use super::view::Hearing;
use crate::device::sound::SpeakerSpec;
use crate::limits::SLOTS_MAX;
use crate::pipeline::audio_receive::TalkerStats;
use crate::pipeline::receive::{ClockOffset, RepairSource, Sink, Subscription};
use crate::pipeline::slot::PictureSlot;
use crate::pipeline::video_receive::VideoStats;
use crate::protocol::roster::{RepairInfo, StreamInfo};
use crate::protocol::srtp::Unprotector;
use crate::time::Timestamp;
use crate::wire::address::Plan;
use crate::wire::message::ParticipantId;
use crate::wire::{Layer, StreamKind};

/// Subscriptions that failed or were put off are tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// Who is followed, and when those who could not be are tried again.
#[derive(Default)]
pub struct Follows {
    keys: BTreeSet<u64>,
    again: Option<Timestamp>,
    /// What goes to other programs.
    pub(super) taps: Taps,
}

impl Follows {
    fn is_full_for(&self, key: u64) -> bool {
        self.keys.len() >= SLOTS_MAX && !self.keys.contains(&key)
    }

    /// Whether everybody is to be tried again now.
    pub fn again(&mut self, now: Timestamp) -> bool {
        self.again.take_if(|at| *at <= now).is_some()
    }
}

/// What is to be opened for one person.
struct Opening {
    key: u64,
    /// Participant and session, which the keys of their streams follow from.
    of: (ParticipantId, u64),
    slot: Option<u8>,
    video: Option<(Layer, Received, StreamInfo)>,
    voice: Option<(Received, StreamInfo)>,
    picture: Arc<PictureSlot>,
    hearing: Hearing,
    offset: ClockOffset,
}

/// What was opened of it.
#[derive(Default)]
struct Opened {
    video: Option<Rising>,
    voice: Option<(Received, Arc<TalkerStats>)>,
}

/// Where a stream of somebody's is received, and the stream; `None` while they send none.
pub(super) fn wanted(other: &Other, plan: &Plan, kind: StreamKind) -> Option<(Received, StreamInfo)> {
    let stream = other.person.stream(kind)?;
    let (address, repair) = (other.person.stream_address(plan, kind)?, stream.repair.ssrc);
    let (source, direct) = (other.person.address, other.person.direct_address());
    Some((Received { address, source, ssrc: stream.ssrc, repair, direct }, *stream))
}

impl Director {
    /// Subscribes to what somebody sends, and to nothing else of theirs.
    pub(super) fn follow(&mut self, id: &ParticipantId) {
        let now = self.now();
        self.tap(id);
        let Some(opening) = self.change_over(now, id) else { return };
        let key = opening.key;
        let opened = self.open(now, opening);
        if opened.video.is_some() || opened.voice.is_some() {
            self.follows.keys.insert(key);
        }
        let mut state = self.shared.state();
        let Some(other) = state.people.present(id) else { return };
        other.video.rising = opened.video.or(other.video.rising.take());
        if other.video.received.is_none() {
            other.video.rise();
        }
        if let Some((received, stats)) = opened.voice {
            other.talking.push(stats);
            other.voice = Some(received);
        }
    }

    /// Everybody once more.
    pub(super) fn follow_all(&mut self) {
        let ids: Vec<ParticipantId> = self.shared.state().people.here().map(|o| o.person.id).collect();
        ids.iter().for_each(|id| self.follow(id));
    }

    /// Receives nothing of somebody any more.
    pub(super) fn unfollow(&mut self, other: &mut Other) {
        self.close_video(other);
        self.close_voice(other);
        self.follows.keys.remove(&other.key);
        self.follows.taps.gone(&other.person.id);
    }

    /// Ends what is not wanted any more; what is to be opened instead.
    fn change_over(&mut self, now: Timestamp, id: &ParticipantId) -> Option<Opening> {
        let shared = Arc::clone(&self.shared);
        let state = &mut *shared.state();
        let other = state.people.present(id)?;
        let voice_key = stream_key(other.key, StreamKind::Audio);
        let watches = !self.config.text_only;
        let listens = watches || self.config.speaker != SpeakerSpec::None;
        let video = self.picture_of(now, other, &state.plan).filter(|_| watches);
        let voice = wanted(other, &state.plan, StreamKind::Audio).filter(|_| listens);
        let new_video = video.as_ref().is_some_and(|(layer, received, _)| !other.video.has(*layer, received));
        let new_voice = other.voice.as_ref() != voice.as_ref().map(|(r, _)| r);
        if new_voice && other.voice.take().is_some() {
            // Played on as far as it has come: what follows is the same voice, with new keys or from elsewhere.
            self.receiver.unsubscribe(voice_key);
            if voice.is_none() {
                self.voices.remove(voice_key);
            }
        }
        if video.is_none() && voice.is_none() {
            self.follows.keys.remove(&other.key);
        }
        let (video, voice) = (video.filter(|_| new_video), voice.filter(|_| new_voice));
        if video.is_none() && voice.is_none() {
            return None;
        }
        if self.follows.is_full_for(other.key) || !other.may_be_followed(now) {
            if voice.is_some() {
                self.voices.remove(voice_key);
            }
            self.again_after(now);
            return None;
        }
        let (picture, offset) = (Arc::clone(&other.picture), other.offset.clone());
        let of = (other.person.id, other.person.sid);
        let (slot, hearing) = (other.person.slot, other.hearing);
        Some(Opening { key: other.key, of, slot, video, voice, picture, hearing, offset })
    }

    pub(super) fn again_after(&mut self, now: Timestamp) {
        self.follows.again.get_or_insert(now + AGAIN);
    }

    fn open(&mut self, now: Timestamp, opening: Opening) -> Opened {
        let Opening { key, of, slot, video, voice, picture, hearing, offset } = opening;
        let mut opened = Opened::default();
        if let Some((layer, received, stream)) = video {
            let stats = Arc::new(VideoStats::default());
            let sink = Sink::Video {
                slot: picture,
                stats: Arc::clone(&stats),
                true_size: Some((stream.width as usize, stream.height as usize)),
            };
            let opener = self.opener(of, &stream);
            let key = stream_key(key, StreamKind::Video(layer));
            let repair = self.repair_source(of, slot, &received, &stream);
            if self.subscribe(now, key, &received, &offset, (opener, repair), sink) {
                opened.video = Some(Rising { layer, received, stats });
            }
        }
        if let Some((received, stream)) = voice {
            let (person, key) = (key, stream_key(key, StreamKind::Audio));
            let opener = self.opener(of, &stream);
            let repair = self.repair_source(of, slot, &received, &stream);
            match self.voices.add(key) {
                Ok(stats) if self.subscribe(now, key, &received, &offset, (opener, repair), Sink::Audio) => {
                    self.voices.set_volume(key, hearing.gain());
                    self.keep_priority(person);
                    opened.voice = Some((received, stats));
                }
                Ok(_) => self.voices.remove(key),
                Err(error) => {
                    self.voices.remove(key);
                    tracing::warn!(%error, "a voice cannot be played; trying again");
                    self.again_after(now);
                }
            }
        }
        opened
    }

    /// What opens a stream's packets in a protected conference. The beacon told where the stream was, which may have
    /// wrapped since: the neighbouring roll-over counters are tried as well.
    fn opener(&self, (id, sid): (ParticipantId, u64), stream: &StreamInfo) -> Option<Unprotector> {
        let keys = self.keys.as_ref()?;
        let rollovers = (stream.position >> 16) as u32;
        Some(Unprotector::new(&keys.srtp(&id, sid, stream.ssrc), stream.ssrc, rollovers))
    }

    /// Where a stream is repaired, when its sender does that.
    pub(super) fn repair_source(
        &mut self,
        of: (ParticipantId, u64),
        slot: Option<u8>,
        received: &Received,
        stream: &StreamInfo,
    ) -> Option<RepairSource> {
        let RepairInfo { ssrc, position } = stream.repair;
        // In the group the stream itself is in, which may be one for all.
        let port = self.shared.state().plan.repair(slot?, stream.kind).port();
        let address = SocketAddr::new(received.address.ip(), port);
        let parity = StreamInfo { ssrc, position, ..*stream };
        let (opener, seed, direct) = (self.opener(of, &parity), self.random.next_u64(), received.direct);
        (ssrc != 0).then_some(RepairSource { address, ssrc, opener, seed, direct })
    }

    pub(super) fn subscribe(
        &mut self,
        now: Timestamp,
        key: u64,
        received: &Received,
        offset: &ClockOffset,
        (opener, repair): (Option<Unprotector>, Option<RepairSource>),
        sink: Sink,
    ) -> bool {
        let &Received { address: rtp, source, ssrc, .. } = received;
        let (source, ssrc) = (Some(source), Some(ssrc));
        let offset = offset.clone();
        match self.receiver.subscribe(Subscription { key, rtp, source, ssrc, offset, opener, repair, sink }) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "cannot receive a stream; trying again");
                self.again_after(now);
                false
            }
        }
    }

    /// Ends what is received of somebody's picture and is no more to be, or has a successor; returns what is to be.
    fn picture_of(&self, now: Timestamp, other: &mut Other, plan: &Plan) -> Option<(Layer, Received, StreamInfo)> {
        let key = other.key;
        let leave = |layer| self.receiver.unsubscribe(stream_key(key, StreamKind::Video(layer)));
        let target = other.video.target.and_then(|layer| {
            let (received, stream) = wanted(other, plan, StreamKind::Video(layer))?;
            Some((layer, received, stream))
        });
        let is_target = |layer: Layer, received: &Received| {
            target.as_ref().is_some_and(|(wanted, address, _)| *wanted == layer && address == received)
        };
        if let Some(rising) = other.video.rising.take_if(|rising| !is_target(rising.layer, &rising.received)) {
            leave(rising.layer);
        }
        // A layer stays until its successor is there, unless it is not sent any more as it was.
        let sent = |layer: Layer| wanted(other, plan, StreamKind::Video(layer)).map(|(received, _)| received);
        // A network that is too narrow for one layer has no room for two.
        let lowest = target.as_ref().map(|(layer, ..)| *layer).filter(|_| self.watch.hurries(now));
        let over = |(layer, received): &(Layer, Received)| {
            target.is_none() || lowest.is_some_and(|lowest| lowest < *layer) || sent(*layer).as_ref() != Some(received)
        };
        let over = other.video.received.as_ref().is_some_and(over);
        let arrived = other.video.rising.as_ref().is_some_and(|rising| rising.stats.picture_at.load(Relaxed) > 0);
        if (over || arrived)
            && let Some((layer, _)) = other.video.received.take()
        {
            leave(layer);
        }
        if arrived || other.video.received.is_none() {
            other.video.rise();
        }
        // The one of before is the target again: what was to follow it has been left above.
        target
    }

    fn close_video(&mut self, other: &mut Other) {
        let received = other.video.received.take().map(|(layer, _)| layer);
        let rising = other.video.rising.take().map(|rising| rising.layer);
        for layer in received.into_iter().chain(rising) {
            self.receiver.unsubscribe(stream_key(other.key, StreamKind::Video(layer)));
        }
    }

    fn close_voice(&mut self, other: &mut Other) {
        if other.voice.take().is_some() {
            let key = stream_key(other.key, StreamKind::Audio);
            self.receiver.unsubscribe(key);
            self.voices.remove(key);
        }
    }
}

/// The key of one of a person's streams: eight of them a person.
pub(super) fn stream_key(person: u64, kind: StreamKind) -> u64 {
    person * 8 + u64::from(kind.to_wire())
}
