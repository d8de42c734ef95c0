//! Settings written to the user's file, on a thread of their own: a disk may take its time.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::conference::kept;
use crate::pipeline::slot::Waker;
use crate::ui::settings::Setting;

/// Changes that may wait.
const WAITING: usize = 32;

type Outcome = Result<String, String>;

/// Keeps settings.
pub struct Keeper {
    waker: Arc<Waker>,
    worker: Option<(Sender<Vec<Setting>>, Receiver<Outcome>)>,
}

impl Keeper {
    /// `waker` is roused when something was kept.
    pub fn new(waker: Arc<Waker>) -> Self {
        Self { waker, worker: None }
    }

    /// Keeps these.
    pub fn keep(&mut self, settings: Vec<Setting>) {
        if settings.is_empty() {
            return;
        }
        if self.worker.is_none() {
            let (changes, changed) = bounded::<Vec<Setting>>(WAITING);
            let (tell, outcomes) = bounded(WAITING);
            let waker = Arc::clone(&self.waker);
            let work = move || {
                for settings in changed {
                    let outcome = kept::keep(&settings);
                    let outcome = outcome.map(|path| path.display().to_string()).map_err(|e| e.to_string());
                    let _ = tell.try_send(outcome);
                    waker.wake();
                }
            };
            if std::thread::Builder::new().name("settings".into()).spawn(work).is_err() {
                return;
            }
            self.worker = Some((changes, outcomes));
        }
        // A disk that hangs loses later changes; what is shown holds all the same.
        let _ = self.worker.as_ref().map(|(changes, _)| changes.try_send(settings));
    }

    /// Where settings were kept, or why not, since this was asked last.
    pub fn outcome(&self) -> Option<Outcome> {
        self.worker.as_ref()?.1.try_iter().last()
    }
}
