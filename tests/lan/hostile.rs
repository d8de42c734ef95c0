//! Hostile bytes on every port of a running conference: random ones, real packets cut short, altered or sent again,
//! real packets of one port on another, and well-formed headers with nonsense behind them.
//!
//! `HOSTILE_PACKETS` sets how many (the usual number is small enough for every run), `TEST_SEED` which.

use crate::common::lan::{Lan, SWITCH};
use crate::common::peer::{CAMERA_FPS, PROGRAM, Peer, SOON, await_all_meet, windows};
use crate::common::poll;
use crate::common::random::Random;
use crate::common::sandbox::sandboxed;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const PACKETS: usize = 150_000;
/// So many go out at once, and then a breath is taken: a flood would only fill the receive buffers.
const BURST: usize = 64;
const BREATH: Duration = Duration::from_millis(4);

/// So long all groups are overheard: beacons come each two seconds, announcements each five.
const SAMPLING: Duration = Duration::from_secs(6);
/// Real packets kept to be altered, for each port.
const SAMPLES: usize = 64;
/// How often a recording is played.
const REPLAYS: usize = 20;
const DATAGRAM_MAX: usize = 1_472;

/// By so much may the memory of a participant grow, whatever it is sent.
const MEMORY_GROWTH_MAX: u64 = 24 << 20;

/// A port that a participant has open, and packets that belong on it.
struct Target {
    address: SocketAddrV4,
    samples: Vec<Vec<u8>>,
}

#[test]
fn hostile_bytes_on_every_port_change_nothing() {
    sandboxed("hostile::hostile_bytes_on_every_port_change_nothing", || {
        let lan = Lan::up(2);
        let mut peers = [
            Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &[]),
            Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &[]),
        ];
        await_all_meet(&[&peers[0], &peers[1]]);
        let names = peers[0].stats().map(|s| s.names());
        let memory: Vec<u64> = peers.iter().map(|p| p.memory_bytes("VmRSS")).collect();

        let mut targets = sampled(&open_ports(&lan, 2));
        let sampled = targets.iter().filter(|t| !t.samples.is_empty()).count();
        println!("{} ports, real packets from {sampled}", targets.len());
        assert!(sampled >= 3, "control, picture and sound can be overheard");
        let packets = std::env::var("HOSTILE_PACKETS").ok().and_then(|n| n.parse().ok()).unwrap_or(PACKETS);
        let mut random = Random::seeded();
        bombard(&mut targets, packets, &mut random);
        for listener in open_listeners(&lan, 2) {
            connect_with_nonsense(listener, &mut random);
        }

        for (peer, before) in peers.iter_mut().zip(memory) {
            assert!(peer.runs(), "{} has ended", peer.name);
            let most = peer.memory_bytes("VmHWM");
            println!("{}: {} kB before, {} kB at most", peer.name, before >> 10, most >> 10);
            assert!(most < before + MEMORY_GROWTH_MAX, "{} grew from {before} to {most} bytes", peer.name);
        }
        recovers(&peers[0], &peers[1]);
        assert_eq!(peers[0].stats().map(|s| s.names()), names, "nobody came in by nonsense");
    });
}

/// Forged packets may spoil pictures while they come; afterwards everything is as before.
fn recovers(ada: &Peer, bob: &Peer) {
    let whole = poll(SOON, || {
        let window = windows(&[ada, bob], 3.0);
        let shares = [
            window[0].shown_share("Bob", &window[1], CAMERA_FPS),
            window[1].shown_share("Ada", &window[0], CAMERA_FPS),
        ];
        println!("shown afterwards: {shares:.3?}");
        shares.iter().all(|s| *s >= 0.97).then_some(())
    });
    assert!(whole.is_some(), "the conference does not recover");
}

/// UDP addresses open on so many hosts, as somebody else on the LAN reaches them.
pub fn open_ports(lan: &Lan, hosts: usize) -> Vec<SocketAddrV4> {
    (1..=hosts).flat_map(|h| sockets(lan, h, "udp", None)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// TCP addresses that so many hosts accept connections at.
pub fn open_listeners(lan: &Lan, hosts: usize) -> Vec<SocketAddrV4> {
    const LISTEN: &str = "0A";
    (1..=hosts).flat_map(|h| sockets(lan, h, "tcp", Some(LISTEN))).collect()
}

/// Reads `/proc/net/udp` or `tcp` of host `h`: local address in network byte order as hexadecimal, a colon, the port.
fn sockets(lan: &Lan, h: usize, protocol: &str, state: Option<&str>) -> Vec<SocketAddrV4> {
    let table = lan.command(h, "cat").arg(format!("/proc/net/{protocol}")).output().expect("start cat").stdout;
    let parse = |line: &str| -> Option<SocketAddrV4> {
        let mut fields = line.split_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        if state.is_some_and(|wanted| fields.nth(1) != Some(wanted)) {
            return None;
        }
        let bound = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let reached = if bound.is_unspecified() { Lan::address(h) } else { bound };
        (!reached.is_loopback()).then_some(SocketAddrV4::new(reached, u16::from_str_radix(port, 16).ok()?))
    };
    String::from_utf8_lossy(&table).lines().skip(1).filter_map(parse).collect()
}

/// What was overheard of a conference on hosts 1 and 2.
pub struct Recording(Vec<Target>);

impl Recording {
    pub fn of(lan: &Lan) -> Recording {
        let recording = Recording(sampled(&open_ports(lan, 2)));
        let heard = recording.0.iter().filter(|t| !t.samples.is_empty()).count();
        assert!(heard >= 3, "control, picture and sound can be overheard");
        recording
    }

    /// Plays it back, several times over; how many packets that were.
    pub fn replay(&self) -> usize {
        let socket = UdpSocket::bind((SWITCH, 0)).expect("socket of the switch");
        let mut sent = 0;
        for _ in 0..REPLAYS {
            for (target, sample) in self.0.iter().flat_map(|t| t.samples.iter().map(move |s| (t, s))) {
                let _ = socket.send_to(sample, target.address);
                sent += 1;
                if sent % BURST == 0 {
                    std::thread::sleep(BREATH);
                }
            }
        }
        sent
    }
}

/// Overhears the packets of all groups at once for a while.
fn sampled(addresses: &[SocketAddrV4]) -> Vec<Target> {
    let mut heard: Vec<(Target, Option<UdpSocket>)> = addresses.iter().map(|&address| overhear(address)).collect();
    let end = Instant::now() + SAMPLING;
    let mut buffer = [0; 2_048];
    while Instant::now() < end {
        std::thread::sleep(BREATH);
        for (target, socket) in &mut heard {
            let Some(socket) = socket else { continue };
            while let Ok(length) = socket.recv(&mut buffer) {
                if target.samples.len() < SAMPLES {
                    target.samples.push(buffer[..length].to_vec());
                }
            }
        }
    }
    heard.into_iter().map(|(target, _)| target).collect()
}

/// A socket in the group, if it is one.
fn overhear(address: SocketAddrV4) -> (Target, Option<UdpSocket>) {
    let socket = address.ip().is_multicast().then(|| {
        let socket = UdpSocket::bind(address).expect("a port of the switch's own");
        socket.join_multicast_v4(address.ip(), &SWITCH).expect("join");
        socket.set_nonblocking(true).expect("a mode");
        socket
    });
    (Target { address, samples: Vec::new() }, socket)
}

fn bombard(targets: &mut [Target], packets: usize, random: &mut Random) {
    let socket = UdpSocket::bind((SWITCH, 0)).expect("socket of the switch");
    let mut bytes = Vec::new();
    for sent in 0..packets {
        let at = sent % targets.len();
        forge(targets, at, random, &mut bytes);
        // A host may answer with ICMP that a port is closed; the next call then reports it.
        let _ = socket.send_to(&bytes, targets[at].address);
        if sent % BURST == BURST - 1 {
            std::thread::sleep(BREATH);
        }
    }
}

/// One hostile packet for the target at `at`.
fn forge(targets: &[Target], at: usize, random: &mut Random, out: &mut Vec<u8>) {
    let elsewhere = random.below(targets.len());
    let pool = if random.below(8) == 0 { &targets[elsewhere].samples } else { &targets[at].samples };
    let length = random.below(DATAGRAM_MAX + 1);
    if pool.is_empty() || random.below(4) == 0 {
        random.fill(out, length);
        if length >= 12 && random.below(2) == 0 {
            // RTP and RTCP with payload types that are in use, or the first byte of a sealed datagram.
            let types = [26, 26 | 0x80, 111, 200, 202, 203];
            (out[0], out[1]) = if random.below(3) == 0 {
                (b'L', 0x11)
            } else {
                (0x80 | (out[0] & 0x3f), types[random.below(types.len())])
            };
        }
        return;
    }
    out.clear();
    out.extend_from_slice(&pool[random.below(pool.len())]);
    match random.below(4) {
        0 => out.truncate(random.below(out.len() + 1)),
        1 => {
            // The headers are where it matters.
            let at = random.below(out.len().clamp(1, 48));
            if let Some(byte) = out.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        2 => {
            for _ in 0..=random.below(8) {
                let bit = random.below(out.len().max(1) * 8);
                if let Some(byte) = out.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
        // As it was: an echo from the past.
        _ => {}
    }
}

fn connect_with_nonsense(listener: SocketAddrV4, random: &mut Random) {
    let mut bytes = Vec::new();
    for _ in 0..50 {
        let Ok(mut stream) = TcpStream::connect_timeout(&listener.into(), Duration::from_secs(2)) else { continue };
        let length = random.below(20_000);
        random.fill(&mut bytes, length);
        // The other end is free to hang up.
        let _ = stream.write_all(&bytes);
    }
}
