//! What the doctor reads: probes and answers, packets on the card, the firewall's report.

use roundtable::device::firewall;
use roundtable::limits::{DATAGRAM_BYTES_MAX, PROBE_PEERS_MAX};
use roundtable::protocol::doctor::{Came, Facts, Prober, ReplyTo, Responder, examine};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::message::ConferenceId;
use roundtable::wire::probe::{self, ANSWER_BYTES, Answer, Datagram, PROBE_BYTES_MIN, Probe, Way};

use crate::driver::{Feed, fuzz, outcome, variant};

const MEMORY: usize = 64 << 10;
const WALL: NtpTime = NtpTime(1 << 60);

fn samples() -> Vec<Vec<u8>> {
    let conference = Some(ConferenceId([3; 16]));
    let mut all = Vec::new();
    for way in Way::ALL {
        let mut bytes = Vec::new();
        Probe { run: 7, number: 1, way, origin: WALL.0, aside: true, conference }.write(0, &mut bytes);
        all.push(bytes.clone());
        let answer = Answer {
            run: 7,
            number: 1,
            way,
            origin: WALL.0,
            receive: WALL.0 + 5,
            transmit: WALL.0 + 6,
            instance: 9,
            heard: [1, 1, 1],
            conference,
        };
        answer.write(&mut bytes);
        all.push(bytes);
    }
    all
}

#[test]
fn probes_and_answers() {
    fuzz("probe", MEMORY, samples(), |bytes| {
        let parsed = probe::parse(bytes);
        let mut again = Vec::new();
        match &parsed {
            Ok(Datagram::Probe(probe)) => {
                assert!((PROBE_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&bytes.len()));
                probe.write(bytes.len(), &mut again);
            }
            Ok(Datagram::Answer(answer)) => {
                assert_eq!(bytes.len(), ANSWER_BYTES);
                answer.write(&mut again);
            }
            Err(_) => return outcome(&parsed.map_err(|e| variant(&e))),
        }
        assert_eq!(probe::parse(&again).expect("what was read can be written"), *parsed.as_ref().expect("read"));
        outcome(&parsed.map_err(|_| ()))
    });
}

#[test]
fn responders() {
    fuzz("probe", MEMORY, samples(), |bytes| {
        let mut responder = Responder::new(5, Some(ConferenceId([3; 16])));
        let mut reply = Vec::new();
        let mut result = 0;
        for (unicast, people) in [(false, 1), (true, 1), (false, 5_000)] {
            let came = Came { unicast, source: ([10, 0, 0, 1], 5).into(), arrived: WALL };
            let replies = responder.handle((Timestamp(1), WALL), came, people, bytes, &mut reply);
            let answered = replies.iter().flatten().count();
            assert!(answered * ANSWER_BYTES <= bytes.len(), "more comes back than was asked");
            let spread = replies.iter().flatten().filter(|to| **to != ReplyTo::Asker).count();
            assert!(spread <= usize::from(!unicast));
            result = result * 4 + answered as u64;
        }
        result
    });
}

/// Answers of strangers, in the order and number that the input says; whatever they claim, the report can be judged.
#[test]
fn probers() {
    let seeds = samples().into_iter().map(|sample| [vec![0, 1, 0, 4], sample].concat()).collect();
    fuzz("prober", 256 << 10, seeds, |bytes| {
        let mut feed = Feed(bytes);
        let mut now = Timestamp::from_millis(1_000);
        let mut prober = Prober::new(now, 7, 1, None, &[]);
        while !feed.is_empty() {
            now = now.offset(i64::from(feed.u16()) * 1_000_000);
            let (way, port) = (Way::ALL[usize::from(feed.u8()) % 3], u16::from(feed.u8()));
            let mut sent = 0;
            prober.timeout(now, WALL, |_, _| sent += 1);
            assert!(sent <= 2 * 30 + 16 * 144, "{sent} at once");
            prober.handle(now, WALL, way, ([10, 0, 0, 2], port).into(), feed.bytes(ANSWER_BYTES));
            assert!(prober.peers().len() <= PROBE_PEERS_MAX);
        }
        let facts = Facts { peers: prober.peers(), ttl: 1, ..Facts::default() };
        for path in facts.peers.iter().flat_map(|p| p.paths) {
            assert!(path.reached <= path.sent && path.came <= path.answered, "{path:?}");
        }
        outcome(&examine(&facts).iter().map(|f| f.code).collect::<Vec<_>>())
    });
}

#[test]
fn reports_of_firewalls() {
    let nft = br#"{"nftables":[{"chain":{"family":"inet","table":"t","name":"c","hook":"input","policy":"drop"}},{"rule":{"family":"inet","table":"t","chain":"c","handle":4,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":{"prefix":{"addr":"224.0.0.0","len":4}}}},{"jump":{"target":"d"}},{"drop":null}]}}]}"#;
    let old = b":INPUT DROP [0:0]\n-A INPUT -p udp -m udp --dport 20478 -j DROP\n-A OUTPUT -d 224.0.0.0/4 -j REJECT\n";
    fuzz("firewall", 512 << 10, vec![nft.to_vec(), old.to_vec()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let rules = firewall::nft(&text);
        let more = firewall::iptables(&text);
        for rule in rules.iter().flatten().chain(&more) {
            assert!(rule.mend.starts_with("sudo ") && (rule.udp || rule.igmp), "{rule:?}");
        }
        outcome(&(rules.map(|r| r.len()), more.len()))
    });
}
