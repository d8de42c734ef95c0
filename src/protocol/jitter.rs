//! One talker's jitter buffer: which packet is decoded next, and when the audio waits, hurries or is made up.
//!
//! ```text
//!  insert(arrival, packet)          pull(now, audio decoded and not yet mixed)
//!        |                                 |
//!        v                                 v
//!  [ slots by sequence number ] ---> Packet | Fec | Conceal | Noise | Empty
//!        |                                 ^
//!        '--> relative delay --> target delay --> wish(): shorten or lengthen what is decoded
//!                                            '--> speed(): the resampler follows the talker's clock
//! ```
//! Order follows RFC 3550: sequence numbers extended across their wrap, a jump believed only when two packets in a
//! row confirm it (appendix A.1). Time follows RTP timestamps of the 48 kHz Opus clock (RFC 7587 section 4.1).
//!
//! The *delay* is how long before it is needed the fastest packet arrives; audio held here is that plus, on average,
//! half a frame. It is the only adaptive delay between the socket and the speaker. A packet that comes after its time was
//! filled is played nevertheless, so that no word is lost; the delay that has grown by it is worked off by playing
//! faster. Only what would take too long to work off is left out. Where losses come in runs and are repaired, nothing comes at
//! all for a moment, then everything: meanwhile what is there is played slower, so that it lasts until then.
//!
//! Must never read a clock, decode, or hold more than [`JITTER_PACKETS_MAX`] packets.

mod delay;
mod early;
mod figures;
mod missing;
mod packets;
mod regulator;
#[cfg(test)]
mod repaired;
#[cfg(test)]
mod scenarios;
mod slope;
#[cfg(test)]
mod tests;

use crate::limits::{
    JITTER_DELAY_MS_MAX, JITTER_MARGIN_MS, JITTER_PACKETS_MAX, OPUS_PACKET_BYTES_MAX, OPUS_PACKET_MS_MAX,
};
use crate::time::{SequenceExtender, Timestamp, TimestampExtender};
use delay::{DelayTracker, PER_MS};
use early::Early;
pub use packets::{Arrival, Counters, Incoming, Verdict};
use regulator::Regulator;
pub use regulator::Wish;

/// A sequence number this far ahead is a gap; farther, it is a restart of the sender (RFC 3550 appendix A.1).
const DROPOUT_MAX: i16 = 3_000;
/// A sequence number this far behind is a late packet; farther, it is a restart.
const MISORDER_MAX: i16 = 100;
/// A transit time that differs by this much from the others means that the media clock jumped.
const CLOCK_JUMP: i64 = 2_000 * PER_MS;
/// Packets of speech up to 100 kb/s; larger ones are kept too, at the price of an allocation.
const PACKET_BYTES_USUAL: usize = 256;
/// Frame length assumed before the first packet is known.
const FRAME: i64 = 20 * PER_MS;
/// Packets so short are those of a low delay, with so much margin to what they may need at most.
const SHORT_FRAME: i64 = 5 * PER_MS;
/// See [`SHORT_FRAME`].
const SHORT_MARGIN: i64 = PER_MS;
/// A sender is believed that a talk spurt begins once in this time, and that it held packets back for no longer.
const SPURT_MIN: i64 = 200 * PER_MS;
/// What is missing to the target at most when a voice that broke off goes on: the break is long enough.
const RESUME: i64 = 40 * PER_MS;
/// While lost packets come again and nothing has come for so long, what is there is played slower...
const OUTAGE: i64 = 50 * PER_MS;
/// ... if no more than this is left...
const SCARCE: i64 = 100 * PER_MS;
/// ... by one period a packet for each [`OUTAGE`], but no more than so many: two thirds, for a voice of 150 Hz.
const SCARCE_MAX: i64 = 2;
/// Delay above the target at which packets are left out.
const SKIP: i64 = 250 * PER_MS;
/// A delay that differs by this much from the mean is a jump, and followed at once.
const JUMP: f64 = (40 * PER_MS) as f64;
/// Clocks drift apart by less than this within a second or two: it is the path that changed.
const BASE_JUMP: f64 = (5 * PER_MS) as f64;
/// What is made up at a time while it is not known what comes.
const MAKE_UP: i64 = 10 * PER_MS;
/// The same while the talker is silent, in samples: the least that decoders make up.
const NOISE: usize = 120;
/// A packet no longer than this says that the talker is silent (RFC 7587 section 3.1.3).
const SILENT_PACKET_BYTES: usize = 2;
/// Packets of a silent talker come every 400 ms; two of them may be lost.
const SILENT_MAX: i64 = 1_300 * PER_MS;
/// Loss above which the delay makes room for the packet that carries the lost one's redundancy, and below which not.
const FEC_LOSS_ON: f32 = 0.02;
/// See [`FEC_LOSS_ON`].
const FEC_LOSS_OFF: f32 = 0.005;

#[derive(Debug, Default)]
struct Slot {
    /// Extended sequence number, 0 = free (extended numbers start at 2^16).
    sequence: u64,
    timestamp: i64,
    samples: i64,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has spoken, or the talker said good-bye.
    Idle,
    /// The first packet of a talk spurt waits until the target delay is reached.
    Waiting,
    Playing,
    /// Ran dry, and made up as much as is bearable; silent since then.
    Starved {
        since: i64,
    },
}

/// See the module's head.
#[derive(Debug)]
pub struct JitterBuffer {
    slots: Vec<Slot>,
    ssrc: Option<u32>,
    sequences: SequenceExtender,
    timestamps: TimestampExtender,
    first_sequence: u64,
    /// Bit i: the packet `i` below the highest sequence number has come.
    seen: u128,
    /// The sequence number that would confirm a jump.
    suspect: Option<u16>,
    delays: DelayTracker,
    /// Transit time of the last packet, while those of before a talk spurt began come.
    held_back: Option<i64>,
    /// When a talk spurt began last.
    spurt: Option<i64>,
    /// When a packet came last.
    arrived: i64,
    /// The network is gone, and what is there has to last: how often it is lengthened before the next packet.
    scarce: i64,
    state: State,
    /// Lowest sequence number still wanted.
    next: u64,
    /// Media time at the end of what has been handed out.
    position: i64,
    /// Sequence number and end of the last packet handed out.
    last_end: Option<(u64, i64)>,
    frame: i64,
    /// Media time up to which what was lost has been filled.
    bridged: i64,
    /// Made up in one go while nothing was there; counted once it is known that the talker was sending.
    pending: i64,
    /// When the talker last said to be silent, unless it has spoken since.
    silent: Option<i64>,
    regulator: Regulator,
    /// Least target, for another reason to wait than jitter.
    least: i64,
    /// Smoothed delay of the packets when they were needed.
    delay: f64,
    /// The target as the regulator knows it.
    aimed: i64,
    /// How much earlier than at their time packets are asked for.
    early: Early,
    loss: f32,
    fec_room: bool,
    received_here: u64,
    lost_before: u64,
    counters: Counters,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl JitterBuffer {
    /// An empty buffer for one talker.
    pub fn new() -> Self {
        Self {
            slots: (0..JITTER_PACKETS_MAX)
                .map(|_| Slot { payload: Vec::with_capacity(PACKET_BYTES_USUAL), ..Slot::default() })
                .collect(),
            ssrc: None,
            sequences: SequenceExtender::default(),
            timestamps: TimestampExtender::default(),
            first_sequence: 0,
            seen: 0,
            suspect: None,
            delays: DelayTracker::new(),
            held_back: None,
            spurt: None,
            arrived: 0,
            scarce: 0,
            state: State::Idle,
            next: 0,
            position: 0,
            last_end: None,
            frame: FRAME,
            bridged: i64::MIN,
            pending: 0,
            silent: None,
            regulator: Regulator::default(),
            least: 0,
            delay: 0.0,
            aimed: 0,
            early: Early::new(),
            loss: 0.0,
            fec_room: false,
            received_here: 0,
            lost_before: 0,
            counters: Counters::default(),
        }
    }

    /// Takes a packet in.
    pub fn insert(&mut self, arrived: Timestamp, packet: Incoming<'_>) -> Arrival {
        let longest = OPUS_PACKET_MS_MAX as i64 * PER_MS;
        let samples = i64::from(packet.samples);
        if packet.payload.len() > OPUS_PACKET_BYTES_MAX || samples == 0 || samples > longest {
            self.counters.rejected += 1;
            return Arrival::Rejected;
        }
        let mut arrival = Arrival::Queued;
        if self.ssrc != Some(packet.ssrc) {
            if self.ssrc.is_some() {
                arrival = Arrival::Restarted;
            }
            self.restart(packet.ssrc);
        } else if let Some(highest) = self.sequences.highest() {
            let step = packet.sequence.wrapping_sub(highest as u16) as i16;
            if !(-MISORDER_MAX..DROPOUT_MAX).contains(&step) {
                if self.suspect != Some(packet.sequence) {
                    self.suspect = Some(packet.sequence.wrapping_add(1));
                    self.counters.rejected += 1;
                    return Arrival::Rejected;
                }
                self.restart(packet.ssrc);
                arrival = Arrival::Restarted;
            }
        }
        self.suspect = None;
        match self.store(samples_at(arrived), packet, samples) {
            Arrival::Queued => arrival,
            other => other,
        }
    }

    fn store(&mut self, arrived: i64, packet: Incoming<'_>, samples: i64) -> Arrival {
        let before = self.sequences.highest();
        let sequence = self.sequences.extend(packet.sequence);
        let highest = self.sequences.highest().unwrap_or(sequence);
        if before.is_none() {
            self.first_sequence = sequence;
            self.next = sequence;
        }
        if !self.is_new(before, sequence) {
            self.counters.duplicates += 1;
            return Arrival::Duplicate;
        }
        // A reordered packet from before the first one still has its turn while nothing has been played.
        if sequence < self.next && self.state == State::Waiting && self.last_end.is_none() {
            self.next = sequence;
            self.first_sequence = self.first_sequence.min(sequence);
        }
        self.received_here += 1;
        self.counters.received += 1;
        self.arrived = self.arrived.max(arrived);
        let timestamp = self.timestamps.extend(packet.timestamp) as i64;
        if !self.is_held_back(arrived, arrived - timestamp, packet.marker, samples) {
            self.measure(arrived, timestamp, packet.again);
        }
        self.counters.lost = self.lost_before + (highest + 1 - self.first_sequence).saturating_sub(self.received_here);
        if sequence < self.next || sequence + JITTER_PACKETS_MAX as u64 <= highest {
            self.counters.late += 1;
            return Arrival::Late;
        }
        // Full: the oldest give way.
        self.drop_below((highest + 1).saturating_sub(JITTER_PACKETS_MAX as u64));
        let slot = &mut self.slots[(sequence % JITTER_PACKETS_MAX as u64) as usize];
        slot.sequence = sequence;
        slot.timestamp = timestamp;
        slot.samples = samples;
        slot.payload.clear();
        slot.payload.extend_from_slice(packet.payload);
        self.frame = samples;
        if self.state == State::Idle {
            self.state = State::Waiting;
        }
        Arrival::Queued
    }

    /// Notes that `sequence` has come; false when it had come before. `before` is the highest number until now.
    fn is_new(&mut self, before: Option<u64>, sequence: u64) -> bool {
        let ahead = before.map_or(128, |b| sequence.saturating_sub(b));
        if ahead > 0 {
            self.seen = if ahead < 128 { self.seen << ahead } else { 0 } | 1;
            return true;
        }
        let bit = 1u128.checked_shl((before.unwrap_or(sequence) - sequence) as u32).unwrap_or(0);
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }

    /// Whether a packet was held back until its talker was known to speak: the beginning of a word, sent at once, tells
    /// nothing of the network. `transit` falls from each such packet to the next. Whoever says so of every packet is not
    /// believed, or nothing would ever be measured of it.
    fn is_held_back(&mut self, arrived: i64, transit: i64, marker: bool, samples: i64) -> bool {
        let young = self.spurt.is_some_and(|began| (arrived - began).abs() < SPURT_MIN);
        let begins = marker && !young;
        if begins {
            self.spurt = Some(arrived);
        }
        let falls = young && self.held_back.is_some_and(|before| transit <= before - samples / 2);
        let held_back = (begins || falls) && self.delays.base().is_some();
        self.held_back = held_back.then_some(transit);
        held_back
    }

    fn measure(&mut self, arrived: i64, timestamp: i64, again: bool) {
        let transit = arrived - timestamp;
        if self.delays.base().is_some_and(|base| (transit - base).abs() > CLOCK_JUMP) {
            // The sender's media clock jumped, and nothing is known of when its packets come. The network is the same.
            self.delays.rebase();
            self.clear_slots();
            self.state = State::Waiting;
            (self.last_end, self.bridged) = (None, i64::MIN);
        }
        let before = self.delays.base();
        self.delays.record(arrived, transit, again);
        // The delay counts from the base: it moves as far.
        if let (Some(before), Some(after)) = (before, self.delays.base()) {
            let moved = (after - before) as f64;
            self.delay -= moved;
            if moved.abs() > BASE_JUMP {
                self.regulator.explain(-moved);
            }
        }
    }

    /// Decides about the next audio, which is to be played `ahead` samples after what the speaker will play when it has been
    /// given all it asks for: those decoded and not yet mixed, less those the speaker still asks for.
    pub fn pull(&mut self, now: Timestamp, ahead: i64) -> Verdict<'_> {
        let now = samples_at(now);
        loop {
            let Some(index) = self.front() else { return self.dry(now, ahead) };
            let Slot { sequence, timestamp, samples, .. } = self.slots[index];
            let delay = self.delay_of(now, timestamp - ahead);
            let target = self.target();
            match self.state {
                State::Starved { since } => {
                    self.settle(sequence, timestamp, (now - since).max(0));
                    self.state = State::Waiting;
                    let broke_off = self.delays.is_patient() && !self.paused(sequence, timestamp);
                    if broke_off && (target - RESUME..=target + SKIP).contains(&delay) {
                        return self.start(index, now, delay);
                    }
                }
                State::Idle | State::Waiting => {
                    if delay > target + SKIP {
                        self.skip(index);
                    } else if delay >= target || self.crowded(sequence) {
                        return self.start(index, now, delay);
                    } else {
                        return self.nothing(now);
                    }
                }
                State::Playing if timestamp > self.position => {
                    if let Some(bridge) = self.bridge(index, timestamp - self.position) {
                        return self.hand_out(bridge);
                    }
                }
                State::Playing if timestamp + samples <= self.bridged => self.leave_out(index),
                State::Playing => {
                    self.settle(sequence, timestamp, 0);
                    if delay > target + SKIP {
                        self.skip(index);
                    } else {
                        self.follow(delay, ahead, timestamp < self.position, samples);
                        return self.play(index, now);
                    }
                }
            }
        }
    }

    /// The packet after the one handed out last, before its time, if it is there: for a cut that needs more to work with.
    pub fn early(&mut self, now: Timestamp) -> Option<&[u8]> {
        let index = self.front()?;
        let follows = self.slots[index].timestamp == self.position && self.pending == 0;
        if self.state != State::Playing || !follows {
            return None;
        }
        match self.play(index, samples_at(now)) {
            Verdict::Packet(packet) => Some(packet),
            _ => None,
        }
    }

    /// Takes note of the `delay` of a packet that is played now.
    fn follow(&mut self, delay: i64, ahead: i64, behind: bool, samples: i64) {
        let (measured, step) = (delay as f64, delay as f64 - self.delay);
        if behind || step.abs() > JUMP {
            self.delay = measured;
            self.regulator.explain(step);
        } else {
            self.delay += step / 16.0;
            self.early.observe(self.delay - (delay - ahead) as f64, samples);
        }
        let target = self.target();
        self.regulator.explain((self.aimed - target) as f64);
        self.aimed = target;
        let error = self.delay - target as f64;
        let spare = self.delay - self.needed() as f64;
        self.regulator.observe(error, spare, samples);
    }

    /// The talker left (RTCP BYE): nothing more is expected, and what was made up since the last packet was no loss.
    pub fn goodbye(&mut self) {
        self.pending = 0;
        self.silent = None;
        self.clear_slots();
        self.next = self.sequences.highest().map_or(0, |highest| highest + 1);
        self.state = State::Idle;
        self.last_end = None;
    }

    fn target(&self) -> i64 {
        (self.delays.target(self.margin()) + self.room()).max(self.least).min(JITTER_DELAY_MS_MAX as i64 * PER_MS)
    }

    /// What the packets of the last moment needed.
    fn needed(&self) -> i64 {
        self.delays.needed(self.margin()) + self.room()
    }

    /// Whoever sends short packets is in a hurry.
    fn margin(&self) -> i64 {
        if self.frame <= SHORT_FRAME { SHORT_MARGIN } else { JITTER_MARGIN_MS as i64 * PER_MS }
    }

    /// Delay for anything but jitter.
    fn room(&self) -> i64 {
        self.early.room() + if self.fec_room { self.frame } else { 0 }
    }

    fn delay_of(&self, now: i64, played: i64) -> i64 {
        now - played - self.delays.base().unwrap_or(0)
    }

    /// The lowest packet still wanted.
    fn front(&self) -> Option<usize> {
        let highest = self.sequences.highest()?;
        (self.next..=highest).map(|s| (s, (s % JITTER_PACKETS_MAX as u64) as usize)).find_map(|(s, i)| {
            let held = self.slots.get(i).is_some_and(|slot| slot.sequence == s);
            held.then_some(i)
        })
    }

    fn start(&mut self, index: usize, now: i64, delay: i64) -> Verdict<'_> {
        self.state = State::Playing;
        self.delay = delay as f64;
        self.pending = 0;
        self.aimed = self.target();
        self.regulator.start((delay - self.aimed) as f64);
        self.play(index, now)
    }

    fn play(&mut self, index: usize, now: i64) -> Verdict<'_> {
        self.count_loss(false);
        self.consume(index);
        self.silent = (self.slots[index].payload.len() <= SILENT_PACKET_BYTES).then_some(now);
        self.scarce = self.scarcity(now);
        Verdict::Packet(&self.slots[index].payload)
    }

    /// How often what is there is to be lengthened until the next packet, because nothing comes.
    fn scarcity(&self, now: i64) -> i64 {
        let highest = self.sequences.highest().unwrap_or(0);
        let left = (highest + 1).saturating_sub(self.next) as i64 * self.frame;
        if !self.delays.is_patient() || left > SCARCE {
            return 0;
        }
        ((now - self.arrived) / OUTAGE).clamp(0, SCARCE_MAX)
    }

    fn consume(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let end = slot.timestamp + slot.samples;
        self.last_end = Some((slot.sequence, end));
        self.position = end;
        self.next = slot.sequence + 1;
        slot.sequence = 0;
    }

    /// Leaves out a packet whose time has been filled already.
    fn leave_out(&mut self, index: usize) {
        self.counters.late += 1;
        let position = self.position;
        self.consume(index);
        if self.state == State::Playing {
            self.position = self.position.max(position);
        }
    }

    /// Leaves out a packet to shorten the delay.
    fn skip(&mut self, index: usize) {
        self.counters.skipped += 1;
        self.consume(index);
    }

    /// So many packets wait that the delay aimed at cannot be held in the buffer.
    fn crowded(&self, sequence: u64) -> bool {
        self.sequences.highest().is_some_and(|highest| highest - sequence >= JITTER_PACKETS_MAX as u64 / 2)
    }

    fn drop_below(&mut self, sequence: u64) {
        while self.next < sequence {
            let Some(index) = self.front().filter(|&i| self.slots[i].sequence < sequence) else {
                self.next = sequence;
                return;
            };
            self.counters.skipped += 1;
            self.next = self.slots[index].sequence + 1;
            self.slots[index].sequence = 0;
        }
    }

    fn clear_slots(&mut self) {
        for slot in &mut self.slots {
            slot.sequence = 0;
        }
    }

    fn restart(&mut self, ssrc: u32) {
        self.clear_slots();
        self.ssrc = Some(ssrc);
        self.sequences = SequenceExtender::default();
        self.timestamps = TimestampExtender::default();
        // The network and both clocks are most likely what they were.
        self.delays.rebase();
        (self.held_back, self.spurt) = (None, None);
        self.state = State::Idle;
        self.last_end = None;
        self.pending = 0;
        self.bridged = i64::MIN;
        self.silent = None;
        self.received_here = 0;
        self.lost_before = self.counters.lost;
    }
}

fn samples_at(t: Timestamp) -> i64 {
    (u128::from(t.0) * 48 / 1_000_000) as i64
}
