//! Everybody seen in this conference: who they are, what is received of them, and the figures of both.
//!
//! People who left stay for the statistics, the newest [`DEPARTED_MAX`] of them, and those last who are played otherwise than
//! they sent.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::door::Rule;
use super::latency::LatencyMeter;
use super::lips::Lips;
use super::stats;
use super::succession::Succession;
use super::view::{CameraView, Hearing, PersonFigures, PersonView};
use super::watching::Counted;
use crate::limits::FOLLOWS_PER_S_MAX;
use crate::pipeline::audio_receive::TalkerStats;
use crate::pipeline::receive::ClockOffset;
use crate::pipeline::slot::{PictureInfo, PictureSlot};
use crate::pipeline::video_receive::VideoStats;
use crate::protocol::clock::OffsetFilter;
use crate::protocol::rate::Rate;
use crate::protocol::roster::{Camera, Microphone, Person};
use crate::protocol::session::ClockSample;
use crate::time::{NtpTime, Timestamp};
use crate::wire::{Layer, StreamKind};

/// People who left whose statistics are kept.
const DEPARTED_MAX: usize = 256;
/// Pictures that stop for longer than this are told to have stopped.
const FROZEN_AFTER_NS: u64 = 2_000_000_000;

/// Seconds of stopped pictures after which the cause is looked for.
const FROZEN_S: u64 = 4;
/// So much loss, in percent (one bar of four in the window), for so many seconds, and its cause is looked for as well.
const LOSSY_PERCENT: f32 = 8.0;
const LOSSY_S: u32 = 10;

/// A stream that is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Group and port, source: another one is another subscription.
    pub address: std::net::SocketAddr,
    /// The socket it is sent from.
    pub source: std::net::SocketAddr,
    /// RTP source.
    pub ssrc: u32,
    /// RTP source of its repair; 0: it is not repaired.
    pub repair: u32,
    /// Where its sender hears requests of those who are sent copies.
    pub direct: Option<std::net::SocketAddr>,
}

/// Sums over the video streams of a person.
#[derive(Clone, Copy, Default)]
pub struct VideoSums {
    frames_complete: u64,
    frames_decoded: u64,
    frames_skipped: u64,
    frames_lost: u64,
    frames_repaired: u64,
    frames_concealed: u64,
    packets_received: u64,
    packets_lost: u64,
    refused: u64,
    bytes: u64,
}

impl From<&VideoStats> for VideoSums {
    fn from(s: &VideoStats) -> Self {
        Self {
            frames_complete: s.frames_complete.load(Relaxed),
            frames_decoded: s.frames_decoded.load(Relaxed),
            frames_skipped: s.frames_skipped.load(Relaxed),
            frames_lost: s.frames_lost.load(Relaxed),
            frames_repaired: s.frames_repaired.load(Relaxed),
            frames_concealed: s.frames_concealed.load(Relaxed),
            packets_received: s.packets_received.load(Relaxed),
            packets_lost: s.packets_lost.load(Relaxed),
            refused: s.rejected.load(Relaxed) + s.foreign.load(Relaxed),
            bytes: s.bytes.load(Relaxed),
        }
    }
}

impl AddAssign for VideoSums {
    fn add_assign(&mut self, other: Self) {
        self.frames_complete += other.frames_complete;
        self.frames_decoded += other.frames_decoded;
        self.frames_skipped += other.frames_skipped;
        self.frames_lost += other.frames_lost;
        self.frames_repaired += other.frames_repaired;
        self.frames_concealed += other.frames_concealed;
        self.packets_received += other.packets_received;
        self.packets_lost += other.packets_lost;
        self.refused += other.refused;
        self.bytes += other.bytes;
    }
}

/// Sums over the voices of a person.
#[derive(Clone, Copy, Default)]
pub struct VoiceSums {
    packets_received: u64,
    packets_lost: u64,
    packets_late: u64,
    packets_recovered: u64,
    concealed_ms: u64,
    gaps: u64,
    accelerated: (u64, u64),
    expanded: (u64, u64),
}

impl From<&TalkerStats> for VoiceSums {
    fn from(t: &TalkerStats) -> Self {
        let (packets_received, packets_lost) = (t.packets_received(), t.packets_lost());
        Self {
            packets_received,
            packets_lost,
            packets_late: t.packets_late(),
            packets_recovered: t.packets_recovered(),
            concealed_ms: t.concealed_ms(),
            gaps: t.gaps(),
            accelerated: t.accelerated(),
            expanded: t.expanded(),
        }
    }
}

impl AddAssign for VoiceSums {
    fn add_assign(&mut self, other: Self) {
        self.packets_received += other.packets_received;
        self.packets_lost += other.packets_lost;
        self.packets_late += other.packets_late;
        self.packets_recovered += other.packets_recovered;
        self.concealed_ms += other.concealed_ms;
        self.gaps += other.gaps;
        for (sum, more) in [(&mut self.accelerated, other.accelerated), (&mut self.expanded, other.expanded)] {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        }
    }
}

/// Video of one person.
#[derive(Default)]
pub struct VideoOf {
    /// What is subscribed, if anything.
    pub received: Option<(Layer, Received)>,
    /// What is subscribed as well, to take its place once its first picture is there.
    pub rising: Option<Rising>,
    /// The layer chosen.
    pub target: Option<Layer>,
    /// Size of the tile when it was shown last.
    pub tile: (usize, usize),
    /// Since when no tile shows it.
    pub hidden_since: Option<Timestamp>,
    /// Counts at the last look, and when they were told last.
    pub looked: Counted,
    /// See `looked`.
    pub told: Counted,
    /// Figures of the stream now received and of those before it.
    pub streams: Succession<VideoStats, VideoSums>,
    /// Pictures composed into the window.
    pub shown: u64,
    /// From capture to the window.
    pub latency: LatencyMeter,
}

impl VideoOf {
    /// Whether this is received already, or about to be.
    pub fn has(&self, layer: Layer, received: &Received) -> bool {
        let now = self.received.as_ref().is_some_and(|(l, r)| (*l, r) == (layer, received));
        now || self.rising.as_ref().is_some_and(|rising| (rising.layer, &rising.received) == (layer, received))
    }

    /// What was subscribed last is what is received from now on.
    pub fn rise(&mut self) {
        if let Some(Rising { layer, received, stats }) = self.rising.take() {
            (self.looked, self.told) = Default::default();
            self.streams.push(stats);
            self.received = Some((layer, received));
        }
    }
}

/// A layer that is about to take the place of another one.
pub struct Rising {
    /// Which.
    pub layer: Layer,
    /// What is subscribed.
    pub received: Received,
    /// Its figures.
    pub stats: Arc<VideoStats>,
}

/// One other person.
pub struct Other {
    /// Names the person within this run, and its streams.
    pub key: u64,
    /// As the roster has it.
    pub person: Person,
    /// Whether the person is here now.
    pub present: bool,
    /// How many had left when they did, this time included.
    departure: u64,
    /// Newest picture.
    pub picture: Arc<PictureSlot>,
    /// Video.
    pub video: VideoOf,
    /// What is subscribed of the voice.
    pub voice: Option<Received>,
    /// Figures of the voice now received and of those before it.
    pub talking: Succession<TalkerStats, VoiceSums>,
    /// How loudly it is played here.
    pub hearing: Hearing,
    /// Clock offset, as pings measure it.
    pub offset: ClockOffset,
    /// Sound and picture in step.
    pub lips: Lips,
    /// How often the streams were subscribed.
    follows: Rate,
    pings: OffsetFilter,
    /// Figures of the last second.
    figures: PersonFigures,
    /// For so many seconds on end much of the pictures' packets was lost.
    lossy_s: u32,
    before: Totals,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    shown: u64,
    bytes: u64,
    received: u64,
    lost: u64,
    /// Pictures that came whole, or did not.
    due: u64,
}

impl Other {
    /// Whether the streams may be subscribed anew now; counted if so.
    pub fn may_be_followed(&mut self, now: Timestamp) -> bool {
        self.follows.take(now, FOLLOWS_PER_S_MAX)
    }

    fn new(key: u64, person: Person) -> Self {
        Self {
            key,
            person,
            present: true,
            departure: 0,
            picture: Arc::default(),
            video: VideoOf::default(),
            voice: None,
            talking: Succession::default(),
            hearing: Hearing::default(),
            offset: ClockOffset::unknown(),
            follows: Rate::default(),
            lips: Lips::default(),
            pings: OffsetFilter::new(),
            figures: PersonFigures::default(),
            lossy_s: 0,
            before: Totals::default(),
        }
    }

    /// Takes over what is known of the person now; returns what was known before.
    pub fn renew(&mut self, person: Person) -> Person {
        if (person.sid, person.address) != (self.person.sid, self.person.address) {
            // Another start, maybe on another machine: what was measured of its clock means nothing any more.
            self.pings = OffsetFilter::new();
            self.offset.set(None);
        }
        std::mem::replace(&mut self.person, person)
    }

    /// Takes in a measurement of the person's clock.
    pub fn measured(&mut self, now: Timestamp, sample: &ClockSample) {
        self.pings.add(now, &sample.sample);
        self.offset.set(self.pings.offset());
    }

    fn totals(&self) -> Totals {
        let sums = self.video.streams.sum();
        let (bytes, received, lost) = (sums.bytes, sums.packets_received, sums.packets_lost);
        let due = sums.frames_complete + sums.frames_lost + sums.frames_concealed;
        Totals { shown: self.video.shown, bytes, received, lost, due }
    }

    /// Whether a stream of theirs is received for this instance itself.
    pub fn receives(&self, kind: StreamKind) -> bool {
        let StreamKind::Video(layer) = kind else { return self.voice.is_some() };
        let rising = self.video.rising.as_ref().map(|rising| rising.layer);
        self.video.received.as_ref().map(|(layer, _)| *layer).into_iter().chain(rising).any(|own| own == layer)
    }

    /// Closes a second of `seconds`: what happened since the last call becomes the figures shown.
    fn roll(&mut self, seconds: f32) {
        let (now, before) = (self.totals(), self.before);
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f32 / seconds.max(0.001);
        let (received, lost) = (per_s(now.received, before.received), per_s(now.lost, before.lost));
        self.video.latency.roll();
        self.figures = PersonFigures {
            layer: self.video.received.as_ref().map_or("", |(layer, _)| layer.word()),
            size: self.video.streams.newest().map_or((0, 0), |s| s.true_size()),
            frames_per_s: per_s(now.shown, before.shown),
            due_per_s: per_s(now.due, before.due),
            kbit_per_s: per_s(now.bytes, before.bytes) * 8.0 / 1_000.0,
            loss_percent: 100.0 * lost / (received + lost).max(1.0),
            latency_ms: self.video.latency.recent_ms(),
            audio_buffer_ms: self.talking.newest().map_or(0.0, |t| t.buffer_ms()),
            transport: self.person.reach.word(),
        };
        let lossy = self.figures.loss_percent >= LOSSY_PERCENT;
        self.lossy_s = if lossy { self.lossy_s.saturating_add(1) } else { 0 };
        self.before = now;
    }

    /// Whether much of their pictures has been lost for long.
    pub fn is_lossy(&self) -> bool {
        self.lossy_s >= LOSSY_S
    }

    fn camera(&self, now: Timestamp) -> CameraView {
        if let Camera::Failed(text) = &self.person.camera {
            return CameraView::Failed(text.clone());
        }
        let Some(stats) = self.video.received.as_ref().and(self.video.streams.newest()) else {
            return if self.person.camera == Camera::On { CameraView::Waiting } else { CameraView::Off };
        };
        match stats.picture_at.load(Relaxed) {
            0 => CameraView::Waiting,
            at if now.0.saturating_sub(at) > FROZEN_AFTER_NS => {
                CameraView::Frozen(now.0.saturating_sub(at) / 1_000_000_000)
            }
            _ => CameraView::Live,
        }
    }

    /// Whether pictures that are sent have stopped coming.
    pub fn is_frozen(&self, now: Timestamp) -> bool {
        self.person.camera == Camera::On
            && matches!(self.camera(now), CameraView::Frozen(seconds) if seconds >= FROZEN_S)
    }

    fn view(&self, now: Timestamp) -> PersonView {
        PersonView {
            key: self.key,
            id: self.person.id.to_string(),
            rank: Default::default(),
            hearing: self.hearing,
            name: self.person.name.clone(),
            me: false,
            muted: self.person.microphone == Microphone::Muted,
            has_microphone: self.person.microphone != Microphone::None,
            camera: self.camera(now),
            attention: self.person.attention,
            commands: self.voice.is_some() && self.talking.newest().is_some_and(|talker| talker.priority()),
            level_dbfs: match (&self.voice, self.talking.newest()) {
                (Some(_), Some(talker)) => talker.level_dbfs(),
                _ => -127.0,
            },
            picture: Arc::clone(&self.picture),
            figures: self.figures.clone(),
        }
    }

    fn stats(&self, rule: &Rule) -> stats::Person {
        let watches = self.person.role == crate::protocol::roster::Role::Observer;
        stats::Person {
            id: self.person.id.to_string(),
            name: self.person.name.clone(),
            role: if watches { "observer" } else { rule.role(&self.person.id) },
            address: self.person.address.ip().to_string(),
            present: self.present,
            transport: self.person.reach.word(),
            video: (!self.video.streams.is_empty()).then(|| self.video_stats()),
            audio: (!self.talking.is_empty()).then(|| self.audio_stats()),
        }
    }

    fn video_stats(&self) -> stats::Video {
        let sums = self.video.streams.sum();
        let (width, height) = self.video.streams.newest().map_or((0, 0), |s| s.true_size());
        stats::Video {
            layer: self.video.received.as_ref().map_or(Layer::Full, |(layer, _)| *layer).word(),
            width,
            height,
            frames_received: sums.frames_complete,
            frames_shown: self.video.shown,
            // What is held until its sound comes is still to be shown.
            frames_skipped: sums.frames_skipped
                + sums.frames_decoded.saturating_sub(self.video.shown + self.picture.waiting() as u64),
            frames_lost: sums.frames_lost,
            frames_repaired: sums.frames_repaired,
            frames_concealed: sums.frames_concealed,
            packets_received: sums.packets_received,
            packets_lost: sums.packets_lost,
            latency_ms: self.video.latency.summary(),
            held_ms: f64::from(self.lips.sync.hold()),
        }
    }

    fn audio_stats(&self) -> stats::Audio {
        let sums = self.talking.sum();
        let newest = |figure: fn(&TalkerStats) -> f32| self.talking.newest().map_or(0.0, |t| f64::from(figure(t)));
        stats::Audio {
            packets_received: sums.packets_received,
            packets_lost: sums.packets_lost,
            packets_late: sums.packets_late,
            packets_recovered: sums.packets_recovered,
            concealed_ms: sums.concealed_ms,
            gaps: sums.gaps,
            target_ms: newest(TalkerStats::target_ms),
            buffer_ms: newest(TalkerStats::buffer_ms),
            device_ms: newest(TalkerStats::device_ms),
            delay_ms: self.lips.sync.sound().map(f64::from),
            lip_sync_ms: self.lips.sync.skew().map(f64::from),
            drift_ppm: newest(TalkerStats::drift_ppm),
            accelerated: sums.accelerated.0,
            accelerated_ms: sums.accelerated.1,
            expanded: sums.expanded.0,
            expanded_ms: sums.expanded.1,
            level_dbfs: self.talking.newest().map_or(-127.0, |t| f64::from(t.level_dbfs())),
        }
    }

    /// Packets that were refused.
    fn rejected(&self) -> u64 {
        self.video.streams.sum().refused
    }
}

/// All others, in the order they came.
#[derive(Default)]
pub struct People {
    all: Vec<Other>,
    count: u64,
    departures: u64,
}

impl People {
    /// The person with this id who is here now.
    pub fn present(&mut self, id: &crate::wire::message::ParticipantId) -> Option<&mut Other> {
        self.all.iter_mut().find(|o| o.present && o.person.id == *id)
    }

    /// The person of this key, if they are here now.
    pub fn of_key(&mut self, key: u64) -> Option<&mut Other> {
        self.all.iter_mut().find(|o| o.present && o.key == key)
    }

    /// The name of somebody who is or was here.
    pub fn name_of(&self, id: &crate::wire::message::ParticipantId) -> Option<String> {
        self.all.iter().find(|o| o.person.id == *id).map(|o| o.person.name.clone())
    }

    /// The names of all who are or were here, as shown and as typed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().flat_map(|o| [o.person.name.as_str(), o.person.typed_name.as_str()])
    }

    /// Somebody came; who came again goes on with their old figures. The key stays the person's own.
    pub fn arrive(&mut self, person: Person) -> &mut Other {
        let known = self.all.iter().position(|o| o.person.id == person.id);
        let index = known.unwrap_or_else(|| {
            self.count += 1;
            self.all.push(Other::new(self.count, person.clone()));
            self.all.len() - 1
        });
        let other = &mut self.all[index];
        other.present = true;
        other.renew(person);
        other
    }

    /// Somebody left; they are forgotten when many others left since, and later if it was chosen how loudly they are played.
    pub fn depart(&mut self, id: &crate::wire::message::ParticipantId) -> Option<&mut Other> {
        let departed = || self.all.iter().enumerate().filter(|(_, o)| !o.present);
        let worth = |o: &Other| (o.hearing != Hearing::default(), o.departure);
        if departed().count() >= DEPARTED_MAX
            && let Some((least, _)) = departed().min_by_key(|(_, o)| worth(o))
        {
            self.all.remove(least);
        }
        self.departures += 1;
        let departure = self.departures;
        let other = self.present(id)?;
        other.departure = departure;
        // At which size the picture is wanted is the window's to say: whoever comes back at once keeps the tile.
        other.present = false;
        // What comes after that is in step with nothing yet.
        other.lips = Lips::default();
        other.picture.hold(Duration::ZERO);
        Some(other)
    }

    /// Those here now.
    pub fn here(&self) -> impl Iterator<Item = &Other> {
        self.all.iter().filter(|o| o.present)
    }

    /// Those here now, to be changed.
    pub fn here_mut(&mut self) -> impl Iterator<Item = &mut Other> {
        self.all.iter_mut().filter(|o| o.present)
    }

    /// Notes that the window shows a picture, at the own wall time `now`.
    pub fn shown(&mut self, key: u64, info: &PictureInfo, now: NtpTime) {
        let Some(other) = self.all.iter_mut().find(|o| o.key == key) else { return };
        other.video.shown += 1;
        if let Some(captured) = info.captured {
            other.video.latency.record(now.nanos_from(captured));
        }
    }

    /// Everybody here.
    pub fn present_mut(&mut self) -> impl Iterator<Item = &mut Other> {
        self.all.iter_mut().filter(|o| o.present)
    }

    /// Closes a second of `seconds`.
    pub fn roll(&mut self, seconds: f32) {
        self.present_mut().for_each(|o| o.roll(seconds));
    }

    /// Everybody here who has a tile, in the order they came.
    pub fn views(&self, now: Timestamp, rule: &Rule) -> impl Iterator<Item = PersonView> {
        let shown = |o: &&Other| o.person.role == crate::protocol::roster::Role::Participant;
        self.here().filter(shown).map(move |o| PersonView { rank: rule.rank(&o.person.id), ..o.view(now) })
    }

    /// The statistics of everybody, those who left included; `rule` knows who may decide.
    pub fn stats(&self, rule: &Rule) -> Vec<stats::Person> {
        self.all.iter().map(|other| other.stats(rule)).collect()
    }

    /// Media packets refused, all people together.
    pub fn rejected(&self) -> u64 {
        self.all.iter().map(Other::rejected).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::protocol::roster::{Attention, Role};
    use crate::wire::message::ParticipantId;

    pub(in crate::conference) fn person(n: u8, sid: u64) -> Person {
        Person {
            id: ParticipantId([n; 16]),
            sid,
            name: "Ada".into(),
            typed_name: "Ada".into(),
            suffix: None,
            joined: NtpTime(0),
            address: "10.77.0.1:4000".parse().unwrap(),
            reach: crate::protocol::transport::Reach::Groups,
            direct: 0,
            single: false,
            role: Role::Participant,
            slot: None,
            microphone: Microphone::On,
            camera: Camera::On,
            attention: Attention::default(),
            wireless: false,
            favoured: Vec::new(),
            streams: Vec::new(),
        }
    }

    #[test]
    fn whoever_comes_back_at_once_keeps_tile_and_figures_but_not_the_clock_of_before() {
        let mut people = People::default();
        let id = person(1, 1).id;
        let key = people.arrive(person(1, 1)).key;
        let other = people.present(&id).unwrap();
        other.picture.want(320, 180);
        other.offset.set(Some(5));
        let stats = Arc::new(VideoStats::default());
        stats.frames_complete.store(7, Relaxed);
        other.video.streams.push(stats);
        assert!(people.depart(&id).is_some());
        assert!(people.present(&id).is_none() && people.views(Timestamp(0), &Rule::default()).count() == 0);
        let other = people.arrive(person(1, 2));
        assert_eq!((other.key, other.picture.wanted(), other.offset.get()), (key, (320, 180), None));
        assert_eq!(people.stats(&Rule::default())[0].role, "member");
        assert_eq!(people.stats(&Rule::default())[0].video.as_ref().map(|v| v.frames_received), Some(7));
    }

    #[test]
    fn somebodys_streams_are_subscribed_so_often_a_second() {
        let mut people = People::default();
        let other = people.arrive(person(1, 1));
        assert!((0..FOLLOWS_PER_S_MAX).all(|_| other.may_be_followed(Timestamp::from_millis(5_000))));
        assert!(!other.may_be_followed(Timestamp::from_millis(5_999)));
        assert!(other.may_be_followed(Timestamp::from_millis(6_000)));
    }

    #[test]
    fn of_many_who_left_the_first_are_forgotten() {
        let mut people = People::default();
        for n in 0..=DEPARTED_MAX + 5 {
            let id = ParticipantId((n as u128).to_be_bytes());
            people.arrive(Person { id, ..person(0, 1) });
            assert!(people.depart(&id).is_some());
        }
        assert_eq!(people.stats(&Rule::default()).len(), DEPARTED_MAX);
    }

    #[test]
    fn how_somebody_is_played_is_forgotten_last_and_of_the_others_who_left_first() {
        let mut people = People::default();
        let id = |n: usize| ParticipantId((n as u128 + 1).to_be_bytes());
        for n in 0..DEPARTED_MAX + 2 {
            people.arrive(Person { id: id(n), ..person(0, 1) });
        }
        let soft = Hearing { volume: 25, silenced: false };
        people.present(&id(0)).expect("here").hearing = soft;
        // The second to come is the last to leave.
        for n in (0..DEPARTED_MAX + 2).filter(|n| *n != 1).chain([1]) {
            assert!(people.depart(&id(n)).is_some());
        }
        let known = |people: &People, n| people.all.iter().any(|o| o.person.id == id(n));
        assert_eq!([0, 1, 2, 3, 4].map(|n| known(&people, n)), [true, true, false, false, true]);
        assert_eq!(people.arrive(Person { id: id(0), ..person(0, 2) }).hearing, soft);
        // Where all were played otherwise, the longest gone goes.
        people.depart(&id(0));
        people.all.iter_mut().for_each(|o| o.hearing = soft);
        people.arrive(Person { id: id(2), ..person(0, 1) });
        people.depart(&id(2));
        assert_eq!([0, 1, 2, 4].map(|n| known(&people, n)), [true, true, true, false]);
    }
}
