//! What is said about files, pieces of files, and the machines that give and take them.

use std::time::Duration;

use prost::Message as _;
use roundtable::limits::{OBJECT_BLOCKS_IN_ASSEMBLY_MAX, OBJECT_NAME_BYTES_MAX, OBJECT_SYMBOL_BYTES};
use roundtable::protocol::transfer::code::{parity, whole};
use roundtable::protocol::transfer::manifest::{BLOCK_BYTES, Layout, Manifest, hash};
use roundtable::protocol::transfer::name;
use roundtable::protocol::transfer::receiver::{Incoming, Output, Source};
use roundtable::protocol::transfer::sender::Outgoing;
use roundtable::time::Timestamp;
use roundtable::wire::message::ParticipantId;
use roundtable::wire::object::{
    Accept, Decline, Done, END, KIND_ACCEPT, KIND_DECLINE, KIND_DONE, KIND_OFFER, MANIFEST, ObjectNack, Offer, Packet,
    Reason, Symbol, Want,
};

use crate::driver::{Feed, fuzz, outcome, variant};

const MEMORY: usize = 512 << 10;

fn manifest(content: &[u8]) -> Manifest {
    let hashes = content.chunks(BLOCK_BYTES).map(hash).collect();
    let (name, kind) = ("ä.txt".into(), "text/plain".into());
    Manifest { size: content.len() as u64, root: hash(content), name, kind, hashes }
}

#[test]
fn manifests() {
    let seeds =
        vec![manifest(&[]).to_bytes(), manifest(&[7; 9]).to_bytes(), manifest(&vec![7; 3 * BLOCK_BYTES]).to_bytes()];
    fuzz("manifest", MEMORY, seeds, |bytes| {
        let parsed = Manifest::parse(bytes);
        if let Ok(manifest) = &parsed {
            assert_eq!(manifest.to_bytes(), bytes, "one form only");
        }
        outcome(&parsed.map(|m| m.hashes.len().min(3)))
    });
}

#[test]
fn what_is_said_about_files() {
    let object = vec![1; 16];
    let offer = Offer {
        object: object.clone(),
        name: "a".into(),
        size: 5,
        manifest: vec![1; 32],
        manifest_bytes: 90,
        asks: vec![1, 2, 3, 4],
        ..Offer::default()
    };
    let sealed = Offer { audience: vec![1; 32], sealed: vec![2; 99], ..offer.clone() };
    let packets = [
        Packet::Offer(offer),
        Packet::Offer(sealed),
        Packet::Accept(Accept { object: object.clone(), have: vec![3; 9] }),
        Packet::Decline(Decline { object: object.clone(), reason: 2 }),
        Packet::Done(Done { object }),
    ];
    let seeds = packets.iter().map(|p| [&[p.kind()], &p.to_bytes()[..]].concat()).collect();
    fuzz("about_files", MEMORY, seeds, |bytes| {
        let Some((kind, payload)) = bytes.split_first() else { return 0 };
        let kind = [KIND_OFFER, KIND_ACCEPT, KIND_DECLINE, KIND_DONE, 14][usize::from(kind % 5)];
        let parsed = Packet::parse(kind, payload);
        if let Ok(packet) = &parsed {
            assert!(packet.object().is_some() && packet.kind() == kind);
            assert_eq!(Packet::parse(kind, &packet.to_bytes()).expect("what is written is read"), *packet);
            if let Packet::Offer(offer) = packet {
                let safe = name::safe(&offer.name);
                assert!(!safe.is_empty() && safe.len() <= OBJECT_NAME_BYTES_MAX && !safe.contains(['/', '\\', '\0']));
                assert!(safe != ".." && name::safe(&safe) == safe);
            }
        }
        outcome(&parsed.map(|p| variant(&p)).map_err(|e| variant(&e)))
    });
}

#[test]
fn symbols_and_requests_drive_both_ends() {
    let content: Vec<u8> = (0..2 * BLOCK_BYTES + 3_000).map(|n| (n / 3) as u8).collect();
    let manifest = manifest(&content).to_bytes();
    let layout = Layout { size: content.len() as u64, manifest_bytes: manifest.len() as u32 };
    let last = &content[2 * BLOCK_BYTES..];
    let last_parity = parity(last);
    let seeds = vec![vec![0; 40], (0..=255).collect(), vec![1, 0, 2, 0, 2, 1, 2, 2, 3, 4, 5, 6, 7, 8]];
    let me = ParticipantId([1; 16]);
    fuzz("transfer", 16 * BLOCK_BYTES, seeds, |bytes| {
        let mut feed = Feed(bytes);
        let mut now = Timestamp::from_millis(1_000);
        let mut incoming = Incoming::new(now, me, hash(&manifest), layout, [2; 32]);
        let mut outgoing = Outgoing::new(now, layout, [me], None);
        let (mut out, mut had, mut pieces) = (Vec::new(), 0, 0);
        while !feed.is_empty() {
            let act = feed.u8();
            now = now + Duration::from_millis(u64::from(act >> 4) * 7);
            let block = [0, 1, 2, 3, MANIFEST, END][usize::from(feed.u8() % 6)];
            let index = feed.u16() % 2_100;
            match act % 8 {
                // The true symbols of the last block and the manifest.
                0 | 1 => {
                    let index = index % 6;
                    let source = if act % 8 == 0 { last } else { &manifest };
                    let block = if act % 8 == 0 { 2 } else { MANIFEST };
                    let bytes = match source.chunks(OBJECT_SYMBOL_BYTES).nth(usize::from(index)) {
                        Some(bytes) => whole(bytes).into_owned(),
                        None if block == 2 => {
                            last_parity[usize::from(index - 3) * OBJECT_SYMBOL_BYTES..][..OBJECT_SYMBOL_BYTES].to_vec()
                        }
                        None => continue,
                    };
                    incoming.heard(now, 1, u64::from(index) + 1);
                    incoming.symbol(now, Source::Group, &Symbol { tag: [0; 8], block, index, bytes: &bytes }, &mut out);
                }
                // Whatever somebody makes up.
                2 => {
                    let bytes = if block == END { &[][..] } else { &[9; OBJECT_SYMBOL_BYTES][..] };
                    let from = if act & 8 == 0 { Source::Group } else { Source::Fetched };
                    incoming.heard(now, feed.u64(), feed.u64().max(1));
                    incoming.symbol(now, from, &Symbol { tag: [0; 8], block, index, bytes }, &mut out);
                }
                3 => {
                    let wants = vec![Want { block, deficit: u32::from(index).max(1) }; usize::from(act >> 4)];
                    let (loss_permille, packets) = (u32::from(index) % 1_001, u32::from(index));
                    let nack = ObjectNack {
                        wants,
                        loss_permille,
                        packets,
                        blocks: 9,
                        alone: act & 8 != 0,
                        ..ObjectNack::default()
                    };
                    incoming.overheard(now, &nack);
                    outgoing.nack(now, &me, &nack);
                }
                4 => incoming.timeout(now, &mut out),
                5 => {
                    let id = ParticipantId([feed.u8() % 3; 16]);
                    match feed.u8() % 5 {
                        0 => outgoing.accepted(now, id, feed.bytes(2)),
                        1 => outgoing.done(now, id),
                        2 => outgoing.declined(now, id, Reason::from_wire(act.into())),
                        3 => outgoing.left(now, &id),
                        _ => outgoing.came(now, id),
                    }
                }
                6 => {
                    for _ in 0..50 {
                        let Some(piece) = outgoing.next(now) else { break };
                        pieces += 1;
                        assert!(piece.block == END || usize::from(piece.index) < layout.symbols(piece.block) + 1_024);
                    }
                    outgoing.offer(now);
                }
                _ => incoming.lost(block.min(2)),
            }
            for output in out.drain(..) {
                match output {
                    Output::Block(block, bytes) => {
                        had += 1;
                        let start = block as usize * BLOCK_BYTES;
                        assert!(
                            content[start..start + layout.bytes(block)] == bytes,
                            "what comes out is what was offered"
                        );
                    }
                    Output::Nack(nack) => {
                        let same = ObjectNack::parse(&nack.encode_to_vec());
                        assert_eq!(same.expect("what one says others take"), nack);
                    }
                    _ => {}
                }
            }
            assert!(incoming.next_timeout().is_none() == incoming.is_complete());
        }
        assert!(incoming.in_assembly() <= OBJECT_BLOCKS_IN_ASSEMBLY_MAX + 1);
        outcome(&(had.min(3), pieces.min(1), incoming.have().count(), incoming.manifest().is_some()))
    });
}
