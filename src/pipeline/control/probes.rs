//! A participant answers doctors: on the discovery port and on its own socket.

use std::net::{Ipv4Addr, SocketAddr};

use super::Error;
use crate::device::identity::random_seed;
use crate::device::net::Datagram;
use crate::protocol::doctor::{Came, ReplyTo, Responder};
use crate::protocol::keys::Random;
use crate::protocol::session::{Channel, Moment, Session};
use crate::wire::address::{DISCOVERY_PORT, Plan};
use crate::wire::message::ConferenceId;
use crate::wire::probe::aside;

/// Answers for one participant.
pub(super) struct Probes {
    responder: Responder,
    reply: Vec<u8>,
}

impl Probes {
    pub(super) fn new(conference: ConferenceId) -> Result<Self, Error> {
        let instance = Random::new(*random_seed()?).next_u64();
        Ok(Self { responder: Responder::new(instance, Some(conference)), reply: Vec::new() })
    }

    /// Takes what is a probe or an answer to somebody else's.
    pub(super) fn answer(
        &mut self,
        at: Moment,
        channel: Channel,
        datagram: &Datagram<'_>,
        (session, plan): (&Session, &Plan),
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) {
        let came = Came {
            unicast: channel == Channel::Unicast,
            source: datagram.source,
            arrived: datagram.arrived.unwrap_or(at.wall),
        };
        let people = session.people().count() + 1;
        let replies = self.responder.handle((at.now, at.wall), came, people, datagram.bytes, &mut self.reply);
        for to in replies.into_iter().flatten() {
            let address = match to {
                ReplyTo::Asker => datagram.source,
                ReplyTo::Group => plan.discovery(),
                ReplyTo::Broadcast => (Ipv4Addr::BROADCAST, DISCOVERY_PORT).into(),
                ReplyTo::Aside => aside(plan.family()),
            };
            send(address, &self.reply);
        }
    }
}
