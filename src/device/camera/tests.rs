use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::media::convert::Range;
use crate::media::jpeg::{BandEncoder, FrameParams, conformance, decode_to_yuv, to_jpeg};
use crate::media::picture::Chroma;
use crate::media::test_card::read_timecode_of_planes;

const PATIENCE: Duration = Duration::from_secs(10);

fn frame(tag: u8) -> CapturedFrame {
    CapturedFrame::Jpeg { bytes: vec![tag] }
}

fn capture(tag: u8) -> Capture {
    Capture { frame: frame(tag), at: Timestamp(u64::from(tag)), wall: NtpTime(0) }
}

fn opened() -> Opened {
    Opened { description: "a camera".into(), size: Some((640, 480)), fps: 30.0, format: "MJPEG".into() }
}

fn jpeg(width: usize, height: usize, chroma: Chroma, shade: u8) -> Vec<u8> {
    let mut picture = Yuv::default();
    picture.reshape(width, height, chroma);
    picture.y.fill(shade);
    picture.u.fill(128);
    picture.v.fill(128);
    let mut jpeg = Vec::new();
    BandEncoder::new()
        .unwrap()
        .encode(&picture, 90, 1, &mut |band| {
            let (restart_interval, tables) = (band.restart_interval, band.tables);
            let crop = None;
            to_jpeg(&FrameParams { width, height, chroma, restart_interval, tables, crop }, band.scan, &mut jpeg);
        })
        .unwrap();
    jpeg
}

#[test]
fn specs_read_as_they_are_written() {
    let table = [
        ("auto", CameraSpec::Auto),
        ("none", CameraSpec::None),
        ("test", CameraSpec::Test),
        ("0", CameraSpec::Index(0)),
        ("12", CameraSpec::Index(12)),
        ("./7", CameraSpec::File("./7".into())),
        ("-1", CameraSpec::File("-1".into())),
        ("4294967296", CameraSpec::File("4294967296".into())),
        ("a film.avi", CameraSpec::File("a film.avi".into())),
    ];
    for (text, spec) in table {
        assert_eq!(text.parse(), Ok(spec.clone()));
        assert_eq!(spec.to_string(), text);
    }
    assert_eq!("".parse::<CameraSpec>(), Err(NotACamera));
}

#[test]
fn retries_are_spaced_out_to_eight_seconds() {
    let mut retry = Retry::default();
    let waits: Vec<u128> = (0..7).map(|_| retry.next().as_millis()).collect();
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    retry.reset();
    assert_eq!(retry.next().as_millis(), 500);
}

#[test]
fn pictures_are_due_at_equal_distances_and_missed_ones_are_left_out() {
    let mut pacer = Pacer::new(25.0);
    let ms = Timestamp::from_millis;
    assert_eq!(pacer.next(ms(100)), ms(100));
    assert_eq!(pacer.next(ms(101)), ms(140));
    assert_eq!(pacer.next(ms(220)), ms(180), "at most two late");
    assert_eq!(pacer.next(ms(261)), ms(261), "later than that");
    assert_eq!(pacer.next(ms(262)), ms(301));
}

#[test]
fn news_comes_before_frames_and_only_the_newest_frame_is_kept() {
    let mailbox = Mailbox::new(Clock::manual(Timestamp::from_millis(1_000)));
    mailbox.publish(capture(1));
    mailbox.opened(opened());
    mailbox.publish(capture(2));
    assert_eq!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Opened(opened())));
    assert_eq!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Frame(capture(2))));
    assert_eq!(mailbox.recv(Duration::ZERO), None);
    assert_eq!(mailbox.spare(), Some(frame(1)), "the one that was missed");
    mailbox.recycle(frame(2));
    assert_eq!(mailbox.spare(), Some(frame(2)));
    assert_eq!(mailbox.spare(), None);
}

#[test]
fn a_silent_camera_is_reported_once_after_three_seconds() {
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let mailbox = Mailbox::new(clock.clone());
    let failed = |mailbox: &Mailbox| matches!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Failed { .. }));
    mailbox.opening();
    mailbox.opened(opened());
    mailbox.recv(Duration::ZERO);
    clock.advance(Duration::from_millis(2_999));
    assert_eq!(mailbox.recv(Duration::ZERO), None);
    clock.advance(Duration::from_millis(1));
    assert!(failed(&mailbox));
    clock.advance(Duration::from_secs(60));
    assert_eq!(mailbox.recv(Duration::ZERO), None);
    // It wakes up and falls silent again.
    mailbox.publish(capture(1));
    assert!(matches!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Frame(_))));
    clock.advance(Duration::from_secs(3));
    assert!(failed(&mailbox));
}

#[test]
fn a_camera_that_does_not_open_is_reported_after_ten_seconds() {
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let mailbox = Mailbox::new(clock.clone());
    mailbox.opening();
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(mailbox.recv(Duration::ZERO), None);
    clock.advance(Duration::from_millis(1));
    assert!(matches!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Failed { .. })));
}

#[test]
fn the_same_failure_is_told_once_and_news_is_bounded() {
    let mailbox = Mailbox::new(Clock::manual(Timestamp::from_millis(1_000)));
    for _ in 0..3 {
        mailbox.fail(CameraError::new("gone"));
    }
    assert!(matches!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Failed { .. })));
    assert_eq!(mailbox.recv(Duration::ZERO), None);
    for i in 0..100 {
        mailbox.retrying(Duration::from_secs(i));
    }
    assert_eq!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Retrying { after: Duration::from_secs(92) }));
}

#[test]
fn dropping_a_camera_whose_driver_blocks_does_not_block() {
    let (release, blocked) = mpsc::channel::<()>();
    let camera = Camera::start(Clock::system(), move |_| {
        let _ = blocked.recv();
    });
    drop(camera);
    drop(release);
}

#[test]
fn a_driver_that_panics_is_a_failed_camera() {
    let mailbox = Mailbox::new(Clock::system());
    let mut sessions = 0;
    keep_trying("7", &mailbox, |_| {
        sessions += 1;
        mailbox.stop();
        panic!("a fault in the driver's binding, on purpose");
    });
    assert_eq!(sessions, 1, "a stopped camera is not opened again");
    let Some(CameraEvent::Failed { message, .. }) = mailbox.recv(Duration::ZERO) else { panic!("not told") };
    assert_eq!(message, "camera 7: its driver failed unexpectedly");
    assert_eq!(mailbox.recv(Duration::ZERO), Some(CameraEvent::Retrying { after: Duration::from_millis(500) }));
}

#[test]
fn no_camera_gives_nothing() {
    let camera = Camera::open(&CameraSpec::None, WANT_DEFAULT, Clock::system(), "Ada");
    assert_eq!(camera.recv(Duration::from_millis(1)), None);
}

#[test]
fn the_test_camera_shows_when_each_frame_was_taken() {
    let camera = Camera::open(&CameraSpec::Test, (320, 180, 60), Clock::system(), "Ada");
    let Some(CameraEvent::Opened(opened)) = camera.recv(PATIENCE) else { panic!("not opened") };
    assert_eq!((opened.size, opened.fps), (Some((320, 180)), 60.0));
    let mut last = Timestamp::default();
    for _ in 0..5 {
        let Some(CameraEvent::Frame(capture)) = camera.recv(PATIENCE) else { panic!("no frame") };
        let CapturedFrame::Yuv(picture) = &capture.frame else { panic!("a JPEG") };
        assert_eq!((picture.width, picture.height), (320, 180));
        assert_eq!(read_timecode_of_planes(picture), Some(capture.wall));
        assert!(capture.at > last);
        last = capture.at;
        camera.recycle(capture.frame);
    }
}

/// The first `count` frames of a file as a camera, or its failure.
fn play(path: &Path, want: Want, count: usize) -> Result<Vec<CapturedFrame>, String> {
    let camera = Camera::open(&CameraSpec::File(path.to_owned()), want, Clock::system(), "Ada");
    let mut frames = Vec::new();
    while frames.len() < count {
        match camera.recv(PATIENCE) {
            Some(CameraEvent::Frame(capture)) => frames.push(capture.frame),
            Some(CameraEvent::Failed { message, .. }) => return Err(message),
            Some(_) => {}
            None => return Err("nothing came".into()),
        }
    }
    Ok(frames)
}

#[test]
fn a_motion_jpeg_file_goes_round_and_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.mjpeg");
    let picture = jpeg(64, 48, Chroma::C422, 90);
    std::fs::write(&path, [&picture[..], &picture].concat()).unwrap();
    let frames = play(&path, WANT_DEFAULT, 5).unwrap();
    assert!(frames.iter().all(|f| *f == CapturedFrame::Jpeg { bytes: picture.clone() }));
}

#[test]
fn a_folder_is_shown_by_name_and_broken_pictures_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b.JPG"), jpeg(32, 16, Chroma::C420, 100)).unwrap();
    std::fs::write(folder.path().join("a.jpeg"), jpeg(32, 16, Chroma::C420, 50)).unwrap();
    std::fs::write(folder.path().join("c.jpg"), b"no picture").unwrap();
    std::fs::write(folder.path().join("d.txt"), b"no picture").unwrap();
    let shades: Vec<u8> = play(folder.path(), WANT_DEFAULT, 2)
        .unwrap()
        .iter()
        .map(|frame| match frame {
            CapturedFrame::Jpeg { bytes } => decode_to_yuv(bytes).unwrap().y[0],
            CapturedFrame::Yuv(_) => panic!("planes"),
        })
        .collect();
    assert!(shades[0].abs_diff(50) < 3 && shades[1].abs_diff(100) < 3, "{shades:?}");
}

#[test]
fn files_that_cannot_be_played_say_which_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let table = [
        (folder.path().join("missing.avi"), "No such file"),
        (write("text.avi", b"this is no film at all"), "no Motion JPEG, AVI or YUV4MPEG2"),
        (write("none.y4m", b"YUV4MPEG2 W16 H16 F30:1\n"), "no picture"),
        (write("cut.mjpeg", &jpeg(64, 48, Chroma::C420, 1)[..200]), "no picture"),
        (write("all broken/x.jpg", b"\xff\xd8\xff\xd9"), "x.jpg"),
        (empty, "no .jpg"),
    ];
    for (path, reason) in table {
        let message = play(&path, WANT_DEFAULT, 1).unwrap_err();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(message.contains(&name) && message.contains(reason), "{message}");
    }
}

#[test]
fn pictures_are_made_to_fit() {
    let fitted = |bytes: &[u8], most: (usize, usize)| Fit::new((most.0, most.1, 30)).jpeg(bytes);
    let conforming = jpeg(64, 48, Chroma::C422, 90);
    let buffer = [&conforming[..], b"an older picture's bytes"].concat();
    assert_eq!(fitted(&buffer, (64, 48)), Ok(CapturedFrame::Jpeg { bytes: conforming.clone() }));
    match fitted(&buffer, (40, 40)).unwrap() {
        CapturedFrame::Yuv(p) => assert_eq!((p.width, p.height, p.chroma), (40, 30, Chroma::C422)),
        CapturedFrame::Jpeg { .. } => panic!("too large a JPEG"),
    }
    // Other Huffman tables: a JPEG told as progressive is no use as such, but a changed table id is decodable.
    let mut other = conforming.clone();
    let sos = other.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    other[sos + 6] = 0x11;
    assert!(conformance(&other).is_err());
    assert!(matches!(fitted(&other, (64, 48)), Ok(CapturedFrame::Yuv(_))));
    assert!(fitted(b"no picture", (64, 48)).is_err());
}

#[test]
fn the_memory_of_frames_goes_round() {
    let mut fit = Fit::new((64, 48, 30));
    let picture = jpeg(64, 48, Chroma::C422, 90);
    let Ok(CapturedFrame::Jpeg { bytes }) = fit.jpeg(&picture) else { panic!("not passed through") };
    let memory = bytes.as_ptr();
    fit.supply(Some(CapturedFrame::Jpeg { bytes }));
    let Ok(CapturedFrame::Jpeg { bytes }) = fit.jpeg(&picture) else { panic!("not passed through") };
    assert_eq!(bytes.as_ptr(), memory);

    let raw = [128; 64 * 48 * 2];
    let draw = |fit: &mut Fit| {
        let frame = fit.planes(|out| crate::media::convert::yuyv_to_yuv(&raw, 64, 48, Range::Full, out)).unwrap();
        let CapturedFrame::Yuv(planes) = &frame else { panic!("a JPEG") };
        (planes.y.as_ptr(), frame)
    };
    let mut seen = Vec::new();
    for _ in 0..8 {
        let (memory, frame) = draw(&mut fit);
        seen.push(memory);
        fit.supply(Some(frame));
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() <= 2, "{} buffers for planes", seen.len());
}
