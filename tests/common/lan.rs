//! A LAN of network namespaces around a switch that snoops IGMP.
//!
//! ```text
//!   h1 eth0 10.77.0.1 ── p1 ┐
//!   h2 eth0 10.77.0.2 ── p2 ┤ br0 10.77.0.254: the switch, with snooping and a querier,
//!   ..                      ┘ in the sandbox's own namespace, where the test itself runs
//! ```
//! Only inside a [`sandbox`](super::sandbox), which is also what takes it away.

use super::poll;
use super::sandbox::sh;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

/// The switch's own address: what the test process sends from.
pub const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// A group and port that nobody joins.
const NOBODYS_GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 77, 77, 77), 9);

/// Hosts are numbered from 1.
pub struct Lan {
    hosts: usize,
}

/// What a port of the switch has passed, as the switch counts it.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Bytes from the switch to the host.
    pub to_host: u64,
    /// Bytes from the host to the switch.
    pub from_host: u64,
}

impl Lan {
    /// Builds the LAN and returns once its switch keeps multicast from those who did not join.
    pub fn up(hosts: usize) -> Lan {
        // The intervals first, the querier second: a bridge floods for one response interval (by default 10 s) after
        // the querier is switched on, and takes the interval in force at that moment. Times are hundredths of a second.
        sh("ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 1 mcast_igmp_version 3 \
            mcast_query_interval 1000 mcast_query_response_interval 100 mcast_startup_query_interval 100 \
            mcast_startup_query_count 3 mcast_last_member_interval 50 mcast_membership_interval 2600 && \
            ip link set br0 type bridge mcast_querier 1");
        sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/br0/disable_ipv6");
        sh(&format!("ip link set br0 up && ip addr add {SWITCH}/24 brd + dev br0 && ip route add 224.0.0.0/4 dev br0"));
        let mut script = String::from("set -e\n");
        for h in 1..=hosts {
            let address = Self::address(h);
            let _ = write!(
                script,
                "ip netns add h{h}\n\
                 ip netns exec h{h} sh -c 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'\n\
                 ip link add p{h} type veth peer name eth0 netns h{h}\n\
                 ip link set p{h} master br0 up\n\
                 ip -n h{h} link set lo up\n\
                 ip -n h{h} link set eth0 up\n\
                 ip -n h{h} addr add {address}/24 brd + dev eth0\n\
                 ip -n h{h} route add 224.0.0.0/4 dev eth0\n"
            );
        }
        sh(&script);
        let lan = Lan { hosts };
        lan.await_snooping();
        lan
    }

    /// As [`up`](Self::up), with IPv6 on every host, and without IPv4 addresses where `only` holds.
    pub fn up_ipv6(hosts: usize, only: impl Fn(usize) -> bool) -> Lan {
        let lan = Self::up(hosts);
        // Addresses are usable at once: nobody else can have them.
        let enable = |of: &str| {
            format!(
                "echo 0 > /proc/sys/net/ipv6/conf/{of}/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/{of}/disable_ipv6"
            )
        };
        sh(&enable("br0"));
        for h in 1..=hosts {
            sh(&format!("ip netns exec h{h} sh -c '{}; {}'", enable("lo"), enable("eth0")));
            if only(h) {
                sh(&format!("ip -n h{h} -4 addr flush dev eth0"));
            }
        }
        let socket = UdpSocket::bind("[::]:0").expect("socket of the switch");
        lan.await_quiet(|| {
            let sent = socket.send_to(&[0; 1_000], ("ff15::77:77", NOBODYS_GROUP.1));
            sent.expect("send to a group");
        });
        lan
    }

    /// The address of host `h`.
    pub fn address(h: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, u8::try_from(h).expect("few hosts"))
    }

    /// A command that runs on host `h`; its process id is the program's own.
    pub fn command(&self, h: usize, program: &str) -> Command {
        assert!((1..=self.hosts).contains(&h), "no host {h}");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("h{h}"), program]);
        command
    }

    /// Pulls the cable of host `h`, or plugs it in; the host sees its carrier go and come.
    pub fn cable(&self, h: usize, plugged: bool) {
        sh(&format!("ip link set p{h} {}", if plugged { "up" } else { "down" }));
    }

    /// What has passed the port of host `h` so far.
    pub fn counters(&self, h: usize) -> Counters {
        // From `ip`, which asks the kernel of this namespace; /sys is a mount of the machine's.
        let shown = sh(&format!("ip -s -j link show p{h}"));
        let parsed: serde_json::Value = serde_json::from_str(&shown).expect("JSON of ip");
        let bytes = |side: &str| parsed[0]["stats64"][side]["bytes"].as_u64().expect("counter of ip");
        Counters { to_host: bytes("tx"), from_host: bytes("rx") }
    }

    /// Host `h` loses so many percent of the datagrams that come to it from now on, and no others.
    pub fn lose(&self, h: usize, percent: usize) {
        sh(&format!(
            "ip netns exec h{h} nft -f - <<'END'\n\
             table ip lossy\ndelete table ip lossy\n\
             table ip lossy {{ chain input {{ type filter hook input priority 0; \
             meta l4proto udp numgen random mod 100 < {percent} drop; }}; }}\nEND"
        ));
    }

    /// The switch forgets within half a minute who listens, because nobody on this LAN hears its queries: they are dropped
    /// before they reach the hosts. Its querier stays on, without which it would flood.
    pub fn drop_queries(&self) {
        sh("ip link set br0 type bridge mcast_membership_interval 3000");
        for h in 1..=self.hosts {
            let rules = "table inet deaf { chain in { type filter hook input priority 0; \
                         igmp type membership-query drop; icmpv6 type mld-listener-query drop; }; }";
            sh(&format!("echo '{rules}' | ip netns exec h{h} nft -f -"));
        }
    }

    /// Puts a router between host `h` and the others, which forwards unicast and the groups of site scope. The host is at
    /// 10.78.0.`h` then. The router ends with the sandbox.
    pub fn behind_router(&self, h: usize) {
        sh(&format!(
            "ip netns add rt && ip link add pr type veth peer name eth0 netns rt && ip link set pr master br0 up && \
             ip link set pr type bridge_slave mcast_router 2 && ip link set p{h} nomaster && ip link set p{h} netns rt && \
             ip -n rt link set p{h} name eth1 && ip -n rt link set lo up && ip -n rt link set eth0 up && \
             ip -n rt link set eth1 up && ip -n rt addr add 10.77.0.253/24 dev eth0 && \
             ip -n rt addr add 10.78.0.253/24 dev eth1 && \
             ip netns exec rt sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; \
             for i in all eth0 eth1; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done'"
        ));
        for near in (1..=self.hosts).filter(|&near| near != h) {
            self.ip(near, "route add 10.78.0.0/24 via 10.77.0.253");
        }
        self.ip(h, "addr flush dev eth0");
        self.ip(h, &format!("addr add 10.78.0.{h}/24 brd + dev eth0"));
        self.ip(h, "route replace 224.0.0.0/4 dev eth0");
        self.ip(h, "route add default via 10.78.0.253");
        std::fs::write(
            "/run/smcroute.conf",
            "phyint eth0 enable\nphyint eth1 enable\nmroute from eth0 group 239.0.0.0/8 to eth1\n\
             mroute from eth1 group 239.0.0.0/8 to eth0\n",
        )
        .expect("a file in the sandbox");
        sh("ip netns exec rt smcrouted -N -f /run/smcroute.conf -i rt -P /run/smcroute.pid -u /run/smcroute.sock");
    }

    /// As [`behind_router`](Self::behind_router), over IPv6 alone: the host is at fd78::`h` then, the others at fd77::, and
    /// nobody has IPv4. For a LAN of [`up_ipv6`](Self::up_ipv6) without IPv4.
    pub fn behind_router_ipv6(&self, h: usize) {
        let quick = "for i in all eth0 eth1; do echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad; \
                     echo 0 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
        sh(&format!(
            "ip netns add rt && ip link add pr type veth peer name eth0 netns rt && ip link set pr master br0 up && \
             ip link set pr type bridge_slave mcast_router 2 && ip link set p{h} nomaster && ip link set p{h} netns rt && \
             ip -n rt link set p{h} name eth1 && ip netns exec rt sh -c '{quick}' && ip -n rt link set lo up && \
             ip -n rt link set eth0 up && ip -n rt link set eth1 up && \
             ip -n rt addr add fd77::fd/64 dev eth0 nodad && ip -n rt addr add fd78::fd/64 dev eth1 nodad"
        ));
        for near in (1..=self.hosts).filter(|&near| near != h) {
            self.ip(near, &format!("addr add fd77::{near:x}/64 dev eth0 nodad"));
            self.ip(near, "route add fd78::/64 via fd77::fd");
        }
        self.ip(h, &format!("addr add fd78::{h:x}/64 dev eth0 nodad"));
        self.ip(h, "route add fd77::/64 via fd78::fd");
        std::fs::write(
            "/run/smcroute.conf",
            "phyint eth0 enable\nphyint eth1 enable\nmroute from eth0 group ff15::/16 to eth1\n\
             mroute from eth1 group ff15::/16 to eth0\n",
        )
        .expect("a file in the sandbox");
        sh("ip netns exec rt smcrouted -N -f /run/smcroute.conf -i rt -P /run/smcroute.pid -u /run/smcroute.sock");
    }

    /// Lets a firewall on host `h` drop what comes in and is described so.
    pub fn drop_incoming(&self, h: usize, what: &[&str]) {
        let rules: String = what.iter().map(|what| format!("{what} drop; ")).collect();
        let table = format!("table inet dropped {{ chain in {{ type filter hook input priority 0; {rules} }}; }}");
        sh(&format!("echo '{table}' | ip netns exec h{h} nft -f -"));
    }

    /// Lets in again what [`drop_incoming`](Self::drop_incoming) drops.
    pub fn accept_incoming(&self, h: usize) {
        sh(&format!("ip netns exec h{h} nft delete table inet dropped"));
    }

    /// Runs `ip` on host `h`.
    pub fn ip(&self, h: usize, arguments: &str) {
        sh(&format!("ip -n h{h} {arguments}"));
    }

    /// Sends to a group nobody joined until none of it comes out of a port.
    fn await_snooping(&self) {
        let socket = UdpSocket::bind((SWITCH, 0)).expect("socket of the switch");
        self.await_quiet(|| {
            socket.send_to(&[0; 1_000], NOBODYS_GROUP).expect("send to a group");
        });
    }

    /// Sends again and again until a port gets none of it.
    fn await_quiet(&self, send: impl Fn()) {
        let in_force = poll(Duration::from_secs(20), || {
            let before = self.counters(1).to_host;
            (0..20).for_each(|_| send());
            (self.counters(1).to_host - before < 5_000).then_some(())
        });
        assert!(in_force.is_some(), "the switch floods: snooping is not in force");
    }
}
