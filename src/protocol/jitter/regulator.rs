//! What keeps the delay at its target: resampling for the drift of the clocks, cuts in step with the pitch for all else.
//!
//! ```text
//! error = delay - target
//!   within +-12 ms   -> speed = 1 + error / 3..60 s + drift,   drift = how the error grows, in the first minute; then what
//!                       it adds up to (a PI controller)
//!   beyond           -> a wish to shorten or to lengthen, until the error is nearly gone; a target that was set by
//!                       purpose is reached so from any error
//! ```
//! A drift is known well enough within ten seconds, and from then on the speed changes by two parts in a million a second, so
//! that a tone stays one: over four seconds all else is 43 dB below it. Both act on the same delay of the same buffer. Only
//! what nothing else explains is drift: not the error with which a talk spurt begins, not a target or a path that changed, and
//! not what was cut away. All values are samples at 48 kHz. Must never look at a clock.

use super::delay::PER_MS;
use super::slope::Slope;

/// Error above which audio is shortened.
const FASTER_ON: f64 = (12 * PER_MS) as f64;
/// Error at which that is enough: no period is shorter.
const FASTER_OFF: f64 = (PER_MS * 5 / 2) as f64;
/// Error below which audio is lengthened.
const SLOWER_ON: f64 = (-8 * PER_MS) as f64;
/// Error at which that is enough.
const SLOWER_OFF: f64 = -PER_MS as f64;
/// Error above which no time is to be lost.
const FAR: f64 = (60 * PER_MS) as f64;
/// Likeness asked of the two sides of a cut at first.
const LIKENESS: f64 = 0.9;
/// It is asked for less and less, so that after this time everything is cut.
const PATIENCE: f64 = (1_500 * PER_MS) as f64;
/// A wish that stays unfulfilled for this long shows a drift, and keeps from learning it no more.
const STUCK: i64 = 2_000 * PER_MS;
/// Audio played between two cuts.
const PACE: i64 = 35 * PER_MS;
/// The same while far off.
const PACE_FAR: i64 = 18 * PER_MS;
/// An error would be resampled away in this time, if it stayed as it is: at first, while the drift is unknown.
const REGULATION_FIRST: f64 = (3_000 * PER_MS) as f64;
/// The same later; it grows by three times what is played.
const REGULATION: f64 = (12_000 * PER_MS) as f64;
/// An error smaller than this is answered the more gently, down to this factor and the longer it plays: most of it is the
/// network's.
const CALM: f64 = (3 * PER_MS) as f64;
/// See [`CALM`].
const GENTLEST: f64 = 0.2;
/// Most of the error that the speed answers.
const ERROR_MAX: f64 = (3 * PER_MS) as f64;
/// Most of the error that drift is learnt from: what is larger came at once.
const LEARN_MAX: f64 = PER_MS as f64;
/// The error is smoothed over this time.
const SMOOTH: f64 = (700 * PER_MS) as f64;
/// Time played in which the drift is the slope of the error; from then on it is what errors add up to.
const FIRST: f64 = (60_000 * PER_MS) as f64;
/// Time played of a talk spurt in which the speed changes as it must.
const FREE: f64 = (9_000 * PER_MS) as f64;
/// Change of the speed per sample, later: two parts in a million a second, so that a tone stays one.
const SLEW: f64 = 2e-6 / (1_000 * PER_MS) as f64;
/// So many times that, while the error is larger than [`FAR_OFF`], or the speed wrong by more than [`FAR_STEP`].
const SLEW_FAR: f64 = 10.0;
/// See [`SLEW_FAR`].
const FAR_OFF: f64 = (PER_MS * 5 / 2) as f64;
/// See [`SLEW_FAR`].
const FAR_STEP: f64 = 0.000_06;
/// Largest drift believed.
const DRIFT_MAX: f64 = 0.000_8;

/// A cut that is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// To shorten, or else to lengthen.
    pub shorten: bool,
    /// How much both sides are to be alike, -1..1.
    pub likeness: f32,
    /// Most samples.
    pub most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    shorten: bool,
    /// Audio played since it is wanted, and since the last cut.
    waited: i64,
    rest: i64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Regulator {
    error: f64,
    /// What would be left of the error playing began with, and of those that came with a change of anything but the clocks,
    /// if there were no drift; and the same, smoothed.
    first: f64,
    first_answered: f64,
    /// The error beyond that, smoothed: what drift leaves.
    unexplained: f64,
    drift: f64,
    /// The error as if nothing had been done about it, less the present one; and how it grows.
    done: f64,
    slope: Slope,
    /// Audio consumed per sample played, less 1.
    speed: f64,
    /// What was played, and what of it since playing began last.
    age: f64,
    spurt: f64,
    turn: Option<Turn>,
    wanted: f64,
    /// Somebody set the target: it is reached by cuts however small the error is.
    all_the_way: bool,
}

impl Regulator {
    /// Takes note of the delay's `error` after a packet of `samples`; `spare` of it can be taken away for certain.
    pub(super) fn observe(&mut self, error: f64, spare: f64, samples: i64) {
        let passed = samples as f64;
        let (shorten, lengthen) = (spare.min(error), error);
        let (faster_on, slower_on) = if self.all_the_way { (FASTER_OFF, SLOWER_OFF) } else { (FASTER_ON, SLOWER_ON) };
        self.turn = match self.turn {
            Some(t) if t.shorten && shorten > FASTER_OFF => Some(t),
            Some(t) if !t.shorten && lengthen < SLOWER_OFF => Some(t),
            _ if shorten > faster_on => Some(Turn { shorten: true, waited: 0, rest: PACE }),
            _ if lengthen < slower_on => Some(Turn { shorten: false, waited: 0, rest: PACE }),
            _ => None,
        };
        self.all_the_way &= self.turn.is_some();
        if let Some(turn) = &mut self.turn {
            turn.waited += samples;
            turn.rest += samples;
            self.wanted = if turn.shorten { shorten } else { -lengthen };
        }
        let smooth = (passed / SMOOTH).min(1.0);
        self.error += (error.clamp(-ERROR_MAX, ERROR_MAX) - self.error) * smooth;
        self.first_answered += (self.first.clamp(-ERROR_MAX, ERROR_MAX) - self.first_answered) * smooth;
        self.first -= self.first_answered * passed / self.regulation();
        // It explains no more than there is.
        self.first = self.first.clamp(error.min(0.0) - ERROR_MAX, error.max(0.0) + ERROR_MAX);
        self.unexplained += ((error - self.first).clamp(-ERROR_MAX, ERROR_MAX) - self.unexplained) * smooth;
        self.done += self.speed * passed;
        self.slope.observe(error + self.done, passed);
        self.age += passed;
        self.spurt += passed;
        self.learn(passed);
        self.steer(passed);
    }

    fn learn(&mut self, passed: f64) {
        if self.age < FIRST {
            self.drift += (self.slope.get() - self.drift) * (passed / SMOOTH).min(1.0);
        } else if self.turn.is_none_or(|turn| turn.waited >= STUCK) {
            // Damped just so that it does not swing: a quarter of the square of the other factor.
            self.drift +=
                self.unexplained.clamp(-LEARN_MAX, LEARN_MAX) / self.regulation() * passed / self.regulation() / 4.0;
        }
        self.drift = self.drift.clamp(-DRIFT_MAX, DRIFT_MAX);
    }

    /// Lets the speed follow what the error and the drift ask for.
    fn steer(&mut self, passed: f64) {
        let step = self.error / self.regulation() + self.drift - self.speed;
        let most = if self.spurt < FREE {
            f64::MAX
        } else {
            SLEW * passed * if self.error.abs() > FAR_OFF || step.abs() > FAR_STEP { SLEW_FAR } else { 1.0 }
        };
        self.speed += step.clamp(-most, most);
    }

    /// The cut that is due now.
    pub(super) fn wish(&self) -> Option<Wish> {
        let turn = self.turn?;
        let pace = if self.wanted > FAR { PACE_FAR } else { PACE };
        let likeness = LIKENESS - (1.0 + LIKENESS) * (turn.waited as f64 / PATIENCE).min(1.0);
        let most = self.wanted.max(0.0) as usize;
        (turn.rest >= pace).then_some(Wish { shorten: turn.shorten, likeness: likeness as f32, most })
    }

    /// The target has been set by who measures the whole way to the ear: what is left of the error is heard there.
    pub(super) fn go_all_the_way(&mut self) {
        self.all_the_way = true;
    }

    /// The error changes by so much, which is no drift.
    pub(super) fn explain(&mut self, by: f64) {
        self.first += by;
        self.done -= by;
    }

    /// A cut was made.
    pub(super) fn cut(&mut self, shortened: bool, samples: i64) {
        self.wanted -= samples as f64;
        self.explain(if shortened { -samples } else { samples } as f64);
        if let Some(turn) = &mut self.turn {
            (turn.rest, turn.waited) = (0, 0);
        }
    }

    /// Playing begins with this error. What is known of the drift stays: the clocks go on.
    pub(super) fn start(&mut self, error: f64) {
        (self.error, self.unexplained, self.first, self.first_answered) = (0.0, 0.0, error, 0.0);
        self.spurt = 0.0;
        self.slope.start();
        self.speed = self.drift;
        // Nobody asked at the right moment; the beginning of a word is the best place to catch up.
        self.turn = (error > FASTER_OFF).then_some(Turn { shorten: true, waited: 0, rest: PACE });
    }

    /// Audio consumed per sample played.
    pub(super) fn speed(&self) -> f64 {
        1.0 + self.speed
    }

    fn regulation(&self) -> f64 {
        let calm = (self.error.abs().max(self.unexplained.abs()) / CALM).powi(2).clamp(GENTLEST, 1.0);
        (REGULATION_FIRST + 3.0 * self.age).min(REGULATION / calm).min(REGULATION + 3.0 * self.spurt)
    }

    /// How much faster the talker's clock runs than the one it is played by, in parts per million.
    pub(super) fn drift_ppm(&self) -> f64 {
        self.drift * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: i64 = 20 * PER_MS;

    /// Runs the loop over a buffer whose delay grows by `ppm`; returns the errors in ms, one a second.
    fn regulated(ppm: f64, first_ms: f64, seconds: usize) -> (Regulator, Vec<f64>) {
        let (mut r, mut error) = (Regulator::default(), first_ms * PER_MS as f64);
        let errors = (0..seconds * 50).map(|_| {
            error += PACKET as f64 * (1.0 + ppm / 1e6 - r.speed());
            r.observe(error, error, PACKET);
            if let Some(wish) = r.wish() {
                error += wish.most.min(300) as f64 * if wish.shorten { -1.0 } else { 1.0 };
                r.cut(wish.shorten, wish.most.min(300) as i64);
            }
            error / PER_MS as f64
        });
        let errors = errors.collect::<Vec<_>>().chunks(50).map(|second| second[49]).collect();
        (r, errors)
    }

    #[test]
    fn drift_is_learnt_and_leaves_no_error() {
        for ppm in [-500.0, -300.0, -20.0, 0.0, 100.0, 300.0, 500.0] {
            let (r, errors) = regulated(ppm, 0.0, 600);
            let worst = errors.iter().fold(0.0f64, |worst, e| worst.max(e.abs()));
            assert!(worst < 4.0, "{ppm}: {worst} ms");
            assert!(errors[599].abs() < 0.3 && (r.drift_ppm() - ppm).abs() < 5.0, "{ppm}: {}", r.drift_ppm());
        }
    }

    #[test]
    fn an_error_that_comes_at_once_goes_without_swinging() {
        for first_ms in [-7.0, -4.0, 2.0, 4.0, 8.0, 11.0] {
            let (mut r, mut error, mut beyond) = (Regulator::default(), 0.0f64, 0.0f64);
            for n in 0..300 * 50 {
                if n == 90 * 50 {
                    error += first_ms * PER_MS as f64;
                }
                error += PACKET as f64 * (1.0 + 100e-6 - r.speed());
                r.observe(error, error, PACKET);
                assert_eq!(r.wish(), None);
                if n > 90 * 50 {
                    beyond = beyond.max(-error * first_ms.signum());
                }
            }
            let [end, beyond] = [error, beyond].map(|error| error / PER_MS as f64);
            assert!(beyond < 2.6 && end.abs() < 2.0, "{first_ms} ms: {beyond} ms beyond, {end} ms at the end");
        }
    }

    #[test]
    fn short_talk_spurts_that_all_begin_late_teach_no_drift_but_what_there_is() {
        for (ppm, first_ms) in [(0.0, 6.0), (0.0, -5.0), (0.0, 2.0), (200.0, 6.0), (-200.0, 6.0)] {
            let mut r = Regulator::default();
            for _ in 0..1_000 {
                let mut error = first_ms * PER_MS as f64;
                r.start(error);
                for _ in 0..100 {
                    error += PACKET as f64 * (1.0 + ppm / 1e6 - r.speed());
                    r.observe(error, 0.0, PACKET);
                }
            }
            assert!((r.drift_ppm() - ppm).abs() < 60.0, "{ppm} from {first_ms} ms: {}", r.drift_ppm());
        }
    }

    #[test]
    fn talk_spurts_whose_beginning_is_cut_away_teach_no_drift_either() {
        for (ppm, first_ms) in [(0.0, 60.0), (0.0, 20.0), (300.0, 60.0), (-300.0, 60.0), (0.0, -30.0)] {
            let mut r = Regulator::default();
            let mut worst = 0.0f64;
            for spurt in 0..2_000 {
                let mut error = first_ms * PER_MS as f64;
                r.start(error);
                for _ in 0..100 {
                    error += PACKET as f64 * (1.0 + ppm / 1e6 - r.speed());
                    r.observe(error, error, PACKET);
                    if let Some(wish) = r.wish().filter(|wish| wish.most >= 120) {
                        let samples = wish.most.min(320);
                        error += samples as f64 * if wish.shorten { -1.0 } else { 1.0 };
                        r.cut(wish.shorten, samples as i64);
                    }
                }
                if spurt >= 1_900 {
                    worst = worst.max((r.drift_ppm() - ppm).abs());
                }
            }
            assert!(worst < 60.0, "{ppm} from {first_ms} ms: {worst} off");
        }
    }

    #[test]
    fn a_cut_is_wished_for_from_the_exact_edge_until_the_error_is_small() {
        for (error, expected) in
            [(FASTER_ON, None), (FASTER_ON + 1.0, Some(true)), (SLOWER_ON, None), (SLOWER_ON - 1.0, Some(false))]
        {
            let mut r = Regulator::default();
            r.observe(error, error, PACKET);
            assert_eq!(r.wish().map(|w| w.shorten), expected, "{error}");
        }
        let mut r = Regulator::default();
        r.observe(FASTER_ON + 1.0, FASTER_ON + 1.0, PACKET);
        r.observe(FASTER_OFF + 1.0, FASTER_OFF + 1.0, PACKET);
        assert_eq!(r.wish().map(|w| w.most), Some(FASTER_OFF as usize + 1));
        r.observe(FASTER_OFF, FASTER_OFF, PACKET);
        assert_eq!(r.wish(), None);
        // What is not there for certain is not taken away.
        r.observe(10.0 * FASTER_ON, 0.0, PACKET);
        assert_eq!(r.wish(), None);
    }

    #[test]
    fn a_target_set_on_purpose_is_reached_from_a_small_error_and_once() {
        for first_ms in [-7.0, 7.0] {
            let (mut r, mut error, mut cuts) = (Regulator::default(), first_ms * PER_MS as f64, 0);
            r.observe(error, error, PACKET);
            assert_eq!(r.wish(), None, "{first_ms}");
            r.go_all_the_way();
            for _ in 0..100 {
                r.observe(error, error, PACKET);
                if let Some(wish) = r.wish() {
                    error += wish.most.min(150) as f64 * if wish.shorten { -1.0 } else { 1.0 };
                    r.cut(wish.shorten, wish.most.min(150) as i64);
                    cuts += 1;
                }
            }
            assert!(error.abs() <= FASTER_OFF && cuts > 1, "{first_ms}: {error} after {cuts}");
            // As patient as ever from then on.
            r.observe(first_ms * PER_MS as f64, first_ms * PER_MS as f64, PACKET);
            assert_eq!(r.wish(), None, "{first_ms}");
        }
    }

    #[test]
    fn cuts_keep_apart_and_become_less_choosy() {
        let mut r = Regulator::default();
        let far = 2.0 * FAR;
        r.observe(far, far, PACKET);
        let first = r.wish().expect("wanted");
        assert!(first.likeness > 0.85);
        for _ in 0..PATIENCE as i64 / PACKET {
            r.observe(far, far, PACKET);
        }
        assert_eq!(r.wish().map(|w| w.likeness), Some(-1.0));
        r.cut(true, 400);
        assert_eq!(r.wish(), None, "not at once");
        r.observe(far, far, PACKET);
        assert!(r.wish().is_some_and(|w| w.likeness > 0.85), "far off each packet is cut");
        r.cut(true, 400);
        r.observe(FAR, FAR, PACKET);
        assert_eq!(r.wish(), None, "near, every other");
        r.observe(FAR, FAR, PACKET);
        assert!(r.wish().is_some());
    }
}
