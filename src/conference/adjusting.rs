//! How the own picture is sent, second by second: what receivers report, what others send, what this machine can do.
//!
//! It gathers the figures; [`sender`] decides.

use std::sync::atomic::Ordering::Relaxed;

use super::director::Director;
use super::view::NoticeKind;
use crate::pipeline::video_send::Tuning;
use crate::protocol::adaptation::choice::Offer;
use crate::protocol::adaptation::sender::{self, Seen, Sender, Setting, Share};
use crate::protocol::layers;
use crate::protocol::roster::{Camera, StreamInfo};
use crate::protocol::session::Reception;
use crate::time::Timestamp;
use crate::wire::{Layer, StreamKind};

/// Megabits a second of `full` where many send, so that a gallery of all and one in full fit half a cable of 100.
const CROWDED_MBIT: u32 = 18;
/// What a camera is taken to give.
const CAMERA_FPS_MILLI: u32 = 30_000;
/// Below this share of the time, in thousandths, a machine is not what keeps frames away.
const IDLE_MILLI: u32 = 500;

/// What is remembered from second to second.
pub struct Adjusting {
    sender: Sender,
    full_bytes: u64,
    frames: u64,
    busy_ns: u64,
    /// Frames of the smaller layers, in thousandths of what they have usually.
    pub(super) small_milli: u32,
}

impl Adjusting {
    /// A camera was opened, or none was so far.
    pub fn new(now: Timestamp, quality: u8) -> Self {
        Self { sender: Sender::new(now, quality), full_bytes: 0, frames: 0, busy_ns: 0, small_milli: 1_000 }
    }
}

/// Bits a second of a stream with so many frames.
fn bits_of(stream: &StreamInfo, fps_milli: u32) -> u64 {
    Offer { size: (stream.width as usize, stream.height as usize), fps_milli }.bits_per_s()
}

/// Bits a second of a stream as everybody sends it usually: how many frames its sender leaves out at present must not
/// decide how many are to be left out.
fn usual_bits(stream: &StreamInfo, cameras: usize) -> u64 {
    let StreamKind::Video(layer @ (Layer::Thumb | Layer::Medium)) = stream.kind else { return 0 };
    bits_of(stream, layers::fps_milli(layer, CAMERA_FPS_MILLI, cameras))
}

impl Director {
    /// Somebody told how an own layer arrives.
    pub(super) fn received_by(&mut self, reception: &Reception) {
        let now = self.now();
        self.repairs.reported(now, reception);
        // Who is on a wireless network has a budget of their own, and throttles nobody else.
        let wireless = self.shared.state().people.present(&reception.from).is_some_and(|o| o.person.wireless);
        if reception.row.place.layer() == Layer::Full && !wireless {
            self.adjusting.sender.report(now, reception.from, reception.row.left);
        }
    }

    /// Sends the picture as the last `seconds` suggest.
    pub(super) fn adjust(&mut self, seconds: f32) {
        let now = self.now();
        self.repairs.mind_reports(now);
        let Some(video) = &self.video else {
            self.broken = false;
            return;
        };
        let Some((native, native_milli)) = video.native else { return };
        let camera = video.sender.camera_stats();
        let (frames, busy_ns) = (camera.frames.load(Relaxed), camera.busy_ns.load(Relaxed));
        let full = video.sender.stats().iter().find(|(layer, _)| *layer == Layer::Full);
        let bytes = full.map_or(0, |(_, stats)| stats.bytes.load(Relaxed));
        let per_s = |now: u64, before: u64| f64::from((now.saturating_sub(before)) as f32 / seconds.max(0.001));
        let fresh = (per_s(bytes, self.adjusting.full_bytes), per_s(frames, self.adjusting.frames));
        let busy_milli = (per_s(busy_ns, self.adjusting.busy_ns) / 1e6) as u32;
        (self.adjusting.full_bytes, self.adjusting.frames, self.adjusting.busy_ns) = (bytes, frames, busy_ns);
        let kept = fresh.1 * 1e6 / f64::from(native_milli.max(1));
        let share = self.share();
        self.adjusting.small_milli = share.small_milli;
        let seen = Seen {
            bits_per_s: (fresh.0 * 8.0) as u64,
            share: share.full,
            busy_milli,
            // A camera gives fewer frames in the dark: only a machine that is busy keeps them away.
            kept_milli: if busy_milli < IDLE_MILLI { 1_000 } else { kept as u32 },
        };
        let setting = self.adjusting.sender.see(now, seen);
        let sixteenths = layers::least_reduced(native, setting.sixteenths);
        self.set(&Setting { sixteenths, ..setting }, native_milli);
    }

    /// What the own picture may take.
    fn share(&self) -> Share {
        let mbit = |megabits: u32| u64::from(megabits) * 1_000_000;
        let state = self.shared.state();
        let cameras = 1 + state.people.here().filter(|o| o.person.camera == Camera::On).count();
        let own = self.streams.iter().filter(|stream| self.is_sent(stream.kind));
        let mut small: u64 = own.map(|stream| usual_bits(stream, cameras)).sum();
        let mut senders = 0;
        for stream in state.people.here().flat_map(|o| &o.person.streams).filter(|stream| stream.active) {
            small += usual_bits(stream, cameras);
            senders += usize::from(stream.kind == StreamKind::Video(Layer::Full));
        }
        let wireless = self.receiver.interface().wireless.then(|| mbit(self.config.wifi_mbit));
        let crowded = (cameras > layers::MANY_SENDERS).then_some(CROWDED_MBIT).map(mbit);
        let own_cap = wireless.into_iter().chain(crowded).min();
        sender::share(mbit(self.config.conference_mbit), small, senders + 1, own_cap)
    }

    fn set(&mut self, setting: &Setting, native_milli: u32) {
        let Some(video) = &mut self.video else { return };
        let rate = u64::from(native_milli) * u64::from(setting.rate_milli) / 1_000;
        let fps_milli = if setting.rate_milli < 1_000 { rate as u32 } else { u32::MAX };
        let Setting { quality, sixteenths, pass, withheld, broken, .. } = *setting;
        video.tune(Layer::Full, Tuning { quality, fps_milli, sixteenths, pass });
        let smaller_layers = video.layers.len() > 1 && video.infos(1).len() > 1;
        for own in video.layers.iter_mut().filter(|own| own.layer == Layer::Full) {
            // A camera so small that there is no other layer goes on with this one.
            own.withheld = withheld && (smaller_layers || own.withheld);
        }
        if std::mem::replace(&mut self.broken, broken) != broken && broken {
            let text = "the network loses nearly all pictures: none are sent for a while, sound goes on";
            self.say(NoticeKind::Warning, text);
        }
        self.announce_pictures();
    }
}
