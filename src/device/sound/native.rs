//! The system's sound devices, by cpal: PulseAudio (or PipeWire behind its protocol) first, then ALSA; elsewhere
//! whatever the system has.
//!
//! Buffer sizes are always asked for: the default of a sound server may be seconds. What the callbacks then deliver is
//! never that size, see [`ring`](super::ring). Error callbacks only set a flag: a dying server fires thousands a second.

use std::sync::Arc;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, I24, Sample, SampleFormat, SizedSample, StreamConfig,
    SupportedBufferSize, SupportedStreamConfigRange, U24,
};

use super::Buffers;
use super::finding::{self, ALSA, Found, Wanted, device_name};
use super::keeper::{NotOpened, Opened};
use super::ring::{self, CaptureCallback, CaptureReader, Gauge, PlaybackCallback, PlaybackWriter};
use crate::device::priority;
use crate::media::opus::RATE;
use crate::media::resample::RATES;

/// A hung sound server is given up after this.
const OPEN_MAX: Duration = Duration::from_secs(3);
/// Buffer lengths tried in turn, in microseconds; the first only where the least delay is asked for.
const PERIODS_US: [u32; 5] = [2_500, 5_000, 10_000, 20_000, 40_000];
/// Assumed of a speaker that chooses its own, until it has been measured.
const PERIOD_GUESS_MS: u32 = 20;

/// What to say of a device that does not open.
fn not_opened(wanted: Option<&str>, device: &str, error: &cpal::Error) -> NotOpened {
    match (wanted, error.kind()) {
        // ALSA has a default device even where there is no card.
        (None, ErrorKind::DeviceNotAvailable) => NotOpened::Absent,
        (Some(_), ErrorKind::DeviceNotAvailable) => NotOpened::Failed(format!("{device}: it is not there")),
        (_, kind) => {
            let known = FAULTS.iter().find(|(k, _)| *k == kind);
            NotOpened::Failed(
                known.map_or_else(|| format!("{device}: {error}"), |(_, text)| format!("{device}: {text}")),
            )
        }
    }
}

/// A configuration worth trying, without the buffer size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    rate: u32,
    channels: u16,
    format: SampleFormat,
    buffer: SupportedBufferSize,
}

/// Lower is better; `None` is unusable.
fn rank(choice: &Choice, channels_wanted: u16) -> Option<(bool, u16, u8)> {
    let format = match choice.format {
        SampleFormat::F32 => 0,
        SampleFormat::I32 | SampleFormat::I24 => 1,
        SampleFormat::I16 => 2,
        SampleFormat::F64 | SampleFormat::I64 | SampleFormat::U32 | SampleFormat::U24 | SampleFormat::U64 => 3,
        SampleFormat::U16 => 4,
        SampleFormat::I8 | SampleFormat::U8 => 5,
        _ => return None,
    };
    let usable = RATES.contains(&choice.rate) && choice.channels > 0;
    usable.then_some((choice.rate != RATE, choice.channels.abs_diff(channels_wanted), format))
}

fn choose(ranges: impl Iterator<Item = SupportedStreamConfigRange>, channels_wanted: u16) -> Option<Choice> {
    let choices = ranges.map(|range| Choice {
        // Our own rate when it is there, or the nearest above or below it.
        rate: RATE.clamp(range.min_sample_rate(), range.max_sample_rate().max(range.min_sample_rate())),
        channels: range.channels(),
        format: range.sample_format(),
        buffer: *range.buffer_size(),
    });
    choices.filter_map(|c| Some((rank(&c, channels_wanted)?, c))).min_by_key(|(rank, _)| *rank).map(|(_, c)| c)
}

/// The buffer sizes to ask for, in frames; `None` is what the device likes best. That comes last, and only where all
/// others were refused as such: ALSA's mixer takes one size and does not tell which, while the choice of a sound server
/// may be seconds.
fn buffers(choice: &Choice, lengths_us: &[u32]) -> impl Iterator<Item = Option<u32>> {
    let mut sizes: Vec<u32> = lengths_us
        .iter()
        .map(|us| (u64::from(choice.rate) * u64::from(*us) / 1_000_000) as u32)
        .map(|frames| match choice.buffer {
            SupportedBufferSize::Range { min, max } => frames.clamp(min, max.max(min)),
            SupportedBufferSize::Unknown => frames,
        })
        .collect();
    sizes.dedup();
    sizes.into_iter().map(Some).chain([None])
}

/// Opens a microphone, by name or the default; `too_short` is how often its buffer has proved too short.
pub(super) fn open_microphone(
    wanted: &mut Wanted,
    sizes: Buffers,
    too_short: usize,
) -> Result<Opened<CaptureReader>, NotOpened> {
    let Found { device, instead_of } = wanted.find(true)?;
    let name = device_name(&device);
    let failed = |what: &str| NotOpened::Failed(format!("{name}: {what}"));
    let ranges = device.supported_input_configs().map_err(|e| not_opened(wanted.name(), &name, &e))?;
    let choice = choose(ranges, 1).ok_or_else(|| failed("no usable sample format"))?;
    let (mut error, mut refused) = (failed("no usable buffer length"), true);
    let shortest = shortest(sizes, too_short);
    for frames in buffers(&choice, &PERIODS_US[shortest..]) {
        if frames.is_none() && !refused {
            break;
        }
        let made = ring::capture(choice.rate, choice.channels).map_err(|e| failed(&e.to_string()))?;
        let (callback, end, gauge) = made;
        match build_input(&device, &choice, frames, callback, &gauge).and_then(started) {
            Ok(stream) => {
                let short = frames.is_some() && shortest + 1 < PERIODS_US.len();
                return Ok(Opened {
                    stream: Box::new(stream),
                    end,
                    gauge,
                    device: name,
                    short,
                    paced: None,
                    stays: finding::stays(wanted, instead_of.is_some(), &device, true),
                    instead_of,
                });
            }
            Err(e) => {
                refused &= e.kind() == ErrorKind::UnsupportedConfig;
                error = not_opened(wanted.name(), &name, &e);
            }
        }
    }
    Err(error)
}

/// Opens a speaker, by name or the default; `too_short` is how often its buffer has proved too short.
pub(super) fn open_speaker(
    wanted: &mut Wanted,
    sizes: Buffers,
    too_short: usize,
) -> Result<Opened<PlaybackWriter>, NotOpened> {
    let Found { device, instead_of } = wanted.find(false)?;
    let name = device_name(&device);
    let failed = |what: &str| NotOpened::Failed(format!("{name}: {what}"));
    let ranges = device.supported_output_configs().map_err(|e| not_opened(wanted.name(), &name, &e))?;
    let choice = choose(ranges, 2).ok_or_else(|| failed("no usable sample format"))?;
    let (mut error, mut refused) = (failed("no usable buffer length"), true);
    let shortest = shortest(sizes, too_short);
    let paced = Some(choice.rate);
    for frames in buffers(&choice, &PERIODS_US[shortest..]) {
        if frames.is_none() && !refused {
            break;
        }
        let period = frames.unwrap_or(choice.rate * PERIOD_GUESS_MS / 1_000);
        let made = ring::playback(choice.rate, choice.channels, period, sizes).map_err(|e| failed(&e.to_string()))?;
        let (callback, end, gauge) = made;
        match build_output(&device, &choice, frames, callback, &gauge).and_then(started) {
            Ok(stream) => {
                let short = frames.is_some() && shortest + 1 < PERIODS_US.len();
                return Ok(Opened {
                    stream: Box::new(stream),
                    end,
                    gauge,
                    device: name,
                    short,
                    paced,
                    stays: finding::stays(wanted, instead_of.is_some(), &device, false),
                    instead_of,
                });
            }
            Err(e) => {
                refused &= e.kind() == ErrorKind::UnsupportedConfig;
                error = not_opened(wanted.name(), &name, &e);
            }
        }
    }
    Err(error)
}

/// Where to begin in [`PERIODS_US`].
fn shortest(sizes: Buffers, too_short: usize) -> usize {
    (usize::from(sizes == Buffers::Usual) + too_short).min(PERIODS_US.len() - 1)
}

fn started(stream: cpal::Stream) -> Result<cpal::Stream, cpal::Error> {
    stream.play()?;
    Ok(stream)
}

fn config(choice: &Choice, frames: Option<u32>) -> StreamConfig {
    let buffer_size = frames.map_or(BufferSize::Default, BufferSize::Fixed);
    StreamConfig { channels: choice.channels, sample_rate: choice.rate, buffer_size }
}

/// How the callbacks' thread gets its processor, asked for by the first of them: it is the sound system's, which did not
/// always see to that. ALSA's spins on some of its plug-ins, and must not do so in real time.
fn hurry_of(device: &Device) -> fn() {
    match device.id() {
        Ok(id) if id.host().name() == ALSA => priority::hurry_for_network,
        _ => priority::hurry_for_sound,
    }
}

fn on_error(gauge: &Arc<Gauge>) -> impl FnMut(cpal::Error) + Send + 'static {
    let gauge = gauge.clone();
    move |error| match error.kind() {
        ErrorKind::Xrun => gauge.count_xrun(),
        ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
        kind => gauge.fail(fault_code(kind)),
    }
}

const FAULTS: [(ErrorKind, &str); 5] = [
    (ErrorKind::DeviceNotAvailable, "it has gone"),
    (ErrorKind::StreamInvalidated, "the sound system ended its stream"),
    (ErrorKind::HostUnavailable, "the sound system has gone"),
    (ErrorKind::DeviceBusy, "something else uses it"),
    (ErrorKind::PermissionDenied, "no permission to use it"),
];

fn fault_code(kind: ErrorKind) -> u8 {
    FAULTS.iter().position(|(k, _)| *k == kind).map_or(u8::MAX, |i| i as u8 + 2)
}

/// What a fault code of the error callback means; `None` when it set none.
pub(super) fn fault_text(code: u8) -> Option<&'static str> {
    match code {
        0 | 1 => None,
        code => Some(FAULTS.get(usize::from(code) - 2).map_or("its driver failed", |(_, text)| text)),
    }
}

macro_rules! with_format {
    ($format:expr, $build:ident($($argument:expr),*)) => {
        match $format {
            SampleFormat::I8 => $build::<i8>($($argument),*),
            SampleFormat::I16 => $build::<i16>($($argument),*),
            SampleFormat::I24 => $build::<I24>($($argument),*),
            SampleFormat::I32 => $build::<i32>($($argument),*),
            SampleFormat::I64 => $build::<i64>($($argument),*),
            SampleFormat::U8 => $build::<u8>($($argument),*),
            SampleFormat::U16 => $build::<u16>($($argument),*),
            SampleFormat::U24 => $build::<U24>($($argument),*),
            SampleFormat::U32 => $build::<u32>($($argument),*),
            SampleFormat::U64 => $build::<u64>($($argument),*),
            SampleFormat::F64 => $build::<f64>($($argument),*),
            _ => $build::<f32>($($argument),*),
        }
    };
}

fn build_input(
    device: &Device,
    choice: &Choice,
    frames: Option<u32>,
    callback: CaptureCallback,
    gauge: &Arc<Gauge>,
) -> Result<cpal::Stream, cpal::Error> {
    with_format!(choice.format, input_of(device, config(choice, frames), callback, gauge))
}

fn input_of<T: SizedSample + Send + 'static>(
    device: &Device,
    config: StreamConfig,
    mut callback: CaptureCallback,
    gauge: &Arc<Gauge>,
) -> Result<cpal::Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let mut hurry = Some(hurry_of(device));
    let (told, length) = (gauge.clone(), u64::from(config.channels) * u64::from(config.sample_rate));
    let copy = move |samples: &[T], info: &cpal::InputCallbackInfo| {
        hurry.take().into_iter().for_each(|hurry| hurry());
        // The first sample is so old, and the last one as much younger as the buffer is long.
        let at = info.timestamp();
        let oldest = at.callback.duration_since(at.capture);
        told.lags_by(oldest.saturating_sub(Duration::from_secs(1) * samples.len() as u32 / length.max(1) as u32));
        callback.capture(samples, f32::from_sample);
    };
    device.build_input_stream(config, copy, on_error(gauge), Some(OPEN_MAX))
}

fn build_output(
    device: &Device,
    choice: &Choice,
    frames: Option<u32>,
    callback: PlaybackCallback,
    gauge: &Arc<Gauge>,
) -> Result<cpal::Stream, cpal::Error> {
    with_format!(choice.format, output_of(device, config(choice, frames), callback, gauge))
}

fn output_of<T: SizedSample + FromSample<f32> + Send + 'static>(
    device: &Device,
    config: StreamConfig,
    mut callback: PlaybackCallback,
    gauge: &Arc<Gauge>,
) -> Result<cpal::Stream, cpal::Error> {
    let mut hurry = Some(hurry_of(device));
    let told = gauge.clone();
    let copy = move |buffer: &mut [T], info: &cpal::OutputCallbackInfo| {
        hurry.take().into_iter().for_each(|hurry| hurry());
        let at = info.timestamp();
        told.lags_by(at.playback.duration_since(at.callback));
        callback.play(buffer, T::from_sample);
    };
    device.build_output_stream(config, copy, on_error(gauge), Some(OPEN_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: 64, max: 4_096 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffer, format)
    }

    #[test]
    fn the_best_configuration_is_chosen() {
        use SampleFormat::{DsdU8, F32, I16, U8};
        for (ranges, channels, expected) in [
            (vec![range(2, (44_100, 48_000), I16), range(1, (8_000, 96_000), F32)], 1, Some((48_000, 1, F32))),
            (vec![range(2, (44_100, 44_100), F32), range(6, (48_000, 48_000), I16)], 2, Some((48_000, 6, I16))),
            (vec![range(1, (8_000, 16_000), I16)], 2, Some((16_000, 1, I16))),
            (vec![range(2, (96_000, 192_000), U8)], 2, Some((96_000, 2, U8))),
            (vec![range(2, (48_000, 48_000), DsdU8)], 2, None),
            (vec![range(2, (1, 1_000), I16), range(0, (48_000, 48_000), I16)], 2, None),
            (vec![], 2, None),
        ] {
            let choice = choose(ranges.into_iter(), channels).map(|c| (c.rate, c.channels, c.format));
            assert_eq!(choice, expected);
        }
    }

    #[test]
    fn buffers_stay_within_what_the_device_takes() {
        let choice = |buffer| Choice { rate: 48_000, channels: 1, format: SampleFormat::F32, buffer };
        for (buffer, expected) in [
            (SupportedBufferSize::Unknown, vec![240, 480, 960, 1_920]),
            (SupportedBufferSize::Range { min: 1, max: 100_000 }, vec![240, 480, 960, 1_920]),
            (SupportedBufferSize::Range { min: 1_024, max: 1_024 }, vec![1_024]),
            (SupportedBufferSize::Range { min: 600, max: 1_000 }, vec![600, 960, 1_000]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(Some).chain([None]).collect();
            let usual = shortest(Buffers::Usual, 0);
            assert_eq!(buffers(&choice(buffer), &PERIODS_US[usual..]).collect::<Vec<_>>(), expected);
        }
        let choice = choice(SupportedBufferSize::Unknown);
        assert_eq!(buffers(&choice, &PERIODS_US[shortest(Buffers::Least, 0)..]).next(), Some(Some(120)));
        assert_eq!(shortest(Buffers::Least, 1), shortest(Buffers::Usual, 0));
        assert_eq!(shortest(Buffers::Usual, 9), PERIODS_US.len() - 1);
    }

    #[test]
    fn every_fault_has_words() {
        assert_eq!((fault_text(0), fault_text(1)), (None, None));
        for (kind, text) in FAULTS {
            assert_eq!(fault_text(fault_code(kind)), Some(text));
        }
        assert_eq!(fault_text(fault_code(ErrorKind::BackendError)), Some("its driver failed"));
    }
}
