//! Between the system's callbacks and our threads: rings of raw samples, and what a callback may say about itself.
//!
//! A callback copies and converts samples, and stores numbers in a [`Gauge`]; it takes no lock, allocates nothing, logs
//! nothing, wakes nobody. Callback sizes are never what was asked for, so both sides count samples, not calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::{Buffers, SoundCounters};
use crate::media::opus::RATE;
use crate::media::resample::{Converter, Error};

/// Longest wait of a thread that feeds or empties a ring: callbacks wake nobody.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(5);
const WAIT_MIN: Duration = Duration::from_millis(1);
/// A ring holds this long; a reader that stays away longer loses samples.
const RING_MS: u32 = 400;
/// Captured sound older than this is thrown away: a thread was held up, and nobody wants the delay for ever.
const CAPTURE_MS_MAX: usize = 80;
/// Time the writer is given to wake up after a callback, at least.
const WAKE_UP_MS: u32 = 4;
/// The same where the least delay is asked for.
const WAKE_UP_LEAST_MS: u32 = 1;
/// What the fill of a speaker's ring grows by after a glitch, and where that ends.
const EXTRA_MS: u32 = 3;
const EXTRA_MS_MAX: u32 = 40;
/// It is a millisecond less after so much sound without a glitch; if that was too little, twice as much is waited for.
const CALM_S: u64 = 20;
const CALM_S_MAX: u64 = 640;
/// Time in which sound sinks to silence where there is no more, and rises from it.
const EDGE_S: f32 = 0.001;
/// As little as this of it is not heard: -100 dBFS.
const INAUDIBLE: f32 = 1e-5;
/// Whoever says more does not know.
const LATENCY_MAX: Duration = Duration::from_millis(500);
/// The period is the mean of so much sound.
const PERIOD_WINDOW_MS: u64 = 2_000;

/// What a callback says about itself.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Callbacks so far.
    calls: AtomicU64,
    /// Frames moved so far.
    frames: AtomicU64,
    glitches: AtomicU64,
    /// Frames captured for which there was no room.
    overflown: AtomicU64,
    xruns: AtomicU64,
    /// Microseconds between the device and the callback, as the sound system tells, smoothed.
    latency_us: AtomicU64,
    /// 0, or why the stream is broken.
    fault: AtomicU8,
    /// Set once the speaker's ring was filled: before that, silence is no glitch.
    primed: AtomicBool,
}

impl Gauge {
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Frames moved so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> bool {
        self.fault() != 0
    }

    /// The code given to [`fail`](Self::fail), or 0.
    pub(super) fn fault(&self) -> u8 {
        self.fault.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self, code: u8) {
        self.fault.store(code.max(1), Ordering::Release);
    }

    /// Losses reported by the sound system, or found out.
    pub(super) fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    pub(super) fn count_xrun(&self) {
        self.xruns.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes in how far the callback is from the device, as the sound system tells; called by the callback.
    pub(super) fn lags_by(&self, latency: Duration) {
        let told = latency.min(LATENCY_MAX).as_micros() as u64;
        let before = self.latency_us.load(Ordering::Relaxed);
        let after = if before == 0 { told } else { (15 * before + told) / 16 };
        self.latency_us.store(after, Ordering::Relaxed);
    }

    /// Time between the device and the callback, as far as the sound system tells.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }

    pub(super) fn add_to(&self, counters: &mut SoundCounters) {
        counters.glitches += self.glitches.load(Ordering::Relaxed);
        counters.xruns += self.xruns.load(Ordering::Relaxed);
    }

    /// Mean size of the callbacks so far.
    fn mean_frames(&self) -> u64 {
        self.frames() / self.calls().max(1)
    }

    #[cfg(test)]
    pub(super) fn call(&self) {
        self.called(1);
    }

    fn called(&self, frames: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.frames.fetch_add(frames as u64, Ordering::Relaxed);
    }
}

/// The callback's end of a microphone's ring: interleaved samples as the device gives them.
pub(super) struct CaptureCallback {
    ring: HeapProd<f32>,
    channels: usize,
    gauge: Arc<Gauge>,
}

impl CaptureCallback {
    /// Called with each buffer of the device.
    pub(super) fn capture<T: Copy>(&mut self, samples: &[T], to_f32: impl Fn(T) -> f32) {
        self.gauge.called(samples.len() / self.channels);
        // Whole frames only, so that channels never change places.
        let room = self.ring.vacant_len() / self.channels * self.channels;
        if room < samples.len() {
            self.gauge.glitches.fetch_add(1, Ordering::Relaxed);
            let lost = (samples.len() - room) / self.channels;
            self.gauge.overflown.fetch_add(lost as u64, Ordering::Relaxed);
        }
        self.ring.push_iter(samples.iter().take(room).map(|&s| to_f32(s)));
    }
}

/// The reader's end: frames at 48 kHz mono.
pub(super) struct CaptureReader {
    ring: HeapCons<f32>,
    rate: u32,
    channels: usize,
    converter: Converter,
    mono: Vec<f32>,
    ready: Vec<f32>,
    /// Samples thrown away since it was asked, and frames of the device lost for want of room that are counted in it.
    dropped: u32,
    overflown: u64,
    gauge: Arc<Gauge>,
}

/// A ring for a microphone of `rate` Hz and `channels` channels.
pub(super) fn capture(rate: u32, channels: u16) -> Result<(CaptureCallback, CaptureReader, Arc<Gauge>), Error> {
    let converter = Converter::new(rate, RATE)?;
    let channels = usize::from(channels.max(1));
    let (producer, consumer) = HeapRb::new((rate * RING_MS / 1_000) as usize * channels).split();
    let gauge = Arc::new(Gauge::default());
    let callback = CaptureCallback { ring: producer, channels, gauge: gauge.clone() };
    let reader = CaptureReader {
        ring: consumer,
        rate,
        channels,
        converter,
        mono: Vec::with_capacity(RATE as usize),
        ready: Vec::with_capacity(RATE as usize),
        dropped: 0,
        overflown: 0,
        gauge: gauge.clone(),
    };
    Ok((callback, reader, gauge))
}

impl CaptureReader {
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    pub(super) fn read(&mut self, frame: &mut [f32]) -> bool {
        self.collect();
        if self.ready.len() < frame.len() {
            return false;
        }
        frame.copy_from_slice(&self.ready[..frame.len()]);
        self.ready.drain(..frame.len());
        true
    }

    fn collect(&mut self) {
        let channels = self.channels;
        let frames = self.ring.occupied_len() / channels;
        if frames == 0 {
            return;
        }
        self.mono.clear();
        let (mut sum, mut count) = (0.0, 0);
        for sample in self.ring.pop_iter().take(frames * channels) {
            sum += if sample.is_finite() { sample } else { 0.0 };
            count += 1;
            if count == channels {
                self.mono.push(sum / channels as f32);
                (sum, count) = (0.0, 0);
            }
        }
        if self.converter.push(&self.mono, &mut self.ready).is_err() {
            self.gauge.glitches.fetch_add(1, Ordering::Relaxed);
            self.dropped = self.dropped.saturating_add(self.at_our_rate(self.mono.len() as u64));
        }
        // They were newer than what waited here, most of which is thrown away below.
        let overflown = self.gauge.overflown.load(Ordering::Relaxed);
        let more = overflown - std::mem::replace(&mut self.overflown, overflown);
        self.dropped = self.dropped.saturating_add(self.at_our_rate(more));
        let most = CAPTURE_MS_MAX * RATE as usize / 1_000;
        if self.ready.len() > most {
            self.gauge.glitches.fetch_add(1, Ordering::Relaxed);
            let oldest = self.ready.len() - most;
            self.ready.drain(..oldest);
            self.dropped = self.dropped.saturating_add(oldest as u32);
        }
    }

    fn at_our_rate(&self, frames: u64) -> u32 {
        u32::try_from(frames * u64::from(RATE) / u64::from(self.rate)).unwrap_or(u32::MAX)
    }

    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Samples thrown away before those read next, since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u32 {
        std::mem::take(&mut self.dropped)
    }

    /// Mean length of the callbacks so far.
    pub(super) fn period(&self) -> Duration {
        Duration::from_nanos(self.gauge.mean_frames() * 1_000_000_000 / u64::from(self.rate))
    }

    /// Time after which a frame of `samples` may be there: its last callback may come at any moment.
    pub(super) fn wait(&self, samples: usize) -> Duration {
        let callback = self.gauge.mean_frames() * u64::from(RATE) / u64::from(self.rate);
        duration(samples.saturating_sub(self.ready.len() + callback as usize))
    }
}

/// The callback's end of a speaker's ring: mono at the device's rate.
pub(super) struct PlaybackCallback {
    ring: HeapCons<f32>,
    channels: usize,
    gauge: Arc<Gauge>,
    /// How much the gain grows in a frame, and what is left of the tail in the next one: about a millisecond each.
    rise: f32,
    decay: f32,
    /// Below 1 for a moment after nothing was there.
    gain: f32,
    /// What is left of where the wave stood when nothing was there any more.
    tail: f32,
    /// What was played last.
    last: f32,
}

impl PlaybackCallback {
    /// Called for each buffer of the device: fills every channel of it. Where the ring is empty the wave sinks to silence
    /// within a millisecond, and rises from it when there is something again.
    pub(super) fn play<T: Copy>(&mut self, buffer: &mut [T], from_f32: impl Fn(f32) -> T) {
        let frames = buffer.len() / self.channels;
        self.gauge.called(frames);
        if self.ring.occupied_len() < frames && self.gauge.primed.load(Ordering::Acquire) {
            self.gauge.glitches.fetch_add(1, Ordering::Relaxed);
        }
        let mut samples = self.ring.pop_iter();
        for frame in buffer.chunks_mut(self.channels) {
            self.tail = if self.tail.abs() > INAUDIBLE { self.tail * self.decay } else { 0.0 };
            let sample = samples.next();
            match sample {
                Some(_) => self.gain = (self.gain + self.rise).min(1.0),
                None if self.gain > 0.0 => (self.gain, self.tail) = (0.0, self.last * self.decay),
                None => {}
            }
            self.last = sample.unwrap_or_default() * self.gain + self.tail;
            frame.fill(from_f32(self.last));
        }
    }
}

/// The writer's end: takes 48 kHz mono and keeps the ring filled with one and a half callback periods.
pub(super) struct PlaybackWriter {
    ring: HeapProd<f32>,
    rate: u32,
    converter: Converter,
    converted: Vec<f32>,
    gauge: Arc<Gauge>,
    /// Period held, in frames of the device, and the calls and frames at which it was taken.
    period: u32,
    period_at: (u64, u64),
    glitches_seen: u64,
    wake_up_ms: u32,
    extra_ms: u32,
    /// Frames at which that changed, sound without a glitch until it is less, and whether it has been made less.
    extra_at: u64,
    calm_s: u64,
    lowered: bool,
}

/// A ring for a speaker of `rate` Hz and `channels` channels, whose callbacks are expected to ask for `period` frames.
pub(super) fn playback(
    rate: u32,
    channels: u16,
    period: u32,
    sizes: Buffers,
) -> Result<(PlaybackCallback, PlaybackWriter, Arc<Gauge>), Error> {
    let converter = Converter::new(RATE, rate)?;
    let (producer, consumer) = HeapRb::new((rate * RING_MS / 1_000) as usize).split();
    let gauge = Arc::new(Gauge::default());
    let edge = (rate as f32 * EDGE_S).max(1.0);
    let callback = PlaybackCallback {
        ring: consumer,
        channels: usize::from(channels.max(1)),
        gauge: gauge.clone(),
        rise: edge.recip(),
        // A hundredth is left at the end of it.
        decay: 0.01f32.powf(edge.recip()),
        gain: 1.0,
        tail: 0.0,
        last: 0.0,
    };
    let writer = PlaybackWriter {
        ring: producer,
        rate,
        converter,
        converted: Vec::with_capacity(rate as usize / 4),
        gauge: gauge.clone(),
        period,
        period_at: (0, 0),
        glitches_seen: 0,
        wake_up_ms: if sizes == Buffers::Least { WAKE_UP_LEAST_MS } else { WAKE_UP_MS },
        extra_ms: 0,
        extra_at: 0,
        calm_s: CALM_S,
        lowered: false,
    };
    Ok((callback, writer, gauge))
}

impl PlaybackWriter {
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Frames of the device that should wait in the ring: one period to be taken next, and time to wake up in.
    fn fill(&self) -> u32 {
        let wake_up = (self.period / 2).max(self.rate * self.wake_up_ms / 1_000);
        (self.period + wake_up + self.extra_ms * self.rate / 1_000).min(self.rate * RING_MS / 2_000)
    }

    /// The fill in samples at 48 kHz.
    pub(super) fn target(&self) -> usize {
        self.in_samples(self.fill())
    }

    /// What of it is there because the ring was found empty, in samples at 48 kHz.
    pub(super) fn extra(&self) -> usize {
        self.extra_ms as usize * RATE as usize / 1_000
    }

    pub(super) fn wanted(&mut self) -> usize {
        self.measure();
        let missing = self.fill().saturating_sub(self.ring.occupied_len() as u32);
        self.in_samples(missing)
    }

    pub(super) fn write(&mut self, samples: &[f32]) {
        self.converted.clear();
        let converted = self.converter.push(samples, &mut self.converted);
        if converted.is_err() || self.ring.push_slice(&self.converted) < self.converted.len() {
            self.gauge.glitches.fetch_add(1, Ordering::Relaxed);
        }
        if self.ring.occupied_len() as u32 >= self.period {
            self.gauge.primed.store(true, Ordering::Release);
        }
    }

    /// Time until less than the fill may be there: a quarter of a period, so that a callback is answered soon.
    pub(super) fn wait(&self) -> Duration {
        duration(self.in_samples(self.period) / 4)
    }

    fn in_samples(&self, frames: u32) -> usize {
        (u64::from(frames) * u64::from(RATE) / u64::from(self.rate)) as usize
    }

    /// Follows the period the device really has, and the glitches that show that the fill is not enough.
    fn measure(&mut self) {
        let now = (self.gauge.calls(), self.gauge.frames());
        let (calls, frames) = (now.0 - self.period_at.0, now.1 - self.period_at.1);
        if frames >= u64::from(self.rate) * PERIOD_WINDOW_MS / 1_000 && calls > 0 {
            self.period_at = now;
            self.period = u32::try_from(frames.div_ceil(calls)).unwrap_or(u32::MAX).min(self.rate / 5);
        }
        let glitches = self.gauge.glitches.load(Ordering::Relaxed);
        if glitches > self.glitches_seen {
            (self.glitches_seen, self.extra_at) = (glitches, now.1);
            self.extra_ms = (self.extra_ms + EXTRA_MS).min(EXTRA_MS_MAX);
            if std::mem::take(&mut self.lowered) {
                self.calm_s = (2 * self.calm_s).min(CALM_S_MAX);
            }
        } else if self.extra_ms > 0 && now.1 - self.extra_at >= self.calm_s * u64::from(self.rate) {
            (self.extra_ms, self.extra_at, self.lowered) = (self.extra_ms - 1, now.1, true);
        }
    }
}

fn duration(samples: usize) -> Duration {
    (Duration::from_secs(1) * samples as u32 / RATE).clamp(WAIT_MIN, WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_frames_come_out_whole_whatever_the_callbacks_are() {
        let (mut callback, mut reader, gauge) = capture(48_000, 2).expect("a ring");
        let mut frame = [0.0; 960];
        // Left is 1, right is -0.5: mono is a quarter. Callbacks of odd sizes.
        let stereo: Vec<i16> = (0..640 * 2).map(|i| if i % 2 == 0 { 32_767 } else { -16_384 }).collect();
        let mut frames = 0;
        for _ in 0..30 {
            callback.capture(&stereo, |s| f32::from(s) / 32_768.0);
            while reader.read(&mut frame) {
                frames += 1;
                assert!(frame.iter().all(|s| (s - 0.25).abs() < 1e-3));
            }
        }
        assert_eq!((frames, gauge.calls()), (20, 30));
    }

    #[test]
    fn a_reader_that_stays_away_loses_the_oldest_and_it_is_counted() {
        let (mut callback, mut reader, gauge) = capture(48_000, 1).expect("a ring");
        for i in 0..30 {
            callback.capture(&[i as f32 / 100.0; 480], |s| s);
        }
        let mut counters = SoundCounters::default();
        let mut frame = [0.0; 480];
        let mut read = Vec::new();
        while reader.read(&mut frame) {
            read.push((frame[0] * 100.0).round() as i32);
        }
        assert_eq!(read.len(), CAPTURE_MS_MAX / 10);
        assert_eq!(read[0], 30 - 8, "the newest 80 ms are left");
        assert_eq!((reader.take_dropped(), reader.take_dropped()), (22 * 480, 0));
        // More than the ring holds.
        (0..50).for_each(|_| callback.capture(&[0.0; 480], |s| s));
        let frames = std::iter::from_fn(|| reader.read(&mut frame).then_some(())).count() as u32;
        assert_eq!(reader.take_dropped(), 50 * 480 - frames * 480);
        gauge.add_to(&mut counters);
        assert!(counters.glitches > 0);
    }

    #[test]
    fn a_speaker_gets_every_channel_and_silence_when_nothing_is_there() {
        let (mut callback, mut writer, _) = playback(48_000, 2, 480, Buffers::Usual).expect("a ring");
        assert_eq!((writer.target(), writer.wanted()), (720, 720));
        writer.write(&[0.5; 3]);
        let mut buffer = [9i16; 600];
        callback.play(&mut buffer, |s| (s * 100.0) as i16);
        assert_eq!(buffer[..6], [50; 6]);
        assert_eq!((buffer[6], buffer[7]), (45, 45), "it sinks");
        assert_eq!(buffer[102..], [0; 498], "and is silent a millisecond after");
    }

    #[test]
    fn a_ring_that_runs_dry_and_is_filled_again_does_not_click() {
        // A sine of 440 Hz, out of which nothing comes for a while; at any place of the wave, for short and for long.
        let wave = |i: usize| 0.8 * (i as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        let usual = (0..480).map(|i| (wave(i + 1) - wave(i)).abs()).fold(0.0, f32::max);
        for (first, dry) in [(480, 480), (507, 1), (507, 7), (535, 20), (563, 47), (563, 90), (590, 4_000)] {
            let (mut callback, mut writer, gauge) = playback(48_000, 1, 100, Buffers::Usual).expect("a ring");
            let (mut before, mut after) = (vec![0.0f32; first + dry], vec![0.0f32; 960]);
            writer.write(&(0..first).map(wave).collect::<Vec<_>>());
            callback.play(&mut before, |s| s);
            writer.write(&(first..first + 960).map(wave).collect::<Vec<_>>());
            callback.play(&mut after, |s| s);
            before.extend(&after);
            let steepest = before.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < usual + 0.1, "dry for {dry} after {first}: {steepest}, usually {usual}");
            let silent = &before[(first + 200).min(first + dry)..first + dry];
            assert!(silent.iter().all(|s| *s == 0.0), "{dry}");
            assert!((before[first + dry + 100] - wave(first + 100)).abs() < 1e-4, "and is what it was a moment later");
            assert_eq!(gauge.glitches.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn silence_before_the_first_fill_is_no_glitch_and_after_it_is_one() {
        let (mut callback, mut writer, gauge) = playback(48_000, 1, 100, Buffers::Usual).expect("a ring");
        let count = |gauge: &Gauge| {
            let mut c = SoundCounters::default();
            gauge.add_to(&mut c);
            c.glitches
        };
        let mut buffer = [0.0f32; 100];
        callback.play(&mut buffer, |s| s);
        assert_eq!(count(&gauge), 0);
        writer.write(&[0.1; 100]);
        callback.play(&mut buffer, |s| s);
        assert_eq!(count(&gauge), 0);
        callback.play(&mut buffer, |s| s);
        assert_eq!(count(&gauge), 1);
        let before = writer.target();
        writer.wanted();
        assert_eq!(writer.target() - before, EXTRA_MS as usize * 48, "the fill was not enough");
    }

    #[test]
    fn what_a_glitch_costs_is_tried_without_after_a_while_and_later_when_that_fails() {
        let (mut callback, mut writer, gauge) = playback(48_000, 1, 240, Buffers::Least).expect("a ring");
        let least = writer.target();
        assert_eq!(least, 240 + 120, "half a period, more than the least");
        let mut buffer = [0.0f32; 240];
        // Plays until the fill is another one; after how many seconds.
        let mut play = |writer: &mut PlaybackWriter, glitches: u64| {
            let before = writer.target();
            gauge.glitches.fetch_add(glitches, Ordering::Relaxed);
            for calls in 1..200_000 {
                let wanted = writer.wanted();
                writer.write(&vec![0.1; wanted]);
                callback.play(&mut buffer, |s| s);
                if writer.target() != before {
                    return (calls / 200, writer.target() as i64 - before as i64);
                }
            }
            panic!("the fill stays as it is");
        };
        assert_eq!(play(&mut writer, 1), (0, 3 * 48));
        assert_eq!([play(&mut writer, 0), play(&mut writer, 0)], [(20, -48); 2]);
        assert_eq!(play(&mut writer, 1).1, 3 * 48);
        assert_eq!(play(&mut writer, 0), (40, -48), "it was needed");
    }

    #[test]
    fn the_fill_follows_the_period_of_the_device() {
        let (mut callback, mut writer, _) = playback(24_000, 1, 240, Buffers::Usual).expect("a ring");
        assert_eq!(writer.target(), 2 * (240 + 120));
        let mut buffer = [0.0f32; 600];
        for _ in 0..4 * 40 {
            callback.play(&mut buffer, |s| s);
        }
        writer.wanted();
        assert_eq!(writer.target(), 2 * (600 + 300));
    }
}
