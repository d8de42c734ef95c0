//! One talker: jitter buffer, decoder, cuts in step with the pitch, and the stretcher that follows the talker's clock.
//!
//! ```text
//! packets > JitterBuffer > Decoder > Tempo > Stretcher > the mix
//!               '-- wish(): shorten, lengthen --'  |
//!               '-- speed(): the talker's clock ---'
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::media::floor::Floor;
use crate::media::mix::{Meter, Over, SILENCE_DBFS, add_fading};
use crate::media::opus::{Decoder, RATE, packet_samples};
use crate::media::resample::Stretcher;
use crate::media::tempo::Tempo;
use crate::protocol::clock::SenderClock;
use crate::protocol::jitter::{Arrival, Incoming, JitterBuffer, Verdict, Wish};
use crate::time::{NtpTime, Timestamp};
use crate::wire::rtp;

use super::choice::Claim;
use super::{Error, STEP};

/// A voice that begins anywhere does so within 2.5 ms.
const EDGE: usize = STEP;
/// A voice that ends anywhere goes on for 5 ms, made up and fading.
const TAIL: usize = 240;
/// Shorter audio is joined by the next packet before it is made shorter.
const SHORTEN_FROM: usize = 720;
/// The gain moves by this much in a step at most: from nothing to all in 20 ms.
const FADE: f32 = 0.125;
const STEP_LONG: Duration = Duration::from_nanos(STEP as u64 * 1_000_000_000 / RATE as u64);
/// Decoded audio above this, and above what the voice has in its pauses, is a word.
const WORD_DBFS: f32 = -50.0;
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
    device_ms: AtomicU32,
    drift_ppm: AtomicU32,
    accelerated: AtomicU64,
    accelerated_samples: AtomicU64,
    expanded: AtomicU64,
    expanded_samples: AtomicU64,
    level_dbfs: AtomicU32,
    priority: AtomicBool,
    words: AtomicU64,
    /// NTP time; 0 = unknown.
    played: AtomicU64,
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
            device_ms: AtomicU32::new(0),
            drift_ppm: AtomicU32::new(0),
            accelerated: AtomicU64::new(0),
            accelerated_samples: AtomicU64::new(0),
            expanded: AtomicU64::new(0),
            expanded_samples: AtomicU64::new(0),
            level_dbfs: AtomicU32::new(SILENCE_DBFS.to_bits()),
            priority: AtomicBool::new(false),
            words: AtomicU64::new(0),
            played: AtomicU64::new(0),
        }
    }
}

impl TalkerStats {
    /// Whether it speaks over all others.
    pub fn priority(&self) -> bool {
        self.priority.load(Ordering::Relaxed)
    }

    /// Grows while it says something, as far as can be told from the level.
    pub fn words(&self) -> u64 {
        self.words.load(Ordering::Relaxed)
    }

    /// When what the speaker is given now was captured, on the sender's wall clock; `None` while nothing plays or before the
    /// first sender report.
    pub fn played(&self) -> Option<NtpTime> {
        Some(self.played.load(Ordering::Relaxed)).filter(|&ntp| ntp != 0).map(NtpTime)
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

    /// Time the mix waits for the speaker, in ms.
    pub fn device_ms(&self) -> f32 {
        f32::from_bits(self.device_ms.load(Ordering::Relaxed))
    }

    /// How much faster the talker's clock runs than this speaker's, in parts per million, as far as it is known.
    pub fn drift_ppm(&self) -> f32 {
        f32::from_bits(self.drift_ppm.load(Ordering::Relaxed))
    }

    /// Times audio was made shorter to lower the delay, and by how many ms in all.
    pub fn accelerated(&self) -> (u64, u64) {
        let samples = self.accelerated_samples.load(Ordering::Relaxed);
        (self.accelerated.load(Ordering::Relaxed), samples / 48)
    }

    /// Times audio was made longer to raise the delay, and by how many ms in all.
    pub fn expanded(&self) -> (u64, u64) {
        let samples = self.expanded_samples.load(Ordering::Relaxed);
        (self.expanded.load(Ordering::Relaxed), samples / 48)
    }

    /// Level of the voice as received, whatever its volume here.
    pub fn level_dbfs(&self) -> f32 {
        f32::from_bits(self.level_dbfs.load(Ordering::Relaxed))
    }
}

pub(super) struct Talker {
    pub(super) stream: u64,
    jitter: JitterBuffer,
    clock: SenderClock,
    decoder: Decoder,
    stretcher: Stretcher,
    /// Decoded and not yet mixed.
    tempo: Tempo,
    /// What is decoded next does not continue what was played.
    apart: bool,
    volume: f32,
    /// Whether this is one of those who are heard.
    pub(super) claim: Claim,
    over: Over,
    /// Moves towards whether it is heard.
    presence: f32,
    /// What the last sample was multiplied by.
    gain: f32,
    /// Packets passed by since the decoder saw one.
    stale: bool,
    /// Samples taken out of the buffer undecoded, beyond those whose time has come.
    passed: usize,
    step: [f32; STEP],
    meter: Meter,
    floor: Floor,
    /// Says something, as far as can be told from the level.
    speaks: bool,
    /// Whether the meter shows silence already.
    silent: bool,
    /// Is played no more, and gone once it has faded.
    leaves: bool,
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
            clock: SenderClock::new(RATE),
            decoder: Decoder::new()?,
            stretcher: Stretcher::new(STEP)?,
            tempo: Tempo::new(2 * crate::media::opus::PACKET_SAMPLES_MAX),
            apart: true,
            volume: 1.0,
            claim: Claim::default(),
            over: Over::default(),
            presence: 0.0,
            gain: 0.0,
            stale: false,
            passed: 0,
            step: [0.0; STEP],
            meter: Meter::default(),
            floor: Floor::default(),
            speaks: false,
            silent: true,
            leaves: false,
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
        self.claim.silenced = self.volume == 0.0;
    }

    /// Goes on as `other`, whose figures begin anew: buffer, decoder, delay, drift, volume and priority stay, as another source
    /// of packets is another beginning of the same voice. Whoever is to be heard otherwise says so.
    pub(super) fn succeed(&mut self, other: Self) {
        self.stats = other.stats;
        self.jitter.count_anew();
        (self.rejected, self.made_up, self.gaps, self.bytes) = (0, 0, 0, 0);
        self.leaves = false;
        self.set_volume(self.volume);
        self.set_priority(self.claim.priority);
    }

    /// Fades out, and is gone then.
    pub(super) fn leave(&mut self) {
        (self.leaves, self.claim.silenced) = (true, true);
    }

    pub(super) fn leaves(&self) -> bool {
        self.leaves
    }

    pub(super) fn has_left(&self) -> bool {
        self.leaves && self.presence == 0.0
    }

    /// Whether its packets are not decoded.
    #[cfg(test)]
    pub(super) fn is_passed_by(&self) -> bool {
        self.presence == 0.0
    }

    pub(super) fn set_priority(&mut self, on: bool) {
        self.claim.priority = on;
        self.stats.priority.store(on, Ordering::Relaxed);
    }

    /// Whether it is saying something over all others.
    pub(super) fn commands(&self) -> bool {
        self.claim.priority && self.claim.heard() && self.speaks
    }

    /// What it is multiplied by in the next step, where the others are by `under`; somebody is speaking over them while
    /// `commanded`.
    pub(super) fn beside(&mut self, commanded: bool, under: f32) -> f32 {
        self.over.step(self.claim.priority, commanded, under, STEP)
    }

    /// The audio waits so long for late packets at least.
    pub(super) fn set_least_delay(&mut self, ms: f32) {
        self.jitter.set_least_ms(ms);
    }

    /// So many samples wait for the speaker because the machine was held up.
    pub(super) fn set_elsewhere(&mut self, samples: usize) {
        self.jitter.set_elsewhere(samples);
    }

    pub(super) fn report(&mut self, ntp: NtpTime, rtp_timestamp: u32) {
        self.clock.report(ntp, rtp_timestamp);
    }

    pub(super) fn goodbye(&mut self) {
        self.jitter.goodbye();
    }

    pub(super) fn receive(&mut self, arrived: Timestamp, bytes: &[u8], again: bool) {
        self.bytes += bytes.len() as u64;
        let Some((packet, samples)) = rtp::Packet::parse(bytes)
            .ok()
            .filter(|p| p.header.payload_type == rtp::PT_OPUS)
            .and_then(|p| Some((p, packet_samples(p.payload)?)))
        else {
            self.rejected += 1;
            return;
        };
        let rtp::Header { ssrc, sequence, timestamp, marker, .. } = packet.header;
        let samples = samples as u32;
        let incoming = Incoming { ssrc, sequence, timestamp, marker, again, samples, payload: packet.payload };
        self.claim.packet(arrived, packet.audio_level().map(|(_, minus_dbov)| minus_dbov));
        if self.jitter.insert(arrived, incoming) == Arrival::Restarted {
            // Another encoder: its packets do not continue what was decoded, which ends first.
            self.end();
            let _ = self.decoder.reset();
            self.clock.forget();
        }
    }

    /// Adds the next step of this voice to `sum`, `gain` times as loud; the speaker asks for `asked` samples, this step
    /// included.
    pub(super) fn mix_into(&mut self, now: Timestamp, asked: usize, gain: f32, sum: &mut [f32; STEP]) {
        let wanted = f32::from(self.claim.heard());
        if wanted == 0.0 && self.presence == 0.0 {
            return self.pass(now, asked as i64);
        }
        self.presence += (wanted - self.presence).clamp(-FADE, FADE);
        if self.presence == 0.0 {
            // From now on packets only pass by.
            self.passed = self.tempo.waiting().len();
            self.tempo.clear();
            self.stretcher.reset();
            (self.gain, self.apart) = (0.0, true);
            return self.pass(now, asked as i64);
        }
        if std::mem::take(&mut self.stale) {
            // What follows continues nothing the decoder knows, and keeps its time.
            let _ = self.decoder.reset();
            self.tempo.push_silence(std::mem::take(&mut self.passed));
            self.apart = true;
        }
        let (from, to) = (self.gain, self.presence * self.volume * gain);
        self.gain = to;
        self.decode(now, asked as i64);
        if self.tempo.waiting().is_empty() {
            if !self.silent {
                let level = self.meter.feed(&[0.0; STEP]);
                self.claim.measured(now, level);
                self.silent = level <= SILENCE_DBFS;
                self.listen(level);
            }
            return;
        }
        self.silent = false;
        let stretched = self.stretcher.set_speed(self.jitter.speed());
        match stretched.and_then(|()| self.stretcher.process(self.tempo.waiting(), &mut self.step)) {
            Ok(used) => self.tempo.play(used),
            Err(_) => self.tempo.clear(),
        }
        let level = self.meter.feed(&self.step);
        self.claim.measured(now, level);
        self.listen(level);
        add_fading(sum, &self.step, from, to);
    }

    /// Takes note of the level of a step that is heard.
    fn listen(&mut self, level: f32) {
        self.follow(level);
        self.stats.words.fetch_add(u64::from(self.speaks), Ordering::Relaxed);
    }

    fn follow(&mut self, level: f32) {
        self.speaks = self.floor.follow(level, STEP_LONG) && level > WORD_DBFS;
    }

    /// Lets the next step pass by unheard: the buffer goes on as if it were played, and nothing is decoded.
    fn pass(&mut self, now: Timestamp, asked: i64) {
        while self.passed < STEP {
            match self.jitter.pull(now, self.passed as i64 - asked) {
                Verdict::Empty => self.passed = STEP,
                Verdict::Packet(packet) => self.passed += packet_samples(packet).unwrap_or(STEP),
                Verdict::Fec { samples, .. } | Verdict::Conceal { samples } | Verdict::Noise { samples } => {
                    self.passed += samples;
                }
            }
            if let Some(wish) = self.jitter.wish() {
                let samples = wish.most.min(STEP).min(self.passed);
                self.passed = if wish.shorten { self.passed - samples } else { self.passed + samples };
                self.jitter.cut(wish.shorten, samples);
            }
        }
        self.passed -= STEP;
        self.stale = true;
        let level = self.claim.loudness(now);
        self.follow(level);
        self.meter.show(level);
    }

    /// Decodes what the next step needs.
    fn decode(&mut self, now: Timestamp, asked: i64) {
        while self.tempo.waiting().len() < self.stretcher.needed() {
            let Self { jitter, decoder, tempo, .. } = self;
            let mut heard = true;
            let samples = match jitter.pull(now, tempo.waiting().len() as i64 - asked) {
                Verdict::Empty if self.apart => return,
                Verdict::Empty => {
                    self.end();
                    continue;
                }
                Verdict::Packet(packet) => decoder.decode(packet),
                Verdict::Fec { following, samples } => decoder.recover(following, samples),
                Verdict::Conceal { samples } | Verdict::Noise { samples } => {
                    heard = false;
                    decoder.conceal(samples)
                }
            };
            match samples {
                Ok(samples) => {
                    tempo.push(samples);
                    if std::mem::take(&mut self.apart) {
                        let fresh = tempo.waiting().len() - samples.len();
                        fade(tempo.waiting_mut()[fresh..].iter_mut().take(EDGE));
                    }
                }
                // The packet lied about itself. Its time passes in silence.
                Err(_) => self.rejected += 1,
            }
            if heard {
                let made_up = self.jitter.counters().concealed_samples;
                self.gaps += u64::from(made_up - self.made_up > GAP_SAMPLES);
                self.made_up = made_up;
                self.cut(now);
            }
        }
    }

    /// What is decoded ends here, wherever the wave stands: it goes on for a moment and fades.
    fn end(&mut self) {
        if std::mem::replace(&mut self.apart, true) {
            return;
        }
        if let Ok(made_up) = self.decoder.conceal(TAIL) {
            self.tempo.push(made_up);
        }
        let waiting = self.tempo.waiting_mut();
        let fresh = waiting.len().saturating_sub(TAIL);
        fade(waiting[fresh..].iter_mut().rev());
    }

    /// Makes what is decoded shorter or longer, if the buffer wishes so.
    fn cut(&mut self, now: Timestamp) {
        while let Some(wish) = self.jitter.wish() {
            let Some(samples) = self.cut_once(now, wish) else { return };
            self.jitter.cut(wish.shorten, samples);
        }
    }

    /// How much shorter or longer it became, if there was a place for it.
    fn cut_once(&mut self, now: Timestamp, wish: Wish) -> Option<usize> {
        if wish.shorten
            && self.tempo.waiting().len() < SHORTEN_FROM
            && let Some(packet) = self.jitter.early(now)
        {
            match self.decoder.decode(packet) {
                Ok(samples) => self.tempo.push(samples),
                Err(_) => self.rejected += 1,
            }
        }
        match wish.shorten {
            true => self.tempo.shorten(wish.likeness, wish.most),
            false => self.tempo.lengthen(wish.likeness, wish.most),
        }
    }

    /// Tells the figures; `device_ms` is what the mix waits for the speaker.
    pub(super) fn publish(&self, device_ms: f32) {
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
        set(&self.stats.accelerated, counters.accelerated);
        set(&self.stats.accelerated_samples, counters.accelerated_samples);
        set(&self.stats.expanded, counters.expanded);
        set(&self.stats.expanded_samples, counters.expanded_samples);
        let waiting = self.tempo.waiting().len() as u32;
        let played = self.jitter.timestamp().and_then(|end| self.clock.sender_time(end.wrapping_sub(waiting)));
        set(&self.stats.played, played.map_or(0, |ntp| ntp.0));
        self.stats.device_ms.store(device_ms.to_bits(), Ordering::Relaxed);
        self.stats.drift_ppm.store(self.jitter.drift_ppm().to_bits(), Ordering::Relaxed);
        self.stats.level_dbfs.store(self.meter.level().to_bits(), Ordering::Relaxed);
    }
}

/// Fades samples in, in the order given.
fn fade<'a>(samples: impl ExactSizeIterator<Item = &'a mut f32>) {
    let n = samples.len();
    for (i, sample) in samples.enumerate() {
        *sample *= i as f32 / n as f32;
    }
}
