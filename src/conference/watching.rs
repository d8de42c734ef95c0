//! What is received of others' pictures: a layer for each tile, asked for, and left when no tile shows it.
//!
//! ```text
//! sizes of the tiles (the window says them), offers (beacons), budget, trouble ──> choice ──> subscriptions, Interest
//! another layer chosen: the new one is subscribed; the old one goes on until the first picture of the new one is there
//! ```
//! A tile not shown is left a moment later: neither received nor decoded.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::director::Director;
use super::people::Other;
use super::state::State;
use crate::pipeline::control::Command as Ask;
use crate::pipeline::video_receive::VideoStats;
use crate::protocol::adaptation::choice::{self, Offer, Tile};
use crate::protocol::adaptation::descent::{Descent, Seen, Verdict};
use crate::protocol::layers;
use crate::protocol::roster::Person;
use crate::time::Timestamp;
use crate::wire::interest::{Place, Places, Row, quarters};
use crate::wire::message::ParticipantId;
use crate::wire::{Layer, StreamKind};

/// How often it is looked at how the layers arrive.
const LOOK: Duration = Duration::from_millis(250);
/// Time between rows for reports.
const TELL: Duration = Duration::from_secs(1);
/// Somebody whose picture is not shown any more is left after this time: pages are turned back.
const LINGER: Duration = Duration::from_millis(500);
/// How long going down because of trouble does not wait for the first picture of the lower layer.
const HURRY: Duration = Duration::from_secs(1);
/// Packets expected in a look below which a stream's loss says nothing.
const PACKETS_MIN: u64 = 8;
/// Decoding is late when of the frames that came so many in a hundred were overtaken by newer ones.
const SKIPPED_PERCENT: u64 = 50;

/// What the director remembers of it.
pub struct Watch {
    descent: Descent,
    /// Layers below the choice.
    steps: u32,
    /// What the choice takes, bits a second.
    bits_per_s: u64,
    looked: Timestamp,
    told: Timestamp,
    overflows: u64,
    wanted: Places,
    /// Until then lower layers take the place of higher ones at once: there is no room for both.
    hurry_until: Timestamp,
    /// Reused.
    tiles: Vec<Tile>,
    people: Vec<(ParticipantId, Option<Layer>)>,
}

impl Watch {
    /// Nothing is received so far.
    pub fn new(now: Timestamp) -> Self {
        Self {
            descent: Descent::new(now),
            steps: 0,
            bits_per_s: 0,
            looked: now,
            told: now,
            overflows: 0,
            wanted: Places::default(),
            hurry_until: now,
            tiles: Vec::new(),
            people: Vec::new(),
        }
    }

    /// Whether a lower layer takes the place of a higher one before its first picture is there.
    pub fn hurries(&self, now: Timestamp) -> bool {
        now < self.hurry_until
    }

    /// About how many bits a second the layers chosen take.
    pub fn bits_per_s(&self) -> u64 {
        self.bits_per_s
    }

    /// Layers below the choice that are received because of trouble.
    pub fn steps(&self) -> u32 {
        self.steps
    }
}

/// Counts of one stream when it was looked at last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    received: u64,
    /// Neither came nor was repaired.
    lost: u64,
    /// Of those received, those that did not come but were repaired.
    repaired: u64,
    complete: u64,
    skipped: u64,
}

impl Counted {
    fn of(stats: &VideoStats) -> Self {
        Self {
            received: stats.packets_received.load(Relaxed),
            lost: stats.packets_lost.load(Relaxed),
            repaired: stats.packets_repaired.load(Relaxed),
            complete: stats.frames_complete.load(Relaxed),
            skipped: stats.frames_skipped.load(Relaxed),
        }
    }

    /// What was added to what was `counted` before, which is this from now on; all of it when another stream was counted.
    fn fresh(self, counted: &mut Counted) -> Counted {
        let before = if self.received < counted.received { Counted::default() } else { *counted };
        // What was missing and came after all is not missed another time.
        *counted = Counted { lost: self.lost.max(before.lost), ..self };
        Counted {
            received: self.received - before.received,
            lost: self.lost.saturating_sub(before.lost),
            repaired: self.repaired.saturating_sub(before.repaired),
            complete: self.complete.saturating_sub(before.complete),
            skipped: self.skipped.saturating_sub(before.skipped),
        }
    }

    /// What a report says of it; `None` when there was too little to say anything.
    fn row(self, place: Place) -> Option<Row> {
        let expected = self.received + self.lost;
        let row = || Row {
            place,
            lost: quarters(self.lost + self.repaired.min(self.received), expected),
            left: quarters(self.lost, expected),
        };
        (expected >= PACKETS_MIN).then(row)
    }
}

impl Director {
    /// Chooses, subscribes, asks and judges, as is due.
    pub(super) fn watch(&mut self, now: Timestamp) {
        if !self.config.text_only {
            self.choose(now);
        }
        self.ask_for_layers();
        if now.since(self.watch.looked) >= LOOK {
            self.look(now);
        }
    }

    fn choose(&mut self, now: Timestamp) {
        let shared = Arc::clone(&self.shared);
        let (mut tiles, mut people) = (std::mem::take(&mut self.watch.tiles), std::mem::take(&mut self.watch.people));
        tiles.clear();
        people.clear();
        let mut state = shared.state();
        let focus = self.config.focus.as_deref();
        for other in state.people.here_mut().filter(|o| o.person.slot.is_some()) {
            let focused = focus.is_some_and(|name| name == other.person.name);
            tiles.push(tile(other, focused, now));
            people.push((other.person.id, other.video.target));
        }
        let chosen = choice::choose(&mut tiles, self.receive_budget(), self.watch.steps);
        self.watch.bits_per_s = chosen.bits_per_s;
        let mut changed = Vec::new();
        for ((id, before), tile) in people.iter().zip(&tiles) {
            let Some(other) = state.people.present(id) else { continue };
            let arrived = other.video.rising.as_ref().is_some_and(|rising| rising.stats.picture_at.load(Relaxed) > 0);
            if arrived || *before != tile.chosen {
                other.video.target = tile.chosen;
                changed.push(*id);
            }
        }
        drop(state);
        (self.watch.tiles, self.watch.people) = (tiles, people);
        changed.iter().for_each(|id| self.follow(id));
    }

    /// Bits a second that may be received.
    fn receive_budget(&self) -> u64 {
        let wireless = self.receiver.interface().wireless;
        let own = if wireless { self.config.wifi_mbit } else { self.config.receive_mbit };
        u64::from(own) * 1_000_000
    }

    /// Asks for what is subscribed, and for what others here are to be given.
    fn ask_for_layers(&mut self) {
        let mut wanted = Places::default();
        let state = self.shared.state();
        let mut want = |person: &Person, layer| {
            let place = person.slot.and_then(|slot| Place::new(slot, layer));
            place.into_iter().for_each(|place| wanted.insert(place));
        };
        for other in state.people.here() {
            let received = other.video.received.as_ref().map(|(layer, _)| *layer);
            let rising = other.video.rising.as_ref().map(|rising| rising.layer);
            received.into_iter().chain(rising).for_each(|layer| want(&other.person, layer));
        }
        let tapped = self.config.tap.as_ref().map(|wish| (&wish.name, wish.layer));
        let kept = self.config.keep.as_ref().map(|(name, layer)| (name, *layer));
        for (name, layer) in tapped.into_iter().chain(kept) {
            let of_name = |o: &&Other| o.person.name == *name;
            state.people.here().filter(of_name).for_each(|other| want(&other.person, layer));
        }
        drop(state);
        if wanted != self.watch.wanted && self.control.send(Ask::Want(wanted)) {
            self.watch.wanted = wanted;
        }
    }

    /// Judges how the layers arrived since the last look.
    fn look(&mut self, now: Timestamp) {
        self.watch.looked = now;
        let tell = now.since(self.watch.told) >= TELL;
        let overflows = self.receiver.overflows();
        let overflowed = overflows > std::mem::replace(&mut self.watch.overflows, overflows);
        let (seen, rows) = see(&mut self.shared.state(), tell);
        if tell {
            self.watch.told = now;
            self.control.send(Ask::Reception(rows));
        }
        match self.watch.descent.see(now, Seen { overflowed, ..seen }, self.watch.steps) {
            Verdict::Stay => {}
            Verdict::Up(steps) => self.watch.steps -= steps.min(self.watch.steps),
            Verdict::Down(share_milli) => {
                let enough = self.watch.bits_per_s / 1_000 * u64::from(share_milli);
                let budget = self.receive_budget();
                let tiles = &mut self.watch.tiles;
                let mut steps = self.watch.steps;
                loop {
                    let chosen = choice::choose(tiles, budget, steps + 1);
                    if chosen.steps <= steps {
                        break;
                    }
                    steps = chosen.steps;
                    if chosen.bits_per_s <= enough {
                        break;
                    }
                }
                if steps > self.watch.steps {
                    self.watch.hurry_until = now + HURRY;
                    tracing::info!(?seen, overflowed, steps, "receiving smaller pictures");
                }
                self.watch.steps = steps;
            }
        }
    }
}

/// How somebody's picture is shown and what of it there is.
fn tile(other: &mut Other, focused: bool, now: Timestamp) -> Tile {
    let size = match other.picture.wanted() {
        (0, _) | (_, 0) => {
            let hidden = *other.video.hidden_since.get_or_insert(now);
            let lingers = now.since(hidden) < LINGER && other.video.target.is_some();
            if lingers { other.video.tile } else { (0, 0) }
        }
        size => {
            other.video.hidden_since = None;
            other.video.tile = size;
            size
        }
    };
    let offer = |layer| {
        let info = other.person.stream(StreamKind::Video(layer))?;
        Some(Offer { size: (info.width as usize, info.height as usize), fps_milli: info.fps_milli.min(120_000) })
    };
    let present = other.video.received.as_ref().map(|(layer, _)| *layer);
    Tile { size, focused, offers: layers::CAMERA.map(offer), present, chosen: None }
}

/// How all layers together arrived since the last look; and each of them, when `tell`, since it was told last.
fn see(state: &mut State, tell: bool) -> (Seen, Vec<Row>) {
    let (mut all, mut rows) = (Counted::default(), Vec::new());
    for other in state.people.here_mut() {
        let Some((layer, _)) = other.video.received else { continue };
        let Some(counted) = other.video.streams.newest().map(|stats| Counted::of(stats)) else { continue };
        let fresh = counted.fresh(&mut other.video.looked);
        all.received += fresh.received;
        all.lost += fresh.lost;
        all.complete += fresh.complete;
        all.skipped += fresh.skipped;
        if tell && let Some(place) = other.person.slot.and_then(|slot| Place::new(slot, layer)) {
            rows.extend(counted.fresh(&mut other.video.told).row(place));
        }
    }
    let expected = all.received + all.lost;
    let loss_milli = if expected >= PACKETS_MIN { 1_000 * all.lost / expected } else { 0 };
    let late = all.complete >= PACKETS_MIN && 100 * all.skipped >= SKIPPED_PERCENT * all.complete;
    (Seen { loss_milli: loss_milli as u32, overflowed: false, late }, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_tell_what_was_lost_on_the_way_and_what_is_left_of_it_after_repair() {
        let place = Place::new(3, Layer::Full).expect("a slot");
        let stats = VideoStats::default();
        let count = |received, repaired, lost| {
            stats.packets_received.store(received, Relaxed);
            stats.packets_repaired.store(repaired, Relaxed);
            stats.packets_lost.store(lost, Relaxed);
            Counted::of(&stats)
        };
        let first = count(1_000, 100, 0);
        let row = |counted: Counted| counted.fresh(&mut first.clone()).row(place).map(|row| (row.lost, row.left));
        assert_eq!(row(count(1_400, 100, 0)), Some((0, 0)));
        assert_eq!(row(count(1_400, 120, 0)), Some((20, 0)), "5 % were repaired, all of it");
        assert_eq!(row(count(1_396, 116, 4)), Some((20, 4)));
        assert_eq!(row(count(1_396, 100, 4)), Some((4, 4)), "without repair");
        assert_eq!(row(count(1_007, 100, 0)), None, "too little to tell");
        assert_eq!(row(count(900, 0, 90)), Some((36, 36)), "of another stream");
    }

    #[test]
    fn what_is_missing_for_a_moment_is_not_missed_again_when_it_came() {
        let mut counted = Counted::default();
        let mut lost = |received, lost| Counted { received, lost, ..Counted::default() }.fresh(&mut counted).lost;
        assert_eq!(
            [lost(1_000, 50), lost(1_097, 53), lost(1_200, 50), lost(1_297, 53), lost(1_390, 60)],
            [50, 3, 0, 0, 7]
        );
    }
}
