//! Packets.

use std::net::{Ipv4Addr, SocketAddr};

use prost::Message as _;
use roundtable::limits::{
    CHAT_PIECE_BYTES_MAX, CONTROL_COPIES_MAX, DATAGRAM_BYTES_MAX, JPEG_FRAME_BYTES_MAX, JPEG_SIDE_PIXELS_MAX,
    MESSAGES_PER_DATAGRAM_MAX, RTP_EXTENSION_BYTES_MAX, TITLE_BYTES_MAX,
};
use roundtable::time::NtpTime;
use roundtable::wire::chat::{self, Heartbeat, Nack};
use roundtable::wire::discovery::{self, Announcement, Datagram, Query};
use roundtable::wire::interest::{Place, Places, Row};
use roundtable::wire::jpeg_payload::{JpegHeader, JpegPayload, Sampling};
use roundtable::wire::message::{Kind, Message, ParticipantId, Ping, Pong, Signed};
use roundtable::wire::relay::Introduction;
use roundtable::wire::rtcp::{self, SenderReport};
use roundtable::wire::{opened, rtp, sap, sealed};

use crate::driver::{fuzz, outcome, variant};

/// More than any parser of packets needs for itself.
const MEMORY: usize = 64 << 10;

fn header(payload_type: u8) -> rtp::Header {
    rtp::Header { marker: true, payload_type, sequence: 0xfffe, timestamp: 90_000, ssrc: 0x0102_0304 }
}

#[test]
fn rtp_packets() {
    let mut plain = header(rtp::PT_OPUS).to_bytes().to_vec();
    let mut level = Vec::new();
    header(rtp::PT_OPUS).write_with_audio_level(true, 30, &mut level);
    level.extend([9; 40]);
    let mut padded = plain.clone();
    padded[0] |= 0x20;
    padded.extend([0, 0, 0, 4]);
    plain.extend([7; 30]);
    fuzz("rtp", MEMORY, vec![plain, level, padded], |bytes| {
        let parsed = rtp::Packet::parse(bytes);
        if let Ok(packet) = &parsed {
            let (same, start) = rtp::parse_header_only(bytes).expect("the whole is no stricter than its part");
            assert_eq!(same, packet.header);
            assert!(start + packet.payload.len() <= bytes.len());
            assert_eq!(packet.header.to_bytes()[1..], bytes[1..12]);
            assert!(start <= 12 + 60 + 4 + RTP_EXTENSION_BYTES_MAX);
        }
        outcome(&parsed.map(|p| (p.audio_level().is_some(), p.extension.is_some(), p.payload.is_empty())))
    });
}

#[test]
fn rtcp_compounds() {
    let (mut report, mut bye) = (Vec::new(), Vec::new());
    let sender = SenderReport { ssrc: 7, ntp: NtpTime(1 << 40), rtp_timestamp: 8, packets: 9, bytes: 10 };
    rtcp::write_sr_sdes(&sender, "0123456789abcdef@10.0.0.1", "Ada", &mut report);
    rtcp::write_bye(7, "0123456789abcdef@10.0.0.1", &mut bye);
    fuzz("rtcp", MEMORY, vec![report, bye], |bytes| {
        let (mut kinds, mut count) = (0_u64, 0);
        let parsed = rtcp::parse(bytes, |report| {
            kinds = kinds << 2 | 1 | u64::from(matches!(report, rtcp::Report::Bye { .. })) << 1;
            count += 1;
        });
        assert!(count <= bytes.len() / 4, "one word for each report at least");
        outcome(&parsed).wrapping_add(kinds)
    });
}

#[test]
fn jpeg_payloads() {
    let base = JpegHeader { width: 640, height: 480, sampling: Sampling::H2V2, restart_interval: 40, offset: 0 };
    let mut seeds = Vec::new();
    for (restart_interval, tables) in [(40, true), (0, true), (40, false), (0, false)] {
        let mut payload = Vec::new();
        let offset = if tables { 0 } else { 70_000 };
        JpegHeader { restart_interval, offset, ..base }.write(tables.then_some(&[16; 128]), &mut payload);
        payload.extend([0x55; 100]);
        seeds.push(payload);
    }
    fuzz("jpeg_payload", MEMORY, seeds, |bytes| {
        let parsed = JpegPayload::parse(bytes);
        if let Ok(payload) = &parsed {
            let h = &payload.header;
            assert!(h.width.max(h.height) <= JPEG_SIDE_PIXELS_MAX && h.width.min(h.height) > 0);
            assert!(h.offset as usize + payload.scan.len() <= JPEG_FRAME_BYTES_MAX);
            let mut again = Vec::new();
            h.write((h.offset == 0).then_some(&[1; 128]), &mut again);
            assert_eq!(JpegPayload::parse(&again).expect("what was read can be written").header, *h);
        }
        outcome(&parsed.map(|p| (p.header.sampling, p.header.restart_interval > 0, p.quantization.q() > 127)))
    });
}

fn messages() -> Vec<Kind> {
    let signed = Signed { signer: vec![1; 32], counter: 2, payload: vec![3; 60], signature: vec![4; 64] };
    let original = chat::Original {
        signer: vec![1; 32],
        counter: 2,
        payload: chat::Chat { run: 1, number: 1, pieces: 1, bytes: vec![5; 20], ..Default::default() }.encode_to_vec(),
        signature: vec![4; 64],
        epoch: 0,
        sid: 9,
    };
    let mut heartbeat = Heartbeat { run: 1, highest: 2, acks: Vec::new() };
    heartbeat.push_ack(7, 8);
    let known = chat::Known { member: vec![1; 16], run: 1, upto: 2 };
    let want = chat::Want::new(ParticipantId([1; 16]), 1, &[1, 2, 3, 9]);
    vec![
        Kind::Beacon(signed.clone()),
        Kind::Join(signed.clone()),
        Kind::Bye(signed),
        Kind::Ping(Ping { nonce: 1, origin: 2 }),
        Kind::Pong(Pong { nonce: 1, origin: 2, receive: 3, transmit: 4 }),
        Kind::Chat(original.clone()),
        Kind::Heartbeat(heartbeat),
        Kind::Nack(Nack { wants: vec![want], tags: vec![1, 2] }),
        Kind::Repair(chat::Repair { originals: vec![original.clone(); 2] }),
        Kind::HistoryRequest(chat::HistoryRequest { nonce: 1, known: vec![known.clone()] }),
        Kind::HistoryAnswer(chat::HistoryAnswer {
            nonce: 1,
            index: 0,
            originals: vec![original],
            floors: vec![known],
            last: true,
            busy: false,
        }),
    ]
}

#[test]
fn bodies_of_sealed_datagrams() {
    let mut seeds: Vec<Vec<u8>> = vec![Vec::new()];
    for kind in messages() {
        let mut body = Vec::new();
        let message = Message { kind: Some(kind) };
        message.write_body(&mut body);
        message.write_body(&mut seeds[0]);
        seeds.push(body);
    }
    // Numbers and lists may stand one byte each and become eight and more.
    fuzz("opened", 8 * DATAGRAM_BYTES_MAX * MESSAGES_PER_DATAGRAM_MAX, seeds, |bytes| {
        let (mut count, mut kinds) = (0, 0_u64);
        let read = opened::read(bytes, |message| {
            count += 1;
            kinds = kinds.wrapping_mul(31).wrapping_add(match message {
                opened::Opened::Signed(kind, signed) => {
                    assert!(signed.payload.len() + signed.signature.len() + signed.signer.len() <= bytes.len());
                    u64::from(kind)
                }
                opened::Opened::Chat(packet) => outcome(&variant(&packet)),
                other => outcome(&variant(&other)),
            });
        });
        assert!(count <= MESSAGES_PER_DATAGRAM_MAX);
        assert!(read.is_ok() || count == 0, "all or nothing");
        outcome(&read).wrapping_add(kinds)
    });
}

#[test]
fn sealed_headers() {
    let header = sealed::Header { class: sealed::Class::Control, epoch: 1, tag: 2, sid: 3, pn: 4 };
    let mut seed = header.to_bytes().to_vec();
    seed.extend([0; 40]);
    fuzz("sealed", MEMORY, vec![seed], |bytes| {
        let parsed = sealed::Header::parse(bytes);
        if let Ok(header) = &parsed {
            assert_eq!(header.to_bytes(), bytes[..sealed::HEADER_BYTES]);
            assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
        }
        outcome(&parsed.map(|h| h.class))
    });
}

#[test]
fn lines_and_their_pieces() {
    let reference = chat::Reference { member: vec![1; 16], run: 2, number: 3 };
    let bodies = [
        chat::Body::Text("hello".into()),
        chat::Body::Reaction("👍🏽".into()),
        chat::Body::Sealed(chat::Sealed { recipients: vec![1; 32], sealed: vec![2; 60] }),
    ];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for body in bodies {
        let content = chat::Content { name: "Ada".into(), body: Some(body), to: Some(reference.clone()) };
        let bytes = content.encode_to_vec();
        seeds.push(bytes.clone());
        seeds.push(chat::Chat { run: 1, number: 2, time: 3, wall: 4, piece: 0, pieces: 1, bytes }.encode_to_vec());
    }
    fuzz("lines", MEMORY, seeds, |bytes| {
        let (piece, content) = (chat::Chat::parse(bytes), chat::Content::parse(bytes));
        if let Ok(piece) = &piece {
            assert!(piece.bytes.len() <= CHAT_PIECE_BYTES_MAX && piece.piece < piece.pieces);
            assert_eq!(chat::Chat::parse(&piece.encode_to_vec()).expect("again"), *piece);
        }
        if let Ok(content) = &content {
            assert_eq!(chat::Content::parse(&content.encode_to_vec()).expect("again"), *content);
            assert_eq!(recipients(content) % 16, 0);
        }
        let body = |c: chat::Content| (c.to.is_some(), c.body.map(|b| variant(&b)));
        outcome(&(piece.map(|p| p.pieces > 1), content.map(body)))
    });
}

fn recipients(content: &chat::Content) -> usize {
    match &content.body {
        Some(chat::Body::Sealed(sealed)) => sealed.recipients.len(),
        _ => 0,
    }
}

#[test]
fn discovery_datagrams() {
    let announcement = Announcement {
        conference: vec![1; 16],
        title: "Standup".into(),
        open: true,
        family: 4,
        base: u32::from(Ipv4Addr::new(239, 255, 4, 0)),
        port: 20_480,
        participants: 3,
        announcer: vec![2; 32],
        sid: 3,
        counter: 4,
        ..Announcement::default()
    };
    let mut announce = Vec::new();
    discovery::write_announce(&announcement, &mut announce, |_| [5; 64]);
    let seeds = vec![announce, Query { unicast: true, nonce: 6 }.to_bytes().to_vec()];
    fuzz("discovery", MEMORY, seeds, |bytes| {
        let parsed = discovery::parse(bytes);
        match &parsed {
            Ok(Datagram::Announce(signed)) => {
                assert!(signed.announcement.title.len() <= TITLE_BYTES_MAX);
                assert_eq!(signed.announcement.conference.len(), 16);
                let mut again = Vec::new();
                discovery::write_announce(&signed.announcement, &mut again, |_| *signed.signature);
                assert!(
                    matches!(discovery::parse(&again), Ok(Datagram::Announce(a)) if a.announcement == signed.announcement)
                );
            }
            Ok(Datagram::Query(query)) => assert_eq!(query.to_bytes().len(), bytes.len()),
            Err(_) => {}
        }
        outcome(&parsed.map(|d| variant(&d)))
    });
}

#[test]
fn sap_packets() {
    let packet = |delete| sap::Packet { delete, id_hash: 7, source: Ipv4Addr::LOCALHOST.into(), sdp: "v=0\r\ns=x\r\n" };
    let mut seeds = vec![Vec::new(), Vec::new()];
    assert!(packet(false).write(&mut seeds[0]) && packet(true).write(&mut seeds[1]));
    fuzz("sap", MEMORY, seeds, |bytes| {
        let parsed = sap::Packet::parse(bytes);
        if let Ok(packet) = &parsed {
            let mut again = Vec::new();
            if packet.write(&mut again) {
                assert_eq!(sap::Packet::parse(&again), Ok(*packet));
            }
        }
        outcome(&parsed.map(|p| p.delete))
    });
}

/// Layers that are wanted, how they arrive, and where others are who hear no group.
#[test]
fn interests_reports_and_introductions() {
    let all = vec![0xff; 62];
    let hosts = (1..20).map(|n| SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 20_480)));
    let mut reports = Vec::new();
    for n in 0..5 {
        let place = Place::from_index(n * 7).expect("a place");
        Row { place, lost: 3, left: 1 }.write(&mut reports);
    }
    let seeds = vec![all, vec![1, 0, 4], reports, Introduction::of(hosts).encode_to_vec()];
    fuzz("interests", MEMORY, seeds, |bytes| {
        let places = Places::from_bytes(bytes);
        if let Ok(places) = &places {
            let again = Places::from_bytes(&places.to_bytes()).expect("what is written is read");
            assert!(again.iter().eq(places.iter()));
            assert_eq!(places.is_empty(), places.iter().next().is_none());
        }
        let rows = Row::read(bytes).map(Iterator::count);
        let introduced = Introduction::decode(bytes).map(|i| i.addresses().count());
        assert!(rows.as_ref().is_ok_and(|&n| n <= bytes.len()) || rows.is_err());
        assert!(introduced.as_ref().is_ok_and(|&n| n <= CONTROL_COPIES_MAX) || introduced.is_err());
        outcome(&(places.map(|_| ()), rows.map(|n| n > 0), introduced.is_ok()))
    });
}
