//! What this machine's firewall drops, by its own report: `nft -j list ruleset`, else `iptables-save`. Both need rights.
//!
//! Only rules that drop what a conference needs are told, with the command that takes them away. Rules with conditions that
//! are not understood (a state, a rate, one source) are left out: what really is dropped, the probes show.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::limits::SYSTEM_REPORT_BYTES_MAX;

/// A rule, or a policy for what no rule accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropping {
    /// On the way in; else out.
    pub inwards: bool,
    /// UDP is concerned.
    pub udp: bool,
    /// IGMP is concerned.
    pub igmp: bool,
    /// Only what goes to a group.
    pub multicast_only: bool,
    /// What happens to whatever no rule accepts.
    pub policy: bool,
    /// In words.
    pub text: String,
    /// The command that takes it away, or makes an exception.
    pub mend: String,
}

/// What is dropped; `None` when the firewall may not be read.
pub fn read() -> Option<Vec<Dropping>> {
    let tables = ["nft", "/usr/sbin/nft", "/sbin/nft"].iter().find_map(|nft| report(nft, &["-j", "list", "ruleset"]));
    let old = ["iptables-save", "/usr/sbin/iptables-save"].iter().find_map(|save| report(save, &[]));
    let of_tables = tables.and_then(|text| nft(&text));
    let of_old = old.map(|text| iptables(&text));
    match (of_tables, of_old) {
        (None, None) => None,
        (first, second) => {
            let mut all = first.unwrap_or_default();
            // Newer systems show the same rules both ways.
            let more = if all.is_empty() { second.unwrap_or_default() } else { Vec::new() };
            all.extend(more);
            Some(all)
        }
    }
}

/// What a command prints; `None` when it fails or prints too much.
fn report(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut text = String::new();
    let limit = SYSTEM_REPORT_BYTES_MAX as u64 + 1;
    let whole = child.stdout.take().is_some_and(|out| out.take(limit).read_to_string(&mut text).is_ok());
    let fits = text.len() <= SYSTEM_REPORT_BYTES_MAX;
    if !fits {
        // It still writes.
        let _ = child.kill();
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    (whole && fits && succeeded).then_some(text)
}

type Chain = (String, String, String);

fn chain_of(value: &Value, name: &str) -> Chain {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    (text("family"), text("table"), text(name))
}

/// Reads the report of nft; `None` when it is none.
pub fn nft(text: &str) -> Option<Vec<Dropping>> {
    let report: Value = serde_json::from_str(text).ok()?;
    let items = report["nftables"].as_array()?;
    // Chains that see what comes in (true) or goes out, those they jump to among them.
    let mut ways: BTreeMap<Chain, BTreeSet<bool>> = BTreeMap::new();
    let mut found = Vec::new();
    for chain in items.iter().filter_map(|item| item.get("chain")) {
        let inwards = match chain["hook"].as_str() {
            Some("input" | "prerouting" | "ingress") => true,
            Some("output" | "postrouting" | "egress") => false,
            _ => continue,
        };
        let key = chain_of(chain, "name");
        if chain["policy"] == "drop" {
            found.push(policy(&key, inwards));
        }
        ways.entry(key).or_default().insert(inwards);
    }
    let rules: Vec<&Value> = items.iter().filter_map(|item| item.get("rule")).collect();
    // Jumps lead at most as deep as there are rules.
    for _ in 0..16 {
        let before = ways.values().map(BTreeSet::len).sum::<usize>();
        for rule in &rules {
            let from = ways.get(&chain_of(rule, "chain")).cloned().unwrap_or_default();
            for target in expressions(rule).filter_map(|e| e.get("jump").or(e.get("goto"))) {
                let (family, table, _) = chain_of(rule, "chain");
                let to = (family, table, target["target"].as_str().unwrap_or_default().to_owned());
                ways.entry(to).or_default().extend(&from);
            }
        }
        if ways.values().map(BTreeSet::len).sum::<usize>() == before {
            break;
        }
    }
    for rule in rules {
        let key = chain_of(rule, "chain");
        for &inwards in ways.get(&key).into_iter().flatten() {
            found.extend(dropping(rule, &key, inwards));
        }
    }
    Some(found)
}

fn expressions(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["expr"].as_array().into_iter().flatten()
}

fn policy((family, table, chain): &Chain, inwards: bool) -> Dropping {
    let mend = match (table.as_str(), chain.as_str()) {
        (_, c) if c.contains("ufw") => "sudo ufw allow proto udp from 192.168.0.0/16     # your own network".to_owned(),
        ("firewalld", _) => "sudo firewall-cmd --zone=trusted --change-interface=eth0     # your own".to_owned(),
        _ => format!("sudo nft insert rule {family} {table} {chain} meta l4proto {{ udp, igmp }} accept"),
    };
    let text = format!("the policy of chain {chain} in table {family} {table} is to drop");
    Dropping { inwards, udp: true, igmp: true, multicast_only: false, policy: true, text, mend }
}

/// The rule, if it drops something a conference needs.
fn dropping(rule: &Value, (family, table, chain): &Chain, inwards: bool) -> Option<Dropping> {
    if !expressions(rule).any(|e| e.get("drop").is_some() || e.get("reject").is_some()) {
        return None;
    }
    let mut found = Dropping { inwards, udp: true, igmp: true, ..Dropping::default() };
    for matched in expressions(rule).filter_map(|e| e.get("match")) {
        let (left, right) = (&matched["left"], &matched["right"]);
        let unequal = matched["op"] == "!=";
        match (left["meta"]["key"].as_str(), left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str()) {
            (Some("l4proto"), ..) | (_, Some("ip"), Some("protocol")) => {
                found.udp &= names(right, "udp", 17) != unequal;
                found.igmp &= names(right, "igmp", 2) != unequal;
            }
            (Some("pkttype"), ..) if right == "multicast" => found.multicast_only = true,
            (Some("iifname" | "iif" | "oifname" | "oif"), ..) => {
                if names(right, "lo", 1) {
                    return None;
                }
            }
            (_, Some("udp" | "th"), _) => found.igmp = false,
            (_, Some("igmp"), _) => found.udp = false,
            (_, Some("ip"), Some("daddr")) => found.multicast_only |= is_group(right),
            // Another protocol, or a condition that is not understood.
            _ => return None,
        }
    }
    if expressions(rule).any(|e| e.get("limit").is_some()) || !(found.udp || found.igmp) {
        return None;
    }
    let handle = rule["handle"].as_u64().unwrap_or_default();
    found.text = format!("rule {handle} of chain {chain} in table {family} {table} drops it");
    found.mend = format!("sudo nft delete rule {family} {table} {chain} handle {handle}");
    Some(found)
}

/// Whether a value, or a set of values, is or holds that name or number.
fn names(value: &Value, name: &str, number: u64) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Number(n) => n.as_u64() == Some(number),
        Value::Array(all) => all.iter().any(|v| names(v, name, number)),
        Value::Object(object) => object.get("set").is_some_and(|set| names(set, name, number)),
        _ => false,
    }
}

/// Whether it is an address, a prefix, a range or a set of multicast.
fn is_group(value: &Value) -> bool {
    match value {
        Value::String(text) => text.parse().is_ok_and(|a: std::net::IpAddr| a.is_multicast()),
        Value::Array(all) => all.iter().any(is_group),
        Value::Object(object) => {
            let prefix = object.get("prefix").is_some_and(|p| is_group(&p["addr"]));
            prefix || object.get("range").or(object.get("set")).is_some_and(is_group)
        }
        _ => false,
    }
}

/// Reads the report of iptables-save: `:CHAIN POLICY` and `-A CHAIN conditions -j TARGET`.
pub fn iptables(text: &str) -> Vec<Dropping> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [chain @ (":INPUT" | ":OUTPUT"), "DROP", ..] => {
                let chain = &chain[1..];
                found.push(Dropping {
                    inwards: chain == "INPUT",
                    udp: true,
                    igmp: true,
                    multicast_only: false,
                    policy: true,
                    text: format!("the policy of iptables' {chain} is DROP"),
                    mend: format!(
                        "sudo iptables -I {chain} -p udp -j ACCEPT; sudo iptables -I {chain} -p igmp -j ACCEPT"
                    ),
                });
            }
            ["-A", chain @ ("INPUT" | "OUTPUT"), conditions @ .., "-j", "DROP" | "REJECT"] => {
                found.extend(old_rule(chain, conditions, line));
            }
            _ => {}
        }
    }
    found
}

fn old_rule(chain: &str, conditions: &[&str], line: &str) -> Option<Dropping> {
    let mut rule = Dropping { inwards: chain == "INPUT", udp: true, igmp: true, ..Dropping::default() };
    for pair in conditions.chunks(2) {
        match *pair {
            ["-p", protocol] => {
                rule.udp &= matches!(protocol, "udp" | "17");
                rule.igmp &= matches!(protocol, "igmp" | "2");
            }
            ["-d", to] => {
                let group = |a: std::net::Ipv4Addr| a.is_multicast();
                rule.multicast_only = to.split('/').next().is_some_and(|a| a.parse().is_ok_and(group));
            }
            ["-m", "udp"] | ["--dport", _] => rule.igmp = false,
            ["-m", "pkttype"] => {}
            ["--pkt-type", "multicast"] => rule.multicast_only = true,
            ["-i" | "-o", name] if name != "lo" => {}
            _ => return None,
        }
    }
    rule.text = format!("iptables: {line}");
    rule.mend = format!("sudo iptables {}", line.replacen("-A", "-D", 1));
    (rule.udp || rule.igmp).then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruleset(hook: &str, policy: &str, rules: &[&str]) -> String {
        let chain = format!(
            r#"{{"chain":{{"family":"inet","table":"t","name":"c","type":"filter","hook":"{hook}","prio":0,"policy":"{policy}"}}}}"#
        );
        let rule = |(i, e): (usize, &&str)| {
            format!(r#"{{"rule":{{"family":"inet","table":"t","chain":"c","handle":{},"expr":[{e}]}}}}"#, i + 5)
        };
        let rules: Vec<String> = rules.iter().enumerate().map(rule).collect();
        let all = [vec![r#"{"metainfo":{"json_schema_version":1}}"#.to_owned(), chain], rules].concat();
        format!(r#"{{"nftables":[{}]}}"#, all.join(","))
    }

    const DROP: &str = r#"{"drop":null}"#;
    const GROUPS: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":{"prefix":{"addr":"224.0.0.0","len":4}}}}"#;
    const IGMP: &str =
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"protocol"}},"right":"igmp"}}"#;
    const PORT: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":20478}}"#;
    const CHANCE: &str = r#"{"match":{"op":"<","left":{"numgen":{"mode":"random","mod":100,"offset":0}},"right":10}}"#;
    const TCP: &str = r#"{"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":"tcp"}}"#;

    #[test]
    fn rules_of_nft_that_drop_what_a_conference_needs_are_found() {
        for (hook, rule, expected) in [
            ("input", [GROUPS, DROP], Some((true, true, true))),
            ("output", [IGMP, DROP], Some((false, true, false))),
            ("input", [PORT, DROP], Some((true, false, false))),
            ("input", [CHANCE, DROP], None),
            ("input", [TCP, DROP], None),
            ("input", [PORT, r#"{"accept":null}"#], None),
            ("forward", [GROUPS, DROP], None),
        ] {
            let found = nft(&ruleset(hook, "accept", &[&rule.join(",")])).expect("a report");
            let kinds: Vec<_> = found.iter().map(|d| (d.udp, d.igmp, d.multicast_only)).collect();
            assert_eq!(kinds, expected.into_iter().collect::<Vec<_>>(), "{hook} {rule:?}");
            assert!(found.iter().all(|d| d.inwards == (hook == "input") && !d.policy));
            assert!(found.iter().all(|d| d.mend == "sudo nft delete rule inet t c handle 5"), "{found:?}");
        }
    }

    #[test]
    fn policies_and_chains_jumped_to_count() {
        let found = nft(&ruleset("input", "drop", &[])).expect("a report");
        assert!(found.len() == 1 && found[0].policy && found[0].mend.contains("insert rule inet t c"));
        let jump = r#"{"rule":{"family":"inet","table":"t","chain":"c","handle":2,"expr":[{"jump":{"target":"d"}}]}},
            {"rule":{"family":"inet","table":"t","chain":"d","handle":3,"expr":[{"drop":null}]}}"#;
        let text = ruleset("output", "accept", &[]).replace("]}", &format!(",{jump}]}}"));
        let found = nft(&text).expect("a report");
        assert!(found.len() == 1 && !found[0].inwards && found[0].mend.ends_with("d handle 3"), "{found:?}");
    }

    #[test]
    fn what_is_no_report_is_nothing() {
        assert_eq!(nft(""), None);
        assert_eq!(nft("{}"), None);
        assert_eq!(nft(r#"{"nftables":3}"#), None);
        for strange in [
            r#"{"nftables":[]}"#,
            r#"{"nftables":[1,null,{"rule":7},{"chain":[]},{"rule":{"expr":{"drop":null}}}]}"#,
            r#"{"nftables":[{"chain":{"hook":"input"}},{"rule":{"expr":[{"match":7},{"drop":null}]}}]}"#,
        ] {
            assert!(nft(strange).is_some_and(|found| found.is_empty()), "{strange}");
        }
        assert!(iptables("garbage\n-A\n:INPUT\n-A INPUT -j\n\u{0}").is_empty());
        let endless = "x".repeat(SYSTEM_REPORT_BYTES_MAX + 1);
        assert_eq!(nft(&endless), None);
    }

    #[test]
    fn a_report_that_is_too_long_is_not_read() {
        let zeros = format!("head -c {} /dev/zero", SYSTEM_REPORT_BYTES_MAX + 1);
        assert_eq!(report("sh", &["-c", &zeros]), None);
        assert_eq!(report("sh", &["-c", "echo yes"]).as_deref(), Some("yes\n"));
        assert_eq!(report("sh", &["-c", "echo yes; exit 3"]), None);
        assert_eq!(report("/no/such/program", &[]), None);
    }

    #[test]
    fn rules_of_iptables_are_found() {
        let text = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n\
            -A OUTPUT -d 224.0.0.0/4 -j DROP\n-A INPUT -p igmp -j DROP\n-A INPUT -p udp -m udp --dport 20478 -j REJECT\n\
            -A INPUT -s 10.0.0.9/32 -j DROP\n-A INPUT -p tcp -j DROP\nCOMMIT\n";
        let found = iptables(text);
        let kinds: Vec<_> = found.iter().map(|d| (d.inwards, d.udp, d.igmp, d.policy)).collect();
        let expected = [
            (true, true, true, true),
            (false, true, true, false),
            (true, false, true, false),
            (true, true, false, false),
        ];
        assert_eq!(kinds, expected);
        assert!(found[1].multicast_only && found[1].mend == "sudo iptables -D OUTPUT -d 224.0.0.0/4 -j DROP");
    }
}
