//! What is said of a sound device: its first failure, not the attempts that follow, and which one is used for one that is not
//! there.

use std::borrow::Cow;

use super::view::NoticeKind;
use crate::device::sound::SoundEvent;

/// One device of the own participant.
#[derive(Debug)]
pub struct Troubles {
    /// What is said when there is none.
    absent: &'static str,
    told: Told,
    /// What was said last of a device that is used for another, until that one works.
    instead: Option<String>,
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
        Self { absent: "no microphone was found: others do not hear you", told: Told::Nothing, instead: None }
    }

    /// Of the speaker.
    pub const fn speaker() -> Self {
        Self { absent: "no speaker was found: you do not hear the others", told: Told::Nothing, instead: None }
    }

    /// What is to be said of `event`.
    pub fn of<'a>(&mut self, event: &'a SoundEvent) -> Option<(NoticeKind, Cow<'a, str>)> {
        let before = self.told;
        match event {
            SoundEvent::Ready { device, instead } => {
                self.told = Told::Nothing;
                let told = self.instead.take();
                self.instead.clone_from(instead);
                match instead {
                    Some(text) => (told.as_ref() != Some(text)).then_some((NoticeKind::Warning, text.into())),
                    None => told.map(|_| (NoticeKind::Info, format!("{device} is used again").into())),
                }
            }
            // A device that failed and is now gone altogether is the same trouble.
            SoundEvent::Absent => {
                self.told = if before == Told::Nothing { Told::Absent } else { before };
                (before == Told::Nothing).then_some((NoticeKind::Info, self.absent.into()))
            }
            SoundEvent::Failed { message, .. } => {
                self.told = Told::Failed;
                (before != Told::Failed).then_some((NoticeKind::Warning, message.into()))
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
        let ready = || SoundEvent::Ready { device: "USB".into(), instead: None };
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
            let said = said.map(|(kind, text)| (kind, Cow::Borrowed(text)));
            assert_eq!(troubles.of(&event), said, "{event:?}");
        }
    }

    #[test]
    fn a_device_used_for_another_is_told_once_and_so_is_the_other_when_it_is_back() {
        let ready = |device: &str, instead: Option<&str>| SoundEvent::Ready {
            device: device.into(),
            instead: instead.map(str::to_owned),
        };
        let failed = SoundEvent::Failed { message: "gone".into(), retry_in: None };
        let mut troubles = Troubles::microphone();
        for (event, said) in [
            (ready("USB", None), None),
            (failed.clone(), Some((NoticeKind::Warning, "gone"))),
            (ready("built-in", Some("built-in for USB")), Some((NoticeKind::Warning, "built-in for USB"))),
            (ready("built-in", Some("built-in for USB")), None),
            (failed, Some((NoticeKind::Warning, "gone"))),
            (ready("built-in", Some("built-in for USB")), None),
            (ready("webcam", Some("webcam for USB")), Some((NoticeKind::Warning, "webcam for USB"))),
            (ready("USB", None), Some((NoticeKind::Info, "USB is used again"))),
            (ready("USB", None), None),
        ] {
            let said = said.map(|(kind, text)| (kind, Cow::Borrowed(text)));
            assert_eq!(troubles.of(&event), said, "{event:?}");
        }
    }
}
