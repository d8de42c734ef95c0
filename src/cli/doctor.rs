//! `doctor`: why a conference does not work here, in plain words, with the commands that mend it.
//!
//! ```text
//! {"ok":false,                                              no fault was found
//!  "interface":{"name":"eth0","address":"10.77.0.1","mtu":1500,"wifi":false} | null,
//!  "ttl":1,"loopback":true|null,"receive_buffer":4194304|null,
//!  "permitted":true,                                        the network card may be looked at; else these three are null
//!  "querier":true|null,"floods":false|null,"duplicate_address":"aa:bb:.."|null,
//!  "conference":{"title":"Standup","found":true,"people":3} | null,
//!  "findings":[{"code":"no_querier","severity":"fault|warning|note","where":"here|network|peer","who":"Bob"|null,
//!               "text":"..","mend":".."|null}],
//!  "peers":[{"address":"10.77.0.2","name":"Bob"|null,"silent":false,"delay_ms":0.3|null,"clock_s":0.001|null,
//!            "rate_mbit":900.0|null,"large":1.0|null,
//!            "multicast":{"sent":30,"arrived":30,"answered":27,"came":27},"broadcast":{..},"unicast":{..}}]}
//! ```
//! `sent` and `arrived` are there, `answered` and `came` back.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::failure::{Failure, code};
use super::{ParticipantOptions, report};
use crate::device::clock::Clock;
use crate::pipeline::doctor::{self, Error, Task};
use crate::protocol::doctor::{Facts, Finding, Path, Peer, Report, Severity, Target, Where};
use crate::wire::address::Scope;
use crate::wire::probe::Way;

/// Shown behind `--help`.
pub const EXAMPLES: &str = "\
Examples:
  roundtable doctor                       this machine, its network, and whoever answers
  sudo roundtable doctor Standup          the same for one conference, with a look at the network card
  roundtable doctor --listen              on another machine, when no conference runs: answers the first one
  roundtable doctor --peer 10.0.0.7       why that machine cannot be seen
  roundtable doctor --json | jq -r '.findings[].text'

It takes about seven seconds. Exit codes: 0 no fault, 4 a fault was found.";

/// What `doctor` takes.
#[derive(clap::Args)]
pub struct Options {
    /// Title of a conference: only its members are asked
    conference: Option<String>,
    /// Only answer the probes of doctors on other machines, until interrupted
    #[arg(long, conflicts_with_all = ["conference", "peer", "json"])]
    listen: bool,
    /// Somebody to ask besides those who answer, by address; may be given several times
    #[arg(long, value_name = "ADDR", num_args = 1)]
    peer: Vec<IpAddr>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// With --listen: stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds, allow_negative_numbers = true, requires = "listen")]
    duration: Option<f64>,
    /// Network interface, by name or address
    #[arg(long, value_name = "NAME|ADDR")]
    interface: Option<String>,
    /// TTL of multicast, as conferences are started with
    #[arg(long, value_name = "N")]
    ttl: Option<String>,
    /// Camera to look for
    #[arg(long, value_name = "auto|none|test|INDEX|FILE")]
    camera: Option<String>,
    /// Microphone to look for
    #[arg(long, value_name = "auto|none|test|NAME|FILE.wav")]
    microphone: Option<String>,
    /// Speaker to look for
    #[arg(long, value_name = "auto|none|NAME|FILE.wav")]
    speaker: Option<String>,
}

/// Examines and reports, or listens.
pub fn run(options: &Options) -> Result<(), Failure> {
    let task = task(options)?;
    let clock = Clock::system();
    if options.listen {
        return listen(&task, &clock, options.duration);
    }
    let bar = progress(options.json);
    let stop = AtomicBool::new(false);
    let facts = doctor::run(&task, &clock, &stop, |share| bar.set_position((share * 100.0) as u64)).map_err(failed)?;
    bar.finish_and_clear();
    let report = Report::of(facts);
    let text = if options.json { format!("{}\n", value(&report)) } else { words(&report) };
    report::print(&text)?;
    match report.faults() {
        0 => Ok(()),
        1 => Err(Failure::words(code::NETWORK, "a fault was found")),
        n => Err(Failure::words(code::NETWORK, format!("{n} faults were found"))),
    }
}

fn task(options: &Options) -> Result<Task, Failure> {
    let config = ParticipantOptions {
        interface: options.interface.clone(),
        ttl: options.ttl.clone(),
        camera: options.camera.clone(),
        microphone: options.microphone.clone(),
        speaker: options.speaker.clone(),
        ..ParticipantOptions::default()
    }
    .config()?;
    let target = |ip: &IpAddr| Target { address: SocketAddr::new(*ip, 0), name: None, mute: false };
    Ok(Task {
        interface: config.interface,
        ttl: config.ttl.unwrap_or(Scope::Link.ttl()),
        scope: Scope::Link,
        title: options.conference.clone(),
        inside: None,
        targets: options.peer.iter().map(target).collect(),
        own: Vec::new(),
        camera: config.camera,
        microphone: config.microphone,
        speaker: config.speaker,
    })
}

fn failed(error: Error) -> Failure {
    Failure::new(code::NETWORK, error).hint("`roundtable devices` lists the network interfaces")
}

/// A bar on stderr, where somebody looks.
fn progress(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(100);
    if let Ok(style) = ProgressStyle::with_template("examining [{bar:40}] {percent} %") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn listen(task: &Task, clock: &Clock, duration: Option<f64>) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let over = std::sync::Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, std::sync::Arc::clone(&over))?;
    }
    let end = duration.map(|s| clock.now() + Duration::from_secs_f64(s));
    eprintln!("answering doctors on this network; end it with Ctrl-C");
    let going = || !over.load(Ordering::Relaxed) && end.is_none_or(|end| clock.now() < end);
    let answered =
        doctor::listen(task, clock, going, |source| eprintln!("{source} examines the network")).map_err(failed)?;
    eprintln!("{answered} probes answered");
    Ok(())
}

/// The report as the documented object.
pub fn value(report: &Report) -> Value {
    let Report { facts, findings } = report;
    let link = facts.link();
    let interface = link.map(
        |l| json!({"name": l.name, "address": facts.address.map(|a| a.to_string()), "mtu": l.mtu, "wifi": l.wireless}),
    );
    let sought = facts.sought.as_ref().map(|s| json!({"title": s.title, "found": s.found, "people": s.people}));
    json!({
        "ok": report.faults() == 0,
        "interface": interface,
        "ttl": facts.ttl,
        "loopback": facts.loopback,
        "receive_buffer": facts.buffer,
        "permitted": facts.wire.is_some(),
        "querier": facts.wire.map(|w| w.queries > 0),
        "floods": facts.floods(),
        "duplicate_address": facts.duplicate,
        "conference": sought,
        "findings": findings.iter().map(finding_value).collect::<Vec<_>>(),
        "peers": facts.peers.iter().map(peer_value).collect::<Vec<_>>(),
    })
}

/// The event that an examination inside a conference ends with: the object with `"event":"doctor"` and whom it was
/// about.
pub fn event_line(about: Option<&str>, report: &Report) -> String {
    let mut line = value(report);
    line["event"] = "doctor".into();
    line["about"] = about.into();
    line.to_string()
}

fn finding_value(f: &Finding) -> Value {
    let (place, who) = match &f.place {
        Where::Here => ("here", None),
        Where::Network => ("network", None),
        Where::Peer(who) => ("peer", Some(who)),
    };
    json!({"code": f.code, "severity": f.severity.word(), "where": place, "who": who, "text": f.text, "mend": f.mend})
}

fn peer_value(p: &Peer) -> Value {
    let path = |way: Way| {
        let Path { sent, reached, answered, came } = p.path(way);
        json!({"sent": sent, "arrived": reached, "answered": answered, "came": came})
    };
    let round = |n: Option<f64>, places: f64| n.map(|n| (n * places).round() / places);
    json!({
        "address": p.address.ip().to_string(),
        "name": p.name,
        "silent": p.silent,
        "delay_ms": round(p.delay_ms, 1e3),
        "clock_s": round(p.clock_s, 1e3),
        "rate_mbit": round(p.rate_mbit, 10.0),
        "large": round(p.large, 1e3),
        "multicast": path(Way::Multicast),
        "broadcast": path(Way::Broadcast),
        "unicast": path(Way::Unicast),
    })
}

/// The report for people.
fn words(report: &Report) -> String {
    let Report { facts, findings } = report;
    let mut text = network(facts);
    if !facts.peers.is_empty() {
        text += "\nwhat arrives, there / back\n";
        text += &report::table(&HEADER, &facts.peers.iter().map(row).collect::<Vec<_>>());
    }
    text.push('\n');
    for f in findings {
        text += &format!("{}: {}\n", f.severity.word(), f.text);
        if let Some(mend) = &f.mend {
            text += &format!("  mend: {mend}\n");
        }
    }
    if report.faults() == 0 {
        text += "no fault was found\n";
    }
    text
}

const HEADER: [&str; 7] = ["who", "multicast", "broadcast", "unicast", "delay", "burst", "clock"];

fn network(facts: &Facts) -> String {
    let known = |fact: Option<bool>, yes: &'static str, no: &'static str| match fact {
        Some(true) => yes,
        Some(false) => no,
        None => "not known",
    };
    let link = facts.link().map_or("no interface in use".to_owned(), |l| {
        let address = facts.address.map_or(String::new(), |a| format!(" {a}/{}", facts.prefix));
        format!("{}{address}, {}, MTU {}", l.name, if l.wireless { "Wi-Fi" } else { "wired" }, l.mtu)
    });
    let querier = known(facts.wire.map(|w| w.queries > 0), "there is one", "none was heard");
    let floods = known(facts.floods(), "no: the switch floods", "yes");
    let looped = known(facts.loopback, "works", "does not work");
    let buffer = facts.buffer.map_or("not known".to_owned(), |b| format!("{} KiB", b >> 10));
    format!(
        "interface:      {link}\nIGMP querier:   {querier}\nIGMP snooping:  {floods}\nloopback:       {looped}\nreceive buffer: \
         {buffer}\n"
    )
}

fn row(p: &Peer) -> Vec<String> {
    let path = |way: Way| {
        let Path { sent, reached, answered, came } = p.path(way);
        let share = |part: u32, whole: u32| match whole {
            0 => "-".to_owned(),
            _ => format!("{:.0} %", 100.0 * f64::from(part) / f64::from(whole)),
        };
        format!("{} / {}", share(reached, sent), share(came, answered))
    };
    let figure = |n: Option<f64>, unit: &str| n.map_or("-".to_owned(), |n| format!("{n:.1} {unit}"));
    let clock = p.clock_s.map_or("-".to_owned(), |s| format!("{s:+.3} s"));
    let name = if p.silent { format!("{} (silent)", p.label()) } else { p.label() };
    vec![
        name,
        path(Way::Multicast),
        path(Way::Broadcast),
        path(Way::Unicast),
        figure(p.delay_ms, "ms"),
        figure(p.rate_mbit, "Mb/s"),
        clock,
    ]
}

/// What is found about one person, or about everything, in lines for a chat.
pub fn lines(report: &Report, about: Option<&str>) -> Vec<String> {
    let meant = |f: &&Finding| match (&f.place, about) {
        (Where::Peer(who), Some(name)) => who == name,
        // What is wrong here or in between concerns everybody.
        _ => f.severity != Severity::Note,
    };
    let found = report.findings.iter().filter(meant).map(|f| {
        let mend = f.mend.as_ref().map_or(String::new(), |m| format!(" - mend: {m}"));
        format!("{}: {}{mend}", f.severity.word(), f.text)
    });
    let all: Vec<String> = found.collect();
    if all.is_empty() { vec!["the doctor found no fault".to_owned()] } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::doctor::{Link, Wire};

    fn report() -> Report {
        let mut peer = Peer::new("10.77.0.2:40000".parse().unwrap());
        peer.paths = [Path { sent: 30, reached: 30, answered: 27, came: 27 }; 3];
        (peer.delay_ms, peer.clock_s) = (Some(0.25), Some(-0.001_4));
        Report::of(Facts {
            links: vec![Link {
                name: "eth0".into(),
                up: true,
                carrier: true,
                mtu: 1_500,
                addresses: vec!["10.77.0.1".parse().unwrap()],
                ..Link::default()
            }],
            chosen: Some("eth0".into()),
            address: "10.77.0.1".parse().ok(),
            prefix: 24,
            loopback: Some(true),
            wire: Some(Wire { queries: 2, reports: 2, came: [40; 3], went: [30; 3], aside: 0 }),
            received: [40; 3],
            sends: [(30, 0); 3],
            buffer: Some(4 << 20),
            peers: vec![peer],
            ..Facts::default()
        })
    }

    #[test]
    fn the_object_is_the_documented_one() {
        let value = value(&report());
        assert_eq!(value["interface"]["name"], "eth0");
        assert_eq!(value["peers"][0]["multicast"], json!({"sent": 30, "arrived": 30, "answered": 27, "came": 27}));
        assert_eq!(
            (&value["querier"], &value["floods"], &value["permitted"]),
            (&json!(true), &json!(false), &json!(true))
        );
        // No TTL was given in these facts: the default of the facts is none at all.
        assert_eq!(value["findings"][0]["code"], "ttl_zero");
        let event: Value = serde_json::from_str(&event_line(Some("Bob"), &report())).unwrap();
        assert!(event["event"] == "doctor" && event["about"] == "Bob" && event["peers"] == value["peers"]);
        assert_eq!((&value["ok"], &value["findings"][0]["where"]), (&json!(false), &json!("here")));
    }

    #[test]
    fn people_read_causes_and_what_mends_them() {
        let text = words(&report());
        assert!(text.contains("fault: the TTL is set to 0") && text.contains("  mend: "), "{text}");
        assert!(text.contains("10.77.0.2  100 % / 100 %") && !text.contains("no fault"), "{text}");
        let said = lines(&report(), Some("Bob"));
        assert!(said.len() == 1 && said[0].starts_with("fault: "), "{said:?}");
        let mut well = report();
        well.findings.clear();
        assert_eq!(lines(&well, None), ["the doctor found no fault"]);
        assert!(words(&well).ends_with("no fault was found\n"));
    }
}
