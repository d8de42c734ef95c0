//! Thread role: a voice message in the making.
//!
//! ```text
//! audio-send: each frame captured, muted or not > queue (2.5 s, newest dropped) ┐
//!                                                a microphone of its own ───────┴> 20 ms > Opus > Ogg > VoiceMessage
//! ```
//! It ends when told to, when it is as long as it may be, or when the microphone goes away; what was recorded until then
//! is the message. Dropping the [`Recorder`] throws it away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use crate::device::clock::Clock;
use crate::device::sound::{Microphone, MicrophoneSpec, SoundEvent};
use crate::media::mix::SILENCE_DBFS;
use crate::media::voice_message::{self, FRAME, Recording, VoiceMessage};
use crate::media::wav;

/// Frames that may wait: 2.5 s of 20 ms, or half as much.
const FRAMES: usize = 128;
/// What a microphone of one's own tells and nobody has asked for yet.
const EVENTS: usize = 16;
/// Longest wait for a microphone of one's own.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What was captured at once: 10 or 20 ms.
#[derive(Clone, Copy)]
pub struct Frame {
    samples: [f32; FRAME],
    length: usize,
}

impl Frame {
    /// Of at most [`FRAME`] samples at 48 kHz; what is more is left out.
    pub fn new(samples: &[f32]) -> Self {
        let mut frame = Self { samples: [0.0; FRAME], length: samples.len().min(FRAME) };
        frame.samples.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        frame
    }

    /// The samples.
    pub fn samples(&self) -> &[f32] {
        &self.samples[..self.length]
    }
}

/// Where frames wait to be recorded: an end for whoever captures them, and one for the recorder.
pub fn queue() -> (Sender<Frame>, Receiver<Frame>) {
    bounded(FRAMES)
}

/// Where the voice comes from.
pub enum Source {
    /// From the voice that is sent.
    Shared(Receiver<Frame>),
    /// A microphone opened for this alone; with the pitch of the simulated one.
    Own(MicrophoneSpec, f32),
}

/// A voice message cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The WAV file that stands for the microphone.
    #[error("microphone: {0}")]
    File(#[from] wav::Error),
    /// The codec or the file.
    #[error(transparent)]
    Message(#[from] voice_message::Error),
    /// No thread could be made.
    #[error("no thread for the voice message: {0}")]
    Thread(#[from] io::Error),
}

/// How it goes; read at any time from any thread.
#[derive(Debug)]
pub struct RecordFigures {
    ms: AtomicU32,
    level: AtomicU32,
}

impl RecordFigures {
    /// Milliseconds recorded.
    pub fn ms(&self) -> u32 {
        self.ms.load(Ordering::Relaxed)
    }

    /// How loud it is.
    pub fn level_dbfs(&self) -> f32 {
        f32::from_bits(self.level.load(Ordering::Relaxed))
    }
}

/// A [`Source`] that is open.
enum Frames {
    Shared(Receiver<Frame>),
    Own(Microphone),
}

/// The recording thread, seen from outside.
pub struct Recorder {
    end: Option<Sender<()>>,
    outcome: Receiver<Result<VoiceMessage, Error>>,
    events: Receiver<SoundEvent>,
    figures: Arc<RecordFigures>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts recording, `ms_max` at most. `serial` is random.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(source: Source, ms_max: u32, serial: u32, clock: &Clock) -> Result<Self, Error> {
        let recording = Recording::new(serial, ms_max)?;
        let figures = Arc::new(RecordFigures { ms: AtomicU32::new(0), level: AtomicU32::new(SILENCE_DBFS.to_bits()) });
        let (end, ended) = bounded(1);
        let (done, outcome) = bounded(1);
        let (events_in, events) = bounded(EVENTS);
        let mut role = Role { recording, figures: Arc::clone(&figures), ended, events: events_in };
        let frames = match source {
            Source::Own(spec, pitch_hz) => Frames::Own(Microphone::open(&spec, pitch_hz, clock)?),
            Source::Shared(frames) => Frames::Shared(frames),
        };
        let clock = clock.clone();
        let run = move || {
            let going = match frames {
                Frames::Shared(frames) => role.shared(&frames),
                Frames::Own(microphone) => role.own(microphone, &clock),
            };
            let outcome = match going {
                Ok(true) => role.recording.finish().map_err(Error::from),
                Ok(false) => return,
                Err(error) => Err(error),
            };
            // Nobody waits for it any more when it was thrown away.
            let _ = done.send(outcome);
        };
        let thread = std::thread::Builder::new().name("record".into()).spawn(run)?;
        Ok(Self { end: Some(end), outcome, events, figures, thread: Some(thread) })
    }

    /// Ends it; [`outcome`](Self::outcome) follows.
    pub fn finish(&self) {
        // A second time is once too often, and no harm.
        let _ = self.end.as_ref().map(|end| end.try_send(()));
    }

    /// How it goes.
    pub fn figures(&self) -> &RecordFigures {
        &self.figures
    }

    /// What happened to a microphone of its own since it was asked last.
    pub fn event(&self) -> Option<SoundEvent> {
        self.events.try_recv().ok()
    }

    /// What came of it, once it has ended.
    pub fn outcome(&self) -> Option<Result<VoiceMessage, Error>> {
        self.outcome.try_recv().ok()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // The end of the channel throws it away.
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Role {
    recording: Recording,
    figures: Arc<RecordFigures>,
    ended: Receiver<()>,
    events: Sender<SoundEvent>,
}

impl Role {
    /// Takes what another thread captures. Whether it is to be a message.
    fn shared(&mut self, frames: &Receiver<Frame>) -> Result<bool, Error> {
        while !self.recording.is_full() {
            select! {
                recv(frames) -> frame => match frame {
                    Ok(frame) => self.take(frame.samples())?,
                    Err(_) => break,
                },
                recv(self.ended) -> end => {
                    if end.is_err() {
                        return Ok(false);
                    }
                    while let Ok(frame) = frames.try_recv() {
                        self.take(frame.samples())?;
                    }
                    break;
                }
            }
        }
        Ok(true)
    }

    /// Captures by itself.
    fn own(&mut self, mut microphone: Microphone, clock: &Clock) -> Result<bool, Error> {
        let mut frame = [0.0; FRAME];
        while !self.recording.is_full() {
            let now = clock.now();
            while microphone.read(now, &mut frame) {
                self.take(&frame)?;
            }
            while let Some(event) = microphone.event() {
                // Nobody asks for events: they need not wait here.
                let _ = self.events.try_send(event);
            }
            match self.ended.recv_timeout(microphone.wait(now, FRAME).min(WAIT_MAX)) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn take(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.recording.push(samples)?;
        self.figures.ms.store(self.recording.ms(), Ordering::Relaxed);
        self.figures.level.store(self.recording.level_dbfs().to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(recorder: &Recorder) -> Result<VoiceMessage, Error> {
        recorder.outcome.recv_timeout(Duration::from_secs(30)).expect("an outcome")
    }

    #[test]
    fn what_waits_when_it_ends_is_in_it() {
        let (captured, frames) = queue();
        let recorder = Recorder::start(Source::Shared(frames), 60_000, 1, &Clock::system()).unwrap();
        for _ in 0..50 {
            captured.send(Frame::new(&[0.1; FRAME])).unwrap();
        }
        recorder.finish();
        assert_eq!(outcome(&recorder).unwrap().ms, 1_000);
        assert_eq!(recorder.figures().ms(), 1_000);
        assert!((recorder.figures().level_dbfs() + 20.0).abs() < 0.1);
    }

    #[test]
    fn it_ends_by_itself_at_its_length_and_when_the_microphone_goes() {
        let (captured, frames) = queue();
        let recorder = Recorder::start(Source::Shared(frames), 50, 1, &Clock::system()).unwrap();
        while captured.send(Frame::new(&[0.1; 480])).is_ok() {}
        assert_eq!(outcome(&recorder).unwrap().ms, 50);
        let (captured, frames) = queue();
        let recorder = Recorder::start(Source::Shared(frames), 5_000, 1, &Clock::system()).unwrap();
        captured.send(Frame::new(&[0.1; 480])).unwrap();
        drop(captured);
        assert_eq!(outcome(&recorder).unwrap().ms, 10);
    }

    #[test]
    fn a_microphone_of_its_own_is_recorded_and_says_which_it_is() {
        let source = Source::Own(MicrophoneSpec::Test, 200.0);
        let recorder = Recorder::start(source, 100, 1, &Clock::system()).unwrap();
        let event = recorder.events.recv_timeout(Duration::from_secs(30));
        assert!(matches!(event, Ok(SoundEvent::Ready { instead: None, .. })), "{event:?}");
        let message = outcome(&recorder).unwrap();
        assert_eq!(message.ms, 100);
        assert!(message.waveform.iter().any(|n| *n > 100), "{:?}", message.waveform);
    }

    #[test]
    fn thrown_away_it_leaves_nothing_and_silence_is_no_message() {
        let (captured, frames) = queue();
        let recorder = Recorder::start(Source::Shared(frames), 5_000, 1, &Clock::system()).unwrap();
        captured.send(Frame::new(&[0.1; 480])).unwrap();
        drop(recorder);
        assert!(captured.send(Frame::new(&[0.1; 480])).is_err(), "its thread is gone");
        let (captured, frames) = queue();
        let recorder = Recorder::start(Source::Shared(frames), 5_000, 1, &Clock::system()).unwrap();
        recorder.finish();
        assert!(outcome(&recorder).is_err());
        drop(captured);
    }
}
