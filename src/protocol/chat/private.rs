//! Lines for some only: told to everybody like all lines, so that they arrive through loss and are kept for those who come
//! later, but only those they are for can read them.
//!
//! ```text
//! offset size
//!      0   32  ephemeral public key, drawn anew for each line
//!     32   16  commitment to the line's key
//!     48   56  the line's key sealed to one member; as often as there are recipients, in their order
//!      ..      ChaCha20-Poly1305 (RFC 8439) of another Content, with the line's key and nonce 0
//! ```
//! The author and the recipients are authenticated with it: nobody can say the words of another as theirs, nor show them to
//! others under the same key. The author is among the recipients, so that the own lines can be read again. That a line was
//! said, by whom, to whom and how long it is, is for everybody to see.

use prost::Message as _;
use zeroize::Zeroizing;

use super::line::{Body, Content};
use crate::limits::CHAT_RECIPIENTS_MAX;
use crate::protocol::door::parcel;
use crate::protocol::keys::{Identity, Random, participant_id, sha256};
use crate::protocol::seal::{open_once, seal_once};
use crate::wire::chat as wire;
use crate::wire::door::{BOX_BYTES, COMMITMENT_BYTES};
use crate::wire::message::{ConferenceId, ParticipantId};
use crate::wire::sealed::TAG_BYTES;

const PUBLIC_BYTES: usize = 32;
const BOXES_AT: usize = PUBLIC_BYTES + COMMITMENT_BYTES;

/// Seals `content` to the holders of the public keys in `audience`, and to the author. Nothing when there are more than
/// [`CHAT_RECIPIENTS_MAX`] with the author, or a key cannot be sealed to.
pub fn seal(
    conference: ConferenceId,
    author: &Identity,
    audience: &[[u8; 32]],
    name: &str,
    content: &Content,
    random: &mut Random,
) -> Option<Content> {
    let words = Zeroizing::new(content.to_wire(name).encode_to_vec());
    let (recipients, sealed) = seal_words(conference, author, audience, words, random)?;
    Some(Content { body: Body::Sealed { recipients, sealed }, to: None })
}

/// As [`seal`], of any words; and whom they are sealed to.
pub fn seal_words(
    conference: ConferenceId,
    author: &Identity,
    audience: &[[u8; 32]],
    mut words: Zeroizing<Vec<u8>>,
    random: &mut Random,
) -> Option<(Vec<ParticipantId>, Vec<u8>)> {
    let (ephemeral, key) = (Identity::from_seed(&drawn(random)), drawn(random));
    let mut keys = vec![*author.public()];
    for public in audience.iter().filter(|public| *public != author.public()) {
        keys.push(*public);
    }
    if keys.len() > CHAT_RECIPIENTS_MAX {
        return None;
    }
    let recipients: Vec<ParticipantId> = keys.iter().map(participant_id).collect();
    let mut sealed = ephemeral.public().to_vec();
    sealed.extend(parcel::commitment(conference, &key));
    for public in &keys {
        sealed.extend(parcel::seal(conference, &ephemeral, public, &key)?);
    }
    let tag = seal_once(&key, &bound(&author.id(), &recipients), &mut words)?;
    sealed.extend_from_slice(&words);
    sealed.extend(tag);
    Some((recipients, sealed))
}

/// What `author` said to `recipients`, if `me` is one of them and it is whole.
pub fn open(
    conference: ConferenceId,
    me: &Identity,
    author: &ParticipantId,
    recipients: &[ParticipantId],
    sealed: &[u8],
) -> Option<Content> {
    let words = open_words(conference, me, author, recipients, sealed)?;
    let (_, content) = Content::from_wire(wire::Content::parse(&words).ok()?)?;
    // A seal in a seal would be a way to say what the outer one does not tell.
    (!matches!(content.body, Body::Sealed { .. })).then_some(content)
}

/// What [`seal_words`] sealed, as [`open`].
pub fn open_words(
    conference: ConferenceId,
    me: &Identity,
    author: &ParticipantId,
    recipients: &[ParticipantId],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let place = recipients.iter().position(|id| *id == me.id())?;
    let (ephemeral, rest) = sealed.split_first_chunk::<PUBLIC_BYTES>()?;
    let commitment = rest.first_chunk::<COMMITMENT_BYTES>()?;
    let mine = sealed.get(BOXES_AT + place * BOX_BYTES..)?.first_chunk::<BOX_BYTES>()?;
    let key = parcel::open(conference, me, ephemeral, commitment, mine)?;
    let (words, tag) = sealed.get(BOXES_AT + recipients.len() * BOX_BYTES..)?.split_last_chunk::<TAG_BYTES>()?;
    let mut words = Zeroizing::new(words.to_vec());
    open_once(&key, &bound(author, recipients), &mut words, tag).then_some(words)
}

fn drawn(random: &mut Random) -> Zeroizing<[u8; 32]> {
    let mut drawn = Zeroizing::new([0; 32]);
    drawn.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.next_u64().to_be_bytes()));
    drawn
}

/// What is authenticated with the words.
fn bound(author: &ParticipantId, recipients: &[ParticipantId]) -> [u8; 32] {
    let all: Vec<u8> = recipients.iter().flat_map(|id| id.0).collect();
    sha256(&[b"roundtable private line", &author.0, &all])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CHAT_SEALED_BYTES_MAX, CHAT_TEXT_BYTES_MAX};

    const CONFERENCE: ConferenceId = ConferenceId([7; 16]);

    fn identity(n: u8) -> Identity {
        Identity::from_seed(&[n; 32])
    }

    fn said(audience: &[[u8; 32]], text: &str) -> Option<(Vec<ParticipantId>, Vec<u8>)> {
        let content = Content::text(text);
        match seal(CONFERENCE, &identity(1), audience, "Ada", &content, &mut Random::new([9; 32]))?.body {
            Body::Sealed { recipients, sealed } => Some((recipients, sealed)),
            _ => None,
        }
    }

    #[test]
    fn those_it_is_for_and_its_author_read_it_and_nobody_else() {
        let [ada, bob, cyd, eve] = [1, 2, 3, 4].map(identity);
        let (recipients, sealed) = said(&[*bob.public(), *cyd.public(), *ada.public()], "between us").unwrap();
        assert_eq!(recipients, [ada.id(), bob.id(), cyd.id()]);
        for reader in [&ada, &bob, &cyd] {
            let read = open(CONFERENCE, reader, &ada.id(), &recipients, &sealed);
            assert_eq!(read, Some(Content::text("between us")));
        }
        let read =
            |me, author: &Identity, to: &[ParticipantId], sealed: &[u8]| open(CONFERENCE, me, &author.id(), to, sealed);
        assert_eq!(read(&eve, &ada, &recipients, &sealed), None, "not for her");
        assert_eq!(read(&eve, &ada, &[ada.id(), eve.id(), cyd.id()], &sealed), None, "put in another's place");
        assert_eq!(read(&bob, &eve, &recipients, &sealed), None, "as somebody else's words");
        assert_eq!(read(&bob, &ada, &recipients[..2], &sealed), None, "as for fewer");
        assert_eq!(open(ConferenceId([8; 16]), &bob, &ada.id(), &recipients, &sealed), None, "elsewhere");
        assert!(!sealed.windows(7).any(|w| w == b"between"));
    }

    #[test]
    fn damage_and_what_is_too_short_is_not_read() {
        let [ada, bob] = [1, 2].map(identity);
        let (recipients, sealed) = said(&[*bob.public()], "hi").unwrap();
        for at in 0..sealed.len() {
            // The other's box is none of Bob's business, and the first 8 bytes of a box only name its holder.
            if (BOXES_AT..BOXES_AT + BOX_BYTES + 8).contains(&at) {
                continue;
            }
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(open(CONFERENCE, &bob, &ada.id(), &recipients, &bad), None, "byte {at}");
            assert_eq!(open(CONFERENCE, &bob, &ada.id(), &recipients, &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_longest_line_to_the_most_people_fits_and_one_more_is_refused() {
        let most: Vec<[u8; 32]> = (2..=CHAT_RECIPIENTS_MAX as u8).map(|n| *identity(n).public()).collect();
        let (recipients, sealed) = said(&most, &"x".repeat(CHAT_TEXT_BYTES_MAX)).unwrap();
        assert!(sealed.len() <= CHAT_SEALED_BYTES_MAX, "{}", sealed.len());
        assert_eq!(recipients.len(), CHAT_RECIPIENTS_MAX);
        let more: Vec<[u8; 32]> = most.into_iter().chain([*identity(99).public()]).collect();
        assert!(said(&more, "x").is_none());
    }

    #[test]
    fn a_seal_in_a_seal_is_not_read() {
        let [ada, bob] = [1, 2].map(identity);
        let (recipients, sealed) = said(&[*bob.public()], "hi").unwrap();
        let inner = Content { body: Body::Sealed { recipients, sealed }, to: None };
        let outer = seal(CONFERENCE, &ada, &[*bob.public()], "Ada", &inner, &mut Random::new([3; 32])).unwrap();
        let Body::Sealed { recipients, sealed } = outer.body else { panic!("it is sealed") };
        assert_eq!(open(CONFERENCE, &bob, &ada.id(), &recipients, &sealed), None);
    }
}
