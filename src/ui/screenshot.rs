//! The composed window as a PNG, once a second and at the end.
//!
//! A helper thread encodes and writes; the window's thread only copies the pixels, and skips a second when the helper is
//! still busy. A reader never sees half a file: it is written beside its place and renamed.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::media::still;
use crate::time::Timestamp;
use crate::ui::Error;

/// Time between screenshots.
const EVERY: Duration = Duration::from_secs(1);

struct Job {
    pixels: Vec<u32>,
    size: (usize, usize),
}

/// Writes screenshots to one place.
pub struct Screenshots {
    path: PathBuf,
    next: Timestamp,
    jobs: Option<Sender<Job>>,
    spare: Receiver<Vec<u32>>,
    helper: Option<JoinHandle<()>>,
}

impl Screenshots {
    /// Starts the helper. Fails when the place cannot be written to, so that one learns of it at once.
    pub fn new(path: &Path, now: Timestamp) -> Result<Self, Error> {
        let fails = |e: std::io::Error| Error::Screenshot { path: path.to_owned(), message: e.to_string() };
        writable(path)?;
        let (jobs, todo) = bounded::<Job>(1);
        let (done, spare) = bounded::<Vec<u32>>(1);
        // One buffer goes round: who holds it may write.
        let _ = done.send(Vec::new());
        let target = path.to_owned();
        let helper = std::thread::Builder::new()
            .name("screenshot".into())
            .spawn(move || {
                let mut complained = false;
                for job in todo {
                    if let Err(e) = write(&target, &job.pixels, job.size)
                        && !std::mem::replace(&mut complained, true)
                    {
                        tracing::warn!("{e}");
                    }
                    let _ = done.send(job.pixels);
                }
            })
            .map_err(fails)?;
        Ok(Self { path: path.to_owned(), next: now + EVERY, jobs: Some(jobs), spare, helper: Some(helper) })
    }

    /// Takes the pixels when a second has passed and the helper is free.
    pub fn offer(&mut self, pixels: &[u32], size: (usize, usize), now: Timestamp) {
        if now < self.next {
            return;
        }
        let (Some(jobs), Ok(mut copy)) = (&self.jobs, self.spare.try_recv()) else { return };
        self.next = now + EVERY;
        copy.clear();
        copy.extend_from_slice(pixels);
        let _ = jobs.try_send(Job { pixels: copy, size });
    }

    /// Writes the last one and ends the helper.
    pub fn finish(mut self, pixels: &[u32], size: (usize, usize)) -> Result<(), Error> {
        self.stop();
        write(&self.path, pixels, size)
    }

    fn stop(&mut self) {
        self.jobs = None;
        if let Some(helper) = self.helper.take() {
            let _ = helper.join();
        }
    }
}

impl Drop for Screenshots {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells whether a screenshot can be written to `path`, leaving everything as it is.
///
/// # Errors
/// [`Error::Screenshot`] when not.
pub fn writable(path: &Path) -> Result<(), Error> {
    let fails = |message: String| Error::Screenshot { path: path.to_owned(), message };
    if path.is_dir() {
        return Err(fails("it is a folder".into()));
    }
    let beside = beside(path);
    let tried = std::fs::File::create(&beside).and_then(|_| std::fs::remove_file(&beside));
    tried.map_err(|e| fails(e.to_string()))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

/// Writes `0x00RRGGBB` pixels as a PNG, atomically.
pub fn write(path: &Path, pixels: &[u32], (width, height): (usize, usize)) -> Result<(), Error> {
    let fails = |message: String| Error::Screenshot { path: path.to_owned(), message };
    let bytes: Vec<u8> = pixels.iter().flat_map(|p| [(p >> 16) as u8, (p >> 8) as u8, *p as u8]).collect();
    let beside = beside(path);
    let attempt = || -> Result<(), String> {
        let file = std::fs::File::create(&beside).map_err(|e| e.to_string())?;
        let mut file = BufWriter::new(file);
        still::write_png(&mut file, &bytes, (width, height)).map_err(|e| e.to_string())?;
        file.flush().map_err(|e| e.to_string())?;
        std::fs::rename(&beside, path).map_err(|e| e.to_string())
    };
    attempt().map_err(|message| {
        let _ = std::fs::remove_file(&beside);
        fails(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screenshot_comes_once_a_second_and_at_the_end_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shot.png");
        let start = Timestamp::from_millis(5000);
        let mut shots = Screenshots::new(&path, start).expect("a place to write");
        shots.offer(&[0x00ff_0000; 6], (3, 2), start + Duration::from_millis(999));
        assert!(!path.exists());
        shots.offer(&[0x00ff_8001; 6], (3, 2), start + EVERY);
        shots.finish(&[0x0001_80ff; 12], (3, 4)).expect("written");
        let read = image::open(&path).expect("a picture").into_rgb8();
        assert_eq!((read.dimensions(), read.get_pixel(2, 3).0), ((3, 4), [1, 128, 255]));
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_once() {
        let missing = Path::new("/nonexistent-folder/shot.png");
        assert!(matches!(Screenshots::new(missing, Timestamp(0)), Err(Error::Screenshot { .. })));
        let folder = tempfile::tempdir().expect("a folder");
        assert!(writable(folder.path()).is_err());
        writable(&folder.path().join("shot.png")).expect("a place to write");
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        assert!(write(missing, &[0], (1, 1)).is_err());
    }
}
