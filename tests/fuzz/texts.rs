//! Texts from people, scripts and files: settings, JSON lines, names.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use roundtable::cli::json;
use roundtable::conference::config::{DEFAULTS, Layer};
use roundtable::conference::invite::Invite;
use roundtable::device::camera::CameraSpec;
use roundtable::limits::{NAME_BYTES_MAX, SDP_BYTES_MAX};
use roundtable::protocol::chat::OrderKey;
use roundtable::protocol::passphrase::Passphrase;
use roundtable::protocol::roster::names;
use roundtable::wire::object::ObjectId;
use roundtable::wire::sdp::{Description, Video};

use crate::driver::{Feed, fuzz, outcome, variant};

/// Deep nesting and error texts included.
const MEMORY: usize = 2 << 20;

#[test]
fn settings() {
    let seeds = vec![
        DEFAULTS.into(),
        b"name = \"Ada\"\ncamera = \"test\"\nquality = 65\nopen = true\n".to_vec(),
        b"camera_size = \"1280x720\"\ncamera_fps = 30\nscope = \"lan\"\nlayers = [1, {a = 2}]\n".to_vec(),
    ];
    fuzz("settings", MEMORY, seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let layer = Layer::from_toml(&text, "fuzz");
        let variables =
            text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (format!("ROUNDTABLE_{k}"), v.into()));
        let environment = Layer::from_environment(variables);
        let _ = CameraSpec::from_str(&text);
        outcome(&(layer.err().map(|e| variant(&e)), environment.is_ok()))
    });
}

#[test]
fn json_lines() {
    let seeds = [
        r#"{"do":"say","text":"hello","to":null}"#,
        r#"{"do":"say","text":"hello","reply":"0123-1-2"}"#,
        r#"{"do":"react","emoji":"👍","line":"0123-1-2"}"#,
        "{\"do\":\"mute\",\"on\":true}\n\n{\"do\":\"leave\"}\n",
    ];
    fuzz("json", MEMORY, seeds.map(|s| s.as_bytes().to_vec()).to_vec(), |bytes| {
        let mut results = 0;
        let read = json::read_lines(bytes, |line| {
            let understood = line.and_then(json::parse);
            if let Err(error) = &understood {
                let told = json::error_line(error);
                assert!(!told.contains('\n') && serde_json::from_str::<serde_json::Value>(&told).is_ok());
            }
            results = outcome(&understood.map(|c| variant(&c)).map_err(|_| ()));
        });
        assert!(read.is_ok());
        results
    });
}

/// What people paste and type: invites, passphrases, ids of lines and files.
#[test]
fn pasted_texts() {
    let id = "000102030405060708090a0b0c0d0e0f";
    let seeds = [
        format!("roundtable:Standup?id={id}&key=abandon-abandon-abandon-abandon-abandon"),
        format!("roundtable:Physik%20%26%20%C3%9Cbung%3F?id={id}&at=239.255.4.0:20480&key=a%20b\n"),
        format!("roundtable:Six?id={id}&at=[ff12::8000:2a00]:20480&later=1"),
        "  Abandon ability\tABLE about above ".to_owned(),
        "Br\u{fc}cke \u{fb01}nden \u{2163}".to_owned(),
        format!("0123456789abcdef-{id}-00000001-00000002"),
        id.to_owned(),
    ];
    fuzz("pasted", MEMORY, seeds.map(String::into_bytes).to_vec(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let invite = Invite::from_str(&text);
        if let Ok(invite) = &invite {
            let line = invite.to_line();
            let again = Invite::from_str(&line);
            assert!(again.is_ok_and(|again| *again.to_line() == *line), "what is written is read as the same");
        }
        let passphrase = Passphrase::from_str(&text);
        if let Ok(passphrase) = &passphrase {
            let again = Passphrase::from_str(passphrase);
            assert!(again.is_ok_and(|again| *again == **passphrase), "taken for the same however often it is read");
            assert!(!passphrase.is_empty() && format!("{passphrase:?}") == "Passphrase(..)");
        }
        let (line, object) = (OrderKey::from_str(&text), ObjectId::from_str(&text));
        assert!(line.as_ref().map_or(true, |key| key.to_string() == text));
        assert!(object.as_ref().map_or(true, |id| id.to_string() == text.to_lowercase()));
        let results = (invite.map(|_| ()), passphrase.map(|_| ()), line.is_ok(), object.is_ok());
        outcome(&results)
    });
}

#[test]
fn names_and_descriptions() {
    let seeds = vec![b"\x05Ada\r\n\x10Standup\0 \x20evil".to_vec(), "\x14Ad\u{202e}a\u{0301}ﬁ".as_bytes().to_vec()];
    fuzz("names", MEMORY, seeds, |bytes| {
        let mut feed = Feed(bytes);
        let (name, title, cname) = (feed.text(), feed.text(), feed.text());
        let cleaned = names::clean_name(&name, NAME_BYTES_MAX);
        assert!(!cleaned.is_empty() && cleaned.len() <= NAME_BYTES_MAX);
        assert!(!cleaned.chars().any(|c| c.is_control() || names::is_hidden(c)));
        assert_eq!(names::clean_name(&cleaned, NAME_BYTES_MAX), cleaned, "cleaning twice changes nothing");
        let address = SocketAddr::from((Ipv4Addr::new(239, 255, 4, 16), 20_544));
        let text = Description {
            cname: &cname,
            session_id: feed.u64(),
            version: feed.u64(),
            origin: Ipv4Addr::LOCALHOST.into(),
            title: &title,
            name: &name,
            ttl: 1,
            video: Some(Video { address, fps_milli: u32::from(feed.u16()) }),
            audio: Some(address),
        };
        let lines = text.to_text();
        assert!(lines.len() <= SDP_BYTES_MAX);
        assert_eq!(lines.matches(['\r', '\n']).count(), 2 * lines.lines().count(), "no text adds a line");
        assert!((14..=15).contains(&lines.lines().count()), "{lines}");
        outcome(&(cleaned == name, name.len() > NAME_BYTES_MAX, lines.lines().count()))
    });
}
