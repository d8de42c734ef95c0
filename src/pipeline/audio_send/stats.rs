//! Figures of the voice sent; read at any time from any thread.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::media::mix::SILENCE_DBFS;
use crate::media::voice::{Figures, Settings};

/// A figure that may not be there, in a word.
#[derive(Debug)]
struct Maybe(AtomicU32);

impl Default for Maybe {
    fn default() -> Self {
        Self(AtomicU32::new(f32::NAN.to_bits()))
    }
}

impl Maybe {
    fn set(&self, value: Option<f32>) {
        self.0.store(value.unwrap_or(f32::NAN).to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<f32> {
        Some(f32::from_bits(self.0.load(Ordering::Relaxed))).filter(|v| !v.is_nan())
    }
}

/// Microseconds: the device's callbacks, the packet, the filters.
#[derive(Debug, Default)]
struct Delay([AtomicU64; 3]);

/// Figures of the voice sent.
#[derive(Debug)]
pub struct AudioSendStats {
    pub(super) frames: AtomicU64,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) glitches: AtomicU64,
    pub(super) level: AtomicU32,
    pub(super) spoken_muted: AtomicU64,
    pub(super) speaks_muted: AtomicBool,
    delay: Delay,
    does: AtomicU8,
    gain: Maybe,
    noise: Maybe,
    echo_loss: Maybe,
    echo_delay: Maybe,
}

impl AudioSendStats {
    pub(super) fn new() -> Self {
        Self {
            frames: AtomicU64::default(),
            packets: AtomicU64::default(),
            bytes: AtomicU64::default(),
            failures: AtomicU64::default(),
            glitches: AtomicU64::default(),
            level: AtomicU32::new(SILENCE_DBFS.to_bits()),
            spoken_muted: AtomicU64::default(),
            speaks_muted: AtomicBool::default(),
            delay: Delay::default(),
            does: AtomicU8::default(),
            gain: Maybe::default(),
            noise: Maybe::default(),
            echo_loss: Maybe::default(),
            echo_delay: Maybe::default(),
        }
    }

    pub(super) fn show(&self, figures: Option<&Figures>, does: Settings, parts: [Duration; 3]) {
        for (part, time) in self.delay.0.iter().zip(parts) {
            part.store(time.as_micros() as u64, Ordering::Relaxed);
        }
        let bits = [does.echo, does.noise, does.gain].iter().rev().fold(0, |bits, on| bits << 1 | u8::from(*on));
        self.does.store(bits, Ordering::Relaxed);
        self.gain.set(figures.map(|f| f.gain_db));
        self.noise.set(figures.map(|f| f.noise_dbfs));
        self.echo_loss.set(figures.and_then(|f| f.echo_return_loss_db));
        self.echo_delay.set(figures.and_then(|f| f.echo_delay_ms).map(|ms| ms as f32));
    }

    /// Frames captured and let through: not muted, and with voice activation not silent.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// RTP packets sent.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Their bytes, RTP headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Packets the network did not take.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Captured samples lost because this machine was too slow, in events.
    pub fn glitches(&self) -> u64 {
        self.glitches.load(Ordering::Relaxed)
    }

    /// Level of the own voice; silence while muted and while the microphone is away.
    pub fn level_dbfs(&self) -> f32 {
        f32::from_bits(self.level.load(Ordering::Relaxed))
    }

    /// Whether somebody speaks, and is muted.
    pub fn speaks_muted(&self) -> bool {
        self.speaks_muted.load(Ordering::Relaxed)
    }

    /// Times somebody began to speak while muted.
    pub fn spoken_muted(&self) -> u64 {
        self.spoken_muted.load(Ordering::Relaxed)
    }

    /// Time from the microphone's callback to the packet, in ms: what is captured waits for its callback and its packet, and
    /// the filters.
    pub fn capture_ms(&self) -> f32 {
        self.capture_parts_ms().iter().sum()
    }

    /// Its parts in ms: the callbacks of the device, the packet, and the filters.
    pub fn capture_parts_ms(&self) -> [f32; 3] {
        std::array::from_fn(|i| self.delay.0[i].load(Ordering::Relaxed) as f32 / 1_000.0)
    }

    /// What is done to the voice.
    pub fn does(&self) -> Settings {
        let bits = self.does.load(Ordering::Relaxed);
        Settings { echo: bits & 1 != 0, noise: bits & 2 != 0, gain: bits & 4 != 0 }
    }

    /// What was found out about the voice and its room, as far as anything is done to it.
    pub fn figures(&self) -> Option<Figures> {
        Some(Figures {
            echo_return_loss_db: self.echo_loss.get(),
            echo_delay_ms: self.echo_delay.get().map(|ms| ms as u32),
            gain_db: self.gain.get()?,
            noise_dbfs: self.noise.get()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_there_as_far_as_they_are_known() {
        let stats = AudioSendStats::new();
        assert_eq!((stats.speaks_muted(), stats.level_dbfs(), stats.figures()), (false, SILENCE_DBFS, None));
        let figures = Figures { echo_delay_ms: Some(40), gain_db: 6.0, ..Figures::default() };
        let does = Settings { gain: true, ..Settings::NONE };
        stats.show(Some(&figures), does, [5, 10, 6].map(Duration::from_millis));
        assert_eq!((stats.figures(), stats.capture_ms(), stats.does()), (Some(figures), 21.0, does));
        for does in
            [Settings { echo: true, ..Settings::NONE }, Settings { noise: true, ..Settings::NONE }, Settings::ALL]
        {
            stats.show(None, does, [Duration::ZERO; 3]);
            assert_eq!((stats.figures(), stats.does()), (None, does));
        }
    }
}
