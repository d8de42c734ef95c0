//! Sealing and opening of datagrams ([`crate::wire::sealed`]), with the replay window of each session.
//!
//! ```text
//! datagram > header > tag, epoch > seen before? > throttled? > ChaCha20-Poly1305 > window moves > body
//!               '------- no state, no cost -------'  '---- state only after authentication ----'
//! ```
//! A packet that cannot be opened costs a counter. When a source sends more of them than
//! [`FAILED_OPENINGS_PER_S_MAX`], or all together more than [`FAILED_OPENINGS_TOTAL_PER_S_MAX`], packets of sessions
//! not met before are no longer tried for the rest of that second; those already met are, because their key is at hand:
//! whoever spoofs addresses cannot silence members.
//!
//! Every member has every session's key, so one of them can move another's window: send what is numbered far ahead, or
//! use up the numbers that come next. What was refused as seen can therefore be looked at again
//! ([`Opener::reopen`]), for what its author signed; that proves which number they have come to, and the window goes back
//! to it ([`Opener::rewind`]). Windows of members are kept ([`Opener::hold`]) however many sessions somebody makes up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use crate::limits::{FAILED_OPENINGS_PER_S_MAX, FAILED_OPENINGS_TOTAL_PER_S_MAX, SEALED_BODY_BYTES_MAX, SESSIONS_MAX};
use crate::protocol::keys::{ControlKey, EpochKeys};
use crate::protocol::rate::SourceRate;
use crate::time::Timestamp;
use crate::wire::sealed::{Class, HEADER_BYTES, Header, TAG_BYTES};

/// Why a datagram was not opened. One counter each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No sealed datagram.
    #[error(transparent)]
    Header(#[from] crate::wire::sealed::Error),
    /// Another conference's tag, another epoch or another class.
    #[error("sealed for another conference, epoch or purpose")]
    Foreign,
    /// Its packet number was seen, or is too old to tell.
    #[error("packet {pn} of session {sid:016x} came before")]
    Replayed {
        /// Session.
        sid: u64,
        /// Packet number.
        pn: u64,
    },
    /// Too many failures this second.
    #[error("too many packets that could not be opened")]
    Throttled,
    /// The tag is wrong.
    #[error("packet {pn} of session {sid:016x} is not authentic")]
    NotAuthentic {
        /// Session.
        sid: u64,
        /// Packet number.
        pn: u64,
    },
}

struct Cipher {
    aead: ChaCha20Poly1305,
    iv: [u8; 12],
}

impl Cipher {
    fn new(key: &ControlKey) -> Self {
        Self { aead: ChaCha20Poly1305::new(&key.key.into()), iv: key.iv }
    }

    /// The packet number, in the last 8 bytes, XORed into the iv.
    fn nonce(&self, pn: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(pn.to_be_bytes()) {
            *byte ^= number;
        }
        nonce.into()
    }
}

fn key(class: Class, keys: &EpochKeys, sid: u64) -> ControlKey {
    match class {
        Class::Control => keys.control(sid),
        Class::Feedback => keys.feedback(sid),
        Class::Object => keys.object(sid, &[]),
    }
}

/// Seals what one session sends.
pub struct Sealer {
    header: Header,
    cipher: Cipher,
}

impl Sealer {
    /// For session `sid`.
    pub fn new(keys: &EpochKeys, sid: u64) -> Self {
        Self::of(Class::Control, keys, sid)
    }

    /// What session `sid` sends of `class`. A class has keys of its own: two sealers of one class and session would use
    /// packet numbers twice.
    pub fn of(class: Class, keys: &EpochKeys, sid: u64) -> Self {
        Self::with(keys, sid, class, &key(class, keys, sid))
    }

    /// For datagrams about one object: its symbols, or requests for them. `key` is the object's own, if it is for some
    /// only. Two sealers of one conference must never have the same `sid`.
    pub fn object(keys: &EpochKeys, sid: u64, class: Class, key: &[u8]) -> Self {
        Self::with(keys, sid, class, &keys.object(sid, key))
    }

    fn with(keys: &EpochKeys, sid: u64, class: Class, key: &ControlKey) -> Self {
        let header = Header { class, epoch: keys.epoch() as u16, tag: keys.tag(), sid, pn: 0 };
        Self { header, cipher: Cipher::new(key) }
    }

    /// The session's id.
    pub fn sid(&self) -> u64 {
        self.header.sid
    }

    /// Number of the last packet.
    pub fn number(&self) -> u64 {
        self.header.pn
    }

    /// The next packet has at least `number`.
    pub fn reach(&mut self, number: u64) {
        self.header.pn = self.header.pn.max(number.saturating_sub(1));
    }

    /// Appends the sealed datagram of `body` to `out`. False, and nothing appended, when the body is too long.
    pub fn seal(&mut self, body: &[u8], out: &mut Vec<u8>) -> bool {
        if body.len() > SEALED_BODY_BYTES_MAX {
            return false;
        }
        self.header.pn += 1;
        let start = out.len();
        let header = self.header.to_bytes();
        out.extend_from_slice(&header);
        out.extend_from_slice(body);
        let nonce = self.cipher.nonce(self.header.pn);
        let plain = &mut out[start + HEADER_BYTES..];
        match self.cipher.aead.encrypt_inout_detached(&nonce, &header, plain.into()) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                true
            }
            Err(_) => {
                out.truncate(start);
                false
            }
        }
    }
}

/// Packet numbers seen of one session: RFC 6479's window, in words of 64.
#[derive(Clone, Debug, Default)]
struct ReplayWindow {
    highest: u64,
    seen: [u64; Self::WORDS as usize],
}

impl ReplayWindow {
    const WORDS: u64 = 16;
    /// Packets further back than this count as seen; one word is always being filled.
    const WIDTH: u64 = (Self::WORDS - 1) * 64;

    fn is_fresh(&self, pn: u64) -> bool {
        if pn > self.highest {
            return true;
        }
        let recent = self.highest - pn < Self::WIDTH;
        recent && self.seen[(pn / 64 % Self::WORDS) as usize] & (1 << (pn % 64)) == 0
    }

    fn mark(&mut self, pn: u64) {
        if pn > self.highest {
            let (old, new) = (self.highest / 64, pn / 64);
            for word in (old + 1..=new).take(Self::WORDS as usize) {
                self.seen[(word % Self::WORDS) as usize] = 0;
            }
            self.highest = pn;
        }
        self.seen[(pn / 64 % Self::WORDS) as usize] |= 1 << (pn % 64);
    }

    /// What is numbered above `pn` is fresh, and nothing else, unless that is so already.
    fn rewind(&mut self, pn: u64) {
        if pn < self.highest {
            self.highest = pn;
            self.seen = [u64::MAX; Self::WORDS as usize];
            self.seen[(pn / 64 % Self::WORDS) as usize] = u64::MAX >> (63 - pn % 64);
        }
    }
}

struct Live {
    cipher: Cipher,
    window: ReplayWindow,
    /// Place among the strangers; none while it is held.
    place: Option<u64>,
}

/// Opens what others send.
pub struct Opener {
    class: Class,
    keys: EpochKeys,
    /// Of an object: its own key, which may be empty. `None`: control datagrams are opened.
    object: Option<Zeroizing<Vec<u8>>>,
    live: BTreeMap<u64, Live>,
    /// Sessions that are not held, in the order in which they came or were released.
    strangers: BTreeMap<u64, u64>,
    places: u64,
    failures: SourceRate,
}

impl Opener {
    /// For the conference and epoch of `keys`.
    pub fn new(keys: EpochKeys) -> Self {
        Self::of(Class::Control, keys)
    }

    /// For datagrams of `class` only.
    pub fn of(class: Class, keys: EpochKeys) -> Self {
        let (live, strangers) = (BTreeMap::new(), BTreeMap::new());
        Self { class, keys, object: None, live, strangers, places: 0, failures: SourceRate::default() }
    }

    /// For what is sealed by [`Sealer::object`] with the same `key`, and nothing else.
    pub fn object(keys: EpochKeys, key: &[u8]) -> Self {
        Self { object: Some(Zeroizing::new(key.to_vec())), ..Self::of(Class::Object, keys) }
    }

    /// The keys it opens with.
    pub fn keys(&self) -> &EpochKeys {
        &self.keys
    }

    /// Sessions whose replay window is kept.
    pub fn sessions(&self) -> usize {
        self.live.len()
    }

    /// Whether the source may still cause costly work this second.
    pub fn is_throttled(&mut self, now: Timestamp, source: IpAddr) -> bool {
        is_throttled(&mut self.failures, now, source)
    }

    /// Counts a failure found later, such as a forged signature, like one to open.
    pub fn count_failure(&mut self, now: Timestamp, source: IpAddr) {
        self.failures.take(now, source, FAILED_OPENINGS_PER_S_MAX, FAILED_OPENINGS_TOTAL_PER_S_MAX);
    }

    /// Opens `datagram` into `body`, which is cleared first. State changes only when it is authentic and new.
    pub fn open(
        &mut self,
        now: Timestamp,
        source: IpAddr,
        datagram: &[u8],
        body: &mut Vec<u8>,
    ) -> Result<Header, Refusal> {
        body.clear();
        let header = Header::parse(datagram)?;
        let ours = match self.object {
            None => header.class == self.class,
            Some(_) => header.class != Class::Control,
        };
        if !ours || header.tag != self.keys.tag() || header.epoch != self.keys.epoch() as u16 {
            return Err(Refusal::Foreign);
        }
        let Header { sid, pn, .. } = header;
        let opened = match self.live.get_mut(&sid) {
            Some(live) if !live.window.is_fresh(pn) => return Err(Refusal::Replayed { sid, pn }),
            Some(live) => {
                let opened = decrypt(&live.cipher, pn, datagram, body);
                if opened {
                    live.window.mark(pn);
                }
                opened
            }
            None if is_throttled(&mut self.failures, now, source) => return Err(Refusal::Throttled),
            None => {
                let cipher = Cipher::new(&match &self.object {
                    None => key(self.class, &self.keys, sid),
                    Some(key) => self.keys.object(sid, key),
                });
                let opened = decrypt(&cipher, pn, datagram, body);
                if opened {
                    self.remember(sid, pn, cipher);
                }
                opened
            }
        };
        if !opened {
            body.clear();
            self.count_failure(now, source);
            return Err(Refusal::NotAuthentic { sid, pn });
        }
        Ok(header)
    }

    /// Opens once more, into `body`, what was refused as [`Replayed`](Refusal::Replayed). Nothing changes but the count of
    /// failures; what it says may have been said before.
    pub fn reopen(&mut self, now: Timestamp, source: IpAddr, datagram: &[u8], body: &mut Vec<u8>) -> bool {
        body.clear();
        let Ok(header) = Header::parse(datagram) else {
            return false;
        };
        let live = self.live.get(&header.sid);
        let opened = live.is_some_and(|live| decrypt(&live.cipher, header.pn, datagram, body));
        if !opened {
            body.clear();
            self.count_failure(now, source);
        }
        opened
    }

    /// Whoever session `sid` is has proved that their packets have come to number `pn`: those after it are fresh.
    pub fn rewind(&mut self, sid: u64, pn: u64) {
        if let Some(live) = self.live.get_mut(&sid) {
            live.window.rewind(pn);
        }
    }

    /// Session `sid` is a member's: its window stays until it is [released](Self::release).
    pub fn hold(&mut self, sid: u64) {
        if let Some(place) = self.live.get_mut(&sid).and_then(|live| live.place.take()) {
            self.strangers.remove(&place);
        }
    }

    /// Session `sid` is a member's no more.
    pub fn release(&mut self, sid: u64) {
        if let Some(live) = self.live.get_mut(&sid).filter(|live| live.place.is_none()) {
            self.places += 1;
            live.place = Some(self.places);
            self.strangers.insert(self.places, sid);
        }
    }

    /// Keeps a session's window; when there are too many, that of the one known for longest goes that is nobody's here.
    fn remember(&mut self, sid: u64, pn: u64, cipher: Cipher) {
        if self.live.len() >= SESSIONS_MAX {
            let Some((_, oldest)) = self.strangers.pop_first() else {
                return;
            };
            self.live.remove(&oldest);
        }
        let mut window = ReplayWindow::default();
        window.mark(pn);
        self.live.insert(sid, Live { cipher, window, place: None });
        self.release(sid);
    }
}

fn is_throttled(failures: &mut SourceRate, now: Timestamp, source: IpAddr) -> bool {
    failures.is_used_up(now, source, FAILED_OPENINGS_PER_S_MAX, FAILED_OPENINGS_TOTAL_PER_S_MAX)
}

/// Seals `bytes` in place and authenticates `bound` with them; the tag. The nonce is 0, so a key may seal once only.
pub fn seal_once(key: &[u8; 32], bound: &[u8], bytes: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
    let aead = ChaCha20Poly1305::new(key.into());
    aead.encrypt_inout_detached(&Nonce::default(), bound, bytes.into()).ok().map(Into::into)
}

/// Opens in place what [`seal_once`] sealed; whether it is authentic.
pub fn open_once(key: &[u8; 32], bound: &[u8], bytes: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
    let aead = ChaCha20Poly1305::new(key.into());
    aead.decrypt_inout_detached(&Nonce::default(), bound, bytes.into(), &Tag::from(*tag)).is_ok()
}

/// Decrypts a datagram whose header was parsed, so that its length is known to leave room for the tag.
fn decrypt(cipher: &Cipher, pn: u64, datagram: &[u8], body: &mut Vec<u8>) -> bool {
    let Some((header, rest)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let Some((ciphertext, tag)) = rest.split_last_chunk::<TAG_BYTES>() else {
        return false;
    };
    body.extend_from_slice(ciphertext);
    let tag = Tag::from(*tag);
    cipher.aead.decrypt_inout_detached(&cipher.nonce(pn), header, body.as_mut_slice().into(), &tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::keys::Secret;
    use crate::wire::message::ConferenceId;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn keys(conference: u8) -> EpochKeys {
        let id = ConferenceId([conference; 16]);
        EpochKeys::first(id, &Secret::open(&id))
    }

    fn sealed(sealer: &mut Sealer, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(sealer.seal(body, &mut out));
        out
    }

    fn open(opener: &mut Opener, ms: u64, source: IpAddr, datagram: &[u8]) -> Result<(Header, Vec<u8>), Refusal> {
        let mut body = vec![1, 2];
        let header = opener.open(Timestamp::from_millis(ms), source, datagram, &mut body);
        assert!(header.is_ok() || body.is_empty(), "nothing of a refused packet is handed on");
        header.map(|h| (h, body))
    }

    #[test]
    fn anyone_with_the_secret_opens_without_having_met_the_sender() {
        let mut sealer = Sealer::new(&keys(1), 77);
        let mut opener = Opener::new(keys(1));
        let (header, body) = open(&mut opener, 0, SOURCE, &sealed(&mut sealer, b"hello")).unwrap();
        assert_eq!((header.sid, header.pn, body.as_slice()), (77, 1, b"hello".as_slice()));
        let second = sealed(&mut sealer, b"");
        assert_eq!(second.len(), HEADER_BYTES + TAG_BYTES);
        assert_eq!(open(&mut opener, 0, SOURCE, &second).unwrap().0.pn, 2);
        assert_eq!(open(&mut Opener::new(keys(2)), 0, SOURCE, &second), Err(Refusal::Foreign));
    }

    #[test]
    fn what_is_about_an_object_is_opened_with_its_key_and_by_nobody_else() {
        let mut sealer = Sealer::object(&keys(1), 77, Class::Object, b"key");
        let opened = |opener: Opener, datagram: &[u8]| open(&mut { opener }, 0, SOURCE, datagram).map(|o| o.0.class);
        let datagram = sealed(&mut sealer, b"hello");
        assert_eq!(opened(Opener::object(keys(1), b"key"), &datagram), Ok(Class::Object));
        assert_eq!(opened(Opener::new(keys(1)), &datagram), Err(Refusal::Foreign));
        let refused = opened(Opener::object(keys(1), b""), &datagram);
        assert!(matches!(refused, Err(Refusal::NotAuthentic { .. })), "{refused:?}");
        let control = sealed(&mut Sealer::new(&keys(1), 77), b"hello");
        assert_eq!(opened(Opener::object(keys(1), b""), &control), Err(Refusal::Foreign));
    }

    #[test]
    fn the_cipher_is_that_of_rfc_8439() {
        // Section 2.8.2.
        let key = std::array::from_fn(|n| 0x80 + n as u8);
        let iv = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let bound = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
            sunscreen would be it."
            .to_vec();
        let cipher = Cipher::new(&ControlKey { key, iv });
        let tag = cipher.aead.encrypt_inout_detached(&cipher.nonce(0), &bound, text.as_mut_slice().into()).unwrap();
        let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
            1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
            3ff4def08e4b7a9de576d26586cec64b6116";
        assert_eq!(hex, expected);
        assert_eq!(u128::from_be_bytes(tag.into()), 0x1ae1_0b59_4f09_e26a_7e90_2ecb_d060_0691);
    }

    #[test]
    fn every_changed_bit_is_noticed_and_changes_nothing() {
        let good = sealed(&mut Sealer::new(&keys(1), 77), b"hello");
        let mut opener = Opener::new(keys(1));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(open(&mut opener, at as u64 * 1_000, SOURCE, &bad).is_err(), "byte {at}");
        }
        assert_eq!(opener.sessions(), 0);
        assert!(open(&mut opener, 1_000_000, SOURCE, &good).is_ok());
    }

    #[test]
    fn a_body_of_1372_bytes_is_the_longest() {
        let mut sealer = Sealer::new(&keys(1), 1);
        let mut out = vec![9];
        assert!(!sealer.seal(&[0; SEALED_BODY_BYTES_MAX + 1], &mut out));
        assert_eq!(out, [9]);
        assert!(sealer.seal(&[0; SEALED_BODY_BYTES_MAX], &mut out));
        assert!(open(&mut Opener::new(keys(1)), 0, SOURCE, &out[1..]).is_ok());
    }

    #[test]
    fn the_replay_window_takes_each_number_once_in_any_order() {
        let w = ReplayWindow::WIDTH;
        let rows: [(&[u64], u64, bool); 11] = [
            (&[], 1, true),
            (&[1], 1, false),
            (&[2], 1, true),
            (&[64, 63], 64, false),
            (&[64, 63], 65, true),
            (&[5_000], 5_000 - w + 1, true),
            (&[5_000], 5_000 - w, false),
            (&[5_000, 4_999], 4_999, false),
            (&[10, 10 + 16 * 64], 10 + 16 * 64 - 5, true),
            (&[10, 10_000], 9_990, true),
            (&[u64::MAX], u64::MAX, false),
        ];
        for (marked, pn, fresh) in rows {
            let mut window = ReplayWindow::default();
            marked.iter().for_each(|&n| window.mark(n));
            assert_eq!(window.is_fresh(pn), fresh, "{pn} after {marked:?}");
        }
    }

    #[test]
    fn the_replay_window_agrees_with_a_set() {
        let mut random = crate::protocol::keys::Random::new([3; 32]);
        let (mut window, mut set, mut top) = (ReplayWindow::default(), std::collections::BTreeSet::new(), 0_u64);
        for _ in 0..20_000 {
            let jump = if random.below(50) == 0 { 3_000 } else { 40 };
            let pn = (top + random.below(jump) + 1).saturating_sub(random.below(1_200)).max(1);
            let expected = pn > top || (top - pn < ReplayWindow::WIDTH && !set.contains(&pn));
            assert_eq!(window.is_fresh(pn), expected, "{pn}, highest {top}");
            if expected {
                window.mark(pn);
                set.insert(pn);
                top = top.max(pn);
            }
        }
    }

    #[test]
    fn replayed_packets_are_refused() {
        let mut sealer = Sealer::new(&keys(1), 77);
        let (a, b) = (sealed(&mut sealer, b"a"), sealed(&mut sealer, b"b"));
        let mut opener = Opener::new(keys(1));
        assert!(open(&mut opener, 0, SOURCE, &b).is_ok());
        assert!(open(&mut opener, 0, SOURCE, &a).is_ok());
        assert_eq!(open(&mut opener, 9, SOURCE, &a), Err(Refusal::Replayed { sid: 77, pn: 1 }));
        assert_eq!(open(&mut opener, 9, SOURCE, &b), Err(Refusal::Replayed { sid: 77, pn: 2 }));
    }

    /// A datagram of an unknown session that cannot be opened.
    fn garbage(sid: u64) -> Vec<u8> {
        let mut bytes = sealed(&mut Sealer::new(&keys(1), sid), b"x");
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    }

    #[test]
    fn so_many_failures_a_second_silence_strangers_from_that_source_only() {
        let mut opener = Opener::new(keys(1));
        let mut member = Sealer::new(&keys(1), 77);
        assert!(open(&mut opener, 0, SOURCE, &sealed(&mut member, b"hello")).is_ok());
        for n in 0..u64::from(FAILED_OPENINGS_PER_S_MAX) {
            assert!(matches!(open(&mut opener, 0, SOURCE, &garbage(n)), Err(Refusal::NotAuthentic { .. })), "{n}");
        }
        let stranger = sealed(&mut Sealer::new(&keys(1), 1_000), b"me too");
        assert_eq!(open(&mut opener, 999, SOURCE, &stranger), Err(Refusal::Throttled));
        assert!(open(&mut opener, 999, SOURCE, &sealed(&mut member, b"still here")).is_ok());
        let other = sealed(&mut Sealer::new(&keys(1), 1_001), b"from elsewhere");
        assert!(open(&mut opener, 999, [10, 0, 0, 2].into(), &other).is_ok());
        assert!(open(&mut opener, 1_000, SOURCE, &stranger).is_ok(), "the next second");
    }

    #[test]
    fn so_many_failures_a_second_in_all_silence_all_strangers() {
        let mut opener = Opener::new(keys(1));
        for n in 0..FAILED_OPENINGS_TOTAL_PER_S_MAX {
            let source = IpAddr::from((n / 40_u32).to_be_bytes());
            assert!(matches!(open(&mut opener, 0, source, &garbage(n.into())), Err(Refusal::NotAuthentic { .. })));
        }
        let stranger = sealed(&mut Sealer::new(&keys(1), 5_000), b"hello");
        assert_eq!(open(&mut opener, 0, SOURCE, &stranger), Err(Refusal::Throttled));
        assert!(open(&mut opener, 1_000, SOURCE, &stranger).is_ok());
    }

    #[test]
    fn of_too_many_sessions_the_oldest_that_is_nobodys_is_forgotten() {
        let mut opener = Opener::new(keys(1));
        let hello = |opener: &mut Opener, sid| {
            let hello = sealed(&mut Sealer::new(&keys(1), sid), b"hello");
            assert!(open(opener, 10, SOURCE, &hello).is_ok());
            hello
        };
        let first = hello(&mut opener, 0);
        hello(&mut opener, 1);
        opener.hold(0);
        (2..SESSIONS_MAX as u64).for_each(|sid| drop(hello(&mut opener, sid)));
        hello(&mut opener, u64::MAX);
        assert_eq!(opener.sessions(), SESSIONS_MAX);
        assert!(opener.live.contains_key(&0) && !opener.live.contains_key(&1));
        (10_000..10_000 + 2 * SESSIONS_MAX as u64).for_each(|sid| drop(hello(&mut opener, sid)));
        assert_eq!(open(&mut opener, 20, SOURCE, &first), Err(Refusal::Replayed { sid: 0, pn: 1 }));
        opener.release(0);
        (20_000..20_000 + SESSIONS_MAX as u64).for_each(|sid| drop(hello(&mut opener, sid)));
        assert!(!opener.live.contains_key(&0), "a member no more");
        assert_eq!(opener.sessions(), SESSIONS_MAX);
    }

    #[test]
    fn those_who_come_and_go_take_no_room_in_the_queue() {
        let mut opener = Opener::new(keys(1));
        assert!(open(&mut opener, 0, SOURCE, &sealed(&mut Sealer::new(&keys(1), 1), b"hello")).is_ok());
        for _ in 0..5 * SESSIONS_MAX {
            opener.hold(1);
            opener.release(1);
        }
        assert_eq!(opener.strangers.len(), 1);
        opener.hold(2);
        opener.release(2);
        opener.rewind(2, 5);
        assert_eq!(opener.sessions(), 1, "nothing is made for a session that was never met");
    }

    #[test]
    fn a_window_goes_back_to_a_number_and_no_further() {
        let w = ReplayWindow::WIDTH;
        for to in [1, 63, 64, 65, 5_000, 5_055, 70_000] {
            let mut window = ReplayWindow::default();
            window.mark(1 << 60);
            window.rewind(to);
            for old in [1, to.saturating_sub(w).max(1), to.saturating_sub(1).max(1), to] {
                assert!(!window.is_fresh(old), "{old} after going back to {to}");
            }
            for pn in to + 1..to + 3 * w {
                assert!(window.is_fresh(pn), "{pn} after going back to {to}");
                window.mark(pn);
                assert!(!window.is_fresh(pn));
            }
            window.rewind(to + 10 * w);
            assert!(window.is_fresh(to + 3 * w), "never ahead");
        }
    }

    #[test]
    fn what_came_before_is_opened_again_only_when_asked() {
        let mut sealer = Sealer::new(&keys(1), 77);
        sealer.reach(500);
        let five_hundred = sealed(&mut sealer, b"a");
        assert_eq!(sealer.number(), 500);
        let mut opener = Opener::new(keys(1));
        let mut body = Vec::new();
        assert!(!opener.reopen(Timestamp(0), SOURCE, &five_hundred, &mut body), "never met");
        assert!(open(&mut opener, 0, SOURCE, &five_hundred).is_ok());
        assert!(opener.reopen(Timestamp(0), SOURCE, &five_hundred, &mut body));
        assert_eq!(body, b"a");
        let mut bad = five_hundred;
        *bad.last_mut().unwrap() ^= 1;
        assert!(!opener.reopen(Timestamp(0), SOURCE, &bad, &mut body) && body.is_empty());
    }
}
