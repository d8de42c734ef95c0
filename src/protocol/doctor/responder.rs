//! Answers probes: never more bytes than were asked, so many a second, and counts what came so that the asker learns
//! which of its probes did not.

use std::net::SocketAddr;

use crate::limits::{PROBE_ANSWERS_PER_RUN_MAX, PROBE_ANSWERS_PER_S_MAX, PROBE_CROWD_MAX, PROBE_RUNS_MAX};
use crate::protocol::rate::Rate;
use crate::time::{NtpTime, Timestamp};
use crate::wire::message::ConferenceId;
use crate::wire::probe::{self, Answer, Datagram, Probe, Way};

/// Answers a second to the group nobody joins.
const ASIDE_PER_S_MAX: u32 = 4;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// To the one who asked.
    Asker,
    /// To the discovery group.
    Group,
    /// To everybody on the link.
    Broadcast,
    /// To the group nobody joins.
    Aside,
}

/// How a probe came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// To the own socket; else to the discovery group or by broadcast.
    pub unicast: bool,
    /// Who sent it.
    pub source: SocketAddr,
    /// When it reached this machine.
    pub arrived: NtpTime,
}

/// Up to two places for one answer.
pub type Replies = [Option<ReplyTo>; 2];

#[derive(Debug)]
struct Run {
    source: SocketAddr,
    run: u64,
    heard: [u32; 3],
    rate: Rate,
}

/// Answers probes for one instance.
#[derive(Debug)]
pub struct Responder {
    instance: u64,
    conference: Option<ConferenceId>,
    /// The most recently heard last.
    runs: Vec<Run>,
    rate: Rate,
    aside: Rate,
    refused: u64,
}

impl Responder {
    /// For an instance of which `instance`, drawn at random, is the name; inside `conference`, if it is in one.
    pub fn new(instance: u64, conference: Option<ConferenceId>) -> Self {
        let runs = Vec::with_capacity(PROBE_RUNS_MAX);
        Self { instance, conference, runs, rate: Rate::default(), aside: Rate::default(), refused: 0 }
    }

    /// The name this instance answers by.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Probes that were malformed or too many.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes what may be a probe. `people` is how many are in the conference: of a crowd only some answer what goes to
    /// all. The answer is written into `out`.
    pub fn handle(
        &mut self,
        at: (Timestamp, NtpTime),
        came: Came,
        people: usize,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Replies {
        let Ok(Datagram::Probe(probe)) = probe::parse(datagram) else {
            self.refused += 1;
            return [None; 2];
        };
        let meant = probe.conference.is_none_or(|id| self.conference == Some(id));
        if !meant || (probe.way == Way::Unicast) != came.unicast {
            return [None; 2];
        }
        let Some(heard) = self.count(at.0, &probe, came.source) else {
            self.refused += 1;
            return [None; 2];
        };
        let replies = self.replies(at.0, &probe, people);
        if replies[0].is_some() {
            let answer = Answer {
                run: probe.run,
                number: probe.number,
                way: probe.way,
                origin: probe.origin,
                receive: came.arrived.0,
                transmit: at.1.0,
                instance: self.instance,
                heard,
                conference: self.conference,
            };
            answer.write(out);
        }
        replies
    }

    /// Counts the probe; `None` when it is one too many.
    fn count(&mut self, now: Timestamp, probe: &Probe, source: SocketAddr) -> Option<[u32; 3]> {
        let known = self.runs.iter().position(|r| r.run == probe.run && r.source == source);
        let run = match known {
            Some(place) => self.runs.remove(place),
            None => {
                if self.runs.len() >= PROBE_RUNS_MAX {
                    self.runs.remove(0);
                }
                Run { source, run: probe.run, heard: [0; 3], rate: Rate::default() }
            }
        };
        self.runs.push(run);
        let run = self.runs.last_mut()?;
        let heard = &mut run.heard[probe.way.index()];
        // What comes twice does not make up for what is lost.
        *heard = (*heard + 1).min(probe.number);
        let allowed = run.rate.take(now, PROBE_ANSWERS_PER_RUN_MAX) && self.rate.take(now, PROBE_ANSWERS_PER_S_MAX);
        allowed.then_some(run.heard)
    }

    fn replies(&mut self, now: Timestamp, probe: &Probe, people: usize) -> Replies {
        let group = match probe.way {
            Way::Unicast => return [Some(ReplyTo::Asker), None],
            Way::Multicast if probe.aside && self.aside.take(now, ASIDE_PER_S_MAX) => ReplyTo::Aside,
            Way::Multicast => ReplyTo::Group,
            Way::Broadcast => ReplyTo::Broadcast,
        };
        // Drawn anew for each run, the same for all its probes.
        let draw = (self.instance ^ probe.run).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let one_of_few = people <= PROBE_CROWD_MAX || draw as usize % people < PROBE_CROWD_MAX;
        if one_of_few { [Some(ReplyTo::Asker), Some(group)] } else { [None; 2] }
    }
}
