//! Repair of a voice: packets are so few that each is simply sent again, on the redundancy port.
//!
//! ```text
//! receiver  [n] .. [n+2]: n+1 is missing > more than 1 % were lost lately? > asks for {n+1, 1}, after the back-off,
//!           as far back as the sender keeps, in requests of 12
//! sender    request > the packets asked for, once each in a moment
//!           many packets asked for lately (3 %): with each packet, the two before it once more, for a while
//! ```
//! A repeat packet is RTP of its own SSRC with PT 113; its payload is packets as they were sent before protection, each behind
//! its length in 2 bytes. Whole packets and not RFC 2198, because the receiver's jitter buffer then treats them as if the
//! network had brought them: late, in another order, maybe twice; it only waits longer where they are needed. Opus's own
//! redundancy covers single losses.

use std::time::Duration;

use super::{Patience, back_off};
use crate::limits::{DATAGRAM_BYTES_MAX, VOICE_ASKED_AT_ONCE_MAX, VOICE_PACKETS_KEPT_MAX, VOICE_REPEATS_PER_S_MAX};
use crate::protocol::rate::Rate;
use crate::time::Timestamp;
use crate::wire::repair::{RepairRequest, Repeats};
use crate::wire::rtp;

/// Share of packets lost, in percent, from which a receiver asks.
const ASK_PERCENT: u32 = 1;
/// Share of packets asked for, in percent, from which everything goes out three times.
const REPEAT_PERCENT: u32 = 3;
/// Packets before the one sent that go out once more with it.
const REPEATED: usize = 2;
/// Packets over which loss is counted.
const WINDOW: u32 = 250;
/// How long everything goes out three times after the last reason for it.
const REPEAT_FOR: Duration = Duration::from_secs(5);
/// Packets missing at once from which it is no loss.
const MISSED_MAX: usize = 50;
/// A packet that went out again so shortly before answers a request too.
const JUST_NOW: Duration = Duration::from_millis(3);
/// A packet is asked for until so long after it is known to be missing: both rounds are over by then.
const USEFUL: Duration = Duration::from_millis(60);
/// Older packets are not sent again; receivers wait longer for late packets the more of them there are.
const OLD: Duration = Duration::from_millis(320);

/// Counts events among so many packets, and gives their share.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    packets: u32,
    events: u32,
    before: (u32, u32),
}

impl Share {
    fn packet(&mut self) {
        self.packets += 1;
        if self.packets >= WINDOW {
            *self = Self { packets: 0, events: 0, before: (self.packets, self.events) };
        }
    }

    fn exceeds(&self, percent: u32) -> bool {
        let (packets, events) = (self.packets + self.before.0, self.events + self.before.1);
        // Among a handful of packets one event says nothing.
        events * 100 > percent * packets.max(WINDOW / 2)
    }
}

#[derive(Default)]
struct KeptPacket {
    sequence: u16,
    sent: Timestamp,
    again: Option<Timestamp>,
    bytes: Vec<u8>,
}

/// The last packets of one voice that is sent.
pub struct VoiceKeeper {
    ssrc: u32,
    packets: [KeptPacket; VOICE_PACKETS_KEPT_MAX],
    next: usize,
    count: usize,
    asked: Share,
    repeat_until: Option<Timestamp>,
    rate: Rate,
    refused: u64,
}

impl VoiceKeeper {
    /// Of the stream `ssrc`.
    pub fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            packets: std::array::from_fn(|_| KeptPacket::default()),
            next: 0,
            count: 0,
            asked: Share::default(),
            repeat_until: None,
            rate: Rate::default(),
            refused: 0,
        }
    }

    /// The stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Requests refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether everything goes out three times now.
    pub fn is_repeating(&self, now: Timestamp) -> bool {
        self.repeat_until.is_some_and(|until| now < until)
    }

    /// Takes a plain packet that is being sent. Whether something is to be sent with it, which is in `out` then: the
    /// payload of a repeat packet.
    pub fn keep(&mut self, now: Timestamp, packet: &[u8], out: &mut Vec<u8>) -> bool {
        let Ok((header, _)) = rtp::parse_header_only(packet) else { return false };
        if header.ssrc != self.ssrc || packet.len() > DATAGRAM_BYTES_MAX {
            return false;
        }
        self.asked.packet();
        if self.asked.exceeds(REPEAT_PERCENT) {
            self.repeat_until = Some(now + REPEAT_FOR);
        }
        out.clear();
        if self.is_repeating(now) {
            for back in (1..=REPEATED.min(self.count)).rev() {
                let before = &self.packets[(self.next + VOICE_PACKETS_KEPT_MAX - back) % VOICE_PACKETS_KEPT_MAX];
                Repeats::append(&before.bytes, out);
            }
        }
        let kept = &mut self.packets[self.next];
        (kept.sequence, kept.sent, kept.again) = (header.sequence, now, None);
        kept.bytes.clear();
        kept.bytes.extend_from_slice(packet);
        self.next = (self.next + 1) % VOICE_PACKETS_KEPT_MAX;
        self.count = (self.count + 1).min(VOICE_PACKETS_KEPT_MAX);
        !out.is_empty()
    }

    /// Answers a request: each payload of a repeat packet is put together in `out` and handed to `send`.
    pub fn ask(&mut self, now: Timestamp, request: &RepairRequest, out: &mut Vec<u8>, mut send: impl FnMut(&[u8])) {
        out.clear();
        let base = u16::try_from(request.base).ok();
        let count = usize::try_from(request.deficit).unwrap_or(usize::MAX);
        let Some(base) = base.filter(|_| request.ssrc == self.ssrc && count <= VOICE_ASKED_AT_ONCE_MAX) else {
            self.refused += 1;
            return;
        };
        for kept in self.packets.iter_mut().take(self.count) {
            let wanted = usize::from(kept.sequence.wrapping_sub(base)) < count;
            let again = kept.again.is_some_and(|at| now.since(at) <= JUST_NOW);
            if !wanted || again || now.since(kept.sent) > OLD {
                continue;
            }
            // Once for each packet: many receivers that lose the same one have not lost more.
            self.asked.events += u32::from(kept.again.is_none());
            if !self.rate.take(now, VOICE_REPEATS_PER_S_MAX) {
                self.refused += 1;
                continue;
            }
            kept.again = Some(now);
            if !Repeats::append(&kept.bytes, out) {
                send(out);
                out.clear();
                Repeats::append(&kept.bytes, out);
            }
        }
        if !out.is_empty() {
            send(out);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    sequence: u16,
    known: Timestamp,
    ask_at: Timestamp,
    rounds: u32,
}

/// What one receiver misses of one voice.
pub struct VoiceMender {
    patience: Patience,
    asks: bool,
    group: usize,
    random: u64,
    ssrc: Option<u32>,
    highest: Option<u16>,
    holes: Vec<Hole>,
    lost: Share,
    asked: u64,
    repaired: u64,
    rejected: u64,
}

impl VoiceMender {
    /// A voice of which nothing came yet; `asks` says whether its sender repairs.
    pub fn new(patience: Patience, asks: bool, seed: u64) -> Self {
        Self {
            patience,
            asks,
            group: 1,
            random: seed,
            ssrc: None,
            highest: None,
            holes: Vec::with_capacity(VOICE_PACKETS_KEPT_MAX),
            lost: Share::default(),
            asked: 0,
            repaired: 0,
            rejected: 0,
        }
    }

    /// The network is another one.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// How many receive the stream, oneself included.
    pub fn set_group(&mut self, group: usize) {
        self.group = group;
    }

    /// Requests sent.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Packets that came on the redundancy port only.
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Repeats refused: of another stream, or malformed.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// A packet of the stream came.
    pub fn packet(&mut self, now: Timestamp, header: &rtp::Header) {
        if *self.ssrc.get_or_insert(header.ssrc) != header.ssrc {
            return;
        }
        let Some(highest) = self.highest.replace(header.sequence) else { return };
        let ahead = header.sequence.wrapping_sub(highest);
        self.lost.packet();
        if ahead == 0 || ahead >= 1 << 15 {
            self.highest = Some(highest);
            self.holes.retain(|hole| hole.sequence != header.sequence);
            return;
        }
        let missing = usize::from(ahead) - 1;
        self.lost.events += missing.min(VOICE_PACKETS_KEPT_MAX) as u32;
        // More at once is a talker who paused, or an outage that no repair bridges.
        if missing > MISSED_MAX || !self.asks || !self.lost.exceeds(ASK_PERCENT) {
            return;
        }
        let ask_at = now + self.draw();
        // Those before are not kept, or too old; of another hole, what it still lacks comes first.
        let last = missing.min(VOICE_PACKETS_KEPT_MAX - self.holes.len());
        self.holes.extend((1..=last as u16).rev().map(|back| {
            let sequence = header.sequence.wrapping_sub(back);
            Hole { sequence, known: now, ask_at, rounds: 0 }
        }));
    }

    /// Takes a packet of the redundancy port and hands the stream's packets in it to `each`.
    pub fn repeats(&mut self, packet: &rtp::Packet<'_>, each: &mut impl FnMut(&[u8])) {
        let (Ok(repeats), Some(ssrc)) = (Repeats::parse(packet), self.ssrc) else {
            self.rejected += 1;
            return;
        };
        for again in repeats.packets() {
            let header = rtp::parse_header_only(again).map(|(header, _)| header);
            let Some(header) = header.ok().filter(|header| header.ssrc == ssrc) else {
                self.rejected += 1;
                continue;
            };
            let before = self.holes.len();
            self.holes.retain(|hole| hole.sequence != header.sequence);
            self.repaired += (before - self.holes.len()) as u64;
            each(again);
        }
    }

    /// Somebody else asks the stream's sender.
    pub fn heard(&mut self, now: Timestamp, request: &RepairRequest) {
        if self.ssrc != Some(request.ssrc) {
            return;
        }
        let again = now + self.patience.round + self.draw();
        for hole in &mut self.holes {
            if u32::from(hole.sequence).wrapping_sub(request.base) < request.deficit {
                hole.ask_at = hole.ask_at.max(again);
            }
        }
    }

    /// When [`settle`](Self::settle) has something to do.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.holes.iter().map(|hole| hole.ask_at).min()
    }

    /// Hands the requests that are due to `ask`: one for each stretch of packets.
    pub fn settle(&mut self, now: Timestamp, mut ask: impl FnMut(RepairRequest)) {
        self.holes.retain(|hole| now.since(hole.known) <= USEFUL && hole.rounds < 2);
        let Some(ssrc) = self.ssrc else { return };
        let wait = self.patience.round + self.draw();
        let mut due: Option<RepairRequest> = None;
        for hole in self.holes.iter_mut().filter(|hole| hole.ask_at <= now) {
            (hole.ask_at, hole.rounds) = (now + wait, hole.rounds + 1);
            match &mut due {
                Some(stretch)
                    if stretch.base + stretch.deficit == u32::from(hole.sequence)
                        && stretch.deficit < VOICE_ASKED_AT_ONCE_MAX as u32 =>
                {
                    stretch.deficit += 1;
                }
                other => {
                    let one = RepairRequest { ssrc, frame: None, base: hole.sequence.into(), k: 0, deficit: 1 };
                    if let Some(whole) = other.replace(one) {
                        self.asked += 1;
                        ask(whole);
                    }
                }
            }
        }
        if let Some(whole) = due {
            self.asked += 1;
            ask(whole);
        }
    }

    fn draw(&mut self) -> Duration {
        back_off(self.group, self.patience.spread, super::chance(&mut self.random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSRC: u32 = 7;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn packet(sequence: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        let timestamp = u32::from(sequence) * 960;
        rtp::Header { marker: false, payload_type: rtp::PT_OPUS, sequence, timestamp, ssrc: SSRC }.write(&mut bytes);
        bytes.extend([sequence as u8; 80]);
        bytes
    }

    fn unpack(payload: &[u8]) -> Vec<Vec<u8>> {
        let header = rtp::Header { payload_type: crate::wire::repair::PT_REPEATS, ..rtp::Header::default() };
        let packet = rtp::Packet { header, extension: None, payload };
        Repeats::parse(&packet).unwrap().packets().map(<[u8]>::to_vec).collect()
    }

    fn request(base: u16, deficit: u32) -> RepairRequest {
        RepairRequest { ssrc: SSRC, frame: None, base: base.into(), k: 0, deficit }
    }

    /// A keeper that has sent packets 0..count, one each 20 ms.
    fn keeper(count: u16) -> VoiceKeeper {
        let mut keeper = VoiceKeeper::new(SSRC);
        for n in 0..count {
            assert!(!keeper.keep(at(20 * u64::from(n)), &packet(n), &mut Vec::new()));
        }
        keeper
    }

    /// The packets that are sent at a request, as each payload has them.
    fn answers(keeper: &mut VoiceKeeper, ms: u64, request: &RepairRequest) -> Vec<Vec<Vec<u8>>> {
        let mut sent = Vec::new();
        keeper.ask(at(ms), request, &mut Vec::new(), |payload| sent.push(unpack(payload)));
        sent
    }

    #[test]
    fn packets_asked_for_are_sent_once_in_a_moment() {
        let mut keeper = keeper(10);
        let mut ask = |ms, base, deficit| answers(&mut keeper, ms, &request(base, deficit));
        assert_eq!(ask(181, 7, 2), [[packet(7), packet(8)]]);
        assert!(ask(184, 7, 2).is_empty(), "they are on their way");
        assert_eq!(ask(185, 7, 1), [[packet(7)]]);
        assert!(ask(181, 20, 1).is_empty(), "never sent");
        assert!(ask(321, 0, 1).is_empty(), "too old");
        let refused = keeper.refused();
        let bad = [
            RepairRequest { ssrc: 8, ..request(7, 1) },
            request(7, VOICE_ASKED_AT_ONCE_MAX as u32 + 1),
            RepairRequest { base: 70_000, ..request(7, 1) },
        ];
        assert!(bad.iter().all(|bad| answers(&mut keeper, 300, bad).is_empty()));
        assert_eq!(keeper.refused(), refused + 3);
    }

    #[test]
    fn no_request_makes_it_send_without_end() {
        let (mut keeper, mut sent) = (keeper(VOICE_PACKETS_KEPT_MAX as u16), 0);
        for ms in (630..660).step_by(4) {
            for base in 0..40 {
                let all = request(base, VOICE_ASKED_AT_ONCE_MAX as u32);
                sent += answers(&mut keeper, ms, &all).concat().len();
            }
        }
        assert_eq!(sent, VOICE_REPEATS_PER_S_MAX as usize);
    }

    #[test]
    fn what_one_datagram_does_not_hold_goes_out_in_two() {
        let mut keeper = VoiceKeeper::new(SSRC);
        let large = |n: u16| [packet(n), vec![0; 100]].concat();
        for n in 0..12 {
            keeper.keep(at(20 * u64::from(n)), &large(n), &mut Vec::new());
        }
        let sent = answers(&mut keeper, 230, &request(0, 12));
        assert_eq!(sent.len(), 2);
        assert_eq!(sent.concat(), (0..12).map(large).collect::<Vec<_>>());
    }

    #[test]
    fn everything_goes_out_three_times_while_many_packets_are_asked_for() {
        let (mut keeper, mut out) = (keeper(200), Vec::new());
        for n in 200..206u16 {
            keeper.keep(at(20 * u64::from(n)), &packet(n), &mut out);
            answers(&mut keeper, 20 * u64::from(n) + 1, &request(n, 1));
        }
        assert!(!keeper.is_repeating(at(4_120)), "6 of 206 are not 3 %");
        keeper.keep(at(4_120), &packet(206), &mut out);
        answers(&mut keeper, 4_121, &request(206, 1));
        assert!(keeper.keep(at(4_140), &packet(207), &mut out));
        assert_eq!(unpack(&out), [packet(205), packet(206)]);
        let mut last = 0;
        for n in 208..900u16 {
            if keeper.keep(at(20 * u64::from(n)), &packet(n), &mut out) {
                last = n;
            }
        }
        assert!((450..900).contains(&last), "ends some seconds after the reason for it: {last}");
    }

    /// Feeds packets 0..count without those of `lost`; requests as (base, deficit).
    fn ask(mender: &mut VoiceMender, count: u16, lost: &[u16]) -> Vec<(u32, u32)> {
        let mut asked = Vec::new();
        for n in (0..count).filter(|n| !lost.contains(n)) {
            let now = at(20 * u64::from(n));
            let bytes = packet(n);
            mender.packet(now, &rtp::parse_header_only(&bytes).unwrap().0);
            mender.settle(now, |request| asked.push((request.base, request.deficit)));
        }
        asked
    }

    #[test]
    fn what_is_missing_is_asked_for_once_more_than_one_percent_is_lost() {
        let mender = || VoiceMender::new(Patience::WIRED, true, 1);
        assert_eq!(ask(&mut mender(), 300, &[50]), [], "one packet is no loss to speak of");
        let asked = ask(&mut mender(), 200, &[50, 60, 70, 80, 90, 91, 92]);
        assert_eq!(asked, [(60, 1), (60, 1), (70, 1), (70, 1), (80, 1), (80, 1), (90, 3), (90, 3)]);
        let mut without = VoiceMender::new(Patience::WIRED, false, 1);
        assert_eq!(ask(&mut without, 200, &[50, 60, 70]), []);
        let long = ask(&mut mender(), 200, &(60..90).collect::<Vec<_>>());
        assert_eq!(long[..3], [(60, 12), (72, 12), (84, 6)], "in pieces");
        assert_eq!(ask(&mut mender(), 200, &(60..111).collect::<Vec<_>>()), [], "a pause");
    }

    #[test]
    fn repeats_fill_the_holes_and_nothing_of_others_is_taken() {
        let mut mender = VoiceMender::new(Patience::WIRED, true, 1);
        ask(&mut mender, 100, &[10, 20, 30, 40, 97, 98]);
        assert!(mender.next_timeout().is_some());
        let mut payload = Vec::new();
        let mut foreign = packet(5);
        foreign[8] = 1;
        for again in [&packet(97), &packet(98), &packet(96), &foreign] {
            Repeats::append(again, &mut payload);
        }
        let header = rtp::Header { payload_type: crate::wire::repair::PT_REPEATS, ..rtp::Header::default() };
        let mut came = Vec::new();
        let repeats = rtp::Packet { header, extension: None, payload: &payload };
        mender.repeats(&repeats, &mut |bytes| came.push(bytes.to_vec()));
        assert_eq!(came, [packet(97), packet(98), packet(96)]);
        assert_eq!((mender.repaired(), mender.rejected(), mender.next_timeout()), (2, 1, None));
    }

    #[test]
    fn another_ones_request_serves() {
        let mut mender = VoiceMender::new(Patience::WIRED, true, 1);
        mender.set_group(50);
        ask(&mut mender, 100, &[10, 20, 30, 40]);
        let header = |n| rtp::parse_header_only(&packet(n)).unwrap().0;
        mender.packet(at(2_020), &header(101));
        let due = mender.next_timeout().unwrap();
        mender.heard(at(2_020), &request(99, 1));
        assert_eq!(mender.next_timeout(), Some(due));
        mender.heard(at(2_020), &request(100, 1));
        assert!(mender.next_timeout().unwrap() >= at(2_026));
    }
}
