//! The thread of the role, and its commands.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{AudioSend, AudioSendStats, Config, Error, NextStream};
use crate::device::clock::Clock;
use crate::device::priority;
use crate::device::sound::SoundEvent;
use crate::media::voice;
use crate::pipeline::egress::Egress;
use crate::pipeline::voice_record::Frame;

/// More than anybody can click before they are read.
const COMMANDS: usize = 64;
const EVENTS: usize = 16;

enum Command {
    /// Stops or resumes sending.
    Mute(bool),
    /// Goes on as another stream.
    Stream(NextStream),
    /// Hands on what is captured.
    Record(Sender<Frame>),
    /// Does other things to the voice.
    Voice(voice::Settings),
    /// Sends by voice activation, or all the time.
    Threshold(Option<f32>),
}

/// The sending thread, seen from outside. Dropping it says good-bye, stops and joins the thread.
pub struct AudioSender {
    commands: Sender<Command>,
    events: Receiver<SoundEvent>,
    stats: Arc<AudioSendStats>,
    has_microphone: bool,
    thread: Option<JoinHandle<()>>,
}

impl AudioSender {
    /// Starts the thread.
    ///
    /// # Errors
    /// See [`AudioSend::new`], and when the system gives no thread.
    pub fn start(config: Config, egress: Egress, clock: Clock) -> Result<Self, Error> {
        let role = AudioSend::new(config, egress, clock)?;
        let (commands, receiver) = bounded(COMMANDS);
        let (events_in, events) = bounded(EVENTS);
        let (stats, has_microphone) = (role.stats(), role.has_microphone());
        let thread =
            std::thread::Builder::new().name("audio-send".into()).spawn(move || run(role, &receiver, &events_in))?;
        Ok(Self { commands, events, stats, has_microphone, thread: Some(thread) })
    }

    /// Stops or resumes sending.
    pub fn mute(&self, muted: bool) {
        self.tell(Command::Mute(muted));
    }

    /// Goes on as another stream, with other keys.
    pub fn stream(&self, next: NextStream) {
        self.tell(Command::Stream(next));
    }

    /// Hands what is captured from now on to `frames`, too, muted or not.
    pub fn record(&self, frames: Sender<Frame>) {
        self.tell(Command::Record(frames));
    }

    /// Does other things to the voice from now on.
    pub fn set_voice(&self, settings: voice::Settings) {
        self.tell(Command::Voice(settings));
    }

    /// Sends by voice activation, with what is softer than this in dBFS as silence, or all the time.
    pub fn set_threshold(&self, dbfs: Option<f32>) {
        self.tell(Command::Threshold(dbfs));
    }

    fn tell(&self, command: Command) {
        // A full queue means that the thread has ended.
        let _ = self.commands.try_send(command);
    }

    /// Figures.
    pub fn stats(&self) -> Arc<AudioSendStats> {
        self.stats.clone()
    }

    /// Whether there is a microphone at all.
    pub fn has_microphone(&self) -> bool {
        self.has_microphone
    }

    /// What the microphone did since it was asked last.
    pub fn event(&self) -> Option<SoundEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for AudioSender {
    fn drop(&mut self) {
        // The end of the commands ends the thread.
        self.commands = bounded(0).0;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut role: AudioSend, commands: &Receiver<Command>, events: &Sender<SoundEvent>) {
    priority::hurry_for_sound();
    loop {
        let now = role.clock.now();
        let wait = role.step(now);
        while let Some(event) = role.event() {
            // Nobody reads them: the newest is dropped.
            let _ = events.try_send(event);
        }
        match commands.recv_timeout(wait) {
            Ok(Command::Mute(muted)) => role.mute(muted),
            Ok(Command::Stream(next)) => role.begin(next),
            Ok(Command::Record(frames)) => role.record(frames),
            Ok(Command::Voice(settings)) => role.set_voice(settings),
            Ok(Command::Threshold(dbfs)) => role.set_threshold(dbfs),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    role.goodbye();
}
