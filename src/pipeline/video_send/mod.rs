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

mod own;
pub mod pacer;
mod role;
pub mod stream;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel as channel;

use role::Role;
pub use stream::{Error, OutgoingVideo, StreamConfig, VideoSendStats};

use crate::device::camera::{CameraSpec, Want};
use crate::device::clock::Clock;
use crate::limits::JPEG_PACKETS_MAX;
use crate::pipeline::egress::Egress;
use crate::pipeline::slot::PictureSlot;
use crate::protocol::packetizer::VIDEO_PACKET_BYTES;

/// JPEG quality a stream starts with.
pub const QUALITY_START: u8 = 65;
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
