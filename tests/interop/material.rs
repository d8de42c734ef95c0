//! The pictures and the tone that are sent, and the measures taken of what arrives.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const WIDTH: usize = 640;
pub const HEIGHT: usize = 360;
pub const FPS: usize = 15;

/// Different pictures; then they repeat.
pub const PICTURES: usize = 30;

/// The tone, in hertz.
pub const TONE_HZ: f64 = 1_000.0;

/// Two pictures below this are not the same one, whatever the codec did.
const SAME_PICTURE_DB: f64 = 24.0;

/// Every so many pixels one is looked at when a picture is looked for.
const SEARCH_STRIDE: usize = 37;

/// The luma plane of a picture, full range.
pub type Luma = Vec<u8>;

/// A Y4M file with [`PICTURES`] pictures, and their luma planes.
pub struct Video {
    pub file: PathBuf,
    pub pictures: Vec<Luma>,
}

/// Runs a tool of the test machine that must succeed.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|e| panic!("{program} (scripts/setup --test installs it): {e}"));
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// FFmpeg's moving test picture in full range, as JPEG has it; the file holds the pictures `times` over.
pub fn video(folder: &Path, times: usize) -> Video {
    let file = folder.join("source.y4m");
    let again = times - 1;
    let source = format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS},trim=end_frame={PICTURES},loop={again}:{PICTURES}");
    let count = (PICTURES * times).to_string();
    let name = file.to_string_lossy();
    run("ffmpeg", &["-v", "error", "-f", "lavfi", "-i", &source, "-frames:v", &count, "-pix_fmt", "yuvj420p", &name]);
    let bytes = std::fs::read(&file).expect("the file just made");
    let header = bytes.iter().position(|b| *b == b'\n').expect("Y4M header") + 1;
    let frame = "FRAME\n".len();
    let pictures = bytes[header..].chunks_exact(frame + WIDTH * HEIGHT * 3 / 2).take(PICTURES);
    let pictures: Vec<Luma> = pictures.map(|p| p[frame..frame + WIDTH * HEIGHT].to_vec()).collect();
    assert_eq!(pictures.len(), PICTURES);
    Video { file, pictures }
}

/// Two seconds of the tone, 12 dB below full scale.
pub fn tone(folder: &Path) -> PathBuf {
    let file = folder.join("tone.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut out = hound::WavWriter::create(&file, spec).expect("WAV file");
    for n in 0..96_000 {
        let phase = f64::from(n) * TONE_HZ * std::f64::consts::TAU / 48_000.0;
        out.write_sample((phase.sin() * 8_192.0) as i16).expect("sample");
    }
    out.finalize().expect("WAV file");
    file
}

/// What arrived of [`Video`], played over and over.
#[derive(Debug)]
pub struct Arrived {
    /// Pictures that are one of those sent.
    pub known: usize,
    /// Pictures that are none of them.
    pub foreign: usize,
    /// Pictures left out between those that arrived.
    pub missing: usize,
    /// The median of the pictures' likeness to what was sent.
    pub psnr_db: f64,
}

impl Arrived {
    /// Compares pictures in the order of their arrival with what was sent.
    pub fn compare(video: &Video, arrived: impl Iterator<Item = Luma>) -> Arrived {
        let (mut foreign, mut missing, mut likeness) = (0, 0, Vec::new());
        let mut last: Option<usize> = None;
        for picture in arrived {
            let likest = (0..PICTURES)
                .min_by(|a, b| {
                    error(&video.pictures[*a], &picture, SEARCH_STRIDE).total_cmp(&error(
                        &video.pictures[*b],
                        &picture,
                        SEARCH_STRIDE,
                    ))
                })
                .expect("some pictures");
            let psnr = 10.0 * (255.0 * 255.0 / error(&video.pictures[likest], &picture, 1).max(1e-6)).log10();
            if psnr < SAME_PICTURE_DB {
                foreign += 1;
                continue;
            }
            if let Some(last) = last {
                // The same one again counts as nothing left out.
                missing += ((likest + PICTURES - last) % PICTURES).saturating_sub(1);
            }
            last = Some(likest);
            likeness.push(psnr);
        }
        likeness.sort_by(f64::total_cmp);
        let psnr_db = likeness.get(likeness.len() / 2).copied().unwrap_or(0.0);
        Arrived { known: likeness.len(), foreign, missing, psnr_db }
    }

    /// Asserts at least `share` of the pictures, nothing foreign among them, and that they look like what was sent.
    #[track_caller]
    pub fn assert(&self, at_least: usize, share: f64) {
        println!("{self:?}");
        assert!(self.known >= at_least, "{} pictures arrived, {at_least} are the least", self.known);
        let whole = self.known + self.missing + self.foreign;
        let arrived = self.known as f64 / whole as f64;
        assert!(arrived >= share, "{:.1} % of the pictures arrived", arrived * 100.0);
        assert!(self.psnr_db >= 30.0, "PSNR is {:.1} dB", self.psnr_db);
    }
}

/// Mean square error of the pixels looked at.
fn error(a: &[u8], b: &[u8], stride: usize) -> f64 {
    let squares = a.iter().zip(b).step_by(stride).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2));
    squares.sum::<u64>() as f64 / (a.len().min(b.len()) / stride).max(1) as f64
}

/// Luma planes of a file of raw 4:2:0 pictures.
pub fn raw_pictures(file: &Path) -> impl Iterator<Item = Luma> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: nothing was received: {e}", file.display()));
    let size = WIDTH * HEIGHT * 3 / 2;
    (0..bytes.len() / size).map(move |n| bytes[n * size..n * size + WIDTH * HEIGHT].to_vec())
}

/// Asserts that a WAV file holds at least `seconds` of sound, and that this is the tone and little else.
///
/// The first half second is left out: there the decoder settles.
#[track_caller]
pub fn assert_tone(file: &Path, seconds: f64) {
    let mut wav =
        hound::WavReader::open(file).unwrap_or_else(|e| panic!("{}: no sound was received: {e}", file.display()));
    let spec = wav.spec();
    let all: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Int => {
            let scale = f64::from(1_u32 << (spec.bits_per_sample - 1));
            wav.samples::<i32>().map_while(Result::ok).map(|s| f64::from(s) / scale).collect()
        }
        hound::SampleFormat::Float => wav.samples::<f32>().map_while(Result::ok).map(f64::from).collect(),
    };
    let one: Vec<f64> = all.into_iter().step_by(usize::from(spec.channels)).collect();
    let rate = f64::from(spec.sample_rate);
    let lasts = one.len() as f64 / rate;
    assert!(lasts >= seconds, "{lasts:.1} s of sound arrived, {seconds} s are the least");
    let steady = &one[(rate / 2.0) as usize..];
    let power = steady.iter().map(|s| s * s).sum::<f64>() / steady.len() as f64;
    let share = tone_power(steady, rate) / power.max(1e-12);
    println!(
        "{lasts:.1} s of sound, {:.1} dBFS, {:.1} % of it the tone",
        10.0 * power.max(1e-12).log10(),
        share * 100.0
    );
    assert!(power > 1e-3, "the sound is silence");
    assert!(share > 0.9, "the tone is {:.1} % of the sound's power", share * 100.0);
}

/// Power of [`TONE_HZ`] (Goertzel), measured over pieces of 100 ms so that a slip of the clock does not smear it.
fn tone_power(samples: &[f64], rate: f64) -> f64 {
    let piece = (rate / 10.0) as usize;
    let turn = 2.0 * (std::f64::consts::TAU * TONE_HZ / rate).cos();
    let powers: Vec<f64> = samples
        .chunks_exact(piece)
        .map(|chunk| {
            let (a, b) = chunk.iter().fold((0.0, 0.0), |(a, b), s| (s + turn * a - b, a));
            2.0 * (a * a + b * b - turn * a * b) / (piece * piece) as f64
        })
        .collect();
    powers.iter().sum::<f64>() / powers.len().max(1) as f64
}

#[test]
fn measures_tell_the_sent_from_the_damaged() {
    let picture = |n: usize| -> Luma { (0..WIDTH * HEIGHT).map(|i| ((i * (n + 3)) >> 4) as u8).collect() };
    let video = Video { file: PathBuf::new(), pictures: (0..PICTURES).map(picture).collect() };
    let whole = Arrived::compare(&video, (25..40).map(|n| picture(n % PICTURES)));
    assert_eq!((whole.known, whole.foreign, whole.missing), (15, 0, 0));
    let gaps = Arrived::compare(&video, [28, 29, 2, 2, 4].into_iter().map(picture));
    assert_eq!((gaps.known, gaps.foreign, gaps.missing), (5, 0, 3), "0, 1 and 3 are missing, 2 came twice");
    let grey = Arrived::compare(&video, std::iter::once(vec![128; WIDTH * HEIGHT]));
    assert_eq!((grey.known, grey.foreign), (0, 1));

    let wave = |hz: f64| -> Vec<f64> {
        (0..48_000).map(|n| (f64::from(n) * hz * std::f64::consts::TAU / 48_000.0).sin()).collect()
    };
    assert!((tone_power(&wave(TONE_HZ), 48_000.0) - 0.5).abs() < 0.01);
    assert!(tone_power(&wave(1_100.0), 48_000.0) < 0.01);
}
