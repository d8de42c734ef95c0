//! One talker: jitter buffer, decoder, and the stretcher that follows the talker's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::media::mix::{Meter, SILENCE_DBFS, level_dbfs};
use crate::media::opus::{Decoder, packet_samples};
use crate::media::resample::Stretcher;
use crate::protocol::jitter::{Arrival, Incoming, JitterBuffer, Verdict};
use crate::time::Timestamp;
use crate::wire::rtp;

use super::{Error, STEP};

/// Decoded audio below this is a pause between words.
const QUIET_DBFS: f32 = -50.0;
/// A gap longer than this is heard as one: three packets.
const GAP_SAMPLES: u64 = 60 * 48;

/// Figures of one talker; read at any time from any thread.
#[derive(Debug)]
pub struct TalkerStats {
    packets_received: AtomicU64,
    packets_lost: AtomicU64,
    packets_late: AtomicU64,
    packets_recovered: AtomicU64,
    packets_rejected: AtomicU64,
    concealed_samples: AtomicU64,
    gaps: AtomicU64,
    bytes: AtomicU64,
    buffer_ms: AtomicU32,
    target_ms: AtomicU32,
    level_dbfs: AtomicU32,
    priority: AtomicBool,
}

impl Default for TalkerStats {
    fn default() -> Self {
        Self {
            packets_received: AtomicU64::new(0),
            packets_lost: AtomicU64::new(0),
            packets_late: AtomicU64::new(0),
            packets_recovered: AtomicU64::new(0),
            packets_rejected: AtomicU64::new(0),
            concealed_samples: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            buffer_ms: AtomicU32::new(0),
            target_ms: AtomicU32::new(0),
            level_dbfs: AtomicU32::new(SILENCE_DBFS.to_bits()),
            priority: AtomicBool::new(false),
        }
    }
}

impl TalkerStats {
    /// Whether it speaks over all others.
    pub fn priority(&self) -> bool {
        self.priority.load(Ordering::Relaxed)
    }

    /// RTP packets received, duplicates not counted.
    pub fn packets_received(&self) -> u64 {
        self.packets_received.load(Ordering::Relaxed)
    }

    /// RTP packets that should have come and did not.
    pub fn packets_lost(&self) -> u64 {
        self.packets_lost.load(Ordering::Relaxed)
    }

    /// Packets that came when their turn was over.
    pub fn packets_late(&self) -> u64 {
        self.packets_late.load(Ordering::Relaxed)
    }

    /// Lost packets rebuilt from the redundancy in the next one.
    pub fn packets_recovered(&self) -> u64 {
        self.packets_recovered.load(Ordering::Relaxed)
    }

    /// Packets that were no RTP, no Opus, or not to be believed.
    pub fn packets_rejected(&self) -> u64 {
        self.packets_rejected.load(Ordering::Relaxed)
    }

    /// Time made up or missing while the talker was sending, in ms.
    pub fn concealed_ms(&self) -> u64 {
        self.concealed_samples.load(Ordering::Relaxed) / 48
    }

    /// Gaps of more than 60 ms: stretches made up or missing while the talker was sending.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Bytes of RTP received.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Mean time the audio waits in the jitter buffer, in ms; 0 while nothing plays.
    pub fn buffer_ms(&self) -> f32 {
        f32::from_bits(self.buffer_ms.load(Ordering::Relaxed))
    }

    /// The delay the jitter asks for, in ms.
    pub fn target_ms(&self) -> f32 {
        f32::from_bits(self.target_ms.load(Ordering::Relaxed))
    }

    /// Level of the voice as received, whatever its volume here.
    pub fn level_dbfs(&self) -> f32 {
        f32::from_bits(self.level_dbfs.load(Ordering::Relaxed))
    }
}

pub(super) struct Talker {
    pub(super) stream: u64,
    jitter: JitterBuffer,
    decoder: Decoder,
    stretcher: Stretcher,
    /// Decoded and not yet mixed.
    decoded: Vec<f32>,
    /// Nobody speaks in what was decoded last.
    quiet: bool,
    volume: f32,
    step: [f32; STEP],
    meter: Meter,
    /// Whether the meter shows silence already.
    silent: bool,
    rejected: u64,
    /// What was made up until the last packet that was decoded, and gaps of more than 60 ms.
    made_up: u64,
    gaps: u64,
    bytes: u64,
    stats: Arc<TalkerStats>,
}

impl Talker {
    pub(super) fn new(stream: u64) -> Result<Self, Error> {
        Ok(Self {
            stream,
            jitter: JitterBuffer::new(),
            decoder: Decoder::new()?,
            stretcher: Stretcher::new(STEP)?,
            decoded: Vec::with_capacity(2 * crate::media::opus::PACKET_SAMPLES_MAX),
            quiet: true,
            volume: 1.0,
            step: [0.0; STEP],
            meter: Meter::default(),
            silent: true,
            rejected: 0,
            made_up: 0,
            gaps: 0,
            bytes: 0,
            stats: Arc::default(),
        })
    }

    pub(super) fn stats(&self) -> Arc<TalkerStats> {
        self.stats.clone()
    }

    pub(super) fn set_volume(&mut self, volume: f32) {
        self.volume = if volume.is_finite() { volume.clamp(0.0, 4.0) } else { 1.0 };
    }

    pub(super) fn set_priority(&mut self, on: bool) {
        self.stats.priority.store(on, Ordering::Relaxed);
    }

    pub(super) fn goodbye(&mut self) {
        self.jitter.goodbye();
    }

    pub(super) fn receive(&mut self, arrived: Timestamp, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let Some((header, payload, samples)) = rtp::Packet::parse(bytes)
            .ok()
            .filter(|p| p.header.payload_type == rtp::PT_OPUS)
            .and_then(|p| Some((p.header, p.payload, packet_samples(p.payload)?)))
        else {
            self.rejected += 1;
            return;
        };
        let rtp::Header { ssrc, sequence, timestamp, .. } = header;
        let incoming = Incoming { ssrc, sequence, timestamp, samples: samples as u32, payload };
        if self.jitter.insert(arrived, incoming) == Arrival::Restarted {
            // Another encoder: its packets do not continue what was decoded.
            let _ = self.decoder.reset();
        }
    }

    /// Adds the next step of this voice to `sum`.
    pub(super) fn mix_into(&mut self, now: Timestamp, sum: &mut [f32; STEP]) {
        let needed = self.stretcher.needed();
        while self.decoded.len() < needed {
            let Self { jitter, decoder, .. } = self;
            let mut heard = true;
            let samples = match jitter.pull(now, self.decoded.len(), self.quiet) {
                Verdict::Empty => break,
                Verdict::Packet(packet) => decoder.decode(packet),
                Verdict::Fec { following, samples } => decoder.recover(following, samples),
                Verdict::Conceal { samples } => {
                    heard = false;
                    decoder.conceal(samples)
                }
            };
            match samples {
                Ok(samples) => {
                    self.quiet = level_dbfs(samples) < QUIET_DBFS;
                    self.decoded.extend_from_slice(samples);
                }
                // The packet lied about itself. Its time passes in silence.
                Err(_) => self.rejected += 1,
            }
            if heard {
                let made_up = self.jitter.counters().concealed_samples;
                self.gaps += u64::from(made_up - self.made_up > GAP_SAMPLES);
                self.made_up = made_up;
            }
        }
        if self.decoded.is_empty() {
            if !self.silent {
                self.silent = self.meter.feed(&[0.0; STEP]) <= SILENCE_DBFS;
            }
            return;
        }
        self.silent = false;
        let stretched = self.stretcher.set_speed(self.jitter.speed());
        match stretched.and_then(|()| self.stretcher.process(&self.decoded, &mut self.step)) {
            Ok(used) => {
                self.decoded.drain(..used);
            }
            Err(_) => self.decoded.clear(),
        }
        self.meter.feed(&self.step);
        for (sum, sample) in sum.iter_mut().zip(&self.step) {
            *sum += sample * self.volume;
        }
    }

    pub(super) fn publish(&self) {
        let counters = self.jitter.counters();
        let set = |to: &AtomicU64, value: u64| to.store(value, Ordering::Relaxed);
        set(&self.stats.packets_received, counters.received);
        set(&self.stats.packets_lost, counters.lost);
        set(&self.stats.packets_late, counters.late);
        set(&self.stats.packets_recovered, counters.recovered);
        set(&self.stats.packets_rejected, counters.rejected + self.rejected);
        set(&self.stats.concealed_samples, counters.concealed_samples);
        set(&self.stats.gaps, self.gaps);
        set(&self.stats.bytes, self.bytes);
        self.stats.buffer_ms.store(self.jitter.buffer_ms().to_bits(), Ordering::Relaxed);
        self.stats.target_ms.store(self.jitter.target_ms().to_bits(), Ordering::Relaxed);
        self.stats.level_dbfs.store(self.meter.level().to_bits(), Ordering::Relaxed);
    }
}
