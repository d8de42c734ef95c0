//! A voice through all of it: from the microphone's role over a network that loses and reorders to the speaker's, with what
//! brings lost packets back; virtual time, one seed.
//!
//! ```text
//! AudioSend > packets, VoiceKeeper's repeats ──MemoryLan──> VoiceMender, AudioReceive > a WAV file
//!                             ^──────────────requests──────────'
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roundtable::device::clock::Clock;
use roundtable::device::net::memory::{Bursts, MemoryLan, Profile};
use roundtable::device::net::{Interface, ReceiveBuffer, UdpSocket};
use roundtable::device::sound::{Buffers, MicrophoneSpec, SpeakerSpec};
use roundtable::media::test_voice::strength_at;
use roundtable::media::{opus, voice};
use roundtable::pipeline::audio_receive::{AudioQueue, AudioReceive, TalkerStats};
use roundtable::pipeline::audio_send::{AudioSend, Config};
use roundtable::pipeline::egress::{Destination, Egress};
use roundtable::pipeline::receive::AudioSink;
use roundtable::protocol::packetizer::RepairPacketizer;
use roundtable::protocol::repair::{Patience, VoiceKeeper, VoiceMender};
use roundtable::time::Timestamp;
use roundtable::wire::repair::RepairRequest;
use roundtable::wire::rtp;

const SECONDS: u64 = 60;
const SSRC: u32 = 7;
const STREAM: u64 = 1;
const PITCH_HZ: f32 = 200.0;
const TALKER: SocketAddr = address(1, 4_000);
const MEDIA: SocketAddr = address(2, 5_004);
const REPEATS: SocketAddr = address(2, 5_006);

const fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port)
}

/// What the talker's machine sends, put on the simulated network.
struct Talker {
    role: AudioSend,
    socket: UdpSocket,
    buffer: ReceiveBuffer,
    taken: u64,
    keeper: VoiceKeeper,
    packetizer: RepairPacketizer,
    repeats: Vec<u8>,
    packet: Vec<u8>,
}

impl Talker {
    fn new(clock: &Clock) -> Self {
        let lo = Interface::choose(Some("127.0.0.1")).expect("a loopback");
        let socket = UdpSocket::unicast(&lo, 1).expect("a socket");
        let destination = Destination::default();
        destination.set(Some(socket.local_addr()));
        let own = Arc::new(UdpSocket::unicast(&lo, 1).expect("a socket"));
        let config = Config {
            microphone: MicrophoneSpec::Test,
            pitch_hz: PITCH_HZ,
            frame_ms: 20,
            voice: voice::Settings::NONE,
            reference: None,
            threshold_dbfs: None,
            opus: opus::Settings::default(),
            ssrc: SSRC,
            first_sequence: 65_000,
            first_timestamp: 0,
            cname: "a@b".into(),
            name: "Ada".into(),
            master: None,
            position: Arc::default(),
            repair: None,
            muted: false,
        };
        Self {
            role: AudioSend::new(config, Egress { socket: own, destination }, clock.clone()).expect("a voice"),
            socket,
            buffer: ReceiveBuffer::new(),
            taken: 0,
            keeper: VoiceKeeper::new(SSRC),
            packetizer: RepairPacketizer::new(SSRC + 1, 0),
            repeats: Vec::new(),
            packet: Vec::new(),
        }
    }

    fn step(&mut self, now: Timestamp, lan: &mut MemoryLan) {
        self.role.step(now);
        let (wall, stats) = (Clock::system(), self.role.stats());
        let deadline = wall.now() + Duration::from_secs(20);
        while self.taken < stats.packets() {
            assert!(wall.now() < deadline, "{} of {} packets left the role", self.taken, stats.packets());
            if self.socket.receive(&mut self.buffer).is_ok_and(|n| n > 0) {
                for datagram in self.buffer.datagrams() {
                    self.taken += 1;
                    lan.send(now, TALKER, MEDIA, datagram.bytes);
                    if self.keeper.keep(now, datagram.bytes, &mut self.repeats) {
                        self.packetizer.repeats(&self.repeats, &mut self.packet);
                        lan.send(now, TALKER, REPEATS, &self.packet);
                    }
                }
            }
        }
    }

    fn asked(&mut self, now: Timestamp, request: &RepairRequest, lan: &mut MemoryLan) {
        let Self { keeper, packetizer, repeats, packet, .. } = self;
        keeper.ask(now, request, repeats, |repeats| {
            packetizer.repeats(repeats, packet);
            lan.send(now, TALKER, REPEATS, packet);
        });
    }
}

struct Heard {
    stats: Arc<TalkerStats>,
    repaired: u64,
    /// Delay in the buffer, each tenth of a second.
    buffer_ms: Vec<f32>,
    /// Tenths of a second of the last half in which the voice is heard.
    voiced: usize,
}

/// A minute of a voice through a network; `profile` says what that does in a second.
fn run(profile: impl Fn(u64) -> Profile) -> Heard {
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heard.wav");
    let mut lan = MemoryLan::new(8);
    lan.set_host(TALKER.ip(), Profile { delay: Duration::from_millis(1), ..Profile::default() });
    let mut talker = Talker::new(&clock);
    let mut queue = AudioQueue::default();
    let speaker = SpeakerSpec::File(file.clone());
    let mut mixer = AudioReceive::new(&speaker, Buffers::Usual, queue.clone(), &clock).expect("a file");
    let stats = mixer.add(STREAM).expect("a talker");
    let mut mender = VoiceMender::new(Patience::WIRED, true, 1);
    let (mut requests, mut buffer_ms) = (Vec::new(), Vec::new());
    for ms in 0..SECONDS * 1_000 {
        clock.advance(Duration::from_millis(1));
        let now = clock.now();
        if ms % 1_000 == 0 {
            lan.set_host(MEDIA.ip(), profile(ms / 1_000));
        }
        talker.step(now, &mut lan);
        while let Some(mail) = lan.poll(now) {
            if mail.destination == TALKER {
                // A request goes by its number: its bytes are sealed, and not looked at here.
                let number = usize::from(u16::from_be_bytes([mail.bytes[0], mail.bytes[1]]));
                talker.asked(now, &requests[number], &mut lan);
                continue;
            }
            let packet = rtp::Packet::parse(&mail.bytes).expect("own packet");
            if mail.destination == MEDIA {
                mender.packet(now, &packet.header);
                queue.packet(STREAM, now, &mail.bytes);
            } else {
                mender.repeats(&packet, &mut |again| queue.again(STREAM, now, again));
            }
        }
        mender.settle(now, |request| {
            lan.send(now, MEDIA, TALKER, &(requests.len() as u16).to_be_bytes());
            requests.push(request);
        });
        mixer.step(now);
        if ms % 100 == 0 {
            buffer_ms.push(stats.buffer_ms());
        }
    }
    drop(mixer);
    assert_eq!(mender.rejected(), 0);
    Heard { stats, repaired: mender.repaired(), buffer_ms, voiced: voiced(&file) }
}

fn voiced(file: &Path) -> usize {
    let mut wav = hound::WavReader::open(file).expect("a WAV file");
    let all: Vec<f32> = wav.samples::<i16>().map(|s| f32::from(s.expect("a sample")) / 32_768.0).collect();
    all[all.len() / 2..].chunks_exact(4_800).filter(|tenth| strength_at(tenth, PITCH_HZ) > 0.02).count()
}

/// What a network does, and the most it may cost.
struct Row {
    name: &'static str,
    profile: fn(u64) -> Profile,
    concealed_ms: u64,
    gaps: u64,
    /// Delay in the buffer at worst, and at worst from that second on.
    worst_ms: f32,
    calm_ms: f32,
    calm_from: usize,
}

fn quiet() -> Profile {
    Profile { delay: Duration::from_millis(1), ..Profile::default() }
}

/// One packet in ten is lost, in runs of two on average.
const RUNS: Option<Bursts> = Some(Bursts { start: 0.055, end: 0.5 });

#[test]
fn a_voice_survives_what_a_network_does_within_bounds_of_delay_and_of_what_is_made_up() {
    let rows = [
        Row {
            name: "nothing",
            profile: |_| quiet(),
            concealed_ms: 0,
            gaps: 0,
            worst_ms: 40.0,
            calm_ms: 25.0,
            calm_from: 25,
        },
        Row {
            name: "10 % lost in runs",
            profile: |_| Profile { bursts: RUNS, ..quiet() },
            concealed_ms: 600,
            gaps: 2,
            worst_ms: 220.0,
            calm_ms: 200.0,
            calm_from: 25,
        },
        Row {
            name: "10 % lost at random, 5 % late by 30 ms",
            profile: |_| Profile { loss: 0.1, reorder: 0.05, reorder_by: Duration::from_millis(30), ..quiet() },
            concealed_ms: 200,
            gaps: 0,
            worst_ms: 90.0,
            calm_ms: 90.0,
            calm_from: 25,
        },
        Row {
            name: "all of it for 10 s, with jitter of 20 ms",
            profile: |second| match second {
                10..20 => Profile {
                    bursts: RUNS,
                    jitter: Duration::from_millis(20),
                    reorder: 0.05,
                    reorder_by: Duration::from_millis(30),
                    duplicate: 0.05,
                    ..quiet()
                },
                _ => quiet(),
            },
            concealed_ms: 400,
            gaps: 1,
            worst_ms: 200.0,
            calm_ms: 25.0,
            // It is waited for repairs until there were none for 5 s.
            calm_from: 29,
        },
    ];
    let mut wrong = Vec::new();
    for row in rows {
        let heard = run(row.profile);
        let stats = &heard.stats;
        let worst = |from: usize| heard.buffer_ms[from * 10..].iter().copied().fold(0.0, f32::max);
        let (worst_ms, calm_ms) = (worst(1), worst(row.calm_from));
        let figures = format!(
            "{:42} lost {:3}, repaired {:3}, made up {:4} ms in {} gaps, buffer {worst_ms:5.1} ms, at the end {calm_ms:5.1}; voiced {}",
            row.name,
            stats.packets_lost(),
            heard.repaired,
            stats.concealed_ms(),
            stats.gaps(),
            heard.voiced,
        );
        println!("{figures}");
        let made_up = stats.concealed_ms() <= row.concealed_ms && stats.gaps() <= row.gaps;
        // The simulated voice breathes: in more than half of all tenths of a second it is heard.
        if !(made_up && worst_ms <= row.worst_ms && calm_ms <= row.calm_ms && heard.voiced > 150) {
            wrong.push(figures);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
