//! Sound devices made of a clock: the simulated voice, WAV files, and the speaker nobody hears.
//!
//! They give and take exactly 48,000 samples a second of the clock they are asked with. A thread that comes late gets
//! what is due in one go; after half a second it is taken for asleep, and the time is left out.

use std::path::Path;
use std::time::Duration;

use super::SoundEvent;
use crate::media::test_voice::TestVoice;
use crate::media::wav::{self, WavLoop, WavSink};
use crate::time::{Timestamp, media_nanos};

const RATE: u32 = 48_000;
/// Samples a paced speaker keeps waiting: 10 ms, as a small device would.
pub(super) const FILL: usize = 480;
/// A reader or writer this many samples late was asleep.
const ASLEEP: i64 = 24_000;
const WAIT_MAX: Duration = Duration::from_millis(5);

/// Counts the samples due since a start.
#[derive(Debug)]
struct Pace {
    start: Timestamp,
    done: i64,
}

impl Pace {
    fn new(start: Timestamp) -> Self {
        Self { start, done: 0 }
    }

    /// Samples due and not yet done; leaves out a long sleep.
    fn due(&mut self, now: Timestamp) -> i64 {
        let due = self.ahead(now);
        if due > ASLEEP {
            *self = Self::new(now);
            return 0;
        }
        due
    }

    fn ahead(&self, now: Timestamp) -> i64 {
        (i128::from(now.nanos_from(self.start)) * i128::from(RATE) / 1_000_000_000) as i64 - self.done
    }

    /// Time until `samples` are due, at least a nanosecond so that a waiter never spins on the rounding.
    fn until(&self, now: Timestamp, samples: i64) -> Duration {
        let at = self.start.offset(media_nanos(self.done + samples, RATE) + 1);
        at.since(now).max(Duration::from_nanos(1))
    }
}

enum Voice {
    Test(TestVoice),
    File(Box<WavLoop>),
    Broken,
}

/// A microphone paced by the clock.
pub(super) struct PacedSource {
    pace: Pace,
    voice: Voice,
    event: Option<SoundEvent>,
}

impl PacedSource {
    pub(super) fn voice(pitch_hz: f32, now: Timestamp) -> Self {
        Self::new(Voice::Test(TestVoice::new(pitch_hz)), now, "test voice".into())
    }

    pub(super) fn file(path: &Path, now: Timestamp) -> Result<Self, wav::Error> {
        Ok(Self::new(Voice::File(Box::new(WavLoop::open(path)?)), now, path.display().to_string()))
    }

    fn new(voice: Voice, now: Timestamp, device: String) -> Self {
        Self { pace: Pace::new(now), voice, event: Some(SoundEvent::Ready { device, instead: None }) }
    }

    pub(super) fn read(&mut self, now: Timestamp, frame: &mut [f32]) -> bool {
        if self.pace.due(now) < frame.len() as i64 {
            return false;
        }
        match &mut self.voice {
            Voice::Test(voice) => voice.render(frame),
            Voice::File(file) => {
                if let Err(e) = file.read(frame) {
                    self.event = Some(SoundEvent::Failed { message: format!("microphone file: {e}"), retry_in: None });
                    self.voice = Voice::Broken;
                    return false;
                }
            }
            Voice::Broken => return false,
        }
        self.pace.done += frame.len() as i64;
        true
    }

    pub(super) fn waiting(&self, now: Timestamp) -> usize {
        usize::try_from(self.pace.ahead(now)).unwrap_or(0)
    }

    pub(super) fn wait(&self, now: Timestamp, samples: usize) -> Duration {
        match self.voice {
            Voice::Broken => Duration::from_secs(1),
            _ => self.pace.until(now, samples as i64),
        }
    }

    pub(super) fn event(&mut self) -> Option<SoundEvent> {
        self.event.take()
    }
}

/// A speaker paced by the clock, with or without a file behind it.
pub(super) struct PacedSink {
    pace: Pace,
    file: Option<WavSink>,
    event: Option<SoundEvent>,
}

impl PacedSink {
    pub(super) fn silent(now: Timestamp) -> Self {
        Self { pace: Pace::new(now), file: None, event: None }
    }

    pub(super) fn file(path: &Path, now: Timestamp) -> Result<Self, wav::Error> {
        let file = WavSink::create(path)?;
        let device = path.display().to_string();
        Ok(Self { pace: Pace::new(now), file: Some(file), event: Some(SoundEvent::Ready { device, instead: None }) })
    }

    /// Begins anew at `now`, as after another device has played for a while.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.pace = Pace::new(now);
    }

    pub(super) fn wanted(&mut self, now: Timestamp) -> usize {
        usize::try_from(self.pace.due(now) + FILL as i64).unwrap_or(0)
    }

    pub(super) fn write(&mut self, samples: &[f32]) {
        self.pace.done += samples.len() as i64;
        if let Some(Err(e)) = self.file.as_mut().map(|f| f.write(samples)) {
            self.event = Some(SoundEvent::Failed { message: format!("speaker file: {e}"), retry_in: None });
            self.file = None;
        }
    }

    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        self.pace.until(now, 1 - FILL as i64).clamp(Duration::from_millis(1), WAIT_MAX)
    }

    pub(super) fn event(&mut self) -> Option<SoundEvent> {
        self.event.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000);
    const FRAME: Duration = Duration::from_millis(20);

    #[test]
    fn a_frame_is_there_exactly_when_its_last_sample_is_due() {
        let mut source = PacedSource::voice(220.0, START);
        let mut frame = [0.0; 960];
        assert!(!source.read(START + FRAME - Duration::from_nanos(1), &mut frame));
        let wait = source.wait(START, 960);
        assert!(wait >= FRAME && wait < FRAME + Duration::from_micros(1), "{wait:?}");
        assert!(source.read(START + FRAME, &mut frame));
        assert!(!source.read(START + FRAME, &mut frame), "only once");
    }

    #[test]
    fn late_readers_get_what_is_due_and_sleepers_do_not() {
        for (late_ms, expected) in [(100, 5), (500, 25), (501, 0), (10_000, 0)] {
            let mut source = PacedSource::voice(220.0, START);
            let now = START + Duration::from_millis(late_ms);
            let mut frame = [0.0; 960];
            let frames = std::iter::from_fn(|| source.read(now, &mut frame).then_some(())).count();
            assert_eq!(frames, expected, "{late_ms} ms late");
        }
    }

    #[test]
    fn a_silent_speaker_takes_48000_samples_a_second() {
        let mut sink = PacedSink::silent(START);
        let mut taken = 0;
        for ms in 0..=1_000 {
            let wanted = sink.wanted(START + Duration::from_millis(ms));
            sink.write(&vec![0.0; wanted]);
            taken += wanted;
        }
        assert_eq!(taken, 48_000 + FILL);
        assert!(sink.wait(START) <= WAIT_MAX);
    }

    #[test]
    fn a_file_holds_what_was_played() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("heard.wav");
        let mut sink = PacedSink::file(&path, START).expect("a file");
        assert!(matches!(sink.event(), Some(SoundEvent::Ready { .. })));
        sink.write(&[0.5; 960]);
        drop(sink);
        let mut file = PacedSource::file(&path, START).expect("a WAV file");
        let mut frame = [0.0; 960];
        assert!(file.read(START + FRAME, &mut frame));
        assert!(frame.iter().all(|s| (s - 0.5).abs() < 1e-3));
    }

    #[test]
    fn a_file_that_goes_away_is_an_event_and_no_more_sound() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("short.wav");
        WavSink::create(&path).and_then(|mut f| f.write(&[0.1; 480])).expect("a file");
        let mut source = PacedSource::file(&path, START).expect("a WAV file");
        source.event();
        std::fs::remove_file(&path).expect("removed");
        let mut frame = [0.0; 960];
        assert!(!source.read(START + FRAME, &mut frame));
        assert!(matches!(source.event(), Some(SoundEvent::Failed { retry_in: None, .. })));
        assert!(!source.read(START + FRAME, &mut frame));
    }
}
