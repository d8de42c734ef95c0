//! Cameras, and what stands in for one: a test card, a video file, a folder of pictures.
//!
//! ```text
//! camera thread: open -> read -> fit -> [ newest frame, capacity one; a few events ] -> recv()   pipeline thread
//!                  ^  failed: say so, wait 0.5, 1, 2, 4, 8, 8 .. seconds, again
//! ```
//! A device is opened, read and dropped on its own thread. Some drivers block for ever when the camera falls silent;
//! that thread is then left alone: [`Camera::recv`] notices that nothing comes and says so, and dropping a [`Camera`]
//! never waits for more than a moment.
//!
//! Frames are JPEGs that RFC 2435 can carry as they are, or planes; neither is larger than was wanted. Memory goes round:
//! what [`Camera::recycle`] takes back is filled again.

mod file;
mod fit;
mod mailbox;
mod native;
mod spec;
mod test;

pub use native::{CameraInfo, list};
pub use spec::{CameraSpec, NotACamera};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::device::clock::Clock;
use crate::media::picture::Yuv;
use crate::time::{NtpTime, Timestamp};
use fit::Fit;
use mailbox::Mailbox;

/// Columns, rows and frames a second wanted of a camera.
pub type Want = (usize, usize, u32);

/// What is wanted unless somebody says otherwise.
pub const WANT_DEFAULT: Want = (1280, 720, 30);

/// How long dropping a camera waits for its thread.
const FAREWELL: Duration = Duration::from_millis(300);

/// A picture as the camera gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapturedFrame {
    /// A JPEG, from SOI to EOI, that conforms to what RFC 2435 carries.
    Jpeg {
        /// The whole file.
        bytes: Vec<u8>,
    },
    /// Planes of even sides in full range.
    Yuv(Yuv),
}

/// A picture and the moment it was taken, on both clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The picture.
    pub frame: CapturedFrame,
    /// When, on the monotonic clock.
    pub at: Timestamp,
    /// When, on the wall clock.
    pub wall: NtpTime,
}

/// What a camera has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum CameraEvent {
    /// It was opened and is about to give frames.
    Opened(Opened),
    /// The newest frame; older ones not received in time are gone.
    Frame(Capture),
    /// It cannot be opened, or stopped. The text is for people.
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
}

/// What was opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The camera's or file's name.
    pub description: String,
    /// Columns and rows the source gives; frames received are at most as large as wanted.
    pub size: Option<(usize, usize)>,
    /// Frames a second.
    pub fps: f64,
    /// `MJPEG`, `YUYV` and so on.
    pub format: String,
}

/// A camera that could not be opened or stopped working.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CameraError {
    /// What failed, on what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl CameraError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// An opened source of pictures; lives on the camera's thread.
trait Source {
    fn opened(&self) -> Opened;

    /// Waits for the next picture and hands it to `fit`, with the moment it was taken; `Ok(None)` when the camera is to
    /// stop or the picture is of no use.
    fn next(&mut self, mailbox: &Mailbox, fit: &mut Fit) -> Result<Option<Capture>, CameraError>;
}

/// A running camera. Dropping it stops it.
pub struct Camera {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

/// What [`Camera::open`] returns.
pub type CameraHandle = Camera;

impl Camera {
    /// Starts a camera on a thread of its own; returns at once, whatever the device does. `name` is the participant's,
    /// shown on the test card.
    pub fn open(spec: &CameraSpec, want: Want, clock: Clock, name: &str) -> Camera {
        if *spec == CameraSpec::None {
            return Camera { mailbox: Arc::new(Mailbox::new(clock)), thread: None };
        }
        let job = Job { spec: spec.clone(), want: sensible(want), clock: clock.clone(), name: name.to_owned() };
        Camera::start(clock, move |mailbox| job.run(mailbox))
    }

    fn start(clock: Clock, run: impl FnOnce(&Mailbox) + Send + 'static) -> Camera {
        let mailbox = Arc::new(Mailbox::new(clock));
        let shared = Arc::clone(&mailbox);
        let spawned = std::thread::Builder::new().name("camera".into()).spawn(move || {
            run(&shared);
            shared.exited();
        });
        if let Err(e) = &spawned {
            mailbox.fail(CameraError::new(format!("no thread for the camera: {e}")));
        }
        Camera { mailbox, thread: spawned.ok() }
    }

    /// The next event: news first, then the newest frame. `None` when nothing came within `timeout`.
    ///
    /// A camera that gives no frame for three seconds is reported as [`CameraEvent::Failed`] once.
    pub fn recv(&self, timeout: Duration) -> Option<CameraEvent> {
        self.mailbox.recv(timeout)
    }

    /// Gives a frame's memory back to be filled again.
    pub fn recycle(&self, frame: CapturedFrame) {
        self.mailbox.recycle(frame);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.mailbox.stop();
        let Some(thread) = self.thread.take() else { return };
        match self.mailbox.wait_for_exit(FAREWELL) {
            // It is past its last wait, so this takes no time.
            true => drop(thread.join()),
            false => tracing::warn!("the camera's driver does not answer; its thread is left behind"),
        }
    }
}

/// Bounds what is asked of the source.
fn sensible((width, height, fps): Want) -> Want {
    let side = |pixels: usize| pixels.clamp(16, crate::limits::JPEG_SIDE_PIXELS_MAX) & !1;
    (side(width), side(height), fps.clamp(1, 120))
}

/// Everything the camera's thread knows.
struct Job {
    spec: CameraSpec,
    want: Want,
    clock: Clock,
    name: String,
}

impl Job {
    fn run(&self, mailbox: &Mailbox) {
        let mut fit = Fit::new(self.want);
        keep_trying(&self.spec.to_string(), mailbox, |retry| self.session(mailbox, &mut fit, retry));
    }

    /// Opens the source and reads it until it is to stop.
    fn session(&self, mailbox: &Mailbox, fit: &mut Fit, retry: &mut Retry) -> Result<(), CameraError> {
        let mut source = self.source(mailbox)?;
        mailbox.opened(source.opened());
        while !mailbox.stopped() {
            fit.supply(mailbox.spare());
            if let Some(capture) = source.next(mailbox, fit)? {
                mailbox.publish(capture);
                retry.reset();
            }
        }
        Ok(())
    }

    fn source(&self, mailbox: &Mailbox) -> Result<Box<dyn Source>, CameraError> {
        let clock = self.clock.clone();
        Ok(match &self.spec {
            CameraSpec::Test => Box::new(test::TestSource::new(self.want, &self.name, clock)),
            CameraSpec::File(path) => Box::new(file::FileSource::open(path, clock)?),
            CameraSpec::Index(index) => Box::new(native::NativeSource::open(*index, self.want, clock)?),
            CameraSpec::Auto => Box::new(native::NativeSource::open_any(self.want, clock, mailbox)?),
            CameraSpec::None => return Err(CameraError::new("no camera was asked for")),
        })
    }
}

/// Runs `session` until it ends well or the camera is to stop, telling of each failure and waiting after it.
fn keep_trying(name: &str, mailbox: &Mailbox, mut session: impl FnMut(&mut Retry) -> Result<(), CameraError>) {
    let mut retry = Retry::default();
    while !mailbox.stopped() {
        mailbox.opening();
        // A panic in a driver's binding is a failure of that camera, not of the program.
        let error = match catch_unwind(AssertUnwindSafe(|| session(&mut retry))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => CameraError::new(format!("camera {name}: its driver failed unexpectedly")),
        };
        tracing::warn!(camera = name, "{error}");
        mailbox.fail(error);
        let after = retry.next();
        mailbox.retrying(after);
        mailbox.wait_for(after);
    }
}

/// Waits before trying again: 0.5, 1, 2, 4, 8, 8 .. seconds.
#[derive(Default)]
struct Retry {
    failures: u32,
}

impl Retry {
    fn next(&mut self) -> Duration {
        let after = Duration::from_millis(500 << self.failures.min(4));
        self.failures += 1;
        after
    }

    fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Gives out the moments at which pictures of a source without a clock of its own are due.
struct Pacer {
    interval_ns: u64,
    due: Option<Timestamp>,
}

impl Pacer {
    fn new(fps: f64) -> Self {
        Self { interval_ns: (1e9 / fps.clamp(0.1, 120.0)) as u64, due: None }
    }

    /// The moment of the next picture. One that was missed is left out, not made up for.
    fn next(&mut self, now: Timestamp) -> Timestamp {
        let interval = Duration::from_nanos(self.interval_ns);
        let due = match self.due {
            None => now,
            Some(last) if now.since(last) > 2 * interval => now,
            Some(last) => last + interval,
        };
        self.due = Some(due);
        due
    }
}

#[cfg(test)]
mod tests;
