//! How good the connection to somebody is, and why not better.

use crate::conference::view::{CameraView, PersonView};
use crate::ui::words::{Words, fill};

/// What holds a connection back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    Nothing,
    Loss(f32),
    Late(f32),
    Slow(f32),
    Stopped,
}

/// Four bars at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// 0 to 4.
    pub bars: u8,
    cause: Cause,
}

/// Limits of a measured value for three, two and one bar.
fn bars_of(value: f32, limits: [f32; 3]) -> u8 {
    4 - limits.iter().filter(|limit| value >= **limit).count() as u8
}

/// More pictures a second than this nobody misses.
const ENOUGH_PER_S: f32 = 24.0;

/// What share of the pictures that there were to show is shown; all of them while there are next to none. How many a camera
/// makes is its own affair: five a second of five are all.
fn shown_share(shown_per_s: f32, due_per_s: f32) -> f32 {
    let due = due_per_s.min(ENOUGH_PER_S);
    // A picture more or less in a second is chance.
    if due < 1.5 { 1.0 } else { ((shown_per_s + 0.5) / due).min(1.0) }
}

impl Quality {
    /// Of what is received of somebody; `None` while no picture is.
    pub fn of(person: &PersonView) -> Option<Self> {
        let f = &person.figures;
        if person.me || f.layer.is_empty() {
            return None;
        }
        let stopped = matches!(person.camera, CameraView::Frozen(_));
        let late = f.latency_ms.unwrap_or_default();
        let slow = person.camera == CameraView::Live && f.frames_per_s > 0.0;
        // Shares are negative so that more is better, as for the others.
        let share = shown_share(f.frames_per_s, f.due_per_s);
        let all = [
            (if stopped { 0 } else { 4 }, Cause::Stopped),
            (bars_of(f.loss_percent, [0.5, 2.0, 8.0]), Cause::Loss(f.loss_percent)),
            (bars_of(late, [150.0, 400.0, 1_000.0]), Cause::Late(late)),
            (if slow { bars_of(-share, [-0.7, -0.45, -0.2]) } else { 4 }, Cause::Slow(f.frames_per_s)),
        ];
        let (bars, cause) = all.into_iter().min_by_key(|(bars, _)| *bars)?;
        Some(Self { bars, cause: if bars == 4 { Cause::Nothing } else { cause } })
    }

    /// The cause in words.
    pub fn words(&self, words: &Words) -> String {
        match self.cause {
            Cause::Nothing => words.link_good.to_owned(),
            Cause::Loss(percent) => fill(words.link_loss, &[&format!("{percent:.1}")]),
            Cause::Late(ms) => fill(words.link_late, &[&format!("{ms:.0}")]),
            Cause::Slow(fps) => fill(words.link_slow, &[&format!("{fps:.1}")]),
            Cause::Stopped => words.link_none.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::view::PersonFigures;
    use crate::ui::words::Language;

    fn quality(loss_percent: f32, latency_ms: Option<f32>, frames_per_s: f32, camera: CameraView) -> (u8, String) {
        of_rate(loss_percent, latency_ms, (frames_per_s, 30.0), camera)
    }

    fn of_rate(
        loss_percent: f32,
        latency_ms: Option<f32>,
        (frames_per_s, due_per_s): (f32, f32),
        camera: CameraView,
    ) -> (u8, String) {
        let layer = "full";
        let figures = PersonFigures { layer, loss_percent, latency_ms, frames_per_s, due_per_s, ..Default::default() };
        let person = PersonView { camera, figures, ..PersonView::new(1, "Ada") };
        let quality = Quality::of(&person).unwrap();
        (quality.bars, quality.words(Language::English.words()))
    }

    #[test]
    fn the_worst_of_it_is_told() {
        let live = || CameraView::Live;
        assert_eq!(quality(0.4, Some(20.0), 30.0, live()), (4, "The connection is good.".into()));
        assert_eq!(quality(0.5, None, 30.0, live()), (3, "0.5 % of the pictures' packets are lost.".into()));
        assert_eq!(quality(9.0, Some(500.0), 30.0, live()).0, 1);
        assert_eq!(quality(0.0, Some(500.0), 30.0, live()), (2, "Pictures come 500 ms late.".into()));
        assert_eq!(quality(0.0, None, 3.0, live()), (1, "Only 3.0 pictures a second come.".into()));
        assert_eq!(quality(0.0, None, 0.0, CameraView::Frozen(3)), (0, "Pictures have stopped coming.".into()));
    }

    #[test]
    fn a_camera_of_few_pictures_is_no_bad_connection() {
        let bars = |shown, due| of_rate(0.0, None, (shown, due), CameraView::Live).0;
        for per_s in [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0] {
            assert_eq!(bars(per_s, per_s), 4, "{per_s} of {per_s}");
        }
        assert_eq!(bars(4.0, 5.0), 4, "one more or less is chance");
        assert_eq!([bars(15.0, 30.0), bars(8.0, 30.0), bars(2.0, 30.0)], [3, 2, 1]);
        assert_eq!(bars(24.0, 60.0), 4, "nobody misses the others");
    }
}
