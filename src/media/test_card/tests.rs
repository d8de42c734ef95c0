use super::*;
use crate::media::jpeg::{BandDecoder, BandEncoder, FrameParams};
use crate::media::picture::Picture;

const MOMENT: NtpTime = NtpTime(0xee12_3456_89ab_cdef);

struct Encoded {
    scan: Vec<u8>,
    tables: [u8; 128],
    restart_interval: u16,
}

fn encode(picture: &Yuv, quality: u8) -> Encoded {
    let mut encoded = Encoded { scan: Vec::new(), tables: [0; 128], restart_interval: 0 };
    BandEncoder::new()
        .unwrap()
        .encode(picture, quality, 9, &mut |band| {
            encoded.scan.extend_from_slice(band.scan);
            encoded.tables = *band.tables;
            encoded.restart_interval = band.restart_interval;
        })
        .unwrap();
    encoded
}

fn decode(encoded: &Encoded, size: (usize, usize), wanted: (usize, usize)) -> Picture {
    let params = FrameParams {
        width: size.0.next_multiple_of(8),
        height: size.1.next_multiple_of(8),
        chroma: Chroma::C420,
        restart_interval: encoded.restart_interval,
        tables: &encoded.tables,
        crop: Some(size),
    };
    let mut decoder = BandDecoder::new().unwrap();
    decoder.begin(params, wanted).unwrap();
    decoder.push(&encoded.scan, true).unwrap();
    let mut picture = Picture::default();
    decoder.take(&mut picture);
    picture
}

#[test]
fn frames_are_as_large_as_a_cameras_and_all_different() {
    for (name, seed) in [("Ada", 1), ("Bob", 2), ("Konstantin the Great", 77)] {
        let mut card = TestCard::new(1280, 720, name, seed);
        let mut picture = Yuv::default();
        let mut scans = Vec::new();
        for frame in 0..10 {
            card.render(MOMENT.offset(frame as i64 * 33_333_333), frame, &mut picture);
            assert_eq!((picture.width, picture.height), (1280, 720));
            let scan = encode(&picture, 75).scan;
            assert!((80 << 10..=130 << 10).contains(&scan.len()), "{name} {frame}: {} bytes", scan.len());
            assert!(!scans.contains(&scan));
            scans.push(scan);
        }
    }
}

#[test]
fn consecutive_frames_differ_even_at_the_same_moment() {
    let mut card = TestCard::new(320, 180, "Ada", 1);
    let (mut before, mut now) = (Yuv::default(), Yuv::default());
    card.render(MOMENT, 0, &mut before);
    for frame in 1..600 {
        card.render(MOMENT, frame, &mut now);
        assert!(now != before, "frame {frame}");
        std::mem::swap(&mut before, &mut now);
    }
}

#[test]
fn the_timecode_survives_quality_40_and_an_eighth_of_the_size() {
    for size in [(1280, 720), (640, 360), (320, 180), (1920, 1080)] {
        let mut card = TestCard::new(size.0, size.1, "Ada", 3);
        let mut picture = Yuv::default();
        for frame in 0..5_u64 {
            let time = NtpTime(super::texture::mix(frame));
            card.render(time, frame, &mut picture);
            let encoded = encode(&picture, 40);
            let smallest = if size.0 >= 1280 { 8 } else { size.0 / 160 };
            for divisor in [1, 2, 4, 8].into_iter().filter(|d| *d <= smallest) {
                let wanted = (size.0 / divisor, size.1 / divisor);
                let shown = decode(&encoded, size, wanted);
                assert_eq!(shown.width, wanted.0);
                assert_eq!(read_timecode(&shown), Some(time), "{size:?} at 1/{divisor}");
            }
        }
    }
}

#[test]
fn the_name_can_be_read_in_a_small_tile() {
    for name in ["Ada", "Wolfgang", "Zoe+14-letters"] {
        let mut card = TestCard::new(1280, 720, name, 9);
        let mut picture = Yuv::default();
        card.render(MOMENT, 7, &mut picture);
        let tile = decode(&encode(&picture, 75), (1280, 720), (320, 180));
        assert_eq!((tile.width, tile.height), (320, 180));
        let dot = card.banner.height.div_ceil(font::GLYPH.1 + 4);
        let luma = |x: usize, y: usize| {
            let [_, r, g, b] = tile.pixels[y / 4 * tile.width + x / 4].to_be_bytes().map(u32::from);
            (r * 77 + g * 150 + b * 29) >> 8
        };
        let (left, top) = (card.banner_at.0 + 2 * dot, card.banner_at.1 + 2 * dot);
        for (i, letter) in name.chars().enumerate() {
            for (x, y) in (0..35).map(|i| (i % 5, i / 5)) {
                let at = (left + (i * font::ADVANCE + x) * dot + dot / 2, top + y * dot + dot / 2);
                assert_eq!(luma(at.0, at.1) > 170, font::dot(letter, x, y), "{name}: {letter} at {x},{y}");
            }
        }
    }
}

#[test]
fn participants_differ_in_colour() {
    let banner = |name: &str, seed| {
        let card = TestCard::new(320, 180, name, seed);
        (card.banner.u[0], card.banner.v[0])
    };
    assert_ne!(banner("Ada", 1), banner("Bob", 1));
    assert_ne!(banner("Ada", 1), banner("Ada", 2));
    assert_eq!(banner("Ada", 1), banner("Ada", 1));
}

#[test]
fn any_size_and_name_can_be_drawn() {
    let mut picture = Yuv::default();
    for (width, height) in [(0, 0), (16, 16), (17, 33), (2040, 16), (16, 2040), (256, 144), (64, 64)] {
        for name in ["", "\u{4e2d}\u{6587}", "a name that is far too long to be shown on any card at all"] {
            let mut card = TestCard::new(width, height, name, 5);
            for frame in [0, 1, 1_000_000, u64::MAX / 8] {
                card.render(MOMENT, frame, &mut picture);
                assert!(picture.is_sound() && picture.width >= 16 && picture.width.is_multiple_of(2));
            }
        }
    }
}
