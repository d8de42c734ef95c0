//! Thread role: decodes the newest frame of each video stream into its tile's slot.
//!
//! ```text
//! receive ──offer──> inbox [ whole   ]  newest complete frame, capacity one
//!         (bands)          [ growing ]  beginning of the one after it
//!                       │ stream's turn: queue of its worker, once at most
//!                       v
//!                    worker: BandDecoder ─> Fitting ──publish──> PictureSlot
//! ```
//! The newest frame wins: a complete frame that was not begun when a newer one completes is skipped. A frame is decoded
//! and brought to the size of its tile while it still arrives, so that the network and the decoder work at the same time
//! and the window only copies. A stream that no tile shows is not decoded.
//!
//! `receive` never waits for a decoder: the inbox is locked only to copy compressed bytes. Nothing here touches sockets.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

use crate::device::clock::Clock;
use crate::media::grid::Fitting;
use crate::media::jpeg::{BandDecoder, FrameParams};
use crate::media::picture::{Chroma, Picture};
use crate::pipeline::slot::{PictureInfo, PictureSlot};
use crate::protocol::reassembler::{Counters, FrameId, FrameView};
use crate::time::{NtpTime, Timestamp};
use crate::wire::jpeg_payload::{JpegHeader, Sampling, Tables};

/// Figures of one received video stream. Written by its threads, read by anybody.
#[derive(Debug, Default)]
pub struct VideoStats {
    /// Frames put together.
    pub frames_complete: AtomicU64,
    /// Frames that never became complete, those estimated to have vanished whole included.
    pub frames_lost: AtomicU64,
    /// Pictures published in the slot.
    pub frames_decoded: AtomicU64,
    /// Complete frames not decoded because a newer one was there.
    pub frames_skipped: AtomicU64,
    /// Complete frames not decoded because no tile shows the stream.
    pub frames_unwanted: AtomicU64,
    /// Frames whose JPEG was damaged; those of them that left a picture count as decoded too.
    pub frames_damaged: AtomicU64,
    /// Distinct packets of the stream.
    pub packets_received: AtomicU64,
    /// Frames that became complete with parity only.
    pub frames_repaired: AtomicU64,
    /// Frames shown with rows of the frame before in place of what is missing.
    pub frames_concealed: AtomicU64,
    /// Packets that did not come but were rebuilt; they count as received too.
    pub packets_repaired: AtomicU64,
    /// Requests for repair sent.
    pub repairs_asked: AtomicU64,
    /// Packets that did not come.
    pub packets_lost: AtomicU64,
    /// Packets that came again.
    pub duplicates: AtomicU64,
    /// Packets refused: no RTP, or no JPEG as it is sent here, or at odds with their frame.
    pub rejected: AtomicU64,
    /// Packets of another source on the stream's port.
    pub foreign: AtomicU64,
    /// RTP bytes received, headers included.
    pub bytes: AtomicU64,
    /// When the last packet came ([`Timestamp`]); 0 = never.
    pub packet_at: AtomicU64,
    /// When the last picture was published ([`Timestamp`]); 0 = never.
    pub picture_at: AtomicU64,
    /// Size of the last frame before scaling: width in the high half, height in the low one.
    pub size: AtomicU64,
    /// Time spent decoding, nanoseconds.
    pub decode_ns: AtomicU64,
    /// From capture to the slot, of the last picture, nanoseconds; 0 = the sender's clock offset is unknown.
    pub latency_ns: AtomicU64,
}

impl VideoStats {
    /// Takes over the reassembler's counts; `malformed` packets never reached it.
    pub(super) fn store(&self, counters: &Counters, malformed: u64) {
        let pairs = [
            (&self.frames_complete, counters.frames_complete),
            (&self.frames_lost, counters.frames_lost),
            (&self.frames_concealed, counters.frames_concealed),
            (&self.packets_received, counters.packets_received),
            (&self.packets_lost, counters.packets_lost),
            (&self.duplicates, counters.duplicates),
            (&self.rejected, counters.rejected + malformed),
        ];
        for (figure, value) in pairs {
            figure.store(value, Ordering::Relaxed);
        }
    }

    /// Width and height of the last frame before scaling.
    pub fn true_size(&self) -> (usize, usize) {
        let size = self.size.load(Ordering::Relaxed);
        ((size >> 32) as usize, (size & 0xffff_ffff) as usize)
    }
}

fn add(figure: &AtomicU64, by: u64) {
    figure.fetch_add(by, Ordering::Relaxed);
}

/// Locks even when a thread panicked while it held the lock: what is inside is a value that any frame replaces.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// A frame's beginning, or all of it, on its way from the receiving thread to a worker.
struct Handed {
    id: Option<FrameId>,
    header: JpegHeader,
    tables: Tables,
    scan: Vec<u8>,
    arrived: Timestamp,
    captured: Option<NtpTime>,
}

impl Handed {
    fn new() -> Self {
        let header = JpegHeader { width: 0, height: 0, sampling: Sampling::H2V2, restart_interval: 0, offset: 0 };
        Self { id: None, header, tables: [0; 128], scan: Vec::new(), arrived: Timestamp::default(), captured: None }
    }

    /// Forgets the frame held for frame `id`; nothing happens when it is that one.
    fn turn_to(&mut self, id: FrameId, header: &JpegHeader, tables: &Tables) {
        if self.id != Some(id) {
            self.scan.clear();
            (self.id, self.header, self.tables) = (Some(id), *header, *tables);
        }
    }

    /// Appends what `scan`, all there is of the frame, has more than this.
    fn append(&mut self, scan: &[u8], arrived: Timestamp, captured: Option<NtpTime>) {
        (self.arrived, self.captured) = (arrived, captured);
        self.scan.extend_from_slice(scan.get(self.scan.len()..).unwrap_or_default());
    }
}

struct Inbox {
    /// The newest complete frame not taken yet, when its `id` is set.
    whole: Handed,
    /// The frame that arrives, when its `id` is set.
    growing: Handed,
}

/// The decoder of one stream and the frame it is at.
struct Decoding {
    decoder: BandDecoder,
    fitting: Fitting,
    frame: Handed,
    /// Of `frame`: nothing more is to be decoded of it.
    done: bool,
    /// Memory swapped with the slot's.
    picture: Picture,
}

/// One video stream between the receiving thread and its worker.
pub struct VideoStream {
    slot: Arc<PictureSlot>,
    stats: Arc<VideoStats>,
    /// The size its sender announced, which may be less than the multiples of 8 on the wire.
    true_size: Option<(usize, usize)>,
    inbox: Mutex<Inbox>,
    decoding: Mutex<Decoding>,
    waiting: AtomicBool,
    /// Which worker decodes it.
    worker: OnceLock<usize>,
}

impl VideoStream {
    /// A stream shown through `slot`. Fails only without memory.
    ///
    /// # Errors
    /// The codec's.
    pub fn new(
        slot: Arc<PictureSlot>,
        stats: Arc<VideoStats>,
        true_size: Option<(usize, usize)>,
    ) -> Result<Self, crate::media::jpeg::Error> {
        Ok(Self {
            slot,
            stats,
            true_size,
            inbox: Mutex::new(Inbox { whole: Handed::new(), growing: Handed::new() }),
            decoding: Mutex::new(Decoding {
                decoder: BandDecoder::new()?,
                fitting: Fitting::default(),
                frame: Handed::new(),
                done: true,
                picture: Picture::default(),
            }),
            waiting: AtomicBool::new(false),
            worker: OnceLock::new(),
        })
    }

    /// Whether a tile shows the stream.
    pub fn is_wanted(&self) -> bool {
        let (width, height) = self.slot.wanted();
        width > 0 && height > 0
    }

    /// The stream's figures.
    pub fn stats(&self) -> &VideoStats {
        &self.stats
    }

    /// Hands over what is new of a frame. `captured` is its capture time on this machine's wall clock. Returns whether
    /// there is something to decode.
    pub fn offer(&self, id: FrameId, view: &FrameView, captured: Option<NtpTime>) -> bool {
        if !self.is_wanted() {
            add(&self.stats.frames_unwanted, u64::from(view.complete));
            return false;
        }
        let Inbox { whole, growing } = &mut *lock(&self.inbox);
        if view.complete {
            add(&self.stats.frames_skipped, u64::from(whole.id.is_some()));
            if growing.id == Some(id) {
                std::mem::swap(whole, growing);
            }
            // What is older will not be decoded any more; what is newer goes on growing.
            growing.id = growing.id.filter(|&g| g > id);
        }
        let to = if view.complete { whole } else { growing };
        to.turn_to(id, &view.header, view.tables);
        to.append(view.scan, view.arrived, captured);
        true
    }

    /// Decodes what there is of the newest frame; `false` when there was nothing to do.
    pub fn step(&self, clock: &Clock) -> bool {
        let decoding = &mut *lock(&self.decoding);
        let Some((fresh, complete)) = self.fetch(&mut decoding.frame) else {
            return false;
        };
        let began = clock.now();
        if fresh {
            decoding.done = !self.begin(decoding);
        }
        if !decoding.done {
            decoding.done = self.decode(decoding, complete, clock);
        }
        add(&self.stats.decode_ns, clock.now().0.saturating_sub(began.0));
        true
    }

    /// Brings `frame` up to date: (whether it is another frame than before, whether it is complete).
    fn fetch(&self, frame: &mut Handed) -> Option<(bool, bool)> {
        let Inbox { whole, growing } = &mut *lock(&self.inbox);
        let (from, complete) = if whole.id.is_some() {
            (whole, true)
        } else if growing.id.is_some() && (growing.id != frame.id || growing.scan.len() > frame.scan.len()) {
            (growing, false)
        } else {
            return None;
        };
        let fresh = from.id != frame.id;
        if fresh && complete {
            std::mem::swap(frame, from);
        } else {
            frame.turn_to(from.id?, &from.header, &from.tables);
            frame.append(&from.scan, from.arrived, from.captured);
        }
        if complete {
            from.id = None;
        }
        Some((fresh, complete))
    }

    /// Begins the decoder's next frame at the size of the tile; whether it can be decoded.
    fn begin(&self, decoding: &mut Decoding) -> bool {
        let params = self.params(&decoding.frame);
        let (width, height) = params.shown_size();
        self.stats.size.store(((width as u64) << 32) | height as u64, Ordering::Relaxed);
        let tile = self.slot.wanted();
        let begun = decoding.decoder.begin(params, tile).is_ok();
        if begun {
            let Picture { width, height, .. } = *decoding.decoder.picture();
            decoding.fitting.begin((width, height), tile);
        }
        add(&self.stats.frames_damaged, u64::from(!begun));
        begun
    }

    /// Decodes what is new; whether nothing more is to be done for this frame.
    fn decode(&self, decoding: &mut Decoding, complete: bool, clock: &Clock) -> bool {
        let Decoding { decoder, fitting, .. } = decoding;
        let pushed = decoder.push(&decoding.frame.scan, complete);
        fitting.advance(decoder.picture(), decoder.rows_decoded());
        match pushed {
            Ok(false) => return false,
            Ok(true) => {}
            Err(e) => {
                add(&self.stats.frames_damaged, 1);
                if !e.left_a_picture() {
                    return true;
                }
            }
        }
        if !fitting.take(&mut decoding.picture) {
            decoder.take(&mut decoding.picture);
        }
        let info = PictureInfo {
            number: 0,
            captured: decoding.frame.captured,
            arrived: decoding.frame.arrived,
            true_size: self.params(&decoding.frame).shown_size(),
        };
        self.slot.publish(&mut decoding.picture, info);
        let latency = info.captured.map_or(0, |captured| clock.wall().nanos_from(captured).max(1) as u64);
        self.stats.latency_ns.store(latency, Ordering::Relaxed);
        self.stats.picture_at.store(clock.now().0, Ordering::Relaxed);
        add(&self.stats.frames_decoded, 1);
        true
    }

    fn params<'a>(&self, frame: &'a Handed) -> FrameParams<'a> {
        FrameParams {
            width: frame.header.width,
            height: frame.header.height,
            chroma: match frame.header.sampling {
                Sampling::H2V1 => Chroma::C422,
                Sampling::H2V2 => Chroma::C420,
            },
            restart_interval: frame.header.restart_interval,
            tables: &frame.tables,
            crop: self.true_size,
        }
    }
}

#[derive(Default)]
struct Turns {
    streams: VecDeque<Arc<VideoStream>>,
    stopping: bool,
}

#[derive(Default)]
struct Queue {
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl Queue {
    fn push(&self, stream: &Arc<VideoStream>) {
        if !stream.waiting.swap(true, Ordering::AcqRel) {
            lock(&self.turns).streams.push_back(stream.clone());
            self.changed.notify_one();
        }
    }

    /// Waits for the next stream's turn; `None` to stop.
    fn pop(&self) -> Option<Arc<VideoStream>> {
        let mut turns = lock(&self.turns);
        loop {
            if turns.stopping {
                return None;
            }
            if let Some(stream) = turns.streams.pop_front() {
                // Before the work: what is offered from now on needs another turn.
                stream.waiting.store(false, Ordering::Release);
                return Some(stream);
            }
            turns = self.changed.wait(turns).unwrap_or_else(|e| e.into_inner());
        }
    }

    fn run(&self, clock: &Clock) {
        while let Some(stream) = self.pop() {
            // One step a turn, so that no stream holds up the others.
            if stream.step(clock) {
                self.push(&stream);
            }
        }
    }
}

/// The worker threads. Dropping it stops and joins them; a step takes some milliseconds at most.
pub struct Decoders {
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
    /// Streams that were given a worker.
    given: AtomicUsize,
}

impl Decoders {
    /// Starts `threads` workers (at least one).
    ///
    /// # Errors
    /// When the system makes no thread.
    pub fn start(threads: usize, clock: &Clock) -> std::io::Result<Self> {
        let mut decoders = Self { queues: Vec::new(), threads: Vec::new(), given: AtomicUsize::new(0) };
        for n in 0..threads.max(1) {
            let queue = Arc::new(Queue::default());
            let (worker, clock) = (queue.clone(), clock.clone());
            let thread =
                std::thread::Builder::new().name(format!("video-decode-{n}")).spawn(move || worker.run(&clock))?;
            decoders.queues.push(queue);
            decoders.threads.push(thread);
        }
        Ok(decoders)
    }

    /// Gives a stream a turn on its worker. Workers are given out by turns, so that each has as many streams.
    pub fn wake(&self, stream: &Arc<VideoStream>) {
        let worker = *stream.worker.get_or_init(|| self.given.fetch_add(1, Ordering::Relaxed));
        self.queues[worker % self.queues.len()].push(stream);
    }
}

impl Drop for Decoders {
    fn drop(&mut self) {
        for queue in &self.queues {
            lock(&queue.turns).stopping = true;
            queue.changed.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A worker that panicked has nothing left to be stopped.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
