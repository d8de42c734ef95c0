//! Runs a test again inside namespaces of its own: network, mounts and processes, and, without root, users.
//!
//! ```text
//! test ── runs ──> unshare ── runs ──> the same test, as root and process 1 of the sandbox ──> body
//! ```
//! When the test ends, however it ends, the kernel kills what is left inside and takes the network with it: there
//! is nothing to clean up and no name on the machine to collide with. Nothing in a sandbox reaches the real network.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Names the file by which the inner run says that it took place.
const MARK: &str = "TEST_SANDBOX_MARK";

/// One sandbox at a time in this process: what runs inside loads the machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `body` in a sandbox; `name` is the test's full name in its binary (`module::function`).
///
/// Skipped with a message where the kernel permits no namespaces; with `CI=true` that is a failure.
pub fn sandboxed(name: &str, body: impl FnOnce()) {
    if let Some(mark) = std::env::var_os(MARK) {
        furnish();
        std::fs::write(mark, "").expect("mark of the sandbox");
        return body();
    }
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(why) = permitted() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no namespaces can be made here: {why}");
        println!("SKIPPED {name}: no namespaces can be made here: {why}");
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let mark = folder.path().join("inside");
    let test = std::env::current_exe().expect("path of the test");
    let mut inner = unshare();
    inner.arg(test).args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"]);
    let succeeded = run_printing(&mut inner, &mark);
    assert!(succeeded, "{name} failed in its sandbox; its output stands above");
    assert!(mark.exists(), "the sandbox ran no test called {name}");
}

/// Runs the ignored test `name` of this binary in a sandbox of its own, with a variable set, beside others; gives whether
/// it succeeded, and what it printed. `None` where no namespaces can be made, which is a failure with `CI=true`.
pub fn beside(name: &str, variable: (&str, &str)) -> Option<(bool, String)> {
    if let Err(why) = permitted() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no namespaces can be made here: {why}");
        return None;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let mark = folder.path().join("inside");
    let test = std::env::current_exe().expect("path of the test");
    let mut inner = unshare();
    inner.arg(test).args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    inner.env(MARK, &mark).env(variable.0, variable.1).stdin(Stdio::null());
    let ran = inner.output().expect("start unshare");
    assert!(mark.exists(), "the sandbox ran no test called {name}: {}", String::from_utf8_lossy(&ran.stdout));
    Some((ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned()))
}

/// `unshare` with what a sandbox needs, still without the program to run.
fn unshare() -> Command {
    // Both streams in one, in the order they were written.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>&1", "sh", "unshare"]);
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn permitted() -> Result<(), String> {
    let tried = unshare().args(["ip", "link", "add", "type", "bridge"]).output().map_err(|e| e.to_string())?;
    if tried.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&tried.stdout).trim().to_owned()) }
}

/// Runs the command and prints its lines as they come, the way the test runner expects a test to print.
fn run_printing(command: &mut Command, mark: &Path) -> bool {
    let mut child = command.env(MARK, mark).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start unshare");
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        println!("  | {line}");
    }
    child.wait().expect("end of unshare").success()
}

/// A `/run` for `ip netns`, and a loopback that is up and carries multicast.
fn furnish() {
    sh("mount -t tmpfs tmpfs /run && mkdir -p /run/netns");
    sh("ip link set lo up multicast on");
}

/// Runs a shell command that must succeed; returns what it printed.
#[track_caller]
pub fn sh(script: &str) -> String {
    let ran = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().expect("start sh");
    assert!(ran.status.success(), "`{script}`: {}", String::from_utf8_lossy(&ran.stderr).trim());
    String::from_utf8_lossy(&ran.stdout).into_owned()
}
