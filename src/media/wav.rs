//! WAV files as sound sources and sinks: any PCM or float file looped as 48 kHz mono, and 48 kHz mono 16 bit written.
//!
//! The reader streams: a file of any length costs a fixed amount of memory.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use crate::media::opus::RATE;
use crate::media::resample::{self, Converter};

/// Most channels a file may have.
const CHANNELS_MAX: u16 = 64;
/// Frames read at a time.
const FRAMES: usize = 480;

/// A WAV file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading, parsing or writing failed.
    #[error("{}: {source}", path.display())]
    Wav {
        /// The file.
        path: PathBuf,
        /// What hound says.
        source: hound::Error,
    },
    /// The file is a WAV file, but of a kind that cannot be played.
    #[error("{}: {reason}", path.display())]
    Unplayable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// An endless 48 kHz mono stream from a file, begun anew at its end.
pub struct WavLoop {
    path: PathBuf,
    reader: hound::WavReader<BufReader<File>>,
    converter: Converter,
    mono: Vec<f32>,
    ready: Vec<f32>,
}

impl WavLoop {
    /// Opens `path`; fails when it is no WAV file, empty, or of a kind that cannot be played.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wav = |source| Error::Wav { path: path.to_owned(), source };
        let unplayable = |reason: String| Error::Unplayable { path: path.to_owned(), reason };
        let reader = hound::WavReader::open(path).map_err(wav)?;
        let spec = reader.spec();
        if reader.duration() == 0 {
            return Err(unplayable("no samples in it".into()));
        }
        if spec.channels == 0 || spec.channels > CHANNELS_MAX {
            return Err(unplayable(format!("{} channels", spec.channels)));
        }
        if !(1..=32).contains(&spec.bits_per_sample) {
            return Err(unplayable(format!("{} bits per sample", spec.bits_per_sample)));
        }
        let converter =
            Converter::new(spec.sample_rate, RATE).map_err(|e: resample::Error| unplayable(e.to_string()))?;
        Ok(Self { path: path.to_owned(), reader, converter, mono: Vec::new(), ready: Vec::new() })
    }

    /// Fills `out` with the next samples.
    pub fn read(&mut self, out: &mut [f32]) -> Result<(), Error> {
        while self.ready.len() < out.len() {
            self.mono.clear();
            let end = self.read_frames();
            if self.mono.is_empty() {
                self.begin_anew()?;
                // A file cut short holds less than its header says, perhaps nothing.
                let again = self.read_frames();
                if self.mono.is_empty() {
                    return Err(match again.and(end) {
                        Err(e) => self.failed(e),
                        Ok(()) => self.unplayable("it became empty"),
                    });
                }
            }
            let pushed = self.converter.push(&self.mono, &mut self.ready);
            pushed.map_err(|e| self.unplayable(&e.to_string()))?;
        }
        out.copy_from_slice(&self.ready[..out.len()]);
        self.ready.drain(..out.len());
        Ok(())
    }

    /// Opens the file again: seeking back goes wrong once a read has failed.
    fn begin_anew(&mut self) -> Result<(), Error> {
        let reader = hound::WavReader::open(&self.path).map_err(|e| self.failed(e))?;
        if reader.spec() != self.reader.spec() {
            return Err(self.unplayable("it was replaced by another kind of file"));
        }
        self.reader = reader;
        Ok(())
    }

    /// Reads on into `mono`; what stands there after an error is good.
    fn read_frames(&mut self) -> Result<(), hound::Error> {
        let spec = self.reader.spec();
        let channels = usize::from(spec.channels);
        let wanted = FRAMES * channels;
        let mut sum = 0.0;
        let mut count = 0;
        let mono = &mut self.mono;
        let mut take = |sample: f32| {
            sum += if sample.is_finite() { sample } else { 0.0 };
            count += 1;
            if count % channels == 0 {
                mono.push(sum / channels as f32);
                sum = 0.0;
            }
        };
        match spec.sample_format {
            hound::SampleFormat::Float => self.reader.samples::<f32>().take(wanted).try_for_each(|s| s.map(&mut take)),
            hound::SampleFormat::Int => {
                let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
                self.reader.samples::<i32>().take(wanted).try_for_each(|s| s.map(|v| take(v as f32 * scale)))
            }
        }
    }

    fn failed(&self, source: hound::Error) -> Error {
        Error::Wav { path: self.path.clone(), source }
    }

    fn unplayable(&self, reason: &str) -> Error {
        Error::Unplayable { path: self.path.clone(), reason: reason.to_owned() }
    }
}

/// A 48 kHz mono 16-bit file whose header is valid after each second of sound, even if the program is killed.
pub struct WavSink {
    path: PathBuf,
    writer: hound::WavWriter<BufWriter<File>>,
    unflushed: usize,
}

impl WavSink {
    /// Creates or overwrites `path`.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let wav = |source| Error::Wav { path: path.to_owned(), source };
        let mut writer = hound::WavWriter::create(path, spec).map_err(wav)?;
        writer.flush().map_err(wav)?;
        Ok(Self { path: path.to_owned(), writer, unflushed: 0 })
    }

    /// Appends samples; those out of range are limited.
    pub fn write(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.append(samples).map_err(|source| Error::Wav { path: self.path.clone(), source })
    }

    fn append(&mut self, samples: &[f32]) -> Result<(), hound::Error> {
        for sample in samples {
            self.writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16)?;
        }
        self.unflushed += samples.len();
        if self.unflushed >= RATE as usize {
            self.unflushed = 0;
            self.writer.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::test_voice::strength_at;

    fn write_tone(path: &Path, spec: hound::WavSpec, frames: usize) {
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for i in 0..frames {
            let v = 0.5 * (std::f32::consts::TAU * 1_000.0 * i as f32 / spec.sample_rate as f32).sin();
            for _ in 0..spec.channels {
                match spec.sample_format {
                    hound::SampleFormat::Float => writer.write_sample(v).unwrap(),
                    hound::SampleFormat::Int => {
                        writer.write_sample((v * (1u64 << (spec.bits_per_sample - 1)) as f32) as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn any_rate_width_and_channel_count_loops_at_48_khz_mono() {
        let dir = tempfile::tempdir().unwrap();
        use hound::SampleFormat::{Float, Int};
        for (sample_rate, channels, bits_per_sample, sample_format) in [
            (48_000, 1, 16, Int),
            (44_100, 2, 24, Int),
            (8_000, 1, 8, Int),
            (96_000, 6, 32, Int),
            (16_000, 2, 32, Float),
        ] {
            let spec = hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format };
            let path = dir.path().join("tone.wav");
            // A tenth of a second, whole periods of the tone: read for two seconds it loops twenty times.
            write_tone(&path, spec, sample_rate as usize / 10);
            let mut wav = WavLoop::open(&path).unwrap();
            let mut out = vec![0.0; 96_000];
            out.chunks_mut(240).for_each(|chunk| wav.read(chunk).unwrap());
            let heard = strength_at(&out[9_600..], 1_000.0);
            assert!((heard - 0.5).abs() < 0.02, "{spec:?}: {heard}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wav");
        assert!(WavLoop::open(&path).err().unwrap().to_string().contains("x.wav"));
        for bytes in [&b""[..], b"RIFF", b"not a wav file at all, but long enough to look into, or so it seems"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(WavLoop::open(&path).is_err());
        }
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        write_tone(&path, spec, 0);
        assert!(WavLoop::open(&path).err().unwrap().to_string().contains("no samples"));
    }

    #[test]
    fn a_file_cut_short_loops_over_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        write_tone(&path, spec, 4_800);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..44 + 4_801]).unwrap();
        let mut wav = WavLoop::open(&path).unwrap();
        let mut out = vec![0.0; 24_000];
        wav.read(&mut out).unwrap();
        assert!(strength_at(&out, 1_000.0) > 0.3);
    }

    #[test]
    fn a_written_file_is_whole_without_being_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.wav");
        let mut sink = WavSink::create(&path).unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 0);
        sink.write(&vec![2.0; 48_000]).unwrap();
        sink.write(&[0.0; 100]).unwrap();
        // As after a kill: nothing runs that would finish the file.
        std::mem::forget(sink);
        let mut reader = hound::WavReader::open(&path).unwrap();
        assert_eq!(reader.duration(), 48_000);
        assert_eq!(reader.samples::<i16>().next().unwrap().unwrap(), 32_767, "limited, not wrapped");
    }
}
