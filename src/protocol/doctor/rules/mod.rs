//! From facts to findings: one function for each thing that may be wrong, the more certain and more specific first.

mod firewall;

use std::net::IpAddr;

use super::{Device, Facts, Finding, Host, Link, Path, Peer, Severity, Where};
use crate::limits::{DATAGRAM_BYTES_MAX, RTP_PACKET_BYTES_MAX};
use crate::wire::probe::Way;

/// Datagrams of a way from which on its silence means something.
const SAMPLES_MIN: u32 = 5;
/// A way on which less than this share arrives is closed, not lossy.
const CLOSED: f64 = 0.1;
/// Share lost that is told, and the fewest datagrams that may be it.
const LOSS: f64 = 0.03;
const LOST_MIN: f64 = 4.0;
/// Least round trip that no wire and no quiet Wi-Fi takes, milliseconds.
const DELAY_MS: f64 = 30.0;
/// A burst that comes through slower than this carries no video, Mb/s.
const RATE_MBIT: f64 = 3.0;
/// Clocks further apart than this show wrong times.
const CLOCK_S: f64 = 2.0;
/// Receive buffer below which whole pictures are lost, and below which some are, bytes.
const BUFFER_FAULT: usize = 128 << 10;
const BUFFER_WARNING: usize = 1 << 20;
/// Every link of IPv6 carries packets of this size; tunnels come near it.
const MTU_FAULT: usize = 1_280;
/// IPv4 and UDP.
const HEADERS: usize = 28;

/// Everything that is wrong or worth knowing, the worst first.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    if interface(facts, &mut all) {
        ttl(facts, &mut all);
        duplicate(facts, &mut all);
        firewall::examine(facts, &mut all);
        let here = all.iter().any(|f| f.severity == Severity::Fault);
        elsewhere(facts, &mut all);
        nobody(facts, here, &mut all);
        silent(facts, &mut all);
        querier(facts, &mut all);
        closed(facts, here, &mut all);
        quality(facts, &mut all);
        mtu(facts, &mut all);
        mute(facts, &mut all);
        clocks(facts, &mut all);
        wireless(facts, &mut all);
        unseen(facts, &mut all);
    }
    buffer(facts, &mut all);
    devices(facts, &mut all);
    // Stable: within one severity the more certain stays first.
    all.sort_by_key(|f| f.severity);
    all
}

fn finding(
    code: &'static str,
    severity: Severity,
    place: Where,
    text: impl Into<String>,
    mend: Option<String>,
) -> Finding {
    Finding { code, severity, place, text: text.into(), mend }
}

fn fault_here(code: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Finding {
    finding(code, Severity::Fault, Where::Here, text, Some(mend.into()))
}

/// Whether there is an interface that can be judged further.
fn interface(facts: &Facts, all: &mut Vec<Finding>) -> bool {
    let usable = |l: &&Link| l.up && l.carrier && !l.addresses.is_empty();
    if facts.link().is_some_and(|l| usable(&l)) {
        return true;
    }
    if facts.links.is_empty() {
        let text = "this machine has no network interface but its loopback: it can confer with nobody else";
        all.push(fault_here("no_interface", text, "ip link       # is the adapter plugged in, and its driver loaded?"));
        return false;
    }
    // The one named, else the one that lacks least.
    let rank = |l: &&Link| (l.software, !l.up, !l.carrier, l.addresses.is_empty());
    let Some(link) = facts.link().or_else(|| facts.links.iter().min_by_key(rank)) else {
        return false;
    };
    let name = &link.name;
    if !link.up {
        let text = format!("the network interface {name} is switched off");
        all.push(fault_here("interface_down", text, format!("sudo ip link set {name} up")));
    } else if !link.carrier {
        let (what, mend) = if link.wireless {
            ("is connected to no Wi-Fi network", "nmcli device wifi list    # and connect to one")
        } else {
            ("has no link: no cable, or nothing switched on at its other end", "plug the cable in at both ends")
        };
        all.push(fault_here("no_carrier", format!("{name} {what}"), mend));
    } else {
        let text = format!("{name} is connected and has no address: nobody assigned one, as DHCP does");
        let mend = format!("sudo dhclient {name}     # or set one: sudo ip addr add 192.168.1.10/24 dev {name}");
        all.push(fault_here("no_address", text, mend));
    }
    if let Some(other) = facts.links.iter().find(|l| l.name != *name && usable(l)) {
        let text = format!("{} is connected and has an address", other.name);
        let mend = Some(format!("roundtable join --interface {}", other.name));
        all.push(finding("other_interface", Severity::Note, Where::Here, text, mend));
    }
    false
}

fn ttl(facts: &Facts, all: &mut Vec<Finding>) {
    if facts.ttl == 0 {
        let text = "the TTL is set to 0: what this machine multicasts never leaves it";
        let mend = "leave --ttl, `ttl` in the settings file and ROUNDTABLE_TTL out, or set 1";
        all.push(fault_here("ttl_zero", text, mend));
    }
}

fn duplicate(facts: &Facts, all: &mut Vec<Finding>) {
    if let (Some(mac), Some(own)) = (&facts.duplicate, facts.address) {
        let text =
            format!("another machine ({mac}) uses this machine's address {own}: what is sent to one reaches the other");
        let link = facts.chosen.as_deref().unwrap_or("the interface");
        let mend = format!("give one of them another address: sudo dhclient -r {link}; sudo dhclient {link}");
        all.push(fault_here("duplicate_address", text, mend));
    }
}

/// People on another interface than the one in use.
fn elsewhere(facts: &Facts, all: &mut Vec<Finding>) {
    let Some((other, address, count)) = facts.elsewhere.iter().max_by_key(|(_, _, count)| *count) else {
        return;
    };
    let own = facts.chosen.as_deref().unwrap_or("this one");
    let mend = format!("roundtable join --interface {other}     # or `interface = \"{other}\"` in the settings file");
    if facts.answering().next().is_none() {
        let text = format!("the others are on another network: {count} answer on {other} ({address}), nobody on {own}");
        all.push(fault_here("wrong_interface", text, mend));
    } else {
        let text = format!(
            "this machine is in two networks with people in both: a conference uses {own}, and those on {other} ({address}) are \
             not in it"
        );
        all.push(finding("two_networks", Severity::Warning, Where::Here, text, Some(mend)));
    }
}

fn nobody(facts: &Facts, here: bool, all: &mut Vec<Finding>) {
    if facts.answering().next().is_some() || !facts.elsewhere.is_empty() {
        return missing(facts, all);
    }
    let link = facts.chosen.as_deref().unwrap_or("the interface");
    if !facts.heard_of.is_empty() && !here {
        let who = facts.heard_of.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "{who} can be heard, and nothing this machine sends arrives there: the firewall there, or a switch or access point \
             between, lets UDP pass in one direction only"
        );
        let mend = "on the other machine: sudo roundtable doctor     # and allow UDP in from this network".to_owned();
        all.push(finding("udp_one_way", Severity::Fault, Where::Network, text, Some(mend)));
    } else if let Some(sought) = facts.sought.as_ref().filter(|s| !s.found && !here) {
        let text = format!("no conference \"{}\" answers on {link}", sought.title);
        let mend = "roundtable list     # is it the same network, and is the conference still there?".to_owned();
        all.push(finding("no_conference", Severity::Fault, Where::Network, text, Some(mend)));
    } else if facts.peers.is_empty() && !here {
        let text = format!("nobody answers on {link}: what passes to others and back was not measured");
        let mend = "roundtable doctor --listen     # on another machine, then this one again".to_owned();
        all.push(finding("alone", Severity::Note, Where::Network, text, Some(mend)));
    }
}

/// A conference of more people than answer.
fn missing(facts: &Facts, all: &mut Vec<Finding>) {
    let Some(sought) = facts.sought.as_ref().filter(|s| s.found) else { return };
    let answering = facts.answering().count();
    if (answering as u32) < sought.people {
        let text = format!("\"{}\" has {} people, {answering} of whom answer", sought.title, sought.people);
        let mend = Some("roundtable doctor --peer ADDRESS     # of somebody who is missing".to_owned());
        all.push(finding("some_silent", Severity::Warning, Where::Network, text, mend));
    }
}

/// Those asked for by address who do not answer.
fn silent(facts: &Facts, all: &mut Vec<Finding>) {
    for peer in facts.peers.iter().filter(|p| p.silent) {
        let who = peer.label();
        let at = peer.address.ip();
        let (code, text, mend) = match peer.host {
            Host::Absent => (
                "peer_absent",
                format!(
                    "no machine with the address {at} is on this network: {who} is switched off, unplugged or elsewhere"
                ),
                format!("ping {at}     # and look at that machine's cable and address"),
            ),
            Host::Refuses => (
                "peer_not_running",
                format!("the machine of {who} is there, and Roundtable does not run on it: it has ended or crashed"),
                "on that machine: roundtable join".to_owned(),
            ),
            Host::Present | Host::Unknown => (
                "peer_silent",
                format!("{who} does not answer: the program has ended there, or a firewall drops UDP"),
                "on that machine: sudo roundtable doctor".to_owned(),
            ),
        };
        all.push(finding(code, Severity::Fault, Where::Peer(who), text, Some(mend)));
    }
}

fn querier(facts: &Facts, all: &mut Vec<Finding>) {
    let Some(wire) = facts.wire else { return };
    // Who tells no switch what is wanted is not asked either.
    if wire.queries > 0 || all.iter().any(|f| f.code == "igmp_blocked") {
        return;
    }
    let text = "no switch or router here asks who wants which multicast (no IGMP querier was heard)";
    match facts.floods() {
        Some(true) => {
            let text = format!(
                "{text}; the switch sends all multicast to everybody, so it works, at the cost of everybody's link"
            );
            all.push(finding("flooding", Severity::Note, Where::Network, text, None));
        }
        snooping => {
            let sure = if snooping == Some(false) { "and the switch snoops" } else { "and the switch may snoop" };
            let text = format!(
                "{text}, {sure}: pictures and sound stop after some minutes, when the switch forgets who wanted them"
            );
            let severity = if snooping == Some(false) { Severity::Fault } else { Severity::Warning };
            let mend = "switch the IGMP snooping querier on in the switch or router; for a trial: sudo ip link add name br0 type \
                        bridge mcast_querier 1"
                .to_owned();
            all.push(finding("no_querier", severity, Where::Network, text, Some(mend)));
        }
    }
}

fn is_closed(sent: u32, arrived: u32) -> bool {
    sent >= SAMPLES_MIN && f64::from(arrived) < f64::from(sent) * CLOSED
}

fn is_open(sent: u32, arrived: u32) -> bool {
    sent >= SAMPLES_MIN && !is_closed(sent, arrived)
}

/// What is sent that way does not reach the peer.
fn deaf(peer: &Peer, way: Way) -> bool {
    let Path { sent, reached, .. } = peer.path(way);
    is_closed(sent, reached)
}

/// What the peer sends back that way does not come.
fn dumb(peer: &Peer, way: Way) -> bool {
    let Path { answered, came, .. } = peer.path(way);
    is_closed(answered, came)
}

/// Ways on which nothing passes to or from a peer while something else does.
fn closed(facts: &Facts, here: bool, all: &mut Vec<Finding>) {
    // What the own firewall or the missing querier explains is not said again of everybody.
    if here || all.iter().any(|f| f.code == "no_querier" && f.severity == Severity::Fault) {
        return;
    }
    push_closed(
        facts,
        "multicast_out",
        |p| deaf(p, Way::Multicast),
        all,
        |who| {
            format!(
                "what this machine multicasts does not arrive at {who}, and other packets do: they see and hear nothing of you"
            )
        },
    );
    push_closed(
        facts,
        "multicast_in",
        |p| dumb(p, Way::Multicast),
        all,
        |who| {
            format!(
                "what {who} multicasts does not arrive here, and other packets do: you see and hear nothing of them"
            )
        },
    );
    let unicast = |p: &Peer| (deaf(p, Way::Unicast) || dumb(p, Way::Unicast)) && !deaf(p, Way::Multicast);
    push_closed(facts, "unicast_closed", unicast, all, |who| {
        format!(
            "packets between this machine and {who} alone are dropped on the way, and multicast passes: joining is slow, and \
                 pictures cannot be repaired"
        )
    });
}

fn push_closed(
    facts: &Facts,
    code: &'static str,
    holds: impl Fn(&Peer) -> bool,
    all: &mut Vec<Finding>,
    text: impl FnOnce(&str) -> String,
) {
    let concerned: Vec<String> = facts.answering().filter(|p| holds(p)).map(Peer::label).collect();
    if concerned.is_empty() {
        return;
    }
    let who = concerned.join(", ");
    let text = text(&who);
    let (place, mend) = match (concerned.len(), facts.answering().count()) {
        (1, 2..) => {
            (Where::Peer(who), "on that machine: sudo roundtable doctor     # its firewall, or its switch port")
        }
        _ => (
            Where::Network,
            "sudo roundtable doctor on the other machine, for its firewall; and look at the switch or access point: its IGMP \
             snooping, its isolation of clients",
        ),
    };
    all.push(finding(code, Severity::Fault, place, text, Some(mend.to_owned())));
}

/// Share lost of what goes to the peer or of what comes from it, whichever is larger, on the ways that are open.
fn loss(peer: &Peer) -> Option<f64> {
    let there = peer.paths.map(|p| (p.sent, p.reached));
    let back = peer.paths.map(|p| (p.answered, p.came));
    let of = |ways: [(u32, u32); 3]| {
        let open = ways.into_iter().filter(|&(sent, arrived)| is_open(sent, arrived));
        let (sent, arrived) = open.fold((0, 0), |sum, way| (sum.0 + way.0, sum.1 + way.1));
        let lost = f64::from(sent.saturating_sub(arrived));
        (lost >= LOST_MIN && lost >= f64::from(sent) * LOSS).then(|| lost / f64::from(sent))
    };
    [of(there), of(back)].into_iter().flatten().reduce(f64::max)
}

/// Who of those measured has it: everybody (and there are several), one or some of several, or the only one.
fn whose(facts: &Facts, has: impl Fn(&Peer) -> bool) -> Option<(Where, String)> {
    let concerned: Vec<&Peer> = facts.answering().filter(|p| has(p)).collect();
    let names = concerned.iter().map(|p| p.label()).collect::<Vec<_>>().join(", ");
    match (concerned.len(), facts.answering().count()) {
        (0, _) => None,
        (1, 1) => Some((Where::Network, format!("between this machine and {names}"))),
        (1, _) => Some((Where::Peer(names.clone()), format!("between this machine and {names}, and to nobody else"))),
        (some, every) if some == every => Some((Where::Here, "between this machine and everybody".to_owned())),
        _ => Some((Where::Network, format!("between this machine and {names}"))),
    }
}

fn cable(place: &Where) -> String {
    match place {
        Where::Here => "look at this machine's cable, Wi-Fi and switch port     # ip -s link shows errors".to_owned(),
        Where::Peer(who) => format!("look at the cable, Wi-Fi and switch port of {who}"),
        Where::Network => "look at the cables, Wi-Fi and switch ports of both     # ip -s link shows errors".to_owned(),
    }
}

fn quality(facts: &Facts, all: &mut Vec<Finding>) {
    let slow = |p: &Peer| p.rate_mbit.is_some_and(|rate| rate < RATE_MBIT);
    if let Some((place, between)) = whose(facts, slow) {
        let rate = facts.answering().filter_map(|p| p.rate_mbit).fold(f64::INFINITY, f64::min);
        let text = format!("only {rate:.1} Mb/s get through {between}: too little for video");
        let mend = cable(&place);
        all.push(finding("slow_link", Severity::Fault, place, text, Some(mend)));
        // Loss and delay of a full link are no causes of their own.
        return;
    }
    if let Some((place, between)) = whose(facts, |p| loss(p).is_some()) {
        let worst = facts.answering().filter_map(loss).fold(0.0, f64::max) * 100.0;
        let text = format!("{worst:.0} % of the packets are lost {between}: pictures break and words are missing");
        let mend = cable(&place);
        all.push(finding("loss", Severity::Fault, place, text, Some(mend)));
    }
    let late = |p: &Peer| p.delay_ms.is_some_and(|ms| ms >= DELAY_MS);
    if let Some((place, between)) = whose(facts, late) {
        let worst = facts.answering().filter_map(|p| p.delay_ms).fold(0.0, f64::max);
        let text = format!(
            "a packet takes {worst:.0} ms there and back {between}: this is no local network, or it is overloaded"
        );
        let mend = "is a VPN, a tunnel or a bad Wi-Fi between? use another interface: roundtable join --interface NAME"
            .to_owned();
        all.push(finding("delay", Severity::Fault, place, text, Some(mend)));
    }
}

fn mtu(facts: &Facts, all: &mut Vec<Finding>) {
    let Some(link) = facts.link() else { return };
    let needed = RTP_PACKET_BYTES_MAX + HEADERS;
    let name = &link.name;
    if link.mtu > 0 && link.mtu < needed {
        let text = format!(
            "{name} carries packets of {} bytes at most, and those of a conference have up to {}: they are cut in pieces, and a \
             picture is lost when one piece is",
            link.mtu,
            DATAGRAM_BYTES_MAX + HEADERS
        );
        let severity = if link.mtu < MTU_FAULT { Severity::Fault } else { Severity::Warning };
        let mend = Some(format!("sudo ip link set {name} mtu 1500"));
        all.push(finding("mtu", severity, Where::Here, text, mend));
        return;
    }
    let cut = |p: &Peer| {
        let Path { sent, reached, answered, came } = p.path(Way::Unicast);
        let passes = is_open(sent, reached) && is_open(answered, came) && loss(p).is_none_or(|lost| lost < 0.5);
        passes && p.large.is_some_and(|share| share < CLOSED)
    };
    if let Some((place, between)) = whose(facts, cut) {
        let text = format!(
            "small packets pass {between}, those as large as video's do not: something on the way has a small MTU"
        );
        let mend =
            "sudo ip link set eth0 mtu 1500     # on the machine or device with the smaller one: ip link".to_owned();
        all.push(finding("mtu_path", Severity::Fault, place, text, Some(mend)));
    }
}

/// People whose pictures or sound are announced and do not come, though everything else is well.
fn mute(facts: &Facts, all: &mut Vec<Finding>) {
    for peer in facts.answering().filter(|p| p.mute) {
        if all.iter().any(|f| f.severity == Severity::Fault) {
            return;
        }
        let who = peer.label();
        let text = format!(
            "{who} says that pictures or sound are sent, packets pass both ways, and none come: the switch has forgotten the \
             group, or the program there hangs"
        );
        let mend = Some("leave and join again, both of you".to_owned());
        all.push(finding("stream_silent", Severity::Fault, Where::Peer(who), text, mend));
    }
}

fn clocks(facts: &Facts, all: &mut Vec<Finding>) {
    let off = |p: &Peer| p.clock_s.is_some_and(|s| s.abs() >= CLOCK_S);
    let Some((place, _)) = whose(facts, off) else { return };
    let worst =
        facts.answering().filter_map(|p| p.clock_s).fold(0.0, |w: f64, s| if s.abs() > w.abs() { s } else { w });
    let by = match worst.abs() {
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} hours", s / 3_600.0),
    };
    let text = match &place {
        Where::Here => {
            format!("this machine's clock is {by} away from everybody else's: lines of the chat bear wrong times")
        }
        Where::Peer(who) => {
            format!("the clock of {who} is {by} away from the others': lines of the chat bear wrong times")
        }
        Where::Network => {
            format!("the clocks of this machine and the other are {by} apart: lines of the chat bear wrong times")
        }
    };
    let mend = Some("sudo timedatectl set-ntp true     # on the machine whose clock is wrong: date".to_owned());
    all.push(finding("clock", Severity::Warning, place, text, mend));
}

fn wireless(facts: &Facts, all: &mut Vec<Finding>) {
    if let Some(link) = facts.link().filter(|l| l.wireless) {
        let text = format!("{} is Wi-Fi: multicast is slow there and not repeated when it is lost", link.name);
        let mend = Some("use a cable where you can".to_owned());
        all.push(finding("wifi", Severity::Warning, Where::Here, text, mend));
    } else if let Some(link) = facts.link().filter(|l| l.software) {
        let text = format!("{} is no real network card: a container, a virtual machine or a VPN", link.name);
        let mend = Some("roundtable devices     # and --interface NAME for another".to_owned());
        all.push(finding("virtual_interface", Severity::Warning, Where::Here, text, mend));
    }
}

/// What could not be looked at.
fn unseen(facts: &Facts, all: &mut Vec<Finding>) {
    if facts.wire.is_none() {
        let text = "looking at the network card is not permitted: whether there is an IGMP querier, whether the switch floods, and \
                    whether another machine has the same address are not known";
        let mend = Some("sudo roundtable doctor".to_owned());
        all.push(finding("not_permitted", Severity::Note, Where::Here, text, mend));
    }
}

fn buffer(facts: &Facts, all: &mut Vec<Finding>) {
    let Some(granted) = facts.buffer.filter(|b| *b < BUFFER_WARNING) else { return };
    let limit = facts.buffer_max.map_or(String::new(), |max| format!(" (net.core.rmem_max is {max})"));
    let severity = if granted < BUFFER_FAULT { Severity::Fault } else { Severity::Warning };
    let text = format!(
        "the system keeps {} KiB of what has arrived{limit}, less than one large picture: when this machine is busy pictures are \
         lost",
        granted >> 10
    );
    let mend = "sudo sysctl -w net.core.rmem_max=4194304     # and in /etc/sysctl.d/ to keep it".to_owned();
    all.push(finding("receive_buffer", severity, Where::Here, text, Some(mend)));
}

fn devices(facts: &Facts, all: &mut Vec<Finding>) {
    let rows = [
        ("camera", "camera_missing", &facts.camera, "nobody sees you"),
        ("microphone", "microphone_missing", &facts.microphone, "nobody hears you"),
        ("speaker", "speaker_missing", &facts.speaker, "you hear nobody"),
    ];
    for (what, code, device, so) in rows {
        let mend = Some(format!("roundtable devices     # lists them; --{what} none does without"));
        match device {
            Device::Missing(wanted, there) => {
                let others =
                    if there.is_empty() { "there is none".into() } else { format!("there is {}", there.join(", ")) };
                let text = format!("there is no {what} \"{wanted}\" ({others}): {so}");
                all.push(finding(code, Severity::Fault, Where::Here, text, mend));
            }
            Device::None => {
                let text = format!("no {what} was found: {so}");
                all.push(finding(code, Severity::Warning, Where::Here, text, mend));
            }
            Device::Found(_) | Device::Unasked => {}
        }
    }
}
