//! Each stage of the video path alone, 1280x720 at the quality a stream starts with; and what is done to a voice.
//!
//! `cargo bench --bench stages [-- FILTER]`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use roundtable::media::convert::Scaler;
use roundtable::media::jpeg::{BandDecoder, BandEncoder, FrameParams, conformance, to_jpeg};
use roundtable::media::picture::{Picture, Yuv};
use roundtable::media::test_card::TestCard;
use roundtable::media::voice;
use roundtable::pipeline::video_send::QUALITY_START;
use roundtable::protocol::packetizer::{FrameStart, PacketBatch, VideoPacketizer};
use roundtable::protocol::reassembler::{Progress, Reassembler};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::jpeg_payload::Sampling;
use roundtable::wire::rtp;

const SIZE: (usize, usize) = (1_280, 720);

fn picture() -> Yuv {
    let mut picture = Yuv::default();
    TestCard::new(SIZE.0, SIZE.1, "Bench", 7).render(NtpTime(0), 9, &mut picture);
    picture
}

/// The picture's scan and what a receiver is told of it.
fn encoded(picture: &Yuv) -> (Vec<u8>, [u8; 128], u16) {
    let mut encoder = BandEncoder::new().expect("an encoder");
    let mut scan = Vec::new();
    encoder.encode(picture, QUALITY_START, 1, &mut |b| scan.extend_from_slice(b.scan)).expect("encoded");
    (scan, *encoder.tables(), encoder.restart_interval())
}

fn params<'a>(picture: &Yuv, tables: &'a [u8; 128], restart_interval: u16) -> FrameParams<'a> {
    let (width, height, chroma) = (picture.width, picture.height, picture.chroma);
    FrameParams { width, height, chroma, restart_interval, tables, crop: None }
}

fn codec(c: &mut Criterion) {
    let picture = picture();
    let mut encoder = BandEncoder::new().expect("an encoder");
    for bands in [1, 9] {
        c.bench_function(&format!("encode in {bands} band(s)"), |b| {
            b.iter(|| {
                encoder.encode(&picture, QUALITY_START, bands, &mut |band| {
                    black_box(band.scan.len());
                })
            });
        });
    }
    let (scan, tables, restart_interval) = encoded(&picture);
    let mut decoder = BandDecoder::new().expect("a decoder");
    let mut shown = Picture::default();
    for divisor in [1, 2, 4, 8] {
        c.bench_function(&format!("decode at 1/{divisor}"), |b| {
            b.iter(|| {
                let wanted = (SIZE.0 / divisor, SIZE.1 / divisor);
                decoder.begin(params(&picture, &tables, restart_interval), wanted).expect("begun");
                decoder.push(&scan, true).expect("decoded");
                decoder.take(&mut shown);
            });
        });
    }
    c.bench_function("decode at 1/1 as 9 bands arrive", |b| {
        b.iter(|| {
            decoder.begin(params(&picture, &tables, restart_interval), SIZE).expect("begun");
            for n in 1..=9 {
                decoder.push(&scan[..scan.len() * n / 9], n == 9).expect("decoded");
            }
            decoder.take(&mut shown);
        });
    });
    let mut jpeg = Vec::new();
    to_jpeg(&params(&picture, &tables, restart_interval), &scan, &mut jpeg);
    c.bench_function("check a camera's JPEG", |b| b.iter(|| conformance(black_box(&jpeg)).map(|j| j.scan.len())));
    let mut scaler = Scaler::default();
    c.bench_function("own tile at 320x180", |b| b.iter(|| scaler.to_picture(&picture, (320, 180), &mut shown)));
}

fn packets(c: &mut Criterion) {
    let (scan, tables, restart_interval) = encoded(&picture());
    let mut packetizer = VideoPacketizer::new(1, 0);
    let mut batch = PacketBatch::default();
    let mut frame = |timestamp: u32, batch: &mut PacketBatch| {
        batch.clear();
        let (width, height, sampling) = (SIZE.0, SIZE.1, Sampling::H2V2);
        let start = FrameStart { timestamp, width, height, sampling, restart_interval, tables: &tables };
        packetizer.begin(&start).expect("legal size");
        packetizer.push(&scan, batch).expect("legal length");
        packetizer.finish(batch);
    };
    let mut group = c.benchmark_group("packets");
    group.throughput(Throughput::Bytes(scan.len() as u64));
    let mut timestamp = 0;
    group.bench_function("packetize", |b| {
        b.iter(|| {
            timestamp += 3_000;
            frame(timestamp, &mut batch);
        });
    });
    let mut reassembler = Reassembler::new();
    group.bench_function("packetize and reassemble", |b| {
        b.iter(|| {
            timestamp += 3_000;
            frame(timestamp, &mut batch);
            for bytes in batch.packets() {
                let packet = rtp::Packet::parse(bytes).expect("RTP");
                if let Ok(Progress::Complete(id)) = reassembler.push(Timestamp(1), &packet) {
                    reassembler.release(id);
                }
            }
        });
    });
    group.finish();
    assert_eq!(reassembler.counters().frames_lost, 0);
    assert!(reassembler.counters().frames_complete > 0);
}

/// What is done to a voice before it is sent.
fn voice(c: &mut Criterion) {
    let mut random = 1u32;
    let mut noise = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let heard: Vec<f32> = (0..voice::BLOCK).map(|_| 0.1 * noise()).collect();
    let captured: Vec<f32> = heard.iter().map(|s| 0.5 * s + 0.01 * noise()).collect();
    let mut block = captured.clone();
    for (what, settings) in
        [("all", voice::Settings::ALL), ("gain", voice::Settings { gain: true, ..voice::Settings::NONE })]
    {
        let mut processor = voice::Processor::new(settings);
        c.bench_function(&format!("10 ms of a voice, {what}"), |b| {
            b.iter(|| {
                block.copy_from_slice(&captured);
                processor.process(&heard, &mut block);
                black_box(block[0])
            });
        });
    }
}

criterion_group!(stages, codec, packets, voice);
criterion_main!(stages);
