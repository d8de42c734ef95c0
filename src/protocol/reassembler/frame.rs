//! One frame in assembly: the scan's bytes at their places, and which of them are there.
//!
//! ```text
//! scan   [########........####....###]      fragments copied once, to where they belong
//! there  (0,8)     (16,20)   (24,27)        sorted, disjoint, never touching
//!         `-- contiguous prefix: what a decoder may already see
//! ```
//! The buffer keeps its memory and its old bytes from frame to frame; nothing outside `there` is ever shown.

use crate::limits::JPEG_PACKETS_MAX;
use crate::time::Timestamp;
use crate::wire::jpeg_payload::{JpegHeader, JpegPayload, Tables};

use super::Error;

/// What an accepted fragment changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Nothing a decoder could use.
    None,
    /// The contiguous prefix is longer.
    Prefix,
    /// Everything up to the marker is there.
    Complete,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: JpegHeader,
    pub(super) q: u8,
    pub(super) timestamp: u32,
    pub(super) tables: Tables,
    pub(super) first_arrived: Timestamp,
    pub(super) arrived: Timestamp,
    /// Lowest and highest extended sequence number seen.
    pub(super) sequences: (u64, u64),
    packets: usize,
    scan: Vec<u8>,
    there: Vec<(usize, usize)>,
    /// Where the marker packet ends.
    end: Option<usize>,
}

impl Frame {
    pub(super) fn new() -> Self {
        Self {
            header: JpegHeader {
                width: 0,
                height: 0,
                sampling: crate::wire::jpeg_payload::Sampling::H2V2,
                restart_interval: 0,
                offset: 0,
            },
            q: 0,
            timestamp: 0,
            tables: [0; 128],
            first_arrived: Timestamp::default(),
            arrived: Timestamp::default(),
            sequences: (u64::MAX, 0),
            packets: 0,
            scan: Vec::new(),
            there: Vec::new(),
            end: None,
        }
    }

    /// Forgets the last frame, keeps the memory.
    pub(super) fn begin(&mut self, header: &JpegHeader, q: u8, timestamp: u32, now: Timestamp) {
        (self.header, self.q, self.timestamp) = (JpegHeader { offset: 0, ..*header }, q, timestamp);
        (self.first_arrived, self.arrived) = (now, now);
        self.sequences = (u64::MAX, 0);
        self.packets = 0;
        self.there.clear();
        self.end = None;
    }

    /// Puts a fragment in its place. The caller has checked that header and Q agree, and bounded offset and length.
    pub(super) fn insert(
        &mut self,
        now: Timestamp,
        sequence: u64,
        marker: bool,
        payload: &JpegPayload,
    ) -> Result<Growth, Error> {
        if self.packets == JPEG_PACKETS_MAX {
            return Err(Error::TooManyPackets);
        }
        let start = payload.header.offset as usize;
        let end = start + payload.scan.len();
        self.check_end(end, marker)?;
        let (first, behind) = self.check_overlap(start, end, payload.scan)?;
        self.packets += 1;
        self.sequences = (self.sequences.0.min(sequence), self.sequences.1.max(sequence));
        self.arrived = now;
        if marker {
            self.end = Some(end);
        }
        let before = self.prefix().len();
        if start < end {
            if self.scan.len() < end {
                self.scan.resize(end, 0);
            }
            self.scan[start..end].copy_from_slice(payload.scan);
            self.cover(start, end, first, behind);
        }
        Ok(match self.prefix().len() {
            after if Some(after) == self.end && after > 0 => Growth::Complete,
            after if after > before => Growth::Prefix,
            _ => Growth::None,
        })
    }

    /// The scan from its first byte to the first gap.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.there.first() {
            Some(&(0, end)) => &self.scan[..end],
            _ => &[],
        }
    }

    /// All bytes of the scan that came, at their places; between the stretches of [`there`](Self::there) stands anything.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.scan
    }

    /// The stretches that came, in order.
    pub(super) fn there(&self) -> &[(usize, usize)] {
        &self.there
    }

    /// Where the scan ends, once the packet with the marker came.
    pub(super) fn end(&self) -> Option<usize> {
        self.end
    }

    /// Puts a whole scan in place of what came, and gives the old bytes' memory.
    pub(super) fn replace(&mut self, scan: &mut Vec<u8>) {
        std::mem::swap(&mut self.scan, scan);
        self.there.clear();
        self.there.push((0, self.scan.len()));
        self.end = Some(self.scan.len());
    }

    /// Whether the packet with the marker came.
    pub(super) fn ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether nothing was accepted yet.
    pub(super) fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The frame ends where its marker packet ends, and nowhere else.
    fn check_end(&self, end: usize, marker: bool) -> Result<(), Error> {
        let farthest = self.there.last().map_or(0, |r| r.1);
        match self.end {
            Some(known) if end > known || (marker && end != known) => Err(Error::Conflict),
            None if marker && farthest > end => Err(Error::Conflict),
            _ => Ok(()),
        }
    }

    /// The ranges that `start..end` touches or overlaps, as `first..behind`. Bytes already there must be the same.
    fn check_overlap(&self, start: usize, end: usize, bytes: &[u8]) -> Result<(usize, usize), Error> {
        let first = self.there.partition_point(|r| r.1 < start);
        let mut behind = first;
        while let Some(&(s, e)) = self.there.get(behind).filter(|r| r.0 <= end) {
            let (from, to) = (s.max(start), e.min(end));
            if from < to && self.scan[from..to] != bytes[from - start..to - start] {
                return Err(Error::Conflict);
            }
            behind += 1;
        }
        Ok((first, behind))
    }

    fn cover(&mut self, start: usize, end: usize, first: usize, behind: usize) {
        if first == behind {
            self.there.insert(first, (start, end));
            return;
        }
        self.there[first] = (start.min(self.there[first].0), end.max(self.there[behind - 1].1));
        self.there.drain(first + 1..behind);
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> (usize, usize, *const u8) {
        (self.scan.capacity(), self.there.capacity(), self.scan.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jpeg_payload::{Quantization, Sampling};

    /// Inserts fragments `(offset, bytes, marker)` and compares the outcome of the last and the prefix afterwards.
    fn check(fragments: &[(u32, &[u8], bool)], last: Result<Growth, Error>, prefix: &[u8]) {
        let mut header = JpegHeader { width: 16, height: 16, sampling: Sampling::H2V2, restart_interval: 0, offset: 0 };
        let mut frame = Frame::new();
        frame.begin(&header, 50, 0, Timestamp(1));
        let mut outcome = Ok(Growth::None);
        for (i, &(offset, scan, marker)) in fragments.iter().enumerate() {
            header.offset = offset;
            let payload = JpegPayload { header, quantization: Quantization::Computed(50), scan };
            outcome = frame.insert(Timestamp(2), i as u64, marker, &payload);
        }
        assert_eq!((outcome, frame.prefix()), (last, prefix), "{fragments:?}");
    }

    #[test]
    fn the_prefix_grows_to_the_first_gap_and_over_it_when_it_is_filled() {
        check(&[(0, b"ab", false)], Ok(Growth::Prefix), b"ab");
        check(&[(2, b"cd", false)], Ok(Growth::None), b"");
        check(&[(0, b"ab", false), (3, b"d", false)], Ok(Growth::None), b"ab");
        check(&[(0, b"ab", false), (3, b"d", false), (2, b"c", false)], Ok(Growth::Prefix), b"abcd");
        check(&[(0, b"ab", false), (3, b"d", true), (2, b"c", false)], Ok(Growth::Complete), b"abcd");
    }

    #[test]
    fn only_coverage_from_zero_to_the_marker_is_complete() {
        check(&[(0, b"ab", true)], Ok(Growth::Complete), b"ab");
        check(&[(1, b"b", true)], Ok(Growth::None), b"");
        check(&[(1, b"b", true), (0, b"a", false)], Ok(Growth::Complete), b"ab");
        check(&[(0, b"ab", false), (2, b"", true)], Ok(Growth::Complete), b"ab");
        check(&[(0, b"", true)], Ok(Growth::None), b"");
    }

    #[test]
    fn overlaps_must_agree() {
        check(&[(0, b"abc", false), (1, b"bcd", false)], Ok(Growth::Prefix), b"abcd");
        check(&[(0, b"abc", false), (1, b"bXd", false)], Err(Error::Conflict), b"abc");
        check(&[(0, b"abc", false), (1, b"b", false)], Ok(Growth::None), b"abc");
        check(&[(0, b"a", false), (2, b"c", false), (0, b"abcd", false)], Ok(Growth::Prefix), b"abcd");
        check(&[(0, b"a", false), (2, b"c", false), (0, b"abXd", false)], Err(Error::Conflict), b"a");
    }

    #[test]
    fn nothing_stands_behind_the_marker() {
        check(&[(0, b"ab", true), (2, b"c", false)], Err(Error::Conflict), b"ab");
        check(&[(0, b"ab", true), (1, b"b", true)], Ok(Growth::Complete), b"ab");
        check(&[(1, b"b", true), (0, b"a", true)], Err(Error::Conflict), b"");
        check(&[(5, b"f", false), (0, b"ab", true)], Err(Error::Conflict), b"");
    }

    #[test]
    fn a_frame_takes_so_many_packets_and_no_more() {
        let fragments: Vec<(u32, &[u8], bool)> =
            (0..JPEG_PACKETS_MAX as u32 + 1).map(|i| (2 * i + 1, &b"x"[..], false)).collect();
        check(&fragments[..JPEG_PACKETS_MAX], Ok(Growth::None), b"");
        check(&fragments, Err(Error::TooManyPackets), b"");
    }
}
