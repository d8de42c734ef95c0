//! The own firewall: what it drops, by what passed the network card and what the sockets saw of it.

use std::net::IpAddr;

use super::{CLOSED, SAMPLES_MIN, fault_here, finding};
use crate::protocol::doctor::{Drop, Facts, Finding, Severity, Where};
use crate::wire::probe::Way;

/// What this machine's own firewall does, by what passed the card and what the sockets saw of it.
pub(super) fn examine(facts: &Facts, all: &mut Vec<Finding>) {
    let refused = |way: Way| {
        let (taken, refused) = facts.sends[way.index()];
        refused >= SAMPLES_MIN && refused > taken
    };
    // What goes to others' own ports is not looked at.
    let unsent = |way: Way| {
        let none_went = facts.wire.is_some_and(|w| w.went[way.index()] == 0);
        way != Way::Unicast && facts.sends[way.index()].0 >= SAMPLES_MIN && none_went
    };
    let out = Way::ALL.map(|way| refused(way) || unsent(way));
    let dropped = |way: Way| {
        let came = facts.wire.map_or(0, |w| w.came[way.index()]);
        came >= SAMPLES_MIN && f64::from(facts.received[way.index()]) < f64::from(came) * CLOSED
    };
    let into = Way::ALL.map(dropped);
    let [multicast, broadcast, unicast] = [0, 1, 2];
    let no_unicast_asked = facts.sends[unicast] == (0, 0);
    if facts.ttl > 0 && out[multicast] {
        let everything = out[broadcast] && (out[unicast] || no_unicast_asked);
        let (code, what) = match everything {
            true => ("udp_blocked_out", "this machine's firewall lets no UDP out: nobody sees or hears you"),
            false => {
                ("multicast_blocked_out", "this machine's firewall lets no multicast out: nobody sees or hears you")
            }
        };
        all.push(fault_here(code, what, mend_firewall(facts, |d| !d.inwards && d.udp)));
    } else if out[unicast] {
        let text = "this machine's firewall lets no UDP out to single machines";
        all.push(fault_here("unicast_blocked_out", text, mend_firewall(facts, |d| !d.inwards && d.udp)));
    }
    let looped = facts.loopback == Some(false) && !out[multicast] && facts.ttl > 0;
    if into[multicast] || (looped && (into[broadcast] || into[unicast])) || (looped && inward(facts)) {
        let rest = [broadcast, unicast].map(|way| into[way]);
        let (code, what) = match rest {
            [true, true] => ("udp_blocked_in", "this machine's firewall lets no UDP in: you see and hear nobody"),
            [true, false] => (
                "port_blocked_in",
                "this machine's firewall closes the ports of conferences: you find none, and see and hear nobody",
            ),
            _ => ("multicast_blocked_in", "this machine's firewall lets no multicast in: you see and hear nobody"),
        };
        all.push(fault_here(code, what, mend_firewall(facts, |d| d.inwards && d.udp)));
    } else if into[unicast] {
        let text = "this machine's firewall lets nothing in that is sent to it alone: joining is slow, clocks are not compared, \
                    and pictures cannot be repaired";
        all.push(fault_here("unicast_blocked_in", text, mend_firewall(facts, |d| d.inwards && d.udp)));
    } else if looped {
        let text = "what this machine multicasts does not come back to it: others on this machine see nothing, and its \
                    firewall or a security program may drop multicast";
        all.push(finding(
            "no_loopback",
            Severity::Warning,
            Where::Here,
            text,
            Some(mend_firewall(facts, |d| d.inwards)),
        ));
    }
    igmp(facts, all);
}

/// Whether a rule that is known drops multicast on its way in.
fn inward(facts: &Facts) -> bool {
    facts.firewall.iter().flatten().any(|d| d.inwards && d.udp && (d.multicast_only || d.policy))
}

fn igmp(facts: &Facts, all: &mut Vec<Finding>) {
    let by_rule = facts.firewall.iter().flatten().any(|d| d.igmp && !d.udp);
    let unreported = facts.wire.is_some_and(|w| w.reports == 0);
    if by_rule || unreported {
        let text = "this machine's firewall drops IGMP: switches never learn what this machine wants to receive, or forget it \
                    after some minutes, and pictures and sound stop";
        all.push(fault_here("igmp_blocked", text, mend_firewall(facts, |d| d.igmp)));
    }
}

/// The command for the first rule that is of the kind, else one that fits every firewall of this system.
fn mend_firewall(facts: &Facts, of: impl Fn(&Drop) -> bool) -> String {
    let drops = facts.firewall.iter().flatten();
    // A rule meant for this goes before the policy.
    match drops.filter(|d| of(d)).min_by_key(|d| d.policy) {
        Some(found) => format!("{}     # {}", found.mend, found.text),
        None => {
            let link = facts.chosen.as_deref().unwrap_or("eth0");
            let net = subnet(facts);
            format!(
                "sudo ufw allow in on {link} proto udp from {net}; sudo ufw allow in on {link} proto igmp     # or, with \
                 firewalld: sudo firewall-cmd --zone=trusted --add-source={net}"
            )
        }
    }
}

/// The network of the chosen interface, as firewalls write it.
fn subnet(facts: &Facts) -> String {
    match facts.address {
        Some(IpAddr::V4(own)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(facts.prefix.clamp(1, 32))).unwrap_or(u32::MAX);
            format!("{}/{}", std::net::Ipv4Addr::from(u32::from(own) & mask), facts.prefix)
        }
        Some(own) => format!("{own}/{}", facts.prefix),
        None => "192.168.0.0/16".to_owned(),
    }
}
