//! Thread role: a voice message to be heard.
//!
//! ```text
//! bytes as they arrive ┐
//! the file, when whole ┴> Ogg > Opus > 20 ms > queue (160 ms, waits) > audio-receive: beside the voices > speaker
//! ```
//! The speaker's consumption drives it through the queue. Where nothing has arrived yet there is silence, and it goes on
//! when there is something. It ends at its end, when it is stopped, or when the [`Player`] is dropped. Wherever in the wave it
//! is held, runs dry or ends, it fades, so that nobody hears a click.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select, unbounded};

use super::voice_record::Frame;
use crate::media::voice_message::{self, FRAME, Playback};

/// Frames decoded ahead.
const FRAMES: usize = 8;
/// Bytes of a file read at a time: several seconds.
const PART: usize = 16 << 10;
/// Loudest: four times as it was said, as for voices.
const VOLUME_MAX: f32 = 4.0;
/// Sound that ends anywhere goes on for 5 ms as it stood last, and fades.
const TAIL: usize = 240;

/// A voice message cannot be heard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is in it.
    #[error(transparent)]
    Message(#[from] voice_message::Error),
    /// No thread could be made.
    #[error("no thread for the voice message: {0}")]
    Thread(#[source] io::Error),
}

/// What there is of it.
pub enum Feed {
    /// More of its beginning.
    Bytes(Vec<u8>),
    /// All of it, those bytes among it.
    File(PathBuf),
}

/// How it goes, and how it is to be heard; from any thread.
#[derive(Debug)]
pub struct PlayFigures {
    samples: AtomicU64,
    ended: AtomicBool,
    paused: AtomicBool,
    volume: AtomicU32,
}

impl PlayFigures {
    /// Milliseconds heard.
    pub fn ms(&self) -> u32 {
        (self.samples.load(Ordering::Relaxed) / 48) as u32
    }

    /// Whether all was heard, or as much as there was.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Holds it, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether it is held.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// What samples are multiplied by.
    pub fn set_volume(&self, volume: f32) {
        self.volume.store(volume.clamp(0.0, VOLUME_MAX).to_bits(), Ordering::Relaxed);
    }
}

/// The mixer's part. Dropping it ends the thread.
pub struct Played {
    frames: Receiver<Frame>,
    frame: Frame,
    at: usize,
    /// What the last sample was multiplied by.
    gain: f32,
    /// The last sample, as it was heard.
    last: f32,
    /// Where sound ended last, and how much is to come of its fading.
    level: f32,
    tail: usize,
    stopped: bool,
    figures: Arc<PlayFigures>,
}

impl Played {
    /// It ends here: what is mixed next fades.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Adds what is heard next to `sum`, `under` times as loud as it is to be; false when there is no more. Within one such
    /// step it gets as soft as it is to be, silent when it is held.
    pub fn mix_into(&mut self, sum: &mut [f32], under: f32) -> bool {
        self.fade(sum);
        let held = self.stopped || self.figures.is_paused();
        if held && self.gain == 0.0 {
            return !self.stopped || self.tail > 0;
        }
        let volume = f32::from_bits(self.figures.volume.load(Ordering::Relaxed));
        let to = if held { 0.0 } else { under * volume };
        let from = std::mem::replace(&mut self.gain, to);
        let step = (to - from) / sum.len().max(1) as f32;
        let mut heard = 0;
        while heard < sum.len() {
            let rest = &self.frame.samples()[self.at..];
            if rest.is_empty() {
                match self.frames.try_recv() {
                    Ok(frame) => (self.frame, self.at) = (frame, 0),
                    Err(why) => {
                        self.break_off(&mut sum[heard..]);
                        let ends = why == TryRecvError::Disconnected && self.tail == 0;
                        self.figures.ended.fetch_or(ends, Ordering::Relaxed);
                        return !ends;
                    }
                }
                continue;
            }
            let count = rest.len().min(sum.len() - heard);
            for ((i, to), sample) in sum.iter_mut().enumerate().skip(heard).zip(rest) {
                self.last = sample * (from + step * (i + 1) as f32);
                *to += self.last;
            }
            self.at += count;
            heard += count;
            self.figures.samples.fetch_add(count as u64, Ordering::Relaxed);
        }
        true
    }

    /// There is nothing for `rest`: what was heard fades, and what follows begins softly.
    fn break_off(&mut self, rest: &mut [f32]) {
        let last = std::mem::take(&mut self.last);
        if last != 0.0 {
            (self.level, self.tail) = (last, TAIL);
        }
        self.gain = 0.0;
        self.fade(rest);
    }

    fn fade(&mut self, sum: &mut [f32]) {
        for to in sum.iter_mut().take(self.tail) {
            self.tail -= 1;
            *to += self.level * self.tail as f32 / TAIL as f32;
        }
    }
}

/// The playing thread, seen from outside. Dropping it ends what is heard.
pub struct Player {
    feed: Sender<Feed>,
    outcome: Receiver<Error>,
    figures: Arc<PlayFigures>,
}

impl Player {
    /// Starts it, and returns what the mixer is to be given. `volume` as [`PlayFigures::set_volume`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(volume: f32) -> Result<(Self, Played), Error> {
        let figures = Arc::new(PlayFigures {
            samples: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            volume: AtomicU32::new(0),
        });
        figures.set_volume(volume);
        // A voice message is as long as its offer says, so this is bounded by what is fed.
        let (feed, fed) = unbounded();
        let (frames_in, frames) = bounded(FRAMES);
        let (failed, outcome) = bounded(1);
        let mut role =
            Role { playback: Playback::new()?, fed, frames: frames_in, taken: 0, file: None, rest: Vec::new() };
        let run = move || {
            if let Err(error) = role.run() {
                let _ = failed.send(error);
            }
        };
        std::thread::Builder::new().name("play".into()).spawn(run).map_err(Error::Thread)?;
        let played = Played {
            frames,
            frame: Frame::new(&[]),
            at: 0,
            gain: 0.0,
            last: 0.0,
            level: 0.0,
            tail: 0,
            stopped: false,
            figures: Arc::clone(&figures),
        };
        Ok((Self { feed, outcome, figures }, played))
    }

    /// There is more of it.
    pub fn feed(&self, feed: Feed) {
        // The thread has ended when nobody takes it.
        let _ = self.feed.send(feed);
    }

    /// How it goes.
    pub fn figures(&self) -> &PlayFigures {
        &self.figures
    }

    /// Why it is not heard, or not to its end.
    pub fn failure(&self) -> Option<Error> {
        self.outcome.try_recv().ok()
    }
}

struct Role {
    playback: Playback,
    fed: Receiver<Feed>,
    frames: Sender<Frame>,
    /// Bytes taken.
    taken: u64,
    file: Option<(PathBuf, File)>,
    /// Decoded, not yet handed on.
    rest: Vec<f32>,
}

impl Role {
    fn run(&mut self) -> Result<(), Error> {
        let mut next = None;
        loop {
            if next.is_none() {
                next = self.frame()?;
            }
            match next {
                Some(frame) => select! {
                    send(self.frames, frame) -> sent => match sent {
                        Ok(()) => next = None,
                        Err(_) => return Ok(()),
                    },
                    recv(self.fed) -> fed => match fed {
                        Ok(feed) => self.take(feed)?,
                        Err(_) => return Ok(()),
                    },
                },
                None if self.playback.is_ended() || self.file.is_some() => return Ok(()),
                None => match self.fed.recv() {
                    Ok(feed) => self.take(feed)?,
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    /// The next 20 ms; fewer at the end, none until there is more.
    fn frame(&mut self) -> Result<Option<Frame>, Error> {
        while self.rest.len() < FRAME {
            if let Some(samples) = self.playback.samples()? {
                self.rest.extend_from_slice(samples);
            } else if self.playback.is_ended() || !self.read()? {
                break;
            }
        }
        let over = self.playback.is_ended() || self.file.is_some();
        if self.rest.is_empty() || (self.rest.len() < FRAME && !over) {
            return Ok(None);
        }
        let count = self.rest.len().min(FRAME);
        let frame = Frame::new(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(Some(frame))
    }

    fn take(&mut self, feed: Feed) -> Result<(), Error> {
        match feed {
            Feed::Bytes(_) if self.file.is_some() => {}
            Feed::Bytes(bytes) => {
                self.taken += bytes.len() as u64;
                self.playback.push(&bytes);
            }
            Feed::File(path) => {
                let opened = File::open(&path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(self.taken))?;
                    Ok(file)
                });
                let file = opened.map_err(|source| Error::File { path: path.clone(), source })?;
                self.file = Some((path, file));
            }
        }
        Ok(())
    }

    /// Reads on; whether there was anything.
    fn read(&mut self) -> Result<bool, Error> {
        let Some((path, file)) = &mut self.file else {
            return Ok(false);
        };
        let mut part = Vec::with_capacity(PART);
        let read = file.take(PART as u64).read_to_end(&mut part);
        let read = read.map_err(|source| Error::File { path: path.clone(), source })?;
        self.playback.push(&part);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::clock::Clock;
    use crate::media::test_voice::TestVoice;
    use crate::media::voice_message::{Recording, VoiceMessage};
    use std::time::Duration;

    fn message(samples: usize) -> VoiceMessage {
        let mut voice = vec![0.0; samples];
        TestVoice::new(220.0).render(&mut voice);
        let mut recording = Recording::new(1, 60_000).unwrap();
        recording.push(&voice).unwrap();
        recording.finish().unwrap()
    }

    /// What is heard until `enough` samples are, or the end.
    fn heard(player: &Player, played: &mut Played, enough: usize) -> Vec<f32> {
        let mut all = Vec::new();
        let clock = Clock::system();
        let deadline = clock.now() + Duration::from_secs(30);
        while all.len() < enough {
            assert!(clock.now() < deadline, "{} of {enough} samples", all.len());
            let (before, mut sum) = (player.figures.samples.load(Ordering::Relaxed), [0.0; 120]);
            let goes_on = played.mix_into(&mut sum, 1.0);
            let count = player.figures.samples.load(Ordering::Relaxed) - before;
            all.extend_from_slice(&sum[..count as usize]);
            if !goes_on {
                break;
            }
            std::thread::yield_now();
        }
        all
    }

    #[test]
    fn a_file_is_heard_whole_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voice.ogg");
        let message = message(48_321);
        std::fs::write(&path, &message.file).unwrap();
        for volume in [1.0, 0.5] {
            let (player, mut played) = Player::start(volume).unwrap();
            player.feed(Feed::File(path.clone()));
            let all = heard(&player, &mut played, usize::MAX);
            assert_eq!(all.len(), 48_321);
            let loudest = all.iter().fold(0.0f32, |most, s| most.max(s.abs()));
            assert!((0.1 * volume..volume).contains(&loudest), "{volume}: {loudest}");
            assert!(player.figures().is_ended() && player.figures().ms() == 1_006 && player.failure().is_none());
        }
    }

    #[test]
    fn the_beginning_is_heard_before_the_end_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voice.ogg");
        let message = message(96_000);
        let (player, mut played) = Player::start(1.0).unwrap();
        let half = message.file.len() / 2;
        player.feed(Feed::Bytes(message.file[..100].to_vec()));
        player.feed(Feed::Bytes(message.file[100..half].to_vec()));
        assert_eq!(heard(&player, &mut played, 24_000).len(), 24_000);
        assert!(!player.figures().is_ended());
        std::fs::write(&path, &message.file).unwrap();
        player.feed(Feed::File(path));
        let rest = heard(&player, &mut played, usize::MAX).len();
        assert_eq!(24_000 + rest, 96_000);
    }

    #[test]
    fn held_it_stays_where_it_is_and_dropped_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voice.ogg");
        std::fs::write(&path, message(96_000).file).unwrap();
        let (player, mut played) = Player::start(1.0).unwrap();
        player.feed(Feed::File(path.clone()));
        heard(&player, &mut played, 4_800);
        player.figures().pause(true);
        assert_eq!(heard(&player, &mut played, 120).len(), 120, "it fades");
        let mut sum = [0.0; 120];
        assert!(played.mix_into(&mut sum, 1.0) && sum == [0.0; 120] && player.figures().ms() == 102);
        player.figures().pause(false);
        let figures = Arc::clone(&player.figures);
        drop(player);
        while played.mix_into(&mut [0.0; 120], 1.0) {}
        assert!(figures.is_ended() && figures.ms() < 2_000);
        let (player, mut played) = Player::start(1.0).unwrap();
        player.feed(Feed::File(folder.path().join("none")));
        assert_eq!(heard(&player, &mut played, usize::MAX).len(), 0);
        assert!(matches!(player.failure(), Some(Error::File { .. })));
    }
    /// All that a mixer adds up in so many steps of 2.5 ms, each begun when there is enough for it.
    fn mixed(played: &mut Played, steps: usize) -> Vec<f32> {
        let mut sum = vec![0.0; 120 * steps];
        for step in sum.chunks_exact_mut(120) {
            while played.frames.is_empty() && played.frame.samples().len() < played.at + 120 {
                std::thread::yield_now();
            }
            played.mix_into(step, 1.0);
        }
        sum
    }

    fn largest_step(sum: &[f32]) -> f32 {
        sum.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn held_let_go_on_and_stopped_anywhere_it_does_not_click() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voice.ogg");
        std::fs::write(&path, message(96_000).file).unwrap();
        let (player, mut played) = Player::start(1.0).unwrap();
        player.feed(Feed::File(path.clone()));
        mixed(&mut played, 60);
        let usual = largest_step(&mixed(&mut played, 40));
        let mut all = mixed(&mut played, 1);
        for n in 1..20 {
            player.figures().pause(true);
            all.extend(mixed(&mut played, 2));
            assert!(all.iter().rev().take(120).all(|s| *s == 0.0), "silent after 2.5 ms");
            player.figures().pause(false);
            all.extend(mixed(&mut played, n % 4 + 2));
        }
        played.stop();
        let mut ends = 0;
        let mut sum = [0.0; 120];
        while played.mix_into(&mut sum, 1.0) {
            all.extend(sum);
            (sum, ends) = ([0.0; 120], ends + 1);
        }
        all.extend(sum);
        let most = largest_step(&all);
        println!("largest step {usual:.4} as it is, {most:.4} with pauses");
        assert!(ends <= 2, "stopped, it is over within 5 ms");
        assert!(usual > 0.005 && most < 1.5 * usual, "{most} where {usual} is usual");
    }

    #[test]
    fn where_it_runs_dry_and_where_it_ends_it_does_not_click() {
        let message = message(96_000);
        let (player, mut played) = Player::start(1.0).unwrap();
        let half = message.file.len() / 2;
        player.feed(Feed::Bytes(message.file[..half].to_vec()));
        let mut all = until_dry(&player, &mut played, 24_000);
        player.feed(Feed::Bytes(message.file[half..].to_vec()));
        all.extend(until_dry(&player, &mut played, 96_000));
        let most = largest_step(&all);
        let clock = Clock::system();
        let deadline = clock.now() + Duration::from_secs(30);
        while played.mix_into(&mut [0.0; 120], 1.0) {
            assert!(clock.now() < deadline, "it ends");
        }
        assert!(most < 0.03, "{most}");
        assert!(player.figures().is_ended());
    }

    /// All that a mixer adds up until so many samples of the message were heard and none followed for 10 ms.
    fn until_dry(player: &Player, played: &mut Played, enough: u64) -> Vec<f32> {
        let clock = Clock::system();
        let deadline = clock.now() + Duration::from_secs(30);
        let (mut all, mut dry) = (Vec::new(), 0);
        while dry < 4 || player.figures.samples.load(Ordering::Relaxed) < enough {
            assert!(clock.now() < deadline, "{enough} samples do not come");
            let (before, mut sum) = (player.figures.samples.load(Ordering::Relaxed), [0.0; 120]);
            played.mix_into(&mut sum, 1.0);
            all.extend(sum);
            dry = if player.figures.samples.load(Ordering::Relaxed) == before { dry + 1 } else { 0 };
            if dry > 4 {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        all
    }
}
