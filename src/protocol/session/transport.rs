//! What a session says of how it is reached, and does for those who hear no group.

use std::net::SocketAddr;

use super::{Event, Moment, Outputs, Session, To};
use crate::protocol::roster::Person;
use crate::protocol::transport::{self, Reach};
use crate::wire::message::Kind;
use crate::wire::relay::Introduction;

impl Session {
    /// The instance's own socket has another address.
    pub fn set_address(&mut self, at: Moment, address: SocketAddr, out: &mut Outputs) {
        if self.me.address != address {
            self.me.address = address;
            self.change(at, out);
        }
    }

    /// Others learn at once what this participant hears, and whether its streams go to the control group.
    pub fn set_reach(&mut self, at: Moment, reach: Reach, single: bool, out: &mut Outputs) {
        if (self.me.reach, self.me.single) != (reach, single) {
            (self.me.reach, self.me.single) = (reach, single);
            self.wishes.interests.set_aloof(reach == Reach::Unicast);
            self.change(at, out);
        }
    }

    /// Tells those who hear no group, at `deaf`, of each other.
    pub fn introduce(&mut self, deaf: &[SocketAddr], out: &mut Outputs) {
        for &to in deaf {
            let others = deaf.iter().copied().filter(|&other| other != to);
            self.post(To::Unicast(to), Kind::Introduction(Introduction::of(others)), out);
        }
    }

    /// Somebody tells of others who hear no group: only whoever relays, as far as is known here, and from its own address.
    pub(super) fn hear_introduction(&mut self, source: SocketAddr, sid: u64, told: Introduction, out: &mut Outputs) {
        let relay = transport::relay(self.roster.people().filter_map(Person::able_to_relay));
        let by = self.roster.member(sid).filter(|p| p.address == source && Some(p.id) == relay);
        if by.is_some() {
            out.events.push(Event::Introduced(told));
        } else {
            self.counters.unauthorized += 1;
        }
    }

    /// The port that takes copies of streams.
    pub fn set_direct(&mut self, at: Moment, port: u16, out: &mut Outputs) {
        if self.me.direct != port {
            self.me.direct = port;
            self.change(at, out);
        }
    }
}
