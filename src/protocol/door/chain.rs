//! Who owns the conference and who moderates it: a short chain of signed charters that begins at the conference's id.
//!
//! ```text
//! id = SHA-256(founder's key || random) > founder owns it, nobody moderates
//!   charter by the owner: other moderators, or another owner (hand-over)
//!   charter by a moderator that names itself: the owner has left (succession)
//! ```
//! Only charters that carry ownership from one to the next are kept: a newer one by the same owner takes the place of the
//! one before. Of two chains everybody takes the same, whichever came first: at the first difference
//! a hand-over counts more than what its owner says otherwise, the owner's word more than a successor's, and a later word more
//! than an earlier one. So an owner who was only cut off takes the conference back with its next charter. A hand-over
//! that is known is never replaced.

use crate::limits::CHAIN_LINKS_MAX;
use crate::protocol::door::{Authority, Refusal, authentic, sign};
use crate::protocol::keys::{Identity, conference_id, participant_id};
use crate::wire::door::{self, Charter, KIND_CHARTER};
use crate::wire::message::{ConferenceId, ParticipantId, Signed};

/// One charter, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    number: u64,
    signer: ParticipantId,
    /// By somebody who did not own it before.
    succession: bool,
    owner: ParticipantId,
    moderators: Vec<ParticipantId>,
    signed: Signed,
}

impl Link {
    fn hands_over(&self) -> bool {
        self.owner != self.signer
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Founder {
    id: ParticipantId,
    key: [u8; 32],
    random: [u8; 16],
}

/// What was decided about ownership, from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    founder: Option<Founder>,
    links: Vec<Link>,
}

impl Chain {
    /// Of a new conference, whose id was drawn with `random`.
    pub fn founded(founder: &[u8; 32], random: [u8; 16]) -> Self {
        let founder = Founder { id: participant_id(founder), key: *founder, random };
        Self { founder: Some(founder), links: Vec::new() }
    }

    /// Random bytes the conference's id was drawn with, if anything is known.
    pub fn founding(&self) -> Option<&[u8; 16]> {
        self.founder.as_ref().map(|founder| &founder.random)
    }

    /// The owner, if anything is known.
    pub fn owner(&self) -> Option<ParticipantId> {
        self.links.last().map(|link| link.owner).or(self.founder.map(|founder| founder.id))
    }

    /// The moderators.
    pub fn moderators(&self) -> &[ParticipantId] {
        self.links.last().map_or(&[], |link| &link.moderators)
    }

    /// What somebody may do.
    pub fn authority(&self, id: &ParticipantId) -> Authority {
        match self.owner() {
            Some(owner) if owner == *id => Authority::Owner,
            _ if self.moderators().contains(id) => Authority::Moderator,
            _ => Authority::None,
        }
    }

    /// Whether the present owner took over from `id`, who had not handed over.
    pub fn was_taken_from(&self, id: &ParticipantId) -> bool {
        let before = |at: usize| Self { founder: self.founder, links: self.links[..at].to_vec() }.owner();
        let taken = self.links.iter().rposition(|link| link.succession);
        taken.is_some_and(|at| before(at) == Some(*id))
    }

    /// Number of the newest charter.
    pub fn number(&self) -> u64 {
        self.links.last().map_or(0, |link| link.number)
    }

    /// As it is sent; `None` while nothing is known.
    pub fn to_wire(&self) -> Option<door::Chain> {
        let Founder { key, random, .. } = self.founder?;
        let links = self.links.iter().map(|link| link.signed.clone()).collect();
        Some(door::Chain { founder: key.to_vec(), random: random.to_vec(), links })
    }

    /// Bytes that tell chains apart.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.founder.iter().map(|f| f.random.as_slice()).chain(self.links.iter().map(|l| l.signed.signature.as_slice()))
    }

    /// A chain that somebody sent, checked from its beginning to its end.
    pub fn read(wire: &door::Chain, conference: ConferenceId, scratch: &mut Vec<u8>) -> Result<Self, Refusal> {
        let (founder, random) = wire.founding()?;
        if conference_id(&founder, &random) != conference {
            return Err(Refusal::Forged);
        }
        let mut chain = Self::founded(&founder, random);
        for signed in &wire.links {
            let link = chain.check(signed, conference, scratch)?;
            chain.links.push(link);
        }
        Ok(chain)
    }

    fn check(&self, signed: &Signed, conference: ConferenceId, scratch: &mut Vec<u8>) -> Result<Link, Refusal> {
        let (number, owner, moderators) = Charter::parse(&signed.payload)?;
        let signer = authentic(KIND_CHARTER, conference, signed, scratch)?;
        let succession = match self.authority(&signer) {
            Authority::Owner => false,
            Authority::Moderator if owner == signer => true,
            _ => return Err(Refusal::Unauthorized),
        };
        if number <= self.number() || number != signed.counter {
            return Err(Refusal::Stale);
        }
        Ok(Link { number, signer, succession, owner, moderators, signed: signed.clone() })
    }

    /// Whether `self` counts instead of `held`.
    pub fn is_better_than(&self, held: &Self) -> bool {
        if held.founder.is_none() || self.founder.is_none() {
            return self.founder.is_some() && held.founder.is_none();
        }
        for (n, mine) in self.links.iter().enumerate() {
            let Some(theirs) = held.links.get(n) else {
                return true;
            };
            if mine.signed == theirs.signed {
                continue;
            }
            if mine.signer == theirs.signer {
                return match (mine.hands_over(), theirs.hands_over()) {
                    (_, true) => false,
                    (true, false) => true,
                    _ => (mine.number, &mine.signed.signature) > (theirs.number, &theirs.signed.signature),
                };
            }
            return match (mine.succession, theirs.succession) {
                (false, _) => true,
                (true, false) => false,
                (true, true) => mine.signer < theirs.signer,
            };
        }
        false
    }

    /// The chain with one more charter by `identity`, which must be the owner, or a moderator that names itself.
    /// `after`: the number it must be higher than.
    ///
    /// # Errors
    /// Without the right, or when the chain is too long already.
    pub fn with(
        &self,
        identity: &Identity,
        conference: ConferenceId,
        after: u64,
        owner: ParticipantId,
        moderators: &[ParticipantId],
    ) -> Result<Self, Refusal> {
        let number = self.number().max(after).saturating_add(1);
        let moderators = moderators.iter().flat_map(|id| id.0).collect();
        let charter = Charter { number, owner: owner.0.to_vec(), moderators };
        let signed = sign(identity, KIND_CHARTER, conference, number, &charter);
        let mut chain = self.clone();
        // What the same owner said before is said anew; what made it the owner stays.
        let replaced = |link: &Link| link.signer == identity.id() && !link.hands_over();
        if chain.links.last().is_some_and(|link| replaced(link) && (!link.succession || owner == identity.id())) {
            chain.links.pop();
        }
        if chain.links.len() >= CHAIN_LINKS_MAX {
            return Err(Refusal::Full);
        }
        let link = chain.check(&signed, conference, &mut Vec::new())?;
        chain.links.push(link);
        Ok(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [u8; 16] = [7; 16];

    fn person(n: u8) -> Identity {
        Identity::from_seed(&[n; 32])
    }

    fn id(n: u8) -> ParticipantId {
        person(n).id()
    }

    fn conference() -> ConferenceId {
        conference_id(person(1).public(), &RANDOM)
    }

    fn founded() -> Chain {
        Chain::founded(person(1).public(), RANDOM)
    }

    fn by(chain: &Chain, n: u8, owner: u8, moderators: &[u8]) -> Result<Chain, Refusal> {
        let moderators: Vec<_> = moderators.iter().map(|&n| id(n)).collect();
        chain.with(&person(n), conference(), 0, id(owner), &moderators)
    }

    fn read(chain: &Chain) -> Result<Chain, Refusal> {
        Chain::read(&chain.to_wire().unwrap(), conference(), &mut Vec::new())
    }

    #[test]
    fn charters_need_the_owner_or_a_successor() {
        let two = by(&founded(), 1, 1, &[2]).unwrap();
        let rows: [(&str, &Chain, u8, u8, bool); 9] = [
            ("the owner names moderators", &founded(), 1, 1, true),
            ("the owner hands over", &founded(), 1, 3, true),
            ("a member names itself", &founded(), 2, 2, false),
            ("a member names another", &founded(), 2, 3, false),
            ("the owner again", &two, 1, 1, true),
            ("a moderator follows", &two, 2, 2, true),
            ("a moderator names another owner", &two, 2, 3, false),
            ("a moderator names moderators", &two, 2, 1, false),
            ("a member follows", &two, 3, 3, false),
        ];
        for (what, chain, signer, owner, allowed) in rows {
            let made = by(chain, signer, owner, &[4]);
            assert_eq!(made.is_ok(), allowed, "{what}");
            if let Ok(made) = made {
                assert_eq!(read(&made), Ok(made.clone()), "{what}");
                assert_eq!((made.owner(), made.moderators()), (Some(id(owner)), &[id(4)][..]), "{what}");
            }
        }
    }

    #[test]
    fn only_what_carries_ownership_is_kept_and_so_much_is_the_most() {
        let mut chain = founded();
        for n in 2..60 {
            chain = by(&chain, 1, 1, &[n]).unwrap();
        }
        assert_eq!((chain.links.len(), chain.number()), (1, 58));
        for n in 1..=CHAIN_LINKS_MAX as u8 {
            chain = by(&chain, n, n + 1, &[]).unwrap();
        }
        assert_eq!(chain.links.len(), CHAIN_LINKS_MAX);
        assert_eq!(read(&chain), Ok(chain.clone()));
        let last = CHAIN_LINKS_MAX as u8 + 1;
        assert_eq!(by(&chain, last, 9, &[]), Err(Refusal::Full));
    }

    #[test]
    fn a_forged_or_foreign_chain_is_refused() {
        let good = by(&founded(), 1, 1, &[2]).unwrap().to_wire().unwrap();
        let check = |change: fn(&mut door::Chain)| {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(Chain::read(&bad, conference(), &mut Vec::new()).is_err(), "{bad:?}");
        };
        check(|c| c.founder = person(2).public().to_vec());
        check(|c| c.random[0] ^= 1);
        check(|c| c.links[0].signature[0] ^= 1);
        check(|c| c.links[0].payload[1] ^= 1);
        check(|c| c.links[0].counter += 1);
        check(|c| c.links[0].signer = person(2).public().to_vec());
        check(|c| c.links.push(c.links[0].clone()));
        assert!(Chain::read(&good, ConferenceId([0; 16]), &mut Vec::new()).is_err());
    }

    #[test]
    fn of_two_chains_all_take_the_same() {
        let base = by(&founded(), 1, 1, &[2, 3]).unwrap();
        let named = by(&base, 1, 1, &[2, 3, 4]).unwrap();
        let followed = by(&base, 2, 2, &[3]).unwrap();
        let also_followed = by(&base, 3, 3, &[2]).unwrap();
        let taken_back = base.with(&person(1), conference(), followed.number(), id(1), &[]).unwrap();
        let handed = by(&base, 1, 5, &[1]).unwrap();
        let gone_on = by(&handed, 5, 5, &[1, 6]).unwrap();
        let rows: [(&str, &Chain, &Chain); 7] = [
            ("anything over nothing", &founded(), &Chain::default()),
            ("a later charter over an earlier one", &named, &base),
            ("a successor over the owner that left", &followed, &base),
            ("the owner that comes back over its successor", &taken_back, &followed),
            ("a hand-over over the owner's other words", &handed, &taken_back),
            ("a hand-over over a successor", &handed, &followed),
            ("what the new owner says over the hand-over", &gone_on, &handed),
        ];
        for (what, better, worse) in rows {
            assert!(better.is_better_than(worse), "{what}");
            assert!(!worse.is_better_than(better), "{what}, the other way round");
            assert!(!better.is_better_than(better), "{what}, the same");
        }
        assert_ne!(followed.is_better_than(&also_followed), also_followed.is_better_than(&followed));
        let again = by(&base, 1, 6, &[]).unwrap();
        assert!(!again.is_better_than(&handed) && !handed.is_better_than(&again), "a hand-over is never taken back");
        assert!(followed.was_taken_from(&id(1)) && !handed.was_taken_from(&id(1)));
    }
}
