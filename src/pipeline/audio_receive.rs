//! Thread role: everybody's voice to the speaker.
//!
//! ```text
//! AudioQueue > level ─> the loudest few ┐
//!            > per talker: jitter buffer > Opus > cuts, stretcher > ducking ─┐
//!                                                       ... ─────────────────┼> sum > limiter > Speaker
//!                                              a voice message ──────────────┘
//! ```
//! Packets of who is not among the loudest pass through the jitter buffer undecoded, so that their voice is there at once
//! when they are.
//! The speaker's consumption drives it: each wake-up mixes as many 2.5 ms steps as the speaker has room for, so the
//! only delay that adapts is each talker's jitter buffer. The speaker's callback wakes nobody; the thread looks at its
//! ring every 1 to 5 ms. Without a speaker the clock takes its place, so that everything is received and decoded as
//! with one; without a speaker and voices the thread sleeps.

mod choice;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod paths;
mod queue;
mod talker;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::device::clock::Clock;
use crate::device::priority;
use crate::device::sound::{Buffers, SoundEvent, Speaker, SpeakerSpec};
use crate::limits::SLOTS_MAX;
use crate::media::mix::{Ducker, Limiter};
use crate::media::{opus, resample, wav};
use crate::pipeline::reference::{self, Reference, Tap};
use crate::pipeline::voice_play::Played;
use crate::time::Timestamp;
pub use choice::TALKERS;
pub use queue::AudioQueue;
use queue::{Batch, Queued};
use talker::Talker;
pub use talker::TalkerStats;

/// Samples mixed at a time: 2.5 ms.
const STEP: usize = reference::PIECE;
/// Steps mixed in one wake-up at most: a speaker that asks for more than 200 ms has lost count.
const STEPS_MAX: usize = 80;
/// Pause between looks for a speaker while nobody is to be heard and nothing to be heard on: a new voice is a command, which
/// wakes the thread. Less than [`STEPS_MAX`], so that the time mixed keeps up.
const IDLE: Duration = Duration::from_millis(100);
const COMMANDS: usize = 4 * SLOTS_MAX;
const EVENTS: usize = 16;

/// Voices cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The WAV file that stands for the speaker.
    #[error("speaker: {0}")]
    File(#[from] wav::Error),
    /// A decoder.
    #[error("voice decoder: {0}")]
    Opus(#[from] opus::Error),
    /// A resampler.
    #[error(transparent)]
    Resample(#[from] resample::Error),
    /// No thread could be made.
    #[error("no thread for the speaker: {0}")]
    Thread(#[from] io::Error),
    /// As many voices as a conference can have are being received.
    #[error("more than {SLOTS_MAX} voices")]
    Full,
    /// The mixing thread has ended.
    #[error("the mixing thread has ended")]
    Ended,
}

/// Figures of the mixer.
#[derive(Debug, Default)]
pub struct MixerStats {
    glitches: AtomicU64,
    opened: AtomicU64,
    steps: AtomicU64,
    fill: AtomicU64,
}

impl MixerStats {
    /// Times the speaker found too little to play.
    pub fn glitches(&self) -> u64 {
        self.glitches.load(Ordering::Relaxed)
    }

    /// Times a speaker was opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Time mixed so far.
    pub fn mixed(&self) -> Duration {
        Duration::from_micros(2_500) * self.steps.load(Ordering::Relaxed) as u32
    }

    /// Time the mix waits for the speaker's device, in ms.
    pub fn fill_ms(&self) -> f32 {
        self.fill.load(Ordering::Relaxed) as f32 / 48.0
    }
}

enum Command {
    Add(Box<Talker>),
    Remove(u64),
    Goodbye(u64),
    Volume(u64, f32),
    Priority(u64, bool),
    Talkers(usize),
    Least(u64, f32),
    Speaker(Box<Speaker>),
    Play(Option<Box<Played>>),
    Tap(Tap),
}

/// The role itself: [`step`](Self::step) it with the time, or let [`AudioReceiver`] do so on a thread.
pub struct AudioReceive {
    queue: AudioQueue,
    batch: Batch,
    talkers: Vec<Talker>,
    /// A voice message that is being heard.
    played: Option<Box<Played>>,
    /// The one before, while it fades.
    fading: Option<Box<Played>>,
    speaker: Speaker,
    /// Voices heard at once.
    places: usize,
    ducker: Ducker,
    limiter: Limiter,
    sum: [f32; STEP],
    /// Where what the speaker gets goes as well.
    tap: Option<Tap>,
    stats: Arc<MixerStats>,
}

impl AudioReceive {
    /// A mixer that plays what comes through `queue`.
    ///
    /// # Errors
    /// [`Error::File`]; a device that does not work is no error but an [`event`](Self::event).
    pub fn new(speaker: &SpeakerSpec, sizes: Buffers, queue: AudioQueue, clock: &Clock) -> Result<Self, Error> {
        Ok(Self {
            queue,
            batch: Batch::default(),
            talkers: Vec::with_capacity(2 * SLOTS_MAX),
            played: None,
            fading: None,
            speaker: Speaker::open(speaker, sizes, clock)?,
            places: TALKERS,
            ducker: Ducker::default(),
            limiter: Limiter::default(),
            sum: [0.0; STEP],
            tap: None,
            stats: Arc::default(),
        })
    }

    /// Plays the voice whose packets come as `stream` from now on; one of the same number is replaced.
    ///
    /// # Errors
    /// [`Error::Opus`], [`Error::Resample`], [`Error::Full`].
    pub fn add(&mut self, stream: u64) -> Result<Arc<TalkerStats>, Error> {
        let talker = Talker::new(stream)?;
        let stats = talker.stats();
        self.place(talker).map(|()| stats)
    }

    fn place(&mut self, talker: Talker) -> Result<(), Error> {
        let full = self.talkers.iter().filter(|t| !t.leaves()).count() >= SLOTS_MAX;
        match self.talkers.iter_mut().find(|t| t.stream == talker.stream) {
            // With new keys, say: the voice goes on as it is, and what is known of its network and clock stays known.
            Some(old) => old.succeed(talker),
            None if full => return Err(Error::Full),
            None => {
                if self.talkers.len() == self.talkers.capacity() {
                    self.talkers.retain(|t| !t.leaves());
                }
                self.talkers.push(talker);
            }
        }
        Ok(())
    }

    fn command(&mut self, command: Command) {
        match command {
            // A conference has no more publishers than there is room for.
            Command::Add(talker) => drop(self.place(*talker)),
            Command::Remove(stream) => {
                self.talker(stream).into_iter().for_each(|t| t.leave());
                self.talkers.retain(|t| !t.has_left());
            }
            Command::Goodbye(stream) => self.talker(stream).into_iter().for_each(|t| t.goodbye()),
            Command::Volume(stream, volume) => {
                self.talker(stream).into_iter().for_each(|t| t.set_volume(volume));
            }
            Command::Priority(stream, on) => self.talker(stream).into_iter().for_each(|t| t.set_priority(on)),
            Command::Least(stream, ms) => self.talker(stream).into_iter().for_each(|t| t.set_least_delay(ms)),
            Command::Talkers(places) => self.set_talkers(places),
            Command::Speaker(speaker) => {
                let before = std::mem::replace(&mut self.speaker, *speaker);
                // To close one may take the sound system long; the mix goes on meanwhile.
                let closes = move || drop(before);
                let _ = std::thread::Builder::new().name("speaker".into()).spawn(closes);
            }
            Command::Play(played) => {
                if let Some(mut before) = std::mem::replace(&mut self.played, played) {
                    before.stop();
                    self.fading = Some(before);
                }
            }
            Command::Tap(tap) => self.tap = Some(tap),
        }
    }

    /// Voices heard at once, the loudest.
    pub fn set_talkers(&mut self, places: usize) {
        self.places = places;
    }

    fn talker(&mut self, stream: u64) -> Option<&mut Talker> {
        self.talkers.iter_mut().find(|t| t.stream == stream)
    }

    /// Figures.
    pub fn stats(&self) -> Arc<MixerStats> {
        self.stats.clone()
    }

    /// What the speaker did since it was asked last.
    pub fn event(&mut self) -> Option<SoundEvent> {
        self.speaker.event()
    }

    /// Mixes as much as the speaker has room for at `now`; returns how long to wait before the next step.
    pub fn step(&mut self, now: Timestamp) -> Duration {
        self.queue.exchange(&mut self.batch);
        for Queued { stream, arrived, bytes, again } in self.batch.packets() {
            if let Some(talker) = self.talkers.iter_mut().find(|t| t.stream == stream) {
                talker.receive(arrived, bytes, again);
            }
        }
        for &(stream, ntp, rtp_timestamp) in self.batch.reports() {
            if let Some(talker) = self.talkers.iter_mut().find(|t| t.stream == stream) {
                talker.report(ntp, rtp_timestamp);
            }
        }
        choice::choose(now, self.places, &mut self.talkers, |talker| &mut talker.claim);
        let extra = self.speaker.extra();
        self.talkers.iter_mut().for_each(|talker| talker.set_elsewhere(extra));
        let asked = self.speaker.wanted(now).min(STEPS_MAX * STEP);
        let steps = asked.div_ceil(STEP);
        for step in 0..steps {
            self.sum.fill(0.0);
            let commanded = self.talkers.iter().any(Talker::commands);
            let under = self.ducker.step(commanded, STEP);
            for talker in &mut self.talkers {
                let gain = talker.beside(commanded, under);
                talker.mix_into(now, asked.saturating_sub(step * STEP), gain, &mut self.sum);
            }
            for played in [&mut self.played, &mut self.fading] {
                if played.as_mut().is_some_and(|played| !played.mix_into(&mut self.sum, under)) {
                    *played = None;
                }
            }
            self.limiter.apply(&mut self.sum);
            self.speaker.write(&self.sum);
            if let Some(tap) = self.tap.as_mut().filter(|_| self.speaker.is_open()) {
                tap.push(now, &self.sum);
            }
        }
        self.talkers.retain(|t| !t.has_left());
        self.publish(steps as u64);
        let idle = self.talkers.is_empty() && self.played.is_none() && self.fading.is_none() && !self.speaker.is_open();
        if idle { IDLE } else { self.speaker.wait(now) }
    }

    fn publish(&self, steps: u64) {
        let device_ms = self.speaker.fill_target() as f32 / 48.0;
        self.talkers.iter().for_each(|t| t.publish(device_ms));
        let counters = self.speaker.counters();
        self.stats.steps.fetch_add(steps, Ordering::Relaxed);
        self.stats.glitches.store(counters.glitches + counters.xruns, Ordering::Relaxed);
        self.stats.opened.store(counters.opened, Ordering::Relaxed);
        self.stats.fill.store(self.speaker.fill_target() as u64, Ordering::Relaxed);
    }
}

/// The mixing thread, seen from outside. Dropping it stops and joins the thread.
pub struct AudioReceiver {
    commands: Sender<Command>,
    events: Receiver<SoundEvent>,
    queue: AudioQueue,
    stats: Arc<MixerStats>,
    sizes: Buffers,
    thread: Option<JoinHandle<()>>,
}

impl AudioReceiver {
    /// Starts the thread.
    ///
    /// # Errors
    /// See [`AudioReceive::new`], and when the system gives no thread.
    pub fn start(speaker: &SpeakerSpec, sizes: Buffers, clock: Clock) -> Result<Self, Error> {
        let queue = AudioQueue::default();
        let role = AudioReceive::new(speaker, sizes, queue.clone(), &clock)?;
        let (commands, receiver) = bounded(COMMANDS);
        let (events_in, events) = bounded(EVENTS);
        let stats = role.stats();
        let thread = std::thread::Builder::new()
            .name("audio-receive".into())
            .spawn(move || run(role, &clock, &receiver, &events_in))?;
        Ok(Self { commands, events, queue, stats, sizes, thread: Some(thread) })
    }

    /// Where the receiving thread puts packets.
    pub fn sink(&self) -> AudioQueue {
        self.queue.clone()
    }

    /// Plays the voice whose packets come as `stream` from now on; one of the same number is replaced.
    ///
    /// # Errors
    /// [`Error::Opus`], [`Error::Resample`], [`Error::Ended`].
    pub fn add(&self, stream: u64) -> Result<Arc<TalkerStats>, Error> {
        let talker = Talker::new(stream)?;
        let stats = talker.stats();
        if self.command(Command::Add(Box::new(talker))) { Ok(stats) } else { Err(Error::Ended) }
    }

    /// Plays `stream` no more.
    pub fn remove(&self, stream: u64) {
        self.command(Command::Remove(stream));
    }

    /// The talker said good-bye: what is missing from now on is not missing.
    pub fn goodbye(&self, stream: u64) {
        self.command(Command::Goodbye(stream));
    }

    /// Plays `stream` louder or softer, here only: 1 as it was sent, 0 not at all, at most 4.
    pub fn set_volume(&self, stream: u64, volume: f32) {
        self.command(Command::Volume(stream, volume));
    }

    /// Plays `stream` over all others, or among them.
    pub fn set_priority(&self, stream: u64, on: bool) {
        self.command(Command::Priority(stream, on));
    }

    /// Lets `stream` wait so many ms for late packets at least, so that it does not lead its picture.
    pub fn set_least_delay(&self, stream: u64, ms: f32) {
        self.command(Command::Least(stream, ms));
    }

    /// Plays so many voices at once, the loudest; [`TALKERS`] at first.
    pub fn set_talkers(&self, places: usize) {
        self.command(Command::Talkers(places));
    }

    /// Plays on another speaker from now on.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Ended`].
    pub fn set_speaker(&self, speaker: &SpeakerSpec, clock: &Clock) -> Result<(), Error> {
        let speaker = Speaker::open(speaker, self.sizes, clock)?;
        if self.command(Command::Speaker(Box::new(speaker))) { Ok(()) } else { Err(Error::Ended) }
    }

    /// Plays a voice message beside the voices, instead of one that is being heard; `None` ends that.
    pub fn play(&self, played: Option<Played>) {
        self.command(Command::Play(played.map(Box::new)));
    }

    /// What the speaker gets from now on, for a microphone beside it; the one asked for before ends.
    pub fn reference(&self) -> Reference {
        let (tap, reference) = reference::tap();
        self.command(Command::Tap(tap));
        reference
    }

    /// Whoever asks does not wait: a full queue means that nobody reads it.
    fn command(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Figures of the mixer.
    pub fn stats(&self) -> Arc<MixerStats> {
        self.stats.clone()
    }

    /// What the speaker did since it was asked last.
    pub fn event(&self) -> Option<SoundEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for AudioReceiver {
    fn drop(&mut self) {
        // The end of the commands ends the thread.
        self.commands = bounded(0).0;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut role: AudioReceive, clock: &Clock, commands: &Receiver<Command>, events: &Sender<SoundEvent>) {
    priority::hurry_for_sound();
    let mut wait = Duration::ZERO;
    loop {
        match commands.recv_timeout(wait) {
            Ok(command) => {
                role.command(command);
                // All of them before the next packets: those of a stream just added are to be heard.
                wait = Duration::ZERO;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                wait = role.step(clock.now());
                while let Some(event) = role.event() {
                    // Nobody reads them: the newest is dropped.
                    let _ = events.try_send(event);
                }
            }
        }
    }
}
