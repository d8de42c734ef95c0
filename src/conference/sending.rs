//! The own picture as it is sent: its layers, which of them are announced, and which somebody wants.
//!
//! ```text
//! camera works ──> all layers announced ──(LEAD)──> each sent while Event::Wanted says so, from the slot held
//! ```
//! A layer keeps its source for as long as the camera is on. Nobody watching means no bytes at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::adjusting::Adjusting;
use super::director::{Director, LEAD, SECOND};
use super::view::CameraView;
use crate::pipeline::control::{Command as Ask, LocalStream};
use crate::pipeline::egress::{Destination, Egress};
use crate::pipeline::video_send::{LayerConfig, StreamConfig, Tuning, VideoSend, VideoSendConfig};
use crate::protocol::layers;
use crate::protocol::roster::{Camera, RepairInfo, StreamInfo};
use crate::time::Timestamp;
use crate::wire::{Layer, StreamKind};

/// One layer of the own picture.
pub struct OwnLayer {
    /// Which.
    pub layer: Layer,
    /// Its source.
    pub ssrc: u32,
    /// Where it goes.
    pub to: Destination,
    /// Where it is, for beacons.
    pub position: Arc<AtomicU64>,
    /// How it is sent.
    pub tuning: Tuning,
    /// Not offered at all for now.
    pub withheld: bool,
}

/// The own camera while it is on.
pub struct OwnVideo {
    /// Its thread.
    pub sender: VideoSend,
    /// Lowest first.
    pub layers: Vec<OwnLayer>,
    /// Columns, rows and thousandths of frames a second that the camera gives.
    pub native: Option<((usize, usize), u32)>,
}

impl OwnVideo {
    /// What is announced of the layers.
    pub fn infos(&self, senders: usize) -> Vec<StreamInfo> {
        let Some((native, native_milli)) = self.native else { return Vec::new() };
        let info = |own: &OwnLayer| {
            let (width, height) = layers::reduced(layers::size(own.layer, native)?, own.tuning.sixteenths);
            let fps_milli = layers::fps_milli(own.layer, native_milli, senders).min(own.tuning.fps_milli);
            let kind = StreamKind::Video(own.layer);
            let (width, height) = (width as u32, height as u32);
            let repair = RepairInfo::default();
            Some(StreamInfo { kind, ssrc: own.ssrc, width, height, fps_milli, position: 0, active: false, repair })
        };
        self.layers.iter().filter(|own| !own.withheld).filter_map(info).collect()
    }

    /// Sends a layer otherwise.
    pub fn tune(&mut self, layer: Layer, tuning: Tuning) {
        for own in self.layers.iter_mut().filter(|own| own.layer == layer && own.tuning != tuning) {
            own.tuning = tuning;
            self.sender.tune(layer, tuning);
        }
    }
}

impl Director {
    /// Whether somebody wants an own stream that is announced.
    pub(super) fn is_sent(&self, kind: StreamKind) -> bool {
        let StreamKind::Video(layer) = kind else { return true };
        self.wanted_of_me[layer as usize]
    }

    /// Opens the own camera, or closes it.
    pub(super) fn switch_camera(&mut self, on: bool) {
        {
            let mut state = self.shared.state();
            if !state.own.has_camera {
                return;
            }
            state.own.camera_on = on;
            state.own.camera = if on { CameraView::Waiting } else { CameraView::Off };
        }
        if !on {
            self.video = None;
            layers::CAMERA.iter().for_each(|&layer| self.stop_repair(StreamKind::Video(layer)));
            self.control.send(Ask::Camera(Camera::Off));
            self.announce_pictures();
            return;
        }
        if self.video.is_some() {
            return;
        }
        let (size, fps) = (self.config.camera_size, self.config.camera_fps);
        // Streams switched on again are other streams: their BYE was sent.
        let made = layers::CAMERA.map(|layer| self.own_layer(layer));
        let config = VideoSendConfig {
            camera: self.config.camera.clone(),
            want: (size.width, size.height, fps),
            on: true,
            own_tile: Arc::clone(&self.shared.state().own.picture),
            layers: made.iter().map(|(_, config)| config.clone()).collect(),
        };
        match VideoSend::start(config, &self.shared.clock) {
            Ok(sender) => {
                self.shared.state().own.camera_opened(&sender);
                self.adjusting = Adjusting::new(self.now(), self.config.quality);
                let layers = made.into_iter().map(|(own, _)| own).collect();
                self.video = Some(OwnVideo { sender, layers, native: None });
            }
            Err(e) => self.camera_failed(&e.to_string()),
        }
    }

    fn own_layer(&mut self, layer: Layer) -> (OwnLayer, LayerConfig) {
        let (ssrc, to, position) = (self.random.next_u64() as u32, Destination::default(), Arc::default());
        let stream = self.picture_stream(layer, ssrc, &position, &to);
        let tuning = Tuning::full(stream.quality);
        let egress = Egress { socket: Arc::clone(&self.socket), destination: to.clone() };
        (OwnLayer { layer, ssrc, to, position, tuning, withheld: false }, LayerConfig { layer, stream, egress })
    }

    fn picture_stream(&mut self, layer: Layer, ssrc: u32, position: &Arc<AtomicU64>, to: &Destination) -> StreamConfig {
        let repair = self.repair_of(StreamKind::Video(layer), ssrc, to);
        let fps_milli = layers::fps_milli(layer, 1_000 * self.config.camera_fps, 1);
        StreamConfig {
            ssrc,
            first_sequence: self.random.next_u64() as u16,
            timestamp_base: self.random.next_u64() as u32,
            cname: self.cname.clone(),
            name: self.config.name.clone(),
            quality: layers::quality(layer, self.config.quality),
            interval: SECOND * 1_000 / fps_milli.max(1),
            phase: self.random.next_u64() as f64 / u64::MAX as f64,
            seed: self.random.next_u64(),
            master: self.master(ssrc),
            position: Arc::clone(position),
            repair: Some(repair),
        }
    }

    /// Announces the layers there are now. New ones are sent a little later; what is sent already goes on.
    pub(super) fn announce_pictures(&mut self) {
        let senders = self.shared.state().people.here().filter(|o| o.person.camera == Camera::On).count() + 1;
        let mut infos = Vec::new();
        if let Some(video) = &mut self.video {
            if let Some((_, native_milli)) = video.native {
                for layer in layers::CAMERA {
                    let before = video.layers.iter().find(|own| own.layer == layer).map(|own| own.tuning);
                    let usual = layers::fps_milli(layer, native_milli, senders);
                    let most = (u64::from(usual) * u64::from(self.adjusting.small_milli) / 1_000) as u32;
                    if let Some(tuning) = before.filter(|_| layer != Layer::Full) {
                        video.tune(layer, Tuning { fps_milli: most, ..tuning });
                    }
                }
            }
            infos = video.infos(senders);
            infos.iter_mut().for_each(|info| info.repair = self.repairs.info(info.kind));
        }
        let is_picture = |s: &&StreamInfo| matches!(s.kind, StreamKind::Video(_));
        if self.streams.iter().filter(is_picture).eq(infos.iter()) {
            return;
        }
        let known = |info: &StreamInfo| self.streams.iter().any(|s| s.ssrc == info.ssrc);
        if !infos.iter().all(known) {
            self.pictures_from = self.now() + LEAD;
        }
        self.streams.retain(|s| !matches!(s.kind, StreamKind::Video(_)));
        self.streams.extend(infos);
        self.tell_streams();
    }

    /// Tells the control role what is announced and where it is.
    pub(super) fn tell_streams(&self) {
        let layers = self.video.as_ref().map_or(&[][..], |video| &video.layers);
        let local = |&info: &StreamInfo| match layers.iter().find(|own| StreamKind::Video(own.layer) == info.kind) {
            Some(own) => {
                let (position, repair) = (Some(Arc::clone(&own.position)), self.repairs.position(info.kind));
                LocalStream { info, position, repair, to: own.to.clone() }
            }
            None => {
                let (position, repair) = (Some(Arc::clone(&self.audio_position)), self.repairs.position(info.kind));
                LocalStream { info, position, repair, to: self.audio_to.clone() }
            }
        };
        let streams = self.streams.iter().map(local).collect();
        self.control.send(Ask::Streams(streams));
    }

    /// Sends the voice where the slot says, once it is announced for long enough and while anybody is here; each layer of
    /// the picture while somebody wants it, too.
    pub(super) fn direct(&mut self, now: Timestamp) {
        let state = self.shared.state();
        let anybody = !self.paused && state.people.here().next().is_some();
        let to = |kind: StreamKind, from: Timestamp| {
            let announced = self.streams.iter().any(|s| s.kind == kind);
            let go = anybody && announced && now >= from.max(self.slot_from);
            self.slot.filter(|_| go).map(|slot| {
                let own = state.plan.stream(slot, kind);
                if self.network.single { SocketAddr::new(state.plan.control().ip(), own.port()) } else { own }
            })
        };
        self.audio_to.set(to(StreamKind::Audio, self.voice_from));
        for own in self.video.iter().flat_map(|video| &video.layers) {
            let wanted = self.wanted_of_me[own.layer as usize] && !own.withheld && !self.broken;
            own.to.set(to(StreamKind::Video(own.layer), self.pictures_from).filter(|_| wanted));
        }
        drop(state);
        self.direct_repair();
    }

    /// What is sent of the picture goes on as other streams: of the sources given, or new ones.
    pub(super) fn renew_pictures(&mut self) {
        let Some(mut video) = self.video.take() else { return };
        let mut streams = Vec::new();
        for own in &mut video.layers {
            let kind = StreamKind::Video(own.layer);
            let given = self.streams.iter().find(|s| s.kind == kind).map(|s| s.ssrc);
            own.ssrc = given.unwrap_or_else(|| self.random.next_u64() as u32);
            own.position = Arc::default();
            streams.push((own.layer, self.picture_stream(own.layer, own.ssrc, &own.position, &own.to)));
            let repair = self.repairs.info(kind);
            self.streams.iter_mut().filter(|s| s.kind == kind).for_each(|s| s.repair = repair);
        }
        video.sender.streams(streams);
        self.video = Some(video);
    }
}
