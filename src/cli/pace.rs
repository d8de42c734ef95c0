//! Lines on their way from stdin to the others: no more at once than can be said, and none left behind at the end.
//!
//! The thread that reads stdin asks and waits; the one that reads the conference's events notes what became of each.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::conference::Event;
use crate::conference::view::Command;

/// Lines asked for and not yet said or refused; the conference holds back four times as many.
const AHEAD: u64 = 16;

/// How far lines have come.
#[derive(Debug, Default)]
pub struct Pace {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    settled: u64,
    /// The last line said, as long as somebody who is here may not have it. Whoever has it has those before.
    unheard: Option<String>,
    over: bool,
}

impl State {
    fn is_busy(&self) -> bool {
        !self.over && self.asked - self.settled >= AHEAD
    }

    fn is_under_way(&self) -> bool {
        !self.over && (self.asked > self.settled || self.unheard.is_some())
    }
}

fn is_line(command: &Command) -> bool {
    matches!(command, Command::Say(_) | Command::Whisper(..) | Command::Reply(..) | Command::React(..))
}

impl Pace {
    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers stay usable whatever happened to a thread that held them.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts one more line, when there is room for it.
    fn ask(&self) {
        let waited = self.changed.wait_while(self.state(), |state| state.is_busy());
        waited.unwrap_or_else(|e| e.into_inner()).asked += 1;
    }

    /// Waits until there is room for what is about to be asked.
    pub fn before(&self, command: &Command) {
        if is_line(command) {
            self.ask();
        }
    }

    /// As [`before`](Self::before), but returns false where that would wait.
    pub fn has_room_for(&self, command: &Command) -> bool {
        let mut state = self.state();
        let room = !is_line(command) || !state.is_busy();
        state.asked += u64::from(room && is_line(command));
        room
    }

    /// Takes in what became of lines.
    pub fn note(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::Said { id } => {
                state.settled += 1;
                state.unheard = Some(id.clone());
            }
            Event::Unsaid { .. } => state.settled += 1,
            Event::Delivered { id, have, present } if have >= present => {
                state.unheard.take_if(|last| last == id);
            }
            Event::Unheard { id, .. } => {
                state.unheard.take_if(|last| last == id);
            }
            _ => return,
        }
        self.changed.notify_all();
    }

    /// Nothing more is noted: nobody waits any longer.
    pub fn end(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }

    /// Waits until everybody has everything that was asked for, or until it is clear that nobody will; so long at most.
    pub fn wait_until_heard(&self, at_most: Duration) {
        drop(self.changed.wait_timeout_while(self.state(), at_most, |state| state.is_under_way()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: &str) -> Event {
        Event::Said { id: id.into() }
    }

    #[test]
    fn the_last_line_said_counts_until_all_have_it_or_nobody_will() {
        let delivered = |id: &str, have, present| Event::Delivered { id: id.into(), have, present };
        let unheard = |id: &str| Event::Unheard { id: id.into(), text: String::new() };
        let unsaid = || Event::Unsaid { text: String::new(), why: String::new() };
        for (asked, events, under_way) in [
            (0, vec![], false),
            (1, vec![], true),
            (1, vec![unsaid()], false),
            (1, vec![said("a")], true),
            (1, vec![said("a"), delivered("a", 1, 2)], true),
            (1, vec![said("a"), delivered("a", 2, 2)], false),
            (1, vec![said("a"), unheard("a")], false),
            (2, vec![said("a"), delivered("a", 1, 1)], true),
            (2, vec![said("a"), said("b"), delivered("a", 1, 1)], true),
            (2, vec![said("a"), said("b"), delivered("b", 1, 1)], false),
        ] {
            let pace = Pace::default();
            (0..asked).for_each(|_| pace.ask());
            events.iter().for_each(|event| pace.note(event));
            assert_eq!(pace.state().is_under_way(), under_way, "{asked} {events:?}");
        }
    }

    #[test]
    fn whoever_asks_too_much_waits_for_room_or_the_end() {
        for release in [|pace: &Pace| pace.note(&said("a")), Pace::end] {
            let pace = Pace::default();
            (0..AHEAD).for_each(|_| pace.ask());
            assert!(pace.state().is_busy());
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| pace.ask());
                release(&pace);
                asking.join().unwrap();
            });
            assert_eq!(pace.state().asked, AHEAD + 1);
        }
    }
}
