//! Puts the frames of one RTP/JPEG stream together again (RFC 2435, RFC 3550 appendix A).
//!
//! ```text
//! packet > payload type > headers > sequence > which frame > same header, tables known > bounds, overlap > in its place
//!              | wrong      | malformed | duplicate, late, unlikely       | conflict            | conflict
//!              v            v           v                                 v                     v
//!           rejected     rejected    counted                          rejected              rejected
//!
//! frames   finished | 1: ####.##.  2: ######..  3: #.......      at most three in assembly, by media time
//!                          2 complete -> 1 is given up, and counted as lost
//! ```
//! There is no jitter buffer: the newest complete frame wins, and a frame is given up when a newer one completes or three
//! newer ones are in assembly. The contiguous beginning of a frame is readable while the rest is on its way, so that a
//! decoder may start on it.
//!
//! The caller pins the SSRC: every packet pushed is of the one stream. What a hostile packet can cost is bounded: one
//! counter, or a fragment in a frame that then never completes. Nothing here panics on any bytes, and nothing allocates
//! once the buffers have grown to the stream's frames.

mod arrivals;
mod conceal;
mod frame;

use crate::limits::FRAMES_IN_ASSEMBLY_MAX;
use crate::time::{Timestamp, TimestampExtender};
use crate::wire::jpeg_payload::{self, JpegHeader, JpegPayload, Quantization, Tables, tables_for_quality};
use crate::wire::rtp;

use arrivals::{Arrival, Arrivals};
use conceal::Concealment;
use frame::{Frame, Growth};

/// Longest time between frames from which the stream's frame interval is learnt, in units of the 90 kHz clock.
const INTERVAL_MAX: u64 = 10 * 90_000;

/// Names a frame of a stream. Greater = captured later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId {
    /// Counts restarts of the sender.
    epoch: u32,
    /// Extended RTP timestamp.
    timestamp: u64,
    /// Made whole with parts of the frame before: another thing to decode than what came of it.
    concealed: bool,
}

/// What a packet brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to do: a fragment behind a gap, a duplicate, or a packet of a frame already finished.
    Nothing,
    /// More of the frame's beginning is readable.
    Advanced(FrameId),
    /// The frame is whole. It stays readable until released, or until its place is needed.
    Complete(FrameId),
}

/// Why a packet was refused. All are counted in [`Counters::rejected`]; none concerns the next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not [`rtp::PT_JPEG`].
    #[error("payload type {0} in a JPEG stream")]
    PayloadType(u8),
    /// The payload is malformed or of a kind not supported.
    #[error(transparent)]
    Payload(#[from] jpeg_payload::Error),
    /// The sequence number is far from the others; believed when the next packet follows it.
    #[error("sequence number {0} is far from the others")]
    Sequence(u16),
    /// Size, sampling, restart interval or Q differ from the frame's other packets.
    #[error("the packet's JPEG header differs from the others of its frame")]
    Header,
    /// The frame names tables (128 <= Q <= 254) that no earlier frame carried.
    #[error("quantization tables of Q {0} were never sent")]
    TablesUnknown(u8),
    /// The fragment overlaps other bytes than it brings, or stands behind the frame's end.
    #[error("the fragment contradicts the frame's other fragments")]
    Conflict,
    /// The frame has as many packets as a frame may have.
    #[error("too many packets in a frame")]
    TooManyPackets,
}

/// Counts since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames put together.
    pub frames_complete: u64,
    /// Frames given up and not even concealed, and frames of which nothing came (estimated by media time where sequence numbers are missing).
    pub frames_lost: u64,
    /// Distinct well-formed packets.
    pub packets_received: u64,
    /// Frames made whole with parts of the frame before.
    pub frames_concealed: u64,
    /// Sequence numbers that did not come (yet).
    pub packets_lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets of frames already finished.
    pub late: u64,
    /// Packets refused, see [`Error`].
    pub rejected: u64,
}

/// A look at a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// Size, sampling and restart interval; the offset is 0.
    pub header: JpegHeader,
    /// RTP timestamp.
    pub timestamp: u32,
    /// The scan from its beginning to the first gap.
    pub scan: &'a [u8],
    /// Whether `scan` is all of it.
    pub complete: bool,
    /// Quantization tables; meaningful once `scan` is not empty.
    pub tables: &'a Tables,
    /// When the first packet of it came.
    pub first_arrived: Timestamp,
    /// When the last packet of it came.
    pub arrived: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Assembling(FrameId),
    Complete(FrameId),
}

#[derive(Debug)]
struct Place {
    state: State,
    frame: Frame,
}

/// The last frame finished, complete or not.
#[derive(Clone, Copy, Debug)]
struct Finished {
    id: FrameId,
    /// Highest extended sequence number seen of it.
    sequence: u64,
    /// Whether that was the marker's.
    ended: bool,
}

/// One stream's frames in assembly.
#[derive(Debug)]
pub struct Reassembler {
    arrivals: Arrivals,
    epoch: u32,
    extender: TimestampExtender,
    places: [Place; FRAMES_IN_ASSEMBLY_MAX],
    finished: Option<Finished>,
    /// Media time between consecutive frames, smoothed; 0 = not known yet.
    interval: u64,
    /// Tables by Q, for 128 <= Q <= 254.
    named: Vec<(u8, Tables)>,
    /// The tables last computed, with their Q.
    computed: Option<(u8, Tables)>,
    /// The last frame released, for concealment.
    last: Option<Box<Frame>>,
    concealment: Concealment,
    counters: Counters,
}

impl Default for Reassembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Reassembler {
    /// A stream of which nothing came yet.
    pub fn new() -> Self {
        Self {
            arrivals: Arrivals::new(),
            epoch: 0,
            extender: TimestampExtender::default(),
            places: std::array::from_fn(|_| Place { state: State::Free, frame: Frame::new() }),
            finished: None,
            interval: 0,
            named: Vec::new(),
            computed: None,
            last: None,
            concealment: Concealment::default(),
            counters: Counters::default(),
        }
    }

    /// Takes the next packet of the stream, which arrived at `now`.
    ///
    /// # Errors
    /// See [`Error`]; the packet is counted and otherwise forgotten.
    pub fn push(&mut self, now: Timestamp, packet: &rtp::Packet) -> Result<Progress, Error> {
        let outcome = self.accept(now, packet);
        self.counters.rejected += u64::from(outcome.is_err());
        outcome
    }

    /// The frame, if it is in assembly, or complete and not released.
    pub fn frame(&self, id: FrameId) -> Option<FrameView<'_>> {
        let place = self.places.iter().find(|p| p.state == State::Assembling(id) || p.state == State::Complete(id))?;
        let frame = &place.frame;
        Some(FrameView {
            header: frame.header,
            timestamp: frame.timestamp,
            scan: frame.prefix(),
            complete: place.state == State::Complete(id),
            tables: &frame.tables,
            first_arrived: frame.first_arrived,
            arrived: frame.arrived,
        })
    }

    /// Frees a complete frame's place. Frames in assembly stay. The frame's bytes are kept until the next is released: a
    /// damaged frame may need parts of them.
    pub fn release(&mut self, id: FrameId) {
        for place in &mut self.places {
            if place.state == State::Complete(id) {
                place.state = State::Free;
                std::mem::swap(&mut place.frame, self.last.get_or_insert_with(|| Box::new(Frame::new())));
            }
        }
    }

    /// Makes the frame of RTP timestamp `timestamp` whole with parts of the frame before, if it is in assembly and that
    /// can be done: it is complete then, and named as returned. Frames older than it are given up.
    pub fn conceal(&mut self, timestamp: u32) -> Option<FrameId> {
        let (id, at) = self.places.iter().enumerate().find_map(|(at, place)| match place.state {
            State::Assembling(id) if place.frame.timestamp == timestamp => Some((id, at)),
            _ => None,
        })?;
        let (frame, before) = (&mut self.places[at].frame, self.last.as_ref()?);
        let segments = frame.header.segments()?;
        let began = !frame.prefix().is_empty();
        if !before.header.same_frame(&frame.header) || before.q != frame.q || (began && before.tables != frame.tables) {
            return None;
        }
        self.concealment.fill(frame, before, segments)?;
        frame.tables = before.tables;
        let concealed = FrameId { concealed: true, ..id };
        self.counters.frames_concealed += 1;
        self.settle(id, at);
        self.places[at].state = State::Complete(concealed);
        Some(concealed)
    }

    /// Counts since the stream began.
    pub fn counters(&self) -> Counters {
        Counters { packets_received: self.arrivals.received(), packets_lost: self.arrivals.lost(), ..self.counters }
    }

    fn accept(&mut self, now: Timestamp, packet: &rtp::Packet) -> Result<Progress, Error> {
        let header = packet.header;
        if header.payload_type != rtp::PT_JPEG {
            return Err(Error::PayloadType(header.payload_type));
        }
        let payload = JpegPayload::parse(packet.payload)?;
        let (sequence, newest) = match self.arrivals.arrive(header.sequence) {
            Arrival::Newest(n) => (n, true),
            Arrival::Behind(n) => (n, false),
            Arrival::Restarted(n) => {
                self.restart();
                (n, true)
            }
            Arrival::Duplicate => {
                self.counters.duplicates += 1;
                return Ok(Progress::Nothing);
            }
            Arrival::Unlikely => return Err(Error::Sequence(header.sequence)),
        };
        let Some(id) = self.identify(header.timestamp, newest) else {
            self.counters.late += 1;
            return Ok(Progress::Nothing);
        };
        let Some(at) = self.place(id, now, header.timestamp, &payload) else {
            self.counters.late += 1;
            return Ok(Progress::Nothing);
        };
        let outcome = self.insert(at, now, sequence, header.marker, &payload);
        if outcome.is_err() && self.places[at].frame.is_empty() {
            self.places[at].state = State::Free;
        }
        Ok(match outcome? {
            Growth::None => Progress::Nothing,
            Growth::Prefix => Progress::Advanced(id),
            Growth::Complete => {
                self.complete(id, at);
                Progress::Complete(id)
            }
        })
    }

    /// The frame a timestamp belongs to; `None` when it is finished already.
    fn identify(&mut self, timestamp: u32, newest: bool) -> Option<FrameId> {
        let id = FrameId { epoch: self.epoch, timestamp: self.extender.extend(timestamp), concealed: false };
        match self.finished {
            Some(finished) if id == finished.id => None,
            // Media time runs backwards in a packet sent later than all others: the sender has begun again.
            Some(finished) if id < finished.id && newest => {
                self.restart();
                Some(FrameId { epoch: self.epoch, timestamp: self.extender.extend(timestamp), concealed: false })
            }
            Some(finished) if id < finished.id => None,
            _ => Some(id),
        }
    }

    /// Begins a new count of media time. Frames in assembly have no successor that could complete them.
    fn restart(&mut self) {
        while let Some((oldest, at)) = self.oldest() {
            self.give_up(oldest, at);
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.extender = TimestampExtender::default();
        self.interval = 0;
    }

    /// The place of the frame `id`, made free for it if need be; `None` when it is older than all in assembly and there
    /// is no room for it.
    fn place(&mut self, id: FrameId, now: Timestamp, timestamp: u32, payload: &JpegPayload) -> Option<usize> {
        if let Some(at) = self.places.iter().position(|p| p.state == State::Assembling(id)) {
            return Some(at);
        }
        let free = self.places.iter().position(|p| p.state == State::Free);
        let released = || self.places.iter().position(|p| matches!(p.state, State::Complete(_)));
        let at = match free.or_else(released) {
            Some(at) => at,
            None => {
                let (oldest, at) = self.oldest()?;
                if oldest > id {
                    return None;
                }
                self.give_up(oldest, at);
                at
            }
        };
        let place = &mut self.places[at];
        place.state = State::Assembling(id);
        place.frame.begin(&payload.header, payload.quantization.q(), timestamp, now);
        Some(at)
    }

    fn insert(
        &mut self,
        at: usize,
        now: Timestamp,
        sequence: u64,
        marker: bool,
        payload: &JpegPayload,
    ) -> Result<Growth, Error> {
        let frame = &mut self.places[at].frame;
        if !frame.header.same_frame(&payload.header) || frame.q != payload.quantization.q() {
            return Err(Error::Header);
        }
        if payload.header.offset > 0 {
            return frame.insert(now, sequence, marker, payload);
        }
        let tables = match payload.quantization {
            Quantization::Here(_, bytes) => expand(bytes),
            Quantization::Computed(q) => match self.computed {
                Some((known, tables)) if known == q => tables,
                _ => self.computed.insert((q, tables_for_quality(q))).1,
            },
            Quantization::Elsewhere(q) => self.named.iter().find(|n| n.0 == q).ok_or(Error::TablesUnknown(q))?.1,
        };
        if !frame.prefix().is_empty() && frame.tables != tables {
            return Err(Error::Conflict);
        }
        let growth = frame.insert(now, sequence, marker, payload)?;
        frame.tables = tables;
        match payload.quantization {
            Quantization::Here(q, _) if q != jpeg_payload::Q_IN_BAND => {
                match self.named.iter_mut().find(|n| n.0 == q) {
                    Some(named) => named.1 = tables,
                    None => self.named.push((q, tables)),
                }
            }
            _ => {}
        }
        Ok(growth)
    }

    /// The frame at `at` is whole: those older than it are given up.
    fn complete(&mut self, id: FrameId, at: usize) {
        self.counters.frames_complete += 1;
        self.settle(id, at);
        self.places[at].state = State::Complete(id);
    }

    /// The frame at `at` is the newest there will be something to see of.
    fn settle(&mut self, id: FrameId, at: usize) {
        while let Some((older, place)) = self.oldest().filter(|o| o.0 < id) {
            self.give_up(older, place);
        }
        self.note_finished(id, at);
        // An older frame that nobody released is shown by nobody any more.
        for place in &mut self.places {
            if matches!(place.state, State::Complete(_)) {
                place.state = State::Free;
            }
        }
    }

    /// Gives up the frame `id` in assembly at `at`.
    fn give_up(&mut self, id: FrameId, at: usize) {
        self.counters.frames_lost += 1;
        self.note_finished(id, at);
        self.places[at].state = State::Free;
    }

    /// Compares a frame with the one finished before it: learns the interval, or counts the frames lost between them.
    fn note_finished(&mut self, id: FrameId, at: usize) {
        let frame = &self.places[at].frame;
        let (first, last) = frame.sequences;
        if let Some(before) = self.finished.filter(|b| b.id.epoch == id.epoch && b.id < id) {
            let step = id.timestamp - before.id.timestamp;
            let missing = first.saturating_sub(before.sequence + 1);
            if missing > 0 && self.interval > 0 {
                let between = ((step + self.interval / 2) / self.interval).saturating_sub(1);
                self.counters.frames_lost += between.min(missing);
            } else if missing == 0 && before.ended && !frame.prefix().is_empty() && step <= INTERVAL_MAX {
                self.interval = if self.interval == 0 { step } else { (7 * self.interval + step) / 8 };
            }
        }
        self.finished = Some(Finished { id, sequence: last, ended: frame.ended() });
    }

    /// The oldest frame in assembly, and its place.
    fn oldest(&self) -> Option<(FrameId, usize)> {
        let assembling = self.places.iter().enumerate().filter_map(|(at, p)| match p.state {
            State::Assembling(id) => Some((id, at)),
            _ => None,
        });
        assembling.min()
    }
}

/// One 8-bit table serves luma and chroma; two are one each.
fn expand(bytes: &[u8]) -> Tables {
    let mut tables = [0; 128];
    for (table, value) in tables.iter_mut().zip(bytes.iter().cycle()) {
        *table = *value;
    }
    tables
}

#[cfg(test)]
mod tests;
