//! Signing and checking pieces with Ed25519, in the context that binds all that is signed in a conference.

use crate::protocol::chat::line::{Signer, Verifier};
use crate::protocol::keys::{Identity, participant_id, verify};
use crate::wire::chat::{KIND_CHAT, Original};
use crate::wire::message::{ConferenceId, SignatureContext};

/// Signs as a member, in the session it speaks in now.
pub struct Speaker<'a> {
    /// Who speaks.
    pub identity: &'a Identity,
    /// Where.
    pub conference: ConferenceId,
    /// The present epoch.
    pub epoch: u32,
    /// The present session.
    pub sid: u64,
    /// Counts what was signed in this session, of whatever kind; the last used.
    pub counter: &'a mut u64,
}

impl Signer for Speaker<'_> {
    fn sign(&mut self, payload: Vec<u8>) -> Original {
        *self.counter += 1;
        let Self { conference, epoch, sid, .. } = *self;
        let counter = *self.counter;
        let signer = self.identity.id();
        let context = SignatureContext { kind: KIND_CHAT, conference, epoch, signer, sid, counter };
        let signature = self.identity.sign(&context, &payload, &mut Vec::new()).to_vec();
        Original { signer: self.identity.public().to_vec(), counter, payload, signature, epoch, sid }
    }
}

/// Checks what was said in a conference, in whichever epoch and session.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// Where.
    pub conference: ConferenceId,
}

impl Verifier for Listener {
    fn authentic(&self, original: &Original) -> bool {
        let Ok((public, signature)) = original.parts() else {
            return false;
        };
        let context = SignatureContext {
            kind: KIND_CHAT,
            conference: self.conference,
            epoch: original.epoch,
            signer: participant_id(public),
            sid: original.sid,
            counter: original.counter,
        };
        verify(public, &context, &original.payload, signature, &mut Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_bound_to_who_where_and_when() {
        let identity = Identity::from_seed(&[1; 32]);
        let conference = ConferenceId([2; 16]);
        let mut counter = 7;
        let mut speaker = Speaker { identity: &identity, conference, epoch: 3, sid: 4, counter: &mut counter };
        let original = speaker.sign(b"payload".to_vec());
        assert_eq!((original.counter, counter), (8, 8));
        let listener = Listener { conference };
        assert!(listener.authentic(&original));
        assert!(!Listener { conference: ConferenceId([9; 16]) }.authentic(&original), "elsewhere");
        let check = |change: fn(&mut Original)| {
            let mut other = original.clone();
            change(&mut other);
            assert!(!listener.authentic(&other), "{other:?}");
        };
        check(|o| o.payload[0] ^= 1);
        check(|o| o.epoch += 1);
        check(|o| o.sid += 1);
        check(|o| o.counter += 1);
        check(|o| o.signature[63] ^= 1);
        check(|o| o.signer = Identity::from_seed(&[5; 32]).public().to_vec());
        check(|o| o.signer.clear());
    }
}
