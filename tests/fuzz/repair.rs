//! Repair: its packets, and the machines that keep, ask and rebuild, driven by altered ones.

use std::time::Duration;

use roundtable::limits::{
    DATAGRAM_BYTES_MAX, JPEG_FRAME_BYTES_MAX, REPAIR_BURST_PACKETS_MAX, REPAIR_SHARE_PERCENT_MAX,
    VOICE_ASKED_AT_ONCE_MAX, VOICE_REPEATS_PER_S_MAX,
};
use roundtable::protocol::repair::{Keeper, Mended, Mender, Patience, VoiceKeeper, VoiceMender};
use roundtable::time::Timestamp;
use roundtable::wire::repair::{
    PARITY_HEADER_BYTES, PT_PARITY, PT_REPEATS, Parity, ParityHeader, RepairRequest, Repeats, SHARD_BYTES_MAX,
    parity_max,
};
use roundtable::wire::rtp;

use crate::driver::{Dice, Feed, fuzz, outcome};

const SSRC: u32 = 5;

fn header(payload_type: u8, sequence: u16, timestamp: u32, marker: bool) -> rtp::Header {
    rtp::Header { marker, payload_type, sequence, timestamp, ssrc: SSRC }
}

/// The packet `index` of `k` of a frame: as JPEG, as far as repair looks at it.
fn packet(sequence: u16, timestamp: u32, index: usize, k: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(rtp::PT_JPEG, sequence, timestamp, index + 1 == k).write(&mut bytes);
    bytes.extend([0, 0, 0, index as u8, 1, 255, 8, 8]);
    bytes.extend([index as u8; 40]);
    bytes
}

#[test]
fn parity_and_repeat_packets() {
    let mut parity = header(PT_PARITY, 9, 3_000, false).to_bytes().to_vec();
    let shard = [3; 64];
    Parity { header: ParityHeader { k: 10, base: 65_530, index: 12 }, shard: &shard }.write(&mut parity);
    let mut repeats = header(PT_REPEATS, 9, 0, false).to_bytes().to_vec();
    let mut payload = Vec::new();
    Repeats::append(&packet(1, 2, 0, 1), &mut payload);
    Repeats::append(&packet(2, 3, 0, 1), &mut payload);
    repeats.extend(&payload);
    fuzz("parity", 64 << 10, vec![parity, repeats], |bytes| {
        let Ok(packet) = rtp::Packet::parse(bytes) else { return 0 };
        let parity = Parity::parse(&packet);
        if let Ok(parity) = parity {
            let ParityHeader { k, index, .. } = parity.header;
            assert!(k > 0 && index < k + parity_max(k) && parity.shard.len() <= SHARD_BYTES_MAX);
            let mut again = Vec::new();
            parity.write(&mut again);
            assert_eq!(again, packet.payload);
            assert!(again.len() > PARITY_HEADER_BYTES);
        }
        let repeats = Repeats::parse(&packet);
        if let Ok(repeats) = repeats {
            let bytes: usize = repeats.packets().map(|p| 2 + p.len()).sum();
            assert_eq!(bytes, packet.payload.len());
        }
        outcome(&(parity.map(|p| p.shard.len() > 100), repeats.is_ok()))
    });
}

fn script(seed: u64, count: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..count).map(|_| dice.next() as u8).collect()
}

/// One sender and one receiver, with packets, requests and parity lost, doubled, altered and made up.
#[test]
fn repair_of_altered_frames() {
    fuzz("repair", 8 * JPEG_FRAME_BYTES_MAX, vec![script(1, 400), script(2, 400), vec![0; 60]], |bytes| {
        let (mut keeper, mut feed) = (Keeper::new(SSRC), Feed(bytes));
        let mut mender = Mender::new(Patience::WIRED, true, 1);
        let (mut now, mut sequence, mut frame, mut kept, mut sent) =
            (Timestamp::from_millis(1), 65_500_u16, 0_u32, 0, 0);
        let (mut asks, mut parity, mut altered, mut rebuilt) = (Vec::new(), Vec::new(), false, Vec::new());
        while !feed.is_empty() {
            now = now + Duration::from_micros(u64::from(feed.u8()) * 40);
            match feed.u8() % 6 {
                0 | 1 => {
                    frame = frame.wrapping_add(3_000);
                    let (k, lost) = (1 + usize::from(feed.u8() % 40), feed.u64());
                    for index in 0..k {
                        let bytes = packet(sequence, frame, index, k);
                        sequence = sequence.wrapping_add(1);
                        keeper.keep(now, &bytes);
                        kept += 1;
                        if lost >> (index % 64) & 1 == 0 {
                            mender.packet(now, &rtp::Packet::parse(&bytes).expect("RTP"), &bytes);
                        }
                    }
                }
                2 => {
                    let mut request = asks.pop().unwrap_or_default();
                    let RepairRequest { ssrc, frame, base, k, deficit } = &mut request;
                    match feed.u8() % 8 {
                        0 => *ssrc ^= u32::from(feed.u8()),
                        1 => *frame = Some(feed.u16().into()),
                        2 => *base = feed.u64() as u32,
                        3 => *k = feed.u16().into(),
                        4 => *deficit = feed.u64() as u32,
                        _ => {}
                    }
                    let _ = keeper.ask(now, &request, &mut |timestamp, piece| {
                        let mut bytes = Vec::new();
                        header(PT_PARITY, 0, timestamp, false).write(&mut bytes);
                        piece.write(&mut bytes);
                        parity.push(bytes);
                        sent += 1;
                    });
                    mender.heard(now, &request);
                }
                3 | 4 => {
                    let Some(mut bytes) = parity.pop() else { continue };
                    if feed.u8() & 3 == 0 {
                        let at = usize::from(feed.u8()) % bytes.len();
                        let to = feed.u8();
                        altered |= bytes[at] != to;
                        bytes[at] = to;
                    }
                    if let Ok(packet) = rtp::Packet::parse(&bytes) {
                        mender.parity(now, &packet, &mut |bytes| rebuilt.push(bytes.to_vec()));
                    }
                }
                _ => mender.finished(frame.wrapping_sub(3_000 * u32::from(feed.u8() % 4))),
            }
            let mut wants = Vec::new();
            mender.settle(now, &mut wants, &mut |bytes: &[u8]| rebuilt.push(bytes.to_vec()));
            asks.extend(wants.iter().filter_map(|want| match want {
                Mended::Ask(request) => Some(*request),
                Mended::GiveUp(_) => None,
            }));
            assert!(mender.next_timeout().is_none_or(|due| due > now), "what was due is done");
        }
        for bytes in &rebuilt {
            let header = rtp::Packet::parse(bytes).expect("a packet").header;
            assert_eq!(header.ssrc, SSRC);
            if !altered {
                let first = bytes[15] as usize;
                assert_eq!(bytes[20..], [first as u8; 40], "rebuilt as it was sent");
            }
        }
        assert!(sent <= kept * REPAIR_SHARE_PERCENT_MAX / 100 + REPAIR_BURST_PACKETS_MAX);
        let counters = mender.counters();
        outcome(&(counters.rejected > 0, counters.suppressed > 0, rebuilt.len() > 3, altered, counters.asked.min(6)))
    });
}

#[test]
fn repair_of_altered_voices() {
    fuzz("voice_repair", 1 << 20, vec![script(3, 300), vec![0; 60]], |bytes| {
        let (mut keeper, mut feed) = (VoiceKeeper::new(SSRC), Feed(bytes));
        let mut mender = VoiceMender::new(Patience::WIRED, true, 1);
        let (mut now, mut sequence, mut asked, mut repeats) =
            (Timestamp::from_millis(1), 65_500_u16, Vec::new(), Vec::new());
        let (mut came, mut asked_for) = (0, 0);
        while !feed.is_empty() {
            let act = feed.u8();
            now = now + Duration::from_millis(u64::from(act >> 4));
            let mut out = Vec::new();
            match act % 4 {
                0 | 1 => {
                    let bytes = packet(sequence, u32::from(sequence), 0, 2);
                    sequence = sequence.wrapping_add(1 + u16::from(feed.u8() == 0) * 300);
                    if keeper.keep(now, &bytes, &mut out) {
                        repeats.push(std::mem::take(&mut out));
                    }
                    if act & 8 == 0 {
                        mender.packet(now, &rtp::Packet::parse(&bytes).expect("RTP").header);
                    }
                }
                2 => {
                    let mut request: RepairRequest = asked.pop().unwrap_or_default();
                    if act & 8 != 0 {
                        (request.ssrc, request.base, request.deficit) = (SSRC, feed.u64() as u32, feed.u8().into());
                    }
                    mender.heard(now, &request);
                    keeper.ask(now, &request, &mut out, |payload| {
                        assert!(request.deficit as usize <= VOICE_ASKED_AT_ONCE_MAX);
                        asked_for += 1;
                        repeats.push(payload.to_vec());
                    });
                }
                _ => {
                    let Some(mut payload) = repeats.pop() else { continue };
                    if act & 8 != 0 {
                        let at = usize::from(feed.u8()) % payload.len();
                        payload[at] = feed.u8();
                    }
                    assert!(payload.len() <= DATAGRAM_BYTES_MAX);
                    let packet =
                        rtp::Packet { header: header(PT_REPEATS, 0, 0, false), extension: None, payload: &payload };
                    mender.repeats(&packet, &mut |_| came += 1);
                }
            }
            mender.settle(now, |request| asked.push(request));
            assert!(mender.next_timeout().is_none_or(|due| due > now), "what was due is done");
        }
        let seconds = now.0 / 1_000_000_000 + 1;
        assert!(asked_for <= seconds * u64::from(VOICE_REPEATS_PER_S_MAX) * 2);
        outcome(&(mender.asked().min(4), mender.rejected() > 0, mender.repaired() > 0, came > 3))
    });
}
