//! Thread role: microphone to network.
//!
//! ```text
//! Microphone > echo, noise, gain > 20 ms frame > muted? silent? > Opus > RTP > Egress (EF)    each frame
//!     speaker's Reference ┘                                RTCP SR + SDES > port + 1          each second; BYE at the end
//! ```
//! With voice activation a silent voice pauses as a muted one does. What was captured just before it begins again is sent
//! as well, at once, so that no word loses its beginning. Whoever is muted and speaks is counted, for a notice here.
//! Muted means silent on the wire too: no packets, while the media clock goes on, so that receivers see a pause (the
//! marker of RFC 3551 section 4.1 tells its end). So does who falls silent, see `silence`; a word that is cut off by that
//! ends with silence, so that nobody makes up the rest of it. The RTP timestamp counts captured samples, those thrown away
//! included; when the device was away it is moved on by the clock. Nothing is allocated per frame, except by what works on a voice, see [`voice`]; and nothing
//! here waits for the network.

mod activation;
mod silence;
mod stats;
#[cfg(test)]
mod tests;
mod thread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use zeroize::Zeroizing;

use activation::Activation;
use silence::{Fate, Silence};

use crate::device::clock::Clock;
use crate::device::net::Dscp;
use crate::device::sound::{Buffers, Microphone, MicrophoneSpec, SoundCounters, SoundEvent};
use crate::limits::{OPUS_PACKET_BYTES_MAX, RTP_PACKET_BYTES_MAX};
use crate::media::activity::Activity;
use crate::media::mix::{Meter, SILENCE_DBFS, level_dbfs};
use crate::media::opus::{self, Encoder, RATE};
use crate::media::voice::{self, Processor};
use crate::media::wav;
use crate::pipeline::egress::Egress;
use crate::pipeline::reference::Reference;
use crate::pipeline::repair::OutgoingRedundancy;
use crate::pipeline::voice_record::Frame;
use crate::protocol::packetizer::AudioPacketizer;
use crate::protocol::srtp::{self, MASTER_BYTES, Protector};
use crate::time::{Timestamp, media_units};
use crate::wire::rtcp::{self, SenderReport};
pub use stats::AudioSendStats;
pub use thread::AudioSender;

/// Sender reports are this far apart.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Without a frame for this long the microphone was away, or this thread was.
const AWAY: Duration = Duration::from_millis(120);
/// It was the microphone if so much was not captured meanwhile, and the media clock is moved on.
const MISSED_MS: u32 = 60;
/// Longest sleep: commands wake the thread anyway.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Told as voice when it is louder.
const VOICE_DBFS: f32 = -50.0;
/// Whoever is muted speaks once they are so loud for so long, and has stopped after so much silence.
const MUTED_DBFS: f32 = -40.0;
const MUTED_ONSET_MS: u32 = 250;
const MUTED_HANGOVER_MS: u32 = 2_000;

/// How a voice is sent.
pub struct Config {
    /// Which microphone.
    pub microphone: MicrophoneSpec,
    /// Pitch of the simulated voice, see `media::test_voice::pitch_for`.
    pub pitch_hz: f32,
    /// Packet length: 10 or 20 ms, or 5 with low delay.
    pub frame_ms: u32,
    /// What is done to the voice, and what the speaker gets, when there is one beside the microphone.
    pub voice: voice::Settings,
    /// See `voice`.
    pub reference: Option<Reference>,
    /// With voice activation: softer than this is silence, in dBFS.
    pub threshold_dbfs: Option<f32>,
    /// Bitrate and redundancy.
    pub opus: opus::Settings,
    /// Synchronization source, random.
    pub ssrc: u32,
    /// First sequence number, random (RFC 3550 section 5.1).
    pub first_sequence: u16,
    /// First timestamp, random.
    pub first_timestamp: u32,
    /// Canonical name of the participant.
    pub cname: String,
    /// Name for people.
    pub name: String,
    /// In a protected conference the stream's key material.
    pub master: Option<Zeroizing<[u8; MASTER_BYTES]>>,
    /// Where the stream is, for beacons: roll-over counter << 16 | last sequence number.
    pub position: Arc<AtomicU64>,
    /// What repairs it, if anything does.
    pub repair: Option<OutgoingRedundancy>,
    /// Begin without sending.
    pub muted: bool,
}

/// A voice cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither 10 nor 20 ms, nor 5 with low delay.
    #[error("a frame of {0} ms; it is 10 or 20, or 5 with low delay")]
    Frame(u32),
    /// The WAV file that stands for the microphone.
    #[error("microphone: {0}")]
    File(#[from] wav::Error),
    /// The encoder.
    #[error("voice encoder: {0}")]
    Opus(#[from] opus::Error),
    /// No thread could be made.
    #[error("no thread for the microphone: {0}")]
    Thread(#[from] io::Error),
}

/// What another stream of the same voice differs in.
pub struct NextStream {
    /// Synchronization source.
    pub ssrc: u32,
    /// First sequence number, random (RFC 3550 section 5.1).
    pub first_sequence: u16,
    /// In a protected conference the stream's key material.
    pub master: Option<Zeroizing<[u8; MASTER_BYTES]>>,
    /// Where the stream is, for beacons.
    pub position: Arc<AtomicU64>,
    /// What repairs it, if anything does.
    pub repair: Option<OutgoingRedundancy>,
}

const fn samples(ms: u32) -> usize {
    (RATE / 1_000 * ms) as usize
}

/// Silence is not sent where noise is held down. Who has it left in wants it heard: it may be music.
fn leaves_out_silence(opus: opus::Settings, voice: voice::Settings) -> bool {
    voice.noise && !opus.low_delay
}

/// The role itself: [`step`](Self::step) it with the time, or let [`AudioSender`] do so on a thread.
pub struct AudioSend {
    microphone: Microphone,
    encoder: Encoder,
    /// Samples by which what is decoded is older than its RTP timestamp says.
    lookahead: usize,
    packetizer: AudioPacketizer,
    egress: Egress,
    clock: Clock,
    cname: String,
    name: String,
    /// What is being captured: `filled` samples of it so far, in steps of `block`, which is what works on them takes.
    frame: Vec<f32>,
    filled: usize,
    block: usize,
    processor: Processor,
    reference: Option<Reference>,
    /// What the speaker got during a block.
    heard: Vec<f32>,
    /// Voice activation.
    activation: Option<Activation>,
    /// Whether the voice is muted and speaks.
    overheard: Activity,
    opus: Vec<u8>,
    packet: Vec<u8>,
    protector: Option<Protector>,
    /// A packet in protected form.
    sealed: Vec<u8>,
    position: Arc<AtomicU64>,
    repair: Option<OutgoingRedundancy>,
    /// Media time of the next sample captured.
    timestamp: u32,
    /// When the last frame was read.
    captured: Timestamp,
    /// Samples that were captured then and not yet read.
    left: usize,
    reported: Option<Timestamp>,
    shown: Option<Timestamp>,
    muted: bool,
    /// The next packet begins a talk spurt.
    marker: bool,
    silence: Silence,
    coding: opus::Settings,
    meter: Meter,
    /// Where a voice message is recorded, muted or not.
    record: Option<Sender<Frame>>,
    stats: Arc<AudioSendStats>,
}

impl AudioSend {
    /// A voice that goes to `egress`.
    ///
    /// # Errors
    /// See [`Error`]; a device that does not work is no error but an [`event`](Self::event).
    pub fn new(config: Config, egress: Egress, clock: Clock) -> Result<Self, Error> {
        let short = config.frame_ms == 5 && config.opus.low_delay;
        if !short && ![10, 20].contains(&config.frame_ms) {
            return Err(Error::Frame(config.frame_ms));
        }
        let frame = samples(config.frame_ms);
        let sizes = if config.opus.low_delay { Buffers::Least } else { Buffers::Usual };
        // There is no block of 10 ms in one of 5.
        let processor = Processor::new(if short { voice::Settings::NONE } else { config.voice });
        config.position.store(config.first_sequence.into(), Ordering::Relaxed);
        let mut encoder = Encoder::new(config.opus)?;
        encoder.set_dtx(leaves_out_silence(config.opus, processor.settings()))?;
        let lookahead = usize::from(encoder.lookahead()?);
        Ok(Self {
            microphone: Microphone::open_with(&config.microphone, sizes, config.pitch_hz, &clock)?,
            encoder,
            lookahead,
            packetizer: AudioPacketizer::new(config.ssrc, config.first_sequence),
            egress,
            captured: clock.now(),
            clock,
            cname: config.cname,
            name: config.name,
            frame: vec![0.0; frame],
            filled: 0,
            block: voice::BLOCK.min(frame),
            processor,
            reference: config.reference,
            heard: vec![0.0; voice::BLOCK],
            activation: config.threshold_dbfs.map(|dbfs| Activation::new(dbfs, frame)),
            overheard: Activity::new(MUTED_DBFS, samples(MUTED_ONSET_MS), samples(MUTED_HANGOVER_MS)),
            opus: Vec::with_capacity(OPUS_PACKET_BYTES_MAX),
            packet: Vec::with_capacity(RTP_PACKET_BYTES_MAX),
            protector: config.master.as_ref().map(|master| Protector::new(master)),
            sealed: Vec::with_capacity(RTP_PACKET_BYTES_MAX),
            position: config.position,
            repair: config.repair,
            timestamp: config.first_timestamp,
            left: 0,
            reported: None,
            shown: None,
            muted: config.muted,
            marker: true,
            silence: Silence::default(),
            coding: config.opus,
            meter: Meter::default(),
            record: None,
            stats: Arc::new(AudioSendStats::new()),
        })
    }

    /// Figures.
    pub fn stats(&self) -> Arc<AudioSendStats> {
        self.stats.clone()
    }

    /// Whether there is a microphone at all.
    pub fn has_microphone(&self) -> bool {
        self.microphone.exists()
    }

    /// What the microphone did since it was asked last.
    pub fn event(&mut self) -> Option<SoundEvent> {
        self.microphone.event()
    }

    /// Stops or resumes sending.
    pub fn mute(&mut self, muted: bool) {
        if muted == self.muted {
            // A word that is being sent goes on.
            return;
        }
        match (muted, self.muted || self.marker) {
            (false, _) => self.silence.go_on(),
            (true, false) => self.silence.cut_off(),
            (true, true) => {}
        }
        self.muted = muted;
        self.marker = true;
        self.stop_overhearing();
        self.activation.iter_mut().for_each(Activation::forget);
        if muted {
            self.show_silence();
        }
    }

    fn stop_overhearing(&mut self) {
        self.overheard.reset();
        self.stats.speaks_muted.store(false, Ordering::Relaxed);
    }

    /// Ends the stream and goes on as another one; the microphone stays open.
    pub fn begin(&mut self, next: NextStream) {
        self.goodbye();
        self.packetizer = AudioPacketizer::new(next.ssrc, next.first_sequence);
        self.protector = next.master.as_ref().map(|master| Protector::new(master));
        self.position = next.position;
        self.repair = next.repair;
        self.position.store(next.first_sequence.into(), Ordering::Relaxed);
        (self.reported, self.marker, self.silence) = (None, true, Silence::default());
    }

    /// Hands what is captured from now on to `frames`, too, until nobody takes it from there.
    pub fn record(&mut self, frames: Sender<Frame>) {
        self.record = Some(frames);
    }

    fn hand_on(&mut self) {
        let Some(record) = &self.record else { return };
        match record.try_send(Frame::new(&self.frame)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => self.record = None,
        }
    }

    fn show_silence(&mut self) {
        self.meter = Meter::default();
        self.stats.level.store(SILENCE_DBFS.to_bits(), Ordering::Relaxed);
    }

    /// Does other things to the voice from now on.
    pub fn set_voice(&mut self, settings: voice::Settings) {
        if self.frame.len() >= voice::BLOCK {
            self.processor.set(settings);
            // Refused, it goes on as before, which nobody hears.
            let _ = self.encoder.set_dtx(leaves_out_silence(self.coding, settings));
        }
    }

    /// Sends by voice activation, with what is softer than this as silence, or all the time.
    pub fn set_threshold(&mut self, dbfs: Option<f32>) {
        // In the middle of a word its end is told, if nothing follows.
        let speaks = !self.marker && !self.muted;
        self.activation = dbfs.map(|dbfs| Activation::new(dbfs, self.frame.len()));
        self.activation.iter_mut().for_each(|activation| activation.speaks = speaks);
    }

    /// Sends what has been captured until `now`; returns how long to wait before the next step.
    pub fn step(&mut self, now: Timestamp) -> Duration {
        while self.microphone.read(now, &mut self.frame[self.filled..self.filled + self.block]) {
            let quiet_for = now.since(std::mem::replace(&mut self.captured, now));
            self.left = self.microphone.waiting(now);
            let missing = self.missing(quiet_for);
            if missing > 0 {
                self.timestamp = self.timestamp.wrapping_add(missing + self.filled as u32);
                self.frame.copy_within(self.filled..self.filled + self.block, 0);
                (self.filled, self.marker) = (0, true);
                self.activation.iter_mut().for_each(Activation::forget);
            }
            if self.processor.works() {
                match &mut self.reference {
                    Some(reference) => reference.take(now, &mut self.heard),
                    None => self.heard.fill(0.0),
                }
                self.processor.process(&self.heard, &mut self.frame[self.filled..self.filled + self.block]);
            }
            self.filled += self.block;
            if self.filled == self.frame.len() {
                self.filled = 0;
                self.hand_on();
                self.captured_frame();
                self.timestamp = self.timestamp.wrapping_add(self.frame.len() as u32);
            }
        }
        if now.since(self.captured) > AWAY {
            self.show_silence();
            self.stop_overhearing();
        }
        let SoundCounters { glitches, xruns, .. } = self.microphone.counters();
        self.stats.glitches.store(glitches + xruns, Ordering::Relaxed);
        if self.shown.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
            self.shown = Some(now);
            self.show_figures();
        }
        if self.packetizer.counters().packets > 0 && self.reported.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
            self.reported = Some(now);
            self.report(now);
        }
        self.microphone.wait(now, self.block).min(WAIT_MAX)
    }

    /// Samples between those captured before and the block that has just been read: thrown away because this thread was
    /// held up, or never captured because the microphone was away for some of the time without any.
    fn missing(&mut self, quiet_for: Duration) -> u32 {
        let dropped = self.microphone.take_dropped();
        if quiet_for <= AWAY {
            return dropped;
        }
        let there = (self.left + self.block) as u32 + dropped;
        let missed = media_units(quiet_for, RATE).saturating_sub(there);
        dropped + if missed > MISSED_MS * RATE / 1_000 { missed } else { 0 }
    }

    fn show_figures(&self) {
        let figures = self.processor.works().then(|| self.processor.figures());
        let [packet, filters] =
            [self.frame.len(), self.processor.delay()].map(|n| Duration::from_secs(1) * n as u32 / RATE);
        self.stats.show(figures.as_ref(), self.processor.settings(), [self.microphone.delay(), packet, filters]);
    }

    /// A whole frame is there: it is sent, or held in case it is the beginning of a word, or neither.
    fn captured_frame(&mut self) {
        let level = level_dbfs(&self.frame);
        if self.muted {
            let speaks = self.overheard.feed(level, self.frame.len());
            let spoke = self.stats.speaks_muted.swap(speaks, Ordering::Relaxed);
            let began = speaks && !spoke;
            self.stats.spoken_muted.fetch_add(began.into(), Ordering::Relaxed);
            return self.end_spurt();
        }
        let Some(mut activation) = self.activation.take() else { return self.send_frame(self.timestamp) };
        let spoke = std::mem::replace(&mut activation.speaks, activation.activity.feed(level, self.frame.len()));
        if activation.speaks {
            while activation.held > 0 {
                let ago = (activation.held * self.frame.len()) as u32;
                let place = activation.swap_oldest(&mut self.frame);
                self.send_frame(self.timestamp.wrapping_sub(ago));
                std::mem::swap(&mut activation.before[place], &mut self.frame);
            }
            self.send_frame(self.timestamp);
        } else {
            activation.hold(&mut self.frame);
            if spoke {
                self.show_silence();
                self.send_nothing();
            }
            self.marker = true;
        }
        self.activation = Some(activation);
    }

    fn send_frame(&mut self, timestamp: u32) {
        self.stats.frames.fetch_add(1, Ordering::Relaxed);
        let level = level_dbfs(&self.frame);
        self.stats.level.store(self.meter.feed(&self.frame).to_bits(), Ordering::Relaxed);
        let Some(destination) = self.egress.destination.current() else {
            self.marker = true;
            return;
        };
        if self.encode().is_some() {
            self.transmit(destination, timestamp, level);
        }
    }

    /// Codes the frame, or counts a failure.
    fn encode(&mut self) -> Option<()> {
        let coded = self.encoder.encode(&self.frame, &mut self.opus).ok();
        self.stats.failures.fetch_add(coded.is_none().into(), Ordering::Relaxed);
        coded
    }

    /// What is captured is heard by nobody any more: the spurt's last packets, without any of it.
    fn end_spurt(&mut self) {
        match self.silence.ending() {
            None => {}
            Some(true) => self.send_nothing(),
            Some(false) => {
                self.frame.fill(0.0);
                if let Some(destination) = self.egress.destination.current()
                    && self.encode().is_some()
                {
                    self.marker = false;
                    self.transmit(destination, self.timestamp, SILENCE_DBFS);
                    self.marker = true;
                }
            }
        }
    }

    /// Tells that nothing follows, with a frame without a content.
    fn send_nothing(&mut self) {
        let Some(destination) = self.egress.destination.current() else { return };
        // A packet's first byte says how its one frame would be coded (RFC 6716 section 3.1).
        self.opus.truncate(1);
        if let [first] = &mut self.opus[..] {
            *first &= 0xfc;
            self.transmit(destination, self.timestamp, SILENCE_DBFS);
        }
    }

    /// Sends what is coded, unless nobody misses it.
    fn transmit(&mut self, destination: SocketAddr, timestamp: u32, level: f32) {
        let fate = self.silence.fate(self.opus.len(), self.frame.len());
        if fate == Fate::Unsent {
            self.marker = true;
            return;
        }
        // RFC 6464: those who receive many know the loud ones before they decode any.
        let level = Some((level > VOICE_DBFS, (-level).clamp(0.0, 127.0).round() as u8));
        let marker = self.marker && fate == Fate::Voice;
        self.packetizer.packet(timestamp, marker, level, &self.opus, &mut self.packet);
        self.marker &= !marker;
        let position = self.packetizer.counters().position();
        self.position.store(position, Ordering::Relaxed);
        let Some(packet) = sealed(&mut self.protector, Protector::protect, &self.packet, &mut self.sealed) else {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let sent = self.egress.send(destination, packet, Dscp::Audio);
        match sent {
            Ok(()) => {
                self.stats.packets.fetch_add(1, Ordering::Relaxed);
                self.stats.bytes.fetch_add(packet.len() as u64, Ordering::Relaxed);
            }
            Err(_) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(repair) = &self.repair {
            repair.keep(self.captured, &self.packet);
        }
    }

    fn report(&mut self, now: Timestamp) {
        // What is captured now waits behind what the device and its callbacks hold, and leaves the filters under a later time;
        // and so does what leaves the decoder, which nobody else accounts for.
        let since = media_units(now.since(self.captured) + self.microphone.latency(), RATE)
            + (self.left + self.filled + self.processor.delay() + self.lookahead) as u32;
        let report = SenderReport {
            ssrc: self.packetizer.counters().ssrc,
            ntp: self.clock.wall(),
            rtp_timestamp: self.timestamp.wrapping_add(since),
            packets: self.packetizer.counters().packets,
            bytes: self.packetizer.counters().payload_bytes,
        };
        self.packet.clear();
        rtcp::write_sr_sdes(&report, &self.cname, &self.name, &mut self.packet);
        self.send_rtcp();
    }

    /// Says good-bye on the wire, if anything was ever sent.
    pub fn goodbye(&mut self) {
        if self.packetizer.counters().packets > 0 {
            self.packet.clear();
            rtcp::write_bye(self.packetizer.counters().ssrc, &self.cname, &mut self.packet);
            self.send_rtcp();
        }
    }

    fn send_rtcp(&mut self) {
        let Some(mut destination) = self.egress.destination.current() else { return };
        let Some(port) = destination.port().checked_add(1) else { return };
        destination.set_port(port);
        let packet = sealed(&mut self.protector, Protector::protect_control, &self.packet, &mut self.sealed);
        if packet.is_none_or(|packet| self.egress.send(destination, packet, Dscp::Audio).is_err()) {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What goes on the wire for `plain`: itself in an open conference, else its protected form, which is put in `buffer`.
/// What cannot be protected is not sent.
fn sealed<'a>(
    protector: &mut Option<Protector>,
    protect: impl FnOnce(&mut Protector, &[u8], &mut Vec<u8>) -> Result<(), srtp::Error>,
    plain: &'a [u8],
    buffer: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let Some(protector) = protector else { return Some(plain) };
    buffer.clear();
    protect(protector, plain, buffer).ok().map(|()| &buffer[..])
}
