//! The sending thread: the camera's frames to the stream and the own tile, commands in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel as channel;

use super::own::OwnPicture;
use super::stream::{Error, OutgoingVideo, VideoSendStats};
use super::{Command, PASSED_BYTES_MAX, VideoSendConfig, VideoSendEvent};
use crate::device::camera::{Camera, CameraEvent, Capture, CapturedFrame};
use crate::device::clock::Clock;
use crate::media::jpeg::{YuvDecoder, conformance};
use crate::media::picture::Yuv;

/// Longest a command waits while the camera gives no frames.
const COMMAND_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Role {
    outgoing: OutgoingVideo,
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
    stats: Arc<VideoSendStats>,
}

impl Role {
    pub(super) fn new(
        config: VideoSendConfig,
        outgoing: OutgoingVideo,
        clock: &Clock,
        commands: channel::Receiver<Command>,
        events: channel::Sender<VideoSendEvent>,
        stats: &Arc<VideoSendStats>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            outgoing,
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
            stats: stats.clone(),
        })
    }

    pub(super) fn run(&mut self) {
        if self.config.on {
            self.switch(true);
        }
        while self.step() {}
        self.camera = None;
        self.outgoing.bye();
    }

    /// Waits for a command or a frame and does what it asks; `false` to stop.
    fn step(&mut self) -> bool {
        let Some(camera) = &self.camera else {
            return self.commands.recv().is_ok_and(|command| self.obey(command));
        };
        match camera.recv(COMMAND_WAIT) {
            Some(event) => self.happened(event),
            None => self.outgoing.report(),
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
            Command::Quality(quality) => self.outgoing.set_quality(quality),
            Command::Stream(stream) => {
                self.config.stream = (*stream).clone();
                self.outgoing.begin(*stream);
            }
            Command::Stop => return false,
        }
        true
    }

    fn switch(&mut self, on: bool) {
        if on && self.camera.is_none() {
            let VideoSendConfig { camera, want, stream, .. } = &self.config;
            self.camera = Some(Camera::open(camera, *want, self.clock.clone(), &stream.name));
        } else if !on && self.camera.take().is_some() {
            self.outgoing.bye();
            self.size = (0, 0);
            self.tell(VideoSendEvent::Off);
        }
    }

    fn tell(&self, event: VideoSendEvent) {
        // Whoever does not read them misses the newest.
        let _ = self.events.try_send(event);
    }

    fn frame(&mut self, capture: Capture) {
        self.stats.frames_captured.fetch_add(1, Ordering::Relaxed);
        let size = match &capture.frame {
            CapturedFrame::Jpeg { bytes } => self.jpeg(bytes, &capture),
            CapturedFrame::Yuv(picture) => {
                note(&self.stats, self.outgoing.send_picture(picture, capture.at, &mut std::thread::park_timeout));
                self.own.show(picture, &capture);
                (picture.width, picture.height)
            }
        };
        if size != self.size {
            self.size = size;
            let (camera, fps) = self.description.clone();
            self.tell(VideoSendEvent::Working { camera, width: size.0, height: size.1, fps });
        }
        if let Some(camera) = &self.camera {
            camera.recycle(capture.frame);
        }
    }

    /// Sends a camera's JPEG as it is when it conforms, else encoded again. Returns its size.
    fn jpeg(&mut self, bytes: &[u8], capture: &Capture) -> (usize, usize) {
        let pause = &mut std::thread::park_timeout;
        if let Ok(jpeg) = conformance(bytes)
            && jpeg.scan.len() <= PASSED_BYTES_MAX
        {
            note(&self.stats, self.outgoing.send_jpeg(&jpeg, capture.at, pause));
            self.own.show_jpeg(&jpeg, capture);
            return (jpeg.width, jpeg.height);
        }
        match self.decoder.decode(bytes, &mut self.decoded) {
            Err(e) if !e.left_a_picture() => {
                note(&self.stats, Err(e.into()));
                return self.size;
            }
            _ => {}
        }
        note(&self.stats, self.outgoing.send_picture(&self.decoded, capture.at, pause));
        self.own.show(&self.decoded, capture);
        (self.decoded.width, self.decoded.height)
    }
}

fn note(stats: &VideoSendStats, outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        // One line for each power of two keeps a camera that always fails from filling the log.
        let failed = stats.frames_failed.fetch_add(1, Ordering::Relaxed) + 1;
        if failed.is_power_of_two() {
            tracing::warn!(%error, failed, "frames of the camera cannot be sent");
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
    use crate::pipeline::video_send::{COMMANDS, EVENTS, StreamConfig};

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
        };
        let config = VideoSendConfig {
            camera: CameraSpec::None,
            want: (64, 48, 30),
            on: false,
            own_tile: Arc::default(),
            stream,
        };
        let stats = Arc::new(VideoSendStats::default());
        let outgoing = OutgoingVideo::new(config.stream.clone(), egress, &clock, stats.clone()).expect("an encoder");
        let ((_orders, commands), (told, events)) = (channel::bounded(COMMANDS), channel::bounded(EVENTS));
        let mut role = Role::new(config, outgoing, &clock, commands, told, &stats).expect("codecs");
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
