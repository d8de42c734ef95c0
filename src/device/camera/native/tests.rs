use std::time::Duration;

use super::super::{CameraEvent, CameraSpec, CapturedFrame, WANT_DEFAULT};
use super::*;

const WANT: Want = (1280, 720, 30);

fn format(width: u32, height: u32, format: FrameFormat, fps: u32) -> CameraFormat {
    CameraFormat::new(Resolution::new(width, height), format, fps)
}

#[test]
fn the_best_format_comes_first() {
    use FrameFormat::{GRAY, MJPEG, NV12, YUYV};
    let table = [
        // A usual webcam: compressed at full rate, raw only slowly.
        (vec![(1920, 1080, MJPEG, 30), (1280, 720, YUYV, 10), (1280, 720, MJPEG, 30), (640, 480, YUYV, 30)], 2),
        // Compressed is too slow at that size, raw is not.
        (vec![(1280, 720, MJPEG, 15), (1280, 720, YUYV, 30)], 1),
        (vec![(1280, 720, YUYV, 30), (1280, 720, NV12, 30)], 1),
        // Nearest size below, then nearest size above.
        (vec![(320, 240, MJPEG, 30), (960, 540, YUYV, 30), (1920, 1080, MJPEG, 30)], 1),
        (vec![(3840, 2160, MJPEG, 30), (1920, 1080, YUYV, 30)], 1),
        // 25 a second will do for 30; of slow ones the fastest.
        (vec![(640, 480, MJPEG, 30), (1280, 720, MJPEG, 25)], 1),
        (vec![(1280, 720, YUYV, 5), (640, 480, YUYV, 15)], 1),
        (vec![(1280, 720, MJPEG, 60), (1280, 720, MJPEG, 30)], 1),
        (vec![(640, 480, GRAY, 30)], 0),
    ];
    for (formats, best) in table {
        let formats: Vec<_> = formats.into_iter().map(|(w, h, f, fps)| format(w, h, f, fps)).collect();
        assert_eq!(rank(&formats, WANT)[0], formats[best], "{formats:?}");
    }
    assert!(rank(&[], WANT).is_empty());
}

#[test]
fn failures_come_with_what_to_do() {
    let table = [
        ("Permission denied (os error 13)", "group"),
        ("V4L2 Error: Device or resource busy (os error 16)", "another program"),
        ("No such file or directory (os error 2)", "no camera of that number"),
        ("No such device (os error 19)", "unplugged"),
    ];
    for (reason, hint) in table {
        let error = explain("cannot open camera 3", &NokhwaError::OpenDeviceError("3".into(), reason.into()));
        assert!(error.message.starts_with("cannot open camera 3: ") && !error.message.contains("V4L2"), "{error}");
        let told = error.hint.unwrap_or_default();
        assert!(told.contains(hint) || told.contains("usermod"), "{reason}: {told}");
    }
    let odd = explain("camera x stopped", &NokhwaError::ReadFrameError("something odd".into()));
    assert_eq!(odd, CameraError::new("camera x stopped: something odd"));
}

#[test]
fn a_camera_that_is_not_there_is_an_error() {
    let error = NativeSource::open(99, WANT, Clock::system()).err().expect("camera 99 exists");
    assert!(error.message.starts_with("cannot open camera 99: "), "{error}");
}

/// Needs camera 0. With `CAMERA_STALLS` set it expects the camera to fall silent.
#[test]
#[ignore = "needs a camera"]
fn the_first_camera_gives_frames() {
    let camera = super::super::Camera::open(&CameraSpec::Index(0), WANT_DEFAULT, Clock::system(), "Ada");
    let stalls = std::env::var_os("CAMERA_STALLS").is_some();
    let mut frames = 0;
    while frames < 60 {
        match camera.recv(Duration::from_secs(20)).expect("no event at all") {
            CameraEvent::Frame(capture) => {
                frames += 1;
                if frames % 20 == 1 {
                    match &capture.frame {
                        CapturedFrame::Jpeg { bytes } => println!("frame {frames}: JPEG of {} bytes", bytes.len()),
                        CapturedFrame::Yuv(p) => println!("frame {frames}: {}x{} {:?}", p.width, p.height, p.chroma),
                    }
                }
                camera.recycle(capture.frame);
            }
            CameraEvent::Failed { message, .. } if stalls => return println!("{message}"),
            event @ CameraEvent::Failed { .. } => panic!("{event:?}"),
            event => println!("{event:?}"),
        }
    }
    assert!(!stalls, "it did not stall");
}
