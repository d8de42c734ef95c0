//! A secret sealed to one member: X25519 (RFC 7748) from an ephemeral key to the member's identity, HKDF-SHA256
//! (RFC 5869), ChaCha20-Poly1305 (RFC 8439).
//!
//! ```text
//! key = HKDF-SHA256(X25519(ephemeral, member), salt = conference id, info = "roundtable parcel" || commitment || member)
//! box = first 8 bytes of the member's id || ChaCha20-Poly1305(key, nonce 0, secret)
//! ```
//! The nonce may be 0: the ephemeral key is drawn anew for each message, so no key seals twice.

use zeroize::Zeroizing;

use crate::protocol::keys::{Identity, derive, participant_id, sha256};
use crate::protocol::seal::{open_once, seal_once};
use crate::wire::door::{BOX_BYTES, COMMITMENT_BYTES};
use crate::wire::message::{ConferenceId, ParticipantId};

/// A secret of an epoch.
pub type Random = Zeroizing<[u8; 32]>;

/// What binds the secret of an epoch, and tells nothing of it.
pub fn commitment(conference: ConferenceId, random: &[u8; 32]) -> [u8; COMMITMENT_BYTES] {
    let digest = sha256(&[b"roundtable epoch", &conference.0, random]);
    let mut out = [0; COMMITMENT_BYTES];
    out.copy_from_slice(&digest[..COMMITMENT_BYTES]);
    out
}

/// The secret sealed to the holder of `public`, by a key used for one message; nothing for keys that cannot be sealed to.
pub fn seal(
    conference: ConferenceId,
    ephemeral: &Identity,
    public: &[u8; 32],
    random: &[u8; 32],
) -> Option<[u8; BOX_BYTES]> {
    let member = participant_id(public);
    let key = key(conference, ephemeral, public, &commitment(conference, random), &member)?;
    let mut sealed = [0; BOX_BYTES];
    sealed[..8].copy_from_slice(&member.0[..8]);
    sealed[8..40].copy_from_slice(random);
    let tag = seal_once(&key, &[], &mut sealed[8..40])?;
    sealed[40..].copy_from_slice(&tag);
    Some(sealed)
}

/// The secret in a box for `me`, if it is the one that `expected` binds.
pub fn open(
    conference: ConferenceId,
    me: &Identity,
    ephemeral: &[u8; 32],
    expected: &[u8; COMMITMENT_BYTES],
    sealed: &[u8; BOX_BYTES],
) -> Option<Random> {
    let key = key(conference, me, ephemeral, expected, &me.id())?;
    let mut random = Zeroizing::new([0; 32]);
    random.copy_from_slice(&sealed[8..40]);
    let authentic = open_once(&key, &[], random.as_mut_slice(), sealed.last_chunk()?);
    (authentic && commitment(conference, &random) == *expected).then_some(random)
}

fn key(
    conference: ConferenceId,
    mine: &Identity,
    theirs: &[u8; 32],
    commitment: &[u8; COMMITMENT_BYTES],
    member: &ParticipantId,
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = mine.agree(theirs)?;
    Some(derive(&conference.0, shared.as_slice(), &[b"roundtable parcel", commitment, &member.0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_it_is_for_opens_a_box_and_only_as_it_was_bound() {
        let id = ConferenceId([1; 16]);
        let [ephemeral, bob, eve] = [1, 2, 3].map(|n| Identity::from_seed(&[n; 32]));
        let random = [9; 32];
        let bound = commitment(id, &random);
        let sealed = seal(id, &ephemeral, bob.public(), &random).unwrap();
        assert_eq!(open(id, &bob, ephemeral.public(), &bound, &sealed).as_deref(), Some(&random));
        assert_eq!(open(id, &eve, ephemeral.public(), &bound, &sealed), None, "somebody else");
        assert_eq!(open(ConferenceId([2; 16]), &bob, ephemeral.public(), &bound, &sealed), None, "elsewhere");
        assert_eq!(open(id, &bob, eve.public(), &bound, &sealed), None, "by another key");
        assert_eq!(open(id, &bob, ephemeral.public(), &[0; 16], &sealed), None, "bound otherwise");
        for at in 8..BOX_BYTES {
            let mut bad = sealed;
            bad[at] ^= 1;
            assert_eq!(open(id, &bob, ephemeral.public(), &bound, &bad), None, "byte {at}");
        }
        assert!(!sealed.windows(8).any(|w| w == [9; 8]), "nothing of it is in clear");
    }
}
