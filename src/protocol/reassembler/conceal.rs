//! Concealment: the stretches between restart markers that are missing of a frame are taken from the frame before.
//!
//! ```text
//! before   [ 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 ]     segments between restart markers (RST0..RST7, then RST0 again)
//! frame    [ 0 | 1 | 2 .....  4 | 5 | 6 ...]     what came; a segment counts when both its ends came
//! result   [ 0 | 1 |(2)|(3)| 4 | 5 |(6)|(7)]     renumbered, a whole frame for any decoder
//! ```
//! A segment's entropy coding starts afresh, so segments of two frames of one size and the same tables fit together. The
//! marker's number tells a segment's place modulo 8; which eight, the frame before tells, because segments differ little
//! in size from frame to frame. Behind a gap that reaches the end nothing is known but what can be counted backwards.

use crate::limits::JPEG_FRAME_BYTES_MAX;

use super::frame::Frame;

/// How far places are looked for around the likeliest, in turns of eight markers.
const TURNS: usize = 256;

/// Finds restart markers, and where each segment of a whole scan stands.
#[derive(Debug, Default)]
pub(super) struct Concealment {
    /// Bounds of the segments of the frame before: begin and end, without markers.
    before: Vec<(usize, usize)>,
    /// Of each segment of the frame, where it stands in the scan; `None` when it is missing.
    here: Vec<Option<(usize, usize)>>,
    /// Markers of one stretch: offset of the 0xFF and number.
    marks: Vec<(usize, u8)>,
    scan: Vec<u8>,
}

/// Appends the restart markers in `bytes[from..to]` to `marks`. In entropy-coded data each 0xFF that is no marker is
/// followed by a zero.
fn restarts(bytes: &[u8], from: usize, to: usize, marks: &mut Vec<(usize, u8)>) {
    let mut at = from;
    while let Some(step) = bytes[at..to].iter().position(|&byte| byte == 0xff) {
        at += step;
        match bytes[..to].get(at + 1) {
            Some(code @ 0xd0..=0xd7) => marks.push((at, code - 0xd0)),
            Some(_) => {}
            None => return,
        }
        at += 1;
    }
}

impl Concealment {
    /// Makes `frame` whole with segments of `before`, a whole frame of the same size and tables, both of `segments`
    /// segments. How many were taken; `None`, and nothing changed, when that cannot be done, or nothing of the frame could
    /// be used.
    pub(super) fn fill(&mut self, frame: &mut Frame, before: &Frame, segments: usize) -> Option<usize> {
        self.find_before(before.prefix(), segments)?;
        self.find_here(frame, segments)?;
        let taken = self.here.iter().filter(|s| s.is_none()).count();
        if taken == segments {
            return None;
        }
        self.scan.clear();
        for (index, (here, before_at)) in self.here.iter().zip(&self.before).enumerate() {
            if index > 0 {
                self.scan.extend_from_slice(&[0xff, 0xd0 + ((index - 1) % 8) as u8]);
            }
            let (bytes, (from, to)) = match here {
                Some(bounds) => (frame.bytes(), *bounds),
                None => (before.prefix(), *before_at),
            };
            self.scan.extend_from_slice(&bytes[from..to]);
        }
        if self.scan.len() > JPEG_FRAME_BYTES_MAX {
            return None;
        }
        frame.replace(&mut self.scan);
        Some(taken)
    }

    fn find_before(&mut self, scan: &[u8], segments: usize) -> Option<()> {
        self.marks.clear();
        restarts(scan, 0, scan.len(), &mut self.marks);
        self.before.clear();
        let mut from = 0;
        for (index, &(at, number)) in self.marks.iter().enumerate() {
            if usize::from(number) != index % 8 {
                return None;
            }
            self.before.push((from, at));
            from = at + 2;
        }
        self.before.push((from, scan.len()));
        (self.before.len() == segments).then_some(())
    }

    fn find_here(&mut self, frame: &Frame, segments: usize) -> Option<()> {
        self.here.clear();
        self.here.resize(segments, None);
        let end = frame.end();
        // The last place known: a segment's index and where it begins.
        let mut known = (0, 0);
        for &(from, to) in frame.there() {
            self.marks.clear();
            restarts(frame.bytes(), from, to, &mut self.marks);
            let closed = end == Some(to);
            let (mut index, mut begin) = if from == 0 {
                (0, Some(0))
            } else {
                let Some(&(at, number)) = self.marks.first() else { continue };
                let first = if closed {
                    segments.checked_sub(self.marks.len())?
                } else {
                    self.place(known, at + 2, number, segments - 1)?
                };
                // What stands before the first marker has its beginning in the gap.
                if first <= known.0 {
                    return None;
                }
                (first - 1, None)
            };
            for &(at, number) in &self.marks {
                if index + 1 >= segments || usize::from(number) != index % 8 {
                    return None;
                }
                if let Some(begin) = begin {
                    self.here[index] = Some((begin, at));
                }
                (index, begin) = (index + 1, Some(at + 2));
                known = (index, at + 2);
            }
            if closed {
                self.here[index] = begin.map(|begin| (begin, to));
            }
        }
        Some(())
    }

    /// Which segment begins at `at` behind marker `number`: the one that the frame before makes likeliest, counted from
    /// the last place known.
    fn place(&self, known: (usize, usize), at: usize, number: u8, most: usize) -> Option<usize> {
        let (from, known_at) = known;
        let origin = self.before.get(from)?.0;
        let expected = origin + at.saturating_sub(known_at);
        let first = from + 1 + (usize::from(number) + 8 - from % 8) % 8;
        let distance = |index: usize| self.before.get(index).map_or(usize::MAX, |s| s.0.abs_diff(expected));
        (first..=most).step_by(8).take(TURNS).min_by_key(|&index| distance(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::wire::jpeg_payload::{JpegHeader, JpegPayload, Quantization, Sampling};

    /// A scan of so many segments, each of its own byte and somewhat different length.
    fn scan(segments: usize, salt: u8) -> Vec<u8> {
        let mut scan = Vec::new();
        for n in 0..segments {
            if n > 0 {
                scan.extend([0xff, 0xd0 + ((n - 1) % 8) as u8]);
            }
            scan.extend(vec![(n as u8 ^ salt) & 0x7f; 20 + (n * 7 + usize::from(salt)) % 5]);
            scan.extend([0xff, 0]);
        }
        scan
    }

    fn frame(scan: &[u8], lost: &[(usize, usize)]) -> Frame {
        let header = JpegHeader { width: 16, height: 16, sampling: Sampling::H2V2, restart_interval: 1, offset: 0 };
        let mut frame = Frame::new();
        frame.begin(&header, 255, 0, Timestamp(1));
        let step = 10;
        for offset in (0..scan.len()).step_by(step) {
            let end = (offset + step).min(scan.len());
            if lost.iter().any(|l| l.0 < end && l.1 > offset) {
                continue;
            }
            let header = JpegHeader { offset: offset as u32, ..header };
            let payload = JpegPayload { header, quantization: Quantization::Computed(50), scan: &scan[offset..end] };
            frame.insert(Timestamp(1), offset as u64, end == scan.len(), &payload).unwrap();
        }
        frame
    }

    /// Loses `lost` of a frame; which segments come from the frame before, `None` when it cannot be done.
    fn check(segments: usize, lost: &[(usize, usize)]) -> Option<Vec<usize>> {
        let (new, old) = (scan(segments, 0x40), scan(segments, 3));
        let (mut here, before) = (frame(&new, lost), frame(&old, &[]));
        let taken = Concealment::default().fill(&mut here, &before, segments)?;
        let of = |scan: &[u8]| {
            let mut c = Concealment::default();
            c.find_before(scan, segments).expect("a whole scan");
            c.before.iter().map(|&(from, to)| scan[from..to].to_vec()).collect::<Vec<_>>()
        };
        let (new, old, result) = (of(&new), of(&old), of(here.prefix()));
        let mut from_before = Vec::new();
        for n in 0..segments {
            if result[n] == old[n] {
                from_before.push(n);
            } else {
                assert_eq!(result[n], new[n], "segment {n}");
            }
        }
        assert_eq!(taken, from_before.len());
        Some(from_before)
    }

    #[test]
    fn missing_segments_come_from_the_frame_before() {
        assert_eq!(check(12, &[(60, 61)]), Some(vec![2]));
        assert_eq!(check(12, &[(0, 1)]), Some(vec![0]));
        assert_eq!(check(12, &[(280, 300)]), Some(vec![10, 11]));
        assert_eq!(check(12, &[(60, 61), (150, 200)]), Some(vec![2, 5, 6, 7]));
        assert_eq!(check(1, &[(0, 1)]), None, "nothing of it came");
        assert_eq!(check(12, &[(0, 1_000)]), None);
    }

    #[test]
    fn gaps_of_more_than_eight_segments_are_placed_by_the_frame_before() {
        let taken = check(40, &[(100, 400)]).unwrap();
        assert_eq!((taken.first(), taken.last()), (Some(&3), Some(&15)));
        assert_eq!(check(40, &[(100, 400), (500, 510)]).unwrap().len(), 14);
        assert_eq!(check(40, &[(100, 960)]).unwrap().len(), 34, "counted from the end");
    }

    #[test]
    fn frames_of_other_segments_are_left_alone() {
        let (new, old) = (scan(8, 1), scan(9, 2));
        let (mut here, before) = (frame(&new, &[(30, 31)]), frame(&old, &[]));
        for segments in [8, 9] {
            assert_eq!(Concealment::default().fill(&mut here, &before, segments), None);
        }
        let mut marks = scan(8, 1);
        let first = marks.windows(2).position(|w| w == [0xff, 0xd0]).unwrap();
        marks[first + 1] = 0xd5;
        let mut here = frame(&marks, &[(70, 71)]);
        assert_eq!(Concealment::default().fill(&mut here, &frame(&scan(8, 2), &[]), 8), None);
        assert_eq!(restarts_of(&[0xff]), [], "half a marker");
    }

    fn restarts_of(bytes: &[u8]) -> Vec<(usize, u8)> {
        let mut marks = Vec::new();
        restarts(bytes, 0, bytes.len(), &mut marks);
        marks
    }
}
