//! RFC 2435 against others' bytes: packets of GStreamer and FFmpeg, and the quantization tables of libjpeg-turbo.

use roundtable::media::jpeg::{BandDecoder, BandEncoder, FrameParams};
use roundtable::media::picture::{Chroma, Picture, Yuv};
use roundtable::protocol::reassembler::{Progress, Reassembler};
use roundtable::time::Timestamp;
use roundtable::wire::jpeg_payload::{JpegHeader, JpegPayload, Quantization, Sampling, tables_for_quality};
use roundtable::wire::rtp;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|d| (d[0] * 16 + d[1]) as u8).collect()
}

/// A red frame of 32x16 in one packet: what its headers say, and that it decodes to red.
fn check(hex: &str, sequence: u16, table_bytes: usize) {
    let bytes = bytes(hex);
    let packet = rtp::Packet::parse(&bytes).expect("RTP");
    assert!(packet.header.marker);
    assert_eq!((packet.header.payload_type, packet.header.sequence), (rtp::PT_JPEG, sequence));
    let payload = JpegPayload::parse(packet.payload).expect("RTP/JPEG");
    let header = JpegHeader { width: 32, height: 16, sampling: Sampling::H2V2, restart_interval: 0, offset: 0 };
    assert_eq!(payload.header, header);
    assert!(matches!(payload.quantization, Quantization::Here(255, t) if t.len() == table_bytes));

    let mut reassembler = Reassembler::new();
    let Ok(Progress::Complete(id)) = reassembler.push(Timestamp(1), &packet) else { panic!("it is a whole frame") };
    let view = reassembler.frame(id).expect("complete");
    let (chroma, tables) = (Chroma::C420, view.tables);
    let mut decoder = BandDecoder::new().expect("a decoder");
    let params = FrameParams { width: 32, height: 16, chroma, restart_interval: 0, tables, crop: None };
    decoder.begin(params, (32, 16)).expect("begun");
    assert_eq!(decoder.push(view.scan, true), Ok(true));
    let mut picture = Picture::default();
    decoder.take(&mut picture);
    for word in picture.pixels {
        let [_, r, g, b] = word.to_be_bytes();
        assert!(r > 200 && g < 30 && b < 30, "{word:#08x} is not red");
    }
}

#[test]
fn a_packet_of_gstreamer_is_understood() {
    check(include_str!("vectors/rfc2435_gstreamer_1_22_red_32x16.hex"), 0x1234, 128);
}

#[test]
fn a_packet_of_ffmpeg_is_understood() {
    check(include_str!("vectors/rfc2435_ffmpeg_5_1_red_32x16.hex"), 0x0982, 64);
}

#[test]
fn computed_tables_are_those_of_libjpeg_for_every_quality() {
    let mut picture = Yuv::default();
    picture.reshape(16, 16, Chroma::C420);
    let mut encoder = BandEncoder::new().expect("an encoder");
    for q in 1..=99 {
        encoder.encode(&picture, q, 1, &mut |_| {}).expect("encoded");
        assert_eq!(encoder.tables(), &tables_for_quality(q), "quality {q}");
    }
}
