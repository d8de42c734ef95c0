//! The window's loop without a display: the same pictures are wanted, composed and counted, at the same pace.

use std::sync::Arc;
use std::time::Duration;

use crate::conference::view::View;
use crate::device::clock::Clock;
use crate::pipeline::slot::{PictureInfo, Waker};
use crate::time::Timestamp;
use crate::ui::app::{self, App};
use crate::ui::pace::Pace;
use crate::ui::screenshot::Screenshots;
use crate::ui::{Error, Options};

/// Time between looks at the conference.
pub(super) const VIEW_EVERY: Duration = Duration::from_millis(33);

/// Whether it is time for another look. A picture that just came goes first, unless the last look is twice as long ago.
pub(super) fn look_due(now: Timestamp, viewed: Timestamp, picture_came: bool) -> bool {
    now.since(viewed) >= if picture_came { 2 * VIEW_EVERY } else { VIEW_EVERY }
}

/// Composes until the view says that the conference has ended, or until `until`. `feed` gives the conference as it is now,
/// some thirty times a second; `on_shown` is told each picture the moment the frame it is in would go to the window.
pub fn run(
    mut feed: impl FnMut() -> View,
    mut on_shown: impl FnMut(u64, &PictureInfo),
    clock: &Clock,
    options: &Options,
    until: Option<Timestamp>,
) -> Result<(), Error> {
    let waker = Arc::new(Waker::default());
    let scale = options.scale.unwrap_or(1.0);
    let preferences = options.preferences;
    let mut app = App::new(options.size, app::Options { scale, waker: waker.clone(), preferences, system_fonts: true });
    let mut pace = Pace::new(options.fps);
    let mut viewed = clock.now();
    let mut shots = options.screenshot.as_deref().map(|path| Screenshots::new(path, viewed)).transpose()?;
    let mut view = feed();
    let mut picture_came = false;
    loop {
        let now = clock.now();
        if view.ended || until.is_some_and(|end| now >= end) {
            break;
        }
        if look_due(now, viewed, picture_came) {
            (view, viewed) = (feed(), now);
        }
        let rest = pace.rest(now);
        let mut wait = VIEW_EVERY.saturating_sub(now.since(viewed));
        if rest > Duration::ZERO {
            wait = rest;
        } else {
            let output = app.frame(&view, egui::RawInput::default(), now);
            output.shown.iter().for_each(|(key, info)| on_shown(*key, info));
            if output.changed {
                pace.painted(now, clock.now());
            }
            if let Some(shots) = &mut shots {
                shots.offer(app.pixels(), app.size(), now);
            }
            wait = output.repaint_after.map_or(wait, |after| wait.min(after));
        }
        let left = until.map_or(wait, |end| wait.min(end.since(now)));
        picture_came = waker.wait(left.max(Duration::from_micros(200)));
    }
    shots.map_or(Ok(()), |shots| shots.finish(app.pixels(), app.size()))
}
