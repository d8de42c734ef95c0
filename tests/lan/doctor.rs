//! The doctor names what is wrong. Each fault of the table is put into a LAN of its own, in which two people hold a
//! conference; the doctor runs on a third machine.

use crate::common::lan::{Lan, SWITCH};
use crate::common::peer::{PROGRAM, Peer, SOON, private};
use crate::common::sandbox::{beside, sandboxed, sh};
use crate::common::wire::{Damage, Wire};
use roundtable::protocol::doctor::{Came, ReplyTo, Responder};
use roundtable::time::{NtpTime, Timestamp};
use roundtable::wire::address::{DISCOVERY_PORT, Family, Scope};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Names the fault for the run in a sandbox of its own.
const FAULT: &str = "TEST_DOCTOR_FAULT";
/// LANs at a time.
const AT_ONCE: usize = 4;
/// The longest the doctor may take.
const EXAMINED_WITHIN: Duration = Duration::from_secs(15);

/// What is there before the fault.
struct Bench {
    lan: Lan,
    /// On hosts 2 and 3.
    people: Vec<Peer>,
    /// Kept while the fault lasts.
    wires: Vec<Wire>,
}

struct Fault {
    name: &'static str,
    /// Code of the first finding; empty: there is none.
    code: &'static str,
    /// Where the cause lies: "here", "network" or "peer".
    place: &'static str,
    /// Makes the fault; gives more arguments for the doctor.
    make: fn(&mut Bench) -> Vec<&'static str>,
}

/// Host 1 is the doctor's.
const FAULTS: &[Fault] = &[
    fault("nothing", "", "", |_| vec![]),
    fault("nothing, in a conference that is named", "", "", |_| vec!["Standup"]),
    fault("nothing, in a conference that may pass routers", "", "", |b| {
        b.people.clear();
        let start =
            |h, name| Peer::start(b.lan.command(h, PROGRAM), name, name, &[&QUIET[..], &["--scope", "site"]].concat());
        b.people = vec![start(2, "Bob"), start(3, "Cyd")];
        vec![]
    }),
    fault("nothing, in a conference of IPv6 that is named", "", "", |b| {
        b.people.clear();
        let start = |h, name| Peer::start(b.lan.command(h, PROGRAM), name, name, &[&QUIET[..], &["--ipv6"]].concat());
        b.people = vec![start(2, "Bob"), start(3, "Cyd")];
        vec!["Cyd"]
    }),
    fault("no interface", "no_interface", "here", |_| {
        sh("ip -n h1 link del eth0");
        vec![]
    }),
    fault("interface down", "interface_down", "here", |_| {
        sh("ip -n h1 link set eth0 down");
        vec![]
    }),
    fault("cable pulled", "no_carrier", "here", |b| {
        b.lan.cable(1, false);
        vec![]
    }),
    fault("no address", "no_address", "here", |_| {
        sh("ip -n h1 addr flush dev eth0");
        vec![]
    }),
    fault("wrong interface chosen", "wrong_interface", "here", |_| {
        second_network();
        vec!["--interface", "eth1"]
    }),
    fault("people on two networks", "two_networks", "here", |b| {
        second_network();
        // Host 3 changes over to the other network.
        sh("ip link set p3 nomaster && ip link set p3 master br1 && ip -n h3 addr flush dev eth0 && \
            ip -n h3 addr add 10.78.0.3/24 brd + dev eth0 && ip -n h3 route add 224.0.0.0/4 dev eth0");
        b.people[1] = Peer::start(b.lan.command(3, PROGRAM), "Cyd", "Retro", &QUIET);
        vec![]
    }),
    fault("multicast blocked in", "multicast_blocked_in", "here", |_| {
        nft(1, "input", "ip daddr 224.0.0.0/4 udp dport > 0 drop")
    }),
    fault("multicast blocked out", "multicast_blocked_out", "here", |_| {
        nft(1, "output", "ip daddr 224.0.0.0/4 udp dport > 0 drop")
    }),
    fault("IGMP dropped", "igmp_blocked", "here", |_| {
        nft(1, "output", "ip protocol igmp drop");
        nft(1, "input", "ip protocol igmp drop")
    }),
    fault("port blocked in", "port_blocked_in", "here", |_| nft(1, "input", "udp dport 20478 drop")),
    fault("unicast blocked in", "unicast_blocked_in", "here", |_| {
        nft(1, "input", "meta l4proto udp ip daddr 10.77.0.1 drop")
    }),
    fault("all UDP blocked in", "udp_blocked_in", "here", |_| nft(1, "input", "meta l4proto udp drop")),
    fault("all UDP blocked out", "udp_blocked_out", "here", |_| nft(1, "output", "meta l4proto udp drop")),
    fault("a firewall that lets in nothing unasked", "udp_blocked_in", "here", |_| {
        sh(
            "ip netns exec h1 nft 'add table inet f; add chain inet f input { type filter hook input priority 0; policy drop; }; \
            add rule inet f input iifname lo accept; add rule inet f input ip protocol igmp accept'",
        );
        vec![]
    }),
    fault("TTL 0", "ttl_zero", "here", |_| vec!["--ttl", "0"]),
    fault("duplicate address", "duplicate_address", "here", |_| {
        sh("ip -n h3 addr add 10.77.0.1/24 dev eth0");
        vec![]
    }),
    fault("MTU 1000", "mtu", "here", |_| {
        sh("ip -n h1 link set eth0 mtu 1000");
        vec![]
    }),
    fault("MTU 1000 at one of the others", "mtu_path", "peer", |_| {
        sh("ip -n h2 link set eth0 mtu 1000");
        vec![]
    }),
    fault("tiny receive buffer", "receive_buffer", "here", |_| vec!["small buffer"]),
    fault("camera missing", "camera_missing", "here", |_| vec!["--camera", "7"]),
    fault("microphone missing", "microphone_missing", "here", |_| vec!["--microphone", "Nobody's"]),
    fault("multicast blocked in at one of the others", "multicast_out", "peer", |_| {
        nft(2, "input", "ip daddr 224.0.0.0/4 udp dport > 0 drop")
    }),
    fault("multicast blocked out at one of the others", "multicast_in", "peer", |_| {
        nft(2, "output", "ip daddr 224.0.0.0/4 udp dport > 0 drop")
    }),
    fault("all UDP blocked in at the only other", "udp_one_way", "network", |b| {
        b.people.truncate(1);
        nft(2, "input", "meta l4proto udp drop")
    }),
    fault("loss of 10 %", "loss", "here", |_| nft(1, "input", "numgen random mod 100 < 10 drop")),
    fault("loss of 30 % to one", "loss", "peer", |_| nft(2, "input", "numgen random mod 100 < 30 drop")),
    fault("bursts of loss", "loss", "here", |b| wire(b, Damage { burst: Some((0.02, 4.0)), ..Damage::default() })),
    fault("delay of 60 ms", "delay", "here", |b| {
        wire(b, Damage { delay: Duration::from_millis(30), ..Damage::default() })
    }),
    fault("a link of 1 Mb/s", "slow_link", "here", |_| {
        sh("ip netns exec h1 tc qdisc add dev eth0 root tbf rate 1mbit burst 4kb limit 100kb");
        vec![]
    }),
    fault("snooping without a querier", "no_querier", "network", |_| {
        // The switch keeps what it knows and asks nobody any more; a bridge without a querier of its own would flood.
        sh(
            "nft 'add table netdev q; add chain netdev q out { type filter hook egress devices = { p1, p2, p3 } priority 0; }; \
            add rule netdev q out igmp type membership-query drop'",
        );
        vec![]
    }),
    fault("somebody killed", "peer_not_running", "peer", |b| {
        b.people[1].signal("KILL");
        vec!["--peer", "10.77.0.3"]
    }),
    fault("somebody's machine switched off", "peer_absent", "peer", |b| {
        b.lan.cable(3, false);
        vec!["--peer", "10.77.0.3"]
    }),
    fault("somebody's clock an hour off", "clock", "peer", |_| {
        std::thread::spawn(|| answer_from_another_time(3_600.0));
        vec![]
    }),
    fault("a conference that is not there", "no_conference", "network", |b| {
        b.people.clear();
        vec!["Standup"]
    }),
    fault("no right to look", "not_permitted", "here", |_| vec!["no rights"]),
];

/// Faults of which the doctor must name the cause: all but two, however many there are.
const MISSED_MAX: usize = 2;

const QUIET: [&str; 4] = ["--camera", "none", "--microphone", "none"];

const fn fault(
    name: &'static str,
    code: &'static str,
    place: &'static str,
    make: fn(&mut Bench) -> Vec<&'static str>,
) -> Fault {
    Fault { name, code, place, make }
}

fn nft(host: usize, hook: &str, rule: &str) -> Vec<&'static str> {
    sh(&format!(
        "ip netns exec h{host} nft 'add table inet t; \
         add chain inet t {hook} {{ type filter hook {hook} priority 0; }}; add rule inet t {hook} {rule}'"
    ));
    vec![]
}

fn wire(bench: &mut Bench, damage: Damage) -> Vec<&'static str> {
    let wire = Wire::into(1);
    wire.set(damage);
    bench.wires.push(wire);
    vec![]
}

/// Another switch, to which host 1 is connected by its second interface.
fn second_network() {
    sh("ip link add br1 type bridge && ip link set br1 up && ip link add s1 type veth peer name eth1 netns h1 && \
        ip link set s1 master br1 up && ip -n h1 link set eth1 up && ip -n h1 addr add 10.78.0.1/24 brd + dev eth1");
}

/// Answers probes from the switch as a machine would whose clock is `ahead_s` ahead.
fn answer_from_another_time(ahead_s: f64) {
    let group = Scope::Link.discovery(Family::V4);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("socket");
    socket.set_reuse_address(true).expect("shared port");
    socket.bind(&SocketAddr::from(([0, 0, 0, 0], DISCOVERY_PORT)).into()).expect("bound");
    let (IpAddr::V4(address), switch) = (group.ip(), SWITCH) else { panic!("IPv4") };
    socket.join_multicast_v4(&address, &switch).expect("joined");
    let shared = UdpSocket::from(socket);
    let own = UdpSocket::bind((SWITCH, 0)).expect("own socket");
    let start = Instant::now();
    let mut responder = Responder::new(4_711, None);
    let (mut bytes, mut reply) = ([0; 1_500], Vec::new());
    for socket in [&shared, &own] {
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("timeout");
    }
    loop {
        for (socket, unicast) in [(&shared, false), (&own, true)] {
            // Everything that waits, so that a burst is not held up.
            while let Ok((length, source)) = socket.recv_from(&mut bytes) {
                let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
                let wall = NtpTime::from_unix(unix + Duration::from_secs_f64(ahead_s));
                let came = Came { unicast, source, arrived: wall };
                let now = Timestamp(start.elapsed().as_nanos() as u64);
                let replies = responder.handle((now, wall), came, 1, &bytes[..length], &mut reply);
                for to in replies.into_iter().flatten() {
                    let to = if to == ReplyTo::Asker { source } else { group };
                    let _ = own.send_to(&reply, to);
                }
            }
        }
    }
}

/// A library that grants sockets less than they ask for, as a system with another limit does; the limit itself is one for
/// the whole machine.
fn small_buffers(folder: &std::path::Path) -> std::path::PathBuf {
    let (source, library) = (folder.join("small.c"), folder.join("small.so"));
    let code = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <sys/socket.h>\n\
        int setsockopt(int s, int l, int o, const void *v, socklen_t n) {\n\
        static int (*real)(int, int, int, const void *, socklen_t);\n\
        if (!real) real = dlsym(RTLD_NEXT, \"setsockopt\");\n\
        int small = 32768;\n\
        if (l == SOL_SOCKET && (o == SO_RCVBUF || o == SO_RCVBUFFORCE)) return real(s, l, SO_RCVBUF, &small, sizeof small);\n\
        return real(s, l, o, v, n);\n}\n";
    std::fs::write(&source, code).expect("written");
    sh(&format!("cc -shared -fPIC -o {} {} -ldl", library.display(), source.display()));
    library
}

/// Runs the doctor on host 1; what it reports, its exit code, and how long it took.
fn examine(bench: &Bench, arguments: &[&str]) -> (Value, Option<i32>, Duration) {
    let home = tempfile::tempdir().expect("temporary folder");
    let unprivileged = arguments.contains(&"no rights");
    let mut command = bench.lan.command(1, if unprivileged { "setpriv" } else { PROGRAM });
    if unprivileged {
        command.args(["--bounding-set=-all", "--inh-caps=-all", PROGRAM]);
    }
    command.args(["doctor", "--json"]);
    for (option, none) in [("--camera", "none"), ("--microphone", "none"), ("--speaker", "none")] {
        if !arguments.contains(&option) {
            command.args([option, none]);
        }
    }
    private(&mut command, &home);
    if arguments.contains(&"small buffer") {
        command.env("LD_PRELOAD", small_buffers(home.path()));
    }
    command.args(arguments.iter().filter(|a| !["no rights", "small buffer"].contains(a)));
    let began = Instant::now();
    let ran = command.stdin(Stdio::null()).output().expect("start the doctor");
    let took = began.elapsed();
    let report = serde_json::from_slice(&ran.stdout).unwrap_or_else(|e| {
        panic!("no report: {e}: {}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    });
    (report, ran.status.code(), took)
}

#[test]
fn the_doctor_names_the_right_cause() {
    let (waiting, results) = (Mutex::new(FAULTS.iter().collect::<Vec<_>>()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(fault) = { waiting.lock().expect("lock").pop() } {
                    let Some((right, text)) = beside("doctor::one_fault", (FAULT, fault.name)) else { return };
                    results.lock().expect("lock").push((fault.name, right, text));
                }
            });
        }
    });
    let results = results.into_inner().expect("lock");
    if results.is_empty() {
        println!("SKIPPED: no namespaces can be made here");
        return;
    }
    let wrong: Vec<_> = results.iter().filter(|(_, right, _)| !right).collect();
    for (name, _, text) in &wrong {
        println!("-- {name}: not named\n{text}");
    }
    for (_, _, text) in &results {
        text.lines().filter(|line| line.starts_with("> ")).for_each(|line| println!("{line}"));
    }
    println!("{} of {} causes named", results.len() - wrong.len(), results.len());
    assert_eq!(results.len(), FAULTS.len());
    assert!(wrong.len() <= MISSED_MAX, "{} of {} causes are not named", wrong.len(), FAULTS.len());
}

/// One row of the table, in its sandbox.
#[test]
#[ignore = "the test above runs it for each fault"]
fn one_fault() {
    let Ok(name) = std::env::var(FAULT) else { return };
    let fault = FAULTS.iter().find(|f| f.name == name).expect("a fault of the table");
    sandboxed("doctor::one_fault", || {
        let lan = Lan::up(3);
        let ada = Peer::start(lan.command(2, PROGRAM), "Ada", "Standup", &QUIET);
        let mut bob = Peer::join(lan.command(3, PROGRAM), "Bob", "Standup", &QUIET);
        bob.await_joined();
        let mut bench = Bench { lan, people: vec![ada, bob], wires: Vec::new() };
        let arguments = (fault.make)(&mut bench);
        let (report, exit, took) = examine(&bench, &arguments);
        let first = &report["findings"][0];
        let found = first["code"].as_str().unwrap_or_default();
        println!(
            "\n> {:45} {found:22} {:.1} s  {}",
            fault.name,
            took.as_secs_f64(),
            first["text"].as_str().unwrap_or("-")
        );
        assert!(
            found == fault.code && (fault.code.is_empty() || first["where"] == fault.place),
            "{}: {} {} expected: {report:#}",
            fault.name,
            fault.code,
            fault.place
        );
        assert!(took < EXAMINED_WITHIN, "{}: the doctor took {took:?}", fault.name);
        let is_fault = first["severity"] == "fault";
        assert_eq!(exit, Some(if is_fault { 4 } else { 0 }), "{}", fault.name);
        assert_eq!(report["ok"], !is_fault);
    });
}

/// Two machines without any conference.
#[test]
fn two_doctors_find_each_other_when_no_conference_runs() {
    sandboxed("doctor::two_doctors_find_each_other_when_no_conference_runs", || {
        let lan = Lan::up(2);
        let home = tempfile::tempdir().expect("temporary folder");
        let mut listening = lan.command(2, PROGRAM);
        private(&mut listening, &home);
        let mut child = listening.args(["doctor", "--listen"]).stderr(Stdio::piped()).spawn().expect("start it");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
        let first = lines.next().expect("it says that it listens").expect("a line");
        assert!(first.starts_with("answering doctors"), "{first}");
        let bench = Bench { lan, people: Vec::new(), wires: Vec::new() };
        let (report, exit, _) = examine(&bench, &[]);
        assert_eq!((exit, &report["findings"]), (Some(0), &Value::Array(Vec::new())), "{report:#}");
        let peer = &report["peers"][0];
        assert_eq!(peer["address"], "10.77.0.2");
        assert!(
            peer["unicast"]["arrived"].as_u64() >= Some(95) && peer["multicast"]["came"].as_u64() >= Some(20),
            "{peer}"
        );
        let asked = lines.next().expect("it says who asks").expect("a line");
        assert!(asked.starts_with("10.77.0.1 "), "{asked}");
        sh(&format!("kill -TERM {}", child.id()));
        assert!(child.wait().expect("end").success());
    });
}

#[test]
fn a_member_learns_why_somebody_is_not_seen() {
    sandboxed("doctor::a_member_learns_why_somebody_is_not_seen", || {
        let lan = Lan::up(2);
        let mut ada = Peer::start(lan.command(1, PROGRAM), "Ada", "Standup", &["--microphone", "none"]);
        let bob = Peer::join(lan.command(2, PROGRAM), "Bob", "Standup", &["--microphone", "none"]);
        ada.await_stats(SOON, "sees Bob", |s| s.frames_shown("Bob") > 5.0);
        bob.await_stats(SOON, "sees Ada", |s| s.frames_shown("Ada") > 5.0);
        ada.tell(&serde_json::json!({"do": "doctor", "who": "Bob"}));
        let (_, event) = ada.await_event(SOON, |e| e["event"] == "doctor");
        assert!(event["ok"] == true && event["about"] == "Bob" && event["peers"][0]["name"] == "Bob", "{event:#}");
        nft(1, "input", "ip daddr 224.0.0.0/4 udp dport > 0 drop");
        // Nobody asks: the pictures stop.
        let (_, event) = ada.await_event(2 * SOON, |e| e["event"] == "doctor");
        let first = &event["findings"][0];
        assert!(first["code"] == "multicast_blocked_in" && first["where"] == "here", "{event:#}");
        ada.tell(&serde_json::json!({"do": "doctor", "who": "Nobody"}));
        ada.await_event(SOON, |e| e["event"] == "notice" && e["text"] == "nobody here is called Nobody");
    });
}
