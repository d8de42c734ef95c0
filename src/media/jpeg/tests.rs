use proptest::prelude::*;

use super::turbo::{Compressor, Decompressor, Planes};
use super::*;
use crate::media::picture::{Picture, Yuv};

/// A picture with gradients, edges and noise, the same for the same arguments.
fn photo(width: usize, height: usize, chroma: Chroma) -> Yuv {
    let mut picture = Yuv::default();
    picture.reshape(width, height, chroma);
    let mut seed = 0x9e37_79b9_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 27) as usize
    };
    for (i, y) in picture.y.iter_mut().enumerate() {
        let (column, row) = (i % width, i / width);
        let edge = if (column / 24 + row / 20).is_multiple_of(3) { 60 } else { 0 };
        *y = (40 + column * 90 / width + row * 30 / height + edge + noise()) as u8;
    }
    for (i, (u, v)) in picture.u.iter_mut().zip(&mut picture.v).enumerate() {
        *u = (90 + i % 70) as u8;
        *v = (170 - i % 50) as u8;
    }
    picture
}

struct Encoded {
    scan: Vec<u8>,
    band_ends: Vec<usize>,
    tables: [u8; 128],
    restart_interval: u16,
    size: (usize, usize),
    chroma: Chroma,
}

impl Encoded {
    fn params(&self) -> FrameParams<'_> {
        FrameParams {
            width: self.size.0.next_multiple_of(8),
            height: self.size.1.next_multiple_of(8),
            chroma: self.chroma,
            restart_interval: self.restart_interval,
            tables: &self.tables,
            crop: Some(self.size),
        }
    }

    fn jpeg(&self) -> Vec<u8> {
        let mut jpeg = Vec::new();
        to_jpeg(&self.params(), &self.scan, &mut jpeg);
        jpeg
    }
}

fn encode(picture: &Yuv, quality: u8, bands: usize) -> Encoded {
    let mut encoded = Encoded {
        scan: Vec::new(),
        band_ends: Vec::new(),
        tables: [0; 128],
        restart_interval: 0,
        size: (picture.width, picture.height),
        chroma: picture.chroma,
    };
    let mut finished = false;
    BandEncoder::new()
        .unwrap()
        .encode(picture, quality, bands, &mut |band| {
            assert_eq!(band.index, encoded.band_ends.len());
            assert!(!finished);
            finished = band.last;
            encoded.scan.extend_from_slice(band.scan);
            encoded.band_ends.push(encoded.scan.len());
            encoded.tables = *band.tables;
            encoded.restart_interval = band.restart_interval;
        })
        .unwrap();
    assert!(finished);
    encoded
}

/// The frame encoded by libjpeg-turbo in one call, with a restart interval of its own choosing.
fn encode_whole(picture: &Yuv, quality: u8, restart_interval: Option<u16>) -> Vec<u8> {
    let mut compressor = Compressor::new().unwrap();
    if let Some(interval) = restart_interval {
        compressor.set_restart_interval(interval).unwrap();
    }
    let planes = Planes {
        y: &picture.y,
        u: &picture.u,
        v: &picture.v,
        width: picture.width,
        height: picture.height,
        chroma: picture.chroma,
    };
    let mut jpeg = Vec::new();
    let length = compressor.compress(planes, quality, &mut jpeg).unwrap();
    jpeg.truncate(length);
    jpeg
}

fn decode_at_once(params: FrameParams<'_>, scan: &[u8], wanted: (usize, usize)) -> Picture {
    let mut decoder = BandDecoder::new().unwrap();
    decoder.begin(params, wanted).unwrap();
    assert_eq!(decoder.push(scan, true), Ok(true));
    let mut picture = Picture::default();
    decoder.take(&mut picture);
    picture
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / (squares.max(1)) as f64).log10()
}

const SIZES: [(usize, usize); 7] = [(1280, 720), (642, 362), (640, 360), (16, 16), (34, 18), (48, 8), (2, 2)];

#[test]
fn bands_joined_are_the_bytes_of_the_frame_encoded_whole() {
    for chroma in [Chroma::C420, Chroma::C422] {
        for (width, height) in SIZES {
            let picture = photo(width, height, chroma);
            let whole = encode_whole(&picture, 75, None);
            let whole = conformance(&whole).unwrap();
            for bands in [1, 3, 5, 9, 1000] {
                let encoded = encode(&picture, 75, bands);
                let rows = height.div_ceil(mcu_size(chroma).1);
                assert_eq!(encoded.band_ends.len(), bands.min(rows));
                assert!(encoded.scan == whole.scan, "{width}x{height} {chroma:?} in {bands} bands");
                assert_eq!(encoded.tables, whole.tables);
                assert_eq!(encoded.restart_interval, whole.restart_interval);
            }
        }
    }
}

#[test]
fn odd_sides_are_encoded_as_if_the_last_column_and_row_were_repeated() {
    for chroma in [Chroma::C420, Chroma::C422] {
        let odd = photo(33, 17, chroma);
        let mut even = Yuv::default();
        odd.pad_to_even(&mut even);
        assert_eq!((even.width, even.height), (34, 18));
        assert_eq!(even.y[33], odd.y[32]);
        assert_eq!(even.y[17 * 34 + 5], odd.y[16 * 33 + 5]);
        assert_eq!(encode(&odd, 80, 2).scan, encode(&even, 80, 2).scan);
    }
}

#[test]
fn pictures_that_cannot_be_encoded_are_refused() {
    let mut encoder = BandEncoder::new().unwrap();
    let mut refuse = |picture: &Yuv| encoder.encode(picture, 75, 3, &mut |_| panic!("a band")).unwrap_err();
    for (width, height) in [(0, 0), (0, 16), (16, 0), (2041, 16), (16, 2041)] {
        let mut picture = Yuv::default();
        picture.reshape(width, height, Chroma::C420);
        assert!(matches!(refuse(&picture), Error::Size { .. }));
    }
    let mut picture = photo(32, 32, Chroma::C420);
    picture.v.pop();
    assert!(matches!(refuse(&picture), Error::Planes { .. }));
}

#[test]
fn what_is_encoded_decodes_to_the_picture() {
    for chroma in [Chroma::C420, Chroma::C422] {
        for (width, height) in [(640, 360), (98, 50)] {
            let picture = photo(width, height, chroma);
            let back = decode_to_yuv(&encode(&picture, 95, 3).jpeg()).unwrap();
            assert_eq!((back.width, back.height, back.chroma), (width, height, chroma));
            assert!(psnr(&picture.y, &back.y) > 38.0, "{}", psnr(&picture.y, &back.y));
            assert!(psnr(&picture.u, &back.u) > 30.0, "{}", psnr(&picture.u, &back.u));
        }
    }
}

#[test]
fn decoding_band_by_band_gives_the_picture_decoded_whole() {
    for chroma in [Chroma::C420, Chroma::C422] {
        for (width, height) in [(1280, 720), (642, 362), (34, 18)] {
            let encoded = encode(&photo(width, height, chroma), 75, 9);
            for scale in Scale::ALL {
                let wanted = (scale.of(width), scale.of(height));
                let whole = whole_picture(&encoded, scale);
                let mut decoder = BandDecoder::new().unwrap();
                decoder.begin(encoded.params(), wanted).unwrap();
                let mut rows = Vec::new();
                for end in &encoded.band_ends {
                    let complete = *end == encoded.scan.len();
                    assert_eq!(decoder.push(&encoded.scan[..*end], complete), Ok(complete));
                    rows.push(decoder.rows_decoded());
                }
                assert!(rows.is_sorted());
                assert!(width != 1280 || rows[4] >= scale.of(height) / 2, "nothing was decoded early: {rows:?}");
                let mut picture = Picture::default();
                decoder.take(&mut picture);
                assert_eq!((picture.width, picture.height), wanted);
                assert!(picture == whole, "{width}x{height} {chroma:?} {scale:?}");
            }
        }
    }
}

/// Decoded by libjpeg-turbo in one call.
fn whole_picture(encoded: &Encoded, scale: Scale) -> Picture {
    let mut decompressor = Decompressor::new(4_000_000).unwrap();
    decompressor.set_fast_upsampling(true).unwrap();
    let mut picture = Picture::default();
    picture.reshape(scale.of(encoded.size.0), scale.of(encoded.size.1));
    let width = picture.width;
    assert_eq!(decompressor.decode_words(&encoded.jpeg(), scale, &mut picture.pixels, width), Ok(None));
    picture
}

#[test]
fn a_scan_growing_by_single_bytes_decodes() {
    let encoded = encode(&photo(96, 176, Chroma::C420), 60, 1);
    let mut decoder = BandDecoder::new().unwrap();
    decoder.begin(encoded.params(), (96, 176)).unwrap();
    for end in 0..encoded.scan.len() {
        assert_eq!(decoder.push(&encoded.scan[..end], false), Ok(false));
    }
    assert_eq!(decoder.rows_decoded(), 160);
    assert_eq!(decoder.push(&encoded.scan, true), Ok(true));
    assert_eq!(decoder.push(&encoded.scan, true), Ok(true));
    let mut picture = Picture::default();
    decoder.take(&mut picture);
    assert!(picture == whole_picture(&encoded, Scale::Full));
}

#[test]
fn any_restart_interval_decodes_and_those_that_tile_rows_early() {
    // 10 MCUs a row, 12 rows.
    let picture = photo(160, 192, Chroma::C420);
    let table = [
        (0, false),
        (1, true),
        (5, true),
        (10, true),
        (20, true),
        (4, true),
        (30, true),
        (7, true),
        (77, false),
        (120, false),
        (999, false),
    ];
    for (interval, early) in table {
        let jpeg = encode_whole(&picture, 75, Some(interval));
        let parts = conformance(&jpeg).unwrap();
        assert_eq!(parts.restart_interval, interval);
        let whole = decode_at_once(parts.params(), parts.scan, (160, 192));
        let mut decoder = BandDecoder::new().unwrap();
        decoder.begin(parts.params(), (160, 192)).unwrap();
        let mut decoded_early = false;
        for end in (0..parts.scan.len()).step_by(100) {
            assert_eq!(decoder.push(&parts.scan[..end], false), Ok(false));
            decoded_early |= decoder.rows_decoded() > 0;
        }
        assert_eq!(decoder.push(parts.scan, true), Ok(true));
        assert_eq!(decoded_early, early, "interval {interval}");
        let mut in_steps = Picture::default();
        decoder.take(&mut in_steps);
        assert!(in_steps == whole, "interval {interval}");
    }
}

#[test]
fn the_scale_is_the_smallest_that_fills_the_tile() {
    let encoded = encode(&photo(1280, 720, Chroma::C420), 30, 1);
    let table = [
        ((160, 90), (160, 90)),
        ((0, 0), (160, 90)),
        ((161, 90), (320, 180)),
        ((160, 91), (320, 180)),
        ((320, 180), (320, 180)),
        ((321, 0), (640, 360)),
        ((640, 361), (1280, 720)),
        ((1281, 2000), (1280, 720)),
    ];
    for (wanted, size) in table {
        let picture = decode_at_once(encoded.params(), &encoded.scan, wanted);
        assert_eq!((picture.width, picture.height), size, "wanted {wanted:?}");
    }
}

#[test]
fn the_crop_counts_only_while_it_says_the_same_mcus() {
    let tables = [1; 128];
    let size = |width, height, crop| {
        FrameParams { width, height, chroma: Chroma::C420, restart_interval: 0, tables: &tables, crop }.shown_size()
    };
    assert_eq!(size(648, 488, Some((642, 482))), (642, 482));
    assert_eq!(size(648, 488, Some((649, 482))), (648, 488));
    assert_eq!(size(648, 488, Some((640, 482))), (648, 488));
    assert_eq!(size(648, 488, Some((642, 480))), (648, 488));
    assert_eq!(size(648, 488, Some((0, 0))), (648, 488));
    assert_eq!(size(648, 488, None), (648, 488));
}

#[test]
fn broken_scans_are_errors_and_leave_the_rows_before() {
    let encoded = encode(&photo(320, 320, Chroma::C420), 75, 4);
    let begun = || {
        let mut decoder = BandDecoder::new().unwrap();
        assert_eq!(decoder.push(&[], true), Err(Error::OutOfTurn));
        decoder.begin(encoded.params(), (320, 320)).unwrap();
        decoder
    };
    let mut decoder = begun();
    assert_eq!(
        decoder.push(&encoded.scan[..encoded.band_ends[1]], true),
        Err(Error::Truncated { rows: 11, expected: 20 })
    );
    let mut partial = Picture::default();
    decoder.take(&mut partial);
    let whole = whole_picture(&encoded, Scale::Full);
    assert!(partial.pixels[..160 * 320] == whole.pixels[..160 * 320]);

    let mut wrong_turn = encoded.scan.clone();
    let at = encoded.band_ends[0] - 2;
    assert_eq!(wrong_turn[at..at + 2], [0xff, 0xd4]);
    wrong_turn[at + 1] = 0xd5;
    assert_eq!(begun().push(&wrong_turn, true), Err(Error::Restart { found: 5, at }));
    wrong_turn[at + 1] = 0xc0;
    assert_eq!(begun().push(&wrong_turn, true), Err(Error::Marker { code: 0xc0, at }));
    let mut one_more = encoded.scan.clone();
    one_more.extend_from_slice(&[0xff, 0xd3]);
    assert!(matches!(begun().push(&one_more, true), Err(Error::Restart { found: 3, .. })));
    assert!(matches!(begun().push(&vec![0; (2 << 20) + 1], false), Err(Error::TooLong { .. })));

    let mut decoder = begun();
    assert_eq!(decoder.push(&encoded.scan[..500], false), Ok(false));
    assert_eq!(decoder.push(&encoded.scan[..100], false), Err(Error::OutOfTurn));
}

#[test]
fn damaged_bytes_leave_a_whole_picture_and_say_so() {
    let encoded = encode(&photo(320, 320, Chroma::C420), 75, 4);
    let mut scan = encoded.scan.clone();
    scan[2_000..2_200].fill(0x55);
    let mut decoder = BandDecoder::new().unwrap();
    decoder.begin(encoded.params(), (320, 320)).unwrap();
    let damage = decoder.push(&scan, true).unwrap_err();
    assert!(damage.left_a_picture(), "{damage}");
    assert_eq!(decoder.rows_decoded(), 320);
}

#[test]
fn an_eoi_left_in_the_scan_ends_it() {
    let encoded = encode(&photo(64, 64, Chroma::C422), 75, 1);
    let mut scan = encoded.scan.clone();
    scan.extend_from_slice(&[0xff, 0xd9, 0xff, 0xd8, 1, 2, 3]);
    let picture = decode_at_once(encoded.params(), &scan, (64, 64));
    assert!(picture == whole_picture(&encoded, Scale::Full));
}

#[test]
fn sizes_outside_the_bounds_are_refused_before_anything_is_made() {
    let tables = [1; 128];
    let mut decoder = BandDecoder::new().unwrap();
    for (width, height) in [(0, 8), (8, 0), (2048, 8), (8, 2048), (usize::MAX, 8)] {
        let params =
            FrameParams { width, height, chroma: Chroma::C422, restart_interval: 1, tables: &tables, crop: None };
        assert!(matches!(decoder.begin(params, (8, 8)), Err(Error::Size { .. })));
        assert_eq!(decoder.push(&[0], false), Err(Error::OutOfTurn));
    }
}

#[test]
fn a_jpeg_is_cut_at_its_end_whatever_follows() {
    let jpeg = encode(&photo(64, 48, Chroma::C422), 75, 1).jpeg();
    let mut buffer = jpeg.clone();
    buffer.extend_from_slice(&encode(&photo(64, 64, Chroma::C420), 90, 1).jpeg());
    buffer.extend_from_slice(&[0xff; 100]);
    assert_eq!(jpeg_length(&buffer), Some(jpeg.len()));
    let parts = conformance(&buffer).unwrap();
    assert_eq!((parts.width, parts.height, parts.chroma), (64, 48, Chroma::C422));
    assert_eq!(parts.length, jpeg.len());
    for end in 0..jpeg.len() {
        assert_eq!(jpeg_length(&jpeg[..end]), None);
        assert!(conformance(&jpeg[..end]).is_err());
    }
    assert_eq!(jpeg_length(&jpeg[1..]), None);
}

#[test]
fn only_what_rfc_2435_can_carry_conforms() {
    let jpeg = encode_whole(&photo(64, 48, Chroma::C420), 75, Some(0));
    assert!(conformance(&jpeg).is_ok());
    let find = |code: u8| jpeg.windows(2).position(|w| w == [0xff, code]).unwrap();
    let (sof, dqt, dht, sos) = (find(0xc0), find(0xdb), find(0xc4), find(0xda));
    let with = |at: usize, value: u8| {
        let mut changed = jpeg.clone();
        changed[at] = value;
        conformance(&changed).unwrap_err()
    };
    assert_eq!(with(sof + 1, 0xc2), NotConforming::Process(0xc2));
    assert_eq!(with(sof + 4, 12), NotConforming::Process(0xc0));
    assert_eq!(with(sof + 7, 8), NotConforming::Size(2048 + 64, 48));
    assert_eq!(with(sof + 8, 0), NotConforming::Size(0, 48));
    assert!(matches!(with(sof + 11, 0x11), NotConforming::Components(_)));
    assert!(matches!(with(sof + 11, 0x41), NotConforming::Components(_)));
    assert!(matches!(with(sof + 14, 0x12), NotConforming::Components(_)));
    assert!(matches!(with(sof + 17, 0x21), NotConforming::Components(_)));
    assert!(matches!(with(sof + 18, 0), NotConforming::Quantization(_)), "chroma tables differ");
    assert!(matches!(with(dqt + 4, 0x10), NotConforming::Quantization(_)), "16 bit");
    assert!(matches!(with(dqt + 4, 0x02), NotConforming::Quantization(_)), "missing");
    assert_eq!(with(dht + 5 + 3, 2), NotConforming::Huffman);
    assert_eq!(with(dht + 5 + 17, 7), NotConforming::Huffman);
    assert_eq!(with(sos + 6, 0x11), NotConforming::Huffman);
    assert_eq!(with(sos + 4, 1), NotConforming::Scans);
    let mut restart = jpeg.clone();
    restart[jpeg.len() - 20..jpeg.len() - 18].copy_from_slice(&[0xff, 0xd0]);
    assert_eq!(conformance(&restart).unwrap_err(), NotConforming::Restart);
}

#[test]
fn huffman_tables_may_be_absent() {
    let jpeg = encode(&photo(64, 48, Chroma::C422), 75, 1).jpeg();
    let dht = jpeg.windows(2).position(|w| w == [0xff, 0xc4]).unwrap();
    let mut bare = jpeg[..dht].to_vec();
    bare.extend_from_slice(&jpeg[dht + 420..]);
    assert_eq!(conformance(&bare).unwrap().scan, conformance(&jpeg).unwrap().scan);
    assert_eq!(decode_to_yuv(&bare).unwrap(), decode_to_yuv(&jpeg).unwrap());
}

#[test]
fn grey_and_full_chroma_become_planes() {
    // A 4:2:0 picture told as one of one component: its luma blocks alone make a scan of another layout, so make the
    // grey one by hand: every coefficient zero is one byte pattern per block.
    let mut jpeg = Vec::new();
    let tables = [1; 128];
    let params =
        FrameParams { width: 16, height: 8, chroma: Chroma::C422, restart_interval: 0, tables: &tables, crop: None };
    write_header(&params, &mut jpeg);
    let sof = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let sos = jpeg.windows(2).rposition(|w| w == [0xff, 0xda]).unwrap();
    let mut full = jpeg.clone();
    full[sof + 11] = 0x11;
    // DC difference 0 then end of block: luma "00" + "1010", chroma "00" + "00" twice; two MCUs; padded with ones.
    full.extend_from_slice(&[0b0010_1000, 0b0000_0000, 0b1010_0000, 0b0000_1111, 0xff, 0xd9]);
    full[sof + 11] = 0x11;
    let picture = decode_to_yuv(&full).unwrap();
    assert_eq!((picture.width, picture.height, picture.chroma), (16, 8, Chroma::C420));
    assert!(picture.is_sound() && picture.y.iter().chain(&picture.u).chain(&picture.v).all(|s| *s == 128));

    let mut grey = jpeg[..sof].to_vec();
    grey.extend_from_slice(&[0xff, 0xc0, 0, 11, 8, 0, 8, 0, 15, 1, 1, 0x11, 0]);
    grey.extend_from_slice(&jpeg[sof + 19..sos]);
    grey.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0, 0b0010_1000, 0b1010_1111, 0xff, 0xd9]);
    let picture = decode_to_yuv(&grey).unwrap();
    assert_eq!((picture.width, picture.height), (15, 8));
    assert!(picture.is_sound() && picture.y.iter().chain(&picture.u).all(|s| *s == 128));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn mutated_frames_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        interval in 0_u16..40,
        size in (1_usize..260, 1_usize..260),
        wanted in (0_usize..200, 0_usize..200),
        step in 1_usize..4_000,
    ) {
        let encoded = encode(&photo(128, 96, Chroma::C420), 50, 3);
        let mut scan = encoded.scan.clone();
        for (at, value) in &changes {
            let at = at.index(scan.len());
            scan[at] = *value;
        }
        let mut params = encoded.params();
        (params.width, params.height) = size;
        params.restart_interval = interval;
        let mut decoder = BandDecoder::new().unwrap();
        for params in [encoded.params(), params] {
            decoder.begin(params, wanted).unwrap();
            for end in (0..scan.len()).step_by(step) {
                let _ = decoder.push(&scan[..end], false);
            }
            let _ = decoder.push(&scan, true);
        }
        let mut jpeg = encoded.jpeg();
        for (at, value) in &changes {
            let at = at.index(jpeg.len().min(700));
            jpeg[at] = *value;
        }
        let jpeg = &jpeg[..jpeg.len() - cut.index(jpeg.len()) / 8];
        if let Ok(parts) = conformance(jpeg) {
            prop_assert!(parts.width <= 2040 && parts.height <= 2040 && parts.scan.len() < jpeg.len());
        }
        if let Some(length) = jpeg_length(jpeg) {
            prop_assert!(length <= jpeg.len());
        }
        if let Ok(picture) = decode_to_yuv(jpeg) {
            prop_assert!(picture.is_sound());
        }
    }
}

/// A JPEG as any program writes it.
pub(super) fn sample_jpeg(width: usize, height: usize) -> Vec<u8> {
    encode_whole(&photo(width, height, Chroma::C420), 80, None)
}
