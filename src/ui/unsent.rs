//! What was asked of a conference that is stuck: bounded, with what is outdated left out, and never without a microphone
//! that was switched off or the wish to leave.

use std::collections::VecDeque;
use std::mem::discriminant;

use crossbeam_channel::{Sender, TrySendError};

use crate::conference::view::Command;

/// Lines, files and the like that wait, at most.
const WAITING_MAX: usize = 64;

/// Commands that could not be handed on yet, in order.
#[derive(Default)]
pub struct Unsent(VecDeque<Command>);

/// Whether a command says how something shall be from now on, so that of several for the same thing the last counts.
fn is_state(command: &Command) -> bool {
    use Command::{Away, Camera, Hand, Hear, Improve, Leave, Mute, Pause, Priority, TalkMode, Threshold};
    use Command::{UseCamera, UseMicrophone, UseSpeaker};
    match command {
        Mute(_) | TalkMode(_) | Threshold(_) | Improve(..) | Priority(_) | Camera(_) | Hand(_) | Away(_) | Pause
        | Hear(..) => true,
        UseCamera(_) | UseMicrophone(_) | UseSpeaker(_) | Leave => true,
        Command::Say(_) | Command::Whisper(..) | Command::Reply(..) | Command::React(..) => false,
        Command::HearOf(..)
        | Command::Send(..)
        | Command::Accept(..)
        | Command::AcceptAlways(_)
        | Command::Decline(_) => false,
        Command::Voice(_) | Command::Door(_) | Command::Doctor(_) => false,
    }
}

/// Whether the later of two commands makes the earlier one pointless.
fn outdates(later: &Command, earlier: &Command) -> bool {
    if !is_state(later) || discriminant(later) != discriminant(earlier) {
        return false;
    }
    match (later, earlier) {
        (Command::Improve(one, _), Command::Improve(other, _)) => one == other,
        (Command::Hear(one, _), Command::Hear(other, _)) => one == other,
        _ => true,
    }
}

impl Unsent {
    /// Takes in what was asked for. While the conference is stuck so many may wait; of the rest only what says how things
    /// shall be is taken in, and that replaces what said it before.
    pub fn extend(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.0.retain(|earlier| !outdates(&command, earlier));
            // People whose volume was changed are many: they wait as lines do.
            let dear = is_state(&command) && !matches!(command, Command::Hear(..));
            if dear || self.0.len() < WAITING_MAX {
                self.0.push_back(command);
            }
        }
    }

    /// Hands on what there is. Never waits: while the channel is full the conference is stuck, and a microphone that was
    /// switched off must be off when it goes on.
    pub fn send(&mut self, commands: &Sender<Command>) {
        while let Some(command) = self.0.pop_front() {
            if let Err(TrySendError::Full(command)) = commands.try_send(command) {
                return self.0.push_front(command);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::taking::Improvement;

    #[test]
    fn a_stuck_conference_hears_of_mute_and_leave_whatever_waits_before_them() {
        let mut unsent = Unsent::default();
        for n in 0..1_000 {
            unsent.extend([
                Command::Say(n.to_string()),
                Command::Mute(n % 2 == 0),
                Command::Hear(n, Default::default()),
            ]);
        }
        unsent.extend([Command::Mute(true), Command::Camera(false), Command::Leave]);
        assert!(unsent.0.len() <= WAITING_MAX + 16, "{}", unsent.0.len());
        let (tell, told) = crossbeam_channel::bounded(1_000);
        unsent.send(&tell);
        let told: Vec<Command> = told.try_iter().collect();
        let mutes: Vec<_> = told.iter().filter(|c| matches!(c, Command::Mute(_))).collect();
        assert_eq!(mutes, [&Command::Mute(true)]);
        assert_eq!(told[0], Command::Say("0".into()), "what was said first is sent first");
        assert_eq!(told[told.len() - 2..], [Command::Camera(false), Command::Leave]);
    }

    #[test]
    fn only_what_is_about_the_same_thing_is_replaced() {
        let mut unsent = Unsent::default();
        let (echo, noise) = (Improvement::Echo, Improvement::Noise);
        unsent.extend([Command::Improve(echo, true), Command::Improve(noise, true), Command::Improve(echo, false)]);
        unsent.extend([Command::Say("a".into()), Command::Say("b".into())]);
        let kept = [Command::Improve(noise, true), Command::Improve(echo, false)];
        assert_eq!(unsent.0.iter().take(2).cloned().collect::<Vec<_>>(), kept);
        assert_eq!(unsent.0.len(), 4);
    }

    #[test]
    fn what_finds_no_room_waits_for_the_next_time() {
        let (tell, told) = crossbeam_channel::bounded(1);
        let mut unsent = Unsent::default();
        unsent.extend([Command::Mute(true), Command::Leave]);
        unsent.send(&tell);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Command::Mute(true)]);
        unsent.send(&tell);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Command::Leave]);
    }
}
