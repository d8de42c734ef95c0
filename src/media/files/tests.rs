use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::media::jpeg::{BandEncoder, FrameParams, conformance, to_jpeg};
use crate::media::picture::Chroma;

/// A small JPEG with one shade of grey.
fn jpeg(shade: u8) -> Vec<u8> {
    let mut picture = Yuv::default();
    picture.reshape(32, 16, Chroma::C420);
    picture.y.fill(shade);
    let mut jpeg = Vec::new();
    let mut encode = |band: crate::media::jpeg::Band<'_>| {
        let restart_interval = band.restart_interval;
        let params = FrameParams {
            width: 32,
            height: 16,
            chroma: Chroma::C420,
            restart_interval,
            tables: band.tables,
            crop: None,
        };
        to_jpeg(&params, band.scan, &mut jpeg);
    };
    BandEncoder::new().unwrap().encode(&picture, 75, 1, &mut encode).unwrap();
    jpeg
}

fn chunk(id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = [&id[..], &(content.len() as u32).to_le_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn list(id: &[u8; 4], kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    chunk(id, &[&kind[..], content].concat())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// An AVI with sound as stream 0 and video of `codec` as stream 1.
fn avi(codec: &[u8; 4], pictures: &[Vec<u8>]) -> Vec<u8> {
    let four = |text: &[u8; 4]| u32::from_le_bytes(*text);
    let stream = |kind: &[u8; 4], rate: u32, scale: u32, format: &[u32]| {
        let header = words(&[four(kind), 0, 0, 0, 0, scale, rate, 0]);
        list(b"LIST", b"strl", &[chunk(b"strh", &header), chunk(b"strf", &words(format))].concat())
    };
    let headers = [
        chunk(b"avih", &words(&[40_000, 0, 0])),
        stream(b"auds", 48_000, 1, &[1, 2, 3, 4, 5]),
        stream(b"vids", 30_000, 1_001, &[40, 32, 16, 1, four(codec), 0]),
    ]
    .concat();
    let chunks: Vec<u8> = pictures
        .iter()
        .flat_map(|picture| [chunk(b"00wb", &[1, 2, 3]), chunk(b"01dc", picture), chunk(b"01dc", &[])].concat())
        .collect();
    let (first, second) = chunks.split_at(chunks.len() / pictures.len().max(1));
    let first = [
        list(b"LIST", b"hdrl", &headers),
        chunk(b"JUNK", &[0; 5]),
        list(b"LIST", b"movi", &list(b"LIST", b"rec ", first)),
        chunk(b"idx1", &[0; 16]),
    ]
    .concat();
    [list(b"RIFF", b"AVI ", &first), list(b"RIFF", b"AVIX", &list(b"LIST", b"movi", second))].concat()
}

/// All pictures of a file, twice over.
pub(super) fn play(bytes: Vec<u8>) -> Result<Vec<Frame>, Error> {
    let mut file = VideoFile::open(Cursor::new(bytes))?;
    let mut frame = Frame::Jpeg(Vec::new());
    let mut rounds = [Vec::new(), Vec::new()];
    for round in &mut rounds {
        while file.next(&mut frame)? {
            round.push(frame.clone());
            assert!(round.len() < 1_000);
        }
        file.rewind()?;
    }
    let [first, second] = rounds;
    assert!(first == second, "the second round differs");
    Ok(first)
}

#[test]
fn a_motion_jpeg_stream_is_cut_into_its_pictures() {
    let pictures = [jpeg(10), jpeg(20), jpeg(30)];
    let stream = [&pictures[0][..], &pictures[1], b"between\xff", &pictures[2], &pictures[0][..100]].concat();
    let frames = play(stream.clone()).unwrap();
    assert_eq!(frames, pictures.map(Frame::Jpeg));
    assert_eq!(VideoFile::open(Cursor::new(stream)).unwrap().rate(), None);
}

#[test]
fn an_avi_gives_the_pictures_of_its_video_stream() {
    let pictures = vec![jpeg(10), jpeg(20), jpeg(30), jpeg(40)];
    let bytes = avi(b"mjpg", &pictures);
    let rate = VideoFile::open(Cursor::new(bytes.clone())).unwrap().rate().unwrap();
    assert!((rate - 29.97).abs() < 0.01);
    let frames = play(bytes).unwrap();
    assert_eq!(frames, pictures.into_iter().map(Frame::Jpeg).collect::<Vec<_>>());
    for frame in frames {
        assert!(matches!(frame, Frame::Jpeg(bytes) if conformance(&bytes).is_ok()));
    }
}

#[test]
fn an_avi_without_motion_jpeg_says_what_it_has() {
    let message = |bytes: Vec<u8>| play(bytes).unwrap_err().to_string();
    assert_eq!(message(avi(b"H264", &[jpeg(1)])), "its video is H264; only Motion JPEG can be played");
    assert_eq!(message(avi(b"\0\n\xff1", &[jpeg(1)])), "its video is ???1; only Motion JPEG can be played");
    let only_sound = list(b"RIFF", b"AVI ", &list(b"LIST", b"movi", &[]));
    assert_eq!(message(only_sound), "it has no video stream");
    assert_eq!(message(avi(b"MJPG", &[jpeg(1)])[..60].to_vec()), "the file is damaged: no list of pictures");
    let mut huge = avi(b"MJPG", &[jpeg(1)]);
    let at = huge.windows(4).position(|w| w == b"01dc").unwrap();
    huge[at + 7] = 0x7f;
    assert!(message(huge).starts_with("a picture of "));
}

fn y4m(header: &str, frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 {header}\n").into_bytes();
    for frame in frames {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(frame);
    }
    bytes
}

#[test]
fn planes_of_every_layout_arrive_in_full_range() {
    let one = |header: &str, frame: &[u8]| match play(y4m(header, &[frame])).unwrap().remove(0) {
        Frame::Yuv(picture) => picture,
        Frame::Jpeg(_) => panic!("a JPEG"),
    };
    let picture = one("W2 H2 F25:1 Ip C420jpeg XCOLORRANGE=FULL", &[1, 2, 3, 4, 5, 6]);
    assert_eq!((picture.chroma, picture.y, picture.u, picture.v), (Chroma::C420, vec![1, 2, 3, 4], vec![5], vec![6]));
    let picture = one("W2 H2 C420", &[16, 235, 126, 0, 128, 240]);
    assert_eq!((picture.y, picture.u, picture.v), (vec![0, 255, 128, 0], vec![128], vec![255]));
    let picture = one("W2 H2 C422 XCOLORRANGE=FULL", &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((picture.chroma, picture.u, picture.v), (Chroma::C422, vec![5, 6], vec![7, 8]));
    let picture = one("W1 H2 C444 XCOLORRANGE=FULL", &[1, 2, 4, 6, 7, 9]);
    assert_eq!((picture.y, picture.u, picture.v), (vec![1, 2], vec![5], vec![8]));
    let picture = one("W3 H1 Cmono XCOLORRANGE=FULL", &[1, 2, 3]);
    assert_eq!((picture.y, picture.u), (vec![1, 2, 3], vec![128, 128]));
}

#[test]
fn hostile_plane_files_are_refused_with_the_reason() {
    let message = |header: &str| play(y4m(header, &[&[0; 64]])).unwrap_err().to_string();
    assert_eq!(message("W18446744073709551615 H2"), "a side of 18446744073709551615 is over the bound of 9437184");
    assert_eq!(message("W99999999999999999999 H2"), "the file is damaged: a side is no number");
    assert_eq!(message("W9437184 H9437184"), "its pictures are too large");
    assert_eq!(message("W5000 H3000 Cmono"), "a picture of 15000000 is over the bound of 9437184");
    assert_eq!(message("W0 H2"), "the file is damaged: its header cannot be read");
    assert_eq!(message("W4 H4 C411"), "its chroma layout is not known");
    assert_eq!(message("W4 H4 C420p10"), "its samples have 10 bits, not 8");
    let mut unmarked = y4m("W2 H2 C420", &[&[0; 6]]);
    let at = unmarked.len() - 8;
    unmarked[at] = b'X';
    assert_eq!(play(unmarked).unwrap_err().to_string(), "the file is damaged: its header cannot be read");
    assert_eq!(VideoFile::open(Cursor::new(y4m("W2 H2 F30:0", &[]))).unwrap().rate(), None);
    assert_eq!(VideoFile::open(Cursor::new(y4m("W2 H2 F9999:1", &[]))).unwrap().rate(), Some(120.0));
}

#[test]
fn other_files_are_not_known() {
    for bytes in [&b""[..], b"\xff\xd8", b"\x89PNG\r\n\x1a\n0000", b"RIFF0000WAVE", b"YUV4MPEG1 W2 H2\n"] {
        assert!(matches!(play(bytes.to_vec()), Err(Error::Unknown)), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn mutated_files_never_panic(
        which in 0_usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = match which {
            0 => [jpeg(1), jpeg(2)].concat(),
            1 => avi(b"MJPG", &[jpeg(1), jpeg(2)]),
            _ => y4m("W16 H4 F30:1 C420", &[&[9; 96], &[8; 96]]),
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 4);
        if let Ok(mut file) = VideoFile::open(Cursor::new(bytes)) {
            let mut frame = Frame::Jpeg(Vec::new());
            for _ in 0..100 {
                if !file.next(&mut frame).unwrap_or(false) {
                    let _ = file.rewind();
                }
            }
        }
    }
}
