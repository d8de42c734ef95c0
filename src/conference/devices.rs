//! The own camera and microphone: started, switched, announced, and carried over to another epoch.

use std::sync::Arc;

use super::Error;
use super::director::{Director, LEAD};
use super::taking::Taking;
use super::view::{CameraView, NoticeKind};
use crate::device::sound::SoundEvent;
use crate::media::{opus, test_voice};
use crate::pipeline::audio_send::{self, AudioSender, NextStream};
use crate::pipeline::control::Command as Ask;
use crate::pipeline::egress::Egress;
use crate::pipeline::video_send::VideoSendEvent;
use crate::protocol::keys;
use crate::protocol::roster::{Camera, Microphone, StreamInfo};
use crate::protocol::srtp::MASTER_BYTES;
use crate::wire::StreamKind;
use zeroize::Zeroizing;

impl Director {
    /// Key material of an own stream in a protected conference.
    pub(super) fn master(&self, ssrc: u32) -> Option<Zeroizing<[u8; MASTER_BYTES]>> {
        self.keys.as_ref().map(|keys| keys.srtp(&self.me, self.sid, ssrc))
    }

    pub(super) fn start_microphone(&mut self, muted: bool) -> Result<(), Error> {
        let ssrc = self.random.next_u64() as u32;
        let voice = self.config.taking.voice(&self.config.microphone);
        let config = audio_send::Config {
            microphone: self.config.microphone.clone(),
            pitch_hz: test_voice::pitch_for(keys::order_hash(&[self.config.name.as_bytes()])),
            frame_ms: self.config.audio_frame_ms,
            opus: opus::Settings {
                bitrate: self.config.audio_bitrate,
                low_delay: self.config.low_delay,
                ..opus::Settings::default()
            },
            ssrc,
            first_sequence: self.random.next_u64() as u16,
            first_timestamp: self.random.next_u64() as u32,
            cname: self.cname.clone(),
            name: self.config.name.clone(),
            master: self.master(ssrc),
            position: Arc::clone(&self.audio_position),
            repair: Some(self.redundancy_of(ssrc)),
            muted,
            reference: Taking::works_on(&self.config.microphone).then(|| self.voices.reference()),
            voice,
            threshold_dbfs: self.config.taking.threshold(),
        };
        let egress = Egress { socket: Arc::clone(&self.socket), destination: self.audio_to.clone() };
        let sender = AudioSender::start(config, egress, self.shared.clock.clone()).map_err(Error::Microphone)?;
        self.shared.state().own.microphone_opened(sender.stats());
        self.audio = Some((ssrc, sender));
        Ok(())
    }

    pub(super) fn camera_failed(&mut self, text: &str) {
        let before = std::mem::replace(&mut self.shared.state().own.camera, CameraView::Failed(text.to_owned()));
        self.control.send(Ask::Camera(Camera::Failed(text.to_owned())));
        if let Some(video) = &mut self.video {
            video.native = None;
        }
        self.announce_pictures();
        // The first failure is told; that it goes on stands on the own tile.
        if !matches!(before, CameraView::Failed(_)) {
            // Its attempts to come back may fail in other ways; the tile tells them.
            if !std::mem::replace(&mut self.camera_told, true) {
                self.say(NoticeKind::Warning, &format!("camera: {text}"));
            }
        }
    }

    pub(super) fn camera_event(&mut self, event: VideoSendEvent) {
        match event {
            VideoSendEvent::Working { width, height, fps, .. } => {
                if let Some(video) = &mut self.video {
                    video.native = Some(((width, height), (fps * 1_000.0) as u32));
                }
                self.shared.state().own.camera = CameraView::Live;
                self.camera_told = false;
                self.control.send(Ask::Camera(Camera::On));
                self.announce_pictures();
            }
            VideoSendEvent::Failed { message, hint } => {
                let hint = hint.map_or(String::new(), |h| format!(" ({h})"));
                self.camera_failed(&format!("{message}{hint}"));
            }
            VideoSendEvent::Retrying { .. } | VideoSendEvent::Off => {}
        }
    }

    pub(super) fn microphone_event(&mut self, ssrc: u32, event: SoundEvent) {
        let works = matches!(event, SoundEvent::Ready { .. });
        let muted = {
            let mut state = self.shared.state();
            state.own.has_microphone = works;
            state.own.muted
        };
        self.control.send(Ask::Microphone(match (works, muted) {
            (false, _) => Microphone::None,
            (true, true) => Microphone::Muted,
            (true, false) => Microphone::On,
        }));
        let info = StreamInfo { repair: self.repairs.info(StreamKind::Audio), ..StreamInfo::voice(ssrc) };
        self.announce_voice(works.then_some(info));
        if let Some((kind, text)) = self.microphone.of(&event) {
            self.say(kind, &text);
        }
    }

    /// Replaces the announced voice, or takes it out.
    pub(super) fn announce_voice(&mut self, stream: Option<StreamInfo>) {
        let before = self.streams.iter().find(|s| s.kind == StreamKind::Audio);
        if before == stream.as_ref() {
            return;
        }
        self.streams.retain(|s| s.kind != StreamKind::Audio);
        if stream.is_some() {
            self.voice_from = self.now() + LEAD;
        }
        self.streams.extend(stream);
        self.tell_streams();
    }

    /// What is sent goes on with the keys of another epoch, as other streams: the sources given, or new ones.
    pub(super) fn renew_streams(&mut self, streams: Vec<StreamInfo>) {
        self.streams = streams;
        self.audio_position = Arc::default();
        let source = |streams: &[StreamInfo], kind| streams.iter().find(|s| s.kind == kind).map(|s| s.ssrc);
        if let Some((_, sender)) = self.audio.take() {
            let ssrc = source(&self.streams, StreamKind::Audio).unwrap_or_else(|| self.random.next_u64() as u32);
            let (first_sequence, master) = (self.random.next_u64() as u16, self.master(ssrc));
            let repair = Some(self.redundancy_of(ssrc));
            let position = Arc::clone(&self.audio_position);
            sender.stream(NextStream { ssrc, first_sequence, master, position, repair });
            self.audio = Some((ssrc, sender));
            let repair = self.repairs.info(StreamKind::Audio);
            self.streams.iter_mut().filter(|s| s.kind == StreamKind::Audio).for_each(|s| s.repair = repair);
        }
        self.renew_pictures();
        self.tell_streams();
    }
}
