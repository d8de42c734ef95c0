//! The door: who may decide, who was put out, and which epoch's keys hold. Statements that anybody may pass on; no time.
//!
//! ```text
//! Chain ──> authority of everybody ──┬─> Ban (owner, moderators): of two about a member the one with the higher number
//!                                    └─> Turn (owner, moderators): the higher epoch; of the same one that which locks,
//!                                        then the lower commitment
//! ```
//! Whatever order they come in, those who know the same statements hold the same door ([`Door::digest`]). A statement by
//! somebody without the right is refused and changes nothing. Bans by somebody who lost the right hold no more, unless
//! the owner said them again.

pub mod chain;
pub mod parcel;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use prost::Message;

pub use chain::Chain;

use crate::limits::{DOOR_LEAP_MAX, EPOCH_LEAP_MAX, REMOVED_MAX};
use crate::protocol::keys::{Identity, order_hash, participant_id, verify};
use crate::wire::door::{self, COMMITMENT_BYTES, KIND_BAN, KIND_TURN, REMOVED_BYTES, Turn};
use crate::wire::message::{ConferenceId, ParticipantId, SignatureContext, Signed};

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// Take part.
    None,
    /// Put out, lock, let in.
    Moderator,
    /// That, name moderators, put those out as well, and hand over.
    Owner,
}

/// Why a statement is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Cannot be understood.
    #[error(transparent)]
    Malformed(#[from] door::Error),
    /// Not signed by whom it names.
    #[error("not authentic")]
    Forged,
    /// By somebody without the right.
    #[error("said by somebody without the right")]
    Unauthorized,
    /// Older than what is known.
    #[error("superseded")]
    Stale,
    /// No room.
    #[error("no room")]
    Full,
}

/// Signs a statement that others may pass on.
pub fn sign(identity: &Identity, kind: u8, conference: ConferenceId, counter: u64, payload: &impl Message) -> Signed {
    let payload = payload.encode_to_vec();
    let context = SignatureContext { kind, conference, epoch: 0, signer: identity.id(), sid: 0, counter };
    let signature = identity.sign(&context, &payload, &mut Vec::new()).to_vec();
    Signed { signer: identity.public().to_vec(), counter, payload, signature }
}

/// Who said a statement that others may pass on.
pub fn authentic(
    kind: u8,
    conference: ConferenceId,
    signed: &Signed,
    scratch: &mut Vec<u8>,
) -> Result<ParticipantId, Refusal> {
    let (Ok(key), Ok(signature)) = (signed.signer.as_slice().try_into(), signed.signature.as_slice().try_into()) else {
        return Err(Refusal::Malformed(door::Error::Field("signature")));
    };
    let signer = participant_id(&key);
    let context = SignatureContext { kind, conference, epoch: 0, signer, sid: 0, counter: signed.counter };
    let holds = verify(&key, &context, &signed.payload, &signature, scratch);
    holds.then_some(signer).ok_or(Refusal::Forged)
}

fn claimed(signed: &Signed) -> Option<ParticipantId> {
    signed.signer.as_slice().try_into().ok().map(participant_id)
}

#[derive(Clone, Debug)]
struct Ban {
    by: ParticipantId,
    lifted: bool,
    signed: Signed,
}

/// The decision for an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The epoch.
    pub epoch: u32,
    /// Binds its secret; `None`: whoever has the passphrase may come in.
    pub commitment: Option<[u8; COMMITMENT_BYTES]>,
    /// Who decided.
    pub by: ParticipantId,
    removed: Vec<u8>,
    signed: Signed,
}

impl Decision {
    /// Where it stands among decisions for the same epoch: the higher counts.
    fn order(&self) -> (u32, bool, [u8; COMMITMENT_BYTES]) {
        let low_first = self.commitment.unwrap_or_default().map(|byte| !byte);
        (self.epoch, self.commitment.is_some(), low_first)
    }

    /// As it is passed on.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }
}

/// What is known of one conference's door.
#[derive(Clone, Debug)]
pub struct Door {
    conference: ConferenceId,
    chain: Chain,
    bans: BTreeMap<ParticipantId, Ban>,
    turn: Option<Decision>,
    digest: u64,
    scratch: Vec<u8>,
}

impl Door {
    /// Nothing is known yet.
    pub fn new(conference: ConferenceId) -> Self {
        let (chain, bans) = (Chain::default(), BTreeMap::new());
        Self { conference, chain, bans, turn: None, digest: 0, scratch: Vec::new() }
    }

    /// The same for all who know the same; 0: nothing is known.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Who may decide.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The newest decision for an epoch.
    pub fn turn(&self) -> Option<&Decision> {
        self.turn.as_ref()
    }

    /// Whether newcomers have to knock.
    pub fn is_locked(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.commitment.is_some())
    }

    /// Who put somebody out, if that holds.
    pub fn banned_by(&self, id: &ParticipantId) -> Option<ParticipantId> {
        self.bans.get(id).filter(|ban| !ban.lifted).map(|ban| ban.by)
    }

    /// The signed ban of somebody.
    pub fn ban_of(&self, id: &ParticipantId) -> Option<&Signed> {
        self.bans.get(id).map(|ban| &ban.signed)
    }

    /// Everybody who is put out, and who did it.
    pub fn banned(&self) -> impl Iterator<Item = (ParticipantId, ParticipantId)> {
        self.bans.iter().filter(|(_, ban)| !ban.lifted).map(|(id, ban)| (*id, ban.by))
    }

    /// Bans as they are passed on, lifted ones included.
    pub fn bans(&self) -> impl Iterator<Item = &Signed> {
        self.bans.values().map(|ban| &ban.signed)
    }

    /// Somebody who is put out though the newest secret may have been sealed to them, and who put them out.
    pub fn unturned(&self) -> Option<ParticipantId> {
        let removed = self.turn.as_ref().map_or(&[][..], |turn| &turn.removed);
        let missing =
            |id: &ParticipantId| !removed.as_chunks::<REMOVED_BYTES>().0.iter().any(|short| id.0.starts_with(short));
        self.banned().find(|(id, _)| missing(id)).map(|(_, by)| by)
    }

    /// Takes in a chain. `present`: whether somebody is here, whom nobody may succeed. Whether it is news.
    pub fn offer_chain(
        &mut self,
        wire: &door::Chain,
        present: impl Fn(&ParticipantId) -> bool,
    ) -> Result<Option<Chain>, Refusal> {
        if self.chain.to_wire().as_ref() == Some(wire) {
            return Ok(None);
        }
        let chain = Chain::read(wire, self.conference, &mut self.scratch)?;
        if !chain.is_better_than(&self.chain) {
            return Err(Refusal::Stale);
        }
        if chain.number() > farthest(self.chain.founding().map(|_| self.chain.number())) {
            return Err(Refusal::Full);
        }
        let owner = self.chain.owner().filter(|owner| Some(*owner) != chain.owner());
        if owner.is_some_and(|owner| chain.was_taken_from(&owner) && present(&owner)) {
            // Not now: perhaps the owner has left and that is not known here yet.
            return Ok(Some(chain));
        }
        self.set_chain(chain);
        Ok(None)
    }

    /// Takes over a chain that was checked.
    pub fn set_chain(&mut self, chain: Chain) {
        self.chain = chain;
        let chain = &self.chain;
        self.bans.retain(|id, ban| may_ban(chain, &ban.by, id, ban.lifted));
        self.changed();
    }

    /// Takes in a ban; whom it is about, when it is news.
    pub fn offer_ban(&mut self, signed: &Signed) -> Result<Option<ParticipantId>, Refusal> {
        let (member, lifted) = door::Ban::parse(&signed.payload)?;
        let by = claimed(signed).ok_or(Refusal::Forged)?;
        let rank = |signed: &Signed| (signed.counter, claimed(signed));
        match self.bans.get(&member) {
            Some(held) if held.signed == *signed => return Ok(None),
            Some(held) if rank(&held.signed) >= rank(signed) => return Err(Refusal::Stale),
            None if self.bans.len() >= REMOVED_MAX => return Err(Refusal::Full),
            held if signed.counter > farthest(held.map(|held| held.signed.counter)) => return Err(Refusal::Full),
            _ => {}
        }
        // Before the signature, which costs more.
        if !may_ban(&self.chain, &by, &member, lifted) {
            return Err(Refusal::Unauthorized);
        }
        authentic(KIND_BAN, self.conference, signed, &mut self.scratch)?;
        self.bans.insert(member, Ban { by, lifted, signed: signed.clone() });
        self.changed();
        Ok(Some(member))
    }

    /// Takes in a decision for an epoch. Whether it is news; `Ok(false)`: it is the one that holds.
    pub fn offer_turn(&mut self, signed: &Signed) -> Result<bool, Refusal> {
        if self.turn.as_ref().is_some_and(|held| held.signed == *signed) {
            return Ok(false);
        }
        let turn = Turn::parse(&signed.payload)?;
        let by = claimed(signed).ok_or(Refusal::Forged)?;
        let commitment = turn.commitment.as_slice().try_into().ok();
        let decision = Decision { epoch: turn.epoch, commitment, by, removed: turn.removed, signed: signed.clone() };
        let most = self.turn.as_ref().map_or(u32::MAX / 2, |held| held.epoch.saturating_add(EPOCH_LEAP_MAX));
        if decision.epoch > most {
            return Err(Refusal::Full);
        }
        if self.turn.as_ref().is_some_and(|held| decision.order() <= held.order()) {
            return Err(Refusal::Stale);
        }
        if self.chain.authority(&by) == Authority::None || u64::from(turn.epoch) != signed.counter || turn.epoch == 0 {
            return Err(Refusal::Unauthorized);
        }
        authentic(KIND_TURN, self.conference, signed, &mut self.scratch)?;
        self.turn = Some(decision);
        self.changed();
        Ok(true)
    }

    /// Puts somebody out, or lets them come in again; the statement to pass on.
    ///
    /// # Errors
    /// Without the right, or when there is no room.
    pub fn ban(&mut self, identity: &Identity, member: ParticipantId, lifted: bool) -> Result<Signed, Refusal> {
        let newest = self.bans.values().map(|ban| ban.signed.counter).max().unwrap_or(0);
        let number = newest.saturating_add(1).min(farthest(self.bans.get(&member).map(|held| held.signed.counter)));
        let ban = door::Ban { member: member.0.to_vec(), lifted };
        let signed = sign(identity, KIND_BAN, self.conference, number, &ban);
        self.offer_ban(&signed)?;
        Ok(signed)
    }

    /// Decides for the epoch after `epoch`.
    ///
    /// # Errors
    /// Without the right.
    pub fn decide(
        &mut self,
        identity: &Identity,
        epoch: u32,
        commitment: Option<[u8; COMMITMENT_BYTES]>,
    ) -> Result<(), Refusal> {
        let epoch = self.turn.as_ref().map_or(epoch, |turn| turn.epoch.max(epoch)).saturating_add(1);
        let removed = self.banned().flat_map(|(id, _)| id.0.into_iter().take(REMOVED_BYTES)).collect();
        let turn = Turn { epoch, commitment: commitment.map_or(Vec::new(), |c| c.to_vec()), removed };
        let signed = sign(identity, KIND_TURN, self.conference, epoch.into(), &turn);
        self.offer_turn(&signed).map(drop)
    }

    fn changed(&mut self) {
        let turn = self.turn.as_ref().map(|turn| turn.signed.signature.as_slice());
        let bans = self.bans.values().map(|ban| ban.signed.signature.as_slice());
        let parts: Vec<&[u8]> = self.chain.parts().chain(bans).chain(turn).collect();
        self.digest = order_hash(&parts).max(1);
    }
}

/// The highest number of a statement after the one held: one further ahead would end all statements after it. Whoever holds
/// none cannot tell, and takes what leaves room for as many again.
fn farthest(held: Option<u64>) -> u64 {
    held.map_or(u64::MAX / 2, |held| held.saturating_add(DOOR_LEAP_MAX))
}

/// Whether somebody may put somebody out: nobody the owner, only the owner moderators.
fn may_ban(chain: &Chain, by: &ParticipantId, member: &ParticipantId, lifted: bool) -> bool {
    let (mine, theirs) = (chain.authority(by), chain.authority(member));
    mine != Authority::None && by != member && (lifted || mine > theirs)
}
