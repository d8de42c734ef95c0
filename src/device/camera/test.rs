//! The test card as a camera.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::fit::Fit;
use super::mailbox::Mailbox;
use super::{CameraError, Capture, Opened, Pacer, Source, Want};
use crate::device::clock::Clock;
use crate::media::test_card::TestCard;

pub(super) struct TestSource {
    card: TestCard,
    pacer: Pacer,
    clock: Clock,
    want: Want,
    frame: u64,
}

impl TestSource {
    /// The card's colours depend on the name alone, so a participant looks the same in every run.
    pub fn new(want: Want, name: &str, clock: Clock) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let (width, height, fps) = want;
        let card = TestCard::new(width, height, name, hasher.finish());
        Self { card, pacer: Pacer::new(f64::from(fps)), clock, want, frame: 0 }
    }
}

impl Source for TestSource {
    fn opened(&self) -> Opened {
        let (width, height, fps) = self.want;
        let size = Some((width, height));
        Opened { description: "test card".into(), size, fps: f64::from(fps), format: "planes".into() }
    }

    fn next(&mut self, mailbox: &Mailbox, fit: &mut Fit) -> Result<Option<Capture>, CameraError> {
        let due = self.pacer.next(self.clock.now());
        if mailbox.wait_until(due) {
            return Ok(None);
        }
        let (at, wall) = (self.clock.now(), self.clock.wall());
        let frame = fit.planes(|planes| {
            self.card.render(wall, self.frame, planes);
            Ok(())
        })?;
        self.frame += 1;
        Ok(Some(Capture { frame, at, wall }))
    }
}
