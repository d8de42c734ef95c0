//! Keys: the schedule from the conference's secret down, identities and their signatures, and seeded chance.
//!
//! ```text
//! K_pw      32 bytes: open conferences SHA-256("open" || conference id), protected ones
//!           Argon2id(NFKC(passphrase), salt = conference id, 64 MiB, 3 passes, 4 lanes)
//! PRK_e   = HKDF-SHA256-Extract(salt "roundtable/1" || conference id || epoch (4), K_pw || R_epoch); R_0 empty
//! control = Expand(PRK_e, "ctl" || sid (8), 44): ChaCha20-Poly1305 key (32), iv (12)
//! object  = Expand(PRK_e, "obj" || own key of the object (0 or 32) || sid (8), 44)
//! srtp    = Expand(PRK_e, "srtp" || participant id (16) || sid (8) || ssrc (4), 30): SRTP master key (16), salt (14)
//! check   = first 8 bytes of HMAC-SHA256(Extract("roundtable/1 check" || conference id, K_pw), nonce (8) || epoch (4))
//! tag     = first 4 bytes of SHA-256("tag" || conference id)
//! participant id = SHA-256(Ed25519 public key)[0..16]
//! conference id  = SHA-256(owner's public key || 16 random bytes)[0..16]
//! ```
//! (RFC 5869, RFC 8032, RFC 9106; numbers in network order.) The key of a packet depends on the secret and its sid alone, so a
//! member opens any packet without having met its sender. In an open conference the secret is public: sealing then
//! keeps out accidents, and only signatures mean anything.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::protocol::srtp::MASTER_BYTES;
use crate::wire::message::{ConferenceId, ParticipantId, SIGNATURE_BYTES, SignatureContext};

/// SHA-256 of the parts one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |h, part| h.chain_update(part)).finalize().into()
}

/// A key from `secret` for one purpose, which `info` names (HKDF-SHA256, RFC 5869).
pub fn derive(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(info, key.as_mut_slice());
    debug_assert!(derived.is_ok(), "only more than 255 hashes are refused");
    key
}

/// The first 8 bytes of [`sha256`] as a number: the order among equals (slots, ranks).
pub fn order_hash(parts: &[&[u8]]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(parts);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The id of the holder of a public key.
pub fn participant_id(public: &[u8; 32]) -> ParticipantId {
    ParticipantId(first_16(sha256(&[public])))
}

/// The id of a new conference.
pub fn conference_id(owner: &[u8; 32], random: &[u8; 16]) -> ConferenceId {
    ConferenceId(first_16(sha256(&[owner, random])))
}

/// Filter in sealed headers.
pub fn conference_tag(id: &ConferenceId) -> u32 {
    let [a, b, c, d, ..] = sha256(&[b"tag", &id.0]);
    u32::from_be_bytes([a, b, c, d])
}

fn first_16(digest: [u8; 32]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// Memory, passes and lanes of Argon2id; the same for every conference of this version.
const KDF_MEMORY_KIB: u32 = 64 * 1024;
const KDF_PASSES: u32 = 3;
const KDF_LANES: u32 = 4;

/// A passphrase could not be turned into a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory to turn the passphrase into a key ({} MiB)", KDF_MEMORY_KIB / 1024)]
pub struct KdfFailed;

/// `K_pw`: what everybody who may take part knows.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret of an open conference, which is none.
    pub fn open(id: &ConferenceId) -> Self {
        Self(sha256(&[b"open", &id.0]))
    }

    /// The secret of a protected conference: Argon2id (RFC 9106) of the passphrase in normal form NFKC, salted with the
    /// conference's id. Takes 64 MiB and some tenths of a second.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn from_passphrase(passphrase: &str, id: &ConferenceId) -> Result<Self, KdfFailed> {
        let normal = Zeroizing::new(passphrase.trim().nfkc().collect::<String>());
        let params = Params::new(KDF_MEMORY_KIB, KDF_PASSES, KDF_LANES, Some(32)).map_err(|_| KdfFailed)?;
        let mut secret = Self([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(normal.as_bytes(), &id.0, &mut secret.0)
            .map_err(|_| KdfFailed)?;
        Ok(secret)
    }

    /// The check value an ANNOUNCE with this nonce and epoch must carry.
    pub fn key_check(&self, id: &ConferenceId, nonce: u64, epoch: u32) -> u64 {
        let salt = [b"roundtable/1 check".as_slice(), &id.0].concat();
        let (mut prk, _) = Hkdf::<Sha256>::extract(Some(&salt), &self.0);
        let mac = Hmac::<Sha256>::new_from_slice(&prk);
        prk.as_mut_slice().zeroize();
        let Ok(mac) = mac else {
            unreachable!("HMAC takes keys of any length");
        };
        let mac = mac.chain_update(nonce.to_be_bytes()).chain_update(epoch.to_be_bytes()).finalize().into_bytes();
        mac.iter().take(8).fold(0, |n, &byte| n << 8 | u64::from(byte))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The keys of one epoch of one conference.
#[derive(Clone)]
pub struct EpochKeys {
    conference: ConferenceId,
    epoch: u32,
    tag: u32,
    prk: Hkdf<Sha256>,
}

/// Key and iv of one session's packets of one class.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ControlKey {
    /// ChaCha20-Poly1305 key.
    pub key: [u8; 32],
    /// XORed with the packet number to make the nonce.
    pub iv: [u8; 12],
}

impl EpochKeys {
    /// The first epoch: nothing but the secret enters.
    pub fn first(conference: ConferenceId, secret: &Secret) -> Self {
        Self::of(conference, secret, 0, &[])
    }

    /// Any epoch; `random` is what was drawn for it, empty when nothing was.
    pub fn of(conference: ConferenceId, secret: &Secret, epoch: u32, random: &[u8]) -> Self {
        let salt = [b"roundtable/1".as_slice(), &conference.0, &epoch.to_be_bytes()].concat();
        let material = Zeroizing::new([secret.0.as_slice(), random].concat());
        let prk = Hkdf::<Sha256>::new(Some(&salt), &material);
        Self { conference, epoch, tag: conference_tag(&conference), prk }
    }

    /// The conference.
    pub fn conference(&self) -> ConferenceId {
        self.conference
    }

    /// The epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What stands in sealed headers.
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// SRTP master key and salt of one stream (see `protocol::srtp`).
    pub fn srtp(&self, participant: &ParticipantId, sid: u64, ssrc: u32) -> Zeroizing<[u8; MASTER_BYTES]> {
        let mut master = Zeroizing::new([0; MASTER_BYTES]);
        let info = [b"srtp".as_slice(), &participant.0, &sid.to_be_bytes(), &ssrc.to_be_bytes()];
        let expanded = self.prk.expand_multi_info(&info, master.as_mut_slice());
        debug_assert!(expanded.is_ok(), "30 bytes are far below the limit of 255 blocks");
        master
    }

    /// Key of the control packets of session `sid`.
    pub fn control(&self, sid: u64) -> ControlKey {
        self.sealing(&[b"ctl", &sid.to_be_bytes()])
    }

    /// Key of the requests for repair of session `sid`: their packet numbers are counted apart.
    pub fn feedback(&self, sid: u64) -> ControlKey {
        self.sealing(&[b"fbk", &sid.to_be_bytes()])
    }

    /// Key of the packets about an object that are sealed in session `sid`; `key` is the object's own.
    pub fn object(&self, sid: u64, key: &[u8]) -> ControlKey {
        self.sealing(&[b"obj", key, &sid.to_be_bytes()])
    }

    fn sealing(&self, info: &[&[u8]]) -> ControlKey {
        let mut okm = Zeroizing::new([0; 44]);
        let expanded = self.prk.expand_multi_info(info, okm.as_mut_slice());
        debug_assert!(expanded.is_ok(), "44 bytes are far below the limit of 255 blocks");
        let mut control = ControlKey { key: [0; 32], iv: [0; 12] };
        control.key.copy_from_slice(&okm[..32]);
        control.iv.copy_from_slice(&okm[32..]);
        control
    }
}

impl PartialEq for EpochKeys {
    fn eq(&self, other: &Self) -> bool {
        let same = self.conference == other.conference && self.epoch == other.epoch;
        same && self.control(0).key == other.control(0).key
    }
}

impl Eq for EpochKeys {}

impl fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochKeys({}, {}, ..)", self.conference, self.epoch)
    }
}

/// Somebody's own identity: what signs.
pub struct Identity {
    key: SigningKey,
    public: [u8; 32],
    id: ParticipantId,
}

impl Identity {
    /// From the 32 secret bytes an installation keeps.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = key.verifying_key().to_bytes();
        Self { key, public, id: participant_id(&public) }
    }

    /// Ed25519 public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Participant id.
    pub fn id(&self) -> ParticipantId {
        self.id
    }

    /// What only this identity and the holder of `public` can compute (X25519, RFC 7748, of both keys in Montgomery form).
    /// `None` for keys of small order, which agree with everybody.
    pub fn agree(&self, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let other = VerifyingKey::from_bytes(public).ok().filter(|key| !key.is_weak())?;
        Some(Zeroizing::new((other.to_montgomery() * self.key.to_scalar()).to_bytes()))
    }

    /// Signature of `payload` in `context`; `scratch` is overwritten.
    pub fn sign(&self, context: &SignatureContext, payload: &[u8], scratch: &mut Vec<u8>) -> [u8; SIGNATURE_BYTES] {
        context.write(payload, scratch);
        self.key.sign(scratch).to_bytes()
    }
}

/// Whether `signature` is that of the holder of `public` for `payload` in `context`; `scratch` is overwritten.
/// Keys of small order and signatures with more than one form are refused.
pub fn verify(
    public: &[u8; 32],
    context: &SignatureContext,
    payload: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
    scratch: &mut Vec<u8>,
) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else {
        return false;
    };
    context.write(payload, scratch);
    key.verify_strict(scratch, &Signature::from_bytes(signature)).is_ok()
}

/// Remembers, word for word, what [`verify`] found authentic: many members in one process, as in a simulation, check each
/// signature once between them. It never takes anything for authentic that was not checked.
#[derive(Default)]
pub struct Checked {
    found: BTreeMap<[u8; SIGNATURE_BYTES], Box<[u8]>>,
    room: usize,
}

impl Checked {
    /// Remembers up to `room` signatures, and begins anew when that is full; the default remembers none.
    pub fn remembering(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// [`verify`], or that it was found authentic before.
    pub fn verify(
        &mut self,
        public: &[u8; 32],
        context: &SignatureContext,
        payload: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
        scratch: &mut Vec<u8>,
    ) -> bool {
        if self.room == 0 {
            return verify(public, context, payload, signature, scratch);
        }
        context.write(payload, scratch);
        scratch.extend_from_slice(public);
        if self.found.get(signature).is_some_and(|said| **said == **scratch) {
            return true;
        }
        let said = scratch.as_slice().into();
        let authentic = verify(public, context, payload, signature, scratch);
        if authentic {
            if self.found.len() >= self.room {
                self.found.clear();
            }
            self.found.insert(*signature, said);
        }
        authentic
    }
}

/// Chance from a seed: SHA-256 of seed and counter. Nobody without the seed foretells it, and the same seed replays it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    /// Starts the sequence of `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter += 1;
        order_hash(&[&self.seed, &self.counter.to_be_bytes()])
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A time from `low` up to `high`.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = high.saturating_sub(low).as_nanos();
        low + Duration::from_nanos(self.below(u64::try_from(width).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::KIND_BEACON;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_schedule_gives_the_values_computed_by_another_implementation() {
        let id = ConferenceId(*b"0123456789abcdef");
        let secret = Secret::open(&id);
        let keys = EpochKeys::first(id, &secret);
        let control = keys.control(0x1122_3344_5566_7788);
        assert_eq!(hex(&secret.0), "883aa55787ee97773b946ff51c9eb141367c055179645acda11550312798336d");
        assert_eq!(hex(&control.key), "0cbd4dd1455bab981b2b15c0eca41019dc92d8542c45e61fa67824d3bf8f6456");
        assert_eq!(hex(&control.iv), "d174ec46d8f36f1e51f7af83");
        assert_eq!(format!("{:016x}", secret.key_check(&id, 5, 0)), "81eaec43c85c412c");
        assert_eq!(format!("{:08x}", keys.tag()), "3d34f111");
    }

    #[test]
    fn two_agree_on_what_a_third_cannot_know() {
        let [ada, bob, eve] = [1, 2, 3].map(|n| Identity::from_seed(&[n; 32]));
        assert_eq!(ada.agree(bob.public()), bob.agree(ada.public()));
        assert_ne!(ada.agree(bob.public()), eve.agree(bob.public()));
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(ada.agree(&neutral), None, "a point of small order");
        assert_eq!(ada.agree(&[2; 32]), None, "no point at all");
    }

    #[test]
    fn every_epoch_and_its_random_part_give_other_keys() {
        let id = ConferenceId([1; 16]);
        let of = |epoch, random: &[u8]| EpochKeys::of(id, &Secret::open(&id), epoch, random);
        assert_eq!(of(0, &[]), EpochKeys::first(id, &Secret::open(&id)));
        let all = [of(0, &[]), of(1, &[]), of(1, &[1; 32]), of(1, &[2; 32]), of(2, &[1; 32])];
        for (n, a) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|b| a != b && a.control(5).key != b.control(5).key), "{n}");
        }
    }

    #[test]
    fn secrets_are_not_told_to_logs() {
        let id = ConferenceId([7; 16]);
        let secret = Secret::open(&id);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(format!("{:?}", EpochKeys::first(id, &secret)), format!("EpochKeys({id}, 0, ..)"));
    }

    #[test]
    fn keys_differ_by_conference_and_session() {
        let (a, b) = (ConferenceId([1; 16]), ConferenceId([2; 16]));
        let keys = |id| EpochKeys::first(id, &Secret::open(&a));
        assert_ne!(keys(a).control(1).key, keys(a).control(2).key);
        assert_ne!(keys(a).control(1).key, keys(b).control(1).key, "the same secret in another conference");
        assert_ne!(Secret::open(&a).key_check(&a, 1, 0), Secret::open(&b).key_check(&a, 1, 0));
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        // Section 7.1, tests 1 to 3: seed, public key, message, signature.
        let rows = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        for (seed, public, message, signature) in rows {
            let identity = Identity::from_seed(&unhex(seed).try_into().unwrap());
            assert_eq!(hex(identity.public()), public);
            assert_eq!(identity.id().to_string(), hex(&sha256(&[identity.public()])[..16]));
            assert_eq!(hex(&identity.key.sign(&unhex(message)).to_bytes()), signature);
        }
    }

    #[test]
    fn keys_are_derived_as_in_rfc_5869() {
        // Appendix A.1; of the key 32 bytes are taken here.
        let (salt, info) = (unhex("000102030405060708090a0b0c"), unhex("f0f1f2f3f4f5f6f7f8f9"));
        let key = derive(&salt, &[0x0b; 22], &[&info]);
        assert_eq!(hex(&*key), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        assert_eq!(derive(&salt, &[0x0b; 22], &[&info[..4], &info[4..]]), key, "in parts");
        let (prk, expander) = Hkdf::<Sha256>::extract(Some(&salt), &[0x0b; 22]);
        assert_eq!(hex(&prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let mut all = [0; 42];
        expander.expand_multi_info(&[&info], &mut all).unwrap();
        assert_eq!(hex(&all), format!("{}34007208d5b887185865", hex(&*key)));
    }

    #[test]
    fn passphrases_are_hashed_as_in_rfc_9106() {
        // Section 5.3.
        let data = argon2::AssociatedData::new(&[4; 12]).unwrap();
        let params = argon2::ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(data).output_len(32).build();
        let secret = [3; 8];
        let hash = Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params.unwrap()).unwrap();
        let mut tag = [0; 32];
        hash.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
        assert_eq!(hex(&tag), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }

    #[test]
    fn a_signature_binds_every_part_of_its_context() {
        let identity = Identity::from_seed(&[1; 32]);
        let context = SignatureContext {
            kind: KIND_BEACON,
            conference: ConferenceId([2; 16]),
            epoch: 0,
            signer: identity.id(),
            sid: 4,
            counter: 5,
        };
        let mut scratch = Vec::new();
        let signature = identity.sign(&context, b"hello", &mut scratch);
        let mut holds =
            |c: &SignatureContext, payload: &[u8]| verify(identity.public(), c, payload, &signature, &mut scratch);
        assert!(holds(&context, b"hello"));
        assert!(!holds(&context, b"hellp"));
        for other in [
            SignatureContext { kind: KIND_BEACON + 1, ..context },
            SignatureContext { conference: ConferenceId([3; 16]), ..context },
            SignatureContext { epoch: 1, ..context },
            SignatureContext { signer: ParticipantId([0; 16]), ..context },
            SignatureContext { sid: 5, ..context },
            SignatureContext { counter: 6, ..context },
        ] {
            assert!(!holds(&other, b"hello"), "{other:?}");
        }
        assert!(!verify(&[0; 32], &context, b"hello", &signature, &mut scratch), "a key of small order");
    }

    #[test]
    fn only_what_was_checked_word_for_word_is_remembered_as_authentic() {
        let (ada, eve) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        let context = SignatureContext {
            kind: KIND_BEACON,
            conference: ConferenceId([2; 16]),
            epoch: 0,
            signer: ada.id(),
            sid: 4,
            counter: 5,
        };
        let later = SignatureContext { counter: 6, ..context };
        let mut scratch = Vec::new();
        let good = ada.sign(&context, b"hello", &mut scratch);
        let forged = eve.sign(&context, b"hello", &mut scratch);
        for room in [0, 1, 100] {
            let mut checked = Checked::remembering(room);
            for _ in 0..2 {
                let mut holds = |key: &Identity, context, payload: &[u8], signature| {
                    checked.verify(key.public(), context, payload, signature, &mut scratch)
                };
                assert!(holds(&ada, &context, b"hello", &good));
                assert!(!holds(&ada, &context, b"hello", &forged));
                assert!(!holds(&eve, &context, b"hello", &good));
                assert!(!holds(&ada, &context, b"hellp", &good));
                assert!(!holds(&ada, &later, b"hello", &good));
                assert!(holds(&eve, &context, b"hello", &forged), "of eve it is");
                assert!(checked.found.len() <= room);
            }
        }
    }

    #[test]
    fn chance_replays_and_stays_within_its_bounds() {
        let draw = |seed| {
            let mut r = Random::new([seed; 32]);
            (0..1_000).map(|_| r.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0..10).all(|n| draw(1).contains(&n)) && draw(1).iter().all(|&n| n < 10));
        let mut r = Random::new([0; 32]);
        assert_eq!(r.below(0), 0);
        let (low, high) = (Duration::from_millis(60), Duration::from_millis(80));
        assert!((0..100).all(|_| (low..high).contains(&r.between(low, high))));
        assert_eq!(r.between(high, low), high, "an empty range");
    }
}
