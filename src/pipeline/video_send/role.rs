//! The sending thread: the camera's frames to the layers and the own tile, commands in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel as channel;

use super::layers::{Layers, note};
use super::own::OwnPicture;
use super::stream::VideoSendStats;
use super::{Command, PASSED_BYTES_MAX, VideoSendConfig, VideoSendEvent};
use crate::device::camera::{Camera, CameraEvent, Capture, CapturedFrame};
use crate::device::clock::Clock;
use crate::media::jpeg::{YuvDecoder, conformance};
use crate::media::picture::Yuv;
use crate::wire::Layer;

/// Longest a command waits while the camera gives no frames.
const COMMAND_WAIT: Duration = Duration::from_millis(50);

/// Figures of the camera. Written by the sending thread, read by anybody.
#[derive(Debug, Default)]
pub struct CameraStats {
    /// Frames taken from the camera.
    pub frames: AtomicU64,
    /// Frames that could not be decoded.
    pub frames_failed: AtomicU64,
    /// Time from taking a frame to having sent it in all layers, nanoseconds.
    pub busy_ns: AtomicU64,
}

pub(super) struct Role {
    layers: Layers,
    own: OwnPicture,
    decoder: YuvDecoder,
    decoded: Yuv,
    camera: Option<Camera>,
    /// Name and frames a second of the camera that was opened.
    description: (String, f64),
    /// Size told last.
    size: (usize, usize),
    config: VideoSendConfig,
    clock: Clock,
    commands: channel::Receiver<Command>,
    events: channel::Sender<VideoSendEvent>,
    stats: Arc<CameraStats>,
    /// Named on the test card.
    name: String,
}

impl Role {
    pub(super) fn new(
        mut config: VideoSendConfig,
        clock: &Clock,
        commands: channel::Receiver<Command>,
        events: channel::Sender<VideoSendEvent>,
    ) -> std::io::Result<Self> {
        let layers = std::mem::take(&mut config.layers);
        Ok(Self {
            name: layers.first().map(|layer| layer.stream.name.clone()).unwrap_or_default(),
            layers: Layers::new(layers, clock).map_err(std::io::Error::other)?,
            own: OwnPicture::new(config.own_tile.clone()).map_err(std::io::Error::other)?,
            decoder: YuvDecoder::new().map_err(std::io::Error::other)?,
            decoded: Yuv::default(),
            camera: None,
            description: (String::new(), 0.0),
            size: (0, 0),
            config,
            clock: clock.clone(),
            commands,
            events,
            stats: Arc::default(),
        })
    }

    pub(super) fn stats(&self) -> Vec<(Layer, Arc<VideoSendStats>)> {
        self.layers.stats()
    }

    pub(super) fn camera_stats(&self) -> Arc<CameraStats> {
        Arc::clone(&self.stats)
    }

    pub(super) fn run(&mut self) {
        if self.config.on {
            self.switch(true);
        }
        while self.step() {}
        self.camera = None;
        self.layers.bye();
    }

    /// Waits for a command or a frame and does what it asks; `false` to stop.
    fn step(&mut self) -> bool {
        let Some(camera) = &self.camera else {
            return self.commands.recv().is_ok_and(|command| self.obey(command));
        };
        match camera.recv(COMMAND_WAIT) {
            Some(event) => self.happened(event),
            None => self.layers.report(),
        }
        while let Ok(command) = self.commands.try_recv() {
            if !self.obey(command) {
                return false;
            }
        }
        true
    }

    fn happened(&mut self, event: CameraEvent) {
        match event {
            CameraEvent::Frame(capture) => self.frame(capture),
            CameraEvent::Opened(opened) => {
                self.description = (opened.description, opened.fps);
                self.size = (0, 0);
            }
            CameraEvent::Failed { message, hint } => {
                // A camera that only fell silent may go on without being opened again: that is to be told as well.
                self.size = (0, 0);
                self.tell(VideoSendEvent::Failed { message, hint });
            }
            CameraEvent::Retrying { after } => self.tell(VideoSendEvent::Retrying { after }),
        }
    }

    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Camera(on) => self.switch(on),
            Command::Tune(layer, tuning) => self.layers.tune(layer, tuning),
            Command::Streams(streams) => self.layers.begin(streams),
            Command::Stop => return false,
        }
        true
    }

    fn switch(&mut self, on: bool) {
        if on && self.camera.is_none() {
            let VideoSendConfig { camera, want, .. } = &self.config;
            self.camera = Some(Camera::open(camera, *want, self.clock.clone(), &self.name));
        } else if !on && self.camera.take().is_some() {
            self.layers.bye();
            self.size = (0, 0);
            self.tell(VideoSendEvent::Off);
        }
    }

    fn tell(&self, event: VideoSendEvent) {
        // Whoever does not read them misses the newest.
        let _ = self.events.try_send(event);
    }

    fn frame(&mut self, capture: Capture) {
        let began = self.clock.now();
        let size = match &capture.frame {
            CapturedFrame::Jpeg { bytes } => self.jpeg(bytes, &capture),
            CapturedFrame::Yuv(picture) => {
                let size = (picture.width, picture.height);
                if self.layers.plan(capture.at, size, false) {
                    self.layers.send_picture(picture, capture.at, &mut std::thread::park_timeout, &mut note);
                }
                self.own.show(picture, &capture);
                size
            }
        };
        self.stats.frames.fetch_add(1, Ordering::Relaxed);
        self.stats.busy_ns.fetch_add(self.clock.now().0.saturating_sub(began.0), Ordering::Relaxed);
        if size != self.size {
            self.size = size;
            let (camera, fps) = self.description.clone();
            self.tell(VideoSendEvent::Working { camera, width: size.0, height: size.1, fps });
        }
        if let Some(camera) = &self.camera {
            camera.recycle(capture.frame);
        }
    }

    /// Sends a camera's JPEG as it is when it conforms, and what has to be encoded of it. Returns its size.
    fn jpeg(&mut self, bytes: &[u8], capture: &Capture) -> (usize, usize) {
        let pause = &mut std::thread::park_timeout;
        if let Ok(jpeg) = conformance(bytes)
            && jpeg.scan.len() <= PASSED_BYTES_MAX
        {
            let size = (jpeg.width, jpeg.height);
            let planes = self.layers.plan(capture.at, size, true);
            self.layers.send_jpeg(&jpeg, capture.at, pause, &mut note);
            if planes && self.planes(bytes) {
                self.layers.send_picture(&self.decoded, capture.at, pause, &mut note);
            }
            self.own.show_jpeg(&jpeg, capture);
            return size;
        }
        if !self.planes(bytes) {
            return self.size;
        }
        let size = (self.decoded.width, self.decoded.height);
        if self.layers.plan(capture.at, size, false) {
            self.layers.send_picture(&self.decoded, capture.at, pause, &mut note);
        }
        self.own.show(&self.decoded, capture);
        size
    }

    /// Decodes a camera's JPEG; whether there is a picture.
    fn planes(&mut self, bytes: &[u8]) -> bool {
        match self.decoder.decode(bytes, &mut self.decoded) {
            Err(e) if !e.left_a_picture() => {
                let failed = self.stats.frames_failed.fetch_add(1, Ordering::Relaxed) + 1;
                if failed.is_power_of_two() {
                    tracing::warn!(error = %e, failed, "frames of the camera cannot be decoded");
                }
                false
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::camera::CameraSpec;
    use crate::device::net::{Interface, UdpSocket};
    use crate::media::picture::Chroma;
    use crate::pipeline::egress::{Destination, Egress};
    use crate::pipeline::video_send::{COMMANDS, EVENTS, LayerConfig, StreamConfig};

    #[test]
    fn a_camera_that_fell_silent_and_goes_on_is_told_to_work_again() {
        let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
        let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
        let egress = Egress { socket, destination: Destination::default() };
        let clock = Clock::system();
        let stream = StreamConfig {
            ssrc: 1,
            first_sequence: 0,
            timestamp_base: 0,
            cname: "ada@host".into(),
            name: "Ada".into(),
            quality: 75,
            interval: Duration::from_millis(33),
            phase: 0.0,
            seed: 1,
            master: None,
            position: Arc::default(),
            repair: None,
        };
        let config = VideoSendConfig {
            camera: CameraSpec::None,
            want: (64, 48, 30),
            on: false,
            own_tile: Arc::default(),
            layers: vec![LayerConfig { layer: Layer::Full, stream, egress }],
        };
        let ((_orders, commands), (told, events)) = (channel::bounded(COMMANDS), channel::bounded(EVENTS));
        let mut role = Role::new(config, &clock, commands, told).expect("codecs");
        let frame = || {
            let mut picture = Yuv::default();
            picture.reshape(64, 48, Chroma::C420);
            CameraEvent::Frame(Capture { frame: CapturedFrame::Yuv(picture), at: clock.now(), wall: clock.wall() })
        };
        let mut next = |event| {
            role.happened(event);
            events.try_recv().ok()
        };
        assert!(matches!(next(frame()), Some(VideoSendEvent::Working { width: 64, height: 48, .. })));
        assert!(next(frame()).is_none(), "it works still");
        let silent = CameraEvent::Failed { message: "silent".into(), hint: None };
        assert!(matches!(next(silent), Some(VideoSendEvent::Failed { .. })));
        assert!(matches!(next(frame()), Some(VideoSendEvent::Working { .. })));
    }
}
