//! SRTP with AES_CM_128_HMAC_SHA1_80 (RFC 3711): one context for each stream sent and each stream received.
//!
//! ```text
//! RTP header | payload                  -->  RTP header | AES-CM(payload) | first 10 bytes of HMAC-SHA1(.. || ROC)
//! index i = ROC << 16 | sequence number      IV = salt << 16 XOR SSRC << 64 XOR i << 16   (section 4.1.1)
//!
//! RTCP header, SSRC (8 bytes) | rest    -->  the 8 bytes | AES-CM(rest) | E = 1 | SRTCP index (31 bits) | 10 bytes of MAC
//! ```
//! Keys come from the conference's secret, one for each (participant, SSRC), so an index never repeats under a key.
//! A receiver starts from the rollover counter of the sender's beacon and tries it and its neighbours until the first
//! packet authenticates; nothing is believed before that. Replays are refused by a window of 1,024 packets.
//!
//! Must never: change its state for a packet that does not authenticate.

use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::wire::rtp;

/// Bytes a protected packet is longer than a plain one.
pub const TAG_BYTES: usize = 10;
/// Bytes of key material of one stream: a 16-byte master key and a 14-byte master salt.
pub const MASTER_BYTES: usize = 30;
/// Packets behind the newest within which each is taken once.
const WINDOW: u64 = 1_024;

type Keystream = ctr::Ctr128BE<Aes128>;

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than an RTP header and the tag, or its header is malformed.
    #[error("no SRTP packet: {0} bytes")]
    Malformed(usize),
    /// The tag does not fit: forged, damaged, or of another key or rollover counter.
    #[error("SRTP packet {sequence} does not authenticate")]
    Forged {
        /// RTP sequence number.
        sequence: u16,
    },
    /// As many control packets were sent as there are indices; new keys are needed.
    #[error("SRTCP indices are used up")]
    Exhausted,
    /// Taken before, or older than the replay window.
    #[error("SRTP packet index {index} was taken before or is too old")]
    Replayed {
        /// Packet index, rollover counter included.
        index: u64,
    },
}

/// Session keys of one stream (RFC 3711 section 4.3, key derivation rate 0).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Keys {
    cipher: [u8; 16],
    salt: [u8; 14],
    authentication: [u8; 20],
}

impl Keys {
    /// `first` = label of the cipher key: 0 for SRTP, 3 for SRTCP.
    fn derive(master: &[u8; MASTER_BYTES], first: u8) -> Self {
        let mut keys = Keys { cipher: [0; 16], salt: [0; 14], authentication: [0; 20] };
        derive(master, first, &mut keys.cipher);
        derive(master, first + 1, &mut keys.authentication);
        derive(master, first + 2, &mut keys.salt);
        keys
    }

    /// En- or decrypts `payload` in place.
    fn apply(&self, ssrc: u32, index: u64, payload: &mut [u8]) {
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&self.salt);
        for (byte, x) in iv[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *byte ^= x;
        }
        for (byte, x) in iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= x;
        }
        Keystream::new(&self.cipher.into(), &iv.into()).apply_keystream(payload);
    }

    fn mac(&self, authenticated: &[u8]) -> Hmac<Sha1> {
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&self.authentication).expect("HMAC takes any key length");
        mac.update(authenticated);
        mac
    }

    /// Of an RTP packet: its rollover counter is authenticated too (section 4.2).
    fn rtp_mac(&self, authenticated: &[u8], index: u64) -> Hmac<Sha1> {
        let mut mac = self.mac(authenticated);
        mac.update(&((index >> 16) as u32).to_be_bytes());
        mac
    }
}

/// The key derivation function of section 4.3.3 with `label`, key derivation rate 0.
fn derive(master: &[u8; MASTER_BYTES], label: u8, out: &mut [u8]) {
    let (key, salt) = master.split_at(16);
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(salt);
    iv[7] ^= label;
    let key: [u8; 16] = key.try_into().expect("split at 16");
    out.fill(0);
    Keystream::new(&key.into(), &iv.into()).apply_keystream(out);
}

/// Protects the packets of one stream that is sent.
pub struct Protector {
    keys: Keys,
    control: Keys,
    /// Index of the last control packet.
    control_index: u32,
    rollovers: u32,
    last: Option<u16>,
}

impl Protector {
    /// Starts with rollover counter 0.
    pub fn new(master: &[u8; MASTER_BYTES]) -> Self {
        let (keys, control) = (Keys::derive(master, 0), Keys::derive(master, 3));
        Self { keys, control, control_index: 0, rollovers: 0, last: None }
    }

    /// Appends the protected form of `packet`, a whole RTP packet, to `out`. Packets come in order of their sequence.
    pub fn protect(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let parsed = rtp::Packet::parse(packet).map_err(|_| Error::Malformed(packet.len()))?;
        let (header, sequence) = (parsed.header, parsed.header.sequence);
        if self.last.is_some_and(|last| sequence < last) {
            self.rollovers = self.rollovers.wrapping_add(1);
        }
        self.last = Some(sequence);
        let index = (u64::from(self.rollovers) << 16) | u64::from(sequence);
        let begin = out.len();
        out.extend_from_slice(packet);
        let plain = header_bytes(packet).ok_or(Error::Malformed(packet.len()))?;
        self.keys.apply(header.ssrc, index, &mut out[begin + plain..]);
        let tag = self.keys.rtp_mac(&out[begin..], index).finalize().into_bytes();
        out.extend_from_slice(&tag[..TAG_BYTES]);
        Ok(())
    }

    /// Appends the protected form of `compound`, a whole RTCP compound packet, to `out` (section 3.4).
    pub fn protect_control(&mut self, compound: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let ssrc = control_ssrc(compound)?;
        self.control_index = self.control_index.checked_add(1).filter(|i| i >> 31 == 0).ok_or(Error::Exhausted)?;
        let begin = out.len();
        out.extend_from_slice(compound);
        self.control.apply(ssrc, self.control_index.into(), &mut out[begin + CONTROL_HEADER_BYTES..]);
        out.extend_from_slice(&(ENCRYPTED | self.control_index).to_be_bytes());
        let tag = self.control.mac(&out[begin..]).finalize().into_bytes();
        out.extend_from_slice(&tag[..TAG_BYTES]);
        Ok(())
    }

    /// The rollover counter, for the beacon.
    pub fn rollovers(&self) -> u32 {
        self.rollovers
    }
}

/// Opens the packets of one stream that is received.
pub struct Unprotector {
    keys: Keys,
    control: Keys,
    /// Highest index of a control packet taken; older ones say nothing that is still of use.
    control_index: u32,
    ssrc: u32,
    /// Highest index authenticated; before the first, the beacon's word.
    newest: Newest,
    seen: [u64; (WINDOW / 64) as usize],
    search: Search,
}

/// Looks for a sequence that went on while nothing was heard of it, as long as a machine slept or a cable was out: the
/// index is then further ahead than the 16 bits of a packet tell. Each packet in turn that cannot be opened is tried with
/// one more roll-over counter, so that forged ones cost twice what they did and no more.
#[derive(Clone, Copy)]
struct Search {
    /// Packets since the last that could be opened.
    failures: u32,
    /// Roll-overs ahead to try next, and how far this round goes.
    ahead: u32,
    reach: u32,
}

impl Search {
    /// Stray packets do not begin one.
    const AFTER: u32 = 8;
    /// More than a day of the largest stream.
    const REACH_MAX: u32 = 4_096;
    const NONE: Self = Self { failures: 0, ahead: 0, reach: 1 };

    /// One more packet could not be opened: how many roll-overs ahead it is to be tried with.
    fn next(&mut self) -> Option<u32> {
        self.failures = self.failures.saturating_add(1);
        if self.failures < Self::AFTER {
            return None;
        }
        if self.ahead > self.reach {
            (self.ahead, self.reach) = (0, (self.reach * 2).min(Self::REACH_MAX));
        }
        self.ahead += 1;
        Some(self.ahead - 1)
    }
}

#[derive(Clone, Copy)]
enum Newest {
    Told(u32),
    Known(u64),
}

impl Unprotector {
    /// `rollovers` as the sender's beacon tells; it may be one behind or ahead.
    pub fn new(master: &[u8; MASTER_BYTES], ssrc: u32, rollovers: u32) -> Self {
        let (keys, control) = (Keys::derive(master, 0), Keys::derive(master, 3));
        let (newest, seen) = (Newest::Told(rollovers), [0; (WINDOW / 64) as usize]);
        Self { keys, control, control_index: 0, ssrc, newest, seen, search: Search::NONE }
    }

    /// Index of the newest authentic packet, roll-over counter included; `None` before the first.
    pub fn newest(&self) -> Option<u64> {
        match self.newest {
            Newest::Told(_) => None,
            Newest::Known(index) => Some(index),
        }
    }

    /// Opens `packet` in place and returns the length of the plain RTP packet at its start.
    pub fn open(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let plain = header_bytes(packet).ok_or(Error::Malformed(packet.len()))?;
        let end = packet.len().checked_sub(TAG_BYTES).filter(|&e| e >= plain).ok_or(Error::Malformed(packet.len()))?;
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        if ssrc != self.ssrc {
            return Err(Error::Forged { sequence });
        }
        let index = match self.newest {
            Newest::Known(newest) => match self.check(near(newest, sequence), packet, end) {
                None => self.search(newest, sequence, packet, end),
                found => found,
            },
            Newest::Told(rollovers) => [rollovers, rollovers.wrapping_add(1), rollovers.wrapping_sub(1)]
                .into_iter()
                .map(|r| (u64::from(r) << 16) | u64::from(sequence))
                .find(|&index| self.check(Some(index), packet, end).is_some()),
        };
        let index = index.ok_or(Error::Forged { sequence })?;
        self.note(index)?;
        self.search = Search::NONE;
        self.keys.apply(ssrc, index, &mut packet[plain..end]);
        Ok(end)
    }

    /// Opens an RTCP compound packet in place and returns its plain length.
    pub fn open_control(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let malformed = Error::Malformed(packet.len());
        let tagged = packet.len().checked_sub(TAG_BYTES).ok_or(malformed)?;
        let end = tagged.checked_sub(4).filter(|&e| e >= CONTROL_HEADER_BYTES).ok_or(malformed)?;
        let ssrc = control_ssrc(packet)?;
        let word = u32::from_be_bytes([packet[end], packet[end + 1], packet[end + 2], packet[end + 3]]);
        let (authenticated, tag) = packet.split_at(tagged);
        let authentic = self.control.mac(authenticated).verify_truncated_left(tag).is_ok();
        if !authentic || ssrc != self.ssrc || word & ENCRYPTED == 0 {
            return Err(Error::Forged { sequence: word as u16 });
        }
        let index = word & !ENCRYPTED;
        if index <= self.control_index {
            return Err(Error::Replayed { index: index.into() });
        }
        self.control_index = index;
        self.control.apply(ssrc, index.into(), &mut packet[CONTROL_HEADER_BYTES..end]);
        Ok(end)
    }

    fn search(&mut self, newest: u64, sequence: u16, packet: &[u8], end: usize) -> Option<u64> {
        let rollovers = (newest >> 16) + u64::from(self.search.next()?);
        self.check(Some(rollovers << 16 | u64::from(sequence)), packet, end)
    }

    fn check(&self, index: Option<u64>, packet: &[u8], end: usize) -> Option<u64> {
        let index = index?;
        let (authenticated, tag) = packet.split_at(end);
        self.keys.rtp_mac(authenticated, index).verify_truncated_left(tag).ok().map(|()| index)
    }

    /// The replay list of section 3.3.2, as a ring of bits.
    fn note(&mut self, index: u64) -> Result<(), Error> {
        let bit = |i: u64| ((i % WINDOW / 64) as usize, 1u64 << (i % 64));
        match self.newest {
            Newest::Known(newest) if index <= newest => {
                let (word, mask) = bit(index);
                if newest - index >= WINDOW || self.seen[word] & mask != 0 {
                    return Err(Error::Replayed { index });
                }
            }
            Newest::Known(newest) => {
                for skipped in (newest + 1)..=index.min(newest + WINDOW) {
                    let (word, mask) = bit(skipped);
                    self.seen[word] &= !mask;
                }
                self.newest = Newest::Known(index);
            }
            Newest::Told(_) => self.newest = Newest::Known(index),
        }
        let (word, mask) = bit(index);
        self.seen[word] |= mask;
        Ok(())
    }
}

/// The index nearest to `newest` whose low half is `sequence` (section 3.3.1); `None` before index 0.
fn near(newest: u64, sequence: u16) -> Option<u64> {
    let step = sequence.wrapping_sub(newest as u16) as i16;
    newest.checked_add_signed(i64::from(step))
}

/// Bytes of an RTCP compound packet that stay readable: its first header and source.
const CONTROL_HEADER_BYTES: usize = 8;
/// The E flag before an SRTCP index.
const ENCRYPTED: u32 = 1 << 31;

fn control_ssrc(compound: &[u8]) -> Result<u32, Error> {
    match compound {
        [_, _, _, _, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(Error::Malformed(compound.len())),
    }
}

/// Bytes of the RTP header with its contributing sources and extension: what stays readable.
fn header_bytes(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let mut length = 12 + 4 * usize::from(first & 0x0f);
    if first >> 6 != 2 {
        return None;
    }
    if first & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (length <= packet.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
    }

    fn master() -> [u8; MASTER_BYTES] {
        hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap()
    }

    fn packet(sequence: u16) -> Vec<u8> {
        let mut out = Vec::new();
        let header = rtp::Header { marker: false, payload_type: 111, sequence, timestamp: 960, ssrc: 0xcafe_babe };
        header.write(&mut out);
        out.extend((0..50u8).map(|b| b ^ sequence as u8));
        out
    }

    #[test]
    fn rfc3711_b2_aes_counter_mode() {
        let keys = Keys {
            cipher: hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap(),
            salt: hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap(),
            authentication: [0; 20],
        };
        let mut stream = vec![0u8; 48];
        keys.apply(0, 0, &mut stream);
        let expected =
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
        assert_eq!(stream, hex(expected));
        let mut stream = vec![0u8; 0xff02 * 16];
        keys.apply(0, 0, &mut stream);
        let expected =
            "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44";
        assert_eq!(stream[0xfeff * 16..], hex(expected));
    }

    #[test]
    fn rfc3711_b3_key_derivation() {
        let keys = Keys::derive(&master(), 0);
        assert_eq!(keys.cipher.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.authentication.to_vec(), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn a_whole_packet_matches_the_reference_implementation() {
        let plain = hex("800f1234 decafbad cafebabe abababababababababababababababab");
        let mut out = Vec::new();
        Protector::new(&master()).protect(&plain, &mut out).unwrap();
        let expected = "800f1234 decafbad cafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb";
        assert_eq!(out, hex(expected));
        let mut opener = Unprotector::new(&master(), 0xcafe_babe, 0);
        let length = opener.open(&mut out).unwrap();
        assert_eq!(out[..length], plain);
    }

    #[test]
    fn a_control_packet_matches_the_reference_implementation() {
        let plain = hex("81c8000b cafebabe abababababababababababababababab");
        let mut out = Vec::new();
        Protector::new(&master()).protect_control(&plain, &mut out).unwrap();
        let expected = "81c8000b cafebabe 71280 35be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";
        assert_eq!(out, hex(expected));
        let mut opener = Unprotector::new(&master(), 0xcafe_babe, 0);
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open_control(&mut bad).is_err(), "bit {bit}");
        }
        let length = opener.open_control(&mut out.clone()).unwrap();
        let mut opened = out.clone();
        assert_eq!(length, plain.len());
        assert!(matches!(opener.open_control(&mut opened), Err(Error::Replayed { index: 1 })));
        (0..out.len()).for_each(|n| assert!(opener.open_control(&mut out[..n].to_vec()).is_err()));
    }

    #[test]
    fn packets_open_across_wraps_reorder_and_a_late_start() {
        let mut protector = Protector::new(&master());
        let mut sent = Vec::new();
        for i in 0..3 * 65_536u32 {
            let mut out = Vec::new();
            protector.protect(&packet(i as u16), &mut out).unwrap();
            if (2 * 65_536 - 40..2 * 65_536 + 40).contains(&i) {
                sent.push(out);
            }
        }
        assert_eq!(protector.rollovers(), 2);
        for told in 0..=2 {
            let mut opener = Unprotector::new(&master(), 0xcafe_babe, told);
            let mut order: Vec<usize> = (0..sent.len()).collect();
            order.swap(30, 50);
            order.swap(5, 6);
            for i in order {
                let mut bytes = sent[i].clone();
                let length = opener.open(&mut bytes).unwrap_or_else(|e| panic!("told {told}, packet {i}: {e}"));
                assert_eq!(bytes[..length], packet((65_536 - 40 + i) as u16)[..]);
                assert!(matches!(opener.open(&mut sent[i].clone()), Err(Error::Replayed { .. })));
            }
        }
        assert!(Unprotector::new(&master(), 0xcafe_babe, 7).open(&mut sent[0].clone()).is_err());
    }

    #[test]
    fn a_stream_that_went_on_unheard_is_found_again_within_some_packets() {
        // Just beyond what 16 bits tell, a second's sleep, and a night's of the largest stream.
        for (missed, packets_max) in [(40_000_u64, 10), (70_000, 12), (200_000, 30), (90_000_000, 4_500)] {
            let mut protector = Protector::new(&master());
            let mut opener = Unprotector::new(&master(), 0xcafe_babe, 0);
            let mut sends = |index: u64| {
                (protector.rollovers, protector.last) = ((index >> 16) as u32, Some(index as u16));
                let mut out = Vec::new();
                protector.protect(&packet(index as u16), &mut out).unwrap();
                out
            };
            let first = sends(10);
            opener.open(&mut first.clone()).unwrap();
            let mut tries = 0..packets_max;
            let mut opens = |n: u64| opener.open(&mut sends(10 + missed + n)).is_ok();
            let found = tries.by_ref().find(|&n| opens(n));
            assert!(found.is_some(), "{missed} packets missed");
            assert!(tries.all(opens), "and every one from there on");
            assert!(matches!(opener.open(&mut first.clone()), Err(Error::Forged { .. } | Error::Replayed { .. })));
        }
    }

    #[test]
    fn forged_packets_do_not_lead_astray() {
        let mut protector = Protector::new(&master());
        let mut opener = Unprotector::new(&master(), 0xcafe_babe, 0);
        for sequence in 0..200 {
            let mut good = Vec::new();
            protector.protect(&packet(sequence), &mut good).unwrap();
            for n in 0..20 {
                let mut bad = good.clone();
                bad[20 + n] ^= 1;
                assert!(opener.open(&mut bad).is_err());
            }
            assert!(opener.open(&mut good).is_ok(), "{sequence}");
        }
    }

    #[test]
    fn forged_and_cut_packets_change_nothing() {
        let mut protector = Protector::new(&master());
        let mut good = Vec::new();
        protector.protect(&packet(7), &mut good).unwrap();
        let mut opener = Unprotector::new(&master(), 0xcafe_babe, 0);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(&mut bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(opener.open(&mut good[..length].to_vec()).is_err(), "{length} bytes");
        }
        assert!(opener.open(&mut good).is_ok(), "the true packet is still taken");
    }

    #[test]
    fn the_replay_window_ends_where_it_says() {
        let mut protector = Protector::new(&master());
        let mut sent = Vec::new();
        for i in 0..=WINDOW as u16 {
            let mut out = Vec::new();
            protector.protect(&packet(i), &mut out).unwrap();
            sent.push(out);
        }
        let mut opener = Unprotector::new(&master(), 0xcafe_babe, 0);
        opener.open(&mut sent[WINDOW as usize].clone()).unwrap();
        assert!(matches!(opener.open(&mut sent[0].clone()), Err(Error::Replayed { index: 0 })));
        assert!(opener.open(&mut sent[1].clone()).is_ok());
    }
}
