//! Thread role: camera to network, and to the own tile.
//!
//! ```text
//!                                  ┌─ conforming JPEG ──────────────────────┬─> OutgoingVideo full
//! Camera (newest frame) ── frame ──┤                                        │
//!                                  ├─ planes, or a JPEG decoded to planes ──┴─> smaller ─> OutgoingVideo medium
//!                                  │                                              └─> smaller ─> OutgoingVideo thumb
//!                                  └─> PictureSlot of the own tile, at the size it is shown
//! ```
//! Each layer is a stream of its own: source, keys, group, port. A layer without a destination, which nobody wants, costs
//! nothing: it is neither scaled nor encoded, and a camera's JPEG is not even decoded when only `full` is wanted.
//!
//! One frame is in flight; what the camera delivers meanwhile replaces the frame that waits. A camera that is switched
//! off is closed and its stream says goodbye; one that fails is told about and tried again by its own thread, and
//! everything else goes on. Stopping takes as long as closing the camera does, which is bounded.

mod layers;
mod own;
pub mod pacer;
mod role;
pub mod stream;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel as channel;

pub use role::CameraStats;
use role::Role;
pub use stream::{Error, OutgoingVideo, StreamConfig, VideoSendStats};

use crate::device::camera::{CameraSpec, Want};
use crate::device::clock::Clock;
use crate::limits::JPEG_PACKETS_MAX;
use crate::pipeline::egress::Egress;
use crate::pipeline::slot::PictureSlot;
use crate::protocol::packetizer::VIDEO_PACKET_BYTES;
use crate::wire::Layer;

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
    /// The layers: each kind once. Those that would not be smaller than the camera's picture are not sent.
    pub layers: Vec<LayerConfig>,
}

/// One layer of the picture.
#[derive(Clone)]
pub struct LayerConfig {
    /// Which.
    pub layer: Layer,
    /// Its stream.
    pub stream: StreamConfig,
    /// Where it goes.
    pub egress: Egress,
}

/// How a layer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// JPEG quality, 1..=100, of frames that are encoded here.
    pub quality: u8,
    /// At most so many thousandths of frames a second.
    pub fps_milli: u32,
    /// Sides in sixteenths of the layer's own.
    pub sixteenths: u8,
    /// A camera's own JPEG may be sent as it is.
    pub pass: bool,
}

impl Tuning {
    /// As the camera gives it.
    pub fn full(quality: u8) -> Self {
        Self { quality, fps_milli: u32::MAX, sixteenths: 16, pass: true }
    }
}

enum Command {
    Camera(bool),
    Tune(Layer, Tuning),
    Streams(Vec<(Layer, StreamConfig)>),
    Stop,
}

/// The sending thread, seen from outside. Dropping it closes the camera, says goodbye and joins the thread.
pub struct VideoSend {
    commands: channel::Sender<Command>,
    events: channel::Receiver<VideoSendEvent>,
    stats: Vec<(Layer, Arc<VideoSendStats>)>,
    camera: Arc<CameraStats>,
    thread: Option<JoinHandle<()>>,
}

impl VideoSend {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no memory for the codec or no thread.
    pub fn start(config: VideoSendConfig, clock: &Clock) -> std::io::Result<Self> {
        let (commands, command_receiver) = channel::bounded(COMMANDS);
        let (event_sender, events) = channel::bounded(EVENTS);
        let mut role = Role::new(config, clock, command_receiver, event_sender)?;
        let (stats, camera) = (role.stats(), role.camera_stats());
        let thread = std::thread::Builder::new().name("video-send".into()).spawn(move || role.run())?;
        Ok(Self { commands, events, stats, camera, thread: Some(thread) })
    }

    /// Opens the camera, or closes it and ends the stream for now.
    pub fn camera(&self, on: bool) {
        self.command(Command::Camera(on));
    }

    /// Sends a layer otherwise from the next frame on.
    pub fn tune(&self, layer: Layer, tuning: Tuning) {
        self.command(Command::Tune(layer, tuning));
    }

    /// The layers go on as other streams, with other keys; the camera stays open.
    pub fn streams(&self, streams: Vec<(Layer, StreamConfig)>) {
        self.command(Command::Streams(streams));
    }

    /// What happened to the camera.
    pub fn events(&self) -> &channel::Receiver<VideoSendEvent> {
        &self.events
    }

    /// Figures of each layer.
    pub fn stats(&self) -> &[(Layer, Arc<VideoSendStats>)] {
        &self.stats
    }

    /// Figures of the camera.
    pub fn camera_stats(&self) -> &Arc<CameraStats> {
        &self.camera
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
