//! "Why can I not see Bob?": an examination from inside the conference, asked for or because somebody's pictures stopped
//! or lose much for long.
//!
//! It runs beside everything else in a thread of its own; one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::Event;
use super::director::Director;
use super::view::NoticeKind;
use crate::device::camera::CameraSpec;
use crate::device::clock::Clock;
use crate::device::sound::{MicrophoneSpec, SpeakerSpec};
use crate::limits::PROBE_PEERS_MAX;
use crate::pipeline::doctor::{self, Error, Task};
use crate::protocol::doctor::{Facts, Finding, Report, Severity, Target, Where};
use crate::time::Timestamp;

/// Time between examinations nobody asked for.
const SELDOM: Duration = Duration::from_secs(60);

/// The same where much is lost: it has nothing new to tell for longer, and the network is loaded as it is.
const SELDOM_LOSSY: Duration = Duration::from_secs(300);

/// Why an examination was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Asked,
    /// Somebody's pictures stopped.
    Stopped,
    /// Much of somebody's pictures is lost for long.
    Lossy,
}

/// The examination that runs, if any.
#[derive(Default)]
pub(super) struct Examination {
    running: Option<Running>,
    /// When one began that nobody asked for.
    unasked: Option<Timestamp>,
}

struct Running {
    about: Option<String>,
    occasion: Occasion,
    stop: Arc<AtomicBool>,
    ended: Receiver<Result<Report, Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It looks at this every few hundredths of a second.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Running {
    fn start(task: Task, clock: Clock, about: Option<String>, occasion: Occasion) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (telling, ended) = bounded(1);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("doctor".into()).spawn(move || {
            let report = doctor::run(&task, &clock, &stopped, |_| {}).map(Report::of);
            // Nobody waits for it any more when the conference is over.
            let _ = telling.send(report);
        })?;
        Ok(Self { about, occasion, stop, ended, thread: Some(thread) })
    }
}

impl Director {
    /// Examines this machine, the network and everybody here; `about` is who is to be told of in the first place.
    pub(super) fn examine(&mut self, about: Option<String>) {
        let known = |name: &String| self.shared.state().people.here().any(|o| o.person.name == *name);
        if let Some(name) = about.as_ref().filter(|name| !known(name)) {
            return self.not_examined(format!("nobody here is called {name}"));
        }
        if let Some(running) = &mut self.examination.running {
            (running.occasion, running.about) = (Occasion::Asked, about);
            return;
        }
        self.begin_examination(about, Occasion::Asked);
    }

    fn begin_examination(&mut self, about: Option<String>, occasion: Occasion) {
        let state = self.shared.state();
        let now = self.now();
        let targets: Vec<Target> = state
            .people
            .here()
            .map(|other| Target {
                address: other.person.address,
                name: Some(other.person.name.clone()),
                mute: other.is_frozen(now),
            })
            .collect();
        let (plan, conference) = (state.plan, state.conference);
        drop(state);
        let mut targets = targets;
        targets.sort_by_key(|target| target.name != about);
        targets.truncate(PROBE_PEERS_MAX);
        let own = self.socket.local_addr();
        let task = Task {
            interface: Some(own.ip().to_string()),
            ttl: plan.ttl,
            scope: plan.scope,
            title: None,
            inside: Some(conference),
            targets,
            own: vec![own],
            // Those have notices of their own here.
            camera: CameraSpec::None,
            microphone: MicrophoneSpec::None,
            speaker: SpeakerSpec::None,
        };
        match Running::start(task, self.shared.clock.clone(), about, occasion) {
            Ok(running) => self.examination.running = Some(running),
            Err(error) => self.not_examined(format!("the doctor cannot work: {error}")),
        }
    }

    /// Tells what an examination found, once it has ended.
    pub(super) fn examined(&mut self) {
        let Some(running) = &self.examination.running else { return };
        let ended = match running.ended.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => None,
            Ok(ended) => Some(ended),
        };
        let (about, occasion) = (running.about.clone(), running.occasion);
        self.examination.running = None;
        match ended {
            Some(Ok(report)) => self.tell_examined(about, occasion, report),
            Some(Err(error)) => self.not_examined(format!("the doctor cannot work: {error}")),
            None => self.not_examined("the doctor ended without a word".into()),
        }
    }

    /// Tells why there is no report: as a notice, and to whoever waits for one.
    fn not_examined(&mut self, why: String) {
        self.say(NoticeKind::Warning, &why);
        let finding =
            Finding { code: "not_examined", severity: Severity::Fault, place: Where::Here, text: why, mend: None };
        self.shared.state().examined = Some(Arc::new(Report { facts: Facts::default(), findings: vec![finding] }));
    }

    fn tell_examined(&mut self, about: Option<String>, occasion: Occasion, report: Report) {
        let text = first_line(&report.findings, about.as_deref(), occasion);
        let (now, report) = (self.now(), Arc::new(report));
        let mut state = self.shared.state();
        state.examined = Some(Arc::clone(&report));
        if let Some(text) = text {
            state.notices.say(now, NoticeKind::Warning, &text);
        }
        drop(state);
        self.tell_event(Event::Doctor { about, report });
    }

    /// Begins an examination when somebody's pictures have stopped, or lose much for long; each second.
    pub(super) fn suspect(&mut self, now: Timestamp) {
        let lately = |within| self.examination.unasked.is_some_and(|at| now.since(at) < within);
        if lately(SELDOM) || self.examination.running.is_some() {
            return;
        }
        let state = self.shared.state();
        let frozen = state.people.here().find(|o| o.is_frozen(now)).map(|o| (o, Occasion::Stopped));
        let lossy =
            || state.people.here().find(|o| o.is_lossy() && !lately(SELDOM_LOSSY)).map(|o| (o, Occasion::Lossy));
        let found = frozen.or_else(lossy).map(|(other, occasion)| (other.person.name.clone(), occasion));
        drop(state);
        if let Some((name, occasion)) = found {
            self.examination.unasked = Some(now);
            self.begin_examination(Some(name), occasion);
        }
    }
}

/// What the window says: the first fault that concerns `about`, by whose it is. Nothing when nobody asked and nothing is
/// wrong.
fn first_line(findings: &[Finding], about: Option<&str>, occasion: Occasion) -> Option<String> {
    let concerns = |f: &&Finding| match (&f.place, about) {
        (Where::Peer(who), Some(name)) => who.split(", ").any(|w| w == name),
        _ => true,
    };
    let fault = findings.iter().filter(concerns).find(|f| f.severity == Severity::Fault);
    let cause = |name: &str| match occasion {
        Occasion::Asked => String::new(),
        Occasion::Stopped => format!("{name}'s pictures have stopped: "),
        Occasion::Lossy => format!("much of {name}'s pictures is lost: "),
    };
    match fault {
        Some(fault) => {
            let whose = if fault.place == Where::Here { "it is you: " } else { "" };
            let mend = fault.mend.as_ref().map_or(String::new(), |mend| format!(" ({mend})"));
            let before = about.map_or(String::new(), cause);
            Some(format!("{before}{whose}{}{mend}", fault.text))
        }
        None => (occasion == Occasion::Asked).then(|| "the doctor found no fault".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, place: Where, text: &str) -> Finding {
        Finding { code: "loss", severity, place, text: text.into(), mend: Some("do".into()) }
    }

    #[test]
    fn the_line_is_about_whom_it_was_asked_and_says_whose_fault_it_is() {
        let bob = finding(Severity::Fault, Where::Peer("Bob".into()), "b");
        let here = finding(Severity::Fault, Where::Here, "h");
        let warning = finding(Severity::Warning, Where::Here, "w");
        for (findings, about, occasion, expected) in [
            (vec![bob.clone(), here.clone()], Some("Bob"), Occasion::Asked, Some("b (do)")),
            (vec![bob.clone(), here.clone()], Some("Cyd"), Occasion::Asked, Some("it is you: h (do)")),
            (vec![bob.clone()], Some("Cyd"), Occasion::Asked, Some("the doctor found no fault")),
            (vec![bob.clone()], Some("Bob"), Occasion::Stopped, Some("Bob's pictures have stopped: b (do)")),
            (vec![bob], Some("Bob"), Occasion::Lossy, Some("much of Bob's pictures is lost: b (do)")),
            (vec![here], None, Occasion::Asked, Some("it is you: h (do)")),
            (vec![warning], Some("Bob"), Occasion::Lossy, None),
        ] {
            assert_eq!(first_line(&findings, about, occasion).as_deref(), expected);
        }
    }
}
