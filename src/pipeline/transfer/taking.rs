//! A file that is taken: verified blocks to disk, the whole verified before it takes its name.

use std::path::{Path, PathBuf};

use prost::Message as _;
use zeroize::Zeroizing;

use crate::device::files::{Error, Part, Target};
use crate::limits::{OBJECT_SYMBOL_BYTES, VOICE_BYTES_MAX};
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

/// Bytes of a voice message that are worth handing on: a second or two.
const TOLD_AT_ONCE: usize = 4 * OBJECT_SYMBOL_BYTES;

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
    /// More of the beginning of a voice message.
    Arrived(u64, Vec<u8>),
}

/// See the module.
pub struct Taking {
    /// Names it.
    pub object: ObjectId,
    /// Who gives it.
    pub from: ParticipantId,
    /// The offer last heard.
    pub offer: Offer,
    /// Its own key; empty when it is for everybody.
    pub key: Zeroizing<Vec<u8>>,
    /// Symbols in, blocks out.
    pub incoming: Incoming,
    /// Somebody fetches for it.
    pub fetching: bool,
    /// What it is to be called, if not as its sender calls it.
    name: Option<String>,
    target: Target,
    feedback: Sealer,
    manifest: Option<Manifest>,
    /// Of the blocks below `rooted`.
    root: Hasher,
    rooted: u32,
    outputs: Vec<Output>,
    /// Of a voice message: so many bytes of its beginning were handed on.
    told: Option<u64>,
}

/// What somebody makes of an offer.
pub struct Setup<'a> {
    /// Oneself.
    pub me: ParticipantId,
    /// Who offers it.
    pub from: ParticipantId,
    /// What.
    pub offer: Offer,
    /// Its own key.
    pub key: Zeroizing<Vec<u8>>,
    /// Where to.
    pub folder: &'a Path,
    /// Under this name, if not under its own.
    pub name: Option<&'a str>,
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
        let Setup { me, from, offer, key, folder, name: wanted, seed, sid } = setup;
        let mut manifest_hash = [0; 32];
        offer.manifest.iter().zip(&mut manifest_hash).for_each(|(from, to)| *to = *from);
        let layout = Layout { size: offer.size, manifest_bytes: offer.manifest_bytes };
        let id = object.to_string();
        let name = name::safe(wanted.unwrap_or(&offer.name));
        // Nobody else on this machine reads what is not for everybody.
        let private = !offer.audience.is_empty() || offer.voice.is_some();
        let part = Part { name: &name, id: &id[..8], size: offer.size, block_bytes: BLOCK_BYTES as u64, private };
        let (target, written) = Target::open(folder, &part)?;
        let mut incoming = Incoming::new(now, me, manifest_hash, layout, seed);
        written.into_iter().for_each(|block| incoming.verified(block));
        let feedback = Sealer::object(keys, sid, Class::Feedback, &key);
        let (manifest, root, rooted) = (None, Hasher::default(), 0);
        let outputs = Vec::new();
        let told = (offer.voice.is_some() && offer.size <= VOICE_BYTES_MAX).then_some(0);
        Ok(Self {
            told,
            name: wanted.map(|_| name),
            object,
            from,
            offer,
            key,
            incoming,
            fetching: false,
            target,
            feedback,
            manifest,
            root,
            rooted,
            outputs,
        })
    }

    /// Another epoch.
    pub fn renew(&mut self, keys: &EpochKeys, sid: u64) {
        self.feedback = Sealer::object(keys, sid, Class::Feedback, &self.key);
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
        self.tell_beginning(steps);
    }

    /// Hands on what came of a voice message, a second of it at a time.
    fn tell_beginning(&mut self, steps: &mut Vec<Step>) {
        let Some(told) = self.told.as_mut().filter(|_| self.manifest.is_some()) else {
            return;
        };
        let block = (*told / BLOCK_BYTES as u64) as u32;
        let within = (*told % BLOCK_BYTES as u64) as usize;
        let there = self.incoming.beginning(block);
        if there.len() >= within + TOLD_AT_ONCE {
            steps.push(Step::Arrived(*told, there[within..].to_vec()));
            *told = u64::from(block) * BLOCK_BYTES as u64 + there.len() as u64;
        }
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
                    let start = u64::from(block) * BLOCK_BYTES as u64;
                    let end = start + bytes.len() as u64;
                    if let Some(told) = self.told.as_mut().filter(|told| (start..end).contains(*told)) {
                        steps.push(Step::Arrived(*told, bytes[(*told - start) as usize..].to_vec()));
                        *told = end;
                    }
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
        let name = self.name.unwrap_or_else(|| name::safe(&manifest.name));
        let path = self.target.finish(|n| name::numbered(&name, n)).map_err(|e| e.to_string())?;
        Ok((path, manifest))
    }

    /// Gives it up: nothing of it stays.
    pub fn remove(self) {
        self.target.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::transfer::prepare::prepare;
    use crate::protocol::keys::Secret;
    use crate::protocol::transfer::code::whole;
    use crate::protocol::transfer::manifest::object_id;
    use crate::wire::message::ConferenceId;
    use crate::wire::object::{MANIFEST, Voice};

    /// All that is handed on of a file of `size` bytes, of which one symbol comes last; and how much of it before that one.
    fn handed_on(size: usize, voice: bool) -> (Vec<u8>, usize, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..size).map(|n| (n * n / 11 + n) as u8).collect();
        let path = folder.path().join("voice.ogg");
        std::fs::write(&path, &content).unwrap();
        let manifest = prepare(&path).unwrap().manifest.to_bytes();
        let root = hash(&manifest);
        let object = object_id(&root);
        let id = ConferenceId([9; 16]);
        let offer = Offer {
            object: object.0.to_vec(),
            name: "voice.ogg".into(),
            size: size as u64,
            manifest: root.to_vec(),
            manifest_bytes: manifest.len() as u32,
            voice: voice.then(Voice::default),
            ..Offer::default()
        };
        let (me, from) = (ParticipantId([1; 16]), ParticipantId([2; 16]));
        let key = Zeroizing::default();
        let setup = Setup { me, from, offer, key, folder: folder.path(), name: None, seed: [3; 32], sid: 4 };
        let keys = EpochKeys::first(id, &Secret::open(&id));
        let mut taking = Taking::begin(Timestamp(0), object, setup, &keys).unwrap();
        let blocks = content.chunks(BLOCK_BYTES).enumerate().map(|(n, bytes)| (n as u32, bytes));
        let all = std::iter::once((MANIFEST, manifest.as_slice())).chain(blocks);
        let mut symbols: Vec<(u32, u16, Vec<u8>)> = all
            .flat_map(|(block, bytes)| {
                let parts = bytes.chunks(OBJECT_SYMBOL_BYTES).enumerate();
                parts.map(move |(n, part)| (block, n as u16, whole(part).into_owned()))
            })
            .collect();
        let late = symbols.remove(8);
        symbols.push(late);
        let (mut told, mut before) = (Vec::new(), 0);
        for (n, (block, index, bytes)) in symbols.iter().enumerate() {
            let mut steps = Vec::new();
            before = if n + 1 == symbols.len() { told.len() } else { before };
            let symbol = Symbol { tag: object.tag(), block: *block, index: *index, bytes };
            taking.symbol(Timestamp(1), Source::Group, &symbol, &mut steps);
            for step in steps {
                if let Step::Arrived(at, bytes) = step {
                    assert_eq!(at, told.len() as u64, "in order, and nothing twice");
                    told.extend(bytes);
                }
            }
        }
        assert!(taking.incoming.is_complete());
        (told, before, content)
    }

    #[test]
    fn the_beginning_of_a_voice_message_is_handed_on_before_its_end_is_there() {
        for size in [30_000, BLOCK_BYTES + 30_000] {
            let (told, before, content) = handed_on(size, true);
            // Seven symbols of data came before the one that did not.
            assert!((TOLD_AT_ONCE..=7 * OBJECT_SYMBOL_BYTES).contains(&before), "{before} of {size}");
            assert_eq!(told.len(), if size < BLOCK_BYTES { size } else { BLOCK_BYTES });
            assert!(content.starts_with(&told));
        }
        assert!(handed_on(30_000, false).0.is_empty(), "of other files nothing");
        assert!(handed_on(VOICE_BYTES_MAX as usize + 1, true).0.is_empty(), "nor of longer ones");
    }
}
