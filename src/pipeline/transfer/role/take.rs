//! Files that are taken.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::fetch::{self, Fetched};
use super::super::taking::{self, Step, Taking};
use super::{Event, FETCH_AGAIN, FETCHED, Known, Mine, REJOIN, Role};
use crate::device::files;
use crate::device::net::{Dscp, scoped};
use crate::limits::{OBJECT_BLOCKS_IN_ASSEMBLY_MAX, OBJECTS_RECEIVED_MAX};
use crate::protocol::transfer::manifest::Layout;
use crate::protocol::transfer::receiver::Source;
use crate::time::Timestamp;
use crate::wire::object::{ObjectId, Reason, Symbol};

impl Role {
    pub(super) fn begin_taking(&mut self, now: Timestamp) {
        let mut room = OBJECTS_RECEIVED_MAX
            .saturating_sub(self.known.values().filter(|k| matches!(k.mine, Mine::Taking(_))).count());
        let mut failed = Vec::new();
        for (object, known) in &mut self.known {
            let Mine::Waiting(folder, name) = &known.mine else {
                continue;
            };
            if room == 0 {
                break;
            }
            room -= 1;
            let mut seed = [0; 32];
            seed.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.random.next_u64().to_be_bytes()));
            let (from, offer, sid) = (known.from, known.offer.clone(), self.random.next_u64());
            let setup = taking::Setup {
                me: self.config.me,
                from,
                offer,
                folder,
                key: known.key.0.clone(),
                name: name.as_deref(),
                seed,
                sid,
            };
            known.answer_at = Some(now);
            known.heard = now;
            match Taking::begin(now, *object, setup, &self.config.keys) {
                Ok(taking) => known.mine = Mine::Taking(Box::new(taking)),
                Err(error) => {
                    let reason = reason_of(&error);
                    known.mine = Mine::Declined(reason);
                    failed.push((*object, error.to_string()));
                }
            }
        }
        for (object, why) in failed {
            self.tell(Event::Failed { object, why, resumes: false });
        }
    }

    pub(super) fn take_steps(&mut self, now: Timestamp) {
        let mut steps = Vec::new();
        let group = 1 + self.known.values().map(|k| k.others.values().filter(|has| !**has).count()).max().unwrap_or(0);
        let objects: Vec<ObjectId> = self.known.keys().copied().collect();
        for object in objects {
            let Some(known) = self.known.get_mut(&object) else {
                continue;
            };
            let Mine::Taking(taking) = &mut known.mine else {
                continue;
            };
            taking.incoming.set_group(group);
            taking.timeout(now, &mut steps);
            if taking.has_to_read()
                && let Err(error) = taking.read_back()
            {
                steps.push(Step::Unwritable(error));
            }
            let ready = taking.is_ready();
            if now.since(known.heard) >= REJOIN {
                known.heard = now;
                self.ears.rejoin();
            }
            self.work_off(now, &object, &mut steps);
            if ready {
                self.finish(now, &object);
            }
        }
        self.fetch(now);
    }

    pub(super) fn work_off(&mut self, now: Timestamp, object: &ObjectId, steps: &mut Vec<Step>) {
        for step in steps.drain(..) {
            match step {
                Step::Say(datagram) => {
                    let group = self.known.get(object).map_or(0, |known| known.offer.group as u8);
                    self.feed_back(group, &datagram);
                }
                Step::Spoiled(block) => {
                    if self.complaints.take(now, 1) {
                        tracing::warn!("somebody here sends wrong pieces of a file; they are fetched from its sender");
                    }
                    if let Some(known) = self.known.get_mut(object) {
                        known.fetch_only.push(block);
                    }
                }
                Step::Broken(why) => {
                    self.decline(now, object, Reason::GaveUp);
                    self.tell(Event::Failed { object: *object, why: why.to_owned(), resumes: false });
                }
                Step::Arrived(at, bytes) => self.tell(Event::Arrived { object: *object, at, bytes }),
                Step::Unwritable(error) => {
                    self.decline(now, object, reason_of(&error));
                    self.tell(Event::Failed { object: *object, why: error.to_string(), resumes: false });
                }
            }
        }
    }

    /// Says something to all who have to do with a file group.
    pub(super) fn feed_back(&self, group: u8, datagram: &[u8]) {
        let mut to = self.config.plan.files(group);
        to.set_port(to.port() + 1);
        if let Err(error) = self.config.socket.send(to, datagram, Dscp::Files) {
            tracing::trace!(%error, "a request was not sent");
        }
    }

    pub(super) fn finish(&mut self, now: Timestamp, object: &ObjectId) {
        let Some(known) = self.known.get_mut(object) else {
            return;
        };
        let before = std::mem::replace(&mut known.mine, Mine::Declined(Reason::Unstorable));
        known.answer_at = Some(now);
        let Mine::Taking(taking) = before else {
            known.mine = before;
            return;
        };
        let from = taking.from;
        match taking.finish() {
            Ok((path, manifest)) => {
                let (blake3, size) = (manifest.root, manifest.size);
                known.mine = Mine::Held(path.clone(), manifest);
                self.tell(Event::Received { object: *object, from, path, blake3, size });
            }
            Err(why) => self.tell(Event::Failed { object: *object, why, resumes: false }),
        }
    }

    /// Fetches what was spoiled, and everything when too much is lost.
    pub(super) fn fetch(&mut self, now: Timestamp) {
        for (object, known) in &mut self.known {
            let Mine::Taking(taking) = &mut known.mine else {
                continue;
            };
            let address = self.people.get(&taking.from).map(|(_, address)| *address);
            let port = taking.offer.port as u16;
            if port == 0 {
                // Nobody serves it: the group is all there is.
                known.fetch_only.drain(..).for_each(|block| taking.incoming.not_fetched(now, block));
            }
            let (Some(address), false, true) = (address, taking.fetching || port == 0, known.fetch_at <= now) else {
                continue;
            };
            let layout = Layout { size: taking.offer.size, manifest_bytes: taking.offer.manifest_bytes };
            let mut blocks = std::mem::take(&mut known.fetch_only);
            if taking.incoming.is_alone() && taking.incoming.manifest().is_some() {
                blocks.extend(taking.incoming.have().missing().take(OBJECT_BLOCKS_IN_ASSEMBLY_MAX / 2));
            }
            blocks.retain(|block| layout.symbols(*block) > 0);
            if blocks.is_empty() {
                continue;
            }
            taking.fetching = true;
            known.fetch_at = now + FETCH_AGAIN;
            let fetch = fetch::Fetch {
                from: scoped(SocketAddr::from((address, port)), self.config.interface.index),
                object: *object,
                me: self.config.me,
                key: taking.key.clone(),
                blocks: blocks.into_iter().map(|block| (block, layout.symbols(block))).collect(),
                sid: self.random.next_u64(),
            };
            let (out, waker) = (self.fetched.0.clone(), Arc::clone(&self.waker));
            fetch::begin(fetch, self.config.keys.clone(), self.clock.clone(), out, waker);
        }
    }

    pub(super) fn take_fetched(&mut self, now: Timestamp) {
        let mut steps = Vec::new();
        for _ in 0..FETCHED {
            let Ok(fetched) = self.fetched.1.try_recv() else {
                return;
            };
            match fetched {
                Fetched::Symbol(object, block, index, bytes) => {
                    if let Some(Known { mine: Mine::Taking(taking), .. }) = self.known.get_mut(&object) {
                        let symbol = Symbol { tag: object.tag(), block, index, bytes: &bytes };
                        taking.symbol(now, Source::Fetched, &symbol, &mut steps);
                    }
                    self.work_off(now, &object, &mut steps);
                }
                Fetched::Over(object, blocks) => {
                    if let Some(known) = self.known.get_mut(&object)
                        && let Mine::Taking(taking) = &mut known.mine
                    {
                        taking.fetching = false;
                        let mut whole = true;
                        for block in blocks {
                            whole &= taking.incoming.have().has(block);
                            taking.incoming.not_fetched(now, block);
                        }
                        if whole {
                            known.fetch_at = now;
                        }
                    }
                }
            }
        }
    }
}

fn reason_of(error: &files::Error) -> Reason {
    match error {
        files::Error::NoRoom { .. } => Reason::NoRoom,
        _ => Reason::Unstorable,
    }
}
