//! The same files to the same receivers through UFTP (the Debian package `uftp`) and through Roundtable: packets, time, and what
//! it costs to send anything at all. `scripts/compare-peers` runs it; nothing of it is asserted but that all is whole.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::lan::Lan;
use crate::common::peer::Peer;
use crate::common::poll;
use crate::common::sandbox::sandboxed;
use crate::files::{NAMES, assert_same, load, meeting_at, noise, send, write};

/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of a file that says what anything costs at all.
const TINY: usize = 1_000;
/// Bytes in a packet of UFTP's, and of ours.
const PAYLOADS: [usize; 2] = [1_300, 1_280];

struct Outcome {
    seconds: f64,
    packets: u64,
}

/// Packets host `h` has sent.
fn sent_by(lan: &Lan, h: usize) -> u64 {
    let out = lan.command(h, "ip").args(["-s", "-j", "link", "show", "eth0"]).output().expect("ip runs");
    let shown: Value = serde_json::from_slice(&out.stdout).expect("JSON of ip");
    shown[0]["stats64"]["tx"]["packets"].as_u64().expect("counter of ip")
}

fn measured(lan: &Lan, act: impl FnOnce()) -> Outcome {
    let (before, began) = (sent_by(lan, 1), Instant::now());
    act();
    let seconds = began.elapsed().as_secs_f64();
    Outcome { seconds, packets: sent_by(lan, 1) - before }
}

/// Ends a process when it is dropped.
struct Runs(Child);

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Receivers of UFTP on the hosts from the second on.
fn uftp_receivers(lan: &Lan, receivers: usize, folder: &Path) -> Vec<Runs> {
    let one = |h: usize| {
        let place = uftp_place(folder, h);
        std::fs::create_dir_all(&place).expect("folder");
        let mut command = lan.command(h, "uftpd");
        command.args(["-d", "-t", "-I", "eth0", "-B", "4194304", "-D"]).arg(&place);
        Runs(quiet(&mut command).spawn().expect("uftpd runs"))
    };
    (2..=receivers + 1).map(one).collect()
}

fn uftp_place(folder: &Path, h: usize) -> PathBuf {
    folder.join(format!("uftp-{}", NAMES[h - 1]))
}

fn by_uftp(lan: &Lan, folder: &Path, path: &Path, receivers: usize, mbit: u32, content: &[u8]) -> Outcome {
    let hosts: Vec<String> = (2..=receivers + 1).map(|h| Lan::address(h).to_string()).collect();
    let outcome = measured(lan, || {
        let mut command = lan.command(1, "uftp");
        command.args(["-I", "eth0", "-B", "4194304", "-R", &(mbit * 1_000).to_string(), "-H", &hosts.join(",")]);
        let status = quiet(command.arg(path)).status().expect("uftp runs");
        assert!(status.success(), "uftp: {status}");
    });
    for h in 2..=receivers + 1 {
        let there = uftp_place(folder, h).join(path.file_name().expect("a name"));
        let whole = poll(Duration::from_secs(20), || (std::fs::read(&there).ok()? == content).then_some(()));
        assert!(whole.is_some(), "{} is not whole", there.display());
        std::fs::remove_file(&there).expect("removed");
    }
    outcome
}

fn by_us(lan: &Lan, peers: &mut [Peer], path: &Path, content: &[u8]) -> Outcome {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let (mut began, mut offered, mut last) = (None, None, None);
    let outcome = measured(lan, || {
        began = Some(Instant::now());
        send(&mut peers[0], path);
        offered = Some(peers[0].await_event(PATIENCE, |e| e["event"] == "offer" && e["name"] == name.as_str()).0);
        let (_, sent) = peers[0].await_event(PATIENCE, |e| e["event"] == "sent" && e["name"] == name.as_str());
        assert!(sent["people"].as_array().expect("people").iter().all(|p| p["state"] == "has it"), "{sent}");
    });
    let root = blake3::hash(content).to_hex().to_string();
    for peer in &mut peers[1..] {
        let (at, event) = peer.await_event(PATIENCE, |e| e["event"] == "file" && e["name"] == name.as_str());
        last = last.max(Some(at));
        assert_eq!(event["blake3"], root.as_str(), "{}", peer.name);
        let there = PathBuf::from(event["path"].as_str().expect("a path"));
        assert_same(&there, content);
        std::fs::remove_file(&there).expect("removed");
    }
    let after = |at: Option<Instant>| at.zip(began).map_or(0.0, |(at, began)| (at - began).as_secs_f64());
    println!("  ours: offered after {:.2} s, the last one has it after {:.2} s", after(offered), after(last));
    outcome
}

#[test]
#[ignore = "a comparison that takes minutes: scripts/compare-peers"]
fn beside_uftp() {
    sandboxed("uftp::beside_uftp", || {
        let (megabytes, receivers) = load();
        let mbit: u32 = std::env::var("FILES_MBIT").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
        let folder = tempfile::tempdir().expect("temporary folder");
        let lan = Lan::up(receivers + 1);
        // Batches are taken apart before they are sent: each datagram is lost and counted for itself, as each of UFTP's is.
        (1..=receivers + 1).for_each(|h| lan.ip(h, "link set eth0 gso_max_segs 1"));
        let mut peers = meeting_at(&lan, receivers + 1, folder.path(), "all", mbit);
        let _uftpd = uftp_receivers(&lan, receivers, folder.path());
        println!(
            "{receivers} receivers, {mbit} Mb/s at most; packets the sender's card sent, beyond those of the file alone"
        );
        println!("{:>18} {:>6}   {:>17}   {:>17}", "", "loss", "uftp", "roundtable");
        let losses: Vec<usize> = match std::env::var("FILES_LOSS") {
            Ok(said) => said.split(',').filter_map(|n| n.parse().ok()).collect(),
            Err(_) => vec![0, 1, 5],
        };
        let tiny = (TINY, 0, "tiny.bin".to_owned());
        let all = losses.into_iter().map(|loss| (megabytes * 1_000_000, loss, format!("{loss}.bin")));
        for (bytes, loss, name) in std::iter::once(tiny).chain(all) {
            (2..=receivers + 1).for_each(|h| lan.lose(h, loss));
            let content = noise(bytes);
            let path = write(folder.path(), &name, &content);
            let theirs = by_uftp(&lan, folder.path(), &path, receivers, mbit, &content);
            let ours = by_us(&lan, &mut peers, &path, &content);
            let cell = |o: &Outcome, payload: usize| {
                let least = bytes.div_ceil(payload) as f64;
                let over = 100.0 * (o.packets as f64 / least - 1.0);
                match bytes {
                    TINY => format!("{:.2} s {:>5} pkt", o.seconds, o.packets),
                    _ => format!("{:>7.2} s {over:>+6.1} %", o.seconds),
                }
            };
            let (theirs, ours) = (cell(&theirs, PAYLOADS[0]), cell(&ours, PAYLOADS[1]));
            println!("{:>12} bytes {loss:>4} %   {theirs:>17}   {ours:>17}", bytes);
            std::fs::remove_file(&path).expect("removed");
        }
    });
}
