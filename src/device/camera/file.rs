//! Files as cameras: a video file at its own rate, or a folder of JPEGs by name, both round and round.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fit::Fit;
use super::mailbox::Mailbox;
use super::{CameraError, Capture, Opened, Pacer, Source};
use crate::device::clock::Clock;
use crate::limits::{FOLDER_PICTURES_MAX, SOURCE_JPEG_BYTES_MAX};
use crate::media::files::{Error, Frame, VideoFile};

/// Frames a second of a Motion JPEG stream, which does not tell.
const STREAM_FPS: f64 = 30.0;
/// Pictures a second of a folder.
const FOLDER_FPS: f64 = 10.0;
/// A picture is read so long before it is due. Read right after the one before, it would take a processor from whoever
/// encodes that one.
const READ_AHEAD: Duration = Duration::from_millis(10);
/// Pictures in a row of a video file that may be broken.
const UNREADABLE_MAX: usize = 30;

pub(super) struct FileSource {
    path: PathBuf,
    content: Content,
    format: &'static str,
    pacer: Pacer,
    fps: f64,
    clock: Clock,
    frame: Frame,
    /// Pictures in a row that could not be decoded, and how many are too many: a whole round of a folder.
    unreadable: usize,
    unreadable_max: usize,
}

enum Content {
    Video {
        file: Box<VideoFile<BufReader<File>>>,
        played: usize,
    },
    /// `shown` is the picture read last; the one before the first to begin with.
    Folder {
        pictures: Vec<PathBuf>,
        shown: usize,
    },
}

impl FileSource {
    pub fn open(path: &Path, clock: Clock) -> Result<Self, CameraError> {
        let failed = |reason: String| CameraError::new(format!("cannot play {}: {reason}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?;
        let (content, format, fps) = match metadata.is_dir() {
            true => {
                let pictures = jpegs_of(path).map_err(failed)?;
                (Content::Folder { shown: pictures.len() - 1, pictures }, "folder of JPEGs", FOLDER_FPS)
            }
            false => {
                let file = File::open(path).map_err(|e| failed(e.to_string()))?;
                let file = VideoFile::open(BufReader::new(file)).map_err(|e| {
                    let error = failed(e.to_string());
                    match e {
                        Error::Unknown | Error::Unsupported(_) => {
                            error.hint("convert it: ffmpeg -i FILE -c:v mjpeg -q:v 3 out.avi")
                        }
                        _ => error,
                    }
                })?;
                let fps = file.rate().unwrap_or(STREAM_FPS);
                (Content::Video { file: Box::new(file), played: 0 }, "video file", fps)
            }
        };
        let frame = Frame::Jpeg(Vec::new());
        let unreadable_max = match &content {
            Content::Folder { pictures, .. } => pictures.len(),
            Content::Video { .. } => UNREADABLE_MAX,
        };
        let (path, pacer) = (path.to_owned(), Pacer::new(fps));
        Ok(Self { path, content, format, pacer, fps, clock, frame, unreadable: 0, unreadable_max })
    }

    /// Reads the next picture, from the start again after the last.
    fn read(&mut self) -> Result<(), CameraError> {
        let read = match &mut self.content {
            Content::Video { file, played } => read_round(file, played, &mut self.frame).map_err(|e| e.to_string()),
            Content::Folder { pictures, shown } => {
                *shown = (*shown + 1) % pictures.len();
                read_picture(&pictures[*shown], &mut self.frame)
            }
        };
        read.map_err(|reason| self.failure(&reason))
    }

    /// Names the file that is being shown and why it cannot be.
    fn failure(&self, reason: &str) -> CameraError {
        let path = match &self.content {
            Content::Video { .. } => &self.path,
            Content::Folder { pictures, shown } => &pictures[*shown],
        };
        CameraError::new(format!("cannot play {}: {reason}", path.display()))
    }
}

impl Source for FileSource {
    fn opened(&self) -> Opened {
        let description = self.path.display().to_string();
        Opened { description, size: None, fps: self.fps, format: self.format.into() }
    }

    fn next(&mut self, mailbox: &Mailbox, fit: &mut Fit) -> Result<Option<Capture>, CameraError> {
        let due = self.pacer.next(self.clock.now());
        if mailbox.wait_until(due - READ_AHEAD) {
            return Ok(None);
        }
        self.read()?;
        let fitted = match &mut self.frame {
            Frame::Jpeg(bytes) => fit.jpeg(bytes),
            Frame::Yuv(picture) => fit.planes(|planes| {
                std::mem::swap(planes, picture);
                Ok(())
            }),
        };
        if mailbox.wait_until(due) {
            return Ok(None);
        }
        match fitted {
            Ok(frame) => {
                self.unreadable = 0;
                Ok(Some(Capture { frame, at: self.clock.now(), wall: self.clock.wall() }))
            }
            Err(e) => {
                self.unreadable += 1;
                match self.unreadable < self.unreadable_max {
                    true => Ok(None),
                    false => Err(self.failure(&e.to_string())),
                }
            }
        }
    }
}

fn read_round(file: &mut VideoFile<BufReader<File>>, played: &mut usize, frame: &mut Frame) -> Result<(), Error> {
    if file.next(frame)? {
        *played += 1;
        return Ok(());
    }
    if std::mem::take(played) == 0 {
        return Err(Error::Empty);
    }
    file.rewind()?;
    match file.next(frame)? {
        true => {
            *played = 1;
            Ok(())
        }
        false => Err(Error::Empty),
    }
}

/// The JPEGs of a folder by name.
fn jpegs_of(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| e.to_string())?;
    let is_jpeg = |path: &PathBuf| {
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"))
    };
    let mut pictures: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_jpeg).take(FOLDER_PICTURES_MAX + 1).collect();
    if pictures.is_empty() {
        return Err("there is no .jpg or .jpeg file in it".into());
    }
    if pictures.len() > FOLDER_PICTURES_MAX {
        return Err(format!("there are more than {FOLDER_PICTURES_MAX} pictures in it"));
    }
    pictures.sort();
    Ok(pictures)
}

fn read_picture(path: &Path, frame: &mut Frame) -> Result<(), String> {
    let mut bytes = match std::mem::replace(frame, Frame::Jpeg(Vec::new())) {
        Frame::Jpeg(bytes) => bytes,
        Frame::Yuv(_) => Vec::new(),
    };
    bytes.clear();
    let most = SOURCE_JPEG_BYTES_MAX as u64;
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    let read = read.map_err(|e| e.to_string())? as u64;
    *frame = Frame::Jpeg(bytes);
    match read > most {
        true => Err(format!("it is larger than {most} bytes")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_ten_thousand_pictures_is_the_largest() {
        let folder = tempfile::tempdir().unwrap();
        let picture = |n: usize| std::fs::write(folder.path().join(format!("{n}.jpg")), []).unwrap();
        (0..FOLDER_PICTURES_MAX).for_each(picture);
        assert_eq!(jpegs_of(folder.path()).map(|found| found.len()), Ok(FOLDER_PICTURES_MAX));
        picture(FOLDER_PICTURES_MAX);
        assert!(jpegs_of(folder.path()).is_err());
    }
}
