//! Datagrams of file groups.

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::{Key, Known, Mine, Openers, Role};
use crate::device::net::Interface;
use crate::limits::OBJECT_NACKS_PER_S_MAX;
use crate::protocol::keys::EpochKeys;
use crate::protocol::seal::{Opener, Refusal};
use crate::protocol::transfer::receiver::Source;
use crate::time::Timestamp;
use crate::wire::object::{self, END, ObjectNack, Symbol};
use crate::wire::sealed::{Class, Header};

/// What opens what `source` says about objects of that key. Each address has windows of its own: nobody uses up another's
/// numbers.
fn opener<'a>(openers: &'a mut Openers, keys: &EpochKeys, source: IpAddr, key: &[u8]) -> Option<&'a mut Opener> {
    let of_source = openers.entry(source).or_default();
    if !of_source.contains_key(key) {
        of_source.insert(Key(Zeroizing::new(key.to_vec())), Opener::object(keys.clone(), key));
    }
    of_source.get_mut(key)
}

impl Role {
    pub(in crate::pipeline::transfer) fn receive(&mut self) {
        let (mut ears, mut buffer) = (std::mem::take(&mut self.ears), std::mem::take(&mut self.buffer));
        let now = self.clock.now();
        let mut body = Vec::new();
        ears.read(&mut buffer, |group, batch| {
            for datagram in batch.datagrams() {
                self.hear(now, group, datagram.source.ip(), datagram.bytes, &mut body);
            }
        });
        (self.ears, self.buffer) = (ears, buffer);
    }

    pub(super) fn hear(&mut self, now: Timestamp, group: u8, source: IpAddr, datagram: &[u8], body: &mut Vec<u8>) {
        let Ok(header) = Header::parse(datagram) else {
            return;
        };
        match header.class {
            Class::Object => self.hear_symbol(now, source, &header, datagram, body),
            Class::Feedback => self.hear_feedback(now, group, source, &header, datagram, body),
            Class::Control => {}
        }
    }

    pub(super) fn hear_symbol(
        &mut self,
        now: Timestamp,
        source: IpAddr,
        header: &Header,
        datagram: &[u8],
        body: &mut Vec<u8>,
    ) {
        // Only of sessions that somebody offered something in: all else costs a look.
        let meant = |known: &&mut Known| known.offer.sid == header.sid && matches!(known.mine, Mine::Taking(_));
        let Some(known) = self.known.values_mut().find(meant) else {
            return;
        };
        // And from where whoever offers it is: others would use up numbers that are not theirs.
        if self.people.get(&known.from).is_none_or(|(_, address)| *address != source) {
            return;
        }
        let Some(opener) = opener(&mut self.openers, &self.config.keys, source, &known.key.0) else {
            return;
        };
        let first = match opener.open(now, source, datagram, body) {
            Ok(_) => true,
            // Who forges that address, too, may have used the number; a piece of a file is welcome however it is numbered.
            Err(Refusal::Replayed { .. }) if opener.reopen(now, source, datagram, body) => false,
            Err(_) => return,
        };
        let Ok(symbol) = Symbol::parse(body) else {
            return;
        };
        if !first && symbol.block == END {
            return;
        }
        let Mine::Taking(taking) = &mut known.mine else {
            return;
        };
        let object = taking.object;
        if symbol.tag != object.tag() {
            return;
        }
        known.heard = now;
        if first {
            taking.incoming.heard(now, header.sid, header.pn);
        }
        let mut steps = Vec::new();
        taking.symbol(now, Source::Group, &symbol, &mut steps);
        self.work_off(now, &object, &mut steps);
    }

    pub(super) fn hear_feedback(
        &mut self,
        now: Timestamp,
        group: u8,
        source: IpAddr,
        header: &Header,
        datagram: &[u8],
        body: &mut Vec<u8>,
    ) {
        if self.is_own(header.sid) || !self.nacks.take(now, OBJECT_NACKS_PER_S_MAX) {
            return;
        }
        let given = self.giving.values().filter(|g| g.group == group).map(|g| g.key.as_slice());
        let known = self.known.values().filter(|k| k.offer.group == u32::from(group)).map(|k| k.key.0.as_slice());
        let mut keys: Vec<&[u8]> = given.chain(known).collect();
        keys.sort_unstable();
        keys.dedup();
        if !self.people.values().any(|(_, address)| *address == source) {
            return;
        }
        let opened = keys.iter().any(|key| {
            let opener = opener(&mut self.openers, &self.config.keys, source, key);
            opener.is_some_and(|opener| opener.open(now, source, datagram, body).is_ok())
        });
        let Some(nack) = opened.then(|| ObjectNack::parse(body).ok()).flatten() else {
            return;
        };
        let (Some(object), Some(member)) = (nack.object(), nack.member()) else {
            return;
        };
        // Whoever says it must be where that member is.
        if self.people.get(&member).is_none_or(|(_, address)| *address != source) {
            return;
        }
        if let Some(giving) = self.giving.get_mut(&object) {
            giving.out.nack(now, &member, &nack);
        }
        if let Some(known) = self.known.get_mut(&object)
            && let Mine::Taking(taking) = &mut known.mine
        {
            if !nack.fetch.is_empty() && member == taking.from {
                taking.incoming.set_alone(object::named(&nack.fetch, &self.config.me));
            } else {
                taking.incoming.overheard(now, &nack);
            }
        }
    }

    pub(super) fn is_own(&self, sid: u64) -> bool {
        let given = self.giving.values().any(|giving| giving.sids().contains(&sid));
        given || self.known.values().any(|known| matches!(&known.mine, Mine::Taking(taking) if taking.sid() == sid))
    }

    /// Groups are joined again; under another address also with other sockets, and others fetch there.
    pub(super) fn network_returned(&mut self, interface: Interface, moved: bool) {
        if !moved {
            return self.ears.rejoin();
        }
        self.config.interface = interface;
        self.ears.close(&self.registry);
        if let Some(mut listener) = self.listener.take() {
            // Dropped right after, and with it the registration.
            let _ = self.registry.deregister(&mut listener);
        }
        self.listening = false;
    }

    pub(super) fn open_ears(&mut self) {
        let mut wanted: Vec<(u8, bool)> = self.giving.values().map(|giving| (giving.group, false)).collect();
        for known in self.known.values().filter(|known| matches!(known.mine, Mine::Taking(_))) {
            let group = known.offer.group as u8;
            wanted.extend([(group, true), (group, false)]);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let (plan, interface) = (&self.config.plan, &self.config.interface);
        if let Err(error) = self.ears.set(&wanted, plan, interface, &self.registry)
            && self.complaints.take(self.clock.now(), 1)
        {
            tracing::warn!(%error, "cannot hear a file group");
        }
        if !self.giving.is_empty() && !std::mem::replace(&mut self.listening, true) {
            self.listen();
        }
    }
}
