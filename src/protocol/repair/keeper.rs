//! The sender's side: the last frames' plain packets, and the parity that answers requests.
//!
//! ```text
//! packets as they are sent > frame: slots of SHARD_BYTES_MAX bytes  [length | packet | zeros]
//! request > stream? > frame known, whole, young? > k and base agree? > less what went out just now > budget > parity
//!             `------------------------- no: a counter -----------------'
//! ```
//! Parity is computed when a frame is first asked for, and each piece is handed out once; when all is handed out, the
//! frame's packets themselves follow. The budget grows with what the stream sends, so nobody makes it send more than a
//! quarter on top.

use std::time::Duration;

use super::AGE_MAX;
use crate::limits::{JPEG_PACKETS_MAX, REPAIR_BURST_PACKETS_MAX, REPAIR_FRAMES_KEPT_MAX, REPAIR_SHARE_PERCENT_MAX};
use crate::protocol::parity::Encoder;
use crate::time::Timestamp;
use crate::wire::repair::{
    Parity, ParityHeader, RepairRequest, SHARD_BYTES_MAX, SHARD_LENGTH_BYTES, SHARD_PACKET_BYTES_MAX, parity_max,
};
use crate::wire::rtp;

/// What went out so shortly before a request answers it too: whoever asked had not got it yet.
const JUST_NOW: Duration = Duration::from_millis(2);

/// Why a request is not answered, or not in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Of another stream.
    #[error("a request about another stream")]
    Stream,
    /// The frame is not kept: too old, never sent, or not all sent yet.
    #[error("a request about a frame that is not kept")]
    Frame,
    /// It asks for nothing, or describes the frame otherwise than it was sent.
    #[error("a request that does not fit its frame")]
    Numbers,
    /// As much was repaired as may be for now.
    #[error("the budget for repair is used up")]
    Budget,
}

/// Counts since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperCounters {
    /// Requests answered in full.
    pub answered: u64,
    /// Requests that needed no answer of their own, because parity was on its way.
    pub covered: u64,
    /// Requests refused, see [`Refusal`].
    pub refused: u64,
    /// Parity and packets sent again.
    pub packets: u64,
}

#[derive(Default)]
struct Kept {
    timestamp: u32,
    base: u16,
    packets: usize,
    /// Bytes of its shards.
    bytes: usize,
    /// When its last packet was sent.
    finished: Option<Timestamp>,
    /// Something is wrong with it: it is not repaired.
    spoilt: bool,
    /// Shards, [`SHARD_BYTES_MAX`] bytes apart.
    shards: Vec<u8>,
    parity: Vec<u8>,
    /// Parity, and after it packets, handed out.
    handed: usize,
    /// How many of those within [`JUST_NOW`], and when.
    recent: (Timestamp, usize),
}

impl Kept {
    fn begin(&mut self, header: &rtp::Header) {
        (self.timestamp, self.base) = (header.timestamp, header.sequence);
        (self.packets, self.bytes, self.handed) = (0, 0, 0);
        (self.finished, self.spoilt) = (None, false);
        self.recent = (Timestamp::default(), 0);
        self.shards.clear();
        self.parity.clear();
    }

    fn push(&mut self, now: Timestamp, header: &rtp::Header, packet: &[u8]) {
        let expected = self.base.wrapping_add(self.packets as u16);
        if packet.len() > SHARD_PACKET_BYTES_MAX || self.packets == JPEG_PACKETS_MAX || header.sequence != expected {
            self.spoilt = true;
            return;
        }
        self.packets += 1;
        self.bytes = self.bytes.max((SHARD_LENGTH_BYTES + packet.len()).next_multiple_of(2));
        self.shards.extend_from_slice(&(packet.len() as u16).to_be_bytes());
        self.shards.extend_from_slice(packet);
        self.shards.resize(self.packets * SHARD_BYTES_MAX, 0);
        self.finished = header.marker.then_some(now);
    }

    fn holds(&self, request: &RepairRequest) -> bool {
        let offset = (request.base as u16).wrapping_sub(self.base);
        usize::from(offset) < self.packets && request.frame.is_none_or(|frame| frame == self.timestamp)
    }

    fn shard(&self, index: usize) -> &[u8] {
        match index.checked_sub(self.packets) {
            None => &self.shards[index * SHARD_BYTES_MAX..][..self.bytes],
            Some(parity) => &self.parity[parity * self.bytes..][..self.bytes],
        }
    }

    /// The shard to be handed out next: parity while there is some, then the packets in turn.
    fn next(&mut self) -> usize {
        let (k, m) = (self.packets, parity_max(self.packets));
        let turn = self.handed;
        self.handed += 1;
        if turn < m { k + turn } else { (turn - m) % k }
    }
}

/// The last frames of one stream that is sent.
pub struct Keeper {
    ssrc: u32,
    frames: [Kept; REPAIR_FRAMES_KEPT_MAX],
    /// The frame that is being sent, or was last.
    newest: usize,
    begun: bool,
    encoder: Encoder,
    /// Hundredths of packets that may be sent.
    budget: usize,
    /// Of each packet sent, so much of one to be sent ahead of need.
    ahead: f64,
    counters: KeeperCounters,
}

impl Keeper {
    /// Of the stream `ssrc`.
    pub fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            frames: std::array::from_fn(|_| Kept::default()),
            newest: 0,
            begun: false,
            encoder: Encoder::default(),
            budget: 100 * REPAIR_BURST_PACKETS_MAX,
            ahead: 0.0,
            counters: KeeperCounters::default(),
        }
    }

    /// Forgets everything and goes on with the stream `ssrc`.
    pub fn restart(&mut self, ssrc: u32) {
        self.ssrc = ssrc;
        self.begun = false;
        self.frames.iter_mut().for_each(|frame| (frame.packets, frame.finished) = (0, None));
    }

    /// The stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// What was asked and answered.
    pub fn counters(&self) -> KeeperCounters {
        self.counters
    }

    /// Takes a plain packet that is being sent, in the order of the stream.
    pub fn keep(&mut self, now: Timestamp, packet: &[u8]) {
        let Ok((header, _)) = rtp::parse_header_only(packet) else { return };
        if header.ssrc != self.ssrc {
            // Of the stream before, which ends.
            return;
        }
        let newest = &self.frames[self.newest];
        if !self.begun || newest.timestamp != header.timestamp || newest.finished.is_some() {
            self.newest = (self.newest + usize::from(self.begun)) % REPAIR_FRAMES_KEPT_MAX;
            self.begun = true;
            self.frames[self.newest].begin(&header);
        }
        self.frames[self.newest].push(now, &header, packet);
        self.budget = (self.budget + REPAIR_SHARE_PERCENT_MAX).min(100 * REPAIR_BURST_PACKETS_MAX);
    }

    /// Loss that many receivers report, 0..1: parity goes out with each frame from now on. 0 ends that.
    pub fn set_loss(&mut self, loss: f64) {
        self.ahead = loss.clamp(0.0, 1.0);
    }

    /// Answers a request: hands the timestamp and payload of each packet to be sent to `send`.
    ///
    /// # Errors
    /// See [`Refusal`]; part of the answer may have been handed over for [`Refusal::Budget`].
    pub fn ask(
        &mut self,
        now: Timestamp,
        request: &RepairRequest,
        send: &mut impl FnMut(u32, &Parity<'_>),
    ) -> Result<(), Refusal> {
        let outcome = self.answer(now, request, send);
        self.counters.refused += u64::from(outcome.is_err());
        outcome
    }

    /// Sends parity of the frame just finished, when loss was reported that calls for it.
    pub fn ahead(&mut self, now: Timestamp, send: &mut impl FnMut(u32, &Parity<'_>)) {
        if self.ahead > 0.0 && self.begun {
            let frame = &self.frames[self.newest];
            if frame.finished.is_some() && frame.handed == 0 && !frame.spoilt {
                let count = super::parity_ahead(frame.packets, self.ahead).min(parity_max(frame.packets));
                self.hand_out(now, self.newest, count, send);
            }
        }
    }

    fn answer(
        &mut self,
        now: Timestamp,
        request: &RepairRequest,
        send: &mut impl FnMut(u32, &Parity<'_>),
    ) -> Result<(), Refusal> {
        if request.ssrc != self.ssrc {
            return Err(Refusal::Stream);
        }
        if request.deficit == 0 || request.base > 0xffff {
            return Err(Refusal::Numbers);
        }
        let young = |f: &Kept| f.finished.is_some_and(|at| now.since(at) <= AGE_MAX) && !f.spoilt;
        let at = self.frames.iter().position(|f| young(f) && f.holds(request)).ok_or(Refusal::Frame)?;
        let frame = &self.frames[at];
        let k = request.k as usize;
        if k != 0 && (k != frame.packets || request.base != u32::from(frame.base)) {
            return Err(Refusal::Numbers);
        }
        let recent = if now.since(frame.recent.0) <= JUST_NOW { frame.recent.1 } else { 0 };
        let wanted = (request.deficit as usize).min(frame.packets).saturating_sub(recent);
        if wanted == 0 {
            self.counters.covered += 1;
            return Ok(());
        }
        if self.hand_out(now, at, wanted, send) < wanted {
            return Err(Refusal::Budget);
        }
        self.counters.answered += 1;
        Ok(())
    }

    /// Hands out up to `wanted` shards of the frame at `at`; how many.
    fn hand_out(&mut self, now: Timestamp, at: usize, wanted: usize, send: &mut impl FnMut(u32, &Parity<'_>)) -> usize {
        let frame = &mut self.frames[at];
        let (k, bytes) = (frame.packets, frame.bytes);
        if frame.parity.is_empty() {
            let shards = frame.shards.chunks(SHARD_BYTES_MAX).map(|shard| &shard[..bytes]);
            if !self.encoder.encode((k, parity_max(k)), bytes, shards, &mut frame.parity) {
                frame.parity.clear();
                frame.spoilt = true;
                return 0;
            }
        }
        let count = wanted.min(self.budget / 100);
        self.budget -= 100 * count;
        for _ in 0..count {
            let index = frame.next();
            let header = ParityHeader { k, base: frame.base, index };
            send(frame.timestamp, &Parity { header, shard: frame.shard(index) });
        }
        let before = if now.since(frame.recent.0) <= JUST_NOW { frame.recent.1 } else { 0 };
        frame.recent = (now, before + count);
        self.counters.packets += count as u64;
        count
    }
}
