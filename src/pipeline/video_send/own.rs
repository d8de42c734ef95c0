//! The own tile: the camera's picture at the size shown, without the way over the network.

use std::sync::Arc;

use crate::device::camera::Capture;
use crate::media::convert::Scaler;
use crate::media::jpeg::{self, BandDecoder, Conforming};
use crate::media::picture::{Picture, Yuv};
use crate::pipeline::slot::{PictureInfo, PictureSlot};

/// Makes the own tile's pictures.
pub(super) struct OwnPicture {
    slot: Arc<PictureSlot>,
    scaler: Scaler,
    decoder: BandDecoder,
    picture: Picture,
}

impl OwnPicture {
    pub(super) fn new(slot: Arc<PictureSlot>) -> Result<Self, jpeg::Error> {
        Ok(Self { slot, scaler: Scaler::default(), decoder: BandDecoder::new()?, picture: Picture::default() })
    }

    fn wanted(&self) -> Option<(usize, usize)> {
        Some(self.slot.wanted()).filter(|w| w.0 > 0 && w.1 > 0)
    }

    pub(super) fn show(&mut self, picture: &Yuv, capture: &Capture) {
        if let Some(wanted) = self.wanted() {
            self.scaler.to_picture(picture, wanted, &mut self.picture);
            self.publish(capture, (picture.width, picture.height));
        }
    }

    pub(super) fn show_jpeg(&mut self, jpeg: &Conforming, capture: &Capture) {
        let Some(wanted) = self.wanted() else { return };
        let shown = self.decoder.begin(jpeg.params(), wanted).and_then(|()| self.decoder.push(jpeg.scan, true));
        // A damaged picture still shows its owner that the camera works.
        if shown.map_or_else(|e| e.left_a_picture(), |_| true) {
            self.decoder.take(&mut self.picture);
            self.publish(capture, (jpeg.width, jpeg.height));
        }
    }

    fn publish(&mut self, capture: &Capture, true_size: (usize, usize)) {
        let info = PictureInfo { number: 0, captured: Some(capture.wall), arrived: capture.at, true_size };
        self.slot.publish(&mut self.picture, info);
    }
}
