//! State machines that packets drive: reassembly, jitter buffer, SRTP, sealing, the list of conferences.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use roundtable::limits::{
    CONFERENCES_MAX, JITTER_DELAY_MS_MAX, JPEG_FRAME_BYTES_MAX, RTP_PACKET_BYTES_MAX, SEALED_BODY_BYTES_MAX,
};
use roundtable::media::picture::Chroma;
use roundtable::protocol::chat::{Body, Content, private};
use roundtable::protocol::discovery::Browser;
use roundtable::protocol::jitter::{Incoming, JitterBuffer, Verdict};
use roundtable::protocol::keys::{EpochKeys, Identity, Random, Secret, conference_id};
use roundtable::protocol::packetizer::{FrameStart, PacketBatch, VideoPacketizer};
use roundtable::protocol::reassembler::{Progress, Reassembler};
use roundtable::protocol::seal::{Opener, Sealer};
use roundtable::protocol::srtp::{Protector, Unprotector};
use roundtable::time::Timestamp;
use roundtable::wire::address::Scope;
use roundtable::wire::discovery::{Announcement, write_announce};
use roundtable::wire::jpeg_payload::Sampling;
use roundtable::wire::message::{ConferenceId, KIND_ANNOUNCE, SignatureContext};
use roundtable::wire::rtp;

use crate::driver::{Dice, Feed, fuzz, outcome};
use crate::media::small_scan;

/// `count` bytes of chance as a first script.
fn script(seed: u64, count: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..count).map(|_| dice.next() as u8).collect()
}

/// Packets of `frames` frames that carry `scan` and a byte that tells them apart.
fn video(scan: &[u8], tables: &[u8; 128], restart_interval: u16, frames: u8) -> Vec<Vec<u8>> {
    let mut packetizer = VideoPacketizer::new(7, 65_530);
    let mut packets = Vec::new();
    for frame in 0..frames {
        let timestamp = (u32::MAX - 9_000).wrapping_add(3_000 * u32::from(frame));
        let start = FrameStart { timestamp, width: 64, height: 48, sampling: Sampling::H2V2, restart_interval, tables };
        let mut batch = PacketBatch::default();
        packetizer.begin(&start).expect("a size that fits");
        packetizer.push(scan, &mut batch).expect("a length that fits");
        packetizer.push(&[frame], &mut batch).expect("a length that fits");
        packetizer.finish(&mut batch);
        packets.extend(batch.packets().map(<[u8]>::to_vec));
    }
    packets
}

#[test]
fn reassembly_of_altered_frames() {
    let (scan, tables, restart_interval) = small_scan(Chroma::C420);
    let scan = scan.repeat(1 + 3_000 / scan.len());
    let packets = video(&scan, &tables, restart_interval, 12);
    let mut packet = Vec::new();
    fuzz("reassembly", 8 * JPEG_FRAME_BYTES_MAX, vec![script(1, 200), vec![0; 60]], |bytes| {
        let (mut reassembler, mut feed) = (Reassembler::new(), Feed(bytes));
        let (mut pushed, mut next, mut altered) = (0, 0, false);
        let mut now = Timestamp::from_millis(1);
        while !feed.is_empty() {
            let act = feed.u8();
            packet.clear();
            packet.extend_from_slice(&packets[(next + usize::from(act >> 5)) % packets.len()]);
            next += usize::from(act & 0x10 == 0);
            for _ in 0..(act & 3).saturating_sub(1) {
                let at = usize::from(feed.u8()) % packet.len();
                let to = feed.u8();
                altered |= packet[at] != to;
                packet[at] = to;
            }
            if act & 0xc == 0xc {
                packet.truncate(usize::from(feed.u8()) * 6);
                altered = true;
            }
            now = now + Duration::from_micros(100);
            let Ok(parsed) = rtp::Packet::parse(&packet) else { continue };
            pushed += 1;
            if let Ok(Progress::Advanced(id) | Progress::Complete(id)) = reassembler.push(now, &parsed) {
                let frame = reassembler.frame(id).expect("what progresses is there");
                assert!(frame.scan.len() <= JPEG_FRAME_BYTES_MAX);
                assert!(!frame.complete || altered || frame.scan[..scan.len()] == scan, "another frame than was sent");
                if act & 0x40 == 0 {
                    reassembler.release(id);
                }
            }
        }
        let c = reassembler.counters();
        assert_eq!(c.frames_complete.min(1), u64::from(c.frames_complete > 0));
        assert!(c.packets_received + c.duplicates + c.rejected >= pushed, "{c:?} of {pushed}");
        assert!(c.frames_complete <= pushed && c.late + c.duplicates <= pushed, "{c:?} of {pushed}");
        let some = |n: u64| n > 0;
        outcome(&(some(c.frames_complete), some(c.frames_lost), some(c.late), some(c.duplicates), some(c.rejected)))
    });
}

#[test]
fn what_is_cut_into_packets_comes_out_whole() {
    let mut received = Reassembler::new();
    let mut packetizer = VideoPacketizer::new(7, 0);
    let (mut batch, mut timestamp) = (PacketBatch::default(), 0_u32);
    let seeds = vec![script(2, 5_000), script(3, 20), vec![1]];
    fuzz("packetizer", 8 * JPEG_FRAME_BYTES_MAX, seeds, |bytes| {
        let mut feed = Feed(bytes);
        let (width, height) = (feed.u8().max(1).into(), feed.u8().max(1).into());
        let sampling = [Sampling::H2V1, Sampling::H2V2][usize::from(feed.u8() % 2)];
        let (restart_interval, pieces, repeat) = (feed.u16() % 300, usize::from(feed.u8()) + 1, feed.u8() % 4);
        timestamp = timestamp.wrapping_add(3_000);
        let start = FrameStart { timestamp, width, height, sampling, restart_interval, tables: &[9; 128] };
        let mut scan = feed.0.repeat(1 + 8 * usize::from(repeat));
        // More is refused: a frame has a bounded number of packets.
        scan.truncate(1 << 20);
        if scan.is_empty() {
            return 0;
        }
        batch.clear();
        packetizer.begin(&start).expect("a size that fits");
        for piece in scan.chunks(pieces * 37) {
            packetizer.push(piece, &mut batch).expect("a length that fits");
        }
        packetizer.finish(&mut batch);
        let mut done = false;
        let last = batch.packets().len() - 1;
        for (at, packet) in batch.packets().enumerate() {
            assert!(packet.len() <= RTP_PACKET_BYTES_MAX - 10 && (packet.len() == batch.segment || at == last));
            let parsed = rtp::Packet::parse(packet).expect("well-formed");
            assert_eq!(parsed.header.marker, at == last);
            if let Progress::Complete(id) = received.push(Timestamp(timestamp.into()), &parsed).expect("accepted") {
                let frame = received.frame(id).expect("complete");
                assert_eq!((frame.scan, frame.header.width), (&scan[..], width.next_multiple_of(8)));
                received.release(id);
                done = true;
            }
        }
        assert!(done, "a frame of {} bytes does not come out", scan.len());
        last as u64
    });
}

#[test]
fn a_jitter_buffer_fed_with_anything() {
    fuzz("jitter", 2 << 20, vec![vec![0; 400], script(4, 400), script(5, 2_000)], |bytes| {
        let (mut buffer, mut feed) = (JitterBuffer::new(), Feed(bytes));
        let (mut now, mut sequence, mut timestamp, mut ssrc) =
            (Timestamp::from_millis(1_000), 65_500_u16, u32::MAX - 9_600, 1);
        let (mut inserted, mut kinds) = (0, 0_u64);
        while !feed.is_empty() {
            let act = feed.u8();
            match act & 7 {
                // As it should be: a packet each 20 ms, and all that can be played.
                0..=2 => {
                    sequence = sequence.wrapping_add(1);
                    timestamp = timestamp.wrapping_add(960);
                    now = now + Duration::from_millis(20);
                }
                3 => sequence = sequence.wrapping_add(feed.u16()),
                4 => timestamp = timestamp.wrapping_add((feed.u64() >> 32) as u32),
                5 => now = now + Duration::from_millis(feed.u16().into()),
                6 => ssrc += u32::from(feed.u8() == 0),
                _ => sequence = sequence.wrapping_sub(u16::from(feed.u8())),
            }
            let length = match act & 0x38 {
                0x38 => 1_300,
                0x28 => 2,
                _ => 40,
            };
            let payload = &[act; 1_300][..length];
            let samples = if act & 0xc0 == 0xc0 { u32::from(feed.u16()) } else { 960 };
            if act & 0x30 != 0x30 {
                let (marker, again) = (sequence % 3 == 0, sequence % 5 == 0);
                buffer.insert(now, Incoming { ssrc, sequence, timestamp, marker, again, samples, payload });
                inserted += 1;
            }
            for _ in 0..4 {
                let verdict = buffer.pull(now, i64::from(act) * 8 - 500);
                kinds |= match verdict {
                    Verdict::Packet(packet) => {
                        assert!(packet.len() <= 1_275);
                        1
                    }
                    Verdict::Fec { samples, .. } => {
                        assert!(samples > 0 && samples <= 5_760);
                        2
                    }
                    Verdict::Conceal { samples } => {
                        assert!(samples > 0 && samples <= 5_760);
                        4
                    }
                    Verdict::Noise { samples } => {
                        assert!(samples > 0 && samples <= 5_760);
                        64
                    }
                    Verdict::Empty => break,
                };
                if let Some(wish) = buffer.wish() {
                    buffer.cut(wish.shorten, wish.most.min(720));
                    kinds |= 128;
                }
            }
            assert!(buffer.target_ms().is_finite() && buffer.target_ms() <= JITTER_DELAY_MS_MAX as f32 + 200.0);
            assert!(buffer.buffer_ms().is_finite() && (0.5..=2.0).contains(&buffer.speed()));
        }
        let c = buffer.counters();
        assert!(c.received + c.duplicates + c.late + c.rejected >= inserted, "{c:?} of {inserted}");
        assert!(c.received <= inserted && c.duplicates <= inserted && c.rejected <= inserted, "{c:?} of {inserted}");
        kinds | u64::from(c.rejected > 0) << 3 | u64::from(c.late > 0) << 4 | u64::from(c.skipped > 0) << 5
    });
}

#[test]
fn protected_packets_open_as_they_were_or_not_at_all() {
    let master = [3; 30];
    let mut protector = Protector::new(&master);
    let mut streams = Vec::new();
    for n in 0..40_u16 {
        let header =
            rtp::Header { sequence: 65_520_u16.wrapping_add(n), ssrc: 7, payload_type: 111, ..Default::default() };
        let (mut plain, mut sealed) = (header.to_bytes().to_vec(), Vec::new());
        plain.extend([n as u8; 60]);
        protector.protect(&plain, &mut sealed).expect("well-formed");
        streams.push((plain, sealed));
    }
    let (mut control, mut packet) = (Vec::new(), Vec::new());
    let plain_control = [&[0x80, 200, 0, 1, 0, 0, 0, 7][..], &[0; 20]].concat();
    protector.protect_control(&plain_control, &mut control).expect("well-formed");
    fuzz("srtp", 64 << 10, vec![script(6, 120), vec![0, 2, 0, 2, 0, 2]], |bytes| {
        let (mut receiver, mut feed) = (Unprotector::new(&master, 7, 0), Feed(bytes));
        let (mut taken, mut kinds) = ([false; 40], 0_u64);
        while !feed.is_empty() {
            let (which, act) = (usize::from(feed.u8()) % 40, feed.u8());
            packet.clone_from(if act & 0x80 == 0 { &streams[which].1 } else { &control });
            match act & 3 {
                0 => {
                    let at = usize::from(feed.u8()) % packet.len();
                    packet[at] ^= feed.u8();
                }
                1 => packet.truncate(feed.u8().into()),
                _ => {}
            }
            let result = if act & 0x80 == 0 { receiver.open(&mut packet) } else { receiver.open_control(&mut packet) };
            if let Ok(length) = result {
                if act & 0x80 == 0 {
                    assert_eq!(packet[..length], streams[which].0, "only what was sent");
                    assert!(!std::mem::replace(&mut taken[which], true), "and only once");
                } else {
                    assert_eq!(packet[..length], plain_control);
                }
            }
            kinds = kinds.wrapping_mul(3).wrapping_add(outcome(&result)) % 10_007;
        }
        kinds
    });
}

#[test]
fn sealed_datagrams_open_as_they_were_and_once() {
    let conference = ConferenceId([42; 16]);
    let keys = || EpochKeys::first(conference, &Secret::open(&conference));
    let mut sealers = [Sealer::new(&keys(), 1), Sealer::new(&keys(), 2)];
    let mut sent = Vec::new();
    for n in 0..60_u8 {
        let (mut sealed, body) = (Vec::new(), vec![n; 30]);
        assert!(sealers[usize::from(n % 2)].seal(&body, &mut sealed));
        sent.push((body, sealed));
    }
    let (mut datagram, mut body) = (Vec::new(), Vec::new());
    fuzz("seal", 64 << 10, vec![script(7, 120), vec![2; 40]], |bytes| {
        let (mut opener, mut feed) = (Opener::new(keys()), Feed(bytes));
        let (mut opened, mut now, mut kinds) = ([false; 60], Timestamp::from_millis(1_000), 0_u64);
        while !feed.is_empty() {
            let (which, act) = (usize::from(feed.u8()) % 60, feed.u8());
            datagram.clone_from(&sent[which].1);
            match act & 3 {
                0 => {
                    let at = usize::from(feed.u8()) % datagram.len();
                    datagram[at] ^= feed.u8();
                }
                1 => datagram.truncate(feed.u8().into()),
                _ => {}
            }
            now = now + Duration::from_millis(u64::from(act >> 2));
            let result = opener.open(now, [10, 0, 0, act >> 6].into(), &datagram, &mut body);
            if result.is_ok() {
                assert_eq!(body, sent[which].0, "only what was sent");
                assert!(!std::mem::replace(&mut opened[which], true), "and only once");
            } else {
                assert!(body.len() <= SEALED_BODY_BYTES_MAX && opener.sessions() <= 2);
            }
            kinds = kinds.wrapping_mul(3).wrapping_add(outcome(&result.map(|_| ()))) % 10_007;
        }
        kinds
    });
}

#[test]
fn the_list_of_conferences() {
    let identities: Vec<Identity> = (0..4).map(|n| Identity::from_seed(&[n; 32])).collect();
    let mut datagram = Vec::new();
    fuzz("browser", 4 << 20, vec![script(8, 300), vec![0; 60]], |bytes| {
        let (mut browser, mut feed) = (Browser::new(Timestamp::from_millis(1), [1; 32]), Feed(bytes));
        let mut now = Timestamp::from_millis(1);
        let mut accepted = 0;
        while !feed.is_empty() {
            let (act, who, which) = (feed.u8(), feed.u8(), feed.u8());
            let identity = &identities[usize::from(who % 4)];
            let conference = conference_id(identity.public(), &[which; 16]);
            let announcement = Announcement {
                conference: conference.0.to_vec(),
                title: feed.text(),
                open: act & 1 == 0,
                family: 4,
                base: u32::from(Ipv4Addr::new(239, 255, which & 0xfe, 0)),
                port: 20_480 + 2_048 * u32::from(act & 3),
                participants: u32::from(feed.u8() % 4),
                announcer: identity.public().to_vec(),
                sid: u64::from(who),
                counter: u64::from(feed.u8()),
                ..Announcement::default()
            };
            let (sid, counter, signer) = (announcement.sid, announcement.counter, identity.id());
            let context = SignatureContext { kind: KIND_ANNOUNCE, conference, epoch: 0, signer, sid, counter };
            write_announce(&announcement, &mut datagram, |body| identity.sign(&context, body, &mut Vec::new()));
            if act & 0x30 == 0x30 {
                let at = usize::from(feed.u8()) % datagram.len();
                datagram[at] ^= feed.u8();
            }
            now = now + Duration::from_millis(u64::from(act) * 4);
            let source = SocketAddr::from((Ipv4Addr::new(10, 0, 0, who), 5_000));
            accepted += u64::from(browser.handle(now, Scope::Link, source, &datagram));
            while browser.timeout(now).is_some() {}
            assert!(browser.next_timeout().is_none_or(|next| next > now), "it asks to be called again at once");
            assert!(browser.found().len() <= CONFERENCES_MAX);
        }
        accepted << 8 | browser.refused().min(255)
    });
}

#[test]
fn a_private_line_opens_for_those_it_is_for_as_it_was_said_and_otherwise_not() {
    let conference = ConferenceId([42; 16]);
    let people: Vec<_> = (1..=3).map(|n| Identity::from_seed(&[n; 32])).collect();
    let audience = [*people[1].public()];
    let said = Content::text("for your eyes");
    let mut random = Random::new([9; 32]);
    let content = private::seal(conference, &people[0], &audience, "Ada", &said, &mut random).expect("two may read");
    let Body::Sealed { recipients, sealed } = content.body else {
        panic!("not sealed");
    };
    fuzz("private", 64 << 10, vec![vec![1, 0, 0, 0], vec![2, 0, 1, 70, 9], script(9, 60)], |bytes| {
        let mut feed = Feed(bytes);
        let (reader, author) = (&people[usize::from(feed.u8()) % 3], people[usize::from(feed.u8()) % 3].id());
        let (mut to, mut box_) = (recipients.clone(), sealed.clone());
        match feed.u8() % 4 {
            0 => {}
            1 => {
                let at = usize::from(feed.u8()) % box_.len();
                box_[at] ^= feed.u8();
            }
            2 => box_.truncate(feed.u8().into()),
            _ => {
                let count = usize::from(feed.u8() % 34);
                to = (0..count).map(|_| people[usize::from(feed.u8()) % 3].id()).collect();
                box_ = feed.bytes(usize::MAX).to_vec();
            }
        }
        let opened = private::open(conference, reader, &author, &to, &box_);
        let honest = author == people[0].id() && to == recipients && to.contains(&reader.id());
        if let Some(content) = &opened {
            assert!(honest && *content == said, "only what was said, and by whom it was");
        }
        assert!(opened.is_some() || !honest || box_ != sealed, "who may read it, can");
        outcome(&opened)
    });
}
