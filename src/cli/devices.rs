//! `devices`: what can be named with `--camera`, `--microphone`, `--speaker` and `--interface`.

use super::failure::Failure;
use super::report;
use crate::conference::config;
use crate::device::{camera, net, sound};

/// Prints the lists; a kind that cannot be asked is told on stderr and the others still stand.
pub fn run(json: bool) -> Result<(), Failure> {
    let cameras = told("cameras", camera::list());
    let (microphones, speakers): (Vec<_>, Vec<_>) = sound::list().into_iter().partition(|d| d.microphone);
    let interfaces = told("interfaces", net::interfaces());
    if json {
        let value = serde_json::json!({
            "cameras": cameras.iter().map(|c| serde_json::json!({"index": c.index, "name": c.name})).collect::<Vec<_>>(),
            "microphones": microphones.iter().map(sound_value).collect::<Vec<_>>(),
            "speakers": speakers.iter().map(sound_value).collect::<Vec<_>>(),
            "interfaces": interfaces.iter().map(|i| serde_json::json!({
                "name": i.name, "address": i.addr.to_string(), "loopback": i.loopback, "wireless": i.wireless,
            })).collect::<Vec<_>>(),
            "settings": config::user_file(),
        });
        return Ok(report::print(&format!("{value}\n"))?);
    }
    let mut text = section(
        "cameras",
        "--camera",
        &cameras.iter().map(|c| vec![c.index.to_string(), c.name.clone()]).collect::<Vec<_>>(),
    );
    for (title, option, list) in [("microphones", "--microphone", &microphones), ("speakers", "--speaker", &speakers)] {
        let rows: Vec<_> = list
            .iter()
            .map(|d| vec![d.name.clone(), d.host.to_owned(), if d.default { "default".into() } else { String::new() }])
            .collect();
        text += &section(title, option, &rows);
    }
    let rows: Vec<_> = interfaces
        .iter()
        .map(|i| {
            let kind = if i.loopback {
                "loopback"
            } else if i.wireless {
                "Wi-Fi"
            } else {
                "wired"
            };
            vec![i.name.clone(), i.addr.to_string(), kind.into()]
        })
        .collect();
    text += &section("interfaces", "--interface", &rows);
    if let Some(path) = config::user_file() {
        let there = if path.exists() { "" } else { " (not there; the defaults hold)" };
        text += &format!("settings: {}{there}\n", path.display());
    }
    Ok(report::print(&text)?)
}

fn sound_value(d: &sound::SoundDevice) -> serde_json::Value {
    serde_json::json!({"name": d.name, "id": d.id, "default": d.default, "host": d.host})
}

fn told<T>(what: &str, list: Result<Vec<T>, impl std::fmt::Display>) -> Vec<T> {
    list.unwrap_or_else(|e| {
        eprintln!("{what}: {e}");
        Vec::new()
    })
}

fn section(title: &str, option: &str, rows: &[Vec<String>]) -> String {
    let head = format!("{title} ({option}):\n");
    if rows.is_empty() {
        return head + "  none\n";
    }
    let table = report::table(&["", "", ""][..rows.first().map_or(1, Vec::len)], rows);
    table.lines().skip(1).fold(head, |text, line| text + "  " + line + "\n")
}
