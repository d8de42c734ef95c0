//! A file that is taken: verified blocks to disk, the whole verified before it takes its name.

use std::path::{Path, PathBuf};

use prost::Message as _;

use crate::device::files::{Error, Part, Target};
use crate::protocol::keys::EpochKeys;
use crate::protocol::seal::Sealer;
use crate::protocol::transfer::manifest::{BLOCK_BYTES, Hasher, Layout, Manifest, hash};
use crate::protocol::transfer::name;
use crate::protocol::transfer::receiver::{Incoming, Output, Source};
use crate::time::Timestamp;
use crate::wire::message::ParticipantId;
use crate::wire::object::{ObjectId, ObjectNack, Offer, Symbol};
use crate::wire::sealed::Class;

/// Blocks read back from disk in one step, so that nothing else waits for long.
const READ_BACK: usize = 4;

/// What a step came to.
pub enum Step {
    /// To be said to all who have to do with it.
    Say(Vec<u8>),
    /// Blocks that somebody spoiled.
    Spoiled(u32),
    /// It came from whoever offered it, and is not what was offered.
    Broken(&'static str),
    /// It cannot be written.
    Unwritable(Error),
}

/// See the module.
pub struct Taking {
    /// Names it.
    pub object: ObjectId,
    /// Who gives it.
    pub from: ParticipantId,
    /// The offer last heard.
    pub offer: Offer,
    /// Symbols in, blocks out.
    pub incoming: Incoming,
    /// Somebody fetches for it.
    pub fetching: bool,
    target: Target,
    feedback: Sealer,
    manifest: Option<Manifest>,
    /// Of the blocks below `rooted`.
    root: Hasher,
    rooted: u32,
    outputs: Vec<Output>,
}

/// What somebody makes of an offer.
pub struct Setup<'a> {
    /// Oneself.
    pub me: ParticipantId,
    /// Who offers it.
    pub from: ParticipantId,
    /// What.
    pub offer: Offer,
    /// Where to.
    pub folder: &'a Path,
    /// Of this object alone.
    pub seed: [u8; 32],
    /// Session of what is said about it.
    pub sid: u64,
}

impl Taking {
    /// Begins, with what is on disk of an earlier time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(now: Timestamp, object: ObjectId, setup: Setup<'_>, keys: &EpochKeys) -> Result<Self, Error> {
        let Setup { me, from, offer, folder, seed, sid } = setup;
        let mut manifest_hash = [0; 32];
        offer.manifest.iter().zip(&mut manifest_hash).for_each(|(from, to)| *to = *from);
        let layout = Layout { size: offer.size, manifest_bytes: offer.manifest_bytes };
        let id = object.to_string();
        let name = name::safe(&offer.name);
        let part = Part { name: &name, id: &id[..8], size: offer.size, block_bytes: BLOCK_BYTES as u64 };
        let (target, written) = Target::open(folder, &part)?;
        let mut incoming = Incoming::new(now, me, manifest_hash, layout, seed);
        written.into_iter().for_each(|block| incoming.verified(block));
        let feedback = Sealer::object(keys, sid, Class::Feedback, &offer.key);
        let (manifest, root, rooted) = (None, Hasher::default(), 0);
        let outputs = Vec::new();
        Ok(Self { object, from, offer, incoming, fetching: false, target, feedback, manifest, root, rooted, outputs })
    }

    /// Another epoch.
    pub fn renew(&mut self, keys: &EpochKeys, sid: u64) {
        self.feedback = Sealer::object(keys, sid, Class::Feedback, &self.offer.key);
    }

    /// Session of what is said about it.
    pub fn sid(&self) -> u64 {
        self.feedback.sid()
    }

    /// Bytes had.
    pub fn bytes(&self) -> u64 {
        (u64::from(self.incoming.have().count()) * BLOCK_BYTES as u64).min(self.offer.size)
    }

    /// A symbol came.
    pub fn symbol(&mut self, now: Timestamp, from: Source, symbol: &Symbol<'_>, steps: &mut Vec<Step>) {
        self.incoming.symbol(now, from, symbol, &mut self.outputs);
        self.work_off(steps);
    }

    /// Does what is due.
    pub fn timeout(&mut self, now: Timestamp, steps: &mut Vec<Step>) {
        if self.incoming.next_timeout().is_some_and(|at| at <= now) {
            self.incoming.timeout(now, &mut self.outputs);
            self.work_off(steps);
        }
    }

    fn work_off(&mut self, steps: &mut Vec<Step>) {
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Manifest(manifest) => self.manifest = Some(manifest),
                Output::Block(block, bytes) => {
                    if let Err(error) = self.target.write(block, &bytes) {
                        steps.push(Step::Unwritable(error));
                        continue;
                    }
                    if block == self.rooted {
                        self.root.update(&bytes);
                        self.rooted += 1;
                    }
                }
                Output::Spoiled(block) => steps.push(Step::Spoiled(block)),
                Output::Broken(why) => steps.push(Step::Broken(why)),
                Output::Nack(nack) => steps.extend(self.sealed(&nack).map(Step::Say)),
            }
        }
        self.outputs = outputs;
    }

    fn sealed(&mut self, nack: &ObjectNack) -> Option<Vec<u8>> {
        let mut datagram = Vec::new();
        self.feedback.seal(&nack.encode_to_vec(), &mut datagram).then_some(datagram)
    }

    /// Whether there are blocks on disk that the hash of the whole still misses.
    pub fn has_to_read(&self) -> bool {
        self.manifest.is_some() && self.incoming.have().has(self.rooted)
    }

    /// Reads back some of those, for the hash of the whole. One that is not what it should be is lost, and asked for.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_back(&mut self) -> Result<(), Error> {
        let Some(manifest) = &self.manifest else {
            return Ok(());
        };
        let layout = Layout { size: manifest.size, manifest_bytes: 0 };
        for _ in 0..READ_BACK {
            if !self.incoming.have().has(self.rooted) {
                break;
            }
            let bytes = self.target.read(self.rooted, layout.bytes(self.rooted))?;
            if manifest.hashes.get(self.rooted as usize) != Some(&hash(&bytes)) {
                self.incoming.lost(self.rooted);
                break;
            }
            self.root.update(&bytes);
            self.rooted += 1;
        }
        Ok(())
    }

    /// Whether all is there and the hash of the whole is known.
    pub fn is_ready(&self) -> bool {
        self.incoming.is_complete() && self.rooted >= self.incoming.have().len()
    }

    /// Compares the whole, and gives it its name: where it is, and what it is.
    ///
    /// # Errors
    /// When it is not what was offered, or cannot be named; nothing is under the final name then.
    pub fn finish(self) -> Result<(PathBuf, Manifest), String> {
        let Some(manifest) = self.manifest else {
            return Err("its manifest is missing".into());
        };
        if self.root.finish() != manifest.root {
            self.target.remove();
            return Err("it is not what was offered".into());
        }
        let name = name::safe(&manifest.name);
        let path = self.target.finish(|n| name::numbered(&name, n)).map_err(|e| e.to_string())?;
        Ok((path, manifest))
    }

    /// Gives it up: nothing of it stays.
    pub fn remove(self) {
        self.target.remove();
    }
}
