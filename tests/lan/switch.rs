//! The LAN of the other tests is what they take it for.

use crate::common::lan::{Lan, SWITCH};
use crate::common::poll;
use crate::common::sandbox::{sandboxed, sh};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 0, 1);
const PACKET: [u8; 1_000] = [0; 1_000];
const PACKETS: u64 = 200;

#[test]
fn the_switch_brings_a_group_to_those_who_joined_it() {
    sandboxed("switch::the_switch_brings_a_group_to_those_who_joined_it", || {
        let lan = Lan::up(3);
        sh(&format!("ip -n h1 addr add {GROUP}/32 dev eth0 autojoin"));
        let socket = UdpSocket::bind((SWITCH, 0)).expect("socket of the switch");
        let send = || {
            let before = [1, 2, 3].map(|h| lan.counters(h).to_host);
            for _ in 0..PACKETS {
                socket.send_to(&PACKET, (GROUP, 9)).expect("send");
            }
            let whole = PACKETS * PACKET.len() as u64;
            let after = [1, 2, 3].map(|h| lan.counters(h).to_host);
            println!("of {whole} bytes: {before:?} -> {after:?}");
            [0, 1, 2].map(|i| (after[i] - before[i]) as f64 / whole as f64)
        };
        let joined = poll(Duration::from_secs(5), || {
            let [h1, h2, h3] = send();
            assert!(h2 < 0.01 && h3 < 0.01, "ports that joined nothing carry {h2} and {h3} of the traffic");
            (h1 > 1.0).then_some(())
        });
        assert!(joined.is_some(), "the port that joined carries nothing");
        lan.cable(1, false);
        assert!(send()[0] < 0.01, "a pulled cable carries nothing");
        lan.cable(1, true);
        let healed = poll(Duration::from_secs(15), || (send()[0] > 1.0).then_some(()));
        assert!(healed.is_some(), "the group comes back with the cable");
    });
}
