//! What is said of a sound device: its first failure, not the attempts that follow.

use super::view::NoticeKind;
use crate::device::sound::SoundEvent;

/// One device of the own participant.
#[derive(Debug)]
pub struct Troubles {
    /// What is said when there is none.
    absent: &'static str,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Absent,
    Failed,
}

impl Troubles {
    /// Of the microphone.
    pub const fn microphone() -> Self {
        Self { absent: "no microphone was found: others do not hear you", told: Told::Nothing }
    }

    /// Of the speaker.
    pub const fn speaker() -> Self {
        Self { absent: "no speaker was found: you do not hear the others", told: Told::Nothing }
    }

    /// What is to be said of `event`.
    pub fn of<'a>(&mut self, event: &'a SoundEvent) -> Option<(NoticeKind, &'a str)> {
        let before = self.told;
        match event {
            SoundEvent::Ready { .. } => {
                self.told = Told::Nothing;
                None
            }
            // A device that failed and is now gone altogether is the same trouble.
            SoundEvent::Absent => {
                self.told = if before == Told::Nothing { Told::Absent } else { before };
                (before == Told::Nothing).then_some((NoticeKind::Info, self.absent))
            }
            SoundEvent::Failed { message, .. } => {
                self.told = Told::Failed;
                (before != Told::Failed).then_some((NoticeKind::Warning, message.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_said_once_until_the_device_works_again() {
        let failed = |why: &str| SoundEvent::Failed { message: why.into(), retry_in: None };
        let ready = || SoundEvent::Ready { device: "USB".into() };
        let mut troubles = Troubles::speaker();
        for (event, said) in [
            (SoundEvent::Absent, Some((NoticeKind::Info, "no speaker was found: you do not hear the others"))),
            (SoundEvent::Absent, None),
            (failed("busy"), Some((NoticeKind::Warning, "busy"))),
            (failed("busy still"), None),
            (SoundEvent::Absent, None),
            (ready(), None),
            (failed("gone"), Some((NoticeKind::Warning, "gone"))),
            (SoundEvent::Absent, None),
            (failed("busy"), None),
        ] {
            assert_eq!(troubles.of(&event), said, "{event:?}");
        }
    }
}
