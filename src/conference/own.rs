//! The person at this machine: what is sent, and how the own tile looks.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::entry::Ready;
use super::stats::{Sent, SentStream, Voice, VoiceDoes, tenth};
use super::succession::Succession;
use super::view::{Attention, CameraView, PersonFigures, PersonView};
use crate::media::mix::SILENCE_DBFS;
use crate::pipeline::audio_send::AudioSendStats;
use crate::pipeline::slot::PictureSlot;
use crate::pipeline::video_send::{VideoSend, VideoSendStats};
use crate::protocol::layers;
use crate::protocol::roster::Role;
use crate::protocol::transport::Reach;
use crate::wire::Layer;
use crate::wire::message::ParticipantId;

/// The key of the own tile; others count from 1.
pub const OWN_KEY: u64 = 0;

/// The own state.
pub struct Own {
    /// Own id.
    pub id: ParticipantId,
    /// As others see it.
    pub name: String,
    /// Whether the own tile is shown: those who only watch, without camera and microphone, have none.
    pub has_tile: bool,
    /// Microphone off.
    pub muted: bool,
    /// There is one.
    pub has_microphone: bool,
    /// Camera on, as asked for.
    pub camera_on: bool,
    /// There is one.
    pub has_camera: bool,
    /// State of the camera.
    pub camera: CameraView,
    /// Hand raised, away.
    pub attention: Attention,
    /// What reaches this participant.
    pub reach: Reach,
    /// Own picture.
    pub picture: Arc<PictureSlot>,
    /// Figures of the camera's streams, for each layer.
    pub video: [Succession<VideoSendStats, SentStream>; layers::CAMERA.len()],
    /// Figures of the microphone's stream.
    pub audio: Succession<AudioSendStats, SentStream>,
    /// The microphone is open, or looked for.
    pub captures: bool,
    figures: PersonFigures,
    before: SentStream,
    frames_before: [u64; layers::CAMERA.len()],
}

impl From<&VideoSendStats> for SentStream {
    fn from(s: &VideoSendStats) -> Self {
        Self { frames: s.frames.load(Relaxed), packets: s.packets.load(Relaxed), bytes: s.bytes.load(Relaxed) }
    }
}

impl From<&AudioSendStats> for SentStream {
    fn from(s: &AudioSendStats) -> Self {
        Self { frames: s.frames(), packets: s.packets(), bytes: s.bytes() }
    }
}

impl From<&AudioSendStats> for Voice {
    fn from(s: &AudioSendStats) -> Self {
        let figures = s.figures();
        let ([device, packet, filters], does) = (s.capture_parts_ms(), s.does());
        Self {
            capture_ms: tenth(s.capture_ms()),
            capture_device_ms: tenth(device),
            packet_ms: tenth(packet),
            filters_ms: tenth(filters),
            does: VoiceDoes { echo: does.echo, noise: does.noise, gain: does.gain },
            glitches: s.glitches(),
            gain_db: figures.map(|f| tenth(f.gain_db)),
            noise_dbfs: figures.map(|f| tenth(f.noise_dbfs)),
            echo_return_loss_db: figures.and_then(|f| f.echo_return_loss_db).map(tenth),
            echo_delay_ms: figures.and_then(|f| f.echo_delay_ms),
            spoken_muted: s.spoken_muted(),
        }
    }
}

impl Voice {
    /// In a line of the statistics.
    fn line(&self) -> String {
        let part = |what: &str, value: Option<f32>, unit: &str| {
            value.map_or(String::new(), |value| format!(", {what} {value:.0} {unit}"))
        };
        format!(
            "microphone: {:.0} ms{}{}{}{}{}",
            self.capture_ms,
            if self.does.any() { "" } else { ", as it is" },
            part("gain", self.gain_db, "dB"),
            part("noise", self.noise_dbfs, "dBFS"),
            part("echo less by", self.echo_return_loss_db, "dB"),
            part("after", self.echo_delay_ms.map(|ms| ms as f32), "ms"),
        )
    }
}

impl AddAssign for SentStream {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl Own {
    /// Before devices are open.
    pub fn new(ready: &Ready) -> Self {
        Self {
            id: ready.identity.id(),
            name: ready.name.clone(),
            has_tile: ready.role == Role::Participant && (ready.has_camera || ready.has_microphone),
            muted: ready.silent,
            has_microphone: ready.has_microphone,
            camera_on: ready.has_camera && !ready.hold,
            has_camera: ready.has_camera,
            reach: Reach::Groups,
            camera: CameraView::Off,
            attention: Attention::default(),
            picture: Arc::default(),
            video: Default::default(),
            audio: Succession::default(),
            captures: false,
            figures: PersonFigures::default(),
            before: SentStream::default(),
            frames_before: Default::default(),
        }
    }

    /// What was sent since joining.
    pub fn sent(&self) -> Sent {
        let layers = layers::CAMERA.map(|layer| (layer.word(), self.video[layer as usize].sum())).into_iter().collect();
        Sent { video: self.pictures(), layers, audio: self.audio.sum(), voice: self.microphone().map(Voice::from) }
    }

    /// How the own voice is taken up, in a line of the statistics.
    pub fn voice_line(&self) -> Option<String> {
        self.microphone().map(|stats| Voice::from(stats).line())
    }

    /// Figures of the microphone of now.
    fn microphone(&self) -> Option<&AudioSendStats> {
        self.audio.newest().filter(|_| self.captures).map(Arc::as_ref)
    }

    /// The microphone was opened: what it sends counts from now on.
    pub fn microphone_opened(&mut self, stats: Arc<AudioSendStats>) {
        self.audio.push(stats);
        self.captures = true;
    }

    fn pictures(&self) -> SentStream {
        self.video.iter().fold(SentStream::default(), |mut sum, layer| {
            sum += layer.sum();
            sum
        })
    }

    /// The camera was opened: what its layers send counts from now on.
    pub fn camera_opened(&mut self, sender: &VideoSend) {
        for (layer, stats) in sender.stats() {
            if let Some(of_layer) = self.video.get_mut(*layer as usize) {
                of_layer.push(Arc::clone(stats));
            }
        }
    }

    /// Closes a second of `seconds`.
    pub fn roll(&mut self, seconds: f32) {
        let (now, before) = (self.pictures(), self.before);
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f32 / seconds.max(0.001);
        let frames = layers::CAMERA.map(|layer| self.video[layer as usize].sum().frames);
        let sent = std::mem::replace(&mut self.frames_before, frames);
        // The largest of those that somebody watches.
        let largest = layers::CAMERA.into_iter().rev().find(|&layer| frames[layer as usize] > sent[layer as usize]);
        let newest = largest.and_then(|layer| self.video[layer as usize].newest());
        let size = newest.map_or(0, |s| s.size.load(Relaxed));
        self.figures = PersonFigures {
            layer: largest.map_or("", Layer::word),
            size: ((size >> 32) as usize, (size & 0xffff_ffff) as usize),
            frames_per_s: largest.map_or(0.0, |layer| per_s(frames[layer as usize], sent[layer as usize])),
            kbit_per_s: per_s(now.bytes, before.bytes) * 8.0 / 1_000.0,
            transport: self.reach.word(),
            ..PersonFigures::default()
        };
        self.before = now;
    }

    /// The own tile, if there is one.
    pub fn view(&self) -> Option<PersonView> {
        self.has_tile.then(|| PersonView {
            key: OWN_KEY,
            id: self.id.to_string(),
            rank: Default::default(),
            hearing: Default::default(),
            name: self.name.clone(),
            me: true,
            muted: self.muted,
            has_microphone: self.has_microphone,
            camera: self.camera.clone(),
            attention: self.attention,
            commands: false,
            level_dbfs: self.microphone().map_or(SILENCE_DBFS, AudioSendStats::level_dbfs),
            picture: Arc::clone(&self.picture),
            figures: self.figures.clone(),
        })
    }
}
