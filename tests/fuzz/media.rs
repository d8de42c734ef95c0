//! Pictures and sound: from the network, from cameras, from files.

use std::io::Cursor;

use roundtable::limits::{JPEG_SIDE_PIXELS_MAX, SOURCE_JPEG_BYTES_MAX, SOURCE_PIXELS_MAX};
use roundtable::media::files::{Frame, VideoFile};
use roundtable::media::jpeg::{
    BandDecoder, BandEncoder, FrameParams, conformance, decode_to_yuv, jpeg_length, to_jpeg,
};
use roundtable::media::opus;
use roundtable::media::picture::{Chroma, Picture, Yuv};
use roundtable::media::test_card::TestCard;
use roundtable::media::test_voice::TestVoice;
use roundtable::media::wav::{WavLoop, WavSink};
use roundtable::time::NtpTime;

use crate::driver::{Feed, fuzz, outcome, variant};

/// The largest picture that may come, and what stands around it.
const PICTURE_MEMORY: usize = 4 * SOURCE_PIXELS_MAX + SOURCE_JPEG_BYTES_MAX + (1 << 20);

/// A small picture's scan, its tables and restart interval.
pub fn small_scan(chroma: Chroma) -> (Vec<u8>, [u8; 128], u16) {
    let mut picture = Yuv::default();
    TestCard::new(64, 48, "Ada", 1).render(NtpTime(1 << 40), 1, &mut picture);
    if chroma == Chroma::C422 {
        picture.reshape(64, 48, chroma);
    }
    let mut encoder = BandEncoder::new().expect("memory");
    let mut scan = Vec::new();
    encoder.encode(&picture, 60, 3, &mut |band| scan.extend_from_slice(band.scan)).expect("a picture");
    (scan, *encoder.tables(), encoder.restart_interval())
}

fn small_jpeg(chroma: Chroma) -> Vec<u8> {
    let (scan, tables, restart_interval) = small_scan(chroma);
    let params = FrameParams { width: 64, height: 48, chroma, restart_interval, tables: &tables, crop: None };
    let mut jpeg = Vec::new();
    to_jpeg(&params, &scan, &mut jpeg);
    jpeg
}

#[test]
fn jpegs_of_cameras() {
    let mut decoder = BandDecoder::new().expect("memory");
    let mut shown = Picture::default();
    let seeds = vec![small_jpeg(Chroma::C420), small_jpeg(Chroma::C422)];
    fuzz("jpeg", PICTURE_MEMORY, seeds, |bytes| {
        assert!(jpeg_length(bytes).is_none_or(|length| length <= bytes.len()));
        let decoded = decode_to_yuv(bytes);
        if let Ok(picture) = &decoded {
            assert!(picture.is_sound() && picture.width * picture.height <= SOURCE_PIXELS_MAX);
        }
        let conforming = conformance(bytes);
        let passed = conforming.as_ref().ok().map(|jpeg| {
            assert!(jpeg.length <= bytes.len() && jpeg.scan.len() <= jpeg.length);
            assert!(jpeg.width.max(jpeg.height) <= JPEG_SIDE_PIXELS_MAX);
            decoder.begin(jpeg.params(), (16, 16)).expect("a size that conforms");
            let pushed = decoder.push(jpeg.scan, true).map_err(|e| variant(&e));
            decoder.take(&mut shown);
            assert_eq!(shown.pixels.len(), shown.width * shown.height);
            pushed
        });
        let refused = conforming.err().map(|e| variant(&e));
        outcome(&(refused, passed, decoded.err().map(|e| variant(&e))))
    });
}

/// First the frame's parameters, then where the scan is split, then the scan.
fn as_script(chroma: Chroma) -> Vec<u8> {
    let (scan, tables, restart_interval) = small_scan(chroma);
    let mut script = vec![8, 6, u8::from(chroma == Chroma::C422), restart_interval as u8, 16, 12, 3, 40, 200, 90];
    script.extend(tables);
    script.extend(scan);
    script
}

#[test]
fn bands_as_the_network_brings_them() {
    let (mut decoder, mut at_once) = (BandDecoder::new().expect("memory"), BandDecoder::new().expect("memory"));
    let (mut shown, mut whole) = (Picture::default(), Picture::default());
    let seeds = vec![as_script(Chroma::C420), as_script(Chroma::C422)];
    fuzz("bands", 2 * PICTURE_MEMORY, seeds, |bytes| {
        let mut feed = Feed(bytes);
        // Mostly small: large pictures only cost time.
        let side = |n: u8| if n == 255 { JPEG_SIDE_PIXELS_MAX } else { 8 * usize::from(n % 32) };
        let (width, height) = (side(feed.u8()), side(feed.u8()));
        let chroma = [Chroma::C420, Chroma::C422][usize::from(feed.u8() % 2)];
        let restart_interval = feed.u8().into();
        let wanted = (feed.u8().into(), feed.u8().into());
        let splits: Vec<usize> = (0..feed.u8() % 8).map(|_| feed.u8().into()).collect();
        let mut tables = [1; 128];
        let given = feed.bytes(128);
        tables[..given.len()].copy_from_slice(given);
        let params = FrameParams { width, height, chroma, restart_interval, tables: &tables, crop: None };
        let scan = feed.0;
        // What was there before shows where nothing is decoded: the same for both.
        for picture in [&mut shown, &mut whole] {
            *picture = Picture::default();
        }
        decoder.take(&mut shown);
        at_once.take(&mut whole);
        let begun = decoder.begin(params, wanted);
        if begun.is_err() {
            assert!(width == 0 || height == 0);
            return 1;
        }
        let _ = at_once.begin(params, wanted);
        let mut end = 0;
        let mut result = Ok(false);
        for split in splits {
            end = (end + split).min(scan.len());
            result = decoder.push(&scan[..end], false);
            assert!(decoder.rows_decoded() <= decoder.picture().height);
            if result != Ok(false) {
                break;
            }
        }
        if result == Ok(false) {
            result = decoder.push(scan, true);
        }
        let straight = at_once.push(scan, true);
        decoder.take(&mut shown);
        at_once.take(&mut whole);
        assert_eq!(shown.pixels.len(), shown.width * shown.height);
        if result == Ok(true) && straight == Ok(true) {
            assert_eq!(shown, whole, "how it was cut makes no difference");
        }
        outcome(&(result, straight))
    });
}

#[test]
fn video_files() {
    let (first, second) = (small_jpeg(Chroma::C420), small_jpeg(Chroma::C422));
    let mut y4m = b"YUV4MPEG2 W4 H2 F25:1 C420jpeg\nFRAME\n".to_vec();
    y4m.extend([90; 12]);
    y4m.extend(b"FRAME\n");
    y4m.extend([10; 12]);
    let seeds = vec![[&first[..], &second[..]].concat(), y4m, avi(&[&first, &second])];
    let mut frame = Frame::Jpeg(Vec::new());
    fuzz("files", 2 * PICTURE_MEMORY, seeds, |bytes| {
        let mut file = match VideoFile::open(Cursor::new(bytes)) {
            Ok(file) => file,
            Err(e) => return outcome(&variant(&e)),
        };
        assert!(file.rate().is_none_or(|rate| (0.1..=120.0).contains(&rate)));
        let mut results = Vec::new();
        for round in 0..2 {
            let mut frames = 0;
            let ended = loop {
                match file.next(&mut frame) {
                    Ok(true) => frames += 1,
                    Ok(false) => break Ok(()),
                    Err(e) => break Err(variant(&e)),
                }
                match &frame {
                    Frame::Jpeg(jpeg) => assert!(jpeg.len() <= SOURCE_JPEG_BYTES_MAX && jpeg.len() <= bytes.len()),
                    Frame::Yuv(picture) => assert!(picture.is_sound()),
                }
                assert!(frames <= bytes.len(), "more pictures than bytes");
            };
            results.push((frames, ended));
            if file.rewind().is_err() {
                break;
            }
            assert!(round == 0 || results[0] == results[1], "the same after going back: {results:?}");
        }
        outcome(&(results.first().map(|r| (r.0.min(2) as u8 + b'a') as char), &results[0].1))
    });
}

/// A RIFF file with one list of pictures.
fn avi(jpegs: &[&[u8]]) -> Vec<u8> {
    let chunk = |id: &[u8; 4], body: &[u8]| {
        let mut out = id.to_vec();
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(body);
        out.extend(&[0][..body.len() % 2]);
        out
    };
    let list = |kind: &[u8; 4], parts: &[Vec<u8>]| chunk(b"LIST", &[&kind[..], &parts.concat()].concat());
    let mut main = [0; 56];
    main[..4].copy_from_slice(&40_000_u32.to_le_bytes());
    let mut stream = [0; 56];
    stream[..8].copy_from_slice(b"vidsMJPG");
    stream[20..24].copy_from_slice(&1_u32.to_le_bytes());
    stream[24..28].copy_from_slice(&25_u32.to_le_bytes());
    let mut format = [0; 40];
    format[..4].copy_from_slice(&40_u32.to_le_bytes());
    format[16..20].copy_from_slice(b"MJPG");
    let header = list(b"strl", &[chunk(b"strh", &stream), chunk(b"strf", &format)]);
    let pictures: Vec<Vec<u8>> = jpegs.iter().map(|jpeg| chunk(b"00dc", jpeg)).collect();
    let parts = [list(b"hdrl", &[chunk(b"avih", &main), header]), list(b"movi", &pictures)];
    chunk(b"RIFF", &[&b"AVI "[..], &parts.concat()].concat())
}

#[test]
fn wav_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sound.wav");
    let mut sink = WavSink::create(&path).expect("a file");
    sink.write(&[0.1; 300]).expect("written");
    drop(sink);
    let seed = std::fs::read(&path).expect("just written");
    let mut samples = [0.0; 480];
    fuzz("wav", 8 << 20, vec![seed], |bytes| {
        std::fs::write(&path, bytes).expect("written");
        let mut file = match WavLoop::open(&path) {
            Ok(file) => file,
            Err(e) => return outcome(&variant(&e)),
        };
        let read = (0..8).try_for_each(|_| file.read(&mut samples));
        outcome(&read.map_err(|e| variant(&e)))
    });
}

#[test]
fn voices() {
    let mut encoder = opus::Encoder::new(opus::Settings::default()).expect("memory");
    let mut voice = TestVoice::new(150.0);
    let mut seeds = Vec::new();
    for _ in 0..4 {
        let (mut frame, mut packet) = ([0.0; 960], Vec::new());
        voice.render(&mut frame);
        encoder.encode(&frame, &mut packet).expect("a frame");
        seeds.push(packet);
    }
    let mut decoder = opus::Decoder::new().expect("memory");
    fuzz("opus", 1 << 20, seeds, |bytes| {
        let samples = opus::packet_samples(bytes);
        assert!(samples.is_none_or(|n| n > 0 && n <= opus::PACKET_SAMPLES_MAX));
        let decoded = decoder.decode(bytes).map(|pcm| {
            assert!(pcm.iter().all(|s| s.is_finite()));
            pcm.len()
        });
        // Nothing is how a decoder is asked to make something up.
        assert!(
            bytes.is_empty() || decoded.is_err() || decoded.as_ref().ok() == samples.as_ref(),
            "{decoded:?}, announced {samples:?}"
        );
        let recovered = decoder.recover(bytes, 960).map(<[f32]>::len);
        let concealed = decoder.conceal(480).map(<[f32]>::len);
        outcome(&(
            decoded.is_ok(),
            recovered.is_ok(),
            concealed.is_ok(),
            samples.map(|n| char::from(n.min(2_000) as u8)),
        ))
    });
}
