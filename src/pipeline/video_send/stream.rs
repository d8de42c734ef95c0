//! One outgoing video stream: pictures in, paced RTP and RTCP out.
//!
//! ```text
//! Yuv ──BandEncoder──> band, band, band ┐
//!                                       ├─> VideoPacketizer ─> batch ─(pace)─> Egress
//! conforming JPEG ─────────────> scan ──┘
//! ```
//! A band goes out as soon as it is encoded, so that the wire and the receivers work while the next one is encoded.
//! Without a destination nothing is encoded. It never waits by itself: the caller's `pause` does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::device::clock::Clock;
use crate::device::net::{self, Dscp};
use crate::media::jpeg::{BandEncoder, Conforming};
use crate::media::picture::{Chroma, Yuv};
use crate::pipeline::egress::Egress;
use crate::pipeline::repair::OutgoingRepair;
use crate::pipeline::video_send::pacer::{Pacer, RUN_PACKETS};
use crate::protocol::packetizer::{self, FrameStart, PacketBatch, VIDEO_PACKET_BYTES, VideoPacketizer};
use crate::protocol::srtp::{MASTER_BYTES, Protector, TAG_BYTES};
use crate::time::{Timestamp, media_units};
use crate::wire::jpeg_payload::Sampling;
use crate::wire::rtcp::{self, SenderReport};

/// Bands of a frame. More would overlap more of the encoder's, the network's and the decoder's work, but each costs the
/// beginning of a JPEG.
const BANDS: usize = 9;
/// Luma samples below which a frame is encoded whole: bands gain less than they cost.
const BANDED_PIXELS_MIN: usize = 320 * 240;
/// Media clock of JPEG (RFC 2435 section 3).
const CLOCK_HZ: u32 = 90_000;
/// Time between sender reports, before randomisation (RFC 3550 section 6.2 asks for at least half of its 5 s; receivers
/// here want the capture time of a stream's first frames).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a stream needs to know of its conference.
#[derive(Clone)]
pub struct StreamConfig {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Random; RFC 3550 section 5.1.
    pub first_sequence: u16,
    /// Random; added to the capture time.
    pub timestamp_base: u32,
    /// Canonical name in RTCP.
    pub cname: String,
    /// Name shown in RTCP.
    pub name: String,
    /// JPEG quality 1..=100.
    pub quality: u8,
    /// Time between frames, for pacing.
    pub interval: Duration,
    /// This sender's phase in a pacing gap, 0 to 1, random.
    pub phase: f64,
    /// Seed of the reports' random times.
    pub seed: u64,
    /// In a protected conference the stream's key material.
    pub master: Option<Zeroizing<[u8; MASTER_BYTES]>>,
    /// Where the stream is, for beacons: roll-over counter << 16 | last sequence number.
    pub position: Arc<AtomicU64>,
    /// What repairs it, if anything does.
    pub repair: Option<OutgoingRepair>,
}

/// Figures of an outgoing stream. Written by its thread, read by anybody.
#[derive(Debug, Default)]
pub struct VideoSendStats {
    /// Frames sent.
    pub frames: AtomicU64,
    /// Of them, passed through from the camera as they were.
    pub frames_passed: AtomicU64,
    /// Frames that could not be encoded or sent.
    pub frames_failed: AtomicU64,
    /// RTP packets handed to the system.
    pub packets: AtomicU64,
    /// RTP bytes handed to the system, headers included.
    pub bytes: AtomicU64,
    /// Calls that the system refused; their packets are lost.
    pub send_errors: AtomicU64,
    /// Time from a frame's first band to its last packet, nanoseconds.
    pub encode_ns: AtomicU64,
    /// Size of the last frame sent: width in the high half, height in the low one.
    pub size: AtomicU64,
}

fn add(figure: &AtomicU64, by: u64) {
    figure.fetch_add(by, Ordering::Relaxed);
}

/// Why a frame did not go out, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be encoded.
    #[error("cannot encode: {0}")]
    Encode(#[from] crate::media::jpeg::Error),
    /// RTP/JPEG cannot carry it.
    #[error(transparent)]
    Packetize(#[from] packetizer::Error),
}

/// One outgoing stream.
pub struct OutgoingVideo {
    encoder: BandEncoder,
    way: Way,
    config: StreamConfig,
    reports: Reports,
}

/// From the packetizer to the network.
struct Way {
    packetizer: VideoPacketizer,
    batch: PacketBatch,
    protector: Option<Protector>,
    /// The batch in protected form, and a report.
    sealed: PacketBatch,
    sealed_report: Vec<u8>,
    position: Arc<AtomicU64>,
    repair: Option<OutgoingRepair>,
    pacer: Pacer,
    egress: Egress,
    clock: Clock,
    stats: Arc<VideoSendStats>,
}

impl OutgoingVideo {
    /// A stream that goes where `egress` says. Fails only without memory.
    ///
    /// # Errors
    /// The codec's.
    pub fn new(
        config: StreamConfig,
        egress: Egress,
        clock: &Clock,
        stats: Arc<VideoSendStats>,
    ) -> Result<Self, crate::media::jpeg::Error> {
        let way = Way {
            packetizer: VideoPacketizer::new(config.ssrc, config.first_sequence),
            batch: PacketBatch::default(),
            protector: config.master.as_ref().map(|master| Protector::new(master)),
            sealed: PacketBatch::default(),
            sealed_report: Vec::new(),
            position: Arc::clone(&config.position),
            repair: config.repair.clone(),
            pacer: Pacer::new(config.interval, config.phase),
            egress,
            clock: clock.clone(),
            stats,
        };
        let reports = Reports { due: None, sent_to: None, random: config.seed, bytes: Vec::new() };
        Ok(Self { encoder: BandEncoder::new()?, way, config, reports })
    }

    /// Ends the stream and goes on as another one.
    pub fn begin(&mut self, config: StreamConfig) {
        self.bye();
        self.way.packetizer = VideoPacketizer::new(config.ssrc, config.first_sequence);
        self.way.protector = config.master.as_ref().map(|master| Protector::new(master));
        self.way.position = Arc::clone(&config.position);
        self.way.repair.clone_from(&config.repair);
        self.way.position.store(config.first_sequence.into(), Ordering::Relaxed);
        self.reports.due = None;
        self.config = config;
    }

    /// Sets the JPEG quality, 1..=100, from the next frame on.
    pub fn set_quality(&mut self, quality: u8) {
        self.config.quality = quality.clamp(1, 100);
    }

    /// Whether there is anywhere to send to: without a destination nobody wants the stream.
    pub fn is_wanted(&self) -> bool {
        self.way.egress.destination.current().is_some()
    }

    /// Encodes and sends a picture captured at `captured`; `pause` waits for at most the time given. Nothing happens
    /// without a destination.
    ///
    /// # Errors
    /// The frame is incomplete or not sent at all then; the next one may go out.
    pub fn send_picture(
        &mut self,
        picture: &Yuv,
        captured: Timestamp,
        pause: &mut impl FnMut(Duration),
    ) -> Result<(), Error> {
        let Some(to) = self.destination() else { return Ok(()) };
        let Self { encoder, way, config, .. } = self;
        let bands = if picture.width * picture.height < BANDED_PIXELS_MIN { 1 } else { BANDS };
        let began = way.begin(bands);
        let timestamp = config.timestamp_base.wrapping_add(media_time(captured));
        let mut outcome = Ok(());
        encoder.encode(picture, config.quality, bands, &mut |band| {
            if outcome.is_err() {
                return;
            }
            if band.index == 0 {
                outcome = way.packetizer.begin(&FrameStart {
                    timestamp,
                    width: picture.width,
                    height: picture.height,
                    sampling: sampling(picture.chroma),
                    restart_interval: band.restart_interval,
                    tables: band.tables,
                });
            }
            if outcome.is_ok() {
                outcome = way.packetizer.push(band.scan, &mut way.batch);
            }
            if outcome.is_ok() && band.last {
                way.packetizer.finish(&mut way.batch);
            }
            way.flush(to, pause);
        })?;
        outcome?;
        way.sent(began, picture.width, picture.height);
        Ok(())
    }

    /// Sends a JPEG as the camera made it.
    ///
    /// # Errors
    /// As [`send_picture`](Self::send_picture).
    pub fn send_jpeg(
        &mut self,
        jpeg: &Conforming,
        captured: Timestamp,
        pause: &mut impl FnMut(Duration),
    ) -> Result<(), Error> {
        let Some(to) = self.destination() else { return Ok(()) };
        let way = &mut self.way;
        let began = way.begin(jpeg.scan.len().div_ceil(VIDEO_PACKET_BYTES * RUN_PACKETS));
        way.packetizer.begin(&FrameStart {
            timestamp: self.config.timestamp_base.wrapping_add(media_time(captured)),
            width: jpeg.width,
            height: jpeg.height,
            sampling: sampling(jpeg.chroma),
            restart_interval: jpeg.restart_interval,
            tables: &jpeg.tables,
        })?;
        way.packetizer.push(jpeg.scan, &mut way.batch)?;
        way.packetizer.finish(&mut way.batch);
        way.flush(to, pause);
        add(&way.stats.frames_passed, 1);
        way.sent(began, jpeg.width, jpeg.height);
        Ok(())
    }

    /// Sends the report that is due, if one is.
    pub fn report(&mut self) {
        self.destination();
    }

    /// Says goodbye to whoever was sent to last: the stream has stopped.
    pub fn bye(&mut self) {
        if let Some(to) = self.reports.sent_to.take() {
            self.reports.bytes.clear();
            rtcp::write_bye(self.config.ssrc, &self.config.cname, &mut self.reports.bytes);
            self.send_rtcp(to);
        }
        self.reports.due = None;
    }

    /// Where frames go now, after the report that is due has gone there.
    fn destination(&mut self) -> Option<SocketAddr> {
        let to = self.way.egress.destination.current()?;
        if self.reports.sent_to.is_some_and(|before| before != to) {
            self.bye();
        }
        let now = self.way.clock.now();
        if self.reports.due.is_none_or(|due| now >= due) {
            self.reports.due = Some(now + self.reports.interval());
            self.reports.sent_to = Some(to);
            let report = SenderReport {
                ssrc: self.config.ssrc,
                ntp: self.way.clock.wall(),
                rtp_timestamp: self.config.timestamp_base.wrapping_add(media_time(now)),
                packets: self.way.packetizer.counters().packets,
                bytes: self.way.packetizer.counters().payload_bytes,
            };
            self.reports.bytes.clear();
            rtcp::write_sr_sdes(&report, &self.config.cname, &self.config.name, &mut self.reports.bytes);
            self.send_rtcp(to);
        }
        Some(to)
    }

    fn send_rtcp(&mut self, rtp: SocketAddr) {
        let to = SocketAddr::from((rtp.ip(), rtp.port().saturating_add(1)));
        let way = &mut self.way;
        let mut report = &self.reports.bytes;
        if let Some(protector) = &mut way.protector {
            way.sealed_report.clear();
            if let Err(error) = protector.protect_control(report, &mut way.sealed_report) {
                tracing::error!(%error, "a report cannot be protected, so it is not sent");
                return;
            }
            report = &way.sealed_report;
        }
        let outcome = way.egress.send(to, report, Dscp::Video);
        way.note(outcome);
    }
}

/// Sender reports of one stream.
struct Reports {
    /// When the next one is due; `None` = at once.
    due: Option<Timestamp>,
    /// Where the last one went.
    sent_to: Option<SocketAddr>,
    random: u64,
    bytes: Vec<u8>,
}

impl Reports {
    /// Half to one and a half times the interval (RFC 3550 section 6.2), so that senders do not fall into step.
    fn interval(&mut self) -> Duration {
        // A linear congruential step; its high bits are random enough to spread reports.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        REPORT_INTERVAL / 2 + REPORT_INTERVAL.mul_f64((self.random >> 32) as f64 / (1u64 << 32) as f64)
    }
}

impl Way {
    fn begin(&mut self, runs: usize) -> Timestamp {
        let now = self.clock.now();
        self.batch.clear();
        self.pacer.begin(now, runs);
        now
    }

    /// Sends what is in the batch, run by run.
    fn flush(&mut self, to: SocketAddr, pause: &mut impl FnMut(Duration)) {
        if let Some(repair) = &self.repair {
            repair.keep(self.clock.now(), self.batch.packets());
        }
        self.seal();
        let batch = if self.protector.is_some() { &self.sealed } else { &self.batch };
        for run in batch.runs(RUN_PACKETS) {
            let wait = self.pacer.next(self.clock.now());
            if wait > Duration::ZERO {
                pause(wait);
            }
            let outcome = self.egress.send_segments(to, run, batch.segment, Dscp::Video);
            add(&self.stats.packets, run.len().div_ceil(batch.segment) as u64);
            add(&self.stats.bytes, run.len() as u64);
            self.note(outcome);
        }
        self.batch.clear();
        let position = self.packetizer.counters().position();
        self.position.store(position, Ordering::Relaxed);
    }

    /// Fills `sealed` with the protected form of the batch. A packet that cannot be protected is not sent at all.
    fn seal(&mut self) {
        let Some(protector) = &mut self.protector else { return };
        self.sealed.clear();
        self.sealed.segment = self.batch.segment + TAG_BYTES;
        for packet in self.batch.packets() {
            if let Err(error) = protector.protect(packet, &mut self.sealed.bytes) {
                tracing::error!(%error, "packets cannot be protected, so they are not sent");
                self.sealed.clear();
                return;
            }
        }
    }

    fn note(&self, outcome: Result<(), net::Error>) {
        if let Err(error) = outcome {
            // The socket counts them too; one line for each power of two keeps a pulled cable from filling the log.
            let errors = self.stats.send_errors.fetch_add(1, Ordering::Relaxed) + 1;
            if errors.is_power_of_two() {
                tracing::warn!(%error, errors, "video packets cannot be sent");
            }
        }
    }

    fn sent(&self, began: Timestamp, width: usize, height: usize) {
        if let Some(repair) = &self.repair {
            repair.finished(self.clock.now());
        }
        add(&self.stats.frames, 1);
        add(&self.stats.encode_ns, self.clock.now().0.saturating_sub(began.0));
        self.stats.size.store(((width as u64) << 32) | height as u64, Ordering::Relaxed);
    }
}

fn media_time(at: Timestamp) -> u32 {
    media_units(Duration::from_nanos(at.0), CLOCK_HZ)
}

fn sampling(chroma: Chroma) -> Sampling {
    match chroma {
        Chroma::C420 => Sampling::H2V2,
        Chroma::C422 => Sampling::H2V1,
    }
}
