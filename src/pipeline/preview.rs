//! Thread role: the own camera and microphone, shown to their owner alone before anything is joined.
//!
//! ```text
//! Camera (newest frame) > planes > PictureSlot, at the size it is shown
//! Microphone > level
//! ```
//! Nothing is encoded and nothing sent. Dropping it closes both devices.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::device::camera::{Camera, CameraEvent, CameraSpec, Capture, CapturedFrame, WANT_DEFAULT};
use crate::device::clock::Clock;
use crate::device::sound::{Microphone, MicrophoneSpec, SoundEvent};
use crate::media::convert::Scaler;
use crate::media::jpeg::YuvDecoder;
use crate::media::mix::level_dbfs;
use crate::media::picture::{Picture, Yuv};
use crate::media::test_voice;
use crate::pipeline::slot::{PictureInfo, PictureSlot};

/// Longest wait for a picture: levels are read as often.
const STEP: Duration = Duration::from_millis(30);
/// Samples of a level: 20 ms.
const SAMPLES: usize = 960;
/// A level falls by so much a step, so that eyes can follow.
const FALL_DB: f32 = 2.0;
const SILENCE_DBFS: f32 = -127.0;
const COMMANDS: usize = 16;

/// How a camera fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CameraState {
    /// None is asked for.
    #[default]
    Off,
    /// It is being opened.
    Opening,
    /// Pictures come.
    Live,
    /// It does not work; why.
    Failed(String),
}

/// What is known of the devices.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewState {
    /// The camera.
    pub camera: CameraState,
    /// Level of the microphone, in dBFS.
    pub level_dbfs: f32,
    /// Why the microphone does not work, or which other one is used for it.
    pub microphone_trouble: Option<String>,
}

enum Command {
    Camera(CameraSpec),
    Microphone(MicrophoneSpec),
}

/// The thread, seen from outside.
pub struct Preview {
    commands: Option<Sender<Command>>,
    state: Arc<Mutex<PreviewState>>,
    slot: Arc<PictureSlot>,
    thread: Option<JoinHandle<()>>,
}

impl Preview {
    /// Opens both devices on a thread of their own. `name` stands on a test card.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(camera: CameraSpec, microphone: MicrophoneSpec, name: String, clock: Clock) -> std::io::Result<Self> {
        let (commands, asked) = bounded(COMMANDS);
        let silent = PreviewState { camera: CameraState::Off, level_dbfs: SILENCE_DBFS, microphone_trouble: None };
        let (state, slot) = (Arc::new(Mutex::new(silent)), Arc::<PictureSlot>::default());
        let role = Role { clock, name, state: Arc::clone(&state), slot: Arc::clone(&slot) };
        let run = move || role.run(camera, &microphone, &asked);
        let thread = std::thread::Builder::new().name("preview".into()).spawn(run)?;
        Ok(Self { commands: Some(commands), state, slot, thread: Some(thread) })
    }

    /// Another camera.
    pub fn camera(&self, spec: CameraSpec) {
        self.command(Command::Camera(spec));
    }

    /// Another microphone.
    pub fn microphone(&self, spec: MicrophoneSpec) {
        self.command(Command::Microphone(spec));
    }

    fn command(&self, command: Command) {
        // A device that hangs holds up its thread; whoever asks does not wait.
        let _ = self.commands.as_ref().map(|commands| commands.try_send(command));
    }

    /// How the devices fare.
    pub fn state(&self) -> PreviewState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest picture.
    pub fn picture(&self) -> &Arc<PictureSlot> {
        &self.slot
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Role {
    clock: Clock,
    name: String,
    state: Arc<Mutex<PreviewState>>,
    slot: Arc<PictureSlot>,
}

#[derive(Default)]
struct Pictures {
    scaler: Scaler,
    decoder: Option<YuvDecoder>,
    decoded: Yuv,
    picture: Picture,
}

impl Role {
    fn run(self, camera: CameraSpec, microphone: &MicrophoneSpec, asked: &Receiver<Command>) {
        let mut camera = self.open_camera(&camera);
        let mut microphone = self.open_microphone(microphone);
        let mut pictures = Pictures::default();
        loop {
            match asked.try_recv() {
                Ok(Command::Camera(spec)) => {
                    // The old one first: it may be the same device.
                    drop(camera);
                    camera = self.open_camera(&spec);
                }
                Ok(Command::Microphone(spec)) => {
                    drop(microphone);
                    microphone = self.open_microphone(&spec);
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            match camera.recv(STEP) {
                Some(CameraEvent::Frame(capture)) => {
                    self.show(&mut pictures, &capture);
                    camera.recycle(capture.frame);
                    self.note(|state| state.camera = CameraState::Live);
                }
                Some(CameraEvent::Failed { message, hint }) => {
                    let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
                    self.note(|state| state.camera = CameraState::Failed(format!("{message}{hint}")));
                }
                Some(CameraEvent::Opened(_) | CameraEvent::Retrying { .. }) | None => {}
            }
            if let Some(microphone) = &mut microphone {
                self.listen(microphone);
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut PreviewState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn open_camera(&self, spec: &CameraSpec) -> Camera {
        let off = *spec == CameraSpec::None;
        self.note(|state| state.camera = if off { CameraState::Off } else { CameraState::Opening });
        Camera::open(spec, WANT_DEFAULT, self.clock.clone(), &self.name)
    }

    fn open_microphone(&self, spec: &MicrophoneSpec) -> Option<Microphone> {
        let opened = Microphone::open(spec, test_voice::pitch_for(7), &self.clock);
        self.note(|state| {
            state.level_dbfs = SILENCE_DBFS;
            state.microphone_trouble = opened.as_ref().err().map(ToString::to_string);
        });
        opened.ok().filter(Microphone::exists)
    }

    fn show(&self, pictures: &mut Pictures, capture: &Capture) {
        let wanted = self.slot.wanted();
        if wanted.0 == 0 || wanted.1 == 0 {
            return;
        }
        let Pictures { scaler, decoder, decoded, picture } = pictures;
        let planes = match &capture.frame {
            CapturedFrame::Yuv(planes) => planes,
            CapturedFrame::Jpeg { bytes } => {
                if decoder.is_none() {
                    *decoder = YuvDecoder::new().ok();
                }
                let Some(decoder) = decoder else { return };
                // A damaged picture still shows its owner that the camera works.
                if decoder.decode(bytes, decoded).is_err_and(|e| !e.left_a_picture()) {
                    return;
                }
                decoded
            }
        };
        scaler.to_picture(planes, wanted, picture);
        let true_size = (planes.width, planes.height);
        self.slot.publish(picture, PictureInfo { number: 0, captured: None, arrived: capture.at, true_size });
    }

    fn listen(&self, microphone: &mut Microphone) {
        let mut loudest = SILENCE_DBFS;
        let mut frame = [0.0; SAMPLES];
        let now = self.clock.now();
        while microphone.read(now, &mut frame) {
            loudest = loudest.max(level_dbfs(&frame));
        }
        self.note(|state| state.level_dbfs = loudest.max(state.level_dbfs - FALL_DB).max(SILENCE_DBFS));
        while let Some(event) = microphone.event() {
            self.note(|state| state.microphone_trouble = trouble(event));
        }
    }
}

fn trouble(event: SoundEvent) -> Option<String> {
    match event {
        SoundEvent::Ready { instead, .. } => instead,
        SoundEvent::Failed { message, .. } => Some(message),
        SoundEvent::Absent => Some("no microphone was found".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_owner_is_told_of_another_microphone() {
        let ready =
            |instead: Option<&str>| SoundEvent::Ready { device: "USB".into(), instead: instead.map(str::to_owned) };
        let text = "microphone: headset is not there: USB is used instead";
        assert_eq!([None, Some(text)].map(|instead| trouble(ready(instead))), [None, Some(text.to_owned())]);
    }

    #[test]
    fn its_owner_sees_the_card_and_the_voice_moves_the_level() {
        let clock = Clock::system();
        let preview =
            Preview::start(CameraSpec::Test, MicrophoneSpec::Test, "Ada".into(), clock.clone()).expect("a thread");
        preview.picture().want(320, 180);
        let waker = Arc::default();
        preview.picture().wake_on_publish(&waker);
        let until = clock.now() + Duration::from_secs(20);
        let mut loudest = SILENCE_DBFS;
        while clock.now() < until && (preview.picture().published() < 3 || loudest < -60.0) {
            waker.wait(Duration::from_millis(100));
            loudest = loudest.max(preview.state().level_dbfs);
        }
        assert!(preview.picture().published() >= 3 && loudest >= -60.0, "{loudest}");
        assert_eq!(preview.state().camera, CameraState::Live);
        let mut picture = Picture::default();
        preview.picture().take(clock.now(), &mut picture);
        assert_eq!((picture.width, picture.height), (320, 180));
        preview.camera(CameraSpec::None);
        while clock.now() < until && preview.state().camera != CameraState::Off {
            waker.wait(Duration::from_millis(20));
        }
        assert_eq!(preview.state().camera, CameraState::Off);
    }
}
