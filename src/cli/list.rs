//! `list`: the conferences on this network.

use super::failure::{Failure, code};
use super::{meet, report};
use crate::device::net::Interface;
use crate::protocol::discovery::Found;
use crate::wire::address::Scope;

/// Prints what answers; nothing found is no failure.
pub fn run(json: bool, interface: Option<String>) -> Result<(), Failure> {
    let interface = Interface::choose(interface.as_deref())
        .map_err(|e| Failure::new(code::NETWORK, e).hint("`roundtable devices` lists the network interfaces"))?;
    let found = meet::all(&interface, &[])?;
    if json {
        report::print(&found.iter().map(|f| format!("{}\n", line(f))).collect::<String>())?;
    } else if found.is_empty() {
        eprintln!("no conference answers on {}; start one: roundtable start \"Standup\"", interface.name);
    } else {
        report::print(&report::table(&HEADER, &found.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(())
}

const HEADER: [&str; 5] = ["conference", "people", "access", "announced by", "groups"];

fn access(found: &Found) -> &'static str {
    match (found.open, found.locked) {
        (true, _) => "open: anyone on this network can watch",
        (false, false) => "protected",
        (false, true) => "protected, locked: knock to come in",
    }
}

fn row(f: &Found) -> Vec<String> {
    let groups = format!("{} port {}", f.plan.block_text(), f.plan.port);
    vec![f.title.clone(), f.participants.to_string(), access(f).into(), f.source.ip().to_string(), groups]
}

/// The same with a number before each, for picking.
pub fn numbered(found: &[Found]) -> String {
    let rows: Vec<Vec<String>> =
        found.iter().enumerate().map(|(i, f)| [vec![(i + 1).to_string()], row(f)].concat()).collect();
    report::table(&["", HEADER[0], HEADER[1], HEADER[2], HEADER[3], HEADER[4]], &rows)
}

fn line(f: &Found) -> serde_json::Value {
    serde_json::json!({
        "conference": f.title,
        "id": f.id.to_string(),
        "people": f.participants,
        "open": f.open,
        "locked": f.locked,
        "announced_by": f.source.ip().to_string(),
        "group": f.plan.base.to_string(),
        "scope": if f.plan.scope == Scope::Site { "site" } else { "lan" },
        "port": f.plan.port,
    })
}
