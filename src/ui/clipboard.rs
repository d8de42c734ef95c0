//! The system's clipboard, on a thread of its own: it may wait for another program, the window never does.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::CHAT_TEXT_BYTES_MAX;
use crate::pipeline::slot::Waker;

/// Requests that may wait.
const WAITING: usize = 8;
/// As much as is pasted: more than any field takes.
const PASTED_BYTES_MAX: usize = 4 * CHAT_TEXT_BYTES_MAX;

enum Ask {
    Copy(String),
    Paste,
}

/// The clipboard; the thread begins with the first request and stays, because on some systems whoever copied must answer
/// for it.
pub struct Clipboard {
    waker: Arc<Waker>,
    worker: Option<(Sender<Ask>, Receiver<String>)>,
}

impl Clipboard {
    /// `waker` is roused when there is something to paste.
    pub fn new(waker: Arc<Waker>) -> Self {
        Self { waker, worker: None }
    }

    /// Puts a text there.
    pub fn copy(&mut self, text: String) {
        self.ask(Ask::Copy(text));
    }

    /// Asks for what is there; [`pasted`](Self::pasted) has it soon.
    pub fn paste(&mut self) {
        self.ask(Ask::Paste);
    }

    /// What was asked for, once.
    pub fn pasted(&self) -> Option<String> {
        self.worker.as_ref()?.1.try_recv().ok()
    }

    fn ask(&mut self, ask: Ask) {
        if self.worker.is_none() {
            let (requests, asked) = bounded(WAITING);
            let (tell, pasted) = bounded(WAITING);
            let waker = Arc::clone(&self.waker);
            let work = move || work(&asked, &tell, &waker);
            if std::thread::Builder::new().name("clipboard".into()).spawn(work).is_err() {
                return;
            }
            self.worker = Some((requests, pasted));
        }
        // A clipboard that hangs loses what is asked of it, and nothing else.
        let _ = self.worker.as_ref().map(|(requests, _)| requests.try_send(ask));
    }
}

fn work(asked: &Receiver<Ask>, tell: &Sender<String>, waker: &Waker) {
    let mut clipboard = None;
    while let Ok(ask) = asked.recv() {
        if clipboard.is_none() {
            clipboard = arboard::Clipboard::new().inspect_err(|error| tracing::warn!(%error, "no clipboard")).ok();
        }
        let Some(open) = &mut clipboard else { continue };
        match ask {
            Ask::Copy(text) => {
                if let Err(error) = open.set_text(text) {
                    tracing::warn!(%error, "cannot copy");
                    clipboard = None;
                }
            }
            Ask::Paste => {
                let Ok(mut text) = open.get_text() else { continue };
                let end = (0..=PASTED_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
                text.truncate(end.unwrap_or_default());
                let _ = tell.try_send(text);
                waker.wake();
            }
        }
    }
}
