//! Voice messages: what somebody sent as Ogg Opus.

use roundtable::limits::{OGG_PACKET_BYTES_MAX, VOICE_MS_MAX};
use roundtable::media::ogg;
use roundtable::media::opus::PACKET_SAMPLES_MAX;
use roundtable::media::test_voice::TestVoice;
use roundtable::media::voice_message::{Error, Playback, Recording};

use crate::driver::{fuzz, outcome, variant};

/// The check sum of a page (RFC 3533 section 6).
fn check_sum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |s, _| s << 1 ^ if s >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

/// Makes the check sums right again, so that what stands behind them is reached.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut start = 0;
    while let Some(count) = bytes.get(start + 26) {
        let body = start + 27 + usize::from(*count);
        let Some(segments) = bytes.get(start + 27..body) else { break };
        let end = body + segments.iter().map(|n| usize::from(*n)).sum::<usize>();
        let Some(page) = bytes.get_mut(start..end) else { break };
        page[22..26].fill(0);
        let sum = check_sum(page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        start = end;
    }
    bytes
}

/// How far it can be heard.
fn heard(playback: &mut Playback, bytes: &[u8], step: usize) -> (usize, Result<(), String>) {
    let mut samples = 0;
    for part in bytes.chunks(step) {
        playback.push(part);
        loop {
            match playback.samples() {
                Ok(Some(heard)) => {
                    assert!(heard.len() <= PACKET_SAMPLES_MAX && heard.iter().all(|s| s.is_finite()));
                    samples += heard.len();
                }
                Ok(None) => break,
                Err(Error::Ogg(e)) => return (samples, Err(variant(&e))),
                Err(e) => return (samples, Err(variant(&e))),
            }
        }
    }
    (samples, Ok(()))
}

#[test]
fn voice_messages() {
    let mut seeds = Vec::new();
    for ms in [10, 700] {
        let mut recording = Recording::new(1, VOICE_MS_MAX).expect("memory");
        let mut voice = vec![0.0; 48 * ms];
        TestVoice::new(150.0).render(&mut voice);
        recording.push(&voice).expect("a voice");
        seeds.push(recording.finish().expect("a voice").file);
    }
    assert_eq!(mended(&seeds[1]), seeds[1], "the check sums are those that were written");
    // What a packet may take, in pages and put together, beside the decoder's own.
    fuzz("ogg", 3 * OGG_PACKET_BYTES_MAX + (1 << 20), seeds, |bytes| {
        let bytes = mended(bytes);
        let mut reader = ogg::Reader::default();
        reader.push(&bytes);
        let mut packets = 0;
        let ended = loop {
            match reader.packet() {
                Ok(Some(packet)) => {
                    assert!(packet.bytes.len() <= bytes.len().min(OGG_PACKET_BYTES_MAX));
                    packets += 1;
                    assert!(packets <= bytes.len());
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(variant(&e)),
            }
        };
        let whole = heard(&mut Playback::new().expect("memory"), &bytes, usize::MAX);
        let parts = heard(&mut Playback::new().expect("memory"), &bytes, 61);
        assert_eq!(whole, parts, "how it comes makes no difference");
        outcome(&(ended, whole.1, (whole.0 > 0).then_some("heard"), packets > 1))
    });
}
