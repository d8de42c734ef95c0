//! The network under a conference: it goes and comes back, changes its address, and forgets who listens.
//!
//! ```text
//! Watch ──> down: told │ back: every group joined again │ moved: sockets renewed, the new address told to everybody
//! arrivals of each group, what its sender says ──> Membership ──> groups joined again
//! the wall clock ran on while the other stood still: the machine slept ──> as after coming back
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::director::{Director, SECOND};
use super::follow::stream_key;
use super::relaying::{PASSED, Relays};
use super::view::NoticeKind;
use crate::device::net::{Change, Interface, Watch};
use crate::pipeline::control;
use crate::protocol::membership::Membership;
use crate::protocol::transport::Reach;
use crate::time::{NtpTime, Timestamp};

/// How often the interface and the groups are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The wall clock may be set; a machine that slept shorter than this has lost nothing either.
const SLEPT_NS: i64 = 3_000_000_000;

const FORGETFUL: &str = "this network forgets who listens, so pictures and voices stopped; they are asked for again \
    from now on. Your switch has IGMP snooping but no querier: whoever minds it can switch one on";

/// What is known of the network.
pub(super) struct Network {
    watch: Watch,
    membership: Membership<IpAddr>,
    next: Timestamp,
    looked: Option<(Timestamp, NtpTime)>,
    due: Vec<IpAddr>,
    blamed: bool,
    healing: bool,
    /// Own rung, as told.
    pub(super) reach: Reach,
    pub(super) relays: Relays,
    /// What arrived by groups, and when control was last told that something did.
    arrived: u64,
    flow_told: Timestamp,
    /// Too many groups of streams stay silent: told.
    pub(super) failing: bool,
    /// Own streams go to the control group.
    pub(super) single: bool,
}

impl Network {
    /// On `interface`; `pinned` when the user named it.
    pub(super) fn new(interface: Interface, pinned: bool) -> Self {
        Self {
            watch: Watch::new(interface, pinned),
            membership: Membership::new(),
            next: Timestamp(0),
            looked: None,
            due: Vec::new(),
            blamed: false,
            healing: false,
            reach: Reach::Groups,
            relays: Relays::default(),
            arrived: 0,
            flow_told: Timestamp(0),
            failing: false,
            single: false,
        }
    }
}

const SINGLE: &str = "this network does not carry the groups of streams: all streams share one group from now on";
const UNICAST: &str = "multicast does not reach you: the others send you copies of what they send";
/// Groups that stay silent, whatever is done, while control is heard: fewer may be their senders' fault.
const HOPELESS: usize = 2;

/// What arrived from one group so far, and whether anybody says that they send to it; a subscription of it.
#[derive(Clone, Copy, Default)]
struct Flow {
    arrived: u64,
    expected: bool,
    key: u64,
}

/// Whether the machine slept between two moments: the wall clock ran on, and the other stood still.
fn slept(before: (Timestamp, NtpTime), now: (Timestamp, NtpTime)) -> bool {
    now.1.nanos_from(before.1) - now.0.since(before.0).as_nanos() as i64 > SLEPT_NS
}

impl Director {
    /// Looks at the network when it is time to.
    pub(super) fn mind_network(&mut self, now: Timestamp) {
        if now < self.network.next {
            return;
        }
        self.network.next = now + LOOK;
        let wall = self.shared.clock.wall();
        let slept = self.network.looked.replace((now, wall)).is_some_and(|before| slept(before, (now, wall)));
        let before = self.network.watch.interface().clone();
        match self.network.watch.look() {
            Some(Change::Down(why)) => {
                self.say(NoticeKind::Warning, &format!("the network is down: {why}"));
            }
            Some(Change::Back(interface)) => {
                self.say(NoticeKind::Info, &format!("the network is back ({})", interface.name));
                self.network_returned(now, interface, false);
            }
            Some(Change::Moved(interface)) => self.moved(now, before, interface),
            None if slept => {
                tracing::info!("the machine slept");
                self.network_returned(now, before, false);
            }
            None => {}
        }
        self.mind_groups(now);
        self.mind_single(now);
        self.mind_copies(now);
    }

    fn moved(&mut self, now: Timestamp, before: Interface, interface: Interface) {
        if let Err(error) = self.socket.renew(&interface) {
            // As long as an address is not usable yet.
            tracing::debug!(%error, "the new address cannot be used yet");
            self.network.watch.undo(before);
            return;
        }
        self.say(
            NoticeKind::Info,
            &format!("the network is back: you are now at {} ({})", interface.addr, interface.name),
        );
        self.shared.state().interface = interface.name.clone();
        self.network_returned(now, interface, true);
    }

    fn network_returned(&mut self, now: Timestamp, interface: Interface, moved: bool) {
        self.control.send(control::Command::Network(Box::new(interface.clone()), moved));
        self.network_for_files(&interface, moved);
        if moved {
            self.receiver.renew(interface);
        }
        self.network.membership.network_returned(now);
    }

    fn mind_groups(&mut self, now: Timestamp) {
        let flows = self.flows();
        let arrived = flows.values().fold(0, |sum: u64, flow| sum.wrapping_add(flow.arrived));
        if arrived != self.network.arrived && now.since(self.network.flow_told) >= SECOND {
            (self.network.arrived, self.network.flow_told) = (arrived, now);
            self.control.send(control::Command::GroupsFlow);
        }
        let network = &mut self.network;
        for (&group, flow) in &flows {
            network.membership.observe(now, group, flow.arrived, flow.expected);
        }
        network.membership.retain(|group| flows.contains_key(&group));
        let mut due = std::mem::take(&mut network.due);
        network.membership.timeout(now, &mut due);
        for group in due.drain(..) {
            tracing::debug!(%group, "joined again");
            flows.get(&group).into_iter().for_each(|flow| self.receiver.rejoin(flow.key));
        }
        self.network.due = due;
        if self.network.membership.is_healing() && !std::mem::replace(&mut self.network.healing, true) {
            self.control.send(control::Command::Refresh);
        }
        let fails = self.network.reach == Reach::Groups && self.network.membership.hopeless().count() >= HOPELESS;
        if fails && !std::mem::replace(&mut self.network.failing, true) {
            self.control.send(control::Command::StreamsFail);
        }
        if self.network.membership.take_healed() && !std::mem::replace(&mut self.network.blamed, true) {
            self.say(NoticeKind::Warning, FORGETFUL);
        }
    }

    /// Another rung of the own: told once in words.
    pub(super) fn reached(&mut self, reach: Reach) {
        if std::mem::replace(&mut self.network.reach, reach) == reach {
            return;
        }
        self.shared.state().own.reach = reach;
        match reach {
            Reach::Groups => self.say(NoticeKind::Info, "multicast reaches you again"),
            Reach::Single => self.say(NoticeKind::Info, SINGLE),
            Reach::Unicast => self.say(NoticeKind::Warning, UNICAST),
        }
    }

    fn flows(&self) -> BTreeMap<IpAddr, Flow> {
        let mut expected: Vec<u64> = Vec::new();
        for other in self.shared.state().people.here() {
            let sent = other.person.streams.iter().filter(|stream| stream.active);
            expected.extend(sent.map(|stream| stream_key(other.key, stream.kind)));
        }
        let mut flows = BTreeMap::<IpAddr, Flow>::new();
        for (key, group, arrived) in self.receiver.arrivals() {
            let flow = flows.entry(group).or_default();
            flow.arrived = flow.arrived.wrapping_add(arrived);
            flow.expected |= expected.contains(&(key & !PASSED));
            flow.key = key;
        }
        flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_slept_when_the_wall_clock_ran_on_alone() {
        let began = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
        let at = |monotonic_ms: u64, wall_ms: u64| {
            (Timestamp::from_millis(monotonic_ms), began.offset(wall_ms as i64 * 1_000_000))
        };
        for (monotonic_ms, wall_ms, expected) in [
            (250, 250, false),
            (250, 3_249, false),
            (250, 3_251, true),
            // A process that stood still while the machine went on has its streams' silence to tell it.
            (60_000, 60_000, false),
            // The wall clock was set back.
            (250, 0, false),
        ] {
            let (before, now) = (at(1_000, 100_000), at(1_000 + monotonic_ms, 100_000 + wall_ms));
            assert_eq!(slept(before, now), expected, "{monotonic_ms} and {wall_ms} ms");
        }
    }
}
