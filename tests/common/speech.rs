//! What people say, encoded beforehand: who measures a receiver does not measure the senders' encoders with it.

use roundtable::media::mix;
use roundtable::media::opus::{Encoder, Settings};
use roundtable::media::test_voice::{TestVoice, pitch_for};

/// Samples in a packet: 20 ms.
pub const FRAME: usize = 960;

/// Levels in -dBov and packets of the voice of `person`, of whom each has a pitch and a time of their own.
pub fn said(person: u64, packets: usize) -> Vec<(u8, Vec<u8>)> {
    let mut voice = TestVoice::new(pitch_for(person));
    voice.skip(person * 7_001);
    let mut encoder = Encoder::new(Settings::default()).expect("an encoder");
    let mut frame = vec![0.0; FRAME];
    (0..packets)
        .map(|_| {
            voice.render(&mut frame);
            let mut opus = Vec::new();
            encoder.encode(&frame, &mut opus).expect("a frame");
            (-mix::level_dbfs(&frame) as u8, opus)
        })
        .collect()
}
