//! The receiver's side: knows what of a frame is missing, asks for as much parity, rebuilds, and gives up in time.
//!
//! ```text
//! gathering ─ marker, later frame, silence ─> missing ─ back-off ─> asked ─ a round ─> asked again ─ hold ─> given up
//!     │ all there                                │  heard another ask for as much: as if asked      │ k shards
//!     v                                          v                                                 v
//!    done                                       done                                            rebuilt
//! ```
//! A frame is done when a newer one is complete: pictures never wait. The hold begins when it is known that something is
//! missing, and concerns only frames that are not whole.

use std::time::Duration;

use super::gathering::{Cause, Gathering, packet_of};
use super::{Patience, back_off};
use crate::limits::{FRAMES_IN_ASSEMBLY_MAX, JPEG_PACKETS_MAX, REPAIR_ROUNDS_MAX};
use crate::protocol::parity::Decoder;
use crate::time::Timestamp;
use crate::wire::repair::{Parity, RepairRequest};
use crate::wire::rtp;

/// Shortest silence after which a frame's end is taken to be lost.
const SILENCE_MIN: Duration = Duration::from_millis(3);
/// Frames gathered: those in assembly, and one of which nothing came.
const FRAMES: usize = FRAMES_IN_ASSEMBLY_MAX + 1;
/// How long a frame with gaps waits for packets that are only late, where nobody can be asked.
const LATE: Duration = Duration::from_millis(5);
/// What is older than this, in units of the 90 kHz clock, is no late packet: its sender has begun again.
const LATE_MEDIA: u32 = 10 * 90_000;
/// JPEG's main header begins with a type-specific byte and the fragment's offset (RFC 2435 section 3.1).
const OFFSET: std::ops::Range<usize> = 1..4;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended {
    /// Send this request to everybody who receives the stream.
    Ask(RepairRequest),
    /// The frame of this RTP timestamp is not going to be whole.
    GiveUp(u32),
}

/// Counts since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MenderCounters {
    /// Frames that were whole only with parity.
    pub frames_repaired: u64,
    /// Packets rebuilt, or sent again, that were missing.
    pub packets_repaired: u64,
    /// Requests sent.
    pub asked: u64,
    /// Requests not sent, because somebody else's served.
    pub suppressed: u64,
    /// Parity packets that came.
    pub parity: u64,
    /// Parity refused: malformed, or at odds with its frame.
    pub rejected: u64,
}

/// What one receiver knows of one stream's frames.
pub struct Mender {
    patience: Patience,
    asks: bool,
    group: usize,
    random: u64,
    ssrc: Option<u32>,
    frames: [Gathering; FRAMES],
    /// Timestamp of the newest frame done: it and those before need nothing any more.
    done: Option<u32>,
    /// The latest frame whose end is known: its timestamp, and the sequence number behind it.
    ended: Option<(u32, u16)>,
    /// Longest pause inside recent frames: a sender may be slow.
    pause: Duration,
    decoder: Decoder,
    counters: MenderCounters,
}

/// Whether RTP timestamp `a` is before `b`.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Mender {
    /// A stream of which nothing came yet; `asks` says whether its sender repairs. `seed` spreads the back-offs.
    pub fn new(patience: Patience, asks: bool, seed: u64) -> Self {
        let mut mender = Self {
            patience,
            asks,
            group: 1,
            random: seed,
            ssrc: None,
            frames: std::array::from_fn(|_| Gathering::default()),
            done: None,
            ended: None,
            pause: Duration::ZERO,
            decoder: Decoder::default(),
            counters: MenderCounters::default(),
        };
        mender.set_patience(patience);
        mender
    }

    /// The network is another one.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
        if !self.asks {
            self.patience.hold = LATE;
        }
    }

    /// How many receive the stream, oneself included.
    pub fn set_group(&mut self, group: usize) {
        self.group = group;
    }

    /// What was asked and mended.
    pub fn counters(&self) -> MenderCounters {
        self.counters
    }

    /// Takes a packet of the stream; `bytes` are all of it.
    pub fn packet(&mut self, now: Timestamp, packet: &rtp::Packet<'_>, bytes: &[u8]) {
        let header = packet.header;
        if *self.ssrc.get_or_insert(header.ssrc) != header.ssrc {
            return;
        }
        if self.done.is_some_and(|done| done.wrapping_sub(header.timestamp) < LATE_MEDIA) {
            return;
        }
        let at = self.frame_at(header.timestamp, now);
        let frame = &mut self.frames[at];
        if frame.packets() > 0 {
            self.pause = self.pause.max(now.since(frame.touched));
        }
        if !frame.push(header.sequence, bytes) {
            return;
        }
        frame.touched = now;
        if frame.missing.is_some_and(|(_, cause)| cause == Cause::Silence) {
            (frame.missing, frame.ask_at, frame.rounds) = (None, None, 0);
        }
        let first = packet.payload.get(OFFSET).is_some_and(|offset| offset == [0; 3]);
        if first {
            frame.base = Some(header.sequence);
        }
        if header.marker {
            let end = header.sequence.wrapping_add(1);
            frame.end = Some(end);
            if self.ended.is_none_or(|(latest, _)| before(latest, header.timestamp)) {
                self.ended = Some((header.timestamp, end));
            }
        }
        if first {
            self.look_before(now, at);
        }
    }

    /// A frame's first packet came: if those before it end earlier, a frame vanished whole.
    fn look_before(&mut self, now: Timestamp, at: usize) {
        let (Some(base), Some(timestamp), Some((latest, end))) =
            (self.frames[at].base, self.frames[at].timestamp, self.ended)
        else {
            return;
        };
        let gap = usize::from(base.wrapping_sub(end));
        let between = |f: &Gathering| f.active && f.timestamp.is_none_or(|t| before(latest, t) && before(t, timestamp));
        if !before(latest, timestamp) || !(1..=JPEG_PACKETS_MAX).contains(&gap) || self.frames.iter().any(between) {
            return;
        }
        if let Some(free) = self.frames.iter_mut().find(|f| !f.active) {
            free.begin(None, now);
            free.base = Some(end);
            free.gap = gap;
            free.missing = Some((now, Cause::Sure));
            self.schedule(now);
        }
    }

    /// The place of the frame `timestamp`; the oldest makes room.
    fn frame_at(&mut self, timestamp: u32, now: Timestamp) -> usize {
        if let Some(at) = self.frames.iter().position(|f| f.active && f.timestamp == Some(timestamp)) {
            return at;
        }
        let free = self.frames.iter().position(|f| !f.active);
        let oldest = || {
            let age = |f: &Gathering| f.timestamp.map_or(u32::MAX, |t| timestamp.wrapping_sub(t).wrapping_add(1 << 30));
            (0..FRAMES).max_by_key(|&n| age(&self.frames[n])).unwrap_or(0)
        };
        let at = free.unwrap_or_else(oldest);
        self.frames[at].begin(Some(timestamp), now);
        self.pause -= self.pause / 16;
        at
    }

    /// Takes a packet of the stream's repair port and hands what it rebuilds to `each`.
    pub fn parity(&mut self, now: Timestamp, packet: &rtp::Packet<'_>, each: &mut impl FnMut(&[u8])) {
        self.counters.parity += 1;
        let (Ok(parity), Some(ssrc)) = (Parity::parse(packet), self.ssrc) else {
            self.counters.rejected += 1;
            return;
        };
        let (timestamp, header) = (packet.header.timestamp, parity.header);
        let known = |f: &Gathering| match f.timestamp {
            Some(known) => known == timestamp,
            None => f.base == Some(header.base),
        };
        let Some(at) = self.frames.iter().position(|f| f.active && known(f)) else { return };
        let frame = &mut self.frames[at];
        let knew = frame.k().is_some();
        if frame.push_parity(&parity).is_err() {
            self.counters.rejected += 1;
            return;
        }
        frame.timestamp = Some(timestamp);
        if self.ended.is_none_or(|(latest, _)| before(latest, timestamp)) {
            self.ended = Some((timestamp, header.base.wrapping_add(header.k as u16)));
        }
        if header.index < header.k {
            let sequence = header.base.wrapping_add(header.index as u16);
            match packet_of(parity.shard, ssrc, timestamp, sequence) {
                Some(again) if frame.push(sequence, again) => {
                    self.counters.packets_repaired += 1;
                    self.counters.frames_repaired += u64::from(frame.packets() == header.k);
                    each(again);
                }
                Some(_) => {}
                None => self.counters.rejected += 1,
            }
        }
        frame.touched = now.max(frame.touched);
        if !knew && frame.missing.is_some() && !frame.is_whole() {
            // What was asked for was less than what is missing, as is known only now.
            let wait = self.draw();
            self.frames[at].ask_at = Some(now + wait);
        }
        self.rebuild(at, ssrc, each);
    }

    /// Rebuilds the frame at `at`, when it is whole.
    fn rebuild(&mut self, at: usize, ssrc: u32, each: &mut impl FnMut(&[u8])) {
        let frame = &mut self.frames[at];
        let Some(k) = frame.k().filter(|_| frame.is_whole()) else { return };
        let missing = k.saturating_sub(frame.packets());
        if missing > 0 {
            let rebuilt = frame.rebuild(&mut self.decoder, ssrc, each);
            self.counters.packets_repaired += if rebuilt { missing as u64 } else { 0 };
            self.counters.frames_repaired += u64::from(rebuilt);
            self.counters.rejected += u64::from(!rebuilt);
        }
        frame.active = false;
    }

    /// Somebody else asks the stream's sender.
    pub fn heard(&mut self, now: Timestamp, request: &RepairRequest) {
        if self.ssrc != Some(request.ssrc) {
            return;
        }
        let same = |f: &Gathering| {
            let named = f.timestamp.is_some() && f.timestamp == request.frame;
            f.active && (named || f.base.is_some_and(|base| u32::from(base) == request.base))
        };
        let Some(at) = self.frames.iter().position(same) else { return };
        let mine = self.deficit(at);
        let frame = &self.frames[at];
        if frame.ask_at.is_some() && request.deficit as usize >= mine {
            self.counters.suppressed += 1;
            // It is no round of one's own: should the request or its answer be lost, one asks all the same.
            self.frames[at].ask_at = Some(self.after_round(now));
        }
    }

    /// The frame `timestamp` is complete: nothing is missed of it, nor of those before.
    pub fn finished(&mut self, timestamp: u32) {
        if self.done.is_none_or(|done| !before(timestamp, done)) {
            self.done = Some(timestamp);
        }
        for frame in &mut self.frames {
            frame.active &= frame.timestamp.is_some_and(|t| before(timestamp, t));
        }
    }

    /// All that came together was taken: looks what is missing, and hands over what is to be done, and to `each` what is
    /// rebuilt.
    pub fn settle(&mut self, now: Timestamp, out: &mut Vec<Mended>, each: &mut impl FnMut(&[u8])) {
        let ssrc = self.ssrc.unwrap_or_default();
        for at in 0..FRAMES {
            if self.frames[at].active {
                self.rebuild(at, ssrc, each);
            }
        }
        let newest = self.frames.iter().filter(|f| f.active).filter_map(|f| f.timestamp);
        let newest = newest.reduce(|a, b| if before(a, b) { b } else { a });
        let silence = self.silence();
        for frame in self.frames.iter_mut().filter(|f| f.active) {
            let overtaken = frame.timestamp.zip(newest).is_some_and(|(t, newest)| before(t, newest));
            if frame.end.is_some() || overtaken {
                let since = frame.missing.map_or(now, |(since, _)| since);
                frame.missing = Some((since, Cause::Sure));
            } else if self.asks && frame.missing.is_none() && now >= frame.touched + silence {
                frame.missing = Some((now, Cause::Silence));
            }
        }
        self.schedule(now);
        self.ask(now, out);
        self.give_up(now, out);
    }

    /// When [`settle`](Self::settle) has something to do, if nothing comes before.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let silence = self.silence();
        let due = |f: &Gathering| match f.missing {
            None => self.asks.then(|| f.touched + silence),
            Some((since, _)) => Some(f.ask_at.unwrap_or(Timestamp(u64::MAX)).min(since + self.patience.hold)),
        };
        self.frames.iter().filter(|f| f.active).filter_map(due).min()
    }

    fn silence(&self) -> Duration {
        (2 * self.pause).clamp(SILENCE_MIN, self.patience.hold.max(SILENCE_MIN))
    }

    /// Frames newly known to miss something get their turn to ask.
    fn schedule(&mut self, now: Timestamp) {
        for at in 0..FRAMES {
            let frame = &self.frames[at];
            if self.asks && frame.active && frame.missing.is_some() && frame.ask_at.is_none() && frame.rounds == 0 {
                let wait = self.draw();
                self.frames[at].ask_at = Some(now + wait);
            }
        }
    }

    fn draw(&mut self) -> Duration {
        back_off(self.group, self.patience.spread, super::chance(&mut self.random))
    }

    /// When the answer to what is asked now is overdue, and one may ask again.
    fn after_round(&mut self, now: Timestamp) -> Timestamp {
        now + self.patience.round + self.draw()
    }

    fn next_round(&mut self, now: Timestamp, at: usize) {
        let again = self.after_round(now);
        let frame = &mut self.frames[at];
        frame.rounds += 1;
        frame.ask_at = (frame.rounds < REPAIR_ROUNDS_MAX).then_some(again);
    }

    fn ask(&mut self, now: Timestamp, out: &mut Vec<Mended>) {
        for at in 0..FRAMES {
            let frame = &self.frames[at];
            if !frame.active || frame.ask_at.is_none_or(|due| due > now) {
                continue;
            }
            let deficit = self.deficit(at) as u32;
            let frame = &self.frames[at];
            if let (Some(base), Some(ssrc)) = (frame.base.or(frame.came.map(|c| c.0)), self.ssrc) {
                let k = frame.k().unwrap_or(0) as u32;
                out.push(Mended::Ask(RepairRequest { ssrc, frame: frame.timestamp, base: base.into(), k, deficit }));
                self.counters.asked += 1;
            }
            self.next_round(now, at);
        }
    }

    fn give_up(&mut self, now: Timestamp, out: &mut Vec<Mended>) {
        for frame in self.frames.iter_mut().filter(|f| f.active) {
            if frame.missing.is_some_and(|(since, _)| now >= since + self.patience.hold) {
                frame.active = false;
                out.extend(frame.timestamp.map(Mended::GiveUp));
            }
        }
    }

    /// Shards the frame at `at` lacks, as far as can be told; at least one.
    fn deficit(&self, at: usize) -> usize {
        let frame = &self.frames[at];
        if let Some(k) = frame.k() {
            return k.saturating_sub(frame.shards()).max(1);
        }
        let Some(own) = frame.timestamp else { return frame.gap.max(1) };
        let later = |f: &&Gathering| f.timestamp.is_some_and(|theirs| before(own, theirs));
        let next = self.frames.iter().filter(|f| f.active).filter(later);
        let next = next.filter_map(|f| f.base.or(f.came.map(|c| c.0)));
        let Some((lowest, highest)) = frame.came else { return 1 };
        let behind = highest.wrapping_add(1);
        let near = |from: u16, to: u16| Some(usize::from(to.wrapping_sub(from))).filter(|&n| n <= JPEG_PACKETS_MAX);
        let ended = self.ended.filter(|&(t, _)| before(t, own)).map(|e| e.1);
        let front = match frame.base {
            Some(base) => near(base, lowest).unwrap_or(0),
            None => ended.and_then(|end| near(end, lowest)).unwrap_or(1).max(1),
        };
        let back = match frame.end {
            Some(_) => 0,
            None => next.filter_map(|n| near(behind, n)).min().unwrap_or(1).max(1),
        };
        let inside = near(lowest, behind).unwrap_or(0).saturating_sub(frame.packets());
        (front + inside + back).saturating_sub(frame.shards() - frame.packets()).clamp(1, JPEG_PACKETS_MAX)
    }
}
