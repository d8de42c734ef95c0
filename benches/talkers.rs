//! Processor time of one receiver to whom many people speak at once: packets, jitter buffers, decoding of the loudest,
//! mix. Time is simulated, so that nothing but the work is counted.
//!
//! `cargo bench --bench talkers [-- SECONDS]`

#[path = "../tests/common/speech.rs"]
mod speech;

use std::time::Duration;

use roundtable::device::clock::{Clock, processor_seconds};
use roundtable::device::sound::{Buffers, SpeakerSpec};
use roundtable::pipeline::audio_receive::{AudioQueue, AudioReceive, TALKERS};
use roundtable::pipeline::receive::AudioSink;
use roundtable::protocol::packetizer::AudioPacketizer;
use roundtable::time::Timestamp;
use speech::{FRAME, said};

/// Packets each talker says again and again: 4 s.
const PACKETS: usize = 200;

fn main() {
    let seconds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(20);
    println!("{seconds} s of speech, 20 ms packets; of a core");
    for (talkers, heard) in [(1, TALKERS), (8, TALKERS), (50, TALKERS), (50, 50), (124, TALKERS)] {
        let share = receive(talkers, heard, seconds);
        println!("{talkers:3} talkers, {heard:2} heard at once: {:5.2} %", share * 100.0);
    }
}

/// Share of a core that `talkers` cost, of whom `heard` are decoded.
fn receive(talkers: usize, heard: usize, seconds: u64) -> f64 {
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let queue = AudioQueue::default();
    let mut mixer =
        AudioReceive::new(&SpeakerSpec::None, Buffers::Usual, queue.clone(), &clock).expect("no speaker at all");
    mixer.set_talkers(heard);
    let mut voices: Vec<_> = (0..talkers as u64)
        .map(|n| {
            mixer.add(n).expect("room");
            (said(n, PACKETS), AudioPacketizer::new(n as u32, 0))
        })
        .collect();
    let (mut packet, mut spent) = (Vec::new(), 0.0);
    for ms in 0..seconds * 1_000 {
        clock.advance(Duration::from_millis(1));
        for (n, (said, packetizer)) in voices.iter_mut().enumerate() {
            // Not all at the same moment.
            if (ms + n as u64).is_multiple_of(20) {
                let frame = (ms / 20) as usize;
                let (level, opus) = &said[frame % PACKETS];
                packetizer.packet((frame * FRAME) as u32, false, Some((true, *level)), opus, &mut packet);
                queue.clone().packet(n as u64, clock.now(), &packet);
            }
        }
        // As often as the thread looks at its device.
        if ms % 5 == 0 {
            let before = processor_seconds();
            mixer.step(clock.now());
            spent += processor_seconds() - before;
        }
    }
    spent / seconds as f64
}
