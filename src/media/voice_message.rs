//! Voice messages: a voice to an Ogg Opus file with a picture of its loudness, and back.
//!
//! ```text
//! samples > 20 ms > Opus > Ogg             loudness of each 20 ms > at most 64 steps
//! Ogg, as far as it is there > Opus > samples, without those before the beginning and behind the end
//! ```

use crate::limits::{VOICE_BYTES_MAX, VOICE_MS_MAX, WAVEFORM_STEPS_MAX};
use crate::media::mix::{Meter, level_dbfs};
use crate::media::ogg;
use crate::media::opus::{self, Decoder, Encoder, PACKET_SAMPLES_MAX, RATE};

/// Samples of a packet: 20 ms.
pub const FRAME: usize = 960;
/// Bits per second. Nobody waits for it, so nothing is spent on redundancy.
const BITRATE: u32 = 32_000;
/// Softest that the picture shows.
const FLOOR_DBFS: f32 = -60.0;

/// A voice message cannot be made or heard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The codec.
    #[error("voice message: {0}")]
    Opus(#[from] opus::Error),
    /// The file.
    #[error("voice message: {0}")]
    Ogg(#[from] ogg::Error),
    /// Something in it is no packet of Opus.
    #[error("voice message: it is damaged")]
    Damaged,
}

/// A voice message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceMessage {
    /// Ogg Opus, at most [`VOICE_BYTES_MAX`] bytes.
    pub file: Vec<u8>,
    /// Milliseconds, at most [`VOICE_MS_MAX`].
    pub ms: u32,
    /// Loudness in steps of equal length, 0 to 255; at most [`WAVEFORM_STEPS_MAX`].
    pub waveform: Vec<u8>,
}

/// A voice message in the making.
pub struct Recording {
    encoder: Encoder,
    file: ogg::Writer,
    /// Not yet a whole packet.
    rest: Vec<f32>,
    packet: Vec<u8>,
    loudness: Vec<u8>,
    samples: u64,
    samples_max: u64,
    meter: Meter,
}

impl Recording {
    /// Begins. Takes at most `ms_max`, or what a voice message may have; `serial` is random.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(serial: u32, ms_max: u32) -> Result<Self, Error> {
        let mut encoder = Encoder::new(opus::Settings { bitrate: BITRATE, loss_percent: 0, low_delay: false })?;
        let file = ogg::Writer::new(serial, encoder.lookahead()?)?;
        Ok(Self {
            encoder,
            file,
            rest: Vec::with_capacity(2 * FRAME),
            packet: Vec::new(),
            loudness: Vec::new(),
            samples: 0,
            samples_max: u64::from(ms_max.min(VOICE_MS_MAX)) * u64::from(RATE / 1_000),
            meter: Meter::default(),
        })
    }

    /// Takes samples at 48 kHz, as far as there is room.
    ///
    /// # Errors
    /// [`Error`].
    pub fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        let room = usize::try_from(self.samples_max - self.samples).unwrap_or(usize::MAX);
        let mut samples = &samples[..samples.len().min(room)];
        self.meter.feed(samples);
        while !samples.is_empty() && !self.is_full() {
            let (now, later) = samples.split_at(samples.len().min(FRAME - self.rest.len()));
            self.rest.extend_from_slice(now);
            self.samples += now.len() as u64;
            samples = later;
            if self.rest.len() == FRAME {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// Encodes `rest`, filled up with silence.
    fn encode(&mut self) -> Result<(), Error> {
        if !self.rest.is_empty() {
            let part = (level_dbfs(&self.rest) / FLOOR_DBFS).clamp(0.0, 1.0);
            self.loudness.push((255.0 * (1.0 - part)).round() as u8);
        }
        self.rest.resize(FRAME, 0.0);
        self.encoder.encode(&self.rest, &mut self.packet)?;
        self.rest.clear();
        self.file.packet(self.packet.clone(), FRAME)?;
        Ok(())
    }

    /// Milliseconds so far.
    pub fn ms(&self) -> u32 {
        (self.samples / u64::from(RATE / 1_000)) as u32
    }

    /// How loud it is at present.
    pub fn level_dbfs(&self) -> f32 {
        self.meter.level()
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        // The packets that are still to come when it ends, the largest there are.
        let end = 3 * (crate::limits::OPUS_PACKET_BYTES_MAX + 64);
        self.samples >= self.samples_max || (self.file.bytes() + end) as u64 > VOICE_BYTES_MAX
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`Error`]; also when nothing was said at all.
    pub fn finish(mut self) -> Result<VoiceMessage, Error> {
        // What the codec holds back comes out with what follows it.
        while self.samples > 0 && (!self.rest.is_empty() || self.file.samples() < self.samples) {
            self.encode()?;
        }
        let (ms, waveform) = (self.ms(), waveform(&self.loudness));
        Ok(VoiceMessage { file: self.file.finish(self.samples)?, ms, waveform })
    }
}

/// The loudest of each step.
fn waveform(loudness: &[u8]) -> Vec<u8> {
    let steps = loudness.len().min(WAVEFORM_STEPS_MAX);
    let of = |step: usize| step * loudness.len() / steps;
    let loudest = |step| loudness[of(step)..of(step + 1)].iter().copied().max().unwrap_or(0);
    (0..steps).map(loudest).collect()
}

/// A voice message being heard: the file piece by piece in, samples out.
pub struct Playback {
    file: ogg::Reader,
    decoder: Decoder,
    samples: Vec<f32>,
    decoded: u64,
}

impl Playback {
    /// Begins.
    ///
    /// # Errors
    /// [`Error::Opus`].
    pub fn new() -> Result<Self, Error> {
        let samples = Vec::with_capacity(PACKET_SAMPLES_MAX);
        Ok(Self { file: ogg::Reader::default(), decoder: Decoder::new()?, samples, decoded: 0 })
    }

    /// More of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.file.push(bytes);
    }

    /// Whether the end was reached.
    pub fn is_ended(&self) -> bool {
        self.file.is_ended()
    }

    /// What is heard next, at 48 kHz, at most 120 ms; `None` until more of the file is there, or at its end.
    ///
    /// # Errors
    /// [`Error`]; nothing more comes after one.
    pub fn samples(&mut self) -> Result<Option<&[f32]>, Error> {
        loop {
            let Some(packet) = self.file.packet()? else {
                return Ok(None);
            };
            let (skip, gain) = self.file.head().map_or((0, 0), |head| (u64::from(head.pre_skip), head.gain));
            if opus::packet_samples(&packet.bytes).is_none() {
                return Err(Error::Damaged);
            }
            let decoded = self.decoder.decode(&packet.bytes)?;
            let begin = self.decoded;
            self.decoded += decoded.len() as u64;
            let end = packet.end.unwrap_or(u64::MAX).min(self.decoded);
            let inside = |at: u64| (at.max(begin) - begin).min(decoded.len() as u64) as usize;
            let (from, to) = (inside(skip), inside(end));
            if from >= to {
                continue;
            }
            self.samples.clear();
            self.samples.extend_from_slice(&decoded[from..to]);
            if gain != 0 {
                let factor = 10f32.powf(f32::from(gain) / 256.0 / 20.0);
                self.samples.iter_mut().for_each(|sample| *sample *= factor);
            }
            return Ok(Some(&self.samples));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::test_voice::{TestVoice, strength_at};

    const PITCH: f32 = 220.0;

    fn voice(samples: usize) -> Vec<f32> {
        let mut voice = vec![0.0; samples];
        TestVoice::new(PITCH).render(&mut voice);
        voice
    }

    fn recorded(samples: &[f32], ms_max: u32) -> VoiceMessage {
        let mut recording = Recording::new(1, ms_max).unwrap();
        samples.chunks(480).for_each(|part| recording.push(part).unwrap());
        recording.finish().unwrap()
    }

    fn heard(file: &[u8]) -> Vec<f32> {
        let (mut playback, mut heard) = (Playback::new().unwrap(), Vec::new());
        for part in file.chunks(777) {
            playback.push(part);
            while let Some(samples) = playback.samples().unwrap() {
                heard.extend_from_slice(samples);
            }
        }
        assert!(playback.is_ended());
        heard
    }

    #[test]
    fn what_is_said_is_heard_at_its_place_and_no_sample_more() {
        for length in [1, 959, 960, 961, 48_000, 96_123] {
            let said = voice(length);
            let message = recorded(&said, VOICE_MS_MAX);
            assert_eq!(message.ms, length as u32 / 48);
            let heard = heard(&message.file);
            assert_eq!(heard.len(), length);
            if length >= 48_000 {
                let ratio = strength_at(&heard, PITCH) / strength_at(&said, PITCH);
                assert!((0.8..1.2).contains(&ratio), "{ratio}");
                // The shift at which both are most alike: next to none, once what the codec holds back is skipped.
                let alike = |by: usize| -> f32 { heard[by..].iter().zip(&said[150..]).map(|(a, b)| a * b).sum() };
                let best = (0..300).max_by(|a, b| alike(*a).total_cmp(&alike(*b))).unwrap();
                assert!(best.abs_diff(150) < 24, "{best}");
            }
        }
    }

    #[test]
    fn the_picture_shows_where_somebody_speaks() {
        let mut said = vec![0.0; 48_000];
        said.extend(voice(48_000));
        let waveform = recorded(&said, VOICE_MS_MAX).waveform;
        assert_eq!(waveform.len(), WAVEFORM_STEPS_MAX);
        assert!(waveform[..31].iter().all(|n| *n == 0), "{waveform:?}");
        assert!(waveform[33..].iter().all(|n| *n > 100), "{waveform:?}");
        assert_eq!(recorded(&said[..3 * FRAME], VOICE_MS_MAX).waveform.len(), 3, "no more steps than there are");
    }

    #[test]
    fn it_ends_at_its_length_and_at_the_longest_there_may_be() {
        let said = voice(10 * FRAME);
        assert_eq!(heard(&recorded(&said, 50).file).len(), 50 * 48);
        let mut recording = Recording::new(1, u32::MAX).unwrap();
        // Noise is what takes the most bytes.
        let mut noise = 1u32;
        let mut part = vec![0.0; 48_000];
        while !recording.is_full() {
            for sample in &mut part {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = (noise >> 16) as f32 / 65_536.0 - 0.5;
            }
            recording.push(&part).unwrap();
        }
        let message = recording.finish().unwrap();
        assert!(message.ms <= VOICE_MS_MAX && message.file.len() as u64 <= VOICE_BYTES_MAX);
        assert!(message.ms > VOICE_MS_MAX / 2, "{} ms", message.ms);
    }

    #[test]
    fn nothing_said_is_no_message() {
        assert!(Recording::new(1, 1_000).unwrap().finish().is_err());
        assert!(Playback::new().unwrap().samples().unwrap().is_none());
    }
}
