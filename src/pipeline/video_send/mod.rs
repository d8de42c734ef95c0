//! Thread role: camera to network, and to the own tile.
//!
//! ```text
//!                                  ┌─ conforming JPEG ─────────────────────┐
//! Camera (newest frame) ── frame ──┤                                       ├─> OutgoingVideo ─> packets, paced
//!                                  └─ planes, or a JPEG decoded to planes ─┘
//!                                  └─> PictureSlot of the own tile, at the size it is shown
//! ```
//! One frame is in flight; what the camera delivers meanwhile replaces the frame that waits. A camera that is switched
//! off is closed and its stream says goodbye; one that fails is told about and tried again by its own thread, and
//! everything else goes on. Stopping takes as long as closing the camera does, which is bounded.

pub mod pacer;
pub mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel as channel;

pub use stream::{Error, OutgoingVideo, StreamConfig, VideoSendStats};

use crate::device::camera::{Camera, CameraEvent, CameraSpec, Capture, CapturedFrame, Want};
use crate::device::clock::Clock;
use crate::limits::JPEG_PACKETS_MAX;
use crate::media::convert::Scaler;
use crate::media::jpeg::{self, BandDecoder, Conforming, YuvDecoder, conformance};
use crate::media::picture::{Picture, Yuv};
use crate::pipeline::egress::Egress;
use crate::pipeline::slot::{PictureInfo, PictureSlot};
use crate::protocol::packetizer::VIDEO_PACKET_BYTES;

/// JPEG quality a stream starts with.
pub const QUALITY_START: u8 = 65;
/// Longest a command waits while the camera gives no frames.
const COMMAND_WAIT: Duration = Duration::from_millis(50);
/// Events kept for a reader who is late; newer ones are dropped.
const EVENTS: usize = 64;
/// Commands kept; more are refused.
const COMMANDS: usize = 64;
/// Longest scan passed through. The headers of a packet take 24 bytes, of the first 132 more.
const PASSED_BYTES_MAX: usize = (JPEG_PACKETS_MAX - 1) * (VIDEO_PACKET_BYTES - 24);

/// What the sender of the own picture has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum VideoSendEvent {
    /// Pictures come, of this size from now on.
    Working {
        /// The camera's or file's name.
        camera: String,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Frames a second, as the camera promises.
        fps: f64,
    },
    /// The camera cannot be opened, or stopped working.
    Failed {
        /// What failed, on what.
        message: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// It will be tried again after this long.
    Retrying {
        /// Time until then.
        after: Duration,
    },
    /// The camera is switched off and closed.
    Off,
}

/// What to capture and how to send it.
#[derive(Clone)]
pub struct VideoSendConfig {
    /// Which camera.
    pub camera: CameraSpec,
    /// Columns, rows and frames a second wanted; frames are sent at most as large.
    pub want: Want,
    /// Whether the camera is on from the start.
    pub on: bool,
    /// Where the own tile's pictures go.
    pub own_tile: Arc<PictureSlot>,
    /// The stream.
    pub stream: StreamConfig,
}

enum Command {
    Camera(bool),
    Quality(u8),
    Stream(Box<StreamConfig>),
    Stop,
}

/// The sending thread, seen from outside. Dropping it closes the camera, says goodbye and joins the thread.
pub struct VideoSend {
    commands: channel::Sender<Command>,
    events: channel::Receiver<VideoSendEvent>,
    stats: Arc<VideoSendStats>,
    thread: Option<JoinHandle<()>>,
}

impl VideoSend {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no memory for the codec or no thread.
    pub fn start(config: VideoSendConfig, egress: Egress, clock: &Clock) -> std::io::Result<Self> {
        let stats = Arc::new(VideoSendStats::default());
        let (commands, command_receiver) = channel::bounded(COMMANDS);
        let (event_sender, events) = channel::bounded(EVENTS);
        let outgoing = OutgoingVideo::new(config.stream.clone(), egress, clock, stats.clone());
        let outgoing = outgoing.map_err(std::io::Error::other)?;
        let mut role = Role::new(config, outgoing, clock, command_receiver, event_sender, &stats)?;
        let thread = std::thread::Builder::new().name("video-send".into()).spawn(move || role.run())?;
        Ok(Self { commands, events, stats, thread: Some(thread) })
    }

    /// Opens the camera, or closes it and ends the stream for now.
    pub fn camera(&self, on: bool) {
        self.command(Command::Camera(on));
    }

    /// Sets the JPEG quality, 1..=100, of frames that are encoded here.
    pub fn quality(&self, quality: u8) {
        self.command(Command::Quality(quality));
    }

    /// Goes on as another stream, with other keys; the camera stays open.
    pub fn stream(&self, stream: StreamConfig) {
        self.command(Command::Stream(Box::new(stream)));
    }

    /// What happened to the camera.
    pub fn events(&self) -> &channel::Receiver<VideoSendEvent> {
        &self.events
    }

    /// Figures of the stream.
    pub fn stats(&self) -> &Arc<VideoSendStats> {
        &self.stats
    }

    fn command(&self, command: Command) {
        // A full queue means that the thread hangs in the camera's driver; a closed one that it has ended.
        if self.commands.try_send(command).is_err() {
            tracing::warn!("the video thread takes no commands");
        }
        if let Some(thread) = &self.thread {
            // It may be pausing between packets.
            thread.thread().unpark();
        }
    }
}

impl Drop for VideoSend {
    fn drop(&mut self) {
        self.command(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to be stopped.
            let _ = thread.join();
        }
    }
}

struct Role {
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
    fn new(
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

    fn run(&mut self) {
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

/// The own tile: the camera's picture at the size shown, without the way over the network.
struct OwnPicture {
    slot: Arc<PictureSlot>,
    scaler: Scaler,
    decoder: BandDecoder,
    picture: Picture,
}

impl OwnPicture {
    fn new(slot: Arc<PictureSlot>) -> Result<Self, jpeg::Error> {
        Ok(Self { slot, scaler: Scaler::default(), decoder: BandDecoder::new()?, picture: Picture::default() })
    }

    fn wanted(&self) -> Option<(usize, usize)> {
        Some(self.slot.wanted()).filter(|w| w.0 > 0 && w.1 > 0)
    }

    fn show(&mut self, picture: &Yuv, capture: &Capture) {
        if let Some(wanted) = self.wanted() {
            self.scaler.to_picture(picture, wanted, &mut self.picture);
            self.publish(capture, (picture.width, picture.height));
        }
    }

    fn show_jpeg(&mut self, jpeg: &Conforming, capture: &Capture) {
        let Some(wanted) = self.wanted() else { return };
        let shown = self.decoder.begin(jpeg.params(), wanted).and_then(|()| self.decoder.push(jpeg.scan, true));
        // A damaged picture still shows its owner that the camera works.
        if shown.map_or_else(|e| e.left_a_picture(), |_| true) {
            self.decoder.take(&mut self.picture);
            self.publish(capture, (jpeg.width, jpeg.height));
        }
    }

    fn publish(&mut self, capture: &Capture, true_size: (usize, usize)) {
        let info = PictureInfo { number: 0, captured: Some(capture.wall), arrived: capture.at, true_size };
        self.slot.publish(&mut self.picture, info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::net::{Interface, UdpSocket};
    use crate::media::picture::Chroma;
    use crate::pipeline::egress::Destination;

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
