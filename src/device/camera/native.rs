//! The system's cameras, through nokhwa: Video4Linux, Media Foundation, AVFoundation.
//!
//! What nokhwa does that matters here: a frame is the driver's whole buffer, with an older picture's bytes behind the
//! picture, so JPEGs are cut at their end and raw pictures at their size; a camera that falls silent blocks for ever; and
//! frame intervals like 1001/30000 s are not listed, so a format is tried that was not listed before giving up.

use nokhwa::utils::{CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution};
use nokhwa::{Camera, NokhwaError};

use super::fit::Fit;
use super::mailbox::Mailbox;
use super::{CameraError, Capture, Opened, Source, Want};
use crate::device::clock::Clock;
use crate::media::convert::{self, Order, Range};

/// Formats that can be read, the best first.
const FORMATS: [FrameFormat; 6] = [
    FrameFormat::MJPEG,
    FrameFormat::NV12,
    FrameFormat::YUYV,
    FrameFormat::RAWRGB,
    FrameFormat::RAWBGR,
    FrameFormat::GRAY,
];
/// Listed formats tried before giving up: drivers refuse some of what they list.
const TRIES_MAX: usize = 6;
/// Pictures in a row that cannot be read before the camera is said to have failed. The first ones of many are broken.
const UNREADABLE_MAX: u32 = 90;

/// A camera of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// The number that `--camera` takes.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Where it is attached, as the system tells it.
    pub description: String,
}

/// The cameras of this machine by number; empty when there is none.
pub fn list() -> Result<Vec<CameraInfo>, CameraError> {
    let Some(system) = nokhwa::native_api_backend() else {
        return Err(CameraError::new("cameras are not supported on this system"));
    };
    let found = nokhwa::query(system).map_err(|e| explain("cannot list the cameras", &e))?;
    let mut cameras: Vec<CameraInfo> = found
        .iter()
        .filter_map(|info| {
            let index = info.index().as_index().ok()?;
            Some(CameraInfo { index, name: info.human_name(), description: info.description().to_owned() })
        })
        .collect();
    cameras.sort_by_key(|camera| camera.index);
    Ok(cameras)
}

pub(super) struct NativeSource {
    camera: Camera,
    name: String,
    format: FrameFormat,
    size: (usize, usize),
    fps: u32,
    clock: Clock,
    unreadable: u32,
}

impl NativeSource {
    /// Opens the first camera that can be opened.
    pub fn open_any(want: Want, clock: Clock, mailbox: &Mailbox) -> Result<Self, CameraError> {
        ask_permission(mailbox)?;
        let mut failure = CameraError::new("no camera was found")
            .hint("plug one in, or choose another source: --camera test, --camera FILE, --camera none");
        // Several of a camera's nodes may give no pictures; the first failure of all tells most.
        for (i, camera) in list()?.iter().enumerate() {
            match Self::open(camera.index, want, clock.clone()) {
                Ok(source) => return Ok(source),
                Err(e) if i == 0 => failure = e,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Opens camera number `index` in the format nearest to what is wanted.
    pub fn open(index: u32, want: Want, clock: Clock) -> Result<Self, CameraError> {
        let what = format!("cannot open camera {index}");
        let mut camera = open_somehow(index, want).map_err(|e| explain(&what, &e))?;
        let listed = camera.compatible_camera_formats().unwrap_or_default();
        for format in rank(&listed, want).into_iter().take(TRIES_MAX) {
            let request = RequestedFormat::with_formats(RequestedFormatType::Exact(format), &FORMATS);
            if camera.camera_format() == format || camera.set_camera_requset(request).is_ok() {
                break;
            }
        }
        // A refused format may have changed something nonetheless; without an answer the last known format stands.
        let _ = camera.refresh_camera_format();
        camera.open_stream().map_err(|e| explain(&what, &e))?;
        let format = camera.camera_format();
        Ok(Self {
            name: camera.info().human_name(),
            format: format.format(),
            size: (format.width() as usize, format.height() as usize),
            fps: format.frame_rate(),
            camera,
            clock,
            unreadable: 0,
        })
    }
}

impl Source for NativeSource {
    fn opened(&self) -> Opened {
        Opened {
            description: self.name.clone(),
            size: Some(self.size),
            fps: f64::from(self.fps),
            format: self.format.to_string(),
        }
    }

    fn next(&mut self, _: &Mailbox, fit: &mut Fit) -> Result<Option<Capture>, CameraError> {
        let stopped = |e: NokhwaError, name: &str| explain(&format!("camera {name} stopped"), &e);
        let buffer = self.camera.frame_raw().map_err(|e| stopped(e, &self.name))?;
        let (at, wall) = (self.clock.now(), self.clock.wall());
        let (width, height) = self.size;
        let raw = |e: convert::Mismatch| e.to_string();
        let frame = match self.format {
            FrameFormat::MJPEG => fit.jpeg(&buffer).map_err(|e| e.to_string()),
            FrameFormat::YUYV => {
                fit.planes(|out| convert::yuyv_to_yuv(&buffer, width, height, Range::Limited, out)).map_err(raw)
            }
            FrameFormat::NV12 => {
                fit.planes(|out| convert::nv12_to_yuv(&buffer, width, height, Range::Limited, out)).map_err(raw)
            }
            FrameFormat::RAWRGB => {
                fit.planes(|out| convert::rgb24_to_yuv(&buffer, width, height, Order::Rgb, out)).map_err(raw)
            }
            FrameFormat::RAWBGR => {
                fit.planes(|out| convert::rgb24_to_yuv(&buffer, width, height, Order::Bgr, out)).map_err(raw)
            }
            FrameFormat::GRAY => {
                fit.planes(|out| convert::grey_to_yuv(&buffer, width, height, Range::Full, out)).map_err(raw)
            }
        };
        match frame {
            Ok(frame) => {
                self.unreadable = 0;
                Ok(Some(Capture { frame, at, wall }))
            }
            Err(reason) => {
                self.unreadable += 1;
                tracing::debug!(camera = %self.name, "a picture cannot be read: {reason}");
                match self.unreadable < UNREADABLE_MAX {
                    true => Ok(None),
                    false => Err(CameraError::new(format!(
                        "camera {} sends pictures that cannot be read: {reason}",
                        self.name
                    ))),
                }
            }
        }
    }
}

/// Opens the camera in any format at all, from which its list of formats can be had.
fn open_somehow(index: u32, want: Want) -> Result<Camera, NokhwaError> {
    let index = CameraIndex::Index(index);
    let first = Camera::new(index.clone(), RequestedFormat::with_formats(RequestedFormatType::None, &FORMATS));
    let Err(NokhwaError::GetPropertyError { .. } | NokhwaError::SetPropertyError { .. }) = &first else {
        return first;
    };
    let sizes = [(want.0 as u32, want.1 as u32), (640, 480)];
    let guesses = sizes.into_iter().flat_map(|size| FORMATS.into_iter().map(move |format| (size, format)));
    for ((width, height), format) in guesses {
        let guess = CameraFormat::new(Resolution::new(width, height), format, want.2);
        let request = RequestedFormat::with_formats(RequestedFormatType::Exact(guess), &FORMATS);
        if let Ok(camera) = Camera::new(index.clone(), request) {
            return Ok(camera);
        }
    }
    first
}

/// The formats that can be read, the best for what is wanted first: fast enough, then not larger than wanted, then the
/// nearest size, then the format that costs least, then the nearest rate.
fn rank(formats: &[CameraFormat], (width, height, fps): Want) -> Vec<CameraFormat> {
    let mut ranked: Vec<CameraFormat> = formats.iter().filter(|f| FORMATS.contains(&f.format())).copied().collect();
    ranked.sort_by_key(|format| {
        let (w, h, rate) = (format.width() as usize, format.height() as usize, format.frame_rate());
        // Of a camera that is never fast enough, the fastest.
        let too_slow = if rate * 5 >= fps * 4 { 0 } else { fps - rate };
        let too_large = w > width || h > height;
        let distance = (width * height).abs_diff(w * h);
        let cost = FORMATS.iter().position(|f| *f == format.format());
        (too_slow, too_large, distance, cost, rate.abs_diff(fps))
    });
    ranked.dedup();
    ranked
}

/// Says in plain words what the system said, with what can be done about it.
fn explain(what: &str, error: &NokhwaError) -> CameraError {
    let reason = match error {
        NokhwaError::OpenDeviceError(_, reason)
        | NokhwaError::OpenStreamError(reason)
        | NokhwaError::ReadFrameError(reason)
        | NokhwaError::GeneralError(reason)
        | NokhwaError::GetPropertyError { error: reason, .. }
        | NokhwaError::SetPropertyError { error: reason, .. }
        | NokhwaError::InitializeError { error: reason, .. } => reason.trim_start_matches("V4L2 Error: ").to_owned(),
        other => other.to_string(),
    };
    // What the binding says of a camera whose list of formats is empty or of no use.
    let reason = if reason.contains("Fufill") { "it offers no format that can be read".to_owned() } else { reason };
    let failed = CameraError::new(format!("{what}: {reason}"));
    let said = reason.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["permission denied", "os error 13", "access is denied", "not permitted"]) {
        return failed
            .hint("allow this program to use the camera; on Linux: sudo usermod -aG video $USER, then log in again");
    }
    if says(&["busy", "os error 16", "in use"]) {
        return failed.hint("another program uses the camera; close it");
    }
    if says(&["no such file", "os error 2)"]) {
        return failed.hint("there is no camera of that number; see roundtable devices");
    }
    if says(&["no such device", "os error 19"]) {
        return failed.hint("the camera was unplugged; plug it in again");
    }
    failed
}

/// On macOS the user is asked once, and nothing works before that.
#[cfg(target_os = "macos")]
fn ask_permission(mailbox: &Mailbox) -> Result<(), CameraError> {
    use std::sync::mpsc::{RecvTimeoutError, sync_channel};
    use std::time::Duration;

    let (answer, answered) = sync_channel(1);
    nokhwa::nokhwa_initialize(move |granted| drop(answer.try_send(granted)));
    loop {
        match answered.recv_timeout(Duration::from_millis(200)) {
            Ok(true) => return Ok(()),
            Err(RecvTimeoutError::Timeout) if !mailbox.stopped() => {}
            _ => {
                return Err(CameraError::new("the system does not let this program use the camera")
                    .hint("allow it in System Settings, Privacy & Security, Camera"));
            }
        }
    }
}

#[cfg(not(target_os = "macos"))]
fn ask_permission(_: &Mailbox) -> Result<(), CameraError> {
    Ok(())
}

#[cfg(test)]
mod tests;
