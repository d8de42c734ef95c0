//! The place where a decoder leaves a picture and the window finds it.
//!
//! ```text
//! decoder --publish--> [ newest picture ] --take--> window
//! decoder <--wanted--- [ tile size      ] <-want--- window
//! ```
//! Capacity one, newest wins. Pictures are swapped, never copied, and neither side waits for the other's work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::media::picture::Picture;
use crate::time::{NtpTime, Timestamp};

/// What is known of a picture beside its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureInfo {
    /// Counts the pictures published in this slot, from 1.
    pub number: u64,
    /// When the picture was captured, on this machine's wall clock; `None` while the sender's clock offset is unknown.
    pub captured: Option<NtpTime>,
    /// When the last packet of it arrived, or when the own camera delivered it.
    pub arrived: Timestamp,
    /// Size before scaling, in pixels.
    pub true_size: (usize, usize),
}

#[derive(Default)]
struct Newest {
    picture: Picture,
    info: PictureInfo,
    fresh: bool,
}

/// One tile's picture: newest wins.
#[derive(Default)]
pub struct PictureSlot {
    newest: Mutex<Newest>,
    published: AtomicU64,
    /// Width in the high half, height in the low half; 0 = not shown.
    wanted: AtomicU64,
}

impl PictureSlot {
    /// Swaps `picture` in; afterwards `picture` holds an old one whose memory may be reused. Returns whether the
    /// picture that was there had been taken (false: it was never shown).
    pub fn publish(&self, picture: &mut Picture, mut info: PictureInfo) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(|e| e.into_inner());
        info.number = self.published.fetch_add(1, Ordering::Release) + 1;
        std::mem::swap(&mut newest.picture, picture);
        newest.info = info;
        !std::mem::replace(&mut newest.fresh, true)
    }

    /// Number of pictures published so far: cheap to poll for a change.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Swaps the newest picture out when there is one not yet taken.
    pub fn take(&self, into: &mut Picture) -> Option<PictureInfo> {
        let mut newest = self.newest.lock().unwrap_or_else(|e| e.into_inner());
        if !std::mem::replace(&mut newest.fresh, false) {
            return None;
        }
        std::mem::swap(&mut newest.picture, into);
        Some(newest.info)
    }

    /// The window says at which size it shows this picture; `(0, 0)` = not shown, so nothing need be decoded.
    pub fn want(&self, width: usize, height: usize) {
        let size = ((width as u64) << 32) | (height as u64 & 0xffff_ffff);
        self.wanted.store(size, Ordering::Relaxed);
    }

    /// Width and height the window shows this picture at.
    pub fn wanted(&self) -> (usize, usize) {
        let size = self.wanted.load(Ordering::Relaxed);
        ((size >> 32) as usize, (size & 0xffff_ffff) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_picture_wins_and_is_taken_once() {
        let slot = PictureSlot::default();
        let mut p = Picture { width: 1, height: 1, pixels: vec![1] };
        assert!(slot.publish(&mut p, PictureInfo::default()));
        p = Picture { width: 1, height: 1, pixels: vec![2] };
        assert!(!slot.publish(&mut p, PictureInfo::default()), "the first one was never taken");
        assert_eq!(p.pixels, [1], "the memory of the unseen picture comes back");
        let mut shown = Picture::default();
        assert_eq!(slot.take(&mut shown).map(|i| i.number), Some(2));
        assert_eq!(shown.pixels, [2]);
        assert!(slot.take(&mut shown).is_none());
        slot.want(320, 180);
        assert_eq!(slot.wanted(), (320, 180));
    }
}
