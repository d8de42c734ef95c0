//! Fifty people who talk all at once, in real time and through real sockets, cost their listener at most a quarter of a
//! core: receiving, opening, decoding of the loudest, mixing. Processor time, of the listener's own threads alone.
#![cfg(target_os = "linux")]

#[path = "common/speech.rs"]
mod speech;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use roundtable::device::clock::Clock;
use roundtable::device::net::{Dscp, Interface, UdpSocket};
use roundtable::device::sound::{Buffers, SpeakerSpec};
use roundtable::pipeline::audio_receive::{AudioReceiver, TALKERS, TalkerStats};
use roundtable::pipeline::receive::{ClockOffset, Receiver, Sink, Subscription};
use roundtable::protocol::packetizer::AudioPacketizer;
use roundtable::protocol::srtp::{MASTER_BYTES, Protector, Unprotector};
use speech::{FRAME, said};

const PEOPLE: u8 = 50;
/// Packets each says again and again: 2 s.
const PACKETS: usize = 100;
/// Until what is played has settled.
const WARM_MS: usize = 2_000;
const COUNTED_MS: usize = 5_000;
/// Of a core.
const BUDGET: f64 = 0.25;
/// The receiver's threads, as the system knows them.
const THREADS: [&str; 2] = ["receive", "audio-receive"];
/// In `/proc/*/stat`; Linux tells the same number on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// One test for all, so that no other receiver runs in the process meanwhile.
#[test]
fn fifty_talkers_cost_their_listener_a_quarter_of_a_core_at_most() {
    let said: Vec<_> = (0..PEOPLE).map(|person| said(person.into(), PACKETS)).collect();
    for (protected, heard) in [(false, TALKERS), (true, TALKERS), (true, PEOPLE.into())] {
        let [network, sound] = listen(&said, protected, heard);
        let how = if protected { "protected" } else { "open" };
        println!(
            "{PEOPLE} talkers, {how}, {heard} heard at once: {:.1} ms of processor time per second of sound \
             ({:.1} receiving, {:.1} decoding and mixing), {:.1} % of a core",
            1_000.0 * (network + sound),
            1_000.0 * network,
            1_000.0 * sound,
            100.0 * (network + sound)
        );
        assert!(network > 0.0 && sound > 0.0, "both threads work");
        assert!(network + sound <= BUDGET || heard > TALKERS, "{:.1} % of a core", 100.0 * (network + sound));
    }
}

/// Who talks.
struct Talker<'a> {
    socket: UdpSocket,
    rtp: SocketAddr,
    said: &'a [(u8, Vec<u8>)],
    packetizer: AudioPacketizer,
    protector: Option<Protector>,
    heard: Arc<TalkerStats>,
}

impl Talker<'_> {
    fn say(&mut self, packet: usize, plain: &mut Vec<u8>, sealed: &mut Vec<u8>) {
        let (level, opus) = &self.said[packet % PACKETS];
        self.packetizer.packet((packet * FRAME) as u32, false, Some((true, *level)), opus, plain);
        let sent = match &mut self.protector {
            None => &*plain,
            Some(protector) => {
                sealed.clear();
                protector.protect(plain, sealed).expect("in order");
                &*sealed
            }
        };
        self.socket.send(self.rtp, sent, Dscp::Audio).expect("sent");
    }
}

/// Processor seconds per second of sound of each of the receiver's threads, while all talk.
fn listen(said: &[Vec<(u8, Vec<u8>)>], protected: bool, heard: usize) -> [f64; 2] {
    let interface = Interface::choose(Some("127.0.0.1")).expect("every machine has a loopback");
    let clock = Clock::system();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heard.wav");
    let speaker = SpeakerSpec::File(file.clone());
    let mixer = AudioReceiver::start(&speaker, Buffers::Usual, clock.clone()).expect("a thread");
    mixer.set_talkers(heard);
    let receiver = Receiver::start(&interface, &clock, 1, Box::new(mixer.sink())).expect("a thread");
    let mut talkers: Vec<_> = (1..)
        .zip(said)
        .map(|(n, said)| {
            let (master, ssrc) = ([n; MASTER_BYTES], 1_000 + u32::from(n));
            let socket = UdpSocket::unicast(&interface, 0).expect("a free port");
            let source = Some(socket.local_addr());
            let rtp = SocketAddr::from((Ipv4Addr::new(239, 255, 204, n), socket.local_addr().port() & !1));
            let opener = protected.then(|| Unprotector::new(&master, ssrc, 0));
            let (offset, sink) = (ClockOffset::unknown(), Sink::Audio);
            let heard = mixer.add(n.into()).expect("room");
            let ssrc = Some(ssrc);
            let subscription = Subscription { key: n.into(), rtp, source, ssrc, offset, opener, repair: None, sink };
            receiver.subscribe(subscription).expect("joined");
            let protector = protected.then(|| Protector::new(&master));
            Talker { socket, rtp, said, packetizer: AudioPacketizer::new(1_000 + u32::from(n), 0), protector, heard }
        })
        .collect();
    let (mut plain, mut sealed) = (Vec::new(), Vec::new());
    let mut talk = |range: std::ops::Range<usize>| {
        let began = clock.now();
        for (ms, after) in range.zip(1..) {
            // Not all at the same moment.
            for n in (0..talkers.len()).filter(|n| (ms + n).is_multiple_of(20)) {
                talkers[n].say(ms / 20, &mut plain, &mut sealed);
            }
            let next = began + Duration::from_millis(after);
            while clock.now() < next {
                std::thread::park_timeout(next.since(clock.now()));
            }
        }
    };
    talk(0..WARM_MS);
    let (before, mixed) = (THREADS.map(processor_seconds), mixer.stats().mixed());
    talk(WARM_MS..WARM_MS + COUNTED_MS);
    let (after, mixed) = (THREADS.map(processor_seconds), mixer.stats().mixed() - mixed);
    let (sent, received) = talkers.iter().fold((0, 0), |(sent, received), talker| {
        assert_eq!(talker.heard.packets_rejected(), 0);
        (sent + talker.packetizer.counters().packets as u64, received + talker.heard.packets_received())
    });
    assert!(received as f64 > 0.95 * sent as f64, "{received} of {sent} packets were received");
    let seconds = mixed.as_secs_f64();
    assert!(seconds > 0.9e-3 * COUNTED_MS as f64, "{seconds} s of sound were mixed");
    drop((receiver, mixer));
    let loudness = level_dbfs(&file);
    assert!(loudness > -20.0, "many are heard: {loudness} dBFS");
    [0, 1].map(|n| (after[n] - before[n]) / seconds)
}

/// What the threads of this process called `name` have used.
fn processor_seconds(name: &str) -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").map(|entry| entry.expect("a thread").path());
    let ticks = threads.filter_map(|thread| {
        let comm = std::fs::read_to_string(thread.join("comm")).ok()?;
        let stat = std::fs::read_to_string(thread.join("stat")).ok().filter(|_| comm.trim_end() == name)?;
        // After the name, which is in brackets: state and ten numbers, then user and system time.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u32>().ok();
        Some(ticks()? + ticks()?)
    });
    f64::from(ticks.sum::<u32>()) / TICKS_PER_SECOND
}

fn level_dbfs(file: &std::path::Path) -> f32 {
    let mut wav = hound::WavReader::open(file).expect("a WAV file");
    let samples: Vec<f32> = wav.samples::<i16>().map(|s| f32::from(s.expect("a sample")) / 32_768.0).collect();
    roundtable::media::mix::level_dbfs(&samples)
}
