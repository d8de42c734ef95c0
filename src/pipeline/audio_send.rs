//! Thread role: microphone to network.
//!
//! ```text
//! Microphone > 20 ms frame > level > Opus > RTP > Egress (EF)          each frame
//!                                          RTCP SR + SDES > port + 1   each second; BYE at the end
//! ```
//! Muted means silent on the wire too: no packets, while the media clock goes on, so that receivers see a pause (the
//! marker of RFC 3551 section 4.1 tells its end). The RTP timestamp counts captured samples; when the device was away
//! it is moved on by the clock. Nothing is allocated per frame, and nothing here waits for the network.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use zeroize::Zeroizing;

use crate::device::clock::Clock;
use crate::device::net::Dscp;
use crate::device::priority;
use crate::device::sound::{Microphone, MicrophoneSpec, SoundCounters, SoundEvent};
use crate::limits::{OPUS_PACKET_BYTES_MAX, RTP_PACKET_BYTES_MAX};
use crate::media::mix::{Meter, SILENCE_DBFS, level_dbfs};
use crate::media::opus::{self, Encoder, RATE};
use crate::media::wav;
use crate::pipeline::egress::Egress;
use crate::pipeline::repair::OutgoingRedundancy;
use crate::pipeline::voice_record::Frame;
use crate::protocol::packetizer::AudioPacketizer;
use crate::protocol::srtp::{self, MASTER_BYTES, Protector};
use crate::time::{Timestamp, media_units};
use crate::wire::rtcp::{self, SenderReport};

/// Sender reports are this far apart.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Without a frame for this long the microphone was away, and the media clock is moved on.
const AWAY: Duration = Duration::from_millis(120);
/// Longest sleep: commands wake the thread anyway.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// More than anybody can click before they are read.
const COMMANDS: usize = 64;
const EVENTS: usize = 16;

/// How a voice is sent.
#[derive(Clone)]
pub struct Config {
    /// Which microphone.
    pub microphone: MicrophoneSpec,
    /// Pitch of the simulated voice, see `media::test_voice::pitch_for`.
    pub pitch_hz: f32,
    /// Packet length: 10 or 20 ms.
    pub frame_ms: u32,
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
    /// Neither 10 nor 20 ms.
    #[error("a frame of {0} ms; it is 10 or 20")]
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

/// Figures of the voice sent; read at any time from any thread.
#[derive(Debug, Default)]
pub struct AudioSendStats {
    frames: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    glitches: AtomicU64,
    level: AtomicU32,
    muted: AtomicBool,
}

impl AudioSendStats {
    /// Frames captured while not muted.
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

    /// Whether the voice is muted.
    pub fn muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }
}

enum Command {
    /// Stops or resumes sending.
    Mute(bool),
    /// Goes on as another stream.
    Stream(NextStream),
    /// Hands on what is captured.
    Record(Sender<Frame>),
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

/// The role itself: [`step`](Self::step) it with the time, or let [`AudioSender`] do so on a thread.
pub struct AudioSend {
    microphone: Microphone,
    encoder: Encoder,
    packetizer: AudioPacketizer,
    egress: Egress,
    clock: Clock,
    cname: String,
    name: String,
    frame: Vec<f32>,
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
    reported: Option<Timestamp>,
    muted: bool,
    /// The next packet begins a talk spurt.
    marker: bool,
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
        if ![10, 20].contains(&config.frame_ms) {
            return Err(Error::Frame(config.frame_ms));
        }
        let stats = AudioSendStats::default();
        stats.level.store(SILENCE_DBFS.to_bits(), Ordering::Relaxed);
        stats.muted.store(config.muted, Ordering::Relaxed);
        config.position.store(config.first_sequence.into(), Ordering::Relaxed);
        Ok(Self {
            microphone: Microphone::open(&config.microphone, config.pitch_hz, &clock)?,
            encoder: Encoder::new(config.opus)?,
            packetizer: AudioPacketizer::new(config.ssrc, config.first_sequence),
            egress,
            captured: clock.now(),
            clock,
            cname: config.cname,
            name: config.name,
            frame: vec![0.0; (RATE / 1_000 * config.frame_ms) as usize],
            opus: Vec::with_capacity(OPUS_PACKET_BYTES_MAX),
            packet: Vec::with_capacity(RTP_PACKET_BYTES_MAX),
            protector: config.master.as_ref().map(|master| Protector::new(master)),
            sealed: Vec::with_capacity(RTP_PACKET_BYTES_MAX),
            position: config.position,
            repair: config.repair,
            timestamp: config.first_timestamp,
            reported: None,
            muted: config.muted,
            marker: true,
            meter: Meter::default(),
            record: None,
            stats: Arc::new(stats),
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
        self.muted = muted;
        self.marker = true;
        self.stats.muted.store(muted, Ordering::Relaxed);
        if muted {
            self.show_silence();
        }
    }

    /// Ends the stream and goes on as another one; the microphone stays open.
    pub fn begin(&mut self, next: NextStream) {
        self.goodbye();
        self.packetizer = AudioPacketizer::new(next.ssrc, next.first_sequence);
        self.protector = next.master.as_ref().map(|master| Protector::new(master));
        self.position = next.position;
        self.repair = next.repair;
        self.position.store(next.first_sequence.into(), Ordering::Relaxed);
        (self.reported, self.marker) = (None, true);
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

    /// Sends what has been captured until `now`; returns how long to wait before the next step.
    pub fn step(&mut self, now: Timestamp) -> Duration {
        while self.microphone.read(now, &mut self.frame) {
            let quiet_for = now.since(self.captured);
            self.captured = now;
            if quiet_for > AWAY {
                let missed = media_units(quiet_for, RATE).saturating_sub(self.frame.len() as u32);
                self.timestamp = self.timestamp.wrapping_add(missed);
                self.marker = true;
            }
            if !self.muted {
                self.send_frame();
            }
            self.hand_on();
            self.timestamp = self.timestamp.wrapping_add(self.frame.len() as u32);
        }
        if now.since(self.captured) > AWAY {
            self.show_silence();
        }
        let SoundCounters { glitches, xruns, .. } = self.microphone.counters();
        self.stats.glitches.store(glitches + xruns, Ordering::Relaxed);
        if self.packetizer.counters().packets > 0 && self.reported.is_none_or(|at| now.since(at) >= REPORT_INTERVAL) {
            self.reported = Some(now);
            self.report(now);
        }
        self.microphone.wait(now, self.frame.len()).min(WAIT_MAX)
    }

    fn send_frame(&mut self) {
        self.stats.frames.fetch_add(1, Ordering::Relaxed);
        let level = self.meter.feed(&self.frame);
        self.stats.level.store(level.to_bits(), Ordering::Relaxed);
        let Some(destination) = self.egress.destination.current() else {
            self.marker = true;
            return;
        };
        if self.encoder.encode(&self.frame, &mut self.opus).is_err() {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // In whole dB below full scale, for who chooses whom to hear (RFC 6464).
        let minus_dbov = -level_dbfs(&self.frame).round() as u8;
        self.packetizer.packet(self.timestamp, self.marker, Some((true, minus_dbov)), &self.opus, &mut self.packet);
        self.marker = false;
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
        let since = media_units(now.since(self.captured), RATE);
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
        // A full queue means that the thread has ended.
        let _ = self.commands.try_send(Command::Mute(muted));
    }

    /// Goes on as another stream, with other keys.
    pub fn stream(&self, next: NextStream) {
        // A full queue means that the thread has ended.
        let _ = self.commands.try_send(Command::Stream(next));
    }

    /// Hands what is captured from now on to `frames`, too, muted or not.
    pub fn record(&self, frames: Sender<Frame>) {
        // A full queue means that the thread has ended.
        let _ = self.commands.try_send(Command::Record(frames));
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
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    role.goodbye();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::net::{Interface, ReceiveBuffer, UdpSocket};
    use crate::pipeline::egress::Destination;
    use crate::wire::rtp;
    use std::net::SocketAddr;

    fn config() -> Config {
        Config {
            microphone: MicrophoneSpec::Test,
            pitch_hz: 250.0,
            frame_ms: 20,
            opus: opus::Settings::default(),
            ssrc: 0x1234,
            first_sequence: 65_534,
            first_timestamp: u32::MAX - 960,
            cname: "ada@host".into(),
            name: "Ada".into(),
            master: None,
            position: Arc::default(),
            repair: None,
            muted: false,
        }
    }

    struct Rig {
        clock: Clock,
        role: AudioSend,
        media: UdpSocket,
        buffer: ReceiveBuffer,
    }

    fn rig(config: Config) -> Rig {
        let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
        let media = UdpSocket::unicast(&lo, 1).expect("a socket");
        let destination = Destination::default();
        destination.set(Some(media.local_addr()));
        let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let role = AudioSend::new(config, Egress { socket, destination }, clock.clone()).expect("a test voice");
        Rig { clock, role, media, buffer: ReceiveBuffer::new() }
    }

    impl Rig {
        fn run(&mut self, ms: u64) -> Vec<Vec<u8>> {
            let mut packets = Vec::new();
            for _ in 0..ms {
                self.clock.advance(Duration::from_millis(1));
                self.role.step(self.clock.now());
                packets.extend(self.received());
            }
            packets
        }

        fn received(&mut self) -> Vec<Vec<u8>> {
            let mut packets = Vec::new();
            while self.media.receive(&mut self.buffer).is_ok_and(|n| n > 0) {
                packets.extend(self.buffer.datagrams().map(|d| d.bytes.to_vec()));
            }
            packets
        }
    }

    fn headers(packets: &[Vec<u8>]) -> Vec<(bool, u16, u32)> {
        let header = |p: &Vec<u8>| rtp::Packet::parse(p).expect("RTP").header;
        packets.iter().map(header).map(|h| (h.marker, h.sequence, h.timestamp)).collect()
    }

    #[test]
    fn fifty_packets_a_second_with_exact_timestamps_across_the_wrap() {
        let mut rig = rig(config());
        let packets = rig.run(1_000);
        assert_eq!(packets.len(), 50);
        let h = headers(&packets);
        assert_eq!(h[..3], [(true, 65_534, u32::MAX - 960), (false, 65_535, u32::MAX), (false, 0, 959)]);
        let first = rtp::Packet::parse(&packets[0]).expect("RTP");
        assert_eq!((first.header.ssrc, first.header.payload_type), (0x1234, rtp::PT_OPUS));
        let stats = rig.role.stats();
        assert_eq!((stats.frames(), stats.packets(), stats.failures()), (50, 50, 0));
        assert_eq!(stats.bytes(), packets.iter().map(|p| p.len() as u64).sum::<u64>());
        assert_eq!(rig.role.position.load(Ordering::Relaxed), 1 << 16 | 48, "past the wrap");
        assert!((-40.0..-5.0).contains(&stats.level_dbfs()), "{}", stats.level_dbfs());
    }

    #[test]
    fn muted_nothing_is_sent_and_the_media_clock_goes_on() {
        let mut rig = rig(Config { first_sequence: 10, first_timestamp: 0, frame_ms: 10, ..config() });
        assert_eq!(rig.run(100).len(), 10);
        rig.role.mute(true);
        assert_eq!(rig.run(1_000), Vec::<Vec<u8>>::new());
        assert_eq!(rig.role.stats().level_dbfs(), SILENCE_DBFS);
        rig.role.mute(false);
        assert_eq!(headers(&rig.run(20)), [(true, 20, 1_100 * 48), (false, 21, 1_110 * 48)]);
    }

    #[test]
    fn a_voice_message_is_recorded_muted_or_not_and_whether_or_not_anything_is_sent() {
        let mut rig = rig(config());
        let (frames, recorded) = crate::pipeline::voice_record::queue();
        rig.role.record(frames);
        rig.run(100);
        rig.role.mute(true);
        rig.run(100);
        rig.role.egress.destination.set(None);
        rig.run(100);
        let taken: Vec<Frame> = recorded.try_iter().collect();
        assert_eq!(taken.len(), 15);
        assert!(taken.iter().all(|f| f.samples().len() == 960 && f.samples().iter().any(|s| s.abs() > 0.001)));
        drop(recorded);
        rig.run(20);
        assert!(rig.role.record.is_none(), "nobody takes it any more");
    }

    #[test]
    fn without_a_destination_nothing_is_sent_and_a_talk_spurt_begins_with_one() {
        let mut rig = rig(Config { first_sequence: 0, first_timestamp: 0, ..config() });
        let destination = rig.role.egress.destination.clone();
        let address = destination.current();
        destination.set(None);
        assert_eq!(rig.run(100).len(), 0);
        destination.set(address);
        assert_eq!(headers(&rig.run(40)), [(true, 0, 100 * 48), (false, 1, 120 * 48)]);
    }

    #[test]
    fn a_machine_that_slept_moves_its_media_clock_on() {
        let mut rig = rig(Config { first_timestamp: 0, ..config() });
        rig.run(100);
        rig.clock.advance(Duration::from_secs(10));
        let h = headers(&rig.run(40));
        let (marker, _, timestamp) = h[0];
        assert!(marker);
        let late_ms = i64::from(timestamp / 48) - 10_100;
        assert!((0..=41).contains(&late_ms), "{late_ms}");
    }

    #[test]
    fn reports_tell_the_media_time_of_the_wall_clock_and_goodbye_ends_them() {
        let mut rig = rig(Config { first_timestamp: 0, ..config() });
        // RTCP goes to the port above: listen there by making that port the media port of the destination.
        let rtcp_port = rig.media.local_addr().port();
        let start = rig.clock.wall();
        rig.role.egress.destination.set(Some(SocketAddr::from((rig.media.local_addr().ip(), rtcp_port - 1))));
        let reports = rig.run(2_500);
        assert_eq!(reports.len(), 3, "one with the first packet, then one a second");
        for (i, bytes) in reports.iter().enumerate() {
            let mut seen = (None, None);
            rtcp::parse(bytes, |r| match r {
                rtcp::Report::Sender(sr) => seen.0 = Some(sr),
                rtcp::Report::Sdes { cname, .. } => seen.1 = Some(cname.to_owned()),
                rtcp::Report::Bye { .. } => panic!("too early"),
            })
            .expect("RTCP");
            let sr = seen.0.expect("a sender report");
            assert_eq!((sr.ssrc, seen.1.as_deref()), (0x1234, Some("ada@host")));
            let elapsed_ns = sr.ntp.nanos_from(start);
            let error_us = (i64::from(sr.rtp_timestamp) * 1_000_000 / 48 - elapsed_ns) / 1_000;
            assert!(error_us.abs() < 100, "report {i}: {error_us} us");
            assert_eq!(sr.packets, 1 + 50 * i as u32);
        }
        rig.role.goodbye();
        let mut bye = None;
        rtcp::parse(&rig.received()[0], |r| {
            if let rtcp::Report::Bye { ssrc } = r {
                bye = Some(ssrc);
            }
        })
        .expect("RTCP");
        assert_eq!(bye, Some(0x1234));
    }

    #[test]
    fn other_frame_lengths_are_refused() {
        let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
        let socket = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
        for frame_ms in [0, 5, 15, 40] {
            let egress = Egress { socket: socket.clone(), destination: Destination::default() };
            let clock = Clock::manual(Timestamp::default());
            let refused = AudioSend::new(Config { frame_ms, ..config() }, egress, clock);
            assert!(matches!(refused, Err(Error::Frame(ms)) if ms == frame_ms));
        }
    }
}
