//! From mouth to ear: words at one microphone, found again at the other's speaker by cross-correlation.
//!
//! What remains beside the program's own parts is the sound server's: it hands over sound in periods.
//!
//! `SOUND_TEST_SECONDS` sets how long is spoken, 12 by default. Where nothing else runs, figures are those of the program; on a
//! busy machine they are those of the machine, so nothing but gross delays fails here.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex32;

use crate::common::peer::{PROGRAM, Peer, SOON};
use crate::common::sandbox::sandboxed;
use crate::common::stats::Stats;
use crate::pulse::{self, Pulse, Recording};
use crate::room;
use crate::tone::RATE;

/// A lag is looked for in windows so long, so far apart, and up to so much.
const WINDOW_S: f64 = 1.0;
const STEP_S: f64 = 0.25;
const LAG_S_MAX: f64 = 0.4;
/// Windows less alike than this hold no words, or lost them.
const ALIKE: f32 = 0.4;

/// Where `heard` is most like `said`, in samples, and how much.
fn lag(said: &[f32], heard: &[f32]) -> (usize, f32) {
    let length = (said.len() + heard.len()).next_power_of_two();
    let mut planner = FftPlanner::new();
    let spectrum = |samples: &[f32], planner: &mut FftPlanner<f32>| {
        let mut all: Vec<Complex32> = samples.iter().map(|s| Complex32::new(*s, 0.0)).collect();
        all.resize(length, Complex32::default());
        planner.plan_fft_forward(length).process(&mut all);
        all
    };
    let (a, b) = (spectrum(said, &mut planner), spectrum(heard, &mut planner));
    let mut product: Vec<Complex32> = a.iter().zip(&b).map(|(a, b)| a.conj() * b).collect();
    planner.plan_fft_inverse(length).process(&mut product);
    let lags = heard.len() - said.len();
    let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>();
    // High passes turn the phase: the sign counts as little as a loudspeaker's wires.
    let (at, value) =
        (0..=lags).map(|i| (i, product[i].re.abs())).max_by(|x, y| x.1.total_cmp(&y.1)).unwrap_or_default();
    let whole = (power(said) * power(&heard[at..at + said.len()])).sqrt();
    (at, value / length as f32 / whole.max(f32::MIN_POSITIVE))
}

/// All lags found, in ms, sorted; and how many windows held words.
fn lags(said: &Recording, heard: &Recording) -> (Vec<f64>, usize) {
    let samples = |s: f64| (s * f64::from(RATE)) as usize;
    let later = heard.start_s - said.start_s;
    let power = |samples: &[f32]| samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
    let (mut all, mut words) = (Vec::new(), 0);
    let last = said.samples.len() as f64 / f64::from(RATE) - WINDOW_S - LAG_S_MAX;
    let mut at = 0.1f64.max(later);
    while at < last {
        let window = &said.samples[samples(at)..][..samples(WINDOW_S)];
        let from = samples(at - later);
        if power(window) > 1e-4
            && let Some(there) = heard.samples.get(from..from + samples(WINDOW_S + LAG_S_MAX))
        {
            words += 1;
            let (lag, alike) = lag(window, there);
            if alike > ALIKE {
                // Both starts are rounded to samples.
                let exact = from as f64 / f64::from(RATE) - (at - later);
                all.push(1_000.0 * (lag as f64 / f64::from(RATE) + exact));
            }
        }
        at += STEP_S;
    }
    all.sort_by(f64::total_cmp);
    (all, words)
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Ada speaks and Bob hears, both with packets of that length and these options; the median and the 95th percentile in ms.
fn measure(what: &str, words: &[f32], frame_ms: &str, options: &[&str]) -> (f64, f64) {
    let pulse = Pulse::start(&["ada", "bob"]);
    let common = ["--interface", "127.0.0.1", "--camera", "none", "--microphone", "auto", "--speaker", "auto"];
    let options = [&common[..], options].concat();
    let program = |name| {
        let mut command = pulse.command(name, PROGRAM);
        command.env("ROUNDTABLE_AUDIO_FRAME_MS", frame_ms);
        command
    };
    let ada = Peer::start(program("ada"), "Ada", "Mouth", &options);
    let bob = Peer::join(program("bob"), "Bob", "Mouth", &options);
    bob.await_stats(SOON, "hears Ada", |s| s.packets_heard("Ada") > 5.0);
    // Long enough for the delay to have settled: what begins waits for the first guess, and silence tells nothing.
    pulse.play(&words[..words.len().min(5 * RATE as usize)], "ada_in");
    let said = pulse.record("ada_in.monitor");
    let heard = pulse.record("bob_out.monitor");
    pulse.play(words, "ada_in");
    let (said, heard) = (said.end(), heard.end());
    let (sent, played) = (ada.stats().expect("statistics"), bob.stats().expect("statistics"));
    let (all, windows) = lags(&said, &heard);
    // A machine that is busy breaks up words.
    assert!(4 * all.len() > windows && windows > 8, "{what}: found {} of {windows} windows with words", all.len());
    let (median, p95) = (quantile(&all, 0.5), quantile(&all, 0.95));
    let part = |stats: &Stats, name: &str| stats.person("Ada")["audio"][name].as_f64().unwrap_or(f64::NAN);
    println!(
        "{what:15} mouth to ear: median {median:5.1} ms, p95 {p95:5.1}, of {} windows; of it: capture {:.1}, jitter buffer {:.1} (target {:.1}), \
         speaker's ring {:.1}; concealed {:.0} ms, late {}",
        all.len(),
        sent.voice()["capture_ms"].as_f64().unwrap_or(f64::NAN),
        part(&played, "buffer_ms"),
        part(&played, "target_ms"),
        part(&played, "device_ms"),
        part(&played, "concealed_ms"),
        part(&played, "packets_late"),
    );
    (median, p95)
}

#[test]
fn words_are_heard_soon_and_sooner_with_low_delay() {
    if let Err(why) = pulse::installed() {
        println!("SKIPPED: {why}");
        return;
    }
    sandboxed("mouth::words_are_heard_soon_and_sooner_with_low_delay", || {
        let folder = tempfile::tempdir().expect("temporary folder");
        let Some(words) = room::speech(folder.path()) else { return };
        let words = &words[..words.len().min((crate::seconds() * f64::from(RATE)) as usize)];
        let (usual, _) = measure("default", words, "20", &[]);
        let (headset, _) = measure("headset", words, "20", &["--headset"]);
        let (bare, _) = measure("as it is", words, "20", &crate::AS_IT_IS);
        let (short, _) = measure("as it is, 10 ms", words, "10", &crate::AS_IT_IS);
        let (low, _) = measure("low delay", words, "20", &["--low-delay"]);
        // The same machine, minutes apart: a third of the delay, in quiet.
        assert!(low < usual && usual < 400.0, "{low} ms with low delay, {usual} ms without");
        // What is added in series tells by far more than the machine's noise.
        assert!([headset, bare, short].iter().all(|ms| *ms < usual + 20.0), "{usual}, {headset}, {bare}, {short}");
    });
}

#[test]
fn a_lag_is_found_to_the_sample() {
    let mut random = 1u32;
    let noise: Vec<f32> = (0..20_000)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) as f32 / 32_768.0 - 1.0
        })
        .collect();
    for expected in [0, 1, 1_234, 4_000] {
        let mut heard = vec![0.0; expected];
        heard.extend(noise[..9_600].iter().map(|s| -0.3 * s));
        heard.resize(9_600 + 4_000, 0.1);
        let (lag, alike) = lag(&noise[..9_600], &heard);
        assert!(lag == expected && alike > 0.99, "{lag} {alike} {expected}");
    }
}
