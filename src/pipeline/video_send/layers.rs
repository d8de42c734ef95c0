//! The layers of one camera: each frame to those that somebody wants, at their sizes and rates.
//!
//! A smaller layer is scaled from the next larger one that was scaled for the same frame.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::stream::{Error, OutgoingVideo, VideoSendStats};
use super::{LayerConfig, StreamConfig, Tuning};
use crate::device::clock::Clock;
use crate::media::convert::Scaler;
use crate::media::jpeg::{self, Conforming};
use crate::media::picture::Yuv;
use crate::protocol::layers::{self, Thinner};
use crate::time::Timestamp;
use crate::wire::Layer;

/// One layer.
struct Sent {
    layer: Layer,
    outgoing: OutgoingVideo,
    tuning: Tuning,
    thinner: Thinner,
    /// The frame, when this layer has to scale it.
    scaled: Yuv,
    /// Whether `scaled` is of the present frame.
    fresh: bool,
    /// Whether the present frame is to be sent.
    due: bool,
    stats: Arc<VideoSendStats>,
}

/// All layers, the largest first.
pub(super) struct Layers {
    sent: Vec<Sent>,
    scaler: Scaler,
}

impl Layers {
    pub(super) fn new(configs: Vec<LayerConfig>, clock: &Clock) -> Result<Self, jpeg::Error> {
        let mut sent = Vec::with_capacity(configs.len());
        for LayerConfig { layer, stream, egress } in configs {
            let stats = Arc::new(VideoSendStats::default());
            sent.push(Sent {
                layer,
                tuning: Tuning::full(stream.quality),
                outgoing: OutgoingVideo::new(stream, egress, clock, Arc::clone(&stats))?,
                thinner: Thinner::default(),
                scaled: Yuv::default(),
                fresh: false,
                due: false,
                stats,
            });
        }
        sent.sort_by_key(|s| std::cmp::Reverse(s.layer));
        Ok(Self { sent, scaler: Scaler::default() })
    }

    pub(super) fn stats(&self) -> Vec<(Layer, Arc<VideoSendStats>)> {
        self.sent.iter().map(|s| (s.layer, Arc::clone(&s.stats))).collect()
    }

    pub(super) fn tune(&mut self, layer: Layer, tuning: Tuning) {
        for sent in self.sent.iter_mut().filter(|s| s.layer == layer) {
            sent.outgoing.set_quality(tuning.quality);
            sent.tuning = tuning;
        }
    }

    /// The layers go on as other streams.
    pub(super) fn begin(&mut self, streams: Vec<(Layer, StreamConfig)>) {
        for (layer, stream) in streams {
            for sent in self.sent.iter_mut().filter(|s| s.layer == layer) {
                let quality = sent.tuning.quality;
                sent.outgoing.begin(StreamConfig { quality, ..stream.clone() });
            }
        }
    }

    /// Sends the reports that are due.
    pub(super) fn report(&mut self) {
        self.sent.iter_mut().for_each(|sent| sent.outgoing.report());
    }

    /// Says goodbye on every layer.
    pub(super) fn bye(&mut self) {
        self.sent.iter_mut().for_each(|sent| sent.outgoing.bye());
    }

    /// Notes which layers the frame captured at `at`, of size `native`, is to be sent in. Returns whether any needs its
    /// planes, `passable` saying whether the camera's own JPEG may go out in the largest.
    pub(super) fn plan(&mut self, at: Timestamp, native: (usize, usize), passable: bool) -> bool {
        let mut planes = false;
        for sent in &mut self.sent {
            sent.fresh = false;
            sent.due = layers::size(sent.layer, native).is_some()
                && sent.outgoing.is_wanted()
                && sent.thinner.takes(at, sent.tuning.fps_milli);
            planes |= sent.due && !(passable && sent.passes());
        }
        planes
    }

    /// Sends the camera's own JPEG in the layer that takes it as it is.
    pub(super) fn send_jpeg(
        &mut self,
        jpeg: &Conforming,
        at: Timestamp,
        pause: &mut impl FnMut(Duration),
        note: &mut impl FnMut(&VideoSendStats, Result<(), Error>),
    ) {
        for sent in self.sent.iter_mut().filter(|s| s.due && s.passes()) {
            sent.due = false;
            note(&sent.stats, sent.outgoing.send_jpeg(jpeg, at, pause));
        }
    }

    /// Sends the frame in every layer it is still due in.
    pub(super) fn send_picture(
        &mut self,
        picture: &Yuv,
        at: Timestamp,
        pause: &mut impl FnMut(Duration),
        note: &mut impl FnMut(&VideoSendStats, Result<(), Error>),
    ) {
        let native = (picture.width, picture.height);
        for n in 0..self.sent.len() {
            let (larger, rest) = self.sent.split_at_mut(n);
            let Some(sent) = rest.first_mut().filter(|s| s.due) else { continue };
            let Some(whole) = layers::size(sent.layer, native) else { continue };
            let size = layers::reduced(whole, sent.tuning.sixteenths);
            let from = larger.iter().rev().find(|l| l.fresh && covers(&l.scaled, size)).map_or(picture, |l| &l.scaled);
            let frame = if size == native {
                picture
            } else {
                self.scaler.scale(from, size.0, size.1, &mut sent.scaled);
                sent.fresh = true;
                &sent.scaled
            };
            note(&sent.stats, sent.outgoing.send_picture(frame, at, pause));
        }
    }
}

impl Sent {
    /// Whether a camera's JPEG goes out in it as it is.
    fn passes(&self) -> bool {
        self.layer == Layer::Full && self.tuning.pass && self.tuning.sixteenths >= 16
    }
}

fn covers(picture: &Yuv, size: (usize, usize)) -> bool {
    picture.width >= size.0 && picture.height >= size.1
}

/// Notes that a frame could not be sent.
pub(super) fn note(stats: &VideoSendStats, outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        // One line for each power of two keeps a camera that always fails from filling the log.
        let failed = stats.frames_failed.fetch_add(1, Ordering::Relaxed) + 1;
        if failed.is_power_of_two() {
            tracing::warn!(%error, failed, "frames of the camera cannot be sent");
        }
    }
}
