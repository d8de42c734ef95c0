//! Sender and receivers of one stream, against each other.

use proptest::prelude::*;

use super::*;
use crate::limits::{
    JPEG_PACKETS_MAX, REPAIR_BURST_PACKETS_MAX, REPAIR_FRAMES_KEPT_MAX, REPAIR_ROUNDS_MAX, REPAIR_SHARE_PERCENT_MAX,
    REPAIR_UNSPACED_MAX,
};
use crate::protocol::packetizer::{FrameStart, PacketBatch, VIDEO_PACKET_BYTES, VideoPacketizer};
use crate::time::Timestamp;
use crate::wire::jpeg_payload::Sampling;
use crate::wire::repair::{Parity, RepairRequest, parity_max};
use crate::wire::rtp;

const SSRC: u32 = 9;

fn at(us: u64) -> Timestamp {
    Timestamp(us * 1_000)
}

/// Packets of frame number `number`, of `bytes` bytes of scan.
fn frame(packetizer: &mut VideoPacketizer, number: u32, bytes: usize) -> Vec<Vec<u8>> {
    let scan: Vec<u8> = (0..bytes).map(|i| (i as u32).wrapping_mul(31).wrapping_add(number) as u8).collect();
    let mut batch = PacketBatch::default();
    let start = FrameStart {
        timestamp: number.wrapping_mul(3_000),
        width: 64,
        height: 64,
        sampling: Sampling::H2V2,
        restart_interval: 4,
        tables: &[3; 128],
    };
    packetizer.begin(&start).unwrap();
    packetizer.push(&scan, &mut batch).unwrap();
    packetizer.finish(&mut batch);
    batch.packets().map(<[u8]>::to_vec).collect()
}

/// A frame of exactly `k` packets.
fn frame_of(packetizer: &mut VideoPacketizer, number: u32, k: usize) -> Vec<Vec<u8>> {
    let packets = frame(packetizer, number, k * (VIDEO_PACKET_BYTES - 24) - 132 - 40);
    assert_eq!(packets.len(), k);
    packets
}

/// A parity packet on its way: timestamp of the frame and payload.
type OnTheWay = (u32, Vec<u8>);

fn ask(keeper: &mut Keeper, now: Timestamp, request: &RepairRequest, out: &mut Vec<OnTheWay>) -> Result<(), Refusal> {
    keeper.ask(now, request, &mut |timestamp, parity: &Parity<'_>| {
        let mut payload = Vec::new();
        parity.write(&mut payload);
        out.push((timestamp, payload));
    })
}

fn hear(mender: &mut Mender, now: Timestamp, (timestamp, payload): &OnTheWay, rebuilt: &mut Vec<Vec<u8>>) {
    let header = rtp::Header { marker: false, payload_type: 112, sequence: 0, timestamp: *timestamp, ssrc: 10 };
    let packet = rtp::Packet { header, extension: None, payload };
    mender.parity(now, &packet, &mut |bytes| rebuilt.push(bytes.to_vec()));
}

fn take(mender: &mut Mender, now: Timestamp, packet: &[u8]) {
    mender.packet(now, &rtp::Packet::parse(packet).unwrap(), packet);
}

fn settle(mender: &mut Mender, now: Timestamp) -> Vec<Mended> {
    let mut out = Vec::new();
    mender.settle(now, &mut out, &mut |_: &[u8]| panic!("nothing is rebuilt"));
    out
}

fn stream() -> (VideoPacketizer, Keeper, Mender) {
    (VideoPacketizer::new(SSRC, 65_500), Keeper::new(SSRC), Mender::new(Patience::WIRED, true, 1))
}

/// Sends the frame's packets but for those of `lost`; what the mender then wants.
fn send(packets: &[Vec<u8>], lost: &[usize], us: u64, keeper: &mut Keeper, mender: &mut Mender) -> Vec<Mended> {
    for (n, packet) in packets.iter().enumerate() {
        keeper.keep(at(us), packet);
        if !lost.contains(&n) {
            take(mender, at(us), packet);
        }
    }
    settle(mender, at(us))
}

/// Loses `lost` of a frame of `k` packets and gives what was asked, and what came of it.
fn check(k: usize, lost: &[usize]) -> (RepairRequest, Vec<Vec<u8>>) {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let before = frame_of(&mut packetizer, 1, 3);
    assert_eq!(send(&before, &[], 0, &mut keeper, &mut mender), []);
    let packets = frame_of(&mut packetizer, 2, k);
    let mut wants = send(&packets, lost, 33_000, &mut keeper, &mut mender);
    let mut now = 33_000;
    while wants.is_empty() {
        now = mender.next_timeout().expect("something is missing").0 / 1_000;
        wants = settle(&mut mender, at(now));
    }
    let [Mended::Ask(request)] = wants[..] else { panic!("{wants:?}") };
    let (mut way, mut rebuilt) = (Vec::new(), Vec::new());
    assert_eq!(ask(&mut keeper, at(now), &request, &mut way), Ok(()));
    way.iter().for_each(|parity| hear(&mut mender, at(now), parity, &mut rebuilt));
    let expected: Vec<_> = lost.iter().map(|&n| packets[n].clone()).collect();
    assert!(rebuilt == expected, "{} of {} rebuilt", rebuilt.len(), expected.len());
    assert_eq!((mender.counters().frames_repaired, mender.counters().rejected), (1, 0));
    assert_eq!(mender.next_timeout(), None, "nothing is left to be done");
    (request, way.into_iter().map(|w| w.1).collect())
}

#[test]
fn what_is_lost_anywhere_in_a_frame_is_asked_for_once_and_rebuilt() {
    let (request, way) = check(60, &[1, 20, 58]);
    assert_eq!((request.k, request.deficit, request.frame), (60, 3, Some(6_000)));
    assert_eq!(way.len(), 3);
    let (request, _) = check(60, &[0]);
    assert_eq!((request.k, request.deficit), (0, 1), "its beginning is known from the frame before only");
    let (request, _) = check(60, &[59]);
    assert_eq!((request.k, request.deficit), (0, 1));
    check(2, &[0]);
}

#[test]
fn a_frame_of_any_size_comes_back_from_as_many_parity_packets_as_it_may_have() {
    for k in [1, 2, 3, 7, 8, 9, 16, 17, 63, 64, 65, 500, JPEG_PACKETS_MAX] {
        let (mut packetizer, mut keeper, mut mender) = stream();
        keeper.set_loss(1.0);
        for n in 0..20 {
            // Fills the budget.
            frame_of(&mut packetizer, n, 60).iter().for_each(|p| keeper.keep(at(0), p));
        }
        let packets = frame_of(&mut packetizer, 30, k);
        let lost = parity_max(k).min(k - 1).min(REPAIR_BURST_PACKETS_MAX);
        let lost: Vec<usize> = (1..=lost).collect();
        send(&packets, &lost, 0, &mut keeper, &mut mender);
        let (mut way, mut rebuilt) = (Vec::new(), Vec::new());
        let base = rtp::Packet::parse(&packets[0]).unwrap().header.sequence;
        let all = RepairRequest {
            ssrc: SSRC,
            frame: None,
            base: base.into(),
            k: k as u32,
            deficit: lost.len().max(1) as u32,
        };
        ask(&mut keeper, at(1), &all, &mut way).unwrap();
        way.iter().for_each(|parity| hear(&mut mender, at(1), parity, &mut rebuilt));
        assert_eq!(rebuilt, lost.iter().map(|&n| packets[n].clone()).collect::<Vec<_>>(), "{k}");
    }
}

#[test]
fn a_frame_of_which_nothing_came_is_noticed_by_the_next_one() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let frames: Vec<_> = (1..=3).map(|n| frame_of(&mut packetizer, n, 2)).collect();
    assert_eq!(send(&frames[0], &[], 0, &mut keeper, &mut mender), []);
    assert_eq!(send(&frames[1], &[0, 1], 20_000, &mut keeper, &mut mender), []);
    let wants = send(&frames[2], &[], 40_000, &mut keeper, &mut mender);
    let [Mended::Ask(request)] = wants[..] else { panic!("{wants:?}") };
    assert_eq!((request.frame, request.deficit), (None, 2));
    let (mut way, mut rebuilt) = (Vec::new(), Vec::new());
    ask(&mut keeper, at(41_000), &request, &mut way).unwrap();
    way.iter().for_each(|parity| hear(&mut mender, at(41_000), parity, &mut rebuilt));
    assert!(rebuilt == frames[1]);
}

#[test]
fn the_first_parity_tells_how_much_more_is_missing() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let packets = frame_of(&mut packetizer, 1, 5);
    send(&packets, &[2, 3, 4], 0, &mut keeper, &mut mender);
    let (mut way, mut rebuilt) = (Vec::new(), Vec::new());
    for deficit in [1, 2] {
        let wants = settle(&mut mender, at(3_000 + u64::from(deficit)));
        let [Mended::Ask(request)] = wants[..] else { panic!("{wants:?}") };
        assert_eq!(request.deficit, deficit);
        way.clear();
        ask(&mut keeper, at(3_000 * u64::from(deficit)), &request, &mut way).unwrap();
        way.iter().for_each(|parity| hear(&mut mender, at(3_000 + u64::from(deficit)), parity, &mut rebuilt));
    }
    assert!(rebuilt == packets[2..]);
}

#[test]
fn a_silence_makes_a_frame_ask_and_more_packets_take_that_back() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let packets = frame_of(&mut packetizer, 1, 10);
    assert_eq!(send(&packets[..4], &[], 0, &mut keeper, &mut mender), []);
    assert_eq!(settle(&mut mender, at(2_999)), []);
    assert_eq!(mender.next_timeout(), Some(at(3_000)));
    assert!(matches!(settle(&mut mender, at(3_000))[..], [Mended::Ask(RepairRequest { k: 0, deficit: 1, .. })]));
    take(&mut mender, at(4_000), &packets[4]);
    assert_eq!(settle(&mut mender, at(4_000)), []);
    assert_eq!(settle(&mut mender, at(11_999)), [], "a sender that pauses for 4 ms is given 8");
    assert!(matches!(settle(&mut mender, at(12_000))[..], [Mended::Ask(_)]));
}

#[test]
fn it_asks_again_each_round_and_gives_up_after_the_hold() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let packets = frame_of(&mut packetizer, 1, 10);
    assert_eq!(send(&packets, &[3], 0, &mut keeper, &mut mender).len(), 1);
    let mut asked = 1;
    for us in 1..19_999 {
        for want in settle(&mut mender, at(us)) {
            assert!(matches!(want, Mended::Ask(RepairRequest { deficit: 1, .. })));
            assert_eq!(us, 6_000 * asked, "after another round");
            asked += 1;
        }
    }
    assert_eq!(asked, u64::from(REPAIR_ROUNDS_MAX));
    assert_eq!(settle(&mut mender, at(20_000)), [Mended::GiveUp(3_000)]);
    assert_eq!(mender.next_timeout(), None);
    let mut rebuilt = Vec::new();
    let mut way = Vec::new();
    let request = RepairRequest { ssrc: SSRC, frame: Some(3_000), base: 65_500, k: 10, deficit: 1 };
    ask(&mut keeper, at(20_000), &request, &mut way).unwrap();
    hear(&mut mender, at(20_000), &way[0], &mut rebuilt);
    assert!(rebuilt.is_empty(), "too late");
}

#[test]
fn packets_larger_than_any_of_ours_are_waited_for_like_others() {
    let mut mender = Mender::new(Patience::WIRED, false, 1);
    let (mut packetizer, _, _) = stream();
    let packets = frame_of(&mut packetizer, 1, 10);
    for (n, packet) in packets[..9].iter().enumerate() {
        let mut large = packet.clone();
        large.resize(1_460, 0);
        take(&mut mender, at(2_000 * n as u64), &large);
        assert_eq!(settle(&mut mender, at(2_000 * n as u64)), []);
    }
    assert_eq!(mender.next_timeout(), None, "a silence says nothing where nobody can be asked");
    let next = frame_of(&mut packetizer, 2, 2);
    take(&mut mender, at(33_000), &next[0]);
    assert_eq!(settle(&mut mender, at(33_000)), []);
    assert_eq!(settle(&mut mender, at(38_000)), [Mended::GiveUp(3_000)]);
}

#[test]
fn a_newer_complete_frame_ends_the_wait() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let frames: Vec<_> = (1..=2).map(|n| frame_of(&mut packetizer, n, 10)).collect();
    send(&frames[0], &[3], 0, &mut keeper, &mut mender);
    send(&frames[1], &[], 10_000, &mut keeper, &mut mender);
    mender.finished(6_000);
    assert_eq!((mender.next_timeout(), settle(&mut mender, at(30_000))), (None, vec![]));
    take(&mut mender, at(31_000), &frames[0][3]);
    assert_eq!(mender.next_timeout(), None, "a late packet of it changes nothing");
}

#[test]
fn another_ones_request_for_as_much_serves() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    mender.set_group(50);
    let packets = frame_of(&mut packetizer, 1, 10);
    assert_eq!(send(&packets, &[3, 4], 0, &mut keeper, &mut mender), [], "50 receivers do not ask at once");
    let due = mender.next_timeout().unwrap();
    let theirs = RepairRequest { ssrc: SSRC, frame: Some(3_000), base: 65_500, k: 10, deficit: 1 };
    mender.heard(at(1), &theirs);
    assert_eq!(mender.next_timeout(), Some(due), "one is not enough for two holes");
    mender.heard(at(1), &RepairRequest { ssrc: 1, deficit: 2, ..theirs });
    assert_eq!(mender.next_timeout(), Some(due), "another stream");
    mender.heard(at(1), &RepairRequest { deficit: 2, ..theirs });
    assert!(mender.next_timeout().unwrap() >= at(6_001));
    assert_eq!(mender.counters().suppressed, 1);
}

#[test]
fn requests_are_answered_within_their_bounds() {
    let (mut packetizer, mut keeper, _) = stream();
    let frames: Vec<_> = (1..=2 + REPAIR_FRAMES_KEPT_MAX as u32).map(|n| frame_of(&mut packetizer, n, 10)).collect();
    frames[..2].iter().flatten().for_each(|p| keeper.keep(at(0), p));
    let request = RepairRequest { ssrc: SSRC, frame: Some(3_000), base: 65_500, k: 10, deficit: 1 };
    let mut way = Vec::new();
    let mut check = |keeper: &mut Keeper, us, request, expected| {
        assert_eq!(ask(keeper, at(us), &request, &mut way), expected);
    };
    check(&mut keeper, 0, RepairRequest { ssrc: 8, ..request }, Err(Refusal::Stream));
    check(&mut keeper, 0, RepairRequest { frame: Some(1), ..request }, Err(Refusal::Frame));
    check(&mut keeper, 0, RepairRequest { base: 65_499, ..request }, Err(Refusal::Frame));
    check(&mut keeper, 0, RepairRequest { base: 65_501, ..request }, Err(Refusal::Numbers));
    check(&mut keeper, 0, RepairRequest { k: 9, ..request }, Err(Refusal::Numbers));
    check(&mut keeper, 0, RepairRequest { deficit: 0, ..request }, Err(Refusal::Numbers));
    check(&mut keeper, 0, RepairRequest { base: 65_500 + 65_536, ..request }, Err(Refusal::Numbers));
    check(&mut keeper, 50_000, request, Ok(()));
    check(&mut keeper, 50_001, request, Err(Refusal::Frame));
    check(&mut keeper, 50_000, RepairRequest { deficit: u32::MAX, ..request }, Ok(()));
    assert_eq!(keeper.counters().packets, 10, "never more than its packets, counting what was sent just now");
    keeper.keep(at(50_000), &frames[2][0]);
    check(
        &mut keeper,
        50_000,
        RepairRequest { frame: None, base: (65_500u32 + 20) & 0xffff, k: 0, ..request },
        Err(Refusal::Frame),
    );
    for packet in frames[2..].iter().flatten() {
        keeper.keep(at(50_000), packet);
    }
    check(&mut keeper, 50_000, request, Err(Refusal::Frame));
    keeper.restart(10);
    check(&mut keeper, 50_000, RepairRequest { ssrc: 10, frame: None, ..request }, Err(Refusal::Frame));
}

#[test]
fn what_is_sent_on_request_stays_a_quarter_of_the_stream() {
    let (mut packetizer, mut keeper, _) = stream();
    let (mut way, mut sent) = (Vec::new(), 0);
    for n in 1..200u32 {
        let packets = frame_of(&mut packetizer, n, 20);
        let base = rtp::Packet::parse(&packets[0]).unwrap().header.sequence;
        packets.iter().for_each(|p| keeper.keep(at(u64::from(n) * 33_000), p));
        sent += packets.len();
        for round in 0..9 {
            let request = RepairRequest { ssrc: SSRC, frame: None, base: base.into(), k: 20, deficit: 1_000 };
            let _ = ask(&mut keeper, at(u64::from(n) * 33_000 + round * 3_000), &request, &mut way);
        }
    }
    let most = sent * REPAIR_SHARE_PERCENT_MAX / 100 + REPAIR_BURST_PACKETS_MAX;
    assert!(way.len() <= most && way.len() > most - 10, "{} of {most}", way.len());
}

#[test]
fn no_parity_goes_out_twice_and_then_the_packets_themselves() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    for n in 0..9 {
        frame_of(&mut packetizer, n, 60).iter().for_each(|p| keeper.keep(at(0), p));
    }
    let packets = frame_of(&mut packetizer, 10, 2);
    send(&packets, &[1], 0, &mut keeper, &mut mender);
    let base = rtp::Packet::parse(&packets[0]).unwrap().header.sequence;
    let request = RepairRequest { ssrc: SSRC, frame: None, base: base.into(), k: 2, deficit: 2 };
    let mut way = Vec::new();
    for n in 0..5 {
        ask(&mut keeper, at(n * 3_000), &request, &mut way).unwrap();
    }
    let index = |w: &OnTheWay| u16::from_be_bytes([w.1[4], w.1[5]]);
    assert_eq!(way.iter().map(index).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    let mut rebuilt = Vec::new();
    hear(&mut mender, at(12_000), &way[9], &mut rebuilt);
    assert_eq!((rebuilt, mender.counters().frames_repaired), (vec![packets[1].clone()], 1));
}

#[test]
fn parity_goes_ahead_while_loss_is_reported() {
    let (mut packetizer, mut keeper, _) = stream();
    let mut count = |keeper: &mut Keeper, number| {
        frame_of(&mut packetizer, number, 60).iter().for_each(|p| keeper.keep(at(0), p));
        let mut sent = 0;
        keeper.ahead(at(0), &mut |_, _| sent += 1);
        keeper.ahead(at(0), &mut |_, _| sent += 1);
        sent
    };
    assert_eq!(count(&mut keeper, 1), 0);
    keeper.set_loss(0.01);
    assert_eq!(count(&mut keeper, 2), 3, "60 x 1 % + 3 sqrt(0.6) = 2.9");
    keeper.set_loss(0.0);
    assert_eq!(count(&mut keeper, 3), 0);
    assert_eq!([parity_ahead(60, 0.05), parity_ahead(60, 0.0), parity_ahead(1, 1.0)], [9, 0, 4]);
}

#[test]
fn the_back_off_is_none_for_few_and_grows_with_the_group() {
    let ms = |group, chance| back_off(group, Patience::WIRED.spread, chance).as_secs_f64() * 1e3;
    assert_eq!([1, REPAIR_UNSPACED_MAX].map(|group| ms(group, 0.9)), [0.0, 0.0]);
    assert!(ms(REPAIR_UNSPACED_MAX + 1, 0.5) > 0.0);
    for group in [5, 50, 1_000, 100_000] {
        assert!(ms(group, 0.0) < 1e-6 && (ms(group, 1.0) - 4.0).abs() < 1e-6, "{group}");
    }
    let first = |group: usize| (0..group).map(|n| ms(group, (n as f64 + 0.5) / group as f64)).fold(f64::MAX, f64::min);
    let early = |group: usize| {
        let first = first(group);
        (0..group).filter(|&n| ms(group, (n as f64 + 0.5) / group as f64) < first + 0.3).count()
    };
    assert!(early(1_000) < 10, "few of many ask before they can have heard each other: {}", early(1_000));
    assert!(back_off(50, Duration::ZERO, 0.5).is_zero());
}

#[test]
fn parity_at_odds_with_the_frame_is_refused() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let packets = frame_of(&mut packetizer, 1, 10);
    send(&packets, &[3], 0, &mut keeper, &mut mender);
    let request = RepairRequest { ssrc: SSRC, frame: None, base: 65_500, k: 10, deficit: 1 };
    let mut way = Vec::new();
    ask(&mut keeper, at(0), &request, &mut way).unwrap();
    let mut rebuilt = Vec::new();
    let forged = |at: usize, value: u16| {
        let mut forged = way[0].clone();
        forged.1[at..at + 2].copy_from_slice(&value.to_be_bytes());
        forged
    };
    for forged in [forged(0, 11), forged(2, 65_499), forged(0, 5)] {
        hear(&mut mender, at(0), &forged, &mut rebuilt);
    }
    let mut short = way[0].clone();
    short.1.truncate(100);
    short.1[6..8].copy_from_slice(&92u16.to_be_bytes());
    hear(&mut mender, at(0), &short, &mut rebuilt);
    assert_eq!((mender.counters().rejected, rebuilt.len()), (4, 0));
    let mut elsewhere = way[0].clone();
    elsewhere.0 = 1;
    hear(&mut mender, at(0), &elsewhere, &mut rebuilt);
    hear(&mut mender, at(0), &way[0], &mut rebuilt);
    assert_eq!(rebuilt, [packets[3].clone()]);
}

#[test]
fn forged_bytes_rebuild_nothing_that_is_no_packet_of_the_stream() {
    let (mut packetizer, mut keeper, mut mender) = stream();
    let packets = frame_of(&mut packetizer, 1, 10);
    send(&packets, &[3], 0, &mut keeper, &mut mender);
    let request = RepairRequest { ssrc: SSRC, frame: None, base: 65_500, k: 10, deficit: 1 };
    let mut way = Vec::new();
    ask(&mut keeper, at(0), &request, &mut way).unwrap();
    way[0].1[20] ^= 1;
    let mut rebuilt = Vec::new();
    hear(&mut mender, at(0), &way[0], &mut rebuilt);
    assert_eq!((mender.counters().rejected, rebuilt.len(), mender.next_timeout()), (1, 0, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_loss_within_the_parity_is_repaired_in_any_order(
        k in 1usize..90, seed: u64, spare in 0usize..3, number in 1u32..1_000_000,
    ) {
        let mut random = crate::protocol::keys::Random::new([seed as u8; 32]);
        random.next_u64();
        let (mut packetizer, mut keeper, mut mender) = stream();
        for n in 0..6 {
            frame_of(&mut packetizer, number.wrapping_sub(9 - n), 60).iter().for_each(|p| keeper.keep(at(0), p));
        }
        let packets = frame_of(&mut packetizer, number, k);
        let most = parity_max(k).min(k).saturating_sub(spare).min(REPAIR_BURST_PACKETS_MAX);
        let mut order: Vec<usize> = (0..k).collect();
        (1..k).rev().for_each(|n| order.swap(n, random.below(n as u64 + 1) as usize));
        let lost = order.split_off(k - most);
        packets.iter().for_each(|p| keeper.keep(at(0), p));
        let base = rtp::Packet::parse(&packets[0]).unwrap().header.sequence;
        let request = RepairRequest { ssrc: SSRC, frame: None, base: base.into(), k: k as u32, deficit: lost.len() as u32 };
        let mut way = Vec::new();
        if !lost.is_empty() {
            ask(&mut keeper, at(0), &request, &mut way).unwrap();
        }
        let mut rebuilt = Vec::new();
        // Parity may overtake the packets: only a frame of which something came takes it.
        order.iter().take(1).for_each(|&n| take(&mut mender, at(0), &packets[n]));
        way.iter().for_each(|parity| hear(&mut mender, at(0), parity, &mut rebuilt));
        order.iter().skip(1).for_each(|&n| take(&mut mender, at(0), &packets[n]));
        mender.settle(at(0), &mut Vec::new(), &mut |bytes: &[u8]| rebuilt.push(bytes.to_vec()));
        let mut lost: Vec<_> = lost.iter().map(|&n| packets[n].clone()).collect();
        lost.sort();
        rebuilt.sort();
        if !order.is_empty() {
            prop_assert_eq!(rebuilt, lost);
        }
    }
}
