//! A microphone's sound made fit to be sent: echo of the speaker taken out, noise held down, loudness evened out.
//!
//! ```text
//! heard (what the speaker got) ─────┐
//! microphone > high pass > echo canceller > noise suppressor > residue lowered > gain and limiter > to be sent
//! ```
//! Blocks of 10 ms at 48 kHz, mono. The echo's delay is found by the canceller itself, up to half a second; what is given
//! as heard must only keep its distance from what is captured. The work is sonora's, but for what it leaves over, see
//! `residue`. It allocates for each block: this belongs on the thread that encodes, never in a callback of a device.

mod residue;
#[cfg(test)]
pub(crate) mod tests;

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
    NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

use crate::media::mix::{SILENCE_DBFS, level_dbfs};
use crate::media::opus::RATE;
use residue::Residue;

/// Samples worked on at a time.
pub const BLOCK: usize = RATE as usize / 100;
/// The most that silence between words is raised by, and what a voice begins with, in dB.
const GAIN_DB_MAX: f32 = 30.0;
const GAIN_DB_FIRST: f32 = 6.0;
/// Samples by which echo canceller and noise suppressor delay a voice, each with the bands it is split into; with both on,
/// it is split once.
const ECHO_DELAY: usize = 428;
const NOISE_DELAY: usize = 332;
const BOTH_LESS: usize = 44;
/// Blocks over which the noise is the softest, see [`Floor`].
const FLOOR_BLOCKS: u32 = 150;
/// Softer blocks tell nothing of the gain.
const GAIN_HEARD_DBFS: f32 = -60.0;

/// What is done to a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The speaker's echo is taken out.
    pub echo: bool,
    /// Noise is held down.
    pub noise: bool,
    /// Loudness is evened out.
    pub gain: bool,
}

impl Settings {
    /// Everything.
    pub const ALL: Self = Self { echo: true, noise: true, gain: true };
    /// The voice as it is.
    pub const NONE: Self = Self { echo: false, noise: false, gain: false };
}

/// What was found out on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// How much softer the echo is after the canceller's filter than what the speaker got, in dB, as the canceller
    /// reckons: how well it knows the room. What is heard of the echo is softer still: what is suppressed and lowered
    /// behind the filter is not part of it. `None` without echo cancellation.
    pub echo_return_loss_db: Option<f32>,
    /// Delay of the echo against what was given as heard, in ms.
    pub echo_delay_ms: Option<u32>,
    /// Gain applied to the voice, in dB.
    pub gain_db: f32,
    /// Level of the noise at the microphone.
    pub noise_dbfs: f32,
}

impl Default for Figures {
    fn default() -> Self {
        Self { echo_return_loss_db: None, echo_delay_ms: None, gain_db: 0.0, noise_dbfs: SILENCE_DBFS }
    }
}

/// Works on one voice.
pub struct Processor {
    settings: Settings,
    /// Echo and noise.
    clean: Option<AudioProcessing>,
    /// What is left of them.
    residue: Option<Residue>,
    /// Apart from the above, so that what it does is seen, and that switching it disturbs nothing else.
    gain: Option<AudioProcessing>,
    block: [f32; BLOCK],
    spare: [f32; BLOCK],
    floor: Floor,
    gain_db: f32,
}

impl Processor {
    /// A processor that knows nothing of its room yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            clean: clean(settings),
            residue: residue(settings),
            gain: gain(settings),
            block: [0.0; BLOCK],
            spare: [0.0; BLOCK],
            floor: Floor::default(),
            gain_db: 0.0,
        }
    }

    /// What is done.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Does other things from the next block on; what is switched on has to learn its room, for a second or two.
    pub fn set(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.settings, settings);
        if (before.echo, before.noise) != (settings.echo, settings.noise) {
            (self.clean, self.residue) = (clean(settings), residue(settings));
        }
        if before.gain != settings.gain {
            (self.gain, self.gain_db) = (gain(settings), 0.0);
        }
    }

    /// Whether anything at all is done.
    pub fn works(&self) -> bool {
        self.settings != Settings::NONE
    }

    /// Samples by which a voice comes out later than it went in.
    pub fn delay(&self) -> usize {
        delay(self.settings)
    }

    /// Works on `captured`, [`BLOCK`] samples, in place; `heard` is what the speaker got meanwhile. Blocks of other lengths
    /// are left as they are.
    pub fn process(&mut self, heard: &[f32], captured: &mut [f32]) {
        if heard.len() != BLOCK || captured.len() != BLOCK {
            return;
        }
        self.floor.feed(level_dbfs(captured));
        if let Some(clean) = &mut self.clean {
            self.residue.iter_mut().for_each(|residue| residue.note(heard, captured));
            if self.settings.echo {
                // Neither can be refused: the lengths and rates are right.
                let _ = clean.process_render_f32(&[heard], &mut [&mut self.spare]);
            }
            if clean.process_capture_f32(&[captured], &mut [&mut self.block]).is_ok() {
                captured.copy_from_slice(&self.block);
                self.residue.iter_mut().for_each(|residue| residue.lower(captured));
            }
        }
        let before = level_dbfs(captured);
        if let Some(gain) = &mut self.gain
            && gain.process_capture_f32(&[captured], &mut [&mut self.block]).is_ok()
        {
            captured.copy_from_slice(&self.block);
            if before > GAIN_HEARD_DBFS {
                self.gain_db += (level_dbfs(captured) - before - self.gain_db) / 20.0;
            }
        }
    }

    /// What was found out so far.
    pub fn figures(&self) -> Figures {
        let stats = self.clean.as_ref().filter(|_| self.settings.echo).map(AudioProcessing::statistics);
        let loss = |s: &sonora::AudioProcessingStats| Some(s.echo_return_loss? + s.echo_return_loss_enhancement?);
        Figures {
            echo_return_loss_db: stats.and_then(loss).map(|db| db as f32).filter(|db| *db > 0.0),
            echo_delay_ms: stats.and_then(|s| s.delay_ms).and_then(|ms| u32::try_from(ms).ok()),
            gain_db: self.gain_db,
            noise_dbfs: self.floor.level(),
        }
    }
}

fn delay(settings: Settings) -> usize {
    usize::from(settings.echo) * ECHO_DELAY + usize::from(settings.noise) * NOISE_DELAY
        - usize::from(settings.echo && settings.noise) * BOTH_LESS
}

fn residue(settings: Settings) -> Option<Residue> {
    (settings.echo || settings.noise).then(|| Residue::new(delay(settings), settings.echo, settings.noise))
}

fn built(config: Config) -> AudioProcessing {
    let stream = StreamConfig::new(RATE, 1);
    let pipeline = Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() };
    let config = Config { pipeline, ..config };
    AudioProcessing::builder().config(config).capture_config(stream).render_config(stream).build()
}

fn clean(settings: Settings) -> Option<AudioProcessing> {
    let noise = NoiseSuppression { level: NoiseSuppressionLevel::VeryHigh, ..NoiseSuppression::default() };
    let config = Config {
        high_pass_filter: Some(HighPassFilter::default()),
        echo_canceller: settings.echo.then(EchoCanceller::default),
        noise_suppression: settings.noise.then_some(noise),
        ..Config::default()
    };
    (settings.echo || settings.noise).then(|| built(config))
}

fn gain(settings: Settings) -> Option<AudioProcessing> {
    let adaptive =
        AdaptiveDigital { max_gain_db: GAIN_DB_MAX, initial_gain_db: GAIN_DB_FIRST, ..AdaptiveDigital::default() };
    let controller = GainController2 { adaptive_digital: Some(adaptive), ..GainController2::default() };
    settings.gain.then(|| built(Config { gain_controller2: Some(controller), ..Config::default() }))
}

/// The level of the softest blocks: that is noise, because voices pause.
struct Floor {
    softest: f32,
    softest_before: f32,
    blocks: u32,
}

impl Default for Floor {
    fn default() -> Self {
        Self { softest: 0.0, softest_before: 0.0, blocks: 0 }
    }
}

impl Floor {
    fn feed(&mut self, level: f32) {
        self.softest = self.softest.min(level);
        self.blocks += 1;
        if self.blocks == FLOOR_BLOCKS {
            (self.softest_before, self.softest, self.blocks) = (self.softest, 0.0, 0);
        }
    }

    fn level(&self) -> f32 {
        self.softest.min(self.softest_before)
    }

    /// The level once it is more than a guess.
    fn known(&self) -> Option<f32> {
        (self.softest_before < 0.0).then(|| self.level())
    }
}
